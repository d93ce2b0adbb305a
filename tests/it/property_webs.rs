//! One POS with three webs and an Abaha site under random faults: every side ends as a reference model says that
//! imports nothing of the mapping. A failing case prints its operations and seed.
//!
//! # What is compared when
//!
//! | figures | are compared |
//! |---|---|
//! | prices on every web, prices and stock on Abaha, all orders | as they are once all is quiet, with no help |
//! | the stock on a web that did not move it itself | likewise |
//! | the stock on a web that moved it itself | after one more change of that product on the POS (`count_moved`) |
//!
//! A web moves a stock itself where somebody changes it there, and with every order there: it holds what was ordered,
//! while the POS, where the order is a draft, does not. That stands until the POS changes the product again or a
//! reconcile puts it right, and nothing more is promised: a change of the POS that was worked on before the web's own
//! word came had nothing to put right. Nothing else changes what a web shows, so each of the other figures is there
//! because it was pushed: where the last push of one is lost, or overtaken by an older one, it is seen.
//!
//! No other difference has a good reason. In the first test no webhook is dropped: one that comes cut is refused, and
//! is then sent whole. Every connection is active and no switch is off. What fails is tried again, and what was given
//! up or still waits is held against the test by `World::finish`. In the second test webhooks are dropped for good:
//! before reconcile the products are compared of which every change was told, after it everything.

use std::time::Duration;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sapo_sync::sandbox::{
    Api, FaultMix, PlaceAbahaOrder, PlaceOrder, PlaceWebOrder, Sent, Timing, WebBuyer, WebhookEffect, WebhookFault,
};
use sapo_sync::store::ledger::LedgerRow;
use sapo_sync::sync::jobs::Summary;
use serde_json::{Value, json};

use crate::harness::{CONNECTION, Setup, World, connections_of, dong};
use crate::property::{GOES_ON, phone, runner};
use crate::web_world::{self, web_alias, web_connection};

const PRODUCTS: usize = 4;
const WEBS: usize = 3;

/// What happens at the counter, on the webs and in the app.
#[derive(Clone, Debug)]
enum Operation {
    Price(usize, u32),
    /// Product, whether at the second branch, how much in halves: fractions and negatives occur.
    Stock(usize, bool, i16),
    /// The SKU changes on the POS; the link stays.
    RenameSku(usize),
    /// Somebody changes the stock on a web by hand.
    StockOnWeb(usize, usize, u8),
    OrderOnWeb {
        web: usize,
        product: usize,
        quantity: u8,
        person: u8,
        paid: bool,
    },
    PayOnWeb(usize),
    CancelOnWeb(usize),
    /// Only archives it.
    CloseOnWeb(usize),
    OrderOnAbaha {
        product: usize,
        person: u8,
    },
    OrderOnSapo {
        product: usize,
        person: u8,
    },
    /// Lets everything settle before the next one.
    Quiet,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (product, web) = (0..PRODUCTS, 0..WEBS);
    prop_oneof![
        3 => (product.clone(), 1_000_u32..900_000).prop_map(|(p, price)| Operation::Price(p, price)),
        4 => (product.clone(), any::<bool>(), -20_i16..200).prop_map(|(p, second, halves)| Operation::Stock(p, second, halves)),
        1 => product.clone().prop_map(Operation::RenameSku),
        1 => (web.clone(), product.clone(), 0_u8..50).prop_map(|(web, p, units)| Operation::StockOnWeb(web, p, units)),
        6 => (web, product.clone(), 1_u8..4, 0_u8..4, any::<bool>())
            .prop_map(|(web, product, quantity, person, paid)| Operation::OrderOnWeb { web, product, quantity, person, paid }),
        1 => (0_usize..20).prop_map(Operation::PayOnWeb),
        2 => (0_usize..20).prop_map(Operation::CancelOnWeb),
        1 => (0_usize..20).prop_map(Operation::CloseOnWeb),
        2 => (product.clone(), 0_u8..4).prop_map(|(product, person)| Operation::OrderOnAbaha { product, person }),
        2 => (product, 0_u8..4).prop_map(|(product, person)| Operation::OrderOnSapo { product, person }),
        2 => Just(Operation::Quiet),
    ]
}

