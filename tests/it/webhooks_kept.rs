//! The webhooks registered at the shops: what is missing is registered, what is old is turned, others' are left alone.

use std::collections::BTreeSet;

use sapo_sync::destination::{OmniClient, WebAccess, WebClient};
use sapo_sync::sandbox::Api;
use sapo_sync::sync::connect::hooks::{self, HookReport, Repair, SideReport};
use serde_json::Value;

use crate::harness::{Setup, World};
use crate::web_world::{connections, web_alias, web_connection, webs, webs_with};

const PUBLIC: &str = "https://sync.example.com";
const OMNI_ADDRESS: &str = "https://sync.example.com/webhooks/omni/cuahangmau";
const WEB_ADDRESS: &str = "https://sync.example.com/webhooks/web/webmau1";

/// Mends what is ours for certain.
const REPAIR: Repair<'static> = Repair::Move { from: &[] };

async fn keep(world: &World, public_url: &str, repair: Repair<'_>) -> HookReport {
    let context = world.running().context();
    let known = context.snapshot.get().unwrap();
    let account = &known.0.connections[&web_connection(1)];
    let store = &known.0.stores[&account.connection.store];
    hooks::keep(context, account, store, public_url, repair).await.unwrap()
}

/// Topics, each with its address.
type Registered = BTreeSet<(String, String)>;

/// Topic and address of all that is registered at the shop and at the web.
fn registered(world: &World) -> (Registered, Registered) {
    let pairs = |hooks: Vec<Value>| {
        let word = |hook: &Value, field: &str| hook[field].as_str().unwrap().to_owned();
        hooks.iter().map(|hook| (word(hook, "topic"), word(hook, "address"))).collect()
    };
    (pairs(world.sandbox.omni().registered_webhooks()), pairs(world.sandbox.web(&web_alias(1)).webhooks()))
}

fn writes(world: &World) -> usize {
    world.sandbox.calls().iter().filter(|call| call.writing).count()
}

fn sides(report: &HookReport) -> (&SideReport, &SideReport) {
    let [shop, web] = report.sides.as_slice() else { panic!("{report:?}") };
    (shop, web)
}

