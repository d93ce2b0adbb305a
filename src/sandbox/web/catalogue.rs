//! Products: made, changed, deleted.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::given::{CompareAt, GivenVariant, object};
use super::refusal::{Refusal, Ruled};
use super::state::{Level, Product, State, Variant};
use super::{NewWebProduct, WebProductIds};
use crate::sandbox::amount::{text, whole};

impl State {
    /// Makes a product of the owner's, and tells it.
    pub fn add_product(&mut self, new: NewWebProduct) -> WebProductIds {
        let ids = self.make_product(new);
        self.tell_new_product(ids.id);
        ids
    }

    /// Makes a product; nothing is told.
    pub fn make_product(&mut self, new: NewWebProduct) -> WebProductIds {
        let (id, now) = (self.next_id("product"), self.clock.now());
        let single = new.variants.len() == 1;
        let mut variants = Vec::new();
        for (index, given) in new.variants.into_iter().enumerate() {
            let option = if single { "Default Title".to_owned() } else { format!("Loại {}", index + 1) };
            let given_variant = GivenVariant {
                sku: Some(given.sku),
                barcode: None,
                option: Some(option),
                price: Some(given.price),
                compare_at: CompareAt::At(given.compare_at.unwrap_or_default()),
                quantity: Some(given.stock),
                managed: Some(given.managed),
            };
            variants.push(self.make_variant(id, given_variant));
        }
        let ids = WebProductIds { id, variants: variants.iter().map(|variant| variant.id).collect() };
        let product = Product {
            id,
            name: new.name,
            content: None,
            tags: String::new(),
            vendor: None,
            option: if single { "Title".into() } else { "Phân loại".into() },
            published: new.published.then_some(now),
            created: now,
            modified: now,
            variants,
            overlay: Map::new(),
        };
        self.products.insert(id, product);
        ids
    }

    /// Makes a variant for a product.
    pub fn make_variant(&mut self, product: u64, given: GivenVariant) -> Variant {
        let (id, item, now) = (self.next_id("variant"), self.next_id("item"), self.clock.now());
        let sku = given.sku.unwrap_or_default();
        self.skus.entry(sku.clone()).or_default().insert(id);
        self.homes.insert(id, product);
        self.items.insert(item, id);
        let managed = given.managed.unwrap_or(false);
        let mut levels = BTreeMap::new();
        for (index, location) in self.locations.clone().into_iter().enumerate() {
            let on_hand = given.quantity.filter(|_| index == 0).unwrap_or_default();
            let level =
                Level { id: self.next_id("level"), on_hand, committed: Decimal::ZERO, created: now, updated: now };
            levels.insert(location, level);
        }
        Variant {
            id,
            item,
            sku,
            barcode: given.barcode,
            option: given.option.unwrap_or_else(|| "Default Title".into()),
            price: given.price.unwrap_or_default(),
            compare_at: given.compare_at.over(Some(Decimal::ZERO)),
            managed,
            levels,
            text_money: false,
            refused: false,
            created: now,
            modified: now,
        }
    }

    /// Makes a product as `POST products` does.
    pub fn post_product(&mut self, body: &Value) -> Ruled<u64> {
        let given = object(body, "product")?;
        let name = text(&given["name"]).ok_or_else(|| Refusal::field("name", "can't be blank"))?;
        let listed = given["variants"].as_array().cloned().unwrap_or_else(|| vec![json!({})]);
        let read = listed.iter().map(GivenVariant::read).collect::<Ruled<Vec<_>>>()?;
        let (id, now) = (self.next_id("product"), self.clock.now());
        let single = read.len() == 1;
        let variants = read.into_iter().map(|given| self.make_variant(id, given)).collect();
        let hidden = given["published"] == false || given.get("published_on").is_some_and(Value::is_null);
        let product = Product {
            id,
            name,
            content: text(&given["content"]),
            tags: text(&given["tags"]).unwrap_or_default(),
            vendor: text(&given["vendor"]),
            option: if single { "Title".into() } else { "Phân loại".into() },
            published: (!hidden).then_some(now),
            created: now,
            modified: now,
            variants,
            overlay: Map::new(),
        };
        self.products.insert(id, product);
        self.tell_new_product(id);
        Ok(id)
    }

    /// Changes a product as `PUT products/{id}` does: named variants are changed, those without an id are added.
    pub fn put_product(&mut self, id: u64, body: &Value) -> Ruled<()> {
        let given = object(body, "product")?;
        let listed = given["variants"].as_array().cloned().unwrap_or_default();
        let product = self.products.get(&id).ok_or_else(Refusal::not_found)?;
        let mut read = Vec::new();
        for variant in &listed {
            let named = whole(&variant["id"]);
            if named.is_some_and(|named| !product.variants.iter().any(|known| known.id == named)) {
                return Err(Refusal::field("variants", "is invalid"));
            }
            read.push((named, GivenVariant::read(variant)?));
        }
        for (named, variant) in read {
            if let Some(named) = named {
                self.change_variant(named, variant)?;
            } else {
                let variant = self.make_variant(id, variant);
                self.products.entry(id).and_modify(|product| product.variants.push(variant));
            }
        }
        let now = self.clock.now();
        if let Some(product) = self.products.get_mut(&id) {
            if let Some(name) = text(&given["name"]) {
                product.name = name;
            }
            if given.get("content").is_some() {
                product.content = text(&given["content"]);
            }
            if given.get("tags").is_some() {
                product.tags = text(&given["tags"]).unwrap_or_default();
            }
            match (given["published"].as_bool(), given.get("published_on")) {
                (Some(false), _) | (None, Some(Value::Null)) => product.published = None,
                (Some(true), _) | (None, Some(_)) => product.published = product.published.or(Some(now)),
                (None, None) => {}
            }
        }
        self.touch_product(id);
        Ok(())
    }

    /// Deletes a product; the webhook carries no more than its id.
    pub fn delete_product(&mut self, id: u64) -> Ruled<()> {
        let product = self.products.remove(&id).ok_or_else(Refusal::not_found)?;
        for variant in product.variants {
            self.forget_variant(&variant);
        }
        self.tell("products/delete", id, json!({"id": id}));
        Ok(())
    }

    fn tell_new_product(&mut self, id: u64) {
        if let Some(body) = self.product_json(id) {
            self.tell("products/create", id, body);
        }
    }
}
