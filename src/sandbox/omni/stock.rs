//! Stock, and how that of components makes that of pack sizes and combos.

use rust_decimal::Decimal;

use super::shop::{Kind, Refusal, Ruled, Shop, Stock, Variant};

impl Shop {
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

    /// The stock of a variant at a location, as Omni shows it.
    pub fn stock_of(&self, variant: &Variant, location: u64) -> Stock {
        match &variant.kind {
            Kind::Plain => variant.stock.get(&location).copied().unwrap_or_default(),
            Kind::Pack { root, quantity } => {
                let root = self.variant(*root).map(|root| self.stock_of(root, location)).unwrap_or_default();
                let share = |amount: Decimal| amount.checked_div(*quantity).unwrap_or_default().round_dp(4);
                Stock { on_hand: share(root.on_hand), committed: share(root.committed) }
            }
            Kind::Combo(items) => {
                let sets = items.iter().map(|(id, quantity)| {
                    let stock = self.variant(*id).map(|part| self.stock_of(part, location)).unwrap_or_default();
                    (stock.on_hand - stock.committed).checked_div(*quantity).unwrap_or_default().floor()
                });
                Stock { on_hand: sets.min().unwrap_or_default(), committed: Decimal::ZERO }
            }
        }
    }

    /// Sets what is on hand of a variant at a location.
    pub fn set_stock(&mut self, variant: u64, location: u64, on_hand: Decimal) -> Ruled<()> {
        if !self.has_setting("locations", location) {
            return Err(Refusal::field("location_id", format!("Chi nhánh {location} không tồn tại")));
        }
        let target = self.variant(variant).ok_or_else(Refusal::no_object)?;
        let (base, amount) = match &target.kind {
            Kind::Plain => (variant, on_hand),
            Kind::Pack { root, quantity } => (*root, on_hand * quantity),
            Kind::Combo(_) => {
                return Err(Refusal::field("", "Tồn kho của combo là tồn kho của các thành phần"));
            }
        };
        self.move_stock(base, location, |stock| stock.on_hand = amount);
        Ok(())
    }

    /// The variants that really leave the shelf when `quantity` of a variant is sold.
    pub fn parts(&self, variant: u64, quantity: Decimal) -> Vec<(u64, Decimal)> {
        match self.variant(variant).map(|variant| &variant.kind) {
            None => Vec::new(),
            Some(Kind::Plain) => vec![(variant, quantity)],
            Some(Kind::Pack { root, quantity: each }) => vec![(*root, quantity * each)],
            Some(Kind::Combo(items)) => items.iter().flat_map(|(id, each)| self.parts(*id, quantity * each)).collect(),
        }
    }

    /// Changes the stock of a sold variant's parts; `work` is given the amount of each part.
    pub fn move_parts(&mut self, variant: u64, quantity: Decimal, location: u64, work: impl Fn(&mut Stock, Decimal)) {
        for (part, amount) in self.parts(variant, quantity) {
            self.move_stock(part, location, |stock| work(stock, amount));
        }
    }

    /// Changes a plain variant's stock. Only its own product is told to have changed: the product of a combo is not,
    /// which is how the real shop is taken to behave and why a listener has to look for combos itself.
    fn move_stock(&mut self, variant: u64, location: u64, work: impl FnOnce(&mut Stock)) {
        let clock = self.clock;
        let Some(target) = self.variant_mut(variant) else {
            return;
        };
        work(target.stock.entry(location).or_default());
        target.overlay.remove("inventories");
        target.modified = clock.after(target.modified);
        if let Some(home) = self.homes.get(&variant).copied() {
            self.touch_product(home);
        }
    }
}
