//! Every metric's name, with its meaning; and the recorder behind `/metrics`.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// A metric: its Prometheus name and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What kind it is.
    pub kind: Kind,
}

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Histogram }
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Gauge }
}

/// Every metric.
pub const ALL: &[Metric] = &[
    counter("sapo_sync_webhooks_total", "Webhooks received, by source and result (taken, unauthorised, busy, away…)"),
    counter(
        "sapo_sync_oauth_redirects_total",
        "Browsers that OAuth sent back, by source and result (granted, or why not)",
    ),
    counter("sapo_sync_events_total", "Events settled, by source, kind, outcome and code"),
    counter("sapo_sync_api_calls_total", "Calls to the APIs, by system, method and outcome"),
    histogram("sapo_sync_api_call_seconds", "Time of a call until its answer was read, by system"),
    gauge("sapo_sync_event_lag_seconds", "Time from receipt to settling of the last event, by kind"),
    counter("sapo_sync_broker_reconnects_total", "Connections to RabbitMQ that were made anew, by purpose"),
    gauge("sapo_sync_broker_up", "Whether RabbitMQ confirms what is published: 1 or 0"),
    gauge("sapo_sync_spool_events", "Events on this disk that wait for RabbitMQ"),
    gauge("sapo_sync_queues_held", "Queues that this worker takes events from"),
    gauge("sapo_sync_deliveries_held", "Events of these that it holds: worked on, or about to be"),
    gauge("sapo_sync_keeper_leads", "Whether this process leads the keepers: 1 or 0"),
    gauge("sapo_sync_queue_events", "Events in the queue"),
    gauge("sapo_sync_queue_dead", "Dead letters in the queue that wait to be filed"),
    gauge("sapo_sync_parked", "Parked rows, by cause"),
    gauge("sapo_sync_parked_oldest_seconds", "Age of the longest parked row, by cause"),
    gauge("sapo_sync_dead_letters", "Open dead letters, by code"),
    gauge("sapo_sync_reconcile_found", "Differences found by the last reconcile that was done, by active connection"),
];

/// The buckets of times: quantiles of several processes can be told from their sums.
const SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Installs the recorder, once a process, and returns what renders `/metrics`.
pub fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new().set_buckets(SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_ok() {
                for metric in ALL {
                    match metric.kind {
                        Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                        Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                        Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
                    }
                }
            }
            handle
        })
        .clone()
}
