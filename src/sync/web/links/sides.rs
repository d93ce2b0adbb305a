//! Both sides of a link beside each other, field by field: what each states, what the web should show, and why.

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::connection::{Settings, StockBasis};
use crate::domain::event::words;
use crate::domain::money::Vnd;
use crate::domain::product::PosVariant;
use crate::domain::sku::Sku;
use crate::domain::web::WebVariant;
use crate::map::web::product;

words! {
    /// A field that is compared.
    FieldName {
        /// Tên.
        Name = "name",
        /// Mã.
        Sku = "sku",
        /// Giá.
        Price = "price",
        /// Giá so sánh.
        CompareAt = "compare_at",
        /// Tồn kho.
        Stock = "stock",
    }
}

impl FieldName {
    /// As owners call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Name => "Tên",
            Self::Sku => "Mã SKU",
            Self::Price => "Giá",
            Self::CompareAt => "Giá so sánh",
            Self::Stock => "Tồn kho",
        }
    }
}

/// One field of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Which.
    pub field: FieldName,
    /// What the POS states.
    pub sapo: String,
    /// What the web should show; none where it is left alone.
    pub wanted: Option<String>,
    /// What the web shows.
    pub web: String,
    /// The web shows something else than it should; of a name and a SKU, than the POS has.
    pub differs: bool,
    /// Whether a difference is put right by a push.
    pub pushed: bool,
}

/// A link with both its sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// The SKU on the POS, as typed.
    pub sku: String,
    /// The POS's variant.
    pub sapo_variant: String,
    /// The web's variant.
    pub web_variant: String,
    /// Every field.
    pub fields: Vec<Field>,
    /// How the stock is reckoned.
    pub stock: String,
    /// What could not be taken over as it stands, and what mends it.
    pub notes: Vec<String>,
}

impl Sides {
    /// Whether anything is not as it should be.
    pub fn differ(&self) -> bool {
        self.fields.iter().any(|field| field.differs)
    }
}

/// What is known of both sides of a link.
pub struct Known<'a> {
    /// The POS's variant.
    pub sapo: &'a PosVariant,
    /// The web's.
    pub web: &'a WebVariant,
    /// The web variant's whole name.
    pub web_name: &'a str,
    /// The connection's settings.
    pub settings: &'a Settings,
    /// The branches whose stock is summed, where known.
    pub branches: Option<&'a [String]>,
    /// What open drafts hold at these branches.
    pub reserved: Decimal,
}

