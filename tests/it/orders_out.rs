//! Orders, Sapo → Abaha: what is created, with which lines and for whom, and its totals.

use sapo_sync::sandbox::{Api, PlaceOrder, Timing};
use serde_json::{Value, json};

use crate::harness::{Setup, World, dong};
use crate::orders::{
    FROM, TEL, abaha, add_product, counts, fixture_products, link_out, linked_product, omni_body, order_in, order_out,
    place_in, place_out, post_omni, reason, sapo, variant, world, writes,
};
use crate::proxy::proxied;

#[tokio::test(flavor = "multi_thread")]
async fn a_sapo_order_becomes_one_order_with_our_mark() {
    let (world, _, channel) = proxied(Setup::default()).await;
    let line = linked_product(&world, "AT-S").await;
    let buyer = world.sandbox.omni().add_customer("Trần Thị Mẫu", Some("+84 912 000 001"));
    let order = PlaceOrder {
        customer_id: Some(buyer),
        phone: None,
        discount: dong(20_000),
        fee: dong(30_000),
        note: Some("Gọi trước khi giao".into()),
        ..order_out(line, 2)
    };
    let id = place_out(&world, order);
    world.quiet().await;
    let made = abaha(&world, id);
    let product = &world.sandbox.abaha().product_by_code("AT-S")[0];
    let expected = json!({
        "status": 5, "payment_status": 0, "tel": TEL, "user_note": "Gọi trước khi giao", "pos_id": id, "pos_type": "sapopos",
        "customer_id": world.sandbox.abaha().customer_by_tel(TEL).unwrap()["id"]
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(made[field], *value, "{field}");
    }
    assert_eq!((&made["discount"]["price"], &made["fee"]["price"]), (&json!(20_000), &json!(30_000)));
    let lines = made["product_items"].as_array().unwrap();
    assert_eq!(lines.len(), 1);
    for (field, value) in [
        ("product_id", &product["id"]),
        ("product_code", &json!("AT-S")),
        ("quantity", &json!(2)),
        ("price", &json!(120_000)),
    ] {
        assert_eq!(lines[0][field], *value, "{field}");
    }
    assert_eq!(channel.posted("/order/create").len(), 1);
    let link = link_out(&world, id).await;
    assert_eq!((link.state.as_str(), link.total.as_deref()), ("linked", Some("250000")));
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

/// lines − discount + fee of an order as Abaha has it.
fn sum(order: &Value) -> i64 {
    let lines = order["product_items"].as_array().unwrap();
    let lines: f64 =
        lines.iter().map(|line| line["quantity"].as_f64().unwrap() * line["price"].as_f64().unwrap()).sum();
    let priced = |name: &str| order[name]["price"].as_f64().unwrap_or_default();
    (lines - priced("discount") + priced("fee")).round() as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_carry_discounts_of_order_and_lines_and_the_fee() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    let mut id = 14_910_000;
    for (edit, discount, total) in [
        (json!({}), 20_000, 250_000),
        (json!({"discount_items": [], "order_discount_value": 0, "total_discount": 0, "total": 270_000}), 0, 270_000),
        (json!({"delivery_fee": null, "total": 220_000}), 20_000, 220_000),
        (json!({"delivery_fee": 30_000}), 20_000, 250_000),
        (json!({"total": "250000.0"}), 20_000, 250_000),
        // The lines' discount beside the order's; whether total_discount counts both is not documented.
        (json!({"line": 15_000, "total": 235_000}), 35_000, 235_000),
        (json!({"line": 15_000, "total": 235_000, "total_discount": 35_000}), 35_000, 235_000),
        (json!({"tax_treatment": "inclusive", "total_tax": 22_727}), 20_000, 250_000),
    ] {
        id += 1;
        let mut body = omni_body("webhook-orders-create-fee-and-discount", id);
        for (field, value) in edit.as_object().unwrap() {
            match field.as_str() {
                "line" => {
                    let line = &mut body["order_line_items"][0];
                    (line["discount_amount"], line["line_amount"]) =
                        (value.clone(), (240_000 - value.as_i64().unwrap()).into());
                }
                _ => body[field] = value.clone(),
            }
        }
        post_omni(&world, "orders/create", &body).await;
        world.quiet().await;
        let made = abaha(&world, id);
        assert_eq!(made["discount"]["price"].as_i64().unwrap_or_default(), discount, "{edit}");
        assert_eq!(sum(&made), total, "{edit}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_cannot_be_carried_creates_nothing_and_shows_both_sums() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    world.sandbox.clear_calls();
    let mut id = 14_920_000;
    for (edit, sums) in [
        (json!({"total": 260_000}), ["260.000", "250.000"]),
        // Tax on top of the prices has no place on Abaha.
        (json!({"tax_treatment": "exclusive", "total_tax": 24_000, "total": 274_000}), ["274.000", "250.000"]),
    ] {
        id += 1;
        let mut body = omni_body("webhook-orders-create-fee-and-discount", id);
        edit.as_object().unwrap().iter().for_each(|(field, value)| body[field] = value.clone());
        post_omni(&world, "orders/create", &body).await;
        world.quiet().await;
        let (outcome, code, why) = reason(&world, id).await;
        assert_eq!((outcome.as_str(), code.as_str()), ("dead", "total_mismatch"), "{why}");
        assert!(sums.iter().all(|sum| why.contains(sum)), "{why}");
    }
    assert_eq!((counts(&world), world.sandbox.calls().len()), ((0, 0), 0));
    world.finish(&["dead:total_mismatch", "dead:total_mismatch"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_abaha_made_otherwise_is_an_error_of_the_link_and_never_a_second_order() {
    let (world, _, channel) = proxied(Setup::default()).await;
    let line = linked_product(&world, "AT-S").await;
    channel.edit_requests("/order/create", |body| body["fee"] = json!({"price": 7_000, "name": "Phí ship"}));
    for (index, timing) in [Timing::Before, Timing::During, Timing::After].into_iter().enumerate() {
        world.sandbox.faults().echo_timing(timing);
        let id = place_out(&world, order_out(line, 1));
        world.quiet().await;
        assert_eq!(sum(&abaha(&world, id)), 127_000);
        let link = link_out(&world, id).await;
        assert_eq!(link.state, "error", "{timing:?}");
        let why = link.reason.unwrap();
        assert!(why.contains("120.000") && why.contains("127.000"), "{timing:?}: {why}");
        world.sandbox.omni().finalize(id).unwrap();
        world.quiet().await;
        assert_eq!(link_out(&world, id).await.state, "error");
        world.sandbox.omni().cancel(id).unwrap();
        world.quiet().await;
        assert_eq!(abaha(&world, id)["status"], 0);
        assert_eq!(counts(&world), (index + 1, index + 1));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_changed_on_abaha_after_creation_are_an_error_with_both_totals() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let id = place_out(&world, order_out(line, 2));
    world.quiet().await;
    world.sandbox.clear_calls();
    let there = abaha(&world, id)["id"].as_u64().unwrap();
    world.sandbox.abaha().change_lines(there, &[("AT-S".to_owned(), dong(1), dong(120_000))]).unwrap();
    world.quiet().await;
    let link = link_out(&world, id).await;
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("order_changed")));
    let why = link.reason.unwrap();
    assert!(why.contains("120.000") && why.contains("240.000"), "{why}");
    assert_eq!(world.sandbox.calls().len(), 0);
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_cannot_be_pushed_holds_the_order_until_it_can() {
    let world = World::new().await;
    let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
    let known = linked_product(&world, "AT-S").await;
    omni.add_product(
        &json!({"name": "Chưa có giá", "variants": [{"sku": "CHUA-GIA", "retail": null, "stock": {"58001": 3}}]}),
    )
    .unwrap();
    let unpriced = variant(&world, "CHUA-GIA");
    world.quiet().await;
    let lines = vec![(known, dong(1), dong(120_000)), (unpriced, dong(1), dong(50_000))];
    let id = place_out(&world, PlaceOrder { lines, ..order_out(known, 1) });
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "unlinked_product"));
    assert!(why.contains("CHUA-GIA"), "{why}");
    assert_eq!(counts(&world), (1, 0));
    omni.set_price(unpriced, dong(50_000)).unwrap();
    world.quiet().await;
    world.eventually("it goes", || async { counts(&world) == (1, 1) }).await;
    world.quiet().await;
    assert_eq!(sum(&abaha(&world, id)), 170_000);
    assert_eq!(shop.product_by_code("CHUA-GIA").len(), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_occurs_twice_on_abaha_is_shown_and_never_picked_from() {
    let world = World::new().await;
    world.sandbox.stop_webhooks();
    let line = add_product(&world, "AT-S");
    let twins = [1, 2].map(|_| world.sandbox.abaha().add_product("AT-S", "Hàng trùng mã", 120_000, 1).unwrap());
    world.sandbox.send_webhooks_to(&world.url());
    let id = place_out(&world, order_out(line, 1));
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "ambiguous"));
    assert!(twins.iter().all(|twin| why.contains(&twin.to_string())), "{why}");
    assert_eq!(counts(&world), (1, 0));
    assert_eq!(writes(&world, Api::Abaha), Vec::<String>::new());
    world.finish(&["parked:ambiguous"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_form_line_is_a_lasting_error() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    world.sandbox.clear_calls();
    let mut body = omni_body("webhook-orders-create", 14_930_001);
    let line = &mut body["order_line_items"][1];
    (line["variant_id"], line["product_id"], line["is_freeform"]) = (Value::Null, Value::Null, true.into());
    post_omni(&world, "orders/create", &body).await;
    world.quiet().await;
    assert_eq!(world.outcome(14_930_001).await, ("dead".into(), "free_form_line".into()));
    assert_eq!((counts(&world), world.sandbox.calls().len()), ((0, 0), 0));
    world.finish(&["dead:free_form_line"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phone_is_the_customers_else_the_orders_and_never_one_of_an_address() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    let none = ("skipped", "no_phone");
    let created = ("done", "created");
    // customer's, order's → what Abaha gets; the addresses of the sample hold 0912000001 all the while.
    for (index, (customer, order, tel, outcome)) in [
        (json!("0981234561"), json!("0981234562"), "0981234561", created),
        (json!(""), json!("0981234563"), "0981234563", created),
        (json!("chị Lan"), json!("+84 981 234 564"), "0981234564", created),
        (json!(null), json!(null), "", none),
        (json!(""), json!("09******12"), "", none),
        (json!("113"), json!("0981234567 / 0912000001"), "", none),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 14_940_000 + index as u64;
        let mut body = omni_body("webhook-orders-create", id);
        body["customer_data"]["phone_number"] = customer.clone();
        body["customer_data"]["id"] = (3_700_000 + index).into();
        body["customer_id"] = (3_700_000 + index).into();
        body["phone_number"] = order.clone();
        assert_eq!(body["shipping_address"]["phone_number"], TEL);
        post_omni(&world, "orders/create", &body).await;
        world.quiet().await;
        let (found, code, why) = reason(&world, id).await;
        assert_eq!((found.as_str(), code.as_str()), outcome, "{customer} {order}");
        if outcome == created {
            assert_eq!(abaha(&world, id)["tel"], tel, "{customer} {order}");
        } else {
            assert!(why.contains("khách không có số điện thoại"), "{why}");
        }
    }
    assert!(world.sandbox.abaha().customer_by_tel(TEL).is_none());
    assert_eq!(counts(&world), (0, 3));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_however_written_is_one_customer_on_abaha() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let forms = [
        "0981 234 567",
        "+84981234567",
        "84981234567",
        "0084981234567",
        "0981.234.567",
        "+84 (0)981234567",
        "981234567",
    ];
    let orders: Vec<u64> = forms
        .iter()
        .enumerate()
        .map(|(index, typed)| {
            let phone = Some((*typed).to_owned());
            // Half of them are customers of the shop, half are only a phone on an order.
            let customer_id = (index % 2 == 0).then(|| world.sandbox.omni().add_customer("Người Mẫu", Some(typed)));
            place_out(&world, PlaceOrder { customer_id, phone, ..order_out(line, 1) })
        })
        .collect();
    world.quiet().await;
    let customers = world.sandbox.abaha().customers();
    assert_eq!(customers.len(), 1, "{customers:?}");
    assert_eq!((&customers[0]["tel"], &customers[0]["name"]), (&json!("0981234567"), &json!("Khách")));
    for order in orders {
        let made = abaha(&world, order);
        assert_eq!((&made["tel"], &made["customer_id"]), (&json!("0981234567"), &customers[0]["id"]));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_deleted_on_sapo_is_an_error_of_its_link_and_stands_on_abaha() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let out = place_out(&world, order_out(line, 1));
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let made = sapo(&world, &code)["id"].as_u64().unwrap();
    for order in [out, made] {
        world.sandbox.omni().delete_order(order).unwrap();
    }
    world.quiet().await;
    for order in [out, made] {
        assert_eq!(world.outcome(order).await, ("done".into(), "deleted".into()));
        assert_eq!(link_out(&world, order).await.code.as_deref(), Some("deleted"));
    }
    assert_eq!(abaha(&world, out)["status"], 5);
    assert_eq!(world.sandbox.abaha().order(inward).unwrap()["status"], 5);
    assert_eq!(counts(&world), (0, 2));
    world.finish(&[]).await;
}
