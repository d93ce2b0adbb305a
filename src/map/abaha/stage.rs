//! The stages of an order on each side, read from their fields and kept as words.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use crate::domain::order::{ChannelOrder, PosOrder};

/// The most letters kept of a word that is not known.
const WORD_LETTERS: usize = 40;

/// Which half of the guide's table a stage belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An order that stands.
    Live,
    /// Cancelled, or returned on Abaha: the guide puts both on one row.
    Cancelled,
    /// Neither can be said: nothing follows from it.
    Neutral,
}

/// The stage of a Sapo order, a function of several of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PosStage {
    /// Đã hủy.
    Cancelled,
    /// Ngừng thao tác.
    Finished,
    /// A status or return status that is not documented.
    Unknown(String),
    /// Everything came back.
    Returned,
    /// A part came back.
    PartReturned,
    /// Hoàn thành.
    Completed,
    /// Xuất kho, at least in part.
    Shipped,
    /// Đóng gói, at least in part.
    Packed,
    /// Duyệt.
    Finalized,
    /// Đặt hàng.
    Draft,
}

/// The plain stages of the POS and their words.
const POS_WORDS: &[(PosStage, &str)] = &[
    (PosStage::Cancelled, "cancelled"),
    (PosStage::Finished, "finished"),
    (PosStage::Returned, "returned"),
    (PosStage::PartReturned, "part_returned"),
    (PosStage::Completed, "completed"),
    (PosStage::Shipped, "shipped"),
    (PosStage::Packed, "packed"),
    (PosStage::Finalized, "finalized"),
    (PosStage::Draft, "draft"),
];

impl PosStage {
    /// Reads the stage, testing the fields in the order of the status table.
    ///
    /// Received but unpaid is still shipped. A packed or fulfillment status that is not documented counts as not
    /// reached: the order's own status vouches for the stage below it, and none goes backwards. A return status that
    /// is not documented might be a return, so it is unknown. Absent fields are the first of their values.
    pub fn of(order: &PosOrder) -> Self {
        let status = fold(&order.status);
        if order.cancelled || status == "cancelled" {
            return Self::Cancelled;
        }
        match status.as_str() {
            "finished" => return Self::Finished,
            "draft" | "finalized" | "completed" => {}
            _ => return Self::Unknown(short(order.status.trim())),
        }
        match fold(&order.return_status).as_str() {
            "returned" => return Self::Returned,
            "partial" => return Self::PartReturned,
            "" | "unreturned" => {}
            _ => return Self::Unknown(short(order.return_status.trim())),
        }
        if status == "completed" {
            Self::Completed
        } else if matches!(fold(&order.fulfillment_status).as_str(), "shipped" | "partial") {
            Self::Shipped
        } else if matches!(fold(&order.packed_status).as_str(), "packed" | "partial") {
            Self::Packed
        } else if status == "finalized" {
            Self::Finalized
        } else {
            Self::Draft
        }
    }

    /// Its half of the guide's table; a return on Sapo has no row there.
    pub fn class(&self) -> Class {
        match self {
            Self::Cancelled => Class::Cancelled,
            Self::Finished | Self::Unknown(_) | Self::Returned => Class::Neutral,
            Self::PartReturned | Self::Completed | Self::Shipped | Self::Packed | Self::Finalized | Self::Draft => {
                Class::Live
            }
        }
    }

    /// The word for it in SQL; an unknown one carries what was read: `unknown:frozen`.
    pub fn as_word(&self) -> Cow<'static, str> {
        match self {
            Self::Unknown(read) => Cow::Owned(format!("unknown:{read}")),
            _ => Cow::Borrowed(POS_WORDS.iter().find(|(stage, _)| stage == self).map_or("unknown:", |(_, word)| word)),
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(read) = word.strip_prefix("unknown:") {
            return Some(Self::Unknown(read.to_owned()));
        }
        POS_WORDS.iter().find(|(_, known)| *known == word).map(|(stage, _)| stage.clone())
    }
}

/// The stage of an Abaha order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelStage {
    /// Hủy.
    Cancelled,
    /// A cart, not yet an order.
    Cart,
    /// Đặt hàng.
    Placed,
    /// Duyệt.
    Accepted,
    /// Đóng gói.
    Packing,
    /// Xuất kho.
    Delivering,
    /// Hoàn thành.
    Completed,
    /// Closed: changes nothing.
    Closed,
    /// Hoàn hàng; it has no public code.
    Returned,
    /// No code, or one that is not known.
    Unknown(Option<i64>),
}

