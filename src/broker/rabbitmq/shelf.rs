//! What has arrived and was not handed out yet, and the deliveries that were.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::message;
use crate::broker::{BrokerError, Consumer, Delivery, Depth, Queue};
use crate::domain::event::{Event, Kind};

/// A queue of events, or the queue of dead letters.
pub(super) type Source = Option<Queue>;

/// After so many orders in a row one of the others has its turn: they keep a tenth.
const ORDERS_IN_A_ROW: u32 = 9;
/// How many of what was given back are remembered.
const REMEMBERED: usize = 4096;
/// How long settling may take before the connection counts as lost.
const SETTLE: Duration = Duration::from_secs(10);

/// What binds deliveries to the channel that they came by.
#[derive(Default)]
pub(super) struct Tie {
    /// The channel was lost: its deliveries are void, and come again.
    void: AtomicBool,
    /// The queue is being given up: nothing more of it is handed out.
    leaving: AtomicBool,
    /// Deliveries handed out and not settled, given back or dropped yet.
    out: AtomicUsize,
    /// Deliveries dropped unsettled: they come again with the end of the channel, and not before.
    dropped: AtomicUsize,
    /// Told whenever one of them is.
    pub changed: Arc<Notify>,
}

impl Tie {
    pub fn new(changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { changed, ..Self::default() })
    }

    pub fn is_free(&self) -> bool {
        self.out.load(Ordering::Acquire) == 0
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    fn is_void(&self) -> bool {
        self.void.load(Ordering::Acquire)
    }
}

struct Lane {
    tie: Arc<Tie>,
    waiting: VecDeque<Message>,
}

impl Lane {
    fn drop_waiting(&mut self, source: Source) {
        count(source, -(self.waiting.len() as f64));
        self.waiting.clear();
    }
}

/// Counts events that this process holds: handed out, or not yet.
fn count(source: Source, change: f64) {
    if source.is_some() {
        metrics::gauge!("sapo_sync_deliveries_held").increment(change);
    }
}

/// What a consumer's task puts in and its `next` takes out.
#[derive(Default)]
pub(super) struct Shelf {
    inner: Mutex<Inner>,
    arrived: Notify,
    /// Those who ask that what is on its way be waited for.
    asking: Mutex<Vec<oneshot::Sender<()>>>,
    asked: Notify,
}

#[derive(Default)]
struct Inner {
    lanes: BTreeMap<Source, Lane>,
    /// Whose turn it is: queues of orders, and the others.
    turns: [VecDeque<Source>; 2],
    /// Orders since the last of the others.
    in_a_row: u32,
    closed: bool,
    /// What was given back in order: when it comes again, its worker did not die.
    given_back: HashSet<(Uuid, u32)>,
}

impl Inner {
    /// The next message of orders (0) or of the others (1), the queues in turn.
    fn pop(&mut self, class: usize) -> Option<(Source, Message)> {
        for _ in 0..self.turns[class].len() {
            let source = self.turns[class].pop_front()?;
            self.turns[class].push_back(source);
            if let Some(message) = self.lanes.get_mut(&source).and_then(|lane| lane.waiting.pop_front()) {
                return Some((source, message));
            }
        }
        None
    }

    fn next(&mut self) -> Option<(Source, Message)> {
        let first = usize::from(self.in_a_row >= ORDERS_IN_A_ROW);
        let taken = self.pop(first).map(|taken| (first, taken)).or_else(|| Some((1 - first, self.pop(1 - first)?)));
        let (class, taken) = taken?;
        self.in_a_row = if class == 0 { self.in_a_row.saturating_add(1) } else { 0 };
        Some(taken)
    }
}

