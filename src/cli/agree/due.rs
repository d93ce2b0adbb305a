//! What should stand on the other side at a demo's end, and what rightly differs: judged from what the made-up shop, site
//! and webs hold by then, never from what the program says of it.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::Value;

use super::{is_ours, text};
use crate::domain::phone::Phone;
use crate::domain::sku::Sku;
use crate::sandbox::Sandbox;
use crate::store::dead_letters::DeadLetter;
use crate::store::jobs::JobRow;

/// What the shop, the site or a web holds.
#[derive(Debug)]
pub struct Holds {
    /// Its orders, oldest first.
    pub orders: Vec<Value>,
    /// What it sells, by SKU: variants, or products of the site.
    goods: HashMap<Sku, Vec<Value>>,
}

impl Holds {
    /// Of the made-up shop.
    pub fn of_pos(sandbox: &Sandbox) -> Self {
        Self::new(sandbox.omni().orders(), variants(sandbox.omni().products()), "sku")
    }

    /// Of the Abaha site.
    pub fn of_abaha(sandbox: &Sandbox) -> Self {
        Self::new(sandbox.abaha().orders(), sandbox.abaha().products(), "product_code")
    }

    /// Of a web.
    pub fn of_web(sandbox: &Sandbox, alias: &str) -> Self {
        let web = sandbox.web(alias);
        Self::new(web.orders(), variants(web.products()), "sku")
    }

    /// Of orders and goods; `code` is the field of a SKU.
    pub fn new(orders: Vec<Value>, sold: Vec<Value>, code: &str) -> Self {
        let mut goods: HashMap<Sku, Vec<Value>> = HashMap::new();
        for good in sold {
            if let Some(sku) = good[code].as_str().and_then(Sku::new) {
                goods.entry(sku).or_default().push(good);
            }
        }
        Self { orders, goods }
    }

    /// Whether the shop has anything with a price, which alone the site can sell.
    pub fn sells(&self) -> bool {
        self.goods.values().flatten().any(|variant| price_of(variant).is_some())
    }

    /// The one thing that has a SKU; none where it is blank, or several have it.
    fn only(&self, sku: &Value) -> Option<&Value> {
        match self.goods.get(&Sku::new(sku.as_str()?)?)?.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// A connection's two sides.
pub struct Pair<'a> {
    /// The shop.
    pub pos: &'a Holds,
    /// The site, or the web.
    pub channel: &'a Holds,
    /// The tag of the orders that were made on the POS for the channel's.
    pub tag: String,
    /// Whether the channel is a web.
    pub of_web: bool,
}

impl Pair<'_> {
    /// Whether an order of the POS should stand on the site: it stands, somebody can be called about it, and the site has
    /// all that was ordered. What the site should have and has not is found by comparing the products.
    pub fn due_on_abaha(&self, order: &Value) -> bool {
        let stands = matches!(order["status"].as_str(), Some("draft" | "finalized" | "completed"))
            && order["return_status"] != "returned";
        let phones = [&order["customer_data"]["phone_number"], &order["phone_number"]];
        let reachable = phones.iter().any(|phone| phone.as_str().is_some_and(|text| Phone::parse(text).is_ok()));
        let sold = |line: &Value| self.channel.only(&line["sku"]).is_some();
        stands && reachable && lines(order, "order_line_items").iter().all(sold)
    }

    /// Whether an order of the channel's should stand on the POS: it stands, and all that was ordered is one thing on
    /// either side.
    pub fn due_on_pos(&self, order: &Value) -> bool {
        if self.of_web {
            let stands = matches!(order["status"].as_str(), Some("open" | "closed")) && order["test"] != true;
            let linked = |line: &Value| {
                let there = self.channel.only(&line["sku"]).is_some_and(|variant| variant["id"] == line["variant_id"]);
                there && self.pos.only(&line["sku"]).is_some()
            };
            return stands && lines(order, "line_items").iter().all(linked);
        }
        let stands = matches!(order["status"].as_i64(), Some(5 | 10 | 15 | 20 | 25)) && !self.is_off(order);
        stands && lines(order, "product_items").iter().all(|line| self.pos.only(&line["product_code"]).is_some())
    }

