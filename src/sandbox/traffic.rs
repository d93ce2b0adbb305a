//! Live traffic for the demo: what a shop's owner, staff and buyers do all day.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::amount::decimal;
use super::names::{person, phone, pick};
use super::omni::{FIRST_LOCATION, SECOND_LOCATION};
use super::{PlaceAbahaOrder, PlaceOrder, PlaceWebOrder, Sandbox, WebBuyer};

/// How many of the newest orders are still worked on.
const LIVELY: usize = 60;

/// How busy the shop is.
#[derive(Clone, Copy, Debug)]
pub struct TrafficConfig {
    /// How many events happen in a second, on average.
    pub events_per_second: f64,
    /// Makes the same choices again, given the same answers.
    pub seed: u64,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        Self { events_per_second: 1.0, seed: 1 }
    }
}

/// Makes events on all sides until stopped; each is said on [`Sandbox::watch`].
pub async fn traffic(sandbox: &Sandbox, config: TrafficConfig, stop: CancellationToken) {
    let mut traffic = Traffic { sandbox, dice: StdRng::seed_from_u64(config.seed), customers: 900_000 };
    let mean = 1.0 / config.events_per_second.max(0.001);
    loop {
        // Half to one and a half times the mean: lively, and never a burst.
        let wait = Duration::from_secs_f64(mean * traffic.dice.random_range(0.5..1.5));
        tokio::select! {
            () = stop.cancelled() => return,
            () = sandbox.stopped() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if let Some(line) = traffic.event() {
            sandbox.say(line);
        }
    }
}

/// How many orders so many events place on average: with the Abaha site, and with each of so many webs. As
/// `Traffic::event` has it, less what cannot be done just then.
pub(crate) fn orders_on_average(events: u64, webs: usize) -> (f64, f64) {
    let events = events as f64;
    let of_webs = if webs == 0 { 0.0 } else { 1.0 / 3.0 };
    (events * (1.0 - of_webs) * 0.12, events * of_webs / 2.0 / webs.max(1) as f64)
}

struct Traffic<'a> {
    sandbox: &'a Sandbox,
    dice: StdRng,
    customers: usize,
}

