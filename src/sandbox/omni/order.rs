//! An order's state, and what follows from it: totals, stages, payment.

use rust_decimal::Decimal;
use serde_json::Value;

/// The status field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Draft,
    Finalized,
    Completed,
    Cancelled,
    Finished,
}

impl Status {
    /// As Omni writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Finalized => "finalized",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }
}

/// One line; it can never be changed.
#[derive(Clone, Debug)]
pub(crate) struct OrderLine {
    pub id: u64,
    /// None for a free-form line.
    pub variant: Option<u64>,
    pub product: Option<u64>,
    pub name: String,
    pub sku: Option<String>,
    pub option: Option<String>,
    pub unit: Option<String>,
    pub price: Decimal,
    pub quantity: Decimal,
    pub discount: Decimal,
    pub tax_rate: Decimal,
    pub composite: bool,
}

impl OrderLine {
    /// Price times quantity, less the line's discount.
    pub fn amount(&self) -> Decimal {
        self.price * self.quantity - self.discount
    }
}

/// Money that was paid before delivery.
#[derive(Clone, Debug)]
pub(crate) struct Prepayment {
    pub id: u64,
    pub method: u64,
    pub amount: Decimal,
    pub reference: Option<String>,
    pub note: Option<String>,
    pub paid_on: i64,
    pub created: i64,
}

/// How far a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParcelStatus {
    Packed,
    Shipped,
    Received,
    Cancelled,
}

/// A parcel, which Omni calls a fulfillment.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub id: u64,
    pub status: ParcelStatus,
    pub location: u64,
    /// Order line and quantity.
    pub items: Vec<(u64, Decimal)>,
    pub packed: i64,
    pub shipped: Option<i64>,
    pub received: Option<i64>,
    pub modified: i64,
}

impl Parcel {
    /// Whether it has left the shop.
    pub fn is_out(&self) -> bool {
        matches!(self.status, ParcelStatus::Shipped | ParcelStatus::Received)
    }
}

/// A return slip.
#[derive(Clone, Debug)]
pub(crate) struct OrderReturn {
    pub id: u64,
    pub items: Vec<(u64, Decimal)>,
    pub created: i64,
}

/// An order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub id: u64,
    pub code: String,
    pub created: i64,
    pub modified: i64,
    pub location: u64,
    pub account: Option<u64>,
    pub assignee: Option<u64>,
    pub customer: Option<u64>,
    pub customer_data: Value,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub reference: Option<String>,
    pub billing: Value,
    pub shipping: Value,
    pub price_list: u64,
    pub tax_treatment: String,
    pub source: u64,
    pub discount: Decimal,
    pub discount_reason: Option<String>,
    pub fee: Option<Decimal>,
    pub fee_name: Option<String>,
    pub note: Option<String>,
    pub tags: Vec<String>,
    pub status: Status,
    pub lines: Vec<OrderLine>,
    pub prepayments: Vec<Prepayment>,
    pub parcels: Vec<Parcel>,
    pub returns: Vec<OrderReturn>,
    pub finalized: Option<i64>,
    pub completed: Option<i64>,
    pub cancelled: Option<i64>,
    pub finished: Option<i64>,
}

impl Order {
    /// The tax on top: none where prices include it.
    pub fn tax(&self) -> Decimal {
        if self.tax_treatment != "exclusive" {
            return Decimal::ZERO;
        }
        self.lines.iter().map(|line| (line.amount() * line.tax_rate / Decimal::ONE_HUNDRED).round()).sum()
    }

    /// What the customer owes: lines less discount, plus fee and tax.
    pub fn total(&self) -> Decimal {
        let lines: Decimal = self.lines.iter().map(OrderLine::amount).sum();
        lines - self.discount + self.fee.unwrap_or_default() + self.tax()
    }

    /// What has been paid.
    pub fn paid(&self) -> Decimal {
        self.prepayments.iter().map(|payment| payment.amount).sum()
    }

    /// What is ordered.
    pub fn ordered(&self) -> Decimal {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// What is in parcels that match.
    pub fn in_parcels(&self, wanted: impl Fn(&Parcel) -> bool) -> Decimal {
        self.parcels
            .iter()
            .filter(|parcel| wanted(parcel))
            .flat_map(|parcel| &parcel.items)
            .map(|(_, quantity)| quantity)
            .sum()
    }

    /// What of one line is in parcels that match.
    pub fn line_in_parcels(&self, line: u64, wanted: impl Fn(&Parcel) -> bool) -> Decimal {
        let items = self.parcels.iter().filter(|parcel| wanted(parcel)).flat_map(|parcel| &parcel.items);
        items.filter(|(id, _)| *id == line).map(|(_, quantity)| quantity).sum()
    }

    /// What has come back of one line.
    pub fn line_returned(&self, line: u64) -> Decimal {
        let items = self.returns.iter().flat_map(|slip| &slip.items);
        items.filter(|(id, _)| *id == line).map(|(_, quantity)| quantity).sum()
    }

    /// What has come back.
    pub fn returned(&self) -> Decimal {
        self.returns.iter().flat_map(|slip| &slip.items).map(|(_, quantity)| quantity).sum()
    }

    /// Whether everything has reached the customer.
    pub fn is_received(&self) -> bool {
        self.in_parcels(|parcel| parcel.status == ParcelStatus::Received) >= self.ordered()
    }

    /// `unpaid`, `partial` or `paid`.
    pub fn payment_word(&self) -> &'static str {
        stage(self.paid(), self.total(), ["unpaid", "partial", "paid"])
    }

    /// `unpacked`, `partial` or `packed`.
    pub fn packed_word(&self) -> &'static str {
        let packed = self.in_parcels(|parcel| parcel.status != ParcelStatus::Cancelled);
        stage(packed, self.ordered(), ["unpacked", "partial", "packed"])
    }

    /// `unshipped`, `partial` or `shipped`.
    pub fn shipped_word(&self) -> &'static str {
        stage(self.in_parcels(Parcel::is_out), self.ordered(), ["unshipped", "partial", "shipped"])
    }

    /// `unreceived`, `partial` or `received`.
    pub fn received_word(&self) -> &'static str {
        let received = self.in_parcels(|parcel| parcel.status == ParcelStatus::Received);
        stage(received, self.ordered(), ["unreceived", "partial", "received"])
    }

    /// `unreturned`, `partial` or `returned`.
    pub fn returned_word(&self) -> &'static str {
        stage(self.returned(), self.ordered(), ["unreturned", "partial", "returned"])
    }
}

/// None, some or all of a whole.
fn stage(part: Decimal, whole: Decimal, words: [&'static str; 3]) -> &'static str {
    if part <= Decimal::ZERO {
        words[0]
    } else if part < whole {
        words[1]
    } else {
        words[2]
    }
}
