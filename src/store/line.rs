//! The way to the database: every statement waits for a connection, runs to its very end, and is given up when no
//! answer comes.
//!
//! - A cut network leaves a statement without an answer for as long as the kernel retries, many minutes: so each has
//!   a patience of its own, and the connection is not used again.
//! - The driver hands out the first row of a writing statement before the server has committed it: so every statement
//!   is read to its end before its result is believed.
//! - The query builder writes placeholders that `PostgreSQL` does not know: they are numbered.
//! - A backlog of one kind of work fills every connection: so some are kept free of what said that it can wait.
//! - `PostgreSQL` keeps no NUL in a text; what others send may hold one. It is replaced, on both engines alike.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo, AnyTypeInfoKind, AnyValue};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, Arguments as _, AssertSqlSafe, Describe, Either, Error, Execute, Executor,
    SqlSafeStr as _, SqlStr, Value as _,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a connection may take on its way back to the pool.
const BACK_WITHIN: Duration = Duration::from_secs(5);

type Step = Either<AnyQueryResult, AnyRow>;

tokio::task_local! {
    /// Set where the work at hand lets other work go first.
    static CAN_WAIT: ();
}

/// Does work that lets other work have the database first: however much of it there is, it never takes every connection.
pub async fn letting_others_first<T>(work: impl Future<Output = T>) -> T {
    CAN_WAIT.scope((), work).await
}

/// A pool of connections with a patience.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pool: AnyPool,
    patience: Duration,
    /// The places of what can wait.
    places: Arc<Semaphore>,
}

impl Line {
    /// Half of the connections are not for what can wait; where there is only one, it has that for one statement or
    /// transaction at a time, and all others come before its next.
    pub(super) fn new(pool: AnyPool, patience: Duration) -> Self {
        let all = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        let places = Arc::new(Semaphore::new((all / 2).max(1)));
        Self { pool, patience, places }
    }

    pub(super) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    pub(super) async fn begin(&self, statement: &'static str) -> Result<Tx, Error> {
        let mut lent = self.lend().await?;
        // Before it is begun: nobody knows where this future is dropped.
        lent.in_transaction = true;
        within(self.patience, lent.connection()?.execute(statement)).await?;
        Ok(Tx(Held { lent, patience: self.patience, failed: false }))
    }

    /// The pool has a time-out of its own for this.
    async fn lend(&self) -> Result<Lent, Error> {
        let place = match CAN_WAIT.try_with(|()| ()) {
            Ok(()) => Some(Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::PoolClosed)?),
            Err(_) => None,
        };
        Ok(Lent { connection: Some(self.pool.acquire().await?), in_transaction: false, place })
    }
}

impl<'p> Executor<'p> for &'p Line {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let all = async move {
            let mut lent = self.lend().await?;
            within(self.patience, run(lent.connection()?, query)).await
        };
        steps(all)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(first_row(self.fetch_many(query)))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}

/// A short writing transaction; rolled back where it is dropped without a commit.
#[derive(Debug)]
pub struct Tx(Held);

impl Tx {
    /// Makes everything of it durable. After an error it is not known whether it is.
    pub async fn commit(self) -> Result<(), Error> {
        let Held { mut lent, patience, failed } = self.0;
        if failed {
            // PostgreSQL answers such a commit with a rollback, and calls that a success.
            return Err(Error::Protocol("a statement of the transaction failed, so nothing of it is kept".into()));
        }
        within(patience, lent.connection()?.execute("commit")).await?;
        lent.in_transaction = false;
        Ok(())
    }

    /// Takes everything of it back.
    pub async fn rollback(self) -> Result<(), Error> {
        let Held { mut lent, patience, .. } = self.0;
        within(patience, lent.connection()?.execute("rollback")).await?;
        lent.in_transaction = false;
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Held {
        &mut self.0
    }
}

/// The connection that a transaction runs on.
#[derive(Debug)]
pub struct Held {
    lent: Lent,
    patience: Duration,
    failed: bool,
}

impl<'c> Executor<'c> for &'c mut Held {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let all = async move {
            // Stays so where this future is dropped on its way: nobody knows then what the server did.
            self.failed = true;
            let steps = within(self.patience, run(self.lent.connection()?, query)).await?;
            self.failed = false;
            Ok(steps)
        };
        steps(all)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(first_row(self.fetch_many(query)))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.lent.connection()?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.lent.connection()?.describe(sql).await })
    }
}

