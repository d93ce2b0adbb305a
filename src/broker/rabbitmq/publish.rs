//! Publishing: a connection of its own, one task that owns the channel, a window of confirms in flight.
//!
//! - A publish is taken when it is confirmed and was not returned. `lapin` hands a returned message to whichever
//!   publish of the same confirm it comes to first, so a return is matched here by the number that each publish
//!   carries as its `correlation_id`: [`returned`] tells why that is safe.
//! - An unknown outcome is not taken: whoever published sends it again.
//! - `up` means that the last thing published was confirmed: it goes down with the connection, with an alarm of the
//!   broker and with the first time-out, and comes back with a confirmed probe.

use std::collections::HashMap;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Event as LinkEvent};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::confirms::{Sent, Taken, returned};
use super::link::{CLOSE, Dial, LOOK, Link, Outage, Trouble, confirming, pause};
use super::topology::PROBE;
use crate::broker::BrokerError;

/// A confirm so recent shows that the broker takes events.
const LATELY: Duration = Duration::from_secs(5);
/// How long a probe waits for its confirm.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long declaring again may take.
const DECLARE: Duration = Duration::from_secs(5);

/// How publishing stands.
#[derive(Clone, Debug)]
enum Standing {
    Up,
    Away { since: Instant, why: String },
    Blocked { since: Instant, why: String },
    Closed,
}

/// What publishers, `ready` and `depth` look at.
struct State {
    standing: Mutex<Standing>,
    up: watch::Sender<bool>,
    confirmed: Mutex<Option<Instant>>,
    link: Mutex<Option<Arc<Link>>>,
    suspect: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn stand(&self, standing: Standing) {
        let up = matches!(standing, Standing::Up);
        let mut now = locked(&self.standing);
        *now = match (standing, &*now) {
            (_, Standing::Closed) => Standing::Closed,
            // It has been away since it went, whatever has been tried since.
            (Standing::Away { why, .. }, Standing::Away { since, .. }) => Standing::Away { since: *since, why },
            (standing, _) => standing,
        };
        drop(now);
        self.up.send_if_modified(|was| std::mem::replace(was, up) != up);
        metrics::gauge!("sapo_sync_broker_up").set(f64::from(u8::from(up)));
    }

    fn away(&self, why: String) {
        self.stand(Standing::Away { since: Instant::now(), why });
    }

    fn is_blocked(&self) -> bool {
        matches!(*locked(&self.standing), Standing::Blocked { .. })
    }

    /// What is wrong, in words.
    fn trouble(&self) -> Option<String> {
        match &*locked(&self.standing) {
            Standing::Up => None,
            Standing::Away { since, why } => {
                Some(format!("RabbitMQ (SAPO_SYNC__BROKER__URL) is away since {} s: {why}", since.elapsed().as_secs()))
            }
            Standing::Blocked { since, why } => Some(format!(
                "RabbitMQ (SAPO_SYNC__BROKER__URL) takes nothing since {} s, because of an alarm: {why}; an operator sees it with: rabbitmqctl status",
                since.elapsed().as_secs()
            )),
            Standing::Closed => Some("it was closed".to_owned()),
        }
    }
}

/// Something to publish; a probe has nobody who waits for it.
struct Command {
    key: ShortString,
    /// Sent away with it; a message that comes back brings them with it.
    properties: BasicProperties,
    body: Bytes,
    waiting: Option<(oneshot::Sender<Result<(), BrokerError>>, OwnedSemaphorePermit)>,
    again: bool,
}

impl Command {
    fn probe() -> Self {
        let properties = BasicProperties::default().with_delivery_mode(2);
        Self { key: PROBE.into(), properties, body: Bytes::new(), waiting: None, again: false }
    }

    fn answer(self, result: Result<(), BrokerError>) {
        if let Some((waiting, _permit)) = self.waiting {
            // It may have given up.
            let _gone = waiting.send(result);
        }
    }

    fn given_up(&self) -> bool {
        self.waiting.as_ref().is_some_and(|(waiting, _)| waiting.is_closed())
    }
}

/// A connection to publish on, and whether it confirmed a probe already.
pub(super) struct Session {
    link: Arc<Link>,
    channel: Channel,
    up: bool,
}

