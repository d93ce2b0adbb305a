//! One worker of two that alone loses a server: the other takes over while it is still away.

use sapo_sync::config::BrokerConfig;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceAbahaOrder, Sandbox};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cluster::{Cluster, address_of, by_way_of};
use crate::harness::{BRANCH, dong, until};
use crate::tcp::TcpProxy;

const SKU: &str = "AT-S";
/// Orders placed in each shop while one worker is cut off.
const ORDERS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Database,
    Broker,
}

fn add_product(shop: &Sandbox) -> u64 {
    let given = json!({"name": "Áo thun", "variants": [{"sku": SKU, "retail": 120_000, "stock": {"58001": 10}}]});
    shop.omni().add_product(&given).unwrap();
    shop.omni().variant_by_sku(SKU).unwrap()
}

fn place_orders(shop: &Sandbox) {
    for _ in 0..ORDERS {
        let lines = vec![(SKU.to_owned(), 1.into(), dong(120_000))];
        shop.abaha().place_order(&PlaceAbahaOrder { lines, ..PlaceAbahaOrder::default() }).unwrap();
    }
}

async fn the_other_takes_over(lost: Lost) {
    let mut cluster = Cluster::new(2).await;
    let BrokerConfig::RabbitMq(rabbit) = cluster.config.broker.clone() else { panic!("a cluster is on RabbitMQ") };
    let url = if lost == Lost::Database { &cluster.config.database_url } else { &rabbit.url };
    let proxy = TcpProxy::start(vec![address_of(url.expose_secret()).await]).await;
    let way = |of| (lost == of).then_some(proxy.address);
    let settings = by_way_of(&cluster.config, way(Lost::Database), way(Lost::Broker));
    cluster.start("receiver", "receive");
    cluster.start_with("first", "work", &settings);
    cluster.start("second", "work");
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    let variants: Vec<u64> = cluster.shops.iter().map(add_product).collect();
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    cluster.quiet().await;
    // A call of each shop is under way, so also one of the worker that is cut off, and more waits behind it.
    for (shop, variant) in cluster.shops.iter().zip(&variants) {
        let fault = ApiFault {
            api: Api::Abaha,
            method: Some("POST".to_owned()),
            path: "product/update".into(),
            skip: 0,
            times: 1,
            effect: ApiEffect::Hold("update".to_owned()),
        };
        shop.faults().api(fault);
        shop.omni().set_stock(*variant, BRANCH, dong(20)).unwrap();
        shop.faults().reached("update").await;
        shop.omni().set_stock(*variant, BRANCH, dong(30)).unwrap();
    }
    proxy.refuse();
    for shop in &cluster.shops {
        place_orders(shop);
        shop.faults().release("update");
    }
    cluster.shared(&[("second", 6)]).await;
    for shop in &cluster.shops {
        until("the other worker makes every order", async || shop.omni().orders().len() == ORDERS).await;
        until("and brings the newest stock", async || {
            shop.abaha().product_by_code(SKU).iter().all(|product| product["quantity"] == 30)
        })
        .await;
    }
    assert!(cluster.is_running("first") && !cluster.is_ready("first").await, "the first is still cut off");
    proxy.pass();
    cluster.all_ready().await;
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    cluster.shops.iter().for_each(place_orders);
    cluster.quiet().await;
    for shop in &cluster.shops {
        assert_eq!(shop.omni().orders().len(), 2 * ORDERS, "{lost:?}: each order was made once");
    }
    let dead = cluster.dead().await;
    assert!(dead.is_empty(), "{dead:#?}");
    for name in ["first", "second", "receiver"] {
        cluster.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_worker_that_alone_loses_the_database_leaves_its_queues_to_the_other() {
    the_other_takes_over(Lost::Database).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_worker_that_alone_loses_rabbitmq_leaves_its_queues_to_the_other() {
    the_other_takes_over(Lost::Broker).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_stopping_worker_keeps_the_queue_of_a_call_that_is_under_way_until_it_has_ended() {
    let mut cluster = Cluster::new(1).await;
    cluster.start("receiver", "receive");
    cluster.start("first", "work");
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(cluster.shop());
    cluster.shared(&[("first", 6)]).await;
    cluster.quiet().await;
    let fault = ApiFault {
        api: Api::Omni,
        method: Some("POST".to_owned()),
        path: "orders$".into(),
        skip: 0,
        times: 1,
        effect: ApiEffect::Hold("order".to_owned()),
    };
    cluster.shop().faults().api(fault);
    place_orders(cluster.shop());
    cluster.shop().faults().reached("order").await;
    cluster.signal("first", "TERM");
    cluster.start("second", "work");
    until("the second has the idle queues", async || cluster.queues_of("second").await.len() == 5).await;
    // Renewed again and again while it looks for more: what is under way is not among it.
    for _ in 0..3 {
        let renewed = latest_lease(&cluster, "second").await;
        until("it has looked again", async || latest_lease(&cluster, "second").await > renewed).await;
        assert_eq!(cluster.queues_of("second").await.len(), 5, "the sixth has a call under way");
    }
    cluster.shop().faults().release("order");
    assert!(cluster.ended("first").await.success());
    cluster.shared(&[("second", 6)]).await;
    cluster.quiet().await;
    assert_eq!(cluster.shop().omni().orders().len(), ORDERS);
    let events = cluster.events().await;
    let ids: Vec<String> = events.iter().map(|row| row.event_id.clone()).collect();
    assert!(cluster.store.marked(&ids).await.unwrap().is_empty(), "nothing was taken for a killer");
    for row in events {
        assert_eq!(
            row.story.matches("\"step\":\"done\"").count() + row.story.matches("\"step\":\"skipped\"").count(),
            1,
            "{row:#?}"
        );
    }
}

/// Until when the longest of a worker's leases goes.
async fn latest_lease(cluster: &Cluster, name: &str) -> i64 {
    let own = cluster.queues_of(name).await;
    let leases = cluster.store.leases("").await.unwrap().into_iter();
    let own = leases.filter(|lease| own.iter().any(|queue| queue.to_string() == lease.name));
    own.map(|lease| lease.lease_until).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn processes_that_start_while_both_servers_are_away_say_so_and_go_on_when_they_are_there() {
    let mut cluster = Cluster::new(1).await;
    let BrokerConfig::RabbitMq(rabbit) = cluster.config.broker.clone() else { panic!("a cluster is on RabbitMQ") };
    let database = TcpProxy::start(vec![address_of(cluster.config.database_url.expose_secret()).await]).await;
    let broker = TcpProxy::start(vec![address_of(rabbit.url.expose_secret()).await]).await;
    database.refuse();
    broker.refuse();
    let settings = by_way_of(&cluster.config, Some(database.address), Some(broker.address));
    for (name, role) in [("receiver", "receive"), ("worker", "work"), ("keeper", "keeper")] {
        cluster.start_with(name, role, &settings);
        until("it says what it waits for", async || {
            let page = cluster.page(name, "/readyz").await;
            page.is_some_and(|(status, why)| status == 503 && why.contains("SAPO_SYNC__"))
        })
        .await;
        assert!(cluster.page(name, "/healthz").await.is_some_and(|(status, _)| status == 200), "{name} is alive");
    }
    database.pass();
    broker.pass();
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(cluster.shop());
    cluster.quiet().await;
    place_orders(cluster.shop());
    cluster.quiet().await;
    assert_eq!(cluster.shop().omni().orders().len(), ORDERS);
}
