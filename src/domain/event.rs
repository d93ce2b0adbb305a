//! An event: a verified notification that object X changed.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Millis;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in SQL, logs and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word back.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// One of the three systems.
    System {
        /// Sapo Omni / POS: the store's side.
        Omni = "omni",
        /// An Abaha site.
        Abaha = "abaha",
        /// A Sapo Web site.
        Web = "web",
    }
}

words! {
    /// What kind of object an event is about.
    Kind {
        /// A product with its variants.
        Product = "product",
        /// A customer.
        Customer = "customer",
        /// An order.
        Order = "order",
        /// The shop itself (app/uninstalled).
        Shop = "shop",
    }
}

words! {
    /// How much of the object an event carries.
    Shape {
        /// The object whole, as it was at its version.
        Whole = "whole",
        /// A part of it: the object is read through its API.
        Partial = "partial",
        /// Its id alone: the object is read through its API.
        Id = "id",
        /// It was deleted; believed after a read.
        Gone = "gone",
        /// Rightly signed, but not readable: a dead letter.
        Unreadable = "unreadable",
    }
}

/// What one object is called: one connection, one system, one kind, its id there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The connection's name.
    pub connection: String,
    /// The system the object lives in.
    pub source: System,
    /// Its kind.
    pub kind: Kind,
    /// Its id in that system.
    pub object_id: String,
}

/// The topic of what somebody asked for by hand.
pub const BY_HAND: &str = "sync";

/// What is asked for by hand of a product; no variant named is all of them.
#[derive(Serialize, Deserialize)]
struct Asked {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variants: Vec<String>,
}

/// The body of an event by which these variants of a product are asked for by hand; none named is all of them.
pub fn asked_body(variants: &[String]) -> Bytes {
    Bytes::from(serde_json::to_vec(&Asked { variants: variants.to_vec() }).unwrap_or_default())
}

/// A verified notification that an object changed, for one connection.
///
/// Made by `receive::verify` from a verified body, by `sync` from an API's own answer, or restored from where
/// one of these was stored; nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Minted when it was received (`UUIDv7`, so ids sort by time).
    pub id: Uuid,
    /// 0 at first; raised by each replay.
    pub run: u32,
    /// What it is about.
    pub key: ObjectKey,
    /// The store's alias: whose API limit it uses, and its partition.
    pub store: String,
    /// The sender's topic, such as `orders/update`; `import`, `reconcile` or `component` for our own.
    pub topic: String,
    /// How much of the object the body holds.
    pub shape: Shape,
    /// The order's own code, where it has one.
    pub reference: Option<String>,
    /// `modified_on` / `updated_at` of the body; milliseconds, but whole seconds in practice.
    pub version: Option<Millis>,
    /// When it was received.
    pub received_at: Millis,
    /// The job that made it (import, reconcile).
    pub job: Option<String>,
    /// Compared with the real other side: what was pushed last does not count as proof.
    pub force: bool,
    /// The object is read through its API, whatever the body holds.
    pub read: bool,
    /// Attempts used up by this content.
    pub attempts: u32,
    /// When this object was parked first, where it was.
    pub parked_since: Option<Millis>,
    /// The webhook's body, untouched.
    #[serde(skip)]
    pub body: Bytes,
}

impl Event {
    /// Makes a new event of run 0; the setters below fill in the rest.
    pub fn new(
        key: ObjectKey,
        store: impl Into<String>,
        topic: impl Into<String>,
        shape: Shape,
        received_at: Millis,
        body: Bytes,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            run: 0,
            key,
            store: store.into(),
            topic: topic.into(),
            shape,
            reference: None,
            version: None,
            received_at,
            job: None,
            force: false,
            read: false,
            attempts: 0,
            parked_since: None,
            body,
        }
    }

    /// Its attributes as JSON text, without the body; read back by [`Event::restore`].
    pub fn attributes(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Puts attributes and body together again.
    pub fn restore(attributes: &str, body: Bytes) -> Result<Self, serde_json::Error> {
        let mut event: Self = serde_json::from_str(attributes)?;
        event.body = body;
        Ok(event)
    }

    /// Whether somebody asked for it by hand.
    pub fn is_by_hand(&self) -> bool {
        self.force && self.topic == BY_HAND
    }

    /// Makes it one that was asked for by hand: what took the place of such an event keeps the wish, and is read. It has
    /// no version, so that no later state, of which nobody asked anything, settles the wish with itself.
    pub fn take_on_wish(&mut self) {
        BY_HAND.clone_into(&mut self.topic);
        self.force = true;
        self.read = true;
        self.version = None;
    }

    /// The variants of its product that it asks for by hand; none named is all of them, also where something else joined
    /// it, which then has to be read.
    pub fn asked_variants(&self) -> Vec<String> {
        if self.topic != BY_HAND || self.read {
            return Vec::new();
        }
        serde_json::from_slice::<Asked>(&self.body).map(|asked| asked.variants).unwrap_or_default()
    }

    /// The body of an event that asks for what this one and another of the same object ask for, and no more; `None` where
    /// not both were asked for by hand and nothing else.
    pub fn asked_with(&self, other: &Self) -> Option<Bytes> {
        let asks_alone = |event: &Self| event.is_by_hand() && event.shape == Shape::Id && !event.read;
        if !asks_alone(self) || !asks_alone(other) {
            return None;
        }
        let (mut all, more) = (self.asked_variants(), other.asked_variants());
        if all.is_empty() || more.is_empty() {
            return Some(asked_body(&[]));
        }
        all.extend(more);
        all.sort_unstable();
        all.dedup();
        Some(asked_body(&all))
    }

    /// Whether the body cannot be applied as it is.
    pub fn must_be_read(&self) -> bool {
        self.read || self.shape != Shape::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_being_written_down() {
        let key = ObjectKey {
            connection: "mau-abaha".into(),
            source: System::Omni,
            kind: Kind::Order,
            object_id: "1".into(),
        };
        let mut event = Event::new(key, "cuahangmau", "orders/create", Shape::Whole, 5, Bytes::from_static(b"{}"));
        event.reference = Some("SON1".into());
        let back = Event::restore(&event.attributes(), event.body.clone()).unwrap();
        assert_eq!(back, event);
        assert_eq!(System::from_word("omni"), Some(System::Omni));
    }

    #[test]
    fn two_wishes_for_one_product_ask_for_the_variants_of_both_and_all_is_all() {
        let key =
            ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Product, object_id: "1".into() };
        let wish = |variants: &[&str]| {
            let variants: Vec<String> = variants.iter().map(|id| (*id).to_owned()).collect();
            let mut wish = Event::new(key.clone(), "s", BY_HAND, Shape::Id, 0, asked_body(&variants));
            wish.force = true;
            wish
        };
        let both = |one: &[&str], other: &[&str]| {
            let body = wish(one).asked_with(&wish(other)).unwrap();
            Event { body, ..wish(&[]) }.asked_variants()
        };
        assert_eq!(wish(&[]).body, "{}");
        assert_eq!(both(&["12", "11"], &["11", "13"]), ["11", "12", "13"]);
        assert_eq!((both(&[], &["11"]), both(&["11"], &[])), (Vec::<String>::new(), Vec::new()));
        let read = Event { read: true, ..wish(&["11"]) };
        let told = Event { topic: "products/update".into(), ..wish(&["11"]) };
        assert!(read.asked_variants().is_empty() && told.asked_variants().is_empty(), "they are for all");
        assert_eq!((wish(&["11"]).asked_with(&read), wish(&["11"]).asked_with(&told)), (None, None));
    }
}
