//! The import of a web: both catalogues read page by page, what is the same linked, what differs put right, every row
//! explained; and the plan, which says the same and writes nothing.

use rust_decimal::Decimal;
use sapo_sync::domain::linking::Side;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceWebOrder};
use sapo_sync::store::jobs::Job;
use sapo_sync::store::links::{LinkFilter, LinkKind};
use serde_json::json;

use crate::harness::{Setup, World};
use crate::import::summary;
use crate::web_world::{web_alias, web_connection, web_variant, webs, webs_with};

/// A row of a report: kind, object, action, code.
pub type Row = (String, String, String, String);

impl World {
    /// Runs a job of the first web to its end.
    pub async fn web_job(&self, kind: &str) -> Job {
        let job = self.store().add_job(kind, &web_connection(1), "{}").await.unwrap();
        self.job_ended(&job.id).await
    }

    /// The rows of a job's report, sorted.
    pub async fn sorted_rows(&self, job: &Job) -> Vec<Row> {
        let mut rows = self.job_rows(job).await;
        rows.sort();
        rows
    }

    /// How many products are linked.
    pub async fn linked(&self) -> usize {
        let filter = LinkFilter { kind: Some(LinkKind::Product), limit: 100_000, ..LinkFilter::default() };
        self.store().list_links(&filter).await.unwrap().len()
    }
}

#[allow(clippy::needless_pass_by_value)] // ids and texts alike
pub fn row(kind: &str, object: impl ToString, action: &str, code: &str) -> Row {
    (kind.to_owned(), object.to_string(), action.to_owned(), code.to_owned())
}

/// Holds one call of a page, so that a test can step in.
fn hold(api: Api, path: &str, skip: u32, name: &str) -> ApiFault {
    let effect = ApiEffect::Hold(name.to_owned());
    ApiFault { api, method: Some("GET".into()), path: path.into(), skip, times: 1, effect }
}

/// A shop and a web that nobody has told anything of, with every oddity once; the id of the web's variant without SKU.
async fn odd() -> (World, u64) {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    for (sku, price, stock) in [
        ("DIFFERS", 10_000, 5),
        ("EQUAL", 20_000, 6),
        ("TWICE", 30_000, 7),
        ("UNCOUNTED", 40_000, 8),
        ("ONLY-POS", 1_000, 1),
    ] {
        world.on_pos(sku, price, stock);
    }
    world.on_web(1, "DIFFERS", 11_000, 4);
    world.on_web(1, " EQUAL ", 20_000, 6);
    world.on_web(1, "TWICE", 30_000, 7);
    world.on_web(1, "TWICE", 31_000, 7);
    let uncounted = world.on_web(1, "UNCOUNTED", 40_000, 0);
    world.sandbox.web(&web_alias(1)).set_managed(uncounted, false).unwrap();
    world.on_web(1, "ONLY-WEB", 1_000, 1);
    world.on_web(1, "only-pos", 1_000, 1);
    let blank = world.on_web(1, "  ", 1_000, 1);
    (world, blank)
}

