//! How fast webhooks are taken: verified, kept durably, answered. `cargo bench --bench intake -- --help` lists options.
//!
//! In one go on one machine, round by round, everything once in each: our receiver with the embedded queue and with
//! RabbitMQ (a quorum queue); bare confirmed publishing with lapin; Express with amqplib and `FastAPI` with aio-pika
//! (`deploy/bench/`); a receiver that keeps nothing, which tells what client and machine allow. Every row is checked:
//! the queue must hold exactly what was answered 200. Then latency at half of the highest rate, plain SQLite inserts
//! with one commit each (what group commit saves), and the memory of `up`.
//!
//! | file | what it does |
//! |---|---|
//! | `options` | what is asked for |
//! | `cell` | measures one subject once, and checks it |
//! | `load` | the client |
//! | `child`, `serve`, `peers` | servers as child processes: ours, and the peers |
//! | `rabbit` | bare publishing; counts and deletes queues |
//! | `memory` | plain inserts, the memory of `up` |
//! | `report` | tables and bars |

mod cell;
mod child;
mod load;
mod memory;
mod options;
mod peers;
mod rabbit;
mod report;
mod serve;

use std::sync::Arc;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use cell::{Subject, World};
use load::Pace;
use options::Options;
use peers::Peer;
use rabbit::Rabbit;
use report::Report;

const SECRET: &str = "bench-secret";
const BODY: &str = include_str!("../../fixtures/omni/webhook-orders-create-fee-and-discount.json");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(at) = arguments.iter().position(|argument| argument == "--serve") {
        return runtime.block_on(serve::serve(&arguments[at + 1..]));
    }
    if arguments.iter().any(|argument| argument == "--help") {
        return println!("{}", options::HELP);
    }
    let code = match Options::parse(&arguments) {
        Ok(options) => runtime.block_on(run(options)),
        Err(why) => {
            eprintln!("{why}");
            2
        }
    };
    std::process::exit(code);
}

/// Measures, and leaves nothing behind, however it ends: servers end with their guards, queues are deleted here.
async fn run(options: Options) -> i32 {
    let found = Rabbit::find().await.map(Arc::new);
    let rabbit = found.as_ref().ok().cloned();
    let mut measuring = tokio::spawn(measure(options, found));
    let code = tokio::select! {
        done = &mut measuring => match done {
            Ok(Ok(true)) => 0,
            Ok(Ok(false)) => {
                println!("\nNOT SOUND: something was not measured, or answered otherwise than 200, or a queue does not hold what was answered");
                1
            }
            Ok(Err(error)) => {
                eprintln!("{error:#}");
                1
            }
            Err(error) => {
                eprintln!("{error}");
                1
            }
        },
        () = sapo_sync::app::signal() => {
            measuring.abort();
            let _aborted = measuring.await;
            eprintln!("stopped");
            130
        }
    };
    if let Some(rabbit) = rabbit {
        rabbit.delete_all().await;
    }
    code
}

/// Everything; whether all of it is sound.
async fn measure(options: Options, found: Result<Arc<Rabbit>, String>) -> anyhow::Result<bool> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {processors} processors, {}", processor());
    let mut missing = Vec::new();
    let rabbit = match found {
        Ok(rabbit) => {
            println!("RabbitMQ: {}, here or where SAPO_SYNC_TEST_BROKER_URL says", rabbit.version);
            Some(rabbit)
        }
        Err(why) => {
            if ["rabbitmq", "lapin", "express", "fastapi"].iter().any(|name| options.wants(name)) {
                missing.push(format!("rabbitmq, lapin, express, fastapi: {why}"));
            }
            None
        }
    };
    let (mut express, mut fastapi) = (None, None);
    if rabbit.is_some() && options.wants("express") {
        express = there("express", Peer::express, &mut missing).await?;
    }
    if rabbit.is_some() && options.wants("fastapi") {
        fastapi = there("fastapi", Peer::fastapi, &mut missing).await?;
    }
    for line in &missing {
        println!("NOT MEASURED: {line}");
    }
    println!(
        "body: {} bytes, signed; {} rounds of {} s for each figure; client, servers and RabbitMQ share the processors",
        BODY.len(),
        options.rounds,
        options.span.as_secs()
    );
    if cfg!(debug_assertions) {
        println!("NOT OPTIMISED: this is a debug build, whose figures say nothing; use cargo bench");
    }
    let world = World { request: request().into(), rabbit, express, fastapi, span: options.span };
    let report = rounds(&world, &options, processors.max(2)).await;
    report.print();
    report.print_bars();
    let sound = half(&world, &options, &report).await? && report.is_sound();
    if options.wants("embedded") {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let single = memory::single_inserts(folder.path(), options.span / 2).await?;
        println!("\nplain SQLite, one insert and one fsync at a time: {single:.0} rows/s");
    }
    if options.wants("memory") {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        memory::memory(folder.path(), &world.request, options.span).await?;
    }
    for line in &missing {
        println!("\nNOT MEASURED: {line}");
    }
    Ok(sound)
}

