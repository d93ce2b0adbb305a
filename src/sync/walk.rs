//! The walk over both catalogues that import, reconcile and plan share: page by page, with a stored position.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::compare::{self, Action, Beside, Catalogue, Finding};
use crate::broker::BrokerError;
use crate::destination::abaha::client::OrderQuery;
use crate::destination::omni::client::PageQuery;
use crate::destination::{CallError, ClientError, Item, Page};
use crate::domain::clock::{Millis, millis, until};
use crate::domain::connection::Connection;
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::domain::order::{ChannelOrder, PosOrder};
use crate::domain::product::PosProduct;
use crate::map::abaha::stage::ChannelStage;
use crate::store::StoreError;
use crate::store::connections::ConnectionAccount;
use crate::store::jobs::{Job, JobRow};
use crate::store::links::LinkKind;
use crate::work::context::{Context, Halt, Run};
use crate::work::products;

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
    categories: HashMap<String, String>,
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
            categories: HashMap::new(),
            beside: HashMap::new(),
        })
    }

    fn connection(&self) -> &Connection {
        self.run.connection()
    }

    /// Walks every stage that is left; tells what was found and how many events were made.
    pub async fn walk(mut self) -> Result<(Found, Position), WalkError> {
        let settings = self.connection().settings.clone();
        if settings.products {
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

    /// Creates and renames categories, and knows them afterwards.
    async fn load_categories(&mut self) -> Result<(), WalkError> {
        STAGES[0].clone_into(&mut self.found.stage);
        let mut page = 1;
        loop {
            let answer = self.calling(|| Box::pin(self.run.omni.categories(page))).await?;
            let more = answer.more();
            for category in answer.into_values() {
                let before =
                    self.context.store.link_by_sapo(&self.connection().name, LinkKind::Category, &category.id).await?;
                let ensured = products::ensure_category(&self.run, Some(&category)).await;
                let (action, reason) = match (&before, &ensured) {
                    (Some(link), _) if link.natural_key == category.name.trim() => (Action::Equal, String::new()),
                    (Some(link), _) => {
                        (Action::Update, format!("renamed from {:?} to {:?} on Abaha", link.natural_key, category.name))
                    }
                    (None, Ok(Some(_))) if self.mode == Mode::Plan => {
                        (Action::Link, format!("category {:?} is linked", category.name))
                    }
                    (None, _) => (Action::Create, format!("category {:?} is made or linked on Abaha", category.name)),
                };
                match ensured {
                    Ok(Some(id)) => {
                        self.categories.insert(category.id.clone(), id);
                        self.note(
                            "category",
                            &Finding { action, kind: "category", object: category.name, code: action.as_str(), reason },
                        );
                    }
                    Ok(None) => self.note(
                        "category",
                        &Finding { action, kind: "category", object: category.name, code: action.as_str(), reason },
                    ),
                    Err(Halt::Call(
                        error @ (CallError::Throttled { .. }
                        | CallError::Failing { .. }
                        | CallError::Unauthorised { .. }),
                    )) => return Err(error.into()),
                    Err(Halt::Store(error)) => return Err(error.into()),
                    Err(Halt::Call(error)) => {
                        self.note(
                            "category",
                            &Finding {
                                action: Action::Error,
                                kind: "category",
                                object: category.name,
                                code: error.code(),
                                reason: error.to_string(),
                            },
                        );
                    }
                    Err(Halt::Outcome(outcome)) => {
                        self.note(
                            "category",
                            &Finding {
                                action: Action::Error,
                                kind: "category",
                                object: category.name,
                                code: outcome.code(),
                                reason: outcome.reason().to_owned(),
                            },
                        );
                    }
                }
            }
            self.keep().await?;
            if !more {
                return Ok(());
            }
            page += 1;
        }
    }

    async fn load_catalogue(&mut self) -> Result<(), WalkError> {
        STAGES[1].clone_into(&mut self.found.stage);
        let mut page = 1;
        loop {
            let answer = self.calling(|| Box::pin(self.run.abaha.products(page, 100))).await?;
            self.found.total = answer.total;
            let more = answer.more();
            for product in answer.into_values() {
                self.catalogue.add(product);
            }
            *self.found.checked.entry("channel product".to_owned()).or_default() = self.catalogue.len() as u64;
            self.keep().await?;
            if !more {
                return Ok(());
            }
            page += 1;
        }
    }

    async fn products(&mut self) -> Result<(), WalkError> {
        let branch = match self.connection().settings.branch {
            Some(branch) => branch.to_string(),
            None => match products::default_branch(&self.run).await {
                Ok(Some(branch)) => branch.to_string(),
                Ok(None) => {
                    return Err(WalkError::Setup(
                        "no branch (Chi nhánh) is chosen and the shop has no default one; set `branch` and apply"
                            .to_owned(),
                    ));
                }
                Err(Halt::Call(error)) => return Err(error.into()),
                Err(Halt::Store(error)) => return Err(error.into()),
                Err(Halt::Outcome(outcome)) => return Err(WalkError::Setup(outcome.reason().to_owned())),
            },
        };
        let mut seen: HashSet<String> = HashSet::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = PageQuery { page: self.position.page, ..PageQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.omni.products(query))).await?;
            let more = answer.more();
            for item in self.readable("product", answer) {
                let product: PosProduct = item.value;
                seen.extend(product.variants.iter().map(|variant| variant.id.clone()));
                let links = self.context.store.links_of_product(&self.connection().name, &product.id).await?;
                let findings =
                    compare::products(self.connection(), &branch, &product, &links, &self.categories, &self.catalogue);
                let acts = findings.iter().any(|finding| finding.action.acts());
                let force = findings.iter().any(|finding| finding.action == Action::Update);
                for finding in findings {
                    self.note("product", &finding);
                }
                if acts {
                    self.publish(System::Omni, Kind::Product, &product.id, product.version, None, force, item.raw)
                        .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                break;
            }
        }
        if self.whole { self.sweep(&seen).await } else { Ok(()) }
    }

    /// A complete walk that did not meet a linked variant may mean that it was deleted: its product is read.
    async fn sweep(&mut self, seen: &HashSet<String>) -> Result<(), WalkError> {
        let mut after = String::new();
        let mut suspects: HashSet<String> = HashSet::new();
        loop {
            let links = self.context.store.links_page(&self.connection().name, LinkKind::Product, &after, 500).await?;
            let Some(last) = links.last() else { break };
            after.clone_from(&last.sapo_id);
            for link in links {
                if !seen.contains(&link.sapo_id) && link.code.as_deref() != Some("deleted") {
                    let finding = Finding {
                        action: Action::Update,
                        kind: "product",
                        object: link.natural_key.clone(),
                        code: "not_met",
                        reason: "not met on Sapo: read, and hidden on Abaha where it was deleted".to_owned(),
                    };
                    self.note("product", &finding);
                    suspects.extend(link.sapo_parent);
                }
            }
        }
        for product in suspects {
            self.publish(System::Omni, Kind::Product, &product, None, None, true, Bytes::from_static(b"{}")).await?;
        }
        Ok(())
    }

    async fn customers(&mut self) -> Result<(), WalkError> {
        self.position.page = self.position.page.max(1);
        loop {
            let query = PageQuery { page: self.position.page, modified_from: self.since, ..PageQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.omni.customers(query))).await?;
            let more = answer.more();
            for item in self.readable("customer", answer) {
                let customer = item.value;
                let linked = self
                    .context
                    .store
                    .link_by_sapo(&self.connection().name, LinkKind::Customer, &customer.id)
                    .await?
                    .is_some();
                let finding = compare::customer(customer.phone.as_deref(), &customer.id, linked);
                let acts = finding.action.acts();
                self.note("customer", &finding);
                if acts {
                    self.publish(System::Omni, Kind::Customer, &customer.id, customer.version, None, false, item.raw)
                        .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn channel_orders(&mut self) -> Result<(), WalkError> {
        let now = self.context.clock.now();
        let start = self.connection().start_line();
        let from = if self.mode == Mode::Reconcile { start.max(now - millis(ORDERS_BACK)) } else { start };
        let mut marks: HashMap<String, String> = HashMap::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = OrderQuery { page: self.position.page, created_from: Some(from), ..OrderQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.abaha.orders(query))).await?;
            let more = answer.more();
            for item in self.readable("order", answer) {
                let order: ChannelOrder = item.value;
                let stage = ChannelStage::of(&order, self.connection().settings.returned_code);
                self.beside.insert(order.id.clone(), Beside { stage, paid: order.payment == Some(5) });
                if let Some(other) = order.pos_id.clone().and_then(|mark| marks.insert(mark, order.id.clone())) {
                    self.two_marks(&order.id, &other);
                }
                let link =
                    self.context.store.link_by_channel(&self.connection().name, LinkKind::Order, &order.id).await?;
                let finding = compare::channel_order(self.connection(), &order, link.as_ref(), None);
                let (acts, force) = (finding.action.acts(), finding.action == Action::Update);
                self.note("order", &finding);
                if acts {
                    self.publish(
                        System::Abaha,
                        Kind::Order,
                        &order.id,
                        order.version,
                        order.code.clone(),
                        force,
                        item.raw,
                    )
                    .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn pos_orders(&mut self) -> Result<(), WalkError> {
        let start = self.connection().start_line();
        let mut marks: HashMap<String, String> = HashMap::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = match self.since {
                Some(since) => {
                    PageQuery { page: self.position.page, modified_from: Some(since), ..PageQuery::default() }
                }
                None => PageQuery { page: self.position.page, created_from: Some(start), ..PageQuery::default() },
            };
            let answer = self.calling(|| Box::pin(self.run.omni.orders(query))).await?;
            let more = answer.more();
            for item in self.readable("order", answer) {
                let order: PosOrder = item.value;
                let ours = order.tags.contains(&self.connection().tag()) && order.status != "cancelled";
                if let Some(other) =
                    order.reference.clone().filter(|_| ours).and_then(|mark| marks.insert(mark, order.id.clone()))
                {
                    self.two_marks(&order.id, &other);
                }
                let link = self.context.store.link_by_sapo(&self.connection().name, LinkKind::Order, &order.id).await?;
                let beside = link.as_ref().and_then(|link| self.beside.get(&link.channel_id));
                let finding = compare::pos_order(self.connection(), &order, link.is_some(), beside);
                let (acts, force) = (finding.action.acts(), finding.action == Action::Update);
                self.note("order", &finding);
                if acts {
                    self.publish(
                        System::Omni,
                        Kind::Order,
                        &order.id,
                        order.version,
                        Some(order.code.clone()),
                        force,
                        item.raw,
                    )
                    .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    fn two_marks(&mut self, one: &str, other: &str) {
        let reason = format!("orders {one} and {other} carry one mark; cancel one of them by hand");
        tracing::error!(code = "two_objects_one_mark", connection = %self.connection().name, one, other, "two orders carry one mark");
        self.note(
            "order",
            &Finding {
                action: Action::Error,
                kind: "order",
                object: one.to_owned(),
                code: "two_objects_one_mark",
                reason,
            },
        );
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
            if self.stop.is_cancelled()
                || !store.keep_job(&self.job.id, &self.context.owner, LEASE, &position, &found).await?
            {
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
