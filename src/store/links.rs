//! Links: two ids, one a side, that are the same thing.

use std::fmt;

use serde::Serialize;

use super::variants::is_followed;
use super::{Store, StoreError, Tx, order_codes};
use crate::domain::clock::Millis;
use crate::domain::event::words;

words! {
    /// What a link joins.
    LinkKind {
        /// A Sapo variant and a channel product.
        Product = "product",
        /// A category.
        Category = "category",
        /// A customer.
        Customer = "customer",
        /// An order.
        Order = "order",
    }
}

words! {
    /// The state the owner sees.
    LinkState {
        /// Đã liên kết.
        Linked = "linked",
        /// Lỗi liên kết.
        Error = "error",
    }
}

/// A link with what is known of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Link {
    /// The connection.
    pub connection: String,
    /// [`LinkKind`] as a word.
    pub kind: String,
    /// The id on Sapo.
    pub sapo_id: String,
    /// The id on the channel.
    pub channel_id: String,
    /// A variant's product.
    pub sapo_parent: Option<String>,
    /// A web variant's product; only links of webs have it.
    pub channel_parent: Option<String>,
    /// SKU, phone (E.164), order code or category name.
    pub natural_key: String,
    /// [`LinkState`] as a word.
    pub state: String,
    /// Why it is in error, or what is not pushed through it: a stable word.
    pub code: Option<String>,
    /// The same for people.
    pub reason: Option<String>,
    /// The owned fields pushed last, as JSON.
    pub pushed: Option<String>,
    /// An order's last known stage on Sapo.
    pub sapo_state: Option<String>,
    /// An order's last known stage on the channel.
    pub channel_state: Option<String>,
    /// An order's total.
    pub total: Option<String>,
    /// 1 where the channel's payment was recorded on Sapo.
    pub paid: i64,
    /// When it was made.
    pub created_at: Millis,
    /// When it changed.
    pub updated_at: Millis,
}

impl Link {
    /// A new link in good order.
    pub fn new(connection: &str, kind: LinkKind, sapo_id: &str, channel_id: &str, natural_key: &str) -> Self {
        Self {
            connection: connection.to_owned(),
            kind: kind.as_str().to_owned(),
            sapo_id: sapo_id.to_owned(),
            channel_id: channel_id.to_owned(),
            sapo_parent: None,
            channel_parent: None,
            natural_key: natural_key.to_owned(),
            state: LinkState::Linked.as_str().to_owned(),
            code: None,
            reason: None,
            pushed: None,
            sapo_state: None,
            channel_state: None,
            total: None,
            paid: 0,
            created_at: 0,
            updated_at: 0,
        }
    }

    /// Puts it in error, with why.
    pub fn fail(&mut self, code: &str, reason: impl Into<String>) {
        LinkState::Error.as_str().clone_into(&mut self.state);
        self.code = Some(code.to_owned());
        self.reason = Some(reason.into());
    }

    /// Whether its Sapo object was deleted: such a link no longer holds the channel's object.
    pub fn is_deleted(&self) -> bool {
        self.code.as_deref() == Some("deleted")
    }

    /// Puts it in good order but for what is not pushed through it, with why ([`crate::domain::linking::is_flag`]).
    pub fn flag(&mut self, code: &str, reason: impl Into<String>) {
        LinkState::Linked.as_str().clone_into(&mut self.state);
        self.code = Some(code.to_owned());
        self.reason = Some(reason.into());
    }

    /// Puts it in good order.
    pub fn mend(&mut self) {
        LinkState::Linked.as_str().clone_into(&mut self.state);
        self.code = None;
        self.reason = None;
    }
}

/// Which links to list.
#[derive(Clone, Debug, Default)]
pub struct LinkFilter {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Only this kind.
    pub kind: Option<LinkKind>,
    /// Only this state.
    pub state: Option<LinkState>,
    /// Only this SKU, phone or code.
    pub key: Option<String>,
    /// Only those with this natural key, of an order with or without its #, or this id.
    pub search: Option<String>,
    /// Only those with this code.
    pub code: Option<String>,
    /// Changed since.
    pub since: Option<Millis>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str = "connection, kind, sapo_id, channel_id, sapo_parent, channel_parent, natural_key, state, code, reason, pushed, sapo_state, channel_state, total, paid, created_at, updated_at";

macro_rules! select {
    ($rest:literal) => {
        sqlx::query_as::<_, Link>(concat!(
            "select connection, kind, sapo_id, channel_id, sapo_parent, channel_parent, natural_key, state, code, reason, pushed, sapo_state, channel_state, total, paid, created_at, updated_at from links ",
            $rest
        ))
    };
}

impl Store {
    /// The link of an object of Sapo.
    pub async fn link_by_sapo(
        &self,
        connection: &str,
        kind: LinkKind,
        sapo_id: &str,
    ) -> Result<Option<Link>, StoreError> {
        let query = select!("where connection = $1 and kind = $2 and sapo_id = $3");
        Ok(query.bind(connection).bind(kind.as_str()).bind(sapo_id).fetch_optional(&self.read).await?)
    }

