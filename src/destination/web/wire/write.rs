//! Writing: exactly the fields that are to be changed.

use serde_json::{Map, Value, json};

use crate::destination::fields::id_json;
use crate::domain::money::to_json;

use super::PriceChange;

/// The body that sets a level of stock.
pub fn stock_body(location: u64, inventory_item_id: &str, available: i64) -> Value {
    json!({ "location_id": location, "inventory_item_id": id_json(inventory_item_id), "available": available })
}

/// The body that sets a variant's stock where levels cannot be set.
pub fn quantity_body(variant_id: &str, available: i64) -> Value {
    json!({ "variant": { "id": id_json(variant_id), "inventory_quantity": available } })
}

/// The body that changes a variant's prices.
pub fn price_body(variant_id: &str, change: &PriceChange) -> Value {
    let mut variant = Map::from_iter([("id".to_owned(), id_json(variant_id))]);
    if let Some(price) = change.price {
        variant.insert("price".to_owned(), to_json(price));
    }
    if let Some(compare_at) = change.compare_at {
        variant.insert("compare_at_price".to_owned(), compare_at.map_or(Value::Null, to_json));
    }
    json!({ "variant": variant })
}

/// The body that ships a whole order; its customer is told by the POS, not twice.
pub fn fulfilment_body() -> Value {
    json!({ "fulfillment": { "notify_customer": false } })
}
