//! How fast webhooks are taken: verified, kept durably (fsync before the answer), answered.
//!
//! `cargo bench --bench intake` runs, in one go on one machine: the receiver with the embedded queue at 1, 8, 64 and
//! 256 connections; a receiver of the same framework that keeps nothing (the ceiling); plain SQLite inserts, one
//! commit each (what group commit saves); and the memory of `up`, idle and under load.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sapo_sync::broker::embedded::Embedded;
use sapo_sync::domain::clock::Clock;
use sapo_sync::receive::{Receiver, router};
use sapo_sync::store::cache::SnapshotCache;
use sapo_sync::store::{Cipher, Store};
use sapo_sync::sync::connect::{apply, file};
use sha2::Sha256;
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "bench-secret";
const BODY: &str = include_str!("../fixtures/omni/webhook-orders-create-fee-and-discount.json");
const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
const SPAN: Duration = Duration::from_secs(4);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.iter().position(|argument| argument == "--serve") {
        Some(at) => runtime.block_on(serve(&arguments[at + 1], Path::new(&arguments[at + 2]))),
        None => runtime.block_on(measure()),
    }
}

async fn measure() {
    let request = request();
    println!("machine: {} processors, {}", std::thread::available_parallelism().map_or(0, usize::from), processor());
    println!(
        "body: {} bytes, signed; {} s for each figure; client and server share the processors\n",
        BODY.len(),
        SPAN.as_secs()
    );
    let single = single_inserts().await;
    println!("plain SQLite, one insert and one fsync at a time: {single:.0} rows/s\n");
    println!(
        "{:>12} {:>14} {:>9} {:>9} {:>16} {:>14} {:>9}",
        "connections", "webhooks/s", "p50 ms", "p99 ms", "webhooks/commit", "keeps nothing/s", "ratio"
    );
    for connections in CONNECTIONS {
        let (ours, commits) = run("receive", &request, connections).await;
        let (bare, _) = run("bare", &request, connections).await;
        let share = if commits > 0 { ours.answered as f64 / commits as f64 } else { 0.0 };
        println!(
            "{connections:>12} {:>14.0} {:>9.2} {:>9.2} {share:>16.1} {:>14.0} {:>9.2}",
            ours.rate(),
            ours.percentile(50),
            ours.percentile(99),
            bare.rate(),
            ours.rate() / bare.rate()
        );
    }
    memory(&request).await;
}

fn request() -> Vec<u8> {
    let body = BODY;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut request = format!(
        "POST /webhooks/omni/mau HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\
         user-agent: JVM\r\nx-sapo-topic: orders/create\r\nx-sapo-tenant-domain: mau.mysapogo.com\r\nx-sapo-hmac-sha256: {signature}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body.as_bytes());
    request
}

struct Figures {
    answered: u64,
    span: Duration,
    latencies: Vec<u32>,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64()
    }

    /// In milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        f64::from(self.latencies.get(at).copied().unwrap_or_default()) / 1000.0
    }
}

async fn run(what: &str, request: &[u8], connections: usize) -> (Figures, i64) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--serve", what])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let address: SocketAddr = lines.next().unwrap().unwrap().parse().unwrap();
    load(address, request, connections, Duration::from_secs(1)).await;
    let before = commits(address).await;
    let figures = load(address, request, connections, SPAN).await;
    let after = commits(address).await;
    server.kill().unwrap();
    server.wait().unwrap();
    (figures, after - before)
}

async fn commits(address: SocketAddr) -> i64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /commits HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.rsplit("\r\n").next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn load(address: SocketAddr, request: &[u8], connections: usize, span: Duration) -> Figures {
    let start = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let request = request.to_vec();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut latencies = Vec::new();
                let mut answer = vec![0; 4096];
                while start.elapsed() < span {
                    let sent = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    let mut have = 0;
                    while !whole(&answer[..have]) {
                        let n = stream.read(&mut answer[have..]).await.unwrap();
                        assert!(n > 0, "the server closed the connection");
                        have += n;
                    }
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..have]));
                    latencies.push(sent.elapsed().as_micros() as u32);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies.sort_unstable();
    Figures { answered: latencies.len() as u64, span: start.elapsed(), latencies }
}

