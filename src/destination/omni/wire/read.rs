//! Reading.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::destination::error::WireError;
use crate::destination::fields::{amount, flag, id, integer, moment, object, raw_text, rows, text};
use crate::domain::customer::PosCustomer;
use crate::domain::envelope::sapo_object;
use crate::domain::event::Kind;
use crate::domain::money;
use crate::domain::order::{PosLine, PosOrder};
use crate::domain::product::{PosCategory, PosInventory, PosProduct, PosVariant};

use super::{Choice, Tenant, VariantRef};

/// The price list of what goods cost, which comes with every shop (Giá nhập).
const COST: &str = "GIANHAP";

/// Reads a product, bare or wrapped.
pub fn product(body: &[u8]) -> Result<PosProduct, WireError> {
    let body = object(body)?;
    let it = sapo_object(Kind::Product, &body);
    let variants = it.get("variants").and_then(Value::as_array).ok_or(WireError::Missing("variants"))?;
    let images = rows(it, "images").iter().filter_map(|image| text(image, "full_path"));
    let mut images: Vec<String> = images.filter(|path| path.starts_with("http")).collect();
    if images.is_empty() {
        images.extend(text(it, "image_path").filter(|path| path.starts_with("http")));
    }
    Ok(PosProduct {
        id: id(it, "id").ok_or(WireError::Missing("id"))?,
        name: text(it, "name").unwrap_or_default(),
        active: is_active(it),
        category: id(it, "category_id").map(|id| PosCategory { id, name: text(it, "category").unwrap_or_default() }),
        description: text(it, "description"),
        images,
        variants: variants.iter().map(pos_variant).collect::<Result<_, _>>()?,
        version: moment(it, "modified_on"),
    })
}

/// Whether something is in trade; what says nothing of it is.
fn is_active(it: &Value) -> bool {
    text(it, "status").is_none_or(|status| status == "active")
}

fn pos_variant(it: &Value) -> Result<PosVariant, WireError> {
    let mut parts: Vec<(String, Option<Decimal>)> = rows(it, "composite_items")
        .iter()
        .filter_map(|part| Some((id(part, "sub_variant_id")?, taken(part, "quantity"))))
        .collect();
    parts.extend(id(it, "packsize_root_id").map(|root| (root, taken(it, "packsize_quantity"))));
    Ok(PosVariant {
        id: id(it, "id").ok_or(WireError::Missing("variants[].id"))?,
        sku: raw_text(it, "sku"),
        name: text(it, "name").unwrap_or_default(),
        active: is_active(it),
        retail_price: retail_price(it),
        prices: prices(it),
        inventories: rows(it, "inventories").iter().filter_map(inventory).collect(),
        quantities: parts.iter().filter_map(|(id, taken)| Some((id.clone(), (*taken)?))).collect(),
        components: parts.into_iter().map(|(id, _)| id).collect(),
    })
}

/// How many of a component one takes; none or less says nothing.
fn taken(it: &Value, field: &str) -> Option<Decimal> {
    it.get(field).and_then(money::parse).filter(|quantity| *quantity > Decimal::ZERO)
}

/// Giá bán lẻ: `variant_retail_price` mirrors the price list BANLE (vendor's documents); either may be missing.
fn retail_price(it: &Value) -> Option<Decimal> {
    let listed = || {
        let retail = rows(it, "variant_prices")
            .iter()
            .find(|price| price.pointer("/price_list/code").is_some_and(|code| code == "BANLE"))?;
        retail.get("value").and_then(money::parse)
    };
    it.get("variant_retail_price").and_then(money::parse).or_else(listed)
}

/// Every price list's value, but for lists of costs: what goods cost the shop is not even known beyond here. Two plain
/// fields mirror the lists of these codes (vendor's documents).
fn prices(it: &Value) -> BTreeMap<String, Decimal> {
    let mut all: BTreeMap<String, Decimal> = [("variant_retail_price", "BANLE"), ("variant_whole_price", "BANBUON")]
        .into_iter()
        .filter_map(|(field, code)| Some((code.to_owned(), it.get(field).and_then(money::parse)?)))
        .collect();
    for price in rows(it, "variant_prices") {
        let Some(list) = price.get("price_list") else { continue };
        let Some(code) = list.get("code").and_then(Value::as_str) else { continue };
        if flag(list, "is_cost") || code == COST {
            all.remove(code);
        } else if let Some(value) = price.get("value").and_then(money::parse) {
            all.entry(code.to_owned()).or_insert(value);
        }
    }
    all
}

