//! Money and stock: exact decimals, from JSON and back.

use std::fmt;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Number, Value};

/// The most digits after the point that a [`Decimal`] can hold.
const MAX_SCALE: i32 = 28;

/// Reads an amount from a JSON number or a string that holds one; `None` where there is none.
///
/// The number's own text is read, so no sum ever passes through binary fractions. What cannot be held exactly is
/// `None` rather than rounded, and so are `null`, `""`, and text with thousands separators (`120,000`).
/// A point is always the decimal point, as in the three APIs: `"120.000"` is one hundred and twenty.
pub fn parse(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => from_text(&number.to_string()),
        Value::String(text) => from_text(text.trim()),
        _ => None,
    }
}

/// Gives the amount as a whole number; `None` where it has a fraction or is too large.
pub fn whole(amount: Decimal) -> Option<i64> {
    if amount.is_integer() { amount.to_i64() } else { None }
}

/// Writes an amount for an API: an integer where it is whole, else a number with a fraction.
///
/// A fraction of more than 15 digits in all comes out as the nearest number that JSON readers can hold.
pub fn to_json(amount: Decimal) -> Value {
    if let Some(whole) = whole(amount) {
        return Value::from(whole);
    }
    // The text of a decimal is always a finite number, so `Null` is never reached.
    let nearest = amount.to_string().parse().ok().and_then(Number::from_f64);
    nearest.map_or(Value::Null, Value::Number)
}

/// Shows an amount of đồng to people: `120.000 ₫`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vnd(pub Decimal);

impl fmt::Display for Vnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.normalize().abs().to_string();
        let (units, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let mut shown = String::with_capacity(text.len() + 16);
        if self.0.is_sign_negative() && !self.0.is_zero() {
            shown.push('-');
        }
        for (place, digit) in units.chars().enumerate() {
            if place > 0 && (units.len() - place).is_multiple_of(3) {
                shown.push('.');
            }
            shown.push(digit);
        }
        if !fraction.is_empty() {
            shown.push(',');
            shown.push_str(fraction);
        }
        shown.push_str(" ₫");
        f.pad(&shown)
    }
}

/// Reads JSON's own grammar of numbers, leading zeros allowed, without rounding.
fn from_text(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (units, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = format!("{units}{fraction}");
    if units.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let trimmed = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(Decimal::ZERO);
    }
    let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(i32::try_from(trimmed).ok()?)?;
    if !(-MAX_SCALE..=MAX_SCALE).contains(&power) {
        return None;
    }
    let amount = significant.parse::<i128>().ok()?.checked_mul(10_i128.pow(power.max(0).unsigned_abs()))?;
    let amount = if negative { -amount } else { amount };
    Decimal::try_from_i128_with_scale(amount, power.min(0).unsigned_abs()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_and_numeric_strings_are_read_exactly() {
        let cases = [
            (json!(120_000), "120000"),
            (json!(-5), "-5"),
            (json!(120_000.0), "120000"),
            (json!(0.1), "0.1"),
            (json!(19.99), "19.99"),
            (json!(-0.0), "0"),
            (json!(1e21), "1000000000000000000000"),
            (json!(2.5e-7), "0.00000025"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!("120000"), "120000"),
            (json!(" 120000.50 "), "120000.5"),
            (json!("120.000"), "120"),
            (json!("007"), "7"),
            (json!("1.2E+5"), "120000"),
            (json!("-0"), "0"),
            (json!("0.00000000000000000000000000000000000"), "0"),
            (json!("0e99999"), "0"),
            (json!("79228162514264337593543950335"), "79228162514264337593543950335"),
        ];
        for (value, expected) in cases {
            let amount = parse(&value).unwrap_or_else(|| panic!("{value} was not read"));
            assert_eq!(amount.to_string(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_exact_number_is_none() {
        let cases = [
            json!(null),
            json!(""),
            json!("  "),
            json!(true),
            json!([1]),
            json!({"amount": 1}),
            json!("120,000"),
            json!("120.000.000"),
            json!("1_000"),
            json!("120000đ"),
            json!("+5"),
            json!("--5"),
            json!("-"),
            json!("."),
            json!(".5"),
            json!("5."),
            json!("e5"),
            json!("1e"),
            json!("1e99999999999"),
            json!("1e-40"),
            json!("79228162514264337593543950336"),
            json!("NaN"),
            json!("Infinity"),
            json!("１２０"),
        ];
        for value in cases {
            assert_eq!(parse(&value), None, "{value}");
        }
        assert_eq!(parse(&json!({})["absent"]), None);
    }

    #[test]
    fn only_amounts_without_a_fraction_are_whole() {
        assert_eq!(whole(decimal("120000.00")), Some(120_000));
        assert_eq!(whole(decimal("-3")), Some(-3));
        assert_eq!(whole(decimal("0.5")), None);
        assert_eq!(whole(decimal("9223372036854775808")), None);
    }

    #[test]
    fn json_has_an_integer_where_the_amount_is_whole() {
        assert_eq!(to_json(decimal("120000.00")).to_string(), "120000");
        assert_eq!(to_json(decimal("-7")).to_string(), "-7");
        assert_eq!(to_json(decimal("0.10")).to_string(), "0.1");
        assert_eq!(to_json(decimal("33333.33")).to_string(), "33333.33");
        assert!(to_json(Decimal::MAX).is_number());
    }

    #[test]
    fn dong_are_shown_the_vietnamese_way() {
        let cases = [
            ("0", "0 ₫"),
            ("-0.00", "0 ₫"),
            ("999", "999 ₫"),
            ("1000", "1.000 ₫"),
            ("120000.00", "120.000 ₫"),
            ("1234567890", "1.234.567.890 ₫"),
            ("-120000", "-120.000 ₫"),
            ("1234.5", "1.234,5 ₫"),
        ];
        for (amount, shown) in cases {
            assert_eq!(Vnd(decimal(amount)).to_string(), shown, "{amount}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_json_and_back(mantissa in -999_999_999_999_999_i64..=999_999_999_999_999, scale in 0_u32..=6) {
            let amount = Decimal::new(mantissa, scale);
            prop_assert_eq!(parse(&to_json(amount)), Some(amount));
            prop_assert_eq!(parse(&Value::from(amount.to_string())), Some(amount));
        }

        #[test]
        fn any_decimal_survives_as_a_string(words in any::<[u32; 3]>(), negative in any::<bool>(), scale in 0_u32..=28) {
            let amount = Decimal::from_parts(words[0], words[1], words[2], negative, scale);
            prop_assert_eq!(parse(&Value::from(amount.to_string())), Some(amount));
            prop_assert!(to_json(amount).is_number());
        }

        #[test]
        fn whole_numbers_stay_integers(amount in any::<i64>()) {
            prop_assert_eq!(parse(&Value::from(amount)), Some(Decimal::from(amount)));
            prop_assert_eq!(to_json(Decimal::from(amount)), Value::from(amount));
        }

        #[test]
        fn shown_dong_keep_every_digit(amount in any::<i64>()) {
            let shown = Vnd(Decimal::from(amount)).to_string();
            prop_assert_eq!(shown.replace(['.', '₫', ' '], ""), amount.to_string());
        }

        #[test]
        fn no_text_panics(text in any::<String>(), number in "-?[0-9]{0,40}(\\.[0-9]{0,40})?(e-?[0-9]{0,12})?") {
            let _ = parse(&Value::from(text));
            let _ = parse(&Value::from(number));
        }
    }
}
