//! No look-up of the command line, the workers or the keeper reads a whole table, on either engine, but for those of
//! [`WHOLE`], each with why. Which of the store's functions are looked at is checked too: all but those of [`BY_KEY`].
//!
//! The look-ups are run as they are, on tables of [`ROWS`] rows. On PostgreSQL the server's own counters tell how many
//! rows each has read; on `SQLite` the statements are caught as they pass and their plans are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use rust_decimal::Decimal;
use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::linking::{Side, VariantState};
use sapo_sync::store::channel_orders::{ChannelOrderFilter, ChannelOrderState};
use sapo_sync::store::dead_letters::{DeadFilter, LetterMark, Matching};
use sapo_sync::store::intents::IntentKind;
use sapo_sync::store::jobs::{JobFilter, Lane};
use sapo_sync::store::ledger::EventFilter;
use sapo_sync::store::links::{Link, LinkFilter, LinkKind, LinkState};
use sapo_sync::store::parked::ParkedFilter;
use sapo_sync::store::reservations::Reservation;
use sapo_sync::store::variants::{LinkFlag, ProductRows, VariantFilter, VariantMark, VariantRow};
use sapo_sync::store::{Cipher, Engine, Store, StoreError, Tx};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::child;
use crate::database::fresh;

/// In every table.
const ROWS: i64 = 6_000;
/// A look-up finds at most 120 rows, or is asked for 50; this leaves room for what a filter throws away.
const FEW: i64 = 600;

const LATE: i64 = 5_950_000;

/// Look-ups that read a whole table, or index, on an engine: the look-up, the table, and why it must. What stands here
/// and reads no whole table any more fails too.
const WHOLE: [(Engine, &str, &str, &str); 5] = [
    (Engine::Sqlite, PARKED, "parked", "every row is counted: in an index alone, without bodies"),
    (Engine::Postgres, PARKED, "parked", "every row is counted: in an index alone, without bodies"),
    (
        Engine::Postgres,
        LETTERS,
        "dead_letters",
        "every open one is counted: in an index alone; here they are half of all",
    ),
    (Engine::Sqlite, "what reconciles found", "connections", "one look for each connection, for that is what is told"),
    (Engine::Sqlite, "old letters to delete", "poison_marks", "a mark goes when its event is settled: there are few"),
];
const PARKED: &str = "parked rows by cause";
const LETTERS: &str = "open letters by code";

/// What is not looked at: why, and the store's functions of which that is so.
const BY_KEY: [(&str, &str); 4] = [
    (
        "of the database itself",
        "open ping probe check_schema serialise commit rollback refresh keep_fresh letting_others_first",
    ),
    (
        "tables of few rows: connections, accounts, processes, questions of OAuth",
        "snapshot snapshot_stamp put_store put_connection set_connection_state set_access is_paused learn_tenant
         close_account open_account closed_accounts join members leave take_lease renew_leases drop_lease leases agree
         put_authorization authorization use_authorization end_authorization put_grant grant granted_tokens",
    ),
    (
        "one row, or a few, by the key of the table",
        "audit record put_channel_order file_letter take_letter mark_poison marked clear_poison take_intent
         intent_sent_again intent_unknown intent_not_found intent_let_go drop_intent forget_intent complete_intent
         insert_job keep_job hold_job finish_job let_go_job stop_job add_job_rows link_before set_order_states
         set_order_paid set_link_error settle_object set_components mark_met set_found park unpark released
         record_pushes set_web_facts reserve release_reservations serialise_linking seen set_states put_links
         forget_replaced set_cut put_products_page",
    ),
    ("made of others that are looked at", "list_parked held"),
];

