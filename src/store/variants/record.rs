//! What a side says of its products: the rows of each, what is gone, what is back.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::facts::with_known_levels;
use super::judge::{Seen, StateChange, id_column, select_seen, unjudged};
use super::{BATCH, Builder, kept_sku, push_in};
use crate::domain::clock::Millis;
use crate::domain::linking::Side;
use crate::store::links::{Link, LinkKind};
use crate::store::{Store, StoreError, Tx};

/// A variant as its side states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantRow {
    /// Its id.
    pub variant_id: String,
    /// Its SKU as typed.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// What its side says of it, as JSON.
    pub facts: String,
}

/// A whole product as its side states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRows {
    /// Its id.
    pub product_id: String,
    /// Its `modified_on`.
    pub version: Option<Millis>,
    /// Every variant of it.
    pub rows: Vec<VariantRow>,
}

/// What recording products came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Every SKU touched, old and new, in compared form: they are to be judged next.
    pub touched: BTreeSet<String>,
    /// The links that stand again, for what was gone is back; nothing is pushed through them yet.
    pub mended: Vec<Link>,
}

/// A link that stands again.
#[derive(sqlx::FromRow)]
struct Mended {
    sapo_id: String,
    channel_id: String,
    sapo_parent: Option<String>,
    channel_parent: Option<String>,
    natural_key: String,
}

/// A row that is to be written.
struct Written<'a> {
    product: &'a ProductRows,
    variant: &'a VariantRow,
    /// Its SKU in compared form.
    sku: String,
    /// It is known, and not as gone.
    stands: bool,
    /// What is known of it, where that is more than its side says.
    facts: Option<String>,
}

/// What is to be written.
#[derive(Default)]
struct Plan<'a> {
    rows: Vec<Written<'a>>,
    /// Products of which something newer is known: they were met, no more.
    stale: Vec<&'a str>,
    /// Rows that go.
    delete: Vec<String>,
    /// Rows whose standing link breaks now.
    broken: Vec<String>,
    /// Rows whose link stands again.
    back: Vec<String>,
    /// Rows of which both sides are gone, with their counterparts.
    both_gone: Vec<(String, String)>,
    /// POS variants whose links tell their rows anew.
    follow: BTreeSet<String>,
    /// Rows that lost their SKU.
    blank: Vec<StateChange>,
    touched: BTreeSet<String>,
}

