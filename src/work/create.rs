//! Creating what must exist once: write an intent, send, record; after a crash or a lost answer look up before
//! anything is sent again.

use std::time::Duration;

use super::context::{Halt, LEASE, Run};
use crate::destination::{CallError, Done};
use crate::domain::clock::millis;
use crate::domain::outcome::{Cause, Outcome};
use crate::observe::crash;
use crate::store::Tx;
use crate::store::intents::{Intent, IntentKey, Taken};
use crate::store::links::Link;

/// How often the other side is asked for work whose outcome is unknown before it is sent again: an API may commit
/// long after our time-out.
const LOOKUPS: i64 = 2;

/// How the object came to exist.
pub enum Created<T> {
    /// It was made by this very call.
    Now(T),
    /// A look-up found what an earlier attempt had made.
    Found(T),
    /// It was recorded before; its id.
    Before(String),
}

/// What is to be created, and from what.
pub struct Creation<'a> {
    /// Unique by target account, kind and natural key.
    pub key: &'a IntentKey,
    /// The object on the source side.
    pub source_id: &'a str,
    /// What else identifies the result.
    pub fingerprint: Option<&'a str>,
    /// It is not to be created any more, and why: what an earlier attempt made is still found, nothing is sent.
    pub refused: Option<Outcome>,
}

/// Whether something was sent for this key and it is not known what became of it.
pub async fn is_unknown(run: &Run<'_>, key: &IntentKey) -> Result<bool, Halt> {
    let intent = run.store().intent(&key.account, key.kind, &key.natural_key).await?;
    Ok(!run.dry && intent.is_some_and(|intent| intent.result_id.is_none()))
}

/// Creates something once. `look_up` finds what an earlier attempt may have made; `send` makes it. Both are polled
/// only when it is their turn.
pub async fn once<T>(
    run: &Run<'_>,
    creation: &Creation<'_>,
    look_up: impl Future<Output = Result<Option<T>, Halt>> + Send,
    send: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<Created<T>, Halt> {
    if run.dry {
        return Ok(Created::Now(send.await?));
    }
    let store = run.store();
    let taken = store
        .take_intent(creation.key, run.name(), creation.source_id, creation.fingerprint, &run.context.owner, LEASE)
        .await?;
    let intent = match taken {
        Taken::Done(id) => return Ok(Created::Before(id)),
        Taken::Held { until } => {
            // Whoever creates it wakes this row; the due time is only for the case that it parks a moment later.
            let soon = run.context.clock.after(Duration::from_secs(2)).min(until);
            return Err(wait(run, creation, soon, "it is being created just now").into());
        }
        Taken::New(intent) => intent,
        Taken::Again(intent) => match settle_unknown(run, creation, intent, look_up).await? {
            Unknown::Found(object) => return Ok(Created::Found(object)),
            Unknown::SendAgain(intent) => intent,
        },
    };
    if let Some(refused) = &creation.refused {
        store.drop_intent(&intent).await?;
        return Err(refused.clone().into());
    }
    crash::point("intent_written");
    let sent = send.await;
    crash::point("sent");
    match sent {
        Ok(object) => Ok(Created::Now(object)),
        Err(error) => {
            let unknown = matches!(&error, CallError::Failing { done: Done::Unknown, .. });
            if !unknown {
                store.drop_intent(&intent).await?;
                return Err(error.into());
            }
            store.intent_unknown(&intent).await?;
            run.step(
                "unknown",
                format!(
                    "the call may have been carried out ({}); it is looked up before it is sent again",
                    error.code()
                ),
            );
            Err(wait(run, creation, run.context.clock.after(run.context.settle_after), "a call's outcome is unknown")
                .into())
        }
    }
}

#[allow(clippy::large_enum_variant)] // made once, matched at once
enum Unknown<T> {
    Found(T),
    SendAgain(Intent),
}

async fn settle_unknown<T>(
    run: &Run<'_>,
    creation: &Creation<'_>,
    intent: Intent,
    look_up: impl Future<Output = Result<Option<T>, Halt>> + Send,
) -> Result<Unknown<T>, Halt> {
    let store = run.store();
    let not_before = intent.unknown_at.unwrap_or(intent.sent_at) + millis(run.context.settle_after);
    if run.context.clock.now() < not_before {
        store.intent_let_go(&intent).await?;
        return Err(wait(run, creation, not_before, "an earlier call's outcome is unknown").into());
    }
    match look_up.await {
        Ok(Some(object)) => {
            run.step("found", "an earlier attempt had created it; nothing is sent again");
            Ok(Unknown::Found(object))
        }
        Ok(None) if intent.lookups + 1 >= LOOKUPS => {
            if !store.intent_sent_again(&intent, LEASE).await? {
                let soon = run.context.clock.after(Duration::from_secs(2));
                return Err(wait(run, creation, soon, "the look-up took so long that somebody else took over").into());
            }
            run.step("not_found", "looked up twice in vain; it is sent again");
            Ok(Unknown::SendAgain(intent))
        }
        Ok(None) => {
            store.intent_not_found(&intent).await?;
            run.step("not_found", "not there yet; it is looked up once more before it is sent again");
            Err(wait(
                run,
                creation,
                run.context.clock.after(run.context.settle_after),
                "an earlier call's outcome is unknown",
            )
            .into())
        }
        Err(halt) => {
            store.intent_let_go(&intent).await?;
            Err(halt)
        }
    }
}

fn wait(run: &Run<'_>, creation: &Creation<'_>, due: i64, why: &str) -> Outcome {
    let due = due.min(run.context.clock.after(run.context.recheck));
    let reason = format!("{why}; it is looked at again soon, so that nothing is created twice");
    Outcome::Parked { cause: Cause::IntentPending, cause_key: Some(pending_key(creation.key)), reason, due: Some(due) }
}

/// The cause key of rows that wait for an intent.
pub fn pending_key(key: &IntentKey) -> String {
    format!("intent:{}:{}:{}", key.account, key.kind, key.natural_key)
}

/// Records a link and, in the same transaction, the intent that made it; then wakes what waited for either.
pub async fn record_link(
    run: &Run<'_>,
    link: &mut Link,
    key: Option<&IntentKey>,
    wakes: &[String],
) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    crash::point("before_link");
    let mut tx = run.store().begin().await?;
    record_in(run, &mut tx, link, key).await?;
    tx.commit().await?;
    crash::point("link_written");
    wake(run, key, wakes).await
}

