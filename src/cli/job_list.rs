//! `jobs`: stored jobs are listed, shown and stopped.

use anyhow::bail;
use serde_json::{Value, json};

use super::args::JobsCommand;
use super::exit::{Exit, NotFound};
use super::follow::describe;
use super::setup::{ACTOR, Invocation};
use super::{out, report};
use crate::store::Store;
use crate::store::jobs::{Job, JobFilter};

const HEADER: [&str; 7] = ["asked for", "id", "kind", "connection", "state", "ended", "how it is"];
/// Jobs whose ids begin alike that are named.
const ALIKE: i64 = 5;

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: JobsCommand) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    match command {
        JobsCommand::List { state, kind, limit } => {
            let wanted = JobFilter { state, kind, id: None, limit: limit.saturating_add(1) };
            out::list(invocation.json, limit, &store.list_jobs(&wanted).await?, &HEADER, cells, object);
            Ok(Exit::Fine)
        }
        JobsCommand::Show { id } => {
            show(&invocation, &named(&store, &id).await?);
            Ok(Exit::Fine)
        }
        JobsCommand::Stop { id } => stop(&invocation, &store, &named(&store, &id).await?).await,
    }
}

/// A job as programs read it.
fn object(job: &Job) -> Value {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let fields = [
        ("arguments", parsed(&job.arguments)),
        ("position", parsed(&job.position)),
        ("found", parsed(&job.found)),
        ("name", json!(report::name(job))),
    ];
    out::with(out::row(job), &fields)
}

fn cells(job: &Job) -> Vec<String> {
    vec![
        out::local(job.created_at),
        job.id.clone(),
        job.kind.clone(),
        connection(job),
        job.state.clone(),
        job.finished_at.map_or_else(|| "–".to_owned(), out::local),
        how_it_is(job),
    ]
}

fn connection(job: &Job) -> String {
    if job.connection.is_empty() { "all".to_owned() } else { job.connection.clone() }
}

/// How far a job is, or how it ended.
fn how_it_is(job: &Job) -> String {
    if let Some(reason) = &job.reason {
        return reason.clone();
    }
    if job.finished_at.is_none() {
        return describe(job, &serde_json::from_str(&job.found).unwrap_or_default());
    }
    serde_json::from_str(&job.found).map_or_else(|_| job.state.clone(), |summary| report::ends(&summary))
}

/// The one job whose id begins so.
async fn named(store: &Store, id: &str) -> anyhow::Result<Job> {
    let filter = JobFilter { id: Some(id.to_owned()), limit: ALIKE, ..JobFilter::default() };
    let mut found = store.list_jobs(&filter).await?;
    match found.len() {
        0 => Err(NotFound(format!("there is no job {id:?}; `sapo-sync jobs list` shows them")).into()),
        1 => Ok(found.remove(0)),
        _ => {
            let ids: Vec<&str> = found.iter().map(|job| job.id.as_str()).collect();
            bail!("several jobs begin with {id:?}: {}; give more of the id", ids.join(", "))
        }
    }
}

fn show(invocation: &Invocation, job: &Job) {
    if invocation.json {
        out::json(&object(job));
        return;
    }
    let rows = [
        ("id", job.id.clone()),
        ("job", report::name(job)),
        ("state", job.state.clone()),
        ("asked for", out::local(job.created_at)),
        ("ended", job.finished_at.map_or_else(|| "–".to_owned(), out::local)),
        ("how it is", how_it_is(job)),
    ];
    out::table(&["job", ""], rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect());
    if job.finished_at.is_none() {
        out::line(format!("to end it: sapo-sync jobs stop {}", job.id));
    }
}

async fn stop(invocation: &Invocation, store: &Store, job: &Job) -> anyhow::Result<Exit> {
    let stopped = store.stop_job(&job.id, ACTOR).await?;
    let now = match &stopped {
        Some(now) => now.clone(),
        None => store.job(&job.id).await?.unwrap_or_else(|| job.clone()),
    };
    if invocation.json {
        out::json(&json!({"id": now.id, "stopped": stopped.is_some(), "state": now.state}));
        return Ok(Exit::Fine);
    }
    let name = report::name(&now);
    out::line(match (&stopped, now.finished_at) {
        (None, _) => format!("the {name} has ended already: {}", now.state),
        (Some(_), Some(_)) => format!("the {name} is stopped; what it has done stays done"),
        (Some(_), None) => format!(
            "the {name} is told to stop; whoever works on it ends it within a second or two, and what it has done stays done: sapo-sync jobs show {}",
            now.id
        ),
    });
    Ok(Exit::Fine)
}
