//! What the state database promises to several processes at once, on every engine: each test has several stores on one
//! database, as that many processes would.

use std::time::Duration;

use sapo_sync::domain::event::Event;
use sapo_sync::domain::outcome::{Cause, Verdict};
use sapo_sync::store::Store;
use sapo_sync::store::intents::{IntentKey, IntentKind, Taken};
use sapo_sync::store::jobs::Lane;
use sapo_sync::store::ledger::{EventFilter, Settlement};
use sapo_sync::store::parked::ToPark;

use crate::contract_store::{ACCOUNT, Place, Server, StateFile, contract, event};

async fn eight_processes_bring_one_database_up_to_date_at_once(place: &dyn Place) {
    let stores: Vec<Store> = (0..8).map(|_| place.connect()).collect();
    for done in all(stores.iter().map(Store::migrate)).await {
        done.unwrap();
    }
    for store in &stores {
        store.check_schema().await.unwrap();
        store.probe().await.unwrap();
        store.close().await;
    }
}

async fn of_twenty_who_ask_for_one_intent_one_gets_it(place: &dyn Place) {
    let stores = place.open_many(4).await;
    for round in 0..10 {
        let key = IntentKey { account: "omni:s".into(), kind: IntentKind::Order, natural_key: format!("c:ABH{round}") };
        let lease = Duration::from_secs(45);
        let owners: Vec<String> = (0..20).map(|owner| format!("owner {owner}")).collect();
        let take = |(n, owner): (usize, _)| stores[n % 4].take_intent(&key, "c", "9", None, owner, lease);
        let taken = all(owners.iter().map(String::as_str).enumerate().map(take)).await;
        let taken: Vec<Taken> = taken.into_iter().map(Result::unwrap).collect();
        assert_eq!(taken.iter().filter(|taken| matches!(taken, Taken::New(_))).count(), 1, "{taken:?}");
        assert_eq!(taken.iter().filter(|taken| matches!(taken, Taken::Held { .. })).count(), 19, "{taken:?}");
        // Two who say that they made it, of two objects: one of them is told of the other.
        let complete = async |n: usize| {
            let mut tx = stores[n].begin().await.unwrap();
            let id = format!("made by {n}");
            let before =
                stores[n].complete_intent(&mut tx, &key.account, "order", &key.natural_key, &id).await.unwrap();
            tx.commit().await.unwrap();
            before
        };
        let told = all([0, 1, 2, 3].map(complete)).await;
        let first = told.iter().position(Option::is_none).expect("somebody was first");
        let others = told.iter().flatten().collect::<Vec<_>>();
        assert_eq!(others, [&format!("made by {first}"); 3]);
    }
    close(&stores).await;
}

async fn of_states_parked_at_once_the_newest_stays_and_all_others_give_way(place: &dyn Place) {
    let stores = place.open_many(4).await;
    for round in 0..5 {
        let states: Vec<Event> = (1..=24).map(|version| event(&format!("o{round}"), version)).collect();
        // Each with its ledger row in one transaction, as they are settled; in both directions, for deadlocks.
        let settle = async |n: usize| {
            let state = &states[if n.is_multiple_of(2) { n } else { states.len() - n }];
            let store = &stores[n % 4];
            let mut tx = store.begin().await.unwrap();
            let settled =
                Settlement { verdict: Verdict::Parked, code: "failing", reason: "because", attempts: 1, steps: &[] };
            store.record(&mut tx, state, &settled, "hash").await.unwrap();
            let due_at = store.clock().now();
            let (account, cause) = (ACCOUNT, Cause::Failing);
            let row = ToPark { event: state, account, class: 1, cause, cause_key: None, reason: "because", due_at };
            store.park(&mut tx, &row).await.unwrap();
            tx.commit().await.unwrap();
        };
        all((0..states.len()).map(settle)).await;
        let newest = &states[states.len() - 1];
        let row = stores[0].parked(&newest.key).await.unwrap().unwrap();
        assert_eq!((row.event_id, row.generation), (newest.id.to_string(), 24));
        let filter = EventFilter { search: Some(newest.key.object_id.clone()), limit: 100, ..EventFilter::default() };
        let rows = stores[0].list_events(&filter).await.unwrap();
        let waiting: Vec<_> = rows.iter().filter(|row| row.outcome == "parked").map(|row| &row.event_id).collect();
        assert_eq!((rows.len(), waiting), (24, vec![&newest.id.to_string()]));
    }
    close(&stores).await;
}