fn clients(world: &World) -> (OmniClient, WebClient) {
    let http = &world.running().context().http;
    let omni = OmniClient::new(http, "cuahangmau", "sandbox-access-token".into(), Some(&world.sandbox.omni_url()));
    let access = WebAccess::Token("sandbox-webmau1-token".into());
    let web = WebClient::new(http, &web_alias(1), access, Some(&world.sandbox.web_url(&web_alias(1))));
    (omni.unwrap(), web.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_by_a_check_and_registered_by_a_repair_once() {
    let world = webs(1, "").await;
    world.sandbox.clear_calls();
    let checked = keep(&world, PUBLIC, Repair::Look).await;
    assert!(!checked.is_right());
    assert_eq!(writes(&world), 0, "a check changes nothing");
    let (shop, web) = sides(&checked);
    assert!(shop.right.is_empty() && web.right.is_empty());
    assert!(web.missing.contains(&"orders/updated".to_owned()) && shop.missing.contains(&"orders/update".to_owned()));
    assert!(!shop.missing.iter().any(|topic| topic.starts_with("customers/")), "customers do not go to a web");
    assert!(shop.summary().ends_with("(not repaired)"), "{}", shop.summary());

    let repaired = keep(&world, PUBLIC, REPAIR).await;
    assert!(sides(&repaired).0.summary().ends_with("(repaired)"));
    let (at_shop, at_web) = registered(&world);
    assert!(at_shop.contains(&("products/update".to_owned(), OMNI_ADDRESS.to_owned())));
    assert!(at_web.contains(&("orders/create".to_owned(), WEB_ADDRESS.to_owned())));
    assert_eq!((at_shop.len(), at_web.len()), (shop.missing.len(), web.missing.len()));

    world.sandbox.clear_calls();
    let again = keep(&world, PUBLIC, REPAIR).await;
    assert!(again.is_right(), "{again:?}");
    assert_eq!((world.sandbox.calls().len(), writes(&world)), (2, 0), "one call a side");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_to_where_we_were_before_is_turned_and_what_others_have_is_left_alone() {
    let world = webs(1, "").await;
    keep(&world, "http://old.example:8080/base/", REPAIR).await;
    let (omni, web) = clients(&world);
    omni.create_webhook("orders/create", "https://other.example/hook").await.unwrap();
    web.create_webhook("orders/create", "https://other.example/webhooks/web/webmau2").await.unwrap();
    // Registered at the new address already: the old one is of no use any more.
    web.create_webhook("orders/create", WEB_ADDRESS).await.unwrap();

    let from = ["old.example".to_owned()];
    let report = keep(&world, PUBLIC, Repair::Move { from: &from }).await;
    let (shop_side, web_side) = sides(&report);
    assert!(shop_side.missing.is_empty() && web_side.missing.is_empty(), "{report:?}");
    assert!(shop_side.moved.contains(&"orders/create".to_owned()));
    assert_eq!(shop_side.moved_from, ["old.example:8080"]);
    assert!(shop_side.elsewhere.is_empty() && web_side.elsewhere.is_empty(), "{report:?}");
    assert_eq!((shop_side.foreign, web_side.foreign), (1, 1));
    assert_eq!(web_side.right, ["orders/create"]);
    let (at_shop, at_web) = registered(&world);
    for (topic, address) in at_shop.iter().chain(&at_web) {
        assert!(!address.contains("old.example"), "{topic} goes to {address}");
    }
    assert!(at_shop.contains(&("orders/create".to_owned(), "https://other.example/hook".to_owned())));
    assert!(at_web.contains(&("orders/create".to_owned(), "https://other.example/webhooks/web/webmau2".to_owned())));
    assert!(keep(&world, PUBLIC, Repair::Look).await.is_right());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installations_webhooks_are_told_by_their_host_and_moved_only_where_it_is_named() {
    let world = webs(1, "").await;
    let other = "https://me:hush@other.example/webhooks/web/webmau1?key=hush";
    let (_, web) = clients(&world);
    web.create_webhook("orders/create", other).await.unwrap();
    // Ours of before, at another path of the same host.
    web.create_webhook("orders/paid", "https://sync.example.com/base/webhooks/web/webmau1").await.unwrap();
    let checked = keep(&world, PUBLIC, Repair::Look).await;
    let side = sides(&checked).1;
    assert_eq!(side.moved, ["orders/paid"]);
    assert_eq!(side.foreign, 1);
    assert_eq!(side.moved_from, ["sync.example.com"]);
    assert_eq!(side.elsewhere, ["other.example"]);
    let told = format!("{} {}", side.summary(), serde_json::to_string(&checked).unwrap());
    assert!(told.contains("--from other.example") && !told.contains("hush"), "{told}");

    keep(&world, PUBLIC, REPAIR).await;
    let there = registered(&world).1;
    assert!(there.contains(&("orders/create".to_owned(), other.to_owned())), "left alone: {there:?}");
    assert!(there.contains(&("orders/create".to_owned(), WEB_ADDRESS.to_owned())), "beside ours: {there:?}");
    let from = ["other.example".to_owned()];
    keep(&world, PUBLIC, Repair::Move { from: &from }).await;
    let there = registered(&world).1;
    assert!(there.iter().all(|(_, address)| address == WEB_ADDRESS), "{there:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_the_shop_lost_comes_back_and_a_switch_adds_its_own() {
    let world = webs(1, "").await;
    world.apply(&connections(&world.sandbox, (true, true, false), "")).await;
    keep(&world, PUBLIC, REPAIR).await;
    let (at_shop, at_web) = registered(&world);
    assert!(!at_shop.iter().any(|(topic, _)| topic.starts_with("orders/")), "orders are off: {at_shop:?}");
    assert!(at_web.iter().any(|(topic, _)| topic == "orders/create"), "the owner sees them all the same");

    assert!(world.sandbox.web(&web_alias(1)).remove_webhook("orders/create"));
    world.apply(&connections(&world.sandbox, (true, true, true), "")).await;
    let report = keep(&world, PUBLIC, REPAIR).await;
    let (shop, web) = sides(&report);
    assert!(shop.missing.contains(&"orders/create".to_owned()));
    assert_eq!(web.missing, ["orders/create"]);
    assert_eq!(world.sandbox.web_call_count(&web_alias(1), "POST", "webhooks"), at_web.len() + 1);
    assert!(world.sandbox.call_count(Api::Omni, "POST", "webhooks") > 0);
    assert!(keep(&world, PUBLIC, Repair::Look).await.is_right());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reconcile_registers_what_is_missing_and_leaves_other_installations_alone() {
    let setup = Setup { public_url: Some(PUBLIC.to_owned()), ..Setup::default() };
    let world = webs_with(setup, 1).await;
    let other = "https://other.example/webhooks/web/webmau1";
    let (_, web) = clients(&world);
    web.create_webhook("orders/create", other).await.unwrap();
    let job = world.run_job_for("reconcile", &web_connection(1)).await;
    let told: Vec<_> = world.job_rows(&job).await.into_iter().filter(|row| row.0 == "webhook").collect();
    assert_eq!(told.len(), 2, "the shop's and the web's: {told:?}");
    let (shop, there) = registered(&world);
    assert!(shop.iter().all(|(_, address)| address == OMNI_ADDRESS) && !shop.is_empty(), "{shop:?}");
    assert!(there.contains(&("orders/create".to_owned(), WEB_ADDRESS.to_owned())), "{there:?}");
    assert!(there.contains(&("orders/create".to_owned(), other.to_owned())), "left alone: {there:?}");
    world.sandbox.web(&web_alias(1)).remove_webhook("orders/updated");
    world.run_job_for("reconcile", &web_connection(1)).await;
    assert_eq!(registered(&world), (shop, there), "what was lost is back");
    world.sandbox.clear_calls();
    let job = world.run_job_for("reconcile", &web_connection(1)).await;
    assert!(world.job_rows(&job).await.iter().all(|row| row.0 != "webhook"));
    assert_eq!(writes(&world), 0);
    world.finish(&[]).await;
}
