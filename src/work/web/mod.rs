//! What is done for a connection with a Sapo Web site: stock and price go out, orders come in.

pub mod buyer;
pub mod linking;
pub mod order_in;
pub mod order_out;
pub mod payment;
pub mod products;
pub mod push;
pub mod setup;
