//! A Sapo variant as an Abaha product (guide A, "Products"; stock as in guides A and W).

use rust_decimal::Decimal;

use crate::domain::connection::Settings;
use crate::domain::product::{ChannelProduct, Listing, NewListing, PosProduct, PosVariant};
use crate::domain::sku::Sku;
use crate::map::stock::{self, Held, Stock};

/// What a variant should look like on the channel, and what a person should know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The fields we own.
    pub listing: Listing,
    /// What could not be taken over as it stands.
    pub notes: Vec<Note>,
}

/// What a person should know of a variant's mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// No retail price, or 0: the price is left alone, and a new product is not pushed.
    NoPrice,
    /// The stock came out below zero and is shown as 0.
    StockClamped {
        /// What it came out as.
        was: Decimal,
    },
    /// The branch or its figure is missing: the stock is left alone.
    StockUnknown,
    /// An empty SKU: there is nothing to link by.
    NoSku,
}

impl Note {
    /// The stable word in the ledger and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoPrice => "no_price",
            Self::StockClamped { .. } => "stock_clamped",
            Self::StockUnknown => "stock_unknown",
            Self::NoSku => "no_sku",
        }
    }

    /// Says what was done and what mends it.
    pub fn reason(self) -> String {
        match self {
            Self::NoPrice => "The variant has no retail price (Giá bán lẻ) on Sapo: a new product is not pushed, a \
                              linked one keeps its price. Set the retail price on Sapo."
                .to_owned(),
            Self::StockClamped { was } => format!(
                "The stock to push came out as {}, so 0 is shown. Correct the branch's stock on Sapo, or lower the \
                 setting `stock_buffer`.",
                was.normalize()
            ),
            Self::StockUnknown => "Sapo states no usable stock for the chosen branch, so the channel's stock is left \
                                   alone. Choose another branch (setting `branch`), or enter the variant's stock there."
                .to_owned(),
            Self::NoSku => {
                "The variant has no SKU on Sapo, so there is nothing to link it by. Give it a SKU on Sapo.".to_owned()
            }
        }
    }
}

/// Maps a variant to the fields that we own on the channel.
///
/// `branch` is the id of the branch whose stock is pushed. List and selling price are the retail price, whatever the
/// wholesale price is (guide A).
pub fn listing(
    product: &PosProduct,
    variant: &PosVariant,
    category_id: Option<String>,
    branch: &str,
    settings: &Settings,
) -> Planned {
    let mut notes = Vec::new();
    let price = variant.retail_price.filter(|price| *price > Decimal::ZERO);
    if price.is_none() {
        notes.push(Note::NoPrice);
    }
    let (stock, stock_note) = stock(variant, branch, settings);
    notes.extend(stock_note);
    let visible = product.active && variant.active;
    Planned { listing: Listing { name: name(product, variant), category_id, price, stock, visible }, notes }
}

/// Makes a new product of a variant and its [`listing`]; description and images are written on creation only.
///
/// # Errors
/// [`Note::NoSku`] or [`Note::NoPrice`], with which a variant is not pushed.
pub fn new_listing(product: &PosProduct, variant: &PosVariant, listing: Listing) -> Result<NewListing, Note> {
    let sku = Sku::new(&variant.sku).ok_or(Note::NoSku)?;
    if listing.price.is_none() {
        return Err(Note::NoPrice);
    }
    let description = product.description.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let images = product.images.iter().map(|image| image.trim()).filter(|image| !image.is_empty());
    Ok(NewListing {
        code: sku.into(),
        listing,
        description: description.map(ToOwned::to_owned),
        images: images.map(ToOwned::to_owned).collect(),
    })
}

/// Whether the channel's product already is as the listing says.
///
/// Fields that the listing leaves alone are not compared; what the channel does not tell counts as different.
pub fn same(listing: &Listing, there: &ChannelProduct) -> bool {
    let category = listing.category_id.is_none() || listing.category_id == there.category_id;
    let price = listing.price.is_none() || (listing.price == there.price && listing.price == there.selling_price);
    let stock = listing.stock.is_none() || listing.stock.map(Decimal::from) == there.stock;
    listing.name == there.name.trim() && category && price && stock && there.visible == Some(listing.visible)
}

/// The variant's name, else the product's; the SKU where both are blank, as a product cannot go without one.
fn name(product: &PosProduct, variant: &PosVariant) -> String {
    let names = [&variant.name, &product.name, &variant.sku];
    names.into_iter().map(|name| name.trim()).find(|name| !name.is_empty()).unwrap_or_default().to_owned()
}

fn stock(variant: &PosVariant, branch: &str, settings: &Settings) -> (Option<i64>, Option<Note>) {
    let held = Held { buffer: settings.stock_buffer, reserved: Decimal::ZERO };
    let stock = stock::stock(variant, &[branch.to_owned()], settings.stock_basis, held);
    let note = match stock {
        Stock::Units(_) => None,
        Stock::Clamped { was } => Some(Note::StockClamped { was }),
        Stock::Unknown { .. } => Some(Note::StockUnknown),
    };
    (stock.units(), note)
}

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
