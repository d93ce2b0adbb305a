//! Listings, stock and comparison, case by case.

use proptest::prelude::*;

use super::*;
use crate::domain::connection::{StockBasis, StockBuffer};
use crate::domain::product::PosInventory;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn shirt() -> (PosProduct, PosVariant) {
    let variant = PosVariant {
        id: "5700001".into(),
        sku: " AT-S ".into(),
        name: "Áo thun cổ tròn - S".into(),
        active: true,
        retail_price: Some(decimal("120000")),
        inventories: vec![
            PosInventory { location_id: "58001".into(), available: Some(decimal("8")), on_hand: Some(decimal("10")) },
            PosInventory { location_id: "58002".into(), available: None, on_hand: Some(decimal("5")) },
        ],
        ..PosVariant::default()
    };
    let product = PosProduct {
        name: "Áo thun cổ tròn".into(),
        active: true,
        description: Some(" ".into()),
        images: vec!["https://a.example/1.jpg".into(), String::new()],
        ..PosProduct::default()
    };
    (product, variant)
}

fn planned(product: &PosProduct, variant: &PosVariant, settings: &Settings) -> Planned {
    listing(product, variant, Some("7".into()), "58001", settings)
}

#[test]
fn a_variant_becomes_a_listing_with_its_own_name_price_and_stock() {
    let (product, variant) = shirt();
    let Planned { listing, notes } = planned(&product, &variant, &Settings::default());
    assert_eq!(
        listing,
        Listing {
            name: "Áo thun cổ tròn - S".into(),
            category_id: Some("7".into()),
            price: Some(decimal("120000")),
            stock: Some(8),
            visible: true,
        }
    );
    assert!(notes.is_empty());
    let new = new_listing(&product, &variant, listing).unwrap();
    assert_eq!((new.code.as_str(), new.description, new.images.len()), ("AT-S", None, 1));
}

#[test]
fn the_name_falls_back_to_the_products_and_then_to_the_sku() {
    let (mut product, mut variant) = shirt();
    variant.name = " ".into();
    assert_eq!(planned(&product, &variant, &Settings::default()).listing.name, "Áo thun cổ tròn");
    product.name = String::new();
    assert_eq!(planned(&product, &variant, &Settings::default()).listing.name, "AT-S");
}

#[test]
fn it_is_shown_only_where_product_and_variant_are_traded() {
    let (mut product, mut variant) = shirt();
    for (of_product, of_variant) in [(true, true), (true, false), (false, true), (false, false)] {
        (product.active, variant.active) = (of_product, of_variant);
        let visible = planned(&product, &variant, &Settings::default()).listing.visible;
        assert_eq!(visible, of_product && of_variant);
    }
}

#[test]
fn without_a_price_a_new_product_is_not_pushed_and_a_linked_one_still_follows() {
    let (product, mut variant) = shirt();
    for price in [None, Some(Decimal::ZERO), Some(decimal("-1"))] {
        variant.retail_price = price;
        let Planned { listing, notes } = planned(&product, &variant, &Settings::default());
        assert_eq!((listing.price, listing.stock, listing.visible), (None, Some(8), true));
        assert_eq!(notes, [Note::NoPrice]);
        assert_eq!(new_listing(&product, &variant, listing), Err(Note::NoPrice));
    }
}

#[test]
fn an_empty_sku_is_not_pushed() {
    let (product, mut variant) = shirt();
    variant.sku = "  ".into();
    let listing = planned(&product, &variant, &Settings::default()).listing;
    assert_eq!(new_listing(&product, &variant, listing), Err(Note::NoSku));
}

#[test]
fn stock_is_less_the_larger_buffer_floored_and_never_below_zero() {
    let (product, mut variant) = shirt();
    let clamped = |was| Some(Note::StockClamped { was: decimal(was) });
    let cases = [
        ("8", "0", "0", Some(8), None),
        ("2.5", "0", "0", Some(2), None),
        ("0.9", "0", "0", Some(0), None),
        ("8", "3", "10", Some(5), None),
        ("50", "3", "10", Some(45), None),
        ("45", "0", "10", Some(40), None),
        ("3", "5", "0", Some(0), clamped("-2")),
        ("-2", "0", "0", Some(0), clamped("-2")),
        ("-0.5", "0", "50", Some(0), clamped("-0.5")),
        ("8", "-5", "-10", Some(8), None),
        ("79228162514264337593543950335", "0", "0", None, Some(Note::StockUnknown)),
        ("79228162514264337593543950335", "0", "50", None, Some(Note::StockUnknown)),
    ];
    for (raw, units, percent, stock, note) in cases {
        variant.inventories[0].available = Some(decimal(raw));
        let stock_buffer = StockBuffer { units: decimal(units), percent: decimal(percent) };
        let found = planned(&product, &variant, &Settings { stock_buffer, ..Settings::default() });
        assert_eq!((found.listing.stock, found.notes.first().copied()), (stock, note), "{raw} {units} {percent}");
    }
}

