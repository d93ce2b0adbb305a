//! What `connect list` and `connect show` tell of a web: what it keeps in step, and what is in error there.

use serde_json::{Value, json};

use crate::harness::World;
use crate::links_commands::sapo_sync;
use crate::web_orders::{linked, order_of, place};
use crate::web_world::{connections, web_connection, webs};

/// The one row that a command tells of the web.
async fn told_of(world: &World, line: &str) -> Value {
    let (code, rows, told) = sapo_sync(world, line).await;
    assert_eq!(code, 0, "{line}: {told}");
    rows.into_iter().find(|row| row["name"] == "mau-web1").expect("a row of the web")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webs_errors_are_counted_with_or_without_a_link_and_its_products_are_told() {
    let world = webs(1, "").await;
    linked(&world, 1, "AT-S").await;
    let row = told_of(&world, "connect list --json").await;
    assert_eq!((&row["linked"], &row["link_errors"]), (&json!(1), &json!(0)));
    assert_eq!(row["syncs"], json!(["products", "customers", "orders"]));

    // A SKU that is there twice on the web is linked with neither, and an order of one of them waits.
    let (one, _) = (world.on_web(1, "TWICE", 120_000, 5), world.on_web(1, "TWICE", 120_000, 5));
    world.quiet().await;
    world.on_pos("TWICE", 120_000, 5);
    world.quiet().await;
    place(&world, 1, order_of(one, 1));
    world.quiet().await;

    let list = format!("links list --connection {} --state error --limit 500 --json", web_connection(1));
    let in_error = async |more: &str, what: &str| {
        let (code, rows, told) = sapo_sync(&world, &format!("{list}{more}")).await;
        assert_eq!(code, 0, "{told}");
        rows.iter().filter(|row| row["type"] == what).count()
    };
    let (variants, orders) = (in_error("", "variant").await, in_error(" --kind order", "order").await);
    assert_eq!((variants, orders), (3, 1));
    for line in ["connect list --json", "connect show mau-web1 --json"] {
        let row = told_of(&world, line).await;
        assert_eq!(row["link_errors"], json!(variants + orders), "{line}: {row:#}");
        assert_eq!((&row["variant_errors"], &row["order_errors"]), (&json!(variants), &json!(orders)), "{line}");
    }

    world.apply(&connections(&world.sandbox, (true, false, false), "")).await;
    assert_eq!(told_of(&world, "connect list --json").await["syncs"], json!(["products"]));
    let (code, _, told) = sapo_sync(&world, "connect list").await;
    let row = told.lines().find(|line| line.contains("mau-web1")).unwrap_or_default();
    assert!(code == 0 && row.contains("Sản phẩm") && !row.contains("Đơn hàng"), "{told}");
    world.finish(&["parked:unlinked_product"]).await;
}
