//! The import: both catalogues walked page by page, what is missing made, what is there linked, every row explained.

use std::collections::{BTreeMap, BTreeSet};

use sapo_sync::domain::phone::Phone;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, Sandbox, SandboxConfig};
use sapo_sync::store::links::{LinkFilter, LinkKind};
use sapo_sync::sync::jobs::Summary;
use serde_json::{Value, json};

use crate::harness::{CONNECTION, Setup, World, connections_of, until};

/// A product as Abaha should show it: name, price, stock, shown, category.
pub type Shown = (String, i64, i64, bool, Option<String>);

/// A shop with a seeded catalogue.
pub fn seeded(products: usize, customers: usize) -> Setup {
    let setup = Setup::default();
    Setup { sandbox: SandboxConfig { products, customers, ..setup.sandbox }, ..setup }
}

/// What Abaha should show, worked out from the shop alone; and the SKUs that have no price.
pub fn expected(world: &World) -> (BTreeMap<String, Shown>, BTreeSet<String>) {
    let (mut shown, mut priceless) = (BTreeMap::new(), BTreeSet::new());
    for product in world.sandbox.omni().products() {
        for variant in product["variants"].as_array().unwrap() {
            let sku = variant["sku"].as_str().unwrap().trim().to_owned();
            let Some(price) = variant["variant_retail_price"].as_f64().filter(|price| *price > 0.0) else {
                priceless.insert(sku);
                continue;
            };
            let rows = variant["inventories"].as_array().unwrap();
            let row = rows.iter().find(|row| row["location_id"] == 58_001).unwrap();
            let stock = row["available"].as_f64().unwrap().floor().max(0.0);
            let active = product["status"] == "active" && variant["status"] == "active";
            let name = variant["name"].as_str().unwrap().trim().to_owned();
            let category = product["category"].as_str().map(str::to_owned);
            #[allow(clippy::cast_possible_truncation, reason = "whole numbers of the made-up shop")]
            shown.insert(sku, (name, price as i64, stock as i64, active, category));
        }
    }
    (shown, priceless)
}

/// What Abaha shows.
pub fn found(world: &World) -> BTreeMap<String, Shown> {
    let all = world.sandbox.abaha().products();
    let count = all.len();
    let shown = |product: Value| {
        assert_eq!(product["price"], product["price_sale"], "list price and selling price are one");
        let text = |field: &str| product[field].as_str().map(str::to_owned);
        let seen = (
            text("name").unwrap(),
            product["price"].as_i64().unwrap(),
            product["quantity"].as_i64().unwrap(),
            product["status"] == 1,
            text("category_name"),
        );
        (text("product_code").unwrap(), seen)
    };
    let found: BTreeMap<String, Shown> = all.into_iter().map(shown).collect();
    assert_eq!(found.len(), count, "no code is there twice");
    found
}

/// The phones that the shop's customers have, in their national form.
pub fn phones(world: &World) -> BTreeSet<String> {
    let all = world.sandbox.omni().customers();
    all.iter().filter_map(|customer| Some(Phone::parse(customer["phone_number"].as_str()?).ok()?.national())).collect()
}