/// A figure that is no number counts as missing: then nothing is pushed, rather than a guess.
fn inventory(it: &Value) -> Option<PosInventory> {
    Some(PosInventory {
        location_id: id(it, "location_id")?,
        available: it.get("available").and_then(money::parse),
        on_hand: it.get("on_hand").and_then(money::parse),
    })
}

/// Reads a customer, bare or wrapped.
pub fn customer(body: &[u8]) -> Result<PosCustomer, WireError> {
    let body = object(body)?;
    pos_customer(sapo_object(Kind::Customer, &body)).ok_or(WireError::Missing("id"))
}

fn pos_customer(it: &Value) -> Option<PosCustomer> {
    Some(PosCustomer {
        id: id(it, "id")?,
        name: text(it, "name").unwrap_or_default(),
        phone: text(it, "phone_number").or_else(|| text(it, "phone")),
        email: text(it, "email"),
        code: text(it, "code"),
        version: moment(it, "modified_on"),
    })
}

/// Reads an order, bare or wrapped. Its phone is the order's own field, never one of an address.
pub fn order(body: &[u8]) -> Result<PosOrder, WireError> {
    let body = object(body)?;
    let it = sapo_object(Kind::Order, &body);
    let word = |field| text(it, field).unwrap_or_default();
    let lines = it.get("order_line_items").and_then(Value::as_array).ok_or(WireError::Missing("order_line_items"))?;
    let status = word("status");
    let total = amount(it, "total")?;
    let tax =
        if word("tax_treatment") == "exclusive" { amount(it, "total_tax")?.unwrap_or_default() } else { Decimal::ZERO };
    let fee = fee(it)?;
    let read: Vec<PosLine> = lines.iter().map(line).collect::<Result<_, _>>()?;
    Ok(PosOrder {
        id: id(it, "id").ok_or(WireError::Missing("id"))?,
        code: word("code"),
        packed_status: word("packed_status"),
        fulfillment_status: word("fulfillment_status"),
        received_status: word("received_status"),
        payment_status: word("payment_status"),
        return_status: word("return_status"),
        location_id: id(it, "location_id"),
        reference: text(it, "reference_number"),
        tags: tags(it),
        customer_id: id(it, "customer_id"),
        customer: it.get("customer_data").or_else(|| it.get("customer")).and_then(pos_customer),
        phone: text(it, "phone_number"),
        cancelled: status == "cancelled" || text(it, "cancelled_on").is_some(),
        created_at: moment(it, "created_on"),
        version: moment(it, "modified_on"),
        discount: discount(it, lines, &read, total, fee, tax)?,
        total,
        tax,
        fee,
        lines: read,
        prepayments: rows(it, "prepayments")
            .iter()
            .filter_map(|payment| prepayment(payment).transpose())
            .collect::<Result<_, _>>()?,
        note: text(it, "note"),
        status,
    })
}