fn class(source: Source) -> usize {
    usize::from(source.is_none_or(|queue| queue.kind != Kind::Order))
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel for this queue was opened.
    pub fn open(&self, source: Source, tie: Arc<Tie>) {
        let mut inner = self.lock();
        inner.lanes.insert(source, Lane { tie, waiting: VecDeque::new() });
        inner.turns[class(source)].push_back(source);
    }

    /// A message came by that channel. Of a queue that is being left nothing is kept: it goes back with the channel.
    pub fn put(&self, source: Source, tie: &Arc<Tie>, message: Message) {
        let mut inner = self.lock();
        if let Some(lane) = inner.lanes.get_mut(&source)
            && Arc::ptr_eq(&lane.tie, tie)
            && !tie.is_leaving()
        {
            lane.waiting.push_back(message);
            drop(inner);
            count(source, 1.0);
            self.arrived.notify_one();
        }
    }

    /// Nothing more of this queue is handed out.
    pub fn leave(&self, source: Source) {
        if let Some(lane) = self.lock().lanes.get_mut(&source) {
            lane.tie.leaving.store(true, Ordering::Release);
            lane.drop_waiting(source);
        }
    }

    /// The channel was closed, or lost.
    pub fn remove(&self, source: Source) {
        let mut inner = self.lock();
        if let Some(mut lane) = inner.lanes.remove(&source) {
            lane.tie.void.store(true, Ordering::Release);
            lane.drop_waiting(source);
        }
        inner.turns[class(source)].retain(|other| *other != source);
    }

    /// Hands out no more at all.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits until everything that the broker had sent when this was called has arrived, or the connection is lost.
    pub async fn caught_up(&self) {
        let (asking, answered) = oneshot::channel();
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).push(asking);
        self.asked.notify_one();
        // Dropped unanswered, there is no connection, and so nothing on its way.
        let _lost = answered.await;
    }

    /// The connection is lost: nothing is on its way.
    pub fn nobody_answers(&self) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Resolves when somebody asks for that; they are answered by what is returned.
    pub async fn asked(&self) -> Vec<oneshot::Sender<()>> {
        loop {
            let asking = std::mem::take(&mut *self.asking.lock().unwrap_or_else(PoisonError::into_inner));
            if !asking.is_empty() {
                return asking;
            }
            self.asked.notified().await;
        }
    }

    /// How many messages it and those who took from it hold.
    pub fn held(&self) -> Depth {
        let mut held = Depth::default();
        for (source, lane) in &self.lock().lanes {
            let handed_out = lane.tie.out.load(Ordering::Acquire) + lane.tie.dropped.load(Ordering::Acquire);
            let count = i64::try_from(lane.waiting.len() + handed_out).unwrap_or(i64::MAX);
            if source.is_some() { held.events += count } else { held.dead += count }
        }
        held
    }

    fn take(self: &Arc<Self>, most: usize) -> Result<Vec<Box<dyn Delivery>>, BrokerError> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(BrokerError::Closed);
        }
        let mut taken: Vec<Box<dyn Delivery>> = Vec::new();
        while taken.len() < most {
            let Some((source, mut message)) = inner.next() else { break };
            let Some(tie) = inner.lanes.get(&source).map(|lane| Arc::clone(&lane.tie)) else { break };
            tie.out.fetch_add(1, Ordering::AcqRel);
            let event = message::decode(&message.properties, std::mem::take(&mut message.data), source);
            let known = inner.given_back.remove(&(event.id, event.run));
            let redelivered = message.redelivered && !known;
            let (shelf, settled) = (Arc::clone(self), AtomicBool::new(false));
            taken.push(Box::new(Held { event, redelivered, message, tie, shelf, source, settled }));
        }
        Ok(taken)
    }
}

/// Takes from a shelf; its task fills it for as long as this lives.
pub(super) struct Taker {
    pub shelf: Arc<Shelf>,
    pub _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self, most: usize) -> Result<Vec<Box<dyn Delivery>>, BrokerError> {
        loop {
            let taken = self.shelf.take(most.max(1))?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            // What arrived since is remembered by the notice.
            self.shelf.arrived.notified().await;
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        // Whoever still holds deliveries of it can settle none of them: the connection goes with the task.
        let mut inner = self.shelf.lock();
        for (source, mut lane) in std::mem::take(&mut inner.lanes) {
            lane.tie.void.store(true, Ordering::Release);
            lane.drop_waiting(source);
        }
        inner.closed = true;
    }
}

/// A delivery that was handed out.
struct Held {
    event: Event,
    redelivered: bool,
    message: Message,
    tie: Arc<Tie>,
    shelf: Arc<Shelf>,
    source: Source,
    settled: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Acquire) {
            self.tie.dropped.fetch_add(1, Ordering::AcqRel);
        }
        count(self.source, -1.0);
        self.tie.out.fetch_sub(1, Ordering::AcqRel);
        self.tie.changed.notify_one();
    }
}

impl Held {
    /// Settles it. Where the channel is lost the broker delivers it again, and that is no error.
    async fn settle(&self, settling: impl Future<Output = lapin::Result<bool>>) {
        if !self.alive() {
            tracing::debug!(id = %self.event.id, "its channel is lost; it is delivered again");
            return;
        }
        match timeout(SETTLE, settling).await {
            Ok(Ok(true)) => self.settled.store(true, Ordering::Release),
            Ok(Ok(false) | Err(_)) | Err(_) => {
                tracing::debug!(id = %self.event.id, "its channel was lost while it was settled; it is delivered again");
            }
        }
    }

