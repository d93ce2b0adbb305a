//! Asking for a page of a list, and reading it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::destination::error::WireError;
use crate::destination::page::{Page, split};
use crate::domain::clock::Millis;
use crate::domain::time;

/// The most rows of a page (vendor's documents).
pub const MOST_ROWS: u32 = 250;

/// Which rows of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebQuery {
    /// From 1.
    pub page: u32,
    /// Rows in a page.
    pub limit: u32,
    /// Whose id is higher than this.
    pub since_id: Option<String>,
    /// Changed at or after.
    pub modified_from: Option<Millis>,
    /// Created at or after.
    pub created_from: Option<Millis>,
    /// With this status. For orders one of `open`, `closed`, `cancelled`: the API gives nothing at all for `any`.
    pub status: Option<&'static str>,
}

impl Default for WebQuery {
    fn default() -> Self {
        Self { page: 1, limit: MOST_ROWS, since_id: None, modified_from: None, created_from: None, status: None }
    }
}

impl WebQuery {
    /// The names and values as the API has them (vendor's documents).
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let time = |at: Option<Millis>| at.map(time::format);
        let all = [
            ("page", Some(self.page.max(1).to_string())),
            ("limit", Some(self.limit.clamp(1, MOST_ROWS).to_string())),
            ("since_id", self.since_id.clone()),
            ("modified_on_min", time(self.modified_from)),
            ("created_on_min", time(self.created_from)),
            ("status", self.status.map(ToOwned::to_owned)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// How a row is read.
pub type Read<T> = fn(&[u8]) -> Result<T, WireError>;

/// Reads `{"products":[…]}`; the body tells no total.
pub fn page<T>(body: &[u8], list: &'static str, asked: &WebQuery, read: Read<T>) -> Result<Page<T>, WireError> {
    let parts: BTreeMap<String, &RawValue> = serde_json::from_slice(body).map_err(|_| WireError::NotJson)?;
    Ok(Page {
        items: split(parts.get(list).ok_or(WireError::Missing("the list"))?, read)?,
        total: None,
        page: asked.page.max(1),
        limit: asked.limit.clamp(1, MOST_ROWS),
    })
}
