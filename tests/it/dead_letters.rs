//! Dead letters: who becomes one, what is kept of it, and how it goes again.

use std::os::unix::process::ExitStatusExt as _;

use rust_decimal::Decimal;
use sapo_sync::app::{App, Role, open_store};
use sapo_sync::broker::Share;
use sapo_sync::config::Config;
use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceAbahaOrder};
use sapo_sync::store::dead_letters::{DeadFilter, DeadLetter};
use sapo_sync::sync::replay::{discard, replay};
use serde_json::json;

use crate::backend::{open_broker, settings_file};
use crate::child;
use crate::harness::{CONNECTION, PATIENCE, Setup, World, dong, until};

/// A linked product, and an order from Abaha that is linked as well.
async fn linked(world: &World) -> (u64, u64) {
    let omni = world.sandbox.omni();
    omni.add_product(
        &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
    )
    .unwrap();
    world.quiet().await;
    let order = world
        .sandbox
        .abaha()
        .place_order(&PlaceAbahaOrder {
            lines: vec![("AT-S".into(), Decimal::ONE, dong(120_000))],
            ..PlaceAbahaOrder::default()
        })
        .unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(order).await.1, "created");
    (omni.variant_by_sku("AT-S").unwrap(), order)
}

/// The letters of any state of one event, by run.
async fn letters(world: &World, event_id: &str) -> Vec<DeadLetter> {
    let mut all = Vec::new();
    for state in ["open", "replayed", "superseded", "discarded"] {
        let filter = DeadFilter {
            state: Some(state.into()),
            search: Some(event_id.into()),
            limit: 100,
            ..DeadFilter::default()
        };
        all.extend(world.store().list_letters(&filter).await.unwrap());
    }
    all.sort_by_key(|letter| letter.run);
    all
}

async fn replay_now(world: &World, letter: &DeadLetter) -> bool {
    let context = world.running().context();
    replay(&context.store, &context.snapshot, letter, "test").await.unwrap()
}

/// Refuses the product's next updates for good, so that its event dies.
fn refuse(world: &World, times: u32) {
    let effect = ApiEffect::Status { code: 500, retry_after: None };
    world.sandbox.faults().api(ApiFault {
        api: Api::Abaha,
        method: None,
        path: "product/update".into(),
        skip: 0,
        times,
        effect,
    });
}

