//! Sapo Web sites as the control API shows and changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{Outcome, bad, done, list, missing, number, one, quantity, step};
use crate::sandbox::amount::{decimal, text, whole};
use crate::sandbox::inner::Inner;
use crate::sandbox::web::CompareAt;
use crate::sandbox::{NewWebProduct, NewWebVariant, PlaceWebOrder, Web, WebBuyer};

/// Everything under `/web/{alias}`.
pub(super) fn answer(inner: &Arc<Inner>, alias: &str, method: &str, path: &[&str], body: &Value) -> Outcome {
    inner.web(alias).ok_or_else(missing)?;
    let web = Web::new(inner, alias);
    match (method, path) {
        ("GET", ["products"]) => Ok(json!({"products": web.products()})),
        ("GET", ["products", id]) => one(web.product(number(id)?)),
        ("POST", ["products"]) => add_product(web, body),
        ("POST", ["products", id]) => change_product(web, number(id)?, body),
        ("DELETE", ["products", id]) => step(web.delete_product(number(id)?)),
        ("GET", ["variants", id]) => one(web.variant(number(id)?)),
        ("POST", ["variants", id]) => change_variant(web, number(id)?, body),
        ("DELETE", ["variants", id]) => step(web.delete_variant(number(id)?)),
        ("GET", ["orders"]) => Ok(json!({"orders": web.orders()})),
        ("GET", ["orders", id]) => one(web.order(number(id)?)),
        ("GET", ["webhooks"]) => Ok(json!({"webhooks": web.webhooks()})),
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

/// `{"name", "published", "variants": [{"sku", "price", "compare_at", "stock", "managed"}]}`; what is not given is as
/// usual, and an empty product has one variant.
fn add_product(web: Web<'_>, body: &Value) -> Outcome {
    let usual = NewWebProduct::default();
    let variants = match body.get("variants") {
        None => usual.variants,
        Some(_) => list(body, "variants")?.iter().map(new_variant).collect::<Result<Vec<_>, _>>()?,
    };
    if variants.is_empty() {
        return Err(bad("a product needs a variant".into()));
    }
    let name = text(&body["name"]).unwrap_or(usual.name);
    let made = web.add_product(NewWebProduct { name, variants, published: body["published"] != false });
    Ok(json!({"id": made.id, "variants": made.variants}))
}

fn new_variant(given: &Value) -> Result<NewWebVariant, (u16, String)> {
    let (edit, usual) = (Edit::read(given)?, NewWebVariant::default());
    Ok(NewWebVariant {
        sku: edit.sku.unwrap_or(usual.sku),
        price: edit.price.unwrap_or(usual.price),
        compare_at: edit.compare_at.over(usual.compare_at),
        stock: edit.stock.unwrap_or(usual.stock),
        managed: edit.managed.unwrap_or(usual.managed),
    })
}

/// `{"name", "published"}`, and of one variant where `variant_id` names it, else of all, what a variant takes.
fn change_product(web: Web<'_>, id: u64, body: &Value) -> Outcome {
    let product = web.product(id).ok_or_else(missing)?;
    let own: Vec<u64> =
        product["variants"].as_array().into_iter().flatten().filter_map(|variant| variant["id"].as_u64()).collect();
    let variants = match whole(&body["variant_id"]) {
        None => own,
        Some(named) if own.contains(&named) => vec![named],
        Some(named) => return Err(bad(format!("product {id} has no variant {named}"))),
    };
    let (edit, published) = (Edit::read(body)?, switch(body, "published")?);
    if edit.sku.is_some() && variants.len() != 1 {
        return Err(bad("sku is one variant's: name it with variant_id".into()));
    }
    if let Some(name) = text(&body["name"]) {
        web.rename(id, &name).map_err(bad)?;
    }
    if let Some(published) = published {
        web.set_published(id, published).map_err(bad)?;
    }
    for variant in variants {
        edit.make(web, variant).map_err(bad)?;
    }
    one(web.product(id))
}

fn change_variant(web: Web<'_>, id: u64, body: &Value) -> Outcome {
    let edit = Edit::read(body)?;
    web.variant(id).ok_or_else(missing)?;
    edit.make(web, id).map_err(bad)?;
    one(web.variant(id))
}

/// What is asked for of a variant: `{"price", "compare_at" (null is none), "stock", "sku", "managed"}`.
struct Edit {
    price: Option<Decimal>,
    compare_at: CompareAt,
    stock: Option<Decimal>,
    sku: Option<String>,
    managed: Option<bool>,
}

impl Edit {
    /// Reads all of it before anything is done.
    fn read(body: &Value) -> Result<Self, (u16, String)> {
        let amount = |field: &str| match body.get(field) {
            None => Ok(None),
            Some(value) => decimal(value).map(Some).ok_or_else(|| bad(format!("{field} must be a number"))),
        };
        let compare_at = match body.get("compare_at") {
            Some(Value::Null) => CompareAt::Null,
            _ => amount("compare_at")?.map_or(CompareAt::Left, CompareAt::At),
        };
        let sku = match body.get("sku") {
            None => None,
            Some(sku) => Some(sku.as_str().ok_or_else(|| bad("sku must be a text".into()))?.to_owned()),
        };
        let (price, stock, managed) = (amount("price")?, amount("stock")?, switch(body, "managed")?);
        Ok(Self { price, compare_at, stock, sku, managed })
    }

    fn make(&self, web: Web<'_>, variant: u64) -> Result<(), String> {
        if let Some(managed) = self.managed {
            web.set_managed(variant, managed)?;
        }
        if let Some(price) = self.price {
            web.set_price(variant, price)?;
        }
        if !matches!(self.compare_at, CompareAt::Left) {
            web.set_compare_at(variant, self.compare_at.over(None))?;
        }
        if let Some(stock) = self.stock {
            web.set_stock(variant, stock)?;
        }
        if let Some(sku) = &self.sku {
            web.set_sku(variant, sku)?;
        }
        Ok(())
    }
}

fn switch(body: &Value, field: &str) -> Result<Option<bool>, (u16, String)> {
    match body.get(field) {
        None => Ok(None),
        Some(value) => value.as_bool().map(Some).ok_or_else(|| bad(format!("{field} must be true or false"))),
    }
}