impl Store {
    /// Records a whole product as one side states it, unless something newer is known of it. Rows that it does not
    /// list any more go; those with a link stay, in error, as long as the link does.
    ///
    /// Returns every SKU touched, old and new, in compared form: they are to be judged next.
    pub async fn put_product(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        product: &ProductRows,
        seen: Option<&str>,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.put_products_page(tx, connection, side, std::slice::from_ref(product), seen).await?.touched)
    }

    /// Records that a product is gone: those of its variants with a link stay, in error, the others go.
    pub async fn product_gone(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        product_id: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        let nothing = ProductRows { product_id: product_id.to_owned(), version: None, rows: Vec::new() };
        self.put_product(tx, connection, side, &nothing, None).await
    }

    /// [`Store::put_product`] for many products at once, which tells all that came of it; `seen` names the walk that met
    /// them.
    pub async fn put_products_page(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        products: &[ProductRows],
        seen: Option<&str>,
    ) -> Result<Recorded, StoreError> {
        self.serialise_linking(tx, connection).await?;
        // One that a page holds twice was told later by the later one.
        let last: HashMap<&str, usize> = products.iter().enumerate().map(|(at, p)| (&*p.product_id, at)).collect();
        let products: Vec<&ProductRows> = products
            .iter()
            .enumerate()
            .filter(|(at, p)| last.get(&*p.product_id) == Some(at))
            .map(|(_, p)| p)
            .collect();
        let known = self.known_rows(tx, connection, side, &products).await?;
        let mut plan = Plan::new(side, &products, &known);
        if side == Side::Channel {
            self.keep_levels(tx, connection, &mut plan.rows).await?;
        }
        self.write_rows(tx, connection, side, &plan.rows, seen.unwrap_or_default()).await?;
        if let Some(seen) = seen {
            self.mark_seen(tx, connection, side, &plan.stale, seen).await?;
            self.keep_statistics(tx).await?;
        }
        self.set_states(tx, connection, &plan.blank).await?;
        self.break_links(tx, connection, side, &plan.broken).await?;
        let mended = self.mend_links(tx, connection, side, &plan.back).await?;
        self.delete_rows(tx, connection, side, &plan.delete).await?;
        self.forget_both(tx, connection, side, &plan.both_gone).await?;
        let follow: Vec<&str> = plan.follow.iter().map(String::as_str).collect();
        self.follow_links(tx, connection, &follow).await?;
        Ok(Recorded { touched: plan.touched, mended })
    }

    /// What is known of products, and of the variants that they list now, by variant.
    async fn known_rows(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        products: &[&ProductRows],
    ) -> Result<HashMap<String, Seen>, StoreError> {
        let mut known: HashMap<String, Seen> = HashMap::new();
        let ids: Vec<&str> = products.iter().map(|product| &*product.product_id).collect();
        self.read_rows(tx, connection, side, ("product_id", &ids), &mut known).await?;
        let listed = products.iter().flat_map(|product| &product.rows).map(|row| &*row.variant_id);
        let moved: Vec<&str> = listed.filter(|id| !known.contains_key(*id)).collect();
        self.read_rows(tx, connection, side, ("variant_id", &moved), &mut known).await?;
        Ok(known)
    }

    async fn read_rows(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        (column, ids): (&str, &[&str]),
        known: &mut HashMap<String, Seen>,
    ) -> Result<(), StoreError> {
        for ids in ids.chunks(BATCH) {
            let mut sql = select_seen(connection, side);
            push_in(&mut sql, &format!(" and v.{column}"), ids);
            let rows: Vec<Seen> = sql.build_query_as().fetch_all(&mut **tx).await?;
            known.extend(rows.into_iter().map(|row| (row.variant_id.clone(), row)));
        }
        Ok(())
    }

    /// Adds to the rows of a web what is known of the stock at single locations: no product states it, so a product
    /// that is told anew says nothing against it. Of what was gone, nothing of before counts.
    async fn keep_levels(&self, tx: &mut Tx, connection: &str, rows: &mut [Written<'_>]) -> Result<(), StoreError> {
        let ids: Vec<&str> = rows.iter().filter(|row| row.stands).map(|row| row.variant.variant_id.as_str()).collect();
        let mut levels: HashMap<String, String> = HashMap::new();
        for ids in ids.chunks(BATCH) {
            let mut sql = Builder::new("select variant_id, facts from variants where connection = ");
            sql.push_bind(connection).push(" and side = ").push_bind(Side::Channel.as_str());
            sql.push(" and facts like '%\"levels\":{%'");
            push_in(&mut sql, " and variant_id", ids);
            let found: Vec<(String, String)> = sql.build_query_as().fetch_all(&mut **tx).await?;
            levels.extend(found);
        }
        for row in rows.iter_mut().filter(|row| row.stands) {
            let known = levels.get(&row.variant.variant_id);
            row.facts = known.and_then(|known| with_known_levels(&row.variant.facts, known));
        }
        Ok(())
    }

    async fn write_rows(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        rows: &[Written<'_>],
        seen: &str,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        for rows in rows.chunks(BATCH) {
            let mut sql = Builder::new(
                "insert into variants (connection, side, variant_id, product_id, sku, name, facts, state, code, reason, version, seen, updated_at) ",
            );
            sql.push_values(rows, |mut row, Written { product, variant, sku, facts, .. }| {
                let facts = facts.as_deref().unwrap_or(variant.facts.as_str());
                let verdict = unjudged(side, sku);
                row.push_bind(connection).push_bind(side.as_str());
                row.push_bind(variant.variant_id.as_str()).push_bind(product.product_id.as_str());
                row.push_bind(sku.as_str()).push_bind(variant.name.as_str()).push_bind(facts);
                row.push_bind(verdict.state.as_str()).push_bind(verdict.code).push_bind(verdict.reason);
                row.push_bind(product.version).push_bind(seen).push_bind(now);
            });
            sql.push(
                " on conflict (connection, side, variant_id) do update set product_id = excluded.product_id, sku = excluded.sku, name = excluded.name,
                   facts = excluded.facts, version = coalesce(excluded.version, variants.version),
                   seen = case when excluded.seen = '' then variants.seen else excluded.seen end, updated_at = excluded.updated_at",
            );
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn mark_seen(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        products: &[&str],
        seen: &str,
    ) -> Result<(), StoreError> {
        for products in products.chunks(BATCH) {
            let mut sql = Builder::new("update variants set seen = ");
            sql.push_bind(seen).push(" where connection = ").push_bind(connection);
            sql.push(" and side = ").push_bind(side.as_str());
            push_in(&mut sql, " and product_id", products);
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn break_links(&self, tx: &mut Tx, connection: &str, side: Side, ids: &[String]) -> Result<(), StoreError> {
        let reason = match side {
            Side::Sapo => {
                "deleted on Sapo; the web is left as it is: hide or delete the product there, or cut the link"
            }
            Side::Channel => "it is not on the web any more; make it there again, or cut the link",
        };
        for ids in ids.chunks(BATCH) {
            let mut sql = Builder::new("update links set state = 'error', pushed = null, code = ");
            sql.push_bind(side.gone_code()).push(", reason = ").push_bind(reason);
            sql.push(", updated_at = ").push_bind(self.clock.now()).push(" where connection = ").push_bind(connection);
            push_in(&mut sql, &format!(" and kind = 'product' and {}", id_column(side)), ids);
            sql.build().execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn mend_links(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        ids: &[String],
    ) -> Result<Vec<Link>, StoreError> {
        let mut mended = Vec::new();
        for ids in ids.chunks(BATCH) {
            let mut sql = Builder::new(
                "update links set state = 'linked', code = null, reason = null, pushed = null, updated_at = ",
            );
            sql.push_bind(self.clock.now()).push(" where connection = ").push_bind(connection);
            sql.push(" and code = ").push_bind(side.gone_code());
            push_in(&mut sql, &format!(" and kind = 'product' and {}", id_column(side)), ids);
            sql.push(" returning sapo_id, channel_id, sapo_parent, channel_parent, natural_key");
            let rows: Vec<Mended> = sql.build_query_as().fetch_all(&mut **tx).await?;
            mended.extend(rows.into_iter().map(|row| row.link(connection)));
        }
        Ok(mended)
    }

    /// Where neither side is there any more, nothing is left to show.
    async fn forget_both(
        &self,
        tx: &mut Tx,
        connection: &str,
        side: Side,
        pairs: &[(String, String)],
    ) -> Result<(), StoreError> {
        let (own, others): (Vec<String>, Vec<String>) = pairs.iter().cloned().unzip();
        for ids in own.chunks(BATCH) {
            let mut sql = Builder::new("delete from links where connection = ");
            sql.push_bind(connection);
            push_in(&mut sql, &format!(" and kind = 'product' and {}", id_column(side)), ids);
            sql.build().execute(&mut **tx).await?;
        }
        self.delete_rows(tx, connection, side, &own).await?;
        self.delete_rows(tx, connection, side.other(), &others).await
    }
}

impl Mended {
    fn link(self, connection: &str) -> Link {
        Link {
            sapo_parent: self.sapo_parent,
            channel_parent: self.channel_parent,
            ..Link::new(connection, LinkKind::Product, &self.sapo_id, &self.channel_id, &self.natural_key)
        }
    }
}

impl<'a> Plan<'a> {
    fn new(side: Side, products: &[&'a ProductRows], known: &HashMap<String, Seen>) -> Self {
        let mut plan = Self::default();
        let mut by_product: HashMap<&str, Vec<&Seen>> = HashMap::new();
        for row in known.values() {
            by_product.entry(&row.product_id).or_default().push(row);
        }
        let mut listed: HashSet<&str> = HashSet::new();
        // A variant that is listed by two products of one page is where the later one says.
        for product in products.iter().rev() {
            let before = by_product.get(&*product.product_id).map_or(&[][..], Vec::as_slice);
            let newest = before.iter().filter(|row| !row.is_gone()).filter_map(|row| row.version).max();
            if product.version.is_some_and(|version| newest.is_some_and(|newest| newest > version)) {
                plan.stale.push(&product.product_id);
                listed.extend(before.iter().map(|row| &*row.variant_id).filter(|id| has(product, id)));
                continue;
            }
            for row in product.rows.iter().rev() {
                if listed.insert(&row.variant_id) {
                    plan.list(side, product, row, known.get(&row.variant_id));
                }
            }
        }
        let stale: HashSet<&str> = plan.stale.iter().copied().collect();
        for product in products.iter().filter(|product| !stale.contains(&*product.product_id)) {
            for row in by_product.get(&*product.product_id).into_iter().flatten() {
                if !listed.contains(&*row.variant_id) {
                    plan.lose(side, row);
                }
            }
        }
        plan
    }

    fn list(&mut self, side: Side, product: &'a ProductRows, row: &'a VariantRow, before: Option<&Seen>) {
        let sku = kept_sku(&row.sku);
        self.touch(&sku);
        if let Some(before) = before {
            let renamed = before.sku != sku;
            if renamed {
                self.touch(&before.sku);
            }
            match before.other() {
                Some(other) if renamed || before.is_gone() => {
                    self.follow(side, &before.variant_id, other, before.other_sku());
                }
                None if renamed && sku.is_empty() => self.blank.push(StateChange {
                    side,
                    variant_id: before.variant_id.clone(),
                    verdict: unjudged(side, ""),
                }),
                _ => {}
            }
            if before.is_gone() {
                self.back.push(before.variant_id.clone());
            }
        }
        let stands = before.is_some_and(|before| !before.is_gone());
        self.rows.push(Written { product, variant: row, sku, stands, facts: None });
    }

    fn lose(&mut self, side: Side, row: &Seen) {
        self.touch(&row.sku);
        match row.other() {
            None => self.delete.push(row.variant_id.clone()),
            Some(_) if row.is_gone() => {}
            Some(other) if row.link_code() == Some(side.other().gone_code()) => {
                self.both_gone.push((row.variant_id.clone(), other.to_owned()));
            }
            Some(other) => {
                self.broken.push(row.variant_id.clone());
                self.follow(side, &row.variant_id, other, row.other_sku());
            }
        }
    }

    /// The link's rows are told anew, and the counterpart's SKU is judged as well.
    fn follow(&mut self, side: Side, own: &str, other: &str, other_sku: Option<&str>) {
        self.follow.insert(if side == Side::Sapo { own } else { other }.to_owned());
        self.touch(other_sku.unwrap_or_default());
    }

    fn touch(&mut self, sku: &str) {
        if !sku.is_empty() {
            self.touched.insert(sku.to_owned());
        }
    }
}

fn has(product: &ProductRows, id: &str) -> bool {
    product.rows.iter().any(|row| row.variant_id == id)
}
