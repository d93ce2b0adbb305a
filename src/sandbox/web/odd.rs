//! The odd data of real sites.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;
use unicode_normalization::UnicodeNormalization;

use super::state::State;
use super::{NewWebProduct, NewWebVariant};

impl State {
    /// Makes one product of each oddity; nothing is told.
    pub fn seed_odd(&mut self, seed: u64) -> Vec<u64> {
        let mut dice = StdRng::seed_from_u64(seed);
        // Where the site has products, one of their SKUs is the one that occurs twice.
        let known: Vec<String> = self.skus.keys().filter(|sku| !sku.trim().is_empty()).cloned().collect();
        let twice = known.iter().min().cloned().unwrap_or_else(|| "TRUNG-01".into());
        let mark = dice.random_range(100..1000);
        let mut made = Vec::new();
        if known.is_empty() {
            made.push(self.odd(&mut dice, "Áo thun", &twice));
        }
        made.push(self.odd(&mut dice, "Áo thun (bản sao)", &twice));
        made.push(self.odd(&mut dice, "Không mã", ""));
        made.push(self.odd(&mut dice, "Mã toàn dấu cách", "   "));
        let decomposed: String = format!("ÁO-DÀI-{mark}").nfd().collect();
        made.push(self.odd(&mut dice, &"Áo dài tân thời".nfd().collect::<String>(), &decomposed));
        made.push(self.odd(&mut dice, "Khăn lanh", "MY/LAN/01"));
        made.push(self.odd(&mut dice, "Khăn lanh thêu", "MY/LAN /01"));
        made.push(self.odd(&mut dice, "Khăn có dấu cách", &format!("  MY/LAN/{mark} ")));
        made.push(self.odd(&mut dice, "Phí gói quà", &format!("GOI-QUA-{mark}")));
        self.odd_variant(&made, |variant| variant.managed = false);
        made.push(self.odd(&mut dice, "Vải bán theo mét", &format!("VAI-{mark}")));
        let metres = Decimal::new(dice.random_range(1..40) * 5, 1) + Decimal::new(5, 1);
        self.odd_level(&made, metres);
        made.push(self.odd(&mut dice, "Bán quá tay", &format!("AM-{mark}")));
        self.odd_level(&made, Decimal::from(-dice.random_range(1..5)));
        made.push(self.odd(&mut dice, "Giá là chữ", &format!("CHU-{mark}")));
        self.odd_variant(&made, |variant| variant.text_money = true);
        made.push(self.odd(&mut dice, "Không giá so sánh", &format!("SS-{mark}")));
        self.odd_variant(&made, |variant| variant.compare_at = None);
        made.push(self.odd(&mut dice, "Đang ẩn", &format!("AN-{mark}")));
        if let Some(product) = made.last().and_then(|id| self.products.get_mut(id)) {
            product.published = None;
        }
        made
    }

    fn odd(&mut self, dice: &mut StdRng, name: &str, sku: &str) -> u64 {
        let variant = NewWebVariant {
            sku: sku.to_owned(),
            price: Decimal::from(dice.random_range(10..400) * 1000),
            compare_at: None,
            stock: Decimal::from(dice.random_range(1..40)),
            managed: true,
        };
        self.make_product(NewWebProduct { name: name.to_owned(), variants: vec![variant], published: true }).id
    }

    /// Changes the variant of the product that was made last.
    fn odd_variant(&mut self, made: &[u64], change: impl FnOnce(&mut super::state::Variant)) {
        let product = made.last().and_then(|id| self.products.get_mut(id));
        if let Some(variant) = product.and_then(|product| product.variants.first_mut()) {
            change(variant);
        }
    }

    /// Sets the stock of the product that was made last.
    fn odd_level(&mut self, made: &[u64], available: Decimal) {
        let main = self.main_location();
        self.odd_variant(made, |variant| {
            if let Some(level) = variant.levels.get_mut(&main) {
                level.on_hand = available;
            }
        });
    }
}
