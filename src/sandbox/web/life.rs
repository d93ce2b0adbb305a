//! An order's life: paid, refunded, cancelled, closed.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::given::object;
use super::order::{Deal, Order, Transaction};
use super::order_shape::refund_json;
use super::refusal::{Refusal, Ruled};
use super::state::State;
use crate::sandbox::amount::{decimal, text};

impl State {
    /// An order by its id.
    pub fn order(&self, id: u64) -> Ruled<&Order> {
        self.orders.get(&id).ok_or_else(Refusal::not_found)
    }

    /// Changes what may still be changed of an order: its items may not.
    pub fn put_order(&mut self, id: u64, body: &Value) -> Ruled<()> {
        let given = object(body, "order")?;
        for field in ["line_items", "source_name", "total_price", "financial_status"] {
            if given.get(field).is_some() {
                return Err(Refusal::word(field, "is protected"));
            }
        }
        let order = self.orders.get_mut(&id).ok_or_else(Refusal::not_found)?;
        if given.get("note").is_some() {
            order.note = text(&given["note"]);
        }
        if given.get("tags").is_some() {
            order.tags = text(&given["tags"]).unwrap_or_default();
        }
        self.order_changed(id, &[]);
        Ok(())
    }

    /// Cancels an order that has not been sent; what it held is available again.
    pub fn cancel(&mut self, id: u64, reason: Option<String>) -> Ruled<()> {
        let order = self.order(id)?;
        if order.cancelled.is_some() {
            return Err(Refusal::message(422, "Order has already been cancelled"));
        }
        if !order.fulfillments.is_empty() {
            // Assumed: the vendor's words for it are not known.
            return Err(Refusal::message(422, "Cannot cancel a fulfilled order"));
        }
        let held: Vec<(u64, Decimal)> =
            order.lines.iter().filter_map(|line| Some((line.variant?, line.quantity))).collect();
        for (variant, quantity) in held {
            self.sell(variant, |level| level.committed -= quantity);
        }
        let now = self.clock.now();
        if let Some(order) = self.orders.get_mut(&id) {
            order.cancelled = Some(now);
            order.cancel_reason = Some(reason.unwrap_or_else(|| "other".into()));
        }
        self.order_changed(id, &["orders/cancelled"]);
        Ok(())
    }

    /// Puts an order away, or takes it out again: archiving, nothing more.
    pub fn close(&mut self, id: u64, closed: bool) -> Ruled<()> {
        let now = self.clock.now();
        let order = self.orders.get_mut(&id).ok_or_else(Refusal::not_found)?;
        order.closed = closed.then_some(order.closed.unwrap_or(now));
        self.order_changed(id, &[]);
        Ok(())
    }

    /// Deletes an order; the webhook carries no more than its id. What it held stays held.
    pub fn delete_order(&mut self, id: u64) -> Ruled<()> {
        self.orders.remove(&id).ok_or_else(Refusal::not_found)?;
        self.tell("orders/delete", id, json!({"id": id}));
        Ok(())
    }

    /// Moves money as `POST orders/{id}/transactions` does.
    pub fn post_transaction(&mut self, id: u64, body: &Value) -> Ruled<Transaction> {
        let given = object(body, "transaction")?;
        let order = self.order(id)?;
        let deal = text(&given["kind"]).and_then(|kind| Deal::read(&kind));
        let deal = deal.ok_or_else(|| Refusal::field("kind", "is not included in the list"))?;
        let amount = match &given["amount"] {
            Value::Null => order.unpaid(),
            value => decimal(value).ok_or_else(|| Refusal::field("amount", "is not a number"))?,
        };
        if amount <= Decimal::ZERO {
            return Err(Refusal::field("amount", "must be greater than 0"));
        }
        self.pay(id, deal, amount)
    }

    /// Moves money and tells it.
    pub fn pay(&mut self, id: u64, deal: Deal, amount: Decimal) -> Ruled<Transaction> {
        let before = self.order(id)?.financial();
        let moved = self.move_money(id, deal, amount).ok_or_else(Refusal::not_found)?;
        let order = self.order(id)?;
        let refund = (deal == Deal::Refund).then(|| refund_json(order, &moved));
        let paid = before != "paid" && order.financial() == "paid";
        if let Some(refund) = refund {
            self.tell("refunds/create", moved.id, refund);
        }
        self.order_changed(id, if paid { &["orders/paid"] } else { &[] });
        Ok(moved)
    }

    /// Moves money; nothing is told.
    pub fn move_money(&mut self, id: u64, deal: Deal, amount: Decimal) -> Option<Transaction> {
        let now = self.clock.now();
        let number = self.next_id(if deal == Deal::Refund { "refund" } else { "transaction" });
        let order = self.orders.get_mut(&id)?;
        let moved = Transaction { id: number, deal, amount, gateway: order.gateway.clone(), created: now };
        order.transactions.push(moved.clone());
        let customer = order.customer.and_then(|customer| self.customers.get_mut(&customer));
        if let Some(customer) = customer.filter(|_| deal == Deal::Sale) {
            customer.spent += amount;
        }
        Some(moved)
    }

    /// Moves an order's time on and tells it.
    pub fn order_changed(&mut self, id: u64, topics: &[&str]) {
        let clock = self.clock;
        if let Some(order) = self.orders.get_mut(&id) {
            order.modified = clock.after(order.modified);
        }
        self.tell_order(id, topics);
        // Omni calls the same `orders/update`.
        self.tell_order(id, &["orders/updated"]);
    }

    /// Tells an order under some topics.
    pub fn tell_order(&mut self, id: u64, topics: &[&str]) {
        let Some(body) = self.order_json(id) else { return };
        for topic in topics {
            self.tell(topic, id, body.clone());
        }
    }
}
