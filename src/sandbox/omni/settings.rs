//! What an owner changes in the shop's settings and price lists, and a catalogue made in one go.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::json;

use super::catalogue::NewVariant;
use super::shop::{FIRST_LOCATION, Kind, Refusal, Ruled, Shop};

impl Shop {
    /// Sets or takes away a variant's price in a price list.
    pub fn set_list_price(&mut self, variant: u64, list: &str, price: Option<Decimal>) -> Ruled<()> {
        let clock = self.clock;
        let target = self.variant_mut(variant).ok_or_else(Refusal::no_object)?;
        let (place, field) = match list {
            "BANLE" => (&mut target.retail, "variant_retail_price"),
            "BANBUON" => (&mut target.wholesale, "variant_whole_price"),
            "GIANHAP" => (&mut target.import, "variant_import_price"),
            _ => return Err(Refusal::field("price_list_id", "Chính sách giá không tồn tại")),
        };
        *place = price;
        target.overlay.remove(field);
        target.modified = clock.after(target.modified);
        self.touch_home(variant);
        Ok(())
    }

    /// Gives a variant another SKU.
    pub fn set_sku(&mut self, variant: u64, sku: &str) -> Ruled<()> {
        if self.skus.get(sku).is_some_and(|other| *other != variant) {
            return Err(Refusal::field("phiên bản sản phẩm", format!("Mã {sku} đã trùng ")));
        }
        let clock = self.clock;
        let target = self.variant_mut(variant).ok_or_else(Refusal::no_object)?;
        let before = std::mem::replace(&mut target.sku, sku.to_owned());
        target.modified = clock.after(target.modified);
        self.skus.remove(&before);
        self.skus.insert(sku.to_owned(), variant);
        self.touch_home(variant);
        Ok(())
    }

    /// Takes a variant's stock row at a branch away, as where goods were never kept there.
    pub fn remove_stock(&mut self, variant: u64, location: u64) -> Ruled<()> {
        let clock = self.clock;
        let target = self.variant_mut(variant).ok_or_else(Refusal::no_object)?;
        target.stock.remove(&location).ok_or_else(Refusal::no_object)?;
        target.overlay.remove("inventories");
        target.modified = clock.after(target.modified);
        self.touch_home(variant);
        Ok(())
    }

    /// Takes a branch away with its stock; nothing is told.
    pub fn remove_location(&mut self, location: u64) -> Ruled<()> {
        self.remove_setting("locations", location)?;
        for variant in self.products.values_mut().flat_map(|product| &mut product.variants) {
            variant.stock.remove(&location);
            variant.overlay.remove("inventories");
        }
        Ok(())
    }

    /// Takes an entry of one of the settings' lists away; nothing is told.
    pub fn remove_setting(&mut self, list: &str, id: u64) -> Ruled<()> {
        if !self.has_setting(list, id) {
            return Err(Refusal::no_object());
        }
        let left = self.setting(list).iter().filter(|item| item["id"].as_u64() != Some(id)).cloned().collect();
        self.settings[list] = left;
        Ok(())
    }

    /// Marks one branch as the main one, or none.
    pub fn set_primary_location(&mut self, location: Option<u64>) -> Ruled<()> {
        if location.is_some_and(|id| !self.has_setting("locations", id)) {
            return Err(Refusal::no_object());
        }
        for item in self.settings["locations"].as_array_mut().into_iter().flatten() {
            item["is_primary"] = json!(location.is_some() && item["id"].as_u64() == location);
        }
        Ok(())
    }

    /// Makes products of one variant each, `SP-000001` and on; nothing is told.
    pub fn bulk(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.next_id("bulk");
            let price = Decimal::from((number % 90 + 10) * 1000);
            let new = NewVariant {
                sku: Some(format!("SP-{number:06}")),
                name: None,
                option: "Mặc định".into(),
                active: true,
                retail: Some(price),
                wholesale: Some(price * Decimal::new(8, 1)),
                import: Some(price * Decimal::new(5, 1)),
                unit: None,
                kind: Kind::Plain,
                stock: BTreeMap::from([(FIRST_LOCATION, Decimal::from(number % 50))]),
            };
            // A SKU that somebody has made by hand is left as it is.
            let _ = self.make_product(&format!("Sản phẩm {number:06}"), None, vec![new]);
        }
    }

    fn touch_home(&mut self, variant: u64) {
        if let Some(home) = self.homes.get(&variant).copied() {
            self.touch_product(home);
        }
    }
}
