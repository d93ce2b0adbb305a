//! The shop itself: app/uninstalled.

use super::context::{Halt, Run};
use crate::destination::CallError;
use crate::domain::connection::State;
use crate::domain::outcome::Outcome;

/// Stops the connection once a read has shown that the shop took our access away; its links are kept.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    match run.omni.tenant().await {
        Ok(_) => Ok(Outcome::skipped(
            "still_installed",
            "the shop still accepts our access token; the notice is not believed",
        )),
        Err(CallError::Unauthorised { .. }) => {
            let mut tx = run.store().begin().await?;
            let reason = "the app was uninstalled from the shop";
            run.store().set_connection_state(&mut tx, run.name(), State::Stopped, Some(reason)).await?;
            run.store().audit(&mut tx, "sapo-sync", "stop", run.name(), reason).await?;
            tx.commit().await?;
            Ok(Outcome::done(
                "stopped",
                "the app was uninstalled from the shop: the connection is stopped, its links are kept",
            ))
        }
        Err(error) => Err(error.into()),
    }
}
