//! Taking: a connection of its own, one channel for each queue of the share, manual acknowledgement.
//!
//! A queue that leaves the share is given up without a `basic.cancel`: with one, the next consumer would get newer
//! messages while older ones are still held here. Nothing more of it is handed out, and when the last delivery of it
//! is settled its channel is closed; what was not handed out goes back in its order.
//!
//! A lost connection is no end: the deliveries that are out become void, and the queues are taken from again once the
//! supervisor is connected anew.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::try_join_all;
use futures::stream::{SelectAll, Stream, StreamExt as _};
use lapin::Channel;
use lapin::message::Delivery as Message;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::link::{CLOSE, Dial, LOOK, Link, Outage, Trouble, pause};
use super::shelf::{Shelf, Source, Tie};
use crate::broker::{Queue, Share};

/// Messages that the broker sends ahead, for each queue.
const PREFETCH: u16 = 64;
/// How long opening a channel may take.
const OPEN: Duration = Duration::from_secs(10);
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(5);

/// What to take from.
pub(super) enum Wish {
    /// The queues of a share.
    Shared(Share),
    /// The queue of dead letters.
    Dead,
}

impl Wish {
    fn wanted(&mut self) -> BTreeSet<Source> {
        match self {
            Self::Shared(share) => share.wanted.borrow_and_update().iter().copied().map(Some).collect(),
            Self::Dead => BTreeSet::from([None]),
        }
    }

    /// Waits until something else is wanted; for ever, where nobody is left to want it.
    async fn changed(&mut self) {
        if let Self::Shared(share) = self
            && share.wanted.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    fn hold(&self, sources: BTreeSet<Source>) {
        if let Self::Shared(share) = self {
            let queues: BTreeSet<Queue> = sources.into_iter().flatten().collect();
            share.held.send_if_modified(|held| std::mem::replace(held, queues.clone()) != queues);
        }
    }

    fn is_up(&self, up: bool) {
        if let Self::Shared(share) = self {
            share.up.send_if_modified(|was| std::mem::replace(was, up) != up);
        }
    }

    /// Without a connection what is wanted is held all the same: its messages are ours as soon as there is one.
    fn hold_wanted(&mut self, orphans: &mut Orphans) {
        orphans.retain(|(_, tie)| !tie.is_free());
        let mut sources = self.wanted();
        sources.extend(orphans.iter().map(|(source, _)| *source));
        self.hold(sources);
    }
}

/// Deliveries of lost channels that somebody still works on.
type Orphans = Vec<(Source, Arc<Tie>)>;

/// Keeps taking until it is closed.
pub(super) async fn run(
    dial: Arc<Dial>,
    purpose: &'static str,
    mut wish: Wish,
    shelf: Arc<Shelf>,
    closing: CancellationToken,
) {
    let mut outage = Outage::new(purpose);
    let mut attempt = 0;
    let mut orphans = Orphans::new();
    let changed = Arc::new(Notify::new());
    loop {
        wish.hold_wanted(&mut orphans);
        let Some(opened) = closing.run_until_cancelled(dial.connect(purpose)).await else { break };
        let trouble = match opened {
            Ok(link) => {
                let began = Instant::now();
                let mut session = Session {
                    dial: &dial,
                    link,
                    shelf: &shelf,
                    lanes: BTreeMap::new(),
                    streams: SelectAll::new(),
                    changed: Arc::clone(&changed),
                };
                let ended = tokio::select! {
                    ended = session.serve(&mut wish, &mut orphans, &mut outage) => Some(ended),
                    () = closing.cancelled() => None,
                };
                let lanes = std::mem::take(&mut session.lanes);
                shelf.nobody_answers();
                if ended.is_none() {
                    shelf.close();
                }
                for (source, (_, tie)) in lanes {
                    shelf.remove(source);
                    orphans.push((source, tie));
                }
                let Some(trouble) = ended else {
                    session.link.close().await;
                    break;
                };
                session.link.cut();
                if began.elapsed() > LASTED {
                    attempt = 0;
                }
                trouble
            }
            Err(trouble) => trouble,
        };
        wish.is_up(false);
        outage.began(&trouble);
        let waited = async {
            let wake = tokio::time::sleep(pause(attempt));
            tokio::pin!(wake);
            loop {
                wish.hold_wanted(&mut orphans);
                tokio::select! {
                    () = &mut wake => break,
                    () = changed.notified() => {}
                    () = wish.changed() => {}
                }
            }
        };
        if closing.run_until_cancelled(waited).await.is_none() {
            break;
        }
        attempt += 1;
    }
    shelf.close();
    wish.hold(BTreeSet::new());
}

type Arrival = (Source, Arc<Tie>, Option<lapin::Result<Message>>);

/// One connection, and its channels.
struct Session<'a> {
    dial: &'a Dial,
    link: Link,
    shelf: &'a Shelf,
    lanes: BTreeMap<Source, (Channel, Arc<Tie>)>,
    streams: SelectAll<Pin<Box<dyn Stream<Item = Arrival> + Send>>>,
    changed: Arc<Notify>,
}

