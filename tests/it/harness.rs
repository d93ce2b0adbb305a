//! A whole world in one process: a sandbox, a program at work on a data dir of its own, and one connection.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use sapo_sync::app::{App, Role, Running};
use sapo_sync::broker::Depth;
use sapo_sync::config::{BrokerConfig, Config, Retry};
use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::Event;
use sapo_sync::sandbox::{Api, BucketConfig, Sandbox, SandboxConfig};
use sapo_sync::store::Store;
use sapo_sync::store::dead_letters::{DeadFilter, DeadLetter};
use sapo_sync::store::jobs::Job;
use sapo_sync::store::ledger::{EventFilter, LedgerRow};
use sapo_sync::store::parked::ParkedRow;
use sapo_sync::sync::connect::{apply, file};
use serde_json::Value;
use tempfile::TempDir;

use crate::backend::Backend;
use crate::cluster::free_port;
use crate::web_world;

/// The name of the one connection.
pub const CONNECTION: &str = "mau-abaha";
/// The branches, staff, source and payment method of the sandbox's shop.
pub const BRANCH: u64 = 58_001;

/// How long a test waits for something before it gives up; nothing asserts a time. On a machine that is shared much takes
/// long, and only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// How a world is set up.
pub struct Setup {
    pub sandbox: SandboxConfig,
    /// The switches: products, customers, orders.
    pub switches: (bool, bool, bool),
    /// More lines of the connection's table.
    pub extra: String,
    pub schedule: Vec<Duration>,
    pub settle_after: Duration,
    pub recheck: Duration,
    pub call_timeout: Duration,
    pub sapo_limit: (u32, f64),
    pub abaha_limit: (u32, f64),
    pub web_limit: (u32, f64),
    /// Where Sapo and Abaha reach the receiver, where that is told.
    pub public_url: Option<String>,
    /// Connects the sandbox's Sapo Web sites instead of its Abaha site.
    pub webs: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let fast = BucketConfig { size: 2_000, leak_per_second: 1_000.0, header: true };
        Self {
            sandbox: SandboxConfig {
                bucket: fast,
                abaha_bucket: None,
                retry: vec![Duration::from_millis(50); 19],
                abaha_retry: vec![Duration::from_millis(50); 2],
                // A webhook that is given up is sent again, and what was taken by then comes twice.
                webhook_timeout: Duration::from_mins(1),
                ..SandboxConfig::default()
            },
            switches: (true, true, true),
            extra: String::new(),
            schedule: [20, 50, 100, 200, 400, 800].map(Duration::from_millis).to_vec(),
            settle_after: Duration::from_millis(200),
            recheck: Duration::from_mins(10),
            // The longest that the settings allow: an answer that a test holds is not to be given up meanwhile.
            call_timeout: Duration::from_secs(20),
            sapo_limit: (2_000, 1_000.0),
            abaha_limit: (2_000, 1_000.0),
            web_limit: (2_000, 1_000.0),
            public_url: None,
            webs: false,
        }
    }
}

/// A sandbox and a program at work.
pub struct World {
    pub sandbox: Sandbox,
    pub dir: TempDir,
    pub config: Config,
    backend: Backend,
    running: Option<Running>,
    checked: bool,
}

