//! What the state database promises, on every engine: parked rows, ledger, dead letters, intents, accounts.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::outcome::{Cause, Verdict};
use sapo_sync::store::dead_letters::{DeadFilter, Verdict as Why};
use sapo_sync::store::intents::{IntentKey, IntentKind, Taken};
use sapo_sync::store::ledger::{EventFilter, Settlement, Step};
use sapo_sync::store::parked::ToPark;
use sapo_sync::store::{Cipher, Store, StoreError};
use tempfile::TempDir;

/// Where state is kept: stores opened one after the other find what the one before left.
#[async_trait]
trait Place: Send + Sync {
    async fn open(&self) -> Store;
}

struct StateFile(TempDir);

#[async_trait]
impl Place for StateFile {
    async fn open(&self) -> Store {
        let cipher = Cipher::from_key_or_file(None, &self.0.path().join("master.key")).unwrap();
        Store::open(&format!("sqlite://{}", self.0.path().join("state.db").display()), cipher, Clock::system())
            .await
            .unwrap()
    }
}

const ACCOUNT: &str = "abaha:501";

fn event(id: &str, version: i64) -> Event {
    let key = ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Product, object_id: id.into() };
    let mut event =
        Event::new(key, "s", "products/update", Shape::Whole, 1_000, Bytes::from(format!("{id} at {version}")));
    event.version = Some(version);
    event
}

async fn park(store: &Store, event: &Event, class: i64, cause: Cause, key: Option<&str>, due_in: i64) {
    let mut tx = store.begin().await.unwrap();
    let due_at = store.clock().now() + due_in;
    let row = ToPark { event, account: ACCOUNT, class, cause, cause_key: key, reason: "because", due_at };
    store.park(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn record(store: &Store, event: &Event, verdict: Verdict, code: &str, text: &str) {
    let mut tx = store.begin().await.unwrap();
    let step = Step { at: 1, step: "decided".into(), text: text.into() };
    let settled = Settlement { verdict, code, reason: "because", attempts: event.attempts, steps: &[step] };
    store.record(&mut tx, event, &settled, "hash").await.unwrap();
    tx.commit().await.unwrap();
}

async fn ledger(store: &Store) -> Vec<(String, String, String)> {
    let rows = store.list_events(&EventFilter { limit: 100, ..EventFilter::default() }).await.unwrap();
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row.event_id, row.outcome, row.code)).collect();
    rows.sort();
    rows
}

async fn a_row_that_changed_while_it_was_being_released_is_not_deleted(place: &dyn Place) {
    let store = place.open().await;
    let (old, new) = (event("1", 5), event("1", 6));
    park(&store, &old, 1, Cause::Failing, None, -1).await;
    let released = store.due(ACCOUNT, 0, 3, 10).await.unwrap();
    assert_eq!((released.len(), &released[0].event.id), (1, &old.id));
    // Meanwhile a newer state joins the row; then the release comes to its deletion.
    park(&store, &new, 1, Cause::Failing, None, -1).await;
    store.released(&released[0]).await.unwrap();
    let row = store.parked(&new.key).await.unwrap().expect("the newer state is still there");
    assert_eq!(row.event_id, new.id.to_string());
    assert_eq!(row.generation, released[0].generation + 1);
    // A wake-up in between is a change as well, so that it is not lost.
    for change in ["cause", "hand"] {
        let again = store.due(ACCOUNT, 0, 3, 10).await.unwrap().remove(0);
        match change {
            "cause" => {
                park(&store, &new, 1, Cause::UnlinkedProduct, Some("sku:A"), 60_000).await;
                assert_eq!(store.bring_forward("c", "sku:A").await.unwrap(), 1);
            }
            _ => assert_eq!(store.release_now(Some("c"), None, None).await.unwrap(), 1),
        }
        store.released(&again).await.unwrap();
        assert!(store.parked(&new.key).await.unwrap().is_some(), "{change}");
    }
    let last = store.due(ACCOUNT, 0, 3, 10).await.unwrap().remove(0);
    store.released(&last).await.unwrap();
    assert!(store.parked(&new.key).await.unwrap().is_none(), "an unchanged row is deleted");
    store.close().await;
}

