//! The spool: what a receiver keeps while RabbitMQ is away.

use std::collections::BTreeSet;
use std::path::Path;

use sapo_sync::broker::embedded::Embedded;
use sapo_sync::broker::spool::Spooled;
use sapo_sync::broker::{Broker, BrokerError, Share};
use sapo_sync::domain::event::Kind;

use crate::harness::{PATIENCE, until};
use crate::rabbit::{Mode, Prefix, Wire};
use crate::rabbitmq::event;

async fn open(prefix: &Prefix, wire: &Wire, file: &Path, most: i64) -> Spooled {
    Spooled::new(prefix.open_over(wire).await, Embedded::open(file).await.unwrap(), most)
}

async fn publish(broker: &Spooled, numbers: std::ops::Range<usize>) {
    for number in numbers {
        broker.publish(&event(Kind::Order, "cuahangmau", number)).await.unwrap();
    }
}

/// Takes until each of these has come, in whatever order.
async fn all_come(broker: &dyn Broker, numbers: std::ops::Range<usize>) {
    let mut consumer = broker.consume(Share::all(broker.partitions())).await.unwrap();
    let mut missing: BTreeSet<usize> = numbers.collect();
    while !missing.is_empty() {
        let taken = tokio::time::timeout(PATIENCE, consumer.next(50)).await.expect("deliveries in time").unwrap();
        for delivery in taken {
            missing.remove(&delivery.event().key.object_id.parse().unwrap());
            delivery.ack().await.unwrap();
        }
    }
}

async fn spool_is(broker: &Spooled, events: i64) {
    until("the spool has that many", async || broker.spooled().await.unwrap() == events).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn while_rabbitmq_is_away_events_are_spooled_and_then_forwarded_and_none_is_left() {
    let (prefix, wire, dir) = (Prefix::new(), Wire::new().await, tempfile::tempdir().unwrap());
    let broker = open(&prefix, &wire, &dir.path().join("spool.db"), 1_000).await;
    publish(&broker, 0..10).await;
    assert_eq!(broker.spooled().await.unwrap(), 0, "with RabbitMQ there nothing is spooled");
    wire.refuse();
    publish(&broker, 10..60).await;
    assert_eq!(broker.spooled().await.unwrap(), 50);
    broker.ready().await.unwrap();
    wire.set(Mode::Pass);
    spool_is(&broker, 0).await;
    all_come(&broker, 0..60).await;
    broker.close().await;
    assert!(matches!(broker.publish(&event(Kind::Order, "cuahangmau", 99)).await, Err(BrokerError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn a_broker_that_stops_answering_costs_one_time_out_and_then_events_are_spooled() {
    let (prefix, wire, dir) = (Prefix::new(), Wire::new().await, tempfile::tempdir().unwrap());
    let broker = open(&prefix, &wire, &dir.path().join("spool.db"), 1_000).await;
    wire.set(Mode::Stall);
    publish(&broker, 0..40).await;
    assert_eq!(broker.spooled().await.unwrap(), 40);
    wire.set(Mode::Pass);
    spool_is(&broker, 0).await;
    all_come(&broker, 0..40).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn what_an_earlier_process_left_in_the_spool_is_forwarded_by_the_next() {
    let (prefix, wire, dir) = (Prefix::new(), Wire::new().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("spool.db");
    wire.refuse();
    // RabbitMQ was never there: the receiver takes events all the same.
    let broker = open(&prefix, &wire, &file, 1_000).await;
    publish(&broker, 0..30).await;
    // As a process that dies leaves it.
    drop(broker);
    wire.set(Mode::Pass);
    let broker = open(&prefix, &wire, &file, 1_000).await;
    spool_is(&broker, 0).await;
    all_come(&broker, 0..30).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn a_full_spool_takes_no_more_and_says_so_until_rabbitmq_is_back() {
    let (prefix, wire, dir) = (Prefix::new(), Wire::new().await, tempfile::tempdir().unwrap());
    wire.refuse();
    let broker = open(&prefix, &wire, &dir.path().join("spool.db"), 5).await;
    publish(&broker, 0..5).await;
    let refused = broker.publish(&event(Kind::Order, "cuahangmau", 5)).await.unwrap_err();
    assert!(matches!(refused, BrokerError::NotTaken(_)), "{refused:?}");
    for told in [refused, broker.ready().await.unwrap_err()] {
        let told = told.to_string();
        assert!(told.contains("the spool is full (5 events, SAPO_SYNC__BROKER__SPOOL_EVENTS)"), "{told}");
    }
    wire.set(Mode::Pass);
    spool_is(&broker, 0).await;
    publish(&broker, 5..7).await;
    broker.ready().await.unwrap();
    all_come(&broker, 0..7).await;
    broker.close().await;
}
