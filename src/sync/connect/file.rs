//! The connections file: every key is known, none is there twice, no secret is given in two ways.

mod abaha;
mod raw;
mod secrets;
mod web;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use secrecy::SecretString;

use self::raw::{OneSite, RawBuffer, RawConnection, RawFile, RawStore};
use self::secrets::{required, secret, secrets};
use super::{ConnectError, TWO_POS};
use crate::domain::connection::{Settings, StockBuffer, account};
use crate::domain::event::System;
use crate::domain::sku::Sku;
use crate::domain::time;

/// What a file may leave out, for it is known already.
#[derive(Debug, Default)]
pub struct Defaults {
    /// Access tokens that shops granted by OAuth, by account (`omni:cuahangmau`).
    pub tokens: HashMap<String, SecretString>,
    /// The secret keys of the apps that they granted them to: these sign the webhooks.
    pub secrets: HashMap<System, SecretString>,
}

impl Defaults {
    fn token(&self, system: System, name: &str) -> Option<SecretString> {
        self.tokens.get(&account(system, name)).cloned()
    }

    /// The app's secret key signs the webhooks of the shops that granted it access.
    fn webhook_secrets(&self, system: System, name: &str) -> Option<Vec<SecretString>> {
        let granted = self.tokens.contains_key(&account(system, name));
        self.secrets.get(&system).filter(|_| granted).map(|secret| vec![secret.clone()])
    }
}

/// The file, read and checked in itself.
#[derive(Debug, Default)]
pub struct File {
    /// Its stores.
    pub stores: Vec<StoreEntry>,
    /// Its connections.
    pub connections: Vec<ConnectionEntry>,
}

/// A store of the file.
#[derive(Debug)]
pub struct StoreEntry {
    /// `https://{alias}.mysapogo.com`.
    pub alias: String,
    /// For API calls.
    pub access_token: SecretString,
    /// Current and previous.
    pub webhook_secrets: Vec<SecretString>,
    /// Instead of the shop's own host.
    pub base_url: Option<String>,
}

/// A connection of the file.
#[derive(Debug)]
pub struct ConnectionEntry {
    /// Its name.
    pub name: String,
    /// The store's alias.
    pub store: String,
    /// The channel's system.
    pub channel: System,
    /// The channel's site.
    pub site: String,
    /// The channel's token; with `api_key`, the private app's secret.
    pub token: SecretString,
    /// The key of a web's private app.
    pub api_key: Option<String>,
    /// Whether the file says that the web is linked to no other POS (`sole_pos`).
    pub sole_pos: bool,
    /// The secret header Abaha sends, its name in lower case.
    pub webhook_header: Option<(String, SecretString)>,
    /// Where the sender signs.
    pub webhook_secrets: Vec<SecretString>,
    /// Instead of the channel's own host.
    pub base_url: Option<String>,
    /// Switches and choices.
    pub settings: Settings,
}