    /// The link of an object of the channel.
    pub async fn link_by_channel(
        &self,
        connection: &str,
        kind: LinkKind,
        channel_id: &str,
    ) -> Result<Option<Link>, StoreError> {
        let query = select!("where connection = $1 and kind = $2 and channel_id = $3");
        Ok(query.bind(connection).bind(kind.as_str()).bind(channel_id).fetch_optional(&self.read).await?)
    }

    /// The link of an object of Sapo as the transaction that is to write it finds it. Until that ends, nobody else
    /// writes a link of this channel object, nor changes anything of this link.
    pub async fn link_before(&self, tx: &mut Tx, link: &Link) -> Result<Option<Link>, StoreError> {
        self.serialise(tx, &format!("link:{}:{}:{}", link.connection, link.kind, link.channel_id)).await?;
        // Holds the row: what another one wrote of it is seen, and what another one writes comes after.
        sqlx::query("update links set updated_at = updated_at where connection = $1 and kind = $2 and sapo_id = $3")
            .bind(&link.connection)
            .bind(&link.kind)
            .bind(&link.sapo_id)
            .execute(&mut **tx)
            .await?;
        let query = select!("where connection = $1 and kind = $2 and sapo_id = $3");
        Ok(query.bind(&link.connection).bind(&link.kind).bind(&link.sapo_id).fetch_optional(&mut **tx).await?)
    }

    /// The links with a natural key.
    pub async fn links_by_key(&self, connection: &str, kind: LinkKind, key: &str) -> Result<Vec<Link>, StoreError> {
        let query = select!("where connection = $1 and kind = $2 and natural_key = $3 order by created_at limit 20");
        Ok(query.bind(connection).bind(kind.as_str()).bind(key).fetch_all(&self.read).await?)
    }

    /// The links of a product's variants.
    pub async fn links_of_product(&self, connection: &str, product_id: &str) -> Result<Vec<Link>, StoreError> {
        let query = select!("where connection = $1 and kind = 'product' and sapo_parent = $2");
        Ok(query.bind(connection).bind(product_id).fetch_all(&self.read).await?)
    }

