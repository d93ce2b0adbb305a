use rust_xlsxwriter::{Format, Workbook};

use super::*;
use crate::sync::web::preflight::xlsx;

const HEADER: [&str; 5] = ["Mã biến thể POS", "SKU POS", "Mã biến thể web", "SKU web", "Liên kết?"];

/// A spreadsheet with these rows on the sheet of that name.
fn book(sheet: &str, rows: &[&[&str]]) -> Vec<u8> {
    let mut book = Workbook::new();
    let page = book.add_worksheet().set_name(sheet).unwrap();
    for (row, cells) in (0_u32..).zip(rows) {
        for (column, cell) in (0_u16..).zip(*cells) {
            page.write_string(row, column, *cell).unwrap();
        }
    }
    book.save_to_buffer().unwrap()
}

fn asked(rows: &[&[&str]]) -> Result<Asked, ProposalError> {
    let mut all: Vec<&[&str]> = vec![&HEADER];
    all.extend(rows);
    read_from(Cursor::new(book(PROPOSAL, &all)), "bang.xlsx")
}

fn refused(asked: &Asked) -> Vec<(u32, &str)> {
    asked.refused.iter().map(|row| (row.row, row.code)).collect()
}

#[test]
fn marked_rows_are_wishes_and_the_others_are_left_as_they_are() {
    let asked = asked(&[
        &["101", " AT-S ", "201", "AT-S", "x"],
        &["102", "AT-M", "202", "AT-M", ""],
        &["103", "AT-L", "203", "AT-L", "Không"],
        &["", "", "", "", ""],
        &["104", "", "204", "", " X "],
        &["105", "", "205", "", "có"],
    ])
    .unwrap();
    let pairs: Vec<(u32, &str, &str)> =
        asked.wishes.iter().map(|wish| (wish.row, wish.sapo_variant.as_str(), wish.web_variant.as_str())).collect();
    assert_eq!(pairs, [(2, "101", "201"), (6, "104", "204"), (7, "105", "205")]);
    assert_eq!((asked.unmarked, asked.refused.len()), (2, 0));
    assert!(is_same_sku(&asked.wishes[0].sapo_sku, "AT-S") && is_same_sku("", "AT-S") && !is_same_sku("at-s", "AT-S"));
}

#[test]
fn columns_are_known_by_their_names_in_any_order_and_either_language() {
    for header in [
        ["Link?", "Web SKU", "Web variant id", "POS SKU", "POS variant id"],
        ["LIEN KET? (x)", "sku  web", "ma bien the web", "Sku Pos", "MÃ BIẾN THỂ POS"],
        ["Liên kết? (x) / Link? (x)", "SKU web / Web SKU", xlsx::PAIR[3].0, xlsx::PAIR[1].0, xlsx::PAIR[0].0],
    ] {
        let rows: [&[&str]; 2] = [&header, &["x", "B", "201", "A", "101"]];
        let asked = read_from(Cursor::new(book("de xuat lien ket", &rows)), "b").unwrap();
        let wish = &asked.wishes[0];
        let fields = [&wish.sapo_variant, &wish.sapo_sku, &wish.web_variant, &wish.web_sku];
        assert_eq!(fields, ["101", "A", "201", "B"], "{header:?}");
    }
}

#[test]
fn columns_that_are_missing_or_there_twice_are_named() {
    let of = |header: &[&str]| read_from(Cursor::new(book(PROPOSAL, &[header])), "b").unwrap_err().to_string();
    let told = of(&["Mã biến thể POS", "SKU POS", "Liên kết?"]);
    assert!(told.contains("row 1") && told.contains("lacks Mã biến thể web, SKU web;"), "{told}");
    let told = of(&["Mã biến thể POS", "POS variant id", "SKU POS"]);
    assert!(told.contains("\"Mã biến thể POS\" twice"), "{told}");
}

#[test]
fn a_row_that_is_not_clear_is_refused_with_its_number() {
    let asked = asked(&[
        &["101", "A", "201", "A", "maybe"],
        &["", "", "201", "A", "x"],
        &["102", "B", "", " ", "x"],
        &["1O3", "C", "203", "C", "x"],
        &["104", "D", "204", "D", "x"],
    ])
    .unwrap();
    assert_eq!(refused(&asked), [(2, "bad_mark"), (3, "missing_id"), (4, "missing_id"), (5, "bad_id")]);
    assert_eq!(asked.wishes.iter().map(|wish| wish.row).collect::<Vec<_>>(), [6]);
    assert!(
        asked.refused[1].reason.vi.contains("Mã biến thể POS") && asked.refused[1].reason.en.contains("both empty")
    );
    assert!(asked.refused[2].reason.vi.contains("SKU web"), "{:?}", asked.refused[2]);
}

