//! `links compare`: both sides of links beside each other, as stored or as both APIs state them now.

use std::time::Duration;

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde_json::json;

use super::args::CompareArgs;
use super::change::{links_of_sku, no_link};
use super::web_connection;
use crate::app;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::setup::Invocation;
use crate::destination::omni::client::Choice;
use crate::destination::web::client::MOST_ROWS;
use crate::destination::{CallError, OmniClient, WebClient};
use crate::domain::clock::{Clock, until};
use crate::domain::connection::Connection;
use crate::domain::linking::Side;
use crate::domain::product::{PosProduct, PosVariant};
use crate::domain::web::{WebProduct, WebVariant};
use crate::store::Store;
use crate::store::connections::Snapshot;
use crate::store::links::{Link, LinkKind};
use crate::store::variants::{ProductRows, SapoFacts, VariantFilter};
use crate::sync::web::links::sides::{self, Known, Sides};
use crate::sync::web::preflight::examine::is_linked;
use crate::sync::web::preflight::{Facts, KIND};
use crate::work::context::web_access;

/// Variants read of the store at once.
const PAGE: i64 = 200;
/// How often a call that is throttled or fails is made again.
const TRIES: u32 = 20;

/// Where both sides are read from.
enum Source {
    Stored,
    Live(Box<Live>),
}

struct Live {
    omni: OmniClient,
    web: WebClient,
    clock: Clock,
    /// The location whose stock alone is ours, at a web that has several.
    location: Option<u64>,
    /// The last product of each side: its variants come one after the other.
    last: Option<(Link, PosProduct, WebProduct)>,
}

/// A link's two variants, with the web's whole name.
struct Read {
    sapo: PosVariant,
    web: WebVariant,
    web_name: String,
}

/// Compares.
pub async fn run(invocation: &Invocation, args: CompareArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let connection = web_connection(&known, &args.connection)?;
    let mut source =
        if args.live { Source::Live(Box::new(live(invocation, &store, &known, &connection)?)) } else { Source::Stored };
    let branches = branches(&store, &connection, &source).await?;
    let mut compared = Compared { invocation, store, connection, branches, limit: args.limit, seen: 0, differ: 0 };
    match &args.sku {
        Some(sku) => compared.of_sku(&mut source, sku).await?,
        None => compared.all(&mut source).await?,
    }
    Ok(Exit::Fine)
}

struct Compared<'a> {
    invocation: &'a Invocation,
    store: Store,
    connection: Connection,
    branches: Option<Vec<String>>,
    limit: i64,
    seen: i64,
    differ: i64,
}

