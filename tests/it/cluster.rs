//! The program in processes apart (`receive`, `work`, `keeper`, `up`), as on many machines: one PostgreSQL, one RabbitMQ,
//! a data dir and an address for each process. Processes are killed, stopped and started again by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use sapo_sync::broker::{Broker, Depth, Queue};
use sapo_sync::config::{BrokerConfig, Config};
use sapo_sync::domain::clock::Clock;
use sapo_sync::sandbox::{BucketConfig, Sandbox, SandboxConfig};
use sapo_sync::store::dead_letters::{DeadFilter, DeadLetter};
use sapo_sync::store::ledger::{EventFilter, LedgerRow};
use sapo_sync::store::parked::ParkedRow;
use sapo_sync::store::{Cipher, Store};
use sapo_sync::sync::connect::{apply, file};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, environment, open_broker};
use crate::harness::{PATIENCE, Setup, config_of, connections_of};

/// So often in a row nothing must be seen to happen before all is settled: between two processes an event shows nowhere.
const LOOKS: u32 = 8;
/// How long a process may take to answer for its state.
const ANSWER: Duration = Duration::from_secs(10);
/// Lines of each process's log that a failed test prints.
const TAIL: usize = 30;
/// Connections to the state database that a process may have: four clusters at once are not to use up the hundred of a
/// server.
const CONNECTIONS: u32 = 5;

/// Shops, state, queues, and the processes between them.
pub struct Cluster {
    programs: BTreeMap<String, Program>,
    /// The shops, each with a site; with two partitions each of the first two is in one of its own.
    pub shops: Vec<Sandbox>,
    /// Settings that lead straight to the servers.
    pub config: Config,
    /// The state, seen by the test itself.
    pub store: Store,
    broker: Option<Arc<dyn Broker>>,
    client: reqwest::Client,
    dir: TempDir,
    _backend: Option<Backend>,
}

/// A process, running or not.
struct Program {
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    port: u16,
    child: Option<Child>,
}

/// The name of a shop's connection.
pub fn connection(shop: usize) -> String {
    format!("cua-hang-{shop}")
}

impl Cluster {
    /// On servers, with a database and queues of its own: nothing is migrated, connected or started yet.
    pub async fn bare(shops: usize) -> Self {
        let backend = Backend::servers().await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_of(&Setup::default(), dir.path().to_owned());
        backend.set(&mut config);
        Self::on(config, dir, Some(backend), shops).await
    }

    /// The same, migrated and connected.
    pub async fn new(shops: usize) -> Self {
        let mut cluster = Self::bare(shops).await;
        cluster.prepare().await;
        cluster
    }

    /// On the servers that the settings name.
    pub async fn on(config: Config, dir: TempDir, backend: Option<Backend>, shops: usize) -> Self {
        let mut all = Vec::new();
        for shop in 0..shops {
            all.push(Sandbox::start(shop_config(shop)).await.unwrap());
        }
        let cipher = Cipher::from_key_or_file(config.master_key.as_ref(), &dir.path().join("master.key")).unwrap();
        let url = config.database_url.expose_secret();
        let store = Store::connect(url, cipher, Clock::system(), CONNECTIONS).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        let programs = BTreeMap::new();
        Self { programs, shops: all, config, store, broker: None, client, dir, _backend: backend }
    }

    /// Migrates, and connects the shops.
    pub async fn prepare(&mut self) {
        sapo_sync::app::migrate(&self.config, &CancellationToken::new()).await.unwrap();
        let named = self.shops.iter().enumerate();
        let text: String =
            named.map(|(n, shop)| connections_of(shop, &connection(n), (true, true, true), "")).collect();
        let parsed = file::parse(&text, self.dir.path()).unwrap();
        let http = sapo_sync::app::sender(&self.config, self.store.clock()).unwrap();
        apply(&self.store, &http, &parsed, false, false, "test").await.unwrap();
        self.broker = Some(open_broker(&self.config).await);
    }

