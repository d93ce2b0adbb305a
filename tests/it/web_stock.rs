//! Stock, POS → webs: what is summed, what is not pushed and why, what follows its components, what open drafts hold.

use rust_decimal::Decimal;
use sapo_sync::domain::connection::State;
use sapo_sync::domain::linking::Side;
use sapo_sync::domain::web::WebVariant;
use sapo_sync::sandbox::{Api, NewWebVariant, SandboxConfig, WebSite, WebhookEffect, WebhookFault};
use sapo_sync::store::links::{Link, LinkKind};
use sapo_sync::store::reservations::Reservation;
use serde_json::{Value, json};

use crate::harness::{Setup, World};
use crate::import::summary;
use crate::links_commands::sapo_sync;
use crate::web_import::row;
use crate::web_orders::{id_of, on_pos, order_of, place};
use crate::web_world::{connections, web_alias, web_connection, web_site, web_variant, webs, webs_with};

/// A change to a product's written form.
type Edit = fn(&mut Value);

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_of_the_chosen_branches_is_summed_less_the_buffer_floored_and_never_below_zero() {
    let world = webs(1, "").await;
    let omni = world.sandbox.omni();
    // Settings, on hand at the two branches, what is shown, whether it was clamped.
    let cases = [
        ("stock_branches = [58001]", "10", "5", 10, false),
        ("stock_branches = [58002]", "10", "5", 5, false),
        ("stock_branches = [58001, 58002]", "10", "5", 15, false),
        ("", "10", "5", 10, false),
        ("stock_branches = [58001, 58002]", "2.5", "0.5", 3, false),
        ("stock_branches = [58001, 58002]", "0.7", "0.7", 1, false),
        ("stock_branches = [58001, 58002]", "10", "-4", 6, false),
        ("stock_branches = [58001, 58002]", "1", "-4", 0, true),
        ("stock_branches = [58001, 58002]\nstock_buffer = { units = 2 }", "10", "5", 13, false),
        ("stock_branches = [58001, 58002]\nstock_buffer = { units = 1, percent = 20 }", "10", "5", 12, false),
        ("stock_buffer = { units = 1, by_sku = { S-10 = { units = 4 } } }", "10", "5", 6, false),
        ("stock_buffer = { units = 20 }", "10", "5", 0, true),
    ];
    for (number, (settings, first, second, shown, clamped)) in cases.into_iter().enumerate() {
        let case = format!("{settings:?}: {first} and {second}");
        world.set_webs(settings).await;
        let sku = format!("S-{number}");
        let there = world.on_web(1, &sku, 1_000, 77);
        let product = world.on_pos_at(&sku, 1_000, &json!({"58001": 0, "58002": 0}));
        let variant = world.pos_variant(&sku);
        world.quiet().await;
        omni.set_stock(variant, 58_002, decimal(second)).unwrap();
        world.quiet().await;
        omni.set_stock(variant, 58_001, decimal(first)).unwrap();
        world.quiet().await;
        assert_eq!(world.shown(1, there).0, Decimal::from(shown), "{case}");
        let (_, _, story) = world.web_outcome(1, product).await;
        assert_eq!(story.contains("so 0 is shown"), clamped, "{case}: {story}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_or_a_figure_that_is_missing_means_no_push_with_the_branchs_name_and_never_zero() {
    let world = webs(1, "stock_branches = [58001, 58002]").await;
    let omni = world.sandbox.omni();
    let cases: [(&str, Edit); 3] = [
        ("no row", |shape| {
            shape["variants"][0]["inventories"].as_array_mut().unwrap().retain(|row| row["location_id"] != 58_002);
        }),
        ("null", |shape| second_branch(shape)["available"] = Value::Null),
        ("no number", |shape| second_branch(shape)["available"] = json!("nhiều")),
    ];
    for (number, (what, edit)) in cases.into_iter().enumerate() {
        let sku = format!("M-{number}");
        let there = world.on_web(1, &sku, 1_000, 3);
        let product = world.on_pos_at(&sku, 1_000, &json!({"58001": 8, "58002": 3}));
        world.quiet().await;
        world.assert_shown(1, there, 11, 1_000);
        omni.change_product(product, |shape| {
            edit(shape);
            shape["variants"][0]["variant_retail_price"] = 2_000.into();
        })
        .unwrap();
        world.quiet().await;
        let (outcome, code, story) = world.web_outcome(1, product).await;
        assert_eq!((outcome.as_str(), code.as_str()), ("done", "pushed"), "{what}: {story}");
        assert!(story.contains("no usable stock for branch 58002"), "{what}: {story}");
        world.assert_shown(1, there, 11, 2_000);
    }
    world.finish(&[]).await;
}

fn second_branch(shape: &mut Value) -> &mut Value {
    let rows = shape["variants"][0]["inventories"].as_array_mut().unwrap();
    rows.iter_mut().find(|row| row["location_id"] == 58_002).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_chosen_branch_the_shops_default_one_counts_and_without_that_the_setting_is_asked_for() {
    let world = webs(1, "").await;
    let omni = world.sandbox.omni();
    omni.set_primary_branch(58_002).unwrap();
    let there = world.on_web(1, "AT-S", 1_000, 77);
    let product = world.on_pos_at("AT-S", 1_000, &json!({"58001": 4, "58002": 6}));
    world.quiet().await;
    world.assert_shown(1, there, 6, 1_000);
    // It is not asked for again with every product.
    world.sandbox.clear_calls();
    omni.set_stock(world.pos_variant("AT-S"), 58_002, 5).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 5, 1_000);
    assert_eq!(world.sandbox.call_count(Api::Omni, "GET", "locations"), 0);
    assert_eq!(world.web_outcome(1, product).await.1, "pushed");
    world.finish(&[]).await;

    let none = webs(1, "").await;
    none.sandbox.omni().set_primary_branch(None).unwrap();
    let there = none.on_web(1, "AT-S", 1_000, 77);
    none.on_pos("AT-S", 1_000, 4);
    none.quiet().await;
    none.assert_shown(1, there, 77, 1_000);
    let parked = none.parked().await;
    assert!(parked[0].reason.contains("`stock_branches`"), "{parked:#?}");
    none.set_webs("order_branch = 58001\nstock_branches = [58001]").await;
    none.quiet().await;
    none.assert_shown(1, there, 4, 1_000);
    none.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_whose_stock_the_web_does_not_count_gets_none_with_the_reason() {
    let world = webs(1, "").await;
    let web = world.sandbox.web(&web_alias(1));
    let uncounted = NewWebVariant { managed: false, ..web_variant("KO", 1_000, 0) };
    let there = world.add_on_web(1, "Không quản lý", vec![uncounted]);
    let product = world.on_pos("KO", 2_000, 9);
    world.quiet().await;
    let stock_calls = || world.sandbox.web_call_count(&web_alias(1), "POST", "inventory_levels/set");
    assert_eq!(stock_calls(), 0, "{:#?}", world.sandbox.calls());
    assert_eq!(world.shown(1, there).1, Decimal::from(2_000), "its price follows");
    let (_, _, story) = world.web_outcome(1, product).await;
    assert!(story.contains("Quản lý kho"), "{story}");
    assert_eq!(world.web_link(1, world.pos_variant("KO")).await.unwrap().state, "linked");

    // Counted from now on: the next change of the POS brings the stock.
    web.set_managed(there, true).unwrap();
    world.quiet().await;
    assert_eq!(stock_calls(), 0);
    world.sandbox.omni().set_stock(world.pos_variant("KO"), 58_001, 8).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 8, 2_000);

    // Not counted any more, and nobody told: the web's refusal is understood, and is no error.
    world.sandbox.stop_webhooks();
    web.set_managed(there, false).unwrap();
    world.sandbox.send_webhooks_to(&world.url());
    world.sandbox.omni().set_stock(world.pos_variant("KO"), 58_001, 7).unwrap();
    world.quiet().await;
    assert_eq!(world.web_link(1, world.pos_variant("KO")).await.unwrap().state, "linked");
    let (outcome, code, story) = world.web_outcome(1, product).await;
    assert_eq!((outcome.as_str(), code.as_str()), ("skipped", "not_pushed"), "{story}");
    assert!(story.contains("Quản lý kho"), "{story}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_components_change_reads_and_pushes_its_combos_and_pack_sizes() {
    let world = webs(2, "").await;
    let omni = world.sandbox.omni();
    // THUNG is on no web; what is made of it in turn still follows.
    let there: Vec<[u64; 3]> =
        (1..=2).map(|web| ["HOP", "BO", "QUA"].map(|sku| world.on_web(web, sku, 1_000, 99))).collect();
    let add = |name: &str, variants: Value| omni.add_product(&json!({"name": name, "variants": variants})).unwrap();
    add("Hộp", json!([{"sku": "HOP", "retail": 1_000, "stock": {"58001": 20}}]));
    add("Thùng", json!([{"sku": "THUNG", "retail": 5_000, "pack": {"sku": "HOP", "quantity": 6}}]));
    add("Bộ", json!([{"sku": "BO", "retail": 1_000, "combo": [{"sku": "HOP", "quantity": 2}]}]));
    add("Quà", json!([{"sku": "QUA", "retail": 1_000, "combo": [{"sku": "THUNG", "quantity": 1}]}]));
    world.quiet().await;
    let stocks = |web: usize| there[web - 1].map(|id| world.shown(web, id).0);
    assert_eq!(stocks(1), [20, 10, 3].map(Decimal::from));
    world.sandbox.clear_calls();
    omni.set_stock(world.pos_variant("HOP"), 58_001, 13).unwrap();
    world.quiet().await;
    for web in [1, 2] {
        assert_eq!(stocks(web), [13, 6, 2].map(Decimal::from), "{:#?}", world.events().await);
        assert_eq!(world.web_writes(web).len(), 3, "each once: {:#?}", world.web_writes(web));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_on_the_first_of_three_webs_sends_the_stock_to_all_three_exactly_once() {
    let world = webs(3, "approve_orders = true").await;
    let there = [1, 2, 3].map(|web| world.on_web(web, "AT-S", 1_000, 10));
    world.on_pos("AT-S", 1_000, 10);
    world.quiet().await;
    world.sandbox.clear_calls();
    let (_, name) = place(&world, 1, order_of(there[0], 3));
    world.quiet().await;
    assert_eq!((world.sandbox.omni().orders().len(), &on_pos(&world, 1, &name)["status"]), (1, &json!("finalized")));
    for (web, id) in (1..=3).zip(there) {
        world.assert_shown(web, id, 7, 1_000);
        let stock = world.sandbox.web_call_count(&web_alias(web), "POST", "inventory_levels/set");
        assert_eq!((stock, world.web_writes(web).len()), (1, 1), "web {web}: {:#?}", world.web_writes(web));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_changed_on_a_web_leaves_the_pos_alone_and_is_put_right_at_the_next_change_of_the_pos() {
    let world = webs(2, "").await;
    let (omni, web) = (world.sandbox.omni(), world.sandbox.web(&web_alias(1)));
    let there = [world.on_web(1, "AT-S", 1_000, 1), world.on_web(2, "AT-S", 1_000, 1)];
    let product = world.on_pos("AT-S", 1_000, 10);
    world.quiet().await;
    let before = omni.product(product).unwrap();
    world.sandbox.clear_calls();
    web.set_stock(there[0], 3).unwrap();
    web.set_price(there[0], 5).unwrap();
    world.quiet().await;
    assert_eq!(omni.product(product).unwrap(), before);
    assert_eq!(world.writing_calls(Api::Omni) + world.writing_calls(Api::Web), 0, "{:#?}", world.sandbox.calls());
    world.assert_shown(1, there[0], 3, 5);
    world.assert_shown(2, there[1], 10, 1_000);
    // A change that does not even touch stock or price.
    omni.change_product(product, |shape| shape["tags"] = "moi".into()).unwrap();
    world.quiet().await;
    world.assert_shown(1, there[0], 10, 1_000);
    assert_eq!((world.web_writes(1).len(), world.web_writes(2).len()), (2, 0));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_taken_away_parks_with_the_settings_name_until_that_is_right_and_prices_still_follow() {
    let world = webs(1, "stock_branches = [58001, 58002]").await;
    let omni = world.sandbox.omni();
    let there = world.on_web(1, "AT-S", 1_000, 1);
    world.on_pos_at("AT-S", 1_000, &json!({"58001": 4, "58002": 6}));
    world.quiet().await;
    world.assert_shown(1, there, 10, 1_000);
    omni.remove_branch(58_002).unwrap();
    omni.set_price(world.pos_variant("AT-S"), Decimal::from(2_000)).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 10, 2_000);
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].cause.as_str()), (1, "setup"));
    assert!(["58002", "`stock_branches`"].iter().all(|word| parked[0].reason.contains(word)), "{parked:#?}");
    // Nobody releases it: it goes by itself.
    world.set_webs("stock_branches = [58001]").await;
    world.quiet().await;
    world.assert_shown(1, there, 4, 2_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_that_comes_after_one_that_could_not_be_settled_takes_nothing_back() {
    let world = webs(1, "stock_branches = [58001]\nprice = { from = \"BANBUON\" }").await;
    let omni = world.sandbox.omni();
    let there = world.on_web(1, "AT-S", 1_000, 1);
    let variants = json!([{"sku": "AT-S", "wholesale": 1_000, "stock": {"58001": 9}}]);
    omni.add_product(&json!({"name": "Áo", "variants": variants})).unwrap();
    world.quiet().await;
    omni.remove_price_list(167_002).unwrap();
    // The first of the two is told after the second, which pushes its stock and is parked for the price.
    let effect = WebhookEffect::Reorder;
    let late = WebhookFault { api: Api::Omni, topic: "products/update".into(), skip: 0, times: 1, effect };
    world.sandbox.faults().webhook(late);
    omni.set_list_price(world.pos_variant("AT-S"), "BANBUON", None).unwrap();
    omni.set_stock(world.pos_variant("AT-S"), 58_001, 4).unwrap();
    world.quiet().await;
    world.assert_shown(1, there, 4, 1_000);
    world.finish(&["parked:setup"]).await;
}

/// A web that keeps stock at two places.
pub fn two_places() -> Setup {
    let web_sites = vec![WebSite { locations: 2, ..web_site(1) }];
    Setup { sandbox: SandboxConfig { web_sites, ..Setup::default().sandbox }, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_with_several_locations_asks_which_one_and_its_prices_still_follow() {
    let world: World = webs_with(two_places(), 1).await;
    let web = world.sandbox.web(&web_alias(1));
    let there = world.on_web(1, "AT-S", 1_000, 1);
    world.on_pos("AT-S", 2_000, 4);
    world.quiet().await;
    world.assert_shown(1, there, 1, 2_000);
    let parked = world.parked().await;
    let places = web.locations();
    let named = places.iter().all(|place| parked[0].reason.contains(&place.to_string()));
    assert!(named && parked[0].cause == "setup" && parked[0].reason.contains("`web_location`"), "{parked:#?}");

    // Set past the check that `connect apply` makes: it may have been closed later.
    let text = |place: u64| connections(&world.sandbox, (true, true, true), &format!("web_location = {place}"));
    world.apply_offline(&text(999)).await;
    world.quiet().await;
    let parked = world.parked().await;
    assert!(["999", "`web_location`"].iter().all(|word| parked[0].reason.contains(word)), "{parked:#?}");
    world.assert_shown(1, there, 1, 2_000);

    world.apply(&text(places[1])).await;
    world.quiet().await;
    // One at the first place, which nobody chose, and four at the second.
    world.assert_shown(1, there, 5, 2_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_chosen_location_outlives_the_webs_news_of_its_product_and_no_call_follows_from_it() {
    let world: World = webs_with(two_places(), 1).await;
    let web = world.sandbox.web(&web_alias(1));
    let (first, ours) = (web.locations()[0], web.locations()[1]);
    world.set_webs(&format!("web_location = {ours}")).await;
    let there = world.on_web(1, "AT-S", 1_000, 1);
    let product = world.on_pos("AT-S", 1_000, 4);
    world.quiet().await;
    let known = async || {
        let row = world.store().variant(&web_connection(1), Side::Channel, &there.to_string()).await.unwrap().unwrap();
        serde_json::from_str::<WebVariant>(&row.facts).unwrap().stock_at(Some(ours))
    };
    let tagged = async |tag: &str| {
        world.sandbox.clear_calls();
        world.sandbox.omni().change_product(product, |shape| shape["tags"] = tag.into()).unwrap();
        world.quiet().await;
        world.sandbox.web_call_count(&web_alias(1), "POST", "inventory_levels/set")
    };
    assert_eq!(known().await, Some(4.into()), "as it was pushed");
    // Another place's stock: the sum is another, ours is not.
    web.set_stock_at(there, first, 9).unwrap();
    world.quiet().await;
    assert_eq!((known().await, tagged("a").await), (Some(4.into()), 0));
    assert!(world.web_writes(1).is_empty(), "{:#?}", world.web_writes(1));
    // Ours is told with its product, in whatever order; then comes news of the product alone.
    web.set_stock_at(there, ours, 2).unwrap();
    world.quiet().await;
    assert_eq!(known().await, Some(2.into()));
    web.set_sku(there, "AT-S ").unwrap();
    world.quiet().await;
    assert_eq!(known().await, Some(2.into()));
    world.assert_shown(1, there, 11, 1_000);
    // So the next change of the POS puts it right, by one call, and the one after that has nothing to do.
    assert_eq!(tagged("b").await, 1);
    world.assert_shown(1, there, 13, 1_000);
    assert_eq!((known().await, tagged("c").await), (Some(4.into()), 0));
    assert!(world.web_writes(1).is_empty(), "{:#?}", world.web_writes(1));
    assert_eq!(world.sandbox.call_count(Api::Web, "GET", "inventory_levels"), 0);
    // Asked for by hand, it is pushed whatever is known, and is known as pushed.
    web.set_stock_at(there, ours, 3).unwrap();
    world.quiet().await;
    let (code, _, told) = sapo_sync(&world, "links sync --connection mau-web1 --sku AT-S").await;
    assert_eq!(code, 0, "{told}");
    world.quiet().await;
    world.assert_shown(1, there, 13, 1_000);
    assert_eq!(known().await, Some(4.into()));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_web_with_several_locations_a_walk_compares_the_chosen_one_and_the_next_finds_nothing() {
    let world: World = webs_with(two_places(), 1).await;
    let web = world.sandbox.web(&web_alias(1));
    let (first, ours) = (web.locations()[0], web.locations()[1]);
    world.set_webs(&format!("web_location = {ours}")).await;
    world.sandbox.stop_webhooks();
    // By chance, all its locations together have what ours should have.
    let chance = world.on_web(1, "CHANCE", 1_000, 4);
    world.on_pos("CHANCE", 1_000, 4);
    let other = world.on_web(1, "OTHER", 1_000, 1);
    world.on_pos("OTHER", 1_000, 6);
    let sums = || [chance, other].map(|id| world.shown(1, id).0);
    let import = summary(&world.web_job("import").await);
    assert_eq!((import.done, world.web_writes(1).len()), (2, 2), "{import:#?}");
    assert_eq!(sums(), [8, 7].map(Decimal::from));
    let calm = async |levels: usize| {
        world.sandbox.clear_calls();
        let walk = summary(&world.web_job("reconcile").await);
        let found = walk.found.get("product.update").copied();
        assert_eq!((walk.events, found, world.web_writes(1).len()), (0, None, 0), "{walk:#?}");
        assert_eq!(world.sandbox.call_count(Api::Web, "GET", "inventory_levels"), levels, "of all variants at once");
    };
    calm(1).await;
    calm(1).await;
    // Changed by hand at ours, and at the other one, which is no business of ours.
    web.set_stock_at(other, ours, 2).unwrap();
    web.set_stock_at(chance, first, 9).unwrap();
    let job = world.web_job("reconcile").await;
    assert_eq!(world.sorted_rows(&job).await, vec![row("product", "OTHER", "update", "differs")]);
    assert_eq!(sums(), [13, 7].map(Decimal::from));
    // A web of an older kind tells of no location: what was pushed last counts, and not the sum.
    web.without_inventory_levels(true);
    calm(1).await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_open_drafts_hold_is_taken_off_where_the_connection_says_so() {
    let world = webs(2, "").await;
    let each = |web| if web == 1 { "reserve_unapproved = true".to_owned() } else { String::new() };
    world.apply(&crate::web_world::connections_each(&world.sandbox, (true, true, true), each)).await;
    let there = [world.on_web(1, "AT-S", 1_000, 1), world.on_web(2, "AT-S", 1_000, 1)];
    let product = world.on_pos("AT-S", 1_000, 10);
    world.quiet().await;
    let (variant_id, product_id) = (world.pos_variant("AT-S").to_string(), product.to_string());
    let mut tx = world.store().begin().await.unwrap();
    let row = |many: i64, branch: &str| Reservation {
        variant_id: variant_id.clone(),
        product_id: product_id.clone(),
        location_id: branch.to_owned(),
        quantity: many.into(),
    };
    // Of each web one draft, and one that another branch delivers.
    for (web, order, row) in [(1, "1", row(3, "58001")), (2, "2", row(2, "58001")), (1, "3", row(5, "58002"))] {
        let link = Link::new(&web_connection(web), LinkKind::Order, order, order, order);
        world.store().put_link(&mut tx, &link).await.unwrap();
        world.store().reserve(&mut tx, &world.sandbox.config().alias, order, &[row]).await.unwrap();
    }
    tx.commit().await.unwrap();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 9).unwrap();
    world.quiet().await;
    world.assert_shown(1, there[0], 4, 1_000);
    world.assert_shown(2, there[1], 9, 1_000);
    // What becomes of the drafts of a web that took our access away is not heard of any more.
    let mut tx = world.store().begin().await.unwrap();
    world.store().set_connection_state(&mut tx, &web_connection(2), State::Stopped, None).await.unwrap();
    tx.commit().await.unwrap();
    world.sandbox.omni().set_stock(world.pos_variant("AT-S"), 58_001, 8).unwrap();
    world.quiet().await;
    world.assert_shown(1, there[0], 5, 1_000);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_a_pack_holds_its_units_and_one_of_units_holds_what_is_made_of_them() {
    let world = webs(1, "reserve_unapproved = true").await;
    let omni = world.sandbox.omni();
    let [unit, pack, pair, gift] = ["HOP", "THUNG", "BO", "QUA"].map(|sku| world.on_web(1, sku, 1_000, 99));
    let add = |name: &str, variants: Value| omni.add_product(&json!({"name": name, "variants": variants})).unwrap();
    add("Hộp", json!([{"sku": "HOP", "retail": 1_000, "stock": {"58001": 20}}]));
    add("Thùng", json!([{"sku": "THUNG", "retail": 1_000, "pack": {"sku": "HOP", "quantity": 6}}]));
    add("Bộ", json!([{"sku": "BO", "retail": 1_000, "combo": [{"sku": "HOP", "quantity": 2}]}]));
    add("Quà", json!([{"sku": "QUA", "retail": 1_000, "combo": [{"sku": "THUNG", "quantity": 1}]}]));
    world.quiet().await;
    let all_show = async |expected: [i64; 4], what: &str| {
        world.quiet().await;
        let shown = [unit, pack, pair, gift].map(|id| world.shown(1, id).0);
        assert_eq!(shown, expected.map(Decimal::from), "{what}: {:#?}", world.events().await);
    };
    all_show([20, 3, 10, 3], "before").await;
    let (_, of_pack) = place(&world, 1, order_of(pack, 1));
    all_show([14, 2, 7, 2], "a draft of one pack of six").await;
    let (_, of_units) = place(&world, 1, order_of(unit, 6));
    all_show([8, 1, 4, 1], "and one of six units").await;
    // Approved, the POS's own stock knows it; nothing is counted twice.
    omni.finalize(id_of(&on_pos(&world, 1, &of_pack))).unwrap();
    all_show([8, 1, 4, 1], "the first is approved").await;
    omni.cancel(id_of(&on_pos(&world, 1, &of_units))).unwrap();
    all_show([14, 2, 7, 2], "the second is cancelled on the POS").await;
    world.finish(&[]).await;
}