fn whole(answer: &[u8]) -> bool {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    body.len() >= length
}

async fn serve(what: &str, folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = if what == "bare" {
        Router::new()
            .route(
                "/webhooks/omni/{name}",
                post(async |_body: Bytes| "{\"id\":\"00000000-0000-0000-0000-000000000000\"}"),
            )
            .route("/commits", post(async || "0"))
    } else {
        let store = connected_store(folder).await;
        let broker = Embedded::open(&folder.join("queue.db")).await.unwrap();
        let snapshot = SnapshotCache::new(store.clone());
        snapshot.refresh().await.unwrap();
        let counted = broker.clone();
        router(Receiver::new(Arc::new(broker), snapshot, store, Clock::system())).route(
            "/commits",
            post(move || {
                let counted = counted.clone();
                async move { counted.commits().to_string() }
            }),
        )
    };
    let listener =
        axum::serve::ListenerExt::tap_io(listener, |stream: &mut TcpStream| stream.set_nodelay(true).unwrap());
    axum::serve(listener, router).await.unwrap();
}

async fn connected_store(folder: &Path) -> Store {
    let cipher = Cipher::from_key_or_file(None, &folder.join("master.key")).unwrap();
    let store =
        Store::open(&format!("sqlite://{}", folder.join("state.db").display()), cipher, Clock::system()).await.unwrap();
    let parsed = file::parse(&connections_file(), folder).unwrap();
    let limits = sapo_sync::destination::Limits::new(
        Clock::system(),
        sapo_sync::destination::Rate::SAPO,
        sapo_sync::destination::Rate::ABAHA,
    );
    let http =
        sapo_sync::destination::Http::new(sapo_sync::destination::HttpSettings::default(), limits, Clock::system())
            .unwrap();
    apply(&store, &http, &parsed, false, true, "bench").await.unwrap();
    store
}

fn connections_file() -> String {
    format!(
        "[[store]]\nalias = \"mau\"\naccess_token = \"t\"\nwebhook_secret = \"{SECRET}\"\n\
         [[connection]]\nname = \"mau-abaha\"\nstore = \"mau\"\nchannel = \"abaha\"\nsite = \"501\"\ntoken = \"t\"\n\
         webhook_header = {{ name = \"X-Shop-Key\", value = \"v\" }}\nbranch = 58001\n"
    )
}

/// What group commit saves: the same rows, one transaction and one fsync each.
async fn single_inserts() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("one.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("create table queue (seq integer primary key, body blob)").execute(&mut connection).await.unwrap();
    let body = BODY;
    let start = Instant::now();
    let mut rows = 0_u32;
    while start.elapsed() < SPAN / 2 {
        sqlx::query("insert into queue (body) values ($1)")
            .bind(body.as_bytes())
            .execute(&mut connection)
            .await
            .unwrap();
        rows += 1;
    }
    f64::from(rows) / start.elapsed().as_secs_f64()
}

/// The memory of the whole program, idle and at full intake (its connection's switches are off, so that only intake,
/// queue and ledger work).
async fn memory(request: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    drop(connected_store(folder.path()).await);
    let port = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() };
    let started = Instant::now();
    let mut server = Command::new(env!("CARGO_BIN_EXE_sapo-sync"))
        .arg("up")
        .env("SAPO_SYNC__DATA_DIR", folder.path())
        .env("SAPO_SYNC__LISTEN", format!("127.0.0.1:{port}"))
        .env("SAPO_SYNC__RECONCILE__EVERY", "off")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("\nup: listens {} ms after its start", started.elapsed().as_millis());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident(&server, "VmRSS");
    let figures = load(address, request, 64, SPAN).await;
    println!(
        "up: idle {idle} MB resident; {} MB at the most while {:.0} webhooks/s were taken and worked on",
        resident(&server, "VmHWM"),
        figures.rate()
    );
    println!("binary: {} MB", std::fs::metadata(env!("CARGO_BIN_EXE_sapo-sync")).unwrap().len() / 1_000_000);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Megabytes, as Linux tells them.
fn resident(server: &Child, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1000
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(|| "unknown".to_owned(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}
