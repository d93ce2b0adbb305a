//! Reconcile of a web: what webhooks of either side missed is found by comparing both real sides, mended, and counted.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, PlaceWebOrder, WebhookEffect, WebhookFault};
use sapo_sync::sync::jobs::Summary;

use crate::harness::{World, dong};
use crate::import::summary;
use crate::web_import::row;
use crate::web_world::{web_alias, web_connection, webs};

const SETTINGS: &str = "order_branch = 58001\nstaff = 72001\nsource = 387002\npayment_method = 220001";

/// Loses every webhook of both sides from now on.
fn drop_all(world: &World) {
    for api in [Api::Omni, Api::Web] {
        world.sandbox.faults().webhook(WebhookFault {
            api,
            topic: String::new(),
            skip: 0,
            times: u32::MAX,
            effect: WebhookEffect::Drop,
        });
    }
}

/// The findings that are more than "equal" or "skip".
fn acts(report: &Summary) -> BTreeMap<&str, u64> {
    let idle = |name: &str| name.split_once('.').is_some_and(|(_, action)| matches!(action, "equal" | "skip"));
    report.found.iter().filter(|(name, _)| !idle(name)).map(|(name, count)| (name.as_str(), *count)).collect()
}

/// A product on both sides, linked and equal; its variants there and here.
async fn pair(world: &World, sku: &str) -> (u64, u64) {
    let there = world.on_web(1, sku, 10_000, 10);
    world.on_pos(sku, 10_000, 10);
    world.quiet().await;
    let here = world.pos_variant(sku);
    assert!(world.web_link(1, here).await.is_some(), "{sku} is linked");
    (there, here)
}

fn order(world: &World, variant: u64) -> u64 {
    let lines = vec![(variant, Decimal::ONE)];
    world.sandbox.web(&web_alias(1)).place_order(PlaceWebOrder { lines, ..PlaceWebOrder::default() })
}

