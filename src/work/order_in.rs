//! Orders, channel → POS: created once, then only paid or cancelled.

use rust_decimal::Decimal;

use super::context::{Halt, Run};
use super::create::{self, Created, Creation, pending_key};
use super::process::{Current, current};
use super::{buyer, payment, products};
use crate::destination::omni::client::PageQuery;
use crate::destination::{CallError, abaha};
use crate::domain::clock::millis;
use crate::domain::money::Vnd;
use crate::domain::order::{ChannelLine, ChannelOrder, NewPosOrder, PosOrder};
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::domain::sku::Sku;
use crate::map::abaha::gates;
use crate::map::abaha::order::{ResolvedPosLine, check_channel_order, reference, to_pos};
use crate::map::abaha::stage::{ChannelStage, PosStage};
use crate::map::abaha::status::{self, Decision};
use crate::observe::crash;
use crate::store::intents::{Intent, IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};

/// The mark that our orders carry on Abaha, beside `pos_id`.
pub const POS_TYPE: &str = "sapopos";

/// Makes the POS's order follow the channel's.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    let order = match current(run, abaha::wire::order, |order| order.version, run.abaha.order(id)).await? {
        Current::Is(order) => order,
        Current::Gone => return gone(run).await,
    };
    let stage = ChannelStage::of(&order, run.connection().settings.returned_code);
    if let Some(link) = run.store().link_by_channel(run.name(), LinkKind::Order, id).await? {
        return follow(run, &order, stage, link).await;
    }
    if let Some(outcome) = own_echo(run, &order, stage).await? {
        return Ok(outcome);
    }
    // An intent that was completed after the first look has left its link: looked at in this order, none is missed.
    match run.store().link_by_channel(run.name(), LinkKind::Order, id).await? {
        Some(link) => follow(run, &order, stage, link).await,
        None => create_order(run, &order, stage).await,
    }
}

async fn gone(run: &Run<'_>) -> Result<Outcome, Halt> {
    let Some(link) = run.store().link_by_channel(run.name(), LinkKind::Order, &run.event.key.object_id).await? else {
        return Ok(Outcome::skipped("gone", "the order is not on the channel any more and was never linked"));
    };
    let reason = "the order is not on the channel any more; nothing is cancelled on a guess: look at it on Sapo";
    run.store().set_link_error(&link, Some(("deleted", reason))).await?;
    Ok(Outcome::done("deleted", reason))
}

/// An order that we made there ourselves, heard of before or without the answer to our call.
async fn own_echo(run: &Run<'_>, order: &ChannelOrder, stage: ChannelStage) -> Result<Option<Outcome>, Halt> {
    let account = run.connection().channel_account();
    if let (Some(pos_id), Some(POS_TYPE)) = (&order.pos_id, order.pos_type.as_deref()) {
        let key = IntentKey { account, kind: IntentKind::Order, natural_key: pos_id.clone() };
        let known = run.store().link_by_sapo(run.name(), LinkKind::Order, pos_id).await?;
        if let Some(other) = known {
            if other.channel_id == order.id {
                return follow(run, order, stage, other).await.map(Some);
            }
            let reason = format!(
                "two orders on the channel carry the mark of Sapo order {pos_id}: {} and {}; cancel one of them by hand",
                other.channel_id, order.id
            );
            run.store().set_link_error(&other, Some(("two_objects_one_mark", &reason))).await?;
            return Ok(Some(Outcome::dead("two_objects_one_mark", reason)));
        }
        let intent = run.store().intent(&key.account, key.kind, &key.natural_key).await?;
        let expected = intent.and_then(|intent| intent.fingerprint?.split('|').next()?.parse::<Decimal>().ok());
        let mut link = Link::new(run.name(), LinkKind::Order, pos_id, &order.id, &reference(order));
        link.channel_state = Some(stage.as_word().into_owned());
        let there = check_channel_order(order).ok();
        link.total = expected.or(there).map(|total| total.normalize().to_string());
        if let (Some(expected), Some(there)) = (expected, there)
            && expected != there
        {
            link.fail(
                "total_mismatch",
                format!("Sapo's total is {}, Abaha made it {}; it is not created again", Vnd(expected), Vnd(there)),
            );
        }
        create::record_link(run, &mut link, Some(&key), &[]).await?;
        return Ok(Some(Outcome::skipped("echo", "our own order; linked")));
    }
    let mark = fingerprint_of(order);
    let waiting = run.store().open_intents(&account, IntentKind::Order).await?;
    let candidates: Vec<&Intent> = waiting
        .iter()
        .filter(|intent| intent.connection == run.name() && intent.fingerprint == mark && mark.is_some())
        .collect();
    match candidates.as_slice() {
        [] => Ok(None),
        [one] => {
            let key = IntentKey { account, kind: IntentKind::Order, natural_key: one.natural_key.clone() };
            let reason = format!(
                "it may be the order that is being made for Sapo order {}; it waits until that is known",
                one.source_id
            );
            let due = run.context.clock.after(run.context.settle_after.min(run.context.recheck));
            Err(Outcome::Parked {
                cause: Cause::IntentPending,
                cause_key: Some(pending_key(&key)),
                reason,
                due: Some(due),
            }
            .into())
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|intent| intent.source_id.as_str()).collect();
            let reason = format!(
                "it may be the order made for any of the Sapo orders {}; it waits until they are known",
                ids.join(", ")
            );
            Err(Outcome::parked(Cause::Ambiguous, None, reason).into())
        }
    }
}

