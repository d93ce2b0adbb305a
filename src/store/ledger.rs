//! The ledger: what was decided and called, per event.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, Tx, order_codes};
use crate::domain::clock::Millis;
use crate::domain::event::Event;
use crate::domain::outcome::Verdict;

/// One step of an event's story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Millis,
    /// A stable word: `received`, `verified`, `decided`, `call`, `settled`…
    pub step: String,
    /// For people.
    pub text: String,
}

/// What became of an event.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// Its end.
    pub verdict: Verdict,
    /// The stable word.
    pub code: &'a str,
    /// For people.
    pub reason: &'a str,
    /// Attempts used up.
    pub attempts: u32,
    /// What is added to its story.
    pub steps: &'a [Step],
}

/// A ledger row.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct LedgerRow {
    /// The event's id.
    #[serde(rename = "id")]
    pub event_id: String,
    /// Its run.
    pub run: i64,
    /// Its connection.
    pub connection: String,
    /// Its store.
    pub store: String,
    /// The system it came from.
    pub source: String,
    /// Its topic.
    pub topic: String,
    /// Its kind.
    pub kind: String,
    /// The object's id.
    pub object_id: String,
    /// The order's own code.
    pub reference: Option<String>,
    /// The object's version.
    pub version: Option<Millis>,
    /// When it was received.
    pub received_at: Millis,
    /// When this outcome was reached.
    pub settled_at: Millis,
    /// [`Verdict`] as a word.
    pub outcome: String,
    /// The stable word of the outcome.
    pub code: String,
    /// The outcome's reason, for people.
    pub reason: String,
    /// Attempts used up.
    pub attempts: i64,
    /// The job that made it.
    pub job: Option<String>,
    /// Its story, a JSON list of [`Step`]s.
    #[serde(skip)]
    pub story: String,
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Received since.
    pub since: Option<Millis>,
    /// Only this code.
    pub code: Option<String>,
    /// Only this outcome.
    pub outcome: Option<String>,
    /// An order code, an object id, or the start of an event id.
    pub search: Option<String>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str = "event_id, run, connection, store, source, topic, kind, object_id, reference, version, received_at, settled_at, outcome, code, reason, attempts, job, story";
const STEPS_KEPT: usize = 60;
/// Events of one object in a story.
const STORY: i64 = 200;

