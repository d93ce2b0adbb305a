//! Orders, Sapo Web → POS (guide W, "Orders Web → POS" and "Customers"): what is created, for whom, and where it goes.

use rust_decimal::Decimal;

use crate::domain::connection::{Identity, Settings};
use crate::domain::customer::PosCustomer;
use crate::domain::order::{ChannelLine, ChannelOrder, NewPosOrder};
use crate::domain::phone::Phone;
use crate::domain::web::{Address, WebOrder};
use crate::map::abaha::customer::GUEST;
use crate::map::abaha::order::{self as shared, OrderProblem, ResolvedPosLine, check_channel_order};
use crate::map::totals::TotalProblem;

/// What tells a web's customer on the POS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// By this phone number.
    ByPhone(Phone),
    /// By this e-mail, in lower case.
    ByEmail(String),
}

impl Identified {
    /// The identity of an order's customer, where it has a usable one.
    pub fn of(order: &WebOrder, identity: Identity) -> Option<Self> {
        match identity {
            Identity::Phone => phone(order).map(Self::ByPhone),
            Identity::Email => email(order).map(Self::ByEmail),
        }
    }

    /// Whether a POS customer has it.
    pub fn is_of(&self, customer: &PosCustomer) -> bool {
        match self {
            Self::ByPhone(phone) => {
                customer.phone.as_deref().and_then(|text| Phone::parse(text).ok()).as_ref() == Some(phone)
            }
            Self::ByEmail(email) => customer.email.as_deref().and_then(usable_email).as_ref() == Some(email),
        }
    }

    /// The natural key of the customer that is made for it.
    pub fn key(&self) -> &str {
        match self {
            Self::ByPhone(phone) => phone.as_e164(),
            Self::ByEmail(email) => email,
        }
    }

    /// What it is, in words.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ByPhone(_) => "phone number",
            Self::ByEmail(_) => "e-mail",
        }
    }
}

/// The phone of an order's customer, else the order's own; never one of an address, which may be the recipient's.
pub fn phone(order: &WebOrder) -> Option<Phone> {
    let buyer = order.buyer.as_ref().and_then(|buyer| buyer.phone.as_deref());
    [buyer, order.phone.as_deref()].into_iter().flatten().find_map(|text| Phone::parse(text).ok())
}

/// The e-mail of an order's customer, else the order's own, in lower case.
pub fn email(order: &WebOrder) -> Option<String> {
    let buyer = order.buyer.as_ref().and_then(|buyer| buyer.email.as_deref());
    [buyer, order.email.as_deref()].into_iter().flatten().find_map(usable_email)
}

/// An e-mail as a key: trimmed, in lower case, one `@` with something on both sides and no blank.
fn usable_email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (name, host) = text.split_once('@')?;
    let fine = !name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace);
    fine.then_some(text)
}

/// The name a new POS customer gets: Họ, then Tên.
pub fn name(order: &WebOrder) -> String {
    let whole = order.buyer.as_ref().map(|buyer| format!("{} {}", buyer.last_name.trim(), buyer.first_name.trim()));
    whole.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| GUEST.to_owned())
}

/// A web's order in the shape that every channel's order is created, compared and paid in. A line is named by its
/// variant's id alone: the ids are the link, whatever the SKU says.
pub fn carried(order: &WebOrder) -> ChannelOrder {
    let lines = order.lines.iter().map(|line| ChannelLine {
        product_id: line.variant_id.clone(),
        code: line.variant_id.clone().unwrap_or_default(),
        name: line.name.clone(),
        price: line.price,
        quantity: line.quantity,
    });
    ChannelOrder {
        id: order.id.clone(),
        code: Some(order.name.clone()),
        lines: lines.collect(),
        discount: order.discount,
        fee: order.shipping,
        total: order.total,
        note: order.note.clone(),
        created_at: order.created_at,
        version: order.version,
        ..ChannelOrder::default()
    }
}

/// Checks an order before anything is looked up for it, and gives its total.
///
/// Tax on top of the prices has no place on the POS's order, whose prices include it: then both sums are shown.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn check(order: &WebOrder) -> Result<Decimal, OrderProblem> {
    let taxed = |stated, computed| TotalProblem::Mismatch { stated, computed, tax: order.tax }.into();
    match check_channel_order(&carried(order)) {
        Err(OrderProblem::Totals(TotalProblem::Mismatch { stated, computed, .. })) => Err(taxed(stated, computed)),
        Ok(total) if order.total.is_none() && !order.tax.is_zero() => {
            Err(taxed(total.checked_add(order.tax).ok_or(TotalProblem::TooLarge)?, total))
        }
        other => other,
    }
}

/// Makes a new POS order of a web's; `lines` are its lines' variants, in their order.
///
/// # Errors
/// [`OrderProblem`]; nothing may be created then.
pub fn to_pos(
    order: &WebOrder,
    lines: &[ResolvedPosLine],
    customer_id: Option<String>,
    tag: String,
    settings: &Settings,
    branch: u64,
) -> Result<NewPosOrder, OrderProblem> {
    check(order)?;
    let new = shared::to_pos(&carried(order), lines, customer_id, phone(order).as_ref(), tag, settings, branch)?;
    Ok(NewPosOrder {
        email: email(order),
        shipping_address: order.shipping_address.as_ref().and_then(address),
        billing_address: order.billing_address.as_ref().and_then(address),
        ..new
    })
}

/// An address with its first line; its phone as the POS writes phones, where it is one.
fn address(address: &Address) -> Option<Address> {
    let phone = Phone::parse(&address.phone).map_or_else(|_| address.phone.clone(), |phone| phone.national());
    let fine = !address.address1.trim().is_empty();
    fine.then(|| Address { phone, ..address.clone() })
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
