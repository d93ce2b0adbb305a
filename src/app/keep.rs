//! The keeper's duties, done by the one that leads.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Role;
use crate::broker::BrokerError;
use crate::config::Config;
use crate::sync::jobs;
use crate::work::context::Context;
use crate::work::{self, keeper};

/// A keeper that is not heard of for so long is taken for gone.
pub(super) const PRESENCE: Duration = Duration::from_secs(20);

/// What the leading keeper does.
pub(super) async fn keep(config: Config, context: Context, stop: CancellationToken) -> Result<(), BrokerError> {
    let duties = |stop: CancellationToken| {
        let (config, context) = (config.clone(), context.clone());
        async move {
            let prune = async {
                if let Some(keep) = config.keep_ledger {
                    keeper::prune(context.clone(), keep, stop.clone()).await;
                }
            };
            let timers = async {
                if let Some(every) = config.reconcile_every {
                    jobs::reconcile_every(context.clone(), every, stop.clone()).await;
                }
            };
            let filing = async {
                let ended = keeper::file_dead_letters(context.clone(), stop.clone()).await;
                // Whatever ended it ends the other duties too.
                stop.cancel();
                ended
            };
            let gauges = keeper::keep_gauges(context.clone(), stop.clone());
            let found = jobs::tell_found(context.clone(), stop.clone());
            tokio::join!(filing, gauges, found, prune, timers).0
        }
    };
    if context.broker.partitions().is_none() {
        metrics::gauge!("sapo_sync_keeper_leads").set(1.0);
        return duties(stop.child_token()).await;
    }
    let present = presence(&context, &stop);
    tokio::join!(work::lead::lead(context.clone(), stop.clone(), duties), present).0
}

/// Tells others that a keeper is here: a command then knows that somebody will run its job.
async fn presence(context: &Context, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(PRESENCE / 4);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = context.store.join(&present_as(context), Role::Keeper.word(), "", PRESENCE).await {
            tracing::debug!(%error, "presence cannot be told");
        }
    }
    let _best_effort = context.store.leave(&present_as(context)).await;
}

/// A process may be worker and keeper at once: its presence as a keeper has a name of its own.
pub(super) fn present_as(context: &Context) -> String {
    format!("{}:keeper", context.owner)
}
