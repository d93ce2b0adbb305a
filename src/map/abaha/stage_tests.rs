//! Stages of every sample, code and word.

use serde_json::Value;

use super::*;

macro_rules! fixture {
    ($path:literal) => {
        ($path, serde_json::from_str(include_str!(concat!("../../../tests/fixtures/", $path))).unwrap())
    };
}

fn pos_order(value: &Value) -> PosOrder {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    PosOrder {
        status: text("status"),
        packed_status: text("packed_status"),
        fulfillment_status: text("fulfillment_status"),
        received_status: text("received_status"),
        payment_status: text("payment_status"),
        return_status: text("return_status"),
        cancelled: value["cancelled_on"].is_string(),
        ..PosOrder::default()
    }
}

#[test]
fn every_sample_of_a_sapo_order_has_its_stage() {
    let samples: [((&str, Value), PosStage); 13] = [
        (fixture!("omni/webhook-orders-create.json"), PosStage::Draft),
        (fixture!("omni/webhook-orders-create-fee-and-discount.json"), PosStage::Draft),
        (fixture!("omni/webhook-orders-create-unlinked-line.json"), PosStage::Draft),
        (fixture!("omni/webhook-orders-update-draft.json"), PosStage::Draft),
        (fixture!("omni/webhook-orders-update-finalized.json"), PosStage::Finalized),
        (fixture!("omni/webhook-orders-update-packed.json"), PosStage::Packed),
        (fixture!("omni/webhook-orders-update-shipped.json"), PosStage::Shipped),
        (fixture!("omni/webhook-orders-update-received-unpaid.json"), PosStage::Shipped),
        (fixture!("omni/webhook-orders-update-completed.json"), PosStage::Completed),
        (fixture!("omni/webhook-orders-update-part-returned.json"), PosStage::PartReturned),
        (fixture!("omni/webhook-orders-update-returned.json"), PosStage::Returned),
        (fixture!("omni/webhook-orders-update-finished.json"), PosStage::Finished),
        (fixture!("omni/webhook-orders-update-cancelled.json"), PosStage::Cancelled),
    ];
    for ((name, value), stage) in samples {
        assert_eq!(PosStage::of(&pos_order(&value)), stage, "{name}");
    }
}

#[test]
fn every_sample_of_an_abaha_order_has_its_stage() {
    let samples: [((&str, Value), ChannelStage); 6] = [
        (fixture!("abaha/webhook-order-created.json"), ChannelStage::Placed),
        (fixture!("abaha/webhook-order-bare.json"), ChannelStage::Placed),
        (fixture!("abaha/webhook-order-id-only.json"), ChannelStage::Unknown(None)),
        (fixture!("abaha/webhook-order-updated-paid.json"), ChannelStage::Placed),
        (fixture!("abaha/webhook-order-updated-cancelled.json"), ChannelStage::Cancelled),
        (fixture!("abaha/webhook-order-updated-returned.json"), ChannelStage::Returned),
    ];
    for ((name, value), stage) in samples {
        let order = value.get("data").unwrap_or(&value);
        let found = ChannelStage::read(order["status"].as_i64(), order["status_view"].as_str(), None);
        assert_eq!(found, stage, "{name}");
    }
}

#[test]
fn the_fields_of_a_sapo_order_are_tested_in_the_order_of_the_table() {
    let cases = [
        ("cancelled", "returned", "shipped", "packed", PosStage::Cancelled),
        ("finished", "returned", "shipped", "packed", PosStage::Finished),
        ("frozen", "returned", "shipped", "packed", PosStage::Unknown("frozen".into())),
        ("", "", "", "", PosStage::Unknown(String::new())),
        ("completed", "returned", "shipped", "packed", PosStage::Returned),
        ("completed", "partial", "shipped", "packed", PosStage::PartReturned),
        ("completed", "half", "shipped", "packed", PosStage::Unknown("half".into())),
        ("completed", "unreturned", "unshipped", "unpacked", PosStage::Completed),
        ("finalized", "unreturned", "partial", "unpacked", PosStage::Shipped),
        ("finalized", "", "unshipped", "partial", PosStage::Packed),
        (" Finalized", "", "", "", PosStage::Finalized),
        ("finalized", "", "flying", "wrapped", PosStage::Finalized),
        ("draft", "unreturned", "", "", PosStage::Draft),
    ];
    for (status, returned, shipped, packed, stage) in cases {
        let order = PosOrder {
            status: status.into(),
            return_status: returned.into(),
            fulfillment_status: shipped.into(),
            packed_status: packed.into(),
            ..PosOrder::default()
        };
        assert_eq!(PosStage::of(&order), stage);
        assert_eq!(PosStage::of(&PosOrder { cancelled: true, ..order }), PosStage::Cancelled);
    }
}

