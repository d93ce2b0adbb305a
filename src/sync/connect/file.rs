//! The connections file: every key is known, none is there twice, no secret is given in two ways.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::ConnectError;
use crate::domain::connection::{CustomerName, Settings, StatusProfile, StockBasis, StockBuffer};
use crate::domain::event::System;
use crate::domain::time;
use crate::map::abaha::stage::usable_returned_code;

/// The file, read and checked in itself.
#[derive(Debug)]
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
    /// The channel's token.
    pub token: SecretString,
    /// The secret header Abaha sends, its name in lower case.
    pub webhook_header: Option<(String, SecretString)>,
    /// Where the sender signs.
    pub webhook_secrets: Vec<SecretString>,
    /// Instead of the channel's own host.
    pub base_url: Option<String>,
    /// Switches and choices.
    pub settings: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    store: Vec<RawStore>,
    #[serde(default)]
    connection: Vec<RawConnection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    alias: String,
    access_token: Option<String>,
    access_token_file: Option<PathBuf>,
    webhook_secret: Option<OneOrMany>,
    webhook_secret_file: Option<PathBuf>,
    base_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConnection {
    name: String,
    store: String,
    channel: String,
    site: OneSite,
    token: Option<String>,
    token_file: Option<PathBuf>,
    webhook_header: Option<RawHeader>,
    webhook_secret: Option<OneOrMany>,
    webhook_secret_file: Option<PathBuf>,
    base_url: Option<String>,
    branch: Option<u64>,
    staff: Option<u64>,
    source: Option<u64>,
    payment_method: Option<u64>,
    #[serde(default)]
    products: bool,
    #[serde(default)]
    customers: bool,
    #[serde(default)]
    orders: bool,
    status_profile: Option<StatusProfile>,
    customer_name: Option<CustomerName>,
    returned_code: Option<i64>,
    stock_basis: Option<StockBasis>,
    stock_buffer: Option<RawBuffer>,
    orders_from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBuffer {
    #[serde(default)]
    units: f64,
    #[serde(default)]
    percent: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneSite {
    Text(String),
    Number(u64),
}

/// Reads a connections file.
pub fn read(path: &Path) -> Result<File, ConnectError> {
    let wrong = |why: String| ConnectError::File { file: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    parse(&text, path.parent().unwrap_or_else(|| Path::new("."))).map_err(|error| match error {
        ConnectError::File { why, .. } => wrong(why),
        other => other,
    })
}

/// Reads the text of a connections file; secret files are relative to `folder`.
pub fn parse(text: &str, folder: &Path) -> Result<File, ConnectError> {
    let raw: RawFile = toml::from_str(text)
        .map_err(|error| ConnectError::File { file: String::new(), why: without_values(&error, text) })?;
    let mut aliases = HashSet::new();
    let mut names = HashSet::new();
    let mut sites = HashSet::new();
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
    let stores = raw.store.into_iter().map(|store| read_store(store, folder)).collect::<Result<Vec<_>, _>>()?;
    let connections = raw
        .connection
        .into_iter()
        .map(|connection| read_connection(connection, folder))
        .collect::<Result<Vec<_>, _>>()?;
    for connection in &connections {
        if !sites.insert((connection.channel, connection.site.clone())) {
            return Err(ConnectError::value(
                format!("connection {}", connection.name),
                format!(
                    "{} site {} is connected by another connection of this file; one connection a site",
                    connection.channel, connection.site
                ),
            ));
        }
    }
    Ok(File { stores, connections })
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

fn read_store(raw: RawStore, folder: &Path) -> Result<StoreEntry, ConnectError> {
    let what = format!("store {:?}", raw.alias);
    check_alias(&what, &raw.alias)?;
    Ok(StoreEntry {
        access_token: required(&what, "access_token", secret(&what, "access_token", raw.access_token, raw.access_token_file, folder)?)?,
        webhook_secrets: secrets(&what, raw.webhook_secret, raw.webhook_secret_file, folder)?
            .filter(|secrets| !secrets.is_empty())
            .ok_or_else(|| ConnectError::value(format!("{what}, webhook_secret"), "is missing: without it no webhook of the shop can be verified (the app's secret key; list the previous one second while it is rotated)"))?,
        alias: raw.alias,
        base_url: raw.base_url,
    })
}

/// An alias is the shop's sub-domain: letters, digits and hyphens.
fn check_alias(what: &str, alias: &str) -> Result<(), ConnectError> {
    let fine = !alias.is_empty()
        && alias.len() <= 63
        && alias.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !alias.starts_with('-')
        && !alias.ends_with('-');
    if fine {
        return Ok(());
    }
    Err(ConnectError::value(
        format!("{what}, alias"),
        "is not an alias: it is the shop's own part of https://ALIAS.mysapogo.com, lower-case letters, digits and hyphens, such as \"cuahangmau\"",
    ))
}

fn read_connection(raw: RawConnection, folder: &Path) -> Result<ConnectionEntry, ConnectError> {
    let what = format!("connection {:?}", raw.name);
    let value = |key: &str, why: &str| ConnectError::value(format!("{what}, {key}"), why);
    if raw.name.is_empty()
        || raw.name.len() > 60
        || !raw.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(value("name", "may have up to 60 letters, digits, - and _, such as \"mau-abaha\""));
    }
    check_alias(&what, &raw.store)?;
    let channel = match raw.channel.as_str() {
        "abaha" => System::Abaha,
        "web" => {
            return Err(value("channel", "\"web\" (Sapo Web) is not connected by this version; \"abaha\" is"));
        }
        _ => return Err(value("channel", "is not a channel; \"abaha\" is")),
    };
    let webhook_secrets = secrets(&what, raw.webhook_secret, raw.webhook_secret_file, folder)?.unwrap_or_default();
    let webhook_header =
        raw.webhook_header.map(|header| (header.name.to_ascii_lowercase(), SecretString::from(header.value)));
    if let Some((name, header)) = &webhook_header
        && (axum::http::HeaderName::from_bytes(name.as_bytes()).is_err()
            || secrecy::ExposeSecret::expose_secret(header).is_empty())
    {
        return Err(value(
            "webhook_header",
            "needs a header name and a value that is not empty, such as { name = \"X-Shop-Key\", value = \"…\" }",
        ));
    }
    if webhook_header.is_none() && webhook_secrets.is_empty() {
        return Err(value(
            "webhook_header",
            "is missing: an Abaha source is verified by its secret header, webhook_header = { name, value }, and/or by webhook_secret; with neither anybody could post orders",
        ));
    }
    if raw.returned_code.is_some() && usable_returned_code(raw.returned_code).is_none() {
        return Err(value(
            "returned_code",
            "is a code that already means something else on Abaha; leave it out, or name the code of Hoàn hàng",
        ));
    }
    let orders_from = match raw.orders_from {
        None => None,
        Some(text) => Some(
            time::parse(&text)
                .ok_or_else(|| value("orders_from", "is not a time, such as \"2026-01-01T00:00:00Z\""))?,
        ),
    };
    let buffer = raw
        .stock_buffer
        .map(|buffer| decimal_buffer(&buffer))
        .transpose()
        .map_err(|()| value("stock_buffer", "units and percent are numbers from 0; percent at most 100"))?;
    let defaults = Settings::default();
    Ok(ConnectionEntry {
        store: raw.store,
        channel,
        site: match raw.site {
            OneSite::Text(site) if !site.trim().is_empty() => site.trim().to_owned(),
            OneSite::Number(site) => site.to_string(),
            OneSite::Text(_) => {
                return Err(value("site", "is empty; it is the Abaha site's id, such as \"501\""));
            }
        },
        token: required(&what, "token", secret(&what, "token", raw.token, raw.token_file, folder)?)?,
        webhook_header,
        webhook_secrets,
        base_url: raw.base_url,
        settings: Settings {
            products: raw.products,
            customers: raw.customers,
            orders: raw.orders,
            branch: raw.branch,
            staff: raw.staff,
            source: raw.source,
            payment_method: raw.payment_method,
            status_profile: raw.status_profile.unwrap_or(defaults.status_profile),
            customer_name: raw.customer_name.unwrap_or(defaults.customer_name),
            returned_code: raw.returned_code,
            stock_basis: raw.stock_basis.unwrap_or(defaults.stock_basis),
            stock_buffer: buffer.unwrap_or_default(),
            orders_from,
        },
        name: raw.name,
    })
}

fn decimal_buffer(raw: &RawBuffer) -> Result<StockBuffer, ()> {
    let number = |value: f64| value.to_string().parse::<rust_decimal::Decimal>().map_err(|_| ());
    let buffer = StockBuffer { units: number(raw.units)?, percent: number(raw.percent)? };
    let fine = raw.units >= 0.0 && (0.0..=100.0).contains(&raw.percent);
    if fine { Ok(buffer) } else { Err(()) }
}

fn required(what: &str, key: &str, secret: Option<SecretString>) -> Result<SecretString, ConnectError> {
    secret.ok_or_else(|| ConnectError::value(format!("{what}, {key}"), format!("is missing; give {key} or {key}_file")))
}

fn secret(
    what: &str,
    key: &str,
    direct: Option<String>,
    file: Option<PathBuf>,
    folder: &Path,
) -> Result<Option<SecretString>, ConnectError> {
    match (direct, file) {
        (Some(_), Some(_)) => Err(ConnectError::value(
            format!("{what}, {key}"),
            format!("both {key} and {key}_file are given; keep one of them"),
        )),
        (Some(text), None) if text.trim().is_empty() => Ok(None),
        (Some(text), None) => Ok(Some(text.trim().to_owned().into())),
        (None, Some(file)) => {
            let path = folder.join(&file);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                ConnectError::value(
                    format!("{what}, {key}_file"),
                    format!("{} cannot be read: {error}", path.display()),
                )
            })?;
            if text.trim().is_empty() {
                return Err(ConnectError::value(
                    format!("{what}, {key}_file"),
                    format!("{} is empty; put the secret into it", path.display()),
                ));
            }
            Ok(Some(text.trim().to_owned().into()))
        }
        (None, None) => Ok(None),
    }
}

fn secrets(
    what: &str,
    direct: Option<OneOrMany>,
    file: Option<PathBuf>,
    folder: &Path,
) -> Result<Option<Vec<SecretString>>, ConnectError> {
    let many = match (direct, file) {
        (Some(_), Some(_)) => {
            return Err(ConnectError::value(
                format!("{what}, webhook_secret"),
                "both webhook_secret and webhook_secret_file are given; keep one of them",
            ));
        }
        (None, None) => return Ok(None),
        (Some(OneOrMany::One(one)), None) => vec![one],
        (Some(OneOrMany::Many(many)), None) => many,
        (None, Some(file)) => {
            let read = secret(what, "webhook_secret", None, Some(file), folder)?;
            read.map(|text| {
                secrecy::ExposeSecret::expose_secret(&text).lines().map(|line| line.trim().to_owned()).collect()
            })
            .unwrap_or_default()
        }
    };
    if many.iter().any(|one| one.trim().is_empty()) {
        return Err(ConnectError::value(format!("{what}, webhook_secret"), "has an empty entry; remove it"));
    }
    Ok(Some(many.into_iter().map(Into::into).collect()))
}
