use proptest::prelude::*;

use super::*;

fn row(side: Side, id: &str) -> Candidate {
    Candidate { side, product_id: format!("p{id}"), variant_id: id.to_owned(), cut: false, joined: None }
}

fn sapo(id: &str) -> Candidate {
    row(Side::Sapo, id)
}

fn web(id: &str) -> Candidate {
    row(Side::Channel, id)
}

fn joined(row: Candidate, other: &str, sku: &str, error: Option<&str>) -> Candidate {
    let error = error.map(|code| (code.to_owned(), "because".to_owned()));
    Candidate { joined: Some(Joined { other: other.to_owned(), other_sku: Some(sku.to_owned()), error }), ..row }
}

fn cut(row: Candidate) -> Candidate {
    Candidate { cut: true, ..row }
}

fn told(judged: &Judged) -> Vec<(&str, &str)> {
    judged.rows.iter().map(|row| (row.state.as_str(), row.code.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn one_of_each_side_is_linked() {
    let judged = judge("AO", &[web("9"), sapo("1")]);
    assert_eq!((told(&judged), judged.link), (vec![("linked", "-"), ("linked", "-")], Some((1, 0))));
}

#[test]
fn where_nothing_may_be_linked_now_the_two_say_that_they_will_be_and_others_what_they_always_say() {
    let gone = joined(sapo("1"), "9", "AO", Some(DELETED));
    let rows = [gone, joined(web("9"), "1", "AO", Some(DELETED)), sapo("2")];
    let told = |rows: &[Candidate]| {
        let told = judge("AO", rows).without_linking("AO");
        told.into_iter().map(|row| format!("{} {}", row.state, row.code.unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(told(&rows), ["error deleted", "unlinked to_be_linked", "unlinked to_be_linked"]);
    assert_eq!(told(&[sapo("1"), sapo("2"), web("9")]), ["error ambiguous"; 3]);
    let standing = [joined(sapo("1"), "9", "AO", None), joined(web("9"), "1", "AO", None)];
    assert_eq!(told(&standing), ["linked "; 2]);
}

#[test]
fn without_a_sku_or_a_counterpart_a_variant_is_not_linked() {
    assert_eq!(told(&judge("", &[sapo("1"), web("9")])), [("unlinked", "no_sku"); 2]);
    assert_eq!(told(&judge("AO", &[sapo("1")])), [("unlinked", "only_on_sapo")]);
    assert_eq!(told(&judge("AO", &[web("9")])), [("unlinked", "only_on_web")]);
    assert_eq!(judge("", &[sapo("1"), web("9")]).link, None);
}

#[test]
fn a_sku_that_a_side_has_twice_is_an_error_that_names_every_candidate() {
    let judged = judge("AO", &[sapo("1"), sapo("2"), web("9")]);
    assert_eq!((told(&judged), judged.link), (vec![("error", "ambiguous"); 3], None));
    let reason = judged.rows[0].reason.clone().unwrap();
    assert_eq!(
        reason,
        "SKU AO occurs 2 times on Sapo and once on the web: Sapo variant 1 of product p1; Sapo variant 2 of product p2; \
         web variant 9 of product p9; leave it on one of each, or link one pair by hand"
    );
    assert!(judged.rows.iter().all(|row| row.reason.as_ref() == Some(&reason)));
    assert_eq!(told(&judge("AO", &[web("8"), web("9")])), [("error", "ambiguous"); 2]);
}

#[test]
fn a_sku_on_thousands_of_variants_names_some_counts_the_rest_and_says_where_all_are_seen() {
    let rows: Vec<Candidate> = (0..5_000).map(|id| sapo(&id.to_string())).collect();
    let reason = judge("0", &rows).rows[0].reason.clone().unwrap();
    let shown = "and 4980 more on Sapo (`sapo-sync links list --connection NAME --sku SKU` shows all); leave it";
    assert!(reason.len() < 2_000 && reason.contains(shown), "{reason}");
    let few = judge("0", &rows[..NAMED]).rows[0].reason.clone().unwrap();
    assert!(!few.contains("more") && !few.contains("links list"), "{few}");
}

#[test]
fn a_later_duplicate_is_the_error_and_the_link_stands() {
    let judged = judge("AO", &[joined(sapo("1"), "9", "AO", None), joined(web("9"), "1", "AO", None), sapo("2")]);
    assert_eq!(told(&judged), [("linked", "-"), ("linked", "-"), ("error", "ambiguous")]);
    assert!(judged.rows[2].reason.as_ref().unwrap().contains("Sapo variant 1 of product p1, linked to web variant 9"));
}

#[test]
fn a_counterpart_that_is_linked_to_another_is_named() {
    let judged = judge("AO", &[sapo("1"), joined(web("9"), "2", "OLD", None)]);
    assert_eq!((told(&judged), judged.link), (vec![("error", "linked_elsewhere"), ("linked", "renamed")], None));
    let reason = judged.rows[0].reason.as_ref().unwrap();
    assert!(reason.contains("web variant 9 of product p9, linked to Sapo variant 2 already"), "{reason}");
}

#[test]
fn a_linked_variant_keeps_its_link_whatever_its_sku_is_now() {
    for (sku, code) in [("NEW", "renamed"), ("", "renamed"), ("AO", "-")] {
        let judged = judge(sku, &[joined(sapo("1"), "9", "AO", None)]);
        assert_eq!(told(&judged), [("linked", code)]);
    }
    let judged = judge("", &[joined(sapo("1"), "9", "AO", None)]);
    assert!(judged.rows[0].reason.as_ref().unwrap().contains("empty on Sapo and AO on the web"));
    let refused = judge("AO", &[joined(sapo("1"), "9", "AO", Some("missing_scope")), sapo("2")]);
    assert_eq!(told(&refused), [("error", "missing_scope"), ("error", "ambiguous")], "a link in error stands");
}

#[test]
fn a_link_through_which_something_is_not_pushed_is_in_good_order_and_says_so_before_a_changed_sku() {
    for code in [UNMANAGED, STOCK_UNKNOWN, NO_PRICE] {
        let flagged = |sku: &str| joined(sapo("1"), "9", sku, Some(code));
        let same = judge("AO", &[flagged("AO"), sapo("2")]);
        assert_eq!((told(&same), same.link), (vec![("linked", code), ("error", "ambiguous")], None));
        let renamed = judge("AO", &[flagged("NEW")]);
        assert_eq!(told(&renamed), [("linked", code)]);
        let reason = renamed.rows[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("because; it stays linked") && reason.contains("NEW on the web"), "{reason}");
    }
    assert!(!is_flag(DELETED) && !is_flag("missing_scope"));
}

#[test]
fn what_was_cut_by_hand_is_never_linked_by_itself() {
    let judged = judge("AO", &[cut(sapo("1")), web("9")]);
    assert_eq!((told(&judged), judged.link), (vec![("unlinked", "cut_by_hand"); 2], None));
    assert_eq!(told(&judge("AO", &[cut(sapo("1"))])), [("unlinked", "cut_by_hand")]);
    let judged = judge("AO", &[cut(sapo("1")), sapo("2"), cut(web("9"))]);
    assert_eq!(told(&judged), [("unlinked", "cut_by_hand"), ("error", "ambiguous"), ("unlinked", "cut_by_hand")]);
}

#[test]
fn what_is_gone_stays_shown_and_what_came_in_its_place_is_linked() {
    let left = joined(web("9"), "1", "AO", Some(DELETED));
    let gone = joined(sapo("1"), "9", "AO", Some(DELETED));
    assert_eq!(told(&judge("AO", &[gone.clone(), left.clone()])), [("error", "deleted"); 2]);
    let judged = judge("AO", &[gone, left, sapo("2")]);
    assert_eq!(told(&judged), [("error", "deleted"), ("linked", "-"), ("linked", "-")]);
    assert_eq!(judged.link, Some((2, 1)));
    let judged = judge(
        "AO",
        &[
            joined(web("9"), "1", "AO", Some(GONE_ON_CHANNEL)),
            web("8"),
            joined(sapo("1"), "9", "AO", Some(GONE_ON_CHANNEL)),
        ],
    );
    assert_eq!((told(&judged)[0], judged.link), (("error", "gone_on_channel"), Some((2, 1))));
}

/// A row of any kind; ids are unique because they are numbered.
fn any_rows() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any::<bool>(), any::<bool>(), 0..6_u8, 0..3_u8);
    proptest::collection::vec(one, 0..8).prop_map(|rows| {
        let make = |(at, (on_web, cut, link, sku)): (usize, (bool, bool, u8, u8))| {
            let side = if on_web { Side::Channel } else { Side::Sapo };
            let base = Candidate { cut, ..row(side, &at.to_string()) };
            let error = [None, Some("refused"), Some(DELETED), Some(GONE_ON_CHANNEL)].get(usize::from(link)).copied();
            let sku = ["AO", "OTHER", ""].get(usize::from(sku)).copied().unwrap_or_default();
            match error {
                Some(error) => joined(base, &format!("far {at}"), sku, error),
                None => base,
            }
        };
        rows.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_rows_changes_nothing((rows, shuffled) in any_rows().prop_flat_map(|rows| {
        let places: Vec<usize> = (0..rows.len()).collect();
        (Just(rows), Just(places).prop_shuffle())
    }), sku in prop_oneof![Just("AO"), Just("")]) {
        let one = judge(sku, &rows);
        prop_assert_eq!(&one, &judge(sku, &rows), "the same rows are judged the same");
        let moved: Vec<Candidate> = shuffled.iter().map(|at| rows[*at].clone()).collect();
        let other = judge(sku, &moved);
        for (now, before) in shuffled.iter().enumerate() {
            prop_assert_eq!(&other.rows[now], &one.rows[*before]);
        }
        let back = other.link.map(|(sapo, web)| (shuffled[sapo], shuffled[web]));
        prop_assert_eq!(back, one.link);
    }

    #[test]
    fn only_free_variants_that_are_alone_on_their_side_are_linked(rows in any_rows(), sku in prop_oneof![Just("AO"), Just("")]) {
        let judged = judge(sku, &rows);
        prop_assert_eq!(judged.rows.len(), rows.len());
        if let Some((sapo, web)) = judged.link {
            prop_assert_eq!((rows[sapo].side, rows[web].side, sku), (Side::Sapo, Side::Channel, "AO"));
            for at in [sapo, web] {
                prop_assert!(!rows[at].is_linked() && !rows[at].cut && !rows[at].is_gone());
                let alone = rows.iter().filter(|row| row.side == rows[at].side && !row.is_gone()).count();
                prop_assert_eq!(alone, 1, "never one of several");
            }
        }
        for (at, row) in rows.iter().enumerate() {
            let new = judged.link.is_some_and(|(sapo, web)| at == sapo || at == web);
            let verdict = &judged.rows[at];
            if row.is_linked() || new {
                let stands = row.joined.as_ref().is_some_and(|joined| joined.stands() && joined.error.is_some());
                prop_assert_eq!(verdict.state == VariantState::Linked, !stands);
            } else {
                prop_assert_ne!(verdict.state, VariantState::Linked);
            }
            prop_assert_eq!(verdict.code.is_some(), verdict.reason.is_some());
            prop_assert!(verdict.code.is_some() || verdict.state == VariantState::Linked, "what is not linked tells why");
        }
    }
}
