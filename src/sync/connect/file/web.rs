//! A connection with a Sapo Web site; what is left out is the guide's default configuration (Cấu hình mặc định).

use std::collections::HashSet;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::raw::{RawConnection, RawPrice};
use super::secrets::{secret, secrets};
use super::{ConnectionEntry, Defaults, check_alias, no_foreign_keys, site};
use crate::domain::connection::{NO_COMPARE, PriceSettings, Settings, WebSettings};
use crate::domain::event::System;
use crate::sync::connect::ConnectError;

pub(super) fn read(
    what: &str,
    mut raw: RawConnection,
    settings: Settings,
    folder: &Path,
    defaults: &Defaults,
) -> Result<ConnectionEntry, ConnectError> {
    let left_out = "it belongs to channel = \"abaha\": leave it out";
    no_foreign_keys(
        what,
        "web",
        &[
            (
                "token",
                raw.token.is_some() || raw.token_file.is_some(),
                "a web has `access_token`, or `api_key` and `api_secret`",
            ),
            ("webhook_header", raw.webhook_header.is_some(), "a web signs its webhooks: give `webhook_secret`"),
            ("branch", raw.branch.is_some(), "a web has `order_branch` and `stock_branches`"),
            ("products", raw.products.is_some(), "stock always goes to a web; prices by `price = { sync = true }`"),
            ("status_profile", raw.status_profile.is_some(), "`status_back` says what goes back to a web"),
            ("customer_name", raw.customer_name.is_some(), left_out),
            ("returned_code", raw.returned_code.is_some(), left_out),
        ],
    )?;
    let site = site(what, std::mem::take(&mut raw.site), "the web's alias, such as \"webmau\"")?;
    check_alias(what, "site", &site, "mysapo.net")?;
    let (token, api_key) = access(what, &mut raw, &site, folder, defaults)?;
    let webhook_secrets = secrets(what, raw.webhook_secret, raw.webhook_secret_file, folder)?
        .filter(|secrets| !secrets.is_empty())
        .or_else(|| defaults.webhook_secrets(System::Web, &site))
        .ok_or_else(|| {
            ConnectError::value(
                format!("{what}, webhook_secret"),
                "is missing: without it no webhook of the web can be verified (the app's secret key; list the previous one second while it is rotated)",
            )
        })?;
    let web = WebSettings {
        stock_branches: branches(what, raw.stock_branches)?,
        approve_orders: raw.approve_orders.unwrap_or(false),
        customer_identity: raw.customer_identity.unwrap_or(settings.web.customer_identity),
        walk_in_customer: raw.walk_in_customer,
        price: price(what, raw.price)?,
        web_location: raw.web_location,
        status_back: raw.status_back.unwrap_or(false),
        reserve_unapproved: raw.reserve_unapproved.unwrap_or(false),
        buffers: settings.web.buffers,
    };
    Ok(ConnectionEntry {
        name: raw.name,
        store: raw.store,
        channel: System::Web,
        site,
        token,
        api_key,
        sole_pos: raw.sole_pos.unwrap_or(false),
        webhook_header: None,
        webhook_secrets,
        base_url: raw.base_url,
        settings: Settings {
            products: true,
            customers: raw.customers.unwrap_or(true),
            orders: raw.orders.unwrap_or(true),
            branch: raw.order_branch,
            web,
            ..settings
        },
    })
}

/// Either an access token, given or granted by OAuth, or a private app's key and secret.
fn access(
    what: &str,
    raw: &mut RawConnection,
    site: &str,
    folder: &Path,
    defaults: &Defaults,
) -> Result<(SecretString, Option<String>), ConnectError> {
    let wrong = |why: &str| Err(ConnectError::value(format!("{what}, access_token"), why));
    let token = secret(what, "access_token", raw.access_token.take(), raw.access_token_file.take(), folder)?;
    let key = secret(what, "api_key", raw.api_key.take(), raw.api_key_file.take(), folder)?;
    let password = secret(what, "api_secret", raw.api_secret.take(), raw.api_secret_file.take(), folder)?;
    match (token, key, password) {
        (Some(token), None, None) => Ok((token, None)),
        (None, Some(key), Some(password)) => Ok((password, Some(key.expose_secret().to_owned()))),
        (Some(_), _, _) => wrong("and api_key / api_secret are both given; keep one of the two ways"),
        (None, None, None) => match defaults.token(System::Web, site) {
            Some(token) => Ok((token, None)),
            None => wrong(&format!(
                "is missing; give access_token, or api_key and api_secret of a private app (each with its _file twin), or let the shop grant it: sapo-sync connect authorize --web {site}"
            )),
        },
        _ => wrong("is missing, and of api_key and api_secret only one is given; give both"),
    }
}

fn branches(what: &str, given: Option<Vec<u64>>) -> Result<Vec<u64>, ConnectError> {
    let wrong = |why: &str| Err(ConnectError::value(format!("{what}, stock_branches"), why));
    let Some(branches) = given else { return Ok(Vec::new()) };
    let mut seen = HashSet::new();
    if branches.is_empty() {
        return wrong("is empty; name at least one branch, or leave it out for the shop's default branch");
    }
    if !branches.iter().all(|branch| seen.insert(*branch)) {
        return wrong("names a branch twice, so its stock would count twice; keep one of them");
    }
    Ok(branches)
}

fn price(what: &str, given: Option<RawPrice>) -> Result<PriceSettings, ConnectError> {
    let wrong = |key: &str, why: String| ConnectError::value(format!("{what}, price.{key}"), why);
    let usual = PriceSettings::default();
    let Some(raw) = given else { return Ok(usual) };
    let code = |key: &str, given: Option<String>, usual: String| match given.map(|code| code.trim().to_owned()) {
        Some(code) if code.is_empty() => {
            Err(wrong(key, "is empty; it is the code of a price list, such as \"BANLE\"".to_owned()))
        }
        // What was paid for the goods is nobody's business on a web.
        Some(code) if code == COST => {
            Err(wrong(key, format!("{COST} is the cost price; choose a list of selling prices")))
        }
        Some(code) => Ok(code),
        None => Ok(usual),
    };
    let from = code("from", raw.from, usual.from)?;
    let compare_at = code("compare_at", raw.compare_at, usual.compare_at)?;
    if from == NO_COMPARE {
        return Err(wrong("from", "is no price list; to leave prices alone set price = { sync = false }".to_owned()));
    }
    if from == compare_at {
        return Err(wrong(
            "compare_at",
            "is the same list as from, so nothing would ever be reduced; choose another list, or \"none\"".to_owned(),
        ));
    }
    Ok(PriceSettings { sync: raw.sync.unwrap_or(usual.sync), from, compare_at })
}

/// Giá nhập: the price list of costs (vendor's documents).
const COST: &str = "GIANHAP";
