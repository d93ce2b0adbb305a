//! Prices, POS → webs: from which list, what is left alone, what is cleared, and that nothing else is ever written.

use bytes::Bytes;
use rust_decimal::Decimal;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::time;
use sapo_sync::sandbox::NewWebVariant;
use serde_json::json;

use crate::harness::{World, dong};
use crate::web_world::{web_alias, web_connection, web_variant, webs};

/// A variant on the web and on the POS, with these prices in the lists BANLE and BANBUON; none takes a price away.
async fn both(world: &World, sku: &str, compare_at: Option<i64>, lists: (Option<i64>, Option<i64>)) -> (u64, u64) {
    let given = NewWebVariant { compare_at: compare_at.map(dong), ..web_variant(sku, 500, 10) };
    let there = world.add_on_web(1, sku, vec![given]);
    world.quiet().await;
    let variants = json!([{"sku": sku, "retail": lists.0, "wholesale": lists.1, "stock": {"58001": 10}}]);
    let product = world.sandbox.omni().add_product(&json!({"name": sku, "variants": variants})).unwrap();
    world.quiet().await;
    (product, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_come_from_the_chosen_lists_and_a_compare_at_price_that_is_not_above_is_cleared() {
    let world = webs(1, "").await;
    let (banbuon, compare) = (r#"price = { from = "BANBUON" }"#, r#"price = { compare_at = "BANBUON" }"#);
    let off = r#"price = { sync = false, compare_at = "BANBUON" }"#;
    // Settings, the web's compare-at price before, BANLE and BANBUON, the price and the compare-at price shown.
    let cases = [
        ("", None, (Some(1_000), Some(800)), (1_000, 0)),
        ("", Some(900), (Some(1_000), Some(2_000)), (1_000, 900)),
        (banbuon, Some(900), (Some(1_000), Some(800)), (800, 900)),
        (off, Some(900), (Some(1_000), Some(800)), (500, 900)),
        ("", Some(900), (None, Some(800)), (500, 900)),
        ("", Some(900), (Some(0), Some(800)), (500, 900)),
        (banbuon, Some(900), (Some(1_000), None), (500, 900)),
        (compare, None, (Some(1_000), Some(1_200)), (1_000, 1_200)),
        (compare, Some(900), (Some(1_000), Some(1_200)), (1_000, 1_200)),
        (compare, Some(900), (Some(1_000), Some(1_000)), (1_000, 0)),
        (compare, Some(900), (Some(1_000), Some(999)), (1_000, 0)),
        (compare, Some(900), (Some(1_000), Some(0)), (1_000, 0)),
        (compare, Some(900), (Some(1_000), None), (1_000, 900)),
        (compare, Some(900), (None, Some(1_200)), (500, 900)),
    ];
    for (number, (settings, before, lists, (price, compare_at))) in cases.into_iter().enumerate() {
        let case = format!("{settings:?}: {before:?} before, {lists:?}");
        world.set_webs(settings).await;
        let (product, there) = both(&world, &format!("P-{number}"), before, lists).await;
        let (stock, shown, compared) = world.shown(1, there);
        assert_eq!((stock, shown, compared), (dong(10), dong(price), dong(compare_at)), "{case}");
        let (outcome, code, story) = world.web_outcome(1, product).await;
        assert_eq!((outcome.as_str(), code.as_str()), ("done", "linked"), "{case}: {story}");
        let told = story.contains("left alone; give it one");
        assert_eq!(
            told,
            lists.0.unwrap_or(0) == 0 || (settings != off && lists.1.is_none() && !settings.is_empty()),
            "{case}: {story}"
        );
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_follows_its_list_and_stays_when_it_is_taken_away() {
    let world = webs(1, "").await;
    let omni = world.sandbox.omni();
    let (_, there) = both(&world, "AT-S", None, (Some(1_000), None)).await;
    let variant = world.pos_variant("AT-S");
    for (given, shown) in [(Some(1_100), 1_100), (None, 1_100), (Some(0), 1_100), (Some(900), 900)] {
        omni.set_price(variant, given.map(dong)).unwrap();
        world.quiet().await;
        assert_eq!(world.shown(1, there).1, dong(shown), "{given:?}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_list_that_was_taken_away_parks_with_the_settings_name_until_that_is_right_and_stock_still_follows() {
    for (key, settings) in [
        ("`price.from`", r#"price = { from = "BANBUON" }"#),
        ("`price.compare_at`", r#"price = { compare_at = "BANBUON" }"#),
    ] {
        let world = webs(1, settings).await;
        let omni = world.sandbox.omni();
        let (_, there) = both(&world, "AT-S", None, (Some(1_000), Some(2_000))).await;
        let (_, price, compare_at) = world.shown(1, there);
        omni.remove_price_list(167_002).unwrap();
        omni.set_list_price(world.pos_variant("AT-S"), "BANBUON", None).unwrap();
        omni.set_stock(world.pos_variant("AT-S"), 58_001, 4).unwrap();
        world.quiet().await;
        assert_eq!(world.shown(1, there), (dong(4), price, compare_at), "{key}");
        let parked = world.parked().await;
        assert_eq!((parked.len(), parked[0].cause.as_str()), (1, "setup"), "{key}");
        assert!([key, "BANBUON"].iter().all(|word| parked[0].reason.contains(word)), "{parked:#?}");
        // Nobody releases it: it goes by itself.
        world.set_webs("").await;
        world.quiet().await;
        assert_eq!(world.shown(1, there), (dong(4), dong(1_000), compare_at), "{key}");
        world.finish(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_becomes_one_of_costs_is_not_shown_on_a_web_any_more() {
    let world = webs(1, r#"price = { from = "BANBUON" }"#).await;
    let (product, there) = both(&world, "AT-S", None, (Some(1_000), Some(800))).await;
    assert_eq!(world.shown(1, there).1, dong(800));
    world.sandbox.clear_calls();
    // As the POS would tell it; only its list of lists says what a list is, and nobody asks for that with each product.
    let mut told = world.sandbox.omni().product(product).unwrap();
    told["modified_on"] = "2099-01-01T00:00:00Z".into();
    told["variants"][0]["variant_whole_price"] = 700.into();
    for price in told["variants"][0]["variant_prices"].as_array_mut().unwrap() {
        price["value"] = 700.into();
        price["price_list"]["is_cost"] = (price["price_list"]["code"] == "BANBUON").into();
    }
    let key = ObjectKey {
        connection: web_connection(1),
        source: System::Omni,
        kind: Kind::Product,
        object_id: product.to_string(),
    };
    let (store, now) = (world.sandbox.config().alias.clone(), world.store().clock().now());
    let mut event = Event::new(key, store, "products/update", Shape::Whole, now, Bytes::from(told.to_string()));
    event.version = time::parse("2099-01-01T00:00:00Z");
    world.publish(&event).await;
    world.quiet().await;
    assert_eq!((world.shown(1, there).1, world.web_writes(1).len()), (dong(800), 0), "{:#?}", world.web_writes(1));
    let (_, code, story) = world.web_outcome(1, product).await;
    assert!(code == "unchanged" && story.contains("BANBUON on the POS, or that is a list of costs"), "{code}: {story}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_stock_and_prices_is_ever_written() {
    let world = webs(1, r#"price = { compare_at = "BANBUON" }"#).await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let (product, there) = both(&world, "AT-S", None, (Some(1_000), Some(2_000))).await;
    let home = web.product_ids()[0];
    // The web's people change everything else, and nobody is told of it: a field of ours would put it back.
    world.sandbox.stop_webhooks();
    web.change_product(home, |shape| {
        shape["name"] = "Tên của web".into();
        shape["content"] = "<p>Của web</p>".into();
        shape["tags"] = "web".into();
    })
    .unwrap();
    web.set_sku(there, "MA-CUA-WEB").unwrap();
    web.set_published(home, false).unwrap();
    let before = web.product(home).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    omni.change_product(product, |shape| {
        shape["name"] = "Tên của POS".into();
        shape["description"] = "khác".into();
        shape["tags"] = "pos".into();
        shape["status"] = "inactive".into();
        shape["variants"][0]["barcode"] = "893000".into();
        shape["variants"][0]["variant_retail_price"] = 1_500.into();
    })
    .unwrap();
    omni.set_stock(world.pos_variant("AT-S"), 58_001, 3).unwrap();
    world.quiet().await;
    assert_eq!(world.shown(1, there), (dong(3), dong(1_500), dong(2_000)));
    let mut expected = before;
    let now = web.product(home).unwrap();
    for path in ["/modified_on", "/variants/0/modified_on", "/variants/0/price", "/variants/0/inventory_quantity"] {
        *expected.pointer_mut(path).unwrap() = now.pointer(path).unwrap().clone();
    }
    assert_eq!(now, expected);
    let paths: Vec<String> = world.web_writes(1).into_iter().map(|call| call.path).collect();
    let owned = |path: &String| path == "inventory_levels/set" || *path == format!("variants/{there}");
    assert!(paths.iter().all(owned), "{paths:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fraction_of_a_dong_is_carried_as_it_is() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "LE", 1, 1);
    world.on_pos("LE", 1, 1);
    world.quiet().await;
    let price: Decimal = "1234.56".parse().unwrap();
    world.sandbox.omni().set_price(world.pos_variant("LE"), price).unwrap();
    world.quiet().await;
    assert_eq!(world.shown(1, there).1, price);
    world.finish(&[]).await;
}
