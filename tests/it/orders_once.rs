//! Exactly one order for each order, whatever becomes of webhooks; and no call for what is known already.

use std::time::Duration;

use sapo_sync::sandbox::{Api, ApiEffect, PlaceAbahaOrder, PlaceOrder, Timing, WebhookEffect, WebhookFault};
use sapo_sync::store::links::LinkKind;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::Connection as _;

use crate::harness::{CONNECTION, Setup, World, dong};
use crate::orders::{
    FROM, abaha, abaha_body, all_settled, counts, fault, fixture_products, link_in, link_out, linked_product, lively,
    omni_body, open_intents, order_in, order_out, place_in, place_out, post_abaha, post_omni, sapo, writes,
};

#[tokio::test(flavor = "multi_thread")]
async fn our_own_echo_costs_no_call_whenever_it_comes() {
    for keeps_pos_id in [true, false] {
        let world = lively(keeps_pos_id).await;
        let line = linked_product(&world, "AT-S").await;
        // Known on both sides, so that an order is one call and what it takes to find the customer.
        world.sandbox.omni().add_customer("Người Mẫu", Some("0912000001"));
        world.quiet().await;
        for (index, timing) in [Timing::Before, Timing::During, Timing::After].into_iter().enumerate() {
            world.sandbox.faults().echo_timing(timing);
            world.sandbox.clear_calls();
            let (inward, code) = place_in(&world, &order_in("AT-S", 1));
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(writes(&world, Api::Omni), ["orders"], "{timing:?}");
            assert_eq!(world.sandbox.calls().len(), 1, "{timing:?}: {:?}", world.sandbox.calls());
            world.sandbox.clear_calls();
            let out = place_out(&world, PlaceOrder { fee: dong(index as i64 + 1), ..order_out(line, 2) });
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(writes(&world, Api::Abaha), ["order/create"], "{timing:?}");
            assert_eq!(world.sandbox.calls().len(), 1, "{timing:?}, keeps {keeps_pos_id}: {:?}", world.sandbox.calls());
            assert_eq!(counts(&world), (2 * (index + 1), 2 * (index + 1)), "{timing:?}");
            // A payment, and a cancellation each way.
            world.sandbox.clear_calls();
            world.sandbox.abaha().pay(inward).unwrap();
            world.quiet().await;
            let here = sapo(&world, &code)["id"].as_u64().unwrap();
            assert_eq!(writes(&world, Api::Omni), [format!("orders/{here}/prepayments")], "{timing:?}");
            assert_eq!(world.sandbox.calls().len(), 2, "{timing:?}: read, then pay: {:?}", world.sandbox.calls());
            world.sandbox.clear_calls();
            world.sandbox.abaha().set_status(inward, 0, None).unwrap();
            world.sandbox.omni().cancel(out).unwrap();
            world.quiet().await;
            assert_eq!(world.sandbox.calls().len(), 2, "{timing:?}: one call each: {:?}", world.sandbox.calls());
            assert_eq!(sapo(&world, &code)["status"], "cancelled");
            assert_eq!(link_out(&world, out).await.channel_state.as_deref(), Some("cancelled"));
        }
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_returned_on_abaha_stays_returned_when_the_echo_comes_first() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let here = sapo(&world, &code)["id"].as_u64().unwrap();
    world.sandbox.faults().echo_timing(Timing::Before);
    fault(&world, Api::Omni, &format!("orders/{here}/cancel"), 1, ApiEffect::Hold("answer".into()));
    world.sandbox.abaha().set_status(inward, 30, Some("Hoàn hàng")).unwrap();
    world.sandbox.faults().reached("answer").await;
    world
        .eventually("the echo is settled", || async {
            world
                .events_of(here)
                .await
                .iter()
                .filter(|row| row.topic == "orders/cancelled" || row.code == "superseded")
                .count()
                > 0
        })
        .await;
    world.sandbox.faults().release("answer");
    world.quiet().await;
    let there = world.sandbox.abaha().order(inward).unwrap();
    assert_eq!((&there["status"], &there["status_view"]), (&json!(30), &json!("Hoàn hàng")));
    assert_eq!(sapo(&world, &code)["status"], "cancelled");
    assert_eq!(writes(&world, Api::Abaha).iter().filter(|path| *path == "order/update").count(), 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_an_answer_is_held_is_not_undone_by_it() {
    let world = World::with(Setup { extra: "status_profile = \"detailed\"".into(), ..Setup::default() }).await;
    let line = linked_product(&world, "AT-S").await;
    world.sandbox.faults().echo_timing(Timing::Before);
    fault(&world, Api::Abaha, "order/create", 1, ApiEffect::Hold("answer".into()));
    let id = place_out(&world, order_out(line, 1));
    world.sandbox.faults().reached("answer").await;
    world
        .eventually("the echo has linked it", || async { world.sandbox.abaha().orders_by_pos_id(id).len() == 1 })
        .await;
    let there = abaha(&world, id)["id"].as_u64().unwrap();
    world
        .eventually("the echo is settled", || async {
            world.events_of(there).await.iter().any(|row| row.code == "echo")
        })
        .await;
    world.sandbox.abaha().set_status(there, 20, None).unwrap();
    world.eventually("the next state is settled", || async { world.events_of(there).await.len() >= 2 }).await;
    world.sandbox.faults().release("answer");
    world.quiet().await;
    world.sandbox.omni().finalize(id).unwrap();
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 20, "never backwards");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_cancelled_on_sapo_while_its_answer_is_held_is_not_paid_any_more() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    world.sandbox.faults().echo_timing(Timing::Before);
    fault(&world, Api::Omni, "orders$", 1, ApiEffect::Hold("answer".into()));
    let (inward, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    world.sandbox.faults().reached("answer").await;
    let here = sapo(&world, &code)["id"].as_u64().unwrap();
    world
        .eventually("the echo is settled", || async {
            world.events_of(here).await.iter().any(|row| row.code == "echo")
        })
        .await;
    world.sandbox.omni().cancel(here).unwrap();
    world.eventually("Abaha has it", || async { world.sandbox.abaha().order(inward).unwrap()["status"] == 0 }).await;
    world.sandbox.faults().release("answer");
    world.quiet().await;
    assert_eq!(
        writes(&world, Api::Omni).iter().filter(|path| path.contains("prepayments") || path.contains("cancel")).count(),
        0
    );
    assert_eq!(link_in(&world, inward).await.sapo_state.as_deref(), Some("cancelled"));
    assert_eq!(world.sandbox.abaha().order(inward).unwrap()["status"], 0);
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_delayed_and_reordered_webhooks_make_one_order_and_the_newest_state() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
    let effects = [
        WebhookEffect::Duplicate(3),
        WebhookEffect::Reorder,
        WebhookEffect::Delay(Duration::from_millis(120)),
        WebhookEffect::Truncate,
    ];
    for (index, effect) in effects.into_iter().enumerate() {
        for (api, topic) in [(Api::Omni, "orders/"), (Api::Abaha, "order")] {
            // A cut body does not fit Sapo's signature and is sent again; Abaha's has none (next test).
            if effect == WebhookEffect::Truncate && api == Api::Abaha {
                continue;
            }
            world.sandbox.faults().webhook(WebhookFault { api, topic: topic.into(), skip: 0, times: 3, effect });
        }
        let kept = place_out(&world, order_out(line, 1));
        let cancelled = place_out(&world, order_out(line, 2));
        let (_, kept_code) = place_in(&world, &order_in("AT-S", 1));
        let (gone, gone_code) = place_in(&world, &order_in("AT-S", 2));
        world.quiet().await;
        omni.cancel(cancelled).unwrap();
        shop.pay(gone).unwrap();
        shop.set_status(gone, 0, None).unwrap();
        world.quiet().await;
        world.sandbox.faults().clear();
        assert_eq!(counts(&world), (4 * (index + 1), 4 * (index + 1)), "{effect:?}");
        assert_eq!(abaha(&world, kept)["status"], 5, "{effect:?}");
        assert_eq!(abaha(&world, cancelled)["status"], 0, "{effect:?}");
        assert_eq!(sapo(&world, &kept_code)["status"], "draft", "{effect:?}");
        assert_eq!(sapo(&world, &gone_code)["status"], "cancelled", "{effect:?}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_of_abaha_is_a_dead_letter_and_the_next_one_makes_the_order() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let effect = WebhookEffect::Truncate;
    world.sandbox.faults().webhook(WebhookFault { api: Api::Abaha, topic: "order".into(), skip: 0, times: 1, effect });
    let (id, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    assert_eq!(counts(&world), (0, 1));
    world.sandbox.abaha().send_again(id).unwrap();
    world.quiet().await;
    sapo(&world, &code);
    world.finish(&["dead:unreadable"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_never_overwrites_and_the_same_state_again_costs_no_call() {
    let world = crate::orders::world(&format!("{FROM}\nstatus_profile = \"detailed\"")).await;
    fixture_products(&world).await;
    // The customer that the samples name.
    world.sandbox.omni().add_customer("Trần Thị Mẫu", Some("0912000001"));
    world.quiet().await;
    let id = 14_980_001;
    post_omni(&world, "orders/update", &omni_body("webhook-orders-update-shipped", id)).await;
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 20);
    let line = json!({"product_code": "AT-S", "quantity": 1, "price": 120_000});
    let mut cancelled = abaha_body(990_001, "2026-03-02T04:00:00Z", &line);
    post_abaha(&world, &abaha_body(990_001, "2026-03-02T03:15:23Z", &line)).await;
    world.quiet().await;
    cancelled["data"]["status"] = 0.into();
    post_abaha(&world, &cancelled).await;
    world.quiet().await;
    world.sandbox.clear_calls();
    // Older ones, late.
    let mut late = omni_body("webhook-orders-update-cancelled", id);
    late["modified_on"] = "2026-03-02T04:19:59Z".into();
    post_omni(&world, "orders/cancelled", &late).await;
    let mut paid = abaha_body(990_001, "2026-03-02T03:59:59Z", &line);
    paid["data"]["payment_status"] = 5.into();
    post_abaha(&world, &paid).await;
    world.quiet().await;
    for object in [id, 990_001] {
        assert_eq!(world.outcome(object).await, ("skipped".into(), "stale".into()));
    }
    // The same again, under another topic, and in another envelope.
    post_omni(&world, "orders/fulfilled", &omni_body("webhook-orders-update-shipped", id)).await;
    cancelled["sent_at"] = "2026-03-02T09:09:09Z".into();
    post_abaha(&world, &cancelled).await;
    world.quiet().await;
    for object in [id, 990_001] {
        assert_eq!(world.outcome(object).await, ("skipped".into(), "unchanged".into()));
    }
    assert_eq!(world.sandbox.calls().len(), 0, "{:?}", world.sandbox.calls());
    assert_eq!(abaha(&world, id)["status"], 20);
    assert_eq!(sapo(&world, "ABX990001")["status"], "cancelled");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_before_its_older_states_arrive_is_never_created() {
    let world = crate::orders::world(FROM).await;
    fixture_products(&world).await;
    let id = 14_980_002;
    post_omni(&world, "orders/cancelled", &omni_body("webhook-orders-update-cancelled", id)).await;
    let line = json!({"product_code": "AT-S", "quantity": 1, "price": 120_000});
    let mut cancelled = abaha_body(990_002, "2026-03-02T04:00:00Z", &line);
    cancelled["data"]["status"] = 0.into();
    post_abaha(&world, &cancelled).await;
    world.quiet().await;
    let mut late = omni_body("webhook-orders-update-draft", id);
    late["modified_on"] = "2026-03-02T03:15:23Z".into();
    post_omni(&world, "orders/create", &late).await;
    post_abaha(&world, &abaha_body(990_002, "2026-03-02T03:15:23Z", &line)).await;
    world.quiet().await;
    assert_eq!(counts(&world), (0, 0));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_times_with_other_content_are_read_and_what_is_read_is_applied() {
    let mut setup = Setup { extra: FROM.into(), ..Setup::default() };
    setup.sandbox.distinct_times = false;
    let world = World::with(setup).await;
    let line = linked_product(&world, "AT-S").await;
    let id = place_out(&world, order_out(line, 1));
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    // Within the same second as like as not; a forged order of events says nothing of what is so.
    world.sandbox.omni().cancel(id).unwrap();
    world.sandbox.abaha().set_status(inward, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 0);
    assert_eq!(sapo(&world, &code)["status"], "cancelled");
    let mut other = world.sandbox.omni().order(id).unwrap();
    other["status"] = "draft".into();
    other["cancelled_on"] = serde_json::Value::Null;
    world.sandbox.clear_calls();
    post_omni(&world, "orders/update", &other).await;
    world.quiet().await;
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", &format!("orders/{id}")), 1);
    assert_eq!(abaha(&world, id)["status"], 0);
    assert_eq!(counts(&world), (2, 2));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_orders_makes_each_once_on_both_sides() {
    for timing in [Timing::Before, Timing::During] {
        for keeps_pos_id in [true, false] {
            let world = lively(keeps_pos_id).await;
            let line = linked_product(&world, "AT-S").await;
            world.sandbox.faults().echo_timing(timing);
            let mut out = Vec::new();
            for index in 0..40 {
                let phone = Some(format!("0915{:06}", index % 7));
                out.push(place_out(&world, PlaceOrder { phone, fee: dong(index + 1), ..order_out(line, 1) }));
                place_in(
                    &world,
                    &PlaceAbahaOrder { tel: format!("0916{:06}", index % 7), ..order_in("AT-S", index + 1) },
                );
            }
            world.quiet().await;
            all_settled(&world).await;
            assert_eq!(counts(&world), (80, 80), "{timing:?}, keeps {keeps_pos_id}");
            assert_eq!(world.sandbox.omni().customers().len(), 7);
            for id in out {
                link_out(&world, id).await;
            }
            world.finish(&[]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_orders_of_one_person_at_once_are_each_made_once() {
    let world = lively(false).await;
    let line = linked_product(&world, "AT-S").await;
    world.sandbox.faults().echo_timing(Timing::Before);
    let ids: Vec<u64> = (0..6).map(|_| place_out(&world, order_out(line, 1))).collect();
    world.quiet().await;
    all_settled(&world).await;
    assert_eq!(counts(&world), (6, 6));
    let mut there = Vec::new();
    for id in ids {
        there.push(link_out(&world, id).await.channel_id);
    }
    there.sort();
    there.dedup();
    assert_eq!(there.len(), 6, "each has its own");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abaha_order_that_could_be_ours_waits_until_that_is_known_and_then_goes() {
    let world = lively(false).await;
    let line = linked_product(&world, "AT-S").await;
    fault(&world, Api::Abaha, "order/create", 1, ApiEffect::ResetBefore);
    let out = place_out(&world, order_out(line, 1));
    world.eventually("an intent is open", || async { open_intents(&world, "abaha:501").await == 1 }).await;
    // The same person orders the same by app, at the worst moment.
    let (inward, code) = place_in(&world, &PlaceAbahaOrder { tel: "+84912000001".into(), ..order_in("AT-S", 1) });
    world.quiet().await;
    all_settled(&world).await;
    // Which of the two is which cannot be told by anybody; but each order of a person is one order on each side, or
    // the two are taken for one, and none is ever doubled.
    let linked = link_in(&world, inward).await;
    assert!(world.sandbox.omni().order_by_reference(&code).len() <= 1);
    assert_eq!(linked.sapo_id == out.to_string(), counts(&world) == (1, 1));
    world.finish(&[]).await;
}

/// Puts a back-up of the state database back that is older than every order. What was done at the shops stays done.
pub async fn put_older_back(world: &mut World) {
    world.stop().await;
    let mut connection = sqlx::AnyConnection::connect(world.config.database_url.expose_secret()).await.unwrap();
    let older = "delete from links where kind = 'order'; delete from intents where kind in ('order', 'prepayment');
        delete from objects where kind = 'order'; delete from ledger where kind = 'order'; delete from channel_orders;
        delete from reservations; delete from job_rows; delete from jobs";
    sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_a_back_up_put_back_does_not_know_are_linked_by_a_reconcile_and_not_made_twice() {
    let mut world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    let out = place_out(&world, order_out(line, 2));
    world.quiet().await;
    let (here, there) = (sapo(&world, &code)["id"].to_string(), abaha(&world, out)["id"].to_string());
    put_older_back(&mut world).await;
    assert_eq!(world.store().link_by_sapo(CONNECTION, LinkKind::Order, &here).await.unwrap(), None);
    world.sandbox.clear_calls();
    world.run_job("reconcile").await;
    world.quiet().await;
    assert_eq!(counts(&world), (2, 2), "{:#?}", world.events().await);
    let none = Vec::<String>::new();
    assert_eq!((writes(&world, Api::Omni), writes(&world, Api::Abaha)), (none.clone(), none), "nothing is sent again");
    assert_eq!(link_in(&world, inward).await.sapo_id, here);
    assert_eq!(link_out(&world, out).await.channel_id, there);
    // They are followed as before.
    world.sandbox.abaha().set_status(inward, 0, None).unwrap();
    world.sandbox.omni().cancel(out).unwrap();
    world.quiet().await;
    assert_eq!((&sapo(&world, &code)["status"], &abaha(&world, out)["status"]), (&json!("cancelled"), &json!(0)));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_ours_that_a_back_up_put_back_does_not_know_is_linked_when_sapo_speaks_of_it() {
    let mut world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let here = sapo(&world, &code)["id"].as_u64().unwrap();
    put_older_back(&mut world).await;
    // Cancelled on Abaha while nobody knew of the link: that is heard with it.
    world.sandbox.stop_webhooks();
    world.sandbox.abaha().set_status(inward, 0, None).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    world.sandbox.omni().finalize(here).unwrap();
    world.quiet().await;
    assert_eq!(link_in(&world, inward).await.sapo_id, here.to_string());
    assert_eq!(sapo(&world, &code)["status"], "cancelled");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}
