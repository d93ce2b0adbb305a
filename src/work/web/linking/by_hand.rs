//! *Liên kết* and *Hủy liên kết*: what a person links stays linked, what a person cuts stays cut.

use std::collections::BTreeSet;

use super::{new_link, relink_in, wake};
use crate::domain::linking::{Candidate, Joined, Side, candidates};
use crate::store::links::{Link, LinkKind};
use crate::store::variants::{Seen, kept_sku};
use crate::store::{Store, StoreError, Tx};

/// What is to be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one variant of each side with this SKU, as typed.
    Sku(String),
    /// This variant, and the one with its SKU on the other side.
    Variant(Side, String),
    /// These two, whatever their SKUs are.
    Pair {
        /// The POS variant's id.
        sapo: String,
        /// The web variant's id.
        web: String,
    },
}

/// A link that stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The link.
    pub link: Link,
    /// Whether it was made now; else it stood before, and nothing was changed.
    pub new: bool,
}

/// Why nothing was linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkRefused {
    /// There is no such variant.
    #[error("{0} is not known at connection {1}; check it, and run `sapo-sync reconcile` where it is new")]
    Unknown(String, String),
    /// The variant has no SKU.
    #[error("{0} has no SKU; give it one, or name both variants: the POS variant's id and the web variant's")]
    NoSku(String),
    /// Only one side has it.
    #[error("SKU {sku} is not on {missing}; give it to the same product there, or name both variants")]
    OneSided {
        /// The SKU.
        sku: String,
        /// The side that has it not.
        missing: &'static str,
    },
    /// A side has it more than once.
    #[error("{0}: the POS variant's id and the web variant's")]
    Ambiguous(String),
    /// One of the two is linked to another.
    #[error("{0}; cut that link first (Hủy liên kết)")]
    LinkedElsewhere(String),
    /// The state database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LinkRefused {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl LinkRefused {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(..) => "unknown_variant",
            Self::NoSku(_) => "no_sku",
            Self::OneSided { .. } => "one_sided",
            Self::Ambiguous(_) => "ambiguous",
            Self::LinkedElsewhere(_) => "linked_elsewhere",
            Self::Store(error) => error.code(),
        }
    }
}

/// Links two variants by hand (Liên kết), also where their link was cut before. Links that stand already are returned
/// as they are.
pub async fn link_by_hand(
    store: &Store,
    connection: &str,
    target: &Target,
    actor: &str,
) -> Result<Linked, LinkRefused> {
    let mut tx = store.begin().await?;
    store.serialise_linking(&mut tx, connection).await?;
    let (sapo, web) = match target {
        Target::Sku(sku) => by_sku(store, &mut tx, connection, &kept_sku(sku), sku).await?,
        Target::Variant(side, id) => {
            let row = existing(store, &mut tx, connection, *side, id).await?;
            match linked_to(&row) {
                Some(other) => {
                    let other = existing(store, &mut tx, connection, side.other(), &other).await?;
                    if *side == Side::Sapo { (row, other) } else { (other, row) }
                }
                None => by_sku(store, &mut tx, connection, &row.sku, &name(&row)).await?,
            }
        }
        Target::Pair { sapo, web } => {
            let one = existing(store, &mut tx, connection, Side::Sapo, sapo).await?;
            (one, existing(store, &mut tx, connection, Side::Channel, web).await?)
        }
    };
    if linked_to(&sapo).as_deref() == Some(&web.variant_id) {
        tx.rollback().await?;
        let link = store.link_by_sapo(connection, LinkKind::Product, &sapo.variant_id).await?;
        let link = link.ok_or_else(|| StoreError::NotFound("the link was cut just now; try again".to_owned()))?;
        return Ok(Linked { link, new: false });
    }
    for row in [&sapo, &web] {
        if let Some(other) = linked_to(row) {
            let why = format!("{} is linked to {} {other} already", name(row), word(row.side().other()));
            return Err(LinkRefused::LinkedElsewhere(why));
        }
    }
    let link = new_link(connection, &sapo, &web);
    store.put_link(&mut tx, &link).await?;
    store.set_cut(&mut tx, connection, (&sapo.variant_id, &web.variant_id), false).await?;
    let skus = BTreeSet::from([sapo.sku.clone(), web.sku.clone()]);
    let mut links = relink_in(store, &mut tx, connection, &skus).await?;
    store.audit(&mut tx, actor, "link", connection, &described(&link)).await?;
    tx.commit().await?;
    links.push(link.clone());
    wake(store, connection, &links).await?;
    let kept = store.link_by_sapo(connection, LinkKind::Product, &link.sapo_id).await?;
    Ok(Linked { link: kept.unwrap_or(link), new: true })
}

