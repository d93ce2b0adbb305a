//! Orders, Sapo Web → POS: created once, then only approved where that is set, paid, or cancelled.

use crate::destination::{CallError, web};
use crate::domain::event::System;
use crate::domain::linking::GONE_ON_CHANNEL;
use crate::domain::money::Vnd;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::sku::Sku;
use crate::domain::web::{WebLine, WebOrder};
use crate::map::abaha::order::ResolvedPosLine;
use crate::map::abaha::stage::PosStage;
use crate::map::web::order;
use crate::map::web::status::{self, Asked, WebStage};
use crate::observe::crash;
use crate::store::channel_orders::ChannelOrderState;
use crate::store::links::{Link, LinkKind};
use crate::work::context::{Halt, Run, outcome_of};
use crate::work::pos_order::{self, Sent, TO_BE_APPROVED, ToSend, lines_changed, with_note};
use crate::work::process::{Current, current};
use crate::work::{chosen, create};

use super::{buyer, payment};

/// Why an order is not sent that came while the switch was off.
pub const SWITCH_OFF: &str = "switch_off";

/// Why an order is shown in error of which the web cannot be asked or told as things are set up.
const STATUS_BACK: &str = "status_back";

/// The cause key of what waits for the link of a web's variant: its id, for a SKU may be blank or change meanwhile.
pub fn variant_key(variant_id: &str) -> String {
    format!("variant:{variant_id}")
}

/// Makes the POS's order follow the web's.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    let order = match current(run, web::wire::order, |order| order.version, run.web()?.order(id)).await? {
        Current::Is(order) => order,
        Current::Gone => return gone(run).await,
    };
    let outcome = match follow_or_create(run, &order).await {
        Ok(outcome) | Err(Halt::Outcome(outcome)) => outcome,
        Err(Halt::Call(error)) => outcome_of(error),
        Err(halt @ Halt::Store(_)) => return Err(halt),
    };
    show(run, &order.id, &order.name, &outcome).await?;
    Ok(outcome)
}

async fn follow_or_create(run: &Run<'_>, order: &WebOrder) -> Result<Outcome, Halt> {
    if order.test {
        return Ok(Outcome::skipped("test_order", "a trial order (test) is never created on the POS"));
    }
    let stage = WebStage::of(order);
    match run.store().link_by_channel(run.name(), LinkKind::Order, &order.id).await? {
        Some(link) => follow(run, order, &stage, link).await,
        None => create_order(run, order, &stage).await,
    }
}

async fn gone(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    let Some(link) = run.store().link_by_channel(run.name(), LinkKind::Order, id).await? else {
        let outcome = Outcome::skipped("gone", "the order is not on the web any more and was never linked");
        // Where the owner saw it waiting or in error, nothing of that will go any more.
        if let Some(seen) = run.store().channel_order(run.name(), id).await? {
            show(run, id, &seen.name, &outcome).await?;
        }
        return Ok(outcome);
    };
    let reason = "the order is not on the web any more; nothing is cancelled on a guess: look at it on the POS";
    if !run.dry {
        run.store().set_link_error(&link, Some((GONE_ON_CHANNEL, reason))).await?;
    }
    let outcome = Outcome::done(GONE_ON_CHANNEL, reason);
    show(run, id, &link.natural_key, &outcome).await?;
    Ok(outcome)
}

/// Whether the order was left out while the switch was off: the shop may have typed it in by itself since then.
async fn was_left_out(run: &Run<'_>, order: &WebOrder) -> Result<bool, Halt> {
    let seen = run.store().channel_order(run.name(), &order.id).await?;
    Ok(seen.is_some_and(|seen| seen.is_left_out(SWITCH_OFF))
        && !create::is_unknown(run, &pos_order::intent_key(run, &order.name)).await?)
}

async fn create_order(run: &Run<'_>, order: &WebOrder, stage: &WebStage) -> Result<Outcome, Halt> {
    let connection = run.connection();
    let settings = &connection.settings;
    // Neither switch nor start line holds what the owner sends by hand.
    let by_hand = run.event.is_by_hand();
    if !settings.orders && !by_hand {
        return Ok(Outcome::skipped(
            SWITCH_OFF,
            "the switch for orders (Đơn hàng) is off for this connection: the order goes by hand only",
        ));
    }
    if !by_hand && was_left_out(run, order).await? {
        return Ok(Outcome::skipped(
            SWITCH_OFF,
            "the order came while the switch for orders (Đơn hàng) was off: it goes by hand only",
        ));
    }
    // Cancelled after an attempt whose outcome is not known: what that made is found, and cancelled too.
    let refused = status::may_be_created(stage).err().map(leave_alone);
    if let Some(outcome) = &refused
        && !create::is_unknown(run, &pos_order::intent_key(run, &order.name)).await?
    {
        return Ok(outcome.clone());
    }
    if order.created_at.unwrap_or(run.event.received_at) < connection.start_line() && !by_hand {
        return Ok(Outcome::skipped(
            "before_start_line",
            "the order was made before the connection was activated (orders_from moves that line)",
        ));
    }
    let total = order::check(order).map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let lines = resolve_lines(run, order).await?;
    let branch = chosen::branch(run).await?;
    run.step("decided", format!("create one order on the POS for {}, total {}", order.name, Vnd(total)));
    let customer = buyer::customer(run, order).await?;
    let new = order::to_pos(order, &lines, customer, connection.tag(), settings, branch)
        .map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let (carried, phone, is_refused) = (order::carried(order), order::phone(order), refused.is_some());
    let stage_word = stage.as_word();
    let to_send = ToSend { order: &carried, new: &new, stage: &stage_word, phone: phone.as_ref(), refused };
    let sent = pos_order::send(run, to_send).await?;
    if is_refused {
        return follow(run, order, stage, sent.link).await;
    }
    let outcome = match (&sent.link.code, &sent.link.reason) {
        (Some(code), Some(reason)) if code != TO_BE_APPROVED => Outcome::done("created_in_error", reason.clone()),
        _ => sent.outcome(),
    };
    let Sent { link, .. } = sent;
    // What keeps the payment from being recorded is told, and keeps nothing else from being done.
    let paid = payment::pay(run, order, &link).await;
    let approved = approve(run, &link).await?;
    Ok(with_note(with_note(outcome, approved), paid?))
}

