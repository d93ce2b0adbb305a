//! What the state database promises of jobs, on every engine: lanes, leases, how they ended, and what is deleted.

use std::time::Duration;

use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::System;
use sapo_sync::store::Store;
use sapo_sync::store::jobs::{JobRow, Lane};

use crate::contract_store::{Place, Server, StateFile, account, contract, shop};

/// A job that began a second after the one before, and ended so; its id and when it ended.
async fn ended(store: &Store, kind: &str, connection: &str, state: &str) -> (String, i64) {
    ended_with(store, kind, connection, state, "{}").await
}

/// The same of one that found something.
async fn ended_with(store: &Store, kind: &str, connection: &str, state: &str, found: &str) -> (String, i64) {
    store.clock().advance(Duration::from_secs(1));
    let job = store.add_job(kind, connection, "{}").await.unwrap();
    assert_eq!(store.take_job("me", Duration::from_mins(1), Lane::Walks).await.unwrap().unwrap().id, job.id);
    let row = |number: usize| JobRow {
        kind: "product".into(),
        object_id: number.to_string(),
        action: "skip".into(),
        code: "no_price".into(),
        reason: "because".into(),
    };
    store.add_job_rows(&job.id, 1, &(1..=7).map(row).collect::<Vec<_>>()).await.unwrap();
    store.clock().advance(Duration::from_secs(1));
    let mut tx = store.begin().await.unwrap();
    assert!(store.finish_job(&mut tx, &job.id, "me", state, found, None).await.unwrap());
    tx.commit().await.unwrap();
    let at = store.job(&job.id).await.unwrap().unwrap().finished_at.unwrap();
    (job.id, at)
}

async fn a_job_that_failed_or_was_stopped_has_ended_like_one_that_was_done(place: &dyn Place) {
    let store = place.open().await;
    let last = async || store.last_ended("reconcile", "a").await.unwrap();
    assert_eq!(last().await, None);
    let (done, at) = ended(&store, "reconcile", "a", "done").await;
    assert_eq!(last().await, Some(at));
    for state in ["failed", "stopped"] {
        let (_, at) = ended(&store, "reconcile", "a", state).await;
        assert_eq!(last().await, Some(at), "{state}");
        assert_eq!(store.last_job("reconcile", "a").await.unwrap().unwrap().id, done, "the next begins from this one");
    }
    let before = last().await;
    ended(&store, "import", "a", "done").await;
    ended(&store, "reconcile", "b", "done").await;
    store.add_job("reconcile", "a", "{}").await.unwrap();
    assert_eq!(last().await, before, "one that waits has not ended");
    store.close().await;
}

async fn what_the_last_ones_found_is_told_of_every_active_connection(place: &dyn Place) {
    let store = place.open().await;
    let mut tx = store.begin().await.unwrap();
    store.put_store(&mut tx, &shop()).await.unwrap();
    for (name, site) in [("a", "501"), ("b", "502"), ("c", "503")] {
        store.put_connection(&mut tx, &account(System::Abaha, name, site, "cuahangmau")).await.unwrap();
    }
    store.set_connection_state(&mut tx, "c", State::Paused, None).await.unwrap();
    tx.commit().await.unwrap();
    for (kind, connection, state, found) in [
        ("reconcile", "a", "done", "first"),
        ("reconcile", "a", "done", "last"),
        ("reconcile", "a", "failed", "not done"),
        ("import", "a", "done", "another kind"),
        ("reconcile", "b", "failed", "not done"),
        ("reconcile", "c", "done", "paused"),
    ] {
        ended_with(&store, kind, connection, state, found).await;
    }
    let told = store.last_found("reconcile").await.unwrap();
    assert_eq!(told, [("a".to_owned(), Some("last".to_owned())), ("b".to_owned(), None)]);
    store.close().await;
}

