//! Combos and pack sizes: what is made of a product is read and pushed anew when that product changes.

use std::collections::BTreeSet;

use super::context::{Halt, Run};
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::domain::outcome::Outcome;
use crate::domain::product::PosProduct;

/// The topic of the events by which a component's change reaches what is made of it.
pub const COMPONENT: &str = "component";

/// Remembers which variants decide the product's stock; tells whether that is news.
pub async fn remember(run: &Run<'_>, product: &PosProduct) -> Result<bool, Halt> {
    let mut components: Vec<String> = product.variants.iter().flat_map(|variant| variant.components.clone()).collect();
    components.retain(|component| !product.variants.iter().any(|variant| variant.id == *component));
    components.sort_unstable();
    components.dedup();
    let changed = run.store().set_components(run.name(), &product.id, &components).await?;
    Ok(changed && !components.is_empty())
}

/// A component's change re-reads the combos and pack sizes of other products that hold it; where that moves them, what
/// is made of them in turn.
pub async fn follow(run: &Run<'_>, product: &PosProduct) -> Result<(), Halt> {
    let mut dependents = BTreeSet::new();
    for variant in &product.variants {
        dependents.extend(run.store().dependents(run.name(), &variant.id, &product.id).await?);
    }
    for dependent in dependents {
        follow_up(run, dependent, COMPONENT);
    }
    Ok(())
}

/// Has a product read and pushed anew once this event is settled.
pub fn follow_up(run: &Run<'_>, product_id: String, topic: &str) {
    let key = ObjectKey {
        connection: run.name().to_owned(),
        source: System::Omni,
        kind: Kind::Product,
        object_id: product_id,
    };
    let body = bytes::Bytes::from_static(b"{}");
    run.follow_up(Event::new(key, run.event.store.clone(), topic, Shape::Id, run.context.clock.now(), body));
}

/// The variant that an event of stock is about, where its body does not name the product: the id that it then goes by
/// is the variant's.
pub fn variant_alone(event: &Event) -> Option<&str> {
    if !event.topic.starts_with("inventor") {
        return None;
    }
    let it: serde_json::Value = serde_json::from_slice(&event.body).ok()?;
    let names = |field: &str| it.get(field).is_some_and(|id| !id.is_null());
    (names("variant_id") && !names("product_id")).then_some(event.key.object_id.as_str())
}

/// Has the product of such a variant read instead.
pub fn of_variant(run: &Run<'_>, product_id: Option<String>) -> Outcome {
    match product_id {
        Some(product_id) => {
            follow_up(run, product_id, COMPONENT);
            Outcome::done("read_as_product", "the product of this variant is read")
        }
        None => Outcome::skipped("unknown_variant", "nothing is linked with this variant"),
    }
}
