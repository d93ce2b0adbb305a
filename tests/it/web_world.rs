//! A POS shop with several Sapo Web sites, each connected: the world of every test of webs.

use std::time::Duration;

use rust_decimal::Decimal;
use sapo_sync::sandbox::{BucketConfig, Call, NewWebProduct, NewWebVariant, Sandbox, SandboxConfig, WebSite};
use sapo_sync::store::dead_letters::DeadLetter;
use sapo_sync::store::ledger::LedgerRow;
use sapo_sync::store::links::{Link, LinkKind};
use sapo_sync::sync::connect::{apply, file};
use sapo_sync::sync::replay::replay;
use serde_json::{Value, json};

use crate::harness::{Setup, World};

/// The name of a web's connection; the first is 1.
pub fn web_connection(number: usize) -> String {
    format!("mau-web{number}")
}

/// The alias of a web's site.
pub fn web_alias(number: usize) -> String {
    format!("webmau{number}")
}

/// A site with generous limits and short waits between the sends of its webhooks.
pub fn web_site(number: usize) -> WebSite {
    WebSite {
        bucket: BucketConfig { size: 2_000, leak_per_second: 1_000.0, header: true },
        webhook_retry: vec![Duration::from_millis(50); 19],
        ..WebSite::named(&web_alias(number))
    }
}

/// A world with so many webs; `settings` are more lines of each connection's table.
pub async fn webs(number: usize, settings: &str) -> World {
    webs_with(Setup { extra: settings.to_owned(), ..Setup::default() }, number).await
}

/// The same with a set-up of one's own: its `extra` are the settings, and sites that it names already stay as they are.
/// The switch for products does not count, for stock always goes to a web.
pub async fn webs_with(setup: Setup, number: usize) -> World {
    World::with(with_webs(setup, number)).await
}

/// A set-up with so many webs.
pub fn with_webs(setup: Setup, number: usize) -> Setup {
    let mut web_sites = setup.sandbox.web_sites.clone();
    web_sites.extend((web_sites.len() + 1..=number).map(web_site));
    Setup { sandbox: SandboxConfig { web_sites, ..setup.sandbox }, webs: true, ..setup }
}

/// The connections file of a sandbox: its store, and one connection with each of its webs.
pub fn connections(sandbox: &Sandbox, switches: (bool, bool, bool), settings: &str) -> String {
    connections_each(sandbox, switches, |_| settings.to_owned())
}

/// The same with other settings for each web, counted from 1.
pub fn connections_each(
    sandbox: &Sandbox,
    (_, customers, orders): (bool, bool, bool),
    settings: impl Fn(usize) -> String,
) -> String {
    let config = sandbox.config();
    let first = format!(
        r#"
        [[store]]
        alias = "{alias}"
        access_token = "{token}"
        webhook_secret = ["{secret}"]
        base_url = "{omni}"
        "#,
        alias = config.alias,
        token = config.access_token,
        secret = config.webhook_secret,
        omni = sandbox.omni_url(),
    );
    let webs = config.web_sites.iter().enumerate().map(|(index, site)| {
        format!(
            r#"
        [[connection]]
        name = "{name}"
        store = "{store}"
        channel = "web"
        site = "{alias}"
        access_token = "{token}"
        webhook_secret = "{secret}"
        base_url = "{url}"
        sole_pos = true
        customers = {customers}
        orders = {orders}
        {more}
        "#,
            name = web_connection(index + 1),
            store = config.alias,
            alias = site.alias,
            token = site.access_token,
            secret = site.webhook_secret,
            url = sandbox.web_url(&site.alias),
            more = settings(index + 1),
        )
    });
    std::iter::once(first).chain(webs).collect()
}

impl World {
    /// Applies other settings to every web.
    pub async fn set_webs(&self, settings: &str) {
        self.apply(&connections(&self.sandbox, (true, true, true), settings)).await;
    }

    /// Applies a connections file without asking the shops whether it can be right.
    pub async fn apply_offline(&self, text: &str) {
        let parsed = file::parse(text, self.dir.path()).unwrap();
        let context = self.running().context();
        apply(&context.store, &context.http, &parsed, false, true, "test").await.unwrap();
        context.snapshot.refresh().await.unwrap();
    }

