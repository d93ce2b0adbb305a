//! For whom an Abaha order is made on Sapo: found by phone, else made for it, never doubled and never guessed.

use sapo_sync::sandbox::PlaceAbahaOrder;
use sapo_sync::store::links::{LinkFilter, LinkKind};
use serde_json::{Value, json};

use crate::harness::{Setup, World};
use crate::orders::{TEL, abaha, counts, linked_product, order_in, order_out, place_in, place_out, reason, sapo};
use crate::proxy::proxied;

#[tokio::test(flavor = "multi_thread")]
async fn the_customer_is_found_by_phone_however_either_side_writes_it() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    // (as typed on Sapo, as typed on Abaha): one person each.
    let people = [
        ("0981 234 561", "+84981234561"),
        ("+84 98 123 45 62", "0981234562"),
        ("84981234563", "0981.234.563"),
        ("0084981234564", "981234564"),
        ("0981.234.565", "+84 (0)981 234 565"),
        ("01201234566", "0701234566"),
        ("0331234567", "01631234567"),
        ("0845123456", "845123456"),
        ("02838123456", "+842838123456"),
        ("+65 8123 4567", "+6581234567"),
    ];
    let ids: Vec<u64> =
        people.iter().map(|(typed, _)| world.sandbox.omni().add_customer("Người Mẫu", Some(typed))).collect();
    world.quiet().await;
    for ((typed, tel), id) in people.iter().zip(&ids) {
        let (_, code) = place_in(&world, &PlaceAbahaOrder { tel: (*tel).to_owned(), ..order_in("AT-S", 1) });
        world.quiet().await;
        assert_eq!(sapo(&world, &code)["customer_id"], *id, "{typed} and {tel}");
    }
    assert_eq!(world.sandbox.omni().customers().len(), people.len(), "nobody was made twice");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_was_never_linked_is_found_through_the_api() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    world.sandbox.stop_webhooks();
    let people = [
        ("0981234561", "+84 981 234 561"),
        ("+84981234562", "0981234562"),
        ("84981234563", "0981 234 563"),
        ("0084981234564", "0981234564"),
        ("981234565", "0981234565"),
        ("01201234566", "0701234566"),
        ("0701234567", "01201234567"),
    ];
    let ids: Vec<u64> =
        people.iter().map(|(typed, _)| world.sandbox.omni().add_customer("Người Mẫu", Some(typed))).collect();
    // Somebody whose number only begins the same.
    world.sandbox.omni().add_customer("Người Khác", Some("02812345612"));
    world.sandbox.send_webhooks_to(&world.url());
    for ((typed, tel), id) in people.iter().zip(&ids) {
        let (_, code) = place_in(&world, &PlaceAbahaOrder { tel: (*tel).to_owned(), ..order_in("AT-S", 1) });
        world.quiet().await;
        assert_eq!(sapo(&world, &code)["customer_id"], *id, "{typed} and {tel}");
    }
    assert_eq!(world.sandbox.omni().customers().len(), people.len() + 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_gets_one_minimal_customer_however_many_orders_come_at_once() {
    let (world, omni, _) = proxied(Setup::default()).await;
    linked_product(&world, "AT-S").await;
    let tels = ["0981 234 567", "+84981234567", "84981234567", "0981.234.567", "981234567"];
    let codes = tels.map(|tel| place_in(&world, &PlaceAbahaOrder { tel: tel.to_owned(), ..order_in("AT-S", 1) }).1);
    world.quiet().await;
    let customers = world.sandbox.omni().customers();
    assert_eq!(customers.len(), 1);
    assert_eq!((&customers[0]["name"], &customers[0]["phone_number"]), (&json!("Trần Thị Mẫu"), &json!("0981234567")));
    let posted = omni.posted("/admin/customers.json");
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].body, json!({"customer": {"name": "Trần Thị Mẫu", "phone_number": "0981234567"}}));
    for code in codes {
        assert_eq!(sapo(&world, &code)["customer_id"], customers[0]["id"]);
    }
    let (_, later) =
        place_in(&world, &PlaceAbahaOrder { tel: tels[0].to_owned(), name: "Tên Khác".into(), ..order_in("AT-S", 1) });
    world.quiet().await;
    assert_eq!(sapo(&world, &later)["customer_id"], customers[0]["id"]);
    assert_eq!(world.sandbox.omni().customers()[0]["name"], "Trần Thị Mẫu", "never overwritten");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_customers_of_one_phone_are_shown_and_the_order_waits() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    world.sandbox.stop_webhooks();
    let ids = ["0981234567", "+84981234567"].map(|typed| world.sandbox.omni().add_customer("Người Mẫu", Some(typed)));
    world.sandbox.send_webhooks_to(&world.url());
    let (id, code) = place_in(&world, &PlaceAbahaOrder { tel: "0981 234 567".into(), ..order_in("AT-S", 1) });
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "ambiguous"));
    assert!(ids.iter().all(|id| why.contains(&id.to_string())), "{why}");
    assert_eq!((counts(&world), world.sandbox.omni().customers().len()), ((0, 1), 2));
    world.sandbox.omni().delete_customer(ids[1]).unwrap();
    world.quiet().await;
    assert_eq!(counts(&world), (1, 1));
    assert_eq!(sapo(&world, &code)["customer_id"], ids[0]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_phone_number_makes_no_customer() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let texts = ["", "09******12", "0981234567 / 0912000001", "113", "hỏi chị Lan"];
    for tel in texts {
        let (_, code) = place_in(&world, &PlaceAbahaOrder { tel: tel.into(), ..order_in("AT-S", 1) });
        world.quiet().await;
        let made = sapo(&world, &code);
        assert_eq!((&made["customer_id"], &made["phone_number"]), (&Value::Null, &Value::Null), "{tel:?}");
    }
    assert_eq!(world.sandbox.omni().customers().len(), 0);
    // The shop's own walk-in customer takes such orders, where there is one.
    let walk_in = world.sandbox.omni().add_customer("Khách lẻ", None);
    let (_, code) = place_in(&world, &PlaceAbahaOrder { tel: String::new(), ..order_in("AT-S", 1) });
    world.quiet().await;
    assert_eq!(sapo(&world, &code)["customer_id"], walk_in);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_known_from_an_order_without_a_customer_is_no_customer_on_sapo() {
    let world = World::new().await;
    let line = linked_product(&world, "AT-S").await;
    // Sapo's order has a phone but no customer; Abaha gets one for it.
    let out = place_out(&world, order_out(line, 1));
    world.quiet().await;
    abaha(&world, out);
    assert!(world.sandbox.abaha().customer_by_tel(TEL).is_some());
    let (_, code) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let customers = world.sandbox.omni().customers();
    assert_eq!(customers.len(), 1);
    assert_eq!(sapo(&world, &code)["customer_id"], customers[0]["id"]);
    // And the customer that exists now is the one that Abaha has.
    let links = world
        .store()
        .list_links(&LinkFilter { kind: Some(LinkKind::Customer), limit: 10, ..LinkFilter::default() })
        .await
        .unwrap();
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!(links[0].sapo_id, customers[0]["id"].to_string());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_deleted_on_sapo_is_not_used_again() {
    let world = World::new().await;
    linked_product(&world, "AT-S").await;
    let known = world.sandbox.omni().add_customer("Người Mẫu", Some(TEL));
    world.quiet().await;
    world.sandbox.omni().delete_customer(known).unwrap();
    world.quiet().await;
    let (_, first) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let made = sapo(&world, &first)["customer_id"].as_u64().unwrap();
    assert_ne!(made, known);
    // The same for one that was made for an order.
    world.sandbox.omni().delete_customer(made).unwrap();
    world.quiet().await;
    let (_, second) = place_in(&world, &order_in("AT-S", 1));
    world.quiet().await;
    let again = sapo(&world, &second)["customer_id"].as_u64().unwrap();
    assert_ne!(again, made);
    assert_eq!(world.sandbox.omni().customers().len(), 1);
    world.finish(&[]).await;
}
