//! Links of a web's variants: made by SKU after each change and in the link step of an import, made and cut by hand.
//!
//! Everything here holds the connection's linking to itself while it reads, judges and writes: two events that bring
//! one SKU from both sides are judged one after the other, and the second finds what the first left.

use std::collections::BTreeSet;

use crate::domain::linking::{Judged, Side, VariantState, judge};
use crate::domain::sku::Sku;
use crate::store::links::{Link, LinkKind};
use crate::store::variants::{ProductRows, Recorded, Seen, StateChange};
use crate::store::{Store, StoreError, Tx};
use crate::work::products::cause_key;
use crate::work::web::order_in::variant_key;

mod by_hand;

pub use by_hand::{LinkRefused, Linked, Target, link_by_hand, unlink};

/// Rows judged in one transaction of a walk.
const PAGE: i64 = 4_000;

/// Records a product as one side states it, and links what can be linked by it: one transaction. Returns the links that
/// are new, and after them those that stand again.
pub async fn record(
    store: &Store,
    connection: &str,
    side: Side,
    product: &ProductRows,
) -> Result<Vec<Link>, StoreError> {
    let mut tx = store.begin().await?;
    let product = std::slice::from_ref(product);
    let Recorded { touched, mended } = store.put_products_page(&mut tx, connection, side, product, None).await?;
    let mut links = relink_in(store, &mut tx, connection, &touched).await?;
    links.extend(mended);
    tx.commit().await?;
    wake(store, connection, &links).await?;
    Ok(links)
}

/// Records that a product is gone from one side, and judges anew what it stood in the way of. Returns the new links.
pub async fn record_gone(
    store: &Store,
    connection: &str,
    side: Side,
    product_id: &str,
) -> Result<Vec<Link>, StoreError> {
    let mut tx = store.begin().await?;
    let skus = store.product_gone(&mut tx, connection, side, product_id).await?;
    let links = relink_in(store, &mut tx, connection, &skus).await?;
    tx.commit().await?;
    wake(store, connection, &links).await?;
    Ok(links)
}

/// Judges SKUs (in compared form) anew: writes states and new links, and wakes what waits for these. Returns the new
/// links.
pub async fn relink(store: &Store, connection: &str, skus: &BTreeSet<String>) -> Result<Vec<Link>, StoreError> {
    let mut tx = store.begin().await?;
    let links = relink_in(store, &mut tx, connection, skus).await?;
    tx.commit().await?;
    wake(store, connection, &links).await?;
    Ok(links)
}

/// [`relink`] within a transaction; [`wake`] is called once that is committed.
pub async fn relink_in(
    store: &Store,
    tx: &mut Tx,
    connection: &str,
    skus: &BTreeSet<String>,
) -> Result<Vec<Link>, StoreError> {
    store.serialise_linking(tx, connection).await?;
    let skus: Vec<&str> = skus.iter().map(String::as_str).filter(|sku| !sku.is_empty()).collect();
    let rows = store.seen_of_skus(tx, connection, &skus).await?;
    settle(store, tx, connection, &rows, &mut LinkSummary::default()).await
}

/// Judges SKUs (in compared form) for the states of their rows alone, within a transaction: nothing is linked, and what
/// could be says so.
pub async fn look_at(store: &Store, tx: &mut Tx, connection: &str, skus: &BTreeSet<String>) -> Result<(), StoreError> {
    store.serialise_linking(tx, connection).await?;
    let skus: Vec<&str> = skus.iter().map(String::as_str).filter(|sku| !sku.is_empty()).collect();
    let rows = store.seen_of_skus(tx, connection, &skus).await?;
    let mut changes: Vec<StateChange> = Vec::new();
    for rows in rows.chunk_by(|one, other| one.sku == other.sku) {
        let sku = rows.first().map_or("", |row| row.sku.as_str());
        let candidates: Vec<_> = rows.iter().map(Seen::candidate).collect();
        let verdicts = judge(sku, &candidates).without_linking(sku);
        changes.extend(rows.iter().zip(verdicts).filter_map(|(row, verdict)| row.change(verdict)));
    }
    store.set_states(tx, connection, &changes).await
}

/// Wakes what waits for links, such as orders with a line that had none.
pub async fn wake(store: &Store, connection: &str, links: &[Link]) -> Result<(), StoreError> {
    if links.is_empty() {
        return Ok(());
    }
    let by_sku = links.iter().filter_map(|link| Sku::new(&link.natural_key)).map(|sku| cause_key(&sku));
    let keys: BTreeSet<String> = by_sku.chain(links.iter().map(|link| variant_key(&link.channel_id))).collect();
    store.bring_forward_all(connection, &Vec::from_iter(keys)).await?;
    Ok(())
}