/// Cuts a link by hand (Hủy liên kết): stock and price are not sent any more, nothing is deleted on either side, and
/// nothing links the two again but a person. Returns false where it was cut before.
pub async fn unlink(store: &Store, connection: &str, link: &Link, actor: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    store.serialise_linking(&mut tx, connection).await?;
    let pair = (link.sapo_id.as_str(), link.channel_id.as_str());
    if !store.cut_link(&mut tx, connection, pair).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    let mut skus = BTreeSet::new();
    for (side, id) in [(Side::Sapo, pair.0), (Side::Channel, pair.1)] {
        skus.extend(store.seen(&mut tx, connection, side, id).await?.map(|row| row.sku));
    }
    relink_in(store, &mut tx, connection, &skus).await?;
    store.audit(&mut tx, actor, "unlink", connection, &described(link)).await?;
    tx.commit().await?;
    Ok(true)
}

fn described(link: &Link) -> String {
    format!("SKU {}: Sapo variant {} and web variant {}", link.natural_key, link.sapo_id, link.channel_id)
}

fn word(side: Side) -> &'static str {
    if side == Side::Sapo { "Sapo variant" } else { "web variant" }
}

fn name(row: &Seen) -> String {
    format!("{} {}", word(row.side()), row.variant_id)
}

fn linked_to(row: &Seen) -> Option<String> {
    row.joined().filter(Joined::stands).map(|joined| joined.other)
}

async fn existing(store: &Store, tx: &mut Tx, connection: &str, side: Side, id: &str) -> Result<Seen, LinkRefused> {
    let row = store.seen(tx, connection, side, id).await?.filter(|row| !row.candidate().is_gone());
    row.ok_or_else(|| LinkRefused::Unknown(format!("{} {id}", word(side)), connection.to_owned()))
}

/// The one row of each side with a SKU.
async fn by_sku(
    store: &Store,
    tx: &mut Tx,
    connection: &str,
    sku: &str,
    asked: &str,
) -> Result<(Seen, Seen), LinkRefused> {
    if sku.is_empty() {
        return Err(LinkRefused::NoSku(if asked.trim().is_empty() { "it".to_owned() } else { asked.to_owned() }));
    }
    let mut rows = store.seen_of_skus(tx, connection, &[sku]).await?;
    rows.retain(|row| !row.candidate().is_gone());
    let count = |side| rows.iter().filter(|row| row.side() == side).count();
    match (count(Side::Sapo), count(Side::Channel)) {
        (0, 0) => Err(LinkRefused::Unknown(format!("SKU {sku}"), connection.to_owned())),
        (0, _) => Err(LinkRefused::OneSided { sku: sku.to_owned(), missing: "Sapo" }),
        (_, 0) => Err(LinkRefused::OneSided { sku: sku.to_owned(), missing: "the web" }),
        (1, 1) => {
            let sapo = rows.iter().position(|row| row.side() == Side::Sapo).unwrap_or_default();
            let sapo = rows.swap_remove(sapo);
            let web =
                rows.pop().ok_or_else(|| StoreError::NotFound(format!("SKU {sku} changed just now; try again")))?;
            Ok((sapo, web))
        }
        _ => {
            let all: Vec<Candidate> = rows.iter().map(Seen::candidate).collect();
            Err(LinkRefused::Ambiguous(candidates(sku, &all)))
        }
    }
}
