use super::*;

fn order(status: &str, fulfillment: Option<&str>) -> WebOrder {
    WebOrder { status: status.into(), fulfillment_status: fulfillment.map(Into::into), ..WebOrder::default() }
}

#[test]
fn a_stage_is_read_from_status_and_fulfillment_and_survives_being_written_down() {
    for (status, fulfillment, stage) in [
        ("open", None, WebStage::Open),
        ("open", Some("partial"), WebStage::Open),
        ("open", Some("fulfilled"), WebStage::Fulfilled),
        ("closed", None, WebStage::Closed),
        ("closed", Some("fulfilled"), WebStage::Fulfilled),
        ("cancelled", Some("fulfilled"), WebStage::Cancelled),
        ("frozen", Some("fulfilled"), WebStage::Unknown("frozen".into())),
        ("", None, WebStage::Unknown(String::new())),
    ] {
        let read = WebStage::of(&order(status, fulfillment));
        assert_eq!(read, stage, "{status} {fulfillment:?}");
        assert_eq!(WebStage::from_word(&stage.as_word()), Some(stage));
    }
    assert_eq!(WebStage::of(&WebOrder { cancelled: true, ..order("open", None) }), WebStage::Cancelled);
    assert_eq!(WebStage::from_word("placed"), None);
}

#[test]
fn a_return_is_read_from_its_own_field_and_an_unknown_word_might_be_one() {
    let read = |status: &str, returned: &str| {
        WebStage::of(&WebOrder { return_status: returned.into(), ..order(status, Some("fulfilled")) })
    };
    for word in ["", "no_return", "partial", "partially_returned"] {
        assert_eq!(read("open", word), WebStage::Fulfilled, "{word}");
    }
    assert_eq!((read("open", "returned"), read("closed", "Returned")), (WebStage::Returned, WebStage::Returned));
    assert_eq!(read("open", "in_process"), WebStage::Unknown("in_process".into()));
    assert_eq!(read("cancelled", "returned"), WebStage::Cancelled);
    assert_eq!(WebStage::from_word(&WebStage::Returned.as_word()), Some(WebStage::Returned));
    assert_eq!(may_be_created(&WebStage::Returned).unwrap_err().code(), "never_created");
    for there in [PosStage::Draft, PosStage::Shipped, PosStage::PartReturned] {
        assert_eq!(to_pos(&WebStage::Returned, &there).code(), "returned", "nothing is cancelled on a guess");
        assert_eq!(to_web(&there, true, &WebStage::Returned).code(), "returned");
    }
    for there in [PosStage::Cancelled, PosStage::Returned] {
        assert_eq!(to_pos(&WebStage::Returned, &there).code(), "same_class");
        assert_eq!(to_web(&there, true, &WebStage::Returned).code(), "same_class");
    }
}

#[test]
fn closed_is_only_archiving_and_cancelled_is_never_created() {
    for stage in [WebStage::Open, WebStage::Closed, WebStage::Fulfilled] {
        assert_eq!(may_be_created(&stage), Ok(()));
    }
    assert_eq!(may_be_created(&WebStage::Cancelled).unwrap_err().code(), "never_created");
    assert_eq!(may_be_created(&WebStage::Unknown("x".into())).unwrap_err().code(), "unknown_status");
}

#[test]
fn a_cancelled_web_order_cancels_what_can_be_cancelled_and_no_other_state_does() {
    use PosStage::{Cancelled, Completed, Draft, Finalized, Finished, Packed, PartReturned, Returned, Shipped};
    for there in [Draft, Finalized, Packed, Shipped, Completed, PartReturned] {
        assert_eq!(to_pos(&WebStage::Cancelled, &there), Asked::Cancel, "{there:?}");
        for stage in [WebStage::Open, WebStage::Closed, WebStage::Fulfilled] {
            assert_eq!(to_pos(&stage, &there).code(), "same_class", "{stage:?} {there:?}");
        }
        assert_eq!(to_pos(&WebStage::Unknown("x".into()), &there).code(), "unknown_status");
    }
    assert_eq!(to_pos(&WebStage::Cancelled, &Cancelled).code(), "same_class");
    assert_eq!(to_pos(&WebStage::Cancelled, &Returned).code(), "already_returned");
    assert_eq!(to_pos(&WebStage::Cancelled, &Finished).code(), "finished");
    assert_eq!(to_pos(&WebStage::Cancelled, &PosStage::Unknown("x".into())).code(), "unknown_status");
    assert_eq!(to_pos(&WebStage::Open, &Cancelled).code(), "after_cancel");
}

#[test]
fn only_shipped_and_cancelled_go_back_to_the_web() {
    use PosStage::{Cancelled, Completed, Draft, Finalized, Finished, Packed, PartReturned, Returned, Shipped};
    for there in [WebStage::Open, WebStage::Closed] {
        for (stage, shipped, code) in [
            (Draft, false, "nothing_asked"),
            (Finalized, false, "nothing_asked"),
            (Packed, false, "nothing_asked"),
            (Shipped, false, "part_shipped"),
            (Shipped, true, "fulfil"),
            (Completed, false, "fulfil"),
            (Cancelled, false, "cancel"),
            (Returned, true, "returned"),
            (PartReturned, true, "returned"),
            (Finished, true, "finished"),
            (PosStage::Unknown("x".into()), true, "unknown_status"),
        ] {
            assert_eq!(to_web(&stage, shipped, &there).code(), code, "{stage:?} {there:?}");
        }
    }
    assert_eq!(to_web(&Shipped, true, &WebStage::Fulfilled).code(), "same_class");
    assert_eq!(to_web(&Completed, true, &WebStage::Fulfilled).code(), "same_class");
    assert_eq!(to_web(&Cancelled, true, &WebStage::Fulfilled), Asked::Cancel);
    assert_eq!(to_web(&Cancelled, false, &WebStage::Cancelled).code(), "same_class");
    assert_eq!(to_web(&Shipped, true, &WebStage::Cancelled).code(), "after_cancel");
    assert_eq!(to_web(&Cancelled, true, &WebStage::Unknown("x".into())).code(), "unknown_status");
}

#[test]
fn what_was_paid_is_only_ever_added() {
    let order = |status: &str, received: Option<i64>| WebOrder {
        financial_status: status.into(),
        received: received.map(Decimal::from),
        ..WebOrder::default()
    };
    assert_eq!(paid(&order("paid", None), false), Paid::Whole);
    assert_eq!(paid(&order("partially_paid", Some(100_000)), false), Paid::SoFar(100_000.into()));
    for status in ["pending", "authorized", ""] {
        assert_eq!(paid(&order(status, Some(0)), false), Paid::Nothing);
        assert!(matches!(paid(&order(status, Some(0)), true), Paid::Note(_)));
    }
    for (status, received) in [
        ("partially_paid", None),
        ("partially_paid", Some(0)),
        ("refunded", None),
        ("voided", None),
        ("partially_refunded", Some(5)),
    ] {
        assert!(matches!(paid(&order(status, received), false), Paid::Note(_)), "{status}");
    }
}
