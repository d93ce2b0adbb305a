//! Before a connection works: what to choose from by the file alone, and a web that is prepared while it is paused.

use std::time::Duration;

use sapo_sync::domain::clock::millis;
use sapo_sync::domain::connection::{Connection, State};
use sapo_sync::sandbox::SandboxConfig;
use sapo_sync::sync::connect::{Applied, apply_paused, file};
use serde_json::{Value, json};

use crate::connect::try_apply;
use crate::harness::{CONNECTION, Setup, World, dong};
use crate::links_commands::sapo_sync;
use crate::web_orders::{count, made_of, on_pos, order_of, place};
use crate::web_world::{connections, web_alias, web_connection, web_site};

const ALL: (bool, bool, bool) = (true, true, true);

/// A shop that is connected with its Abaha site, and a web that is not connected yet.
async fn with_a_web_to_come() -> World {
    let sandbox = SandboxConfig { web_sites: vec![web_site(1)], ..Setup::default().sandbox };
    World::with(Setup { sandbox, ..Setup::default() }).await
}

async fn connection(world: &World, name: &str) -> Connection {
    world.store().snapshot().await.unwrap().connections[name].connection.clone()
}

/// Applies a file as `connect apply --paused` does.
async fn paused(world: &World, text: &str) -> Applied {
    let parsed = file::parse(text, world.dir.path()).unwrap();
    let context = world.running().context();
    let applied = apply_paused(&context.store, &context.http, &parsed, false, false, "test").await.unwrap();
    context.snapshot.refresh().await.unwrap();
    applied
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_that_is_applied_paused_is_linked_pushed_and_ordered_from_only_once_it_is_resumed() {
    let world = with_a_web_to_come().await;
    world.on_pos("AT-S", 115_000, 3);
    let there = world.on_web(1, "AT-S", 1, 7);
    world.quiet().await;
    let web = connections(&world.sandbox, ALL, "");
    let text = format!("{}\n[[connection]]{}", world.connections(ALL, ""), web.split("[[connection]]").nth(1).unwrap());
    let file = world.dir.path().join("connections.toml");
    std::fs::write(&file, text).unwrap();
    let apply = format!("connect apply {} --paused", file.display());

    let (code, rows, told) = sapo_sync(&world, &format!("{apply} --json")).await;
    let said = (&rows[0]["paused"], &rows[0]["stay_active"]);
    assert_eq!((code, said), (0, (&json!(["mau-web1"]), &json!([CONNECTION]))), "{told}");
    world.running().context().snapshot.refresh().await.unwrap();
    let begun = connection(&world, "mau-web1").await;
    assert_eq!((begun.state, connection(&world, CONNECTION).await.state), (State::Paused, State::Active));

    // While webhooks come in and are taken.
    let pos = world.pos_variant("AT-S");
    world.sandbox.omni().set_stock(pos, 58_001, 2).unwrap();
    let (_, order) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    assert!(world.web_writes(1).is_empty(), "{:#?}", world.web_writes(1));
    assert!(world.web_link(1, pos).await.is_none());
    assert_eq!(count(&world), 0);
    let parked = world.parked().await;
    let causes: Vec<&str> =
        parked.iter().filter(|row| row.connection == web_connection(1)).map(|row| row.cause.as_str()).collect();
    assert!(causes.len() >= 2 && causes.iter().all(|cause| *cause == "paused"), "{parked:#?}");

    // Applied once more, it is told what is so, and what goes on.
    let (code, _, told) = sapo_sync(&world, &apply).await;
    for words in ["nothing changed", "mau-web1 is paused", "connect resume mau-web1", "not paused by this: mau-abaha"] {
        assert!(code == 0 && told.contains(words), "{words}: {told}");
    }

    let (code, _, told) = sapo_sync(&world, "connect resume mau-web1").await;
    assert_eq!(code, 0, "{told}");
    world.running().context().snapshot.refresh().await.unwrap();
    let resumed = connection(&world, "mau-web1").await;
    assert_eq!((resumed.state, resumed.start_line()), (State::Active, begun.start_line()), "the line is the apply's");
    world.run_job_for("import", "mau-web1").await;
    world.eventually("the order goes too", || async { !made_of(&world, 1, &order).is_empty() }).await;
    world.quiet().await;
    assert!(world.web_link(1, pos).await.is_some());
    assert_eq!(world.shown(1, there).1, dong(115_000));
    on_pos(&world, 1, &order);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_begins_paused_with_a_new_start_line_and_what_is_active_stays_so() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    let first = connection(&world, CONNECTION).await;
    let active = Applied { stay_active: vec![CONNECTION.to_owned()], ..Applied::default() };
    assert_eq!(paused(&world, &text).await, active);
    assert_eq!(connection(&world, CONNECTION).await, first);

    try_apply(&world, text.split("[[connection]]").next().unwrap(), true).await.unwrap();
    world.store().clock().advance(Duration::from_hours(1));
    let applied = paused(&world, &text).await;
    assert_eq!((&*applied.paused, &*applied.stay_active), (&[CONNECTION.to_owned()][..], &[][..]));
    let [change] = applied.changes.as_slice() else { panic!("{applied:?}") };
    assert!(change.contains("activated anew, paused") && change.contains("connect resume mau-abaha"), "{change}");
    let again = connection(&world, CONNECTION).await;
    assert_eq!(again.state, State::Paused);
    assert!(again.activated_at >= first.activated_at + millis(Duration::from_hours(1)), "{again:?}");

    // A plain apply does not resume it.
    let plain = try_apply(&world, &text, false).await.unwrap();
    assert_eq!(plain, Applied { paused: vec![CONNECTION.to_owned()], ..Applied::default() });
    assert_eq!(connection(&world, CONNECTION).await, again);
    world.resume().await;
    assert_eq!(
        connection(&world, CONNECTION).await.activated_at,
        again.activated_at,
        "nor does a resume move the line"
    );

    // One whose access was lost is looked at first as well.
    let mut tx = world.store().begin().await.unwrap();
    world.store().set_connection_state(&mut tx, CONNECTION, State::NoAccess, Some("401")).await.unwrap();
    tx.commit().await.unwrap();
    let applied = paused(&world, &text).await;
    assert_eq!((&*applied.paused, &*applied.stay_active), (&[CONNECTION.to_owned()][..], &[][..]));
    assert!(applied.changes.iter().any(|change| change.contains("connect resume")), "{applied:?}");
    assert_eq!(connection(&world, CONNECTION).await.state, State::Paused);
    world.resume().await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_are_read_with_the_tokens_of_a_file_before_anything_is_connected() {
    let world = with_a_web_to_come().await;
    // A shop that nobody knows here yet, and its web.
    let text = connections(&world.sandbox, ALL, "").replace("cuahangmau", "cuahangmoi");
    let file = world.dir.path().join("connections.toml");
    std::fs::write(&file, &text).unwrap();
    let known = async || {
        let snapshot = world.store().snapshot().await.unwrap();
        let audit = world.store().audit_rows(100).await.unwrap().len();
        (snapshot.stamp, audit)
    };
    let before = known().await;

    let (code, _, told) = sapo_sync(&world, "connect choices --store cuahangmoi --web webmau1 --json").await;
    assert!(
        code == 1 && told.contains("--file FILE") && told.contains("connect authorize --store cuahangmoi"),
        "{told}"
    );

    let of = |rows: &[Value], account: &str, list: &str| {
        let rows = rows.iter().filter(|row| row["account"] == account && row["list"] == list && row["usable"] == true);
        rows.map(|row| row["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let location = world.sandbox.web(&web_alias(1)).locations()[0].to_string();
    let choices = format!("connect choices --file {} --json", file.display());
    for named in ["", " --store cuahangmoi --web webmau1", " --web webmau1"] {
        let (code, rows, told) = sapo_sync(&world, &format!("{choices}{named}")).await;
        assert_eq!(code, 0, "{named}: {told}");
        assert_eq!(of(&rows, "omni:cuahangmoi", "branch"), ["58001", "58002"], "{named}: {told}");
        assert_eq!(of(&rows, "omni:cuahangmoi", "price_list"), ["BANLE", "BANBUON"], "{named}: {told}");
        assert_eq!(of(&rows, "web:webmau1", "web_location"), [&*location], "{named}: {told}");
        assert!(!told.contains("token"), "{named}: a secret is shown: {told}");
    }
    let (code, rows, told) = sapo_sync(&world, &format!("{choices} --store cuahangmoi")).await;
    assert!(code == 0 && of(&rows, "web:webmau1", "web_location").is_empty(), "only what is named: {told}");
    // What the file does not name is as it is known.
    let (code, rows, told) = sapo_sync(&world, &format!("{choices} --store cuahangmau")).await;
    assert_eq!((code, of(&rows, "omni:cuahangmau", "staff")), (0, vec!["72001".to_owned()]), "{told}");

    let (code, _, told) = sapo_sync(&world, &format!("{choices} --web webkhac")).await;
    assert!(code == 1 && told.contains("no connection with the web webkhac"), "{told}");
    std::fs::write(&file, text.replacen("sandbox-access-token", "another-word", 1)).unwrap();
    let (code, _, told) = sapo_sync(&world, &choices).await;
    let shown = told.contains("another-word");
    assert!(code == 1 && told.contains("omni:cuahangmoi: the lists cannot be read") && !shown, "{told}");
    assert_eq!(known().await, before, "nothing is written");
    world.finish(&[]).await;
}
