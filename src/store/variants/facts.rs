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

#[cfg(test)]
mod tests {
    use super::*;

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