/// The phones on Abaha; each once.
pub fn tels(world: &World) -> BTreeSet<String> {
    let all = world.sandbox.abaha().customers();
    let tels: BTreeSet<String> = all.iter().map(|customer| customer["tel"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tels.len(), all.len());
    tels
}

/// A finished job's summary.
pub fn summary(job: &sapo_sync::store::jobs::Job) -> Summary {
    assert_eq!((job.state.as_str(), job.reason.as_deref()), ("done", None));
    serde_json::from_str(&job.found).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_links_what_is_there_makes_what_is_missing_and_explains_each_row() {
    let world = World::with(seeded(60, 50)).await;
    let abaha = world.sandbox.abaha();
    let (shop, priceless) = expected(&world);
    let known: Vec<(String, u64)> =
        shop.keys().step_by(4).map(|sku| (sku.clone(), abaha.add_product(sku, "Có sẵn", 5, 5).unwrap())).collect();
    let phone = phones(&world).into_iter().next().unwrap();
    let person = abaha.add_customer("Khách quen", &phone).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();

    let job = world.run_job("import").await;
    assert_eq!(found(&world), shop);
    for (sku, id) in &known {
        assert_eq!(world.on_abaha(sku)["id"], *id, "linked, not made again");
    }
    assert_eq!(tels(&world), phones(&world));
    let there = abaha.customer_by_tel(&phone).unwrap();
    assert_eq!((&there["id"], &there["name"]), (&json!(person), &json!("Khách quen")));

    // The report: every row that is not simply equal, with its reason.
    let summary = summary(&job);
    assert!(!summary.failed(), "{summary:#?}");
    assert_eq!(summary.found["product.create"], (shop.len() - known.len()) as u64);
    assert_eq!(summary.found["product.link"], known.len() as u64);
    assert_eq!(summary.found["product.skip"], priceless.len() as u64);
    let rows = world.job_rows(&job).await;
    let skipped: BTreeSet<String> =
        rows.iter().filter(|row| row.0 == "product" && row.2 == "skip").map(|row| row.1.clone()).collect();
    assert_eq!(skipped, priceless);
    let phoneless = rows.iter().filter(|row| row.0 == "customer" && row.3 == "no_phone").count();
    let without = |customer: &&Value| Phone::parse(customer["phone_number"].as_str().unwrap_or_default()).is_err();
    assert_eq!(phoneless, world.sandbox.omni().customers().iter().filter(without).count());
    let reasons = world.store().job_rows(&job.id, 0, 10_000).await.unwrap();
    assert!(reasons.iter().all(|row| !row.reason.is_empty()));

    // Once more: nothing is left to do.
    world.sandbox.clear_calls();
    let again = world.run_job("import").await;
    let again_summary = self::summary(&again);
    assert_eq!(again_summary.events, 0, "{again_summary:#?}");
    assert_eq!(world.writing_calls(Api::Abaha) + world.writing_calls(Api::Omni), 0);
    assert!(world.job_rows(&again).await.iter().all(|row| row.2 == "skip"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_two_equal_catalogues_reads_their_pages_and_no_more() {
    let world = World::with(seeded(150, 0)).await;
    let first = world.run_job("import").await;
    assert!(!summary(&first).failed());
    let linked = links(&world).await;
    // The same catalogues, with nothing known of each other.
    let mut world = world;
    world.stop().await;
    world.forget().await;
    world.start().await;
    world.apply(&world.connections((true, true, true), "")).await;
    world.sandbox.clear_calls();
    let second = world.run_job("import").await;
    assert!(!summary(&second).failed());
    assert_eq!(links(&world).await, linked);
    let calls = world.sandbox.calls();
    let pages = |api: Api, path: &str| calls.iter().filter(|call| call.api == api && call.path == path).count();
    let variants = world.sandbox.abaha().products().len();
    assert_eq!(pages(Api::Abaha, "product/index"), variants.div_ceil(100), "the pages of Abaha's catalogue");
    assert_eq!(pages(Api::Omni, "products"), 1, "150 products are one page of 250");
    assert_eq!(world.writing_calls(Api::Abaha), 0);
    world.finish(&[]).await;
}

async fn links(world: &World) -> BTreeSet<(String, String)> {
    let filter = LinkFilter {
        connection: Some(CONNECTION.into()),
        kind: Some(LinkKind::Product),
        limit: 100_000,
        ..LinkFilter::default()
    };
    world.store().list_links(&filter).await.unwrap().into_iter().map(|link| (link.sapo_id, link.channel_id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_in_the_middle_goes_on_where_it_was() {
    let mut world = World::with(seeded(620, 30)).await;
    let hold = ApiFault {
        api: Api::Omni,
        method: Some("GET".into()),
        path: "products$".into(),
        skip: 1,
        times: 1,
        effect: ApiEffect::Hold("second page".into()),
    };
    world.sandbox.faults().api(hold);
    let job = world.store().add_job("import", CONNECTION, "{}").await.unwrap();
    world.sandbox.faults().reached("second page").await;
    let before = world.store().job(&job.id).await.unwrap().unwrap();
    assert!(before.state == "running" && before.found.contains("product"), "progress is stored: {before:#?}");
    world.running().stopper().cancel();
    world.sandbox.faults().release("second page");
    world.stop().await;
    let made = world.sandbox.abaha().products().len();
    let (shop, _) = expected(&world);
    assert!(made < shop.len(), "it was stopped in the middle: {made} of {}", shop.len());

    world.sandbox.clear_calls();
    world.start().await;
    let ended = world.job_ended(&job.id).await;
    assert_eq!(ended.id, job.id);
    let queries: Vec<String> = world
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.api == Api::Omni && call.path == "products")
        .map(|call| call.query)
        .collect();
    assert!(!queries.is_empty() && queries.iter().all(|query| !query.contains("page=1&")), "{queries:?}");
    world.quiet().await;
    assert_eq!(found(&world), shop);
    assert_eq!(tels(&world), phones(&world));
    let summary = summary(&ended);
    assert!(!summary.failed(), "{summary:#?}");
    let variants: usize =
        world.sandbox.omni().products().iter().map(|product| product["variants"].as_array().unwrap().len()).sum();
    assert_eq!(summary.checked["product"], variants as u64, "every variant is reported once: {summary:#?}");
    assert_eq!(summary.done + summary.skipped, summary.events, "it ends when its events have: {summary:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_stopped_by_hand_and_says_so() {
    let world = World::with(seeded(300, 0)).await;
    let hold = ApiFault {
        api: Api::Omni,
        method: None,
        path: "products$".into(),
        skip: 1,
        times: 1,
        effect: ApiEffect::Hold("page".into()),
    };
    world.sandbox.faults().api(hold);
    let job = world.store().add_job("import", CONNECTION, "{}").await.unwrap();
    let same = world.store().add_job("import", CONNECTION, "{}").await.unwrap();
    assert_eq!(job.id, same.id, "one import of a connection at a time");
    world.sandbox.faults().reached("page").await;
    world.store().stop_job(&job.id, "test").await.unwrap();
    world.sandbox.faults().release("page");
    let ended = world.job_ended(&job.id).await;
    assert_eq!((ended.state.as_str(), ended.reason.as_deref()), ("stopped", Some("stopped by hand")));
    world.finish(&[]).await;
}

fn throttled(path: &str, seconds: u64) -> ApiFault {
    ApiFault {
        api: Api::Abaha,
        method: None,
        path: path.into(),
        skip: 0,
        times: u32::MAX,
        effect: ApiEffect::Status { code: 429, retry_after: Some(seconds) },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_stopped_by_hand_while_its_shop_is_throttled() {
    let world = World::new().await;
    world.sandbox.faults().api(throttled("product/index$", 3_600));
    let job = world.store().add_job("import", CONNECTION, "{}").await.unwrap();
    let refused = async || world.sandbox.call_count(Api::Abaha, "POST", "product/index$") > 0;
    until("the walk was refused", refused).await;
    let asked = world.store().stop_job(&job.id, "test").await.unwrap().unwrap();
    assert!(asked.finished_at.is_none(), "it is held: {asked:#?}");
    let ended = world.job_ended(&job.id).await;
    assert_eq!((ended.state.as_str(), ended.reason.as_deref()), ("stopped", Some("stopped by hand")));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_only_wait_for_their_events_hold_up_no_other_shop() {
    let switches = (true, false, false);
    let world = World::with(Setup { switches, ..Setup::default() }).await;
    world.sandbox.stop_webhooks();
    let another = async |number: u64| {
        let (alias, site) = (format!("hangxom{number}"), format!("50{number}"));
        let config = SandboxConfig { alias, site, tenant_id: 70_000 + number, ..Setup::default().sandbox };
        Sandbox::start(config).await.unwrap()
    };
    let (other, calm) = (another(2).await, another(3).await);
    let others = [(&other, "other"), (&calm, "calm")].map(|(shop, name)| connections_of(shop, name, switches, ""));
    world.apply(&[world.connections(switches, ""), others.concat()].concat()).await;
    for shop in [&world.sandbox, &other, &calm] {
        shop.omni().add_product(&json!({"name": "Áo", "variants": [{"sku": "AT-S", "retail": 1_000}]})).unwrap();
    }
    let mut busy = Vec::new();
    for (shop, name) in [(&world.sandbox, CONNECTION), (&other, "other")] {
        shop.faults().api(throttled("product/create$", 1));
        busy.push(world.store().add_job("import", name, "{}").await.unwrap());
    }
    for job in &busy {
        let waits = async || world.store().job(&job.id).await.unwrap().unwrap().found.contains("working");
        until("it only waits for its events", waits).await;
    }
    // As many as walk at once.
    assert!(!summary(&world.run_job_for("import", "calm").await).failed());
    assert_eq!(calm.abaha().product_by_code("AT-S").len(), 1);
    for job in &busy {
        assert!(world.store().job(&job.id).await.unwrap().unwrap().finished_at.is_none(), "it waits still");
    }
    world.sandbox.faults().clear();
    other.faults().clear();
    for job in &busy {
        assert_eq!(summary(&world.job_ended(&job.id).await).done, 1);
    }
    world.finish(&[]).await;
    other.stop().await;
    calm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_fails_fails_alone_and_the_summary_says_so() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    world.pause().await;
    for sku in ["DUP", "FINE", "REFUSED"] {
        omni.add_product(&json!({"name": sku, "variants": [{"sku": sku, "retail": 1_000}]})).unwrap();
    }
    world.quiet().await;
    abaha.add_product("DUP", "Một", 1, 1).unwrap();
    abaha.add_product("DUP", "Hai", 1, 1).unwrap();
    world.store().release_now(None, None, None).await.unwrap();
    let paused = world.run_job("import").await;
    assert_eq!(paused.state, "failed");
    assert!(paused.reason.unwrap().contains("resume"), "a paused connection is not imported");
    world.sandbox.stop_webhooks();
    // The paused rows are somebody else's story here.
    world.resume().await;
    world.quiet().await;
    let job = world.run_job("import").await;
    let summary = summary(&job);
    assert!(summary.failed());
    assert_eq!(summary.errors, 1, "{summary:#?}");
    let rows = world.store().job_rows(&job.id, 0, 100).await.unwrap();
    let error = rows.iter().find(|row| row.action == "error").unwrap();
    assert_eq!((error.object_id.as_str(), error.code.as_str()), ("DUP", "ambiguous"));
    assert!(error.reason.contains("leave it on one of them"), "{}", error.reason);
    assert_eq!(world.on_abaha("FINE")["price"], 1_000);
    world.finish(&["parked:ambiguous"]).await;
}
