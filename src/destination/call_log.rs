//! What was called for one event, for its ledger row.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::domain::clock::Millis;

/// One call that was sent to an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// When it was sent.
    pub at: Millis,
    /// Whose limit it used: `omni:cuahangmau`.
    pub account: String,
    /// `GET`, `POST`…
    pub method: &'static str,
    /// The path without its query, which may hold a token.
    pub path: String,
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// How long it took until its answer was read.
    pub milliseconds: u64,
    /// `ok`, or the error's stable word.
    pub outcome: &'static str,
}

/// Collects the calls of every client that was given a clone of it.
#[derive(Clone, Debug, Default)]
pub struct CallLog {
    calls: Arc<Mutex<Vec<CallRecord>>>,
}

impl CallLog {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call.
    pub fn push(&self, call: CallRecord) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Takes what was collected so far, in the order in which the answers came.
    pub fn take(&self) -> Vec<CallRecord> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