async fn a_job_asked_for_by_many_at_once_is_one_job_and_one_takes_it(place: &dyn Place) {
    let stores = place.open_many(4).await;
    for connection in ["a", "b", "c"] {
        let jobs = all((0..12).map(|n| stores[n % 4].add_job("import", connection, "{}"))).await;
        let ids: std::collections::BTreeSet<_> = jobs.into_iter().map(|job| job.unwrap().id).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let owners: Vec<String> = (0..8).map(|owner| format!("owner {owner}")).collect();
        let lease = Duration::from_mins(1);
        let take = |(n, owner): (usize, _)| stores[n % 4].take_job(owner, lease, Lane::Walks);
        let taken = all(owners.iter().map(String::as_str).enumerate().map(take)).await;
        assert_eq!(taken.into_iter().filter_map(Result::unwrap).count(), 1);
    }
    close(&stores).await;
}

async fn components_written_at_once_are_those_of_one_writer(place: &dyn Place) {
    let stores = place.open_many(4).await;
    let sets: Vec<Vec<String>> = (0..8).map(|n| (0..4).map(|part| format!("{n}/{part}")).collect()).collect();
    for _ in 0..5 {
        let write = |(n, set): (usize, _)| stores[n % 4].set_components("c", "p", set);
        for done in all(sets.iter().map(Vec::as_slice).enumerate().map(write)).await {
            done.unwrap();
        }
        let mut of = Vec::new();
        for (n, set) in sets.iter().enumerate() {
            for part in set {
                of.extend(stores[0].dependents("c", part, "other").await.unwrap().iter().map(|_| n));
            }
        }
        assert!(of.len() == 4 && of.iter().all(|n| *n == of[0]), "parts of several writers: {of:?}");
    }
    close(&stores).await;
}

async fn a_lease_has_one_owner_and_an_epoch_for_each(place: &dyn Place) {
    let stores = place.open_many(4).await;
    let lease = Duration::from_secs(15);
    let owners: Vec<String> = (0..12).map(|owner| format!("owner {owner}")).collect();
    let mut last = None;
    for epoch in 1..=6 {
        let take = |(n, owner): (usize, _)| stores[n % 4].take_lease("order.3", owner, lease);
        let taken = all(owners.iter().map(String::as_str).enumerate().map(take)).await;
        let won: Vec<usize> =
            taken.into_iter().enumerate().filter(|row| *row.1.as_ref().unwrap()).map(|row| row.0).collect();
        assert_eq!(won.len(), 1, "one owner: {won:?}");
        let winner = owners[won[0]].as_str();
        let held = stores[0].leases("order.").await.unwrap().remove(0);
        assert_eq!(held.owner, winner);
        // The one who had it before may have got it again; then it is the same holding.
        assert!(if last.as_deref() == Some(winner) { held.epoch < epoch } else { held.epoch <= epoch }, "{held:?}");
        let names = ["order.3".to_owned(), "order.4".to_owned()];
        for (n, owner) in owners.iter().enumerate() {
            let kept = stores[n % 4].renew_leases(owner, &names, lease).await.unwrap();
            assert_eq!(kept, if owner == winner { vec!["order.3".to_owned()] } else { vec![] });
            stores[n % 4].drop_lease("order.4", owner).await.unwrap();
        }
        assert!(!stores[1].take_lease("order.3", "late", lease).await.unwrap());
        last = Some(winner.to_owned());
        // Half of the times it is given back, else it ends by itself: on every machine's clock.
        if epoch % 2 == 0 {
            stores[0].drop_lease("order.3", winner).await.unwrap();
        } else {
            for store in &stores {
                store.clock().advance(lease + Duration::from_secs(1));
            }
        }
    }
    stores[0].take_lease("order.3", "another", lease).await.unwrap();
    stores[0].take_lease("order.30", "another", lease).await.unwrap();
    stores[0].take_lease("keeper", "another", lease).await.unwrap();
    let names =
        async |prefix| stores[1].leases(prefix).await.unwrap().into_iter().map(|lease| lease.name).collect::<Vec<_>>();
    assert_eq!(names("order.").await, ["order.3", "order.30"]);
    assert_eq!(names("").await, ["keeper", "order.3", "order.30"]);
    close(&stores).await;
}

