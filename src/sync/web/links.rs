//! What owners do with the links of a web: one variant at once, or all that match as a stored job that is counted
//! first, shows how far it is, can be stopped, and goes on where it was.
//!
//! Links themselves are made and cut in `work::web::linking`; what has to be pushed afterwards becomes an event, which
//! goes the same way as a webhook.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::preflight::examine::is_linked;
use crate::domain::clock::Millis;
use crate::domain::connection::{Connection, State};
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System, asked_body, words};
use crate::domain::linking::{Side, VariantState};
use crate::domain::outcome::Cause;
use crate::store::connections::ConnectionAccount;
use crate::store::jobs::Job;
use crate::store::links::LinkKind;
use crate::store::parked::ToPark;
use crate::store::variants::{Variant, VariantFilter, VariantMark};
use crate::store::{Store, StoreError};
use crate::sync::compare::{Action, Finding};
use crate::sync::jobs::Summary;
use crate::sync::walk::{Mode, Pace, WalkError, walk_event};
use crate::work::context::Context;
use crate::work::web::linking;

pub mod sides;

/// The kind of such a job.
pub const KIND: &str = "links";
/// The topic of an event that pushes stock and price, whatever was pushed before.
pub const TOPIC: &str = "sync";
/// Variants looked at together.
const PAGE: i64 = 500;
/// What is asked for by hand goes first.
const FIRST: i64 = 0;
/// How often it is asked whether a job's events are settled.
const TICK: Duration = Duration::from_millis(300);

words! {
    /// What is done with links.
    Deed {
        /// Liên kết.
        Link = "link",
        /// Hủy liên kết.
        Unlink = "unlink",
        /// Đồng bộ dữ liệu ngay.
        Sync = "sync",
    }
}

impl Deed {
    /// As owners call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Link => "Liên kết",
            Self::Unlink => "Hủy liên kết",
            Self::Sync => "Đồng bộ dữ liệu ngay",
        }
    }

    /// Whether it is done to this variant of the POS where all that match are meant: a link that was cut by hand is
    /// made again by hand alone.
    fn is_for(self, variant: &Variant) -> bool {
        let is_gone = variant.code.as_deref() == Some(Side::Sapo.gone_code());
        match self {
            Self::Link => !is_linked(variant) && !is_gone && variant.cut == 0 && !variant.sku.is_empty(),
            Self::Unlink | Self::Sync => is_linked(variant),
        }
    }
}

/// What was asked for: a job's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What is done.
    pub deed: Deed,
    /// Only variants in this state.
    pub state: Option<VariantState>,
    /// Only those with this in their name, a SKU that begins so, or this id of a variant or product.
    pub search: Option<String>,
    /// Only those with this code.
    pub code: Option<String>,
    /// How many variants matched.
    pub counted: i64,
    /// Who asked.
    pub actor: String,
}

impl Asked {
    /// Reads a job's arguments.
    pub fn of(job: &Job) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&job.arguments)
    }

    /// The filter for people.
    pub fn filter(&self) -> String {
        let state = self.state.map(|state| state.as_str().to_owned());
        let parts = [("state", &state), ("search", &self.search), ("code", &self.code)];
        let told: Vec<String> =
            parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
        if told.is_empty() { "all".to_owned() } else { told.join(", ") }
    }

    /// Whether it pushes whatever is linked.
    fn is_for_whole_products(&self) -> bool {
        let narrowed = self.search.is_some() || self.code.is_some();
        self.deed == Deed::Sync && !narrowed && matches!(self.state, None | Some(VariantState::Linked))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.deed == other.deed && self.filter() == other.filter()
    }

    fn page_after(&self, connection: &str, after: Option<VariantMark>) -> VariantFilter {
        VariantFilter {
            connection: connection.to_owned(),
            side: Some(Side::Sapo),
            state: self.state,
            sku: None,
            search: self.search.clone(),
            code: self.code.clone(),
            after,
            limit: PAGE,
        }
    }
}

/// How many variants of the POS what is asked for would touch.
pub async fn count(store: &Store, connection: &str, asked: &Asked) -> Result<i64, StoreError> {
    let (mut counted, mut after) = (0, None);
    loop {
        let page = store.list_variants(&asked.page_after(connection, after)).await?;
        let Some(last) = page.last() else { return Ok(counted) };
        after = Some(last.mark());
        counted += i64::try_from(page.iter().filter(|variant| asked.deed.is_for(variant)).count()).unwrap_or(0);
    }
}

