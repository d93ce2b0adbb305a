//! Which variants the rows of a proposal mean: by their ids, and where an id is empty by the SKU beside it, which
//! exactly one variant of that side must have. Rows that claim one variant for several others are refused.
//!
//! A SKU beside an id that is not the variant's own has two causes. Somebody corrected it in the sheet to that of the
//! counterpart: the two ids are what is meant, and their SKUs differ in the shop. Or columns were sorted apart, and the
//! row means nothing: then another variant of that side has the SKU.

use std::collections::HashMap;

use super::examine::{Facts, Row};
use super::proposal::{Refused, Wish, is_same_sku};
use super::report::{Text, Where};
use crate::domain::linking::Side;
use crate::store::{Store, StoreError};

/// So many variants with one SKU are named; `links list` shows all of them.
const NAMED: usize = 20;
/// So many rows that claim the same are named.
const ROWS: usize = 10;

/// A variant that a row means, as its side states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// Its SKU as typed.
    pub sku: String,
    /// Its SKU in compared form.
    pub key: String,
}

impl Known {
    fn of(row: &Row) -> Self {
        Self { id: row.variant_id.clone(), sku: row.sku.clone(), key: row.key.clone() }
    }
}

/// A variant that a row names, and the SKU that the row gives it where that is not its own.
struct Named {
    known: Known,
    given: Option<String>,
}

/// A row whose two variants are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The row, from 1, as the spreadsheet counts.
    pub row: u32,
    /// The POS's variant.
    pub sapo: Known,
    /// The web's.
    pub web: Known,
    /// The side whose SKU the row corrects to the other's; on that side itself it is as it was.
    pub corrected: Option<Side>,
}

impl Pair {
    /// Whether their SKUs say that the two are not the same; a SKU that is empty says so of all.
    pub fn differs(&self) -> bool {
        self.sapo.key.is_empty() || self.sapo.key != self.web.key
    }
}

/// Finds both variants of a row; the refusal where one of them cannot be told.
pub async fn resolve(store: &Store, connection: &str, wish: &Wish) -> Result<Result<Pair, Refused>, StoreError> {
    let sapo = match variant(store, connection, wish, Side::Sapo).await? {
        Ok(known) => known,
        Err(refused) => return Ok(Err(refused)),
    };
    let web = match variant(store, connection, wish, Side::Channel).await? {
        Ok(known) => known,
        Err(refused) => return Ok(Err(refused)),
    };
    let corrected = match corrected(store, connection, &sapo, &web).await? {
        Ok(side) => side,
        Err(why) => return Ok(Err(refused_for(wish, why))),
    };
    Ok(Ok(Pair { row: wish.row, sapo: sapo.known, web: web.known, corrected }))
}

async fn variant(
    store: &Store,
    connection: &str,
    wish: &Wish,
    side: Side,
) -> Result<Result<Named, Refused>, StoreError> {
    let (id, sku) = match side {
        Side::Sapo => (&wish.sapo_variant, &wish.sapo_sku),
        Side::Channel => (&wish.web_variant, &wish.web_sku),
    };
    let found = if id.is_empty() {
        by_sku(store, connection, side, sku).await?.map(|known| Named { known, given: None })
    } else {
        by_id(store, connection, side, id, sku).await?
    };
    Ok(found.map_err(|why| refused_for(wish, why)))
}

fn refused_for(wish: &Wish, (code, reason): Why) -> Refused {
    Refused { row: wish.row, code, reason }
}

/// The side whose SKU a row corrects: to that of its counterpart, which no other variant of that side has. The refusal
/// where a SKU that is not the variant's own tells nothing of the kind.
async fn corrected(
    store: &Store,
    connection: &str,
    sapo: &Named,
    web: &Named,
) -> Result<Result<Option<Side>, Why>, StoreError> {
    let (side, this, given, other) = match (&sapo.given, &web.given) {
        (None, None) => return Ok(Ok(None)),
        (Some(given), _) => (Side::Sapo, sapo, given, web),
        (None, Some(given)) => (Side::Channel, web, given, sapo),
    };
    let is_counterparts = other.given.is_none() && is_same_sku(given, &other.known.sku);
    if is_counterparts && rows_of(store, connection, side, given).await?.is_empty() {
        return Ok(Ok(Some(side)));
    }
    Ok(Err(other_sku(side, &this.known, given)))
}

