//! A replay of many letters: counted first, then a stored job that walks them at a rate, can be stopped, and goes on
//! where it was.
//!
//! What was replayed is read from the letters, which change in the transaction that parks the event. So a job that
//! was cut off replays nothing twice, and its count is right whatever became of the process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LAST, raised, send_again};
use crate::store::dead_letters::{DeadLetter, LetterMark, Matching};
use crate::store::jobs::{Job, JobRow};
use crate::store::{Store, StoreError};
use crate::sync::jobs::Summary;
use crate::sync::walk::{Found, LEASE, WalkError};
use crate::work::context::Context;

/// The kind of such a job.
pub const KIND: &str = "replay";
/// Letters a second where nobody says otherwise: ten times what a shop's API takes, so that the shops are what limits.
pub const RATE: f64 = 20.0;
/// Letters read at once.
const PAGE: i64 = 100;
/// How often the position is stored, the lease renewed, and a wish to stop seen.
const KEEP: Duration = Duration::from_millis(500);
/// A pause shorter than this is made up for; after a longer one the rate starts anew.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What was asked for: a job's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Which letters.
    #[serde(flatten)]
    pub letters: Matching,
    /// The filter's `since` as it was given, such as `2h`: what makes two wishes the same.
    pub since_as_given: Option<String>,
    /// How many letters matched.
    pub counted: i64,
    /// Letters a second.
    pub rate: f64,
    /// Who asked.
    pub actor: String,
}

impl Asked {
    /// Reads a job's arguments.
    pub fn of(job: &Job) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&job.arguments)
    }

    fn is_same(&self, other: &Self) -> bool {
        let filter =
            |asked: &Self| (asked.letters.connection.clone(), asked.letters.code.clone(), asked.since_as_given.clone());
        filter(self) == filter(other)
    }

    /// The filter for people.
    pub fn filter(&self) -> String {
        let parts =
            [("connection", &self.letters.connection), ("code", &self.letters.code), ("since", &self.since_as_given)];
        let told: Vec<String> =
            parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
        if told.is_empty() { "all".to_owned() } else { told.join(", ") }
    }
}

/// The job of the same filter that waits or runs, where there is one.
pub async fn open(store: &Store, asked: &Asked) -> Result<Option<Job>, StoreError> {
    let mut tx = store.begin().await?;
    let jobs = store.open_jobs(&mut tx, KIND).await?;
    tx.commit().await?;
    Ok(same(jobs, asked))
}

/// Stores a job with its audit row; one of the same filter that waits or runs already is returned instead.
pub async fn ask(store: &Store, asked: &Asked) -> Result<Job, StoreError> {
    let mut tx = store.begin().await?;
    store.serialise(&mut tx, "job:replay").await?;
    if let Some(job) = same(store.open_jobs(&mut tx, KIND).await?, asked) {
        return Ok(job);
    }
    let arguments = serde_json::to_string(asked).unwrap_or_default();
    let connection = asked.letters.connection.as_deref().unwrap_or_default();
    let job = store.insert_job(&mut tx, KIND, connection, &arguments).await?;
    let detail = format!("{}: {} letters, {} a second", asked.filter(), asked.counted, asked.rate);
    store.audit(&mut tx, &asked.actor, "dead replay many", &job.id, &detail).await?;
    tx.commit().await?;
    Ok(job)
}

fn same(jobs: Vec<Job>, asked: &Asked) -> Option<Job> {
    jobs.into_iter().find(|job| Asked::of(job).is_ok_and(|other| other.is_same(asked)))
}

/// Replays every letter that is left, and waits until each has been worked on.
pub async fn run(context: &Context, job: &Job, stop: &CancellationToken) -> Result<Summary, WalkError> {
    let asked = Asked::of(job)
        .map_err(|error| WalkError::Setup(format!("what was asked for cannot be read ({error}); ask for it again")))?;
    context.snapshot.refresh().await?;
    let rate = if asked.rate.is_finite() && asked.rate > 0.0 { asked.rate } else { RATE };
    let mut walk = Many {
        context,
        job,
        stop,
        position: serde_json::from_str(&job.position).unwrap_or_default(),
        replayed: context.store.replayed_by(&job.id).await?,
        gap: Duration::from_secs_f64(1.0 / rate),
        next: Instant::now(),
        kept: Instant::now(),
        asked,
    };
    walk.keep("replaying").await?;
    walk.walk().await?;
    walk.until_settled().await?;
    walk.summary().await.map_err(Into::into)
}

