//! Categories, products and customers: made and changed.

use rust_decimal::Decimal;
use serde_json::Value;

use super::site::{Category, Customer, Product, Ruled, Site};
use crate::sandbox::amount::{decimal, signed, text, whole};

impl Site {
    /// Makes a category.
    pub fn create_category(&mut self, given: &Value) -> Ruled<u64> {
        let name = text(&given["name"]).ok_or("Thiếu tên danh mục")?;
        let id = self.next_id(60_001);
        self.categories.insert(id, Category { id, name });
        Ok(id)
    }

    /// Renames a category.
    pub fn update_category(&mut self, given: &Value) -> Ruled<u64> {
        let id = whole(&given["id"]).unwrap_or_default();
        let name = text(&given["name"]).ok_or("Thiếu tên danh mục")?;
        self.categories.get_mut(&id).ok_or("Danh mục không tồn tại")?.name = name;
        Ok(id)
    }

    /// Makes a product; codes are unique for the API.
    pub fn create_product(&mut self, given: &Value) -> Ruled<u64> {
        let code = text(&given["product_code"]).ok_or("Thiếu mã sản phẩm")?;
        if self.product_of(&code).is_some() {
            return Err("Mã sản phẩm đã tồn tại".into());
        }
        text(&given["name"]).ok_or("Thiếu tên sản phẩm")?;
        self.add_product(code, given)
    }

    /// Makes a product, whatever codes there are.
    pub fn add_product(&mut self, code: String, given: &Value) -> Ruled<u64> {
        let (id, now) = (self.next_id(800_001), self.clock.now());
        let mut product = Product {
            id,
            code,
            name: String::new(),
            category: None,
            price: Decimal::ZERO,
            price_sale: Decimal::ZERO,
            quantity: 0,
            status: 1,
            description: String::new(),
            images: Vec::new(),
            created: now,
            updated: now,
        };
        self.read_product(&mut product, given)?;
        self.codes.entry(product.code.clone()).or_default().insert(id);
        self.products.insert(id, product);
        Ok(id)
    }

    /// The product of a code, the oldest where there are several.
    pub fn product_of(&self, code: &str) -> Option<&Product> {
        self.products.get(self.codes.get(code)?.first()?)
    }

    /// Changes the fields of a product that are given.
    pub fn update_product(&mut self, given: &Value) -> Ruled<u64> {
        let id = whole(&given["id"]).unwrap_or_default();
        let mut product = self.products.get(&id).ok_or("Sản phẩm không tồn tại")?.clone();
        if let Some(code) = text(&given["product_code"]) {
            if code != product.code && self.product_of(&code).is_some() {
                return Err("Mã sản phẩm đã tồn tại".into());
            }
            product.code = code;
        }
        self.read_product(&mut product, given)?;
        if let Some(before) = self.products.get(&id).filter(|before| before.code != product.code) {
            if let Some(ids) = self.codes.get_mut(&before.code) {
                ids.remove(&id);
            }
            self.codes.entry(product.code.clone()).or_default().insert(id);
        }
        product.updated = self.clock.after(product.updated);
        let body = self.product_json(&product);
        self.products.insert(id, product);
        self.tell("product.updated", id, body);
        Ok(id)
    }

    /// Deletes a product; its code is free again.
    pub fn delete_product(&mut self, id: u64) -> Ruled<()> {
        let product = self.products.remove(&id).ok_or("Sản phẩm không tồn tại")?;
        if let Some(ids) = self.codes.get_mut(&product.code) {
            ids.remove(&id);
        }
        Ok(())
    }

    fn read_product(&self, product: &mut Product, given: &Value) -> Ruled<()> {
        if let Some(name) = text(&given["name"]) {
            product.name = name;
        }
        if let Some(category) = whole(&given["category_id"]) {
            if !self.categories.contains_key(&category) {
                return Err("Danh mục không tồn tại".into());
            }
            product.category = Some(category);
        }
        for (field, target) in [("price", &mut product.price), ("price_sale", &mut product.price_sale)] {
            if !given[field].is_null() {
                *target = decimal(&given[field]).filter(|price| *price >= Decimal::ZERO).ok_or("Giá không hợp lệ")?;
            }
        }
        if !given["quantity"].is_null() {
            product.quantity = signed(&given["quantity"]).ok_or("Số lượng không hợp lệ")?;
        }
        if !given["status"].is_null() {
            product.status =
                signed(&given["status"]).filter(|status| (0..=1).contains(status)).ok_or("Trạng thái không hợp lệ")?;
        }
        if let Some(description) = given["description"].as_str() {
            description.clone_into(&mut product.description);
        }
        if let Some(images) = given["images"].as_array() {
            product.images = images.iter().filter_map(text).collect();
        }
        Ok(())
    }

    /// Makes a customer; phones are unique.
    pub fn create_customer(&mut self, given: &Value) -> Ruled<u64> {
        let tel = text(&given["tel"]).ok_or("Thiếu số điện thoại")?;
        if self.customer_of(&tel).is_some() {
            return Err("Số điện thoại đã tồn tại".into());
        }
        let (id, now) = (self.next_id(700_001), self.clock.now());
        let name = text(&given["name"]).unwrap_or_default();
        let customer = Customer { id, name, tel, created: now, updated: now };
        let body = self.customer_json(&customer);
        self.tels.insert(national(&customer.tel), id);
        self.customers.insert(id, customer);
        self.tell("customer.created", id, body);
        Ok(id)
    }

    /// Changes a customer's name or phone.
    pub fn update_customer(&mut self, given: &Value) -> Ruled<u64> {
        let id = whole(&given["id"]).unwrap_or_default();
        let clock = self.clock;
        let tel = text(&given["tel"]);
        if let Some(other) = tel.as_deref().and_then(|tel| self.customer_of(tel)).filter(|other| other.id != id) {
            return Err(format!("Số điện thoại đã tồn tại ({})", other.id));
        }
        let customer = self.customers.get_mut(&id).ok_or("Khách hàng không tồn tại")?;
        if let Some(name) = text(&given["name"]) {
            customer.name = name;
        }
        if let Some(tel) = tel {
            self.tels.remove(&national(&customer.tel));
            self.tels.insert(national(&tel), id);
            customer.tel = tel;
        }
        customer.updated = clock.after(customer.updated);
        Ok(id)
    }

    /// The customer who has a phone, compared in its national form.
    pub fn customer_of(&self, tel: &str) -> Option<&Customer> {
        self.customers.get(self.tels.get(&national(tel))?)
    }
}

/// The digits of a phone, with a leading country code 84 as 0.
fn national(tel: &str) -> String {
    let digits: String = tel.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("84") {
        // A nine-digit rest: without it, an 084… number would lose its prefix.
        Some(rest) if rest.len() >= 9 => format!("0{rest}"),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_compare_in_their_national_form() {
        assert_eq!(national("+84 981 234 567"), "0981234567");
        assert_eq!(national("0981.234.567"), "0981234567");
        assert_eq!(national("0845123456"), "0845123456");
    }
}
