//! Connecting: the file of `connect apply`, its checks against the shop, and what it changes.

mod apply;
mod check;
pub mod choices;
pub mod file;
pub mod hooks;
pub mod oauth;

pub use apply::{Applied, SOLE_POS, apply, apply_paused};
pub use check::check;

use crate::store::StoreError;

/// What follows where two POS have one site (guide W).
const TWO_POS: &str = "with two POS its products and orders would be doubled (đã liên kết với một POS khác: sản phẩm và đơn hàng sẽ bị trùng)";

/// What is wrong with a connection, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read as what it should be.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A value of one store or connection.
    #[error("{what}: {why}")]
    Value {
        /// Which store or connection, and which key.
        what: String,
        /// What is wrong, and what mends it.
        why: String,
    },
    /// The state database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A database statement.
    #[error("state database: {0}")]
    Sql(#[from] sqlx::Error),
}

impl ConnectError {
    /// A value that is wrong.
    pub fn value(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Value { what: what.into(), why: why.into() }
    }
}