fn odd_rows(blank: u64) -> Vec<Row> {
    let mut rows = vec![
        row("product", "DIFFERS", "link", "same_sku"),
        row("product", "EQUAL", "link", "same_sku"),
        row("product", "UNCOUNTED", "link", "same_sku"),
        row("product", "ONLY-POS", "skip", "only_on_sapo"),
        row("product", "TWICE", "error", "ambiguous"),
        row("web product", "TWICE", "error", "ambiguous"),
        row("web product", "TWICE", "error", "ambiguous"),
        row("web product", "ONLY-WEB", "skip", "only_on_web"),
        row("web product", "only-pos", "skip", "only_on_web"),
        row("web product", blank, "skip", "no_sku"),
    ];
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_links_what_is_the_same_puts_right_what_differs_and_explains_each_row() {
    let (world, blank) = odd().await;
    world.sandbox.clear_calls();
    let job = world.web_job("import").await;
    let report = summary(&job);
    assert_eq!(world.sorted_rows(&job).await, odd_rows(blank));
    assert_eq!((report.events, report.done, report.errors), (1, 1, 3), "{report:#?}");
    assert_eq!((report.checked["product"], report.checked["web product"]), (5, 5));
    assert_eq!(world.linked().await, 3);
    // Stock and price of the one that differs; the others are as they should be.
    let writes = world.web_writes(1);
    assert_eq!(writes.len(), 2, "{writes:#?}");
    assert_eq!(world.writing_calls(Api::Omni), 0);
    let differs = world.web_link(1, world.pos_variant("DIFFERS")).await.unwrap();
    world.assert_shown(1, differs.channel_id.parse().unwrap(), 5, 10_000);

    // Every candidate is named, with both sides' ids.
    let rows = world.store().job_rows(&job.id, 0, 100).await.unwrap();
    assert!(rows.iter().all(|row| !row.reason.is_empty()), "{rows:#?}");
    let twice = rows.iter().find(|row| row.kind == "product" && row.code == "ambiguous").unwrap();
    let mut candidates = vec![world.pos_variant("TWICE").to_string()];
    let there = world.sandbox.web(&web_alias(1)).variant_by_sku("TWICE");
    candidates.extend(there.iter().map(|variant| variant["id"].to_string()));
    assert_eq!(candidates.len(), 3);
    assert!(candidates.iter().all(|id| twice.reason.contains(id)), "{}", twice.reason);
    let told = rows.iter().find(|row| row.object_id == "DIFFERS").unwrap();
    assert!(told.reason.contains("stock 5, there 4") && told.reason.contains("price 10000, there 11000"), "{told:?}");

    // Once more: nothing is left to do.
    world.sandbox.clear_calls();
    let again = world.web_job("import").await;
    assert_eq!((summary(&again).events, world.web_writes(1).len()), (0, 0), "{again:#?}");
    assert!(world.sorted_rows(&again).await.iter().all(|row| row.2 == "skip" || row.2 == "error"));
    assert_eq!(world.linked().await, 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_the_import_does_and_writes_nothing_on_either_side_nor_here() {
    let (world, blank) = odd().await;
    let web = web_alias(1);
    let before = (world.sandbox.omni().products(), world.sandbox.web(&web).products());
    world.sandbox.clear_calls();
    let plan = world.web_job("plan").await;
    assert_eq!(world.web_writes(1).len() + world.writing_calls(Api::Omni), 0);
    assert_eq!((world.sandbox.omni().products(), world.sandbox.web(&web).products()), before);
    assert_eq!((world.linked().await, world.events().await.len()), (0, 0));
    assert_eq!(world.sorted_rows(&plan).await, odd_rows(blank));

    let import = world.web_job("import").await;
    assert_eq!(world.sorted_rows(&import).await, odd_rows(blank));
    assert_eq!(summary(&plan).found, summary(&import).found);
    let reasons = async |job: &Job| {
        let rows = world.store().job_rows(&job.id, 0, 100).await.unwrap();
        let mut reasons: Vec<String> =
            rows.into_iter().map(|row| format!("{} {}", row.object_id, row.reason)).collect();
        reasons.sort();
        reasons
    };
    assert_eq!(reasons(&plan).await, reasons(&import).await);

    // A plan over links: what was lost and what differs is told, and stays as it is.
    let name = web_connection(1);
    let link = world.web_link(1, world.pos_variant("EQUAL")).await.unwrap();
    world.sandbox.web(&web).set_stock(link.channel_id.parse().unwrap(), 99).unwrap();
    let gone = world.sandbox.omni().products().into_iter().find(|product| product["name"] == "DIFFERS").unwrap();
    world.sandbox.omni().delete_product(gone["id"].as_u64().unwrap()).unwrap();
    let links = async || {
        let filter = LinkFilter { connection: Some(name.clone()), limit: 100, ..LinkFilter::default() };
        world.store().list_links(&filter).await.unwrap()
    };
    let before = links().await;
    let second = world.web_job("plan").await;
    assert_eq!((links().await, summary(&second).events), (before, 0));
    let rows = world.sorted_rows(&second).await;
    assert!(rows.contains(&row("product", "EQUAL", "update", "differs")), "{rows:#?}");
    assert!(rows.contains(&row("product", gone["id"].as_u64().unwrap(), "update", "not_met")), "{rows:#?}");
    assert_eq!(world.sandbox.web(&web).stock(link.channel_id.parse().unwrap()), Some(Decimal::from(99)));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_or_a_preparation_has_read_says_what_could_be_linked_and_what_cannot() {
    let (world, _) = odd().await;
    let (name, web) = (web_connection(1), world.sandbox.web(&web_alias(1)));
    let states = async |sku: &str| {
        let rows = world.store().variants_of_skus(&name, &[sku.to_owned()]).await.unwrap();
        let told = rows.into_iter().map(|row| format!("{}: {} {}", row.side, row.state, row.code.unwrap_or_default()));
        let mut told: Vec<String> = told.collect();
        told.sort();
        told
    };
    let waiting = ["channel: unlinked to_be_linked", "sapo: unlinked to_be_linked"];
    for kind in ["preflight", "plan"] {
        let _read = summary(&world.web_job(kind).await);
        assert_eq!(states("DIFFERS").await, waiting, "{kind}");
        assert_eq!(states("ONLY-POS").await, ["sapo: unlinked only_on_sapo"], "{kind}");
        let twice = ["channel: error ambiguous", "channel: error ambiguous", "sapo: error ambiguous"];
        assert_eq!(states("TWICE").await, twice, "{kind}");
    }
    // One of the two gets another SKU, and nobody is told.
    let second = web.variant_by_sku("TWICE")[1]["id"].as_u64().unwrap();
    web.set_sku(second, "TWICE-2").unwrap();
    let _read = summary(&world.web_job("plan").await);
    assert_eq!(states("TWICE").await, waiting);
    assert_eq!(states("TWICE-2").await, ["channel: unlinked only_on_web"]);
    assert_eq!((world.linked().await, world.web_writes(1).len()), (0, 0));
    world.web_job("import").await;
    for sku in ["DIFFERS", "TWICE"] {
        assert_eq!(states(sku).await, ["channel: linked ", "sapo: linked "], "{sku}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_reads_the_pages_of_both_catalogues_and_no_more() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    world.sandbox.omni().bulk(620);
    world.sandbox.web(&web_alias(1)).bulk(620);
    world.sandbox.clear_calls();
    let job = world.web_job("import").await;
    let report = summary(&job);
    assert_eq!(report.found["product.link"], 620, "{report:#?}");
    assert!(!report.failed(), "{report:#?}");
    let web = |path: &str| world.sandbox.call_count(Api::Web, "GET", path);
    assert_eq!((web("products$"), web("products/count$")), (3, 1), "620 products are three pages");
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", "products$"), 3);
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", "products/"), 0, "no product is read one by one");
    assert_eq!(web("products/") - web("products/count$"), 0);
    assert_eq!(world.web_writes(1).len() as i64, report.events, "one call for each that differs, in its stock alone");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_in_the_middle_goes_on_where_it_was() {
    let mut world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    world.sandbox.omni().bulk(620);
    world.sandbox.web(&web_alias(1)).bulk(620);
    world.sandbox.faults().api(hold(Api::Web, "products$", 1, "page"));
    let job = world.store().add_job("import", &web_connection(1), "{}").await.unwrap();
    world.sandbox.faults().reached("page").await;
    let before = world.store().job(&job.id).await.unwrap().unwrap();
    assert!(before.state == "running" && before.found.contains("\"total\":620"), "progress is stored: {before:#?}");
    world.running().stopper().cancel();
    world.sandbox.faults().release("page");
    world.stop().await;

    world.sandbox.clear_calls();
    world.start().await;
    let ended = world.job_ended(&job.id).await;
    assert_eq!(ended.id, job.id);
    let pages: Vec<String> = world
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.api == Api::Web && call.path == "products")
        .map(|call| call.query)
        .collect();
    assert!(!pages.is_empty() && pages.iter().all(|query| !query.contains("since_id=0&")), "{pages:?}");
    assert_eq!(world.sandbox.call_count(Api::Web, "GET", "products/count$"), 0, "its total is known");
    let report = summary(&ended);
    assert!(!report.failed(), "{report:#?}");
    assert_eq!((report.checked["product"], report.checked["channel product"]), (620, 620), "{report:#?}");
    assert_eq!((report.found["product.link"], world.linked().await), (620, 620));
    assert_eq!(report.done + report.skipped, report.events, "it ends when its events have: {report:#?}");
    let after = world.web_job("reconcile").await;
    assert_eq!(summary(&after).events, 0, "{after:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_product_that_cannot_be_read_never_blocks_its_neighbours_nor_passes_for_deleted() {
    // What fails is given up soon.
    let schedule = vec![std::time::Duration::from_millis(20)];
    let world = webs_with(Setup { schedule, ..Setup::default() }, 1).await;
    world.sandbox.stop_webhooks();
    let products: Vec<u64> = (1..=3).map(|number| world.on_pos(&format!("P-{number}"), 1_000, number)).collect();
    for number in 1..=3 {
        world.on_web(1, &format!("P-{number}"), 1_000, 0);
    }
    assert!(!summary(&world.web_job("import").await).failed());
    world.sandbox.omni().change_product(products[1], |product| product["id"] = json!(null)).unwrap();
    world.sandbox.omni().set_stock(world.pos_variant("P-3"), 58_001, 9).unwrap();
    let job = world.web_job("reconcile").await;
    let rows = world.sorted_rows(&job).await;
    // Nothing tells which one it is, so the one that was not met is looked up, in vain.
    let mut expected = vec![
        row("product", "", "error", "unreadable"),
        row("product", products[1], "update", "not_met"),
        row("product", "P-3", "update", "differs"),
    ];
    expected.sort();
    assert_eq!(rows, expected);
    let link = world.web_link(1, world.pos_variant("P-3")).await.unwrap();
    world.assert_shown(1, link.channel_id.parse().unwrap(), 9, 1_000);
    let name = web_connection(1);
    let kept = world.store().variants_of_product(&name, Side::Sapo, &products[1].to_string()).await.unwrap();
    assert_eq!((kept.len(), kept[0].state.as_str()), (1, "linked"), "what cannot be read is not deleted");
    world.finish(&["dead:unreadable_answer"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_wakes_the_orders_that_wait_for_a_link() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    let web = world.sandbox.web(&web_alias(1));
    world.on_pos("AO-1", 120_000, 50);
    let variants = vec![web_variant("AO-1", 120_000, 50), web_variant("AO-2", 120_000, 50)];
    let first = world.add_on_web(1, "Áo", variants);
    let order = PlaceWebOrder { lines: vec![(first, Decimal::ONE)], ..PlaceWebOrder::default() };
    let _made: u64 = web.place_order(order);
    let job = world.web_job("import").await;
    let report = summary(&job);
    assert_eq!(report.found["order.create"], 1, "{report:#?}");
    world.quiet().await;
    assert_eq!(world.sandbox.omni().orders().len(), 1, "{:#?}", world.events().await);
    // Nothing is left to be found by a second one.
    let again = summary(&world.web_job("import").await);
    assert_eq!((again.events, world.sandbox.omni().orders().len()), (0, 1), "{again:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_gives_less_than_it_counts_deletes_nothing() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    for number in 1..=3 {
        world.on_pos(&format!("P-{number}"), 1_000, 0);
        world.on_web(1, &format!("P-{number}"), 1_000, 0);
    }
    assert!(!summary(&world.web_job("import").await).failed());
    world.sandbox.faults().api(hold(Api::Web, "products/count$", 0, "count"));
    let job = world.store().add_job("reconcile", &web_connection(1), "{}").await.unwrap();
    world.sandbox.faults().reached("count").await;
    let web = world.sandbox.web(&web_alias(1));
    let gone = web.product_ids()[0];
    web.delete_product(gone).unwrap();
    world.sandbox.clear_calls();
    world.sandbox.faults().release("count");
    let job = world.job_ended(&job.id).await;
    assert_eq!(world.sorted_rows(&job).await, vec![row("product", "", "skip", "incomplete")]);
    assert_eq!((summary(&job).events, world.sandbox.call_count(Api::Web, "GET", "products/")), (0, 0));

    let job = world.web_job("reconcile").await;
    let rows = world.sorted_rows(&job).await;
    assert!(rows.contains(&row("product", gone, "update", "not_met")), "{rows:#?}");
    assert!(rows.contains(&row("product", "P-1", "error", "gone_on_channel")), "{rows:#?}");
    world.finish(&[]).await;
}