impl Session {
    /// Connects, declares, and publishes a probe.
    pub async fn open(dial: &Dial) -> Result<Self, Trouble> {
        let link = Arc::new(dial.connect("publishing").await?);
        let up = timeout(CLOSE.max(PROBE_TIMEOUT), async {
            let channel = confirming(&link).await?;
            let exchange = dial.topology.exchange().into();
            let (_, _, result) = send(&channel, &exchange, 0, Command::probe()).await;
            lapin::Result::Ok((channel, result?))
        });
        match up.await {
            Ok(Ok((channel, confirmation))) => {
                Ok(Self { link, channel, up: matches!(confirmation, Confirmation::Ack(None)) })
            }
            Ok(Err(error)) => Err(dial.trouble(&error)),
            // An alarm: the connection is good, and takes nothing until it is over.
            Err(_) if link.connection.status().blocked() => match timeout(PROBE_TIMEOUT, confirming(&link)).await {
                Ok(Ok(channel)) => Ok(Self { link, channel, up: false }),
                _ => Err(Trouble::Away("it takes nothing because of an alarm".to_owned())),
            },
            Err(_) => Err(Trouble::Away(format!("no confirm within {} s", PROBE_TIMEOUT.as_secs()))),
        }
    }
}

async fn send(channel: &Channel, exchange: &ShortString, number: u64, mut command: Command) -> Sent<Command> {
    let properties = mem::take(&mut command.properties).with_correlation_id(number.to_string().into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        channel.basic_publish(exchange.clone(), command.key.clone(), options, &command.body, properties).await?.await
    };
    let result = confirmed.await;
    (number, command, result)
}

/// Publishes; cheap to clone.
#[derive(Clone)]
pub(super) struct Publisher {
    commands: mpsc::UnboundedSender<Command>,
    window: Arc<Semaphore>,
    state: Arc<State>,
    timeout: Duration,
}

impl Publisher {
    /// Makes a publisher and what keeps it going, to be spawned; `first` is the outcome of the first attempt.
    pub fn new(
        dial: Arc<Dial>,
        first: Result<Session, Trouble>,
        window: usize,
        timeout: Duration,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        // The window bounds it.
        let (commands, queued) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            standing: Mutex::new(Standing::Away { since: Instant::now(), why: "not connected yet".to_owned() }),
            up: watch::Sender::new(false),
            confirmed: Mutex::new(None),
            link: Mutex::new(None),
            suspect: Notify::new(),
        });
        let publisher =
            Self { commands, window: Arc::new(Semaphore::new(window.max(1))), state: Arc::clone(&state), timeout };
        *locked(&state.link) = first.as_ref().ok().map(|session| Arc::clone(&session.link));
        match &first {
            Ok(session) if session.up => {
                *locked(&state.confirmed) = Some(Instant::now());
                state.stand(Standing::Up);
            }
            Ok(_) => {}
            Err(trouble) => state.away(trouble.to_string()),
        }
        (publisher, supervise(dial, first, queued, state, closing, timeout))
    }

    pub fn watch_up(&self) -> watch::Receiver<bool> {
        self.state.up.subscribe()
    }

    /// The connection, for questions to the broker; what is wrong where there is none.
    pub fn link(&self) -> Result<Arc<Link>, BrokerError> {
        let link = locked(&self.state.link).clone();
        link.ok_or_else(|| BrokerError::Unusable(self.state.trouble().unwrap_or_default()))
    }

    /// Publishes, and waits for the confirm.
    pub async fn publish(&self, key: ShortString, properties: BasicProperties, body: Bytes) -> Result<(), BrokerError> {
        self.within(self.timeout, key, properties, body).await
    }

    /// Whether something was confirmed lately, or is now.
    pub async fn ready(&self) -> Result<(), BrokerError> {
        let standing = locked(&self.state.standing).clone();
        match standing {
            Standing::Up => {}
            Standing::Closed => return Err(BrokerError::Closed),
            // The supervisor is at it; a probe would only wait for nothing.
            Standing::Away { .. } | Standing::Blocked { .. } => {
                return Err(BrokerError::Unusable(self.state.trouble().unwrap_or_default()));
            }
        }
        if locked(&self.state.confirmed).is_some_and(|at| at.elapsed() < LATELY) {
            return Ok(());
        }
        let probe = Command::probe();
        match self.within(PROBE_TIMEOUT, probe.key, probe.properties, probe.body).await {
            Err(BrokerError::NotTaken(why)) => Err(BrokerError::Unusable(self.state.trouble().unwrap_or(why))),
            other => other,
        }
    }

    async fn within(
        &self,
        most: Duration,
        key: ShortString,
        properties: BasicProperties,
        body: Bytes,
    ) -> Result<(), BrokerError> {
        let asked = async {
            let permit = Arc::clone(&self.window).acquire_owned().await.map_err(|_| BrokerError::Closed)?;
            let (waiting, answered) = oneshot::channel();
            let waiting = Some((waiting, permit));
            let command = Command { key, properties, body, waiting, again: false };
            self.commands.send(command).map_err(|_| BrokerError::Closed)?;
            answered.await.unwrap_or_else(|_| {
                Err(BrokerError::NotTaken("the connection to RabbitMQ was lost before it confirmed".to_owned()))
            })
        };
        if let Ok(result) = timeout(most, asked).await {
            return result;
        }
        if *self.state.up.borrow() {
            self.state.suspect.notify_one();
        }
        let silent = || format!("RabbitMQ (SAPO_SYNC__BROKER__URL) did not confirm it within {} ms", most.as_millis());
        Err(BrokerError::NotTaken(self.state.trouble().unwrap_or_else(silent)))
    }

    /// Takes no more.
    pub fn close(&self) {
        self.window.close();
    }
}

