//! What Abaha's refusals mean, by its own words: they come with HTTP 200 and `status` 0.

use crate::destination::error::{CallError, DEFAULT_PAUSE, Done};
use crate::destination::fields::folded;
use crate::destination::http::Answer;
use crate::destination::redact::redact;

use super::wire::Reply;

/// What was asked, where the same words mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To read or change an object that is there.
    Of(Noun),
    /// To cancel an order.
    Cancel,
    /// To create something, or to list.
    Other,
}

/// What an object is called in Abaha's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// sản phẩm
    Product,
    /// danh mục
    Category,
    /// khách hàng
    Customer,
    /// đơn hàng
    Order,
}

const NOUNS: &[(&str, Noun, &str)] = &[
    ("sản phẩm", Noun::Product, "unknown_product"),
    ("danh mục", Noun::Category, "unknown_category"),
    ("khách hàng", Noun::Customer, "unknown_customer"),
    ("đơn hàng", Noun::Order, "unknown_order"),
];

/// Takes what an answer holds, or says what its refusal means.
pub fn accept<'a>(asked: Asked, what: &str, answer: &'a Answer) -> Result<&'a [u8], CallError> {
    if let Some(error) = CallError::of_status(answer) {
        return Err(error);
    }
    let reply = Reply::read(&answer.body).map_err(|_| CallError::unreadable(answer))?;
    let excerpt = || Some(answer.excerpt());
    match reply.status() {
        Some(200) if answer.is_success() => Ok(reply.data()),
        Some(200) | None => Err(CallError::unreadable(answer)),
        Some(401 | 403) => Err(CallError::Unauthorised { answer: excerpt() }),
        Some(429) => Err(CallError::Throttled { until: answer.retry_after.unwrap_or(answer.at + DEFAULT_PAUSE) }),
        Some(500..) => Err(CallError::Failing {
            code: "server_error",
            done: Done::Unknown,
            not_before: answer.retry_after,
            answer: excerpt(),
        }),
        Some(404) => Err(missing(asked, what, redact(&reply.message()), answer)),
        Some(_) => Err(refused(asked, what, redact(&reply.message()), answer)),
    }
}

fn refused(asked: Asked, what: &str, message: String, answer: &Answer) -> CallError {
    let words = folded(&message);
    let has = |word: &str| words.contains(word);
    let code = match () {
        () if has("token") && (has("hợp lệ") || has("hết hạn")) => {
            return CallError::Unauthorised { answer: Some(answer.excerpt()) };
        }
        () if has("không tồn tại") || has("không tìm thấy") => {
            return missing(asked, what, message, answer);
        }
        () if has("đã bị hủy") || has("đã hủy") => {
            if asked == Asked::Cancel {
                return CallError::AlreadySo { message };
            }
            "conflict_cancelled"
        }
        () if has("đã tồn tại") || has("đã trùng") || has("bị trùng") => "duplicate",
        () => "refused",
    };
    CallError::Refused { code, message, answer: Some(answer.excerpt()) }
}

/// "Does not exist": the object that was asked for, unless the words name another one.
fn missing(asked: Asked, what: &str, message: String, answer: &Answer) -> CallError {
    let words = folded(&message);
    let named = NOUNS.iter().find(|(noun, ..)| words.contains(noun));
    let own = match asked {
        Asked::Of(noun) => Some(noun),
        Asked::Cancel => Some(Noun::Order),
        Asked::Other => None,
    };
    match (own, named) {
        (Some(_), None) => CallError::NotFound { what: what.to_owned() },
        (Some(own), Some((_, noun, _))) if own == *noun => CallError::NotFound { what: what.to_owned() },
        (_, named) => {
            let code = named.map_or("unknown_reference", |(_, _, code)| code);
            CallError::Refused { code, message, answer: Some(answer.excerpt()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn code(asked: Asked, http: u16, body: &Value) -> &'static str {
        let answer = Answer { status: http, retry_after: None, at: 0, body: body.to_string().into() };
        accept(asked, "it", &answer).err().map_or("ok", |error| error.code())
    }

    #[test]
    fn the_samples_are_judged_by_the_status_in_the_body() {
        let rows: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/fixtures/abaha/answers.json")).unwrap();
        let codes: Vec<&str> =
            rows.iter().map(|row| code(Asked::Other, row["status"].as_u64().unwrap() as u16, &row["body"])).collect();
        assert_eq!(codes, ["ok", "unknown_product", "unauthorised"]);
    }

    #[test]
    fn refusals_are_understood_by_their_words_and_by_what_was_asked() {
        let order = Asked::Of(Noun::Order);
        let product = Asked::Of(Noun::Product);
        for (asked, message, expected) in [
            (order, "Đơn hàng không tồn tại", "not_found"),
            (order, "Không tìm thấy", "not_found"),
            (Asked::Cancel, "Không tìm thấy đơn hàng", "not_found"),
            (product, "Danh mục không tồn tại", "unknown_category"),
            (Asked::Other, "Không tồn tại", "unknown_reference"),
            (Asked::Other, "Mã sản phẩm đã tồn tại", "duplicate"),
            (Asked::Other, "Số điện thoại đã tồn tại", "duplicate"),
            (Asked::Cancel, "Đơn hàng đã bị huỷ", "already_so"),
            (order, "Đơn hàng đã bị hủy", "conflict_cancelled"),
            (order, "Token không hợp lệ", "unauthorised"),
            (order, "Có lỗi xảy ra", "refused"),
            (order, "", "refused"),
        ] {
            assert_eq!(
                code(asked, 200, &json!({"status": 0, "message": message, "data": null})),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn a_status_in_the_body_counts_like_that_of_http() {
        for (http, body, expected) in [
            (200, json!({"status": "200", "data": []}), "ok"),
            (200, json!({"status": 401}), "unauthorised"),
            (200, json!({"status": 404}), "not_found"),
            (200, json!({"status": 429}), "throttled"),
            (200, json!({"status": 500}), "server_error"),
            (200, json!({"message": "ok"}), "unreadable_answer"),
            (200, json!([1]), "unreadable_answer"),
            (422, json!({"status": 0, "message": "đã tồn tại"}), "duplicate"),
            (429, json!({}), "throttled"),
            (502, json!({"status": 200}), "server_error"),
        ] {
            assert_eq!(code(Asked::Of(Noun::Order), http, &body), expected, "{http} {body}");
        }
    }
}
