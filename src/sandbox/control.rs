//! The control API: looks into the shops and sites and changes them, for people and scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::amount::{decimal, signed, text, whole};
use super::inner::Inner;
use super::{Abaha, Omni, PlaceAbahaOrder, PlaceOrder};

mod faults;
mod web;

/// The most that is read of a request.
const LARGEST: usize = 1 << 20;

/// What a request comes to: JSON, or a status and what is wrong.
type Outcome = Result<Value, (u16, String)>;

/// The server of the control API.
pub(crate) fn router(inner: &Arc<Inner>) -> Router {
    Router::new().fallback(handle).with_state(Arc::clone(inner))
}

async fn handle(State(inner): State<Arc<Inner>>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, LARGEST).await.unwrap_or_default();
    let body = if bytes.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&bytes) };
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let outcome = match body {
        Ok(body) if body.is_object() => answer(&inner, parts.method.as_str(), &path, &body),
        Ok(_) => Err((400, "the body must be a JSON object".into())),
        Err(error) => Err((400, format!("the body is not JSON: {error}"))),
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err((status, message)) => (status, json!({"error": message})),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

fn answer(inner: &Arc<Inner>, method: &str, path: &[&str], body: &Value) -> Outcome {
    let (omni, abaha) = (Omni::new(inner), Abaha::new(inner));
    match (method, path) {
        ("GET", ["state"]) => Ok(state(inner)),
        ("GET", ["calls"]) => Ok(json!({"calls": inner.calls.all()})),
        ("DELETE", ["calls"]) => {
            inner.calls.clear();
            done()
        }
        ("GET", ["webhooks"]) => Ok(json!({"webhooks": inner.webhooks.sent()})),
        ("POST", ["webhooks"]) => {
            inner.webhooks.set_target(body["to"].as_str());
            done()
        }
        ("POST", ["faults"]) => faults::add(&inner.faults, body).map_err(bad).and_then(|()| done()),
        ("DELETE", ["faults"]) => {
            inner.faults.clear();
            done()
        }
        ("GET", ["omni", "products"]) => Ok(json!({"products": omni.products()})),
        ("GET", ["omni", "customers"]) => Ok(json!({"customers": omni.customers()})),
        ("GET", ["omni", "orders"]) => Ok(json!({"orders": omni.orders()})),
        ("GET", ["omni", "products", id]) => one(omni.product(number(id)?)),
        ("GET", ["omni", "customers", id]) => one(omni.customer(number(id)?)),
        ("GET", ["omni", "orders", id]) => one(omni.order(number(id)?)),
        ("POST", ["omni", "products"]) => made(omni.add_product(body)),
        ("POST", ["omni", "products", id]) => change_product(omni, number(id)?, body),
        ("DELETE", ["omni", "products", id]) => step(omni.delete_product(number(id)?)),
        ("POST", ["omni", "customers"]) => {
            let name = text(&body["name"]).ok_or_else(|| bad("name is missing".into()))?;
            Ok(json!({"id": omni.add_customer(&name, body["phone"].as_str())}))
        }
        ("POST", ["omni", "orders"]) => omni_order(omni, body),
        ("POST", ["omni", "orders", id, word]) => omni_step(omni, number(id)?, word, body),
        ("GET", ["abaha", "products"]) => Ok(json!({"products": abaha.products()})),
        ("GET", ["abaha", "customers"]) => Ok(json!({"customers": abaha.customers()})),
        ("GET", ["abaha", "orders"]) => Ok(json!({"orders": abaha.orders()})),
        ("GET", ["abaha", "orders", id]) => one(abaha.order(number(id)?)),
        ("GET", ["abaha", kind @ ("products" | "customers"), id]) => {
            let all = if *kind == "products" { abaha.products() } else { abaha.customers() };
            let id = number(id)?;
            one(all.into_iter().find(|item| item["id"].as_u64() == Some(id)))
        }
        ("POST", ["abaha", "products", id]) => step(abaha.edit_product(number(id)?, body)),
        ("POST", ["abaha", "orders"]) => abaha_order(abaha, body),
        ("POST", ["abaha", "orders", id]) => change_abaha_order(abaha, number(id)?, body),
        (_, ["web", alias, rest @ ..]) => web::answer(inner, alias, method, rest, body),
        _ => Err((404, format!("no such path: {method} /{}", path.join("/")))),
    }
}

fn state(inner: &Inner) -> Value {
    let mut omni_orders = BTreeMap::<&str, usize>::new();
    let shop = inner.shop();
    for order in shop.orders.values() {
        *omni_orders.entry(order.status.word()).or_default() += 1;
    }
    let omni = json!({"products": shop.products.len(), "customers": shop.customers.len(), "orders": omni_orders});
    drop(shop);
    let mut abaha_orders = BTreeMap::<String, usize>::new();
    let site = inner.site();
    for order in site.orders.values() {
        *abaha_orders.entry(order.status.to_string()).or_default() += 1;
    }
    let abaha = json!({
        "products": site.products.len(), "categories": site.categories.len(), "customers": site.customers.len(), "orders": abaha_orders
    });
    drop(site);
    let sent = inner.webhooks.sent();
    let taken = sent.iter().filter(|sent| sent.taken()).count();
    let mut calls = BTreeMap::<&str, usize>::new();
    let all = inner.calls.all();
    for call in &all {
        let word = match call.api {
            super::Api::Omni => "omni",
            super::Api::Abaha => "abaha",
            super::Api::Web => "web",
        };
        *calls.entry(word).or_default() += 1;
    }
    json!({
        "omni": omni,
        "abaha": abaha,
        "web": web::state(inner),
        "webhooks": {"sent": taken, "failed": sent.len() - taken, "waiting": inner.webhooks.waiting()},
        "calls": all.len(),
        "calls_by_api": calls
    })
}

fn change_product(omni: Omni<'_>, id: u64, body: &Value) -> Outcome {
    let product = omni.product(id).ok_or_else(missing)?;
    let variants: Vec<u64> =
        product["variants"].as_array().into_iter().flatten().filter_map(|variant| variant["id"].as_u64()).collect();
    // One variant where it is named, else all of the product's.
    let variants = whole(&body["variant_id"]).map_or(variants, |id| vec![id]);
    if let Some(price) = body.get("price") {
        let price = if price.is_null() {
            None
        } else {
            Some(decimal(price).ok_or_else(|| bad("price must be a number or null".into()))?)
        };
        for variant in &variants {
            omni.set_price(*variant, price).map_err(bad)?;
        }
    }
    for (location, amount) in body["stock"].as_object().into_iter().flatten() {
        let amount = decimal(amount).ok_or_else(|| bad(format!("the stock at {location} must be a number")))?;
        for variant in &variants {
            omni.set_stock(*variant, number(location)?, amount).map_err(bad)?;
        }
    }
    if let Some(name) = text(&body["name"]) {
        omni.change_product(id, |shape| shape["name"] = json!(name)).map_err(bad)?;
    }
    if let Some(active) = body["active"].as_bool() {
        omni.set_active(id, active).map_err(bad)?;
    }
    one(omni.product(id))
}

fn omni_order(omni: Omni<'_>, body: &Value) -> Outcome {
    let mut lines = Vec::new();
    for line in list(body, "lines")? {
        let named = text(&line["sku"]).and_then(|sku| omni.variant_by_sku(&sku));
        let variant = whole(&line["variant_id"])
            .or(named)
            .ok_or_else(|| bad("each line needs a known variant_id or sku".into()))?;
        lines.push((variant, quantity(line), price(line)?));
    }
    made(omni.place_order(PlaceOrder {
        customer_id: whole(&body["customer_id"]),
        phone: text(&body["phone"]),
        lines,
        discount: decimal(&body["discount"]).unwrap_or_default(),
        fee: decimal(&body["fee"]).unwrap_or_default(),
        note: text(&body["note"]),
        created_on: text(&body["created_on"]),
        location: whole(&body["location_id"]),
    }))
}

fn omni_step(omni: Omni<'_>, id: u64, word: &str, body: &Value) -> Outcome {
    step(match word {
        "finalize" => omni.finalize(id),
        "pack" => omni.pack(id),
        "ship" => omni.ship(id),
        "receive" => omni.receive(id),
        "complete" => omni.complete(id),
        "pay" => omni.pay(id),
        "cancel" => omni.cancel(id),
        "finish" => omni.finish(id),
        "return" => omni.return_order(id, body["partial"] == true),
        _ => {
            return Err((
                404,
                format!(
                    "an order cannot {word}; it can finalize, pack, ship, receive, complete, pay, cancel, finish, return"
                ),
            ));
        }
    })
}

fn abaha_order(abaha: Abaha<'_>, body: &Value) -> Outcome {
    let mut lines = Vec::new();
    for line in list(body, "lines")? {
        let code = text(&line["product_code"]).ok_or_else(|| bad("each line needs a product_code".into()))?;
        lines.push((code, quantity(line), price(line)?));
    }
    let usual = PlaceAbahaOrder::default();
    made(abaha.place_order(&PlaceAbahaOrder {
        tel: text(&body["tel"]).unwrap_or(usual.tel),
        name: text(&body["name"]).unwrap_or(usual.name),
        lines,
        discount: decimal(&body["discount"]).unwrap_or_default(),
        fee: decimal(&body["fee"]).unwrap_or_default(),
        note: text(&body["note"]),
        paid: body["paid"] == true,
        status: signed(&body["status"]).unwrap_or(usual.status),
        created_at: text(&body["created_at"]),
    }))
}

fn change_abaha_order(abaha: Abaha<'_>, id: u64, body: &Value) -> Outcome {
    if let Some(status) = signed(&body["status"]) {
        abaha.set_status(id, status, body["status_view"].as_str()).map_err(bad)?;
    }
    if let Some(paid) = body["paid"].as_bool() {
        abaha.set_payment(id, if paid { 5 } else { 0 }).map_err(bad)?;
    }
    one(abaha.order(id))
}

fn list<'a>(body: &'a Value, field: &str) -> Result<&'a Vec<Value>, (u16, String)> {
    body[field].as_array().ok_or_else(|| bad(format!("{field} must be a list")))
}

fn quantity(line: &Value) -> rust_decimal::Decimal {
    decimal(&line["quantity"]).unwrap_or(rust_decimal::Decimal::ONE)
}

fn price(line: &Value) -> Result<rust_decimal::Decimal, (u16, String)> {
    decimal(&line["price"]).ok_or_else(|| bad("each line needs a price".into()))
}

fn number(text: &str) -> Result<u64, (u16, String)> {
    text.parse().map_err(|_| bad(format!("{text} is not an id")))
}

fn one(object: Option<Value>) -> Outcome {
    object.ok_or_else(missing)
}

fn made(made: Result<u64, String>) -> Outcome {
    made.map(|id| json!({"id": id})).map_err(bad)
}

fn step(step: Result<(), String>) -> Outcome {
    step.map_err(bad).and_then(|()| done())
}

#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
fn done() -> Outcome {
    Ok(json!({"done": true}))
}

fn bad(message: String) -> (u16, String) {
    (400, message)
}

fn missing() -> (u16, String) {
    (404, "no such object".into())
}
