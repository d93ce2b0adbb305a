//! The workers: take a window of deliveries, work on the newest state of each object, settle.

mod buyer;
pub mod categories;
pub mod context;
mod create;
mod customers;
pub mod keeper;
mod order_in;
mod order_out;
mod payment;
pub mod process;
pub mod products;
pub mod release;
mod settle;
mod shop;
mod window;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerError, Consumer, Delivery};
use crate::domain::event::ObjectKey;
use crate::domain::outcome::{Cause, Outcome};
use crate::observe::crash;
use crate::store::StoreError;
use context::{Context, Left};
use process::Processed;
use window::{Batch, Window};

/// Deliveries held at once.
const WINDOW: usize = 256;
/// Objects worked on at once.
const RUNNING: usize = 128;
/// A redelivered message that is marked so often killed its worker that often.
const MARKS: i64 = 3;

/// Works until stopped; what was started is finished.
pub async fn work(context: Context, stop: CancellationToken) -> Result<(), BrokerError> {
    let consumer = context.broker.consume().await?;
    let (room, room_seen) = watch::channel(WINDOW);
    let (feed, mut fed) = mpsc::channel(1);
    let feeder = tokio::spawn(take(consumer, room_seen, feed, stop.clone()));
    let mut window = Window::default();
    let mut running: JoinSet<Ended> = JoinSet::new();
    let mut open = true;
    loop {
        if !stop.is_cancelled() {
            start(&context, &mut window, &mut running);
        }
        tokio::select! {
            batch = fed.recv(), if open => match batch {
                Some(Ok(deliveries)) => deliveries.into_iter().for_each(|delivery| window.add(delivery)),
                Some(Err(error)) => return Err(error),
                None => open = false,
            },
            Some(ended) = running.join_next() => match ended {
                Ok(ended) => {
                    window.finished(&ended.key, ended.deliveries);
                    if let Some(error) = ended.away {
                        wait_for_store(&context, &error, &stop).await;
                    }
                }
                Err(error) => return Err(BrokerError::Unusable(error.to_string())),
            },
            else => break,
        }
        room.send_replace(WINDOW.saturating_sub(window.held()));
    }
    // Side by side: they share their commits.
    join_all(window.drain().into_iter().map(Delivery::give_back)).await;
    let _stopped = feeder.await;
    Ok(())
}

/// Takes deliveries as long as there is room in the window.
async fn take(
    mut consumer: Box<dyn Consumer>,
    mut room: watch::Receiver<usize>,
    feed: mpsc::Sender<Result<Vec<Box<dyn Delivery>>, BrokerError>>,
    stop: CancellationToken,
) {
    let taking = async {
        loop {
            let most = match room.wait_for(|room| *room > 0).await {
                Ok(room) => *room,
                Err(_) => return,
            };
            room.mark_unchanged();
            let taken = consumer.next(most).await;
            let failed = taken.is_err();
            if feed.send(taken).await.is_err() || failed || room.changed().await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(taking).await;
}

struct Ended {
    key: ObjectKey,
    deliveries: usize,
    away: Option<StoreError>,
}

fn start(context: &Context, window: &mut Window, running: &mut JoinSet<Ended>) {
    if window.must_run_alone() {
        if running.is_empty()
            && let Some(batch) = window.take_alone()
        {
            running.spawn(work_on(context.clone(), batch, true));
        }
        return;
    }
    while running.len() < RUNNING
        && let Some(batch) = window.take()
    {
        running.spawn(work_on(context.clone(), batch, false));
    }
}

async fn work_on(context: Context, batch: Batch, alone: bool) -> Ended {
    let (key, deliveries) = (batch.event.key.clone(), batch.superseded.len() + 1);
    crash::point("taken");
    let settled = async {
        let processed = outcome(&context, &batch, alone).await?;
        settle::commit(&context, &batch, processed).await
    };
    match settled.await {
        Ok(dead) => {
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

async fn outcome(context: &Context, batch: &Batch, alone: bool) -> Result<Processed, StoreError> {
    let event = &batch.event;
    let plain = |outcome| Processed { outcome, left: Left::nothing(), account: event.key.connection.clone() };
    if alone && context.store.mark_poison(&event.id.to_string()).await? >= MARKS {
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
        let snapshot = context.snapshot.get();
        let account = snapshot.and_then(|held| {
            Some(held.0.connections.get(&event.key.connection)?.connection.target_account(event.key.source))
        });
        return Ok(settle::joined(
            cause,
            "its object waits for a time already; it joins that row",
            row.due_at,
            account.unwrap_or_default(),
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

/// With the store away nothing can be settled: probe until it is back.
async fn wait_for_store(context: &Context, error: &StoreError, stop: &CancellationToken) {
    tracing::error!(code = error.code(), %error, "the state database is away; deliveries are given back, work goes on when it answers");
    let mut probe = tokio::time::interval(Duration::from_secs(1));
    while stop.run_until_cancelled(probe.tick()).await.is_some() {
        if context.store.probe().await.is_ok() {
            return;
        }
    }
}