/// The job of the same wish that waits or runs, where there is one.
pub async fn open(store: &Store, connection: &str, asked: &Asked) -> Result<Option<Job>, StoreError> {
    let mut tx = store.begin().await?;
    let jobs = store.open_jobs(&mut tx, KIND).await?;
    tx.commit().await?;
    Ok(same(jobs, connection, asked))
}

/// Stores a job with its audit row; one of the same wish that waits or runs already is returned instead.
pub async fn ask(store: &Store, connection: &str, asked: &Asked) -> Result<Job, StoreError> {
    let mut tx = store.begin().await?;
    store.serialise(&mut tx, &format!("job:{KIND}:{connection}")).await?;
    if let Some(job) = same(store.open_jobs(&mut tx, KIND).await?, connection, asked) {
        tx.commit().await?;
        return Ok(job);
    }
    let arguments = serde_json::to_string(asked).unwrap_or_default();
    let job = store.insert_job(&mut tx, KIND, connection, &arguments).await?;
    let detail = format!("{connection}, {}: {} variants", asked.filter(), asked.counted);
    store.audit(&mut tx, &asked.actor, &format!("links {} all", asked.deed), &job.id, &detail).await?;
    tx.commit().await?;
    Ok(job)
}

fn same(jobs: Vec<Job>, connection: &str, asked: &Asked) -> Option<Job> {
    jobs.into_iter().find(|job| job.connection == connection && Asked::of(job).is_ok_and(|other| other.is_same(asked)))
}

/// An event that pushes a product's stock and price to the web; those of all its variants where none is named.
fn push_event(connection: &Connection, product_id: &str, variants: &[String], now: Millis) -> Event {
    event(connection, System::Omni, Kind::Product, product_id, asked_body(variants), now)
}

fn event(connection: &Connection, source: System, kind: Kind, id: &str, body: Bytes, now: Millis) -> Event {
    let key = ObjectKey { connection: connection.name.clone(), source, kind, object_id: id.to_owned() };
    let mut event = Event::new(key, connection.store.clone(), TOPIC, Shape::Id, now, body);
    event.force = true;
    event
}

/// What mends a connection that is stopped, whose events are all skipped; none where it is not.
pub fn stopped(account: &ConnectionAccount) -> Option<String> {
    let name = &account.connection.name;
    let reason = account.state_reason.as_deref().unwrap_or("no reason is known");
    (account.connection.state == State::Stopped)
        .then(|| format!("connection {name} is stopped ({reason}); `sapo-sync connect apply FILE` connects it again"))
}

/// Has stock and price of these variants of a product pushed, whatever was pushed before (Đồng bộ dữ liệu ngay).
pub async fn push(
    store: &Store,
    connection: &Connection,
    product_id: &str,
    variants: &[String],
    actor: &str,
) -> Result<(), StoreError> {
    let event = push_event(connection, product_id, variants, store.clock().now());
    park_now(store, connection, &event, "links sync", product_id, actor).await
}

/// Has an order of the web sent to the POS that was not synchronised (Đồng bộ dữ liệu ngay).
pub async fn send_order(
    store: &Store,
    connection: &Connection,
    order_id: &str,
    name: &str,
    actor: &str,
) -> Result<(), StoreError> {
    let mut event = event(connection, System::Web, Kind::Order, order_id, asked_body(&[]), store.clock().now());
    event.reference = Some(name.to_owned());
    park_now(store, connection, &event, "links link order", order_id, actor).await
}

/// Parks an event that is due now: whoever works publishes it, in this process or another.
async fn park_now(
    store: &Store,
    connection: &Connection,
    event: &Event,
    action: &str,
    subject: &str,
    actor: &str,
) -> Result<(), StoreError> {
    let account = connection.target_account(event.key.source);
    let park = ToPark {
        event,
        account: &account,
        class: FIRST,
        cause: Cause::Replay,
        cause_key: None,
        reason: "asked for by hand",
        due_at: store.clock().now(),
    };
    let mut tx = store.begin().await?;
    store.park(&mut tx, &park).await?;
    store.audit(&mut tx, actor, action, subject, &connection.name).await?;
    Ok(tx.commit().await?)
}

