//! What every broker promises, written against the trait alone. A new implementation adds one line at the end of
//! `contract!`'s uses, and a [`Place`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sapo_sync::broker::embedded::Embedded;
use sapo_sync::broker::{Broker, Consumer, Delivery, Depth, Share};
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::harness::{PATIENCE, until};
use crate::rabbit::Prefix;

/// A place where events are kept: brokers opened one after the other find what the one before left.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens a broker on it; the one before was closed, or dropped as a dying process drops it.
    async fn open(&self) -> Arc<dyn Broker>;
}

/// Queue files in a folder of their own.
struct QueueFile(TempDir);

impl QueueFile {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("queue.db")
    }
}

#[async_trait]
impl Place for QueueFile {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(Embedded::open(&self.path()).await.unwrap())
    }
}

#[async_trait]
impl Place for Prefix {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(Prefix::open(self).await)
    }
}

/// An event whose attributes are all set, so that one which gets lost on the way is seen.
fn event(number: usize, body: impl Into<Bytes>) -> Event {
    let key = ObjectKey {
        connection: "mau-abaha".into(),
        source: System::Omni,
        kind: Kind::Order,
        object_id: number.to_string(),
    };
    let mut event = Event::new(key, "cuahangmau", "orders/update", Shape::Whole, 1_770_000_000_000, body.into());
    event.run = 2;
    event.reference = Some(format!("SON \"{number}\" – đơn hàng"));
    event.version = Some(1_770_000_000_000 + i64::try_from(number).unwrap());
    event.job = Some("job".into());
    (event.force, event.read, event.attempts, event.parked_since) = (true, true, 3, Some(5));
    event
}

async fn publish_all(broker: &dyn Broker, numbers: std::ops::Range<usize>) -> Vec<Event> {
    let mut all = Vec::new();
    for number in numbers {
        all.push(event(number, format!("{{\"id\":{number}}}")));
        broker.publish(&all[all.len() - 1]).await.unwrap();
    }
    all
}

/// Takes exactly so many.
async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Box<dyn Delivery>> {
    let mut taken: Vec<Box<dyn Delivery>> = Vec::new();
    while taken.len() < count {
        let more = tokio::time::timeout(PATIENCE, consumer.next(count - taken.len()))
            .await
            .expect("deliveries in time")
            .unwrap();
        assert!(!more.is_empty() && more.len() <= count - taken.len());
        taken.extend(more);
    }
    taken
}

fn numbers(taken: &[Box<dyn Delivery>]) -> Vec<usize> {
    taken.iter().map(|delivery| delivery.event().key.object_id.parse().unwrap()).collect()
}

/// Takes exactly so many and settles them as they come: a broker may send only so many ahead.
async fn take_and_settle(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<(Event, bool)> {
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        for delivery in take(consumer, (count - events.len()).min(50)).await {
            events.push((delivery.event().clone(), delivery.redelivered()));
            delivery.ack().await.unwrap();
        }
    }
    events
}

/// Nothing more waits: the next delivery is one that is published just now.
async fn assert_nothing_waits(broker: &dyn Broker, consumer: &mut Box<dyn Consumer>) {
    let marker = event(999_999, "marker");
    broker.publish(&marker).await.unwrap();
    let next = take(consumer, 1).await.remove(0);
    assert_eq!(next.event().id, marker.id);
    next.ack().await.unwrap();
}

async fn depth_is(broker: &dyn Broker, events: i64, dead: i64) {
    until("the depth is told", async || broker.depth().await.unwrap() == Depth { events, dead }).await;
}

async fn what_was_confirmed_survives_reopening_whole_and_in_order(place: &dyn Place) {
    let broker = place.open().await;
    let published = publish_all(&*broker, 0..300).await;
    depth_is(&*broker, 300, 0).await;
    // As a process that dies leaves it: not closed.
    drop(broker);
    let broker = place.open().await;
    depth_is(&*broker, 300, 0).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for ((taken, redelivered), event) in take_and_settle(&mut consumer, 300).await.iter().zip(&published) {
        assert_eq!(taken, event);
        assert!(!redelivered, "it was never delivered before");
    }
    broker.close().await;
}

