//! Walks the orders of a web, status by status (`any` gives nothing at all), and what the POS made of them.

use super::catalogue::{calling_web, last_id, next_id};
use crate::destination::omni::client::PageQuery;
use crate::destination::web::client::WebQuery;
use crate::domain::clock::Millis;
use crate::domain::connection::Connection;
use crate::domain::event::{Kind, ObjectKey, System};
use crate::domain::order::PosOrder;
use crate::domain::web::WebOrder;
use crate::map::abaha::stage::PosStage;
use crate::map::web::status::{Asked, Paid, WebStage, may_be_created, paid, to_pos, to_web};
use crate::store::links::{Link, LinkKind};
use crate::sync::compare::{Action, Finding, before_start};
use crate::sync::walk::{Pace, WalkError};
use crate::work::web::order_in::SWITCH_OFF;

/// Walks the web's orders of one status, in the order of their ids: those created since the start line, or changed
/// since the last reconcile.
pub async fn of_web(pace: &mut Pace<'_>, status: &'static str) -> Result<(), WalkError> {
    let start = pace.connection().start_line();
    let name = pace.connection().name.clone();
    loop {
        let after = pace.position.after.clone();
        let query = WebQuery {
            since_id: Some(if after.is_empty() { "0".to_owned() } else { after.clone() }),
            status: Some(status),
            modified_from: pace.since,
            created_from: if pace.since.is_some() { None } else { Some(start) },
            ..WebQuery::default()
        };
        let page = calling_web(pace, &query, |web, query| Box::pin(web.orders(query))).await?;
        let (rows, last) = (page.items.len() as u64, last_id(&page, |order: &WebOrder| &order.id));
        for item in pace.readable("order", page) {
            let order = item.value;
            let store = &pace.context.store;
            let link = store.link_by_channel(&name, LinkKind::Order, &order.id).await?;
            let settled = match &link {
                Some(_) => store.settled(&order_key(&name, &order.id)).await?.and_then(|known| known.version),
                None => None,
            };
            let seen = match &link {
                Some(_) => None,
                None => store.channel_order(&name, &order.id).await?,
            };
            let left_out = seen.as_ref().is_some_and(|seen| seen.is_left_out(SWITCH_OFF));
            let finding = web_order(pace.connection(), &order, link.as_ref(), settled, left_out);
            // An order that stays unlinked is shown to the owner all the same.
            let unseen = finding.code == SWITCH_OFF && link.is_none() && seen.is_none();
            let (acts, force) = (finding.action.acts() || unseen, finding.action == Action::Update);
            pace.note("order", &finding);
            if acts {
                let reference = Some(order.name.clone());
                pace.publish(System::Web, Kind::Order, &order.id, order.version, reference, force, item.raw).await?;
            }
        }
        let Some(last) = next_id(&after, last, rows)? else { return Ok(()) };
        pace.position.after = last;
        pace.position.page += 1;
        pace.keep().await?;
    }
}

/// Walks the POS's orders that were made of this web's.
pub async fn of_sapo(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    let (start, tag) = (pace.connection().start_line(), pace.connection().tag());
    let name = pace.connection().name.clone();
    pace.position.page = pace.position.page.max(1);
    loop {
        let page = PageQuery { page: pace.position.page, ..PageQuery::default() };
        let query = match pace.since {
            Some(since) => PageQuery { modified_from: Some(since), ..page },
            None => PageQuery { created_from: Some(start), ..page },
        };
        let page = pace.calling(|| Box::pin(pace.run.omni.orders(query))).await?;
        let more = page.more();
        for item in pace.readable("order", page) {
            let order = item.value;
            if !order.tags.contains(&tag) {
                continue;
            }
            let link = pace.context.store.link_by_sapo(&name, LinkKind::Order, &order.id).await?;
            let back = pace.connection().settings.web.status_back;
            let finding = pos_order(&order, link.as_ref(), back);
            if is_just_made(pace.job.created_at, order.created_at, &finding) {
                continue;
            }
            // One that is ours and not linked was seen before without being linked: its state being known says nothing.
            let (acts, force) = (finding.action.acts(), matches!(finding.action, Action::Update | Action::Link));
            pace.note("order", &finding);
            if acts {
                let reference = Some(order.code.clone());
                pace.publish(System::Omni, Kind::Order, &order.id, order.version, reference, force, item.raw).await?;
            }
        }
        pace.position.page += 1;
        pace.keep().await?;
        if !more {
            return Ok(());
        }
    }
}