/// Does what a job asks for, and waits until what it has made is worked on.
pub async fn run(context: &Context, job: &Job, stop: &CancellationToken) -> Result<Summary, WalkError> {
    let asked = Asked::of(job)
        .map_err(|error| WalkError::Setup(format!("what was asked for cannot be read ({error}); ask for it again")))?;
    context.snapshot.refresh().await?;
    let account = super::preflight::account(context, &job.connection)?;
    if let Some(cure) = stopped(&account).filter(|_| asked.deed != Deed::Unlink) {
        return Err(WalkError::Setup(cure));
    }
    let event = walk_event(&account.connection, &job.id, context.clock.now());
    let mut pace = Pace::new(context, job, Mode::Reconcile, &event, account, stop.clone(), None)?;
    pace.found.stage = asked.deed.to_string();
    pace.found.total = u64::try_from(asked.counted).ok();
    // A product's variants may lie on pages far apart: where all are asked for, each product is read once.
    let mut sent = asked.is_for_whole_products().then(HashSet::new);
    while let Some(page) = next_page(&mut pace, &asked).await? {
        match asked.deed {
            Deed::Link => link(&mut pace, &page).await?,
            Deed::Unlink => unlink(&mut pace, &page, &asked.actor).await?,
            Deed::Sync => {
                for variant in &page {
                    note(&mut pace, Action::Update, variant, "pushed_now", "its stock and price are pushed");
                }
                let products = match &mut sent {
                    Some(sent) => {
                        let new =
                            page.into_iter().map(|variant| variant.product_id).filter(|id| sent.insert(id.clone()));
                        new.map(|id| (id, Vec::new())).collect()
                    }
                    None => by_product(page.into_iter().map(|variant| (variant.product_id, variant.variant_id))),
                };
                send(&mut pace, products).await?;
            }
        }
        pace.keep().await?;
    }
    until_settled(&mut pace).await?;
    summary(&pace).await.map_err(Into::into)
}

/// The next variants that the deed is for; `None` at the end.
async fn next_page(pace: &mut Pace<'_>, asked: &Asked) -> Result<Option<Vec<Variant>>, WalkError> {
    let after: Option<(String, String, String)> = serde_json::from_str(&pace.position.after).ok();
    let after = after.map(|(sku, side, variant_id)| VariantMark { sku, side, variant_id });
    let mut page = pace.context.store.list_variants(&asked.page_after(&pace.connection().name, after)).await?;
    let Some(VariantMark { sku, side, variant_id }) = page.last().map(Variant::mark) else { return Ok(None) };
    pace.position.after = serde_json::to_string(&(sku, side, variant_id)).unwrap_or_default();
    page.retain(|variant| asked.deed.is_for(variant));
    Ok(Some(page))
}

fn note(pace: &mut Pace<'_>, action: Action, variant: &Variant, code: &str, reason: &str) {
    let object = if variant.sku.is_empty() { &variant.variant_id } else { &variant.sku };
    let finding = Finding::new(action, "product", object, code.to_owned(), reason);
    pace.note("product", &finding);
}

async fn link(pace: &mut Pace<'_>, page: &[Variant]) -> Result<(), WalkError> {
    let (store, name) = (pace.context.store.clone(), pace.connection().name.clone());
    let skus: BTreeSet<String> = page.iter().map(|variant| variant.sku.clone()).collect();
    let new = linking::relink(&store, &name, &skus).await?;
    send(pace, by_product(new.into_iter().filter_map(|link| Some((link.sapo_parent?, link.sapo_id))))).await?;
    let now: HashMap<String, Variant> = store
        .variants_of_skus(&name, &Vec::from_iter(skus))
        .await?
        .into_iter()
        .filter(|variant| variant.side == Side::Sapo.as_str())
        .map(|variant| (variant.variant_id.clone(), variant))
        .collect();
    for before in page {
        let variant = now.get(&before.variant_id).unwrap_or(before);
        if is_linked(variant) {
            note(pace, Action::Link, variant, "linked", "linked by its SKU");
            continue;
        }
        let is_error = variant.state == VariantState::Error.as_str();
        let action = if is_error { Action::Error } else { Action::Skip };
        let code = variant.code.as_deref().unwrap_or("unlinked");
        note(pace, action, variant, code, variant.reason.as_deref().unwrap_or_default());
    }
    Ok(())
}

async fn unlink(pace: &mut Pace<'_>, page: &[Variant], actor: &str) -> Result<(), WalkError> {
    let (store, name) = (pace.context.store.clone(), pace.connection().name.clone());
    for variant in page {
        let link = store.link_by_sapo(&name, LinkKind::Product, &variant.variant_id).await?;
        let was_cut = match &link {
            Some(link) => linking::unlink(&store, &name, link, actor).await?,
            None => false,
        };
        if was_cut {
            note(pace, Action::Update, variant, "unlinked", "its link is cut: stock and price are pushed no more");
        } else {
            note(pace, Action::Skip, variant, "unlinked", "its link was cut meanwhile");
        }
    }
    Ok(())
}

