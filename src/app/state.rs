//! What must be so in the state database before work begins, and the wait for it.

use anyhow::bail;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keep::{PRESENCE, present_as};
use super::{RETRY, Role};
use crate::config::Config;
use crate::store::StoreError;
use crate::work::context::Context;

/// What must be so before work begins: the schema is this version's, all processes agree on the number of partitions,
/// and what this process's predecessor held is free.
pub(super) async fn prepare(config: &Config, role: &Role, context: &Context) -> anyhow::Result<()> {
    let store = &context.store;
    if *role == Role::Up {
        store.migrate().await?;
    } else {
        store.check_schema().await?;
    }
    if let Some(partitions) = context.broker.partitions() {
        let agreed = store.agree("partitions", &partitions.to_string()).await?;
        if agreed != partitions.to_string() {
            bail!(
                "SAPO_SYNC__BROKER__PARTITIONS is {partitions} here, but this set-up was made with {agreed}: set it to {agreed}, the same for every process"
            );
        }
    }
    store.end_leases(&context.owner).await?;
    let closed = store.closed_accounts().await?;
    for (account, row) in &closed {
        context.limits.close_until(account, row.not_before);
    }
    context.note_failing(closed.into_keys());
    if config.is_scaled() && role.keeps() {
        store.join(&present_as(context), Role::Keeper.word(), "", PRESENCE).await?;
    }
    Ok(context.snapshot.refresh().await?)
}

/// Whether waiting may help.
pub(super) fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient)
}

/// Waits until the state database is usable, then keeps what is known of connections fresh.
pub(super) async fn keep_state(
    config: Config,
    role: Role,
    context: Context,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !*ready.borrow() {
        match prepare(&config, &role, &context).await {
            Ok(()) => {
                tracing::info!("the state database answers");
                ready.send_replace(true);
            }
            Err(error) if is_transient(&error) => {
                tracing::debug!(error = %format!("{error:#}"), "waiting for the state database");
            }
            Err(error) => return Err(error),
        }
        if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
            return Ok(());
        }
    }
    context.snapshot.clone().keep_fresh(stop).await;
    Ok(())
}
