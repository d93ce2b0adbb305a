//! Jobs: long work (import, reconcile, plan, replay) that is stored, leased, followed, stopped and resumed.

use std::time::Duration;

use serde::Serialize;

use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;

/// A stored job.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// import, reconcile, plan, replay.
    pub kind: String,
    /// Its connection; empty where it is for all of them.
    pub connection: String,
    /// What was asked for, JSON.
    pub arguments: String,
    /// waiting, running, done, failed, stopped.
    pub state: String,
    /// Where the walk is, JSON.
    pub position: String,
    /// What was found so far, JSON.
    pub found: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
}

/// A row of a job's report.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct JobRow {
    /// category, product, customer, order.
    pub kind: String,
    /// The object's id in its own system.
    pub object_id: String,
    /// create, update, skip, error.
    pub action: String,
    /// A stable word.
    pub code: String,
    /// For people.
    pub reason: String,
}

/// What runs beside what: a long replay holds up no reconcile, and many reconciles hold up no replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// import, reconcile, plan of an Abaha site: one of a connection at a time.
    Walks,
    /// All that is done with a web, which holds no catalogue in memory: one of a connection at a time.
    Webs,
    /// replay.
    Replays,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Walks, Self::Webs, Self::Replays];

    /// Which job may be taken, as SQL over `j`; `$3` is now.
    fn may_be_taken(self) -> String {
        let of_a_web = match self {
            Self::Replays => return "j.kind = 'replay'".to_owned(),
            Self::Walks => "not exists",
            Self::Webs => "exists",
        };
        format!(
            "j.kind <> 'replay' and {of_a_web} (select 1 from connections c where c.name = j.connection and c.channel = 'web') and not exists (select 1 from jobs o where o.connection = j.connection and o.kind <> 'replay' and o.id <> j.id and o.finished_at is null and o.lease_until >= $3)"
        )
    }
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those whose id begins so.
    pub id: Option<String>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str = "id, kind, connection, arguments, state, position, found, reason, created_at, finished_at";

impl Store {
    /// Stores a job to be run; one that waits or runs already with the same kind and connection is returned instead.
    pub async fn add_job(&self, kind: &str, connection: &str, arguments: &str) -> Result<Job, StoreError> {
        let mut tx = self.begin().await?;
        self.serialise(&mut tx, &format!("job:{kind}:{connection}")).await?;
        let sql =
            format!("select {COLUMNS} from jobs where kind = $1 and connection = $2 and finished_at is null limit 1");
        let open: Option<Job> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).bind(connection).fetch_optional(&mut *tx).await?;
        if let Some(job) = open {
            tx.commit().await?;
            return Ok(job);
        }
        let job = self.insert_job(&mut tx, kind, connection, arguments).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Stores a job in a transaction of the caller's, whatever waits or runs beside it.
    pub async fn insert_job(
        &self,
        tx: &mut Tx,
        kind: &str,
        connection: &str,
        arguments: &str,
    ) -> Result<Job, StoreError> {
        let sql = format!(
            "insert into jobs (id, kind, connection, arguments, state, position, found, lease_until, created_at) values ($1, $2, $3, $4, 'waiting', '{{}}', '{{}}', 0, $5) returning {COLUMNS}"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(kind)
            .bind(connection)
            .bind(arguments)
            .bind(self.clock.now())
            .fetch_one(&mut **tx)
            .await?)
    }

