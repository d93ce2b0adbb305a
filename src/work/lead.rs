//! The keeper's lead: any number of keepers may run, one at a time does what must be done once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;

/// A leader that is not heard of for so long is followed by another.
const LEASE: Duration = Duration::from_secs(10);
/// How often the lead is sought or renewed.
const TICK: Duration = Duration::from_secs(2);
/// The lease's name.
const NAME: &str = "keeper";

/// Does the duties while this process leads; until stopped.
///
/// # Errors
/// What a duty ended with, if it ended by itself.
pub async fn lead<F, E>(
    context: Context,
    stop: CancellationToken,
    duties: impl Fn(CancellationToken) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut tick = tokio::time::interval(TICK);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if !holds(&context).await {
            continue;
        }
        tracing::info!("this process leads the keepers");
        metrics::gauge!("sapo_sync_keeper_leads").set(1.0);
        let led = stop.child_token();
        let mut at_work = std::pin::pin!(duties(led.clone()));
        let ended = tokio::select! {
            ended = &mut at_work => Some(ended),
            () = lost(&context, &led) => None,
        };
        led.cancel();
        metrics::gauge!("sapo_sync_keeper_leads").set(0.0);
        match ended {
            Some(result) => result?,
            None => at_work.await?,
        }
        let _best_effort = tokio::time::timeout(TICK, context.store.drop_lease(NAME, &context.owner)).await;
    }
    Ok(())
}

/// Resolves when the lead is lost, or is not wanted any more.
async fn lost(context: &Context, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    let mut renewed = tokio::time::Instant::now();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if holds(context).await {
            renewed = tokio::time::Instant::now();
        } else if renewed.elapsed() + TICK + TICK > LEASE {
            tracing::warn!("this process leads the keepers no more: its lease could not be renewed");
            return;
        }
    }
}

/// Whether the lease is ours, now.
async fn holds(context: &Context) -> bool {
    let taken = context.store.take_lease(NAME, &context.owner, LEASE);
    matches!(tokio::time::timeout(TICK, taken).await, Ok(Ok(true)))
}
