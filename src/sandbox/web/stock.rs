//! Stock: set by the owner and by the API, taken by orders.

use rust_decimal::Decimal;
use serde_json::Value;

use super::refusal::{Refusal, Ruled};
use super::state::{Level, State};
use crate::sandbox::amount::{decimal, whole};

impl State {
    /// Sets what is available, as `POST inventory_levels/set` does.
    pub fn post_level(&mut self, body: &Value) -> Ruled<(u64, u64)> {
        let given = |field: &str| whole(&body[field]).ok_or_else(|| Refusal::field(field, "can't be blank"));
        let (location, item) = (given("location_id")?, given("inventory_item_id")?);
        let available = match &body["available"] {
            Value::Null => return Err(Refusal::field("available", "can't be blank")),
            value => decimal(value).ok_or_else(|| Refusal::field("available", "is not a number"))?,
        };
        let variant = self.items.get(&item).copied().ok_or_else(Refusal::not_found)?;
        if !self.locations.contains(&location) {
            return Err(Refusal::not_found());
        }
        let found = self.variant(variant).ok_or_else(Refusal::not_found)?;
        if found.refused {
            return Err(Refusal::field("available", "cannot be saved"));
        }
        if !found.managed {
            // Assumed: the vendor's words for it are not known.
            return Err(Refusal::word("inventory_item_id", "does not have inventory tracking enabled"));
        }
        self.set_stock(variant, location, available)?;
        Ok((variant, location))
    }

    /// Sets what is available of a variant at a location.
    pub fn set_stock(&mut self, variant: u64, location: u64, available: Decimal) -> Ruled<()> {
        if !self.locations.contains(&location) {
            return Err(Refusal::not_found());
        }
        if self.variant(variant).is_none() {
            return Err(Refusal::not_found());
        }
        self.move_stock(variant, location, |level| level.on_hand = available + level.committed);
        Ok(())
    }

    /// Sets what is available of a variant everywhere together. Assumed: the main location takes the difference.
    pub fn set_total(&mut self, variant: u64, available: Decimal) -> Ruled<()> {
        let main = self.main_location();
        let found = self.variant(variant).ok_or_else(Refusal::not_found)?;
        let elsewhere: Decimal =
            found.levels.iter().filter(|(location, _)| **location != main).map(|(_, level)| level.available()).sum();
        self.set_stock(variant, main, available - elsewhere)
    }

    /// Changes the stock of a variant that is counted, or was; its product and the level are told.
    pub fn move_stock(&mut self, variant: u64, location: u64, work: impl FnOnce(&mut Level)) {
        let clock = self.clock;
        let Some(level) = self.variant_mut(variant).and_then(|variant| variant.levels.get_mut(&location)) else {
            return;
        };
        work(level);
        level.updated = clock.after(level.updated);
        self.touch_level(variant, location);
        // The variant was found just now.
        let _ = self.edit_variant(variant, |_| {});
    }

    /// Changes the stock of a sold variant at the main location; one that is not counted is left alone.
    pub fn sell(&mut self, variant: u64, work: impl FnOnce(&mut Level)) {
        if self.variant(variant).is_some_and(|variant| variant.managed) {
            self.move_stock(variant, self.main_location(), work);
        }
    }
}