/// Puts both sides beside each other.
pub fn beside(known: &Known<'_>) -> Sides {
    let (sapo, web, settings) = (known.sapo, known.web, known.settings);
    let planned = product::target(sapo, settings, known.branches.unwrap_or_default(), known.reserved);
    let mut notes: Vec<String> = planned.notes.iter().map(product::Note::reason).collect();
    let mut target = planned.target;
    if known.branches.is_none() {
        target.stock = None;
        notes.push("the shop's default branch is not known here, so the stock is not compared: use --live".to_owned());
    }
    if !web.managed {
        target.stock = None;
        notes.push(product::Note::Unmanaged.reason());
    }
    let location = settings.web.web_location;
    if location.is_some() && web.stock_at(location).is_none() && target.stock.is_some() {
        target.stock = None;
        notes.push("the stock at the web's chosen location is not known here, so it is not compared: --live and the next reconcile read it, where the web tells it".to_owned());
    }
    let news = product::differs_at(location, &target, web, None);
    let money = |amount: Option<Decimal>| amount.map_or_else(|| "–".to_owned(), |amount| Vnd(amount).to_string());
    let number =
        |amount: Option<Decimal>| amount.map_or_else(|| "–".to_owned(), |amount| amount.normalize().to_string());
    let prices = &settings.web.price;
    let listed = |list: &str| sapo.prices.get(list).copied().or(sapo.retail_price.filter(|_| list == product::RETAIL));
    let plain = |field, sapo: &str, web: &str, differs| Field {
        field,
        sapo: sapo.to_owned(),
        wanted: None,
        web: web.to_owned(),
        differs,
        pushed: false,
    };
    let fields = vec![
        plain(FieldName::Name, &sapo.name, known.web_name, sapo.name.trim() != known.web_name.trim()),
        plain(FieldName::Sku, &sapo.sku, &web.sku, Sku::new(&sapo.sku) != Sku::new(&web.sku)),
        Field {
            field: FieldName::Price,
            sapo: money(listed(&prices.from)),
            wanted: target.price.map(|price| money(Some(price))),
            web: money(web.price),
            differs: news.price.is_some(),
            pushed: true,
        },
        Field {
            field: FieldName::CompareAt,
            sapo: money(prices.compare_list().and_then(listed)),
            wanted: target.compare_at.map(money),
            web: money(web.compare_at),
            differs: news.compare_at.is_some(),
            pushed: true,
        },
        Field {
            field: FieldName::Stock,
            sapo: number(known.branches.and_then(|branches| sum(sapo, branches, settings.stock_basis))),
            wanted: target.stock.map(|stock| stock.to_string()),
            web: number(web.stock_at(location)),
            differs: news.stock.is_some(),
            pushed: true,
        },
    ];
    Sides {
        sku: sapo.sku.clone(),
        sapo_variant: sapo.id.clone(),
        web_variant: web.id.clone(),
        fields,
        stock: story(known, target.stock),
        notes,
    }
}

fn figure(variant: &PosVariant, branch: &str, basis: StockBasis) -> Option<Decimal> {
    let row = variant.inventories.iter().find(|row| row.location_id == branch)?;
    match basis {
        StockBasis::Available => row.available,
        StockBasis::OnHand => row.on_hand,
    }
}

fn sum(variant: &PosVariant, branches: &[String], basis: StockBasis) -> Option<Decimal> {
    branches.iter().try_fold(Decimal::ZERO, |sum, branch| sum.checked_add(figure(variant, branch, basis)?))
}

