//! The walk over a store and its Abaha site that import, reconcile and plan share: page by page, with a stored position.

mod catalogue;
mod customers;
pub(in crate::sync) mod hooks;
mod orders;
pub mod pace;

use std::collections::HashMap;
use std::time::Duration;

use super::compare::{Beside, Catalogue, Categories};
use crate::domain::connection::Connection;

use hooks::webhooks;
pub use pace::{Found, LEASE, Mode, Pace, Position, WalkError, since, walk_event};

/// How far back reconcile looks at the channel's orders, which cannot be listed by change.
const ORDERS_BACK: Duration = Duration::from_hours(720);

/// The stages in their order.
pub const STAGES: [&str; 7] =
    ["categories", "catalogue", "products", "customers", "channel orders", "Sapo orders", "webhooks"];

/// Where the products stand in [`STAGES`].
const PRODUCTS: usize = 2;
/// Where the channel's orders stand in [`STAGES`].
const CHANNEL_ORDERS: usize = 4;

/// One walk.
pub struct Walk<'a> {
    pace: Pace<'a>,
    catalogue: Catalogue,
    categories: Categories,
    beside: HashMap<String, Beside>,
    whole: bool,
}

impl<'a> Walk<'a> {
    /// Makes a walk that goes on where its job was.
    pub fn new(pace: Pace<'a>) -> Self {
        Self {
            whole: pace.position.stage == 0 && pace.position.page == 0,
            pace,
            catalogue: Catalogue::default(),
            categories: Categories::new(),
            beside: HashMap::new(),
        }
    }

    fn connection(&self) -> &Connection {
        self.pace.connection()
    }

    /// Walks every stage that is left; tells what was found and how many events were made.
    pub async fn walk(mut self) -> Result<(Found, Position), WalkError> {
        let settings = self.connection().settings.clone();
        self.go_back_to_channel_orders();
        if settings.products && self.pace.position.stage <= PRODUCTS {
            // The catalogue is held in memory, so it is read again after a restart.
            self.load_categories().await?;
            self.load_catalogue().await?;
        }
        while let Some(stage) = STAGES.get(self.pace.position.stage) {
            (*stage).clone_into(&mut self.pace.found.stage);
            match *stage {
                "products" if settings.products => self.products().await?,
                "customers" if settings.customers => self.customers().await?,
                "channel orders" if settings.orders => self.channel_orders().await?,
                "Sapo orders" if settings.orders => self.pos_orders().await?,
                "webhooks" if self.pace.mode == Mode::Reconcile => webhooks(&mut self.pace).await?,
                _ => {}
            }
            self.pace.next_stage().await?;
        }
        Ok((self.pace.found, self.pace.position))
    }

    /// The channel's orders are held in memory beside Sapo's: after a restart among the orders they are read again.
    fn go_back_to_channel_orders(&mut self) {
        if (CHANNEL_ORDERS..STAGES.len()).contains(&self.pace.position.stage) {
            self.pace.position.stage = CHANNEL_ORDERS;
            self.pace.position.page = 0;
            self.pace.found.checked.remove("order");
        }
    }
}
