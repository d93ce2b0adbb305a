//! The embedded broker: a queue file of its own (`SQLite`, WAL, synchronous FULL), one writer, group commit.
//!
//! Every publish waits for the commit that holds its row, and one commit (one fsync) serves all that wait. Rows are
//! read by a second connection, so that reading never waits for the writer.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Broker, BrokerError, Consumer, Delivery, Depth, Share};
use crate::domain::event::Event;

/// What is an order, or concerns the shop itself. Index and query must say it alike.
macro_rules! is_order {
    () => {
        "json_extract(attributes, '$.key.kind') in ('order', 'shop')"
    };
}

const SCHEMA: &str = concat!(
    "
create table if not exists queue (seq integer primary key autoincrement, attributes text not null, body blob not null, taken integer not null default 0);
create table if not exists dead (seq integer primary key autoincrement, attributes text not null, body blob not null, taken integer not null default 0);
create index if not exists queue_orders on queue (seq) where ",
    is_order!(),
    ";"
);
/// Rows that are taken again, orders, others, dead letters.
const AGAIN: [&str; 2] = [
    "select seq, attributes, body, taken from queue where seq in (select value from json_each($1)) order by seq",
    "select seq, attributes, body, taken from dead where seq in (select value from json_each($1)) order by seq",
];
const ORDERS: &str = concat!(
    "select seq, attributes, body, taken from queue where ",
    is_order!(),
    " and seq > $1 order by seq limit $2"
);
const OTHERS: &str = concat!(
    "select seq, attributes, body, taken from queue where not (",
    is_order!(),
    ") and seq > $1 order by seq limit $2"
);
const DEAD: &str = "select seq, attributes, body, taken from dead where seq > $1 order by seq limit $2";
/// After so many orders without another event, the others have their turn: they keep a tenth.
const ORDERS_IN_A_ROW: usize = 9;
/// A group commit holds at most so many rows; beyond it latency grows and throughput does not.
const GROUP: usize = 256;
/// How long consumers wait while the file cannot be written.
const NO_ROOM: Duration = Duration::from_secs(1);
/// Rows of one statement; a group is cut into these, so that few texts are prepared and kept.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// What happens to the queue file.
#[derive(Debug, Default)]
struct Counters {
    events: AtomicI64,
    dead: AtomicI64,
    commits: AtomicI64,
    /// Rows before the consumers' positions that are to be delivered again: of the queue, of the dead.
    returned: [Mutex<VecDeque<i64>>; 2],
}

