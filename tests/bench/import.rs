//! What the first import of a web costs: `cargo bench --bench import [-- VARIANTS]`.
//!
//! A shop and a web of so many variants each (50,000 where nothing is said), and of a tenth of that, in one run: the
//! program imports them in a process of its own, against sandboxes in this one whose limits are wide open. Told are the
//! calls beside the fewest pages that the APIs can give, the highest memory of the process for both sizes, and the
//! processor time of the link step alone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sapo_sync::domain::clock::Clock;
use sapo_sync::sandbox::{Api, BucketConfig, Sandbox, SandboxConfig, WebSite};
use sapo_sync::store::{Cipher, Store};
use sapo_sync::work::web::linking;

const CONNECTION: &str = "mau-web1";
const ALIAS: &str = "webmau1";
/// Rows in a page, as both APIs have it.
const PAGE: usize = 250;
/// The share of calls above the fewest pages that is allowed.
const MARGIN: f64 = 0.05;

fn main() {
    let size = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let size: usize = size.map_or(50_000, |text| text.parse().expect("a number of variants"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let code = match runtime.block_on(run(size)) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    };
    std::process::exit(code);
}

/// What was measured of one size.
struct Measured {
    size: usize,
    events: i64,
    /// Reading calls of pages and counts, other reading calls, writing calls.
    calls: (usize, usize, usize),
    wall: Duration,
    processor: Duration,
    memory: u64,
    link: Duration,
}

impl Measured {
    fn fewest(&self) -> usize {
        2 * self.size.div_ceil(PAGE)
    }
}

/// Measures both sizes; whether the figures are within their bars.
async fn run(size: usize) -> anyhow::Result<bool> {
    println!("machine: {} processors, {}", std::thread::available_parallelism().map_or(1, usize::from), processor());
    if cfg!(debug_assertions) {
        println!("NOT OPTIMISED: this is a debug build, whose figures say nothing; use cargo bench");
    }
    let mut all = Vec::new();
    for size in [size / 10, size] {
        eprintln!("{size} variants a side");
        all.push(measure(size).await?);
    }
    println!(
        "\n| variants a side | page calls | fewest | other reads | writes | events | wall | processor | memory, highest | link step, processor |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for it in &all {
        println!(
            "| {} | {} | {} | {} | {} | {} | {:.1} s | {:.1} s | {} MB | {:.2} s |",
            it.size,
            it.calls.0,
            it.fewest(),
            it.calls.1,
            it.calls.2,
            it.events,
            it.wall.as_secs_f64(),
            it.processor.as_secs_f64(),
            it.memory / 1000,
            it.link.as_secs_f64()
        );
    }
    let [small, large] = all.as_slice() else { bail!("two sizes are measured") };
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let over = (large.calls.0 + large.calls.1) as f64 / large.fewest() as f64 - 1.0;
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let growth = large.memory as f64 / small.memory as f64;
    println!("\nreading calls: {:.1} % above the fewest pages (bar: {:.0} %)", over * 100.0, MARGIN * 100.0);
    println!("memory: {growth:.2} times that of a tenth of the catalogue");
    println!("link step: {:.2} s of processor time (bar: 5 s for 50,000)", large.link.as_secs_f64());
    Ok(over <= MARGIN)
}

async fn measure(size: usize) -> anyhow::Result<Measured> {
    let wide = BucketConfig { size: 1_000_000, leak_per_second: 1_000_000.0, header: false };
    let site = WebSite { bucket: wide, ..WebSite::named(ALIAS) };
    let config = SandboxConfig { bucket: wide, web_sites: vec![site], ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await?;
    sandbox.stop_webhooks();
    sandbox.omni().bulk(size);
    sandbox.web(ALIAS).bulk(size);

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    connect(&sandbox, folder.path())?;
    sandbox.clear_calls();
    let began = Instant::now();
    let seen = watched(command(folder.path()).args(["import", "--connection", CONNECTION, "--json"])).await?;
    let wall = began.elapsed();
    let calls = counted(&sandbox);

    // The link step alone: a plan leaves both catalogues in the store, and nothing linked.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    connect(&sandbox, folder.path())?;
    watched(command(folder.path()).args(["plan", "--connection", CONNECTION, "--json", "--limit", "1"])).await?;
    let link = link_step(folder.path(), size).await?;
    sandbox.stop().await;
    Ok(Measured { size, events: seen.events, calls, wall, processor: seen.processor, memory: seen.memory, link })
}

/// Connects the sandbox's shop with its web.
fn connect(sandbox: &Sandbox, folder: &Path) -> anyhow::Result<()> {
    let config = sandbox.config();
    let site = &config.web_sites[0];
    let text = format!(
        "[[store]]\nalias = \"{}\"\naccess_token = \"{}\"\nwebhook_secret = [\"{}\"]\nbase_url = \"{}\"\n\
         [[connection]]\nname = \"{CONNECTION}\"\nstore = \"{}\"\nchannel = \"web\"\nsite = \"{ALIAS}\"\n\
         access_token = \"{}\"\nwebhook_secret = \"{}\"\nbase_url = \"{}\"\nsole_pos = true\n\
         stock_branches = [58001]\n",
        config.alias,
        config.access_token,
        config.webhook_secret,
        sandbox.omni_url(),
        config.alias,
        site.access_token,
        site.webhook_secret,
        sandbox.web_url(ALIAS),
    );
    let file = folder.join("connections.toml");
    std::fs::write(&file, text)?;
    let status = command(folder).args(["connect", "apply"]).arg(&file).stdout(Stdio::null()).status()?;
    if !status.success() {
        bail!("the sandbox could not be connected: {status}");
    }
    Ok(())
}

/// The program on a folder of its own, with no limit that counts.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
    command
        .env("SAPO_SYNC__DATA_DIR", folder)
        .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
        .env("SAPO_SYNC__OUTGOING__SAPO_LIMIT", "1000000+1000000/s")
        .env("SAPO_SYNC__OUTGOING__WEB_LIMIT", "1000000+1000000/s")
        .env("SAPO_SYNC__LOG__FILTER", "warn")
        .stdin(Stdio::null());
    command
}

/// What was seen of a process.
struct Seen {
    events: i64,
    processor: Duration,
    /// Kilobytes.
    memory: u64,
}

/// Runs a command to its end, and looks at its process meanwhile.
async fn watched(command: &mut Command) -> anyhow::Result<Seen> {
    let out = tempfile::NamedTempFile::new()?;
    let mut child = command.stdout(out.reopen()?).spawn().context("the program cannot be started")?;
    let mut seen = Seen { events: 0, processor: Duration::ZERO, memory: 0 };
    let status = loop {
        look(&child, &mut seen);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let said = std::fs::read_to_string(out.path())?;
    if !status.success() {
        bail!("the program ended with {status}: {}", said.chars().take(2_000).collect::<String>());
    }
    let summary = said.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line.get("events").and_then(serde_json::Value::as_i64)
    });
    seen.events = summary.unwrap_or_default();
    Ok(seen)
}

