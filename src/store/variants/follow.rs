//! Rows that have a link follow it: whoever changes a link's state brings both rows along, in one transaction.

use super::judge::StateChange;
use super::{BATCH, Builder, is_followed, linking_scope, push_in};
use crate::domain::linking::{Candidate, Joined, Side, is_dead, judge, of_link};
use crate::store::links::Link;
use crate::store::{Store, StoreError, Tx};

/// What a link in good order says of what is not pushed through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFlag {
    /// The web's variant.
    pub channel_id: String,
    /// Code and reason ([`crate::domain::linking::is_flag`]); none where all is pushed.
    pub said: Option<(String, String)>,
}

/// A link with what both its rows say now.
#[derive(sqlx::FromRow)]
struct Followed {
    sapo_id: String,
    channel_id: String,
    code: Option<String>,
    reason: Option<String>,
    sapo_sku: Option<String>,
    channel_sku: Option<String>,
}

impl Store {
    /// Writes a link of a POS variant and a web variant with its state on both rows.
    ///
    /// A link that was read before and has been cut or moved since is not put back: what came late changes nothing.
    /// Nor does it bring back a link whose POS variant was deleted: only the catalogue can.
    pub(in crate::store) async fn put_followed(&self, tx: &mut Tx, link: &Link) -> Result<(), StoreError> {
        debug_assert!(is_followed(link));
        self.serialise(tx, &linking_scope(&link.connection)).await?;
        let known: Option<(Option<String>,)> = sqlx::query_as(
            "select code from links where connection = $1 and kind = 'product' and sapo_id = $2 and channel_id = $3",
        )
        .bind(&link.connection)
        .bind(&link.sapo_id)
        .bind(&link.channel_id)
        .fetch_optional(&mut **tx)
        .await?;
        match known {
            None if link.created_at > 0 => return Ok(()),
            None => {
                let new = std::slice::from_ref(link);
                self.forget_replaced(tx, &link.connection, new).await?;
                self.put_links(tx, &link.connection, new).await?;
                self.update_followed(tx, link, None).await?;
            }
            Some((code,)) => self.update_followed(tx, link, code.as_deref()).await?,
        }
        self.follow_links(tx, &link.connection, &[&link.sapo_id]).await
    }

    async fn update_followed(&self, tx: &mut Tx, link: &Link, code: Option<&str>) -> Result<(), StoreError> {
        let mut sql = Builder::new("update links set sapo_parent = ");
        sql.push_bind(link.sapo_parent.as_deref())
            .push(", channel_parent = ")
            .push_bind(link.channel_parent.as_deref());
        sql.push(", natural_key = ").push_bind(link.natural_key.as_str());
        sql.push(", pushed = ").push_bind(link.pushed.as_deref());
        sql.push(", updated_at = ").push_bind(self.clock.now());
        if !(link.created_at > 0 && code.is_some_and(is_dead)) {
            sql.push(", state = ").push_bind(link.state.as_str()).push(", code = ").push_bind(link.code.as_deref());
            sql.push(", reason = ").push_bind(link.reason.as_deref());
        }
        sql.push(" where connection = ").push_bind(link.connection.as_str());
        sql.push(" and kind = 'product' and sapo_id = ").push_bind(link.sapo_id.as_str());
        sql.build().execute(&mut **tx).await?;
        Ok(())
    }

    /// Has links in good order, and their rows, say what is not pushed through them. One in error stays as it is.
    pub async fn set_link_flags(&self, connection: &str, flags: &[LinkFlag]) -> Result<(), StoreError> {
        if flags.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        self.serialise_linking(&mut tx, connection).await?;
        let mut changed: Vec<String> = Vec::new();
        for LinkFlag { channel_id, said } in flags {
            let sapo: Option<(String,)> = sqlx::query_as(
                "update links set code = $3, reason = $4, updated_at = $5
                 where connection = $1 and kind = 'product' and channel_id = $2 and state = 'linked' returning sapo_id",
            )
            .bind(connection)
            .bind(channel_id)
            .bind(said.as_ref().map(|(code, _)| code.as_str()))
            .bind(said.as_ref().map(|(_, reason)| reason.as_str()))
            .bind(self.clock.now())
            .fetch_optional(&mut *tx)
            .await?;
            changed.extend(sapo.map(|(id,)| id));
        }
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        self.follow_links(&mut tx, connection, &changed).await?;
        Ok(tx.commit().await?)
    }

