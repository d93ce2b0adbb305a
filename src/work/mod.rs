//! The workers: take a window of deliveries, work on the newest state of each object, settle.

mod buyer;
pub mod categories;
mod chosen;
pub mod components;
pub mod context;
mod create;
mod customers;
pub mod keeper;
pub mod lead;
pub mod marks;
mod order_in;
mod order_out;
mod payment;
mod poison;
mod pos_order;
pub mod process;
pub mod products;
pub mod queues;
pub mod release;
mod settle;
mod shop;
pub mod web;
mod window;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerError, Consumer, Delivery, Queue, Share};
use crate::domain::event::{Event, Kind, ObjectKey};
use crate::domain::outcome::{Cause, Outcome};
use crate::observe::crash;
use crate::store::{StoreError, letting_others_first};
use context::{Context, Left};
use poison::Poison;
use process::Processed;
use window::{Batch, Window};

/// Deliveries held at once.
const WINDOW: usize = 256;
/// Objects worked on at once.
const RUNNING: usize = 128;
/// How long the state database may take to answer before it counts as away; longer than its own time-outs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Works until stopped; what was started is finished. `share` says which queues to take from, where processes share
/// them. With the state database away nothing is started and what is held goes back at once, so that another worker,
/// for which it may not be away, can have it.
pub async fn work(context: Context, share: Share, stop: CancellationToken) -> Result<(), BrokerError> {
    let partitions = context.broker.partitions();
    let mut wanted = share.wanted.clone();
    let consumer = context.broker.consume(share).await?;
    let poison = Poison::new(context.store.clone());
    let (room, room_seen) = watch::channel(WINDOW);
    let (feed, mut fed) = mpsc::channel(1);
    // It keeps the consumer to the end of this: what is under way is settled by it.
    let feeder = tokio::spawn(take(consumer, poison.clone(), room_seen, feed, stop.clone()));
    let mut window = Window::default();
    let mut running: JoinSet<Ended> = JoinSet::new();
    let mut probing: JoinSet<()> = JoinSet::new();
    let mut open = true;
    loop {
        let away = !probing.is_empty();
        if !stop.is_cancelled() && !away {
            start(&context, &poison, &mut window, &mut running);
        }
        room.send_replace(if away { 0 } else { WINDOW.saturating_sub(window.held()) });
        tokio::select! {
            batch = fed.recv(), if open => match batch {
                Some(Ok(deliveries)) if away => {
                    join_all(deliveries.into_iter().map(|(delivery, _)| delivery.give_back())).await;
                }
                Some(Ok(deliveries)) => {
                    for (delivery, alone) in deliveries {
                        window.add(delivery, alone);
                    }
                    give_up(&mut window, &wanted).await;
                }
                Some(Err(error)) => return Err(error),
                None => open = false,
            },
            Ok(()) = wanted.changed(), if partitions.is_some() => give_up(&mut window, &wanted).await,
            Some(ended) = running.join_next() => match ended {
                Ok(ended) => {
                    window.finished(&ended.key, ended.deliveries);
                    if let Some(error) = ended.away {
                        if probing.is_empty() {
                            tracing::error!(code = error.code(), %error, "the state database is away; deliveries are given back, work goes on when it answers");
                            probing.spawn(back(context.clone(), stop.clone()));
                        }
                        join_all(window.give_up(|_| true).into_iter().map(Delivery::give_back)).await;
                    }
                }
                Err(error) => return Err(BrokerError::Unusable(error.to_string())),
            },
            Some(_) = probing.join_next() => {}
            else => break,
        }
    }
    // Side by side: they share their commits.
    join_all(window.give_up(|_| true).into_iter().map(Delivery::give_back)).await;
    let _consumer = feeder.await;
    Ok(())
}

/// Gives back what was not started of queues that are not this process's any more.
async fn give_up(window: &mut Window, wanted: &watch::Receiver<BTreeSet<Queue>>) {
    let wanted = wanted.borrow().clone();
    let foreign = window.give_up(|delivery| delivery.queue().is_some_and(|queue| !wanted.contains(&queue)));
    join_all(foreign.into_iter().map(Delivery::give_back)).await;
}

/// Deliveries, each with whether it runs alone.
type Taken = Result<Vec<(Box<dyn Delivery>, bool)>, BrokerError>;