fn look(child: &Child, seen: &mut Seen) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let memory = line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or_default();
    seen.memory = seen.memory.max(memory);
    seen.processor = seen.processor.max(processor_time(&child.id().to_string()));
}

/// User and system time of a process; Linux counts them in hundredths of a second.
fn processor_time(id: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The calls of an import: of pages and counts, of single objects, and those that write.
fn counted(sandbox: &Sandbox) -> (usize, usize, usize) {
    let (mut pages, mut others, mut writes) = (0, 0, 0);
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for call in sandbox.calls() {
        let path: String = call.path.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let api = if call.api == Api::Omni { "Sapo" } else { "web" };
        *kinds.entry(format!("{api} {} {}", call.method, path.replace("##", "#"))).or_default() += 1;
        match call.path.as_str() {
            _ if call.writing => writes += 1,
            "products" | "products/count" => pages += 1,
            _ => others += 1,
        }
    }
    for (kind, count) in kinds {
        eprintln!("  {count:>7} {kind}");
    }
    (pages, others, writes)
}

/// Links what a plan has read; the processor time of this process, in which nothing else is at work.
async fn link_step(folder: &Path, size: usize) -> anyhow::Result<Duration> {
    let cipher = Cipher::from_key_or_file(None, &folder.join("master.key"))?;
    let url = format!("sqlite://{}", folder.join("state.db").display());
    let store = Store::open(&url, cipher, Clock::system()).await?;
    let before = processor_time("self");
    let summary = linking::relink_all(&store, CONNECTION, |_| {}).await?;
    let took = processor_time("self").saturating_sub(before);
    store.close().await;
    if summary.new_links != size as u64 {
        bail!("{} links were made of {size}", summary.new_links);
    }
    Ok(took)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(|| "unknown".to_owned(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}
