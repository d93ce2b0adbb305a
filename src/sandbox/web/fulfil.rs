//! Parcels: sent with some of an order's units, or with all that are left.

use rust_decimal::Decimal;
use serde_json::Value;

use super::given::object;
use super::order::Fulfillment;
use super::refusal::{Refusal, Ruled};
use super::state::State;
use crate::sandbox::amount::{decimal, text, whole};

impl State {
    /// Sends a parcel as `POST orders/{id}/fulfillments` does.
    pub fn post_fulfillment(&mut self, id: u64, body: &Value) -> Ruled<Fulfillment> {
        let given = object(body, "fulfillment")?;
        let listed = given["line_items"].as_array().map(|list| {
            list.iter()
                .filter_map(|item| Some((whole(&item["id"])?, decimal(&item["quantity"]))))
                .collect::<Vec<(u64, Option<Decimal>)>>()
        });
        self.fulfil(id, listed.as_deref(), text(&given["tracking_number"]))
    }

    /// Sends some lines' units, or all that are left.
    pub fn fulfil(
        &mut self,
        id: u64,
        wanted: Option<&[(u64, Option<Decimal>)]>,
        tracking: Option<String>,
    ) -> Ruled<Fulfillment> {
        let order = self.order(id)?;
        if order.cancelled.is_some() {
            return Err(Refusal::message(422, "Order has been cancelled"));
        }
        let mut items = Vec::new();
        let mut moved = Vec::new();
        for line in &order.lines {
            let left = line.quantity - order.sent(line.id);
            let asked = match wanted {
                None => left,
                Some(list) => list
                    .iter()
                    .find(|(named, _)| *named == line.id)
                    .map(|(_, quantity)| quantity.unwrap_or(left).min(left))
                    .unwrap_or_default(),
            };
            if asked > Decimal::ZERO {
                items.push((line.id, asked));
                moved.extend(line.variant.map(|variant| (variant, asked)));
            }
        }
        if items.is_empty() {
            // Assumed: the vendor's words for it are not known.
            return Err(Refusal::field("base", "All line items are already fulfilled"));
        }
        for (variant, quantity) in moved {
            self.sell(variant, |level| {
                level.on_hand -= quantity;
                level.committed -= quantity;
            });
        }
        let parcel = Fulfillment { id: self.next_id("fulfillment"), items, tracking, created: self.clock.now() };
        let mut whole_order = false;
        if let Some(order) = self.orders.get_mut(&id) {
            order.fulfillments.push(parcel.clone());
            whole_order = order.fulfillment() == Some("fulfilled");
        }
        let topic = if whole_order { "orders/fulfilled" } else { "orders/partially_fulfilled" };
        self.order_changed(id, &[topic]);
        Ok(parcel)
    }
}
