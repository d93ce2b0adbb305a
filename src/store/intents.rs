//! Intents: what is written down before a call that cannot be repeated, so that a crash or a lost answer never makes
//! a second order, customer, product, category or payment.

use std::fmt;
use std::time::Duration;

use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;
use crate::domain::event::words;

words! {
    /// What is about to be made.
    IntentKind {
        /// An order.
        Order = "order",
        /// A customer.
        Customer = "customer",
        /// A product.
        Product = "product",
        /// A category.
        Category = "category",
        /// A prepayment.
        Prepayment = "prepayment",
        /// The shipping of a web's order.
        Fulfilment = "fulfilment",
    }
}

/// What an intent is for: unique by target account, kind and natural key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentKey {
    /// The account on the target side, `omni:cuahangmau`.
    pub account: String,
    /// What is made.
    pub kind: IntentKind,
    /// Reference, phone, SKU, name…
    pub natural_key: String,
}

/// A written intent.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Intent {
    /// The target account.
    pub account: String,
    /// [`IntentKind`] as a word.
    pub kind: String,
    /// The natural key.
    pub natural_key: String,
    /// The connection.
    pub connection: String,
    /// The id of the object it is made from, on the source side.
    pub source_id: String,
    /// What else identifies the result: an order's total and phone key.
    pub fingerprint: Option<String>,
    /// Raised at each taking; only the newest holder's word counts.
    pub epoch: i64,
    /// When the call was last about to be sent.
    pub sent_at: Millis,
    /// When its outcome became unknown, or was last looked up in vain.
    pub unknown_at: Option<Millis>,
    /// How often it was looked up in vain.
    pub lookups: i64,
    /// What was made, once known.
    pub result_id: Option<String>,
}

/// What became of asking for an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody tried before: send.
    New(Intent),
    /// Somebody tried, and the outcome is not known: look up first.
    Again(Intent),
    /// Somebody is trying now.
    Held {
        /// Their lease ends then.
        until: Millis,
    },
    /// It was made already.
    Done(String),
}

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!($before, " account, kind, natural_key, connection, source_id, fingerprint, epoch, sent_at, unknown_at, lookups, result_id ", $after)
    };
}

