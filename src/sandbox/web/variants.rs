//! Variants: found, changed, renamed, taken away.

use rust_decimal::Decimal;
use serde_json::Value;

use super::given::{GivenVariant, object};
use super::refusal::{Refusal, Ruled};
use super::state::{State, Variant};

impl State {
    /// A variant by its id.
    pub fn variant(&self, id: u64) -> Option<&Variant> {
        let product = self.products.get(self.homes.get(&id)?)?;
        product.variants.iter().find(|variant| variant.id == id)
    }

    /// A variant by its id, to be changed.
    pub fn variant_mut(&mut self, id: u64) -> Option<&mut Variant> {
        let product = self.products.get_mut(self.homes.get(&id)?)?;
        product.variants.iter_mut().find(|variant| variant.id == id)
    }

    /// Adds a variant as `POST products/{id}/variants` does.
    pub fn post_variant(&mut self, product: u64, body: &Value) -> Ruled<u64> {
        let given = GivenVariant::read(object(body, "variant")?)?;
        if !self.products.contains_key(&product) {
            return Err(Refusal::not_found());
        }
        let variant = self.make_variant(product, given);
        let id = variant.id;
        self.products.entry(product).and_modify(|product| product.variants.push(variant));
        self.touch_product(product);
        Ok(id)
    }

    /// Changes a variant as `PUT variants/{id}` does.
    pub fn put_variant(&mut self, id: u64, body: &Value) -> Ruled<()> {
        let given = object(body, "variant")?;
        if self.variant(id).is_none() {
            return Err(Refusal::not_found());
        }
        self.change_variant(id, GivenVariant::read(given)?)
    }

    /// Changes what is given of a variant, unless its writes are refused.
    pub fn change_variant(&mut self, id: u64, given: GivenVariant) -> Ruled<()> {
        let variant = self.variant(id).ok_or_else(Refusal::not_found)?;
        if variant.refused {
            return Err(Refusal::field("variant", "cannot be saved"));
        }
        if let Some(sku) = given.sku {
            self.set_sku(id, &sku)?;
        }
        self.edit_variant(id, |variant| {
            variant.barcode = given.barcode.or(variant.barcode.take());
            variant.option = given.option.unwrap_or_else(|| variant.option.clone());
            variant.price = given.price.unwrap_or(variant.price);
            variant.compare_at = given.compare_at.over(variant.compare_at);
            variant.managed = given.managed.unwrap_or(variant.managed);
        })?;
        // Assumed: the quantity of a variant whose stock is not counted is passed over in silence.
        let managed = self.variant(id).is_some_and(|variant| variant.managed);
        match given.quantity {
            Some(quantity) if managed => self.set_total(id, quantity),
            _ => Ok(()),
        }
    }

    /// Gives a variant another SKU; whether somebody else has it does not matter to Sapo Web.
    pub fn set_sku(&mut self, id: u64, sku: &str) -> Ruled<()> {
        let variant = self.variant_mut(id).ok_or_else(Refusal::not_found)?;
        let before = std::mem::replace(&mut variant.sku, sku.to_owned());
        self.forget_sku(&before, id);
        self.skus.entry(sku.to_owned()).or_default().insert(id);
        self.edit_variant(id, |_| {})
    }

    /// Changes a variant in its state; its product is told.
    pub fn edit_variant(&mut self, id: u64, edit: impl FnOnce(&mut Variant)) -> Ruled<()> {
        let clock = self.clock;
        let variant = self.variant_mut(id).ok_or_else(Refusal::not_found)?;
        edit(variant);
        variant.modified = clock.after(variant.modified);
        if let Some(home) = self.homes.get(&id).copied() {
            self.touch_product(home);
        }
        Ok(())
    }

    /// Sets the price to compare with.
    pub fn set_compare_at(&mut self, id: u64, price: Option<Decimal>) -> Ruled<()> {
        self.edit_variant(id, |variant| variant.compare_at = price)
    }

    /// Takes a variant of a product away.
    pub fn delete_variant(&mut self, id: u64) -> Ruled<()> {
        let home = self.homes.get(&id).copied().ok_or_else(Refusal::not_found)?;
        let variant = self.variant(id).ok_or_else(Refusal::not_found)?.clone();
        if let Some(product) = self.products.get_mut(&home) {
            product.variants.retain(|other| other.id != id);
        }
        self.forget_variant(&variant);
        self.touch_product(home);
        Ok(())
    }

    /// Forgets where a variant was to be found.
    pub fn forget_variant(&mut self, variant: &Variant) {
        self.homes.remove(&variant.id);
        self.items.remove(&variant.item);
        self.forget_sku(&variant.sku, variant.id);
    }

    fn forget_sku(&mut self, sku: &str, variant: u64) {
        if let Some(ids) = self.skus.get_mut(sku) {
            ids.remove(&variant);
            if ids.is_empty() {
                self.skus.remove(sku);
            }
        }
    }
}
