//! What owners do with links on the command line: list, link, cut, push and compare, one or all that match.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sapo_sync::domain::connection::State;
use sapo_sync::sandbox::{Api, PlaceWebOrder};
use sapo_sync::store::jobs::{JobFilter, Lane};
use sapo_sync::sync::web::links::{self, Asked, Deed};
use serde_json::{Value, json};

use crate::backend::environment;
use crate::harness::{Setup, World};
use crate::web_stock::two_places;
use crate::web_world::{web_alias, web_connection, web_variant, webs, webs_with, with_webs};

/// Runs the real binary on the world's data: its exit code, its JSON lines, all that it said.
pub async fn sapo_sync(world: &World, line: &str) -> (i32, Vec<Value>, String) {
    sapo_sync_reading(world, line, Stdio::null()).await
}

/// [`sapo_sync`], with something on its standard input.
pub async fn sapo_sync_reading(world: &World, line: &str, input: Stdio) -> (i32, Vec<Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
    command
        .stdin(input)
        .args(line.split_whitespace())
        .envs(environment(&world.config))
        .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
        .env("SAPO_SYNC__OUTGOING__SAPO_LIMIT", "2000+1000/s")
        .env("SAPO_SYNC__OUTGOING__WEB_LIMIT", "2000+1000/s");
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8(stdout).unwrap();
    let rows = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (status.code().unwrap(), rows, told + &String::from_utf8_lossy(&stderr))
}

/// The states of a web's variants as `links list` tells them: side, SKU, state, code.
async fn listed(world: &World, more: &str) -> Vec<String> {
    let (code, rows, told) =
        sapo_sync(world, &format!("links list --connection {} --json {more}", web_connection(1))).await;
    assert_eq!(code, 0, "{told}");
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("-").to_owned();
    rows.iter()
        .filter(|row| row["type"] == "variant")
        .map(|row| format!("{} {} {} {}", text(row, "side"), text(row, "sku"), text(row, "state"), text(row, "code")))
        .collect()
}