/// The orders on the POS that were made of a web's.
fn on_pos(world: &World, order: u64) -> Vec<serde_json::Value> {
    let order = world.sandbox.web(&web_alias(1)).order(order).unwrap();
    world.sandbox.omni().order_by_reference(order["name"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_mends_what_webhooks_of_both_sides_missed_and_counts_it() {
    let world = webs(1, SETTINGS).await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let mut pairs = BTreeMap::new();
    for number in 1..=5 {
        let sku = format!("P-{number}");
        pairs.insert(number, pair(&world, &sku).await);
    }
    let cancelled = order(&world, pairs[&1].0);
    let paid = order(&world, pairs[&1].0);
    world.quiet().await;
    // Its sales moved the web's own stock, which the POS does not know of.
    let _settled = summary(&world.web_job("reconcile").await);
    let calm = summary(&world.web_job("reconcile").await);
    assert_eq!((calm.events, acts(&calm)), (0, BTreeMap::new()), "{calm:#?}");

    drop_all(&world);
    omni.set_price(pairs[&1].1, dong(20_000)).unwrap();
    omni.set_stock(pairs[&2].1, 58_001, 3).unwrap();
    web.set_stock(pairs[&3].0, 77).unwrap();
    world.on_pos("NEW", 5_000, 4);
    let new = world.on_web(1, "NEW", 1, 1);
    world.on_web(1, "P-5", 1, 1);
    web.cancel_order(cancelled).unwrap();
    web.set_paid(paid).unwrap();
    world.sandbox.faults().clear();
    world.quiet().await;
    assert!(world.web_link(1, world.pos_variant("NEW")).await.is_none(), "nobody has heard of anything");

    world.sandbox.clear_calls();
    let job = world.web_job("reconcile").await;
    world.quiet().await;
    let report = summary(&job);
    let mut found = acts(&report);
    // The POS's order that a cancellation has just reached may be met again by the same walk.
    let again = found.get("order.update").map_or(0, |orders| orders - 2);
    found.insert("order.update", 2);
    let expected =
        BTreeMap::from([("order.update", 2), ("product.link", 1), ("product.update", 3), ("web product.error", 1)]);
    assert_eq!(found, expected, "{:#?}", world.sorted_rows(&job).await);
    assert!(again <= 1 && report.done == 6, "{report:#?}");
    world.assert_shown(1, pairs[&1].0, 10, 20_000);
    world.assert_shown(1, pairs[&2].0, 3, 10_000);
    world.assert_shown(1, pairs[&3].0, 10, 10_000);
    world.assert_shown(1, new, 4, 5_000);
    assert_eq!(on_pos(&world, cancelled)[0]["status"], "cancelled");
    assert_eq!(on_pos(&world, paid)[0]["payment_status"], "paid");
    assert!(world.web_link(1, pairs[&5].1).await.unwrap().code.is_none(), "a newcomer breaks no link");
    let statuses: Vec<String> = world
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.api == Api::Web && call.path == "orders")
        .map(|call| call.query)
        .collect();
    for status in ["open", "closed", "cancelled"] {
        assert!(statuses.iter().any(|query| query.contains(&format!("status={status}"))), "{statuses:?}");
    }
    assert!(statuses.iter().all(|query| !query.contains("any")), "{statuses:?}");

    world.sandbox.clear_calls();
    let after = summary(&world.web_job("reconcile").await);
    assert_eq!((after.events, world.web_writes(1).len()), (0, 0), "nothing is left to find: {after:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_the_web_by_hand_is_put_right_by_one_call() {
    let world = webs(1, "").await;
    let (there, here) = pair(&world, "P-1").await;
    let (other, _) = pair(&world, "P-2").await;
    let web = world.sandbox.web(&web_alias(1));
    web.set_stock(there, 99).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 99, 10_000);
    world.sandbox.clear_calls();
    let job = world.web_job("reconcile").await;
    assert_eq!(world.sorted_rows(&job).await, vec![row("product", "P-1", "update", "differs")]);
    let writes = world.web_writes(1);
    assert_eq!((writes.len(), world.writing_calls(Api::Omni)), (1, 0), "{writes:#?}");
    world.assert_shown(1, there, 10, 10_000);
    world.assert_shown(1, other, 10, 10_000);
    // What was pushed last says the same as before: only the real other side tells.
    assert!(world.web_link(1, here).await.unwrap().pushed.is_some());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_nobody_told_of_are_swept_after_a_read_and_the_web_is_left_alone() {
    let world = webs(1, "").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let mut variants = Vec::new();
    for sku in ["KEPT", "GONE-POS", "GONE-WEB"] {
        variants.push(pair(&world, sku).await);
    }
    drop_all(&world);
    let product = |name: &str| {
        let all = omni.products();
        all.iter().find(|product| product["name"] == name).unwrap()["id"].as_u64().unwrap()
    };
    let gone_on_pos = product("GONE-POS");
    omni.delete_product(gone_on_pos).unwrap();
    let gone_on_web = web.variant(variants[2].0).unwrap()["product_id"].as_u64().unwrap();
    web.delete_product(gone_on_web).unwrap();
    world.sandbox.faults().clear();
    world.sandbox.clear_calls();
    let job = world.web_job("reconcile").await;
    let mut expected = vec![
        row("product", gone_on_pos, "update", "not_met"),
        row("product", gone_on_web, "update", "not_met"),
        row("product", "GONE-POS", "error", "deleted"),
        row("product", "GONE-WEB", "error", "gone_on_channel"),
    ];
    expected.sort();
    assert_eq!(world.sorted_rows(&job).await, expected);
    assert_eq!(world.web_writes(1).len(), 0, "{:#?}", world.web_writes(1));
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", &format!("products/{gone_on_pos}$")), 1);
    assert!(web.variant(variants[1].0).is_some(), "deleted on the POS: the web keeps it");
    for (at, code) in [(0, None), (1, Some("deleted")), (2, Some("gone_on_channel"))] {
        let link = world.web_link(1, variants[at].1).await.unwrap();
        assert_eq!(link.code.as_deref(), code, "{link:#?}");
    }

    let after = world.web_job("reconcile").await;
    assert_eq!(summary(&after).events, 0, "known to be gone, they are not read again: {after:#?}");
    // Made again with the same SKU, it takes the place of what was deleted.
    omni.add_product(&serde_json::json!({"name": "AGAIN", "variants": [{"sku": "GONE-POS", "retail": 10_000, "stock": {"58001": 2}}]}))
        .unwrap();
    world.quiet().await;
    world.assert_shown(1, variants[1].0, 2, 10_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_from_one_side_after_the_other_was_lost_is_swept_too_and_nothing_is_left_of_it() {
    for pos_first in [true, false] {
        let world = webs(1, "").await;
        let (_, here) = pair(&world, "P-1").await;
        let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
        let (on_pos, on_web) = (omni.product_ids()[0], web.product_ids()[0]);
        world.sandbox.stop_webhooks();
        let lose = |pos: bool| if pos { omni.delete_product(on_pos) } else { web.delete_product(on_web) };
        lose(pos_first).unwrap();
        let _lost = summary(&world.web_job("reconcile").await);
        let code = if pos_first { "deleted" } else { "gone_on_channel" };
        assert_eq!(world.web_link(1, here).await.unwrap().code.as_deref(), Some(code));
        lose(!pos_first).unwrap();
        let job = world.web_job("reconcile").await;
        let second = if pos_first { on_web } else { on_pos };
        assert_eq!(world.sorted_rows(&job).await, vec![row("product", second, "update", "not_met")], "{code} first");
        assert!(world.web_link(1, here).await.is_none(), "{code} first");
        assert_eq!(world.store().count_variants(&web_connection(1), None).await.unwrap(), [], "{code} first");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_orders_are_made_once() {
    let world = webs(1, SETTINGS).await;
    let (there, _) = pair(&world, "P-1").await;
    drop_all(&world);
    let open = order(&world, there);
    let archived = order(&world, there);
    let never = order(&world, there);
    let web = world.sandbox.web(&web_alias(1));
    web.close_order(archived).unwrap();
    web.cancel_order(never).unwrap();
    let old = PlaceWebOrder {
        lines: vec![(there, Decimal::ONE)],
        created_on: Some("2026-01-02T03:04:05Z".to_owned()),
        ..PlaceWebOrder::default()
    };
    web.place_order(old);
    world.sandbox.faults().clear();
    let plan = world.web_job("plan").await;
    assert_eq!(summary(&plan).found["order.create"], 2);
    assert!(world.sandbox.omni().orders().is_empty());
    let report = summary(&world.web_job("reconcile").await);
    world.quiet().await;
    assert_eq!(report.found["order.create"], 2, "{report:#?}");
    assert_eq!((on_pos(&world, open).len(), on_pos(&world, archived).len(), on_pos(&world, never).len()), (1, 1, 0));
    assert_eq!(world.sandbox.omni().orders().len(), 2, "nothing from before the start line");
    for _ in 0..2 {
        let again = summary(&world.web_job("reconcile").await);
        world.quiet().await;
        assert!(!again.found.contains_key("order.create"), "{again:#?}");
        assert_eq!(world.sandbox.omni().orders().len(), 2);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_one_web_says_nothing_of_another() {
    let world = webs(2, "").await;
    world.sandbox.stop_webhooks();
    world.on_pos("P-1", 10_000, 10);
    let (first, second) = (world.on_web(1, "P-1", 1, 1), world.on_web(2, "P-1", 1, 1));
    assert!(!summary(&world.web_job("import").await).failed());
    world.assert_shown(1, first, 10, 10_000);
    world.assert_shown(2, second, 1, 1);
    let job = world.store().add_job("import", &web_connection(2), "{}").await.unwrap();
    let report = summary(&world.job_ended(&job.id).await);
    assert_eq!((report.events, report.found["product.link"]), (1, 1));
    world.assert_shown(2, second, 10, 10_000);
    world.finish(&[]).await;
}
