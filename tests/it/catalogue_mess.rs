//! Two catalogues as shops really have them, made from a seed.
//!
//! About 10,000 variants a side, in products of 1 to 100. Of the products' SKUs, some are the same on both sides to
//! the letter, and the others are what is found in shops:
//!
//! | share | mess |
//! |---|---|
//! | 4 % | twice to four times on the POS, on the web, or on both |
//! | 12 % | on one side alone |
//! | 3 % | missing on one side or both: empty, or nothing but blanks, tabs and no-break spaces |
//! | 5 % | blanks, tabs, line ends or no-break spaces at the ends, on one side |
//! | 5 % | Vietnamese letters, composed on one side and decomposed on the other |
//! | 2 % | two that differ by an inner blank alone (`MY/LAN/01`, `MY/LAN /01`), both on both sides |
//! | 2 % | two that differ by upper and lower case alone, both on both sides |
//!
//! What happens to them once they are linked ([`Mess::history`]): renamed, cut by hand, deleted, deleted and made again
//! with other ids, and two products that swap their SKUs.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use unicode_normalization::UnicodeNormalization as _;

/// A product of one side: its id, and the ids and SKUs of its variants, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub id: String,
    pub variants: Vec<(String, String)>,
}

/// Which catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    Pos,
    Web,
}

/// Something that happens to one product, or to one link.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is now so: new, renamed, with variants more or less, or back again.
    Told(Where, Product),
    Deleted(Where, String),
    /// The link of this POS variant is cut by hand, if it has one.
    Cut(String),
    /// Somebody asks for a link by SKU.
    LinkBySku(String),
}

/// Both catalogues, and what makes more of them.
pub struct Mess {
    pub pos: Vec<Product>,
    pub web: Vec<Product>,
    dice: StdRng,
    next: u64,
}

const BLANKS: [&str; 5] = ["", " ", "\t", "\u{a0}", " \u{3000}\n"];
const ENDS: [(&str, &str); 5] = [(" ", ""), ("", " "), ("\t", "\t"), ("\u{a0}", ""), ("", "\r\n")];
const LETTERS: [&str; 6] = ["ÁO", "ĐẦM", "MŨ", "QUẦN-LỬNG", "Túi ví", "Giày dép ở nhà"];

impl Mess {
    /// Makes two catalogues of about so many variants each.
    pub fn new(seed: u64, size: usize) -> Self {
        let mut mess = Self { pos: Vec::new(), web: Vec::new(), dice: StdRng::seed_from_u64(seed), next: 1_000 };
        let (mut pos, mut web): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut number = 0;
        while pos.len() < size || web.len() < size {
            number += 1;
            mess.add(number, &mut pos, &mut web);
        }
        mess.pos = mess.products(pos);
        mess.web = mess.products(web);
        mess
    }

    fn add(&mut self, number: usize, pos: &mut Vec<String>, web: &mut Vec<String>) {
        let sku = format!("SP{number:05}");
        match self.dice.random_range(0..100) {
            0..4 => {
                let times = self.dice.random_range(2..=4);
                let (on_pos, on_web) =
                    [(times, 1), (1, times), (times, times), (times, 0), (0, times)][self.dice.random_range(0..5)];
                pos.extend(std::iter::repeat_n(sku.clone(), on_pos));
                web.extend(std::iter::repeat_n(sku, on_web));
            }
            4..10 => pos.push(sku),
            10..16 => web.push(sku),
            16..19 => {
                let which = self.dice.random_range(0..3);
                let mut blank = || BLANKS[self.dice.random_range(0..BLANKS.len())].to_owned();
                pos.push(if which == 1 { sku.clone() } else { blank() });
                web.push(if which == 2 { sku } else { blank() });
            }
            19..24 => {
                let (before, after) = ENDS[self.dice.random_range(0..ENDS.len())];
                let (one, other) = if self.dice.random() { (pos, web) } else { (web, pos) };
                one.push(format!("{before}{sku}{after}"));
                other.push(sku);
            }
            24..29 => {
                let sku = format!("{}-{number}", LETTERS[self.dice.random_range(0..LETTERS.len())]);
                let (one, other) = if self.dice.random() { (pos, web) } else { (web, pos) };
                one.push(sku.nfc().collect());
                other.push(sku.nfd().collect());
            }
            29 => both(pos, web, [format!("MY/LAN/{number}"), format!("MY/LAN /{number}")]),
            30 => both(pos, web, [format!("Ao-{number}"), format!("AO-{number}")]),
            _ => both(pos, web, [sku]),
        }
    }

