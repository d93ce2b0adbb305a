//! Why a site does not do what it is asked, in each of the forms that Sapo Web's answers have.

use serde_json::{Map, Value, json};

/// A refusal: its HTTP status and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub body: Value,
}

impl Refusal {
    /// 422, `{"errors": {"field": ["message"]}}`.
    pub fn field(field: &str, message: &str) -> Self {
        Self::errors(json!([message]), field)
    }

    /// 422, `{"errors": {"field": "message"}}`.
    pub fn word(field: &str, message: &str) -> Self {
        Self::errors(json!(message), field)
    }

    /// `{"errors": "message"}`.
    pub fn message(status: u16, message: &str) -> Self {
        Self { status, body: json!({"errors": message}) }
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::message(404, "Not Found")
    }

    /// 404 of a path that does not exist: the web server's own page.
    pub fn no_path() -> Self {
        Self { status: 404, body: Value::Null }
    }

    /// 422 of a body without its object.
    pub fn missing(object: &str) -> Self {
        Self::word(object, "Required parameter missing or invalid")
    }

    /// The messages, for people.
    pub fn text(&self) -> String {
        match &self.body["errors"] {
            Value::Object(errors) => errors
                .iter()
                .map(|(field, message)| format!("{field}: {}", words(message)))
                .collect::<Vec<_>>()
                .join("; "),
            message => words(message),
        }
    }

    fn errors(message: Value, field: &str) -> Self {
        let mut errors = Map::new();
        errors.insert(field.to_owned(), message);
        Self { status: 422, body: json!({"errors": errors}) }
    }
}

fn words(message: &Value) -> String {
    match message {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What a rule of the site allows, or why not.
pub(crate) type Ruled<T> = Result<T, Refusal>;
