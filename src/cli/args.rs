//! What can be asked for, with an example for each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

use super::authorize::{AuthorizeArgs, ChoicesArgs, HooksArgs};
use super::examples;
use super::links::LinksCommand;
use super::moment::{self, Moment};
use super::preflight::PreflightArgs;
use crate::broker::Queue;
use crate::domain::event::Kind;

/// Keeps a Sapo Omni/POS shop in step with its Abaha app and its Sapo Web sites.
#[derive(Debug, Parser)]
#[command(name = "sapo-sync", version, propagate_version = true, after_help = examples::MAIN)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Settings file; `sapo-sync config` prints every key with its default
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state and queue live, instead of where the settings say
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON object a line instead of tables; times are ISO-8601
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything: receive webhooks, work on them, reconcile on a timer
    #[command(after_help = examples::UP)]
    Up,
    /// Only take webhooks; needs PostgreSQL and RabbitMQ
    #[command(after_help = examples::RECEIVE)]
    Receive,
    /// Only work on events; needs PostgreSQL and RabbitMQ
    #[command(after_help = examples::WORK)]
    Work {
        /// The kinds of events to work on
        #[arg(long = "kind", value_name = "KINDS", value_delimiter = ',', default_values = ["order", "product", "customer"], value_parser = worked_on)]
        kinds: Vec<Kind>,
    },
    /// Only file dead letters, run jobs and keep timers; needs PostgreSQL and RabbitMQ
    #[command(after_help = examples::KEEPER)]
    Keeper,
    /// Bring the state database up to this version, and end
    #[command(after_help = examples::MIGRATE)]
    Migrate,
    /// Run everything beside a made-up shop and its sites with live traffic; nothing else is needed
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Run the made-up Sapo Omni shop, Abaha site and Sapo Web sites alone, as HTTP servers
    #[command(after_help = examples::SANDBOX)]
    Sandbox(SandboxArgs),
    /// Connect shops and sites; look at, pause, resume and check connections
    #[command(subcommand, after_help = examples::CONNECT)]
    Connect(ConnectCommand),
    /// First full sync: everything that differs is worked on
    #[command(after_help = examples::IMPORT)]
    Import(JobArgs),
    /// Repair what webhooks missed, both ways
    #[command(after_help = examples::RECONCILE)]
    Reconcile(JobArgs),
    /// Dry run: every create, link, update, skip and error with its reason; nothing is written to either side
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Look at events: what came, what was decided, what was called
    #[command(subcommand, after_help = examples::EVENTS)]
    Events(EventsCommand),
    /// Look at links: which thing of the shop is which thing of the channel; make, cut, push and compare those of webs
    #[command(subcommand, after_help = examples::LINKS)]
    Links(LinksCommand),
    /// Look at both catalogues before a web is connected (Chuẩn bị trước khi kết nối); nothing is linked or written
    #[command(after_help = examples::PREFLIGHT)]
    Preflight(PreflightArgs),
    /// Look at dead letters; replay or discard them
    #[command(subcommand, after_help = examples::DEAD)]
    Dead(DeadCommand),
    /// Look at what waits for a time or a cause; let it go now
    #[command(subcommand, after_help = examples::PARKED)]
    Parked(ParkedCommand),
    /// Look at stored jobs (imports, reconciles, plans, replays, links, preflights); stop one
    #[command(subcommand, after_help = examples::JOBS)]
    Jobs(JobsCommand),
    /// Check settings, data dir, database, master key, queue, and every connection against its shop
    #[command(after_help = examples::CHECK)]
    Check,
    /// Ask a running process whether it can do its work; the exit code says
    #[command(after_help = examples::HEALTHCHECK)]
    Healthcheck {
        /// What to ask instead of the own address
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Print every setting with its default and meaning
    #[command(after_help = examples::CONFIG)]
    Config {
        /// The values in force instead; secrets only as "set" or "not set"
        #[arg(long)]
        current: bool,
    },
}

/// How the demo is run.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Things that happen in the shop and on the site, a second
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    pub rate: f64,
    /// Products of the made-up shop
    #[arg(long, default_value_t = 300)]
    pub products: usize,
    /// Customers of the made-up shop
    #[arg(long, default_value_t = 200)]
    pub customers: usize,
    /// Sapo Web sites beside the Abaha site
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=9))]
    pub webs: u8,
    /// Give each web the odd products of real ones: a SKU twice, no SKU, stock that is not counted or negative
    #[arg(long)]
    pub odd: bool,
    /// Makes the same shop and the same traffic again; the run's number where none is given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Stop by itself after so long (30s, 5m), wait until all is settled, compare all sides, and fail where they differ
    /// without a reason
    #[arg(long = "for", value_name = "DURATION", value_parser = moment::duration)]
    pub lasting: Option<Duration>,
}

