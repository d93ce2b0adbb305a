//! The exchange of a code for an access token; both Sapo APIs have the same one.
//!
//! Bodies as JSON and as a form have both been seen in working code, so the form is the second try. Whether the answer
//! tells the granted scopes is unconfirmed.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::domain::event::System;

use super::error::{CallError, ClientError, Done, WireError};
use super::fields::{object, text};
use super::http::{Answer, Api, Auth, Call, Http};
use super::limit::Class;
use super::redact::redact;
use super::refusal::words;

/// Where codes are exchanged.
const PATH: &str = "admin/oauth/access_token";

/// What the app says of itself with a code.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    /// The app's API key.
    pub client_id: &'a str,
    /// The app's secret key.
    pub client_secret: &'a SecretString,
    /// The code that came back with the owner's browser.
    pub code: &'a str,
}

impl fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What a shop granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token; it does not expire.
    pub token: SecretString,
    /// What it allows, where the answer tells.
    pub scopes: Option<Vec<String>>,
}

/// Exchanges codes at one shop.
#[derive(Clone, Debug)]
pub struct OauthClient {
    api: Api,
}

impl OauthClient {
    /// Makes the client of a shop (Sapo Omni) or a web (Sapo Web), at its own host or at another base address.
    ///
    /// # Errors
    /// [`ClientError`] where name or address cannot be right, or the host is not the API's own.
    pub fn new(http: &Http, system: System, name: &str, base_url: Option<&str>) -> Result<Self, ClientError> {
        let own_host: fn(&str) -> bool = match system {
            System::Web => |host| is_shop_of(host, ".mysapo.net"),
            System::Omni | System::Abaha => |host| is_shop_of(host, ".mysapogo.com"),
        };
        let base = base_of(system, name, base_url)?;
        Ok(Self { api: http.api(system, name, &base, own_host, Auth::Nothing)?.class(Class::Order) })
    }

    /// Exchanges a code for an access token. Not repeatable: a code is good for once.
    pub async fn exchange(&self, code: Code<'_>) -> Result<Granted, CallError> {
        let fields =
            [("client_id", code.client_id), ("client_secret", code.client_secret.expose_secret()), ("code", code.code)];
        let json: BTreeMap<&str, &str> = fields.into_iter().collect();
        let mut result = self.send(call().json(&json), code).await;
        if let Err(CallError::Refused { code: OTHER_BODY, .. }) = result {
            let form = form(&fields).ok_or_else(|| CallError::failing("not_sent", Done::No))?;
            result = self.send(call().body("application/x-www-form-urlencoded", form), code).await;
        }
        result.map_err(|error| match error {
            CallError::Refused { code: OTHER_BODY, message, answer } => {
                CallError::Refused { code: REFUSED, message, answer }
            }
            other => other,
        })
    }

    async fn send(&self, call: Call, code: Code<'_>) -> Result<Granted, CallError> {
        let result = self.api.send(call, judge).await;
        result.map_err(|error| error.without(code.client_secret.expose_secret()).without(code.code))
    }
}

/// The address of a shop's API.
///
/// # Errors
/// [`ClientError::Name`] where the name is none of a shop.
pub fn base_of(system: System, name: &str, base_url: Option<&str>) -> Result<String, ClientError> {
    let fine = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !fine {
        return Err(ClientError::Name(name.to_owned()));
    }
    let domain = if system == System::Web { "mysapo.net" } else { "mysapogo.com" };
    Ok(base_url.map_or_else(|| format!("https://{name}.{domain}"), |base| base.trim_end_matches('/').to_owned()))
}

/// Fields as a form or a query has them.
pub fn form(fields: &[(&str, &str)]) -> Option<String> {
    let mut url = Url::parse("http://localhost").ok()?;
    url.query_pairs_mut().extend_pairs(fields);
    url.query().map(ToOwned::to_owned)
}

/// The shop may want the other kind of body.
const OTHER_BODY: &str = "exchange_body";
const REFUSED: &str = "exchange_refused";

fn call() -> Call {
    Call::write_with(Method::POST, PATH, "exchange a code for an access token")
}

