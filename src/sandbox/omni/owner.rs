//! What the shop's owner does to products and customers.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;

use super::NewCustomer;
use super::shop::{Refusal, Ruled, Shop};
use crate::sandbox::inner::Inner;

/// The Omni shop as its owner sees it: what is done here is done behind the program's back, and is told by webhook.
#[derive(Clone, Copy)]
pub struct Omni<'a> {
    inner: &'a Arc<Inner>,
}

impl<'a> Omni<'a> {
    pub(crate) fn new(inner: &'a Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The shop, and all that tells its changes.
    pub(super) fn inner(self) -> &'a Arc<Inner> {
        self.inner
    }

    /// Changes the shop; refusals become what Omni would say.
    pub(crate) fn change<T>(self, work: impl FnOnce(&mut Shop) -> Ruled<T>) -> Result<T, String> {
        self.inner.change_shop(work).map_err(|refusal: Refusal| refusal.text())
    }

    /// Reads the shop.
    pub(crate) fn read<T>(self, work: impl FnOnce(&Shop) -> T) -> T {
        work(&self.inner.shop())
    }

    /// A product as the API writes it.
    pub fn product(&self, id: u64) -> Option<Value> {
        self.read(|shop| shop.product_json(id))
    }

    /// All products, oldest first.
    pub fn products(&self) -> Vec<Value> {
        self.read(|shop| shop.products.keys().filter_map(|id| shop.product_json(*id)).collect())
    }

    /// The ids of all products, oldest first.
    pub fn product_ids(&self) -> Vec<u64> {
        self.read(|shop| shop.products.keys().copied().collect())
    }

    /// The variant that has a SKU.
    pub fn variant_by_sku(&self, sku: &str) -> Option<u64> {
        self.read(|shop| shop.skus.get(sku).copied())
    }

    /// Makes a product from a partial description.
    ///
    /// Fields: `name`, `status`, `category` (a name, made if new) or `category_id`, `tags`, `description`, `image` (a
    /// URL), and `variants` of `sku`, `name`, `option`, `status`, `retail`, `wholesale`, `import`, `unit`, `stock`
    /// (`{"58001": 12}`, on hand), `pack` (`{"sku": "SUA", "quantity": 6}`, or `variant_id` for `sku`) or `combo` (a
    /// list of the same).
    ///
    /// # Errors
    /// What Omni says, such as a SKU that exists already.
    pub fn add_product(&self, partial: &Value) -> Result<u64, String> {
        self.change(|shop| shop.add_product(partial))
    }

    /// Changes a product in its written form; fields that Omni does not know stay as they are set.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn change_product(&self, id: u64, edit: impl FnOnce(&mut Value)) -> Result<(), String> {
        self.change(|shop| shop.change_product(id, edit))
    }

    /// Sets a variant's retail price, or takes it away.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_price(&self, variant: u64, price: impl Into<Option<Decimal>>) -> Result<(), String> {
        self.change(|shop| shop.set_price(variant, price.into()))
    }

    /// Sets what is on hand of a variant at a branch; for a pack size, its root's stock follows.
    ///
    /// # Errors
    /// When there is no such variant or branch, or the variant is a combo.
    pub fn set_stock(&self, variant: u64, location: u64, on_hand: impl Into<Decimal>) -> Result<(), String> {
        self.change(|shop| shop.set_stock(variant, location, on_hand.into()))
    }

    /// Lets a product be traded or stops it, with all its variants.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn set_active(&self, product: u64, active: bool) -> Result<(), String> {
        let word = if active { "active" } else { "inactive" };
        self.change_product(product, |shape| {
            shape["status"] = word.into();
            for variant in shape["variants"].as_array_mut().into_iter().flatten() {
                variant["status"] = word.into();
            }
        })
    }

    /// Deletes a product.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn delete_product(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.delete_product(id))
    }

    /// All categories.
    pub fn categories(&self) -> Vec<Value> {
        self.read(|shop| shop.categories.values().map(|category| shop.category_json(category)).collect())
    }

    /// Renames a category; each of its products is told.
    ///
    /// # Errors
    /// When there is no such category.
    pub fn rename_category(&self, id: u64, name: &str) -> Result<(), String> {
        self.change(|shop| shop.rename_category(id, name))
    }

    /// A customer as the API writes it.
    pub fn customer(&self, id: u64) -> Option<Value> {
        self.read(|shop| shop.customers.get(&id).map(|customer| shop.customer_json(customer)))
    }

    /// All customers, oldest first.
    pub fn customers(&self) -> Vec<Value> {
        self.read(|shop| shop.customers.values().map(|customer| shop.customer_json(customer)).collect())
    }

    /// The ids of all customers, oldest first.
    pub fn customer_ids(&self) -> Vec<u64> {
        self.read(|shop| shop.customers.keys().copied().collect())
    }

    /// Makes a customer, the phone written just so.
    pub fn add_customer(&self, name: &str, phone: Option<&str>) -> u64 {
        let new = NewCustomer { name: name.to_owned(), phone: phone.map(str::to_owned), ..NewCustomer::default() };
        self.inner.change_shop(|shop| shop.add_customer(new))
    }

    /// Changes a customer in its written form.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn change_customer(&self, id: u64, edit: impl FnOnce(&mut Value)) -> Result<(), String> {
        self.change(|shop| shop.change_customer(id, edit))
    }

    /// Deletes a customer.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn delete_customer(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.delete_customer(id))
    }

    /// The webhooks that were registered through the API; only with
    /// [`webhooks_need_registration`](crate::sandbox::SandboxConfig::webhooks_need_registration) do they say where
    /// webhooks go.
    pub fn registered_webhooks(&self) -> Vec<Value> {
        self.read(|shop| shop.hooks.all())
    }
}
