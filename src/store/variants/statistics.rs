//! What `PostgreSQL` knows of the size of these tables.

use crate::store::{Engine, Store, StoreError, Tx};

impl Store {
    /// Has `PostgreSQL` count anew where a table is much larger than it knows.
    ///
    /// A first import fills empty tables within seconds. Until the server counts by itself, a minute later, it takes
    /// any index for as good as any other, keeps such plans, and reads a whole catalogue for each row.
    pub(super) async fn keep_statistics(&self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.engine() != Engine::Postgres {
            return Ok(());
        }
        let grown: Vec<(String,)> = sqlx::query_as(
            "select relname::text from pg_class where oid in (to_regclass('variants'), to_regclass('links'))
               and pg_relation_size(oid) / current_setting('block_size')::bigint > 2 * greatest(relpages, 8)",
        )
        .fetch_all(&mut **tx)
        .await?;
        for (table,) in grown {
            let statement = if table == "links" { "analyze links" } else { "analyze variants" };
            sqlx::query(statement).execute(&mut **tx).await?;
        }
        Ok(())
    }
}
