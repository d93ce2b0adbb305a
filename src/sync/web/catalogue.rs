//! Reads both catalogues into the store, and has what was not met on a complete walk read once more.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use futures::future::BoxFuture;
use rust_decimal::Decimal;

use crate::destination::omni::client::PageQuery;
use crate::destination::web::client::{MOST_ROWS, WebClient, WebQuery};
use crate::destination::{CallError, Item, Page};
use crate::domain::event::{Kind, System};
use crate::domain::linking::Side;
use crate::domain::product::PosProduct;
use crate::domain::web::WebProduct;
use crate::store::StoreError;
use crate::store::variants::{ProductRows, Recorded, VariantRow};
use crate::sync::compare::{Action, Finding};
use crate::sync::walk::{Mode, Pace, WalkError};
use crate::work::web::linking;

/// Products swept at once.
const SUSPECTS: i64 = 200;

/// Reads the web's catalogue, in the order of its ids: what is made or deleted meanwhile moves no page.
pub async fn of_web(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    if pace.position.page == 0 {
        let web = pace.run.web()?;
        let count = pace.calling(|| Box::pin(web.products_count())).await?;
        pace.found.total = Some(count);
        pace.position.page = 1;
    }
    let total = pace.found.total;
    loop {
        let after = pace.position.after.clone();
        let since = if after.is_empty() { "0" } else { after.as_str() };
        let query = WebQuery { since_id: Some(since.to_owned()), ..WebQuery::default() };
        let page = calling_web(pace, &query, |web, query| Box::pin(web.products(query))).await?;
        let (rows, last) = (page.items.len() as u64, last_id(&page, |product| &product.id));
        let mut there = readable(pace, Side::Channel, page).await?;
        read_levels(pace, &mut there).await?;
        pace.found.total = total;
        put(pace, Side::Channel, there.iter().map(ProductRows::of_web).collect()).await?;
        pace.position.met += rows;
        let Some(last) = next_id(&after, last, rows)? else { break };
        pace.position.after = last;
        pace.position.page += 1;
        pace.keep().await?;
        if total.is_some_and(|total| pace.position.met >= total) {
            break;
        }
    }
    pace.position.incomplete |= total.is_some_and(|total| pace.position.met < total);
    Ok(())
}

/// Reads what lies at the one location of a web that is ours (`web_location`): its products state no more than the sum
/// over all locations. One call for each page of items; of what the web does not tell, what was known or pushed last
/// counts.
async fn read_levels(pace: &Pace<'_>, products: &mut [WebProduct]) -> Result<(), WalkError> {
    let Some(location) = pace.connection().settings.web.web_location else { return Ok(()) };
    let web = pace.run.web()?;
    let items: Vec<String> = products.iter().flat_map(WebProduct::counted_items).collect();
    let mut levels: HashMap<String, Decimal> = HashMap::new();
    for items in items.chunks(MOST_ROWS as usize) {
        levels.extend(pace.calling(|| Box::pin(web.levels(location, items))).await?);
    }
    for product in products {
        product.set_levels(location, |item| levels.get(item).copied());
    }
    Ok(())
}

/// Reads the POS's catalogue.
pub async fn of_sapo(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    pace.position.page = pace.position.page.max(1);
    loop {
        let query = PageQuery { page: pace.position.page, ..PageQuery::default() };
        let page = pace.calling(|| Box::pin(pace.run.omni.products(query))).await?;
        let (rows, more) = (page.items.len() as u64, page.more());
        let there = readable(pace, Side::Sapo, page).await?;
        for product in &there {
            put_components(pace, product).await?;
        }
        put(pace, Side::Sapo, there.iter().map(ProductRows::of_pos).collect()).await?;
        pace.position.met += rows;
        pace.position.page += 1;
        pace.keep().await?;
        if !more {
            break;
        }
    }
    let total = pace.found.total;
    pace.position.incomplete |= total.is_some_and(|total| pace.position.met < total);
    Ok(())
}

/// The answer to a call for a page.
type Answered<'s, T> = BoxFuture<'s, Result<Page<T>, CallError>>;

/// Reads a page of the web's.
pub(super) async fn calling_web<T>(
    pace: &Pace<'_>,
    query: &WebQuery,
    call: for<'s> fn(&'s WebClient, WebQuery) -> Answered<'s, T>,
) -> Result<Page<T>, WalkError> {
    let web = pace.run.web()?;
    pace.calling(|| call(web, query.clone())).await
}

/// The readable products of a page, counted; the others become rows of the report, and are not taken for deleted.
async fn readable<T>(pace: &mut Pace<'_>, side: Side, page: Page<T>) -> Result<Vec<T>, WalkError> {
    let bad: Vec<String> = page.items.iter().filter_map(|row| row.as_ref().err()?.id.clone()).collect();
    pace.context.store.mark_met(&pace.connection().name, side, &bad, &pace.job.id).await?;
    let items: Vec<Item<T>> = pace.readable("product", page);
    let counted = if side == Side::Sapo { "Sapo product" } else { "channel product" };
    *pace.found.checked.entry(counted.to_owned()).or_default() += items.len() as u64;
    Ok(items.into_iter().map(|item| item.value).collect())
}