/// What is left of a job that ends before all is done, for people.
pub async fn left(store: &Store, job: &Job) -> Result<String, StoreError> {
    let replayed = store.replayed_by(&job.id).await?;
    let Ok(asked) = Asked::of(job) else { return Ok(format!("{replayed} letters replayed")) };
    let open: i64 = store.count_matching(&asked.letters).await?.iter().map(|row| row.1).sum();
    Ok(format!("{replayed} of {} letters replayed, {open} left open", asked.counted))
}

/// Whether an outcome is one that a replay waits for: the event is on its way, or waits for its turn. One that failed
/// and is tried again by the schedule was replayed, and has told how it is.
fn is_on_its_way(outcome: &str, code: &str) -> bool {
    outcome == "waiting" || (outcome == "parked" && matches!(code, "throttled" | "intent_pending" | "replay"))
}

/// Where a job is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    /// The last letter looked at.
    #[serde(flatten)]
    mark: LetterMark,
    /// Letters that cannot be read.
    errors: i64,
}

struct Many<'a> {
    context: &'a Context,
    job: &'a Job,
    stop: &'a CancellationToken,
    asked: Asked,
    position: Position,
    replayed: i64,
    gap: Duration,
    next: Instant,
    kept: Instant,
}

impl Many<'_> {
    async fn walk(&mut self) -> Result<(), WalkError> {
        loop {
            let page = self.context.store.matching_page(&self.asked.letters, &self.position.mark, PAGE).await?;
            if page.is_empty() {
                return self.keep("working").await;
            }
            for letter in page {
                self.turn().await?;
                match self.replay(&letter).await {
                    // Somebody replayed or discarded it meanwhile, or a later event of its object did.
                    Ok(replayed) => self.replayed += i64::from(replayed),
                    Err(error @ StoreError::Corrupt { .. }) => self.note(&letter, &error).await?,
                    Err(error) => return Err(error.into()),
                }
                self.position.mark = LetterMark::after(&letter);
            }
        }
    }

    async fn replay(&self, letter: &DeadLetter) -> Result<bool, StoreError> {
        let store = &self.context.store;
        let Some(event) = store.letter_event(&letter.event_id, letter.run).await? else { return Ok(false) };
        let event = raised(event, Some(&self.job.id));
        let mut tx = store.begin().await?;
        let replayed = send_again(store, &mut tx, &self.context.snapshot, &event, LAST).await?;
        tx.commit().await?;
        Ok(replayed)
    }

    /// A letter that cannot be read stays open, is told of, and holds up nobody.
    async fn note(&mut self, letter: &DeadLetter, error: &StoreError) -> Result<(), StoreError> {
        self.position.errors += 1;
        let row = JobRow {
            kind: "letter".to_owned(),
            object_id: letter.event_id.clone(),
            action: "error".to_owned(),
            code: error.code().to_owned(),
            reason: error.to_string(),
        };
        self.context.store.add_job_rows(&self.job.id, self.position.errors, &[row]).await
    }

    /// Waits until the rate lets the next letter go.
    async fn turn(&mut self) -> Result<(), WalkError> {
        loop {
            if self.kept.elapsed() >= KEEP {
                self.keep("replaying").await?;
            }
            let now = Instant::now();
            let wait = self.next.saturating_duration_since(now);
            if wait.is_zero() {
                self.next = self.next.max(now.checked_sub(CATCH_UP).unwrap_or(now)) + self.gap;
                return Ok(());
            }
            self.sleep(wait.min(KEEP)).await?;
        }
    }

    async fn sleep(&self, wait: Duration) -> Result<(), WalkError> {
        self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.ok_or(WalkError::Stopped)
    }

    /// Stores position and findings and renews the lease; fails where somebody wants it stopped.
    async fn keep(&mut self, stage: &str) -> Result<(), WalkError> {
        let position = serde_json::to_string(&self.position).unwrap_or_default();
        let found = serde_json::to_string(&self.found(stage)).unwrap_or_default();
        let kept = self.context.store.keep_job(&self.job.id, &self.context.owner, LEASE, &position, &found).await?;
        self.kept = Instant::now();
        if kept && !self.stop.is_cancelled() { Ok(()) } else { Err(WalkError::Stopped) }
    }

    fn found(&self, stage: &str) -> Found {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let walked = stage != "replaying";
        let skipped = if walked { self.asked.counted - self.replayed - self.position.errors } else { 0 };
        Found {
            stage: stage.to_owned(),
            total: Some(number(self.asked.counted)),
            checked: [("letter".to_owned(), number(self.asked.counted))].into_iter().filter(|_| walked).collect(),
            actions: [("replay", self.replayed), ("skip", skipped), ("error", self.position.errors)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(action, count)| (format!("letter.{action}"), number(count)))
                .collect(),
            published: self.replayed,
        }
    }

    async fn until_settled(&mut self) -> Result<(), WalkError> {
        loop {
            let codes = self.context.store.replay_codes(&self.job.id).await?;
            if !codes.iter().any(|(outcome, code, _)| is_on_its_way(outcome, code)) {
                return Ok(());
            }
            self.sleep(KEEP).await?;
            self.keep("working").await?;
        }
    }

    async fn summary(&self) -> Result<Summary, StoreError> {
        let codes = self.context.store.replay_codes(&self.job.id).await?;
        let of = |word: &str| codes.iter().filter(|row| row.0 == word).map(|row| row.2).sum();
        let found = self.found("working");
        Ok(Summary {
            errors: u64::try_from(self.position.errors).unwrap_or(0),
            found: found.actions,
            checked: found.checked,
            events: self.replayed,
            done: of("done"),
            skipped: of("skipped"),
            parked: of("parked"),
            dead: of("dead"),
            codes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(connection: Option<&str>, since: Option<&str>, before: i64) -> Asked {
        Asked {
            letters: Matching {
                connection: connection.map(ToOwned::to_owned),
                since: since.map(|_| before - 1),
                before,
                ..Matching::default()
            },
            since_as_given: since.map(ToOwned::to_owned),
            counted: before,
            rate: RATE,
            actor: "cli".to_owned(),
        }
    }

    #[test]
    fn a_wish_is_the_same_by_its_filter_whenever_it_is_asked_again() {
        assert!(asked(Some("a"), Some("2h"), 1_000).is_same(&asked(Some("a"), Some("2h"), 2_000)));
        assert!(!asked(Some("a"), None, 1).is_same(&asked(Some("b"), None, 1)));
        assert!(!asked(Some("a"), None, 1).is_same(&asked(None, None, 1)));
        assert!(!asked(None, Some("2h"), 1).is_same(&asked(None, Some("3h"), 1)));
    }

    #[test]
    fn a_filter_is_told_in_words() {
        assert_eq!(asked(None, None, 1).filter(), "all");
        assert_eq!(asked(Some("mau-abaha"), Some("2h"), 1).filter(), "connection mau-abaha, since 2h");
    }

    #[test]
    fn arguments_survive_being_written_down() {
        let asked = asked(Some("mau-abaha"), Some("2h"), 5);
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), asked);
    }

    #[test]
    fn what_is_tried_again_by_the_schedule_is_not_waited_for() {
        assert!(is_on_its_way("waiting", "replay") && is_on_its_way("parked", "throttled"));
        assert!(!is_on_its_way("parked", "server_error") && !is_on_its_way("parked", "unlinked_product"));
        assert!(!is_on_its_way("done", "pushed") && !is_on_its_way("dead", "refused"));
    }
}
