//! Query strings and form bodies, with the bracketed keys that PHP servers read.

use serde_json::{Map, Value};

/// The pairs of a query string or form body, decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// The first value under a key that is not empty.
pub(crate) fn get<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// A body as JSON: either it is JSON, or a form whose `a[0][b]=c` become nested values.
pub(crate) fn body(content_type: &str, bytes: &[u8]) -> Option<Value> {
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut root = Value::Object(Map::new());
        for (key, value) in pairs(text) {
            let path: Vec<&str> = key.split('[').map(|part| part.trim_end_matches(']')).collect();
            put(&mut root, &path, value);
        }
        return Some(lists(root));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(Value::Object(Map::new()));
    }
    serde_json::from_slice(bytes).ok()
}

/// Percent-encodes everything but the unreserved letters.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
        out
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped =
            (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3).and_then(|two| hex::decode(two).ok())).flatten();
        match (bytes[at], escaped) {
            (_, Some(byte)) => {
                out.extend(byte);
                at += 3;
                continue;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn put(target: &mut Value, path: &[&str], value: String) {
    let Some((first, rest)) = path.split_first() else {
        *target = Value::String(value);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(map) = target {
        let key = if first.is_empty() { map.len().to_string() } else { (*first).to_owned() };
        put(map.entry(key).or_insert(Value::Null), rest, value);
    }
}

/// Turns maps whose keys are 0, 1, 2… into lists.
fn lists(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let count = map.len();
    let mut items: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, lists(value))).collect();
    let listed = count > 0 && (0..count).all(|index| items.iter().any(|(key, _)| *key == index.to_string()));
    if listed {
        items.sort_by_key(|(key, _)| key.parse::<usize>().unwrap_or(usize::MAX));
        return Value::Array(items.into_iter().map(|(_, value)| value).collect());
    }
    Value::Object(items.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_with_brackets_reads_like_json() {
        let read = body(
            "application/x-www-form-urlencoded; charset=utf-8",
            b"tel=0912+000&product_items[0][product_code]=AT%2FS&product_items%5B0%5D%5Bquantity%5D=2&fee[price]=30",
        );
        assert_eq!(
            read,
            Some(
                json!({"tel": "0912 000", "product_items": [{"product_code": "AT/S", "quantity": "2"}], "fee": {"price": "30"}})
            )
        );
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        assert_eq!(decode(&encode("Áo / 50% & more")), "Áo / 50% & more");
        assert_eq!(decode("100%"), "100%");
    }
}
