//! Rate limits, with buckets that leak faster than the real ones (those of webs are as documented): calls made are
//! compared with what the bucket let through in the same span, so a slow machine changes nothing.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use rust_decimal::Decimal;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{
    Api, BucketConfig, Call, CallSeen, Phase, PlaceAbahaOrder, PlaceOrder, Sandbox, SandboxConfig, WebSite,
};
use sapo_sync::store::parked::ParkedRow;
use serde_json::json;

use crate::harness::{CONNECTION, Setup, World, connections_of, dong, until};
use crate::web_world::{web_alias, web_site, webs_with};

/// Held by the one of these tests that is at work: side by side they would take from each other the time that they
/// measure.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The documented size; the leak is what a test wants.
fn bucket(leak_per_second: f64, header: bool) -> BucketConfig {
    BucketConfig { size: 40, leak_per_second, header }
}

/// A world whose Sapo has this bucket, and where the program assumes `assumed` calls a second.
async fn world(bucket: BucketConfig, assumed: f64) -> World {
    let usual = Setup::default();
    let sandbox = SandboxConfig { bucket, ..usual.sandbox.clone() };
    World::with(Setup { sandbox, sapo_limit: (40, assumed), ..usual }).await
}

/// Makes so many products without a word, and publishes an event for each that needs one call to Sapo.
async fn backlog(world: &World, count: usize) {
    world.sandbox.stop_webhooks();
    let omni = world.sandbox.omni();
    for n in 0..count {
        let product = omni.add_product(&json!({"name": format!("Mũ {n}"), "variants": [{"sku": format!("M-{n}"), "retail": 90_000, "stock": {"58001": 1}}]})).unwrap();
        let key = ObjectKey {
            connection: CONNECTION.into(),
            source: System::Omni,
            kind: Kind::Product,
            object_id: product.to_string(),
        };
        world
            .publish(&Event::new(
                key,
                "cuahangmau",
                "products/update",
                Shape::Id,
                world.store().clock().now(),
                "{}".into(),
            ))
            .await;
    }
    world.sandbox.send_webhooks_to(&world.url());
}

/// When each call to Sapo came, with its path.
type Seen = Arc<Mutex<Vec<(Instant, String)>>>;

fn watch(sandbox: &Sandbox) -> Seen {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    sandbox.on_call(move |call: &CallSeen| {
        if call.api == Api::Omni && call.phase == Phase::Received {
            notes.lock().unwrap().push((Instant::now(), format!("{} {}", call.method, call.path)));
        }
    });
    seen
}

fn reads(seen: &Seen) -> usize {
    seen.lock().unwrap().iter().filter(|(_, call)| call.starts_with("GET products/")).count()
}

