//! Replay of many dead letters: counted, stored as a job, kept to a rate, stopped, gone on with; and the `jobs` command.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault};
use sapo_sync::store::Store;
use sapo_sync::store::dead_letters::{DeadFilter, DeadLetter, Matching, Verdict};
use sapo_sync::store::jobs::{Job, Lane};
use sapo_sync::store::ledger::Step;
use sapo_sync::sync::jobs::Summary;
use sapo_sync::sync::replay::many::{self, Asked};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::backend::{Backend, environment};
use crate::harness::{CONNECTION, Setup, World, dong, until};
use crate::import::summary;

/// So slow that a second letter does not go while a test lasts.
const ONE_A_MINUTE: f64 = 1.0 / 60.0;

/// Products that are linked and equal on both sides; their ids.
async fn products(world: &World, count: usize) -> Vec<u64> {
    let omni = world.sandbox.omni();
    let product = |n| json!({"name": format!("Mũ {n}"), "variants": [{"sku": format!("M-{n}"), "retail": 90_000, "stock": {"58001": 1}}]});
    let ids = (0..count).map(|n| omni.add_product(&product(n)).unwrap()).collect();
    world.quiet().await;
    ids
}

/// Files an open letter of a product's event; its event's id.
async fn file(store: &Store, connection: &str, product: u64, code: &str) -> String {
    let key = ObjectKey {
        connection: connection.into(),
        source: System::Omni,
        kind: Kind::Product,
        object_id: product.to_string(),
    };
    let event = Event::new(key, "cuahangmau", "products/update", Shape::Id, store.clock().now(), "{}".into());
    let mut tx = store.begin().await.unwrap();
    let verdict = Verdict { code, reason: "the other side refused it", last_answer: None };
    store.file_letter(&mut tx, &event, verdict).await.unwrap();
    tx.commit().await.unwrap();
    event.id.to_string()
}

/// Files a letter for each of so many products.
async fn filed(world: &World, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for product in products(world, count).await {
        ids.push(file(world.store(), CONNECTION, product, "refused").await);
    }
    ids
}

/// What is asked for, counted now. The moment after the last letter was filed is waited for first.
async fn asked(store: &Store, code: Option<&str>, rate: f64) -> Asked {
    let start = store.clock().now();
    until("the clock moves on", async || store.clock().now() > start).await;
    let letters = Matching {
        connection: Some(CONNECTION.into()),
        code: code.map(ToOwned::to_owned),
        since: None,
        before: store.clock().now(),
    };
    let counted = store.count_matching(&letters).await.unwrap().iter().map(|row| row.1).sum();
    Asked { letters, since_as_given: None, counted, rate, actor: "test".into() }
}

async fn ask(world: &World, code: Option<&str>, rate: f64) -> Job {
    many::ask(world.store(), &asked(world.store(), code, rate).await).await.unwrap()
}

async fn replayed(world: &World, job: &Job) -> i64 {
    world.store().replayed_by(&job.id).await.unwrap()
}

/// The letters of any state of one event: run and state, by run.
async fn runs(world: &World, event_id: &str) -> Vec<(i64, String)> {
    let mut all: Vec<DeadLetter> = Vec::new();
    for state in ["open", "replayed", "superseded", "discarded"] {
        let filter = DeadFilter {
            state: Some(state.into()),
            search: Some(event_id.into()),
            limit: 100,
            ..DeadFilter::default()
        };
        all.extend(world.store().list_letters(&filter).await.unwrap());
    }
    all.sort_by_key(|letter| letter.run);
    all.into_iter().map(|letter| (letter.run, letter.state)).collect()
}

/// How often an event was settled, its run, and its story, by its one ledger row.
async fn settled(world: &World, event_id: &str) -> Option<(i64, usize, Vec<Step>)> {
    let rows: Vec<_> = world.events().await.into_iter().filter(|row| row.event_id == event_id).collect();
    assert!(rows.len() <= 1, "one event, one row");
    let row = rows.into_iter().next()?;
    let story: Vec<Step> = serde_json::from_str(&row.story).unwrap();
    let ends = story.iter().filter(|step| matches!(step.step.as_str(), "done" | "skipped" | "dead")).count();
    Some((row.run, ends, story))
}