/// A product as the POS has it, with its variant on each web.
struct Product {
    id: u64,
    variant: u64,
    code: String,
    renamed: usize,
    price: u32,
    halves: [i16; 2],
    webs: [u64; WEBS],
    /// On which webs its stock was moved by the web itself: by hand, or by an order there.
    moved: [bool; WEBS],
    /// How often the POS changed it; each is told by one webhook.
    changes: usize,
}

impl Product {
    fn set_stock(&mut self, world: &World, branch: usize, halves: i16) {
        let location = [58_001, 58_002][branch];
        world.sandbox.omni().set_stock(self.variant, location, Decimal::from(halves) / Decimal::TWO).unwrap();
        self.halves[branch] = halves;
        self.changes += 1;
    }

    /// Whether every change of it on the POS was told: no webhook of it was dropped.
    fn was_told(&self, world: &World) -> bool {
        let change = |sent: &Sent| sent.api == Api::Omni && sent.topic == "products/update" && sent.taken();
        let sent = world.sandbox.webhooks_sent();
        sent.iter().filter(|sent| change(sent) && sent.object_id == self.id).count() == self.changes
    }

    /// Compares what has to be right without any help: all but the stock where a web moved it itself.
    fn check_pushed(&self, world: &World) -> Result<(), String> {
        for (web, moved) in self.moved.iter().enumerate() {
            self.check_price(world, web)?;
            if !moved {
                self.check_stock(world, web)?;
            }
        }
        let there = world.sandbox.abaha().product_by_code(&self.code);
        let expected = json!([self.price, i64::from(self.halves[0]).max(0) / 2]);
        match there.as_slice() {
            [one] if json!([one["price"], one["quantity"]]) == expected => Ok(()),
            other => Err(format!("{} on Abaha: {other:#?}, expected {expected}", self.code)),
        }
    }

    fn check_price(&self, world: &World, web: usize) -> Result<(), String> {
        let (_, price, _) = world.shown(web + 1, self.webs[web]);
        if price == self.price.into() {
            return Ok(());
        }
        Err(format!("{} on web {} costs {price}, expected {}", self.code, web + 1, self.price))
    }

    fn check_stock(&self, world: &World, web: usize) -> Result<(), String> {
        let summed = (i64::from(self.halves[0]) + i64::from(self.halves[1])).max(0) / 2;
        let (stock, _, _) = world.shown(web + 1, self.webs[web]);
        if stock == summed.into() {
            return Ok(());
        }
        let moved = if self.moved[web] { "was moved there" } else { "was never moved there" };
        Err(format!("{} on web {} has the stock {stock}, expected {summed}; it {moved}", self.code, web + 1))
    }
}

/// An order of a web as it was placed.
struct Placed {
    web: usize,
    id: u64,
    name: String,
    total: i64,
    paid: bool,
    cancelled: bool,
}

/// What all sides must be in the end.
#[derive(Default)]
struct Model {
    products: Vec<Product>,
    webs: Vec<Placed>,
    abaha: Vec<u64>,
    sapo: Vec<u64>,
    people: std::collections::BTreeMap<u8, u64>,
}

impl Model {
    fn begin(world: &World) -> Self {
        let mut model = Self::default();
        for n in 0..PRODUCTS {
            let code = format!("SP/{n:02}");
            let webs = std::array::from_fn(|web| world.on_web(web + 1, &code, 1, 0));
            let id = world.on_pos_at(&code, 10_000, &json!({"58001": 5, "58002": 2}));
            let variant = world.pos_variant(&code);
            let (price, halves, moved) = (10_000, [10, 4], [false; WEBS]);
            model.products.push(Product { id, variant, code, renamed: 0, price, halves, webs, moved, changes: 0 });
        }
        model
    }

