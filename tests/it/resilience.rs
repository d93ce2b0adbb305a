//! The other side fails, in every way that it can: attempts, pauses, joined rows, and a good end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, Phase, PlaceAbahaOrder, PlaceOrder};
use serde_json::json;

use crate::harness::{Setup, World, dong, until};
use crate::orders::NOT_LONG;

/// A product that is linked and in step.
async fn linked(world: &World) -> (u64, u64) {
    let omni = world.sandbox.omni();
    let product = omni
        .add_product(
            &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
        )
        .unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    (product, omni.variant_by_sku("AT-S").unwrap())
}

fn fault(world: &World, api: Api, path: &str, times: u32, effect: ApiEffect) {
    world.sandbox.faults().api(ApiFault { api, method: None, path: path.into(), skip: 0, times, effect });
}

fn quantity(world: &World) -> serde_json::Value {
    world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"].clone()
}

/// When each call with this path came.
fn record_times(world: &World, wanted: &'static str) -> Arc<Mutex<Vec<Instant>>> {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let record = Arc::clone(&times);
    world.sandbox.on_call(move |call| {
        if call.phase == Phase::Received && call.path.starts_with(wanted) {
            record.lock().unwrap().push(Instant::now());
        }
    });
    times
}

/// Quick pauses of a failing account as well.
fn quick() -> Setup {
    Setup { recheck: Duration::from_millis(200), ..Setup::default() }
}

