//! Reconcile: what webhooks missed is found by comparing both real sides, mended, and counted.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::System;
use sapo_sync::observe::metric::recorder;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceAbahaOrder, PlaceOrder, WebhookEffect, WebhookFault};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::Connection as _;

use crate::contract_store::account;
use crate::harness::{CONNECTION, Setup, World, dong, until};
use crate::import::{expected, found, phones, summary, tels};

fn product(world: &World, sku: &str, category: &str) -> u64 {
    let variants = json!([{"sku": sku, "retail": 10_000, "stock": {"58001": 10}}]);
    world.sandbox.omni().add_product(&json!({"name": sku, "category": category, "variants": variants})).unwrap()
}

fn pos_order(world: &World, customer: u64, sku: &str) -> u64 {
    let variant = world.sandbox.omni().variant_by_sku(sku).unwrap();
    let lines = vec![(variant, Decimal::ONE, dong(10_000))];
    world
        .sandbox
        .omni()
        .place_order(PlaceOrder { customer_id: Some(customer), lines, ..PlaceOrder::default() })
        .unwrap()
}

fn channel_order(world: &World, tel: &str, sku: &str) -> u64 {
    let lines = vec![(sku.to_owned(), Decimal::ONE, dong(10_000))];
    let order =
        PlaceAbahaOrder { tel: tel.into(), name: "Trần Thị Mẫu".into(), lines, ..PlaceAbahaOrder::default() };
    world.sandbox.abaha().place_order(&order).unwrap()
}

fn on_pos(world: &World, channel_order: u64) -> Vec<serde_json::Value> {
    let order = world.sandbox.abaha().order(channel_order).unwrap();
    world.sandbox.omni().order_by_reference(order["cart_code"].as_str().unwrap())
}

fn drop_all(world: &World) {
    for api in [Api::Omni, Api::Abaha] {
        world.sandbox.faults().webhook(WebhookFault {
            api,
            topic: String::new(),
            skip: 0,
            times: u32::MAX,
            effect: WebhookEffect::Drop,
        });
    }
}