/// Why a variant cannot be told: a stable word, and what to do.
type Why = (&'static str, Text);

async fn by_id(
    store: &Store,
    connection: &str,
    side: Side,
    id: &str,
    written: &str,
) -> Result<Result<Named, Why>, StoreError> {
    let name = label(side);
    let Some(row) = store.variant(connection, side, id).await?.as_ref().and_then(Row::of) else {
        let reason = Text::new(
            format!("Không có biến thể {id} trên {name}: kiểm tra mã, hoặc làm lại báo cáo"),
            format!("there is no variant {id} on the {name}: check the id, or make the report anew"),
        );
        return Ok(Err(("unknown_variant", reason)));
    };
    let own = is_same_sku(written, &row.sku) || matches!(row.facts, Facts::Unknown);
    Ok(Ok(Named { known: Known::of(&row), given: (!own).then(|| written.to_owned()) }))
}

/// Why a row cannot be done that gives a variant a SKU which is neither its own nor a correction.
fn other_sku(side: Side, known: &Known, given: &str) -> Why {
    let (name, Known { id, sku, .. }) = (label(side), known);
    let reason = Text::new(
        format!(
            "Biến thể {id} trên {name} có mã \"{sku}\", nhưng bảng ghi \"{given}\". Sửa mã trong bảng không đổi mã trên {name}: hãy sửa mã ngay trên {name} rồi làm lại báo cáo. Muốn chọn biến thể khác theo SKU thì xóa mã biến thể đi. Nếu không sửa gì: cột có bị sắp xếp lệch không?"
        ),
        format!(
            "variant {id} on the {name} has the SKU \"{sku}\", but the row says \"{given}\": a SKU corrected in the sheet is not changed on the {name}, so correct it there and make the report anew; to name another variant by its SKU, empty the id; where nothing was corrected, columns were sorted apart, or it was changed since"
        ),
    );
    ("other_sku", reason)
}

async fn by_sku(store: &Store, connection: &str, side: Side, sku: &str) -> Result<Result<Known, Why>, StoreError> {
    Ok(the_one(connection, side, sku, &rows_of(store, connection, side, sku).await?))
}

/// The rows of a side that have a SKU.
async fn rows_of(store: &Store, connection: &str, side: Side, sku: &str) -> Result<Vec<Row>, StoreError> {
    let all = store.variants_of_skus(connection, &[sku.to_owned()]).await?;
    Ok(all.iter().filter(|row| row.side == side.as_str()).filter_map(Row::of).collect())
}

/// The one row of a side that has the SKU.
fn the_one(connection: &str, side: Side, sku: &str, rows: &[Row]) -> Result<Known, Why> {
    let name = label(side);
    if let [row] = rows {
        return Ok(Known::of(row));
    }
    if rows.is_empty() {
        let reason = Text::new(
            format!("Không có SKU \"{sku}\" trên {name}: sửa lại SKU, hoặc ghi mã biến thể"),
            format!(
                "no variant on the {name} has the SKU \"{sku}\": correct it, or give the variant's id; where it is new there, make the report anew"
            ),
        );
        return Err(("unknown_sku", reason));
    }
    let named: Vec<String> = rows.iter().take(NAMED).map(|row| format!("{} ({})", row.variant_id, row.name)).collect();
    let (times, named) = (rows.len(), named.join(", "));
    let (all_vi, all_en) = match times.saturating_sub(NAMED) {
        0 => (String::new(), String::new()),
        more => {
            let all = format!("`sapo-sync links list --connection {connection} --sku \"{sku}\"`");
            (format!(" và {more} biến thể nữa (xem đủ: {all})"), format!(" and {more} more ({all} shows all)"))
        }
    };
    let reason = Text::new(
        format!("SKU \"{sku}\" có ở {times} biến thể trên {name}: {named}{all_vi}; ghi mã của biến thể cần liên kết"),
        format!(
            "{times} variants on the {name} have the SKU \"{sku}\": {named}{all_en}; give the id of the one that is meant"
        ),
    );
    Err(("ambiguous_sku", reason))
}

/// Refuses rows that ask twice for the same, and all rows that claim one variant for several others.
pub fn claims(pairs: Vec<Pair>) -> Vec<(Pair, Option<Refused>)> {
    let refused = refusals(&pairs);
    pairs.into_iter().zip(refused).collect()
}

fn refusals(pairs: &[Pair]) -> Vec<Option<Refused>> {
    let mut first: HashMap<(&str, &str), u32> = HashMap::new();
    let mut claimed: HashMap<(Side, &str), Vec<u32>> = HashMap::new();
    let mut repeated: Vec<Option<u32>> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let (sapo, web) = (pair.sapo.id.as_str(), pair.web.id.as_str());
        let before = first.get(&(sapo, web)).copied();
        repeated.push(before);
        if before.is_none() {
            first.insert((sapo, web), pair.row);
            claimed.entry((Side::Sapo, sapo)).or_default().push(pair.row);
            claimed.entry((Side::Channel, web)).or_default().push(pair.row);
        }
    }
    pairs.iter().zip(repeated).map(|(pair, before)| refusal(pair, before, &claimed)).collect()
}