impl Compared<'_> {
    async fn of_sku(&mut self, source: &mut Source, sku: &str) -> anyhow::Result<()> {
        let links = links_of_sku(&self.store, &self.connection.name, sku).await?;
        if links.is_empty() {
            return Err(no_link(sku, &self.connection.name).into());
        }
        for link in links {
            let sides = self.beside(source, &link).await?;
            match sides {
                Ok(sides) => self.print(&link, &sides, true),
                Err(why) => self.missing(&link, &why),
            }
        }
        Ok(())
    }

    async fn all(&mut self, source: &mut Source) -> anyhow::Result<()> {
        let mut filter = VariantFilter {
            connection: self.connection.name.clone(),
            side: Some(Side::Sapo),
            limit: PAGE,
            ..VariantFilter::default()
        };
        loop {
            let page = self.store.list_variants(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.mark());
            for variant in page.iter().filter(|variant| is_linked(variant)) {
                let name = &self.connection.name;
                let Some(link) = self.store.link_by_sapo(name, LinkKind::Product, &variant.variant_id).await? else {
                    continue;
                };
                self.seen += 1;
                let sides = self.beside(source, &link).await?;
                match sides {
                    Ok(sides) if !sides.differ() => {}
                    found => {
                        self.differ += 1;
                        match found {
                            _ if self.differ > self.limit => {}
                            Ok(sides) => self.print(&link, &sides, false),
                            Err(why) => self.missing(&link, &why),
                        }
                    }
                }
            }
        }
        let (seen, differ) = (self.seen, self.differ);
        if self.invocation.json {
            out::json(
                &json!({"type": "summary", "connection": self.connection.name, "compared": seen, "differ": differ}),
            );
        } else {
            out::line(format!("{differ} of {seen} links differ (khác nhau)"));
        }
        if differ > self.limit {
            out::note("… more differ; use --limit");
        }
        Ok(())
    }

    /// Both sides of a link, or why they cannot be put beside each other.
    async fn beside(&self, source: &mut Source, link: &Link) -> anyhow::Result<Result<Sides, String>> {
        let read = match source {
            Source::Stored => stored(&self.store, link).await?,
            Source::Live(live) => live.read(link).await?,
        };
        let read = match read {
            Ok(read) => read,
            Err(why) => return Ok(Err(why)),
        };
        let settings = &self.connection.settings;
        let reserved = if settings.web.reserve_unapproved {
            let branches = self.branches.as_deref().unwrap_or_default();
            self.store.held(&self.connection.store, &read.sapo, branches).await?
        } else {
            Decimal::ZERO
        };
        Ok(Ok(sides::beside(&Known {
            sapo: &read.sapo,
            web: &read.web,
            web_name: &read.web_name,
            settings,
            branches: self.branches.as_deref(),
            reserved,
        })))
    }

    fn print(&self, link: &Link, sides: &Sides, whole: bool) {
        if self.invocation.json {
            let row = json!({"type": "compare", "connection": self.connection.name, "state": link.state, "code": link.code, "differs": sides.differ()});
            let fields = serde_json::to_value(sides).unwrap_or_default();
            let fields: Vec<(&str, serde_json::Value)> =
                fields.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value.clone())).collect();
            out::json(&out::with(row, &fields));
            return;
        }
        out::line(format!(
            "SKU {}: POS {} ⇄ web {}, {}",
            sides.sku,
            sides.sapo_variant,
            sides.web_variant,
            super::label(&link.state)
        ));
        let rows = sides.fields.iter().filter(|field| whole || field.differs).map(|field| {
            let mark = match (field.differs, field.pushed) {
                (false, _) => "",
                (true, true) => "≠ khác (differs)",
                (true, false) => "≠ khác, không đồng bộ (differs, never pushed)",
            };
            vec![
                format!("{} ({})", field.field.label(), field.field),
                field.sapo.clone(),
                field.wanted.clone().unwrap_or_else(|| "giữ nguyên (left alone)".to_owned()),
                field.web.clone(),
                mark.to_owned(),
            ]
        });
        out::table(&["trường (field)", "POS", "web nên là (wanted)", "web", ""], rows.collect());
        if !sides.stock.is_empty() {
            out::line(format!("tồn kho (stock): {}", sides.stock));
        }
        for note in &sides.notes {
            out::line(format!("ghi chú (note): {note}"));
        }
    }

    fn missing(&self, link: &Link, why: &str) {
        if self.invocation.json {
            out::json(&json!({
                "type": "compare", "connection": self.connection.name, "sku": link.natural_key,
                "sapo_variant": link.sapo_id, "web_variant": link.channel_id, "state": link.state, "code": link.code,
                "differs": true, "missing": why,
            }));
        } else {
            out::line(format!("SKU {}: POS {} ⇄ web {}: {why}", link.natural_key, link.sapo_id, link.channel_id));
        }
    }
}

async fn stored(store: &Store, link: &Link) -> anyhow::Result<Result<Read, String>> {
    let gone = |side: &str| {
        Ok(Err(format!("its variant on the {side} is not stored; run `sapo-sync reconcile`, or use --live")))
    };
    let Some(sapo) = store.variant(&link.connection, Side::Sapo, &link.sapo_id).await? else { return gone("POS") };
    let Some(web) = store.variant(&link.connection, Side::Channel, &link.channel_id).await? else { return gone("web") };
    let Ok(facts) = serde_json::from_str::<SapoFacts>(&sapo.facts) else { return gone("POS") };
    let Ok(there) = serde_json::from_str::<WebVariant>(&web.facts) else { return gone("web") };
    Ok(Ok(Read { sapo: facts.variant, web: there, web_name: web.name }))
}

