//! The states of a web's orders and what one side's asks of the other (guide W: paid and cancelled follow by the rules
//! of A, closed is only archiving).
//!
//! Nothing is cancelled on a guess, and cancelled is final.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::domain::money::Vnd;
use crate::domain::web::WebOrder;
use crate::map::abaha::stage::PosStage;

/// The most letters kept of a word that is not known.
const WORD_LETTERS: usize = 40;

/// The stage of a web's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebStage {
    /// Cancelled.
    Cancelled,
    /// Everything came back.
    Returned,
    /// Shipped, all of it.
    Fulfilled,
    /// Archived; it stands all the same.
    Closed,
    /// Open.
    Open,
    /// A status or return status that is not documented.
    Unknown(String),
}

impl WebStage {
    /// Reads the stage, testing the fields in the order of the values above.
    ///
    /// An order of which a part came back stands. A return status that is not documented might be a return, so it is
    /// unknown.
    pub fn of(order: &WebOrder) -> Self {
        let fulfilled = order.fulfillment_status.as_deref() == Some("fulfilled");
        let unknown = |word: &str| Self::Unknown(word.chars().take(WORD_LETTERS).collect());
        let returned = match order.return_status.trim().to_lowercase().as_str() {
            "" | "no_return" | "unreturned" => None,
            word if word.contains("partial") => None,
            "returned" => Some(Self::Returned),
            _ => Some(unknown(order.return_status.trim())),
        };
        match order.status.as_str() {
            _ if order.cancelled => Self::Cancelled,
            "cancelled" => Self::Cancelled,
            "open" | "closed" => returned.unwrap_or(match order.status.as_str() {
                _ if fulfilled => Self::Fulfilled,
                "closed" => Self::Closed,
                _ => Self::Open,
            }),
            other => unknown(other),
        }
    }

    /// The word for it in SQL; an unknown one carries what was read: `unknown:frozen`.
    pub fn as_word(&self) -> Cow<'static, str> {
        match self {
            Self::Cancelled => Cow::Borrowed("cancelled"),
            Self::Returned => Cow::Borrowed("returned"),
            Self::Fulfilled => Cow::Borrowed("fulfilled"),
            Self::Closed => Cow::Borrowed("closed"),
            Self::Open => Cow::Borrowed("open"),
            Self::Unknown(read) => Cow::Owned(format!("unknown:{read}")),
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "cancelled" => Some(Self::Cancelled),
            "returned" => Some(Self::Returned),
            "fulfilled" => Some(Self::Fulfilled),
            "closed" => Some(Self::Closed),
            "open" => Some(Self::Open),
            _ => word.strip_prefix("unknown:").map(|read| Self::Unknown(read.to_owned())),
        }
    }
}

/// What one side's stage asks of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, and why.
    Nothing {
        /// The stable word.
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// That the order is cancelled there.
    Cancel,
    /// That the web's order is marked as shipped.
    Fulfil,
}

impl Asked {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nothing { code, .. } => code,
            Self::Cancel => "cancel",
            Self::Fulfil => "fulfil",
        }
    }

    fn nothing(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Nothing { code, reason: reason.into() }
    }
}

/// Whether a web's order of this stage is created on the POS. A closed one is: closing only archives it.
///
/// # Errors
/// Why it is not.
pub fn may_be_created(stage: &WebStage) -> Result<(), Asked> {
    match stage {
        WebStage::Open | WebStage::Closed | WebStage::Fulfilled => Ok(()),
        WebStage::Cancelled => Err(Asked::nothing(
            "never_created",
            "The order was cancelled on the web before it reached the POS, so it is not created there.",
        )),
        WebStage::Returned => Err(Asked::nothing(
            "never_created",
            "The order was returned on the web before it reached the POS, so it is not created there.",
        )),
        WebStage::Unknown(word) => Err(unknown_on_web(word)),
    }
}

/// What a web's order asks of the linked POS order, which is at `there`.
pub fn to_pos(stage: &WebStage, there: &PosStage) -> Asked {
    match stage {
        WebStage::Unknown(word) => unknown_on_web(word),
        WebStage::Cancelled => match there {
            PosStage::Cancelled => same(),
            PosStage::Returned => Asked::nothing(
                "already_returned",
                "The order was returned on the POS already, so there is nothing to cancel.",
            ),
            PosStage::Finished | PosStage::Unknown(_) => held(there),
            _ => Asked::Cancel,
        },
        WebStage::Returned => match there {
            PosStage::Cancelled | PosStage::Returned => same(),
            _ => Asked::nothing(
                "returned",
                "The order was returned on the web; goods come back on the POS only with a return slip (phiếu trả \
                 hàng). Make one there, or cancel the order if it never left the shop.",
            ),
        },
        WebStage::Open | WebStage::Closed | WebStage::Fulfilled => match there {
            PosStage::Cancelled => Asked::nothing(
                "after_cancel",
                "The order stands on the web, but it was cancelled on the POS, and cancelled is final. Make a new order \
                 there if it is to be delivered, or cancel it on the web.",
            ),
            _ => same(),
        },
    }
}

