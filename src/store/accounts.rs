//! One `not_before` per account at an API, seen by every worker: it serves `Retry-After` and breaker alike.

use std::collections::HashMap;

use super::{Store, StoreError};
use crate::domain::clock::Millis;

/// A throttled or failing account.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Closed {
    /// The account, `omni:cuahangmau`.
    pub account: String,
    /// No call before this moment.
    pub not_before: Millis,
    /// Failures in a row.
    pub failures: i64,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Closes an account until a moment; a later moment wins. Returns the failures in a row.
    pub async fn close_account(
        &self,
        account: &str,
        not_before: Millis,
        failure: bool,
        reason: &str,
    ) -> Result<i64, StoreError> {
        let failures: (i64,) = sqlx::query_as(
            "insert into accounts (account, not_before, failures, reason, updated_at) values ($1, $2, $3, $4, $5)
             on conflict (account) do update set
               not_before = case when excluded.not_before > accounts.not_before then excluded.not_before else accounts.not_before end,
               failures = accounts.failures + excluded.failures, reason = excluded.reason, updated_at = excluded.updated_at
             returning failures",
        )
        .bind(account)
        .bind(not_before)
        .bind(i64::from(failure))
        .bind(reason)
        .bind(self.clock.now())
        .fetch_one(&self.write)
        .await?;
        Ok(failures.0)
    }

    /// Opens an account again after a call that worked.
    pub async fn open_account(&self, account: &str) -> Result<(), StoreError> {
        sqlx::query("delete from accounts where account = $1").bind(account).execute(&self.write).await?;
        Ok(())
    }

    /// Every account that is closed now, or was and has not been seen to work since.
    pub async fn closed_accounts(&self) -> Result<HashMap<String, Closed>, StoreError> {
        let rows: Vec<Closed> =
            sqlx::query_as("select account, not_before, failures, reason from accounts").fetch_all(&self.read).await?;
        Ok(rows.into_iter().map(|row| (row.account.clone(), row)).collect())
    }
}
