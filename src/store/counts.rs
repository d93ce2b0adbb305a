//! Counts for people: what lies at each connection, and what became of its events.

use serde::Serialize;

use super::{Store, StoreError};
use crate::domain::clock::Millis;

/// What lies at a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Lying {
    /// Links in good order.
    pub linked: i64,
    /// Links in error.
    pub link_errors: i64,
    /// Parked rows.
    pub parked: i64,
    /// Open dead letters.
    pub dead: i64,
}

/// What of a web is in error (Lỗi liên kết), as its owner sees it: with or without a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct WebErrors {
    /// Variants, those of both sides.
    pub variants: i64,
    /// Orders.
    pub orders: i64,
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
    /// How much lies at a connection.
    pub async fn lying(&self, connection: &str) -> Result<Lying, StoreError> {
        // Of one connection, each from an index: grouped, every connection's rows would be read for one that is shown.
        let sql = "select
             (select count(*) from links where connection = $1 and state = 'linked') as linked,
             (select count(*) from links where connection = $1 and state = 'error') as link_errors,
             (select count(*) from parked where connection = $1) as parked,
             (select count(*) from dead_letters where connection = $1 and state = 'open') as dead";
        Ok(sqlx::query_as(sql).bind(connection).fetch_one(&self.read).await?)
    }

    /// How many variants and orders of a web are in error.
    pub async fn web_errors(&self, connection: &str) -> Result<WebErrors, StoreError> {
        // Each side is named, for so an index leads to the rows.
        let sql = "select
             (select count(*) from variants where connection = $1 and side in ('sapo', 'channel') and state = 'error') as variants,
             (select count(*) from channel_orders where connection = $1 and state = 'error') as orders";
        Ok(sqlx::query_as(sql).bind(connection).fetch_one(&self.read).await?)
    }

    /// What became of the events that a connection received since a moment.
    pub async fn tally(&self, connection: &str, since: Millis) -> Result<Vec<Tally>, StoreError> {
        let sql = "select source, kind, outcome, code, case when job is null then 0 else 1 end as of_job, count(*) as events from ledger
             where connection = $1 and received_at >= $2 group by source, kind, outcome, code, case when job is null then 0 else 1 end";
        Ok(sqlx::query_as(sql).bind(connection).bind(since).fetch_all(&self.read).await?)
    }
}
