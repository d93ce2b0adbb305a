//! Sapo Web's HTTP API: all sites behind one listener, each under its alias.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request as HttpRequest, State as Shared};
use axum::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::oauth::{access_token, authorize};
use super::read::read;
use super::refusal::{Refusal, Ruled};
use super::write::write;
use super::{WebPart, WebSite};
use crate::sandbox::Api;
use crate::sandbox::form;
use crate::sandbox::gate::{self, Answer, Request};
use crate::sandbox::inner::Inner;
use crate::sandbox::lists::Query;
use crate::sandbox::serve::Line;

/// The most that a site reads of a request.
const LARGEST: usize = 4 << 20;

/// The server of all sites.
pub(crate) fn router(inner: &Arc<Inner>) -> Router {
    Router::new().fallback(handle).with_state(Arc::clone(inner))
}

async fn handle(
    Shared(inner): Shared<Arc<Inner>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: HttpRequest,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let method = parts.method.as_str().to_owned();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (site, path) = address(host, parts.uri.path());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let writing = method != "GET";
    let known = path.is_some();
    let path = path.unwrap_or_else(|| parts.uri.path().trim_matches('/').to_owned());
    let mut request =
        Request { api: Api::Web, site: Some(site), method, path, query, headers: parts.headers, body, line, writing };
    if request.site.as_deref().and_then(|alias| inner.web(alias)).is_none() {
        request.site = nameless(&inner, &request).or(request.site);
    }
    gate::pass(inner, request, move |inner, request| {
        let site = request.site.as_deref().and_then(|alias| inner.web(alias));
        match site.filter(|_| known) {
            Some(site) => admin(inner, site, request),
            None => Answer::html(404),
        }
    })
    .await
}

/// The site that is called, and the path after `/admin/`: by the host's name as in real life, or under `/{alias}`.
fn address(host: &str, path: &str) -> (String, Option<String>) {
    let path = path.trim_start_matches('/');
    let plain = |path: &str| path.trim_end_matches('/').trim_end_matches(".json").to_owned();
    if let Some(rest) = path.strip_prefix("admin/") {
        return (host.split('.').next().unwrap_or_default().to_owned(), Some(plain(rest)));
    }
    let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
    (alias.to_owned(), rest.strip_prefix("admin/").map(plain))
}

/// The site of a caller who names none, for the listener's bare address names none: the one whose token is shown, else
/// the only one.
fn nameless(inner: &Inner, request: &Request) -> Option<String> {
    let sites = inner.webs();
    let known = sites.iter().find(|site| known_caller(&site.config, request));
    known.or(sites.first().filter(|_| sites.len() == 1)).map(|site| site.config.alias.clone())
}

/// Everything under `/admin/` of one site.
fn admin(inner: &Inner, site: &WebPart, request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "oauth/authorize") => return authorize(inner, site, request),
        ("POST", "oauth/access_token") => return access_token(site, request),
        _ => {}
    }
    if !site.state().installed || !known_caller(&site.config, request) {
        return refused(&Refusal::message(
            401,
            "[API] Invalid API key or access token (unrecognized login or wrong password)",
        ));
    }
    let parts: Vec<&str> = request.path.split('/').collect();
    if let Some(scope) = scope(request.writing, parts[0]).filter(|scope| !site.config.allows(scope)) {
        // Assumed: status and words are those of the systems that Sapo Web resembles.
        return refused(&Refusal::message(
            403,
            &format!("[API] This action requires merchant approval for {scope} scope."),
        ));
    }
    if parts[0] == "inventory_levels" && site.state().manner.no_levels {
        return Answer::html(404);
    }
    let (outcome, changes) = site.with(|state| {
        if request.writing {
            let body = form::body(request.header("content-type"), &request.body);
            let body = body.ok_or_else(|| Refusal::message(400, "Bad Request"))?;
            write(state, &request.method, &parts, &body)
        } else {
            read(state, &parts, &Query::read(&request.query))
        }
    });
    let mut answer = match outcome {
        Ok(Done { status, body, object }) => Answer { object_id: object, ..Answer::json(status, &body) },
        Err(refusal) => refused(&refusal),
    };
    answer.changes = changes;
    answer
}

/// Whether the caller has the token, or the private app's key and secret.
fn known_caller(site: &WebSite, request: &Request) -> bool {
    let current = request.header("x-sapo-access-token");
    let token = if current.is_empty() { request.header("x-bizweb-access-token") } else { current };
    if !token.is_empty() {
        return token == site.access_token;
    }
    let basic =
        request.header("authorization").strip_prefix("Basic ").and_then(|coded| STANDARD.decode(coded.trim()).ok());
    let expected = site.private_app.as_ref().map(|(key, secret)| format!("{key}:{secret}").into_bytes());
    basic.is_some() && basic == expected
}

/// The scope that a call needs, if any.
fn scope(writing: bool, family: &str) -> Option<String> {
    let what = match family {
        "products" | "variants" => "products",
        "inventory_levels" => "inventory",
        "orders" => "orders",
        "customers" => "customers",
        _ => return None,
    };
    Some(format!("{}_{what}", if writing { "write" } else { "read" }))
}

/// A refusal as an answer.
fn refused(refusal: &Refusal) -> Answer {
    if refusal.body.is_null() { Answer::html(refusal.status) } else { Answer::json(refusal.status, &refusal.body) }
}

/// What a call comes to.
pub(super) struct Done {
    status: u16,
    body: Value,
    object: Option<u64>,
}

/// A plain answer.
#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
pub(super) fn ok(body: Value) -> Ruled<Done> {
    Ok(Done { status: 200, body, object: None })
}

/// The answer of a change.
#[allow(clippy::unnecessary_wraps, reason = "the last word of every branch")]
pub(super) fn done(status: u16, body: Value, object: u64) -> Ruled<Done> {
    Ok(Done { status, body, object: Some(object) })
}

/// An id in a path.
pub(super) fn number(text: &str) -> Ruled<u64> {
    text.parse().map_err(|_| Refusal::not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_by_its_path_or_by_its_host() {
        let found = |alias: &str, path: &str| (alias.to_owned(), Some(path.to_owned()));
        assert_eq!(address("127.0.0.1:1", "/webmau/admin/products/1.json"), found("webmau", "products/1"));
        assert_eq!(address("webmau.mysapo.net", "/admin/orders.json"), found("webmau", "orders"));
        assert_eq!(address("127.0.0.1:1", "/webmau/orders.json").1, None);
    }
}
