//! What a site's buyers and staff do with orders.

use rust_decimal::Decimal;
use serde_json::Value;

use super::order::Deal;
use super::order_shape::fulfillment_json;
use super::refusal::Refusal;
use super::shapes::overlay;
use super::{PlaceWebOrder, Web};
use crate::sandbox::omni::differences;

impl Web<'_> {
    /// Places an order and gives its id; names run `#1001`, `#1002` and on.
    pub fn place_order(&self, new: PlaceWebOrder) -> u64 {
        self.make(|state| state.place_order(new))
    }

    /// An order as the API writes it.
    pub fn order(&self, id: u64) -> Option<Value> {
        self.read(|state| state.order_json(id))
    }

    /// All orders, oldest first.
    pub fn orders(&self) -> Vec<Value> {
        self.read(|state| state.orders.keys().filter_map(|id| state.order_json(*id)).collect())
    }

    /// Changes an order's top-level fields in their written form; a field that is set stays as it is set.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn change_order(&self, id: u64, edit: impl FnOnce(&mut Value)) -> Result<(), String> {
        self.change(|state| {
            let order = state.order(id)?;
            let plain = state.plain_order_json(order);
            let mut given = plain.clone();
            overlay(&mut given, &order.overlay);
            edit(&mut given);
            let own = differences(&plain, &given, &["modified_on"]);
            state.orders.entry(id).and_modify(|order| order.overlay = own);
            state.order_changed(id, &[]);
            Ok(())
        })
    }

    /// Writes an order's money as strings, as some sites do, or as numbers again; nothing is told.
    pub fn text_money(&self, id: u64, as_text: bool) {
        self.make(|state| {
            if let Some(order) = state.orders.get_mut(&id) {
                order.text_money = as_text;
            }
        });
    }

    /// Takes what has not been paid yet.
    ///
    /// # Errors
    /// When there is no such order, or nothing is left to pay.
    pub fn set_paid(&self, id: u64) -> Result<(), String> {
        self.change(|state| {
            let rest = state.order(id)?.unpaid();
            if rest.is_zero() {
                return Err(Refusal::message(422, "nothing is left to pay"));
            }
            state.pay(id, Deal::Sale, rest).map(|_| ())
        })
    }

    /// Takes a part of what has not been paid yet.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn set_partially_paid(&self, id: u64, amount: impl Into<Decimal>) -> Result<(), String> {
        self.change(|state| state.pay(id, Deal::Sale, amount.into()).map(|_| ()))
    }

    /// Gives all money back that came.
    ///
    /// # Errors
    /// When there is no such order, or no money came.
    pub fn refund(&self, id: u64) -> Result<(), String> {
        self.change(|state| {
            let order = state.order(id)?;
            let kept = order.sum(Deal::Sale) - order.sum(Deal::Refund);
            if kept <= Decimal::ZERO {
                return Err(Refusal::message(422, "no money came that could go back"));
            }
            state.pay(id, Deal::Refund, kept).map(|_| ())
        })
    }

    /// Gives a part of the money back.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn refund_part(&self, id: u64, amount: impl Into<Decimal>) -> Result<(), String> {
        self.change(|state| state.pay(id, Deal::Refund, amount.into()).map(|_| ()))
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// What Sapo Web says, such as that it is cancelled already.
    pub fn cancel_order(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.cancel(id, Some("customer".into())))
    }

    /// Puts an order away: archiving, nothing more.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn close_order(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.close(id, true))
    }

    /// Deletes an order, as a site's owner may once it is put away.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn delete_order(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.delete_order(id))
    }

    /// Sends all that is left of an order.
    ///
    /// # Errors
    /// What Sapo Web says, such as that all has been sent.
    pub fn fulfil_order(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.fulfil(id, None, None).map(|_| ()))
    }

    /// The parcels of an order, oldest first.
    pub fn fulfillments(&self, order: u64) -> Vec<Value> {
        self.read(|state| {
            let Some(order) = state.orders.get(&order) else {
                return Vec::new();
            };
            order.fulfillments.iter().map(|parcel| fulfillment_json(order, parcel)).collect()
        })
    }
}
