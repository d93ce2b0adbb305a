//! What a world runs on: files in its folder, or a PostgreSQL database and RabbitMQ queues of its own.

use std::path::Path;
use std::sync::Arc;

use sapo_sync::app::rabbit_settings;
use sapo_sync::broker::Broker;
use sapo_sync::broker::embedded::Embedded;
use sapo_sync::broker::rabbitmq::RabbitMq;
use sapo_sync::config::{BrokerConfig, Config, RabbitConfig};
use secrecy::ExposeSecret as _;

use crate::database::{self, Database};
use crate::rabbit::{self, PARTITIONS, Prefix};

/// Set to `servers`, worlds run on PostgreSQL and RabbitMQ.
const CHOICE: &str = "SAPO_SYNC_TEST_BACKEND";
/// The key of every world on servers.
const KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// What a world runs on; what was made for it goes with it.
pub enum Backend {
    Files,
    Servers { database: Database, prefix: Prefix },
}

impl Backend {
    /// What the suite is run on.
    pub async fn chosen() -> Self {
        if Self::is_files() { Self::Files } else { Self::servers().await }
    }

    /// Whether the suite is run on files.
    #[allow(clippy::disallowed_methods, reason = "which of the two the tests run on; no setting of the program")]
    pub fn is_files() -> bool {
        match std::env::var(CHOICE).as_deref() {
            Err(_) | Ok("" | "files") => true,
            Ok("servers") => false,
            Ok(other) => panic!("{CHOICE} is {other:?}; it may be files or servers"),
        }
    }

    /// A database and queues of its own.
    pub async fn servers() -> Self {
        Self::Servers { database: database::fresh().await, prefix: Prefix::new() }
    }

    /// Puts its addresses into a program's settings.
    pub fn set(&self, config: &mut Config) {
        match self {
            Self::Files => {
                config.database_url = format!("sqlite://{}", config.data_dir.join("state.db").display()).into();
                config.broker = BrokerConfig::Embedded;
            }
            Self::Servers { database, prefix } => {
                config.database_url = database.url.clone().into();
                config.master_key = Some(KEY.to_owned().into());
                config.broker = BrokerConfig::RabbitMq(RabbitConfig {
                    url: rabbit::url().into(),
                    prefix: prefix.name.clone(),
                    partitions: PARTITIONS,
                    spool_events: 100_000,
                });
            }
        }
    }
}

/// The settings that name a program's state and queue, as its environment takes them.
pub fn environment(config: &Config) -> Vec<(&'static str, String)> {
    let mut all = vec![("SAPO_SYNC__DATA_DIR", config.data_dir.display().to_string())];
    if let BrokerConfig::RabbitMq(rabbit) = &config.broker {
        all.extend([
            ("SAPO_SYNC__DATABASE__URL", config.database_url.expose_secret().to_owned()),
            ("SAPO_SYNC__MASTER_KEY", KEY.to_owned()),
            ("SAPO_SYNC__BROKER__URL", rabbit.url.expose_secret().to_owned()),
            ("SAPO_SYNC__BROKER__PREFIX", rabbit.prefix.clone()),
            ("SAPO_SYNC__BROKER__PARTITIONS", rabbit.partitions.to_string()),
        ]);
    }
    all
}

/// Writes the settings that name a program's state and queue into a file.
pub fn settings_file(config: &Config, file: &Path) {
    let line = |(name, value): (&str, String)| {
        let key = name.trim_start_matches("SAPO_SYNC__").to_lowercase().replace("__", ".");
        format!("{key} = {value:?}")
    };
    let lines: Vec<String> = environment(config).into_iter().map(line).collect();
    std::fs::write(file, lines.join("\n")).unwrap();
}

/// The queue of a program that does not run now, or, with RabbitMQ, beside it.
pub async fn open_broker(config: &Config) -> Arc<dyn Broker> {
    match &config.broker {
        BrokerConfig::Embedded => Arc::new(Embedded::open(&queue_file(&config.data_dir)).await.unwrap()),
        BrokerConfig::RabbitMq(rabbit) => {
            Arc::new(RabbitMq::open(rabbit_settings(rabbit, "a test".to_owned())).await.unwrap())
        }
    }
}

fn queue_file(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("queue.db")
}
