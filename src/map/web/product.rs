//! What a variant of a web should show of its POS variant: stock and prices, nothing else (guide W).

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::connection::{PriceSettings, Settings};
use crate::domain::linking::{NO_PRICE, STOCK_UNKNOWN, UNMANAGED};
use crate::domain::product::PosVariant;
use crate::domain::sku::Sku;
use crate::domain::web::WebVariant;
use crate::map::stock::{self, Held, Stock};

/// Giá bán lẻ; every shop has it.
pub const RETAIL: &str = "BANLE";
/// Giá nhập: a cost, which no buyer may see.
pub const COST: &str = "GIANHAP";

/// The owned fields of a web's variant: what is compared, pushed and remembered. `None` leaves the web's alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Whole units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<i64>,
    /// Price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Compare-at price; `Some(None)` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub compare_at: Option<Option<Decimal>>,
}

/// Tells a field that is null from one that is not there.
#[allow(clippy::option_option)] // left alone, cleared, or a price
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Decimal>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Target {
    /// Whether it leaves everything alone.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it is not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            stock: self.stock.filter(|_| self.stock != other.stock),
            price: self.price.filter(|_| self.price != other.price),
            compare_at: self.compare_at.filter(|_| self.compare_at != other.compare_at),
        }
    }

    /// What of it is another than in `before`, as far as that says something.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Self {
        let news = self.without(before);
        Self {
            stock: news.stock.filter(|_| before.stock.is_some()),
            price: news.price.filter(|_| before.price.is_some()),
            compare_at: news.compare_at.filter(|_| before.compare_at.is_some()),
        }
    }

    /// Both together; where both say something, `other` counts.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            stock: other.stock.or(self.stock),
            price: other.price.or(self.price),
            compare_at: other.compare_at.or(self.compare_at),
        }
    }
}

/// What a variant should show, and what a person should know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The fields we own.
    pub target: Target,
    /// What could not be taken over as it stands.
    pub notes: Vec<Note>,
}

/// What a person should know of a variant's mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The stock came out below zero and is shown as 0.
    StockClamped {
        /// What it came out as.
        was: Decimal,
    },
    /// A chosen branch has no figure: the stock is left alone.
    StockUnknown {
        /// The branch; `None` where the figures cannot be reckoned with.
        branch: Option<String>,
    },
    /// The web does not count the variant's stock.
    Unmanaged,
    /// The price list has no price, or 0: prices are left alone.
    NoPrice {
        /// The price list's code.
        list: String,
    },
    /// The list of compare-at prices has none: it is left alone.
    NoCompareAt {
        /// The price list's code.
        list: String,
    },
    /// The compare-at price is not above the price and is cleared.
    CompareAtCleared {
        /// The price list's code.
        list: String,
    },
}

impl Note {
    /// The stable word in the ledger and in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::StockClamped { .. } => "stock_clamped",
            Self::StockUnknown { .. } => STOCK_UNKNOWN,
            Self::Unmanaged => UNMANAGED,
            Self::NoPrice { .. } => NO_PRICE,
            Self::NoCompareAt { .. } => "no_compare_at",
            Self::CompareAtCleared { .. } => "compare_at_cleared",
        }
    }

    /// Says what was done and what mends it.
    pub fn reason(&self) -> String {
        match self {
            Self::StockClamped { was } => format!(
                "the stock to push came out as {}, so 0 is shown; correct the stock of the chosen branches on the POS, \
                 or lower `stock_buffer`",
                was.normalize()
            ),
            Self::StockUnknown { branch: Some(branch) } => format!(
                "the POS states no usable stock for branch {branch}, so the web's stock is left alone; enter the \
                 variant's stock there, or take the branch out of `stock_branches`"
            ),
            Self::StockUnknown { branch: None } => {
                "the stock of the chosen branches cannot be summed, so the web's stock is left alone; correct it on the \
                 POS"
                .to_owned()
            }
            Self::Unmanaged => "the web does not count this variant's stock, so none is pushed; switch its stock \
                                management (Quản lý kho) on in the web's product page"
                .to_owned(),
            Self::NoPrice { list } => format!(
                "the variant has no price in the price list {list} on the POS, or that is a list of costs, so the web's \
                 price is left alone; give it one, or choose another list (`price.from`)"
            ),
            Self::NoCompareAt { list } => format!(
                "the variant has no price in the price list {list} on the POS, or that is a list of costs, so the web's \
                 compare-at price is left alone; give it one, or set `price.compare_at` to \"none\""
            ),
            Self::CompareAtCleared { list } => {
                format!("the price list {list} is not above the price, so the web shows no compare-at price")
            }
        }
    }
}

