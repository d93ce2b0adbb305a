//! Stand-ins for the Sapo Omni and the Abaha API: real HTTP servers with real rate limits, real webhooks and a fault schedule.
//!
//! They behave as the vendors document their systems, never as our own client would like them to.
//! Read [`Sandbox`] first; `gate` is the way of every call, `omni/` and `abaha/` are the two shops behind it.

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
mod inner;
mod names;
mod omni;
mod seed;
mod serve;
mod sign;
mod traffic;
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
pub use webhooks::Sent;
