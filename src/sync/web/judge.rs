//! What each row of a page is linked with: as the store says or, in a plan, as linking would have it.

use std::collections::{BTreeSet, HashMap};

use crate::domain::linking::{self, Candidate, Side, VariantState, Verdict, is_dead, is_flag};
use crate::domain::web::WebVariant;
use crate::map::web::product::{self, Note, Target};
use crate::store::StoreError;
use crate::store::pairs::{Loose, Pair};
use crate::store::variants::{LinkFlag, Seen};
use crate::sync::walk::{Mode, Pace};

/// What a variant of the POS is linked with.
pub enum Standing {
    /// A variant of the web.
    Linked(Box<Linked>),
    /// Nothing, and why.
    Apart(Why),
}

/// A variant's link.
pub struct Linked {
    /// The web's variant.
    pub channel_id: String,
    /// What the web states of it; none where that is not known.
    pub there: Option<WebVariant>,
    /// The link was made by this walk, or would be.
    pub is_new: bool,
    /// What was pushed through it last, or found to be so before.
    pub pushed: Option<Target>,
    /// Why the link is in error, where it is: code and reason.
    pub fault: Option<(String, String)>,
    /// Why the owner should look at it all the same: code and reason.
    pub flag: Option<(String, String)>,
}

/// Why a variant is linked with nothing.
pub struct Why {
    /// Unlinked or error.
    pub state: VariantState,
    /// A stable word.
    pub code: String,
    /// For people.
    pub reason: String,
}

impl Why {
    fn new(state: Option<VariantState>, code: Option<String>, reason: Option<String>) -> Self {
        // Linked without a link: somebody cuts it just now.
        let state = state.filter(|state| *state != VariantState::Linked).unwrap_or(VariantState::Unlinked);
        Self { state, code: code.unwrap_or_else(|| "unlinked".to_owned()), reason: reason.unwrap_or_default() }
    }

    fn of(verdict: Verdict) -> Self {
        Self::new(Some(verdict.state), verdict.code, verdict.reason)
    }
}

/// What each variant of a page is linked with, in its order.
pub async fn of_pairs(pace: &Pace<'_>, pairs: &[Pair]) -> Result<Vec<Standing>, StoreError> {
    let apart = pairs.iter().filter(|pair| standing_link(pair).is_none());
    let skus: BTreeSet<&str> = apart.map(|pair| pair.sku.as_str()).collect();
    let mut planned = Planned::of(pace, skus).await?;
    let known = |pair: &Pair| Why::new(VariantState::from_word(&pair.state), pair.code.clone(), pair.reason.clone());
    Ok(pairs
        .iter()
        .map(|pair| match standing_link(pair) {
            Some(channel_id) => Standing::Linked(Box::new(linked(pace, pair, channel_id))),
            None if pace.mode == Mode::Plan => planned.take(pair),
            None => Standing::Apart(known(pair)),
        })
        .collect())
}

/// Why each variant of the web is linked with nothing, in the order of the rows; none where a plan would link it.
pub async fn of_loose(pace: &Pace<'_>, rows: &[Loose]) -> Result<Vec<Option<Why>>, StoreError> {
    let planned = Planned::of(pace, rows.iter().map(|row| row.sku.as_str()).collect()).await?;
    let known = |row: &Loose| Why::new(VariantState::from_word(&row.state), row.code.clone(), row.reason.clone());
    Ok(rows
        .iter()
        .map(|row| match planned.verdicts.get(&(Side::Channel, row.variant_id.clone())) {
            Some((_, Some(_))) => None,
            Some((verdict, None)) => Some(Why::of(verdict.clone())),
            None => Some(known(row)),
        })
        .collect())
}

/// The web's variant that a link holds which stands.
fn standing_link(pair: &Pair) -> Option<&str> {
    pair.channel_id.as_deref().filter(|_| !pair.link_code.as_deref().is_some_and(is_dead))
}