async fn a_row_keeps_the_newest_state_and_the_time_since_when_its_object_waits(place: &dyn Place) {
    let store = place.open().await;
    let states = [event("1", 5), event("1", 9), event("1", 7)];
    for state in &states {
        record(&store, state, Verdict::Parked, "failing", "x").await;
    }
    park(&store, &states[0], 1, Cause::Failing, None, 60_000).await;
    let since = store.parked(&states[0].key).await.unwrap().unwrap().first_parked_at;
    store.clock().advance(Duration::from_mins(3));
    park(&store, &states[1], 1, Cause::Failing, None, 60_000).await;
    park(&store, &states[2], 1, Cause::Failing, None, 60_000).await;
    let row = store.parked(&states[0].key).await.unwrap().unwrap();
    assert_eq!(
        (row.event_id, row.first_parked_at),
        (states[1].id.to_string(), since),
        "the newest by its own version, not by arrival"
    );
    let codes = ledger(&store).await;
    assert_eq!(codes.iter().map(|row| row.2.as_str()).collect::<Vec<_>>(), ["superseded", "failing", "superseded"]);
    // Two states that cannot be ordered: the later arrival stays, to be read anew.
    let mut twin = event("1", 9);
    twin.body = Bytes::from_static(b"other");
    park(&store, &twin, 1, Cause::Failing, None, -1).await;
    let due = store.due(ACCOUNT, 0, 3, 10).await.unwrap().remove(0);
    assert_eq!((due.event.id, due.event.read, due.event.parked_since), (twin.id, true, Some(since)));
    // A deletion is kept whatever comes after it.
    let mut gone = event("1", 1);
    gone.shape = Shape::Gone;
    park(&store, &gone, 1, Cause::Failing, None, -1).await;
    park(&store, &event("1", 20), 1, Cause::Failing, None, -1).await;
    let due = store.due(ACCOUNT, 0, 3, 10).await.unwrap().remove(0);
    assert_eq!((due.event.shape, due.event.read), (Shape::Gone, true));
    store.close().await;
}

async fn settling_an_event_deletes_the_row_of_its_object_unless_that_is_newer(place: &dyn Place) {
    let store = place.open().await;
    let (first, second, third) = (event("1", 1), event("1", 2), event("1", 3));
    record(&store, &first, Verdict::Parked, "failing", "x").await;
    let unpark = async |event: &Event| {
        let mut tx = store.begin().await.unwrap();
        store.unpark(&mut tx, event, event.version).await.unwrap();
        tx.commit().await.unwrap();
        store.parked(&event.key).await.unwrap().map(|row| row.event_id)
    };
    park(&store, &third, 1, Cause::Failing, None, -1).await;
    assert_eq!(unpark(&second).await, Some(third.id.to_string()), "it holds a newer event");
    assert_eq!(unpark(&third).await, None);
    park(&store, &first, 1, Cause::Failing, None, -1).await;
    assert_eq!(unpark(&second).await, None, "it held an older one");
    assert_eq!(ledger(&store).await[0].2, "superseded");
    store.close().await;
}

