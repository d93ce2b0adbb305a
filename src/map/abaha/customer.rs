//! A Sapo customer as an Abaha customer (guide A, "Customers").

use unicode_normalization::UnicodeNormalization;

use crate::domain::connection::CustomerName;
use crate::domain::customer::{NewCustomer, PosCustomer};
use crate::domain::order::PosOrder;
use crate::domain::phone::{NotAKey, Phone};

/// The name that customers arrive with (guide A).
pub const GUEST: &str = "Khách";

/// Sapo's default name, which is nobody's.
const WALK_IN: &str = "khách lẻ";

/// Makes a new customer of one that has a phone number; never with an address.
///
/// # Errors
/// Says why the phone number is not a key; such a customer is not pushed.
pub fn new_customer(customer: &PosCustomer, naming: CustomerName) -> Result<NewCustomer, NotAKey> {
    let phone = Phone::parse(customer.phone.as_deref().unwrap_or_default())?;
    let name = match naming {
        CustomerName::Khach => GUEST.to_owned(),
        CustomerName::Sapo => real_name(&customer.name).unwrap_or_else(|| GUEST.to_owned()),
    };
    Ok(NewCustomer { name, phone: phone.national() })
}

/// The name as typed, where it is one: not empty, not *Khách lẻ*, and not a phone number in any written form.
fn real_name(typed: &str) -> Option<String> {
    let name = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    let folded = name.nfc().collect::<String>().to_lowercase();
    (!name.is_empty() && folded != WALK_IN && Phone::parse(&name).is_err()).then_some(name)
}

/// The customer and the phone that names them on the channel: the customer's, else the order's, never an address's.
/// An order without a customer has one without an id.
pub fn of_order(order: &PosOrder) -> Option<(PosCustomer, Phone)> {
    let customer = order.customer.clone().unwrap_or_default();
    let own = customer.phone.as_deref().and_then(|text| Phone::parse(text).ok());
    let phone = own.or_else(|| order.phone.as_deref().and_then(|text| Phone::parse(text).ok()))?;
    let id = if customer.id.is_empty() { order.customer_id.clone().unwrap_or_default() } else { customer.id.clone() };
    Some((PosCustomer { id, ..customer }, phone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(name: &str, phone: Option<&str>) -> PosCustomer {
        PosCustomer { name: name.into(), phone: phone.map(Into::into), ..PosCustomer::default() }
    }

    #[test]
    fn everybody_is_called_khach_unless_the_shop_wants_names() {
        let new = new_customer(&customer("Trần Thị Mẫu", Some("+84 912 000 001")), CustomerName::Khach).unwrap();
        assert_eq!(new, NewCustomer { name: "Khách".into(), phone: "0912000001".into() });
    }

    #[test]
    fn a_name_that_is_none_becomes_khach() {
        let cases = [
            ("  Trần  Thị Mẫu ", "Trần Thị Mẫu"),
            ("Khách lẻ Nam", "Khách lẻ Nam"),
            ("", "Khách"),
            (" \t", "Khách"),
            ("Khách lẻ", "Khách"),
            (" KHÁCH  LẺ ", "Khách"),
            ("Kha\u{301}ch le\u{309}", "Khách"),
            ("0912000001", "Khách"),
            ("+84 912 000 001", "Khách"),
            ("84912000001", "Khách"),
            ("912.000.001", "Khách"),
            ("0981234567", "Khách"),
        ];
        for (typed, name) in cases {
            let new = new_customer(&customer(typed, Some("0912000001")), CustomerName::Sapo).unwrap();
            assert_eq!(new.name, name, "{typed:?}");
        }
    }

    #[test]
    fn without_a_number_that_is_a_key_nobody_is_pushed() {
        for (phone, why) in [
            (None, NotAKey::Empty),
            (Some(""), NotAKey::Empty),
            (Some("09******12"), NotAKey::Masked),
            (Some("0912000001/0981234567"), NotAKey::TwoNumbers),
        ] {
            assert_eq!(new_customer(&customer("Mẫu", phone), CustomerName::Sapo), Err(why));
        }
    }
}
