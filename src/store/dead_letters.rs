//! Dead letters: given up, kept, replayable; one per event and run.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, Tx, object_scope, order_codes};
use crate::domain::clock::Millis;
use crate::domain::event::{Event, ObjectKey};

/// A dead letter, without its payload.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct DeadLetter {
    /// The event's id.
    #[serde(rename = "id")]
    pub event_id: String,
    /// The run that failed.
    pub run: i64,
    /// Its connection.
    pub connection: String,
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
    /// Why: a stable word.
    pub code: String,
    /// Why: for people.
    pub reason: String,
    /// Attempts used up.
    pub attempts: i64,
    /// The other side's last answer, redacted.
    pub last_answer: Option<String>,
    /// When the event was received.
    pub received_at: Millis,
    /// When the letter was filed.
    pub filed_at: Millis,
    /// open, replayed, superseded, discarded.
    pub state: String,
}

/// Which letters to list.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Only this code.
    pub code: Option<String>,
    /// Received since.
    pub since: Option<Millis>,
    /// An order code, an object id, or the start of an event id.
    pub search: Option<String>,
    /// Only this state; `open` where none is given.
    pub state: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Which open letters a replay of many is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Only this code.
    pub code: Option<String>,
    /// Received since.
    pub since: Option<Millis>,
    /// Filed before: the moment of counting. What is filed later was not counted and is not touched.
    pub before: Millis,
}

/// Where a walk over letters is: they are walked by the time of filing, then by id and run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterMark {
    /// When the last one was filed.
    pub filed_at: Millis,
    /// Its event.
    pub event_id: String,
    /// Its run.
    pub run: i64,
}

impl LetterMark {
    /// The mark after a letter.
    pub fn after(letter: &DeadLetter) -> Self {
        Self { filed_at: letter.filed_at, event_id: letter.event_id.clone(), run: letter.run }
    }
}

const COLUMNS: &str = "event_id, run, connection, source, topic, kind, object_id, reference, code, reason, attempts, last_answer, received_at, filed_at, state";

/// Why an event is given up.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// A stable word.
    pub code: &'a str,
    /// For people.
    pub reason: &'a str,
    /// The other side's last answer, redacted.
    pub last_answer: Option<&'a str>,
}