/// What a link says of what is not pushed through it, as long as that is so: a code, of the stock where it is the stock,
/// and every reason. `managed` tells whether the web counts the variant's stock.
pub fn withheld(notes: &[Note], managed: bool) -> Option<(&'static str, String)> {
    let uncounted = Note::Unmanaged;
    let stock =
        if managed { notes.iter().find(|note| matches!(note, Note::StockUnknown { .. })) } else { Some(&uncounted) };
    let price = notes.iter().find(|note| matches!(note, Note::NoPrice { .. }));
    let code = stock.or(price)?.code();
    let reasons: Vec<String> = stock.into_iter().chain(price).map(Note::reason).collect();
    Some((code, reasons.join("; ")))
}

/// Maps a POS variant to the fields that we own on a web.
///
/// `branches` are the ids of those whose stock is summed; `reserved` is what open drafts of webs hold of it.
pub fn target(variant: &PosVariant, settings: &Settings, branches: &[String], reserved: Decimal) -> Planned {
    let sku = Sku::new(&variant.sku);
    let held = Held { buffer: settings.buffer_of(sku.as_ref().map_or("", Sku::as_str)), reserved };
    let stock = stock::stock(variant, branches, settings.stock_basis, held);
    let mut notes = Vec::new();
    let units = stock.units();
    match stock {
        Stock::Units(_) => {}
        Stock::Clamped { was } => notes.push(Note::StockClamped { was }),
        Stock::Unknown { branch } => notes.push(Note::StockUnknown { branch }),
    }
    let (price, compare_at) = prices(variant, &settings.web.price, &mut notes);
    Planned { target: Target { stock: units, price, compare_at }, notes }
}

#[allow(clippy::option_option)] // as in `Target`
fn prices(
    variant: &PosVariant,
    settings: &PriceSettings,
    notes: &mut Vec<Note>,
) -> (Option<Decimal>, Option<Option<Decimal>>) {
    if !settings.sync {
        return (None, None);
    }
    let Some(price) = listed(variant, &settings.from).filter(|price| *price > Decimal::ZERO) else {
        notes.push(Note::NoPrice { list: settings.from.clone() });
        return (None, None);
    };
    let Some(list) = settings.compare_list() else { return (Some(price), None) };
    let compare_at = match listed(variant, list) {
        Some(higher) if higher > price => Some(Some(higher)),
        Some(_) => {
            notes.push(Note::CompareAtCleared { list: list.to_owned() });
            Some(None)
        }
        None => {
            notes.push(Note::NoCompareAt { list: list.to_owned() });
            None
        }
    };
    (Some(price), compare_at)
}

/// A variant's price in a price list; never one that is a cost.
fn listed(variant: &PosVariant, list: &str) -> Option<Decimal> {
    match list {
        COST => None,
        RETAIL => variant.retail_price.or_else(|| variant.prices.get(RETAIL).copied()),
        _ => variant.prices.get(list).copied(),
    }
}

/// The part of a target that a web's variant does not show; what the web does not tell counts as different, and so does
/// everything where it is not sure what it shows.
pub fn differs(target: &Target, there: &WebVariant) -> Target {
    if there.unsure {
        return target.clone();
    }
    Target {
        stock: target.stock.filter(|stock| there.quantity != Some(Decimal::from(*stock))),
        price: target.price.filter(|price| there.price != Some(*price)),
        compare_at: target.compare_at.filter(|compare_at| there.compare_at != *compare_at),
    }
}

/// [`differs`] at a web of which one location alone is ours (`web_location`): what its products state is the sum of all
/// of them. Where nobody has read that location's stock, it is taken for what was pushed there last.
pub fn differs_at(location: Option<u64>, target: &Target, there: &WebVariant, pushed: Option<&Target>) -> Target {
    let differs = differs(target, there);
    if location.is_none() || there.unsure {
        return differs;
    }
    let shown = there.stock_at(location).or_else(|| pushed?.stock.map(Decimal::from));
    Target { stock: target.stock.filter(|stock| shown != Some(Decimal::from(*stock))), ..differs }
}

/// A web's variant once a target was pushed to it; its stock at the location that is ours, where one alone is.
pub fn applied(mut there: WebVariant, pushed: &Target, location: Option<u64>) -> WebVariant {
    if let Some(units) = pushed.stock {
        there.set_stock_at(location, units.into());
    }
    there.price = pushed.price.or(there.price);
    there.compare_at = pushed.compare_at.unwrap_or(there.compare_at);
    there
}

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
