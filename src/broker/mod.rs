//! The way between receiver and workers: publish with a confirm, take, settle.

pub mod embedded;
pub mod rabbitmq;
pub mod spool;

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::domain::event::{Event, Kind};

/// A failure of the broker.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// The event was not taken durably; nothing is known to be kept.
    #[error("the queue did not take the event: {0}")]
    NotTaken(String),
    /// The queue cannot be opened or read.
    #[error("the queue cannot be used: {0}")]
    Unusable(String),
    /// It was closed.
    #[error("the queue is closed")]
    Closed,
    /// The broker refuses us, and will until a setting or a right is changed.
    #[error("{0}")]
    Refused(String),
}

impl BrokerError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotTaken(_) => "broker_not_taken",
            Self::Unusable(_) => "broker_unusable",
            Self::Closed => "broker_closed",
            Self::Refused(_) => "broker_refused",
        }
    }
}

/// How much lies in the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events that wait or are being worked on.
    pub events: i64,
    /// Dead letters that wait to be filed.
    pub dead: i64,
}

/// A queue that processes share: one kind of objects of one partition of the stores. Written `order.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    /// Product, customer or order; what concerns the shop itself goes with the orders.
    pub kind: Kind,
    /// Which of the partitions, from 0.
    pub partition: u16,
}

impl Queue {
    /// The kinds that have queues of their own.
    pub const KINDS: [Kind; 3] = [Kind::Order, Kind::Product, Kind::Customer];

    /// The queue of an event, where there are so many partitions.
    pub fn of(event: &Event, partitions: u16) -> Self {
        Self { kind: Self::kind_of(event.key.kind), partition: Self::partition_of(&event.store, partitions) }
    }

    /// The kind of queue that a kind of object travels in.
    pub fn kind_of(kind: Kind) -> Kind {
        if kind == Kind::Shop { Kind::Order } else { kind }
    }

    /// The partition of a store: all its objects are in it, so that its API limit is counted in one process.
    pub fn partition_of(store: &str, partitions: u16) -> u16 {
        let digest = Sha256::digest(store.as_bytes());
        let number = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        u16::try_from(number % u64::from(partitions.max(1))).unwrap_or_default()
    }

    /// Reads the written form back.
    pub fn from_word(word: &str) -> Option<Self> {
        let (kind, partition) = word.split_once('.')?;
        let kind = Kind::from_word(kind).filter(|kind| Self::KINDS.contains(kind))?;
        Some(Self { kind, partition: partition.parse().ok()? })
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.partition)
    }
}

/// Which queues a consumer is to take from. It may change at any time.
#[derive(Debug)]
pub struct Share {
    /// What to take from.
    pub wanted: watch::Receiver<BTreeSet<Queue>>,
    /// What the consumer still has to do with: a queue that is not wanted any more stays in it until the last of its
    /// deliveries is settled or given back, and its channel is closed.
    pub held: watch::Sender<BTreeSet<Queue>>,
    /// Whether the broker can be reached just now, as the consumer sees it.
    pub up: watch::Sender<bool>,
}

impl Share {
    /// Every queue, for good: for a process that shares with nobody.
    pub fn all(partitions: Option<u16>) -> Self {
        let all = |kind: Kind| (0..partitions.unwrap_or(0)).map(move |partition| Queue { kind, partition });
        let (_, wanted) = watch::channel(Queue::KINDS.into_iter().flat_map(all).collect());
        Self { wanted, held: watch::channel(BTreeSet::new()).0, up: watch::Sender::new(false) }
    }
}

/// A broker.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Publishes an event; `Ok` means that it is kept durably.
    async fn publish(&self, event: &Event) -> Result<(), BrokerError>;
    /// How many partitions its queues have, where processes share them; `None` where one process has them all.
    fn partitions(&self) -> Option<u16>;
    /// Starts to take events: of the queues in `share`, where processes share them; of all otherwise.
    async fn consume(&self, share: Share) -> Result<Box<dyn Consumer>, BrokerError>;
    /// Starts to take dead letters, to be filed.
    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError>;
    /// How much lies in the queues.
    async fn depth(&self) -> Result<Depth, BrokerError>;
    /// Whether events would be taken now.
    async fn ready(&self) -> Result<(), BrokerError>;
    /// What somebody has to look at although events are taken.
    async fn warning(&self) -> Option<String> {
        None
    }
    /// Finishes what was accepted, and closes.
    async fn close(&self);
}

/// Takes deliveries.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for at least one delivery and returns up to `most`: orders first, while the others keep a tenth; of each
    /// the oldest first.
    async fn next(&mut self, most: usize) -> Result<Vec<Box<dyn Delivery>>, BrokerError>;
}

/// An event that was taken, to be settled once. Dropping it unsettled leaves it to be delivered again after a restart.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// The event.
    fn event(&self) -> &Event;
    /// The queue that it came from, where processes share them. A stranger's message may lie in any.
    fn queue(&self) -> Option<Queue> {
        None
    }
    /// Whether it may have been delivered before to a process that then died.
    fn redelivered(&self) -> bool;
    /// Whether it can still be settled. Where not, the broker delivers it again.
    fn alive(&self) -> bool {
        true
    }
    /// It is done with.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;
    /// It is given up: it goes to the dead letters.
    async fn reject(self: Box<Self>) -> Result<(), BrokerError>;
    /// It is to be delivered again.
    async fn give_back(self: Box<Self>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_partition_and_a_queue_a_word() {
        for partitions in [1, 2, 8, 64] {
            let partition = Queue::partition_of("cuahangmau", partitions);
            assert!(partition < partitions);
            assert_eq!(partition, Queue::partition_of("cuahangmau", partitions));
        }
        // Other processes and later versions must come to the same.
        assert_eq!(Queue::partition_of("cuahangmau", 8), 0);
        let queue = Queue { kind: Kind::Order, partition: 3 };
        assert_eq!(queue.to_string(), "order.3");
        assert_eq!(Queue::from_word("order.3"), Some(queue));
        for wrong in ["shop.1", "order", "order.x", "1.order"] {
            assert_eq!(Queue::from_word(wrong), None);
        }
    }

    #[test]
    fn stores_are_spread_over_all_partitions() {
        let mut counts = [0; 8];
        for n in 0..800 {
            counts[usize::from(Queue::partition_of(&format!("shop-{n}"), 8))] += 1;
        }
        assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
    }
}
