//! Looks at the rows of both catalogues, one SKU at a time: what hinders a link, and which links there would be.

use rust_decimal::Decimal;
use unicode_normalization::is_nfc;

use super::report::{Entry, Issue, Line, Proposed, Where};
use crate::domain::connection::{Settings, StockBasis};
use crate::domain::linking::{AMBIGUOUS, LINKED_ELSEWHERE, Side, VariantState, is_dead};
use crate::domain::web::WebVariant;
use crate::map::web::product::{self, Note};
use crate::store::variants::{SapoFacts, Variant};

/// Pairs of one SKU that a person is given to choose among.
const CHOICES: usize = 100;

/// A row as the report looks at it.
#[derive(Clone, Debug)]
pub struct Row {
    /// On which side.
    pub side: Where,
    /// Its SKU in compared form.
    pub key: String,
    /// As typed.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Its product.
    pub product_id: String,
    /// Its id.
    pub variant_id: String,
    /// A standing link holds it.
    pub linked: bool,
    /// Its link was cut by hand.
    pub cut: bool,
    /// What its side says of it.
    pub facts: Facts,
}

/// What a side says of a variant.
#[derive(Clone, Debug)]
pub enum Facts {
    /// The POS.
    Sapo(SapoFacts),
    /// The web.
    Web(WebVariant),
    /// Not readable: the SKU alone counts.
    Unknown,
}

impl Row {
    /// Reads a stored row; `None` where the variant is gone, and is kept only to show its broken link.
    pub fn of(variant: &Variant) -> Option<Self> {
        let is_sapo = variant.side == Side::Sapo.as_str();
        let side = if is_sapo { Side::Sapo } else { Side::Channel };
        if variant.code.as_deref() == Some(side.gone_code()) {
            return None;
        }
        let facts = if is_sapo {
            serde_json::from_str(&variant.facts).map_or(Facts::Unknown, Facts::Sapo)
        } else {
            serde_json::from_str(&variant.facts).map_or(Facts::Unknown, Facts::Web)
        };
        let sku = match &facts {
            Facts::Sapo(facts) => facts.variant.sku.clone(),
            Facts::Web(facts) => facts.sku.clone(),
            Facts::Unknown => variant.sku.clone(),
        };
        Some(Self {
            side: if is_sapo { Where::Pos } else { Where::Web },
            key: variant.sku.clone(),
            sku,
            name: variant.name.clone(),
            product_id: variant.product_id.clone(),
            variant_id: variant.variant_id.clone(),
            linked: is_linked(variant),
            cut: variant.cut != 0,
            facts,
        })
    }

    fn line(&self, issue: Issue, note: impl Into<String>) -> Entry {
        let (stock, price) = match &self.facts {
            Facts::Sapo(facts) => (None, facts.variant.retail_price),
            Facts::Web(facts) => (facts.quantity, facts.price),
            Facts::Unknown => (None, None),
        };
        Entry::Line(Line {
            issue,
            side: self.side,
            sku: self.sku.clone(),
            name: self.name.clone(),
            product_id: self.product_id.clone(),
            variant_id: self.variant_id.clone(),
            linked: self.linked,
            stock,
            price,
            note: note.into(),
        })
    }
}

/// Whether a standing link holds a stored row: its state follows its link.
pub fn is_linked(variant: &Variant) -> bool {
    let code = variant.code.as_deref().unwrap_or_default();
    let of_no_link = code == AMBIGUOUS || code == LINKED_ELSEWHERE || is_dead(code);
    match VariantState::from_word(&variant.state) {
        Some(VariantState::Linked) => true,
        Some(VariantState::Error) => !of_no_link,
        _ => false,
    }
}

/// What is to be looked at of one row, whatever the other side has.
pub fn row(row: &Row, settings: &Settings, branches: Option<&[String]>) -> Vec<Entry> {
    let mut found = Vec::new();
    if row.key.is_empty() {
        found.push(row.line(Issue::NoSku, if row.linked { "đã liên kết bằng tay (linked by hand)" } else { "" }));
    } else {
        if row.sku.trim() != row.sku {
            found.push(row.line(Issue::Blanks, format!("so sánh là (compared as) \"{}\"", row.key)));
        }
        if !is_nfc(&row.sku) {
            found.push(row.line(Issue::Decomposed, format!("so sánh là (compared as) \"{}\"", row.key)));
        }
    }
    match &row.facts {
        Facts::Sapo(facts) => found.extend(of_sapo(row, facts, settings, branches)),
        Facts::Web(facts) => found.extend(of_web(row, facts)),
        Facts::Unknown => {}
    }
    found
}