async fn audited(world: &World) -> Vec<String> {
    let mut rows = world.store().audit_rows(100).await.unwrap();
    rows.retain(|row| row.actor == "cli");
    rows.reverse();
    rows.into_iter().map(|row| row.action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut_stays_cut_and_is_made_again_by_hand_alone() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.on_pos("AT-M", 2_000, 7);
    world.quiet().await;
    assert_eq!(
        listed(&world, "").await,
        ["sapo AT-M unlinked only_on_sapo", "web AT-S linked -", "sapo AT-S linked -"]
    );
    assert_eq!(listed(&world, "--side web --state linked").await, ["web AT-S linked -"]);
    assert_eq!(listed(&world, "--code only_on_sapo").await.len(), 1);

    let (code, rows, told) = sapo_sync(&world, "links unlink --connection mau-web1 --sku AT-S --json").await;
    assert_eq!((code, &rows[0]["code"], &rows[0]["done"]), (0, &json!("unlinked"), &json!(true)), "{told}");
    let cut = ["web AT-S unlinked cut_by_hand", "sapo AT-S unlinked cut_by_hand"];
    assert_eq!(listed(&world, "--sku AT-S").await, cut);
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 5).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 7, 2_000);
    let (code, rows, told) = sapo_sync(&world, "links link --connection mau-web1 --all --search AT-S --json").await;
    assert_eq!((code, &rows[0]["variants"]), (0, &json!(0)), "what was cut by hand is left out: {told}");
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku AT-S").await;
    assert!(code == 4 && told.contains("no such link"), "{told}");

    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --sku AT-S").await;
    assert!(code == 0 && told.contains("đã liên kết (linked)"), "{told}");
    world.quiet().await;
    world.assert_shown(1, there, 5, 2_000);
    assert_eq!(listed(&world, "--sku AT-S").await, ["web AT-S linked -", "sapo AT-S linked -"]);
    let (code, rows, _) = sapo_sync(&world, "links link --connection mau-web1 --sku AT-S --json").await;
    assert_eq!((code, &rows[0]["code"], &rows[0]["done"]), (0, &json!("already_linked"), &json!(false)));
    assert_eq!(audited(&world).await, ["unlink", "link", "links sync"]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_linked_is_refused_with_every_candidate_and_a_pair_links_whatever_its_skus() {
    let world = webs(1, "").await;
    let (one, two) = (world.on_web(1, "AT-S", 1, 1), world.on_web(1, "AT-S", 1, 1));
    world.quiet().await;
    let product = world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --sku AT-S").await;
    assert!(code == 1 && told.contains(&one.to_string()) && told.contains(&two.to_string()), "{told}");
    assert!(told.contains(&product.to_string()), "{told}");
    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --sku NONE").await;
    assert!(code == 4 && told.contains("NONE"), "{told}");
    let (code, _, told) = sapo_sync(&world, "links link --connection nowhere --sku AT-S").await;
    assert!(code == 4 && told.contains("mau-web1"), "{told}");
    let (code, _, told) = sapo_sync(&world, "links list --connection nowhere").await;
    assert!(code == 4 && told.contains("known are: mau-web1"), "{told}");
    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --pair 1:2").await;
    assert!(code == 4 && told.contains("variant 1"), "{told}");

    let sapo = world.pos_variant("AT-S");
    let (code, _, told) = sapo_sync(&world, &format!("links link --connection mau-web1 --pair {sapo}:{two}")).await;
    assert_eq!(code, 0, "{told}");
    world.quiet().await;
    world.assert_shown(1, two, 7, 2_000);
    world.assert_shown(1, one, 1, 1);
    let (code, _, told) = sapo_sync(&world, &format!("links link --connection mau-web1 --pair {sapo}:{one}")).await;
    assert!(code == 1 && told.contains("cut that link first"), "{told}");
    let (code, _, told) = sapo_sync(&world, &format!("links unlink --connection mau-web1 --pair {sapo}:{two}")).await;
    assert_eq!(code, 0, "{told}");
    assert!(world.web_link(1, sapo).await.is_none());
    assert_eq!(world.web_variant(1, two)["sku"], "AT-S", "nothing is deleted");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_match_are_counted_asked_for_and_done_by_a_stored_job() {
    let world = webs(1, "").await;
    let there: Vec<u64> = (0..12).map(|n| world.on_web(1, &format!("M-{n}"), 2_000, 7)).collect();
    for n in 0..12 {
        world.on_pos(&format!("M-{n}"), 2_000, 7);
    }
    world.on_pos("ONLY", 1, 1);
    world.quiet().await;
    // What changes on the web changes nothing here, until it is asked for.
    let site = world.sandbox.web(&web_alias(1));
    for id in &there {
        site.set_stock(*id, 99).unwrap();
    }
    world.quiet().await;
    world.sandbox.clear_calls();
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --all").await;
    assert!(code == 1 && told.contains("12 variants") && told.contains("--yes"), "{told}");
    assert!(world.web_writes(1).is_empty(), "nothing was done");
    let (code, rows, told) = sapo_sync(&world, "links sync --connection mau-web1 --all --yes --json").await;
    assert_eq!(code, 0, "{told}");
    let last = &rows[rows.len() - 1];
    assert_eq!((&last["kind"], &last["events"], &last["done"]), (&json!("links"), &json!(12), &json!(12)), "{told}");
    for id in &there {
        world.assert_shown(1, *id, 7, 2_000);
    }

    let (code, rows, told) = sapo_sync(&world, "links unlink --connection mau-web1 --all --yes --json").await;
    assert_eq!((code, &rows[0]["variants"]), (0, &json!(12)), "{told}");
    assert_eq!(listed(&world, "--state linked").await, Vec::<String>::new());
    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --all --yes").await;
    assert!(code == 0 && told.contains("1 variants of the POS match"), "only what was not cut: {told}");
    let jobs = JobFilter { kind: Some("links".to_owned()), limit: 10, ..JobFilter::default() };
    let jobs = world.store().list_jobs(&jobs).await.unwrap();
    assert!(jobs.len() == 3 && jobs.iter().all(|job| job.state == "done"), "{jobs:#?}");
    assert_eq!(world.job_rows(&jobs[1]).await.len(), 12, "every link that was cut is in the report");
    let audited = audited(&world).await;
    let of = |action: &str| audited.iter().filter(|row| *row == action).count();
    assert_eq!((of("links sync all"), of("links unlink all"), of("links link all"), of("unlink")), (1, 1, 1, 12));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_compared_as_stored_and_as_they_are_now() {
    let world = webs(1, "stock_buffer = { units = 2 }").await;
    let there = world.add_on_web(1, "Áo web", vec![web_variant("AT-S", 2_000, 7)]);
    world.on_pos("AT-S", 2_000, 9);
    world.quiet().await;
    let field = |rows: &[Value], name: &str| {
        let fields = rows[0]["fields"].as_array().cloned().unwrap_or_default();
        fields.into_iter().find(|field| field["field"] == name).unwrap_or_default()
    };
    let (code, rows, told) = sapo_sync(&world, "links compare --connection mau-web1 --sku AT-S --live --json").await;
    assert_eq!(code, 0, "{told}");
    assert_eq!(field(&rows, "stock")["differs"], false, "{told}");
    assert_eq!((&field(&rows, "stock")["wanted"], &field(&rows, "stock")["web"]), (&json!("7"), &json!("7")), "{told}");
    assert!(rows[0]["stock"].as_str().unwrap().ends_with("58001 9 = 9; buffer 2 units or 0 %; shown 7"), "{told}");
    assert_eq!((&field(&rows, "name")["differs"], &field(&rows, "name")["pushed"]), (&json!(true), &json!(false)));

    // What the web changed is not known here yet: only a look at it tells.
    world.sandbox.stop_webhooks();
    world.sandbox.web(&web_alias(1)).set_stock(there, 3).unwrap();
    let (_, rows, told) = sapo_sync(&world, "links compare --connection mau-web1 --sku AT-S --live --json").await;
    assert_eq!(
        (&field(&rows, "stock")["differs"], &field(&rows, "stock")["web"]),
        (&json!(true), &json!("3")),
        "{told}"
    );
    let (code, _, told) = sapo_sync(&world, "links compare --connection mau-web1 --sku AT-S").await;
    assert!(code == 0 && told.contains("≠ khác, không đồng bộ"), "{told}");
    let (code, rows, told) = sapo_sync(&world, "links compare --connection mau-web1 --all --live --json").await;
    let last = &rows[rows.len() - 1];
    assert_eq!((code, &last["compared"], &last["differ"]), (0, &json!(1), &json!(1)), "{told}");
    let (code, _, told) = sapo_sync(&world, "links compare --connection mau-web1 --sku NONE").await;
    assert!(code == 4 && told.contains("links list"), "{told}");
    let writes = world.web_writes(1);
    assert!(writes.iter().all(|call| call.method != "POST" || !call.path.contains("orders")), "{writes:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_web_with_several_locations_the_chosen_ones_stock_is_compared_live_and_not_the_sum() {
    let world = webs_with(two_places(), 1).await;
    let web = world.sandbox.web(&web_alias(1));
    let (first, ours) = (web.locations()[0], web.locations()[1]);
    world.set_webs(&format!("web_location = {ours}\nstock_branches = [58001]")).await;
    let there = world.on_web(1, "AT-S", 2_000, 3);
    world.on_pos("AT-S", 2_000, 4);
    world.quiet().await;
    world.sandbox.stop_webhooks();
    // What the web is shown to have, whether that differs, and what is noted.
    let stock = async |live: &str| {
        let line = format!("links compare --connection mau-web1 --sku AT-S --json {live}");
        let (code, rows, told) = sapo_sync(&world, &line).await;
        assert_eq!(code, 0, "{told}");
        let fields = rows[0]["fields"].as_array().unwrap();
        let stock = fields.iter().find(|field| field["field"] == "stock").unwrap();
        (stock["web"].as_str().unwrap().to_owned(), stock["differs"] == true, rows[0]["notes"].to_string())
    };
    let none = "[]".to_owned();
    assert_eq!(stock("--live").await, ("4".to_owned(), false, none.clone()), "the sum is 7");
    web.set_stock_at(there, ours, 1).unwrap();
    world.sandbox.clear_calls();
    assert_eq!(stock("--live").await, ("1".to_owned(), true, none.clone()), "though the sum is 4 by chance");
    assert_eq!(world.sandbox.call_count(Api::Web, "GET", "inventory_levels"), 1);
    assert_eq!(stock("").await, ("4".to_owned(), false, none.clone()), "as it is stored");
    web.set_stock_at(there, first, 50).unwrap();
    assert_eq!(stock("--live").await, ("1".to_owned(), true, none), "another place's is no business of ours");
    // A web of an older kind tells of no location: nothing is compared, and no sum is shown for it.
    web.without_inventory_levels(true);
    let (shown, differs, notes) = stock("--live").await;
    assert_eq!((shown.as_str(), differs), ("–", false));
    assert!(notes.contains("chosen location is not known"), "{notes}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_not_synchronised_is_listed_and_sent_by_hand() {
    let world = webs_with(Setup { switches: (true, true, false), ..Setup::default() }, 1).await;
    let there = world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    let site = world.sandbox.web(&web_alias(1));
    site.place_order(PlaceWebOrder { lines: vec![(there, 1.into())], ..PlaceWebOrder::default() });
    world.quiet().await;
    let (code, rows, told) =
        sapo_sync(&world, "links list --connection mau-web1 --kind order --state unlinked --json").await;
    assert_eq!((code, rows.len(), &rows[0]["type"]), (0, 2, &json!("count")), "{told}");
    let name = rows[1]["name"].as_str().unwrap();
    assert!(world.sandbox.omni().orders().is_empty());
    let (code, _, told) = sapo_sync(&world, &format!("links link --connection mau-web1 --order {name}")).await;
    assert_eq!(code, 0, "{told}");
    world.quiet().await;
    assert_eq!(world.sandbox.omni().orders().len(), 1);
    assert_eq!(world.sandbox.omni().orders()[0]["reference_number"], name);
    let (code, _, told) = sapo_sync(&world, &format!("links link --connection mau-web1 --order {name}")).await;
    assert!(code == 0 && told.contains("on the POS already"), "{told}");
    let bare = name.trim_start_matches('#');
    let (code, _, told) = sapo_sync(&world, &format!("links link --connection mau-web1 --order {bare}")).await;
    assert!(name != bare && code == 0 && told.contains("on the POS already"), "without its #: {told}");
    let (code, _, told) = sapo_sync(&world, "links link --connection mau-web1 --order #9999").await;
    assert!(code == 4 && told.contains("#9999"), "{told}");
    world.quiet().await;
    assert_eq!(world.sandbox.omni().orders().len(), 1, "exactly one order");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pushes_is_refused_where_a_connection_is_stopped_with_what_connects_it_again_and_a_link_may_be_cut() {
    let world = webs(1, "").await;
    world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    let mut tx = world.store().begin().await.unwrap();
    let why = Some("the app was uninstalled from the shop");
    world.store().set_connection_state(&mut tx, &web_connection(1), State::Stopped, why).await.unwrap();
    tx.commit().await.unwrap();
    world.sandbox.clear_calls();
    for line in ["link --sku AT-S", "link --order 1001", "link --all --yes", "sync --sku AT-S", "sync --all --yes"] {
        let (code, _, told) = sapo_sync(&world, &format!("links {line} --connection mau-web1")).await;
        assert!(code == 1 && told.contains("was uninstalled"), "{line}: {told}");
        assert!(told.contains("`sapo-sync connect apply FILE`") && !told.contains("resume"), "{line}: {told}");
    }
    // One that was asked for before the connection was stopped.
    let asked = Asked { deed: Deed::Sync, state: None, search: None, code: None, counted: 1, actor: "cli".to_owned() };
    let job = links::ask(world.store(), "mau-web1", &asked).await.unwrap();
    let ended = world.job_ended(&job.id).await;
    let reason = ended.reason.clone().unwrap_or_default();
    assert!(ended.state == "failed" && reason.contains("`sapo-sync connect apply FILE`"), "{ended:#?}");
    assert!(world.parked().await.is_empty() && world.web_writes(1).is_empty(), "nothing was asked for in vain");
    let (code, _, told) = sapo_sync(&world, "links unlink --connection mau-web1 --sku AT-S").await;
    assert_eq!(code, 0, "{told}");
    assert!(world.web_link(1, world.pos_variant("AT-S")).await.is_none());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_into_a_spreadsheet_whole() {
    let world = webs(1, "").await;
    for n in 0..60 {
        world.on_web(1, &format!("=M,{n:02}"), 2_000, 7);
    }
    world.quiet().await;
    let (code, _, told) = sapo_sync(&world, "links list --connection mau-web1 --csv --limit 5").await;
    assert_eq!(code, 0, "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "\u{feff}connection,side,state,sku,name,product_id,variant_id,code,reason,updated_at");
    assert_eq!(lines.len(), 61, "every row, whatever the limit");
    assert!(lines[1].starts_with("mau-web1,web,unlinked,\"'=M,00\","), "{}", lines[1]);
    let (code, _, told) = sapo_sync(&world, "links list --connection mau-web1").await;
    assert!(code == 0 && told.contains("Chưa liên kết (unlinked) 60") && told.contains("… more rows"), "{told}");
    let (code, _, told) = sapo_sync(&world, "links list --state unlinked").await;
    assert!(code == 2 && told.contains("--connection"), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_candidate_of_a_sku_is_listed_by_the_command_that_its_reason_names() {
    let world = webs(1, "").await;
    for _ in 0..60 {
        world.on_web(1, "TRUNG", 2_000, 7);
    }
    world.on_web(1, "KHAC", 2_000, 7);
    world.quiet().await;
    let (code, rows, told) = sapo_sync(&world, "links list --connection mau-web1 --sku TRUNG --limit 5 --json").await;
    let variants: Vec<&Value> = rows.iter().filter(|row| row["type"] == "variant").collect();
    let ids: BTreeSet<&str> = variants.iter().map(|row| row["variant_id"].as_str().unwrap()).collect();
    assert_eq!((code, variants.len(), ids.len()), (0, 60, 60), "{told}");
    assert!(!told.contains("more rows"), "{told}");
    let reason = variants[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("and 40 more on the web (`sapo-sync links list --connection NAME --sku SKU` shows all)"),
        "{reason}"
    );
    let (code, _, told) = sapo_sync(&world, "links list --connection mau-web1 --sku TRUNG").await;
    assert!(code == 0 && told.matches("mã bị trùng").count() == 60, "the owner reads it in Vietnamese: {told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cut_off_goes_on_where_it_was_and_one_wish_is_one_job() {
    let mut world = webs(1, "").await;
    for n in 0..9 {
        world.on_web(1, &format!("M-{n}"), 2_000, 7);
        world.on_pos(&format!("M-{n}"), 2_000, 7);
    }
    world.quiet().await;
    let last_done = world.pos_variant("M-4");
    world.stop().await;
    let store = sapo_sync::app::open_store(&world.config).await.unwrap();
    let asked =
        Asked { deed: Deed::Unlink, state: None, search: None, code: None, counted: 9, actor: "cli".to_owned() };
    assert_eq!(links::count(&store, "mau-web1", &asked).await.unwrap(), 9);
    let job = links::ask(&store, "mau-web1", &asked).await.unwrap();
    assert_eq!(links::ask(&store, "mau-web1", &asked).await.unwrap().id, job.id, "asked again, it is joined");
    let sync = links::ask(&store, "mau-web1", &Asked { deed: Deed::Sync, ..asked.clone() }).await.unwrap();
    assert_ne!(sync.id, job.id, "another deed is another job");
    let stopped = store.stop_job(&sync.id, "cli").await.unwrap().unwrap();
    assert_eq!(stopped.state, "stopped", "nobody had begun with it");
    let held = store.take_job("a", Duration::ZERO, Lane::Webs).await.unwrap().unwrap();
    let after = json!(["M-4", "sapo", last_done.to_string()]).to_string();
    let position = json!({ "after": after }).to_string();
    assert!(store.keep_job(&held.id, "a", Duration::ZERO, &position, "{}").await.unwrap());
    store.close().await;
    world.start().await;
    let ended = world.job_ended(&job.id).await;
    assert_eq!(ended.state, "done", "{ended:#?}");
    let rows = world.job_rows(&job).await;
    assert_eq!(rows.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), ["M-5", "M-6", "M-7", "M-8"]);
    assert_eq!(listed(&world, "--state linked --side sapo").await.len(), 5);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_while_nothing_runs_is_done_at_the_next_start() {
    let mut world = World::on_files(with_webs(Setup::default(), 1)).await;
    let there = world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    world.sandbox.web(&web_alias(1)).set_stock(there, 99).unwrap();
    world.quiet().await;
    world.stop().await;
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku AT-S").await;
    assert!(code == 0 && told.contains("where it runs"), "{told}");
    let (code, rows, told) = sapo_sync(&world, "preflight --connection mau-web1 --json").await;
    assert_eq!((code, &rows[rows.len() - 1]["linked"]), (0, &json!(1)), "this command does it itself: {told}");
    world.start().await;
    world.quiet().await;
    world.assert_shown(1, there, 7, 2_000);
    world.finish(&[]).await;
}
