//! Products, Sapo → Abaha.

use std::sync::PoisonError;

use super::categories::ensure_category;
use super::components::{self, COMPONENT};
use super::context::{Halt, Run, wrong_settings};
use super::create::{self, Created, Creation};
use super::process::{Current, current};
use crate::destination::CallError;
use crate::destination::omni;
use crate::destination::omni::client::Choice;
use crate::domain::event::Kind;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::product::{ChannelProduct, Listing, PosProduct, PosVariant};
use crate::domain::sku::Sku;
use crate::map::abaha::product::{self, Note};
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};

/// What became of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pushed {
    Unchanged,
    Skipped,
    Linked,
    Updated,
    Created,
}

/// Makes the channel's products equal to a Sapo product's variants.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    if !run.connection().settings.products {
        return Ok(Outcome::skipped("switch_off", "the switch for products (Sản phẩm) is off for this connection"));
    }
    if let Some(variant) = components::variant_alone(run.event) {
        let link = run.store().link_by_sapo(run.name(), LinkKind::Product, variant).await?;
        return Ok(components::of_variant(run, link.and_then(|link| link.sapo_parent)));
    }
    let id = &run.event.key.object_id;
    match current(run, omni::wire::product, |product| product.version, run.omni.product(id)).await? {
        Current::Gone => gone(run, &run.store().links_of_product(run.name(), id).await?).await,
        Current::Is(product) => push(run, &product).await,
    }
}

/// Pushes every variant; one that cannot go never blocks its neighbours.
async fn push(run: &Run<'_>, product: &PosProduct) -> Result<Outcome, Halt> {
    let new_components = !run.dry && components::remember(run, product).await?;
    let mut done: Vec<Pushed> = Vec::new();
    let mut failed: Option<(String, Halt)> = None;
    let category = ensure_category(run, product.category.as_ref()).await?;
    for variant in &product.variants {
        match push_variant(run, product, variant, category.clone()).await {
            Ok((pushed, _)) => done.push(pushed),
            Err(
                halt @ (Halt::Store(_)
                | Halt::Call(
                    CallError::Throttled { .. } | CallError::Failing { .. } | CallError::Unauthorised { .. },
                )),
            ) => return Err(halt),
            Err(Halt::Call(CallError::DryRun { would })) => {
                run.step("planned", would);
                done.push(Pushed::Updated);
            }
            Err(halt) => {
                run.step("variant_failed", format!("{}: {}", variant.sku, describe(&halt)));
                failed.get_or_insert((variant.sku.clone(), halt));
            }
        }
    }
    let removed: Vec<Link> = run
        .store()
        .links_of_product(run.name(), &product.id)
        .await?
        .into_iter()
        .filter(|link| {
            link.code.as_deref() != Some("deleted")
                && !product.variants.iter().any(|variant| variant.id == link.sapo_id)
        })
        .collect();
    if !removed.is_empty() {
        gone(run, &removed).await?;
    }
    let moved = done.iter().any(|pushed| matches!(pushed, Pushed::Linked | Pushed::Updated | Pushed::Created));
    if run.event.topic != COMPONENT || moved {
        components::follow(run, product).await?;
    }
    if new_components {
        // Until now nobody knew that it follows them: they may have changed since this state was told.
        components::follow_up(run, product.id.clone(), COMPONENT);
    }
    match failed {
        Some((_, Halt::Outcome(outcome))) => Ok(outcome),
        Some((_, halt)) => Err(halt),
        None => Ok(outcome(&done, removed.len())),
    }
}

fn describe(halt: &Halt) -> String {
    match halt {
        Halt::Outcome(outcome) => outcome.reason().to_owned(),
        Halt::Call(error) => error.to_string(),
        Halt::Store(error) => error.to_string(),
    }
}

fn outcome(done: &[Pushed], removed: usize) -> Outcome {
    let count = |what| done.iter().filter(|pushed| **pushed == what).count();
    let text = format!(
        "variants: {} created, {} linked, {} updated, {} unchanged, {} not pushed, {removed} hidden",
        count(Pushed::Created),
        count(Pushed::Linked),
        count(Pushed::Updated),
        count(Pushed::Unchanged),
        count(Pushed::Skipped)
    );
    match done.iter().max() {
        _ if removed > 0 => Outcome::done("hidden", text),
        Some(Pushed::Created) => Outcome::done("created", text),
        Some(Pushed::Linked) => Outcome::done("linked", text),
        Some(Pushed::Updated) => Outcome::done("pushed", text),
        Some(Pushed::Skipped) => Outcome::skipped("not_pushed", text),
        Some(Pushed::Unchanged) => Outcome::skipped("unchanged", text),
        None => Outcome::skipped("no_variants", "the product has no variants"),
    }
}

