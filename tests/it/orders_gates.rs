//! Which orders go at all: switches and what is known (all 64 combinations), the start line, carts and cancelled ones,
//! pause and resume, and orders that carry our own mark.

use sapo_sync::sandbox::{PlaceAbahaOrder, PlaceOrder};
use serde_json::Value;

use crate::harness::{CONNECTION, Setup, World, dong};
use crate::orders::{
    FROM, abaha, abaha_body, add_product, counts, fixture, fixture_products, linked_product, omni_body, order_in,
    order_out, place_in, place_out, post_abaha, post_omni, reason, sapo, variant, world,
};

/// The guide's table, with ours for the last row: (products known, customer known, switches needed).
const TO_ABAHA: [(bool, bool, &str); 4] =
    [(true, true, "o"), (false, true, "op"), (true, false, "oc"), (false, false, "opc")];
const TO_SAPO: [(bool, bool, &str); 4] =
    [(true, true, "opc"), (false, true, "opc"), (true, false, "opc"), (false, false, "opc")];
const SWITCHES: [&str; 8] = ["", "o", "c", "oc", "p", "op", "pc", "opc"];

/// One cell of the matrix: an order, and what is to become of it.
struct Cell {
    on: &'static str,
    product: bool,
    customer: bool,
    goes: bool,
    sku: String,
    tel: String,
    order: u64,
    before: (usize, usize),
}

impl Cell {
    fn name(&self) -> String {
        let known = |known| if known { "known" } else { "unknown" };
        format!("on: {:?}, product {}, customer {}", self.on, known(self.product), known(self.customer))
    }
}

fn goes(needed: &str, on: &str) -> bool {
    needed.chars().all(|switch| on.contains(switch))
}

