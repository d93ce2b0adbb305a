use super::*;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/fixtures/omni/", $name, ".json"))
    };
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn every_sample_of_an_order_is_read_and_its_total_comes_out() {
    let samples: [(&[u8], &str, &str); 14] = [
        (sample!("webhook-orders-create"), "14800001", "draft"),
        (sample!("webhook-orders-create-fee-and-discount"), "14800040", "draft"),
        (sample!("webhook-orders-create-unlinked-line"), "14800030", "draft"),
        (sample!("webhook-orders-update-draft"), "14800010", "draft"),
        (sample!("webhook-orders-update-finalized"), "14800011", "finalized"),
        (sample!("webhook-orders-update-packed"), "14800012", "finalized"),
        (sample!("webhook-orders-update-shipped"), "14800013", "finalized"),
        (sample!("webhook-orders-update-received-unpaid"), "14800014", "finalized"),
        (sample!("webhook-orders-update-completed"), "14800015", "completed"),
        (sample!("webhook-orders-update-returned"), "14800016", "finalized"),
        (sample!("webhook-orders-update-part-returned"), "14800017", "finalized"),
        (sample!("webhook-orders-update-finished"), "14800018", "finished"),
        (sample!("webhook-orders-update-cancelled"), "14800019", "cancelled"),
        (sample!("webhook-orders-create"), "14800001", "draft"),
    ];
    for (body, id, status) in samples {
        let order = order(body).unwrap();
        assert_eq!((order.id.as_str(), order.status.as_str()), (id, status));
        assert_eq!(order.cancelled, status == "cancelled", "{id}");
        let lines: Decimal = order.lines.iter().map(|line| line.amount).sum();
        assert_eq!(Some(lines - order.discount + order.fee + order.tax), order.total, "{id}");
        assert_eq!(order.phone.as_deref(), Some("0912000001"));
        assert_eq!(order.customer.as_ref().unwrap().id, order.customer_id.clone().unwrap());
        assert!(order.created_at.is_some() && order.version.is_some());
    }
}

#[test]
fn an_order_tells_its_stages_sums_and_payments() {
    let with_fee = order(sample!("webhook-orders-create-fee-and-discount")).unwrap();
    assert_eq!((with_fee.discount, with_fee.fee, with_fee.total), (dec("20000"), dec("30000"), Some(dec("250000"))));
    assert_eq!(with_fee.lines[0].sku, "AT-S");
    assert_eq!(with_fee.lines[0].variant_id.as_deref(), Some("5700001"));
    let part = order(sample!("webhook-orders-update-part-returned")).unwrap();
    assert_eq!(part.prepayments, [dec("240000")]);
    assert_eq!(
        [
            &part.packed_status,
            &part.fulfillment_status,
            &part.received_status,
            &part.payment_status,
            &part.return_status
        ],
        ["partial", "partial", "partial", "paid", "partial"]
    );
}