async fn rows_are_released_orders_first_and_then_by_age_and_only_when_due(place: &dyn Place) {
    let store = place.open().await;
    for (id, class, due_in) in [
        ("import", 3, -1),
        ("product", 1, -1),
        ("order", 0, -1),
        ("later", 0, 60_000),
        ("customer", 2, -1),
        ("product2", 1, -1),
    ] {
        park(&store, &event(id, 1), class, Cause::Failing, None, due_in).await;
        store.clock().advance(Duration::from_millis(2));
    }
    let ids = async |from, to, limit| {
        let due = store.due(ACCOUNT, from, to, limit).await.unwrap();
        due.into_iter().map(|due| due.event.key.object_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(0, 3, 10).await, ["order", "product", "product2", "customer", "import"]);
    assert_eq!(ids(0, 3, 2).await, ["order", "product"]);
    assert_eq!(ids(1, 2, 10).await, ["product", "product2", "customer"]);
    assert_eq!(store.due("abaha:502", 0, 3, 10).await.unwrap().len(), 0);
    assert_eq!(store.due_accounts().await.unwrap(), [ACCOUNT]);
    store.clock().advance(Duration::from_mins(2));
    assert_eq!(ids(0, 0, 10).await, ["order", "later"]);
    store.close().await;
}

async fn a_letter_is_filed_once_by_event_and_run_and_its_state_changes_once(place: &dyn Place) {
    let store = place.open().await;
    let mut event = event("1", 1);
    event.attempts = 7;
    let file = async |event: &Event, code: &str| {
        let mut tx = store.begin().await.unwrap();
        store.file_letter(&mut tx, event, Why { code, reason: "because", last_answer: Some("500") }).await.unwrap();
        tx.commit().await.unwrap();
    };
    let state = async |run: i64, state: &str| {
        let mut tx = store.begin().await.unwrap();
        let changed = store.set_letter_state(&mut tx, &event.id.to_string(), run, state).await.unwrap();
        tx.commit().await.unwrap();
        changed
    };
    let list = async |state: &str| {
        store.list_letters(&DeadFilter { state: Some(state.into()), limit: 10, ..DeadFilter::default() }).await.unwrap()
    };
    file(&event, "refused").await;
    file(&event, "undeliverable").await;
    let open = list("open").await;
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].code.as_str(), open[0].attempts, open[0].last_answer.as_deref()), ("refused", 7, Some("500")));
    assert!(state(0, "replayed").await && !state(0, "replayed").await && !state(0, "discarded").await);
    let mut second = event.clone();
    second.run = 1;
    file(&second, "refused").await;
    assert_eq!((list("open").await.len(), list("replayed").await.len()), (1, 1));
    assert_eq!(store.letter_event(&event.id.to_string(), 1).await.unwrap().unwrap().body, event.body);
    let mut tx = store.begin().await.unwrap();
    store.supersede_letters(&mut tx, &event.key).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(list("superseded").await.len(), 2);
    assert_eq!(store.mark_poison("e").await.unwrap() + store.mark_poison("e").await.unwrap(), 1 + 2);
    let mut tx = store.begin().await.unwrap();
    store.clear_poison(&mut tx, "e").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.mark_poison("e").await.unwrap(), 1);
    store.close().await;
}

async fn an_intent_has_one_holder_and_is_made_once(place: &dyn Place) {
    let store = place.open().await;
    let key = IntentKey { account: "omni:s".into(), kind: IntentKind::Order, natural_key: "c:ABH1".into() };
    let lease = Duration::from_secs(45);
    let take = async |owner: &str| store.take_intent(&key, "c", "9", Some("240000|+84"), owner, lease).await.unwrap();
    let Taken::New(first) = take("one").await else { panic!("nobody tried before") };
    assert!(matches!(take("two").await, Taken::Held { .. }));
    store.clock().advance(lease + Duration::from_secs(1));
    let Taken::Again(second) = take("two").await else { panic!("the lease has ended: it must be looked up") };
    assert!(second.epoch > first.epoch);
    // The first holder wakes up late: its word does not count any more.
    store.drop_intent(&first).await.unwrap();
    assert!(store.intent(&key.account, IntentKind::Order, &key.natural_key).await.unwrap().is_some());
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        store.complete_intent(&mut tx, &key.account, "order", &key.natural_key, "14800001").await.unwrap(),
        None
    );
    tx.commit().await.unwrap();
    assert_eq!(take("three").await, Taken::Done("14800001".into()));
    let mut tx = store.begin().await.unwrap();
    let other = store.complete_intent(&mut tx, &key.account, "order", &key.natural_key, "14800002").await.unwrap();
    assert_eq!(other.as_deref(), Some("14800001"), "two objects with one mark are told");
    tx.rollback().await.unwrap();
    assert!(store.open_intents(&key.account, IntentKind::Order).await.unwrap().is_empty());
    store.close().await;
}

