//! Pure, total functions from what one side states to what the other side should be.
//!
//! Nothing here calls, waits, reads a clock or panics: the same input gives the same answer, so that a change can be
//! mapped again after a crash, and `plan` can show what would be written before anything is.

pub mod abaha;
pub mod stock;
pub mod totals;
pub mod web;
