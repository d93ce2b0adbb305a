//! Runs stored jobs: whoever holds the lease walks, waits for the events it made, and reports.
//!
//! Several run side by side, walks, webs and replays each in a lane of their own, so that none waits behind the others.
//! A job that has walked and only waits for its events leaves its place to the next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::replay::many;
use super::walk::{Found, LEASE, Mode, Pace, Position, Walk, WalkError, since, walk_event};
use super::web::{links, preflight, walk as web};
use crate::domain::clock::{Millis, millis};
use crate::domain::connection::State;
use crate::domain::event::System;
use crate::store::StoreError;
use crate::store::jobs::{Job, Lane};
use crate::work::context::Context;

/// How often a job is looked for, and a running one's events are counted.
const TICK: Duration = Duration::from_millis(500);
/// The same for a job of which nothing moves: a shop may be throttled for hours, and many jobs may wait.
const SLOW_TICK: Duration = Duration::from_secs(3);
/// How often what reconciles found is read for `/metrics`.
const TOLD: Duration = Duration::from_secs(5);
/// Who the audit log says ended a job.
const ACTOR: &str = "sapo-sync";

/// How many jobs of a lane run at once. A walk over an Abaha site holds a catalogue in memory, one over a web a page.
fn room(lane: Lane) -> usize {
    match lane {
        Lane::Walks | Lane::Replays => 2,
        Lane::Webs => 16,
    }
}

/// A job's place in its lane.
type Place = OwnedSemaphorePermit;

/// How a job's events ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What the walk found.
    pub found: BTreeMap<String, u64>,
    /// Objects looked at, by kind.
    pub checked: BTreeMap<String, u64>,
    /// Events made.
    pub events: i64,
    /// Of these: settled well.
    pub done: i64,
    /// Of these: nothing had to be done.
    pub skipped: i64,
    /// Of these: wait for a cause.
    pub parked: i64,
    /// Of these: given up.
    pub dead: i64,
    /// Outcome and code, most first.
    pub codes: Vec<(String, String, i64)>,
    /// Findings that are errors in themselves.
    pub errors: u64,
}

impl Summary {
    /// Whether rows failed.
    pub fn failed(&self) -> bool {
        self.parked + self.dead > 0 || self.errors > 0
    }
}

/// Runs jobs until stopped; those at work then store where they are.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    let mut tasks: JoinSet<String> = JoinSet::new();
    let mut running: HashSet<String> = HashSet::new();
    let lanes = Lane::ALL.map(|lane| (lane, Arc::new(Semaphore::new(room(lane)))));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        while let Some(ended) = tasks.try_join_next() {
            forget(&mut running, ended);
        }
        for (lane, places) in &lanes {
            while let Ok(place) = places.clone().try_acquire_owned() {
                let job = match context.store.take_job(&context.owner, LEASE, *lane).await {
                    Ok(Some(job)) => job,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "jobs cannot be read");
                        break;
                    }
                };
                // Its lease ran out while this process could not renew it, and is renewed by this.
                if running.insert(job.id.clone()) {
                    tasks.spawn(run_guarded(context.clone(), job, place, stop.clone()));
                }
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

fn forget(running: &mut HashSet<String>, ended: Result<String, tokio::task::JoinError>) {
    match ended {
        Ok(id) => {
            running.remove(&id);
        }
        // Caught where a job is run; what is left would be a defect of this file.
        Err(error) => tracing::error!(%error, "a job ended without a word"),
    }
}

/// Runs one job and tells its id; a panic ends the job, and neither the others nor the process.
async fn run_guarded(context: Context, job: Job, place: Place, stop: CancellationToken) -> String {
    let ended = if let Ok(ended) = AssertUnwindSafe(run_one(&context, &job, place, &stop)).catch_unwind().await {
        ended
    } else {
        tracing::error!(job = %job.id, kind = %job.kind, "a job panicked; that is a defect, please report it");
        end(&context, &job, "failed", None, Some("the work on it panicked; that is a defect, please report it")).await
    };
    if let Err(error) = ended {
        tracing::error!(code = error.code(), %error, job = %job.id, kind = %job.kind, "a job could not be stored; it goes on later");
    }
    job.id
}

