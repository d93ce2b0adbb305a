//! The Sapo Web sites: each with its state, its rules and its owner, all behind one HTTP server.
//!
//! What rests on other people's code or on nobody's word says "assumed" where it is done.

mod bulk;
mod catalogue;
mod config;
mod fulfil;
mod given;
mod http;
mod life;
mod money;
mod oauth;
mod odd;
mod order;
mod order_shape;
mod owner;
mod owner_orders;
mod part;
mod people;
mod place;
mod read;
mod refusal;
mod seed;
mod shapes;
mod state;
mod stock;
mod variants;
mod write;

pub use config::WebSite;
pub use given::{NewWebProduct, NewWebVariant, WebProductIds};
pub use owner::Web;
pub use place::{PlaceWebOrder, WebBuyer};

pub(crate) use given::CompareAt;
pub(crate) use http::router;
pub(crate) use part::WebPart;
pub(crate) use seed::fill;
pub(crate) use state::State;
