//! All SQL of the state database: connections, links, intents, ledger, parked rows, dead letters, jobs.
//!
//! One SQL text serves every engine, through sqlx's `Any` driver: `$1` placeholders, ids as text, times as bigint
//! milliseconds, money as decimal text, booleans as 0 and 1.
//!
//! `SQLite` has one writer, so a transaction that reads and then writes is alone there. On `PostgreSQL` it is not:
//! such a transaction first calls [`Store::serialise`] for what it is about. Where one takes several such locks, the
//! order is connections, intent, link, object; rows are locked after that.

pub mod accounts;
mod address;
pub mod audit;
pub mod cache;
pub mod channel_orders;
pub mod cipher;
pub mod connections;
pub mod counts;
pub mod dead_letters;
mod error;
pub mod grants;
pub mod intents;
pub mod jobs;
pub mod leases;
pub mod ledger;
mod line;
pub mod links;
pub mod objects;
pub mod pairs;
pub mod parked;
pub mod pushes;
pub mod reservations;
mod schema;
pub mod variants;

use sha2::Digest as _;

use crate::domain::clock::Clock;
use crate::domain::event::ObjectKey;

pub use address::Engine;
pub use cipher::Cipher;
pub use error::StoreError;
pub use line::{Held, Tx, letting_others_first};

use address::Address;
use line::Line;

/// The state database.
#[derive(Clone, Debug)]
pub struct Store {
    address: Address,
    write: Line,
    read: Line,
    cipher: Cipher,
    clock: Clock,
}

impl Store {
    /// Opens the database, makes its tables where they are missing, and brings it up to this version.
    pub async fn open(url: &str, cipher: Cipher, clock: Clock) -> Result<Self, StoreError> {
        let store = Self::connect(url, cipher, clock, address::CONNECTIONS)?;
        store.migrate().await?;
        Ok(store)
    }

    /// Opens the database as it is; a server need not be there yet. [`Store::check_schema`] tells whether it is as
    /// this version needs it. `connections` is how many are held at most, where it is a server.
    pub fn connect(url: &str, cipher: Cipher, clock: Clock, connections: u32) -> Result<Self, StoreError> {
        let address = Address::parse(url, connections)?;
        let (write, read) = address.lines()?;
        Ok(Self { address, write, read, cipher, clock })
    }

    /// Which database it is.
    pub fn engine(&self) -> Engine {
        self.address.engine
    }

    /// Begins a writing transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let statement = match self.engine() {
            Engine::Sqlite => "begin immediate",
            Engine::Postgres => "begin",
        };
        Ok(self.write.begin(statement).await?)
    }

    /// Waits until no other transaction is at work on a scope, and keeps it until the end of this one. What is read
    /// after this call is what the others left. On `SQLite` every writing transaction is alone anyway.
    pub async fn serialise(&self, tx: &mut Tx, scope: &str) -> Result<(), StoreError> {
        if self.engine() == Engine::Postgres {
            let hash: [u8; 32] = sha2::Sha256::digest(scope.as_bytes()).into();
            let lock = hash.first_chunk().map_or(0, |first| i64::from_be_bytes(*first));
            sqlx::query("select pg_advisory_xact_lock($1)").bind(lock).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// [`Store::serialise`] for one object: its parked row, its letters, and the ledger rows of its events.
    async fn serialise_object(&self, tx: &mut Tx, key: &ObjectKey) -> Result<(), StoreError> {
        self.serialise(tx, &object_scope(&key.connection, key.source.as_str(), key.kind.as_str(), &key.object_id)).await
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

    /// Closes every connection.
    pub async fn close(&self) {
        self.read.pool().close().await;
        self.write.pool().close().await;
    }
}

fn object_scope(connection: &str, source: &str, kind: &str, object_id: &str) -> String {
    format!("object:{connection}:{source}:{kind}:{object_id}")
}

/// The codes of orders that what was typed may mean: a web's `#1001` is also found by 1001, for a shell takes what
/// follows a bare # for a comment.
fn order_codes(typed: &str) -> Vec<String> {
    let mut codes = vec![typed.to_owned()];
    if !typed.starts_with('#') {
        codes.push(format!("#{typed}"));
    }
    codes
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
