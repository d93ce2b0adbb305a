//! The sheet of proposals as owners use it: written by the report, corrected by hand, read back.

use std::path::Path;

use calamine::{Data, Reader as _, Xlsx, open_workbook};
use rust_xlsxwriter::Workbook;
use serde_json::{Value, json};

use crate::harness::World;
use crate::links_commands::sapo_sync;
use crate::web_world::webs;

const NAME: &str = "Đề xuất liên kết";
// Its columns.
const POS_ID: usize = 0;
const POS_SKU: usize = 1;
const WEB_ID: usize = 3;
const WEB_SKU: usize = 4;
const MARK: usize = 6;

/// The rows of the sheet, the header first.
struct Sheet(Vec<Vec<String>>);

impl Sheet {
    /// Has the report made, and opens it.
    async fn of(world: &World, path: &Path) -> Self {
        let line = format!("preflight --connection mau-web1 --xlsx {}", path.display());
        let (code, _, told) = sapo_sync(world, &line).await;
        assert_eq!(code, 0, "{told}");
        let mut book: Xlsx<_> = open_workbook(path).unwrap();
        let range = book.worksheet_range(NAME).unwrap();
        Self(range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect())
    }

    /// Where the row of a SKU is, on whichever side it stands.
    fn at(&self, sku: &str) -> usize {
        let of_sku = |row: &Vec<String>| row[POS_SKU] == sku || row[WEB_SKU] == sku;
        self.0.iter().position(of_sku).unwrap_or_else(|| panic!("{sku} is in no row: {:?}", self.0))
    }

    /// Types into cells of a row, and marks it.
    fn fill(&mut self, row: usize, cells: &[(usize, &str)]) {
        for (column, text) in cells.iter().chain(&[(MARK, "x")]) {
            (*text).clone_into(&mut self.0[row][*column]);
        }
    }

    fn save(&self, path: &Path) {
        let mut book = Workbook::new();
        let page = book.add_worksheet().set_name(NAME).unwrap();
        for (row, cells) in (0_u32..).zip(&self.0) {
            for (column, cell) in (0_u16..).zip(cells) {
                page.write_string(row, column, cell).unwrap();
            }
        }
        book.save(path).unwrap();
    }
}

/// The step of a row, counted from 0: its action and code, and its reason in a language.
fn step<'a>(told: &'a [Value], row: usize, language: &str) -> (String, &'a str) {
    let step = told.iter().find(|step| step["type"] == "row" && step["row"] == row + 1).expect("a step of the row");
    let word = |field: &str| step[field].as_str().unwrap();
    (format!("{} {}", word("action"), word("code")), step["reason"][language].as_str().unwrap())
}

