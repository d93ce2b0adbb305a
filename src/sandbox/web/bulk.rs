//! A large catalogue in one go, for imports.

use rust_decimal::Decimal;

use super::state::State;
use super::{NewWebProduct, NewWebVariant};

impl State {
    /// Makes products of one variant each, `SP-000001` and on, the SKUs of the other side's bulk; nothing is told.
    pub fn bulk(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.count("bulk");
            self.make_product(NewWebProduct {
                name: format!("Sản phẩm {number:06}"),
                variants: vec![NewWebVariant {
                    sku: format!("SP-{number:06}"),
                    price: Decimal::from((number % 90 + 10) * 1000),
                    compare_at: None,
                    stock: Decimal::from(number % 30),
                    managed: true,
                }],
                published: true,
            });
        }
    }
}
