//! Linking of a web's variants: by SKU after each change, by hand, and from both sides at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use sapo_sync::domain::linking::{Side, VariantState};
use sapo_sync::domain::outcome::Cause;
use sapo_sync::store::Store;
use sapo_sync::store::links::LinkKind;
use sapo_sync::store::parked::ToPark;
use sapo_sync::store::variants::VariantFilter;
use sapo_sync::work::web::linking::{
    LinkRefused, Linked, Target, link_by_hand, look_at, record, record_gone, relink, relink_all, unlink,
};

use crate::contract_store::{Place, Server, StateFile, contract};
use crate::contract_variants::{link, product, put, state};

async fn both(store: &Store, sapo: &str, web: &str) -> String {
    format!("{} / {}", state(store, Side::Sapo, sapo).await, state(store, Side::Channel, web).await)
}

async fn reason(store: &Store, side: Side, id: &str) -> String {
    store.variant("c", side, id).await.unwrap().unwrap().reason.unwrap_or_default()
}

async fn sku(store: &Store, sku: &str) -> Result<Linked, LinkRefused> {
    link_by_hand(store, "c", &Target::Sku(sku.into()), "an owner").await
}

async fn pair(store: &Store, sapo: &str, web: &str) -> Result<Linked, LinkRefused> {
    link_by_hand(store, "c", &Target::Pair { sapo: sapo.into(), web: web.into() }, "an owner").await
}

/// Two processes, each told of one side at the very moment when the other is told of the other.
async fn one_sku_that_comes_from_both_sides_at_once_is_linked_once(place: &dyn Place) {
    let stores = place.open_many(4).await;
    for round in 0..15 {
        // The same SKUs in opposite orders, and one that a third event makes ambiguous or not.
        let id = |prefix: &str, n: usize| format!("{prefix}{round}-{n}");
        let skus: Vec<String> = (0..6).map(|n| format!("SKU {round}-{n}")).collect();
        let ids: Vec<[String; 2]> = (0..6).map(|n| [id("s", n), id("w", n)]).collect();
        let sapo: Vec<(&str, &str)> = ids.iter().zip(&skus).map(|(ids, sku)| (&*ids[0], &**sku)).collect();
        let mut web: Vec<(&str, &str)> = ids.iter().zip(&skus).map(|(ids, sku)| (&*ids[1], &**sku)).collect();
        web.reverse();
        let told = [
            (Side::Sapo, product(&id("ps", 0), 1, &sapo)),
            (Side::Channel, product(&id("pw", 0), 1, &web[..3])),
            (Side::Channel, product(&id("pw", 1), 1, &web[3..])),
            (Side::Sapo, product(&id("ps", 1), 1, &[(&id("again", 0), &skus[0])])),
        ];
        let tasks = told.into_iter().zip(&stores).map(|((side, product), store)| {
            let store = Arc::new(store.clone());
            tokio::spawn(async move { record(&store, "c", side, &product).await.unwrap().len() })
        });
        let made: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
        // Of the two POS variants with one SKU, the one that came first may have been linked before the other came.
        let mut rivals = Vec::new();
        for rival in [&ids[0][0], &id("again", 0)] {
            rivals.push(state(&stores[0], Side::Sapo, rival).await);
        }
        rivals.sort_unstable();
        match made {
            5 => assert_eq!(rivals, ["error ambiguous"; 2]),
            6 => assert_eq!(rivals, ["error ambiguous", "linked -"]),
            _ => panic!("{made} links were made"),
        }
        for pair in &ids[1..] {
            assert_eq!(both(&stores[0], &pair[0], &pair[1]).await, "linked - / linked -");
            assert_eq!(link(&stores[0], &pair[0]).await.unwrap().channel_id, pair[1]);
        }
        record_gone(&stores[0], "c", Side::Sapo, &id("ps", 1)).await.unwrap();
        assert_eq!(link(&stores[0], &ids[0][0]).await.unwrap().channel_id, ids[0][1], "the duplicate went");
    }
    for store in stores {
        store.close().await;
    }
}

async fn what_is_recorded_apart_and_judged_at_once_is_linked_once(place: &dyn Place) {
    let stores = place.open_many(2).await;
    for round in 0..20 {
        let (name, sapo, web) = (format!("SKU {round}"), format!("s{round}"), format!("w{round}"));
        let told = [(Side::Sapo, &sapo), (Side::Channel, &web)];
        let work = told.into_iter().zip(&stores).map(|((side, id), store)| {
            let (store, id, name) = (store.clone(), id.clone(), name.clone());
            tokio::spawn(async move {
                let touched = put(&store, side, &[product(&id, 1, &[(&id, &name)])], None).await;
                relink(&store, "c", &touched).await.unwrap().len()
            })
        });
        let made: usize = join_all(work).await.into_iter().map(Result::unwrap).sum();
        assert_eq!((made, both(&stores[0], &sapo, &web).await.as_str()), (1, "linked - / linked -"));
    }
    for store in stores {
        store.close().await;
    }
}