fn live(invocation: &Invocation, store: &Store, known: &Snapshot, connection: &Connection) -> anyhow::Result<Live> {
    let http = app::sender(&invocation.config, store.clock())?;
    let shop = known.stores.get(&connection.store).with_context(|| {
        format!("store {} is not connected; `sapo-sync connect apply` with a file that has it", connection.store)
    })?;
    let account = known.connections.get(&connection.name).context("the connection went just now")?;
    let omni = OmniClient::new(&http, &shop.alias, shop.access_token.clone(), shop.base_url.as_deref())?;
    let web = WebClient::new(&http, &connection.site, web_access(account), account.base_url.as_deref())?;
    let location = connection.settings.web.web_location;
    Ok(Live { omni: omni.dry(), web: web.dry(), clock: store.clock().clone(), location, last: None })
}

impl Live {
    async fn read(&mut self, link: &Link) -> anyhow::Result<Result<Read, String>> {
        let of =
            |product: &Option<String>| product.clone().context("the link names no product; run `sapo-sync reconcile`");
        let (sapo_id, web_id) = (of(&link.sapo_parent)?, of(&link.channel_parent)?);
        let is_last = self.last.as_ref().is_some_and(|(last, ..)| {
            last.sapo_parent == link.sapo_parent && last.channel_parent == link.channel_parent
        });
        if !is_last {
            let sapo = self.calling(|| self.omni.product(&sapo_id)).await?;
            let web = self.calling(|| self.web.product(&web_id)).await?;
            match (sapo, web) {
                (Some(sapo), Some(mut web)) => {
                    self.read_levels(&mut web).await?;
                    self.last = Some((link.clone(), sapo, web));
                }
                (None, _) => return Ok(Err("its product is not on the POS any more".to_owned())),
                (_, None) => return Ok(Err("its product is not on the web any more".to_owned())),
            }
        }
        let Some((_, sapo, web)) = &self.last else { return Ok(Err("it could not be read".to_owned())) };
        let one = sapo.variants.iter().find(|variant| variant.id == link.sapo_id);
        let other = web.variants.iter().find(|variant| variant.id == link.channel_id);
        Ok(match (one, other) {
            (Some(one), Some(other)) => {
                Ok(Read { sapo: one.clone(), web: other.clone(), web_name: name_of(web, &other.id) })
            }
            (None, _) => Err("its variant is not on the POS any more".to_owned()),
            (_, None) => Err("its variant is not on the web any more".to_owned()),
        })
    }

    /// Reads what lies at the one location that is ours: the product states no more than the sum over all locations.
    async fn read_levels(&self, product: &mut WebProduct) -> anyhow::Result<()> {
        let Some(location) = self.location else { return Ok(()) };
        for items in product.counted_items().chunks(MOST_ROWS as usize) {
            let levels = self.calling(|| self.web.levels(location, items)).await?.unwrap_or_default();
            product.set_levels(location, |item| levels.get(item).copied());
        }
        Ok(())
    }

    /// Makes a reading call, waiting for its turn; `None` where the object is not there.
    async fn calling<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> anyhow::Result<Option<T>> {
        let mut tries = 0;
        loop {
            let wait = match call().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(CallError::NotFound { .. }) => return Ok(None),
                Err(CallError::Throttled { until: moment }) if tries < TRIES => until(self.clock.now(), moment),
                Err(error) => return Err(error.into()),
            };
            tries += 1;
            tokio::time::sleep(wait.max(Duration::from_millis(50))).await;
        }
    }
}

/// A web variant's whole name, as it is kept.
fn name_of(product: &WebProduct, variant: &str) -> String {
    let rows = ProductRows::of_web(product).rows;
    rows.into_iter().find(|row| row.variant_id == variant).map(|row| row.name).unwrap_or_default()
}

/// The branches whose stock is summed: the chosen ones, else the default one as far as it is known.
async fn branches(store: &Store, connection: &Connection, source: &Source) -> anyhow::Result<Option<Vec<String>>> {
    let chosen = &connection.settings.web.stock_branches;
    if !chosen.is_empty() {
        return Ok(Some(chosen.iter().map(ToString::to_string).collect()));
    }
    match source {
        Source::Live(live) => {
            let locations = live.calling(|| live.omni.locations()).await?.unwrap_or_default();
            Ok(Choice::default_of(&locations).map(|branch| vec![branch.to_string()]))
        }
        Source::Stored => {
            let read = store.last_job(KIND, &connection.name).await?;
            Ok(Facts::of(store, connection, read.as_ref()).await?.branches)
        }
    }
}
