//! The rows of SKUs, for judging, and what comes of it.

use std::collections::HashSet;

use super::{BATCH, Builder, linking_scope, push_in};
use crate::domain::clock::Millis;
use crate::domain::linking::{Candidate, Joined, Side, VariantState, Verdict};
use crate::store::links::Link;
use crate::store::{Store, StoreError, Tx};

/// A row as it is judged: its state now, and its link.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Seen {
    /// [`Side`] as a word.
    pub side: String,
    /// Its id.
    pub variant_id: String,
    /// Its product.
    pub product_id: String,
    /// Its SKU in compared form.
    pub sku: String,
    /// Its state now, as a word.
    pub state: String,
    /// Its code now.
    pub code: Option<String>,
    /// Its reason now.
    pub reason: Option<String>,
    /// 1 where its link was cut by hand.
    pub cut: i64,
    /// The product's version.
    pub version: Option<Millis>,
    other: Option<String>,
    other_sku: Option<String>,
    link_code: Option<String>,
    link_reason: Option<String>,
}

/// A row's new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Its side.
    pub side: Side,
    /// Its id.
    pub variant_id: String,
    /// The state.
    pub verdict: Verdict,
}

impl Seen {
    /// Which side it is of.
    pub fn side(&self) -> Side {
        if self.side == Side::Sapo.as_str() { Side::Sapo } else { Side::Channel }
    }

    /// Its link, in whatever state.
    pub fn joined(&self) -> Option<Joined> {
        let error = self.link_code.clone().map(|code| (code, self.link_reason.clone().unwrap_or_default()));
        Some(Joined { other: self.other.clone()?, other_sku: self.other_sku.clone(), error })
    }

    /// What is judged.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            side: self.side(),
            product_id: self.product_id.clone(),
            variant_id: self.variant_id.clone(),
            cut: self.cut != 0,
            joined: self.joined(),
        }
    }

    /// Whether it is gone itself, and kept only to show its broken link.
    pub(super) fn is_gone(&self) -> bool {
        self.other.is_some() && self.link_code.as_deref() == Some(self.side().gone_code())
    }

    pub(super) fn other(&self) -> Option<&str> {
        self.other.as_deref()
    }

    pub(super) fn other_sku(&self) -> Option<&str> {
        self.other_sku.as_deref()
    }

    pub(super) fn link_code(&self) -> Option<&str> {
        self.link_code.as_deref()
    }

    /// The change that a verdict makes of it, if any.
    pub fn change(&self, verdict: Verdict) -> Option<StateChange> {
        let same = self.state == verdict.state.as_str() && self.code == verdict.code && self.reason == verdict.reason;
        (!same).then(|| StateChange { side: self.side(), variant_id: self.variant_id.clone(), verdict })
    }
}

/// The rows of one side with their links, as far as `connection = $1`.
pub(super) fn select_seen(connection: &str, side: Side) -> Builder {
    let (own, other) = (id_column(side), id_column(side.other()));
    let mut sql = Builder::new(format!(
        "select v.side, v.variant_id, v.product_id, v.sku, v.state, v.code, v.reason, v.cut, v.version,
           l.{other} as other, o.sku as other_sku, l.code as link_code, l.reason as link_reason
         from variants v
         left join links l on l.connection = v.connection and l.kind = 'product' and l.{own} = v.variant_id
         left join variants o on o.connection = v.connection and o.side = '{}' and o.variant_id = l.{other}
         where v.side = '{}' and v.connection = ",
        side.other(),
        side
    ));
    sql.push_bind(connection.to_owned());
    sql
}

impl Store {
    /// Takes the linking of a connection to itself until the end of the transaction. Before any row is touched.
    pub async fn serialise_linking(&self, tx: &mut Tx, connection: &str) -> Result<(), StoreError> {
        self.serialise(tx, &linking_scope(connection)).await
    }

    /// The rows of SKUs (in compared form), both sides, ordered by SKU.
    pub async fn seen_of_skus(&self, tx: &mut Tx, connection: &str, skus: &[&str]) -> Result<Vec<Seen>, StoreError> {
        let mut all: Vec<Seen> = Vec::new();
        for skus in skus.chunks(BATCH) {
            for side in Side::ALL {
                let mut sql = select_seen(connection, *side);
                push_in(&mut sql, " and v.sku", skus);
                all.extend(sql.build_query_as::<Seen>().fetch_all(&mut **tx).await?);
            }
        }
        Ok(sorted(all))
    }

