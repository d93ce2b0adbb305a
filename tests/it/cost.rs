//! What changes cost: nothing for what is old, the same or our own; one writing call for a burst.

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, Omni, SandboxConfig, WebhookEffect, WebhookFault};
use serde_json::json;
use sqlx::Connection as _;

use crate::harness::{CONNECTION, Setup, World, dong};
use crate::products::{moved, state};

fn product(omni: Omni<'_>, sku: &str) -> (u64, u64) {
    let variants = json!([{"sku": sku, "retail": 10_000, "stock": {"58001": 10}}]);
    let id = omni.add_product(&json!({"name": sku, "category": "Áo", "variants": variants})).unwrap();
    (id, omni.variant_by_sku(sku).unwrap())
}

fn every(topic: &str, effect: WebhookEffect) -> WebhookFault {
    WebhookFault { api: Api::Omni, topic: topic.into(), skip: 0, times: u32::MAX, effect }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_that_comes_late_never_overwrites() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let (id, variant) = product(omni, "OLD");
    world.quiet().await;
    // The first of two changes is sent after the second.
    let swap = WebhookFault { times: 1, ..every("products/update", WebhookEffect::Reorder) };
    world.sandbox.faults().webhook(swap);
    omni.set_price(variant, dong(20_000)).unwrap();
    omni.set_price(variant, dong(30_000)).unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("OLD")["price"], 30_000);
    let earlier = omni.product(id).unwrap();
    omni.set_price(variant, dong(40_000)).unwrap();
    world.quiet().await;

    world.sandbox.clear_calls();
    let late = state(&world, &earlier);
    world.publish(&late).await;
    world.quiet().await;
    assert_eq!(world.outcome(id).await, ("skipped".into(), "stale".into()));
    assert_eq!(world.on_abaha("OLD")["price"], 40_000);
    assert!(world.sandbox.calls().is_empty(), "stale costs no call, not even a read");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_second_with_other_content_is_read_and_the_truth_is_applied() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let (id, _) = product(omni, "EQ");
    world.quiet().await;
    let truth = omni.product(id).unwrap();
    let mut other = truth.clone();
    other["variants"][0]["variant_retail_price"] = 99_000.into();
    world.sandbox.clear_calls();
    world.publish(&state(&world, &other)).await;
    world.quiet().await;
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", &format!("products/{id}$")), 1);
    assert_eq!(world.on_abaha("EQ")["price"], 10_000);
    assert_eq!(world.writing_calls(Api::Abaha), 0);

    // Without a time, and with a part of it alone, it is read as well.
    let mut timeless = truth.clone();
    timeless["modified_on"] = serde_json::Value::Null;
    timeless["variants"][0]["variant_retail_price"] = 98_000.into();
    let mut part =
        state(&world, &moved(json!({"id": id, "modified_on": truth["modified_on"], "status": "inactive"}), 60));
    part.shape = sapo_sync::domain::event::Shape::Partial;
    for event in [state(&world, &timeless), part] {
        world.sandbox.clear_calls();
        world.publish(&event).await;
        world.quiet().await;
        assert_eq!(world.sandbox.call_count(Api::Omni, "GET", &format!("products/{id}$")), 1);
        let there = world.on_abaha("EQ");
        assert_eq!([&there["price"], &there["status"]], [10_000, 1]);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_changes_within_one_second_end_right_in_any_order() {
    let sandbox = SandboxConfig { distinct_times: false, ..Setup::default().sandbox };
    let world = World::with(Setup { sandbox, ..Setup::default() }).await;
    let omni = world.sandbox.omni();
    let (_, variant) = product(omni, "SEC");
    world.quiet().await;
    for round in 1..=6_i64 {
        let swap = WebhookFault { times: 1, ..every("products/update", WebhookEffect::Reorder) };
        world.sandbox.faults().webhook(swap);
        for step in 1..=3 {
            omni.set_price(variant, dong(round * 1_000 + step)).unwrap();
        }
        world.quiet().await;
        assert_eq!(world.on_abaha("SEC")["price"], round * 1_000 + 3, "{:#?}", world.events().await);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unchanged_repeated_or_our_own_echo_costs_no_call() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let (id, variant) = product(omni, "SAME");
    let customer = omni.add_customer("Lê Văn Thử", Some("0912000001"));
    world.quiet().await;
    let quiet_cost = async |what: &str| {
        world.quiet().await;
        assert!(world.sandbox.calls().is_empty(), "{what}: {:#?}", world.sandbox.calls());
    };
    world.sandbox.clear_calls();
    omni.change_product(id, |shape| shape["tags"] = "he".into()).unwrap();
    quiet_cost("fields that are not ours").await;
    omni.change_product(id, |shape| shape["variants"][0]["variant_import_price"] = 5.into()).unwrap();
    quiet_cost("the cost price").await;
    omni.set_stock(variant, 58_002, 77).unwrap();
    quiet_cost("another branch").await;
    omni.change_customer(customer, |shape| shape["email"] = "mau@example.com".into()).unwrap();
    quiet_cost("a linked customer").await;
    let again = state(&world, &omni.product(id).unwrap());
    for _ in 0..5 {
        let mut again = again.clone();
        again.id = uuid::Uuid::now_v7();
        world.publish(&again).await;
        quiet_cost("the same state").await;
    }

    // Every webhook three times more: one call for one change, and none for Abaha's word of our own call.
    world.sandbox.faults().webhook(every("", WebhookEffect::Duplicate(3)));
    omni.set_stock(variant, 58_001, 3).unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.calls().len(), 1, "{:#?}", world.sandbox.calls());
    let echo = world.on_abaha("SAME")["id"].as_u64().unwrap();
    assert_eq!(world.outcome(echo).await.0, "skipped");
    assert_eq!(world.events_of(id).await.len(), 1 + 3 + 5 + 4);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_a_call_is_under_way_costs_one_more() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let (_, variant) = product(omni, "HELD");
    world.quiet().await;
    world.sandbox.clear_calls();
    let hold = ApiFault {
        api: Api::Abaha,
        method: None,
        path: "product/update$".into(),
        skip: 0,
        times: 1,
        effect: ApiEffect::Hold("first".into()),
    };
    world.sandbox.faults().api(hold);
    omni.set_price(variant, dong(11_000)).unwrap();
    world.sandbox.faults().reached("first").await;
    for step in 1..=50 {
        omni.set_price(variant, dong(11_000 + step)).unwrap();
    }
    world.sandbox.webhooks_settled().await;
    all_taken(&world).await;
    world.sandbox.faults().release("first");
    world.quiet().await;
    assert_eq!(world.on_abaha("HELD")["price"], 11_050);
    // The queue hands its rows over in as many goes as it likes; what waits in one go is one piece of work.
    assert_eq!(world.writing_calls(Api::Abaha), 2, "{:#?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_on_one_product_costs_one_call_when_the_shops_limit_lets_it_go() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let (id, variant) = product(omni, "ONE");
    world.quiet().await;
    world.sandbox.clear_calls();
    throttle(&world);
    for step in 1..=40 {
        omni.set_price(variant, dong(10_000 + step)).unwrap();
    }
    world.eventually("the burst waits in one row", async || waits(&world, &[id], 40).await).await;
    let_go(&world).await;
    world.quiet().await;
    assert_eq!(world.on_abaha("ONE")["price"], 10_040);
    assert_eq!(world.sandbox.calls().len(), 1, "{:#?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_to_a_hundred_products_cost_at_most_eleven_calls_for_ten_products() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let made: Vec<(u64, u64)> = (0..100).map(|number| product(omni, &format!("R-{number}"))).collect();
    world.quiet().await;
    world.sandbox.clear_calls();
    throttle(&world);
    for round in 1..=10 {
        for (_, variant) in &made {
            omni.set_stock(*variant, 58_001, Decimal::from(100 + round)).unwrap();
        }
    }
    let ids: Vec<u64> = made.iter().map(|(id, _)| *id).collect();
    world.eventually("the burst waits, one row an object", async || waits(&world, &ids, 1_000).await).await;
    let_go(&world).await;
    world.quiet().await;
    let calls = world.sandbox.calls().len();
    assert!((100..=110).contains(&calls), "{calls} calls for 100 changed products");
    assert!(world.sandbox.abaha().products().iter().all(|product| product["quantity"] == 110));
    world.finish(&[]).await;
}

/// Waits until the program has taken from its queue all that is in it.
async fn all_taken(world: &World) {
    if world.config.is_scaled() {
        // Told once all that is on its way has arrived.
        world.depth().await;
        return;
    }
    let file = world.config.data_dir.join("queue.db");
    let left = async || {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        let left: (i64,) =
            sqlx::query_as("select count(*) from queue where taken = 0").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        left.0
    };
    world.eventually("all is taken", async || left().await == 0).await;
}

/// Uses up the site's limit for as long as the test likes.
fn throttle(world: &World) {
    let far = world.store().clock().now() + 3_600_000;
    world.running().context().limits.close_until(&account(world), far);
}

async fn let_go(world: &World) {
    world.running().context().limits.close_until(&account(world), 0);
    world.store().release_now(Some(CONNECTION), Some("throttled"), None).await.unwrap();
}

fn account(world: &World) -> String {
    format!("abaha:{}", world.sandbox.config().site)
}

/// Whether every change has been taken, and each of these objects waits in a row of its own.
async fn waits(world: &World, objects: &[u64], changes: usize) -> bool {
    if world.sandbox.webhooks_waiting() > 0 || world.depth().await != sapo_sync::broker::Depth::default() {
        return false;
    }
    let parked = world.parked().await;
    let updates = world.events().await.iter().filter(|row| row.topic == "products/update").count();
    parked.len() == objects.len()
        && parked.iter().all(|row| row.cause == "throttled" && objects.iter().any(|id| row.object_id == id.to_string()))
        && updates == changes
}
