//! `events`: what came, and what became of it.

use serde_json::Value;

use super::args::EventsCommand;
use super::exit::Exit;
use super::setup::Invocation;
use super::{out, story};
use crate::store::ledger::{EventFilter, LedgerRow};

const HEADER: [&str; 10] =
    ["received", "id", "connection", "topic", "object", "order", "outcome", "code", "reason", "tries"];

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: EventsCommand) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    match command {
        EventsCommand::List { filter, outcome } => {
            let wanted = EventFilter {
                connection: filter.connection,
                since: filter.since.map(|since| since.seen_from(store.clock().now())),
                code: filter.code,
                outcome,
                search: filter.search,
                limit: filter.limit.saturating_add(1),
            };
            out::list(invocation.json, filter.limit, &store.list_events(&wanted).await?, &HEADER, cells, object);
            Ok(Exit::Fine)
        }
        EventsCommand::Show { code, connection } => {
            story::tell(&invocation, &store, &code, connection.as_deref()).await
        }
    }
}

/// An event as programs read it.
pub fn object(row: &LedgerRow) -> Value {
    out::row(row)
}

fn cells(row: &LedgerRow) -> Vec<String> {
    vec![
        out::local(row.received_at),
        out::short(&row.event_id),
        row.connection.clone(),
        format!("{} from {}", row.topic, row.source),
        format!("{} {}", row.kind, row.object_id),
        out::or_dash(row.reference.as_deref()),
        row.outcome.clone(),
        row.code.clone(),
        row.reason.clone(),
        row.attempts.to_string(),
    ]
}
