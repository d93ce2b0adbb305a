//! The receiver: limits, verification over the raw body, a confirmed publish, an answer.

pub mod oauth;
mod router;
pub mod verify;

pub use router::{Receiver, router};

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The largest body taken, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most bytes of bodies held at once; beyond it senders are asked to come back.
pub const MAX_IN_FLIGHT: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive (Sapo itself gives up after 5 s): a stranger who sends nothing holds no bytes of
/// the budget for longer.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Why a webhook was not taken. Senders take 4xx as final, so a failure of ours is always 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// Over [`MAX_BODY`].
    #[error("the body is over 1 MiB")]
    TooLarge,
    /// A `Content-Encoding`.
    #[error("a Content-Encoding is not accepted: the signature covers the plain body")]
    Encoded,
    /// Unknown source or wrong signature: a stranger learns nothing else.
    #[error("unauthorised")]
    Unauthorised,
    /// The body did not arrive whole.
    #[error("the body did not arrive whole")]
    Broken,
    /// Too much at once.
    #[error("busy")]
    Busy,
    /// The queue did not take it, or no connections are known yet.
    #[error("not now")]
    Away,
}

impl ReceiveError {
    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::Encoded => "content_encoding",
            Self::Unauthorised => "unauthorised",
            Self::Broken => "body_broken",
            Self::Busy => "busy",
            Self::Away => "away",
        }
    }

    /// The answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Away => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ReceiveError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(serde_json::json!({ "error": self.to_string() }))).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
