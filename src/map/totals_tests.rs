//! Totals against an integer model, and one test for each way they can be refused.

use proptest::prelude::*;

use super::*;
use crate::domain::order::{ChannelLine, PosLine};

fn dong(amount: i64) -> Decimal {
    Decimal::from(amount)
}

fn channel_line(price: Decimal, quantity: Decimal) -> ChannelLine {
    ChannelLine { name: "Áo thun".into(), price, quantity, ..ChannelLine::default() }
}

fn pos_line(price: Decimal, quantity: Decimal, amount: Decimal) -> PosLine {
    PosLine { name: "Áo thun".into(), price, quantity, amount, ..PosLine::default() }
}

/// 2 × 120 000 − 20 000 + 30 000 = 250 000.
fn channel_order() -> ChannelOrder {
    ChannelOrder {
        lines: vec![channel_line(dong(120_000), dong(2))],
        discount: dong(20_000),
        fee: dong(30_000),
        ..ChannelOrder::default()
    }
}

/// The same with a line discount of 10 000: 240 000.
fn pos_order() -> PosOrder {
    PosOrder {
        lines: vec![pos_line(dong(120_000), dong(2), dong(230_000))],
        discount: dong(20_000),
        fee: dong(30_000),
        total: Some(dong(240_000)),
        ..PosOrder::default()
    }
}

#[test]
fn a_channel_order_without_a_stated_total_is_lines_less_discount_plus_fee() {
    assert_eq!(check_channel(&channel_order()), Ok(dong(250_000)));
}

#[test]
fn a_stated_total_is_taken_only_where_the_parts_add_up_to_it() {
    let mut order = channel_order();
    order.total = Some(dong(250_000));
    assert_eq!(check_channel(&order), Ok(dong(250_000)));
    order.total = Some(dong(250_001));
    let problem = check_channel(&order).unwrap_err();
    assert_eq!(problem, TotalProblem::Mismatch { stated: dong(250_001), computed: dong(250_000), tax: Decimal::ZERO });
    assert!(problem.reason().contains("250.001 ₫") && problem.reason().contains("250.000 ₫"), "{problem}");
}

#[test]
fn line_and_order_discounts_of_the_pos_become_one() {
    let sums = check_pos(&pos_order()).unwrap();
    assert_eq!(sums, PosSums { total: dong(240_000), discount_all: dong(30_000), fee: dong(30_000) });
}

#[test]
fn tax_on_top_of_the_prices_is_a_mismatch_that_names_both_sums() {
    let mut order = pos_order();
    order.tax = dong(24_000);
    for (stated, named) in [(Some(dong(264_000)), "264.000 ₫"), (None, "264.000 ₫"), (Some(dong(240_000)), "240.000 ₫")]
    {
        order.total = stated;
        let problem = check_pos(&order).unwrap_err();
        assert_eq!(problem.code(), "total_mismatch");
        for words in [named, "240.000 ₫", "24.000 ₫"] {
            assert!(problem.reason().contains(words), "{problem}");
        }
    }
}

#[test]
fn each_impossible_amount_is_refused_by_name() {
    type Spoil = fn(&mut PosOrder);
    let cases: [(Spoil, &str, &str); 10] = [
        (|o| o.discount = dong(-1), "negative_amount", "discount"),
        (|o| o.fee = dong(-1), "negative_amount", "fee"),
        (|o| o.tax = dong(-1), "negative_amount", "tax"),
        (|o| o.discount = dong(999_999), "negative_amount", "total"),
        (|o| o.lines[0].quantity = dong(0), "bad_line", "quantity"),
        (|o| o.lines[0].quantity = dong(-2), "bad_line", "quantity"),
        (|o| o.lines[0].price = dong(-1), "bad_line", "price"),
        (|o| o.lines[0].amount = dong(-1), "bad_line", "amount after discount"),
        (|o| o.lines[0].amount = dong(240_001), "bad_line", "above price"),
        (|o| o.lines[0].price = Decimal::MAX, "amount_too_large", "digits"),
    ];
    for (spoil, code, word) in cases {
        let mut order = pos_order();
        spoil(&mut order);
        let problem = check_pos(&order).unwrap_err();
        assert_eq!(problem.code(), code, "{problem}");
        assert!(problem.reason().contains(word), "{problem}");
    }
    let mut order = channel_order();
    order.lines.push(channel_line(dong(1), dong(0)));
    assert_eq!(check_channel(&order).unwrap_err().code(), "bad_line");
}