/// Pushes one variant; tells what became of it and, where it is known there now, its id on the channel.
async fn push_variant(
    run: &Run<'_>,
    product: &PosProduct,
    variant: &PosVariant,
    category: Option<String>,
) -> Result<(Pushed, Option<String>), Halt> {
    let settings = &run.connection().settings;
    let branch = branch(run).await?;
    let planned = product::listing(product, variant, category, &branch, settings);
    for note in &planned.notes {
        run.step("note", format!("{}: {}", variant.sku, note.reason()));
    }
    let listing = planned.listing;
    match run.store().link_by_sapo(run.name(), LinkKind::Product, &variant.id).await? {
        Some(link) => {
            let pushed = update(run, link, &listing).await?;
            Ok((pushed.0, Some(pushed.1)))
        }
        None => link_or_create(run, product, variant, listing).await,
    }
}

async fn update(run: &Run<'_>, mut link: Link, listing: &Listing) -> Result<(Pushed, String), Halt> {
    let mut there = link.channel_id.clone();
    let text = serde_json::to_string(listing).unwrap_or_default();
    if link.pushed.as_deref() == Some(text.as_str()) && !run.event.force && link.code.is_none() {
        return Ok((Pushed::Unchanged, there));
    }
    match run.abaha()?.update_product(&there, listing).await {
        Ok(()) => {}
        Err(CallError::NotFound { .. } | CallError::Refused { code: "unknown_product", .. }) => {
            let Some(again) = made_again(run, &link).await? else {
                let reason = format!(
                    "product {there} is not on Abaha any more; make it there again with the SKU {} and replay this, or \
                     delete it on Sapo as well",
                    link.natural_key
                );
                run.store().set_link_error(&link, Some(("gone_on_channel", &reason))).await?;
                return Err(Outcome::dead("gone_on_channel", reason).into());
            };
            run.step("made_again", format!("product {there} is not on Abaha any more; {} takes its place", again.id));
            there.clone_from(&again.id);
            if !product::same(listing, &again) {
                run.abaha()?.update_product(&there, listing).await?;
            }
            link.channel_id.clone_from(&there);
        }
        Err(error) => return Err(error.into()),
    }
    link.pushed = Some(text);
    link.mend();
    create::record_link(run, &mut link, None, &[]).await?;
    Ok((Pushed::Updated, there))
}

/// The product that has the SKU of a link whose own is not on the channel any more.
async fn made_again(run: &Run<'_>, link: &Link) -> Result<Option<ChannelProduct>, Halt> {
    let Some(sku) = Sku::new(&link.natural_key) else { return Ok(None) };
    Ok(single_match(run, &sku, &link.sapo_id).await?.filter(|there| there.id != link.channel_id))
}

