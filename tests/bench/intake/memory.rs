//! Figures of ours alone: what group commit saves, and the memory of `up`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;

use crate::child::Server;
use crate::load::{Pace, load};
use crate::{BODY, serve};

/// What group commit saves: the same rows, one transaction and one fsync each.
pub async fn single_inserts(folder: &Path, span: Duration) -> anyhow::Result<f64> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("one.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    sqlx::query("create table queue (seq integer primary key, body blob)").execute(&mut connection).await?;
    let start = Instant::now();
    let mut rows = 0_u32;
    while start.elapsed() < span {
        sqlx::query("insert into queue (body) values ($1)").bind(BODY.as_bytes()).execute(&mut connection).await?;
        rows += 1;
    }
    Ok(f64::from(rows) / start.elapsed().as_secs_f64())
}

/// The memory of the whole program, idle and at full intake (its connection's switches are off, so that only intake,
/// queue and ledger work).
pub async fn memory(folder: &Path, request: &Arc<[u8]>, span: Duration) -> anyhow::Result<()> {
    drop(serve::connected_store(folder).await);
    let program = env!("CARGO_BIN_EXE_sapo-sync");
    let started = Instant::now();
    let server = Server::start(|port| {
        let mut command = Command::new(program);
        command
            .arg("up")
            .env("SAPO_SYNC__DATA_DIR", folder)
            .env("SAPO_SYNC__LISTEN", format!("127.0.0.1:{port}"))
            .env("SAPO_SYNC__RECONCILE__EVERY", "off");
        command
    })
    .await?;
    println!("\nup: answers {} ms after its start", started.elapsed().as_millis());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident(&server, "VmRSS");
    let figures = load(server.address, request, 64, span, Pace::FlatOut).await;
    println!(
        "up: idle {idle} MB resident; {} MB at the most while {:.0} webhooks/s were taken and worked on",
        resident(&server, "VmHWM"),
        figures.rate()
    );
    println!("binary: {} MB", std::fs::metadata(program)?.len() / 1_000_000);
    Ok(())
}

/// Megabytes, as Linux tells them.
fn resident(server: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1000
}
