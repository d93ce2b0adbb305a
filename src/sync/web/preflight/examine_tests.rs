use proptest::prelude::*;

use super::*;
use crate::domain::linking::{Candidate, Joined, judge};
use crate::domain::product::{PosInventory, PosVariant};

fn sapo(id: &str, sku: &str) -> Row {
    let variant = PosVariant {
        id: id.into(),
        sku: sku.into(),
        active: true,
        retail_price: Some(120_000.into()),
        inventories: vec![stock("1", Some("10")), stock("2", Some("5"))],
        ..PosVariant::default()
    };
    new(Where::Pos, id, sku, Facts::Sapo(SapoFacts { active: true, variant }))
}

fn web(id: &str, sku: &str) -> Row {
    let variant = WebVariant {
        id: id.into(),
        sku: sku.into(),
        managed: true,
        quantity: Some(3.into()),
        price: Some(115_000.into()),
        ..WebVariant::default()
    };
    new(Where::Web, id, sku, Facts::Web(variant))
}

fn new(side: Where, id: &str, sku: &str, facts: Facts) -> Row {
    Row {
        side,
        key: crate::store::variants::kept_sku(sku),
        sku: sku.to_owned(),
        name: "Áo thun".to_owned(),
        product_id: format!("p{id}"),
        variant_id: id.to_owned(),
        linked: false,
        cut: false,
        facts,
    }
}

fn stock(branch: &str, figure: Option<&str>) -> PosInventory {
    PosInventory {
        location_id: branch.into(),
        available: figure.map(|figure| figure.parse().unwrap()),
        on_hand: Some(100.into()),
    }
}

fn told(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| match entry {
            Entry::Line(line) => format!("{} {} {}", line.issue, line.side, line.variant_id),
            Entry::Proposed(pair) => {
                format!("{} {}⇄{}", if pair.marked { "link" } else { "choose" }, pair.sapo_variant, pair.web_variant)
            }
        })
        .collect()
}

#[test]
fn a_sku_is_paired_only_where_each_side_has_it_once_and_free() {
    let linked = |row: Row| Row { linked: true, ..row };
    let cut = |row: Row| Row { cut: true, ..row };
    let cases: [(Vec<Row>, &[&str]); 8] = [
        (vec![sapo("1", "A"), web("2", "A")], &["link 1⇄2"]),
        (vec![sapo("1", "A")], &["only_on_sapo pos 1"]),
        (vec![web("2", "A")], &["only_on_web web 2"]),
        (vec![linked(sapo("1", "A")), linked(web("2", "A"))], &[]),
        (vec![linked(sapo("1", "A"))], &[]),
        (vec![linked(sapo("1", "A")), web("2", "A")], &["linked_elsewhere web 2"]),
        (vec![cut(sapo("1", "A")), web("2", "A")], &["choose 1⇄2"]),
        (vec![sapo("1", ""), web("2", " ")], &[]),
    ];
    for (rows, expected) in cases {
        assert_eq!(told(&group(&rows)), expected, "{rows:?}");
    }
}

#[test]
fn every_candidate_of_a_duplicate_is_shown_and_the_free_ones_may_be_chosen() {
    let rows = [sapo("1", "A"), Row { linked: true, ..sapo("2", "A") }, web("3", "A"), web("4", "A")];
    let found = group(&rows);
    assert_eq!(
        told(&found),
        ["duplicate pos 1", "duplicate pos 2", "duplicate web 3", "duplicate web 4", "choose 1⇄3", "choose 1⇄4"]
    );
    assert!(
        matches!(&found[1], Entry::Line(line) if line.note.contains("POS 2×, web 2×") && line.note.contains("linked"))
    );
    let many: Vec<Row> =
        (0..300).map(|id| sapo(&id.to_string(), "0")).chain((0..300).map(|id| web(&id.to_string(), "0"))).collect();
    assert_eq!(group(&many).len(), 600 + CHOICES);
}

#[test]
fn what_is_odd_about_a_row_is_told_with_its_branches() {
    let settings = Settings::default();
    let both = ["1".to_owned(), "2".to_owned(), "3".to_owned()];
    let mut row_of = sapo("1", " A\u{301}O\t");
    let Facts::Sapo(facts) = &mut row_of.facts else { panic!("a row of the POS") };
    facts.variant.retail_price = None;
    facts.variant.inventories = vec![stock("1", Some("10")), stock("2", Some("-12.5"))];
    let found = row(&row_of, &settings, Some(&both));
    assert_eq!(
        told(&found),
        [
            "blanks_trimmed pos 1",
            "unicode_composed pos 1",
            "branch_missing pos 1",
            "negative_stock pos 1",
            "price_missing pos 1"
        ]
    );
    let Entry::Line(missing) = &found[2] else { panic!("a line") };
    assert!(missing.note.ends_with('3'), "{missing:?}");
    let Entry::Line(negative) = &found[3] else { panic!("a line") };
    assert_eq!((negative.stock, negative.note.ends_with('2')), (Some("-2.5".parse().unwrap()), true));
    assert!(row(&sapo("1", "ÁO"), &settings, Some(&both[..2])).is_empty());
    let unknown = row(&row_of, &settings, None);
    assert!(!told(&unknown).iter().any(|told| told.contains("stock") || told.contains("branch")), "{unknown:?}");
    let mut there = web("2", "");
    let Facts::Web(facts) = &mut there.facts else { panic!("a row of the web") };
    facts.quantity = Some((-1).into());
    assert_eq!(told(&row(&there, &settings, None)), ["no_sku web 2", "negative_stock web 2"]);
    let Facts::Web(facts) = &mut there.facts else { panic!("a row of the web") };
    facts.managed = false;
    assert_eq!(told(&row(&there, &settings, None)), ["no_sku web 2", "unmanaged web 2"]);
}

proptest! {
    /// What the report marks is what linking does.
    #[test]
    fn a_pair_is_marked_exactly_where_it_would_be_linked(
        rows in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..6)
    ) {
        let rows: Vec<Row> = rows
            .into_iter()
            .enumerate()
            .map(|(id, (is_sapo, linked, cut))| {
                let id = id.to_string();
                let row = if is_sapo { sapo(&id, "A") } else { web(&id, "A") };
                Row { linked, cut: cut && !linked, ..row }
            })
            .collect();
        let candidates: Vec<Candidate> = rows
            .iter()
            .map(|row| Candidate {
                side: if row.side == Where::Pos { Side::Sapo } else { Side::Channel },
                product_id: row.product_id.clone(),
                variant_id: row.variant_id.clone(),
                cut: row.cut,
                joined: row.linked.then(|| Joined { other: "9".into(), other_sku: None, error: None }),
            })
            .collect();
        let linked = judge("A", &candidates)
            .link
            .map(|(one, other)| format!("link {}⇄{}", rows[one].variant_id, rows[other].variant_id));
        let marked: Vec<String> = told(&group(&rows)).into_iter().filter(|told| told.starts_with("link ")).collect();
        prop_assert_eq!(marked, Vec::from_iter(linked));
    }
}
