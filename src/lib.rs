#![doc = "temporary"]
#![allow(missing_docs)]
pub mod app;
pub mod broker;
pub mod config;
pub mod destination;
pub mod domain;
pub mod map;
pub mod observe;
pub mod receive;
pub mod sandbox;
pub mod store;
pub mod sync;
pub mod work;