/// Why a session ended.
enum Ended {
    Closed,
    Lost(Trouble),
}

/// Keeps a session going until it is closed.
async fn supervise(
    dial: Arc<Dial>,
    first: Result<Session, Trouble>,
    mut queued: mpsc::UnboundedReceiver<Command>,
    state: Arc<State>,
    closing: CancellationToken,
    drain: Duration,
) {
    let mut outage = Outage::new("publishing");
    let mut attempt = 0;
    let mut next = Some(first);
    loop {
        let opened = match next.take() {
            Some(first) => first,
            None => match closing.run_until_cancelled(Session::open(&dial)).await {
                Some(opened) => opened,
                None => break,
            },
        };
        let trouble = match opened {
            Ok(session) => {
                let began = Instant::now();
                outage.ended();
                *locked(&state.link) = Some(Arc::clone(&session.link));
                let link = Arc::clone(&session.link);
                let ended = serve(session, &dial, &mut queued, &state, &closing, drain).await;
                *locked(&state.link) = None;
                match ended {
                    Ended::Closed => {
                        link.close().await;
                        break;
                    }
                    Ended::Lost(trouble) => {
                        link.cut();
                        // One that breaks at once is not worth a new series of short pauses.
                        if began.elapsed() > LATELY {
                            attempt = 0;
                        }
                        trouble
                    }
                }
            }
            Err(trouble) => trouble,
        };
        outage.began(&trouble);
        state.away(trouble.to_string());
        if closing.run_until_cancelled(tokio::time::sleep(pause(attempt))).await.is_none() {
            break;
        }
        attempt += 1;
    }
    queued.close();
    state.stand(Standing::Closed);
}