/// [`record_link`] of what was just made or met, unless somebody was faster: then nothing is written, and what is known
/// is told, which may be newer.
pub async fn record_first(
    run: &Run<'_>,
    link: &mut Link,
    key: Option<&IntentKey>,
    wakes: &[String],
) -> Result<Option<Link>, Halt> {
    if run.dry {
        return Ok(None);
    }
    crash::point("before_link");
    let mut tx = run.store().begin().await?;
    if let Some(known) = run.store().link_before(&mut tx, link).await?
        && known.channel_id == link.channel_id
    {
        return Ok(Some(known));
    }
    record_in(run, &mut tx, link, key).await?;
    tx.commit().await?;
    crash::point("link_written");
    wake(run, key, wakes).await?;
    Ok(None)
}

/// [`record_link`] in a transaction of the caller's, who wakes what waited once it is committed.
pub async fn record_in(run: &Run<'_>, tx: &mut Tx, link: &mut Link, key: Option<&IntentKey>) -> Result<(), Halt> {
    let store = run.store();
    if let Some(key) = key {
        let other_side = result_id(link, key);
        if let Some(other) =
            store.complete_intent(tx, &key.account, key.kind.as_str(), &key.natural_key, other_side).await?
        {
            link.fail(
                "two_objects_one_mark",
                format!("two objects carry one mark: {other} and {other_side}; remove one of them by hand"),
            );
        }
    }
    Ok(store.put_link(tx, link).await?)
}

/// Wakes what waits for an intent or another cause that is gone.
pub async fn wake(run: &Run<'_>, key: Option<&IntentKey>, causes: &[String]) -> Result<(), Halt> {
    for cause in causes.iter().cloned().chain(key.map(pending_key)) {
        run.store().bring_forward(run.name(), &cause).await?;
    }
    Ok(())
}

/// Records what a call has made that no link tells of: a customer for one order, a payment.
pub async fn record_made(run: &Run<'_>, key: &IntentKey, result_id: &str) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let mut tx = run.store().begin().await?;
    run.store().complete_intent(&mut tx, &key.account, key.kind.as_str(), &key.natural_key, result_id).await?;
    tx.commit().await?;
    wake(run, Some(key), &[]).await
}

/// The id of what was made: the link's side that the intent's account is on.
fn result_id<'a>(link: &'a Link, key: &IntentKey) -> &'a str {
    if key.account.starts_with("omni:") { &link.sapo_id } else { &link.channel_id }
}
