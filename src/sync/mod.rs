//! The jobs that walk whole catalogues (import, reconcile, plan), replay, and connecting a shop. They make events,
//! and those go the same way as webhooks.

pub mod compare;
pub mod connect;
pub mod jobs;
pub mod replay;
pub mod walk;
pub mod web;
