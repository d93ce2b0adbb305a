//! The topic table: for every topic of every sender its kind, its aggregate and how much it carries.

use super::event::{Kind, Shape, System};

/// What a topic means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The kind of the aggregate.
    pub kind: Kind,
    /// How much of the aggregate the body holds, at best.
    pub shape: Shape,
    /// The body's fields that may hold the aggregate's id, in order.
    pub id_fields: &'static [&'static str],
}

const ID: &[&str] = &["id"];
const PRODUCT_ID: &[&str] = &["product_id", "variant_id"];
const ORDER_ID: &[&str] = &["order_id"];

#[allow(clippy::unnecessary_wraps)] // keeps the table below a table
const fn topic(kind: Kind, shape: Shape, id_fields: &'static [&'static str]) -> Option<Topic> {
    Some(Topic { kind, shape, id_fields })
}

/// Looks a topic up; `None` for one that is not synchronised (it is skipped, and shown as such).
///
/// Sapo's topics are documented; Abaha's event names are not public, so each form of the same word is taken.
pub fn lookup(system: System, topic_name: &str) -> Option<Topic> {
    match system {
        System::Omni | System::Web => sapo(topic_name),
        System::Abaha => abaha(topic_name),
    }
}

fn sapo(name: &str) -> Option<Topic> {
    match name {
        "products/create" | "products/update" | "products/updated" => topic(Kind::Product, Shape::Whole, ID),
        "products/delete" => topic(Kind::Product, Shape::Gone, ID),
        "inventories/update" | "inventory_levels/update" => topic(Kind::Product, Shape::Partial, PRODUCT_ID),
        "customers/create" | "customers/update" | "customers/updated" => topic(Kind::Customer, Shape::Whole, ID),
        "customers/delete" => topic(Kind::Customer, Shape::Gone, ID),
        "orders/delete" => topic(Kind::Order, Shape::Gone, ID),
        "app/uninstalled" => topic(Kind::Shop, Shape::Partial, ID),
        _ if name.starts_with("orders/") => topic(Kind::Order, Shape::Whole, ID),
        _ if name.starts_with("order_returns/") || name.starts_with("refunds/") => {
            topic(Kind::Order, Shape::Partial, ORDER_ID)
        }
        _ => None,
    }
}

fn abaha(name: &str) -> Option<Topic> {
    let (kind, what) = name.split_once(['.', '/', '_'])?;
    let kind = match kind {
        "order" | "orders" => Kind::Order,
        "product" | "products" => Kind::Product,
        "customer" | "customers" => Kind::Customer,
        _ => return None,
    };
    let shape = if what.starts_with("delete") { Shape::Gone } else { Shape::Whole };
    Some(Topic { kind, shape, id_fields: ID })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_topic_is_known() {
        for (name, kind, shape) in [
            ("products/create", Kind::Product, Shape::Whole),
            ("products/delete", Kind::Product, Shape::Gone),
            ("inventories/update", Kind::Product, Shape::Partial),
            ("customers/update", Kind::Customer, Shape::Whole),
            ("orders/create", Kind::Order, Shape::Whole),
            ("orders/partial_paid", Kind::Order, Shape::Whole),
            ("orders/delete", Kind::Order, Shape::Gone),
            ("order_returns/create", Kind::Order, Shape::Partial),
            ("app/uninstalled", Kind::Shop, Shape::Partial),
        ] {
            let found = lookup(System::Omni, name).unwrap();
            assert_eq!((found.kind, found.shape), (kind, shape), "{name}");
        }
        assert_eq!(lookup(System::Omni, "themes/publish"), None);
        assert_eq!(lookup(System::Abaha, "order.updated").unwrap().kind, Kind::Order);
        assert_eq!(lookup(System::Abaha, "order.deleted").unwrap().shape, Shape::Gone);
        assert_eq!(lookup(System::Abaha, "hello"), None);
    }
}
