//! The process is killed (`kill -9`) at every step of an order's way, in both directions, and started again: exactly
//! one order, nothing lost, the same end. Reconcile is off.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use sapo_sync::app::{migrate, open_store};
use sapo_sync::broker::Broker;
use sapo_sync::config::Config;
use sapo_sync::sandbox::{
    Api, BucketConfig, NewWebProduct, Phase, PlaceAbahaOrder, PlaceOrder, PlaceWebOrder, Sandbox, SandboxConfig,
    WebSite,
};
use sapo_sync::store::Store;
use sapo_sync::store::channel_orders::ChannelOrderFilter;
use sapo_sync::store::dead_letters::DeadFilter;
use sapo_sync::sync::connect::{apply, file};
use serde_json::json;
use sqlx::Connection as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, environment, open_broker};
use crate::cluster::free_port;
use crate::harness::{CONNECTION, PATIENCE, Setup, config_of, connections_of, dong};
use crate::web_world::{connections, web_alias, web_site, web_variant};
use crate::wire;

/// So often in a row nothing must be seen to happen on servers: between them and the program an event shows nowhere.
const LOOKS: u32 = 4;
/// Connections to the state database that the program may have: several are at work at once, on one server.
const CONNECTIONS: u32 = 6;

/// A program in a process of its own, which can be killed.
struct Killable {
    sandbox: Sandbox,
    _dir: TempDir,
    _backend: Backend,
    config: Config,
    port: u16,
    child: Option<Child>,
    store: Store,
    client: reqwest::Client,
    /// RabbitMQ beside the program, where it works on that.
    broker: Option<Arc<dyn Broker>>,
}

impl Killable {
    async fn new(story: Story) -> Self {
        let sandbox = Sandbox::start(SandboxConfig {
            web_sites: story.webs(),
            bucket: BucketConfig { size: 2_000, leak_per_second: 1_000.0, header: true },
            abaha_bucket: None,
            retry: vec![Duration::from_millis(100); 1_000],
            abaha_retry: vec![Duration::from_millis(400); 2],
            ..SandboxConfig::default()
        })
        .await
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let backend = Backend::chosen().await;
        let mut config = config_of(&Setup::default(), dir.path().to_owned());
        config.database_connections = CONNECTIONS;
        backend.set(&mut config);
        migrate(&config, &CancellationToken::new()).await.unwrap();
        let store = open_store(&config).await.unwrap();
        let parsed = file::parse(&story.connections(&sandbox), dir.path()).unwrap();
        let http = sapo_sync::app::sender(&config, store.clock()).unwrap();
        apply(&store, &http, &parsed, false, false, "test").await.unwrap();
        let broker = if config.is_scaled() { Some(open_broker(&config).await) } else { None };
        // Nobody else gets it while the program is dead.
        let port = free_port();
        sandbox.send_webhooks_to(&format!("http://127.0.0.1:{port}"));
        let client = wire::client();
        Self { sandbox, _dir: dir, _backend: backend, config, port, child: None, store, client, broker }
    }

