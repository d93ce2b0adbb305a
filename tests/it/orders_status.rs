//! Order status, both ways and in both profiles: every Sapo status tuple, every Abaha code, and what cancelled means.

use sapo_sync::sandbox::{Api, PlaceAbahaOrder};
use serde_json::json;

use crate::harness::{Setup, World};
use crate::orders::{
    FROM, abaha, counts, fixture, fixture_products, linked_product, omni_body, order_in, order_out, place_in,
    place_out, post_abaha, post_omni, reason, sapo, world, writes,
};

const TWO_CLASS: &str = "status_profile = \"two-class\"";
const DETAILED: &str = "status_profile = \"detailed\"";

/// What a tuple does to a new order and to one that stands on Abaha as Đặt hàng: the status there afterwards (none is
/// not created), and the word for it where nothing is called.
type Expected = (Option<i64>, (i64, &'static str));

/// Each sample of Sapo's, with what is expected of it in two-class, in detailed, and in detailed with `returned_code` 40.
#[rustfmt::skip]
const TUPLES: [(&str, Expected, Expected, Expected); 10] = [
    ("draft",           (Some(5), (5, "same_class")),     (Some(5),  (5, "same_stage")),             (Some(5),  (5, "same_stage"))),
    ("finalized",       (Some(5), (5, "same_class")),     (Some(10), (10, "status_set")),            (Some(10), (10, "status_set"))),
    ("packed",          (Some(5), (5, "same_class")),     (Some(15), (15, "status_set")),            (Some(15), (15, "status_set"))),
    ("shipped",         (Some(5), (5, "same_class")),     (Some(20), (20, "status_set")),            (Some(20), (20, "status_set"))),
    ("received-unpaid", (Some(5), (5, "same_class")),     (Some(20), (20, "status_set")),            (Some(20), (20, "status_set"))),
    ("completed",       (Some(5), (5, "same_class")),     (Some(25), (25, "status_set")),            (Some(25), (25, "status_set"))),
    ("returned",        (None,    (5, "returned")),       (None,     (5, "returned_without_code")),  (None,     (40, "status_set"))),
    ("part-returned",   (Some(5), (5, "same_class")),     (Some(20), (5, "part_returned")),          (Some(20), (5, "part_returned"))),
    ("finished",        (None,    (5, "finished")),       (None,     (5, "finished")),               (None,     (5, "finished"))),
    ("cancelled",       (None,    (0, "status_set")),     (None,     (0, "status_set")),             (None,     (0, "status_set"))),
];

/// A sample under another id, as it was an hour before: Đặt hàng.
fn before(name: &str, id: u64) -> serde_json::Value {
    let mut body = omni_body(&format!("webhook-orders-update-{name}"), id);
    body["modified_on"] = "2026-03-02T03:15:23Z".into();
    body["status"] = "draft".into();
    for (field, word) in
        [("packed_status", "unpacked"), ("fulfillment_status", "unshipped"), ("return_status", "unreturned")]
    {
        body[field] = word.into();
    }
    body["cancelled_on"] = serde_json::Value::Null;
    body
}

async fn assert_tuples(extra: &str, expected: impl Fn(usize) -> Expected) {
    let world = world(&format!("{FROM}\n{extra}")).await;
    fixture_products(&world).await;
    let ids = |index: usize| (14_950_000 + index as u64, 14_960_000 + index as u64);
    for (index, (name, ..)) in TUPLES.iter().enumerate() {
        post_omni(&world, "orders/create", &before(name, ids(index).1)).await;
    }
    world.quiet().await;
    for (index, (name, ..)) in TUPLES.iter().enumerate() {
        assert_eq!(abaha(&world, ids(index).1)["status"], 5, "{name}");
        let (new, known) = ids(index);
        let name = format!("webhook-orders-update-{name}");
        post_omni(&world, "orders/update", &omni_body(&name, new)).await;
        post_omni(&world, "orders/update", &omni_body(&name, known)).await;
    }
    world.quiet().await;
    for (index, (name, ..)) in TUPLES.iter().enumerate() {
        let ((first, (then, word)), (new, known)) = (expected(index), ids(index));
        let made = world.sandbox.abaha().orders_by_pos_id(new);
        let found: Vec<_> = made.iter().map(|order| order["status"].as_i64().unwrap()).collect();
        assert_eq!(found, first.into_iter().collect::<Vec<_>>(), "new, {name}, {extra}");
        if first.is_none() {
            let (outcome, code, why) = reason(&world, new).await;
            let words = if *name == "finished" { "finished" } else { "never_created" };
            assert_eq!((outcome.as_str(), code.as_str(), why.is_empty()), ("skipped", words, false), "{name}");
        }
        assert_eq!(abaha(&world, known)["status"], then, "known, {name}, {extra}");
        let (_, code, why) = reason(&world, known).await;
        assert_eq!(code, word, "{name}, {extra}: {why}");
        assert!(!why.is_empty());
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sapo_status_in_two_class() {
    assert_tuples(TWO_CLASS, |index| TUPLES[index].1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sapo_status_in_detailed() {
    assert_tuples(DETAILED, |index| TUPLES[index].2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sapo_status_in_detailed_with_a_code_for_returned() {
    assert_tuples(&format!("{DETAILED}\nreturned_code = 40"), |index| TUPLES[index].3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_new_orders_are_created_in_both_profiles() {
    for profile in [TWO_CLASS, DETAILED] {
        let world = world(&format!("{FROM}\n{profile}")).await;
        fixture_products(&world).await;
        for (name, id, total) in [
            ("create", 14_800_001, 3),
            ("create-fee-and-discount", 14_800_040, 2),
            ("create-unlinked-line", 14_800_030, 2),
        ] {
            post_omni(&world, "orders/create", &fixture(&format!("omni/webhook-orders-{name}"))).await;
            world.quiet().await;
            let made = abaha(&world, id);
            assert_eq!(made["status"], 5, "{name}");
            let many: i64 =
                made["product_items"].as_array().unwrap().iter().map(|line| line["quantity"].as_i64().unwrap()).sum();
            assert_eq!(many, total, "{name}");
        }
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sapo_status_that_nobody_knows_holds_with_a_reason() {
    for profile in [TWO_CLASS, DETAILED] {
        let world = world(&format!("{FROM}\n{profile}")).await;
        fixture_products(&world).await;
        let id = 14_970_000;
        post_omni(&world, "orders/create", &before("draft", id)).await;
        world.quiet().await;
        for (field, word) in [("status", "frozen"), ("return_status", "lost"), ("status", "")] {
            let mut body = omni_body("webhook-orders-update-draft", id);
            body[field] = word.into();
            body["modified_on"] = "2026-03-02T05:00:00Z".into();
            world.sandbox.clear_calls();
            // Equal times with other content would be read; these come one after the other.
            body["modified_on"] = format!("2026-03-02T05:0{}:00Z", word.len()).into();
            post_omni(&world, "orders/update", &body).await;
            world.quiet().await;
            let (_, code, why) = reason(&world, id).await;
            assert!(code == "unknown_status" || code == "stale", "{field} {word:?}: {code} {why}");
            assert_eq!((abaha(&world, id)["status"].as_i64(), world.sandbox.calls().len()), (Some(5), 0));
        }
        world.finish(&[]).await;
    }
}

type Words = Option<&'static str>;

/// Each code of Abaha's, with words where they say more: is a new order created, is a standing one cancelled, and the
/// word for it where nothing is called.
#[rustfmt::skip]
const CODES: [(i64, Words, Words, Words); 13] = [
    // code, words, not created because, standing order left because
    (-1, None,              Some("never_created"),  None),
    (0,  None,              Some("never_created"),  None),
    (1,  None,              Some("cart"),           Some("cart")),
    (5,  None,              None,                   Some("same_class")),
    (10, None,              None,                   Some("same_class")),
    (15, None,              None,                   Some("same_class")),
    (20, None,              None,                   Some("same_class")),
    (25, None,              None,                   Some("same_class")),
    (30, None,              Some("closed"),         Some("closed")),
    (7,  None,              Some("unknown_status"), Some("unknown_status")),
    (40, None,              Some("unknown_status"), Some("unknown_status")),
    (30, Some("Hoàn hàng"), Some("never_created"),  None),
    (99, Some("hoàn hàng"), Some("never_created"),  None),
];

async fn assert_codes(extra: &str, with_code: bool) {
    let world = world(extra).await;
    linked_product(&world, "AT-S").await;
    let shop = world.sandbox.abaha();
    for (code, words, first, then) in CODES {
        let (first, then) = if with_code && code == 40 { (Some("never_created"), None) } else { (first, then) };
        let name = format!("{code} {words:?}, {extra}");
        let (known, known_code) = place_in(&world, &order_in("AT-S", 1));
        world.sandbox.stop_webhooks();
        let (new, new_code) = place_in(&world, &PlaceAbahaOrder { status: code, ..order_in("AT-S", 1) });
        world.sandbox.send_webhooks_to(&world.url());
        world.quiet().await;
        assert_eq!(sapo(&world, &known_code)["status"], "draft", "{name}");
        world.sandbox.clear_calls();
        shop.set_status(new, code, words).unwrap();
        world.quiet().await;
        assert_eq!(world.sandbox.omni().order_by_reference(&new_code).len(), usize::from(first.is_none()), "{name}");
        if let Some(word) = first {
            assert_eq!(world.outcome(new).await, ("skipped".into(), word.into()), "{name}");
            assert_eq!(world.sandbox.calls().len(), 0, "{name}");
        } else {
            assert_eq!(sapo(&world, &new_code)["status"], "draft", "{name}: never approved, packed or shipped");
        }
        world.sandbox.clear_calls();
        shop.set_status(known, code, words).unwrap();
        world.quiet().await;
        let expected = if then.is_none() { "cancelled" } else { "draft" };
        assert_eq!(sapo(&world, &known_code)["status"], expected, "{name}");
        match then {
            Some(word) => {
                let (outcome, found, why) = reason(&world, known).await;
                assert_eq!((outcome.as_str(), found.as_str(), why.is_empty()), ("skipped", word, false), "{name}");
                assert_eq!(world.sandbox.calls().len(), 0, "{name}");
            }
            None => assert_eq!(world.sandbox.calls().len(), 1, "{name}: {:?}", world.sandbox.calls()),
        }
        // Its own words stay: Hoàn hàng is not made Hủy by the echo.
        let there = shop.order(known).unwrap();
        assert_eq!(there["status"], code, "{name}");
        assert!(words.is_none_or(|words| there["status_view"] == words), "{name}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_abaha_code_in_two_class() {
    assert_codes(TWO_CLASS, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_abaha_code_in_detailed() {
    assert_codes(DETAILED, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_abaha_code_with_a_code_for_returned_in_both_profiles() {
    assert_codes(&format!("{TWO_CLASS}\nreturned_code = 40"), true).await;
    assert_codes(&format!("{DETAILED}\nreturned_code = 40"), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_abaha_pay_cancel_and_return() {
    for (name, status, paid) in
        [("paid", "draft", "paid"), ("cancelled", "cancelled", "unpaid"), ("returned", "cancelled", "unpaid")]
    {
        let world = world(FROM).await;
        fixture_products(&world).await;
        post_abaha(&world, &fixture("abaha/webhook-order-created")).await;
        world.quiet().await;
        post_abaha(&world, &fixture(&format!("abaha/webhook-order-updated-{name}"))).await;
        world.quiet().await;
        let made = sapo(&world, "ABH000001");
        assert_eq!((&made["status"], &made["payment_status"]), (&json!(status), &json!(paid)), "{name}");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detailed_follows_an_order_of_sapo_through_its_whole_life() {
    let world = world(DETAILED).await;
    let line = linked_product(&world, "AT-S").await;
    let (omni, id) = (world.sandbox.omni(), place_out(&world, order_out(line, 2)));
    world.quiet().await;
    let mut seen = vec![abaha(&world, id)["status"].as_i64().unwrap()];
    for step in ["finalize", "pack", "ship", "receive", "pay"] {
        match step {
            "finalize" => omni.finalize(id),
            "pack" => omni.pack(id),
            "ship" => omni.ship(id),
            "receive" => omni.receive(id),
            _ => omni.pay(id),
        }
        .unwrap();
        world.quiet().await;
        seen.push(abaha(&world, id)["status"].as_i64().unwrap());
    }
    assert_eq!(seen, [5, 10, 15, 20, 20, 25]);
    omni.return_order(id, true).unwrap();
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 25);
    // The order and its return slip are told of apart; whichever comes second is superseded or unchanged.
    assert!(world.events_of(id).await.iter().any(|row| row.code == "part_returned"));
    omni.return_order(id, false).unwrap();
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 25, "without a code for Hoàn hàng a note is left");
    assert_eq!(counts(&world), (1, 1));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_class_leaves_a_standing_order_alone_through_its_whole_life() {
    let world = world(TWO_CLASS).await;
    let line = linked_product(&world, "AT-S").await;
    let (omni, id) = (world.sandbox.omni(), place_out(&world, order_out(line, 1)));
    let (_, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    world.sandbox.clear_calls();
    let made = sapo(&world, &code)["id"].as_u64().unwrap();
    for order in [id, made] {
        omni.complete(order).unwrap();
    }
    world.quiet().await;
    assert_eq!(abaha(&world, id)["status"], 5);
    let orders = world.sandbox.calls().into_iter().filter(|call| call.path.starts_with("order")).count();
    assert_eq!(orders, 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_status_ever_goes_backwards() {
    let world = world(DETAILED).await;
    let line = linked_product(&world, "AT-S").await;
    let id = place_out(&world, order_out(line, 1));
    let (inward, code) = place_in(&world, &PlaceAbahaOrder { status: 20, ..order_in("AT-S", 1) });
    world.quiet().await;
    let there = abaha(&world, id)["id"].as_u64().unwrap();
    world.sandbox.abaha().set_status(there, 20, None).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    for order in [id, sapo(&world, &code)["id"].as_u64().unwrap()] {
        world.sandbox.omni().finalize(order).unwrap();
    }
    world.quiet().await;
    for order in [there, inward] {
        assert_eq!(world.sandbox.abaha().order(order).unwrap()["status"], 20);
    }
    let orders: Vec<_> = world.sandbox.calls().into_iter().filter(|call| call.path.starts_with("order")).collect();
    assert!(orders.is_empty(), "{orders:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_goes_both_ways_once_and_is_final() {
    for profile in [TWO_CLASS, DETAILED] {
        let world = world(profile).await;
        let line = linked_product(&world, "AT-S").await;
        let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
        let out = place_out(&world, order_out(line, 1));
        let (inward, code) = place_in(&world, &order_in("AT-S", 1));
        world.quiet().await;
        let (there, here) = (abaha(&world, out)["id"].as_u64().unwrap(), sapo(&world, &code)["id"].as_u64().unwrap());
        world.sandbox.clear_calls();
        omni.cancel(out).unwrap();
        shop.set_status(inward, 0, None).unwrap();
        world.quiet().await;
        assert_eq!(
            (abaha(&world, out)["status"].as_i64(), &sapo(&world, &code)["status"]),
            (Some(0), &json!("cancelled"))
        );
        assert_eq!(writes(&world, Api::Abaha), ["order/update"], "{profile}");
        assert_eq!(writes(&world, Api::Omni), [format!("orders/{here}/cancel")], "{profile}");
        assert_eq!(world.sandbox.calls().len(), 2, "{:?}", world.sandbox.calls());
        // Cancelled again in other words, on either side, and live again: no call, and a note.
        world.sandbox.clear_calls();
        for order in [inward, there] {
            shop.set_status(order, -1, None).unwrap();
            world.quiet().await;
            shop.set_status(order, 10, None).unwrap();
            world.quiet().await;
            let (outcome, word, why) = reason(&world, order).await;
            assert_eq!((outcome.as_str(), word.as_str()), ("skipped", "after_cancel"), "{why}");
        }
        assert_eq!(world.sandbox.calls().len(), 0);
        assert_eq!(omni.order(out).unwrap()["status"], "cancelled");
        assert_eq!(counts(&world), (2, 2));
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_on_the_side_it_was_made_on_goes_back_too() {
    // Sapo cancels what came from Abaha, Abaha cancels what came from Sapo.
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    let out = place_out(&world, order_out(line, 1));
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    world.sandbox.omni().cancel(sapo(&world, &code)["id"].as_u64().unwrap()).unwrap();
    world.sandbox.abaha().set_status(abaha(&world, out)["id"].as_u64().unwrap(), 0, None).unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().order(inward).unwrap()["status"], 0);
    assert_eq!(world.sandbox.omni().order(out).unwrap()["status"], "cancelled");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_there_before_we_say_so_is_success() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    // Sapo's webhook is lost: only the refusal "đã bị hủy" tells.
    world.sandbox.stop_webhooks();
    world.sandbox.omni().cancel(sapo(&world, &code)["id"].as_u64().unwrap()).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    world.sandbox.abaha().set_status(inward, 0, None).unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(inward).await, ("done".into(), "cancelled".into()));
    // Everywhere else it is a conflict, which a person must see.
    let (paid, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    world.sandbox.stop_webhooks();
    world.sandbox.omni().cancel(sapo(&world, &code)["id"].as_u64().unwrap()).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    world.sandbox.abaha().pay(paid).unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(paid).await, ("dead".into(), "conflict_cancelled".into()));
    world.finish(&["dead:conflict_cancelled"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_order_cannot_be_cancelled_and_the_error_names_the_return_slip() {
    for words in [None, Some("Hoàn hàng")] {
        let world = World::new().await;
        linked_product(&world, "AT-S").await;
        let (inward, code) = place_in(&world, &order_in("AT-S", 1));
        world.quiet().await;
        world.sandbox.omni().complete(sapo(&world, &code)["id"].as_u64().unwrap()).unwrap();
        world.quiet().await;
        world.sandbox.abaha().set_status(inward, 0, words).unwrap();
        world.quiet().await;
        let (outcome, word, why) = reason(&world, inward).await;
        assert_eq!((outcome.as_str(), word.as_str()), ("dead", "needs_return_slip"));
        assert!(why.contains("phiếu trả hàng"), "{why}");
        let letter = &world.dead().await[0];
        assert_eq!(letter.reference.as_deref(), Some(code.as_str()));
        assert!(letter.last_answer.as_deref().is_some_and(|answer| answer.contains("trả hàng")), "{letter:?}");
        assert_eq!(sapo(&world, &code)["status"], "completed");
        world.finish(&["dead:needs_return_slip"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_returned_on_sapo_already_is_not_cancelled() {
    let world = World::with(Setup { extra: DETAILED.into(), ..Setup::default() }).await;
    linked_product(&world, "AT-S").await;
    let (inward, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let here = sapo(&world, &code)["id"].as_u64().unwrap();
    world.sandbox.omni().complete(here).unwrap();
    world.sandbox.omni().return_order(here, false).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    world.sandbox.abaha().set_status(inward, 30, Some("Hoàn hàng")).unwrap();
    world.quiet().await;
    let told = world.outcome(inward).await;
    assert_eq!(told, ("skipped".into(), "already_returned".into()), "{:#?}", world.events_of(here).await);
    assert_eq!(world.sandbox.calls().len(), 0);
    world.finish(&[]).await;
}
