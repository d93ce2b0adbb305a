//! The main job, once in each direction.

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, PlaceAbahaOrder, PlaceOrder};
use serde_json::json;

use crate::harness::{World, dong};

#[tokio::test(flavor = "multi_thread")]
async fn a_product_and_an_order_each_way_reach_the_other_side() {
    let world = World::new().await;
    let product = world
        .sandbox
        .omni()
        .add_product(
            &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
        )
        .unwrap();
    world.quiet().await;
    println!("{:#?}", world.events().await);
    assert_eq!(world.outcome(product).await, ("done".into(), "created".into()));
    let there = world.sandbox.abaha().product_by_code("AT-S");
    assert_eq!(there.len(), 1);
    assert_eq!(there[0]["quantity"], 10);

    let order = world
        .sandbox
        .abaha()
        .place_order(&PlaceAbahaOrder {
            tel: "0912000001".into(),
            name: "Trần Thị Mẫu".into(),
            lines: vec![("AT-S".into(), Decimal::TWO, dong(120_000))],
            paid: true,
            ..PlaceAbahaOrder::default()
        })
        .unwrap();
    world.quiet().await;
    let code = world.sandbox.abaha().order(order).unwrap()["cart_code"].as_str().unwrap().to_owned();
    let made = world.sandbox.omni().order_by_reference(&code);
    assert_eq!(made.len(), 1, "{:#?}", world.events().await);
    assert_eq!(made[0]["total"], 240_000);
    assert_eq!(made[0]["payment_status"], "paid");

    let customer = world.sandbox.omni().add_customer("Lê Văn Thử", Some("+84 912 000 009"));
    let variant = world.sandbox.omni().variant_by_sku("AT-S").unwrap();
    let pos = world
        .sandbox
        .omni()
        .place_order(PlaceOrder {
            customer_id: Some(customer),
            lines: vec![(variant, Decimal::ONE, dong(120_000))],
            ..PlaceOrder::default()
        })
        .unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().orders_by_pos_id(pos).len(), 1, "{:#?}", world.events_of(pos).await);
    assert_eq!(world.sandbox.call_count(Api::Omni, "POST", "orders$"), 1);
    world.sandbox.omni().cancel(pos).unwrap();
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().orders_by_pos_id(pos)[0]["status"], 0);
    world.finish(&[]).await;
}
