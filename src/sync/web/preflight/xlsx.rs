//! The pre-flight report as a spreadsheet, written row by row: its rows are never in memory together.

use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};

use super::report::{Entry, Line, Proposed, Report, Sheet, Where};
use crate::domain::time;

/// The sheet with the counts.
pub const OVERVIEW: &str = "Tổng quan";
/// The sheet that can be read back.
pub const PROPOSAL: &str = "Đề xuất liên kết";
/// The last row that a sheet can have, from 0.
const LAST_ROW: u32 = 1_048_575;
/// The longest text of a cell.
const LONGEST: usize = 32_767;
/// What marks a pair that is to be linked.
pub const MARK: &str = "x";

/// The columns of a finding: header and width.
const LINE: [(&str, f64); 9] = [
    ("SKU (Mã)", 22.0),
    ("Bên / Side", 9.0),
    ("Vấn đề / Issue", 34.0),
    ("Tên / Name", 44.0),
    ("Mã sản phẩm / Product id", 16.0),
    ("Mã biến thể / Variant id", 16.0),
    ("Tồn kho / Stock", 11.0),
    ("Giá / Price", 14.0),
    ("Ghi chú / Note", 60.0),
];

/// The columns of a proposal: header and width. `proposal` reads them back by these names; the last one only explains.
pub const PAIR: [(&str, f64); 9] = [
    ("Mã biến thể POS / POS variant id", 18.0),
    ("SKU POS / POS SKU", 22.0),
    ("Tên POS / POS name", 40.0),
    ("Mã biến thể web / Web variant id", 18.0),
    ("SKU web / Web SKU", 22.0),
    ("Tên web / Web name", 40.0),
    ("Liên kết? (x) / Link? (x)", 12.0),
    ("Ghi chú / Note", 60.0),
    (
        "Cách dùng: đánh x để liên kết hai biến thể của dòng. Mã biến thể để trống thì tìm theo SKU cùng bên, SKU đó \
         phải có đúng một lần; có thể thêm dòng. Mã biến thể còn thì SKU chỉ để đối chiếu: muốn chọn biến thể khác \
         theo SKU thì xóa mã biến thể. Sửa SKU ở đây không đổi mã ở cửa hàng: sửa mã trên POS hoặc web rồi làm lại \
         báo cáo. Hai SKU khác nhau ở cửa hàng, dù ở đây đã sửa cho giống, chỉ liên kết với --different-skus. | How \
         to use: x links the two variants of a row. Where a variant id is empty, the SKU of that side names it, and \
         must be there exactly once; rows may be added. Where the id stands, the SKU only confirms it: to name \
         another variant by its SKU, empty the id. A SKU corrected here is not changed in the shop: correct it on the \
         POS or the web and make the report anew. Two SKUs that differ in the shop, even if made equal here, are \
         linked with --different-skus only.",
        110.0,
    ),
];
/// What a row is told by that has one side alone.
const ALONE: &str = "chưa có bên kia: ghi SKU hoặc mã biến thể của bên còn trống rồi đánh x; SKU khác nhau thì thêm \
                     --different-skus, hoặc sửa mã trên POS hay web rồi làm lại báo cáo (no counterpart: fill in the \
                     empty side's SKU or variant id, then mark x; where the SKUs differ add --different-skus, or \
                     correct one on the POS or the web and make the report anew)";