/// `available: 58001 10 + 58002 5 = 15; buffer 2 units or 10 %; reserved 1; shown 12`.
fn story(known: &Known<'_>, shown: Option<i64>) -> String {
    let Some(branches) = known.branches else { return String::new() };
    let basis = known.settings.stock_basis;
    let figures: Vec<String> = branches
        .iter()
        .map(|branch| {
            let figure = figure(known.sapo, branch, basis);
            format!("{branch} {}", figure.map_or_else(|| "?".to_owned(), |figure| figure.normalize().to_string()))
        })
        .collect();
    let total = sum(known.sapo, branches, basis).map_or_else(|| "?".to_owned(), |sum| sum.normalize().to_string());
    let mut parts = vec![format!("{basis}: {} = {total}", figures.join(" + "))];
    let sku = Sku::new(&known.sapo.sku);
    let buffer = known.settings.buffer_of(sku.as_ref().map_or("", Sku::as_str));
    if buffer.units > Decimal::ZERO || buffer.percent > Decimal::ZERO {
        parts.push(format!("buffer {} units or {} %", buffer.units.normalize(), buffer.percent.normalize()));
    }
    if known.reserved > Decimal::ZERO {
        parts.push(format!("reserved {}", known.reserved.normalize()));
    }
    parts.push(shown.map_or_else(|| "not pushed".to_owned(), |shown| format!("shown {shown}")));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::StockBuffer;
    use crate::domain::product::PosInventory;

    fn sapo() -> PosVariant {
        let stock = |branch: &str, figure: i64| PosInventory {
            location_id: branch.into(),
            available: Some(figure.into()),
            on_hand: Some(99.into()),
        };
        PosVariant {
            id: "101".into(),
            sku: "AT-S".into(),
            name: "Áo thun S".into(),
            active: true,
            retail_price: Some(120_000.into()),
            inventories: vec![stock("1", 10), stock("2", 5)],
            ..PosVariant::default()
        }
    }

    fn web() -> WebVariant {
        WebVariant {
            id: "201".into(),
            sku: "AT-S".into(),
            managed: true,
            quantity: Some(12.into()),
            price: Some(115_000.into()),
            compare_at: Some(150_000.into()),
            ..WebVariant::default()
        }
    }

    fn known<'a>(
        sapo: &'a PosVariant,
        web: &'a WebVariant,
        settings: &'a Settings,
        branches: Option<&'a [String]>,
    ) -> Known<'a> {
        Known { sapo, web, web_name: "Áo thun S", settings, branches, reserved: Decimal::ZERO }
    }

    fn differing(sides: &Sides) -> Vec<&str> {
        sides.fields.iter().filter(|field| field.differs).map(|field| field.field.as_str()).collect()
    }

    #[test]
    fn only_what_the_web_should_show_differently_is_marked_and_the_stock_is_told() {
        let settings =
            Settings { stock_buffer: StockBuffer { units: 2.into(), percent: Decimal::ZERO }, ..Settings::default() };
        let (sapo, web, branches) = (sapo(), web(), ["1".to_owned(), "2".to_owned()]);
        let sides = beside(&Known { reserved: Decimal::ONE, ..known(&sapo, &web, &settings, Some(&branches)) });
        assert_eq!(differing(&sides), ["price"], "{sides:#?}");
        assert_eq!(sides.stock, "available: 1 10 + 2 5 = 15; buffer 2 units or 0 %; reserved 1; shown 12");
        let price = &sides.fields[2];
        assert_eq!((price.wanted.as_deref(), price.web.as_str()), (Some("120.000 ₫"), "115.000 ₫"));
        assert_eq!(sides.fields[3].wanted, None, "compare-at prices are left alone unless a list is chosen");
    }

    #[test]
    fn of_a_web_with_several_locations_the_chosen_one_is_compared_where_it_is_known() {
        let mut settings = Settings::default();
        settings.web.web_location = Some(7);
        let (sapo, branches) = (sapo(), ["1".to_owned()]);
        let elsewhere = WebVariant { price: Some(120_000.into()), quantity: Some(99.into()), ..web() };
        let there = |units: i64| WebVariant { levels: [(7, units.into())].into(), ..elsewhere.clone() };
        for (web, shown, expected) in
            [(there(10), "10", vec![]), (there(4), "4", vec!["stock"]), (elsewhere.clone(), "–", vec![])]
        {
            let sides = beside(&known(&sapo, &web, &settings, Some(&branches)));
            assert_eq!((sides.fields[4].web.as_str(), differing(&sides)), (shown, expected));
            assert_eq!(sides.notes.iter().any(|note| note.contains("location")), web.levels.is_empty());
        }
    }

    #[test]
    fn a_branch_that_is_missing_or_not_known_and_a_web_that_does_not_count_leave_the_stock_alone() {
        let settings = Settings::default();
        let (sapo, there) = (sapo(), WebVariant { quantity: Some(3.into()), sku: "AT-X".into(), ..web() });
        let unmanaged = WebVariant { managed: false, ..there.clone() };
        let (both, third) = (["1".to_owned()], ["1".to_owned(), "3".to_owned()]);
        for (web, branches, told) in [
            (&there, Some(&third[..]), "branch 3"),
            (&there, None, "default branch is not known"),
            (&unmanaged, Some(&both[..]), "does not count"),
        ] {
            let sides = beside(&Known { web_name: "Tên khác", ..known(&sapo, web, &settings, branches) });
            assert_eq!(differing(&sides), ["name", "sku", "price"], "{told}");
            assert!(sides.notes.iter().any(|note| note.contains(told)), "{told}: {:?}", sides.notes);
        }
        assert_eq!(
            beside(&known(&sapo, &there, &settings, Some(&third))).stock,
            "available: 1 10 + 3 ? = ?; not pushed"
        );
    }
}
