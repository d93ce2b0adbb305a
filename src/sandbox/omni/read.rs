//! What Omni's HTTP API lets one read.

use serde_json::{Value, json};

use super::http::{Done, Refused, number, ok};
use super::order_shape::{parcel_json, prepayment_json, return_json};
use super::shop::{Refusal, Shop};
use crate::sandbox::lists::Query;

/// Everything that only reads.
pub(super) fn read(shop: &Shop, parts: &[&str], query: &Query) -> Result<Done, Refused> {
    let missing = || Refused::Rule(Refusal::no_object());
    match parts {
        ["tenant"] => ok(json!({"tenant": {
            "id": shop.tenant, "name": "Cửa hàng Mẫu", "sub_domain": shop.alias, "status": "active", "currency": "VND",
            "country": "Việt Nam", "time_zone": "(GMT+07:00)Hanoi"
        }})),
        ["products"] => {
            let found: Vec<u64> = shop
                .products
                .values()
                .rev()
                .filter(|product| {
                    let mut texts = vec![product.name.as_str()];
                    texts.extend(product.variants.iter().map(|variant| variant.sku.as_str()));
                    let status = if product.active { "active" } else { "inactive" };
                    query.names(product.id)
                        && query.allows("status", status)
                        && query.spans(product.created, product.modified)
                        && query.finds(&texts)
                })
                .map(|product| product.id)
                .collect();
            list(query, "products", &found, 250, |id| shop.product_json(id))
        }
        ["products", id] => ok(json!({"product": shop.product_json(number(id)?).ok_or_else(missing)?})),
        ["variants"] => {
            let all = shop.products.values().rev().flat_map(|product| product.variants.iter().rev());
            let found: Vec<u64> = all
                .filter(|variant| {
                    let texts =
                        [variant.sku.as_str(), variant.barcode.as_deref().unwrap_or_default(), variant.name.as_str()];
                    let status = if variant.active { "active" } else { "inactive" };
                    query.names(variant.id)
                        && query.allows("status", status)
                        && query.spans(variant.created, variant.modified)
                        && query.finds(&texts)
                })
                .map(|variant| variant.id)
                .collect();
            list(query, "variants", &found, 250, |id| variant_of(shop, id))
        }
        ["variants", id] => ok(json!({"variant": variant_of(shop, number(id)?).ok_or_else(missing)?})),
        ["categories"] => {
            let found: Vec<u64> = shop
                .categories
                .values()
                .filter(|category| {
                    query.names(category.id)
                        && query.spans(category.created, category.modified)
                        && query.finds(&[&category.name])
                })
                .map(|category| category.id)
                .collect();
            list(query, "categories", &found, 250, |id| Some(shop.category_json(shop.categories.get(&id)?)))
        }
        ["categories", id] => {
            let category = shop.categories.get(&number(id)?).ok_or_else(missing)?;
            ok(json!({"category": shop.category_json(category)}))
        }
        ["customers"] => {
            let found: Vec<u64> = shop
                .customers
                .values()
                .rev()
                .filter(|customer| {
                    let phone = customer.phone.as_deref().unwrap_or_default();
                    let texts = [customer.name.as_str(), phone, customer.code.as_str(), customer.email.as_str()];
                    query.names(customer.id) && query.spans(customer.created, customer.modified) && query.finds(&texts)
                })
                .map(|customer| customer.id)
                .collect();
            list(query, "customers", &found, 250, |id| Some(shop.customer_json(shop.customers.get(&id)?)))
        }
        ["customers", id] => {
            let customer = shop.customers.get(&number(id)?).ok_or_else(missing)?;
            ok(json!({"customer": shop.customer_json(customer)}))
        }
        ["orders"] => orders(shop, query),
        ["orders", id] => {
            ok(json!({"order": shop.order_json(number(id)?).ok_or_else(|| Refused::Rule(Refusal::no_order()))?}))
        }
        ["orders", id, "fulfillments"] => {
            let order = shop.order(number(id)?)?;
            let parcels: Vec<Value> =
                order.parcels.iter().map(|parcel| parcel_json(shop.tenant, order, parcel)).collect();
            ok(json!({"fulfillments": parcels}))
        }
        ["orders", id, "prepayments"] => {
            let payments: Vec<Value> = shop.order(number(id)?)?.prepayments.iter().map(prepayment_json).collect();
            ok(json!({"prepayments": payments}))
        }
        ["order_returns"] => values(query, "order_returns", &returns(shop, None)),
        ["order_returns", id] => {
            ok(json!({"order_return": returns(shop, Some(number(id)?)).pop().ok_or_else(missing)?}))
        }
        ["webhooks"] => values(query, "webhooks", &shop.hooks.all()),
        ["webhooks", "count"] => ok(json!({"count": shop.hooks.all().len()})),
        ["webhooks", id] => ok(json!({"webhook": shop.hooks.get(number(id)?).ok_or_else(missing)?})),
        [name @ ("locations" | "accounts" | "order_sources" | "payment_methods" | "price_lists")] => {
            values(query, name, shop.setting(name))
        }
        _ => Err(Refused::Html),
    }
}

fn orders(shop: &Shop, query: &Query) -> Result<Done, Refused> {
    let mut found: Vec<_> = shop
        .orders
        .values()
        .filter(|order| {
            let texts = [order.code.as_str(), order.phone.as_deref().unwrap_or_default()];
            query.names(order.id)
                && query.allows("status", order.status.word())
                && query.spans(order.created, order.modified)
                && query.finds(&texts)
        })
        .collect();
    found.sort_by_key(|order| std::cmp::Reverse((order.created, order.id)));
    let ids: Vec<u64> = found.iter().map(|order| order.id).collect();
    list(query, "orders", &ids, 100, |id| shop.order_json(id))
}

fn variant_of(shop: &Shop, id: u64) -> Option<Value> {
    let product = shop.products.get(shop.homes.get(&id)?)?;
    let variant = product.variants.iter().find(|variant| variant.id == id)?;
    Some(shop.variant_json(product, variant))
}

fn list(
    query: &Query,
    name: &str,
    found: &[u64],
    max: usize,
    write: impl Fn(u64) -> Option<Value>,
) -> Result<Done, Refused> {
    let (ids, metadata) = query.page(found, max);
    let items: Vec<Value> = ids.into_iter().filter_map(write).collect();
    ok(json!({"metadata": metadata, name: items}))
}

fn values(query: &Query, name: &str, found: &[Value]) -> Result<Done, Refused> {
    let all: Vec<usize> = (0..found.len()).collect();
    let (indexes, metadata) = query.page(&all, 250);
    let items: Vec<&Value> = indexes.into_iter().map(|index| &found[index]).collect();
    ok(json!({"metadata": metadata, name: items}))
}

/// The return slips, newest order first, or the one that is named.
pub(super) fn returns(shop: &Shop, only: Option<u64>) -> Vec<Value> {
    let all = shop.orders.values().rev().flat_map(|order| order.returns.iter().map(move |slip| (order, slip)));
    all.filter(|(_, slip)| only.is_none_or(|id| slip.id == id))
        .map(|(order, slip)| {
            let mut shape = return_json(order, slip);
            shape["order_id"] = json!(order.id);
            shape
        })
        .collect()
}
