//! What the API of a side says of its products, as it is kept.

use serde::{Deserialize, Serialize};

use super::{ProductRows, VariantRow};
use crate::domain::product::{PosProduct, PosVariant};
use crate::domain::web::{WebProduct, WebVariant};

/// The facts of a POS variant; those of a web's are its [`WebVariant`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SapoFacts {
    /// Whether its product is sold (Đang giao dịch).
    pub active: bool,
    /// The variant.
    pub variant: PosVariant,
}

/// What the only variant of a web's product is called.
const ONLY_VARIANT: &str = "Default Title";

impl ProductRows {
    /// A product of the POS.
    pub fn of_pos(product: &PosProduct) -> Self {
        let row = |variant: &PosVariant| {
            let facts = SapoFacts { active: product.active, variant: variant.clone() };
            VariantRow {
                variant_id: variant.id.clone(),
                sku: variant.sku.clone(),
                name: if variant.name.is_empty() { product.name.clone() } else { variant.name.clone() },
                facts: serde_json::to_string(&facts).unwrap_or_default(),
            }
        };
        let rows = product.variants.iter().map(row).collect();
        Self { product_id: product.id.clone(), version: product.version, rows }
    }

    /// A product of a web.
    pub fn of_web(product: &WebProduct) -> Self {
        let name = |title: &str| match title {
            "" | ONLY_VARIANT => product.name.clone(),
            title => format!("{} - {title}", product.name),
        };
        let row = |variant: &WebVariant| VariantRow {
            variant_id: variant.id.clone(),
            sku: variant.sku.clone(),
            name: name(&variant.title),
            facts: serde_json::to_string(variant).unwrap_or_default(),
        };
        let rows = product.variants.iter().map(row).collect();
        Self { product_id: product.id.clone(), version: product.version, rows }
    }
}

/// What a web says of a variant, with the stock at single locations that is known of it: no product states that.
/// `None` where nothing is to be added. Where that stock was not sure, it is no surer.
pub(super) fn with_known_levels(said: &str, known: &str) -> Option<String> {
    let mut said: WebVariant = serde_json::from_str(said).ok()?;
    let known: WebVariant = serde_json::from_str(known).ok()?;
    let stated = said.levels.len();
    for (location, level) in known.levels {
        said.levels.entry(location).or_insert(level);
    }
    if said.levels.len() == stated {
        return None;
    }
    said.unsure |= known.unsure;
    serde_json::to_string(&said).ok()
}

/// What is known of a web's variant, with the stock at single locations that is another in `now` than in `before`,
/// unless that was told anew meanwhile. `None` where nothing is to be changed.
pub(in crate::store) fn with_set_levels(known: &str, before: &str, now: &str) -> Option<String> {
    let mut known: WebVariant = serde_json::from_str(known).ok()?;
    let before: WebVariant = serde_json::from_str(before).ok()?;
    let now: WebVariant = serde_json::from_str(now).ok()?;
    // Not sure of single locations either, if that is what is known of them still.
    let mut changed = now.unsure && !known.unsure && !known.levels.is_empty() && known.levels == before.levels;
    known.unsure |= changed;
    for (location, level) in now.levels {
        let was = before.levels.get(&location);
        if was != Some(&level) && known.levels.get(&location) == was {
            known.levels.insert(location, level);
            changed = true;
        }
    }
    if changed { serde_json::to_string(&known).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a web says of a variant, as JSON: its stock everywhere, and at single locations.
    fn web(quantity: i64, levels: &[(u64, i64)]) -> String {
        let levels = levels.iter().map(|(location, level)| (*location, (*level).into())).collect();
        let variant = WebVariant { quantity: Some(quantity.into()), levels, ..WebVariant::default() };
        serde_json::to_string(&variant).unwrap()
    }

    #[test]
    fn what_is_known_of_single_locations_stands_until_it_is_told_anew() {
        let known = web(10, &[(7, 6), (8, 4)]);
        assert_eq!(with_known_levels(&web(3, &[]), &known), Some(web(3, &[(7, 6), (8, 4)])));
        assert_eq!(with_known_levels(&web(3, &[(7, 2)]), &known), Some(web(3, &[(7, 2), (8, 4)])));
        assert_eq!(with_known_levels(&web(3, &[(7, 2), (8, 1)]), &known), None);
        assert_eq!(with_known_levels(&known, &web(3, &[])), None);
        assert_eq!(with_known_levels("{}", &known), None, "what cannot be read stays as it is");
    }

    /// The same, where the answer of a call was lost.
    fn unsure(variant: &str) -> String {
        let mut variant: WebVariant = serde_json::from_str(variant).unwrap();
        variant.unsure = true;
        serde_json::to_string(&variant).unwrap()
    }

    #[test]
    fn what_is_not_sure_is_so_until_the_web_tells_it() {
        let known = web(10, &[(7, 6)]);
        assert_eq!(with_known_levels(&web(3, &[]), &unsure(&known)), Some(unsure(&web(3, &[(7, 6)]))));
        assert_eq!(with_known_levels(&web(3, &[(7, 2)]), &unsure(&known)), None, "it was told");
        assert_eq!(with_known_levels(&web(3, &[]), &unsure(&web(10, &[]))), None, "the product tells all of it");
        let (told, told_all) = (web(3, &[(7, 6)]), web(3, &[(7, 2)]));
        assert_eq!(with_set_levels(&told, &known, &unsure(&known)), Some(unsure(&told)));
        assert_eq!(with_set_levels(&told_all, &known, &unsure(&known)), None);
        assert_eq!(with_set_levels(&web(3, &[]), &web(10, &[]), &unsure(&web(10, &[]))), None);
    }

    #[test]
    fn a_stock_that_was_set_is_taken_over_unless_the_web_has_told_of_that_very_one() {
        let (before, now) = (web(10, &[(7, 6), (8, 4)]), web(10, &[(7, 5), (8, 4)]));
        assert_eq!(with_set_levels(&web(3, &[(7, 6), (8, 1)]), &before, &now), Some(web(3, &[(7, 5), (8, 1)])));
        assert_eq!(with_set_levels(&web(3, &[(7, 2)]), &before, &now), None, "told anew meanwhile");
        assert_eq!(with_set_levels(&web(3, &[(7, 6)]), &before, &before), None);
        assert_eq!(with_set_levels(&web(3, &[]), &web(3, &[]), &web(3, &[(7, 5)])), Some(web(3, &[(7, 5)])));
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let variant = PosVariant { id: "11".into(), sku: "AO".into(), ..PosVariant::default() };
        let product =
            PosProduct { id: "1".into(), name: "Áo".into(), variants: vec![variant.clone()], ..PosProduct::default() };
        let rows = ProductRows::of_pos(&product).rows;
        let facts: SapoFacts = serde_json::from_str(&rows[0].facts).unwrap();
        assert_eq!((facts, rows[0].name.as_str()), (SapoFacts { active: false, variant }, "Áo"));
        let named = |id: &str, title: &str| WebVariant { id: id.into(), title: title.into(), ..WebVariant::default() };
        let variants = vec![named("91", ONLY_VARIANT), named("92", "M")];
        let product =
            WebProduct { id: "9".into(), name: "Áo".into(), variants: variants.clone(), ..WebProduct::default() };
        let rows = ProductRows::of_web(&product).rows;
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Áo", "Áo - M"]);
        assert_eq!(serde_json::from_str::<WebVariant>(&rows[1].facts).unwrap(), variants[1]);
    }
}
