//! Opens what a process needs: data dir, state database, broker, clients.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::broker::Broker;
use crate::broker::embedded::Embedded;
use crate::broker::rabbitmq::{RabbitMq, RabbitSettings};
use crate::broker::spool::Spooled;
use crate::config::{BrokerConfig, Config, RabbitConfig};
use crate::destination::{Http, HttpSettings, Limits, Rate};
use crate::domain::clock::Clock;
use crate::store::cache::SnapshotCache;
use crate::store::{Cipher, Store};
use crate::work::context::Context;
use crate::work::marks::Marks;

/// How long a publish may take; then a receiver keeps the event on its own disk. Sapo waits 5 s for its answer.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Confirms waited for at once.
const CONFIRMS: usize = 256;

/// Opens the state alone: for commands that work beside running processes.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    make_data_dir(config)?;
    let store = connect_store(config).await?;
    if config.is_scaled() {
        store.check_schema().await?;
    }
    Ok(store)
}

/// Brings the state database up to this version; waits for it where it is away.
pub async fn migrate(config: &Config, stop: &CancellationToken) -> anyhow::Result<()> {
    make_data_dir(config)?;
    let store = connect_store(config).await?;
    loop {
        match store.migrate().await {
            Ok(()) => {
                store.close().await;
                return Ok(());
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(code = error.code(), %error, "waiting for the state database");
            }
            Err(error) => return Err(error.into()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(super::RETRY)).await.is_none() {
            bail!("stopped before the state database could be brought up to date; run it again");
        }
    }
}

fn make_data_dir(config: &Config) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data_dir).with_context(|| {
        format!("the data dir {} cannot be made; choose another with SAPO_SYNC__DATA_DIR", config.data_dir.display())
    })
}

/// A `SQLite` file is opened, made and brought up to date; PostgreSQL may be away as yet.
pub(super) async fn connect_store(config: &Config) -> anyhow::Result<Store> {
    let cipher = Cipher::from_key_or_file(config.master_key.as_ref(), &config.data_dir.join("master.key"))?;
    let (url, clock) = (config.database_url.expose_secret(), Clock::system());
    if config.is_scaled() {
        Ok(Store::connect(url, cipher, clock, config.database_connections)?)
    } else {
        Ok(Store::open(url, cipher, clock).await?)
    }
}

/// Takes the data dir's lock for `up`, or tells that another process has it.
pub fn lock(config: &Config) -> anyhow::Result<Option<File>> {
    lock_for(config, &Role::Up)
}

pub(super) fn lock_for(config: &Config, role: &Role) -> anyhow::Result<Option<File>> {
    make_data_dir(config)?;
    let name = if *role == Role::Up { "lock".to_owned() } else { format!("{}.lock", role.word()) };
    let path = config.data_dir.join(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path).with_context(|| {
        format!(
            "{} cannot be written; choose a data dir that this user may write (SAPO_SYNC__DATA_DIR)",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// This process's name as the owner of leases. It is kept in the data dir, and the lock says that whoever had it before
/// is gone: its leases end at the next start instead of running out.
pub(super) fn owner(config: &Config, role: &Role) -> anyhow::Result<String> {
    let path = config.data_dir.join(format!("{}.owner", role.word()));
    match std::fs::read_to_string(&path) {
        Ok(text) if uuid::Uuid::parse_str(text.trim()).is_ok() => Ok(text.trim().to_owned()),
        _ => {
            let new = uuid::Uuid::now_v7().to_string();
            std::fs::write(&path, &new).with_context(|| {
                format!("{} cannot be written; check that the data dir has room (SAPO_SYNC__DATA_DIR)", path.display())
            })?;
            Ok(new)
        }
    }
}

/// A broker that refuses us ends a process at its start. A receiver that was started before, which its spool shows, is
/// different: webhooks count on it, so it takes them to its own disk, and waits until the refusal is put right.
pub(super) async fn open_broker(config: &Config, role: &Role, owner: &str) -> anyhow::Result<Arc<dyn Broker>> {
    let rabbit = match &config.broker {
        BrokerConfig::Embedded => return Ok(Arc::new(Embedded::open(&config.data_dir.join("queue.db")).await?)),
        BrokerConfig::RabbitMq(rabbit) => rabbit,
    };
    let settings = rabbit_settings(rabbit, format!("sapo-sync {} {owner}", role.word()));
    if !role.receives() {
        return Ok(Arc::new(RabbitMq::open(settings).await?));
    }
    let file = config.data_dir.join("spool.db");
    let broker =
        if file.exists() { RabbitMq::open_patiently(settings).await? } else { RabbitMq::open(settings).await? };
    let spool = Embedded::open(&file).await?;
    Ok(Arc::new(Spooled::new(broker, spool, rabbit.spool_events)))
}

/// How this process uses RabbitMQ; `name` is what operators see there.
pub fn rabbit_settings(config: &RabbitConfig, name: String) -> RabbitSettings {
    let RabbitConfig { url, prefix, partitions, .. } = config.clone();
    RabbitSettings { url, prefix, partitions, name, publish_timeout: PUBLISH_TIMEOUT, window: CONFIRMS }
}

/// Everything that workers and jobs work with.
pub(super) fn context(
    config: &Config,
    store: Store,
    broker: Arc<dyn Broker>,
    owner: String,
) -> anyhow::Result<Context> {
    let clock = store.clock().clone();
    let http = sender(config, &clock)?;
    let limits = http.limits().clone();
    Ok(Context {
        snapshot: SnapshotCache::new(store.clone()),
        marks: Marks::new(&clock),
        http,
        store,
        broker,
        limits,
        clock,
        schedule: config.retry.schedule.clone(),
        settle_after: config.retry.settle_after,
        recheck: config.retry.recheck,
        owner,
        public_url: config.public_url.clone(),
        failing: Arc::new(Mutex::default()),
        branches: Arc::default(),
    })
}

/// Makes the one sender, for commands that only call the APIs.
pub fn sender(config: &Config, clock: &Clock) -> anyhow::Result<Http> {
    let rate = |(size, per_second)| Rate { size, per_second };
    let limits =
        Limits::new(clock.clone(), rate(config.sapo_limit), rate(config.abaha_limit)).web(rate(config.web_limit));
    let settings = HttpSettings {
        timeout: config.call_timeout,
        allow_custom_hosts: config.allow_custom_hosts,
        ..HttpSettings::default()
    };
    Ok(Http::new(settings, limits, clock.clone())?)
}
