//! Applies a connections file: checks every part against the shop first, then writes all of it, says what it changed,
//! and removes nothing unless told to.

use secrecy::{ExposeSecret, SecretString};

use super::ConnectError;
use super::file::{ConnectionEntry, File, StoreEntry};
use crate::destination::omni::client::Choice;
use crate::destination::{AbahaClient, CallError, ClientError, Http, OmniClient};
use crate::domain::connection::{Connection, Settings, State};
use crate::store::Store;
use crate::store::connections::{ConnectionAccount, Snapshot, StoreAccount};

/// What applying a file did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One line for each change; empty where everything was so already.
    pub changes: Vec<String>,
    /// Connections that the file does not name, and that were left alone.
    pub left_alone: Vec<String>,
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
    let known = store.snapshot().await?;
    let mut tenants = Vec::with_capacity(file.stores.len());
    for entry in &file.stores {
        let client = OmniClient::new(http, &entry.alias, entry.access_token.clone(), entry.base_url.as_deref())
            .map_err(|error| unusable(&format!("store {}", entry.alias), "access_token", &error))?;
        tenants.push(if offline { None } else { check_store(&entry.alias, entry.base_url.is_some(), &client).await? });
    }
    for entry in &file.connections {
        check_entry(http, file, &known, entry, offline).await?;
    }
    let mut applied = Applied::default();
    let mut tx = store.begin().await?;
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
    for entry in &file.connections {
        let before = known.connections.get(&entry.name);
        let row = account(store, entry, before.map(AsRef::as_ref));
        let changes = connection_changes(before.map(AsRef::as_ref), &row)?;
        if !changes.is_empty() {
            store.put_connection(&mut tx, &row).await?;
            store.audit(&mut tx, actor, "connect apply", &entry.name, &changes.join("; ")).await?;
            applied.changes.extend(changes.into_iter().map(|change| format!("connection {}: {change}", entry.name)));
        }
    }
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
    tx.commit().await?;
    Ok(applied)
}

/// Checks a stored connection against the shop and the channel: nothing is changed.
pub async fn check(http: &Http, store: &StoreAccount, row: &ConnectionAccount) -> Result<(), ConnectError> {
    let name = &row.connection.name;
    let omni = OmniClient::new(http, &store.alias, store.access_token.clone(), store.base_url.as_deref())
        .map_err(|error| unusable(&format!("store {}", store.alias), "access_token", &error))?;
    check_store(&store.alias, store.base_url.is_some(), &omni).await?;
    check_settings(name, &omni, &row.connection.settings).await?;
    let abaha = AbahaClient::new(http, &row.connection.site, row.token.clone(), row.base_url.as_deref())
        .map_err(|error| unusable(&format!("connection {name}"), "token", &error))?;
    check_channel(name, row.base_url.is_some(), &abaha).await
}

/// Why no client can be made, with the key that is wrong.
fn unusable(what: &str, token_key: &str, error: &ClientError) -> ConnectError {
    match error {
        ClientError::Host(host) => ConnectError::value(
            format!("{what}, base_url"),
            format!(
                "{host} is not the API's own host; if it is a sandbox or a proxy, set SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS=true"
            ),
        ),
        ClientError::Address => ConnectError::value(format!("{what}, base_url"), error.to_string()),
        ClientError::Token => ConnectError::value(format!("{what}, {token_key}"), error.to_string()),
        ClientError::Name(_) | ClientError::Tls(_) => ConnectError::value(what, error.to_string()),
    }
}

async fn check_store(alias: &str, custom: bool, client: &OmniClient) -> Result<Option<String>, ConnectError> {
    let tenant = client.tenant().await.map_err(|error| {
        let what = |key: &str| format!("store {alias}, {key}");
        match &error {
            CallError::Unauthorised { .. } => ConnectError::value(what("access_token"), "Sapo refuses the token; make a new one in the shop's private apps (Ứng dụng riêng) and try again"),
            CallError::Failing { code, .. } => ConnectError::value(
                what(if custom { "base_url" } else { "alias" }),
                format!("the shop cannot be reached ({code}); check the address and the network, or apply with --offline and check later with `connect check`"),
            ),
            other => ConnectError::value(what("access_token"), other.to_string()),
        }
    })?;
    Ok(tenant.id)
}

async fn check_entry(
    http: &Http,
    file: &File,
    known: &Snapshot,
    entry: &ConnectionEntry,
    offline: bool,
) -> Result<(), ConnectError> {
    let what = format!("connection {}", entry.name);
    let listed = file.stores.iter().find(|store| store.alias == entry.store);
    let stored = known.stores.get(&entry.store);
    let (token, base_url) = match (listed, stored) {
        (Some(store), _) => (store.access_token.clone(), store.base_url.clone()),
        (None, Some(store)) => (store.access_token.clone(), store.base_url.clone()),
        (None, None) => {
            return Err(ConnectError::value(
                format!("{what}, store"),
                format!("{:?} is neither in this file nor connected; add a [[store]] with that alias", entry.store),
            ));
        }
    };
    if let Some(other) = known.of_site(entry.channel, &entry.site).filter(|other| other.connection.name != entry.name) {
        return Err(ConnectError::value(
            format!("{what}, site"),
            format!("{} is connected as {:?} already; one active connection a site", entry.site, other.connection.name),
        ));
    }
    let omni = OmniClient::new(http, &entry.store, token, base_url.as_deref())
        .map_err(|error| unusable(&format!("store {}", entry.store), "access_token", &error))?;
    let abaha = AbahaClient::new(http, &entry.site, entry.token.clone(), entry.base_url.as_deref())
        .map_err(|error| unusable(&what, "token", &error))?;
    if offline {
        return Ok(());
    }
    check_settings(&entry.name, &omni, &entry.settings).await?;
    check_channel(&entry.name, entry.base_url.is_some(), &abaha).await
}

