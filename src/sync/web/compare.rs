//! Links what is the same, and compares what is linked: what the POS says that a web should show, with what the web
//! showed when this walk read it. Everything is read from the store, page by page.

use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::judge::{self, Linked, Standing};
use crate::destination::CallError;
use crate::domain::clock::Millis;
use crate::domain::event::{Kind, System};
use crate::domain::linking::{DELETED, Side, VariantState};
use crate::domain::product::PosVariant;
use crate::domain::time;
use crate::domain::web::WebVariant;
use crate::map::web::product::{self, Note, Planned, Target};
use crate::store::StoreError;
use crate::store::pairs::{Found, Pair};
use crate::store::variants::{LinkFlag, SapoFacts};
use crate::sync::compare::{Action, Finding};
use crate::sync::walk::{Mode, Pace, WalkError};
use crate::work::context::Halt;
use crate::work::web::linking;
use crate::work::web::setup;

/// Products compared at once.
const PRODUCTS: i64 = 100;
/// Variants of the web looked at at once.
const LOOSE: i64 = 500;

/// Links every pair that its SKU proposes.
pub async fn link(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    // What was deleted proposes nothing any more, once that is known.
    pace.keep_settled().await?;
    if pace.mode != Mode::Plan {
        linking::relink_all(&pace.context.store, &pace.connection().name, |_| {}).await?;
    }
    Ok(())
}

/// Compares every product of the POS with what it is linked to; one event for each that differs.
pub async fn products(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    let branches = branches(pace).await?;
    let name = pace.connection().name.clone();
    pace.found.total = Some(count(pace).await?);
    loop {
        let store = &pace.context.store;
        let pairs = store.pairs_page(&name, &pace.position.after, PRODUCTS).await?;
        let Some(last) = pairs.last() else { return Ok(()) };
        let last = last.product_id.clone();
        let mut standing = judge::of_pairs(pace, &pairs).await?.into_iter();
        let (mut equal, mut flags) = (Vec::new(), Vec::new());
        for product in pairs.chunk_by(|one, other| one.product_id == other.product_id) {
            let standing: Vec<Standing> = standing.by_ref().take(product.len()).collect();
            compare(pace, product, standing, &branches, (&mut equal, &mut flags)).await?;
        }
        if pace.mode != Mode::Plan {
            pace.context.store.set_found(&name, &equal).await?;
            pace.context.store.set_link_flags(&name, &flags).await?;
        }
        pace.position.after = last;
        pace.keep().await?;
    }
}

