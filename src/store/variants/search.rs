//! Rows found by what a person types: a part of a name, the beginning of a SKU, an id.

use super::{BATCH, Builder, Variant, VariantFilter, VariantMark, kept_sku, push_filter, push_in, select};
use crate::domain::linking::Side;
use crate::store::{Store, StoreError, fold};

/// Rows looked at together.
const PAGE: i64 = 2_000;

/// A row as far as it is searched.
#[derive(sqlx::FromRow)]
struct Named {
    variant_id: String,
    product_id: String,
    sku: String,
    name: String,
}

/// What was typed, as rows are compared with it.
struct Sought {
    id: String,
    sku: String,
    folded: String,
}

impl Sought {
    fn new(typed: &str) -> Self {
        Self { id: typed.trim().to_owned(), sku: kept_sku(typed), folded: fold(typed.trim()) }
    }

    fn is(&self, row: &Named) -> bool {
        if self.id.is_empty() {
            return false;
        }
        let by_id = row.variant_id == self.id || row.product_id == self.id;
        let by_words = || fold(&row.sku).starts_with(&self.folded) || fold(&row.name).contains(&self.folded);
        // A very long SKU is kept by its hash, and does not begin as it was typed.
        by_id || row.sku == self.sku || (!self.folded.is_empty() && by_words())
    }
}

impl Store {
    /// The first rows of a side, in the order of their SKUs, that a filter with this search asks for.
    ///
    /// No index helps with a part of a name, folded as people type it: what a connection has on this side is looked
    /// through in its order, names alone, until there are enough. That is one catalogue at most, never the whole table.
    pub(super) async fn search_side(
        &self,
        filter: &VariantFilter,
        side: Side,
        typed: &str,
    ) -> Result<Vec<Variant>, StoreError> {
        let sought = Sought::new(typed);
        let wanted = usize::try_from(filter.limit).unwrap_or(0);
        let mut ids: Vec<String> = Vec::new();
        let mut after = filter.after.clone();
        loop {
            let mut sql = Builder::new("select variant_id, product_id, sku, name from variants where connection = ");
            sql.push_bind(filter.connection.as_str());
            push_filter(&mut sql, filter, side, after.as_ref());
            sql.push(" order by sku, variant_id limit ").push_bind(PAGE);
            let rows: Vec<Named> = sql.build_query_as().fetch_all(&self.read).await?;
            let Some(last) = rows.last() else { break };
            let (sku, variant_id) = (last.sku.clone(), last.variant_id.clone());
            after = Some(VariantMark { sku, side: side.as_str().to_owned(), variant_id });
            ids.extend(rows.into_iter().filter(|row| sought.is(row)).map(|row| row.variant_id));
            if ids.len() >= wanted {
                break;
            }
        }
        ids.truncate(wanted);
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let mut sql = select(&filter.connection);
            sql.push(" and side = ").push_bind(side.as_str());
            push_in(&mut sql, " and variant_id", ids);
            found.extend(sql.build_query_as::<Variant>().fetch_all(&self.read).await?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_a_part_of_its_name_the_beginning_of_its_sku_and_its_ids() {
        let row = Named {
            variant_id: "5700001".into(),
            product_id: "4700001".into(),
            sku: "AT/Đỏ-S".into(),
            name: "Áo thun cổ tròn - Đỏ / S".into(),
        };
        for typed in ["AT/Đỏ-S", " at/do", "AT", "thun", "ao thun", "ĐỎ", "co tron", "5700001", "4700001 "] {
            assert!(Sought::new(typed).is(&row), "{typed:?}");
        }
        for typed in ["Đỏ-S", "T/", "áo  thun", "570000", "700001", "", " ", "\u{301}", "x"] {
            assert!(!Sought::new(typed).is(&row), "{typed:?}");
        }
    }

    #[test]
    fn a_very_long_sku_is_found_whole() {
        let long = "Á".repeat(5_000);
        let row = Named { variant_id: "1".into(), product_id: "2".into(), sku: kept_sku(&long), name: String::new() };
        assert!(Sought::new(&long).is(&row) && Sought::new("áá").is(&row) && !Sought::new(&long[2..]).is(&row));
    }
}
