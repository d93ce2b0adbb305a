//! The words of a Sapo API's refusal, and what they mean.

use serde_json::Value;

use super::error::CallError;
use super::fields::folded;
use super::http::Answer;
use super::redact::redact;

/// Words of a refusal, folded, and its meaning; the first row all of whose words occur counts.
pub type Meanings = &'static [(&'static [&'static str], &'static str)];

/// What comes before the API's own words.
const SAYS: &str = " Sapo says: ";

/// What a refusal means: a stable word; `refused` where the table does not know its words.
pub fn meaning(table: Meanings, message: &str) -> &'static str {
    let message = folded(message);
    table.iter().find(|(words, _)| words.iter().all(|word| message.contains(word))).map_or("refused", |(_, code)| code)
}

/// A 403 that speaks of a scope or a permission is not about the token: the app was granted too little. `app` says
/// whose app it is, `flag` what `connect authorize` takes for it.
pub fn missing_scope(answer: &Answer, app: &str, flag: &str) -> Option<CallError> {
    if answer.status != 403 || !answer.is_json_object() {
        return None;
    }
    let message = words(&answer.body);
    let scopes = scopes_in(&message);
    if scopes.is_empty() && !speaks_of_scopes(&message) {
        return None;
    }
    let named = if scopes.is_empty() { "a permission".to_owned() } else { scopes.join(", ") };
    Some(CallError::Refused {
        code: "missing_scope",
        message: format!(
            "the {app}'s app lacks {named}: grant it (cấp thêm quyền; private app: Ứng dụng riêng; OAuth: `sapo-sync connect authorize {flag}` again).{SAYS}{}",
            redact(&message)
        ),
        answer: Some(answer.excerpt()),
    })
}

/// The scopes that a message names: `write_products`.
fn scopes_in(message: &str) -> Vec<&str> {
    message
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| ["read_", "write_"].iter().any(|begin| word.len() > begin.len() && word.starts_with(begin)))
        .collect()
}

/// Whether a missing scope's message repeats one that names a scope; others may be about the whole shop.
pub fn names_a_scope(message: &str) -> bool {
    let said = message.split_once(SAYS).map_or(message, |(_, said)| said);
    said.contains("scope") || !scopes_in(said).is_empty()
}

/// Whether a message is about what the app may do; one about its token is not.
fn speaks_of_scopes(message: &str) -> bool {
    let message = folded(message);
    let has = |word: &str| message.contains(word);
    has("scope") || ((has("permission") || has("quyền")) && !has("token") && !has("api key"))
}

/// The words of an error body, in every shape that Sapo's APIs have: `{"data_error":{"errors":{field: message}}}`,
/// `{"error":{"message"}}`, `{"errors":…}` with a message, messages or fields, `{"error","error_description"}`.
pub fn words(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/data_error/errors", "/error/message", "/errors", "/error_description", "/error", "/message"];
    let found = places.iter().filter_map(|place| value.pointer(place)).map(said).find(|said| !said.is_empty());
    found.unwrap_or_else(|| "no reason given".to_owned())
}

fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(all) => all.iter().map(said).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let parts = fields.iter().map(|(field, message)| match (field.as_str(), said(message)) {
                ("", message) => message,
                (field, message) => format!("{field}: {message}"),
            });
            parts.collect::<Vec<_>>().join("; ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_apis_own_words_tell_whether_a_scope_is_named() {
        for (said, named) in [
            ("This action requires merchant approval for read_inventory scope.", true),
            ("[API] write_orders", true),
            ("Bạn không có quyền truy cập cửa hàng này", false),
        ] {
            let message =
                format!("the web's app lacks a permission: grant it (`connect authorize --web`).{SAYS}{said}");
            assert_eq!(names_a_scope(&message), named, "{said}");
        }
    }
}
