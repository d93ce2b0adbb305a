//! The walk over both catalogues that import, reconcile and plan share: page by page, with a stored position.

mod catalogue;
mod customers;
mod orders;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::compare::{Action, Beside, Catalogue, Categories, Finding};
use crate::broker::BrokerError;
use crate::destination::{CallError, ClientError, Item, Page};
use crate::domain::clock::{Millis, millis, until};
use crate::domain::connection::Connection;
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::store::StoreError;
use crate::store::connections::ConnectionAccount;
use crate::store::jobs::{Job, JobRow};
use crate::work::context::{Context, Run};

/// How long a job is held before somebody else may take it over; renewed at every page.
pub const LEASE: Duration = Duration::from_mins(1);
/// Events of one job that are on their way at once.
const AHEAD: i64 = 400;
/// How far back reconcile looks at the channel's orders, which cannot be listed by change.
const ORDERS_BACK: Duration = Duration::from_hours(720);
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

/// Where a walk is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    /// Which of [`STAGES`].
    pub stage: usize,
    /// The next page of it, from 1; 0 before the first.
    pub page: u32,
    /// Events made.
    pub published: i64,
    /// Report rows written.
    pub rows: i64,
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

/// The stages in their order.
pub const STAGES: [&str; 6] = ["categories", "catalogue", "products", "customers", "channel orders", "Sapo orders"];

/// Where the products stand in [`STAGES`].
const PRODUCTS: usize = 2;
/// Where the channel's orders stand in [`STAGES`].
const CHANNEL_ORDERS: usize = 4;

/// One walk.
pub struct Walk<'a> {
    context: &'a Context,
    job: &'a Job,
    mode: Mode,
    run: Run<'a>,
    position: Position,
    found: Found,
    rows: Vec<JobRow>,
    stop: CancellationToken,
    since: Option<Millis>,
    catalogue: Catalogue,
    categories: Categories,
    beside: HashMap<String, Beside>,
    whole: bool,
}

/// The event that a walk's own calls (categories) are made for.
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

impl<'a> Walk<'a> {
    /// Makes a walk that goes on where its job was.
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
        let position: Position = serde_json::from_str(&job.position).unwrap_or_default();
        let found = serde_json::from_str(&job.found).unwrap_or_default();
        Ok(Self {
            whole: position.stage == 0 && position.page == 0,
            context,
            job,
            mode,
            run,
            position,
            found,
            rows: Vec::new(),
            stop,
            since,
            catalogue: Catalogue::default(),
            categories: Categories::new(),
            beside: HashMap::new(),
        })
    }

    fn connection(&self) -> &Connection {
        self.run.connection()
    }

    /// Walks every stage that is left; tells what was found and how many events were made.
    pub async fn walk(mut self) -> Result<(Found, Position), WalkError> {
        let settings = self.connection().settings.clone();
        self.go_back_to_channel_orders();
        if settings.products && self.position.stage <= PRODUCTS {
            // The catalogue is held in memory, so it is read again after a restart.
            self.load_categories().await?;
            self.load_catalogue().await?;
        }
        while let Some(stage) = STAGES.get(self.position.stage) {
            (*stage).clone_into(&mut self.found.stage);
            match *stage {
                "products" if settings.products => self.products().await?,
                "customers" if settings.customers => self.customers().await?,
                "channel orders" if settings.orders => self.channel_orders().await?,
                "Sapo orders" if settings.orders => self.pos_orders().await?,
                _ => {}
            }
            self.position.stage += 1;
            self.position.page = 0;
            self.keep().await?;
        }
        Ok((self.found, self.position))
    }

    /// The channel's orders are held in memory beside Sapo's: after a restart among the orders they are read again.
    fn go_back_to_channel_orders(&mut self) {
        if (CHANNEL_ORDERS..STAGES.len()).contains(&self.position.stage) {
            self.position.stage = CHANNEL_ORDERS;
            self.position.page = 0;
            self.found.checked.remove("order");
        }
    }

    /// The readable rows of a page; the others become rows of the report and never block their neighbours.
    fn readable<T>(&mut self, kind: &'static str, page: Page<T>) -> Vec<Item<T>> {
        self.found.total = page.total;
        let mut readable = Vec::with_capacity(page.items.len());
        for item in page.items {
            match item {
                Ok(item) => readable.push(item),
                Err(bad) => self.note(
                    kind,
                    &Finding {
                        action: Action::Error,
                        kind,
                        object: bad.id.unwrap_or_default(),
                        code: "unreadable",
                        reason: bad.reason,
                    },
                ),
            }
        }
        readable
    }

    fn note(&mut self, kind: &str, finding: &Finding) {
        *self.found.checked.entry(kind.to_owned()).or_default() += 1;
        *self.found.actions.entry(format!("{kind}.{}", finding.action.as_str())).or_default() += 1;
        if finding.action != Action::Equal {
            self.rows.push(finding.row());
        }
    }

    #[allow(clippy::too_many_arguments)]
    async fn publish(
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
    async fn keep(&mut self) -> Result<(), WalkError> {
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
            if self.position.published - settled < AHEAD {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Makes a reading call; one that is throttled waits in line like everything else of the shop.
    async fn calling<'s, T>(&'s self, call: impl Fn() -> BoxFuture<'s, Result<T, CallError>>) -> Result<T, WalkError> {
        let mut failures = 0;
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
            let wait = wait.max(Duration::from_millis(50));
            if self.stop.run_until_cancelled(tokio::time::sleep(wait.min(LEASE / 3))).await.is_none() {
                return Err(WalkError::Stopped);
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
