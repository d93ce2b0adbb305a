//! The Abaha site: its state, its rules, its HTTP API and its people.
//!
//! Most call names and answers are taken by analogy from the few that are known in public.

mod catalogue;
mod http;
mod orders;
mod people;
mod site;

pub use orders::PlaceAbahaOrder;
pub use people::Abaha;

pub(crate) use http::router;
pub(crate) use site::Site;
