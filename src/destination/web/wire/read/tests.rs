use serde_json::{Value, json};

use super::*;

macro_rules! sample {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../../tests/fixtures/web/", $name, ".json")))
            .unwrap()
    };
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn read_order(value: &Value) -> WebOrder {
    order(value.to_string().as_bytes()).unwrap()
}

#[test]
fn a_product_is_read_bare_and_wrapped() {
    let bare = sample!("webhook-products-update");
    let it = product(bare.to_string().as_bytes()).unwrap();
    assert_eq!((it.id.as_str(), it.name.as_str(), it.published), ("46400001", "Áo thun cổ tròn", true));
    assert_eq!(it.version, Some(1_772_421_323_000));
    let [small, middle] = it.variants.as_slice() else { panic!("{:?}", it.variants) };
    assert_eq!((small.id.as_str(), small.sku.as_str(), small.title.as_str()), ("147200001", "AT-S", "S"));
    assert_eq!(small.inventory_item_id.as_deref(), Some("147100001"));
    assert_eq!((small.managed, small.quantity, small.price), (true, Some(dec("3")), Some(dec("115000"))));
    assert_eq!((small.compare_at, middle.compare_at), (None, Some(dec("150000"))));
    let wrapped = json!({ "product": bare });
    assert_eq!(product(wrapped.to_string().as_bytes()).unwrap(), it);
}

#[test]
fn numbers_may_be_strings_and_null_empty_and_absent_are_alike() {
    let read = |variant: Value| {
        let it = json!({"id": "5", "title": "Áo", "published_on": null, "variants": [variant]});
        product(it.to_string().as_bytes()).unwrap()
    };
    let it = read(json!({
        "id": "7", "sku": " A ", "price": "115000.50", "compare_at_price": "0.00", "inventory_quantity": "-2.5",
        "inventory_management": "Bizweb", "inventory_item_id": "9",
    }));
    assert_eq!((it.name.as_str(), it.published), ("Áo", false));
    let variant = &it.variants[0];
    assert_eq!((variant.id.as_str(), variant.sku.as_str(), variant.managed), ("7", " A ", true));
    assert_eq!((variant.price, variant.quantity), (Some(dec("115000.50")), Some(dec("-2.5"))));
    assert_eq!(variant.compare_at, None);
    let nothing = WebVariant { id: "7".into(), ..WebVariant::default() };
    for empty in [
        json!({"id": 7}),
        json!({"id": 7, "sku": null, "price": null, "compare_at_price": null, "inventory_management": null}),
        json!({"id": 7, "sku": "", "price": "", "inventory_quantity": "", "inventory_management": "", "inventory_item_id": ""}),
    ] {
        assert_eq!(read(empty.clone()).variants[0], nothing, "{empty}");
    }
}

#[test]
fn what_makes_no_product_says_which_field_is_missing() {
    for (it, error) in [
        (json!({"id": 1}), WireError::Missing("variants")),
        (json!({"variants": []}), WireError::Missing("id")),
        (json!({"id": 1, "variants": [{"sku": "A"}]}), WireError::Missing("variants[].id")),
    ] {
        assert_eq!(product(it.to_string().as_bytes()), Err(error));
    }
    assert_eq!(product(b"<html>"), Err(WireError::NotJson));
}

#[test]
fn an_order_is_read_bare_and_wrapped() {
    let bare = sample!("webhook-orders-create");
    let it = read_order(&bare);
    assert_eq!((it.id.as_str(), it.name.as_str(), it.status.as_str()), ("174100001", "#1001", "open"));
    assert_eq!((it.cancelled, it.test, it.financial_status.as_str()), (false, false, "pending"));
    assert_eq!((it.fulfillment_status.as_deref(), it.return_status.as_str()), (None, "no_return"));
    assert_eq!((it.discount, it.shipping, it.tax), (dec("0"), dec("30000"), dec("0")));
    assert_eq!((it.total, it.received), (Some(dec("260000")), Some(dec("0"))));
    let line = &it.lines[0];
    assert_eq!((line.variant_id.as_deref(), line.product_id.as_deref()), (Some("147200001"), Some("46400001")));
    assert_eq!((line.price, line.quantity, line.sku.as_str()), (dec("115000"), dec("2"), "AT-S"));
    assert_eq!(line.name, "Áo thun cổ tròn - S");
    let buyer = it.buyer.as_ref().unwrap();
    assert_eq!((buyer.id.as_deref(), buyer.last_name.as_str()), (Some("42100001"), "Trần"));
    assert_eq!((buyer.first_name.as_str(), buyer.phone.as_deref()), ("Thị Mẫu", Some("+84912000001")));
    assert_eq!((it.phone.as_deref(), it.email.as_deref()), (Some("+84912000001"), None));
    let address = it.shipping_address.as_ref().unwrap();
    assert_eq!((address.address1.as_str(), address.ward.as_str()), ("Số 1 phố Thử Nghiệm", "Phường Mẫu"));
    assert_eq!((address.province.as_str(), address.name.as_str()), ("Hà Nội", "Trần Thị Mẫu"));
    assert!(it.billing_address.is_some() && it.created_at.is_some() && it.version.is_some());
    assert_eq!(read_order(&json!({ "order": bare })), it);
}

