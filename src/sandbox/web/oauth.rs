//! Sapo Web's OAuth: the site's owner always agrees.

use serde_json::{Value, json};

use super::WebPart;
use crate::sandbox::amount::text;
use crate::sandbox::form;
use crate::sandbox::gate::{Answer, Request};
use crate::sandbox::inner::Inner;
use crate::sandbox::lists::Query;
use crate::sandbox::sign::{base64_signature, hex_signature};

/// Sends the browser back with a code, as if the owner had agreed.
pub(super) fn authorize(inner: &Inner, site: &WebPart, request: &Request) -> Answer {
    let query = Query::read(&request.query);
    let (Some(redirect), Some(_)) = (query.get("redirect_uri"), query.get("client_id")) else {
        return oauth_error("invalid_request", "client_id and redirect_uri are required");
    };
    let now = inner.clock.now();
    let secret = &site.config.webhook_secret;
    let code = {
        let mut state = site.state();
        let number = state.next_id("code");
        let code = hex_signature(secret, format!("{now}{number}{redirect}").as_bytes())[..32].to_owned();
        state.codes.insert(code.clone());
        code
    };
    let mut pairs =
        vec![("code", code), ("store", format!("{}.mysapo.net", site.config.alias)), ("timestamp", now.to_string())];
    pairs.extend(query.get("state").map(|state| ("state", state.to_owned())));
    pairs.sort();
    let signed: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", value.replace('%', "%25").replace('&', "%26"))).collect();
    let signed = signed.join("&");
    // The old signature comes along and is not part of what the new one signs.
    pairs.push(("signature", hex_signature(secret, format!("old {signed}").as_bytes())));
    pairs.push(("hmac", base64_signature(secret, signed.as_bytes())));
    let written: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", form::encode(value))).collect();
    let mark = if redirect.contains('?') { '&' } else { '?' };
    let mut answer = Answer::html(302);
    answer.headers.push(("location", format!("{redirect}{mark}{}", written.join("&"))));
    answer
}

/// Exchanges a code that was given out, once, for the access token.
pub(super) fn access_token(site: &WebPart, request: &Request) -> Answer {
    let body: Value = form::body(request.header("content-type"), &request.body).unwrap_or_default();
    let known = text(&body["client_id"]).is_some() && body["client_secret"] == site.config.webhook_secret.as_str();
    if !known {
        return oauth_error("invalid_client", "The client is unknown or its secret is wrong");
    }
    if !text(&body["code"]).is_some_and(|code| site.state().codes.remove(&code)) {
        return oauth_error("invalid_request", "The authorization code was not found or was already used");
    }
    // To agree is to install.
    site.state().installed = true;
    Answer::json(200, &json!({"access_token": site.config.access_token, "scope": site.config.scopes.join(",")}))
}

fn oauth_error(error: &str, description: &str) -> Answer {
    Answer::json(400, &json!({"error": error, "error_description": description}))
}
