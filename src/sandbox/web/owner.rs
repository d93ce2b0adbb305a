//! What a site's owner does to products, stock and the app.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;

use super::people::customer_json;
use super::refusal::Ruled;
use super::shapes::{overlay, plain_product};
use super::state::State;
use super::{NewWebProduct, WebBuyer, WebPart, WebProductIds, WebSite};
use crate::sandbox::inner::Inner;
use crate::sandbox::omni::differences;

/// A Sapo Web site as its owner and its buyers see it: what is done here is done behind the program's back, and is told
/// by webhook.
#[derive(Clone, Copy)]
pub struct Web<'a> {
    inner: &'a Arc<Inner>,
    site: &'a WebPart,
}

impl<'a> Web<'a> {
    pub(crate) fn new(inner: &'a Arc<Inner>, alias: &str) -> Self {
        Self { inner, site: inner.web_or_nowhere(alias) }
    }

    /// Changes the site; refusals become what Sapo Web would say.
    pub(super) fn change<T>(self, work: impl FnOnce(&mut State) -> Ruled<T>) -> Result<T, String> {
        self.inner.change_web(self.site, work).map_err(|refusal| refusal.text())
    }

    /// Changes the site in a way that cannot be refused.
    pub(super) fn make<T>(self, work: impl FnOnce(&mut State) -> T) -> T {
        self.inner.change_web(self.site, work)
    }

    /// Reads the site.
    pub(super) fn read<T>(self, work: impl FnOnce(&State) -> T) -> T {
        work(&self.site.state())
    }

