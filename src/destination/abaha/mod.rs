//! Abaha: `https://publicapi.abaha.vn/{module}/{action}?token=…`.

pub mod client;
mod error;
pub mod wire;

#[cfg(test)]
mod tests;