/// Stores a reconcile job for every active connection whose last one ended longer ago than the period, however it
/// ended: at once after a longer stop, for Abaha sends a webhook three times at most.
pub async fn reconcile_every(context: Context, every: Duration, stop: CancellationToken) {
    let mut tick = tokio::time::interval(every.min(Duration::from_secs(30)));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let Some(held) = context.snapshot.get() else { continue };
        for (name, row) in &held.0.connections {
            if row.connection.state != State::Active {
                continue;
            }
            if let Err(error) = reconcile_when_due(&context, name, row.connection.activated_at, every).await {
                tracing::warn!(code = error.code(), %error, connection = %name, "reconcile could not be started");
            }
        }
    }
}

async fn reconcile_when_due(
    context: &Context,
    name: &str,
    activated_at: Millis,
    every: Duration,
) -> Result<(), StoreError> {
    let ended = context.store.last_ended("reconcile", name).await?;
    if is_due(ended, activated_at, context.clock.now(), every) {
        context.store.add_job("reconcile", name, "{}").await?;
    }
    Ok(())
}

/// One that failed or was stopped by hand counts like any other: begun again at once, it would do so for ever.
fn is_due(ended: Option<Millis>, activated_at: Millis, now: Millis, every: Duration) -> bool {
    now - ended.unwrap_or(activated_at) >= millis(every)
}

/// Tells in `/metrics` what the last reconcile of each active connection found, until stopped: as it is stored, whoever
/// ran it. Who stops tells of nothing any more.
pub async fn tell_found(context: Context, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TOLD);
    let mut told = BTreeSet::new();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        match context.store.last_found("reconcile").await {
            Ok(rows) => {
                let found: BTreeMap<String, i64> = rows
                    .into_iter()
                    .filter_map(|(connection, found)| Some((connection, events_of(&found?)?)))
                    .collect();
                // What was told before is told anew, where it ended too.
                told.extend(found.keys().cloned());
                set_found(&told, &found);
            }
            Err(error) => tracing::debug!(%error, "what reconciles found cannot be read"),
        }
    }
    set_found(&told, &BTreeMap::new());
}

fn set_found(connections: &BTreeSet<String>, found: &BTreeMap<String, i64>) {
    for connection in connections {
        let events = found.get(connection).copied().unwrap_or(0);
        metrics::gauge!("sapo_sync_reconcile_found", "connection" => connection.clone()).set(events as f64);
    }
}

/// The events that a stored [`Summary`] tells of.
fn events_of(summary: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Told {
        events: i64,
    }
    Some(serde_json::from_str::<Told>(summary).ok()?.events)
}

/// Runs one job that is held.
async fn run_one(context: &Context, job: &Job, place: Place, stop: &CancellationToken) -> Result<(), StoreError> {
    let ended = match job.kind.as_str() {
        many::KIND => many::run(context, job, stop).await,
        links::KIND => links::run(context, job, stop).await,
        preflight::KIND => preflight::run(context, job, stop).await,
        _ => walk_and_wait(context, job, place, stop).await,
    };
    match ended {
        Ok(summary) => {
            let text = serde_json::to_string(&summary).unwrap_or_default();
            tracing::info!(job = %job.id, kind = %job.kind, connection = %job.connection, events = summary.events, dead = summary.dead, parked = summary.parked, "job done");
            end(context, job, "done", Some(&text), None).await
        }
        Err(WalkError::Stopped) if stop.is_cancelled() => context.store.let_go_job(&job.id, &context.owner).await,
        Err(WalkError::Stopped) => end(context, job, "stopped", None, Some("stopped by hand")).await,
        Err(WalkError::Store(error)) => Err(error),
        Err(error) => end(context, job, "failed", None, Some(&error.to_string())).await,
    }
}

/// Ends a job, unless somebody else has taken it over; what was found so far stays where nothing better is known.
async fn end(
    context: &Context,
    job: &Job,
    state: &str,
    found: Option<&str>,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let store = &context.store;
    let is_replay = job.kind == many::KIND;
    let mut reason = reason.map(ToOwned::to_owned);
    let mut told = found.unwrap_or_default().to_owned();
    if found.is_none() {
        told = store.job(&job.id).await?.map_or_else(|| "{}".to_owned(), |now| now.found);
    }
    let left = if is_replay { Some(many::left(store, job).await?) } else { None };
    if let (Some(why), Some(left)) = (&mut reason, &left) {
        *why = format!("{why}; {left}");
    }
    let mut tx = store.begin().await?;
    let held = store.finish_job(&mut tx, &job.id, &context.owner, state, &told, reason.as_deref()).await?;
    if let Some(left) = left.filter(|_| held) {
        store.audit(&mut tx, ACTOR, "dead replay many ended", &job.id, &format!("{state}: {left}")).await?;
    }
    Ok(tx.commit().await?)
}