async fn switch(world: &World, on: &str) {
    let switches = (on.contains('p'), on.contains('c'), on.contains('o'));
    world.apply(&world.connections(switches, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_to_abaha_by_the_switches_and_by_what_is_known_there() {
    let world = World::new().await;
    let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
    for (row, on) in SWITCHES.into_iter().enumerate() {
        switch(&world, on).await;
        let mut cells = Vec::new();
        for (column, (product, customer, needed)) in TO_ABAHA.into_iter().enumerate() {
            let (sku, tel) = (format!("OUT-{row}{column}"), format!("09130000{row}{column}"));
            // What is there from before made no webhook: it is known, or not, by what Abaha has alone.
            world.sandbox.stop_webhooks();
            let variant = add_product(&world, &sku);
            let buyer = omni.add_customer("Trần Thị Mẫu", Some(&tel));
            if product {
                shop.add_product(&sku, "Hàng có sẵn", 120_000, 5).unwrap();
            }
            if customer {
                shop.add_customer("Khách quen", &tel).unwrap();
            }
            world.sandbox.send_webhooks_to(&world.url());
            let before = (shop.product_by_code(&sku).len(), usize::from(shop.customer_by_tel(&tel).is_some()));
            let lines = vec![(variant, dong(1), dong(120_000))];
            let order = place_out(&world, PlaceOrder { customer_id: Some(buyer), lines, ..PlaceOrder::default() });
            cells.push(Cell { on, product, customer, goes: goes(needed, on), sku, tel, order, before });
        }
        world.quiet().await;
        for cell in &cells {
            let name = cell.name();
            let after = (shop.product_by_code(&cell.sku).len(), usize::from(shop.customer_by_tel(&cell.tel).is_some()));
            let (outcome, code, why) = reason(&world, cell.order).await;
            assert_eq!(shop.orders_by_pos_id(cell.order).len(), usize::from(cell.goes), "{name}: {why}");
            if cell.goes {
                assert_eq!((outcome.as_str(), code.as_str()), ("done", "created"), "{name}: {why}");
                assert_eq!(after, (1, 1), "{name}: what was unknown is pushed first");
            } else {
                assert_eq!((outcome.as_str(), code.as_str()), ("skipped", "switch_off"), "{name}: {why}");
                assert_eq!(after, cell.before, "{name}: nothing is pushed for an order that does not go");
                let orders_named = why.contains("orders");
                assert_eq!(orders_named, !cell.on.contains('o'), "{name}: {why}");
                let named = |switch: char, word| why.contains(word) != cell.on.contains(switch);
                assert!(orders_named || cell.product || named('p', "products"), "{name}: {why}");
                assert!(orders_named || cell.customer || named('c', "customers"), "{name}: {why}");
            }
        }
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_to_sapo_with_all_three_switches_alone() {
    let world = World::new().await;
    let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
    for row in 0..SWITCHES.len() {
        for column in [0, 2] {
            add_product(&world, &format!("IN-{row}{column}"));
        }
    }
    world.quiet().await;
    let mut waiting = Vec::new();
    for (row, on) in SWITCHES.into_iter().enumerate() {
        switch(&world, on).await;
        let mut cells = Vec::new();
        for (column, (product, customer, needed)) in TO_SAPO.into_iter().enumerate() {
            let (sku, tel) = (format!("IN-{row}{column}"), format!("09140000{row}{column}"));
            world.sandbox.stop_webhooks();
            if customer {
                omni.add_customer("Khách quen", Some(&tel));
            }
            world.sandbox.send_webhooks_to(&world.url());
            let before = (0, omni.customers().iter().filter(|found| found["phone_number"] == tel.as_str()).count());
            let order = PlaceAbahaOrder { tel: tel.clone(), ..order_in(&sku, 1) };
            let (order, _) = place_in(&world, &order);
            cells.push(Cell { on, product, customer, goes: goes(needed, on), sku, tel, order, before });
        }
        world.quiet().await;
        for cell in &cells {
            let name = cell.name();
            let code = shop.order(cell.order).unwrap()["cart_code"].as_str().unwrap().to_owned();
            let customers = omni.customers().iter().filter(|found| found["phone_number"] == cell.tel.as_str()).count();
            let (outcome, code_word, why) = reason(&world, cell.order).await;
            let made = omni.order_by_reference(&code).len();
            assert_eq!(made, usize::from(cell.goes && cell.product), "{name}: {why}");
            let expected = match (cell.goes, cell.product) {
                (true, true) => ("done", "created"),
                (true, false) => ("parked", "unlinked_product"),
                (false, _) => ("skipped", "switch_off"),
            };
            assert_eq!((outcome.as_str(), code_word.as_str()), expected, "{name}: {why}");
            assert_eq!(customers, if made == 1 { 1 } else { cell.before.1 }, "{name}");
            if cell.goes && !cell.product {
                waiting.push("parked:unlinked_product");
            }
        }
    }
    assert_eq!(waiting.len(), 2);
    world.finish(&waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_off_is_not_a_cause_and_the_order_stays_skipped() {
    let world = World::with(Setup { switches: (true, true, false), ..Setup::default() }).await;
    let line = linked_product(&world, "AT-S").await;
    let out = place_out(&world, order_out(line, 1));
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    for order in [out, inward] {
        assert_eq!(world.outcome(order).await, ("skipped".into(), "switch_off".into()));
    }
    switch(&world, "opc").await;
    world.quiet().await;
    assert_eq!(counts(&world), (1, 1));
    // The next change of the order finds the switch on.
    world.sandbox.abaha().set_status(inward, 10, None).unwrap();
    world.sandbox.omni().finalize(out).unwrap();
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["status"], "draft");
    assert_eq!(abaha(&world, out)["status"], 5);
    assert_eq!(counts(&world), (2, 2));
    // Switched off again, a linked order is left as it is.
    switch(&world, "pc").await;
    world.sandbox.omni().cancel(out).unwrap();
    world.sandbox.abaha().set_status(inward, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(abaha(&world, out)["status"], 5);
    assert_eq!(sapo(&world, &code)["status"], "draft");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_from_before_the_first_activation_are_not_created() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let old = Some("2020-01-01T00:00:00Z".to_owned());
    let out = place_out(&world, PlaceOrder { created_on: old.clone(), ..order_out(line, 1) });
    let (inward, _) = place_in(&world, &PlaceAbahaOrder { created_at: old, ..order_in("AT-S", 1) });
    world.quiet().await;
    for order in [out, inward] {
        assert_eq!(world.outcome(order).await, ("skipped".into(), "before_start_line".into()));
    }
    // A change today does not make it an order of today.
    world.sandbox.omni().finalize(out).unwrap();
    world.sandbox.abaha().set_status(inward, 10, None).unwrap();
    world.quiet().await;
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_from_moves_the_start_line_both_ways() {
    let world = world("orders_from = \"2020-02-01T00:00:00Z\"").await;
    let line = linked_product(&world, "AT-S").await;
    let at = |time: &str| Some(time.to_owned());
    for (time, goes) in
        [("2020-01-31T23:59:59Z", false), ("2020-02-01T00:00:00Z", true), ("2020-02-02T00:00:00Z", true)]
    {
        let out = place_out(&world, PlaceOrder { created_on: at(time), ..order_out(line, 1) });
        let (inward, code) = place_in(&world, &PlaceAbahaOrder { created_at: at(time), ..order_in("AT-S", 1) });
        world.quiet().await;
        assert_eq!(world.sandbox.abaha().orders_by_pos_id(out).len(), usize::from(goes), "{time}");
        assert_eq!(world.sandbox.omni().order_by_reference(&code).len(), usize::from(goes), "{time}");
        if !goes {
            assert_eq!(world.outcome(inward).await.1, "before_start_line");
        }
    }
    world.apply(&world.connections((true, true, true), "orders_from = \"2999-01-01T00:00:00Z\"")).await;
    let out = place_out(&world, order_out(line, 1));
    let (inward, _) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    for order in [out, inward] {
        assert_eq!(world.outcome(order).await.1, "before_start_line");
    }
    assert_eq!(counts(&world), (6, 6));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_keeps_the_start_line_and_resume_catches_up() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    world.pause().await;
    let out = place_out(&world, order_out(line, 1));
    let (_, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    assert_eq!(world.parked().await.iter().filter(|row| row.cause == "paused").count(), 2);
    assert_eq!(counts(&world), (1, 1));
    // What happens meanwhile is caught up with as it stands then: this one is cancelled by now.
    world.sandbox.omni().cancel(out).unwrap();
    world.resume().await;
    world.eventually("nothing is parked", || async { world.parked().await.is_empty() }).await;
    world.quiet().await;
    sapo(&world, &code);
    assert_eq!(counts(&world), (2, 1), "cancelled before it reached Abaha, it is never created there");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_no_order_until_it_is_placed() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (cart, code) = place_in(&world, &PlaceAbahaOrder { status: 1, ..order_in("AT-S", 1) });
    world.quiet().await;
    assert_eq!(world.outcome(cart).await, ("skipped".into(), "cart".into()));
    assert_eq!(counts(&world), (0, 1));
    world.sandbox.abaha().set_status(cart, 5, None).unwrap();
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["status"], "draft");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_alone_is_read_through_the_api() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    world.sandbox.stop_webhooks();
    let (id, code) = place_in(&world, &order_in("AT-S", 3));
    let sample = fixture("abaha/webhook-order-id-only");
    assert_eq!(sample["data"]["id"], id);
    post_abaha(&world, &sample).await;
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["total"], 360_000);
    // A part of a Sapo order is no order either: it says cancelled, but the shop does not.
    world.sandbox.send_webhooks_to(&world.url());
    let out = place_out(&world, order_out(variant(&world, "AT-S"), 1));
    world.quiet().await;
    post_omni(&world, "orders/cancelled", &serde_json::json!({"id": out, "tenant_id": 70_001, "status": "cancelled"}))
        .await;
    world.quiet().await;
    assert_eq!(abaha(&world, out)["status"], 5);
    assert_eq!(counts(&world), (2, 2));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_forms_of_an_abaha_body_make_one_order() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    for name in ["webhook-order-created", "webhook-order-bare", "webhook-order-created"] {
        post_abaha(&world, &fixture(&format!("abaha/{name}"))).await;
        world.quiet().await;
        assert_eq!(sapo(&world, "ABH000001")["total"], 370_000, "{name}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_carries_our_mark_never_goes_back() {
    let world = world(FROM).await;
    fixture_products(&world).await;
    // As after a restored back-up: the shop has it, this database does not.
    let mut ours = omni_body("webhook-orders-create", 14_990_001);
    ours["tags"] = serde_json::json!(["VIP", format!("sapo-sync:{CONNECTION}")]);
    ours["reference_number"] = "ABH000777".into();
    post_omni(&world, "orders/create", &ours).await;
    let mut on_abaha = abaha_body(
        990_001,
        "2026-03-02T03:15:23Z",
        &serde_json::json!({"product_code": "AT-S", "quantity": 1, "price": 120_000}),
    );
    on_abaha["data"]["pos_id"] = 14_990_002.into();
    on_abaha["data"]["pos_type"] = "sapopos".into();
    post_abaha(&world, &on_abaha).await;
    world.quiet().await;
    assert_eq!(counts(&world), (0, 0));
    assert_eq!(world.outcome(14_990_001).await.0, "skipped");
    assert_eq!(world.outcome(990_001).await, ("skipped".into(), "echo".into()));
    // Another connection's mark, or another system's pos_id, is nobody's business here.
    let mut other = omni_body("webhook-orders-create", 14_990_003);
    other["tags"] = "sapo-sync:khac-abaha".into();
    post_omni(&world, "orders/create", &other).await;
    let mut foreign = abaha_body(
        990_002,
        "2026-03-02T03:15:23Z",
        &serde_json::json!({"product_code": "AT-S", "quantity": 1, "price": 120_000}),
    );
    foreign["data"]["tel"] = "0981234567".into();
    foreign["data"]["pos_id"] = 5.into();
    foreign["data"]["pos_type"] = "kiotviet".into();
    post_abaha(&world, &foreign).await;
    world.quiet().await;
    abaha(&world, 14_990_003);
    sapo(&world, "ABX990002");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_any_more_cancels_nothing() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    let out = place_out(&world, order_out(line, 1));
    world.quiet().await;
    post_omni(&world, "orders/delete", &serde_json::json!({"id": out, "tenant_id": 70_001})).await;
    post_abaha(&world, &serde_json::json!({"event": "order.deleted", "site_id": 501, "data": {"id": inward}})).await;
    world.quiet().await;
    assert_eq!(abaha(&world, out)["status"], 5, "the deletion is not believed: the order is still there");
    assert_eq!(sapo(&world, &code)["status"], "draft");
    let gone: Value = serde_json::json!({"id": 14_999_999, "tenant_id": 70_001});
    post_omni(&world, "orders/delete", &gone).await;
    world.quiet().await;
    assert_eq!(world.outcome(14_999_999).await.0, "skipped");
    assert_eq!(counts(&world), (2, 2));
    world.finish(&[]).await;
}
