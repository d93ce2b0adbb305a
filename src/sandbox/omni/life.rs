//! An order's life: approved, paid, cancelled, finished, returned.

use rust_decimal::Decimal;
use serde_json::Value;

use super::order::{Order, OrderReturn, Parcel, ParcelStatus, Prepayment, Status};
use super::read::returns;
use super::shop::{Refusal, Ruled, Shop};
use crate::sandbox::amount::{decimal, text, whole};
use crate::sandbox::clock::parse;

const CANCELLED: &str = "Đơn hàng đã bị hủy";
const FINALIZED: &str = "Đơn hàng đã được xác nhận rồi";
const FINISHED: &str = "Đơn hàng đã ở trạng thái ngừng thao tác";
const DRAFT_CANNOT_FINISH: &str = "Không thể kết thúc đơn hàng đang ở trạng thái 'đặt hàng'";
const DELIVERED: &str = "Gói hàng đã giao thành công thì không thể hủy. Nếu muốn hoàn lại, hãy tạo phiếu trả hàng";

impl Shop {
    /// An order by its id.
    pub fn order(&self, id: u64) -> Ruled<&Order> {
        self.orders.get(&id).ok_or_else(Refusal::no_order)
    }

    /// An order that is neither cancelled nor finished.
    pub fn open_order(&self, id: u64) -> Ruled<&Order> {
        let order = self.order(id)?;
        match order.status {
            Status::Cancelled => Err(Refusal::field("", CANCELLED)),
            Status::Finished => Err(Refusal::field("", FINISHED)),
            _ => Ok(order),
        }
    }

    /// Approves a draft: from then on its units are committed.
    pub fn finalize(&mut self, id: u64) -> Ruled<()> {
        if self.open_order(id)?.status != Status::Draft {
            return Err(Refusal::field("", FINALIZED));
        }
        self.commit_order(id);
        self.order_changed(id, &["orders/finalized"]);
        Ok(())
    }

    /// Marks an order as approved and commits its units.
    pub fn commit_order(&mut self, id: u64) {
        let now = self.clock.now();
        let Some(order) = self.orders.get_mut(&id) else {
            return;
        };
        order.status = Status::Finalized;
        order.finalized = Some(now);
        self.move_order(id, |_, line| line.1, |stock, amount| stock.committed += amount);
    }

    /// Cancels an order that has not been delivered; its units come back.
    pub fn cancel(&mut self, id: u64) -> Ruled<()> {
        let order = self.open_order(id)?;
        if let Some(parcel) = order.parcels.iter().find(|parcel| parcel.status == ParcelStatus::Received) {
            return Err(delivered(parcel));
        }
        if order.status != Status::Draft {
            // What has left the shelf comes back to it; what is committed only is free again.
            self.move_order(
                id,
                |order, line| order.line_in_parcels(line.0, Parcel::is_out),
                |stock, amount| {
                    stock.on_hand += amount;
                    stock.committed += amount;
                },
            );
            self.move_order(id, |_, line| line.1, |stock, amount| stock.committed -= amount);
        }
        let now = self.clock.now();
        if let Some(order) = self.orders.get_mut(&id) {
            order.status = Status::Cancelled;
            order.cancelled = Some(now);
            for parcel in &mut order.parcels {
                parcel.status = ParcelStatus::Cancelled;
            }
        }
        self.order_changed(id, &["orders/cancelled"]);
        Ok(())
    }

    /// Deletes an order; the webhook carries no more than its id. What it held stays held.
    pub fn delete_order(&mut self, id: u64) -> Ruled<()> {
        self.orders.remove(&id).ok_or_else(Refusal::no_order)?;
        self.tell("orders/delete", id, serde_json::json!({"id": id, "tenant_id": self.tenant}));
        Ok(())
    }

    /// Stops all work on an order, "ngừng thao tác".
    pub fn finish(&mut self, id: u64) -> Ruled<()> {
        if self.open_order(id)?.status == Status::Draft {
            return Err(Refusal::field("", DRAFT_CANNOT_FINISH));
        }
        let now = self.clock.now();
        if let Some(order) = self.orders.get_mut(&id) {
            order.status = Status::Finished;
            order.finished = Some(now);
        }
        self.order_changed(id, &["orders/finished"]);
        Ok(())
    }

