//! Totals, payments and changed lines of a web's orders: exact, never twice, and an error rather than a guess.

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, PlaceWebOrder};
use serde_json::{Value, json};

use crate::harness::dong;
use crate::orders::{decimal, writes};
use crate::proxy::Proxy;
use crate::web_orders::{count, id_of, linked, on_pos, order_link, order_of, place, reason, row, seen};
use crate::web_world::{connections, web_alias, web_connection, webs};

const PAYS: &str = "payment_method = 220001";

fn prepaid(order: &Value) -> Vec<(u64, u64)> {
    let payments = order["prepayments"].as_array().unwrap();
    payments
        .iter()
        .map(|payment| (payment["payment_method_id"].as_u64().unwrap(), payment["amount"].as_u64().unwrap()))
        .collect()
}

fn paid(variant: u64, quantity: i64, word: &str) -> PlaceWebOrder {
    PlaceWebOrder { financial_status: word.to_owned(), ..order_of(variant, quantity) }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_exact_with_discount_and_fee_and_fractions() {
    let world = webs(1, "").await;
    let (_, at_s) = linked(&world, 1, "AT-S").await;
    let (_, at_m) = linked(&world, 1, "AT-M").await;
    for (lines, discount, shipping, total) in [
        (vec![(at_s, "1")], 0, 0, "120000"),
        (vec![(at_s, "2")], 20_000, 30_000, "250000"),
        (vec![(at_s, "2.5"), (at_m, "1")], 1, 15_000, "434999"),
        (vec![(at_s, "0.333")], 0, 0, "39960"),
        (vec![(at_s, "1")], 120_000, 0, "0"),
        (vec![(at_s, "1"), (at_s, "1")], 0, 0, "240000"),
    ] {
        let order = PlaceWebOrder {
            lines: lines.iter().map(|(variant, many)| (*variant, decimal(many))).collect(),
            discount: dong(discount),
            shipping: dong(shipping),
            ..PlaceWebOrder::default()
        };
        let (id, name) = place(&world, 1, order);
        world.quiet().await;
        let made = on_pos(&world, 1, &name);
        assert_eq!(made["total"].to_string().parse::<Decimal>().unwrap(), decimal(total), "{lines:?}");
        assert_eq!(made["order_line_items"].as_array().unwrap().len(), lines.len());
        assert_eq!(order_link(&world, 1, id).await.state, "linked");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stated_total_that_does_not_add_up_creates_nothing_and_shows_both_sums() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    world.sandbox.stop_webhooks();
    let (id, name) = place(&world, 1, order_of(there, 2));
    world.sandbox.send_webhooks_to(&world.url());
    world.sandbox.clear_calls();
    web.change_order(id, |order| order["total_price"] = json!("240001")).unwrap();
    world.quiet().await;
    let (outcome, code, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("dead", "total_mismatch"));
    assert!(why.contains("240.001") && why.contains("240.000"), "{why}");
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.reason), ("error", why));
    assert_eq!((count(&world), writes(&world, Api::Omni).len()), (0, 0));
    // Mended on the web it goes, and the letter is no longer open.
    web.change_order(id, |order| order["total_price"] = json!(240_000)).unwrap();
    world.quiet().await;
    on_pos(&world, 1, &name);
    assert_eq!(seen(&world, 1, id).await.0, "linked");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tax_on_top_of_the_prices_is_told_and_creates_nothing() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.stop_webhooks();
    let (id, _) = place(&world, 1, order_of(there, 2));
    world.sandbox.send_webhooks_to(&world.url());
    let taxed = |order: &mut Value| (order["total_price"], order["total_tax"]) = (json!(264_000), json!(24_000));
    world.sandbox.web(&web_alias(1)).change_order(id, taxed).unwrap();
    world.quiet().await;
    let (_, code, why) = reason(&world, 1, id).await;
    assert_eq!(code, "total_mismatch");
    assert!(["264.000", "240.000", "24.000"].iter().all(|sum| why.contains(sum)), "{why}");
    assert_eq!(count(&world), 0);
    world.finish(&["dead:total_mismatch"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_another_total_is_an_error_of_the_link_and_never_a_second_order() {
    let world = webs(1, "approve_orders = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let omni = Proxy::start(world.sandbox.omni_url()).await;
    let file = connections(&world.sandbox, (true, true, true), "approve_orders = true");
    world.apply(&file.replace(&world.sandbox.omni_url(), &omni.url)).await;
    omni.edit_requests("/admin/orders.json", |body| body["order"]["delivery_fee"] = json!({"fee": 7_000}));
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let link = order_link(&world, 1, id).await;
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("total_mismatch")));
    let why = link.reason.unwrap();
    assert!(why.contains("120.000") && why.contains("127.000"), "{why}");
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "total_mismatch".into()));
    assert_eq!(on_pos(&world, 1, &name)["status"], "draft", "an order in error is not approved");
    world.sandbox.web(&web_alias(1)).set_paid(id).unwrap();
    world.quiet().await;
    assert_eq!(count(&world), 1);
    // It is still the same order: cancelled there, it is cancelled here.
    world.sandbox.web(&web_alias(1)).cancel_order(id).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "cancelled");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_or_fee_changed_after_creation_are_an_error_with_both_totals() {
    let world = webs(1, "").await;
    let (_, at_s) = linked(&world, 1, "AT-S").await;
    let (_, at_m) = linked(&world, 1, "AT-M").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, order_of(at_s, 2));
    world.quiet().await;
    world.sandbox.clear_calls();
    let edit = |order: &mut Value, variant: u64, quantity: u64| {
        order["line_items"][0]["variant_id"] = variant.into();
        order["line_items"][0]["quantity"] = quantity.into();
        order["total_price"] = (quantity * 120_000).into();
    };
    web.change_order(id, |order| edit(order, at_s, 3)).unwrap();
    world.quiet().await;
    let link = order_link(&world, 1, id).await;
    assert_eq!(link.code.as_deref(), Some("order_changed"));
    let why = link.reason.unwrap();
    assert!(why.contains("360.000") && why.contains("240.000"), "{why}");
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "order_changed".into()));
    // Other goods for the same money are a change too; changed back, nothing is wrong any more.
    web.change_order(id, |order| edit(order, at_m, 2)).unwrap();
    world.quiet().await;
    assert_eq!(order_link(&world, 1, id).await.code.as_deref(), Some("order_changed"));
    web.change_order(id, |order| edit(order, at_s, 2)).unwrap();
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    assert_eq!(writes(&world, Api::Omni), Vec::<String>::new(), "the POS cannot change items");
    web.change_order(id, |order| edit(order, at_s, 9)).unwrap();
    web.cancel_order(id).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "cancelled", "what was changed can still be cancelled");
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_adds_the_prepayment_that_is_missing_and_only_once() {
    let world = webs(1, PAYS).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let (at_once, at_once_name) = place(&world, 1, PlaceWebOrder { shipping: dong(30_000), ..paid(there, 2, "paid") });
    let (later, later_name) = place(&world, 1, order_of(there, 1));
    let (here, here_name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(prepaid(&on_pos(&world, 1, &at_once_name)), [(220_001, 270_000)]);
    assert_eq!(prepaid(&on_pos(&world, 1, &later_name)), []);
    // The clerk has taken everything before the web says paid.
    omni.pay(id_of(&on_pos(&world, 1, &here_name))).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    for order in [later, here] {
        web.set_paid(order).unwrap();
    }
    world.quiet().await;
    assert_eq!(prepaid(&on_pos(&world, 1, &later_name)), [(220_001, 120_000)]);
    assert_eq!(prepaid(&on_pos(&world, 1, &here_name)).len(), 1);
    assert_eq!(writes(&world, Api::Omni).len(), 1, "nothing is added where nothing is missing");
    world.sandbox.clear_calls();
    for order in [at_once, later, here] {
        web.change_order(order, |order| order["note"] = "gọi trước khi giao".into()).unwrap();
        web.close_order(order).unwrap();
    }
    world.quiet().await;
    assert_eq!(world.sandbox.calls().len(), 0, "{:?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_in_part_adds_what_came_so_far_and_each_part_once() {
    let world = webs(1, PAYS).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, paid(there, 2, "partially_paid"));
    world.quiet().await;
    assert_eq!(prepaid(&on_pos(&world, 1, &name)), [(220_001, 120_000)]);
    world.sandbox.clear_calls();
    web.change_order(id, |order| order["note"] = "gọi trước".into()).unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.calls().len(), 0, "this part is recorded: {:?}", world.sandbox.calls());
    web.set_partially_paid(id, dong(50_000)).unwrap();
    world.quiet().await;
    assert_eq!(prepaid(&on_pos(&world, 1, &name)), [(220_001, 120_000), (220_001, 50_000)]);
    web.set_paid(id).unwrap();
    world.quiet().await;
    let amounts: Vec<u64> = prepaid(&on_pos(&world, 1, &name)).iter().map(|(_, amount)| *amount).collect();
    assert_eq!(amounts, [120_000, 50_000, 70_000]);
    assert_eq!(order_link(&world, 1, id).await.paid, 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_payment_method_and_for_refunds_and_voids_a_note_is_left() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, paid(there, 1, "paid"));
    world.quiet().await;
    assert!(reason(&world, 1, id).await.2.contains("payment_method"));
    assert_eq!(prepaid(&on_pos(&world, 1, &name)), []);
    world.set_webs(PAYS).await;
    web.close_order(id).unwrap();
    world.quiet().await;
    assert_eq!(
        prepaid(&on_pos(&world, 1, &name)),
        [(220_001, 120_000)],
        "once there is one, it goes with the next state"
    );
    for (word, name) in [("refunded", "refunded"), ("voided", "voided"), ("partially_refunded", "partially_refunded")] {
        let (id, made) = place(&world, 1, paid(there, 1, word));
        world.quiet().await;
        assert!(reason(&world, 1, id).await.2.contains(name), "{word}");
        assert_eq!(prepaid(&on_pos(&world, 1, &made)), []);
    }
    // Money that goes back later changes nothing either.
    web.refund(id).unwrap();
    world.quiet().await;
    assert!(reason(&world, 1, id).await.2.contains("refunded"));
    assert_eq!(prepaid(&on_pos(&world, 1, &name)), [(220_001, 120_000)]);
    let rows = world.store().count_channel_orders(&web_connection(1)).await.unwrap();
    assert_eq!(rows, [("linked".to_owned(), 4)]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_recorded_than_the_web_received_whatever_the_pos_made_of_the_total() {
    let world = webs(1, PAYS).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let omni = Proxy::start(world.sandbox.omni_url()).await;
    let file = connections(&world.sandbox, (true, true, true), PAYS);
    world.apply(&file.replace(&world.sandbox.omni_url(), &omni.url)).await;
    omni.edit_requests("/admin/orders.json", |body| body["order"]["delivery_fee"] = json!({"fee": 7_000}));
    let (id, name) = place(&world, 1, paid(there, 1, "paid"));
    world.quiet().await;
    let made = on_pos(&world, 1, &name);
    assert_eq!((&made["total"], prepaid(&made)), (&json!(127_000), vec![(220_001, 120_000)]));
    assert_eq!(order_link(&world, 1, id).await.code.as_deref(), Some("total_mismatch"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_worth_less_since_it_was_made_brings_no_more_than_that() {
    let world = webs(1, PAYS).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (id, name) = place(&world, 1, order_of(there, 2));
    world.quiet().await;
    let fewer = |order: &mut Value| {
        order["line_items"][0]["quantity"] = 1.into();
        order["total_price"] = 120_000.into();
    };
    web.change_order(id, fewer).unwrap();
    world.quiet().await;
    web.set_paid(id).unwrap();
    world.quiet().await;
    assert_eq!(prepaid(&on_pos(&world, 1, &name)), [(220_001, 120_000)]);
    assert_eq!(order_link(&world, 1, id).await.code.as_deref(), Some("order_changed"));
    world.finish(&[]).await;
}
