//! What the pre-flight report says, in Vietnamese and English: findings, counts, and the links it proposes.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::clock::Millis;
use crate::domain::event::words;

/// Rows of each finding that a report keeps for the screen; the spreadsheet has all of them.
pub const FIRST: usize = 20;

words! {
    /// What is to be looked at before a web is connected.
    Issue {
        /// No variant of the web has this SKU.
        OnlyOnSapo = "only_on_sapo",
        /// No variant of the POS has this SKU.
        OnlyOnWeb = "only_on_web",
        /// More than one variant of a side has this SKU.
        Duplicate = "duplicate",
        /// The only variant with this SKU on the other side is linked to another.
        Taken = "linked_elsewhere",
        /// No SKU.
        NoSku = "no_sku",
        /// Blanks before or after the SKU.
        Blanks = "blanks_trimmed",
        /// Letters and their marks apart (NFD).
        Decomposed = "unicode_composed",
        /// Less than nothing in stock.
        NegativeStock = "negative_stock",
        /// The web does not count the variant's stock.
        Unmanaged = "unmanaged",
        /// The POS states no stock for a chosen branch.
        BranchMissing = "branch_missing",
        /// No price in the chosen price list.
        PriceMissing = "price_missing",
    }
}

/// A sheet of the spreadsheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sheet {
    /// Chỉ có trên POS.
    OnlyOnSapo,
    /// Chỉ có trên web.
    OnlyOnWeb,
    /// Trùng mã.
    Duplicates,
    /// Mã trống.
    Skus,
    /// Tồn kho.
    Stock,
    /// Giá.
    Price,
}

impl Sheet {
    /// Every one, in the order of the spreadsheet.
    pub const ALL: [Self; 6] =
        [Self::OnlyOnSapo, Self::OnlyOnWeb, Self::Duplicates, Self::Skus, Self::Stock, Self::Price];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnlyOnSapo => "Chỉ có trên POS",
            Self::OnlyOnWeb => "Chỉ có trên web",
            Self::Duplicates => "Trùng mã",
            Self::Skus => "Mã trống",
            Self::Stock => "Tồn kho",
            Self::Price => "Giá",
        }
    }
}

impl Issue {
    /// The sheet that its rows stand on.
    pub fn sheet(self) -> Sheet {
        match self {
            Self::OnlyOnSapo => Sheet::OnlyOnSapo,
            Self::OnlyOnWeb => Sheet::OnlyOnWeb,
            Self::Duplicate | Self::Taken => Sheet::Duplicates,
            Self::NoSku | Self::Blanks | Self::Decomposed => Sheet::Skus,
            Self::NegativeStock | Self::Unmanaged | Self::BranchMissing => Sheet::Stock,
            Self::PriceMissing => Sheet::Price,
        }
    }

    /// What it is called.
    pub fn label(self) -> Text {
        let (vi, en) = match self {
            Self::OnlyOnSapo => ("Mã chỉ có trên POS", "SKU only on the POS"),
            Self::OnlyOnWeb => ("Mã chỉ có trên web", "SKU only on the web"),
            Self::Duplicate => ("Mã bị trùng", "duplicate SKU"),
            Self::Taken => ("Mã bên kia đã liên kết với phiên bản khác", "its counterpart is linked to another"),
            Self::NoSku => ("Mã trống", "no SKU"),
            Self::Blanks => ("Mã có khoảng trắng ở đầu hoặc cuối", "blanks around the SKU"),
            Self::Decomposed => ("Mã gõ bằng dấu tổ hợp", "SKU with letters and marks apart (NFD)"),
            Self::NegativeStock => ("Tồn kho âm", "negative stock"),
            Self::Unmanaged => ("Web không quản lý tồn kho", "stock not managed by the web"),
            Self::BranchMissing => ("Thiếu tồn kho của chi nhánh đã chọn", "stock of a chosen branch missing"),
            Self::PriceMissing => ("Thiếu giá", "no price"),
        };
        Text::new(vi, en)
    }

