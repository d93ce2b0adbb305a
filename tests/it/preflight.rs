//! Preparation: the report of both catalogues, as a spreadsheet too, and links proposed in one.

use std::path::Path;

use calamine::{Data, Reader as _, Xlsx, open_workbook};
use rust_xlsxwriter::Workbook;
use sapo_sync::sandbox::NewWebVariant;
use serde_json::{Value, json};

use crate::harness::World;
use crate::links_commands::sapo_sync;
use crate::web_world::{web_alias, web_variant, webs};
use crate::wire::client;

/// A shop and a web of which nothing is known yet: A pairs, B is twice on the web, C is on the POS alone, D on the web
/// alone, one has no SKU, E has blanks and marks apart, and stock is missing, negative or not counted.
async fn world() -> (World, [u64; 3]) {
    let world = webs(1, "stock_branches = [58001, 58002]").await;
    world.sandbox.stop_webhooks();
    let both = json!({"58001": 4, "58002": 3});
    for sku in ["A", "B", "C"] {
        world.on_pos_at(sku, 2_000, &both);
    }
    world.on_pos_at("ÁO", 2_000, &json!({"58001": -5, "58002": 3}));
    let a = world.on_web(1, "A", 1, 1);
    let (b1, b2) = (world.on_web(1, "B", 1, 1), world.on_web(1, "B", 1, 1));
    world.on_web(1, "D", 1, 1);
    world.add_on_web(1, "Không mã", vec![NewWebVariant { managed: false, ..web_variant("", 1, 1) }]);
    world.on_web(1, " A\u{301}O\t", 1, 1);
    (world, [a, b1, b2])
}

fn count(row: &Value, code: &str) -> u64 {
    row["findings"].as_array().unwrap().iter().find(|one| one["code"] == code).unwrap()["count"].as_u64().unwrap()
}

fn sheet(path: &Path, name: &str) -> Vec<Vec<String>> {
    let mut book: Xlsx<_> = open_workbook(path).unwrap();
    let range = book.worksheet_range(name).unwrap();
    range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect()
}

/// A proposal with these rows: POS variant, its SKU, web variant, its SKU, mark.
fn proposal(path: &Path, rows: &[[&str; 5]]) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet().set_name("Đề xuất liên kết").unwrap();
    let header = ["Liên kết?", "Mã biến thể web", "SKU web", "Mã biến thể POS", "SKU POS"];
    for (column, title) in (0_u16..).zip(header) {
        sheet.write_string(0, column, title).unwrap();
    }
    for (row, [sapo, sapo_sku, web, web_sku, mark]) in (1_u32..).zip(rows) {
        for (column, cell) in (0_u16..).zip([mark, web, web_sku, sapo, sapo_sku]) {
            sheet.write_string(row, column, *cell).unwrap();
        }
    }
    book.save(path).unwrap();
}

/// The rows of a plan as they were told: row, action, code.
fn steps(rows: &[Value]) -> Vec<String> {
    let word = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.iter()
        .filter(|row| row["type"] == "row")
        .map(|row| format!("{} {} {}", row["row"], word(row, "action"), word(row, "code")))
        .collect()
}

