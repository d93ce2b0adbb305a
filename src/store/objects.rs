//! The last state of each object that was settled, and which products' stock depends on which.

use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;
use crate::domain::event::ObjectKey;

/// The last settled state of an object, as its own system told it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Settled {
    /// Its version, where it had one.
    pub version: Option<Millis>,
    /// A hash of its content.
    pub hash: String,
    /// 1 where it was deleted.
    pub gone: i64,
}

impl Store {
    /// The last settled state of an object.
    pub async fn settled(&self, key: &ObjectKey) -> Result<Option<Settled>, StoreError> {
        Ok(sqlx::query_as("select version, hash, gone from objects where connection = $1 and source = $2 and kind = $3 and object_id = $4")
            .bind(&key.connection)
            .bind(key.source.as_str())
            .bind(key.kind.as_str())
            .bind(&key.object_id)
            .fetch_optional(&self.read)
            .await?)
    }

    /// Records a settled state; an older one never replaces a newer.
    pub async fn settle_object(&self, tx: &mut Tx, key: &ObjectKey, state: &Settled) -> Result<(), StoreError> {
        sqlx::query(
            "insert into objects (connection, source, kind, object_id, version, hash, gone, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (connection, source, kind, object_id) do update set
               version = excluded.version, hash = excluded.hash, gone = excluded.gone, updated_at = excluded.updated_at
             where objects.version is null or excluded.version is null or excluded.version >= objects.version",
        )
        .bind(&key.connection)
        .bind(key.source.as_str())
        .bind(key.kind.as_str())
        .bind(&key.object_id)
        .bind(state.version)
        .bind(&state.hash)
        .bind(state.gone)
        .bind(self.clock.now())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Records which variants decide the stock of a product's combos and pack sizes; tells whether that is news.
    pub async fn set_components(
        &self,
        connection: &str,
        product_id: &str,
        components: &[String],
    ) -> Result<bool, StoreError> {
        let known: Vec<(String,)> =
            sqlx::query_as("select component from components where connection = $1 and product_id = $2")
                .bind(connection)
                .bind(product_id)
                .fetch_all(&self.read)
                .await?;
        let same = known.len() == components.len() && known.iter().all(|(component,)| components.contains(component));
        if same {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        self.serialise(&mut tx, &format!("components:{connection}:{product_id}")).await?;
        sqlx::query("delete from components where connection = $1 and product_id = $2")
            .bind(connection)
            .bind(product_id)
            .execute(&mut *tx)
            .await?;
        for component in components {
            sqlx::query(
                "insert into components (connection, component, product_id) values ($1, $2, $3) on conflict do nothing",
            )
            .bind(connection)
            .bind(component)
            .bind(product_id)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The products whose stock depends on a variant of another product.
    pub async fn dependents(
        &self,
        connection: &str,
        component: &str,
        product_id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "select product_id from components where connection = $1 and component = $2 and product_id <> $3",
        )
        .bind(connection)
        .bind(component)
        .bind(product_id)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }
}
