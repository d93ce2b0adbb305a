//! Sapo Web: `https://{site}.mysapo.net/admin/…`.

pub mod client;
mod error;
mod query;
pub mod wire;

#[cfg(test)]
mod tests;
