//! A web's orders as the owner sees them (Đơn hàng đồng bộ): linked, not linked, or in error, each with why.

use std::fmt;

use serde::Serialize;

use super::{Store, StoreError, order_codes};
use crate::domain::clock::Millis;
use crate::domain::event::words;

words! {
    /// The state the owner sees.
    ChannelOrderState {
        /// Đã liên kết: it is on the POS.
        Linked = "linked",
        /// Chưa liên kết: it was not sent, and goes by hand only.
        Unlinked = "unlinked",
        /// Lỗi liên kết: it goes by itself when the cause goes.
        Error = "error",
    }
}

/// An order of a web.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct ChannelOrder {
    /// The connection.
    pub connection: String,
    /// Its id on the web.
    pub order_id: String,
    /// Its name there, `#1001`.
    pub name: String,
    /// [`ChannelOrderState`] as a word.
    pub state: String,
    /// Why: a stable word.
    pub code: String,
    /// Why: for people.
    pub reason: String,
    /// When that changed.
    pub updated_at: Millis,
}

impl ChannelOrder {
    /// Whether it was not sent for this reason.
    pub fn is_left_out(&self, code: &str) -> bool {
        self.state == ChannelOrderState::Unlinked.as_str() && self.code == code
    }
}

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub struct ChannelOrderFilter {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Only this state.
    pub state: Option<ChannelOrderState>,
    /// Only this name, with or without its #, or this id.
    pub search: Option<String>,
    /// Only those with this code.
    pub code: Option<String>,
    /// Changed since.
    pub since: Option<Millis>,
    /// Only what comes after this row, which ended the page before: its connection, `updated_at` and id.
    pub after: Option<(String, Millis, String)>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str = "connection, order_id, name, state, code, reason, updated_at";

impl Store {
    /// Writes what became of an order of a web; what says the same as before, or has a code of `unless`, is left as it
    /// was.
    pub async fn put_channel_order(
        &self,
        (connection, order_id, name): (&str, &str, &str),
        state: ChannelOrderState,
        (code, reason): (&str, &str),
        unless: [&str; 2],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into channel_orders (connection, order_id, name, state, code, reason, updated_at) values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (connection, order_id) do update set name = excluded.name, state = excluded.state, code = excluded.code,
               reason = excluded.reason, updated_at = excluded.updated_at
             where channel_orders.code not in ($8, $9) and (channel_orders.name <> excluded.name or channel_orders.state <> excluded.state
               or channel_orders.code <> excluded.code or channel_orders.reason <> excluded.reason)",
        )
        .bind(connection)
        .bind(order_id)
        .bind(name)
        .bind(state.as_str())
        .bind(code)
        .bind(reason)
        .bind(self.clock.now())
        .bind(unless[0])
        .bind(unless[1])
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// An order of a web.
    pub async fn channel_order(&self, connection: &str, order_id: &str) -> Result<Option<ChannelOrder>, StoreError> {
        Ok(sqlx::query_as(
            "select connection, order_id, name, state, code, reason, updated_at from channel_orders
             where connection = $1 and order_id = $2",
        )
        .bind(connection)
        .bind(order_id)
        .fetch_optional(&self.read)
        .await?)
    }

    /// Lists orders of webs, within each connection the last changed first.
    pub async fn list_channel_orders(&self, filter: &ChannelOrderFilter) -> Result<Vec<ChannelOrder>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from channel_orders where 1 = 1"));
        // Few orders bear a name or an id: found by it, and not among all that have the rest in common.
        let (text, number) = if filter.search.is_some() { (" || ''", " + 0") } else { ("", "") };
        for (column, value) in [
            ("connection", filter.connection.as_deref()),
            ("state", filter.state.map(ChannelOrderState::as_str)),
            ("code", filter.code.as_deref()),
        ] {
            if let Some(value) = value {
                sql.push(format!(" and {column}{text} = ")).push_bind(value.to_owned());
            }
        }
        if let Some(since) = filter.since {
            sql.push(format!(" and updated_at{number} >= ")).push_bind(since);
        }
        if let Some(search) = &filter.search {
            sql.push(" and (order_id = ").push_bind(search.clone());
            for name in order_codes(search) {
                sql.push(" or name = ").push_bind(name);
            }
            sql.push(")");
        }
        if let Some((connection, at, order_id)) = &filter.after {
            sql.push(format!(" and (connection{text}, updated_at, order_id) < (")).push_bind(connection.clone());
            sql.push(", ").push_bind(*at).push(", ").push_bind(order_id.clone()).push(")");
        }
        sql.push(format!(" order by connection{text} desc, updated_at desc, order_id desc limit "));
        sql.push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// How many orders of a web are in each state.
    pub async fn count_channel_orders(&self, connection: &str) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "select state, count(*) from channel_orders where connection = $1 group by state order by state",
        )
        .bind(connection)
        .fetch_all(&self.read)
        .await?)
    }
}
