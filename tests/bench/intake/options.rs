//! What the bench is asked for.

use std::time::Duration;

use crate::cell::Subject;

/// What `--help` prints.
pub const HELP: &str = "\
cargo bench --bench intake [-- OPTIONS]

  --quick         2 s for each figure, one round, at 1 and 64 connections, without the memory of `up`
  --only NAMES    of embedded, rabbitmq, lapin, express, fastapi, nothing, memory; separated by commas
  --seconds N     for each figure (5)
  --rounds N      each with everything once, one after the other (2)

RabbitMQ is found by SAPO_SYNC_TEST_BROKER_URL (amqp://guest:guest@127.0.0.1:5672/%2f).
Example: cargo bench --bench intake -- --only rabbitmq,lapin --seconds 10";

const NAMES: [&str; 7] = ["embedded", "rabbitmq", "lapin", "express", "fastapi", "nothing", "memory"];

/// The options.
pub struct Options {
    pub span: Duration,
    pub rounds: usize,
    pub quick: bool,
    only: Vec<String>,
}

impl Options {
    /// Reads them; the error is what to print.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut seconds, mut rounds, mut quick, mut only) = (None, None, false, Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{HELP}"));
            match argument.as_str() {
                // Cargo says this to every bench.
                "--bench" => {}
                "--quick" => quick = true,
                "--seconds" => seconds = Some(number(value()?)?),
                "--rounds" => rounds = Some(number(value()?)?),
                "--only" => only.extend(value()?.split(',').map(|name| name.trim().to_owned())),
                _ => return Err(HELP.to_owned()),
            }
        }
        if let Some(wrong) = only.iter().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(format!("{wrong:?} is not measured here; of these: {}", NAMES.join(", ")));
        }
        Ok(Self {
            span: Duration::from_secs(seconds.unwrap_or(if quick { 2 } else { 5 })),
            rounds: rounds.unwrap_or(if quick { 1 } else { 2 }) as usize,
            quick,
            only,
        })
    }

    /// Whether something is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() && (name != "memory" || !self.quick) || self.only.iter().any(|only| only == name)
    }

    /// At how many connections a subject is measured.
    pub fn connections(&self, subject: Subject) -> &'static [usize] {
        match subject {
            _ if self.quick => &[1, 64],
            // 8 and 256 show how a commit holds more as more come at once.
            Subject::Embedded | Subject::Nothing => &[1, 8, 32, 64, 128, 256],
            _ => &[1, 32, 64, 128],
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{text:?} is not a number from 1\n\n{HELP}"))
}
