//! What becomes of a web's order on the POS after it was made: approved where that is set, cancelled, or left alone.

use sapo_sync::sandbox::{Api, ApiEffect, PlaceWebOrder, WebhookEffect, WebhookFault};
use serde_json::json;

use crate::orders::{fault, writes};
use crate::web_orders::{count, id_of, linked, on_pos, order_link, order_of, place, reason, row, seen};
use crate::web_world::{connections, web_alias, webs};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_order_is_approved_once_where_that_is_set_and_takes_its_stock() {
    let world = webs(1, "approve_orders = true").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.clear_calls();
    let (id, name) = place(&world, 1, order_of(there, 3));
    world.quiet().await;
    let made = on_pos(&world, 1, &name);
    assert_eq!(made["status"], "finalized");
    let approvals = writes(&world, Api::Omni).iter().filter(|path| path.ends_with("/finalize")).count();
    assert_eq!(approvals, 1);
    let link = order_link(&world, 1, id).await;
    assert_eq!((link.state.as_str(), link.sapo_state.as_deref()), ("linked", Some("finalized")));
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    let stock = world.sandbox.omni().product(made["order_line_items"][0]["product_id"].as_u64().unwrap()).unwrap();
    let level = &stock["variants"][0]["inventories"][0];
    assert_eq!(
        (&stock["variants"][0]["id"], &level["available"], &level["on_hand"]),
        (&json!(here), &json!(997), &json!(1_000))
    );
    world.assert_shown(1, there, 997, 120_000);
    // Later states of it approve nothing.
    world.sandbox.clear_calls();
    world.sandbox.web(&web_alias(1)).set_paid(id).unwrap();
    world.quiet().await;
    assert_eq!(writes(&world, Api::Omni), Vec::<String>::new());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_made_before_the_setting_is_left_to_the_clerk() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    world.set_webs("approve_orders = true").await;
    world.sandbox.web(&web_alias(1)).set_paid(id).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_refused_is_an_error_until_it_is_given() {
    let world = webs(1, "approve_orders = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let [by_us, by_clerk] = [1, 2].map(|quantity| {
        fault(&world, Api::Omni, "orders/", 2, ApiEffect::Status { code: 422, retry_after: None });
        place(&world, 1, order_of(there, quantity))
    });
    world.quiet().await;
    assert_eq!(count(&world), 2);
    for (id, name) in [&by_us, &by_clerk] {
        assert_eq!(on_pos(&world, 1, name)["status"], "draft");
        let shown = row(&world, 1, *id).await;
        assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", "to_be_approved"), "{}", shown.reason);
        assert_eq!(reason(&world, 1, *id).await.0, "dead");
    }
    world.sandbox.faults().clear();
    // The clerk's approval is one as well as the next state's.
    world.sandbox.omni().finalize(id_of(&on_pos(&world, 1, &by_clerk.1))).unwrap();
    world.sandbox.web(&web_alias(1)).set_paid(by_us.0).unwrap();
    world.quiet().await;
    for (id, name) in [&by_us, &by_clerk] {
        assert_eq!(on_pos(&world, 1, name)["status"], "finalized");
        assert_eq!(seen(&world, 1, *id).await, ("linked".into(), "linked".into()), "{name}");
    }
    world.finish(&["dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_on_the_web_is_cancelled_on_the_pos_at_any_stage_before_delivery() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    for stage in ["draft", "finalized", "packed", "shipped", "cancelled"] {
        let (id, name) = place(&world, 1, order_of(there, 1));
        world.quiet().await;
        let made = id_of(&on_pos(&world, 1, &name));
        match stage {
            "finalized" => omni.finalize(made).unwrap(),
            "packed" => omni.finalize(made).and_then(|()| omni.pack(made)).unwrap(),
            "shipped" => omni.finalize(made).and_then(|()| omni.ship(made)).unwrap(),
            "cancelled" => omni.cancel(made).unwrap(),
            _ => {}
        }
        world.quiet().await;
        world.sandbox.clear_calls();
        web.cancel_order(id).unwrap();
        world.quiet().await;
        assert_eq!(on_pos(&world, 1, &name)["status"], "cancelled", "{stage}");
        let expected = usize::from(stage != "cancelled");
        assert_eq!(writes(&world, Api::Omni).len(), expected, "{stage}");
        assert_eq!(order_link(&world, 1, id).await.sapo_state.as_deref(), Some("cancelled"));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_order_that_is_cancelled_on_the_web_needs_a_return_slip() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let made = id_of(&on_pos(&world, 1, &name));
    omni.complete(made).unwrap();
    world.quiet().await;
    // Told under one topic alone, it is one letter.
    let (topic, effect) = ("orders/updated".to_owned(), WebhookEffect::Drop);
    world.sandbox.faults().webhook(WebhookFault { api: Api::Web, topic, skip: 0, times: u32::MAX, effect });
    web.cancel_order(id).unwrap();
    world.quiet().await;
    let (outcome, code, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("dead", "needs_return_slip"));
    assert!(why.contains("phiếu trả hàng"), "{why}");
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", "needs_return_slip"));
    assert_eq!(on_pos(&world, 1, &name)["status"], "completed");
    world.finish(&["dead:needs_return_slip"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_on_the_web_is_only_archiving() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    world.sandbox.clear_calls();
    web.close_order(id).unwrap();
    world.quiet().await;
    assert_eq!((on_pos(&world, 1, &name)["status"].clone(), world.sandbox.calls().len()), (json!("draft"), 0));
    // One that was archived before it was heard of is an order all the same.
    world.sandbox.stop_webhooks();
    let (closed, name) = place(&world, 1, order_of(there, 1));
    world.sandbox.send_webhooks_to(&world.url());
    web.close_order(closed).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_an_order_that_the_web_still_has_is_not_believed_and_one_that_was_never_linked_is_skipped() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    // A deletion is believed only after a read.
    let config = world.sandbox.web(&web_alias(1)).config();
    post_web(&world, &config.alias, &config.webhook_secret, "orders/delete", &json!({"id": id})).await;
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    post_web(&world, &config.alias, &config.webhook_secret, "orders/delete", &json!({"id": 999_999})).await;
    world.quiet().await;
    assert_eq!(reason(&world, 1, 999_999).await.1, "gone");
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_deleted_on_the_web_before_it_was_made_is_shown_as_gone_and_never_made() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "MOI-1", 120_000, 5);
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "unlinked_product".into()));
    world.sandbox.web(&web_alias(1)).delete_order(id).unwrap();
    world.quiet().await;
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str(), shown.name), ("unlinked", "gone", name));
    assert!(shown.reason.contains("not on the web any more"), "{}", shown.reason);
    world.on_pos("MOI-1", 120_000, 5);
    world.quiet().await;
    assert_eq!(count(&world), 0);
    assert_eq!(seen(&world, 1, id).await, ("unlinked".into(), "gone".into()));
    world.finish(&[]).await;
}