/// A retry that comes by hand only.
fn by_hand() -> Setup {
    Setup { schedule: vec![Duration::from_hours(1_000); 6], ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_schedule_makes_a_dead_letter_with_its_attempts_and_the_last_answer() {
    let world = World::with(quick()).await;
    let (product, variant) = linked(&world).await;
    fault(&world, Api::Abaha, "product/update", u32::MAX, ApiEffect::Status { code: 500, retry_after: None });
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it is dead", async || !world.dead().await.is_empty()).await;
    let letter = world.dead().await.remove(0);
    assert_eq!((letter.code.as_str(), letter.attempts), ("server_error", 7), "six waits lie between seven attempts");
    assert!(letter.last_answer.as_deref().is_some_and(|answer| answer.contains("Internal error")), "{letter:?}");
    assert!(letter.reason.contains("7 attempts"), "{}", letter.reason);
    assert_eq!(world.sandbox.call_count(Api::Abaha, "POST", "product/update"), 7);
    let row = world.events_of(product).await.pop().unwrap();
    assert_eq!((row.outcome.as_str(), row.attempts), ("dead", 7));
    world.finish(&["dead:server_error"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_waits_as_long_as_it_says_and_uses_no_attempt() {
    let world = World::new().await;
    let (product, variant) = linked(&world).await;
    let times = record_times(&world, "product/update");
    fault(&world, Api::Abaha, "product/update", 3, ApiEffect::Status { code: 429, retry_after: Some(1) });
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    world.quiet().await;
    let row = world.events_of(product).await.pop().unwrap();
    assert_eq!((row.code.as_str(), row.attempts), ("pushed", 0));
    assert_eq!(quantity(&world), 3);
    assert_calls_apart(&times, 4, Duration::from_secs(1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_with_a_pause_waits_as_long_as_it_says_and_uses_an_attempt() {
    let world = World::with(quick()).await;
    let (product, variant) = linked(&world).await;
    let times = record_times(&world, "product/update");
    fault(&world, Api::Abaha, "product/update", 2, ApiEffect::Status { code: 503, retry_after: Some(1) });
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    world.quiet().await;
    let row = world.events_of(product).await.pop().unwrap();
    assert_eq!((row.code.as_str(), row.attempts), ("pushed", 2));
    assert_calls_apart(&times, 3, Duration::from_secs(1));
    world.finish(&[]).await;
}

/// Never sooner than asked for; how much later is the machine's affair.
fn assert_calls_apart(times: &Mutex<Vec<Instant>>, calls: usize, least: Duration) {
    let times = times.lock().unwrap();
    assert_eq!(times.len(), calls);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= least), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_of_an_account_is_stored_and_holds_after_a_restart() {
    let mut world = World::new().await;
    let (product, variant) = linked(&world).await;
    fault(&world, Api::Abaha, "", 1, ApiEffect::Status { code: 429, retry_after: Some(3_600) });
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it waits", async || world.parked().await.iter().any(|row| row.cause == "throttled")).await;
    let closed = world.store().closed_accounts().await.unwrap();
    let least = world.store().clock().now() + 3_000_000;
    assert!(closed["abaha:501"].not_before > least, "{closed:?}");
    world.stop().await;
    world.start().await;
    world.sandbox.clear_calls();
    // Another object of the same account: nothing holds it but the account itself.
    let other = world
        .sandbox
        .omni()
        .add_product(&json!({"name": "Quần", "variants": [{"sku": "Q", "retail": 200_000, "stock": {"58001": 1}}]}))
        .unwrap();
    until("it waits, too", async || world.parked().await.len() == 2).await;
    assert!(
        world.parked().await.iter().all(|row| row.cause == "throttled" && row.due_at > least && row.attempts == 0),
        "{:#?}",
        world.parked().await
    );
    assert!(
        world.sandbox.calls().iter().all(|call| call.api != Api::Abaha),
        "nobody called: {:#?}",
        world.sandbox.calls()
    );
    // When the time has come they go by themselves.
    world.store().clock().advance(Duration::from_mins(61));
    world.quiet().await;
    assert_eq!(world.outcome(product).await.1, "pushed");
    assert_eq!(world.outcome(other).await.1, "created");
    assert!(world.store().closed_accounts().await.unwrap().is_empty(), "a call that works opens it");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_failure_ends_well_once_it_stops() {
    let faults = [
        ("500", ApiEffect::Status { code: 500, retry_after: None }),
        ("502", ApiEffect::Status { code: 502, retry_after: None }),
        ("429", ApiEffect::Status { code: 429, retry_after: None }),
        ("408", ApiEffect::Status { code: 408, retry_after: None }),
        ("reset", ApiEffect::ResetBefore),
        ("reset after the work", ApiEffect::WorkThenReset),
        ("hang after the work", ApiEffect::WorkThenHang(Duration::from_secs(5))),
        ("work after our time-out", ApiEffect::WorkLater(Duration::from_millis(50))),
        ("slow body", ApiEffect::SlowBody(Duration::from_secs(5))),
        ("half of the JSON", ApiEffect::WrongJson),
        ("HTML with 200", ApiEffect::HtmlError(200)),
        ("HTML with 404", ApiEffect::HtmlError(404)),
        ("HTML with 502", ApiEffect::HtmlError(502)),
    ];
    let world = World::with(Setup {
        call_timeout: NOT_LONG,
        settle_after: Duration::from_millis(600),
        schedule: vec![Duration::from_millis(50); 12],
        ..quick()
    })
    .await;
    let (_, variant) = linked(&world).await;
    for (round, (what, effect)) in faults.into_iter().enumerate() {
        let tel = format!("09120001{round:02}");
        // Both ways of an order and a change of a product, each with the fault at every kind of call that it makes.
        for (api, path) in [
            (Api::Abaha, "order"),
            (Api::Abaha, "product/update"),
            (Api::Abaha, "customer"),
            (Api::Omni, "orders"),
            (Api::Omni, "customers"),
        ] {
            fault(&world, api, path, 2, effect.clone());
        }
        let omni = world.sandbox.omni();
        let stock = i64::try_from(round).unwrap() + 20;
        omni.set_stock(variant, 58_001, dong(stock)).unwrap();
        let customer = omni.add_customer("Lê Văn Thử", Some(&format!("09130001{round:02}")));
        let pos = omni
            .place_order(PlaceOrder {
                customer_id: Some(customer),
                lines: vec![(variant, Decimal::ONE, dong(120_000))],
                ..PlaceOrder::default()
            })
            .unwrap();
        let there = world
            .sandbox
            .abaha()
            .place_order(&PlaceAbahaOrder {
                tel,
                lines: vec![("AT-S".into(), Decimal::TWO, dong(120_000))],
                paid: true,
                ..PlaceAbahaOrder::default()
            })
            .unwrap();
        world.quiet().await;
        world.sandbox.faults().clear();
        let code = world.sandbox.abaha().order(there).unwrap()["cart_code"].as_str().unwrap().to_owned();
        let made = omni.order_by_reference(&code);
        assert_eq!(made.len(), 1, "{what}: exactly one order on Sapo: {:#?}", world.events_of(there).await);
        assert_eq!(made[0]["payment_status"], "paid", "{what}");
        assert_eq!(world.sandbox.abaha().orders_by_pos_id(pos).len(), 1, "{what}: exactly one order on Abaha");
        assert_eq!(quantity(&world), stock, "{what}");
        assert!(world.dead().await.is_empty(), "{what}: {:#?}", world.dead().await);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_delivery_joins_the_row_that_waits_for_time_and_does_not_overtake_it() {
    let world = World::with(by_hand()).await;
    let (product, variant) = linked(&world).await;
    fault(&world, Api::Abaha, "product/update", 1, ApiEffect::Status { code: 500, retry_after: None });
    world.sandbox.omni().set_stock(variant, 58_001, dong(20)).unwrap();
    until("it waits", async || !world.parked().await.is_empty()).await;
    let first = world.parked().await.remove(0);
    assert_eq!((first.cause.as_str(), first.attempts), ("failing", 1));
    for stock in [21, 22] {
        world.sandbox.omni().set_stock(variant, 58_001, dong(stock)).unwrap();
        let joined = async || {
            let waiting = world.events_of(product).await;
            waiting.len() == usize::try_from(stock).unwrap() - 18 && world.depth().await.events == 0
        };
        until("the newer state joined", joined).await;
    }
    let rows = world.parked().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].due_at, rows[0].first_parked_at),
        (first.due_at, first.first_parked_at),
        "neither sooner nor younger"
    );
    assert!(rows[0].generation > first.generation && rows[0].event_id != first.event_id);
    assert_eq!(rows[0].attempts, 0, "attempts belong to the content");
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "product"), 1, "nobody called since");
    assert_eq!(world.store().release_now(None, None, None).await.unwrap(), 1);
    world.quiet().await;
    until("it was pushed", async || quantity(&world) == 22).await;
    assert_eq!(world.sandbox.call_count(Api::Abaha, "POST", "product/update"), 2, "one call for three states");
    let codes: Vec<String> = world.events_of(product).await.into_iter().map(|row| row.code).collect();
    assert_eq!(codes, ["created", "superseded", "superseded", "pushed"]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_arrives_while_its_object_is_released_is_not_lost() {
    let world = World::with(by_hand()).await;
    let (product, variant) = linked(&world).await;
    // Again and again: a row is released while a newer state arrives, in no order that we choose.
    for round in 0..15 {
        fault(&world, Api::Abaha, "product/update", 1, ApiEffect::Status { code: 500, retry_after: None });
        world.sandbox.omni().set_stock(variant, 58_001, dong(100 + 2 * round)).unwrap();
        until("it waits", async || !world.parked().await.is_empty()).await;
        let change = async { world.sandbox.omni().set_stock(variant, 58_001, dong(101 + 2 * round)).unwrap() };
        let release = async { world.store().release_now(None, None, None).await.unwrap() };
        tokio::join!(change, release);
        until("the newest state is there", async || {
            // What joined the row while it was released waits for its time again; by hand means by this hand.
            world.store().release_now(None, None, None).await.unwrap();
            quantity(&world) == 101 + 2 * round && world.parked().await.is_empty() && world.depth().await.events == 0
        })
        .await;
        world.sandbox.webhooks_settled().await;
        world.quiet().await;
    }
    assert!(world.events_of(product).await.iter().all(|row| row.outcome != "dead"));
    world.finish(&[]).await;
}
