//! Orders as Sapo Web writes them.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::money::{amount, money};
use super::order::{Deal, Fulfillment, Order, OrderLine, Transaction};
use super::people::customer_json;
use super::shapes::overlay;
use super::state::State;
use crate::sandbox::amount::number;
use crate::sandbox::clock::{iso, iso_or_null};

impl State {
    /// An order as Sapo Web writes it.
    pub fn order_json(&self, id: u64) -> Option<Value> {
        let order = self.orders.get(&id)?;
        let mut shape = self.plain_order_json(order);
        overlay(&mut shape, &order.overlay);
        Some(shape)
    }

    /// An order without the fields that a test has set.
    pub fn plain_order_json(&self, order: &Order) -> Value {
        let mut shape = head(order);
        let customer = order.customer.and_then(|id| self.customers.get(&id)).map(customer_json);
        let parts = [sums(order), rest(order), json!({"customer": customer})];
        for part in parts {
            if let (Value::Object(shape), Value::Object(part)) = (&mut shape, part) {
                shape.extend(part);
            }
        }
        shape["line_items"] = order.lines.iter().map(|line| line_json(order, line)).collect();
        shape["fulfillments"] = order.fulfillments.iter().map(|parcel| fulfillment_json(order, parcel)).collect();
        let back = order.transactions.iter().filter(|moved| moved.deal == Deal::Refund);
        shape["refunds"] = back.map(|moved| refund_json(order, moved)).collect();
        shape
    }
}

fn head(order: &Order) -> Value {
    json!({
        "id": order.id,
        "name": order.name(),
        "number": order.number,
        "order_number": 1000 + order.number,
        "token": "00000000000000000000000000000000",
        "email": order.email,
        "phone": order.phone,
        "created_on": iso(order.created),
        "modified_on": iso(order.modified),
        "processed_on": iso(order.created),
        "confirmed_on": null,
        "cancelled_on": iso_or_null(order.cancelled),
        "cancel_reason": order.cancel_reason,
        "closed_on": iso_or_null(order.closed),
        "completed_on": null,
        "delivered_on": null,
        "status": order.status(),
        "financial_status": order.financial(),
        "fulfillment_status": order.fulfillment(),
        "return_status": "no_return",
        "currency": "VND"
    })
}

fn sums(order: &Order) -> Value {
    let sum = |value: Decimal| amount(value, order.text_money);
    let goods = sum(order.goods());
    json!({
        "total_line_items_price": goods,
        "subtotal_price": sum(order.goods() - order.discount),
        "sub_total_price": sum(order.goods() - order.discount),
        "total_price": sum(order.total()),
        "total_discounts": sum(order.discount),
        "total_shipping_price": sum(order.shipping),
        "total_tax": sum(Decimal::ZERO),
        "unpaid_amount": sum(order.unpaid()),
        "total_received": sum(order.sum(Deal::Sale)),
        "total_refunded": sum(order.sum(Deal::Refund))
    })
}

fn rest(order: &Order) -> Value {
    let shipping = (!order.shipping.is_zero()).then(|| {
        json!({
            "title": "Giao hàng tận nơi", "code": "GHTN", "price": amount(order.shipping, order.text_money), "source": "fixed"
        })
    });
    json!({
        "source_name": "web",
        "gateway": order.gateway,
        "payment_gateway_names": [order.gateway],
        "location_id": null,
        "user_id": null,
        "assignee_id": null,
        "tags": order.tags,
        "note": order.note,
        "note_attributes": [],
        "discount_codes": [],
        "discount_applications": [],
        "test": order.test,
        "billing_address": order.address,
        "shipping_address": order.address,
        "shipping_lines": shipping.into_iter().collect::<Vec<_>>()
    })
}

fn line_json(order: &Order, line: &OrderLine) -> Value {
    let sent = order.sent(line.id);
    let state = (!sent.is_zero()).then(|| if sent < line.quantity { "partial" } else { "fulfilled" });
    let name = line.option.as_ref().map_or_else(|| line.title.clone(), |option| format!("{} - {option}", line.title));
    json!({
        "id": line.id,
        "product_id": line.product,
        "variant_id": line.variant,
        "inventory_item_id": line.item,
        "sku": line.sku,
        "title": line.title,
        "name": name,
        "variant_title": line.option,
        "quantity": number(line.quantity),
        "current_quantity": number(line.quantity),
        "fulfillable_quantity": number(line.quantity - sent),
        "price": amount(line.price, order.text_money),
        "total_discount": amount(Decimal::ZERO, order.text_money),
        "fulfillment_status": state,
        "requires_shipping": true,
        "discount_allocations": []
    })
}

/// A parcel as Sapo Web writes it.
pub(crate) fn fulfillment_json(order: &Order, parcel: &Fulfillment) -> Value {
    let items = parcel.items.iter().map(|(id, quantity)| {
        let line = order.lines.iter().find(|line| line.id == *id);
        json!({"id": id, "variant_id": line.and_then(|line| line.variant), "quantity": number(*quantity)})
    });
    json!({
        "id": parcel.id,
        "order_id": order.id,
        "status": "success",
        "tracking_company": null,
        "tracking_number": parcel.tracking,
        "tracking_url": null,
        "line_items": items.collect::<Vec<_>>(),
        "created_on": iso(parcel.created),
        "modified_on": iso(parcel.created)
    })
}

/// A movement of money as Sapo Web writes it.
pub(crate) fn transaction_json(order: &Order, moved: &Transaction) -> Value {
    json!({
        "id": moved.id,
        "order_id": order.id,
        "kind": moved.deal.word(),
        "status": "success",
        "amount": money(moved.amount),
        "currency": "VND",
        "gateway": moved.gateway,
        "parent_id": null,
        "test": order.test,
        "created_on": iso(moved.created)
    })
}

/// A refund as Sapo Web writes it.
pub(crate) fn refund_json(order: &Order, moved: &Transaction) -> Value {
    json!({
        "id": moved.id,
        "order_id": order.id,
        "note": null,
        "created_on": iso(moved.created),
        "refund_line_items": [],
        "transactions": [transaction_json(order, moved)]
    })
}