fn order_key(connection: &str, id: &str) -> ObjectKey {
    ObjectKey { connection: connection.to_owned(), source: System::Web, kind: Kind::Order, object_id: id.to_owned() }
}

/// Compares a web's order with what is known of it on the POS; `settled` is the version that was worked on last,
/// `left_out` tells whether it came while the switch was off.
fn web_order(
    connection: &Connection,
    order: &WebOrder,
    link: Option<&Link>,
    settled: Option<Millis>,
    left_out: bool,
) -> Finding {
    let settings = &connection.settings;
    let found = |action, code: &'static str, reason: String| {
        Finding::new(action, "order", if order.name.is_empty() { &order.id } else { &order.name }, code, reason)
    };
    let stage = WebStage::of(order);
    if let Some(link) = link {
        let Some(on_pos) = link.sapo_state.as_deref().and_then(PosStage::from_word) else {
            return found(Action::Update, "state_unknown", "its state on Sapo is read".to_owned());
        };
        return if !settings.orders {
            found(Action::Equal, SWITCH_OFF, String::new())
        } else if to_pos(&stage, &on_pos) == Asked::Cancel {
            let reason = format!("{} on the web, {} on Sapo: cancelled there", stage.as_word(), on_pos.as_word());
            found(Action::Update, "state_differs", reason)
        } else if paid(order, false) == Paid::Whole && link.paid == 0 && settings.payment_method.is_some() {
            found(Action::Update, "paid", "its payment is not on Sapo yet".to_owned())
        } else if order.version > settled {
            found(Action::Update, "changed", "it changed on the web since it was last worked on".to_owned())
        } else {
            found(Action::Equal, "equal", String::new())
        };
    }
    if order.test {
        return found(Action::Skip, "test_order", "a trial order".to_owned());
    }
    if let Some(skip) = before_start(connection, order.created_at) {
        return found(Action::Skip, "before_start_line", skip);
    }
    if !settings.orders {
        let reason = "the switch for orders (Đơn hàng) is off: it is sent by hand only";
        return found(Action::Skip, SWITCH_OFF, reason.to_owned());
    }
    if left_out {
        let reason = "it came while the switch for orders (Đơn hàng) was off: it is sent by hand only";
        return found(Action::Skip, SWITCH_OFF, reason.to_owned());
    }
    match may_be_created(&stage) {
        Ok(()) => found(Action::Create, "missing", "is made on Sapo once every line is linked".to_owned()),
        Err(asked) => found(Action::Skip, asked.code(), "not created in this state".to_owned()),
    }
}

/// Compares an order that we made on the POS with what is known of it; `back` tells whether its state goes to the web.
fn pos_order(order: &PosOrder, link: Option<&Link>, back: bool) -> Finding {
    let found =
        |action, code: &'static str, reason: String| Finding::new(action, "order", order.code.clone(), code, reason);
    let stage = PosStage::of(order);
    match link {
        None => found(Action::Link, "ours", "made by us and not linked yet".to_owned()),
        Some(link) if link.sapo_state.as_deref() != Some(stage.as_word().as_ref()) => {
            let before = link.sapo_state.as_deref().unwrap_or("unknown");
            found(Action::Update, "state_differs", format!("{} on Sapo now, {before} as last known", stage.as_word()))
        }
        Some(link) if back && is_due(order, &stage, link) => {
            let there = link.channel_state.as_deref().unwrap_or_default();
            found(Action::Update, "state_differs", format!("{} on Sapo, {there} on the web", stage.as_word()))
        }
        Some(_) => found(Action::Equal, "equal", String::new()),
    }
}

/// Whether the web's order, as last known, lacks what the POS's asks of it.
fn is_due(order: &PosOrder, stage: &PosStage, link: &Link) -> bool {
    let there = link.channel_state.as_deref().and_then(WebStage::from_word);
    let asked = there.map(|there| to_web(stage, order.fulfillment_status == "shipped", &there));
    matches!(asked, Some(Asked::Cancel | Asked::Fulfil))
}

