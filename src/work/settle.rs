//! The only place that turns an outcome into ack, park or reject.
//!
//! Code, attempts and last answer are committed before a rejection, for the broker cannot carry a reason. The
//! superseded deliveries of a batch settle after the survivor's outcome is committed.

use std::sync::PoisonError;
use std::time::Duration;

use rand::RngExt as _;

use super::context::{Context, Left, class};
use super::process::{Processed, hash};
use super::window::Batch;
use crate::broker::Delivery;
use crate::destination::Class;
use crate::domain::clock::{Millis, millis};
use crate::domain::event::Event;
use crate::domain::outcome::{Cause, Outcome, Verdict};
use crate::observe::crash;
use crate::store::dead_letters;
use crate::store::ledger::{Settlement, Step};
use crate::store::parked::ToPark;
use crate::store::{StoreError, Tx};

/// Commits what became of a batch, and publishes what follows from it. Only then may its deliveries be acknowledged;
/// tells whether the survivor is to be rejected.
pub async fn commit(context: &Context, batch: &Batch, processed: Processed) -> Result<bool, StoreError> {
    let event = &batch.event;
    let left = processed.left;
    note_account(context, left.last_call, &processed.outcome).await?;
    let decided = decide(context, event, processed.outcome);
    crash::point("before_commit");
    send_on(context, &left.follow_ups).await?;
    let mut steps = left.steps;
    if event.attempts == 0 && event.parked_since.is_none() {
        steps.insert(
            0,
            Step {
                at: event.received_at,
                step: "received".to_owned(),
                text: format!("{} from {}, verified", event.topic, event.key.source),
            },
        );
    }
    steps.push(Step {
        at: context.clock.now(),
        step: decided.verdict.as_str().to_owned(),
        text: format!("{}: {}", decided.code, decided.reason),
    });
    let mut tx = context.store.begin().await?;
    let settlement = Settlement {
        verdict: decided.verdict,
        code: decided.code,
        reason: &decided.reason,
        attempts: decided.attempts,
        steps: &steps,
    };
    context.store.record(&mut tx, event, &settlement, &hash(&event.body)).await?;
    context.store.clear_poison(&mut tx, &event.id.to_string()).await?;
    let mut counted = event.clone();
    counted.attempts = decided.attempts;
    match decided.verdict {
        // A job that asks for some variants of a product says nothing of its others: what is wrong with those stays so.
        Verdict::Done | Verdict::Skipped if event.job.is_some() && !event.asked_variants().is_empty() => {
            context.store.unpark(&mut tx, event, None).await?;
        }
        Verdict::Done | Verdict::Skipped => {
            if let Some(state) = &left.settled {
                context.store.settle_object(&mut tx, &event.key, state).await?;
            }
            let version = left.settled.as_ref().and_then(|state| state.version);
            context.store.unpark(&mut tx, event, version).await?;
            context.store.supersede_letters(&mut tx, &event.key).await?;
        }
        Verdict::Parked => {
            // Resumed while it was worked on: the resume has not seen this row, and does not bring it forward.
            let resumed =
                decided.cause == Cause::Paused && !context.store.is_paused(&mut tx, &event.key.connection).await?;
            let park = ToPark {
                event: &counted,
                account: &processed.account,
                class: class_number(event),
                cause: decided.cause,
                cause_key: decided.cause_key.as_deref(),
                reason: &decided.reason,
                due_at: if resumed { context.clock.now() } else { decided.due },
            };
            context.store.park(&mut tx, &park).await?;
        }
        Verdict::Dead => {
            // Filed with its reason before the broker is told, which cannot carry one; the keeper then finds it filed.
            let verdict = dead_letters::Verdict {
                code: decided.code,
                reason: &decided.reason,
                last_answer: decided.last_answer.as_deref(),
            };
            context.store.file_letter(&mut tx, &counted, verdict).await?;
            context.store.unpark(&mut tx, event, None).await?;
        }
    }
    for older in &batch.superseded {
        record_superseded(context, &mut tx, older.event(), event).await?;
    }
    tx.commit().await?;
    crash::point("committed");
    count(context, event, &decided);
    Ok(decided.verdict == Verdict::Dead)
}

