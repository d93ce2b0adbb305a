//! The Abaha ⇄ Sapo Omni guide as data and functions.

pub mod customer;
pub mod gates;
pub mod order;
pub mod product;
pub mod stage;
pub mod status;