/// The findings that are more than "equal" or "skip".
fn acts(found: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let idle = |name: &str| name.split_once('.').is_some_and(|(_, action)| matches!(action, "equal" | "skip"));
    found.iter().filter(|(name, _)| !idle(name)).map(|(name, count)| (name.as_str(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_mends_what_webhooks_missed_in_both_directions_and_counts_it() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let products: Vec<u64> =
        (1..=6).map(|number| product(&world, &format!("P-{number}"), if number == 5 { "Cũ" } else { "Áo" })).collect();
    let variant = |sku: &str| omni.variant_by_sku(sku).unwrap();
    let person = omni.add_customer("Lê Văn Thử", Some("0912000001"));
    // Two customers with one phone are no finding, now or ever.
    omni.add_customer("Lê Văn Thử nữa", Some("+84 912 000 001"));
    world.quiet().await;
    let kept = pos_order(&world, person, "P-1");
    let cancelled_on_sapo = pos_order(&world, person, "P-2");
    let cancelled_on_abaha = channel_order(&world, "0912000003", "P-1");
    let paid = channel_order(&world, "0912000004", "P-2");
    world.quiet().await;
    let calm = summary(&world.run_job("reconcile").await);
    assert_eq!((calm.events, acts(&calm.found)), (0, BTreeMap::new()), "{calm:#?}");

    drop_all(&world);
    product(&world, "P-7", "Áo");
    omni.set_price(variant("P-1"), dong(20_000)).unwrap();
    omni.set_stock(variant("P-2"), 58_001, 3).unwrap();
    omni.set_active(products[2], false).unwrap();
    omni.delete_product(products[3]).unwrap();
    let old = omni.categories().into_iter().find(|category| category["name"] == "Cũ").unwrap();
    omni.rename_category(old["id"].as_u64().unwrap(), "Mới").unwrap();
    let theirs = world.on_abaha("P-6")["id"].as_u64().unwrap();
    abaha.edit_product(theirs, &json!({"price_sale": 1})).unwrap();
    omni.add_customer("Phạm Thị Ví Dụ", Some("0912000002"));
    let missed_on_sapo = pos_order(&world, person, "P-7");
    omni.cancel(cancelled_on_sapo).unwrap();
    let missed_on_abaha = channel_order(&world, "0912000005", "P-1");
    abaha.set_status(cancelled_on_abaha, 0, None).unwrap();
    abaha.pay(paid).unwrap();
    world.sandbox.faults().clear();
    world.quiet().await;

    // First without it: nobody has heard of anything.
    assert!(abaha.product_by_code("P-7").is_empty() && on_pos(&world, missed_on_abaha).is_empty());
    assert!(abaha.orders_by_pos_id(missed_on_sapo).is_empty());
    assert_eq!(world.on_abaha("P-1")["price"], 10_000);

    let report = summary(&world.run_job("reconcile").await);
    world.quiet().await;
    let expected_counts = BTreeMap::from([
        ("category.update", 1),
        ("customer.create", 1),
        ("order.create", 2),
        ("order.update", 3),
        ("product.create", 1),
        ("product.update", 5),
    ]);
    assert_eq!(acts(&report.found), expected_counts);
    assert_eq!((report.events, report.done), (12, 12), "{report:#?}");
    assert!(!report.failed());

    let mut shown = found(&world);
    let gone = shown.remove("P-4").unwrap();
    assert!(!gone.3, "deleted on Sapo: hidden");
    assert_eq!(shown, expected(&world).0);
    assert!(tels(&world).is_superset(&phones(&world)));
    assert!(abaha.categories().iter().any(|category| category["name"] == "Mới"));
    assert_eq!(abaha.orders_by_pos_id(missed_on_sapo).len(), 1);
    assert_eq!(abaha.orders_by_pos_id(cancelled_on_sapo)[0]["status"], 0);
    assert_eq!(abaha.orders_by_pos_id(kept)[0]["status"], 5);
    assert_eq!(on_pos(&world, missed_on_abaha).len(), 1);
    assert_eq!(on_pos(&world, cancelled_on_abaha)[0]["status"], "cancelled");
    assert_eq!(on_pos(&world, paid)[0]["payment_status"], "paid");

    world.sandbox.clear_calls();
    let after = summary(&world.run_job("reconcile").await);
    assert_eq!((after.events, acts(&after.found)), (0, BTreeMap::new()), "nothing is left to find: {after:#?}");
    assert_eq!(world.writing_calls(Api::Abaha) + world.writing_calls(Api::Omni), 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_compares_with_the_real_other_side_and_not_with_what_was_pushed() {
    let world = World::new().await;
    let abaha = world.sandbox.abaha();
    for number in 1..=5 {
        product(&world, &format!("E-{number}"), "Áo");
    }
    world.quiet().await;
    let edits = [json!({"price": 1}), json!({"quantity": 99}), json!({"status": 0}), json!({"name": "Tên khác"})];
    for (number, edit) in edits.iter().enumerate() {
        let id = world.on_abaha(&format!("E-{}", number + 1))["id"].as_u64().unwrap();
        abaha.edit_product(id, edit).unwrap();
    }
    let ours = world.on_abaha("E-5")["id"].as_u64().unwrap();
    abaha.edit_product(ours, &json!({"description": "của họ"})).unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("E-1")["price"], 1, "nothing is put right by Abaha's own word");
    let report = summary(&world.run_job("reconcile").await);
    assert_eq!(acts(&report.found), BTreeMap::from([("product.update", 4)]));
    assert_eq!(found(&world), expected(&world).0);
    assert_eq!(world.on_abaha("E-5")["description"], "của họ");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_that_is_stopped_among_the_orders_misses_none_afterwards() {
    let mut world = World::new().await;
    product(&world, "P-1", "Áo");
    let person = world.sandbox.omni().add_customer("Lê Văn Thử", Some("0912000001"));
    world.quiet().await;
    let order = pos_order(&world, person, "P-1");
    world.quiet().await;
    drop_all(&world);
    world.sandbox.omni().cancel(order).unwrap();
    world.sandbox.faults().clear();
    let hold = ApiFault {
        api: Api::Abaha,
        method: None,
        path: "order/index$".into(),
        skip: 0,
        times: 1,
        effect: ApiEffect::Hold("orders".into()),
    };
    world.sandbox.faults().api(hold);
    let job = world.store().add_job("reconcile", CONNECTION, "{}").await.unwrap();
    world.sandbox.faults().reached("orders").await;
    world.running().stopper().cancel();
    world.sandbox.faults().release("orders");
    world.stop().await;
    assert_eq!(world.sandbox.abaha().orders_by_pos_id(order)[0]["status"], 5);
    world.start().await;
    summary(&world.job_ended(&job.id).await);
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().orders_by_pos_id(order)[0]["status"], 0);
    world.finish(&[]).await;
}

/// What `/metrics` says of a connection. Other tests run in this process too: its name must be no other's.
fn told_found(connection: &str) -> Option<f64> {
    let page = recorder().render();
    let start = format!("sapo_sync_reconcile_found{{connection=\"{connection}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reconciles_found_is_told_as_it_is_stored_and_by_nobody_who_does_not_lead() {
    let mut world = World::on_files(Setup::default()).await;
    let url = world.config.database_url.expose_secret().to_owned();
    let mut state = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for name in ["told", "paused"] {
        // As if another process had run it.
        let job = "insert into jobs (id, kind, connection, arguments, state, position, found, lease_until, created_at, finished_at)
             values ($1, 'reconcile', $1, '{}', 'done', '{}', '{\"events\":25}', 0, 1, 2)";
        sqlx::query(job).bind(name).execute(&mut state).await.unwrap();
        let mut tx = world.store().begin().await.unwrap();
        world.store().put_connection(&mut tx, &account(System::Abaha, name, name, "cuahangmau")).await.unwrap();
        tx.commit().await.unwrap();
    }
    let both = || (told_found("told"), told_found("paused"));
    until("both are told", async || both() == (Some(25.0), Some(25.0))).await;
    sqlx::query("update jobs set found = '{\"events\":3}' where id = 'told'").execute(&mut state).await.unwrap();
    let mut tx = world.store().begin().await.unwrap();
    world.store().set_connection_state(&mut tx, "paused", State::Paused, None).await.unwrap();
    tx.commit().await.unwrap();
    until("it follows what is stored", async || both() == (Some(3.0), Some(0.0))).await;
    state.close().await.unwrap();
    world.stop().await;
    assert_eq!(both(), (Some(0.0), Some(0.0)), "another may lead by now");
    world.start().await;
    world.finish(&[]).await;
}
