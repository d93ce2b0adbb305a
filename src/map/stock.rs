//! A variant's stock as a channel should show it (guides A and W, "Stock").

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::domain::connection::{StockBasis, StockBuffer};
use crate::domain::product::PosVariant;

/// What comes out for a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stock {
    /// So many whole units.
    Units(i64),
    /// Below zero: shown as 0.
    Clamped {
        /// What it came out as.
        was: Decimal,
    },
    /// Not known, so nothing is pushed, never 0.
    Unknown {
        /// The chosen branch that has no figure; `None` where the figures cannot be reckoned with.
        branch: Option<String>,
    },
}

impl Stock {
    /// What is pushed, where something is.
    pub fn units(&self) -> Option<i64> {
        match self {
            Self::Units(units) => Some(*units),
            Self::Clamped { .. } => Some(0),
            Self::Unknown { .. } => None,
        }
    }
}

/// What is taken off a variant's stock before it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// The larger of its two figures is held back.
    pub buffer: StockBuffer,
    /// Sold in drafts that the POS does not count yet.
    pub reserved: Decimal,
}

/// Sums the chosen branches as decimals, negatives included, less what is held back, floored and never below zero.
///
/// A chosen branch or a figure that is missing makes the whole unknown: a part of the stock is a wrong stock.
pub fn stock(variant: &PosVariant, branches: &[String], basis: StockBasis, held: Held) -> Stock {
    let mut sum = Decimal::ZERO;
    for branch in branches {
        let Some(figure) = figure(variant, branch, basis) else {
            return Stock::Unknown { branch: Some(branch.clone()) };
        };
        match sum.checked_add(figure) {
            Some(more) => sum = more,
            None => return Stock::Unknown { branch: None },
        }
    }
    match less_buffer(sum, held.buffer).and_then(|left| left.checked_sub(held.reserved)) {
        Some(left) if left < Decimal::ZERO => Stock::Clamped { was: left },
        Some(left) => left.floor().to_i64().map_or(Stock::Unknown { branch: None }, Stock::Units),
        None => Stock::Unknown { branch: None },
    }
}

fn figure(variant: &PosVariant, branch: &str, basis: StockBasis) -> Option<Decimal> {
    let row = variant.inventories.iter().find(|row| row.location_id == branch)?;
    match basis {
        StockBasis::Available => row.available,
        StockBasis::OnHand => row.on_hand,
    }
}

/// Takes the larger of the two buffers off; a buffer below zero holds nothing back.
fn less_buffer(raw: Decimal, buffer: StockBuffer) -> Option<Decimal> {
    let share = raw.checked_mul(buffer.percent)?.checked_div(Decimal::ONE_HUNDRED)?;
    raw.checked_sub(buffer.units.max(share).max(Decimal::ZERO))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::product::PosInventory;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    /// A variant with these figures at the branches "1", "2"…; "-" is a branch without a figure.
    fn variant(figures: &[&str]) -> PosVariant {
        let rows = figures.iter().enumerate().map(|(index, figure)| PosInventory {
            location_id: (index + 1).to_string(),
            available: figure.parse().ok(),
            on_hand: Some(decimal("100")),
        });
        PosVariant { inventories: rows.collect(), ..PosVariant::default() }
    }

    fn of(figures: &[&str], branches: &[&str], held: Held) -> Stock {
        let branches: Vec<String> = branches.iter().map(|branch| (*branch).to_owned()).collect();
        stock(&variant(figures), &branches, StockBasis::Available, held)
    }

    #[test]
    fn the_guides_example_gives_ten_five_or_fifteen() {
        for (branches, units) in [(&["1"][..], 10), (&["2"], 5), (&["1", "2"], 15)] {
            assert_eq!(of(&["10", "5"], branches, Held::default()), Stock::Units(units));
        }
    }

    #[test]
    fn branches_are_summed_as_they_are_before_anything_is_rounded() {
        let all = ["1", "2", "3"];
        let cases: [(&[&str], Stock); 5] = [
            (&["2.5", "0.5", "0"], Stock::Units(3)),
            (&["0.9", "0.9", "0.1"], Stock::Units(1)),
            (&["10", "-4", "1"], Stock::Units(7)),
            (&["1", "-3", "0.5"], Stock::Clamped { was: decimal("-1.5") }),
            (&["79228162514264337593543950335", "1", "0"], Stock::Unknown { branch: None }),
        ];
        for (figures, expected) in cases {
            assert_eq!(of(figures, &all, Held::default()), expected, "{figures:?}");
        }
    }

    #[test]
    fn one_branch_without_a_figure_makes_the_whole_unknown() {
        for (branches, missing) in [(&["1", "2"][..], "2"), (&["2"], "2"), (&["1", "9"], "9")] {
            let expected = Stock::Unknown { branch: Some(missing.to_owned()) };
            assert_eq!(of(&["10", "-"], branches, Held::default()), expected, "{branches:?}");
        }
        assert_eq!(of(&["10", "-"], &["1"], Held::default()), Stock::Units(10));
    }

    #[test]
    fn the_buffer_is_taken_off_the_sum_and_what_is_reserved_after_it() {
        let held = |units: &str, percent: &str, reserved: &str| Held {
            buffer: StockBuffer { units: decimal(units), percent: decimal(percent) },
            reserved: decimal(reserved),
        };
        let cases = [
            (held("2", "0", "0"), Stock::Units(13)),
            (held("2", "20", "0"), Stock::Units(12)),
            (held("0", "0", "4"), Stock::Units(11)),
            (held("2", "20", "4"), Stock::Units(8)),
            (held("0", "0", "15.5"), Stock::Clamped { was: decimal("-0.5") }),
        ];
        for (held, expected) in cases {
            assert_eq!(of(&["10", "5"], &["1", "2"], held), expected, "{held:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_below_zero_and_never_more_than_there_is(
            figures in proptest::collection::vec(-1_000_000_i64..1_000_000, 1..5),
            units in 0_i64..1_000,
            percent in 0_i64..=100,
            reserved in 0_i64..1_000,
        ) {
            let texts: Vec<String> = figures.iter().map(|figure| Decimal::new(*figure, 2).to_string()).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let names: Vec<String> = (1..=figures.len()).map(|branch| branch.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let buffer = StockBuffer { units: units.into(), percent: percent.into() };
            let shown = of(&texts, &names, Held { buffer, reserved: reserved.into() }).units().unwrap();
            let sum: Decimal = figures.iter().map(|figure| Decimal::new(*figure, 2)).sum();
            prop_assert!(shown >= 0 && Decimal::from(shown) <= (sum - Decimal::from(reserved)).max(Decimal::ZERO));
        }
    }
}