fn order_with(fields: &str) -> Result<PosOrder, WireError> {
    order(format!(r#"{{"id":1,"order_line_items":[{{"variant_id":5,"price":100,"quantity":2,"discount_amount":20,"line_amount":180}}],{fields}}}"#).as_bytes())
}

#[test]
fn the_discount_is_the_figure_with_which_the_total_comes_out() {
    for (fields, discount, tax) in [
        (r#""total":170,"total_discount":10"#, "10", "0"),
        (r#""total":170,"total_discount":30,"order_discount_value":10"#, "10", "0"),
        (r#""total":170,"total_discount":30"#, "10", "0"),
        (r#""total":180,"total_discount":20"#, "0", "0"),
        (r#""total":170,"discount_items":[{"amount":4},{"amount":"6"}]"#, "10", "0"),
        (r#""total":200,"total_discount":10,"delivery_fee":{"fee":30}"#, "10", "0"),
        (r#""total":200,"total_discount":"10","delivery_fee":30"#, "10", "0"),
        (r#""total":187,"total_discount":10,"tax_treatment":"exclusive","total_tax":17"#, "10", "17"),
        (r#""total":170,"total_discount":10,"tax_treatment":"inclusive","total_tax":17"#, "10", "0"),
        (r#""total":999,"total_discount":10"#, "10", "0"),
    ] {
        let order = order_with(fields).unwrap();
        assert_eq!((order.discount, order.tax), (dec(discount), dec(tax)), "{fields}");
    }
}

#[test]
fn only_prepayments_that_stand_are_counted() {
    let order = order_with(
        r#""prepayments":[{"amount":100,"status":"active"},{"amount":100,"paid_amount":80,"returned_amount":30,"status":"active"},
        {"amount":70,"status":"cancelled"}]"#,
    );
    assert_eq!(order.unwrap().prepayments, [dec("100"), dec("50")]);
}

#[test]
fn what_would_make_a_wrong_total_is_an_error() {
    for (body, error) in [
        ("<html>", WireError::NotJson),
        ("[]", WireError::NotAnObject),
        (r#"{"id":1}"#, WireError::Missing("order_line_items")),
        (r#"{"order_line_items":[]}"#, WireError::Missing("id")),
        (r#"{"id":1,"order_line_items":[{"price":1}]}"#, WireError::Missing("order_line_items[].quantity")),
        (r#"{"id":1,"order_line_items":[{"price":"1,5","quantity":1}]}"#, WireError::Bad("price")),
        (
            r#"{"id":1,"order_line_items":[{"price":79228162514264337593543950335,"quantity":10}]}"#,
            WireError::Bad("price"),
        ),
        (
            r#"{"id":1,"order_line_items":[{"price":"9000000000000000000000000000","quantity":"99"}]}"#,
            WireError::Bad("order_line_items[].line_amount"),
        ),
        (r#"{"id":1,"order_line_items":[],"delivery_fee":{"fee":{}}}"#, WireError::Bad("delivery_fee")),
        (r#"{"id":1,"order_line_items":[],"total":"x"}"#, WireError::Bad("total")),
    ] {
        let read = order(body.as_bytes());
        assert!(read == Err(error.clone()) || (body.contains("792281625") && read.is_err()), "{body}: {read:?}");
    }
}

#[test]
fn a_wrapped_body_numbers_in_strings_and_comma_tags_are_read() {
    let body = r#"{"order":{"id":"7","code":"SON7","tags":"a, sapo-sync:mau","reference_number":" ABH1 ","phone_number":912000001,
        "order_line_items":[{"variant_id":0,"is_freeform":true,"product_name":"Gói quà","price":"10.5","quantity":"2"}]}}"#;
    let order = order(body.as_bytes()).unwrap();
    assert_eq!((order.id.as_str(), order.reference.as_deref()), ("7", Some("ABH1")));
    assert_eq!(order.tags, ["a", "sapo-sync:mau"]);
    assert_eq!(order.phone.as_deref(), Some("912000001"));
    assert_eq!((order.lines[0].variant_id.clone(), order.lines[0].amount), (None, dec("21")));
    assert_eq!((order.total, order.customer_id), (None, None));
}

#[test]
fn products_are_read_with_prices_stock_and_components() {
    let plain = product(sample!("webhook-products-update-plain")).unwrap();
    assert_eq!((plain.id.as_str(), plain.active), ("3900001", true));
    assert_eq!(plain.category, Some(PosCategory { id: "197001".into(), name: "Áo".into() }));
    assert_eq!(plain.images, ["https://images.example/ao.jpg"]);
    assert_eq!(plain.variants[0].sku, "AT-S");
    assert_eq!(plain.variants[0].retail_price, Some(dec("120000")));
    assert!(plain.version.is_some());

    let pack = product(sample!("webhook-products-update-packsize")).unwrap();
    assert_eq!(pack.variants[0].components, Vec::<String>::new());
    assert_eq!(pack.variants[1].components, ["5700004"]);
    assert_eq!(pack.variants[1].parts().collect::<Vec<_>>(), [("5700004", dec("6"))]);
    assert_eq!(pack.variants[1].inventories[0].available, Some(dec("2.5")));

    let combo = product(sample!("webhook-products-update-composite")).unwrap();
    assert_eq!(combo.variants[0].components, ["5700001", "5700004"]);
    assert_eq!(combo.variants[0].quantities.len(), 2);

    let bare = product(sample!("webhook-products-update-no-price-negative-stock")).unwrap();
    assert_eq!((bare.variants[0].retail_price, bare.category), (None, None));
    assert_eq!(bare.variants[0].inventories[0].on_hand, Some(dec("-2")));
    assert!(!product(sample!("webhook-products-update-stopped-trading")).unwrap().active);
}

#[test]
fn the_retail_price_is_found_in_the_price_lists_too() {
    let body = r#"{"product":{"id":1,"name":"A","status":"inactive","variants":[{"id":2,"variant_retail_price":null,"variant_prices":[
        {"value":7,"price_list":{"code":"BANBUON"}},{"value":"9.0","price_list":{"code":"BANLE"}}]}]}}"#;
    let product_read = product(body.as_bytes()).unwrap();
    assert_eq!((product_read.active, product_read.variants[0].active), (false, true));
    assert_eq!(product_read.variants[0].retail_price, Some(dec("9")));
    assert_eq!(product(br#"{"id":1}"#), Err(WireError::Missing("variants")));
}

#[test]
fn what_a_component_is_taken_of_without_a_quantity_counts_once() {
    let body = r#"{"id":1,"variants":[{"id":2,"composite_items":[{"sub_variant_id":7,"quantity":"2.5"},
        {"sub_variant_id":8,"quantity":null},{"sub_variant_id":9,"quantity":0}]}]}"#;
    let read = product(body.as_bytes()).unwrap();
    let parts: Vec<(&str, Decimal)> = read.variants[0].parts().collect();
    assert_eq!(parts, [("7", dec("2.5")), ("8", dec("1")), ("9", dec("1"))]);
}

#[test]
fn what_goods_cost_is_not_read_as_a_price_whatever_its_list_is_called() {
    let pack = product(sample!("webhook-products-update-packsize")).unwrap();
    let codes: Vec<&str> = pack.variants[0].prices.keys().map(String::as_str).collect();
    assert_eq!(codes, ["BANBUON", "BANLE"], "GIANHAP is a cost");
    // A list that was marked as one of costs later, and that a plain field mirrors.
    let body = r#"{"id":1,"variants":[{"id":2,"variant_retail_price":9,"variant_whole_price":7,"variant_import_price":5,
        "variant_prices":[{"value":7,"price_list":{"code":"BANBUON","is_cost":true}},
        {"value":6,"price_list":{"code":"GIAVON","is_cost":"true"}},{"value":5,"price_list":{"code":"GIANHAP"}},
        {"value":8,"price_list":{"code":"SALE","is_cost":false}}]}]}"#;
    let read = product(body.as_bytes()).unwrap();
    let prices: Vec<(&str, Decimal)> =
        read.variants[0].prices.iter().map(|(code, price)| (code.as_str(), *price)).collect();
    assert_eq!(prices, [("BANLE", dec("9")), ("SALE", dec("8"))]);
}

#[test]
fn customers_are_read() {
    let known = customer(sample!("webhook-customers-update")).unwrap();
    assert_eq!(
        (known.id.as_str(), known.phone.as_deref(), known.name.as_str()),
        ("3689001", Some("0912000001"), "Trần Thị Mẫu")
    );
    let walk_in = customer(sample!("webhook-customers-update-walk-in")).unwrap();
    assert_eq!((walk_in.name.as_str(), walk_in.phone, walk_in.code.as_deref()), ("Khách lẻ", None, Some("KL")));
    assert_eq!(customer(sample!("webhook-customers-update-no-phone")).unwrap().phone, None);
    assert!(customer(sample!("webhook-customers-update-phone-as-name")).is_ok());
    assert_eq!(customer(b"{}"), Err(WireError::Missing("id")));
}