#[test]
fn a_row_may_name_either_side_by_its_sku_alone() {
    let asked =
        asked(&[&["101", "A", "", "A-CU", "x"], &["", "B", "202", "", "x"], &["", " C ", "", "C", "x"]]).unwrap();
    assert!(asked.refused.is_empty(), "{:?}", asked.refused);
    let named: Vec<[&str; 4]> = asked
        .wishes
        .iter()
        .map(|wish| [wish.sapo_variant.as_str(), &wish.sapo_sku, &wish.web_variant, &wish.web_sku])
        .collect();
    assert_eq!(named, [["101", "A", "", "A-CU"], ["", "B", "202", ""], ["", "C", "", "C"]]);
}

#[test]
fn numbers_are_ids_and_dates_are_not() {
    let mut workbook = Workbook::new();
    let page = workbook.add_worksheet().set_name(PROPOSAL).unwrap();
    for (column, title) in (0_u16..).zip(HEADER) {
        page.write_string(0, column, title).unwrap();
    }
    let date = Format::new().set_num_format("yyyy-mm-dd");
    page.write_number(1, 0, 147_200_001.0).unwrap().write_number(1, 2, 9_007_199_254_740_991.0).unwrap();
    page.write_number(1, 1, 123.0).unwrap().write_boolean(1, 4, true).unwrap();
    page.write_number(2, 0, 101.5).unwrap().write_number(2, 2, 201.0).unwrap().write_string(2, 4, "x").unwrap();
    page.write_number(3, 0, 102.0).unwrap().write_number(3, 2, 202.0).unwrap().write_string(3, 4, "x").unwrap();
    page.write_number_with_format(3, 1, 46_000.0, &date).unwrap();
    let asked = read_from(Cursor::new(workbook.save_to_buffer().unwrap()), "b").unwrap();
    let wish = &asked.wishes[0];
    assert_eq!((wish.sapo_variant.as_str(), wish.web_variant.as_str()), ("147200001", "9007199254740991"));
    assert!(is_same_sku(&wish.sapo_sku, "123") && !is_same_sku(&wish.sapo_sku, "0123"));
    assert_eq!(refused(&asked), [(3, "bad_id"), (4, "bad_cell")]);
}

#[test]
fn what_is_no_such_spreadsheet_is_told_so() {
    let of = |bytes: Vec<u8>| read_from(Cursor::new(bytes), "bang.xlsx").unwrap_err();
    for bytes in [Vec::new(), b"SKU,Ten\nA,B\n".to_vec(), b"PK\x03\x04 cut off".to_vec(), vec![0; 4_096]] {
        assert!(matches!(of(bytes), ProposalError::Form { .. }));
    }
    let mut cut = book(PROPOSAL, &[&HEADER]);
    cut.truncate(cut.len() / 2);
    assert!(matches!(of(cut), ProposalError::Form { .. }));
    let other = of(book("Sheet1", &[&HEADER]));
    assert!(other.to_string().contains("it has: Sheet1"), "{other}");
    assert!(matches!(of(book(PROPOSAL, &[])), ProposalError::Empty));
    let missing = read(Path::new("there/is/no/such.xlsx")).unwrap_err();
    assert!(matches!(missing, ProposalError::File { .. }));
    assert!(missing.to_string().contains("preflight --xlsx"));
}

#[test]
fn a_header_far_down_and_cells_far_out_are_read_without_the_space_between() {
    let mut workbook = Workbook::new();
    let page = workbook.add_worksheet().set_name(PROPOSAL).unwrap();
    for (column, title) in (0_u16..).zip(HEADER) {
        page.write_string(500_000, column + 3, title).unwrap();
    }
    for (column, cell) in (3_u16..).zip(["101", "A", "201", "A", "x"]) {
        page.write_string(1_048_575, column, cell).unwrap();
    }
    page.write_string(1_048_575, 16_383, "far out").unwrap();
    let asked = read_from(Cursor::new(workbook.save_to_buffer().unwrap()), "b").unwrap();
    assert_eq!(asked.wishes[0].row, 1_048_576);
}

#[test]
fn a_sheet_with_more_rows_than_are_read_is_refused_whole_and_says_how_many_those_are_and_what_to_do() {
    let mut rows = Rows::default();
    let mut take = |row: u32, column: u32, text: &str| rows.take(row, column, Cell::text(text), "bang.xlsx");
    for (column, title) in (0_u32..).zip(HEADER) {
        take(1, column, title).unwrap();
    }
    let last = u32::try_from(ROWS).unwrap();
    for row in 2..=last {
        take(row, 0, "101").unwrap();
    }
    let refused = take(last + 1, 0, "101").unwrap_err();
    assert!(matches!(refused, ProposalError::Large { .. }));
    let told = refused.to_string();
    assert!(told.contains("over 200000 rows in") && told.contains("several files"), "{told}");
}
