//! `connect`: makes, shows, pauses, resumes and checks connections.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{ApplyArgs, ConnectCommand, Filter};
use super::dead::confirmed;
use super::exit::Exit;
use super::setup::{ACTOR, Invocation, no_connection};
use super::{authorize, out, settings};
use crate::app;
use crate::domain::connection::{Connection, State};
use crate::domain::event::System;
use crate::store::Store;
use crate::store::connections::{ConnectionAccount, Snapshot};
use crate::store::counts::{Lying, WebErrors};
use crate::sync::connect::file::{Defaults, File};
use crate::sync::connect::{self, SOLE_POS};
use crate::work::context::ACCESS;

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: ConnectCommand) -> anyhow::Result<Exit> {
    match command {
        ConnectCommand::Apply(args) => apply(&invocation, &args).await,
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

async fn apply(invocation: &Invocation, args: &ApplyArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let mut file = connect::file::read(&args.file, &defaults(invocation, &store).await?)?;
    let unconfirmed = confirm_sole_pos(&store, &mut file, args.yes, invocation.json).await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let applied = if args.paused {
        connect::apply_paused(&store, &http, &file, args.prune, args.offline, ACTOR).await?
    } else {
        connect::apply(&store, &http, &file, args.prune, args.offline, ACTOR).await?
    };
    if invocation.json {
        out::json(&json!({
            "file": args.file.display().to_string(), "changes": applied.changes, "left_alone": applied.left_alone,
            "paused": applied.paused, "stay_active": applied.stay_active, "unconfirmed": unconfirmed,
        }));
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
    if !applied.stay_active.is_empty() {
        out::line(format!(
            "active already, and not paused by this: {} (`sapo-sync connect pause NAME` pauses one)",
            applied.stay_active.join(", ")
        ));
    }
    for name in &applied.paused {
        out::line(format!(
            "{name} is paused (tạm dừng): webhooks are taken, and wait; nothing is linked, pushed or created until `sapo-sync connect resume {name}`"
        ));
    }
    if args.offline {
        out::line("nothing was checked against the shops (--offline); `sapo-sync connect check` does");
    }
    // What is paused is what is to be prepared.
    let prepared = file.connections.iter().find(|entry| applied.paused.contains(&entry.name));
    if let Some(entry) = prepared.or_else(|| file.connections.first()).filter(|_| !applied.changes.is_empty()) {
        let first = if entry.channel == System::Web { "preflight" } else { "plan" };
        out::line(format!(
            "webhooks go to /webhooks/omni/{} and /webhooks/{}/{}; next: sapo-sync {first} --connection {}",
            entry.store, entry.channel, entry.site, entry.name
        ));
    }
    Ok(Exit::Fine)
}

/// What a connections file may leave out: what shops granted by OAuth.
pub async fn defaults(invocation: &Invocation, store: &Store) -> anyhow::Result<Defaults> {
    let apps = [(System::Omni, &invocation.config.oauth_omni), (System::Web, &invocation.config.oauth_web)];
    let secrets = apps.into_iter().filter_map(|(system, app)| Some((system, app.as_ref()?.client_secret.clone())));
    Ok(Defaults { tokens: store.granted_tokens().await?, secrets: secrets.collect() })
}

/// Has the owner of each web that nobody confirmed yet, or that was disconnected since, confirm that it is linked to no
/// other POS. Where nobody can be asked the web is connected all the same, and `connect list`, `show` and `check` say
/// that nobody confirmed it.
async fn confirm_sole_pos(store: &Store, file: &mut File, yes: bool, quiet: bool) -> anyhow::Result<Vec<String>> {
    let known = store.snapshot().await?;
    let mut unconfirmed = Vec::new();
    for entry in file.connections.iter_mut().filter(|entry| entry.channel == System::Web && !entry.sole_pos) {
        let row = known.connections.get(&entry.name).filter(|row| row.connection.state != State::Stopped);
        if row.is_some_and(|row| row.confirmed.is_some()) {
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

/// What lies at the connections that are shown, by their names; of webs with what is in error there, for that need not
/// have a link.
struct Counts(HashMap<String, (Lying, Option<WebErrors>)>);

impl Counts {
    async fn read(store: &Store, rows: &[&ConnectionAccount]) -> anyhow::Result<Self> {
        let mut all = HashMap::new();
        for Connection { name, channel, .. } in rows.iter().map(|row| &row.connection) {
            let web = if *channel == System::Web { Some(store.web_errors(name).await?) } else { None };
            all.insert(name.clone(), (store.lying(name).await?, web));
        }
        Ok(Self(all))
    }

    /// The link errors of a web are what `links list` shows in error, variants of both sides and orders.
    fn fields(&self, connection: &str) -> Vec<(&'static str, Value)> {
        let (lying, web) = self.0.get(connection).copied().unwrap_or_default();
        let errors = web.map_or(lying.link_errors, |web| web.variants + web.orders);
        let mut fields =
            vec![("linked", lying.linked), ("link_errors", errors), ("parked", lying.parked), ("dead", lying.dead)];
        fields.extend(web.into_iter().flat_map(|web| [("variant_errors", web.variants), ("order_errors", web.orders)]));
        fields.into_iter().map(|(key, number)| (key, json!(number))).collect()
    }
}

async fn list(invocation: &Invocation, filter: &Filter) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let since = filter.since.map(|since| since.seen_from(store.clock().now()));
    let wanted = |row: &&ConnectionAccount| {
        let connection = &row.connection;
        let texts = [connection.name.as_str(), &connection.store, &connection.site];
        filter.connection.as_ref().is_none_or(|name| *name == connection.name)
            && filter.search.as_ref().is_none_or(|search| texts.iter().any(|text| text.contains(search.as_str())))
            && filter.code.as_ref().is_none_or(|code| code == connection.state.as_str())
            && since.is_none_or(|since| connection.activated_at >= since)
    };
    let wanted: Vec<&ConnectionAccount> = sorted(&known).into_iter().filter(wanted).collect();
    let shown = wanted.len().min(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    let counts = Counts::read(&store, &wanted[..shown]).await?;
    let rows: Vec<Value> =
        wanted.iter().map(|row| out::with(object(row, &known), &counts.fields(&row.connection.name))).collect();
    let text = |row: &Value, key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), ToOwned::to_owned);
    let header =
        ["connection", "store", "channel", "site", "state", "syncs", "linked", "link errors", "parked", "dead"];
    let cells = |row: &Value| {
        let mut cells: Vec<String> =
            ["name", "store", "channel", "site", "state"].iter().map(|key| text(row, key)).collect();
        let is_on = |key: &str| row["syncs"].as_array().is_some_and(|on| on.iter().any(|it| it == key));
        let on: Vec<&str> = SWITCHES.iter().filter(|(key, _)| is_on(key)).map(|(_, label)| *label).collect();
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

/// What a connection keeps in step, by the keys of the switches; the products of a web have none, and always are.
fn syncs(connection: &Connection) -> Vec<&'static str> {
    let settings = &connection.settings;
    let on = [settings.products || connection.channel == System::Web, settings.customers, settings.orders];
    SWITCHES.iter().zip(on).filter(|(_, on)| *on).map(|((key, _), _)| *key).collect()
}

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
        "syncs": syncs(connection),
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
    let counts = Counts::read(&store, &[row.as_ref()]).await?;
    let object = out::with(object(row, &known), &counts.fields(name));
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
