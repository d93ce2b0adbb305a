//! A new order, as a buyer places it on the site.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::order::{Deal, Order, OrderLine};
use super::state::State;
use crate::sandbox::clock::parse;

/// An order that a buyer places on a site.
#[derive(Clone, Debug)]
pub struct PlaceWebOrder {
    /// Variant and quantity of each line, at the variant's price; a variant that is gone keeps its id in the line.
    pub lines: Vec<(u64, Decimal)>,
    /// A line without a variant: its title and its price.
    pub free_form: Option<(String, Decimal)>,
    /// Who buys; none is nobody known.
    pub customer: Option<WebBuyer>,
    /// Whether it says where to deliver.
    pub address: bool,
    /// The shipping fee; 0 is none.
    pub shipping: Decimal,
    /// The discount on the whole order.
    pub discount: Decimal,
    /// `pending`, `authorized`, `partially_paid` (half of it), `paid`, `partially_refunded`, `refunded` or `voided`; any
    /// other word is `pending`.
    pub financial_status: String,
    /// Whether it is a trial.
    pub test: bool,
    /// When it was placed, ISO-8601; none is now.
    pub created_on: Option<String>,
}

impl Default for PlaceWebOrder {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            free_form: None,
            customer: Some(WebBuyer::default()),
            address: true,
            shipping: Decimal::ZERO,
            discount: Decimal::ZERO,
            financial_status: "pending".into(),
            test: false,
            created_on: None,
        }
    }
}

/// Who buys on a site.
#[derive(Clone, Debug)]
pub struct WebBuyer {
    /// Họ.
    pub last_name: String,
    /// Tên.
    pub first_name: String,
    /// The phone, written just so, usually `+84…`.
    pub phone: Option<String>,
    /// The e-mail.
    pub email: Option<String>,
}

impl Default for WebBuyer {
    /// The made-up person of the samples.
    fn default() -> Self {
        let (last_name, first_name) = ("Trần".to_owned(), "Thị Mẫu".to_owned());
        Self { last_name, first_name, phone: Some(SAMPLE_PHONE.to_owned()), email: None }
    }
}

/// A phone that stands in addresses even where the buyer has none: such a phone is nobody's identity.
const SAMPLE_PHONE: &str = "+84912000001";

impl State {
    /// Makes an order, takes its stock, and tells both.
    pub fn place_order(&mut self, new: PlaceWebOrder) -> u64 {
        let customer = new.customer.as_ref().map(|buyer| self.customer_for(buyer));
        let mut lines: Vec<OrderLine> =
            new.lines.iter().map(|(variant, quantity)| self.line_of(*variant, *quantity)).collect();
        if let Some((title, price)) = new.free_form {
            let id = self.next_id("line");
            let (variant, product, item, sku, option) = (None, None, None, None, None);
            lines.push(OrderLine { id, variant, product, item, sku, title, option, price, quantity: Decimal::ONE });
        }
        let (id, number, now) = (self.next_id("order"), self.count("order number"), self.clock.now());
        let created = new.created_on.as_deref().and_then(parse).unwrap_or(now);
        let address = new.address.then(|| address_of(new.customer.as_ref()));
        let (phone, email) = new.customer.map_or((None, None), |buyer| (buyer.phone, buyer.email));
        let order = Order {
            id,
            number,
            created,
            modified: now.max(created),
            cancelled: None,
            cancel_reason: None,
            closed: None,
            customer,
            phone,
            email,
            address,
            lines,
            shipping: new.shipping,
            discount: new.discount,
            gateway: "COD".into(),
            note: None,
            tags: String::new(),
            test: new.test,
            transactions: Vec::new(),
            fulfillments: Vec::new(),
            text_money: false,
            overlay: Map::new(),
        };
        let sold: Vec<(u64, Decimal)> =
            order.lines.iter().filter_map(|line| Some((line.variant?, line.quantity))).collect();
        if let Some(customer) = customer.and_then(|id| self.customers.get_mut(&id)) {
            customer.orders += 1;
        }
        self.orders.insert(id, order);
        self.settle_money(id, &new.financial_status);
        for (variant, quantity) in sold {
            self.sell(variant, |level| level.committed += quantity);
        }
        let paid = self.orders.get(&id).is_some_and(|order| order.financial() == "paid");
        self.tell_order(id, if paid { &["orders/create", "orders/paid"] } else { &["orders/create"] });
        id
    }

    fn line_of(&mut self, variant: u64, quantity: Decimal) -> OrderLine {
        let id = self.next_id("line");
        let title =
            self.homes.get(&variant).and_then(|home| self.products.get(home)).map(|product| product.name.clone());
        let found = self.variant(variant);
        OrderLine {
            id,
            variant: Some(variant),
            product: self.homes.get(&variant).copied(),
            item: found.map(|found| found.item),
            sku: found.map(|found| found.sku.clone()),
            title: title.unwrap_or_default(),
            option: found.map(|found| found.option.clone()),
            price: found.map(|found| found.price).unwrap_or_default(),
            quantity,
        }
    }

    /// Moves the money that a new order's payment state stands for.
    fn settle_money(&mut self, id: u64, word: &str) {
        let Some(total) = self.orders.get(&id).map(Order::total) else {
            return;
        };
        let half = (total / Decimal::TWO).floor();
        let moved: &[(Deal, Decimal)] = match word {
            "authorized" => &[(Deal::Authorization, total)],
            "partially_paid" => &[(Deal::Sale, half)],
            "paid" => &[(Deal::Sale, total)],
            "partially_refunded" => &[(Deal::Sale, total), (Deal::Refund, half)],
            "refunded" => &[(Deal::Sale, total), (Deal::Refund, total)],
            "voided" => &[(Deal::Authorization, total), (Deal::Void, total)],
            _ => &[],
        };
        for (deal, amount) in moved {
            self.move_money(id, *deal, *amount);
        }
    }
}

fn address_of(buyer: Option<&WebBuyer>) -> Value {
    let usual = WebBuyer::default();
    let buyer = buyer.unwrap_or(&usual);
    json!({
        "address1": "Số 1 phố Thử Nghiệm",
        "address2": null,
        "city": null,
        "first_name": buyer.first_name,
        "last_name": buyer.last_name,
        "phone": buyer.phone.as_deref().unwrap_or(SAMPLE_PHONE),
        "province": "Hà Nội",
        "province_code": "1",
        "zip": null,
        "country": "Vietnam",
        "country_code": "VN",
        "name": format!("{} {}", buyer.last_name, buyer.first_name).trim(),
        "district": "Quận Mẫu",
        "district_code": "1",
        "ward": "Phường Mẫu",
        "ward_code": "00001"
    })
}