impl Traffic<'_> {
    /// One thing that happens; none where the shop has nothing to do it with.
    fn event(&mut self) -> Option<String> {
        let sites = self.sandbox.web_aliases();
        if !sites.is_empty() && self.dice.random_ratio(1, 3) {
            let alias = &sites[self.dice.random_range(0..sites.len())];
            return self.web_event(alias);
        }
        match self.dice.random_range(0..100) {
            0..14 => self.price(),
            14..40 => self.stock(),
            40..44 => self.rename(),
            44..48 => self.trade(),
            48..54 => Some(self.customer()),
            54..66 => self.omni_order(),
            66..78 => self.abaha_order(),
            78..92 => self.omni_step(),
            _ => self.abaha_step(),
        }
    }

    fn product(&mut self) -> Option<Value> {
        let ids = self.sandbox.omni().product_ids();
        if ids.is_empty() {
            return None;
        }
        self.sandbox.omni().product(pick(&mut self.dice, &ids))
    }

    fn variant(&mut self) -> Option<Value> {
        let product = self.product()?;
        let variants = product["variants"].as_array()?;
        variants.get(self.dice.random_range(0..variants.len().max(1))).cloned()
    }

    fn price(&mut self) -> Option<String> {
        let variant = self.variant()?;
        let price = Decimal::from(self.dice.random_range(10..900) * 1000);
        self.sandbox.omni().set_price(variant["id"].as_u64()?, price).ok()?;
        Some(format!("Sapo: {} now costs {price} đ", variant["sku"].as_str()?))
    }

    fn stock(&mut self) -> Option<String> {
        let variant = self.variant()?;
        let (location, name) = pick(&mut self.dice, &[(FIRST_LOCATION, "Hà Nội"), (SECOND_LOCATION, "Sài Gòn")]);
        let on_hand = Decimal::from(self.dice.random_range(0..150));
        self.sandbox.omni().set_stock(variant["id"].as_u64()?, location, on_hand).ok()?;
        Some(format!("Sapo: {on_hand} of {} counted in {name}", variant["sku"].as_str()?))
    }

    fn rename(&mut self) -> Option<String> {
        let product = self.product()?;
        let name = product["name"].as_str()?;
        let renamed = name.strip_suffix(" (mới)").map_or_else(|| format!("{name} (mới)"), str::to_owned);
        self.sandbox.omni().change_product(product["id"].as_u64()?, |shape| shape["name"] = json!(renamed)).ok()?;
        Some(format!("Sapo: {name} is now called {renamed}"))
    }

    fn trade(&mut self) -> Option<String> {
        let product = self.product()?;
        let active = product["status"] != "active";
        self.sandbox.omni().set_active(product["id"].as_u64()?, active).ok()?;
        Some(format!(
            "Sapo: {} is {}",
            product["name"].as_str()?,
            if active { "traded again" } else { "traded no more" }
        ))
    }

    fn customer(&mut self) -> String {
        self.customers += 1;
        let (name, phone) = (person(&mut self.dice), phone(&mut self.dice, self.customers));
        let id = self.sandbox.omni().add_customer(&name, phone.as_deref());
        format!("Sapo: new customer {id}, {name}")
    }

    fn omni_order(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        for _ in 0..self.dice.random_range(1..=3) {
            let variant = self.variant()?;
            let price = decimal(&variant["variant_retail_price"]).unwrap_or_else(|| Decimal::from(50_000));
            lines.push((variant["id"].as_u64()?, Decimal::from(self.dice.random_range(1..=3)), price));
        }
        let customers = self.sandbox.omni().customer_ids();
        let customer_id = (!customers.is_empty()).then(|| pick(&mut self.dice, &customers));
        let fee = Decimal::from(pick(&mut self.dice, &[0, 0, 25_000, 30_000]));
        let order = PlaceOrder { customer_id, lines, fee, ..PlaceOrder::default() };
        let id = self.sandbox.omni().place_order(order).ok()?;
        Some(format!("Sapo: order {} taken", self.omni_code(id)))
    }

    /// Orders what both sides know; a few times, something that only Abaha knows.
    fn abaha_order(&mut self) -> Option<String> {
        let unknown = self.dice.random_ratio(1, 20);
        let lines = if unknown {
            vec![(String::from("CHI-CO-TREN-APP"), Decimal::ONE, Decimal::from(99_000))]
        } else {
            let wanted = self.dice.random_range(1..=3);
            self.common_products(wanted)
        };
        if lines.is_empty() {
            return None;
        }
        self.customers += 1;
        let discount = Decimal::from(pick(&mut self.dice, &[0, 0, 0, 5_000]));
        let fee = Decimal::from(pick(&mut self.dice, &[0, 20_000, 30_000]));
        let order = PlaceAbahaOrder {
            tel: format!("09{:08}", self.customers % 100_000_000),
            name: person(&mut self.dice),
            lines,
            discount,
            fee,
            paid: self.dice.random_ratio(1, 4),
            ..PlaceAbahaOrder::default()
        };
        let id = self.sandbox.abaha().place_order(&order).ok()?;
        Some(format!(
            "Abaha: order ABH{:06} placed{}",
            id - 900_000,
            if unknown { ", with a product unknown to Sapo" } else { "" }
        ))
    }

    fn common_products(&mut self, wanted: usize) -> Vec<(String, Decimal, Decimal)> {
        let shared = self.sandbox.shared_products();
        let mut picked = BTreeSet::new();
        let mut lines = Vec::new();
        for _ in 0..wanted.min(shared.len()) {
            let (code, price) = &shared[self.dice.random_range(0..shared.len())];
            if picked.insert(code.clone()) {
                lines.push((code.clone(), Decimal::from(self.dice.random_range(1..=3)), *price));
            }
        }
        lines
    }

    /// Moves one of the newest Sapo orders on its way; refusals are part of a day's work.
    fn omni_step(&mut self) -> Option<String> {
        let ids = self.sandbox.newest_orders(LIVELY).0;
        if ids.is_empty() {
            return None;
        }
        let id = pick(&mut self.dice, &ids);
        let omni = self.sandbox.omni();
        let (done, word) = match self.dice.random_range(0..20) {
            0..5 => (omni.finalize(id), "approved"),
            5..7 => (omni.pack(id), "packed"),
            7..10 => (omni.ship(id), "shipped"),
            10..12 => (omni.receive(id), "received"),
            12..15 => (omni.pay(id), "paid"),
            15..17 => (omni.complete(id), "completed"),
            17..19 => (omni.cancel(id), "cancelled"),
            _ => (omni.return_order(id, self.dice.random_ratio(1, 2)), "returned"),
        };
        done.ok().map(|()| format!("Sapo: order {} {word}", self.omni_code(id)))
    }

    fn abaha_step(&mut self) -> Option<String> {
        let ids = self.sandbox.newest_orders(LIVELY).1;
        if ids.is_empty() {
            return None;
        }
        let id = pick(&mut self.dice, &ids);
        let abaha = self.sandbox.abaha();
        let step = self.dice.random_range(0..10);
        // Only what was just ordered is accepted: nobody brings a cancelled order back.
        if (5..7).contains(&step) && abaha.order(id)?["status"] != 5 {
            return None;
        }
        let (done, word) = match step {
            0..5 => (abaha.pay(id), "paid"),
            5..7 => (abaha.set_status(id, 10, None), "accepted"),
            7..9 => (abaha.set_status(id, 0, None), "cancelled"),
            _ => (abaha.set_status(id, 30, Some("Hoàn hàng")), "returned"),
        };
        done.ok().map(|()| format!("Abaha: order ABH{:06} {word}", id - 900_000))
    }

    fn web_event(&mut self, alias: &str) -> Option<String> {
        if self.dice.random_ratio(1, 2) { self.web_order(alias) } else { self.web_step(alias) }
    }

    /// Orders what both sides know; a few times, something that no side knows.
    fn web_order(&mut self, alias: &str) -> Option<String> {
        let shared = self.sandbox.shared_web_variants(alias);
        let mut picked = BTreeSet::new();
        for _ in 0..self.dice.random_range(1..=3).min(shared.len()) {
            picked.insert(pick(&mut self.dice, &shared));
        }
        if picked.is_empty() {
            return None;
        }
        self.customers += 1;
        let lines = picked.into_iter().map(|id| (id, Decimal::from(self.dice.random_range(1..=3)))).collect();
        let name = person(&mut self.dice);
        let (last_name, first_name) = name.split_once(' ').unwrap_or((&name, ""));
        let buyer = WebBuyer {
            last_name: last_name.to_owned(),
            first_name: first_name.to_owned(),
            phone: Some(format!("+849{:08}", self.customers % 100_000_000)),
            email: None,
        };
        let free = self.dice.random_ratio(1, 25);
        let paid = if self.dice.random_ratio(1, 4) { "paid" } else { "pending" };
        let id = self.sandbox.web(alias).place_order(PlaceWebOrder {
            lines,
            free_form: free.then(|| (String::from("Phụ thu"), Decimal::from(15_000))),
            customer: Some(buyer),
            shipping: Decimal::from(pick(&mut self.dice, &[0, 20_000, 30_000])),
            discount: Decimal::from(pick(&mut self.dice, &[0, 0, 0, 5_000])),
            financial_status: paid.into(),
            ..PlaceWebOrder::default()
        });
        let name = self.web_name(alias, id);
        Some(format!("{alias}: order {name} placed{}", if free { ", with a line that is no product" } else { "" }))
    }

    fn web_step(&mut self, alias: &str) -> Option<String> {
        let ids = self.sandbox.newest_web_orders(alias, LIVELY);
        if ids.is_empty() {
            return None;
        }
        let id = pick(&mut self.dice, &ids);
        let web = self.sandbox.web(alias);
        let (done, word) = match self.dice.random_range(0..10) {
            0..6 => (web.set_paid(id), "paid"),
            6..9 => (web.cancel_order(id), "cancelled"),
            _ => (web.close_order(id), "put away"),
        };
        done.ok().map(|()| format!("{alias}: order {} {word}", self.web_name(alias, id)))
    }

    fn web_name(&self, alias: &str, id: u64) -> String {
        let order = self.sandbox.web(alias).order(id).unwrap_or_default();
        order["name"].as_str().unwrap_or_default().to_owned()
    }

    fn omni_code(&self, id: u64) -> String {
        let order = self.sandbox.omni().order(id).unwrap_or_default();
        order["code"].as_str().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{SandboxConfig, WebSite};

    #[tokio::test]
    async fn the_site_and_each_web_get_about_as_many_orders_as_is_said() {
        let web_sites = vec![WebSite::named("mot"), WebSite::named("hai")];
        let config = SandboxConfig { products: 20, customers: 5, web_sites, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        for product in sandbox.omni().products() {
            let sku = product["variants"][0]["sku"].as_str().unwrap();
            sandbox.abaha().add_product(sku, "Hàng mẫu", 100_000, 9).unwrap();
        }
        let mut traffic = Traffic { sandbox: &sandbox, dice: StdRng::seed_from_u64(1), customers: 900_000 };
        for _ in 0..1_500 {
            traffic.event();
        }
        let (abaha, web) = orders_on_average(1_500, 2);
        let orders = [(sandbox.abaha().orders(), abaha), (sandbox.web("mot").orders(), web)];
        for (orders, average) in orders {
            let times = orders.len() as f64 / average;
            assert!((0.7..1.3).contains(&times), "{} orders, {average} on average", orders.len());
        }
    }

    #[tokio::test]
    async fn an_order_that_the_site_cancelled_is_not_accepted_later() {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
        sandbox.abaha().add_product("AT-S", "Áo thun", 100_000, 9).unwrap();
        let lines = vec![("AT-S".to_owned(), Decimal::ONE, Decimal::from(100_000))];
        let id = sandbox.abaha().place_order(&PlaceAbahaOrder { lines, ..PlaceAbahaOrder::default() }).unwrap();
        sandbox.abaha().set_status(id, 0, None).unwrap();
        let mut traffic = Traffic { sandbox: &sandbox, dice: StdRng::seed_from_u64(1), customers: 900_000 };
        for _ in 0..100 {
            traffic.abaha_step();
            assert_ne!(sandbox.abaha().order(id).unwrap()["status"], 10);
        }
    }
}
