//! A body captured on its way and sent again with other headers, and a state database that is away.

use std::time::Duration;

use rust_decimal::Decimal;
use sapo_sync::sandbox::{Omni, PlaceAbahaOrder, PlaceOrder, Sandbox, SandboxConfig};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::harness::{Setup, World, connections_of, dong, until};
use crate::wire::{self, OMNI, SECRET, post, sign};

/// A shop with a product, a customer and an order each way, all linked.
async fn linked(world: &World) -> (u64, u64, u64) {
    let omni = world.sandbox.omni();
    let product = omni
        .add_product(
            &json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]}),
        )
        .unwrap();
    let customer = omni.add_customer("Lê Văn Thử", Some("0912000009"));
    world.quiet().await;
    let line = |omni: Omni<'_>| vec![(omni.variant_by_sku("AT-S").unwrap(), Decimal::ONE, dong(120_000))];
    let order = omni
        .place_order(PlaceOrder {
            customer_id: Some(customer),
            phone: Some("0912000777".into()),
            lines: line(omni),
            ..PlaceOrder::default()
        })
        .unwrap();
    world
        .sandbox
        .abaha()
        .place_order(&PlaceAbahaOrder {
            lines: vec![("AT-S".into(), Decimal::ONE, dong(120_000))],
            ..PlaceAbahaOrder::default()
        })
        .unwrap();
    world.quiet().await;
    (product, customer, order)
}

