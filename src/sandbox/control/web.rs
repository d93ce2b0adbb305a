//! Sapo Web sites as the control API shows and changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Outcome, bad, done, list, missing, number, one, quantity, step};
use crate::sandbox::amount::{decimal, text, whole};
use crate::sandbox::inner::Inner;
use crate::sandbox::{PlaceWebOrder, Web, WebBuyer};

/// Everything under `/web/{alias}`.
pub(super) fn answer(inner: &Arc<Inner>, alias: &str, method: &str, path: &[&str], body: &Value) -> Outcome {
    inner.web(alias).ok_or_else(missing)?;
    let web = Web::new(inner, alias);
    match (method, path) {
        ("GET", ["products"]) => Ok(json!({"products": web.products()})),
        ("GET", ["products", id]) => one(web.product(number(id)?)),
        ("GET", ["orders"]) => Ok(json!({"orders": web.orders()})),
        ("GET", ["orders", id]) => one(web.order(number(id)?)),
        ("GET", ["webhooks"]) => Ok(json!({"webhooks": web.webhooks()})),
        ("POST", ["variants", id]) => change_variant(web, number(id)?, body),
        ("POST", ["orders"]) => place(web, body),
        ("POST", ["orders", id, word]) => order_step(web, number(id)?, word),
        ("POST", ["uninstall"]) => {
            web.uninstall();
            done()
        }
        ("POST", ["reinstall"]) => {
            web.reinstall();
            done()
        }
        _ => Err((404, format!("no such path: {method} /web/{alias}/{}", path.join("/")))),
    }
}

/// How much each site has.
pub(super) fn state(inner: &Inner) -> Value {
    let mut sites = Map::new();
    for site in inner.webs() {
        let state = site.state();
        let mut orders = BTreeMap::<&str, usize>::new();
        for order in state.orders.values() {
            *orders.entry(order.status()).or_default() += 1;
        }
        let (products, customers) = (state.products.len(), state.customers.len());
        let written = json!({
            "products": products, "customers": customers, "orders": orders, "installed": state.installed,
            "webhooks": state.hooks.all().len()
        });
        sites.insert(site.config.alias.clone(), written);
    }
    Value::Object(sites)
}

/// `{"lines": [{"sku" or "variant_id", "quantity"}], "customer": {"last_name", "first_name", "phone", "email"},
/// "free_form": {"title", "price"}, "address", "shipping", "discount", "financial_status", "test", "created_on"}`.
fn place(web: Web<'_>, body: &Value) -> Outcome {
    let mut lines = Vec::new();
    for line in list(body, "lines")? {
        let named =
            text(&line["sku"]).and_then(|sku| web.variant_by_sku(&sku).first().and_then(|found| whole(&found["id"])));
        let variant = whole(&line["variant_id"])
            .or(named)
            .ok_or_else(|| bad("each line needs a known variant_id or sku".into()))?;
        lines.push((variant, quantity(line)));
    }
    let usual = PlaceWebOrder::default();
    let customer = match &body["customer"] {
        Value::Null if body.get("customer").is_some() => None,
        Value::Object(_) => Some(buyer(&body["customer"])),
        _ => usual.customer,
    };
    let free = &body["free_form"];
    let free_form = text(&free["title"]).map(|title| (title, decimal(&free["price"]).unwrap_or_default()));
    let id = web.place_order(PlaceWebOrder {
        lines,
        free_form,
        customer,
        address: body["address"] != false,
        shipping: decimal(&body["shipping"]).unwrap_or_default(),
        discount: decimal(&body["discount"]).unwrap_or_default(),
        financial_status: text(&body["financial_status"]).unwrap_or(usual.financial_status),
        test: body["test"] == true,
        created_on: text(&body["created_on"]),
    });
    Ok(json!({"id": id}))
}

fn buyer(given: &Value) -> WebBuyer {
    let usual = WebBuyer::default();
    WebBuyer {
        last_name: text(&given["last_name"]).unwrap_or(usual.last_name),
        first_name: text(&given["first_name"]).unwrap_or(usual.first_name),
        phone: text(&given["phone"]),
        email: text(&given["email"]),
    }
}

fn order_step(web: Web<'_>, id: u64, word: &str) -> Outcome {
    step(match word {
        "pay" => web.set_paid(id),
        "refund" => web.refund(id),
        "cancel" => web.cancel_order(id),
        "close" => web.close_order(id),
        "fulfil" => web.fulfil_order(id),
        _ => return Err((404, format!("an order cannot {word}; it can pay, refund, cancel, close, fulfil"))),
    })
}

fn change_variant(web: Web<'_>, id: u64, body: &Value) -> Outcome {
    if let Some(price) = decimal(&body["price"]) {
        web.set_price(id, price).map_err(bad)?;
    }
    if let Some(stock) = decimal(&body["stock"]) {
        web.set_stock(id, stock).map_err(bad)?;
    }
    if let Some(sku) = body["sku"].as_str() {
        web.set_sku(id, sku).map_err(bad)?;
    }
    one(web.variant(id))
}