async fn bodies_up_to_one_mebibyte_come_back_byte_for_byte(place: &dyn Place) {
    let broker = place.open().await;
    let mut dice = StdRng::seed_from_u64(7);
    let mut published = Vec::new();
    for (number, size) in [0, 1, 255, 4_400, 65_536, 1_048_575, 1_048_576].into_iter().enumerate() {
        let mut body = vec![0; size];
        dice.fill_bytes(&mut body);
        published.push(event(number, body));
    }
    published.push(event(published.len(), b"\0'; drop table queue; --\xff\xfe\r\n".to_vec()));
    for event in &published {
        broker.publish(event).await.unwrap();
    }
    broker.close().await;
    let broker = place.open().await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for (delivery, event) in take(&mut consumer, published.len()).await.into_iter().zip(&published) {
        assert!(delivery.event() == event, "body {} of {} bytes differs", event.key.object_id, event.body.len());
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

async fn what_was_acknowledged_never_comes_again(place: &dyn Place) {
    let broker = place.open().await;
    publish_all(&*broker, 0..20).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let taken = take(&mut consumer, 20).await;
    // In an order of its own, and not all of them.
    for (at, delivery) in taken.into_iter().enumerate().collect::<Vec<_>>().into_iter().rev() {
        if at % 2 == 0 {
            delivery.ack().await.unwrap();
        }
    }
    depth_is(&*broker, 10, 0).await;
    drop(consumer);
    broker.close().await;
    let broker = place.open().await;
    depth_is(&*broker, 10, 0).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let again = take(&mut consumer, 10).await;
    assert_eq!(numbers(&again), (0..20).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    for delivery in again {
        delivery.ack().await.unwrap();
    }
    assert_nothing_waits(&*broker, &mut consumer).await;
    broker.close().await;
}

async fn what_was_rejected_waits_among_the_dead_until_it_is_filed(place: &dyn Place) {
    let broker = place.open().await;
    let published = publish_all(&*broker, 0..3).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for delivery in take(&mut consumer, 3).await {
        match delivery.event().key.object_id.as_str() {
            "1" => delivery.reject().await.unwrap(),
            _ => delivery.ack().await.unwrap(),
        }
    }
    depth_is(&*broker, 0, 1).await;
    assert_nothing_waits(&*broker, &mut consumer).await;
    drop(consumer);
    broker.close().await;
    let broker = place.open().await;
    depth_is(&*broker, 0, 1).await;
    let mut dead = broker.consume_dead().await.unwrap();
    let letter = take(&mut dead, 1).await.remove(0);
    assert_eq!(letter.event(), &published[1], "whole, body and all");
    letter.give_back().await;
    let letter = take(&mut dead, 1).await.remove(0);
    assert_eq!(letter.event(), &published[1], "a keeper that could not file it gets it again");
    letter.ack().await.unwrap();
    depth_is(&*broker, 0, 0).await;
    drop(dead);
    broker.close().await;
    let broker = place.open().await;
    depth_is(&*broker, 0, 0).await;
    broker.close().await;
}

async fn what_was_given_back_comes_again_and_is_not_under_suspicion(place: &dyn Place) {
    let broker = place.open().await;
    publish_all(&*broker, 0..6).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for delivery in take(&mut consumer, 4).await {
        match delivery.event().key.object_id.as_str() {
            "0" | "2" => delivery.give_back().await,
            _ => delivery.ack().await.unwrap(),
        }
    }
    let again = take(&mut consumer, 4).await;
    let mut seen = numbers(&again);
    seen.sort_unstable();
    assert_eq!(seen, [0, 2, 4, 5]);
    for delivery in again {
        assert!(
            !delivery.redelivered(),
            "{} was given back in order: its worker did not die",
            delivery.event().key.object_id
        );
        assert!(delivery.alive());
        delivery.give_back().await;
    }
    depth_is(&*broker, 4, 0).await;
    for delivery in take(&mut consumer, 4).await {
        delivery.ack().await.unwrap();
    }
    assert_nothing_waits(&*broker, &mut consumer).await;
    depth_is(&*broker, 0, 0).await;
    broker.close().await;
}

/// A stop in order is no death: nobody has to run alone after it.
async fn what_was_given_back_before_a_stop_is_not_under_suspicion_after_it(place: &dyn Place) {
    let broker = place.open().await;
    publish_all(&*broker, 0..4).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for delivery in take(&mut consumer, 4).await {
        delivery.give_back().await;
    }
    depth_is(&*broker, 4, 0).await;
    drop(consumer);
    broker.close().await;
    let broker = place.open().await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for delivery in take(&mut consumer, 4).await {
        assert!(!delivery.redelivered(), "{} after a stop in order", delivery.event().key.object_id);
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

async fn what_a_dying_process_held_comes_again_marked_before_the_rest(place: &dyn Place) {
    let broker = place.open().await;
    publish_all(&*broker, 0..10).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let held = take(&mut consumer, 4).await;
    assert!(held.iter().all(|delivery| !delivery.redelivered()));
    drop((held, consumer, broker));
    for _ in 0..2 {
        let broker = place.open().await;
        let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
        let taken = take(&mut consumer, 4).await;
        assert_eq!(numbers(&taken), [0, 1, 2, 3]);
        assert!(taken.iter().all(|delivery| delivery.redelivered()));
    }
    let broker = place.open().await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let taken = take(&mut consumer, 10).await;
    assert_eq!(numbers(&taken), (0..10).collect::<Vec<_>>());
    for delivery in taken {
        delivery.ack().await.unwrap();
    }
    depth_is(&*broker, 0, 0).await;
    broker.close().await;
}

/// A broker that sends ahead marks what it sent ahead as well; this holds where nothing is.
async fn what_a_dying_process_did_not_hold_comes_unmarked(place: &dyn Place) {
    let broker = place.open().await;
    publish_all(&*broker, 0..10).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let held = take(&mut consumer, 4).await;
    drop((held, consumer, broker));
    let broker = place.open().await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    for delivery in take(&mut consumer, 10).await {
        let number: usize = delivery.event().key.object_id.parse().unwrap();
        assert_eq!(delivery.redelivered(), number < 4, "{number}");
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

async fn many_publishers_lose_nothing_and_each_keeps_its_order(place: &dyn Place) {
    const PUBLISHERS: usize = 64;
    const EACH: usize = 20;
    let broker = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move { publish_all(&*broker, publisher * EACH..(publisher + 1) * EACH).await });
    }
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let taken = take_and_settle(&mut consumer, PUBLISHERS * EACH).await;
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let mut next = [0; PUBLISHERS];
    for (event, _) in taken {
        let number: usize = event.key.object_id.parse().unwrap();
        assert_eq!(number % EACH, next[number / EACH], "publisher {}", number / EACH);
        next[number / EACH] += 1;
    }
    assert_nothing_waits(&*broker, &mut consumer).await;
    broker.close().await;
}

async fn closing_finishes_what_was_accepted_and_takes_no_more(place: &dyn Place) {
    let broker = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move { (number, broker.publish(&event(number, "x")).await.is_ok()) });
    }
    tokio::task::yield_now().await;
    broker.close().await;
    let mut confirmed = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (number, taken) = ended.unwrap();
        confirmed.extend(taken.then_some(number));
    }
    confirmed.sort_unstable();
    assert!(broker.publish(&event(500, "late")).await.is_err());
    assert!(broker.ready().await.is_err());
    drop(broker);
    let broker = place.open().await;
    // Kept but not confirmed is possible, and harmless: the sender repeats it. Confirmed but not kept is not.
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let mut missing: BTreeSet<usize> = confirmed.into_iter().collect();
    while !missing.is_empty() {
        missing.remove(&take_and_settle(&mut consumer, 1).await[0].0.key.object_id.parse().unwrap());
    }
    broker.close().await;
}

async fn readiness_is_a_confirmed_write_that_leaves_nothing(place: &dyn Place) {
    let broker = place.open().await;
    broker.ready().await.unwrap();
    depth_is(&*broker, 0, 0).await;
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    assert_nothing_waits(&*broker, &mut consumer).await;
    broker.close().await;
}

/// Runs the whole contract against one implementation.
macro_rules! contract {
    ($(#[$attribute:meta])* $implementation:ident, $place:expr, [$($promise:ident),+ $(,)?]) => {
        mod $implementation {
            use super::*;
            contract!(@each [$(#[$attribute])*] $place, [$($promise),+]);
        }
    };
    (@each $attributes:tt $place:expr, [$($promise:ident),+]) => {
        $(contract!(@one $attributes $place, $promise);)+
    };
    (@one [$(#[$attribute:meta])*] $place:expr, $promise:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        $(#[$attribute])*
        async fn $promise() {
            super::$promise(&$place).await;
        }
    };
}

macro_rules! whole_contract {
    ($(#[$attribute:meta])* $implementation:ident, $place:expr) => {
        contract!(
            $(#[$attribute])*
            $implementation,
            $place,
            [
                what_was_confirmed_survives_reopening_whole_and_in_order,
                bodies_up_to_one_mebibyte_come_back_byte_for_byte,
                what_was_acknowledged_never_comes_again,
                what_was_rejected_waits_among_the_dead_until_it_is_filed,
                what_was_given_back_comes_again_and_is_not_under_suspicion,
                what_a_dying_process_held_comes_again_marked_before_the_rest,
                many_publishers_lose_nothing_and_each_keeps_its_order,
                closing_finishes_what_was_accepted_and_takes_no_more,
                readiness_is_a_confirmed_write_that_leaves_nothing,
            ]
        );
    };
}

whole_contract!(embedded, QueueFile::new());

whole_contract!(
    #[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
    rabbitmq,
    Prefix::new()
);

contract!(
    embedded_alone,
    QueueFile::new(),
    [
        what_was_given_back_before_a_stop_is_not_under_suspicion_after_it,
        what_a_dying_process_did_not_hold_comes_unmarked,
    ]
);

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_file_syncs_each_commit_and_answers_nobody_before_the_commit_of_his_own_row() {
    let place = QueueFile::new();
    let broker = Embedded::open(&place.path()).await.unwrap();
    // Told by the writer's own connection: 2 is FULL, with which SQLite syncs the log before a commit returns.
    assert_eq!(broker.durability(), ("wal", 2));
    let mut last = broker.commits();
    for number in 0..50 {
        broker.publish(&event(number, "x")).await.unwrap();
        assert!(broker.commits() > last, "publish {number} was answered without a commit of its own");
        last = broker.commits();
    }
    // The row is in the file at the moment of the answer, for others to read.
    let mut reader = sqlx::SqliteConnection::connect(&format!("sqlite://{}", place.path().display())).await.unwrap();
    let (mode,): (String,) = sqlx::query_as("pragma journal_mode").fetch_one(&mut reader).await.unwrap();
    assert_eq!(mode, "wal");
    for number in 50..60 {
        broker.publish(&event(number, "x")).await.unwrap();
        let (rows,): (i64,) = sqlx::query_as("select count(*) from queue").fetch_one(&mut reader).await.unwrap();
        assert_eq!(rows, i64::try_from(number).unwrap() + 1);
    }
    reader.close().await.unwrap();
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_that_wait_together_share_commits_and_each_has_one_between_asking_and_answer() {
    const PUBLISHERS: i64 = 2_000;
    let place = QueueFile::new();
    let broker = Embedded::open(&place.path()).await.unwrap();
    let before = broker.commits();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..PUBLISHERS {
        let broker = broker.clone();
        tasks.spawn(async move {
            let event = event(usize::try_from(number).unwrap(), vec![b'x'; 4_400]);
            let asked = broker.commits();
            broker.publish(&event).await.unwrap();
            assert!(broker.commits() > asked);
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let commits = broker.commits() - before;
    assert!(commits > 1 && commits <= PUBLISHERS / 4, "{commits} commits for {PUBLISHERS} publishes");
    depth_is(&broker, PUBLISHERS, 0).await;
    broker.close().await;
}
