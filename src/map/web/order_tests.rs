use proptest::prelude::*;

use super::*;
use crate::domain::web::{WebBuyer, WebLine};

fn line(variant: &str, price: i64, quantity: i64) -> WebLine {
    WebLine {
        variant_id: Some(variant.to_owned()).filter(|id| !id.is_empty()),
        sku: "AT-S".into(),
        name: "Áo thun".into(),
        price: price.into(),
        quantity: quantity.into(),
        ..WebLine::default()
    }
}

fn order() -> WebOrder {
    WebOrder {
        id: "174100001".into(),
        name: "#1001".into(),
        status: "open".into(),
        lines: vec![line("147200001", 115_000, 2)],
        discount: 20_000.into(),
        shipping: 30_000.into(),
        total: Some(240_000.into()),
        buyer: Some(WebBuyer {
            last_name: "Trần".into(),
            first_name: "Thị Mẫu".into(),
            phone: Some("+84912000001".into()),
            email: Some(" Mau@Example.COM ".into()),
            ..WebBuyer::default()
        }),
        shipping_address: Some(Address {
            address1: "Số 1 phố Thử Nghiệm".into(),
            phone: "+84912000009".into(),
            ..Address::default()
        }),
        billing_address: Some(Address { name: "Trần Thị Mẫu".into(), ..Address::default() }),
        ..WebOrder::default()
    }
}

fn made(order: &WebOrder) -> Result<NewPosOrder, OrderProblem> {
    let resolved = ResolvedPosLine { variant_id: "5700001".into(), product_id: None };
    to_pos(order, &vec![resolved; order.lines.len()], None, "sapo-sync:web-mau".into(), &Settings::default(), 58_001)
}

#[test]
fn an_order_is_made_under_its_own_name_with_its_address_and_the_customers_phone() {
    let new = made(&order()).unwrap();
    assert_eq!((new.reference.as_str(), new.total), ("#1001", 240_000.into()));
    assert_eq!((new.phone.as_deref(), new.email.as_deref()), (Some("0912000001"), Some("mau@example.com")));
    assert_eq!(new.shipping_address.unwrap().phone, "0912000009");
    assert_eq!(new.billing_address, None, "an address without its first line is none");
}

#[test]
fn a_sum_that_differs_shows_both_and_tax_on_top_is_told() {
    let cases = [
        (Some(240_001), 0, Some(("240.001", "240.000"))),
        (Some(264_000), 24_000, Some(("264.000", "240.000"))),
        (None, 24_000, Some(("264.000", "240.000"))),
        (Some(240_000), 24_000, None),
        (None, 0, None),
    ];
    for (total, tax, expected) in cases {
        let order = WebOrder { total: total.map(Decimal::from), tax: tax.into(), ..order() };
        let Some((stated, computed)) = expected else {
            assert_eq!(check(&order), Ok(240_000.into()));
            continue;
        };
        let problem = check(&order).unwrap_err();
        assert_eq!(problem.code(), "total_mismatch");
        assert!(problem.reason().contains(stated) && problem.reason().contains(computed), "{}", problem.reason());
        assert_eq!(problem.reason().contains("24.000 ₫ on top"), tax > 0, "{}", problem.reason());
        assert_eq!(made(&order), Err(problem));
    }
}

#[test]
fn a_line_without_a_variant_is_free_form_whatever_its_sku() {
    let order = WebOrder { lines: vec![line("", 10_000, 1)], total: None, discount: 0.into(), ..order() };
    assert_eq!(check(&order).unwrap_err().code(), "free_form_line");
}

#[test]
fn an_identity_is_the_customers_then_the_orders_own_and_never_an_addresss() {
    let mut order = order();
    let by = |order: &WebOrder, identity| Identified::of(order, identity).map(|found| found.key().to_owned());
    assert_eq!(by(&order, Identity::Phone).as_deref(), Some("+84912000001"));
    assert_eq!(by(&order, Identity::Email).as_deref(), Some("mau@example.com"));
    (order.phone, order.email) = (Some("0981 234 567".into()), Some("khac@example.com".into()));
    for unusable in [None, Some("09******12"), Some("hỏi chị Lan")] {
        let buyer = order.buyer.as_mut().unwrap();
        (buyer.phone, buyer.email) = (unusable.map(Into::into), unusable.map(Into::into));
        assert_eq!(by(&order, Identity::Phone).as_deref(), Some("+84981234567"));
        assert_eq!(by(&order, Identity::Email).as_deref(), Some("khac@example.com"));
    }
    (order.phone, order.email) = (None, None);
    assert_eq!((by(&order, Identity::Phone), by(&order, Identity::Email)), (None, None));
}

#[test]
fn a_pos_customer_has_the_identity_however_it_is_typed() {
    let customer = |phone: &str, email: &str| PosCustomer {
        phone: Some(phone.into()),
        email: Some(email.into()),
        ..PosCustomer::default()
    };
    let phone = Identified::of(&order(), Identity::Phone).unwrap();
    let email = Identified::of(&order(), Identity::Email).unwrap();
    assert!(phone.is_of(&customer("0912 000 001", "")) && !phone.is_of(&customer("0912 000 002", "")));
    assert!(email.is_of(&customer("", "MAU@example.com ")) && !email.is_of(&customer("", "xmau@example.com")));
    assert!(!phone.is_of(&PosCustomer::default()) && !email.is_of(&PosCustomer::default()));
}

#[test]
fn a_new_customer_is_called_by_last_and_first_name() {
    let named = |last: &str, first: &str| {
        let buyer = WebBuyer { last_name: last.into(), first_name: first.into(), ..WebBuyer::default() };
        name(&WebOrder { buyer: Some(buyer), ..order() })
    };
    assert_eq!(named("Trần", "Thị Mẫu"), "Trần Thị Mẫu");
    assert_eq!(named("", " Mẫu "), "Mẫu");
    assert_eq!(named(" ", ""), "Khách");
    assert_eq!(name(&WebOrder { buyer: None, ..order() }), "Khách");
}

proptest! {
    #[test]
    fn whatever_the_amounts_are_what_is_made_adds_up_to_what_was_stated(
        lines in prop::collection::vec((0_i64..1_000_000_000, 1_i64..10_000), 1..6),
        (discount, shipping, stated) in (0_i64..100_000_000, 0_i64..100_000_000, prop::option::of(0_i64..i64::MAX)),
    ) {
        let sum: Decimal = lines.iter().map(|(price, quantity)| Decimal::from(*price) * Decimal::from(*quantity)).sum();
        let sum = sum - Decimal::from(discount) + Decimal::from(shipping);
        let order = WebOrder {
            lines: lines.iter().map(|(price, quantity)| line("147200001", *price, *quantity)).collect(),
            discount: discount.into(),
            shipping: shipping.into(),
            total: stated.map(Decimal::from),
            ..order()
        };
        match made(&order) {
            Ok(new) => {
                let lines: Decimal = new.lines.iter().map(|line| line.price * line.quantity).sum();
                prop_assert_eq!(lines - new.discount + new.fee, new.total);
                prop_assert_eq!(new.total, order.total.unwrap_or(sum));
            }
            Err(problem) => prop_assert!(sum < Decimal::ZERO || order.total.is_some_and(|total| total != sum), "{}", problem),
        }
    }
}
