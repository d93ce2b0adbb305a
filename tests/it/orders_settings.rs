//! Orders for which the settings name what the POS has no more: they wait, tell which setting it is, and go by
//! themselves once it is right.

use sapo_sync::sandbox::{Api, ApiEffect, PlaceAbahaOrder, PlaceWebOrder};
use serde_json::json;

use crate::harness::{Setup, World};
use crate::orders::{counts, fault, linked_product, order_in, place_in, reason, sapo};
use crate::proxy::{Proxy, proxied};
use crate::web_orders::{self, count, linked, on_pos, order_of, place, row, seen};
use crate::web_world::{connections, web_alias, webs};

const ON: (bool, bool, bool) = (true, true, true);

/// Asserts that an Abaha order waits for the setting of this key; why it does.
async fn assert_waits(world: &World, id: u64, key: &str) {
    let (outcome, cause, why) = reason(world, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "setup"), "{why}");
    assert!(why.contains(&format!("`{key}`")) && why.contains("connect apply"), "{why}");
}

/// Asserts that the owner sees a web's order in error, with the key of the setting that is wrong.
async fn assert_shown(world: &World, id: u64, code: &str, key: &str) {
    let shown = row(world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", code), "{}", shown.reason);
    assert!(shown.reason.contains(&format!("`{key}`")), "{}", shown.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_order_whose_branch_was_deleted_waits_for_another_and_then_goes_once() {
    let world = webs(1, "order_branch = 58002").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.omni().remove_branch(58_002).unwrap();
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_shown(&world, id, "setup", "order_branch").await;
    let (outcome, cause, why) = web_orders::reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "setup"));
    assert!(why.contains("58002"), "{why}");
    assert_eq!(row(&world, 1, id).await.reason, why);
    assert_eq!((count(&world), world.sandbox.omni().customers().len()), (0, 0));
    world.set_webs("order_branch = 58001").await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["location_id"], 58_001);
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    assert_eq!((count(&world), world.sandbox.omni().customers().len()), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_that_names_what_is_gone_is_told_and_the_order_goes_once_it_is_right() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    for (settings, keys) in [
        ("source = 389999", vec!["source"]),
        ("staff = 79999", vec!["staff"]),
        ("source = 389999\nstaff = 79999", vec!["source", "staff"]),
        ("walk_in_customer = 3999999", vec!["walk_in_customer"]),
    ] {
        world.apply_offline(&connections(&world.sandbox, ON, settings)).await;
        let (id, name) = place(&world, 1, PlaceWebOrder { customer: None, ..order_of(there, 1) });
        world.quiet().await;
        for key in keys {
            assert_shown(&world, id, "setup", key).await;
        }
        assert!(world.sandbox.omni().order_by_reference(&name).is_empty(), "{settings}");
        world.set_webs("").await;
        world.quiet().await;
        on_pos(&world, 1, &name);
        assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()), "{settings}");
    }
    assert_eq!(count(&world), 4);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_and_a_payment_at_a_deleted_branch_wait_for_another_one() {
    let world = webs(1, "order_branch = 58002\npayment_method = 220001").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (cancelled, cancelled_name) = place(&world, 1, order_of(there, 1));
    let (paid, paid_name) = place(&world, 1, order_of(there, 2));
    world.quiet().await;
    world.sandbox.omni().remove_branch(58_002).unwrap();
    web.cancel_order(cancelled).unwrap();
    web.set_paid(paid).unwrap();
    world.quiet().await;
    for id in [cancelled, paid] {
        assert_shown(&world, id, "setup", "order_branch").await;
    }
    assert_eq!(on_pos(&world, 1, &cancelled_name)["status"], "draft");
    assert_eq!(on_pos(&world, 1, &paid_name)["payment_status"], "unpaid");
    world.set_webs("order_branch = 58001\npayment_method = 220001").await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &cancelled_name)["status"], "cancelled");
    let made = on_pos(&world, 1, &paid_name);
    assert_eq!((&made["payment_status"], made["prepayments"].as_array().unwrap().len()), (&json!("paid"), 1));
    for id in [cancelled, paid] {
        assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_at_a_branch_that_was_deleted_meanwhile_is_given_at_another() {
    let world = webs(1, "order_branch = 58002\napprove_orders = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Hold("answer".into()));
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.sandbox.faults().reached("answer").await;
    world.sandbox.omni().remove_branch(58_002).unwrap();
    world.sandbox.faults().release("answer");
    world.quiet().await;
    assert_shown(&world, id, "to_be_approved", "order_branch").await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft");
    world.set_webs("order_branch = 58001\napprove_orders = true").await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "finalized");
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_is_chosen_an_order_goes_to_the_shops_new_default_branch_by_itself() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.omni().remove_branch(58_001).unwrap();
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["location_id"], 58_002);
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    // Where the shop has none any more, one has to be named.
    world.sandbox.omni().remove_branch(58_002).unwrap();
    let (homeless, _) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_shown(&world, homeless, "setup", "order_branch").await;
    assert_eq!(count(&world), 1);
    world.finish(&["parked:setup"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abaha_order_whose_branch_was_deleted_waits_for_another_and_then_goes_once() {
    let world = World::new().await;
    world.apply(&world.connections(ON, "").replace("branch = 58001", "branch = 58002")).await;
    linked_product(&world, "AT-S").await;
    world.sandbox.omni().remove_branch(58_002).unwrap();
    let (id, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    world.quiet().await;
    assert_waits(&world, id, "branch").await;
    assert_eq!(counts(&world), (0, 1));
    world.apply(&world.connections(ON, "")).await;
    world.quiet().await;
    let made = sapo(&world, &code);
    assert_eq!((&made["location_id"], &made["payment_status"]), (&json!(58_001), &json!("paid")));
    assert_eq!((counts(&world), world.sandbox.omni().customers().len()), ((1, 1), 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_method_is_gone_waits_for_another_and_is_recorded_once() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let file = world.connections(ON, "").replace("payment_method = 220001", "payment_method = 229999");
    world.apply_offline(&file).await;
    let (id, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    world.quiet().await;
    assert_waits(&world, id, "payment_method").await;
    assert_eq!(sapo(&world, &code)["payment_status"], "unpaid");
    world.apply(&world.connections(ON, "")).await;
    world.quiet().await;
    let made = sapo(&world, &code);
    assert_eq!((&made["payment_status"], made["prepayments"].as_array().unwrap().len()), (&json!("paid"), 1));
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_names_no_field_is_explained_by_one_look_at_the_shops_lists() {
    let (world, omni, _) = proxied(Setup::default()).await;
    linked_product(&world, "AT-S").await;
    let file = world.connections(ON, "").replace(&world.sandbox.omni_url(), &omni.url);
    world.apply_offline(&file.replace("source = 387002", "source = 389999")).await;
    omni.edit_answers("/admin/orders.json", |answer| {
        if answer["data_error"].is_object() {
            answer["data_error"]["errors"] = json!({"": "Dữ liệu không tồn tại"});
        }
    });
    let looks = |omni: &Proxy| omni.passed().iter().filter(|call| call.path == "/admin/order_sources.json").count();
    let before = looks(&omni);
    let mut codes = Vec::new();
    for quantity in [1, 2] {
        let (id, code) = place_in(&world, &order_in("AT-S", quantity));
        world.quiet().await;
        assert_waits(&world, id, "source").await;
        assert_eq!(looks(&omni), before + 1, "what was found missing is not looked for again");
        codes.push(code);
    }
    assert_eq!(counts(&world), (0, 2));
    world.apply(&file).await;
    world.quiet().await;
    for code in codes {
        assert_eq!(sapo(&world, &code)["source_id"], 387_002);
    }
    assert_eq!(counts(&world), (2, 2));
    world.finish(&[]).await;
}
