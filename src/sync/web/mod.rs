//! The jobs of connections with Sapo Web sites: import, reconcile, plan, links, preparation.

pub mod catalogue;
pub mod compare;
mod judge;
pub mod links;
pub mod orders;
pub mod preflight;
pub mod walk;
