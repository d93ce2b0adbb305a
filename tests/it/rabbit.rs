//! RabbitMQ for tests: names of one's own, removed at the end, and a wire that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use sapo_sync::broker::Queue;
use sapo_sync::broker::rabbitmq::{RabbitMq, RabbitSettings};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

/// Where the tests' broker is.
#[allow(clippy::disallowed_methods, reason = "a setting of the tests, not of the program")]
pub fn url() -> String {
    std::env::var("SAPO_SYNC_TEST_BROKER_URL").unwrap_or_else(|_| {
        panic!("set SAPO_SYNC_TEST_BROKER_URL to a RabbitMQ for tests, such as amqp://guest:guest@127.0.0.1:5672")
    })
}

/// Partitions of a test's queues, where it does not say otherwise.
pub const PARTITIONS: u16 = 2;

/// A prefix that nobody else has. Dropped, all that was made under it is deleted.
pub struct Prefix {
    pub name: String,
    partitions: u16,
}

impl Prefix {
    pub fn new() -> Self {
        Self::with_partitions(PARTITIONS)
    }

    pub fn with_partitions(partitions: u16) -> Self {
        // Asked here, so that a test without a broker fails at once.
        let _there = url();
        Self { name: format!("test-{}", Uuid::now_v7().simple()), partitions }
    }

    /// Settings for a broker at `url`.
    pub fn settings_at(&self, url: &str) -> RabbitSettings {
        RabbitSettings {
            url: SecretString::from(url),
            prefix: self.name.clone(),
            partitions: self.partitions,
            name: "sapo-sync test".to_owned(),
            // On a busy machine a confirm takes a while; nobody waits for one in vain here.
            publish_timeout: Duration::from_mins(1),
            window: 256,
        }
    }

    pub fn settings(&self) -> RabbitSettings {
        self.settings_at(&url())
    }

    pub async fn open(&self) -> RabbitMq {
        RabbitMq::open(self.settings()).await.unwrap()
    }

    /// The same, over a wire: one that lets nothing pass is noticed by how long a confirm takes.
    pub async fn open_over(&self, wire: &Wire) -> RabbitMq {
        let publish_timeout = Duration::from_secs(5);
        RabbitMq::open(RabbitSettings { publish_timeout, ..self.settings_at(&wire.url()) }).await.unwrap()
    }

    /// All queues of events.
    pub fn queues(&self) -> Vec<Queue> {
        let kinds = Queue::KINDS.into_iter();
        kinds.flat_map(|kind| (0..self.partitions).map(move |partition| Queue { kind, partition })).collect()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let names: Vec<String> = self
            .queues()
            .into_iter()
            .map(|queue| format!("{}.{queue}", self.name))
            .chain(["dead", "probe"].map(|name| format!("{}.{name}", self.name)))
            .collect();
        let exchanges = ["events", "dead"].map(|name| format!("{}.{name}", self.name));
        // In a thread with a runtime of its own: a test that fails is cleaned up after as well.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // A busy broker may not find the leader of a queue in time.
            let mut deleted = runtime.block_on(delete(&names, &exchanges));
            for _ in 0..4 {
                if deleted.is_err() {
                    deleted = runtime.block_on(delete(&names, &exchanges));
                }
            }
            deleted.unwrap();
        });
        assert!(cleaner.join().is_ok() || std::thread::panicking(), "the queues of {} are deleted", self.name);
    }
}

/// Deletes queues and exchanges, whoever still uses them; those that are gone already do no harm.
async fn delete(queues: &[String], exchanges: &[String]) -> lapin::Result<()> {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for name in queues {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    for name in exchanges {
        channel.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default()).await?;
    }
    connection.close(200, "OK".into()).await
}

/// A plain channel to the tests' broker.
pub async fn channel() -> (Connection, Channel) {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// What a wire does with those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// Connections are taken and kept, and nothing passes.
    Stall,
    /// Connections are ended as soon as they are made.
    Refuse,
}

/// A way through TCP to the broker, with a switch.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    cuts: Arc<watch::Sender<u64>>,
}

impl Wire {
    /// A wire to the tests' broker.
    pub async fn new() -> Self {
        let target = url();
        let (_, target) = target.rsplit_once('@').expect("user and password in the URL");
        let target = target.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, cuts) = (Arc::new(watch::Sender::new(Mode::Pass)), Arc::new(watch::Sender::new(0)));
        let wire = Self { address, mode: Arc::clone(&mode), cuts: Arc::clone(&cuts) };
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if *mode.borrow() == Mode::Refuse {
                    continue;
                }
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let (modes, mut cut) = (mode.subscribe(), cuts.subscribe());
                tokio::spawn(async move {
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(near_in, far_out, modes.clone()) => {}
                        () = pass(far_in, near_out, modes) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        wire
    }

    /// The broker's URL, through this wire.
    pub fn url(&self) -> String {
        let target = url();
        let (login, rest) = target.rsplit_once('@').unwrap();
        let vhost = rest.split_once('/').map(|(_, vhost)| format!("/{vhost}")).unwrap_or_default();
        format!("{login}@{}{vhost}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections, and takes none any more.
    pub fn refuse(&self) {
        self.set(Mode::Refuse);
        self.cut();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if mode.wait_for(|mode| *mode != Mode::Stall).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
