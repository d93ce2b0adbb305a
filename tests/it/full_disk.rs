//! A disk without room. Real writes fail: in a process of its own, no file may grow beyond a size that the kernel
//! enforces (`RLIMIT_FSIZE`, with `SIGXFSZ` ignored, so that `write` fails). On a full disk the error is ENOSPC
//! instead of EFBIG; SQLite rolls back either way, and so does what stands on it.
#![cfg(target_os = "linux")]

use std::time::Duration;

use bytes::Bytes;
use sapo_sync::broker::embedded::Embedded;
use sapo_sync::broker::{Broker, BrokerError, Share};
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use serde_json::json;

use crate::child;
use crate::harness::{Setup, World, dong, until};
use crate::wire;

fn event(number: usize) -> Event {
    let key =
        ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Order, object_id: number.to_string() };
    Event::new(key, "s", "orders/update", Shape::Whole, 0, Bytes::from(vec![b'x'; 50_000]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_file_without_room_takes_nothing_half_and_goes_on_when_there_is_room() {
    let Some(folder) = child::shared() else {
        let folder = tempfile::tempdir().unwrap();
        child::pass(
            "full_disk::a_queue_file_without_room_takes_nothing_half_and_goes_on_when_there_is_room",
            folder.path(),
        )
        .await;
        return;
    };
    let file = folder.join("queue.db");
    let broker = Embedded::open(&file).await.unwrap();
    child::allow_file_size(Some(2_000_000));
    let mut taken = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let broker = broker.clone();
        tasks.spawn(async move { (number, broker.publish(&event(number)).await) });
    }
    let mut refused = 0;
    while let Some(ended) = tasks.join_next().await {
        match ended.unwrap() {
            (number, Ok(())) => taken.push(number),
            (_, Err(BrokerError::NotTaken(_))) => refused += 1,
            (_, Err(error)) => panic!("{error}"),
        }
    }
    while let Ok(()) = broker.publish(&event(900)).await {
        taken.push(900);
    }
    assert!(refused > 0 && taken.len() > 10);
    assert_eq!(broker.depth().await.unwrap().events, i64::try_from(taken.len()).unwrap());
    child::allow_file_size(None);
    broker.publish(&event(1_000)).await.unwrap();
    taken.push(1_000);
    broker.close().await;
    let broker = Embedded::open(&file).await.unwrap();
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let mut there = Vec::new();
    while there.len() < taken.len() {
        for delivery in consumer.next(64).await.unwrap() {
            assert_eq!(delivery.event().body, event(0).body);
            there.push(delivery.event().key.object_id.parse::<usize>().unwrap());
            delivery.ack().await.unwrap();
        }
    }
    there.sort_unstable();
    taken.sort_unstable();
    assert_eq!(there, taken, "exactly what was confirmed is there");
    assert_eq!(broker.depth().await.unwrap().events, 0);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_on_a_full_disk_are_answered_503_and_all_is_settled_once_there_is_room() {
    let Some(_) = child::shared() else {
        let folder = tempfile::tempdir().unwrap();
        child::pass(
            "full_disk::webhooks_on_a_full_disk_are_answered_503_and_all_is_settled_once_there_is_room",
            folder.path(),
        )
        .await;
        return;
    };
    // The senders go on until there is room, however long this takes.
    let mut setup = Setup::default();
    setup.sandbox.retry = vec![Duration::from_millis(50); 10_000];
    let world = World::on_files(setup).await;
    let product = world
        .sandbox
        .omni()
        .add_product(
            &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
        )
        .unwrap();
    world.quiet().await;
    let settled = world.events().await.len();
    // Not a byte more: every page that is to be written anew lies beyond it.
    child::allow_file_size(Some(1_024));
    let variant = world.sandbox.omni().variant_by_sku("AT-S").unwrap();
    for stock in 20..25 {
        world.sandbox.omni().set_stock(variant, 58_001, dong(stock)).unwrap();
    }
    until("webhooks are refused", async || {
        world.sandbox.webhooks_sent().iter().filter(|sent| sent.answer == Some(503)).count() >= 5
    })
    .await;
    let answer = wire::omni(&world, "themes/publish", br#"{"id":1}"#).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(wire::get(&world.url(), "/readyz").await.status, 503);
    assert!(world.running().is_healthy(), "nothing gives up for want of room");
    assert_eq!(world.events().await.len(), settled);
    child::allow_file_size(None);
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"], 24);
    assert_eq!(world.events_of(product).await.len(), 1 + 5, "each was refused until there was room, then taken once");
    world.finish(&[]).await;
}