fn contains(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_corrected_to_its_counterparts_means_these_two_ids_and_is_linked_as_one_that_differs() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    let there = [("AO-1", "AO-01"), ("GIAY", "GIAY-9"), ("MU-1", "MU-9")].map(|(here, there)| {
        world.on_pos(here, 2_000, 7);
        world.on_web(1, there, 1, 1)
    });
    let file = world.dir.path().join("sua-ma.xlsx");
    let mut sheet = Sheet::of(&world, &file).await;
    let [shirt, shoe, hat] = ["AO-1", "GIAY", "MU-9"].map(|sku| sheet.at(sku));
    let id = sheet.0[sheet.at("AO-01")][WEB_ID].clone();
    // Both ids; the web's SKU alone; and a web's SKU that was corrected to the POS's.
    sheet.fill(shirt, &[(POS_SKU, "AO-01"), (WEB_ID, id.as_str()), (WEB_SKU, "AO-01")]);
    sheet.fill(shoe, &[(POS_SKU, "GIAY-9"), (WEB_SKU, "GIAY-9")]);
    sheet.fill(hat, &[(WEB_SKU, "MU-1"), (POS_SKU, "MU-1")]);
    sheet.save(&file);

    let import = format!("preflight --connection mau-web1 --import {} --json", file.display());
    let (code, rows, told) = sapo_sync(&world, &import).await;
    assert_eq!(code, 3, "{told}");
    for (row, side) in [(shirt, "POS"), (shoe, "POS"), (hat, "web")] {
        let (refused, reason) = step(&rows, row, "vi");
        assert_eq!(refused, "refused different_skus", "{told}");
        contains(reason, &[&format!("mã trên {side} vẫn như cũ"), "làm lại báo cáo", "--different-skus"]);
        contains(step(&rows, row, "en").1, &[&format!("correct it on the {side} itself"), "--different-skus"]);
    }
    contains(step(&rows, shirt, "en").1, &["\"AO-1\" on the POS, \"AO-01\" on the web"]);
    let last = &rows[rows.len() - 1];
    assert_eq!((&last["refused"], &last["refused_different_skus"]), (&json!(3), &json!(3)), "{told}");

    let (code, rows, told) = sapo_sync(&world, &format!("{import} --different-skus")).await;
    assert_eq!(code, 0, "{told}");
    for (row, side) in [(shirt, "POS"), (shoe, "POS"), (hat, "web")] {
        let (planned, reason) = step(&rows, row, "vi");
        assert_eq!(planned, "link link", "{told}");
        contains(reason, &[&format!("mã trên {side} không đổi")]);
        contains(step(&rows, row, "en").1, &[&format!("on the {side} it stays as it is")]);
    }
    let (code, rows, told) = sapo_sync(&world, &format!("{import} --different-skus --apply --yes")).await;
    let last = &rows[rows.len() - 1];
    assert_eq!((code, &last["link"], &last["link_different_skus"]), (0, &json!(3), &json!(3)), "{told}");
    world.quiet().await;
    for (here, id, sku) in [("AO-1", there[0], "AO-01"), ("GIAY", there[1], "GIAY-9"), ("MU-1", there[2], "MU-9")] {
        let link = world.web_link(1, world.pos_variant(here)).await.expect("the link");
        assert_eq!(link.channel_id, id.to_string());
        assert_eq!(world.web_variant(1, id)["sku"], sku, "neither shop's SKU is changed");
        world.assert_shown(1, id, 7, 2_000);
    }
    let (code, rows, told) = sapo_sync(&world, &import).await;
    assert_eq!((code, &rows[rows.len() - 1]["already"]), (0, &json!(3)), "linked already, no flag is needed: {told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_is_no_counterparts_or_stands_at_another_id_is_refused_with_what_to_do() {
    let world = webs(1, "").await;
    world.sandbox.stop_webhooks();
    for (sku, on_pos, on_web) in [
        ("P-1", true, true),
        ("P-2", true, true),
        ("QUAN", true, false),
        ("AO-1", true, false),
        ("TUI", false, true),
        ("AO-01", false, true),
    ] {
        if on_pos {
            world.on_pos(sku, 2_000, 7);
        }
        if on_web {
            world.on_web(1, sku, 1, 1);
        }
    }
    let file = world.dir.path().join("sua-sai.xlsx");
    let mut sheet = Sheet::of(&world, &file).await;
    contains(&sheet.0[0].join(" "), &["xóa mã biến thể", "empty the id", "làm lại báo cáo", "make the report anew"]);
    let [one, two, trousers, shirt] = ["P-1", "P-2", "QUAN", "AO-1"].map(|sku| sheet.at(sku));
    // The column of the POS's ids was sorted apart: each of the two SKUs is another variant's.
    let [first, second] = [one, two].map(|row| sheet.0[row][POS_ID].clone());
    sheet.fill(one, &[(POS_ID, second.as_str())]);
    sheet.fill(two, &[(POS_ID, first.as_str())]);
    // Corrected to what nobody has.
    let bag = sheet.0[sheet.at("TUI")][WEB_ID].clone();
    sheet.fill(trousers, &[(POS_SKU, "QUAN-X"), (WEB_ID, bag.as_str()), (WEB_SKU, "TUI")]);
    // Corrected, and the other half left empty.
    sheet.fill(shirt, &[(POS_SKU, "AO-01")]);
    sheet.save(&file);

    let import = format!("preflight --connection mau-web1 --import {} --different-skus --json", file.display());
    let (code, rows, told) = sapo_sync(&world, &import).await;
    assert_eq!((code, &rows[rows.len() - 1]["link"]), (3, &json!(0)), "{told}");
    for row in [one, two, trousers] {
        let (refused, reason) = step(&rows, row, "vi");
        assert_eq!(refused, "refused other_sku", "{told}");
        contains(reason, &["không đổi mã trên POS", "làm lại báo cáo", "xóa mã biến thể"]);
        contains(step(&rows, row, "en").1, &["correct it there", "make the report anew", "empty the id"]);
    }
    let (refused, reason) = step(&rows, shirt, "vi");
    assert_eq!(refused, "refused missing_id", "{told}");
    contains(reason, &["SKU web", "mã đã sửa ở nửa kia"]);
    contains(step(&rows, shirt, "en").1, &["a SKU corrected in the row's other half does not name this one"]);
    world.finish(&[]).await;
}
