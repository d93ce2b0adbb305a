//! Writing: exactly the fields of the vendor's samples.

use serde::Serialize;
use serde_json::{Value, json};

use crate::destination::fields::id_json;
use crate::domain::customer::NewPosCustomer;
use crate::domain::money::to_json;
use crate::domain::order::NewPosOrder;
use crate::domain::web;

use super::NewPrepayment;

/// The fields are named as the API names them.
#[allow(clippy::struct_field_names)]
#[derive(Serialize)]
struct Order<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<Address<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address<'a>>,
    reference_number: &'a str,
    tax_treatment: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    tags: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    order_discount_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_fee: Option<Value>,
    order_line_items: Vec<Line>,
}

/// Only what is known: the API takes an address of a first line alone.
#[derive(Serialize)]
struct Address<'a> {
    address1: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    address2: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    full_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    phone_number: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ward: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    district: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    city: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    zip_code: &'a str,
}

/// An address with its first line, and none without: the API refuses such a one.
fn address(address: Option<&web::Address>) -> Option<Address<'_>> {
    let address = address.filter(|address| !address.address1.trim().is_empty())?;
    Some(Address {
        address1: &address.address1,
        address2: &address.address2,
        full_name: &address.name,
        phone_number: &address.phone,
        ward: &address.ward,
        district: &address.district,
        city: &address.province,
        country: &address.country,
        zip_code: &address.zip,
    })
}

#[derive(Serialize)]
struct Line {
    variant_id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<Value>,
    price: Value,
    quantity: Value,
}

#[derive(Serialize)]
pub struct OrderBody<'a> {
    order: Order<'a>,
}

/// The body that creates an order: a draft, prices with tax, and an address only where it has its first line (no
/// address at all is accepted; one without that line is refused).
pub fn order_body(order: &NewPosOrder) -> OrderBody<'_> {
    let lines = order.lines.iter().map(|line| Line {
        variant_id: id_json(&line.variant_id),
        product_id: line.product_id.as_deref().map(id_json),
        price: to_json(line.price),
        quantity: to_json(line.quantity),
    });
    OrderBody {
        order: Order {
            status: "draft",
            customer_id: order.customer_id.as_deref().map(id_json),
            source_id: order.source,
            account_id: order.staff,
            assignee_id: order.staff,
            phone_number: order.phone.as_deref(),
            email: order.email.as_deref(),
            shipping_address: address(order.shipping_address.as_ref()),
            billing_address: address(order.billing_address.as_ref()),
            reference_number: &order.reference,
            tax_treatment: "inclusive",
            note: order.note.as_deref(),
            tags: [&order.tag],
            order_discount_value: (!order.discount.is_zero()).then(|| to_json(order.discount)),
            delivery_fee: (!order.fee.is_zero()).then(|| json!({ "fee": to_json(order.fee) })),
            order_line_items: lines.collect(),
        },
    }
}

/// The body that creates a customer.
pub fn customer_body(customer: &NewPosCustomer) -> CustomerBody<'_> {
    CustomerBody {
        customer: Customer {
            name: &customer.name,
            phone_number: customer.phone.as_deref(),
            email: customer.email.as_deref(),
        },
    }
}

#[derive(Serialize)]
pub struct CustomerBody<'a> {
    customer: Customer<'a>,
}

#[derive(Serialize)]
struct Customer<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

/// The body that records a prepayment.
pub fn prepayment_body(prepayment: &NewPrepayment<'_>) -> Value {
    json!({ "prepayment": {
        "payment_method_id": prepayment.payment_method,
        "amount": to_json(prepayment.amount),
        "note": null,
        "reference": prepayment.reference,
        "paid_on": null,
    } })
}
