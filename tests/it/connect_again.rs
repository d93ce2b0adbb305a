//! Connected again after it was stopped: a new start line, a new confirmation; and one site that two stores want.

use std::time::Duration;

use sapo_sync::domain::clock::{Millis, millis};
use sapo_sync::domain::connection::State;
use sapo_sync::domain::time;
use sapo_sync::sandbox::{PlaceAbahaOrder, PlaceOrder, PlaceWebOrder};
use sapo_sync::sync::connect::{SOLE_POS, file};
use serde_json::json;

use crate::connect::try_apply;
use crate::harness::{CONNECTION, World};
use crate::links_commands::sapo_sync;
use crate::orders::{abaha, counts, linked_product, order_in, order_out, place_in, place_out, sapo};
use crate::web_orders::{count, linked, made_of, on_pos, order_of, place, seen};
use crate::web_world::{connections, web_alias, web_connection, webs};

const ALL: (bool, bool, bool) = (true, true, true);
const HOUR: Duration = Duration::from_hours(1);

/// A file without its connections: with `--prune` it stops them.
fn store_only(text: &str) -> &str {
    text.split("[[connection]]").next().unwrap()
}

/// The present moment as a shop writes it.
fn now(world: &World) -> String {
    time::format(world.store().clock().now())
}

async fn activated_at(world: &World, name: &str) -> Millis {
    world.store().snapshot().await.unwrap().connections[name].connection.activated_at
}

async fn state(world: &World, name: &str) -> State {
    world.store().snapshot().await.unwrap().connections[name].connection.state
}