/// Variants, each given after its product, together with those of the same product.
fn by_product(variants: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut products: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (product, variant) in variants {
        products.entry(product).or_default().push(variant);
    }
    products
}

/// Makes the events that push variants: one event a product, which names its variants, for others were not asked for;
/// none named is all of them.
async fn send(pace: &mut Pace<'_>, products: BTreeMap<String, Vec<String>>) -> Result<(), WalkError> {
    for (product, variants) in products {
        let mut event = push_event(pace.connection(), &product, &variants, pace.context.clock.now());
        event.job = Some(pace.job.id.clone());
        pace.context.broker.publish(&event).await?;
        pace.position.published += 1;
        pace.found.published = pace.position.published;
    }
    Ok(())
}

/// Waits until every event has an outcome, and none waits for its turn alone.
async fn until_settled(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    "working".clone_into(&mut pace.found.stage);
    pace.keep_settled().await?;
    loop {
        let codes = pace.context.store.job_codes(&pace.job.id).await?;
        let on_its_way = |outcome: &str, code: &str| {
            outcome == "parked" && matches!(Cause::from_word(code), Some(Cause::Throttled | Cause::IntentPending))
        };
        if !codes.iter().any(|(outcome, code, _)| on_its_way(outcome, code)) {
            return Ok(());
        }
        tokio::time::sleep(TICK).await;
        pace.keep().await?;
    }
}

async fn summary(pace: &Pace<'_>) -> Result<Summary, StoreError> {
    let codes = pace.context.store.job_codes(&pace.job.id).await?;
    let of = |word: &str| codes.iter().filter(|row| row.0 == word).map(|row| row.2).sum();
    Ok(Summary {
        errors: pace.found.actions.get("product.error").copied().unwrap_or(0),
        found: pace.found.actions.clone(),
        checked: pace.found.checked.clone(),
        events: pace.position.published,
        done: of("done"),
        skipped: of("skipped"),
        parked: of("parked"),
        dead: of("dead"),
        codes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(deed: Deed, state: Option<VariantState>, search: Option<&str>) -> Asked {
        let search = search.map(ToOwned::to_owned);
        Asked { deed, state, search, code: None, counted: 3, actor: "cli".to_owned() }
    }

    fn variant(state: &str, code: Option<&str>, cut: i64, sku: &str) -> Variant {
        Variant {
            connection: "mau-web".into(),
            side: "sapo".into(),
            variant_id: "1".into(),
            product_id: "2".into(),
            sku: sku.into(),
            name: String::new(),
            facts: "{}".into(),
            state: state.into(),
            code: code.map(ToOwned::to_owned),
            reason: None,
            cut,
            version: None,
            seen: String::new(),
            updated_at: 0,
        }
    }

    #[test]
    fn all_that_match_leaves_out_what_was_cut_by_hand_and_what_the_deed_is_not_for() {
        let cases = [
            (variant("linked", None, 0, "A"), [false, true, true]),
            (variant("linked", Some("renamed"), 0, ""), [false, true, true]),
            (variant("error", Some("unmanaged"), 0, "A"), [false, true, true]),
            (variant("error", Some("ambiguous"), 0, "A"), [true, false, false]),
            (variant("error", Some("deleted"), 0, "A"), [false, false, false]),
            (variant("error", Some("gone_on_channel"), 0, "A"), [true, false, false]),
            (variant("unlinked", Some("only_on_sapo"), 0, "A"), [true, false, false]),
            (variant("unlinked", Some("no_sku"), 0, ""), [false, false, false]),
            (variant("unlinked", Some("cut_by_hand"), 1, "A"), [false, false, false]),
        ];
        for (variant, expected) in cases {
            assert_eq!(
                [Deed::Link, Deed::Unlink, Deed::Sync].map(|deed| deed.is_for(&variant)),
                expected,
                "{variant:?}"
            );
        }
    }

    #[test]
    fn a_wish_is_the_same_by_its_deed_and_filter() {
        let one = asked(Deed::Sync, Some(VariantState::Linked), Some("AT-S"));
        assert!(one.is_same(&Asked { counted: 9, ..one.clone() }));
        assert!(!one.is_same(&asked(Deed::Unlink, Some(VariantState::Linked), Some("AT-S"))));
        assert!(!one.is_same(&asked(Deed::Sync, None, Some("AT-S"))));
        assert_eq!(
            (one.filter().as_str(), asked(Deed::Link, None, None).filter().as_str()),
            ("state linked, search AT-S", "all")
        );
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), one);
    }
}