/// How the sandbox is run.
#[derive(Args, Clone, Debug)]
pub struct SandboxArgs {
    /// Where the Sapo Omni API listens
    #[arg(long, default_value = "127.0.0.1:9101", value_name = "ADDRESS")]
    pub omni_listen: SocketAddr,
    /// Where the Abaha API listens
    #[arg(long, default_value = "127.0.0.1:9103", value_name = "ADDRESS")]
    pub abaha_listen: SocketAddr,
    /// Where the Sapo Web API listens, for all sites
    #[arg(long, default_value = "127.0.0.1:9102", value_name = "ADDRESS")]
    pub web_listen: SocketAddr,
    /// Sapo Web sites: webmau, webmau2, webmau3…
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=9))]
    pub webs: u8,
    /// Give each web the odd products of real ones: a SKU twice, no SKU, stock that is not counted or negative
    #[arg(long)]
    pub odd: bool,
    /// Where the control API listens
    #[arg(long, default_value = "127.0.0.1:9109", value_name = "ADDRESS")]
    pub control_listen: SocketAddr,
    /// Products of the made-up shop
    #[arg(long, default_value_t = 2_000)]
    pub products: usize,
    /// Customers of the made-up shop
    #[arg(long, default_value_t = 1_000)]
    pub customers: usize,
    /// Makes the same shop again
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Send webhooks to the sapo-sync that listens there
    #[arg(long, value_name = "URL")]
    pub webhooks_to: Option<String>,
    /// Make live traffic: so many things a second
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub traffic: Option<f64>,
    /// Write the file for `connect apply` here
    #[arg(long, value_name = "FILE")]
    pub write_connections: Option<PathBuf>,
}

/// What to do about connections.
#[derive(Debug, Subcommand)]
pub enum ConnectCommand {
    /// Make connections as a file says; tells what changed, removes nothing unless told to
    #[command(after_help = examples::CONNECT_APPLY)]
    Apply(ApplyArgs),
    /// List connections with what lies at each
    #[command(after_help = examples::CONNECT_LIST)]
    List(Filter),
    /// Show one connection: settings, state, which secrets are set
    #[command(after_help = examples::CONNECT_SHOW)]
    Show {
        /// Its name
        name: String,
    },
    /// Take events, but work on none until resumed
    #[command(after_help = examples::CONNECT_PAUSE)]
    Pause {
        /// Its name
        name: String,
    },
    /// Go on after a pause, and catch up
    #[command(after_help = examples::CONNECT_RESUME)]
    Resume {
        /// Its name
        name: String,
    },
    /// Check connections against shop and channel: tokens, ids, hosts
    #[command(after_help = examples::CONNECT_CHECK)]
    Check {
        /// Its name; all that are not stopped where none is given
        name: Option<String>,
    },
    /// Have a shop's owner grant access (OAuth), instead of pasting an access token
    Authorize(AuthorizeArgs),
    /// List what a connection chooses from: branches, staff, sources, payment methods, price lists, web locations
    Choices(ChoicesArgs),
    /// Compare the webhooks that are registered at shop and web with what there should be; mend them
    Webhooks(HooksArgs),
}

/// How a connections file is applied.
#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct ApplyArgs {
    /// The connections file (TOML); - reads it from standard input
    pub file: PathBuf,
    /// Pause what is new, was stopped or had no access, so that it can be prepared: webhooks are taken, and wait for `connect resume`
    #[arg(long)]
    pub paused: bool,
    /// Stop connections that the file does not name
    #[arg(long)]
    pub prune: bool,
    /// Do not ask the shops whether tokens and ids are right
    #[arg(long)]
    pub offline: bool,
    /// Confirm, without being asked, that the webs are linked to no other POS
    #[arg(long)]
    pub yes: bool,
}

/// Which connection a job is for.
#[derive(Args, Clone, Debug)]
pub struct JobArgs {
    /// The connection; every active one in turn where none is given
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: Option<String>,
}

/// What a plan is for.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Which connection.
    #[command(flatten)]
    pub job: JobArgs,
    /// Print at most so many rows; the totals are of all
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: Option<i64>,
}

/// Which rows of a list.
#[derive(Args, Clone, Debug)]
pub struct Filter {
    /// An order code (#1001 or 1001), an object id, or the start of an event id; of links a SKU, phone, code or id; of a
    /// web's variants a part of the name, the beginning of a SKU, or an id
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub search: Option<String>,
    /// Only this connection's
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: Option<String>,
    /// Only since: a time (2026-03-02, 2026-03-02T10:00:00+07:00) or a duration back (2h, 3d)
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// Only with this code, such as `unlinked_product`
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub code: Option<String>,
    /// At most so many rows
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: i64,
}

