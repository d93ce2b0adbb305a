//! What Sapo Web's HTTP API lets one read. Lists say no total.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::http::{Done, number, ok};
use super::order::Order;
use super::order_shape::{fulfillment_json, transaction_json};
use super::people::customer_json;
use super::refusal::{Refusal, Ruled};
use super::state::{Customer, Product, State};
use crate::sandbox::lists::Query;

/// How many a page has where the caller does not say.
const USUAL: usize = 50;
/// The longest page.
const LONGEST: usize = 250;

/// Everything that only reads.
pub(super) fn read(state: &State, parts: &[&str], query: &Query) -> Ruled<Done> {
    match parts {
        [name @ ("shop" | "store")] => ok(json!({*name: state.shop_json()})),
        ["locations"] => ok(json!({"locations": state.locations_json()})),
        ["products"] => {
            let found = products(state, query);
            list(query, "products", &found, |id| state.product_json(id))
        }
        ["products", "count"] => ok(json!({"count": products(state, query).len()})),
        ["products", id] => one("product", state.product_json(number(id)?)),
        ["products", id, "variants"] => {
            let product = state.product_json(number(id)?).ok_or_else(Refusal::not_found)?;
            ok(json!({"variants": product["variants"]}))
        }
        ["variants", id] | ["products", _, "variants", id] => one("variant", state.variant_json(number(id)?)),
        ["inventory_levels"] => levels(state, query),
        ["orders"] => {
            let found = orders(state, query);
            list(query, "orders", &found, |id| state.order_json(id))
        }
        ["orders", "count"] => ok(json!({"count": orders(state, query).len()})),
        ["orders", id] => one("order", state.order_json(number(id)?)),
        ["orders", id, "transactions"] => {
            let order = state.order(number(id)?)?;
            let moved: Vec<Value> = order.transactions.iter().map(|moved| transaction_json(order, moved)).collect();
            ok(json!({"transactions": moved}))
        }
        ["orders", id, "fulfillments"] => {
            let order = state.order(number(id)?)?;
            let sent: Vec<Value> = order.fulfillments.iter().map(|parcel| fulfillment_json(order, parcel)).collect();
            ok(json!({"fulfillments": sent}))
        }
        ["customers"] | ["customers", "search"] => {
            let found = customers(state, query);
            list(query, "customers", &found, |id| state.customers.get(&id).map(customer_json))
        }
        ["customers", "count"] => ok(json!({"count": customers(state, query).len()})),
        ["customers", id] => one("customer", state.customers.get(&number(id)?).map(customer_json)),
        ["webhooks"] => {
            let all = state.hooks.all();
            let wanted = |field: &str, hook: &Value| query.get(field).is_none_or(|word| hook[field] == word);
            let found = all.into_iter().filter(|hook| wanted("topic", hook) && wanted("address", hook));
            let found: Vec<Value> = found.collect();
            let shown: Vec<&Value> = query.cut(&found.iter().collect::<Vec<_>>(), USUAL, LONGEST);
            ok(json!({"webhooks": shown}))
        }
        ["webhooks", "count"] => ok(json!({"count": state.hooks.all().len()})),
        ["webhooks", id] => one("webhook", state.hooks.get(number(id)?).cloned()),
        _ => Err(Refusal::no_path()),
    }
}

fn products(state: &State, query: &Query) -> Vec<u64> {
    let wanted = |product: &&Product| query.names(product.id) && query.spans(product.created, product.modified);
    in_order(query, state.products.values().filter(wanted).map(|product| (product.id, product.id)).collect())
}

/// Orders of one status: open where none is asked for. `any` is no status, so it finds nothing.
fn orders(state: &State, query: &Query) -> Vec<u64> {
    let status = query.get("status").unwrap_or("open");
    let wanted = |order: &&Order| {
        order.status() == status
            && query.names(order.id)
            && query.spans(order.created, order.modified)
            && query.get("financial_status").is_none_or(|word| word == order.financial())
            && query.get("fulfillment_status").is_none_or(|word| Some(word) == order.fulfillment())
    };
    let found = state.orders.values().filter(wanted).map(|order| (order.created, order.id)).collect();
    in_order(query, found)
}

fn customers(state: &State, query: &Query) -> Vec<u64> {
    let wanted = |customer: &&Customer| {
        let name = format!("{} {}", customer.last_name, customer.first_name);
        let texts = [
            name.as_str(),
            customer.phone.as_deref().unwrap_or_default(),
            customer.email.as_deref().unwrap_or_default(),
        ];
        query.names(customer.id) && query.spans(customer.created, customer.modified) && query.finds(&texts)
    };
    in_order(query, state.customers.values().filter(wanted).map(|customer| (customer.id, customer.id)).collect())
}

/// Newest first; with `since_id`, what came later by id. Assumed: the vendor does not say the order.
fn in_order<T: Ord>(query: &Query, mut found: Vec<(T, u64)>) -> Vec<u64> {
    if let Some(since) = query.get("since_id").and_then(|id| id.parse::<u64>().ok()) {
        found.retain(|(_, id)| *id > since);
        found.sort_unstable_by_key(|(_, id)| *id);
    } else {
        found.sort_unstable_by(|one, other| other.cmp(one));
    }
    found.into_iter().map(|(_, id)| id).collect()
}

fn levels(state: &State, query: &Query) -> Ruled<Done> {
    let (items, places) = (query.set("inventory_item_ids"), query.set("location_ids"));
    let wanted = |ids: &Option<HashSet<u64>>, id: u64| ids.as_ref().is_none_or(|ids| ids.contains(&id));
    let mut found: Vec<(u64, u64)> = Vec::new();
    let all = state.products.values().flat_map(|product| &product.variants);
    for variant in all.filter(|variant| variant.managed && wanted(&items, variant.item)) {
        let kept = variant.levels.keys().filter(|location| wanted(&places, **location));
        found.extend(kept.map(|location| (variant.id, *location)));
    }
    let page = query.cut(&found, USUAL, LONGEST);
    let written = page.into_iter().filter_map(|(id, location)| state.level_json(state.variant(id)?, location));
    ok(json!({"inventory_levels": written.collect::<Vec<_>>()}))
}

fn list(query: &Query, name: &str, found: &[u64], write: impl Fn(u64) -> Option<Value>) -> Ruled<Done> {
    let items: Vec<Value> = query.cut(found, USUAL, LONGEST).into_iter().filter_map(write).collect();
    ok(json!({name: items}))
}

fn one(name: &str, found: Option<Value>) -> Ruled<Done> {
    ok(json!({name: found.ok_or_else(Refusal::not_found)?}))
}