/// Settles a backlog; tells which share of what the bucket let through was used, and how many calls were refused.
async fn use_of_the_limit(world: &World, leak: f64, products: usize) -> (f64, usize) {
    let seen = watch(&world.sandbox);
    world.sandbox.clear_calls();
    backlog(world, products).await;
    until("the backlog is settled", async || world.sandbox.abaha().products().len() == products).await;
    let refused = world.sandbox.calls().iter().filter(|call| call.api == Api::Omni && call.status == Some(429)).count();
    let seen = seen.lock().unwrap();
    let (made, first, last) = (seen.len(), seen[0].0, seen[seen.len() - 1].0);
    let allowed = 40.0 + leak * (last - first).as_secs_f64();
    let used = (made - refused) as f64 / allowed;
    println!("{made} calls, {refused} refused, {allowed:.0} allowed in the span: {used:.3}");
    (used, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_there_is_work_the_limit_is_used_and_never_exceeded() {
    let _alone = ALONE.lock().await;
    for header in [true, false] {
        let world = world(bucket(20.0, header), 20.0).await;
        let (used, refused) = use_of_the_limit(&world, 20.0, 240).await;
        assert_eq!(refused, 0, "no 429, header {header}");
        // The bar of 0.95 is held by the simulated clock of `destination::limit`'s own tests; a busy machine spends some
        // of this span elsewhere, so here only idling while there is work would fail.
        assert!(used >= 0.6, "{used:.3} of the limit was used, header {header}");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_slower_than_documented_that_says_nothing_is_found_out_and_used_up() {
    let _alone = ALONE.lock().await;
    // Learning takes its time: over an hour of the real 2 a second the share is 0.95 (`destination::limit`'s own tests,
    // on a simulated clock). Here is what a few seconds and real answers come to.
    let world = world(bucket(5.0, false), 10.0).await;
    let (used, refused) = use_of_the_limit(&world, 5.0, 140).await;
    assert!(refused >= 1, "the program cannot have known");
    assert!(refused <= 20, "{refused} calls were refused");
    assert!(used >= 0.5, "{used:.3} of the limit was used");
    assert!(world.events().await.iter().all(|row| row.attempts == 0), "a refusal for want of room uses no attempt");
    world.finish(&[]).await;
}

fn order(tel: &str, sku: &str) -> PlaceAbahaOrder {
    PlaceAbahaOrder {
        tel: tel.into(),
        lines: vec![(sku.into(), Decimal::ONE, dong(120_000))],
        ..PlaceAbahaOrder::default()
    }
}

const SHIRT: &str = r#"{"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120000, "stock": {"58001": 10}}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_overtakes_the_backlog_of_its_own_store() {
    const BACKLOG: usize = 200;
    let _alone = ALONE.lock().await;
    let world = world(bucket(10.0, true), 10.0).await;
    world.sandbox.omni().add_product(&serde_json::from_str(SHIRT).unwrap()).unwrap();
    world.quiet().await;
    let seen = watch(&world.sandbox);
    backlog(&world, BACKLOG).await;
    until("the bucket is full and a backlog waits", async || reads(&seen) > 45).await;
    let before = reads(&seen);
    world.sandbox.abaha().place_order(&order("0912000001", "AT-S")).unwrap();
    until("the order is on Sapo", async || !world.sandbox.omni().orders().is_empty()).await;
    let (between, waiting) = {
        let seen = seen.lock().unwrap();
        let made = seen.iter().position(|(_, call)| call == "POST orders").unwrap();
        let reads = seen[..made].iter().filter(|(_, call)| call.starts_with("GET products/")).count();
        (reads - before, BACKLOG - reads)
    };
    println!("{between} calls of the backlog came before it, {waiting} after");
    assert!(waiting >= BACKLOG / 2, "only {waiting} of the backlog were left");
    assert!(between <= 40, "{between} calls of the backlog came before the order");
    until("the backlog is settled", async || world.sandbox.abaha().products().len() == BACKLOG + 1).await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_store_never_delays_another() {
    const BACKLOG: usize = 180;
    let _alone = ALONE.lock().await;
    let world = world(bucket(10.0, true), 10.0).await;
    let config = SandboxConfig {
        alias: "cuahangkhac".into(),
        tenant_id: 70_002,
        site: "502".into(),
        ..world.sandbox.config().clone()
    };
    let other = Sandbox::start(config).await.unwrap();
    world.apply(&connections_of(&other, "khac-abaha", (true, true, true), "")).await;
    other.send_webhooks_to(&world.url());
    let seen = watch(&world.sandbox);
    backlog(&world, BACKLOG).await;
    until("the first store is throttled", async || world.parked().await.iter().any(|row| row.cause == "throttled"))
        .await;
    // The other store's whole life goes on: a product, a customer, an order each way.
    other.omni().add_product(&serde_json::from_str(SHIRT).unwrap()).unwrap();
    let linked =
        async || world.events().await.iter().any(|row| row.connection == "khac-abaha" && row.code == "created");
    until("its product is linked", linked).await;
    other.abaha().place_order(&order("0912000001", "AT-S")).unwrap();
    until("its order is there", async || other.omni().orders().len() == 1).await;
    let (shirt, guest) = (other.omni().variant_by_sku("AT-S").unwrap(), other.omni().customer_ids()[0]);
    let pos = PlaceOrder {
        customer_id: Some(guest),
        lines: vec![(shirt, Decimal::ONE, dong(120_000))],
        ..PlaceOrder::default()
    };
    let pos = other.omni().place_order(pos).unwrap();
    until("its other order is there", async || other.abaha().orders_by_pos_id(pos).len() == 1).await;
    let reads = reads(&seen);
    assert!(reads < BACKLOG * 2 / 3, "{reads} of {BACKLOG} came first");
    let throttled = |row: &ParkedRow| row.cause == "throttled";
    assert!(world.parked().await.iter().filter(|row| throttled(row)).all(|row| row.connection == CONNECTION));
    let rows = world.events().await;
    let others: Vec<_> = rows.iter().filter(|row| row.connection == "khac-abaha").collect();
    assert!(
        others.iter().all(|row| !row.story.contains("throttled")),
        "nothing of the other store ever waits: {others:#?}"
    );
    until("the backlog is settled", async || world.sandbox.abaha().products().len() == BACKLOG).await;
    other.webhooks_settled().await;
    world.finish(&[]).await;
    other.stop().await;
}

/// When each call to a web came, with the web's alias.
fn watch_webs(sandbox: &Sandbox) -> Seen {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    sandbox.on_call(move |call: &CallSeen| {
        if let Some(site) = call.site.clone().filter(|_| call.phase == Phase::Received) {
            notes.lock().unwrap().push((Instant::now(), site));
        }
    });
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn three_webs_with_the_documented_limit_each_use_their_own_up_with_one_write_a_changed_product() {
    const WEBS: usize = 3;
    // More than the bucket holds: what is over waits for Sapo's 2 a second.
    const PRODUCTS: usize = 60;
    const ROUNDS: usize = 3;
    let _alone = ALONE.lock().await;
    let documented = |number| WebSite { bucket: bucket(2.0, true), ..web_site(number) };
    let usual = Setup::default();
    let sandbox = SandboxConfig { web_sites: (1..=WEBS).map(documented).collect(), ..usual.sandbox.clone() };
    let extra = "stock_branches = [58001]".to_owned();
    let world = webs_with(Setup { sandbox, web_limit: (40, 2.0), extra, ..usual }, WEBS).await;
    let sku = |number: usize| format!("M-{number:02}");
    let everywhere =
        |number: usize| -> Vec<u64> { (1..=WEBS).map(|web| world.on_web(web, &sku(number), 1_000, 5)).collect() };
    // Equal on all sides from the first, so that linking them needs no call; but one, by which each web's location is
    // known.
    let there: Vec<Vec<u64>> = (0..=PRODUCTS).map(everywhere).collect();
    world.quiet().await;
    for number in 0..=PRODUCTS {
        world.on_pos(&sku(number), 1_000, if number == PRODUCTS { 6 } else { 5 });
    }
    world.quiet().await;

    let limits = &world.running().context().limits;
    let account = |web: usize| format!("web:{}", web_alias(web));
    let far = world.store().clock().now() + 3_600_000;
    (1..=WEBS).for_each(|web| limits.close_until(&account(web), far));
    let variants: Vec<u64> = (0..PRODUCTS).map(|number| world.pos_variant(&sku(number))).collect();
    for round in 1..=ROUNDS {
        for variant in &variants {
            world.sandbox.omni().set_stock(*variant, 58_001, Decimal::from(10 + round)).unwrap();
        }
    }
    let all_wait = async || {
        world.sandbox.webhooks_waiting() == 0 && world.parked().await.len() == WEBS * PRODUCTS && {
            let rows = world.events().await;
            let changes = rows.iter().filter(|row| row.source == "omni" && row.topic == "products/update");
            changes.count() == WEBS * PRODUCTS * ROUNDS
        }
    };
    world.eventually("every change waits, in one row a product and web", all_wait).await;

    world.sandbox.clear_calls();
    let seen = watch_webs(&world.sandbox);
    (1..=WEBS).for_each(|web| limits.close_until(&account(web), 0));
    world.store().release_now(None, Some("throttled"), None).await.unwrap();
    let last = Decimal::from(10 + ROUNDS);
    let shows = |number: usize| (1..=WEBS).all(|web| world.shown(web, there[number][web - 1]).0 == last);
    until("every web shows the last stock of all", async || (0..PRODUCTS).all(&shows)).await;
    world.quiet().await;

    let (calls, seen) = (world.sandbox.calls(), seen.lock().unwrap().clone());
    let mut figures = Vec::new();
    for web in 1..=WEBS {
        let alias = web_alias(web);
        let here: Vec<&Call> = calls.iter().filter(|call| call.site.as_ref() == Some(&alias)).collect();
        let writes = here.iter().filter(|call| call.writing).count();
        let refused = here.iter().filter(|call| call.status == Some(429)).count();
        let times: Vec<Instant> = seen.iter().filter(|(_, site)| *site == alias).map(|(at, _)| *at).collect();
        let allowed = 40.0 + 2.0 * (times[times.len() - 1] - times[0]).as_secs_f64();
        figures.push((writes, here.len() - writes, refused, (here.len() - refused) as f64 / allowed));
    }
    let told = figures.iter().map(|(writes, others, refused, used)| {
        let each = *writes as f64 / PRODUCTS as f64;
        format!("{each:.2} writes a product, {others} other calls, {refused} refused, {used:.3} of the limit")
    });
    println!("{PRODUCTS} products changed {ROUNDS} times, each web: {}", told.collect::<Vec<_>>().join("; "));
    for (writes, _, refused, used) in figures {
        assert!((PRODUCTS..=PRODUCTS * 11 / 10).contains(&writes), "{writes} writes for {PRODUCTS} products");
        assert_eq!(refused, 0, "no 429");
        // As above: the bar is held elsewhere, and here only idling while there is work would fail.
        assert!(used >= 0.6, "{used:.3} of the limit was used");
    }
    world.finish(&[]).await;
}