/// Publishes what follows from an event. What the broker does not take now is parked, due at once: the event is not to be
/// worked on again for its sake.
async fn send_on(context: &Context, follow_ups: &[Event]) -> Result<(), StoreError> {
    let mut taken = true;
    for event in follow_ups {
        taken = taken && context.broker.publish(event).await.is_ok();
        if taken {
            continue;
        }
        let park = ToPark {
            event,
            account: &super::account_of(context, event),
            class: class_number(event),
            cause: Cause::Replay,
            cause_key: None,
            reason: "it follows from another change, and the queue took nothing just then",
            due_at: context.clock.now(),
        };
        let mut tx = context.store.begin().await?;
        context.store.park(&mut tx, &park).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Acknowledges a committed batch, the older states first.
pub async fn acknowledge(batch: Batch, dead: bool) {
    for older in batch.superseded {
        answer(older, false).await;
    }
    answer(batch.survivor, dead).await;
}

/// A row that waits for time alone holds its object: a newer delivery joins it and never overtakes `Retry-After`.
pub fn joined(cause: Cause, reason: &str, due: Millis, account: String) -> Processed {
    let outcome = Outcome::Parked { cause, cause_key: None, reason: reason.to_owned(), due: Some(due) };
    Processed { outcome, left: Left::nothing(), account }
}

/// Closes an account that fails again and again, or asks for a long pause; opens it when it works.
async fn note_account(
    context: &Context,
    last_call: Option<(String, &'static str)>,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let Some((account, answer)) = last_call else { return Ok(()) };
    let account = account.as_str();
    let now = context.clock.now();
    let set = |failing: bool| {
        let mut set = context.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing { set.insert(account.to_owned()) } else { set.remove(account) }
    };
    #[allow(clippy::collapsible_match)] // a guard would hide what `set` does
    match outcome {
        Outcome::Failing { code, not_before, .. } => {
            set(true);
            let failures = context.store.close_account(account, not_before.unwrap_or(now), true, code).await?;
            let pause = match u32::try_from(failures - 3) {
                Ok(more) => Duration::from_secs(5 << more.min(4)).min(LONGEST_PAUSE.min(context.recheck)),
                Err(_) => Duration::ZERO,
            };
            let until = not_before.unwrap_or(0).max(now + millis(pause));
            if until > now {
                context.store.close_account(account, until, false, code).await?;
                context.limits.close_until(account, until);
            }
        }
        // Where the last call went well, it was another account's line that had no room.
        Outcome::Parked { cause: Cause::Throttled, due: Some(due), .. }
            if answer == "throttled" && *due > now + millis(LONG_WAIT) =>
        {
            set(true);
            context.store.close_account(account, *due, false, "throttled").await?;
        }
        Outcome::Done { .. } | Outcome::Skipped { .. } => {
            let was_failing = set(false);
            if was_failing {
                context.store.open_account(account).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A failing account is left alone for at most so long before one event tries it again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Waiting longer than this is the other side's wish (`Retry-After`), not our own line.
const LONG_WAIT: Duration = Duration::from_secs(30);

async fn record_superseded(context: &Context, tx: &mut Tx, older: &Event, newer: &Event) -> Result<(), StoreError> {
    let reason = format!("a newer state of the same object was worked on instead (event {})", newer.id);
    let step = Step { at: context.clock.now(), step: "skipped".to_owned(), text: reason.clone() };
    let settlement = Settlement {
        verdict: Verdict::Skipped,
        code: "superseded",
        reason: &reason,
        attempts: older.attempts,
        steps: &[step],
    };
    context.store.record(tx, older, &settlement, &hash(&older.body)).await
}

async fn answer(delivery: Box<dyn Delivery>, dead: bool) {
    let id = delivery.event().id;
    let done = if dead { delivery.reject().await } else { delivery.ack().await };
    if let Err(error) = done {
        // It is delivered again, and found settled.
        tracing::warn!(code = error.code(), %error, event = %id, "a settled event could not be acknowledged; it will come again and change nothing");
    }
}

struct Decided {
    verdict: Verdict,
    code: &'static str,
    reason: String,
    attempts: u32,
    last_answer: Option<String>,
    cause: Cause,
    cause_key: Option<String>,
    due: Millis,
}

fn decide(context: &Context, event: &Event, outcome: Outcome) -> Decided {
    let code = outcome.code();
    let reason = outcome.reason().to_owned();
    let recheck = context.clock.after(context.recheck);
    let plain = |verdict| Decided {
        verdict,
        code,
        reason: reason.clone(),
        attempts: event.attempts,
        last_answer: None,
        cause: Cause::Failing,
        cause_key: None,
        due: recheck,
    };
    match outcome {
        Outcome::Done { .. } => plain(Verdict::Done),
        Outcome::Skipped { .. } => plain(Verdict::Skipped),
        Outcome::Dead { last_answer, .. } => Decided { last_answer, ..plain(Verdict::Dead) },
        Outcome::Parked { cause, cause_key, due, .. } => {
            Decided { cause, cause_key, due: due.unwrap_or(recheck), ..plain(Verdict::Parked) }
        }
        Outcome::Failing { last_answer, not_before, .. } => {
            let attempts = event.attempts + 1;
            match context.schedule.get(event.attempts as usize) {
                Some(wait) => {
                    let due = context.clock.after(jitter(*wait)).max(not_before.unwrap_or(0));
                    Decided { attempts, last_answer, due, ..plain(Verdict::Parked) }
                }
                None => Decided {
                    attempts,
                    last_answer,
                    reason: format!("{reason}; given up after {attempts} attempts"),
                    ..plain(Verdict::Dead)
                },
            }
        }
    }
}

/// Full jitter: anything between nothing and the whole wait, so that those who failed together do not return together.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.0..=1.0))
}

fn class_number(event: &Event) -> i64 {
    match class(event) {
        Class::Order => 0,
        Class::Product => 1,
        Class::Customer => 2,
        Class::Bulk => 3,
    }
}

fn count(context: &Context, event: &Event, decided: &Decided) {
    let (source, kind) = (event.key.source.as_str(), event.key.kind.as_str());
    metrics::counter!("sapo_sync_events_total", "source" => source, "kind" => kind, "outcome" => decided.verdict.as_str(), "code" => decided.code).increment(1);
    // One that waits for a cause is as late as its cause, which says nothing of the workers.
    if decided.verdict != Verdict::Parked {
        let lag = Duration::from_millis(u64::try_from(context.clock.now() - event.received_at).unwrap_or(0));
        metrics::gauge!("sapo_sync_event_lag_seconds", "kind" => kind).set(lag.as_secs_f64());
    }
    let (id, connection) = (event.id, event.key.connection.as_str());
    if decided.verdict == Verdict::Dead {
        tracing::warn!(event = %id, connection, code = decided.code, attempts = decided.attempts, "an event was given up; `sapo-sync dead show {id}` tells why");
    } else {
        tracing::debug!(event = %id, connection, outcome = decided.verdict.as_str(), code = decided.code, "settled");
    }
}
