//! What Sapo Omni's refusals mean, by its own words.

use crate::destination::error::{CallError, Done};
use crate::destination::http::Answer;
use crate::destination::redact::redact;
use crate::destination::refusal::{Meanings, meaning, missing_scope, words};

/// What was asked, where the same words mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An object, or a list, or the making of something new.
    Other,
    /// Approve an order.
    Finalize,
    /// Cancel an order.
    Cancel,
}

/// Words of a refusal, and its meaning; the first row that matches counts. From the vendor's documents.
const MEANINGS: Meanings = &[
    (&["phiếu trả hàng"], "needs_return_slip"),
    (&["đã giao thành công", "không thể hủy"], "needs_return_slip"),
    (&["đã bị hủy"], "conflict_cancelled"),
    (&["đã được xác nhận"], "conflict_finalized"),
    (&["ngừng thao tác"], "conflict_finished"),
    (&["không thể kết thúc"], "precondition"),
    (&["đã trùng"], "duplicate"),
    (&["đã tồn tại"], "duplicate"),
    (&["phương thức thanh toán", "không tồn tại"], "unknown_payment_method"),
    (&["không tồn tại"], "unknown_reference"),
    (&["không tìm thấy"], "unknown_reference"),
    (&["may not be"], "invalid"),
];

/// Says what an answer without success means.
pub fn classify(asked: Asked, what: &str, answer: &Answer) -> CallError {
    if let Some(error) = missing_scope(answer, "POS", "--store ALIAS").or_else(|| CallError::of_status(answer)) {
        return error;
    }
    if answer.status == 404 {
        return CallError::NotFound { what: what.to_owned() };
    }
    if !answer.is_json_object() {
        let answer = Some(answer.excerpt());
        return CallError::Failing { code: "unreadable_answer", done: Done::No, not_before: None, answer };
    }
    let message = redact(&words(&answer.body));
    let meaning = meaning(MEANINGS, &message);
    match (meaning, asked) {
        ("conflict_cancelled", Asked::Cancel) | ("conflict_finalized", Asked::Finalize) => {
            CallError::AlreadySo { message }
        }
        ("needs_return_slip", _) => CallError::Refused {
            code: "needs_return_slip",
            message: format!(
                "The order is delivered and cannot be cancelled: make a return slip (phiếu trả hàng) on Sapo. Sapo says: {message}"
            ),
            answer: Some(answer.excerpt()),
        },
        (code, _) => CallError::Refused { code, message, answer: Some(answer.excerpt()) },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: u16, retry_after: Option<i64>, body: impl Into<Bytes>) -> Answer {
        Answer { status, retry_after, at: 1_000, body: body.into() }
    }

    #[test]
    fn every_known_error_has_its_meaning_for_each_call() {
        let rows: Vec<Value> = serde_json::from_str(include_str!("../../../tests/fixtures/omni/errors.json")).unwrap();
        let expected = [
            ("POST order with an address", ["invalid"; 3]),
            ("finalize twice", ["conflict_finalized", "already_so", "conflict_finalized"]),
            ("cancel twice", ["conflict_cancelled", "conflict_cancelled", "already_so"]),
            ("finish twice", ["conflict_finished"; 3]),
            ("finish a draft", ["precondition"; 3]),
            ("cancel after delivery", ["needs_return_slip"; 3]),
            ("duplicate SKU", ["duplicate"; 3]),
            ("unknown payment method", ["unknown_payment_method"; 3]),
            ("no such order", ["not_found"; 3]),
            ("no such object", ["not_found"; 3]),
            ("too many calls", ["throttled"; 3]),
        ];
        assert_eq!(rows.len(), expected.len());
        for (row, (when, codes)) in rows.iter().zip(expected) {
            assert!(row["when"].as_str().unwrap().starts_with(when), "{row}");
            let retry_after = row.pointer("/headers/Retry-After").map(|_| 3_000);
            let answer = answer(row["status"].as_u64().unwrap() as u16, retry_after, row["body"].to_string());
            for (asked, code) in [Asked::Other, Asked::Finalize, Asked::Cancel].into_iter().zip(codes) {
                assert_eq!(classify(asked, "order 1", &answer).code(), code, "{when} {asked:?}");
            }
        }
    }

    #[test]
    fn a_delivered_order_says_that_a_return_slip_is_needed() {
        let body =
            r#"{"data_error":{"status":422,"errors":{"fulfillment":"Gói hàng đã giao thành công thì không thể huỷ"}}}"#;
        let CallError::Refused { code, message, .. } = classify(Asked::Cancel, "order 1", &answer(422, None, body))
        else {
            panic!()
        };
        assert_eq!(code, "needs_return_slip");
        assert!(message.contains("phiếu trả hàng"), "{message}");
    }

    #[test]
    fn either_spelling_of_cancelled_is_understood() {
        let decomposed = "Đơn hàng đã bị hu\u{309}y";
        for words in ["Đơn hàng đã bị huỷ", "ĐƠN HÀNG ĐÃ BỊ HỦY", decomposed] {
            let body = json!({"errors": [words]}).to_string();
            assert_eq!(classify(Asked::Cancel, "order 1", &answer(422, None, body)).code(), "already_so", "{words}");
        }
    }

    #[test]
    fn a_scope_that_is_missing_is_named_and_a_bad_token_is_not_taken_for_it() {
        let says = |status: u16, words: &str| {
            let body = json!({"error": {"message": words}}).to_string();
            classify(Asked::Other, "customer 1", &answer(status, None, body))
        };
        for (words, named) in [
            ("This action requires merchant approval for read_customers scope.", "the POS's app lacks read_customers:"),
            ("Ứng dụng không có quyền truy cập", "the POS's app lacks a permission:"),
        ] {
            let CallError::Refused { code, message, .. } = says(403, words) else { panic!("{words}") };
            assert_eq!(code, "missing_scope");
            assert!(message.contains(named) && message.contains("--store ALIAS"), "{message}");
            assert_eq!(says(401, words).code(), "unauthorised");
        }
        for words in ["Invalid API key or access token", "Token không có quyền", ""] {
            assert_eq!(says(403, words).code(), "unauthorised", "{words}");
        }
    }

    #[test]
    fn statuses_have_one_meaning_at_every_api() {
        let html = "<html>Bad gateway</html>";
        let failing = |answer: &Answer| match classify(Asked::Other, "order 1", answer) {
            CallError::Failing { code, done, not_before, .. } => (code, done, not_before),
            other => panic!("{other:?}"),
        };
        assert_eq!(failing(&answer(500, None, html)), ("server_error", Done::Unknown, None));
        assert_eq!(failing(&answer(503, None, html)), ("server_error", Done::Unknown, None));
        assert_eq!(failing(&answer(503, Some(9_000), html)), ("unavailable", Done::No, Some(9_000)));
        assert_eq!(failing(&answer(302, None, "")), ("redirected", Done::Unknown, None));
        assert_eq!(failing(&answer(404, None, html)), ("unknown_path", Done::No, None));
        assert_eq!(failing(&answer(400, None, html)), ("unreadable_answer", Done::No, None));
        assert_eq!(classify(Asked::Other, "x", &answer(401, None, "{}")).code(), "unauthorised");
        assert_eq!(classify(Asked::Other, "x", &answer(403, None, html)).code(), "unauthorised");
        assert_eq!(classify(Asked::Other, "x", &answer(429, None, "")), CallError::Throttled { until: 3_000 });
    }
}
