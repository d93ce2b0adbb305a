//! Releases parked rows when they are due: orders first, every class keeps a tenth, never more of an account than its
//! line has room for.
//!
//! Each worker releases the rows of its own queues, for it alone knows how much room its lines have.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::queues::Wanted;
use crate::broker::{BrokerError, Queue};
use crate::destination::Class;
use crate::domain::event::Kind;
use crate::store::StoreError;

/// How often due rows are looked for.
const TICK: Duration = Duration::from_millis(200);
/// How long one look may take before it is given up: the network may be cut.
const PATIENCE: Duration = Duration::from_mins(1);

/// A release that failed; it is tried again.
#[derive(Debug, thiserror::Error)]
enum ReleaseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the state database does not answer")]
    Silent,
}

/// Releases due rows until stopped.
pub async fn release(context: Context, wanted: Wanted, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let released = tokio::time::timeout(PATIENCE, release_due(&context, &wanted));
        match released.await.unwrap_or(Err(ReleaseError::Silent)) {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(%error, "parked rows cannot be released; they wait");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

async fn release_due(context: &Context, wanted: &Wanted) -> Result<(), ReleaseError> {
    if wanted.is_some() {
        hear_of_closed(context).await?;
    }
    let mut accounts: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    for (account, connection, kind) in context.store.due_accounts().await? {
        if let Some(kind) = Kind::from_word(&kind)
            && is_ours(context, wanted, &connection, kind)
        {
            accounts.entry(account).or_default().push(kind);
        }
    }
    for (account, kinds) in accounts {
        let due = Due { context, account: &account, kinds: &kinds };
        let orders = context.limits.free(&account, Class::Order);
        due.release(0, 0, orders).await?;
        let mut rest = context.limits.free(&account, Class::Product);
        let tenth = rest.div_ceil(10);
        for class in [3, 2] {
            rest -= due.release(class, class, tenth.min(rest)).await?;
        }
        due.release(1, 3, rest).await?;
    }
    Ok(())
}

/// Whether rows of a connection and kind are this worker's to release.
fn is_ours(context: &Context, wanted: &Wanted, connection: &str, kind: Kind) -> bool {
    let (Some(wanted), Some(partitions)) = (wanted, context.broker.partitions()) else { return true };
    let held = context.snapshot.get();
    // What belongs to no connection any more is released by one worker all the same, to be told so.
    let store = held.and_then(|held| Some(held.0.connections.get(connection)?.connection.store.clone()));
    let partition = Queue::partition_of(store.as_deref().unwrap_or(connection), partitions);
    wanted.borrow().contains(&Queue { kind: Queue::kind_of(kind), partition })
}

/// Takes over what other processes have learned of throttled and failing accounts.
async fn hear_of_closed(context: &Context) -> Result<(), StoreError> {
    let closed = context.store.closed_accounts().await?;
    for (account, row) in &closed {
        context.limits.close_until(account, row.not_before);
    }
    context.note_failing(closed.into_keys());
    Ok(())
}

/// The due rows of an account that are to be released.
struct Due<'a> {
    context: &'a Context,
    account: &'a str,
    kinds: &'a [Kind],
}

impl Due<'_> {
    /// Publishes each row with a confirm, then deletes it, unless it changed since it was read.
    async fn release(&self, from: i64, to: i64, room: usize) -> Result<usize, ReleaseError> {
        if room == 0 {
            return Ok(0);
        }
        let store = &self.context.store;
        let due = store.due(self.account, self.kinds, from, to, i64::try_from(room).unwrap_or(i64::MAX)).await?;
        for row in &due {
            self.context.broker.publish(&row.event).await?;
            crate::observe::crash::point("released");
            store.released(row).await?;
        }
        Ok(due.len())
    }
}