async fn walk_and_wait(
    context: &Context,
    job: &Job,
    place: Place,
    stop: &CancellationToken,
) -> Result<Summary, WalkError> {
    let mode = Mode::from_word(&job.kind)
        .ok_or_else(|| WalkError::Setup(format!("this version knows no job {:?}", job.kind)))?;
    context.snapshot.refresh().await?;
    let held = context.snapshot.get().ok_or_else(|| WalkError::Setup("no connections are known yet".to_owned()))?;
    let account = held
        .0
        .connections
        .get(&job.connection)
        .cloned()
        .ok_or_else(|| WalkError::Setup(format!("there is no connection {:?}", job.connection)))?;
    if account.connection.state != State::Active && mode != Mode::Plan {
        let state = account.connection.state;
        let reason = account.state_reason.as_deref().filter(|_| state != State::Paused);
        let reason = reason.unwrap_or("`sapo-sync connect resume` goes on");
        return Err(WalkError::Setup(format!("connection {} is {state}: {reason}", job.connection)));
    }
    let last = context.store.last_job("reconcile", &job.connection).await?;
    let event = walk_event(&account.connection, &job.id, context.clock.now());
    let channel = account.connection.channel;
    let pace = Pace::new(context, job, mode, &event, account, stop.clone(), since(mode, last.as_ref()))?;
    let (found, position) = match channel {
        System::Web => web::walk(pace).await?,
        System::Abaha | System::Omni => Walk::new(pace).walk().await?,
    };
    // What is waited for may take hours, where a shop is throttled or fails: nothing of that is work of a lane.
    drop(place);
    wait_for_events(context, job, &found, &position, stop).await?;
    summary(context, &job.id, found).await.map_err(Into::into)
}

/// Waits until every event of the job has an outcome that only a person or another object can change.
async fn wait_for_events(
    context: &Context,
    job: &Job,
    found: &Found,
    position: &Position,
    stop: &CancellationToken,
) -> Result<(), WalkError> {
    let published = position.published;
    let position = serde_json::to_string(position).unwrap_or_default();
    let (mut before, mut wait) = (None, TICK);
    loop {
        let codes = context.store.job_codes(&job.id).await?;
        let settled: i64 = codes.iter().map(|row| row.2).sum();
        let waits = codes.iter().any(|(outcome, code, _)| {
            outcome == "parked" && !matches!(code.as_str(), "unlinked_product" | "ambiguous" | "paused" | "setup")
        });
        if settled >= published && !waits {
            return Ok(());
        }
        let mut now = found.clone();
        now.stage = format!("working: {settled} of {published} events");
        let text = serde_json::to_string(&now).unwrap_or_default();
        if stop.is_cancelled() || !context.store.keep_job(&job.id, &context.owner, LEASE, &position, &text).await? {
            return Err(WalkError::Stopped);
        }
        wait = if before == Some(settled) { SLOW_TICK.min(wait * 2) } else { TICK };
        before = Some(settled);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

async fn summary(context: &Context, job: &str, found: Found) -> Result<Summary, StoreError> {
    let outcomes = context.store.job_outcomes(job).await?;
    let of = |word: &str| outcomes.iter().find(|row| row.0 == word).map_or(0, |row| row.1);
    Ok(Summary {
        errors: found
            .actions
            .iter()
            .filter(|(name, _)| name.split_once('.').is_some_and(|(_, action)| action == "error"))
            .map(|(_, n)| n)
            .sum(),
        found: found.actions,
        checked: found.checked,
        events: found.published,
        done: of("done"),
        skipped: of("skipped"),
        parked: of("parked"),
        dead: of("dead"),
        codes: context.store.job_codes(job).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconcile_is_due_a_period_after_the_last_one_ended_or_the_connection_began() {
        let every = Duration::from_mins(1);
        assert!(!is_due(None, 1_000, 60_999, every));
        assert!(is_due(None, 1_000, 61_000, every));
        assert!(!is_due(Some(50_000), 1_000, 109_999, every));
        assert!(is_due(Some(50_000), 1_000, 110_000, every));
    }

    #[test]
    fn how_much_was_found_is_read_of_a_summary_and_of_nothing_else() {
        let summary = Summary { events: 25, ..Summary::default() };
        assert_eq!(events_of(&serde_json::to_string(&summary).unwrap()), Some(25));
        assert_eq!(events_of("{}"), None);
    }
}
