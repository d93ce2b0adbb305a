//! What the state database promises of variants, on every engine: what a side says is kept whole, rows follow their
//! links, and lists come in order.

use std::collections::BTreeSet;
use std::time::Duration;

use rust_decimal::Decimal;
use sapo_sync::domain::linking::{Side, VariantState};
use sapo_sync::domain::web::WebVariant;
use sapo_sync::store::links::{Link, LinkKind};
use sapo_sync::store::variants::{ProductRows, Variant, VariantFilter, VariantRow};
use sapo_sync::store::{Store, StoreError};
use sapo_sync::work::web::linking::relink;

use crate::contract_store::{Place, Server, StateFile, contract};

/// A product with variants of these ids and SKUs.
pub fn product(id: &str, version: i64, variants: &[(&str, &str)]) -> ProductRows {
    let row = |(variant, sku): &(&str, &str)| VariantRow {
        variant_id: (*variant).to_owned(),
        sku: (*sku).to_owned(),
        name: format!("name of {variant} at {version}"),
        facts: format!(r#"{{"at":{version}}}"#),
    };
    ProductRows { product_id: id.to_owned(), version: Some(version), rows: variants.iter().map(row).collect() }
}

/// Records products of a side without judging them.
pub async fn put(store: &Store, side: Side, products: &[ProductRows], seen: Option<&str>) -> BTreeSet<String> {
    let mut tx = store.begin().await.unwrap();
    let recorded = store.put_products_page(&mut tx, "c", side, products, seen).await.unwrap();
    tx.commit().await.unwrap();
    recorded.touched
}

/// Records a product and judges what it touches.
async fn record(store: &Store, side: Side, product: ProductRows) {
    let touched = put(store, side, &[product], None).await;
    relink(store, "c", &touched).await.unwrap();
}

async fn row(store: &Store, side: Side, id: &str) -> Variant {
    store.variant("c", side, id).await.unwrap().unwrap_or_else(|| panic!("{side} {id} is not there"))
}

/// State and code of a variant; none where there is no row.
pub async fn state(store: &Store, side: Side, id: &str) -> String {
    match store.variant("c", side, id).await.unwrap() {
        Some(row) => format!("{} {}", row.state, row.code.unwrap_or_else(|| "-".to_owned())),
        None => "none".to_owned(),
    }
}

/// The one link of a POS variant.
pub async fn link(store: &Store, sapo: &str) -> Option<Link> {
    store.link_by_sapo("c", LinkKind::Product, sapo).await.unwrap()
}

async fn put_link(store: &Store, link: &Link) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    store.put_link(&mut tx, link).await?;
    tx.commit().await.map_err(StoreError::from)
}

fn skus(touched: &BTreeSet<String>) -> Vec<&str> {
    touched.iter().map(String::as_str).collect()
}

