//! An order's state, and what follows from it: totals, payment, delivery.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// One line; it can never be changed.
#[derive(Clone, Debug)]
pub(crate) struct OrderLine {
    pub id: u64,
    /// None for a free-form line.
    pub variant: Option<u64>,
    pub product: Option<u64>,
    pub item: Option<u64>,
    pub sku: Option<String>,
    pub title: String,
    pub option: Option<String>,
    pub price: Decimal,
    pub quantity: Decimal,
}

/// What happened to money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deal {
    /// It was promised.
    Authorization,
    /// It came.
    Sale,
    /// It went back.
    Refund,
    /// The promise was taken back.
    Void,
}

impl Deal {
    /// As Sapo Web writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Sale => "sale",
            Self::Refund => "refund",
            Self::Void => "void",
        }
    }

    /// Reads a word; `capture` is money that came, too.
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "authorization" => Self::Authorization,
            "sale" | "capture" => Self::Sale,
            "refund" => Self::Refund,
            "void" => Self::Void,
            _ => return None,
        })
    }
}

/// One movement of money.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub id: u64,
    pub deal: Deal,
    pub amount: Decimal,
    pub gateway: String,
    pub created: i64,
}

/// A parcel that has left.
#[derive(Clone, Debug)]
pub(crate) struct Fulfillment {
    pub id: u64,
    /// Order line and quantity.
    pub items: Vec<(u64, Decimal)>,
    pub tracking: Option<String>,
    pub created: i64,
}

/// An order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub id: u64,
    /// 1 is `#1001`.
    pub number: u64,
    pub created: i64,
    pub modified: i64,
    pub cancelled: Option<i64>,
    pub cancel_reason: Option<String>,
    pub closed: Option<i64>,
    pub customer: Option<u64>,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub address: Option<Value>,
    pub lines: Vec<OrderLine>,
    pub shipping: Decimal,
    pub discount: Decimal,
    pub gateway: String,
    pub note: Option<String>,
    pub tags: String,
    pub test: bool,
    pub transactions: Vec<Transaction>,
    pub fulfillments: Vec<Fulfillment>,
    /// Whether its money is written as strings.
    pub text_money: bool,
    /// Top-level fields that a test has set to something of its own.
    pub overlay: Map<String, Value>,
}

impl Order {
    /// As buyers see it, `#1001`.
    pub fn name(&self) -> String {
        format!("#{}", 1000 + self.number)
    }

    /// `open`, `closed` or `cancelled`.
    pub fn status(&self) -> &'static str {
        match (self.cancelled, self.closed) {
            (Some(_), _) => "cancelled",
            (None, Some(_)) => "closed",
            (None, None) => "open",
        }
    }

    /// The lines' worth.
    pub fn goods(&self) -> Decimal {
        self.lines.iter().map(|line| line.price * line.quantity).sum()
    }

    /// What the buyer owes.
    pub fn total(&self) -> Decimal {
        self.goods() - self.discount + self.shipping
    }

    /// How much money moved in a way.
    pub fn sum(&self, deal: Deal) -> Decimal {
        self.transactions.iter().filter(|moved| moved.deal == deal).map(|moved| moved.amount).sum()
    }

    /// What has not come yet.
    pub fn unpaid(&self) -> Decimal {
        (self.total() - self.sum(Deal::Sale)).max(Decimal::ZERO)
    }

    /// `financial_status`.
    pub fn financial(&self) -> &'static str {
        let (came, back) = (self.sum(Deal::Sale), self.sum(Deal::Refund));
        let has = |deal| self.transactions.iter().any(|moved| moved.deal == deal);
        if back > Decimal::ZERO {
            return if back >= came { "refunded" } else { "partially_refunded" };
        }
        if has(Deal::Void) {
            "voided"
        } else if came >= self.total() {
            "paid"
        } else if came > Decimal::ZERO {
            "partially_paid"
        } else if has(Deal::Authorization) {
            "authorized"
        } else {
            "pending"
        }
    }

    /// How much of a line has left.
    pub fn sent(&self, line: u64) -> Decimal {
        let items = self.fulfillments.iter().flat_map(|parcel| &parcel.items);
        items.filter(|(id, _)| *id == line).map(|(_, quantity)| quantity).sum()
    }

    /// `fulfillment_status`.
    pub fn fulfillment(&self) -> Option<&'static str> {
        if self.fulfillments.is_empty() {
            return None;
        }
        let all = self.lines.iter().all(|line| self.sent(line.id) >= line.quantity);
        Some(if all { "fulfilled" } else { "partial" })
    }
}
