//! The webhooks that a shop has registered for us: which there should be, which there are, and the difference mended.
//!
//! Only what is ours is touched: what goes to our address, or to another path of our host. What goes to a receiver for
//! this very shop on another host may be another installation's, and is moved only where it is said that it was ours.

use std::collections::BTreeSet;

use reqwest::Url;
use serde::Serialize;

use crate::destination::{CallError, ClientError, Hook, Http, OmniClient, WebClient};
use crate::domain::connection::Connection;
use crate::domain::event::System;
use crate::store::connections::{ConnectionAccount, Snapshot, StoreAccount};
use crate::work::context::{Context, web_access};

/// What makes a shop tell of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Always,
    Products,
    Customers,
    Orders,
}

/// What a POS tells of, and what for (the topics of the vendor's documents; stock rides in products/update too).
const OMNI_TOPICS: &[(&str, Switch)] = &[
    ("app/uninstalled", Switch::Always),
    ("products/create", Switch::Products),
    ("products/update", Switch::Products),
    ("products/delete", Switch::Products),
    ("inventories/update", Switch::Products),
    ("customers/create", Switch::Customers),
    ("customers/update", Switch::Customers),
    ("customers/delete", Switch::Customers),
    ("orders/create", Switch::Orders),
    ("orders/update", Switch::Orders),
    ("orders/cancelled", Switch::Orders),
    ("orders/finalized", Switch::Orders),
    ("orders/fulfilled", Switch::Orders),
    ("orders/delete", Switch::Orders),
    ("order_returns/create", Switch::Orders),
];

/// What a web tells of. Orders always: those that are not synchronised are shown to the owner as such.
const WEB_TOPICS: &[&str] = &[
    "app/uninstalled",
    "products/create",
    "products/update",
    "products/delete",
    "orders/create",
    "orders/updated",
    "orders/paid",
    "orders/cancelled",
    "orders/delete",
];

/// What was found on both sides of a connection, and mended where that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The shop, then the web, where the connection has one.
    pub sides: Vec<SideReport>,
}

/// What was found at one shop or web.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// The shop's system.
    pub system: System,
    /// Its alias.
    pub name: String,
    /// Where its webhooks are to go.
    pub address: String,
    /// Topics that go there as they should.
    pub right: Vec<String>,
    /// Topics that were not registered.
    pub missing: Vec<String>,
    /// Topics that went to where the receiver was before.
    pub moved: Vec<String>,
    /// The hosts where it was before; nothing else of these addresses, which may hold secrets.
    pub moved_from: Vec<String>,
    /// Topics that went there more than once.
    pub doubled: Vec<String>,
    /// Registered webhooks of others; left alone.
    pub foreign: usize,
    /// The hosts of those among them that go to a receiver for this very shop: another installation's, or ours before.
    pub elsewhere: Vec<String>,
    /// What was said to have been ours, and no webhook for this very shop was found at.
    pub unmatched: Vec<String>,
    /// Whether what was wrong was mended.
    pub repaired: bool,
}

impl SideReport {
    /// Whether nothing was wrong.
    pub fn is_right(&self) -> bool {
        self.missing.is_empty() && self.moved.is_empty() && self.doubled.is_empty()
    }

    /// In one line, for people.
    pub fn summary(&self) -> String {
        let mut parts = vec![format!("{} right", self.right.len())];
        let old = format!("old address at {}", self.moved_from.join(", "));
        for (what, topics) in [("missing", &self.missing), (old.as_str(), &self.moved), ("doubled", &self.doubled)] {
            if !topics.is_empty() {
                parts.push(format!("{what}: {}", topics.join(", ")));
            }
        }
        if self.foreign > 0 {
            parts.push(format!("{} of others, left alone", self.foreign));
        }
        if let Some(host) = self.elsewhere.first() {
            parts.push(format!(
                "among them those of a receiver for this very shop at {}: if that was this installation, the same command with `--repair --from {host}` moves them",
                self.elsewhere.join(", ")
            ));
        }
        let mended = match (self.is_right(), self.repaired) {
            (true, _) => "",
            (false, true) => " (repaired)",
            (false, false) => " (not repaired)",
        };
        format!("{} {}: {}{mended}", self.system, self.name, parts.join("; "))
    }
}

