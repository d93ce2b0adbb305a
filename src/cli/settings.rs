//! `config`: the reference of every setting, or the values in force.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::args::Global;
use super::exit::Exit;
use super::{moment, out, setup};
use crate::config::{BrokerConfig, Config, OauthApp, REFERENCE, without_password};

/// Prints the reference file, or the values in force.
pub fn run(global: &Global, current: bool) -> anyhow::Result<Exit> {
    if !current {
        out::line(REFERENCE.trim_end());
        return Ok(Exit::Fine);
    }
    let rows = values(&setup::load(global)?);
    if global.json {
        out::json(&Value::Object(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
    } else {
        for (key, value) in rows {
            out::line(format!("{key} = {value}"));
        }
    }
    Ok(Exit::Fine)
}

/// Every key with its value in force; of secrets only whether they are set.
fn values(config: &Config) -> Vec<(&'static str, Value)> {
    let bucket = |(size, rate): (u32, f64)| json!(format!("{size}+{rate}/s"));
    let schedule: Vec<String> =
        config.retry.schedule.iter().map(|step| moment::shown(*step).replace(' ', "")).collect();
    let mut rows = Vec::from([
        ("listen", json!(config.listen.to_string())),
        ("data_dir", json!(config.data_dir.display().to_string())),
        ("master_key", json!(set(config.master_key.as_ref()))),
        ("database.url", json!(config.database_shown())),
        ("database.connections", json!(config.database_connections)),
        ("outgoing.allow_custom_hosts", json!(config.allow_custom_hosts)),
        ("outgoing.timeout", json!(moment::shown(config.call_timeout))),
        ("outgoing.sapo_limit", bucket(config.sapo_limit)),
        ("outgoing.abaha_limit", bucket(config.abaha_limit)),
        ("outgoing.web_limit", bucket(config.web_limit)),
        ("public_url", json!(config.public_url)),
        ("oauth.omni.client_id", json!(config.oauth_omni.as_ref().map_or("", |app| app.client_id.as_str()))),
        ("oauth.omni.client_secret", json!(set(config.oauth_omni.as_ref().map(|app| &app.client_secret)))),
        ("oauth.omni.scopes", json!(config.oauth_omni.as_ref().map(scopes).unwrap_or_default())),
        ("oauth.web.client_id", json!(config.oauth_web.as_ref().map_or("", |app| app.client_id.as_str()))),
        ("oauth.web.client_secret", json!(set(config.oauth_web.as_ref().map(|app| &app.client_secret)))),
        ("oauth.web.scopes", json!(config.oauth_web.as_ref().map(scopes).unwrap_or_default())),
        ("retry.schedule", json!(schedule.join(","))),
        ("retry.settle_after", json!(moment::shown(config.retry.settle_after))),
        ("retry.recheck", json!(moment::shown(config.retry.recheck))),
        ("reconcile.every", json!(config.reconcile_every.map_or_else(|| "off".to_owned(), moment::shown))),
        ("keep.ledger", json!(config.keep_ledger.map_or_else(|| "off".to_owned(), moment::shown))),
        ("log.filter", json!(config.log)),
        ("log.json", json!(config.log_json)),
    ]);
    match &config.broker {
        BrokerConfig::Embedded => rows.push(("broker.url", json!("embedded"))),
        BrokerConfig::RabbitMq(rabbit) => rows.extend([
            ("broker.url", json!(without_password(rabbit.url.expose_secret()))),
            ("broker.prefix", json!(rabbit.prefix)),
            ("broker.partitions", json!(rabbit.partitions)),
            ("broker.spool_events", json!(rabbit.spool_events)),
        ]),
    }
    rows
}

/// As they are written in the settings; none is all that this program needs.
fn scopes(app: &OauthApp) -> String {
    app.scopes.join(",")
}

/// What may be said of a secret.
pub fn set(secret: Option<&SecretString>) -> &'static str {
    if secret.is_some() { "set" } else { "not set" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_said_to_be_set_and_never_shown() {
        let mut config = Config::load(None).unwrap();
        config.master_key = Some("0123".repeat(16).into());
        let app = OauthApp {
            client_id: "key-of-the-app".into(),
            client_secret: "0123secret".into(),
            scopes: vec!["read_orders".into(), "read_products".into()],
        };
        config.oauth_web = Some(app);
        let rows = values(&config);
        let text = format!("{rows:?}");
        assert!(text.contains("\"set\"") && !text.contains("0123"), "{text}");
        let told = |key: &str| rows.iter().find(|row| row.0 == key).map(|row| row.1.clone()).unwrap();
        assert_eq!(told("oauth.web.client_id"), "key-of-the-app");
        assert_eq!(told("oauth.web.client_secret"), "set");
        assert_eq!(told("oauth.web.scopes"), "read_orders,read_products");
        assert_eq!((told("oauth.omni.client_id"), told("oauth.omni.scopes")), (json!(""), json!("")));
    }
}
