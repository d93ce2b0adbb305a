//! An event as a message: `CloudEvents` 1.0 in binary mode.
//!
//! | header | what |
//! |---|---|
//! | `cloudEvents:specversion` | `1.0` |
//! | `cloudEvents:id` | the event's id; also the message's `message_id` |
//! | `cloudEvents:source` | `/omni/cuahangmau`: the system, the store |
//! | `cloudEvents:type` | `vn.sapo-sync.order.changed`, `…gone`, `…unreadable` |
//! | `cloudEvents:subject` | the object's id in its system, where it has one |
//! | `cloudEvents:time` | when it was received, RFC 3339 |
//! | `cloudEvents:connection`, `topic`, `shape`, `run`, `reference`, `version`, `job`, `force`, `read`, `attempts`, `parkedsince` | the other fields of [`Event`], our own extension attributes; left out where the event has what every event has at first |
//! | `traceparent` | W3C; the event's id is the id of the trace |
//!
//! System, kind and store are told once, by `source` and `type`: a broker pays for each header of each message. Earlier
//! versions also sent them as `system`, `kind` and `partitionkey`, which are read where they are there.
//!
//! The body is the webhook's, untouched. All headers have to fit into one frame, so an event whose texts are longer
//! than any real one travels in structured mode instead (`application/cloudevents+json`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::broker::Queue;
use crate::domain::clock::{Clock, Millis};
use crate::domain::envelope::LONGEST;
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};

const PREFIX: &str = "cloudEvents:";
const SPECVERSION: &str = "1.0";
/// What every type begins with.
const TYPE: &str = "vn.sapo-sync.";
const BINARY: &str = "application/json";
const STRUCTURED: &str = "application/cloudevents+json";
/// A frame is 128 KiB at RabbitMQ's default; this leaves room for what brokers add, such as `x-death`.
const MOST_HEADERS: usize = 32 * 1024;
/// Attributes that are looked up by: none of ours is longer than [`LONGEST`].
const INDEXED: [&str; 4] = ["connection", "subject", "reference", "source"];
/// Kept on disk.
const PERSISTENT: u8 = 2;

/// Structured mode; the names of `CloudEvents`, and all of ours in one text.
#[derive(Serialize, Deserialize)]
struct Structured {
    specversion: String,
    id: Uuid,
    source: String,
    r#type: String,
    attributes: String,
    data_base64: String,
}

/// The message of an event.
pub(super) fn encode(event: &Event) -> (BasicProperties, Bytes) {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.id.to_string().into())
        .with_timestamp(u64::try_from(event.received_at / 1000).unwrap_or_default());
    let attributes = attributes(event);
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), text(traceparent(event.id)));
    let size: usize = attributes.iter().map(|(name, value)| PREFIX.len() + name.len() + value.len() + 6).sum();
    if size <= MOST_HEADERS {
        for (name, value) in attributes {
            headers.insert(format!("{PREFIX}{name}").into(), text(value));
        }
        return (properties.with_content_type(BINARY.into()).with_headers(headers), event.body.clone());
    }
    let structured = Structured {
        specversion: SPECVERSION.to_owned(),
        id: event.id,
        source: source(event),
        r#type: type_of(event),
        attributes: event.attributes(),
        data_base64: STANDARD.encode(&event.body),
    };
    let body = serde_json::to_vec(&structured).unwrap_or_default();
    (properties.with_content_type(STRUCTURED.into()).with_headers(headers), body.into())
}

fn text(value: impl Into<LongString>) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn source(event: &Event) -> String {
    format!("/{}/{}", event.key.source, event.store)
}

fn type_of(event: &Event) -> String {
    let what = match event.shape {
        Shape::Whole | Shape::Partial | Shape::Id => "changed",
        Shape::Gone => "gone",
        Shape::Unreadable => "unreadable",
    };
    format!("{TYPE}{}.{what}", event.key.kind)
}

fn traceparent(id: Uuid) -> String {
    format!("00-{}-{:016x}-01", id.simple(), id.as_u64_pair().1)
}

fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("specversion", SPECVERSION.to_owned()),
        ("id", event.id.to_string()),
        ("source", source(event)),
        ("type", type_of(event)),
        ("time", rfc3339(event.received_at)),
        ("connection", event.key.connection.clone()),
        ("topic", event.topic.clone()),
        ("shape", event.shape.to_string()),
    ];
    // What an event has at first is left out.
    let optional = [
        ("run", (event.run != 0).then(|| event.run.to_string())),
        ("force", event.force.then(|| true.to_string())),
        ("read", event.read.then(|| true.to_string())),
        ("attempts", (event.attempts != 0).then(|| event.attempts.to_string())),
        ("subject", (!event.key.object_id.is_empty()).then(|| event.key.object_id.clone())),
        ("reference", event.reference.clone()),
        ("version", event.version.map(|at| at.to_string())),
        ("job", event.job.clone()),
        ("parkedsince", event.parked_since.map(|at| at.to_string())),
    ];
    all.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    all
}

fn rfc3339(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default().to_string()
}

/// The event of a message. One that somebody else published, or that was damaged, becomes an event that says so
/// ([`Shape::Unreadable`]), with the same id each time it is delivered.
pub(super) fn decode(properties: &BasicProperties, body: Vec<u8>, queue: Option<Queue>) -> Event {
    let structured = properties.content_type().as_ref().is_some_and(|kind| kind.as_str() == STRUCTURED);
    let read = if structured { from_structured(&body) } else { from_headers(properties, &body) };
    read.unwrap_or_else(|| foreign(properties, body, queue))
}

fn from_structured(body: &[u8]) -> Option<Event> {
    let structured: Structured = serde_json::from_slice(body).ok()?;
    let data = STANDARD.decode(&structured.data_base64).ok()?;
    let event = Event::restore(&structured.attributes, data.into()).ok()?;
    (structured.specversion == SPECVERSION && structured.id == event.id).then_some(event)
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    match properties.headers().as_ref()?.inner().get(format!("{PREFIX}{name}").as_str())? {
        AMQPValue::LongString(value) => std::str::from_utf8(value.as_bytes()).ok(),
        AMQPValue::ShortString(value) => Some(value.as_str()),
        _ => None,
    }
}

/// What `cloudEvents:source` tells: system and store.
fn origin(properties: &BasicProperties) -> Option<(&str, &str)> {
    header(properties, "source")?.strip_prefix('/')?.split_once('/')
}

fn system(properties: &BasicProperties) -> Option<System> {
    System::from_word(header(properties, "system").or_else(|| Some(origin(properties)?.0))?)
}

fn kind(properties: &BasicProperties) -> Option<Kind> {
    let of_type = || header(properties, "type")?.strip_prefix(TYPE)?.split_once('.');
    Kind::from_word(header(properties, "kind").or_else(|| Some(of_type()?.0))?)
}

fn store(properties: &BasicProperties) -> Option<&str> {
    header(properties, "partitionkey").or_else(|| Some(origin(properties)?.1))
}

/// An attribute that may be missing; nothing where it is there and unreadable.
#[allow(clippy::option_option)] // unreadable and missing are two things
fn optional<T: std::str::FromStr>(properties: &BasicProperties, name: &str) -> Option<Option<T>> {
    let there = properties.headers().as_ref().is_some_and(|all| all.contains_key(&format!("{PREFIX}{name}")));
    if there { Some(Some(header(properties, name)?.parse().ok()?)) } else { Some(None) }
}

fn from_headers(properties: &BasicProperties, body: &[u8]) -> Option<Event> {
    let header = |name| header(properties, name);
    if INDEXED.iter().any(|name| header(name).is_some_and(|value| value.len() > LONGEST)) {
        return None;
    }
    let owned = |name| header(name).map(ToOwned::to_owned);
    if header("specversion")? != SPECVERSION {
        return None;
    }
    Some(Event {
        id: header("id")?.parse().ok()?,
        run: optional(properties, "run")?.unwrap_or_default(),
        key: ObjectKey {
            connection: owned("connection")?,
            source: system(properties)?,
            kind: kind(properties)?,
            object_id: optional(properties, "subject")?.unwrap_or_default(),
        },
        store: store(properties)?.to_owned(),
        topic: owned("topic")?,
        shape: Shape::from_word(header("shape")?)?,
        reference: optional(properties, "reference")?,
        version: optional(properties, "version")?,
        received_at: moment(header("time")?)?,
        job: optional(properties, "job")?,
        force: optional(properties, "force")?.unwrap_or_default(),
        read: optional(properties, "read")?.unwrap_or_default(),
        attempts: optional(properties, "attempts")?.unwrap_or_default(),
        parked_since: optional(properties, "parkedsince")?,
        body: Bytes::copy_from_slice(body),
    })
}

