//! What shops granted by OAuth: access tokens, and the questions that are on their way.

use std::collections::HashMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{Store, StoreError, Tx};
use crate::domain::clock::{Millis, millis};

/// How long a question that was answered, or never was, stays on record.
const KEPT: Duration = Duration::from_hours(24 * 7);

/// An access token that a shop granted.
#[derive(Clone, Debug)]
pub struct Grant {
    /// `omni:cuahangmau`, `web:webmau`.
    pub account: String,
    /// The access token.
    pub token: SecretString,
    /// What it allows; empty where the shop did not say.
    pub scopes: Vec<String>,
    /// Instead of the shop's own host.
    pub base_url: Option<String>,
    /// When.
    pub granted_at: Millis,
}

/// A question whether we may have access, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Authorization {
    /// The random word that must come back with the answer.
    pub state: String,
    /// Which shop was asked.
    pub account: String,
    /// Where the answer is to land.
    pub redirect_uri: String,
    /// Instead of the shop's own host.
    pub base_url: Option<String>,
    /// When it was asked.
    pub created_at: Millis,
    /// When the answer came.
    pub used_at: Option<Millis>,
    /// What came of it, in words for people; none as yet.
    pub outcome: Option<String>,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    account: String,
    token: Vec<u8>,
    scopes: String,
    base_url: Option<String>,
    granted_at: Millis,
}

/// Where a token stands, for its encryption.
fn place(account: &str) -> String {
    format!("grants/{account}/token")
}

impl Store {
    /// Remembers a question; those of last week are forgotten.
    pub async fn put_authorization(&self, question: &Authorization) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from authorizations where created_at < $1")
            .bind(self.clock.now() - millis(KEPT))
            .execute(&mut *tx)
            .await?;
        sqlx::query("insert into authorizations (state, account, redirect_uri, base_url, created_at) values ($1, $2, $3, $4, $5)")
            .bind(&question.state)
            .bind(&question.account)
            .bind(&question.redirect_uri)
            .bind(&question.base_url)
            .bind(question.created_at)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// The question with this word.
    pub async fn authorization(&self, state: &str) -> Result<Option<Authorization>, StoreError> {
        Ok(sqlx::query_as(
            "select state, account, redirect_uri, base_url, created_at, used_at, outcome from authorizations where state = $1",
        )
        .bind(state)
        .fetch_optional(&self.read)
        .await?)
    }

    /// Takes a question's answer as come; false where it had come before.
    pub async fn use_authorization(&self, state: &str) -> Result<bool, StoreError> {
        let taken = sqlx::query("update authorizations set used_at = $2 where state = $1 and used_at is null")
            .bind(state)
            .bind(self.clock.now())
            .execute(&self.write)
            .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Says what came of a question; never a secret.
    pub async fn end_authorization(&self, tx: &mut Tx, state: &str, outcome: &str) -> Result<(), StoreError> {
        sqlx::query("update authorizations set outcome = $2 where state = $1")
            .bind(state)
            .bind(outcome)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Remembers what a shop granted, instead of what it granted before.
    pub async fn put_grant(&self, tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
        sqlx::query(
            "insert into grants (account, token, scopes, base_url, granted_at) values ($1, $2, $3, $4, $5)
             on conflict (account) do update set token = excluded.token, scopes = excluded.scopes, base_url = excluded.base_url, granted_at = excluded.granted_at",
        )
        .bind(&grant.account)
        .bind(self.cipher.seal(&place(&grant.account), grant.token.expose_secret()))
        .bind(grant.scopes.join(","))
        .bind(&grant.base_url)
        .bind(grant.granted_at)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// What a shop granted.
    pub async fn grant(&self, account: &str) -> Result<Option<Grant>, StoreError> {
        let row: Option<GrantRow> =
            sqlx::query_as("select account, token, scopes, base_url, granted_at from grants where account = $1")
                .bind(account)
                .fetch_optional(&self.read)
                .await?;
        row.map(|row| self.open_grant(row)).transpose()
    }

    /// Every token that was granted, by account.
    pub async fn granted_tokens(&self) -> Result<HashMap<String, SecretString>, StoreError> {
        let rows: Vec<GrantRow> = sqlx::query_as("select account, token, scopes, base_url, granted_at from grants")
            .fetch_all(&self.read)
            .await?;
        rows.into_iter()
            .map(|row| {
                let grant = self.open_grant(row)?;
                Ok((grant.account, grant.token))
            })
            .collect()
    }

    fn open_grant(&self, row: GrantRow) -> Result<Grant, StoreError> {
        let scopes = row.scopes.split(',').filter(|scope| !scope.is_empty());
        Ok(Grant {
            token: self.cipher.open(&place(&row.account), &row.token)?,
            scopes: scopes.map(ToOwned::to_owned).collect(),
            account: row.account,
            base_url: row.base_url,
            granted_at: row.granted_at,
        })
    }
}
