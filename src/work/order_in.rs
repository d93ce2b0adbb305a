//! Orders, channel → POS: created once, then only paid or cancelled.

use rust_decimal::Decimal;

use super::context::{Halt, Run};
use super::create::{self, pending_key};
use super::pos_order::{self, ToSend, fingerprint, lines_changed, with_note};
use super::process::{Current, current};
use super::{buyer, chosen, marks, payment};
use crate::destination::abaha;
use crate::domain::event::System;
use crate::domain::linking::GONE_ON_CHANNEL;
use crate::domain::money::Vnd;
use crate::domain::order::ChannelOrder;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::domain::sku::Sku;
use crate::map::abaha::gates;
use crate::map::abaha::order::{ResolvedPosLine, check_channel_order, reference, to_pos};
use crate::map::abaha::stage::{ChannelStage, PosStage};
use crate::map::abaha::status::{self, Decision};
use crate::store::intents::{Intent, IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};

/// The mark that our orders carry on Abaha, beside `pos_id`.
pub const POS_TYPE: &str = "sapopos";

/// Makes the POS's order follow the channel's.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    let order = match current(run, abaha::wire::order, |order| order.version, run.abaha()?.order(id)).await? {
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
    if !run.dry {
        run.store().set_link_error(&link, Some((GONE_ON_CHANNEL, reason))).await?;
    }
    Ok(Outcome::done(GONE_ON_CHANNEL, reason))
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
        if intent.is_none() {
            // Made before this database knew of it, which has not heard either what became of Sapo's order since.
            marks::read_anew(run, System::Omni, pos_id);
        }
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
        // Where the answer to our call was faster, what is known since then may be newer than this echo.
        return match create::record_first(run, &mut link, Some(&key), &[]).await? {
            Some(known) => follow(run, order, stage, known).await.map(Some),
            None => Ok(Some(Outcome::skipped("echo", "our own order; linked"))),
        };
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
    if let Some(outcome) = &refused
        && !create::is_unknown(run, &pos_order::intent_key(run, &reference(order))).await?
    {
        return Ok(outcome.clone());
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
    let branch = chosen::branch(run).await?;
    let phone = order.phone.as_deref().and_then(|text| Phone::parse(text).ok());
    run.step("decided", format!("create one draft order on Sapo for {}, total {}", reference(order), Vnd(total)));
    let customer = buyer::customer(run, order, phone.as_ref()).await?;
    let new = to_pos(order, &lines, customer, phone.as_ref(), connection.tag(), settings, branch)
        .map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let is_refused = refused.is_some();
    let to_send = ToSend { order, new: &new, stage: &stage.as_word(), phone: phone.as_ref(), refused };
    let sent = pos_order::send(run, to_send).await?;
    if is_refused {
        return follow(run, order, stage, sent.link).await;
    }
    let outcome = match &sent.link.reason {
        Some(reason) => Outcome::done("created_in_error", reason.clone()),
        None => sent.outcome(),
    };
    let paid = payment::pay(run, order, &sent.link).await?;
    Ok(with_note(outcome, paid))
}

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
            pos_order::cancel(run, &link, &stage.as_word()).await?;
            return Ok(Outcome::done("cancelled", "cancelled (Hủy) on Sapo"));
        }
        other => leave_alone(other),
    };
    let changed = lines_changed(run, order, &link).await?;
    pos_order::remember(run, &link, None, &stage.as_word()).await?;
    let paid = payment::pay(run, order, &link).await?;
    let outcome = match (&outcome, changed) {
        (Outcome::Skipped { .. }, Some(reason)) => Outcome::done("order_changed", reason),
        _ => outcome,
    };
    Ok(with_note(outcome, paid))
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