impl World {
    /// The usual world: all three switches on, an empty shop, generous limits, short waits.
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        Self::on(Backend::chosen().await, setup).await
    }

    /// For tests of the files themselves.
    pub async fn on_files(setup: Setup) -> Self {
        Self::on(Backend::Files, setup).await
    }

    pub async fn on(backend: Backend, setup: Setup) -> Self {
        let sandbox = Sandbox::start(setup.sandbox.clone()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_of(&setup, dir.path().to_owned());
        // One that is still free when it is started again after a stop.
        config.listen.set_port(free_port());
        backend.set(&mut config);
        let mut world = Self { sandbox, dir, config, backend, running: None, checked: false };
        world.start().await;
        let connections = if setup.webs {
            web_world::connections(&world.sandbox, setup.switches, &setup.extra)
        } else {
            world.connections(setup.switches, &setup.extra)
        };
        world.apply(&connections).await;
        let base = world.url();
        world.sandbox.send_webhooks_to(&base);
        world
    }

    /// The connections file of this world's sandbox.
    pub fn connections(&self, switches: (bool, bool, bool), extra: &str) -> String {
        connections_of(&self.sandbox, CONNECTION, switches, extra)
    }

    /// Applies a connections file, as `connect apply` does.
    pub async fn apply(&self, text: &str) {
        let parsed = file::parse(text, self.dir.path()).unwrap();
        let context = self.running().context();
        apply(&context.store, &context.http, &parsed, false, false, "test").await.unwrap();
        context.snapshot.refresh().await.unwrap();
    }

    /// Starts the program on this world's data dir.
    pub async fn start(&mut self) {
        let app = App::open(self.config.clone(), Role::Up).await.unwrap();
        let listener = app.bind().await.unwrap();
        let running = app.start(Some(listener)).unwrap();
        // The next start, after a stop, takes the same port, so that the senders find it again.
        self.config.listen = running.address().unwrap();
        self.running = Some(running);
    }

    /// Stops the program in order.
    pub async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stopper().cancel();
        running.finish().await.unwrap();
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn store(&self) -> &Store {
        &self.running().context().store
    }

    /// Where its receiver listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.running().address().unwrap())
    }

    /// Publishes an event past the receiver.
    pub async fn publish(&self, event: &Event) {
        self.running().context().broker.publish(event).await.unwrap();
    }

    /// Waits until every webhook was delivered and every event is settled, or waits for a cause that time does not end.
    pub async fn quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::timeout(PATIENCE, self.sandbox.webhooks_settled())
                .await
                .expect("webhooks are delivered in time");
            if self.is_quiet().await && self.sandbox.webhooks_waiting() == 0 && self.stays_quiet().await {
                return;
            }
            assert!(self.running().is_healthy(), "a role ended by itself");
            assert!(
                Instant::now() <= deadline,
                "not quiet in time: {:?}, parked: {:#?}, events: {:#?}, calls: {:#?}",
                self.depth().await,
                self.parked().await,
                self.events().await,
                self.sandbox.calls()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Forgets all state and queues: the next start begins with nothing but the two sides.
    pub async fn forget(&mut self) {
        assert!(self.running.is_none(), "stopped before");
        self.backend = match &self.backend {
            Backend::Files => Backend::Files,
            Backend::Servers { .. } => Backend::servers().await,
        };
        self.dir = tempfile::tempdir().unwrap();
        self.dir.path().clone_into(&mut self.config.data_dir);
        self.backend.set(&mut self.config);
    }

    async fn is_quiet(&self) -> bool {
        let settled = self.depth().await == Depth::default();
        let now = self.store().clock().now();
        // A row that is due is on its way, whatever its cause.
        let waits = |row: &ParkedRow| {
            row.due_at > now && !matches!(row.cause.as_str(), "throttled" | "failing" | "intent_pending" | "replay")
        };
        settled && self.parked().await.iter().all(waits)
    }

    /// RabbitMQ tells what waits, and we what we hold; what is on its way between the two shows a moment later.
    async fn stays_quiet(&self) -> bool {
        let looks = if matches!(self.backend, Backend::Files) { 1 } else { 4 };
        for _ in 0..looks {
            if !self.is_quiet().await {
                return false;
            }
        }
        true
    }

    pub async fn depth(&self) -> Depth {
        self.running().context().broker.depth().await.unwrap()
    }

    pub async fn parked(&self) -> Vec<ParkedRow> {
        self.store().list_parked(None, None, None, 10_000).await.unwrap()
    }

    pub async fn dead(&self) -> Vec<DeadLetter> {
        self.store().list_letters(&DeadFilter { limit: 10_000, ..DeadFilter::default() }).await.unwrap()
    }

    /// Every ledger row, oldest first.
    pub async fn events(&self) -> Vec<LedgerRow> {
        let mut rows =
            self.store().list_events(&EventFilter { limit: 100_000, ..EventFilter::default() }).await.unwrap();
        rows.reverse();
        rows
    }

    /// The ledger rows of one object.
    pub async fn events_of(&self, object: impl ToString) -> Vec<LedgerRow> {
        let object = object.to_string();
        self.events().await.into_iter().filter(|row| row.object_id == object).collect()
    }

    /// The last outcome and code of one object: ("done", "created").
    pub async fn outcome(&self, object: impl ToString) -> (String, String) {
        let row = self.events_of(object).await.pop().expect("an event of the object");
        (row.outcome, row.code)
    }

    /// Pauses the connection, as `connect pause` does.
    pub async fn pause(&self) {
        self.set_state(State::Paused).await;
    }

    /// Resumes the connection, as `connect resume` does.
    pub async fn resume(&self) {
        self.set_state(State::Active).await;
        self.store().release_now(Some(CONNECTION), Some("paused"), None).await.unwrap();
    }

    async fn set_state(&self, state: State) {
        let mut tx = self.store().begin().await.unwrap();
        self.store().set_connection_state(&mut tx, CONNECTION, state, None).await.unwrap();
        tx.commit().await.unwrap();
        self.running().context().snapshot.refresh().await.unwrap();
    }

    /// Runs a job (import, reconcile, plan) to its end.
    pub async fn run_job(&self, kind: &str) -> Job {
        self.run_job_for(kind, CONNECTION).await
    }

    /// The same for a connection of another name.
    pub async fn run_job_for(&self, kind: &str, connection: &str) -> Job {
        let job = self.store().add_job(kind, connection, "{}").await.unwrap();
        self.job_ended(&job.id).await
    }

    /// Waits for a job's end.
    pub async fn job_ended(&self, id: &str) -> Job {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.store().job(id).await.unwrap().expect("the job is stored");
            if job.finished_at.is_some() {
                return job;
            }
            assert!(Instant::now() < deadline, "the job does not end: {job:#?}, events: {:#?}", self.events().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The rows of a job's report, as (kind, object, action, code).
    pub async fn job_rows(&self, job: &Job) -> Vec<(String, String, String, String)> {
        let rows = self.store().job_rows(&job.id, 0, 100_000).await.unwrap();
        rows.into_iter().map(|row| (row.kind, row.object_id, row.action, row.code)).collect()
    }

    /// How many writing calls reached an API.
    pub fn writing_calls(&self, api: Api) -> usize {
        self.sandbox.calls().iter().filter(|call| call.api == api && call.writing).count()
    }

    /// The one Abaha product of a code.
    pub fn on_abaha(&self, code: &str) -> Value {
        let mut found = self.sandbox.abaha().product_by_code(code);
        assert_eq!(found.len(), 1, "products with the code {code:?} on Abaha");
        found.remove(0)
    }

    /// Waits until something is so.
    pub async fn eventually(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "in vain: {what}; events: {:#?}", self.events().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends a test that has failed already, so that its own message is what is seen.
    pub async fn abandon(mut self) {
        self.checked = true;
        self.stop().await;
        self.sandbox.clone().stop().await;
    }

    /// Ends the test: everything is settled but the rows named, as `parked:unlinked_product` or `dead:refused`, each as
    /// often as it stands.
    pub async fn finish(mut self, left: &[&str]) {
        self.quiet().await;
        let mut found: Vec<String> =
            self.parked().await.into_iter().map(|row| format!("parked:{}", row.cause)).collect();
        found.extend(self.dead().await.into_iter().map(|row| format!("dead:{}", row.code)));
        found.sort();
        let mut left: Vec<String> = left.iter().map(|row| (*row).to_owned()).collect();
        left.sort();
        assert_eq!(
            found,
            left,
            "what is left unsettled; parked: {:#?}, dead: {:#?}",
            self.parked().await,
            self.dead().await
        );
        self.checked = true;
        self.stop().await;
        self.sandbox.clone().stop().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(
            self.checked || std::thread::panicking(),
            "a test must end with World::finish, which checks that nothing is left unsettled"
        );
    }
}

/// The program's settings in a test.
pub fn config_of(setup: &Setup, data_dir: PathBuf) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        database_url: format!("sqlite://{}", data_dir.join("state.db").display()).into(),
        database_connections: 10,
        broker: BrokerConfig::Embedded,
        data_dir,
        master_key: None,
        allow_custom_hosts: true,
        call_timeout: setup.call_timeout,
        sapo_limit: setup.sapo_limit,
        abaha_limit: setup.abaha_limit,
        web_limit: setup.web_limit,
        public_url: setup.public_url.clone(),
        oauth_omni: None,
        oauth_web: None,
        retry: Retry { schedule: setup.schedule.clone(), settle_after: setup.settle_after, recheck: setup.recheck },
        reconcile_every: None,
        keep_ledger: None,
        log: "warn".to_owned(),
        log_json: false,
        crash_at: None,
    }
}

/// A decimal from a whole number.
pub fn dong(amount: i64) -> Decimal {
    Decimal::from(amount)
}

/// The connections file of a sandbox: its store, and one connection with its site.
pub fn connections_of(
    sandbox: &Sandbox,
    name: &str,
    (products, customers, orders): (bool, bool, bool),
    extra: &str,
) -> String {
    let config = sandbox.config();
    let (header, value) = config.abaha_header.clone().unwrap_or(("x-none".into(), "none".into()));
    format!(
        r#"
        [[store]]
        alias = "{alias}"
        access_token = "{token}"
        webhook_secret = ["{secret}"]
        base_url = "{omni}"
        [[connection]]
        name = "{name}"
        store = "{alias}"
        channel = "abaha"
        site = "{site}"
        token = "{abaha_token}"
        webhook_header = {{ name = "{header}", value = "{value}" }}
        base_url = "{abaha}"
        branch = {BRANCH}
        staff = 72001
        source = 387002
        payment_method = 220001
        products = {products}
        customers = {customers}
        orders = {orders}
        {extra}
        "#,
        alias = config.alias,
        token = config.access_token,
        secret = config.webhook_secret,
        omni = sandbox.omni_url(),
        site = config.site,
        abaha_token = config.abaha_token,
        abaha = sandbox.abaha_url(),
    )
}

/// Waits until something is so.
pub async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
