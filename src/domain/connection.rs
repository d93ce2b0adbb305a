//! Stores, channels, and the connections that join one store to one channel.

use std::collections::BTreeMap;
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
        /// An API does not take our token any more, and the shop has not said that it took our access away: events are
        /// taken and parked, and no call is made but a look now and then.
        NoAccess = "no_access",
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

words! {
    /// What tells a customer of a web on the POS.
    Identity {
        /// The phone number.
        Phone = "phone",
        /// The e-mail address.
        Email = "email",
    }
}

/// The value of `price.compare_at` that leaves the web's compare-at price alone: Không so sánh giá.
pub const NO_COMPARE: &str = "none";

/// Which prices go to a web (guide W).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceSettings {
    /// Prices are pushed at all.
    pub sync: bool,
    /// The code of the price list that the web's price is taken from.
    pub from: String,
    /// The code of the price list of the compare-at price, or [`NO_COMPARE`].
    pub compare_at: String,
}

impl Default for PriceSettings {
    /// The guide's default configuration: the web's price is the retail price.
    fn default() -> Self {
        Self { sync: true, from: "BANLE".to_owned(), compare_at: NO_COMPARE.to_owned() }
    }
}

impl PriceSettings {
    /// The price list of the compare-at price, where one is chosen.
    pub fn compare_list(&self) -> Option<&str> {
        (self.compare_at != NO_COMPARE).then_some(self.compare_at.as_str())
    }
}

/// What only a connection with a Sapo Web site has; the defaults are the guide's (Cấu hình mặc định).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebSettings {
    /// The branches whose stock is summed; none is the shop's default branch.
    pub stock_branches: Vec<u64>,
    /// A new order on the POS is approved at once.
    pub approve_orders: bool,
    /// What tells a customer.
    pub customer_identity: Identity,
    /// The POS's customer of orders without an identity; none is the POS's own "Khách lẻ".
    pub walk_in_customer: Option<u64>,
    /// Which prices are pushed.
    pub price: PriceSettings,
    /// The web's location whose stock is set, where it has more than one.
    pub web_location: Option<u64>,
    /// Shipped and cancelled go back to the web.
    pub status_back: bool,
    /// Open drafts made from webs are taken off the stock that is pushed.
    pub reserve_unapproved: bool,
    /// What is held back of single SKUs, instead of `stock_buffer`.
    pub buffers: BTreeMap<String, StockBuffer>,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            stock_branches: Vec::new(),
            approve_orders: false,
            customer_identity: Identity::Phone,
            walk_in_customer: None,
            price: PriceSettings::default(),
            web_location: None,
            status_back: false,
            reserve_unapproved: false,
            buffers: BTreeMap::new(),
        }
    }
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
    /// The branch (Chi nhánh) that gets the channel's orders, and for Abaha the one whose stock is pushed; the shop's
    /// default where none is set.
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
    /// What only webs have.
    #[serde(default)]
    pub web: WebSettings,
}

impl Settings {
    /// What is held back of a SKU (in its compared form).
    pub fn buffer_of(&self, sku: &str) -> StockBuffer {
        self.web.buffers.get(sku).copied().unwrap_or(self.stock_buffer)
    }
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
            web: WebSettings::default(),
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
    /// The channel's own name: an Abaha site id, or the alias of `https://{alias}.mysapo.net`.
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