impl HookReport {
    /// Whether nothing was wrong.
    pub fn is_right(&self) -> bool {
        self.sides.iter().all(SideReport::is_right)
    }
}

/// What is done about what is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair<'a> {
    /// Nothing.
    Look,
    /// What is missing at our own address is registered there; every other address is left alone, for it may be that of
    /// another installation.
    Own,
    /// The same, and what goes to where we were before is moved to our address: to another path of our host, or to what
    /// is said to have been ours.
    Move {
        /// Addresses, or hosts with or without a port.
        from: &'a [String],
    },
}

impl Repair<'_> {
    /// Whether a receiver for this very shop, at another address than `address`, was ours before.
    fn was_ours(self, other: &str, address: &str) -> bool {
        let from: &[String] = match self {
            Self::Own => return false,
            Self::Look => &[],
            Self::Move { from } => from,
        };
        host_of(other).is_some_and(|host| host_of(address).as_ref() == Some(&host))
            || from.iter().any(|from| leads_from(from, other))
    }

    /// What is said to have been ours, and is the place of none of the receivers for this very shop but `address`.
    fn unmatched(self, address: &str, path: &str, there: &[Hook]) -> Vec<String> {
        let Self::Move { from } = self else { return Vec::new() };
        let others = || there.iter().filter(|hook| hook.address != address && leads_to(&hook.address, path));
        from.iter().filter(|from| !others().any(|hook| leads_from(from, &hook.address))).cloned().collect()
    }
}

/// Compares a connection's webhooks, at its shop and at its web, with what there should be; `repair` says how they are mended.
pub async fn keep(
    context: &Context,
    account: &ConnectionAccount,
    store: &StoreAccount,
    public_url: &str,
    repair: Repair<'_>,
) -> Result<HookReport, CallError> {
    let known = context.snapshot.get();
    let empty = Snapshot::default();
    let known = known.as_ref().map_or(&empty, |held| &held.0);
    let mut sides = vec![keep_shop(&context.http, known, store, Some(account), public_url, repair).await?];
    if account.connection.channel == System::Web {
        sides.push(keep_web(&context.http, account, public_url, repair).await?);
    }
    Ok(HookReport { sides })
}

/// The same at the shop alone: for all its connections, and for one that may be newer than what is known.
pub async fn keep_shop(
    http: &Http,
    known: &Snapshot,
    store: &StoreAccount,
    also: Option<&ConnectionAccount>,
    public_url: &str,
    repair: Repair<'_>,
) -> Result<SideReport, CallError> {
    let client = OmniClient::new(http, &store.alias, store.access_token.clone(), store.base_url.as_deref());
    let side = Side::Shop(client.map_err(|error| unusable(&error))?);
    let connections = known.of_store(&store.alias).map(AsRef::as_ref).chain(also).map(|row| &row.connection);
    let topics = omni_topics(connections);
    keep_side(&side, &store.alias, &topics, public_url, repair).await
}

/// The same at the web alone.
pub async fn keep_web(
    http: &Http,
    account: &ConnectionAccount,
    public_url: &str,
    repair: Repair<'_>,
) -> Result<SideReport, CallError> {
    let site = &account.connection.site;
    let client = WebClient::new(http, site, web_access(account), account.base_url.as_deref());
    let side = Side::Web(client.map_err(|error| unusable(&error))?);
    keep_side(&side, site, WEB_TOPICS, public_url, repair).await
}

fn unusable(error: &ClientError) -> CallError {
    CallError::Refused { code: error.code(), message: error.to_string(), answer: None }
}

/// What a POS should tell of, for all its connections together.
fn omni_topics<'a>(connections: impl Iterator<Item = &'a Connection>) -> Vec<&'static str> {
    let wanted = |connection: &Connection, switch: Switch| {
        let settings = &connection.settings;
        match switch {
            Switch::Always => true,
            // Stock always goes to a web.
            Switch::Products => settings.products || connection.channel == System::Web,
            // Customers go to Abaha alone.
            Switch::Customers => settings.customers && connection.channel == System::Abaha,
            Switch::Orders => settings.orders,
        }
    };
    let connections: Vec<&Connection> = connections.collect();
    let topics = OMNI_TOPICS.iter().filter(|(_, switch)| connections.iter().any(|it| wanted(it, *switch)));
    topics.map(|(topic, _)| *topic).collect()
}