/// Records a page of products. A plan links nothing: what it could link says so until something else does.
async fn put(pace: &Pace<'_>, side: Side, mut products: Vec<ProductRows>) -> Result<(), WalkError> {
    let (store, name) = (&pace.context.store, &pace.connection().name);
    if pace.mode == Mode::Plan {
        for product in &mut products {
            leave_links(pace, side, product).await?;
        }
    }
    let mut tx = store.begin().await?;
    let Recorded { touched, mended } =
        store.put_products_page(&mut tx, name, side, &products, Some(&pace.job.id)).await?;
    if pace.mode == Mode::Plan {
        linking::look_at(store, &mut tx, name, &touched).await?;
    }
    tx.commit().await.map_err(StoreError::from)?;
    Ok(linking::wake(store, name, &mended).await?)
}

/// A plan breaks no link and mends none: what a product lost is kept as it was, and what is back stays away.
async fn leave_links(pace: &Pace<'_>, side: Side, product: &mut ProductRows) -> Result<(), WalkError> {
    let store = &pace.context.store;
    for known in store.variants_of_product(&pace.connection().name, side, &product.product_id).await? {
        let listed = product.rows.iter().position(|row| row.variant_id == known.variant_id);
        let is_gone = known.code.as_deref() == Some(side.gone_code());
        match listed {
            Some(at) if is_gone => {
                product.rows.remove(at);
            }
            None if !is_gone => product.rows.push(VariantRow {
                variant_id: known.variant_id,
                sku: known.sku,
                name: known.name,
                facts: known.facts,
            }),
            _ => {}
        }
    }
    Ok(())
}

/// The highest id of a page's rows, readable or not.
pub(super) fn last_id<T>(page: &Page<T>, id: impl Fn(&T) -> &str) -> Option<String> {
    let ids = page.items.iter().filter_map(|row| match row {
        Ok(item) => Some(id(&item.value)),
        Err(bad) => bad.id.as_deref(),
    });
    ids.max_by_key(|id| (id.len(), *id)).map(ToOwned::to_owned)
}

/// Where the next page begins; none where this one was the last.
pub(super) fn next_id(after: &str, last: Option<String>, rows: u64) -> Result<Option<String>, WalkError> {
    match last {
        Some(last) if (last.len(), last.as_str()) > (after.len(), after) => Ok(Some(last)),
        _ if rows <= 1 => Ok(None),
        _ => Err(WalkError::Setup(
            "the web gives the same page again and again, as if it did not know `since_id`; nothing more is read"
                .to_owned(),
        )),
    }
}

/// Has every product of which no row was met read once more: the read tells whether it was deleted. Only a walk that
/// met as many products as there are said to be speaks for what it did not meet.
pub async fn sweep(pace: &mut Pace<'_>, source: System, side: Side) -> Result<(), WalkError> {
    let (name, job) = (pace.connection().name.clone(), pace.job.id.clone());
    if pace.position.incomplete {
        if pace.position.page == 0 && side == Side::Sapo {
            let reason = "a list gave fewer products than it was said to have; nothing is taken for deleted this time";
            pace.report("product", &Finding::new(Action::Skip, "product", "", "incomplete", reason));
        }
        return Ok(());
    }
    let (place, then) = match side {
        Side::Sapo => ("Sapo", "where it was deleted, its links are put in error and the web is left alone"),
        Side::Channel => ("the web", "where it was deleted, its links are put in error"),
    };
    loop {
        let after = pace.position.after.clone();
        let store = &pace.context.store;
        let unmet = store.unmet_products(&name, side, &job, pace.job.created_at, &after, SUSPECTS).await?;
        let Some(last) = unmet.last().cloned() else { return Ok(()) };
        for product in unmet {
            let reason = format!("not met on {place}: it is read; {then}");
            pace.note("product", &Finding::new(Action::Update, "product", &product, "not_met", reason));
            pace.publish(source, Kind::Product, &product, None, None, true, Bytes::from_static(b"{}")).await?;
        }
        pace.position.after = last;
        pace.keep().await?;
    }
}

/// Remembers of which variants the combos and pack sizes of a product are made.
async fn put_components(pace: &Pace<'_>, product: &PosProduct) -> Result<(), WalkError> {
    let own = |id: &String| product.variants.iter().any(|variant| variant.id == *id);
    let components: BTreeSet<String> =
        product.variants.iter().flat_map(|variant| variant.components.clone()).filter(|id| !own(id)).collect();
    if pace.mode != Mode::Plan && !components.is_empty() {
        let components: Vec<String> = components.into_iter().collect();
        pace.context.store.set_components(&pace.connection().name, &product.id, &components).await?;
    }
    Ok(())
}
