//! Stock, Sapo → Abaha: what is computed, what is not pushed, and what follows its components.

use rust_decimal::Decimal;
use sapo_sync::sandbox::Api;
use serde_json::{Value, json};

use crate::harness::{World, dong};

const ALL: (bool, bool, bool) = (true, true, true);

/// A change to a product's written form.
type Edit = fn(&mut Value);

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_the_branchs_figure_less_the_buffer_floored_and_never_below_zero() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    // Settings, on hand, committed, what is shown, whether it was clamped.
    let cases = [
        ("", "10", "0", 10, false),
        ("", "10", "3", 7, false),
        ("", "2.5", "0", 2, false),
        ("", "0.9", "0", 0, false),
        ("", "0", "0", 0, false),
        ("", "-3", "0", 0, true),
        ("", "2", "5.5", 0, true),
        ("stock_basis = \"on_hand\"", "10", "3", 10, false),
        ("stock_basis = \"on_hand\"", "-1", "0", 0, true),
        ("stock_buffer = { units = 2 }", "10", "0", 8, false),
        ("stock_buffer = { percent = 25 }", "10", "0", 7, false),
        ("stock_buffer = { units = 2, percent = 5 }", "100", "0", 95, false),
        ("stock_buffer = { units = 2, percent = 5 }", "20", "0", 18, false),
        ("stock_buffer = { percent = 10 }", "2.5", "0", 2, false),
        ("stock_buffer = { units = 0.5 }", "2.5", "0", 2, false),
        ("stock_buffer = { units = 20 }", "10", "0", 0, true),
        ("stock_buffer = { percent = 50 }", "-4", "0", 0, true),
    ];
    for (number, (settings, on_hand, committed, shown, clamped)) in cases.into_iter().enumerate() {
        let case = format!("{settings:?}, on hand {on_hand}, committed {committed}");
        world.apply(&world.connections(ALL, settings)).await;
        let sku = format!("T-{number}");
        let variants = json!([{"sku": sku, "retail": 1_000, "stock": {"58001": 500, "58002": 900}}]);
        let product = omni.add_product(&json!({"name": sku, "variants": variants})).unwrap();
        world.quiet().await;
        let (on_hand, committed): (Decimal, Decimal) = (on_hand.parse().unwrap(), committed.parse().unwrap());
        omni.change_product(product, |shape| {
            let row = inventory(shape, 58_001);
            row["on_hand"] = decimal(on_hand);
            row["committed"] = decimal(committed);
            row["available"] = decimal(on_hand - committed);
        })
        .unwrap();
        world.quiet().await;
        assert_eq!(world.on_abaha(&sku)["quantity"], shown, "{case}");
        let story = world.events_of(product).await.pop().unwrap().story;
        assert_eq!(story.contains("so 0 is shown"), clamped, "{case}: {story}");
    }
    world.finish(&[]).await;
}

fn inventory(shape: &mut Value, location: u64) -> &mut Value {
    let rows = shape["variants"][0]["inventories"].as_array_mut().unwrap();
    rows.iter_mut().find(|row| row["location_id"] == location).unwrap()
}

