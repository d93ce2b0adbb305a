//! Webhooks as an app registers them, by topic and address: the same on Sapo Omni and Sapo Web.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::amount::text;
use super::clock::iso;

/// What is wrong with a registration: the field, and the message.
pub(crate) type Unfit = (&'static str, &'static str);

/// The registered webhooks of one shop.
#[derive(Default)]
pub(crate) struct Hooks(BTreeMap<u64, Value>);

impl Hooks {
    /// Registers a webhook, `{"webhook": {…}}` or the bare object.
    pub fn add(&mut self, id: u64, now: i64, body: &Value) -> Result<Value, Unfit> {
        let given = inside(body);
        let topic = text(&given["topic"]).ok_or(("topic", "may not be empty"))?;
        let address = text(&given["address"]).ok_or(("address", "may not be empty"))?;
        self.free(&topic, &address, id)?;
        let hook = json!({
            "id": id, "topic": topic, "address": address, "format": "json", "fields": [],
            "created_on": iso(now), "modified_on": iso(now)
        });
        self.0.insert(id, hook.clone());
        Ok(hook)
    }

    /// Changes the topic or the address of a webhook; none where there is no such webhook.
    pub fn change(&mut self, id: u64, now: i64, body: &Value) -> Option<Result<Value, Unfit>> {
        let given = inside(body);
        let mut hook = self.0.get(&id)?.clone();
        for field in ["topic", "address"] {
            if let Some(value) = text(&given[field]) {
                hook[field] = json!(value);
            }
        }
        let word = |field: &str| hook[field].as_str().unwrap_or_default();
        if let Err(unfit) = self.free(word("topic"), word("address"), id) {
            return Some(Err(unfit));
        }
        hook["modified_on"] = json!(iso(now));
        self.0.insert(id, hook.clone());
        Some(Ok(hook))
    }

    /// Takes a webhook away; whether there was one.
    pub fn remove(&mut self, id: u64) -> bool {
        self.0.remove(&id).is_some()
    }

    /// Takes the webhooks of a topic away; whether there were any.
    pub fn remove_topic(&mut self, topic: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|_, hook| hook["topic"] != topic);
        self.0.len() < before
    }

    /// Takes all webhooks away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// One webhook.
    pub fn get(&self, id: u64) -> Option<&Value> {
        self.0.get(&id)
    }

    /// All webhooks, oldest first.
    pub fn all(&self) -> Vec<Value> {
        self.0.values().cloned().collect()
    }

    /// Where a topic is to be told.
    pub fn addresses(&self, topic: &str) -> Vec<String> {
        let wanted = self.0.values().filter(|hook| hook["topic"] == topic);
        wanted.filter_map(|hook| text(&hook["address"])).collect()
    }

    fn free(&self, topic: &str, address: &str, id: u64) -> Result<(), Unfit> {
        let taken =
            self.0.iter().any(|(other, hook)| *other != id && hook["topic"] == topic && hook["address"] == address);
        if taken { Err(("address", "address for this topic has already been taken")) } else { Ok(()) }
    }
}

/// The object within its wrapping, where it is wrapped.
fn inside(body: &Value) -> &Value {
    if body["webhook"].is_object() { &body["webhook"] } else { body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_goes_to_one_address_once() {
        let mut hooks = Hooks::default();
        let wanted = json!({"webhook": {"topic": "orders/create", "address": "https://a.example/1"}});
        assert!(hooks.add(1, 0, &wanted).is_ok());
        assert!(hooks.add(2, 0, &wanted).is_err());
        assert!(hooks.add(2, 0, &json!({"topic": "orders/create", "address": "https://a.example/2"})).is_ok());
        assert_eq!(hooks.addresses("orders/create"), ["https://a.example/1", "https://a.example/2"]);
        assert!(matches!(hooks.change(2, 0, &json!({"address": "https://a.example/1"})), Some(Err(_))));
        assert!(hooks.change(9, 0, &json!({})).is_none());
        assert!(hooks.remove(1) && !hooks.remove(1));
        assert_eq!(hooks.all().len(), 1);
    }
}