#[test]
fn every_abaha_code_has_its_stage_and_its_class() {
    let cases = [
        (-1, ChannelStage::Cancelled, Class::Cancelled),
        (0, ChannelStage::Cancelled, Class::Cancelled),
        (1, ChannelStage::Cart, Class::Neutral),
        (5, ChannelStage::Placed, Class::Live),
        (10, ChannelStage::Accepted, Class::Live),
        (15, ChannelStage::Packing, Class::Live),
        (20, ChannelStage::Delivering, Class::Live),
        (25, ChannelStage::Completed, Class::Live),
        (30, ChannelStage::Closed, Class::Neutral),
    ];
    for code in -50..=150 {
        let found = ChannelStage::read(Some(code), Some("Đặt hàng"), None);
        match cases.iter().find(|case| case.0 == code) {
            Some((_, stage, class)) => assert_eq!((found, found.class()), (*stage, *class), "{code}"),
            None => assert_eq!((found, found.class()), (ChannelStage::Unknown(Some(code)), Class::Neutral)),
        }
    }
}

#[test]
fn a_return_is_read_from_the_words_or_from_the_configured_code() {
    for view in ["Hoàn hàng", " HOÀN HÀNG ", "Hoa\u{300}n ha\u{300}ng"] {
        assert_eq!(ChannelStage::read(Some(30), Some(view), None), ChannelStage::Returned, "{view}");
    }
    for view in ["Hoan hang", "Hoàn  hàng", "Hoàn thành", "Đã hoàn hàng", ""] {
        assert_eq!(ChannelStage::read(Some(30), Some(view), None), ChannelStage::Closed, "{view}");
    }
    assert_eq!(ChannelStage::read(Some(35), None, Some(35)), ChannelStage::Returned);
    assert_eq!(ChannelStage::read(Some(30), None, Some(30)), ChannelStage::Returned);
    assert_eq!(ChannelStage::read(None, None, Some(35)), ChannelStage::Unknown(None));
}

#[test]
fn a_code_that_means_something_else_is_not_taken_for_a_return() {
    for code in [-1, 0, 1, 5, 10, 15, 20, 25] {
        assert_eq!(usable_returned_code(Some(code)), None);
        assert_ne!(ChannelStage::read(Some(code), None, Some(code)), ChannelStage::Returned);
    }
}

#[test]
fn every_stage_survives_being_written_down() {
    let long = PosOrder { status: "ừ".repeat(500), ..PosOrder::default() };
    let unknown = [PosStage::Unknown(String::new()), PosStage::Unknown("a:b".into()), PosStage::of(&long)];
    for stage in POS_WORDS.iter().map(|row| row.0.clone()).chain(unknown) {
        assert_eq!(PosStage::from_word(&stage.as_word()), Some(stage));
    }
    let others = [ChannelStage::Returned, ChannelStage::Unknown(None), ChannelStage::Unknown(Some(-7))];
    for stage in CHANNEL_CODES.iter().map(|row| row.1).chain(others) {
        assert_eq!(ChannelStage::from_word(&stage.as_word()), Some(stage));
    }
    assert_eq!(PosStage::from_word("frozen"), None);
    assert_eq!(ChannelStage::from_word("unknown:x"), None);
}
