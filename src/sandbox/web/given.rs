//! What products are made of: as the owner says it, and as a caller of the API writes it.

use rust_decimal::Decimal;
use serde_json::Value;

use super::refusal::{Refusal, Ruled};
use crate::sandbox::amount::{decimal, text};

/// A product that the site's owner adds.
#[derive(Clone, Debug)]
pub struct NewWebProduct {
    /// Its name.
    pub name: String,
    /// Its variants; one alone is called "Default Title".
    pub variants: Vec<NewWebVariant>,
    /// Whether buyers see it.
    pub published: bool,
}

impl Default for NewWebProduct {
    fn default() -> Self {
        Self { name: "Sản phẩm mẫu".into(), variants: vec![NewWebVariant::default()], published: true }
    }
}

/// A variant of a product that the site's owner adds.
#[derive(Clone, Debug)]
pub struct NewWebVariant {
    /// The SKU, written just so; it may be blank or somebody else's.
    pub sku: String,
    /// The price.
    pub price: Decimal,
    /// The price to compare with; none is written as 0.
    pub compare_at: Option<Decimal>,
    /// What is available, at the first location.
    pub stock: Decimal,
    /// Whether the site counts its stock.
    pub managed: bool,
}

impl Default for NewWebVariant {
    fn default() -> Self {
        let (price, stock) = (Decimal::from(100_000), Decimal::from(10));
        Self { sku: String::new(), price, compare_at: None, stock, managed: true }
    }
}

/// The ids of a product that has been added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebProductIds {
    /// The product's.
    pub id: u64,
    /// The variants', in their order.
    pub variants: Vec<u64>,
}

/// What becomes of the price to compare with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum CompareAt {
    /// It is not spoken of.
    #[default]
    Left,
    /// It becomes null.
    Null,
    /// It becomes this.
    At(Decimal),
}

impl CompareAt {
    /// The price that it comes to.
    pub fn over(self, before: Option<Decimal>) -> Option<Decimal> {
        match self {
            Self::Left => before,
            Self::Null => None,
            Self::At(price) => Some(price),
        }
    }
}

/// What is taken of a variant that is written out by the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenVariant {
    pub sku: Option<String>,
    pub barcode: Option<String>,
    pub option: Option<String>,
    pub price: Option<Decimal>,
    pub compare_at: CompareAt,
    pub quantity: Option<Decimal>,
    pub managed: Option<bool>,
}

impl GivenVariant {
    /// Reads a variant; what is not given stays as it is.
    pub fn read(given: &Value) -> Ruled<Self> {
        let amount = |field: &str| match &given[field] {
            Value::Null => Ok(None),
            value => decimal(value).map(Some).ok_or_else(|| Refusal::field(field, "is not a number")),
        };
        let price = amount("price")?;
        if price.is_some_and(|price| price < Decimal::ZERO) {
            return Err(Refusal::field("price", "must be greater than or equal to 0"));
        }
        let compare_at = amount("compare_at_price")?;
        Ok(Self {
            sku: given["sku"].as_str().map(str::to_owned),
            barcode: text(&given["barcode"]),
            option: text(&given["option1"]),
            price,
            compare_at: match compare_at {
                Some(price) => CompareAt::At(price),
                None if given.get("compare_at_price").is_some() => CompareAt::Null,
                None => CompareAt::Left,
            },
            quantity: amount("inventory_quantity")?,
            managed: given.get("inventory_management").map(|word| word == "bizweb"),
        })
    }
}

/// The object within a body's wrapping.
pub(crate) fn object<'a>(body: &'a Value, name: &str) -> Ruled<&'a Value> {
    Some(&body[name]).filter(|given| given.is_object()).ok_or_else(|| Refusal::missing(name))
}
