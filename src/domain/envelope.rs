//! What a webhook's body says of itself: id, version, tenant, reference, and whether it is whole.
//!
//! Headers are not signed, so nothing here is taken from them but the topic's name, which only chooses how the
//! signed body is read.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::clock::Millis;
use super::event::{Kind, Shape, System};
use super::{time, topic};

/// The part of a body that the receiver needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The kind of the aggregate.
    pub kind: Kind,
    /// How much of it the body holds.
    pub shape: Shape,
    /// The aggregate's id.
    pub object_id: String,
    /// The order's own code: Sapo's `code`, a web's `name`, Abaha's `cart_code`.
    pub reference: Option<String>,
    /// `modified_on` (Sapo), `updated_at` (Abaha).
    pub version: Option<Millis>,
    /// Sapo's `tenant_id`.
    pub tenant_id: Option<String>,
    /// Abaha's `site_id`.
    pub site_id: Option<String>,
    /// Abaha's event name, where the body carries it; the topic header otherwise.
    pub topic: String,
}

/// Why a signed body could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not a JSON object.
    NotAnObject,
    /// No id where the topic's object should have one.
    NoId,
    /// No topic, or one that the table does not know: skipped, not dead.
    UnknownTopic(String),
}

/// Reads the envelope of a body.
///
/// # Errors
/// [`Unreadable`], with which the receiver still takes the event.
pub fn read(system: System, topic_header: Option<&str>, body: &[u8]) -> Result<Envelope, Unreadable> {
    let value = pruned(body).map_err(|_| Unreadable::NotAnObject)?;
    if !value.is_object() {
        return Err(Unreadable::NotAnObject);
    }
    match system {
        System::Omni | System::Web => sapo(system, topic_header.unwrap_or_default(), &value),
        System::Abaha => abaha(topic_header, &value),
    }
}

/// The object inside an Abaha body: `{"event","data"}`, a bare object, or an id alone are all accepted
/// (the envelope is not public).
pub fn abaha_object(value: &Value) -> &Value {
    match value.get("data") {
        Some(data) if data.is_object() => data,
        _ => value,
    }
}

/// The object inside a Sapo body: bare in live traffic, perhaps wrapped under its kind (unconfirmed).
pub fn sapo_object(kind: Kind, value: &Value) -> &Value {
    let name = kind.as_str();
    match value.get(name) {
        Some(inner) if inner.is_object() && value.get("id").is_none() => inner,
        _ => value,
    }
}

/// The object that a Sapo body wraps under its topic's own word, such as `{"inventory_level": {…}}` (unconfirmed).
fn wrapped<'a>(topic: &str, value: &'a Value) -> Option<&'a Value> {
    let word = topic.split('/').next()?;
    let inner = value.get(word.strip_suffix('s').unwrap_or(word))?;
    (inner.is_object() && value.get("id").is_none()).then_some(inner)
}

/// Sapo's `tenant_id` in a body whose topic does not tell how to read the rest.
pub fn tenant_of(body: &[u8]) -> Option<String> {
    let value = pruned(body).ok()?;
    let wrapped = || value.as_object()?.values().find_map(|inner| inner.get("tenant_id"));
    value.get("tenant_id").or_else(wrapped).and_then(id_text)
}

/// Levels of a body in which an envelope's fields are: its own, and those of an object right inside it.
const LEVELS: u8 = 3;