    /// The queues, seen by the test itself.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        self.broker.as_ref().expect("the cluster is prepared")
    }

    /// The first shop.
    pub fn shop(&self) -> &Sandbox {
        &self.shops[0]
    }

    /// Sends all shops' webhooks there.
    pub fn send_webhooks_to(&self, address: SocketAddr) {
        for shop in &self.shops {
            shop.send_webhooks_to(&format!("http://{address}"));
        }
    }

    // ---- processes -----------------------------------------------------------------------------------------------

    /// Starts a process, such as `start("worker", "work --kind order")`.
    pub fn start(&mut self, name: &str, arguments: &str) {
        self.start_with(name, arguments, &[]);
    }

    /// The same with more settings; they hold until it is started by `start_with` again.
    pub fn start_with(&mut self, name: &str, arguments: &str, settings: &[(&str, String)]) {
        assert!(!self.is_running(name), "{name} is running already");
        let port = self.programs.get(name).map_or_else(free_port, |program| program.port);
        let program = Program {
            arguments: arguments.split_whitespace().map(ToOwned::to_owned).collect(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            port,
            child: None,
        };
        self.programs.insert(name.to_owned(), program);
        self.restart(name);
    }

    /// Starts a process again with all that it was started with, on its data dir and its address.
    pub fn restart(&mut self, name: &str) {
        let log = File::options().create(true).append(true).open(self.log(name)).unwrap();
        let mut command = self.bare_command(&self.data_dir(name));
        let program = self.programs.get_mut(name).expect("it was started before");
        command
            .args(&program.arguments)
            .env("SAPO_SYNC__LISTEN", format!("127.0.0.1:{}", program.port))
            .envs(program.settings.iter().map(|(key, value)| (key, value)))
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        program.child = Some(command.spawn().unwrap());
    }

    fn bare_command(&self, data_dir: &Path) -> Command {
        let wait = |wait: &Duration| format!("{}ms", wait.as_millis());
        let config = Config { data_dir: data_dir.to_owned(), ..self.config.clone() };
        let schedule: Vec<String> = config.retry.schedule.iter().map(wait).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
        command
            .envs(environment(&config))
            .env("SAPO_SYNC__DATABASE__CONNECTIONS", CONNECTIONS.to_string())
            .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
            // The longest there is: an answer that a test holds is not to be given up meanwhile.
            .env("SAPO_SYNC__OUTGOING__TIMEOUT", "20s")
            .env("SAPO_SYNC__OUTGOING__SAPO_LIMIT", "2000+1000/s")
            .env("SAPO_SYNC__OUTGOING__ABAHA_LIMIT", "2000+1000/s")
            .env("SAPO_SYNC__RETRY__SCHEDULE", schedule.join(","))
            .env("SAPO_SYNC__RETRY__SETTLE_AFTER", wait(&config.retry.settle_after))
            .env("SAPO_SYNC__RECONCILE__EVERY", "off")
            .env("SAPO_SYNC__LOG__FILTER", "info")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub async fn command(&self, arguments: &str) -> Output {
        let mut command = self.bare_command(&self.data_dir("commands"));
        command.args(arguments.split_whitespace());
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// Whether it was started and has not ended.
    pub fn is_running(&mut self, name: &str) -> bool {
        let child = self.programs.get_mut(name).and_then(|program| program.child.as_mut());
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `kill -9`.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.programs.get_mut(name).and_then(|program| program.child.take()).expect("it was started");
        let _died_before = child.kill();
        child.wait().unwrap();
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str, signal: &str) {
        let child = self.programs[name].child.as_ref().expect("it was started");
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{name} got {signal}");
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, name: &str) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.programs.get_mut(name).and_then(|program| program.child.as_mut()).expect("it was started");
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{name} does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it as an operator does; it must end well.
    pub async fn stop(&mut self, name: &str) {
        self.signal(name, "TERM");
        let status = self.ended(name).await;
        assert!(status.success(), "{name} ended with {status}");
    }

    /// The process's number.
    pub fn pid(&self, name: &str) -> u32 {
        self.programs[name].child.as_ref().expect("it was started").id()
    }

    pub fn address(&self, name: &str) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.programs[name].port))
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.log"))
    }

    // ---- what they tell ------------------------------------------------------------------------------------------

    /// The status and body of a page of a process; `None` where it does not answer.
    pub async fn page(&self, name: &str, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("http://{}{path}", self.address(name))).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The sum of a metric of a process; `None` where it does not answer, 0 where it tells no such metric.
    pub async fn metric(&self, name: &str, metric: &str) -> Option<f64> {
        let (_, page) = self.page(name, "/metrics").await?;
        let told = |line: &str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{']));
        let lines = page.lines().filter(|line| told(line));
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    pub async fn is_ready(&self, name: &str) -> bool {
        self.page(name, "/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// Waits until these are ready; none of them may end.
    pub async fn ready(&mut self, names: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        for name in names {
            while !self.is_ready(name).await {
                assert!(self.is_running(name), "{name} has ended");
                let page = self.page(name, "/readyz").await;
                assert!(Instant::now() < deadline, "{name} does not get ready: {page:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until all that run are ready.
    pub async fn all_ready(&mut self) {
        let names: Vec<String> = self.programs.keys().cloned().collect();
        let running: Vec<String> = names.into_iter().filter(|name| self.is_running(name)).collect();
        self.ready(&running.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    /// The queues that a worker has the leases of, now.
    pub async fn queues_of(&self, name: &str) -> Vec<Queue> {
        let files = ["work", "up"].map(|role| self.data_dir(name).join(format!("{role}.owner")));
        let Some(owner) = files.iter().find_map(|file| std::fs::read_to_string(file).ok()) else { return Vec::new() };
        let now = self.store.clock().now();
        let leases = self.store.leases("").await.unwrap().into_iter();
        let own = leases.filter(|lease| lease.owner == owner.trim() && lease.lease_until > now);
        own.filter_map(|lease| Queue::from_word(&lease.name)).collect()
    }

    /// Waits until these workers have so many queues each, and have settled with the broker who takes from what.
    pub async fn shared(&mut self, wanted: &[(&str, usize)]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut found = Vec::new();
            for (name, _) in wanted {
                let held = self.metric(name, "sapo_sync_queues_held").await.unwrap_or_default() as usize;
                found.push((self.queues_of(name).await.len(), held));
            }
            if found.iter().zip(wanted).all(|((leased, held), (_, count))| leased == count && held == count) {
                return;
            }
            assert!(Instant::now() < deadline, "queues leased and held by {wanted:?}: {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    // ---- what became of it ---------------------------------------------------------------------------------------

    pub async fn events(&self) -> Vec<LedgerRow> {
        let filter = EventFilter { limit: 1_000_000, ..EventFilter::default() };
        let mut rows = self.store.list_events(&filter).await.unwrap();
        rows.reverse();
        rows
    }

    pub async fn dead(&self) -> Vec<DeadLetter> {
        self.store.list_letters(&DeadFilter { limit: 10_000, ..DeadFilter::default() }).await.unwrap()
    }

    pub async fn parked(&self) -> Vec<ParkedRow> {
        self.store.list_parked(None, None, None, 10_000).await.unwrap()
    }

    /// Waits until every webhook is delivered and every event is settled for good.
    pub async fn quiet(&mut self) {
        let (mut moved, mut last) = (Instant::now(), None);
        let end = moved + 4 * PATIENCE;
        let mut looks = 0;
        while looks < LOOKS {
            let busy = self.busy().await;
            looks = if busy.is_some() { 0 } else { looks + 1 };
            // On a busy machine much takes long: as long as something moves it is waited for, but not for ever.
            if busy != last {
                (moved, last) = (Instant::now(), busy.clone());
            }
            if let Some(why) = busy.filter(|_| moved.elapsed() > PATIENCE || Instant::now() > end) {
                let parked = self.parked().await;
                panic!("not quiet in time: {why}; {} parked: {:#?}", parked.len(), parked.iter().take(5));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// What is still to be done, in the order in which an event goes.
    async fn busy(&mut self) -> Option<String> {
        let waiting: usize = self.shops.iter().map(Sandbox::webhooks_waiting).sum();
        if waiting > 0 {
            return Some(format!("{waiting} webhooks wait"));
        }
        let names: Vec<String> = self.programs.keys().cloned().collect();
        for metric in ["sapo_sync_spool_events", "sapo_sync_deliveries_held"] {
            if metric == "sapo_sync_deliveries_held" {
                match self.broker().depth().await {
                    Ok(depth) if depth == Depth::default() => {}
                    other => return Some(format!("queues: {other:?}")),
                }
            }
            for name in &names {
                if self.is_running(name) {
                    match self.metric(name, metric).await {
                        Some(0.0) => {}
                        other => return Some(format!("{metric} of {name}: {other:?}")),
                    }
                }
            }
        }
        match self.store.list_parked(None, None, None, 100).await {
            Ok(rows) if rows.is_empty() => None,
            Ok(rows) => Some(format!("{} parked", rows.len())),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What a process has said so far, in all its runs.
    pub fn logged(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log(name)).unwrap_or_default()).into_owned()
    }

    /// Prints the ends of all logs.
    fn tell(&self) {
        for name in self.programs.keys() {
            let log = self.logged(name);
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- {name}, {} lines, the last:", lines.len());
            lines.iter().skip(lines.len().saturating_sub(TAIL)).for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for program in self.programs.values_mut() {
            if let Some(mut child) = program.child.take() {
                let _ended_before = child.kill();
                let _gone = child.wait();
            }
        }
        if std::thread::panicking() {
            self.tell();
        }
    }
}

/// A shop on the other partition than the last one's, where there are two; its webhooks come again every 200 ms.
fn shop_config(shop: usize) -> SandboxConfig {
    let partition = u16::from(shop.is_multiple_of(2));
    let names = (0..).map(|n| format!("cuahang-{shop}-{n}"));
    let alias = names.into_iter().find(|alias| Queue::partition_of(alias, 2) == partition).unwrap_or_default();
    SandboxConfig {
        alias,
        tenant_id: 70_001 + shop as u64,
        site: (501 + shop).to_string(),
        bucket: BucketConfig { size: 2_000, leak_per_second: 1_000.0, header: true },
        abaha_bucket: None,
        retry: vec![Duration::from_millis(200); 1_000],
        abaha_retry: vec![Duration::from_millis(200); 2],
        ..SandboxConfig::default()
    }
}

/// A port that nothing listens on, below those that the system gives to outgoing connections and to listeners that ask
/// for any: it is still free when a killed process is started again.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side have numbers that follow each other; their ports lie far apart.
    let first = u16::try_from(std::process::id() % 10_000 * 7_919 % 10_000).unwrap_or_default();
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The settings that lead a process to a server by another address, such as a proxy's.
pub fn by_way_of(
    config: &Config,
    database: Option<SocketAddr>,
    broker: Option<SocketAddr>,
) -> Vec<(&'static str, String)> {
    let through = |url: &str, address: SocketAddr| {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        format!("{scheme}://{user}{address}/{path}")
    };
    let mut settings = Vec::new();
    if let Some(address) = database {
        settings.push(("SAPO_SYNC__DATABASE__URL", through(config.database_url.expose_secret(), address)));
    }
    if let (Some(address), BrokerConfig::RabbitMq(rabbit)) = (broker, &config.broker) {
        settings.push(("SAPO_SYNC__BROKER__URL", through(rabbit.url.expose_secret(), address)));
    }
    settings
}

/// The address that a server's URL names.
pub async fn address_of(url: &str) -> SocketAddr {
    let rest = url.split_once("://").expect("a URL").1;
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    tokio::net::lookup_host(host).await.unwrap().find(SocketAddr::is_ipv4).expect("an IPv4 address")
}
