//! A shop with 20,000 waiting changes does not delay another shop's order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use sapo_sync::broker::Queue;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{Api, BucketConfig, PlaceAbahaOrder, Sandbox, SandboxConfig};
use serde_json::json;

use crate::backend::Backend;
use crate::harness::{CONNECTION, Setup, World, connections_of, dong, until};

/// Changes of the busy shop, each of another product.
const BACKLOG: usize = 20_000;
/// Orders of the other shop that are timed, before and during.
const ORDERS: usize = 5;
const SKU: &str = "AT-S";

/// A shop whose orders travel with those of `other`, where there are partitions.
async fn neighbour_of(other: &Sandbox) -> Sandbox {
    let partition = |alias: &str| Queue::partition_of(alias, 2);
    let mut names = (0..).map(|n| format!("hangxom-{n}"));
    let alias = names.find(|alias| partition(alias) == partition(&other.config().alias)).unwrap_or_default();
    let config = SandboxConfig { alias, tenant_id: 70_002, site: "502".to_owned(), ..Setup::default().sandbox };
    Sandbox::start(config).await.unwrap()
}

/// Places orders one after the other; how long each took to be on the other side.
async fn orders(shop: &Sandbox) -> Vec<Duration> {
    let mut all = Vec::new();
    for _ in 0..ORDERS {
        let lines = vec![(SKU.to_owned(), 1.into(), dong(120_000))];
        let began = Instant::now();
        let id = shop.abaha().place_order(&PlaceAbahaOrder { lines, ..PlaceAbahaOrder::default() }).unwrap();
        let code = shop.abaha().order(id).unwrap()["cart_code"].as_str().unwrap().to_owned();
        until("the order is on Sapo", async || !shop.omni().order_by_reference(&code).is_empty()).await;
        all.push(began.elapsed());
    }
    all.sort();
    all
}

async fn a_busy_shop_does_not_delay_another(backend: Backend, place: &str) {
    let mut setup = Setup::default();
    // Sapo's documented limit.
    setup.sandbox = SandboxConfig { products: BACKLOG, bucket: BucketConfig::default(), ..setup.sandbox };
    let world = World::on(backend, setup).await;
    let busy = world.sandbox.clone();
    let calm = neighbour_of(&busy).await;
    let switches = (true, true, true);
    let two = [world.connections(switches, ""), connections_of(&calm, "hang-xom", switches, "")];
    world.apply(&two.concat()).await;
    calm.send_webhooks_to(&world.url());
    let given = json!({"name": "Áo thun", "variants": [{"sku": SKU, "retail": 120_000, "stock": {"58001": 90}}]});
    calm.omni().add_product(&given).unwrap();
    until("the product is linked", async || !calm.abaha().product_by_code(SKU).is_empty()).await;
    orders(&calm).await;
    let idle = orders(&calm).await;
    let now = world.store().clock().now();
    let changes = busy.omni().product_ids().into_iter().map(|id| {
        let (connection, object_id) = (CONNECTION.to_owned(), id.to_string());
        let key = ObjectKey { connection, source: System::Omni, kind: Kind::Product, object_id };
        Event::new(key, busy.config().alias.clone(), "products/update", Shape::Id, now, Bytes::from_static(b"{}"))
    });
    let changes: Vec<Event> = changes.collect();
    assert_eq!(changes.len(), BACKLOG);
    stream::iter(&changes).for_each_concurrent(256, |change| world.publish(change)).await;
    let during = orders(&calm).await;
    let read = busy.call_count(Api::Omni, "GET", "products");
    let (queued, parked) = (world.depth().await.events, world.parked().await.len());
    println!(
        "{place}: order of another shop: median {} ms idle, {} ms (slowest {} ms) while {queued} changes are queued and {parked} or more wait for their turn",
        idle[ORDERS / 2].as_millis(),
        during[ORDERS / 2].as_millis(),
        during[ORDERS - 1].as_millis(),
    );
    // The changes came first, and most of them have not even been looked at: nothing waited for them to be.
    assert!(queued > BACKLOG as i64 / 2 && read < BACKLOG / 2, "{queued} changes are queued, {read} are done");
    assert_eq!(calm.omni().orders().len(), 3 * ORDERS, "each order was made once");
    world.abandon().await;
    calm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_with_20000_waiting_changes_does_not_delay_another_shops_order() {
    a_busy_shop_does_not_delay_another(Backend::Files, "files").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_shop_with_20000_waiting_changes_does_not_delay_another_shops_order_on_servers() {
    a_busy_shop_does_not_delay_another(Backend::servers().await, "servers").await;
}
