//! `preflight`: what hinders links between a shop and a web, on the screen and as a spreadsheet, and links proposed in
//! such a spreadsheet.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::dead::confirmed;
use super::exit::Exit;
use super::jobs::Work;
use super::links::{pushing_connection, web_connection};
use super::setup::{ACTOR, Invocation};
use super::{out, report};
use crate::domain::connection::{Connection, State};
use crate::domain::money::Vnd;
use crate::store::Store;
use crate::store::jobs::Job;
use crate::sync::jobs::Summary;
use crate::sync::web::preflight::plan::{self, Differing, Outcome, Plan, Step};
use crate::sync::web::preflight::report::{Issue, Line, Report};
use crate::sync::web::preflight::xlsx::Book;
use crate::sync::web::preflight::{self, Facts, KIND, proposal};

/// Rows of each finding on the screen.
const SHOWN: usize = 5;
const LINE: [&str; 8] = ["side", "SKU", "name (Tên)", "product", "variant", "stock (Tồn kho)", "price (Giá)", "note"];
const STEP: [&str; 8] = ["row (dòng)", "what", "SKU POS", "SKU web", "POS", "web", "code", "reason"];

/// What is to be prepared.
#[derive(Args, Clone, Debug)]
pub struct PreflightArgs {
    /// The connection, one with a web
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: String,
    /// Write the whole report as a spreadsheet
    #[arg(long, value_name = "FILE")]
    pub xlsx: Option<PathBuf>,
    /// Report on what is stored, and read neither side
    #[arg(long)]
    pub from_store: bool,
    /// A proposal of links.
    #[command(flatten)]
    pub proposal: ProposalArgs,
}

/// What is to be done with a proposal of links.
#[derive(Args, Clone, Debug)]
pub struct ProposalArgs {
    /// Read a proposal of links from such a spreadsheet, and tell what would be done
    #[arg(long, value_name = "FILE", conflicts_with_all = ["xlsx", "from_store"])]
    pub import: Option<PathBuf>,
    /// With --import: link pairs whose SKUs differ, also where only the sheet corrects one of them
    #[arg(long, requires = "import")]
    pub different_skus: bool,
    /// Whether it is done.
    #[command(flatten)]
    pub doing: DoingArgs,
}

/// Whether a proposal of links is done, and how.
#[derive(Args, Clone, Debug)]
pub struct DoingArgs {
    /// With --import: make the links
    #[arg(long, requires = "import")]
    pub apply: bool,
    /// With --apply: do it although some rows cannot be done
    #[arg(long, requires = "apply")]
    pub skip_bad: bool,
    /// With --apply: do not ask
    #[arg(long, requires = "apply")]
    pub yes: bool,
}

/// Reports, or makes the links of a proposal.
pub async fn run(invocation: Invocation, args: PreflightArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    if let Some(file) = &args.proposal.import {
        let of = if args.proposal.doing.apply { pushing_connection } else { web_connection };
        return import(&invocation, &store, &of(&known, &args.connection)?, file, &args.proposal).await;
    }
    let connection = web_connection(&known, &args.connection)?;
    if args.from_store {
        let last = store.last_job(KIND, &connection.name).await?;
        return write(&invocation, &store, &connection, last.as_ref(), args.xlsx.as_deref()).await;
    }
    let mut work = Work::begin(&invocation, store).await?;
    let job = work.store.add_job(KIND, &connection.name, "{}").await?;
    let Some(ended) = work.follow(&job).await? else { return Ok(Exit::Failed) };
    let exit = if ended.state == "done" {
        let unreadable = serde_json::from_str::<Summary>(&ended.found).map_or(0, |summary| summary.errors);
        let exit = write(&invocation, &work.store, &connection, Some(&ended), args.xlsx.as_deref()).await?;
        if unreadable > 0 {
            out::note(format!(
                "{unreadable} products could not be read and are not in the report; `sapo-sync plan --connection {}` names them",
                connection.name
            ));
            exit.max(Exit::Rows)
        } else {
            exit
        }
    } else {
        report::print(&work.store, &ended, invocation.json, None).await?
    };
    work.end().await?;
    Ok(exit)
}

/// Makes the report of what is stored, and writes it.
async fn write(
    invocation: &Invocation,
    store: &Store,
    connection: &Connection,
    read: Option<&Job>,
    xlsx: Option<&Path>,
) -> anyhow::Result<Exit> {
    let facts = Facts::of(store, connection, read).await?;
    let mut book = xlsx.map(Book::create).transpose()?;
    let report = preflight::examine(store, connection, facts, |entry| match &mut book {
        Some(book) => book.add(entry),
        None => Ok(()),
    })
    .await?;
    if let Some(book) = book {
        book.finish(&report)?;
    }
    print(invocation, &report, xlsx);
    Ok(Exit::Fine)
}

fn print(invocation: &Invocation, report: &Report, xlsx: Option<&Path>) {
    let file = xlsx.map(|path| path.display().to_string());
    if invocation.json {
        let rows =
            |lines: Option<&Vec<Line>>| serde_json::to_value(lines.cloned().unwrap_or_default()).unwrap_or_default();
        let findings: Vec<Value> = Issue::ALL
            .iter()
            .map(|issue| {
                json!({
                    "code": issue.as_str(), "sheet": issue.sheet().name(), "label": issue.label(), "advice": issue.advice(),
                    "count": report.count(*issue), "first": rows(report.first.get(issue.as_str())),
                })
            })
            .collect();
        let more = [("type", json!("preflight")), ("findings", Value::Array(findings)), ("xlsx", json!(file))];
        out::json(&out::with(out::row(report), &more));
        return;
    }
    let overview = report.overview().into_iter().map(|(text, count)| vec![text.to_string(), count.to_string()]);
    out::table(&[&format!("Tổng quan (overview): {}", report.connection), "số lượng (count)"], overview.collect());
    for note in &report.notes {
        let mark = if note.warns { "! " } else { "" };
        out::line(format!("{mark}{}", note.text));
    }
    for issue in Issue::ALL {
        let Some(first) = report.first.get(issue.as_str()) else { continue };
        out::line("");
        out::line(format!("{}: {}", issue.label(), report.count(*issue)));
        out::line(issue.advice());
        out::table(&LINE, first.iter().take(SHOWN).map(line_cells).collect());
        let count = report.count(*issue);
        if count > SHOWN as u64 {
            out::line(format!("… {} more; --xlsx FILE has all of them", count - SHOWN as u64));
        }
    }
    match file {
        Some(file) => out::line(format!("written: {file}")),
        None => out::note("--xlsx FILE writes the whole report, with the links it proposes"),
    }
}

