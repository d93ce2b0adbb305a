//! Replays dead letters: the run is raised, the object is read anew where it can be, the event goes the same way again.
//!
//! A replay is parked with a due time of now, in one transaction with the letter's new state; whoever releases rows
//! publishes it. So a command needs no access to the queue, and nothing is replayed twice or lost between two files.

use crate::domain::event::{Event, Shape};
use crate::domain::outcome::Cause;
use crate::store::cache::SnapshotCache;
use crate::store::dead_letters::DeadLetter;
use crate::store::parked::ToPark;
use crate::store::{Store, StoreError, Tx};

pub mod many;

/// The class of a letter replayed by hand: it is released first.
const FIRST: i64 = 0;
/// The class of the letters of a replay of many: they are released when nothing else has to go, like an import's.
const LAST: i64 = 3;

/// Replays one letter. `false` where somebody replayed or discarded it before.
pub async fn replay(
    store: &Store,
    snapshot: &SnapshotCache,
    letter: &DeadLetter,
    actor: &str,
) -> Result<bool, StoreError> {
    let Some(event) = store.letter_event(&letter.event_id, letter.run).await? else { return Ok(false) };
    let event = raised(event, None);
    let mut tx = store.begin().await?;
    let replayed = send_again(store, &mut tx, snapshot, &event, FIRST).await?;
    if replayed {
        store.audit(&mut tx, actor, "dead replay", &letter.event_id, &letter.code).await?;
    }
    tx.commit().await?;
    Ok(replayed)
}

/// The event as it goes again: the next run, with nothing used up. A job's calls come after everybody else's.
fn raised(mut event: Event, job: Option<&str>) -> Event {
    event.run += 1;
    event.attempts = 0;
    event.parked_since = None;
    event.read = event.shape != Shape::Unreadable;
    event.force = true;
    event.job = job.map(ToOwned::to_owned);
    event
}

/// Marks the letter of a raised event as replayed, and parks the event, due now, in the same transaction.
async fn send_again(
    store: &Store,
    tx: &mut Tx,
    snapshot: &SnapshotCache,
    event: &Event,
    class: i64,
) -> Result<bool, StoreError> {
    let run = i64::from(event.run) - 1;
    if !store.take_letter(tx, &event.id.to_string(), run, event.job.as_deref()).await? {
        return Ok(false);
    }
    let held = snapshot.get();
    let account = held.and_then(|held| {
        Some(held.0.connections.get(&event.key.connection)?.connection.target_account(event.key.source))
    });
    let park = ToPark {
        event,
        account: account.as_deref().unwrap_or(&event.key.connection),
        class,
        cause: Cause::Replay,
        cause_key: None,
        reason: "replayed by hand",
        due_at: store.clock().now(),
    };
    store.park(tx, &park).await?;
    Ok(true)
}

/// Discards one letter: it is kept, and no longer shown as open.
pub async fn discard(store: &Store, letter: &DeadLetter, actor: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let open = store.set_letter_state(&mut tx, &letter.event_id, letter.run, "discarded").await?;
    store.audit(&mut tx, actor, "dead discard", &letter.event_id, &letter.code).await?;
    tx.commit().await?;
    Ok(open)
}
