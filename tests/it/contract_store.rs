//! What the state database promises, on every engine: parked rows, ledger, dead letters, intents, accounts.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::connection::{Connection, Settings, State};
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::outcome::{Cause, Verdict};
use sapo_sync::store::connections::{ConnectionAccount, StoreAccount};
use sapo_sync::store::counts::Lying;
use sapo_sync::store::dead_letters::{DeadFilter, Verdict as Why};
use sapo_sync::store::intents::{IntentKey, IntentKind, Taken};
use sapo_sync::store::ledger::{EventFilter, Settlement, Step};
use sapo_sync::store::links::{Link, LinkFilter, LinkKind};
use sapo_sync::store::parked::ToPark;
use sapo_sync::store::{Cipher, Store, StoreError};
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::database::Database;

/// Where state is kept: stores opened one after the other find what the one before left.
#[async_trait]
pub trait Place: Send + Sync {
    /// Where it is.
    fn url(&self) -> String;
    /// Where the master key lies.
    fn dir(&self) -> &TempDir;
    /// As it is, without bringing it up to date.
    fn connect(&self) -> Store {
        let cipher = Cipher::from_key_or_file(None, &self.dir().path().join("master.key")).unwrap();
        Store::connect(&self.url(), cipher, Clock::system(), 4).unwrap()
    }
    async fn open(&self) -> Store {
        let cipher = Cipher::from_key_or_file(None, &self.dir().path().join("master.key")).unwrap();
        Store::open(&self.url(), cipher, Clock::system()).await.unwrap()
    }
    /// Several processes' worth of stores.
    async fn open_many(&self, number: usize) -> Vec<Store> {
        let first = self.open().await;
        std::iter::once(first).chain((1..number).map(|_| self.connect())).collect()
    }
    /// Changes it past the store.
    async fn run(&self, sql: &'static str) {
        let mut connection = sqlx::AnyConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A file of `SQLite`.
pub struct StateFile(pub TempDir);

impl Place for StateFile {
    fn url(&self) -> String {
        format!("sqlite://{}", self.0.path().join("state.db").display())
    }

    fn dir(&self) -> &TempDir {
        &self.0
    }
}

/// A database of PostgreSQL, and where the master key lies.
pub struct Server(pub Database, pub TempDir);

impl Place for Server {
    fn url(&self) -> String {
        self.0.url.clone()
    }

    fn dir(&self) -> &TempDir {
        &self.1
    }
}

pub const ACCOUNT: &str = "abaha:501";

pub fn event(id: &str, version: i64) -> Event {
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
    let released = store.due(ACCOUNT, Kind::ALL, 0, 3, 10).await.unwrap();
    assert_eq!((released.len(), &released[0].event.id), (1, &old.id));
    // Meanwhile a newer state joins the row; then the release comes to its deletion.
    park(&store, &new, 1, Cause::Failing, None, -1).await;
    store.released(&released[0]).await.unwrap();
    let row = store.parked(&new.key).await.unwrap().expect("the newer state is still there");
    assert_eq!(row.event_id, new.id.to_string());
    assert_eq!(row.generation, released[0].generation + 1);
    // A wake-up in between is a change as well, so that it is not lost.
    for change in ["cause", "hand"] {
        let again = store.due(ACCOUNT, Kind::ALL, 0, 3, 10).await.unwrap().remove(0);
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
    let last = store.due(ACCOUNT, Kind::ALL, 0, 3, 10).await.unwrap().remove(0);
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
    let due = store.due(ACCOUNT, Kind::ALL, 0, 3, 10).await.unwrap().remove(0);
    assert_eq!((due.event.id, due.event.read, due.event.parked_since), (twin.id, true, Some(since)));
    // A deletion is kept whatever comes after it.
    let mut gone = event("1", 1);
    gone.shape = Shape::Gone;
    park(&store, &gone, 1, Cause::Failing, None, -1).await;
    park(&store, &event("1", 20), 1, Cause::Failing, None, -1).await;
    let due = store.due(ACCOUNT, Kind::ALL, 0, 3, 10).await.unwrap().remove(0);
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
        let due = store.due(ACCOUNT, Kind::ALL, from, to, limit).await.unwrap();
        due.into_iter().map(|due| due.event.key.object_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(0, 3, 10).await, ["order", "product", "product2", "customer", "import"]);
    assert_eq!(ids(0, 3, 2).await, ["order", "product"]);
    assert_eq!(ids(1, 2, 10).await, ["product", "product2", "customer"]);
    assert_eq!(store.due("abaha:502", Kind::ALL, 0, 3, 10).await.unwrap().len(), 0);
    assert_eq!(store.due(ACCOUNT, &[Kind::Order], 0, 3, 10).await.unwrap().len(), 0, "all of them are products");
    assert_eq!(store.due_accounts().await.unwrap(), [(ACCOUNT.into(), "c".into(), "product".into())]);
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

async fn a_database_that_lags_or_is_newer_is_told_and_left_as_it_is(place: &dyn Place) {
    let store = place.connect();
    let told = async || store.check_schema().await.unwrap_err();
    let StoreError::Behind { at: 0, needs } = told().await else { panic!("nothing was migrated yet") };
    assert!(matches!(told().await, StoreError::Behind { .. }), "looking changes nothing");
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    place.run("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)").await;
    let lags = told().await;
    assert!(matches!(lags, StoreError::Behind { at, needs: now } if at == needs - 1 && now == needs), "{lags}");
    assert!(lags.is_transient() && lags.to_string().contains("sapo-sync migrate"), "{lags}");
    place.run("insert into _sqlx_migrations (version, description, success, checksum, execution_time) select 9999, 'of tomorrow', success, checksum, 0 from _sqlx_migrations where version = 1").await;
    for newer in [told().await, store.migrate().await.unwrap_err()] {
        assert!(matches!(newer, StoreError::Newer(9999)) && !newer.is_transient(), "{newer}");
    }
    store.close().await;
}

/// A store to connect to.
pub fn shop() -> StoreAccount {
    StoreAccount {
        alias: "cuahangmau".into(),
        access_token: "token".into(),
        webhook_secrets: vec!["old".into(), "new".into()],
        base_url: None,
        tenant_id: None,
    }
}

/// A connection of a store.
pub fn account(channel: System, name: &str, site: &str, store: &str) -> ConnectionAccount {
    ConnectionAccount {
        token: "abaha".into(),
        api_key: None,
        confirmed: None,
        webhook_header: Some(("x-key".into(), "value".into())),
        webhook_secrets: Vec::new(),
        base_url: None,
        state_reason: None,
        connection: Connection {
            name: name.into(),
            store: store.into(),
            channel,
            site: site.into(),
            state: State::Active,
            settings: Settings::default(),
            activated_at: 5,
        },
    }
}

async fn connections_come_back_as_they_were_written_and_a_failed_change_leaves_nothing(place: &dyn Place) {
    let store = place.open().await;
    let shop = shop();
    let row = |name: &str, site: &str, store: &str| account(System::Abaha, name, site, store);
    let empty = store.snapshot_stamp().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    store.put_store(&mut tx, &shop).await.unwrap();
    store.put_connection(&mut tx, &row("mau", "501", "cuahangmau")).await.unwrap();
    store.audit(&mut tx, "test", "connect apply", "mau", "connected").await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(store.snapshot_stamp().await.unwrap(), empty);
    store.learn_tenant("cuahangmau", "77").await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let (read, account) = (&snapshot.connections["mau"], &snapshot.stores["cuahangmau"]);
    assert_eq!((read.token.expose_secret(), read.connection.activated_at), ("abaha", 5));
    assert_eq!(read.webhook_header.as_ref().map(|header| header.1.expose_secret()), Some("value"));
    assert_eq!((account.webhook_secrets.len(), account.tenant_id.as_deref()), (2, Some("77")));
    // One site has one connection, and a connection has a store: a change that breaks that leaves nothing of itself.
    for wrong in [row("other", "501", "cuahangmau"), row("other", "502", "unknown")] {
        let mut tx = store.begin().await.unwrap();
        store.audit(&mut tx, "test", "connect apply", "other", "connected").await.unwrap();
        assert!(!store.put_connection(&mut tx, &wrong).await.unwrap_err().is_transient());
        assert!(tx.commit().await.is_err(), "nobody may take this for done");
    }
    assert_eq!(store.audit_rows(10).await.unwrap().len(), 1);
    let mut tx = store.begin().await.unwrap();
    store.set_connection_state(&mut tx, "mau", State::Stopped, Some("by hand")).await.unwrap();
    store.put_connection(&mut tx, &row("other", "501", "cuahangmau")).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

async fn a_link_holds_one_object_a_side_and_forgets_nothing_it_knew(place: &dyn Place) {
    let store = place.open().await;
    let put = async |link: &Link| {
        let mut tx = store.begin().await.unwrap();
        store.put_link(&mut tx, link).await?;
        tx.commit().await.map_err(StoreError::from)
    };
    let mut order = Link::new("c", LinkKind::Order, "1", "91", "ABH1");
    (order.total, order.sapo_state) = (Some("240000".into()), Some("finalized".into()));
    put(&order).await.unwrap();
    store.set_order_paid("c", "1").await.unwrap();
    store.set_order_states("c", "1", None, Some("packed")).await.unwrap();
    put(&Link::new("c", LinkKind::Order, "1", "91", "ABH1")).await.unwrap();
    let read = store.link_by_channel("c", LinkKind::Order, "91").await.unwrap().unwrap();
    assert_eq!((read.total.as_deref(), read.sapo_state.as_deref(), read.paid), (Some("240000"), Some("finalized"), 1));
    assert_eq!(read.channel_state.as_deref(), Some("packed"));
    let mut product = Link::new("c", LinkKind::Product, "10", "20", "SKU");
    put(&product).await.unwrap();
    let next = Link::new("c", LinkKind::Product, "11", "20", "SKU");
    assert!(put(&next).await.is_err(), "the channel's product is linked to another");
    product.fail("deleted", "gone");
    put(&product).await.unwrap();
    put(&next).await.unwrap();
    let held = store.links_by_key("c", LinkKind::Product, "SKU").await.unwrap();
    assert_eq!(held.iter().map(|link| link.sapo_id.as_str()).collect::<Vec<_>>(), ["11"]);
    store.set_link_error(&next, Some(("no_price", "why"))).await.unwrap();
    let filter = LinkFilter { code: Some("no_price".into()), limit: 5, ..LinkFilter::default() };
    assert_eq!(store.list_links(&filter).await.unwrap().len(), 1);
    let lying = store.lying("c").await.unwrap();
    assert_eq!((lying.linked, lying.link_errors, lying.parked, lying.dead), (1, 1, 0, 0));
    assert_eq!(store.lying("other").await.unwrap(), Lying::default());
    store.close().await;
}

async fn a_text_with_a_nul_is_kept_without_it(place: &dyn Place) {
    let store = place.open().await;
    let mut odd = event("a\0b", 1);
    odd.reference = Some("ABH\0x".into());
    record(&store, &odd, Verdict::Done, "x", "a step with \0 in it").await;
    park(&store, &odd, 1, Cause::Failing, None, -1).await;
    let rows = store.list_events(&EventFilter { limit: 10, ..EventFilter::default() }).await.unwrap();
    assert_eq!((rows[0].object_id.as_str(), rows[0].reference.as_deref()), ("a\u{fffd}b", Some("ABH\u{fffd}x")));
    assert!(store.parked(&odd.key).await.unwrap().is_some(), "it is found again by what it was");
    store.close().await;
}

/// Holds each engine to every promise. Those that need a server are left out where none is named, and said to be.
macro_rules! contract {
    ([$($promise:ident),+ $(,)?]) => {
        $crate::contract_store::contract!(sqlite, [cfg(all())], StateFile(tempfile::tempdir().unwrap()), [$($promise),+]);
        $crate::contract_store::contract!(
            postgres,
            [ignore = "needs PostgreSQL; deploy/test.sh runs it"],
            Server($crate::database::fresh().await, tempfile::tempdir().unwrap()),
            [$($promise),+]
        );
    };
    ($engine:ident, $mark:tt, $place:expr, [$($promise:ident),+]) => {
        mod $engine {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            #$mark
            async fn $promise() {
                super::$promise(&$place).await;
            })+
        }
    };
}
pub(crate) use contract;

contract!([
    a_row_that_changed_while_it_was_being_released_is_not_deleted,
    a_row_keeps_the_newest_state_and_the_time_since_when_its_object_waits,
    settling_an_event_deletes_the_row_of_its_object_unless_that_is_newer,
    rows_are_released_orders_first_and_then_by_age_and_only_when_due,
    a_letter_is_filed_once_by_event_and_run_and_its_state_changes_once,
    an_intent_has_one_holder_and_is_made_once,
    a_closed_account_stays_closed_until_the_latest_moment_and_survives_reopening,
    the_story_of_an_event_goes_on_over_its_runs_and_stays_bounded,
    what_was_not_committed_is_not_there,
    a_database_that_lags_or_is_newer_is_told_and_left_as_it_is,
    connections_come_back_as_they_were_written_and_a_failed_change_leaves_nothing,
    a_link_holds_one_object_a_side_and_forgets_nothing_it_knew,
    a_text_with_a_nul_is_kept_without_it,
]);