/// Reports every variant of the web that is linked with nothing.
pub async fn loose(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    let name = pace.connection().name.clone();
    pace.found.total = None;
    loop {
        let rows = pace.context.store.loose_page(&name, &pace.position.after, LOOSE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        let last = last.variant_id.clone();
        for (row, why) in rows.iter().zip(judge::of_loose(pace, &rows).await?) {
            let Some(why) = why else { continue };
            let object = if row.sku.is_empty() { &row.variant_id } else { &row.sku };
            let reason = format!("web variant {} ({}): {}", row.variant_id, row.name, why.reason);
            pace.note("web product", &Finding::new(of_state(why.state), "web product", object, why.code, reason));
        }
        pace.position.after = last;
        pace.keep().await?;
    }
}

/// Compares one product; `standing` says of each of its variants what it is linked to. What the web is found to show,
/// without having been told, goes to `equal`; what links are to say from now on, to `flags`.
async fn compare(
    pace: &mut Pace<'_>,
    pairs: &[Pair],
    standing: Vec<Standing>,
    branches: &[String],
    (equal, flags): (&mut Vec<Found>, &mut Vec<LinkFlag>),
) -> Result<(), WalkError> {
    let Some(first) = pairs.first() else { return Ok(()) };
    let mut known = Vec::with_capacity(pairs.len());
    let (mut acts, mut whole) = (false, true);
    // Not kept by itself: it is the name of what has none of its own.
    let mut name = "";
    for (pair, standing) in pairs.iter().zip(standing) {
        let object = if pair.sku.is_empty() { pair.variant_id.clone() } else { pair.sku.clone() };
        let Ok(facts) = serde_json::from_str::<SapoFacts>(&pair.facts) else {
            let reason = format!("what is stored of Sapo variant {} cannot be read; it is read anew", pair.variant_id);
            pace.note("product", &Finding::new(Action::Update, "product", object, "unreadable_facts", reason));
            (acts, whole) = (true, false);
            continue;
        };
        let finding = match standing {
            Standing::Apart(why) => Finding::new(of_state(why.state), "product", object, why.code, why.reason),
            Standing::Linked(link) => {
                let reserved = reserved(pace, &facts.variant, branches).await?;
                let settings = &pace.connection().settings;
                let planned = product::target(&facts.variant, settings, branches, reserved);
                let location = settings.web.web_location;
                equal.extend(found_equal(&pair.variant_id, &link, &planned, location));
                flags.extend(judge::flag(pair, &link, &planned.notes));
                let (finding, differs) = of_link(object, *link, &planned, location);
                acts |= differs;
                finding
            }
        };
        pace.note("product", &finding);
        if facts.variant.name.is_empty() {
            name = &pair.name;
        }
        // Kept to show a broken link; the product does not have it any more.
        if pair.code.as_deref() != Some(DELETED) {
            known.push(facts);
        }
    }
    if !acts {
        return Ok(());
    }
    // A product of which something is not known is read: what its body lacked would pass for deleted.
    let version = pairs.iter().filter_map(|pair| pair.version).max().filter(|_| whole);
    let body = if whole { compact((&first.product_id, name), version, &known) } else { Bytes::from_static(b"{}") };
    pace.publish(System::Omni, Kind::Product, &first.product_id, version, None, true, body).await
}

/// What is remembered of a link through which nothing was pushed, for the web shows it already.
fn found_equal(sapo_id: &str, link: &Linked, planned: &Planned, location: Option<u64>) -> Option<Found> {
    let there = link.there.as_ref().filter(|_| link.pushed.is_none() && link.fault.is_none())?;
    if !difference(planned, there, None, location).is_empty() {
        return None;
    }
    let target = Target { stock: planned.target.stock.filter(|_| there.managed), ..planned.target.clone() };
    let pushed = serde_json::to_string(&target).ok()?;
    Some(Found { sapo_id: sapo_id.to_owned(), channel_id: link.channel_id.clone(), pushed })
}

/// What is found of a linked variant, and whether something is to be done about it.
fn of_link(object: String, link: Linked, planned: &Planned, location: Option<u64>) -> (Finding, bool) {
    let found = |action, code: String, reason: String| Finding::new(action, "product", object, code, reason);
    let Some(there) = link.there else {
        let reason = format!("web variant {} is not known: it is read", link.channel_id);
        return (found(Action::Update, "unknown_on_web".to_owned(), reason), true);
    };
    let words = words(&difference(planned, &there, link.pushed.as_ref(), location), &there, location);
    let differs = !words.is_empty();
    if link.is_new {
        let then = if differs { format!("; {words}") } else { String::new() };
        let reason = format!("is linked with web variant {}{then}", link.channel_id);
        return (found(Action::Link, "same_sku".to_owned(), reason), differs);
    }
    let finding = if differs {
        found(Action::Update, "differs".to_owned(), words)
    } else if let Some((code, _)) = link.fault {
        let reason = format!("the web shows what it should; the link's error {code} goes");
        return (found(Action::Update, "mended".to_owned(), reason), true);
    } else if let Some(note) = note(planned, &there) {
        found(Action::Skip, note.code().to_owned(), note.reason())
    } else if let Some((code, reason)) = link.flag {
        found(Action::Skip, code, reason)
    } else {
        found(Action::Equal, "equal".to_owned(), String::new())
    };
    (finding, differs)
}

/// What a web's variant does not show of what it should; it has no stock where the web does not count any.
fn difference(planned: &Planned, there: &WebVariant, pushed: Option<&Target>, location: Option<u64>) -> Target {
    let difference = product::differs_at(location, &planned.target, there, pushed);
    Target { stock: difference.stock.filter(|_| there.managed), ..difference }
}

/// What a person should know of a variant that needs nothing.
fn note(planned: &Planned, there: &WebVariant) -> Option<Note> {
    if !there.managed {
        return Some(Note::Unmanaged);
    }
    planned.notes.first().cloned()
}

/// Names what differs, field by field.
fn words(difference: &Target, there: &WebVariant, location: Option<u64>) -> String {
    let shown = |figure: Option<Decimal>| figure.map_or_else(|| "none".to_owned(), |it| it.normalize().to_string());
    let mut parts = Vec::new();
    if let Some(stock) = difference.stock {
        match (location, there.stock_at(location)) {
            (Some(location), None) => parts.push(format!("stock {stock}, that of location {location} is not known")),
            (_, known) => parts.push(format!("stock {stock}, there {}", shown(known))),
        }
    }
    if let Some(price) = difference.price {
        parts.push(format!("price {}, there {}", shown(Some(price)), shown(there.price)));
    }
    if let Some(compare_at) = difference.compare_at {
        parts.push(format!("compare-at price {}, there {}", shown(compare_at), shown(there.compare_at)));
    }
    parts.join("; ")
}

fn of_state(state: VariantState) -> Action {
    match state {
        VariantState::Linked => Action::Equal,
        VariantState::Unlinked => Action::Skip,
        VariantState::Error => Action::Error,
    }
}

/// What open drafts hold of a variant at these branches, where that counts.
async fn reserved(pace: &Pace<'_>, variant: &PosVariant, branches: &[String]) -> Result<Decimal, StoreError> {
    if !pace.connection().settings.web.reserve_unapproved {
        return Ok(Decimal::ZERO);
    }
    pace.context.store.held(&pace.connection().store, variant, branches).await
}

/// The branches whose stock is summed.
async fn branches(pace: &Pace<'_>) -> Result<Vec<String>, WalkError> {
    let asked = pace.calling(|| {
        Box::pin(async {
            match setup::stock_branches(&pace.run).await {
                Err(Halt::Call(error)) => Err::<_, CallError>(error),
                other => Ok(other),
            }
        })
    });
    Ok(asked.await??)
}

/// How many variants of the POS are known.
async fn count(pace: &Pace<'_>) -> Result<u64, StoreError> {
    let counts = pace.context.store.count_variants(&pace.connection().name, Some(Side::Sapo)).await?;
    Ok(counts.iter().map(|(_, count)| u64::try_from(*count).unwrap_or(0)).sum())
}

/// A product as the POS's API would state what is stored of it: no more than stock and prices need.
pub fn compact((id, name): (&str, &str), version: Option<Millis>, known: &[SapoFacts]) -> Bytes {
    let active = known.iter().any(|facts| facts.active);
    let variants: Vec<Value> = known.iter().map(|facts| compact_variant(&facts.variant)).collect();
    let product = json!({
        "id": id,
        "name": name,
        "status": status(active),
        "modified_on": version.map(time::format),
        "variants": variants,
    });
    Bytes::from(product.to_string())
}

fn compact_variant(variant: &PosVariant) -> Value {
    let prices: Vec<Value> =
        variant.prices.iter().map(|(code, value)| json!({"price_list": {"code": code}, "value": value})).collect();
    let inventories: Vec<Value> = variant
        .inventories
        .iter()
        .map(|row| json!({"location_id": row.location_id, "available": row.available, "on_hand": row.on_hand}))
        .collect();
    let components: Vec<Value> = variant
        .components
        .iter()
        .map(|part| json!({"sub_variant_id": part, "quantity": variant.quantities.get(part)}))
        .collect();
    json!({
        "id": variant.id,
        "sku": variant.sku,
        "name": variant.name,
        "status": status(variant.active),
        "variant_retail_price": variant.retail_price,
        "variant_prices": prices,
        "inventories": inventories,
        "composite_items": components,
    })
}

fn status(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::destination::omni;
    use crate::domain::product::PosInventory;
    use crate::store::variants::ProductRows;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn variant(id: &str) -> PosVariant {
        let inventory = |location: &str, available: Option<&str>, on_hand: Option<&str>| PosInventory {
            location_id: location.to_owned(),
            available: available.map(decimal),
            on_hand: on_hand.map(decimal),
        };
        PosVariant {
            id: id.to_owned(),
            sku: " MY/LAN /01 ".to_owned(),
            name: "Áo thun - S".to_owned(),
            active: false,
            retail_price: Some(decimal("120000.50")),
            prices: BTreeMap::from([
                ("BANBUON".to_owned(), decimal("90000")),
                ("BANLE".to_owned(), decimal("120000.50")),
                ("SALE".to_owned(), decimal("1000")),
            ]),
            inventories: vec![inventory("58001", Some("-2.5"), Some("12345.125")), inventory("58002", None, Some("0"))],
            components: vec!["5700001".to_owned(), "5700002".to_owned()],
            quantities: BTreeMap::from([("5700002".to_owned(), decimal("2.5"))]),
        }
    }

    #[test]
    fn a_product_made_of_what_is_stored_reads_as_what_was_stored() {
        let bare = PosVariant { id: "2".to_owned(), active: true, ..PosVariant::default() };
        let known = [SapoFacts { active: true, variant: variant("1") }, SapoFacts { active: true, variant: bare }];
        let version = Some(1_772_421_323_000);
        let read = omni::wire::product(&compact(("47000001", "Áo thun"), version, &known)).unwrap();
        assert_eq!((read.id.as_str(), read.active, read.version), ("47000001", true, version));
        let names: Vec<String> = ProductRows::of_pos(&read).rows.into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["Áo thun - S", "Áo thun"], "a variant without a name goes by its product's");
        let variants: Vec<PosVariant> = known.into_iter().map(|facts| facts.variant).collect();
        assert_eq!(read.variants, variants);
    }

    #[test]
    fn what_the_api_states_survives_being_stored_and_stated_again() {
        for name in ["packsize", "plain", "composite", "no-price-negative-stock", "stopped-trading"] {
            let path =
                format!("{}/tests/fixtures/omni/webhook-products-update-{name}.json", env!("CARGO_MANIFEST_DIR"));
            let first = omni::wire::product(&std::fs::read(path).unwrap()).unwrap();
            let known: Vec<SapoFacts> = first
                .variants
                .iter()
                .map(|variant| {
                    let text =
                        serde_json::to_string(&SapoFacts { active: first.active, variant: variant.clone() }).unwrap();
                    serde_json::from_str(&text).unwrap()
                })
                .collect();
            let again = omni::wire::product(&compact((&first.id, &first.name), first.version, &known)).unwrap();
            assert_eq!(ProductRows::of_pos(&again), ProductRows::of_pos(&first), "{name}");
            assert_eq!((again.id, again.active, again.version), (first.id, first.active, first.version), "{name}");
            assert_eq!(again.variants, first.variants, "{name}");
        }
    }

    #[test]
    fn what_differs_is_named_and_an_unmanaged_variant_has_no_stock_to_differ() {
        let target = Target { stock: Some(3), price: Some(decimal("120000")), compare_at: Some(None) };
        let planned = Planned { target, notes: Vec::new() };
        let there = WebVariant {
            managed: true,
            quantity: Some(decimal("5.0")),
            price: None,
            compare_at: Some(decimal("150000")),
            ..WebVariant::default()
        };
        let told = words(&difference(&planned, &there, None, None), &there, None);
        assert_eq!(told, "stock 3, there 5; price 120000, there none; compare-at price none, there 150000");
        let unmanaged = WebVariant { managed: false, ..there };
        assert_eq!(difference(&planned, &unmanaged, None, None).stock, None);
        assert_eq!(note(&planned, &unmanaged), Some(Note::Unmanaged));
    }

    #[test]
    fn a_sum_over_several_locations_that_equals_the_stock_by_chance_is_not_taken_for_equal() {
        let target = Target { stock: Some(3), ..Target::default() };
        let planned = Planned { target: target.clone(), notes: Vec::new() };
        let mut there = WebVariant { managed: true, quantity: Some(decimal("3")), ..WebVariant::default() };
        let linked = |there: &WebVariant, pushed: Option<&Target>| Linked {
            channel_id: "9".to_owned(),
            there: Some(there.clone()),
            is_new: false,
            pushed: pushed.cloned(),
            fault: None,
            flag: None,
        };
        let found = |link: Linked| of_link("AT-S".to_owned(), link, &planned, Some(7));
        assert_eq!(found_equal("1", &linked(&there, None), &planned, Some(7)), None);
        let (finding, differs) = found(linked(&there, None));
        assert!(differs && finding.reason.contains("location 7 is not known"), "{finding:?}");
        assert!(!found(linked(&there, Some(&target))).1, "pushed there before, and nobody could read it since");
        there.levels.insert(7, decimal("3"));
        assert!(found_equal("1", &linked(&there, None), &planned, Some(7)).is_some());
        there.levels.insert(7, decimal("2"));
        let (finding, differs) = found(linked(&there, Some(&target)));
        assert!(differs && finding.reason == "stock 3, there 2", "{finding:?}");
    }
}