fn moment(text: &str) -> Option<Millis> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

/// What is known of a message that is not ours, for the dead letter that it becomes.
fn foreign(properties: &BasicProperties, body: Vec<u8>, queue: Option<Queue>) -> Event {
    let known = |name| header(properties, name).filter(|value| value.len() <= LONGEST).map(ToOwned::to_owned);
    let id = properties
        .message_id()
        .as_ref()
        .and_then(|id| id.as_str().parse().ok())
        .unwrap_or_else(|| fingerprint(properties, &body));
    let kind = kind(properties).or(queue.map(|queue| queue.kind));
    let key = ObjectKey {
        connection: known("connection").unwrap_or_else(|| "unknown".to_owned()),
        source: system(properties).unwrap_or(System::Omni),
        kind: kind.unwrap_or(Kind::Order),
        object_id: known("subject").unwrap_or_else(|| id.to_string()),
    };
    let stamped = properties.timestamp().and_then(|seconds| Millis::try_from(seconds.checked_mul(1000)?).ok());
    let received_at = header(properties, "time").and_then(moment).or(stamped).unwrap_or_else(|| Clock::system().now());
    let store = store(properties).filter(|store| store.len() <= LONGEST).unwrap_or("unknown").to_owned();
    let topic = known("topic").unwrap_or_else(|| "unknown".to_owned());
    let mut event = Event::new(key, store, topic, Shape::Unreadable, received_at, body.into());
    event.id = id;
    event.run = header(properties, "run").and_then(|run| run.parse().ok()).unwrap_or_default();
    event
}