    /// One row.
    pub async fn seen(&self, tx: &mut Tx, connection: &str, side: Side, id: &str) -> Result<Option<Seen>, StoreError> {
        let mut sql = select_seen(connection, side);
        sql.push(" and v.variant_id = ").push_bind(id);
        Ok(sql.build_query_as().fetch_optional(&mut **tx).await?)
    }

    /// The rows of the SKUs that follow `after`, whole SKUs, about `size` rows; nothing once there are no more.
    pub async fn seen_page(
        &self,
        tx: &mut Tx,
        connection: &str,
        after: &str,
        size: i64,
    ) -> Result<Vec<Seen>, StoreError> {
        self.keep_statistics(tx).await?;
        let end: Option<(String,)> = sqlx::query_as(
            "select sku from variants where connection = $1 and sku > $2 order by sku limit 1 offset $3",
        )
        .bind(connection)
        .bind(after)
        .bind(size)
        .fetch_optional(&mut **tx)
        .await?;
        let mut all: Vec<Seen> = Vec::new();
        for side in Side::ALL {
            let mut sql = select_seen(connection, *side);
            sql.push(" and v.sku > ").push_bind(after);
            if let Some((end,)) = &end {
                sql.push(" and v.sku <= ").push_bind(end.as_str());
            }
            all.extend(sql.build_query_as::<Seen>().fetch_all(&mut **tx).await?);
        }
        Ok(sorted(all))
    }

    /// The rows of a side without a SKU, by id.
    pub async fn seen_blank(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        after: &str,
        size: i64,
    ) -> Result<Vec<Seen>, StoreError> {
        let mut sql = select_seen(connection, side);
        sql.push(" and v.sku = '' and v.variant_id > ").push_bind(after);
        sql.push(" order by v.variant_id limit ").push_bind(size);
        Ok(sql.build_query_as().fetch_all(&mut **tx).await?)
    }

