//! `dead replay --all`: counted, asked, stored as a job, and followed.

use serde_json::{Value, json};

use super::args::ReplayArgs;
use super::dead::confirmed;
use super::exit::Exit;
use super::jobs::Work;
use super::moment::{self, Moment};
use super::setup::{ACTOR, Invocation, no_connection};
use super::{out, report};
use crate::domain::time;
use crate::store::Store;
use crate::store::dead_letters::Matching;
use crate::store::jobs::Job;
use crate::sync::replay::many::{self, Asked, RATE};

/// Replays every open letter that matches; joins the job that does so already.
pub async fn run(invocation: &Invocation, store: Store, args: ReplayArgs) -> anyhow::Result<Exit> {
    let known = store.snapshot().await?;
    let mut asked = asked(&store, &args);
    // A connection that is gone may have left letters; a name that never was is a slip.
    if let Some(name) = &asked.letters.connection
        && !known.connections.contains_key(name)
        && store.count_matching(&asked.letters).await?.is_empty()
    {
        return Err(no_connection(name, &known).into());
    }
    if let Some(job) = many::open(&store, &asked).await? {
        joined(invocation, &job, args.rate);
        return follow(Work::begin(invocation, store).await?, invocation, &job).await;
    }
    let codes = store.count_matching(&asked.letters).await?;
    asked.counted = codes.iter().map(|row| row.1).sum();
    if invocation.json {
        let codes: serde_json::Map<String, Value> =
            codes.iter().map(|(code, count)| (code.clone(), json!(count))).collect();
        out::json(&json!({"type": "count", "open": asked.counted, "codes": codes}));
    } else {
        out::line(counted(asked.counted, &codes));
    }
    if asked.counted == 0 {
        return Ok(Exit::Fine);
    }
    let question = format!("replay {} dead letters, at most {} a second?", grouped(asked.counted), asked.rate);
    if !confirmed(&question, args.which.yes)? {
        out::note("nothing was done");
        return Ok(Exit::Failed);
    }
    // Nothing is stored where nobody would do it.
    let work = Work::begin(invocation, store).await?;
    let job = many::ask(&work.store, &asked).await?;
    follow(work, invocation, &job).await
}

fn asked(store: &Store, args: &ReplayArgs) -> Asked {
    let now = store.clock().now();
    Asked {
        letters: Matching {
            connection: args.which.connection.clone(),
            code: args.which.code.clone(),
            since: args.which.since.map(|since| since.seen_from(now)),
            before: now,
        },
        since_as_given: args.which.since.map(|since| match since {
            Moment::At(moment) => time::format(moment),
            Moment::Back(duration) => moment::shown(duration),
        }),
        counted: 0,
        rate: args.rate.unwrap_or(RATE),
        actor: ACTOR.to_owned(),
    }
}

fn joined(invocation: &Invocation, job: &Job, rate: Option<f64>) {
    if invocation.json {
        return;
    }
    let name = report::name(job);
    out::note(format!("the {name} of {} has not ended; this command follows it", out::local(job.created_at)));
    let held = Asked::of(job).map_or(RATE, |asked| asked.rate);
    if rate.is_some_and(|rate| (rate - held).abs() > f64::EPSILON) {
        out::note(format!(
            "its rate stays {held} a second; to change it, stop it first: sapo-sync jobs stop {}",
            job.id
        ));
    }
}

async fn follow(mut work: Work, invocation: &Invocation, job: &Job) -> anyhow::Result<Exit> {
    let Some(ended) = work.follow(job).await? else { return Ok(Exit::Failed) };
    let exit = report::print(&work.store, &ended, invocation.json, None).await?;
    work.end().await?;
    Ok(exit)
}

/// `1,204 open letters match: 1,100 refused, 104 not_found`.
fn counted(open: i64, codes: &[(String, i64)]) -> String {
    if open == 0 {
        return "no open letter matches; `sapo-sync dead list` shows those that are open".to_owned();
    }
    let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{} {code}", grouped(*count))).collect();
    let letters = if open == 1 { "open letter matches" } else { "open letters match" };
    format!("{} {letters}: {}", grouped(open), codes.join(", "))
}

/// A count with its thousands apart.
fn grouped(count: i64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_code_before_anything_is_done() {
        let codes = [("refused".to_owned(), 1_100), ("not_found".to_owned(), 104)];
        assert_eq!(counted(1_204, &codes), "1,204 open letters match: 1,100 refused, 104 not_found");
        assert_eq!(counted(1, &[("panic".to_owned(), 1)]), "1 open letter matches: 1 panic");
        assert_eq!([7, 999, 1_000, 12_345, 1_234_567].map(grouped), ["7", "999", "1,000", "12,345", "1,234,567"]);
    }
}
