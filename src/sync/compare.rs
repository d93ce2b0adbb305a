//! What a walk finds: both real sides of one object compared, never our own memory of what was pushed.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::clock::Millis;
use crate::domain::connection::Connection;
use crate::domain::order::{ChannelOrder, PosOrder};
use crate::domain::phone::Phone;
use crate::domain::product::{ChannelProduct, Listing, PosProduct};
use crate::domain::sku::Sku;
use crate::map::abaha::product;
use crate::map::abaha::stage::{ChannelStage, PosStage};
use crate::map::abaha::status::{self, Decision};
use crate::map::abaha::{customer, gates, order};
use crate::store::jobs::JobRow;
use crate::store::links::Link;

/// What would be, or is being, done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Made on the other side.
    Create,
    /// Joined with what is there.
    Link,
    /// Made equal.
    Update,
    /// Left alone, with a reason.
    Skip,
    /// Cannot be decided, with a reason.
    Error,
    /// Nothing differs.
    Equal,
}

impl Action {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Link => "link",
            Self::Update => "update",
            Self::Skip => "skip",
            Self::Error => "error",
            Self::Equal => "equal",
        }
    }

    /// Whether an event must be made for it.
    pub fn acts(self) -> bool {
        matches!(self, Self::Create | Self::Link | Self::Update)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is done.
    pub action: Action,
    /// category, product, customer, order.
    pub kind: &'static str,
    /// SKU, order code or id.
    pub object: String,
    /// A stable word.
    pub code: Cow<'static, str>,
    /// For people.
    pub reason: String,
}

impl Finding {
    /// Makes a finding.
    pub fn new(
        action: Action,
        kind: &'static str,
        object: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        reason: impl Into<String>,
    ) -> Self {
        Self { action, kind, object: object.into(), code: code.into(), reason: reason.into() }
    }

    /// Its row in the job's report.
    pub fn row(&self) -> JobRow {
        JobRow {
            kind: self.kind.to_owned(),
            object_id: self.object.clone(),
            action: self.action.as_str().to_owned(),
            code: self.code.clone().into_owned(),
            reason: self.reason.clone(),
        }
    }
}

/// The channel's category ids, by Sapo category id.
pub type Categories = HashMap<String, String>;

/// The channel's whole catalogue, by id and by SKU.
#[derive(Debug, Default)]
pub struct Catalogue {
    by_id: HashMap<String, ChannelProduct>,
    by_sku: HashMap<Sku, Vec<String>>,
}

impl Catalogue {
    /// Adds a product.
    pub fn add(&mut self, product: ChannelProduct) {
        if let Some(sku) = Sku::new(&product.code) {
            self.by_sku.entry(sku).or_default().push(product.id.clone());
        }
        self.by_id.insert(product.id.clone(), product);
    }

    /// How many products it has.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// What was found of a variant, and with what it can be linked.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The finding.
    pub finding: Finding,
    /// The one product of its SKU on the channel, where it has no link yet.
    pub join: Option<Join>,
}

/// A variant and the one product of its SKU on the channel.
#[derive(Clone, Debug)]
pub struct Join {
    /// The variant.
    pub variant_id: String,
    /// Its SKU.
    pub sku: Sku,
    /// The product.
    pub channel_id: String,
    /// What both say, where they say the same.
    pub equal: Option<Listing>,
}

