//! Checks connections against the shops: the access works, and what was chosen is there. Nothing is changed.

use super::file::{ConnectionEntry, File};
use super::{ConnectError, TWO_POS};
use crate::destination::omni::client::Choice;
use crate::destination::{AbahaClient, CallError, ClientError, Http, OmniClient, WebAccess, WebClient};
use crate::domain::connection::{Connection, Settings};
use crate::domain::event::System;
use crate::store::connections::{ConnectionAccount, Snapshot, StoreAccount};
use crate::work::context::web_access;

/// Checks a stored connection against the shop and the channel: nothing is changed.
pub async fn check(http: &Http, store: &StoreAccount, row: &ConnectionAccount) -> Result<(), ConnectError> {
    let name = &row.connection.name;
    let omni = OmniClient::new(http, &store.alias, store.access_token.clone(), store.base_url.as_deref())
        .map_err(|error| unusable(&format!("store {}", store.alias), "access_token", &error))?;
    check_store(&store.alias, store.base_url.is_some(), &omni).await?;
    check_settings(name, row.connection.channel, &omni, &row.connection.settings).await?;
    let what = format!("connection {name}");
    let custom = row.base_url.is_some();
    match row.connection.channel {
        System::Web => {
            let web = WebClient::new(http, &row.connection.site, web_access(row), row.base_url.as_deref())
                .map_err(|error| unusable(&what, "access_token", &error))?;
            check_web(name, custom, &omni, &web, &row.connection.settings).await
        }
        System::Abaha | System::Omni => {
            let abaha = AbahaClient::new(http, &row.connection.site, row.token.clone(), row.base_url.as_deref())
                .map_err(|error| unusable(&what, "token", &error))?;
            check_abaha(name, custom, &abaha).await
        }
    }
}