#[test]
fn a_missing_branch_or_figure_leaves_the_stock_alone() {
    let (product, variant) = shirt();
    let on_hand = Settings { stock_basis: StockBasis::OnHand, ..Settings::default() };
    let cases = [
        ("58001", Settings::default(), Some(8)),
        ("58001", on_hand.clone(), Some(10)),
        ("58002", Settings::default(), None),
        ("58002", on_hand, Some(5)),
        ("58003", Settings::default(), None),
    ];
    for (branch, settings, stock) in cases {
        let found = listing(&product, &variant, None, branch, &settings);
        assert_eq!(found.listing.stock, stock, "{branch}");
        assert_eq!(found.notes.contains(&Note::StockUnknown), stock.is_none());
    }
}

#[test]
fn only_owned_fields_that_are_set_are_compared() {
    let (product, variant) = shirt();
    let full = planned(&product, &variant, &Settings::default()).listing;
    let there = ChannelProduct {
        name: full.name.clone(),
        category_id: full.category_id.clone(),
        price: full.price,
        selling_price: Some(decimal("120000.00")),
        stock: Some(decimal("8.0")),
        visible: Some(true),
        ..ChannelProduct::default()
    };
    assert!(same(&full, &there));
    let spoiled = [
        ChannelProduct { name: "Áo".into(), ..there.clone() },
        ChannelProduct { category_id: None, ..there.clone() },
        ChannelProduct { price: Some(decimal("1")), ..there.clone() },
        ChannelProduct { selling_price: Some(decimal("1")), ..there.clone() },
        ChannelProduct { stock: Some(decimal("8.5")), ..there.clone() },
        ChannelProduct { visible: None, ..there.clone() },
        ChannelProduct { visible: Some(false), ..there.clone() },
    ];
    for there in spoiled {
        assert!(!same(&full, &there), "{there:?}");
    }
    let least = Listing { category_id: None, price: None, stock: None, ..full };
    let bare = ChannelProduct { name: least.name.clone(), visible: Some(true), ..ChannelProduct::default() };
    assert!(same(&least, &bare));
}

#[test]
fn every_note_says_what_mends_it() {
    for note in [Note::NoPrice, Note::StockClamped { was: decimal("-2.50") }, Note::StockUnknown, Note::NoSku] {
        assert!(note.reason().contains("Sapo") || note.reason().contains("branch"), "{}", note.code());
    }
    assert!(Note::StockClamped { was: decimal("-2.50") }.reason().contains("-2.5,"));
}

fn any_decimal() -> impl Strategy<Value = Decimal> {
    (any::<[u32; 3]>(), any::<bool>(), 0_u32..=28)
        .prop_map(|(words, negative, scale)| Decimal::from_parts(words[0], words[1], words[2], negative, scale))
}

proptest! {
    #[test]
    fn stock_is_never_negative_and_never_more_than_there_is(
        raw in prop_oneof![any_decimal(), (-1_000_000_i64..1_000_000).prop_map(|n| Decimal::new(n, 2))],
        units in any_decimal(),
        percent in prop_oneof![any_decimal(), (0_i64..=10_000).prop_map(|n| Decimal::new(n, 2))],
    ) {
        let (product, mut variant) = shirt();
        variant.inventories[0].available = Some(raw);
        let stock_buffer = StockBuffer { units, percent };
        let found = planned(&product, &variant, &Settings { stock_buffer, ..Settings::default() });
        if let Some(stock) = found.listing.stock {
            prop_assert!(stock >= 0);
            prop_assert!(Decimal::from(stock) <= raw.max(Decimal::ZERO));
        } else {
            prop_assert_eq!(found.notes, [Note::StockUnknown]);
        }
    }
}