/// Finds the POS variant of every line by its link: the ids are the link, and the SKU is only what people know it by.
/// One line without a link holds the order as a whole.
async fn resolve_lines(run: &Run<'_>, order: &WebOrder) -> Result<Vec<ResolvedPosLine>, Halt> {
    let mut resolved = Vec::with_capacity(order.lines.len());
    let mut missing: Vec<&WebLine> = Vec::new();
    for line in &order.lines {
        let Some(variant) = &line.variant_id else { continue };
        match run.store().link_by_channel(run.name(), LinkKind::Product, variant).await? {
            Some(link) if !link.is_deleted() => {
                resolved.push(ResolvedPosLine { variant_id: link.sapo_id, product_id: link.sapo_parent });
            }
            _ => missing.push(line),
        }
    }
    let Some(first) = missing.first() else { return Ok(resolved) };
    let named: Vec<String> = missing
        .iter()
        .map(|line| match Sku::new(&line.sku) {
            Some(sku) => format!("SKU {sku}"),
            None => format!("{:?} (no SKU)", line.name),
        })
        .collect();
    let reason = format!(
        "no link for {}; nothing is created until every line is linked (Liên kết), then it goes by itself",
        named.join(", ")
    );
    let wakes = variant_key(first.variant_id.as_deref().unwrap_or_default());
    Err(Outcome::parked(Cause::UnlinkedProduct, Some(wakes), reason).into())
}

/// Follows a linked order: cancel, pay, and approve what was to be approved at once; never pack or ship, and never
/// change lines.
async fn follow(run: &Run<'_>, order: &WebOrder, stage: &WebStage, link: Link) -> Result<Outcome, Halt> {
    if !run.connection().settings.orders && !run.event.is_by_hand() {
        return Ok(Outcome::skipped(SWITCH_OFF, "the switch for orders (Đơn hàng) is off for this connection"));
    }
    let there = match link.sapo_state.as_deref().and_then(PosStage::from_word) {
        Some(there) if !run.event.force => there,
        _ => PosStage::of(&run.omni.order(&link.sapo_id).await?),
    };
    let asked = status::to_pos(stage, &there);
    run.step("decided", format!("{stage:?} on the web, {there:?} on the POS: {}", asked.code()));
    if asked == Asked::Cancel {
        pos_order::cancel(run, &link, &stage.as_word()).await?;
        if link.code.as_deref() == Some(TO_BE_APPROVED) && !run.dry {
            run.store().set_link_error(&link, None).await?;
        }
        return Ok(Outcome::done("cancelled", "cancelled (Hủy) on the POS"));
    }
    pos_order::remember(run, &link, None, &stage.as_word()).await?;
    let holds = matches!(asked.code(), "unknown_status" | "finished");
    if holds || matches!(stage, WebStage::Cancelled | WebStage::Returned) {
        return Ok(leave_alone(asked));
    }
    let changed = lines_changed(run, &order::carried(order), &link).await?;
    let paid = payment::pay(run, order, &link).await;
    let outcome = match changed {
        Some(reason) => Outcome::done("order_changed", reason),
        None => with_approval(leave_alone(asked), approve(run, &link).await?),
    };
    Ok(with_note(outcome, paid?))
}

