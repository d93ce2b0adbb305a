//! The words of the field, pure: no I/O, no clock of its own, imports nothing of the other rooms.

pub mod clock;
pub mod connection;
pub mod customer;
pub mod envelope;
pub mod event;
pub mod linking;
pub mod money;
pub mod order;
pub mod outcome;
pub mod phone;
pub mod product;
pub mod sku;
pub mod time;
pub mod topic;
pub mod web;
