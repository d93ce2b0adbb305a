//! One site within the sandbox: what it was configured with, its state, its rate limit.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{State, WebSite};
use crate::sandbox::bucket::Bucket;
use crate::sandbox::clock::Clock;
use crate::sandbox::sign::base64_signature;
use crate::sandbox::webhooks::Change;

/// A site.
pub(crate) struct WebPart {
    pub config: WebSite,
    pub bucket: Mutex<Bucket>,
    state: Mutex<State>,
}

impl WebPart {
    /// An empty site; its place among the sites keeps its ids apart from theirs, as ids are in real life.
    pub fn new(config: WebSite, place: u64, clock: Clock) -> Self {
        let (bucket, state) = (Mutex::new(Bucket::new(config.bucket)), Mutex::new(State::new(&config, place, clock)));
        Self { config, bucket, state }
    }

    /// Reads the site.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the site; what is to be told comes along.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> (T, Vec<Change>) {
        let mut state = self.state();
        let done = work(&mut state);
        let changes = state.take_changes();
        (done, changes)
    }

    /// A webhook's body and headers, as the site writes them.
    pub fn letter(&self, topic: &str, body: Value) -> (Bytes, Vec<(String, String)>) {
        let manner = self.state().manner;
        let body = if manner.wraps { wrapped(topic, body) } else { body };
        let body = Bytes::from(body.to_string());
        let signature = base64_signature(&self.config.webhook_secret, &body);
        let domain = format!("{}.mysapo.net", self.config.alias);
        let family = if manner.old_headers { "x-bizweb" } else { "x-sapo" };
        let headers = vec![
            ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
            (format!("{family}-topic"), topic.to_owned()),
            (format!("{family}-hmac-sha256"), signature),
            (format!("{family}-shop-domain"), domain),
            (format!("{family}-test"), manner.test.to_string()),
        ];
        (body, headers)
    }
}

/// `{"order": {…}}` for a topic of orders, and so on.
fn wrapped(topic: &str, body: Value) -> Value {
    let family = topic.split('/').next().unwrap_or_default();
    let mut wrapping = Map::new();
    wrapping.insert(family.strip_suffix('s').unwrap_or(family).to_owned(), body);
    Value::Object(wrapping)
}
