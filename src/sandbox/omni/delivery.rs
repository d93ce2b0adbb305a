//! Parcels: packed, shipped, received, cancelled.

use rust_decimal::Decimal;
use serde_json::Value;

use super::life::delivered;
use super::order::{Parcel, ParcelStatus, Status};
use super::shop::{Refusal, Ruled, Shop, Stock};
use crate::sandbox::amount::{decimal, whole};

impl Shop {
    /// Packs some units of an approved order, or all that are left.
    pub fn pack(&mut self, id: u64, body: &Value) -> Ruled<u64> {
        let order = self.open_order(id)?;
        if order.status == Status::Draft {
            return Err(Refusal::field("", "Đơn hàng chưa được xác nhận"));
        }
        let wanted = body["fulfillment"]["fulfillment_line_items"].as_array();
        let items: Vec<(u64, Decimal)> = order
            .lines
            .iter()
            .filter_map(|line| {
                let left =
                    line.quantity - order.line_in_parcels(line.id, |parcel| parcel.status != ParcelStatus::Cancelled);
                let asked = wanted.map(|list| {
                    let of_line = list.iter().filter(|item| whole(&item["order_line_item_id"]) == Some(line.id));
                    of_line.filter_map(|item| decimal(&item["quantity"])).sum::<Decimal>()
                });
                let quantity = asked.unwrap_or(left).min(left);
                (quantity > Decimal::ZERO).then_some((line.id, quantity))
            })
            .collect();
        if items.is_empty() {
            return Err(Refusal::field("", "Đơn hàng đã được đóng gói hết"));
        }
        let location = order.location;
        let (parcel, now) = (self.next_id("parcel"), self.clock.now());
        let (status, shipped, received) = (ParcelStatus::Packed, None, None);
        if let Some(order) = self.orders.get_mut(&id) {
            order.parcels.push(Parcel {
                id: parcel,
                status,
                location,
                items,
                packed: now,
                shipped,
                received,
                modified: now,
            });
        }
        self.order_changed(id, &[]);
        Ok(parcel)
    }

    /// Lets a packed parcel leave: its units are no longer on hand.
    pub fn ship(&mut self, id: u64, parcel: u64) -> Ruled<()> {
        if self.parcel(id, parcel)?.status != ParcelStatus::Packed {
            return Err(Refusal::field("", "Gói hàng đã được xuất kho"));
        }
        self.move_parcel(id, parcel, |stock, amount| {
            stock.on_hand -= amount;
            stock.committed -= amount;
        });
        self.set_parcel(id, parcel, ParcelStatus::Shipped);
        self.order_changed(id, &["orders/fulfilled"]);
        Ok(())
    }

    /// Marks a shipped parcel as received.
    pub fn receive(&mut self, id: u64, parcel: u64) -> Ruled<()> {
        if self.parcel(id, parcel)?.status != ParcelStatus::Shipped {
            return Err(Refusal::field("", "Gói hàng chưa được xuất kho"));
        }
        self.set_parcel(id, parcel, ParcelStatus::Received);
        self.order_changed(id, &[]);
        Ok(())
    }

    /// Cancels a parcel that has not been received; its units are packed no longer.
    pub fn cancel_parcel(&mut self, id: u64, parcel: u64) -> Ruled<()> {
        let found = self.parcel(id, parcel)?;
        match found.status {
            ParcelStatus::Received => return Err(delivered(found)),
            ParcelStatus::Cancelled => return Err(Refusal::field("", "Gói hàng đã bị hủy")),
            ParcelStatus::Shipped => self.move_parcel(id, parcel, |stock, amount| {
                stock.on_hand += amount;
                stock.committed += amount;
            }),
            ParcelStatus::Packed => {}
        }
        self.set_parcel(id, parcel, ParcelStatus::Cancelled);
        self.order_changed(id, &[]);
        Ok(())
    }

    /// The parcels of an order in a state.
    pub fn parcels_in(&self, id: u64, status: ParcelStatus) -> Ruled<Vec<u64>> {
        Ok(self.order(id)?.parcels.iter().filter(|parcel| parcel.status == status).map(|parcel| parcel.id).collect())
    }

    fn parcel(&self, id: u64, parcel: u64) -> Ruled<&Parcel> {
        self.open_order(id)?.parcels.iter().find(|found| found.id == parcel).ok_or_else(Refusal::no_object)
    }

    fn set_parcel(&mut self, id: u64, parcel: u64, status: ParcelStatus) {
        let now = self.clock.now();
        let found =
            self.orders.get_mut(&id).and_then(|order| order.parcels.iter_mut().find(|found| found.id == parcel));
        if let Some(found) = found {
            found.status = status;
            found.modified = now;
            match status {
                ParcelStatus::Shipped => found.shipped = Some(now),
                ParcelStatus::Received => found.received = Some(now),
                ParcelStatus::Packed | ParcelStatus::Cancelled => {}
            }
        }
    }

    fn move_parcel(&mut self, id: u64, parcel: u64, work: impl Fn(&mut Stock, Decimal)) {
        self.move_order(id, |order, line| order.line_in_parcels(line.0, |found| found.id == parcel), work);
    }
}
