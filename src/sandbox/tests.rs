//! The stand-ins as a caller and a receiver see them.

mod abaha_api;
mod control;
mod delivery;
mod effects;
mod omni_api;
mod support;
mod web_api;
mod web_delivery;
mod web_orders;
