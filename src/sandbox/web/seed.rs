//! A site's share of the made-up catalogue: the same for the same seed and alias.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;

use super::state::State;
use super::{NewWebProduct, NewWebVariant, WebSite};
use crate::sandbox::SandboxConfig;
use crate::sandbox::omni::Shop;

/// Fills a site with its share of the shop's products and some of its own.
pub(crate) fn fill(state: &mut State, shop: &Shop, config: &SandboxConfig, site: &WebSite) {
    let mark = site.alias.bytes().fold(config.seed, |mark, byte| mark.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut dice = StdRng::seed_from_u64(mark);
    for product in shop.products.values() {
        if dice.random_range(0..100) >= u32::from(site.share) {
            continue;
        }
        let mut variants = Vec::new();
        for variant in &product.variants {
            // Now and then a site does not sell every size.
            if variants.is_empty() || !dice.random_ratio(1, 15) {
                variants.push(web_variant(&mut dice, &variant.sku, variant.retail));
            }
        }
        let published = !dice.random_ratio(1, 20);
        state.make_product(NewWebProduct { name: product.name.clone(), variants, published });
    }
    let own = config.products * usize::from(site.share) / 2000;
    for number in 1..=own {
        let sku = format!("WEB-{}-{number:04}", site.alias.to_uppercase());
        let variants = vec![web_variant(&mut dice, &sku, None)];
        let name = format!("Hàng chỉ bán trên {} {number}", site.alias);
        state.make_product(NewWebProduct { name, variants, published: true });
    }
    if config.web_odd {
        state.seed_odd(mark);
    }
}

fn web_variant(dice: &mut StdRng, sku: &str, retail: Option<Decimal>) -> NewWebVariant {
    let usual = Decimal::from(dice.random_range(20..600) * 1000);
    // Prices and stock differ before the first import: that is what it is for.
    let price = retail.filter(|_| dice.random_ratio(2, 3)).unwrap_or(usual);
    NewWebVariant {
        sku: sku.to_owned(),
        price,
        compare_at: dice.random_ratio(1, 6).then(|| price + Decimal::from(20_000)),
        stock: Decimal::from(dice.random_range(0..40)),
        managed: !dice.random_ratio(1, 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::clock::Clock;

    fn site(seed: u64, alias: &str) -> State {
        let config = SandboxConfig { seed, products: 100, web_odd: true, ..SandboxConfig::default() };
        let clock = Clock { distinct: false };
        let mut shop = Shop::new(1, "mau", clock);
        crate::sandbox::seed::fill(&mut shop, &config);
        let site = WebSite::named(alias);
        let mut state = State::new(&site, 0, clock);
        fill(&mut state, &shop, &config, &site);
        state
    }

    fn skus(state: &State) -> Vec<String> {
        let variants = state.products.values().flat_map(|product| &product.variants);
        variants.map(|variant| variant.sku.clone()).collect()
    }

    #[test]
    fn the_same_seed_and_alias_make_the_same_site() {
        assert_eq!(skus(&site(3, "mot")), skus(&site(3, "mot")));
        assert_ne!(skus(&site(3, "mot")), skus(&site(3, "hai")));
    }

    #[test]
    fn a_site_has_most_of_the_shop_some_of_its_own_and_every_oddity() {
        let state = site(3, "mot");
        let variants: Vec<_> = state.products.values().flat_map(|product| &product.variants).collect();
        assert!(state.products.len() > 70);
        assert!(variants.iter().any(|variant| variant.sku.starts_with("WEB-MOT-")));
        assert!(state.skus.values().any(|ids| ids.len() > 1), "a SKU that occurs twice");
        assert!(variants.iter().any(|variant| variant.sku.is_empty()));
        assert!(variants.iter().any(|variant| variant.sku.contains('\u{301}')), "decomposed");
        assert!(variants.iter().any(|variant| !variant.managed));
        assert!(variants.iter().any(|variant| variant.text_money));
        let levels = || variants.iter().flat_map(|variant| variant.levels.values());
        assert!(levels().any(|level| !level.available().fract().is_zero()));
        assert!(levels().any(|level| level.available().is_sign_negative()));
        assert!(state.products.values().any(|product| product.published.is_none()));
    }
}
