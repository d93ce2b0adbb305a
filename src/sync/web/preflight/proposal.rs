//! A link proposal read back from a spreadsheet that a person has looked through: what it asks for, row by row. A row
//! that is not clear is refused with its number, never guessed at.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read as _, Seek};
use std::path::Path;

use calamine::{DataRef, Reader as _, Xlsx, XlsxError};
use serde::Serialize;

use super::report::Text;
use super::xlsx::PROPOSAL;
use crate::domain::event::words;
use crate::domain::sku::Sku;
use crate::store::fold;

/// The largest file that is read.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The most rows that are read.
const ROWS: usize = 200_000;
/// Columns further right than this are not looked at.
const COLUMNS: u32 = 256;

words! {
    /// A column that a proposal must have.
    Column {
        /// Mã biến thể POS.
        SapoVariant = "sapo_variant",
        /// SKU POS.
        SapoSku = "sapo_sku",
        /// Mã biến thể web.
        WebVariant = "web_variant",
        /// SKU web.
        WebSku = "web_sku",
        /// Liên kết?
        Mark = "mark",
    }
}

impl Column {
    /// Its name in Vietnamese and in English.
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::SapoVariant => ["Mã biến thể POS", "POS variant id"],
            Self::SapoSku => ["SKU POS", "POS SKU"],
            Self::WebVariant => ["Mã biến thể web", "Web variant id"],
            Self::WebSku => ["SKU web", "Web SKU"],
            Self::Mark => ["Liên kết?", "Link?"],
        }
    }

    /// The column that a header names: either name, or both with a stroke between; case and marks do not matter.
    fn of(header: &str) -> Option<Self> {
        let plain = |text: &str| fold(text).replace("(x)", "").split_whitespace().collect::<Vec<_>>().join(" ");
        Self::ALL.iter().copied().find(|column| {
            let names = column.names().map(plain);
            plain(header).split('/').any(|part| names.iter().any(|name| name == part.trim()))
        })
    }
}

/// Why a file cannot be read as a proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// Not there, or not to be read.
    #[error("{path} cannot be read ({source}); give the spreadsheet that `sapo-sync preflight --xlsx` wrote")]
    File {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No spreadsheet.
    #[error("{path} is no spreadsheet ({reason}); save it as .xlsx and give it again")]
    Form {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// Too large.
    #[error(
        "{path} is too large ({what}), and nothing of it is read; keep only the rows that are to be linked, or give it in several files, each with the header"
    )]
    Large {
        /// Where.
        path: String,
        /// What is too large.
        what: String,
    },
    /// The sheet is missing.
    #[error("{path} has no sheet \"Đề xuất liên kết\"; it has: {there}")]
    Sheet {
        /// Where.
        path: String,
        /// The sheets that are there.
        there: String,
    },
    /// Columns are missing, or there twice.
    #[error(
        "the header, row {row} of \"Đề xuất liên kết\", {what}; expected are: Mã biến thể POS, SKU POS, Mã biến thể web, SKU web, Liên kết?"
    )]
    Header {
        /// The row, from 1.
        row: u32,
        /// What is wrong.
        what: String,
    },
    /// Nothing in it.
    #[error("the sheet \"Đề xuất liên kết\" is empty; mark the pairs to be linked with x in the column \"Liên kết?\"")]
    Empty,
}

/// Two variants that a row asks to be linked, each named by its id or by its SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// The row, from 1, as the spreadsheet counts.
    pub row: u32,
    /// The POS's variant; where it is empty, the SKU names it.
    pub sapo_variant: String,
    /// Its SKU as it stands there; may be empty where the id names it.
    pub sapo_sku: String,
    /// The web's variant; where it is empty, the SKU names it.
    pub web_variant: String,
    /// Its SKU as it stands there; may be empty where the id names it.
    pub web_sku: String,
}

/// A row that is not done, with why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The row, from 1.
    pub row: u32,
    /// A stable word.
    pub code: &'static str,
    /// Why, and what to do.
    pub reason: Text,
}

/// What a spreadsheet asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Rows that are marked and clear in themselves.
    pub wishes: Vec<Wish>,
    /// Rows that are not clear.
    pub refused: Vec<Refused>,
    /// Rows without a mark: left as they are.
    pub unmarked: u64,
}

