//! What every walk shares: a stored position, a lease, a report, calls that wait in line, and no more events on their
//! way than can be worked on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::BrokerError;
use crate::destination::page::Next;
use crate::destination::{CallError, ClientError, Item, Page};
use crate::domain::clock::{Millis, millis, until};
use crate::domain::connection::Connection;
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::store::StoreError;
use crate::store::connections::ConnectionAccount;
use crate::store::jobs::{Job, JobRow};
use crate::sync::compare::{Action, Finding};
use crate::work::context::{Context, Halt, Run};

/// How long a job is held before somebody else may take it over; renewed at every page.
pub const LEASE: Duration = Duration::from_mins(1);
/// How often a walk that waits for an API renews its lease, and sees that somebody wants it stopped.
const HOLD: Duration = Duration::from_secs(2);
/// Events of one job that are on their way at once.
const AHEAD: i64 = 400;
/// Clocks differ; a window of changes is so much wider.
const MARGIN: Duration = Duration::from_mins(15);

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// First full sync: everything that is not equal is worked on.
    Import,
    /// Periodic repair: what webhooks missed is worked on.
    Reconcile,
    /// Nothing is worked on: the findings are the report.
    Plan,
}

impl Mode {
    /// Reads a job's kind.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "import" => Some(Self::Import),
            "reconcile" => Some(Self::Reconcile),
            "plan" => Some(Self::Plan),
            _ => None,
        }
    }

    fn topic(self) -> &'static str {
        if self == Self::Import { "import" } else { "reconcile" }
    }
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The state database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// An API.
    #[error("{0}")]
    Call(#[from] CallError),
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The connection lacks something.
    #[error("{0}")]
    Setup(String),
    /// Somebody wants it stopped, or took it over.
    #[error("stopped; it goes on where it was when it is started again")]
    Stopped,
}

impl From<Halt> for WalkError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Call(error) => error.into(),
            Halt::Store(error) => error.into(),
            Halt::Outcome(outcome) => Self::Setup(outcome.reason().to_owned()),
        }
    }
}

/// Where a walk is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Which of the walk's stages.
    pub stage: usize,
    /// The next page of it, from 1; 0 before the first.
    pub page: u32,
    /// Where a stage goes by ids: the last one of the page before.
    pub after: String,
    /// Objects that the stage has met so far, where it counts them.
    pub met: u64,
    /// Events made.
    pub published: i64,
    /// Report rows written.
    pub rows: i64,
    /// A list gave fewer objects than it was said to have: nothing is taken for deleted.
    pub incomplete: bool,
}

/// What was found so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// The stage at work.
    pub stage: String,
    /// Rows of the present stage, where the API tells it.
    pub total: Option<u64>,
    /// Objects looked at, by kind.
    pub checked: BTreeMap<String, u64>,
    /// Findings, by kind and action: `product.create`.
    pub actions: BTreeMap<String, u64>,
    /// Events made.
    pub published: i64,
}

/// A walk's job, with where it is and what it has found.
pub struct Pace<'a> {
    pub(in crate::sync) context: &'a Context,
    pub(in crate::sync) job: &'a Job,
    pub(in crate::sync) mode: Mode,
    pub(in crate::sync) run: Run<'a>,
    pub(in crate::sync) position: Position,
    pub(in crate::sync) found: Found,
    pub(in crate::sync) since: Option<Millis>,
    rows: Vec<JobRow>,
    stop: CancellationToken,
}

/// The event that a walk's own calls are made for.
pub fn walk_event(connection: &Connection, job: &str, now: Millis) -> Event {
    let key = ObjectKey {
        connection: connection.name.clone(),
        source: System::Omni,
        kind: Kind::Product,
        object_id: String::new(),
    };
    let mut event = Event::new(key, connection.store.clone(), "walk", Shape::Id, now, Bytes::new());
    event.job = Some(job.to_owned());
    event
}

impl<'a> Pace<'a> {
    /// Takes a job up where it was.
    pub fn new(
        context: &'a Context,
        job: &'a Job,
        mode: Mode,
        event: &'a Event,
        account: Arc<ConnectionAccount>,
        stop: CancellationToken,
        since: Option<Millis>,
    ) -> Result<Self, WalkError> {
        let held = context.snapshot.get().ok_or_else(|| WalkError::Setup("no connections are known yet".to_owned()))?;
        let store = held
            .0
            .stores
            .get(&account.connection.store)
            .ok_or_else(|| WalkError::Setup(format!("store {} is not connected", account.connection.store)))?;
        let run = Run::new(context, event, store, account, mode == Mode::Plan)?;
        let position = serde_json::from_str(&job.position).unwrap_or_default();
        let found = serde_json::from_str(&job.found).unwrap_or_default();
        Ok(Self { context, job, mode, run, position, found, since, rows: Vec::new(), stop })
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        self.run.connection()
    }

    /// Goes on to the next stage.
    pub(in crate::sync) async fn next_stage(&mut self) -> Result<(), WalkError> {
        self.position = Position {
            stage: self.position.stage + 1,
            published: self.position.published,
            rows: self.position.rows,
            incomplete: self.position.incomplete,
            ..Position::default()
        };
        self.keep().await
    }

