//! Variants: both catalogues of a web's connection as they were last seen, with the state that the owner sees.
//!
//! | file | what it does |
//! |---|---|
//! | `facts` | products as they are kept |
//! | `statistics` | keeps PostgreSQL's plans good while a first import fills the tables |
//! | `record` | writes what a side says of its products |
//! | `judge` | reads the rows of SKUs for [`crate::domain::linking`], and writes its verdicts and new links |
//! | `follow` | a link's state on the rows of both its sides |
//! | `search` | finds rows by what a person types |
//!
//! Whoever writes here holds the connection's linking scope first, so that two events that touch one SKU from both
//! sides are judged one after the other, and the second sees what the first left.

mod facts;
mod follow;
mod judge;
mod record;
mod search;
mod statistics;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;
use sha2::Digest as _;

use super::links::Link;
use super::{Store, StoreError};
use crate::domain::clock::Millis;
use crate::domain::linking::{Side, VariantState};
use crate::domain::sku::Sku;

pub use facts::SapoFacts;
pub(super) use facts::with_set_levels;
pub use follow::LinkFlag;
pub use judge::{Seen, StateChange};
pub use record::{ProductRows, Recorded, VariantRow};

/// Rows, or ids, in one statement.
const BATCH: usize = 400;
/// The longest SKU that is kept as it is, in bytes; an index of `PostgreSQL` holds no more than 2,700.
const LONGEST: usize = 500;

/// A variant of one side, as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Variant {
    /// The connection.
    pub connection: String,
    /// [`Side`] as a word.
    pub side: String,
    /// Its id.
    pub variant_id: String,
    /// Its product.
    pub product_id: String,
    /// Its SKU in compared form; empty where it has none.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// What its side says of it, as JSON.
    pub facts: String,
    /// [`VariantState`] as a word.
    pub state: String,
    /// Why: a stable word.
    pub code: Option<String>,
    /// Why: for people.
    pub reason: Option<String>,
    /// 1 where its link was cut by hand.
    pub cut: i64,
    /// The product's `modified_on`.
    pub version: Option<Millis>,
    /// The walk that met it last.
    pub seen: String,
    /// When its side stated it last.
    pub updated_at: Millis,
}

/// A place in the list of variants: after this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantMark {
    /// Its SKU.
    pub sku: String,
    /// Its side, as a word.
    pub side: String,
    /// Its id.
    pub variant_id: String,
}

impl Variant {
    /// Where it stands in the list.
    pub fn mark(&self) -> VariantMark {
        VariantMark { sku: self.sku.clone(), side: self.side.clone(), variant_id: self.variant_id.clone() }
    }
}

/// Which variants to list.
#[derive(Clone, Debug, Default)]
pub struct VariantFilter {
    /// The connection.
    pub connection: String,
    /// Only this side's.
    pub side: Option<Side>,
    /// Only those in this state.
    pub state: Option<VariantState>,
    /// Only this SKU, as typed.
    pub sku: Option<String>,
    /// A part of a name, the beginning of a SKU, or the id of a variant or a product.
    pub search: Option<String>,
    /// Only those with this code.
    pub code: Option<String>,
    /// The last row of the page before.
    pub after: Option<VariantMark>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str =
    "connection, side, variant_id, product_id, sku, name, facts, state, code, reason, cut, version, seen, updated_at";

type Builder = sqlx::QueryBuilder<sqlx::Any>;

/// What is serialised while rows or links of a web's connection change.
pub(super) fn linking_scope(connection: &str) -> String {
    format!("linking:{connection}")
}

/// A SKU in the form that rows are kept and found by: compared form, and a long one by its hash.
pub fn kept_sku(text: &str) -> String {
    let Some(sku) = Sku::new(text) else { return String::new() };
    if sku.as_str().len() <= LONGEST {
        return sku.into();
    }
    let start: String = sku.as_str().chars().take(40).collect();
    let hash: [u8; 32] = sha2::Sha256::digest(sku.as_str().as_bytes()).into();
    format!("{start}… (#{})", hex::encode(hash))
}

impl Store {
    /// One variant.
    pub async fn variant(&self, connection: &str, side: Side, id: &str) -> Result<Option<Variant>, StoreError> {
        let mut sql = select(connection);
        sql.push(" and side = ").push_bind(side.as_str()).push(" and variant_id = ").push_bind(id);
        Ok(sql.build_query_as().fetch_optional(&self.read).await?)
    }