#[test]
fn a_sum_that_would_have_to_be_rounded_is_refused() {
    let fine = |scale| Decimal::new(1, scale);
    let mut order = ChannelOrder { lines: vec![channel_line(fine(14), fine(14))], ..ChannelOrder::default() };
    assert_eq!(check_channel(&order), Ok(fine(28)));
    order.lines[0].quantity = fine(15);
    assert_eq!(check_channel(&order), Err(TotalProblem::TooLarge));
    order.lines = vec![channel_line(Decimal::MAX, dong(1)), channel_line(Decimal::new(1, 1), dong(1))];
    assert_eq!(check_channel(&order), Err(TotalProblem::TooLarge));
}

fn any_decimal() -> impl Strategy<Value = Decimal> {
    (any::<[u32; 3]>(), any::<bool>(), 0_u32..=28)
        .prop_map(|(words, negative, scale)| Decimal::from_parts(words[0], words[1], words[2], negative, scale))
}

/// Prices and quantities in hundredths, the line's discount as hundredths of its gross amount.
fn hundredths() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    prop::collection::vec((0_i64..=99_999_999_999, 1_i64..=1_000_000, 0_i64..=100), 1..8)
}

/// A ten-thousandth is what a hundredth times a hundredth counts in.
fn ten_thousandths(amount: i128) -> Decimal {
    Decimal::from_i128_with_scale(amount, 4)
}

proptest! {
    #[test]
    fn channel_totals_agree_with_whole_numbers(
        lines in hundredths(), discount in 0_i64..=99_999_999, fee in 0_i64..=99_999_999, off in -1_i128..=1,
    ) {
        let sum: i128 = lines.iter().map(|(price, quantity, _)| i128::from(*price) * i128::from(*quantity)).sum();
        let expected = sum + i128::from(fee - discount) * 100;
        let mut order = ChannelOrder {
            lines: lines.iter().map(|(p, q, _)| channel_line(Decimal::new(*p, 2), Decimal::new(*q, 2))).collect(),
            discount: Decimal::new(discount, 2),
            fee: Decimal::new(fee, 2),
            ..ChannelOrder::default()
        };
        if expected < 0 {
            prop_assert_eq!(check_channel(&order).unwrap_err().code(), "negative_amount");
        } else {
            prop_assert_eq!(check_channel(&order), Ok(ten_thousandths(expected)));
            order.total = Some(ten_thousandths(expected + off));
            prop_assert_eq!(check_channel(&order).is_ok(), off == 0);
        }
    }

    #[test]
    fn pos_sums_agree_with_whole_numbers(
        lines in hundredths(), discount in 0_i64..=99_999_999, fee in 0_i64..=99_999_999, off in -1_i128..=1,
    ) {
        let (mut gross_all, mut line_discounts) = (0_i128, 0_i128);
        let mut order = PosOrder { discount: Decimal::new(discount, 2), fee: Decimal::new(fee, 2), ..PosOrder::default() };
        for (price, quantity, percent) in lines {
            let gross = i128::from(price) * i128::from(quantity);
            let less = gross / 100 * i128::from(percent);
            gross_all += gross;
            line_discounts += less;
            order.lines.push(pos_line(Decimal::new(price, 2), Decimal::new(quantity, 2), ten_thousandths(gross - less)));
        }
        let discount_all = line_discounts + i128::from(discount) * 100;
        let expected = gross_all - discount_all + i128::from(fee) * 100;
        order.total = Some(ten_thousandths(expected + off));
        let found = check_pos(&order);
        if expected < 0 {
            prop_assert_eq!(found.unwrap_err().code(), "negative_amount");
        } else if off != 0 {
            prop_assert_eq!(found.unwrap_err().code(), "total_mismatch");
        } else {
            let total = ten_thousandths(expected);
            prop_assert_eq!(found, Ok(PosSums { total, discount_all: ten_thousandths(discount_all), fee: order.fee }));
        }
    }

    #[test]
    fn no_amount_panics(
        lines in prop::collection::vec((any_decimal(), any_decimal(), any_decimal()), 0..4),
        discount in any_decimal(), fee in any_decimal(), tax in any_decimal(), total in prop::option::of(any_decimal()),
    ) {
        let channel = ChannelOrder {
            lines: lines.iter().map(|(p, q, _)| channel_line(*p, *q)).collect(),
            discount, fee, total, ..ChannelOrder::default()
        };
        let pos = PosOrder {
            lines: lines.iter().map(|(p, q, a)| pos_line(*p, *q, *a)).collect(),
            discount, fee, tax, total, ..PosOrder::default()
        };
        for problem in [check_channel(&channel).err(), check_pos(&pos).err()].into_iter().flatten() {
            prop_assert!(!problem.reason().is_empty());
        }
    }
}
