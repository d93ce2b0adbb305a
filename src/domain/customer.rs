//! Customers as each side states them.

use super::clock::Millis;

/// A customer of the POS.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PosCustomer {
    /// Its id.
    pub id: String,
    /// As typed; may be empty or just the phone number.
    pub name: String,
    /// As typed.
    pub phone: Option<String>,
    /// As typed.
    pub email: Option<String>,
    /// Its code; the walk-in customer's is often `KL`.
    pub code: Option<String>,
    /// `modified_on`.
    pub version: Option<Millis>,
}

/// A customer of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChannelCustomer {
    /// Its id there.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// Its phone there, as stored.
    pub phone: Option<String>,
}

/// A customer to be created on the POS, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewPosCustomer {
    /// The name to give.
    pub name: String,
    /// National form, `0…`.
    pub phone: Option<String>,
    /// In lower case.
    pub email: Option<String>,
}

/// A customer to be created on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCustomer {
    /// The name to give.
    pub name: String,
    /// National form, `0…`.
    pub phone: String,
}