#[test]
fn paid_cancelled_and_an_order_without_phone_are_told_apart() {
    let paid = read_order(&sample!("webhook-orders-updated-paid"));
    assert_eq!((paid.financial_status.as_str(), paid.received), ("paid", Some(dec("260000"))));
    assert!(read_order(&sample!("webhook-orders-updated-cancelled")).cancelled);
    let no_phone = read_order(&sample!("webhook-orders-create-no-phone"));
    assert_eq!((no_phone.phone, no_phone.email.as_deref()), (None, Some("mau@example.com")));
    let mut told_by_a_time_alone = sample!("webhook-orders-create");
    told_by_a_time_alone["cancelled_on"] = json!("2026-03-02T05:00:00Z");
    assert!(read_order(&told_by_a_time_alone).cancelled);
}

#[test]
fn an_order_that_leaves_much_out_is_read_all_the_same() {
    let it = read_order(&json!({
        "id": 1, "order_number": 1009, "test": "true", "customer": null,
        "line_items": [{"title": "Quà", "variant_id": null, "price": "10000", "quantity": "1.5"}],
        "shipping_lines": [{"price": "20000"}, {"price": 5000}],
        "shipping_address": {"address1": "", "city": "Huế"},
        "billing_address": {"address1": "Số 2", "city": "Huế", "first_name": "B", "last_name": "A"},
    }));
    assert_eq!((it.name.as_str(), it.test, it.shipping), ("#1009", true, dec("25000")));
    assert_eq!((it.lines[0].variant_id.as_deref(), it.lines[0].quantity), (None, dec("1.5")));
    assert_eq!((it.buyer, it.total, it.shipping_address), (None, None, None));
    let billing = it.billing_address.unwrap();
    assert_eq!((billing.name.as_str(), billing.province.as_str()), ("A B", "Huế"));
}

#[test]
fn tax_counts_only_where_it_stands_on_top_of_the_prices() {
    let mut it = sample!("webhook-orders-create");
    it["total_tax"] = json!(23_000);
    assert_eq!(read_order(&it).tax, dec("0"), "the stated total comes out without it");
    it["total_price"] = json!(283_000);
    assert_eq!(read_order(&it).tax, dec("23000"));
    it["taxes_included"] = json!(true);
    assert_eq!(read_order(&it).tax, dec("0"));
}

#[test]
fn a_figure_that_cannot_be_read_is_named_and_never_taken_for_nothing() {
    for (field, value, error) in [
        ("total_price", json!("1,000"), WireError::Bad("total_price")),
        ("total_discounts", json!("x"), WireError::Bad("total_discounts")),
        ("line_items", json!(null), WireError::Missing("line_items")),
        ("line_items", json!([{"quantity": 1}]), WireError::Missing("line_items[].price")),
        ("line_items", json!([{"price": 1}]), WireError::Missing("line_items[].quantity")),
    ] {
        let mut it = sample!("webhook-orders-create");
        it[field] = value;
        assert_eq!(order(it.to_string().as_bytes()), Err(error));
    }
}

#[test]
fn locations_shops_and_counts_are_read() {
    let read = |it: Value| location(it.to_string().as_bytes()).unwrap();
    let it = read(json!({"id": 825_001, "name": "Kho", "default_location": true}));
    assert_eq!((it.id, it.name.as_str(), it.active, it.primary), (825_001, "Kho", true, true));
    assert!(!read(json!({"id": 1, "active": false})).active);
    assert!(!read(json!({"id": 1, "status": "inactive"})).active);
    for wrapped in [
        json!({"id": 5, "name": "Mẫu"}),
        json!({"store": {"id": "5", "name": "Mẫu"}}),
        json!({"shop": {"id": 5, "alias": "Mẫu"}}),
    ] {
        let expected = WebShop { id: "5".into(), name: "Mẫu".into() };
        assert_eq!(shop(wrapped.to_string().as_bytes()), Ok(expected));
    }
    let levels = sample!("get-inventory-levels");
    let level_of = |it: &Value| level(it.to_string().as_bytes());
    assert_eq!(
        level_of(&levels["inventory_levels"][0]),
        Ok((Some("825001".to_owned()), "147100001".to_owned(), dec("3")))
    );
    assert_eq!(level_of(&json!({"inventory_item_id": 5})), Err(WireError::Missing("available")));
    assert_eq!(count(br#"{"count": "12"}"#), Ok(12));
    assert_eq!(count(b"{}"), Err(WireError::Missing("count")));
}
