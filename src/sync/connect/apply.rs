//! Applies a connections file: checks every part against the shop first, then writes all of it, says what it changed,
//! and removes nothing unless told to.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::ConnectError;
use super::check::{check_entry, check_store, unusable};
use super::file::{ConnectionEntry, File, StoreEntry};
use crate::destination::{Http, OmniClient};
use crate::domain::connection::{Connection, Settings, State};
use crate::domain::time;
use crate::store::Store;
use crate::store::connections::{CHANGES, ConnectionAccount, StoreAccount};
use crate::work::context::{ACCESS, SETTINGS};

/// What applying a file did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One line for each change; empty where everything was so already.
    pub changes: Vec<String>,
    /// Connections that the file does not name, and that were left alone.
    pub left_alone: Vec<String>,
    /// Connections of the file that are paused now, since before or by this.
    pub paused: Vec<String>,
    /// Of [`apply_paused`]: connections of the file that were active already, and stay so.
    pub stay_active: Vec<String>,
}

/// Applies a file. `prune` stops connections that it does not name; `offline` skips the checks against the shop.
pub async fn apply(
    store: &Store,
    http: &Http,
    file: &File,
    prune: bool,
    offline: bool,
    actor: &str,
) -> Result<Applied, ConnectError> {
    begin(store, http, file, State::Active, prune, offline, actor).await
}

/// The same, with what begins by it (new, or disconnected before) paused: an owner can prepare while webhooks are taken
/// already. The start line is now all the same, for a pause moves none.
pub async fn apply_paused(
    store: &Store,
    http: &Http,
    file: &File,
    prune: bool,
    offline: bool,
    actor: &str,
) -> Result<Applied, ConnectError> {
    begin(store, http, file, State::Paused, prune, offline, actor).await
}

async fn begin(
    store: &Store,
    http: &Http,
    file: &File,
    first: State,
    prune: bool,
    offline: bool,
    actor: &str,
) -> Result<Applied, ConnectError> {
    let known = store.snapshot().await?;
    let mut tenants = Vec::with_capacity(file.stores.len());
    for entry in &file.stores {
        let client = OmniClient::new(http, &entry.alias, entry.access_token.clone(), entry.base_url.as_deref())
            .map_err(|error| unusable(&format!("store {}", entry.alias), "access_token", &error))?;
        tenants.push(if offline { None } else { check_store(&entry.alias, entry.base_url.is_some(), &client).await? });
    }
    for entry in &file.connections {
        check_entry(http, file, &known, entry, prune, offline).await?;
    }
    let mut applied = Applied::default();
    let mut tx = store.begin().await?;
    // The checks took a while: a pause, an uninstalled app or a grant that came meanwhile is not to be written over.
    store.serialise(&mut tx, CHANGES).await?;
    if store.snapshot_stamp().await? != known.stamp {
        return Err(ConnectError::value(
            "connections",
            "were changed by somebody else while this was checked; nothing was written: run it again",
        ));
    }
    for (entry, tenant) in file.stores.iter().zip(tenants) {
        let before = known.stores.get(&entry.alias);
        let row = StoreAccount {
            alias: entry.alias.clone(),
            access_token: entry.access_token.clone(),
            webhook_secrets: entry.webhook_secrets.clone(),
            base_url: entry.base_url.clone(),
            tenant_id: tenant.or_else(|| before.and_then(|row| row.tenant_id.clone())),
        };
        let changes = store_changes(before.map(AsRef::as_ref), entry, &row);
        if !changes.is_empty() {
            store.put_store(&mut tx, &row).await?;
            store
                .audit(&mut tx, actor, "connect apply", &format!("store {}", entry.alias), &changes.join("; "))
                .await?;
            applied.changes.extend(changes.into_iter().map(|change| format!("store {}: {change}", entry.alias)));
        }
    }
    // Before any is made: one of them may be for the site of one that is stopped here.
    let mut others: Vec<&str> = known
        .connections
        .values()
        .filter(|row| row.connection.state != State::Stopped)
        .map(|row| row.connection.name.as_str())
        .collect();
    others.retain(|name| !file.connections.iter().any(|entry| entry.name == *name));
    others.sort_unstable();
    for name in others {
        if prune {
            store
                .set_connection_state(
                    &mut tx,
                    name,
                    State::Stopped,
                    Some("not in the connections file (connect apply --prune)"),
                )
                .await?;
            store.audit(&mut tx, actor, "connect apply --prune", name, "stopped").await?;
            applied.changes.push(format!("connection {name}: stopped"));
        } else {
            applied.left_alone.push(name.to_owned());
        }
    }
    for entry in &file.connections {
        let before = known.connections.get(&entry.name);
        let row = account(store, entry, before.map(AsRef::as_ref), first);
        let changes = connection_changes(before.map(AsRef::as_ref), &row)?;
        match row.connection.state {
            State::Paused => applied.paused.push(entry.name.clone()),
            State::Active if first == State::Paused => applied.stay_active.push(entry.name.clone()),
            State::Active | State::NoAccess | State::Stopped => {}
        }
        if !changes.is_empty() {
            store.put_connection(&mut tx, &row).await?;
            store.audit(&mut tx, actor, "connect apply", &entry.name, &changes.join("; ")).await?;
            applied.changes.extend(changes.into_iter().map(|change| format!("connection {}: {change}", entry.name)));
        }
    }
    tx.commit().await?;
    // What waited for a setting or for access looks again now.
    for entry in &file.connections {
        for cause in [SETTINGS, ACCESS] {
            store.bring_forward(&entry.name, cause).await?;
        }
    }
    Ok(applied)
}

