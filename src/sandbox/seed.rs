//! The made-up catalogue: the same for the same seed.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;

use super::SandboxConfig;
use super::names::{RANGES, Range, person, phone, pick, sku};
use super::omni::{FIRST_LOCATION, NewCustomer, NewVariant, SECOND_LOCATION, Shop, VariantKind as Kind};

/// Fills a shop with what the configuration asks for.
pub(crate) fn fill(shop: &mut Shop, config: &SandboxConfig) {
    let mut dice = StdRng::seed_from_u64(config.seed);
    for number in 0..config.products {
        let range = &RANGES[number % RANGES.len()];
        product(shop, &mut dice, range, number);
    }
    if config.customers == 0 {
        return;
    }
    let walk_in = NewCustomer { name: "Khách lẻ".into(), code: Some("KL".into()), ..NewCustomer::default() };
    shop.add_customer(walk_in);
    for number in 1..config.customers {
        let phone = phone(&mut dice, number);
        // Many shops type the phone where the name belongs.
        let name = match &phone {
            Some(phone) if !phone.is_empty() && dice.random_ratio(1, 12) => phone.clone(),
            _ => person(&mut dice),
        };
        let email = if dice.random_ratio(1, 5) { format!("khach{number}@example.com") } else { String::new() };
        let address = dice.random_ratio(2, 3).then(|| format!("Số {} phố Thử Nghiệm", number % 200 + 1));
        shop.add_customer(NewCustomer { name, phone, email, address, code: None });
    }
}

fn product(shop: &mut Shop, dice: &mut StdRng, range: &Range, number: usize) {
    let name = format!("{} {} {}", pick(dice, range.things), pick(dice, range.kinds), number + 1);
    let category = (!dice.random_ratio(1, 25)).then(|| shop.category_named(range.category));
    // Every seventeenth is a combo and every ninth has a carton, so that a small shop has some too.
    let variants = match number {
        _ if number % 17 == 16 => combo(shop, dice, range, number),
        _ if number % 9 == 8 => Vec::from([plain(dice, range, number, "hộp")]),
        _ => {
            let count = dice.random_range(1..=range.options.len());
            range.options[..count].iter().map(|option| plain(dice, range, number, option)).collect()
        }
    };
    // SKUs carry the product's number and the option, so none is taken twice.
    let Ok(id) = shop.make_product(&name, category, variants) else {
        return;
    };
    if number % 9 == 8 && number % 17 != 16 {
        carton(shop, dice, range, number, id);
    }
    let Some(product) = shop.products.get_mut(&id) else {
        return;
    };
    product.tags = dice.random_ratio(1, 2).then(|| String::from("he,moi"));
    product.description = dice.random_ratio(1, 3).then(|| format!("<p>{name}, hàng mẫu.</p>"));
    product.image = dice.random_ratio(1, 2).then(|| format!("https://images.example/{}.jpg", number + 1));
    if dice.random_ratio(1, 15) {
        product.active = false;
        for variant in &mut product.variants {
            variant.active = false;
        }
    } else if product.variants.len() > 1 && dice.random_ratio(1, 15) {
        product.variants[0].active = false;
    }
}

fn plain(dice: &mut StdRng, range: &Range, number: usize, option: &str) -> NewVariant {
    let (low, high) = range.price;
    let price = Decimal::from(dice.random_range(low..=high) * 1000);
    let retail = match dice.random_range(0..24) {
        0 => None,
        1 => Some(Decimal::ZERO),
        _ => Some(price),
    };
    let stock = |dice: &mut StdRng| match dice.random_range(0..20) {
        0 => Decimal::from(-dice.random_range(1..6)),
        1 => Decimal::new(dice.random_range(1..60) * 5, 1),
        2..=4 => Decimal::ZERO,
        _ => Decimal::from(dice.random_range(1..120)),
    };
    NewVariant {
        sku: Some(sku(dice, range.letters, number, option)),
        name: None,
        option: option.to_owned(),
        active: true,
        retail,
        wholesale: retail.map(|price| (price * Decimal::new(8, 1)).round()),
        import: retail.map(|price| (price * Decimal::new(5, 1)).round()),
        unit: None,
        kind: Kind::Plain,
        stock: BTreeMap::from([(FIRST_LOCATION, stock(dice)), (SECOND_LOCATION, stock(dice))]),
    }
}

