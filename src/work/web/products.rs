//! Products of webs. POS → web: stock and price of what is linked. Web → POS: nothing; what a web tells of its products
//! is recorded, for linking and for the next push.

use std::collections::BTreeSet;
use std::time::Duration;

use rust_decimal::Decimal;

use super::linking;
use super::push::{Count, Pushes};
use super::setup;
use crate::destination::{CallError, omni, web};
use crate::domain::clock::millis;
use crate::domain::envelope;
use crate::domain::event::Event;
use crate::domain::linking::{Side, UNMANAGED, VariantState, is_dead};
use crate::domain::money;
use crate::domain::outcome::Outcome;
use crate::domain::product::PosProduct;
use crate::domain::web::{WebProduct, WebVariant};
use crate::map::web::product::Note;
use crate::store::links::{Link, LinkState};
use crate::store::objects::Settled;
use crate::store::variants::{LinkFlag, ProductRows, Variant};
use crate::work::components::{self, COMPONENT};
use crate::work::context::{Halt, Run};
use crate::work::process::{Current, current, hash};

/// The topic of the events by which what was just linked gets its stock and price.
pub const LINK: &str = "link";
/// The topic of *Đồng bộ dữ liệu ngay*: everything is pushed, whatever was pushed before.
pub const SYNC: &str = "sync";

/// A link that nothing was pushed for within this time lost its event.
const LOST: Duration = Duration::from_mins(1);

/// So many variants that are not linked are named in an outcome.
const NAMED: usize = 3;

/// Makes the web's stock and prices equal to a POS product's variants.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    if !run.connection().settings.products {
        return Ok(switched_off());
    }
    if let Some(variant) = components::variant_alone(run.event) {
        let row = run.store().variant(run.name(), Side::Sapo, variant).await?;
        return Ok(components::of_variant(run, row.map(|row| row.product_id)));
    }
    let id = &run.event.key.object_id;
    match current(run, omni::wire::product, |product| product.version, run.omni.product(id)).await? {
        Current::Gone => gone(run, id).await,
        Current::Is(product) if is_overtaken(run, &product).await? => match run.omni.product(id).await {
            Ok(product) => {
                run.applies(Settled { version: product.version, hash: hash(&run.event.body), gone: 0 });
                push(run, &product).await
            }
            Err(CallError::NotFound { .. }) => gone(run, id).await,
            Err(error) => Err(error.into()),
        },
        Current::Is(product) => push(run, &product).await,
    }
}

/// Whether a newer state is known that was not settled: a part of it was pushed, and the rest is parked or dead. The
/// older one must not put that part back.
async fn is_overtaken(run: &Run<'_>, product: &PosProduct) -> Result<bool, Halt> {
    let Some(version) = product.version else { return Ok(false) };
    let rows = run.store().variants_of_product(run.name(), Side::Sapo, &product.id).await?;
    let stated = ProductRows::of_pos(product);
    // Times have whole seconds: of two states of one second either may be the newer.
    let differs =
        |row: &Variant| stated.rows.iter().any(|other| other.variant_id == row.variant_id && other.facts != row.facts);
    let overtaken =
        rows.iter().any(|row| row.version.is_some_and(|known| known > version || (known == version && differs(row))));
    if overtaken {
        run.step("read", "a newer state of it is known; the object is read");
    }
    Ok(overtaken)
}

/// Records what a web says of one of its products, and has what is newly linked pushed. A stock or a price that was
/// changed there is put right when the POS speaks of it next.
pub async fn channel_changed(run: &Run<'_>) -> Result<Outcome, Halt> {
    if !run.connection().settings.products {
        return Ok(switched_off());
    }
    if let Some(level) = level(run.event) {
        return level_changed(run, &level).await;
    }
    let id = &run.event.key.object_id;
    let read = async { run.web()?.product(id).await };
    let product = match current(run, web::wire::product, |product| product.version, read).await? {
        Current::Is(product) => Some(product),
        Current::Gone => None,
    };
    if run.dry {
        return Ok(recorded());
    }
    let known = run.store().variants_of_product(run.name(), Side::Channel, id).await?.len();
    let new = record_web(run, id, product.as_ref()).await?;
    // Not the new links alone: an attempt that ended early may have made some.
    let before = run.context.clock.now() - millis(LOST);
    for product in run.store().unpushed_of(run.name(), id, before).await? {
        components::follow_up(run, product, LINK);
    }
    follow_links(run, None, &new);
    Ok(match (&product, known, new.len()) {
        (None, 1.., _) => Outcome::done(
            "gone_on_channel",
            "it is not on the web any more, and its links say so; make it there again with the same SKU, or cut the link",
        ),
        (_, _, 0) => recorded(),
        (_, _, new) => Outcome::done("linked", format!("{new} variants linked; their stock and price follow at once")),
    })
}

