//! The straight way of one event. Read this first.
//!
//! Load what is known → get the object's current state → decide → map → call → record → outcome. What is settled
//! with the outcome is in `settle`.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::context::{Context, Halt, Left, Run, SETTINGS, outcome_of};
use super::{buyer, customers, order_in, order_out, products, shop, web};
use crate::destination::{CallError, WireError};
use crate::domain::clock::Millis;
use crate::domain::connection::State;
use crate::domain::envelope;
use crate::domain::event::{Event, Kind, Shape, System};
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::topic;
use crate::store::StoreError;
use crate::store::objects::Settled;

/// What became of an event, not yet recorded.
pub struct Processed {
    /// The outcome.
    pub outcome: Outcome,
    /// Story, state and follow-ups.
    pub left: Left,
    /// The account on the other side, for parking.
    pub account: String,
}

/// Works on one event; `dry` writes nothing anywhere and says what it would do.
pub async fn process(context: &Context, event: &Event, dry: bool) -> Result<Processed, StoreError> {
    let Some(snapshot) = context.snapshot.get() else {
        return Err(StoreError::NotFound("no connections are known yet".to_owned()));
    };
    let found = snapshot.0.connections.get(&event.key.connection);
    let account =
        found.map_or_else(|| event.key.connection.clone(), |row| row.connection.target_account(event.key.source));
    let plain = |outcome| Processed { outcome, left: Left::nothing(), account: account.clone() };
    // Before the connection is looked for: a stranger's message names none, and is not to vanish.
    if event.shape == Shape::Unreadable {
        let reason = match found {
            Some(_) => "the body is rightly signed but is not a readable object; ask the sender what it is",
            None => "it cannot be read, and no connection goes by its name; find out who publishes to these queues",
        };
        return Ok(plain(Outcome::dead("unreadable", reason)));
    }
    let Some((row, store)) = found.and_then(|row| Some((row, snapshot.0.stores.get(&row.connection.store)?))) else {
        return Ok(plain(Outcome::skipped("not_connected", "the connection is not there any more")));
    };
    let run = match Run::new(context, event, store, Arc::clone(row), dry) {
        Ok(run) => run,
        Err(error) => return Ok(plain(Outcome::parked(Cause::Setup, None, error.to_string()))),
    };
    let outcome = match straight_way(&run).await {
        Err(Halt::Call(error @ CallError::Unauthorised { .. })) => shop::refused(&run, error).await,
        other => other,
    };
    let outcome = match outcome {
        Ok(outcome) | Err(Halt::Outcome(outcome)) => outcome,
        Err(Halt::Call(error)) => outcome_of(error),
        Err(Halt::Store(error)) => return Err(error),
    };
    let outcome = unless_set_anew(&run, outcome).await?;
    Ok(Processed { outcome, left: run.left(), account })
}

/// What waits for other settings is looked at again at once where they were changed meanwhile: their change may have
/// woken it before this process knew of them.
async fn unless_set_anew(run: &Run<'_>, outcome: Outcome) -> Result<Outcome, StoreError> {
    match outcome {
        Outcome::Parked { cause: Cause::Setup, cause_key: Some(key), reason, due } if key == SETTINGS && !run.dry => {
            run.context.snapshot.refresh().await?;
            let held = run.context.snapshot.get();
            let now = held.as_ref().and_then(|held| held.0.connections.get(run.name()));
            let changed = now.is_some_and(|row| row.connection.settings != run.connection().settings);
            let due = if changed { Some(run.context.clock.now()) } else { due };
            Ok(Outcome::Parked { cause: Cause::Setup, cause_key: Some(key), reason, due })
        }
        outcome => Ok(outcome),
    }
}

async fn straight_way(run: &Run<'_>) -> Result<Outcome, Halt> {
    let event = run.event;
    match run.connection().state {
        State::Active => {}
        State::Paused | State::NoAccess if run.dry => {}
        State::Paused => {
            return Ok(Outcome::parked(
                Cause::Paused,
                Some("paused".to_owned()),
                "the connection is paused; `sapo-sync connect resume` goes on",
            ));
        }
        // It looks by itself whether the token is taken, and may be what explains that it is not.
        State::NoAccess if is_of_shop(event) => {}
        State::NoAccess => shop::look_again(run).await?,
        State::Stopped => {
            return Ok(Outcome::skipped(
                "stopped",
                "the connection is stopped: the shop took our access away; connect it again",
            ));
        }
    }
    if (event.key.source, event.key.kind) == (System::Omni, Kind::Customer) {
        buyer::wake(run).await?;
    }
    match (run.connection().channel, event.key.source, event.key.kind) {
        (_, _, Kind::Shop) if is_of_shop(event) => shop::process(run).await,
        (_, _, Kind::Shop) => Ok(Outcome::skipped(
            "topic_not_synchronised",
            format!("the topic {:?} is not one that is synchronised", event.topic),
        )),
        (System::Abaha, System::Omni, Kind::Product) => products::process(run).await,
        (System::Abaha, System::Omni, Kind::Customer) => customers::process(run).await,
        (System::Abaha, System::Omni, Kind::Order) => order_out::process(run).await,
        (System::Abaha, System::Abaha, Kind::Order) => order_in::process(run).await,
        (System::Web, System::Omni, Kind::Product) => web::products::process(run).await,
        (System::Web, System::Web, Kind::Product) => web::products::channel_changed(run).await,
        (System::Web, System::Web, Kind::Order) => web::order_in::process(run).await,
        (System::Web, System::Omni, Kind::Order) => web::order_out::process(run).await,
        (System::Web, _, Kind::Customer) => Ok(Outcome::skipped(
            "direction_not_synchronised",
            "customers reach the POS with the orders of a web, not by themselves",
        )),
        (_, _, Kind::Product | Kind::Customer) => {
            Ok(Outcome::skipped("direction_not_synchronised", "products and customers go from Sapo to Abaha, not back"))
        }
        (_, source, Kind::Order) => Ok(Outcome::skipped(
            "direction_not_synchronised",
            format!("the connection joins no {source} order to anything"),
        )),
    }
}

