//! All SQL of the state database: connections, links, intents, ledger, parked rows, dead letters, jobs.
//!
//! One SQL text serves every engine, through sqlx's `Any` driver: `$1` placeholders, ids as text, times as bigint
//! milliseconds, money as decimal text, booleans as 0 and 1.

pub mod accounts;
pub mod audit;
pub mod cache;
pub mod cipher;
pub mod connections;
pub mod counts;
pub mod dead_letters;
pub mod intents;
pub mod jobs;
pub mod ledger;
pub mod links;
pub mod objects;
pub mod parked;

use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Transaction};

pub use cipher::Cipher;

use crate::domain::clock::Clock;

/// A failure of the state database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer as it should.
    #[error("state database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The database was written by a newer version of this program.
    #[error(
        "the state database is from a newer version of sapo-sync (migration {0} is not known here); run that version, or restore a back-up made by this one"
    )]
    Newer(i64),
    /// A migration failed.
    #[error("state database: migration failed: {0}")]
    Migrate(sqlx::migrate::MigrateError),
    /// A stored value cannot be read.
    #[error("state database: {what} cannot be read: {why}")]
    Corrupt {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// A secret cannot be decrypted with the master key given.
    #[error(
        "{0} cannot be decrypted: the master key is not the one it was encrypted with (SAPO_SYNC__MASTER_KEY, or master.key in the data dir)"
    )]
    WrongKey(String),
    /// The file or its folder cannot be written.
    #[error(
        "{path} cannot be opened: {why}; check that the data dir exists, has room, and is writable by this user (SAPO_SYNC__DATA_DIR)"
    )]
    Open {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
}

impl StoreError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sql(_) => "store_unavailable",
            Self::Newer(_) => "store_newer",
            Self::Migrate(_) => "store_migration",
            Self::Corrupt { .. } => "store_corrupt",
            Self::WrongKey(_) => "wrong_master_key",
            Self::Open { .. } => "store_cannot_open",
            Self::NotFound(_) => "not_found",
        }
    }

    fn corrupt(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), why: why.to_string() }
    }
}

/// A short writing transaction.
pub type Tx = Transaction<'static, Any>;

/// The state database.
///
/// `SQLite` has one writer, so writes go through a pool of one connection and never find the file busy by our own
/// doing; reads have a pool of their own.
#[derive(Clone, Debug)]
pub struct Store {
    write: AnyPool,
    read: AnyPool,
    cipher: Cipher,
    clock: Clock,
}

impl Store {
    /// Opens the database, makes it where it is missing, and brings it up to this version.
    pub async fn open(url: &str, cipher: Cipher, clock: Clock) -> Result<Self, StoreError> {
        install_default_drivers();
        let path = url.trim_start_matches("sqlite://").split('?').next().unwrap_or_default().to_owned();
        if let Some(folder) = Path::new(&path).parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Open { path: path.clone(), why: error.to_string() })?;
        }
        let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
        // Once by itself: a pool would try again and again, and tell of the time that took instead of the reason.
        let first = async { prepare(&mut AnyConnection::connect(&url).await?).await };
        first.await.map_err(|error| StoreError::Open { path: path.clone(), why: error.to_string() })?;
        let open = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_mins(1))
                // Many workers wait in line for the one writer; that is no news.
                .acquire_slow_threshold(Duration::from_mins(1))
                .after_connect(|connection, _| Box::pin(prepare(connection)))
        };
        let write = open(1).connect(&url).await.map_err(|error| StoreError::Open { path, why: error.to_string() })?;
        let store = Self { read: open(4).connect_lazy(&url)?, write, cipher, clock };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        sqlx::migrate!("src/store/migrations/sqlite").run(&self.write).await.map_err(|error| match error {
            sqlx::migrate::MigrateError::VersionMissing(version) => StoreError::Newer(version),
            other => StoreError::Migrate(other),
        })
    }

    /// Begins a writing transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(self.write.begin_with("begin immediate").await?)
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.read).await?;
        Ok(())
    }

    /// Whether the database can be written: a row is put in and taken out again.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("insert into poison_marks (event_id, marks, marked_at) values ('probe', 0, 0) on conflict (event_id) do nothing")
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from poison_marks where event_id = 'probe'").execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Closes both pools.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in [
        "pragma busy_timeout = 10000",
        "pragma journal_mode = wal",
        "pragma synchronous = full",
        "pragma foreign_keys = on",
    ] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The key that searches fold to: lower case, without diacritics, so that `ao` finds `Áo` on every engine.
pub fn fold(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.nfd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if c == 'đ' { 'd' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_find_vietnamese_words_typed_without_marks() {
        assert_eq!(fold("Áo thun ĐỎ"), "ao thun do");
    }
}