/// An order that was made since this walk began (to the second) is no finding, whether it has been linked yet or not.
fn is_just_made(began: Millis, created_at: Option<Millis>, finding: &Finding) -> bool {
    created_at.is_some_and(|at| at >= began.div_euclid(1000) * 1000)
        && matches!(finding.action, Action::Equal | Action::Link)
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::domain::connection::{Settings, State};

    fn connection(orders: bool) -> Connection {
        Connection {
            name: "mau-web1".to_owned(),
            store: "cuahangmau".to_owned(),
            channel: System::Web,
            site: "webmau1".to_owned(),
            state: State::Active,
            settings: Settings { orders, payment_method: Some(1), ..Settings::default() },
            activated_at: 1_000_000,
        }
    }

    fn order() -> WebOrder {
        WebOrder {
            id: "900".to_owned(),
            name: "#1001".to_owned(),
            status: "open".to_owned(),
            total: Some(Decimal::from(120_000)),
            created_at: Some(2_000_000),
            version: Some(2_000_000),
            ..WebOrder::default()
        }
    }

    fn link(state: &str) -> Link {
        let mut link = Link::new("mau-web1", LinkKind::Order, "700", "900", "#1001");
        link.sapo_state = Some(state.to_owned());
        link
    }

    fn judged(order: &WebOrder, link: Option<&Link>) -> (Action, String) {
        let finding = web_order(&connection(true), order, link, Some(2_000_000), false);
        (finding.action, finding.code.into_owned())
    }

    #[test]
    fn an_order_without_a_link_is_made_unless_something_speaks_against_it() {
        assert_eq!(judged(&order(), None), (Action::Create, "missing".to_owned()));
        let old = WebOrder { created_at: Some(999_000), ..order() };
        assert_eq!(judged(&old, None), (Action::Skip, "before_start_line".to_owned()));
        let trial = WebOrder { test: true, ..order() };
        assert_eq!(judged(&trial, None), (Action::Skip, "test_order".to_owned()));
        let gone = WebOrder { status: "cancelled".to_owned(), ..order() };
        assert_eq!(judged(&gone, None), (Action::Skip, "never_created".to_owned()));
        assert_eq!(web_order(&connection(false), &order(), None, None, false).code, "switch_off");
        let left_out = web_order(&connection(true), &order(), None, None, true);
        assert_eq!((left_out.action, left_out.code.as_ref()), (Action::Skip, "switch_off"));
        let back = WebOrder { return_status: "returned".to_owned(), ..order() };
        assert_eq!(judged(&back, None), (Action::Skip, "never_created".to_owned()));
        let archived = WebOrder { status: "closed".to_owned(), ..order() };
        assert_eq!(judged(&archived, None), (Action::Create, "missing".to_owned()), "closed is only archiving");
    }

    #[test]
    fn a_linked_order_is_compared_by_what_can_still_change() {
        let draft = link("draft");
        assert_eq!(judged(&order(), Some(&draft)).0, Action::Equal);
        let cancelled = WebOrder { cancelled: true, ..order() };
        assert_eq!(judged(&cancelled, Some(&draft)), (Action::Update, "state_differs".to_owned()));
        assert_eq!(judged(&cancelled, Some(&link("cancelled"))).0, Action::Equal);
        let paid = WebOrder { financial_status: "paid".to_owned(), ..order() };
        assert_eq!(judged(&paid, Some(&draft)), (Action::Update, "paid".to_owned()));
        let mut known = link("draft");
        known.paid = 1;
        assert_eq!(judged(&paid, Some(&known)).0, Action::Equal);
        let newer = WebOrder { version: Some(2_001_000), ..order() };
        assert_eq!(judged(&newer, Some(&draft)), (Action::Update, "changed".to_owned()));
    }

    #[test]
    fn what_the_pos_made_of_it_is_compared_with_what_is_known() {
        let pos = |status: &str| PosOrder { id: "700".to_owned(), status: status.to_owned(), ..PosOrder::default() };
        let mut known = link("draft");
        assert_eq!(pos_order(&pos("draft"), Some(&known), true).action, Action::Equal);
        assert_eq!(pos_order(&pos("draft"), None, true).action, Action::Link);
        assert_eq!(pos_order(&pos("finalized"), Some(&known), false).code, "state_differs");
        known.sapo_state = Some("cancelled".to_owned());
        known.channel_state = Some("open".to_owned());
        assert_eq!(pos_order(&pos("cancelled"), Some(&known), false).action, Action::Equal);
        assert_eq!(pos_order(&pos("cancelled"), Some(&known), true).action, Action::Update);
        known.channel_state = Some("cancelled".to_owned());
        assert_eq!(pos_order(&pos("cancelled"), Some(&known), true).action, Action::Equal);
    }
}