/// The row that an entry makes; what begins by it begins in the state `first`.
fn account(
    store: &Store,
    entry: &ConnectionEntry,
    before: Option<&ConnectionAccount>,
    first: State,
) -> ConnectionAccount {
    // One that was disconnected begins anew, with its start line and with what its owner confirms of it: meanwhile it
    // may have been linked elsewhere.
    let goes_on = before.filter(|row| row.connection.state != State::Stopped);
    let state = match goes_on.map(|row| row.connection.state) {
        // A new token is tried at once, where nothing else is asked for; one that is refused as well is seen at the next
        // call.
        None | Some(State::Stopped | State::NoAccess) => first,
        Some(State::Active) => State::Active,
        Some(State::Paused) => State::Paused,
    };
    let reason = match goes_on.filter(|row| row.connection.state != State::NoAccess) {
        Some(row) => row.state_reason.clone(),
        None => Some("connected as paused (connect apply --paused)".to_owned()),
    };
    let now = store.clock().now();
    ConnectionAccount {
        token: entry.token.clone(),
        api_key: entry.api_key.clone(),
        confirmed: goes_on
            .and_then(|row| row.confirmed.clone())
            .or_else(|| entry.sole_pos.then(|| SOLE_POS.to_owned())),
        webhook_header: entry.webhook_header.clone(),
        webhook_secrets: entry.webhook_secrets.clone(),
        base_url: entry.base_url.clone(),
        state_reason: reason.filter(|_| state != State::Active),
        connection: Connection {
            name: entry.name.clone(),
            store: entry.store.clone(),
            channel: entry.channel,
            site: entry.site.clone(),
            state,
            settings: entry.settings.clone(),
            activated_at: goes_on.map_or(now, |row| row.connection.activated_at),
        },
    }
}

/// What the owner of a web confirms before it is connected: otherwise products and orders get doubled (guide W).
pub const SOLE_POS: &str = "this web is linked to no other POS through a sync channel / website này không liên kết với POS nào khác qua kênh đồng bộ";

fn same_secrets(one: &[SecretString], other: &[SecretString]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.expose_secret() == b.expose_secret())
}

fn store_changes(before: Option<&StoreAccount>, entry: &StoreEntry, row: &StoreAccount) -> Vec<String> {
    let Some(before) = before else {
        return vec!["connected".to_owned()];
    };
    let mut changes = Vec::new();
    let mut note = |differs: bool, what: &str| changes.extend(differs.then(|| what.to_owned()));
    note(before.access_token.expose_secret() != entry.access_token.expose_secret(), "access_token changed");
    note(!same_secrets(&before.webhook_secrets, &entry.webhook_secrets), "webhook_secret changed");
    note(before.base_url != entry.base_url, "base_url changed");
    note(before.tenant_id != row.tenant_id, "tenant known");
    changes
}

fn connection_changes(
    before: Option<&ConnectionAccount>,
    row: &ConnectionAccount,
) -> Result<Vec<String>, ConnectError> {
    let Some(before) = before else {
        return Ok(vec![begun("connected", row)]);
    };
    let was_stopped = before.connection.state == State::Stopped;
    let mut changes = Vec::new();
    let mut note = |differs: bool, what: &str| changes.extend(differs.then(|| what.to_owned()));
    let header = |row: &ConnectionAccount| {
        row.webhook_header.as_ref().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
    };
    note(before.token.expose_secret() != row.token.expose_secret(), "token changed");
    note(before.api_key != row.api_key, "api_key changed");
    let said_anew = row.confirmed.is_some() && (was_stopped || before.confirmed.is_none());
    note(said_anew, "confirmed by the owner: linked to no other POS");
    note(
        before.confirmed.is_some() && row.confirmed.is_none(),
        "no longer confirmed to be linked to no other POS, for it was disconnected: confirm it anew",
    );
    note(header(before) != header(row), "webhook_header changed");
    note(!same_secrets(&before.webhook_secrets, &row.webhook_secrets), "webhook_secret changed");
    note(before.base_url != row.base_url, "base_url changed");
    let is_paused = row.connection.state == State::Paused;
    let tried = if is_paused { "paused; tried again once `sapo-sync connect resume` is run" } else { "tried again" };
    note(before.connection.state == State::NoAccess, tried);
    note(was_stopped, &begun("activated anew", row));
    let fields = |settings: &Settings| {
        serde_json::to_value(settings).map_err(|error| ConnectError::value("settings", error.to_string()))
    };
    let (old, new) = (fields(&before.connection.settings)?, fields(&row.connection.settings)?);
    differences("", &old, &new, &mut changes);
    Ok(changes)
}

/// What is said of a connection that begins: its start line is now, unless the file moves it, and also where it is paused.
fn begun(how: &str, row: &ConnectionAccount) -> String {
    let Connection { name, state, settings, .. } = &row.connection;
    let since = settings
        .orders_from
        .map_or_else(|| "from now on".to_owned(), |from| format!("since {} (orders_from)", time::format(from)));
    let line = format!("only orders made {since} are created on the other side");
    match state {
        State::Paused => format!("{how}, paused; {line}, once `sapo-sync connect resume {name}` is run"),
        State::Active | State::NoAccess | State::Stopped => format!("{how}; {line}"),
    }
}

/// Names every setting that differs, those of a group by themselves: `web.approve_orders false → true`.
fn differences(path: &str, old: &Value, new: &Value, changes: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(now)) => {
            let missing = Value::Null;
            let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
            for key in keys {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let value = |side: &'_ serde_json::Map<String, Value>| side.get(key).unwrap_or(&missing).clone();
                differences(&inner, &value(before), &value(now), changes);
            }
        }
        _ if old == new => {}
        _ => changes.push(format!("{path} {old} → {new}")),
    }
}