/// What the link step of a walk has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSummary {
    /// Rows judged, of both sides.
    pub rows: u64,
    /// Rows whose state or reason is another now.
    pub changed: u64,
    /// Rows that are linked.
    pub linked: u64,
    /// Rows that are not linked.
    pub unlinked: u64,
    /// Rows in error.
    pub errors: u64,
    /// Links made.
    pub new_links: u64,
}

/// Judges every row of a connection: in the order of SKUs, page by page, each in a transaction of its own. `keep` is
/// told after each.
pub async fn relink_all(
    store: &Store,
    connection: &str,
    mut keep: impl FnMut(&LinkSummary) + Send,
) -> Result<LinkSummary, StoreError> {
    let mut all = RelinkAll::new(connection);
    while !all.page(store).await?.is_done() {
        keep(&all.summary);
    }
    Ok(all.summary)
}

/// [`relink_all`] step by step, for whoever has something to do in between.
#[derive(Clone, Debug)]
pub struct RelinkAll {
    /// What was found so far.
    pub summary: LinkSummary,
    connection: String,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Blank(Side, String),
    Skus(String),
    Done,
}

/// What a page of [`RelinkAll`] brought.
#[derive(Debug)]
pub struct Page {
    /// The new links.
    pub links: Vec<Link>,
    done: bool,
}

impl Page {
    /// Whether there was nothing left.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

impl RelinkAll {
    /// At the beginning.
    pub fn new(connection: &str) -> Self {
        let stage = Stage::Blank(Side::Sapo, String::new());
        Self { summary: LinkSummary::default(), connection: connection.to_owned(), stage }
    }

    /// Judges the next page.
    pub async fn page(&mut self, store: &Store) -> Result<Page, StoreError> {
        let mut tx = store.begin().await?;
        store.serialise_linking(&mut tx, &self.connection).await?;
        let (rows, next) = match &self.stage {
            Stage::Blank(side, after) => {
                let rows = store.seen_blank(&mut tx, &self.connection, *side, after, PAGE).await?;
                let next = match (rows.last(), side) {
                    (Some(last), side) => Stage::Blank(*side, last.variant_id.clone()),
                    (None, Side::Sapo) => Stage::Blank(Side::Channel, String::new()),
                    (None, Side::Channel) => Stage::Skus(String::new()),
                };
                (rows, next)
            }
            Stage::Skus(after) => {
                let rows = store.seen_page(&mut tx, &self.connection, after, PAGE).await?;
                let next = rows.last().map_or(Stage::Done, |last| Stage::Skus(last.sku.clone()));
                (rows, next)
            }
            Stage::Done => (Vec::new(), Stage::Done),
        };
        let links = settle(store, &mut tx, &self.connection, &rows, &mut self.summary).await?;
        tx.commit().await?;
        wake(store, &self.connection, &links).await?;
        self.stage = next;
        Ok(Page { links, done: matches!(self.stage, Stage::Done) })
    }
}

/// Judges whole SKUs, and writes what comes of it.
async fn settle(
    store: &Store,
    tx: &mut Tx,
    connection: &str,
    rows: &[Seen],
    summary: &mut LinkSummary,
) -> Result<Vec<Link>, StoreError> {
    let (mut links, mut replacing, mut changes) = (Vec::new(), Vec::new(), Vec::<StateChange>::new());
    for rows in rows.chunk_by(|one, other| one.sku == other.sku) {
        let sku = rows.first().map_or("", |row| row.sku.as_str());
        let candidates: Vec<_> = rows.iter().map(Seen::candidate).collect();
        let Judged { rows: verdicts, link } = judge(sku, &candidates);
        for (row, verdict) in rows.iter().zip(verdicts) {
            summary.count(verdict.state);
            changes.extend(row.change(verdict));
        }
        if let Some((Some(sapo), Some(web))) = link.map(|(sapo, web)| (rows.get(sapo), rows.get(web))) {
            let new = new_link(connection, sapo, web);
            if sapo.joined().is_some() || web.joined().is_some() {
                replacing.push(new.clone());
            }
            links.push(new);
        }
    }
    summary.changed += changes.len() as u64;
    summary.new_links += links.len() as u64;
    store.forget_replaced(tx, connection, &replacing).await?;
    store.put_links(tx, connection, &links).await?;
    store.set_states(tx, connection, &changes).await?;
    Ok(links)
}

impl LinkSummary {
    fn count(&mut self, state: VariantState) {
        self.rows += 1;
        *match state {
            VariantState::Linked => &mut self.linked,
            VariantState::Unlinked => &mut self.unlinked,
            VariantState::Error => &mut self.errors,
        } += 1;
    }
}

fn new_link(connection: &str, sapo: &Seen, web: &Seen) -> Link {
    let sku = if sapo.sku.is_empty() { &web.sku } else { &sapo.sku };
    let mut link = Link::new(connection, LinkKind::Product, &sapo.variant_id, &web.variant_id, sku);
    link.sapo_parent = Some(sapo.product_id.clone());
    link.channel_parent = Some(web.product_id.clone());
    link
}