/// An id that a message keeps, however often it is delivered: what brokers add (`x-…`) is left out.
fn fingerprint(properties: &BasicProperties, body: &[u8]) -> Uuid {
    let mut hash = Sha256::new();
    for value in [properties.message_id(), properties.correlation_id(), properties.content_type()] {
        hash.update(value.as_ref().map_or("", ShortString::as_str));
        hash.update([0]);
    }
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        if !name.as_str().starts_with("x-") {
            hash.update(format!("{name}\0{value:?}\0"));
        }
    }
    hash.update(body);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let key = ObjectKey {
            connection: "mau-abaha".into(),
            source: System::Abaha,
            kind: Kind::Customer,
            object_id: "14800001".into(),
        };
        Event::new(
            key,
            "cuahangmau",
            "user.updated",
            Shape::Whole,
            1_770_000_000_123,
            Bytes::from_static(b"{\"id\": 1}"),
        )
    }

    fn back(event: &Event) -> Event {
        let (properties, body) = encode(event);
        decode(&properties, body.to_vec(), None)
    }

    #[test]
    fn every_field_comes_back_and_the_body_is_untouched() {
        let plain = event();
        assert_eq!(back(&plain), plain);
        let mut full = event();
        full.run = 2;
        full.reference = Some("SON \"1\" – đơn hàng\r\n\0 \u{1F6D2}".into());
        full.version = Some(-1);
        full.job = Some(String::new());
        (full.force, full.read, full.attempts, full.parked_since) = (true, true, u32::MAX, Some(i64::MAX));
        full.topic = String::new();
        full.key.object_id = String::new();
        full.body = Bytes::from_static(b"\xff\xfe\0'; drop table");
        assert_eq!(back(&full), full);
        for shape in Shape::ALL {
            for kind in Kind::ALL {
                for source in System::ALL {
                    let mut event = event();
                    (event.shape, event.key.kind, event.key.source) = (*shape, *kind, *source);
                    assert_eq!(back(&event), event);
                }
            }
        }
    }

    #[test]
    fn the_headers_are_cloud_events_in_binary_mode_and_a_trace() {
        let event = event();
        let (properties, body) = encode(&event);
        assert_eq!(body, event.body);
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), event.id.to_string());
        assert_eq!(*properties.delivery_mode(), Some(2));
        for (name, value) in [
            ("specversion", "1.0"),
            ("id", event.id.to_string().as_str()),
            ("source", "/abaha/cuahangmau"),
            ("type", "vn.sapo-sync.customer.changed"),
            ("subject", "14800001"),
            ("time", "2026-02-02T02:40:00.123Z"),
        ] {
            assert_eq!(header(&properties, name), Some(value), "{name}");
        }
        for name in properties.headers().as_ref().unwrap().inner().keys() {
            let attribute = name.as_str().strip_prefix(PREFIX);
            assert!(
                attribute.is_none_or(|name| name.len() <= 20 && name.chars().all(|c| c.is_ascii_lowercase())),
                "{name}"
            );
        }
        let AMQPValue::LongString(trace) = &properties.headers().as_ref().unwrap().inner()["traceparent"] else {
            panic!("a text")
        };
        let trace = trace.to_string();
        let parts: Vec<&str> = trace.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", event.id.simple().to_string().as_str(), "01"));
        assert!(parts[2].len() == 16 && parts[2] != "0000000000000000");
    }

    #[test]
    fn an_event_whose_texts_fit_into_no_frame_travels_in_structured_mode() {
        let mut event = event();
        event.reference = Some("dài ".repeat(100_000));
        let (properties, _) = encode(&event);
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
        assert_eq!(properties.headers().as_ref().unwrap().inner().len(), 1);
        assert_eq!(back(&event), event);
    }

    #[test]
    fn a_foreign_message_is_an_unreadable_event_with_the_same_id_each_time() {
        let queue = Queue { kind: Kind::Product, partition: 1 };
        let mut headers = FieldTable::default();
        headers.insert("cloudEvents:connection".into(), text("mau-abaha"));
        let properties = BasicProperties::default().with_headers(headers.clone());
        let first = decode(&properties, b"hello".to_vec(), Some(queue));
        assert_eq!(
            (first.shape, first.key.kind, first.key.connection.as_str()),
            (Shape::Unreadable, Kind::Product, "mau-abaha")
        );
        assert_eq!(&first.body[..], b"hello");
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        let again = BasicProperties::default().with_headers(headers);
        assert_eq!(decode(&again, b"hello".to_vec(), Some(queue)).id, first.id);
        assert_ne!(decode(&again, b"hello!".to_vec(), Some(queue)).id, first.id);
        let id = Uuid::now_v7();
        let named = BasicProperties::default().with_message_id(id.to_string().into());
        assert_eq!(decode(&named, Vec::new(), None).id, id);
    }

    #[test]
    fn what_an_event_has_at_first_is_left_out_but_not_read_out_of_something_spoilt() {
        let event = event();
        let (properties, body) = encode(&event);
        for (name, stated) in [("run", "0"), ("force", "false"), ("read", "false"), ("attempts", "0")] {
            assert_eq!(header(&properties, name), None, "{name}");
            let with = |value| {
                let mut headers = properties.headers().clone().unwrap();
                headers.insert(format!("{PREFIX}{name}").into(), value);
                decode(&properties.clone().with_headers(headers), body.to_vec(), None)
            };
            assert_eq!(with(text(stated)), event, "{name}");
            assert_eq!(with(AMQPValue::Boolean(true)).shape, Shape::Unreadable, "{name}");
        }
    }

    #[test]
    fn what_earlier_versions_told_twice_is_read() {
        let event = event();
        let (properties, body) = encode(&event);
        let mut headers = properties.headers().clone().unwrap();
        for (name, value) in [("system", "abaha"), ("kind", "customer"), ("partitionkey", "cuahangmau")] {
            assert_eq!(header(&properties, name), None, "{name} is not sent");
            headers.insert(format!("{PREFIX}{name}").into(), text(value));
        }
        assert_eq!(decode(&properties.with_headers(headers), body.to_vec(), None), event);
    }

    #[test]
    fn a_message_with_one_attribute_spoilt_is_unreadable_and_keeps_what_is_known() {
        let event = event();
        let (properties, body) = encode(&event);
        for name in ["run", "system", "kind", "shape", "time", "force", "read", "attempts", "id", "specversion"] {
            let mut headers = properties.headers().clone().unwrap();
            headers.insert(format!("{PREFIX}{name}").into(), text("?"));
            let read = decode(&properties.clone().with_headers(headers), body.to_vec(), None);
            assert_eq!(
                (read.shape, read.id, read.key.object_id),
                (Shape::Unreadable, event.id, "14800001".into()),
                "{name}"
            );
        }
    }
}
