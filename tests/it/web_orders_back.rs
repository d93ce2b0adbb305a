//! What a web's orders on the POS bring back: their state where the owner wants it, and the stock that drafts hold.

use rust_decimal::Decimal;
use sapo_sync::sandbox::{
    Api, ApiEffect, PlaceOrder, PlaceWebOrder, SandboxConfig, Timing, WebSite, WebhookEffect, WebhookFault,
};
use serde_json::Value;

use crate::harness::{Setup, World, dong};
use crate::links_commands::sapo_sync;
use crate::orders::fault;
use crate::web_orders::{count, id_of, linked, on_pos, order_link, order_of, place, reason, row, seen};
use crate::web_world::{connections, web_alias, web_site, webs, webs_with};

/// The writing calls to a web's orders.
fn order_writes(world: &World, number: usize) -> Vec<String> {
    world.web_writes(number).into_iter().map(|call| call.path).filter(|path| path.starts_with("orders/")).collect()
}

fn web_order(world: &World, number: usize, id: u64) -> Value {
    world.sandbox.web(&web_alias(number)).order(id).unwrap()
}

/// What open drafts hold of a POS variant at the first branch.
async fn held(world: &World, variant: u64) -> Decimal {
    let alias = &world.sandbox.config().alias;
    world.store().reserved(alias, &variant.to_string(), &["58001".to_owned()]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn shipped_and_cancelled_go_back_once_where_that_is_set() {
    let world = webs(1, "status_back = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let omni = world.sandbox.omni();
    for timing in [Timing::Before, Timing::After] {
        world.sandbox.faults().echo_timing(timing);
        let (shipped, shipped_name) = place(&world, 1, order_of(there, 2));
        let (cancelled, cancelled_name) = place(&world, 1, order_of(there, 1));
        world.quiet().await;
        world.sandbox.clear_calls();
        let made = id_of(&on_pos(&world, 1, &shipped_name));
        omni.finalize(made).unwrap();
        omni.pack(made).unwrap();
        world.quiet().await;
        assert_eq!(order_writes(&world, 1), Vec::<String>::new(), "neither approved nor packed goes back");
        omni.ship(made).unwrap();
        omni.cancel(id_of(&on_pos(&world, 1, &cancelled_name))).unwrap();
        world.quiet().await;
        assert_eq!(web_order(&world, 1, shipped)["fulfillment_status"], "fulfilled");
        assert_eq!(world.sandbox.web(&web_alias(1)).fulfillments(shipped).len(), 1);
        assert_eq!(web_order(&world, 1, cancelled)["status"], "cancelled");
        assert_eq!(order_writes(&world, 1).len(), 2, "{timing:?}: {:?}", order_writes(&world, 1));
        assert_eq!(order_link(&world, 1, shipped).await.channel_state.as_deref(), Some("fulfilled"));
        // Delivered and paid, it is the same to the web, and the web's echoes ask nothing of the POS.
        world.sandbox.clear_calls();
        omni.complete(made).unwrap();
        world.quiet().await;
        assert_eq!(order_writes(&world, 1), Vec::<String>::new());
        assert_eq!(seen(&world, 1, shipped).await, ("linked".into(), "linked".into()));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_back_by_default_and_no_call_is_made() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let omni = world.sandbox.omni();
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let made = id_of(&on_pos(&world, 1, &name));
    omni.finalize(made).unwrap();
    omni.ship(made).unwrap();
    world.quiet().await;
    assert_eq!(reason(&world, 1, made).await.1, "switch_off");
    let calls =
        world.sandbox.calls().into_iter().filter(|call| call.api == Api::Web && call.path.starts_with("orders"));
    assert_eq!(calls.count(), 0);
    assert_eq!(web_order(&world, 1, id)["fulfillment_status"], Value::Null);
    assert_eq!(order_link(&world, 1, id).await.sapo_state.as_deref(), Some("shipped"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shipped_on_the_web_already_is_looked_at_first_and_not_shipped_again() {
    let world = webs(1, "status_back = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    // The web's own news of it is lost.
    let topic = "orders/".to_owned();
    let effect = WebhookEffect::Drop;
    world.sandbox.faults().webhook(WebhookFault { api: Api::Web, topic, skip: 0, times: u32::MAX, effect });
    world.sandbox.web(&web_alias(1)).fulfil_order(id).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    let made = id_of(&on_pos(&world, 1, &name));
    world.sandbox.omni().finalize(made).unwrap();
    world.sandbox.omni().ship(made).unwrap();
    world.quiet().await;
    assert_eq!(order_writes(&world, 1), Vec::<String>::new());
    assert_eq!(world.sandbox.web(&web_alias(1)).fulfillments(id).len(), 1);
    assert_eq!(reason(&world, 1, made).await.1, "same_class");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipping_whose_answer_was_lost_is_looked_up_and_not_made_twice() {
    for effect in [ApiEffect::WorkThenReset, ApiEffect::ResetBefore, ApiEffect::WrongJson] {
        let world = webs(1, "status_back = true").await;
        let (_, there) = linked(&world, 1, "AT-S").await;
        let (id, name) = place(&world, 1, order_of(there, 1));
        world.quiet().await;
        fault(&world, Api::Web, "orders/", 1, effect.clone());
        let made = id_of(&on_pos(&world, 1, &name));
        world.sandbox.omni().finalize(made).unwrap();
        world.sandbox.omni().ship(made).unwrap();
        world.quiet().await;
        assert_eq!(world.sandbox.web(&web_alias(1)).fulfillments(id).len(), 1, "{effect:?}");
        assert_eq!(order_link(&world, 1, id).await.channel_state.as_deref(), Some("fulfilled"), "{effect:?}");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_were_not_made_for_this_web_are_left_alone_without_a_call() {
    let world = webs(2, "status_back = true").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    linked(&world, 2, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let omni = world.sandbox.omni();
    let own = PlaceOrder { lines: vec![(here, Decimal::ONE, dong(120_000))], ..PlaceOrder::default() };
    let own = omni.place_order(own).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    let made = id_of(&on_pos(&world, 1, &name));
    for order in [own, made] {
        omni.finalize(order).unwrap();
        omni.ship(order).unwrap();
        omni.receive(order).unwrap();
        omni.return_order(order, false).unwrap();
    }
    world.quiet().await;
    for number in [1, 2] {
        assert_eq!(reason(&world, number, own).await.1, "not_of_this_channel");
    }
    assert!(
        world
            .web_events_of(2, made)
            .await
            .iter()
            .all(|row| row.code == "not_of_this_channel" || row.code == "superseded")
    );
    let of_orders: Vec<_> = world
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| {
            call.path.starts_with("orders")
                && !call.path.contains(&made.to_string())
                && !call.path.contains(&id.to_string())
        })
        .collect();
    assert_eq!(of_orders.len(), 0, "{of_orders:?}");
    assert_eq!(count(&world), 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_drafts_are_held_back_on_every_web_until_the_pos_knows_of_them() {
    let world = webs(2, "reserve_unapproved = true").await;
    let (here, first) = linked(&world, 1, "AT-S").await;
    let (_, second) = linked(&world, 2, "AT-S").await;
    let omni = world.sandbox.omni();
    let all_show = async |stock: i64| {
        world
            .eventually("both webs show it", || async {
                [(1, first), (2, second)].into_iter().all(|(number, id)| world.shown(number, id).0 == stock.into())
            })
            .await;
        world.quiet().await;
    };
    all_show(1_000).await;
    let (_, kept) = place(&world, 1, order_of(first, 3));
    world.quiet().await;
    all_show(997).await;
    let three = held(&world, here).await;
    assert_eq!(three, Decimal::from(3));
    let (cancelled, _) = place(&world, 2, order_of(second, 10));
    world.quiet().await;
    all_show(987).await;
    // Approved, the POS's own stock knows it; nothing is counted twice.
    omni.finalize(id_of(&on_pos(&world, 1, &kept))).unwrap();
    world.quiet().await;
    all_show(987).await;
    // Cancelled, it is free again.
    world.sandbox.web(&web_alias(2)).cancel_order(cancelled).unwrap();
    world.quiet().await;
    all_show(997).await;
    assert_eq!(held(&world, here).await, Decimal::ZERO);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_is_cancelled_on_the_pos_is_no_longer_held_back() {
    let world = webs(1, "reserve_unapproved = true").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    let order = PlaceWebOrder { lines: vec![(there, dong(2)), (there, "0.5".parse().unwrap())], ..order_of(there, 1) };
    let (_, name) = place(&world, 1, order);
    world.quiet().await;
    assert_eq!(held(&world, here).await, "2.5".parse().unwrap());
    world.eventually("it is held back", || async { world.shown(1, there).0 == 997.into() }).await;
    world.quiet().await;
    world.sandbox.omni().cancel(id_of(&on_pos(&world, 1, &name))).unwrap();
    world.quiet().await;
    world.eventually("it is free", || async { world.shown(1, there).0 == 1_000.into() }).await;
    assert_eq!(held(&world, here).await, Decimal::ZERO);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_no_draft_counts_and_those_made_before_do_once_that_is_set() {
    let world = webs(1, "").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    place(&world, 1, order_of(there, 3));
    world.quiet().await;
    assert_eq!((count(&world), held(&world, here).await), (1, 3.into()));
    world.sandbox.omni().set_stock(here, 58_001, 999).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 999, 120_000);
    world.set_webs("reserve_unapproved = true").await;
    world.sandbox.omni().set_stock(here, 58_001, 998).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 995, 120_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_holds_the_stock_of_its_own_branch_alone() {
    let world = webs(1, "reserve_unapproved = true\nstock_branches = [58001]\norder_branch = 58002").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    place(&world, 1, order_of(there, 3));
    world.quiet().await;
    world.assert_shown(1, there, 1_000, 120_000);
    assert_eq!(held(&world, here).await, Decimal::ZERO);
    let both = ["58001", "58002"].map(ToOwned::to_owned);
    let alias = &world.sandbox.config().alias;
    assert_eq!(world.store().reserved(alias, &here.to_string(), &both).await.unwrap(), 3.into());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_is_the_first_news_of_an_order_goes_back_too() {
    let world = webs(1, "status_back = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.stop_webhooks();
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.sandbox.send_webhooks_to(&world.url());
    let (topic, effect) = ("orders/create".to_owned(), WebhookEffect::Drop);
    world.sandbox.faults().webhook(WebhookFault { api: Api::Omni, topic, skip: 0, times: u32::MAX, effect });
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Hold("answer".into()));
    world.sandbox.web(&web_alias(1)).change_order(id, |order| order["note"] = "gọi trước".into()).unwrap();
    world.sandbox.faults().reached("answer").await;
    world.sandbox.omni().cancel(id_of(&on_pos(&world, 1, &name))).unwrap();
    world.eventually("it went back", || async { web_order(&world, 1, id)["status"] == "cancelled" }).await;
    world.sandbox.faults().release("answer");
    world.quiet().await;
    assert_eq!(order_writes(&world, 1), [format!("orders/{id}/cancel")]);
    let link = order_link(&world, 1, id).await;
    assert_eq!((link.sapo_state.as_deref(), link.code.as_deref()), (Some("cancelled"), None));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_the_web_refuses_is_an_error_that_says_what_to_do() {
    let world = webs(1, "status_back = true").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    // Shipped on the web, whose news of it is lost; and told under one topic alone, the cancellation is one letter.
    for (api, topic) in [(Api::Web, "orders/"), (Api::Omni, "orders/update")] {
        let (topic, effect) = (topic.to_owned(), WebhookEffect::Drop);
        world.sandbox.faults().webhook(WebhookFault { api, topic, skip: 0, times: u32::MAX, effect });
    }
    world.sandbox.web(&web_alias(1)).fulfil_order(id).unwrap();
    world.sandbox.clear_calls();
    let made = id_of(&on_pos(&world, 1, &name));
    world.sandbox.omni().cancel(made).unwrap();
    world.quiet().await;
    assert_eq!(order_writes(&world, 1), [format!("orders/{id}/cancel")]);
    assert_eq!(web_order(&world, 1, id)["status"], "open");
    let (outcome, code, why) = reason(&world, 1, made).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("dead", "refused"), "{why}");
    assert!(why.contains("fulfilled on the web") && why.contains("trả hàng"), "{why}");
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str(), shown.reason), ("error", "refused", why));
    assert_eq!(order_link(&world, 1, id).await.channel_state.as_deref(), Some("fulfilled"));
    world.finish(&["dead:refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_order_deleted_on_either_side_is_an_error_and_holds_no_stock_once_its_draft_is_gone() {
    let world = webs(1, "reserve_unapproved = true").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    let (gone_there, drafted) = place(&world, 1, order_of(there, 3));
    let (stands_there, gone_here) = place(&world, 1, order_of(there, 4));
    world.quiet().await;
    assert_eq!(held(&world, here).await, 7.into());
    world.sandbox.web(&web_alias(1)).delete_order(gone_there).unwrap();
    world.sandbox.omni().delete_order(id_of(&on_pos(&world, 1, &gone_here))).unwrap();
    world.quiet().await;
    let (code, _, listed) = sapo_sync(&world, "links list --connection mau-web1 --kind order --state error").await;
    assert_eq!(code, 0, "{listed}");
    for (id, code, why, words) in [
        (gone_there, "gone_on_channel", "not on the web any more", "đơn đã xóa trên web: xem lại đơn trên POS"),
        (stands_there, "deleted", "not on the POS any more", "đơn đã xóa trên POS: xem lại đơn trên web"),
    ] {
        let link = order_link(&world, 1, id).await;
        assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some(code)), "{link:?}");
        let shown = row(&world, 1, id).await;
        assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", code), "{shown:?}");
        let nothing_guessed = shown.reason.contains("nothing is cancelled on a guess");
        assert!(shown.reason.contains(why) && nothing_guessed, "{}", shown.reason);
        assert_eq!(link.reason.as_deref(), Some(shown.reason.as_str()));
        // What the owner reads: the words, the code and the reason.
        let line = listed.lines().find(|line| line.contains(&shown.name)).unwrap_or_else(|| panic!("{listed}"));
        assert!(line.contains(words) && line.contains(&format!("({code})")) && line.contains(&shown.reason), "{line}");
    }
    // Nothing is cancelled on a guess, and a draft that stands holds what it holds.
    assert_eq!(on_pos(&world, 1, &drafted)["status"], "draft");
    assert_eq!(web_order(&world, 1, stands_there)["status"], "open");
    assert_eq!(held(&world, here).await, 3.into());
    world.eventually("the rest is on sale again", || async { world.shown(1, there).0 == 997.into() }).await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_web_lets_nobody_write_is_an_error_until_nothing_is_asked_any_more() {
    let scopes = ["write_products", "write_inventory", "read_orders", "read_customers"];
    let narrow = WebSite { scopes: scopes.map(str::to_owned).to_vec(), ..web_site(1) };
    let sandbox = SandboxConfig { web_sites: vec![narrow], ..Setup::default().sandbox };
    let world = webs_with(Setup { sandbox, extra: "status_back = true".to_owned(), ..Setup::default() }, 1).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.sandbox.omni().cancel(id_of(&on_pos(&world, 1, &name))).unwrap();
    world.quiet().await;
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", "status_back"), "{}", shown.reason);
    assert!(shown.reason.starts_with("it is on the POS;") && shown.reason.contains("write_orders"), "{}", shown.reason);
    // What the web tells meanwhile asks nothing of the POS, and does not end that.
    let web = world.sandbox.web(&web_alias(1));
    web.change_order(id, |order| order["note"] = "gọi trước".into()).unwrap();
    world.quiet().await;
    assert_eq!(row(&world, 1, id).await, shown);
    // Its owner cancels it there as well.
    web.cancel_order(id).unwrap();
    world.quiet().await;
    world.store().release_now(None, Some("setup"), None).await.unwrap();
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_goes_back_does_not_end_the_wait_of_a_payment_for_other_settings() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    // The payment method was taken away after it had been chosen.
    let settings = "status_back = true\npayment_method = 229999";
    world.apply_offline(&connections(&world.sandbox, (true, true, true), settings)).await;
    let order = PlaceWebOrder { financial_status: "paid".to_owned(), ..order_of(there, 1) };
    let (id, name) = place(&world, 1, order);
    world.quiet().await;
    let shown = row(&world, 1, id).await;
    assert_eq!((shown.state.as_str(), shown.code.as_str()), ("error", "setup"), "{}", shown.reason);
    // The web's own news of what is done there would look at the payment again.
    let (topic, effect) = ("orders/".to_owned(), WebhookEffect::Drop);
    world.sandbox.faults().webhook(WebhookFault { api: Api::Web, topic, skip: 0, times: u32::MAX, effect });
    let made = id_of(&on_pos(&world, 1, &name));
    world.sandbox.omni().finalize(made).unwrap();
    world.sandbox.omni().ship(made).unwrap();
    world.quiet().await;
    assert_eq!(web_order(&world, 1, id)["fulfillment_status"], "fulfilled");
    assert_eq!(row(&world, 1, id).await, shown);
    world.set_webs("status_back = true\npayment_method = 220001").await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["payment_status"], "paid");
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}