/// Reads a connections file; `-` is standard input, whose secret files are relative to the working folder.
pub fn read(path: &Path, defaults: &Defaults) -> Result<File, ConnectError> {
    let piped = path.as_os_str() == "-";
    let file = if piped { "standard input".to_owned() } else { path.display().to_string() };
    let wrong = |why: String| ConnectError::File { file: file.clone(), why };
    let text = if piped { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let folder = path.parent().filter(|_| !piped).unwrap_or_else(|| Path::new("."));
    parse_with(&text, folder, defaults).map_err(|error| match error {
        ConnectError::File { why, .. } => wrong(why),
        other => other,
    })
}

/// Reads the text of a connections file that says everything; secret files are relative to `folder`.
pub fn parse(text: &str, folder: &Path) -> Result<File, ConnectError> {
    parse_with(text, folder, &Defaults::default())
}

/// Reads the text of a connections file; what it leaves out is taken from what is known.
pub fn parse_with(text: &str, folder: &Path, defaults: &Defaults) -> Result<File, ConnectError> {
    let raw: RawFile = toml::from_str(text)
        .map_err(|error| ConnectError::File { file: String::new(), why: without_values(&error, text) })?;
    let mut aliases = HashSet::new();
    let mut names = HashSet::new();
    for store in &raw.store {
        if !aliases.insert(store.alias.clone()) {
            return Err(ConnectError::value(format!("store {}", store.alias), "is there twice; keep one of them"));
        }
    }
    for connection in &raw.connection {
        if !names.insert(connection.name.clone()) {
            return Err(ConnectError::value(
                format!("connection {}", connection.name),
                "is there twice; keep one of them",
            ));
        }
    }
    let stores =
        raw.store.into_iter().map(|store| read_store(store, folder, defaults)).collect::<Result<Vec<_>, _>>()?;
    let connections = raw
        .connection
        .into_iter()
        .map(|connection| read_connection(connection, folder, defaults))
        .collect::<Result<Vec<_>, _>>()?;
    one_a_site(&connections)?;
    Ok(File { stores, connections })
}

/// Refuses a site that two connections of the file name.
fn one_a_site(connections: &[ConnectionEntry]) -> Result<(), ConnectError> {
    let mut sites = HashMap::new();
    for connection in connections {
        let ConnectionEntry { name, store, channel, site, .. } = connection;
        let Some(first) = sites.insert((*channel, site.as_str()), connection) else { continue };
        let why = format!(
            "{channel} site {site} is connected by {:?} of this file already; one connection a site, keep one of the two",
            first.name
        );
        let why = if first.store == *store {
            why
        } else {
            format!(
                "{why}: {:?} links it to the store {:?}, this one to {store:?}, and {TWO_POS}",
                first.name, first.store
            )
        };
        return Err(ConnectError::value(format!("connection {name}"), why));
    }
    Ok(())
}

/// A TOML error with its line and key, without any value of the file: it may be a secret.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
    let number = before.matches('\n').count();
    let key = text.lines().nth(number).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    let key = key.filter(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    let place = key.map_or_else(String::new, |key| format!(", {key}"));
    format!("line {}{place}: {}", number + 1, cure(error.message().lines().next().unwrap_or_default()))
}

/// What the reader of the file says, less the value it tripped over.
fn cure(message: &str) -> String {
    let wrong =
        ["invalid type: ", "invalid value: ", "unknown variant "].iter().find_map(|start| message.strip_prefix(start));
    match wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((_, expected)) => format!("is not what it should be; expected {expected}"),
        None if message.starts_with("data did not match any variant") => {
            "is not what it should be; expected a text in quotes, or a list of them".to_owned()
        }
        None => message.to_owned(),
    }
}

fn read_store(raw: RawStore, folder: &Path, defaults: &Defaults) -> Result<StoreEntry, ConnectError> {
    let what = format!("store {:?}", raw.alias);
    check_alias(&what, "alias", &raw.alias, "mysapogo.com")?;
    let token = secret(&what, "access_token", raw.access_token, raw.access_token_file, folder)?
        .or_else(|| defaults.token(System::Omni, &raw.alias));
    Ok(StoreEntry {
        access_token: required(&what, "access_token", token)?,
        webhook_secrets: secrets(&what, raw.webhook_secret, raw.webhook_secret_file, folder)?
            .filter(|secrets| !secrets.is_empty())
            .or_else(|| defaults.webhook_secrets(System::Omni, &raw.alias))
            .ok_or_else(|| ConnectError::value(format!("{what}, webhook_secret"), "is missing: without it no webhook of the shop can be verified (the app's secret key; list the previous one second while it is rotated)"))?,
        alias: raw.alias,
        base_url: raw.base_url,
    })
}

