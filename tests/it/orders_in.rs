//! Orders, Abaha → Sapo: what is created with which lines, its totals, and what is never sent.

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, PlaceAbahaOrder};
use serde_json::{Value, json};

use crate::harness::{CONNECTION, Setup, World, dong};
use crate::orders::{
    FROM, TEL, abaha_body, add_product, counts, decimal, fixture, fixture_products, link_in, linked_product, omni_body,
    order_in, place_in, post_abaha, post_omni, reason, sapo, variant, world, writes,
};
use crate::proxy::proxied;

#[tokio::test(flavor = "multi_thread")]
async fn an_abaha_order_becomes_one_draft_at_the_chosen_branch_for_the_chosen_staff() {
    let (world, omni, _) = proxied(Setup::default()).await;
    let file = world.connections((true, true, true), "").replace("branch = 58001", "branch = 58002");
    world.apply(&file.replace(&world.sandbox.omni_url(), &omni.url)).await;
    let line = linked_product(&world, "AT-S").await;
    let buyer = world.sandbox.omni().add_customer("Trần Thị Mẫu", Some("0912 000 001"));
    world.quiet().await;
    let note = Some("Giao buổi sáng".to_owned());
    let (id, code) =
        place_in(&world, &PlaceAbahaOrder { note, discount: dong(20_000), fee: dong(30_000), ..order_in("AT-S", 2) });
    world.quiet().await;
    let made = sapo(&world, &code);
    let expected = json!({
        "status": "draft", "location_id": 58_002, "account_id": 72_001, "assignee_id": 72_001, "source_id": 387_002,
        "customer_id": buyer, "phone_number": TEL, "reference_number": code, "tags": [format!("sapo-sync:{CONNECTION}")],
        "tax_treatment": "inclusive", "total": 250_000, "order_discount_value": 20_000, "total_tax": 0,
        "note": "Giao buổi sáng", "payment_status": "unpaid", "billing_address": null, "shipping_address": null
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(made[field], *value, "{field}");
    }
    assert_eq!(made["delivery_fee"]["fee"], 30_000);
    let lines = made["order_line_items"].as_array().unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["variant_id"], &lines[0]["quantity"], &lines[0]["price"]),
        (&json!(line), &json!(2), &json!(120_000))
    );
    let posted = omni.posted("/admin/orders.json");
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].location.as_deref(), Some("58002"));
    assert!(world.events_of(id).await.iter().all(|row| row.reference.as_deref() == Some(code.as_str())));
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_exact_with_discount_and_fee_and_fractions() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    linked_product(&world, "AT-M").await;
    for (lines, discount, fee, total) in [
        (vec![("AT-S", "1", "120000")], 0, 0, "120000"),
        (vec![("AT-S", "2", "120000")], 20_000, 30_000, "250000"),
        (vec![("AT-S", "2", "120000"), ("AT-M", "1", "99000")], 0, 15_000, "354000"),
        (vec![("AT-S", "2.5", "120000")], 1, 0, "299999"),
        (vec![("AT-S", "0.3", "33333"), ("AT-M", "3", "0")], 0, 0, "9999.9"),
        (vec![("AT-S", "1", "120000")], 120_000, 0, "0"),
        (vec![("AT-S", "1", "100000"), ("AT-S", "1", "120000")], 0, 0, "220000"),
    ] {
        let order = PlaceAbahaOrder {
            lines: lines.iter().map(|(sku, many, price)| ((*sku).to_owned(), decimal(many), decimal(price))).collect(),
            discount: dong(discount),
            fee: dong(fee),
            ..PlaceAbahaOrder::default()
        };
        let (id, code) = place_in(&world, &order);
        world.quiet().await;
        let made = sapo(&world, &code);
        assert_eq!(made["total"].to_string().parse::<Decimal>().unwrap(), decimal(total), "{lines:?}");
        assert_eq!(made["order_line_items"].as_array().unwrap().len(), lines.len());
        assert_eq!(link_in(&world, id).await.state, "linked");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stated_total_that_does_not_add_up_creates_nothing_and_shows_both_sums() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    for (id, field, stated) in [(990_001, "total", json!(370_001)), (990_002, "total_price", json!("369999"))] {
        let mut body = fixture("abaha/webhook-order-created");
        body["data"]["id"] = id.into();
        body["data"]["cart_code"] = format!("ABX{id}").into();
        body["data"][field] = stated;
        post_abaha(&world, &body).await;
        world.quiet().await;
        let (outcome, code, why) = reason(&world, id).await;
        assert_eq!((outcome.as_str(), code.as_str()), ("dead", "total_mismatch"));
        assert!(why.contains("370.000") && (why.contains("370.001") || why.contains("369.999")), "{why}");
        assert_eq!(counts(&world).0, 0);
    }
    assert_eq!(writes(&world, Api::Omni), Vec::<String>::new());
    // Mended where it was made, it goes, and the letter is no longer open.
    for (id, stated) in [(990_001, 370_000), (990_002, 370_000)] {
        let mut body = fixture("abaha/webhook-order-created");
        body["data"]["id"] = id.into();
        body["data"]["cart_code"] = format!("ABX{id}").into();
        body["data"]["total"] = stated.into();
        body["data"]["updated_at"] = "2026-03-02T05:00:00Z".into();
        post_abaha(&world, &body).await;
    }
    world.quiet().await;
    assert_eq!(counts(&world).0, 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_another_total_is_an_error_of_the_link_and_never_a_second_order() {
    let (world, omni, _) = proxied(Setup::default()).await;
    linked_product(&world, "AT-S").await;
    omni.edit_requests("/admin/orders.json", |body| body["order"]["delivery_fee"] = json!({"fee": 7_000}));
    let (id, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["total"], 127_000);
    let link = link_in(&world, id).await;
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("total_mismatch")));
    let why = link.reason.unwrap();
    assert!(why.contains("120.000") && why.contains("127.000"), "{why}");
    assert_eq!(world.events_of(id).await[0].code, "created_in_error");
    for status in [10, 15] {
        world.sandbox.abaha().set_status(id, status, None).unwrap();
        world.quiet().await;
    }
    assert_eq!(link_in(&world, id).await.state, "error", "a later state of the order does not mend it");
    assert_eq!(counts(&world), (1, 1));
    // It is still the same order: cancelled there, it is cancelled here.
    world.sandbox.abaha().set_status(id, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["status"], "cancelled");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_or_fee_changed_after_creation_are_an_error_with_both_totals() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    linked_product(&world, "AT-M").await;
    let shop = world.sandbox.abaha();
    let (id, code) = place_in(&world, &order_in("AT-S", 2));
    world.quiet().await;
    world.sandbox.clear_calls();
    shop.change_lines(id, &[("AT-S".to_owned(), dong(3), dong(120_000))]).unwrap();
    world.quiet().await;
    let link = link_in(&world, id).await;
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("order_changed")));
    let why = link.reason.unwrap();
    assert!(why.contains("360.000") && why.contains("240.000"), "{why}");
    assert_eq!(world.outcome(id).await, ("done".into(), "order_changed".into()));
    // Other goods for the same money are a change too.
    shop.change_lines(id, &[("AT-M".to_owned(), dong(2), dong(120_000))]).unwrap();
    world.quiet().await;
    assert_eq!(link_in(&world, id).await.code.as_deref(), Some("order_changed"));
    // Changed back, nothing is wrong any more.
    shop.change_lines(id, &[("AT-S".to_owned(), dong(2), dong(120_000))]).unwrap();
    world.quiet().await;
    assert_eq!(link_in(&world, id).await.state, "linked");
    assert_eq!(world.sandbox.calls().len(), 0, "Sapo cannot change items: {:?}", world.sandbox.calls());
    shop.change_lines(id, &[("AT-S".to_owned(), dong(9), dong(120_000))]).unwrap();
    shop.set_status(id, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["status"], "cancelled", "what was changed can still be cancelled");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_changed_after_creation_is_seen_and_a_cancelled_order_need_not_add_up() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    post_abaha(&world, &fixture("abaha/webhook-order-created")).await;
    world.quiet().await;
    let mut body = fixture("abaha/webhook-order-updated-paid");
    body["data"]["payment_status"] = 0.into();
    body["data"]["fee"]["price"] = 45_000.into();
    post_abaha(&world, &body).await;
    world.quiet().await;
    let why = link_in(&world, 900_001).await.reason.unwrap();
    assert!(why.contains("385.000") && why.contains("370.000"), "{why}");
    let mut body = fixture("abaha/webhook-order-updated-cancelled");
    body["data"]["product_items"] = json!([]);
    body["data"]["total"] = 0.into();
    post_abaha(&world, &body).await;
    world.quiet().await;
    assert_eq!(sapo(&world, "ABH000001")["status"], "cancelled");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_an_unlinked_line_waits_and_goes_by_itself_once_it_is_linked() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let lines = ["AT-S", "MOI-1", "MOI-2"].map(|sku| (sku.to_owned(), dong(1), dong(120_000)));
    let (id, code) =
        place_in(&world, &PlaceAbahaOrder { lines: lines.to_vec(), paid: true, ..PlaceAbahaOrder::default() });
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "unlinked_product"));
    assert!(why.contains("MOI-1") && why.contains("MOI-2"), "{why}");
    assert_eq!(counts(&world), (0, 1));
    assert_eq!(world.sandbox.omni().customers().len(), 0, "nothing at all is created for it");
    add_product(&world, "MOI-1");
    world.quiet().await;
    world
        .eventually("it waits for the second", || async {
            world.parked().await.iter().any(|row| row.cause_key.as_deref() == Some("sku:MOI-2"))
        })
        .await;
    assert_eq!(counts(&world), (0, 1));
    add_product(&world, "MOI-2");
    world.quiet().await;
    world.eventually("it goes", || async { counts(&world) == (1, 1) }).await;
    world.quiet().await;
    let made = sapo(&world, &code);
    assert_eq!((&made["total"], &made["payment_status"]), (&json!(360_000), &json!("paid")));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_and_is_cancelled_meanwhile_is_never_created() {
    let world = World::new().await;
    let (id, _) = place_in(&world, &order_in("MOI-1", 1));
    world.quiet().await;
    assert_eq!(world.parked().await.len(), 1);
    world.sandbox.abaha().set_status(id, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(id).await.1, "never_created");
    linked_product(&world, "MOI-1").await;
    assert_eq!(counts(&world), (0, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_form_line_is_a_lasting_error_and_creates_nothing() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    world.sandbox.clear_calls();
    let lines = [("AT-S", 120_000), ("", 50_000)].map(|(sku, price)| (sku.to_owned(), dong(1), dong(price)));
    let (id, _) = place_in(&world, &PlaceAbahaOrder { lines: lines.to_vec(), ..PlaceAbahaOrder::default() });
    let (empty, _) = place_in(&world, &PlaceAbahaOrder::default());
    world.quiet().await;
    assert_eq!(world.outcome(id).await, ("dead".into(), "free_form_line".into()));
    assert_eq!(world.outcome(empty).await, ("dead".into(), "no_lines".into()));
    assert_eq!((counts(&world), world.sandbox.calls().len()), ((0, 2), 0));
    world.finish(&["dead:free_form_line", "dead:no_lines"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_resolved_by_the_linked_id_first_and_by_the_sku_second() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    let product = |sku: &str| world.sandbox.abaha().product_by_code(sku)[0]["id"].clone();
    let (at_s, at_m) = (product("AT-S"), product("AT-M"));
    for (id, line, expected) in [
        (990_001, json!({"product_id": at_m, "product_code": "AT-S"}), Some("AT-M")),
        (990_002, json!({"product_id": at_s, "product_code": "TEN-CU"}), Some("AT-S")),
        (990_003, json!({"product_id": null, "product_code": " AT-M "}), Some("AT-M")),
        (990_004, json!({"product_id": 777_777, "product_code": "AT-S"}), Some("AT-S")),
        (990_005, json!({"product_id": 0, "product_code": "AT-S"}), Some("AT-S")),
        (990_006, json!({"product_code": "at-s"}), None),
        (990_007, json!({"product_code": "AT -S"}), None),
    ] {
        let mut line = line;
        (line["quantity"], line["price"]) = (1.into(), 120_000.into());
        post_abaha(&world, &abaha_body(id, "2026-03-02T03:15:23Z", &line)).await;
        world.quiet().await;
        match expected {
            Some(sku) => assert_eq!(
                sapo(&world, &format!("ABX{id}"))["order_line_items"][0]["variant_id"],
                variant(&world, sku),
                "{id}"
            ),
            None => assert_eq!(world.outcome(id).await, ("parked".into(), "unlinked_product".into()), "{id}"),
        }
    }
    world.finish(&["parked:unlinked_product", "parked:unlinked_product"]).await;
}

/// Every key and text of a body, at any depth.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.push(key.clone());
            texts(value, found);
        }),
        Value::Array(all) => all.iter().for_each(|value| texts(value, found)),
        Value::String(text) => found.push(text.clone()),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_to_either_side_ever_holds_an_address() {
    let (world, omni, channel) = proxied(Setup { extra: FROM.into(), ..Setup::default() }).await;
    fixture_products(&world).await;
    world.sandbox.omni().add_customer("Trần Thị Mẫu", Some(TEL));
    world.quiet().await;
    // Both samples are full of addresses.
    for name in ["webhook-order-created", "webhook-order-updated-paid", "webhook-order-updated-cancelled"] {
        let mut body = fixture(&format!("abaha/{name}"));
        body["data"]["id"] = 990_001.into();
        body["data"]["cart_code"] = "ABX990001".into();
        post_abaha(&world, &body).await;
        world.quiet().await;
    }
    for (name, id) in [("webhook-orders-create-fee-and-discount", 14_990_001), ("webhook-orders-create", 14_990_002)] {
        post_omni(&world, "orders/create", &omni_body(name, id)).await;
    }
    world.quiet().await;
    world.sandbox.abaha().place_order(&order_in("AT-S", 1)).unwrap();
    world.quiet().await;
    assert_eq!(omni.posted("/admin/orders.json").len(), 2);
    assert_eq!(channel.posted("/order/create").len(), 2);
    for passed in omni.passed().into_iter().chain(channel.passed()) {
        let mut found = Vec::new();
        texts(&passed.body, &mut found);
        for text in found {
            let text = text.to_lowercase();
            let address = ["address", "thử nghiệm", "phường", "quận", "district", "ward", "city"];
            assert!(!address.iter().any(|word| text.contains(word)), "{text:?} in {} {}", passed.method, passed.path);
        }
    }
    for order in world.sandbox.omni().orders() {
        assert_eq!((&order["billing_address"], &order["shipping_address"]), (&Value::Null, &Value::Null));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_under_one_code_are_an_error_and_never_one_order() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    let line = json!({"product_code": "AT-S", "quantity": 1, "price": 120_000});
    post_abaha(&world, &abaha_body(990_001, "2026-03-02T03:15:23Z", &line)).await;
    world.quiet().await;
    let mut second = abaha_body(990_002, "2026-03-02T03:15:23Z", &line);
    second["data"]["cart_code"] = "ABX990001".into();
    post_abaha(&world, &second).await;
    world.quiet().await;
    assert_eq!(world.outcome(990_002).await.0, "dead");
    assert_eq!(link_in(&world, 990_001).await.sapo_id, sapo(&world, "ABX990001")["id"].to_string());
    world.finish(&["dead:duplicate_code"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_code_is_known_by_its_id() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    let mut body =
        abaha_body(990_001, "2026-03-02T03:15:23Z", &json!({"product_code": "AT-S", "quantity": 1, "price": 120_000}));
    body["data"]["cart_code"] = Value::Null;
    post_abaha(&world, &body).await;
    world.quiet().await;
    assert_eq!(sapo(&world, "990001")["total"], 120_000);
    world.finish(&[]).await;
}