async fn a_link_by_hand_finds_the_same_sku_and_refuses_to_guess(place: &dyn Place) {
    let store = place.open().await;
    let web = product("9", 1, &[("91", "AO"), ("92", "B"), ("93", "C"), ("94", ""), ("95", "TWICE")]);
    let sapo = product("1", 1, &[("11", "AO"), ("12", "TWICE"), ("13", "TWICE"), ("14", "D"), ("15", "")]);
    record(&store, "c", Side::Channel, &web).await.unwrap();
    record(&store, "c", Side::Sapo, &sapo).await.unwrap();
    let standing = sku(&store, " AO ").await.unwrap();
    assert!(!standing.new, "it was linked by its SKU");
    assert!(store.audit_rows(9).await.unwrap().is_empty(), "nothing was changed");
    let refused = async |target: Target| {
        let error = link_by_hand(&store, "c", &target, "an owner").await.unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, text) = refused(Target::Sku("TWICE".into())).await;
    assert_eq!(code, "ambiguous");
    for candidate in ["Sapo variant 12 of product 1", "Sapo variant 13 of product 1", "web variant 95 of product 9"] {
        assert!(text.contains(candidate), "{text}");
    }
    assert_eq!(refused(Target::Variant(Side::Channel, "95".into())).await.0, "ambiguous");
    assert_eq!(refused(Target::Sku("B".into())).await.0, "one_sided");
    assert_eq!(refused(Target::Sku("D".into())).await.0, "one_sided");
    assert_eq!(refused(Target::Sku("nowhere".into())).await.0, "unknown_variant");
    assert_eq!(refused(Target::Sku(" ".into())).await.0, "no_sku");
    assert_eq!(refused(Target::Variant(Side::Sapo, "15".into())).await.0, "no_sku");
    assert_eq!(refused(Target::Variant(Side::Sapo, "16".into())).await.0, "unknown_variant");
    let elsewhere = Target::Pair { sapo: "14".into(), web: "91".into() };
    let (code, text) = refused(elsewhere).await;
    assert!(code == "linked_elsewhere" && text.contains("web variant 91 is linked to Sapo variant 11"), "{text}");
    // A person may say which is which: of several, or where SKUs differ or are missing.
    assert!(pair(&store, "12", "95").await.unwrap().new);
    assert!(pair(&store, "14", "92").await.unwrap().new && pair(&store, "15", "94").await.unwrap().new);
    assert!(!pair(&store, "15", "94").await.unwrap().new, "said twice");
    assert_eq!(both(&store, "12", "95").await, "linked - / linked -");
    assert_eq!(both(&store, "14", "92").await, "linked renamed / linked renamed");
    assert_eq!(both(&store, "15", "94").await, "linked - / linked -");
    assert!(reason(&store, Side::Sapo, "13").await.contains("Sapo variant 12 of product 1, linked to web variant 95"));
    let known = link_by_hand(&store, "c", &Target::Variant(Side::Channel, "92".into()), "x").await.unwrap();
    assert_eq!((known.new, known.link.sapo_id.as_str()), (false, "14"));
    let audit = store.audit_rows(9).await.unwrap();
    assert_eq!(audit.len(), 3);
    assert_eq!(
        (audit[0].actor.as_str(), audit[0].action.as_str(), audit[0].subject.as_str()),
        ("an owner", "link", "c")
    );
    // Whatever is judged again, nothing of it changes.
    let summary = relink_all(&store, "c", |_| {}).await.unwrap();
    assert_eq!((summary.rows, summary.changed, summary.linked, summary.new_links), (10, 0, 8, 0));
    store.close().await;
}

