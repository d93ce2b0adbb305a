//! Stores, channels, and the connections that join one store to one channel.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::clock::Millis;
use super::event::{System, words};

words! {
    /// What a connection is doing.
    State {
        /// Events are worked on.
        Active = "active",
        /// Events are taken and parked.
        Paused = "paused",
        /// The shop took our access away; links are kept.
        Stopped = "stopped",
    }
}

words! {
    /// How order states are mapped.
    StatusProfile {
        /// The guide's table: live or cancelled, nothing between.
        TwoClass = "two-class",
        /// Every stage of the Sapo order reaches the channel (ours).
        Detailed = "detailed",
    }
}

words! {
    /// The name a customer gets on Abaha.
    CustomerName {
        /// Always "Khách", as the guide says.
        Khach = "khach",
        /// The name on Sapo (ours).
        Sapo = "sapo",
    }
}

words! {
    /// Which of Sapo's stock figures is pushed.
    StockBasis {
        /// What can still be sold.
        Available = "available",
        /// What lies in the branch.
        OnHand = "on_hand",
    }
}

/// Stock that is held back from a channel: the larger of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StockBuffer {
    /// Units.
    pub units: Decimal,
    /// Percent of the stock.
    pub percent: Decimal,
}

/// A connection's switches and choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Products, with categories, go to the channel.
    pub products: bool,
    /// Customers go to the channel.
    pub customers: bool,
    /// Orders go both ways.
    pub orders: bool,
    /// The branch (Chi nhánh) whose stock is pushed and that gets the channel's orders; the shop's default where none is set.
    pub branch: Option<u64>,
    /// The staff member in charge of the channel's orders.
    pub staff: Option<u64>,
    /// The order source (Nguồn đơn hàng).
    pub source: Option<u64>,
    /// The payment method of prepayments.
    pub payment_method: Option<u64>,
    /// How order states are mapped.
    pub status_profile: StatusProfile,
    /// The name a customer gets on Abaha.
    pub customer_name: CustomerName,
    /// Abaha's code for Hoàn hàng; it has no public one.
    pub returned_code: Option<i64>,
    /// Which stock figure is pushed.
    pub stock_basis: StockBasis,
    /// What is held back.
    pub stock_buffer: StockBuffer,
    /// Moves the start line.
    pub orders_from: Option<Millis>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            products: false,
            customers: false,
            orders: false,
            branch: None,
            staff: None,
            source: None,
            payment_method: None,
            status_profile: StatusProfile::TwoClass,
            customer_name: CustomerName::Khach,
            returned_code: None,
            stock_basis: StockBasis::Available,
            stock_buffer: StockBuffer::default(),
            orders_from: None,
        }
    }
}

/// One store joined to one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its name, which identifies it everywhere.
    pub name: String,
    /// The store's alias: `https://{alias}.mysapogo.com`.
    pub store: String,
    /// The channel's system.
    pub channel: System,
    /// The channel's own name: an Abaha site id.
    pub site: String,
    /// What it is doing.
    pub state: State,
    /// Switches and choices.
    pub settings: Settings,
    /// When it was first activated: only orders created since then are created on the other side.
    pub activated_at: Millis,
}

impl Connection {
    /// Orders created before this moment are not created on the other side. The APIs tell whole seconds only, so the
    /// second of the activation belongs to what comes after.
    pub fn start_line(&self) -> Millis {
        self.settings.orders_from.unwrap_or(self.activated_at).div_euclid(1000) * 1000
    }

    /// The mark that orders made for this connection carry as a tag on Sapo.
    pub fn tag(&self) -> String {
        format!("sapo-sync:{}", self.name)
    }

    /// The account whose limit calls to the store use.
    pub fn store_account(&self) -> String {
        account(System::Omni, &self.store)
    }

    /// The account whose limit calls to the channel use.
    pub fn channel_account(&self) -> String {
        account(self.channel, &self.site)
    }

    /// The account on the other side of `source`.
    pub fn target_account(&self, source: System) -> String {
        if source == System::Omni { self.channel_account() } else { self.store_account() }
    }
}

/// What an account at one of the APIs is called: `omni:cuahangmau`.
pub fn account(system: System, name: &str) -> String {
    format!("{system}:{name}")
}
