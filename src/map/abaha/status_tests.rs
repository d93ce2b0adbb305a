//! Both profiles against hand-written tables: every stage of one side with every stage of the other.

use super::*;

const CHANNEL: [ChannelStage; 10] = [
    ChannelStage::Cancelled,
    ChannelStage::Cart,
    ChannelStage::Placed,
    ChannelStage::Accepted,
    ChannelStage::Packing,
    ChannelStage::Delivering,
    ChannelStage::Completed,
    ChannelStage::Closed,
    ChannelStage::Returned,
    ChannelStage::Unknown(Some(7)),
];

fn pos() -> [PosStage; 10] {
    [
        PosStage::Cancelled,
        PosStage::Finished,
        PosStage::Unknown("frozen".into()),
        PosStage::Returned,
        PosStage::PartReturned,
        PosStage::Completed,
        PosStage::Shipped,
        PosStage::Packed,
        PosStage::Finalized,
        PosStage::Draft,
    ]
}

/// `=` nothing, a number the status that is set, `X` cancel, `n` note, `h` hold.
fn mark(decision: &Decision) -> String {
    match decision {
        Decision::Nothing { .. } => "=".into(),
        Decision::SetStatus(code) => code.to_string(),
        Decision::Cancel => "X".into(),
        Decision::Note { .. } => "n".into(),
        Decision::Hold { .. } => "h".into(),
    }
}

fn assert_rows(profile: StatusProfile, returned_code: Option<i64>, rows: [&str; 10]) {
    for (stage, row) in pos().iter().zip(rows) {
        let found = CHANNEL.map(|there| mark(&to_channel(profile, stage, &there, returned_code)));
        let expected: Vec<_> = row.split_whitespace().collect();
        assert_eq!(found.as_slice(), expected, "{profile}, {stage:?}");
    }
}

#[test]
fn two_class_knows_only_standing_and_cancelled() {
    for returned_code in [None, Some(40)] {
        assert_rows(
            StatusProfile::TwoClass,
            returned_code,
            [
                // Hủy cart 5 10 15 20 25 30 Hoàn-hàng unknown
                "= = 0 0 0 0 0 n = h", // cancelled
                "h = h h h h h = h h", // finished
                "h = h h h h h = h h", // unknown
                "= = n n n n n n = h", // returned
                "n = = = = = = = n h", // part-returned
                "n = = = = = = = n h", // completed
                "n = = = = = = = n h", // shipped
                "n = = = = = = = n h", // packed
                "n = = = = = = = n h", // finalized
                "n = = = = = = = n h", // draft
            ],
        );
    }
}

#[test]
fn detailed_follows_stage_by_stage_and_never_backwards() {
    let with_code = [
        // Hủy cart 5 10 15 20 25 30 Hoàn-hàng unknown
        "= = 0 0 0 0 0 n = h",      // cancelled
        "h = h h h h h = h h",      // finished
        "h = h h h h h = h h",      // unknown
        "= = 40 40 40 40 40 n = h", // returned
        "n = n n n n n = n h",      // part-returned
        "n = 25 25 25 25 = = n h",  // completed
        "n = 20 20 20 = = = n h",   // shipped
        "n = 15 15 = = = = n h",    // packed
        "n = 10 = = = = = n h",     // finalized
        "n = = = = = = = n h",      // draft
    ];
    assert_rows(StatusProfile::Detailed, Some(40), with_code);
    let mut without = with_code;
    without[3] = "= = n n n n n n = h";
    assert_rows(StatusProfile::Detailed, None, without);
    assert_rows(StatusProfile::Detailed, Some(25), without);
}

#[test]
fn abaha_cancels_on_sapo_and_does_nothing_else() {
    let rows = [
        // cancelled finished unknown returned part-returned completed shipped packed finalized draft
        "= h h = X X X X X X", // Hủy
        "= = = = = = = = = =", // cart
        "n = = = = = = = = =", // 5
        "n = = = = = = = = =", // 10
        "n = = = = = = = = =", // 15
        "n = = = = = = = = =", // 20
        "n = = = = = = = = =", // 25
        "= = = = = = = = = =", // 30
        "= h h = X X X X X X", // Hoàn hàng
        "h h h h h h h h h h", // unknown
    ];
    for (stage, row) in CHANNEL.iter().zip(rows) {
        let found = pos().map(|there| mark(&to_pos(stage, &there)));
        let expected: Vec<_> = row.split_whitespace().collect();
        assert_eq!(found.as_slice(), expected, "{stage:?}");
    }
}

#[test]
fn a_new_order_starts_where_its_stage_says_or_is_not_created() {
    let rows = [
        // two-class, detailed
        ("=", "="),  // cancelled
        ("h", "h"),  // finished
        ("h", "h"),  // unknown
        ("=", "="),  // returned
        ("5", "20"), // part-returned
        ("5", "25"), // completed
        ("5", "20"), // shipped
        ("5", "15"), // packed
        ("5", "10"), // finalized
        ("5", "5"),  // draft
    ];
    for (stage, (two_class, detailed)) in pos().iter().zip(rows) {
        for (profile, expected) in [(StatusProfile::TwoClass, two_class), (StatusProfile::Detailed, detailed)] {
            let found = first_status(profile, stage).map_or_else(|why| mark(&why), |code| code.to_string());
            assert_eq!(found, expected, "{profile}, {stage:?}");
        }
    }
    let created = CHANNEL.map(|stage| may_be_created(&stage).map_or_else(|why| mark(&why), |()| "draft".into()));
    assert_eq!(created, ["=", "=", "draft", "draft", "draft", "draft", "draft", "=", "=", "h"]);
}

#[test]
fn whatever_is_set_is_read_back_as_the_same_class_and_asks_nothing_more() {
    for profile in [StatusProfile::TwoClass, StatusProfile::Detailed] {
        for stage in pos() {
            for there in CHANNEL {
                if let Decision::SetStatus(code) = to_channel(profile, &stage, &there, Some(40)) {
                    let after = ChannelStage::read(Some(code), None, Some(40));
                    assert_eq!(mark(&to_channel(profile, &stage, &after, Some(40))), "=", "{stage:?} {there:?}");
                    assert_eq!(mark(&to_pos(&after, &stage)), "=", "{stage:?} {there:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let Decision::Hold { reason, .. } = to_pos(&ChannelStage::Unknown(Some(7)), &PosStage::Draft) else { panic!() };
    assert!(reason.contains('7') && reason.contains("returned_code"));
    let frozen = PosStage::Unknown("frozen".into());
    let Err(Decision::Hold { reason, code }) = first_status(StatusProfile::TwoClass, &frozen) else { panic!() };
    assert!(reason.contains("frozen"));
    assert_eq!(code, "unknown_status");
}
