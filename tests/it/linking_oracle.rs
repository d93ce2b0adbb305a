//! Linking against an oracle: a plain reading of the rules, sentence by sentence, which shares no code with the program,
//! keeps everything in maps and looks at everything each time.

use std::collections::{BTreeMap, BTreeSet};

use sapo_sync::domain::linking::Side;
use sapo_sync::store::Store;
use sapo_sync::store::links::LinkKind;
use sapo_sync::store::variants::{ProductRows, VariantFilter};
use sapo_sync::work::web::linking::{LinkRefused, Target, link_by_hand, record, record_gone, relink_all, unlink};
use unicode_normalization::UnicodeNormalization as _;

use crate::catalogue_mess::{Change, Mess, Product, Where};
use crate::contract_store::{Place, Server, StateFile, contract};
use crate::contract_variants::{product, put};

type Id = (Where, String);

/// What the rules say of both catalogues.
#[derive(Default)]
struct Oracle {
    /// Every variant that is there, with its SKU as it is compared.
    there: BTreeMap<Id, String>,
    /// What each product listed last.
    products: BTreeMap<Id, Vec<Id>>,
    /// Each link from both its sides; one of them may be gone.
    links: BTreeMap<Id, Id>,
    cut: BTreeSet<Id>,
}

/// State and code of each variant, and its link's other side.
type Picture = BTreeMap<Id, (String, Option<String>)>;

/// State and code of a variant whose SKU a side has more than once.
const AMBIGUOUS: &str = "error ambiguous";

/// So many candidates of a side are named; where it has more, those are counted.
const MOST: usize = 20;

/// What the program says of both catalogues.
struct Found {
    picture: Picture,
    /// Why each variant is not linked or in error, for people.
    reasons: BTreeMap<Id, String>,
}

impl Oracle {
    /// Tells how many links stand again by it.
    fn told(&mut self, side: Where, product: &Product) -> usize {
        let listed: BTreeSet<Id> = product.variants.iter().map(|(id, _)| (side, id.clone())).collect();
        let stood = listed.iter().filter(|id| self.stands(id)).count();
        self.lists(side, product);
        listed.iter().filter(|id| self.stands(id)).count() - stood
    }

    fn lists(&mut self, side: Where, product: &Product) {
        let listed: Vec<Id> = product.variants.iter().map(|(id, _)| (side, id.clone())).collect();
        let before = self.products.insert((side, product.id.clone()), listed.clone()).unwrap_or_default();
        for id in before.iter().filter(|id| !listed.contains(id)) {
            self.goes(id);
        }
        self.there.extend(listed.into_iter().zip(product.variants.iter().map(|(_, sku)| compared(sku))));
    }

    fn goes(&mut self, id: &Id) {
        self.there.remove(id);
        match self.links.get(id).cloned() {
            // Who cut it by hand meant this one.
            None => drop(self.cut.remove(id)),
            Some(other) if !self.there.contains_key(&other) => self.unlink(id, &other),
            Some(_) => {}
        }
    }

    fn unlink(&mut self, one: &Id, other: &Id) {
        self.links.remove(one);
        self.links.remove(other);
    }

    fn deleted(&mut self, side: Where, product: &str) {
        self.told(side, &Product { id: product.to_owned(), variants: Vec::new() });
    }

    /// A person cuts a link.
    fn cuts(&mut self, pos: &str) {
        let pos = (Where::Pos, pos.to_owned());
        if let Some(web) = self.links.get(&pos).cloned() {
            self.unlink(&pos, &web);
            self.cut.extend([pos, web].into_iter().filter(|id| self.there.contains_key(id)));
        }
    }

    /// Both sides of its link are there.
    fn stands(&self, id: &Id) -> bool {
        self.there.contains_key(id) && self.links.get(id).is_some_and(|other| self.there.contains_key(other))
    }