/// Why the spreadsheet cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The library's reason.
    #[error("the spreadsheet {path} cannot be written ({source}); choose a folder that can be written and has room")]
    Write {
        /// Where.
        path: String,
        /// Why.
        source: XlsxError,
    },
    /// The finished file cannot take its place.
    #[error(
        "the spreadsheet {path} cannot be put in its place ({source}); close it where it is open, and run this again"
    )]
    Place {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

struct Page {
    sheet: Worksheet,
    next: u32,
}

impl Page {
    /// A sheet with its header frozen.
    fn new(mut sheet: Worksheet, name: &str, columns: &[(&str, f64)], header: &Format) -> Result<Self, XlsxError> {
        sheet.set_name(name)?;
        for (at, (_, width)) in (0_u16..).zip(columns) {
            sheet.set_column_width(at, *width)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        for (at, (title, _)) in (0_u16..).zip(columns) {
            sheet.write_string_with_format(0, at, *title, header)?;
        }
        Ok(Self { sheet, next: 1 })
    }

    /// The next row; `None` where the sheet is full.
    fn row(&mut self) -> Option<u32> {
        let row = self.next;
        (row <= LAST_ROW).then(|| {
            self.next += 1;
            row
        })
    }
}

/// A spreadsheet at work.
pub struct Book {
    path: PathBuf,
    workbook: Workbook,
    pages: Vec<Page>,
    proposals: Page,
    header: Format,
    stock: Format,
    money: Format,
    text: Format,
}

impl Book {
    /// Begins a spreadsheet that will stand at `path`; what is written so far lies in the same folder.
    pub fn create(path: &Path) -> Result<Self, BookError> {
        Self::begin(path).map_err(|source| BookError::Write { path: path.display().to_string(), source })
    }

    fn begin(path: &Path) -> Result<Self, XlsxError> {
        let mut workbook = Workbook::new();
        workbook.set_tempdir(folder(path))?;
        let header = Format::new().set_bold().set_background_color(0x00DD_EBF7).set_text_wrap();
        let mut pages = Vec::with_capacity(Sheet::ALL.len());
        for sheet in Sheet::ALL {
            pages.push(Page::new(workbook.new_worksheet_with_constant_memory()?, sheet.name(), &LINE, &header)?);
        }
        let proposals = Page::new(workbook.new_worksheet_with_constant_memory()?, PROPOSAL, &PAIR, &header)?;
        Ok(Self {
            path: path.to_owned(),
            workbook,
            pages,
            proposals,
            header,
            stock: Format::new().set_num_format("#,##0.###"),
            money: Format::new().set_num_format("#,##0 \"₫\""),
            text: Format::new().set_num_format("@"),
        })
    }

    /// Writes a row on its sheet.
    pub fn add(&mut self, entry: &Entry) -> Result<(), BookError> {
        let written = match entry {
            Entry::Line(line) if line.is_alone() => self.line(line).and_then(|()| self.pair(&alone(line))),
            Entry::Line(line) => self.line(line),
            Entry::Proposed(pair) => self.pair(pair),
        };
        written.map_err(|source| BookError::Write { path: self.path.display().to_string(), source })
    }

    fn line(&mut self, line: &Line) -> Result<(), XlsxError> {
        let place = Sheet::ALL.iter().position(|sheet| *sheet == line.issue.sheet()).unwrap_or_default();
        let Some(page) = self.pages.get_mut(place) else { return Ok(()) };
        let Some(row) = page.row() else { return Ok(()) };
        let label = line.issue.label().to_string();
        let texts = [line.sku.as_str(), line.side.label(), &label, &line.name, &line.product_id, &line.variant_id];
        for (at, value) in (0_u16..).zip(texts) {
            page.sheet.write_string_with_format(row, at, cell(value), &self.text)?;
        }
        number(&mut page.sheet, row, 6, line.stock, &self.stock)?;
        number(&mut page.sheet, row, 7, line.price, &self.money)?;
        page.sheet.write_string(row, 8, cell(&line.note))?;
        Ok(())
    }

    fn pair(&mut self, pair: &Proposed) -> Result<(), XlsxError> {
        let page = &mut self.proposals;
        let Some(row) = page.row() else { return Ok(()) };
        let mark = if pair.marked { MARK } else { "" };
        let texts = [
            pair.sapo_variant.as_str(),
            &pair.sapo_sku,
            &pair.sapo_name,
            &pair.web_variant,
            &pair.web_sku,
            &pair.web_name,
            mark,
            &pair.note,
        ];
        for (at, value) in (0_u16..).zip(texts) {
            page.sheet.write_string_with_format(row, at, cell(value), &self.text)?;
        }
        Ok(())
    }

    /// Writes the overview, and puts the finished file in its place: nobody ever finds half of it there.
    pub fn finish(mut self, report: &Report) -> Result<(), BookError> {
        let shown = self.path.display().to_string();
        let part = part_of(&self.path);
        let saved = self.assemble(report, &part);
        if let Err(source) = saved {
            let _gone = std::fs::remove_file(&part);
            return Err(BookError::Write { path: shown, source });
        }
        std::fs::rename(&part, &self.path).map_err(|source| {
            let _gone = std::fs::remove_file(&part);
            BookError::Place { path: shown, source }
        })
    }

    fn assemble(&mut self, report: &Report, part: &Path) -> Result<(), XlsxError> {
        let overview = self.overview(report)?;
        self.workbook.push_worksheet(overview);
        for page in self.pages.drain(..) {
            self.workbook.push_worksheet(page.sheet);
        }
        self.workbook.push_worksheet(std::mem::take(&mut self.proposals.sheet));
        self.workbook.save(part)
    }

    fn overview(&self, report: &Report) -> Result<Worksheet, XlsxError> {
        let columns = [("Mục", 44.0), ("Item", 44.0), ("Số lượng / Count", 16.0)];
        let Page { mut sheet, next: mut row } = Page::new(Worksheet::new(), OVERVIEW, &columns, &self.header)?;
        let facts = [
            ("Kết nối", "Connection", report.connection.clone()),
            ("Cửa hàng (POS)", "Shop (POS)", report.store.clone()),
            ("Web", "Web", report.site.clone()),
            ("Đọc lúc", "Read at", report.read_at.map_or_else(|| "–".to_owned(), time::local)),
        ];
        for (vi, en, value) in facts {
            sheet.write_string(row, 0, vi)?.write_string(row, 1, en)?.write_string(row, 2, cell(&value))?;
            row += 1;
        }
        let count = Format::new().set_num_format("#,##0");
        for (text, number) in report.overview() {
            sheet.write_string(row, 0, text.vi)?.write_string(row, 1, text.en)?;
            #[allow(clippy::cast_precision_loss)]
            sheet.write_number_with_format(row, 2, number as f64, &count)?;
            row += 1;
        }
        let wrapped = Format::new().set_text_wrap();
        row += 1;
        for note in &report.notes {
            sheet.write_string_with_format(row, 0, cell(&note.text.vi), &wrapped)?;
            sheet.write_string_with_format(row, 1, cell(&note.text.en), &wrapped)?;
            row += 1;
        }
        Ok(sheet)
    }
}

/// A proposal of which a person fills in the other half.
fn alone(line: &Line) -> Proposed {
    let here = [&line.variant_id, &line.sku, &line.name].map(String::clone);
    let there = <[String; 3]>::default();
    let (sapo, web) = match line.side {
        Where::Pos => (here, there),
        Where::Web => (there, here),
    };
    let ([sapo_variant, sapo_sku, sapo_name], [web_variant, web_sku, web_name]) = (sapo, web);
    let note = ALONE.to_owned();
    Proposed { sapo_variant, sapo_sku, sapo_name, web_variant, web_sku, web_name, marked: false, note }
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Where the file is while it is written.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    path.with_file_name(name)
}

/// A text as a cell takes it.
fn cell(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

fn number(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    value: Option<Decimal>,
    format: &Format,
) -> Result<(), XlsxError> {
    if let Some(value) = value.and_then(|value| value.to_f64()) {
        sheet.write_number_with_format(row, column, value, format)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use calamine::{Data, Range, Reader as _, Xlsx, open_workbook};

    use super::super::report::{Issue, Note, Text};
    use super::super::{proposal, report};
    use super::*;

    fn line(issue: Issue, sku: &str) -> Line {
        Line {
            issue,
            side: Where::Web,
            sku: sku.to_owned(),
            name: "Áo thun \"cổ tròn\" <S> & M".to_owned(),
            product_id: "46400001".to_owned(),
            variant_id: "147200001".to_owned(),
            linked: false,
            stock: Some("-2.5".parse().unwrap()),
            price: Some(120_000.into()),
            note: "=1+1".to_owned(),
        }
    }

    fn pair(number: u32, marked: bool) -> Proposed {
        let text = |what: &str| format!("{what}{number}");
        Proposed {
            sapo_variant: text("1"),
            sapo_sku: text("AT-"),
            sapo_name: text("Áo "),
            web_variant: text("2"),
            web_sku: text("AT-"),
            web_name: text("Áo web "),
            marked,
            note: String::new(),
        }
    }

    fn sheet(path: &Path, name: &str) -> Range<Data> {
        let mut book: Xlsx<_> = open_workbook(path).unwrap();
        book.worksheet_range(name).unwrap()
    }

    fn texts(range: &Range<Data>, row: usize) -> Vec<String> {
        range.rows().nth(row).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bao-cao.xlsx");
        let mut report = Report::new("mau-web", "cuahangmau", "webmau");
        report.notes.push(Note { code: "phones".into(), warns: false, text: Text::new("Nhắc nhở", "a reminder") });
        let mut book = Book::create(&path).unwrap();
        let odd = ["AT-S", " AT-S\t", "A\u{301}O", "_x0041_", "=SUM(A1)", "A\u{1}B", "0001"];
        for sku in odd {
            let entry = Entry::Line(line(Issue::Duplicate, sku));
            report.add(&entry);
            book.add(&entry).unwrap();
        }
        for issue in [Issue::NoSku, Issue::Blanks] {
            book.add(&Entry::Line(line(issue, ""))).unwrap();
        }
        book.add(&Entry::Line(Line { linked: true, ..line(Issue::NoSku, "") })).unwrap();
        book.add(&Entry::Line(Line { side: Where::Pos, ..line(Issue::OnlyOnSapo, "AT-X") })).unwrap();
        for number in 1..=3 {
            book.add(&Entry::Proposed(pair(number, number != 2))).unwrap();
        }
        book.finish(&report).unwrap();

        let book: Xlsx<_> = open_workbook(&path).unwrap();
        let mut expected = vec![OVERVIEW];
        expected.extend(Sheet::ALL.map(Sheet::name));
        expected.push(PROPOSAL);
        assert_eq!(book.sheet_names(), expected);
        let duplicates = sheet(&path, "Trùng mã");
        assert_eq!(texts(&duplicates, 0), LINE.map(|(title, _)| title));
        let skus: Vec<String> = (1..=odd.len()).map(|row| texts(&duplicates, row)[0].clone()).collect();
        assert_eq!(skus, odd);
        let row = duplicates.rows().nth(1).unwrap();
        assert_eq!((row[6].clone(), row[7].clone()), (Data::Float(-2.5), Data::Float(120_000.0)));
        assert_eq!(row[5], Data::String("147200001".into()), "an id is text: no spreadsheet rounds it");
        assert_eq!(row[8], Data::String("=1+1".into()), "a name is never a formula");
        assert_eq!(sheet(&path, "Mã trống").height(), 4);
        let alone: Vec<Vec<String>> = (1..=2).map(|row| texts(&sheet(&path, PROPOSAL), row)[..7].to_vec()).collect();
        let name = "Áo thun \"cổ tròn\" <S> & M";
        assert_eq!(alone, [["", "", "", "147200001", "", name, ""], ["147200001", "AT-X", name, "", "", "", ""]]);
        assert_eq!(sheet(&path, "Giá").height(), 1, "a header stands on an empty sheet too");
        let overview = sheet(&path, OVERVIEW);
        let all: Vec<Vec<String>> = (0..overview.height()).map(|row| texts(&overview, row)).collect();
        assert!(all.iter().any(|row| row[0] == "Mã bị trùng" && row[2] == "7"), "{all:?}");
        assert!(all.iter().any(|row| row[0] == "Nhắc nhở" && row[1] == "a reminder"), "{all:?}");
        let asked = proposal::read(&path).unwrap();
        let wished: Vec<&str> = asked.wishes.iter().map(|wish| wish.sapo_variant.as_str()).collect();
        assert_eq!((wished, asked.unmarked, asked.refused.len()), (vec!["11", "13"], 3, 0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left in the folder");
    }

    #[test]
    fn a_long_text_is_cut_to_what_a_cell_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dai.xlsx");
        let mut book = Book::create(&path).unwrap();
        let entry = Entry::Line(Line { name: "Á".repeat(40_000), ..line(Issue::NoSku, "") });
        book.add(&entry).unwrap();
        book.finish(&Report::new("mau-web", "cuahangmau", "webmau")).unwrap();
        assert_eq!(texts(&sheet(&path, "Mã trống"), 1)[3].chars().count(), LONGEST);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let error = Book::create(Path::new("there/is/no/such/folder/a.xlsx")).err().unwrap();
        assert!(error.to_string().contains("choose a folder"), "{error}");
    }

    #[test]
    fn every_finding_has_a_sheet_of_the_spreadsheet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("moi.xlsx");
        let mut book = Book::create(&path).unwrap();
        for issue in report::Issue::ALL {
            book.add(&Entry::Line(line(*issue, "A"))).unwrap();
        }
        book.finish(&Report::new("mau-web", "cuahangmau", "webmau")).unwrap();
        let rows: usize = Sheet::ALL.iter().map(|one| sheet(&path, one.name()).height() - 1).sum();
        assert_eq!(rows, report::Issue::ALL.len());
    }
}