impl Counters {
    fn returned(&self, table: Table) -> MutexGuard<'_, VecDeque<i64>> {
        self.returned[table as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The embedded broker.
#[derive(Clone)]
pub struct Embedded {
    operations: mpsc::Sender<Operation>,
    committed: watch::Receiver<u64>,
    counters: Arc<Counters>,
    file: PathBuf,
    durability: (String, i64),
    queue: Arc<tokio::sync::Mutex<Cursor>>,
    dead: Arc<tokio::sync::Mutex<Cursor>>,
    writer: Arc<tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

/// Where the consumers of one table are: among the orders, and among the others.
#[derive(Default)]
struct Cursor {
    positions: [i64; 2],
    orders_in_a_row: usize,
    reader: Option<SqliteConnection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Queue,
    Dead,
}

type Answer = oneshot::Sender<Result<(), BrokerError>>;

enum Operation {
    Publish { attributes: String, body: Bytes, answer: Answer },
    Taken { table: Table, rows: Vec<i64>, answer: Answer },
    Delete { table: Table, seq: i64, answer: Answer },
    Reject { seq: i64, answer: Answer },
    Return { table: Table, seq: i64, answer: Answer },
    Probe { answer: Answer },
    Close { answer: Answer },
}

impl Operation {
    fn answer(self, result: &Result<(), BrokerError>) {
        let (Self::Publish { answer, .. }
        | Self::Taken { answer, .. }
        | Self::Delete { answer, .. }
        | Self::Reject { answer, .. }
        | Self::Return { answer, .. }
        | Self::Probe { answer }
        | Self::Close { answer }) = self;
        // Whoever asked may have gone; the row is kept all the same.
        let _gone = answer.send(result.clone());
    }
}

impl Embedded {
    /// Opens the queue file, or makes it.
    pub async fn open(file: &Path) -> Result<Self, BrokerError> {
        let mut writer = connect(file).await?;
        let durability = durability(&mut writer).await.map_err(|error| unusable(file, &error))?;
        if (durability.0.as_str(), durability.1) != DURABLE {
            return Err(BrokerError::Unusable(format!(
                "{}: this file system does not let SQLite write a log ahead (journal mode {:?}); put the data dir on a local disk (SAPO_SYNC__DATA_DIR)",
                file.display(),
                durability.0
            )));
        }
        sqlx::raw_sql(SCHEMA).execute(&mut writer).await.map_err(|error| unusable(file, &error))?;
        let counted: (i64, i64) = sqlx::query_as("select (select count(*) from queue), (select count(*) from dead)")
            .fetch_one(&mut writer)
            .await
            .map_err(|error| unusable(file, &error))?;
        let counters = Arc::new(Counters { events: counted.0.into(), dead: counted.1.into(), ..Counters::default() });
        let (operations, receiver) = mpsc::channel(4096);
        let (committed_tx, committed) = watch::channel(0);
        let task = tokio::spawn(write(writer, receiver, committed_tx, Arc::clone(&counters)));
        Ok(Self {
            operations,
            committed,
            counters,
            file: file.to_owned(),
            durability,
            queue: Arc::default(),
            dead: Arc::default(),
            writer: Arc::new(tokio::sync::Mutex::new(Some(task))),
        })
    }

    /// How many commits (each one fsync) were made since it was opened.
    pub fn commits(&self) -> i64 {
        self.counters.commits.load(Ordering::Relaxed)
    }

    /// The writer's journal mode and its level of `synchronous`, as its own connection told them when it was opened.
    pub fn durability(&self) -> (&str, i64) {
        (&self.durability.0, self.durability.1)
    }

    async fn ask(&self, operation: impl FnOnce(Answer) -> Operation) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.operations.send(operation(answer)).await.map_err(|_| BrokerError::Closed)?;
        answered.await.map_err(|_| BrokerError::Closed)?
    }
}

/// A log written ahead, synced before each commit returns (FULL is 2).
const DURABLE: (&str, i64) = ("wal", 2);

async fn durability(connection: &mut SqliteConnection) -> Result<(String, i64), sqlx::Error> {
    let (journal,): (String,) = sqlx::query_as("pragma journal_mode").fetch_one(&mut *connection).await?;
    let (synchronous,): (i64,) = sqlx::query_as("pragma synchronous").fetch_one(&mut *connection).await?;
    Ok((journal, synchronous))
}

async fn connect(file: &Path) -> Result<SqliteConnection, BrokerError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5));
    SqliteConnection::connect_with(&options).await.map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &sqlx::Error) -> BrokerError {
    BrokerError::Unusable(format!("{}: {error}", file.display()))
}

/// The one writer: takes what waits, writes it in one transaction, commits (fsync), answers.
async fn write(
    mut connection: SqliteConnection,
    mut operations: mpsc::Receiver<Operation>,
    committed: watch::Sender<u64>,
    counters: Arc<Counters>,
) {
    let mut group = Vec::with_capacity(GROUP);
    while operations.recv_many(&mut group, GROUP).await > 0 {
        let closing = group.iter().any(|operation| matches!(operation, Operation::Close { .. }));
        let result = match write_group(&mut connection, &group).await {
            Ok(()) => {
                count(&counters, &group);
                Ok(())
            }
            Err(error) => {
                let _rolled_back = sqlx::query("rollback").execute(&mut connection).await;
                tracing::error!(code = "broker_not_taken", %error, "the queue file could not be written");
                Err(BrokerError::NotTaken(error.to_string()))
            }
        };
        if return_rows(&counters, &group, result.is_ok()) || result.is_ok() {
            committed.send_modify(|n| *n += 1);
        }
        for operation in group.drain(..) {
            operation.answer(&result);
        }
        if closing {
            break;
        }
    }
    let _closed = connection.close().await;
}

/// Lets rows be delivered again that were given back, or whose settling could not be written. Tells whether there are any.
fn return_rows(counters: &Counters, group: &[Operation], written: bool) -> bool {
    let mut any = false;
    for operation in group {
        let (table, seq) = match operation {
            Operation::Return { table, seq, .. } => (*table, *seq),
            Operation::Delete { table, seq, .. } if !written => (*table, *seq),
            Operation::Reject { seq, .. } if !written => (Table::Queue, *seq),
            _ => continue,
        };
        counters.returned(table).push_back(seq);
        any = true;
    }
    any
}

