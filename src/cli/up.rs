//! `up` and the roles apart, `receive`, `work`, `keeper`: each stays until it is told to stop. `migrate` ends by itself.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::out;
use super::process::Process;
use super::setup::Invocation;
use crate::app::{self, App, Role};
use crate::observe::health;

/// Runs until Ctrl-C or SIGTERM, or until a part of it dies.
pub async fn run(invocation: Invocation, role: Role) -> anyhow::Result<Exit> {
    let what = match role {
        Role::Up | Role::Receive => {
            "webhooks: /webhooks/omni/{alias}, /webhooks/abaha/{site}; health: /readyz, /metrics"
        }
        Role::Work(_) | Role::Keeper => "health: /readyz, /metrics",
    };
    let name = if role == Role::Up { String::new() } else { format!(" {}", role.word()) };
    let opening = async {
        let app = App::open(invocation.config, role).await?;
        let listener = app.bind().await?;
        anyhow::Ok((app, listener))
    };
    let mut signal = pin!(app::signal());
    let (app, listener) = tokio::select! {
        // Heard before anything is opened: servers may be silent for long, and the first process of a container is ended
        // by no signal that it does not hear.
        biased;
        () = &mut signal => {
            out::note("stopped before anything was started");
            return Ok(Exit::Fine);
        }
        opened = opening => opened?,
    };
    let mut process = Process::start(app, Some(listener))?;
    if let Some(address) = process.address {
        out::line(format!("sapo-sync{name} listens on http://{address} ({what})"));
    }
    tokio::select! {
        () = &mut signal => out::note("stopping; what was started is finished first (Ctrl-C again ends at once)"),
        error = process.died() => return Err(error),
    }
    process.end().await?;
    Ok(Exit::Fine)
}

/// Brings the state database up to this version, waiting for it where it is away.
pub async fn migrate(invocation: Invocation) -> anyhow::Result<Exit> {
    let config = invocation.config;
    let stop = CancellationToken::new();
    let mut migrating = pin!(async {
        // While it waits it can be asked how it is, where the port is free.
        if let Ok(listener) = app::bind(&config).await {
            let waiting: health::Ready = std::sync::Arc::new(|| Box::pin(async { Err("migrating".to_owned()) }));
            let serving =
                axum::serve(listener, health::router(waiting)).with_graceful_shutdown(stop.clone().cancelled_owned());
            tokio::spawn(serving.into_future());
        }
        app::migrate(&config, &stop).await
    });
    tokio::select! {
        biased;
        () = app::signal() => {
            stop.cancel();
            migrating.await?;
        }
        migrated = &mut migrating => migrated?,
    }
    stop.cancel();
    out::line(format!("{} is of this version", config.database_shown()));
    Ok(Exit::Fine)
}