fn notes(report: &Value) -> Vec<&str> {
    report["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_tells_what_hinders_links_changes_nothing_and_its_spreadsheet_makes_them() {
    let (world, [a, b1, b2]) = world().await;
    let file = world.dir.path().join("chuan-bi.xlsx");
    world.sandbox.clear_calls();
    let line = format!("preflight --connection mau-web1 --json --xlsx {}", file.display());
    let (code, rows, told) = sapo_sync(&world, &line).await;
    assert_eq!(code, 0, "{told}");
    let report = rows.iter().find(|row| row["type"] == "preflight").unwrap();
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((number("on_sapo"), number("on_web"), number("linked")), (4, 6, 0), "{told}");
    assert_eq!((number("proposed"), number("to_choose")), (2, 2), "A and ÁO; B with either of the two: {told}");
    for (issue, expected) in [
        ("only_on_sapo", 1),
        ("only_on_web", 1),
        ("duplicate", 3),
        ("no_sku", 1),
        ("blanks_trimmed", 1),
        ("unicode_composed", 1),
        ("negative_stock", 1),
        ("unmanaged", 1),
        ("branch_missing", 0),
        ("price_missing", 0),
    ] {
        assert_eq!(count(report, issue), expected, "{issue}: {told}");
    }
    assert_eq!(notes(report), ["not_paused", "same_phone"], "{told}");
    assert!(world.web_link(1, world.pos_variant("A")).await.is_none(), "nothing is linked");
    assert!(world.web_writes(1).is_empty() && world.parked().await.is_empty());
    let catalogue: Vec<_> = world.sandbox.calls().into_iter().filter(|call| call.path.contains("/products")).collect();
    assert!(catalogue.len() <= 4, "each catalogue is read once: {catalogue:#?}");

    let duplicates = sheet(&file, "Trùng mã");
    assert_eq!(duplicates.len(), 4, "{duplicates:?}");
    for id in [b1, b2] {
        assert!(duplicates.iter().any(|row| row.contains(&id.to_string())), "{duplicates:?}");
    }
    let pairs = sheet(&file, "Đề xuất liên kết");
    let marked: Vec<&str> = pairs.iter().skip(1).filter(|row| row[6] == "x").map(|row| row[1].as_str()).collect();
    assert_eq!((pairs.len(), marked), (8, vec!["A", "ÁO"]), "{pairs:?}");
    let halves: Vec<[&str; 3]> = pairs
        .iter()
        .skip(1)
        .filter(|row| row[0].is_empty() || row[3].is_empty())
        .map(|row| [row[1].as_str(), &row[4], &row[6]])
        .collect();
    assert_eq!(halves, [["", "", ""], ["C", "", ""], ["", "D", ""]], "room for a counterpart: {pairs:?}");

    let import = format!("preflight --connection mau-web1 --import {}", file.display());
    let (code, _, told) = sapo_sync(&world, &import).await;
    assert!(code == 0 && told.contains("nothing was linked; --apply does it"), "{told}");
    assert!(world.web_link(1, world.pos_variant("A")).await.is_none());
    let (code, _, told) = sapo_sync(&world, &format!("{import} --apply")).await;
    assert!(code == 1 && told.contains("--yes"), "{told}");
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --apply --yes --json")).await;
    let last = &rows[rows.len() - 1];
    assert_eq!(
        (code, &last["applied"], &last["link"], &last["unmarked"]),
        (0, &json!(true), &json!(2), &json!(5)),
        "{told}"
    );
    world.quiet().await;
    world.assert_shown(1, a, 7, 2_000);
    let audit = world.store().audit_rows(100).await.unwrap();
    assert_eq!(audit.iter().filter(|row| row.action == "link" && row.actor == "cli").count(), 2);
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --json")).await;
    let last = &rows[rows.len() - 1];
    assert_eq!((code, &last["link"], &last["already"]), (0, &json!(0), &json!(2)), "{told}");

    let (code, rows, told) = sapo_sync(&world, "preflight --connection mau-web1 --from-store --json").await;
    assert_eq!((code, &rows[0]["linked"], &rows[0]["proposed"]), (0, &json!(2), &json!(0)), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_with_rows_that_cannot_be_done_links_nothing_unless_they_are_left_out() {
    let (world, [a, b1, b2]) = world().await;
    let (code, _, told) = sapo_sync(&world, "preflight --connection mau-web1").await;
    assert!(code == 0 && told.contains("Mã bị trùng (duplicate SKU): 3"), "{told}");
    let pos_b = world.pos_variant("B");
    let [on_a, on_b, on_c] = ["A", "B", "C"].map(|sku| world.pos_variant(sku).to_string());
    let [at_a, at_b1, at_b2] = [a, b1, b2].map(|id| id.to_string());
    let file = world.dir.path().join("sua.xlsx");
    proposal(
        &file,
        &[
            [&on_b, "", &at_b2, "", "x"],
            [&on_a, "", "999", "", "x"],
            [&on_a, "", &at_a, "", "?"],
            [&on_c, "", &at_b1, "", ""],
            [&on_b, "", &at_b2, "", "x"],
        ],
    );
    let import = format!("preflight --connection mau-web1 --import {} --apply --yes", file.display());
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --json")).await;
    assert_eq!(code, 1, "{told}");
    assert_eq!(steps(&rows), ["2 link link", "3 refused unknown_variant", "4 refused bad_mark", "6 refused repeated"]);
    assert!(told.contains("--skip-bad") && world.web_link(1, pos_b).await.is_none(), "{told}");
    let (code, _, told) = sapo_sync(&world, &format!("{import} --skip-bad")).await;
    assert_eq!(code, 3, "some rows were left out: {told}");
    world.quiet().await;
    world.assert_shown(1, b2, 7, 2_000);
    world.assert_shown(1, b1, 1, 1);
    // The other of the two is claimed now.
    proposal(&file, &[[&on_b, "", &at_b1, "", "x"]]);
    let (code, _, told) = sapo_sync(&world, &import).await;
    assert!(code == 1 && told.contains("linked_elsewhere") && told.contains(&b2.to_string()), "{told}");
    std::fs::write(&file, "no spreadsheet").unwrap();
    let (code, _, told) = sapo_sync(&world, &import).await;
    assert!(code == 1 && told.contains("no spreadsheet"), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_that_were_sorted_apart_link_nothing_unless_different_skus_are_meant() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    let [s, m] = ["AT-S", "AT-M"].map(|sku| {
        world.on_pos(sku, 2_000, 7);
        (world.pos_variant(sku), world.on_web(1, sku, 1, 1))
    });
    let (code, _, told) = sapo_sync(&world, "preflight --connection mau-web1").await;
    assert_eq!(code, 0, "{told}");
    let [(on_s, at_s), (on_m, at_m)] = [s, m].map(|(sapo, web)| (sapo.to_string(), web.to_string()));
    let file = world.dir.path().join("lech.xlsx");
    // Each half is right in itself, and the other row does not even repeat its SKUs.
    proposal(&file, &[[&on_s, "AT-S", &at_m, "AT-M", "x"], [&on_m, "", &at_s, "", "x"]]);
    let import = format!("preflight --connection mau-web1 --import {}", file.display());
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --apply --yes --json")).await;
    assert_eq!(code, 1, "{told}");
    assert_eq!(steps(&rows), ["2 refused different_skus", "3 refused different_skus"]);
    assert_eq!((&rows[0]["sapo_sku"], &rows[0]["web_sku"]), (&json!("AT-S"), &json!("AT-M")), "{told}");
    for language in ["vi", "en"] {
        let reason = rows[0]["reason"][language].as_str().unwrap();
        assert!(reason.contains("\"AT-S\"") && reason.contains("\"AT-M\""), "{reason}");
    }
    assert_eq!((&rows[2]["refused"], &rows[2]["refused_different_skus"]), (&json!(2), &json!(2)), "{told}");
    assert!(world.web_link(1, s.0).await.is_none() && world.web_link(1, m.0).await.is_none());

    let (code, _, told) = sapo_sync(&world, &format!("{import} --different-skus")).await;
    assert!(code == 0 && told.contains("nothing was linked"), "{told}");
    assert_eq!(told.matches("SKU khác nhau: POS \"AT-").count(), 2, "every row of the plan, with both SKUs: {told}");
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --different-skus --apply --yes --json")).await;
    let last = &rows[rows.len() - 1];
    assert_eq!((code, &last["link"], &last["link_different_skus"]), (0, &json!(2), &json!(2)), "{told}");
    world.quiet().await;
    assert_eq!(world.web_link(1, s.0).await.unwrap().channel_id, at_m);
    world.assert_shown(1, m.1, 7, 2_000);
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --json")).await;
    assert_eq!((code, &rows[2]["already"]), (0, &json!(2)), "what is linked already needs no flag: {told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_plan_is_shown_before_it_is_approved() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    let skus: Vec<String> = (10..30).map(|number| format!("M-{number}")).collect();
    for sku in &skus {
        world.on_pos(sku, 2_000, 7);
        world.on_web(1, sku, 1, 1);
    }
    let file = world.dir.path().join("nhieu.xlsx");
    let (code, _, told) =
        sapo_sync(&world, &format!("preflight --connection mau-web1 --xlsx {}", file.display())).await;
    assert_eq!(code, 0, "{told}");
    let (code, _, told) =
        sapo_sync(&world, &format!("preflight --connection mau-web1 --import {}", file.display())).await;
    assert_eq!(code, 0, "{told}");
    for sku in &skus {
        assert_eq!(told.matches(sku.as_str()).count(), 2, "{sku} of the POS and of the web: {told}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_may_name_a_side_by_its_sku_where_exactly_one_variant_has_it() {
    let (world, [a, b1, b2]) = world().await;
    let (code, _, told) = sapo_sync(&world, "preflight --connection mau-web1").await;
    assert_eq!(code, 0, "{told}");
    let [on_a, on_b, on_c] = ["A", "B", "C"].map(|sku| world.pos_variant(sku).to_string());
    let [at_a, at_b1, at_b2] = [a, b1, b2].map(|id| id.to_string());
    let file = world.dir.path().join("theo-ma.xlsx");
    proposal(
        &file,
        &[
            [&on_c, "C", "", "D", "x"],
            ["", "A", &at_a, "", "x"],
            [&on_b, "B", "", "B", "x"],
            ["", "KHONG-CO", &at_b1, "", "x"],
            ["", "", &at_b1, "", "x"],
            ["", "ÁO", "", "A\u{301}O", "x"],
            [&on_a, "B", &at_b2, "", "x"],
            [&on_a, "", "", "A", "x"],
        ],
    );
    let import = format!("preflight --connection mau-web1 --import {}", file.display());
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --json")).await;
    let expected = [
        "2 refused different_skus",
        "3 link link",
        "4 refused ambiguous_sku",
        "5 refused unknown_sku",
        "6 refused missing_id",
        "7 link link",
        "8 refused other_sku",
        "9 refused repeated",
    ];
    assert_eq!(code, 3, "{told}");
    assert_eq!(steps(&rows), expected, "{told}");
    let reason = |row: usize| rows[row - 2]["reason"]["en"].as_str().unwrap();
    assert!(reason(4).contains(&at_b1) && reason(4).contains(&at_b2), "every candidate: {}", reason(4));
    assert!(reason(5).contains("\"KHONG-CO\"") && reason(8).contains("empty the id"), "{told}");
    assert_eq!(rows[1]["sapo_variant"], on_a.as_str(), "the variant that the SKU named: {told}");

    let (code, rows, told) =
        sapo_sync(&world, &format!("{import} --different-skus --skip-bad --apply --yes --json")).await;
    let last = &rows[rows.len() - 1];
    assert_eq!((code, &last["link"], &last["link_different_skus"]), (3, &json!(3), &json!(1)), "{told}");
    world.quiet().await;
    world.assert_shown(1, a, 7, 2_000);
    let there: u64 = world.web_link(1, world.pos_variant("C")).await.unwrap().channel_id.parse().unwrap();
    assert_eq!(world.web_variant(1, there)["sku"], "D");
    world.assert_shown(1, there, 7, 2_000);
    assert!(
        world.web_link(1, world.pos_variant("ÁO")).await.is_some()
            && world.web_link(1, world.pos_variant("B")).await.is_none()
    );
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_connection_is_prepared_without_a_write_to_either_side_and_links_once_it_is_resumed() {
    let world = webs(1, "").await;
    let (code, _, told) = sapo_sync(&world, "connect pause mau-web1").await;
    assert_eq!(code, 0, "{told}");
    world.running().context().snapshot.refresh().await.unwrap();
    let there = world.on_web(1, "AT-S", 1, 1);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    world.sandbox.clear_calls();
    let file = world.dir.path().join("truoc.xlsx");
    let line = format!("preflight --connection mau-web1 --json --xlsx {}", file.display());
    let (code, rows, told) = sapo_sync(&world, &line).await;
    let report = rows.iter().find(|row| row["type"] == "preflight").unwrap();
    assert_eq!((code, &report["proposed"], notes(report)), (0, &json!(1), vec!["paused", "same_phone"]), "{told}");
    let (code, _, told) = sapo_sync(&world, "plan --connection mau-web1").await;
    assert!(code == 0 && told.contains("AT-S"), "{told}");
    let (code, _, told) =
        sapo_sync(&world, &format!("preflight --connection mau-web1 --import {}", file.display())).await;
    assert!(code == 0 && told.contains("to be linked (sẽ liên kết) 1,"), "{told}");
    let calls = world.sandbox.calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| !call.writing), "{calls:#?}");
    assert!(world.web_link(1, world.pos_variant("AT-S")).await.is_none(), "nothing is linked");
    world.assert_shown(1, there, 1, 1);

    let (code, _, told) = sapo_sync(&world, "connect resume mau-web1").await;
    assert_eq!(code, 0, "{told}");
    world.running().context().snapshot.refresh().await.unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 7, 2_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_channel_on_the_web_is_warned_of_by_its_host_and_a_missing_branch_is_told() {
    let (world, _) = world().await;
    world.on_pos_at("M", 0, &json!({"58001": 4}));
    world.sandbox.omni().remove_stock(world.pos_variant("M"), 58_002).unwrap();
    let url = world.sandbox.web_url(&web_alias(1));
    let site = world.sandbox.config().web_sites[0].clone();
    let ours = format!("https://sync.example.com/webhooks/web/{}", web_alias(1));
    for address in ["https://khac.example.com/hook?token=abc", &ours] {
        let body = json!({"webhook": {"topic": "orders/create", "address": address, "format": "json"}});
        let answer = client()
            .post(format!("{url}/admin/webhooks.json"))
            .header("X-Sapo-Access-Token", &site.access_token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
    let (code, rows, told) = sapo_sync(&world, "preflight --connection mau-web1 --json").await;
    assert_eq!(code, 0, "{told}");
    let report = rows.iter().find(|row| row["type"] == "preflight").unwrap();
    assert!(told.contains("khac.example.com") && !told.contains("abc"), "its host alone: {told}");
    assert!(!told.contains("sync.example.com"), "our own is no other channel: {told}");
    assert!(
        report["notes"].as_array().unwrap().iter().any(|note| note["code"] == "other_channel" && note["warns"] == true)
    );
    assert_eq!((count(report, "branch_missing"), count(report, "price_missing")), (1, 1), "{told}");
    let (code, _, told) = sapo_sync(&world, "preflight --connection nowhere").await;
    assert!(code == 4 && told.contains("mau-web1"), "{told}");
    world.finish(&[]).await;
}
