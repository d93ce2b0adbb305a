//! Omni's HTTP API.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::Response;
use serde_json::{Value, json};

use super::oauth::{access_token, authorize};
use super::order_shape::{parcel_json, prepayment_json};
use super::read::{read, returns};
use super::shop::{Refusal, Ruled, Shop};
use crate::sandbox::Api;
use crate::sandbox::amount::{decimal, whole};
use crate::sandbox::form;
use crate::sandbox::gate::{self, Answer, Request};
use crate::sandbox::inner::Inner;
use crate::sandbox::lists::Query;
use crate::sandbox::serve::Line;

/// The most that Omni reads of a request.
const LARGEST: usize = 4 << 20;

/// The server of the Omni API.
pub(crate) fn router(inner: &Arc<Inner>) -> Router {
    Router::new().fallback(handle).with_state(Arc::clone(inner))
}

async fn handle(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: HttpRequest,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let method = parts.method.as_str().to_owned();
    let path = parts.uri.path().trim_start_matches('/');
    let path = path.strip_prefix("admin/").unwrap_or(path);
    let path = path.trim_end_matches('/').trim_end_matches(".json").to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let known = parts.uri.path().starts_with("/admin/");
    let writing = method != "GET";
    let request =
        Request { api: Api::Omni, site: None, method, path, query, headers: parts.headers, body, line, writing };
    gate::pass(inner, request, move |inner, request| if known { admin(inner, request) } else { Answer::html(404) })
        .await
}

/// Everything under `/admin/`.
fn admin(inner: &Inner, request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "oauth/authorize") => return authorize(inner, request),
        ("POST", "oauth/access_token") => return access_token(inner, request),
        _ => {}
    }
    let current = request.header("x-sapo-access-token");
    let token = if current.is_empty() { request.header("x-bizweb-access-token") } else { current };
    if token != inner.config.access_token || !inner.shop().installed {
        return refused(&Refusal::message(
            401,
            "Invalid API key or access token (unrecognized login or wrong password)",
        ));
    }
    let (outcome, changes) = inner.with_shop(|shop| work(shop, request));
    let mut answer = match outcome {
        Ok(Done { status, body, object }) => Answer { object_id: object, ..Answer::json(status, &body) },
        Err(Refused::Html) => Answer::html(404),
        Err(Refused::Rule(refusal)) => refused(&refusal),
    };
    answer.changes = changes;
    answer
}

/// A refusal as an answer.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    Answer::json(refusal.status, &refusal.body)
}

/// What a call comes to.
pub(super) struct Done {
    status: u16,
    body: Value,
    object: Option<u64>,
}

/// Why a call comes to nothing.
pub(super) enum Refused {
    /// No such path: the web server's own page.
    Html,
    /// A rule of the shop.
    Rule(Refusal),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Rule(refusal)
    }
}

/// A plain answer.
#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
pub(super) fn ok(body: Value) -> Result<Done, Refused> {
    Ok(Done { status: 200, body, object: None })
}

#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
fn created(body: Value, object: u64) -> Result<Done, Refused> {
    Ok(Done { status: 201, body, object: Some(object) })
}

