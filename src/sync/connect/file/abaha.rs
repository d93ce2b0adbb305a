//! A connection with an Abaha site.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::raw::RawConnection;
use super::secrets::{required, secret, secrets};
use super::{ConnectionEntry, no_foreign_keys, site};
use crate::domain::connection::Settings;
use crate::domain::event::System;
use crate::map::abaha::stage::usable_returned_code;
use crate::sync::connect::ConnectError;

pub(super) fn read(
    what: &str,
    raw: RawConnection,
    settings: Settings,
    folder: &Path,
) -> Result<ConnectionEntry, ConnectError> {
    let value = |key: &str, why: &str| ConnectError::value(format!("{what}, {key}"), why);
    let left_out = "it belongs to channel = \"web\": leave it out";
    no_foreign_keys(
        what,
        "abaha",
        &[
            (
                "access_token",
                raw.access_token.is_some() || raw.access_token_file.is_some(),
                "an Abaha site has a `token`",
            ),
            ("api_key", raw.api_key.is_some() || raw.api_key_file.is_some(), "an Abaha site has a `token`"),
            ("api_secret", raw.api_secret.is_some() || raw.api_secret_file.is_some(), "an Abaha site has a `token`"),
            ("order_branch", raw.order_branch.is_some(), "an Abaha site has one `branch` for stock and orders"),
            ("stock_branches", raw.stock_branches.is_some(), "an Abaha site has one `branch` for stock and orders"),
            ("approve_orders", raw.approve_orders.is_some(), left_out),
            ("customer_identity", raw.customer_identity.is_some(), left_out),
            ("walk_in_customer", raw.walk_in_customer.is_some(), left_out),
            ("price", raw.price.is_some(), left_out),
            ("web_location", raw.web_location.is_some(), left_out),
            ("status_back", raw.status_back.is_some(), "`status_profile` says what goes back to Abaha"),
            ("reserve_unapproved", raw.reserve_unapproved.is_some(), left_out),
            ("sole_pos", raw.sole_pos.is_some(), left_out),
        ],
    )?;
    let webhook_secrets = secrets(what, raw.webhook_secret, raw.webhook_secret_file, folder)?.unwrap_or_default();
    let webhook_header =
        raw.webhook_header.map(|header| (header.name.to_ascii_lowercase(), SecretString::from(header.value)));
    if let Some((name, header)) = &webhook_header
        && (axum::http::HeaderName::from_bytes(name.as_bytes()).is_err() || header.expose_secret().is_empty())
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
    let defaults = Settings::default();
    Ok(ConnectionEntry {
        store: raw.store,
        channel: System::Abaha,
        site: site(what, raw.site, "the Abaha site's id, such as \"501\"")?,
        token: required(what, "token", secret(what, "token", raw.token, raw.token_file, folder)?)?,
        api_key: None,
        sole_pos: false,
        webhook_header,
        webhook_secrets,
        base_url: raw.base_url,
        settings: Settings {
            products: raw.products.unwrap_or(false),
            customers: raw.customers.unwrap_or(false),
            orders: raw.orders.unwrap_or(false),
            branch: raw.branch,
            status_profile: raw.status_profile.unwrap_or(defaults.status_profile),
            customer_name: raw.customer_name.unwrap_or(defaults.customer_name),
            returned_code: raw.returned_code,
            ..settings
        },
        name: raw.name,
    })
}
