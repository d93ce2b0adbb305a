//! `demo`: everything beside a made-up shop and site with live traffic, in one process.
//!
//! The state is kept from run to run; the made-up shop is not. Each run therefore makes a shop, a site and a
//! connection under its own number, so that its orders can never be taken for those of an earlier run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::args::{DemoArgs, Global};
use super::exit::Exit;
use super::figures::Figures;
use super::follow::{Progress, until_ended};
use super::process::Process;
use super::setup::{self, ACTOR};
use super::view::View;
use super::{agree, report, shop};
use crate::app::{self, App, Role};
use crate::broker::Depth;
use crate::config::Config;
use crate::domain::clock::Millis;
use crate::domain::connection::State;
use crate::sandbox::{BucketConfig, Sandbox, SandboxConfig, TrafficConfig, WebSite, traffic};
use crate::store::connections::Snapshot;
use crate::sync::connect;
use crate::work::context::Context;

/// The log filter where none is chosen: a demo is told of in its own view.
const DEFAULT_FILTER: &str = "info,lapin=off";
/// Where the demo's state lives unless told otherwise: never among a real shop's.
const DATA_DIR: &str = "./data/demo";
/// What its connections and shops are called, before their number.
const PREFIX: &str = "demo-";
/// The demo's rate limit, on both sides: generous, so that the import takes seconds and not minutes.
const BUCKET: (u32, f64) = (200, 50.0);
/// How often the figures are read.
const TICK: Duration = Duration::from_millis(500);
/// How long the end waits while nothing moves at all, where it was asked for: longer than an order is left alone of which
/// it is not known whether it was made (two minutes).
const PATIENCE: Duration = Duration::from_mins(3);
/// How long the end waits where Ctrl-C was pressed.
const SHORT_PATIENCE: Duration = Duration::from_secs(8);

/// Why the traffic ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Ctrl-C.
    Signal,
    /// The time asked for has passed.
    Time,
}

/// A demo at work.
struct Demo {
    context: Context,
    sandbox: Sandbox,
    /// That of the Abaha site, then those of the webs.
    connections: Vec<String>,
    view: View,
    json: bool,
    since: Millis,
    /// How many things happened in the shop, on the site and on the webs.
    happened: u64,
    /// How the program is called on this state.
    look: String,
}

/// Runs the demo until Ctrl-C, or for as long as asked.
pub async fn run(global: &Global, args: DemoArgs) -> anyhow::Result<Exit> {
    let config = settings(global)?;
    // What happens is drawn; the log would be drawn over it. A filter that was chosen is kept.
    setup::start_logs(if config.log == DEFAULT_FILTER { "warn" } else { &config.log }, &config)?;
    let data_dir = config.data_dir.clone();
    let app = App::open(config, Role::Up).await?;
    let listener = app.bind().await?;
    let known = app.context.store.snapshot().await?;
    let run = next_run(&known).with_context(|| format!("{} is not a demo's", data_dir.display()))?;
    let view = View::new(global.json);
    let sandbox = Sandbox::start(shop_config(&args, run)).await?;
    let connections = shop::connection_names(&sandbox, &format!("{PREFIX}{run}"));
    if run > 1 {
        let events = report_of_earlier(&app.context, &known).await?;
        view.say(&format!("{} goes on: run {run}; {events} of earlier runs can be looked at", data_dir.display()));
    } else {
        view.say(&format!("new state in {}", data_dir.display()));
    }
    connect(&app.context, &sandbox, &known, &connections[0]).await?;
    let process = Process::start(app, Some(listener))?;
    let address = process.address.context("the demo listens nowhere")?;
    let base = format!("http://{address}");
    let webs: Vec<String> = sandbox.web_aliases().iter().map(|alias| sandbox.web_url(alias)).collect();
    view.say(&format!(
        "sapo-sync {base} (metrics: {base}/metrics) · Sapo Omni {} · Abaha {} · Sapo Web {} · control {}",
        sandbox.omni_url(),
        sandbox.abaha_url(),
        if webs.is_empty() { "none".to_owned() } else { webs.join(", ") },
        sandbox.control_url()
    ));
    view.say(&format!(
        "{} products (Sản phẩm), {} customers (Khách hàng); rate limits of all sides {}+{}/s: generous, Sapo's own is 40+2/s",
        args.products, args.customers, BUCKET.0, BUCKET.1
    ));
    sandbox.send_webhooks_to(&base);
    let since = process.context.clock.now();
    let look = format!("sapo-sync --data-dir {}", data_dir.display());
    let context = process.context.clone();
    let mut demo = Demo { context, sandbox, connections, view, json: global.json, since, happened: 0, look };
    let ended = demo.watch_over(process, &args, run).await;
    demo.sandbox.stop().await;
    let exit = ended?;
    if !global.json {
        super::out::line(format!("the state is kept: {} events list", demo.look));
    }
    Ok(exit)
}