/// An alias is the shop's sub-domain: letters, digits and hyphens.
fn check_alias(what: &str, key: &str, alias: &str, domain: &str) -> Result<(), ConnectError> {
    let fine = !alias.is_empty()
        && alias.len() <= 63
        && alias.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !alias.starts_with('-')
        && !alias.ends_with('-');
    if fine {
        return Ok(());
    }
    Err(ConnectError::value(
        format!("{what}, {key}"),
        format!(
            "is not an alias: it is the shop's own part of https://ALIAS.{domain}, lower-case letters, digits and hyphens, such as \"cuahangmau\""
        ),
    ))
}

fn read_connection(
    mut raw: RawConnection,
    folder: &Path,
    defaults: &Defaults,
) -> Result<ConnectionEntry, ConnectError> {
    let what = format!("connection {:?}", raw.name);
    let value = |key: &str, why: &str| ConnectError::value(format!("{what}, {key}"), why);
    if raw.name.is_empty()
        || raw.name.len() > 60
        || !raw.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(value("name", "may have up to 60 letters, digits, - and _, such as \"mau-abaha\""));
    }
    check_alias(&what, "store", &raw.store, "mysapogo.com")?;
    let orders_from = match &raw.orders_from {
        None => None,
        Some(text) => Some(
            time::parse(text).ok_or_else(|| value("orders_from", "is not a time, such as \"2026-01-01T00:00:00Z\""))?,
        ),
    };
    let (stock_buffer, buffers) = raw
        .stock_buffer
        .take()
        .map(decimal_buffers)
        .transpose()
        .map_err(|()| value("stock_buffer", "units and percent are numbers from 0, percent at most 100; by_sku is a table of such, such as { \"AT-S\" = { units = 2 } }"))?
        .unwrap_or_default();
    let mut settings = Settings {
        staff: raw.staff,
        source: raw.source,
        payment_method: raw.payment_method,
        stock_basis: raw.stock_basis.unwrap_or(Settings::default().stock_basis),
        stock_buffer,
        orders_from,
        ..Settings::default()
    };
    settings.web.buffers = buffers;
    match raw.channel.as_str() {
        "abaha" => abaha::read(&what, raw, settings, folder),
        "web" => web::read(&what, raw, settings, folder, defaults),
        _ => Err(value("channel", "is not a channel; \"abaha\" and \"web\" (Sapo Web) are")),
    }
}

/// The site as a text.
fn site(what: &str, site: OneSite, example: &str) -> Result<String, ConnectError> {
    match site {
        OneSite::Text(site) if !site.trim().is_empty() => Ok(site.trim().to_owned()),
        OneSite::Number(site) => Ok(site.to_string()),
        OneSite::Text(_) => Err(ConnectError::value(format!("{what}, site"), format!("is empty; it is {example}"))),
    }
}

/// Refuses keys that mean something for the other channel only.
fn no_foreign_keys(what: &str, channel: &str, keys: &[(&str, bool, &str)]) -> Result<(), ConnectError> {
    match keys.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((key, _, instead)) => Err(ConnectError::value(
            format!("{what}, {key}"),
            format!("is no key of a connection with channel = {channel:?}; {instead}"),
        )),
    }
}

fn decimal_buffers(raw: RawBuffer) -> Result<(StockBuffer, BTreeMap<String, StockBuffer>), ()> {
    let by_sku = raw
        .by_sku
        .into_iter()
        .map(|(sku, held)| Ok((Sku::new(&sku).ok_or(())?.into(), decimal_buffer(held.units, held.percent)?)));
    Ok((decimal_buffer(raw.units, raw.percent)?, by_sku.collect::<Result<_, ()>>()?))
}

fn decimal_buffer(units: f64, percent: f64) -> Result<StockBuffer, ()> {
    let number = |value: f64| value.to_string().parse::<rust_decimal::Decimal>().map_err(|_| ());
    let buffer = StockBuffer { units: number(units)?, percent: number(percent)? };
    if units >= 0.0 && (0.0..=100.0).contains(&percent) { Ok(buffer) } else { Err(()) }
}