    /// "Products link by SKU": one on each side, none of them linked, none of them cut by hand.
    fn links_what_it_can(&mut self, cut_too: Option<&str>) -> usize {
        let mut new = Vec::new();
        for (sku, ids) in self.by_sku() {
            let [pos, web] =
                [Where::Pos, Where::Web].map(|side| ids.iter().filter(|id| id.0 == side).collect::<Vec<_>>());
            let ([pos], [web]) = (&pos[..], &web[..]) else { continue };
            let free = |id: &Id| !self.stands(id) && (cut_too == Some(sku) || !self.cut.contains(id));
            if free(pos) && free(web) {
                new.push([Id::clone(pos), Id::clone(web)]);
            }
        }
        for [pos, web] in &new {
            for id in [pos, web] {
                if let Some(broken) = self.links.get(id).cloned() {
                    self.unlink(id, &broken);
                }
                self.cut.remove(id);
            }
            self.links.insert(pos.clone(), web.clone());
            self.links.insert(web.clone(), pos.clone());
        }
        new.len()
    }

    fn by_sku(&self) -> BTreeMap<&str, Vec<&Id>> {
        let mut all: BTreeMap<&str, Vec<&Id>> = BTreeMap::new();
        for (id, sku) in self.there.iter().filter(|(_, sku)| !sku.is_empty()) {
            all.entry(sku).or_default().push(id);
        }
        all
    }

    /// What the owner is to see.
    fn picture(&self) -> Picture {
        let by_sku = self.by_sku();
        let mut picture = Picture::new();
        for (id, sku) in &self.there {
            let other = self.links.get(id);
            let same = by_sku.get(&**sku).map_or(&[][..], Vec::as_slice);
            let (here, across): (Vec<&Id>, Vec<&Id>) = same.iter().partition(|one| one.0 == id.0);
            let word = if self.stands(id) {
                let other_sku = other.and_then(|other| self.there.get(other));
                if other_sku == Some(sku) { "linked -" } else { "linked renamed" }
            } else if sku.is_empty() {
                if other.is_some() { broken(id.0) } else { "unlinked no_sku" }
            } else if self.cut.contains(id) {
                "unlinked cut_by_hand"
            } else if here.len() > 1 || across.len() > 1 {
                AMBIGUOUS
            } else if across.iter().any(|other| self.stands(other)) {
                "error linked_elsewhere"
            } else if !across.is_empty() {
                "unlinked cut_by_hand"
            } else if other.is_some() {
                broken(id.0)
            } else if id.0 == Where::Pos {
                "unlinked only_on_sapo"
            } else {
                "unlinked only_on_web"
            };
            picture.insert(id.clone(), (word.to_owned(), other.map(|other| other.1.clone())));
        }
        // What is gone is shown as long as its link tells of it.
        for (id, other) in self.links.iter().filter(|(id, _)| !self.there.contains_key(*id)) {
            picture.insert(id.clone(), (broken(other.0).to_owned(), Some(other.1.clone())));
        }
        picture
    }

    /// "An error that shows every candidate": for each variant in that error, what has its SKU on either side.
    fn candidates(&self) -> BTreeMap<Id, BTreeSet<Id>> {
        let by_sku = self.by_sku();
        let ambiguous = self.picture().into_iter().filter(|(_, (word, _))| word == AMBIGUOUS);
        ambiguous
            .map(|(id, _)| {
                let all = by_sku[self.there[&id].as_str()].iter().copied().cloned().collect();
                (id, all)
            })
            .collect()
    }
}

/// What is shown of a link whose side opposite to `left` is gone.
fn broken(left: Where) -> &'static str {
    if left == Where::Pos { "error gone_on_channel" } else { "error deleted" }
}

/// "Equal after trimming the ends and Unicode NFC."
fn compared(sku: &str) -> String {
    sku.nfc().collect::<String>().trim_matches(char::is_whitespace).to_owned()
}

fn side(place: Where) -> Side {
    if place == Where::Pos { Side::Sapo } else { Side::Channel }
}

fn rows(told: &Product, version: i64) -> ProductRows {
    let rows: Vec<(&str, &str)> = told.variants.iter().map(|(id, sku)| (&**id, &**sku)).collect();
    product(&told.id, version, &rows)
}