    /// Adds a prepayment as `POST orders/{id}/prepayments` does.
    pub fn post_prepayment(&mut self, id: u64, body: &Value) -> Ruled<Prepayment> {
        self.open_order(id)?;
        let given = &body["prepayment"];
        if !whole(&given["payment_method_id"]).is_some_and(|method| self.has_setting("payment_methods", method)) {
            return Err(Refusal::field("payment_method", "Phương thức thanh toán không tồn tại"));
        }
        let amount = decimal(&given["amount"]).filter(|amount| *amount > Decimal::ZERO);
        let amount = amount.ok_or_else(|| Refusal::field("amount", "must be greater than 0"))?;
        let now = self.clock.now();
        let payment = Prepayment {
            id: self.next_id("prepayment"),
            method: whole(&given["payment_method_id"]).unwrap_or_default(),
            amount,
            reference: text(&given["reference"]),
            note: text(&given["note"]),
            paid_on: text(&given["paid_on"]).and_then(|time| parse(&time)).unwrap_or(now),
            created: now,
        };
        if let Some(order) = self.orders.get_mut(&id) {
            order.prepayments.push(payment.clone());
        }
        let paid = self.order(id)?.payment_word() == "paid";
        self.order_changed(id, if paid { &["orders/paid"] } else { &["orders/partial_paid"] });
        Ok(payment)
    }

    /// Takes goods back, by order line and quantity; they are on hand again.
    pub fn return_items(&mut self, id: u64, items: Vec<(u64, Decimal)>) -> Ruled<u64> {
        let order = self.order(id)?;
        for (line, quantity) in &items {
            let out = order.line_in_parcels(*line, Parcel::is_out) - order.line_returned(*line);
            if *quantity <= Decimal::ZERO || *quantity > out {
                return Err(Refusal::field("return_line_items", "Số lượng trả vượt quá số lượng đã giao"));
            }
        }
        if items.is_empty() {
            return Err(Refusal::field("return_line_items", "may not be empty"));
        }
        let given = items.clone();
        self.move_order(
            id,
            |_, line| given.iter().filter(|(id, _)| *id == line.0).map(|(_, quantity)| quantity).sum(),
            |stock, amount| stock.on_hand += amount,
        );
        let (slip, now) = (self.next_id("return"), self.clock.now());
        if let Some(order) = self.orders.get_mut(&id) {
            order.returns.push(OrderReturn { id: slip, items, created: now });
        }
        self.order_changed(id, &[]);
        let body = returns(self, Some(slip)).pop();
        self.tell("order_returns/create", slip, body.unwrap_or_default());
        Ok(slip)
    }

    /// Changes the stock of an order's lines: `amount` says how much of each (line id, quantity).
    pub fn move_order(
        &mut self,
        id: u64,
        amount: impl Fn(&Order, (u64, Decimal)) -> Decimal,
        work: impl Fn(&mut super::shop::Stock, Decimal),
    ) {
        let Some(order) = self.orders.get(&id) else { return };
        let location = order.location;
        let moves =
            order.lines.iter().filter_map(|line| Some((line.variant?, amount(order, (line.id, line.quantity)))));
        let moves: Vec<(u64, Decimal)> = moves.filter(|(_, amount)| !amount.is_zero()).collect();
        for (variant, amount) in moves {
            self.move_parts(variant, amount, location, &work);
        }
    }

    /// Moves an order's time on, completes it when everything is received and paid, and tells it.
    pub fn order_changed(&mut self, id: u64, topics: &[&str]) {
        let clock = self.clock;
        if let Some(order) = self.orders.get_mut(&id) {
            order.modified = clock.after(order.modified);
            if order.status == Status::Finalized
                && order.is_received()
                && order.payment_word() == "paid"
                && order.returned().is_zero()
            {
                order.status = Status::Completed;
                order.completed = Some(clock.now());
            }
        }
        self.tell_order(id, topics);
        self.tell_order(id, &["orders/update"]);
    }

    /// Tells an order under some topics.
    pub fn tell_order(&mut self, id: u64, topics: &[&str]) {
        let Some(body) = self.order_json(id) else { return };
        for topic in topics {
            self.tell(topic, id, body.clone());
        }
    }
}

/// What Omni says of a parcel that has been delivered.
pub(crate) fn delivered(parcel: &Parcel) -> Refusal {
    Refusal::field(&format!("fulfillment có id = {}", parcel.id), DELIVERED)
}