/// Compares a Sapo product's variants with the channel's catalogue. `links` are those of its variants, `categories`
/// the links of categories by Sapo id.
pub fn products(
    connection: &Connection,
    branch: &str,
    pos: &PosProduct,
    links: &[Link],
    categories: &Categories,
    there: &Catalogue,
) -> Vec<Compared> {
    let settings = &connection.settings;
    let category = pos.category.as_ref().and_then(|category| categories.get(&category.id).cloned());
    let mut compared = Vec::with_capacity(pos.variants.len());
    for variant in &pos.variants {
        let planned = product::listing(pos, variant, category.clone(), branch, settings);
        let found = |action, code: &'static str, reason: String| Compared {
            finding: Finding::new(action, "product", variant.sku.clone(), code, reason),
            join: None,
        };
        if let Some(link) = links.iter().find(|link| link.sapo_id == variant.id) {
            compared.push(match there.by_id.get(&link.channel_id) {
                None => {
                    let gone = format!("product {} is not on Abaha any more", link.channel_id);
                    match Sku::new(&link.natural_key).and_then(|sku| there.by_sku.get(&sku)).map(Vec::as_slice) {
                        Some([one]) => found(Action::Update, "made_again", format!("{gone}; {one} takes its place")),
                        _ => found(Action::Error, "gone_on_channel", gone),
                    }
                }
                Some(now) if product::same(&planned.listing, now) => found(Action::Equal, "equal", String::new()),
                Some(now) => found(Action::Update, "differs", difference(&planned.listing, now)),
            });
            continue;
        }
        let Some(sku) = Sku::new(&variant.sku) else {
            compared.push(found(Action::Skip, "no_sku", product::Note::NoSku.reason()));
            continue;
        };
        let candidates = there.by_sku.get(&sku).map_or(&[][..], Vec::as_slice);
        compared.push(match candidates {
            [] => match product::new_listing(pos, variant, planned.listing) {
                Ok(new) => found(Action::Create, "missing", format!("{:?} is made on Abaha", new.listing.name)),
                Err(note) => found(Action::Skip, note.code(), note.reason()),
            },
            [one] => {
                let same = there.by_id.get(one).is_some_and(|now| product::same(&planned.listing, now));
                let equal = same.then_some(planned.listing);
                let join = Join { variant_id: variant.id.clone(), sku, channel_id: one.clone(), equal };
                Compared {
                    join: Some(join),
                    ..found(Action::Link, "same_sku", format!("is linked with product {one} on Abaha"))
                }
            }
            several => found(
                Action::Error,
                "ambiguous",
                format!(
                    "SKU {sku} occurs {} times on Abaha: products {}; leave it on one of them",
                    several.len(),
                    several.join(", ")
                ),
            ),
        });
    }
    compared
}

/// Names what differs, field by field.
fn difference(listing: &Listing, there: &ChannelProduct) -> String {
    let mut parts = Vec::new();
    if listing.name != there.name {
        parts.push(format!("name {:?}, there {:?}", listing.name, there.name));
    }
    if listing.category_id.is_some() && listing.category_id != there.category_id {
        parts.push("category".to_owned());
    }
    if let Some(price) = listing.price
        && (there.price != Some(price) || there.selling_price != Some(price))
    {
        parts.push(format!(
            "price {price}, there {}",
            there.selling_price.map_or_else(|| "none".to_owned(), |p| p.to_string())
        ));
    }
    if let Some(stock) = listing.stock
        && there.stock != Some(stock.into())
    {
        parts
            .push(format!("stock {stock}, there {}", there.stock.map_or_else(|| "none".to_owned(), |s| s.to_string())));
    }
    if there.visible != Some(listing.visible) {
        parts.push(if listing.visible { "hidden there".to_owned() } else { "shown there".to_owned() });
    }
    parts.join("; ")
}

/// What is linked of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerLink {
    /// The customer.
    Itself,
    /// Another Sapo customer with the same phone.
    SamePhone,
    /// Nothing.
    None,
}

/// Compares a customer: it needs a usable phone, and a link.
pub fn customer(phone: Option<&str>, id: &str, link: CustomerLink) -> Finding {
    let found = |action, code: &'static str, reason: String| Finding::new(action, "customer", id, code, reason);
    match (link, Phone::parse(phone.unwrap_or_default())) {
        (CustomerLink::Itself, _) => found(Action::Equal, "equal", String::new()),
        (_, Err(why)) => found(Action::Skip, "no_phone", format!("{} / {}", why.reason_vi(), why.reason())),
        (CustomerLink::SamePhone, Ok(_)) => found(
            Action::Skip,
            "same_phone",
            "another Sapo customer has this phone and the link; merge them on Sapo".to_owned(),
        ),
        (CustomerLink::None, Ok(_)) => found(
            Action::Create,
            "unlinked",
            "is linked with the customer of its phone on Abaha, or made there".to_owned(),
        ),
    }
}