/// Links a variant with the one product of its SKU on the channel, or creates that.
async fn link_or_create(
    run: &Run<'_>,
    product: &PosProduct,
    variant: &PosVariant,
    listing: Listing,
) -> Result<(Pushed, Option<String>), Halt> {
    let Some(sku) = Sku::new(&variant.sku) else {
        run.step("note", format!("variant {}: {}", variant.id, Note::NoSku.reason()));
        return Ok((Pushed::Skipped, None));
    };
    if let Some(there) = single_match(run, &sku, &variant.id).await? {
        if let Some(faster) = linked_meanwhile(run, variant, &listing).await? {
            return Ok(faster);
        }
        let mut link = new_link(run, product, variant, &sku, &there.id);
        if product::same(&listing, &there) {
            link.pushed = serde_json::to_string(&listing).ok();
        }
        let matches = link.pushed.is_some();
        create::record_link(run, &mut link, None, &[cause_key(&sku)]).await?;
        if !matches {
            update(run, link, &listing).await?;
        }
        return Ok((Pushed::Linked, Some(there.id)));
    }
    let pushed = serde_json::to_string(&listing).ok();
    let new = match product::new_listing(product, variant, listing) {
        Ok(new) => new,
        Err(note) => {
            run.step("not_pushed", format!("{}: {}", variant.sku, note.reason()));
            return Ok((Pushed::Skipped, None));
        }
    };
    let key = IntentKey {
        account: run.connection().channel_account(),
        kind: IntentKind::Product,
        natural_key: sku.as_str().to_owned(),
    };
    forget_other(run, &key, &variant.id).await?;
    let creation = Creation { key: &key, source_id: &variant.id, fingerprint: None, refused: None };
    let look_up = async { Ok(single_match(run, &sku, &variant.id).await?.map(|there| there.id)) };
    let created = create::once(run, &creation, look_up, run.abaha()?.create_product(&new)).await?;
    let (id, fresh) = match created {
        Created::Now(id) => (id, true),
        Created::Found(id) | Created::Before(id) => (id, false),
    };
    if !fresh && let Some(faster) = linked_meanwhile(run, variant, &new.listing).await? {
        return Ok(faster);
    }
    let mut link = new_link(run, product, variant, &sku, &id);
    // What an earlier attempt had sent may be older than what is known now.
    link.pushed = pushed.filter(|_| fresh);
    create::record_link(run, &mut link, Some(&key), &[cause_key(&sku)]).await?;
    if !fresh {
        update(run, link, &new.listing).await?;
    }
    Ok((Pushed::Created, Some(id)))
}

/// An intent that made the product of another variant, which had this SKU then, says nothing of this one.
async fn forget_other(run: &Run<'_>, key: &IntentKey, variant_id: &str) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let Some(intent) = run.store().intent(&key.account, key.kind, &key.natural_key).await? else { return Ok(()) };
    let Some(made) = intent.result_id.as_deref() else { return Ok(()) };
    let link = run.store().link_by_channel(run.name(), LinkKind::Product, made).await?;
    if link.is_some_and(|link| link.sapo_id != variant_id) {
        run.store().forget_intent(key, made).await?;
    }
    Ok(())
}

/// What follows where somebody else has linked the variant since it was looked at: an order with a new product and
/// that product's own event are worked on side by side. An order leaves it at that, for the event knows it better.
async fn linked_meanwhile(
    run: &Run<'_>,
    variant: &PosVariant,
    listing: &Listing,
) -> Result<Option<(Pushed, Option<String>)>, Halt> {
    let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Product, &variant.id).await? else {
        return Ok(None);
    };
    let (pushed, there) = match run.event.key.kind {
        Kind::Order => (Pushed::Unchanged, link.channel_id),
        _ => update(run, link, listing).await?,
    };
    Ok(Some((pushed, Some(there))))
}

/// The one product of a SKU on the channel that is not linked to another variant than this.
async fn single_match(run: &Run<'_>, sku: &Sku, variant_id: &str) -> Result<Option<ChannelProduct>, Halt> {
    let mut found = run.abaha()?.products_by_code(sku.as_str()).await?;
    if found.len() > 1 {
        let candidates: Vec<&str> = found.iter().map(|there| there.id.as_str()).collect();
        let reason = format!(
            "SKU {sku} occurs {} times on Abaha: products {}; leave it on one of them",
            found.len(),
            candidates.join(", ")
        );
        return Err(Outcome::parked(Cause::Ambiguous, Some(cause_key(sku)), reason).into());
    }
    let Some(there) = found.pop() else { return Ok(None) };
    let holder = run.store().link_by_channel(run.name(), LinkKind::Product, &there.id).await?;
    if let Some(other) = holder.filter(|link| !link.is_deleted() && link.sapo_id != variant_id) {
        let reason = format!(
            "product {} on Abaha is linked to Sapo variant {} already; cut that link first",
            there.id, other.sapo_id
        );
        return Err(Outcome::parked(Cause::Ambiguous, Some(cause_key(sku)), reason).into());
    }
    Ok(Some(there))
}

fn new_link(run: &Run<'_>, product: &PosProduct, variant: &PosVariant, sku: &Sku, channel_id: &str) -> Link {
    let mut link = Link::new(run.name(), LinkKind::Product, &variant.id, channel_id, sku.as_str());
    link.sapo_parent = Some(product.id.clone());
    link
}

