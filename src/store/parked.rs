//! Parked rows: one per connection and object, the newest state wins.

use bytes::Bytes;
use serde::Serialize;

use super::{Store, StoreError, Tx, order_codes};
use crate::domain::clock::Millis;
use crate::domain::event::{Event, Kind, ObjectKey, Shape};
use crate::domain::outcome::Cause;

/// A parked row, without its payload.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ParkedRow {
    /// The event's id.
    #[serde(rename = "id")]
    pub event_id: String,
    /// Its connection.
    pub connection: String,
    /// The system it came from.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// The object's id.
    pub object_id: String,
    /// Raised by every change of the row.
    pub generation: i64,
    /// [`Cause`] as a word.
    #[serde(rename = "code")]
    pub cause: String,
    /// What ends the cause.
    pub cause_key: Option<String>,
    /// For people.
    pub reason: String,
    /// Attempts used up by this content.
    pub attempts: i64,
    /// Since when the object waits.
    pub first_parked_at: Millis,
    /// When it is looked at again at the latest.
    pub due_at: Millis,
}

/// What is to be parked.
#[derive(Clone, Debug)]
pub struct ToPark<'a> {
    /// The event.
    pub event: &'a Event,
    /// The account it waits for.
    pub account: &'a str,
    /// 0 orders, 1 products, 2 customers, 3 imports: released in this order.
    pub class: i64,
    /// Why.
    pub cause: Cause,
    /// What ends the cause.
    pub cause_key: Option<&'a str>,
    /// For people.
    pub reason: &'a str,
    /// When it is looked at again at the latest.
    pub due_at: Millis,
}

/// Which parked rows to list.
#[derive(Clone, Debug, Default)]
pub struct ParkedFilter {
    /// Only this connection's.
    pub connection: Option<String>,
    /// Only this [`Cause`].
    pub cause: Option<String>,
    /// An order code, an object id, or the start of an event id.
    pub search: Option<String>,
    /// Waiting since this moment or later.
    pub since: Option<Millis>,
    /// At most so many.
    pub limit: i64,
}

/// A row ready to be released.
#[derive(Clone, Debug)]
pub struct Due {
    /// The event, as it will be published.
    pub event: Event,
    /// The row's generation when it was read: it is deleted only if that has not changed.
    pub generation: i64,
    /// The account it waits for.
    pub account: String,
    /// Its class.
    pub class: i64,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    attributes: String,
    body: Vec<u8>,
    generation: i64,
    account: String,
    class: i64,
    cause: String,
    attempts: i64,
    first_parked_at: Millis,
}

