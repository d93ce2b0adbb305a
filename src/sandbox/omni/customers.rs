//! Customers: made and changed. Phones stay as they were typed.

use serde_json::{Map, Value};

use super::shapes::differences;
use super::shop::{Customer, Refusal, Ruled, Shop};
use crate::sandbox::amount::text;

/// What a new customer is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewCustomer {
    pub name: String,
    pub phone: Option<String>,
    pub email: String,
    pub address: Option<String>,
    pub code: Option<String>,
}

impl Shop {
    /// Makes a customer as `POST customers` does. Two customers with one phone are allowed.
    pub fn post_customer(&mut self, body: &Value) -> Ruled<u64> {
        let given = &body["customer"];
        if !given.is_object() {
            return Err(Refusal::field("customer", "may not be null"));
        }
        let name = text(&given["name"]).ok_or_else(|| Refusal::field("name", "may not be empty"))?;
        let first_line =
            given["addresses"].as_array().and_then(|list| list.first()).and_then(|address| text(&address["address1"]));
        let new = NewCustomer {
            name,
            phone: text(&given["phone_number"]),
            email: text(&given["email"]).unwrap_or_default(),
            address: first_line,
            code: text(&given["code"]),
        };
        Ok(self.add_customer(new))
    }

    /// Makes a customer, and tells it.
    pub fn add_customer(&mut self, new: NewCustomer) -> u64 {
        let (id, now) = (self.next_id("customer"), self.clock.now());
        let code = new.code.unwrap_or_else(|| format!("CUZN{:05}", id - 3_689_000));
        let NewCustomer { name, phone, email, address, .. } = new;
        let customer =
            Customer { id, code, name, phone, email, address, created: now, modified: now, overlay: Map::new() };
        let body = self.customer_json(&customer);
        self.customers.insert(id, customer);
        self.tell("customers/create", id, body);
        id
    }

    /// Lets `edit` change a customer in its written form, and reads it back.
    pub fn change_customer(&mut self, id: u64, edit: impl FnOnce(&mut Value)) -> Ruled<()> {
        let clock = self.clock;
        let mut customer = self.customers.get(&id).ok_or_else(Refusal::no_object)?.clone();
        let mut given = self.customer_json(&customer);
        edit(&mut given);
        given["name"].as_str().unwrap_or_default().clone_into(&mut customer.name);
        customer.phone = given["phone_number"].as_str().map(str::to_owned);
        given["email"].as_str().unwrap_or_default().clone_into(&mut customer.email);
        customer.overlay = differences(&self.plain_customer_json(&customer), &given, &["modified_on"]);
        customer.modified = clock.after(customer.modified);
        let body = self.customer_json(&customer);
        self.customers.insert(id, customer);
        self.tell("customers/update", id, body);
        Ok(())
    }

    /// Deletes a customer.
    pub fn delete_customer(&mut self, id: u64) -> Ruled<()> {
        self.customers.remove(&id).ok_or_else(Refusal::no_object)?;
        self.tell("customers/delete", id, serde_json::json!({"id": id, "tenant_id": self.tenant}));
        Ok(())
    }
}
