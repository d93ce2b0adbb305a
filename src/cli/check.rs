//! `check`: settings, data dir, database, master key, queue, and every connection; a line each, with the cure.

use std::fmt::Display;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::args::Global;
use super::exit::{Exit, message};
use super::{out, setup};
use crate::app;
use crate::broker::Broker as _;
use crate::broker::embedded::Embedded;
use crate::broker::rabbitmq::RabbitMq;
use crate::config::{BrokerConfig, Config, RabbitConfig};
use crate::domain::connection::State;
use crate::store::Store;
use crate::store::cipher::KeyError;
use crate::sync::connect;

/// The lines so far.
struct Findings {
    json: bool,
    wrong: bool,
}

impl Findings {
    fn ok(&self, what: &str, detail: impl Display) {
        self.say(what, true, &detail.to_string());
    }

    fn wrong(&mut self, what: &str, why: impl Display) {
        self.wrong = true;
        self.say(what, false, &why.to_string());
    }

    fn say(&self, what: &str, ok: bool, detail: &str) {
        if self.json {
            out::json(&json!({"what": what, "ok": ok, "detail": detail}));
        } else {
            out::line(format!("{:<6} {what}: {detail}", if ok { "ok" } else { "wrong" }));
        }
    }

    fn exit(&self) -> Exit {
        if self.wrong { Exit::Failed } else { Exit::Fine }
    }
}

/// Checks everything that can be checked; stops where the rest needs what is wrong.
pub async fn run(global: &Global) -> anyhow::Result<Exit> {
    let mut findings = Findings { json: global.json, wrong: false };
    let config = match setup::load(global) {
        Ok(config) => config,
        Err(error) => {
            findings.wrong("settings", message(&error));
            return Ok(findings.exit());
        }
    };
    setup::start_logs("warn", &config)?;
    findings.ok("settings", "every value is of its form");
    match write_probe(&config.data_dir) {
        Ok(()) => findings.ok("data dir", format!("{} can be written", config.data_dir.display())),
        Err(error) => findings.wrong("data dir", message(&error)),
    }
    let store = match app::open_store(&config).await {
        Ok(store) => store,
        Err(error) => {
            let what = if error.downcast_ref::<KeyError>().is_some() { "master key" } else { "database" };
            findings.wrong(what, message(&error));
            return Ok(findings.exit());
        }
    };
    findings.ok("database", format!("{} is of this version", config.database_shown()));
    queue(&mut findings, &config).await;
    connections(&mut findings, &config, &store).await?;
    Ok(findings.exit())
}

fn write_probe(dir: &Path) -> anyhow::Result<()> {
    let cure = || {
        format!(
            "{} cannot be written; choose a data dir that this user may write and that has room (SAPO_SYNC__DATA_DIR)",
            dir.display()
        )
    };
    std::fs::create_dir_all(dir).with_context(cure)?;
    let probe = dir.join(format!(".check-{}", std::process::id()));
    std::fs::write(&probe, b"check").with_context(cure)?;
    std::fs::remove_file(&probe).with_context(cure)
}

async fn queue(findings: &mut Findings, config: &Config) {
    match &config.broker {
        BrokerConfig::Embedded => queue_file(findings, config).await,
        BrokerConfig::RabbitMq(rabbit) => rabbitmq(findings, rabbit).await,
    }
}

async fn rabbitmq(findings: &mut Findings, config: &RabbitConfig) {
    match RabbitMq::open(app::rabbit_settings(config, "sapo-sync check".to_owned())).await {
        Ok(broker) => {
            match broker.ready().await {
                Ok(()) => findings.ok("queue", "RabbitMQ confirms what is published"),
                Err(error) => findings.wrong("queue", error),
            }
            broker.close().await;
        }
        Err(error) => findings.wrong("queue", error),
    }
}

/// The queue file has one writer: it is opened only where nobody else works.
async fn queue_file(findings: &mut Findings, config: &Config) {
    let lock = match app::lock(config) {
        Ok(Some(lock)) => lock,
        Ok(None) => return findings.ok("queue", "in use by the sapo-sync that runs; `sapo-sync healthcheck` asks it"),
        Err(error) => return findings.wrong("queue", message(&error)),
    };
    match Embedded::open(&config.data_dir.join("queue.db")).await {
        Ok(queue) => {
            match queue.ready().await {
                Ok(()) => findings.ok("queue", "events would be taken"),
                Err(error) => {
                    findings.wrong("queue", format!("{error}; check that the data dir has room and can be written"));
                }
            }
            queue.close().await;
        }
        Err(error) => findings.wrong("queue", format!("{error}; check that the data dir has room and can be written")),
    }
    drop(lock);
}

async fn connections(findings: &mut Findings, config: &Config, store: &Store) -> anyhow::Result<()> {
    let known = match store.snapshot().await {
        Ok(known) => known,
        Err(error) => {
            let what = if error.code() == "wrong_master_key" { "master key" } else { "database" };
            findings.wrong(what, error);
            return Ok(());
        }
    };
    if known.stores.is_empty() {
        findings.ok("master key", "usable; nothing is encrypted with it yet");
    } else {
        findings.ok(
            "master key",
            format!("opens the secrets of {} stores and {} connections", known.stores.len(), known.connections.len()),
        );
    }
    let http = app::sender(config, store.clock())?;
    let mut rows: Vec<_> = known.connections.values().collect();
    rows.sort_by(|one, other| one.connection.name.cmp(&other.connection.name));
    for row in rows {
        let connection = &row.connection;
        let what = format!("connection {}", connection.name);
        let Some(shop) = known.stores.get(&connection.store) else {
            findings
                .wrong(&what, format!("its store {} is not connected; apply a file that has both", connection.store));
            continue;
        };
        if connection.state == State::Stopped {
            findings.ok(
                &what,
                format!("stopped ({}), not checked", row.state_reason.as_deref().unwrap_or("no reason is known")),
            );
            continue;
        }
        match connect::check(&http, shop, row).await {
            Ok(()) if connection.state == State::NoAccess => findings.ok(
                &what,
                format!(
                    "shop and channel answer again; it goes on by itself, at once by `sapo-sync connect resume {}`",
                    connection.name
                ),
            ),
            Ok(()) if connection.state == State::Paused => findings.ok(&what, "shop and channel answer; it is paused"),
            Ok(()) => findings.ok(&what, "shop and channel answer, and know every id that was chosen"),
            Err(error) => findings.wrong(&what, error),
        }
    }
    if known.connections.is_empty() {
        findings.ok("connections", "none yet; `sapo-sync connect apply FILE` makes one");
    }
    Ok(())
}