/// What the program says.
async fn found(store: &Store) -> Found {
    let mut others: BTreeMap<Id, String> = BTreeMap::new();
    for link in store.links_page("c", LinkKind::Product, "", 100_000).await.unwrap() {
        others.insert((Where::Pos, link.sapo_id.clone()), link.channel_id.clone());
        let twice = others.insert((Where::Web, link.channel_id), link.sapo_id);
        assert_eq!(twice, None, "one web variant has two links");
    }
    let filter = VariantFilter { connection: "c".into(), limit: 100_000, ..VariantFilter::default() };
    let mut found = Found { picture: Picture::new(), reasons: BTreeMap::new() };
    for row in store.list_variants(&filter).await.unwrap() {
        let place = if row.side == "sapo" { Where::Pos } else { Where::Web };
        let id = (place, row.variant_id);
        assert_eq!(row.reason.is_some(), row.code.is_some(), "{id:?}");
        let word = format!("{} {}", row.state, row.code.as_deref().unwrap_or("-"));
        found.reasons.extend(row.reason.map(|reason| (id.clone(), reason)));
        let other = others.get(&id).cloned();
        found.picture.insert(id, (word, other));
    }
    found
}

/// The variants that a reason names, each as `Sapo variant 11 of product 1`.
fn named_in(reason: &str) -> BTreeSet<Id> {
    let mut named = BTreeSet::new();
    for (place, word) in [(Where::Pos, "Sapo variant "), (Where::Web, "web variant ")] {
        for said in reason.split(word).skip(1) {
            // What a candidate is linked to is told without its product.
            let id = said.split_once(" of product ").map(|(id, _)| id);
            named.extend(id.filter(|id| id.chars().all(|c| c.is_ascii_digit())).map(|id| (place, id.to_owned())));
        }
    }
    named
}

/// Whether a reason names these candidates and no others; of a side with very many some, with the number of the others
/// and the command that shows all.
fn names(reason: &str, candidates: &BTreeSet<Id>) -> bool {
    let named = named_in(reason);
    [(Where::Pos, "Sapo"), (Where::Web, "the web")].into_iter().all(|(place, side)| {
        let of = |ids: &BTreeSet<Id>| -> BTreeSet<Id> { ids.iter().filter(|id| id.0 == place).cloned().collect() };
        let (all, named) = (of(candidates), of(&named));
        if all.len() <= MOST {
            return named == all && !reason.contains(&format!("more on {side}"));
        }
        let others = format!("and {} more on {side} (`sapo-sync links list", all.len() - MOST);
        named.len() == MOST && named.is_subset(&all) && reason.contains(&others)
    })
}

fn compare(oracle: &Oracle, found: &Found, when: &str) {
    let (wanted, candidates) = (oracle.picture(), oracle.candidates());
    let Found { picture: found, reasons } = found;
    let ids: BTreeSet<&Id> = wanted.keys().chain(found.keys()).collect();
    let differ = |id: &&&Id| wanted.get(**id) != found.get(**id);
    let states = ids
        .iter()
        .filter(differ)
        .map(|id| format!("{id:?}: the rules say {:?}, the program {:?}", wanted.get(id), found.get(id)));
    let unnamed = candidates
        .iter()
        .filter(|(id, all)| !reasons.get(*id).is_some_and(|reason| names(reason, all)))
        .map(|(id, all)| format!("{id:?}: the rules say that {all:?} are named, the program {:?}", reasons.get(id)));
    let bad: Vec<String> = states.chain(unnamed).collect();
    assert!(
        bad.is_empty(),
        "{when}: {} of {} rows differ:\n{}",
        bad.len(),
        ids.len(),
        bad[..bad.len().min(20)].join("\n")
    );
}

async fn cut(store: &Store, pos: &str) {
    if let Some(link) = store.link_by_sapo("c", LinkKind::Product, pos).await.unwrap() {
        assert!(unlink(store, "c", &link, "a test").await.unwrap());
    }
}

