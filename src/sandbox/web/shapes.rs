//! Products, variants and stock as Sapo Web writes them.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;

use super::money::{amount, money};
use super::state::{Product, State, Variant};
use crate::sandbox::amount::number;
use crate::sandbox::clock::{iso, iso_or_null};

impl State {
    /// A product as Sapo Web writes it.
    pub fn product_json(&self, id: u64) -> Option<Value> {
        let product = self.products.get(&id)?;
        let mut shape = plain_product(product);
        overlay(&mut shape, &product.overlay);
        Some(shape)
    }

    /// A variant as Sapo Web writes it.
    pub fn variant_json(&self, id: u64) -> Option<Value> {
        let product = self.products.get(self.homes.get(&id)?)?;
        let index = product.variants.iter().position(|variant| variant.id == id)?;
        Some(written(product.id, index, &product.variants[index]))
    }

    /// The stock of a variant at a location, as Sapo Web writes it; none where the stock is not counted.
    pub fn level_json(&self, variant: &Variant, location: u64) -> Option<Value> {
        let level = variant.levels.get(&location).filter(|_| variant.managed)?;
        Some(json!({
            "id": level.id,
            "variant_id": variant.id,
            "store_id": self.store_id,
            "inventory_item_id": variant.item,
            "location_id": location,
            "on_hand": money(level.on_hand),
            "available": money(level.available()),
            "committed": money(level.committed),
            "incoming": 0.0,
            "incoming_owned": 0.0,
            "incoming_not_owned": 0.0,
            "packed": 0.0,
            "reserved": 0.0,
            "unavailable": 0.0,
            "created_at": iso(level.created),
            "updated_at": iso(level.updated)
        }))
    }
}

/// A product without the fields that a test has set.
pub(crate) fn plain_product(product: &Product) -> Value {
    let options: Vec<&str> = product.variants.iter().map(|variant| variant.option.as_str()).collect();
    let variants: Vec<Value> =
        product.variants.iter().enumerate().map(|(index, variant)| written(product.id, index, variant)).collect();
    json!({
        "id": product.id,
        "name": product.name,
        "alias": address(&product.name),
        "vendor": product.vendor,
        "product_type": null,
        "summary": null,
        "content": product.content,
        "tags": product.tags,
        "status": "active",
        "type": "normal",
        "published_on": iso_or_null(product.published),
        "created_on": iso(product.created),
        "modified_on": iso(product.modified),
        "options": [{"id": product.id, "name": product.option, "position": 1, "values": options}],
        "images": [],
        "image": null,
        "variants": variants
    })
}

fn written(product: u64, index: usize, variant: &Variant) -> Value {
    let available: Decimal =
        variant.levels.values().filter(|_| variant.managed).map(super::state::Level::available).sum();
    json!({
        "id": variant.id,
        "product_id": product,
        "inventory_item_id": variant.item,
        "title": variant.option,
        "option1": variant.option,
        "option2": null,
        "option3": null,
        "sku": variant.sku,
        "barcode": variant.barcode,
        "price": amount(variant.price, variant.text_money),
        "compare_at_price": variant.compare_at.map(|price| amount(price, variant.text_money)),
        "taxable": false,
        "inventory_management": if variant.managed { "bizweb" } else { "" },
        "inventory_policy": "deny",
        "inventory_quantity": number(available),
        "requires_shipping": true,
        "weight": 100.0,
        "weight_unit": "g",
        "grams": 100,
        "unit": null,
        "image_id": null,
        "position": index + 1,
        "lot_management": false,
        "type": "normal",
        "created_on": iso(variant.created),
        "modified_on": iso(variant.modified)
    })
}

/// A name as the end of a web address: `ao-thun-co-tron`.
fn address(name: &str) -> String {
    let plain = name.to_lowercase().replace('đ', "d");
    let letters: String = plain
        .nfd()
        .filter(|letter| !unicode_normalization::char::is_combining_mark(*letter))
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' })
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Puts fields that a test has set over those that the site would write.
pub(crate) fn overlay(shape: &mut Value, fields: &Map<String, Value>) {
    for (field, value) in fields {
        shape[field] = value.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_neither_marks_nor_blanks() {
        assert_eq!(address("Áo thun cổ tròn"), "ao-thun-co-tron");
        assert_eq!(address("Đèn (mới)"), "den-moi");
    }
}