/// What to do about events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, the newest first
    #[command(after_help = examples::EVENTS_LIST)]
    List {
        /// Which.
        #[command(flatten)]
        filter: Filter,
        /// Only with this outcome
        #[arg(long, value_parser = ["done", "skipped", "parked", "dead"])]
        outcome: Option<String>,
    },
    /// Tell the whole story of an order: received, verified, decided, each call and answer, outcome
    #[command(after_help = examples::EVENTS_SHOW)]
    Show {
        /// An order code (#1001 or 1001), an object id, or the start of an event id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        code: String,
        /// Only this connection's
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
}

/// What to do about dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List dead letters, the newest first
    #[command(after_help = examples::DEAD_LIST)]
    List {
        /// Which.
        #[command(flatten)]
        filter: Filter,
        /// In this state
        #[arg(long, default_value = "open", value_parser = ["open", "replayed", "superseded", "discarded"])]
        state: String,
    },
    /// Show dead letters whole: why, and the other side's last answer
    #[command(after_help = examples::DEAD_SHOW)]
    Show {
        /// An order code, an object id, or the start of an event id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The webhook's body too; it may hold names and phones
        #[arg(long)]
        body: bool,
    },
    /// Send dead letters the same way again
    #[command(after_help = examples::DEAD_REPLAY)]
    Replay(ReplayArgs),
    /// Set dead letters aside: they are kept, and no longer open
    #[command(after_help = examples::DEAD_DISCARD)]
    Discard(LettersArgs),
}

/// Which dead letters.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub struct LettersArgs {
    /// Order codes, object ids, or starts of event ids
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub ids: Vec<String>,
    /// All that are open, and match the filters
    #[arg(long)]
    pub all: bool,
    /// Only with this code
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only this connection's
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// Only received since: a time or a duration back (2h, 3d)
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Which dead letters are replayed, and how fast.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Which.
    #[command(flatten)]
    pub which: LettersArgs,
    /// With --all: at most so many a second (20/s) or a minute (30/m); 20/s where none is given
    #[arg(long, value_name = "N/s", conflicts_with = "ids", value_parser = pace)]
    pub rate: Option<f64>,
}

/// What to do about stored jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, the newest first
    #[command(after_help = examples::JOBS_LIST)]
    List {
        /// Only in this state
        #[arg(long, value_parser = ["waiting", "running", "done", "failed", "stopped"])]
        state: Option<String>,
        /// Only of this kind
        #[arg(long, value_parser = ["import", "reconcile", "plan", "replay", "links", "preflight"])]
        kind: Option<String>,
        /// At most so many rows
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// Show one job: what was asked for, how far it is, how it ended
    #[command(after_help = examples::JOBS_SHOW)]
    Show {
        /// Its id, or the beginning of it
        #[arg(value_parser = job_id)]
        id: String,
    },
    /// Stop a job; what it has done stays done
    #[command(after_help = examples::JOBS_STOP)]
    Stop {
        /// Its id, or the beginning of it
        #[arg(value_parser = job_id)]
        id: String,
    },
}

/// What to do about parked rows.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List what waits, the longest first
    #[command(after_help = examples::PARKED_LIST)]
    List(Filter),
    /// Look at what waits again now, instead of when it is due
    #[command(after_help = examples::PARKED_RELEASE)]
    Release {
        /// Only this connection's
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
        /// Only with this cause, such as `unlinked_product`
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// Only this object's
        #[arg(long, value_name = "ID")]
        object: Option<String>,
    },
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number, such as 2 or 0.5".to_owned())?;
    if rate > 0.0 && rate <= 1_000.0 { Ok(rate) } else { Err("must be above 0 and at most 1000".to_owned()) }
}

fn worked_on(word: &str) -> Result<Kind, String> {
    Kind::from_word(word)
        .filter(|kind| Queue::KINDS.contains(kind))
        .ok_or_else(|| "one of order, product, customer, or several with commas between them".to_owned())
}

/// Reads a rate, as so many a second.
fn pace(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
        Some((number, "m")) => (number, 60.0),
        Some(_) => return Err("is a number a second (20/s) or a minute (30/m)".to_owned()),
    };
    let number: f64 = number.trim().parse().map_err(|_| "is not a rate, such as 20/s or 30/m".to_owned())?;
    let rate = number / seconds;
    if (1.0 / 60.0..=1_000.0).contains(&rate) { Ok(rate) } else { Err("must be from 1/m to 1000/s".to_owned()) }
}

fn job_id(text: &str) -> Result<String, String> {
    let id = text.trim().to_ascii_lowercase();
    if !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        Ok(id)
    } else {
        Err("is not the beginning of a job's id; `sapo-sync jobs list` shows them".to_owned())
    }
}
