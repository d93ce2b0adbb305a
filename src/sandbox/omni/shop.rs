//! The shop's state: typed and small, written out as JSON only when asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::order::Order;
use crate::sandbox::Api;
use crate::sandbox::clock::Clock;
use crate::sandbox::hooks::Hooks;
use crate::sandbox::webhooks::Change;

/// The first branch, which the shop marks as its main one.
pub(crate) const FIRST_LOCATION: u64 = 58_001;
/// The second branch.
pub(crate) const SECOND_LOCATION: u64 = 58_002;

/// Why Omni does not do what it is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub body: Value,
}

impl Refusal {
    /// 422 with one message for a field, or for "".
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Map::new();
        errors.insert(field.to_owned(), Value::String(message.into()));
        Self::fields(&errors)
    }

    /// 422 with several fields.
    pub fn fields(errors: &Map<String, Value>) -> Self {
        Self { status: 422, body: json!({"data_error": {"status": 422, "errors": errors}}) }
    }

    /// Any other status, with a message.
    pub fn message(status: u16, message: &str) -> Self {
        Self { status, body: json!({"error": {"message": message}}) }
    }

    /// 404 of any object but an order.
    pub fn no_object() -> Self {
        Self::message(404, "Không tìm thấy đối tượng")
    }

    /// 404 of an order.
    pub fn no_order() -> Self {
        Self::message(404, "Đơn hàng không tồn tại")
    }

    /// The messages, for people.
    pub fn text(&self) -> String {
        if let Some(errors) = self.body["data_error"]["errors"].as_object() {
            let lines = errors.iter().map(|(field, message)| {
                let message = message.as_str().unwrap_or_default();
                if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") }
            });
            return lines.collect::<Vec<_>>().join("; ");
        }
        self.body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// What a rule of the shop allows, or why not.
pub(crate) type Ruled<T> = Result<T, Refusal>;

/// A product with its variants.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub id: u64,
    pub name: String,
    pub active: bool,
    pub category: Option<u64>,
    pub tags: Option<String>,
    pub description: Option<String>,
    pub image: Option<String>,
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
    pub sku: String,
    pub barcode: Option<String>,
    pub name: String,
    pub option: String,
    pub active: bool,
    pub retail: Option<Decimal>,
    pub wholesale: Option<Decimal>,
    pub import: Option<Decimal>,
    pub unit: Option<String>,
    pub kind: Kind,
    /// By location; empty for pack sizes and combos, whose stock is that of their components.
    pub stock: BTreeMap<u64, Stock>,
    pub created: i64,
    pub modified: i64,
    pub overlay: Map<String, Value>,
}

/// What a variant's stock is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Itself.
    Plain,
    /// A number of units of another variant, as a carton is.
    Pack { root: u64, quantity: Decimal },
    /// Several variants sold together.
    Combo(Vec<(u64, Decimal)>),
}

/// The stock at one location; available is on hand less committed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stock {
    pub on_hand: Decimal,
    pub committed: Decimal,
}

/// A category.
#[derive(Clone, Debug)]
pub(crate) struct Category {
    pub id: u64,
    pub name: String,
    pub created: i64,
    pub modified: i64,
}

/// A customer, with the phone exactly as somebody typed it.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub id: u64,
    pub code: String,
    pub name: String,
    pub phone: Option<String>,
    pub email: String,
    pub address: Option<String>,
    pub created: i64,
    pub modified: i64,
    pub overlay: Map<String, Value>,
}

/// The whole shop.
pub(crate) struct Shop {
    pub tenant: u64,
    pub alias: String,
    pub clock: Clock,
    pub products: BTreeMap<u64, Product>,
    pub categories: BTreeMap<u64, Category>,
    pub customers: BTreeMap<u64, Customer>,
    pub orders: BTreeMap<u64, Order>,
    pub hooks: Hooks,
    /// Whether the app is installed: else its token is worth nothing and it is told nothing.
    pub installed: bool,
    pub settings: Value,
    pub used_codes: HashSet<String>,
    /// Which product a variant belongs to.
    pub homes: HashMap<u64, u64>,
    /// Which variant has a SKU.
    pub skus: HashMap<String, u64>,
    next: HashMap<&'static str, u64>,
    touched: BTreeSet<u64>,
    changes: Vec<Change>,
}