/// One change, the way an event or a person brings it.
async fn happens(store: &Store, oracle: &mut Oracle, change: &Change, version: i64, when: &str) {
    match change {
        Change::Told(place, product) => {
            let again = oracle.told(*place, product);
            let links = record(store, "c", side(*place), &rows(product, version)).await.unwrap();
            assert_eq!(links.len(), again + oracle.links_what_it_can(None), "{when}: {change:?}");
        }
        Change::Deleted(place, product) => {
            oracle.deleted(*place, product);
            let new = record_gone(store, "c", side(*place), product).await.unwrap();
            assert_eq!(new.len(), oracle.links_what_it_can(None), "{when}: {change:?}");
        }
        Change::Cut(pos) => {
            oracle.cuts(pos);
            cut(store, pos).await;
        }
        Change::LinkBySku(sku) => {
            let made = oracle.links_what_it_can(Some(&compared(sku)));
            match link_by_hand(store, "c", &Target::Sku(sku.clone()), "a test").await {
                Ok(linked) => assert_eq!(usize::from(linked.new), made, "{when}: {sku:?}"),
                Err(LinkRefused::Store(error)) => panic!("{when}: {error}"),
                Err(why) => assert_eq!(made, 0, "{when}: {sku:?}: {why}"),
            }
        }
    }
}

/// A product of which every variant has the SKU that is typed where there is none.
fn alike(id: u64, many: u64) -> Product {
    Product { id: id.to_string(), variants: (1..=many).map(|n| ((id + n).to_string(), "0".to_owned())).collect() }
}

async fn messy_catalogues_are_linked_as_the_rules_say(place: &dyn Place) {
    follow(place, 20_260_701, 10_000, 300).await;
}

async fn and_so_are_those_of_a_seed_never_tried_before(place: &dyn Place) {
    follow(place, rand::random(), 1_500, 600).await;
}

async fn follow(place: &dyn Place, seed: u64, size: usize, changes: usize) {
    println!("seed {seed}");
    let store = place.open().await;
    let (mut oracle, mut mess) = (Oracle::default(), Mess::new(seed, size));
    // One SKU on more variants of each side than are named.
    mess.of(Where::Pos).push(alike(9_000_000, 23));
    mess.of(Where::Web).push(alike(9_100_000, 21));
    for place in [Where::Web, Where::Pos] {
        let all = mess.of(place).clone();
        for page in all.chunks(250) {
            let page: Vec<ProductRows> = page.iter().map(|product| rows(product, 1)).collect();
            put(&store, side(place), &page, Some("walk 1")).await;
        }
        for product in all {
            oracle.told(place, &product);
        }
    }
    let made = oracle.links_what_it_can(None);
    let summary = relink_all(&store, "c", |_| {}).await.unwrap();
    assert_eq!((summary.new_links as usize, summary.rows as usize), (made, oracle.there.len()), "seed {seed}");
    assert!(oracle.candidates().values().any(|all| all.len() > 2 * MOST), "seed {seed}: none has very many candidates");
    compare(&oracle, &found(&store).await, &format!("seed {seed}, imported"));
    // Cut by hand, then a night of changes that nobody told of, found by the next walk.
    let (cuts, night) = mess.history();
    for change in &cuts {
        happens(&store, &mut oracle, change, 2, "cut").await;
    }
    for change in &night {
        match change {
            Change::Told(place, product) => {
                oracle.told(*place, product);
                put(&store, side(*place), &[rows(product, 3)], Some("walk 2")).await;
            }
            Change::Deleted(place, product) => {
                oracle.deleted(*place, product);
                let mut tx = store.begin().await.unwrap();
                store.product_gone(&mut tx, "c", side(*place), product).await.unwrap();
                tx.commit().await.unwrap();
            }
            Change::Cut(_) | Change::LinkBySku(_) => unreachable!("not in a night"),
        }
    }
    let made = oracle.links_what_it_can(None);
    let summary = relink_all(&store, "c", |_| {}).await.unwrap();
    assert_eq!(summary.new_links as usize, made, "seed {seed}");
    compare(&oracle, &found(&store).await, &format!("seed {seed}, reconciled"));
    for number in 0..changes {
        let when = format!("seed {seed}, change {number}");
        for change in mess.next() {
            happens(&store, &mut oracle, &change, 4 + number as i64, &when).await;
        }
        if number % 40 == 39 {
            compare(&oracle, &found(&store).await, &when);
        }
    }
    // And nothing of all this was left to be found by looking at everything.
    let summary = relink_all(&store, "c", |_| {}).await.unwrap();
    assert_eq!((summary.changed, summary.new_links), (0, 0), "seed {seed}");
    store.close().await;
}

contract!([messy_catalogues_are_linked_as_the_rules_say, and_so_are_those_of_a_seed_never_tried_before]);
