//! Orders: placed through the API or by people, and changed.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::site::{Order, OrderLine, Ruled, Site};
use crate::sandbox::amount::{decimal, number, signed, text, whole};
use crate::sandbox::clock::{iso, parse};

/// An order that a person places in the app.
#[derive(Clone, Debug)]
pub struct PlaceAbahaOrder {
    /// The phone, written just so.
    pub tel: String,
    /// The receiver's name.
    pub name: String,
    /// Product code, quantity and price of each line; unknown codes are kept as they are.
    pub lines: Vec<(String, Decimal, Decimal)>,
    /// The discount on the whole order.
    pub discount: Decimal,
    /// The shipping fee.
    pub fee: Decimal,
    /// A note.
    pub note: Option<String>,
    /// Whether it is paid already.
    pub paid: bool,
    /// The status code, 5 (ordered) by default.
    pub status: i64,
    /// When it was placed, ISO-8601; none is now.
    pub created_at: Option<String>,
}

impl Default for PlaceAbahaOrder {
    fn default() -> Self {
        Self {
            tel: "0912000001".into(),
            name: "Trần Thị Mẫu".into(),
            lines: Vec::new(),
            discount: Decimal::ZERO,
            fee: Decimal::ZERO,
            note: None,
            paid: false,
            status: 5,
            created_at: None,
        }
    }
}

impl PlaceAbahaOrder {
    /// The order in its written form.
    pub(crate) fn written(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|(code, quantity, price)| json!({"product_code": code, "quantity": number(*quantity), "price": number(*price)}))
            .collect();
        json!({
            "product_items": lines,
            "discount": {"price": number(self.discount), "name": "Mã giảm giá"},
            "fee": {"price": number(self.fee), "name": "Phí ship"},
            "tel": self.tel,
            "name": self.name,
            "user_note": self.note,
            "status": self.status,
            "payment_status": if self.paid { 5 } else { 0 },
            "created_at": self.created_at
        })
    }
}

impl Site {
    /// Makes an order as `order/create` does. There is no key against doing it twice.
    pub fn create_order(&mut self, given: &Value) -> Ruled<u64> {
        let lines = given["product_items"].as_array().map_or(&[][..], Vec::as_slice);
        if lines.is_empty() {
            return Err("Thiếu sản phẩm".into());
        }
        for line in lines {
            let code = text(&line["product_code"]).unwrap_or_default();
            if self.product_of(&code).is_none() {
                return Err("Sản phẩm không tồn tại".into());
            }
        }
        text(&given["tel"]).ok_or("Thiếu số điện thoại")?;
        let mut given = given.clone();
        given["created_at"] = Value::Null;
        self.add_order(&given)
    }

    /// Makes an order, whatever its product codes, and tells it.
    pub fn add_order(&mut self, given: &Value) -> Ruled<u64> {
        let lines = self.read_lines(&given["product_items"])?;
        let (id, now) = (self.next_id(900_001), self.clock.now());
        let created = text(&given["created_at"]).and_then(|time| parse(&time)).unwrap_or(now);
        let tel = text(&given["tel"]).unwrap_or_default();
        let customer = self.customer_of(&tel).map(|customer| (customer.id, customer.name.clone()));
        let kept = |field: &str| {
            if self.keeps_pos_id { given[field].clone() } else { Value::Null }
        };
        let order = Order {
            id,
            code: format!("ABH{:06}", id - 900_000),
            status: signed(&given["status"]).unwrap_or(5),
            status_view: None,
            payment: signed(&given["payment_status"]).unwrap_or(0),
            lines,
            discount: decimal(&given["discount"]["price"]).unwrap_or_default(),
            discount_name: text(&given["discount"]["name"]).unwrap_or_default(),
            fee: decimal(&given["fee"]["price"]).unwrap_or_default(),
            fee_name: text(&given["fee"]["name"]).unwrap_or_default(),
            name: text(&given["name"]).or_else(|| customer.as_ref().map(|(_, name)| name.clone())).unwrap_or_default(),
            customer: customer.map(|(id, _)| id),
            tel,
            note: text(&given["user_note"]).unwrap_or_default(),
            pos_id: kept("pos_id"),
            pos_type: kept("pos_type"),
            orders_time: text(&given["orders_time"]).unwrap_or_else(|| iso(created)[..10].to_owned()),
            created,
            updated: now.max(created),
        };
        let body = self.order_json(&order);
        self.orders.insert(id, order);
        self.tell("order.created", id, body);
        Ok(id)
    }

    /// Changes status or payment as `order/update` does.
    pub fn update_order(&mut self, given: &Value) -> Ruled<u64> {
        let id = whole(&given["id"]).unwrap_or_default();
        let number_of = |field: &str| match &given[field] {
            Value::Null => Ok(None),
            value => signed(value).map(Some).ok_or("Trạng thái không hợp lệ"),
        };
        let (status, payment) = (number_of("status")?, number_of("payment_status")?);
        let (pos_id, pos_type) = (&given["pos_id"], &given["pos_type"]);
        let keeps = self.keeps_pos_id;
        self.change_order(id, |order| {
            if let Some(status) = status {
                order.status = status;
                order.status_view = None;
            }
            order.payment = payment.unwrap_or(order.payment);
            if keeps && !pos_id.is_null() {
                order.pos_id = pos_id.clone();
                order.pos_type = pos_type.clone();
            }
        })?;
        Ok(id)
    }

    /// Changes an order's lines, which an app's people can.
    pub fn change_lines(&mut self, id: u64, lines: &Value) -> Ruled<()> {
        let lines = self.read_lines(lines)?;
        self.change_order(id, |order| order.lines = lines)
    }

    /// Changes an order, moves its time on, and tells it.
    pub fn change_order(&mut self, id: u64, change: impl FnOnce(&mut Order)) -> Ruled<()> {
        let clock = self.clock;
        let order = self.orders.get_mut(&id).ok_or("Đơn hàng không tồn tại")?;
        change(order);
        order.updated = clock.after(order.updated);
        self.tell_order(id)
    }

    /// Tells an order as changed, whether it has or not.
    pub fn tell_order(&mut self, id: u64) -> Ruled<()> {
        let body = self.orders.get(&id).map(|order| self.order_json(order)).ok_or("Đơn hàng không tồn tại")?;
        self.tell("order.updated", id, body);
        Ok(())
    }

    fn read_lines(&self, given: &Value) -> Ruled<Vec<OrderLine>> {
        let read = given.as_array().into_iter().flatten().map(|line| {
            let code = text(&line["product_code"]).unwrap_or_default();
            let product = self.product_of(&code);
            let quantity = decimal(&line["quantity"])
                .filter(|quantity| *quantity > Decimal::ZERO)
                .ok_or("Số lượng không hợp lệ")?;
            let name = text(&line["name"]).or_else(|| product.map(|product| product.name.clone())).unwrap_or_default();
            let price = decimal(&line["price"])
                .or_else(|| product.map(|product| product.price_sale))
                .ok_or("Giá không hợp lệ")?;
            Ok(OrderLine { product: product.map(|product| product.id), code, name, quantity, price })
        });
        read.collect()
    }
}
