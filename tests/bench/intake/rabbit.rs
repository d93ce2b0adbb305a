//! `RabbitMQ`: what the bench makes there, counts and deletes; and bare publishing with `lapin`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPClass, connection, parse_class};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use sapo_sync::broker::Queue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::load::{Figures, Tally};
use crate::serve::PARTITIONS;

/// How long the broker may take to be there, and to tell how many messages it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the broker is: `SAPO_SYNC_TEST_BROKER_URL`, or what a fresh `RabbitMQ` has.
#[allow(clippy::disallowed_methods, reason = "a setting of the bench, not of the program")]
pub fn url() -> String {
    std::env::var("SAPO_SYNC_TEST_BROKER_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// What one row publishes to.
#[derive(Clone, Default)]
pub struct Names {
    /// What all of them begin with; also the name of a single queue.
    pub prefix: String,
    /// Queues that webhooks are counted in.
    events: Vec<String>,
    /// Queues beside them.
    others: Vec<String>,
    exchanges: Vec<String>,
}

/// The broker of the bench; knows what was made there and not yet deleted.
pub struct Rabbit {
    uri: AMQPUri,
    pub version: String,
    made: Mutex<Vec<Names>>,
}

impl Rabbit {
    /// Looks for the broker; the error tells why it cannot be used, without its password.
    pub async fn find() -> Result<Self, String> {
        let uri: AMQPUri = url().parse().map_err(|_| {
            "SAPO_SYNC_TEST_BROKER_URL is not an address of RabbitMQ; it is written amqp://user:password@host:5672/vhost"
        })?;
        let place = format!("{}:{}", uri.authority.host, uri.authority.port);
        let mut rabbit = Self { uri, version: "unknown".to_owned(), made: Mutex::default() };
        match timeout(PATIENCE, rabbit.channel()).await {
            Ok(Ok((connection, _))) => drop(connection.close(200, "OK".into()).await),
            Ok(Err(error)) => {
                return Err(format!(
                    "no RabbitMQ for the bench at {place}: {error}; start one, or set SAPO_SYNC_TEST_BROKER_URL"
                ));
            }
            Err(_) => return Err(format!("RabbitMQ at {place} did not answer within {} s", PATIENCE.as_secs())),
        }
        if let Ok(Some(version)) = timeout(PATIENCE, rabbit.told_version()).await {
            rabbit.version = version;
        }
        Ok(rabbit)
    }

    async fn channel(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect_uri(self.uri.clone(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// `lapin` keeps what the server says of itself; it is in the first frame of any connection.
    async fn told_version(&self) -> Option<String> {
        if self.uri.scheme != AMQPScheme::AMQP {
            return None;
        }
        let address = (self.uri.authority.host.as_str(), self.uri.authority.port);
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"AMQP\0\0\x09\x01").await.ok()?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.ok()?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size.min(64 * 1024)];
        stream.read_exact(&mut payload).await.ok()?;
        let Ok((_, AMQPClass::Connection(connection::AMQPMethod::Start(start)))) = parse_class(payload.as_slice())
        else {
            return None;
        };
        match start.server_properties.inner().get("version") {
            Some(AMQPValue::LongString(version)) => Some(version.to_string()),
            _ => None,
        }
    }

    fn note(&self, names: Names) -> Names {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(names.clone());
        names
    }

    /// Names for our own topology, which the receiver declares.
    pub fn topology(&self) -> Names {
        let prefix = format!("bench-{}", Uuid::now_v7().simple());
        let queues = Queue::KINDS
            .into_iter()
            .flat_map(|kind| (0..PARTITIONS).map(move |partition| Queue { kind, partition }))
            .map(|queue| format!("{prefix}.{queue}"));
        self.note(Names {
            events: queues.collect(),
            others: ["dead", "probe"].map(|name| format!("{prefix}.{name}")).to_vec(),
            exchanges: ["events", "dead"].map(|name| format!("{prefix}.{name}")).to_vec(),
            prefix,
        })
    }

    /// One durable quorum queue without further arguments, as the peers declare theirs.
    pub async fn queue(&self) -> lapin::Result<Names> {
        let name = format!("bench-{}", Uuid::now_v7().simple());
        let names = self.note(Names { prefix: name.clone(), events: vec![name.clone()], ..Names::default() });
        let (connection, channel) = self.channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(name.into(), options, arguments).await?;
        connection.close(200, "OK".into()).await?;
        Ok(names)
    }

    /// How many messages lie there, once there are as many as expected or nobody publishes any more.
    pub async fn count(&self, names: &Names, expected: u64) -> lapin::Result<u64> {
        let (connection, channel) = self.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let began = Instant::now();
        let counted = loop {
            let mut counted = 0;
            for name in &names.events {
                let queue = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await?;
                counted += u64::from(queue.message_count());
            }
            if counted == expected || began.elapsed() > PATIENCE {
                break counted;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        connection.close(200, "OK".into()).await?;
        Ok(counted)
    }

    /// Deletes what a row made.
    pub async fn delete(&self, names: &Names) -> lapin::Result<()> {
        let (connection, channel) = self.channel().await?;
        for queue in names.events.iter().chain(&names.others) {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in &names.exchanges {
            channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        connection.close(200, "OK".into()).await?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|made| made.prefix != names.prefix);
        Ok(())
    }

    /// Deletes what is left, after an error or a stop.
    pub async fn delete_all(&self) {
        let left = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for names in left {
            match timeout(PATIENCE, self.delete(&names)).await {
                Ok(Ok(())) => {}
                _ => eprintln!("queues and exchanges named {}… are left in RabbitMQ; delete them there", names.prefix),
            }
        }
    }

    /// Publishes persistent and mandatory to a queue, each task awaiting its confirm before it sends the next one: one
    /// connection, one channel.
    pub async fn publish(
        &self,
        names: &Names,
        message: &Message,
        tasks: usize,
        span: Duration,
    ) -> lapin::Result<Figures> {
        let (connection, channel) = self.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let start = Instant::now();
        let mut all = JoinSet::new();
        let queue: Arc<str> = names.prefix.as_str().into();
        for _ in 0..tasks {
            let (channel, queue, message) = (channel.clone(), Arc::clone(&queue), message.clone());
            all.spawn(async move {
                let mut tally = Tally::default();
                while start.elapsed() < span {
                    let sent = Instant::now();
                    let result = match publish_one(&channel, &queue, &message).await {
                        Ok(Confirmation::Ack(None)) => Ok(()),
                        Ok(_) => Err("returned or refused".to_owned()),
                        Err(error) => Err(error.to_string()),
                    };
                    tally.note(sent, result).await;
                }
                tally
            });
        }
        let figures = Figures::collect(all, start).await;
        connection.close(200, "OK".into()).await?;
        Ok(figures)
    }
}

/// What is published without a receiver.
#[derive(Clone)]
pub struct Message {
    body: &'static str,
    properties: BasicProperties,
}

impl Message {
    /// The body, and that it is kept on disk.
    pub fn bare(body: &'static str) -> Self {
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        Self { body, properties }
    }

    /// With what a message of ours carries besides.
    pub fn like_ours(body: &'static str) -> Self {
        let bare = Self::bare(body);
        let id = Uuid::now_v7().to_string();
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("traceparent", "00-0198f2c0aaaabbbbcccc0123456789ab-0123456789abcdef-01"),
            ("cloudEvents:specversion", "1.0"),
            ("cloudEvents:id", &id),
            ("cloudEvents:source", "/omni/mau"),
            ("cloudEvents:type", "vn.sapo-sync.order.changed"),
            ("cloudEvents:subject", "14800009"),
            ("cloudEvents:time", "2026-03-02T03:15:23.123Z"),
            ("cloudEvents:connection", "mau-abaha"),
            ("cloudEvents:topic", "orders/create"),
            ("cloudEvents:shape", "whole"),
            ("cloudEvents:reference", "SON00009"),
            ("cloudEvents:version", "1772421323000"),
        ] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = bare.properties.with_headers(headers).with_message_id(id.into());
        Self { body, properties: properties.with_correlation_id("123456".into()).with_timestamp(1_772_421_323) }
    }
}

async fn publish_one(channel: &Channel, queue: &str, message: &Message) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (body, properties) = (message.body.as_bytes(), message.properties.clone());
    channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await
}
