//! Sapo Web's JSON, read liberally and written exactly; pure.
//!
//! Unconfirmed, and gathered here: a body may be wrapped under its kind; `inventory_levels/set`, that levels are listed
//! by `location_ids` and `inventory_item_ids`, and that `inventory_quantity` of a variant can be written where there are
//! no levels; which word of `inventory_management` counts (`bizweb`, the product's old name, in every sample); which
//! field marks a location as the default; the fields of a new fulfilment; that a compare-at price is cleared by null.

mod read;
mod write;

pub(super) use read::{count, level, location, shop};
pub use read::{order, product};
pub(super) use write::{fulfilment_body, price_body, quantity_body, stock_body};

use rust_decimal::Decimal;

/// The web, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WebShop {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What is to be changed of a variant's prices; nothing else is sent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PriceChange {
    /// The new price.
    pub price: Option<Decimal>,
    /// The new compare-at price; `Some(None)` clears it.
    pub compare_at: Option<Option<Decimal>>,
}

impl PriceChange {
    /// Whether there is nothing to be changed.
    pub fn is_empty(&self) -> bool {
        self.price.is_none() && self.compare_at.is_none()
    }
}