fn line_cells(line: &Line) -> Vec<String> {
    vec![
        line.side.label().to_owned(),
        out::or_dash(Some(&line.sku)),
        line.name.clone(),
        line.product_id.clone(),
        line.variant_id.clone(),
        line.stock.map_or_else(|| "–".to_owned(), |stock| stock.normalize().to_string()),
        line.price.map_or_else(|| "–".to_owned(), |price| Vnd(price).to_string()),
        line.note.clone(),
    ]
}

async fn import(
    invocation: &Invocation,
    store: &Store,
    connection: &Connection,
    file: &Path,
    args: &ProposalArgs,
) -> anyhow::Result<Exit> {
    let differing = if args.different_skus { Differing::Linked } else { Differing::Refused };
    let plan = plan::plan(store, &connection.name, proposal::read(file)?, differing).await?;
    let (links, refused) = (plan.count(Outcome::Link), plan.count(Outcome::Refused));
    print_steps(invocation, &plan.steps);
    print_counts(invocation, &plan, false);
    let args = &args.doing;
    let exit = if refused > 0 { Exit::Rows } else { Exit::Fine };
    if !args.apply {
        out::note("nothing was linked; --apply does it");
        return Ok(exit);
    }
    if refused > 0 && !args.skip_bad {
        bail!(
            "nothing was linked, for {refused} rows cannot be done: mend them in the spreadsheet, or leave them out with --skip-bad"
        );
    }
    if links == 0 {
        out::note("nothing is left to be linked");
        return Ok(exit);
    }
    if !confirmed(&format!("Liên kết (link) {links} pairs of {}?", connection.name), args.yes)? {
        out::note("nothing was done");
        return Ok(Exit::Failed);
    }
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(plan.steps.len() as u64));
    let done = plan::apply(store, connection, plan.clone(), ACTOR, |number| {
        if let Some(bar) = &bar {
            bar.set_position(number as u64);
        }
    })
    .await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let done = done?;
    let changed: Vec<Step> = done
        .steps
        .iter()
        .zip(&plan.steps)
        .filter(|(now, before)| now.action != before.action)
        .map(|(now, _)| now.clone())
        .collect();
    if !changed.is_empty() {
        out::note("what has changed since it was planned:");
        print_steps(invocation, &changed);
    }
    print_counts(invocation, &done, true);
    if !invocation.json && done.count(Outcome::Link) > 0 {
        out::line(match connection.state {
            State::Paused => format!(
                "the connection is paused: `sapo-sync connect resume {}` has stock and price pushed",
                connection.name
            ),
            _ => "stock and price are pushed by `sapo-sync up`, where it runs".to_owned(),
        });
    }
    Ok(if done.count(Outcome::Refused) > 0 { Exit::Rows } else { Exit::Fine })
}

fn print_steps(invocation: &Invocation, steps: &[Step]) {
    if invocation.json {
        for step in steps {
            out::json(&out::with(out::row(step), &[("type", json!("row"))]));
        }
        return;
    }
    // Every row, for the plan is what its owner approves; what is to be mended stands last, beside the counts.
    let (bad, good): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.action == Outcome::Refused);
    if !steps.is_empty() {
        out::table(&STEP, good.into_iter().chain(bad).map(step_cells).collect());
    }
}

fn step_cells(step: &Step) -> Vec<String> {
    vec![
        step.row.to_string(),
        match step.action {
            Outcome::Link => "liên kết (link)",
            Outcome::Already => "đã liên kết (already)",
            Outcome::Refused => "từ chối (refused)",
        }
        .to_owned(),
        out::or_dash(Some(&step.sapo_sku)),
        out::or_dash(Some(&step.web_sku)),
        out::or_dash(Some(&step.sapo_variant)),
        out::or_dash(Some(&step.web_variant)),
        step.code.clone(),
        step.reason.to_string(),
    ]
}

fn print_counts(invocation: &Invocation, plan: &Plan, applied: bool) {
    let of = |action: Outcome| plan.count(action);
    let (link, already, refused) = (of(Outcome::Link), of(Outcome::Already), of(Outcome::Refused));
    let (differing, left) = (plan.count_different(Outcome::Link), plan.count_different(Outcome::Refused));
    if invocation.json {
        out::json(&json!({
            "type": "summary", "applied": applied, "link": link, "link_different_skus": differing,
            "already": already, "refused": refused, "refused_different_skus": left, "unmarked": plan.unmarked,
        }));
        return;
    }
    let verb = if applied { "linked (đã liên kết)" } else { "to be linked (sẽ liên kết)" };
    out::line(format!(
        "{verb} {link}, of these with different SKUs (trong đó SKU khác nhau) {differing}; linked before (đã liên kết từ trước) {already}; refused (từ chối) {refused}, of these with different SKUs (trong đó SKU khác nhau) {left}; without a mark (không đánh dấu) {}",
        plan.unmarked
    ));
}
