//! A site's state: typed and small, written out as JSON only when asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::WebSite;
use super::order::Order;
use crate::sandbox::Api;
use crate::sandbox::clock::Clock;
use crate::sandbox::hooks::Hooks;
use crate::sandbox::webhooks::Change;

/// A product with its variants.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub id: u64,
    pub name: String,
    pub content: Option<String>,
    pub tags: String,
    pub vendor: Option<String>,
    pub option: String,
    /// None hides it.
    pub published: Option<i64>,
    pub created: i64,
    pub modified: i64,
    pub variants: Vec<Variant>,
    /// Top-level fields that a test has set to something of its own.
    pub overlay: Map<String, Value>,
}

/// One thing that is sold.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub id: u64,
    /// What its stock is kept under; never the variant's own id.
    pub item: u64,
    /// SKUs may occur twice, and may be blank.
    pub sku: String,
    pub barcode: Option<String>,
    pub option: String,
    pub price: Decimal,
    pub compare_at: Option<Decimal>,
    /// `inventory_management` "bizweb"; else "".
    pub managed: bool,
    /// By location.
    pub levels: BTreeMap<u64, Level>,
    /// Whether its money is written as strings.
    pub text_money: bool,
    /// Whether every write to it is refused.
    pub refused: bool,
    pub created: i64,
    pub modified: i64,
}

/// The stock at one location; available is on hand less committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub id: u64,
    pub on_hand: Decimal,
    pub committed: Decimal,
    pub created: i64,
    pub updated: i64,
}

impl Level {
    /// What can still be sold.
    pub fn available(&self) -> Decimal {
        self.on_hand - self.committed
    }
}

/// A customer, the phone as the site keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub id: u64,
    pub last_name: String,
    pub first_name: String,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub orders: u64,
    pub spent: Decimal,
    pub created: i64,
    pub modified: i64,
}

/// How the site behaves where sites differ.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Manner {
    /// `{"order": {…}}` instead of the bare object.
    pub wraps: bool,
    /// `x-bizweb-…` instead of `x-sapo-…`.
    pub old_headers: bool,
    /// The value of `x-sapo-test`.
    pub test: bool,
    /// Whether there is no such path as `inventory_levels`.
    pub no_levels: bool,
}

/// The whole site.
pub(crate) struct State {
    pub alias: String,
    pub store_id: u64,
    pub clock: Clock,
    pub locations: Vec<u64>,
    pub products: BTreeMap<u64, Product>,
    pub customers: BTreeMap<u64, Customer>,
    pub orders: BTreeMap<u64, Order>,
    pub hooks: Hooks,
    pub manner: Manner,
    /// Whether the app is installed: else its token is worth nothing and it is told nothing.
    pub installed: bool,
    /// The OAuth codes that have been given out and not been used.
    pub codes: HashSet<String>,
    /// Which product a variant belongs to.
    pub homes: HashMap<u64, u64>,
    /// Which variant's stock is kept under an inventory item.
    pub items: HashMap<u64, u64>,
    /// The variants of each SKU.
    pub skus: HashMap<String, BTreeSet<u64>>,
    place: u64,
    next: HashMap<&'static str, u64>,
    touched: BTreeSet<u64>,
    levels: BTreeSet<(u64, u64)>,
    changes: Vec<Change>,
}

