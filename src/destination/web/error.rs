//! What Sapo Web's refusals mean, by its own words.

use crate::destination::error::{CallError, Done};
use crate::destination::http::Answer;
use crate::destination::redact::redact;
use crate::destination::refusal::{Meanings, meaning, missing_scope, words};

/// What was asked, where the same words mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A list, or the making of something new.
    Other,
    /// An object that is there: `{"errors":"Not Found"}` means that it is not.
    Object,
    /// Cancel an order.
    Cancel,
    /// Ship an order.
    Fulfil,
}

/// Words of a refusal, and its meaning. The documents name few of them: taken by meaning, in both languages.
const MEANINGS: Meanings = &[
    (&["not tracked"], "unmanaged"),
    (&["tracking", "enabled"], "unmanaged"),
    (&["inventory_management"], "unmanaged"),
    (&["not managed"], "unmanaged"),
    (&["không quản lý"], "unmanaged"),
    (&["already", "cancel"], "conflict_cancelled"),
    (&["has been cancelled"], "conflict_cancelled"),
    (&["đã bị hủy"], "conflict_cancelled"),
    (&["đã hủy"], "conflict_cancelled"),
    (&["already", "fulfilled"], "conflict_fulfilled"),
    (&["đã giao"], "conflict_fulfilled"),
    (&["đã được giao"], "conflict_fulfilled"),
    (&["already been taken"], "duplicate"),
    (&["already exists"], "duplicate"),
    (&["đã tồn tại"], "duplicate"),
    (&["đã trùng"], "duplicate"),
    (&["not found"], NOT_FOUND),
    (&["không tìm thấy"], NOT_FOUND),
    (&["không tồn tại"], NOT_FOUND),
];

const NOT_FOUND: &str = "unknown_reference";

/// Says what an answer without success means.
pub fn classify(asked: Asked, what: &str, answer: &Answer) -> CallError {
    if let Some(error) = missing_scope(answer, "web", "--web SITE").or_else(|| CallError::of_status(answer)) {
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
    match (meaning(MEANINGS, &message), asked) {
        ("conflict_cancelled", Asked::Cancel) | ("conflict_fulfilled", Asked::Fulfil) => {
            CallError::AlreadySo { message }
        }
        (NOT_FOUND, Asked::Object | Asked::Cancel | Asked::Fulfil) => CallError::NotFound { what: what.to_owned() },
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
    fn every_known_error_has_its_meaning() {
        let rows: Vec<Value> = serde_json::from_str(include_str!("../../../tests/fixtures/web/errors.json")).unwrap();
        let expected = [
            ("a field is refused", "refused", "price: is not a number"),
            ("one message", "not_found", ""),
            ("a field with one message", "refused", "source_name: is protected"),
            ("OAuth", "refused", "The authorization code was not found or was already used"),
            ("too many calls", "throttled", ""),
        ];
        assert_eq!(rows.len(), expected.len());
        for (row, (when, code, words)) in rows.iter().zip(expected) {
            assert_eq!(row["when"], when);
            let retry_after = row.pointer("/headers/Retry-After").map(|_| 3_000);
            let answer = answer(row["status"].as_u64().unwrap() as u16, retry_after, row["body"].to_string());
            let asked = if when == "OAuth" { Asked::Other } else { Asked::Object };
            let error = classify(asked, "variant 1", &answer);
            let code = if when == "OAuth" { "unknown_reference" } else { code };
            assert_eq!(error.code(), code, "{when}");
            if let CallError::Refused { message, .. } = error {
                assert_eq!(message, words, "{when}");
            }
        }
    }

    #[test]
    fn a_scope_that_is_missing_is_named_and_a_bad_token_is_not_taken_for_it() {
        let says = |words: &str| answer(403, None, json!({ "errors": words }).to_string());
        let CallError::Refused { code, message, .. } = classify(
            Asked::Other,
            "x",
            &says("[API] This action requires merchant approval for write_products scope."),
        ) else {
            panic!()
        };
        assert_eq!(code, "missing_scope");
        assert!(message.contains("the web's app lacks write_products:") && message.contains("--web SITE"), "{message}");
        assert_eq!(classify(Asked::Other, "x", &says("scope is not enough")).code(), "missing_scope");
        assert_eq!(classify(Asked::Other, "x", &says("The app has no permission")).code(), "missing_scope");
        for words in ["Invalid API key", "The access token gives no permission", ""] {
            assert_eq!(classify(Asked::Other, "x", &says(words)).code(), "unauthorised", "{words}");
        }
        assert_eq!(classify(Asked::Other, "x", &answer(403, None, "<html>")).code(), "unauthorised");
        assert_eq!(classify(Asked::Other, "x", &answer(401, None, "{}")).code(), "unauthorised");
    }

    #[test]
    fn what_is_so_already_is_so_only_for_the_call_that_asked_for_it() {
        let says = |words: &str| answer(422, None, json!({"errors": {"order": [words]}}).to_string());
        let cancelled = says("Đơn hàng đã bị huỷ");
        assert_eq!(classify(Asked::Cancel, "order 1", &cancelled).code(), "already_so");
        assert_eq!(classify(Asked::Fulfil, "order 1", &cancelled).code(), "conflict_cancelled");
        let shipped = says("Order is already fulfilled");
        assert_eq!(classify(Asked::Fulfil, "order 1", &shipped).code(), "already_so");
        assert_eq!(classify(Asked::Cancel, "order 1", &shipped).code(), "conflict_fulfilled");
    }

    #[test]
    fn a_variant_whose_stock_is_not_counted_says_so() {
        for words in ["Inventory item does not have inventory tracking enabled", "Sản phẩm không quản lý tồn kho"]
        {
            let answer = answer(422, None, json!({ "errors": words }).to_string());
            assert_eq!(classify(Asked::Object, "variant 1", &answer).code(), "unmanaged", "{words}");
        }
    }
}