fn count(counters: &Counters, group: &[Operation]) {
    counters.commits.fetch_add(1, Ordering::Relaxed);
    for operation in group {
        match operation {
            Operation::Publish { .. } => counters.events.fetch_add(1, Ordering::Relaxed),
            Operation::Delete { table: Table::Queue, .. } => counters.events.fetch_sub(1, Ordering::Relaxed),
            Operation::Delete { table: Table::Dead, .. } => counters.dead.fetch_sub(1, Ordering::Relaxed),
            Operation::Reject { .. } => {
                counters.events.fetch_sub(1, Ordering::Relaxed);
                counters.dead.fetch_add(1, Ordering::Relaxed)
            }
            Operation::Taken { .. } | Operation::Return { .. } | Operation::Probe { .. } | Operation::Close { .. } => 0,
        };
    }
}

async fn write_group(connection: &mut SqliteConnection, group: &[Operation]) -> Result<(), sqlx::Error> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    let inserts: Vec<(&str, &Bytes)> = group
        .iter()
        .filter_map(|operation| match operation {
            Operation::Publish { attributes, body, .. } => Some((attributes.as_str(), body)),
            _ => None,
        })
        .collect();
    insert(connection, &inserts).await?;
    let mut gone: [Vec<i64>; 2] = Default::default();
    for operation in group {
        match operation {
            Operation::Delete { table: Table::Queue, seq, .. } => gone[0].push(*seq),
            Operation::Delete { table: Table::Dead, seq, .. } => gone[1].push(*seq),
            Operation::Reject { seq, .. } => {
                sqlx::query("insert into dead (attributes, body) select attributes, body from queue where seq = $1")
                    .bind(seq)
                    .execute(&mut *connection)
                    .await?;
                gone[0].push(*seq);
            }
            Operation::Taken { table, rows, .. } => {
                let sql = match table {
                    Table::Queue => "update queue set taken = taken + 1 where seq in (select value from json_each($1))",
                    Table::Dead => "update dead set taken = taken + 1 where seq in (select value from json_each($1))",
                };
                sqlx::query(sql).bind(list(rows)).execute(&mut *connection).await?;
            }
            Operation::Return { table, seq, .. } => {
                // Its taker lives: the taking does not count against it.
                let sql = match table {
                    Table::Queue => "update queue set taken = taken - 1 where seq = $1",
                    Table::Dead => "update dead set taken = taken - 1 where seq = $1",
                };
                sqlx::query(sql).bind(seq).execute(&mut *connection).await?;
            }
            Operation::Probe { .. } => {
                // Writes the file's first page: a disk without room says so.
                sqlx::query("pragma user_version = 1").execute(&mut *connection).await?;
            }
            Operation::Publish { .. } | Operation::Close { .. } => {}
        }
    }
    for (rows, sql) in gone.iter().zip([
        "delete from queue where seq in (select value from json_each($1))",
        "delete from dead where seq in (select value from json_each($1))",
    ]) {
        if !rows.is_empty() {
            sqlx::query(sql).bind(list(rows)).execute(&mut *connection).await?;
        }
    }
    sqlx::query("commit").execute(&mut *connection).await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, mut rows: &[(&str, &Bytes)]) -> Result<(), sqlx::Error> {
    for size in CHUNKS {
        while rows.len() >= size {
            let (chunk, rest) = rows.split_at(size);
            let sql = format!("insert into queue (attributes, body) values {}", vec!["(?, ?)"; size].join(", "));
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for (attributes, body) in chunk {
                query = query.bind(*attributes).bind(body.as_ref());
            }
            query.execute(&mut *connection).await?;
            rows = rest;
        }
    }
    Ok(())
}

fn list(rows: &[i64]) -> String {
    serde_json::to_string(rows).unwrap_or_default()
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, event: &Event) -> Result<(), BrokerError> {
        let (attributes, body) = (event.attributes(), event.body.clone());
        self.ask(|answer| Operation::Publish { attributes, body, answer }).await
    }

    fn partitions(&self) -> Option<u16> {
        None
    }

    async fn consume(&self, _share: Share) -> Result<Box<dyn Consumer>, BrokerError> {
        Ok(Box::new(Reader { broker: self.clone(), table: Table::Queue, committed: self.committed.clone() }))
    }

    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError> {
        Ok(Box::new(Reader { broker: self.clone(), table: Table::Dead, committed: self.committed.clone() }))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth {
            events: self.counters.events.load(Ordering::Relaxed),
            dead: self.counters.dead.load(Ordering::Relaxed),
        })
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.ask(|answer| Operation::Probe { answer }).await
    }

    async fn close(&self) {
        let _closed = self.ask(|answer| Operation::Close { answer }).await;
        if let Some(task) = self.writer.lock().await.take() {
            let _ended = task.await;
        }
        for cursor in [&self.queue, &self.dead] {
            if let Some(reader) = cursor.lock().await.reader.take() {
                let _closed = reader.close().await;
            }
        }
    }
}

