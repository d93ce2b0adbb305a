//! Webhooks as a shop has them registered; both Sapo APIs have the same shape.

use serde_json::{Value, json};

use super::error::WireError;
use super::fields::{id, object, text};

/// A registered webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its id.
    pub id: String,
    /// What it tells of: `orders/create`.
    pub topic: String,
    /// Where it goes.
    pub address: String,
}

/// Reads a webhook, bare or wrapped.
pub(super) fn hook(body: &[u8]) -> Result<Hook, WireError> {
    let body = object(body)?;
    let it = body.get("webhook").filter(|inner| inner.is_object()).unwrap_or(&body);
    Ok(Hook {
        id: id(it, "id").ok_or(WireError::Missing("id"))?,
        topic: text(it, "topic").ok_or(WireError::Missing("topic"))?,
        address: text(it, "address").unwrap_or_default(),
    })
}

/// The body that registers a webhook, or changes one.
pub(super) fn hook_body(topic: &str, address: &str) -> Value {
    json!({ "webhook": { "topic": topic, "address": address, "format": "json" } })
}
