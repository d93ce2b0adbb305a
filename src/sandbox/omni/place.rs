//! A new order: what Omni demands of it, and what it makes of it.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::order::{Order, OrderLine, Status};
use super::shop::{Kind, Refusal, Ruled, Shop};
use crate::sandbox::amount::{decimal, text, whole};
use crate::sandbox::clock::parse;

impl Shop {
    /// Makes an order as `POST orders` does; `created_on` is heeded for the owner's own orders alone.
    pub fn post_order(&mut self, body: &Value, location: u64) -> Ruled<u64> {
        let mut given = body["order"].clone();
        if !given.is_object() {
            return Err(Refusal::field("order", "may not be null"));
        }
        given["created_on"] = Value::Null;
        self.place_order(&given, location)
    }

    /// Makes an order, and tells it.
    pub fn place_order(&mut self, given: &Value, location: u64) -> Ruled<u64> {
        let errors = self.order_errors(given);
        if !errors.is_empty() {
            return Err(Refusal::fields(&errors));
        }
        let approve = given["status"] == "finalized";
        let (id, now) = (self.next_id("order"), self.clock.now());
        let created = text(&given["created_on"]).and_then(|time| parse(&time)).unwrap_or(now);
        let customer = whole(&given["customer_id"]).and_then(|id| self.customers.get(&id));
        let customer_data = customer.map_or(Value::Null, |customer| self.customer_json(customer));
        let listed = given["order_line_items"].as_array().cloned().unwrap_or_default();
        let lines = listed.iter().map(|line| self.make_line(line)).collect();
        let fee = decimal(&given["delivery_fee"]["fee"]);
        let order = Order {
            id,
            code: format!("SON{:06}", id - 14_800_000),
            created,
            modified: now.max(created),
            location,
            account: whole(&given["account_id"]).or(Some(72_001)),
            assignee: whole(&given["assignee_id"]).or(Some(72_001)),
            customer: whole(&given["customer_id"]),
            customer_data,
            phone: text(&given["phone_number"]),
            email: text(&given["email"]),
            reference: text(&given["reference_number"]),
            billing: given["billing_address"].clone(),
            shipping: given["shipping_address"].clone(),
            price_list: whole(&given["price_list_id"]).unwrap_or(167_001),
            tax_treatment: text(&given["tax_treatment"]).unwrap_or_default(),
            source: whole(&given["source_id"]).unwrap_or(387_001),
            discount: decimal(&given["order_discount_value"]).unwrap_or_default(),
            discount_reason: text(&given["discount_reason"]),
            fee,
            fee_name: fee
                .map(|_| text(&given["delivery_fee"]["shipping_cost_name"]).unwrap_or_else(|| "Phí giao hàng".into())),
            note: text(&given["note"]),
            tags: tags(&given["tags"]),
            status: Status::Draft,
            lines,
            prepayments: Vec::new(),
            parcels: Vec::new(),
            returns: Vec::new(),
            finalized: None,
            completed: None,
            cancelled: None,
            finished: None,
        };
        self.orders.insert(id, order);
        if approve {
            self.commit_order(id);
        }
        let topics: &[&str] = if approve { &["orders/create", "orders/finalized"] } else { &["orders/create"] };
        self.tell_order(id, topics);
        Ok(id)
    }

