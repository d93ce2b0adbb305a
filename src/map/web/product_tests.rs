//! Targets and comparison, case by case.

use proptest::prelude::*;

use super::*;
use crate::domain::connection::{NO_COMPARE, StockBasis, StockBuffer, WebSettings};
use crate::domain::product::PosInventory;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn shirt() -> PosVariant {
    let branch = |id: &str, available: &str, on_hand: &str| PosInventory {
        location_id: id.into(),
        available: available.parse().ok(),
        on_hand: on_hand.parse().ok(),
    };
    let price = |code: &str, value: &str| (code.to_owned(), decimal(value));
    PosVariant {
        id: "5700001".into(),
        sku: " AT-S ".into(),
        active: true,
        retail_price: Some(decimal("120000")),
        prices: [price(RETAIL, "120000"), price("BANBUON", "90000"), price("NIEMYET", "150000"), price(COST, "60000")]
            .into(),
        inventories: vec![branch("58001", "10", "12"), branch("58002", "5", "5")],
        ..PosVariant::default()
    }
}

fn priced(from: &str, compare_at: &str) -> Settings {
    let price = PriceSettings { sync: true, from: from.into(), compare_at: compare_at.into() };
    Settings { web: WebSettings { price, ..WebSettings::default() }, ..Settings::default() }
}

fn planned(variant: &PosVariant, settings: &Settings) -> Planned {
    target(variant, settings, &["58001".into(), "58002".into()], Decimal::ZERO)
}

#[test]
fn by_default_a_web_shows_the_summed_stock_and_the_retail_price() {
    let Planned { target, notes } = planned(&shirt(), &Settings::default());
    assert_eq!(target, Target { stock: Some(15), price: Some(decimal("120000")), compare_at: None });
    assert!(notes.is_empty());
    let on_hand = Settings { stock_basis: StockBasis::OnHand, ..Settings::default() };
    assert_eq!(planned(&shirt(), &on_hand).target.stock, Some(17));
}

#[test]
fn a_skus_own_buffer_counts_instead_of_the_connections() {
    let buffer = |units: i64| StockBuffer { units: units.into(), percent: Decimal::ZERO };
    let mut settings = Settings { stock_buffer: buffer(3), ..Settings::default() };
    assert_eq!(planned(&shirt(), &settings).target.stock, Some(12));
    settings.web.buffers.insert("AT-S".into(), buffer(1));
    assert_eq!(planned(&shirt(), &settings).target.stock, Some(14));
    let branches = ["58001".to_owned()];
    assert_eq!(target(&shirt(), &settings, &branches, decimal("2.5")).target.stock, Some(6));
}

#[test]
fn stock_that_is_unknown_or_below_zero_is_said_with_the_branch_or_the_figure() {
    let mut variant = shirt();
    variant.inventories[1].available = None;
    let found = planned(&variant, &Settings::default());
    assert_eq!(found.target, Target { stock: None, price: Some(decimal("120000")), compare_at: None });
    assert_eq!(found.notes, [Note::StockUnknown { branch: Some("58002".into()) }]);
    variant.inventories[1].available = Some(decimal("-12"));
    let found = planned(&variant, &Settings::default());
    assert_eq!((found.target.stock, found.notes), (Some(0), vec![Note::StockClamped { was: decimal("-2") }]));
}

#[test]
fn prices_come_from_the_chosen_lists_and_never_from_a_cost() {
    let no_price = |list: &str| vec![Note::NoPrice { list: list.into() }];
    let cases = [
        (RETAIL, NO_COMPARE, Some("120000"), None, vec![]),
        ("BANBUON", NO_COMPARE, Some("90000"), None, vec![]),
        (RETAIL, "NIEMYET", Some("120000"), Some(Some("150000")), vec![]),
        ("NIEMYET", RETAIL, Some("150000"), Some(None), vec![Note::CompareAtCleared { list: RETAIL.into() }]),
        (RETAIL, RETAIL, Some("120000"), Some(None), vec![Note::CompareAtCleared { list: RETAIL.into() }]),
        (RETAIL, "VANG", Some("120000"), None, vec![Note::NoCompareAt { list: "VANG".into() }]),
        ("VANG", "NIEMYET", None, None, no_price("VANG")),
        (COST, NO_COMPARE, None, None, no_price(COST)),
        ("BANBUON", COST, Some("90000"), None, vec![Note::NoCompareAt { list: COST.into() }]),
    ];
    for (from, compare_at, price, compared, notes) in cases {
        let found = planned(&shirt(), &priced(from, compare_at));
        assert_eq!(found.target.price, price.map(decimal), "{from} {compare_at}");
        assert_eq!(found.target.compare_at, compared.map(|value| value.map(decimal)), "{from} {compare_at}");
        assert_eq!(found.notes, notes, "{from} {compare_at}");
    }
}

#[test]
fn a_price_of_nothing_leaves_both_prices_alone() {
    for price in [None, Some(Decimal::ZERO), Some(decimal("-1"))] {
        let mut variant = shirt();
        variant.retail_price = price;
        variant.prices.remove(RETAIL);
        let found = planned(&variant, &priced(RETAIL, "NIEMYET"));
        assert_eq!(found.target, Target { stock: Some(15), price: None, compare_at: None });
    }
    let mut off = priced(RETAIL, "NIEMYET");
    off.web.price.sync = false;
    let found = planned(&shirt(), &off);
    assert_eq!(found.target, Target { stock: Some(15), price: None, compare_at: None });
    assert!(found.notes.is_empty());
}

