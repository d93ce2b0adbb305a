//! `import`, `reconcile`, `plan`: stored as jobs; a running `up` does them, else this process does.

use std::time::Duration;

use anyhow::bail;
use futures::future::BoxFuture;

use super::args::JobArgs;
use super::exit::Exit;
use super::follow::{Progress, until_ended};
use super::process::Process;
use super::setup::{Invocation, no_connection};
use super::{out, report};
use crate::app::{self, App, Role};
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

/// The work on stored jobs: done by this process where nobody else does it, and followed in either case.
pub struct Work {
    /// The state, as whoever works sees it.
    pub store: Store,
    worker: Worker,
    config: Config,
    as_json: bool,
    signal: BoxFuture<'static, ()>,
}

impl Work {
    /// Takes the work on, or says that somebody else has it.
    pub async fn begin(invocation: &Invocation, mut store: Store) -> anyhow::Result<Self> {
        let worker = worker(&invocation.config, &store).await?;
        if let Worker::Own(process) = &worker {
            store.close().await;
            store = process.context.store.clone();
        } else if !invocation.json {
            out::note("another sapo-sync is at work; it does this too, and this command follows");
        }
        let config = invocation.config.clone();
        Ok(Self { store, worker, config, as_json: invocation.json, signal: Box::pin(app::signal()) })
    }

    /// Follows a job until it ends; `None` where the user wants to go, and was told what becomes of the job.
    pub async fn follow(&mut self, job: &Job) -> anyhow::Result<Option<Job>> {
        tokio::select! {
            job = follow(&self.store, job, self.as_json) => return Ok(Some(job?)),
            () = &mut self.signal => {}
            error = gone(&mut self.worker, &self.config, &self.store) => return Err(error),
        }
        let worker = std::mem::replace(&mut self.worker, Worker::Other);
        interrupted(worker, job).await?;
        Ok(None)
    }

    /// Ends what this process does.
    pub async fn end(self) -> anyhow::Result<()> {
        match self.worker {
            Worker::Own(process) => process.end().await,
            Worker::Other => Ok(()),
        }
    }
}

/// Runs a job for one connection, or for every active one in turn.
pub async fn run(invocation: Invocation, kind: &str, args: &JobArgs, limit: Option<i64>) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let names = names(&store, args.connection.as_deref()).await?;
    let mut work = Work::begin(&invocation, store).await?;
    let mut worst = Exit::Fine;
    for name in &names {
        let job = work.store.add_job(kind, name, "{}").await?;
        let Some(ended) = work.follow(&job).await? else { return Ok(Exit::Failed) };
        worst = worst.max(report::print(&work.store, &ended, invocation.json, limit).await?);
    }
    work.end().await?;
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
async fn worker(config: &Config, store: &Store) -> anyhow::Result<Worker> {
    if config.is_scaled() {
        if store.members(Role::Keeper.word()).await?.is_empty() {
            bail!(
                "no keeper is running, which would do it: start `sapo-sync keeper` (or `sapo-sync up`), then run this again"
            );
        }
        return Ok(Worker::Other);
    }
    let free = app::lock(config)?.is_some();
    if !free {
        return Ok(Worker::Other);
    }
    // A command does what it was asked for, and no more.
    let config = Config { reconcile_every: None, ..config.clone() };
    let process = Process::start(App::open(config, Role::Up).await?, None)?;
    Ok(Worker::Own(Box::new(process)))
}

async fn follow(store: &Store, job: &Job, as_json: bool) -> anyhow::Result<Job> {
    let mut progress = Progress::new(!as_json);
    until_ended(store, &job.id, &mut progress).await
}

/// Resolves when whoever does the work has gone, with what to do.
async fn gone(worker: &mut Worker, config: &Config, store: &Store) -> anyhow::Error {
    match worker {
        Worker::Own(process) => process.died().await,
        Worker::Other if config.is_scaled() => loop {
            tokio::time::sleep(PROBE).await;
            match store.members(Role::Keeper.word()).await {
                Ok(keepers) if keepers.is_empty() => {
                    return anyhow::anyhow!(
                        "no keeper is running any more; the job is kept, and goes on when one is started (`sapo-sync keeper`)"
                    );
                }
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        },
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

async fn interrupted(worker: Worker, job: &Job) -> anyhow::Result<()> {
    let name = report::name(job);
    match worker {
        Worker::Own(process) => {
            out::note("stopping; what was started is finished first (Ctrl-C again ends at once)");
            process.end().await?;
            out::note(format!("the {name} is stopped; run the command again, and it goes on where it was"));
        }
        Worker::Other => out::note(format!(
            "the {name} goes on in the running sapo-sync; this command follows it no more (run it again to follow, or end it: sapo-sync jobs stop {})",
            job.id
        )),
    }
    Ok(())
}
