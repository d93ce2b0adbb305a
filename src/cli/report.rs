//! What a job reports when it has ended: what was looked at and found, what failed and why.

use serde_json::{Value, json};

use super::exit::Exit;
use super::{events, out};
use crate::store::Store;
use crate::store::jobs::{Job, JobRow};
use crate::sync::jobs::Summary;
use crate::sync::replay::many::{self, Asked};
use crate::sync::web::links;

/// Rows of a report read at once.
const PAGE: i64 = 500;
/// Failed rows that are shown.
const FAILURES: i64 = 50;
/// What can be found of an object, in the order of the columns.
const ACTIONS: [&str; 6] = ["create", "link", "update", "skip", "error", "equal"];

/// A kind in English and Vietnamese.
pub fn label(kind: &str) -> &str {
    match kind {
        "category" => "categories (Danh mục)",
        "product" => "products (Sản phẩm)",
        "customer" => "customers (Khách hàng)",
        "order" => "orders (Đơn hàng)",
        "channel product" => "channel products (Sản phẩm trên kênh)",
        "web product" => "products of the web alone (Sản phẩm chỉ có trên web)",
        "Sapo product" => "Sapo products read (Sản phẩm trên POS)",
        "webhook" => "registered webhooks",
        other => other,
    }
}

/// What a job is called: `import of mau-abaha`.
pub fn name(job: &Job) -> String {
    match (job.kind.as_str(), Asked::of(job)) {
        (many::KIND, Ok(asked)) => format!("replay of dead letters ({})", asked.filter()),
        (many::KIND, Err(_)) => "replay of dead letters".to_owned(),
        (links::KIND, _) => match links::Asked::of(job) {
            Ok(asked) => format!("links {} of {} ({})", asked.deed, job.connection, asked.filter()),
            Err(_) => format!("links of {}", job.connection),
        },
        _ => format!("{} of {}", job.kind, job.connection),
    }
}

/// Prints the report of a job that has ended; says how the command ends.
pub async fn print(store: &Store, job: &Job, as_json: bool, limit: Option<i64>) -> anyhow::Result<Exit> {
    let summary: Option<Summary> = serde_json::from_str(&job.found).ok();
    if job.kind == "plan" {
        print_rows(store, job, as_json, limit.unwrap_or(i64::MAX)).await?;
    }
    let Some(summary) = summary.filter(|_| job.state == "done") else {
        return Ok(not_done(job, as_json));
    };
    if job.kind != "plan" {
        print_failures(store, job, &summary, as_json).await?;
    }
    if as_json {
        let head = json!({"type": "summary", "job": job.id, "kind": job.kind, "connection": job.connection, "state": job.state, "created_at": job.created_at, "finished_at": job.finished_at});
        let mut fields = serde_json::to_value(&summary)?;
        fields["failed"] = json!(summary.failed());
        let fields: Vec<(&str, Value)> =
            fields.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value.clone())).collect();
        out::json(&out::with(out::row(&head), &fields));
    } else {
        print_summary(job, &summary);
    }
    Ok(ended(&job.kind, &summary))
}

/// A plan's errors are its answer; those of other jobs are rows that failed.
fn ended(kind: &str, summary: &Summary) -> Exit {
    if kind != "plan" && summary.failed() { Exit::Rows } else { Exit::Fine }
}

fn not_done(job: &Job, as_json: bool) -> Exit {
    let reason = job.reason.as_deref().unwrap_or("no reason is known");
    if as_json {
        out::json(
            &json!({"type": "summary", "job": job.id, "kind": job.kind, "connection": job.connection, "state": job.state, "reason": reason}),
        );
    }
    out::note(format!("error: the {} ended as {}: {reason}", name(job), job.state));
    Exit::Failed
}

/// Prints the rows of a plan, page by page.
async fn print_rows(store: &Store, job: &Job, as_json: bool, limit: i64) -> anyhow::Result<()> {
    let mut after = 0;
    while after < limit {
        let rows = store.job_rows(&job.id, after, PAGE.min(limit - after)).await?;
        if rows.is_empty() {
            return Ok(());
        }
        after += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if as_json {
            for row in &rows {
                out::json(&out::with(out::row(row), &[("type", json!("row")), ("connection", json!(job.connection))]));
            }
        } else {
            out::table(&["action", "kind", "object", "code", "reason"], rows.iter().map(cells).collect());
        }
    }
    if !store.job_rows(&job.id, after, 1).await?.is_empty() {
        out::note("… more rows; use --limit or a filter");
    }
    Ok(())
}

fn cells(row: &JobRow) -> Vec<String> {
    vec![row.action.clone(), label(&row.kind).to_owned(), row.object_id.clone(), row.code.clone(), row.reason.clone()]
}

