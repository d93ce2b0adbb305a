//! A day in a shop: changes of stock, orders on both sides, cancellations. What must be true of both sides afterwards is
//! known from what was done alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, PlaceAbahaOrder, PlaceOrder, Sandbox, Sent};
use sapo_sync::store::ledger::LedgerRow;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{BRANCH, dong};

const PRODUCTS: usize = 6;
const PEOPLE: u64 = 25;
/// Sends of an Abaha webhook in all.
const ABAHA_SENDS: u32 = 3;

/// What was done in one shop and on its site.
pub struct Load {
    sandbox: Sandbox,
    dice: StdRng,
    products: Vec<Product>,
    /// Orders of Abaha.
    inward: Vec<Placed>,
    /// Orders of Sapo.
    outward: Vec<Placed>,
    people: BTreeMap<u64, u64>,
}

struct Product {
    id: u64,
    sku: String,
    variant: u64,
    stock: i64,
}

struct Placed {
    id: u64,
    total: i64,
    cancelled: bool,
}

/// What both sides were found to be.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Webhooks that were answered 200.
    pub taken: usize,
    /// Orders that had to be made on the other side.
    pub orders: usize,
    /// Orders made more than once.
    pub doubles: usize,
    /// Webhooks answered 200 of which nothing is known, and orders not made.
    pub lost: usize,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
    /// The ids of the objects that are not as they should be.
    pub suspects: Vec<String>,
}

impl Verdict {
    pub fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.orders += other.orders;
        self.doubles += other.doubles;
        self.lost += other.lost;
        self.wrong.extend(other.wrong);
    }
}

impl Load {
    /// A shop with its products; their webhooks go out now.
    pub fn begin(sandbox: &Sandbox, seed: u64) -> Self {
        let mut products = Vec::new();
        for n in 0..PRODUCTS {
            let sku = format!("SP-{n}");
            let given = json!({"name": format!("Sản phẩm {n}"), "variants": [{"sku": sku, "retail": 10_000, "stock": {"58001": 5}}]});
            let id = sandbox.omni().add_product(&given).unwrap();
            let variant = sandbox.omni().variant_by_sku(&sku).unwrap();
            products.push(Product { id, sku, variant, stock: 5 });
        }
        let (inward, outward, people) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { sandbox: sandbox.clone(), dice: StdRng::seed_from_u64(seed), products, inward, outward, people }
    }

