//! Totals, exact to the đồng: what an order states against what its parts add up to.

use rust_decimal::Decimal;

use crate::domain::money::Vnd;
use crate::domain::order::{ChannelOrder, PosOrder};

/// The sums of a POS order, in the shape that a channel can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosSums {
    /// The stated total, which the parts add up to.
    pub total: Decimal,
    /// Order and line discounts together: Σ price × quantity − `discount_all` + `fee` = `total`.
    pub discount_all: Decimal,
    /// The delivery fee.
    pub fee: Decimal,
}

/// Why an order's amounts cannot be carried to the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum TotalProblem {
    /// The stated total differs from the sum that would be carried.
    Mismatch {
        /// What the order states.
        stated: Decimal,
        /// Lines − discount + fee.
        computed: Decimal,
        /// Tax on top of the prices, which cannot be carried; 0 where there is none.
        tax: Decimal,
    },
    /// An amount of the order is below zero.
    Negative {
        /// Which one: discount, fee, tax or total.
        part: &'static str,
        /// What it is.
        amount: Decimal,
    },
    /// A line that no sum can be built on.
    BadLine {
        /// The line's name.
        name: String,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// A sum has more digits than can be kept without rounding.
    TooLarge,
}

/// What is wrong with the amounts of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// The quantity is 0 or less.
    NoQuantity,
    /// The price is below zero.
    NegativePrice,
    /// The line's amount after its discount is below zero.
    NegativeAmount,
    /// The line's amount is above price × quantity, as if its discount were negative.
    AmountAbovePrice,
}

impl LineFault {
    fn in_words(self) -> &'static str {
        match self {
            Self::NoQuantity => "its quantity is not above 0",
            Self::NegativePrice => "its price is below 0",
            Self::NegativeAmount => "its amount after discount is below 0",
            Self::AmountAbovePrice => "its amount is above price × quantity",
        }
    }
}

impl TotalProblem {
    /// The stable word in metrics, logs and stored outcomes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "total_mismatch",
            Self::Negative { .. } => "negative_amount",
            Self::BadLine { .. } => "bad_line",
            Self::TooLarge => "amount_too_large",
        }
    }

    /// Says what was expected, what came and what mends it.
    pub fn reason(&self) -> String {
        match self {
            Self::Mismatch { stated, computed, tax } if tax.is_zero() => format!(
                "The order states a total of {}, but its lines − discount + fee come to {}. Correct the order where it \
                 was made, then replay it.",
                Vnd(*stated),
                Vnd(*computed)
            ),
            Self::Mismatch { stated, computed, tax } => format!(
                "The order states a total of {}, but its lines − discount + fee come to {}; the tax of {} on top of the \
                 prices cannot be carried. Make the order with prices that include tax, or enter it by hand.",
                Vnd(*stated),
                Vnd(*computed),
                Vnd(*tax)
            ),
            Self::Negative { part, amount } => format!(
                "The order's {part} is {}, below 0. Correct the order where it was made, then replay it.",
                Vnd(*amount)
            ),
            Self::BadLine { name, fault } => format!(
                "The line \"{name}\" cannot be carried: {}. Correct the order where it was made, then replay it.",
                fault.in_words()
            ),
            Self::TooLarge => "A sum of the order has more digits than can be carried without rounding. Correct its \
                               prices and quantities where it was made, then replay it."
                .to_owned(),
        }
    }

    fn bad_line(name: &str, fault: LineFault) -> Self {
        Self::BadLine { name: name.to_owned(), fault }
    }
}

/// Adds a channel order up and gives its total; where one is stated, it must be that.
///
/// # Errors
/// [`TotalProblem`]; nothing may be created then.
pub fn check_channel(order: &ChannelOrder) -> Result<Decimal, TotalProblem> {
    not_negative("discount", order.discount)?;
    not_negative("fee", order.fee)?;
    let mut lines = Decimal::ZERO;
    for line in &order.lines {
        lines = plus(lines, gross(&line.name, line.price, line.quantity)?)?;
    }
    settle(order.total, lines, order.discount, order.fee, Decimal::ZERO)
}