/// No answer of this call is kept: it may hold a token.
fn judge(answer: &Answer) -> Result<Granted, CallError> {
    let refused = |code| CallError::Refused { code, message: redact(&words(&answer.body)), answer: None };
    match answer.status {
        400 | 415 => Err(refused(OTHER_BODY)),
        401 | 403 | 404 | 422 => Err(refused(REFUSED)),
        _ if answer.is_success() => read(&answer.body).map_err(|_| unreadable()),
        _ => Err(match CallError::of_status(answer) {
            Some(CallError::Failing { code, done, not_before, .. }) => {
                CallError::Failing { code, done, not_before, answer: None }
            }
            Some(other) => other,
            None => refused(REFUSED),
        }),
    }
}

fn unreadable() -> CallError {
    CallError::failing("unreadable_answer", Done::Unknown)
}

fn read(body: &[u8]) -> Result<Granted, WireError> {
    let it = object(body)?;
    let token = text(&it, "access_token").ok_or(WireError::Missing("access_token"))?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(WireError::Bad("access_token"));
    }
    Ok(Granted { token: token.into(), scopes: it.get("scope").or_else(|| it.get("scopes")).and_then(scopes) })
}

/// Scopes as a list, or with commas or blanks between them.
fn scopes(value: &Value) -> Option<Vec<String>> {
    let words = |text: &str| {
        let words = text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
        words.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    match value {
        Value::String(text) => Some(words(text)),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).flat_map(words).collect()),
        _ => None,
    }
}

fn is_shop_of(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|shop| !shop.is_empty() && !shop.contains('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{any, body_json, body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::destination::http::tests::{TOKEN, http, token};

    async fn exchange(server: &MockServer) -> Result<Granted, CallError> {
        let client = OauthClient::new(&http(), System::Web, "webmau", Some(&format!("{}/webmau", server.uri())));
        client.unwrap().exchange(Code { client_id: "khoa", client_secret: &token(), code: "c0de&1" }).await
    }

    #[tokio::test]
    async fn a_code_is_exchanged_with_a_json_body() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/webmau/admin/oauth/access_token"))
            .and(body_json(json!({"client_id": "khoa", "client_secret": TOKEN, "code": "c0de&1"})))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": "t0ken", "scope": "a, b"})))
            .expect(1)
            .mount(&server)
            .await;
        let granted = exchange(&server).await.unwrap();
        assert_eq!(granted.token.expose_secret(), "t0ken");
        assert_eq!(granted.scopes, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(!format!("{granted:?}").contains("t0ken"));
    }

    #[tokio::test]
    async fn where_json_is_not_taken_a_form_is() {
        for status in [400, 415] {
            let server = MockServer::start().await;
            Mock::given(header("content-type", "application/x-www-form-urlencoded"))
                .and(body_string(format!("client_id=khoa&client_secret={TOKEN}&code=c0de%261")))
                .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": "t0ken"})))
                .expect(1)
                .mount(&server)
                .await;
            Mock::given(header("content-type", "application/json"))
                .respond_with(ResponseTemplate::new(status))
                .expect(1)
                .mount(&server)
                .await;
            assert_eq!(exchange(&server).await.unwrap().scopes, None, "{status}");
        }
    }

    #[tokio::test]
    async fn no_error_of_it_repeats_a_secret() {
        for (status, code) in [(400, REFUSED), (401, REFUSED), (500, "server_error"), (302, "redirected")] {
            let server = MockServer::start().await;
            let body = json!({"error": "invalid", "error_description": format!("code c0de&1 of {TOKEN} was used")});
            Mock::given(any()).respond_with(ResponseTemplate::new(status).set_body_json(body)).mount(&server).await;
            let error = exchange(&server).await.unwrap_err();
            assert_eq!(error.code(), code);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("c0de&1") && !shown.contains(TOKEN), "{shown}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_none() {
        for body in ["{}", r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#, "<html>"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        let list = read(br#"{"access_token":"t","scopes":["a","b c"]}"#).unwrap().scopes.unwrap();
        assert_eq!(list, ["a", "b", "c"]);
    }
}