    /// Deletes the link of a POS variant and a web variant, and marks both as cut by hand; false where there is none.
    /// A row that is gone itself was kept for its link only, and goes.
    pub async fn cut_link(
        &self,
        tx: &mut Tx,
        connection: &str,
        (sapo_id, channel_id): (&str, &str),
    ) -> Result<bool, StoreError> {
        self.serialise_linking(tx, connection).await?;
        let sapo = self.seen(tx, connection, Side::Sapo, sapo_id).await?;
        let web = self.seen(tx, connection, Side::Channel, channel_id).await?;
        let deleted = sqlx::query(
            "delete from links where connection = $1 and kind = 'product' and sapo_id = $2 and channel_id = $3",
        )
        .bind(connection)
        .bind(sapo_id)
        .bind(channel_id)
        .execute(&mut **tx)
        .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        self.set_cut(tx, connection, (sapo_id, channel_id), true).await?;
        let mut changes = Vec::new();
        for row in sapo.into_iter().chain(web) {
            if row.is_gone() {
                self.delete_rows(tx, connection, row.side(), std::slice::from_ref(&row.variant_id)).await?;
                continue;
            }
            let cut = Candidate { cut: true, joined: None, ..row.candidate() };
            changes.extend(judge(&row.sku, &[cut]).rows.pop().and_then(|verdict| row.change(verdict)));
        }
        self.set_states(tx, connection, &changes).await?;
        Ok(true)
    }

    /// Puts links of these POS variants on the rows of both their sides.
    pub(in crate::store) async fn follow_links(
        &self,
        tx: &mut Tx,
        connection: &str,
        sapo_ids: &[&str],
    ) -> Result<(), StoreError> {
        for ids in sapo_ids.chunks(BATCH) {
            let mut sql = Builder::new(
                "select l.sapo_id, l.channel_id, l.code, l.reason, s.sku as sapo_sku, c.sku as channel_sku from links l
                 left join variants s on s.connection = l.connection and s.side = 'sapo' and s.variant_id = l.sapo_id
                 left join variants c on c.connection = l.connection and c.side = 'channel' and c.variant_id = l.channel_id
                 where l.kind = 'product' and l.connection = ",
            );
            sql.push_bind(connection);
            push_in(&mut sql, " and l.sapo_id", ids);
            let links: Vec<Followed> = sql.build_query_as().fetch_all(&mut **tx).await?;
            let changes: Vec<StateChange> = links.into_iter().flat_map(Followed::states).collect();
            self.set_states(tx, connection, &changes).await?;
        }
        Ok(())
    }
}

impl Followed {
    fn states(self) -> Vec<StateChange> {
        let error = self.code.map(|code| (code, self.reason.unwrap_or_default()));
        let (sapo, channel) = (self.sapo_sku, self.channel_sku);
        let row = |side: Side, id: String, sku: Option<&String>, other: Option<&String>| {
            let joined = Joined { other: String::new(), other_sku: other.cloned(), error: error.clone() };
            sku.map(|sku| StateChange { side, variant_id: id, verdict: of_link(side, sku, &joined) })
        };
        let one = row(Side::Sapo, self.sapo_id, sapo.as_ref(), channel.as_ref());
        let other = row(Side::Channel, self.channel_id, channel.as_ref(), sapo.as_ref());
        one.into_iter().chain(other).collect()
    }
}
