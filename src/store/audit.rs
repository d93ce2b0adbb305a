//! Who changed what, when.

use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;

/// A row of the audit log.
#[derive(Clone, Debug, serde::Serialize, sqlx::FromRow)]
pub struct AuditRow {
    /// When.
    pub at: Millis,
    /// Who: the command line's user, or `sapo-sync`.
    pub actor: String,
    /// What: `connect apply`, `dead replay`…
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it; never a secret.
    pub detail: String,
}

impl Store {
    /// Writes an audit row with the change it tells of.
    pub async fn audit(
        &self,
        tx: &mut Tx,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)")
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(self.clock.now())
            .bind(actor)
            .bind(action)
            .bind(subject)
            .bind(detail)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// The newest audit rows.
    pub async fn audit_rows(&self, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
        Ok(sqlx::query_as("select at, actor, action, subject, detail from audit order by at desc, id desc limit $1")
            .bind(limit)
            .fetch_all(&self.read)
            .await?)
    }
}
