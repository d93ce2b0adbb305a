//! Sapo Omni's JSON, read liberally and written exactly; pure.
//!
//! Unconfirmed, and gathered here: a body may be wrapped under its kind; the shape of `delivery_fee` (`{"fee": n}`, or a
//! bare number); that a prepayment's `reference` can be written; the tenant's path and shape; `is_primary` of a branch.

mod read;
mod write;

pub(super) use read::{category, choice, id_of, tenant, variant};
pub use read::{customer, order, product};
pub(super) use write::{customer_body, order_body, prepayment_body};

use rust_decimal::Decimal;

/// The shop, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tenant {
    /// `tenant_id` in every body; to be learned from the first verified one where the shop does not tell it.
    pub id: Option<String>,
    /// The shop's name.
    pub name: String,
}

/// A variant found by its SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantRef {
    /// Its id.
    pub id: String,
    /// Its product.
    pub product_id: Option<String>,
    /// As typed by the shop.
    pub sku: String,
}

/// One of the things an owner chooses from: a branch, a staff member, a source, a payment method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its id.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Whether it is in use.
    pub active: bool,
    /// Whether the shop marks it as its default (`is_primary`, unconfirmed).
    pub primary: bool,
}

impl Choice {
    /// The default of several: the one that is marked, else the only one. One that is not in use counts for neither.
    pub fn default_of(choices: &[Self]) -> Option<u64> {
        let active: Vec<&Self> = choices.iter().filter(|choice| choice.active).collect();
        let marked = active.iter().find(|choice| choice.primary);
        marked.or(if active.len() == 1 { active.first() } else { None }).map(|choice| choice.id)
    }
}

/// A payment taken before delivery, to be recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewPrepayment<'a> {
    /// How it was paid.
    pub payment_method: u64,
    /// How much, in đồng.
    pub amount: Decimal,
    /// The channel's own order code.
    pub reference: &'a str,
}