    /// Writes the states of rows, where they are others than before.
    pub async fn set_states(&self, tx: &mut Tx, connection: &str, changes: &[StateChange]) -> Result<(), StoreError> {
        let (linked, others): (Vec<&StateChange>, Vec<&StateChange>) = changes
            .iter()
            .partition(|change| change.verdict.state == VariantState::Linked && change.verdict.code.is_none());
        for side in Side::ALL {
            let ids: Vec<&str> =
                linked.iter().filter(|change| change.side == *side).map(|change| &*change.variant_id).collect();
            for ids in ids.chunks(BATCH) {
                let mut sql = Builder::new(
                    "update variants set state = 'linked', code = null, reason = null where connection = ",
                );
                sql.push_bind(connection).push(" and side = ").push_bind(side.as_str());
                sql.push(" and (state <> 'linked' or code is not null)");
                push_in(&mut sql, " and variant_id", ids);
                sql.build().execute(&mut **tx).await?;
            }
        }
        for changes in others.chunks(BATCH) {
            let mut sql = Builder::new("with changes (side, variant_id, state, code, reason) as (");
            sql.push_values(changes, |mut row, change| {
                row.push_bind(change.side.as_str()).push_bind(change.variant_id.as_str());
                row.push_bind(change.verdict.state.as_str()).push_bind(change.verdict.code.as_deref());
                row.push_bind(change.verdict.reason.as_deref());
            });
            sql.push(") update variants set state = changes.state, code = changes.code, reason = changes.reason from changes where variants.connection = ");
            sql.push_bind(connection);
            sql.push(" and variants.side = changes.side and variants.variant_id = changes.variant_id");
            sql.push(" and (variants.state <> changes.state or coalesce(variants.code, '') <> coalesce(changes.code, '') or coalesce(variants.reason, '') <> coalesce(changes.reason, ''))");
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Writes new links of variants, which have neither state nor anything pushed yet. Nothing that they join may have
    /// a link: [`Store::forget_replaced`] deletes those that are broken.
    pub async fn put_links(&self, tx: &mut Tx, connection: &str, links: &[Link]) -> Result<(), StoreError> {
        let now = self.clock.now();
        for links in links.chunks(BATCH) {
            let mut sql =
                Builder::new("with made (sapo_id, channel_id, sapo_parent, channel_parent, natural_key) as (");
            sql.push_values(links, |mut row, link| {
                row.push_bind(link.sapo_id.as_str()).push_bind(link.channel_id.as_str());
                row.push_bind(link.sapo_parent.as_deref()).push_bind(link.channel_parent.as_deref());
                row.push_bind(link.natural_key.as_str());
            });
            sql.push(") insert into links (connection, kind, sapo_id, channel_id, sapo_parent, channel_parent, natural_key, state, created_at, updated_at) select ");
            sql.push_bind(connection);
            sql.push(", 'product', sapo_id, channel_id, sapo_parent, channel_parent, natural_key, 'linked', cast(");
            sql.push_bind(now).push(" as bigint), cast(").push_bind(now).push(" as bigint) from made");
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Deletes the broken links of what is linked anew, and the rows of what is gone, which nothing shows any more.
    pub async fn forget_replaced(&self, tx: &mut Tx, connection: &str, links: &[Link]) -> Result<(), StoreError> {
        if links.is_empty() {
            return Ok(());
        }
        for gone in Side::ALL {
            let there = gone.other();
            let ids: Vec<&str> = links.iter().map(|link| id_of(link, there)).collect();
            let mut sql = Builder::new("delete from links where connection = ");
            sql.push_bind(connection).push(" and kind = 'product' and code = ").push_bind(gone.gone_code());
            push_in(&mut sql, &format!(" and {}", id_column(there)), &ids);
            sql.push(format!(" returning {}", id_column(*gone)));
            let rows: Vec<(String,)> = sql.build_query_as().fetch_all(&mut **tx).await?;
            let linked: HashSet<&str> = links.iter().map(|link| id_of(link, *gone)).collect();
            let rows: Vec<String> = rows.into_iter().map(|row| row.0).filter(|id| !linked.contains(&**id)).collect();
            self.delete_rows(tx, connection, *gone, &rows).await?;
        }
        Ok(())
    }

    /// Deletes rows of a side by their ids.
    pub(super) async fn delete_rows(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        ids: &[String],
    ) -> Result<(), StoreError> {
        for ids in ids.chunks(BATCH) {
            let mut sql = Builder::new("delete from variants where connection = ");
            sql.push_bind(connection).push(" and side = ").push_bind(side.as_str());
            push_in(&mut sql, " and variant_id", ids);
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Marks rows as cut by hand, or as not cut any more.
    pub async fn set_cut(
        &self,
        tx: &mut Tx,
        connection: &str,
        pair: (&str, &str),
        cut: bool,
    ) -> Result<(), StoreError> {
        for (side, id) in Side::ALL.iter().zip([pair.0, pair.1]) {
            sqlx::query("update variants set cut = $4 where connection = $1 and side = $2 and variant_id = $3")
                .bind(connection)
                .bind(side.as_str())
                .bind(id)
                .bind(i64::from(cut))
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

/// The column of a link that holds the id of a side.
pub(super) fn id_column(side: Side) -> &'static str {
    match side {
        Side::Sapo => "sapo_id",
        Side::Channel => "channel_id",
    }
}

fn id_of(link: &Link, side: Side) -> &str {
    match side {
        Side::Sapo => &link.sapo_id,
        Side::Channel => &link.channel_id,
    }
}

fn sorted(mut rows: Vec<Seen>) -> Vec<Seen> {
    rows.sort_unstable_by(|a, b| (&a.sku, &a.side, &a.variant_id).cmp(&(&b.sku, &b.side, &b.variant_id)));
    rows
}

/// The state that a row has before it is judged.
pub(super) fn unjudged(side: Side, sku: &str) -> Verdict {
    let row = Candidate { side, product_id: String::new(), variant_id: String::new(), cut: false, joined: None };
    let mut judged = crate::domain::linking::judge(sku, &[row]).rows;
    judged.pop().unwrap_or(Verdict { state: VariantState::Unlinked, code: None, reason: None })
}