fn work(shop: &mut Shop, request: &Request) -> Result<Done, Refused> {
    let parts: Vec<&str> = request.path.split('/').collect();
    if !request.writing {
        return read(shop, &parts, &Query::read(&request.query));
    }
    let body = form::body(request.header("content-type"), &request.body);
    let body = body.ok_or_else(|| Refusal::message(400, "Không đọc được nội dung JSON"))?;
    // Registering webhooks concerns the whole shop, not a branch.
    if let ["webhooks", rest @ ..] = parts.as_slice() {
        return register(shop, &request.method, rest, &body);
    }
    let location = request.header("x-sapo-locationid").parse().ok().filter(|id| shop.has_setting("locations", *id));
    let location = location.ok_or_else(|| Refusal::field("location_id", "Chi nhánh không tồn tại"));
    match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["customers"]) => {
            location?;
            let id = shop.post_customer(&body)?;
            let customer = shop.customers.get(&id).map(|customer| shop.customer_json(customer));
            created(json!({"customer": customer}), id)
        }
        ("POST", ["orders"]) => {
            let id = shop.post_order(&body, location?)?;
            created(json!({"order": shop.order_json(id)}), id)
        }
        ("POST", ["order_returns"]) => {
            location?;
            let given = &body["order_return"];
            let order = whole(&given["order_id"]).ok_or_else(Refusal::no_order)?;
            let items = given["return_line_items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|item| Some((whole(&item["order_line_item_id"])?, decimal(&item["quantity"])?)));
            let id = shop.return_items(order, items.collect())?;
            created(json!({"order_return": returns(shop, Some(id)).pop()}), id)
        }
        ("PUT", ["orders", id]) => {
            location?;
            let id = number(id)?;
            shop.put_order(id, &body)?;
            order_done(shop, id)
        }
        ("POST", ["orders", id, rest @ ..]) => {
            location?;
            order_step(shop, number(id)?, rest, &body)
        }
        _ => Err(Refused::Html),
    }
}

fn order_step(shop: &mut Shop, id: u64, step: &[&str], body: &Value) -> Result<Done, Refused> {
    match step {
        ["finalize"] => shop.finalize(id)?,
        ["cancel"] => shop.cancel(id)?,
        ["finish"] => shop.finish(id)?,
        ["prepayments"] => {
            let payment = shop.post_prepayment(id, body)?;
            return created(json!({"prepayment": prepayment_json(&payment)}), id);
        }
        ["fulfillments"] => {
            let parcel = shop.pack(id, body)?;
            return created(json!({"fulfillment": parcel_of(shop, id, parcel)?}), id);
        }
        ["fulfillments", parcel, step] => {
            let parcel = number(parcel)?;
            match *step {
                "ship" => shop.ship(id, parcel)?,
                "receive" => shop.receive(id, parcel)?,
                "cancel" => shop.cancel_parcel(id, parcel)?,
                _ => return Err(Refused::Html),
            }
            return ok(json!({"fulfillment": parcel_of(shop, id, parcel)?}));
        }
        _ => return Err(Refused::Html),
    }
    order_done(shop, id)
}

#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
fn order_done(shop: &Shop, id: u64) -> Result<Done, Refused> {
    Ok(Done { status: 200, body: json!({"order": shop.order_json(id)}), object: Some(id) })
}

fn parcel_of(shop: &Shop, id: u64, parcel: u64) -> Ruled<Value> {
    let order = shop.order(id)?;
    let found = order.parcels.iter().find(|found| found.id == parcel).ok_or_else(Refusal::no_object)?;
    Ok(parcel_json(shop.tenant, order, found))
}

/// Registers, changes or takes away a webhook.
fn register(shop: &mut Shop, method: &str, rest: &[&str], body: &Value) -> Result<Done, Refused> {
    let unfit = |(field, message)| Refusal::field(field, message);
    let now = shop.clock.now();
    match (method, rest) {
        ("POST", []) => {
            let id = shop.next_id("webhook");
            let hook = shop.hooks.add(id, now, body).map_err(unfit)?;
            created(json!({"webhook": hook}), id)
        }
        ("PUT", [id]) => {
            let hook = shop.hooks.change(number(id)?, now, body).ok_or_else(Refusal::no_object)?;
            ok(json!({"webhook": hook.map_err(unfit)?}))
        }
        ("DELETE", [id]) if shop.hooks.remove(number(id)?) => ok(json!({})),
        ("DELETE", [_]) => Err(Refusal::no_object().into()),
        _ => Err(Refused::Html),
    }
}

/// An id in a path.
pub(super) fn number(text: &str) -> Ruled<u64> {
    text.parse().map_err(|_| Refusal::no_object())
}
