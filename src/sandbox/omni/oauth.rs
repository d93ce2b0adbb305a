//! Omni's OAuth: the shop's owner always agrees.

use serde_json::json;

use super::http::refused;
use super::shop::Refusal;
use crate::sandbox::amount::text;
use crate::sandbox::form;
use crate::sandbox::gate::{Answer, Request};
use crate::sandbox::inner::Inner;
use crate::sandbox::lists::Query;
use crate::sandbox::sign::hex_signature;

/// Sends the browser back with a code, as if the owner had agreed.
pub(super) fn authorize(inner: &Inner, request: &Request) -> Answer {
    let query = Query::read(&request.query);
    let (Some(redirect), Some(_)) = (query.get("redirect_uri"), query.get("client_id")) else {
        return refused(&Refusal::message(400, "client_id and redirect_uri are required"));
    };
    let now = inner.clock.now();
    let number = inner.shop().next_id("code");
    let code = hex_signature(&inner.config.webhook_secret, format!("{now}{number}{redirect}").as_bytes());
    let mut pairs = vec![
        ("code", code[..32].to_owned()),
        ("store", format!("{}.mysapogo.com", inner.config.alias)),
        ("timestamp", now.to_string()),
    ];
    pairs.extend(query.get("state").map(|state| ("state", state.to_owned())));
    pairs.sort();
    let signed: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", value.replace('%', "%25").replace('&', "%26"))).collect();
    pairs.push(("hmac", hex_signature(&inner.config.webhook_secret, signed.join("&").as_bytes())));
    let written: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", form::encode(value))).collect();
    let mark = if redirect.contains('?') { '&' } else { '?' };
    let mut answer = Answer::html(302);
    answer.headers.push(("location", format!("{redirect}{mark}{}", written.join("&"))));
    answer
}

/// Exchanges a code, once, for the access token.
pub(super) fn access_token(inner: &Inner, request: &Request) -> Answer {
    let body = form::body(request.header("content-type"), &request.body).unwrap_or_default();
    let code = text(&body["code"]);
    let known = text(&body["client_id"]).is_some() && body["client_secret"] == inner.config.webhook_secret.as_str();
    if known && code.is_some_and(|code| inner.shop().used_codes.insert(code)) {
        // To agree is to install.
        inner.shop().installed = true;
        return Answer::json(200, &json!({"access_token": inner.config.access_token}));
    }
    refused(&Refusal::message(401, "Mã xác thực hoặc khóa bí mật không đúng"))
}
