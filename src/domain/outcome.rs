//! What became of an event.

use super::clock::Millis;
use super::event::words;
use std::fmt;

words! {
    /// The four ends of an event, for SQL, metrics and people.
    Verdict {
        /// The other side is as it should be.
        Done = "done",
        /// Nothing had to be done, or a switch says not to.
        Skipped = "skipped",
        /// Waits for a time or a cause.
        Parked = "parked",
        /// Given up; kept, replayable.
        Dead = "dead",
    }
}

words! {
    /// Why an event is parked.
    Cause {
        /// The shop's API limit is used up for now.
        Throttled = "throttled",
        /// The other side is failing; tried again by the schedule.
        Failing = "failing",
        /// Something that is not repeatable may or may not have happened; it is looked up first.
        IntentPending = "intent_pending",
        /// A line's product has no link.
        UnlinkedProduct = "unlinked_product",
        /// Several customers, products or orders could be meant.
        Ambiguous = "ambiguous",
        /// The connection is paused.
        Paused = "paused",
        /// The connection's settings or access lack something.
        Setup = "setup",
        /// A dead letter was replayed by hand; it goes at once.
        Replay = "replay",
    }
}

impl Cause {
    /// Whether only time ends it: such a row is never overtaken by a newer delivery of its object.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Throttled | Self::Failing | Self::IntentPending)
    }
}

/// What became of an event, with why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side is as it should be.
    Done {
        /// A stable word: `pushed`, `created`, `cancelled`…
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// Nothing had to be done.
    Skipped {
        /// A stable word: `unchanged`, `stale`, `echo`, `switch_off`…
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// Waits.
    Parked {
        /// What it waits for.
        cause: Cause,
        /// What ends the cause, such as `sku:AT-S`; brings the row forward.
        cause_key: Option<String>,
        /// For people: what is missing and what mends it.
        reason: String,
        /// When it is looked at again at the latest; `None` leaves it to the re-check setting.
        due: Option<Millis>,
    },
    /// Failed in a way that may pass: counted, and parked by the retry schedule until that is used up.
    Failing {
        /// A stable word: `timeout`, `server_error`…
        code: &'static str,
        /// For people.
        reason: String,
        /// The other side's last answer, redacted.
        last_answer: Option<String>,
        /// Not before this moment (`Retry-After`).
        not_before: Option<Millis>,
    },
    /// Given up.
    Dead {
        /// A stable word: `refused`, `unreadable`, `total_mismatch`…
        code: &'static str,
        /// For people.
        reason: String,
        /// The other side's last answer, redacted.
        last_answer: Option<String>,
    },
}

impl Outcome {
    /// Done, with its word and reason.
    pub fn done(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Done { code, reason: reason.into() }
    }

    /// Skipped, with its word and reason.
    pub fn skipped(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Skipped { code, reason: reason.into() }
    }

    /// Dead, with its word and reason.
    pub fn dead(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Dead { code, reason: reason.into(), last_answer: None }
    }

    /// Parked for a cause.
    pub fn parked(cause: Cause, cause_key: Option<String>, reason: impl Into<String>) -> Self {
        Self::Parked { cause, cause_key, reason: reason.into(), due: None }
    }

    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Done { code, .. }
            | Self::Skipped { code, .. }
            | Self::Failing { code, .. }
            | Self::Dead { code, .. } => code,
            Self::Parked { cause, .. } => cause.as_str(),
        }
    }

    /// The reason, for people.
    pub fn reason(&self) -> &str {
        match self {
            Self::Done { reason, .. }
            | Self::Skipped { reason, .. }
            | Self::Parked { reason, .. }
            | Self::Failing { reason, .. }
            | Self::Dead { reason, .. } => reason,
        }
    }
}