/// One SQL text for both engines, as everywhere.
const SEEDS: [&str; 15] = [
    "insert into ledger (event_id, run, connection, store, source, topic, kind, object_id, reference, version, received_at, settled_at, outcome, code, reason, attempts, job, body_hash, story)
     select '01' || (100000 + i), case when i % 600 = 1 then 1 else 0 end, 'c' || (i % 400), 's', 'omni', 'orders/update', 'order', 'o' || i, 'ABH' || i, i, i * 1000, i * 1000,
       case when i % 100 = 0 then 'dead' when i % 100 = 1 then 'parked' else 'done' end, case when i % 100 = 0 then 'refused' else 'updated' end,
       'because', 1, case when i % 60 = 0 then 'job-' || (i % 3) end, 'hash', '[]' from n",
    "insert into parked (connection, source, kind, object_id, generation, event_id, attributes, body, version, account, class, cause, cause_key, reason, attempts, first_parked_at, due_at)
     select 'c' || (i % 400), 'omni', 'product', 'o' || i, 1, '01' || (100000 + i), '$ATTRIBUTES', $BODY, i, 'abaha:' || (i % 40), i % 4,
       case when i % 100 = 0 then 'failing' when i % 100 = 1 then 'ambiguous' else 'unlinked_product' end, 'sku:' || i, 'because', 1, i * 1000,
       case when i % 100 = 0 then 1 else 9000000000000 end from n",
    "insert into dead_letters (event_id, run, connection, source, topic, kind, object_id, reference, code, reason, attempts, attributes, body, received_at, filed_at, state, replayed_by)
     select '01' || (100000 + i), 0, 'c' || (i % 400), 'omni', 'orders/update', 'order', 'o' || i, 'ABH' || i,
       case when i % 100 = 0 then 'refused' else 'undeliverable' end, 'because', 1, '$ATTRIBUTES', $BODY, i * 1000, i * 1000,
       case when i % 2 = 0 then 'open' when i % 1200 = 3 then 'discarded' else 'replayed' end, case when i % 600 = 1 then 'job-r' end from n",
    "insert into links (connection, kind, sapo_id, channel_id, sapo_parent, natural_key, state, code, created_at, updated_at)
     select 'c' || (i % 400), case when i % 3 = 0 then 'product' else 'order' end, 's' || i, 'x' || i, 'p' || i, 'key' || i,
       case when i % 100 = 0 then 'error' else 'linked' end, case when i % 100 = 0 then 'no_price' end, i * 1000, i * 1000 from n",
    "insert into variants (connection, side, variant_id, product_id, sku, name, facts, state, code, updated_at)
     select 'c' || (i % 400), side, prefix || i, product || i, case when i % 1200 = 0 and i > 3000 then '' else 'key' || i end, 'name', '{}',
       case when i % 1000 = 400 then 'error' else 'linked' end, case when i % 100 = 0 then 'renamed' end, i
     from n cross join (select 'sapo' as side, 's' as prefix, 'p' as product union all select 'channel', 'x', 'q') sides",
    "insert into channel_orders (connection, order_id, name, state, code, reason, updated_at)
     select 'c' || (i % 400), 'o' || i, '#' || i, case when i % 100 = 0 then 'error' else 'linked' end, case when i % 100 = 0 then 'no_price' else 'created' end, 'because', i * 1000 from n",
    "insert into reservations (store, order_id, variant_id, product_id, location_id, quantity) select 's0', 's' || i, 'v' || i, 'p' || i, '58001', '2' from n",
    "insert into stores (alias, access_token, webhook_secrets, updated_at) select 's' || (i - 1), $BODY, $BODY, 0 from n where i <= 20",
    "insert into connections (name, store, channel, site, token, settings, state, activated_at, updated_at)
     select 'c' || (i - 1), 's' || ((i - 1) % 20), 'abaha', 'site' || i, $BODY, '{}', 'active', 0, 0 from n where i <= 100",
    "insert into objects (connection, source, kind, object_id, version, hash, updated_at) select 'c' || (i % 400), 'omni', 'product', 'o' || i, i, 'hash', i from n",
    "insert into components (connection, component, product_id) select 'c' || (i % 400), 'v' || i, 'p' || i from n",
    "insert into intents (account, kind, natural_key, connection, source_id, owner, epoch, lease_until, sent_at, result_id, created_at)
     select 'omni:s', 'order', 'key' || i, 'c' || (i % 400), 's' || i, 'owner ' || (i % 40), 1, 5, i, case when i % 100 = 0 then null else 'r' || i end, i from n",
    "insert into jobs (id, kind, connection, arguments, state, position, found, owner, lease_until, created_at, finished_at)
     select '01' || (100000 + i), case when i % 60 = 0 then 'replay' else 'reconcile' end, 'c' || (i % 400), '{}', case when i % 200 = 0 then 'waiting' else 'done' end, '{}', '{}',
       'owner ' || (i % 40), 0, i * 1000, case when i % 200 = 0 then null else i end from n",
    "insert into job_rows (job, row_no, kind, object_id, action, code, reason) select 'job-' || (i % 40), i, 'product', 'o' || i, 'skip', 'same', 'because' from n",
    "insert into audit (id, at, actor, action, subject, detail) select '01' || (100000 + i), i, 'a', 'b', 'c', 'd' from n",
];