fn with_approval(outcome: Outcome, approved: Option<(&'static str, String)>) -> Outcome {
    match approved {
        Some((code, reason)) => Outcome::done(code, reason),
        None => outcome,
    }
}

/// Approves (Duyệt) an order that was to be approved at once; until that is done its link says so, whatever crashes.
async fn approve(run: &Run<'_>, link: &Link) -> Result<Option<(&'static str, String)>, Halt> {
    if link.code.as_deref() != Some(TO_BE_APPROVED) {
        return Ok(None);
    }
    if link.sapo_state.as_deref().and_then(PosStage::from_word) == Some(PosStage::Draft) {
        crash::point("before_approval");
        match chosen::at_branch(run).await?.finalize_order(&link.sapo_id).await {
            Ok(()) | Err(CallError::AlreadySo { .. }) => {}
            Err(error) => {
                let halt = chosen::judge(run, error.into(), &[]).await;
                if let Some(why) = refusal(&halt) {
                    let reason = format!("the order is on the POS, which refuses to approve (Duyệt) it: {why}");
                    run.store().set_link_error(link, Some((TO_BE_APPROVED, &reason))).await?;
                }
                return Err(halt);
            }
        }
        crash::point("approved");
        if !run.dry {
            let approved = PosStage::Finalized.as_word();
            run.store().set_order_states(run.name(), &link.sapo_id, Some(&approved), None).await?;
        }
    }
    if !run.dry {
        run.store().set_link_error(link, None).await?;
    }
    pos_order::release(run, &link.sapo_id).await?;
    Ok(Some(("approved", "approved (Duyệt) on the POS".to_owned())))
}

/// Why the POS does not do what it was asked, where it said so.
fn refusal(halt: &Halt) -> Option<&str> {
    match halt {
        Halt::Outcome(outcome) => Some(outcome.reason()),
        Halt::Call(CallError::Refused { message, .. }) => Some(message),
        Halt::Call(_) | Halt::Store(_) => None,
    }
}

/// What a stage that asks for no call leaves behind.
pub fn leave_alone(asked: Asked) -> Outcome {
    match asked {
        Asked::Nothing { code, reason } => Outcome::Skipped { code, reason },
        // Callers take care of these two before.
        Asked::Cancel | Asked::Fulfil => Outcome::skipped("unchanged", "nothing to do"),
    }
}

/// Writes down what the owner sees of an order (Đơn hàng đồng bộ). What only waits for its turn changes nothing.
pub async fn show(run: &Run<'_>, order_id: &str, name: &str, outcome: &Outcome) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let link = run.store().link_by_channel(run.name(), LinkKind::Order, order_id).await?;
    let (state, code, reason) = match (&link, outcome) {
        (Some(Link { code: Some(code), reason: Some(reason), .. }), _) => {
            (ChannelOrderState::Error, code.as_str(), reason.clone())
        }
        (_, Outcome::Dead { code, reason, .. }) | (None, Outcome::Failing { code, reason, .. }) => {
            (ChannelOrderState::Error, *code, reason.clone())
        }
        // What was asked of one that is on the POS waits for the owner as well.
        (_, Outcome::Parked { cause: Cause::Setup, reason, .. }) => {
            if run.event.key.source == System::Omni {
                let reason = format!("it is on the POS; what becomes of it there does not reach the web: {reason}");
                (ChannelOrderState::Error, STATUS_BACK, reason)
            } else {
                (ChannelOrderState::Error, Cause::Setup.as_str(), reason.clone())
            }
        }
        (Some(link), _) => (ChannelOrderState::Linked, "linked", format!("on the POS, id {}", link.sapo_id)),
        (None, Outcome::Skipped { code, reason }) => (ChannelOrderState::Unlinked, *code, reason.clone()),
        (None, Outcome::Parked { cause, reason, .. }) => match cause {
            Cause::UnlinkedProduct | Cause::Ambiguous => (ChannelOrderState::Error, cause.as_str(), reason.clone()),
            _ => return Ok(()),
        },
        (None, Outcome::Done { .. }) => return Ok(()),
    };
    let unless =
        if state == ChannelOrderState::Linked { still_waiting(run.event.key.source, outcome) } else { [""; 2] };
    Ok(run.store().put_channel_order((run.name(), order_id, name), state, (code, &reason), unless).await?)
}

/// What the owner goes on seeing of a linked order though an event of this side leaves nothing to be told: the wait of
/// the other side's event for other settings, which is looked at again by itself; and that of its own as long as it only
/// waits for its turn.
fn still_waiting(source: System, outcome: &Outcome) -> [&'static str; 2] {
    let (own, other) = match source {
        System::Omni => (STATUS_BACK, Cause::Setup.as_str()),
        System::Abaha | System::Web => (Cause::Setup.as_str(), STATUS_BACK),
    };
    let waits = matches!(outcome, Outcome::Parked { .. } | Outcome::Failing { .. });
    [other, if waits { own } else { "" }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_of_one_side_ends_its_own_wait_for_settings_and_never_the_others() {
        let done = Outcome::done("status_set", "shipped");
        let skipped = Outcome::skipped("same_class", "nothing");
        let turn = Outcome::parked(Cause::Throttled, None, "later");
        for outcome in [&done, &skipped] {
            assert_eq!(still_waiting(System::Omni, outcome), ["setup", ""]);
            assert_eq!(still_waiting(System::Web, outcome), ["status_back", ""]);
        }
        assert_eq!(still_waiting(System::Omni, &turn), ["setup", "status_back"]);
        assert_eq!(still_waiting(System::Web, &turn), ["status_back", "setup"]);
    }
}
