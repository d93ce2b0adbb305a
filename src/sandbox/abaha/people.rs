//! What the site's people and buyers see and do.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::PlaceAbahaOrder;
use super::site::{Product, Ruled, Site};
use crate::sandbox::amount::number;
use crate::sandbox::inner::Inner;

/// The Abaha site as its people see it: what is done here is done behind the program's back, and is told by webhook.
#[derive(Clone, Copy)]
pub struct Abaha<'a> {
    inner: &'a Arc<Inner>,
}

impl<'a> Abaha<'a> {
    pub(crate) fn new(inner: &'a Arc<Inner>) -> Self {
        Self { inner }
    }

    fn read<T>(self, work: impl FnOnce(&Site) -> T) -> T {
        work(&self.inner.site())
    }

    fn change<T>(self, work: impl FnOnce(&mut Site) -> Ruled<T>) -> Result<T, String> {
        self.inner.change_site(work)
    }

    fn products_where(self, wanted: impl Fn(&Product) -> bool) -> Vec<Value> {
        self.read(|site| {
            site.products.values().filter(|product| wanted(product)).map(|product| site.product_json(product)).collect()
        })
    }

    /// All categories.
    pub fn categories(&self) -> Vec<Value> {
        self.read(|site| site.categories.values().map(|category| site.category_json(category)).collect())
    }

    /// All products, oldest first.
    pub fn products(&self) -> Vec<Value> {
        self.products_where(|_| true)
    }

    /// The products with this code: more than one only where people made them so.
    pub fn product_by_code(&self, code: &str) -> Vec<Value> {
        self.products_where(|product| product.code == code)
    }

    /// All customers, oldest first.
    pub fn customers(&self) -> Vec<Value> {
        self.read(|site| site.customers.values().map(|customer| site.customer_json(customer)).collect())
    }

    /// The customer with this phone, however it is written.
    pub fn customer_by_tel(&self, tel: &str) -> Option<Value> {
        self.read(|site| site.customer_of(tel).map(|customer| site.customer_json(customer)))
    }

    /// All orders, oldest first.
    pub fn orders(&self) -> Vec<Value> {
        self.read(|site| site.orders.values().map(|order| site.order_json(order)).collect())
    }

    /// An order as the API writes it.
    pub fn order(&self, id: u64) -> Option<Value> {
        self.read(|site| site.orders.get(&id).map(|order| site.order_json(order)))
    }

    /// The orders that carry this `pos_id`.
    pub fn orders_by_pos_id(&self, pos_id: u64) -> Vec<Value> {
        let text = pos_id.to_string();
        let carries = |value: &Value| value.as_u64() == Some(pos_id) || value.as_str() == Some(&text);
        self.orders().into_iter().filter(|order| carries(&order["pos_id"])).collect()
    }

    /// Makes a customer.
    ///
    /// # Errors
    /// What Abaha says, such as that the phone exists.
    pub fn add_customer(&self, name: &str, tel: &str) -> Result<u64, String> {
        self.change(|site| site.create_customer(&json!({"name": name, "tel": tel})))
    }

    /// Makes a product; a code that exists already is allowed here, and makes an ambiguous one.
    ///
    /// # Errors
    /// What Abaha says.
    pub fn add_product(&self, code: &str, name: &str, price: impl Into<Decimal>, stock: i64) -> Result<u64, String> {
        let price = number(price.into());
        let given = json!({"name": name, "price": price, "price_sale": price, "quantity": stock});
        self.change(|site| site.add_product(code.to_owned(), &given))
    }

    /// Changes the given fields of a product, as its owner might behind the program's back.
    ///
    /// # Errors
    /// What Abaha says, such as that there is no such product.
    pub fn edit_product(&self, id: u64, fields: &Value) -> Result<(), String> {
        let mut given = fields.clone();
        given["id"] = id.into();
        self.change(|site| site.update_product(&given).map(|_| ()))
    }

    /// Deletes a product, as its owner might behind the program's back.
    ///
    /// # Errors
    /// When there is no such product.
    pub fn delete_product(&self, id: u64) -> Result<(), String> {
        self.change(|site| site.delete_product(id))
    }

    /// Places an order; product codes that the site does not know are kept as they are.
    ///
    /// # Errors
    /// What Abaha says, such as that a quantity is not positive.
    pub fn place_order(&self, order: &PlaceAbahaOrder) -> Result<u64, String> {
        self.change(|site| site.add_order(&order.written()))
    }

    /// Sets the status code, with other words for it where given.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn set_status(&self, id: u64, status: i64, status_view: Option<&str>) -> Result<(), String> {
        self.change(|site| {
            site.change_order(id, |order| {
                order.status = status;
                order.status_view = status_view.map(str::to_owned);
            })
        })
    }

    /// Sets the payment code: −1 cancelled, 0 unpaid, 5 paid.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn set_payment(&self, id: u64, payment: i64) -> Result<(), String> {
        self.change(|site| site.change_order(id, |order| order.payment = payment))
    }

    /// Marks an order as paid.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn pay(&self, id: u64) -> Result<(), String> {
        self.set_payment(id, 5)
    }

    /// Replaces an order's lines: product code, quantity, price.
    ///
    /// # Errors
    /// When there is no such order, or a quantity is not positive.
    pub fn change_lines(&self, id: u64, lines: &[(String, Decimal, Decimal)]) -> Result<(), String> {
        let order = PlaceAbahaOrder { lines: lines.to_vec(), ..PlaceAbahaOrder::default() };
        self.change(|site| site.change_lines(id, &order.written()["product_items"]))
    }

    /// Sends an order's webhook again, its time unmoved.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn send_again(&self, id: u64) -> Result<(), String> {
        self.change(|site| site.tell_order(id))
    }
}