    /// What becomes of it, and what mends it.
    pub fn advice(self) -> Text {
        let (vi, en) = match self {
            Self::OnlyOnSapo => (
                "Chưa liên kết: tạo sản phẩm trên web với đúng mã này, hoặc ghi biến thể bên web ở trang Đề xuất liên kết, hoặc bỏ qua nếu không bán trên web",
                "stays unlinked: make the product on the web with this very SKU, name its counterpart on the sheet of proposals, or leave it if it is not sold there",
            ),
            Self::OnlyOnWeb => (
                "Chưa liên kết: sửa mã trên web cho giống POS, hoặc ghi biến thể bên POS ở trang Đề xuất liên kết, hoặc tạo sản phẩm trên POS",
                "stays unlinked: give it the POS's SKU, name its counterpart on the sheet of proposals, or make the product on the POS",
            ),
            Self::Duplicate => (
                "Lỗi liên kết: sửa để mỗi mã chỉ có một phiên bản ở mỗi bên, hoặc chọn tay ở trang Đề xuất liên kết",
                "cannot be linked: leave one variant a side with this SKU, or choose by hand on the sheet of proposals",
            ),
            Self::Taken => (
                "Lỗi liên kết: hủy liên kết cũ trước (links unlink), rồi liên kết lại",
                "cannot be linked: cut the other link first (links unlink), then link again",
            ),
            Self::NoSku => (
                "Không bao giờ tự liên kết: hãy đặt mã, hoặc ghi biến thể bên kia ở trang Đề xuất liên kết",
                "never links by itself: give it a SKU, or name its counterpart on the sheet of proposals",
            ),
            Self::Blanks => (
                "Được so sánh sau khi bỏ khoảng trắng hai đầu; nên sửa lại",
                "compared without the blanks at its ends; better mended",
            ),
            Self::Decomposed => (
                "Được so sánh sau khi chuẩn hóa Unicode (NFC); nên gõ lại",
                "compared in Unicode NFC; better typed again",
            ),
            Self::NegativeStock => {
                ("Đẩy lên web là 0: hãy kiểm kho trên POS", "goes to the web as 0: count the stock on the POS")
            }
            Self::Unmanaged => (
                "Không đẩy tồn kho: bật quản lý tồn kho cho phiên bản này trên web",
                "gets no stock: let the web manage this variant's stock",
            ),
            Self::BranchMissing => (
                "Không đẩy tồn kho (không bao giờ tính là 0): nhập kho cho chi nhánh này, hoặc chọn chi nhánh khác",
                "gets no stock (never taken as 0): stock it in that branch, or choose others",
            ),
            Self::PriceMissing => (
                "Giá trên web giữ nguyên: đặt giá trong bảng giá đã chọn",
                "the web's price is left alone: set one in the chosen price list",
            ),
        };
        Text::new(vi, en)
    }
}

words! {
    /// A side, as the report calls it.
    Where {
        /// Sapo Omni / POS.
        Pos = "pos",
        /// The web.
        Web = "web",
    }
}

impl Where {
    /// As owners call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pos => "POS",
            Self::Web => "web",
        }
    }
}

/// A sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Vietnamese.
    pub vi: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Makes one.
    pub fn new(vi: impl Into<String>, en: impl Into<String>) -> Self {
        Self { vi: vi.into(), en: en.into() }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.vi, self.en)
    }
}

/// One variant with something to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What.
    pub issue: Issue,
    /// On which side.
    pub side: Where,
    /// Its SKU as typed.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Its product.
    pub product_id: String,
    /// Its id.
    pub variant_id: String,
    /// A standing link holds it.
    pub linked: bool,
    /// The stock it states, where it states one.
    pub stock: Option<Decimal>,
    /// The price it states, where it states one.
    pub price: Option<Decimal>,
    /// More about it.
    pub note: String,
}

impl Line {
    /// Whether a person may name its counterpart on the sheet of proposals: it has none.
    pub fn is_alone(&self) -> bool {
        let of_one_side = matches!(self.issue, Issue::OnlyOnSapo | Issue::OnlyOnWeb | Issue::NoSku);
        of_one_side && !self.linked
    }
}

/// Two variants that may be linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposed {
    /// The POS's variant.
    pub sapo_variant: String,
    /// Its SKU as typed.
    pub sapo_sku: String,
    /// Its name.
    pub sapo_name: String,
    /// The web's variant.
    pub web_variant: String,
    /// Its SKU as typed.
    pub web_sku: String,
    /// Its name.
    pub web_name: String,
    /// Whether the program would link them by itself; else a person chooses.
    pub marked: bool,
    /// Why it is proposed, or not marked.
    pub note: String,
}