fn decimal(amount: Decimal) -> Value {
    serde_json::from_str(&amount.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_is_that_of_the_chosen_branch_and_else_of_the_shops_default_branch() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let chosen = world.connections(ALL, "");
    for (sku, text, shown) in [
        ("B-1", chosen.clone(), 4),
        ("B-2", chosen.replace("branch = 58001", "branch = 58002"), 6),
        ("B-3", chosen.replace("branch = 58001", ""), 4),
    ] {
        world.apply(&text).await;
        let variants = json!([{"sku": sku, "retail": 1_000, "stock": {"58001": 4, "58002": 6}}]);
        omni.add_product(&json!({"name": sku, "variants": variants})).unwrap();
        world.quiet().await;
        assert_eq!(world.on_abaha(sku)["quantity"], shown, "{sku}");
    }
    // Which branch is the default one is not asked again for every product.
    world.sandbox.clear_calls();
    let many: Vec<Value> =
        (0..5).map(|n| json!({"sku": format!("B-4{n}"), "option": format!("{n}"), "retail": 1_000})).collect();
    omni.add_product(&json!({"name": "Nhiều", "variants": many})).unwrap();
    world.quiet().await;
    assert!(world.sandbox.call_count(Api::Omni, "GET", "locations") <= 1, "{:#?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_or_a_figure_that_is_missing_means_no_push_and_never_zero() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let cases: [(&str, Edit); 4] = [
        ("no branch at all", |shape| shape["variants"][0]["inventories"] = json!([])),
        ("another branch alone", |shape| {
            shape["variants"][0]["inventories"].as_array_mut().unwrap().retain(|row| row["location_id"] != 58_001);
        }),
        ("null", |shape| inventory(shape, 58_001)["available"] = Value::Null),
        ("no number", |shape| inventory(shape, 58_001)["available"] = json!("nhiều")),
    ];
    for (number, (what, edit)) in cases.into_iter().enumerate() {
        let sku = format!("M-{number}");
        let variants = json!([{"sku": sku, "retail": 1_000, "stock": {"58001": 8, "58002": 3}}]);
        let product = omni.add_product(&json!({"name": sku, "variants": variants})).unwrap();
        world.quiet().await;
        omni.change_product(product, |shape| {
            edit(shape);
            shape["variants"][0]["variant_retail_price"] = 2_000.into();
        })
        .unwrap();
        world.quiet().await;
        let there = world.on_abaha(&sku);
        assert_eq!([&there["quantity"], &there["price"]], [8, 2_000], "{what}: the price still follows");
        let story = world.events_of(product).await.pop().unwrap().story;
        assert!(story.contains("states no usable stock"), "{what}: {story}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_components_change_reads_and_pushes_its_combos_and_pack_sizes() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let add = |name: &str, variants: Value| omni.add_product(&json!({"name": name, "variants": variants})).unwrap();
    let root = add("Hộp", json!([{"sku": "HOP", "retail": 10_000, "stock": {"58001": 20}}]));
    add("Ly", json!([{"sku": "LY", "retail": 5_000, "stock": {"58001": 100}}]));
    let carton = add("Thùng", json!([{"sku": "THUNG", "retail": 55_000, "pack": {"sku": "HOP", "quantity": 6}}]));
    let set = [json!({"sku": "HOP", "quantity": 2}), json!({"sku": "LY", "quantity": 1})];
    let combo = add("Bộ", json!([{"sku": "BO", "retail": 24_000, "combo": set}]));
    add("Quà", json!([{"sku": "QUA", "retail": 60_000, "combo": [{"sku": "THUNG", "quantity": 1}]}]));
    add("Khác", json!([{"sku": "KHAC", "retail": 1_000, "stock": {"58001": 1}}]));
    world.quiet().await;
    let stocks = || ["HOP", "THUNG", "BO", "QUA"].map(|sku| world.on_abaha(sku)["quantity"].as_i64().unwrap());
    assert_eq!(stocks(), [20, 3, 10, 3]);

    world.sandbox.clear_calls();
    omni.set_stock(omni.variant_by_sku("HOP").unwrap(), 58_001, 13).unwrap();
    world.quiet().await;
    assert_eq!(stocks(), [13, 2, 6, 2], "{:#?}", world.events().await);
    assert_eq!(world.writing_calls(Api::Abaha), 4, "each once: {:#?}", world.sandbox.calls());
    for dependent in [carton, combo] {
        assert_eq!(world.events_of(dependent).await.pop().unwrap().topic, "component");
        assert_eq!(world.sandbox.call_count(Api::Omni, "GET", &format!("products/{dependent}$")), 1);
    }
    assert_eq!(world.events_of(root).await.len(), 2, "the component itself is not sent round");

    // A change that leaves the combos' own stock alone is read and costs no writing call of theirs.
    world.sandbox.clear_calls();
    omni.set_price(omni.variant_by_sku("HOP").unwrap(), dong(11_000)).unwrap();
    world.quiet().await;
    assert_eq!(world.writing_calls(Api::Abaha), 1, "{:#?}", world.sandbox.calls());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_combo_that_is_new_while_its_component_changes_ends_with_the_right_stock() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    omni.add_product(&json!({"name": "Hộp", "variants": [{"sku": "HOP", "retail": 10_000, "stock": {"58001": 20}}]}))
        .unwrap();
    world.quiet().await;
    // The combo's webhook is slow: the component's change is through before anybody knows that a combo holds it.
    let delay = sapo_sync::sandbox::WebhookFault {
        api: Api::Omni,
        topic: "products/create".into(),
        skip: 0,
        times: 1,
        effect: sapo_sync::sandbox::WebhookEffect::Reorder,
    };
    world.sandbox.faults().webhook(delay);
    omni.add_product(
        &json!({"name": "Bộ", "variants": [{"sku": "BO", "retail": 24_000, "combo": [{"sku": "HOP", "quantity": 2}]}]}),
    )
    .unwrap();
    omni.set_stock(omni.variant_by_sku("HOP").unwrap(), 58_001, 6).unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("BO")["quantity"], 3, "{:#?}", world.events().await);
    world.finish(&[]).await;
}