/// Reads JSON with the same errors as a whole [`Value`], and keeps no more of it than an envelope may need: what lies
/// deeper, and what is in arrays, is checked and thrown away.
fn pruned(body: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Pruned(LEVELS).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Keeps texts and numbers from 1, an object's fields from 2, nothing at 0.
struct Pruned(u8);

impl<'de> DeserializeSeed<'de> for Pruned {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pruned {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(if self.0 == 0 { Value::Null } else { value.into() })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        while all.next_element_seed(Pruned(0))?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        if self.0 < 2 {
            while all.next_key_seed(Pruned(0))?.is_some() {
                all.next_value_seed(Pruned(0))?;
            }
        } else {
            while let Some(name) = all.next_key::<String>()? {
                kept.insert(name, all.next_value_seed(Pruned(self.0 - 1))?);
            }
        }
        Ok(Value::Object(kept))
    }
}

fn sapo(system: System, name: &str, value: &Value) -> Result<Envelope, Unreadable> {
    let rule = topic::lookup(system, name).ok_or_else(|| Unreadable::UnknownTopic(name.to_owned()))?;
    let object = wrapped(name, value).unwrap_or_else(|| sapo_object(rule.kind, value));
    let tenant_id = object.get("tenant_id").and_then(id_text);
    let object_id = match rule.kind {
        Kind::Shop => tenant_id.clone().unwrap_or_else(|| "shop".to_owned()),
        _ => rule.id_fields.iter().find_map(|field| object.get(*field).and_then(id_text)).ok_or(Unreadable::NoId)?,
    };
    let whole = rule.shape == Shape::Whole && has_substance(rule.kind, object);
    let code = if system == System::Web { "name" } else { "code" };
    Ok(Envelope {
        kind: rule.kind,
        shape: if rule.shape == Shape::Whole && !whole { Shape::Partial } else { rule.shape },
        object_id,
        reference: (rule.kind == Kind::Order).then(|| text(object, code)).flatten(),
        version: text(object, "modified_on").and_then(|t| time::parse(&t)),
        tenant_id,
        site_id: None,
        topic: name.to_owned(),
    })
}

/// A whole object names the parts that its mapping needs; anything less is read through the API.
fn has_substance(kind: Kind, object: &Value) -> bool {
    match kind {
        Kind::Product => object.get("variants").is_some_and(Value::is_array),
        Kind::Order => object.get("order_line_items").or_else(|| object.get("line_items")).is_some_and(Value::is_array),
        // An order has a phone as well; sent again under a customer's topic it must not pass for one.
        Kind::Customer => {
            object.get("addresses").is_some_and(Value::is_array)
                && (object.get("phone_number").is_some() || object.get("phone").is_some())
        }
        Kind::Shop => false,
    }
}

fn abaha(header: Option<&str>, value: &Value) -> Result<Envelope, Unreadable> {
    let object = abaha_object(value);
    let name = text(value, "event").or_else(|| header.map(ToOwned::to_owned));
    let name = match name {
        Some(name) => name,
        None if object.get("product_items").is_some() || object.get("cart_code").is_some() => {
            "order.updated".to_owned()
        }
        None => return Err(Unreadable::UnknownTopic(String::new())),
    };
    let rule = topic::lookup(System::Abaha, &name).ok_or_else(|| Unreadable::UnknownTopic(name.clone()))?;
    let object_id =
        object.get("id").and_then(id_text).or_else(|| value.get("data").and_then(id_text)).ok_or(Unreadable::NoId)?;
    let whole = rule.kind != Kind::Order
        || (object.get("status").is_some() && object.get("product_items").is_some_and(Value::is_array));
    let shape = match rule.shape {
        Shape::Whole if !whole => Shape::Id,
        shape => shape,
    };
    Ok(Envelope {
        kind: rule.kind,
        shape,
        object_id,
        reference: (rule.kind == Kind::Order).then(|| text(object, "cart_code")).flatten(),
        version: text(object, "updated_at").and_then(|t| time::parse(&t)),
        tenant_id: None,
        site_id: object.get("site_id").or_else(|| value.get("site_id")).and_then(id_text),
        topic: name,
    })
}

/// The longest id, reference or name, in bytes: far longer than any real one, and short enough for every index.
pub const LONGEST: usize = 500;

/// A non-empty text field of at most [`LONGEST`] bytes.
pub fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).map(str::trim).filter(|t| is_short(t)).map(ToOwned::to_owned)
}

fn is_short(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
}

/// An id, a number or a numeric string, as text; 0, "" and what is longer than [`LONGEST`] bytes are none.
pub fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.as_i64() != Some(0) => Some(number.to_string()),
        Value::String(text) if is_short(text.trim()) && text.trim() != "0" => Some(text.trim().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sapo_order_is_whole_and_tells_its_version() {
        let body = br#"{"id":14800001,"tenant_id":70001,"code":"SON1","modified_on":"2026-03-02T03:15:23Z","order_line_items":[]}"#;
        let envelope = read(System::Omni, Some("orders/create"), body).unwrap();
        assert_eq!(envelope.object_id, "14800001");
        assert_eq!(envelope.shape, Shape::Whole);
        assert_eq!(envelope.version, Some(1_772_421_323_000));
        assert_eq!(envelope.tenant_id.as_deref(), Some("70001"));
        assert_eq!(envelope.reference.as_deref(), Some("SON1"));
    }

    #[test]
    fn the_three_forms_of_an_abaha_body_are_read() {
        let enveloped =
            br#"{"event":"order.created","site_id":501,"data":{"id":9,"status":5,"product_items":[],"cart_code":"A"}}"#;
        let bare = br#"{"id":9,"status":5,"product_items":[],"cart_code":"A"}"#;
        let id_only = br#"{"event":"order.created","site_id":501,"data":{"id":9}}"#;
        assert_eq!(read(System::Abaha, None, enveloped).unwrap().shape, Shape::Whole);
        assert_eq!(read(System::Abaha, None, bare).unwrap().shape, Shape::Whole);
        assert_eq!(read(System::Abaha, None, id_only).unwrap().shape, Shape::Id);
        assert_eq!(read(System::Abaha, None, id_only).unwrap().site_id.as_deref(), Some("501"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(read(System::Omni, Some("orders/create"), b"<html>"), Err(Unreadable::NotAnObject));
        assert_eq!(read(System::Omni, Some("orders/create"), b"[1]"), Err(Unreadable::NotAnObject));
        assert_eq!(read(System::Omni, Some("orders/create"), b"{}"), Err(Unreadable::NoId));
        assert!(matches!(read(System::Omni, Some("x/y"), b"{}"), Err(Unreadable::UnknownTopic(_))));
    }

    #[test]
    fn a_part_of_an_object_is_never_taken_for_the_whole() {
        let envelope = read(System::Omni, Some("orders/update"), br#"{"id":1,"status":"cancelled"}"#).unwrap();
        assert_eq!(envelope.shape, Shape::Partial);
        let envelope = read(System::Omni, Some("inventories/update"), br#"{"variant_id":5,"product_id":3}"#).unwrap();
        assert_eq!((envelope.shape, envelope.object_id.as_str()), (Shape::Partial, "3"));
    }
}