impl Shop {
    /// An empty shop with its settings.
    pub fn new(tenant: u64, alias: &str, clock: Clock) -> Self {
        Self {
            tenant,
            alias: alias.to_owned(),
            clock,
            products: BTreeMap::new(),
            categories: BTreeMap::new(),
            customers: BTreeMap::new(),
            orders: BTreeMap::new(),
            hooks: Hooks::default(),
            installed: true,
            settings: settings(tenant),
            used_codes: HashSet::new(),
            homes: HashMap::new(),
            skus: HashMap::new(),
            next: HashMap::new(),
            touched: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// The next id of a kind, counted from where its numbers begin.
    pub fn next_id(&mut self, kind: &'static str) -> u64 {
        let first = match kind {
            "product" => 3_900_001,
            "variant" => 5_700_001,
            "category" => 197_001,
            "customer" => 3_689_001,
            "order" => 14_800_001,
            "line" => 23_600_001,
            "prepayment" => 3_470_001,
            "parcel" => 34_700_001,
            "return" => 4_500_001,
            "webhook" => 310_001,
            _ => 1,
        };
        let next = self.next.entry(kind).or_insert(first);
        *next += 1;
        *next - 1
    }

    /// Marks a product as changed: its time moves on and one `products/update` will tell it.
    pub fn touch_product(&mut self, id: u64) {
        self.touched.insert(id);
    }

    /// Adds something to be told.
    pub fn tell(&mut self, topic: &str, object_id: u64, body: Value) {
        if !self.installed {
            return;
        }
        self.changes.push(Change { api: Api::Omni, site: None, topic: topic.to_owned(), object_id, body });
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
        std::mem::take(&mut self.changes)
    }

    /// The locations.
    pub fn locations(&self) -> Vec<u64> {
        self.setting("locations").iter().filter_map(|location| location["id"].as_u64()).collect()
    }

    /// One list of the settings.
    pub fn setting(&self, list: &str) -> &[Value] {
        self.settings[list].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether a list of the settings has this id.
    pub fn has_setting(&self, list: &str, id: u64) -> bool {
        self.setting(list).iter().any(|item| item["id"].as_u64() == Some(id))
    }
}

/// The settings of the made-up shop.
fn settings(tenant: u64) -> Value {
    json!({
        "locations": [
            {"id": FIRST_LOCATION, "tenant_id": tenant, "code": "CN1", "label": "Chi nhánh Hà Nội", "status": "active", "is_primary": true},
            {"id": SECOND_LOCATION, "tenant_id": tenant, "code": "CN2", "label": "Chi nhánh Sài Gòn", "status": "active", "is_primary": false}
        ],
        "accounts": [{"id": 72_001, "full_name": "Nhân viên Mẫu", "status": "active"}],
        "order_sources": [
            {"id": 387_001, "tenant_id": tenant, "name": "Web", "status": "default", "init": true},
            {"id": 387_002, "tenant_id": tenant, "name": "Abaha", "status": "active", "init": false}
        ],
        "payment_methods": [
            {"id": 220_001, "name": "Chuyển khoản", "type": "transfer", "status": "active"},
            {"id": 220_002, "name": "Tiền mặt", "type": "cash", "status": "active"}
        ],
        "price_lists": [
            {"id": 167_001, "code": "BANLE", "name": "Giá bán lẻ", "is_cost": false, "status": "default"},
            {"id": 167_002, "code": "BANBUON", "name": "Giá bán buôn", "is_cost": false, "status": "active"},
            {"id": 167_003, "code": "GIANHAP", "name": "Giá nhập", "is_cost": true, "status": "default"}
        ]
    })
}