fn tags(it: &Value) -> Vec<String> {
    match it.get("tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).map(|tag| tag.trim().to_owned()).collect(),
        Some(Value::String(tags)) => {
            tags.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

fn fee(it: &Value) -> Result<Decimal, WireError> {
    let fee = match it.get("delivery_fee") {
        Some(fee @ Value::Object(_)) => amount(fee, "fee"),
        _ => amount(it, "delivery_fee"),
    };
    Ok(fee.map_err(|_| WireError::Bad("delivery_fee"))?.unwrap_or_default())
}

fn line(it: &Value) -> Result<PosLine, WireError> {
    let price = amount(it, "price")?.ok_or(WireError::Missing("order_line_items[].price"))?;
    let quantity = amount(it, "quantity")?.ok_or(WireError::Missing("order_line_items[].quantity"))?;
    let stated = amount(it, "line_amount")?;
    let computed = || price.checked_mul(quantity)?.checked_sub(amount(it, "discount_amount").ok()?.unwrap_or_default());
    let free_form = flag(it, "is_freeform");
    Ok(PosLine {
        variant_id: id(it, "variant_id").filter(|_| !free_form),
        product_id: id(it, "product_id").filter(|_| !free_form),
        sku: raw_text(it, "sku"),
        name: text(it, "product_name").or_else(|| text(it, "variant_name")).unwrap_or_default(),
        price,
        quantity,
        amount: stated.or_else(computed).ok_or(WireError::Bad("order_line_items[].line_amount"))?,
    })
}

/// The order's own discounts.
///
/// The documents do not say whether `total_discount` counts the lines' discounts as well, which `line_amount` has
/// taken off already. So the figure is taken with which the stated total comes out (Σ `line_amount` − discount + fee,
/// + tax where prices are without it); where none does, `total_discount`, and the check of totals shows both sums.
fn discount(
    it: &Value,
    lines: &[Value],
    read: &[PosLine],
    total: Option<Decimal>,
    fee: Decimal,
    tax: Decimal,
) -> Result<Decimal, WireError> {
    let stated = amount(it, "total_discount")?;
    let of_order = amount(it, "order_discount_value")?;
    let items = sum(rows(it, "discount_items").iter().map(|item| amount(item, "amount")))?;
    let of_lines = sum(lines.iter().map(|line| amount(line, "discount_amount")))?;
    let without_lines = stated.and_then(|stated| stated.checked_sub(of_lines));
    let candidates = [stated, of_order, Some(items), without_lines, Some(Decimal::ZERO)];
    let fits = |discount: &Decimal| {
        let lines = read.iter().try_fold(Decimal::ZERO, |sum, line| sum.checked_add(line.amount));
        let sum = lines.and_then(|lines| lines.checked_sub(*discount)?.checked_add(fee)?.checked_add(tax));
        sum.is_some() && sum == total
    };
    let fitting = candidates.into_iter().flatten().find(fits);
    Ok(fitting.or(stated).or(of_order).unwrap_or(items))
}

fn sum(amounts: impl Iterator<Item = Result<Option<Decimal>, WireError>>) -> Result<Decimal, WireError> {
    let mut sum = Decimal::ZERO;
    for amount in amounts {
        sum = sum.checked_add(amount?.unwrap_or_default()).ok_or(WireError::Bad("discount"))?;
    }
    Ok(sum)
}

/// What still stands of a prepayment; `None` for one that is not active.
fn prepayment(it: &Value) -> Result<Option<Decimal>, WireError> {
    if !is_active(it) {
        return Ok(None);
    }
    let paid =
        amount(it, "paid_amount")?.or(amount(it, "amount")?).ok_or(WireError::Missing("prepayments[].amount"))?;
    let returned = amount(it, "returned_amount")?.unwrap_or_default();
    paid.checked_sub(returned).map(Some).ok_or(WireError::Bad("prepayments[].amount"))
}

/// Reads a row of the categories.
pub fn category(body: &[u8]) -> Result<PosCategory, WireError> {
    let it = object(body)?;
    Ok(PosCategory { id: id(&it, "id").ok_or(WireError::Missing("id"))?, name: text(&it, "name").unwrap_or_default() })
}

/// Reads a row of the variants.
pub fn variant(body: &[u8]) -> Result<VariantRef, WireError> {
    let it = object(body)?;
    let id_of_it = id(&it, "id").ok_or(WireError::Missing("id"))?;
    Ok(VariantRef { id: id_of_it, product_id: id(&it, "product_id"), sku: raw_text(&it, "sku") })
}

/// Reads a row of the settings; `default` is the status of those that come with the shop.
pub fn choice(body: &[u8]) -> Result<Choice, WireError> {
    let it = object(body)?;
    let name = ["label", "name", "full_name", "user_name"].iter().find_map(|field| text(&it, field));
    Ok(Choice {
        id: integer(&it, "id").and_then(|id| u64::try_from(id).ok()).ok_or(WireError::Missing("id"))?,
        name: name.unwrap_or_default(),
        active: text(&it, "status").is_none_or(|status| matches!(status.as_str(), "active" | "default")),
        primary: flag(&it, "is_primary"),
    })
}

/// Reads the shop, bare or wrapped.
pub fn tenant(body: &[u8]) -> Result<Tenant, WireError> {
    let body = object(body)?;
    let it = embedded(&body, "tenant");
    let name = ["name", "label", "alias", "domain"].iter().find_map(|field| text(it, field));
    Ok(Tenant { id: id(it, "id").or_else(|| id(it, "tenant_id")), name: name.unwrap_or_default() })
}

/// The object under a name, where there is one, else the body itself.
fn embedded<'a>(body: &'a Value, name: &str) -> &'a Value {
    body.get(name).filter(|inner| inner.is_object()).unwrap_or(body)
}

/// The id of what was just created.
pub fn id_of(body: &[u8], name: &str) -> Result<String, WireError> {
    let body = object(body)?;
    id(embedded(&body, name), "id").ok_or(WireError::Missing("id"))
}

#[cfg(test)]
mod tests;
