//! `connect`: makes, shows, pauses, resumes and checks connections.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{ConnectCommand, Filter};
use super::exit::Exit;
use super::setup::{ACTOR, Invocation, no_connection};
use super::{out, settings};
use crate::app;
use crate::domain::connection::State;
use crate::store::Store;
use crate::store::connections::{ConnectionAccount, Snapshot};
use crate::store::counts::Count;
use crate::sync::connect;

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: ConnectCommand) -> anyhow::Result<Exit> {
    match command {
        ConnectCommand::Apply { file, prune, offline } => apply(&invocation, &file, prune, offline).await,
        ConnectCommand::List(filter) => list(&invocation, &filter).await,
        ConnectCommand::Show { name } => show(&invocation, &name).await,
        ConnectCommand::Pause { name } => set_state(&invocation, &name, State::Paused).await,
        ConnectCommand::Resume { name } => set_state(&invocation, &name, State::Active).await,
        ConnectCommand::Check { name } => check(&invocation, name.as_deref()).await,
    }
}

async fn apply(invocation: &Invocation, path: &Path, prune: bool, offline: bool) -> anyhow::Result<Exit> {
    let file = connect::file::read(path)?;
    let store = invocation.store().await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let applied = connect::apply(&store, &http, &file, prune, offline, ACTOR).await?;
    if invocation.json {
        out::json(
            &json!({"file": path.display().to_string(), "changes": applied.changes, "left_alone": applied.left_alone}),
        );
        return Ok(Exit::Fine);
    }
    if applied.changes.is_empty() {
        out::line("nothing changed: everything was so already");
    }
    for change in &applied.changes {
        out::line(change);
    }
    if !applied.left_alone.is_empty() {
        out::line(format!(
            "left alone, for the file does not name them: {} (--prune stops such)",
            applied.left_alone.join(", ")
        ));
    }
    if offline {
        out::line("nothing was checked against the shops (--offline); `sapo-sync connect check` does");
    }
    if let Some(entry) = file.connections.first().filter(|_| !applied.changes.is_empty()) {
        out::line(format!(
            "webhooks go to /webhooks/omni/{} and /webhooks/abaha/{}; next: sapo-sync plan --connection {}",
            entry.store, entry.site, entry.name
        ));
    }
    Ok(Exit::Fine)
}

/// The connections that a name or filter means, in the order of their names.
fn sorted(known: &Snapshot) -> Vec<&ConnectionAccount> {
    let mut rows: Vec<&ConnectionAccount> = known.connections.values().map(AsRef::as_ref).collect();
    rows.sort_by(|one, other| one.connection.name.cmp(&other.connection.name));
    rows
}

struct Counts {
    links: Vec<Count>,
    parked: Vec<Count>,
    dead: Vec<Count>,
}

impl Counts {
    async fn read(store: &Store) -> anyhow::Result<Self> {
        Ok(Self {
            links: store.link_counts().await?,
            parked: store.parked_by_connection().await?,
            dead: store.letters_by_connection().await?,
        })
    }

    fn of(counts: &[Count], connection: &str, state: &str) -> i64 {
        counts
            .iter()
            .find(|count| count.connection == connection && count.state == state)
            .map_or(0, |count| count.number)
    }

    fn object(&self, connection: &str) -> [(&'static str, i64); 4] {
        [
            ("linked", Self::of(&self.links, connection, "linked")),
            ("link_errors", Self::of(&self.links, connection, "error")),
            ("parked", Self::of(&self.parked, connection, "")),
            ("dead", Self::of(&self.dead, connection, "")),
        ]
    }
}

async fn list(invocation: &Invocation, filter: &Filter) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let counts = Counts::read(&store).await?;
    let since = filter.since.map(|since| since.seen_from(store.clock().now()));
    let wanted = |row: &&ConnectionAccount| {
        let connection = &row.connection;
        let texts = [connection.name.as_str(), &connection.store, &connection.site];
        filter.connection.as_ref().is_none_or(|name| *name == connection.name)
            && filter.search.as_ref().is_none_or(|search| texts.iter().any(|text| text.contains(search.as_str())))
            && filter.code.as_ref().is_none_or(|code| code == connection.state.as_str())
            && since.is_none_or(|since| connection.activated_at >= since)
    };
    let rows: Vec<Value> = sorted(&known)
        .into_iter()
        .filter(wanted)
        .map(|row| {
            let mut object = object(row, &known);
            let numbers = counts.object(&row.connection.name).map(|(key, number)| (key, json!(number)));
            object = out::with(object, &numbers);
            object
        })
        .collect();
    let text = |row: &Value, key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), ToOwned::to_owned);
    let header =
        ["connection", "store", "channel", "site", "state", "syncs", "linked", "link errors", "parked", "dead"];
    let cells = |row: &Value| {
        let mut cells: Vec<String> =
            ["name", "store", "channel", "site", "state"].iter().map(|key| text(row, key)).collect();
        let on: Vec<&str> =
            SWITCHES.iter().filter(|(key, _)| row["settings"][*key] == json!(true)).map(|(_, label)| *label).collect();
        cells.push(out::or_dash(Some(&on.join(", "))));
        cells.extend(["linked", "link_errors", "parked", "dead"].iter().map(|key| text(row, key)));
        cells
    };
    out::list(invocation.json, filter.limit, &rows, &header, cells, Clone::clone);
    Ok(Exit::Fine)
}