/// Publishes on one connection until it is lost, or closed and all confirms are in.
async fn serve(
    session: Session,
    dial: &Dial,
    queued: &mut mpsc::UnboundedReceiver<Command>,
    state: &State,
    closing: &CancellationToken,
    drain: Duration,
) -> Ended {
    let Session { link, channel, up } = session;
    let exchange = dial.topology.exchange().into();
    let mut events = pin!(link.connection.events_listener());
    let mut pending = FuturesUnordered::new();
    let mut unmatched = HashMap::new();
    let mut number = 0;
    let mut look = tokio::time::interval(LOOK);
    let mut probed: Option<Instant> = None;
    let mut open = true;
    let mut drained_by = None;
    let mut publish = |pending: &mut FuturesUnordered<_>, command| {
        number += 1;
        pending.push(send(&channel, &exchange, number, command));
    };
    if up {
        *locked(&state.confirmed) = Some(Instant::now());
        state.stand(Standing::Up);
    } else {
        probed = Some(Instant::now());
        publish(&mut pending, Command::probe());
    }
    loop {
        if !open && pending.is_empty() {
            return Ended::Closed;
        }
        tokio::select! {
            command = queued.recv(), if open => {
                open = command.is_some();
                // What came meanwhile goes along, in one turn of this task and one write of `lapin`'s thread.
                let others = std::iter::from_fn(|| queued.try_recv().ok());
                for command in command.into_iter().chain(others).filter(|command| !command.given_up()) {
                    publish(&mut pending, command);
                }
            },
            Some(first) = pending.next() => {
                let (settled, lost) = returned(first, &mut pending, &mut unmatched);
                if settled.iter().any(|(_, taken)| *taken == Taken::Yes) {
                    *locked(&state.confirmed) = Some(Instant::now());
                    if !*state.up.borrow() && !link.connection.status().blocked() {
                        probed = None;
                        state.stand(Standing::Up);
                    }
                }
                let mut unroutable = Vec::new();
                for (command, taken) in settled {
                    match taken {
                        Taken::Yes => {
                            if command.waiting.is_none() {
                                probed = None;
                            }
                            command.answer(Ok(()));
                        }
                        Taken::Refused => command.answer(Err(BrokerError::NotTaken("RabbitMQ refused it (nack)".to_owned()))),
                        Taken::Nowhere(_) if command.again => command.answer(Err(BrokerError::NotTaken(
                            "RabbitMQ has no queue for it, although it was declared again".to_owned(),
                        ))),
                        Taken::Nowhere(properties) => unroutable.push(Command { properties: *properties, again: true, ..command }),
                        Taken::Unknown => command.answer(Err(BrokerError::NotTaken(
                            "the connection to RabbitMQ was lost before it confirmed".to_owned(),
                        ))),
                    }
                }
                if let Some(error) = lost {
                    return Ended::Lost(dial.trouble(&error));
                }
                if !unroutable.is_empty() {
                    tracing::warn!(code = "broker_unroutable", "a queue of RabbitMQ is gone; declaring it again");
                    if let Err(trouble) = declare(dial, &link).await {
                        return Ended::Lost(trouble);
                    }
                    for command in unroutable {
                        publish(&mut pending, command);
                    }
                }
            },
            Some(event) = events.next() => match event {
                LinkEvent::ConnectionBlocked(why) => {
                    tracing::warn!(code = "broker_blocked", reason = why, "RabbitMQ takes nothing because of an alarm");
                    state.stand(Standing::Blocked { since: Instant::now(), why });
                    probed = None;
                }
                LinkEvent::ConnectionUnblocked => {
                    tracing::info!("RabbitMQ's alarm is over");
                    probed = Some(Instant::now());
                    publish(&mut pending, Command::probe());
                }
                LinkEvent::Error(error) => return Ended::Lost(dial.trouble(&error)),
                _ => {}
            },
            () = state.suspect.notified(), if probed.is_none() && !state.is_blocked() => {
                state.away("it did not confirm in time".to_owned());
                probed = Some(Instant::now());
                publish(&mut pending, Command::probe());
            },
            _ = look.tick() => {
                if !link.stands() || !channel.status().connected() {
                    return Ended::Lost(Trouble::Away("the connection was closed".to_owned()));
                }
                if !state.is_blocked() && probed.is_some_and(|at| at.elapsed() > PROBE_TIMEOUT) {
                    return Ended::Lost(Trouble::Away("it neither confirms nor answers".to_owned()));
                }
                if drained_by.is_some_and(|by| Instant::now() > by) {
                    return Ended::Closed;
                }
            },
            () = closing.cancelled(), if drained_by.is_none() => {
                drained_by = Some(Instant::now() + drain);
                queued.close();
            },
        }
    }
}

async fn declare(dial: &Dial, link: &Link) -> Result<(), Trouble> {
    let declared = async {
        let channel = link.connection.create_channel().await?;
        dial.topology.declare(&channel).await?;
        channel.close(200, "OK".into()).await
    };
    match timeout(DECLARE, declared).await {
        Ok(result) => result.map_err(|error| dial.trouble(&error)),
        Err(_) => Err(Trouble::Away(format!("no answer within {} s", DECLARE.as_secs()))),
    }
}
