//! `up`: everything in one process, until it is told to stop.

use super::exit::Exit;
use super::out;
use super::process::Process;
use super::setup::Invocation;
use crate::app::{self, App};

/// Runs until Ctrl-C or SIGTERM, or until a part of it dies.
pub async fn run(invocation: Invocation) -> anyhow::Result<Exit> {
    let app = App::open(invocation.config).await?;
    let listener = app.bind().await?;
    let mut process = Process::start(app, Some(listener))?;
    if let Some(address) = process.address {
        out::line(format!(
            "sapo-sync listens on http://{address} (webhooks: /webhooks/omni/{{alias}}, /webhooks/abaha/{{site}})"
        ));
    }
    tokio::select! {
        () = app::signal() => out::note("stopping; what was started is finished first (Ctrl-C again ends at once)"),
        error = process.died() => return Err(error),
    }
    process.end().await?;
    Ok(Exit::Fine)
}
