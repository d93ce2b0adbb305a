//! Logs, metrics, health, and the kill points of the crash tests.

pub mod crash;
pub mod health;
pub mod logs;
pub mod metric;