/// Installs a peer, and tells what it runs on.
async fn there(
    name: &str,
    install: fn() -> Result<Peer, String>,
    missing: &mut Vec<String>,
) -> anyhow::Result<Option<Peer>> {
    match tokio::task::spawn_blocking(install).await? {
        Ok(peer) => {
            println!("{name}: {}", peer.runs_on);
            Ok(Some(peer))
        }
        Err(why) => {
            missing.push(format!("{name}: {why}"));
            Ok(None)
        }
    }
}

/// Each round has everything once, so that what the machine does meanwhile falls on all alike.
async fn rounds(world: &World, options: &Options, workers: usize) -> Report {
    let mut subjects = vec![(Subject::Rabbit, "rabbitmq"), (Subject::Lapin, "lapin"), (Subject::LapinHeaders, "lapin")];
    if world.express.is_some() {
        subjects.extend([(Subject::Express(1), "express"), (Subject::Express(workers), "express")]);
    }
    if world.fastapi.is_some() {
        subjects.extend([(Subject::FastApi(1), "fastapi"), (Subject::FastApi(workers), "fastapi")]);
    }
    subjects.retain(|(subject, _)| world.rabbit.is_some() || !subject.on_rabbit());
    subjects.extend([(Subject::Embedded, "embedded"), (Subject::Nothing, "nothing")]);
    subjects.retain(|(_, name)| options.wants(name));
    let mut report = Report::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for connections in [1, 8, 32, 64, 128, 256] {
            for (subject, _) in &subjects {
                if options.connections(*subject).contains(&connections) {
                    match world.measure(*subject, connections, Pace::FlatOut).await {
                        Ok(cell) => report.add(connections, *subject, cell),
                        Err(error) => report.fail(connections, *subject, &error),
                    }
                }
            }
        }
    }
    report
}

/// Latency of ours at half of its highest rate; whether it is sound.
async fn half(world: &World, options: &Options, report: &Report) -> anyhow::Result<bool> {
    let mut sound = true;
    let mut told = false;
    for subject in [Subject::Rabbit, Subject::Embedded] {
        let Some((connections, best)) = report.best(subject) else { continue };
        if !told {
            println!(
                "\nlatency at half of the highest rate: due at equal distances, whether or not those before are answered"
            );
            told = true;
        }
        let mut cells = Vec::new();
        for _ in 0..options.rounds {
            cells.push(world.measure(subject, connections, Pace::Steady(best / 2.0)).await?);
        }
        report::print_half(subject, connections, best / 2.0, &cells);
        sound &= cells.iter().all(cell::Cell::is_sound);
    }
    Ok(sound)
}

/// A webhook as Sapo sends it, signed.
fn request() -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes any key");
    mac.update(BODY.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut request = format!(
        "POST /webhooks/omni/mau HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\
         user-agent: JVM\r\nx-sapo-topic: orders/create\r\nx-sapo-tenant-domain: mau.mysapogo.com\r\nx-sapo-hmac-sha256: {signature}\r\n\r\n",
        BODY.len()
    )
    .into_bytes();
    request.extend_from_slice(BODY.as_bytes());
    request
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(|| "unknown".to_owned(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}