/// The settings of a demo: its own data dir and database, generous limits, and the sandbox's hosts allowed.
fn settings(global: &Global) -> anyhow::Result<Config> {
    let mut config = Config::load(global.config.as_deref())?;
    let dir = global.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
    config.database_url = format!("sqlite://{}", dir.join("state.db").display()).into();
    config.data_dir = dir;
    config.allow_custom_hosts = true;
    config.sapo_limit = BUCKET;
    config.abaha_limit = BUCKET;
    config.web_limit = BUCKET;
    Ok(config)
}

/// The run that a connection belongs to: `demo-3` is that of its Abaha site, `demo-3-web1` that of a web.
fn run_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// The number of this run; refuses a data dir that holds anything but demos.
fn next_run(known: &Snapshot) -> anyhow::Result<u64> {
    let mut last = 0;
    for name in known.connections.keys() {
        let Some(number) = run_of(name) else {
            bail!(
                "it holds the connection {name}; the demo wants a data dir of its own: choose another with --data-dir"
            );
        };
        last = last.max(number);
    }
    Ok(last + 1)
}

fn shop_config(args: &DemoArgs, run: u64) -> SandboxConfig {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bucket = BucketConfig { size: BUCKET.0, leak_per_second: BUCKET.1, header: true };
    SandboxConfig {
        omni_listen: any,
        abaha_listen: any,
        web_listen: any,
        control_listen: any,
        alias: format!("{PREFIX}{run}"),
        tenant_id: 70_000 + run,
        site: (500 + run).to_string(),
        seed: args.seed.unwrap_or(run),
        products: args.products,
        customers: args.customers,
        bucket,
        abaha_bucket: Some(BucketConfig { header: false, ..bucket }),
        web_sites: shop::web_aliases(&format!("{PREFIX}{run}-web"), args.webs)
            .iter()
            .map(|alias| WebSite { bucket, ..WebSite::named(alias) })
            .collect(),
        web_odd: args.odd,
        ..SandboxConfig::default()
    }
}

async fn report_of_earlier(context: &Context, known: &Snapshot) -> anyhow::Result<String> {
    let mut events = 0;
    for name in known.connections.keys() {
        events += context.store.tally(name, 0).await?.iter().map(|tally| tally.events).sum::<i64>();
    }
    Ok(format!("{events} events"))
}

/// Stops the connections of earlier runs, whose shops are gone, and connects this run's shop.
async fn connect(context: &Context, sandbox: &Sandbox, known: &Snapshot, name: &str) -> anyhow::Result<()> {
    let mut tx = context.store.begin().await?;
    for row in known.connections.values().filter(|row| row.connection.state != State::Stopped) {
        let earlier = &row.connection.name;
        context
            .store
            .set_connection_state(&mut tx, earlier, State::Stopped, Some("its made-up shop ended with its demo"))
            .await?;
        context.store.audit(&mut tx, ACTOR, "demo", earlier, "stopped").await?;
    }
    tx.commit().await?;
    let file = connect::file::parse(&shop::connections_file(sandbox, name), std::path::Path::new("."))?;
    connect::apply(&context.store, &context.http, &file, false, false, ACTOR).await?;
    context.snapshot.refresh().await?;
    Ok(())
}

impl Demo {
    /// Imports, makes traffic, shows it, and ends it in order; the process is ended whatever happens.
    async fn watch_over(&mut self, mut process: Process, args: &DemoArgs, run: u64) -> anyhow::Result<Exit> {
        let mut signal = Box::pin(app::signal());
        let worked = tokio::select! {
            worked = self.work(args, run) => worked,
            () = &mut signal => Ok(End::Signal),
            error = process.died() => {
                self.view.close();
                return Err(error);
            }
        };
        let ended = match worked {
            Ok(end) => {
                tokio::select! {
                    ended = self.settle(end) => ended,
                    () = &mut signal, if end == End::Time => Ok(Exit::Fine),
                }
            }
            Err(error) => Err(error),
        };
        self.view.close();
        self.sandbox.stop_webhooks();
        let stopped = process.end().await;
        let exit = ended?;
        stopped?;
        Ok(exit)
    }

    async fn work(&mut self, args: &DemoArgs, run: u64) -> anyhow::Result<End> {
        let store = self.context.store.clone();
        for connection in &self.connections {
            let job = store.add_job("import", connection, "{}").await?;
            let import = until_ended(&store, &job.id, &mut Progress::new(!self.json)).await?;
            if report::print(&store, &import, self.json, None).await? == Exit::Failed {
                bail!("the import of the made-up shop failed; that is a defect: please report it");
            }
        }
        self.view.say(&format!("live traffic, about {} things a second; Ctrl-C stops", args.rate));
        self.since = self.context.clock.now();
        let stop = CancellationToken::new();
        let traffic_config = TrafficConfig { events_per_second: args.rate, seed: args.seed.unwrap_or(run) };
        let sandbox = self.sandbox.clone();
        let busy = traffic(&sandbox, traffic_config, stop.clone());
        tokio::select! {
            // Dropped with the select: nothing happens in the shop after the end.
            () = busy => bail!("the traffic ended by itself; that is a defect: please report it"),
            ended = self.show(args.lasting) => ended,
        }
    }

