//! An order made on the POS for a channel's: sent once, known again by its mark, and held against what it was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rust_decimal::Decimal;

use super::chosen::{self, known_branch};
use super::context::{Halt, Run};
use super::create::{self, Created, Creation};
use super::marks;
use crate::destination::CallError;
use crate::destination::omni::client::PageQuery;
use crate::domain::clock::millis;
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::domain::money::Vnd;
use crate::domain::order::{ChannelLine, ChannelOrder, NewPosOrder, PosOrder};
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::map::abaha::order::check_channel_order;
use crate::map::abaha::stage::PosStage;
use crate::observe::crash;
use crate::store::Tx;
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};
use crate::store::parked::ToPark;
use crate::store::reservations::Reservation;

/// Clocks of two machines differ; a window that is looked at for an order made just now is so much wider.
pub const MARGIN: Duration = Duration::from_mins(15);

/// The code of a link whose order is still to be approved (`approve_orders`).
pub const TO_BE_APPROVED: &str = "to_be_approved";

/// The topic of the events by which what open drafts hold reaches the webs' stock.
const RESERVATION: &str = "reservation";

/// The natural key of an order made on the POS for a connection: every channel has a `#1001`.
pub fn order_key(connection: &str, reference: &str) -> String {
    format!("{connection}/{reference}")
}

/// The intent of an order made on the POS.
pub fn intent_key(run: &Run<'_>, reference: &str) -> IntentKey {
    IntentKey {
        account: run.connection().store_account(),
        kind: IntentKind::Order,
        natural_key: order_key(run.name(), reference),
    }
}

/// What identifies an order beside its mark: total and phone.
pub fn fingerprint(total: Decimal, phone: Option<&Phone>) -> String {
    format!("{}|{}", total.normalize(), phone.map_or("", Phone::as_e164))
}

/// An order that is to be sent, and what it is made of.
pub struct ToSend<'a> {
    /// The channel's order.
    pub order: &'a ChannelOrder,
    /// What the POS is to have.
    pub new: &'a NewPosOrder,
    /// The channel's stage, as a word.
    pub stage: &'a str,
    /// The phone that the order is made under.
    pub phone: Option<&'a Phone>,
    /// It is not to be created any more, and why.
    pub refused: Option<Outcome>,
}

/// An order that is on the POS now.
pub struct Sent {
    /// Its link.
    pub link: Link,
    /// It was there before this database knew of it.
    pub was_there: bool,
}

impl Sent {
    /// What became of the order, where nothing is wrong with its link.
    pub fn outcome(&self) -> Outcome {
        let id = &self.link.sapo_id;
        if self.was_there {
            return Outcome::done("linked", format!("it was on the POS already, id {id}, and is linked now"));
        }
        Outcome::done("created", format!("created on the POS as a draft (Đặt hàng), id {id}"))
    }
}

/// Sends the order, once, and records the link before anything else is done.
pub async fn send(run: &Run<'_>, to_send: ToSend<'_>) -> Result<Sent, Halt> {
    let ToSend { order, new, stage, phone, refused } = to_send;
    let connection = run.connection();
    let key = intent_key(run, &new.reference);
    let before = marks::on_pos(run, &key, new, order.created_at).await?;
    let was_there = before.is_some();
    let there = if let Some(there) = before {
        there
    } else {
        let print = fingerprint(new.total, phone);
        let creation = Creation { key: &key, source_id: &order.id, fingerprint: Some(&print), refused };
        match create::once(run, &creation, look_up(run, &key, new), run.omni.create_order(new)).await {
            Ok(Created::Now(order) | Created::Found(order)) => order,
            Ok(Created::Before(id)) => run.omni.order(&id).await?,
            Err(halt) => return Err(chosen::judge(run, halt, &chosen::of_order(run, new)).await),
        }
    };
    crash::point("order_answered");
    let known = run.store().link_by_sapo(&connection.name, LinkKind::Order, &there.id).await?;
    if let Some(other) = known.as_ref().filter(|link| link.channel_id != order.id) {
        let reason = format!(
            "orders {} and {} on the channel have one code, {}; Sapo order {} was made of the first: make the other by hand",
            other.channel_id, order.id, new.reference, there.id
        );
        return Err(Outcome::dead("duplicate_code", reason).into());
    }
    let mut link = known.unwrap_or_else(|| fresh_link(run, &there, &order.id, &new.reference));
    link.channel_state = Some(stage.to_owned());
    link.total = Some(new.total.normalize().to_string());
    link.pushed = Some(contents(order));
    if there.total.is_some_and(|total| total != new.total) {
        link.fail("total_mismatch", another_total(new.total, there.total.unwrap_or_default()));
    }
    record(run, &mut link, &key, &there).await?;
    Ok(Sent { link, was_there })
}

