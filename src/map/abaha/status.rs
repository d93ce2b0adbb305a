//! The status table, both ways (guide A, "Order status"): what one side's stage asks of the other.
//!
//! Nothing is cancelled on a guess, cancelled is terminal, and no stage goes backwards.

use super::stage::{CANCELLED_CODE, usable_returned_code};
pub use super::stage::{ChannelStage, Class, PosStage};
use crate::domain::connection::StatusProfile;

/// What is to be done about an order's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing has to be done.
    Nothing {
        /// The stable word.
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// The channel's order gets this status code.
    SetStatus(i64),
    /// The POS order is cancelled.
    Cancel,
    /// Nothing is done, and the order keeps a note for people.
    Note {
        /// The stable word.
        code: &'static str,
        /// For people: what differs and what they can do.
        reason: String,
    },
    /// It cannot be said what is to be done; a person has to look.
    Hold {
        /// The stable word.
        code: &'static str,
        /// For people: what was not understood and what mends it.
        reason: String,
    },
}

impl Decision {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nothing { code, .. } | Self::Note { code, .. } | Self::Hold { code, .. } => code,
            Self::SetStatus(_) => "set_status",
            Self::Cancel => "cancel",
        }
    }

    fn nothing(code: &'static str, reason: &str) -> Self {
        Self::Nothing { code, reason: reason.to_owned() }
    }

    fn note(code: &'static str, reason: &str) -> Self {
        Self::Note { code, reason: reason.to_owned() }
    }
}

/// The detailed profile's table (ours). A part-returned order has been shipped, so a new one starts there.
const STAGES: &[(PosStage, ChannelStage)] = &[
    (PosStage::Draft, ChannelStage::Placed),
    (PosStage::Finalized, ChannelStage::Accepted),
    (PosStage::Packed, ChannelStage::Packing),
    (PosStage::Shipped, ChannelStage::Delivering),
    (PosStage::PartReturned, ChannelStage::Delivering),
    (PosStage::Completed, ChannelStage::Completed),
];

/// Decides what a POS order's stage asks of the linked channel order, whose last known stage is `there`.
///
/// A return on Sapo has no row in the guide's table: in the two-class profile it changes nothing and leaves a note
/// (ours). In the detailed profile it is written only where `returned_code` is set.
pub fn to_channel(
    profile: StatusProfile,
    stage: &PosStage,
    there: &ChannelStage,
    returned_code: Option<i64>,
) -> Decision {
    match there {
        ChannelStage::Cart => return cart(),
        ChannelStage::Closed if matches!(stage, PosStage::Cancelled | PosStage::Returned) => {
            return Decision::note(
                "channel_closed",
                "The order was cancelled or returned on Sapo, but Abaha has closed it already. Set it there by hand if need be.",
            );
        }
        ChannelStage::Closed => return closed(),
        ChannelStage::Unknown(code) => return unknown_code(*code),
        _ => {}
    }
    match (stage, there.class()) {
        (PosStage::Finished | PosStage::Unknown(_), _) => held(stage),
        (PosStage::Cancelled | PosStage::Returned, Class::Cancelled) => same_class(),
        (PosStage::Cancelled, _) => Decision::SetStatus(CANCELLED_CODE),
        (PosStage::Returned, _) => returned(profile, returned_code),
        (_, Class::Cancelled) => after_cancel("Sapo", "Abaha"),
        _ => match profile {
            StatusProfile::TwoClass => same_class(),
            StatusProfile::Detailed => forward(stage, *there),
        },
    }
}

/// Decides what a channel order's stage asks of the linked POS order: it is cancelled, or left as it is.
///
/// Hủy and Hoàn hàng both cancel. An order that was delivered cannot be cancelled on Sapo, which then says so itself.
pub fn to_pos(stage: &ChannelStage, there: &PosStage) -> Decision {
    match (stage, stage.class()) {
        (ChannelStage::Cart, _) => cart(),
        (ChannelStage::Unknown(code), _) => unknown_code(*code),
        (_, Class::Neutral) => closed(),
        (_, Class::Live) => match there.class() {
            Class::Live => same_class(),
            Class::Cancelled => after_cancel("Abaha", "Sapo"),
            Class::Neutral => {
                Decision::nothing("nothing_asked", "A live order on Abaha asks nothing of its order on Sapo.")
            }
        },
        (_, Class::Cancelled) => match there {
            PosStage::Cancelled => same_class(),
            PosStage::Returned => Decision::nothing(
                "already_returned",
                "The order was returned on Sapo already, so there is nothing to cancel.",
            ),
            PosStage::Finished | PosStage::Unknown(_) => held(there),
            _ => Decision::Cancel,
        },
    }
}