/// Takes deliveries as long as there is room in the window, and gives the consumer back at the end: dropped, it would
/// take the deliveries that are still out with it.
async fn take(
    mut consumer: Box<dyn Consumer>,
    poison: Poison,
    mut room: watch::Receiver<usize>,
    feed: mpsc::Sender<Taken>,
    stop: CancellationToken,
) -> Box<dyn Consumer> {
    let taking = async {
        loop {
            let most = match room.wait_for(|room| *room > 0).await {
                Ok(room) => *room,
                Err(_) => return,
            };
            room.mark_unchanged();
            let taken = match consumer.next(most).await {
                Ok(deliveries) => Ok(poison.alone(deliveries).await),
                Err(error) => Err(error),
            };
            let failed = taken.is_err();
            if feed.send(taken).await.is_err() || failed || room.changed().await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(taking).await;
    consumer
}

struct Ended {
    key: ObjectKey,
    deliveries: usize,
    away: Option<StoreError>,
}

fn start(context: &Context, poison: &Poison, window: &mut Window, running: &mut JoinSet<Ended>) {
    if window.must_run_alone() {
        if !running.is_empty() {
            return;
        }
        if let Some(batch) = window.take_alone() {
            running.spawn(work_on(context.clone(), poison.clone(), batch));
            return;
        }
        // The broker has taken all of those back.
    }
    while running.len() < RUNNING
        && let Some(batch) = window.take()
    {
        let is_order = matches!(batch.event.key.kind, Kind::Order | Kind::Shop);
        let work = work_on(context.clone(), poison.clone(), batch);
        if is_order {
            running.spawn(work);
        } else {
            running.spawn(letting_others_first(work));
        }
    }
}

async fn work_on(context: Context, poison: Poison, batch: Batch) -> Ended {
    let (key, deliveries) = (batch.event.key.clone(), batch.superseded.len() + 1);
    crash::point("taken");
    let mut settled = settle(&context, outcome(&context, &poison, &batch).await, &batch).await;
    if let Err(error) = &settled
        && error.is_about_the_data()
    {
        // Two that came to the same thing at once: the later one finds it done when it is tried again. Anything else
        // ends as a dead letter by the schedule, instead of coming back for ever.
        let outcome = Outcome::Failing {
            code: "store_refused",
            reason: format!("the state database does not take it: {error}"),
            last_answer: None,
            not_before: None,
        };
        let processed = Processed { outcome, left: Left::nothing(), account: account_of(&context, &batch.event) };
        settled = settle(&context, Ok(processed), &batch).await;
    }
    match settled {
        Ok(dead) => {
            poison.settled(&batch.event.id.to_string());
            settle::acknowledge(batch, dead).await;
            Ended { key, deliveries, away: None }
        }
        Err(error) => {
            for delivery in batch.superseded.into_iter().chain([batch.survivor]) {
                delivery.give_back().await;
            }
            Ended { key, deliveries, away: Some(error) }
        }
    }
}

async fn settle(
    context: &Context,
    processed: Result<Processed, StoreError>,
    batch: &Batch,
) -> Result<bool, StoreError> {
    // What hangs because the network is cut ends, and is done again.
    tokio::time::timeout(PATIENCE, settle::commit(context, batch, processed?))
        .await
        .unwrap_or_else(|_| Err(StoreError::NotFound("the state database does not answer".to_owned())))
}

async fn outcome(context: &Context, poison: &Poison, batch: &Batch) -> Result<Processed, StoreError> {
    let event = &batch.event;
    let plain = |outcome| Processed { outcome, left: Left::nothing(), account: event.key.connection.clone() };
    let again = batch.superseded.iter().chain([&batch.survivor]).any(|delivery| delivery.redelivered());
    if again && poison.mark(&event.id.to_string()).await? {
        return Ok(plain(Outcome::dead(
            "poison",
            "its worker died each time it was worked on; it is set aside so that others can go on",
        )));
    }
    if let Some(row) = context.store.parked(&event.key).await?
        && let Some(cause) = Cause::from_word(&row.cause).filter(|cause| cause.is_time())
        && row.due_at > context.clock.now()
        && row.event_id != event.id.to_string()
    {
        let account = account_of(context, event);
        return Ok(settle::joined(
            cause,
            "its object waits for a time already; it joins that row",
            row.due_at,
            account,
        ));
    }
    match AssertUnwindSafe(process::process(context, event, false)).catch_unwind().await {
        Ok(processed) => processed,
        Err(_) => Ok(plain(Outcome::dead(
            "panic",
            "the program failed on it (a defect: please report it with `sapo-sync dead show`)",
        ))),
    }
}

/// The account that an event's calls go to, for the row that it waits in.
fn account_of(context: &Context, event: &Event) -> String {
    let known = context.snapshot.get();
    let row = known.as_ref().and_then(|held| held.0.connections.get(&event.key.connection));
    row.map_or_else(|| event.key.connection.clone(), |row| row.connection.target_account(event.key.source))
}

/// Waits until the state database can be written again.
async fn back(context: Context, stop: CancellationToken) {
    let mut probe = tokio::time::interval(Duration::from_secs(1));
    while stop.run_until_cancelled(probe.tick()).await.is_some() {
        if context.store.probe().await.is_ok() {
            context.marks.begin_anew(&context.clock);
            return;
        }
    }
}