impl Store {
    /// Files a letter; filing it again changes nothing. Tells whether it is new.
    pub async fn file_letter(&self, tx: &mut Tx, event: &Event, verdict: Verdict<'_>) -> Result<bool, StoreError> {
        // Before any row is locked: the ledger's row comes after it, or came before it, in the same transaction.
        self.serialise_object(tx, &event.key).await?;
        let done = sqlx::query(
            "insert into dead_letters (event_id, run, connection, source, topic, kind, object_id, reference, code, reason, attempts, last_answer, attributes, body, received_at, filed_at, state)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'open') on conflict (event_id, run) do nothing",
        )
        .bind(event.id.to_string())
        .bind(i64::from(event.run))
        .bind(&event.key.connection)
        .bind(event.key.source.as_str())
        .bind(&event.topic)
        .bind(event.key.kind.as_str())
        .bind(&event.key.object_id)
        .bind(&event.reference)
        .bind(verdict.code)
        .bind(verdict.reason)
        .bind(i64::from(event.attempts))
        .bind(verdict.last_answer)
        .bind(event.attributes())
        .bind(event.body.to_vec())
        .bind(event.received_at)
        .bind(self.clock.now())
        .execute(&mut **tx)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Marks the open letters of an object as superseded: a later event of it was settled.
    pub async fn supersede_letters(&self, tx: &mut Tx, key: &ObjectKey) -> Result<(), StoreError> {
        sqlx::query("update dead_letters set state = 'superseded' where connection = $1 and source = $2 and kind = $3 and object_id = $4 and state in ('open', 'replayed')")
            .bind(&key.connection)
            .bind(key.source.as_str())
            .bind(key.kind.as_str())
            .bind(&key.object_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Lists letters, newest first.
    pub async fn list_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, StoreError> {
        let mut sql =
            sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from dead_letters where state = "));
        sql.push_bind(filter.state.clone().unwrap_or_else(|| "open".to_owned()));
        for (column, value) in [("connection", &filter.connection), ("code", &filter.code)] {
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
        sql.push(" order by filed_at desc limit ").push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// A letter's event, whole.
    pub async fn letter_event(&self, event_id: &str, run: i64) -> Result<Option<Event>, StoreError> {
        let row: Option<(String, Vec<u8>)> =
            sqlx::query_as("select attributes, body from dead_letters where event_id = $1 and run = $2")
                .bind(event_id)
                .bind(run)
                .fetch_optional(&self.read)
                .await?;
        row.map(|(attributes, body)| {
            Event::restore(&attributes, Bytes::from(body)).map_err(|error| StoreError::corrupt("dead letter", error))
        })
        .transpose()
    }

    /// How many open letters match, by code, most first.
    pub async fn count_matching(&self, matching: &Matching) -> Result<Vec<(String, i64)>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("select code, count(*) as number from dead_letters");
        push_matching(&mut sql, matching);
        sql.push(" group by code order by number desc, code");
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// A page of the open letters that match, in the order of their filing, from a mark on.
    pub async fn matching_page(
        &self,
        matching: &Matching,
        from: &LetterMark,
        limit: i64,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(format!("select {COLUMNS} from dead_letters"));
        push_matching(&mut sql, matching);
        sql.push(" and (filed_at, event_id, run) > (").push_bind(from.filed_at);
        sql.push(", ").push_bind(from.event_id.clone()).push(", ").push_bind(from.run);
        sql.push(") order by filed_at, event_id, run limit ").push_bind(limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// Marks an open letter as replayed, by a job or by hand. Returns whether it was open.
    pub async fn take_letter(
        &self,
        tx: &mut Tx,
        event_id: &str,
        run: i64,
        job: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.serialise_letter(tx, event_id, run).await?;
        let done = sqlx::query("update dead_letters set state = 'replayed', replayed_by = $3 where event_id = $1 and run = $2 and state = 'open'")
            .bind(event_id)
            .bind(run)
            .bind(job)
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The letter's object first, as everywhere: a replay parks it in the same transaction.
    async fn serialise_letter(&self, tx: &mut Tx, event_id: &str, run: i64) -> Result<(), StoreError> {
        let of: Option<(String, String, String, String)> = sqlx::query_as(
            "select connection, source, kind, object_id from dead_letters where event_id = $1 and run = $2",
        )
        .bind(event_id)
        .bind(run)
        .fetch_optional(&mut **tx)
        .await?;
        if let Some((connection, source, kind, object_id)) = of {
            self.serialise(tx, &object_scope(&connection, &source, &kind, &object_id)).await?;
        }
        Ok(())
    }

    /// How many letters a job has replayed.
    pub async fn replayed_by(&self, job: &str) -> Result<i64, StoreError> {
        let count: (i64,) = sqlx::query_as("select count(*) from dead_letters where replayed_by = $1")
            .bind(job)
            .fetch_one(&self.read)
            .await?;
        Ok(count.0)
    }

    /// What became of the letters that a job has replayed: outcome, code and how many, most first. The outcome
    /// `waiting` is of those that no worker has settled yet; `superseded` tells that another state of the object did.
    pub async fn replay_codes(&self, job: &str) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "select outcome, code, count(*) as number from (
               select case when l.run > d.run then l.outcome when again.run is not null then 'dead'
                        when d.state = 'superseded' then 'skipped' else 'waiting' end as outcome,
                      case when l.run > d.run then l.code when again.run is not null then again.code
                        when d.state = 'superseded' then 'superseded' else 'replay' end as code
               from dead_letters d left join ledger l on l.event_id = d.event_id
                 left join dead_letters again on again.event_id = d.event_id and again.run = d.run + 1
               where d.replayed_by = $1) ends
             group by outcome, code order by number desc, outcome, code",
        )
        .bind(job)
        .fetch_all(&self.read)
        .await?)
    }

    /// Changes an open letter's state. Returns whether it was open.
    pub async fn set_letter_state(
        &self,
        tx: &mut Tx,
        event_id: &str,
        run: i64,
        state: &str,
    ) -> Result<bool, StoreError> {
        self.serialise_letter(tx, event_id, run).await?;
        let done =
            sqlx::query("update dead_letters set state = $3 where event_id = $1 and run = $2 and state = 'open'")
                .bind(event_id)
                .bind(run)
                .bind(state)
                .execute(&mut **tx)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// How many open letters there are, by code.
    pub async fn letter_counts(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("select code, count(*) from dead_letters where state = 'open' group by code")
            .fetch_all(&self.read)
            .await?)
    }

    /// Puts a mark on a redelivered event before it runs alone; returns how many it has now.
    pub async fn mark_poison(&self, event_id: &str) -> Result<i64, StoreError> {
        let marks: (i64,) = sqlx::query_as(
            "insert into poison_marks (event_id, marks, marked_at) values ($1, 1, $2) on conflict (event_id) do update set marks = poison_marks.marks + 1, marked_at = excluded.marked_at returning marks",
        )
        .bind(event_id)
        .bind(self.clock.now())
        .fetch_one(&self.write)
        .await?;
        Ok(marks.0)
    }

    /// Which of these events have a mark.
    pub async fn marked(&self, event_ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("select event_id from poison_marks where event_id in (");
        let mut list = sql.separated(", ");
        for id in event_ids {
            list.push_bind(id.clone());
        }
        list.push_unseparated(")");
        let rows: Vec<(String,)> = sql.build_query_as().fetch_all(&self.read).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// Takes the marks off an event that was settled.
    pub async fn clear_poison(&self, tx: &mut Tx, event_id: &str) -> Result<(), StoreError> {
        sqlx::query("delete from poison_marks where event_id = $1").bind(event_id).execute(&mut **tx).await?;
        Ok(())
    }

    /// Deletes letters that are closed (superseded, discarded) and marks, both from before a moment, at most `limit` of
    /// each. Open letters stay, and so do those of a replay that is not done. Returns how many letters it deleted.
    pub async fn prune_letters(&self, before: Millis, limit: i64) -> Result<u64, StoreError> {
        let letters = sqlx::query(
            "delete from dead_letters where (event_id, run) in (select event_id, run from dead_letters where state in ('superseded', 'discarded') and filed_at < $1
               and (replayed_by is null or replayed_by not in (select id from jobs where finished_at is null)) order by filed_at limit $2)",
        )
        .bind(before)
        .bind(limit)
        .execute(&self.write)
        .await?;
        sqlx::query("delete from poison_marks where event_id in (select event_id from poison_marks where marked_at < $1 limit $2)")
            .bind(before)
            .bind(limit)
            .execute(&self.write)
            .await?;
        Ok(letters.rows_affected())
    }
}

fn push_matching(sql: &mut sqlx::QueryBuilder<sqlx::Any>, matching: &Matching) {
    sql.push(" where state = 'open' and filed_at < ").push_bind(matching.before);
    for (column, value) in [("connection", &matching.connection), ("code", &matching.code)] {
        if let Some(value) = value {
            sql.push(format!(" and {column} = ")).push_bind(value.clone());
        }
    }
    if let Some(since) = matching.since {
        sql.push(" and received_at >= ").push_bind(since);
    }
}
