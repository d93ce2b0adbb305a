//! The clients of the other systems' APIs: one folder per API with the same file names, one sender underneath.
//!
//! A call goes `client` → `http` (rate limit, deadline, record) → `error` (what the answer means) → `wire` (what it
//! holds). Whatever depends on an unconfirmed fact of an API stands in that API's `wire` file.

pub mod abaha;
pub mod call_log;
pub mod error;
mod fields;
pub mod hook;
pub mod http;
pub mod limit;
pub mod oauth;
pub mod omni;
pub mod page;
mod redact;
pub(crate) mod refusal;
pub mod web;

pub use abaha::client::AbahaClient;
pub use call_log::{CallLog, CallRecord};
pub use error::{CallError, ClientError, Done, WireError};
pub use hook::Hook;
pub use http::{Http, HttpSettings};
pub use limit::{Class, Limits, Rate};
pub use omni::client::OmniClient;
pub use page::{BadRow, Item, Page};
pub use web::client::{WebAccess, WebClient};
