//! What the shop's owner does to prices, SKUs, branches and the app.

use rust_decimal::Decimal;
use serde_json::json;

use super::Omni;

impl Omni<'_> {
    /// Sets a variant's price in a price list (`BANLE`, `BANBUON` or `GIANHAP`), or takes it away.
    ///
    /// # Errors
    /// When there is no such variant or price list.
    pub fn set_list_price(&self, variant: u64, list: &str, price: impl Into<Option<Decimal>>) -> Result<(), String> {
        self.change(|shop| shop.set_list_price(variant, list, price.into()))
    }

    /// Gives a variant another SKU.
    ///
    /// # Errors
    /// When there is no such variant, or another one has the SKU.
    pub fn set_sku(&self, variant: u64, sku: &str) -> Result<(), String> {
        self.change(|shop| shop.set_sku(variant, sku))
    }

    /// Takes a variant's stock row at a branch away, so that the API has no row for it.
    ///
    /// # Errors
    /// When there is no such variant or row.
    pub fn remove_stock(&self, variant: u64, location: u64) -> Result<(), String> {
        self.change(|shop| shop.remove_stock(variant, location))
    }

    /// Takes a branch away with all its stock; no webhook tells of it.
    ///
    /// # Errors
    /// When there is no such branch.
    pub fn remove_branch(&self, location: u64) -> Result<(), String> {
        self.change(|shop| shop.remove_location(location))
    }

    /// Marks one branch as the main one (`is_primary`), or none; no webhook tells of it.
    ///
    /// # Errors
    /// When there is no such branch.
    pub fn set_primary_branch(&self, location: impl Into<Option<u64>>) -> Result<(), String> {
        self.change(|shop| shop.set_primary_location(location.into()))
    }

    /// Takes a price list away; no webhook tells of it.
    ///
    /// # Errors
    /// When there is no such price list.
    pub fn remove_price_list(&self, id: u64) -> Result<(), String> {
        self.change(|shop| shop.remove_setting("price_lists", id))
    }

    /// Makes products of one variant each, with SKUs `SP-000001` and on; no webhook tells of them.
    pub fn bulk(&self, count: usize) {
        self.inner().shop().bulk(count);
    }

    /// Takes the app off the shop: from now on its token is refused and it is told nothing more.
    pub fn uninstall(&self) {
        self.inner().change_shop(|shop| {
            let body =
                json!({"id": shop.tenant, "sub_domain": shop.alias, "domain": format!("{}.mysapogo.com", shop.alias)});
            shop.tell("app/uninstalled", shop.tenant, body);
            shop.installed = false;
        });
        // Only now: where registration counts, the last word went to a registered address too.
        self.inner().shop().hooks.clear();
    }

    /// Puts the app on the shop again, with the same token and no webhooks registered.
    pub fn reinstall(&self) {
        self.inner().shop().installed = true;
    }
}