impl State {
    /// An empty site.
    pub fn new(site: &WebSite, place: u64, clock: Clock) -> Self {
        let first = 825_001 + place * 100;
        Self {
            alias: site.alias.clone(),
            store_id: site.store_id,
            clock,
            locations: (0..site.locations.max(1) as u64).map(|number| first + number).collect(),
            products: BTreeMap::new(),
            customers: BTreeMap::new(),
            orders: BTreeMap::new(),
            hooks: Hooks::default(),
            manner: Manner::default(),
            installed: true,
            codes: HashSet::new(),
            homes: HashMap::new(),
            items: HashMap::new(),
            skus: HashMap::new(),
            place,
            next: HashMap::new(),
            touched: BTreeSet::new(),
            levels: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// The next id of a kind; no two sites give the same.
    pub fn next_id(&mut self, kind: &'static str) -> u64 {
        let first = match kind {
            "product" => 46_400_001,
            "item" => 147_100_001,
            "variant" => 147_200_001,
            "level" => 87_800_001,
            "customer" => 42_100_001,
            "order" => 174_100_001,
            "line" => 290_300_001,
            "transaction" => 190_500_001,
            "fulfillment" => 96_300_001,
            "refund" => 5_400_001,
            "webhook" => 410_001,
            _ => 1,
        };
        let next = self.next.entry(kind).or_insert(first + self.place * 1_000_000);
        *next += 1;
        *next - 1
    }

    /// The next number of a kind that each site counts for itself, from 1.
    pub fn count(&mut self, kind: &'static str) -> u64 {
        let next = self.next.entry(kind).or_insert(1);
        *next += 1;
        *next - 1
    }

    /// The location that orders take from and that `inventory_quantity` is written to.
    pub fn main_location(&self) -> u64 {
        self.locations.first().copied().unwrap_or_default()
    }

    /// Marks a product as changed: its time moves on and one `products/update` will tell it.
    pub fn touch_product(&mut self, id: u64) {
        self.touched.insert(id);
    }

    /// Marks a variant's stock at a location as changed.
    pub fn touch_level(&mut self, variant: u64, location: u64) {
        self.levels.insert((variant, location));
    }

    /// Adds something to be told.
    pub fn tell(&mut self, topic: &str, object_id: u64, body: Value) {
        if self.installed {
            let (topic, site) = (topic.to_owned(), Some(self.alias.clone()));
            self.changes.push(Change { api: Api::Web, site, topic, object_id, body });
        }
    }

    /// Takes what is to be told since the last time.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let clock = self.clock;
        for id in std::mem::take(&mut self.touched) {
            if let Some(product) = self.products.get_mut(&id) {
                product.modified = clock.after(product.modified);
            }
            if let Some(body) = self.product_json(id) {
                self.tell("products/update", id, body);
            }
        }
        for (variant, location) in std::mem::take(&mut self.levels) {
            let level = self.variant(variant).and_then(|found| self.level_json(found, location));
            if let Some(level) = level {
                // Assumed: the vendor's list of topics has none for stock that is known for certain.
                self.tell("inventory_levels/update", level["id"].as_u64().unwrap_or_default(), level);
            }
        }
        std::mem::take(&mut self.changes)
    }

    /// The site as `shop.json` writes it.
    pub fn shop_json(&self) -> Value {
        let domain = format!("{}.mysapo.net", self.alias);
        json!({
            "id": self.store_id, "name": format!("Web {}", self.alias), "alias": self.alias, "domain": domain,
            "sapo_domain": domain, "email": "web@example.com", "currency": "VND", "country_code": "VN",
            "timezone": "(GMT+07:00) Bangkok, Hanoi, Jakarta", "plan_name": "trial", "status": "active",
            "created_on": "2026-03-02T02:01:04Z", "modified_on": "2026-03-02T02:01:04Z"
        })
    }

    /// The locations as the API writes them.
    pub fn locations_json(&self) -> Vec<Value> {
        let written = self.locations.iter().enumerate().map(|(index, id)| {
            json!({
                "id": id, "store_id": self.store_id, "code": format!("KHO{}", index + 1), "name": format!("Kho {}", index + 1),
                "address1": format!("Số {} phố Thử Nghiệm", index + 1), "country_code": "VN", "status": "active",
                "default_location": index == 0, "inventory_management": true,
                "created_on": "2026-03-02T02:01:04Z", "modified_on": "2026-03-02T02:01:04Z"
            })
        });
        written.collect()
    }
}
