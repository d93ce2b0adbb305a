//! PostgreSQL as state database: what a person is told when it is not as it should be, and what is survived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sapo_sync::domain::clock::Clock;
use sapo_sync::store::{Cipher, Engine, Store, StoreError};
use sqlx::AssertSqlSafe;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::free_port;
use crate::database::{self, fresh, url_of};

fn cipher() -> Cipher {
    Cipher::from_key_or_file(Some(&"11".repeat(32).into()), std::path::Path::new("not used")).unwrap()
}

fn store(url: &str, connections: u32) -> Store {
    Store::connect(url, cipher(), Clock::system(), connections).unwrap()
}

/// Whoever opens, migrates or looks is told the same.
async fn told(url: &str) -> StoreError {
    let open = Store::open(url, cipher(), Clock::system()).await.map(drop).unwrap_err();
    let looked = store(url, 2).check_schema().await.unwrap_err();
    assert_eq!(open.code(), looked.code(), "{open} / {looked}");
    open
}

fn assert_says(error: &StoreError, code: &str, transient: bool, words: &[&str]) {
    let text = error.to_string();
    assert_eq!((error.code(), error.is_transient()), (code, transient), "{text}");
    for word in words.iter().chain(&["SAPO_SYNC__DATABASE__URL"]) {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    assert!(!text.contains("geheim"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_with_its_address_and_not_its_password() {
    // A port that nobody else gets meanwhile.
    let free = format!("127.0.0.1:{}", free_port());
    let error = told(&format!("postgres://shop:geheim@{free}/state")).await;
    assert_says(&error, "store_unreachable", true, &[&free, "shop@"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = told(&format!("postgres://shop:geheim@{}/state", mute.local_addr().unwrap())).await;
    assert_says(&error, "store_unreachable", true, &["no answer"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn a_login_that_is_refused_and_a_database_that_is_not_there_are_told() {
    let mut database = fresh().await;
    let unknown = url_of(&database::server(), Some("nobody_of_that_name"), "postgres");
    assert_says(&told(&unknown).await, "store_access", false, &["nobody_of_that_name", "password"]);
    let missing = url_of(&database::server(), None, "no_such_shop");
    assert_says(&told(&missing).await, "store_no_database", false, &["createdb no_such_shop"]);
    let full = database.role("connection limit 0").await;
    let error = told(&full).await;
    assert_eq!((error.code(), error.is_transient()), ("store_busy", true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn a_role_that_may_make_no_tables_is_told_what_it_needs() {
    let mut database = fresh().await;
    // The default from version 15 on; before, everybody might.
    database.run("revoke create on schema public from public").await;
    let url = database.role("").await;
    let error = Store::open(&url, cipher(), Clock::system()).await.map(drop).unwrap_err();
    assert_says(&error, "store_no_permission", false, &["owner"]);
    // A schema that an administrator has brought up to date is no help where its tables may not be read.
    Store::open(&database.url, cipher(), Clock::system()).await.unwrap().close().await;
    assert_says(&told(&url).await, "store_no_permission", false, &["owner"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn what_goes_by_itself_is_told_from_what_a_person_must_mend() {
    let database = fresh().await;
    let mut connection = database.connection().await;
    for (code, word, transient) in [
        ("28P01", "store_access", false),
        ("28000", "store_access", false),
        ("3D000", "store_no_database", false),
        ("42501", "store_no_permission", false),
        ("42P01", "store_unavailable", false),
        ("23505", "store_unavailable", false),
        ("22021", "store_unavailable", false),
        ("53300", "store_busy", true),
        ("53100", "store_unavailable", true),
        ("57P01", "store_busy", true),
        ("57P02", "store_busy", true),
        ("57P03", "store_busy", true),
        ("57014", "store_unavailable", true),
        ("55P03", "store_unavailable", true),
        ("40P01", "store_unavailable", true),
        ("40001", "store_unavailable", true),
        ("25006", "store_unavailable", true),
        ("08006", "store_unavailable", true),
    ] {
        let raise = format!("do $$ begin raise exception 'so it is' using errcode = '{code}'; end $$");
        let raised = sqlx::raw_sql(AssertSqlSafe(raise)).execute(&mut connection).await.unwrap_err();
        let error = StoreError::from(raised);
        assert_eq!((error.code(), error.is_transient()), (word, transient), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn every_connection_commits_to_disk_and_waits_for_nothing_for_ever() {
    let database = fresh().await;
    // A database whose owner traded safety for speed.
    database
        .run("do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$")
        .await;
    let store = Store::open(&database.url, cipher(), Clock::system()).await.unwrap();
    assert_eq!(store.engine(), Engine::Postgres);
    // What the store's own connections have set is asked by a trigger in one of them.
    database
        .run(
            "create table seen (name text, value text);
             create function look() returns trigger language plpgsql as $$ begin
               insert into seen select name, setting from pg_settings where name in ('synchronous_commit', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'application_name');
               return null; end $$;
             create trigger look after insert on facts execute function look()",
        )
        .await;
    store.agree("looked", "yes").await.unwrap();
    let mut connection = database.connection().await;
    let seen: Vec<(String, String)> =
        sqlx::query_as("select name, value from seen order by name").fetch_all(&mut connection).await.unwrap();
    let seen: Vec<_> = seen.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("application_name", "sapo-sync"),
            ("idle_in_transaction_session_timeout", "30000"),
            ("lock_timeout", "10000"),
            ("statement_timeout", "30000"),
            ("synchronous_commit", "on"),
        ]
    );
    store.close().await;
}

/// A wire to the server that can be made to swallow everything, as a cut network does: nobody is told.
struct Wire {
    address: std::net::SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&server).await else { continue };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_read, far_write, Arc::clone(&is_cut)));
                tokio::spawn(carry(far_read, near_write, Arc::clone(&is_cut)));
            }
        });
        Self { address, cut }
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    cut: Arc<AtomicBool>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 16_384];
    let mut swallowed = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // What was cut once is never mended: its bytes are gone.
        swallowed |= cut.load(Ordering::Relaxed);
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if swallowed {
        std::future::pending::<()>().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn a_network_that_swallows_everything_holds_nobody_and_is_recovered_from() {
    let database = fresh().await;
    Store::open(&database.url, cipher(), Clock::system()).await.unwrap().close().await;
    let at =
        database.url.split("://").nth(1).unwrap().split('/').next().unwrap().rsplit('@').next().unwrap().to_owned();
    let wire = Wire::to(if at.contains(':') { at.clone() } else { format!("{at}:5432") }).await;
    let store = store(&format!("{}?answer_within=1", database.url.replace(&at, &wire.address.to_string())), 3);
    store.probe().await.unwrap();
    // One is in the middle of a transaction, one has a statement on its way, one lies idle.
    let mut held = store.begin().await.unwrap();
    store.serialise(&mut held, "a scope").await.unwrap();
    let (_, _) = tokio::join!(store.ping(), store.ping());
    wire.cut.store(true, Ordering::Relaxed);
    let (in_transaction, alone, begun) =
        tokio::join!(store.serialise(&mut held, "another"), store.agree("fact", "one"), store.begin());
    for error in [in_transaction.unwrap_err(), alone.map(drop).unwrap_err(), begun.map(drop).unwrap_err()] {
        assert_says(&error, "store_unreachable", true, &[]);
    }
    assert!(held.commit().await.is_err(), "a transaction that lost a statement is not committed");
    wire.cut.store(false, Ordering::Relaxed);
    // The places in the pool come back by themselves, and the server lets go of the lock that was held.
    let again = async {
        loop {
            let work = async {
                let mut tx = store.begin().await?;
                store.serialise(&mut tx, "a scope").await?;
                tx.commit().await.map_err(StoreError::from)
            };
            let all = tokio::join!(work, store.ping(), store.agree("fact", "two"));
            match all {
                (Ok(()), Ok(()), Ok(fact)) => break fact,
                (one, two, three) => {
                    for error in [one.err(), two.err(), three.err()].into_iter().flatten() {
                        assert!(error.is_transient(), "{error}");
                    }
                }
            }
        }
    };
    let fact = tokio::time::timeout(crate::harness::PATIENCE, again).await.expect("it is recovered from");
    assert!(["one", "two"].contains(&fact.as_str()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn connections_that_the_server_ended_are_replaced() {
    let database = fresh().await;
    let store = Store::open(&database.url, cipher(), Clock::system()).await.unwrap();
    store.probe().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    store.serialise(&mut tx, "a scope").await.unwrap();
    database.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
    assert!(store.serialise(&mut tx, "another").await.unwrap_err().is_transient());
    assert!(tx.commit().await.is_err());
    store.probe().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; deploy/test.sh runs it"]
async fn a_lock_that_is_not_to_be_had_is_given_up_and_may_be_tried_again() {
    let database = fresh().await;
    let url = format!("{}?answer_within=3", database.url);
    let first = Store::open(&url, cipher(), Clock::system()).await.unwrap();
    let mut held = first.begin().await.unwrap();
    first.serialise(&mut held, "a scope").await.unwrap();
    let mut waiting = first.begin().await.unwrap();
    let error = first.serialise(&mut waiting, "a scope").await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("lock"), "{error}");
    drop(waiting);
    held.commit().await.unwrap();
    let mut next = first.begin().await.unwrap();
    first.serialise(&mut next, "a scope").await.unwrap();
    next.rollback().await.unwrap();
    first.close().await;
}
