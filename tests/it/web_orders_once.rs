//! Exactly one order on the POS for each order of a web, whatever becomes of webhooks and answers; and no call for what
//! is known already.

use std::time::Duration;

use sapo_sync::sandbox::{Api, ApiEffect, PlaceWebOrder, Timing, WebhookEffect, WebhookFault};

use crate::harness::{Setup, World};
use crate::orders::{NOT_LONG, all_settled, fault, open_intents, unknown_outcome, writes};
use crate::orders_once::put_older_back;
use crate::web_orders::{count, id_of, linked, on_pos, order_link, order_of, place, seen};
use crate::web_world::{web_alias, webs, webs_with};

const APPROVED_AND_PAID: &str = "approve_orders = true\npayment_method = 220001";

fn paid(variant: u64, quantity: i64) -> PlaceWebOrder {
    PlaceWebOrder { financial_status: "paid".into(), ..order_of(variant, quantity) }
}

/// A world that waits for no answer long, and looks again soon.
async fn impatient(settings: &str) -> World {
    let setup = Setup {
        call_timeout: NOT_LONG,
        settle_after: Duration::from_millis(500),
        recheck: Duration::from_secs(2),
        extra: settings.to_owned(),
        ..Setup::default()
    };
    webs_with(setup, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_echo_costs_no_call_whenever_it_comes() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.omni().add_customer("Người Mẫu", Some("0912000001"));
    world.quiet().await;
    for timing in [Timing::Before, Timing::During, Timing::After] {
        world.sandbox.faults().echo_timing(timing);
        world.sandbox.clear_calls();
        let (id, name) = place(&world, 1, order_of(there, 1));
        world.quiet().await;
        all_settled(&world).await;
        assert_eq!(writes(&world, Api::Omni), ["orders"], "{timing:?}");
        let made = id_of(&on_pos(&world, 1, &name));
        assert_eq!(order_link(&world, 1, id).await.sapo_id, made.to_string());
        world.sandbox.clear_calls();
        world.sandbox.web(&web_alias(1)).cancel_order(id).unwrap();
        world.quiet().await;
        all_settled(&world).await;
        assert_eq!(writes(&world, Api::Omni), [format!("orders/{made}/cancel")], "{timing:?}");
        let of_orders = world.sandbox.calls().into_iter().filter(|call| call.path.starts_with("orders")).count();
        assert_eq!(of_orders, 1, "{timing:?}: {:?}", world.sandbox.calls());
    }
    assert_eq!(count(&world), 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_was_lost_is_found_again_and_approved_and_paid_once() {
    let effects = [
        ApiEffect::WorkThenReset,
        ApiEffect::WorkThenHang(Duration::from_secs(5)),
        ApiEffect::WorkLater(Duration::from_millis(700)),
        ApiEffect::WrongJson,
        ApiEffect::ResetBefore,
        ApiEffect::Status { code: 502, retry_after: None },
    ];
    for effect in effects {
        let world = impatient(APPROVED_AND_PAID).await;
        let (_, there) = linked(&world, 1, "AT-S").await;
        for path in ["orders$", "customers$"] {
            fault(&world, Api::Omni, path, 1, effect.clone());
        }
        let (id, name) = place(&world, 1, paid(there, 1));
        world.quiet().await;
        all_settled(&world).await;
        world.eventually("it is made", || async { count(&world) == 1 }).await;
        all_settled(&world).await;
        let made = on_pos(&world, 1, &name);
        assert_eq!(made["status"], "finalized", "{effect:?}");
        assert_eq!(made["prepayments"].as_array().unwrap().len(), 1, "{effect:?}");
        assert_eq!(made["payment_status"], "paid", "{effect:?}");
        assert_eq!((count(&world), world.sandbox.omni().customers().len()), (1, 1), "{effect:?}");
        assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()), "{effect:?}");
        assert_eq!(open_intents(&world, &format!("omni:{}", world.sandbox.config().alias)).await, 0);
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_and_a_payment_whose_answers_were_lost_are_not_made_twice() {
    for effect in [ApiEffect::WorkThenReset, ApiEffect::WorkThenHang(Duration::from_secs(5)), ApiEffect::ResetBefore] {
        let world = impatient(APPROVED_AND_PAID).await;
        let (_, there) = linked(&world, 1, "AT-S").await;
        fault(&world, Api::Omni, "orders/", 2, effect.clone());
        let (id, name) = place(&world, 1, paid(there, 2));
        world.quiet().await;
        all_settled(&world).await;
        let made = on_pos(&world, 1, &name);
        assert_eq!(
            (made["status"].as_str(), made["payment_status"].as_str()),
            (Some("finalized"), Some("paid")),
            "{effect:?}"
        );
        assert_eq!(made["prepayments"].as_array().unwrap().len(), 1, "{effect:?}");
        assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()), "{effect:?}");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_that_links_the_order_first_leaves_the_rest_to_be_done() {
    let world = webs(1, APPROVED_AND_PAID).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.faults().echo_timing(Timing::Before);
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Hold("answer".into()));
    let (id, name) = place(&world, 1, paid(there, 1));
    world.sandbox.faults().reached("answer").await;
    let here = id_of(&on_pos(&world, 1, &name));
    world
        .eventually("the echo is settled", || async {
            world.web_events_of(1, here).await.iter().any(|row| row.code == "echo")
        })
        .await;
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "to_be_approved".into()));
    world.sandbox.faults().release("answer");
    world.quiet().await;
    let made = on_pos(&world, 1, &name);
    assert_eq!((made["status"].as_str(), made["payment_status"].as_str()), (Some("finalized"), Some("paid")));
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_cancelled_on_the_pos_while_its_answer_is_held_is_neither_approved_nor_paid() {
    let world = webs(1, APPROVED_AND_PAID).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.faults().echo_timing(Timing::Before);
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Hold("answer".into()));
    let (id, name) = place(&world, 1, paid(there, 1));
    world.sandbox.faults().reached("answer").await;
    let here = id_of(&on_pos(&world, 1, &name));
    world.eventually("the echo is settled", || async { !world.web_events_of(1, here).await.is_empty() }).await;
    world.sandbox.omni().cancel(here).unwrap();
    world
        .eventually("the cancellation is known", || async {
            order_link(&world, 1, id).await.sapo_state.as_deref() == Some("cancelled")
        })
        .await;
    world.sandbox.clear_calls();
    world.sandbox.faults().release("answer");
    world.quiet().await;
    assert_eq!(writes(&world, Api::Omni), Vec::<String>::new());
    assert_eq!(on_pos(&world, 1, &name)["status"], "cancelled");
    assert_eq!((count(&world), order_link(&world, 1, id).await.code), (1, None));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_delayed_and_reordered_webhooks_make_one_order_and_the_newest_state() {
    let world = webs(1, "payment_method = 220001").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let effects = [
        WebhookEffect::Duplicate(3),
        WebhookEffect::Reorder,
        WebhookEffect::Delay(Duration::from_millis(120)),
        WebhookEffect::Truncate,
    ];
    for (index, effect) in effects.into_iter().enumerate() {
        for api in [Api::Web, Api::Omni] {
            world.sandbox.faults().webhook(WebhookFault { api, topic: "orders/".into(), skip: 0, times: 3, effect });
        }
        let (kept, kept_name) = place(&world, 1, order_of(there, 1));
        let (gone, gone_name) = place(&world, 1, order_of(there, 2));
        web.set_paid(kept).unwrap();
        web.set_paid(gone).unwrap();
        world.quiet().await;
        web.cancel_order(gone).unwrap();
        world.quiet().await;
        world.sandbox.faults().clear();
        assert_eq!(count(&world), 2 * (index + 1), "{effect:?}");
        let made = on_pos(&world, 1, &kept_name);
        assert_eq!(
            (made["status"].as_str(), made["payment_status"].as_str()),
            (Some("draft"), Some("paid")),
            "{effect:?}"
        );
        assert_eq!(made["prepayments"].as_array().unwrap().len(), 1, "{effect:?}");
        assert_eq!(on_pos(&world, 1, &gone_name)["status"], "cancelled", "{effect:?}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_cancelled_after_an_attempt_of_unknown_outcome_is_found_and_cancelled_too() {
    let world = impatient("").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.faults().webhook(WebhookFault {
        api: Api::Omni,
        topic: "orders/".into(),
        skip: 0,
        times: u32::MAX,
        effect: WebhookEffect::Drop,
    });
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::WorkThenReset);
    let (id, name) = place(&world, 1, order_of(there, 1));
    unknown_outcome(&world, id).await;
    world.sandbox.web(&web_alias(1)).cancel_order(id).unwrap();
    world.quiet().await;
    all_settled(&world).await;
    assert_eq!(on_pos(&world, 1, &name)["status"], "cancelled");
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_lines_and_a_wrapped_one_are_read_and_make_the_same_order() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    web.wrap_bodies(true);
    web.old_headers(true);
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    on_pos(&world, 1, &name);
    web.text_money(id, true);
    web.close_order(id).unwrap();
    world.quiet().await;
    assert_eq!((count(&world), seen(&world, 1, id).await.0.as_str()), (1, "linked"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_a_back_up_put_back_does_not_know_are_linked_by_a_reconcile_and_not_made_twice() {
    let mut world = webs(1, APPROVED_AND_PAID).await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (kept, kept_name) = place(&world, 1, paid(there, 2));
    let (cancelled, cancelled_name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let [kept_here, cancelled_here] = [&kept_name, &cancelled_name].map(|name| id_of(&on_pos(&world, 1, name)));
    put_older_back(&mut world).await;
    world.sandbox.stop_webhooks();
    world.sandbox.web(&web_alias(1)).cancel_order(cancelled).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    // A walk passes over what was made in its own first second.
    let second = || world.store().clock().now().div_euclid(1000);
    let made = second();
    world.eventually("a second is over", || async { second() > made }).await;
    world.sandbox.clear_calls();
    world.web_job("reconcile").await;
    world.quiet().await;
    assert_eq!(count(&world), 2, "{:#?}", world.events().await);
    assert_eq!(writes(&world, Api::Omni), [format!("orders/{cancelled_here}/cancel")], "nothing else is sent");
    for (id, here) in [(kept, kept_here), (cancelled, cancelled_here)] {
        assert_eq!(order_link(&world, 1, id).await.sapo_id, here.to_string());
        assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    }
    assert_eq!(on_pos(&world, 1, &kept_name)["prepayments"].as_array().unwrap().len(), 1);
    assert_eq!(order_link(&world, 1, kept).await.paid, 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_word_of_an_order_that_a_back_up_put_back_does_not_know_makes_no_second_one() {
    let mut world = webs(1, "orders_from = \"2026-01-01T00:00:00Z\"\npayment_method = 220001").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let old = Some("2026-03-01T00:00:00Z".to_owned());
    let [first, second] =
        [1, 2].map(|many| place(&world, 1, PlaceWebOrder { created_on: old.clone(), ..order_of(there, many) }));
    world.quiet().await;
    let here = [&first, &second].map(|(_, name)| id_of(&on_pos(&world, 1, name)));
    put_older_back(&mut world).await;
    world.sandbox.clear_calls();
    for (id, _) in [&first, &second] {
        world.sandbox.web(&web_alias(1)).set_paid(*id).unwrap();
    }
    world.quiet().await;
    assert_eq!(count(&world), 2, "{:#?}", world.events().await);
    for ((id, name), here) in [first, second].into_iter().zip(here) {
        assert_eq!(order_link(&world, 1, id).await.sapo_id, here.to_string());
        assert_eq!(on_pos(&world, 1, &name)["payment_status"], "paid");
    }
    assert_eq!(
        world.sandbox.call_count(Api::Omni, "GET", "orders$"),
        1,
        "one look for both: {:#?}",
        world.sandbox.calls()
    );
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_ours_that_a_back_up_put_back_does_not_know_is_linked_when_the_pos_speaks_of_it() {
    let mut world = webs(2, "").await;
    let (_, first) = linked(&world, 1, "AT-S").await;
    let (_, second) = linked(&world, 2, "AT-S").await;
    // Both webs have an order of this name.
    let (one, name) = place(&world, 1, order_of(first, 1));
    let (two, same) = place(&world, 2, order_of(second, 2));
    world.quiet().await;
    assert_eq!(name, same);
    let here = [1, 2].map(|number| id_of(&on_pos(&world, number, &name)));
    put_older_back(&mut world).await;
    for order in here {
        world.sandbox.omni().finalize(order).unwrap();
    }
    world.quiet().await;
    for (number, id, here) in [(1, one, here[0]), (2, two, here[1])] {
        assert_eq!(order_link(&world, number, id).await.sapo_id, here.to_string());
        assert_eq!(seen(&world, number, id).await, ("linked".into(), "linked".into()));
    }
    world.sandbox.web(&web_alias(2)).cancel_order(two).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 2, &name)["status"], "cancelled");
    assert_eq!(count(&world), 2);
    world.finish(&[]).await;
}
