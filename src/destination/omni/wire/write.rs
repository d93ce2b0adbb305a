//! Writing: exactly the fields of the vendor's samples.

use serde::Serialize;
use serde_json::{Value, json};

use crate::destination::fields::id_json;
use crate::domain::customer::NewCustomer;
use crate::domain::money::to_json;
use crate::domain::order::NewPosOrder;

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

/// The body that creates an order: a draft, prices with tax, never an address (no address at all is accepted; one
/// without its first line is refused).
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
pub fn customer_body(customer: &NewCustomer) -> Value {
    json!({ "customer": { "name": customer.name, "phone_number": customer.phone } })
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
