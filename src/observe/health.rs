//! `/healthz`, `/readyz` and `/metrics`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

/// Asks whether the process can do its work now: what somebody has to look at all the same, or what it cannot.
pub type Ready = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync>;

/// The three endpoints.
pub fn router(ready: Ready) -> Router {
    let metrics = super::metric::recorder();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(move || async move { metrics.render() }))
        .with_state(ready)
}

async fn readyz(State(ready): State<Ready>) -> (StatusCode, String) {
    match ready().await {
        Ok(None) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Some(warning)) => (StatusCode::OK, format!("ready, but {warning}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
