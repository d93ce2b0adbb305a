//! Reading.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::destination::error::WireError;
use crate::destination::fields::{amount, id, integer, moment, object, raw_text, text};
use crate::destination::page::{Page, split};
use crate::domain::customer::ChannelCustomer;
use crate::domain::envelope::{abaha_object, id_text};
use crate::domain::money;
use crate::domain::order::{ChannelLine, ChannelOrder};
use crate::domain::product::{ChannelCategory, ChannelProduct};

use super::field;

/// The frame of every answer; its `status` is the truth, whatever HTTP says.
#[derive(Deserialize)]
pub struct Reply<'a> {
    #[serde(default)]
    status: Value,
    #[serde(default)]
    message: Value,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl<'a> Reply<'a> {
    /// Reads the frame.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(WireError::NotAnObject);
        }
        serde_json::from_slice(body).map_err(|_| WireError::NotJson)
    }

    /// 200, 0, or like an HTTP status.
    pub fn status(&self) -> Option<i64> {
        money::parse(&self.status).and_then(money::whole)
    }

    /// Its words.
    pub fn message(&self) -> String {
        match &self.message {
            Value::String(text) => text.trim().to_owned(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    /// What it holds; `null` where it holds nothing.
    pub fn data(&self) -> &'a [u8] {
        self.data.map_or(b"null", |data| data.get().as_bytes())
    }
}

/// Reads an order: `{"event","data"}` or the object alone.
pub fn order(body: &[u8]) -> Result<ChannelOrder, WireError> {
    order_of(abaha_object(&object(body)?))
}

/// Reads an order's object. Its phone is the order's own field, never one of an address.
fn order_of(it: &Value) -> Result<ChannelOrder, WireError> {
    let lines = it.get("product_items").and_then(Value::as_array).ok_or(WireError::Missing("product_items"))?;
    let total = field::ORDER_TOTAL.iter().find_map(|name| amount(it, name).transpose()).transpose()?;
    Ok(ChannelOrder {
        id: id(it, field::ID).ok_or(WireError::Missing("id"))?,
        code: text(it, "cart_code"),
        status: integer(it, field::STATUS),
        status_view: text(it, "status_view"),
        payment: integer(it, "payment_status"),
        lines: lines.iter().map(line).collect::<Result<_, _>>()?,
        discount: priced(it, "discount")?,
        fee: priced(it, "fee")?,
        total,
        phone: text(it, field::TEL),
        name: text(it, field::NAME),
        note: text(it, "user_note"),
        created_at: moment(it, "created_at").or_else(|| moment(it, "orders_time")),
        version: moment(it, "updated_at"),
        pos_id: id(it, field::POS_ID),
        pos_type: text(it, field::POS_TYPE),
    })
}

fn line(it: &Value) -> Result<ChannelLine, WireError> {
    Ok(ChannelLine {
        product_id: id(it, "product_id"),
        code: raw_text(it, field::PRODUCT_CODE),
        name: text(it, field::NAME).unwrap_or_default(),
        price: amount(it, field::PRICE)?.ok_or(WireError::Missing("product_items[].price"))?,
        quantity: amount(it, field::QUANTITY)?.ok_or(WireError::Missing("product_items[].quantity"))?,
    })
}

/// A discount or fee: `{"price": n, "name"}`, or a bare number.
fn priced(it: &Value, name: &'static str) -> Result<Decimal, WireError> {
    let found = match it.get(name) {
        Some(priced @ Value::Object(_)) => amount(priced, field::PRICE).map_err(|_| WireError::Bad(name))?,
        Some(Value::Array(none)) if none.is_empty() => None,
        _ => amount(it, name)?,
    };
    Ok(found.unwrap_or_default())
}

/// Reads a row of the products.
pub fn product(body: &[u8]) -> Result<ChannelProduct, WireError> {
    let it = object(body)?;
    Ok(ChannelProduct {
        id: id(&it, field::ID).ok_or(WireError::Missing("id"))?,
        code: raw_text(&it, field::PRODUCT_CODE),
        name: text(&it, field::NAME).unwrap_or_default(),
        category_id: id(&it, field::CATEGORY_ID),
        price: it.get(field::PRICE).and_then(money::parse),
        selling_price: it.get(field::PRICE_SALE).and_then(money::parse),
        stock: it.get(field::QUANTITY).and_then(money::parse),
        visible: match integer(&it, field::STATUS) {
            Some(1) => Some(true),
            Some(0) => Some(false),
            _ => None,
        },
    })
}

/// Reads a row of the categories.
pub fn category(body: &[u8]) -> Result<ChannelCategory, WireError> {
    let it = object(body)?;
    Ok(ChannelCategory {
        id: id(&it, field::ID).ok_or(WireError::Missing("id"))?,
        name: text(&it, field::NAME).unwrap_or_default(),
    })
}

/// Reads a row of the customers.
pub fn customer(body: &[u8]) -> Result<ChannelCustomer, WireError> {
    customer_of(&object(body)?).ok_or(WireError::Missing("id"))
}

/// Reads a customer's object; `None` for one without an id.
pub fn customer_of(it: &Value) -> Option<ChannelCustomer> {
    Some(ChannelCustomer {
        id: id(it, field::ID)?,
        name: text(it, field::NAME).unwrap_or_default(),
        phone: text(it, field::TEL),
    })
}

/// The id of what was just created: `{"id": n}`, or the id alone.
pub fn created_id(data: &[u8]) -> Result<String, WireError> {
    let data: Value = serde_json::from_slice(data).map_err(|_| WireError::NotJson)?;
    id(&data, field::ID).or_else(|| id_text(&data)).ok_or(WireError::Missing("id"))
}

/// Reads a page: `data` is the list, or holds it beside its total.
pub fn page<T>(
    data: &[u8],
    page: u32,
    limit: u32,
    read: fn(&[u8]) -> Result<T, WireError>,
) -> Result<Page<T>, WireError> {
    let raw: &RawValue = serde_json::from_slice(data).map_err(|_| WireError::NotJson)?;
    if raw.get().starts_with('[') {
        return Ok(Page { items: split(raw, read)?, total: None, page, limit });
    }
    if raw.get() == "null" {
        return Ok(Page { items: Vec::new(), total: None, page, limit });
    }
    let parts: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).map_err(|_| WireError::NotAnObject)?;
    let rows = field::ROWS.iter().find_map(|name| parts.get(*name)).ok_or(WireError::Missing("items"))?;
    let number = |name| {
        parts.get(name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()).as_ref().and_then(money::parse)
    };
    let whole = |name| number(name).and_then(money::whole);
    let told_limit = whole(field::LIMIT).and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
    Ok(Page {
        items: split(rows, read)?,
        total: whole(field::TOTAL).and_then(|total| u64::try_from(total).ok()),
        page,
        limit: told_limit.unwrap_or(limit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> ChannelOrder {
        let line = |id: &str, code: &str, name: &str, quantity: i64| ChannelLine {
            product_id: Some(id.into()),
            code: code.into(),
            name: name.into(),
            price: 120_000.into(),
            quantity: quantity.into(),
        };
        ChannelOrder {
            id: "900001".into(),
            code: Some("ABH000001".into()),
            status: Some(5),
            status_view: Some("Đặt hàng".into()),
            payment: Some(0),
            lines: vec![
                line("800001", "AT-S", "Áo thun cổ tròn - S", 2),
                line("800002", "AT-M", "Áo thun cổ tròn - M", 1),
            ],
            discount: 20_000.into(),
            fee: 30_000.into(),
            total: None,
            phone: Some("0912000001".into()),
            name: Some("Trần Thị Mẫu".into()),
            note: Some("Giao buổi sáng".into()),
            created_at: Some(1_772_416_864_000),
            version: Some(1_772_421_323_000),
            pos_id: None,
            pos_type: None,
        }
    }

    #[test]
    fn an_order_is_read_with_its_envelope_and_bare() {
        assert_eq!(
            order(include_bytes!("../../../../tests/fixtures/abaha/webhook-order-created.json")),
            Ok(expected())
        );
        assert_eq!(order(include_bytes!("../../../../tests/fixtures/abaha/webhook-order-bare.json")), Ok(expected()));
    }

    #[test]
    fn every_sample_of_an_order_tells_its_state() {
        let states = [
            (&include_bytes!("../../../../tests/fixtures/abaha/webhook-order-updated-cancelled.json")[..], 0, "Hủy", 0),
            (&include_bytes!("../../../../tests/fixtures/abaha/webhook-order-updated-paid.json")[..], 5, "Đặt hàng", 5),
            (
                &include_bytes!("../../../../tests/fixtures/abaha/webhook-order-updated-returned.json")[..],
                30,
                "Hoàn hàng",
                0,
            ),
        ];
        for (body, status, view, payment) in states {
            let order = order(body).unwrap();
            assert_eq!(
                (order.status, order.status_view.as_deref(), order.payment),
                (Some(status), Some(view), Some(payment))
            );
        }
        let id_only = order(include_bytes!("../../../../tests/fixtures/abaha/webhook-order-id-only.json"));
        assert_eq!(id_only, Err(WireError::Missing("product_items")));
    }

    #[test]
    fn numbers_may_be_strings_and_nothing_may_be_null_empty_or_absent() {
        let body = r#"{"id":"9","status":"5","payment_status":"","product_items":[{"product_code":" AT-S ","quantity":"2","price":"120000.0"}],
            "discount":null,"fee":"","tel":912000001,"pos_id":14800001,"pos_type":"sapopos","orders_time":"2026-03-02"}"#;
        let order = order(body.as_bytes()).unwrap();
        assert_eq!((order.status, order.payment), (Some(5), None));
        let sum: Decimal = order.lines.iter().map(|line| line.price * line.quantity).sum();
        assert_eq!(sum, 240_000.into());
        assert_eq!((order.discount, order.fee), (Decimal::ZERO, Decimal::ZERO));
        assert_eq!((order.phone.as_deref(), order.pos_id.as_deref()), (Some("912000001"), Some("14800001")));
        assert_eq!(order.lines[0].code, " AT-S ");
        assert!(order.created_at.is_some());
    }

    #[test]
    fn a_price_that_is_no_number_is_an_error_and_never_nothing() {
        for (body, error) in [
            (r#"{"id":9,"product_items":[{"quantity":1,"price":"120,000"}]}"#, WireError::Bad("price")),
            (
                r#"{"id":9,"product_items":[{"quantity":null,"price":1}]}"#,
                WireError::Missing("product_items[].quantity"),
            ),
            (r#"{"id":9,"product_items":[],"fee":{"price":"x"}}"#, WireError::Bad("fee")),
            (r#"{"product_items":[]}"#, WireError::Missing("id")),
            ("[]", WireError::NotAnObject),
            ("<html>", WireError::NotJson),
        ] {
            assert_eq!(order(body.as_bytes()), Err(error), "{body}");
        }
    }

    #[test]
    fn a_list_is_read_in_either_form_and_one_bad_row_spoils_no_other() {
        let bare = page(br#"[{"id":1,"name":"A"},{"name":"no id"},7]"#, 1, 20, category).unwrap();
        assert_eq!(bare.items.iter().filter(|row| row.is_err()).count(), 2);
        assert_eq!(bare.items[0].as_ref().unwrap().raw, br#"{"id":1,"name":"A"}"#[..]);
        let framed = page(br#"{"items":[{"id":"1","name":"A"}],"total":"41","limit":10}"#, 2, 20, category).unwrap();
        assert_eq!((framed.total, framed.page, framed.limit), (Some(41), 2, 10));
        assert!(page(br#"{"rows":[]}"#, 1, 20, category).is_err());
        assert!(page(b"null", 1, 20, category).unwrap().items.is_empty());
    }

    #[test]
    fn what_was_created_tells_its_id() {
        assert_eq!(created_id(br#"{"id":900001}"#), Ok("900001".into()));
        assert_eq!(created_id(b"900001"), Ok("900001".into()));
        assert!(created_id(b"null").is_err());
    }
}