async fn a_product_is_kept_whole_and_what_it_lists_no_more_goes(place: &dyn Place) {
    let store = place.open().await;
    let first = product("1", 5, &[("11", " AO\t"), ("12", "A\u{301}O"), ("13", "\u{a0}")]);
    assert_eq!(skus(&put(&store, Side::Sapo, &[first], None).await), ["AO", "ÁO"]);
    let kept = row(&store, Side::Sapo, "11").await;
    assert_eq!((kept.sku.as_str(), kept.name.as_str(), kept.facts.as_str()), ("AO", "name of 11 at 5", r#"{"at":5}"#));
    assert_eq!((state(&store, Side::Sapo, "13").await, kept.version), ("unlinked no_sku".to_owned(), Some(5)));
    let touched = put(&store, Side::Sapo, &[product("1", 6, &[("12", ""), ("14", "NEW")])], None).await;
    assert_eq!(skus(&touched), ["AO", "NEW", "ÁO"], "old and new ones, never an empty one");
    let ids: Vec<String> =
        store.variants_of_product("c", Side::Sapo, "1").await.unwrap().into_iter().map(|row| row.variant_id).collect();
    assert_eq!(ids, ["12", "14"]);
    assert_eq!(state(&store, Side::Sapo, "12").await, "unlinked no_sku");
    // A variant that moves to another product is there, whichever of the two is told first.
    put(&store, Side::Sapo, &[product("2", 7, &[("14", "NEW")])], None).await;
    put(&store, Side::Sapo, &[product("1", 8, &[("12", "")])], None).await;
    assert_eq!(row(&store, Side::Sapo, "14").await.product_id, "2");
    let mut tx = store.begin().await.unwrap();
    assert_eq!(skus(&store.product_gone(&mut tx, "c", Side::Sapo, "2").await.unwrap()), ["NEW"]);
    tx.commit().await.unwrap();
    assert_eq!(state(&store, Side::Sapo, "14").await, "none");
    assert_eq!(store.variants_of_skus("d", &["ÁO".into()]).await.unwrap(), [], "another connection sees nothing");
    store.close().await;
}

async fn what_is_older_than_what_is_known_changes_nothing(place: &dyn Place) {
    let store = place.open().await;
    put(&store, Side::Channel, &[product("9", 20, &[("91", "NEW"), ("92", "B")])], None).await;
    let touched = put(&store, Side::Channel, &[product("9", 19, &[("91", "OLD"), ("93", "C")])], Some("walk 1")).await;
    assert_eq!(touched, BTreeSet::new());
    let ids = |rows: Vec<Variant>| rows.into_iter().map(|row| (row.variant_id, row.sku, row.seen)).collect::<Vec<_>>();
    let there = ids(store.variants_of_product("c", Side::Channel, "9").await.unwrap());
    let own = |id: &str, sku: &str| (id.to_owned(), sku.to_owned(), "walk 1".to_owned());
    assert_eq!(there, [own("91", "NEW"), own("92", "B")], "but the walk met it");
    // What bears no version, or the same one, is believed.
    let nameless = ProductRows { version: None, ..product("9", 0, &[("91", "LATE")]) };
    put(&store, Side::Channel, &[nameless], None).await;
    let kept = row(&store, Side::Channel, "91").await;
    assert_eq!((kept.sku.as_str(), kept.version, kept.seen.as_str()), ("LATE", Some(20), "walk 1"));
    put(&store, Side::Channel, &[product("9", 20, &[("91", "SAME")])], None).await;
    assert_eq!(row(&store, Side::Channel, "91").await.sku, "SAME");
    store.close().await;
}

async fn a_page_holds_thousands_of_rows_and_the_later_of_two_counts(place: &dyn Place) {
    let store = place.open().await;
    let names: Vec<(String, String)> = (0..2_500).map(|n| (format!("v{n}"), format!("SKU {n}"))).collect();
    let rows: Vec<(&str, &str)> = names.iter().map(|(id, sku)| (&**id, &**sku)).collect();
    let mut products: Vec<ProductRows> =
        rows.chunks(100).enumerate().map(|(n, rows)| product(&format!("p{n}"), 1, rows)).collect();
    products.push(product("p0", 2, &[("v0", "again"), ("v0", "and again")]));
    products.push(product("q", 2, &[("v1", "moved")]));
    let touched = put(&store, Side::Sapo, &products, Some("walk")).await;
    assert_eq!(touched.len(), 2_400 + 2);
    let counts = store.count_variants("c", Some(Side::Sapo)).await.unwrap();
    assert_eq!(counts, [(VariantState::Unlinked, 2_402)]);
    assert_eq!(row(&store, Side::Sapo, "v0").await.sku, "and again");
    assert_eq!(row(&store, Side::Sapo, "v1").await.product_id, "q");
    store.close().await;
}

async fn rows_follow_their_link_and_a_link_that_was_cut_is_not_put_back(place: &dyn Place) {
    let store = place.open().await;
    record(&store, Side::Sapo, product("1", 1, &[("11", "AO")])).await;
    record(&store, Side::Channel, product("9", 1, &[("91", "AO")])).await;
    let both = async || (state(&store, Side::Sapo, "11").await, state(&store, Side::Channel, "91").await);
    let twice = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(both().await, twice("linked -"));
    let made = link(&store, "11").await.unwrap();
    assert_eq!(
        (made.channel_id.as_str(), made.sapo_parent.as_deref(), made.channel_parent.as_deref()),
        ("91", Some("1"), Some("9"))
    );
    store.set_link_error(&made, Some(("missing_scope", "write_products"))).await.unwrap();
    assert_eq!(both().await, twice("error missing_scope"));
    record(&store, Side::Sapo, product("1", 2, &[("11", "RENAMED")])).await;
    assert_eq!(both().await, twice("error missing_scope"), "what failed is shown first");
    store.set_link_error(&made, None).await.unwrap();
    assert_eq!(both().await, twice("linked renamed"));
    let mut pushed = link(&store, "11").await.unwrap();
    pushed.pushed = Some("{}".into());
    pushed.mend();
    put_link(&store, &pushed).await.unwrap();
    assert_eq!((both().await, link(&store, "11").await.unwrap().pushed), (twice("linked renamed"), Some("{}".into())));
    // Cut while a push was under way: what that writes afterwards changes nothing.
    let mut tx = store.begin().await.unwrap();
    assert!(store.cut_link(&mut tx, "c", ("11", "91")).await.unwrap());
    assert!(!store.cut_link(&mut tx, "c", ("11", "91")).await.unwrap());
    tx.commit().await.unwrap();
    put_link(&store, &pushed).await.unwrap();
    store.set_link_error(&pushed, Some(("refused", "x"))).await.unwrap();
    assert_eq!((both().await, link(&store, "11").await), (twice("unlinked cut_by_hand"), None));
    // A free web variant has one link at most.
    put_link(&store, &Link { channel_parent: Some("9".into()), ..Link::new("c", LinkKind::Product, "12", "91", "B") })
        .await
        .unwrap();
    let second = Link { channel_parent: Some("9".into()), ..Link::new("c", LinkKind::Product, "13", "91", "B") };
    assert!(put_link(&store, &second).await.is_err(), "the web's variant is linked to another");
    assert_eq!(state(&store, Side::Channel, "91").await, "linked -");
    store.close().await;
}

async fn what_is_gone_breaks_its_link_and_coming_back_mends_it(place: &dyn Place) {
    let store = place.open().await;
    let sapo = || product("1", 1, &[("11", "AO"), ("12", "B")]);
    let web = || product("9", 1, &[("91", "AO")]);
    let both =
        async || format!("{} / {}", state(&store, Side::Sapo, "11").await, state(&store, Side::Channel, "91").await);
    let gone = async |side: Side, id: &str| {
        let mut tx = store.begin().await.unwrap();
        let touched = store.product_gone(&mut tx, "c", side, id).await.unwrap();
        tx.commit().await.unwrap();
        relink(&store, "c", &touched).await.unwrap();
    };
    record(&store, Side::Sapo, sapo()).await;
    record(&store, Side::Channel, web()).await;
    gone(Side::Sapo, "1").await;
    assert_eq!(both().await, "error deleted / error deleted");
    assert_eq!(state(&store, Side::Sapo, "12").await, "none", "what had no link goes");
    let broken = link(&store, "11").await.unwrap();
    assert_eq!((broken.code.as_deref(), broken.pushed.as_deref()), (Some("deleted"), None));
    // Not even a push that succeeds makes it stand again.
    put_link(&store, &Link { code: None, reason: None, state: "linked".into(), ..broken }).await.unwrap();
    assert_eq!(both().await, "error deleted / error deleted");
    record(&store, Side::Sapo, sapo()).await;
    assert_eq!(both().await, "linked - / linked -");
    gone(Side::Channel, "9").await;
    assert_eq!(both().await, "error gone_on_channel / error gone_on_channel");
    gone(Side::Channel, "9").await;
    assert_eq!(both().await, "error gone_on_channel / error gone_on_channel", "told twice");
    record(&store, Side::Channel, web()).await;
    assert_eq!(both().await, "linked - / linked -");
    gone(Side::Channel, "9").await;
    // Made again with another id: that one takes the place, and nothing is left of the old one.
    record(&store, Side::Channel, product("8", 1, &[("81", "AO")])).await;
    assert_eq!(both().await, "linked - / none");
    assert_eq!(link(&store, "11").await.unwrap().channel_id, "81");
    gone(Side::Sapo, "1").await;
    record(&store, Side::Sapo, product("2", 1, &[("21", "AO")])).await;
    assert_eq!(both().await, "none / none");
    assert_eq!((link(&store, "11").await, link(&store, "21").await.unwrap().channel_id.as_str()), (None, "81"));
    // Gone on both sides: nothing is left to show.
    gone(Side::Sapo, "2").await;
    gone(Side::Channel, "8").await;
    assert_eq!((link(&store, "21").await, store.count_variants("c", None).await.unwrap()), (None, Vec::new()));
    store.close().await;
}

/// What a web says of a variant: its stock everywhere, and what is known of single locations.
fn web_facts(quantity: i64, levels: &[(u64, i64)]) -> String {
    let levels = levels.iter().map(|(location, level)| (*location, Decimal::from(*level))).collect();
    let variant = WebVariant { id: "91".into(), quantity: Some(quantity.into()), levels, ..WebVariant::default() };
    serde_json::to_string(&variant).unwrap()
}

/// A product of a web as it is told.
fn told(version: i64, quantity: i64, levels: &[(u64, i64)]) -> ProductRows {
    let mut told = product("9", version, &[("91", "AO")]);
    told.rows[0].facts = web_facts(quantity, levels);
    told
}

async fn the_stock_at_a_location_outlives_what_a_web_tells_of_its_product(place: &dyn Place) {
    let store = place.open().await;
    let known = async || row(&store, Side::Channel, "91").await.facts;
    let set = async |before: &str, now: &str| store.set_web_facts("c", "91", before, now).await.unwrap();
    record(&store, Side::Sapo, product("1", 1, &[("11", "AO")])).await;
    record(&store, Side::Channel, told(1, 7, &[(7, 6)])).await;
    record(&store, Side::Channel, told(2, 3, &[])).await;
    assert_eq!(known().await, web_facts(3, &[(7, 6)]), "no product states it");
    record(&store, Side::Channel, told(3, 3, &[(7, 2)])).await;
    assert_eq!(known().await, web_facts(3, &[(7, 2)]), "a walk has read it");
    // Set at the web, which tells of its product before that is recorded.
    let before = known().await;
    record(&store, Side::Channel, told(4, 9, &[])).await;
    set(&before, &web_facts(3, &[(7, 5)])).await;
    assert_eq!(known().await, web_facts(9, &[(7, 5)]), "what was set is known, and so is what was told");
    set(&before, &web_facts(3, &[(7, 1)])).await;
    assert_eq!(known().await, web_facts(9, &[(7, 5)]), "that very stock was told anew meanwhile");
    set(&known().await, &web_facts(8, &[(7, 4)])).await;
    assert_eq!(known().await, web_facts(8, &[(7, 4)]));
    // What was gone and is back is not what it was.
    let mut tx = store.begin().await.unwrap();
    store.product_gone(&mut tx, "c", Side::Channel, "9").await.unwrap();
    tx.commit().await.unwrap();
    record(&store, Side::Channel, told(5, 4, &[])).await;
    assert_eq!(known().await, web_facts(4, &[]));
    assert_eq!(state(&store, Side::Channel, "91").await, "linked -");
    store.close().await;
}

async fn lists_come_by_sku_page_by_page_and_find_by_key(place: &dyn Place) {
    let store = place.open().await;
    let many: Vec<(String, String)> = (0..20).map(|n| (format!("{}", 30 - n), format!("S{}", n % 7))).collect();
    let rows: Vec<(&str, &str)> = many.iter().map(|(id, sku)| (id.as_str(), sku.as_str())).collect();
    record(&store, Side::Sapo, product("1", 1, &rows)).await;
    record(&store, Side::Channel, product("9", 1, &[("30", "S1"), ("31", "only here"), ("32", "s1"), ("33", "Ă")]))
        .await;
    let all = VariantFilter { connection: "c".into(), limit: 100, ..VariantFilter::default() };
    let whole = store.list_variants(&all).await.unwrap();
    assert_eq!(whole.len(), 24);
    for state in [None, Some(VariantState::Error), Some(VariantState::Unlinked)] {
        for size in [1, 3, 7] {
            let mut filter = VariantFilter { state, limit: size, ..all.clone() };
            let mut paged: Vec<Variant> = Vec::new();
            loop {
                let page = store.list_variants(&filter).await.unwrap();
                filter.after = page.last().map(Variant::mark);
                paged.extend(page);
                if filter.after.is_none() {
                    break;
                }
            }
            let word = state.map(VariantState::as_str);
            let wanted: Vec<&Variant> = whole.iter().filter(|row| word.is_none_or(|word| row.state == word)).collect();
            assert_eq!(paged.iter().collect::<Vec<_>>(), wanted, "{state:?} by {size}");
        }
    }
    let found = async |filter: VariantFilter| {
        let rows = store.list_variants(&filter).await.unwrap();
        rows.into_iter().map(|row| format!("{} {}", row.side, row.variant_id)).collect::<Vec<_>>()
    };
    let search = |text: &str| VariantFilter { search: Some(text.into()), ..all.clone() };
    assert_eq!(found(search("30")).await, ["sapo 30", "channel 30"]);
    assert_eq!(found(search(" S1 ")).await, ["channel 30", "sapo 15", "sapo 22", "sapo 29", "channel 32"]);
    let with_nine = ["channel 30", "sapo 29", "sapo 19", "channel 31", "channel 32", "channel 33"];
    assert_eq!(found(search("9")).await, with_nine, "the variants of product 9, and those with a 9 in their names");
    assert_eq!(found(search("Name Of 31 ")).await, ["channel 31"]);
    assert_eq!(found(search("only")).await, ["channel 31"]);
    assert_eq!(found(search("here")).await, Vec::<String>::new(), "a SKU is not found by its end");
    let mut some = VariantFilter { limit: 2, ..search("s1") };
    let first = store.list_variants(&some).await.unwrap();
    some.after = first.last().map(Variant::mark);
    assert_eq!((first.len(), found(some).await), (2, vec!["sapo 22".to_owned(), "sapo 29".to_owned()]));
    assert_eq!(found(VariantFilter { side: Some(Side::Sapo), ..search("30") }).await, ["sapo 30"]);
    assert_eq!(found(VariantFilter { code: Some("only_on_web".into()), ..all.clone() }).await.len(), 3);
    assert_eq!(found(VariantFilter { sku: Some("s1".into()), ..all.clone() }).await, ["channel 32"]);
    assert_eq!(found(VariantFilter { connection: "d".into(), ..all.clone() }).await.len(), 0);
    let ambiguous = store.variants_of_skus("c", &["S1".into(), "\t".into(), "nowhere".into()]).await.unwrap();
    assert_eq!(ambiguous.len(), 4);
    let counts = async |side| store.count_variants("c", side).await.unwrap();
    assert_eq!(counts(None).await, [(VariantState::Error, 21), (VariantState::Unlinked, 3)]);
    assert_eq!(counts(Some(Side::Channel)).await, [(VariantState::Error, 1), (VariantState::Unlinked, 3)]);
    store.close().await;
}

async fn a_complete_walk_tells_what_it_has_not_met(place: &dyn Place) {
    let store = place.open().await;
    put(&store, Side::Sapo, &[product("old", 1, &[("1", "A")]), product("met", 1, &[("2", "B")])], Some("walk 1"))
        .await;
    put(&store, Side::Sapo, &[product("linked", 1, &[("3", "C")])], None).await;
    put(&store, Side::Channel, &[product("w", 1, &[("3", "C")])], Some("walk 1")).await;
    relink(&store, "c", &BTreeSet::from(["C".to_owned()])).await.unwrap();
    store.clock().advance(Duration::from_mins(1));
    let began = store.clock().now();
    put(&store, Side::Sapo, &[product("met", 1, &[("2", "B")])], Some("walk 2")).await;
    put(&store, Side::Sapo, &[product("new", 1, &[("4", "D")])], None).await;
    let unmet = async || store.unmet_products("c", Side::Sapo, "walk 2", began, "", 10).await.unwrap();
    assert_eq!(unmet().await, ["linked", "old"], "what was told of since the walk began may have come too late for it");
    let page = store.unmet_products("c", Side::Sapo, "walk 0", began, "linked", 1).await.unwrap();
    assert_eq!(page, ["old"]);
    for product in unmet().await {
        let mut tx = store.begin().await.unwrap();
        store.product_gone(&mut tx, "c", Side::Sapo, &product).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(unmet().await, Vec::<String>::new(), "what is kept to show its broken link is not met again");
    assert_eq!(state(&store, Side::Sapo, "3").await, "error deleted");
    store.close().await;
}

async fn odd_texts_are_kept_and_found(place: &dyn Place) {
    let store = place.open().await;
    let (long, nul) = ("Đ".repeat(4_000), "a\0b");
    let odd = |id: &str, first: &str| product(id, 1, &[(first, &long), (&format!("{first}n"), nul)]);
    record(&store, Side::Sapo, odd("1", "11")).await;
    record(&store, Side::Channel, odd("9", "91")).await;
    assert_eq!(link(&store, "11").await.unwrap().channel_id, "91");
    assert_eq!(link(&store, "11n").await.unwrap().channel_id, "91n");
    assert_eq!(store.variants_of_skus("c", &[long, nul.to_owned()]).await.unwrap().len(), 4);
    store.close().await;
}

contract!([
    a_product_is_kept_whole_and_what_it_lists_no_more_goes,
    what_is_older_than_what_is_known_changes_nothing,
    a_page_holds_thousands_of_rows_and_the_later_of_two_counts,
    rows_follow_their_link_and_a_link_that_was_cut_is_not_put_back,
    what_is_gone_breaks_its_link_and_coming_back_mends_it,
    the_stock_at_a_location_outlives_what_a_web_tells_of_its_product,
    lists_come_by_sku_page_by_page_and_find_by_key,
    a_complete_walk_tells_what_it_has_not_met,
    odd_texts_are_kept_and_found,
]);
