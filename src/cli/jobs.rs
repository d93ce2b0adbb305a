//! `import`, `reconcile`, `plan`: stored as jobs; a running `up` does them, else this process does.

use std::time::Duration;

use anyhow::bail;

use super::args::JobArgs;
use super::exit::Exit;
use super::follow::{Progress, until_ended};
use super::process::Process;
use super::setup::{Invocation, no_connection};
use super::{out, report};
use crate::app::{self, App};
use crate::config::Config;
use crate::domain::connection::State;
use crate::store::Store;
use crate::store::jobs::Job;

/// How often it is asked whether the process that works is still there.
const PROBE: Duration = Duration::from_secs(10);

/// Who does the work.
enum Worker {
    /// This process.
    Own(Box<Process>),
    /// A running `up`, or another command.
    Other,
}

/// Runs a job for one connection, or for every active one in turn.
pub async fn run(invocation: Invocation, kind: &str, args: &JobArgs, limit: Option<i64>) -> anyhow::Result<Exit> {
    let mut store = invocation.store().await?;
    let names = names(&store, args.connection.as_deref()).await?;
    let mut worker = worker(&invocation.config).await?;
    if let Worker::Own(process) = &worker {
        store.close().await;
        store = process.context.store.clone();
    } else if !invocation.json {
        out::note("another sapo-sync works on this data dir; it does the work, and this command follows");
    }
    let mut worst = Exit::Fine;
    let mut signal = std::pin::pin!(app::signal());
    for name in &names {
        let job = store.add_job(kind, name, "{}").await?;
        let ended = tokio::select! {
            job = follow(&store, &job, invocation.json) => job?,
            () = &mut signal => return interrupted(worker, &job).await,
            error = gone(&mut worker, &invocation.config) => return Err(error),
        };
        worst = worst.max(report::print(&store, &ended, invocation.json, limit).await?);
    }
    if let Worker::Own(process) = worker {
        process.end().await?;
    }
    Ok(worst)
}

async fn names(store: &Store, wanted: Option<&str>) -> anyhow::Result<Vec<String>> {
    let known = store.snapshot().await?;
    if let Some(name) = wanted {
        if !known.connections.contains_key(name) {
            return Err(no_connection(name, &known).into());
        }
        return Ok(vec![name.to_owned()]);
    }
    let active = known.connections.values().filter(|row| row.connection.state == State::Active);
    let mut names: Vec<String> = active.map(|row| row.connection.name.clone()).collect();
    names.sort_unstable();
    if names.is_empty() {
        bail!(
            "no connection is active; `sapo-sync connect apply FILE` makes one, `sapo-sync connect resume NAME` goes on after a pause"
        );
    }
    Ok(names)
}

/// Takes the work on where nobody else does it.
async fn worker(config: &Config) -> anyhow::Result<Worker> {
    let free = app::lock(config)?.is_some();
    if !free {
        return Ok(Worker::Other);
    }
    // A command does what it was asked for, and no more.
    let config = Config { reconcile_every: None, ..config.clone() };
    let process = Process::start(App::open(config).await?, None)?;
    Ok(Worker::Own(Box::new(process)))
}

async fn follow(store: &Store, job: &Job, as_json: bool) -> anyhow::Result<Job> {
    let mut progress = Progress::new(!as_json);
    until_ended(store, &job.id, &mut progress).await
}

/// Resolves when whoever does the work has gone, with what to do.
async fn gone(worker: &mut Worker, config: &Config) -> anyhow::Error {
    match worker {
        Worker::Own(process) => process.died().await,
        Worker::Other => loop {
            tokio::time::sleep(PROBE).await;
            match app::lock(config) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    return anyhow::anyhow!(
                        "the sapo-sync that did the work has ended; the job is kept: run this command again, or start `sapo-sync up`, and it goes on where it was"
                    );
                }
                Err(error) => return error,
            }
        },
    }
}

async fn interrupted(worker: Worker, job: &Job) -> anyhow::Result<Exit> {
    match worker {
        Worker::Own(process) => {
            out::note("stopping; what was started is finished first (Ctrl-C again ends at once)");
            process.end().await?;
            out::note(format!(
                "the {} of {} is stopped; run the command again, and it goes on where it was",
                job.kind, job.connection
            ));
        }
        Worker::Other => out::note(format!(
            "the {} of {} goes on in the running sapo-sync; this command follows it no more (run it again to follow)",
            job.kind, job.connection
        )),
    }
    Ok(Exit::Failed)
}