/// What identifies an order beside its mark: total and phone.
pub fn fingerprint(total: Decimal, phone: Option<&Phone>) -> String {
    format!("{}|{}", total.normalize(), phone.map_or("", Phone::as_e164))
}

fn fingerprint_of(order: &ChannelOrder) -> Option<String> {
    let phone = order.phone.as_deref().and_then(|text| Phone::parse(text).ok());
    check_channel_order(order).ok().map(|total| fingerprint(total, phone.as_ref()))
}

async fn create_order(run: &Run<'_>, order: &ChannelOrder, stage: ChannelStage) -> Result<Outcome, Halt> {
    let connection = run.connection();
    let settings = &connection.settings;
    if let Err(missing) = gates::to_pos(settings.into()) {
        return Ok(Outcome::skipped(missing.code(), missing.reason()));
    }
    // Cancelled after an attempt whose outcome is not known: what that made is found, and cancelled too.
    let refused = status::may_be_created(&stage).err().map(leave_alone);
    if let Some(outcome) = &refused {
        let natural_key = order_key(&connection.name, &reference(order));
        let key = IntentKey { account: connection.store_account(), kind: IntentKind::Order, natural_key };
        if !create::is_unknown(run, &key).await? {
            return Ok(outcome.clone());
        }
    }
    let created_at = order.created_at.unwrap_or(run.event.received_at);
    if created_at < connection.start_line() {
        return Ok(Outcome::skipped(
            "before_start_line",
            "the order was made before the connection was activated (orders_from moves that line)",
        ));
    }
    let total = check_channel_order(order).map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let lines = resolve_lines(run, order).await?;
    let branch = match settings.branch {
        Some(branch) => branch,
        None => products::default_branch(run).await?.ok_or_else(|| {
            Outcome::parked(
                Cause::Setup,
                None,
                "no branch (Chi nhánh) is chosen for the channel's orders; set `branch`",
            )
        })?,
    };
    let phone = order.phone.as_deref().and_then(|text| Phone::parse(text).ok());
    run.step("decided", format!("create one draft order on Sapo for {}, total {}", reference(order), Vnd(total)));
    let customer = buyer::customer(run, order, phone.as_ref()).await?;
    let new = to_pos(order, &lines, customer, phone.as_ref(), connection.tag(), settings, branch)
        .map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let is_refused = refused.is_some();
    let link = send(run, order, &new, stage, phone.as_ref(), refused).await?;
    if is_refused {
        return follow(run, order, stage, link).await;
    }
    let outcome = if link.code.is_some() {
        Outcome::done("created_in_error", link.reason.clone().unwrap_or_default())
    } else {
        Outcome::done("created", format!("created on Sapo as a draft (Đặt hàng), id {}", link.sapo_id))
    };
    let paid = payment::pay(run, order, &link).await?;
    Ok(with_note(outcome, paid))
}

/// Sends the order, once, and records the link before anything else is done.
async fn send(
    run: &Run<'_>,
    order: &ChannelOrder,
    new: &NewPosOrder,
    stage: ChannelStage,
    phone: Option<&Phone>,
    refused: Option<Outcome>,
) -> Result<Link, Halt> {
    let connection = run.connection();
    let key = IntentKey {
        account: connection.store_account(),
        kind: IntentKind::Order,
        natural_key: order_key(&connection.name, &new.reference),
    };
    let print = fingerprint(new.total, phone);
    let creation = Creation { key: &key, source_id: &order.id, fingerprint: Some(&print), refused };
    let created = create::once(run, &creation, look_up(run, &key, new), run.omni.create_order(new)).await?;
    let there = match created {
        Created::Now(order) | Created::Found(order) => order,
        Created::Before(id) => run.omni.order(&id).await?,
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
    // Where its echo was faster, what is known since then is newer than this answer.
    let mut link = known.unwrap_or_else(|| {
        let state = PosStage::of(&there).as_word().into_owned();
        Link {
            sapo_state: Some(state),
            ..Link::new(&connection.name, LinkKind::Order, &there.id, &order.id, &new.reference)
        }
    });
    link.channel_state = Some(stage.as_word().into_owned());
    link.total = Some(new.total.normalize().to_string());
    link.pushed = Some(contents(order));
    if there.total.is_some_and(|total| total != new.total) {
        let answered = there.total.unwrap_or_default();
        link.fail(
            "total_mismatch",
            format!(
                "the channel's total is {}, Sapo made it {}; the order stays linked and is not created again",
                Vnd(new.total),
                Vnd(answered)
            ),
        );
    }
    create::record_link(run, &mut link, Some(&key), &[]).await?;
    Ok(link)
}

/// The natural key of an order made on the POS for a connection: every channel has a `#1001`.
pub fn order_key(connection: &str, reference: &str) -> String {
    format!("{connection}/{reference}")
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
            let ids: Vec<&str> = found.iter().map(|order| order.id.as_str()).collect();
            Err(Outcome::dead(
                "two_objects_one_mark",
                format!(
                    "Sapo orders {} carry the mark of {}; cancel all but one by hand",
                    ids.join(", "),
                    new.reference
                ),
            )
            .into())
        }
    }
}