/// Prints the findings that are errors and the events that did not end well.
async fn print_failures(store: &Store, job: &Job, summary: &Summary, as_json: bool) -> anyhow::Result<()> {
    if summary.errors > 0 {
        let errors = errors(store, &job.id).await?;
        if as_json {
            for row in &errors {
                out::json(&out::with(out::row(row), &[("type", json!("row")), ("connection", json!(job.connection))]));
            }
        } else {
            out::line(format!("not worked on ({} of {}):", errors.len(), summary.errors));
            out::table(&["action", "kind", "object", "code", "reason"], errors.iter().map(cells).collect());
        }
    }
    let failures = match job.kind.as_str() {
        many::KIND => store.replay_failures(&job.id, FAILURES).await?,
        _ => store.job_failures(&job.id, FAILURES).await?,
    };
    if as_json {
        for row in &failures {
            out::json(&out::with(events::object(row), &[("type", json!("event"))]));
        }
    } else if !failures.is_empty() {
        out::line(format!("failed ({} of {}):", failures.len(), summary.parked + summary.dead));
        let rows = failures.iter().map(|row| {
            vec![
                label(&row.kind).to_owned(),
                row.reference.clone().unwrap_or_else(|| row.object_id.clone()),
                row.outcome.clone(),
                row.code.clone(),
                row.reason.clone(),
            ]
        });
        out::table(&["kind", "object", "outcome", "code", "reason"], rows.collect());
    }
    Ok(())
}

async fn errors(store: &Store, job: &str) -> anyhow::Result<Vec<JobRow>> {
    let most = usize::try_from(FAILURES).unwrap_or(usize::MAX);
    let (mut after, mut errors) = (0, Vec::new());
    while errors.len() < most {
        let rows = store.job_rows(job, after, PAGE).await?;
        if rows.is_empty() {
            break;
        }
        after += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        errors.extend(rows.into_iter().filter(|row| row.action == "error"));
    }
    errors.truncate(most);
    Ok(errors)
}

fn print_summary(job: &Job, summary: &Summary) {
    let lasted = job.finished_at.map_or(0, |end| (end - job.created_at) / 1_000);
    out::line(format!("{}: done in {lasted} s", name(job)));
    if job.kind == many::KIND {
        let of = |action: &str| summary.found.get(&format!("letter.{action}")).copied().unwrap_or(0);
        let (skipped, unreadable) = (of("skip"), of("error"));
        out::line(format!(
            "letters replayed {}, no longer open when reached {skipped}, unreadable {unreadable}",
            of("replay")
        ));
        return print_ends(summary);
    }
    let mut kinds: Vec<&str> =
        summary.found.keys().filter_map(|key| key.split_once('.')).map(|(kind, _)| kind).collect();
    kinds.dedup();
    if !kinds.is_empty() {
        let header: Vec<&str> = std::iter::once("").chain(ACTIONS).collect();
        let of =
            |kind: &str, action: &str| summary.found.get(&format!("{kind}.{action}")).copied().unwrap_or(0).to_string();
        let rows = kinds.iter().map(|kind| {
            std::iter::once(label(kind).to_owned()).chain(ACTIONS.iter().map(|action| of(kind, action))).collect()
        });
        out::table(&header, rows.collect());
    }
    if job.kind == "plan" {
        out::line("nothing was written to either side; `sapo-sync import` does it");
        return;
    }
    print_ends(summary);
}

/// How a job's events ended, in one line.
pub fn ends(summary: &Summary) -> String {
    format!(
        "events {}: done {}, skipped {}, parked {}, dead {}",
        summary.events, summary.done, summary.skipped, summary.parked, summary.dead
    )
}

/// Prints how a job's events ended.
fn print_ends(summary: &Summary) {
    out::line(ends(summary));
    if !summary.codes.is_empty() {
        let codes: Vec<String> =
            summary.codes.iter().map(|(outcome, code, number)| format!("{number} {outcome}/{code}")).collect();
        out::line(format!("of these {}", codes.join(", ")));
    }
    if summary.parked > 0 {
        out::line("what is parked goes by itself when its cause or its time is gone: sapo-sync parked list");
    }
    if summary.dead > 0 {
        out::line("what is dead is kept: sapo-sync dead list, sapo-sync dead replay");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_failed_show_in_the_exit_code_but_a_plan_only_tells_of_them() {
        let mut summary = Summary::default();
        assert_eq!(ended("import", &summary), Exit::Fine);
        summary.errors = 1;
        assert_eq!(ended("plan", &summary), Exit::Fine);
        assert_eq!(ended("import", &summary), Exit::Rows);
        for summary in [Summary { parked: 1, ..Summary::default() }, Summary { dead: 1, ..Summary::default() }] {
            assert_eq!(ended("reconcile", &summary), Exit::Rows);
        }
    }
}
