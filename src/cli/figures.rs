//! The figures of a demo: what went which way, how it ended, how long it took.

use serde::Serialize;

use crate::domain::clock::Millis;
use crate::sandbox::{Api, Sandbox};
use crate::store::counts::Tally;
use crate::store::ledger::EventFilter;
use crate::work::context::Context;

/// Events from which the present lag is taken.
const RECENT: i64 = 40;

/// The figures of one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Seconds since the traffic began.
    pub seconds: u64,
    /// Events that webhooks brought and that have an outcome.
    pub events: i64,
    /// Of these: done.
    pub done: i64,
    /// Of these: nothing had to be done.
    pub skipped: i64,
    /// Rows that wait now.
    pub parked: i64,
    /// Dead letters that are open now.
    pub dead: i64,
    /// Events in the queue.
    pub queued: i64,
    /// Orders made on Abaha from the shop's.
    pub orders_to_abaha: i64,
    /// Orders made on Sapo from the Abaha site's.
    pub orders_to_sapo: i64,
    /// Orders made on Sapo from the webs'.
    pub orders_from_webs: i64,
    /// Calls to the shop's API.
    pub omni_calls: usize,
    /// Calls to the Abaha site's API.
    pub abaha_calls: usize,
    /// Calls to the webs' API.
    pub web_calls: usize,
    /// The usual time from receipt to outcome of the last events, in milliseconds.
    pub lag_ms: Option<i64>,
}

impl Figures {
    /// Reads the figures of some connections since a moment.
    pub async fn read(
        context: &Context,
        sandbox: &Sandbox,
        connections: &[String],
        since: Millis,
    ) -> anyhow::Result<Self> {
        let store = &context.store;
        let (mut tallies, mut rows) = (Vec::new(), Vec::new());
        let (mut parked, mut dead) = (0, 0);
        for connection in connections {
            let lying = store.lying(connection).await?;
            parked += lying.parked;
            dead += lying.dead;
            tallies.extend(store.tally(connection, since).await?);
            let recent = EventFilter {
                connection: Some(connection.clone()),
                since: Some(since),
                limit: RECENT,
                ..EventFilter::default()
            };
            rows.extend(store.list_events(&recent).await?);
        }
        let mut figures = Self::tallied(&tallies);
        (figures.parked, figures.dead) = (parked, dead);
        figures.queued = context.broker.depth().await?.events;
        figures.omni_calls = sandbox.call_count(Api::Omni, "", "");
        figures.abaha_calls = sandbox.call_count(Api::Abaha, "", "");
        figures.web_calls = sandbox.call_count(Api::Web, "", "");
        figures.seconds = u64::try_from((context.clock.now() - since) / 1_000).unwrap_or(0);
        // What waited for something else tells nothing of how fast the way is.
        let took = rows.iter().filter(|row| row.attempts == 0 && matches!(row.outcome.as_str(), "done" | "skipped"));
        figures.lag_ms = middle(took.map(|row| row.settled_at - row.received_at).collect());
        Ok(figures)
    }

    fn tallied(tallies: &[Tally]) -> Self {
        let sum = |wanted: &dyn Fn(&Tally) -> bool| {
            tallies.iter().filter(|tally| wanted(tally)).map(|tally| tally.events).sum()
        };
        let created =
            |tally: &Tally| tally.kind == "order" && tally.outcome == "done" && tally.code.starts_with("created");
        Self {
            events: sum(&|tally| tally.of_job == 0),
            done: sum(&|tally| tally.of_job == 0 && tally.outcome == "done"),
            skipped: sum(&|tally| tally.of_job == 0 && tally.outcome == "skipped"),
            orders_to_abaha: sum(&|tally| created(tally) && tally.source == "omni"),
            orders_to_sapo: sum(&|tally| created(tally) && tally.source == "abaha"),
            orders_from_webs: sum(&|tally| created(tally) && tally.source == "web"),
            ..Self::default()
        }
    }

    /// The figures as three short lines.
    pub fn lines(&self) -> [String; 3] {
        let lag = self.lag_ms.map_or_else(
            || "–".to_owned(),
            |lag| if lag < 1_000 { format!("{lag} ms") } else { format!("{},{} s", lag / 1_000, lag % 1_000 / 100) },
        );
        [
            format!(
                "events {} in · done {} · skipped {} · parked {} · dead {} · queue {}",
                self.events, self.done, self.skipped, self.parked, self.dead, self.queued
            ),
            format!(
                "orders (Đơn hàng) Sapo → Abaha {} · Abaha → Sapo {} · Web → Sapo {}",
                self.orders_to_abaha, self.orders_to_sapo, self.orders_from_webs
            ),
            format!(
                "calls Sapo {} · Abaha {} · Web {} · lag {lag} · {} s",
                self.omni_calls, self.abaha_calls, self.web_calls, self.seconds
            ),
        ]
    }
}

/// The middle one by size.
fn middle(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_jobs_are_left_out_and_orders_are_counted_by_their_way() {
        let tally = |source: &str, kind: &str, outcome: &str, code: &str, of_job: i64, events: i64| Tally {
            source: source.into(),
            kind: kind.into(),
            outcome: outcome.into(),
            code: code.into(),
            of_job,
            events,
        };
        let figures = Figures::tallied(&[
            tally("omni", "product", "done", "created", 1, 300),
            tally("omni", "product", "done", "pushed", 0, 5),
            tally("omni", "order", "done", "created", 0, 2),
            tally("abaha", "order", "done", "created_in_error", 0, 1),
            tally("abaha", "order", "skipped", "echo", 0, 4),
            tally("web", "order", "done", "created", 0, 3),
        ]);
        assert_eq!((figures.events, figures.done, figures.skipped), (15, 11, 4));
        assert_eq!((figures.orders_to_abaha, figures.orders_to_sapo, figures.orders_from_webs), (2, 1, 3));
    }

    #[test]
    fn the_lag_is_that_of_the_middle_event() {
        assert_eq!(middle(vec![900, 10, 20]), Some(20));
        assert_eq!(middle(Vec::new()), None);
    }
}
