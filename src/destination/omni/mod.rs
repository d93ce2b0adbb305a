//! Sapo Omni / POS: `https://{alias}.mysapogo.com/admin/…`.

pub mod client;
mod error;
mod query;
pub mod wire;

#[cfg(test)]
mod tests;
