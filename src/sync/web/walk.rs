//! The walk over a store and one of its webs that import, reconcile and plan share: page by page, with a stored
//! position, and nothing of a catalogue's size in memory.
//!
//! Both catalogues are read into the store first; what is then linked, compared and swept is read from there.

use super::{catalogue, compare, orders};
use crate::domain::event::System;
use crate::domain::linking::Side;
use crate::sync::walk::hooks::webhooks;
use crate::sync::walk::{Found, Mode, Pace, Position, WalkError};

/// The stages in their order.
pub const STAGES: [&str; 12] = [
    "web catalogue",
    "Sapo catalogue",
    "gone on Sapo",
    "gone on the web",
    "links",
    "products",
    "only on the web",
    "open web orders",
    "closed web orders",
    "cancelled web orders",
    "Sapo orders",
    "webhooks",
];

/// Walks every stage that is left; tells what was found and how many events were made.
pub async fn walk(mut pace: Pace<'_>) -> Result<(Found, Position), WalkError> {
    while let Some(stage) = STAGES.get(pace.position.stage) {
        (*stage).clone_into(&mut pace.found.stage);
        let settings = &pace.connection().settings;
        let (products, orders) = (settings.products, settings.orders);
        match *stage {
            "web catalogue" if products => catalogue::of_web(&mut pace).await?,
            "Sapo catalogue" if products => catalogue::of_sapo(&mut pace).await?,
            "gone on Sapo" if products => catalogue::sweep(&mut pace, System::Omni, Side::Sapo).await?,
            "gone on the web" if products => catalogue::sweep(&mut pace, System::Web, Side::Channel).await?,
            "links" if products => compare::link(&mut pace).await?,
            "products" if products => compare::products(&mut pace).await?,
            "only on the web" if products => compare::loose(&mut pace).await?,
            "open web orders" => orders::of_web(&mut pace, "open").await?,
            "closed web orders" => orders::of_web(&mut pace, "closed").await?,
            "cancelled web orders" => orders::of_web(&mut pace, "cancelled").await?,
            "Sapo orders" if orders => orders::of_sapo(&mut pace).await?,
            "webhooks" if pace.mode == Mode::Reconcile => webhooks(&mut pace).await?,
            _ => {}
        }
        pace.next_stage().await?;
    }
    Ok((pace.found, pace.position))
}