/// Reads a proposal.
pub fn read(path: &Path) -> Result<Asked, ProposalError> {
    let shown = path.display().to_string();
    let open = || -> std::io::Result<(File, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (file, length) = open().map_err(|source| ProposalError::File { path: shown.clone(), source })?;
    if length > LARGEST {
        return Err(ProposalError::Large { path: shown, what: format!("over {} MiB", LARGEST / 1024 / 1024) });
    }
    let mut bytes = Vec::new();
    BufReader::new(file)
        .take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(|source| ProposalError::File { path: shown.clone(), source })?;
    read_from(Cursor::new(bytes), &shown)
}

fn read_from<R: std::io::Read + Seek>(source: R, path: &str) -> Result<Asked, ProposalError> {
    let form = |error: XlsxError| ProposalError::Form { path: path.to_owned(), reason: error.to_string() };
    let mut book = Xlsx::new(source).map_err(form)?;
    let names = book.sheet_names();
    let wanted = fold(PROPOSAL);
    let Some(name) = names.iter().find(|name| fold(name.trim()) == wanted).cloned() else {
        return Err(ProposalError::Sheet { path: path.to_owned(), there: names.join(", ") });
    };
    let mut cells = book.worksheet_cells_reader(&name).map_err(form)?;
    let mut rows = Rows::default();
    while let Some(cell) = cells.next_cell().map_err(form)? {
        let (row, column) = cell.get_position();
        if column < COLUMNS {
            rows.take(row + 1, column, Cell::of(cell.get_value()), path)?;
        }
    }
    rows.end()
}

/// A cell as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Empty,
    Text(String),
    /// A date, a formula's error: never what a SKU or an id is.
    Odd(String),
}

impl Cell {
    fn of(value: &DataRef<'_>) -> Self {
        match value {
            DataRef::Empty => Self::Empty,
            DataRef::String(text) => Self::text(text),
            DataRef::SharedString(text) => Self::text(text),
            DataRef::Bool(yes) => Self::Text(yes.to_string()),
            DataRef::Int(number) => Self::Text(number.to_string()),
            // A spreadsheet makes numbers of ids; whole ones are exact up to 2^53.
            DataRef::Float(number) => Self::Text(number.to_string()),
            DataRef::Error(error) => Self::Odd(error.to_string()),
            DataRef::DateTime(_) => Self::Odd("a date".to_owned()),
            DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Self::Odd(text.clone()),
        }
    }

    fn text(text: &str) -> Self {
        if text.trim().is_empty() { Self::Empty } else { Self::Text(text.to_owned()) }
    }

    fn word(&self) -> &str {
        match self {
            Self::Empty => "",
            Self::Text(text) | Self::Odd(text) => text.trim(),
        }
    }
}

/// Rows as they come, cell by cell.
#[derive(Default)]
struct Rows {
    header: Option<(u32, HashMap<u32, Column>)>,
    row: u32,
    cells: BTreeMap<u32, Cell>,
    seen: usize,
    asked: Asked,
}

impl Rows {
    fn take(&mut self, row: u32, column: u32, cell: Cell, path: &str) -> Result<(), ProposalError> {
        if cell == Cell::Empty {
            return Ok(());
        }
        if row != self.row {
            self.close()?;
            self.row = row;
            self.seen += 1;
            if self.seen > ROWS {
                return Err(ProposalError::Large {
                    path: path.to_owned(),
                    what: format!("over {ROWS} rows in \"{PROPOSAL}\""),
                });
            }
        }
        self.cells.insert(column, cell);
        Ok(())
    }

    /// Understands the row that is complete.
    fn close(&mut self) -> Result<(), ProposalError> {
        let cells = std::mem::take(&mut self.cells);
        if cells.is_empty() {
            return Ok(());
        }
        let Some((_, columns)) = &self.header else {
            self.header = Some((self.row, header(self.row, &cells)?));
            return Ok(());
        };
        let of = |wanted: Column| {
            cells.iter().find(|(at, _)| columns.get(at) == Some(&wanted)).map_or(&Cell::Empty, |(_, cell)| cell)
        };
        if Column::ALL.iter().all(|column| *of(*column) == Cell::Empty) {
            return Ok(());
        }
        match wish(self.row, of) {
            Ok(Some(wish)) => self.asked.wishes.push(wish),
            Ok(None) => self.asked.unmarked += 1,
            Err(refused) => self.asked.refused.push(refused),
        }
        Ok(())
    }

