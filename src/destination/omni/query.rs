//! Asking for a page of a list, and reading it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::destination::error::WireError;
use crate::destination::fields;
use crate::destination::page::{Page, split};
use crate::domain::clock::Millis;
use crate::domain::time;

/// The most rows of a page (code of others: 250; orders 100).
pub const MOST_ROWS: u32 = 250;

/// The most orders of a page.
pub const MOST_ORDERS: u32 = 100;

/// Which rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageQuery<'a> {
    /// From 1.
    pub page: u32,
    /// Rows in a page.
    pub limit: u32,
    /// Changed at or after.
    pub modified_from: Option<Millis>,
    /// Changed at or before.
    pub modified_to: Option<Millis>,
    /// Created at or after.
    pub created_from: Option<Millis>,
    /// Created at or before.
    pub created_to: Option<Millis>,
    /// With this status.
    pub status: Option<&'a str>,
    /// That hold this fragment: a name, a code, a phone as stored.
    pub query: Option<&'a str>,
}

impl Default for PageQuery<'_> {
    fn default() -> Self {
        Self {
            page: 1,
            limit: MOST_ROWS,
            modified_from: None,
            modified_to: None,
            created_from: None,
            created_to: None,
            status: None,
            query: None,
        }
    }
}

impl PageQuery<'_> {
    /// The names and values as the API has them (vendor's documents).
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let time = |at: Option<Millis>| at.map(time::format);
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        let all = [
            ("page", Some(self.page.to_string())),
            ("limit", Some(self.limit.to_string())),
            ("modified_on_min", time(self.modified_from)),
            ("modified_on_max", time(self.modified_to)),
            ("created_on_min", time(self.created_from)),
            ("created_on_max", time(self.created_to)),
            ("status", text(self.status)),
            ("query", text(self.query)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// How a row is read.
pub type Read<T> = fn(&[u8]) -> Result<T, WireError>;

/// Reads `{"metadata":{"total","page","limit"},"products":[…]}`; the settings' lists have no metadata.
pub fn page<T>(body: &[u8], list: &'static str, asked: PageQuery<'_>, read: Read<T>) -> Result<Page<T>, WireError> {
    let parts: BTreeMap<String, &RawValue> = serde_json::from_slice(body).map_err(|_| WireError::NotJson)?;
    let metadata = parts.get("metadata").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let count = |field| fields::integer(&metadata, field).and_then(|count| u64::try_from(count).ok());
    let limit = count("limit").and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
    Ok(Page {
        items: split(parts.get(list).ok_or(WireError::Missing("the list"))?, read)?,
        total: count("total"),
        page: asked.page,
        limit: limit.unwrap_or(asked.limit),
    })
}
