//! Products and categories, Sapo → Abaha: every row of the table, and nothing that is not in it.

use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, WebhookEffect, WebhookFault};
use sapo_sync::store::links::LinkKind;
use serde_json::{Value, json};

use crate::harness::{CONNECTION, Setup, World, dong};

/// The fields that we own of a product on Abaha: status, list price, selling price, stock.
pub fn owned(product: &Value) -> [&Value; 4] {
    ["status", "price", "price_sale", "quantity"].map(|field| &product[field])
}

/// An event that carries a state of an Omni product, as its webhook would.
pub fn state(world: &World, body: &Value) -> Event {
    let key = ObjectKey {
        connection: CONNECTION.into(),
        source: System::Omni,
        kind: Kind::Product,
        object_id: body["id"].to_string(),
    };
    let now = world.store().clock().now();
    let alias = world.sandbox.config().alias.clone();
    let mut event = Event::new(key, alias, "products/update", Shape::Whole, now, body.to_string().into());
    event.version = body["modified_on"].as_str().and_then(sapo_sync::domain::time::parse);
    event
}

/// Moves a state's time by some seconds.
pub fn moved(mut body: Value, seconds: i64) -> Value {
    let time: jiff::Timestamp = body["modified_on"].as_str().unwrap().parse().unwrap();
    let time = time + jiff::SignedDuration::from_secs(seconds);
    body["modified_on"] = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_product_is_made_as_the_table_says_and_not_without_a_price() {
    let world = World::new().await;
    let cases = [
        ("in trade", json!({"retail": 120_000}), "active", Some((1, 120_000))),
        ("product stopped", json!({"retail": 120_000}), "inactive", Some((0, 120_000))),
        ("variant stopped", json!({"retail": 120_000, "status": "inactive"}), "active", Some((0, 120_000))),
        ("cheap wholesale", json!({"retail": 90_000, "wholesale": 60_000}), "active", Some((1, 90_000))),
        ("dear wholesale", json!({"retail": 90_000, "wholesale": 95_000}), "active", Some((1, 90_000))),
        ("no retail price", json!({"retail": null, "wholesale": 60_000}), "active", None),
        ("no price at all", json!({}), "active", None),
        ("retail price 0", json!({"retail": 0}), "active", None),
    ];
    let mut made = Vec::new();
    for (number, (what, variant, status, expected)) in cases.iter().enumerate() {
        let mut variant = variant.clone();
        variant["sku"] = format!("SP-{number}").into();
        variant["stock"] = json!({"58001": 7, "58002": 30});
        let product = json!({"name": what, "status": status, "variants": [variant]});
        made.push(world.sandbox.omni().add_product(&product).unwrap());
        world.quiet().await;
        let there = world.sandbox.abaha().product_by_code(&format!("SP-{number}"));
        let Some((shown, price)) = expected else {
            assert!(there.is_empty(), "{what}");
            assert_eq!(world.outcome(made[number]).await, ("skipped".into(), "not_pushed".into()), "{what}");
            let event = world.events_of(made[number]).await.pop().unwrap();
            assert!(event.story.contains("Giá bán lẻ"), "{what}: the story says why: {}", event.story);
            continue;
        };
        assert_eq!(there.len(), 1, "{what}");
        assert_eq!(owned(&there[0]), [&json!(shown), &json!(price), &json!(price), &json!(7)], "{what}");
        assert_eq!(there[0]["name"], *what);
    }
    // One that gets its price later is made then.
    let variant = world.sandbox.omni().variant_by_sku("SP-5").unwrap();
    world.sandbox.omni().set_price(variant, dong(45_000)).unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("SP-5")["price"], 45_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_product_follows_sapo_and_keeps_its_price_where_sapo_has_none() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let variants = json!([{"sku": "A-S", "retail": 100_000, "stock": {"58001": 5}}, {"sku": "A-M", "option": "M", "retail": 100_000}]);
    let product = omni.add_product(&json!({"name": "Áo", "variants": variants})).unwrap();
    world.quiet().await;
    let small = omni.variant_by_sku("A-S").unwrap();
    let id = world.on_abaha("A-S")["id"].as_u64().unwrap();
    let expect = async |what: &str, shown: u64, price: u64, stock: i64| {
        world.quiet().await;
        assert_eq!(
            owned(&world.on_abaha("A-S")),
            [&json!(shown), &json!(price), &json!(price), &json!(stock)],
            "{what}"
        );
        assert_eq!(world.on_abaha("A-S")["id"], id, "{what}");
    };
    omni.set_price(small, dong(110_000)).unwrap();
    expect("another price", 1, 110_000, 5).await;
    omni.set_price(small, None).unwrap();
    expect("a price that is gone", 1, 110_000, 5).await;
    omni.set_stock(small, 58_001, 4).unwrap();
    expect("stock without a price", 1, 110_000, 4).await;
    omni.set_price(small, dong(0)).unwrap();
    expect("a price of 0", 1, 110_000, 4).await;
    omni.set_active(product, false).unwrap();
    expect("stopped without a price", 0, 110_000, 4).await;
    omni.set_active(product, true).unwrap();
    omni.set_price(small, dong(90_000)).unwrap();
    expect("in trade again", 1, 90_000, 4).await;
    omni.change_product(product, |shape| shape["variants"][0]["status"] = "inactive".into()).unwrap();
    expect("the variant alone stopped", 0, 90_000, 4).await;
    assert_eq!(world.on_abaha("A-M")["status"], 1, "its neighbour is still in trade");
    // A price field that is not there at all, as some bodies have it.
    let mut body = moved(omni.product(product).unwrap(), 1);
    let variant = body["variants"][0].as_object_mut().unwrap();
    variant.remove("variant_retail_price");
    variant.remove("variant_prices");
    variant["status"] = "active".into();
    world.publish(&state(&world, &body)).await;
    expect("an absent price", 1, 90_000, 4).await;
    assert_eq!(abaha.products().len(), 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_on_sapo_is_hidden_and_its_link_says_so() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let two = json!([{"sku": "X-1", "retail": 1_000}, {"sku": "X-2", "option": "M", "retail": 1_000}]);
    let product = omni.add_product(&json!({"name": "X", "variants": two})).unwrap();
    world.quiet().await;
    let variant = omni.variant_by_sku("X-2").unwrap().to_string();
    let link = async |variant: &str| {
        world.store().link_by_sapo(CONNECTION, LinkKind::Product, variant).await.unwrap().unwrap()
    };

    // Only a read makes a deletion believed.
    let mut rumour = state(&world, &json!({"id": product}));
    rumour.shape = Shape::Gone;
    rumour.topic = "products/delete".into();
    world.publish(&rumour).await;
    world.quiet().await;
    assert_eq!(world.on_abaha("X-2")["status"], 1, "it is still there, as a read has shown");

    // A variant that its product does not have any more.
    let mut body = moved(omni.product(product).unwrap(), 5);
    body["variants"].as_array_mut().unwrap().remove(1);
    world.publish(&state(&world, &body)).await;
    world.quiet().await;
    assert_eq!([&world.on_abaha("X-1")["status"], &world.on_abaha("X-2")["status"]], [1, 0]);
    assert_eq!(link(&variant).await.code.as_deref(), Some("deleted"));

    let first = omni.variant_by_sku("X-1").unwrap().to_string();
    omni.delete_product(product).unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(product).await, ("done".into(), "hidden".into()));
    let there = world.on_abaha("X-1");
    assert_eq!([&there["status"], &there["price"]], [0, 1_000], "hidden, and otherwise as it was");
    let link = link(&first).await;
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("error", Some("deleted")));
    world.sandbox.clear_calls();
    world.publish(&rumour_again(rumour)).await;
    world.quiet().await;
    assert_eq!(world.writing_calls(Api::Abaha), 0, "it is hidden once");
    world.finish(&[]).await;
}

