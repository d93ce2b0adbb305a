//! Where the browser of a shop's owner starts and lands with OAuth, and what it is shown.
//!
//! The page repeats nothing of the query, and no query says where a browser is led. Every refusal looks the same: the
//! reason is for the log.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;

use crate::domain::event::System;

/// The longest query that is read, in bytes.
const LONGEST: usize = 8 * 1024;

/// Takes the parameters of a redirect; tells whether the owner's grant is in place.
pub type Land = Arc<dyn Fn(System, Vec<(String, String)>) -> BoxFuture<'static, bool> + Send + Sync>;

/// Takes the word of a question; tells where its owner is asked, while it is open.
pub type Start = Arc<dyn Fn(System, String) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Answers the links and the redirects of OAuth.
#[derive(Clone)]
pub struct OauthReceiver {
    start: Start,
    land: Land,
}

impl OauthReceiver {
    /// Makes one that asks `start` where links lead, and hands redirects to `land`.
    pub fn new(start: Start, land: Land) -> Self {
        Self { start, land }
    }
}

/// The endpoints: `/oauth/{omni,web}/start` leads to the shop, `/oauth/{omni,web}/callback` is where it leads back to.
pub fn router(receiver: OauthReceiver) -> Router {
    Router::new()
        .route("/oauth/omni/start", get(|state, uri| lead(System::Omni, state, uri)))
        .route("/oauth/web/start", get(|state, uri| lead(System::Web, state, uri)))
        .route("/oauth/omni/callback", get(|state, method, uri| answer(System::Omni, state, method, uri)))
        .route("/oauth/web/callback", get(|state, method, uri| answer(System::Web, state, method, uri)))
        .with_state(receiver)
}

async fn lead(source: System, State(receiver): State<OauthReceiver>, uri: Uri) -> Response {
    let address = match word(&uri) {
        Some(word) => (receiver.start)(source, word).await,
        None => None,
    };
    match address.and_then(|address| HeaderValue::try_from(address).ok()) {
        Some(address) => {
            let mut response = dressed(StatusCode::FOUND.into_response());
            response.headers_mut().insert(header::LOCATION, address);
            response
        }
        None => page(false),
    }
}

/// The word of the question that a link names; none where it names several.
fn word(uri: &Uri) -> Option<String> {
    let mut words = pairs(uri)?.into_iter().filter(|(key, _)| key == "state").map(|(_, word)| word);
    let word = words.next()?;
    words.next().is_none().then_some(word)
}

async fn answer(source: System, State(receiver): State<OauthReceiver>, method: Method, uri: Uri) -> Response {
    let granted = match pairs(&uri) {
        // A look at the head alone is no answer of an owner.
        Some(pairs) if method == Method::GET => (receiver.land)(source, pairs).await,
        _ => false,
    };
    page(granted)
}

fn pairs(uri: &Uri) -> Option<Vec<(String, String)>> {
    if uri.query().is_none_or(|query| query.len() > LONGEST) {
        return None;
    }
    Query::try_from_uri(uri).ok().map(|Query(pairs)| pairs)
}

fn page(granted: bool) -> Response {
    let (status, body) = if granted { (StatusCode::OK, GRANTED_PAGE) } else { (StatusCode::BAD_REQUEST, REFUSED_PAGE) };
    dressed((status, body).into_response())
}

/// With what keeps an answer out of caches, frames and other sites' logs.
fn dressed(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

const GRANTED_PAGE: &str = r#"<!doctype html>
<html lang="vi">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>sapo-sync</title></head>
<body>
<h1>Đã cấp quyền</h1>
<p>sapo-sync đã nhận được quyền truy cập cửa hàng. Bạn có thể đóng trang này và quay lại màn hình đã mở liên kết.</p>
<p>Bước tiếp theo: chọn chi nhánh, nhân viên và nguồn đơn hàng (<code>sapo-sync connect choices</code>), rồi kết nối (<code>sapo-sync connect apply</code>).</p>
<h1 lang="en">Access granted</h1>
<p lang="en">sapo-sync has got access to the shop. You can close this page and go back to where you opened the link.</p>
<p lang="en">Next: choose branch, staff and order source (<code>sapo-sync connect choices</code>), then connect (<code>sapo-sync connect apply</code>).</p>
</body>
</html>
"#;

const REFUSED_PAGE: &str = r#"<!doctype html>
<html lang="vi">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>sapo-sync</title></head>
<body>
<h1>Chưa cấp được quyền</h1>
<p>Liên kết này không dùng được (nữa). Chưa có gì thay đổi.</p>
<p>Hãy chạy lại <code>sapo-sync connect authorize</code> và mở liên kết mới trong vòng 15 phút; lý do được ghi trong nhật ký của sapo-sync.</p>
<h1 lang="en">Access was not granted</h1>
<p lang="en">This link cannot be used (any more). Nothing was changed.</p>
<p lang="en">Run <code>sapo-sync connect authorize</code> again and open the new link within 15 minutes; the reason is in sapo-sync's log.</p>
</body>
</html>
"#;