    /// The jobs of a kind that wait or run, read in a transaction of the caller's.
    pub async fn open_jobs(&self, tx: &mut Tx, kind: &str) -> Result<Vec<Job>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from jobs where kind = $1 and finished_at is null order by created_at limit 1000"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).fetch_all(&mut **tx).await?)
    }

    /// Takes the next job of a lane that nobody holds; the lease is to be renewed by [`Store::keep_job`].
    pub async fn take_job(&self, owner: &str, lease: Duration, lane: Lane) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "update jobs set owner = $1, lease_until = $2, state = 'running' where id = (select j.id from jobs j where j.finished_at is null and j.lease_until < $3 and {} order by j.created_at limit 1) and lease_until < $3 returning {COLUMNS}",
            lane.may_be_taken()
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(owner)
            .bind(self.clock.after(lease))
            .bind(self.clock.now())
            .fetch_optional(&self.write)
            .await?)
    }

    /// Stores how far a job is and renews its lease. `false`: somebody wants it stopped, or took it over.
    pub async fn keep_job(
        &self,
        id: &str,
        owner: &str,
        lease: Duration,
        position: &str,
        found: &str,
    ) -> Result<bool, StoreError> {
        let kept: Option<(i64,)> = sqlx::query_as(
            "update jobs set lease_until = $3, position = $4, found = $5 where id = $1 and owner = $2 and finished_at is null returning stop_wanted",
        )
        .bind(id)
        .bind(owner)
        .bind(self.clock.after(lease))
        .bind(position)
        .bind(found)
        .fetch_optional(&self.write)
        .await?;
        Ok(kept.is_some_and(|(stop,)| stop == 0))
    }

    /// Renews a job's lease between two calls of [`Store::keep_job`]. `false`: somebody wants it stopped, or took it
    /// over.
    pub async fn hold_job(&self, id: &str, owner: &str, lease: Duration) -> Result<bool, StoreError> {
        let held: Option<(i64,)> = sqlx::query_as(
            "update jobs set lease_until = $3 where id = $1 and owner = $2 and finished_at is null returning stop_wanted",
        )
        .bind(id)
        .bind(owner)
        .bind(self.clock.after(lease))
        .fetch_optional(&self.write)
        .await?;
        Ok(held.is_some_and(|(stop,)| stop == 0))
    }

    /// Ends a job that `owner` holds. `false`: somebody else took it over, and nothing was changed.
    pub async fn finish_job(
        &self,
        tx: &mut Tx,
        id: &str,
        owner: &str,
        state: &str,
        found: &str,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update jobs set state = $3, found = $4, reason = $5, finished_at = $6, lease_until = 0 where id = $1 and owner = $2 and finished_at is null",
        )
        .bind(id)
        .bind(owner)
        .bind(state)
        .bind(found)
        .bind(reason)
        .bind(self.clock.now())
        .execute(&mut **tx)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Lets go of a job at shutdown; it goes on where it was.
    pub async fn let_go_job(&self, id: &str, owner: &str) -> Result<(), StoreError> {
        sqlx::query(
            "update jobs set lease_until = 0, state = 'waiting' where id = $1 and owner = $2 and finished_at is null",
        )
        .bind(id)
        .bind(owner)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Stops a job: at once where nobody holds it, else whoever does is asked to. Returns how it stands then; `None`
    /// where it has ended before.
    pub async fn stop_job(&self, id: &str, actor: &str) -> Result<Option<Job>, StoreError> {
        let mut tx = self.begin().await?;
        let sql = format!(
            "update jobs set stop_wanted = 1, state = case when lease_until < $2 then 'stopped' else state end,
               reason = case when lease_until < $2 then 'stopped by hand while nobody worked on it' else reason end,
               finished_at = case when lease_until < $2 then $2 else finished_at end
             where id = $1 and finished_at is null returning {COLUMNS}"
        );
        let job: Option<Job> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).bind(self.clock.now()).fetch_optional(&mut *tx).await?;
        if let Some(job) = &job {
            let detail = if job.finished_at.is_some() { "nobody worked on it" } else { "asked for" };
            self.audit(&mut tx, actor, "jobs stop", id, &format!("{} {}: {detail}", job.kind, job.connection)).await?;
        }
        tx.commit().await?;
        Ok(job)
    }

    /// Lists jobs, newest first.
    pub async fn list_jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from jobs where 1 = 1"));
        for (column, value) in [("state", &filter.state), ("kind", &filter.kind)] {
            if let Some(value) = value {
                sql.push(format!(" and {column} = ")).push_bind(value.clone());
            }
        }
        if let Some(id) = &filter.id {
            sql.push(" and id >= ").push_bind(id.clone()).push(" and id < ").push_bind(format!("{id}g"));
        }
        sql.push(" order by created_at desc, id desc limit ").push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// A job by its id.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!("select {COLUMNS} from jobs where id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&self.read).await?)
    }

    /// The newest job of a kind and connection that was done.
    pub async fn last_job(&self, kind: &str, connection: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from jobs where kind = $1 and connection = $2 and state = 'done' order by created_at desc limit 1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).bind(connection).fetch_optional(&self.read).await?)
    }

    /// What the newest job of a kind that was done has found, by connection, of those that are active.
    pub async fn last_found(&self, kind: &str) -> Result<Vec<(String, Option<String>)>, StoreError> {
        // One look into an index for each connection.
        Ok(sqlx::query_as(
            "select name, (select found from jobs where kind = $1 and connection = connections.name and state = 'done' order by created_at desc limit 1) as found
             from connections where state = 'active' order by name",
        )
        .bind(kind)
        .fetch_all(&self.read)
        .await?)
    }

    /// When the newest job of a kind and connection ended, whether done, failed or stopped.
    pub async fn last_ended(&self, kind: &str, connection: &str) -> Result<Option<Millis>, StoreError> {
        // One look into an index for each way to end.
        let newest = ["done", "failed", "stopped"].map(|state| {
            format!("(select id from jobs where kind = $1 and connection = $2 and state = '{state}' order by created_at desc limit 1)")
        });
        let sql = format!(
            "select finished_at from jobs where id in ({}) and finished_at is not null order by finished_at desc limit 1",
            newest.join(", ")
        );
        let ended: Option<(Millis,)> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).bind(connection).fetch_optional(&self.read).await?;
        Ok(ended.map(|(at,)| at))
    }

    /// Deletes jobs that ended before a moment with their rows, at most `limit` of both together; tells how many. The
    /// newest of a kind and connection that was done stays: the next one begins from it.
    pub async fn prune_jobs(&self, before: Millis, limit: i64) -> Result<u64, StoreError> {
        let old: Vec<(String,)> = sqlx::query_as(
            "select j.id from jobs j where j.created_at < $1 and j.finished_at < $1 and (j.state <> 'done' or exists (select 1 from jobs n where n.kind = j.kind and n.connection = j.connection and n.state = 'done' and n.created_at > j.created_at)) order by j.created_at limit $2",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        let most = limit.unsigned_abs();
        let mut deleted = 0;
        for (id,) in old {
            // Its rows first, so that a job that is cut off in the middle is found again.
            let rows = sqlx::query(
                "delete from job_rows where job = $1 and row_no in (select row_no from job_rows where job = $1 order by row_no limit $2)",
            )
            .bind(&id)
            .bind(i64::try_from(most - deleted).unwrap_or(limit))
            .execute(&self.write)
            .await?;
            deleted += rows.rows_affected();
            if deleted >= most {
                break;
            }
            deleted +=
                sqlx::query("delete from jobs where id = $1").bind(&id).execute(&self.write).await?.rows_affected();
            if deleted >= most {
                break;
            }
        }
        Ok(deleted)
    }

    /// Adds rows to a job's report; `first` is the number of the first.
    pub async fn add_job_rows(&self, job: &str, first: i64, rows: &[JobRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for (offset, row) in (0_i64..).zip(rows) {
            sqlx::query("insert into job_rows (job, row_no, kind, object_id, action, code, reason) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing")
                .bind(job)
                .bind(first + offset)
                .bind(&row.kind)
                .bind(&row.object_id)
                .bind(&row.action)
                .bind(&row.code)
                .bind(&row.reason)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A page of a job's report.
    pub async fn job_rows(&self, job: &str, after: i64, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        Ok(sqlx::query_as("select kind, object_id, action, code, reason from job_rows where job = $1 and row_no > $2 order by row_no limit $3")
            .bind(job)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await?)
    }
}