#[test]
fn only_what_is_set_is_compared_and_only_what_differs_is_left() {
    let there = WebVariant {
        quantity: Some(decimal("15.0")),
        price: Some(decimal("120000.00")),
        compare_at: None,
        ..WebVariant::default()
    };
    let full = Target { stock: Some(15), price: Some(decimal("120000")), compare_at: Some(None) };
    assert!(differs(&full, &there).is_empty());
    assert!(differs(&Target::default(), &WebVariant::default()).is_empty());
    for spoiled in [
        WebVariant { quantity: Some(decimal("15.5")), ..there.clone() },
        WebVariant { quantity: None, ..there.clone() },
    ] {
        assert_eq!(differs(&full, &spoiled), Target { stock: Some(15), ..Target::default() });
    }
    let spoiled = WebVariant { price: None, compare_at: Some(decimal("1")), ..there.clone() };
    let found = differs(&full, &spoiled);
    assert_eq!(found, Target { stock: None, ..full.clone() });
    assert_eq!(applied(spoiled, &found, None), WebVariant { price: full.price, ..there });
}

#[test]
fn where_one_location_is_ours_its_own_stock_is_compared_else_what_was_pushed_there_last() {
    // 15 at all locations together, by chance.
    let sum = WebVariant { quantity: Some(decimal("15")), ..WebVariant::default() };
    let target = Target { stock: Some(15), ..Target::default() };
    let pushed = |stock| Target { stock: Some(stock), ..Target::default() };
    assert_eq!(differs_at(Some(7), &target, &sum, None).stock, Some(15), "nothing is known of the location");
    assert_eq!(differs_at(Some(7), &target, &sum, Some(&pushed(14))).stock, Some(15));
    assert!(differs_at(Some(7), &target, &sum, Some(&pushed(15))).is_empty());
    let read = WebVariant { levels: [(7, decimal("3")), (8, decimal("15"))].into(), ..sum.clone() };
    assert_eq!(differs_at(Some(7), &target, &read, Some(&pushed(15))).stock, Some(15), "somebody changed it there");
    let now = applied(read, &target, Some(7));
    assert_eq!((now.stock_at(Some(7)), now.quantity), (Some(decimal("15")), sum.quantity));
    assert!(differs_at(Some(7), &target, &now, None).is_empty());
    assert!(differs_at(None, &target, &sum, None).is_empty());
    let text = serde_json::to_string(&now).unwrap();
    assert_eq!(serde_json::from_str::<WebVariant>(&text).unwrap(), now);
}

#[test]
fn every_note_says_what_was_done_and_every_failure_what_mends_it() {
    let list = || "VANG".to_owned();
    for (note, said) in [
        (Note::StockClamped { was: decimal("-2.50") }, "came out as -2.5,"),
        (Note::StockUnknown { branch: Some("58002".into()) }, "branch 58002"),
        (Note::StockUnknown { branch: None }, "correct it"),
        (Note::Unmanaged, "Quản lý kho"),
        (Note::NoPrice { list: list() }, "price.from"),
        (Note::NoCompareAt { list: list() }, "price.compare_at"),
        (Note::CompareAtCleared { list: list() }, "VANG is not above"),
    ] {
        assert!(note.reason().contains(said), "{}: {}", note.code(), note.reason());
    }
}

#[test]
fn what_is_not_pushed_is_said_of_the_stock_first_and_what_is_pushed_all_the_same_is_not() {
    let branch = || Note::StockUnknown { branch: Some("58002".into()) };
    let price = || Note::NoPrice { list: "VANG".into() };
    let clamped = || Note::StockClamped { was: decimal("-2") };
    for (notes, managed, code, said) in [
        (vec![], true, None, vec![]),
        (vec![clamped(), Note::NoCompareAt { list: "VANG".into() }], true, None, vec![]),
        (vec![], false, Some("unmanaged"), vec!["Quản lý kho"]),
        (vec![branch()], false, Some("unmanaged"), vec!["Quản lý kho"]),
        (vec![branch()], true, Some("stock_unknown"), vec!["58002"]),
        (vec![clamped(), price()], true, Some("no_price"), vec!["VANG"]),
        (vec![price(), Note::Unmanaged], false, Some("unmanaged"), vec!["Quản lý kho", "; ", "VANG"]),
        (vec![branch(), price()], true, Some("stock_unknown"), vec!["58002", "; ", "VANG"]),
    ] {
        let found = withheld(&notes, managed);
        assert_eq!(found.as_ref().map(|(code, _)| *code), code, "{notes:?}");
        let reason = found.map(|(_, reason)| reason).unwrap_or_default();
        assert!(said.iter().all(|word| reason.contains(word)) && !reason.contains("-2"), "{notes:?}: {reason}");
    }
}

fn any_target() -> impl Strategy<Value = Target> {
    let amount = || (0_i64..1_000_000).prop_map(|amount| Decimal::new(amount, 2));
    let stock = proptest::option::of(0_i64..1_000);
    let (price, compare_at) = (proptest::option::of(amount()), proptest::option::of(proptest::option::of(amount())));
    (stock, price, compare_at).prop_map(|(stock, price, compare_at)| Target { stock, price, compare_at })
}

proptest! {
    #[test]
    fn what_is_remembered_is_read_back_as_it_was(target in any_target()) {
        let text = serde_json::to_string(&target).unwrap();
        prop_assert_eq!(serde_json::from_str::<Target>(&text).unwrap(), target);
    }

    #[test]
    fn what_was_pushed_is_no_news(target in any_target(), before in any_target()) {
        let news = target.without(&before);
        prop_assert!(target.without(&before.and(&news)).is_empty());
        prop_assert!(target.changed_since(&before.and(&news)).is_empty());
        prop_assert!(target.changed_since(&Target::default()).is_empty());
        prop_assert!(differs(&target, &applied(WebVariant::default(), &target, None)).is_empty());
    }
}