async fn what_a_person_cuts_stays_cut_until_a_person_links_it(place: &dyn Place) {
    let store = place.open().await;
    let sapo = |version, sku| product("1", version, &[("11", sku), ("12", "B")]);
    record(&store, "c", Side::Sapo, &sapo(1, "AO")).await.unwrap();
    record(&store, "c", Side::Channel, &product("9", 1, &[("91", "AO"), ("92", "B")])).await.unwrap();
    let made = link(&store, "11").await.unwrap();
    assert!(unlink(&store, "c", &made, "an owner").await.unwrap());
    assert!(!unlink(&store, "c", &made, "an owner").await.unwrap(), "it was cut before");
    assert_eq!(store.audit_rows(9).await.unwrap().len(), 1);
    let cut = "unlinked cut_by_hand / unlinked cut_by_hand";
    assert_eq!(both(&store, "11", "91").await, cut);
    assert_eq!(both(&store, "12", "92").await, "linked - / linked -");
    for version in 2..5 {
        assert!(record(&store, "c", Side::Sapo, &sapo(version, "AO")).await.unwrap().is_empty());
        assert_eq!(relink_all(&store, "c", |_| {}).await.unwrap().new_links, 0);
        assert_eq!(both(&store, "11", "91").await, cut);
    }
    // Renamed to and fro, and beside a newcomer with its SKU.
    record(&store, "c", Side::Sapo, &sapo(5, "OTHER")).await.unwrap();
    record(&store, "c", Side::Sapo, &sapo(6, "AO")).await.unwrap();
    record(&store, "c", Side::Sapo, &product("2", 1, &[("21", "AO")])).await.unwrap();
    assert_eq!(both(&store, "11", "91").await, cut);
    assert_eq!(state(&store, Side::Sapo, "21").await, "error ambiguous");
    record_gone(&store, "c", Side::Sapo, "1").await.unwrap();
    assert_eq!(both(&store, "11", "91").await, "none / unlinked cut_by_hand");
    assert_eq!(state(&store, Side::Sapo, "21").await, "unlinked cut_by_hand", "its counterpart was cut");
    let linked = link_by_hand(&store, "c", &Target::Variant(Side::Sapo, "21".into()), "an owner").await.unwrap();
    assert_eq!((linked.new, linked.link.channel_id.as_str()), (true, "91"));
    assert_eq!(both(&store, "21", "91").await, "linked - / linked -");
    // Linked by hand, it is not cut any more: made again on the POS, it is linked by itself.
    record_gone(&store, "c", Side::Sapo, "2").await.unwrap();
    assert_eq!(record(&store, "c", Side::Sapo, &product("3", 1, &[("31", "AO")])).await.unwrap().len(), 1);
    // What is gone on one side can be cut: nothing is shown of it any more.
    record_gone(&store, "c", Side::Channel, "9").await.unwrap();
    assert_eq!(both(&store, "31", "91").await, "error gone_on_channel / error gone_on_channel");
    assert!(unlink(&store, "c", &link(&store, "31").await.unwrap(), "an owner").await.unwrap());
    assert_eq!(both(&store, "31", "91").await, "unlinked cut_by_hand / none");
    store.close().await;
}