    async fn apply(&mut self, world: &World, operation: &Operation) {
        let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
        match *operation {
            Operation::Price(p, price) => {
                let product = &mut self.products[p];
                omni.set_price(product.variant, Decimal::from(price)).unwrap();
                product.price = price;
                product.changes += 1;
            }
            Operation::Stock(p, second, halves) => self.products[p].set_stock(world, usize::from(second), halves),
            Operation::RenameSku(p) => {
                let product = &mut self.products[p];
                product.renamed += 1;
                product.changes += 1;
                let sku = format!("{}-{}", product.code, product.renamed);
                omni.set_sku(product.variant, &sku).unwrap();
            }
            Operation::StockOnWeb(web, p, units) => {
                let product = &mut self.products[p];
                let site = world.sandbox.web(&web_alias(web + 1));
                site.set_stock(product.webs[web], Decimal::from(units)).unwrap();
                product.moved[web] = true;
            }
            Operation::OrderOnWeb { web, product, quantity, person, paid } => {
                let site = world.sandbox.web(&web_alias(web + 1));
                let variant = self.products[product].webs[web];
                self.products[product].moved[web] = true;
                let price: i64 = {
                    let (_, price, _) = world.shown(web + 1, variant);
                    i64::try_from(price).unwrap()
                };
                let id = site.place_order(PlaceWebOrder {
                    lines: vec![(variant, quantity.into())],
                    customer: Some(WebBuyer {
                        last_name: "Khách".into(),
                        first_name: format!("{person}"),
                        phone: Some(format!("+84{}", &phone(person)[1..])),
                        ..WebBuyer::default()
                    }),
                    shipping: dong(15_000),
                    financial_status: if paid { "paid" } else { "pending" }.into(),
                    ..PlaceWebOrder::default()
                });
                let name = site.order(id).unwrap()["name"].as_str().unwrap().to_owned();
                let total = price * i64::from(quantity) + 15_000;
                self.webs.push(Placed { web, id, name, total, paid, cancelled: false });
            }
            Operation::PayOnWeb(n) => {
                if let Some(order) = pick(&mut self.webs, n).filter(|order| !order.cancelled && !order.paid) {
                    world.sandbox.web(&web_alias(order.web + 1)).set_paid(order.id).unwrap();
                    order.paid = true;
                }
            }
            Operation::CancelOnWeb(n) => {
                if let Some(order) = pick(&mut self.webs, n).filter(|order| !order.cancelled) {
                    world.sandbox.web(&web_alias(order.web + 1)).cancel_order(order.id).unwrap();
                    order.cancelled = true;
                }
            }
            Operation::CloseOnWeb(n) => {
                if let Some(order) = pick(&mut self.webs, n).filter(|order| !order.cancelled) {
                    world.sandbox.web(&web_alias(order.web + 1)).close_order(order.id).unwrap();
                }
            }
            Operation::OrderOnAbaha { product, person } => {
                let order = PlaceAbahaOrder {
                    tel: phone(person),
                    name: format!("Khách {person}"),
                    lines: vec![(self.products[product].code.clone(), Decimal::ONE, dong(25_000))],
                    ..PlaceAbahaOrder::default()
                };
                self.abaha.extend(abaha.place_order(&order).ok());
            }
            Operation::OrderOnSapo { product, person } => {
                // People of the counter: one whom the owner enters a second time would rightly be ambiguous.
                let person = person + 10;
                let customer = *self
                    .people
                    .entry(person)
                    .or_insert_with(|| omni.add_customer(&format!("Khách {person}"), Some(&phone(person))));
                let lines = vec![(self.products[product].variant, Decimal::ONE, dong(30_000))];
                let order = PlaceOrder { customer_id: Some(customer), lines, ..PlaceOrder::default() };
                self.sapo.push(omni.place_order(order).unwrap());
            }
            Operation::Quiet => world.quiet().await,
        }
    }

    /// Changes every product on the POS that a web moved itself, to a stock that is another than the last: now it is
    /// put right there.
    fn count_moved(&mut self, world: &World) {
        for product in self.products.iter_mut().filter(|product| product.moved.contains(&true)) {
            let halves = product.halves[0].max(-product.halves[1]) + 7;
            product.set_stock(world, 0, halves);
        }
    }

    /// Compares what has to be right without any help.
    fn check_pushed(&self, world: &World) -> Result<(), String> {
        self.products.iter().try_for_each(|product| product.check_pushed(world))?;
        self.check_orders(world)
    }

    /// Compares all sides with what they must be.
    fn check(&self, world: &World) -> Result<(), String> {
        for product in &self.products {
            (0..WEBS).try_for_each(|web| product.check_stock(world, web))?;
        }
        self.check_pushed(world)
    }

