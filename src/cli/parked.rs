//! `parked`: what waits for a time or a cause.

use serde_json::json;

use super::args::{Filter, ParkedCommand};
use super::exit::{Exit, Usage};
use super::out;
use super::setup::{ACTOR, Invocation, no_connection};
use crate::domain::outcome::Cause;
use crate::store::parked::{ParkedFilter, ParkedRow};

const HEADER: [&str; 9] =
    ["waits since", "id", "connection", "object", "code", "waits for", "reason", "tries", "again at"];

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: ParkedCommand) -> anyhow::Result<Exit> {
    match command {
        ParkedCommand::List(filter) => list(&invocation, filter).await,
        ParkedCommand::Release { connection, code, object } => {
            release(&invocation, connection.as_deref(), code.as_deref(), object.as_deref()).await
        }
    }
}

async fn list(invocation: &Invocation, filter: Filter) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let since = filter.since.map(|since| since.seen_from(store.clock().now()));
    let wanted = ParkedFilter {
        connection: filter.connection,
        cause: filter.code,
        search: filter.search,
        since,
        limit: filter.limit.saturating_add(1),
    };
    let rows = store.find_parked(&wanted).await?;
    out::list(invocation.json, filter.limit, &rows, &HEADER, cells, |row| {
        out::with(out::row(row), &[("outcome", json!("parked"))])
    });
    Ok(Exit::Fine)
}

fn cells(row: &ParkedRow) -> Vec<String> {
    vec![
        out::local(row.first_parked_at),
        out::short(&row.event_id),
        row.connection.clone(),
        format!("{} {} of {}", row.kind, row.object_id, row.source),
        row.cause.clone(),
        out::or_dash(row.cause_key.as_deref()),
        row.reason.clone(),
        row.attempts.to_string(),
        out::local(row.due_at),
    ]
}

async fn release(
    invocation: &Invocation,
    connection: Option<&str>,
    code: Option<&str>,
    object: Option<&str>,
) -> anyhow::Result<Exit> {
    if let Some(code) = code
        && Cause::from_word(code).is_none()
    {
        let words: Vec<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        let text = format!("--code {code:?} is not one that rows wait for; those are: {}", words.join(", "));
        return Err(Usage(text).into());
    }
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    if let Some(name) = connection
        && !known.connections.contains_key(name)
    {
        return Err(no_connection(name, &known).into());
    }
    let released = store.release_now(connection, code, object).await?;
    let detail = format!(
        "connection {}, code {}, object {}: {released}",
        connection.unwrap_or("any"),
        code.unwrap_or("any"),
        object.unwrap_or("any")
    );
    let mut tx = store.begin().await?;
    store.audit(&mut tx, ACTOR, "parked release", connection.unwrap_or("all"), &detail).await?;
    tx.commit().await?;
    if invocation.json {
        out::json(&json!({"released": released}));
    } else {
        out::line(format!("{released} waiting objects are looked at again now (by `sapo-sync up`, where it runs)"));
    }
    Ok(Exit::Fine)
}
