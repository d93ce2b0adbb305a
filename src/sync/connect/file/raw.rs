//! The connections file as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::connection::{CustomerName, Identity, StatusProfile, StockBasis};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    #[serde(default)]
    pub store: Vec<RawStore>,
    #[serde(default)]
    pub connection: Vec<RawConnection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    pub alias: String,
    pub access_token: Option<String>,
    pub access_token_file: Option<PathBuf>,
    pub webhook_secret: Option<OneOrMany>,
    pub webhook_secret_file: Option<PathBuf>,
    pub base_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConnection {
    pub name: String,
    pub store: String,
    pub channel: String,
    pub site: OneSite,
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    pub webhook_header: Option<RawHeader>,
    pub webhook_secret: Option<OneOrMany>,
    pub webhook_secret_file: Option<PathBuf>,
    pub base_url: Option<String>,
    pub branch: Option<u64>,
    pub staff: Option<u64>,
    pub source: Option<u64>,
    pub payment_method: Option<u64>,
    pub access_token: Option<String>,
    pub access_token_file: Option<PathBuf>,
    pub api_key: Option<String>,
    pub api_key_file: Option<PathBuf>,
    pub api_secret: Option<String>,
    pub api_secret_file: Option<PathBuf>,
    pub products: Option<bool>,
    pub customers: Option<bool>,
    pub orders: Option<bool>,
    pub status_profile: Option<StatusProfile>,
    pub customer_name: Option<CustomerName>,
    pub returned_code: Option<i64>,
    pub stock_basis: Option<StockBasis>,
    pub stock_buffer: Option<RawBuffer>,
    pub orders_from: Option<String>,
    pub order_branch: Option<u64>,
    pub stock_branches: Option<Vec<u64>>,
    pub approve_orders: Option<bool>,
    pub customer_identity: Option<Identity>,
    pub walk_in_customer: Option<u64>,
    pub price: Option<RawPrice>,
    pub web_location: Option<u64>,
    pub status_back: Option<bool>,
    pub reserve_unapproved: Option<bool>,
    pub sole_pos: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrice {
    pub sync: Option<bool>,
    pub from: Option<String>,
    pub compare_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeader {
    pub name: String,
    pub value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBuffer {
    #[serde(default)]
    pub units: f64,
    #[serde(default)]
    pub percent: f64,
    #[serde(default)]
    pub by_sku: BTreeMap<String, RawHeld>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeld {
    #[serde(default)]
    pub units: f64,
    #[serde(default)]
    pub percent: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneSite {
    Text(String),
    Number(u64),
}

impl Default for OneSite {
    fn default() -> Self {
        Self::Text(String::new())
    }
}
