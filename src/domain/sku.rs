//! Stock keeping units: the key that proposes a link between two products.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// A SKU as two systems compare it: ends trimmed, Unicode NFC, never empty.
///
/// Case, inner blanks and punctuation are kept: `MY/LAN/01` and `MY/LAN /01` are two products
/// (Sapo's guide "Kết nối nhiều Web", linking of products).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

impl Sku {
    /// Reads a SKU as it was typed; `None` where nothing but blanks is left, which matches no product.
    pub fn new(text: &str) -> Option<Self> {
        let key: String = text.trim().nfc().collect();
        if key.is_empty() { None } else { Some(Self(key)) }
    }

    /// The SKU in its compared form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl TryFrom<String> for Sku {
    type Error = EmptySku;

    fn try_from(text: String) -> Result<Self, EmptySku> {
        Self::new(&text).ok_or(EmptySku)
    }
}

/// The refusal of a stored SKU that holds nothing but blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SKU is expected, but the text is empty; give the variant a SKU")]
pub struct EmptySku;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::new(text).unwrap()
    }

    #[test]
    fn ends_are_trimmed_and_the_inside_is_kept() {
        assert_eq!(sku("  AO-01\t").as_str(), "AO-01");
        assert_eq!(sku("\u{a0}AO-01\u{3000}\n"), sku("AO-01"));
        assert_ne!(sku("MY/LAN/01"), sku("MY/LAN /01"));
        assert_ne!(sku("A  B"), sku("A B"));
        assert_ne!(sku("ao-01"), sku("AO-01"));
    }

    #[test]
    fn composed_and_decomposed_letters_are_one_sku() {
        assert_eq!(sku("A\u{301}O"), sku("ÁO"));
        assert_eq!(sku("Đe\u{302}\u{323}m"), sku("Đệm"));
        assert_ne!(sku("ÁO"), sku("AO"));
    }

    #[test]
    fn an_empty_sku_is_none() {
        for text in ["", " ", "\t\n", "\u{a0}\u{3000}"] {
            assert_eq!(Sku::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn json_is_the_bare_text_and_is_read_in_the_compared_form() {
        assert_eq!(serde_json::to_string(&sku(" AO-01 ")).unwrap(), r#""AO-01""#);
        assert_eq!(serde_json::from_str::<Sku>(r#"" AO-01 ""#).unwrap(), sku("AO-01"));
        assert!(serde_json::from_str::<Sku>(r#""  ""#).is_err());
    }

    proptest! {
        #[test]
        fn reading_a_sku_again_changes_nothing(text in any::<String>()) {
            if let Some(first) = Sku::new(&text) {
                prop_assert_eq!(Sku::new(first.as_str()), Some(first.clone()));
                prop_assert_eq!(Sku::new(&format!(" {text}\t")), Some(first));
            }
        }
    }
}
