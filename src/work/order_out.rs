//! Orders, POS → channel: created once where the gates allow it, then their stage follows.

use super::context::{Halt, Run};
use super::create::{self, Created, Creation};
use super::order_in::leave_alone;
use super::pos_order::{self, Adopted, MARGIN, fingerprint};
use super::process::{Current, current};
use super::{customers, marks, products};
use crate::destination::abaha::client::OrderQuery;
use crate::destination::omni;
use crate::domain::clock::millis;
use crate::domain::customer::PosCustomer;
use crate::domain::event::System;
use crate::domain::money::Vnd;
use crate::domain::order::{ChannelOrder, NewChannelOrder, PosOrder};
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::map::abaha::customer::of_order;
use crate::map::abaha::gates;
use crate::map::abaha::order::{ResolvedChannelLine, check_channel_order, check_pos_order, to_channel};
use crate::map::abaha::stage::{ChannelStage, PosStage};
use crate::map::abaha::status::{self, Decision};
use crate::observe::crash;
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};

/// Makes the channel's order follow the POS's.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    if run.event.topic.starts_with("order_returns/") || run.event.topic.starts_with("refunds/") {
        run.step("read", "a return slip changed; its order is read");
    }
    let order = match current(run, omni::wire::order, |order| order.version, run.omni.order(id)).await? {
        Current::Is(order) => order,
        Current::Gone => return gone(run).await,
    };
    let stage = PosStage::of(&order);
    match run.store().link_by_sapo(run.name(), LinkKind::Order, id).await? {
        Some(link) => follow(run, &stage, link).await,
        None if order.tags.contains(&run.connection().tag()) => own_echo(run, &order, &stage).await,
        None => create_order(run, &order, &stage).await,
    }
}

async fn gone(run: &Run<'_>) -> Result<Outcome, Halt> {
    let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Order, &run.event.key.object_id).await? else {
        return Ok(Outcome::skipped("gone", "the order is not on Sapo any more and was never linked"));
    };
    let reason = "the order is not on Sapo any more; nothing is cancelled on a guess: look at it on the channel";
    if !run.dry {
        run.store().set_link_error(&link, Some(("deleted", reason))).await?;
    }
    pos_order::release(run, &link.sapo_id).await?;
    Ok(Outcome::done("deleted", reason))
}

/// An order that we made on the POS ourselves.
async fn own_echo(run: &Run<'_>, order: &PosOrder, stage: &PosStage) -> Result<Outcome, Halt> {
    match pos_order::adopt(run, order).await? {
        Adopted::Known(link) => follow(run, stage, link).await,
        // Heard of only now that it is more than made: that has not gone to the channel yet.
        Adopted::Now(link) if *stage != PosStage::Draft => follow(run, stage, link).await,
        Adopted::Now(_) => Ok(Outcome::skipped("echo", "our own order; linked")),
        Adopted::Not(outcome) => Ok(outcome),
    }
}

async fn create_order(run: &Run<'_>, order: &PosOrder, stage: &PosStage) -> Result<Outcome, Halt> {
    let connection = run.connection();
    let settings = &connection.settings;
    if !settings.orders {
        return Ok(Outcome::skipped(
            "switch_off",
            "Chưa bật đồng bộ: Đơn hàng / the switch for orders is off for this connection",
        ));
    }
    // Cancelled after an attempt whose outcome is not known: what that made is found, and cancelled too.
    let (code, refused) = match status::first_status(settings.status_profile, stage) {
        Ok(code) => (code, None),
        Err(decision) if create::is_unknown(run, &key_of(run, order)).await? => (0, Some(leave_alone(decision))),
        Err(decision) => return Ok(leave_alone(decision)),
    };
    if order.created_at.unwrap_or(run.event.received_at) < connection.start_line() {
        return Ok(Outcome::skipped(
            "before_start_line",
            "the order was made before the connection was activated (orders_from moves that line)",
        ));
    }
    let Some((customer, phone)) = of_order(order) else {
        return Ok(Outcome::skipped(
            "no_phone",
            "khách không có số điện thoại: neither the customer nor the order has a usable phone number",
        ));
    };
    let sums = check_pos_order(order).map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    let lines = resolve(run, order, &customer, &phone).await?;
    let new =
        to_channel(order, &lines, &phone, code).map_err(|problem| Outcome::dead(problem.code(), problem.reason()))?;
    run.step("decided", format!("create one order on Abaha for {}, total {}", order.code, Vnd(sums.total)));
    let is_refused = refused.is_some();
    let (link, was_there) = send(run, order, &new, stage, &phone, refused).await?;
    if is_refused {
        return follow(run, stage, link).await;
    }
    if was_there {
        let linked = format!("it was on Abaha already, id {}, and is linked now", link.channel_id);
        return Ok(match follow(run, stage, link).await? {
            Outcome::Skipped { .. } => Outcome::done("linked", linked),
            other => other,
        });
    }
    Ok(match &link.reason {
        Some(reason) => Outcome::done("created_in_error", reason.clone()),
        None => Outcome::done("created", format!("created on Abaha, id {}", link.channel_id)),
    })
}

