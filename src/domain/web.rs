//! Sapo Web as its API states it: products with variants, stock levels, orders.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::clock::Millis;

/// A product of a web, with its variants.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WebProduct {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Shown or hidden (`published_on`).
    pub published: bool,
    /// Its variants.
    pub variants: Vec<WebVariant>,
    /// `modified_on`.
    pub version: Option<Millis>,
}

impl WebProduct {
    /// What the stock of its variants is written by, of those that the web counts.
    pub fn counted_items(&self) -> Vec<String> {
        let counted = self.variants.iter().filter(|variant| variant.managed);
        counted.filter_map(|variant| variant.inventory_item_id.clone()).collect()
    }

    /// Records what is available at a location of the inventory items of which that is known.
    pub fn set_levels(&mut self, location: u64, level: impl Fn(&str) -> Option<Decimal>) {
        for variant in &mut self.variants {
            if let Some(level) = variant.inventory_item_id.as_deref().and_then(&level) {
                variant.set_stock_at(Some(location), level);
            }
        }
    }
}

/// A variant of a web.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct WebVariant {
    /// Its id.
    pub id: String,
    /// As typed by the shop.
    pub sku: String,
    /// Its title, such as "M"; "Default Title" where the product has one variant alone.
    pub title: String,
    /// What its stock is written by; not the variant's id.
    pub inventory_item_id: Option<String>,
    /// Whether the web counts its stock (`inventory_management` "bizweb").
    pub managed: bool,
    /// Stock, *available*, of all locations together; fractions and negatives occur; `None` where the API did not say.
    pub quantity: Option<Decimal>,
    /// Price.
    pub price: Option<Decimal>,
    /// Compare-at price; `None` for none (0 or null).
    pub compare_at: Option<Decimal>,
    /// What is available at single locations, as far as that was asked for or told: no product states it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<u64, Decimal>,
    /// Whether the answer of a call that changes it was lost: it may show something else than is known of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

impl WebVariant {
    /// The stock at a location, where that is known; without one that of all together.
    pub fn stock_at(&self, location: Option<u64>) -> Option<Decimal> {
        match location {
            Some(location) => self.levels.get(&location).copied(),
            None => self.quantity,
        }
    }

    /// Records the stock at a location; without one that of all together.
    pub fn set_stock_at(&mut self, location: Option<u64>, available: Decimal) {
        match location {
            Some(location) => {
                self.levels.insert(location, available);
            }
            None => self.quantity = Some(available),
        }
    }
}

/// An address as a web's order carries it. What the API left out is empty.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Address {
    /// The first line; an address without it is none.
    pub address1: String,
    /// The second line.
    pub address2: String,
    /// The person's whole name.
    pub name: String,
    /// As typed.
    pub phone: String,
    /// Phường / Xã.
    pub ward: String,
    /// Quận / Huyện.
    pub district: String,
    /// Tỉnh / Thành phố.
    pub province: String,
    /// Country.
    pub country: String,
    /// Postal code.
    pub zip: String,
}

/// The customer of a web's order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WebBuyer {
    /// Its id on the web; none for a guest.
    pub id: Option<String>,
    /// Họ.
    pub last_name: String,
    /// Tên.
    pub first_name: String,
    /// As typed, often `+84…`.
    pub phone: Option<String>,
    /// E-mail.
    pub email: Option<String>,
}

/// A line of a web's order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WebLine {
    /// The variant; none for a free-form line.
    pub variant_id: Option<String>,
    /// The product.
    pub product_id: Option<String>,
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Price of one.
    pub price: Decimal,
    /// How many; fractions occur.
    pub quantity: Decimal,
}

/// An order of a web.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WebOrder {
    /// Its id.
    pub id: String,
    /// Its name there, `#1001`: what the POS keeps in `reference_number`.
    pub name: String,
    /// open, closed, cancelled.
    pub status: String,
    /// Whether it was cancelled is also told by a time (`cancelled_on`).
    pub cancelled: bool,
    /// pending, authorized, `partially_paid`, paid, `partially_refunded`, refunded, voided.
    pub financial_status: String,
    /// fulfilled, partial, or none.
    pub fulfillment_status: Option<String>,
    /// `no_return`, returned, or a word for a part of it.
    pub return_status: String,
    /// A trial order: skipped.
    pub test: bool,
    /// Its lines.
    pub lines: Vec<WebLine>,
    /// All discounts on it (`total_discounts`).
    pub discount: Decimal,
    /// Shipping fee (`total_shipping_price`, else Σ of `shipping_lines`).
    pub shipping: Decimal,
    /// Tax on top of the prices; 0 where they include it.
    pub tax: Decimal,
    /// The stated total.
    pub total: Option<Decimal>,
    /// What was paid so far (`total_received`).
    pub received: Option<Decimal>,
    /// Its customer.
    pub buyer: Option<WebBuyer>,
    /// The order's own phone.
    pub phone: Option<String>,
    /// The order's own e-mail.
    pub email: Option<String>,
    /// Where it goes.
    pub shipping_address: Option<Address>,
    /// Who pays.
    pub billing_address: Option<Address>,
    /// Note.
    pub note: Option<String>,
    /// `created_on`.
    pub created_at: Option<Millis>,
    /// `modified_on`.
    pub version: Option<Millis>,
}