    /// The variants of a product, in the order of their ids.
    pub async fn variants_of_product(
        &self,
        connection: &str,
        side: Side,
        product_id: &str,
    ) -> Result<Vec<Variant>, StoreError> {
        let mut sql = select(connection);
        sql.push(" and side = ").push_bind(side.as_str()).push(" and product_id = ").push_bind(product_id);
        sql.push(" order by variant_id");
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// The variants of SKUs, both sides; a blank one finds nothing.
    pub async fn variants_of_skus(&self, connection: &str, skus: &[String]) -> Result<Vec<Variant>, StoreError> {
        let skus: BTreeSet<String> = skus.iter().map(|sku| kept_sku(sku)).filter(|sku| !sku.is_empty()).collect();
        let mut all = Vec::new();
        for skus in Vec::from_iter(skus).chunks(BATCH) {
            let mut sql = select(connection);
            push_in(&mut sql, " and sku", skus);
            sql.push(" order by sku, side, variant_id");
            all.extend(sql.build_query_as::<Variant>().fetch_all(&self.read).await?);
        }
        Ok(all)
    }

    /// Lists variants in the order of their SKUs: by SKU, side and id.
    pub async fn list_variants(&self, filter: &VariantFilter) -> Result<Vec<Variant>, StoreError> {
        let sides: Vec<Side> = filter.side.map_or_else(|| Side::ALL.to_vec(), |side| vec![side]);
        let mut all: Vec<Variant> = Vec::new();
        // Each side by itself: only so does an index have them in this order.
        for side in sides {
            all.extend(match &filter.search {
                Some(search) => self.search_side(filter, side, search).await?,
                None => self.list_side(filter, side).await?,
            });
        }
        all.sort_by(|a, b| (&a.sku, &a.side, &a.variant_id).cmp(&(&b.sku, &b.side, &b.variant_id)));
        all.truncate(usize::try_from(filter.limit).unwrap_or(0));
        Ok(all)
    }

    async fn list_side(&self, filter: &VariantFilter, side: Side) -> Result<Vec<Variant>, StoreError> {
        let mut sql = select(&filter.connection);
        push_filter(&mut sql, filter, side, filter.after.as_ref());
        sql.push(" order by sku, variant_id limit ").push_bind(filter.limit);
        Ok(sql.build_query_as().fetch_all(&self.read).await?)
    }

    /// How many variants are in which state, of one side or of both.
    pub async fn count_variants(
        &self,
        connection: &str,
        side: Option<Side>,
    ) -> Result<Vec<(VariantState, i64)>, StoreError> {
        let mut sql = Builder::new("select state, count(*) from variants where connection = ");
        sql.push_bind(connection);
        if let Some(side) = side {
            sql.push(" and side = ").push_bind(side.as_str());
        }
        sql.push(" group by state order by state");
        let rows: Vec<(String, i64)> = sql.build_query_as().fetch_all(&self.read).await?;
        Ok(rows.into_iter().filter_map(|(word, number)| Some((VariantState::from_word(&word)?, number))).collect())
    }
}

fn select(connection: &str) -> Builder {
    let mut sql = Builder::new(format!("select {COLUMNS} from variants where connection = "));
    sql.push_bind(connection);
    sql
}

/// Writes what a filter asks for of one side, apart from its search: in the order of the SKUs, after a mark.
fn push_filter(sql: &mut Builder, filter: &VariantFilter, side: Side, after: Option<&VariantMark>) {
    sql.push(" and side = ").push_bind(side.as_str());
    for (column, value) in [
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("sku", filter.sku.as_deref().map(kept_sku)),
        ("code", filter.code.clone()),
    ] {
        if let Some(value) = value {
            sql.push(format!(" and {column} = ")).push_bind(value);
        }
    }
    if let Some(after) = after {
        // Within one SKU the side decides before the id does.
        match side.as_str().cmp(&after.side) {
            Ordering::Less => sql.push(" and sku > ").push_bind(&*after.sku),
            Ordering::Greater => sql.push(" and sku >= ").push_bind(&*after.sku),
            Ordering::Equal => {
                sql.push(" and (sku, variant_id) > (").push_bind(&*after.sku);
                sql.push(", ").push_bind(&*after.variant_id).push(")")
            }
        };
    }
}

/// Writes `column in ($…)`.
fn push_in<T: AsRef<str>>(sql: &mut Builder, column: &str, values: &[T]) {
    sql.push(column).push(" in (");
    let mut list = sql.separated(", ");
    for value in values {
        list.push_bind(value.as_ref());
    }
    sql.push(")");
}

/// Whether a link is one that these rows follow: of a POS variant and a web variant.
pub(super) fn is_followed(link: &Link) -> bool {
    link.channel_parent.is_some() && link.kind == super::links::LinkKind::Product.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_kept_in_compared_form_and_a_very_long_one_by_its_hash() {
        assert_eq!(kept_sku(" AO-01\t"), "AO-01");
        assert_eq!(kept_sku("\u{a0}"), "");
        let long = "Á".repeat(5_000);
        let kept = kept_sku(&long);
        assert!(kept.len() < LONGEST, "{kept}");
        assert_eq!((kept_sku(&kept), kept_sku(&format!(" {long}"))), (kept.clone(), kept.clone()));
        assert_ne!(kept_sku(&format!("{long}x")), kept);
    }
}