fn refusal(pair: &Pair, before: Option<u32>, claimed: &HashMap<(Side, &str), Vec<u32>>) -> Option<Refused> {
    if let Some(row) = before {
        let reason = Text::new(format!("Lặp lại dòng {row}"), format!("repeats row {row}"));
        return Some(Refused { row: pair.row, code: "repeated", reason });
    }
    [(Side::Sapo, &pair.sapo.id), (Side::Channel, &pair.web.id)].into_iter().find_map(|(side, id)| {
        let rows = claimed.get(&(side, id.as_str())).filter(|rows| rows.len() > 1)?;
        let rivals = rows.iter().filter(|row| **row != pair.row).take(ROWS);
        let (name, rivals) = (label(side), rivals.map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let reason = Text::new(
            format!("Biến thể {id} trên {name} cũng có ở dòng {rivals}: chỉ giữ một dòng"),
            format!("variant {id} on the {name} is claimed by row {rivals} too: keep one of them"),
        );
        Some(Refused { row: pair.row, code: "claimed_twice", reason })
    })
}

/// What owners call a side.
pub fn label(side: Side) -> &'static str {
    match side {
        Side::Sapo => Where::Pos.label(),
        Side::Channel => Where::Web.label(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, sku: &str) -> Known {
        Known { id: id.to_owned(), sku: sku.to_owned(), key: crate::store::variants::kept_sku(sku) }
    }

    fn pair(row: u32, sapo: &str, web: &str) -> Pair {
        Pair { row, sapo: known(sapo, "A"), web: known(web, "A"), corrected: None }
    }

    fn row(id: &str) -> Row {
        Row {
            side: Where::Web,
            key: "B".to_owned(),
            sku: "B".to_owned(),
            name: format!("Áo {id}"),
            product_id: "1".to_owned(),
            variant_id: id.to_owned(),
            linked: false,
            cut: false,
            facts: Facts::Unknown,
        }
    }

    #[test]
    fn rows_that_repeat_or_claim_one_variant_twice_are_refused() {
        let pairs = vec![
            pair(2, "101", "201"),
            pair(3, "101", "201"),
            pair(4, "102", "202"),
            pair(5, "102", "203"),
            pair(6, "104", "205"),
            pair(7, "105", "205"),
            pair(8, "106", "206"),
        ];
        let looked_at = claims(pairs);
        let told: Vec<(u32, &str)> = looked_at
            .iter()
            .map(|(pair, refused)| (pair.row, refused.as_ref().map_or("fine", |refused| refused.code)))
            .collect();
        let twice = "claimed_twice";
        assert_eq!(
            told,
            [(2, "fine"), (3, "repeated"), (4, twice), (5, twice), (6, twice), (7, twice), (8, "fine")],
            "{looked_at:#?}"
        );
        let reason = &looked_at[2].1.as_ref().unwrap().reason;
        assert!(reason.en.contains("variant 102 on the POS is claimed by row 5 too"), "{reason}");
        let reason = &looked_at[5].1.as_ref().unwrap().reason;
        assert!(reason.vi.contains("Biến thể 205 trên web cũng có ở dòng 6"), "{reason}");
    }

    #[test]
    fn skus_differ_in_compared_form_and_an_empty_one_is_no_others_equal() {
        for (sapo, web, expected) in [
            ("AT-S", " AT-S\t", false),
            ("ÁO", "A\u{301}O", false),
            ("AT-S", "AT-M", true),
            ("AT-S", "at-s", true),
            ("AT-S", "", true),
            ("", "AT-S", true),
            ("", " ", true),
        ] {
            let pair = Pair { sapo: known("101", sapo), web: known("201", web), ..pair(2, "101", "201") };
            assert_eq!(pair.differs(), expected, "{sapo:?} and {web:?}");
        }
    }

    #[test]
    fn a_sku_names_a_variant_only_where_one_has_it_and_every_candidate_is_told() {
        let the_one = |side, rows: &[Row]| the_one("mau-web", side, "B", rows);
        assert_eq!(the_one(Side::Channel, &[row("201")]).unwrap().id, "201");
        let (code, reason) = the_one(Side::Channel, &[]).unwrap_err();
        assert_eq!(code, "unknown_sku");
        assert!(reason.vi.contains("\"B\" trên web") && reason.en.contains("\"B\""), "{reason}");
        let (code, reason) = the_one(Side::Channel, &[row("201"), row("202")]).unwrap_err();
        assert_eq!(code, "ambiguous_sku");
        assert!(reason.vi.contains("201 (Áo 201), 202 (Áo 202);") && reason.en.contains("202 (Áo 202);"), "{reason}");
        let many: Vec<Row> = (0..100).map(|id| row(&id.to_string())).collect();
        let (_, reason) = the_one(Side::Sapo, &many).unwrap_err();
        let all = "`sapo-sync links list --connection mau-web --sku \"B\"`";
        assert!(reason.en.starts_with("100 variants on the POS"), "{reason}");
        assert!(reason.en.contains(&format!("19 (Áo 19) and 80 more ({all} shows all);")), "{reason}");
        assert!(reason.vi.contains(&format!("19 (Áo 19) và 80 biến thể nữa (xem đủ: {all});")), "{reason}");
        let (_, reason) = the_one(Side::Sapo, &many[..NAMED]).unwrap_err();
        assert!(!reason.en.contains("more") && !reason.vi.contains("links list"), "{reason}");
    }
}