/// Adds a POS order up from its lines' amounts and gives the sums that a channel can carry.
///
/// Tax on top of the prices is part of Sapo's total and has no place on a channel, so it is always a mismatch.
///
/// # Errors
/// [`TotalProblem`]; nothing may be created then.
pub fn check_pos(order: &PosOrder) -> Result<PosSums, TotalProblem> {
    not_negative("discount", order.discount)?;
    not_negative("fee", order.fee)?;
    not_negative("tax", order.tax)?;
    let (mut lines, mut discount_all) = (Decimal::ZERO, order.discount);
    for line in &order.lines {
        let gross = gross(&line.name, line.price, line.quantity)?;
        if line.amount < Decimal::ZERO {
            return Err(TotalProblem::bad_line(&line.name, LineFault::NegativeAmount));
        }
        if line.amount > gross {
            return Err(TotalProblem::bad_line(&line.name, LineFault::AmountAbovePrice));
        }
        lines = plus(lines, line.amount)?;
        discount_all = plus(discount_all, minus(gross, line.amount)?)?;
    }
    let total = settle(order.total, lines, order.discount, order.fee, order.tax)?;
    Ok(PosSums { total, discount_all, fee: order.fee })
}

/// Compares the stated total, where there is one, with the parts'.
fn settle(
    stated: Option<Decimal>,
    lines: Decimal,
    discount: Decimal,
    fee: Decimal,
    tax: Decimal,
) -> Result<Decimal, TotalProblem> {
    let computed = plus(minus(lines, discount)?, fee)?;
    not_negative("total", computed)?;
    let stated = match stated {
        Some(stated) => stated,
        None => plus(computed, tax)?,
    };
    if stated == computed && tax.is_zero() {
        Ok(computed)
    } else {
        Err(TotalProblem::Mismatch { stated, computed, tax })
    }
}

fn not_negative(part: &'static str, amount: Decimal) -> Result<(), TotalProblem> {
    if amount < Decimal::ZERO { Err(TotalProblem::Negative { part, amount }) } else { Ok(()) }
}

fn gross(name: &str, price: Decimal, quantity: Decimal) -> Result<Decimal, TotalProblem> {
    if quantity <= Decimal::ZERO {
        return Err(TotalProblem::bad_line(name, LineFault::NoQuantity));
    }
    if price < Decimal::ZERO {
        return Err(TotalProblem::bad_line(name, LineFault::NegativePrice));
    }
    times(price, quantity)
}

// `Decimal`'s own checked operations round where a result needs more than 28 digits; these refuse instead.

fn times(a: Decimal, b: Decimal) -> Result<Decimal, TotalProblem> {
    let (a, b) = (a.normalize(), b.normalize());
    let mantissa = a.mantissa().checked_mul(b.mantissa()).ok_or(TotalProblem::TooLarge)?;
    exact(mantissa, a.scale() + b.scale())
}

fn plus(a: Decimal, b: Decimal) -> Result<Decimal, TotalProblem> {
    let (a, b) = (a.normalize(), b.normalize());
    let scale = a.scale().max(b.scale());
    let sum =
        at_scale(a, scale).zip(at_scale(b, scale)).and_then(|(a, b)| a.checked_add(b)).ok_or(TotalProblem::TooLarge)?;
    exact(sum, scale)
}

fn minus(a: Decimal, b: Decimal) -> Result<Decimal, TotalProblem> {
    plus(a, -b)
}

/// The mantissa at a scale not smaller than the amount's own.
fn at_scale(amount: Decimal, scale: u32) -> Option<i128> {
    amount.mantissa().checked_mul(10_i128.checked_pow(scale.checked_sub(amount.scale())?)?)
}

fn exact(mut mantissa: i128, mut scale: u32) -> Result<Decimal, TotalProblem> {
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| TotalProblem::TooLarge)
}

#[cfg(test)]
#[path = "totals_tests.rs"]
mod tests;