fn linked(pace: &Pace<'_>, pair: &Pair, channel_id: &str) -> Linked {
    // What is not pushed is found anew by this walk.
    let why = |code: &Option<String>, reason: &Option<String>| {
        let code = code.clone().filter(|code| !is_flag(code))?;
        Some((code, reason.clone().unwrap_or_default()))
    };
    Linked {
        channel_id: channel_id.to_owned(),
        there: pair.there.as_deref().and_then(|facts| serde_json::from_str(facts).ok()),
        pushed: pair.pushed.as_deref().and_then(|pushed| serde_json::from_str(pushed).ok()),
        is_new: pair.linked_at.is_some_and(|at| at >= pace.job.created_at),
        fault: why(&pair.link_code, &pair.link_reason),
        flag: why(&pair.code, &pair.reason),
    }
}

/// What a link is to say of what is not pushed through it, where it does not say so.
pub fn flag(pair: &Pair, link: &Linked, notes: &[Note]) -> Option<LinkFlag> {
    let there = link.there.as_ref().filter(|_| link.fault.is_none())?;
    let due = product::withheld(notes, there.managed);
    let said = pair.link_code.as_deref().zip(pair.link_reason.as_deref());
    let is_said = due.as_ref().map(|(code, reason)| (*code, reason.as_str())) == said;
    let said = due.map(|(code, reason)| (code.to_owned(), reason));
    (!is_said).then(|| LinkFlag { channel_id: link.channel_id.clone(), said })
}

/// What linking would make of the rows of some SKUs; empty where it has been done already.
#[derive(Default)]
struct Planned {
    /// Each row's verdict, and what it would be linked with.
    verdicts: HashMap<(Side, String), (Verdict, Option<String>)>,
    /// What the web states of its variants.
    facts: HashMap<String, WebVariant>,
}

impl Planned {
    async fn of(pace: &Pace<'_>, skus: BTreeSet<&str>) -> Result<Self, StoreError> {
        if pace.mode != Mode::Plan {
            return Ok(Self::default());
        }
        let (store, name) = (&pace.context.store, &pace.connection().name);
        let skus: Vec<&str> = skus.into_iter().filter(|sku| !sku.is_empty()).collect();
        let mut planned = Self::default();
        let mut tx = store.begin().await?;
        let rows = store.seen_of_skus(&mut tx, name, &skus).await?;
        tx.commit().await?;
        for group in rows.chunk_by(|one, other| one.sku == other.sku) {
            planned.judge(group);
        }
        let owned: Vec<String> = skus.into_iter().map(ToOwned::to_owned).collect();
        for row in store.variants_of_skus(name, &owned).await? {
            if row.side == Side::Channel.as_str()
                && let Ok(facts) = serde_json::from_str(&row.facts)
            {
                planned.facts.insert(row.variant_id, facts);
            }
        }
        Ok(planned)
    }

    /// Judges the rows of one SKU.
    fn judge(&mut self, rows: &[Seen]) {
        let Some(first) = rows.first() else { return };
        let candidates: Vec<Candidate> = rows.iter().map(Seen::candidate).collect();
        let judged = linking::judge(&first.sku, &candidates);
        for (at, (row, verdict)) in rows.iter().zip(judged.rows).enumerate() {
            let other = judged.link.and_then(|(one, other)| match at {
                _ if at == one => rows.get(other),
                _ if at == other => rows.get(one),
                _ => None,
            });
            let other = other.map(|other| other.variant_id.clone());
            self.verdicts.insert((row.side(), row.variant_id.clone()), (verdict, other));
        }
    }

    /// What a variant of the POS would be linked with.
    fn take(&mut self, pair: &Pair) -> Standing {
        match self.verdicts.remove(&(Side::Sapo, pair.variant_id.clone())) {
            Some((_, Some(channel_id))) => Standing::Linked(Box::new(Linked {
                there: self.facts.remove(&channel_id),
                channel_id,
                is_new: true,
                pushed: None,
                fault: None,
                flag: None,
            })),
            Some((verdict, None)) => Standing::Apart(Why::of(verdict)),
            None => Standing::Apart(Why::of(without_sku(pair))),
        }
    }
}

/// The verdict on a row that shares its SKU with nothing, for it has none.
fn without_sku(pair: &Pair) -> Verdict {
    let row = Candidate {
        side: Side::Sapo,
        product_id: pair.product_id.clone(),
        variant_id: pair.variant_id.clone(),
        cut: false,
        joined: None,
    };
    let verdict = linking::judge(&pair.sku, &[row]).rows.pop();
    verdict.unwrap_or(Verdict { state: VariantState::Unlinked, code: None, reason: None })
}
