//! A call before it is sent, and its answer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::destination::error::{CallError, ClientError, Done};
use crate::destination::fields::object;
use crate::destination::redact::redact;
use crate::domain::clock::Millis;

/// How an API is told who calls.
#[derive(Clone)]
pub enum Auth {
    /// By a header of this name.
    Header(&'static str, SecretString),
    /// By a query parameter of this name: such a URL is a secret.
    Query(&'static str, SecretString),
    /// By a private app's key and secret (HTTP Basic).
    Basic(String, SecretString),
    /// Not at all: the body says it, as where a code is exchanged for a token.
    Nothing,
}

impl Auth {
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Header(_, token) | Self::Query(_, token) | Self::Basic(_, token) => token.expose_secret(),
            Self::Nothing => "",
        }
    }

    /// The header that says who calls, marked as a secret.
    pub(super) fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, CallError> {
        let not_sent = || CallError::failing("not_sent", Done::No);
        let (name, text) = match self {
            Self::Header(name, token) => {
                (HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_sent())?, token.expose_secret().to_owned())
            }
            Self::Basic(key, secret) => {
                (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{key}:{}", secret.expose_secret()))))
            }
            Self::Query(..) | Self::Nothing => return Ok(None),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| not_sent())?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        let graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let fine = match self {
            Self::Header(_, token) | Self::Query(_, token) => graphic(token.expose_secret()),
            // The key ends at the first colon.
            Self::Basic(key, secret) => graphic(key) && !key.contains(':') && graphic(secret.expose_secret()),
            Self::Nothing => true,
        };
        if fine { Ok(()) } else { Err(ClientError::Token) }
    }
}

/// One call, ready to be sent.
#[derive(Debug)]
pub struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Result<Vec<u8>, ()>>,
    pub(super) content_type: &'static str,
    pub(super) would: Option<String>,
}

impl Call {
    /// A call that changes nothing.
    pub fn read(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            content_type: "application/json",
            would: None,
        }
    }

    /// A `POST` that changes something; `would` says what, for dry runs: "create order ABH000001".
    pub fn write(path: impl Into<String>, would: impl Into<String>) -> Self {
        Self::write_with(Method::POST, path, would)
    }

    /// A call of another method that changes something: `PUT`, `DELETE`.
    pub fn write_with(method: Method, path: impl Into<String>, would: impl Into<String>) -> Self {
        Self { would: Some(would.into()), ..Self::read(method, path) }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a header with a number.
    pub fn header(mut self, name: &'static str, value: Option<u64>) -> Self {
        if let Some(value) = value {
            self.headers.insert(name, HeaderValue::from(value));
        }
        self
    }

    /// Sets the body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).map_err(|_| ()));
        self
    }

    /// Sets a body already written, of another type than JSON.
    pub fn body(mut self, content_type: &'static str, body: String) -> Self {
        self.content_type = content_type;
        self.body = Some(Ok(body.into_bytes()));
        self
    }
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as a moment.
    pub retry_after: Option<Millis>,
    /// When it was read.
    pub at: Millis,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Whether the status says success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the body is a JSON object.
    pub fn is_json_object(&self) -> bool {
        object(&self.body).is_ok()
    }

    /// Its beginning, redacted, for people.
    pub fn excerpt(&self) -> String {
        let beginning = &self.body[..self.body.len().min(8_192)];
        format!("HTTP {}: {}", self.status, redact(String::from_utf8_lossy(beginning).trim()))
    }
}