/// The code of Hủy, as it is written.
pub const CANCELLED_CODE: i64 = 0;

/// Abaha's status codes (seen in other people's code, and in part in Abaha's guide), with the words for SQL.
///
/// Live stages stand in the order in which an order goes through them. Of two rows for one stage the first is written.
const CHANNEL_CODES: &[(i64, ChannelStage, &str)] = &[
    (CANCELLED_CODE, ChannelStage::Cancelled, "cancelled"),
    (-1, ChannelStage::Cancelled, "cancelled"),
    (1, ChannelStage::Cart, "cart"),
    (5, ChannelStage::Placed, "placed"),
    (10, ChannelStage::Accepted, "accepted"),
    (15, ChannelStage::Packing, "packing"),
    (20, ChannelStage::Delivering, "delivering"),
    (25, ChannelStage::Completed, "completed"),
    (30, ChannelStage::Closed, "closed"),
];

/// Abaha's words for a return, folded.
const RETURNED_VIEW: &str = "hoàn hàng";

impl ChannelStage {
    /// Reads the stage of an order; `returned_code` is the setting of that name.
    pub fn of(order: &ChannelOrder, returned_code: Option<i64>) -> Self {
        Self::read(order.status, order.status_view.as_deref(), returned_code)
    }

    /// Reads the stage from code and words; a return is told by the words, or by the configured code.
    pub fn read(status: Option<i64>, status_view: Option<&str>, returned_code: Option<i64>) -> Self {
        if status_view.is_some_and(|view| fold(view) == RETURNED_VIEW) {
            return Self::Returned;
        }
        let Some(code) = status else {
            return Self::Unknown(None);
        };
        if usable_returned_code(returned_code) == Some(code) {
            return Self::Returned;
        }
        CHANNEL_CODES.iter().find(|row| row.0 == code).map_or(Self::Unknown(Some(code)), |row| row.1)
    }

    /// The code that is written for it, where it has a public one.
    pub fn code(self) -> Option<i64> {
        CHANNEL_CODES.iter().find(|row| row.1 == self).map(|row| row.0)
    }

    /// How far an order that stands has come; none for the others.
    pub fn rank(self) -> Option<usize> {
        match self.class() {
            Class::Live => CHANNEL_CODES.iter().position(|row| row.1 == self),
            Class::Cancelled | Class::Neutral => None,
        }
    }

    /// Its half of the guide's table.
    pub fn class(self) -> Class {
        match self {
            Self::Cancelled | Self::Returned => Class::Cancelled,
            Self::Placed | Self::Accepted | Self::Packing | Self::Delivering | Self::Completed => Class::Live,
            Self::Cart | Self::Closed | Self::Unknown(_) => Class::Neutral,
        }
    }

    /// The word for it in SQL; an unknown one carries its code: `unknown:7`.
    pub fn as_word(self) -> Cow<'static, str> {
        match self {
            Self::Returned => Cow::Borrowed("returned"),
            Self::Unknown(Some(code)) => Cow::Owned(format!("unknown:{code}")),
            _ => Cow::Borrowed(CHANNEL_CODES.iter().find(|row| row.1 == self).map_or("unknown", |row| row.2)),
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "returned" => Some(Self::Returned),
            "unknown" => Some(Self::Unknown(None)),
            _ => match word.strip_prefix("unknown:") {
                Some(code) => Some(Self::Unknown(Some(code.parse().ok()?))),
                None => CHANNEL_CODES.iter().find(|row| row.2 == word).map(|row| row.1),
            },
        }
    }
}

/// The configured code of Hoàn hàng, unless it already means something else.
///
/// A setting of, say, 25 would cancel every completed order on Sapo, so a known code is not taken, other than 30:
/// Abaha's closed orders may well be its returned ones (unconfirmed).
pub fn usable_returned_code(returned_code: Option<i64>) -> Option<i64> {
    returned_code.filter(|code| CHANNEL_CODES.iter().all(|row| row.0 != *code || row.1 == ChannelStage::Closed))
}

/// Folds case, Unicode form and the ends, but neither diacritics nor inner blanks.
fn fold(text: &str) -> String {
    text.trim().nfc().collect::<String>().to_lowercase()
}

fn short(text: &str) -> String {
    text.chars().take(WORD_LETTERS).collect()
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
