//! What the shop's staff do with orders.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::Omni;
use super::order::{ParcelStatus, Status};
use super::shop::{FIRST_LOCATION, Refusal, Ruled, Shop};
use crate::sandbox::amount::number;

/// An order that the staff take in the shop.
#[derive(Clone, Debug, Default)]
pub struct PlaceOrder {
    /// The customer; none for somebody unknown.
    pub customer_id: Option<u64>,
    /// The order's own phone, written just so; none takes the customer's.
    pub phone: Option<String>,
    /// Variant, quantity and price of each line.
    pub lines: Vec<(u64, Decimal, Decimal)>,
    /// The discount on the whole order.
    pub discount: Decimal,
    /// The delivery fee; 0 is none.
    pub fee: Decimal,
    /// A note.
    pub note: Option<String>,
    /// When it was taken, ISO-8601; none is now.
    pub created_on: Option<String>,
    /// The branch; none is the first.
    pub location: Option<u64>,
}

impl Omni<'_> {
    /// All orders, oldest first.
    pub fn orders(&self) -> Vec<Value> {
        self.read(|shop| shop.orders.keys().filter_map(|id| shop.order_json(*id)).collect())
    }

    /// An order as the API writes it.
    pub fn order(&self, id: u64) -> Option<Value> {
        self.read(|shop| shop.order_json(id))
    }

    /// The orders with this reference number.
    pub fn order_by_reference(&self, reference: &str) -> Vec<Value> {
        self.read(|shop| {
            let found = shop.orders.values().filter(|order| order.reference.as_deref() == Some(reference));
            found.filter_map(|order| shop.order_json(order.id)).collect()
        })
    }

    /// Takes an order, as a draft with the shop's own source.
    ///
    /// # Errors
    /// What Omni says of it.
    pub fn place_order(&self, order: PlaceOrder) -> Result<u64, String> {
        self.change(|shop| {
            let customer = order.customer_id.and_then(|id| shop.customers.get(&id));
            let phone = order.phone.or_else(|| customer.and_then(|customer| customer.phone.clone()));
            let lines: Vec<Value> = order
                .lines
                .iter()
                .map(|(variant, quantity, price)| json!({"variant_id": variant, "quantity": number(*quantity), "price": number(*price)}))
                .collect();
            let fee = (!order.fee.is_zero()).then(|| json!({"fee": number(order.fee)}));
            let given = json!({
                "status": "draft",
                "tax_treatment": "inclusive",
                "customer_id": order.customer_id,
                "phone_number": phone,
                "order_line_items": lines,
                "order_discount_value": number(order.discount),
                "delivery_fee": fee,
                "note": order.note,
                "created_on": order.created_on
            });
            shop.place_order(&given, order.location.unwrap_or(FIRST_LOCATION))
        })
    }

    /// Approves a draft.
    ///
    /// # Errors
    /// What Omni says, such as that it is approved already.
    pub fn finalize(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.finalize(id))
    }

    /// Packs all that is not packed yet.
    ///
    /// # Errors
    /// What Omni says, such as that it is a draft.
    pub fn pack(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.pack(id, &Value::Null).map(|_| ()))
    }

    /// Lets all parcels leave, packing first where nothing is packed.
    ///
    /// # Errors
    /// What Omni says, such as that it is a draft.
    pub fn ship(&self, id: u64) -> Result<(), String> {
        self.change(|shop| ship_all(shop, id))
    }

    /// Marks all parcels as received, shipping first where nothing is shipped.
    ///
    /// # Errors
    /// What Omni says, such as that it is a draft.
    pub fn receive(&self, id: u64) -> Result<(), String> {
        self.change(|shop| receive_all(shop, id))
    }

    /// Takes an order through all that is left of its way: approved, delivered, paid, and so completed.
    ///
    /// # Errors
    /// What Omni says, such as that it is cancelled.
    pub fn complete(&self, id: u64) -> Result<(), String> {
        self.change(|shop| {
            if shop.open_order(id)?.status == Status::Draft {
                shop.finalize(id)?;
            }
            if !shop.order(id)?.is_received() {
                receive_all(shop, id)?;
            }
            if shop.order(id)?.payment_word() == "paid" { Ok(()) } else { pay_rest(shop, id) }
        })
    }

    /// Pays what is left to pay, with the first payment method.
    ///
    /// # Errors
    /// What Omni says, such as that nothing is left to pay.
    pub fn pay(&self, id: u64) -> Result<(), String> {
        self.change(|shop| pay_rest(shop, id))
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// What Omni says, such as that it has been delivered.
    pub fn cancel(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.cancel(id))
    }

    /// Deletes an order.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn delete_order(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.delete_order(id))
    }

    /// Stops all work on an order, "ngừng thao tác".
    ///
    /// # Errors
    /// What Omni says, such as that it is a draft.
    pub fn finish(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.finish(id))
    }

    /// Takes goods back: all that is out, or one unit of the first line that is.
    ///
    /// # Errors
    /// What Omni says, such as that nothing has been delivered.
    pub fn return_order(&self, id: u64, partial: bool) -> Result<(), String> {
        self.change(|shop| {
            let order = shop.order(id)?;
            let out = order.lines.iter().map(|line| {
                let out = order.line_in_parcels(line.id, super::order::Parcel::is_out) - order.line_returned(line.id);
                (line.id, if partial { out.min(Decimal::ONE) } else { out })
            });
            let mut items: Vec<(u64, Decimal)> = out.filter(|(_, quantity)| *quantity > Decimal::ZERO).collect();
            if partial {
                items.truncate(1);
            }
            shop.return_items(id, items).map(|_| ())
        })
    }
}

fn ship_all(shop: &mut Shop, id: u64) -> Ruled<()> {
    if shop.parcels_in(id, ParcelStatus::Packed)?.is_empty() {
        shop.pack(id, &Value::Null)?;
    }
    for parcel in shop.parcels_in(id, ParcelStatus::Packed)? {
        shop.ship(id, parcel)?;
    }
    Ok(())
}

fn receive_all(shop: &mut Shop, id: u64) -> Ruled<()> {
    if shop.parcels_in(id, ParcelStatus::Shipped)?.is_empty() {
        ship_all(shop, id)?;
    }
    for parcel in shop.parcels_in(id, ParcelStatus::Shipped)? {
        shop.receive(id, parcel)?;
    }
    Ok(())
}

fn pay_rest(shop: &mut Shop, id: u64) -> Ruled<()> {
    let order = shop.open_order(id)?;
    let rest = order.total() - order.paid();
    if rest <= Decimal::ZERO {
        return Err(Refusal::field("", "Đơn hàng đã được thanh toán hết"));
    }
    let body = json!({"prepayment": {"payment_method_id": 220_001, "amount": number(rest)}});
    shop.post_prepayment(id, &body).map(|_| ())
}
