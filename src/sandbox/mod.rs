//! Stand-ins for the Sapo Omni, Abaha and Sapo Web APIs: real HTTP servers with real rate limits, real webhooks and a fault schedule.
//!
//! They behave as the vendors document their systems, never as our own client would like them to.
//! Read [`Sandbox`] first; `gate` is the way of every call, `omni/`, `abaha/` and `web/` are the shops and sites behind
//! it.

mod abaha;
mod amount;
mod bucket;
mod calls;
mod clock;
mod config;
mod control;
mod faults;
mod form;
mod gate;
mod handle;
mod hooks;
mod inner;
mod lists;
mod names;
mod omni;
mod seed;
mod serve;
mod sign;
mod traffic;
mod web;
mod webhooks;

#[cfg(test)]
mod tests;

pub use abaha::{Abaha, PlaceAbahaOrder};
pub use calls::{Call, CallSeen, Phase};
pub use config::{BucketConfig, SandboxConfig, SandboxError};
pub use faults::{Api, ApiEffect, ApiFault, FaultMix, Faults, Timing, WebhookEffect, WebhookFault};
pub use handle::Sandbox;
pub use omni::{Omni, PlaceOrder};
pub use traffic::{TrafficConfig, traffic};
pub use web::{NewWebProduct, NewWebVariant, PlaceWebOrder, Web, WebBuyer, WebProductIds, WebSite};
pub use webhooks::Sent;

pub(crate) use traffic::orders_on_average;