fn recorded() -> Outcome {
    Outcome::skipped("recorded", "recorded; what was changed on the web is put right when the POS changes it next")
}

/// A stock level, which says nothing else of its product.
struct Level {
    variant_id: String,
    location: Option<u64>,
    available: Decimal,
}

fn level(event: &Event) -> Option<Level> {
    if !event.topic.starts_with("inventory_levels/") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&event.body).ok()?;
    Some(Level {
        variant_id: envelope::id_text(body.get("variant_id")?)?,
        location: body.get("location_id").and_then(envelope::id_text).and_then(|id| id.parse().ok()),
        available: money::parse(body.get("available")?)?,
    })
}

/// Records a stock level. Where one location alone is ours, those of others tell nothing.
async fn level_changed(run: &Run<'_>, level: &Level) -> Result<Outcome, Halt> {
    let ours = run.connection().settings.web.web_location;
    let row = run.store().variant(run.name(), Side::Channel, &level.variant_id).await?;
    if let Some(row) = row.filter(|_| !run.dry && (ours.is_none() || ours == level.location))
        && let Ok(mut variant) = serde_json::from_str::<WebVariant>(&row.facts)
    {
        variant.set_stock_at(ours, level.available);
        let facts = serde_json::to_string(&variant).unwrap_or_default();
        run.store().set_web_facts(run.name(), &level.variant_id, &row.facts, &facts).await?;
    }
    Ok(recorded())
}

fn switched_off() -> Outcome {
    Outcome::skipped("switch_off", "the switch for products (Sản phẩm) is off for this connection")
}

/// Records a web's product, or that it is gone, and links what can be linked now; tells the links that are new or stand
/// again.
pub async fn record_web(run: &Run<'_>, id: &str, product: Option<&WebProduct>) -> Result<Vec<Link>, Halt> {
    let Some(product) = product else {
        return Ok(linking::record_gone(run.store(), run.name(), Side::Channel, id).await?);
    };
    let new = linking::record(run.store(), run.name(), Side::Channel, &ProductRows::of_web(product)).await?;
    flag_uncounted(run, id).await?;
    Ok(new)
}

/// Has the links of a web's product say whether the web counts their stock, as soon as that is known: the next push may
/// be long in coming.
async fn flag_uncounted(run: &Run<'_>, id: &str) -> Result<(), Halt> {
    let flag = |row: Variant| {
        let there: WebVariant = serde_json::from_str(&row.facts).ok()?;
        let is_linked = row.state == VariantState::Linked.as_str();
        let is_said = row.code.as_deref() == Some(UNMANAGED);
        let said = (!there.managed).then(|| (UNMANAGED.to_owned(), Note::Unmanaged.reason()));
        (is_linked && is_said == there.managed).then_some(LinkFlag { channel_id: row.variant_id, said })
    };
    let rows = run.store().variants_of_product(run.name(), Side::Channel, id).await?;
    let flags: Vec<LinkFlag> = rows.into_iter().filter_map(flag).collect();
    Ok(run.store().set_link_flags(run.name(), &flags).await?)
}

/// What was deleted on the POS leaves the webs as they are; its links say that it is gone.
async fn gone(run: &Run<'_>, id: &str) -> Result<Outcome, Halt> {
    if run.dry {
        return Ok(Outcome::done("planned", "deleted on the POS: its links become errors, the web stays as it is"));
    }
    let store = run.store();
    let links = store.links_of_product(run.name(), id).await?;
    let standing = links.iter().filter(|link| link.state == LinkState::Linked.as_str()).count();
    let new = linking::record_gone(store, run.name(), Side::Sapo, id).await?;
    follow_links(run, None, &new);
    Ok(match standing {
        0 => Outcome::skipped("unchanged", "deleted on the POS; nothing of it is linked on this web"),
        _ => Outcome::done(
            "deleted",
            format!(
                "deleted on the POS: {standing} links are in error, the web's product is left as it is; delete or hide \
                 it there if it is not sold any more"
            ),
        ),
    })
}

