//! Replays dead letters: the run is raised, the object is read anew where it can be, the event goes the same way again.
//!
//! A replay is parked with a due time of now, in one transaction with the letter's new state; whoever releases rows
//! publishes it. So a command needs no access to the queue, and nothing is replayed twice or lost between two files.

use crate::domain::event::Shape;
use crate::domain::outcome::Cause;
use crate::store::cache::SnapshotCache;
use crate::store::dead_letters::DeadLetter;
use crate::store::parked::ToPark;
use crate::store::{Store, StoreError};

/// Replays one letter. `false` where somebody replayed or discarded it before.
pub async fn replay(
    store: &Store,
    snapshot: &SnapshotCache,
    letter: &DeadLetter,
    actor: &str,
) -> Result<bool, StoreError> {
    let Some(mut event) = store.letter_event(&letter.event_id, letter.run).await? else {
        return Ok(false);
    };
    event.run += 1;
    event.attempts = 0;
    event.parked_since = None;
    event.read = event.shape != Shape::Unreadable;
    event.force = true;
    let mut tx = store.begin().await?;
    if !store.set_letter_state(&mut tx, &letter.event_id, letter.run, "replayed").await? {
        return Ok(false);
    }
    let held = snapshot.get();
    let account = held.and_then(|held| {
        Some(held.0.connections.get(&event.key.connection)?.connection.target_account(event.key.source))
    });
    let park = ToPark {
        event: &event,
        account: account.as_deref().unwrap_or(&event.key.connection),
        class: 0,
        cause: Cause::Replay,
        cause_key: None,
        reason: "replayed by hand",
        due_at: store.clock().now(),
    };
    store.park(&mut tx, &park).await?;
    store.audit(&mut tx, actor, "dead replay", &letter.event_id, &letter.code).await?;
    tx.commit().await?;
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
