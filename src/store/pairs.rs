//! What walks over two catalogues read of the store: whole products with what they are linked to, page by page, and
//! what a complete walk did not meet.

use super::{Store, StoreError};
use crate::domain::clock::Millis;
use crate::domain::linking::Side;

/// Rows in one statement.
const BATCH: usize = 400;

/// A variant of the POS, its link, and what is known of the web's variant at the other end.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Pair {
    /// The product on the POS.
    pub product_id: String,
    /// The variant on the POS.
    pub variant_id: String,
    /// Its SKU in compared form; empty where it has none.
    pub sku: String,
    /// Its name; its product's where it has none of its own.
    pub name: String,
    /// What the POS states of it, as JSON.
    pub facts: String,
    /// Its state, as a word.
    pub state: String,
    /// Why it is not linked: a stable word.
    pub code: Option<String>,
    /// Why it is not linked: for people.
    pub reason: Option<String>,
    /// `modified_on` of the product.
    pub version: Option<Millis>,
    /// The variant on the web that it is linked with.
    pub channel_id: Option<String>,
    /// When the link was made.
    pub linked_at: Option<Millis>,
    /// Why the link is in error, or what is not pushed through it: a stable word.
    pub link_code: Option<String>,
    /// The same for people.
    pub link_reason: Option<String>,
    /// What was pushed through the link last, or found to be there, as JSON.
    pub pushed: Option<String>,
    /// What the web states of its variant, as JSON, where it is there.
    pub there: Option<String>,
}

/// A variant of the web that is linked with nothing.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Loose {
    /// The variant on the web.
    pub variant_id: String,
    /// Its SKU in compared form; empty where it has none.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Its state, as a word.
    pub state: String,
    /// Why it is not linked: a stable word.
    pub code: Option<String>,
    /// The same for people.
    pub reason: Option<String>,
}

/// What a web was found to show of a linked variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The variant on the POS.
    pub sapo_id: String,
    /// The variant on the web.
    pub channel_id: String,
    /// The fields that we own, as JSON.
    pub pushed: String,
}

impl Store {
    /// A page of whole products of the POS in the order of their ids, with what their variants are linked to; `after`
    /// is the last product of the page before.
    pub async fn pairs_page(&self, connection: &str, after: &str, products: i64) -> Result<Vec<Pair>, StoreError> {
        // Every product has a variant, so the first `left` leaves out none; without it SQLite reads the whole catalogue
        // for each page.
        Ok(sqlx::query_as(
            "select s.product_id, s.variant_id, s.sku, s.name, s.facts, s.state, s.code, s.reason, s.version, l.channel_id,
               l.created_at as linked_at, l.code as link_code, l.reason as link_reason, l.pushed, c.facts as there
             from (select distinct product_id from variants where connection = $1 and side = 'sapo' and product_id > $2
                   order by product_id limit $3) page
             left join variants s on s.connection = $1 and s.side = 'sapo' and s.product_id = page.product_id
             left join links l on l.connection = $1 and l.kind = 'product' and l.sapo_id = s.variant_id
             left join variants c on c.connection = $1 and c.side = 'channel' and c.variant_id = l.channel_id
             order by s.product_id, s.variant_id",
        )
        .bind(connection)
        .bind(after)
        .bind(products)
        .fetch_all(&self.read)
        .await?)
    }

    /// A page of the web's variants that have no link, in the order of their ids.
    pub async fn loose_page(&self, connection: &str, after: &str, limit: i64) -> Result<Vec<Loose>, StoreError> {
        Ok(sqlx::query_as(
            "select v.variant_id, v.sku, v.name, v.state, v.code, v.reason from variants v
             where v.connection = $1 and v.side = 'channel' and v.variant_id > $2
               and not exists (select 1 from links l where l.connection = $1 and l.kind = 'product' and l.channel_id = v.variant_id)
             order by v.variant_id limit $3",
        )
        .bind(connection)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await?)
    }

    /// A page of the products of one side of which a walk that began at `since` and bears the mark `seen` has met no
    /// row, in the order of their ids; what is known to be gone from this side is left out.
    pub async fn unmet_products(
        &self,
        connection: &str,
        side: Side,
        seen: &str,
        since: Millis,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "select distinct product_id from variants where connection = $1 and side = $2 and product_id > $5
               and seen <> $3 and updated_at < $4 and (code is null or code <> $7)
             order by product_id limit $6",
        )
        .bind(connection)
        .bind(side.as_str())
        .bind(seen)
        .bind(since)
        .bind(after)
        .bind(limit)
        .bind(side.gone_code())
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(|(product,)| product).collect())
    }

    /// Marks products as met by a walk, which could not read them.
    pub async fn mark_met(
        &self,
        connection: &str,
        side: Side,
        products: &[String],
        seen: &str,
    ) -> Result<(), StoreError> {
        for product in products {
            sqlx::query("update variants set seen = $4 where connection = $1 and side = $2 and product_id = $3")
                .bind(connection)
                .bind(side.as_str())
                .bind(product)
                .bind(seen)
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }

    /// Records of links through which nothing was pushed yet what the web was found to show; each with both its ids.
    pub async fn set_found(&self, connection: &str, found: &[Found]) -> Result<(), StoreError> {
        for found in found.chunks(BATCH) {
            let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("with found (sapo_id, channel_id, pushed) as (");
            sql.push_values(found, |mut row, found| {
                row.push_bind(found.sapo_id.as_str());
                row.push_bind(found.channel_id.as_str());
                row.push_bind(found.pushed.as_str());
            });
            sql.push(") update links set pushed = found.pushed from found where links.connection = ")
                .push_bind(connection);
            sql.push(
                " and links.kind = 'product' and links.sapo_id = found.sapo_id and links.channel_id = found.channel_id",
            );
            sql.push(" and links.pushed is null and links.state = 'linked'");
            sql.build().execute(&self.write).await?;
        }
        Ok(())
    }
}