fn no_retries() -> Setup {
    Setup { schedule: Vec::new(), recheck: std::time::Duration::from_millis(200), ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_goes_by_itself_under_its_own_id_and_is_superseded_when_done() {
    let world = World::with(no_retries()).await;
    let (variant, _) = linked(&world).await;
    refuse(&world, 2);
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it is dead", async || world.dead().await.len() == 1).await;
    let first = world.dead().await.remove(0);
    assert_eq!((first.run, first.code.as_str()), (0, "server_error"));
    // The fault goes on: the second run dies as well, as a letter of its own.
    assert!(replay_now(&world, &first).await);
    assert!(!replay_now(&world, &first).await, "somebody replayed it before");
    until("it is dead again", async || world.dead().await.iter().any(|letter| letter.run == 1)).await;
    let runs = letters(&world, &first.event_id).await;
    assert_eq!(
        runs.iter().map(|letter| (letter.run, letter.state.as_str())).collect::<Vec<_>>(),
        [(0, "replayed"), (1, "open")]
    );
    // The object has changed meanwhile without a word to us: a replay reads it anew.
    world.sandbox.stop_webhooks();
    world.sandbox.omni().set_stock(variant, 58_001, dong(4)).unwrap();
    assert!(replay_now(&world, &runs[1]).await);
    until("it is done", async || world.dead().await.is_empty() && world.parked().await.is_empty()).await;
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"], 4);
    let runs = letters(&world, &first.event_id).await;
    assert_eq!(
        runs.iter().map(|letter| (letter.run, letter.state.as_str())).collect::<Vec<_>>(),
        [(0, "superseded"), (1, "superseded")]
    );
    let rows: Vec<_> = world.events().await.into_iter().filter(|row| row.event_id == first.event_id).collect();
    assert_eq!(rows.len(), 1, "one event, one row");
    assert_eq!((rows[0].run, rows[0].outcome.as_str(), rows[0].attempts), (2, "done", 0));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_object_is_settled_by_a_later_event_is_superseded() {
    let world = World::with(no_retries()).await;
    let (variant, _) = linked(&world).await;
    refuse(&world, 1);
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it is dead", async || world.dead().await.len() == 1).await;
    let letter = world.dead().await.remove(0);
    world.sandbox.omni().set_stock(variant, 58_001, dong(5)).unwrap();
    world.quiet().await;
    assert_eq!(letters(&world, &letter.event_id).await[0].state, "superseded");
    assert!(!replay_now(&world, &letter).await, "there is nothing left to replay");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_letter_is_kept_and_neither_open_nor_replayable() {
    let world = World::with(no_retries()).await;
    let (variant, _) = linked(&world).await;
    refuse(&world, 1);
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it is dead", async || world.dead().await.len() == 1).await;
    let letter = world.dead().await.remove(0);
    assert!(discard(world.store(), &letter, "test").await.unwrap());
    assert!(!discard(world.store(), &letter, "test").await.unwrap());
    assert!(!replay_now(&world, &letter).await);
    assert!(world.parked().await.is_empty() && world.dead().await.is_empty());
    assert_eq!(letters(&world, &letter.event_id).await[0].state, "discarded");
    assert!(world.store().letter_event(&letter.event_id, 0).await.unwrap().is_some_and(|event| !event.body.is_empty()));
    let audit: Vec<String> = world.store().audit_rows(10).await.unwrap().into_iter().map(|row| row.action).collect();
    assert!(audit.contains(&"dead discard".to_owned()), "{audit:?}");
    world.finish(&[]).await;
}

fn read_product(id: u64) -> Event {
    let key = ObjectKey {
        connection: CONNECTION.into(),
        source: System::Omni,
        kind: Kind::Product,
        object_id: id.to_string(),
    };
    Event::new(key, "cuahangmau", "products/update", Shape::Id, Clock::system().now(), "{}".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_event_with_two_marks_is_set_aside_at_the_third_and_its_neighbours_are_settled() {
    let mut world = World::new().await;
    linked(&world).await;
    let omni = world.sandbox.omni();
    let ids: Vec<u64> = (0..5).map(|n| omni.add_product(&json!({"name": format!("Mũ {n}"), "variants": [{"sku": format!("M-{n}"), "retail": 90_000, "stock": {"58001": 1}}]})).unwrap()).collect();
    world.quiet().await;
    world.stop().await;
    let events: Vec<Event> = ids.iter().map(|id| read_product(*id)).collect();
    let broker = open_broker(&world.config).await;
    for event in &events {
        broker.publish(event).await.unwrap();
    }
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let mut held = Vec::new();
    while held.len() < events.len() {
        held.extend(consumer.next(events.len() - held.len()).await.unwrap());
    }
    // The worker dies with all of them in hand, for the third time, and what it left in the state tells on whose account.
    drop((held, consumer, broker));
    let store = open_store(&world.config).await.unwrap();
    for event in &events {
        assert_eq!(store.mark_poison(&event.id.to_string()).await.unwrap(), 1);
    }
    assert_eq!(store.mark_poison(&events[2].id.to_string()).await.unwrap(), 2);
    store.close().await;
    world.start().await;
    until("it is set aside", async || world.dead().await.len() == 1).await;
    world.quiet().await;
    let letter = world.dead().await.remove(0);
    assert_eq!((letter.event_id, letter.code.as_str()), (events[2].id.to_string(), "poison"));
    let rows = world.events().await;
    for event in events.iter().filter(|event| event.id != events[2].id) {
        let row = rows.iter().find(|row| row.event_id == event.id.to_string()).unwrap();
        assert_eq!((row.outcome.as_str(), row.code.as_str()), ("skipped", "unchanged"));
        assert_eq!(
            world.store().mark_poison(&row.event_id).await.unwrap(),
            1,
            "its mark was taken off when it was settled"
        );
    }
    world.finish(&["dead:poison"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_its_worker_three_times_becomes_a_dead_letter_and_its_neighbours_are_settled() {
    if let Some(folder) = child::shared() {
        work_until_killed(&folder).await;
        return;
    }
    let mut world = World::new().await;
    let (_, killer) = linked(&world).await;
    let omni = world.sandbox.omni();
    let neighbours: Vec<u64> = (0..6).map(|n| omni.add_product(&json!({"name": format!("Mũ {n}"), "variants": [{"sku": format!("M-{n}"), "retail": 90_000, "stock": {"58001": 1}}]})).unwrap()).collect();
    world.quiet().await;
    world.stop().await;
    let key = ObjectKey {
        connection: CONNECTION.into(),
        source: System::Abaha,
        kind: Kind::Order,
        object_id: killer.to_string(),
    };
    let killer_event = Event::new(key, "cuahangmau", "order.updated", Shape::Id, Clock::system().now(), "{}".into());
    world.sandbox.stop_webhooks();
    world.sandbox.abaha().set_status(killer, 0, None).unwrap();
    let cancelled = |world: &World| world.sandbox.omni().orders()[0]["status"] == "cancelled";
    let broker = open_broker(&world.config).await;
    let events: Vec<Event> = neighbours.iter().map(|id| read_product(*id)).collect();
    for event in events[..3].iter().chain([&killer_event]).chain(&events[3..]) {
        broker.publish(event).await.unwrap();
    }
    broker.close().await;
    settings_file(&world.config, &world.dir.path().join("settings.toml"));
    for death in 1..=3 {
        let name = "dead_letters::an_event_that_kills_its_worker_three_times_becomes_a_dead_letter_and_its_neighbours_are_settled";
        let output = child::run(name, world.dir.path()).await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(9), "death {death}: {told}");
    }
    world.start().await;
    until("it is set aside", async || world.dead().await.len() == 1).await;
    let letter = world.dead().await.remove(0);
    assert_eq!((letter.event_id, letter.code.as_str()), (killer_event.id.to_string(), "poison"));
    world.quiet().await;
    assert!(!cancelled(&world));
    let rows = world.events().await;
    for event in &events {
        let row = rows.iter().find(|row| row.event_id == event.id.to_string()).expect("it is settled");
        assert_eq!((row.outcome.as_str(), row.code.as_str()), ("skipped", "unchanged"), "{row:#?}");
    }
    // Nothing is wrong with this program: replayed, it goes.
    let letter = world.dead().await.remove(0);
    assert!(replay_now(&world, &letter).await);
    let went =
        async || world.events().await.iter().any(|row| row.event_id == letter.event_id && row.code == "cancelled");
    until("it went", async || world.dead().await.is_empty() && went().await).await;
    assert!(cancelled(&world));
    world.finish(&[]).await;
}

/// The child: a program at work on the parent's data dir, killed where it would cancel an order.
async fn work_until_killed(data_dir: &std::path::Path) {
    let mut config = Config::load(Some(&data_dir.join("settings.toml"))).unwrap();
    config.allow_custom_hosts = true;
    config.crash_at = Some("before_cancel".to_owned());
    let running = App::open(config, Role::Up).await.unwrap().start(None).unwrap();
    // Not killed is told by a good end.
    let _ended = tokio::time::timeout(PATIENCE, running.finish()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_makes_a_dead_letter_and_takes_nobody_along() {
    let Some(_) = child::shared() else {
        let folder = tempfile::tempdir().unwrap();
        child::pass("dead_letters::a_panic_makes_a_dead_letter_and_takes_nobody_along", folder.path()).await;
        return;
    };
    let mut world = World::new().await;
    let (variant, order) = linked(&world).await;
    world.stop().await;
    world.config.crash_at = Some("before_cancel:1:panic".to_owned());
    world.start().await;
    world.sandbox.abaha().set_status(order, 0, None).unwrap();
    world.sandbox.omni().set_stock(variant, 58_001, dong(9)).unwrap();
    until("it is dead", async || world.dead().await.len() == 1).await;
    world.quiet().await;
    let letter = world.dead().await.remove(0);
    assert_eq!((letter.code.as_str(), letter.object_id.as_str()), ("panic", order.to_string().as_str()));
    assert_eq!(world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"], 9, "its neighbour went on");
    assert!(world.running().is_healthy());
    assert!(replay_now(&world, &letter).await);
    until("it is cancelled", async || world.dead().await.is_empty() && world.outcome(order).await.1 == "cancelled")
        .await;
    world.finish(&[]).await;
}
