//! What operators meet on servers of their own: rights that are missing, passwords, also one that is changed while all
//! works, and a message that the broker itself gives up.

use std::time::Instant;

use sapo_sync::broker::rabbitmq::{RabbitMq, RabbitSettings};
use sapo_sync::broker::{Broker as _, BrokerError};
use sapo_sync::config::{BrokerConfig, RabbitConfig};
use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::event::Kind;
use sapo_sync::sandbox::{PlaceAbahaOrder, Sent};
use sapo_sync::store::{Cipher, Store};
use serde_json::json;

use crate::backend::Backend;
use crate::cluster::Cluster;
use crate::harness::{PATIENCE, Setup, config_of, dong, until};
use crate::rabbitmq::event;
use crate::servers::{PostgresServer, RabbitServer};

const SKU: &str = "AT-S";

fn settings(url: String) -> RabbitSettings {
    RabbitSettings {
        url: url.into(),
        prefix: "cua-hang".to_owned(),
        partitions: 2,
        name: "sapo-sync test".to_owned(),
        publish_timeout: PATIENCE,
        window: 256,
    }
}

/// A shop, migrated and connected, for processes on this broker.
async fn on(rabbit: &RabbitServer) -> Cluster {
    let backend = Backend::servers().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_of(&Setup::default(), dir.path().to_owned());
    backend.set(&mut config);
    config.broker = BrokerConfig::RabbitMq(RabbitConfig {
        url: rabbit.url().into(),
        prefix: "sapo-sync".to_owned(),
        partitions: 2,
        spool_events: 1_000,
    });
    let mut cluster = Cluster::on(config, dir, Some(backend), 1).await;
    cluster.prepare().await;
    cluster
}

fn add_product(cluster: &Cluster) {
    let given = json!({"name": "Áo thun", "variants": [{"sku": SKU, "retail": 120_000, "stock": {"58001": 10}}]});
    cluster.shop().omni().add_product(&given).unwrap();
}

