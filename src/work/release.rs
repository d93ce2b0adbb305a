//! Releases parked rows when they are due: orders first, every class keeps a tenth, never more of an account than its
//! line has room for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::broker::BrokerError;
use crate::destination::Class;
use crate::store::StoreError;

/// How often due rows are looked for.
const TICK: Duration = Duration::from_millis(200);

/// A release that failed; it is tried again.
#[derive(Debug, thiserror::Error)]
enum ReleaseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Releases due rows until stopped.
pub async fn release(context: Context, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    let mut failing = false;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        match release_due(&context).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(%error, "parked rows cannot be released; they wait");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

async fn release_due(context: &Context) -> Result<(), ReleaseError> {
    for account in context.store.due_accounts().await? {
        let orders = context.limits.free(&account, Class::Order);
        release_class(context, &account, 0, 0, orders).await?;
        let mut rest = context.limits.free(&account, Class::Product);
        let tenth = rest.div_ceil(10);
        for class in [3, 2] {
            rest -= release_class(context, &account, class, class, tenth.min(rest)).await?;
        }
        release_class(context, &account, 1, 3, rest).await?;
    }
    Ok(())
}

/// Publishes each row with a confirm, then deletes it, unless it changed since it was read.
async fn release_class(
    context: &Context,
    account: &str,
    from: i64,
    to: i64,
    room: usize,
) -> Result<usize, ReleaseError> {
    if room == 0 {
        return Ok(0);
    }
    let due = context.store.due(account, from, to, i64::try_from(room).unwrap_or(i64::MAX)).await?;
    for row in &due {
        context.broker.publish(&row.event).await?;
        crate::observe::crash::point("released");
        context.store.released(row).await?;
    }
    Ok(due.len())
}
