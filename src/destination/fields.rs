//! Liberal reading of JSON fields: numbers as numbers or numeric strings; null, "" and absent alike.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::domain::clock::Millis;
use crate::domain::{envelope, money, time};

use super::error::WireError;

/// Reads a body that must be a JSON object.
pub fn object(body: &[u8]) -> Result<Value, WireError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| WireError::NotJson)?;
    if value.is_object() { Ok(value) } else { Err(WireError::NotAnObject) }
}

/// A text, trimmed; a number counts as its digits.
pub fn text(object: &Value, field: &str) -> Option<String> {
    match object.get(field)? {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(ToOwned::to_owned),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text as it was typed, blanks at its ends and all; empty where there is none.
pub fn raw_text(object: &Value, field: &str) -> String {
    match object.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// An id as text.
pub fn id(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(envelope::id_text)
}

/// An amount or a quantity; what is there but is no number is an error, never nothing.
pub fn amount(object: &Value, field: &'static str) -> Result<Option<Decimal>, WireError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(value) => money::parse(value).map(Some).ok_or(WireError::Bad(field)),
    }
}

/// A whole number.
pub fn integer(object: &Value, field: &str) -> Option<i64> {
    object.get(field).and_then(money::parse).and_then(money::whole)
}

/// A moment.
pub fn moment(object: &Value, field: &str) -> Option<Millis> {
    text(object, field).and_then(|text| time::parse(&text))
}

/// Whether a field says yes.
pub fn flag(object: &Value, field: &str) -> bool {
    match object.get(field) {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true") || text == "1",
        _ => false,
    }
}

/// The rows of a list; none where there is no list.
pub fn rows<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An id for writing: a JSON number where it is one, as both APIs have them.
pub fn id_json(id: &str) -> Value {
    id.parse::<i64>().map_or_else(|_| Value::from(id), Value::from)
}

/// A text folded for comparing words: lower case, NFC, blanks at its ends gone, "huỷ" and "hủy" alike.
pub fn folded(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.trim().nfc().collect::<String>().to_lowercase().replace("uỷ", "ủy")
}
