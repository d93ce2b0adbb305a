//! Decimals in and out of JSON: exact inside, plain JSON numbers outside.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

/// A decimal as the APIs write it: whole numbers without a point.
pub(crate) fn number(amount: Decimal) -> Value {
    let amount = amount.normalize();
    if amount.scale() == 0
        && let Some(whole) = amount.to_i64()
    {
        return Value::from(whole);
    }
    amount.to_f64().map_or(Value::Null, Value::from)
}

/// A decimal that may be absent, as a number or null.
pub(crate) fn number_or_null(amount: Option<Decimal>) -> Value {
    amount.map_or(Value::Null, number)
}

/// Reads a JSON number, or a string that holds one.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

/// Reads a whole number, or a string that holds one.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// Reads a signed whole number, or a string that holds one.
pub(crate) fn signed(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// Reads a text that is not blank.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_amounts_have_no_point_and_cartons_keep_theirs() {
        assert_eq!(number("120000.00".parse().unwrap()), json!(120_000));
        assert_eq!(number("2.5".parse().unwrap()), json!(2.5));
        assert_eq!(decimal(&json!(2.5)), Some("2.5".parse().unwrap()));
        assert_eq!(decimal(&json!("-3")), Some(Decimal::from(-3)));
        assert_eq!(decimal(&json!(null)), None);
    }
}
