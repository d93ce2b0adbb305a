//! Orders as Omni writes them.

use serde_json::{Value, json};

use super::order::{Order, OrderLine, OrderReturn, Parcel, ParcelStatus, Prepayment};
use super::shop::Shop;
use crate::sandbox::amount::{number, number_or_null};
use crate::sandbox::clock::{iso, iso_or_null};

impl Shop {
    /// An order as Omni writes it.
    pub fn order_json(&self, id: u64) -> Option<Value> {
        let order = self.orders.get(&id)?;
        let mut shape = head(self.tenant, order);
        for part in [stages(order), money(order), rest()] {
            if let (Value::Object(shape), Value::Object(part)) = (&mut shape, part) {
                shape.extend(part);
            }
        }
        shape["order_line_items"] = order.lines.iter().map(|line| line_json(order, line)).collect();
        shape["prepayments"] = order.prepayments.iter().map(prepayment_json).collect();
        shape["fulfillments"] = order.parcels.iter().map(|parcel| parcel_json(self.tenant, order, parcel)).collect();
        shape["order_returns"] = order.returns.iter().map(|slip| return_json(order, slip)).collect();
        Some(shape)
    }
}

fn head(tenant: u64, order: &Order) -> Value {
    json!({
        "id": order.id,
        "tenant_id": tenant,
        "location_id": order.location,
        "code": order.code,
        "created_on": iso(order.created),
        "modified_on": iso(order.modified),
        "issued_on": iso(order.created),
        "ship_on": null,
        "ship_on_min": null,
        "ship_on_max": null,
        "account_id": order.account,
        "assignee_id": order.assignee,
        "customer_id": order.customer,
        "customer_data": order.customer_data,
        "contact_id": null,
        "billing_address": order.billing,
        "shipping_address": order.shipping,
        "email": order.email,
        "phone_number": order.phone,
        "reference_number": order.reference,
        "price_list_id": order.price_list,
        "tax_treatment": order.tax_treatment,
        "source_id": order.source,
        "note": order.note,
        "tags": order.tags
    })
}

fn stages(order: &Order) -> Value {
    json!({
        "status": order.status.word(),
        "packed_status": order.packed_word(),
        "fulfillment_status": order.shipped_word(),
        "received_status": order.received_word(),
        "payment_status": order.payment_word(),
        "return_status": order.returned_word(),
        "finalized_on": iso_or_null(order.finalized),
        "finished_on": iso_or_null(order.finished),
        "completed_on": iso_or_null(order.completed),
        "cancelled_on": iso_or_null(order.cancelled)
    })
}

fn money(order: &Order) -> Value {
    let fee = order
        .fee
        .map(|fee| json!({"shipping_cost_id": null, "shipping_cost_name": order.fee_name, "fee": number(fee)}));
    let discount = number(order.discount);
    let items = if order.discount.is_zero() {
        json!([])
    } else {
        json!([{"source": "manual", "rate": 0, "value": discount, "amount": discount, "reason": order.discount_reason}])
    };
    json!({
        "total": number(order.total()),
        "order_discount_rate": 0,
        "order_discount_value": discount,
        "discount_reason": order.discount_reason,
        "total_discount": discount,
        "total_tax": number(order.tax()),
        "delivery_fee": fee,
        "discount_items": items
    })
}

fn rest() -> Value {
    json!({
        "business_version": 2,
        "expected_payment_method_id": null,
        "expected_delivery_type": null,
        "expected_delivery_provider_id": null,
        "process_status_id": null,
        "reason_cancel_id": null,
        "channel": null,
        "reference_url": null,
        "promotion_redemption_id": null,
        "promotion_name": null,
        "promotion_code": null
    })
}

fn line_json(order: &Order, line: &OrderLine) -> Value {
    json!({
        "id": line.id,
        "created_on": iso(order.created),
        "modified_on": iso(order.created),
        "variant_id": line.variant,
        "product_id": line.product,
        "product_name": line.name,
        "variant_name": line.name,
        "tax_type_id": null,
        "tax_included": order.tax_treatment == "inclusive",
        "tax_rate_override": 0,
        "tax_rate": number(line.tax_rate),
        "tax_amount": 0,
        "discount_rate": 0,
        "discount_value": number(line.discount),
        "discount_reason": null,
        "discount_amount": number(line.discount),
        "note": null,
        "price": number(line.price),
        "quantity": number(line.quantity),
        "is_freeform": line.variant.is_none(),
        "is_composite": line.composite,
        "line_amount": number(line.amount()),
        "discount_items": [],
        "sku": line.sku,
        "barcode": line.sku,
        "unit": line.unit,
        "variant_options": line.option
    })
}

/// A prepayment as Omni writes it.
pub(crate) fn prepayment_json(payment: &Prepayment) -> Value {
    json!({
        "id": payment.id,
        "payment_method_id": payment.method,
        "paid_on": iso(payment.paid_on),
        "amount": number(payment.amount),
        "account_id": 72_001,
        "note": payment.note,
        "created_on": iso(payment.created),
        "modified_on": iso(payment.created),
        "reference": payment.reference,
        "source": "customer_prepaid",
        "paid_amount": number(payment.amount),
        "returned_amount": 0,
        "status": "active",
        "integrated": false,
        "status_before_cancelled": null
    })
}

/// A parcel as Omni writes it.
pub(crate) fn parcel_json(tenant: u64, order: &Order, parcel: &Parcel) -> Value {
    let items: Vec<Value> = parcel
        .items
        .iter()
        .enumerate()
        .map(|(index, (id, quantity))| {
            let line = order.lines.iter().find(|line| line.id == *id);
            json!({
                "id": parcel.id * 10 + index as u64,
                "order_line_item_id": id,
                "variant_id": line.and_then(|line| line.variant),
                "product_id": line.and_then(|line| line.product),
                "quantity": number(*quantity),
                "sku": line.and_then(|line| line.sku.clone())
            })
        })
        .collect();
    let status = match parcel.status {
        ParcelStatus::Packed => "packed",
        ParcelStatus::Shipped => "fulfilled",
        ParcelStatus::Received => "received",
        ParcelStatus::Cancelled => "cancelled",
    };
    json!({
        "id": parcel.id,
        "tenant_id": tenant,
        "stock_location_id": parcel.location,
        "code": format!("FUN{:06}", parcel.id - 34_700_000),
        "order_id": order.id,
        "delivery_type": "pickup",
        "total": number(order.total()),
        "packed_on": iso(parcel.packed),
        "shipped_on": iso_or_null(parcel.shipped),
        "received_on": iso_or_null(parcel.received),
        "created_on": iso(parcel.packed),
        "modified_on": iso(parcel.modified),
        "status": status,
        "composite_fulfillment_status": null,
        "payment_status": order.payment_word(),
        "total_quantity": number_or_null(Some(parcel.items.iter().map(|(_, quantity)| quantity).sum())),
        "fulfillment_line_items": items
    })
}

/// A return slip as Omni writes it.
pub(crate) fn return_json(order: &Order, slip: &OrderReturn) -> Value {
    let items: Vec<Value> = slip.items.iter().map(|(id, quantity)| {
        let line = order.lines.iter().find(|line| line.id == *id);
        json!({"order_line_item_id": id, "variant_id": line.and_then(|line| line.variant), "quantity": number(*quantity)})
    }).collect();
    json!({
        "id": slip.id,
        "code": format!("SRN{:06}", slip.id - 4_500_000),
        "status": "returned",
        "refund_status": "unpaid",
        "return_line_items": items,
        "created_on": iso(slip.created)
    })
}
