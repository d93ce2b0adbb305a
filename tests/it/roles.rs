//! The roles in processes of their own: in any order, killed and drained, two of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use sapo_sync::broker::Queue;
use sapo_sync::config::BrokerConfig;
use sapo_sync::domain::event::Kind;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceAbahaOrder, Sandbox};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cluster::{Cluster, address_of, by_way_of};
use crate::harness::{BRANCH, dong, until};
use crate::load::Load;
use crate::tcp::TcpProxy;
use crate::wire;

const SKU: &str = "AT-S";

/// Makes a product and gives its variant.
fn add_product(shop: &Sandbox) -> u64 {
    let given = json!({"name": "Áo thun", "variants": [{"sku": SKU, "retail": 120_000, "stock": {"58001": 10}}]});
    shop.omni().add_product(&given).unwrap();
    shop.omni().variant_by_sku(SKU).unwrap()
}

fn place_order(shop: &Sandbox) -> u64 {
    let order = PlaceAbahaOrder { lines: vec![(SKU.into(), 1.into(), dong(120_000))], ..PlaceAbahaOrder::default() };
    shop.abaha().place_order(&order).unwrap()
}

fn on_abaha(shop: &Sandbox) -> i64 {
    let found = shop.abaha().product_by_code(SKU);
    assert_eq!(found.len(), 1, "{SKU} on Abaha");
    found[0]["quantity"].as_i64().unwrap()
}

fn fault(shop: &Sandbox, api: Api, path: &str, times: u32, effect: ApiEffect) {
    let method = Some("POST".to_owned());
    shop.faults().api(ApiFault { api, method, path: path.into(), skip: 0, times, effect });
}