    /// Shows what happens until the time has passed.
    async fn show(&mut self, lasting: Option<Duration>) -> anyhow::Result<End> {
        let mut news = self.sandbox.watch();
        let mut tick = tokio::time::interval(TICK);
        let mut end = std::pin::pin!(async {
            match lasting {
                Some(lasting) => tokio::time::sleep(lasting).await,
                None => std::future::pending().await,
            }
        });
        loop {
            tokio::select! {
                () = &mut end => return Ok(End::Time),
                _ = tick.tick() => {
                    let figures = self.figures().await?;
                    self.view.figures(&figures);
                }
                told = news.recv() => match told {
                    Ok(text) => {
                        self.happened += 1;
                        self.view.news(&text);
                    }
                    // Only lines were lost, not events.
                    Err(RecvError::Lagged(lost)) => self.happened += lost,
                    Err(RecvError::Closed) => bail!("the made-up shop ended by itself; that is a defect: please report it"),
                },
            }
        }
    }

    async fn figures(&self) -> anyhow::Result<Figures> {
        Figures::read(&self.context, &self.sandbox, &self.connections, self.since).await
    }

    /// Waits for what is on its way; where the time was set, compares all sides.
    async fn settle(&mut self, end: End) -> anyhow::Result<Exit> {
        self.view.say("the traffic has ended; waiting for what is on its way (Ctrl-C again ends at once)");
        let quiet = match end {
            End::Time => self.until_quiet().await?,
            End::Signal => tokio::time::timeout(SHORT_PATIENCE, self.until_quiet()).await.unwrap_or(Ok(false))?,
        };
        let figures = self.figures().await?;
        self.view.close();
        if !quiet {
            self.view.say("not everything was settled in time; what is left can be looked at");
        }
        if self.json {
            self.view.figures(&figures);
        } else {
            figures.lines().iter().for_each(super::out::line);
        }
        if end == End::Signal {
            return Ok(Exit::Fine);
        }
        let left = format!(
            "queue {}, parked {}, webhooks on their way {}, and nothing moved for {} s",
            figures.queued,
            figures.parked,
            self.sandbox.webhooks_waiting(),
            PATIENCE.as_secs()
        );
        let unsettled = (!quiet).then_some(left);
        let agreement =
            agree::compare(&self.context, &self.sandbox, &self.connections, self.happened, unsettled).await?;
        Ok(agreement.print(self.json, &self.look))
    }

    /// Waits until all is quiet, twice in a row: what goes from one place to another may just then be seen at neither.
    /// Tells whether it is, and gives up where nothing moves any more.
    async fn until_quiet(&mut self) -> anyhow::Result<bool> {
        let (mut in_a_row, mut before, mut moved) = (0, Figures::default(), Instant::now());
        loop {
            in_a_row = if self.is_quiet().await? { in_a_row + 1 } else { 0 };
            if in_a_row == 2 {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let figures = self.figures().await?;
            self.view.figures(&figures);
            // What goes on by itself shows no movement.
            let figures = Figures { seconds: 0, lag_ms: None, ..figures };
            if figures != before {
                (before, moved) = (figures, Instant::now());
            }
            if moved.elapsed() >= PATIENCE {
                return Ok(false);
            }
        }
    }

    /// Whether no webhook is on its way, and nothing waits but for a cause that has not come and that time does not bring.
    async fn is_quiet(&self) -> anyhow::Result<bool> {
        let waiting = self.context.store.list_parked(None, None, None, 10_000).await?;
        let now = self.context.clock.now();
        let is_on_its_way = waiting.iter().filter(|row| self.connections.contains(&row.connection)).any(|row| {
            row.due_at <= now || matches!(row.cause.as_str(), "throttled" | "failing" | "intent_pending" | "replay")
        });
        Ok(!is_on_its_way
            && self.sandbox.webhooks_waiting() == 0
            && self.context.broker.depth().await? == Depth::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::domain::connection::{Connection, Settings};
    use crate::domain::event::System;
    use crate::store::connections::ConnectionAccount;

    fn known(names: &[&str]) -> Snapshot {
        let mut known = Snapshot::default();
        for name in names {
            let connection = Connection {
                name: (*name).into(),
                store: (*name).into(),
                channel: System::Abaha,
                site: "501".into(),
                state: State::Active,
                settings: Settings::default(),
                activated_at: 0,
            };
            let row = ConnectionAccount {
                connection,
                token: "t".into(),
                api_key: None,
                confirmed: None,
                webhook_header: None,
                webhook_secrets: Vec::new(),
                base_url: None,
                state_reason: None,
            };
            known.connections.insert((*name).into(), Arc::new(row));
        }
        known
    }

    #[test]
    fn each_run_has_a_number_of_its_own() {
        assert_eq!(next_run(&known(&[])).unwrap(), 1);
        assert_eq!(next_run(&known(&["demo-1", "demo-12", "demo-12-web2", "demo-3"])).unwrap(), 13);
    }

    #[test]
    fn the_data_dir_of_a_real_shop_is_refused() {
        assert!(next_run(&known(&["demo-1", "mau-abaha"])).unwrap_err().to_string().contains("mau-abaha"));
    }
}