/// The channel's order beside a linked POS order, for comparing states.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Its stage on the channel now.
    pub stage: ChannelStage,
    /// Whether it is paid there.
    pub paid: bool,
}

/// Compares a Sapo order with the channel's.
pub fn pos_order(connection: &Connection, pos: &PosOrder, linked: bool, beside: Option<&Beside>) -> Finding {
    let settings = &connection.settings;
    let found =
        |action, code: &'static str, reason: String| Finding::new(action, "order", pos.code.clone(), code, reason);
    let stage = PosStage::of(pos);
    if linked {
        let Some(beside) = beside else {
            return found(Action::Equal, "not_compared", String::new());
        };
        return match status::to_channel(settings.status_profile, &stage, &beside.stage, settings.returned_code) {
            Decision::SetStatus(code) => found(
                Action::Update,
                "state_differs",
                format!("{stage:?} on Sapo, {:?} on Abaha: set to {code}", beside.stage),
            ),
            _ => found(Action::Equal, "equal", String::new()),
        };
    }
    if pos.tags.contains(&connection.tag()) {
        return found(Action::Link, "ours", "made by us and not linked yet".to_owned());
    }
    if let Some(skip) = before_start(connection, pos.created_at) {
        return found(Action::Skip, "before_start_line", skip);
    }
    if !settings.orders {
        return found(Action::Skip, "switch_off", "the switch for orders is off".to_owned());
    }
    match status::first_status(settings.status_profile, &stage) {
        Err(decision) => found(Action::Skip, decision.code(), "not created in this state".to_owned()),
        Ok(_) if customer::of_order(pos).is_none() => {
            found(Action::Skip, "no_phone", "khách không có số điện thoại: no usable phone number".to_owned())
        }
        Ok(_) => match order::check_pos_order(pos) {
            Err(problem) => found(Action::Error, problem.code(), problem.reason()),
            Ok(_) => found(Action::Create, "missing", "is made on Abaha where its gates allow it".to_owned()),
        },
    }
}

/// Compares a channel's order with the POS's.
pub fn channel_order(
    connection: &Connection,
    there: &ChannelOrder,
    link: Option<&Link>,
    pos: Option<&PosOrder>,
) -> Finding {
    let settings = &connection.settings;
    let name = there.code.clone().unwrap_or_else(|| there.id.clone());
    let found = |action, code: &'static str, reason: String| Finding::new(action, "order", name.clone(), code, reason);
    let stage = ChannelStage::of(there, settings.returned_code);
    if let Some(link) = link {
        let known = link.sapo_state.as_deref().and_then(PosStage::from_word);
        let Some(on_pos) = pos.map(PosStage::of).or(known) else {
            return found(Action::Update, "state_unknown", "its state on Sapo is read".to_owned());
        };
        return match status::to_pos(&stage, &on_pos) {
            Decision::Cancel => found(
                Action::Update,
                "state_differs",
                format!("{stage:?} on Abaha, {on_pos:?} on Sapo: cancelled there"),
            ),
            _ if there.payment == Some(5) && link.paid == 0 && settings.payment_method.is_some() => {
                found(Action::Update, "paid", "its payment is not on Sapo yet".to_owned())
            }
            _ => found(Action::Equal, "equal", String::new()),
        };
    }
    if let Some(skip) = before_start(connection, there.created_at) {
        return found(Action::Skip, "before_start_line", skip);
    }
    if let Err(missing) = gates::to_pos(settings.into()) {
        return found(Action::Skip, missing.code(), missing.reason());
    }
    match (status::may_be_created(&stage), order::check_channel_order(there)) {
        (Err(decision), _) => found(Action::Skip, decision.code(), "not created in this state".to_owned()),
        (_, Err(problem)) => found(Action::Error, problem.code(), problem.reason()),
        (Ok(()), Ok(_)) => found(Action::Create, "missing", "is made on Sapo once every line is linked".to_owned()),
    }
}

/// Why an order is too old to be made on the other side, where it is.
pub fn before_start(connection: &Connection, created_at: Option<Millis>) -> Option<String> {
    (created_at? < connection.start_line())
        .then(|| "made before the connection was activated (orders_from moves that line)".to_owned())
}
