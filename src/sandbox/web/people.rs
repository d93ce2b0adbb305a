//! Customers: known by phone or e-mail.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::WebBuyer;
use super::money::money;
use super::refusal::{Refusal, Ruled};
use super::state::{Customer, State};
use crate::sandbox::clock::iso;

impl State {
    /// Makes a customer somebody else, and tells it.
    pub fn change_customer(&mut self, id: u64, buyer: &WebBuyer) -> Ruled<()> {
        let clock = self.clock;
        let customer = self.customers.get_mut(&id).ok_or_else(Refusal::not_found)?;
        customer.last_name.clone_from(&buyer.last_name);
        customer.first_name.clone_from(&buyer.first_name);
        customer.phone.clone_from(&buyer.phone);
        customer.email.clone_from(&buyer.email);
        customer.modified = clock.after(customer.modified);
        let body = customer_json(customer);
        self.tell("customers/update", id, body);
        Ok(())
    }

    /// The customer that a buyer is, made if there is none.
    pub fn customer_for(&mut self, buyer: &WebBuyer) -> u64 {
        let same = |own: &Option<String>, theirs: &Option<String>| theirs.is_some() && own == theirs;
        let found = self.customers.values().find(|known| {
            same(&known.phone, &buyer.phone) || (buyer.phone.is_none() && same(&known.email, &buyer.email))
        });
        if let Some(found) = found {
            return found.id;
        }
        let (id, now) = (self.next_id("customer"), self.clock.now());
        let customer = Customer {
            id,
            last_name: buyer.last_name.clone(),
            first_name: buyer.first_name.clone(),
            phone: buyer.phone.clone(),
            email: buyer.email.clone(),
            orders: 0,
            spent: Decimal::ZERO,
            created: now,
            modified: now,
        };
        let body = customer_json(&customer);
        self.customers.insert(id, customer);
        self.tell("customers/create", id, body);
        id
    }
}

/// A customer as the API writes it.
pub(crate) fn customer_json(customer: &Customer) -> Value {
    json!({
        "id": customer.id,
        "state": "disabled",
        "email": customer.email,
        "phone": customer.phone,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "dob": null,
        "gender": "other",
        "verified_email": false,
        "accepts_marketing": false,
        "orders_count": customer.orders,
        "total_spent": money(customer.spent),
        "last_order_id": null,
        "last_order_name": null,
        "note": null,
        "tags": "",
        "created_on": iso(customer.created),
        "modified_on": iso(customer.modified),
        "default_address": null
    })
}
