//! One product's pushes to one web: only what differs, one call for stock and one for prices.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::products::{SYNC, follow_links, record_web};
use super::setup;
use crate::destination::web::client::PriceChange;
use crate::destination::{CallError, Done};
use crate::domain::linking::Side;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::product::PosVariant;
use crate::domain::web::WebVariant;
use crate::map::web::product::{self, Note, Target};
use crate::store::links::Link;
use crate::store::pushes::Push;
use crate::work::context::{Halt, Run};

/// What became of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// Something was pushed.
    Pushed,
    /// The web shows it already.
    Unchanged,
    /// Nothing of it may be pushed.
    NotPushed,
    /// It has no link.
    NotLinked,
    /// One side of its link is not there any more.
    Gone,
    /// A part of it could not be pushed.
    Failed,
}

/// What is known of a web's variant, and the JSON that says so.
#[derive(Clone)]
struct There {
    variant: WebVariant,
    facts: String,
}

/// What stopped one call, without stopping the others.
enum Trouble {
    /// The web takes no such call of ours, for any variant: a scope, a location.
    Blocked { link_code: Option<&'static str>, outcome: Outcome },
    /// It refused this one.
    Refused { code: &'static str, reason: String, answer: Option<String> },
    /// The variant is not there any more.
    Gone,
    /// Its stock is not counted there, other than was known.
    Unmanaged,
    /// A dry run: it would have been made.
    Planned(String),
}

/// What became of a variant's calls.
struct Sent {
    /// What the web shows now.
    done: Target,
    /// Why something was refused: a stable word, and for people.
    error: Option<(&'static str, String)>,
    /// The variant is not there any more.
    gone: bool,
    /// The web does not count its stock, other than was known.
    uncounted: bool,
    /// Whether the other variants can still be tried.
    ended: Result<(), Halt>,
}

/// What a call came to.
type Called = Result<Result<(), Trouble>, Halt>;

/// The pushes of one product.
pub struct Pushes<'a> {
    run: &'a Run<'a>,
    branches: Vec<String>,
    /// Web products as they are known, by id and then by variant.
    known: HashMap<String, HashMap<String, There>>,
    /// Web products that were read during this run.
    read: Vec<String>,
    counts: HashMap<Count, usize>,
    no_stock: Option<(Option<&'static str>, Outcome)>,
    no_prices: Option<(Option<&'static str>, Outcome)>,
    wrong_settings: Option<Outcome>,
    refused: Option<Outcome>,
    /// Whether a call of the variant that is pushed now may have been carried out, without its answer.
    answer_lost: bool,
    done: Vec<Push>,
}

/// Whether a call may have been carried out, though it failed.
fn is_lost(answer: &Result<(), CallError>) -> bool {
    matches!(answer, Err(CallError::Failing { done: Done::Unknown, .. }))
}

impl<'a> Pushes<'a> {
    /// None yet; `branches` are those whose stock is summed.
    pub fn new(run: &'a Run<'a>, branches: Vec<String>) -> Self {
        Self {
            run,
            branches,
            known: HashMap::new(),
            read: Vec::new(),
            counts: HashMap::new(),
            no_stock: None,
            no_prices: None,
            wrong_settings: None,
            refused: None,
            answer_lost: false,
            done: Vec::new(),
        }
    }

    /// Counts a variant.
    pub fn count(&mut self, what: Count) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How many variants came to this.
    pub fn counted(&self, what: Count) -> usize {
        self.counts.get(&what).copied().unwrap_or_default()
    }

    /// Pushes a linked variant. Ends with an error only where no other variant would fare better.
    pub async fn push(&mut self, variant: &PosVariant, link: &Link) -> Result<(), Halt> {
        let Some(there) = self.there(link).await? else {
            self.count(Count::Gone);
            return Ok(());
        };
        let (target, notes) = self.target(variant, &there.variant).await?;
        let remembered = link.pushed.as_deref().and_then(|text| serde_json::from_str::<Target>(text).ok());
        let news = self.news(&target, remembered.as_ref(), &there.variant);
        let sent = self.send(variant, link, &there.variant, &news).await;
        if sent.gone {
            // Its link says so since the web was read.
            self.count(Count::Gone);
            return Ok(());
        }
        let failed = news.without(&sent.done);
        self.count(if sent.error.is_some() {
            Count::Failed
        } else if !sent.done.is_empty() {
            Count::Pushed
        } else if failed.is_empty() && !target.is_empty() {
            Count::Unchanged
        } else {
            Count::NotPushed
        });
        let mut now = link.clone();
        match sent.error {
            Some((code, reason)) => now.fail(code, reason),
            None if sent.ended.is_ok() => match product::withheld(&notes, there.variant.managed && !sent.uncounted) {
                Some((code, reason)) => now.flag(code, reason),
                None => now.mend(),
            },
            None => {}
        }
        let pushed = remembered.clone().unwrap_or_default().and(&target.without(&failed));
        // One that ended before anything was settled still waits for its first push.
        let untried = remembered.is_none() && pushed.is_empty() && sent.ended.is_err();
        if remembered.as_ref() != Some(&pushed) && !untried {
            now.pushed = serde_json::to_string(&pushed).ok();
        }
        let was_unsure = there.variant.unsure;
        let mut shown = product::applied(there.variant, &sent.done, self.location());
        // Whatever is wanted next is sent, until every call has its answer.
        shown.unsure = std::mem::take(&mut self.answer_lost) || (was_unsure && sent.ended.is_err());
        let is_news = !sent.done.is_empty() || shown.unsure != was_unsure;
        let shown = is_news.then(|| serde_json::to_string(&shown).ok()).flatten();
        if now != *link || shown.is_some() {
            self.done.push(Push { link: now, facts: shown.map(|shown| (there.facts, shown)) });
        }
        sent.ended
    }

    /// Sends what is new, stock and prices apart: where one is refused the other still goes.
    async fn send(&mut self, variant: &PosVariant, link: &Link, there: &WebVariant, news: &Target) -> Sent {
        let mut sent = Sent { done: Target::default(), error: None, gone: false, uncounted: false, ended: Ok(()) };
        let stock = Target { stock: news.stock, ..Target::default() };
        let prices = Target { stock: None, ..news.clone() };
        for part in [stock, prices].into_iter().filter(|part| !part.is_empty()) {
            match self.call(variant, link, there, &part).await {
                Ok(Ok(())) => sent.done = sent.done.and(&part),
                Ok(Err(Trouble::Planned(would))) => {
                    self.run.step("planned", would);
                    sent.done = sent.done.and(&part);
                }
                Ok(Err(Trouble::Unmanaged)) => {
                    self.note(variant, &Note::Unmanaged);
                    sent.uncounted = true;
                }
                Ok(Err(Trouble::Blocked { link_code, outcome })) => {
                    sent.error = sent.error.or(link_code.map(|code| (code, outcome.reason().to_owned())));
                    self.wrong_settings.get_or_insert(outcome);
                }
                Ok(Err(Trouble::Refused { code, reason, answer })) => {
                    self.run.step("variant_failed", format!("{}: {reason}", variant.sku));
                    let told = format!("SKU {}: {reason}", variant.sku);
                    self.refused.get_or_insert(Outcome::Dead { code, reason: told, last_answer: answer });
                    sent.error = sent.error.or(Some((code, reason)));
                }
                Ok(Err(Trouble::Gone)) => {
                    sent.gone = true;
                    break;
                }
                Err(halt) => {
                    sent.ended = Err(halt);
                    break;
                }
            }
        }
        sent
    }

    /// What the variant should show, and what a person should know of that.
    async fn target(&mut self, variant: &PosVariant, there: &WebVariant) -> Result<(Target, Vec<Note>), Halt> {
        let run = self.run;
        let settings = &run.connection().settings;
        let reserved = if settings.web.reserve_unapproved {
            run.store().held(&run.connection().store, variant, &self.branches).await?
        } else {
            Decimal::ZERO
        };
        let mut planned = product::target(variant, settings, &self.branches, reserved);
        if !there.managed {
            planned.target.stock = None;
            planned.notes.retain(|note| !matches!(note, Note::StockClamped { .. } | Note::StockUnknown { .. }));
            planned.notes.push(Note::Unmanaged);
        }
        for note in &planned.notes {
            self.note(variant, note);
        }
        if self.wrong_settings.is_none() {
            self.wrong_settings = setup::wrong(run, &planned.notes).await?;
        }
        Ok((planned.target, planned.notes))
    }

    fn note(&self, variant: &PosVariant, note: &Note) {
        self.run.step("note", format!("{}: {}", variant.sku, note.reason()));
    }

    /// What is to be sent: what is new since the last push, and what the web is known to show otherwise.
    fn news(&self, target: &Target, remembered: Option<&Target>, there: &WebVariant) -> Target {
        if self.run.event.topic == SYNC {
            return target.clone();
        }
        let pushed = remembered.filter(|_| !self.run.event.force);
        // A walk looks at the real other side. Of a location whose stock it could not read, nothing else is known.
        let last = remembered.filter(|_| pushed.is_some() || self.run.event.job.is_some());
        let mut there = there.clone();
        if self.is_read_anew() || (remembered.is_none() && self.run.event.job.is_none()) {
            // A product says nothing of single locations, and what was known of them does not count, nor where nothing
            // was pushed through this link yet.
            there.levels.clear();
        }
        let differs = product::differs_at(self.location(), target, &there, last);
        pushed.map_or(differs.clone(), |pushed| differs.and(&target.changed_since(pushed)))
    }

    /// The location whose stock alone is ours, at a web that has several.
    fn location(&self) -> Option<u64> {
        self.run.connection().settings.web.web_location
    }

    /// Makes the one call for stock, or the one for prices.
    async fn call(&mut self, variant: &PosVariant, link: &Link, there: &WebVariant, part: &Target) -> Called {
        let blocked = if part.stock.is_some() { &self.no_stock } else { &self.no_prices };
        if let Some((link_code, outcome)) = blocked {
            return Ok(Err(Trouble::Blocked { link_code: *link_code, outcome: outcome.clone() }));
        }
        let called = if let Some(units) = part.stock {
            self.set_stock(link, there, units).await?
        } else {
            let change = PriceChange { price: part.price, compare_at: part.compare_at };
            let answer = self.run.web()?.set_price(&link.channel_id, &change).await;
            self.answer_lost |= is_lost(&answer);
            self.judge(link, answer, "price").await?
        };
        if let Err(Trouble::Blocked { link_code, outcome }) = &called {
            self.run.step("blocked", format!("{}: {}", variant.sku, outcome.reason()));
            let blocked = if part.stock.is_some() { &mut self.no_stock } else { &mut self.no_prices };
            *blocked = Some((*link_code, outcome.clone()));
        }
        Ok(called)
    }

    async fn set_stock(&mut self, link: &Link, there: &WebVariant, units: i64) -> Called {
        let location = match setup::web_location(self.run).await {
            Ok(location) => location,
            Err(Halt::Outcome(outcome)) => return Ok(Err(Trouble::Blocked { link_code: None, outcome })),
            Err(Halt::Call(error)) => return self.judge(link, Err(error), "locations").await,
            Err(halt) => return Err(halt),
        };
        let web = self.run.web()?;
        let mut item = there.inventory_item_id.clone();
        if item.is_none() {
            item = self.read_again(link).await?.and_then(|there| there.variant.inventory_item_id);
        }
        let Some(item) = item else {
            let reason = "the web names no inventory item for it, by which its stock could be set; save the product on \
                          the web once, then sync it again";
            return Ok(Err(Trouble::Refused { code: "no_inventory_item", reason: reason.to_owned(), answer: None }));
        };
        let answer = web.set_stock(location, &link.channel_id, &item, units).await;
        self.answer_lost |= is_lost(&answer);
        if !matches!(answer, Err(CallError::NotFound { .. })) {
            return self.judge(link, answer, "stock").await;
        }
        // The variant, its item or the location: only a read tells.
        let Some(now) = self.read_again(link).await? else { return Ok(Err(Trouble::Gone)) };
        match now.variant.inventory_item_id {
            Some(other) if other != item => {
                let answer = web.set_stock(location, &link.channel_id, &other, units).await;
                self.answer_lost |= is_lost(&answer);
                self.judge(link, answer, "stock").await
            }
            _ => {
                let outcome = setup::unknown_location(&self.run.connection().site, location);
                Ok(Err(Trouble::Blocked { link_code: None, outcome }))
            }
        }
    }

    /// Says what an answer means for this variant and for the others.
    async fn judge(&mut self, link: &Link, answer: Result<(), CallError>, what: &str) -> Called {
        let error = match answer {
            Ok(()) => return Ok(Ok(())),
            Err(error) => error,
        };
        Ok(Err(match error {
            CallError::AlreadySo { .. } => return Ok(Ok(())),
            CallError::DryRun { would } => Trouble::Planned(would),
            CallError::Refused { code: "missing_scope", message, .. } => {
                let reason = format!("no {what} can be pushed: {message}");
                let outcome = Outcome::parked(Cause::Setup, Some("access".to_owned()), reason);
                Trouble::Blocked { link_code: Some("missing_scope"), outcome }
            }
            CallError::Refused { code: "unmanaged", .. } => {
                self.read_again(link).await?;
                Trouble::Unmanaged
            }
            CallError::Refused { code, message, answer } => {
                let reason = format!(
                    "the web refused its {what}: {message}; correct the product on the web or the POS, then replay the \
                     dead letter"
                );
                Trouble::Refused { code, reason, answer }
            }
            CallError::NotFound { .. } if self.read_again(link).await?.is_none() => Trouble::Gone,
            CallError::NotFound { .. } => {
                let reason = format!(
                    "the web shows the variant but does not find it when its {what} is set; replay the dead letter, \
                         and ask Sapo if it stays so"
                );
                Trouble::Refused { code: "not_found", reason, answer: None }
            }
            error @ (CallError::Throttled { .. } | CallError::Failing { .. } | CallError::Unauthorised { .. }) => {
                return Err(error.into());
            }
        }))
    }

    /// The web's variant as it is known; read where it is not, or where nothing that is known counts.
    async fn there(&mut self, link: &Link) -> Result<Option<There>, Halt> {
        let Some(product) = self.web_product(link).await? else {
            let reason = format!("variant {} of the web is not known; run `sapo-sync reconcile`", link.channel_id);
            self.run.step("note", reason);
            return Ok(None);
        };
        if self.is_read_anew() {
            return self.read(&product, link).await;
        }
        if !self.known.contains_key(&product) {
            let kept = self.kept(&product).await?;
            self.known.insert(product.clone(), kept);
        }
        match self.known.get(&product).and_then(|known| known.get(&link.channel_id)) {
            Some(there) => Ok(Some(there.clone())),
            None => self.read(&product, link).await,
        }
    }

    /// Whether nothing that is known of the web counts. A walk has read it just now.
    fn is_read_anew(&self) -> bool {
        let event = self.run.event;
        event.topic == SYNC || (event.force && event.job.is_none())
    }

    /// The variants of a web's product as they are kept.
    async fn kept(&self, product_id: &str) -> Result<HashMap<String, There>, Halt> {
        let rows = self.run.store().variants_of_product(self.run.name(), Side::Channel, product_id).await?;
        let kept = rows.into_iter().filter_map(|row| {
            let variant = serde_json::from_str(&row.facts).ok()?;
            Some((row.variant_id, There { variant, facts: row.facts }))
        });
        Ok(kept.collect())
    }

    /// The product of the link's web variant.
    async fn web_product(&self, link: &Link) -> Result<Option<String>, Halt> {
        if let Some(parent) = &link.channel_parent {
            return Ok(Some(parent.clone()));
        }
        let row = self.run.store().variant(self.run.name(), Side::Channel, &link.channel_id).await?;
        Ok(row.map(|row| row.product_id))
    }

    async fn read_again(&mut self, link: &Link) -> Result<Option<There>, Halt> {
        match self.web_product(link).await? {
            Some(product) => self.read(&product, link).await,
            None => Ok(None),
        }
    }

    /// Reads a web's product, once a run, and records it; tells the link's variant, where it is there.
    async fn read(&mut self, product_id: &str, link: &Link) -> Result<Option<There>, Halt> {
        if !self.read.iter().any(|read| read == product_id) {
            let product = match self.run.web()?.product(product_id).await {
                Ok(product) => Some(product),
                Err(CallError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            if !self.run.dry {
                let new = record_web(self.run, product_id, product.as_ref()).await?;
                follow_links(self.run, None, &new);
            }
            let variants = product.map(|product| product.variants).unwrap_or_default();
            let known = variants.into_iter().map(|variant| {
                let facts = serde_json::to_string(&variant).unwrap_or_default();
                (variant.id.clone(), There { variant, facts })
            });
            let mut known: HashMap<String, There> = known.collect();
            if !self.run.dry {
                // What is kept may hold more than the product says: the stock at single locations.
                let mut kept = self.kept(product_id).await?;
                kept.retain(|id, _| known.contains_key(id));
                known.extend(kept);
            }
            self.known.insert(product_id.to_owned(), known);
            self.read.push(product_id.to_owned());
        }
        Ok(self.known.get(product_id).and_then(|known| known.get(&link.channel_id)).cloned())
    }

    /// Records what was pushed and what could not be.
    pub async fn record(&mut self) -> Result<(), Halt> {
        if self.run.dry {
            return Ok(());
        }
        Ok(self.run.store().record_pushes(&std::mem::take(&mut self.done)).await?)
    }

    /// What the product's event ends with; `linked` variants are new, `why` says why others are not.
    pub fn outcome(self, linked: usize, why: &str) -> Outcome {
        if let Some(outcome) = self.wrong_settings {
            return outcome;
        }
        let count = |what| self.counts.get(&what).copied().unwrap_or_default();
        if let Some(Outcome::Dead { code, reason, last_answer }) = self.refused {
            let all: usize = self.counts.values().sum();
            let reason = format!("{} of {all} variants failed, the others are done. {reason}", count(Count::Failed));
            return Outcome::Dead { code, reason, last_answer };
        }
        let mut text = format!(
            "variants: {} pushed, {} unchanged, {} not pushed, {} not linked, {} gone",
            count(Count::Pushed),
            count(Count::Unchanged),
            count(Count::NotPushed),
            count(Count::NotLinked),
            count(Count::Gone)
        );
        if linked > 0 {
            text = format!("{text}; {linked} newly linked");
        }
        if !why.is_empty() {
            text = format!("{text} ({why})");
        }
        let any = |what| count(what) > 0;
        if linked > 0 {
            Outcome::done("linked", text)
        } else if any(Count::Pushed) {
            Outcome::done("pushed", text)
        } else if any(Count::NotPushed) {
            Outcome::skipped("not_pushed", text)
        } else if any(Count::Unchanged) {
            Outcome::skipped("unchanged", text)
        } else if any(Count::Gone) {
            Outcome::skipped("gone_on_channel", text)
        } else if any(Count::NotLinked) {
            Outcome::skipped("not_linked", text)
        } else {
            Outcome::skipped("no_variants", "the product has no variants")
        }
    }
}
