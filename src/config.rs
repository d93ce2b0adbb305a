//! Settings: defaults, then a file, then the environment (`SAPO_SYNC__…`). The only place that reads the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

/// All settings of a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the receiver listens.
    pub listen: SocketAddr,
    /// Where the embedded files live.
    pub data_dir: PathBuf,
    /// The state database's URL; a `SQLite` file in the data dir by default.
    pub database_url: String,
    /// The master key as given, 64 hex digits; made on first start where none is.
    pub master_key: Option<SecretString>,
    /// Whether a connection may name a `base_url` of its own.
    pub allow_custom_hosts: bool,
    /// How long one API call may take.
    pub call_timeout: Duration,
    /// The bucket assumed for Sapo: size and calls a second.
    pub sapo_limit: (u32, f64),
    /// The bucket assumed for Abaha: size and calls a second.
    pub abaha_limit: (u32, f64),
    /// Waiting times between attempts; after the last the event is dead.
    pub retry: Retry,
    /// How often reconcile runs by itself; `None` is off.
    pub reconcile_every: Option<Duration>,
    /// How long settled events stay in the ledger; `None` is for ever.
    pub keep_ledger: Option<Duration>,
    /// The log filter, such as `info` or `sapo_sync=debug`.
    pub log: String,
    /// Logs as JSON lines.
    pub log_json: bool,
    /// Kills this process at a named step; for the crash tests, and only in debug builds.
    pub crash_at: Option<String>,
}

/// When failed and parked events are tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Waiting times, full jitter applied.
    pub schedule: Vec<Duration>,
    /// How long after an unknown outcome the other side is asked whether the work was done.
    pub settle_after: Duration,
    /// How often an event parked for a cause is looked at again.
    pub recheck: Duration,
}

