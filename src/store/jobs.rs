//! Jobs: long work (import, reconcile, plan) that is stored, leased, followed, stopped and resumed.

use std::time::Duration;

use serde::Serialize;

use super::{Store, StoreError};
use crate::domain::clock::Millis;

/// A stored job.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// import, reconcile, plan.
    pub kind: String,
    /// Its connection.
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

const COLUMNS: &str = "id, kind, connection, arguments, state, position, found, reason, created_at, finished_at";

impl Store {
    /// Stores a job to be run; one that waits or runs already with the same kind and connection is returned instead.
    pub async fn add_job(&self, kind: &str, connection: &str, arguments: &str) -> Result<Job, StoreError> {
        let mut tx = self.begin().await?;
        let sql =
            format!("select {COLUMNS} from jobs where kind = $1 and connection = $2 and finished_at is null limit 1");
        let open: Option<Job> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).bind(connection).fetch_optional(&mut *tx).await?;
        if let Some(job) = open {
            tx.commit().await?;
            return Ok(job);
        }
        let sql = format!(
            "insert into jobs (id, kind, connection, arguments, state, position, found, lease_until, created_at) values ($1, $2, $3, $4, 'waiting', '{{}}', '{{}}', 0, $5) returning {COLUMNS}"
        );
        let job = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(kind)
            .bind(connection)
            .bind(arguments)
            .bind(self.clock.now())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Takes the next job nobody holds; the lease is to be renewed by [`Store::keep_job`].
    pub async fn take_job(&self, owner: &str, lease: Duration) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "update jobs set owner = $1, lease_until = $2, state = 'running' where id = (select id from jobs where finished_at is null and lease_until < $3 order by created_at limit 1) and lease_until < $3 returning {COLUMNS}"
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

    /// Ends a job.
    pub async fn finish_job(&self, id: &str, state: &str, found: &str, reason: Option<&str>) -> Result<(), StoreError> {
        sqlx::query(
            "update jobs set state = $2, found = $3, reason = $4, finished_at = $5, lease_until = 0 where id = $1",
        )
        .bind(id)
        .bind(state)
        .bind(found)
        .bind(reason)
        .bind(self.clock.now())
        .execute(&self.write)
        .await?;
        Ok(())
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

    /// Asks for a job to be stopped.
    pub async fn stop_job(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("update jobs set stop_wanted = 1 where id = $1").bind(id).execute(&self.write).await?;
        Ok(())
    }

    /// A job by its id.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!("select {COLUMNS} from jobs where id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&self.read).await?)
    }

    /// The newest finished job of a kind and connection.
    pub async fn last_job(&self, kind: &str, connection: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from jobs where kind = $1 and connection = $2 and state = 'done' order by created_at desc limit 1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(kind).bind(connection).fetch_optional(&self.read).await?)
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
