//! The site's state.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::sandbox::Api;
use crate::sandbox::amount::{number, whole};
use crate::sandbox::clock::{Clock, iso};
use crate::sandbox::webhooks::Change;

/// Why Abaha does not do what it is asked; always said with HTTP 200.
pub(crate) type Ruled<T> = Result<T, String>;

/// A category.
#[derive(Clone, Debug)]
pub(crate) struct Category {
    pub id: u64,
    pub name: String,
}

/// A product; Abaha knows no variants.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub id: u64,
    pub code: String,
    pub name: String,
    pub category: Option<u64>,
    /// The list price.
    pub price: Decimal,
    /// The selling price.
    pub price_sale: Decimal,
    pub quantity: i64,
    /// 1 shown, 0 hidden.
    pub status: i64,
    pub description: String,
    pub images: Vec<String>,
    pub created: i64,
    pub updated: i64,
}

/// A customer, with the phone exactly as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub id: u64,
    pub name: String,
    pub tel: String,
    pub created: i64,
    pub updated: i64,
}

/// One line of an order.
#[derive(Clone, Debug)]
pub(crate) struct OrderLine {
    pub product: Option<u64>,
    pub code: String,
    pub name: String,
    pub quantity: Decimal,
    pub price: Decimal,
}

/// An order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub id: u64,
    pub code: String,
    pub status: i64,
    /// Said instead of the status's own name, where set.
    pub status_view: Option<String>,
    pub payment: i64,
    pub lines: Vec<OrderLine>,
    pub discount: Decimal,
    pub discount_name: String,
    pub fee: Decimal,
    pub fee_name: String,
    pub tel: String,
    pub name: String,
    pub customer: Option<u64>,
    pub note: String,
    pub pos_id: Value,
    pub pos_type: Value,
    pub orders_time: String,
    pub created: i64,
    pub updated: i64,
}

/// The whole site.
pub(crate) struct Site {
    pub number: Value,
    pub clock: Clock,
    pub keeps_pos_id: bool,
    pub categories: BTreeMap<u64, Category>,
    pub products: BTreeMap<u64, Product>,
    pub customers: BTreeMap<u64, Customer>,
    pub orders: BTreeMap<u64, Order>,
    /// The products of each code.
    pub codes: HashMap<String, BTreeSet<u64>>,
    /// The customer of each phone, in its national form.
    pub tels: HashMap<String, u64>,
    next: BTreeMap<u64, u64>,
    changes: Vec<Change>,
}

impl Site {
    /// An empty site.
    pub fn new(site: &str, clock: Clock, keeps_pos_id: bool) -> Self {
        let text = json!(site);
        Self {
            number: whole(&text).map_or(text, Value::from),
            clock,
            keeps_pos_id,
            categories: BTreeMap::new(),
            products: BTreeMap::new(),
            customers: BTreeMap::new(),
            orders: BTreeMap::new(),
            codes: HashMap::new(),
            tels: HashMap::new(),
            next: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// The next number of a kind, counted from where its ids begin.
    pub fn next_id(&mut self, first: u64) -> u64 {
        let next = self.next.entry(first).or_insert(first);
        *next += 1;
        *next - 1
    }

    /// Adds something to be told.
    pub fn tell(&mut self, topic: &str, object_id: u64, body: Value) {
        self.changes.push(Change { api: Api::Abaha, site: None, topic: topic.to_owned(), object_id, body });
    }

    /// Takes what is to be told since the last time.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A category as Abaha writes it.
    pub fn category_json(&self, category: &Category) -> Value {
        json!({"id": category.id, "site_id": self.number, "name": category.name})
    }

    /// A product as Abaha writes it.
    pub fn product_json(&self, product: &Product) -> Value {
        let category = product.category.and_then(|id| self.categories.get(&id));
        json!({
            "id": product.id,
            "site_id": self.number,
            "product_code": product.code,
            "name": product.name,
            "category_id": product.category,
            "category_name": category.map(|category| &category.name),
            "price": number(product.price),
            "price_sale": number(product.price_sale),
            "quantity": product.quantity,
            "status": product.status,
            "description": product.description,
            "images": product.images,
            "created_at": iso(product.created),
            "updated_at": iso(product.updated)
        })
    }

    /// A customer as Abaha writes it.
    pub fn customer_json(&self, customer: &Customer) -> Value {
        json!({
            "id": customer.id,
            "site_id": self.number,
            "name": customer.name,
            "tel": customer.tel,
            "created_at": iso(customer.created),
            "updated_at": iso(customer.updated)
        })
    }

    /// An order as Abaha writes it; a total is not stated.
    pub fn order_json(&self, order: &Order) -> Value {
        let lines: Vec<Value> = order
            .lines
            .iter()
            .map(|line| {
                json!({
                    "product_id": line.product, "product_code": line.code, "name": line.name,
                    "quantity": number(line.quantity), "price": number(line.price)
                })
            })
            .collect();
        json!({
            "id": order.id,
            "site_id": self.number,
            "cart_code": order.code,
            "status": order.status,
            "status_view": order.status_view.as_deref().unwrap_or_else(|| status_name(order.status)),
            "payment_status": order.payment,
            "product_items": lines,
            "discount": {"price": number(order.discount), "name": order.discount_name},
            "fee": {"price": number(order.fee), "name": order.fee_name},
            "tel": order.tel,
            "name": order.name,
            "customer_id": order.customer,
            "address_receiver": {"address_default": null, "name": order.name, "tel": order.tel, "address": "Số 1 phố Thử Nghiệm"},
            "user_note": order.note,
            "pos_id": order.pos_id,
            "pos_type": order.pos_type,
            "orders_time": order.orders_time,
            "created_at": iso(order.created),
            "updated_at": iso(order.updated)
        })
    }
}

/// A status in words.
pub(crate) fn status_name(status: i64) -> &'static str {
    match status {
        -1 | 0 => "Hủy",
        1 => "Giỏ hàng",
        5 => "Đặt hàng",
        10 => "Duyệt",
        15 => "Đóng gói",
        20 => "Xuất kho",
        25 => "Hoàn thành",
        30 => "Đóng",
        _ => "",
    }
}
