//! Products of POS and webs: what is linked when, what a change costs, and what deletions, renames and refusals leave.

use bytes::Bytes;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::linking::Side;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault};
use sapo_sync::store::links::LinkKind;
use serde_json::json;

use crate::harness::{World, dong};
use crate::web_orders::{on_pos, order_of, place};
use crate::web_world::{web_alias, web_connection, web_variant, webs};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_product_on_either_side_is_linked_by_its_sku_and_gets_stock_and_price_at_once() {
    let world = webs(2, "").await;
    let first = world.on_web(1, "AT-S", 1, 1);
    world.quiet().await;
    let product = world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    world.assert_shown(1, first, 7, 2_000);
    assert_eq!(world.web_outcome(1, product).await.1, "linked");
    let (outcome, code, story) = world.web_outcome(2, product).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("skipped", "not_linked"));
    assert!(story.contains("AT-S is not on the web"), "{story}");

    // The other web brings it later.
    let second = world.on_web(2, "AT-S", 1, 1);
    world.quiet().await;
    world.assert_shown(2, second, 7, 2_000);
    let last = world.web_events_of(2, product).await.pop().unwrap();
    assert_eq!((last.topic.as_str(), last.outcome.as_str()), ("link", "done"));
    assert_eq!((world.web_writes(1).len(), world.web_writes(2).len()), (2, 2), "one for stock, one for the price");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_link_whose_sides_agree_costs_no_call_and_neither_do_echoes_and_unchanged_states() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 2_000, 7);
    let product = world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    assert_eq!(world.web_writes(1).len(), 0, "{:#?}", world.web_writes(1));
    assert!(world.web_link(1, world.pos_variant("AT-S")).await.is_some());

    // Which location is the web's is asked once.
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 5).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 6).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 6, 2_000);
    // The web tells us what we have done: nothing is called because of it.
    let alias = web_alias(1);
    assert_eq!(world.sandbox.web_call_count(&alias, "", ""), 1, "{:#?}", world.sandbox.calls());
    world.sandbox.clear_calls();
    world.sandbox.omni().change_product(product, |shape| shape["description"] = "khác".into()).unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.web_call_count(&alias, "", ""), 0, "{:#?}", world.sandbox.calls());
    assert_eq!(world.web_outcome(1, product).await.1, "unchanged");
    world.finish(&[]).await;
}

