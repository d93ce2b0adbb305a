//! Exactly one order, customer and payment, whatever becomes of the answers to the calls that make them.

use std::time::Duration;

use sapo_sync::sandbox::{Api, ApiEffect, PlaceAbahaOrder, PlaceOrder, Timing};
use serde_json::json;

use crate::harness::dong;
use crate::orders::{
    abaha, all_settled, counts, fault, impatient, link_out, linked_product, lively, open_intents, order_in, order_out,
    place_in, place_out, sapo, set_echo, unknown_outcome,
};

/// When the webhook of our own call comes; none: it is lost.
const ECHOES: [Option<Timing>; 4] = [Some(Timing::Before), Some(Timing::During), Some(Timing::After), None];

/// The ways in which the work is done and its answer lost. Work that is done later than the cut is done after the first
/// look-up, mostly, and well before the second.
fn lost_answers() -> [ApiEffect; 4] {
    [
        ApiEffect::WorkThenReset,
        ApiEffect::WorkThenHang(Duration::from_secs(5)),
        ApiEffect::WorkLater(Duration::from_millis(750)),
        ApiEffect::WrongJson,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_work_makes_one_order_on_sapo() {
    let world = impatient(true).await;
    linked_product(&world, "AT-S").await;
    let mut expected = 0;
    for echo in ECHOES {
        for effect in lost_answers() {
            set_echo(&world, echo, Api::Omni, "orders/");
            fault(&world, Api::Omni, "orders$", 1, effect.clone());
            let (_, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
            expected += 1;
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(counts(&world), (expected, expected), "{echo:?}, {effect:?}");
            let made = sapo(&world, &code);
            assert_eq!(made["prepayments"].as_array().unwrap().len(), 1, "{echo:?}, {effect:?}");
            assert_eq!(
                world.sandbox.call_count(Api::Omni, "POST", "orders$"),
                expected,
                "{echo:?}, {effect:?}: sent once"
            );
        }
    }
    assert_eq!(open_intents(&world, "omni:cuahangmau").await, 0);
    world.finish(&[]).await;
}

async fn assert_one_on_abaha(keeps_pos_id: bool) {
    let world = impatient(keeps_pos_id).await;
    let line = linked_product(&world, "AT-S").await;
    let mut expected = 0;
    for echo in ECHOES {
        for effect in lost_answers() {
            set_echo(&world, echo, Api::Abaha, "order");
            fault(&world, Api::Abaha, "order/create", 1, effect.clone());
            expected += 1;
            // Each has its own total, as two orders of different people mostly have.
            let id = place_out(&world, PlaceOrder { fee: dong(expected as i64), ..order_out(line, 1) });
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(counts(&world), (expected, expected), "{echo:?}, {effect:?}");
            link_out(&world, id).await;
            assert_eq!(
                world.sandbox.call_count(Api::Abaha, "POST", "order/create"),
                expected,
                "{echo:?}, {effect:?}: sent once"
            );
        }
    }
    assert_eq!(open_intents(&world, "abaha:501").await, 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_work_makes_one_order_on_abaha() {
    assert_one_on_abaha(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_work_makes_one_order_on_an_abaha_that_does_not_keep_pos_id() {
    assert_one_on_abaha(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_not_done_is_sent_again_after_two_look_ups() {
    let world = lively(true).await;
    let line = linked_product(&world, "AT-S").await;
    let not_done =
        [ApiEffect::ResetBefore, ApiEffect::Status { code: 500, retry_after: None }, ApiEffect::HtmlError(502)];
    for (index, effect) in not_done.into_iter().enumerate() {
        fault(&world, Api::Omni, "orders$", 1, effect.clone());
        fault(&world, Api::Abaha, "order/create", 1, effect);
        world.sandbox.clear_calls();
        let (_, code) = place_in(&world, &order_in("AT-S", 1));
        // Of another total: two equal orders of one person at such a moment could be one (see the last test).
        let id = place_out(&world, order_out(line, 2));
        world.quiet().await;
        all_settled(&world).await;
        sapo(&world, &code);
        abaha(&world, id);
        assert_eq!(counts(&world), (2 * (index + 1), 2 * (index + 1)));
        assert_eq!(
            world.sandbox.call_count(Api::Omni, "GET", "orders$"),
            2,
            "looked up twice before it was sent again"
        );
        assert_eq!(world.sandbox.call_count(Api::Abaha, "POST", "order/index"), 2);
        assert_eq!(world.sandbox.call_count(Api::Omni, "POST", "orders$"), 2);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_creation_is_sent_once_its_time_has_come() {
    let world = lively(true).await;
    linked_product(&world, "AT-S").await;
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Status { code: 429, retry_after: Some(1) });
    let (id, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    sapo(&world, &code);
    let row = world.events_of(id).await.pop().unwrap();
    assert_eq!((row.code.as_str(), row.attempts), ("created", 0), "a wait asked for uses up no attempt");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_neither_a_second_customer_nor_a_second_payment() {
    let world = impatient(true).await;
    linked_product(&world, "AT-S").await;
    let mut people = 0;
    for echo in ECHOES {
        for effect in lost_answers() {
            people += 1;
            set_echo(&world, echo, Api::Omni, "");
            fault(&world, Api::Omni, "customers", 1, effect.clone());
            let order = PlaceAbahaOrder { tel: format!("0913{people:06}"), ..order_in("AT-S", 2) };
            let (id, code) = place_in(&world, &order);
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(world.sandbox.omni().customers().len(), people, "{echo:?}, {effect:?}");
            let here = sapo(&world, &code)["id"].as_u64().unwrap();
            fault(&world, Api::Omni, &format!("orders/{here}/prepayments"), 1, effect.clone());
            world.sandbox.abaha().pay(id).unwrap();
            world.quiet().await;
            all_settled(&world).await;
            let made = sapo(&world, &code);
            let payments = made["prepayments"].as_array().unwrap();
            assert_eq!(payments.len(), 1, "{echo:?}, {effect:?}");
            assert_eq!((&payments[0]["amount"], &made["payment_status"]), (&json!(240_000), &json!("paid")));
        }
    }
    assert_eq!(counts(&world), (people, people));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_cancelled_while_it_is_not_known_whether_it_was_made_is_cancelled_there_too() {
    let world = impatient(true).await;
    let line = linked_product(&world, "AT-S").await;
    for effect in lost_answers() {
        // The echo of the making never comes: only a look-up can tell.
        set_echo(&world, None, Api::Omni, "orders/");
        fault(&world, Api::Omni, "orders$", 1, effect.clone());
        let (inward, code) = place_in(&world, &order_in("AT-S", 1));
        unknown_outcome(&world, inward).await;
        world.sandbox.abaha().set_status(inward, 0, Some("Hủy")).unwrap();
        world.quiet().await;
        assert_eq!(sapo(&world, &code)["status"], "cancelled", "{effect:?}");
        set_echo(&world, Some(Timing::After), Api::Omni, "orders/");
        set_echo(&world, None, Api::Abaha, "order.");
        fault(&world, Api::Abaha, "order/create", 1, effect.clone());
        let outward = place_out(&world, order_out(line, 1));
        unknown_outcome(&world, outward).await;
        world.sandbox.omni().cancel(outward).unwrap();
        world.quiet().await;
        assert_eq!(abaha(&world, outward)["status"], 0, "{effect:?}");
        set_echo(&world, Some(Timing::After), Api::Abaha, "order.");
    }
    assert_eq!(open_intents(&world, "omni:cuahangmau").await, 0);
    assert_eq!(open_intents(&world, "abaha:501").await, 0);
    world.finish(&[]).await;
}