impl Store {
    /// Takes an intent for as long as `lease`; the call's deadline must be shorter.
    pub async fn take_intent(
        &self,
        key: &IntentKey,
        connection: &str,
        source_id: &str,
        fingerprint: Option<&str>,
        owner: &str,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let now = self.clock.now();
        let until = self.clock.after(lease);
        let mut tx = self.begin().await?;
        self.serialise_intent(&mut tx, &key.account, key.kind.as_str(), &key.natural_key).await?;
        let held: Option<(i64, Option<String>)> = sqlx::query_as(
            "select lease_until, result_id from intents where account = $1 and kind = $2 and natural_key = $3",
        )
        .bind(&key.account)
        .bind(key.kind.as_str())
        .bind(&key.natural_key)
        .fetch_optional(&mut *tx)
        .await?;
        let taken = match held {
            Some((_, Some(result))) => Taken::Done(result),
            Some((lease_until, None)) if lease_until > now => Taken::Held { until: lease_until },
            Some(_) => {
                let row: Intent = sqlx::query_as(columns!(
                    "update intents set owner = $4, epoch = epoch + 1, lease_until = $5, unknown_at = coalesce(unknown_at, sent_at)
                     where account = $1 and kind = $2 and natural_key = $3 returning",
                    ""
                ))
                .bind(&key.account)
                .bind(key.kind.as_str())
                .bind(&key.natural_key)
                .bind(owner)
                .bind(until)
                .fetch_one(&mut *tx)
                .await?;
                Taken::Again(row)
            }
            None => {
                let row: Intent = sqlx::query_as(columns!(
                    "insert into intents (account, kind, natural_key, connection, source_id, fingerprint, owner, epoch, lease_until, sent_at, created_at)
                     values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $9) returning",
                    ""
                ))
                .bind(&key.account)
                .bind(key.kind.as_str())
                .bind(&key.natural_key)
                .bind(connection)
                .bind(source_id)
                .bind(fingerprint)
                .bind(owner)
                .bind(until)
                .bind(now)
                .fetch_one(&mut *tx)
                .await?;
                Taken::New(row)
            }
        };
        tx.commit().await?;
        Ok(taken)
    }

    async fn serialise_intent(
        &self,
        tx: &mut Tx,
        account: &str,
        kind: &str,
        natural_key: &str,
    ) -> Result<(), StoreError> {
        self.serialise(tx, &format!("intent:{account}:{kind}:{natural_key}")).await
    }

    /// Records that it is about to be sent once more, after look-ups in vain, and takes it for another `lease`. Tells
    /// whether it still is this holder's: the look-up may have taken longer than the lease, and somebody else may send.
    pub async fn intent_sent_again(&self, intent: &Intent, lease: Duration) -> Result<bool, StoreError> {
        let done = sqlx::query("update intents set sent_at = $5, unknown_at = null, lookups = 0, lease_until = $6 where account = $1 and kind = $2 and natural_key = $3 and epoch = $4 and result_id is null")
            .bind(&intent.account)
            .bind(&intent.kind)
            .bind(&intent.natural_key)
            .bind(intent.epoch)
            .bind(self.clock.now())
            .bind(self.clock.after(lease))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Records that the outcome is unknown, and lets go.
    pub async fn intent_unknown(&self, intent: &Intent) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.update_intent("update intents set unknown_at = $5, lookups = 0, lease_until = 0 where account = $1 and kind = $2 and natural_key = $3 and epoch = $4 and result_id is null", intent, now).await
    }

    /// Records a look-up in vain, and lets go.
    pub async fn intent_not_found(&self, intent: &Intent) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.update_intent("update intents set unknown_at = $5, lookups = lookups + 1, lease_until = 0 where account = $1 and kind = $2 and natural_key = $3 and epoch = $4 and result_id is null", intent, now).await
    }

    /// Lets go without having done or looked up anything.
    pub async fn intent_let_go(&self, intent: &Intent) -> Result<(), StoreError> {
        self.update_intent("update intents set lease_until = $5 where account = $1 and kind = $2 and natural_key = $3 and epoch = $4 and result_id is null", intent, 0).await
    }

    /// Forgets an intent whose call was certainly not carried out.
    pub async fn drop_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        sqlx::query("delete from intents where account = $1 and kind = $2 and natural_key = $3 and epoch = $4 and result_id is null")
            .bind(&intent.account)
            .bind(&intent.kind)
            .bind(&intent.natural_key)
            .bind(intent.epoch)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Forgets an intent whose result is not there any more, or turned out to be somebody else's.
    pub async fn forget_intent(&self, key: &IntentKey, result_id: &str) -> Result<(), StoreError> {
        sqlx::query("delete from intents where account = $1 and kind = $2 and natural_key = $3 and result_id = $4")
            .bind(&key.account)
            .bind(key.kind.as_str())
            .bind(&key.natural_key)
            .bind(result_id)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    async fn update_intent(&self, sql: &'static str, intent: &Intent, value: Millis) -> Result<(), StoreError> {
        sqlx::query(sql)
            .bind(&intent.account)
            .bind(&intent.kind)
            .bind(&intent.natural_key)
            .bind(intent.epoch)
            .bind(value)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Completes an intent, whoever holds it. Returns another result that was recorded before, if there is one:
    /// two objects then carry one mark, which a person must see.
    pub async fn complete_intent(
        &self,
        tx: &mut Tx,
        account: &str,
        kind: &str,
        natural_key: &str,
        result_id: &str,
    ) -> Result<Option<String>, StoreError> {
        self.serialise_intent(tx, account, kind, natural_key).await?;
        let before: Option<(Option<String>,)> =
            sqlx::query_as("select result_id from intents where account = $1 and kind = $2 and natural_key = $3")
                .bind(account)
                .bind(kind)
                .bind(natural_key)
                .fetch_optional(&mut **tx)
                .await?;
        match before {
            Some((Some(other),)) if other != result_id => return Ok(Some(other)),
            _ => {}
        }
        sqlx::query(
            "update intents set result_id = $4, lease_until = 0 where account = $1 and kind = $2 and natural_key = $3",
        )
        .bind(account)
        .bind(kind)
        .bind(natural_key)
        .bind(result_id)
        .execute(&mut **tx)
        .await?;
        Ok(None)
    }

    /// An intent by its natural key.
    pub async fn intent(
        &self,
        account: &str,
        kind: IntentKind,
        natural_key: &str,
    ) -> Result<Option<Intent>, StoreError> {
        Ok(sqlx::query_as(columns!("select", "from intents where account = $1 and kind = $2 and natural_key = $3"))
            .bind(account)
            .bind(kind.as_str())
            .bind(natural_key)
            .fetch_optional(&self.read)
            .await?)
    }

    /// The intents at an account whose result is not known.
    pub async fn open_intents(&self, account: &str, kind: IntentKind) -> Result<Vec<Intent>, StoreError> {
        Ok(sqlx::query_as(columns!("select", "from intents where account = $1 and kind = $2 and result_id is null"))
            .bind(account)
            .bind(kind.as_str())
            .fetch_all(&self.read)
            .await?)
    }
}
