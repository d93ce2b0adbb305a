//! What a Sapo Web site is made of.

use std::time::Duration;

use crate::sandbox::BucketConfig;
use crate::sandbox::config::omni_schedule;

/// The scopes that a site's app may be granted.
const SCOPES: [&str; 8] = [
    "read_products",
    "write_products",
    "read_inventory",
    "write_inventory",
    "read_orders",
    "write_orders",
    "read_customers",
    "write_customers",
];

/// One Sapo Web site.
#[derive(Clone, Debug)]
pub struct WebSite {
    /// The first part of its domain, `{alias}.mysapo.net`.
    pub alias: String,
    /// The site's number.
    pub store_id: u64,
    /// The access token that it accepts.
    pub access_token: String,
    /// The key and the secret of a private app, accepted by HTTP Basic; none where there is no such app.
    pub private_app: Option<(String, String)>,
    /// The app's secret key: signs the webhooks and is the client secret of OAuth.
    pub webhook_secret: String,
    /// The site's own rate limit.
    pub bucket: BucketConfig,
    /// The waits between the sends of a webhook: one fewer than the sends.
    pub webhook_retry: Vec<Duration>,
    /// What the app may do; a right to write is one to read too.
    pub scopes: Vec<String>,
    /// How many places keep stock.
    pub locations: usize,
    /// How many of a hundred products of the made-up Omni shop are on this site too, with the same SKUs; a twentieth as
    /// many are on this site alone.
    pub share: u8,
}

impl WebSite {
    /// A site with made-up values that follow from its alias.
    pub fn named(alias: &str) -> Self {
        let mark = alias.bytes().fold(0_u64, |mark, byte| (mark * 31 + u64::from(byte)) % 99_991);
        Self {
            alias: alias.to_owned(),
            store_id: 574_001 + mark,
            access_token: format!("sandbox-{alias}-token"),
            private_app: Some((format!("sandbox-{alias}-key"), format!("sandbox-{alias}-key-secret"))),
            webhook_secret: format!("sandbox-{alias}-secret"),
            bucket: BucketConfig::default(),
            webhook_retry: omni_schedule(),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            locations: 1,
            share: 80,
        }
    }

    /// Whether the app may do what a scope stands for.
    pub(crate) fn allows(&self, scope: &str) -> bool {
        let has = |wanted: &str| self.scopes.iter().any(|scope| scope == wanted);
        has(scope) || scope.strip_prefix("read_").is_some_and(|what| has(&format!("write_{what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_to_write_is_one_to_read() {
        let site = WebSite { scopes: vec!["write_orders".into(), "read_products".into()], ..WebSite::named("mau") };
        assert!(site.allows("read_orders") && site.allows("write_orders"));
        assert!(site.allows("read_products") && !site.allows("write_products"));
    }
}