/// The API of one side.
enum Side {
    Shop(OmniClient),
    Web(WebClient),
}

impl Side {
    fn system(&self) -> System {
        match self {
            Self::Shop(_) => System::Omni,
            Self::Web(_) => System::Web,
        }
    }

    async fn list(&self) -> Result<Vec<Hook>, CallError> {
        match self {
            Self::Shop(api) => api.webhooks().await,
            Self::Web(api) => api.webhooks().await,
        }
    }

    /// Registers a webhook; somebody may have done so just now.
    async fn create(&self, topic: &str, address: &str) -> Result<(), CallError> {
        let created = match self {
            Self::Shop(api) => api.create_webhook(topic, address).await,
            Self::Web(api) => api.create_webhook(topic, address).await,
        };
        match created {
            Err(error) if !matches!(error.code(), "duplicate" | "already_so") => Err(error),
            _ => Ok(()),
        }
    }

    async fn update(&self, hook: &Hook, address: &str) -> Result<(), CallError> {
        match self {
            Self::Shop(api) => api.update_webhook(&hook.id, &hook.topic, address).await,
            Self::Web(api) => api.update_webhook(&hook.id, &hook.topic, address).await,
        }
    }

    /// Takes a webhook away; somebody may have done so just now.
    async fn delete(&self, hook: &Hook) -> Result<(), CallError> {
        let deleted = match self {
            Self::Shop(api) => api.delete_webhook(&hook.id).await,
            Self::Web(api) => api.delete_webhook(&hook.id).await,
        };
        match deleted {
            Err(CallError::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Lets a webhook go to our address. Where webhooks cannot be changed, another takes its place.
    async fn turn(&self, hook: &Hook, address: &str) -> Result<(), CallError> {
        match self.update(hook, address).await {
            Err(CallError::NotFound { .. } | CallError::Failing { code: "unknown_path", .. }) => {
                self.create(&hook.topic, address).await?;
                self.delete(hook).await
            }
            result => result,
        }
    }
}

async fn keep_side(
    side: &Side,
    name: &str,
    topics: &[&str],
    public_url: &str,
    repair: Repair<'_>,
) -> Result<SideReport, CallError> {
    let system = side.system();
    let path = format!("/webhooks/{system}/{name}");
    let address = format!("{}{path}", public_url.trim_end_matches('/'));
    let there = side.list().await?;
    let unmatched = repair.unmatched(&address, &path, &there);
    let plan = plan(topics, &address, &path, repair, there);
    let words = |hooks: &[Hook]| hooks.iter().map(|hook| hook.topic.clone()).collect::<Vec<_>>();
    let mut moved = words(&plan.turned);
    moved.extend(words(&plan.stale));
    let report = SideReport {
        system,
        name: name.to_owned(),
        right: plan.right.clone(),
        missing: plan.missing.clone(),
        moved,
        moved_from: plan.moved_from.iter().cloned().collect(),
        doubled: words(&plan.doubled),
        foreign: plan.foreign,
        elsewhere: plan.elsewhere.iter().cloned().collect(),
        unmatched,
        repaired: repair != Repair::Look,
        address,
    };
    if repair != Repair::Look {
        for hook in &plan.turned {
            side.turn(hook, &report.address).await?;
        }
        for topic in &plan.missing {
            side.create(topic, &report.address).await?;
        }
        // Last, so that no moment is without a webhook.
        for hook in plan.stale.iter().chain(&plan.doubled) {
            side.delete(hook).await?;
        }
    }
    Ok(report)
}

/// What is to be done at one side.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    right: Vec<String>,
    missing: Vec<String>,
    /// To be sent to our address.
    turned: Vec<Hook>,
    /// Of where we were before, and of no use any more.
    stale: Vec<Hook>,
    /// The hosts of both.
    moved_from: BTreeSet<String>,
    doubled: Vec<Hook>,
    foreign: usize,
    /// The hosts of those among them that go to a receiver for this very shop.
    elsewhere: BTreeSet<String>,
}

/// `path` is by what a receiver for this very shop is known, whoever's it is.
fn plan(topics: &[&str], address: &str, path: &str, repair: Repair<'_>, there: Vec<Hook>) -> Plan {
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    let mut before = Vec::new();
    for hook in there {
        if hook.address == address {
            if seen.insert(hook.topic.clone()) {
                plan.right.push(hook.topic);
            } else {
                plan.doubled.push(hook);
            }
        } else if !leads_to(&hook.address, path) {
            plan.foreign += 1;
        } else if repair.was_ours(&hook.address, address) {
            plan.moved_from.extend(host_of(&hook.address));
            before.push(hook);
        } else {
            plan.foreign += 1;
            plan.elsewhere.extend(host_of(&hook.address));
        }
    }
    for hook in before {
        if topics.contains(&hook.topic.as_str()) && seen.insert(hook.topic.clone()) {
            plan.turned.push(hook);
        } else {
            plan.stale.push(hook);
        }
    }
    plan.missing = topics.iter().filter(|topic| !seen.contains(**topic)).map(|topic| (*topic).to_owned()).collect();
    plan
}

/// An address without query and fragment.
fn plain(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/')
}

/// Whether an address is that of a receiver for this shop, on whatever host.
fn leads_to(address: &str, path: &str) -> bool {
    plain(address).ends_with(path)
}

/// The host of an address, with its port where that is not the usual one; nothing that could be a secret.
fn host_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Whether an address is at `from`: an address that it begins with, or a host, with its port or for all of them.
fn leads_from(from: &str, address: &str) -> bool {
    let from = plain(from.trim()).to_ascii_lowercase();
    if from.contains("://") {
        let address = plain(address).to_ascii_lowercase();
        return address.strip_prefix(from.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    host_of(address)
        .is_some_and(|host| host == from || host.rsplit_once(':').is_some_and(|(without_port, _)| without_port == from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::{Settings, State};

    const PATH: &str = "/webhooks/omni/mau";
    const ADDRESS: &str = "https://new.example/webhooks/omni/mau";

    const TOPICS: [&str; 3] = ["orders/create", "products/update", "app/uninstalled"];

    fn hosts(hosts: &[&str]) -> BTreeSet<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    fn hook(id: u64, topic: &str, address: &str) -> Hook {
        Hook { id: id.to_string(), topic: topic.to_owned(), address: address.to_owned() }
    }

    #[test]
    fn only_what_is_ours_is_to_be_touched() {
        let there = vec![
            hook(1, "orders/create", ADDRESS),
            hook(2, "orders/create", ADDRESS),
            hook(3, "orders/create", "https://other.example/hook"),
            hook(4, "products/update", "https://old.example/base/webhooks/omni/mau/"),
            hook(5, "products/update", "http://older.example/webhooks/omni/mau?x=1"),
            hook(6, "orders/create", "https://old.example/webhooks/omni/mau"),
            hook(7, "orders/create", "https://old.example/webhooks/omni/mau2"),
            hook(8, "themes/publish", ADDRESS),
        ];
        let from = ["OLD.example".to_owned(), "http://older.example/".to_owned()];
        let plan = plan(&TOPICS, ADDRESS, PATH, Repair::Move { from: &from }, there);
        assert_eq!(plan.right, ["orders/create", "themes/publish"]);
        assert_eq!(plan.missing, ["app/uninstalled"]);
        let ids = |hooks: &[Hook]| hooks.iter().map(|hook| hook.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            (ids(&plan.turned), ids(&plan.stale), ids(&plan.doubled)),
            (vec!["4".to_owned()], vec!["5".to_owned(), "6".to_owned()], vec!["2".to_owned()])
        );
        assert_eq!(plan.foreign, 2);
        assert_eq!(plan.moved_from, hosts(&["old.example", "older.example"]));
        assert!(plan.elsewhere.is_empty());
    }

    #[test]
    fn what_goes_to_another_host_is_left_alone_unless_that_is_said_to_have_been_ours() {
        let there = || {
            vec![
                hook(1, "orders/create", "https://NEW.example:443/base/webhooks/omni/mau?key=hush"),
                hook(2, "orders/create", "https://new.example:8443/webhooks/omni/mau"),
                hook(3, "orders/create", "https://me:hush@old.example/webhooks/omni/mau?key=hush"),
                hook(4, "orders/create", "webhooks/omni/mau"),
            ]
        };
        let of = |repair: Repair<'_>| plan(&TOPICS, ADDRESS, PATH, repair, there());
        let own = of(Repair::Own);
        assert!(own.turned.is_empty() && own.stale.is_empty() && own.foreign == 4, "{own:?}");
        for repair in [Repair::Look, Repair::Move { from: &[] }, Repair::Move { from: &["example".to_owned()] }] {
            let plan = of(repair);
            assert_eq!((plan.turned.len(), plan.stale.len(), plan.foreign), (1, 0, 3), "{plan:?}");
            assert_eq!(plan.moved_from, hosts(&["new.example"]));
            assert_eq!(plan.elsewhere, hosts(&["new.example:8443", "old.example"]));
        }
        let named = ["new.example:8443", "old.example"].map(str::to_owned);
        assert!(Repair::Move { from: &named }.unmatched(ADDRESS, PATH, &there()).is_empty());
        let vain = ["old.exmaple".to_owned(), "old.example".to_owned()];
        assert_eq!(Repair::Move { from: &vain }.unmatched(ADDRESS, PATH, &there()), ["old.exmaple"]);
        let all = of(Repair::Move { from: &named });
        assert_eq!((all.turned.len(), all.stale.len(), all.foreign), (1, 2, 1), "{all:?}");
    }

    #[test]
    fn what_was_ours_is_named_by_an_address_or_a_host() {
        let address = "https://old.example:8080/base/webhooks/omni/mau?x=1";
        for from in [
            "old.example",
            " OLD.example:8080/ ",
            "https://old.example:8080",
            "https://old.example:8080/base/",
            "https://old.example:8080/base/webhooks/omni/mau",
        ] {
            assert!(leads_from(from, address), "{from}");
        }
        for from in [
            "",
            "example",
            "old.example:80",
            "https://old.example",
            "http://old.example:8080",
            "https://old.example:8080/ba",
        ] {
            assert!(!leads_from(from, address), "{from}");
        }
    }

    #[test]
    fn a_report_names_the_hosts_and_the_way_to_move_them() {
        let side = SideReport {
            system: System::Omni,
            name: "mau".into(),
            address: ADDRESS.into(),
            right: Vec::new(),
            missing: Vec::new(),
            moved: vec!["orders/create".into()],
            moved_from: vec!["new.example".into()],
            doubled: Vec::new(),
            foreign: 1,
            elsewhere: vec!["old.example".into()],
            unmatched: Vec::new(),
            repaired: false,
        };
        let told = side.summary();
        assert!(told.contains("old address at new.example: orders/create"), "{told}");
        assert!(told.contains("--repair --from old.example") && told.ends_with("(not repaired)"), "{told}");
    }

    #[test]
    fn the_topics_follow_the_switches_of_all_connections_of_the_shop() {
        let connection = |channel, (products, customers, orders)| Connection {
            name: "mau".into(),
            store: "mau".into(),
            channel,
            site: "1".into(),
            state: State::Active,
            settings: Settings { products, customers, orders, ..Settings::default() },
            activated_at: 0,
        };
        let topics = |connections: &[Connection]| omni_topics(connections.iter());
        let has = |topics: &[&str], begin: &str| topics.iter().any(|topic| topic.starts_with(begin));
        assert!(topics(&[]).is_empty());
        assert_eq!(topics(&[connection(System::Abaha, (false, false, false))]), ["app/uninstalled"]);
        let web = topics(&[connection(System::Web, (false, true, false))]);
        assert!(has(&web, "products/") && has(&web, "inventories/"));
        assert!(!has(&web, "customers/") && !has(&web, "orders/"));
        let both =
            topics(&[connection(System::Web, (false, false, false)), connection(System::Abaha, (false, true, true))]);
        assert_eq!(both.len(), OMNI_TOPICS.len());
    }

    #[test]
    fn every_topic_that_is_registered_is_understood() {
        for topic in OMNI_TOPICS.iter().map(|(topic, _)| topic) {
            assert!(crate::domain::topic::lookup(System::Omni, topic).is_some(), "{topic}");
        }
        for topic in WEB_TOPICS {
            assert!(crate::domain::topic::lookup(System::Web, topic).is_some(), "{topic}");
        }
    }
}