/// Links a variant with the product of its SKU that a walk over both whole catalogues has met, exactly once;
/// `equal` is what both sides say, where they say the same.
pub async fn join(
    run: &Run<'_>,
    product_id: &str,
    variant_id: &str,
    sku: &Sku,
    channel_id: &str,
    equal: Option<&Listing>,
) -> Result<(), Halt> {
    let mut link = Link::new(run.name(), LinkKind::Product, variant_id, channel_id, sku.as_str());
    link.sapo_parent = Some(product_id.to_owned());
    link.pushed = equal.and_then(|listing| serde_json::to_string(listing).ok());
    create::record_link(run, &mut link, None, &[cause_key(sku)]).await
}

/// What orders wait for when a line's product has no link.
pub fn cause_key(sku: &Sku) -> String {
    format!("sku:{sku}")
}

/// Hides what was deleted on Sapo; its link is kept, in error.
async fn gone(run: &Run<'_>, links: &[Link]) -> Result<Outcome, Halt> {
    let mut hidden = 0;
    for link in links {
        if link.code.as_deref() == Some("deleted") {
            continue;
        }
        match run.abaha()?.hide_product(&link.channel_id).await {
            Ok(()) | Err(CallError::NotFound { .. } | CallError::Refused { code: "unknown_product", .. }) => {
                hidden += 1;
            }
            Err(error) => return Err(error.into()),
        }
        let mut link = link.clone();
        link.pushed = None;
        link.fail("deleted", "deleted on Sapo; hidden on Abaha");
        create::record_link(run, &mut link, None, &[]).await?;
    }
    Ok(match hidden {
        0 => Outcome::skipped("unchanged", "deleted on Sapo; nothing of it is shown on Abaha"),
        _ => Outcome::done("hidden", format!("deleted on Sapo; {hidden} products hidden on Abaha")),
    })
}

/// The branch whose stock is pushed: the connection's, else the one the shop marks, else its only one.
async fn branch(run: &Run<'_>) -> Result<String, Halt> {
    if let Some(branch) = run.connection().settings.branch {
        return Ok(branch.to_string());
    }
    let reason = "no branch (Chi nhánh) is chosen and the shop has no default one; set `branch` and run `sapo-sync connect apply`";
    let found = default_branch(run).await?;
    found.map(|id| id.to_string()).ok_or_else(|| wrong_settings(reason).into())
}

/// The shop's default branch: the one it marks (`is_primary`, unconfirmed), else its only one. It is asked for as
/// seldom as any other cause is looked at again.
pub async fn default_branch(run: &Run<'_>) -> Result<Option<u64>, Halt> {
    let (account, now) = (run.connection().store_account(), run.context.clock.now());
    let known = || run.context.branches.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((branch, until)) = known().get(&account).copied()
        && now < until
    {
        return Ok(Some(branch));
    }
    let locations = run.omni.locations().await?;
    let found = Choice::default_of(&locations);
    if let Some(branch) = found {
        known().insert(account, (branch, run.context.clock.after(run.context.recheck)));
    }
    Ok(found)
}

/// Pushes the product of an order's line first; tells the id of the line's variant on the channel, where it has one now.
pub async fn push_for_order(run: &Run<'_>, product_id: &str, variant_id: &str) -> Result<Option<String>, Halt> {
    let product = match run.omni.product(product_id).await {
        Ok(product) => product,
        Err(CallError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(variant) = product.variants.iter().find(|variant| variant.id == variant_id) else {
        return Ok(None);
    };
    let category = ensure_category(run, product.category.as_ref()).await?;
    Ok(push_variant(run, &product, variant, category).await?.1)
}

/// The channel's product of a variant, where it is known: linked, else exactly one match, which is then linked.
pub async fn known(
    run: &Run<'_>,
    variant_id: &str,
    product_id: Option<&str>,
    sku: &str,
) -> Result<Option<String>, Halt> {
    if let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Product, variant_id).await? {
        return Ok(Some(link.channel_id));
    }
    let Some(sku) = Sku::new(sku) else { return Ok(None) };
    let Some(there) = single_match(run, &sku, variant_id).await? else {
        return Ok(None);
    };
    let mut link = Link::new(run.name(), LinkKind::Product, variant_id, &there.id, sku.as_str());
    link.sapo_parent = product_id.map(ToOwned::to_owned);
    create::record_first(run, &mut link, None, &[cause_key(&sku)]).await?;
    Ok(Some(there.id))
}