/// A connection on loan: it goes back to its pool, rolled back where it must be, once it has shown that it is alive.
/// The pool's own way back waits for that for ever, and keeps the place of a connection that the network took away.
#[derive(Debug)]
struct Lent {
    connection: Option<PoolConnection<Any>>,
    in_transaction: bool,
    /// Kept until the connection is back.
    place: Option<OwnedSemaphorePermit>,
}

impl Lent {
    fn connection(&mut self) -> Result<&mut AnyConnection, Error> {
        self.connection.as_deref_mut().ok_or(Error::PoolClosed)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) else { return };
        let in_transaction = self.in_transaction;
        let place = self.place.take();
        runtime.spawn(async move {
            let _until_it_is_back = place;
            let back = async {
                if in_transaction {
                    connection.execute("rollback").await?;
                }
                connection.return_to_pool().await;
                Ok(())
            };
            if within(BACK_WITHIN, back).await.is_err() {
                connection.close_on_drop();
            }
        });
    }
}

/// Gives up what takes longer than the patience.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        let why = format!("no answer within {patience:?}");
        Err(Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
    })
}

/// Runs a statement to its end: on `PostgreSQL`, to the word that it is committed where it is one by itself.
async fn run<'q>(connection: &mut AnyConnection, mut query: impl Execute<'q, Any> + 'q) -> Result<Vec<Step>, Error> {
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    let persistent = query.persistent();
    let sql = numbered(query.sql());
    tracing::trace!(target: "sapo_sync::sql", sql = sql.as_str(), "statement");
    match arguments {
        Some(arguments) => {
            let query = sqlx::query_with(sql, without_nul(arguments)?).persistent(persistent);
            connection.fetch_many(query).try_collect().await
        }
        None => connection.fetch_many(sql).try_collect().await,
    }
}

/// The library's query builder writes `?` for this driver, which only `SQLite` knows; a number is known to both.
fn numbered(sql: SqlStr) -> SqlStr {
    if !sql.as_str().contains('?') {
        return sql;
    }
    let (mut out, mut quoted, mut number) = (String::with_capacity(sql.as_str().len() + 16), false, 0);
    for character in sql.as_str().chars() {
        quoted ^= character == '\'';
        if character == '?' && !quoted {
            number += 1;
            out.push('$');
            out.push_str(&number.to_string());
        } else {
            out.push(character);
        }
    }
    AssertSqlSafe(out).into_sql_str()
}

fn without_nul(mut arguments: AnyArguments) -> Result<AnyArguments, Error> {
    for value in &mut arguments.values.0 {
        let read = AnyValue { kind: value.clone() };
        if read.type_info().kind() != AnyTypeInfoKind::Text {
            continue;
        }
        let text: &str = read.try_decode_unchecked().unwrap_or_default();
        if text.contains('\0') {
            let mut other = AnyArguments::default();
            other.add(text.replace('\0', "\u{fffd}")).map_err(Error::Encode)?;
            other.values.0.into_iter().for_each(|clean| *value = clean);
        }
    }
    Ok(arguments)
}

fn steps<'e>(all: impl Future<Output = Result<Vec<Step>, Error>> + Send + 'e) -> BoxStream<'e, Result<Step, Error>> {
    stream::once(all).map_ok(|steps| stream::iter(steps).map(Ok)).try_flatten().boxed()
}

async fn first_row(mut steps: BoxStream<'_, Result<Step, Error>>) -> Result<Option<AnyRow>, Error> {
    let mut first = None;
    while let Some(step) = steps.try_next().await? {
        if let (Either::Right(row), None) = (step, &first) {
            first = Some(row);
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_and_texts_left_alone() {
        let numbered = |sql: &'static str| numbered(sql.into_sql_str()).as_str().to_owned();
        assert_eq!(numbered("a = ? and b = '?''?' and c in (?, ?)"), "a = $1 and b = '?''?' and c in ($2, $3)");
        assert_eq!(numbered("a = $1"), "a = $1");
    }
}
