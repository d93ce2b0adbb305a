//! Follows a stored job until it ends, and shows how far it is.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::exit::NotFound;
use super::{out, report};
use crate::store::Store;
use crate::store::jobs::Job;
use crate::sync::replay::many;
use crate::sync::walk::Found;

/// How often the job is looked at.
const TICK: Duration = Duration::from_millis(300);
/// How often a plain line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a job is: a bar on a terminal, a line now and then elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
    counting: bool,
    plain: bool,
}

impl Progress {
    /// Starts for one job; `plain` lines are left out where the answer is for programs.
    pub fn new(plain: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, said: Instant::now(), counting: false, plain }
    }

    fn update(&mut self, job: &Job, settled: i64) {
        let found: Found = serde_json::from_str(&job.found).unwrap_or_default();
        let text = describe(job, &found);
        let published = u64::try_from(found.published).unwrap_or(0);
        let settled = u64::try_from(settled).unwrap_or(0);
        if let Some(bar) = &self.bar {
            if published > 0 && !self.counting {
                self.counting = true;
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:24}] {pos}/{len} events settled")
                {
                    bar.set_style(style.progress_chars("=> "));
                }
            }
            bar.set_length(published);
            bar.set_position(settled);
            bar.set_message(text);
        } else if self.plain && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            out::note(if published > 0 { format!("{text}; {settled} of {published} events settled") } else { text });
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Waits until a job has ended, and returns it.
pub async fn until_ended(store: &Store, id: &str, progress: &mut Progress) -> anyhow::Result<Job> {
    loop {
        let job = store.job(id).await?.ok_or_else(|| NotFound(format!("the job {id} is not there any more")))?;
        if job.finished_at.is_some() {
            return Ok(job);
        }
        let settled = match job.kind.as_str() {
            many::KIND => store.replay_codes(id).await?.iter().filter(|row| row.0 != "waiting").map(|row| row.2).sum(),
            _ => store.job_outcomes(id).await?.iter().map(|row| row.1).sum(),
        };
        progress.update(&job, settled);
        tokio::time::sleep(TICK).await;
    }
}

/// One line on how far a job is.
pub fn describe(job: &Job, found: &Found) -> String {
    let name = report::name(job);
    if job.state == "waiting" {
        return format!("{name}: waits to be taken");
    }
    if job.kind == many::KIND {
        return format!("{name}: {} of {} replayed", found.published, found.total.unwrap_or(0));
    }
    let checked: Vec<String> =
        found.checked.iter().map(|(kind, number)| format!("{number} {}", report::label(kind))).collect();
    let stage = match found.stage.split_once(':') {
        // The events are counted beside it.
        Some((working, _)) => working,
        None if found.stage.is_empty() => "starting",
        None => &found.stage,
    };
    let total = found
        .total
        .filter(|total| *total > 0 && stage != "working")
        .map(|total| format!(" of {total}"))
        .unwrap_or_default();
    let checked = if checked.is_empty() { String::new() } else { format!(", looked at {}", checked.join(", ")) };
    format!("{name}: {stage}{total}{checked}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_names_stage_and_counts() {
        let mut job = Job {
            id: "1".into(),
            kind: "import".into(),
            connection: "mau-abaha".into(),
            arguments: "{}".into(),
            state: "waiting".into(),
            position: "{}".into(),
            found: "{}".into(),
            reason: None,
            created_at: 0,
            finished_at: None,
        };
        assert_eq!(describe(&job, &Found::default()), "import of mau-abaha: waits to be taken");
        job.state = "running".into();
        let found = Found {
            stage: "customers".into(),
            total: Some(40),
            checked: [("customer".to_owned(), 7)].into(),
            ..Found::default()
        };
        assert_eq!(describe(&job, &found), "import of mau-abaha: customers of 40, looked at 7 customers (Khách hàng)");
    }
}
