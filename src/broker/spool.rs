//! What a receiver keeps on its own disk while RabbitMQ is away.
//!
//! A publish goes to RabbitMQ, or, where that does not take it, into a queue file beside (fsync before the answer).
//! After a failure events are spooled at once, until RabbitMQ is back. A forwarder publishes what the spool holds, also
//! what an earlier process left; an event is removed once it is confirmed, so one may be published twice, and none is
//! lost. The order is not kept: nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::embedded::Embedded;
use super::rabbitmq::RabbitMq;
use super::{Broker, BrokerError, Consumer, Delivery, Depth, Share};
use crate::domain::event::Event;

/// Events forwarded side by side.
const BATCH: usize = 64;
/// The pause after a batch of which nothing got through.
const PAUSE: Duration = Duration::from_millis(500);

/// `RabbitMQ`, and a queue file beside it for the time that it is away.
#[derive(Clone)]
pub struct Spooled {
    rabbit: RabbitMq,
    spool: Embedded,
    most: i64,
    stop: CancellationToken,
    forwarder: Arc<tokio::sync::Mutex<Option<AbortOnDropHandle<()>>>>,
}

impl Spooled {
    /// Puts the two together, with at most so many events in the spool.
    pub fn new(rabbit: RabbitMq, spool: Embedded, most: i64) -> Self {
        let stop = CancellationToken::new();
        let forwarding = forward(rabbit.clone(), spool.clone(), stop.clone());
        let forwarder = Arc::new(tokio::sync::Mutex::new(Some(AbortOnDropHandle::new(tokio::spawn(forwarding)))));
        Self { rabbit, spool, most, stop, forwarder }
    }

    /// Events on this disk that wait to be forwarded.
    pub async fn spooled(&self) -> Result<i64, BrokerError> {
        let depth = self.spool.depth().await?.events;
        metrics::gauge!("sapo_sync_spool_events").set(depth as f64);
        Ok(depth)
    }

    /// Whether the spool has room; what to say where it has not.
    async fn room(&self) -> Result<(), String> {
        match self.spooled().await {
            Ok(depth) if depth < self.most => Ok(()),
            Ok(depth) => {
                Err(format!("the spool is full ({depth} events, SAPO_SYNC__BROKER__SPOOL_EVENTS) and RabbitMQ is away"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

#[async_trait]
impl Broker for Spooled {
    async fn publish(&self, event: &Event) -> Result<(), BrokerError> {
        if self.stop.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        if self.rabbit.is_up() && self.rabbit.publish(event).await.is_ok() {
            return Ok(());
        }
        self.room().await.map_err(BrokerError::NotTaken)?;
        self.spool.publish(event).await?;
        self.spooled().await?;
        Ok(())
    }

    fn partitions(&self) -> Option<u16> {
        self.rabbit.partitions()
    }

    async fn consume(&self, share: Share) -> Result<Box<dyn Consumer>, BrokerError> {
        self.rabbit.consume(share).await
    }

    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError> {
        self.rabbit.consume_dead().await
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        let (depth, spooled) = (self.rabbit.depth().await?, self.spooled().await?);
        Ok(Depth { events: depth.events + spooled, ..depth })
    }

    /// Events are taken while either of the two takes them.
    async fn ready(&self) -> Result<(), BrokerError> {
        if self.stop.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        let Err(away) = self.rabbit.ready().await else { return Ok(()) };
        self.room().await.map_err(|full| BrokerError::Unusable(format!("{full}; {away}")))?;
        self.spool.ready().await.map_err(|error| BrokerError::Unusable(format!("{error}; {away}")))
    }

    async fn warning(&self) -> Option<String> {
        let (Err(BrokerError::Unusable(why)), Ok(depth)) = (self.rabbit.ready().await, self.spooled().await) else {
            return None;
        };
        let most = self.most;
        Some(format!("{why}; events are kept on this disk until it takes them ({depth} now, {most} at most)"))
    }

    async fn close(&self) {
        self.stop.cancel();
        if let Some(forwarder) = self.forwarder.lock().await.take() {
            // What was taken from the spool is given back, or was confirmed.
            let _ended = forwarder.await;
        }
        self.rabbit.close().await;
        self.spool.close().await;
    }
}

/// Publishes what the spool holds, as long as it is not stopped.
async fn forward(rabbit: RabbitMq, spool: Embedded, stop: CancellationToken) {
    let share = Share::all(spool.partitions());
    let mut consumer = match spool.consume(share).await {
        Ok(consumer) => consumer,
        Err(error) => return tracing::error!(code = error.code(), %error, "the spool cannot be read"),
    };
    let mut up = rabbit.watch_up();
    loop {
        // Nothing is taken before RabbitMQ is there to take it.
        match stop.run_until_cancelled(up.wait_for(|up| *up)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
        let batch = match stop.run_until_cancelled(consumer.next(BATCH)).await {
            Some(Ok(batch)) => batch,
            Some(Err(BrokerError::Closed)) | None => return,
            Some(Err(error)) => {
                tracing::error!(code = error.code(), %error, "the spool cannot be read");
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                    return;
                }
                continue;
            }
        };
        let passed = join_all(batch.into_iter().map(|delivery| pass(&rabbit, delivery))).await;
        if let Ok(depth) = spool.depth().await {
            metrics::gauge!("sapo_sync_spool_events").set(depth.events as f64);
            if depth.events == 0 && passed.contains(&true) {
                tracing::info!("the spool is empty: everything in it is with RabbitMQ");
            }
        }
        if !passed.contains(&true) && stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

async fn pass(rabbit: &RabbitMq, delivery: Box<dyn Delivery>) -> bool {
    let passed = rabbit.publish(delivery.event()).await.is_ok();
    if passed {
        // Where this cannot be written it is published once more, later.
        let _removed = delivery.ack().await;
    } else {
        delivery.give_back().await;
    }
    passed
}