/// Everything that both sides hold.
fn everything(world: &World) -> Value {
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    json!([
        omni.products(),
        omni.customers(),
        omni.orders(),
        abaha.products(),
        abaha.customers(),
        abaha.orders(),
        abaha.categories()
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_body_sent_again_with_another_topic_version_or_object_id_changes_nothing() {
    let world = World::new().await;
    let (product, customer, order) = linked(&world).await;
    let omni = world.sandbox.omni();
    let bodies =
        [("product", omni.product(product)), ("customer", omni.customer(customer)), ("order", omni.order(order))];
    let before = everything(&world);
    let writes = || world.sandbox.calls().iter().filter(|call| call.writing).count();
    let writes_before = writes();
    let topics = [
        "products/create",
        "products/update",
        "products/delete",
        "inventories/update",
        "customers/create",
        "customers/update",
        "customers/delete",
        "orders/create",
        "orders/update",
        "orders/cancelled",
        "orders/delete",
        "orders/fulfilled",
        "order_returns/create",
        "refunds/create",
        "app/uninstalled",
        "themes/publish",
    ];
    for (what, body) in bodies {
        let body = body.unwrap().to_string().into_bytes();
        let proof = sign(SECRET, &body);
        for topic in topics {
            for (version, object) in [("1", "1"), ("99999999999", "14800001")] {
                let headers = [
                    ("x-sapo-hmac-sha256", proof.as_str()),
                    ("x-sapo-topic", topic),
                    ("x-event-version", version),
                    ("x-sapo-object-id", object),
                    ("x-sapo-order-id", object),
                ];
                assert_eq!(post(&world.url(), OMNI, &headers, &body).await.status, 200, "{what} as {topic}");
            }
            world.quiet().await;
            let now = everything(&world);
            assert_eq!(now, before, "{what} as {topic}: {:#?}", world.events().await.last());
        }
    }
    assert_eq!(writes(), writes_before, "no writing call was made");
    let dead: Vec<String> = world.dead().await.into_iter().map(|letter| format!("dead:{}", letter.code)).collect();
    assert!(dead.iter().all(|letter| letter == "dead:unreadable"), "{:#?}", world.dead().await);
    world.finish(&dead.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_body_sent_to_another_shop_of_the_same_app_is_a_401() {
    let world = World::new().await;
    let other = Sandbox::start(SandboxConfig {
        alias: "cuahangkhac".into(),
        tenant_id: 70_002,
        site: "502".into(),
        ..world.sandbox.config().clone()
    })
    .await
    .unwrap();
    world.apply(&connections_of(&other, "khac-abaha", (true, true, true), "")).await;
    let (product, ..) = linked(&world).await;
    let body = world.sandbox.omni().product(product).unwrap().to_string().into_bytes();
    let events = world.events().await.len();
    for topic in ["products/update", "orders/update", "app/uninstalled"] {
        // Both shops share the app's secret, so the signature is right; the body names the other tenant.
        assert_eq!(
            wire::omni_to(&world.url(), "/webhooks/omni/cuahangkhac", topic, &body).await.status,
            401,
            "{topic}"
        );
    }
    world.quiet().await;
    assert_eq!(world.events().await.len(), events);
    // A body that names no tenant cannot be told from one of the other shop: nothing in it is believed.
    let mut anonymous: Value = serde_json::from_slice(&body).unwrap();
    anonymous.as_object_mut().unwrap().remove("tenant_id");
    let anonymous = anonymous.to_string().into_bytes();
    assert_eq!(
        wire::omni_to(&world.url(), "/webhooks/omni/cuahangkhac", "products/update", &anonymous).await.status,
        200
    );
    world.quiet().await;
    assert!(
        other.abaha().products().is_empty(),
        "the other shop has no such product: {:#?}",
        world.events().await.last()
    );
    other.stop().await;
    world.finish(&[]).await;
}

/// Takes every table away or brings them back: each statement of the program fails, as with a database that is gone.
async fn tables(world: &World, away: bool) {
    let mut connection = sqlx::AnyConnection::connect(world.config.database_url.expose_secret()).await.unwrap();
    let (list, begin) = if world.config.is_scaled() {
        (
            "select cast(tablename as text) from pg_tables where schemaname = 'public' and tablename not like '\\_sqlx%'",
            "begin; ",
        )
    } else {
        sqlx::query("pragma busy_timeout = 10000").execute(&mut connection).await.unwrap();
        (
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and name not like '_sqlx%'",
            "begin immediate; ",
        )
    };
    let names: Vec<(String,)> = sqlx::query_as(list).fetch_all(&mut connection).await.unwrap();
    assert!(names.len() > 10);
    let mut all = String::from(begin);
    for (name,) in names {
        let (from, to) = if away {
            (name.clone(), format!("away_{name}"))
        } else {
            (name.clone(), name.trim_start_matches("away_").to_owned())
        };
        all = all + "alter table " + &from + " rename to " + &to + "; ";
    }
    let all = all + "commit";
    while let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(all.clone())).execute(&mut connection).await {
        // The program reads two of them in another order, and the server ends the one or the other.
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("40P01"), "{error}");
        sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_taken_while_the_state_database_is_away_and_settled_when_it_is_back() {
    let world = World::new().await;
    linked(&world).await;
    let calls = world.sandbox.calls().len();
    tables(&world, true).await;
    let variant = world.sandbox.omni().variant_by_sku("AT-S").unwrap();
    for stock in 20..30 {
        world.sandbox.omni().set_stock(variant, 58_001, dong(stock)).unwrap();
        world
            .sandbox
            .abaha()
            .place_order(&PlaceAbahaOrder {
                tel: format!("09120000{stock}"),
                lines: vec![("AT-S".into(), Decimal::ONE, dong(120_000))],
                ..PlaceAbahaOrder::default()
            })
            .unwrap();
    }
    world.sandbox.webhooks_settled().await;
    let sent = world.sandbox.webhooks_sent();
    assert!(sent.iter().all(|sent| sent.taken() && sent.try_no == 1), "every webhook was taken at once: {sent:#?}");
    assert_eq!(post(&world.url(), OMNI, &[], b"{}").await.status, 401, "and strangers are refused as ever");
    // What a worker gives back is for a moment in nobody's hands.
    until("they lie in the queue", async || world.depth().await.events >= 20).await;
    assert!(world.running().is_healthy());
    // The worker probes, and does not hammer: without the state nothing may be sent anywhere.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.sandbox.calls().len(), calls);
    tables(&world, false).await;
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"], 29);
    assert_eq!(world.sandbox.omni().orders().len(), 2 + 10);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_with_the_state_database_closed_is_settled_after_a_restart() {
    let mut world = World::with(Setup::default()).await;
    linked(&world).await;
    world.store().close().await;
    let variant = world.sandbox.omni().variant_by_sku("AT-S").unwrap();
    world.sandbox.omni().set_stock(variant, 58_001, dong(77)).unwrap();
    world.sandbox.webhooks_settled().await;
    assert!(world.sandbox.webhooks_sent().iter().all(|sent| sent.try_no == 1 && sent.taken()));
    // Connections older than 15 minutes are still used; readiness tells, and an unknown source may be a new one.
    assert_eq!(wire::get(&world.url(), "/readyz").await.status, 200);
    world.store().clock().advance(Duration::from_mins(16));
    let unready = wire::get(&world.url(), "/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(unready.body.contains("15 minutes"), "{}", unready.body);
    assert_eq!(wire::get(&world.url(), "/healthz").await.status, 200);
    assert_eq!(wire::omni_to(&world.url(), "/webhooks/omni/khongco", "themes/publish", b"{}").await.status, 503);
    assert_eq!(post(&world.url(), OMNI, &[], b"{}").await.status, 401);
    assert_eq!(wire::omni(&world, "themes/publish", b"{}").await.status, 200);
    world.stop().await;
    world.start().await;
    until("the stock is pushed", async || world.sandbox.abaha().product_by_code("AT-S")[0]["quantity"] == 77).await;
    world.finish(&[]).await;
}