/// That an event was replayed once, and settled. RabbitMQ may deliver it once more, where its queue changed hands
/// while it was at work: on a busy machine leases run out.
async fn assert_replayed_once(world: &World, event_id: &str) {
    let (run, ends, story) = settled(world, event_id).await.expect("it is in the ledger");
    assert_eq!(run, 1, "the same id, the next run: {story:#?}");
    assert!(ends == 1 || (ends > 1 && !Backend::is_files()), "{ends} ends: {story:#?}");
}

async fn audited(store: &Store) -> Vec<(String, String)> {
    let rows = store.audit_rows(100).await.unwrap();
    rows.into_iter().filter(|row| row.action.starts_with("dead ")).map(|row| (row.actor, row.action)).rev().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_by_filter_touches_only_what_matches_and_keeps_the_events_ids() {
    let world = World::new().await;
    let products = products(&world, 6).await;
    let mut meant = Vec::new();
    for product in &products[..3] {
        meant.push(file(world.store(), CONNECTION, *product, "refused").await);
    }
    let other_code = file(world.store(), CONNECTION, products[3], "poison").await;
    let other_connection = file(world.store(), "another", products[4], "refused").await;
    let before = world.store().count_matching(&asked(world.store(), None, 1.0).await.letters).await.unwrap();
    assert_eq!(before, [("refused".to_owned(), 3), ("poison".to_owned(), 1)], "counted by code first");

    let job = ask(&world, Some("refused"), 1_000.0).await;
    let summary = summary(&world.job_ended(&job.id).await);
    assert_eq!((summary.events, summary.done + summary.skipped, summary.failed()), (3, 3, false), "{summary:#?}");
    assert_eq!(summary.found["letter.replay"], 3);
    for id in &meant {
        assert_replayed_once(&world, id).await;
        assert_eq!(runs(&world, id).await, [(0, "superseded".to_owned())]);
    }
    for id in [&other_code, &other_connection] {
        assert!(settled(&world, id).await.is_none());
        assert_eq!(runs(&world, id).await, [(0, "open".to_owned())]);
    }
    let rows = [("test", "dead replay many"), ("sapo-sync", "dead replay many ended")];
    assert_eq!(audited(world.store()).await, rows.map(|(actor, action)| (actor.to_owned(), action.to_owned())));
    world.finish(&["dead:poison", "dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_dies_again_is_filed_once_as_the_next_run_and_superseded_when_done() {
    let setup = Setup { schedule: Vec::new(), recheck: Duration::from_millis(200), ..Setup::default() };
    let world = World::with(setup).await;
    products(&world, 1).await;
    let fault = ApiFault {
        api: Api::Abaha,
        method: None,
        path: "product/update".into(),
        skip: 0,
        times: 2,
        effect: ApiEffect::Status { code: 500, retry_after: None },
    };
    world.sandbox.faults().api(fault);
    let variant = world.sandbox.omni().variant_by_sku("M-0").unwrap();
    world.sandbox.omni().set_stock(variant, 58_001, dong(3)).unwrap();
    until("it is dead", async || world.dead().await.len() == 1).await;
    let id = world.dead().await.remove(0).event_id;

    let first = ask(&world, None, 1_000.0).await;
    let told = summary(&world.job_ended(&first.id).await);
    assert_eq!((told.events, told.dead, told.failed()), (1, 1, true), "{told:#?}");
    assert_eq!(told.codes, [("dead".to_owned(), "server_error".to_owned(), 1)]);
    assert_eq!(runs(&world, &id).await, [(0, "replayed".to_owned()), (1, "open".to_owned())]);
    let failures = world.store().replay_failures(&first.id, 10).await.unwrap();
    assert_eq!(failures.iter().map(|row| (row.event_id.clone(), row.run)).collect::<Vec<_>>(), [(id.clone(), 1)]);

    let second = ask(&world, None, 1_000.0).await;
    assert_ne!(first.id, second.id, "the first has ended");
    let told = summary(&world.job_ended(&second.id).await);
    assert_eq!((told.events, told.done, told.failed()), (1, 1, false), "{told:#?}");
    assert_eq!(runs(&world, &id).await, [(0, "superseded".to_owned()), (1, "superseded".to_owned())]);
    assert_eq!(world.on_abaha("M-0")["quantity"], 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_leaves_the_rest_open_and_tells_how_many() {
    let world = World::new().await;
    let ids = filed(&world, 40).await;
    // So slow that it is stopped before it is through, whatever else the machine has to do.
    let job = ask(&world, None, 3.0).await;
    until("some went", async || replayed(&world, &job).await >= 3).await;
    let asked_to = world.store().stop_job(&job.id, "test").await.unwrap().unwrap();
    assert_eq!((asked_to.state.as_str(), asked_to.finished_at), ("running", None), "whoever works on it ends it");
    let ended = world.job_ended(&job.id).await;
    world.quiet().await;
    let (gone, left) = (replayed(&world, &job).await, world.dead().await.len());
    assert!(gone >= 3 && left > 0 && gone + i64::try_from(left).unwrap() == 40, "{gone} went, {left} are left");
    assert_eq!(ended.state, "stopped");
    let reason = format!("stopped by hand; {gone} of 40 letters replayed, {left} left open");
    assert_eq!(ended.reason.as_deref(), Some(reason.as_str()));
    let rows = world.store().audit_rows(10).await.unwrap();
    assert!(rows.iter().any(|row| row.action == "jobs stop" && row.actor == "test" && row.subject == job.id));
    assert!(rows.iter().any(|row| row.action == "dead replay many ended" && row.detail.starts_with("stopped: ")));
    assert!(world.store().stop_job(&job.id, "test").await.unwrap().is_none(), "there is nothing left to stop");

    // Asked for again, the rest goes.
    let rest = ask(&world, None, 1_000.0).await;
    let told = summary(&world.job_ended(&rest.id).await);
    assert_eq!(told.events, i64::try_from(left).unwrap());
    for id in &ids {
        assert_replayed_once(&world, id).await;
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_cut_off_goes_on_without_replaying_one_twice() {
    let mut world = World::new().await;
    let ids = filed(&world, 30).await;
    // So slow that it is cut off before it is through, whatever else the machine has to do.
    let job = ask(&world, None, 3.0).await;
    until("some went", async || replayed(&world, &job).await >= 5).await;
    let owner = world.running().context().owner.clone();
    world.stop().await;
    let store = sapo_sync::app::open_store(&world.config).await.unwrap();
    let gone = store.replayed_by(&job.id).await.unwrap();
    assert!((5..30).contains(&gone), "it was cut off in the middle: {gone}");
    // As after a kill that came before any position was stored.
    assert!(store.keep_job(&job.id, &owner, Duration::from_mins(1), "{}", "{}").await.unwrap());
    store.close().await;

    world.start().await;
    let told = summary(&world.job_ended(&job.id).await);
    assert_eq!((told.events, told.done + told.skipped), (30, 30), "{told:#?}");
    for id in &ids {
        assert_replayed_once(&world, id).await;
        assert_eq!(runs(&world, id).await.len(), 1);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_filed_after_the_count_and_letters_no_longer_open_are_not_touched() {
    let world = World::new().await;
    let products = products(&world, 4).await;
    let mut ids = Vec::new();
    for product in &products[..3] {
        ids.push(file(world.store(), CONNECTION, *product, "refused").await);
    }
    let counted = asked(world.store(), None, 1_000.0).await;
    assert_eq!(counted.counted, 3);
    let later = file(world.store(), CONNECTION, products[3], "refused").await;
    let discarded = world.dead().await.into_iter().find(|letter| letter.event_id == ids[1]).unwrap();
    assert!(sapo_sync::sync::replay::discard(world.store(), &discarded, "test").await.unwrap());

    let job = many::ask(world.store(), &counted).await.unwrap();
    let told = summary(&world.job_ended(&job.id).await);
    assert_eq!((told.events, told.found["letter.skip"]), (2, 1), "{told:#?}");
    assert_eq!(runs(&world, &later).await, [(0, "open".to_owned())]);
    assert_eq!(runs(&world, &ids[1]).await, [(0, "discarded".to_owned())]);
    world.finish(&["dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_letters_of_one_object_end_together() {
    let world = World::new().await;
    let product = products(&world, 1).await[0];
    for _ in 0..5 {
        file(world.store(), CONNECTION, product, "refused").await;
    }
    let job = ask(&world, None, 1_000.0).await;
    let told = summary(&world.job_ended(&job.id).await);
    // The ones still to be sent when the object is settled are superseded: they are skipped, and told of.
    let not_sent = told.found.get("letter.skip").copied().unwrap_or_default();
    assert_eq!(u64::try_from(told.events).unwrap() + not_sent, 5, "{told:#?}");
    assert_eq!(told.done + told.skipped, told.events, "none is waited for in vain: {told:#?}");
    assert!(told.events >= 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_be_read_is_told_of_and_holds_up_nobody() {
    let world = World::new().await;
    let ids = filed(&world, 3).await;
    sqlx::any::install_default_drivers();
    let url = world.config.database_url.expose_secret();
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(url).await.unwrap();
    sqlx::query("update dead_letters set attributes = '{' where event_id = $1")
        .bind(&ids[0])
        .execute(&mut connection)
        .await
        .unwrap();
    let job = ask(&world, None, 1_000.0).await;
    let told = summary(&world.job_ended(&job.id).await);
    assert_eq!((told.events, told.errors, told.failed()), (2, 1, true), "{told:#?}");
    let rows = world.job_rows(&job).await;
    assert_eq!(rows, [("letter".into(), ids[0].clone(), "error".into(), "store_corrupt".into())]);
    world.finish(&["dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_is_not_held_up_by_slow_replays_and_one_filter_is_one_job() {
    let world = World::new().await;
    let products = products(&world, 6).await;
    for (product, code) in products.iter().zip(["refused", "refused", "poison", "poison", "panic", "panic"]) {
        file(world.store(), CONNECTION, *product, code).await;
    }
    let mut jobs = Vec::new();
    for code in ["refused", "poison", "panic"] {
        jobs.push(ask(&world, Some(code), ONE_A_MINUTE).await);
        let same = ask(&world, Some(code), 1_000.0).await;
        assert_eq!(same.id, jobs[jobs.len() - 1].id, "asked again, it is joined");
    }
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<BTreeSet<_>>().len(), 3, "three filters, three jobs");
    until("two of them run", async || replayed(&world, &jobs[0]).await + replayed(&world, &jobs[1]).await == 2).await;
    summary(&world.run_job("reconcile").await);
    for job in &jobs {
        let now = world.store().job(&job.id).await.unwrap().unwrap();
        assert!(now.finished_at.is_none() && replayed(&world, job).await < 2, "it goes on: {now:#?}");
    }
    // The third waits for room, so nobody holds it, and it ends at once.
    let third = world.store().stop_job(&jobs[2].id, "test").await.unwrap().unwrap();
    assert_eq!((third.state.as_str(), replayed(&world, &third).await), ("stopped", 0));
    for job in &jobs[..2] {
        world.store().stop_job(&job.id, "test").await.unwrap();
        assert_eq!(world.job_ended(&job.id).await.state, "stopped");
    }
    world.finish(&["dead:refused", "dead:poison", "dead:panic", "dead:panic"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_taken_over_is_not_ended_by_whoever_had_it_before() {
    let mut world = World::new().await;
    world.stop().await;
    let store = sapo_sync::app::open_store(&world.config).await.unwrap();
    let import = store.add_job("import", CONNECTION, "{}").await.unwrap();
    let reconcile = store.add_job("reconcile", CONNECTION, "{}").await.unwrap();
    let elsewhere = store.add_job("reconcile", "another", "{}").await.unwrap();
    let long = Duration::from_mins(5);
    let took = async |owner, lease| store.take_job(owner, lease, Lane::Walks).await.unwrap().map(|job| job.id);
    assert_eq!(took("a", Duration::ZERO).await.as_ref(), Some(&import.id));
    // Its lease has run out.
    store.clock().advance(Duration::from_millis(2));
    assert_eq!(took("b", long).await.as_ref(), Some(&import.id));
    assert_eq!(took("c", long).await.as_ref(), Some(&elsewhere.id), "one walk of a connection at a time");
    assert_eq!(took("c", long).await, None);
    assert!(store.take_job("c", long, Lane::Replays).await.unwrap().is_none());

    let end = async |owner: &str| {
        let mut tx = store.begin().await.unwrap();
        let ended =
            store.finish_job(&mut tx, &import.id, owner, "stopped", "{}", Some("stopped by hand")).await.unwrap();
        tx.commit().await.unwrap();
        ended
    };
    assert!(!end("a").await, "somebody else holds it");
    assert_eq!(store.job(&import.id).await.unwrap().unwrap().state, "running");
    assert!(end("b").await);
    assert_eq!(took("c", long).await, Some(reconcile.id));
    store.close().await;
    world.start().await;
    world.finish(&[]).await;
}

/// Runs the real binary on the world's data, with what the world's settings say.
async fn sapo_sync(world: &World, line: &str) -> (i32, Vec<Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
    command
        .args(line.split_whitespace())
        .envs(environment(&world.config))
        .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
        .env("SAPO_SYNC__OUTGOING__SAPO_LIMIT", "2000+1000/s")
        .env("SAPO_SYNC__OUTGOING__ABAHA_LIMIT", "2000+1000/s");
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8(stdout).unwrap();
    let rows = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (status.code().unwrap(), rows, told + &String::from_utf8_lossy(&stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_counts_asks_follows_and_reports_beside_a_running_program() {
    let world = World::new().await;
    filed(&world, 4).await;
    let (code, _, told) = sapo_sync(&world, "dead replay --all").await;
    assert_eq!(code, 1, "nobody can be asked: {told}");
    assert!(told.contains("4 open letters match: 4 refused") && told.contains("--yes"), "{told}");
    assert_eq!(world.dead().await.len(), 4, "nothing was done");

    let (code, rows, told) = sapo_sync(&world, "dead replay --all --code refused --rate 100/s --yes --json").await;
    assert_eq!(code, 0, "{told}");
    assert_eq!(rows[0], json!({"type": "count", "open": 4, "codes": {"refused": 4}}));
    let last = &rows[rows.len() - 1];
    assert_eq!((&last["type"], &last["state"], &last["events"]), (&json!("summary"), &json!("done"), &json!(4)));
    let id = last["job"].as_str().unwrap();
    assert!(world.dead().await.is_empty());

    let (code, rows, _) = sapo_sync(&world, "jobs list --kind replay --state done --json").await;
    assert_eq!((code, rows.len(), rows[0]["id"].as_str()), (0, 1, Some(id)));
    assert_eq!(rows[0]["arguments"]["rate"], 100.0);
    let (code, rows, _) = sapo_sync(&world, &format!("jobs show {} --json", &id[..23])).await;
    assert_eq!((code, rows[0]["found"]["events"].as_i64()), (0, Some(4)));
    let (code, _, told) = sapo_sync(&world, &format!("jobs show {id}")).await;
    assert!(code == 0 && told.contains("replay of dead letters (code refused)") && told.contains("events 4"), "{told}");
    let (code, rows, _) = sapo_sync(&world, &format!("jobs stop {id} --json")).await;
    assert_eq!((code, &rows[0]["stopped"], &rows[0]["state"]), (0, &json!(false), &json!("done")));
    let (code, _, told) = sapo_sync(&world, "jobs show ffff").await;
    assert!(code == 4 && told.contains("jobs list"), "{told}");
    let (code, _, told) = sapo_sync(&world, "dead replay --all --yes").await;
    assert!(code == 0 && told.contains("no open letter matches"), "{told}");
    let (code, _, told) = sapo_sync(&world, "dead replay --all --connection nowhere --yes").await;
    assert!(code == 4 && told.contains(CONNECTION), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_replay_that_is_stopped_by_the_jobs_command_ends_the_command_with_what_is_left() {
    let world = World::new().await;
    filed(&world, 3).await;
    let following = sapo_sync(&world, "dead replay --all --rate 1/m --yes");
    let stopping = async {
        let running = async || {
            let (_, rows, _) = sapo_sync(&world, "jobs list --state running --kind replay --json").await;
            rows.first().and_then(|row| Some(row["id"].as_str()?.to_owned()))
        };
        until("the first letter went", async || world.dead().await.len() == 2).await;
        let id = running().await.expect("it runs");
        sapo_sync(&world, &format!("jobs stop {id}")).await
    };
    let ((code, _, told), (stop_code, _, stop_told)) = tokio::join!(following, stopping);
    assert!(stop_code == 0 && stop_told.contains("told to stop"), "{stop_told}");
    assert!(code == 1 && told.contains("stopped by hand; 1 of 3 letters replayed, 2 left open"), "{told}");
    world.finish(&["dead:refused", "dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_runs_the_command_does_the_work_itself() {
    let mut world = World::on_files(Setup::default()).await;
    filed(&world, 3).await;
    world.stop().await;
    let (code, rows, told) = sapo_sync(&world, "dead replay --all --yes --json").await;
    assert_eq!(code, 0, "{told}");
    let found: Summary = serde_json::from_value(rows[rows.len() - 1].clone()).unwrap();
    assert_eq!((found.events, found.done + found.skipped), (3, 3), "{told}");
    world.start().await;
    world.finish(&[]).await;
}