async fn confirmed(world: &World) -> Option<String> {
    world.store().snapshot().await.unwrap().connections[&web_connection(1)].confirmed.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordered_while_it_is_stopped_is_not_created_once_it_is_connected_again() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    let line = linked_product(&world, "AT-S").await;
    let first = activated_at(&world, CONNECTION).await;
    try_apply(&world, store_only(&text), true).await.unwrap();
    assert_eq!(state(&world, CONNECTION).await, State::Stopped);

    world.store().clock().advance(HOUR);
    let out = place_out(&world, PlaceOrder { created_on: Some(now(&world)), ..order_out(line, 1) });
    let (inward, _) = place_in(&world, &PlaceAbahaOrder { created_at: Some(now(&world)), ..order_in("AT-S", 1) });
    world.quiet().await;
    world.store().clock().advance(HOUR);
    try_apply(&world, &text, false).await.unwrap();
    assert!(activated_at(&world, CONNECTION).await >= first + millis(2 * HOUR), "the line is that of the second apply");

    // Neither a change of today nor a reconcile makes them orders of today.
    world.sandbox.omni().finalize(out).unwrap();
    world.sandbox.abaha().set_status(inward, 10, None).unwrap();
    world.quiet().await;
    for order in [out, inward] {
        let codes: Vec<String> = world.events_of(order).await.into_iter().map(|row| row.code).collect();
        assert!(codes.iter().any(|code| code == "before_start_line"), "{codes:?}");
    }
    let job = world.run_job("reconcile").await;
    assert_eq!((job.state.as_str(), counts(&world)), ("done", (1, 1)), "{job:#?}");

    let out = place_out(&world, PlaceOrder { created_on: Some(now(&world)), ..order_out(line, 1) });
    let (_, code) = place_in(&world, &PlaceAbahaOrder { created_at: Some(now(&world)), ..order_in("AT-S", 1) });
    world.quiet().await;
    abaha(&world, out);
    sapo(&world, &code);
    assert_eq!(counts(&world), (3, 3), "one of each that came before, and one that came after with its counterpart");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordered_on_a_web_while_it_is_stopped_is_not_created_once_it_is_connected_again() {
    let world = webs(1, "").await;
    let (text, name) = (connections(&world.sandbox, ALL, ""), web_connection(1));
    let (_, there) = linked(&world, 1, "AT-S").await;
    let first = activated_at(&world, &name).await;
    try_apply(&world, store_only(&text), true).await.unwrap();
    assert_eq!(state(&world, &name).await, State::Stopped);

    world.store().clock().advance(HOUR);
    let (missed, code) = place(&world, 1, PlaceWebOrder { created_on: Some(now(&world)), ..order_of(there, 1) });
    world.quiet().await;
    world.store().clock().advance(HOUR);
    try_apply(&world, &text, false).await.unwrap();
    assert!(activated_at(&world, &name).await >= first + millis(2 * HOUR), "the line is that of the second apply");

    world.sandbox.web(&web_alias(1)).set_paid(missed).unwrap();
    world.quiet().await;
    assert_eq!(seen(&world, 1, missed).await, ("unlinked".into(), "before_start_line".into()));
    let job = world.run_job_for("reconcile", &name).await;
    assert_eq!((job.state.as_str(), made_of(&world, 1, &code).len()), ("done", 0), "{job:#?}");

    let (_, code) = place(&world, 1, PlaceWebOrder { created_on: Some(now(&world)), ..order_of(there, 1) });
    world.quiet().await;
    on_pos(&world, 1, &code);
    assert_eq!(count(&world), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_confirmed_of_a_web_holds_until_it_is_stopped() {
    let world = webs(1, "").await;
    let confirming = connections(&world.sandbox, ALL, "");
    let silent = confirming.replace("sole_pos = true", "");
    let own = |words: &str| words.to_owned();
    assert!(try_apply(&world, &silent, false).await.unwrap().changes.is_empty());
    assert_eq!(confirmed(&world).await, Some(own(SOLE_POS)), "the file need not say it again while it is connected");

    // Meanwhile the owner may have linked it to another POS.
    try_apply(&world, store_only(&silent), true).await.unwrap();
    let again = try_apply(&world, &silent, false).await.unwrap();
    assert_eq!(confirmed(&world).await, None);
    assert!(again.changes.iter().any(|change| change.contains("confirm it anew")), "{again:?}");

    let said = "connection mau-web1: confirmed by the owner: linked to no other POS";
    assert_eq!(try_apply(&world, &confirming, false).await.unwrap().changes, [said]);
    try_apply(&world, store_only(&silent), true).await.unwrap();
    let again = try_apply(&world, &confirming, false).await.unwrap();
    assert_eq!(confirmed(&world).await, Some(own(SOLE_POS)), "the file says it");
    assert!(again.changes.contains(&own(said)), "recorded anew: {again:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_of_a_web_that_was_stopped_that_it_is_to_be_confirmed_anew() {
    let world = webs(1, "").await;
    let file = world.dir.path().join("connections.toml");
    let text = connections(&world.sandbox, ALL, "").replace("sole_pos = true", "");
    let apply = format!("connect apply {} --json", file.display());
    std::fs::write(&file, store_only(&text)).unwrap();
    let (code, _, told) = sapo_sync(&world, &format!("{apply} --prune")).await;
    assert_eq!(code, 0, "{told}");

    // Nobody can be asked here: it is connected all the same, and told.
    std::fs::write(&file, &text).unwrap();
    let (code, rows, told) = sapo_sync(&world, &apply).await;
    assert_eq!((code, &rows[0]["unconfirmed"]), (0, &json!(["mau-web1"])), "{told}");
    assert_eq!((confirmed(&world).await, state(&world, "mau-web1").await), (None, State::Active));
    let (_, _, told) = sapo_sync(&world, "connect list").await;
    assert!(told.contains("mau-web1 is unconfirmed"), "{told}");

    std::fs::write(&file, store_only(&text)).unwrap();
    sapo_sync(&world, &format!("{apply} --prune")).await;
    std::fs::write(&file, &text).unwrap();
    let (code, rows, told) = sapo_sync(&world, &format!("{apply} --yes")).await;
    assert_eq!((code, &rows[0]["unconfirmed"]), (0, &json!([])), "{told}");
    assert_eq!(confirmed(&world).await.as_deref(), Some(SOLE_POS));
    world.running().context().snapshot.refresh().await.unwrap();
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_of_another_store_is_refused_with_its_name_the_consequence_and_the_cure() {
    let world = webs(1, "").await;
    let first = connections(&world.sandbox, ALL, "");
    let second = first.replace("cuahangmau", "cuahanghai").replace("mau-web1", "hai-web1");
    let words =
        ["hai-web1", "webmau1", "cuahangmau", "mau-web1", "doubled", "sản phẩm và đơn hàng sẽ bị trùng", "cuahanghai"];
    let before = world.store().snapshot().await.unwrap().stamp;
    let error = try_apply(&world, &second, false).await.unwrap_err().to_string();
    for words in words.iter().chain(&["linked to another POS already", "--prune", "not taken over"]) {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
    assert_eq!(world.store().snapshot().await.unwrap().stamp, before, "nothing is written, not even the store");

    // Both in one file are refused before any shop is asked.
    let tables = |text: &str| text[store_only(text).len()..].to_owned();
    let both = format!("{}{}{}{}", store_only(&first), store_only(&second), tables(&first), tables(&second));
    let error = file::parse(&both, world.dir.path()).map(|_| ()).unwrap_err().to_string();
    for words in words.iter().chain(&["keep one"]) {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
    assert!(!error.contains("token"), "a secret is in {error:?}");

    // The cure works.
    let moved = try_apply(&world, &second, true).await.unwrap();
    assert!(moved.changes.contains(&"connection mau-web1: stopped".to_owned()), "{moved:?}");
    let states = (state(&world, "mau-web1").await, state(&world, "hai-web1").await);
    assert_eq!(states, (State::Stopped, State::Active));
    world.finish(&[]).await;
}
