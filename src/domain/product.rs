//! Products as the POS states them, and as a channel should show them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::clock::Millis;

/// A product of the POS with its variants (the source shape of the product mapping).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PosProduct {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `status == "active"`.
    pub active: bool,
    /// Its category.
    pub category: Option<PosCategory>,
    /// Its description, used on creation only.
    pub description: Option<String>,
    /// Addresses of its images, used on creation only.
    pub images: Vec<String>,
    /// Its variants.
    pub variants: Vec<PosVariant>,
    /// `modified_on`.
    pub version: Option<Millis>,
}

/// A category of the POS.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PosCategory {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A variant of the POS.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct PosVariant {
    /// Its id.
    pub id: String,
    /// As typed by the shop.
    pub sku: String,
    /// Its full name.
    pub name: String,
    /// `status == "active"` (or absent).
    pub active: bool,
    /// Giá bán lẻ (BANLE); `None` where it is null, absent or not a number.
    pub retail_price: Option<Decimal>,
    /// Every price by the code of its price list (BANLE, BANBUON…); those that are no number are left out.
    #[serde(default)]
    pub prices: BTreeMap<String, Decimal>,
    /// Stock by branch.
    pub inventories: Vec<PosInventory>,
    /// The variants whose stock decides this one's: combo parts, or the root of a pack size.
    pub components: Vec<String>,
    /// How many of each component one of this takes, where the POS says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quantities: BTreeMap<String, Decimal>,
}

impl PosVariant {
    /// What one of this is made of: each component, and how many; one where the POS does not say.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Decimal)> {
        let taken = |id: &String| self.quantities.get(id).copied().unwrap_or(Decimal::ONE);
        self.components.iter().map(move |id| (id.as_str(), taken(id)))
    }
}

/// A variant's stock in one branch; fractions and negatives occur.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct PosInventory {
    /// The branch.
    pub location_id: String,
    /// What can still be sold.
    pub available: Option<Decimal>,
    /// What lies there.
    pub on_hand: Option<Decimal>,
}

/// The fields of a channel product that we own: what is compared, pushed and remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The name.
    pub name: String,
    /// The channel's category id.
    pub category_id: Option<String>,
    /// List price and selling price; `None` leaves the channel's alone.
    pub price: Option<Decimal>,
    /// Whole units; `None` leaves the channel's alone.
    pub stock: Option<i64>,
    /// Shown or hidden.
    pub visible: bool,
}

/// A new product for a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct NewListing {
    /// `product_code` = SKU.
    pub code: String,
    /// The fields we own.
    pub listing: Listing,
    /// On creation only.
    pub description: Option<String>,
    /// On creation only.
    pub images: Vec<String>,
}

/// A product as a channel states it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ChannelProduct {
    /// Its id on the channel.
    pub id: String,
    /// `product_code`.
    pub code: String,
    /// The name.
    pub name: String,
    /// The channel's category id.
    pub category_id: Option<String>,
    /// List price.
    pub price: Option<Decimal>,
    /// Selling price.
    pub selling_price: Option<Decimal>,
    /// Stock.
    pub stock: Option<Decimal>,
    /// Shown or hidden; `None` where the API did not say.
    pub visible: Option<bool>,
}

/// A category as a channel states it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChannelCategory {
    /// Its id on the channel.
    pub id: String,
    /// Its name.
    pub name: String,
}
