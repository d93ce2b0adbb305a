//! What an action on links reaches and no more, what a link says of what is not pushed, what is found by what people
//! type, and what is answered where nothing can be done.

use rust_decimal::Decimal;
use sapo_sync::domain::connection::State;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, NewWebVariant};
use serde_json::{Value, json};

use crate::harness::World;
use crate::links_commands::sapo_sync;
use crate::web_import::row;
use crate::web_orders::{order_of, place};
use crate::web_world::{web_alias, web_connection, web_variant, webs};

/// The rows that `links list` tells of the first web, of one type.
async fn told_rows(world: &World, what: &str, more: &str) -> Vec<Value> {
    let line = format!("links list --connection {} --json {more}", web_connection(1));
    let (code, mut rows, told) = sapo_sync(world, &line).await;
    assert_eq!(code, 0, "{told}");
    rows.retain(|row| row["type"] == what);
    rows
}

/// Its variants: side, SKU, state and code.
async fn listed(world: &World, more: &str) -> Vec<String> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("-").to_owned();
    let rows = told_rows(world, "variant", more).await;
    let told = |row| ["side", "sku", "state", "code"].map(|field| text(row, field)).join(" ");
    rows.iter().map(told).collect()
}

/// A product of six variants, M-0 to M-5, on the POS and on the first web, linked and equal; the web's ids.
async fn six_variants(world: &World) -> [u64; 6] {
    let skus = [0, 1, 2, 3, 4, 5].map(|number| format!("M-{number}"));
    world.add_on_web(1, "Áo", skus.iter().map(|sku| web_variant(sku, 2_000, 7)).collect());
    let variant = |sku: &String| json!({"sku": sku, "option": sku, "retail": 2_000, "stock": {"58001": 7}});
    let variants: Vec<Value> = skus.iter().map(variant).collect();
    world.sandbox.omni().add_product(&json!({"name": "Áo thun", "variants": variants})).unwrap();
    world.quiet().await;
    let web = world.sandbox.web(&web_alias(1));
    skus.map(|sku| web.variant_by_sku(&sku)[0]["id"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_match_are_pushed_and_no_other_variant_of_their_product() {
    let world = webs(1, "").await;
    let there = six_variants(&world).await;
    let web = world.sandbox.web(&web_alias(1));
    for id in there {
        web.set_stock(id, 99).unwrap();
    }
    world.quiet().await;
    world.sandbox.clear_calls();
    let line = "links sync --connection mau-web1 --all --search M-3 --yes --json";
    let (code, rows, told) = sapo_sync(&world, line).await;
    assert_eq!((code, &rows[0]["variants"], &rows[rows.len() - 1]["events"]), (0, &json!(1), &json!(1)), "{told}");
    assert_eq!(world.web_writes(1).len(), 2, "stock and price of the one: {:#?}", world.web_writes(1));
    world.assert_shown(1, there[3], 7, 2_000);
    world.assert_shown(1, there[4], 99, 2_000);

    // Named in one command they are worked on together, and still alone of their product.
    world.sandbox.clear_calls();
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku M-1 --sku M-2").await;
    assert_eq!(code, 0, "{told}");
    world.quiet().await;
    assert_eq!(world.web_writes(1).len(), 4, "{:#?}", world.web_writes(1));
    assert_eq!(there.map(|id| world.shown(1, id).0), [99, 7, 7, 7, 99, 99].map(Decimal::from));

    world.sandbox.clear_calls();
    let (code, rows, told) = sapo_sync(&world, "links sync --connection mau-web1 --all --yes --json").await;
    assert_eq!((code, &rows[0]["variants"], &rows[rows.len() - 1]["events"]), (0, &json!(6), &json!(1)), "{told}");
    assert_eq!((world.web_writes(1).len(), world.shown(1, there[0]).0), (12, 7.into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_for_some_variants_of_a_product_closes_no_letter_of_its_others() {
    let world = webs(1, "").await;
    let there = six_variants(&world).await;
    let effect = ApiEffect::Status { code: 422, retry_after: None };
    let path = "inventory_levels/set".to_owned();
    let refused = ApiFault { api: Api::Web, method: None, path, skip: 0, times: 1, effect };
    world.sandbox.faults().web_api(&web_alias(1), refused);
    world.sandbox.omni().set_stock(world.pos_variant("M-0"), 58_001, 3).unwrap();
    world.quiet().await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:#?}");
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --all --search M-3 --yes").await;
    assert_eq!(code, 0, "{told}");
    assert_eq!(world.dead().await.len(), 1, "M-0 was not tried");
    world.assert_shown(1, there[0], 7, 2_000);
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --all --yes").await;
    assert_eq!(code, 0, "{told}");
    world.assert_shown(1, there[0], 3, 2_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_variant_that_the_web_does_not_count_says_so_until_it_is_counted() {
    let world = webs(1, "").await;
    let web = world.sandbox.web(&web_alias(1));
    let uncounted = NewWebVariant { managed: false, ..web_variant("KO", 1_000, 0) };
    let there = world.add_on_web(1, "Không quản lý", vec![uncounted]);
    world.on_pos("KO", 2_000, 9);
    world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    let unmanaged = ["web KO linked unmanaged", "sapo KO linked unmanaged"];
    let counted = ["web KO linked -", "sapo KO linked -"];
    assert_eq!(listed(&world, "--code unmanaged").await, unmanaged);
    assert_eq!(listed(&world, "--state linked").await.len(), 4, "it is linked all the same");
    let rows = told_rows(&world, "variant", "--sku KO --side sapo").await;
    assert!(rows[0]["reason"].as_str().unwrap().contains("Quản lý kho"), "{rows:#?}");
    let link = world.web_link(1, world.pos_variant("KO")).await.unwrap();
    assert_eq!((link.state.as_str(), link.code.as_deref()), ("linked", Some("unmanaged")));

    // The web's word is enough, either way, and nothing is written there for it.
    world.sandbox.clear_calls();
    web.set_managed(there, true).unwrap();
    world.quiet().await;
    assert_eq!(listed(&world, "--sku KO").await, counted);
    web.set_managed(there, false).unwrap();
    world.quiet().await;
    assert_eq!(listed(&world, "--sku KO").await, unmanaged);
    assert!(world.web_writes(1).is_empty(), "{:#?}", world.web_writes(1));
    // What it is not given does not keep it from its price.
    world.sandbox.omni().set_price(world.pos_variant("KO"), Decimal::from(3_000)).unwrap();
    world.quiet().await;
    assert_eq!(world.shown(1, there).1, Decimal::from(3_000));
    assert_eq!(listed(&world, "--sku KO").await, unmanaged);

    // A walk sees what nobody told, and needs no event to say so.
    world.sandbox.stop_webhooks();
    web.set_managed(there, true).unwrap();
    let job = world.web_job("reconcile").await;
    assert_eq!(world.sorted_rows(&job).await, vec![row("product", "KO", "update", "differs")]);
    assert_eq!(listed(&world, "--sku KO").await, counted);
    world.assert_shown(1, there, 9, 3_000);
    web.set_managed(there, false).unwrap();
    world.sandbox.clear_calls();
    let job = world.web_job("reconcile").await;
    assert_eq!(world.sorted_rows(&job).await, vec![row("product", "KO", "skip", "unmanaged")]);
    assert_eq!(listed(&world, "--sku KO").await, unmanaged);
    assert!(world.web_writes(1).is_empty(), "{:#?}", world.web_writes(1));
    let (code, rows, told) =
        sapo_sync(&world, "links unlink --connection mau-web1 --all --code unmanaged --yes --json").await;
    assert_eq!((code, &rows[0]["variants"]), (0, &json!(1)), "{told}");
    assert_eq!(listed(&world, "--sku KO --side sapo").await, ["sapo KO unlinked cut_by_hand"]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_or_a_branch_that_a_linked_variant_lacks_is_said_until_it_is_there() {
    let world = webs(1, "stock_branches = [58001, 58002]\nprice = { from = \"BANBUON\" }").await;
    let omni = world.sandbox.omni();
    world.on_web(1, "AT-S", 1_500, 7);
    let variants = json!([{"sku": "AT-S", "retail": 2_000, "wholesale": 1_500, "stock": {"58001": 4, "58002": 3}}]);
    let product = omni.add_product(&json!({"name": "Áo", "variants": variants})).unwrap();
    world.quiet().await;
    let variant = world.pos_variant("AT-S");
    let says = async |code: &str, what: &str| {
        let expected = [format!("web AT-S linked {code}"), format!("sapo AT-S linked {code}")];
        assert_eq!(listed(&world, "").await, expected, "{what}: {:#?}", world.events().await);
        let rows = told_rows(&world, "variant", "--side sapo").await;
        rows[0]["reason"].as_str().unwrap_or_default().to_owned()
    };
    says("-", "at first").await;
    omni.set_list_price(variant, "BANBUON", None).unwrap();
    world.quiet().await;
    assert!(says("no_price", "without a price").await.contains("price list BANBUON"));
    omni.change_product(product, |shape| {
        shape["variants"][0]["inventories"].as_array_mut().unwrap().retain(|row| row["location_id"] != 58_002);
    })
    .unwrap();
    world.quiet().await;
    let reason = says("stock_unknown", "without a branch too").await;
    assert!(reason.contains("branch 58002") && reason.contains("price list BANBUON"), "{reason}");
    omni.set_stock(variant, 58_002, 3).unwrap();
    world.quiet().await;
    says("no_price", "with the branch").await;

    assert_eq!(listed(&world, "--code no_price").await.len(), 2);
    omni.set_list_price(variant, "BANBUON", Decimal::from(1_600)).unwrap();
    world.quiet().await;
    assert_eq!(says("-", "with all").await, "");
    // An import says so of what is equal but for that, and of which nothing is ever pushed.
    world.sandbox.stop_webhooks();
    world.on_web(1, "NEW", 1_500, 1);
    world.on_pos_at("NEW", 2_000, &json!({"58001": 1, "58002": 0}));
    world.web_job("import").await;
    assert_eq!(listed(&world, "--sku NEW").await, ["web NEW linked no_price", "sapo NEW linked no_price"]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_connection_that_waits_tells_what_it_waits_for_and_what_ends_that() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 2_000, 7);
    world.on_pos("AT-S", 2_000, 7);
    world.quiet().await;
    world.sandbox.web(&web_alias(1)).set_stock(there, 99).unwrap();
    world.quiet().await;
    let refresh = async || world.running().context().snapshot.refresh().await.unwrap();
    let (code, _, told) = sapo_sync(&world, "connect pause mau-web1").await;
    assert_eq!(code, 0, "{told}");
    refresh().await;
    let (code, rows, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku AT-S --json").await;
    assert_eq!((code, &rows[0]["done"], &rows[0]["code"]), (0, &json!(true), &json!("paused")), "{told}");
    let text = rows[0]["text"].as_str().unwrap();
    assert!(text.contains("sapo-sync connect resume mau-web1") && !text.contains("sapo-sync up"), "{text}");
    world.quiet().await;
    assert_eq!(world.parked().await.iter().map(|row| row.cause.as_str()).collect::<Vec<_>>(), ["paused"]);
    world.assert_shown(1, there, 99, 2_000);
    let (code, _, told) = sapo_sync(&world, "links unlink --connection mau-web1 --sku AT-S").await;
    assert_eq!(code, 0, "{told}");
    let (code, rows, told) = sapo_sync(&world, "links link --connection mau-web1 --sku AT-S --json").await;
    assert_eq!((code, &rows[0]["code"]), (0, &json!("linked")), "{told}");
    assert!(rows[0]["text"].as_str().unwrap().contains("sapo-sync connect resume mau-web1"), "{told}");
    let (code, _, told) = sapo_sync(&world, "connect resume mau-web1").await;
    assert_eq!(code, 0, "{told}");
    refresh().await;
    world.quiet().await;
    world.assert_shown(1, there, 7, 2_000);

    // Without access it is the reason that says what to do; the process at work is not told of it here.
    let set = async |state: State, reason: Option<&str>| {
        let mut tx = world.store().begin().await.unwrap();
        world.store().set_connection_state(&mut tx, &web_connection(1), state, reason).await.unwrap();
        tx.commit().await.unwrap();
    };
    set(State::NoAccess, Some("the token is not taken: get a new one, then `sapo-sync connect apply`")).await;
    let (code, rows, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku AT-S --json").await;
    assert_eq!((code, &rows[0]["code"]), (0, &json!("no_access")), "{told}");
    assert!(rows[0]["text"].as_str().unwrap().contains("`sapo-sync connect apply`"), "{told}");
    set(State::Active, None).await;
    refresh().await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_found_by_name_and_by_the_beginning_of_their_sku_and_orders_without_their_hash() {
    let world = webs(1, "").await;
    let there = world.add_on_web(1, "Mũ len", vec![web_variant("MU-01", 2_000, 70)]);
    let variants = json!([{"sku": "MU-01", "retail": 2_000, "stock": {"58001": 70}}]);
    world.sandbox.omni().add_product(&json!({"name": "Mũ len Đà Lạt", "variants": variants})).unwrap();
    world.on_pos("AT-01", 2_000, 7);
    world.quiet().await;
    let both = ["web MU-01 linked -", "sapo MU-01 linked -"];
    for search in ["MU-", "mu-0", "MU-01", "len", "Mũ"] {
        assert_eq!(listed(&world, &format!("--search {search}")).await, both, "{search}");
    }
    assert_eq!(listed(&world, "--search lat").await, both[1..], "its marks left out");
    assert_eq!(listed(&world, "--search U-01").await, Vec::<String>::new(), "not by the end of a SKU");
    assert_eq!(listed(&world, &format!("--search {there}")).await, both[..1]);
    assert_eq!(listed(&world, "--search len --state unlinked").await, Vec::<String>::new());

    let (id, name) = place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let bare = name.trim_start_matches('#');
    assert_ne!(bare, name);
    let found = told_rows(&world, "order", &format!("--kind order --search {bare}")).await;
    assert_eq!(found.iter().map(|row| &row["order_id"]).collect::<Vec<_>>(), [&json!(id.to_string())]);
    let (code, rows, told) = sapo_sync(&world, &format!("events show {bare} --json")).await;
    let of = |what: &str| rows.iter().filter(|row| row["type"] == what).count();
    assert!(code == 0 && of("event") > 0 && of("link") == 1, "{told}");
    assert!(rows.iter().any(|row| row["reference"] == *name), "{told}");
    let (_, same, _) = sapo_sync(&world, &format!("events show {name} --json")).await;
    assert_eq!(same, rows, "as by its whole name");
    let (code, rows, told) = sapo_sync(&world, &format!("events list --search {bare} --json")).await;
    assert!(code == 0 && !rows.is_empty() && rows.iter().all(|row| row["kind"] == "order"), "{told}");
    let (code, _, told) = sapo_sync(&world, "events show 9999").await;
    assert_eq!(code, 4, "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_ends_as_wrong_usage() {
    let world = webs(1, "").await;
    for line in [
        "links list --csv --json",
        "links list --side web",
        "links list --state unlinked",
        "links list --connection mau-web1 --since 1d",
        "links list --connection mau-web1 --kind order --side web",
        "links list --no-such-thing",
        "parked release --code nowhere",
        "healthcheck --url here",
    ] {
        let (code, _, told) = sapo_sync(&world, line).await;
        assert!(code == 2 && told.contains("error: "), "{line}: {code} {told}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_of_both_screens_come_first_for_programs_too() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 2_000, 70);
    world.on_pos("AT-S", 2_000, 70);
    world.quiet().await;
    place(&world, 1, order_of(there, 1));
    world.quiet().await;
    let states = json!({"linked": 1, "unlinked": 0, "error": 0});
    let sides: Vec<(Value, Value)> = ["sapo", "web"].map(|side| (json!("product"), json!(side))).to_vec();
    for (more, counts) in [("", sides), ("--kind order", vec![(json!("order"), Value::Null)])] {
        let (code, rows, told) = sapo_sync(&world, &format!("links list --connection mau-web1 --json {more}")).await;
        assert_eq!((code, rows.len()), (0, counts.len() * 2), "{told}");
        for (row, (kind, side)) in rows.iter().zip(counts) {
            assert_eq!((&row["type"], &row["kind"], &row["side"]), (&json!("count"), &kind, &side), "{told}");
            assert_eq!((&row["all"], &row["states"]), (&json!(1), &states), "{told}");
        }
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_shows_what_is_available_or_on_hand_as_its_connection_says() {
    let world = webs(1, "").await;
    let there = world.on_web(1, "AT-S", 1_000, 77);
    let omni = world.sandbox.omni();
    let product = world.on_pos_at("AT-S", 1_000, &json!({"58001": 5, "58002": 5}));
    world.quiet().await;
    for (settings, shown) in [
        ("stock_basis = \"on_hand\"", 10),
        ("stock_basis = \"available\"", 7),
        ("stock_basis = \"on_hand\"\nstock_branches = [58001, 58002]", 15),
        ("stock_branches = [58001, 58002]", 12),
        ("stock_basis = \"on_hand\"\nstock_buffer = { units = 4 }", 6),
    ] {
        world.set_webs(settings).await;
        omni.change_product(product, |shape| {
            // Told anew each time, for the settings alone move nothing.
            shape["tags"] = format!("{settings:?}").into();
            let rows = shape["variants"][0]["inventories"].as_array_mut().unwrap();
            let first = rows.iter_mut().find(|row| row["location_id"] == 58_001).unwrap();
            (first["on_hand"], first["committed"], first["available"]) = (10.into(), 3.into(), 7.into());
        })
        .unwrap();
        world.quiet().await;
        world.assert_shown(1, there, shown, 1_000);
        let (code, rows, told) =
            sapo_sync(&world, "links compare --connection mau-web1 --sku AT-S --live --json").await;
        let fields = rows[0]["fields"].as_array().cloned().unwrap_or_default();
        let stock = fields.iter().find(|field| field["field"] == "stock").unwrap();
        assert_eq!(
            (code, &stock["wanted"], &stock["differs"]),
            (0, &json!(shown.to_string()), &json!(false)),
            "{told}"
        );
    }
    world.finish(&[]).await;
}