    /// A page of links, in the order of their Sapo ids; `after` is the last id of the page before.
    pub async fn links_page(
        &self,
        connection: &str,
        kind: LinkKind,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Link>, StoreError> {
        let query = select!("where connection = $1 and kind = $2 and sapo_id > $3 order by sapo_id limit $4");
        Ok(query.bind(connection).bind(kind.as_str()).bind(after).bind(limit).fetch_all(&self.read).await?)
    }

    /// Writes a link, new or changed; that of a deleted product gives way to the one that came in its place.
    ///
    /// A channel object that is linked to another Sapo object already is refused. What
    /// is known of an order's states and total is not forgotten by a writer that does not know it (our own echo).
    ///
    /// A link of a web's variant brings its rows in `variants` along; one that was cut since it was read stays cut.
    pub async fn put_link(&self, tx: &mut Tx, link: &Link) -> Result<(), StoreError> {
        if is_followed(link) {
            return self.put_followed(tx, link).await;
        }
        let now = self.clock.now();
        self.serialise(tx, &format!("link:{}:{}:{}", link.connection, link.kind, link.channel_id)).await?;
        sqlx::query("delete from links where connection = $1 and kind = $2 and channel_id = $3 and sapo_id <> $4 and kind = 'product' and code = 'deleted'")
            .bind(&link.connection)
            .bind(&link.kind)
            .bind(&link.channel_id)
            .bind(&link.sapo_id)
            .execute(&mut **tx)
            .await?;
        sqlx::query(
            "insert into links (connection, kind, sapo_id, channel_id, sapo_parent, channel_parent, natural_key, state, code, reason, pushed, sapo_state, channel_state, total, paid, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $16, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
             on conflict (connection, kind, sapo_id) do update set channel_id = excluded.channel_id, sapo_parent = excluded.sapo_parent,
               channel_parent = excluded.channel_parent, natural_key = excluded.natural_key, state = excluded.state, code = excluded.code, reason = excluded.reason, pushed = excluded.pushed,
               sapo_state = coalesce(excluded.sapo_state, links.sapo_state), channel_state = coalesce(excluded.channel_state, links.channel_state),
               total = coalesce(excluded.total, links.total),
               paid = case when excluded.paid > links.paid then excluded.paid else links.paid end, updated_at = excluded.updated_at",
        )
        .bind(&link.connection)
        .bind(&link.kind)
        .bind(&link.sapo_id)
        .bind(&link.channel_id)
        .bind(&link.sapo_parent)
        .bind(&link.natural_key)
        .bind(&link.state)
        .bind(&link.code)
        .bind(&link.reason)
        .bind(&link.pushed)
        .bind(&link.sapo_state)
        .bind(&link.channel_state)
        .bind(&link.total)
        .bind(link.paid)
        .bind(now)
        .bind(&link.channel_parent)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Records an order's last known stages; `None` leaves a side as it is.
    pub async fn set_order_states(
        &self,
        connection: &str,
        sapo_id: &str,
        sapo: Option<&str>,
        channel: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update links set sapo_state = coalesce($3, sapo_state), channel_state = coalesce($4, channel_state), updated_at = $5
             where connection = $1 and kind = 'order' and sapo_id = $2",
        )
        .bind(connection)
        .bind(sapo_id)
        .bind(sapo)
        .bind(channel)
        .bind(self.clock.now())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Marks that the channel's payment stands on Sapo.
    pub async fn set_order_paid(&self, connection: &str, sapo_id: &str) -> Result<(), StoreError> {
        sqlx::query(
            "update links set paid = 1, updated_at = $3 where connection = $1 and kind = 'order' and sapo_id = $2",
        )
        .bind(connection)
        .bind(sapo_id)
        .bind(self.clock.now())
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Puts a link in error, or in good order again with `None`.
    ///
    /// A link of a web's variant brings its rows in `variants` along, and stays as it is where it was cut or moved
    /// since it was read, or where its POS variant was deleted.
    pub async fn set_link_error(&self, link: &Link, error: Option<(&str, &str)>) -> Result<(), StoreError> {
        if is_followed(link) {
            let mut link = self
                .link_by_sapo(&link.connection, LinkKind::Product, &link.sapo_id)
                .await?
                .filter(|now| now.channel_id == link.channel_id);
            let Some(link) = &mut link else { return Ok(()) };
            match error {
                Some((code, reason)) => link.fail(code, reason),
                None => link.mend(),
            }
            let mut tx = self.begin().await?;
            self.put_followed(&mut tx, link).await?;
            return Ok(tx.commit().await?);
        }
        let state = if error.is_some() { LinkState::Error } else { LinkState::Linked };
        sqlx::query("update links set state = $4, code = $5, reason = $6, updated_at = $7 where connection = $1 and kind = $2 and sapo_id = $3")
            .bind(&link.connection)
            .bind(&link.kind)
            .bind(&link.sapo_id)
            .bind(state.as_str())
            .bind(error.map(|(code, _)| code))
            .bind(error.map(|(_, reason)| reason))
            .bind(self.clock.now())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Lists links.
    pub async fn list_links(&self, filter: &LinkFilter) -> Result<Vec<Link>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from links where 1 = 1"));
        for (column, value) in [
            ("connection", filter.connection.as_deref()),
            ("kind", filter.kind.map(LinkKind::as_str)),
            ("state", filter.state.map(LinkState::as_str)),
            ("natural_key", filter.key.as_deref()),
            ("code", filter.code.as_deref()),
        ] {
            if let Some(value) = value {
                sql.push(format!(" and {column} = ")).push_bind(value.to_owned());
            }
        }
        if let Some(since) = filter.since {
            sql.push(" and updated_at >= ").push_bind(since);
        }
        if let Some(search) = &filter.search {
            sql.push(" and (sapo_id = ").push_bind(search.clone());
            sql.push(" or channel_id = ").push_bind(search.clone());
            for key in order_codes(search) {
                sql.push(" or natural_key = ").push_bind(key);
            }
            sql.push(")");
        }
        // Late changes are few: found by their time and then put in order, not looked for in that order.
        let order = if filter.since.is_some() { "connection || '', kind" } else { "connection, kind" };
        sql.push(format!(" order by {order}, natural_key limit ")).push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }
}