/// Has products pushed whose variants were linked by the way, as where a SKU became free or single, or what was gone is
/// back; all but the one that is being pushed.
pub(super) fn follow_links(run: &Run<'_>, but: Option<&str>, new: &[Link]) {
    let parents: BTreeSet<&str> =
        new.iter().filter_map(|link| link.sapo_parent.as_deref()).filter(|parent| Some(*parent) != but).collect();
    for parent in parents {
        components::follow_up(run, parent.to_owned(), LINK);
    }
}

/// Records what the POS says of a product; tells what was linked, and whether the product is other than it was known.
async fn record(run: &Run<'_>, product: &PosProduct) -> Result<(Vec<Link>, bool), Halt> {
    let stated = ProductRows::of_pos(product);
    let before = run.store().variants_of_product(run.name(), Side::Sapo, &product.id).await?;
    let moved = stated.rows.iter().any(|row| {
        let known = before.iter().find(|known| known.variant_id == row.variant_id);
        known.is_none_or(|known| known.facts != row.facts)
    });
    let new = linking::record(run.store(), run.name(), Side::Sapo, &stated).await?;
    follow_links(run, Some(&product.id), &new);
    Ok((new, moved))
}

/// Records, links and pushes every variant; one that cannot go never blocks its neighbours.
async fn push(run: &Run<'_>, product: &PosProduct) -> Result<Outcome, Halt> {
    let (mut linked, mut followed) = (0, run.dry);
    if !run.dry {
        let (new, moved) = record(run, product).await?;
        linked = new.iter().filter(|link| link.sapo_parent.as_deref() == Some(&product.id)).count();
        let new_components = components::remember(run, product).await?;
        if moved || !is_ours(run.event) {
            components::follow(run, product).await?;
            followed = true;
        }
        if new_components {
            // Until now nobody knew that it follows them: they may have changed since this state was told.
            components::follow_up(run, product.id.clone(), COMPONENT);
        }
    }
    let asked = run.event.asked_variants();
    let links = run.store().links_of_product(run.name(), &product.id).await?;
    let branches = if links.is_empty() { Vec::new() } else { setup::stock_branches(run).await? };
    let mut pushes = Pushes::new(run, branches);
    let mut ended = Ok(());
    for variant in &product.variants {
        if !asked.is_empty() && !asked.contains(&variant.id) {
            continue;
        }
        ended = match links.iter().find(|link| link.sapo_id == variant.id) {
            // Only a read tells whether it is there again.
            Some(link) if link.code.as_deref().is_some_and(is_dead) && run.event.topic != SYNC => {
                pushes.count(Count::Gone);
                Ok(())
            }
            Some(link) => pushes.push(variant, link).await,
            None => {
                pushes.count(Count::NotLinked);
                Ok(())
            }
        };
        if ended.is_err() {
            break;
        }
    }
    // What was done counts, whatever ended it: after a while it goes on from there.
    pushes.record().await?;
    ended?;
    let reserves = run.connection().settings.web.reserve_unapproved;
    if reserves && !followed && run.event.topic == COMPONENT && pushes.counted(Count::Pushed) > 0 {
        // A draft holds more or less of what it is made of, so what is made of it in turn has another stock too.
        components::follow(run, product).await?;
    }
    let why = why_not_linked(run, product, &pushes).await?;
    Ok(pushes.outcome(linked, &why))
}

/// Whether an event was made by this program: nothing on the POS has changed by itself.
fn is_ours(event: &Event) -> bool {
    event.job.is_some() || [COMPONENT, LINK, SYNC].contains(&event.topic.as_str())
}

/// Why variants of a product are not linked, for the first few.
async fn why_not_linked(run: &Run<'_>, product: &PosProduct, pushes: &Pushes<'_>) -> Result<String, Halt> {
    if pushes.counted(Count::NotLinked) + pushes.counted(Count::Gone) == 0 {
        return Ok(String::new());
    }
    let rows = run.store().variants_of_product(run.name(), Side::Sapo, &product.id).await?;
    let linked = VariantState::Linked.as_str();
    let reasons = rows.into_iter().filter(|row| row.state != linked).filter_map(|row| row.reason);
    let reasons: Vec<String> = reasons.take(NAMED).collect();
    Ok(reasons.join("; "))
}
