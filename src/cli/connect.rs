//! `connect`: makes, shows, pauses, resumes and checks connections.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{ConnectCommand, Filter};
use super::dead::confirmed;
use super::exit::Exit;
use super::setup::{ACTOR, Invocation, no_connection};
use super::{authorize, out, settings};
use crate::app;
use crate::domain::connection::{Connection, State};
use crate::domain::event::System;
use crate::store::Store;
use crate::store::connections::{ConnectionAccount, Snapshot};
use crate::store::counts::Count;
use crate::sync::connect::file::{Defaults, File};
use crate::sync::connect::{self, SOLE_POS};
use crate::work::context::ACCESS;

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: ConnectCommand) -> anyhow::Result<Exit> {
    match command {
        ConnectCommand::Apply { file, prune, offline, yes } => apply(&invocation, &file, prune, offline, yes).await,
        ConnectCommand::List(filter) => list(&invocation, &filter).await,
        ConnectCommand::Show { name } => show(&invocation, &name).await,
        ConnectCommand::Pause { name } => set_state(&invocation, &name, State::Paused).await,
        ConnectCommand::Resume { name } => set_state(&invocation, &name, State::Active).await,
        ConnectCommand::Check { name } => check(&invocation, name.as_deref()).await,
        ConnectCommand::Authorize(args) => authorize::authorize(&invocation, &args).await,
        ConnectCommand::Choices(args) => authorize::choices(&invocation, &args).await,
        ConnectCommand::Webhooks(args) => authorize::hooks(&invocation, &args).await,
    }
}

async fn apply(invocation: &Invocation, path: &Path, prune: bool, offline: bool, yes: bool) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let mut file = connect::file::read(path, &defaults(invocation, &store).await?)?;
    let unconfirmed = confirm_sole_pos(&store, &mut file, yes, invocation.json).await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let applied = connect::apply(&store, &http, &file, prune, offline, ACTOR).await?;
    if invocation.json {
        out::json(
            &json!({"file": path.display().to_string(), "changes": applied.changes, "left_alone": applied.left_alone, "unconfirmed": unconfirmed}),
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
        let first = if entry.channel == System::Web { "preflight" } else { "plan" };
        out::line(format!(
            "webhooks go to /webhooks/omni/{} and /webhooks/{}/{}; next: sapo-sync {first} --connection {}",
            entry.store, entry.channel, entry.site, entry.name
        ));
    }
    Ok(Exit::Fine)
}

/// What a connections file may leave out: what shops granted by OAuth.
async fn defaults(invocation: &Invocation, store: &Store) -> anyhow::Result<Defaults> {
    let apps = [(System::Omni, &invocation.config.oauth_omni), (System::Web, &invocation.config.oauth_web)];
    let secrets = apps.into_iter().filter_map(|(system, app)| Some((system, app.as_ref()?.client_secret.clone())));
    Ok(Defaults { tokens: store.granted_tokens().await?, secrets: secrets.collect() })
}

/// Has the owner of each web that nobody confirmed yet confirm that it is linked to no other POS. Where nobody can be
/// asked the web is connected all the same, and `connect list`, `show` and `check` say that nobody confirmed it.
async fn confirm_sole_pos(store: &Store, file: &mut File, yes: bool, quiet: bool) -> anyhow::Result<Vec<String>> {
    let known = store.snapshot().await?;
    let mut unconfirmed = Vec::new();
    for entry in file.connections.iter_mut().filter(|entry| entry.channel == System::Web && !entry.sole_pos) {
        if known.connections.get(&entry.name).is_some_and(|row| row.confirmed.is_some()) {
            continue;
        }
        if yes {
            entry.sole_pos = true;
        } else if std::io::stdin().is_terminal() {
            let question = format!("{}: {SOLE_POS}?", entry.site);
            if !confirmed(&question, false)? {
                bail!(
                    "nothing was applied: cut the link of {} with the other POS first, for products and orders would get doubled (sản phẩm và đơn hàng sẽ bị trùng)",
                    entry.site
                );
            }
            entry.sole_pos = true;
        } else {
            unconfirmed.push(entry.name.clone());
            if !quiet {
                out::note(unconfirmed_note(&entry.name, &entry.site));
            }
        }
    }
    Ok(unconfirmed)
}

/// Whether a web is worked on though nobody confirmed that it is linked to no other POS.
fn is_unconfirmed(row: &ConnectionAccount) -> bool {
    let Connection { channel, state, .. } = &row.connection;
    *channel == System::Web && *state != State::Stopped && row.confirmed.is_none()
}

/// What is said of such a web: that it is so, and how it is confirmed.
fn unconfirmed_note(name: &str, site: &str) -> String {
    format!(
        "{name} is unconfirmed (chưa xác nhận): nobody said of {site} that {SOLE_POS}; if it is so, write sole_pos = true in its table, or run `sapo-sync connect apply FILE --yes`"
    )
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
    if !invocation.json {
        for row in rows.iter().filter(|row| row["state_reason"].is_string()) {
            out::note(format!("{} is {}: {}", text(row, "name"), text(row, "state"), text(row, "state_reason")));
        }
        for row in rows.iter().filter(|row| row["unconfirmed"] == json!(true)) {
            out::note(unconfirmed_note(&text(row, "name"), &text(row, "site")));
        }
    }
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
        "api_key": settings::set(row.api_key.clone().map(Into::into).as_ref()),
        "confirmed": row.confirmed,
        "unconfirmed": is_unconfirmed(row),
        "webhook_header": row.webhook_header.as_ref().map(|(name, _)| name.clone()),
        "webhook_secrets": row.webhook_secrets.len(),
        "base_url": row.base_url,
        "state": connection.state.as_str(),
        "state_reason": row.state_reason,
        "activated_at": connection.activated_at,
        "start_line_at": connection.start_line(),
        "settings": settings_of(connection),
        "webhook_paths": [format!("/webhooks/omni/{}", connection.store), format!("/webhooks/{}/{}", connection.channel, connection.site)],
    }))
}

/// The settings by the names that they have in the connections file, without those of the other channel.
fn settings_of(connection: &Connection) -> Value {
    let mut all = json!(connection.settings);
    let Some(fields) = all.as_object_mut() else { return all };
    let web = fields.remove("web");
    if connection.channel == System::Web {
        fields
            .retain(|key, _| !["products", "status_profile", "customer_name", "returned_code"].contains(&key.as_str()));
        if let Some(branch) = fields.remove("branch") {
            fields.insert("order_branch".to_owned(), branch);
        }
        if let Some(Value::Object(web)) = web {
            fields.extend(web);
        }
    }
    all
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
    if is_unconfirmed(row) {
        out::note(unconfirmed_note(name, &row.connection.site));
    }
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
        released += store.bring_forward(name, ACCESS).await?;
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
        let unconfirmed = is_unconfirmed(row);
        if invocation.json {
            out::json(
                &json!({"name": connection.name, "ok": wrong.is_none(), "reason": wrong, "unconfirmed": unconfirmed}),
            );
        } else {
            out::line(wrong.map_or_else(
                || format!("ok     {}", connection.name),
                |why| format!("wrong  {}: {why}", connection.name),
            ));
            if unconfirmed {
                out::note(unconfirmed_note(&connection.name, &connection.site));
            }
        }
    }
    if checked == 0 {
        out::note("there is no connection to check; `sapo-sync connect apply FILE` makes one");
    }
    Ok(ended)
}
