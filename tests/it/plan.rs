//! The plan: what an import or a reconcile would do, with nothing written.

use sapo_sync::sandbox::{Api, PlaceAbahaOrder, PlaceOrder};
use sapo_sync::store::links::LinkFilter;
use serde_json::json;

use crate::harness::{World, dong};
use crate::import::{expected, found, seeded, summary};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_writes_nothing_and_its_rows_are_what_the_import_then_does() {
    let world = World::with(seeded(60, 40)).await;
    // What changes from here on is known to nobody but the two systems.
    world.sandbox.stop_webhooks();
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let (shop, _) = expected(&world);
    for (number, sku) in shop.keys().step_by(5).enumerate() {
        abaha.add_product(sku, "Có sẵn", 5, 5).unwrap();
        if number == 0 {
            abaha.add_product(sku, "Hai lần", 5, 5).unwrap();
        }
    }
    let sold = shop.keys().nth(1).unwrap();
    let variant = omni.variant_by_sku(sold).unwrap();
    let person = omni.add_customer("Lê Văn Thử", Some("0912000001"));
    let line = vec![(variant, rust_decimal::Decimal::ONE, dong(10_000))];
    omni.place_order(PlaceOrder { customer_id: Some(person), lines: line.clone(), ..PlaceOrder::default() }).unwrap();
    let old = Some("2026-01-02T03:04:05Z".to_owned());
    omni.place_order(PlaceOrder { customer_id: Some(person), lines: line, created_on: old, ..PlaceOrder::default() })
        .unwrap();
    let lines = vec![(sold.clone(), rust_decimal::Decimal::ONE, dong(10_000))];
    abaha
        .place_order(&PlaceAbahaOrder {
            tel: "0912000002".into(),
            name: "Trần Thị Mẫu".into(),
            lines,
            ..PlaceAbahaOrder::default()
        })
        .unwrap();
    let (before_products, before_orders) = (abaha.products(), (omni.orders(), abaha.orders()));

    world.sandbox.clear_calls();
    let plan = world.run_job("plan").await;
    let planned = summary(&plan);
    assert_eq!(world.writing_calls(Api::Abaha) + world.writing_calls(Api::Omni), 0, "{:#?}", world.sandbox.calls());
    assert_eq!((abaha.products(), (omni.orders(), abaha.orders())), (before_products, before_orders));
    let all = LinkFilter { limit: 10, ..LinkFilter::default() };
    assert!(world.store().list_links(&all).await.unwrap().is_empty(), "nothing is linked either");
    assert_eq!((planned.events, world.events().await.len()), (0, 0));
    assert!(!abaha.products().is_empty() && abaha.categories().is_empty());

    let before = abaha.products().len();
    let import = world.run_job("import").await;
    world.quiet().await;
    assert_eq!(world.job_rows(&plan).await, world.job_rows(&import).await);
    let done = summary(&import);
    assert_eq!(planned.found, done.found);
    assert_eq!(abaha.products().len() - before, planned.found["product.create"] as usize);
    assert_eq!(planned.found["product.error"], 1, "the SKU that is there twice");
    assert_eq!(abaha.categories().len(), planned.found["category.create"] as usize);
    assert_eq!(planned.found["order.create"], 2);
    assert!(!planned.found.contains_key("order.skip"), "orders from before the start line are not even read");
    assert_eq!((omni.orders().len(), abaha.orders().len()), (3, 2));
    let doubled = shop.keys().next().unwrap();
    let mut shown = shop.clone();
    shown.remove(doubled);
    let there: std::collections::BTreeMap<_, _> = abaha
        .products()
        .iter()
        .filter(|product| product["product_code"] != **doubled)
        .map(|product| (product["product_code"].as_str().unwrap().to_owned(), product["price"].as_i64().unwrap()))
        .collect();
    assert_eq!(there, shown.into_iter().map(|(sku, shown)| (sku, shown.1)).collect());
    // Where its order came first, the doubled SKU holds nothing else up.
    let left: Vec<&str> = world.parked().await.iter().map(|_| "parked:ambiguous").collect();
    world.finish(&left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_two_equal_sides_is_empty_and_names_what_was_changed_since() {
    let world = World::with(seeded(30, 10)).await;
    assert!(!summary(&world.run_job("import").await).failed());
    let acts = |job: &[(String, String, String, String)]| -> Vec<String> {
        job.iter().filter(|row| row.2 != "skip").map(|row| format!("{} {} {}", row.2, row.0, row.1)).collect()
    };
    let plan = world.run_job("plan").await;
    assert_eq!(acts(&world.job_rows(&plan).await), Vec::<String>::new());

    world.sandbox.stop_webhooks();
    let (shop, _) = expected(&world);
    let (sku, other) = (shop.keys().next().unwrap(), shop.keys().nth(1).unwrap());
    world.sandbox.omni().set_price(world.sandbox.omni().variant_by_sku(sku).unwrap(), dong(1)).unwrap();
    let there = world.on_abaha(other)["id"].as_u64().unwrap();
    world.sandbox.abaha().edit_product(there, &json!({"quantity": 123_456})).unwrap();
    let category = world.sandbox.omni().categories()[0].clone();
    world.sandbox.omni().rename_category(category["id"].as_u64().unwrap(), "Tên mới").unwrap();
    let plan = world.run_job("plan").await;
    let mut named = acts(&world.job_rows(&plan).await);
    named.sort();
    let mut expected_rows =
        vec!["update category Tên mới".to_owned(), format!("update product {sku}"), format!("update product {other}")];
    expected_rows.sort();
    assert_eq!(named, expected_rows);
    let reasons = world.store().job_rows(&plan.id, 0, 1_000).await.unwrap();
    assert!(
        reasons.iter().any(|row| row.object_id == *other && row.reason.contains("123456")),
        "both sides are told: {reasons:#?}"
    );
    assert_ne!(found(&world), expected(&world).0, "the plan mends nothing");
    world.finish(&[]).await;
}