/// Why no client can be made, with the key that is wrong.
pub(super) fn unusable(what: &str, token_key: &str, error: &ClientError) -> ConnectError {
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

pub(super) async fn check_store(
    alias: &str,
    custom: bool,
    client: &OmniClient,
) -> Result<Option<String>, ConnectError> {
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

pub(super) async fn check_entry(
    http: &Http,
    file: &File,
    known: &Snapshot,
    entry: &ConnectionEntry,
    prune: bool,
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
    // With --prune, one that the file does not name is stopped before this one begins.
    let goes = |name: &str| prune && !file.connections.iter().any(|listed| listed.name == name);
    let other = known.of_site(entry.channel, &entry.site).map(|row| &row.connection);
    if let Some(other) = other.filter(|other| other.name != entry.name && !goes(&other.name)) {
        return Err(taken(&what, entry, other));
    }
    if let Some(before) = known.connections.get(&entry.name) {
        same_sides(&what, entry, &before.connection)?;
    }
    let omni = OmniClient::new(http, &entry.store, token, base_url.as_deref())
        .map_err(|error| unusable(&format!("store {}", entry.store), "access_token", &error))?;
    if entry.channel == System::Web {
        let web = WebClient::new(http, &entry.site, access(entry), entry.base_url.as_deref())
            .map_err(|error| unusable(&what, "access_token", &error))?;
        if offline {
            return Ok(());
        }
        check_settings(&entry.name, entry.channel, &omni, &entry.settings).await?;
        return check_web(&entry.name, entry.base_url.is_some(), &omni, &web, &entry.settings).await;
    }
    let abaha = AbahaClient::new(http, &entry.site, entry.token.clone(), entry.base_url.as_deref())
        .map_err(|error| unusable(&what, "token", &error))?;
    if offline {
        return Ok(());
    }
    check_settings(&entry.name, entry.channel, &omni, &entry.settings).await?;
    check_abaha(&entry.name, entry.base_url.is_some(), &abaha).await
}

/// How a web of a file is reached.
pub(super) fn access(entry: &ConnectionEntry) -> WebAccess {
    match &entry.api_key {
        Some(key) => WebAccess::Private { key: key.clone(), secret: entry.token.clone() },
        None => WebAccess::Token(entry.token.clone()),
    }
}

/// Why a site is not connected a second time, and what moves it.
fn taken(what: &str, entry: &ConnectionEntry, other: &Connection) -> ConnectError {
    let (site, name, store) = (&entry.site, &other.name, &other.store);
    let why = if *store == entry.store {
        format!(
            "{site} is connected as {name:?} already; one active connection a site. To begin anew under this name, leave {name:?} out of the file and add --prune"
        )
    } else {
        format!(
            "{site} is linked to another POS already, to the store {store:?} by the connection {name:?}; {TWO_POS}. Leave it there, or to move it to the store {:?} leave {name:?} out of the file and add --prune, which disconnects every connection that the file does not name",
            entry.store
        )
    };
    ConnectError::value(
        format!("{what}, site"),
        format!("{why}: the links and the start line of {name:?} are not taken over"),
    )
}

/// A name stands for one store and one site: links, start line and what the owner confirmed are of these.
fn same_sides(what: &str, entry: &ConnectionEntry, before: &Connection) -> Result<(), ConnectError> {
    let sides = [
        ("store", entry.store.as_str(), before.store.as_str()),
        ("channel", entry.channel.as_str(), before.channel.as_str()),
        ("site", entry.site.as_str(), before.site.as_str()),
    ];
    match sides.iter().find(|(_, now, then)| now != then) {
        None => Ok(()),
        Some((key, now, then)) => Err(ConnectError::value(
            format!("{what}, {key}"),
            format!(
                "{now:?} instead of {then:?}: the links of this connection are of the other one. Give the new one a name of its own; the old one stops with --prune once the file names it no more"
            ),
        )),
    }
}

async fn check_abaha(name: &str, custom: bool, abaha: &AbahaClient) -> Result<(), ConnectError> {
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

/// Whether the web can be reached with its token, and what was chosen for it is there.
async fn check_web(
    name: &str,
    custom: bool,
    omni: &OmniClient,
    web: &WebClient,
    settings: &Settings,
) -> Result<(), ConnectError> {
    let what = |key: &str| format!("connection {name}, {key}");
    web.shop().await.map_err(|error| match &error {
        CallError::Unauthorised { .. } => ConnectError::value(what("access_token"), "Sapo Web refuses it; make a new one in the web's private apps (Ứng dụng riêng), or let the owner grant access again: sapo-sync connect authorize"),
        CallError::Failing { code, .. } => ConnectError::value(
            what(if custom { "base_url" } else { "site" }),
            format!("the web cannot be reached ({code}); check the address and the network, or apply with --offline and check later with `connect check`"),
        ),
        other => ConnectError::value(what("access_token"), other.to_string()),
    })?;
    let unreachable = |error: CallError| {
        ConnectError::value(format!("connection {name}"), format!("the choices cannot be read: {error}"))
    };
    one_of(name, "web_location", settings.web.web_location, &web.locations().await.map_err(unreachable)?)?;
    let price = &settings.web.price;
    if price.sync {
        let lists = omni.price_lists().await.map_err(unreachable)?;
        for (key, code) in [("price.from", Some(price.from.as_str())), ("price.compare_at", price.compare_list())] {
            let Some(code) = code else { continue };
            let named = || {
                let usable = lists.iter().filter(|list| !list.cost);
                usable.map(|list| format!("{} ({})", list.code, list.name)).collect::<Vec<_>>().join(", ")
            };
            match lists.iter().find(|list| list.code == code) {
                None => {
                    return Err(ConnectError::value(
                        what(key),
                        format!("{code:?} is not one of the shop's price lists: {}", named()),
                    ));
                }
                Some(list) if list.cost => {
                    return Err(ConnectError::value(
                        what(key),
                        format!(
                            "{code:?} is a list of cost prices, which no web is to show; choose one of: {}",
                            named()
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(customer) = settings.web.walk_in_customer {
        omni.customer(&customer.to_string()).await.map_err(|error| match error {
            CallError::NotFound { .. } => ConnectError::value(
                what("walk_in_customer"),
                format!("{customer} is not one of the shop's customers; leave it out for the shop's own khách lẻ"),
            ),
            other => unreachable(other),
        })?;
    }
    Ok(())
}

async fn check_settings(
    name: &str,
    channel: System,
    omni: &OmniClient,
    settings: &Settings,
) -> Result<(), ConnectError> {
    let unreachable = |error: CallError| {
        ConnectError::value(format!("connection {name}"), format!("the shop's choices cannot be read: {error}"))
    };
    let branches = omni.locations().await.map_err(unreachable)?;
    if channel == System::Web {
        one_of(name, "order_branch", settings.branch, &branches)?;
        if settings.web.stock_branches.is_empty() {
            one_of(name, "stock_branches", None, &branches)?;
        }
        for branch in &settings.web.stock_branches {
            one_of(name, "stock_branches", Some(*branch), &branches)?;
        }
    } else {
        one_of(name, "branch", settings.branch, &branches)?;
    }
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
    let required = matches!(key, "branch" | "order_branch" | "stock_branches" | "web_location");
    let list = || {
        choices
            .iter()
            .filter(|choice| choice.active)
            .map(|choice| format!("{} ({})", choice.id, choice.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match chosen {
        Some(id) if choices.iter().any(|choice| choice.id == id && choice.active) => Ok(()),
        Some(id) if choices.iter().any(|choice| choice.id == id) => {
            Err(ConnectError::value(what, format!("{id} is not in use any more; choose one of: {}", list())))
        }
        Some(id) => Err(ConnectError::value(what, format!("{id} is not one of the shop's: {}", list()))),
        None if required && Choice::default_of(choices).is_none() => {
            Err(ConnectError::value(what, format!("must be chosen, for the shop marks no default one: {}", list())))
        }
        None => Ok(()),
    }
}
