//! What every command starts with: settings, logs, and the state.

use std::path::PathBuf;

use anyhow::anyhow;
use secrecy::ExposeSecret as _;

use super::args::Global;
use super::exit::NotFound;
use crate::app;
use crate::config::Config;
use crate::observe::logs;
use crate::store::Store;
use crate::store::connections::Snapshot;

/// Who the audit log says it was.
pub const ACTOR: &str = "cli";

/// A command's settings and form of answer.
pub struct Invocation {
    /// Settings.
    pub config: Config,
    /// One JSON object a line instead of tables.
    pub json: bool,
}

impl Invocation {
    /// For commands that answer and end: only warnings are logged.
    pub fn quiet(global: &Global) -> anyhow::Result<Self> {
        let config = load(global)?;
        start_logs("warn", &config)?;
        Ok(Self { config, json: global.json })
    }

    /// For commands that stay: the log is as the settings say.
    pub fn loud(global: &Global) -> anyhow::Result<Self> {
        let config = load(global)?;
        start_logs(&config.log, &config)?;
        Ok(Self { config, json: global.json })
    }

    /// Opens the state, beside a running `up` or without one.
    pub async fn store(&self) -> anyhow::Result<Store> {
        app::open_store(&self.config).await
    }
}

/// Starts the log with a filter.
pub fn start_logs(filter: &str, config: &Config) -> anyhow::Result<()> {
    logs::start(filter, config.log_json).map_err(|error| anyhow!(error))
}

/// Reads the settings; `--data-dir` moves the files that live there.
pub fn load(global: &Global) -> anyhow::Result<Config> {
    let mut config = Config::load(global.config.as_deref())?;
    if let Some(dir) = &global.data_dir {
        move_to(&mut config, dir.clone());
    }
    Ok(config)
}

/// Sets the data dir, and the state database with it where that is the file of the data dir.
pub fn move_to(config: &mut Config, dir: PathBuf) {
    let inside = |dir: &PathBuf| format!("sqlite://{}", dir.join("state.db").display());
    if config.database_url.expose_secret() == inside(&config.data_dir) {
        config.database_url = inside(&dir).into();
    }
    config.data_dir = dir;
}

/// Says that a connection is not there, with the names of those that are.
pub fn no_connection(name: &str, known: &Snapshot) -> NotFound {
    let mut names: Vec<&str> = known.connections.keys().map(String::as_str).collect();
    names.sort_unstable();
    let hint = if names.is_empty() {
        "none is; `sapo-sync connect apply FILE` makes one".to_owned()
    } else {
        format!("known are: {}", names.join(", "))
    };
    NotFound(format!("there is no connection {name:?}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_moves_with_its_data_dir_and_stays_where_it_was_put() {
        let mut config = Config::load(None).unwrap();
        config.data_dir = "./data".into();
        config.database_url = "sqlite://./data/state.db".into();
        move_to(&mut config, "/srv/demo".into());
        assert_eq!(config.database_url.expose_secret(), "sqlite:///srv/demo/state.db");
        config.database_url = "sqlite://elsewhere.db".into();
        move_to(&mut config, "/srv/other".into());
        assert_eq!(config.database_url.expose_secret(), "sqlite://elsewhere.db");
    }
}