    /// Why a difference that a dry run finds is rightly there; none where nothing that was done accounts for it.
    pub fn why_differs(&self, row: &JobRow) -> Option<&'static str> {
        let channel_order = self.channel.orders.iter().find(|order| self.code(order).as_ref() == Some(&row.object_id));
        match (row.kind.as_str(), row.action.as_str(), row.code.as_str()) {
            ("order", "create", "missing") => {
                let is_due = if let Some(order) = channel_order {
                    self.due_on_pos(order)
                } else {
                    let mut orders = self.pos.orders.iter();
                    let own = orders.find(|order| text(&order["code"]).as_ref() == Some(&row.object_id));
                    own.is_none_or(|order| self.due_on_abaha(order))
                };
                (!is_due).then_some(
                    "orders of something that the other side does not have, or of nobody with a phone number",
                )
            }
            ("order", "update", "paid") => {
                let made = self.made_for(channel_order?)?;
                (made["status"] == "cancelled").then_some("orders paid on the channel, and cancelled on Sapo")
            }
            ("order", "update", "state_differs") => self.needs_return_slip(channel_order?),
            ("product", "update", "differs") if self.of_web => self.sold_on_web(&row.object_id),
            _ => None,
        }
    }

    /// Why a dead letter is rightly one; none where nothing that was done accounts for it.
    pub fn why_dead(&self, letter: &DeadLetter) -> Option<&'static str> {
        if letter.kind != "order" || letter.source == "omni" {
            return None;
        }
        let order = self.channel.orders.iter().find(|order| text(&order["id"]).as_ref() == Some(&letter.object_id))?;
        match letter.code.as_str() {
            "free_form_line" => {
                let is_free = |line: &Value| line["variant_id"].is_null();
                let free = self.of_web && lines(order, "line_items").iter().any(is_free);
                free.then_some("orders with a line that is no product")
            }
            "needs_return_slip" => self.needs_return_slip(order),
            _ => None,
        }
    }

    /// The code of a channel's order.
    pub fn code(&self, order: &Value) -> Option<String> {
        text(&order[if self.of_web { "name" } else { "cart_code" }])
    }

    /// Sapo refuses to cancel what was delivered.
    fn needs_return_slip(&self, order: &Value) -> Option<&'static str> {
        let made = self.made_for(order)?;
        let is_delivered = matches!(made["received_status"].as_str(), Some("received" | "partial"));
        (is_delivered && self.is_off(order)).then_some(
            "orders cancelled on the channel once they were delivered, which wants a return slip (phiếu trả hàng)",
        )
    }

    /// What buyers of a web took from its stock, or gave back, is not the POS's. Nothing but the stock may differ.
    fn sold_on_web(&self, sku: &str) -> Option<&'static str> {
        let sku = Value::from(sku);
        let (here, there) = (self.pos.only(&sku)?, self.channel.only(&sku)?);
        let same_price = price_of(here).is_none_or(|price| amount(&there["price"]) == Some(price));
        let mut lines = self.channel.orders.iter().flat_map(|order| lines(order, "line_items"));
        let is_sold = lines.any(|line| line["variant_id"] == there["id"]);
        (same_price && is_sold).then_some(
            "stock sold on a web by orders that are not approved on the POS yet: its next change there, reconcile or `links \
             sync` puts it right (reserve_unapproved holds it back)",
        )
    }

    /// Whether a channel's order is cancelled, or came back.
    fn is_off(&self, order: &Value) -> bool {
        if self.of_web {
            return order["status"] == "cancelled";
        }
        matches!(order["status"].as_i64(), Some(-1 | 0)) || order["status_view"] == "Hoàn hàng"
    }

    /// The POS's order for a channel's: made for it, or the one it was made for.
    fn made_for(&self, order: &Value) -> Option<&Value> {
        let (code, mark) = (self.code(order)?, text(&order["pos_id"]));
        let orders = &self.pos.orders;
        let ours = |made: &&Value| is_ours(made, &self.tag) && text(&made["reference_number"]).as_ref() == Some(&code);
        orders.iter().find(ours).or_else(|| orders.iter().find(|made| mark.is_some() && text(&made["id"]) == mark))
    }
}

fn lines<'v>(order: &'v Value, field: &str) -> &'v [Value] {
    order[field].as_array().map_or(&[][..], Vec::as_slice)
}

fn variants(products: Vec<Value>) -> Vec<Value> {
    let listed = products.into_iter().map(|mut product| product["variants"].take());
    listed.flat_map(|variants| if let Value::Array(variants) = variants { variants } else { Vec::new() }).collect()
}

/// The retail price of the POS's variant, where it has one.
fn price_of(variant: &Value) -> Option<Decimal> {
    amount(&variant["variant_retail_price"]).filter(|price| *price > Decimal::ZERO)
}

fn amount(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
