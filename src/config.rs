//! Settings: defaults, then a file, then the environment (`SAPO_SYNC__…`). The only place that reads the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// All settings of a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the receiver listens.
    pub listen: SocketAddr,
    /// Where the embedded files live.
    pub data_dir: PathBuf,
    /// The state database's URL, which may hold a password; a `SQLite` file in the data dir by default.
    pub database_url: SecretString,
    /// Connections that this process opens to a PostgreSQL database at most.
    pub database_connections: u32,
    /// The queue.
    pub broker: BrokerConfig,
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
    /// The bucket assumed for a Sapo Web site: size and calls a second.
    pub web_limit: (u32, f64),
    /// Where Sapo and Abaha reach the receiver, without a slash at the end; `None` where it was not told.
    pub public_url: Option<String>,
    /// The app at Sapo Omni that shops grant access to.
    pub oauth_omni: Option<OauthApp>,
    /// The app at Sapo Web.
    pub oauth_web: Option<OauthApp>,
    /// Waiting times between attempts; after the last the event is dead.
    pub retry: Retry,
    /// How often reconcile runs by itself; `None` is off.
    pub reconcile_every: Option<Duration>,
    /// How long settled events stay in the ledger, and ended jobs in their list; `None` is for ever.
    pub keep_ledger: Option<Duration>,
    /// The log filter, such as `info` or `sapo_sync=debug`.
    pub log: String,
    /// Logs as JSON lines.
    pub log_json: bool,
    /// Kills this process at a named step; for the crash tests, and only in debug builds.
    pub crash_at: Option<String>,
}

/// Which queue is used.
#[derive(Clone, Debug)]
pub enum BrokerConfig {
    /// A file in the data dir, for one process.
    Embedded,
    /// RabbitMQ, shared by any number of processes.
    RabbitMq(RabbitConfig),
}

/// How RabbitMQ is used.
#[derive(Clone, Debug)]
pub struct RabbitConfig {
    /// Its URL, with user and password.
    pub url: SecretString,
    /// What the names of all exchanges and queues begin with.
    pub prefix: String,
    /// Into how many partitions the stores are spread; the same for all processes.
    pub partitions: u16,
    /// Events that a receiver keeps on its own disk at most while RabbitMQ is away.
    pub spool_events: i64,
}

