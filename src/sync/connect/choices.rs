//! What an owner chooses from: the shop's own lists, with the ids that a connections file wants.

use serde::Serialize;

use super::file::File;
use super::{ConnectError, check};
use crate::destination::omni::client::{Choice, PriceList};
use crate::destination::{CallError, ClientError, Http, OmniClient, WebAccess, WebClient};
use crate::domain::connection::account;
use crate::domain::event::System;
use crate::store::Store;
use crate::work::context::web_access;

/// One thing to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChoiceRow {
    /// The list: branch, staff, source, `payment_method`, `price_list`, `web_location`.
    pub list: &'static str,
    /// The list's name for people.
    pub label: &'static str,
    /// The keys of a connections file that take the value.
    pub keys: &'static str,
    /// What to write there.
    pub value: String,
    /// What the shop calls it.
    pub name: String,
    /// Whether it can be chosen.
    pub usable: bool,
    /// Why it cannot, or that it is the shop's default.
    pub note: &'static str,
}

/// Reads the shop's lists, each with one call.
pub async fn of_shop(omni: &OmniClient) -> Result<Vec<ChoiceRow>, CallError> {
    let mut rows = Vec::new();
    let branches = omni.locations().await?;
    rows.extend(branches.iter().map(|it| row("branch", "Chi nhánh", "branch, order_branch, stock_branches", it)));
    rows.extend(omni.accounts().await?.iter().map(|it| row("staff", "Nhân viên", "staff", it)));
    rows.extend(omni.order_sources().await?.iter().map(|it| row("source", "Nguồn đơn hàng", "source", it)));
    let methods = omni.payment_methods().await?;
    rows.extend(methods.iter().map(|it| row("payment_method", "Phương thức thanh toán", "payment_method", it)));
    rows.extend(omni.price_lists().await?.iter().map(price_row));
    Ok(rows)
}

/// Reads a web's locations, with one call.
pub async fn of_web(web: &WebClient) -> Result<Vec<ChoiceRow>, CallError> {
    let locations = web.locations().await?;
    Ok(locations.iter().map(|it| row("web_location", "Kho của website", "web_location", it)).collect())
}

fn row(list: &'static str, label: &'static str, keys: &'static str, it: &Choice) -> ChoiceRow {
    let note = match (it.active, it.primary) {
        (false, _) => "not in use",
        (true, true) => "the default",
        (true, false) => "",
    };
    ChoiceRow { list, label, keys, value: it.id.to_string(), name: it.name.clone(), usable: it.active, note }
}

fn price_row(it: &PriceList) -> ChoiceRow {
    ChoiceRow {
        list: "price_list",
        label: "Chính sách giá",
        keys: "price.from, price.compare_at",
        value: it.code.clone(),
        name: it.name.clone(),
        usable: !it.cost && !it.code.is_empty(),
        note: if it.cost { "a cost price: never goes to a web" } else { "" },
    }
}

/// The client of a shop that is connected, or that has granted access.
pub async fn shop(store: &Store, http: &Http, alias: &str) -> Result<OmniClient, ConnectError> {
    let known = store.snapshot().await?;
    let (token, base_url) = match known.stores.get(alias) {
        Some(row) => (row.access_token.clone(), row.base_url.clone()),
        None => match store.grant(&account(System::Omni, alias)).await? {
            Some(grant) => (grant.token, grant.base_url),
            None => return Err(unknown("store", alias)),
        },
    };
    OmniClient::new(http, alias, token, base_url.as_deref()).map_err(|error| unusable("store", alias, &error))
}

/// The client of a web that is connected, or that has granted access.
pub async fn web(store: &Store, http: &Http, site: &str) -> Result<WebClient, ConnectError> {
    let known = store.snapshot().await?;
    let (access, base_url) = match known.of_site(System::Web, site) {
        Some(row) => (web_access(row), row.base_url.clone()),
        None => match store.grant(&account(System::Web, site)).await? {
            Some(grant) => (WebAccess::Token(grant.token), grant.base_url),
            None => return Err(unknown("web", site)),
        },
    };
    WebClient::new(http, site, access, base_url.as_deref()).map_err(|error| unusable("web", site, &error))
}

/// The client of a shop, as a connections file reaches it; of one that the file does not name, as it is known.
pub async fn shop_of(store: &Store, http: &Http, file: &File, alias: &str) -> Result<OmniClient, ConnectError> {
    let Some(entry) = file.stores.iter().find(|entry| entry.alias == alias) else {
        return shop(store, http, alias).await;
    };
    OmniClient::new(http, alias, entry.access_token.clone(), entry.base_url.as_deref())
        .map_err(|error| check::unusable(&format!("store {alias}"), "access_token", &error))
}

/// The client of a web, as a connections file reaches it; of one that the file does not name, as it is known.
pub async fn web_of(store: &Store, http: &Http, file: &File, site: &str) -> Result<WebClient, ConnectError> {
    let named = file.connections.iter().find(|entry| entry.channel == System::Web && entry.site == site);
    let Some(entry) = named else { return web(store, http, site).await };
    WebClient::new(http, site, check::access(entry), entry.base_url.as_deref())
        .map_err(|error| check::unusable(&format!("connection {}", entry.name), "access_token", &error))
}

/// The stores of a connections file, each with its webs; a store that only connections name is among them.
pub fn shops_of(file: &File) -> Vec<(&str, Vec<&str>)> {
    let mut shops: Vec<(&str, Vec<&str>)> =
        file.stores.iter().map(|entry| (entry.alias.as_str(), Vec::new())).collect();
    for entry in &file.connections {
        let at = shops.iter().position(|(alias, _)| *alias == entry.store).unwrap_or_else(|| {
            shops.push((entry.store.as_str(), Vec::new()));
            shops.len() - 1
        });
        if entry.channel == System::Web {
            shops[at].1.push(&entry.site);
        }
    }
    shops
}

fn unknown(flag: &str, name: &str) -> ConnectError {
    let why = format!(
        "has not granted access yet, and is not connected; where its access token stands in a connections file, add --file FILE to `sapo-sync connect choices` (nothing is written); else run `sapo-sync connect authorize --{flag} {name}`, or connect it with `sapo-sync connect apply FILE`"
    );
    ConnectError::value(format!("{flag} {name}"), why)
}

fn unusable(flag: &str, name: &str, error: &ClientError) -> ConnectError {
    ConnectError::value(format!("{flag} {name}"), error.to_string())
}