async fn a_closed_account_stays_closed_until_the_latest_moment_and_survives_reopening(place: &dyn Place) {
    let store = place.open().await;
    assert_eq!(store.close_account(ACCOUNT, 5_000, true, "server_error").await.unwrap(), 1);
    assert_eq!(store.close_account(ACCOUNT, 9_000, false, "throttled").await.unwrap(), 1);
    assert_eq!(store.close_account(ACCOUNT, 7_000, true, "timeout").await.unwrap(), 2);
    store.close().await;
    let store = place.open().await;
    let closed = store.closed_accounts().await.unwrap();
    assert_eq!(
        (closed[ACCOUNT].not_before, closed[ACCOUNT].failures, closed[ACCOUNT].reason.as_str()),
        (9_000, 2, "timeout")
    );
    store.open_account(ACCOUNT).await.unwrap();
    assert!(store.closed_accounts().await.unwrap().is_empty());
    store.close().await;
}

async fn the_story_of_an_event_goes_on_over_its_runs_and_stays_bounded(place: &dyn Place) {
    let store = place.open().await;
    let event = event("1", 1);
    for step in 0..100 {
        record(&store, &event, if step == 99 { Verdict::Done } else { Verdict::Parked }, "x", &format!("step {step}"))
            .await;
    }
    let rows = store.list_events(&EventFilter { limit: 10, ..EventFilter::default() }).await.unwrap();
    assert_eq!((rows.len(), rows[0].outcome.as_str()), (1, "done"));
    let story: Vec<Step> = serde_json::from_str(&rows[0].story).unwrap();
    assert!(story.len() <= 60 && story[0].text == "step 0" && story[story.len() - 1].text == "step 99");
    assert!(story.iter().any(|step| step.step == "left_out"));
    store.close().await;
}

async fn what_was_not_committed_is_not_there(place: &dyn Place) {
    let store = place.open().await;
    let mut tx = store.begin().await.unwrap();
    store.file_letter(&mut tx, &event("1", 1), Why { code: "x", reason: "x", last_answer: None }).await.unwrap();
    drop(tx);
    assert!(store.letter_counts().await.unwrap().is_empty());
    store.probe().await.unwrap();
    store.close().await;
    assert!(matches!(store.probe().await, Err(StoreError::Sql(_))));
    let store = place.open().await;
    assert!(store.letter_counts().await.unwrap().is_empty());
    store.close().await;
}

macro_rules! contract {
    ($engine:ident, $place:expr, [$($promise:ident),+ $(,)?]) => {
        mod $engine {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(&$place).await;
            })+
        }
    };
}

macro_rules! whole_contract {
    ($engine:ident, $place:expr) => {
        contract!(
            $engine,
            $place,
            [
                a_row_that_changed_while_it_was_being_released_is_not_deleted,
                a_row_keeps_the_newest_state_and_the_time_since_when_its_object_waits,
                settling_an_event_deletes_the_row_of_its_object_unless_that_is_newer,
                rows_are_released_orders_first_and_then_by_age_and_only_when_due,
                a_letter_is_filed_once_by_event_and_run_and_its_state_changes_once,
                an_intent_has_one_holder_and_is_made_once,
                a_closed_account_stays_closed_until_the_latest_moment_and_survives_reopening,
                the_story_of_an_event_goes_on_over_its_runs_and_stays_bounded,
                what_was_not_committed_is_not_there,
            ]
        );
    };
}

whole_contract!(sqlite, StateFile(tempfile::tempdir().unwrap()));
