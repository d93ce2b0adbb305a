//! Many webs of one POS: each at its own pace, each change once, and none held up by another.

use std::time::Duration;

use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{
    Api, ApiEffect, ApiFault, PlaceWebOrder, SandboxConfig, Timing, WebSite, WebhookEffect, WebhookFault,
};
use serde_json::{Value, json};

use crate::harness::{Setup, World, until};
use crate::web_world::{connections, web_alias, web_connection, web_site, web_variant, webs, webs_with};

/// The same SKU on each of so many webs, and on the POS; tells the variants' ids on the webs.
async fn everywhere(world: &World, webs: usize) -> (u64, Vec<u64>) {
    let there = (1..=webs).map(|web| world.on_web(web, "AT-S", 1_000, 5)).collect();
    let product = world.on_pos("AT-S", 1_000, 5);
    world.quiet().await;
    world.sandbox.clear_calls();
    (product, there)
}

fn fault(path: &str, times: u32, effect: ApiEffect) -> ApiFault {
    ApiFault { api: Api::Web, method: None, path: path.into(), skip: 0, times, effect }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_of_the_pos_is_exactly_one_call_at_each_web_that_has_the_sku() {
    let world = webs(3, "").await;
    let (_, there) = everywhere(&world, 3).await;
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 4).unwrap();
    world.quiet().await;
    for (web, id) in (1..=3).zip(there) {
        world.assert_shown(web, id, 4, 1_000);
        let writes = world.web_writes(web);
        assert_eq!(writes.len(), 1, "{writes:#?}");
        assert_eq!(writes[0].path, "inventory_levels/set");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_returns_to_the_old_one_after_a_lost_answer_is_pushed() {
    let world = webs_with(Setup { schedule: vec![Duration::from_hours(1); 6], ..Setup::default() }, 1).await;
    let (_, there) = everywhere(&world, 1).await;
    // The web does not say what became of the call either.
    let effect = WebhookEffect::Drop;
    world.sandbox.faults().webhook(WebhookFault {
        api: Api::Web,
        topic: String::new(),
        skip: 0,
        times: u32::MAX,
        effect,
    });
    world.sandbox.faults().web_api(&web_alias(1), fault("inventory_levels/set", 1, ApiEffect::WorkThenReset));
    let set = |units| world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, units).unwrap();
    set(4);
    world.eventually("the push waits to be tried again", async || world.parked().await.len() == 1).await;
    world.assert_shown(1, there[0], 4, 1_000);
    // It joins what waits, and what is tried again is the old value.
    set(5);
    world.sandbox.webhooks_settled().await;
    let all_wait = async || {
        let rows = world.events().await;
        rows.iter().filter(|row| row.source == "omni" && row.topic == "products/update").count() == 2
    };
    world.eventually("both changes wait", all_wait).await;
    world.store().release_now(None, Some("failing"), None).await.unwrap();
    world.quiet().await;
    world.assert_shown(1, there[0], 5, 1_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_failed_without_an_answer_is_sent_again_the_first_one_and_that_of_a_walk_too() {
    let world = webs(1, "").await;
    let failing = || {
        let effect = ApiEffect::Status { code: 500, retry_after: None };
        world.sandbox.faults().web_api(&web_alias(1), fault("inventory_levels/set", 1, effect));
    };
    let there = world.on_web(1, "AT-S", 1_000, 10);
    failing();
    world.on_pos("AT-S", 1_000, 8);
    world.quiet().await;
    world.assert_shown(1, there, 8, 1_000);

    // Nothing tells us of what the web changes; the walk sees it.
    let effect = WebhookEffect::Drop;
    world.sandbox.faults().webhook(WebhookFault {
        api: Api::Web,
        topic: String::new(),
        skip: 0,
        times: u32::MAX,
        effect,
    });
    world.sandbox.web(&web_alias(1)).set_stock(there, 3).unwrap();
    failing();
    world.run_job_for("reconcile", &web_connection(1)).await;
    world.quiet().await;
    world.assert_shown(1, there, 8, 1_000);
    world.finish(&[]).await;
}

/// Leaves a web's line without room for as long as the test likes, or gives it back.
fn close(world: &World, web: usize, closed: bool) {
    let until = if closed { world.store().clock().now() + 3_600_000 } else { 0 };
    world.running().context().limits.close_until(&format!("web:{}", web_alias(web)), until);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_that_waits_is_one_write_at_each_web_and_the_last_value_stands() {
    const CHANGES: i64 = 50;
    let world = webs(2, "").await;
    let (_, there) = everywhere(&world, 2).await;
    // The second web has no room from the first; at the first web one call is under way when the others come.
    close(&world, 2, true);
    // Its webhook does not wait for the answer that is held.
    world.sandbox.faults().echo_timing(Timing::Before);
    world.sandbox.faults().web_api(&web_alias(1), fault("inventory_levels/set", 1, ApiEffect::Hold("burst".into())));
    let variant = world.pos_variant("AT-S");
    let set = |change: i64| world.sandbox.omni().set_stock(variant, 58_001, 100 + change).unwrap();
    set(1);
    world.sandbox.faults().reached("burst").await;
    close(&world, 1, true);
    (2..=CHANGES).for_each(set);
    world.sandbox.webhooks_settled().await;
    world.sandbox.faults().release("burst");
    let all_wait = async || {
        let parked = world.parked().await;
        let rows = world.events().await;
        let changes = |web| {
            let of_web = rows.iter().filter(|row| row.connection == web_connection(web) && row.source == "omni");
            of_web.filter(|row| row.topic == "products/update").count()
        };
        parked.len() == 2
            && parked.iter().all(|row| row.cause == "throttled")
            && [1, 2].map(changes) == [CHANGES as usize; 2]
    };
    world.eventually("every change was taken, and what is left waits in one row a web", all_wait).await;
    for web in [1, 2] {
        close(&world, web, false);
    }
    world.store().release_now(None, Some("throttled"), None).await.unwrap();
    world.quiet().await;
    for (web, id) in (1..=2).zip(there) {
        world.assert_shown(web, id, 100 + CHANGES, 1_000);
    }
    let writes = [1, 2].map(|web| world.web_writes(web).len());
    assert_eq!(writes, [2, 1], "the one that was under way, and one for all that waited: {:#?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unchanged_repeated_or_our_own_echo_costs_no_call_at_any_web() {
    let world = webs(2, "").await;
    let (product, there) = everywhere(&world, 2).await;
    let omni = world.sandbox.omni();
    // Every webhook three times more: one call a web for one change, and none for the webs' word of it.
    let thrice = WebhookEffect::Duplicate(3);
    for api in [Api::Omni, Api::Web] {
        let (topic, times) = (String::new(), u32::MAX);
        world.sandbox.faults().webhook(WebhookFault { api, topic, skip: 0, times, effect: thrice });
    }
    omni.set_stock(world.pos_variant("AT-S"), 58_001, 4).unwrap();
    world.quiet().await;
    for (web, id) in (1..=2).zip(there) {
        world.assert_shown(web, id, 4, 1_000);
        assert_eq!(world.web_writes(web).len(), 1, "{:#?}", world.web_writes(web));
    }
    world.sandbox.clear_calls();
    omni.change_product(product, |shape| shape["tags"] = "moi".into()).unwrap();
    world.quiet().await;
    omni.set_stock(world.pos_variant("AT-S"), 58_002, 77).unwrap();
    world.quiet().await;
    let calls = world.sandbox.calls();
    assert!(calls.is_empty(), "neither tags nor the stock of a branch that does not count: {calls:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_that_throttles_fails_or_hangs_delays_no_other() {
    for effect in [
        ApiEffect::Status { code: 429, retry_after: Some(1) },
        ApiEffect::Status { code: 500, retry_after: None },
        ApiEffect::Hold("slow".into()),
    ] {
        let world = webs(3, "").await;
        let (_, there) = everywhere(&world, 3).await;
        world.sandbox.faults().web_api(&web_alias(1), fault("", 3, effect.clone()));
        for stock in 1..=3_i64 {
            world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, stock).unwrap();
            for web in [2, 3] {
                let shows = async || world.shown(web, there[web - 1]).0 == stock.into();
                world.eventually("the other webs show the new stock", shows).await;
            }
        }
        world.sandbox.faults().release("slow");
        world.quiet().await;
        for (web, id) in (1..=3).zip(there) {
            world.assert_shown(web, id, 3, 1_000);
        }
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_that_asks_for_a_long_pause_does_not_have_the_pos_left_alone_as_well() {
    let world = webs(2, "").await;
    let (product, there) = everywhere(&world, 2).await;
    let other = world.on_pos("AT-M", 1_000, 5);
    world.on_web(1, "AT-M", 1_000, 5);
    world.quiet().await;
    let long = ApiEffect::Status { code: 429, retry_after: Some(600) };
    world.sandbox.faults().web_api(&web_alias(1), fault("", u32::MAX, long));
    let closed = async || world.store().closed_accounts().await.unwrap().into_keys().collect::<Vec<_>>();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 4).unwrap();
    world.eventually("the first web is left alone", async || closed().await == ["web:webmau1"]).await;
    // This one reads the POS before it finds the web's line closed.
    let reads = || world.sandbox.call_count(Api::Omni, "GET", "products");
    let (before, parked) = (reads(), async |id: u64| {
        world.parked().await.iter().any(|row| row.object_id == id.to_string() && row.cause == "throttled")
    });
    let key = ObjectKey {
        connection: web_connection(1),
        source: System::Omni,
        kind: Kind::Product,
        object_id: other.to_string(),
    };
    let now = world.store().clock().now();
    let mut event = Event::new(key, "cuahangmau", "products/update", Shape::Id, now, "{}".into());
    event.force = true;
    world.publish(&event).await;
    world.eventually("it waits for the web", async || parked(other).await && reads() > before).await;
    assert_eq!(closed().await, ["web:webmau1"], "the POS is not to blame");
    // The other web, which needs reads of the POS too, goes on.
    let key = ObjectKey { connection: web_connection(2), object_id: product.to_string(), ..event.key.clone() };
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 3).unwrap();
    let mut event = Event::new(key, "cuahangmau", "products/update", Shape::Id, now, "{}".into());
    event.force = true;
    world.publish(&event).await;
    world.eventually("the other web shows it", async || world.shown(2, there[1]).0 == 3.into()).await;
    world.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_before_a_web_throttled_is_not_pushed_again() {
    let world = webs(1, "").await;
    let sku = |number: usize| format!("V-{number:02}");
    world.add_on_web(1, "Nhiều", (0..60).map(|number| web_variant(&sku(number), 1_000, 1)).collect());
    world.quiet().await;
    let throttled = ApiEffect::Status { code: 429, retry_after: Some(1) };
    let fault = ApiFault { skip: 40, ..fault("inventory_levels/set", 1, throttled) };
    world.sandbox.faults().web_api(&web_alias(1), fault);
    let variant = |number| json!({"sku": sku(number), "option": sku(number), "retail": 1_000, "stock": {"58001": 7}});
    let variants: Vec<Value> = (0..60).map(variant).collect();
    world.sandbox.omni().add_product(&json!({"name": "Nhiều", "variants": variants})).unwrap();
    world.quiet().await;
    for number in 0..60 {
        let there = &world.sandbox.web(&web_alias(1)).variant_by_sku(&sku(number))[0];
        world.assert_shown(1, there["id"].as_u64().unwrap(), 7, 1_000);
    }
    assert_eq!(world.web_writes(1).len(), 61, "each once, and the one that was not let in");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_that_uninstalls_the_app_stops_alone_and_keeps_its_links() {
    let world = webs(2, "").await;
    let (_, there) = everywhere(&world, 2).await;
    world.sandbox.web(&web_alias(1)).uninstall();
    world.quiet().await;
    let state = async |web: usize| {
        let snapshot = world.store().snapshot().await.unwrap();
        snapshot.connections[&web_connection(web)].connection.state
    };
    assert_eq!((state(1).await, state(2).await), (State::Stopped, State::Active));
    world.running().context().snapshot.refresh().await.unwrap();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 2).unwrap();
    world.quiet().await;
    world.assert_shown(2, there[1], 2, 1_000);
    world.assert_shown(1, there[0], 5, 1_000);
    let link = world.web_link(1, world.pos_variant("AT-S")).await.expect("the link is kept");
    assert_eq!(link.state, "linked");
    world.finish(&[]).await;
}

/// The state of a web's connection, and why.
async fn state_of(world: &World, web: usize) -> (State, Option<String>) {
    let row = world.store().snapshot().await.unwrap().connections[&web_connection(web)].clone();
    (row.connection.state, row.state_reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_any_more_makes_that_web_wait_alone_and_costs_no_further_call() {
    let world = webs(2, "").await;
    let (_, there) = everywhere(&world, 2).await;
    let refused = ApiEffect::Status { code: 401, retry_after: None };
    world.sandbox.faults().web_api(&web_alias(1), fault("", u32::MAX, refused));
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 2).unwrap();
    world.quiet().await;
    world.assert_shown(2, there[1], 2, 1_000);
    let (state, reason) = state_of(&world, 1).await;
    let reason = reason.expect("why");
    assert_eq!(state, State::NoAccess);
    assert!(reason.starts_with("the web webmau1 does not take the access token any more"), "{reason}");
    assert_eq!(state_of(&world, 2).await, (State::Active, None));
    let parked = world.parked().await;
    assert!(
        parked.len() == 1 && parked[0].connection == web_connection(1) && parked[0].cause == "setup",
        "{parked:#?}"
    );

    // What comes now waits, and nobody is asked once more in vain.
    let calls = || world.sandbox.calls().into_iter().filter(|call| call.site.as_deref() == Some("webmau1")).count();
    let before = calls();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 3).unwrap();
    let order = world
        .sandbox
        .web(&web_alias(1))
        .place_order(PlaceWebOrder { lines: vec![(there[0], 1.into())], ..PlaceWebOrder::default() });
    world.quiet().await;
    assert_eq!(calls(), before);
    let parked = world.parked().await;
    assert!(parked.iter().all(|row| row.connection == web_connection(1) && row.cause == "setup"), "{parked:#?}");
    assert!(["product", "order"].iter().all(|kind| parked.iter().any(|row| row.kind == *kind)), "{parked:#?}");
    world.assert_shown(2, there[1], 3, 1_000);

    // A new token makes all of it go on.
    world.sandbox.faults().clear();
    world.apply(&connections(&world.sandbox, (true, true, true), "")).await;
    assert_eq!(state_of(&world, 1).await, (State::Active, None));
    world.quiet().await;
    world.assert_shown(1, there[0], 3, 1_000);
    let name = world.sandbox.web(&web_alias(1)).order(order).unwrap()["name"].clone();
    let made = world.sandbox.omni().orders();
    assert_eq!(made.iter().filter(|made| made["reference_number"] == name).count(), 1);
    let audit = world.store().audit_rows(20).await.unwrap();
    assert!(audit.iter().any(|row| row.action == "no access" && row.subject == web_connection(1)));
    assert!(audit.iter().any(|row| row.action == "connect apply" && row.detail == "tried again"), "{audit:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_whose_token_was_refused_before_it_tells_of_the_uninstalled_app_stops_too() {
    let world = webs(1, "").await;
    everywhere(&world, 1).await;
    let refused = ApiEffect::Status { code: 401, retry_after: None };
    world.sandbox.faults().web_api(&web_alias(1), fault("", u32::MAX, refused));
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 2).unwrap();
    world.quiet().await;
    assert_eq!(state_of(&world, 1).await.0, State::NoAccess);
    world.sandbox.web(&web_alias(1)).uninstall();
    world.quiet().await;
    assert_eq!(state_of(&world, 1).await, (State::Stopped, Some("the app was uninstalled from the shop".to_owned())));
    assert!(world.web_link(1, world.pos_variant("AT-S")).await.is_some(), "its links are kept");
    world.finish(&["parked:setup"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_that_comes_back_is_seen_without_help() {
    let world = webs_with(Setup { recheck: Duration::from_millis(200), ..Setup::default() }, 1).await;
    let (_, there) = everywhere(&world, 1).await;
    let refused = ApiEffect::Status { code: 401, retry_after: None };
    world.sandbox.faults().web_api(&web_alias(1), fault("", u32::MAX, refused));
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 2).unwrap();
    until("the refusal is seen", async || state_of(&world, 1).await.0 == State::NoAccess).await;
    world.sandbox.faults().clear();
    until("access is back", async || state_of(&world, 1).await == (State::Active, None)).await;
    world.quiet().await;
    world.assert_shown(1, there[0], 2, 1_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_while_the_token_is_taken_elsewhere_holds_up_its_own_object_alone() {
    let world = webs(1, "").await;
    let (_, there) = everywhere(&world, 1).await;
    world.on_web(1, "AT-M", 1_000, 5);
    world.on_pos("AT-M", 1_000, 5);
    world.quiet().await;
    let refused = ApiEffect::Status { code: 401, retry_after: None };
    world.sandbox.faults().web_api(&web_alias(1), fault("inventory", 1, refused));
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 2).unwrap();
    until("it is parked", async || world.parked().await.len() == 1).await;
    assert_eq!(state_of(&world, 1).await, (State::Active, None));
    world.sandbox.omni().set_stock(world.pos_variant("AT-M"), 58_001, 3).unwrap();
    until("the other goes on", async || {
        let other = world.sandbox.web(&web_alias(1)).variant_by_sku("AT-M")[0]["id"].as_u64().unwrap();
        world.shown(1, other).0 == 3.into()
    })
    .await;
    world.store().release_now(None, Some("setup"), None).await.unwrap();
    world.quiet().await;
    world.assert_shown(1, there[0], 2, 1_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_missing_is_named_and_what_it_does_not_forbid_still_goes() {
    let scopes = ["read_products", "write_products", "read_inventory", "read_orders", "read_customers"];
    let narrow = WebSite { scopes: scopes.map(str::to_owned).to_vec(), ..web_site(1) };
    let sandbox = SandboxConfig { web_sites: vec![narrow], ..Setup::default().sandbox };
    let world = webs_with(Setup { sandbox, ..Setup::default() }, 2).await;
    let there = [world.on_web(1, "AT-S", 1_000, 5), world.on_web(2, "AT-S", 1_000, 5)];
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    world.assert_shown(1, there[0], 5, 2_000);
    world.assert_shown(2, there[1], 7, 2_000);
    let parked = world.parked().await;
    assert!(parked.len() == 1 && parked[0].cause == "setup", "{parked:#?}");
    assert!(parked[0].reason.contains("write_inventory"), "{parked:#?}");
    let link = world.web_link(1, world.pos_variant("AT-S")).await.unwrap();
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("missing_scope")));
    world.finish(&["parked:setup"]).await;
}