    fn check_orders(&self, world: &World) -> Result<(), String> {
        let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
        let all = omni.orders();
        let mut from_webs = Vec::new();
        for order in &self.webs {
            let tag = format!("sapo-sync:{}", web_connection(order.web + 1));
            let made: Vec<&Value> = all
                .iter()
                .filter(|made| made["reference_number"] == order.name.as_str() && tags(made).contains(&tag))
                .collect();
            match made.as_slice() {
                // Cancelled before it was ever worked on: then it is never created.
                [] if order.cancelled => {}
                [one] if order.cancelled && one["status"] == "cancelled" => from_webs.push(one["id"].as_u64().unwrap()),
                [one] if !order.cancelled && one["status"] == "draft" && one["total"] == order.total => {
                    from_webs.push(one["id"].as_u64().unwrap());
                    let paid = one["prepayments"]
                        .as_array()
                        .map_or(0, |rows| rows.iter().filter_map(|row| row["amount"].as_i64()).sum::<i64>());
                    let expected = if order.paid { order.total } else { 0 };
                    if paid != expected {
                        return Err(format!(
                            "{} of web {}: {paid} paid, expected {expected}",
                            order.name,
                            order.web + 1
                        ));
                    }
                }
                other => {
                    return Err(format!(
                        "{} of web {} (cancelled: {}, total {}): {other:#?}",
                        order.name,
                        order.web + 1,
                        order.cancelled,
                        order.total
                    ));
                }
            }
        }
        let expected = self.sapo.len() + self.abaha.len() + from_webs.len();
        if all.len() != expected {
            return Err(format!("{} orders on the POS, expected {expected}", all.len()));
        }
        // The app shows every order of the POS, and none twice.
        for id in self.sapo.iter().chain(&from_webs) {
            let there = abaha.orders_by_pos_id(*id);
            let cancelled = omni.order(*id).is_some_and(|order| order["status"] == "cancelled");
            if there.len() != 1 && !(cancelled && there.is_empty()) {
                return Err(format!("the POS's order {id} is on Abaha {} times", there.len()));
            }
        }
        // Two customers of two webs with one phone are one customer of the POS.
        for person in 0..4 {
            let number = phone(person);
            let customers = omni.customers();
            let same = customers
                .iter()
                .filter(|one| one["phone_number"].as_str().is_some_and(|it| it.ends_with(&number[1..])));
            let count = same.count();
            if count > 1 {
                return Err(format!("{count} customers on the POS have the phone of person {person}"));
            }
        }
        Ok(())
    }
}

fn pick(orders: &mut [Placed], n: usize) -> Option<&mut Placed> {
    let len = orders.len();
    if len == 0 { None } else { orders.get_mut(n % len) }
}

fn tags(order: &Value) -> Vec<String> {
    match &order["tags"] {
        Value::Array(tags) => tags.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())).collect(),
        tags => tags.as_str().unwrap_or_default().split(',').map(|tag| tag.trim().to_owned()).collect(),
    }
}

/// Runs a test in a world of one POS, three webs that sum both branches, and an Abaha site.
fn in_a_world(test: impl AsyncFnOnce(&World) -> Result<(), String>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut setup = Setup::default();
        setup.schedule.extend(GOES_ON);
        setup.sandbox.abaha_secret = Some("site-secret".to_owned());
        "stock_branches = [58001, 58002]\norder_branch = 58001\npayment_method = 220001".clone_into(&mut setup.extra);
        let world = web_world::webs_with(setup, WEBS).await;
        let webs = web_world::connections(
            &world.sandbox,
            (true, true, true),
            "stock_branches = [58001, 58002]\norder_branch = 58001\npayment_method = 220001",
        );
        let (_, webs) = webs.split_once("[[connection]]").unwrap();
        let abaha =
            connections_of(&world.sandbox, CONNECTION, (true, true, true), "webhook_secret = [\"site-secret\"]");
        world.apply(&format!("{abaha}\n[[connection]]{webs}")).await;
        let result = test(&world).await;
        let result = match result {
            Ok(()) => Ok(()),
            Err(why) => Err(format!("{why}; {}", orders_told(&world).await)),
        };
        match &result {
            Ok(()) => world.finish(&[]).await,
            Err(_) => world.abandon().await,
        }
        result.map_err(TestCaseError::fail)
    })
}