    fn end(mut self) -> Result<Asked, ProposalError> {
        self.close()?;
        if self.header.is_none() {
            return Err(ProposalError::Empty);
        }
        Ok(self.asked)
    }
}

fn header(row: u32, cells: &BTreeMap<u32, Cell>) -> Result<HashMap<u32, Column>, ProposalError> {
    let mut columns: HashMap<u32, Column> = HashMap::new();
    for (at, cell) in cells {
        let Some(column) = Column::of(cell.word()) else { continue };
        if columns.values().any(|known| *known == column) {
            let what = format!("has the column \"{}\" twice", column.names()[0]);
            return Err(ProposalError::Header { row, what });
        }
        columns.insert(*at, column);
    }
    let missing: Vec<&str> = Column::ALL
        .iter()
        .filter(|column| !columns.values().any(|known| known == *column))
        .map(|column| column.names()[0])
        .collect();
    if missing.is_empty() {
        Ok(columns)
    } else {
        Err(ProposalError::Header { row, what: format!("lacks {}", missing.join(", ")) })
    }
}

/// What a row asks for; `None` where it bears no mark.
fn wish<'c>(row: u32, of: impl Fn(Column) -> &'c Cell) -> Result<Option<Wish>, Refused> {
    let refused = |code, vi: String, en: String| Refused { row, code, reason: Text::new(vi, en) };
    let mark = of(Column::Mark).word();
    match fold(mark).as_str() {
        "x" | "✓" | "✔" | "co" | "yes" | "y" | "true" | "1" => {}
        "" | "khong" | "no" | "n" | "false" | "0" => return Ok(None),
        _ => {
            return Err(refused(
                "bad_mark",
                format!("Ô \"Liên kết?\" ghi {mark:?}: ghi x để liên kết, để trống để bỏ qua"),
                format!("the cell \"Liên kết?\" says {mark:?}: x links, an empty cell does not"),
            ));
        }
    }
    for column in Column::ALL {
        if let Cell::Odd(what) = of(*column) {
            let name = column.names()[0];
            return Err(refused(
                "bad_cell",
                format!("Ô \"{name}\" không phải là chữ hoặc số ({what}): định dạng cột là Văn bản rồi gõ lại"),
                format!(
                    "the cell \"{name}\" is neither text nor number ({what}): make the column Text and type it again"
                ),
            ));
        }
    }
    for (column, sku) in [(Column::SapoVariant, Column::SapoSku), (Column::WebVariant, Column::WebSku)] {
        let id = of(column).word();
        let (name, other) = (column.names()[0], sku.names()[0]);
        if id.is_empty() && of(sku).word().is_empty() {
            return Err(refused(
                "missing_id",
                format!(
                    "Thiếu cả \"{name}\" lẫn \"{other}\": ghi một trong hai; mã đã sửa ở nửa kia của dòng không chọn thay cho nửa này"
                ),
                format!(
                    "\"{name}\" and \"{other}\" are both empty: give the variant's id, or its SKU; a SKU corrected in the row's other half does not name this one"
                ),
            ));
        }
        if !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(refused(
                "bad_id",
                format!("\"{name}\" là {id:?}, không phải là một mã số"),
                format!("\"{name}\" is {id:?}, which is no id: ids are digits"),
            ));
        }
    }
    Ok(Some(Wish {
        row,
        sapo_variant: of(Column::SapoVariant).word().to_owned(),
        sapo_sku: of(Column::SapoSku).word().to_owned(),
        web_variant: of(Column::WebVariant).word().to_owned(),
        web_sku: of(Column::WebSku).word().to_owned(),
    }))
}

/// Whether a SKU written beside an id is the one that is known; a row need not repeat it.
pub fn is_same_sku(written: &str, known: &str) -> bool {
    written.is_empty() || Sku::new(written) == Sku::new(known)
}

#[cfg(test)]
#[path = "proposal_tests.rs"]
mod tests;
