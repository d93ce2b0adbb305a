//! Money as Sapo Web writes it: a JSON number with decimals, sometimes a string.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

/// An amount with decimals, `115000.0`.
pub(crate) fn money(amount: Decimal) -> Value {
    amount.to_f64().map_or(Value::Null, Value::from)
}

/// The same as a string, `"115000.00"`, where the site writes it so.
pub(crate) fn amount(amount: Decimal, as_text: bool) -> Value {
    if as_text { Value::String(format!("{amount:.2}")) } else { money(amount) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_decimals_and_may_be_a_string() {
        assert_eq!(money(Decimal::from(115_000)).to_string(), "115000.0");
        assert_eq!(amount(Decimal::from(115_000), true), "115000.00");
    }
}