    /// Starts the program; `crash_at` names the step at which it kills itself.
    async fn start(&mut self, crash_at: Option<&str>) {
        let schedule: Vec<String> =
            self.config.retry.schedule.iter().map(|wait| format!("{}ms", wait.as_millis())).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
        command
            .arg("up")
            .env("SAPO_SYNC__LISTEN", format!("127.0.0.1:{}", self.port))
            .envs(environment(&self.config))
            .env("SAPO_SYNC__DATABASE__CONNECTIONS", CONNECTIONS.to_string())
            .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
            .env("SAPO_SYNC__OUTGOING__SAPO_LIMIT", "2000+1000/s")
            .env("SAPO_SYNC__OUTGOING__ABAHA_LIMIT", "2000+1000/s")
            .env("SAPO_SYNC__OUTGOING__WEB_LIMIT", "2000+1000/s")
            .env("SAPO_SYNC__RETRY__SCHEDULE", schedule.join(","))
            .env("SAPO_SYNC__RETRY__SETTLE_AFTER", "200ms")
            .env("SAPO_SYNC__RECONCILE__EVERY", "off")
            .env("SAPO_SYNC__LOG__FILTER", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(point) = crash_at {
            command.env("SAPO_SYNC__CRASH_AT", point);
        }
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        // Not before it takes webhooks: Abaha tells three times within a second, and never again.
        while !self.is_ready().await {
            assert!(Instant::now() < deadline, "the program is ready in time");
            // It may be killed before it is: then the senders will find it after the next start.
            if self.has_died() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let asked = self.client.get(format!("http://127.0.0.1:{}/readyz", self.port)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    fn has_died(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _died_before = child.kill();
            child.wait().unwrap();
        }
    }

    /// Waits until the program has died or everything is settled. Tells whether it died.
    async fn died_or_quiet(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.has_died() {
                return true;
            }
            if self.stays_quiet().await {
                return false;
            }
            if Instant::now() > deadline {
                let parked = self.store.list_parked(None, None, None, 100).await.unwrap();
                panic!("not quiet in time; queue {:?}, parked {parked:#?}", self.queue().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stays_quiet(&self) -> bool {
        let looks = if self.broker.is_some() { LOOKS } else { 2 };
        for look in 0..looks {
            if look > 0 && self.broker.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if !self.nothing_to_do().await {
                return false;
            }
        }
        true
    }

    async fn nothing_to_do(&self) -> bool {
        self.sandbox.webhooks_waiting() == 0
            && self.queue().await == (0, 0)
            && self.store.list_parked(None, None, None, 100).await.unwrap().is_empty()
            && self.queue().await == (0, 0)
            && self.sandbox.webhooks_waiting() == 0
    }

    /// What lies in the queue and is being worked on: events, dead letters.
    async fn queue(&self) -> (i64, i64) {
        if let Some(broker) = &self.broker {
            let waiting = broker.depth().await.unwrap();
            // A program that does not answer is not quiet.
            return (self.held().await.map_or(-1, |held| waiting.events + held), waiting.dead);
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.config.data_dir.join("queue.db"))
            .busy_timeout(Duration::from_secs(5));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query_as("select (select count(*) from queue), (select count(*) from dead)")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// The deliveries that the program holds, as it tells.
    async fn held(&self) -> Option<i64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let page = self.client.get(url).send().await.ok()?.text().await.ok()?;
        let line = page.lines().find(|line| line.starts_with("sapo_sync_deliveries_held "))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// What the shop and the site hold in the end.
    async fn verdict(&self) -> serde_json::Value {
        let letters = self.store.list_letters(&DeadFilter { limit: 100, ..DeadFilter::default() }).await.unwrap();
        let omni: Vec<_> = self
            .sandbox
            .omni()
            .orders()
            .into_iter()
            .map(|order| {
                json!([
                    order["status"],
                    order["total"],
                    order["payment_status"],
                    order["prepayments"].as_array().map(Vec::len),
                    order["reference_number"].is_null()
                ])
            })
            .collect();
        let abaha: Vec<_> = self
            .sandbox
            .abaha()
            .orders()
            .into_iter()
            .map(|order| json!([order["status"], order["pos_id"].is_null(), order["tel"]]))
            .collect();
        let webs = self.sandbox.config().web_sites.iter().map(|site| self.sandbox.web(&site.alias));
        let webs: Vec<_> = webs
            .map(|web| {
                let orders = web.orders();
                let orders: Vec<_> = orders.iter().map(|order| &order["status"]).collect();
                let sold = web.variant_by_sku("AT-S");
                let stock: Vec<_> = sold.iter().map(|variant| &variant["inventory_quantity"]).collect();
                json!([orders, stock])
            })
            .collect();
        json!({
            "omni": omni,
            "abaha": abaha,
            "webs": webs,
            "seen": self.seen_of_webs().await,
            "omni customers": self.sandbox.omni().customers().len(),
            "abaha customers": self.sandbox.abaha().customers().len(),
            "abaha products": self.sandbox.abaha().products().len(),
            "dead": letters.iter().map(|letter| format!("{}: {}", letter.code, letter.reason)).collect::<Vec<_>>(),
        })
    }
}

impl Killable {
    /// What the owner sees of a web's orders, and what drafts still hold.
    async fn seen_of_webs(&self) -> serde_json::Value {
        let filter = ChannelOrderFilter { limit: 10, ..ChannelOrderFilter::default() };
        let rows = self.store.list_channel_orders(&filter).await.unwrap();
        let variant = self.sandbox.omni().variant_by_sku("AT-S").unwrap().to_string();
        let held = self.store.reserved(&self.sandbox.config().alias, &variant, &["58001".to_owned()]).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| json!([row.name, row.state, row.code])).collect();
        json!([rows, held.to_string()])
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What happens in a shop.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// A paid order of a new customer on Abaha, then cancelled there.
    Abaha,
    /// An order on Sapo of a new customer with a product that Abaha does not know, then cancelled.
    Sapo,
    /// A paid order of a new customer on a web, approved at once, then cancelled there; drafts are held back.
    Web,
}

impl Story {
    fn webs(self) -> Vec<WebSite> {
        let patient = WebSite { webhook_retry: vec![Duration::from_millis(100); 1_000], ..web_site(1) };
        if matches!(self, Self::Web) { vec![patient] } else { Vec::new() }
    }

    fn connections(self, sandbox: &Sandbox) -> String {
        let on = (true, true, true);
        match self {
            Self::Abaha | Self::Sapo => connections_of(sandbox, CONNECTION, on, ""),
            Self::Web => {
                let settings = "payment_method = 220001\napprove_orders = true\nreserve_unapproved = true";
                connections(sandbox, on, settings)
            }
        }
    }

    /// The named steps of its way.
    fn points(self) -> Vec<&'static str> {
        match self {
            Self::Abaha | Self::Sapo => POINTS.to_vec(),
            Self::Web => {
                let own = ["before_approval", "approved", "released"];
                POINTS.iter().filter(|name| **name != "status_set").copied().chain(own).collect()
            }
        }
    }

    async fn begin(self, world: &mut Killable) {
        world.start(None).await;
        if matches!(self, Self::Web) {
            let variants = vec![web_variant("AT-S", 120_000, 10)];
            let product = NewWebProduct { name: "Áo thun".into(), published: true, variants };
            world.sandbox.web(&web_alias(1)).add_product(product);
        }
        world
            .sandbox
            .omni()
            .add_product(
                &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
            )
            .unwrap();
        assert!(!world.died_or_quiet().await);
        world.kill();
        if matches!(self, Self::Sapo) {
            // Its webhook is never sent: the order's gates push it.
            world.sandbox.stop_webhooks();
            world.sandbox.omni().add_product(&json!({"name": "Quần vải", "category": "Quần", "variants": [{"sku": "QV-01", "retail": 350_000, "stock": {"58001": 4}}]})).unwrap();
            world.sandbox.send_webhooks_to(&format!("http://127.0.0.1:{}", world.port));
        }
    }

    fn place(self, world: &Killable) -> u64 {
        match self {
            Self::Abaha => world
                .sandbox
                .abaha()
                .place_order(&PlaceAbahaOrder {
                    tel: "0912000001".into(),
                    name: "Trần Thị Mẫu".into(),
                    lines: vec![("AT-S".into(), Decimal::TWO, dong(120_000))],
                    paid: true,
                    ..PlaceAbahaOrder::default()
                })
                .unwrap(),
            Self::Sapo => {
                let customer = world.sandbox.omni().add_customer("Lê Văn Thử", Some("0912 000 009"));
                let variant = world.sandbox.omni().variant_by_sku("QV-01").unwrap();
                world
                    .sandbox
                    .omni()
                    .place_order(PlaceOrder {
                        customer_id: Some(customer),
                        lines: vec![(variant, Decimal::ONE, dong(350_000))],
                        ..PlaceOrder::default()
                    })
                    .unwrap()
            }
            Self::Web => {
                let web = world.sandbox.web(&web_alias(1));
                let variant = web.variant_by_sku("AT-S")[0]["id"].as_u64().unwrap();
                web.place_order(PlaceWebOrder {
                    lines: vec![(variant, Decimal::TWO)],
                    financial_status: "paid".into(),
                    ..PlaceWebOrder::default()
                })
            }
        }
    }

    fn cancel(self, world: &Killable, id: u64) {
        match self {
            Self::Abaha => world.sandbox.abaha().set_status(id, 0, Some("Hủy")).unwrap(),
            Self::Sapo => world.sandbox.omni().cancel(id).unwrap(),
            Self::Web => world.sandbox.web(&web_alias(1)).cancel_order(id).unwrap(),
        }
    }
}

/// Runs a story; kills at `point` while the order is made or, with `late`, while it is cancelled. `None` where the
/// point was never reached.
async fn run(story: Story, point: Option<&str>, late: bool) -> Option<serde_json::Value> {
    let mut world = Killable::new(story).await;
    story.begin(&mut world).await;
    world.start(point.filter(|_| !late)).await;
    let order = story.place(&world);
    let mut died = world.died_or_quiet().await;
    if died {
        world.kill();
        world.start(None).await;
        assert!(!world.died_or_quiet().await, "{story:?} {point:?}: it dies once");
    }
    if late {
        world.kill();
        world.start(point).await;
    }
    story.cancel(&world, order);
    if world.died_or_quiet().await {
        died = true;
        world.kill();
        world.start(None).await;
        assert!(!world.died_or_quiet().await, "{story:?} {point:?}: it dies once");
    }
    let verdict = world.verdict().await;
    world.kill();
    (died || point.is_none()).then_some(verdict)
}

/// Every named step. One that a story never reaches tells so, and must be reached by the other story.
const POINTS: [&str; 14] = [
    "published",
    "taken",
    "intent_written",
    "sent",
    "before_link",
    "link_written",
    "order_answered",
    "before_prepayment",
    "prepaid",
    "before_commit",
    "committed",
    "before_cancel",
    "cancelled",
    "status_set",
];

async fn every_point(story: Story) -> Vec<String> {
    let expected = run(story, None, false).await.unwrap();
    let orders = |side: &str| expected[side].as_array().map_or(0, Vec::len);
    let there = usize::from(!matches!(story, Story::Web));
    assert_eq!((orders("omni"), orders("abaha")), (1, there), "{expected:#}");
    let mut reached = Vec::new();
    for name in story.points() {
        // Making queues and a database for each kill takes longer than the rest: there every step is killed at twice
        // while the order is made, and once while it is cancelled.
        let passings = if Backend::is_files() { 4 } else { 2 };
        for nth in 1..=passings {
            for late in [false, true] {
                if late && nth > 1 && !Backend::is_files() {
                    continue;
                }
                let point = format!("{name}:{nth}");
                if let Some(verdict) = run(story, Some(&point), late).await {
                    assert_eq!(verdict, expected, "{story:?} killed at {point}, late: {late}");
                    reached.push(name.to_owned());
                }
            }
            if !reached.iter().any(|seen| seen == name) {
                break;
            }
        }
    }
    reached.dedup();
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_abaha_is_made_once_wherever_the_process_is_killed() {
    let reached = every_point(Story::Abaha).await;
    for name in POINTS.iter().filter(|name| **name != "status_set") {
        assert!(reached.iter().any(|seen| seen == name), "{name} was never reached: {reached:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_sapo_is_made_once_wherever_the_process_is_killed() {
    let reached = every_point(Story::Sapo).await;
    for name in [
        "published",
        "taken",
        "intent_written",
        "sent",
        "before_link",
        "link_written",
        "order_answered",
        "before_commit",
        "committed",
        "status_set",
    ] {
        assert!(reached.iter().any(|seen| seen == name), "{name} was never reached: {reached:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_web_is_made_once_wherever_the_process_is_killed() {
    let reached = every_point(Story::Web).await;
    for name in Story::Web.points() {
        assert!(reached.iter().any(|seen| seen == name), "{name} was never reached: {reached:?}");
    }
}

/// Kills the process from outside, at the moment at which an API has got, done or answered a call.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_made_once_when_the_process_is_killed_in_the_middle_of_a_call() {
    for (story, api, path) in [
        (Story::Abaha, Api::Omni, "orders"),
        (Story::Abaha, Api::Omni, "customers"),
        (Story::Web, Api::Omni, "orders"),
        (Story::Web, Api::Omni, "customers"),
        (Story::Sapo, Api::Abaha, "order/create"),
        (Story::Sapo, Api::Abaha, "customer/create"),
        (Story::Sapo, Api::Abaha, "product/create"),
    ] {
        let expected = run(story, None, false).await.unwrap();
        for phase in [Phase::Received, Phase::WorkDone, Phase::Answered] {
            let mut world = Killable::new(story).await;
            story.begin(&mut world).await;
            world.start(None).await;
            let pid = world.child.as_ref().unwrap().id();
            let killed = std::sync::atomic::AtomicBool::new(false);
            world.sandbox.on_call(move |call| {
                let hit = call.api == api && call.method == "POST" && call.path == path && call.phase == phase;
                if hit && !killed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
                }
            });
            let order = story.place(&world);
            assert!(world.died_or_quiet().await, "{story:?} {path} {phase:?}: it is killed");
            world.kill();
            world.start(None).await;
            assert!(!world.died_or_quiet().await);
            story.cancel(&world, order);
            assert!(!world.died_or_quiet().await);
            assert_eq!(world.verdict().await, expected, "{story:?} killed at {path} {phase:?}");
        }
    }
}