fn of_sapo(row: &Row, facts: &SapoFacts, settings: &Settings, branches: Option<&[String]>) -> Vec<Entry> {
    let mut found = Vec::new();
    if let Some(branches) = branches {
        let figures: Vec<(&String, Option<Decimal>)> = branches
            .iter()
            .map(|branch| {
                let at = facts.variant.inventories.iter().find(|inventory| inventory.location_id == *branch);
                let figure = at.and_then(|inventory| match settings.stock_basis {
                    StockBasis::Available => inventory.available,
                    StockBasis::OnHand => inventory.on_hand,
                });
                (branch, figure)
            })
            .collect();
        let of = |wanted: fn(&Option<Decimal>) -> bool| -> Vec<String> {
            figures.iter().filter(|(_, figure)| wanted(figure)).map(|(branch, _)| (*branch).clone()).collect()
        };
        let missing = of(Option::is_none);
        let negative = of(|figure| figure.is_some_and(|figure| figure < Decimal::ZERO));
        let told = |names: &[String]| format!("chi nhánh (branch) {}", names.join(", "));
        if !missing.is_empty() {
            found.push(row.line(Issue::BranchMissing, told(&missing)));
        }
        if !negative.is_empty() {
            let sum = figures.iter().filter_map(|(_, figure)| *figure).try_fold(Decimal::ZERO, Decimal::checked_add);
            found.push(with_stock(row.line(Issue::NegativeStock, told(&negative)), sum));
        }
    }
    let planned = product::target(&facts.variant, settings, &[], Decimal::ZERO);
    for note in planned.notes {
        if let Note::NoPrice { list } = note {
            found.push(row.line(Issue::PriceMissing, format!("bảng giá (price list) {list}")));
        }
    }
    found
}

fn of_web(row: &Row, facts: &WebVariant) -> Vec<Entry> {
    let mut found = Vec::new();
    if !facts.managed {
        found.push(row.line(Issue::Unmanaged, ""));
    } else if facts.quantity.is_some_and(|quantity| quantity < Decimal::ZERO) {
        found.push(row.line(Issue::NegativeStock, ""));
    }
    found
}

fn with_stock(entry: Entry, stock: Option<Decimal>) -> Entry {
    match entry {
        Entry::Line(line) => Entry::Line(Line { stock, ..line }),
        other @ Entry::Proposed(_) => other,
    }
}

/// What is to be said of all rows of one SKU, both sides; nothing where there is none.
pub fn group(rows: &[Row]) -> Vec<Entry> {
    if rows.first().is_none_or(|row| row.key.is_empty()) {
        return Vec::new();
    }
    let of = |side: Where| -> Vec<&Row> { rows.iter().filter(|row| row.side == side).collect() };
    let (sapo, web) = (of(Where::Pos), of(Where::Web));
    match (sapo.as_slice(), web.as_slice()) {
        ([one], []) if !one.linked => vec![one.line(Issue::OnlyOnSapo, cut(one))],
        ([], [one]) if !one.linked => vec![one.line(Issue::OnlyOnWeb, cut(one))],
        ([one], [other]) => pair(one, other),
        ([_], []) | ([], [_]) => Vec::new(),
        _ => ambiguous(&sapo, &web),
    }
}

fn cut(row: &Row) -> &'static str {
    if row.cut { "đã hủy liên kết bằng tay (cut by hand)" } else { "" }
}

fn pair(sapo: &Row, web: &Row) -> Vec<Entry> {
    match (sapo.linked, web.linked) {
        // With each other, or each with another after a rename: both stand.
        (true, true) => Vec::new(),
        (true, false) => vec![web.line(Issue::Taken, format!("POS {}", sapo.variant_id))],
        (false, true) => vec![sapo.line(Issue::Taken, format!("web {}", web.variant_id))],
        (false, false) => {
            let by_hand = sapo.cut || web.cut;
            let note = if by_hand {
                "đã hủy liên kết bằng tay: đánh dấu x để liên kết lại (cut by hand: x links them again)"
            } else {
                ""
            };
            vec![proposed(sapo, web, !by_hand, note)]
        }
    }
}

fn ambiguous(sapo: &[&Row], web: &[&Row]) -> Vec<Entry> {
    let times = format!("POS {}×, web {}×", sapo.len(), web.len());
    let mut found: Vec<Entry> = sapo
        .iter()
        .chain(web)
        .map(|row| {
            let linked = if row.linked { "; đã liên kết (linked)" } else { "" };
            row.line(Issue::Duplicate, format!("{times}{linked}"))
        })
        .collect();
    let free =
        |rows: &[&Row]| -> Vec<Row> { rows.iter().filter(|row| !row.linked).map(|row| (*row).clone()).collect() };
    let (sapo, web) = (free(sapo), free(web));
    let pairs = sapo.iter().flat_map(|one| web.iter().map(move |other| (one, other)));
    found.extend(
        pairs.take(CHOICES).map(|(one, other)| {
            proposed(one, other, false, "mã bị trùng: chọn một cặp (duplicate SKU: choose one pair)")
        }),
    );
    found
}

fn proposed(sapo: &Row, web: &Row, marked: bool, note: &str) -> Entry {
    Entry::Proposed(Proposed {
        sapo_variant: sapo.variant_id.clone(),
        sapo_sku: sapo.sku.clone(),
        sapo_name: sapo.name.clone(),
        web_variant: web.variant_id.clone(),
        web_sku: web.sku.clone(),
        web_name: web.name.clone(),
        marked,
        note: note.to_owned(),
    })
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
