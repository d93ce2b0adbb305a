//! Reading.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::destination::error::WireError;
use crate::destination::fields::{amount, flag, id, integer, moment, object, raw_text, rows, text};
use crate::destination::omni::wire::Choice;
use crate::domain::envelope::sapo_object;
use crate::domain::event::Kind;
use crate::domain::money;
use crate::domain::web::{Address, WebBuyer, WebLine, WebOrder, WebProduct, WebVariant};

use super::WebShop;

/// Reads a product, bare or wrapped.
pub fn product(body: &[u8]) -> Result<WebProduct, WireError> {
    let body = object(body)?;
    let it = sapo_object(Kind::Product, &body);
    let variants = it.get("variants").and_then(Value::as_array).ok_or(WireError::Missing("variants"))?;
    Ok(WebProduct {
        id: id(it, "id").ok_or(WireError::Missing("id"))?,
        name: text(it, "name").or_else(|| text(it, "title")).unwrap_or_default(),
        published: text(it, "published_on").is_some(),
        variants: variants.iter().map(variant).collect::<Result<_, _>>()?,
        version: moment(it, "modified_on"),
    })
}

/// A figure that is no number counts as missing: it is then pushed once more, which does no harm.
fn variant(it: &Value) -> Result<WebVariant, WireError> {
    let managed = text(it, "inventory_management").is_some_and(|word| word.eq_ignore_ascii_case("bizweb"));
    Ok(WebVariant {
        id: id(it, "id").ok_or(WireError::Missing("variants[].id"))?,
        sku: raw_text(it, "sku"),
        title: text(it, "title").unwrap_or_default(),
        inventory_item_id: id(it, "inventory_item_id"),
        managed,
        quantity: it.get("inventory_quantity").and_then(money::parse),
        price: it.get("price").and_then(money::parse),
        compare_at: it.get("compare_at_price").and_then(money::parse).filter(|price| !price.is_zero()),
        ..WebVariant::default()
    })
}

/// Reads a row of the stock levels: the location, where it is told, the inventory item, and what is available of it there.
pub fn level(body: &[u8]) -> Result<(Option<String>, String, Decimal), WireError> {
    let it = object(body)?;
    let item = id(&it, "inventory_item_id").ok_or(WireError::Missing("inventory_item_id"))?;
    Ok((id(&it, "location_id"), item, amount(&it, "available")?.ok_or(WireError::Missing("available"))?))
}

/// Reads an order, bare or wrapped.
pub fn order(body: &[u8]) -> Result<WebOrder, WireError> {
    let body = object(body)?;
    let it = sapo_object(Kind::Order, &body);
    let word = |field| text(it, field).unwrap_or_default();
    let lines = it.get("line_items").and_then(Value::as_array).ok_or(WireError::Missing("line_items"))?;
    let lines: Vec<WebLine> = lines.iter().map(line).collect::<Result<_, _>>()?;
    let status = word("status");
    let number = || text(it, "order_number").map(|number| format!("#{number}"));
    let (discount, shipping) = (amount(it, "total_discounts")?.unwrap_or_default(), shipping(it)?);
    let total = amount(it, "total_price")?;
    Ok(WebOrder {
        id: id(it, "id").ok_or(WireError::Missing("id"))?,
        name: text(it, "name").or_else(number).ok_or(WireError::Missing("name"))?,
        cancelled: status == "cancelled" || text(it, "cancelled_on").is_some(),
        status,
        financial_status: word("financial_status"),
        fulfillment_status: text(it, "fulfillment_status"),
        return_status: word("return_status"),
        test: flag(it, "test"),
        tax: tax(it, &lines, discount, shipping, total)?,
        lines,
        discount,
        shipping,
        total,
        received: amount(it, "total_received")?,
        buyer: it.get("customer").filter(|customer| customer.is_object()).map(buyer),
        phone: text(it, "phone"),
        email: text(it, "email"),
        shipping_address: it.get("shipping_address").and_then(address),
        billing_address: it.get("billing_address").and_then(address),
        note: text(it, "note"),
        created_at: moment(it, "created_on"),
        version: moment(it, "modified_on"),
    })
}

