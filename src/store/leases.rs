//! Who is alive, who holds which queue or the keeper's lead, and what all processes must agree on.
//!
//! Times are the processes' own clocks: machines that share a database must keep theirs within a second or so of each
//! other, and a lease must be much longer than that.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::clock::Millis;

/// How long a member that is gone stays listed in the table.
const GONE_AFTER: Duration = Duration::from_hours(1);
/// No lease and no sign of life of a clock that goes right reaches so far ahead: one that does counts as ended.
pub const BEYOND_BELIEF: Duration = Duration::from_hours(1);

/// A process that is alive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Member {
    /// Its identity.
    pub owner: String,
    /// work, keeper…
    pub role: String,
    /// The kinds that it works on, as it told them.
    pub kinds: String,
    /// It is alive until then, unless it tells so again.
    pub seen_until: Millis,
}

/// Who holds something that one process at a time may hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Lease {
    /// `order.3`, `keeper`…
    pub name: String,
    /// Who holds it, or held it last.
    pub owner: String,
    /// Raised whenever it goes to another owner.
    pub epoch: i64,
    /// Held until then.
    pub lease_until: Millis,
}

impl Store {
    /// Says that a process is alive, for so long.
    pub async fn join(&self, owner: &str, role: &str, kinds: &str, for_: Duration) -> Result<(), StoreError> {
        sqlx::query(
            "insert into members (owner, role, kinds, seen_until) values ($1, $2, $3, $4)
             on conflict (owner) do update set role = excluded.role, kinds = excluded.kinds, seen_until = excluded.seen_until",
        )
        .bind(owner)
        .bind(role)
        .bind(kinds)
        .bind(self.clock.after(for_))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Says that a process is going.
    pub async fn leave(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query("delete from members where owner = $1").bind(owner).execute(&self.write).await?;
        Ok(())
    }

    /// The processes of a role that are alive, in the order of their identities; those long gone are forgotten.
    pub async fn members(&self, role: &str) -> Result<Vec<Member>, StoreError> {
        let now = self.clock.now();
        let all: Vec<Member> = sqlx::query_as("select owner, role, kinds, seen_until from members order by owner")
            .fetch_all(&self.read)
            .await?;
        let long_ago = now - crate::domain::clock::millis(GONE_AFTER);
        if all.iter().any(|member| member.seen_until < long_ago) {
            sqlx::query("delete from members where seen_until < $1").bind(long_ago).execute(&self.write).await?;
        }
        let alive = now..now + crate::domain::clock::millis(BEYOND_BELIEF);
        Ok(all.into_iter().filter(|member| member.role == role && alive.contains(&(member.seen_until - 1))).collect())
    }

    /// Takes a lease that is free, has ended, or is this owner's already. Tells whether it is this owner's now. One
    /// that ends beyond belief was written by a clock that went wrong: it counts as ended.
    pub async fn take_lease(&self, name: &str, owner: &str, for_: Duration) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "insert into leases (name, owner, epoch, lease_until) values ($1, $2, 1, $3)
             on conflict (name) do update set lease_until = excluded.lease_until, owner = excluded.owner,
               epoch = case when leases.owner = excluded.owner then leases.epoch else leases.epoch + 1 end
             where leases.owner = excluded.owner or leases.lease_until <= $4 or leases.lease_until > $5",
        )
        .bind(name)
        .bind(owner)
        .bind(self.clock.after(for_))
        .bind(self.clock.now())
        .bind(self.clock.after(BEYOND_BELIEF))
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Renews the leases that are still this owner's, and tells which those are. One that has ended and that nobody
    /// else took is still its own.
    pub async fn renew_leases(&self, owner: &str, names: &[String], for_: Duration) -> Result<Vec<String>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("update leases set lease_until = ");
        sql.push_bind(self.clock.after(for_)).push(" where lease_until > 0 and owner = ").push_bind(owner.to_owned());
        sql.push(" and name in (");
        let mut list = sql.separated(", ");
        for name in names {
            list.push_bind(name.clone());
        }
        sql.push(") returning name");
        let kept: Vec<(String,)> = sql.build_query_as().fetch_all(&self.write).await?;
        Ok(kept.into_iter().map(|row| row.0).collect())
    }

    /// Lets go of a lease, where it is this owner's.
    pub async fn drop_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        // The row stays, for its epoch must never begin anew.
        sqlx::query("update leases set lease_until = 0 where name = $1 and owner = $2")
            .bind(name)
            .bind(owner)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The leases whose names start so, held and ended ones, by name.
    pub async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        let rows: Vec<Lease> =
            sqlx::query_as("select name, owner, epoch, lease_until from leases where name >= $1 order by name")
                .bind(prefix)
                .fetch_all(&self.read)
                .await?;
        Ok(rows.into_iter().take_while(|lease| lease.name.starts_with(prefix)).collect())
    }

    /// Stores what all processes must agree on, where nothing is stored yet. Returns what is stored.
    pub async fn agree(&self, fact: &str, value: &str) -> Result<String, StoreError> {
        sqlx::query("insert into facts (name, value) values ($1, $2) on conflict (name) do nothing")
            .bind(fact)
            .bind(value)
            .execute(&self.write)
            .await?;
        let (stored,): (String,) =
            sqlx::query_as("select value from facts where name = $1").bind(fact).fetch_one(&self.read).await?;
        Ok(stored)
    }

    /// Ends whatever an owner holds: intents, jobs, leases and its membership. For a process that starts anew with an
    /// identity that nobody else can have now. Returns how many intents it held.
    pub async fn end_leases(&self, owner: &str) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let intents = sqlx::query(
            "update intents set lease_until = 0 where owner = $1 and result_id is null and lease_until > 0",
        )
        .bind(owner)
        .execute(&mut *tx)
        .await?;
        for sql in [
            "update jobs set lease_until = 0 where owner = $1 and finished_at is null",
            "update leases set lease_until = 0 where owner = $1",
            "delete from members where owner = $1",
        ] {
            sqlx::query(sql).bind(owner).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(intents.rows_affected())
    }
}