/// The worker that takes a shop's orders.
async fn worker_of(cluster: &Cluster, shop: usize, workers: [&'static str; 2]) -> &'static str {
    let queue = order_queue(cluster, shop);
    if cluster.queues_of(workers[0]).await.contains(&queue) { workers[0] } else { workers[1] }
}

fn order_queue(cluster: &Cluster, shop: usize) -> Queue {
    Queue { kind: Kind::Order, partition: Queue::partition_of(&cluster.shops[shop].config().alias, 2) }
}

/// Compares everything with what was done, and ends the test.
async fn verify(cluster: &mut Cluster, loads: &[Load]) {
    cluster.quiet().await;
    let events = cluster.events().await;
    for (n, load) in loads.iter().enumerate() {
        let own: Vec<_> = events.iter().filter(|row| row.store == cluster.shops[n].config().alias).cloned().collect();
        let verdict = load.verify(&own);
        assert!(verdict.wrong.is_empty(), "{verdict:#?}");
        assert!(verdict.taken > 0 && verdict.orders > 0, "{verdict:#?}");
    }
    let dead = cluster.dead().await;
    assert!(dead.is_empty(), "{dead:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn roles_start_and_stop_in_any_order_and_tell_what_they_wait_for() {
    let mut cluster = Cluster::bare(1).await;
    for (name, role) in [("worker", "work"), ("receiver", "receive"), ("keeper", "keeper")] {
        cluster.start(name, role);
    }
    for name in ["worker", "receiver", "keeper"] {
        until("it says that the database is to be migrated", async || {
            cluster
                .page(name, "/readyz")
                .await
                .is_some_and(|(status, why)| status == 503 && why.contains("sapo-sync migrate"))
        })
        .await;
        assert!(cluster.page(name, "/healthz").await.is_some_and(|(status, _)| status == 200), "{name} is alive");
    }
    let base = format!("http://{}", cluster.address("receiver"));
    let path = format!("/webhooks/omni/{}", cluster.shop().config().alias);
    let answer = wire::omni_to(&base, &path, "orders/create", b"{}").await;
    assert_eq!(answer.status, 503, "it knows no connections yet, so the sender is to try again: {answer:?}");
    let migrated = cluster.command("migrate").await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    cluster.all_ready().await;
    cluster.prepare().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    let mut load = Load::begin(&cluster.shops[0].clone(), 1);
    cluster.quiet().await;
    (0..20).for_each(|_| load.step());
    // Everything in one process beside the roles apart; then the roles go, in another order than they came.
    cluster.start("everything", "up");
    cluster.ready(&["everything"]).await;
    cluster.shared(&[("everything", 3), ("worker", 3)]).await;
    cluster.send_webhooks_to(cluster.address("everything"));
    (0..20).for_each(|_| load.step());
    for name in ["keeper", "worker"] {
        cluster.stop(name).await;
        (0..5).for_each(|_| load.step());
    }
    // What the receiver was sent, and has not got yet, is on its way; it goes last of the three.
    until("the receiver's webhooks are taken", async || cluster.shop().webhooks_waiting() == 0).await;
    cluster.stop("receiver").await;
    cluster.shared(&[("everything", 6)]).await;
    (0..10).for_each(|_| load.step());
    verify(&mut cluster, &[load]).await;
    cluster.stop("everything").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_receiver_answers_200_while_the_database_is_away_and_what_it_took_is_settled_afterwards() {
    let mut cluster = Cluster::new(1).await;
    let proxy = TcpProxy::start(vec![address_of(cluster.config.database_url.expose_secret()).await]).await;
    let settings = by_way_of(&cluster.config, Some(proxy.address), None);
    for (name, role) in [("receiver", "receive"), ("worker", "work"), ("keeper", "keeper")] {
        cluster.start_with(name, role, &settings);
    }
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    let mut load = Load::begin(&cluster.shops[0].clone(), 2);
    cluster.quiet().await;
    for stalled in [false, true] {
        if stalled {
            proxy.stall();
        } else {
            proxy.refuse();
            until("the worker says that the database is away", async || !cluster.is_ready("worker").await).await;
        }
        let before = cluster.shop().webhooks_sent().len();
        (0..30).for_each(|_| load.step());
        until("every webhook is taken", async || cluster.shop().webhooks_waiting() == 0).await;
        let sent = cluster.shop().webhooks_sent().split_off(before);
        assert!(sent.len() >= 20, "{} webhooks", sent.len());
        assert!(sent.iter().all(sapo_sync::sandbox::Sent::taken), "stalled: {stalled}: {sent:#?}");
        assert!(cluster.is_ready("receiver").await, "it goes on taking webhooks");
        proxy.pass();
        cluster.all_ready().await;
        cluster.quiet().await;
    }
    verify(&mut cluster, &[load]).await;
}

/// Counts the calls of one path that are under way at once.
#[derive(Clone, Default)]
struct AtOnce {
    now: Arc<AtomicI64>,
    most: Arc<AtomicI64>,
    all: Arc<AtomicUsize>,
}

impl AtOnce {
    fn watch(shop: &Sandbox, path: &'static str) -> Self {
        let own = Self::default();
        let seen = own.clone();
        shop.on_call(move |call| {
            if call.api == Api::Abaha && call.path == path {
                use sapo_sync::sandbox::Phase;
                match call.phase {
                    Phase::Received => {
                        let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
                        seen.most.fetch_max(now, Ordering::SeqCst);
                        seen.all.fetch_add(1, Ordering::SeqCst);
                    }
                    Phase::Answered => {
                        seen.now.fetch_sub(1, Ordering::SeqCst);
                    }
                    Phase::WorkDone => {}
                }
            }
        });
        own
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn workers_that_come_and_go_share_evenly_and_never_touch_an_object_at_once() {
    // Each shop has one product: its updates are the calls on one object.
    let mut cluster = Cluster::new(4).await;
    cluster.start("receiver", "receive");
    cluster.start("first", "work");
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    let variants: Vec<u64> = cluster.shops.iter().map(add_product).collect();
    cluster.shared(&[("first", 6)]).await;
    cluster.quiet().await;
    let watched: Vec<AtOnce> = cluster.shops.iter().map(|shop| AtOnce::watch(shop, "product/update")).collect();
    for shop in &cluster.shops {
        // Long enough that two who worked on one object would meet.
        fault(shop, Api::Abaha, "product/update", u32::MAX, ApiEffect::WorkThenHang(Duration::from_millis(60)));
    }
    let mut stock = 10;
    let mut change = async |cluster: &Cluster| {
        stock += 1;
        for (shop, variant) in cluster.shops.iter().zip(&variants) {
            shop.omni().set_stock(*variant, BRANCH, dong(stock)).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let both = async |cluster: &Cluster| cluster.metric("second", "sapo_sync_queues_held").await == Some(3.0);
    change(&cluster).await;
    let began = Instant::now();
    cluster.start("second", "work");
    while !both(&cluster).await {
        assert!(began.elapsed() < crate::harness::PATIENCE, "the second worker gets no half");
        change(&cluster).await;
    }
    let told = began.elapsed();
    for _ in 0..50 {
        change(&cluster).await;
    }
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    cluster.signal("first", "TERM");
    while cluster.is_running("first") || cluster.queues_of("second").await.len() < 6 {
        assert!(began.elapsed() < crate::harness::PATIENCE, "the second worker does not get all");
        change(&cluster).await;
    }
    for _ in 0..20 {
        change(&cluster).await;
    }
    cluster.quiet().await;
    for (shop, watched) in cluster.shops.iter().zip(&watched) {
        assert_eq!(on_abaha(shop), stock, "its newest state");
        assert!(watched.all.load(Ordering::SeqCst) > 10, "it was worked on all the time");
        assert_eq!(watched.most.load(Ordering::SeqCst), 1, "calls on one object at once");
    }
    let dead = cluster.dead().await;
    assert!(dead.is_empty(), "{dead:#?}");
    println!("a second worker had its half of the queues after {} ms", told.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_killed_workers_queues_move_and_its_call_in_flight_makes_no_second_order() {
    let mut cluster = Cluster::new(1).await;
    let workers = ["first", "second"];
    for (name, role) in [("receiver", "receive"), ("first", "work"), ("second", "work")] {
        cluster.start(name, role);
    }
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(cluster.shop());
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    cluster.quiet().await;
    let mut placed = 0;
    // The work is done and the answer lost, or the work is done only after the worker's death.
    for effect in [ApiEffect::WorkThenHang(Duration::from_secs(5)), ApiEffect::WorkLater(Duration::from_millis(500))] {
        let victim = worker_of(&cluster, 0, workers).await;
        let other = if victim == "first" { "second" } else { "first" };
        let pid = cluster.pid(victim);
        let killed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&killed);
        cluster.shop().on_call(move |call| {
            let hit = call.api == Api::Omni && call.method == "POST" && call.path == "orders";
            if hit && !seen.swap(true, Ordering::SeqCst) {
                std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            }
        });
        fault(cluster.shop(), Api::Omni, "orders$", 1, effect.clone());
        placed += 1;
        place_order(cluster.shop());
        until("the order is being made", async || killed.load(Ordering::SeqCst)).await;
        let died = Instant::now();
        cluster.ended(victim).await;
        cluster.shared(&[(other, 6)]).await;
        let moved = died.elapsed();
        cluster.quiet().await;
        println!(
            "{effect:?}: queues moved {:.1} s after the kill, the order was settled after {:.1} s",
            moved.as_secs_f64(),
            died.elapsed().as_secs_f64()
        );
        assert_eq!(cluster.shop().omni().orders().len(), placed, "{effect:?}");
        cluster.restart(victim);
        cluster.shared(&[("first", 3), ("second", 3)]).await;
    }
    let dead = cluster.dead().await;
    assert!(dead.is_empty(), "{dead:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_worker_that_is_stopped_finishes_its_call_and_hands_over_the_rest() {
    let mut cluster = Cluster::new(1).await;
    let workers = ["first", "second"];
    for (name, role) in [("receiver", "receive"), ("first", "work"), ("second", "work")] {
        cluster.start(name, role);
    }
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    add_product(cluster.shop());
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    cluster.quiet().await;
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let victim = worker_of(&cluster, 0, workers).await;
        let other = if victim == "first" { "second" } else { "first" };
        let hold = format!("order {round}");
        fault(cluster.shop(), Api::Omni, "orders$", 1, ApiEffect::Hold(hold.clone()));
        cluster.shop().clear_calls();
        place_order(cluster.shop());
        cluster.shop().faults().reached(&hold).await;
        // These wait behind it, or are being worked on beside it.
        for _ in 0..30 {
            place_order(cluster.shop());
        }
        let asked = Instant::now();
        cluster.signal(victim, signal);
        // Its queues of the other kinds hold nothing and move while the call is still out.
        until("the others have its idle queues", async || cluster.queues_of(other).await.len() == 5).await;
        assert!(cluster.is_running(victim), "it waits for its call");
        cluster.shop().faults().release(&hold);
        let status = cluster.ended(victim).await;
        assert!(status.success(), "{signal}: {status}");
        cluster.shared(&[(other, 6)]).await;
        println!("{signal}: ended and handed over in {:.1} s", asked.elapsed().as_secs_f64());
        cluster.quiet().await;
        assert_eq!(cluster.shop().call_count(Api::Omni, "POST", "orders$"), 31, "each order was made by one call");
        assert_eq!(cluster.shop().omni().orders().len(), 31 * (round + 1));
        cluster.restart(victim);
        cluster.shared(&[("first", 3), ("second", 3)]).await;
    }
    let dead = cluster.dead().await;
    assert!(dead.is_empty(), "{dead:#?}");
    for name in ["second", "receiver", "first"] {
        cluster.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn workers_for_some_kinds_each_do_everything_together() {
    let mut cluster = Cluster::new(2).await;
    for (name, role) in
        [("receiver", "receive"), ("orders", "work --kind order"), ("rest", "work --kind product,customer")]
    {
        cluster.start(name, role);
    }
    cluster.all_ready().await;
    cluster.shared(&[("orders", 2), ("rest", 4)]).await;
    assert!(cluster.queues_of("orders").await.iter().all(|queue| queue.kind == Kind::Order));
    cluster.send_webhooks_to(cluster.address("receiver"));
    let shops = cluster.shops.clone();
    let mut loads: Vec<Load> = shops.iter().map(|shop| Load::begin(shop, 3)).collect();
    cluster.quiet().await;
    for _ in 0..50 {
        loads.iter_mut().for_each(Load::step);
    }
    verify(&mut cluster, &loads).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn one_keeper_leads_and_another_follows_it() {
    let mut cluster = Cluster::new(1).await;
    cluster.start("worker", "work");
    cluster.all_ready().await;
    // No webhooks: the shop's product is known only to an import.
    add_product(cluster.shop());
    let refused = cluster.command("import").await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no keeper is running"), "{said}");
    cluster.start("first", "keeper");
    cluster.start("second", "keeper");
    cluster.all_ready().await;
    let leads = async |cluster: &Cluster| {
        let mut found = Vec::new();
        for name in ["first", "second"] {
            if cluster.metric(name, "sapo_sync_keeper_leads").await == Some(1.0) {
                found.push(name);
            }
        }
        found
    };
    until("one keeper leads", async || leads(&cluster).await.len() == 1).await;
    let leader = loop {
        // One of them may be slow to tell.
        if let [one] = leads(&cluster).await[..] {
            break one;
        }
    };
    let other = if leader == "first" { "second" } else { "first" };
    let imported = cluster.command("import").await;
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    cluster.quiet().await;
    assert_eq!(on_abaha(cluster.shop()), 10);
    publish(&cluster, &dead_queue(&cluster), b"first").await;
    until("it is filed", async || cluster.dead().await.len() == 1).await;
    cluster.kill(leader);
    publish(&cluster, &dead_queue(&cluster), b"second").await;
    let died = Instant::now();
    until("the other leads", async || leads(&cluster).await == [other]).await;
    println!("another keeper leads {:.1} s after the kill", died.elapsed().as_secs_f64());
    until("the second is filed", async || cluster.dead().await.len() == 2).await;
    cluster.restart(leader);
    cluster.all_ready().await;
    cluster.stop(other).await;
    until("the first leads again", async || leads(&cluster).await == [leader]).await;
    cluster.quiet().await;
    let dead = cluster.dead().await;
    assert_eq!(dead.len(), 2, "each was filed once: {dead:#?}");
    assert!(dead.iter().all(|letter| letter.code == "undeliverable" && !letter.reason.is_empty()), "{dead:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_message_that_kills_its_worker_ends_as_a_dead_letter_and_its_neighbours_are_settled() {
    let mut cluster = Cluster::new(1).await;
    cluster.start("receiver", "receive");
    cluster.start("worker", "work");
    cluster.start("keeper", "keeper");
    cluster.all_ready().await;
    cluster.send_webhooks_to(cluster.address("receiver"));
    let variant = add_product(cluster.shop());
    cluster.quiet().await;
    let order = place_order(cluster.shop());
    cluster.quiet().await;
    cluster.stop("worker").await;
    // From now on a worker dies whenever it is about to cancel an order.
    cluster.shop().abaha().set_status(order, 0, Some("Hủy")).unwrap();
    for _ in 0..20 {
        place_order(cluster.shop());
    }
    cluster.shop().omni().set_stock(variant, BRANCH, dong(77)).unwrap();
    until("all of it waits", async || cluster.shop().webhooks_waiting() == 0).await;
    let crash = [("SAPO_SYNC__CRASH_AT", "before_cancel".to_owned())];
    cluster.start_with("worker", "work", &crash);
    let mut deaths = 0;
    let began = Instant::now();
    while cluster.dead().await.is_empty() {
        assert!(began.elapsed() < crate::harness::PATIENCE, "{deaths} deaths, and no dead letter");
        if !cluster.is_running("worker") {
            deaths += 1;
            cluster.restart("worker");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.quiet().await;
    assert!(cluster.is_running("worker"), "nothing kills it any more");
    assert_eq!(deaths, 3, "so many deaths are enough to know");
    let dead = cluster.dead().await;
    assert_eq!(dead.len(), 1, "{dead:#?}");
    assert_eq!((dead[0].code.as_str(), dead[0].object_id.as_str()), ("poison", order.to_string().as_str()));
    assert_eq!(on_abaha(cluster.shop()), 77);
    assert_eq!(cluster.shop().omni().orders().len(), 21, "the neighbours are settled");
    // With a worker that can do it, it is replayed.
    cluster.stop("worker").await;
    cluster.start_with("worker", "work", &[]);
    cluster.all_ready().await;
    let replayed = cluster.command(&format!("dead replay {}", dead[0].event_id)).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    cluster.quiet().await;
    let cancelled = cluster.shop().omni().orders().iter().filter(|order| order["status"] == "cancelled").count();
    assert_eq!((cancelled, cluster.dead().await.len()), (1, 0));
}

/// Publishes straight into a queue, as a stranger would.
async fn publish(cluster: &Cluster, queue: &str, body: &[u8]) {
    let BrokerConfig::RabbitMq(rabbit) = &cluster.config.broker else { panic!("a cluster is on RabbitMQ") };
    let connection = Connection::connect(rabbit.url.expose_secret(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap().await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

fn dead_queue(cluster: &Cluster) -> String {
    let BrokerConfig::RabbitMq(rabbit) = &cluster.config.broker else { panic!("a cluster is on RabbitMQ") };
    format!("{}.dead", rabbit.prefix)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn a_message_that_nobody_can_read_becomes_one_dead_letter_whichever_queue_it_lies_in() {
    let mut cluster = Cluster::new(1).await;
    for (name, role) in [("first", "work"), ("second", "work"), ("keeper", "keeper")] {
        cluster.start(name, role);
    }
    cluster.all_ready().await;
    cluster.shared(&[("first", 3), ("second", 3)]).await;
    let BrokerConfig::RabbitMq(rabbit) = cluster.config.broker.clone() else { panic!("a cluster is on RabbitMQ") };
    let mut bodies = Vec::new();
    for kind in Queue::KINDS {
        for partition in 0..2 {
            let queue = Queue { kind, partition };
            let body = format!("not an event of ours: {queue}");
            publish(&cluster, &format!("{}.{queue}", rabbit.prefix), body.as_bytes()).await;
            bodies.push(body);
        }
    }
    until("all are filed", async || cluster.dead().await.len() >= bodies.len()).await;
    cluster.quiet().await;
    let dead = cluster.dead().await;
    assert_eq!(dead.len(), bodies.len(), "each was filed once: {dead:#?}");
    assert!(dead.iter().all(|letter| letter.code == "unreadable" && !letter.reason.is_empty()), "{dead:#?}");
    let shown = cluster.command(&format!("dead show {} --body", dead[0].event_id)).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(bodies.iter().any(|body| shown.contains(body)), "the payload is kept: {shown}");
    let discarded = cluster.command("dead discard --all --code unreadable --yes").await;
    assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
    assert!(cluster.dead().await.is_empty());
}
