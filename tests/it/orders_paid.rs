//! Payments, Abaha → Sapo: what is missing is added as a prepayment, once; everything else leaves a note.

use sapo_sync::sandbox::{Api, PlaceAbahaOrder};
use serde_json::{Value, json};

use crate::harness::{World, dong};
use crate::orders::{counts, linked_product, order_in, place_in, reason, sapo, writes};
use crate::wire;

fn prepaid(order: &Value) -> Vec<(u64, u64)> {
    let payments = order["prepayments"].as_array().unwrap();
    payments
        .iter()
        .map(|payment| (payment["payment_method_id"].as_u64().unwrap(), payment["amount"].as_u64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_adds_the_prepayment_that_is_missing_and_only_once() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (omni, shop) = (world.sandbox.omni(), world.sandbox.abaha());
    let (at_once, at_once_code) =
        place_in(&world, &PlaceAbahaOrder { paid: true, fee: dong(30_000), ..order_in("AT-S", 2) });
    let (later, later_code) = place_in(&world, &order_in("AT-S", 1));
    let (partly, partly_code) = place_in(&world, &order_in("AT-S", 3));
    let (here, here_code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    assert_eq!(prepaid(&sapo(&world, &at_once_code)), [(220_001, 270_000)]);
    assert_eq!(prepaid(&sapo(&world, &later_code)), []);
    // The clerk has taken a part, or everything, before Abaha says paid.
    let id = |code: &str| sapo(&world, code)["id"].as_u64().unwrap();
    let part = json!({"prepayment": {"payment_method_id": 220_002, "amount": 100_000}});
    let url = format!("{}/admin/orders/{}/prepayments.json", world.sandbox.omni_url(), id(&partly_code));
    let config = world.sandbox.config();
    let client = wire::client().post(url).header("x-sapo-access-token", &config.access_token);
    assert!(client.header("x-sapo-locationid", 58_001).json(&part).send().await.unwrap().status().is_success());
    omni.pay(id(&here_code)).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    for order in [later, partly, here] {
        shop.pay(order).unwrap();
    }
    world.quiet().await;
    assert_eq!(prepaid(&sapo(&world, &later_code)), [(220_001, 120_000)]);
    assert_eq!(prepaid(&sapo(&world, &partly_code)), [(220_002, 100_000), (220_001, 260_000)]);
    assert_eq!(prepaid(&sapo(&world, &here_code)), [(220_001, 120_000)]);
    assert_eq!(writes(&world, Api::Omni).len(), 2, "nothing is added where nothing is missing");
    // Said again, with other news, or as the very same: nothing more.
    world.sandbox.clear_calls();
    for order in [at_once, later, partly, here] {
        shop.pay(order).unwrap();
        shop.set_status(order, 10, None).unwrap();
        shop.send_again(order).unwrap();
    }
    world.quiet().await;
    assert_eq!(world.sandbox.calls().len(), 0, "{:?}", world.sandbox.calls());
    for code in [at_once_code, later_code, partly_code, here_code] {
        assert_eq!(sapo(&world, &code)["payment_status"], "paid");
    }
    assert_eq!(counts(&world), (4, 4));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_cancelled_or_taken_back_leaves_a_note_and_no_call() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (cancelled, first) = place_in(&world, &order_in("AT-S", 1));
    let (refunded, second) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    world.quiet().await;
    world.sandbox.clear_calls();
    world.sandbox.abaha().set_payment(cancelled, -1).unwrap();
    world.sandbox.abaha().set_payment(refunded, 0).unwrap();
    world.quiet().await;
    for order in [cancelled, refunded] {
        assert_eq!(world.outcome(order).await, ("skipped".into(), "payment_note".into()));
    }
    assert_eq!(world.sandbox.calls().len(), 0);
    assert_eq!(sapo(&world, &first)["payment_status"], "unpaid");
    assert_eq!(sapo(&world, &second)["payment_status"], "paid");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_after_cancelled_and_paid_without_a_method_leave_a_note() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let (id, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    world.sandbox.omni().cancel(sapo(&world, &code)["id"].as_u64().unwrap()).unwrap();
    world.quiet().await;
    world.sandbox.clear_calls();
    world.sandbox.abaha().pay(id).unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(id).await.1, "payment_note");
    let file = world.connections((true, true, true), "").replace("payment_method = 220001", "");
    world.apply(&file).await;
    world.sandbox.clear_calls();
    let (id, code) = place_in(&world, &PlaceAbahaOrder { paid: true, ..order_in("AT-S", 1) });
    world.quiet().await;
    assert!(reason(&world, id).await.2.contains("payment_method"));
    assert_eq!(sapo(&world, &code)["payment_status"], "unpaid");
    assert_eq!(writes(&world, Api::Omni), ["orders"]);
    world.finish(&[]).await;
}