/// Evaluates the gates with what is known on the channel now, and pushes what is not, where they allow it.
async fn resolve(
    run: &Run<'_>,
    order: &PosOrder,
    customer: &PosCustomer,
    phone: &Phone,
) -> Result<Vec<ResolvedChannelLine>, Halt> {
    let mut there: Vec<Option<String>> = Vec::with_capacity(order.lines.len());
    for line in &order.lines {
        there.push(match &line.variant_id {
            Some(variant) => products::known(run, variant, line.product_id.as_deref(), &line.sku).await?,
            None => {
                return Err(Outcome::dead(
                    "free_form_line",
                    format!("line {:?} has no product; Abaha needs one for every line", line.name),
                )
                .into());
            }
        });
    }
    let customer_known = customers::known(run, &customer.id, phone).await?.is_some();
    let products_known = there.iter().all(Option::is_some);
    run.step("gates", format!("products known: {products_known}, customer known: {customer_known}"));
    if let Err(missing) = gates::to_channel((&run.connection().settings).into(), products_known, customer_known) {
        return Err(Outcome::skipped(missing.code(), missing.reason()).into());
    }
    let mut lines = Vec::with_capacity(there.len());
    for (line, known) in order.lines.iter().zip(there) {
        let id = match (known, &line.product_id, &line.variant_id) {
            (Some(id), ..) => Some(id),
            (None, Some(product), Some(variant)) => products::push_for_order(run, product, variant).await?,
            _ => None,
        };
        let Some(product_id) = id else {
            let reason = format!(
                "SKU {:?} is not on Abaha and cannot be pushed (no price, no SKU, or deleted); mend the product on Sapo, then it goes by itself",
                line.sku
            );
            return Err(
                Outcome::parked(Cause::UnlinkedProduct, Some(format!("sku:{}", line.sku.trim())), reason).into()
            );
        };
        // Abaha names a line by the code its product was linked under, whatever the SKU is called on Sapo since then.
        let linked = run.store().link_by_channel(run.name(), LinkKind::Product, &product_id).await?;
        let code = linked.map_or_else(|| line.sku.trim().to_owned(), |link| link.natural_key);
        lines.push(ResolvedChannelLine { product_id, code });
    }
    if !customer_known {
        customers::ensure(run, customer, phone).await?;
    }
    Ok(lines)
}

fn key_of(run: &Run<'_>, order: &PosOrder) -> IntentKey {
    let account = run.connection().channel_account();
    IntentKey { account, kind: IntentKind::Order, natural_key: order.id.clone() }
}

/// Sends the order, once, and tells whether it was there before this database knew of it.
async fn send(
    run: &Run<'_>,
    order: &PosOrder,
    new: &NewChannelOrder,
    stage: &PosStage,
    phone: &Phone,
    refused: Option<Outcome>,
) -> Result<(Link, bool), Halt> {
    let connection = run.connection();
    let key = key_of(run, order);
    let is_refused = refused.is_some();
    let before = marks::on_abaha(run, &key, order).await?;
    let was_there = before.is_some();
    let id = if let Some(id) = before {
        id
    } else {
        let print = fingerprint(new.total, Some(phone));
        let creation = Creation { key: &key, source_id: &order.id, fingerprint: Some(&print), refused };
        let created = create::once(run, &creation, look_up(run, &key, new), run.abaha()?.create_order(new)).await?;
        let (Created::Now(id) | Created::Found(id) | Created::Before(id)) = created;
        id
    };
    crash::point("order_answered");
    let mut link = Link::new(&connection.name, LinkKind::Order, &order.id, &id, &order.code);
    link.sapo_state = Some(stage.as_word().into_owned());
    // What was sent then is not known now: left open, it is read.
    link.channel_state = (!is_refused && !was_there)
        .then(|| ChannelStage::read(Some(new.status), None, connection.settings.returned_code).as_word().into_owned());
    link.total = Some(new.total.normalize().to_string());
    // Where its echo was faster, what is known since then is newer than this answer.
    let known = create::record_first(run, &mut link, Some(&key), &[]).await?;
    Ok((known.unwrap_or(link), was_there))
}