    /// Everything that is wrong with a new order, by field.
    fn order_errors(&self, given: &Value) -> Map<String, Value> {
        let mut errors = Map::new();
        let mut wrong = |field: &str, message: &str| errors.insert(field.to_owned(), json!(message));
        if text(&given["tax_treatment"]).is_none() {
            wrong("tax_treatment", "may not be null");
        }
        for address in ["shipping_address", "billing_address"] {
            if given[address].is_object() && text(&given[address]["address1"]).is_none() {
                wrong(&format!("{address}.address1"), "may not be empty");
            }
        }
        if !matches!(given["status"].as_str(), None | Some("draft" | "finalized")) {
            wrong("status", "Trạng thái đơn hàng không hợp lệ");
        }
        if !given["customer_id"].is_null()
            && !whole(&given["customer_id"]).is_some_and(|id| self.customers.contains_key(&id))
        {
            wrong("customer_id", "Khách hàng không tồn tại");
        }
        for (field, list, message) in [
            ("source_id", "order_sources", "Nguồn bán hàng không tồn tại"),
            ("account_id", "accounts", "Nhân viên không tồn tại"),
            ("assignee_id", "accounts", "Nhân viên không tồn tại"),
            ("price_list_id", "price_lists", "Chính sách giá không tồn tại"),
            ("expected_payment_method_id", "payment_methods", "Phương thức thanh toán không tồn tại"),
        ] {
            if !given[field].is_null() && !whole(&given[field]).is_some_and(|id| self.has_setting(list, id)) {
                wrong(field, message);
            }
        }
        let lines = given["order_line_items"].as_array().map_or(&[][..], Vec::as_slice);
        if lines.is_empty() {
            wrong("order_line_items", "may not be empty");
        }
        for (index, line) in lines.iter().enumerate() {
            let variant = whole(&line["variant_id"]);
            let freeform = line["is_freeform"] == true && text(&line["product_name"]).is_some();
            if !(variant.is_some_and(|id| self.homes.contains_key(&id)) || variant.is_none() && freeform) {
                wrong(&format!("order_line_items[{index}].variant_id"), "Phiên bản sản phẩm không tồn tại");
            }
            if decimal(&line["quantity"]).is_none_or(|quantity| quantity <= Decimal::ZERO) {
                wrong(&format!("order_line_items[{index}].quantity"), "must be greater than 0");
            }
            if decimal(&line["price"]).is_none_or(|price| price < Decimal::ZERO) {
                wrong(&format!("order_line_items[{index}].price"), "may not be null");
            }
        }
        errors
    }

    fn make_line(&mut self, given: &Value) -> OrderLine {
        let id = self.next_id("line");
        let variant = whole(&given["variant_id"]).and_then(|id| self.variant(id));
        OrderLine {
            id,
            variant: variant.map(|variant| variant.id),
            product: variant.and_then(|variant| self.homes.get(&variant.id).copied()),
            name: variant
                .map(|variant| variant.name.clone())
                .or_else(|| text(&given["product_name"]))
                .unwrap_or_default(),
            sku: variant.map(|variant| variant.sku.clone()),
            option: variant.map(|variant| variant.option.clone()),
            unit: variant.and_then(|variant| variant.unit.clone()),
            composite: variant.is_some_and(|variant| matches!(variant.kind, Kind::Combo(_))),
            price: decimal(&given["price"]).unwrap_or_default(),
            quantity: decimal(&given["quantity"]).unwrap_or_default(),
            discount: decimal(&given["discount_amount"])
                .or_else(|| decimal(&given["discount_value"]))
                .unwrap_or_default(),
            tax_rate: decimal(&given["tax_rate"]).unwrap_or_default(),
        }
    }

    /// Changes what may still be changed of an order: its items may not.
    pub fn put_order(&mut self, id: u64, body: &Value) -> Ruled<()> {
        let given = &body["order"];
        let order = self.orders.get_mut(&id).ok_or_else(Refusal::no_order)?;
        if order.status == Status::Cancelled {
            return Err(Refusal::field("", "Đơn hàng đã bị hủy"));
        }
        if !given["order_line_items"].is_null() {
            return Err(Refusal::field("order_line_items", "Không thể thay đổi sản phẩm của đơn hàng"));
        }
        for (field, target) in
            [("note", &mut order.note), ("reference_number", &mut order.reference), ("phone_number", &mut order.phone)]
        {
            if given.get(field).is_some() {
                *target = text(&given[field]);
            }
        }
        if given.get("tags").is_some() {
            order.tags = tags(&given["tags"]);
        }
        self.order_changed(id, &[]);
        Ok(())
    }
}

/// Tags as a list, or as one text with commas.
fn tags(given: &Value) -> Vec<String> {
    match given {
        Value::Array(list) => list.iter().filter_map(text).collect(),
        Value::String(joined) => {
            joined.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}
