//! For whom a web's order is made on the POS: found by its identity, else made once, never overwritten, never guessed.

use sapo_sync::sandbox::{PlaceWebOrder, WebBuyer};
use serde_json::{Value, json};

use crate::harness::World;
use crate::web_orders::{count, linked, on_pos, order_of, place, reason, seen};
use crate::web_world::{connections, webs};

fn buyer(phone: Option<&str>, email: Option<&str>) -> WebBuyer {
    WebBuyer { phone: phone.map(Into::into), email: email.map(Into::into), ..WebBuyer::default() }
}

/// Places an order of a buyer; the customer that the POS's order has.
async fn customer_of(world: &World, number: usize, variant: u64, buyer: Option<WebBuyer>) -> Value {
    let (_, name) = place(world, number, PlaceWebOrder { customer: buyer, ..order_of(variant, 1) });
    world.quiet().await;
    on_pos(world, number, &name)["customer_id"].clone()
}

fn people(world: &World) -> usize {
    world.sandbox.omni().customers().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_phone_is_that_customer_however_either_side_writes_it() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let known = [
        ("0981234561", "+84981234561"),
        ("+84981234562", "0981 234 562"),
        ("84981234563", "0981.234.563"),
        ("01201234566", "+84701234566"),
    ];
    let ids = known.map(|(typed, _)| world.sandbox.omni().add_customer("Tên Cũ", Some(typed)));
    for ((typed, phone), id) in known.iter().zip(ids) {
        assert_eq!(customer_of(&world, 1, there, Some(buyer(Some(phone), None))).await, id, "{typed} and {phone}");
    }
    assert_eq!(people(&world), known.len(), "nobody was made twice");
    assert!(world.sandbox.omni().customers().iter().all(|customer| customer["name"] == "Tên Cũ"), "never overwritten");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_is_made_once_for_all_webs_with_name_phone_and_email() {
    let world = webs(2, "").await;
    let (_, first) = linked(&world, 1, "AT-S").await;
    let (_, second) = linked(&world, 2, "AT-S").await;
    let phones = ["+84981234567", "0981 234 567", "84981234567", "981234567"];
    let mut placed = Vec::new();
    for (index, phone) in phones.into_iter().enumerate() {
        let (number, variant) = if index % 2 == 0 { (1, first) } else { (2, second) };
        let customer = Some(buyer(Some(phone), Some(" Mau@Example.com")));
        placed.push((number, place(&world, number, PlaceWebOrder { customer, ..order_of(variant, 1) }).1));
    }
    world.quiet().await;
    let customers = world.sandbox.omni().customers();
    assert_eq!(customers.len(), 1);
    let made = ["name", "phone_number", "email"].map(|field| customers[0][field].as_str().unwrap());
    assert_eq!(made, ["Trần Thị Mẫu", "0981234567", "mau@example.com"]);
    for (number, name) in placed {
        assert_eq!(on_pos(&world, number, &name)["customer_id"], customers[0]["id"]);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_identity_that_is_somebody_elses_is_left_out() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let other = world.sandbox.omni().add_customer("Người Khác", None);
    world.sandbox.omni().change_customer(other, |shape| shape["email"] = "Mau@example.com".into()).unwrap();
    let made = customer_of(&world, 1, there, Some(buyer(Some("+84981234567"), Some("mau@example.com")))).await;
    let made = world.sandbox.omni().customer(made.as_u64().unwrap()).unwrap();
    assert_ne!(made["id"], other);
    assert_eq!((&made["phone_number"], &made["email"]), (&json!("0981234567"), &json!("")));

    world.set_webs("customer_identity = \"email\"").await;
    world.sandbox.omni().add_customer("Người Khác", Some("0981234999"));
    let made = customer_of(&world, 1, there, Some(buyer(Some("+84981234999"), Some("moi@example.com")))).await;
    let made = world.sandbox.omni().customer(made.as_u64().unwrap()).unwrap();
    assert_eq!((&made["phone_number"], &made["email"]), (&Value::Null, &json!("moi@example.com")));
    assert_eq!(people(&world), 4);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_customers_of_one_phone_are_shown_and_the_order_waits() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let ids = ["0981234567", "+84981234567"].map(|typed| world.sandbox.omni().add_customer("Người Mẫu", Some(typed)));
    let customer = Some(buyer(Some("+84981234567"), None));
    let (id, name) = place(&world, 1, PlaceWebOrder { customer, ..order_of(there, 1) });
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "ambiguous"));
    assert!(ids.iter().all(|id| why.contains(&id.to_string())), "{why}");
    assert!(!why.contains("981234567"), "no number of anybody is told: {why}");
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "ambiguous".into()));
    assert_eq!((count(&world), people(&world)), (0, 2));
    // Somebody else's news wakes nothing.
    let waits = world.parked().await[0].generation;
    world.sandbox.omni().add_customer("Người Khác", Some("0981234999"));
    world.quiet().await;
    assert_eq!(world.parked().await[0].generation, waits);
    world.sandbox.omni().delete_customer(ids[1]).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["customer_id"], ids[0]);
    assert_eq!(seen(&world, 1, id).await, ("linked".into(), "linked".into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_customers_of_one_email_are_shown_and_the_order_goes_once_only_one_has_it() {
    let world = webs(1, "customer_identity = \"email\"").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let omni = world.sandbox.omni();
    let ids = ["Mau@example.com", " mau@EXAMPLE.com"].map(|typed| {
        let id = omni.add_customer("Người Mẫu", None);
        omni.change_customer(id, |shape| shape["email"] = typed.into()).unwrap();
        id
    });
    let customer = Some(buyer(Some("+84981234567"), Some("mau@example.com")));
    let (id, name) = place(&world, 1, PlaceWebOrder { customer, ..order_of(there, 1) });
    world.quiet().await;
    let (outcome, cause, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), cause.as_str()), ("parked", "ambiguous"));
    assert!(ids.iter().all(|id| why.contains(&id.to_string())) && why.contains("e-mail"), "{why}");
    assert!(!why.contains("example.com"), "no address of anybody is told: {why}");
    assert_eq!(seen(&world, 1, id).await, ("error".into(), "ambiguous".into()));
    assert_eq!((count(&world), people(&world)), (0, 2));
    omni.change_customer(ids[0], |shape| shape["email"] = "khac@example.com".into()).unwrap();
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["customer_id"], ids[1]);
    assert_eq!((count(&world), people(&world)), (1, 2));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_usable_identity_is_the_walk_in_customer_and_an_addresss_phone_is_nobodys() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    // Every one of these orders has an address with a phone that is a number.
    let nobody = [
        None,
        Some(buyer(None, Some("mau@example.com"))),
        Some(buyer(Some("09******12"), None)),
        Some(buyer(Some("113"), None)),
    ];
    for buyer in nobody.clone() {
        assert_eq!(customer_of(&world, 1, there, buyer).await, Value::Null);
    }
    assert_eq!(people(&world), 0);
    let walk_in = world.sandbox.omni().add_customer("Khách lẻ", None);
    world.sandbox.omni().add_customer("Khách lẻ", Some("0981234567"));
    for buyer in nobody.clone() {
        assert_eq!(customer_of(&world, 1, there, buyer).await, walk_in);
    }
    let chosen = world.sandbox.omni().add_customer("Khách web", None);
    world.set_webs(&format!("walk_in_customer = {chosen}")).await;
    for buyer in nobody {
        assert_eq!(customer_of(&world, 1, there, buyer).await, chosen);
    }
    assert_eq!(people(&world), 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_customers_off_every_order_is_the_walk_in_customers() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.apply(&connections(&world.sandbox, (true, false, true), "")).await;
    world.sandbox.omni().add_customer("Trần Thị Mẫu", Some("0912000001"));
    assert_eq!(customer_of(&world, 1, there, Some(WebBuyer::default())).await, Value::Null);
    let walk_in = world.sandbox.omni().add_customer("Khách lẻ", None);
    let (_, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let made = on_pos(&world, 1, &name);
    assert_eq!((&made["customer_id"], &made["phone_number"]), (&json!(walk_in), &json!("0912000001")));
    assert_eq!(people(&world), 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_an_identity_whatever_its_case_where_that_is_chosen() {
    let world = webs(1, "customer_identity = \"email\"").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let known = world.sandbox.omni().add_customer("Tên Cũ", Some("0981234567"));
    world.sandbox.omni().change_customer(known, |shape| shape["email"] = " Mau@Example.com".into()).unwrap();
    // Somebody whose address only ends the same.
    let alike = world.sandbox.omni().add_customer("Người Khác", None);
    world.sandbox.omni().change_customer(alike, |shape| shape["email"] = "xmau@example.com".into()).unwrap();
    let by = |email: &str| Some(buyer(None, Some(email)));
    assert_eq!(customer_of(&world, 1, there, by("MAU@example.COM ")).await, known);
    assert_eq!(world.sandbox.omni().customer(known).unwrap()["phone_number"], "0981234567", "never overwritten");
    let made = customer_of(&world, 1, there, by("Moi@example.com")).await;
    assert_eq!(customer_of(&world, 1, there, by("moi@EXAMPLE.com")).await, made);
    assert_eq!(people(&world), 3);
    // Without one it is khách lẻ, whoever has that phone.
    for unusable in [None, Some("không có"), Some("@example.com"), Some("hai@một@example.com")] {
        assert_eq!(customer_of(&world, 1, there, Some(buyer(Some("0981234567"), unusable))).await, Value::Null);
    }
    assert_eq!(people(&world), 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_phone_was_changed_or_who_was_deleted_on_the_pos_is_not_taken_for_the_buyer() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let first = customer_of(&world, 1, there, Some(WebBuyer::default())).await.as_u64().unwrap();
    world.sandbox.omni().change_customer(first, |shape| shape["phone_number"] = "0981234567".into()).unwrap();
    let second = customer_of(&world, 1, there, Some(WebBuyer::default())).await.as_u64().unwrap();
    assert_ne!(first, second);
    world.sandbox.omni().delete_customer(second).unwrap();
    let third = customer_of(&world, 1, there, Some(WebBuyer::default())).await.as_u64().unwrap();
    assert!(third != first && third != second);
    assert_eq!(people(&world), 2);
    world.finish(&[]).await;
}