/// Parks an order that waits for a cause.
async fn park(store: &Store, order: &str, cause_key: &str) {
    let key = ObjectKey { connection: "c".into(), source: System::Web, kind: Kind::Order, object_id: order.into() };
    let event = Event::new(key, "s", "orders/create", Shape::Whole, 0, bytes::Bytes::new());
    let mut tx = store.begin().await.unwrap();
    let park = ToPark {
        event: &event,
        account: "omni:s",
        class: 0,
        cause: Cause::UnlinkedProduct,
        cause_key: Some(cause_key),
        reason: "because",
        due_at: i64::MAX,
    };
    store.park(&mut tx, &park).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_new_link_wakes_what_waits_for_its_sku(place: &dyn Place) {
    let store = place.open().await;
    park(&store, "7", "sku:AO").await;
    let due = async || store.due("omni:s", Kind::ALL, 0, 3, 10).await.unwrap().len();
    record(&store, "c", Side::Sapo, &product("1", 1, &[("11", "AO"), ("12", "B")])).await.unwrap();
    assert_eq!(due().await, 0);
    record(&store, "c", Side::Channel, &product("9", 1, &[("91", "AO"), ("92", "B")])).await.unwrap();
    assert_eq!(due().await, 1);
    store.close().await;
}

async fn a_link_that_stands_again_is_told_and_wakes_what_waits_for_it(place: &dyn Place) {
    let store = place.open().await;
    let sapo = |version| product("1", version, &[("11", "AO"), ("12", "B")]);
    let web = |version| product("9", version, &[("91", "AO"), ("92", "B")]);
    record(&store, "c", Side::Sapo, &sapo(1)).await.unwrap();
    record(&store, "c", Side::Channel, &web(1)).await.unwrap();
    for (number, side, back) in [(1, Side::Sapo, sapo(2)), (2, Side::Channel, web(2))] {
        record_gone(&store, "c", side, &back.product_id).await.unwrap();
        park(&store, &number.to_string(), "variant:91").await;
        let due = async || store.due("omni:s", Kind::ALL, 0, 3, 10).await.unwrap().len();
        assert_eq!(due().await, number - 1);
        let told = record(&store, "c", side, &back).await.unwrap();
        let told: BTreeSet<(&str, Option<&str>, Option<&str>)> = told
            .iter()
            .map(|link| (&*link.channel_id, link.sapo_parent.as_deref(), link.channel_parent.as_deref()))
            .collect();
        assert_eq!(told, BTreeSet::from([("91", Some("1"), Some("9")), ("92", Some("1"), Some("9"))]), "{side}");
        assert_eq!((due().await, both(&store, "11", "91").await.as_str()), (number, "linked - / linked -"), "{side}");
        assert!(record(&store, "c", side, &back).await.unwrap().is_empty(), "{side}: told once");
    }
    store.close().await;
}

async fn who_only_looks_says_what_could_be_linked_and_links_nothing(place: &dyn Place) {
    let store = place.open().await;
    let told = async |side: Side, id: &str, variants: &[(&str, &str)]| {
        let touched = put(&store, side, &[product(id, 1, variants)], None).await;
        let mut tx = store.begin().await.unwrap();
        look_at(&store, &mut tx, "c", &touched).await.unwrap();
        tx.commit().await.unwrap();
    };
    told(Side::Channel, "9", &[("91", "AO"), ("92", "")]).await;
    told(Side::Sapo, "1", &[("11", "AO"), ("12", "B")]).await;
    let waiting = "unlinked to_be_linked / unlinked to_be_linked";
    assert_eq!(both(&store, "11", "91").await, waiting);
    assert!(reason(&store, Side::Sapo, "11").await.contains("SKU AO is the same on both sides"));
    assert_eq!(both(&store, "12", "92").await, "unlinked only_on_sapo / unlinked no_sku");
    told(Side::Channel, "8", &[("81", "AO")]).await;
    assert_eq!(both(&store, "11", "91").await, "error ambiguous / error ambiguous");
    told(Side::Channel, "8", &[("81", "OTHER")]).await;
    assert_eq!(both(&store, "11", "91").await, waiting);
    assert_eq!(link(&store, "11").await, None);
    // What stands is not taken for something that is still to be linked, and what links anything finds it all the same.
    assert_eq!(relink_all(&store, "c", |_| {}).await.unwrap().new_links, 1);
    told(Side::Sapo, "1", &[("11", "AO"), ("12", "B")]).await;
    assert_eq!(both(&store, "11", "91").await, "linked - / linked -");
    store.close().await;
}

async fn the_link_step_judges_everything_page_by_page_and_again_finds_nothing(place: &dyn Place) {
    let store = place.open().await;
    let names: Vec<(String, String)> = (0..9_000).map(|n| (format!("{n}"), format!("SKU {n:05}"))).collect();
    let rows: Vec<(&str, &str)> =
        names.iter().map(|(id, sku)| (&**id, if id.ends_with("99") { "" } else { &**sku })).collect();
    let products: Vec<_> = rows.chunks(60).enumerate().map(|(n, rows)| product(&n.to_string(), 1, rows)).collect();
    put(&store, Side::Sapo, &products, Some("walk")).await;
    put(&store, Side::Channel, &products[10..], Some("walk")).await;
    let mut told = Vec::new();
    let summary = relink_all(&store, "c", |now| told.push(*now)).await.unwrap();
    assert_eq!((summary.rows, summary.new_links, summary.linked), (17_400, 8_316, 16_632));
    assert!(told.len() > 4 && told.windows(2).all(|two| two[0].rows <= two[1].rows), "{told:?}");
    let again = relink_all(&store, "c", |_| {}).await.unwrap();
    assert_eq!((again.rows, again.changed, again.new_links), (17_400, 0, 0));
    let filter = VariantFilter {
        connection: "c".into(),
        state: Some(VariantState::Error),
        limit: 1,
        ..VariantFilter::default()
    };
    assert!(store.list_variants(&filter).await.unwrap().is_empty());
    let page = store.links_page("c", LinkKind::Product, "", 10_000).await.unwrap();
    assert!(page.len() == 8_316 && page.iter().all(|link| link.sapo_id == link.channel_id));
    assert_eq!(relink(&store, "c", &BTreeSet::from([String::new()])).await.unwrap(), []);
    store.close().await;
}

contract!([
    one_sku_that_comes_from_both_sides_at_once_is_linked_once,
    what_is_recorded_apart_and_judged_at_once_is_linked_once,
    a_link_by_hand_finds_the_same_sku_and_refuses_to_guess,
    what_a_person_cuts_stays_cut_until_a_person_links_it,
    a_new_link_wakes_what_waits_for_its_sku,
    a_link_that_stands_again_is_told_and_wakes_what_waits_for_it,
    who_only_looks_says_what_could_be_linked_and_links_nothing,
    the_link_step_judges_everything_page_by_page_and_again_finds_nothing,
]);
