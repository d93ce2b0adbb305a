//! `dead`: what was given up, and what becomes of it.

use std::io::{IsTerminal as _, Write as _};

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{DeadCommand, LettersArgs};
use super::exit::{Exit, NotFound};
use super::out;
use super::setup::{ACTOR, Invocation};
use crate::store::Store;
use crate::store::cache::SnapshotCache;
use crate::store::dead_letters::{DeadFilter, DeadLetter};
use crate::sync::replay;

const HEADER: [&str; 9] = ["received", "id", "connection", "topic", "object", "order", "code", "reason", "tries"];
/// Every state a letter can be in.
const STATES: [&str; 4] = ["open", "replayed", "superseded", "discarded"];

/// What becomes of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Replay,
    Discard,
}

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: DeadCommand) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    match command {
        DeadCommand::List { filter, state } => {
            let wanted = DeadFilter {
                connection: filter.connection,
                code: filter.code,
                since: filter.since.map(|since| since.seen_from(store.clock().now())),
                search: filter.search,
                state: Some(state),
                limit: filter.limit.saturating_add(1),
            };
            out::list(invocation.json, filter.limit, &store.list_letters(&wanted).await?, &HEADER, cells, object);
            Ok(Exit::Fine)
        }
        DeadCommand::Show { id, body } => show(&invocation, &store, &id, body).await,
        DeadCommand::Replay(args) if args.which.all => super::replay::run(&invocation, store, args).await,
        DeadCommand::Replay(args) => settle(&invocation, &store, args.which, Deed::Replay).await,
        DeadCommand::Discard(letters) => settle(&invocation, &store, letters, Deed::Discard).await,
    }
}

/// A letter as programs read it.
pub fn object(letter: &DeadLetter) -> Value {
    out::with(out::row(letter), &[("outcome", json!("dead"))])
}

fn cells(letter: &DeadLetter) -> Vec<String> {
    vec![
        out::local(letter.received_at),
        out::short(&letter.event_id),
        letter.connection.clone(),
        format!("{} from {}", letter.topic, letter.source),
        format!("{} {}", letter.kind, letter.object_id),
        out::or_dash(letter.reference.as_deref()),
        letter.code.clone(),
        letter.reason.clone(),
        letter.attempts.to_string(),
    ]
}

/// The letters, in any state, that an order code, an object id or the start of an event id means.
pub async fn named(store: &Store, search: &str, connection: Option<&str>) -> anyhow::Result<Vec<DeadLetter>> {
    let mut found = Vec::new();
    for state in STATES {
        let filter = DeadFilter {
            search: Some(search.to_owned()),
            connection: connection.map(ToOwned::to_owned),
            state: Some(state.to_owned()),
            limit: 100,
            ..DeadFilter::default()
        };
        found.extend(store.list_letters(&filter).await?);
    }
    Ok(found)
}

async fn show(invocation: &Invocation, store: &Store, id: &str, with_body: bool) -> anyhow::Result<Exit> {
    let letters = named(store, id, None).await?;
    if letters.is_empty() {
        return Err(NotFound(format!(
            "there is no dead letter of {id:?}; `sapo-sync dead list` shows those that are open"
        ))
        .into());
    }
    for letter in &letters {
        let event = if with_body { store.letter_event(&letter.event_id, letter.run).await? } else { None };
        let body = event.map(|event| String::from_utf8_lossy(&event.body).into_owned());
        if invocation.json {
            let body = body.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
            out::json(&out::with(object(letter), &body.map(|body| ("body", body)).into_iter().collect::<Vec<_>>()));
            continue;
        }
        let rows = [
            ("id", letter.event_id.clone()),
            ("run", letter.run.to_string()),
            ("state", letter.state.clone()),
            ("connection", letter.connection.clone()),
            ("topic", format!("{} from {}", letter.topic, letter.source)),
            ("object", format!("{} {}", letter.kind, letter.object_id)),
            ("order", out::or_dash(letter.reference.as_deref())),
            ("received", out::local(letter.received_at)),
            ("given up", out::local(letter.filed_at)),
            ("tries", letter.attempts.to_string()),
            ("code", letter.code.clone()),
            ("reason", letter.reason.clone()),
            ("last answer", out::or_dash(letter.last_answer.as_deref())),
        ];
        out::table(&["dead letter", ""], rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect());
        if let Some(body) = body {
            out::line(body);
        }
        if letter.state == "open" {
            out::line(format!("when the cause is mended: sapo-sync dead replay {}", letter.event_id));
        }
    }
    Ok(Exit::Fine)
}

/// The open letters that are meant.
async fn meant(store: &Store, args: &LettersArgs) -> anyhow::Result<Vec<DeadLetter>> {
    let filter = DeadFilter {
        connection: args.connection.clone(),
        code: args.code.clone(),
        since: args.since.map(|since| since.seen_from(store.clock().now())),
        limit: i64::MAX,
        ..DeadFilter::default()
    };
    if args.all {
        return Ok(store.list_letters(&filter).await?);
    }
    let mut letters: Vec<DeadLetter> = Vec::new();
    for id in &args.ids {
        let found = store.list_letters(&DeadFilter { search: Some(id.clone()), ..filter.clone() }).await?;
        if found.is_empty() {
            return Err(NotFound(format!(
                "there is no open dead letter of {id:?} that matches; `sapo-sync dead list` shows those that are open"
            ))
            .into());
        }
        let new = found
            .into_iter()
            .filter(|letter| !letters.iter().any(|known| known.event_id == letter.event_id && known.run == letter.run));
        letters.extend(new.collect::<Vec<_>>());
    }
    Ok(letters)
}

async fn settle(invocation: &Invocation, store: &Store, args: LettersArgs, deed: Deed) -> anyhow::Result<Exit> {
    let letters = meant(store, &args).await?;
    let verb = if deed == Deed::Replay { "replay" } else { "discard" };
    if letters.len() > 1 && !confirmed(&format!("{verb} {} dead letters?", letters.len()), args.yes)? {
        out::note("nothing was done");
        return Ok(Exit::Failed);
    }
    let snapshot = SnapshotCache::new(store.clone());
    snapshot.refresh().await?;
    let mut settled = 0_usize;
    for letter in &letters {
        let done = match deed {
            Deed::Replay => replay::replay(store, &snapshot, letter, ACTOR).await?,
            Deed::Discard => replay::discard(store, letter, ACTOR).await?,
        };
        settled += usize::from(done);
        if invocation.json {
            out::json(&json!({"id": letter.event_id, "run": letter.run, "action": verb, "done": done}));
        }
    }
    if !invocation.json {
        let others = letters.len() - settled;
        let past = if deed == Deed::Replay {
            "sent the same way again (by `sapo-sync up`, where it runs)"
        } else {
            "discarded; they are kept: `sapo-sync dead list --state discarded`"
        };
        out::line(format!("{settled} dead letters {past}"));
        if others > 0 {
            out::line(format!("{others} were settled by somebody else meanwhile"));
        }
    }
    Ok(Exit::Fine)
}

/// Asks; refuses where nobody can answer.
pub fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        bail!("{question} Nobody can be asked here; add --yes to do it without asking");
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