/// Finds the order that an earlier attempt made: by our mark, else (where Abaha did not keep it) by phone and total
/// among the new ones that are linked to nothing.
async fn look_up(run: &Run<'_>, key: &IntentKey, new: &NewChannelOrder) -> Result<Option<String>, Halt> {
    let since = run
        .store()
        .intent(&key.account, key.kind, &key.natural_key)
        .await?
        .map(|intent| intent.sent_at - millis(MARGIN));
    let mut query = OrderQuery { created_from: since, ..OrderQuery::default() };
    let mut alike: Vec<String> = Vec::new();
    let mut keeps_marks = false;
    loop {
        let page = run.abaha()?.orders(query).await?;
        let more = page.more();
        for there in page.into_values() {
            if there.pos_id.as_ref() == Some(&new.pos_id) {
                return Ok(Some(there.id));
            }
            keeps_marks |= there.pos_id.is_some();
            if there.pos_id.is_none()
                && is_alike(&there, new)
                && run.store().link_by_channel(run.name(), LinkKind::Order, &there.id).await?.is_none()
            {
                alike.push(there.id);
            }
        }
        if !more {
            break;
        }
        query.page += 1;
    }
    match alike.len() {
        // Where another order shows that Abaha keeps marks, one without a mark is the app's own.
        _ if keeps_marks => Ok(None),
        0 => Ok(None),
        1 => Ok(alike.pop()),
        _ => {
            let reason = format!(
                "orders {} on Abaha could each be the one made for Sapo order {}; cancel the wrong ones by hand",
                alike.join(", "),
                new.pos_id
            );
            Err(Outcome::parked(Cause::Ambiguous, None, reason).into())
        }
    }
}

fn is_alike(there: &ChannelOrder, new: &NewChannelOrder) -> bool {
    let phone = |text: &str| Phone::parse(text).ok();
    check_channel_order(there).is_ok_and(|total| total == new.total)
        && there.phone.as_deref().and_then(phone) == phone(&new.phone)
}

/// Follows a linked order's stage.
async fn follow(run: &Run<'_>, stage: &PosStage, link: Link) -> Result<Outcome, Halt> {
    let settings = &run.connection().settings;
    if !matches!(stage, PosStage::Draft | PosStage::Unknown(_)) {
        pos_order::release(run, &link.sapo_id).await?;
    }
    if !settings.orders {
        return Ok(Outcome::skipped("switch_off", "the switch for orders (Đơn hàng) is off for this connection"));
    }
    let there = match link.channel_state.as_deref().and_then(ChannelStage::from_word) {
        Some(there) if !run.event.force => there,
        _ => ChannelStage::of(&run.abaha()?.order(&link.channel_id).await?, settings.returned_code),
    };
    let decision = status::to_channel(settings.status_profile, stage, &there, settings.returned_code);
    run.step("decided", format!("{stage:?} on Sapo, {there:?} on {}: {}", System::Abaha, decision.code()));
    let code = match decision {
        Decision::SetStatus(code) => code,
        other => {
            remember(run, &link, stage, None).await?;
            return Ok(leave_alone(other));
        }
    };
    // Known before the call, so that its echo, which may come first, finds it so.
    remember(run, &link, stage, None).await?;
    crash::point("before_status");
    run.abaha()?.set_order_status(&link.channel_id, code).await?;
    crash::point("status_set");
    let now = ChannelStage::read(Some(code), None, settings.returned_code);
    remember(run, &link, stage, Some(now)).await?;
    Ok(Outcome::done("status_set", format!("state on Abaha set to {now:?} ({code})")))
}

async fn remember(run: &Run<'_>, link: &Link, stage: &PosStage, there: Option<ChannelStage>) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let there = there.map(ChannelStage::as_word);
    Ok(run.store().set_order_states(run.name(), &link.sapo_id, Some(&stage.as_word()), there.as_deref()).await?)
}