/// What the ledger says of every order.
async fn orders_told(world: &World) -> String {
    let rows = world.events().await.into_iter().filter(|row| row.kind == "order");
    let told = |row: LedgerRow| {
        format!("{} {} {}: {} {} {}", row.connection, row.source, row.object_id, row.outcome, row.code, row.reason)
    };
    rows.map(told).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_side_ends_as_the_model_says_whatever_is_late_twice_or_failing() {
    let strategy = (proptest::collection::vec(operation(), 5..40), any::<u64>(), 0_usize..3);
    runner(8)
        .run(&strategy, |(operations, seed, timing)| {
            in_a_world(async move |world| {
                let mut model = Model::begin(world);
                world.quiet().await;
                world.sandbox.faults().echo_timing([Timing::Before, Timing::During, Timing::After][timing]);
                world.sandbox.faults().random(
                    seed,
                    FaultMix {
                        duplicate: 0.2,
                        delay_max: Duration::from_millis(150),
                        reorder: 0.2,
                        truncate: 0.1,
                        api_429: 0.05,
                        api_500: 0.05,
                        work_then_reset: 0.05,
                        ..FaultMix::default()
                    },
                );
                for operation in &operations {
                    model.apply(world, operation).await;
                }
                world.sandbox.faults().clear();
                world.quiet().await;
                model.check_pushed(world)?;
                model.count_moved(world);
                world.quiet().await;
                model.check(world)
            })
        })
        .unwrap();
}

#[test]
fn reconcile_repairs_what_webhooks_dropped_on_every_web_and_then_finds_nothing() {
    let strategy = (proptest::collection::vec(operation(), 5..30), any::<u64>());
    runner(4)
        .run(&strategy, |(operations, seed)| {
            in_a_world(async move |world| {
                let mut model = Model::begin(world);
                world.quiet().await;
                world.sandbox.faults().random(seed, FaultMix { drop: 0.5, ..FaultMix::default() });
                for operation in &operations {
                    model.apply(world, operation).await;
                }
                world.sandbox.faults().clear();
                world.quiet().await;
                let mut told = model.products.iter().filter(|product| product.was_told(world));
                told.try_for_each(|product| product.check_pushed(world))?;
                let names: Vec<String> = (1..=WEBS).map(web_connection).chain([CONNECTION.to_owned()]).collect();
                // What one repairs, such as an order made on the POS, is what another one has to hear of.
                for _ in 0..2 {
                    for name in &names {
                        world.run_job_for("reconcile", name).await;
                        world.quiet().await;
                    }
                }
                model.check(world)?;
                for name in &names {
                    let job = world.run_job_for("reconcile", name).await;
                    let summary: Summary = serde_json::from_str(&job.found).map_err(|error| error.to_string())?;
                    if summary.events != 0 {
                        return Err(format!("all sides are equal, but the reconcile of {name} found {summary:#?}"));
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

/// A push that is lost has to be seen by the comparison, or the tests above prove nothing.
#[test]
fn a_change_that_never_reached_the_webs_is_seen_and_what_a_web_changed_itself_waits_for_the_pos() {
    in_a_world(async |world| {
        let mut model = Model::begin(world);
        world.quiet().await;
        model.check(world)?;
        for (lost, seen) in [
            (Operation::Price(0, 20_000), "SP/00 on web 1 costs 10000, expected 20000"),
            (Operation::Stock(1, true, 60), "SP/01 on web 1 has the stock 7, expected 35; it was never moved there"),
        ] {
            let (topic, effect) = ("products/update".to_owned(), WebhookEffect::Drop);
            world.sandbox.faults().webhook(WebhookFault { api: Api::Omni, topic, skip: 0, times: 1, effect });
            model.apply(world, &lost).await;
            world.quiet().await;
            let found = model.check_pushed(world);
            if found != Err(seen.to_owned()) {
                return Err(format!("{lost:?} was lost, and the comparison says {found:?}"));
            }
            let untold = model.products.iter().find(|product| !product.was_told(world)).map(|product| product.id);
            let id = untold.ok_or("it counts as told")?;
            // The next word of the product brings what was lost.
            world.sandbox.omni().change_product(id, |shape| shape["tags"] = "moi".into()).unwrap();
            world.quiet().await;
            model.check(world)?;
        }
        model.apply(world, &Operation::StockOnWeb(2, 3, 33)).await;
        world.quiet().await;
        model.check_pushed(world)?;
        let found = model.check(world);
        if found != Err("SP/03 on web 3 has the stock 33, expected 7; it was moved there".to_owned()) {
            return Err(format!("a web moved a stock, and the comparison says {found:?}"));
        }
        model.count_moved(world);
        world.quiet().await;
        model.check(world)
    })
    .unwrap();
}
