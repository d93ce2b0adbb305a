//! Abaha's HTTP API: every call a POST, every refusal a 200 with its own status inside.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::Response;
use serde_json::{Value, json};

use super::site::{Ruled, Site};
use crate::sandbox::Api;
use crate::sandbox::amount::{signed, text, whole};
use crate::sandbox::clock::parse;
use crate::sandbox::form;
use crate::sandbox::gate::{self, Answer, Request};
use crate::sandbox::inner::Inner;
use crate::sandbox::serve::Line;

/// The most that Abaha reads of a request.
const LARGEST: usize = 4 << 20;
/// The longest page.
const LONGEST: u64 = 100;

/// The server of the Abaha API.
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
    let path = parts.uri.path().trim_matches('/').to_owned();
    let mut pairs = form::pairs(parts.uri.query().unwrap_or_default());
    let token = form::get(&pairs, "token").map(str::to_owned);
    pairs.retain(|(key, _)| key != "token");
    let query = pairs.iter().map(|(key, value)| format!("{key}={}", form::encode(value))).collect::<Vec<_>>().join("&");
    let writing = path.ends_with("/create") || path.ends_with("/update");
    let request =
        Request { api: Api::Abaha, site: None, method, path, query, headers: parts.headers, body, line, writing };
    gate::pass(inner, request, move |inner, request| answer(inner, request, token.as_deref())).await
}

fn answer(inner: &Inner, request: &Request, token: Option<&str>) -> Answer {
    if request.method != "POST" {
        return Answer::html(405);
    }
    let body = form::body(request.header("content-type"), &request.body);
    let token = token.map(str::to_owned).or_else(|| body.as_ref().and_then(|body| text(&body["token"])));
    if token.as_deref() != Some(&inner.config.abaha_token) {
        return Answer::json(401, &json!({"status": 401, "message": "Token không hợp lệ", "data": null}));
    }
    let Some(body) = body else {
        return refused("Dữ liệu không hợp lệ");
    };
    let (outcome, changes) = inner.with_site(|site| work(site, &request.path, &body));
    let mut answer = match outcome {
        None => return Answer::html(404),
        Some(Err(message)) => return refused(&message),
        Some(Ok(data)) => Answer::json(200, &json!({"status": 200, "message": "", "data": data})),
    };
    if request.writing {
        answer.object_id = outcome_id(&answer.body);
    } else {
        answer.object_id = whole(&body["id"]);
    }
    answer.changes = changes;
    answer
}

fn outcome_id(body: &str) -> Option<u64> {
    serde_json::from_str::<Value>(body).ok().and_then(|body| whole(&body["data"]["id"]))
}

fn refused(message: &str) -> Answer {
    Answer::json(200, &json!({"status": 0, "message": message, "data": null}))
}

/// Does one call; none for a path that does not exist.
fn work(site: &mut Site, path: &str, body: &Value) -> Option<Ruled<Value>> {
    let id = |made: Ruled<u64>| made.map(|id| json!({"id": id}));
    let wanted = whole(&body["id"]).unwrap_or_default();
    Some(match path {
        "category/index" => {
            Ok(page(body, &site.categories.values().map(|category| site.category_json(category)).collect::<Vec<_>>()))
        }
        "category/create" => id(site.create_category(body)),
        "category/update" => id(site.update_category(body)),
        "product/index" => Ok(products(site, body)),
        "product/detail" => {
            found(site.products.get(&wanted).map(|product| site.product_json(product)), "Sản phẩm không tồn tại")
        }
        "product/create" => id(site.create_product(body)),
        "product/update" => id(site.update_product(body)),
        "customer/index" => {
            let keyword = text(&body["keyword"]).unwrap_or_default().to_lowercase();
            let customers = site.customers.values().rev();
            let customers = customers
                .filter(|customer| customer.name.to_lowercase().contains(&keyword) || customer.tel.contains(&keyword));
            Ok(page(body, &customers.map(|customer| site.customer_json(customer)).collect::<Vec<_>>()))
        }
        "customer/info" => {
            let tel = text(&body["tel"]).unwrap_or_default();
            found(site.customer_of(&tel).map(|customer| site.customer_json(customer)), "Khách hàng không tồn tại")
        }
        "customer/create" => id(site.create_customer(body)),
        "customer/update" => id(site.update_customer(body)),
        "order/index" => Ok(orders(site, body)),
        "order/detail" => found(site.orders.get(&wanted).map(|order| site.order_json(order)), "Đơn hàng không tồn tại"),
        "order/create" => id(site.create_order(body)),
        "order/update" => id(site.update_order(body)),
        _ => return None,
    })
}

fn found(object: Option<Value>, message: &str) -> Ruled<Value> {
    object.ok_or_else(|| message.to_owned())
}

fn products(site: &Site, body: &Value) -> Value {
    let code = text(&body["product_code"]);
    let keyword = text(&body["keyword"]).map(|keyword| keyword.to_lowercase());
    let wanted = site.products.values().rev().filter(|product| {
        code.as_ref().is_none_or(|code| product.code == *code)
            && keyword.as_ref().is_none_or(|keyword| {
                product.name.to_lowercase().contains(keyword) || product.code.to_lowercase().contains(keyword)
            })
    });
    pick(body, &wanted.collect::<Vec<_>>(), |product| site.product_json(product))
}

fn orders(site: &Site, body: &Value) -> Value {
    let (id, customer, status) = (whole(&body["id"]), whole(&body["customer_id"]), signed(&body["status"]));
    let time = |field: &str| text(&body[field]).and_then(|time| parse(&time));
    // A bare date as the end means all of that day.
    let day = if text(&body["created_to"]).is_some_and(|time| time.len() == 10) { 86_399 } else { 0 };
    let (from, to) = (time("created_from"), time("created_to").map(|to| to + day));
    let wanted = site.orders.values().filter(|order| {
        id.is_none_or(|id| order.id == id)
            && customer.is_none_or(|customer| order.customer == Some(customer))
            && status.is_none_or(|status| order.status == status)
            && from.is_none_or(|from| order.created >= from)
            && to.is_none_or(|to| order.created <= to)
    });
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_by_key(|order| std::cmp::Reverse((order.created, order.id)));
    pick(body, &wanted, |order| site.order_json(order))
}

fn page(body: &Value, all: &[Value]) -> Value {
    pick(body, all, Value::clone)
}

/// One page of a list, written out.
fn pick<T>(body: &Value, all: &[T], write: impl Fn(&T) -> Value) -> Value {
    let page = whole(&body["page"]).unwrap_or(1).max(1);
    let limit = whole(&body["limit"]).unwrap_or(20).clamp(1, LONGEST);
    let skip = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let items: Vec<Value> = all.iter().skip(skip).take(limit as usize).map(write).collect();
    json!({"items": items, "total": all.len(), "page": page, "limit": limit})
}
