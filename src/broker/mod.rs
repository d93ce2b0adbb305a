//! The way between receiver and workers: publish with a confirm, take, settle.

pub mod embedded;

use async_trait::async_trait;

use crate::domain::event::Event;

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
}

impl BrokerError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotTaken(_) => "broker_not_taken",
            Self::Unusable(_) => "broker_unusable",
            Self::Closed => "broker_closed",
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

/// A broker.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Publishes an event; `Ok` means that it is kept durably.
    async fn publish(&self, event: &Event) -> Result<(), BrokerError>;
    /// Starts to take events.
    async fn consume(&self) -> Result<Box<dyn Consumer>, BrokerError>;
    /// Starts to take dead letters, to be filed.
    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError>;
    /// How much lies in the queues.
    async fn depth(&self) -> Result<Depth, BrokerError>;
    /// Whether events would be taken now.
    async fn ready(&self) -> Result<(), BrokerError>;
    /// Finishes what was accepted, and closes.
    async fn close(&self);
}

/// Takes deliveries.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for at least one delivery and returns up to `most`, oldest first.
    async fn next(&mut self, most: usize) -> Result<Vec<Box<dyn Delivery>>, BrokerError>;
}

/// An event that was taken, to be settled once. Dropping it unsettled leaves it to be delivered again after a restart.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// The event.
    fn event(&self) -> &Event;
    /// Whether it may have been delivered before to a process that then died.
    fn redelivered(&self) -> bool;
    /// It is done with.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;
    /// It is given up: it goes to the dead letters.
    async fn reject(self: Box<Self>) -> Result<(), BrokerError>;
    /// It is to be delivered again.
    async fn give_back(self: Box<Self>);
}