/// Posts a body as a web does.
async fn post_web(world: &crate::harness::World, alias: &str, secret: &str, topic: &str, body: &serde_json::Value) {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let body = body.to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let answer = crate::wire::client()
        .post(format!("{}/webhooks/web/{alias}", world.url()))
        .header("x-sapo-topic", topic)
        .header("x-sapo-hmac-sha256", signature)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_refused_is_told_and_keeps_no_order_from_being_approved() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    // The payment method was taken away after it had been chosen.
    let settings = "approve_orders = true\npayment_method = 229999";
    world.apply_offline(&connections(&world.sandbox, (true, true, true), settings)).await;
    let order = PlaceWebOrder { financial_status: "paid".to_owned(), ..order_of(there, 1) };
    let (id, name) = place(&world, 1, order);
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "finalized");
    let (outcome, code, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("parked", "setup"), "{why}");
    assert!(why.contains("`payment_method`") && why.contains("229999"), "{why}");
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "setup".into()));
    let link = order_link(&world, 1, id).await;
    assert_eq!((link.code, link.paid), (None, 0));
    world.set_webs("approve_orders = true\npayment_method = 220001").await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["payment_status"], "paid");
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_before_the_approval_only_puts_it_off() {
    let world = webs(1, "approve_orders = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    fault(&world, Api::Omni, "orders/", u32::MAX, ApiEffect::Status { code: 422, retry_after: None });
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    world.sandbox.faults().clear();
    let edit = |order: &mut serde_json::Value, quantity: u64| {
        order["line_items"][0]["quantity"] = quantity.into();
        order["total_price"] = (quantity * 120_000).into();
    };
    web.change_order(id, |order| edit(order, 3)).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft");
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", "to_be_approved"));
    assert!(shown.reason.contains("360.000") && shown.reason.contains("120.000"), "{}", shown.reason);
    web.change_order(id, |order| edit(order, 1)).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "finalized");
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_known_asks_nothing_of_the_pos() {
    let world = webs(1, "payment_method = 220001").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    world.sandbox.clear_calls();
    for (field, word, code) in [
        ("status", "frozen", "unknown_status"),
        ("return_status", "in_process", "unknown_status"),
        ("return_status", "returned", "returned"),
    ] {
        web.change_order(id, |order| {
            (order["status"], order["return_status"]) = (json!("open"), json!("no_return"));
            order[field] = word.into();
            order["financial_status"] = "paid".into();
        })
        .unwrap();
        world.quiet().await;
        assert_eq!(reason(&world, 1, id).await.1, code, "{word}");
    }
    assert_eq!((on_pos(&world, 1, &name)["status"].clone(), writes(&world, Api::Omni).len()), (json!("draft"), 0));
    world.finish(&[]).await;
}
