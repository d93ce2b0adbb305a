//! Every exchange and queue, declared once. With the prefix `sapo-sync`:
//!
//! | name | what | arguments |
//! |---|---|---|
//! | `sapo-sync.events` | direct exchange, durable, no alternate | |
//! | `sapo-sync.order.0` … | quorum queue, durable, bound to `sapo-sync.events` by `order.0`; so for `product` and `customer`, for each partition | single active consumer; delivery limit 1,000; dead letters to `sapo-sync.dead` by the key `dead`, at least once; overflow reject-publish |
//! | `sapo-sync.dead` | direct exchange, durable | |
//! | `sapo-sync.dead` | quorum queue, durable, bound to `sapo-sync.dead` by `dead` | single active consumer; delivery limit beyond reach |
//! | `sapo-sync.probe` | quorum queue, durable, bound to `sapo-sync.events` by `probe` | one message, the oldest is dropped |
//!
//! - The delivery limit is a net only: each lost connection and each kill of the broker counts for every message in
//!   the window. Attempts are counted by the workers.
//! - Dead-lettering at least once needs a quorum queue and reject-publish; without it a missing exchange would lose
//!   the letter in silence.
//! - No alternate exchange: with one, a publish that no queue takes would be confirmed.
//! - The queue of dead letters states a limit so high that nobody reaches it, because `RabbitMQ` 4 sets 20 where none
//!   is stated, and drops what is beyond it; 3.x does not know the -1 that means none.
//! - All names begin with the prefix, so that one pattern of permissions covers them; the probe goes through our own
//!   exchange for that reason.

use futures::future::join_all;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use crate::broker::Queue;

/// Deliveries after which the broker itself gives a message up.
const DELIVERY_LIMIT: i32 = 1_000;
/// As good as none.
const NO_LIMIT: i32 = 1_000_000_000;

/// The names, and what is declared under them.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    prefix: String,
    partitions: u16,
}

/// A queue, its arguments, and where it is bound.
struct Declared {
    name: String,
    arguments: FieldTable,
    exchange: String,
    key: String,
}

impl Topology {
    /// The topology of a prefix; why it cannot be one, otherwise.
    pub fn new(prefix: &str, partitions: u16) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if prefix.is_empty() || prefix.len() > 100 || !prefix.chars().all(allowed) || prefix.starts_with("amq.") {
            return Err(format!(
                "SAPO_SYNC__BROKER__PREFIX = {prefix:?}: a prefix has 1 to 100 letters, digits, dots, dashes or underscores and does not begin with `amq.`; for example: sapo-sync"
            ));
        }
        if partitions == 0 {
            return Err("SAPO_SYNC__BROKER__PARTITIONS = 0: there must be at least one; for example: 8".to_owned());
        }
        Ok(Self { prefix: prefix.to_owned(), partitions })
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    /// The exchange that events are published to.
    pub fn exchange(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// A queue's name; its routing key is how the queue is written.
    pub fn queue(&self, queue: Queue) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// The name of the queue of dead letters, and of its exchange.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The queue that takes what is published to see whether it is confirmed.
    fn probe(&self) -> String {
        format!("{}.probe", self.prefix)
    }

    /// All queues of events.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        let partitions = self.partitions;
        Queue::KINDS.into_iter().flat_map(move |kind| (0..partitions).map(move |partition| Queue { kind, partition }))
    }

    fn declared(&self) -> Vec<Declared> {
        let mut all: Vec<Declared> = self
            .queues()
            .map(|queue| Declared {
                name: self.queue(queue),
                arguments: arguments(&[
                    ("x-single-active-consumer", AMQPValue::Boolean(true)),
                    ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
                    ("x-dead-letter-exchange", word(&self.dead())),
                    ("x-dead-letter-routing-key", word("dead")),
                    ("x-dead-letter-strategy", word("at-least-once")),
                    ("x-overflow", word("reject-publish")),
                ]),
                exchange: self.exchange(),
                key: queue.to_string(),
            })
            .collect();
        all.push(Declared {
            name: self.dead(),
            arguments: arguments(&[
                ("x-single-active-consumer", AMQPValue::Boolean(true)),
                ("x-delivery-limit", AMQPValue::LongInt(NO_LIMIT)),
            ]),
            exchange: self.dead(),
            key: "dead".to_owned(),
        });
        all.push(Declared {
            name: self.probe(),
            arguments: arguments(&[("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", word("drop-head"))]),
            exchange: self.exchange(),
            key: PROBE.to_owned(),
        });
        all
    }

    /// Declares everything that is not there yet. The channel is of no use after an error.
    pub async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchanges = [self.exchange(), self.dead()]
            .map(|name| channel.exchange_declare(name.into(), ExchangeKind::Direct, durable, FieldTable::default()));
        first_cause(join_all(exchanges).await)?;
        let all = self.declared();
        let queues = all.iter().map(|declared| {
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(declared.name.as_str().into(), options, declared.arguments.clone())
        });
        first_cause(join_all(queues).await)?;
        let bindings = all.into_iter().map(|declared| {
            let options = QueueBindOptions::default();
            channel.queue_bind(
                declared.name.into(),
                declared.exchange.into(),
                declared.key.into(),
                options,
                FieldTable::default(),
            )
        });
        first_cause(join_all(bindings).await)
    }
}

/// The routing key of a probe.
pub(super) const PROBE: &str = "probe";

fn word(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn arguments(own: &[(&str, AMQPValue)]) -> FieldTable {
    let mut all = FieldTable::default();
    all.insert("x-queue-type".into(), word("quorum"));
    for (name, value) in own {
        all.insert((*name).into(), value.clone());
    }
    all
}

/// The broker's own word, where there is one: what was asked after it only tells that the channel is closed.
fn first_cause<T>(results: Vec<lapin::Result<T>>) -> lapin::Result<()> {
    let mut errors: Vec<lapin::Error> = results.into_iter().filter_map(Result::err).collect();
    let told = errors.iter().position(|error| matches!(error.kind(), ErrorKind::ProtocolError(_)));
    if errors.is_empty() { Ok(()) } else { Err(errors.swap_remove(told.unwrap_or_default())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_cannot_name_queues_is_refused_with_an_example() {
        for wrong in ["", "amq.x", "a b", "đ", &"x".repeat(101)] {
            assert!(Topology::new(wrong, 8).unwrap_err().contains("for example: sapo-sync"), "{wrong}");
        }
        assert!(Topology::new("sapo-sync", 0).unwrap_err().contains("SAPO_SYNC__BROKER__PARTITIONS"));
    }

    #[test]
    fn each_kind_has_a_queue_for_each_partition() {
        let topology = Topology::new("sapo-sync", 2).unwrap();
        let names: Vec<String> = topology.declared().into_iter().map(|declared| declared.name).collect();
        assert_eq!(
            names,
            [
                "sapo-sync.order.0",
                "sapo-sync.order.1",
                "sapo-sync.product.0",
                "sapo-sync.product.1",
                "sapo-sync.customer.0",
                "sapo-sync.customer.1",
                "sapo-sync.dead",
                "sapo-sync.probe"
            ]
        );
    }
}