/// A row of the report, as it is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Something to look at.
    Line(Line),
    /// A link to be made.
    Proposed(Proposed),
}

/// Something about the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// A stable word.
    pub code: String,
    /// Whether something has to be done before connecting.
    pub warns: bool,
    /// The sentence.
    pub text: Text,
}

/// The report: every count, the first rows of each finding.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The connection.
    pub connection: String,
    /// The shop.
    pub store: String,
    /// The web.
    pub site: String,
    /// When both catalogues were read.
    pub read_at: Option<Millis>,
    /// Variants on the POS.
    pub on_sapo: u64,
    /// Variants on the web.
    pub on_web: u64,
    /// Pairs that are linked.
    pub linked: u64,
    /// Pairs that would be linked.
    pub proposed: u64,
    /// Pairs that a person has to choose among.
    pub to_choose: u64,
    /// How many rows have which finding.
    pub counts: BTreeMap<&'static str, u64>,
    /// About the whole.
    pub notes: Vec<Note>,
    /// The first rows of each finding.
    #[serde(skip)]
    pub first: BTreeMap<&'static str, Vec<Line>>,
}

impl Report {
    /// An empty report.
    pub fn new(connection: &str, store: &str, site: &str) -> Self {
        Self {
            connection: connection.to_owned(),
            store: store.to_owned(),
            site: site.to_owned(),
            read_at: None,
            on_sapo: 0,
            on_web: 0,
            linked: 0,
            proposed: 0,
            to_choose: 0,
            counts: BTreeMap::new(),
            notes: Vec::new(),
            first: BTreeMap::new(),
        }
    }

    /// Counts a row, and keeps it where it is one of the first.
    pub fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Proposed(pair) if pair.marked => self.proposed += 1,
            Entry::Proposed(_) => self.to_choose += 1,
            Entry::Line(line) => {
                let word = line.issue.as_str();
                *self.counts.entry(word).or_default() += 1;
                let first = self.first.entry(word).or_default();
                if first.len() < FIRST {
                    first.push(line.clone());
                }
            }
        }
    }

    /// How many rows have a finding.
    pub fn count(&self, issue: Issue) -> u64 {
        self.counts.get(issue.as_str()).copied().unwrap_or(0)
    }

    /// What the overview says, line by line.
    pub fn overview(&self) -> Vec<(Text, u64)> {
        let mut rows = vec![
            (Text::new("Phiên bản trên POS", "variants on the POS"), self.on_sapo),
            (Text::new("Phiên bản trên web", "variants on the web"), self.on_web),
            (Text::new("Đã liên kết", "linked"), self.linked),
            (Text::new("Sẽ được liên kết", "will be linked"), self.proposed),
            (Text::new("Cặp cần chọn bằng tay", "pairs to choose by hand"), self.to_choose),
        ];
        rows.extend(Issue::ALL.iter().map(|issue| (issue.label(), self.count(*issue))));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(issue: Issue, number: usize) -> Entry {
        Entry::Line(Line {
            issue,
            side: Where::Pos,
            sku: format!("A-{number}"),
            name: "Áo thun".into(),
            product_id: "1".into(),
            variant_id: number.to_string(),
            linked: false,
            stock: None,
            price: None,
            note: String::new(),
        })
    }

    #[test]
    fn every_row_is_counted_and_the_first_are_kept() {
        let mut report = Report::new("mau-web", "cuahangmau", "webmau");
        (0..FIRST + 7).for_each(|number| report.add(&line(Issue::NoSku, number)));
        report.add(&line(Issue::Unmanaged, 1));
        assert_eq!((report.count(Issue::NoSku), report.first["no_sku"].len()), (27, FIRST));
        assert_eq!((report.count(Issue::Unmanaged), report.count(Issue::Duplicate)), (1, 0));
        let told: u64 = report.overview().iter().map(|row| row.1).sum();
        assert_eq!(told, 28);
    }

    #[test]
    fn every_finding_is_told_in_both_languages_on_a_sheet_of_its_own_kind() {
        for issue in Issue::ALL {
            for text in [issue.label(), issue.advice()] {
                assert!(!text.vi.is_empty() && !text.en.is_empty() && text.vi != text.en, "{issue}");
            }
            assert!(Sheet::ALL.contains(&issue.sheet()));
        }
        assert_eq!(Issue::NoSku.label().to_string(), "Mã trống (no SKU)");
    }
}