async fn those_who_are_alive_are_listed_by_role_until_they_leave_or_fall_silent(place: &dyn Place) {
    let store = place.open().await;
    let alive = async |role| {
        let members = store.members(role).await.unwrap();
        members.into_iter().map(|member| (member.owner, member.kinds)).collect::<Vec<_>>()
    };
    let own = |owner: &str, kinds: &str| (owner.to_owned(), kinds.to_owned());
    let second = Duration::from_secs(1);
    store.join("b", "work", "order", second * 30).await.unwrap();
    store.join("a", "work", "order", second * 10).await.unwrap();
    store.join("k", "keeper", "", second * 30).await.unwrap();
    store.join("a", "work", "order,product", second * 10).await.unwrap();
    assert_eq!(alive("work").await, [own("a", "order,product"), own("b", "order")]);
    store.clock().advance(second * 20);
    assert_eq!(alive("work").await, [own("b", "order")]);
    store.leave("b").await.unwrap();
    assert_eq!((alive("work").await, alive("keeper").await), (vec![], vec![own("k", "")]));
    assert_eq!(store.agree("partitions", "8").await.unwrap(), "8");
    assert_eq!(store.agree("partitions", "16").await.unwrap(), "8", "what is agreed on stays");
    store.close().await;
}

async fn a_process_that_starts_anew_ends_what_it_held_and_nothing_of_others(place: &dyn Place) {
    let store = place.open().await;
    let lease = Duration::from_mins(5);
    let key = |n: &str| IntentKey { account: "omni:s".into(), kind: IntentKind::Order, natural_key: n.into() };
    for (n, owner) in [("1", "one"), ("2", "two")] {
        store.take_intent(&key(n), "c", n, None, owner, lease).await.unwrap();
        store.take_lease(&format!("order.{n}"), owner, lease).await.unwrap();
        store.join(owner, "work", "order", lease).await.unwrap();
        store.add_job("import", n, "{}").await.unwrap();
        store.take_job(owner, lease, Lane::Walks).await.unwrap().unwrap();
    }
    assert_eq!(store.end_leases("one").await.unwrap(), 1);
    let again = store.take_intent(&key("1"), "c", "1", None, "three", lease).await.unwrap();
    assert!(matches!(again, Taken::Again(_)), "it may have been sent: {again:?}");
    assert!(matches!(store.take_intent(&key("2"), "c", "2", None, "three", lease).await.unwrap(), Taken::Held { .. }));
    assert!(store.take_lease("order.1", "three", lease).await.unwrap());
    assert!(!store.take_lease("order.2", "three", lease).await.unwrap());
    assert_eq!(store.members("work").await.unwrap().len(), 1);
    assert_eq!(store.take_job("three", lease, Lane::Walks).await.unwrap().unwrap().connection, "1");
    assert!(store.take_job("three", lease, Lane::Walks).await.unwrap().is_none());
    store.close().await;
}

async fn all<T>(work: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures::future::join_all(work).await
}

async fn close(stores: &[Store]) {
    for store in stores {
        store.close().await;
    }
}

contract!([
    eight_processes_bring_one_database_up_to_date_at_once,
    of_twenty_who_ask_for_one_intent_one_gets_it,
    of_states_parked_at_once_the_newest_stays_and_all_others_give_way,
    a_job_asked_for_by_many_at_once_is_one_job_and_one_takes_it,
    components_written_at_once_are_those_of_one_writer,
    a_lease_has_one_owner_and_an_epoch_for_each,
    those_who_are_alive_are_listed_by_role_until_they_leave_or_fall_silent,
    a_process_that_starts_anew_ends_what_it_held_and_nothing_of_others,
]);
