//! Orders, both ways (guide A, "Orders"): what is created, never with an address.

use rust_decimal::Decimal;

use crate::domain::connection::Settings;
use crate::domain::order::{ChannelLine, ChannelOrder, NewChannelOrder, NewPosLine, NewPosOrder, PosOrder};
use crate::domain::phone::Phone;
use crate::map::totals::{self, PosSums, TotalProblem};

/// What a channel order's line is on the POS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPosLine {
    /// The variant's id.
    pub variant_id: String,
    /// Its product's id, where it is known.
    pub product_id: Option<String>,
}

/// What a POS order's line is on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedChannelLine {
    /// The product's id.
    pub product_id: String,
    /// Its `product_code`.
    pub code: String,
}

/// Why an order cannot be made on the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum OrderProblem {
    /// Its amounts do not add up or cannot be carried.
    Totals(#[from] TotalProblem),
    /// It has no lines.
    NoLines,
    /// A line without a product of its own; it can never be linked.
    FreeFormLine {
        /// The line's name.
        name: String,
    },
    /// Not every line was resolved.
    UnresolvedLines {
        /// Its lines.
        lines: usize,
        /// Those that were resolved.
        resolved: usize,
    },
}

impl OrderProblem {
    /// The stable word in metrics, logs and stored outcomes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Totals(problem) => problem.code(),
            Self::NoLines => "no_lines",
            Self::FreeFormLine { .. } => "free_form_line",
            Self::UnresolvedLines { .. } => "unresolved_lines",
        }
    }

    /// Says what is wrong and what mends it.
    pub fn reason(&self) -> String {
        match self {
            Self::Totals(problem) => problem.reason(),
            Self::NoLines => "The order has no lines, so there is nothing to create. Add a product where it was made, \
                              then replay it."
                .to_owned(),
            Self::FreeFormLine { name } => format!(
                "The line \"{name}\" names no product, so it can never be linked. Use a product of the catalogue \
                 instead, or enter the order by hand."
            ),
            Self::UnresolvedLines { lines, resolved } => format!(
                "Only {resolved} of the order's {lines} lines have a linked product. Link the others (Liên kết); the \
                 order then goes by itself."
            ),
        }
    }
}

/// Checks a channel order before anything is looked up or pushed for it, and gives its total.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn check_channel_order(order: &ChannelOrder) -> Result<Decimal, OrderProblem> {
    if order.lines.is_empty() {
        return Err(OrderProblem::NoLines);
    }
    let free_form = order.lines.iter().find(|line| line.product_id.is_none() && line.code.trim().is_empty());
    if let Some(line) = free_form {
        return Err(OrderProblem::FreeFormLine { name: line.name.clone() });
    }
    Ok(totals::check_channel(order)?)
}

/// Checks a POS order before anything is looked up or pushed for it, and gives its sums.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn check_pos_order(order: &PosOrder) -> Result<PosSums, OrderProblem> {
    if order.lines.is_empty() {
        return Err(OrderProblem::NoLines);
    }
    if let Some(line) = order.lines.iter().find(|line| line.variant_id.is_none()) {
        return Err(OrderProblem::FreeFormLine { name: line.name.clone() });
    }
    Ok(totals::check_pos(order)?)
}

/// Makes a new POS order of a channel order; `lines` are its lines' variants, in their order.
///
/// The reference is the channel's own order code, else its id; `tag` is the connection's mark.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn to_pos(
    order: &ChannelOrder,
    lines: &[ResolvedPosLine],
    customer_id: Option<String>,
    phone: Option<&Phone>,
    tag: String,
    settings: &Settings,
    branch: u64,
) -> Result<NewPosOrder, OrderProblem> {
    let total = check_channel_order(order)?;
    all_resolved(order.lines.len(), lines.len())?;
    let lines = order.lines.iter().zip(lines).map(|(line, resolved)| NewPosLine {
        variant_id: resolved.variant_id.clone(),
        product_id: resolved.product_id.clone(),
        price: line.price,
        quantity: line.quantity,
    });
    Ok(NewPosOrder {
        reference: reference(order),
        tag,
        customer_id,
        phone: phone.map(Phone::national),
        email: None,
        shipping_address: None,
        billing_address: None,
        branch,
        staff: settings.staff,
        source: settings.source,
        lines: lines.collect(),
        discount: order.discount,
        fee: order.fee,
        note: written(order.note.as_deref()),
        total,
    })
}

/// Makes a new channel order of a POS order; `lines` are its lines' products, in their order.
///
/// Discounts of lines and of the order arrive as one discount on the order, since a channel's line has none.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn to_channel(
    order: &PosOrder,
    lines: &[ResolvedChannelLine],
    phone: &Phone,
    status: i64,
) -> Result<NewChannelOrder, OrderProblem> {
    let sums = check_pos_order(order)?;
    all_resolved(order.lines.len(), lines.len())?;
    let lines = order.lines.iter().zip(lines).map(|(line, resolved)| ChannelLine {
        product_id: Some(resolved.product_id.clone()),
        code: resolved.code.clone(),
        name: line.name.clone(),
        price: line.price,
        quantity: line.quantity,
    });
    Ok(NewChannelOrder {
        pos_id: order.id.clone(),
        lines: lines.collect(),
        discount: sums.discount_all,
        fee: sums.fee,
        phone: phone.national(),
        note: written(order.note.as_deref()),
        created_at: order.created_at,
        status,
        total: sums.total,
    })
}

/// What the order made on Sapo is found again by, together with the tag: the channel's own code, else its id.
pub fn reference(order: &ChannelOrder) -> String {
    written(order.code.as_deref()).unwrap_or_else(|| order.id.clone())
}

fn all_resolved(lines: usize, resolved: usize) -> Result<(), OrderProblem> {
    if lines == resolved { Ok(()) } else { Err(OrderProblem::UnresolvedLines { lines, resolved }) }
}

fn written(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