/// Whether it tells that the shop took our access away; events of unknown topics have no other kind either.
fn is_of_shop(event: &Event) -> bool {
    event.key.kind == Kind::Shop
        && event.key.source != System::Abaha
        && topic::lookup(event.key.source, &event.topic).is_some()
}

/// The current state of an event's object.
pub enum Current<T> {
    /// This.
    Is(T),
    /// Deleted, as a read has shown.
    Gone,
}

/// Gets the state that is to be applied: the body's, where it is whole and newer than what was settled; else what the
/// object's own API says now.
pub async fn current<T>(
    run: &Run<'_>,
    parse: fn(&[u8]) -> Result<T, WireError>,
    version: fn(&T) -> Option<Millis>,
    read: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<Current<T>, Halt> {
    let event = run.event;
    let hash = content_hash(event);
    if !event.must_be_read() {
        let known = run.store().settled(&event.key).await?;
        match order(known.as_ref(), event, &hash) {
            Order::Stale => {
                return Err(Outcome::skipped("stale", "a newer state of it was settled before").into());
            }
            Order::Same if !event.force && !run.dry => {
                return Err(Outcome::skipped("unchanged", "this very state was settled before").into());
            }
            Order::Newer | Order::Same => {
                if let Ok(object) = parse(&event.body) {
                    run.applies(Settled { version: event.version, hash, gone: 0 });
                    return Ok(Current::Is(object));
                }
                run.step("read", "the body lacks something; the object is read");
            }
            Order::Unknown => run.step("read", "its version does not tell whether it is newer; the object is read"),
        }
    }
    match read.await {
        Ok(object) => {
            run.applies(Settled { version: version(&object), hash, gone: 0 });
            Ok(Current::Is(object))
        }
        Err(CallError::NotFound { .. }) => {
            run.applies(Settled { version: event.version, hash, gone: 1 });
            Ok(Current::Gone)
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Newer,
    Same,
    Stale,
    Unknown,
}

/// Compares a whole state with the last settled one of the same object. Times have whole seconds only, so an equal
/// time with other content tells nothing.
fn order(known: Option<&Settled>, event: &Event, hash: &str) -> Order {
    match (known, event.version) {
        (None, Some(_)) => Order::Newer,
        (Some(known), _) if known.gone == 1 => Order::Unknown,
        (Some(known), version) if known.hash == hash && known.version == version => Order::Same,
        (Some(Settled { version: Some(old), .. }), Some(new)) if new > *old => Order::Newer,
        (Some(Settled { version: Some(old), .. }), Some(new)) if new < *old => Order::Stale,
        _ => Order::Unknown,
    }
}

/// A hash of the object that a body holds: Abaha's envelope also tells when it was sent.
fn content_hash(event: &Event) -> String {
    match serde_json::from_slice(&event.body) {
        Ok(value) if event.key.source == System::Abaha => hash(envelope::abaha_object(&value).to_string().as_bytes()),
        _ => hash(&event.body),
    }
}

/// A short hash of a body.
pub fn hash(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::ObjectKey;
    use bytes::Bytes;

    #[test]
    fn states_of_one_object_are_ordered_by_their_own_version_alone() {
        let key = ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Order, object_id: "1".into() };
        let mut event = Event::new(key, "s", "orders/update", Shape::Whole, 0, Bytes::from_static(b"x"));
        let known = |version, hash: &str| Settled { version, hash: hash.to_owned(), gone: 0 };
        let hash = "h";
        event.version = Some(5);
        assert_eq!(order(None, &event, hash), Order::Newer);
        assert_eq!(order(Some(&known(Some(4), "a")), &event, hash), Order::Newer);
        assert_eq!(order(Some(&known(Some(6), "a")), &event, hash), Order::Stale);
        assert_eq!(order(Some(&known(Some(5), "a")), &event, hash), Order::Unknown);
        assert_eq!(order(Some(&known(Some(5), "h")), &event, hash), Order::Same);
        assert_eq!(order(Some(&Settled { gone: 1, ..known(Some(4), "a") }), &event, hash), Order::Unknown);
        event.version = None;
        assert_eq!(order(None, &event, hash), Order::Unknown);
    }
}