    /// A product of one variant on a web, made by its owner: published, managed, without a compare-at price.
    pub fn on_web(&self, number: usize, sku: &str, price: i64, stock: i64) -> u64 {
        self.add_on_web(number, sku, vec![web_variant(sku, price, stock)])
    }

    /// A product of some variants on a web; tells the first variant's id.
    pub fn add_on_web(&self, number: usize, name: &str, variants: Vec<NewWebVariant>) -> u64 {
        let product = NewWebProduct { name: name.to_owned(), published: true, variants };
        self.sandbox.web(&web_alias(number)).add_product(product).variants[0]
    }

    /// A variant of a web as its API writes it.
    pub fn web_variant(&self, number: usize, id: u64) -> Value {
        self.sandbox.web(&web_alias(number)).variant(id).expect("the variant is on the web")
    }

    /// What a web shows of a variant: stock, price, compare-at price (0 for none).
    pub fn shown(&self, number: usize, id: u64) -> (Decimal, Decimal, Decimal) {
        let it = self.web_variant(number, id);
        let figure = |field: &str| match &it[field] {
            Value::Null => Decimal::ZERO,
            value => value.to_string().trim_matches('"').parse().expect("a number"),
        };
        let normal = |field: &str| figure(field).normalize();
        (normal("inventory_quantity"), normal("price"), normal("compare_at_price"))
    }

    /// Asserts stock and price of a variant of a web.
    #[track_caller]
    pub fn assert_shown(&self, number: usize, id: u64, stock: i64, price: i64) {
        let (shown_stock, shown_price, _) = self.shown(number, id);
        assert_eq!((shown_stock, shown_price), (stock.into(), price.into()), "calls: {:#?}", self.web_writes(number));
    }

    /// A product of one variant on the POS, with this stock at the branch 58001.
    pub fn on_pos(&self, sku: &str, price: i64, stock: i64) -> u64 {
        self.on_pos_at(sku, price, &json!({"58001": stock}))
    }

    /// The same with the stock of each branch.
    pub fn on_pos_at(&self, sku: &str, price: i64, stock: &Value) -> u64 {
        let variants = json!([{"sku": sku, "retail": price, "stock": stock}]);
        self.sandbox.omni().add_product(&json!({"name": sku, "variants": variants})).unwrap()
    }

    /// The id of a SKU's variant on the POS.
    pub fn pos_variant(&self, sku: &str) -> u64 {
        self.sandbox.omni().variant_by_sku(sku).expect("the SKU is on the POS")
    }

    /// The link of a POS variant with a web, where there is one.
    pub async fn web_link(&self, number: usize, sapo_variant: u64) -> Option<Link> {
        let name = web_connection(number);
        self.store().link_by_sapo(&name, LinkKind::Product, &sapo_variant.to_string()).await.unwrap()
    }

    /// Replays a dead letter, as `dead replay` does.
    pub async fn replay(&self, letter: &DeadLetter) {
        assert!(replay(self.store(), &self.running().context().snapshot, letter, "test").await.unwrap());
    }

    /// The calls of a web that ask for a change, oldest first.
    pub fn web_writes(&self, number: usize) -> Vec<Call> {
        let alias = web_alias(number);
        self.sandbox
            .calls()
            .into_iter()
            .filter(|call| call.writing && call.site.as_deref() == Some(alias.as_str()))
            .collect()
    }

    /// The ledger rows of an object for one web's connection, oldest first.
    pub async fn web_events_of(&self, number: usize, object: impl ToString) -> Vec<LedgerRow> {
        let (name, object) = (web_connection(number), object.to_string());
        self.events().await.into_iter().filter(|row| row.connection == name && row.object_id == object).collect()
    }

    /// The last outcome, code and story of an object for one web's connection.
    pub async fn web_outcome(&self, number: usize, object: impl ToString) -> (String, String, String) {
        let row = self.web_events_of(number, object).await.pop().expect("an event of the object");
        (row.outcome, row.code, row.story)
    }
}

/// A variant for [`World::add_on_web`].
pub fn web_variant(sku: &str, price: i64, stock: i64) -> NewWebVariant {
    NewWebVariant {
        sku: sku.to_owned(),
        price: price.into(),
        stock: stock.into(),
        managed: true,
        ..NewWebVariant::default()
    }
}