/// An event of our own for a POS product.
fn own_event(world: &World, product: u64, topic: &str, body: &serde_json::Value) -> Event {
    let key = ObjectKey {
        connection: web_connection(1),
        source: System::Omni,
        kind: Kind::Product,
        object_id: product.to_string(),
    };
    let (store, now) = (world.sandbox.config().alias.clone(), world.store().clock().now());
    Event::new(key, store, topic, Shape::Id, now, Bytes::from(body.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn syncing_now_pushes_the_variants_it_names_whatever_was_pushed_before() {
    let world = webs(1, "").await;
    let pair = |skus: [&str; 2]| skus.map(|sku| web_variant(sku, 1_000, 5)).to_vec();
    let there = world.add_on_web(1, "Áo", pair(["AT-S", "AT-M"]));
    let variants = json!([{"sku": "AT-S", "retail": 1_000, "stock": {"58001": 5}},
        {"sku": "AT-M", "option": "M", "retail": 1_000, "stock": {"58001": 5}}]);
    let product = world.sandbox.omni().add_product(&json!({"name": "Áo", "variants": variants})).unwrap();
    world.quiet().await;
    assert_eq!(world.web_writes(1).len(), 0);
    // Changed on the web, and nobody is told.
    world.sandbox.stop_webhooks();
    world.sandbox.web(&web_alias(1)).set_stock(there, 1).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    let named = json!({"variants": [world.pos_variant("AT-S").to_string()]});
    world.publish(&own_event(&world, product, "sync", &named)).await;
    world.quiet().await;
    world.assert_shown(1, there, 5, 1_000);
    assert_eq!(world.web_writes(1).len(), 2, "stock and price of the one: {:#?}", world.web_writes(1));
    assert_eq!(world.web_outcome(1, product).await.1, "pushed");
    world.publish(&own_event(&world, product, "sync", &json!({}))).await;
    world.quiet().await;
    assert_eq!(world.web_writes(1).len(), 6, "stock and price of both, again");
    assert_eq!(world.web_outcome(1, product).await.1, "pushed");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_variant_of_a_hundred_that_the_web_refuses_blocks_none_and_is_mended_by_a_replay() {
    let world = webs(1, "").await;
    let web = world.sandbox.web(&web_alias(1));
    let sku = |number: usize| format!("V-{number:03}");
    let there = (0..100).map(|number| web_variant(&sku(number), 1_000, 1)).collect();
    let first = world.add_on_web(1, "Nhiều", there);
    let ids: Vec<u64> = (0..100).map(|number| web.variant_by_sku(&sku(number))[0]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids[0], first);
    web.refuse_variant(ids[40], true);
    world.quiet().await;
    let variants: Vec<_> = (0..100)
        .map(|number| json!({"sku": sku(number), "option": number.to_string(), "retail": 1_000, "stock": {"58001": 8}}))
        .collect();
    let product = world.sandbox.omni().add_product(&json!({"name": "Nhiều", "variants": variants})).unwrap();
    world.quiet().await;
    for (number, id) in ids.iter().enumerate() {
        world.assert_shown(1, *id, if number == 40 { 1 } else { 8 }, 1_000);
    }
    let link = world.web_link(1, world.pos_variant(&sku(40))).await.unwrap();
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("refused")));
    let in_error =
        world.store().variants_of_product(&web_connection(1), Side::Sapo, &product.to_string()).await.unwrap();
    let in_error: Vec<String> = in_error.into_iter().filter(|row| row.state == "error").map(|row| row.sku).collect();
    assert_eq!(in_error, [sku(40)]);
    let dead = world.dead().await;
    assert!(dead.len() == 1 && dead[0].reason.contains("V-040") && dead[0].reason.contains("1 of 100"), "{dead:#?}");

    web.refuse_variant(ids[40], false);
    world.sandbox.clear_calls();
    world.replay(&dead[0]).await;
    world.quiet().await;
    world.assert_shown(1, ids[40], 8, 1_000);
    assert_eq!(world.web_writes(1).len(), 1, "the others are left as they are");
    let link = world.web_link(1, world.pos_variant(&sku(40))).await.unwrap();
    assert_eq!((link.state.as_str(), link.code), ("linked", None));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_on_the_pos_leaves_the_web_as_it_is_and_is_believed_only_after_a_read() {
    let world = webs(1, "").await;
    let web = world.sandbox.web(&web_alias(1));
    let there = world.on_web(1, "AT-S", 1_000, 5);
    let product = world.on_pos("AT-S", 1_000, 5);
    world.quiet().await;
    let variant = world.pos_variant("AT-S");
    let mut rumour = own_event(&world, product, "products/delete", &json!({"id": product}));
    rumour.shape = Shape::Gone;
    world.publish(&rumour).await;
    world.quiet().await;
    assert_eq!(world.web_link(1, variant).await.unwrap().state, "linked");

    let before = web.variant(there);
    world.sandbox.omni().delete_product(product).unwrap();
    world.quiet().await;
    let link = world.web_link(1, variant).await.unwrap();
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("deleted")));
    assert_eq!(world.web_outcome(1, product).await.1, "deleted");
    assert_eq!(web.variant(there), before);
    assert_eq!(world.web_writes(1).len(), 0);

    // Made again with the same SKU, it takes the place.
    let again = world.on_pos("AT-S", 2_000, 3);
    world.quiet().await;
    world.assert_shown(1, there, 3, 2_000);
    assert_eq!(world.web_outcome(1, again).await.1, "linked");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_back_under_its_old_ids_is_linked_again_and_the_orders_that_waited_for_it_go() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 1_000, 5);
    let product = world.on_pos("AT-S", 1_000, 5);
    world.quiet().await;
    let variant = world.pos_variant("AT-S");
    // For a while the POS says that there is no such product.
    world.sandbox.faults().api(ApiFault {
        api: Api::Omni,
        method: Some("GET".into()),
        path: format!("products/{product}$"),
        skip: 0,
        times: u32::MAX,
        effect: ApiEffect::Status { code: 404, retry_after: None },
    });
    let mut deleted = own_event(&world, product, "products/delete", &json!({"id": product}));
    deleted.shape = Shape::Gone;
    world.publish(&deleted).await;
    world.quiet().await;
    assert_eq!(world.web_link(1, variant).await.unwrap().code.as_deref(), Some("deleted"));
    let (_, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].cause.as_str()), (1, "unlinked_product"), "{parked:#?}");
    assert!(world.sandbox.omni().orders().is_empty());

    world.sandbox.faults().clear();
    world.sandbox.omni().set_stock(variant, 58_001, 3).unwrap();
    world.quiet().await;
    let link = world.web_link(1, variant).await.unwrap();
    assert_eq!((link.state.as_str(), link.code, link.channel_id), ("linked", None, there.to_string()));
    world.assert_shown(1, there, 3, 1_000);
    assert_eq!(on_pos(&world, 1, &name)["order_line_items"][0]["variant_id"], variant);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_on_the_web_is_an_error_that_harms_nothing_else_told_or_not() {
    for told in [true, false] {
        let world = webs(2, "").await;
        let web = world.sandbox.web(&web_alias(1));
        let pair = ["AT-S", "AT-M"].map(|sku| web_variant(sku, 1_000, 5)).to_vec();
        world.add_on_web(1, "Áo", pair);
        let other = world.on_web(2, "AT-S", 1_000, 5);
        let home = web.product_ids()[0];
        let kept = web.variant_by_sku("AT-M")[0]["id"].as_u64().unwrap();
        let gone = web.variant_by_sku("AT-S")[0]["id"].as_u64().unwrap();
        let variants = json!([{"sku": "AT-S", "retail": 1_000, "stock": {"58001": 5}},
            {"sku": "AT-M", "option": "M", "retail": 1_000, "stock": {"58001": 5}}]);
        let product = world.sandbox.omni().add_product(&json!({"name": "Áo", "variants": variants})).unwrap();
        world.quiet().await;
        let before = world.sandbox.omni().product(product).unwrap();
        if !told {
            world.sandbox.stop_webhooks();
        }
        web.delete_variant(gone).unwrap();
        world.quiet().await;
        world.sandbox.send_webhooks_to(&world.url());
        assert_eq!(world.sandbox.omni().product(product).unwrap(), before, "the POS is left alone");
        for sku in ["AT-S", "AT-M"] {
            world.sandbox.omni().set_stock(world.pos_variant(sku), 58_001, 2).unwrap();
        }
        world.quiet().await;
        world.assert_shown(1, kept, 2, 1_000);
        world.assert_shown(2, other, 2, 1_000);
        let link = world.web_link(1, world.pos_variant("AT-S")).await.unwrap();
        assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("gone_on_channel")), "told: {told}");
        assert_eq!(world.web_link(1, world.pos_variant("AT-M")).await.unwrap().state, "linked");

        // The whole product goes, and comes again under new ids.
        web.delete_product(home).unwrap();
        world.quiet().await;
        let link = world.web_link(1, world.pos_variant("AT-M")).await.unwrap();
        assert_eq!(link.code.as_deref(), Some("gone_on_channel"));
        let again = world.on_web(1, "AT-S", 1, 1);
        world.quiet().await;
        world.assert_shown(1, again, 2, 1_000);
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_renamed_on_either_side_keeps_its_link_and_is_flagged() {
    let world = webs(2, "").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let there = [world.on_web(1, "AT-S", 1_000, 5), world.on_web(2, "AT-S", 1_000, 5)];
    let product = world.on_pos("AT-S", 1_000, 5);
    let variant = world.pos_variant("AT-S");
    world.quiet().await;
    web.set_sku(there[0], "AT-S-WEB").unwrap();
    world.quiet().await;
    let row = async |web: usize| {
        world.store().variant(&web_connection(web), Side::Sapo, &variant.to_string()).await.unwrap().unwrap()
    };
    assert_eq!((row(1).await.state.as_str(), row(1).await.code.as_deref()), ("linked", Some("renamed")));
    assert_eq!((row(2).await.state.as_str(), row(2).await.code.as_deref()), ("linked", None));
    omni.set_sku(variant, "AT-S-MOI").unwrap();
    omni.set_stock(variant, 58_001, 3).unwrap();
    world.quiet().await;
    for web in [1, 2] {
        assert_eq!((row(web).await.state.as_str(), row(web).await.code.as_deref()), ("linked", Some("renamed")));
        world.assert_shown(web, there[web - 1], 3, 1_000);
    }
    // The old SKU is free for another, which does not take the linked one's place.
    let other = world.on_pos("AT-S", 9_000, 1);
    world.quiet().await;
    world.assert_shown(1, there[0], 3, 1_000);
    world.assert_shown(2, there[1], 3, 1_000);
    assert_eq!(world.web_outcome(2, other).await.1, "not_linked");
    let links = world.store().links_of_product(&web_connection(2), &product.to_string()).await.unwrap();
    assert_eq!(links[0].channel_id, there[1].to_string());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_a_web_has_twice_is_linked_with_neither_until_one_is_left() {
    let world = webs(1, "").await;
    let web = world.sandbox.web(&web_alias(1));
    let (one, other) = (world.on_web(1, "DUP", 1, 1), world.on_web(1, "DUP", 2, 2));
    world.quiet().await;
    let product = world.on_pos("DUP", 1_000, 9);
    world.quiet().await;
    let (outcome, code, story) = world.web_outcome(1, product).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("skipped", "not_linked"));
    assert!([one, other].iter().all(|id| story.contains(&id.to_string())), "{story}");
    assert_eq!(world.web_writes(1).len(), 0);
    web.set_sku(other, "DUP-2").unwrap();
    world.quiet().await;
    world.assert_shown(1, one, 9, 1_000);
    world.assert_shown(1, other, 2, 2);
    // One that turns up later breaks no link.
    let third = world.on_web(1, "DUP", 3, 3);
    world.sandbox.omni().set_price(world.pos_variant("DUP"), dong(1_500)).unwrap();
    world.quiet().await;
    world.assert_shown(1, one, 9, 1_500);
    world.assert_shown(1, third, 3, 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walks_event_is_compared_with_what_the_walk_has_read_and_pushes_only_what_differs() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 1_000, 5);
    let product = world.on_pos("AT-S", 1_000, 5);
    world.quiet().await;
    let forced = || {
        let mut event = own_event(&world, product, "reconcile", &json!({}));
        event.force = true;
        event
    };
    world.publish(&forced()).await;
    world.quiet().await;
    assert_eq!(world.web_writes(1).len(), 0);
    world.sandbox.web(&web_alias(1)).set_stock(there, 1).unwrap();
    world.quiet().await;
    world.publish(&forced()).await;
    world.quiet().await;
    world.assert_shown(1, there, 5, 1_000);
    assert_eq!(world.web_writes(1).len(), 1);
    let link = world.store().link_by_channel(&web_connection(1), LinkKind::Product, &there.to_string()).await.unwrap();
    assert_eq!(link.unwrap().pushed.as_deref(), Some(r#"{"stock":5,"price":"1000"}"#));
    world.finish(&[]).await;
}