/// Clocks of two machines differ; a window that is looked at for an order made just now is so much wider.
pub const MARGIN: std::time::Duration = std::time::Duration::from_mins(15);

/// Finds the variant of every line: by its link's id first, by its SKU second. One line without a link holds the
/// order as a whole.
async fn resolve_lines(run: &Run<'_>, order: &ChannelOrder) -> Result<Vec<ResolvedPosLine>, Halt> {
    let mut resolved = Vec::with_capacity(order.lines.len());
    let mut missing: Vec<String> = Vec::new();
    for line in &order.lines {
        let mut link = None;
        if let Some(id) = &line.product_id {
            link = run.store().link_by_channel(run.name(), LinkKind::Product, id).await?;
        }
        let sku = Sku::new(&line.code);
        if let (None, Some(sku)) = (&link, &sku) {
            let mut links = run.store().links_by_key(run.name(), LinkKind::Product, sku.as_str()).await?;
            link = if links.len() == 1 { links.pop() } else { None };
        }
        match (link, sku) {
            (Some(link), _) => {
                resolved.push(ResolvedPosLine { variant_id: link.sapo_id, product_id: link.sapo_parent });
            }
            (None, Some(sku)) => missing.push(sku.to_string()),
            (None, None) => {
                return Err(Outcome::dead(
                    "free_form_line",
                    format!("line {:?} has no product; Sapo needs one for every line", line.name),
                )
                .into());
            }
        }
    }
    match missing.first() {
        None => Ok(resolved),
        Some(first) => {
            let reason = format!(
                "no link for SKU {}; nothing is created until every line is linked (push or import the product), then it goes by itself",
                missing.join(", ")
            );
            Err(Outcome::parked(Cause::UnlinkedProduct, Some(format!("sku:{first}")), reason).into())
        }
    }
}

/// Follows a linked order: cancel and pay; never approve, pack or ship, and never change lines.
async fn follow(run: &Run<'_>, order: &ChannelOrder, stage: ChannelStage, link: Link) -> Result<Outcome, Halt> {
    if !run.connection().settings.orders {
        return Ok(Outcome::skipped("switch_off", "the switch for orders (Đơn hàng) is off for this connection"));
    }
    let there = match link.sapo_state.as_deref().and_then(PosStage::from_word) {
        Some(there) if !run.event.force => there,
        _ => PosStage::of(&run.omni.order(&link.sapo_id).await?),
    };
    let decision = status::to_pos(&stage, &there);
    run.step("decided", format!("{stage:?} on the channel, {there:?} on Sapo: {}", decision.code()));
    let outcome = match decision {
        Decision::Cancel => {
            // Known before the call, so that the echo of the cancellation, which may come first, finds it so.
            remember(run, &link, None, stage).await?;
            crash::point("before_cancel");
            match run.omni.cancel_order(&link.sapo_id).await {
                Ok(()) | Err(CallError::AlreadySo { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            crash::point("cancelled");
            remember(run, &link, Some(&PosStage::Cancelled), stage).await?;
            return Ok(Outcome::done("cancelled", "cancelled (Hủy) on Sapo"));
        }
        other => leave_alone(other),
    };
    let changed = lines_changed(run, order, &link).await?;
    remember(run, &link, None, stage).await?;
    let paid = payment::pay(run, order, &link).await?;
    let outcome = match (&outcome, changed) {
        (Outcome::Skipped { .. }, Some(reason)) => Outcome::done("order_changed", reason),
        _ => outcome,
    };
    Ok(with_note(outcome, paid))
}

async fn remember(run: &Run<'_>, link: &Link, sapo: Option<&PosStage>, stage: ChannelStage) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let sapo = sapo.map(PosStage::as_word);
    Ok(run.store().set_order_states(run.name(), &link.sapo_id, sapo.as_deref(), Some(&stage.as_word())).await?)
}

/// Lines or fee changed on the channel after creation: Sapo cannot change items, so both totals are shown.
async fn lines_changed(run: &Run<'_>, order: &ChannelOrder, link: &Link) -> Result<Option<String>, Halt> {
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
                run.store().set_link_error(link, Some(("order_changed", &reason))).await?;
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

/// What a decision that calls nothing leaves behind.
pub fn leave_alone(decision: Decision) -> Outcome {
    match decision {
        Decision::Nothing { code, reason } | Decision::Hold { code, reason } | Decision::Note { code, reason } => {
            Outcome::Skipped { code, reason }
        }
        // Callers take care of these two before.
        Decision::SetStatus(_) | Decision::Cancel => Outcome::skipped("unchanged", "nothing to do"),
    }
}

fn with_note(outcome: Outcome, note: Option<(&'static str, String)>) -> Outcome {
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