    /// Goes on until stopped: so many things a second.
    pub async fn run(mut self, a_second: f64, stop: CancellationToken) -> Self {
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / a_second));
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.step();
        }
        self
    }

    /// One thing that happens.
    pub fn step(&mut self) {
        match self.dice.random_range(0..100) {
            0..40 => self.stock(),
            40..65 => self.order_on_abaha(),
            65..88 => self.order_on_sapo(),
            88..95 => self.cancel_on_sapo(),
            _ => self.cancel_on_abaha(),
        }
    }

    fn stock(&mut self) {
        let (n, stock) = (self.dice.random_range(0..PRODUCTS), self.dice.random_range(0..500));
        self.sandbox.omni().set_stock(self.products[n].variant, BRANCH, dong(stock)).unwrap();
        self.products[n].stock = stock;
    }

    pub fn order_on_abaha(&mut self) {
        let (product, quantity) = (self.dice.random_range(0..PRODUCTS), self.dice.random_range(1..5));
        let person = self.dice.random_range(0..PEOPLE);
        let order = PlaceAbahaOrder {
            tel: format!("0912{person:06}"),
            name: format!("Khách {person}"),
            lines: vec![(self.products[product].sku.clone(), Decimal::from(quantity), dong(25_000))],
            fee: dong(15_000),
            ..PlaceAbahaOrder::default()
        };
        let id = self.sandbox.abaha().place_order(&order).unwrap();
        self.inward.push(Placed { id, total: 25_000 * quantity + 15_000, cancelled: false });
    }

    pub fn order_on_sapo(&mut self) {
        let (product, quantity) = (self.dice.random_range(0..PRODUCTS), self.dice.random_range(1..5));
        let person = self.dice.random_range(0..PEOPLE);
        let omni = self.sandbox.omni();
        let made = || omni.add_customer(&format!("Người mua {person}"), Some(&format!("0978{person:06}")));
        let customer = *self.people.entry(person).or_insert_with(made);
        let lines = vec![(self.products[product].variant, Decimal::from(quantity), dong(30_000))];
        let order = PlaceOrder { customer_id: Some(customer), lines, ..PlaceOrder::default() };
        let id = omni.place_order(order).unwrap();
        self.outward.push(Placed { id, total: 30_000 * quantity, cancelled: false });
    }

    fn cancel_on_sapo(&mut self) {
        if let Some(order) = pick(&mut self.dice, &mut self.outward) {
            self.sandbox.omni().cancel(order.id).unwrap();
            order.cancelled = true;
        }
    }

    fn cancel_on_abaha(&mut self) {
        if let Some(order) = pick(&mut self.dice, &mut self.inward) {
            self.sandbox.abaha().set_status(order.id, 0, Some("Hủy")).unwrap();
            order.cancelled = true;
        }
    }

    /// Compares both sides, and what was recorded, with what was done. `events` are those of this shop.
    pub fn verify(&self, events: &[LedgerRow]) -> Verdict {
        let mut verdict = Verdict::default();
        self.verify_webhooks(events, &mut verdict);
        self.verify_products(&mut verdict);
        let made = self.verify_inward(&mut verdict);
        let on_sapo = self.sandbox.omni().orders().len();
        if on_sapo != self.outward.len() + made {
            verdict.wrong.push(format!("{on_sapo} orders on Sapo, {} taken there and {made} made", self.outward.len()));
        }
        let made = self.verify_outward(&mut verdict);
        let on_abaha = self.sandbox.abaha().orders().len();
        if on_abaha != self.inward.len() + made {
            verdict
                .wrong
                .push(format!("{on_abaha} orders on Abaha, {} placed there and {made} made", self.inward.len()));
        }
        for person in 0..PEOPLE {
            let tel = format!("0912{person:06}");
            let customers = self.sandbox.omni().customers();
            let same = customers.iter().filter(|customer| customer["phone_number"] == tel.as_str()).count();
            if same > 1 {
                verdict.wrong.push(format!("{same} customers on Sapo with the phone {tel}"));
            }
        }
        verdict
    }

    /// Every webhook that was answered 200 was answered with the id of an event of its own, and each of these events is
    /// recorded, of the same object, with an end: its own, or that a newer state of the object took its place.
    fn verify_webhooks(&self, events: &[LedgerRow], verdict: &mut Verdict) {
        for row in events {
            // A letter `poison` that a later state of its object, or its replay, has closed: that none is open is asked
            // of the letters themselves.
            if !matches!(row.outcome.as_str(), "done" | "skipped") && row.code != "poison" {
                verdict.suspects.push(row.object_id.clone());
                verdict.wrong.push(format!("{} {} ended as {}: {}", row.topic, row.object_id, row.outcome, row.reason));
            }
        }
        let recorded: BTreeMap<&str, &LedgerRow> = events.iter().map(|row| (row.event_id.as_str(), row)).collect();
        let mut noted = BTreeSet::new();
        let taken = self.sandbox.webhooks_sent().into_iter().filter(Sent::taken);
        for Sent { at, api, topic, object_id, ids, .. } in taken {
            verdict.taken += 1;
            let object = object_id.to_string();
            let source = if api == Api::Omni { "omni" } else { "abaha" };
            let mut wrong = Vec::new();
            let mut lost = ids.is_empty();
            if lost {
                wrong.push("with no id of an event".to_owned());
            }
            for id in ids {
                match recorded.get(id.as_str()) {
                    None => {
                        lost = true;
                        wrong.push(format!("as event {id}, which is not recorded"));
                    }
                    Some(row) if (&*row.source, &row.topic, &row.object_id) != (source, &topic, &object) => {
                        wrong.push(format!("as event {id}, which is {} {}", row.topic, row.object_id));
                    }
                    Some(_) => {}
                }
                if let Some(id) = noted.replace(id) {
                    wrong.push(format!("as event {id}, and so was another"));
                }
            }
            verdict.lost += usize::from(lost);
            if !wrong.is_empty() {
                verdict.suspects.push(object.clone());
                verdict.wrong.push(format!("{topic} of {object} was answered 200 at {at} {}", wrong.join("; ")));
            }
        }
    }

    fn verify_products(&self, verdict: &mut Verdict) {
        for product in &self.products {
            let there = self.sandbox.abaha().product_by_code(&product.sku);
            let found: Vec<&Value> = there.iter().map(|product| &product["quantity"]).collect();
            if found.len() != 1 || *found[0] != product.stock {
                verdict.suspects.push(product.id.to_string());
                verdict.wrong.push(format!("{} is on Abaha as {found:?}, expected {}", product.sku, product.stock));
            }
        }
    }

    /// Orders of Abaha; how many orders were made on Sapo for them.
    fn verify_inward(&self, verdict: &mut Verdict) -> usize {
        let sent = self.sandbox.webhooks_sent();
        let mut all = 0;
        for order in &self.inward {
            let there = self.sandbox.abaha().order(order.id).unwrap();
            let made = self.sandbox.omni().order_by_reference(there["cart_code"].as_str().unwrap());
            all += made.len();
            verdict.doubles += made.len().saturating_sub(1);
            let own = || sent.iter().filter(|sent| sent.api == Api::Abaha && sent.object_id == order.id);
            // Abaha tells three times and never again.
            let untold = own().any(|sent| !sent.taken() && sent.try_no == ABAHA_SENDS);
            let taken = own().any(Sent::taken);
            if taken && !order.cancelled {
                verdict.orders += 1;
                verdict.lost += usize::from(made.is_empty());
            }
            let right = match made.as_slice() {
                [] => order.cancelled || !taken,
                [one] if order.cancelled => one["status"] == "cancelled" || untold,
                [one] => one["status"] == "draft" && one["total"] == order.total,
                _ => false,
            };
            if !right {
                let found: Vec<_> = made.iter().map(|made| (&made["status"], &made["total"])).collect();
                verdict.suspects.push(order.id.to_string());
                verdict
                    .wrong
                    .push(format!("Abaha order {} (cancelled: {}): {found:?} on Sapo", order.id, order.cancelled));
            }
        }
        all
    }

    /// Orders of Sapo; how many orders were made on Abaha for them.
    fn verify_outward(&self, verdict: &mut Verdict) -> usize {
        let mut all = 0;
        for order in &self.outward {
            let made = self.sandbox.abaha().orders_by_pos_id(order.id);
            all += made.len();
            verdict.doubles += made.len().saturating_sub(1);
            if !order.cancelled {
                verdict.orders += 1;
                verdict.lost += usize::from(made.is_empty());
            }
            let right = match made.as_slice() {
                [] => order.cancelled,
                [one] => one["status"] == if order.cancelled { 0 } else { 5 },
                _ => false,
            };
            if !right {
                let found: Vec<_> = made.iter().map(|made| &made["status"]).collect();
                verdict.suspects.push(order.id.to_string());
                verdict
                    .wrong
                    .push(format!("Sapo order {} (cancelled: {}): {found:?} on Abaha", order.id, order.cancelled));
            }
        }
        all
    }
}

/// One of the newest that is not cancelled.
fn pick<'a>(dice: &mut StdRng, orders: &'a mut [Placed]) -> Option<&'a mut Placed> {
    let first = orders.len().saturating_sub(20);
    let mut lively: Vec<&mut Placed> = orders[first..].iter_mut().filter(|order| !order.cancelled).collect();
    let n = dice.random_range(0..lively.len().max(1));
    (n < lively.len()).then(|| lively.swap_remove(n))
}
