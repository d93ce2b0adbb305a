//! Writing: exactly the fields of the table.

use jiff::tz;
use serde_json::{Map, Value, json};

use crate::destination::fields::id_json;
use crate::domain::clock::Millis;
use crate::domain::customer::NewCustomer;
use crate::domain::money::to_json;
use crate::domain::order::NewChannelOrder;
use crate::domain::product::{Listing, NewListing};

use super::{POS_TYPE, field};

/// The body that creates an order, as the one known caller sends it; never an address.
pub fn order_body(order: &NewChannelOrder) -> Value {
    let lines: Vec<Value> = order
        .lines
        .iter()
        .map(|line| {
            let mut body = Map::new();
            if let Some(id) = &line.product_id {
                body.insert("product_id".into(), id_json(id));
            }
            body.insert(field::PRODUCT_CODE.into(), line.code.as_str().into());
            body.insert(field::NAME.into(), line.name.as_str().into());
            body.insert(field::QUANTITY.into(), to_json(line.quantity));
            body.insert(field::PRICE.into(), to_json(line.price));
            Value::Object(body)
        })
        .collect();
    let mut body = Map::new();
    body.insert("product_items".into(), lines.into());
    for (name, amount, label) in [("discount", order.discount, "Giảm giá"), ("fee", order.fee, "Phí ship")] {
        if !amount.is_zero() {
            body.insert(name.into(), json!({ field::PRICE: to_json(amount), field::NAME: label }));
        }
    }
    body.insert(field::TEL.into(), order.phone.as_str().into());
    if let Some(note) = &order.note {
        body.insert("user_note".into(), note.as_str().into());
    }
    if let Some(date) = order.created_at.and_then(date) {
        body.insert("orders_time".into(), date.into());
    }
    body.insert(field::STATUS.into(), order.status.into());
    body.insert(field::POS_ID.into(), id_json(&order.pos_id));
    body.insert(field::POS_TYPE.into(), POS_TYPE.into());
    Value::Object(body)
}

/// The date in Vietnam.
fn date(at: Millis) -> Option<String> {
    let stamp = jiff::Timestamp::from_millisecond(at).ok()?;
    Some(stamp.to_zoned(tz::TimeZone::fixed(tz::offset(7))).strftime("%Y-%m-%d").to_string())
}

/// The fields of a product that we own; what is `None` is left out, and so left alone.
fn listing(listing: &Listing) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert(field::NAME.into(), listing.name.as_str().into());
    if let Some(category) = &listing.category_id {
        body.insert(field::CATEGORY_ID.into(), id_json(category));
    }
    if let Some(price) = listing.price {
        body.insert(field::PRICE.into(), to_json(price));
        body.insert(field::PRICE_SALE.into(), to_json(price));
    }
    if let Some(stock) = listing.stock {
        body.insert(field::QUANTITY.into(), stock.into());
    }
    body.insert(field::STATUS.into(), i64::from(listing.visible).into());
    body
}

/// The body that changes a product.
pub fn product_body(id: &str, product: &Listing) -> Value {
    let mut body = listing(product);
    body.insert(field::ID.into(), id_json(id));
    Value::Object(body)
}

/// The body that creates a product.
pub fn new_product_body(product: &NewListing) -> Value {
    let mut body = listing(&product.listing);
    body.insert(field::PRODUCT_CODE.into(), product.code.as_str().into());
    if let Some(description) = &product.description {
        body.insert(field::DESCRIPTION.into(), description.as_str().into());
    }
    if !product.images.is_empty() {
        body.insert(field::IMAGES.into(), json!(product.images));
    }
    Value::Object(body)
}

/// The body that creates a customer.
pub fn customer_body(customer: &NewCustomer) -> Value {
    json!({ field::NAME: customer.name, field::TEL: customer.phone })
}

/// The body that sets the status of a product or an order.
pub fn status_body(id: &str, status: i64) -> Value {
    json!({ field::ID: id_json(id), field::STATUS: status })
}

#[cfg(test)]
mod tests {
    use crate::domain::order::ChannelLine;

    use super::*;

    #[test]
    fn an_order_is_written_as_the_sample_has_it() {
        let line = |id: &str, code: &str, name: &str, quantity: i64| ChannelLine {
            product_id: Some(id.into()),
            code: code.into(),
            name: name.into(),
            price: 120_000.into(),
            quantity: quantity.into(),
        };
        let order = NewChannelOrder {
            pos_id: "14800001".into(),
            lines: vec![
                line("800001", "AT-S", "Áo thun cổ tròn - S", 2),
                line("800002", "AT-M", "Áo thun cổ tròn - M", 1),
            ],
            discount: 20_000.into(),
            fee: 30_000.into(),
            phone: "0912000001".into(),
            note: Some("Giao buổi sáng".into()),
            created_at: Some(1_772_416_864_000),
            status: 5,
            total: 370_000.into(),
        };
        let mut sample: Value =
            serde_json::from_str(include_str!("../../../../tests/fixtures/abaha/post-order-create-request.json"))
                .unwrap();
        sample["discount"]["name"] = "Giảm giá".into();
        assert_eq!(order_body(&order), sample);
        assert_eq!(date(1_772_416_864_000 + 15 * 3_600_000).as_deref(), Some("2026-03-03"));
        let cancel: Value = serde_json::from_str(include_str!(
            "../../../../tests/fixtures/abaha/post-order-update-cancel-request.json"
        ))
        .unwrap();
        assert_eq!(status_body("900001", 0), cancel);
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let product = Listing { name: "Áo".into(), category_id: None, price: None, stock: None, visible: false };
        assert_eq!(product_body("7", &product), json!({"id": 7, "name": "Áo", "status": 0}));
        let product =
            Listing { category_id: Some("3".into()), price: Some(5.into()), stock: Some(4), visible: true, ..product };
        let new = NewListing { code: "AT-S".into(), listing: product, description: None, images: vec![] };
        let body = json!({"product_code": "AT-S", "name": "Áo", "category_id": 3, "price": 5, "price_sale": 5, "quantity": 4, "status": 1});
        assert_eq!(new_product_body(&new), body);
    }
}
