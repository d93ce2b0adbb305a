//! Sapo Omni ⇄ Sapo Web: pure functions.

pub mod order;
pub mod product;
pub mod status;
