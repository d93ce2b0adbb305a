//! Orders, Sapo Web → POS: what is created of which order, and what the owner sees of the others.

use std::collections::BTreeSet;

use bytes::Bytes;
use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{Api, PlaceWebOrder, WebBuyer};
use sapo_sync::store::channel_orders::{ChannelOrder, ChannelOrderFilter, ChannelOrderState};
use sapo_sync::store::links::{Link, LinkKind};
use serde_json::{Value, json};

use crate::harness::{World, dong};
use crate::orders::writes;
use crate::web_world::{connections, web_alias, web_connection, webs};

/// A product at 120.000 ₫, so many in stock, on the POS and on a web; waits until it is linked. Its variant's ids on
/// the POS and on the web.
pub async fn linked(world: &World, number: usize, sku: &str) -> (u64, u64) {
    let there = world.on_web(number, sku, 120_000, 1_000);
    if world.sandbox.omni().variant_by_sku(sku).is_none() {
        world.on_pos(sku, 120_000, 1_000);
    }
    world.quiet().await;
    let here = world.pos_variant(sku);
    assert!(world.web_link(number, here).await.is_some(), "{sku} is linked");
    (here, there)
}

/// An order of so many of one variant, by the samples' person.
pub fn order_of(variant: u64, quantity: i64) -> PlaceWebOrder {
    PlaceWebOrder { lines: vec![(variant, quantity.into())], ..PlaceWebOrder::default() }
}

/// Places an order on a web; its id and its name there.
pub fn place(world: &World, number: usize, order: PlaceWebOrder) -> (u64, String) {
    let web = world.sandbox.web(&web_alias(number));
    let id = web.place_order(order);
    (id, web.order(id).unwrap()["name"].as_str().unwrap().to_owned())
}

/// The orders on the POS that were made of a web's order: its name and the web's tag.
pub fn made_of(world: &World, number: usize, name: &str) -> Vec<Value> {
    let tag = json!(format!("sapo-sync:{}", web_connection(number)));
    let mut found = world.sandbox.omni().order_by_reference(name);
    found.retain(|order| order["tags"].as_array().is_some_and(|tags| tags.contains(&tag)));
    found
}

/// The one order on the POS that was made of a web's order.
#[track_caller]
pub fn on_pos(world: &World, number: usize, name: &str) -> Value {
    let mut found = made_of(world, number, name);
    assert_eq!(found.len(), 1, "orders on the POS for {name} of web {number}");
    found.remove(0)
}

/// The id of an order on the POS.
pub fn id_of(order: &Value) -> u64 {
    order["id"].as_u64().unwrap()
}

/// The link of a web's order.
pub async fn order_link(world: &World, number: usize, id: u64) -> Link {
    let name = web_connection(number);
    world.store().link_by_channel(&name, LinkKind::Order, &id.to_string()).await.unwrap().expect("a link")
}

/// What the owner sees of a web's order.
pub async fn row(world: &World, number: usize, id: u64) -> ChannelOrder {
    world.store().channel_order(&web_connection(number), &id.to_string()).await.unwrap().expect("a row")
}

/// State and code of what the owner sees of a web's order.
pub async fn seen(world: &World, number: usize, id: u64) -> (String, String) {
    let row = row(world, number, id).await;
    (row.state, row.code)
}

/// The last outcome, code and reason of an object for one web's connection.
pub async fn reason(world: &World, number: usize, object: impl ToString) -> (String, String, String) {
    let mut rows = world.web_events_of(number, object).await;
    // One change is told under several topics: what was said of the first counts.
    if rows.iter().any(|row| tells(&row.code)) {
        rows.retain(|row| tells(&row.code));
    }
    let row = rows.pop().expect("an event of the object");
    (row.outcome, row.code, row.reason)
}

fn tells(code: &str) -> bool {
    !matches!(code, "superseded" | "unchanged" | "stale")
}