fn place_order(cluster: &Cluster) {
    let lines = vec![(SKU.to_owned(), 1.into(), dong(120_000))];
    cluster.shop().abaha().place_order(&PlaceAbahaOrder { lines, ..PlaceAbahaOrder::default() }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_user_without_a_right_is_told_the_command_that_gives_it_and_the_command_does() {
    let rabbit = RabbitServer::start().await;
    rabbit.ctl(&["add_user", "lan", "mat-khau"]).await;
    let url = rabbit.url().replace("guest:guest", "lan:mat-khau");
    let everything = r"^cua-hang\..*";
    // Configure, write, read: each missing alone.
    for missing in 0..3 {
        let mut rights = [everything; 3];
        rights[missing] = "^$";
        rabbit.ctl(&["set_permissions", "-p", "/", "lan", rights[0], rights[1], rights[2]]).await;
        let why = match RabbitMq::open(settings(url.clone())).await {
            Err(BrokerError::Refused(why)) => why,
            Err(other) => panic!("{other:?} is no refusal"),
            Ok(_) => panic!("it works without right {missing}"),
        };
        assert!(why.contains("user lan") && why.contains("lacks a right") && !why.contains("mat-khau"), "{why}");
        let (_, cure) = why.split_once("rabbitmqctl ").expect("a command");
        let words: Vec<&str> = cure.split_whitespace().map(|word| word.trim_matches('\'')).collect();
        rabbit.ctl(&words).await;
        let broker = RabbitMq::open(settings(url.clone())).await.unwrap();
        broker.publish(&event(Kind::Order, "cuahangmau", missing)).await.unwrap();
        broker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_wrong_password_of_postgresql_is_told_and_a_right_one_with_odd_characters_opens() {
    let postgres = PostgresServer::start().await;
    postgres.ask_for_password("p@ss:w/ä").await;
    let cipher = || Cipher::from_key_or_file(Some(&"11".repeat(32).into()), std::path::Path::new("not used")).unwrap();
    let with = |password: &str| postgres.url().replace("postgres@", &format!("postgres:{password}@"));
    let error = Store::open(&with("geheim"), cipher(), Clock::system()).await.map(drop).unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("store_access", false), "{error}");
    let text = error.to_string();
    assert!(text.contains("SAPO_SYNC__DATABASE__URL") && !text.contains("geheim"), "{text}");
    let store = Store::open(&with("p%40ss%3Aw%2F%C3%A4"), cipher(), Clock::system()).await.unwrap();
    store.probe().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_receiver_that_rabbitmq_refuses_is_told_at_its_first_start_and_takes_webhooks_at_every_later_one() {
    let rabbit = RabbitServer::start().await;
    let everything = r"^sapo-sync\..*";
    rabbit.ctl(&["add_user", "lan", "mat-khau-1"]).await;
    rabbit.ctl(&["set_permissions", "-p", "/", "lan", everything, everything, everything]).await;
    let with =
        |password: &str| [("SAPO_SYNC__BROKER__URL", rabbit.url().replace("guest:guest", &format!("lan:{password}")))];
    let refused = ["refuses user lan", "correct user and password in SAPO_SYNC__BROKER__URL"];
    let mut cluster = on(&rabbit).await;
    cluster.start("worker", "work");
    cluster.all_ready().await;
    // Nobody counts on it yet: it ends, however often it is started.
    cluster.start_with("receiver", "receive", &with("mat-khau-0"));
    assert!(!cluster.ended("receiver").await.success());
    cluster.restart("receiver");
    assert!(!cluster.ended("receiver").await.success());
    let told = cluster.logged("receiver");
    for part in refused {
        assert_eq!(told.matches(part).count(), 2, "{part:?}, at each start: {told}");
    }
    cluster.start_with("receiver", "receive", &with("mat-khau-1"));
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(&cluster);
    cluster.quiet().await;
    // The password is changed, and the receiver is started again before its own setting is.
    rabbit.ctl(&["change_password", "lan", "mat-khau-2"]).await;
    cluster.kill("receiver");
    cluster.restart("receiver");
    cluster.ready(&["receiver"]).await;
    let before = cluster.shop().webhooks_sent().len();
    place_order(&cluster);
    until("its webhook is sent", async || cluster.shop().webhooks_waiting() == 0).await;
    let sent = cluster.shop().webhooks_sent().split_off(before);
    assert!(!sent.is_empty() && sent.iter().all(Sent::taken), "{sent:#?}");
    assert_eq!(cluster.metric("receiver", "sapo_sync_spool_events").await, Some(sent.len() as f64));
    let (_, page) = cluster.page("receiver", "/readyz").await.unwrap();
    let told = cluster.logged("receiver");
    for part in refused {
        assert!(page.starts_with("ready, but") && page.contains(part), "{page}");
        assert_eq!(told.matches(part).count(), 3, "{part:?} is in the log again: {told}");
    }
    assert!(told.contains("RabbitMQ refuses; trying again until it is put right"), "{told}");
    // Whoever keeps nothing meanwhile does not start.
    cluster.start_with("other", "work", &with("mat-khau-1"));
    assert!(!cluster.ended("other").await.success());
    assert!(refused.iter().all(|part| cluster.logged("other").contains(part)), "{}", cluster.logged("other"));
    for told in [page, told, cluster.logged("other")] {
        assert!(!told.contains("mat-khau"), "{told}");
    }
    assert_eq!(cluster.shop().omni().orders().len(), 0, "RabbitMQ does not have it yet");
    rabbit.ctl(&["change_password", "lan", "mat-khau-1"]).await;
    until("the order is made", async || cluster.shop().omni().orders().len() == 1).await;
    cluster.quiet().await;
    assert_eq!(cluster.page("receiver", "/readyz").await, Some((200, "ready\n".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn what_the_broker_gives_up_is_filed_once_is_in_the_ledger_and_is_replayed() {
    let rabbit = RabbitServer::start().await;
    // The queues' own limit of 1,000 is a net; of a policy and an argument the smaller one counts.
    let limit = r#"{"delivery-limit":2}"#;
    rabbit.ctl(&["set_policy", "limit", r"^sapo-sync\.order\.", limit, "--apply-to", "queues"]).await;
    let mut cluster = on(&rabbit).await;
    for (name, role) in [("receiver", "receive"), ("worker", "work"), ("first", "keeper"), ("second", "keeper")] {
        cluster.start(name, role);
    }
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(&cluster);
    cluster.quiet().await;
    cluster.stop("worker").await;
    // It dies with whatever it is handed, before it has written anything down.
    cluster.start_with("worker", "work", &[("SAPO_SYNC__CRASH_AT", "taken".to_owned())]);
    place_order(&cluster);
    let (began, mut deaths) = (Instant::now(), 0);
    while cluster.dead().await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{deaths} deaths, and no dead letter");
        if !cluster.is_running("worker") {
            deaths += 1;
            cluster.restart("worker");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The letter may be filed before the last death is seen.
    if !cluster.is_running("worker") {
        deaths += 1;
        cluster.restart("worker");
    }
    assert_eq!(deaths, 3, "the third delivery was the last");
    cluster.kill("first");
    cluster.restart("first");
    cluster.quiet().await;
    let dead = cluster.dead().await;
    assert_eq!(dead.len(), 1, "filed once: {dead:#?}");
    assert_eq!(dead[0].code, "undeliverable", "{dead:#?}");
    let row = cluster.events().await.into_iter().find(|row| row.event_id == dead[0].event_id).expect("in the ledger");
    assert_eq!((row.outcome.as_str(), row.code.as_str()), ("dead", "undeliverable"));
    cluster.kill("worker");
    cluster.start_with("worker", "work", &[]);
    cluster.all_ready().await;
    let replayed = cluster.command(&format!("dead replay {}", dead[0].event_id)).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    until("the order is made", async || cluster.shop().omni().orders().len() == 1).await;
    cluster.quiet().await;
    let row = cluster.events().await.into_iter().find(|row| row.event_id == dead[0].event_id).expect("the same id");
    assert_eq!((row.outcome.as_str(), cluster.dead().await.len()), ("done", 0));
}