fn line(it: &Value) -> Result<WebLine, WireError> {
    Ok(WebLine {
        variant_id: id(it, "variant_id"),
        product_id: id(it, "product_id"),
        sku: raw_text(it, "sku"),
        name: text(it, "name").or_else(|| text(it, "title")).unwrap_or_default(),
        price: amount(it, "price")?.ok_or(WireError::Missing("line_items[].price"))?,
        quantity: amount(it, "quantity")?.ok_or(WireError::Missing("line_items[].quantity"))?,
    })
}

fn shipping(it: &Value) -> Result<Decimal, WireError> {
    if let Some(stated) = amount(it, "total_shipping_price")? {
        return Ok(stated);
    }
    let mut sum = Decimal::ZERO;
    for line in rows(it, "shipping_lines") {
        let price = amount(line, "price")?.unwrap_or_default();
        sum = sum.checked_add(price).ok_or(WireError::Bad("shipping_lines"))?;
    }
    Ok(sum)
}

/// The tax on top of the prices.
///
/// `total_tax` is told whether the prices include it or not, so it counts only where the stated total does not come
/// out without it.
fn tax(
    it: &Value,
    lines: &[WebLine],
    discount: Decimal,
    shipping: Decimal,
    total: Option<Decimal>,
) -> Result<Decimal, WireError> {
    let stated = amount(it, "total_tax")?.unwrap_or_default();
    let of_lines =
        lines.iter().try_fold(Decimal::ZERO, |sum, line| sum.checked_add(line.price.checked_mul(line.quantity)?));
    let without = of_lines.and_then(|lines| lines.checked_sub(discount)?.checked_add(shipping));
    let included = flag(it, "taxes_included") || (without.is_some() && without == total);
    Ok(if included { Decimal::ZERO } else { stated })
}

fn buyer(it: &Value) -> WebBuyer {
    WebBuyer {
        id: id(it, "id"),
        last_name: text(it, "last_name").unwrap_or_default(),
        first_name: text(it, "first_name").unwrap_or_default(),
        phone: text(it, "phone"),
        email: text(it, "email"),
    }
}

/// An address without its first line is none.
fn address(it: &Value) -> Option<Address> {
    let word = |field| text(it, field).unwrap_or_default();
    let whole = || format!("{} {}", word("last_name"), word("first_name")).trim().to_owned();
    Some(Address {
        address1: text(it, "address1")?,
        address2: word("address2"),
        name: text(it, "name").unwrap_or_else(whole),
        phone: word("phone"),
        ward: word("ward"),
        district: word("district"),
        province: text(it, "province").unwrap_or_else(|| word("city")),
        country: word("country"),
        zip: word("zip"),
    })
}

/// Reads the web itself, bare or wrapped.
pub fn shop(body: &[u8]) -> Result<WebShop, WireError> {
    let body = object(body)?;
    let inner = ["store", "shop"].iter().find_map(|name| body.get(*name).filter(|inner| inner.is_object()));
    let it = inner.unwrap_or(&body);
    let name = ["name", "alias", "domain"].iter().find_map(|field| text(it, field));
    Ok(WebShop { id: id(it, "id").ok_or(WireError::Missing("id"))?, name: name.unwrap_or_default() })
}

/// Reads a row of the locations.
pub fn location(body: &[u8]) -> Result<Choice, WireError> {
    let it = object(body)?;
    let inactive = text(&it, "status").is_some_and(|status| !matches!(status.as_str(), "active" | "default"))
        || (it.get("active").is_some_and(Value::is_boolean) && !flag(&it, "active"));
    Ok(Choice {
        id: integer(&it, "id").and_then(|id| u64::try_from(id).ok()).ok_or(WireError::Missing("id"))?,
        name: text(&it, "name").or_else(|| text(&it, "label")).unwrap_or_default(),
        active: !inactive,
        primary: ["is_primary", "default_location", "is_default", "primary"].iter().any(|field| flag(&it, field)),
    })
}

/// Reads `{"count": 3}`.
pub fn count(body: &[u8]) -> Result<u64, WireError> {
    integer(&object(body)?, "count").and_then(|count| u64::try_from(count).ok()).ok_or(WireError::Missing("count"))
}

#[cfg(test)]
mod tests;