async fn old_jobs_go_with_their_rows_but_the_next_one_finds_where_to_begin(place: &dyn Place) {
    let store = place.open().await;
    let mut all = Vec::new();
    for (kind, connection, state) in [
        ("reconcile", "a", "done"),
        ("reconcile", "a", "done"),
        ("reconcile", "a", "failed"),
        ("import", "a", "done"),
        ("import", "b", "stopped"),
    ] {
        all.push(ended(&store, kind, connection, state).await.0);
    }
    let open = store.add_job("plan", "a", "{}").await.unwrap().id;
    store.take_job("another", Duration::from_hours(1), Lane::Walks).await.unwrap().unwrap();
    store.clock().advance(Duration::from_mins(1));
    let before = store.clock().now();
    let young = ended(&store, "reconcile", "c", "failed").await.0;
    // Three jobs of seven rows each, five at once: a job that is cut off in the middle is gone on with.
    let mut batches = Vec::new();
    while let deleted @ 1.. = store.prune_jobs(before, 5).await.unwrap() {
        batches.push(deleted);
    }
    assert_eq!(batches, [5, 5, 5, 5, 4]);
    let mut left = Vec::new();
    for id in all.iter().chain([&open, &young]) {
        let rows = store.job_rows(id, 0, 100).await.unwrap().len();
        left.push((store.job(id).await.unwrap().is_some(), rows));
    }
    let (gone, kept) = ((false, 0), (true, 7));
    assert_eq!(left, [gone, kept, gone, kept, gone, (true, 0), kept]);
    store.close().await;
}

async fn jobs_of_webs_have_a_lane_of_their_own_and_each_connection_one_job_at_a_time(place: &dyn Place) {
    let store = place.open().await;
    let mut tx = store.begin().await.unwrap();
    store.put_store(&mut tx, &shop()).await.unwrap();
    for (channel, name, site) in
        [(System::Abaha, "app", "501"), (System::Web, "web1", "w1"), (System::Web, "web2", "w2")]
    {
        store.put_connection(&mut tx, &account(channel, name, site, "cuahangmau")).await.unwrap();
    }
    tx.commit().await.unwrap();
    for (kind, name) in
        [("import", "web1"), ("reconcile", "web1"), ("import", "app"), ("reconcile", "app"), ("links", "web2")]
    {
        store.add_job(kind, name, "{}").await.unwrap();
        store.clock().advance(Duration::from_millis(2));
    }
    let take = async |lane| {
        let taken = store.take_job("me", Duration::from_mins(1), lane).await.unwrap();
        taken.map(|job| format!("{} {}", job.kind, job.connection))
    };
    assert_eq!(take(Lane::Walks).await.as_deref(), Some("import app"));
    assert_eq!(take(Lane::Walks).await, None);
    assert_eq!(take(Lane::Webs).await.as_deref(), Some("import web1"));
    assert_eq!(take(Lane::Webs).await.as_deref(), Some("links web2"));
    assert_eq!(take(Lane::Webs).await, None);
    assert_eq!(take(Lane::Replays).await, None);
    store.close().await;
}

async fn whoever_holds_a_job_hears_of_a_wish_to_stop_it_and_of_its_loss(place: &dyn Place) {
    let store = place.open().await;
    let job = store.add_job("import", "a", "{}").await.unwrap();
    let minute = Duration::from_mins(1);
    store.take_job("one", minute, Lane::Walks).await.unwrap().unwrap();
    store.keep_job(&job.id, "one", minute, "{\"page\":2}", "{}").await.unwrap();
    store.clock().advance(minute / 2);
    assert!(store.hold_job(&job.id, "one", minute).await.unwrap());
    store.clock().advance(minute / 2 + Duration::from_secs(1));
    assert!(store.take_job("two", minute, Lane::Walks).await.unwrap().is_none(), "its lease was renewed");
    assert_eq!(store.job(&job.id).await.unwrap().unwrap().position, "{\"page\":2}", "and nothing else of it");
    store.clock().advance(minute);
    assert!(store.take_job("two", minute, Lane::Walks).await.unwrap().is_some());
    assert!(!store.hold_job(&job.id, "one", minute).await.unwrap(), "another holds it");
    store.stop_job(&job.id, "test").await.unwrap();
    assert!(!store.hold_job(&job.id, "two", minute).await.unwrap(), "it is to stop");
    store.close().await;
}

contract!([
    a_job_that_failed_or_was_stopped_has_ended_like_one_that_was_done,
    what_the_last_ones_found_is_told_of_every_active_connection,
    old_jobs_go_with_their_rows_but_the_next_one_finds_where_to_begin,
    jobs_of_webs_have_a_lane_of_their_own_and_each_connection_one_job_at_a_time,
    whoever_holds_a_job_hears_of_a_wish_to_stop_it_and_of_its_loss,
]);