/// A carton of six beside the single box.
fn carton(shop: &mut Shop, dice: &mut StdRng, range: &Range, number: usize, product: u64) {
    let Some(root) = shop.products.get(&product).and_then(|product| product.variants.first()).map(|variant| variant.id)
    else {
        return;
    };
    let mut new = plain(dice, range, number, "T6");
    new.option = "thùng".into();
    new.unit = Some("thùng".into());
    new.kind = Kind::Pack { root, quantity: Decimal::from(6) };
    shop.add_variant(product, new);
}

/// A gift set of up to three variants that exist already.
fn combo(shop: &Shop, dice: &mut StdRng, range: &Range, number: usize) -> Vec<NewVariant> {
    let mut plain_ones: Vec<u64> = shop
        .products
        .values()
        .rev()
        .take(12)
        .flat_map(|product| &product.variants)
        .filter(|variant| variant.kind == Kind::Plain)
        .map(|variant| variant.id)
        .collect();
    let mut items = Vec::new();
    for _ in 0..dice.random_range(2..=3).min(plain_ones.len()) {
        let part = plain_ones.swap_remove(dice.random_range(0..plain_ones.len()));
        items.push((part, Decimal::from(dice.random_range(1..=2))));
    }
    let mut new = plain(dice, range, number, "COMBO");
    new.option = "Mặc định".into();
    if !items.is_empty() {
        new.kind = Kind::Combo(items);
    }
    vec![new]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;
    use serde_json::Value;

    fn shop(seed: u64) -> Shop {
        let config = SandboxConfig { seed, products: 120, customers: 120, ..SandboxConfig::default() };
        let mut shop = Shop::new(1, "mau", Clock { distinct: false });
        fill(&mut shop, &config);
        shop
    }

    fn written(shop: &Shop) -> Vec<Value> {
        let products = shop.products.keys().filter_map(|id| shop.product_json(*id));
        let customers = shop.customers.values().map(|customer| shop.customer_json(customer));
        let mut all: Vec<Value> = products.chain(customers).collect();
        // Times are those of the making.
        all.iter_mut().for_each(strip_times);
        all
    }

    fn strip_times(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !key.ends_with("_on"));
                map.values_mut().for_each(strip_times);
            }
            Value::Array(list) => list.iter_mut().for_each(strip_times),
            _ => {}
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_shop() {
        assert_eq!(written(&shop(7)), written(&shop(7)));
        assert_ne!(written(&shop(7)), written(&shop(8)));
    }

    #[test]
    fn the_shop_has_the_mess_of_a_real_one() {
        let shop = shop(7);
        assert_eq!(shop.products.len(), 120);
        assert_eq!(shop.customers.len(), 120);
        let variants: Vec<_> = shop.products.values().flat_map(|product| &product.variants).collect();
        assert!(variants.iter().any(|variant| variant.retail.is_none()));
        assert!(variants.iter().any(|variant| variant.retail == Some(Decimal::ZERO)));
        assert!(variants.iter().any(|variant| matches!(variant.kind, Kind::Pack { .. })));
        assert!(variants.iter().any(|variant| matches!(variant.kind, Kind::Combo(_))));
        assert!(
            variants.iter().any(|variant| { variant.stock.values().any(|stock| stock.on_hand.is_sign_negative()) })
        );
        assert!(
            variants.iter().any(|variant| { variant.stock.values().any(|stock| !stock.on_hand.fract().is_zero()) })
        );
        assert!(variants.iter().any(|variant| variant.sku.contains('/')));
        assert!(shop.products.values().any(|product| !product.active));
        assert!(shop.customers.values().any(|customer| customer.phone.is_none() && customer.name != "Khách lẻ"));
        assert!(
            shop.customers.values().any(|customer| customer.phone.as_deref().is_some_and(|phone| phone.contains('*')))
        );
    }
}