/// The switches with their labels.
const SWITCHES: [(&str, &str); 3] = [("products", "Sản phẩm"), ("customers", "Khách hàng"), ("orders", "Đơn hàng")];

/// A connection without its secrets: of each only whether it is set.
fn object(row: &ConnectionAccount, known: &Snapshot) -> Value {
    let connection = &row.connection;
    let store = known.stores.get(&connection.store);
    out::row(&json!({
        "name": connection.name,
        "store": connection.store,
        "tenant": store.and_then(|store| store.tenant_id.clone()),
        "store_base_url": store.and_then(|store| store.base_url.clone()),
        "store_access_token": settings::set(store.map(|store| &store.access_token)),
        "store_webhook_secrets": store.map_or(0, |store| store.webhook_secrets.len()),
        "channel": connection.channel.as_str(),
        "site": connection.site,
        "token": settings::set(Some(&row.token)),
        "webhook_header": row.webhook_header.as_ref().map(|(name, _)| name.clone()),
        "webhook_secrets": row.webhook_secrets.len(),
        "base_url": row.base_url,
        "state": connection.state.as_str(),
        "state_reason": row.state_reason,
        "activated_at": connection.activated_at,
        "start_line_at": connection.start_line(),
        "settings": connection.settings,
        "webhook_paths": [format!("/webhooks/omni/{}", connection.store), format!("/webhooks/{}/{}", connection.channel, connection.site)],
    }))
}

async fn show(invocation: &Invocation, name: &str) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let row = known.connections.get(name).ok_or_else(|| no_connection(name, &known))?;
    let numbers = Counts::read(&store).await?.object(name).map(|(key, number)| (key, json!(number)));
    let object = out::with(object(row, &known), &numbers);
    if invocation.json {
        out::json(&object);
        return Ok(Exit::Fine);
    }
    let mut rows = Vec::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                rows.extend(fields.iter().map(|(inner, value)| vec![inner.clone(), shown(inner, value)]));
            }
            value => rows.push(vec![key.clone(), shown(key, value)]),
        }
    }
    out::table(&["", name], rows);
    Ok(Exit::Fine)
}

/// A value for people: times local, what is missing as a dash.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if key.ends_with("_at") || key == "orders_from" => {
            crate::domain::time::parse(text).map_or_else(|| text.clone(), out::local)
        }
        Value::String(text) => text.clone(),
        Value::Number(number) if key.ends_with("_secrets") => format!("{number} set"),
        Value::Array(items) => items.iter().map(|item| shown("", item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

async fn set_state(invocation: &Invocation, name: &str, state: State) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let row = known.connections.get(name).ok_or_else(|| no_connection(name, &known))?;
    let before = row.connection.state;
    if before == State::Stopped {
        bail!(
            "connection {name} is stopped ({}); `sapo-sync connect apply FILE` connects it again",
            row.state_reason.as_deref().unwrap_or("no reason is known")
        );
    }
    let (verb, reason) = if state == State::Paused { ("pause", Some("paused by hand")) } else { ("resume", None) };
    let mut released = 0;
    if before != state {
        let mut tx = store.begin().await?;
        store.set_connection_state(&mut tx, name, state, reason).await?;
        store.audit(&mut tx, ACTOR, &format!("connect {verb}"), name, "").await?;
        tx.commit().await?;
    }
    if state == State::Active {
        released = store.release_now(Some(name), Some("paused"), None).await?;
    }
    if invocation.json {
        out::json(&json!({"name": name, "state": state.as_str(), "changed": before != state, "released": released}));
    } else if before == state {
        out::line(format!("{name} is {state} already"));
    } else if state == State::Paused {
        out::line(format!(
            "{name} is paused: webhooks are still taken, and wait; `sapo-sync connect resume {name}` goes on"
        ));
    } else {
        out::line(format!("{name} is active again; {released} waiting objects go on now"));
    }
    Ok(Exit::Fine)
}

async fn check(invocation: &Invocation, name: Option<&str>) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    if let Some(name) = name
        && !known.connections.contains_key(name)
    {
        return Err(no_connection(name, &known).into());
    }
    let http = app::sender(&invocation.config, store.clock())?;
    let mut ended = Exit::Fine;
    let mut checked = 0;
    for row in sorted(&known) {
        let connection = &row.connection;
        let meant = name.map_or(connection.state != State::Stopped, |name| connection.name == name);
        let Some(shop) = known.stores.get(&connection.store).filter(|_| meant) else { continue };
        checked += 1;
        let wrong = connect::check(&http, shop, row).await.err().map(|error| error.to_string());
        if wrong.is_some() {
            ended = Exit::Failed;
        }
        if invocation.json {
            out::json(&json!({"name": connection.name, "ok": wrong.is_none(), "reason": wrong}));
        } else {
            out::line(wrong.map_or_else(
                || format!("ok     {}", connection.name),
                |why| format!("wrong  {}: {why}", connection.name),
            ));
        }
    }
    if checked == 0 {
        out::note("there is no connection to check; `sapo-sync connect apply FILE` makes one");
    }
    Ok(ended)
}