impl Session<'_> {
    /// Takes until the connection is lost.
    async fn serve(&mut self, wish: &mut Wish, orphans: &mut Orphans, outage: &mut Outage) -> Trouble {
        let mut look = tokio::time::interval(LOOK);
        let mut announced = false;
        loop {
            if let Err(trouble) = self.follow(wish, orphans).await {
                return trouble;
            }
            if !announced {
                announced = true;
                wish.is_up(true);
                outage.ended();
            }
            tokio::select! {
                () = wish.changed() => {}
                () = self.changed.notified() => {}
                Some(arrival) = self.streams.next() => if let Err(trouble) = self.put(arrival) {
                    return trouble;
                },
                asking = self.shelf.asked() => {
                    if let Err(trouble) = self.catch_up().await {
                        return trouble;
                    }
                    for asking in asking {
                        let _gone = asking.send(());
                    }
                }
                _ = look.tick() => {
                    if !self.link.stands() {
                        return Trouble::Away("the connection was closed".to_owned());
                    }
                }
            }
        }
    }

    fn put(&self, (source, tie, item): Arrival) -> Result<(), Trouble> {
        let ours = self.lanes.get(&source).is_some_and(|(_, own)| Arc::ptr_eq(own, &tie));
        match item {
            Some(Ok(message)) => self.shelf.put(source, &tie, message),
            Some(Err(error)) if ours => return Err(self.dial.trouble(&error)),
            None if ours => return Err(Trouble::Away("a queue or its channel was closed by RabbitMQ".to_owned())),
            _ => {}
        }
        Ok(())
    }

    /// A channel keeps its order: once it has answered, all that was sent by it before has arrived.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asked = self.lanes.iter().map(|(source, (channel, _))| {
            channel.queue_declare(self.name(*source).into(), passive, FieldTable::default())
        });
        let answered = timeout(OPEN, try_join_all(asked));
        match answered.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(self.dial.trouble(&error)),
            Err(_) => return Err(Trouble::Away(format!("no answer within {} s", OPEN.as_secs()))),
        }
        while let Some(Some(arrival)) = self.streams.next().now_or_never() {
            self.put(arrival)?;
        }
        Ok(())
    }

    fn name(&self, source: Source) -> String {
        source.map_or_else(|| self.dial.topology.dead(), |queue| self.dial.topology.queue(queue))
    }

    /// Gives up what is not wanted any more, takes what is.
    async fn follow(&mut self, wish: &mut Wish, orphans: &mut Orphans) -> Result<(), Trouble> {
        let wanted = wish.wanted();
        let leaving: Vec<Source> = self.lanes.keys().filter(|source| !wanted.contains(*source)).copied().collect();
        for source in leaving {
            self.shelf.leave(source);
        }
        // One that is wanted again while it is being left is finished first: its unread messages have to go back.
        let done: Vec<Source> = self
            .lanes
            .iter()
            .filter(|(_, (_, tie))| tie.is_leaving() && tie.is_free())
            .map(|(source, _)| *source)
            .collect();
        for source in done {
            self.shelf.remove(source);
            if let Some((channel, _)) = self.lanes.remove(&source) {
                match timeout(CLOSE, channel.close(200, "OK".into())).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(self.dial.trouble(&error)),
                    Err(_) => return Err(Trouble::Away("it does not answer".to_owned())),
                }
            }
        }
        orphans.retain(|(_, tie)| !tie.is_free());
        let fresh: Vec<Source> = wanted.into_iter().filter(|source| !self.lanes.contains_key(source)).collect();
        let held = self.lanes.keys().chain(&fresh).copied().chain(orphans.iter().map(|(source, _)| *source));
        wish.hold(held.collect());
        for source in fresh {
            match timeout(OPEN, self.open(source)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.dial.trouble(&error)),
                Err(_) => return Err(Trouble::Away(format!("no answer within {} s", OPEN.as_secs()))),
            }
        }
        Ok(())
    }

    async fn open(&mut self, source: Source) -> lapin::Result<()> {
        let name = self.name(source);
        let channel = self.link.connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
        let tie = Tie::new(Arc::clone(&self.changed));
        self.shelf.open(source, Arc::clone(&tie));
        let ours = Arc::clone(&tie);
        let end = futures::stream::iter([(source, Arc::clone(&tie), None)]);
        self.streams.push(Box::pin(consumer.map(move |item| (source, Arc::clone(&ours), Some(item))).chain(end)));
        self.lanes.insert(source, (channel, tie));
        Ok(())
    }
}
