//! Reservations: what open drafts made of channels' orders hold of a variant, while the POS's own stock does not know
//! it. They are always kept; each web's settings say whether they count there.
//!
//! A combo or a pack size has no stock of its own. So a draft of one holds what it is made of as well, and what a draft
//! holds of a component is taken off all that is made of that.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::variants::SapoFacts;
use super::{Store, StoreError, Tx};
use crate::domain::product::PosVariant;

/// So deep are combos of combos followed.
const DEEPEST: usize = 4;
/// The POS states the stock of a pack size with so many decimals: what is taken off it is rounded likewise.
const DECIMALS: u32 = 4;

/// What one order holds of one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The POS variant.
    pub variant_id: String,
    /// Its product.
    pub product_id: String,
    /// The branch that is to deliver it.
    pub location_id: String,
    /// How many; fractions occur.
    pub quantity: Decimal,
}

/// What something is made of.
struct Part {
    /// Its product, where a web of the store knows it.
    product_id: Option<String>,
    /// How many one takes.
    quantity: Decimal,
}

impl Store {
    /// What an order holds by its lines, and of what their combos and pack sizes are made, as far as webs of the store
    /// know it; each variant once.
    pub async fn with_parts(&self, store: &str, lines: Vec<Reservation>) -> Result<Vec<Reservation>, StoreError> {
        let mut all: BTreeMap<String, Reservation> = BTreeMap::new();
        for line in lines {
            let made_of = match self.stated(store, &line.variant_id).await? {
                Some((_, variant)) => self.parts(store, &variant).await?,
                None => BTreeMap::new(),
            };
            let parts = made_of.into_iter().map(|(variant_id, part)| Reservation {
                variant_id,
                product_id: part.product_id.unwrap_or_else(|| line.product_id.clone()),
                location_id: line.location_id.clone(),
                quantity: line.quantity.saturating_mul(part.quantity),
            });
            let parts: Vec<Reservation> = parts.collect();
            for row in parts.into_iter().chain([line]) {
                all.entry(row.variant_id.clone())
                    .and_modify(|known| known.quantity = known.quantity.saturating_add(row.quantity))
                    .or_insert(row);
            }
        }
        Ok(all.into_values().collect())
    }

    /// What open drafts hold of a variant at these branches: as much as they hold of itself, or of that part of it of
    /// which they hold most. Of a combo of several parts that may be a little more than it need be, never less.
    pub async fn held(&self, store: &str, variant: &PosVariant, branches: &[String]) -> Result<Decimal, StoreError> {
        let mut most = self.reserved(store, &variant.id, branches).await?;
        for (id, part) in self.parts(store, variant).await? {
            let held = self.reserved(store, &id, branches).await?;
            most = most.max(held.checked_div(part.quantity).unwrap_or_default().round_dp(DECIMALS));
        }
        Ok(most)
    }

    /// What one of a variant is made of, and what that is made of in turn, by variant; empty for most.
    async fn parts(&self, store: &str, variant: &PosVariant) -> Result<BTreeMap<String, Part>, StoreError> {
        let mut all: BTreeMap<String, Part> = BTreeMap::new();
        let mut open: Vec<(String, Decimal)> = variant.parts().map(|(id, taken)| (id.to_owned(), taken)).collect();
        for _ in 0..DEEPEST {
            let mut inner = Vec::new();
            for (id, taken) in open {
                let known = self.stated(store, &id).await?;
                if let Some((_, part)) = &known {
                    inner.extend(part.parts().map(|(id, each)| (id.to_owned(), each.saturating_mul(taken))));
                }
                let part = all
                    .entry(id)
                    .or_insert_with(|| Part { product_id: known.map(|(product, _)| product), quantity: Decimal::ZERO });
                part.quantity = part.quantity.saturating_add(taken);
            }
            open = inner;
        }
        Ok(all)
    }

    /// What the POS states of a variant, as a web of the store heard it last, with its product.
    async fn stated(&self, store: &str, variant_id: &str) -> Result<Option<(String, PosVariant)>, StoreError> {
        let row: Option<(String, String)> = sqlx::query_as(
            "select v.product_id, v.facts from connections c
             join variants v on v.connection = c.name and v.side = 'sapo' and v.variant_id = $2
             where c.store = $1 order by v.updated_at desc limit 1",
        )
        .bind(store)
        .bind(variant_id)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.and_then(|(product, facts)| Some((product, serde_json::from_str::<SapoFacts>(&facts).ok()?.variant))))
    }

    /// Writes what a POS order holds, in the transaction that links it; what is written already stays. Tells the
    /// products of which it holds something only now.
    pub async fn reserve(
        &self,
        tx: &mut Tx,
        store: &str,
        order_id: &str,
        rows: &[Reservation],
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut products = BTreeSet::new();
        for row in rows {
            let done = sqlx::query(
                "insert into reservations (store, order_id, variant_id, product_id, location_id, quantity) values ($1, $2, $3, $4, $5, $6)
                 on conflict (store, order_id, variant_id) do nothing",
            )
            .bind(store)
            .bind(order_id)
            .bind(&row.variant_id)
            .bind(&row.product_id)
            .bind(&row.location_id)
            .bind(row.quantity.normalize().to_string())
            .execute(&mut **tx)
            .await?;
            if done.rows_affected() > 0 {
                products.insert(row.product_id.clone());
            }
        }
        Ok(products)
    }

    /// How many of a variant are held at these branches by open drafts of the store's channels, all together. What
    /// became of the drafts of a stopped connection is not heard of any more, so they hold nothing.
    pub async fn reserved(&self, store: &str, variant_id: &str, branches: &[String]) -> Result<Decimal, StoreError> {
        if branches.is_empty() {
            return Ok(Decimal::ZERO);
        }
        let mut sql = sqlx::QueryBuilder::<sqlx::Any>::new("select r.quantity from reservations r where r.store = ");
        sql.push_bind(store.to_owned()).push(" and r.variant_id = ").push_bind(variant_id.to_owned());
        sql.push(" and r.location_id in (");
        let mut list = sql.separated(", ");
        for branch in branches {
            list.push_bind(branch.as_str());
        }
        sql.push(
            ") and exists (select 1 from links l join connections c on c.name = l.connection
             where l.kind = 'order' and l.sapo_id = r.order_id and c.store = r.store and c.state <> 'stopped')",
        );
        let rows: Vec<(String,)> = sql.build_query_as().fetch_all(&self.read).await?;
        let mut sum = Decimal::ZERO;
        for (quantity,) in rows {
            let quantity: Decimal = quantity.parse().map_err(|error| StoreError::corrupt("reservation", error))?;
            sum = sum.saturating_add(quantity);
        }
        Ok(sum)
    }

    /// Whether a POS order holds anything.
    pub async fn is_reserving(&self, store: &str, order_id: &str) -> Result<bool, StoreError> {
        let row: Option<(i64,)> =
            sqlx::query_as("select cast(1 as bigint) from reservations where store = $1 and order_id = $2 limit 1")
                .bind(store)
                .bind(order_id)
                .fetch_optional(&self.read)
                .await?;
        Ok(row.is_some())
    }

    /// Gives up what a POS order holds, and tells of which products.
    pub async fn release_reservations(
        &self,
        tx: &mut Tx,
        store: &str,
        order_id: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        let rows: Vec<(String,)> =
            sqlx::query_as("delete from reservations where store = $1 and order_id = $2 returning product_id")
                .bind(store)
                .bind(order_id)
                .fetch_all(&mut **tx)
                .await?;
        Ok(rows.into_iter().map(|(product,)| product).collect())
    }
}