/// Sends one order by hand, as the owner does.
pub async fn send_by_hand(world: &World, number: usize, id: u64) {
    let key = ObjectKey {
        connection: web_connection(number),
        source: System::Web,
        kind: Kind::Order,
        object_id: id.to_string(),
    };
    let (store, now) = (world.sandbox.config().alias.clone(), world.store().clock().now());
    let mut event = Event::new(key, store, "sync", Shape::Id, now, Bytes::from_static(b"{}"));
    event.force = true;
    world.publish(&event).await;
    world.quiet().await;
}

/// How many orders the POS has.
pub fn count(world: &World) -> usize {
    world.sandbox.omni().orders().len()
}

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_order_becomes_one_draft_at_the_chosen_branch_with_its_address() {
    let world = webs(1, "order_branch = 58002\nstaff = 72001\nsource = 387002").await;
    let (here, there) = linked(&world, 1, "AT-S").await;
    let buyer = world.sandbox.omni().add_customer("Trần Thị Mẫu", Some("0912000001"));
    world.quiet().await;
    let buys = WebBuyer { email: Some("mau@example.com".into()), ..WebBuyer::default() };
    let order =
        PlaceWebOrder { discount: dong(20_000), shipping: dong(30_000), customer: Some(buys), ..order_of(there, 2) };
    let (id, name) = place(&world, 1, order);
    world.quiet().await;
    assert_eq!(name, "#1001");
    let made = on_pos(&world, 1, &name);
    let expected = json!({
        "status": "draft", "location_id": 58_002, "account_id": 72_001, "assignee_id": 72_001, "source_id": 387_002,
        "customer_id": buyer, "phone_number": "0912000001", "email": "mau@example.com", "reference_number": "#1001",
        "tags": ["sapo-sync:mau-web1"], "tax_treatment": "inclusive", "total": 250_000, "order_discount_value": 20_000,
        "total_tax": 0, "payment_status": "unpaid"
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(made[field], *value, "{field}");
    }
    assert_eq!(made["delivery_fee"]["fee"], 30_000);
    for address in ["shipping_address", "billing_address"] {
        let expected = json!({
            "address1": "Số 1 phố Thử Nghiệm", "full_name": "Trần Thị Mẫu", "phone_number": "0912000001",
            "ward": "Phường Mẫu", "district": "Quận Mẫu", "city": "Hà Nội", "country": "Vietnam"
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(made[address][field], *value, "{address} {field}");
        }
    }
    let lines = made["order_line_items"].as_array().unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["variant_id"], &lines[0]["quantity"], &lines[0]["price"]),
        (&json!(here), &json!(2), &json!(120_000))
    );
    assert_eq!(seen(&world, 1, id).await, pair("linked", "linked"));
    assert!(world.web_events_of(1, id).await.iter().all(|row| row.reference.as_deref() == Some("#1001")));
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_an_address_or_a_first_line_goes_without_one() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let (_, none) = place(&world, 1, PlaceWebOrder { address: false, ..order_of(there, 1) });
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &none)["shipping_address"], Value::Null);
    world.sandbox.stop_webhooks();
    let (id, lineless) = place(&world, 1, order_of(there, 1));
    world.sandbox.send_webhooks_to(&world.url());
    let blank = |order: &mut Value| order["shipping_address"]["address1"] = "  ".into();
    world.sandbox.web(&web_alias(1)).change_order(id, blank).unwrap();
    world.quiet().await;
    let made = on_pos(&world, 1, &lineless);
    assert_eq!(made["shipping_address"], Value::Null);
    assert_eq!(made["billing_address"]["address1"], "Số 1 phố Thử Nghiệm");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_web_has_its_own_order_1001() {
    let world = webs(2, "").await;
    let (_, first) = linked(&world, 1, "AT-S").await;
    let (_, second) = linked(&world, 2, "AT-S").await;
    let (one, name) = place(&world, 1, order_of(first, 1));
    let (two, same) = place(&world, 2, order_of(second, 1));
    world.quiet().await;
    assert_eq!((name.as_str(), same.as_str(), count(&world)), ("#1001", "#1001", 2));
    let ids = [on_pos(&world, 1, &name), on_pos(&world, 2, &name)].map(|order| order["id"].to_string());
    assert_eq!(order_link(&world, 1, one).await.sapo_id, ids[0]);
    assert_eq!(order_link(&world, 2, two).await.sapo_id, ids[1]);
    assert_eq!(world.sandbox.omni().customers().len(), 1, "one person, however many webs");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_resolved_by_its_variants_link_whatever_its_sku_says() {
    let world = webs(1, "").await;
    let (at_s, there) = linked(&world, 1, "AT-S").await;
    linked(&world, 1, "AT-M").await;
    // Renamed to what is somebody else's SKU: the link stays with the ids.
    world.sandbox.web(&web_alias(1)).set_sku(there, "AT-M").unwrap();
    world.quiet().await;
    let (_, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["order_line_items"][0]["variant_id"], at_s);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_an_unlinked_line_waits_and_goes_by_itself_once_it_is_linked() {
    let world = webs(1, "").await;
    let (_, known) = linked(&world, 1, "AT-S").await;
    let [first, second] = ["MOI-1", "MOI-2"].map(|sku| world.on_web(1, sku, 50_000, 5));
    let order = PlaceWebOrder {
        lines: [known, first, second].map(|variant| (variant, dong(1))).to_vec(),
        ..PlaceWebOrder::default()
    };
    let (id, name) = place(&world, 1, order);
    world.quiet().await;
    let (outcome, code, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("parked", "unlinked_product"));
    assert!(why.contains("MOI-1") && why.contains("MOI-2"), "{why}");
    let shown = row(&world, 1, id).await;
    assert_eq!(
        (shown.state.as_str(), shown.code.as_str(), shown.name.as_str()),
        ("error", "unlinked_product", "#1001")
    );
    assert_eq!(shown.reason, why);
    assert_eq!((count(&world), world.sandbox.omni().customers().len()), (0, 0), "nothing at all is made for it");
    world.on_pos("MOI-1", 50_000, 5);
    world.quiet().await;
    world.eventually("it waits for the second", || async { !reason(&world, 1, id).await.2.contains("MOI-1") }).await;
    assert_eq!(count(&world), 0);
    world.on_pos("MOI-2", 50_000, 5);
    world.quiet().await;
    world.eventually("it goes", || async { count(&world) == 1 }).await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["total"], 220_000);
    assert_eq!(seen(&world, 1, id).await, pair("linked", "linked"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_variant_without_a_sku_goes_once_that_variant_is_linked() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "", 120_000, 5);
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(seen(&world, 1, id).await, pair("error", "unlinked_product"));
    world.on_pos("AT-S", 120_000, 5);
    world.quiet().await;
    assert_eq!(count(&world), 0);
    world.sandbox.web(&web_alias(1)).set_sku(there, "AT-S").unwrap();
    world.quiet().await;
    world.eventually("it goes", || async { count(&world) == 1 }).await;
    world.quiet().await;
    assert_eq!(on_pos(&world, 1, &name)["order_line_items"][0]["variant_id"], world.pos_variant("AT-S"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_form_line_and_an_order_without_lines_are_lasting_errors() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.sandbox.clear_calls();
    let order = PlaceWebOrder { free_form: Some(("Gói quà".into(), dong(10_000))), ..order_of(there, 1) };
    let (id, _) = place(&world, 1, order);
    let (empty, _) = place(&world, 1, PlaceWebOrder::default());
    world.quiet().await;
    let (outcome, code, why) = reason(&world, 1, id).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("dead", "free_form_line"));
    assert!(why.contains("Gói quà"), "{why}");
    assert_eq!(seen(&world, 1, id).await, pair("error", "free_form_line"));
    assert_eq!(seen(&world, 1, empty).await, pair("error", "no_lines"));
    assert_eq!((count(&world), world.sandbox.calls().len()), (0, 0));
    // Each webhook that tells of such an order is a letter of its own, unless they came together.
    let left: Vec<String> = world.dead().await.into_iter().map(|letter| format!("dead:{}", letter.code)).collect();
    assert_eq!(left.iter().collect::<BTreeSet<_>>().len(), 2, "{left:?}");
    world.finish(&left.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_from_before_the_start_line_goes_by_hand_only() {
    let world = webs(1, "orders_from = \"2026-03-01T00:00:00Z\"").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let at = |time: &str| PlaceWebOrder { created_on: Some(time.into()), ..order_of(there, 1) };
    let (before, name) = place(&world, 1, at("2026-02-28T23:59:59Z"));
    let (on, _) = place(&world, 1, at("2026-03-01T00:00:00Z"));
    world.quiet().await;
    assert_eq!(count(&world), 1);
    assert_eq!(seen(&world, 1, before).await, pair("unlinked", "before_start_line"));
    assert_eq!(seen(&world, 1, on).await, pair("linked", "linked"));
    world.sandbox.web(&web_alias(1)).set_paid(before).unwrap();
    world.quiet().await;
    assert_eq!(count(&world), 1, "a later change does not send it either");
    send_by_hand(&world, 1, before).await;
    assert_eq!(count(&world), 2);
    on_pos(&world, 1, &name);
    assert_eq!(seen(&world, 1, before).await, pair("linked", "linked"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_switch_off_orders_are_shown_and_sent_later_only_by_hand() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.apply(&connections(&world.sandbox, (true, true, false), "")).await;
    world.sandbox.clear_calls();
    let (id, name) = place(&world, 1, order_of(there, 1));
    let (other, _) = place(&world, 1, order_of(there, 2));
    world.quiet().await;
    assert_eq!((count(&world), writes(&world, Api::Omni).len()), (0, 0));
    assert_eq!(reason(&world, 1, id).await.1, "switch_off");
    assert_eq!(seen(&world, 1, id).await, pair("unlinked", "switch_off"));
    send_by_hand(&world, 1, id).await;
    on_pos(&world, 1, &name);
    assert_eq!(seen(&world, 1, id).await, pair("linked", "linked"));
    // Sent by hand once more, it is still one order.
    send_by_hand(&world, 1, id).await;
    assert_eq!(count(&world), 1);
    let filter = ChannelOrderFilter {
        connection: Some(web_connection(1)),
        state: Some(ChannelOrderState::Unlinked),
        limit: 10,
        ..ChannelOrderFilter::default()
    };
    let listed = world.store().list_channel_orders(&filter).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.order_id.as_str()).collect::<Vec<_>>(), [other.to_string()]);
    let counted = world.store().count_channel_orders(&web_connection(1)).await.unwrap();
    assert_eq!(counted, [("linked".to_owned(), 1), ("unlinked".to_owned(), 1)]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_orders_are_searched_and_paged_by_the_last_change() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(place(&world, 1, order_of(there, 1)).0);
        world.quiet().await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let filter = ChannelOrderFilter { after: after.take(), limit: 2, ..ChannelOrderFilter::default() };
        let page = world.store().list_channel_orders(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.connection.clone(), last.updated_at, last.order_id.clone()));
        seen.extend(page.iter().map(|row| row.order_id.parse::<u64>().unwrap()));
    }
    ids.reverse();
    assert_eq!(seen, ids);
    for search in ["#1003".to_owned(), ids[2].to_string()] {
        let filter = ChannelOrderFilter { search: Some(search), limit: 10, ..ChannelOrderFilter::default() };
        let found = world.store().list_channel_orders(&filter).await.unwrap();
        assert_eq!(found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["#1003"]);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_are_skipped_and_take_nothings_place() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    let web = world.sandbox.web(&web_alias(1));
    let (trial, _) = place(&world, 1, PlaceWebOrder { test: true, ..order_of(there, 1) });
    world.quiet().await;
    assert_eq!(reason(&world, 1, trial).await.1, "test_order");
    web.test_header(true);
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(count(&world), 0);
    let skipped: Vec<_> = world.events().await.into_iter().filter(|row| row.topic == "test/orders/create").collect();
    assert!(skipped.len() == 1 && skipped.iter().all(|row| row.outcome == "skipped"), "{skipped:#?}");
    // The very same body without the header is a new order to us.
    web.test_header(false);
    web.change_order(id, |_| {}).unwrap();
    world.quiet().await;
    on_pos(&world, 1, &name);
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_before_it_was_made_is_never_made() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "MOI-1", 120_000, 5);
    let (id, _) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert_eq!(world.parked().await.len(), 1);
    world.sandbox.web(&web_alias(1)).cancel_order(id).unwrap();
    world.quiet().await;
    assert_eq!(reason(&world, 1, id).await.1, "never_created");
    assert_eq!(seen(&world, 1, id).await, pair("unlinked", "never_created"));
    world.on_pos("MOI-1", 120_000, 5);
    world.quiet().await;
    assert_eq!(count(&world), 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_the_switch_was_off_goes_by_hand_only_once_it_is_on_again() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.apply(&connections(&world.sandbox, (true, true, false), "")).await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    world.set_webs("").await;
    // The shop may have typed it in by itself: neither a later state of it nor a walk makes a second one.
    world.sandbox.web(&web_alias(1)).set_paid(id).unwrap();
    world.quiet().await;
    for kind in ["reconcile", "import"] {
        world.web_job(kind).await;
        world.quiet().await;
    }
    assert_eq!(count(&world), 0);
    assert_eq!(seen(&world, 1, id).await, pair("unlinked", "switch_off"));
    let (_, next) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    on_pos(&world, 1, &next);
    send_by_hand(&world, 1, id).await;
    on_pos(&world, 1, &name);
    assert_eq!(seen(&world, 1, id).await, pair("linked", "linked"));
    world.finish(&[]).await;
}

/// Pauses a web's connection, or lets it go on.
async fn pause(world: &World, number: usize, state: State) {
    let mut tx = world.store().begin().await.unwrap();
    world.store().set_connection_state(&mut tx, &web_connection(number), state, None).await.unwrap();
    tx.commit().await.unwrap();
    world.running().context().snapshot.refresh().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_by_hand_stays_so_whatever_is_told_of_it_meanwhile() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    world.apply(&connections(&world.sandbox, (true, true, false), "")).await;
    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    pause(&world, 1, State::Paused).await;
    send_by_hand(&world, 1, id).await;
    world.sandbox.web(&web_alias(1)).set_paid(id).unwrap();
    world.quiet().await;
    assert_eq!(world.parked().await.len(), 1, "what is told joins what waits");
    pause(&world, 1, State::Active).await;
    world.store().release_now(Some(&web_connection(1)), Some("paused"), None).await.unwrap();
    world.quiet().await;
    on_pos(&world, 1, &name);
    assert_eq!(seen(&world, 1, id).await, pair("linked", "linked"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_came_back_or_might_have_is_never_made() {
    let world = webs(1, "").await;
    let (_, there) = linked(&world, 1, "AT-S").await;
    for (word, code) in [("returned", "never_created"), ("in_process", "unknown_status")] {
        world.sandbox.stop_webhooks();
        let (id, _) = place(&world, 1, order_of(there, 1));
        world.sandbox.send_webhooks_to(&world.url());
        world.sandbox.web(&web_alias(1)).change_order(id, |order| order["return_status"] = word.into()).unwrap();
        world.quiet().await;
        assert_eq!(seen(&world, 1, id).await, pair("unlinked", code), "{word}");
    }
    assert_eq!(count(&world), 0);
    world.finish(&[]).await;
}
