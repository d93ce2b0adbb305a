//! Orders made for the other side, and those that cannot be.

use super::*;
use crate::domain::order::PosLine;

fn dong(amount: i64) -> Decimal {
    Decimal::from(amount)
}

fn phone() -> Phone {
    Phone::parse("+84912000001").unwrap()
}

fn channel_order() -> ChannelOrder {
    let line = |code: &str, quantity| ChannelLine {
        code: code.into(),
        name: format!("Áo thun {code}"),
        price: dong(120_000),
        quantity: dong(quantity),
        ..ChannelLine::default()
    };
    ChannelOrder {
        id: "900001".into(),
        code: Some("ABH000001".into()),
        lines: vec![line("AT-S", 2), line("AT-M", 1)],
        discount: dong(20_000),
        fee: dong(30_000),
        note: Some(" Giao buổi sáng ".into()),
        ..ChannelOrder::default()
    }
}

fn variants() -> Vec<ResolvedPosLine> {
    ["5700001", "5700002"]
        .map(|id| ResolvedPosLine { variant_id: id.into(), product_id: Some("3900001".into()) })
        .to_vec()
}

fn pos_order() -> PosOrder {
    PosOrder {
        id: "14800001".into(),
        created_at: Some(5),
        lines: vec![PosLine {
            variant_id: Some("5700001".into()),
            name: "Áo thun".into(),
            price: dong(120_000),
            quantity: dong(2),
            amount: dong(230_000),
            ..PosLine::default()
        }],
        discount: dong(20_000),
        fee: dong(30_000),
        total: Some(dong(240_000)),
        ..PosOrder::default()
    }
}

fn products() -> Vec<ResolvedChannelLine> {
    vec![ResolvedChannelLine { product_id: "800001".into(), code: "AT-S".into() }]
}

fn make_pos(order: &ChannelOrder, lines: &[ResolvedPosLine]) -> Result<NewPosOrder, OrderProblem> {
    let settings = Settings { staff: Some(72_001), source: Some(387_002), ..Settings::default() };
    to_pos(order, lines, Some("3689001".into()), Some(&phone()), "sapo-sync:mau".into(), &settings, 58_001)
}

#[test]
fn a_channel_order_becomes_a_pos_order_with_reference_tag_and_the_same_sums() {
    let new = make_pos(&channel_order(), &variants()).unwrap();
    assert_eq!((new.reference.as_str(), new.tag.as_str()), ("ABH000001", "sapo-sync:mau"));
    assert_eq!((new.branch, new.staff, new.source), (58_001, Some(72_001), Some(387_002)));
    assert_eq!((new.customer_id.as_deref(), new.phone.as_deref()), (Some("3689001"), Some("0912000001")));
    assert_eq!((new.discount, new.fee, new.total), (dong(20_000), dong(30_000), dong(370_000)));
    assert_eq!(new.note.as_deref(), Some("Giao buổi sáng"));
    assert_eq!(
        new.lines[1],
        NewPosLine {
            variant_id: "5700002".into(),
            product_id: Some("3900001".into()),
            price: dong(120_000),
            quantity: dong(1)
        }
    );
}

#[test]
fn an_order_without_a_code_is_referred_to_by_its_id() {
    for code in [None, Some(" ".to_owned())] {
        let order = ChannelOrder { code, ..channel_order() };
        assert_eq!(make_pos(&order, &variants()).unwrap().reference, "900001");
    }
}

#[test]
fn a_pos_order_becomes_a_channel_order_with_one_discount() {
    let new = to_channel(&pos_order(), &products(), &phone(), 5).unwrap();
    assert_eq!((new.pos_id.as_str(), new.status, new.created_at), ("14800001", 5, Some(5)));
    assert_eq!((new.discount, new.fee, new.total), (dong(30_000), dong(30_000), dong(240_000)));
    assert_eq!((new.phone.as_str(), new.note), ("0912000001", None));
    assert_eq!(new.lines[0].product_id.as_deref(), Some("800001"));
    assert_eq!((new.lines[0].code.as_str(), new.lines[0].quantity), ("AT-S", dong(2)));
    let sum: Decimal = new.lines.iter().map(|line| line.price * line.quantity).sum();
    assert_eq!(sum - new.discount + new.fee, new.total);
}

#[test]
fn an_order_that_cannot_be_made_says_why() {
    let empty = ChannelOrder { lines: vec![], ..channel_order() };
    assert_eq!(make_pos(&empty, &[]), Err(OrderProblem::NoLines));
    let mut unnamed = channel_order();
    unnamed.lines[1].code = " ".into();
    assert_eq!(make_pos(&unnamed, &variants()).unwrap_err().code(), "free_form_line");
    let problem = make_pos(&channel_order(), &variants()[..1]).unwrap_err();
    assert_eq!(problem, OrderProblem::UnresolvedLines { lines: 2, resolved: 1 });
    let wrong = ChannelOrder { total: Some(dong(1)), ..channel_order() };
    assert_eq!(make_pos(&wrong, &variants()).unwrap_err().code(), "total_mismatch");

    let empty = PosOrder { lines: vec![], ..pos_order() };
    assert_eq!(to_channel(&empty, &[], &phone(), 5), Err(OrderProblem::NoLines));
    let mut free = pos_order();
    free.lines[0].variant_id = None;
    let problem = to_channel(&free, &products(), &phone(), 5).unwrap_err();
    assert_eq!(problem, OrderProblem::FreeFormLine { name: "Áo thun".into() });
    assert!(problem.reason().contains("\"Áo thun\""));
    let mut zero = pos_order();
    zero.lines[0].quantity = Decimal::ZERO;
    assert_eq!(to_channel(&zero, &products(), &phone(), 5).unwrap_err().code(), "bad_line");
    assert_eq!(to_channel(&pos_order(), &[], &phone(), 5).unwrap_err().code(), "unresolved_lines");
}