/// An app as its maker registered it at Sapo.
#[derive(Clone, Debug)]
pub struct OauthApp {
    /// The API key.
    pub client_id: String,
    /// The secret key; it also signs the webhooks of shops that granted access.
    pub client_secret: SecretString,
    /// What is asked for; none is all that this program needs.
    pub scopes: Vec<String>,
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
    /// One half of an app's credentials without the other.
    #[error("settings: {0} needs both client_id and client_secret (or client_secret_file); set both, or neither")]
    HalfApp(&'static str),
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
    /// One of the two URLs of the scale set-up without the other.
    #[error(
        "settings: PostgreSQL and RabbitMQ go together: set both SAPO_SYNC__DATABASE__URL=postgres://… and SAPO_SYNC__BROKER__URL=amqp://…, or neither (SQLite and a queue file in the data dir)"
    )]
    Pair,
    /// No key where several processes must have the same.
    #[error(
        "settings: with PostgreSQL every process needs the same master key: set SAPO_SYNC__MASTER_KEY_FILE to a file with 64 hex digits (openssl rand -hex 32 makes them), or SAPO_SYNC__MASTER_KEY"
    )]
    NoKey,
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
    public_url: Option<String>,
    oauth: RawOauth,
    data_dir: PathBuf,
    master_key: Option<String>,
    master_key_file: Option<String>,
    database: RawDatabase,
    broker: RawBroker,
    outgoing: RawOutgoing,
    retry: RawRetry,
    reconcile: RawReconcile,
    keep: RawKeep,
    log: RawLog,
    crash_at: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOauth {
    omni: RawApp,
    web: RawApp,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApp {
    client_id: Option<String>,
    client_secret: Option<String>,
    client_secret_file: Option<String>,
    scopes: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDatabase {
    url: Option<String>,
    url_file: Option<String>,
    connections: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBroker {
    url: Option<String>,
    url_file: Option<String>,
    prefix: String,
    partitions: u16,
    spool_events: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutgoing {
    allow_custom_hosts: bool,
    timeout: String,
    sapo_limit: String,
    abaha_limit: String,
    web_limit: String,
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
        let broker = broker(raw.broker)?;
        let (database_url, scaled) = database(raw.database.url, raw.database.url_file, &raw.data_dir)?;
        if scaled != matches!(broker, BrokerConfig::RabbitMq(_)) {
            return Err(ConfigError::Pair);
        }
        let master_key = secret("SAPO_SYNC__MASTER_KEY", raw.master_key, raw.master_key_file)?;
        if scaled && master_key.is_none() {
            return Err(ConfigError::NoKey);
        }
        let schedule = raw
            .retry
            .schedule
            .split(',')
            .map(|part| duration("SAPO_SYNC__RETRY__SCHEDULE", part))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            listen,
            database_url,
            database_connections: raw.database.connections.max(2),
            broker,
            master_key,
            data_dir: raw.data_dir,
            allow_custom_hosts: raw.outgoing.allow_custom_hosts,
            call_timeout: call_timeout(&raw.outgoing.timeout)?,
            sapo_limit: rate("SAPO_SYNC__OUTGOING__SAPO_LIMIT", &raw.outgoing.sapo_limit)?,
            abaha_limit: rate("SAPO_SYNC__OUTGOING__ABAHA_LIMIT", &raw.outgoing.abaha_limit)?,
            web_limit: rate("SAPO_SYNC__OUTGOING__WEB_LIMIT", &raw.outgoing.web_limit)?,
            public_url: public_url(raw.public_url)?,
            oauth_omni: app("SAPO_SYNC__OAUTH__OMNI", "SAPO_SYNC__OAUTH__OMNI__CLIENT_SECRET", raw.oauth.omni)?,
            oauth_web: app("SAPO_SYNC__OAUTH__WEB", "SAPO_SYNC__OAUTH__WEB__CLIENT_SECRET", raw.oauth.web)?,
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

    /// The state database's URL without its password.
    pub fn database_shown(&self) -> String {
        without_password(self.database_url.expose_secret())
    }

    /// Whether several processes may work on the same state and queue.
    pub fn is_scaled(&self) -> bool {
        matches!(self.broker, BrokerConfig::RabbitMq(_))
    }
}

/// The state database's URL, and whether it is one that processes share.
fn database(
    direct: Option<String>,
    file: Option<String>,
    data_dir: &Path,
) -> Result<(SecretString, bool), ConfigError> {
    const KEY: &str = "SAPO_SYNC__DATABASE__URL";
    let Some(url) = secret(KEY, direct, file)? else {
        return Ok((format!("sqlite://{}", data_dir.join("state.db").display()).into(), false));
    };
    match url.expose_secret() {
        text if text.starts_with("sqlite:") => Ok((url, false)),
        text if text.starts_with("postgres://") || text.starts_with("postgresql://") => Ok((url, true)),
        text => Err(ConfigError::Value {
            key: KEY,
            value: without_password(text),
            expected: "the URL of a PostgreSQL database or a SQLite file",
            example: "postgres://user:password@host/sapo_sync",
        }),
    }
}

fn broker(raw: RawBroker) -> Result<BrokerConfig, ConfigError> {
    const KEY: &str = "SAPO_SYNC__BROKER__URL";
    // The file's default says "embedded"; a file named in the environment takes its place.
    let direct = raw.url.filter(|url| url != "embedded");
    let Some(url) = secret(KEY, direct, raw.url_file)? else { return Ok(BrokerConfig::Embedded) };
    let text = url.expose_secret();
    if !(text.starts_with("amqp://") || text.starts_with("amqps://")) {
        return Err(ConfigError::Value {
            key: KEY,
            value: without_password(text),
            expected: "the URL of a RabbitMQ server",
            example: "amqp://user:password@host:5672/%2f",
        });
    }
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if raw.prefix.is_empty() || raw.prefix.len() > 100 || !raw.prefix.chars().all(word) {
        return Err(ConfigError::Value {
            key: "SAPO_SYNC__BROKER__PREFIX",
            value: raw.prefix,
            expected: "a short word of letters, digits, '-', '_' and '.'",
            example: "sapo-sync",
        });
    }
    let range = |key, value: i64, from, to, example| {
        let wrong = ConfigError::Value {
            key,
            value: value.to_string(),
            expected: "in its range (see `sapo-sync config`)",
            example,
        };
        if (from..=to).contains(&value) { Ok(()) } else { Err(wrong) }
    };
    range("SAPO_SYNC__BROKER__PARTITIONS", raw.partitions.into(), 1, 256, "8")?;
    range("SAPO_SYNC__BROKER__SPOOL_EVENTS", raw.spool_events, 1, 1_000_000_000, "500000")?;
    Ok(BrokerConfig::RabbitMq(RabbitConfig {
        url,
        prefix: raw.prefix,
        partitions: raw.partitions,
        spool_events: raw.spool_events,
    }))
}

/// An address that others reach us by, without the slash at its end.
fn public_url(given: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = given.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let address = text.trim().trim_end_matches('/');
    let host = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    if host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', '@', ' '])) {
        return Ok(Some(address.to_owned()));
    }
    Err(ConfigError::Value {
        key: "SAPO_SYNC__PUBLIC_URL",
        value: without_password(&text),
        expected: "an address without user, query or fragment",
        example: "https://sync.example.com",
    })
}

fn app(name: &'static str, secret_key: &'static str, raw: RawApp) -> Result<Option<OauthApp>, ConfigError> {
    let client_secret = secret(secret_key, raw.client_secret, raw.client_secret_file)?;
    let client_id = raw.client_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let scopes = raw.scopes.split(',').map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty());
    match (client_id, client_secret) {
        (Some(client_id), Some(client_secret)) => {
            Ok(Some(OauthApp { client_id, client_secret, scopes: scopes.collect() }))
        }
        (None, None) => Ok(None),
        _ => Err(ConfigError::HalfApp(name)),
    }
}

fn duration(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let wrong = || ConfigError::Value { key, value: text.to_owned(), expected: "a duration", example: "30s, 2m or 1h" };
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// How long a call may take: an intent is held for 45 s, in which the call also waits for its turn.
fn call_timeout(text: &str) -> Result<Duration, ConfigError> {
    const KEY: &str = "SAPO_SYNC__OUTGOING__TIMEOUT";
    let most = Duration::from_secs(20);
    let wrong = || ConfigError::Value {
        key: KEY,
        value: text.to_owned(),
        expected: "a duration of at most 20 s, for what is being created is held for 45 s",
        example: "10s",
    };
    duration(KEY, text).and_then(|timeout| if timeout <= most { Ok(timeout) } else { Err(wrong()) })
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

/// A URL as it may be shown.
pub fn without_password(url: &str) -> String {
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
        assert_eq!(config.database_url.expose_secret(), "sqlite://./data/state.db");
        assert!(!config.is_scaled());
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
            ("broker.url = \"http://guest:guest@h\"", "SAPO_SYNC__BROKER__URL"),
            ("broker.url = \"amqp://guest:guest@h\"\nbroker.partitions = 0", "SAPO_SYNC__BROKER__PARTITIONS"),
            ("broker.url = \"amqp://guest:guest@h\"\nbroker.prefix = \"a b\"", "SAPO_SYNC__BROKER__PREFIX"),
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
    fn postgresql_and_rabbitmq_go_together_and_need_a_key() {
        let database = "database.url = \"postgres://u:p@h/d\"\n";
        let broker = "broker.url = \"amqps://u:p@h/%2f\"\n";
        let key = "master_key = \"k\"\n";
        for half in [database, broker] {
            let message = load(&format!("{half}{key}")).unwrap_err().to_string();
            assert!(message.contains("SAPO_SYNC__DATABASE__URL") && message.contains("SAPO_SYNC__BROKER__URL"));
        }
        let message = load(&format!("{database}{broker}")).unwrap_err().to_string();
        assert!(message.contains("SAPO_SYNC__MASTER_KEY_FILE"), "{message}");
        let config = load(&format!("{database}{broker}{key}")).unwrap();
        assert!(config.is_scaled());
        assert_eq!(config.database_shown(), "postgres://…@h/d");
        assert!(!format!("{config:?}").contains("u:p"));
    }

    #[test]
    fn a_secret_and_its_file_together_are_refused() {
        let message = load("master_key = \"a\"\nmaster_key_file = \"b\"").unwrap_err().to_string();
        assert!(message.contains("SAPO_SYNC__MASTER_KEY_FILE"), "{message}");
    }
}
