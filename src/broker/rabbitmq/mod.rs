//! RabbitMQ behind the broker's traits.
//!
//! | file | what it does |
//! |---|---|
//! | `topology` | every exchange and queue, declared once |
//! | `message` | an event as a message, and back |
//! | `link`, `version` | a connection, and what its errors mean |
//! | `publish`, `confirms` | publishing with confirms |
//! | `consume`, `shelf` | taking from the queues of a share, settling |

mod confirms;
mod consume;
mod link;
mod message;
mod publish;
mod shelf;
mod topology;
mod version;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::consume::Wish;
use self::link::{Dial, Trouble};
use self::publish::{Publisher, Session};
use self::shelf::{Shelf, Taker};
use self::topology::Topology;
use super::{Broker, BrokerError, Consumer, Depth, Queue, Share};
use crate::domain::event::Event;

/// How long the queues' lengths may take to be told.
const DEPTH: Duration = Duration::from_secs(5);
/// How long closing waits for the connections, beyond the confirms.
const CLOSE: Duration = Duration::from_secs(5);

/// How `RabbitMQ` is used.
#[derive(Clone, Debug)]
pub struct RabbitSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// What the names of all exchanges and queues begin with.
    pub prefix: String,
    /// How many partitions each kind's queues have; all processes must say the same.
    pub partitions: u16,
    /// The connection's name, which operators see.
    pub name: String,
    /// How long a publish waits for its confirm.
    pub publish_timeout: Duration,
    /// How many publishes wait for their confirms at once.
    pub window: usize,
}

/// `RabbitMQ`. When the last of its clones is dropped, its publishing connection is cut.
#[derive(Clone)]
pub struct RabbitMq {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<Dial>,
    publisher: Publisher,
    closing: CancellationToken,
    tracker: TaskTracker,
    publish_timeout: Duration,
    /// What consumers of this process hold.
    shelves: Mutex<Vec<Weak<Shelf>>>,
    _publishing: AbortOnDropHandle<()>,
}

impl RabbitMq {
    /// Connects, and declares what it needs. Where the broker cannot be reached it goes on trying in the background.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] where trying again would be of no use: the settings, a right, or what exists.
    pub async fn open(settings: RabbitSettings) -> Result<Self, BrokerError> {
        let dial = dial(&settings)?;
        let first = Session::open(&dial).await;
        match first {
            Err(Trouble::Refused(why)) => Err(BrokerError::Refused(why)),
            first => Ok(Self::begin(dial, first, &settings)),
        }
    }

    /// The same for a process that has where to keep events meanwhile: a broker that refuses it is waited for as one
    /// that is away, and the log says why.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] where the settings cannot be read.
    pub async fn open_patiently(settings: RabbitSettings) -> Result<Self, BrokerError> {
        let dial = dial(&settings)?;
        let first = Session::open(&dial).await;
        Ok(Self::begin(dial, first, &settings))
    }

    fn begin(dial: Arc<Dial>, first: Result<Session, Trouble>, settings: &RabbitSettings) -> Self {
        let closing = CancellationToken::new();
        let tracker = TaskTracker::new();
        let (publisher, publishing) =
            Publisher::new(Arc::clone(&dial), first, settings.window, settings.publish_timeout, closing.clone());
        let publishing = AbortOnDropHandle::new(tracker.spawn(publishing));
        Self {
            inner: Arc::new(Inner {
                dial,
                publisher,
                closing,
                tracker,
                publish_timeout: settings.publish_timeout,
                shelves: Mutex::default(),
                _publishing: publishing,
            }),
        }
    }

    /// Whether publishes are being confirmed.
    pub fn is_up(&self) -> bool {
        *self.inner.publisher.watch_up().borrow()
    }

    /// Tells when that changes.
    pub fn watch_up(&self) -> watch::Receiver<bool> {
        self.inner.publisher.watch_up()
    }

    fn take(&self, purpose: &'static str, wish: Wish) -> Result<Box<dyn Consumer>, BrokerError> {
        let inner = &self.inner;
        if inner.closing.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        let shelf = Arc::new(Shelf::default());
        inner.shelves.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&shelf));
        let taking = consume::run(Arc::clone(&inner.dial), purpose, wish, Arc::clone(&shelf), inner.closing.clone());
        let task = AbortOnDropHandle::new(inner.tracker.spawn(taking));
        Ok(Box::new(Taker { shelf, _task: task }))
    }

    /// Events and dead letters that consumers of this process hold, or that are on their way to them.
    async fn held(&self) -> Depth {
        let shelves: Vec<Arc<Shelf>> = {
            let mut shelves = self.inner.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            shelves.retain(|shelf| shelf.strong_count() > 0);
            shelves.iter().filter_map(Weak::upgrade).collect()
        };
        let _in_time = timeout(DEPTH, join_all(shelves.iter().map(|shelf| shelf.caught_up()))).await;
        shelves.iter().fold(Depth::default(), |sum, shelf| {
            let held = shelf.held();
            Depth { events: sum.events + held.events, dead: sum.dead + held.dead }
        })
    }

    /// What waits in the queues, and nobody has.
    async fn waiting(&self) -> lapin::Result<Depth> {
        let topology = &self.inner.dial.topology;
        let link = match self.inner.publisher.link() {
            Ok(link) => link,
            Err(error) => return Err(std::io::Error::other(error.to_string()).into()),
        };
        let channel = link.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let names = topology.queues().map(|queue| topology.queue(queue)).chain([topology.dead()]);
        let asked = names.map(|name| channel.queue_declare(name.into(), passive, FieldTable::default()));
        let mut counts = Vec::new();
        for told in join_all(asked).await {
            counts.push(i64::from(told?.message_count()));
        }
        let dead = counts.pop().unwrap_or_default();
        channel.close(200, "OK".into()).await?;
        Ok(Depth { events: counts.into_iter().sum(), dead })
    }
}

/// How connections are made with these settings.
fn dial(settings: &RabbitSettings) -> Result<Arc<Dial>, BrokerError> {
    let topology = Topology::new(&settings.prefix, settings.partitions).map_err(BrokerError::Refused)?;
    Ok(Arc::new(Dial::new(&settings.url, topology, &settings.name).map_err(BrokerError::Refused)?))
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publish(&self, event: &Event) -> Result<(), BrokerError> {
        let queue = Queue::of(event, self.inner.dial.topology.partitions());
        let (properties, body) = message::encode(event);
        self.inner.publisher.publish(queue.to_string().into(), properties, body).await
    }

    fn partitions(&self) -> Option<u16> {
        Some(self.inner.dial.topology.partitions())
    }

    async fn consume(&self, share: Share) -> Result<Box<dyn Consumer>, BrokerError> {
        self.take("taking events", Wish::Shared(share))
    }

    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError> {
        self.take("taking dead letters", Wish::Dead)
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        let waiting = match timeout(DEPTH, self.waiting()).await {
            Ok(Ok(waiting)) => waiting,
            Ok(Err(error)) => return Err(BrokerError::Unusable(self.inner.dial.trouble(&error).to_string())),
            Err(_) => return Err(BrokerError::Unusable("RabbitMQ does not tell how long its queues are".to_owned())),
        };
        let held = self.held().await;
        Ok(Depth { events: waiting.events + held.events, dead: waiting.dead + held.dead })
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.inner.publisher.ready().await
    }

    async fn close(&self) {
        self.inner.publisher.close();
        self.inner.closing.cancel();
        self.inner.tracker.close();
        // Whatever does not end by then is cut when it is dropped.
        let _ended = timeout(self.inner.publish_timeout + CLOSE, self.inner.tracker.wait()).await;
    }
}