fn seeds(body: &str) -> String {
    let event = Event::new(object(Kind::Product, "o400"), "s", "products/update", Shape::Whole, 0, Bytes::new());
    let attributes = event.attributes().replace('\'', "''");
    let rows = format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {ROWS})");
    SEEDS.map(|seed| format!("{rows} {seed}")).join("; ").replace("$BODY", body).replace("$ATTRIBUTES", &attributes)
}

/// A look-up, and whether it lists in the order of an index until it has enough.
struct LookUp {
    name: &'static str,
    listing: bool,
    run: for<'a> fn(&'a Store) -> BoxFuture<'a, Result<(), StoreError>>,
}

macro_rules! look_ups {
    ($($name:literal $kind:ident |$store:ident| $run:expr;)+) => {
        vec![$(LookUp {
            name: $name,
            listing: stringify!($kind) == "lists",
            run: |$store| Box::pin(async move { $run.await.map(some) }),
        }),+]
    };
}

/// Every look-up is to find something: one that finds nothing would show nothing.
fn some(found: impl Debug) {
    let text = format!("{found:?}");
    assert!(!["[]", "None", "0", "false", "{}"].contains(&text.as_str()), "it found nothing");
}

#[allow(clippy::unnecessary_wraps, reason = "every filter's field is one")]
fn own(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn events(change: impl FnOnce(&mut EventFilter)) -> EventFilter {
    let mut filter = EventFilter { limit: 50, ..EventFilter::default() };
    change(&mut filter);
    filter
}

fn letters(change: impl FnOnce(&mut DeadFilter)) -> DeadFilter {
    let mut filter = DeadFilter { limit: 50, ..DeadFilter::default() };
    change(&mut filter);
    filter
}

fn rows(change: impl FnOnce(&mut ParkedFilter)) -> ParkedFilter {
    let mut filter = ParkedFilter { limit: 50, ..ParkedFilter::default() };
    change(&mut filter);
    filter
}

fn links(change: impl FnOnce(&mut LinkFilter)) -> LinkFilter {
    let mut filter = LinkFilter { limit: 50, ..LinkFilter::default() };
    change(&mut filter);
    filter
}

fn jobs(change: impl FnOnce(&mut JobFilter)) -> JobFilter {
    let mut filter = JobFilter { limit: 50, ..JobFilter::default() };
    change(&mut filter);
    filter
}

fn orders(change: impl FnOnce(&mut ChannelOrderFilter)) -> ChannelOrderFilter {
    let mut filter = ChannelOrderFilter { limit: 50, ..ChannelOrderFilter::default() };
    change(&mut filter);
    filter
}

fn line(variant: &str) -> Reservation {
    let [variant_id, product_id, location_id] = [variant, "p1", "58001"].map(ToOwned::to_owned);
    Reservation { variant_id, product_id, location_id, quantity: Decimal::ONE }
}

fn object(kind: Kind, id: &str) -> ObjectKey {
    ObjectKey { connection: "c0".into(), source: System::Omni, kind, object_id: id.into() }
}

fn matching() -> Matching {
    Matching { connection: own("c0"), code: own("refused"), since: None, before: LATE }
}

fn all_look_ups() -> Vec<LookUp> {
    look_ups![
        "events" lists |store| store.list_events(&events(|_| {}));
        "events of an order" finds |store| store.list_events(&events(|f| f.search = own("ABH77")));
        "events of an object" finds |store| store.list_events(&events(|f| f.search = own("o77")));
        "an event by the start of its id" finds |store| store.list_events(&events(|f| f.search = own("0110007")));
        "events of a connection" finds |store| store.list_events(&events(|f| f.connection = own("c7")));
        "events with a code" finds |store| store.list_events(&events(|f| f.code = own("refused")));
        "events with an outcome" finds |store| store.list_events(&events(|f| f.outcome = own("dead")));
        "late events" finds |store| store.list_events(&events(|f| f.since = Some(LATE)));
        "late events of a connection" finds |store| store.list_events(&events(|f| { f.connection = own("c350"); f.since = Some(LATE); }));
        "a story" finds |store| store.story("ABH77", None);
        "a tally" finds |store| store.tally("c350", LATE);
        "what lies at a connection" finds |store| store.lying("c8");
        "a job's outcomes" finds |store| store.job_outcomes("job-0");
        "a job's codes" finds |store| store.job_codes("job-0");
        "a job's failures" finds |store| store.job_failures("job-0", 50);
        "a replay's failures" finds |store| store.replay_failures("job-r", 50);
        "old events to delete" finds |store| store.prune_ledger(50_000, 20);
        "a parked row" finds |store| store.parked(&object(Kind::Product, "o400"));
        "where rows are due" finds |store| store.due_accounts();
        "due rows of an account" finds |store| store.due("abaha:20", Kind::ALL, 0, 3, 50);
        "rows waking with a cause" finds |store| store.bring_forward("c41", "sku:41");
        "rows released by object" finds |store| store.release_now(None, None, Some("o41"));
        "rows released by connection" finds |store| store.release_now(Some("c3"), None, None);
        "rows released by cause" finds |store| store.release_now(None, Some("failing"), None);
        "parked rows" lists |store| store.find_parked(&rows(|_| {}));
        "parked rows of a connection" finds |store| store.find_parked(&rows(|f| f.connection = own("c7")));
        "parked rows with a cause" finds |store| store.find_parked(&rows(|f| f.cause = own("failing")));
        "late parked rows" finds |store| store.find_parked(&rows(|f| f.since = Some(LATE)));
        "parked rows of an order" finds |store| store.find_parked(&rows(|f| f.search = own("ABH77")));
        "parked rows of an object" finds |store| store.find_parked(&rows(|f| f.search = own("o77")));
        "parked rows by cause" finds |store| store.parked_counts();
        "causes that mean several things" finds |store| store.ambiguous_causes("c1");
        "letters" lists |store| store.list_letters(&letters(|_| {}));
        "letters of a connection" finds |store| store.list_letters(&letters(|f| f.connection = own("c8")));
        "letters with a code" finds |store| store.list_letters(&letters(|f| f.code = own("refused")));
        "late letters" finds |store| store.list_letters(&letters(|f| f.since = Some(LATE)));
        "letters of an order" finds |store| store.list_letters(&letters(|f| f.search = own("ABH78")));
        "letters of an object" finds |store| store.list_letters(&letters(|f| f.search = own("o78")));
        "a letter by the start of its id" finds |store| store.list_letters(&letters(|f| f.search = own("0110007")));
        "a letter's event" finds |store| store.letter_event("01100078", 0);
        "letters to be replayed" finds |store| store.count_matching(&matching());
        "open letters by code" finds |store| store.letter_counts();
        "a page of letters to be replayed" finds |store| async { store.matching_page(&matching(), &LetterMark::default(), 50).await };
        "what a job replayed" finds |store| store.replayed_by("job-r");
        "what became of that" finds |store| store.replay_codes("job-r");
        "an object's letters" finds |store| async {
            let mut tx = store.begin().await?;
            store.supersede_letters(&mut tx, &object(Kind::Order, "o400")).await?;
            let open = store.set_letter_state(&mut tx, "01100078", 0, "discarded").await?;
            tx.rollback().await?;
            Ok::<_, StoreError>(open)
        };
        "a link by Sapo's id" finds |store| store.link_by_sapo("c0", LinkKind::Product, "s1200");
        "a link by the channel's id" finds |store| store.link_by_channel("c0", LinkKind::Product, "x1200");
        "links by key" finds |store| store.links_by_key("c0", LinkKind::Product, "key1200");
        "links of a product" finds |store| store.links_of_product("c0", "p1200");
        "a page of links" finds |store| store.links_page("c0", LinkKind::Product, "s2", 50);
        "links" lists |store| store.list_links(&links(|_| {}));
        "links of a connection" finds |store| store.list_links(&links(|f| f.connection = own("c7")));
        "links in error" finds |store| store.list_links(&links(|f| f.state = Some(LinkState::Error)));
        "links with a code" finds |store| store.list_links(&links(|f| f.code = own("no_price")));
        "links with a key" finds |store| store.list_links(&links(|f| f.key = own("key77")));
        "links of anything" finds |store| store.list_links(&links(|f| f.search = own("x77")));
        "late links" finds |store| store.list_links(&links(|f| f.since = Some(LATE)));
        "orders of webs" lists |store| store.list_channel_orders(&orders(|_| {}));
        "orders of webs after one" lists |store| store.list_channel_orders(&orders(|f| f.after = Some(("c7".into(), LATE, "x".into()))));
        "orders of a web" finds |store| store.list_channel_orders(&orders(|f| f.connection = own("c8")));
        "orders of a web in error" finds |store| store.list_channel_orders(&orders(|f| { f.connection = own("c0"); f.state = Some(ChannelOrderState::Error); }));
        "orders of a web with a code" finds |store| store.list_channel_orders(&orders(|f| { f.connection = own("c0"); f.code = own("no_price"); }));
        "late orders of a web" finds |store| store.list_channel_orders(&orders(|f| { f.connection = own("c350"); f.since = Some(LATE); }));
        "an order of a web by its name" finds |store| store.list_channel_orders(&orders(|f| { f.connection = own("c77"); f.search = own("77"); }));
        "an order of any web by its id" finds |store| store.list_channel_orders(&orders(|f| f.search = own("o77")));
        "the next orders of a web" finds |store| store.list_channel_orders(&orders(|f| { f.connection = own("c0"); f.after = Some(("c0".into(), LATE, "x".into())); }));
        "counts of a web's orders" finds |store| store.count_channel_orders("c0");
        "an order of a web" finds |store| store.channel_order("c0", "o400");
        "a page of pairs" finds |store| store.pairs_page("c0", "p2", 20);
        "a page of what is in no pair" finds |store| store.loose_page("c0", "x2", 20);
        "what a walk did not meet" finds |store| store.unmet_products("c0", Side::Sapo, "walk", LATE, "", 20);
        "links that wait for a push" finds |store| store.unpushed_of("c3", "q3", LATE);
        "what is reserved of a variant" finds |store| store.reserved("s0", "v40", &["58001".to_owned()]);
        "what an order holds with all parts" finds |store| store.with_parts("s0", vec![line("s40")]);
        "whether an order reserves" finds |store| store.is_reserving("s0", "s40");
        "a variant" finds |store| store.variant("c0", Side::Sapo, "s1200");
        "a product's variants" finds |store| store.variants_of_product("c0", Side::Channel, "q1200");
        "variants of SKUs" finds |store| store.variants_of_skus("c0", &["key1200".into(), "key800".into()]);
        "variants" lists |store| store.list_variants(&variants(|_| {}));
        "variants in error" finds |store| store.list_variants(&variants(|f| f.state = Some(VariantState::Error)));
        "variants with a SKU" finds |store| store.list_variants(&variants(|f| f.sku = own("key1200")));
        "variants of anything" finds |store| store.list_variants(&variants(|f| f.search = own("s1200")));
        "variants with a name" finds |store| store.list_variants(&variants(|f| f.search = own("NAM")));
        "what links say" finds |store| async {
            let flag = LinkFlag { channel_id: "x1200".into(), said: Some(("unmanaged".into(), "because".into())) };
            store.set_link_flags("c0", &[flag]).await.map(|()| true)
        };
        "the next variants" finds |store| store.list_variants(&variants(|f| f.after = Some(mark("key1200"))));
        "counts of variants" finds |store| store.count_variants("c0", Some(Side::Sapo));
        "errors of a web" finds |store| async { store.web_errors("c0").await.map(|found| found.variants.min(found.orders)) };
        "a SKU to be judged" finds |store| in_linking(store, async |tx| store.seen_of_skus(tx, "c0", &["key1200"]).await);
        "a page to be judged" finds |store| in_linking(store, async |tx| store.seen_page(tx, "c0", "key2", 20).await);
        "variants without a SKU" finds |store| in_linking(store, async |tx| store.seen_blank(tx, "c0", Side::Sapo, "", 20).await);
        "a product told anew" finds |store| in_linking(store, async |tx| {
            let row = |id: &str| VariantRow { variant_id: id.into(), sku: "key1".into(), name: String::new(), facts: "{}".into() };
            let product = ProductRows { product_id: "p1200".into(), version: None, rows: vec![row("s1200"), row("new")] };
            store.put_product(tx, "c0", Side::Sapo, &product, Some("walk")).await
        });
        "a product that is gone" finds |store| in_linking(store, async |tx| store.product_gone(tx, "c0", Side::Sapo, "p1200").await);
        "a link that is cut" finds |store| in_linking(store, async |tx| store.cut_link(tx, "c0", ("s1200", "x1200")).await);
        "a link that is made" finds |store| in_linking(store, async |tx| {
            let link = Link { channel_parent: own("q1"), ..Link::new("c0", LinkKind::Product, "s400", "x800", "key400") };
            store.put_link(tx, &link).await.map(|()| true)
        });
        "rows waking with many causes" finds |store| store.bring_forward_all("c41", &["sku:41".into(), "sku:441".into()]);
        "an object's last state" finds |store| store.settled(&object(Kind::Product, "o400"));
        "what depends on a variant" finds |store| store.dependents("c0", "v400", "p1");
        "an intent" finds |store| store.intent("omni:s", IntentKind::Order, "key100");
        "open intents" finds |store| store.open_intents("omni:s", IntentKind::Order);
        "what an owner holds" finds |store| store.end_leases("owner 20");
        "a job that is there already" finds |store| async { store.add_job("reconcile", "c0", "{}").await.map(|job| job.id) };
        "the next walk" finds |store| async { store.take_job("me", std::time::Duration::ZERO, Lane::Walks).await.map(|job| job.map(|job| job.id)) };
        "the next replay" finds |store| async { store.take_job("me", std::time::Duration::ZERO, Lane::Replays).await.map(|job| job.map(|job| job.id)) };
        "the last job" finds |store| store.last_job("reconcile", "c7");
        "when the last job ended" finds |store| store.last_ended("reconcile", "c7");
        "what reconciles found" finds |store| store.last_found("reconcile");
        "jobs that wait or run" finds |store| in_linking(store, async |tx| store.open_jobs(tx, "reconcile").await);
        "a job" finds |store| store.job("01100007");
        "jobs" lists |store| store.list_jobs(&jobs(|_| {}));
        "jobs in a state" finds |store| store.list_jobs(&jobs(|f| f.state = own("waiting")));
        "a job by the start of its id" finds |store| store.list_jobs(&jobs(|f| f.id = own("0110007")));
        "a job's rows" finds |store| store.job_rows("job-7", 0, 50);
        "the audit log" lists |store| store.audit_rows(50);
        "old letters to delete" finds |store| store.prune_letters(LATE, 20);
        "old jobs to delete" finds |store| store.prune_jobs(50_000, 20);
    ]
}

fn variants(change: impl FnOnce(&mut VariantFilter)) -> VariantFilter {
    let mut filter = VariantFilter { connection: "c0".into(), limit: 50, ..VariantFilter::default() };
    change(&mut filter);
    filter
}

fn mark(sku: &str) -> VariantMark {
    VariantMark { sku: sku.into(), side: "sapo".into(), variant_id: "s1".into() }
}

/// In a transaction that leaves nothing behind.
async fn in_linking<T>(
    store: &Store,
    work: impl AsyncFnOnce(&mut Tx) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut tx = store.begin().await?;
    let found = work(&mut tx).await?;
    tx.rollback().await?;
    Ok(found)
}

fn cipher() -> Cipher {
    Cipher::from_key_or_file(Some(&"11".repeat(32).into()), std::path::Path::new("not used")).unwrap()
}

/// What reads a whole table: look-up and table, with how.
#[derive(Default)]
struct Readers(BTreeMap<(&'static str, String), String>);

impl Readers {
    fn note(&mut self, look_up: &'static str, table: &str, how: String) {
        self.0.insert((look_up, table.to_owned()), how);
    }

    /// They are those of [`WHOLE`].
    fn check(&self, engine: Engine) {
        let mut idle: BTreeSet<(&str, &str)> =
            WHOLE.iter().filter(|row| row.0 == engine).map(|row| (row.1, row.2)).collect();
        let mut bad = Vec::new();
        for ((look_up, table), how) in &self.0 {
            if !idle.remove(&(*look_up, table.as_str())) {
                bad.push(format!("{look_up}: all of {table}: {how}"));
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
        assert!(idle.is_empty(), "in WHOLE, and read no whole table: {idle:?}");
    }
}

#[test]
fn every_function_of_the_store_is_looked_at_or_said_to_go_by_a_key() {
    fn read(folder: &Path, functions: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, functions);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for rest in code.split("pub async fn ").skip(1) {
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                    functions.insert(rest[..end].to_owned());
                }
            }
        }
    }
    let mut functions = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"), &mut functions);
    assert!(functions.len() > 100, "{functions:?}");
    let exempt: BTreeSet<&str> = BY_KEY.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
    let is_run = |name: &str| include_str!("query_plans.rs").contains(&format!("store.{name}("));
    let unseen: Vec<_> = functions.iter().filter(|name| !is_run(name) && !exempt.contains(name.as_str())).collect();
    assert!(unseen.is_empty(), "neither a look-up nor in BY_KEY: {unseen:?}");
    let idle: Vec<_> = exempt.iter().filter(|name| !functions.contains(**name)).collect();
    assert!(idle.is_empty(), "in BY_KEY, and no function of the store: {idle:?}");
}

async fn rows_read(connection: &mut PgConnection) -> BTreeMap<String, i64> {
    // Counters are complete when whoever counted has gone.
    loop {
        let (others,): (i64,) = sqlx::query_as(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type in ('client backend', 'parallel worker')",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        if others == 0 {
            break;
        }
    }
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select t.relname::text, (t.seq_tup_read + coalesce((select sum(i.idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid), 0))::bigint from pg_stat_user_tables t",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn no_look_up_reads_many_rows_on_postgres() {
    let database = fresh().await;
    Store::open(&database.url, cipher(), Clock::system()).await.unwrap().close().await;
    database.run(&seeds("''::bytea")).await;
    database.run("analyze").await;
    let mut connection = database.connection().await;
    let before = rows_read(&mut connection).await;
    database.run("select count(*) from ledger where reason = 'no index helps'").await;
    let after = rows_read(&mut connection).await;
    assert!(after["ledger"] - before["ledger"] >= ROWS, "the counters count");
    let mut readers = Readers::default();
    for look_up in all_look_ups() {
        let before = rows_read(&mut connection).await;
        let store = Store::connect(&database.url, cipher(), Clock::system(), 1).unwrap();
        (look_up.run)(&store).await.unwrap_or_else(|error| panic!("{}: {error}", look_up.name));
        store.close().await;
        for (table, read) in rows_read(&mut connection).await {
            let read = read - before[&table];
            if read > FEW && !table.starts_with('_') {
                readers.note(look_up.name, &table, format!("{read} rows"));
            }
        }
    }
    readers.check(Engine::Postgres);
}

/// Keeps the statements that pass in this thread.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Sql<'a>(&'a Statements);
        impl tracing::field::Visit for Sql<'_> {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                if field.name() == "sql" {
                    self.0.0.lock().unwrap().push(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn Debug) {}
        }
        if event.metadata().target() == "sapo_sync::sql" {
            event.record(&mut Sql(self));
        }
    }
}

