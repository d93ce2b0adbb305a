//! One cell of the table: one subject, at one number of connections, once.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::BODY;
use crate::child::Server;
use crate::load::{Figures, Pace, load, post};
use crate::peers::Peer;
use crate::rabbit::{Message, Names, Rabbit};

/// Before the figures are taken.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Our receiver with the embedded queue.
    Embedded,
    /// Our receiver with RabbitMQ.
    Rabbit,
    /// Confirmed publishing with lapin, and no receiver.
    Lapin,
    /// The same with messages like ours: headers of CloudEvents, a trace, an id.
    LapinHeaders,
    /// Express and amqplib, in so many processes.
    Express(usize),
    /// `FastAPI` and aio-pika, in so many processes.
    FastApi(usize),
    /// A receiver of our framework that keeps nothing: what the client and the machine allow.
    Nothing,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            Self::Embedded => "embedded".to_owned(),
            Self::Rabbit => "rabbitmq".to_owned(),
            Self::Lapin => "lapin".to_owned(),
            Self::LapinHeaders => "lapin-hdrs".to_owned(),
            Self::Express(workers) => format!("express-{workers}"),
            Self::FastApi(workers) => format!("fastapi-{workers}"),
            Self::Nothing => "nothing".to_owned(),
        })
    }
}

impl Subject {
    /// Whether it needs RabbitMQ.
    pub fn on_rabbit(self) -> bool {
        !matches!(self, Self::Embedded | Self::Nothing)
    }
}

/// Everything that cells are measured with.
pub struct World {
    pub request: Arc<[u8]>,
    pub rabbit: Option<Arc<Rabbit>>,
    pub express: Option<Peer>,
    pub fastapi: Option<Peer>,
    pub span: Duration,
}

/// What came of it.
pub struct Cell {
    pub rate: f64,
    pub p50: f64,
    pub p99: f64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Webhooks for each commit, where there is a queue file.
    pub per_commit: Option<f64>,
    /// Answered 200, the warm-up included.
    pub answered: u64,
    /// What lies in the queue afterwards, where there is one.
    pub kept: Option<u64>,
    /// Processor time of the receiver's processes for each webhook, in microseconds, where the system tells it.
    pub processor: Option<f64>,
    /// Commits of the spool: not 0 where RabbitMQ did not take everything in time.
    pub spooled: u64,
}

impl Cell {
    /// Whether every answer was 200, and the queue holds what was answered so, no more and no less.
    pub fn is_sound(&self) -> bool {
        self.errors == 0 && self.kept.is_none_or(|kept| kept == self.answered)
    }
}

impl World {
    fn rabbit(&self) -> anyhow::Result<&Arc<Rabbit>> {
        self.rabbit.as_ref().context("there is no RabbitMQ")
    }

    /// Measures a subject; what it made in RabbitMQ is counted, and deleted again.
    pub async fn measure(&self, subject: Subject, connections: usize, pace: Pace) -> anyhow::Result<Cell> {
        let names = match subject {
            Subject::Embedded | Subject::Nothing => Names::default(),
            Subject::Rabbit => self.rabbit()?.topology(),
            Subject::Lapin | Subject::LapinHeaders | Subject::Express(_) | Subject::FastApi(_) => {
                self.rabbit()?.queue().await?
            }
        };
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut cell = if matches!(subject, Subject::Lapin | Subject::LapinHeaders) {
            let message = if subject == Subject::Lapin { Message::bare(BODY) } else { Message::like_ours(BODY) };
            let rabbit = self.rabbit()?;
            let warm = rabbit.publish(&names, &message, connections, WARM_UP).await?;
            cell(&warm, rabbit.publish(&names, &message, connections, self.span).await?)
        } else {
            let server = Server::start(|port| self.command(subject, port, folder.path(), &names)).await?;
            let warm = load(server.address, &self.request, connections, WARM_UP, Pace::FlatOut).await;
            let before = state(subject, &server).await?;
            let used = server.processor_time();
            let figures = load(server.address, &self.request, connections, self.span, pace).await;
            let used = server.processor_time().zip(used).map(|(after, before)| after.saturating_sub(before));
            let after = state(subject, &server).await?;
            let (commits, answered) = (after.0 - before.0, figures.answered);
            let mut cell = cell(&warm, figures);
            cell.processor = used.filter(|_| answered > 0).map(|used| used.as_secs_f64() * 1e6 / answered as f64);
            match subject {
                Subject::Embedded => {
                    cell.kept = Some(after.1);
                    cell.per_commit = (commits > 0).then(|| answered as f64 / commits as f64);
                }
                Subject::Rabbit => {
                    cell.spooled = commits;
                    cell.kept = Some(self.rabbit()?.count(&names, cell.answered).await?);
                }
                _ => {}
            }
            cell
        };
        if subject.on_rabbit() {
            let rabbit = self.rabbit()?;
            if cell.kept.is_none() {
                cell.kept = Some(rabbit.count(&names, cell.answered).await?);
            }
            rabbit.delete(&names).await?;
        }
        Ok(cell)
    }

    fn command(&self, subject: Subject, port: u16, folder: &Path, names: &Names) -> Command {
        let peer = match subject {
            Subject::Express(workers) => self.express.as_ref().map(|peer| (peer, workers)),
            Subject::FastApi(workers) => self.fastapi.as_ref().map(|peer| (peer, workers)),
            _ => None,
        };
        if let Some((peer, workers)) = peer {
            return peer.command(port, names, workers);
        }
        let mut command = Command::new(std::env::current_exe().expect("Linux and macOS tell it"));
        command.args(["--serve", &subject.to_string(), &port.to_string()]).arg(folder).arg(&names.prefix);
        command
    }
}

fn cell(warm: &Figures, figures: Figures) -> Cell {
    Cell {
        rate: figures.rate(),
        p50: figures.percentile(50),
        p99: figures.percentile(99),
        errors: warm.errors + figures.errors,
        first_error: warm.first_error.clone().or(figures.first_error),
        per_commit: None,
        answered: warm.answered + figures.answered,
        kept: None,
        processor: None,
        spooled: 0,
    }
}

/// Commits of our queue file or spool, and events in it.
async fn state(subject: Subject, server: &Server) -> anyhow::Result<(u64, u64)> {
    if !matches!(subject, Subject::Embedded | Subject::Rabbit) {
        return Ok((0, 0));
    }
    let (_, told) = post(server.address, "/bench/state").await?;
    let (commits, events) = told.split_once(' ').context("two numbers")?;
    Ok((commits.parse()?, events.parse()?))
}
