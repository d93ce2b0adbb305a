//! The keeper: files dead letters, deletes what is old, keeps the gauges.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::process::hash;
use crate::broker::BrokerError;
use crate::domain::clock::{Millis, millis};
use crate::domain::outcome::Verdict::Dead;
use crate::store::StoreError;
use crate::store::dead_letters::Verdict;
use crate::store::ledger::{Settlement, Step};

/// Files what lies in the dead-letter queue, once by event and run, until stopped.
pub async fn file_dead_letters(context: Context, stop: CancellationToken) -> Result<(), BrokerError> {
    let mut consumer = context.broker.consume_dead().await?;
    while let Some(taken) = stop.run_until_cancelled(consumer.next(64)).await {
        for delivery in taken? {
            let filed = async {
                let mut tx = context.store.begin().await?;
                // Already filed with its reason where a worker gave it up; this is for what no worker could speak of.
                let verdict = Verdict {
                    code: "undeliverable",
                    reason: "the queue gave it up: its workers died or never answered",
                    last_answer: None,
                };
                let event = delivery.event();
                if context.store.file_letter(&mut tx, event, verdict).await? {
                    let (code, reason) = (verdict.code, verdict.reason);
                    let step =
                        Step { at: context.clock.now(), step: "dead".to_owned(), text: format!("{code}: {reason}") };
                    let settlement =
                        Settlement { verdict: Dead, code, reason, attempts: event.attempts, steps: &[step] };
                    context.store.record(&mut tx, event, &settlement, &hash(&event.body)).await?;
                    context.store.clear_poison(&mut tx, &event.id.to_string()).await?;
                }
                tx.commit().await.map_err(StoreError::from)
            };
            match filed.await {
                Ok(()) => {
                    if let Err(error) = delivery.ack().await {
                        tracing::warn!(code = error.code(), %error, "a filed dead letter stays in its queue; filing it again changes nothing");
                    }
                }
                Err(error) => {
                    tracing::error!(code = error.code(), %error, "a dead letter could not be filed; it stays in its queue");
                    delivery.give_back().await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
    Ok(())
}

/// Deletes settled ledger rows, ended jobs, closed dead letters and marks that are older than `keep`, a few at a time,
/// until stopped. Parked rows and open letters stay, and so does the job that the next of its kind begins from.
pub async fn prune(context: Context, keep: Duration, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_mins(10));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let before = context.clock.now() - millis(keep);
        loop {
            match prune_some(&context, before).await {
                Ok(is_all) if is_all || stop.is_cancelled() => break,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "old ledger rows, jobs and letters could not be deleted");
                    break;
                }
            }
        }
    }
}

/// Deletes a few of what is older than a moment; tells whether that was all.
async fn prune_some(context: &Context, before: Millis) -> Result<bool, StoreError> {
    const BATCH: i64 = 500;
    let rows = context.store.prune_ledger(before, BATCH).await?;
    let jobs = context.store.prune_jobs(before, BATCH).await?;
    let letters = context.store.prune_letters(before, BATCH).await?;
    Ok(rows.max(jobs).max(letters) < BATCH.unsigned_abs())
}

/// Keeps the gauges of `/metrics` until stopped.
pub async fn keep_gauges(context: Context, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    let mut codes = BTreeSet::new();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = gauges(&context, &mut codes).await {
            tracing::warn!(code = error.code(), %error, "gauges could not be read");
        }
    }
}

#[allow(clippy::cast_precision_loss)]
async fn gauges(context: &Context, codes: &mut BTreeSet<String>) -> Result<(), StoreError> {
    if let Ok(depth) = context.broker.depth().await {
        metrics::gauge!("sapo_sync_queue_events").set(depth.events as f64);
        metrics::gauge!("sapo_sync_queue_dead").set(depth.dead as f64);
    }
    let now = context.clock.now();
    let counts = context.store.parked_counts().await?;
    for cause in crate::domain::outcome::Cause::ALL {
        let (count, age) = counts.iter().find(|row| row.0 == cause.as_str()).map_or((0, 0), |row| (row.1, now - row.2));
        metrics::gauge!("sapo_sync_parked", "cause" => cause.as_str()).set(count as f64);
        metrics::gauge!("sapo_sync_parked_oldest_seconds", "cause" => cause.as_str()).set(age as f64 / 1000.0);
    }
    let letters = context.store.letter_counts().await?;
    // A code whose last letter is gone says so.
    codes.extend(letters.iter().map(|(code, _)| code.clone()));
    for code in &*codes {
        let count = letters.iter().find(|row| row.0 == *code).map_or(0, |row| row.1);
        metrics::gauge!("sapo_sync_dead_letters", "code" => code.clone()).set(count as f64);
    }
    Ok(())
}