async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(format!("explain query plan {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(connection).await.unwrap();
    steps.into_iter().map(|step| step.3).collect()
}

/// Whether a step of a plan reads a whole table, or a whole index where that is not the order of a listing.
fn reads_all(step: &str, listing: bool) -> bool {
    let small = ["SCAN CONSTANT ROW", "SCAN ends", "SCAN changes", "SCAN made", "SCAN page", "SCAN ("];
    // Rows that the statement itself brings.
    let own = ["CONSTANT ROWS", "VALUES CLAUSE"];
    // Indexes of the jobs that wait or run, which are few.
    let open_jobs = [" USING INDEX jobs_waiting", " USING INDEX jobs_open"];
    let harmless = small.iter().any(|start| step.starts_with(start))
        || own.iter().any(|end| step.ends_with(end))
        || open_jobs.iter().any(|index| step.ends_with(index))
        || listing && step.contains(" USING ");
    // An index made for the moment: beside it all of something else is read.
    step.contains(" AUTOMATIC ") || step.starts_with("SCAN ") && !harmless
}

// One thread, in a process of its own: the statements are caught in it, and what others log changes what is caught.
#[tokio::test]
async fn no_look_up_reads_a_whole_table_on_sqlite() {
    let Some(_) = child::shared() else {
        let folder = tempfile::tempdir().unwrap();
        child::pass("query_plans::no_look_up_reads_a_whole_table_on_sqlite", folder.path()).await;
        return;
    };
    let statements = Statements::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("state.db").display());
    let store = Store::open(&url, cipher(), Clock::system()).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(seeds("x''"))).execute(&mut connection).await.unwrap();
    assert!(
        plan(&mut connection, "select 1 from ledger where reason = 'no index helps'")
            .await
            .iter()
            .any(|step| reads_all(step, false))
    );
    let mut caught = Vec::new();
    for look_up in all_look_ups() {
        statements.0.lock().unwrap().clear();
        (look_up.run)(&store).await.unwrap_or_else(|error| panic!("{}: {error}", look_up.name));
        let sql = std::mem::take(&mut *statements.0.lock().unwrap());
        assert!(!sql.is_empty(), "{}: its statements were not caught", look_up.name);
        caught.extend(sql.into_iter().map(|sql| (look_up.name, look_up.listing, sql)));
    }
    let mut readers = Readers::default();
    // Without statistics, as it is in service: nobody gathers them there.
    for (name, listing, sql) in &caught {
        for step in plan(&mut connection, sql).await.into_iter().filter(|step| reads_all(step, *listing)) {
            let table = step.split(' ').nth(1).unwrap_or_default();
            readers.note(name, table, format!("{step}\n    {sql}"));
        }
    }
    readers.check(Engine::Sqlite);
    connection.close().await.unwrap();
    store.close().await;
}