/// What a POS order asks of the linked web's order, which is at `there`; `all_shipped` tells whether a shipped one has
/// left the shop whole.
pub fn to_web(stage: &PosStage, all_shipped: bool, there: &WebStage) -> Asked {
    match (stage, there) {
        (PosStage::Finished | PosStage::Unknown(_), _) => held(stage),
        (_, WebStage::Unknown(word)) => unknown_on_web(word),
        (PosStage::Cancelled | PosStage::Returned, WebStage::Returned) => same(),
        (_, WebStage::Returned) => Asked::nothing(
            "returned",
            "The order was returned on the web, so neither shipped nor cancelled goes there. Set its state on the POS \
             by hand.",
        ),
        (PosStage::Cancelled, WebStage::Cancelled) | (PosStage::Shipped | PosStage::Completed, WebStage::Fulfilled) => {
            same()
        }
        (PosStage::Cancelled, _) => Asked::Cancel,
        (_, WebStage::Cancelled) => Asked::nothing(
            "after_cancel",
            "The order stands on the POS, but it was cancelled on the web, and cancelled is final. Cancel it on the \
             POS, or make a new order on the web.",
        ),
        (PosStage::Returned | PosStage::PartReturned, _) => Asked::nothing(
            "returned",
            "The order was returned on the POS, at least in part; a web has no state for that. Look at it there.",
        ),
        (PosStage::Completed, _) => Asked::Fulfil,
        (PosStage::Shipped, _) if all_shipped => Asked::Fulfil,
        (PosStage::Shipped, _) => Asked::nothing(
            "part_shipped",
            "A part of the order has left the shop; the web's order is marked as shipped once all of it has.",
        ),
        (PosStage::Draft | PosStage::Finalized | PosStage::Packed, _) => {
            Asked::nothing("nothing_asked", "Only shipped and cancelled go back to the web.")
        }
    }
}

/// What a web's order says was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paid {
    /// Nothing that is to be recorded.
    Nothing,
    /// All of it.
    Whole,
    /// So much of it so far.
    SoFar(Decimal),
    /// Something that leaves a note alone, in words.
    Note(String),
}

/// Reads what was paid; `before` tells whether the whole was recorded on the POS once. Payments are only ever added.
pub fn paid(order: &WebOrder, before: bool) -> Paid {
    match order.financial_status.as_str() {
        "paid" => Paid::Whole,
        "partially_paid" => match order.received {
            Some(received) if received > Decimal::ZERO => Paid::SoFar(received),
            _ => Paid::Note("paid in part on the web, which does not say how much; record it on the POS".to_owned()),
        },
        "" | "pending" | "authorized" if before => {
            Paid::Note("paid before, and not paid on the web now; look at it on the POS".to_owned())
        }
        "" | "pending" | "authorized" => Paid::Nothing,
        other => {
            let word: String = other.chars().take(WORD_LETTERS).collect();
            let received = order.received.map(|received| format!(", {} received", Vnd(received))).unwrap_or_default();
            Paid::Note(format!(
                "the web's payment state is {word}{received}; payments are only ever added on the POS, look at it there"
            ))
        }
    }
}

fn same() -> Asked {
    Asked::nothing("same_class", "Both sides agree on whether the order stands, and nothing else is asked.")
}

fn held(stage: &PosStage) -> Asked {
    match stage {
        PosStage::Finished => Asked::nothing(
            "finished",
            "Work on the order was stopped on the POS (Ngừng thao tác), which says neither that it stands nor that it \
             is cancelled. Set the state by hand.",
        ),
        other => Asked::nothing(
            "unknown_status",
            format!("The POS states the order as \"{}\", which is not known. Set the state by hand.", other.as_word()),
        ),
    }
}

fn unknown_on_web(word: &str) -> Asked {
    Asked::nothing(
        "unknown_status",
        format!(
            "The web states the order as \"{word}\", which is not known. Replay the event, so that it is read anew."
        ),
    )
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