    fn id(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    /// Cuts shuffled SKUs into products: most have one variant to five, a few up to a hundred.
    fn products(&mut self, mut skus: Vec<String>) -> Vec<Product> {
        skus.shuffle(&mut self.dice);
        let mut products = Vec::new();
        while !skus.is_empty() {
            let most = if self.dice.random_bool(0.03) { 100 } else { 5 };
            let many = self.dice.random_range(1..=most).min(skus.len());
            let variants = skus.split_off(skus.len() - many);
            products.push(self.product(variants));
        }
        products
    }

    fn product(&mut self, skus: Vec<String>) -> Product {
        let variants = skus.into_iter().map(|sku| (self.id(), sku)).collect();
        Product { id: self.id(), variants }
    }

    /// The catalogue of a side as it is now.
    pub fn of(&mut self, side: Where) -> &mut Vec<Product> {
        match side {
            Where::Pos => &mut self.pos,
            Where::Web => &mut self.web,
        }
    }

    fn any_side(&mut self) -> Where {
        if self.dice.random() { Where::Pos } else { Where::Web }
    }

    fn any_product(&mut self, side: Where) -> usize {
        let many = self.of(side).len();
        self.dice.random_range(0..many)
    }

    fn any_sku(&mut self) -> String {
        let side = self.any_side();
        let product = self.any_product(side);
        let many = self.of(side)[product].variants.len();
        let variant = self.dice.random_range(0..many.max(1));
        self.of(side)[product].variants.get(variant).map(|variant| variant.1.clone()).unwrap_or_default()
    }

    /// What happens after the first import: first links are cut by hand, then products change.
    pub fn history(&mut self) -> (Vec<Change>, Vec<Change>) {
        let cuts = (0..100).map(|_| self.cut()).collect();
        let mut changes = Vec::new();
        for _ in 0..100 {
            let side = self.any_side();
            let at = self.any_product(side);
            changes.push(self.rename(side, at));
        }
        for again in [false, true].repeat(60) {
            changes.extend(self.delete(again));
        }
        for _ in 0..60 {
            changes.extend(self.swap());
        }
        (cuts, changes)
    }

    /// The next of random changes, one at a time.
    pub fn next(&mut self) -> Vec<Change> {
        let side = self.any_side();
        let at = self.any_product(side);
        match self.dice.random_range(0..12) {
            0..3 => vec![self.rename(side, at)],
            3 => vec![self.cut()],
            4 => vec![Change::LinkBySku(self.any_sku())],
            5 => self.delete(false),
            6 => self.delete(true),
            7 => self.swap(),
            8 => {
                // A product that is told again as it is.
                vec![Change::Told(side, self.of(side)[at].clone())]
            }
            9 => {
                let (id, sku) = (self.id(), self.any_sku());
                let product = &mut self.of(side)[at];
                product.variants.push((id, sku));
                vec![Change::Told(side, product.clone())]
            }
            10 => {
                let product = &mut self.of(side)[at];
                product.variants.pop();
                vec![Change::Told(side, product.clone())]
            }
            _ => {
                // Deleted, and back with its old ids.
                let product = self.of(side)[at].clone();
                vec![Change::Deleted(side, product.id.clone()), Change::Told(side, product)]
            }
        }
    }

    fn cut(&mut self) -> Change {
        let at = self.any_product(Where::Pos);
        let first = self.pos[at].variants.first();
        Change::Cut(first.map(|variant| variant.0.clone()).unwrap_or_default())
    }

    /// A variant gets a SKU that is new, or another's, or none.
    fn rename(&mut self, side: Where, at: usize) -> Change {
        let sku = match self.dice.random_range(0..4) {
            0 => self.any_sku(),
            1 => BLANKS[self.dice.random_range(0..BLANKS.len())].to_owned(),
            _ => format!("RENAMED-{}", self.dice.random_range(0..400)),
        };
        let many = self.of(side)[at].variants.len();
        let variant = self.dice.random_range(0..many.max(1));
        let product = &mut self.of(side)[at];
        if let Some(variant) = product.variants.get_mut(variant) {
            variant.1 = sku;
        }
        Change::Told(side, product.clone())
    }

    /// A product goes; `again` makes one with the same SKUs and other ids.
    fn delete(&mut self, again: bool) -> Vec<Change> {
        let side = self.any_side();
        let at = self.any_product(side);
        let gone = self.of(side).swap_remove(at);
        let mut changes = vec![Change::Deleted(side, gone.id)];
        if again {
            let new = self.product(gone.variants.into_iter().map(|variant| variant.1).collect());
            self.of(side).push(new.clone());
            changes.push(Change::Told(side, new));
        }
        changes
    }

    /// Two products of one side swap the SKUs of their first variants.
    fn swap(&mut self) -> Vec<Change> {
        let side = self.any_side();
        let (one, other) = (self.any_product(side), self.any_product(side));
        let sku = |product: &Product| product.variants.first().map(|variant| variant.1.clone());
        let products = self.of(side);
        let (Some(first), Some(second)) = (sku(&products[one]), sku(&products[other])) else { return Vec::new() };
        if one == other {
            return Vec::new();
        }
        products[one].variants[0].1 = second;
        products[other].variants[0].1 = first;
        [one, other].map(|at| Change::Told(side, self.of(side)[at].clone())).into()
    }
}

fn both<const N: usize>(pos: &mut Vec<String>, web: &mut Vec<String>, skus: [String; N]) {
    pos.extend(skus.clone());
    web.extend(skus);
}

#[test]
fn the_same_seed_makes_the_same_mess_and_all_of_it() {
    let (one, other) = (Mess::new(7, 2_000), Mess::new(7, 2_000));
    assert_eq!((&one.pos, &one.web), (&other.pos, &other.web));
    assert_ne!(one.pos, Mess::new(8, 2_000).pos);
    let skus: Vec<&String> = one.pos.iter().chain(&one.web).flat_map(|p| &p.variants).map(|v| &v.1).collect();
    let some = |what: &str, found: bool| assert!(found, "{what}");
    some("blank", skus.iter().any(|sku| sku.trim().is_empty()));
    some("no-break space", skus.iter().any(|sku| sku.contains('\u{a0}')));
    some("decomposed", skus.iter().any(|sku| sku.nfc().count() != sku.chars().count()));
    some("inner blank", skus.iter().any(|sku| sku.contains("LAN /")));
    some("case", skus.iter().any(|sku| sku.starts_with("Ao-")) && skus.iter().any(|sku| sku.starts_with("AO-")));
    some("many variants", one.pos.iter().any(|product| product.variants.len() > 50));
}