async fn check_channel(name: &str, custom: bool, abaha: &AbahaClient) -> Result<(), ConnectError> {
    abaha.categories(1).await.map(|_| ()).map_err(|error| {
        let what = |key: &str| format!("connection {name}, {key}");
        match &error {
            CallError::Unauthorised { .. } => ConnectError::value(what("token"), "Abaha refuses the token; copy it again from the Abaha site's settings"),
            CallError::Failing { code, .. } => ConnectError::value(
                what(if custom { "base_url" } else { "site" }),
                format!("Abaha cannot be reached ({code}); check the address and the network, or apply with --offline and check later with `connect check`"),
            ),
            other => ConnectError::value(what("token"), other.to_string()),
        }
    })
}

async fn check_settings(name: &str, omni: &OmniClient, settings: &Settings) -> Result<(), ConnectError> {
    let unreachable = |error: CallError| {
        ConnectError::value(format!("connection {name}"), format!("the shop's choices cannot be read: {error}"))
    };
    one_of(name, "branch", settings.branch, &omni.locations().await.map_err(unreachable)?)?;
    if settings.staff.is_some() {
        one_of(name, "staff", settings.staff, &omni.accounts().await.map_err(unreachable)?)?;
    }
    if settings.source.is_some() {
        one_of(name, "source", settings.source, &omni.order_sources().await.map_err(unreachable)?)?;
    }
    if settings.payment_method.is_some() {
        one_of(name, "payment_method", settings.payment_method, &omni.payment_methods().await.map_err(unreachable)?)?;
    }
    Ok(())
}

fn one_of(name: &str, key: &str, chosen: Option<u64>, choices: &[Choice]) -> Result<(), ConnectError> {
    let what = format!("connection {name}, {key}");
    let list =
        || choices.iter().map(|choice| format!("{} ({})", choice.id, choice.name)).collect::<Vec<_>>().join(", ");
    match chosen {
        Some(id) if choices.iter().any(|choice| choice.id == id) => Ok(()),
        Some(id) => Err(ConnectError::value(what, format!("{id} is not one of the shop's: {}", list()))),
        None if key == "branch" && choices.len() != 1 && !choices.iter().any(|choice| choice.primary) => {
            Err(ConnectError::value(what, format!("must be chosen, for the shop marks no default branch: {}", list())))
        }
        None => Ok(()),
    }
}

fn account(store: &Store, entry: &ConnectionEntry, before: Option<&ConnectionAccount>) -> ConnectionAccount {
    let stopped = before.is_some_and(|row| row.connection.state == State::Stopped);
    let now = store.clock().now();
    ConnectionAccount {
        token: entry.token.clone(),
        webhook_header: entry.webhook_header.clone(),
        webhook_secrets: entry.webhook_secrets.clone(),
        base_url: entry.base_url.clone(),
        state_reason: before.filter(|_| !stopped).and_then(|row| row.state_reason.clone()),
        connection: Connection {
            name: entry.name.clone(),
            store: entry.store.clone(),
            channel: entry.channel,
            site: entry.site.clone(),
            // Applying a connection that was disconnected activates it anew, and with it the start line.
            state: before.filter(|_| !stopped).map_or(State::Active, |row| row.connection.state),
            settings: entry.settings.clone(),
            activated_at: before.filter(|_| !stopped).map_or(now, |row| row.connection.activated_at),
        },
    }
}

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
        return Ok(vec!["connected; only orders made from now on are created on the other side".to_owned()]);
    };
    let mut changes = Vec::new();
    let mut note = |differs: bool, what: &str| changes.extend(differs.then(|| what.to_owned()));
    let header = |row: &ConnectionAccount| {
        row.webhook_header.as_ref().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
    };
    note(before.connection.store != row.connection.store, "store changed");
    note(before.connection.site != row.connection.site, "site changed");
    note(before.token.expose_secret() != row.token.expose_secret(), "token changed");
    note(header(before) != header(row), "webhook_header changed");
    note(!same_secrets(&before.webhook_secrets, &row.webhook_secrets), "webhook_secret changed");
    note(before.base_url != row.base_url, "base_url changed");
    note(before.connection.state != row.connection.state, "activated anew");
    let fields = |settings: &Settings| {
        serde_json::to_value(settings).map_err(|error| ConnectError::value("settings", error.to_string()))
    };
    let (old, new) = (fields(&before.connection.settings)?, fields(&row.connection.settings)?);
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
        for (key, value) in new {
            if old.get(key) != Some(value) {
                changes.push(format!("{key} {} → {value}", old.get(key).unwrap_or(&serde_json::Value::Null)));
            }
        }
    }
    Ok(changes)
}
