//! Counts for people: what lies at each connection, and what became of its events.

use serde::Serialize;

use super::{Store, StoreError};
use crate::domain::clock::Millis;

/// How many of one thing a connection has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Count {
    /// The connection.
    pub connection: String,
    /// For links their state; empty otherwise.
    pub state: String,
    /// How many.
    pub number: i64,
}

/// How many events of one sort ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Tally {
    /// The system they came from.
    pub source: String,
    /// Their kind.
    pub kind: String,
    /// How they ended.
    pub outcome: String,
    /// The stable word of it.
    pub code: String,
    /// 1 where a job made them, 0 where a webhook did.
    pub of_job: i64,
    /// How many.
    pub events: i64,
}

impl Store {
    /// How many links each connection has in which state.
    pub async fn link_counts(&self) -> Result<Vec<Count>, StoreError> {
        Ok(sqlx::query_as("select connection, state, count(*) as number from links group by connection, state")
            .fetch_all(&self.read)
            .await?)
    }

    /// How many rows are parked at each connection.
    pub async fn parked_by_connection(&self) -> Result<Vec<Count>, StoreError> {
        Ok(sqlx::query_as("select connection, '' as state, count(*) as number from parked group by connection")
            .fetch_all(&self.read)
            .await?)
    }

    /// How many open dead letters each connection has.
    pub async fn letters_by_connection(&self) -> Result<Vec<Count>, StoreError> {
        let sql = "select connection, '' as state, count(*) as number from dead_letters where state = 'open' group by connection";
        Ok(sqlx::query_as(sql).fetch_all(&self.read).await?)
    }

    /// What became of the events that a connection received since a moment.
    pub async fn tally(&self, connection: &str, since: Millis) -> Result<Vec<Tally>, StoreError> {
        let sql = "select source, kind, outcome, code, case when job is null then 0 else 1 end as of_job, count(*) as events from ledger
             where connection = $1 and received_at >= $2 group by source, kind, outcome, code, case when job is null then 0 else 1 end";
        Ok(sqlx::query_as(sql).bind(connection).bind(since).fetch_all(&self.read).await?)
    }
}
