//! What Sapo Web's HTTP API lets one change.

use serde_json::{Value, json};

use super::http::{Done, done, number};
use super::order_shape::{fulfillment_json, transaction_json};
use super::refusal::{Refusal, Ruled};
use super::state::State;
use crate::sandbox::amount::text;

/// The topics that a webhook can be registered for; the one for stock is assumed.
const TOPICS: [&str; 18] = [
    "orders/create",
    "orders/updated",
    "orders/paid",
    "orders/cancelled",
    "orders/fulfilled",
    "orders/partially_fulfilled",
    "orders/delete",
    "products/create",
    "products/update",
    "products/delete",
    "customers/create",
    "customers/update",
    "customers/delete",
    "refunds/create",
    "fulfillments/create",
    "fulfillments/update",
    "app/uninstalled",
    "inventory_levels/update",
];

/// Everything that changes something.
pub(super) fn write(state: &mut State, method: &str, parts: &[&str], body: &Value) -> Ruled<Done> {
    match (method, parts) {
        ("POST", ["products"]) => {
            let id = state.post_product(body)?;
            done(201, json!({"product": state.product_json(id)}), id)
        }
        ("PUT", ["products", id]) => {
            let id = number(id)?;
            state.put_product(id, body)?;
            done(200, json!({"product": state.product_json(id)}), id)
        }
        ("DELETE", ["products", id]) => {
            let id = number(id)?;
            state.delete_product(id)?;
            done(200, json!({}), id)
        }
        ("POST", ["products", id, "variants"]) => {
            let id = state.post_variant(number(id)?, body)?;
            done(201, json!({"variant": state.variant_json(id)}), id)
        }
        ("PUT", ["variants", id] | ["products", _, "variants", id]) => {
            let id = number(id)?;
            state.put_variant(id, body)?;
            done(200, json!({"variant": state.variant_json(id)}), id)
        }
        ("DELETE", ["products", _, "variants", id]) => {
            let id = number(id)?;
            state.delete_variant(id)?;
            done(200, json!({}), id)
        }
        ("POST", ["inventory_levels", "set"]) => {
            let (variant, location) = state.post_level(body)?;
            let level = state.variant(variant).and_then(|found| state.level_json(found, location));
            done(200, json!({"inventory_level": level}), variant)
        }
        ("PUT", ["orders", id]) => {
            let id = number(id)?;
            state.put_order(id, body)?;
            done(200, json!({"order": state.order_json(id)}), id)
        }
        ("POST", ["orders", id, step]) => order_step(state, number(id)?, step, body),
        (method, ["webhooks", rest @ ..]) => register(state, method, rest, body),
        _ => Err(Refusal::no_path()),
    }
}

fn order_step(state: &mut State, id: u64, step: &str, body: &Value) -> Ruled<Done> {
    match step {
        "cancel" => {
            let given = if body["order"].is_object() { &body["order"] } else { body };
            state.cancel(id, text(&given["reason"]).or_else(|| text(&given["cancel_reason"])))?;
        }
        "close" => state.close(id, true)?,
        "open" => state.close(id, false)?,
        "transactions" => {
            let moved = state.post_transaction(id, body)?;
            let body = json!({"transaction": transaction_json(state.order(id)?, &moved)});
            return done(201, body, id);
        }
        "fulfillments" => {
            let parcel = state.post_fulfillment(id, body)?;
            let body = json!({"fulfillment": fulfillment_json(state.order(id)?, &parcel)});
            return done(201, body, id);
        }
        _ => return Err(Refusal::no_path()),
    }
    done(200, json!({"order": state.order_json(id)}), id)
}

/// Registers, changes or takes away a webhook.
fn register(state: &mut State, method: &str, rest: &[&str], body: &Value) -> Ruled<Done> {
    let unfit = |(field, message): (&str, &str)| Refusal::field(field, message);
    let now = state.clock.now();
    let given = if body["webhook"].is_object() { &body["webhook"] } else { body };
    if text(&given["topic"]).is_some_and(|topic| !TOPICS.contains(&topic.as_str())) {
        return Err(Refusal::field("topic", "is invalid"));
    }
    match (method, rest) {
        ("POST", []) => {
            let id = state.next_id("webhook");
            let hook = state.hooks.add(id, now, body).map_err(unfit)?;
            done(201, json!({"webhook": hook}), id)
        }
        ("PUT", [id]) => {
            let id = number(id)?;
            let hook = state.hooks.change(id, now, body).ok_or_else(Refusal::not_found)?;
            done(200, json!({"webhook": hook.map_err(unfit)?}), id)
        }
        ("DELETE", [id]) => {
            let id = number(id)?;
            if state.hooks.remove(id) { done(200, json!({}), id) } else { Err(Refusal::not_found()) }
        }
        _ => Err(Refusal::no_path()),
    }
}