/// The status code with which a POS order is created on the channel.
///
/// # Errors
/// Why it is not created: [`Decision::Nothing`] for a cancelled or returned order, [`Decision::Hold`] for one whose
/// stage cannot be told.
pub fn first_status(profile: StatusProfile, stage: &PosStage) -> Result<i64, Decision> {
    let first = match (stage, profile) {
        (PosStage::Cancelled | PosStage::Returned, _) => return Err(never_created()),
        (PosStage::Finished | PosStage::Unknown(_), _) => return Err(held(stage)),
        (_, StatusProfile::TwoClass) => Some(ChannelStage::Placed),
        (_, StatusProfile::Detailed) => counterpart(stage),
    };
    first.and_then(ChannelStage::code).ok_or_else(|| held(stage))
}

/// Whether a channel order of this stage is created on the POS; it then starts as a draft (Đặt hàng).
///
/// # Errors
/// Why it is not created: [`Decision::Nothing`] for a cart and for an order that is cancelled, returned or closed,
/// [`Decision::Hold`] for one whose status is not known.
pub fn may_be_created(stage: &ChannelStage) -> Result<(), Decision> {
    match stage.class() {
        Class::Live => Ok(()),
        Class::Cancelled => Err(never_created()),
        Class::Neutral => Err(match stage {
            ChannelStage::Cart => cart(),
            ChannelStage::Unknown(code) => unknown_code(*code),
            _ => closed(),
        }),
    }
}

fn counterpart(stage: &PosStage) -> Option<ChannelStage> {
    STAGES.iter().find(|row| row.0 == *stage).map(|row| row.1)
}

/// The next status of an order that stands on both sides, stage by stage.
fn forward(stage: &PosStage, there: ChannelStage) -> Decision {
    if *stage == PosStage::PartReturned {
        return Decision::note(
            "part_returned",
            "A part of the order was returned on Sapo; Abaha has no status for that. Correct the order there by hand.",
        );
    }
    let Some(wanted) = counterpart(stage) else {
        return held(stage);
    };
    match (wanted.rank().cmp(&there.rank()), wanted.code()) {
        (std::cmp::Ordering::Greater, Some(code)) => Decision::SetStatus(code),
        (std::cmp::Ordering::Less, _) => {
            Decision::nothing("never_backwards", "Abaha's order is further on already, and no status goes backwards.")
        }
        _ => Decision::nothing("same_stage", "Both sides are at the same stage."),
    }
}

fn returned(profile: StatusProfile, returned_code: Option<i64>) -> Decision {
    match (profile, usable_returned_code(returned_code)) {
        (StatusProfile::Detailed, Some(code)) => Decision::SetStatus(code),
        (StatusProfile::Detailed, None) => Decision::note(
            "returned_without_code",
            "The order was returned on Sapo, but Abaha's code for Hoàn hàng is not known. Set `returned_code` in the \
             connection's settings, or set the status on Abaha by hand.",
        ),
        (StatusProfile::TwoClass, _) => Decision::note(
            "returned",
            "The order was returned on Sapo; the two-class status table has no row for that, so Abaha is left as it is. \
             Set Hoàn hàng there by hand, or choose the status profile `detailed`.",
        ),
    }
}

fn same_class() -> Decision {
    Decision::nothing("same_class", "Both sides agree on whether the order stands or is cancelled.")
}

fn cart() -> Decision {
    Decision::nothing("cart", "On Abaha this is still a cart, not yet an order.")
}

fn closed() -> Decision {
    Decision::nothing("closed", "The order is closed on Abaha, which changes nothing.")
}

fn never_created() -> Decision {
    Decision::nothing(
        "never_created",
        "The order was cancelled or returned before it reached the other side, so it is not created there.",
    )
}

fn after_cancel(live: &str, cancelled: &str) -> Decision {
    Decision::Note {
        code: "after_cancel",
        reason: format!(
            "The order stands on {live}, but it was cancelled on {cancelled}, and cancelled is final. Make a new order \
             there if it is to be delivered, or cancel it on {live}."
        ),
    }
}

fn held(stage: &PosStage) -> Decision {
    let (code, reason) = match stage {
        PosStage::Finished => (
            "finished",
            "Work on the order was stopped on Sapo (Ngừng thao tác), which says neither that it stands nor that it is \
             cancelled. Set the status on Abaha by hand."
                .to_owned(),
        ),
        PosStage::Unknown(word) => (
            "unknown_status",
            format!(
                "Sapo states the order's status as \"{word}\", which is not known. Set the status on Abaha by hand."
            ),
        ),
        _ => ("unknown_status", format!("The stage \"{}\" has no counterpart on Abaha.", stage.as_word())),
    };
    Decision::Hold { code, reason }
}

fn unknown_code(code: Option<i64>) -> Decision {
    let reason = match code {
        Some(code) => format!(
            "Abaha states the order's status as {code}, which is not known. If it means Hoàn hàng, set `returned_code` in \
             the connection's settings; else set the order's status on Sapo by hand."
        ),
        None => {
            "Abaha's status of the order is not known. Replay the event, so that the order is read anew.".to_owned()
        }
    };
    Decision::Hold { code: "unknown_status", reason }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