/// What is wrong with the settings, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The settings could not be read.
    #[error("settings: {0} (see `sapo-sync config` for every key and its default)")]
    Read(#[from] config::ConfigError),
    /// A value that is not of its form.
    #[error("settings: {key} = {value:?} is not {expected}; for example: {example}")]
    Value {
        /// The environment's name of the key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What was expected.
        expected: &'static str,
        /// A value that would do.
        example: &'static str,
    },
    /// A key and its `_FILE` twin are both set.
    #[error("settings: both {0} and {0}_FILE are set; keep one of them")]
    Both(&'static str),
    /// A secret's file could not be read.
    #[error("settings: {key} names {path}, which cannot be read: {source}")]
    SecretFile {
        /// The key.
        key: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: String,
    data_dir: PathBuf,
    master_key: Option<String>,
    master_key_file: Option<String>,
    database: RawUrl,
    broker: RawUrl,
    outgoing: RawOutgoing,
    retry: RawRetry,
    reconcile: RawReconcile,
    keep: RawKeep,
    log: RawLog,
    crash_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUrl {
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutgoing {
    allow_custom_hosts: bool,
    timeout: String,
    sapo_limit: String,
    abaha_limit: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    schedule: String,
    settle_after: String,
    recheck: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReconcile {
    every: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeep {
    ledger: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    filter: String,
    json: bool,
}

/// The commented default settings: the reference of every key (`sapo-sync config`).
pub const REFERENCE: &str = include_str!("config.default.toml");

impl Config {
    /// Reads the settings; `file` is the one named with `--config`.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder =
            config::Config::builder().add_source(config::File::from_str(REFERENCE, config::FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(config::File::from(file));
        }
        let environment =
            config::Environment::with_prefix("SAPO_SYNC").prefix_separator("__").separator("__").ignore_empty(true);
        Self::from_raw(builder.add_source(environment).build()?.try_deserialize()?)
    }

    fn from_raw(raw: Raw) -> Result<Self, ConfigError> {
        let listen = raw.listen.parse().map_err(|_| ConfigError::Value {
            key: "SAPO_SYNC__LISTEN",
            value: raw.listen.clone(),
            expected: "an address and port",
            example: "127.0.0.1:8080",
        })?;
        if let Some(url) = raw.broker.url.filter(|url| url != "embedded") {
            return Err(ConfigError::Value {
                key: "SAPO_SYNC__BROKER__URL",
                value: without_password(&url),
                expected: "a broker this version knows",
                example: "embedded",
            });
        }
        let database_url = match raw.database.url.filter(|url| !url.is_empty()) {
            None => format!("sqlite://{}", raw.data_dir.join("state.db").display()),
            Some(url) if url.starts_with("sqlite:") => url,
            Some(url) => {
                return Err(ConfigError::Value {
                    key: "SAPO_SYNC__DATABASE__URL",
                    value: without_password(&url),
                    expected: "a database this version knows",
                    example: "sqlite://data/state.db",
                });
            }
        };
        let schedule = raw
            .retry
            .schedule
            .split(',')
            .map(|part| duration("SAPO_SYNC__RETRY__SCHEDULE", part))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            listen,
            database_url,
            master_key: secret("SAPO_SYNC__MASTER_KEY", raw.master_key, raw.master_key_file)?,
            data_dir: raw.data_dir,
            allow_custom_hosts: raw.outgoing.allow_custom_hosts,
            call_timeout: duration("SAPO_SYNC__OUTGOING__TIMEOUT", &raw.outgoing.timeout)?,
            sapo_limit: rate("SAPO_SYNC__OUTGOING__SAPO_LIMIT", &raw.outgoing.sapo_limit)?,
            abaha_limit: rate("SAPO_SYNC__OUTGOING__ABAHA_LIMIT", &raw.outgoing.abaha_limit)?,
            retry: Retry {
                schedule,
                settle_after: duration("SAPO_SYNC__RETRY__SETTLE_AFTER", &raw.retry.settle_after)?,
                recheck: duration("SAPO_SYNC__RETRY__RECHECK", &raw.retry.recheck)?.min(Duration::from_mins(10)),
            },
            reconcile_every: optional("SAPO_SYNC__RECONCILE__EVERY", &raw.reconcile.every)?,
            keep_ledger: optional("SAPO_SYNC__KEEP__LEDGER", &raw.keep.ledger)?,
            log: raw.log.filter,
            log_json: raw.log.json,
            crash_at: raw.crash_at.filter(|_| cfg!(debug_assertions)),
        })
    }
}

fn duration(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::Value { key, value: text.to_owned(), expected: "a duration", example: "30s, 2m or 1h" };
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// A duration, or `off`.
fn optional(key: &'static str, text: &str) -> Result<Option<Duration>, ConfigError> {
    if text.trim() == "off" { Ok(None) } else { duration(key, text).map(Some) }
}

/// Reads a bucket written `40+2/s`: its size, and how many calls a second it lets through when empty.
fn rate(key: &'static str, text: &str) -> Result<(u32, f64), ConfigError> {
    let parsed = text.trim().strip_suffix("/s").and_then(|rest| rest.split_once('+')).and_then(|(size, rate)| {
        let (size, rate) = (size.trim().parse().ok()?, rate.trim().parse().ok()?);
        (size > 0 && f64::is_finite(rate) && rate > 0.0).then_some((size, rate))
    });
    parsed.ok_or_else(|| ConfigError::Value { key, value: text.to_owned(), expected: "a bucket", example: "40+2/s" })
}

/// A secret given directly or by its `_FILE` twin.
pub fn secret(
    key: &'static str,
    direct: Option<String>,
    file: Option<String>,
) -> Result<Option<SecretString>, ConfigError> {
    match (direct.filter(|t| !t.is_empty()), file.filter(|t| !t.is_empty())) {
        (Some(_), Some(_)) => Err(ConfigError::Both(key)),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned().into())),
            Err(source) => Err(ConfigError::SecretFile { key, path, source }),
        },
        (None, None) => Ok(None),
    }
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let raw = config::Config::builder()
            .add_source(config::File::from_str(REFERENCE, config::FileFormat::Toml))
            .add_source(config::File::from_str(text, config::FileFormat::Toml))
            .build()?
            .try_deserialize()?;
        Config::from_raw(raw)
    }

    #[test]
    fn the_reference_holds_the_documented_defaults() {
        let config = load("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.database_url, "sqlite://./data/state.db");
        let minutes: Vec<u64> = config.retry.schedule.iter().map(Duration::as_secs).collect();
        assert_eq!(minutes, [5, 30, 120, 600, 3600, 21600]);
        assert_eq!(config.retry.settle_after.as_secs(), 120);
        assert_eq!(config.reconcile_every, Some(Duration::from_mins(15)));
        assert_eq!(config.sapo_limit, (40, 2.0));
        assert!(!config.allow_custom_hosts);
    }

    #[test]
    fn wrong_values_name_their_key_and_an_example() {
        for (text, key) in [
            ("listen = \"hier\"", "SAPO_SYNC__LISTEN"),
            ("retry.settle_after = \"soon\"", "SAPO_SYNC__RETRY__SETTLE_AFTER"),
            ("broker.url = \"amqp://guest:guest@h\"", "SAPO_SYNC__BROKER__URL"),
            ("database.url = \"mysql://u:p@h/d\"", "SAPO_SYNC__DATABASE__URL"),
            ("outgoing.sapo_limit = \"2\"", "SAPO_SYNC__OUTGOING__SAPO_LIMIT"),
        ] {
            let message = load(text).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("for example"), "{message}");
            assert!(!message.contains("guest:guest") && !message.contains("u:p"), "{message}");
        }
        assert!(load("colour = 1").unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn a_secret_and_its_file_together_are_refused() {
        let message = load("master_key = \"a\"\nmaster_key_file = \"b\"").unwrap_err().to_string();
        assert!(message.contains("SAPO_SYNC__MASTER_KEY_FILE"), "{message}");
    }
}