impl Store {
    /// Parks an event, or joins the row of its object. The newest state wins; where two states cannot be ordered,
    /// the row says that the object is read anew. The event that gave way is noted in the ledger as superseded.
    pub async fn park(&self, tx: &mut Tx, park: &ToPark<'_>) -> Result<(), StoreError> {
        let key = &park.event.key;
        self.serialise_object(tx, key).await?;
        let before: Option<(String, Vec<u8>, Option<Millis>, String)> = sqlx::query_as(
            "select attributes, body, version, event_id from parked where connection = $1 and source = $2 and kind = $3 and object_id = $4",
        )
        .bind(&key.connection)
        .bind(key.source.as_str())
        .bind(key.kind.as_str())
        .bind(&key.object_id)
        .fetch_optional(&mut **tx)
        .await?;
        let mut event = park.event.clone();
        if let Some((attributes, body, ..)) = before {
            let known = Event::restore(&attributes, Bytes::from(body))
                .map_err(|error| StoreError::corrupt("parked row", error))?;
            let (one, other) = (known.id, event.id);
            event = newest(known, event);
            if one != other {
                let gave_way = if event.id == one { other } else { one };
                self.supersede(tx, &gave_way.to_string()).await?;
            }
        }
        sqlx::query(
            "insert into parked (connection, source, kind, object_id, generation, event_id, attributes, body, version, account, class, cause, cause_key, reason, attempts, first_parked_at, due_at)
             values ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             on conflict (connection, source, kind, object_id) do update set generation = parked.generation + 1, event_id = excluded.event_id,
               attributes = excluded.attributes, body = excluded.body, version = excluded.version, account = excluded.account, class = excluded.class,
               cause = excluded.cause, cause_key = excluded.cause_key, reason = excluded.reason, attempts = excluded.attempts, due_at = excluded.due_at",
        )
        .bind(&key.connection)
        .bind(key.source.as_str())
        .bind(key.kind.as_str())
        .bind(&key.object_id)
        .bind(event.id.to_string())
        .bind(event.attributes())
        .bind(event.body.to_vec())
        .bind(event.version)
        .bind(park.account)
        .bind(park.class)
        .bind(park.cause.as_str())
        .bind(park.cause_key)
        .bind(park.reason)
        .bind(i64::from(event.attempts))
        .bind(event.parked_since.unwrap_or_else(|| self.clock.now()))
        .bind(park.due_at)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The row of an object.
    pub async fn parked(&self, key: &ObjectKey) -> Result<Option<ParkedRow>, StoreError> {
        Ok(sqlx::query_as(
            "select event_id, connection, source, kind, object_id, generation, cause, cause_key, reason, attempts, first_parked_at, due_at
             from parked where connection = $1 and source = $2 and kind = $3 and object_id = $4",
        )
        .bind(&key.connection)
        .bind(key.source.as_str())
        .bind(key.kind.as_str())
        .bind(&key.object_id)
        .fetch_optional(&self.read)
        .await?)
    }

    /// Deletes the row of an object that is settled: this event's own, or one whose state is not newer than `version`.
    pub async fn unpark(&self, tx: &mut Tx, event: &Event, version: Option<Millis>) -> Result<(), StoreError> {
        self.serialise_object(tx, &event.key).await?;
        let id = event.id.to_string();
        let gone: Option<(String,)> = sqlx::query_as(
            "delete from parked where connection = $1 and source = $2 and kind = $3 and object_id = $4
               and (event_id = $5 or version <= $6) returning event_id",
        )
        .bind(&event.key.connection)
        .bind(event.key.source.as_str())
        .bind(event.key.kind.as_str())
        .bind(&event.key.object_id)
        .bind(&id)
        .bind(version)
        .fetch_optional(&mut **tx)
        .await?;
        match gone {
            Some((older,)) if older != id => self.supersede(tx, &older).await,
            _ => Ok(()),
        }
    }

    /// Notes in the ledger that a parked event gave way to another of its object.
    async fn supersede(&self, tx: &mut Tx, event_id: &str) -> Result<(), StoreError> {
        sqlx::query("update ledger set outcome = 'skipped', code = 'superseded', reason = $2, settled_at = $3 where event_id = $1 and outcome = 'parked'")
            .bind(event_id)
            .bind("another state of the same object took its place")
            .bind(self.clock.now())
            .execute(&mut **tx)
            .await?;
        // Where it was a replayed letter, it will have no end of its own.
        sqlx::query("update dead_letters set state = 'superseded' where event_id = $1 and state = 'replayed'")
            .bind(event_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Where rows are due: account, connection and kind of each.
    pub async fn due_accounts(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        Ok(sqlx::query_as("select distinct account, connection, kind from parked where due_at <= $1")
            .bind(self.clock.now())
            .fetch_all(&self.read)
            .await?)
    }

    /// Due rows of an account, of these kinds: orders first, then by age.
    pub async fn due(
        &self,
        account: &str,
        kinds: &[Kind],
        class_from: i64,
        class_to: i64,
        limit: i64,
    ) -> Result<Vec<Due>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(
            "select attributes, body, generation, account, class, cause, attempts, first_parked_at from parked where account = ",
        );
        sql.push_bind(account.to_owned()).push(" and due_at <= ").push_bind(self.clock.now());
        sql.push(" and class >= ").push_bind(class_from).push(" and class <= ").push_bind(class_to);
        sql.push(" and kind in (");
        let mut list = sql.separated(", ");
        for kind in kinds {
            list.push_bind(kind.as_str());
        }
        sql.push(") order by class, first_parked_at limit ").push_bind(limit);
        let rows: Vec<DueRow> = sql.build_query_as().fetch_all(&self.read).await?;
        rows.into_iter().map(due).collect()
    }

    /// Deletes a released row, unless it changed since it was read.
    pub async fn released(&self, due: &Due) -> Result<(), StoreError> {
        let key = &due.event.key;
        sqlx::query("delete from parked where connection = $1 and source = $2 and kind = $3 and object_id = $4 and generation = $5")
            .bind(&key.connection)
            .bind(key.source.as_str())
            .bind(key.kind.as_str())
            .bind(&key.object_id)
            .bind(due.generation)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Makes the rows due that wait for a cause which is gone. Returns how many.
    pub async fn bring_forward(&self, connection: &str, cause_key: &str) -> Result<u64, StoreError> {
        let done = sqlx::query("update parked set due_at = $3, generation = generation + 1 where connection = $1 and cause_key = $2 and due_at > $3")
            .bind(connection)
            .bind(cause_key)
            .bind(self.clock.now())
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected())
    }

    /// [`Store::bring_forward`] for many causes at once.
    pub async fn bring_forward_all(&self, connection: &str, cause_keys: &[String]) -> Result<u64, StoreError> {
        let mut woken = 0;
        let waits: Option<(i64,)> =
            sqlx::query_as("select 1 from parked where connection = $1 and cause_key is not null limit 1")
                .bind(connection)
                .fetch_optional(&self.read)
                .await?;
        if waits.is_none() {
            return Ok(0);
        }
        for keys in cause_keys.chunks(400) {
            let now = self.clock.now();
            let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("update parked set due_at = ");
            sql.push_bind(now).push(", generation = generation + 1 where connection = ").push_bind(connection);
            sql.push(" and due_at > ").push_bind(now).push(" and cause_key in (");
            let mut list = sql.separated(", ");
            for key in keys {
                list.push_bind(key.as_str());
            }
            sql.push(")");
            woken += sql.build().execute(&self.write).await?.rows_affected();
        }
        Ok(woken)
    }

    /// What the rows of a connection wait for of which it is not known what they mean.
    pub async fn ambiguous_causes(&self, connection: &str) -> Result<Vec<String>, StoreError> {
        // Found by their cause, for they are few, while a connection may have any number of rows.
        let keys: Vec<(String,)> = sqlx::query_as(
            "select distinct cause_key from parked where cause = 'ambiguous' and connection || '' = $1 and cause_key is not null",
        )
        .bind(connection)
        .fetch_all(&self.read)
        .await?;
        Ok(keys.into_iter().map(|(key,)| key).collect())
    }

    /// Makes rows due now: all of a connection, those of a cause, or one object's. Returns how many.
    pub async fn release_now(
        &self,
        connection: Option<&str>,
        cause: Option<&str>,
        object_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("update parked set generation = generation + 1, due_at = ");
        sql.push_bind(self.clock.now()).push(" where 1 = 1");
        for (column, value) in [("connection", connection), ("cause", cause), ("object_id", object_id)] {
            if let Some(value) = value {
                sql.push(format!(" and {column} = ")).push_bind(value.to_owned());
            }
        }
        Ok(sql.build().execute(&self.write).await?.rows_affected())
    }

    /// Lists parked rows, the longest waiting first.
    pub async fn list_parked(
        &self,
        connection: Option<&str>,
        cause: Option<&str>,
        search: Option<&str>,
        limit: i64,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        let own = |text: Option<&str>| text.map(ToOwned::to_owned);
        self.find_parked(&ParkedFilter {
            connection: own(connection),
            cause: own(cause),
            search: own(search),
            since: None,
            limit,
        })
        .await
    }

    /// Lists the parked rows of a filter, the longest waiting first.
    pub async fn find_parked(&self, filter: &ParkedFilter) -> Result<Vec<ParkedRow>, StoreError> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new(
            "select event_id, connection, source, kind, object_id, generation, cause, cause_key, reason, attempts, first_parked_at, due_at from parked where 1 = 1",
        );
        for (column, value) in [("connection", &filter.connection), ("cause", &filter.cause)] {
            if let Some(value) = value {
                sql.push(format!(" and {column} = ")).push_bind(value.clone());
            }
        }
        if let Some(since) = filter.since {
            sql.push(" and first_parked_at >= ").push_bind(since);
        }
        if let Some(search) = &filter.search {
            // Each by its own index: joined with `or`, PostgreSQL would read the whole table.
            sql.push(" and event_id in (select event_id from parked where object_id = ").push_bind(search.clone());
            sql.push(" union select event_id from parked where event_id >= ").push_bind(search.clone());
            sql.push(" and event_id < ").push_bind(format!("{search}g"));
            for code in order_codes(search) {
                sql.push(" union select event_id from ledger where reference = ").push_bind(code);
            }
            sql.push(")");
        }
        sql.push(" order by first_parked_at limit ").push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// How many rows wait for which cause, and since when the oldest does.
    pub async fn parked_counts(&self) -> Result<Vec<(String, i64, Millis)>, StoreError> {
        Ok(sqlx::query_as("select cause, count(*), min(first_parked_at) from parked group by cause")
            .fetch_all(&self.read)
            .await?)
    }
}

fn due(row: DueRow) -> Result<Due, StoreError> {
    let mut event = Event::restore(&row.attributes, Bytes::from(row.body))
        .map_err(|error| StoreError::corrupt("parked row", error))?;
    event.attempts = u32::try_from(row.attempts).unwrap_or(u32::MAX);
    event.parked_since = Some(row.first_parked_at);
    // What waited for its turn, or for the outcome of a call, is as young as the row: newer states join it. Where a
    // cause had to go first, the object is read anew.
    if !matches!(Cause::from_word(&row.cause), Some(Cause::Throttled | Cause::IntentPending)) {
        event.read |= event.shape == Shape::Whole;
    }
    Ok(Due { event, generation: row.generation, account: row.account, class: row.class })
}

/// The newer of two states of one object. Where they cannot be ordered the later arrival stays, to be read anew;
/// a deletion is kept as a tombstone until a read says otherwise. What was asked for by hand stays asked for.
fn newest(known: Event, mut arriving: Event) -> Event {
    arriving.parked_since = known.parked_since.or(arriving.parked_since);
    if known.id == arriving.id {
        arriving.force |= known.force;
        return arriving;
    }
    if let Some(body) = arriving.asked_with(&known) {
        arriving.body = body;
        return arriving;
    }
    let by_hand = known.is_by_hand() || arriving.is_by_hand();
    arriving.force |= known.force;
    let mut newest = newer(known, arriving);
    if by_hand {
        newest.take_on_wish();
    }
    newest
}

fn newer(known: Event, mut arriving: Event) -> Event {
    if known.shape == Shape::Gone || arriving.shape == Shape::Gone {
        let mut gone = if arriving.shape == Shape::Gone { arriving } else { known };
        gone.read = true;
        return gone;
    }
    match (known.version, arriving.version) {
        // A state that had to be read may have stood for a newer one than either: then a read is still needed.
        (Some(old), Some(new)) if new > old && !arriving.must_be_read() => {
            arriving.read |= known.must_be_read();
            arriving
        }
        (Some(old), Some(new)) if new < old && !known.must_be_read() && !arriving.must_be_read() => {
            Event { parked_since: arriving.parked_since, force: arriving.force, ..known }
        }
        _ => {
            arriving.read = true;
            arriving
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{BY_HAND, System};

    fn event(version: Option<Millis>, shape: Shape) -> Event {
        let key =
            ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Product, object_id: "1".into() };
        let mut event = Event::new(key, "s", "products/update", shape, 0, Bytes::new());
        event.version = version;
        event
    }

    #[test]
    fn the_newest_whole_state_wins_and_ties_are_read() {
        let (old, new) = (event(Some(1), Shape::Whole), event(Some(2), Shape::Whole));
        assert_eq!(newest(old.clone(), new.clone()).id, new.id);
        assert_eq!(newest(new.clone(), old.clone()).id, new.id);
        assert!(!newest(new.clone(), old.clone()).read);
        assert!(newest(new.clone(), event(Some(2), Shape::Whole)).read);
        let unsure = newest(new.clone(), event(None, Shape::Partial));
        let unsure = newest(unsure, event(Some(1), Shape::Whole));
        assert!(newest(unsure, event(Some(2), Shape::Whole)).read);
        assert!(newest(new.clone(), event(None, Shape::Partial)).read);
        assert_eq!(newest(event(Some(1), Shape::Gone), new).shape, Shape::Gone);
    }

    #[test]
    fn a_wish_made_by_hand_outlives_what_joins_it() {
        let mut wish = event(None, Shape::Id);
        wish.force = true;
        BY_HAND.clone_into(&mut wish.topic);
        let told = event(Some(1), Shape::Whole);
        for joined in [newest(wish.clone(), told.clone()), newest(told.clone(), wish.clone())] {
            assert!(joined.is_by_hand() && joined.must_be_read(), "{joined:?}");
        }
        assert!(!newest(wish.clone(), wish.clone()).read, "parked again, it asks for no more than before");
        let of = |body: &'static [u8]| {
            let mut of = event(None, Shape::Id);
            (of.force, of.topic, of.body) = (true, BY_HAND.to_owned(), Bytes::from_static(body));
            of
        };
        let joined = newest(of(br#"{"variants":["11"]}"#), of(br#"{"variants":["12"]}"#));
        assert_eq!(joined.asked_variants(), ["11", "12"], "the variants of both, and no others");
        assert!(newest(of(br#"{"variants":["11"]}"#), wish).asked_variants().is_empty(), "all of them");
        let forced = Event { force: true, ..told.clone() };
        assert!(!newest(forced, told).is_by_hand());
    }
}
