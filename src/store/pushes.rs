//! What a push to a web leaves behind, and which links still wait for their first one.

use super::links::Link;
use super::variants::with_set_levels;
use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;

/// What became of a push: the link as it is now and, where the web shows something new, what is known of its variant.
#[derive(Clone, Debug)]
pub struct Push {
    /// The link.
    pub link: Link,
    /// What was known of the web's variant, as JSON, and what is known now.
    pub facts: Option<(String, String)>,
}

impl Store {
    /// Records pushes of one connection in one transaction. What the web itself said meanwhile stays as it said it; the
    /// stock at single locations, of which its products say nothing, is taken over.
    pub async fn record_pushes(&self, pushes: &[Push]) -> Result<(), StoreError> {
        let Some(first) = pushes.first() else { return Ok(()) };
        let mut tx = self.begin().await?;
        self.serialise_linking(&mut tx, &first.link.connection).await?;
        for push in pushes {
            self.put_link(&mut tx, &push.link).await?;
            let Some((before, now)) = &push.facts else { continue };
            let (connection, variant) = (&push.link.connection, &push.link.channel_id);
            set_facts(&mut tx, connection, variant, before, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Records what is known of a web's variant. Where that has changed meanwhile, only the stock at single locations is
    /// taken over, unless that was told anew too.
    pub async fn set_web_facts(
        &self,
        connection: &str,
        variant_id: &str,
        before: &str,
        now: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.serialise_linking(&mut tx, connection).await?;
        set_facts(&mut tx, connection, variant_id, before, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The POS products of a web product's links that were made before a moment and nothing was pushed for yet.
    pub async fn unpushed_of(
        &self,
        connection: &str,
        web_product: &str,
        made_before: Millis,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(Option<String>,)> = sqlx::query_as(
            "select distinct l.sapo_parent from variants v
             join links l on l.connection = v.connection and l.kind = 'product' and l.channel_id = v.variant_id
             where v.connection = $1 and v.side = 'channel' and v.product_id = $2 and l.pushed is null and l.state = 'linked'
               and l.created_at < $3
             order by l.sapo_parent",
        )
        .bind(connection)
        .bind(web_product)
        .bind(made_before)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().filter_map(|row| row.0).collect())
    }
}

async fn set_facts(tx: &mut Tx, connection: &str, variant_id: &str, before: &str, now: &str) -> Result<(), StoreError> {
    if replace_facts(tx, connection, variant_id, before, now).await? {
        return Ok(());
    }
    let known: Option<(String,)> =
        sqlx::query_as("select facts from variants where connection = $1 and side = 'channel' and variant_id = $2")
            .bind(connection)
            .bind(variant_id)
            .fetch_optional(&mut **tx)
            .await?;
    if let Some((known,)) = known
        && let Some(merged) = with_set_levels(&known, before, now)
    {
        replace_facts(tx, connection, variant_id, &known, &merged).await?;
    }
    Ok(())
}

/// Writes what is known of a web's variant; tells whether it was what it is said to have been.
async fn replace_facts(
    tx: &mut Tx,
    connection: &str,
    variant_id: &str,
    before: &str,
    now: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update variants set facts = $4 where connection = $1 and side = 'channel' and variant_id = $2 and facts = $3",
    )
    .bind(connection)
    .bind(variant_id)
    .bind(before)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