fn another_total(asked: Decimal, made: Decimal) -> String {
    let (asked, made) = (Vnd(asked), Vnd(made));
    format!("the channel's total is {asked}, Sapo made it {made}; the order stays linked and is not created again")
}

/// The link of an order as the POS has just made it; one that is to be approved says so until it is.
fn fresh_link(run: &Run<'_>, there: &PosOrder, channel_id: &str, reference: &str) -> Link {
    let stage = PosStage::of(there);
    let mut link = Link::new(run.name(), LinkKind::Order, &there.id, channel_id, reference);
    link.sapo_state = Some(stage.as_word().into_owned());
    if run.connection().settings.web.approve_orders && stage == PosStage::Draft {
        link.fail(TO_BE_APPROVED, "it is on the POS and still to be approved (Duyệt) there; that goes by itself");
    }
    link
}

/// Records the link of an order and, in the same transaction, what the draft holds of the stock. Tells whether it was
/// linked before: what is known since then is newer than what it was made of here.
async fn record(run: &Run<'_>, link: &mut Link, key: &IntentKey, there: &PosOrder) -> Result<bool, Halt> {
    if run.dry {
        return Ok(false);
    }
    let held = reservations(run, there).await?;
    crash::point("before_link");
    let mut tx = run.store().begin().await?;
    let known = run.store().link_before(&mut tx, link).await?;
    let was_known = known.is_some();
    if let Some(known) = known {
        join(link, known);
    }
    create::record_in(run, &mut tx, link, Some(key)).await?;
    if PosStage::of(there) == PosStage::Draft && is_draft(link) {
        let held = run.store().reserve(&mut tx, &run.connection().store, &there.id, &held).await?;
        push_anew(run, &mut tx, &held).await?;
    }
    tx.commit().await?;
    crash::point("link_written");
    create::wake(run, Some(key), &[]).await?;
    Ok(was_known)
}

/// Keeps what is known of a link that was written meanwhile; of this one only what that lacks, and a wrong total.
fn join(link: &mut Link, known: Link) {
    if link.code.as_deref() != Some("total_mismatch") {
        link.state = known.state;
        link.code = known.code;
        link.reason = known.reason;
    }
    link.sapo_state = known.sapo_state.or(link.sapo_state.take());
    link.channel_state = link.channel_state.take().or(known.channel_state);
    link.total = link.total.take().or(known.total);
    link.pushed = link.pushed.take().or(known.pushed);
    link.paid = link.paid.max(known.paid);
}

/// Whether the order is a draft as far as its link knows, which may have heard of more than an answer tells.
fn is_draft(link: &Link) -> bool {
    link.sapo_state.as_deref().and_then(PosStage::from_word) == Some(PosStage::Draft)
}