struct Reader {
    broker: Embedded,
    table: Table,
    committed: watch::Receiver<u64>,
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self, most: usize) -> Result<Vec<Box<dyn Delivery>>, BrokerError> {
        loop {
            self.committed.borrow_and_update();
            let rows = self.read(most).await?;
            if !rows.is_empty() {
                let (table, ids) = (self.table, rows.iter().map(|row| row.seq).collect());
                match self.broker.ask(|answer| Operation::Taken { table, rows: ids, answer }).await {
                    Ok(()) => return Ok(rows.into_iter().map(|row| Box::new(row) as Box<dyn Delivery>).collect()),
                    // No room to note who takes them: nobody does, until there is.
                    Err(BrokerError::NotTaken(_)) => {
                        self.broker.counters.returned(table).extend(rows.iter().map(|row| row.seq));
                        tokio::time::sleep(NO_ROOM).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            self.committed.changed().await.map_err(|_| BrokerError::Closed)?;
        }
    }
}

impl Reader {
    async fn read(&self, most: usize) -> Result<Vec<Taken>, BrokerError> {
        let file = &self.broker.file;
        let cursor = if self.table == Table::Queue { &self.broker.queue } else { &self.broker.dead };
        let mut cursor = cursor.lock().await;
        let returned: Vec<i64> = {
            let mut returned = self.broker.counters.returned(self.table);
            let n = returned.len().min(most);
            returned.drain(..n).collect()
        };
        let Cursor { positions, orders_in_a_row, reader } = &mut *cursor;
        let reader = match reader {
            Some(reader) => reader,
            empty => empty.insert(connect(file).await?),
        };
        let failed = |error: sqlx::Error| unusable(file, &error);
        let mut rows: Vec<Row> = Vec::new();
        if !returned.is_empty() {
            let again = sqlx::query_as(AGAIN[self.table as usize]).bind(list(&returned));
            rows = again.fetch_all(&mut *reader).await.map_err(failed)?;
        }
        let room = most - rows.len();
        let kept = if *orders_in_a_row < ORDERS_IN_A_ROW { room / 10 } else { room.div_ceil(10) };
        let turns = match self.table {
            Table::Queue => [(0, ORDERS, room - kept), (1, OTHERS, room), (0, ORDERS, room)],
            Table::Dead => [(0, DEAD, room), (0, DEAD, 0), (0, DEAD, 0)],
        };
        for (lane, sql, wanted) in turns {
            let wanted = wanted.min(most - rows.len());
            if wanted == 0 {
                continue;
            }
            let next = sqlx::query_as(sql).bind(positions[lane]).bind(i64::try_from(wanted).unwrap_or(i64::MAX));
            let next: Vec<Row> = next.fetch_all(&mut *reader).await.map_err(failed)?;
            if let Some(last) = next.last() {
                positions[lane] = last.0;
                *orders_in_a_row = if lane == 0 { *orders_in_a_row + next.len() } else { 0 };
            }
            rows.extend(next);
        }
        let mut taken = Vec::with_capacity(rows.len());
        for (seq, attributes, body, times) in rows {
            // Our own writing; a row that cannot be read back would be a damaged file.
            let event = Event::restore(&attributes, Bytes::from(body))
                .map_err(|error| BrokerError::Unusable(format!("row {seq}: {error}")))?;
            taken.push(Taken { event, seq, redelivered: times > 0, table: self.table, broker: self.broker.clone() });
        }
        Ok(taken)
    }
}

/// Number, attributes, body, how often it was taken.
type Row = (i64, String, Vec<u8>, i64);

struct Taken {
    event: Event,
    seq: i64,
    redelivered: bool,
    table: Table,
    broker: Embedded,
}

#[async_trait]
impl Delivery for Taken {
    fn event(&self) -> &Event {
        &self.event
    }

    fn redelivered(&self) -> bool {
        self.redelivered
    }

    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        let (table, seq) = (self.table, self.seq);
        self.broker.ask(|answer| Operation::Delete { table, seq, answer }).await
    }

    async fn reject(self: Box<Self>) -> Result<(), BrokerError> {
        let (table, seq) = (self.table, self.seq);
        match table {
            Table::Queue => self.broker.ask(|answer| Operation::Reject { seq, answer }).await,
            Table::Dead => {
                self.give_back().await;
                Ok(())
            }
        }
    }

    async fn give_back(self: Box<Self>) {
        let (table, seq) = (self.table, self.seq);
        // Where it cannot be written, it comes again all the same, as one whose taker may have died.
        let _written = self.broker.ask(|answer| Operation::Return { table, seq, answer }).await;
    }
}
