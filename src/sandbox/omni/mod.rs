//! The Sapo Omni shop: its state, its rules, its HTTP API and its owner.

mod catalogue;
mod customers;
mod delivery;
mod http;
mod life;
mod oauth;
mod order;
mod order_shape;
mod owner;
mod owner_orders;
mod owner_shop;
mod place;
mod read;
mod settings;
mod shapes;
mod shop;
mod stock;

pub use owner::Omni;
pub use owner_orders::PlaceOrder;

pub(crate) use catalogue::NewVariant;
pub(crate) use customers::NewCustomer;
pub(crate) use http::router;
pub(crate) use shapes::differences;
pub(crate) use shop::{FIRST_LOCATION, Kind as VariantKind, SECOND_LOCATION, Shop};