impl Store {
    /// Writes what became of an event; its story goes on where it stopped.
    pub async fn record(
        &self,
        tx: &mut Tx,
        event: &Event,
        settlement: &Settlement<'_>,
        hash: &str,
    ) -> Result<(), StoreError> {
        let Settlement { verdict, code, reason, attempts, steps } = *settlement;
        // Before any row is locked: parking and unparking of the object come later in the same transaction.
        self.serialise_object(tx, &event.key).await?;
        let id = event.id.to_string();
        let before: Option<(String,)> =
            sqlx::query_as("select story from ledger where event_id = $1").bind(&id).fetch_optional(&mut **tx).await?;
        let mut story: Vec<Step> = before.and_then(|(text,)| serde_json::from_str(&text).ok()).unwrap_or_default();
        story.extend_from_slice(steps);
        if story.len() > STEPS_KEPT {
            let left_out = story.len() - STEPS_KEPT;
            story.drain(10..10 + left_out);
            story[10] = Step {
                at: story[10].at,
                step: "left_out".into(),
                text: format!("{left_out} or more steps between are left out"),
            };
        }
        let story = serde_json::to_string(&story).map_err(|error| StoreError::corrupt("story", error))?;
        sqlx::query(
            "insert into ledger (event_id, run, connection, store, source, topic, kind, object_id, reference, version, received_at, settled_at, outcome, code, reason, attempts, job, body_hash, story)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             on conflict (event_id) do update set run = excluded.run, settled_at = excluded.settled_at, outcome = excluded.outcome, code = excluded.code,
               reason = excluded.reason, attempts = excluded.attempts, reference = coalesce(excluded.reference, ledger.reference), version = excluded.version, story = excluded.story",
        )
        .bind(&id)
        .bind(i64::from(event.run))
        .bind(&event.key.connection)
        .bind(&event.store)
        .bind(event.key.source.as_str())
        .bind(&event.topic)
        .bind(event.key.kind.as_str())
        .bind(&event.key.object_id)
        .bind(&event.reference)
        .bind(event.version)
        .bind(event.received_at)
        .bind(self.clock.now())
        .bind(verdict.as_str())
        .bind(code)
        .bind(reason)
        .bind(i64::from(attempts))
        .bind(&event.job)
        .bind(hash)
        .bind(story)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Lists events, newest first.
    pub async fn list_events(&self, filter: &EventFilter) -> Result<Vec<LedgerRow>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from ledger where 1 = 1"));
        for (column, value) in
            [("connection", &filter.connection), ("code", &filter.code), ("outcome", &filter.outcome)]
        {
            if let Some(value) = value {
                sql.push(format!(" and {column} = ")).push_bind(value.clone());
            }
        }
        if let Some(since) = filter.since {
            sql.push(" and received_at >= ").push_bind(since);
        }
        if let Some(search) = &filter.search {
            sql.push(" and (object_id = ").push_bind(search.clone());
            for code in order_codes(search) {
                sql.push(" or reference = ").push_bind(code);
            }
            sql.push(" or (event_id >= ").push_bind(search.clone());
            sql.push(" and event_id < ").push_bind(format!("{search}g")).push("))");
        }
        sql.push(" order by received_at desc, event_id desc limit ").push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// The whole story of an order code, an object id or an event id: every event of the objects it names, oldest first.
    pub async fn story(&self, search: &str, connection: Option<&str>) -> Result<Vec<LedgerRow>, StoreError> {
        let filter = EventFilter {
            search: Some(search.to_owned()),
            connection: connection.map(ToOwned::to_owned),
            limit: STORY,
            ..EventFilter::default()
        };
        let mut rows = self.list_events(&filter).await?;
        let mut linked: Vec<String> = Vec::new();
        for row in &rows {
            let link = match row.source.as_str() {
                "omni" => self
                    .link_by_sapo(&row.connection, super::links::LinkKind::Order, &row.object_id)
                    .await?
                    .map(|l| l.channel_id),
                _ => self
                    .link_by_channel(&row.connection, super::links::LinkKind::Order, &row.object_id)
                    .await?
                    .map(|l| l.sapo_id),
            };
            linked.extend(link.filter(|_| row.kind == "order"));
            linked.push(row.object_id.clone());
        }
        linked.sort();
        linked.dedup();
        for object in linked {
            for row in self.events_of_order(&object, connection).await? {
                if !rows.iter().any(|known| known.event_id == row.event_id) {
                    rows.push(row);
                }
            }
        }
        rows.sort_by_key(|row| (row.received_at, row.event_id.clone()));
        Ok(rows)
    }

    /// The last events of an order by its id: what was typed may be a code, an id that is known is not.
    async fn events_of_order(&self, id: &str, connection: Option<&str>) -> Result<Vec<LedgerRow>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from ledger where object_id = "));
        sql.push_bind(id).push(" and kind = 'order'");
        if let Some(connection) = connection {
            sql.push(" and connection = ").push_bind(connection);
        }
        sql.push(" order by received_at desc, event_id desc limit ").push_bind(STORY);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// How many events of a job have which outcome.
    pub async fn job_outcomes(&self, job: &str) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("select outcome, count(*) from ledger where job = $1 group by outcome")
            .bind(job)
            .fetch_all(&self.read)
            .await?)
    }

    /// How many events of a job have which outcome and code, most first.
    pub async fn job_codes(&self, job: &str) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "select outcome, code, count(*) as n from ledger where job = $1 group by outcome, code order by n desc",
        )
        .bind(job)
        .fetch_all(&self.read)
        .await?)
    }

    /// The events of a job that did not end well, with why.
    pub async fn job_failures(&self, job: &str, limit: i64) -> Result<Vec<LedgerRow>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from ledger where job = $1 and outcome in ('parked', 'dead') order by received_at limit $2"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(job).bind(limit).fetch_all(&self.read).await?)
    }

    /// The events whose letters a job has replayed and that did not end well again, with why.
    pub async fn replay_failures(&self, job: &str, limit: i64) -> Result<Vec<LedgerRow>, StoreError> {
        // Found by the letters of the job, not among all that did not end well.
        let sql = format!(
            "select {COLUMNS} from ledger where event_id in (select d.event_id from dead_letters d where d.replayed_by = $1) and outcome || '' in ('parked', 'dead')
               and exists (select 1 from dead_letters d where d.event_id = ledger.event_id and d.replayed_by = $1 and d.run < ledger.run) order by received_at limit $2"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(job).bind(limit).fetch_all(&self.read).await?)
    }

    /// Deletes settled ledger rows older than a moment, at most `limit`; parked and dead ones stay.
    pub async fn prune_ledger(&self, before: Millis, limit: i64) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "delete from ledger where event_id in (select event_id from ledger where received_at < $1 and outcome in ('done', 'skipped') order by received_at limit $2)",
        )
        .bind(before)
        .bind(limit)
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected())
    }
}