fn rumour_again(mut event: Event) -> Event {
    event.id = uuid::Uuid::now_v7();
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn description_and_images_are_given_on_creation_only_and_nothing_else_is_ever_written() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let image = "https://images.example/1.jpg";
    let given = json!({"name": "Nón", "category": "Phụ kiện", "description": "<p>Nón lá</p>", "image": image, "tags": "he",
        "variants": [{"sku": "NON", "retail": 50_000, "stock": {"58001": 3}}]});
    let product = omni.add_product(&given).unwrap();
    world.quiet().await;
    let made = world.on_abaha("NON");
    assert_eq!([&made["description"], &made["images"]], [&json!("<p>Nón lá</p>"), &json!([image])]);

    // The site's people give it other words and pictures; Sapo changes everything.
    let theirs = json!({"description": "Của chúng tôi", "images": ["https://images.example/2.jpg"]});
    abaha.edit_product(made["id"].as_u64().unwrap(), &theirs).unwrap();
    omni.change_product(product, |shape| {
        shape["description"] = "khác".into();
        shape["tags"] = "dong".into();
        shape["name"] = "Nón mới".into();
        let variant = &mut shape["variants"][0];
        variant["name"] = "Nón mới".into();
        variant["barcode"] = "893000".into();
        variant["sku"] = "NON-2".into();
        variant["variant_retail_price"] = 60_000.into();
    })
    .unwrap();
    world.quiet().await;
    let now = abaha.products().remove(0);
    let mut expected = made;
    expected["description"] = theirs["description"].clone();
    expected["images"] = theirs["images"].clone();
    for (field, value) in [("name", json!("Nón mới")), ("price", json!(60_000)), ("price_sale", json!(60_000))] {
        expected[field] = value;
    }
    expected["updated_at"] = now["updated_at"].clone();
    assert_eq!(now, expected, "the code stays as well: a rename of the SKU keeps the link");
    assert_eq!(abaha.products().len(), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_abaha_has_is_linked_by_its_sku_and_made_equal() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    // SKU on Sapo, code on Abaha, whether they are one.
    let cases = [
        ("MY/LAN/01", "MY/LAN/01", true),
        ("  AT-S ", "AT-S", true),
        ("A\u{301}O-1", "\u{c1}O-1", true),
        ("ao-2", "AO-2", false),
        ("MY/LAN /02", "MY/LAN/02", false),
        ("QUAN_3", "QUAN-3", false),
    ];
    for (sku, code, same) in cases {
        let there = abaha.add_product(code, "Hàng có sẵn", 7, 1).unwrap();
        let before = abaha.products().len();
        // Without a price it is not pushed yet; with it comes the SKU just as somebody typed it.
        let product = omni.add_product(&json!({"name": "Hàng", "variants": [{"stock": {"58001": 9}}]})).unwrap();
        omni.change_product(product, |shape| {
            shape["variants"][0]["sku"] = sku.into();
            shape["variants"][0]["variant_retail_price"] = 80_000.into();
        })
        .unwrap();
        world.quiet().await;
        let found = abaha.products().into_iter().find(|product| product["id"] == there).unwrap();
        let links = world.store().links_by_key(CONNECTION, LinkKind::Product, code).await.unwrap();
        let linked = links.iter().any(|link| link.channel_id == there.to_string());
        assert_eq!(linked, same, "{sku:?} and {code:?}");
        if same {
            assert_eq!(owned(&found), [&json!(1), &json!(80_000), &json!(80_000), &json!(9)], "{sku:?}");
        } else {
            assert_eq!(owned(&found), [&json!(1), &json!(7), &json!(7), &json!(1)], "{sku:?}: left alone");
            assert!(abaha.products().len() > before, "{sku:?}: one of its own is made");
        }
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_abaha_has_twice_is_refused_with_its_candidates_until_one_is_left() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let one = abaha.add_product("DUP", "Một", 5, 1).unwrap();
    let other = abaha.add_product("DUP", "Hai", 6, 2).unwrap();
    let two = json!([{"sku": "DUP", "retail": 9_000}, {"sku": "SOLE", "option": "M", "retail": 9_000}]);
    omni.add_product(&json!({"name": "Đôi", "variants": two})).unwrap();
    world.quiet().await;
    let parked = world.parked().await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].cause, "ambiguous");
    let named = [one, other].iter().all(|id| parked[0].reason.contains(&id.to_string()));
    assert!(named && parked[0].reason.contains("DUP"), "{}", parked[0].reason);
    assert_eq!(abaha.products()[..2].iter().map(|product| &product["price"]).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(world.on_abaha("SOLE")["price"], 9_000, "its neighbour is not held up");

    abaha.edit_product(other, &json!({"product_code": "DUP-2"})).unwrap();
    world.store().release_now(Some(CONNECTION), Some("ambiguous"), None).await.unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("DUP")["id"], one);
    assert_eq!(world.on_abaha("DUP")["price"], 9_000);
    // One that turns up later breaks no link.
    abaha.add_product("DUP", "Ba", 7, 3).unwrap();
    omni.set_price(omni.variant_by_sku("DUP").unwrap(), dong(9_500)).unwrap();
    world.quiet().await;
    assert_eq!(abaha.product_by_code("DUP").iter().map(|product| &product["price"]).collect::<Vec<_>>(), [9_500, 7]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_linked_to_another_variant_is_refused_and_shown() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let first = omni.add_product(&json!({"name": "Cũ", "variants": [{"sku": "SWAP", "retail": 1_000}]})).unwrap();
    world.quiet().await;
    let there = world.on_abaha("SWAP")["id"].as_u64().unwrap();
    // The SKU moves to another variant on Sapo; the ids are the link.
    omni.change_product(first, |shape| shape["variants"][0]["sku"] = "OLD".into()).unwrap();
    omni.add_product(&json!({"name": "Mới", "variants": [{"sku": "SWAP", "retail": 2_000}]})).unwrap();
    world.quiet().await;
    let parked = world.parked().await;
    assert!(parked.len() == 1 && parked[0].reason.contains(&there.to_string()), "{parked:#?}");
    assert_eq!(world.on_abaha("SWAP")["price"], 1_000);
    // The site's people rename theirs as well: then the SKU is free, and a product of its own is made or refused, but
    // never joined with the other's.
    abaha.edit_product(there, &json!({"product_code": "OLD"})).unwrap();
    world.store().release_now(Some(CONNECTION), Some("ambiguous"), None).await.unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("OLD")["price"], 1_000);
    assert_eq!(world.on_abaha("SWAP")["price"], 2_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_is_made_once_and_renamed_once() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    for number in 0..12 {
        let variants = json!([{"sku": format!("C-{number}"), "retail": 1_000}]);
        omni.add_product(&json!({"name": format!("Áo {number}"), "category": "Áo", "variants": variants})).unwrap();
    }
    world.quiet().await;
    let made = abaha.categories();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["name"], "Áo");
    assert!(abaha.products().iter().all(|product| product["category_id"] == made[0]["id"]));
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "category/create$"), 1);

    world.sandbox.clear_calls();
    let id = omni.categories()[0]["id"].as_u64().unwrap();
    // All twelve products are told of it while the call of the first is still under way.
    let effect = ApiEffect::Hold("rename".into());
    let hold = ApiFault { api: Api::Abaha, method: None, path: "category/update$".into(), skip: 0, times: 1, effect };
    world.sandbox.faults().api(hold);
    omni.rename_category(id, "Áo mùa hè").unwrap();
    world.sandbox.faults().reached("rename").await;
    world.sandbox.webhooks_settled().await;
    world.eventually("eleven are settled", async || world.events().await.len() >= 12 + 11).await;
    world.sandbox.faults().release("rename");
    world.quiet().await;
    assert_eq!(abaha.categories()[0]["name"], "Áo mùa hè");
    assert_eq!(world.writing_calls(Api::Abaha), 1, "{:#?}", world.sandbox.calls());
    assert_eq!(abaha.categories().len(), 1);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_product_never_gives_a_category_its_old_name_back() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    for sku in ["L-1", "L-2"] {
        omni.add_product(&json!({"name": sku, "category": "Cũ", "variants": [{"sku": sku, "retail": 1_000}]})).unwrap();
    }
    world.quiet().await;
    let late = moved(omni.product(omni.product_ids()[0]).unwrap(), 1);
    let drop = WebhookFault { api: Api::Omni, topic: String::new(), skip: 0, times: 1, effect: WebhookEffect::Drop };
    world.sandbox.faults().webhook(drop);
    omni.rename_category(omni.categories()[0]["id"].as_u64().unwrap(), "Mới").unwrap();
    world.quiet().await;
    assert_eq!(abaha.categories()[0]["name"], "Mới");
    world.publish(&state(&world, &late)).await;
    world.quiet().await;
    assert_eq!(abaha.categories()[0]["name"], "Mới");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_off_sends_nothing_and_is_shown() {
    let world = World::with(Setup { switches: (false, false, true), ..Setup::default() }).await;
    let product = json!({"name": "Áo", "category": "Áo", "variants": [{"sku": "OFF", "retail": 1_000}]});
    let product = world.sandbox.omni().add_product(&product).unwrap();
    let customer = world.sandbox.omni().add_customer("Lê Văn Thử", Some("0912000001"));
    world.quiet().await;
    for id in [product, customer] {
        assert_eq!(world.outcome(id).await, ("skipped".into(), "switch_off".into()));
    }
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "product"), 0);
    assert_eq!(world.writing_calls(Api::Abaha), 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_deleted_and_made_again_takes_its_place_on_abaha_once_more() {
    let world = World::new().await;
    let shirt = json!({"name": "Áo thun", "variants": [{"sku": "AT-S", "retail": 120_000, "stock": {"58001": 10}}]});
    let first = world.sandbox.omni().add_product(&shirt).unwrap();
    world.quiet().await;
    world.sandbox.omni().delete_product(first).unwrap();
    world.quiet().await;
    assert_eq!(world.on_abaha("AT-S")["status"], 0);
    let again = world.sandbox.omni().add_product(&shirt).unwrap();
    world.quiet().await;
    let there = world.on_abaha("AT-S");
    assert_eq!((&there["status"], &there["quantity"]), (&json!(1), &json!(10)), "{:#?}", world.events_of(again).await);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_deleted_on_abaha_is_told_and_one_made_there_again_with_its_sku_takes_its_place() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let made = |sku: &str| {
        omni.add_product(&json!({"name": sku, "variants": [{"sku": sku, "retail": 1_000}]})).unwrap();
    };
    made("BY-LETTER");
    made("BY-WALK");
    world.quiet().await;
    let id = |sku: &str| world.on_abaha(sku)["id"].as_u64().unwrap();
    let (first, second) = (id("BY-LETTER"), id("BY-WALK"));
    abaha.delete_product(first).unwrap();
    abaha.delete_product(second).unwrap();
    omni.set_price(omni.variant_by_sku("BY-LETTER").unwrap(), dong(2_000)).unwrap();
    world.quiet().await;
    let dead = world.dead().await;
    assert!(dead.len() == 1 && dead[0].code == "gone_on_channel" && dead[0].reason.contains("BY-LETTER"), "{dead:#?}");
    let job = world.run_job("reconcile").await;
    let rows = world.job_rows(&job).await;
    assert_eq!(
        rows.iter().filter(|row| row.3 == "gone_on_channel").count(),
        2,
        "nothing takes their places: {rows:#?}"
    );
    // Made there again, with what the site's people think is the price.
    let again = abaha.add_product("BY-LETTER", "Làm lại", dong(900), 3).unwrap();
    world.replay(&dead[0]).await;
    world.quiet().await;
    let there = world.on_abaha("BY-LETTER");
    assert_eq!((&there["id"], &there["price"]), (&json!(again), &json!(2_000)));
    let again = abaha.add_product("BY-WALK", "Làm lại", dong(900), 3).unwrap();
    world.run_job("reconcile").await;
    world.quiet().await;
    let there = world.on_abaha("BY-WALK");
    assert_eq!((&there["id"], &there["price"]), (&json!(again), &json!(1_000)));
    for sku in ["BY-LETTER", "BY-WALK"] {
        let variant = omni.variant_by_sku(sku).unwrap().to_string();
        let link = world.store().link_by_sapo(CONNECTION, LinkKind::Product, &variant).await.unwrap().unwrap();
        assert_eq!((link.channel_id, link.code), (id(sku).to_string(), None), "{sku}");
    }
    world.finish(&[]).await;
}