    async fn return_it(&self) {
        // The channel of a queue that is being left is closed soon, and takes it back in its order.
        if self.tie.is_leaving() {
            return;
        }
        if self.alive() {
            let mut inner = self.shelf.lock();
            if inner.given_back.len() < REMEMBERED && !self.redelivered {
                inner.given_back.insert((self.event.id, self.event.run));
            }
        }
        self.settle(self.message.acker.nack(BasicNackOptions { multiple: false, requeue: true })).await;
    }
}

#[async_trait]
impl Delivery for Held {
    fn event(&self) -> &Event {
        &self.event
    }

    fn queue(&self) -> Option<Queue> {
        self.source
    }

    fn redelivered(&self) -> bool {
        self.redelivered
    }

    fn alive(&self) -> bool {
        !self.tie.is_void() && self.message.acker.usable()
    }

    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(self.message.acker.ack(BasicAckOptions::default())).await;
        Ok(())
    }

    async fn reject(self: Box<Self>) -> Result<(), BrokerError> {
        if self.source.is_none() {
            self.return_it().await;
        } else {
            self.settle(self.message.acker.nack(BasicNackOptions { multiple: false, requeue: false })).await;
        }
        Ok(())
    }

    async fn give_back(self: Box<Self>) {
        self.return_it().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(kind: Kind, partition: u16) -> Source {
        Source::from(Queue { kind, partition })
    }

    fn put(shelf: &Arc<Shelf>, source: Source, ties: &BTreeMap<Source, Arc<Tie>>, count: u64) {
        for tag in 0..count {
            let message = Message::mock(tag, "".into(), "".into(), false, Vec::new());
            shelf.put(source, &ties[&source], message);
        }
    }

    fn shelf(sources: &[Source]) -> (Arc<Shelf>, BTreeMap<Source, Arc<Tie>>) {
        let shelf = Arc::new(Shelf::default());
        let ties: BTreeMap<Source, Arc<Tie>> =
            sources.iter().map(|source| (*source, Tie::new(Arc::default()))).collect();
        for (source, tie) in &ties {
            shelf.open(*source, Arc::clone(tie));
        }
        (shelf, ties)
    }

    fn sources(shelf: &Arc<Shelf>, count: usize) -> Vec<Source> {
        let mut inner = shelf.lock();
        (0..count).map_while(|_| inner.next()).map(|(source, _)| source).collect()
    }

    #[test]
    fn orders_come_first_and_the_others_keep_a_tenth() {
        let (orders, products) = (queue(Kind::Order, 0), queue(Kind::Product, 0));
        let (shelf, ties) = shelf(&[orders, products]);
        put(&shelf, orders, &ties, 100);
        put(&shelf, products, &ties, 100);
        let taken = sources(&shelf, 100);
        assert_eq!(taken.iter().filter(|source| **source == products).count(), 10);
        assert_eq!(taken[0], orders);
        // With no orders left the others have all.
        assert_eq!(sources(&shelf, 1_000).len(), 100);
    }

    #[test]
    fn queues_of_one_kind_take_turns() {
        let all = [queue(Kind::Order, 0), queue(Kind::Order, 1), queue(Kind::Order, 2)];
        let (shelf, ties) = shelf(&all);
        put(&shelf, all[0], &ties, 1_000);
        put(&shelf, all[1], &ties, 2);
        put(&shelf, all[2], &ties, 1);
        let first = sources(&shelf, 6);
        assert_eq!(first, [all[0], all[1], all[2], all[0], all[1], all[0]]);
    }

    #[test]
    fn of_a_queue_that_is_left_nothing_more_is_handed_out() {
        let (one, two) = (queue(Kind::Order, 0), queue(Kind::Order, 1));
        let (shelf, ties) = shelf(&[one, two]);
        put(&shelf, one, &ties, 3);
        put(&shelf, two, &ties, 1);
        let held = shelf.take(1).unwrap();
        assert_eq!((held.len(), shelf.held().events), (1, 4));
        shelf.leave(one);
        put(&shelf, one, &ties, 2);
        assert!(!ties[&one].is_free(), "one of its deliveries is still out");
        drop(held);
        assert!(ties[&one].is_free());
        assert_eq!(sources(&shelf, 10), [two]);
        shelf.close();
        assert!(matches!(shelf.take(1), Err(BrokerError::Closed)));
    }
}