    /// The readable rows of a page; the others become rows of the report and never block their neighbours.
    pub(in crate::sync) fn readable<T>(&mut self, kind: &'static str, page: Page<T>) -> Vec<Item<T>> {
        self.found.total = page.total;
        let mut readable = Vec::with_capacity(page.items.len());
        for item in page.items {
            match item {
                Ok(item) => readable.push(item),
                Err(bad) => self.note(
                    kind,
                    &Finding::new(Action::Error, kind, bad.id.unwrap_or_default(), "unreadable", bad.reason),
                ),
            }
        }
        readable
    }

    /// Whether a page was the one before once more, so that its list ends here; told where more may have come after it.
    pub(in crate::sync) fn repeats(&mut self, next: Next, kind: &'static str) -> bool {
        if next == (Next::Repeated { full: true }) {
            let reason =
                "the API gives the same page again and again, as if it did not know `page`; the rest is not read";
            tracing::warn!(connection = %self.connection().name, kind, "a list repeats one page; the rest is not read");
            self.report(kind, &Finding::new(Action::Skip, kind, "", "incomplete", reason));
        }
        matches!(next, Next::Repeated { .. })
    }

    /// Counts a finding, and adds it to the report where it is more than "equal".
    pub(in crate::sync) fn note(&mut self, kind: &str, finding: &Finding) {
        *self.found.checked.entry(kind.to_owned()).or_default() += 1;
        self.report(kind, finding);
    }

    /// The same for a finding about an object that is counted already.
    pub(in crate::sync) fn report(&mut self, kind: &str, finding: &Finding) {
        *self.found.actions.entry(format!("{kind}.{}", finding.action.as_str())).or_default() += 1;
        if finding.action != Action::Equal {
            self.rows.push(finding.row());
        }
    }

    /// Makes an event of the job, unless it is a plan.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::sync) async fn publish(
        &mut self,
        source: System,
        kind: Kind,
        id: &str,
        version: Option<Millis>,
        reference: Option<String>,
        force: bool,
        raw: Bytes,
    ) -> Result<(), WalkError> {
        if self.mode == Mode::Plan {
            return Ok(());
        }
        let key = ObjectKey { connection: self.connection().name.clone(), source, kind, object_id: id.to_owned() };
        let whole = raw.len() > 2;
        let shape = if whole { Shape::Whole } else { Shape::Id };
        let mut event =
            Event::new(key, self.connection().store.clone(), self.mode.topic(), shape, self.context.clock.now(), raw);
        event.version = version;
        event.reference = reference;
        event.job = Some(self.job.id.clone());
        event.force = force || self.mode == Mode::Import;
        // Without a version a state cannot be ordered; it was read just now, but a newer one may be on its way.
        event.read = version.is_none();
        self.context.broker.publish(&event).await?;
        self.position.published += 1;
        self.found.published = self.position.published;
        Ok(())
    }

    /// Stores position, findings and rows, renews the lease, and waits while too much is on its way.
    pub(in crate::sync) async fn keep(&mut self) -> Result<(), WalkError> {
        self.keep_ahead(AHEAD).await
    }

    /// The same, and waits until all events so far have an outcome.
    pub(in crate::sync) async fn keep_settled(&mut self) -> Result<(), WalkError> {
        self.keep_ahead(1).await
    }

    async fn keep_ahead(&mut self, ahead: i64) -> Result<(), WalkError> {
        loop {
            let store = &self.context.store;
            store.add_job_rows(&self.job.id, self.position.rows + 1, &self.rows).await?;
            self.position.rows += i64::try_from(self.rows.len()).unwrap_or(0);
            self.rows.clear();
            let position = serde_json::to_string(&self.position).unwrap_or_default();
            let found = serde_json::to_string(&self.found).unwrap_or_default();
            // Stored first: what this page has made is not to be made again by whoever goes on.
            let kept = store.keep_job(&self.job.id, &self.context.owner, LEASE, &position, &found).await?;
            if !kept || self.stop.is_cancelled() {
                return Err(WalkError::Stopped);
            }
            let settled: i64 = store.job_outcomes(&self.job.id).await?.iter().map(|row| row.1).sum();
            if self.position.published - settled < ahead {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Makes a reading call; one that is throttled waits in line like everything else of the shop.
    pub(in crate::sync) async fn calling<'s, T>(
        &'s self,
        call: impl Fn() -> BoxFuture<'s, Result<T, CallError>>,
    ) -> Result<T, WalkError> {
        let mut failures = 0;
        let mut held = Instant::now();
        loop {
            let wait = match call().await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Throttled { until: moment }) => until(self.context.clock.now(), moment),
                Err(CallError::Failing { .. }) if failures < self.context.schedule.len() => {
                    failures += 1;
                    self.context.schedule[failures - 1].min(Duration::from_secs(30))
                }
                Err(error) => return Err(error.into()),
            };
            let mut left = wait.clamp(Duration::from_millis(50), LEASE / 3);
            while !left.is_zero() {
                let turn = left.min(HOLD);
                if self.stop.run_until_cancelled(tokio::time::sleep(turn)).await.is_none() {
                    return Err(WalkError::Stopped);
                }
                left -= turn;
                if held.elapsed() >= HOLD {
                    if !self.context.store.hold_job(&self.job.id, &self.context.owner, LEASE).await? {
                        return Err(WalkError::Stopped);
                    }
                    held = Instant::now();
                }
            }
        }
    }
}

/// The moment since which a reconcile looks at changes: a little before the last one began; everything at the first.
pub fn since(mode: Mode, last: Option<&Job>) -> Option<Millis> {
    match (mode, last) {
        (Mode::Reconcile, Some(job)) => Some(job.created_at - millis(MARGIN)),
        _ => None,
    }
}
