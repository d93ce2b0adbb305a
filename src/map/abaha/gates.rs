//! The gates of an order: which switches must be on for it to go (guide A, "Orders").

use crate::domain::connection::Settings;

/// The switches of a connection that decide whether an order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Products, with categories.
    pub products: bool,
    /// Customers.
    pub customers: bool,
    /// Orders.
    pub orders: bool,
}

impl From<&Settings> for Switches {
    fn from(settings: &Settings) -> Self {
        Self { products: settings.products, customers: settings.customers, orders: settings.orders }
    }
}

/// The switches that an order would need and that are off.
///
/// A switch that is off is a choice, not a fault: the event is skipped, and not parked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub struct Missing {
    /// Their names as in the settings: `orders`, `products`, `customers`, in this order.
    pub switches: Vec<&'static str>,
}

impl Missing {
    /// The stable word in metrics, logs and stored outcomes.
    pub fn code(&self) -> &'static str {
        "switch_off"
    }

    /// Names the switches in Vietnamese and English.
    pub fn reason(&self) -> String {
        let labels: Vec<_> = self.switches.iter().map(|name| label(name)).collect();
        let vietnamese: Vec<_> = labels.iter().map(|(vietnamese, _)| *vietnamese).collect();
        let english: Vec<_> = labels.iter().map(|(_, english)| *english).collect();
        format!(
            "Chưa bật đồng bộ: {}. Hãy bật trong cấu hình kết nối. / Synchronisation is off for: {}. Switch it on in the \
             connection's settings.",
            vietnamese.join(", "),
            english.join(", ")
        )
    }
}

/// Whether an order of the POS may go to the channel.
///
/// Unknown products and an unknown customer would be pushed first, so they need their own switches.
///
/// # Errors
/// The switches that are off.
pub fn to_channel(switches: Switches, products_known: bool, customer_known: bool) -> Result<(), Missing> {
    require(switches, !products_known, !customer_known)
}

/// Whether an order of the channel may go to the POS: all three switches are needed.
///
/// # Errors
/// The switches that are off.
pub fn to_pos(switches: Switches) -> Result<(), Missing> {
    require(switches, true, true)
}

fn require(switches: Switches, products: bool, customers: bool) -> Result<(), Missing> {
    let needed = [
        ("orders", true, switches.orders),
        ("products", products, switches.products),
        ("customers", customers, switches.customers),
    ];
    let switches: Vec<_> = needed.into_iter().filter(|(_, needed, on)| *needed && !on).map(|(name, ..)| name).collect();
    if switches.is_empty() { Ok(()) } else { Err(Missing { switches }) }
}

fn label(name: &str) -> (&'static str, &'static str) {
    match name {
        "orders" => ("Đơn hàng", "orders"),
        "products" => ("Sản phẩm", "products"),
        _ => ("Khách hàng", "customers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each direction and each state of knowledge, the switches missing at each setting of the three.
    ///
    /// The columns are the switches that are on (p = products, c = customers, o = orders); a cell holds what is missing.
    #[rustfmt::skip]
    const TABLE: [(&str, &str, &str, [&str; 8]); 8] = [
        // direction     products   customer     none    o     c     co    p     po   pc    pco
        ("to_channel", "known",   "known",   ["o",   "",   "o",  "",   "o",  "",  "o",  ""]),
        ("to_channel", "unknown", "known",   ["op",  "p",  "op", "p",  "o",  "",  "o",  ""]),
        ("to_channel", "known",   "unknown", ["oc",  "c",  "o",  "",   "oc", "c", "o",  ""]),
        ("to_channel", "unknown", "unknown", ["opc", "pc", "op", "p",  "oc", "c", "o",  ""]),
        ("to_pos",     "known",   "known",   ["opc", "pc", "op", "p",  "oc", "c", "o",  ""]),
        ("to_pos",     "unknown", "known",   ["opc", "pc", "op", "p",  "oc", "c", "o",  ""]),
        ("to_pos",     "known",   "unknown", ["opc", "pc", "op", "p",  "oc", "c", "o",  ""]),
        ("to_pos",     "unknown", "unknown", ["opc", "pc", "op", "p",  "oc", "c", "o",  ""]),
    ];
    const COLUMNS: [&str; 8] = ["", "o", "c", "co", "p", "po", "pc", "pco"];

    #[test]
    fn all_sixty_four_combinations_are_as_the_table_says() {
        let mut seen = 0;
        for (direction, products, customer, cells) in TABLE {
            for (on, expected) in COLUMNS.iter().zip(cells) {
                let switches =
                    Switches { products: on.contains('p'), customers: on.contains('c'), orders: on.contains('o') };
                let found = match direction {
                    "to_pos" => to_pos(switches),
                    _ => to_channel(switches, products == "known", customer == "known"),
                };
                let missing = found.err().map(|missing| missing.switches).unwrap_or_default();
                let initials: String = missing.iter().map(|name| &name[..1]).collect();
                assert_eq!(initials, expected, "{direction}, products {products}, customer {customer}, on: {on:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 64);
    }

    #[test]
    fn the_reason_names_the_switches_in_both_languages() {
        let settings = Settings { orders: true, ..Settings::default() };
        let reason = to_pos(Switches::from(&settings)).unwrap_err().reason();
        assert!(reason.contains("Sản phẩm, Khách hàng") && reason.contains("products, customers"), "{reason}");
        assert!(!reason.contains("Đơn hàng"));
    }
}