/// What an order holds, at its branch, and of what its combos and pack sizes are made.
async fn reservations(run: &Run<'_>, order: &PosOrder) -> Result<Vec<Reservation>, Halt> {
    let location = match &order.location_id {
        Some(id) => Some(id.clone()),
        None => known_branch(run).await?.map(|branch| branch.to_string()),
    };
    let Some(location) = location else { return Ok(Vec::new()) };
    let mut held: BTreeMap<(&str, &str), Decimal> = BTreeMap::new();
    for line in &order.lines {
        if let (Some(variant), Some(product)) = (&line.variant_id, &line.product_id) {
            let sum = held.entry((variant, product)).or_default();
            *sum = sum.saturating_add(line.quantity);
        }
    }
    let held = held.into_iter().map(|((variant, product), quantity)| Reservation {
        variant_id: variant.to_owned(),
        product_id: product.to_owned(),
        location_id: location.clone(),
        quantity,
    });
    Ok(run.store().with_parts(&run.connection().store, held.collect()).await?)
}

/// Gives up what a draft holds, once it is approved, cancelled or finished: the POS's own stock knows it from then on.
pub async fn release(run: &Run<'_>, sapo_id: &str) -> Result<(), Halt> {
    let (store, alias) = (run.store(), &run.connection().store);
    if run.dry || !store.is_reserving(alias, sapo_id).await? {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let products = store.release_reservations(&mut tx, alias, sapo_id).await?;
    push_anew(run, &mut tx, &products).await?;
    Ok(tx.commit().await?)
}

/// Has the stock of products pushed anew to every web of the store that holds drafts back. The events are parked, due
/// now, in the transaction that makes them necessary, so that no crash comes between.
async fn push_anew(run: &Run<'_>, tx: &mut Tx, products: &BTreeSet<String>) -> Result<(), Halt> {
    let Some(snapshot) = run.context.snapshot.get() else {
        return Ok(());
    };
    let now = run.context.clock.now();
    let mut webs: Vec<_> = snapshot
        .0
        .of_store(&run.connection().store)
        .map(|row| &row.connection)
        .filter(|web| web.channel == System::Web && web.settings.products && web.settings.web.reserve_unapproved)
        .collect();
    webs.sort_by(|one, other| one.name.cmp(&other.name));
    for web in webs {
        for product in products {
            let key = ObjectKey {
                connection: web.name.clone(),
                source: System::Omni,
                kind: Kind::Product,
                object_id: product.clone(),
            };
            let body = Bytes::from_static(b"{}");
            let event = Event::new(key, run.event.store.clone(), RESERVATION, Shape::Id, now, body);
            let park = ToPark {
                event: &event,
                account: &web.target_account(System::Omni),
                class: 1,
                cause: Cause::Replay,
                cause_key: None,
                reason: "what open drafts hold of it has changed; its stock is pushed anew",
                due_at: now,
            };
            run.store().park(tx, &park).await?;
        }
    }
    Ok(())
}

/// Finds the order that an earlier attempt made, by reference and tag. One with another total is that order all the
/// same: its link is then in error, and it is never created again.
async fn look_up(run: &Run<'_>, key: &IntentKey, new: &NewPosOrder) -> Result<Option<PosOrder>, Halt> {
    let since = run
        .store()
        .intent(&key.account, key.kind, &key.natural_key)
        .await?
        .map(|intent| intent.sent_at - millis(MARGIN));
    let mut found: Vec<PosOrder> = Vec::new();
    let mut query = PageQuery { created_from: since, limit: 100, ..PageQuery::default() };
    loop {
        let page = run.omni.orders(query).await?;
        let more = page.more();
        found.extend(
            page.into_values()
                .filter(|order| order.reference.as_ref() == Some(&new.reference) && order.tags.contains(&new.tag)),
        );
        if !more {
            break;
        }
        query.page += 1;
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => {
            let ids: Vec<String> = found.into_iter().map(|order| order.id).collect();
            Err(two_marks(&ids, &new.reference).into())
        }
    }
}

/// Several orders of the POS carry one mark: a person has to say which is the right one.
pub fn two_marks(ids: &[String], reference: &str) -> Outcome {
    let reason = format!("Sapo orders {} carry the mark of {reference}; cancel all but one by hand", ids.join(", "));
    Outcome::dead("two_objects_one_mark", reason)
}

/// What became of an order on the POS that carries our mark but has no link.
#[allow(clippy::large_enum_variant)] // made once, matched at once
pub enum Adopted {
    /// It was linked meanwhile.
    Known(Link),
    /// It completed its intent and is linked now.
    Now(Link),
    /// It cannot be linked, and why.
    Not(Outcome),
}

/// Links an order that we made on the POS ourselves, heard of before or without the answer to our call: it completes
/// its intent and never goes back where it came from. One that another database made, of which this one is an older
/// copy, has no intent here: it is linked with the channel's order of its reference.
pub async fn adopt(run: &Run<'_>, order: &PosOrder) -> Result<Adopted, Halt> {
    let reference = order.reference.clone().unwrap_or_default();
    let key = intent_key(run, &reference);
    let intent = run.store().intent(&key.account, key.kind, &key.natural_key).await?;
    let unheard = intent.is_none();
    let (channel_id, expected) = match intent {
        Some(intent) => {
            let print = intent.fingerprint.as_deref().and_then(|print| print.split('|').next());
            let total = print.map(ToOwned::to_owned);
            (intent.source_id, total)
        }
        None => match marks::made_of(run, order, &reference).await?.as_slice() {
            [one] => {
                run.step(
                    "found",
                    format!("it was made of order {} of the channel, before this database knew of it", one.id),
                );
                (one.id.clone(), check_channel_order(one).ok().map(|total| total.normalize().to_string()))
            }
            none_or_several => return Ok(Adopted::Not(unknown(none_or_several, &reference))),
        },
    };
    if let Some(other) = run.store().link_by_channel(run.name(), LinkKind::Order, &channel_id).await? {
        if other.sapo_id == order.id {
            return Ok(Adopted::Known(other));
        }
        let reason = format!(
            "Sapo orders {} and {} carry one mark ({reference}); cancel one of them by hand",
            other.sapo_id, order.id
        );
        run.store().set_link_error(&other, Some(("two_objects_one_mark", &reason))).await?;
        return Ok(Adopted::Not(Outcome::dead("two_objects_one_mark", reason)));
    }
    if unheard {
        // What the channel's order asked for meanwhile was never heard.
        marks::read_anew(run, run.connection().channel, &channel_id);
    }
    let mut link = fresh_link(run, order, &channel_id, &reference);
    let answered = order.total.map(|total| total.normalize().to_string());
    if expected.is_some() && expected != answered {
        let asked = expected.as_deref().and_then(|total| total.parse().ok());
        link.fail("total_mismatch", another_total(asked.unwrap_or_default(), order.total.unwrap_or_default()));
    }
    link.total = expected;
    let was_known = record(run, &mut link, &key, order).await?;
    Ok(if was_known { Adopted::Known(link) } else { Adopted::Now(link) })
}

/// What becomes of an order with our mark that cannot be told to be any one of the channel's.
fn unknown(candidates: &[ChannelOrder], reference: &str) -> Outcome {
    if candidates.is_empty() {
        return Outcome::skipped(
            "ours_unknown",
            format!(
                "it carries our mark, but this database did not make it, and the channel has no order {reference} of the \
                 day before it; an older one is found from its own side by `sapo-sync reconcile`"
            ),
        );
    }
    let ids: Vec<&str> = candidates.iter().map(|order| order.id.as_str()).collect();
    Outcome::skipped(
        "ours_unknown",
        format!(
            "it carries our mark, but this database did not make it, and orders {} of the channel are all called \
             {reference}; look at them and cancel what is there twice",
            ids.join(", ")
        ),
    )
}

/// Cancels the POS's order of a link, and gives up what it holds; the channel's stage is known before the call, so that
/// the echo of the cancellation, which may come first, finds it so.
pub async fn cancel(run: &Run<'_>, link: &Link, stage: &str) -> Result<(), Halt> {
    remember(run, link, None, stage).await?;
    crash::point("before_cancel");
    match chosen::at_branch(run).await?.cancel_order(&link.sapo_id).await {
        Ok(()) | Err(CallError::AlreadySo { .. }) => {}
        Err(error) => return Err(chosen::judge(run, error.into(), &[]).await),
    }
    crash::point("cancelled");
    remember(run, link, Some(&PosStage::Cancelled), stage).await?;
    release(run, &link.sapo_id).await
}

/// Records what is known of both stages; `None` leaves the POS's as it is.
pub async fn remember(run: &Run<'_>, link: &Link, sapo: Option<&PosStage>, stage: &str) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let sapo = sapo.map(PosStage::as_word);
    Ok(run.store().set_order_states(run.name(), &link.sapo_id, sapo.as_deref(), Some(stage)).await?)
}

/// Lines or fee changed on the channel after creation: Sapo cannot change items, so both totals are shown.
pub async fn lines_changed(run: &Run<'_>, order: &ChannelOrder, link: &Link) -> Result<Option<String>, Halt> {
    let before: Option<Decimal> = link.total.as_deref().and_then(|text| text.parse().ok());
    let now = check_channel_order(order).map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let exchanged = link.pushed.as_ref().is_some_and(|before| *before != contents(order));
    match before {
        Some(before) if before != now || exchanged => {
            let reason = format!(
                "the order changed on the channel after it was made on Sapo: {} there now, {} here; Sapo cannot change items, mend it by hand",
                Vnd(now),
                Vnd(before)
            );
            if !run.dry {
                // What is still to be approved stays so, and is approved once both are alike again.
                let code = link.code.as_deref().filter(|code| *code == TO_BE_APPROVED).unwrap_or("order_changed");
                run.store().set_link_error(link, Some((code, &reason))).await?;
            }
            Ok(Some(reason))
        }
        _ => {
            if link.code.as_deref() == Some("order_changed") && !run.dry {
                run.store().set_link_error(link, None).await?;
            }
            Ok(None)
        }
    }
}

/// What an order of the channel holds, to be compared with what it holds later: other goods may cost the same.
fn contents(order: &ChannelOrder) -> String {
    let line =
        |line: &ChannelLine| format!("{} {} × {}", line.code.trim(), line.quantity.normalize(), line.price.normalize());
    let mut lines: Vec<String> = order.lines.iter().map(line).collect();
    lines.sort();
    format!("{}; discount {}; fee {}", lines.join(", "), order.discount.normalize(), order.fee.normalize())
}

/// Adds what was noted of a payment to what became of the order.
pub fn with_note(outcome: Outcome, note: Option<(&'static str, String)>) -> Outcome {
    match (outcome, note) {
        (Outcome::Done { code, reason }, Some((_, note))) => {
            Outcome::Done { code, reason: format!("{reason}; {note}") }
        }
        (Outcome::Skipped { .. }, Some(("paid", note))) => Outcome::Done { code: "paid", reason: note },
        (Outcome::Skipped { reason, .. }, Some((code, note))) => {
            Outcome::Skipped { code, reason: format!("{reason}; {note}") }
        }
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link::new("mau-web1", LinkKind::Order, "700", "900", "#1001")
    }

    #[test]
    fn what_was_written_of_an_order_meanwhile_is_kept() {
        let mut known = Link { sapo_state: Some("finalized".into()), pushed: Some("lines".into()), ..link() };
        (known.channel_state, known.paid) = (Some("open".into()), 1);
        // As its echo finds it: an older state, nothing of its lines, and still to be approved.
        let mut echo = Link { sapo_state: Some("draft".into()), total: Some("5".into()), ..link() };
        echo.fail(TO_BE_APPROVED, "");
        join(&mut echo, known.clone());
        assert_eq!(echo, Link { total: Some("5".into()), ..known.clone() });
        let mut wrong = link();
        wrong.fail("total_mismatch", "");
        join(&mut wrong, known);
        assert_eq!((wrong.code.as_deref(), wrong.sapo_state.as_deref()), (Some("total_mismatch"), Some("finalized")));
    }
}