    /// What the site was configured with.
    pub fn config(&self) -> &'a WebSite {
        &self.site.config
    }

    /// The ids of the places that keep stock; the first is the main one.
    pub fn locations(&self) -> Vec<u64> {
        self.read(|state| state.locations.clone())
    }

    /// A product as the API writes it.
    pub fn product(&self, id: u64) -> Option<Value> {
        self.read(|state| state.product_json(id))
    }

    /// All products, oldest first.
    pub fn products(&self) -> Vec<Value> {
        self.read(|state| state.products.keys().filter_map(|id| state.product_json(*id)).collect())
    }

    /// The ids of all products, oldest first.
    pub fn product_ids(&self) -> Vec<u64> {
        self.read(|state| state.products.keys().copied().collect())
    }

    /// A variant as the API writes it.
    pub fn variant(&self, id: u64) -> Option<Value> {
        self.read(|state| state.variant_json(id))
    }

    /// The variants that have a SKU, oldest first: none, one, or several.
    pub fn variant_by_sku(&self, sku: &str) -> Vec<Value> {
        self.read(|state| {
            let ids = state.skus.get(sku).into_iter().flatten();
            ids.filter_map(|id| state.variant_json(*id)).collect()
        })
    }

    /// What is available of a variant at all places together; none where there is no such variant or its stock is not
    /// counted.
    pub fn stock(&self, variant: u64) -> Option<Decimal> {
        self.read(|state| {
            let found = state.variant(variant).filter(|found| found.managed)?;
            Some(found.levels.values().map(super::state::Level::available).sum())
        })
    }

    /// Adds a product.
    pub fn add_product(&self, new: NewWebProduct) -> WebProductIds {
        self.make(|state| state.add_product(new))
    }

    /// Changes a product's top-level fields in their written form; a field that is set stays as it is set. Variants are
    /// left as they are.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn change_product(&self, id: u64, edit: impl FnOnce(&mut Value)) -> Result<(), String> {
        self.change(|state| {
            let product = state.products.get(&id).ok_or_else(super::refusal::Refusal::not_found)?;
            let plain = plain_product(product);
            let mut given = plain.clone();
            overlay(&mut given, &product.overlay);
            edit(&mut given);
            let own = differences(&plain, &given, &["variants", "modified_on"]);
            state.products.entry(id).and_modify(|product| product.overlay = own);
            state.touch_product(id);
            Ok(())
        })
    }

    /// Gives a product another name.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn rename(&self, id: u64, name: &str) -> Result<(), String> {
        self.change(|state| state.put_product(id, &serde_json::json!({"product": {"name": name}})))
    }

    /// Shows or hides a product.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn set_published(&self, id: u64, published: bool) -> Result<(), String> {
        self.change(|state| state.put_product(id, &serde_json::json!({"product": {"published": published}})))
    }

    /// Deletes a product.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn delete_product(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.delete_product(id))
    }

    /// Takes one variant of a product away.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn delete_variant(&self, id: u64) -> Result<(), String> {
        self.change(|state| state.delete_variant(id))
    }

    /// Gives a variant another SKU, whoever else has it.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_sku(&self, variant: u64, sku: &str) -> Result<(), String> {
        self.change(|state| state.set_sku(variant, sku))
    }

    /// Sets what is available of a variant at all places together; the main place takes the difference.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_stock(&self, variant: u64, available: impl Into<Decimal>) -> Result<(), String> {
        self.change(|state| state.set_total(variant, available.into()))
    }

    /// Sets what is available of a variant at one place.
    ///
    /// # Errors
    /// When there is no such variant or place.
    pub fn set_stock_at(&self, variant: u64, location: u64, available: impl Into<Decimal>) -> Result<(), String> {
        self.change(|state| state.set_stock(variant, location, available.into()))
    }

    /// Sets a variant's price.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_price(&self, variant: u64, price: impl Into<Decimal>) -> Result<(), String> {
        self.change(|state| state.edit_variant(variant, |variant| variant.price = price.into()))
    }

    /// Sets the price to compare with; none is null.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_compare_at(&self, variant: u64, price: impl Into<Option<Decimal>>) -> Result<(), String> {
        self.change(|state| state.set_compare_at(variant, price.into()))
    }

    /// Lets the site count a variant's stock, or not.
    ///
    /// # Errors
    /// When there is no such variant.
    pub fn set_managed(&self, variant: u64, managed: bool) -> Result<(), String> {
        self.change(|state| state.edit_variant(variant, |variant| variant.managed = managed))
    }

    /// From now on refuses every write of the API to a variant with 422, or does so no longer; nothing is told.
    pub fn refuse_variant(&self, variant: u64, refused: bool) {
        if let Some(found) = self.site.state().variant_mut(variant) {
            found.refused = refused;
        }
    }

    /// All customers, oldest first.
    pub fn customers(&self) -> Vec<Value> {
        self.read(|state| state.customers.values().map(customer_json).collect())
    }

    /// Gives a customer other names, phone and e-mail.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn change_customer(&self, id: u64, buyer: &WebBuyer) -> Result<(), String> {
        self.change(|state| state.change_customer(id, buyer))
    }

    /// The webhooks that were registered through the API; only with
    /// [`webhooks_need_registration`](crate::sandbox::SandboxConfig::webhooks_need_registration) do they say where
    /// webhooks go.
    pub fn webhooks(&self) -> Vec<Value> {
        self.read(|state| state.hooks.all())
    }

    /// Takes the registered webhooks of a topic away, as happens on real sites; whether there were any.
    pub fn remove_webhook(&self, topic: &str) -> bool {
        self.site.state().hooks.remove_topic(topic)
    }

    /// From now on wraps the webhooks' bodies, as in `{"order": {…}}`, or does so no longer.
    pub fn wrap_bodies(&self, wraps: bool) {
        self.site.state().manner.wraps = wraps;
    }

    /// From now on names the webhooks' headers `x-bizweb-…`, or does so no longer.
    pub fn old_headers(&self, old: bool) {
        self.site.state().manner.old_headers = old;
    }

    /// From now on sends `x-sapo-test: true`, or does so no longer.
    pub fn test_header(&self, test: bool) {
        self.site.state().manner.test = test;
    }

    /// From now on has no `inventory_levels`, as a site of an older kind, or has them again: what other people's code
    /// alone tells of may not be there.
    pub fn without_inventory_levels(&self, without: bool) {
        self.site.state().manner.no_levels = without;
    }

    /// Takes the app off the site: from now on its token and its key are refused, and it is told nothing more.
    pub fn uninstall(&self) {
        self.make(|state| {
            let (id, body) = (state.store_id, state.shop_json());
            state.tell("app/uninstalled", id, body);
            state.installed = false;
        });
        // Only now: where registration counts, the last word went to a registered address too.
        self.site.state().hooks.clear();
    }

    /// Puts the app on the site again, with the same token and no webhooks registered.
    pub fn reinstall(&self) {
        self.site.state().installed = true;
    }

    /// Makes products of one variant each, with SKUs `SP-000001` and on; no webhook tells of them.
    pub fn bulk(&self, count: usize) {
        self.site.state().bulk(count);
    }

    /// Makes the odd products of real sites and gives their ids; no webhook tells of them.
    ///
    /// Among them: a SKU that occurs twice, blank SKUs, a name and a SKU in decomposed Unicode, SKUs with inner and outer
    /// blanks, stock that is not counted, fractional and negative stock, money written as strings, no price to compare
    /// with as null and as 0, a hidden product.
    pub fn seed_odd(&self, seed: u64) -> Vec<u64> {
        self.site.state().seed_odd(seed)
    }
}
