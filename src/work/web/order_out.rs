//! A web's orders on the POS: their state is remembered, what they hold of the stock is given up, and where the owner
//! wants it (`status_back`) shipped and cancelled go back to the web.

use crate::destination::{CallError, omni};
use crate::domain::event::Shape;
use crate::domain::linking::DELETED;
use crate::domain::order::PosOrder;
use crate::domain::outcome::Outcome;
use crate::map::abaha::stage::PosStage;
use crate::map::web::status::{self, Asked, WebStage};
use crate::observe::crash;
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};
use crate::work::context::{Halt, Run, outcome_of};
use crate::work::create::{self, Creation};
use crate::work::pos_order::{self, Adopted, TO_BE_APPROVED};
use crate::work::process::{Current, current};

use super::order_in::{leave_alone, show};

/// Makes the web's order follow the POS's, as far as the owner wants it.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let id = &run.event.key.object_id;
    let link = run.store().link_by_sapo(run.name(), LinkKind::Order, id).await?;
    if link.is_none() && !may_be_ours(run).await? {
        return Ok(not_of_this_channel());
    }
    let order = match current(run, omni::wire::order, |order| order.version, run.omni.order(id)).await? {
        Current::Is(order) => order,
        Current::Gone => return gone(run, link).await,
    };
    let stage = PosStage::of(&order);
    let followed = match link {
        Some(link) => follow(run, &order, &stage, &link).await,
        None if !order.tags.contains(&run.connection().tag()) => return Ok(not_of_this_channel()),
        None => adopt(run, &order, &stage).await,
    };
    let outcome = match followed {
        Ok(outcome) | Err(Halt::Outcome(outcome)) => outcome,
        // The owner sees what the web refuses for good.
        Err(Halt::Call(error @ CallError::Refused { .. })) => outcome_of(error),
        Err(halt) => return Err(halt),
    };
    if let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Order, id).await? {
        show(run, &link.channel_id, &link.natural_key, &outcome).await?;
    }
    Ok(outcome)
}

/// An order that we made on the POS ourselves, and that is not linked yet.
async fn adopt(run: &Run<'_>, order: &PosOrder, stage: &PosStage) -> Result<Outcome, Halt> {
    match pos_order::adopt(run, order).await? {
        Adopted::Known(link) => follow(run, order, stage, &link).await,
        // Heard of only now that it is cancelled or shipped: that has not gone to the web yet.
        Adopted::Now(link) if asks_something(run, stage) => follow(run, order, stage, &link).await,
        Adopted::Now(_) => Ok(Outcome::skipped("echo", "our own order; linked")),
        Adopted::Not(outcome) => Ok(outcome),
    }
}

fn not_of_this_channel() -> Outcome {
    Outcome::skipped("not_of_this_channel", "the order was not made for this web; nothing of it goes there")
}

/// Whether an order of this stage may ask something of the web, where that is wanted.
fn asks_something(run: &Run<'_>, stage: &PosStage) -> bool {
    let settings = &run.connection().settings;
    let back = settings.orders && settings.web.status_back;
    back && !matches!(stage, PosStage::Draft | PosStage::Finalized | PosStage::Packed)
}

/// Whether an order without a link may be one of ours: it carries our mark. Of one that the event does not show whole
/// that is not known; it is none as long as nothing is being made.
async fn may_be_ours(run: &Run<'_>) -> Result<bool, Halt> {
    if run.event.shape == Shape::Whole
        && let Ok(order) = omni::wire::order(&run.event.body)
    {
        return Ok(order.tags.contains(&run.connection().tag()));
    }
    let open = run.store().open_intents(&run.connection().store_account(), IntentKind::Order).await?;
    Ok(open.iter().any(|intent| intent.connection == run.name()))
}

async fn gone(run: &Run<'_>, link: Option<Link>) -> Result<Outcome, Halt> {
    let Some(link) = link else {
        return Ok(Outcome::skipped("gone", "the order is not on the POS any more and was never linked"));
    };
    let reason = "the order is not on the POS any more; nothing is cancelled on a guess: look at it on the web";
    if !run.dry {
        run.store().set_link_error(&link, Some((DELETED, reason))).await?;
    }
    pos_order::release(run, &link.sapo_id).await?;
    let outcome = Outcome::done(DELETED, reason);
    show(run, &link.channel_id, &link.natural_key, &outcome).await?;
    Ok(outcome)
}

async fn follow(run: &Run<'_>, order: &PosOrder, stage: &PosStage, link: &Link) -> Result<Outcome, Halt> {
    let settings = &run.connection().settings;
    // Known before any call, so that the echo of what it changes on the web finds it so.
    remember(run, link, Some(stage), None).await?;
    if !matches!(stage, PosStage::Draft | PosStage::Unknown(_)) {
        pos_order::release(run, &link.sapo_id).await?;
        if link.code.as_deref() == Some(TO_BE_APPROVED) && !run.dry {
            run.store().set_link_error(link, None).await?;
        }
    }
    let there = match link.channel_state.as_deref().and_then(WebStage::from_word) {
        Some(there) if !run.event.force => there,
        _ => WebStage::of(&run.web()?.order(&link.channel_id).await?),
    };
    let asked = status::to_web(stage, order.fulfillment_status == "shipped", &there);
    run.step("decided", format!("{stage:?} on the POS, {there:?} on the web: {}", asked.code()));
    match asked {
        Asked::Nothing { .. } => Ok(leave_alone(asked)),
        Asked::Cancel | Asked::Fulfil if !(settings.orders && settings.web.status_back) => {
            Ok(Outcome::skipped("switch_off", "shipped and cancelled do not go back to the web (`status_back` is off)"))
        }
        Asked::Cancel => cancel(run, link).await,
        Asked::Fulfil => fulfil(run, link).await,
    }
}

/// Cancels the web's order. Where the web refuses that, it is looked at: what was shipped there is not to be cancelled
/// any more, and a person has to know.
async fn cancel(run: &Run<'_>, link: &Link) -> Result<Outcome, Halt> {
    let web = run.web()?;
    crash::point("before_status");
    match web.cancel_order(&link.channel_id).await {
        Ok(()) | Err(CallError::AlreadySo { .. }) => {}
        Err(CallError::Refused { code, message, answer }) if code != "missing_scope" => {
            let now = WebStage::of(&web.order(&link.channel_id).await?);
            remember(run, link, None, Some(&now)).await?;
            if now != WebStage::Cancelled {
                let reason = format!(
                    "the order is cancelled on the POS, and {} on the web, which refuses to cancel it: {message}; take \
                     it back there (trả hàng), or make it anew on the POS",
                    now.as_word()
                );
                return Err(Outcome::Dead { code, reason, last_answer: answer }.into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    crash::point("status_set");
    remember(run, link, None, Some(&WebStage::Cancelled)).await?;
    Ok(Outcome::done("status_set", "cancelled on the web"))
}

/// Marks the web's order as shipped, once: it is looked at first, and an unknown outcome is looked up before it is
/// sent again.
async fn fulfil(run: &Run<'_>, link: &Link) -> Result<Outcome, Halt> {
    let web = run.web()?;
    let now = WebStage::of(&web.order(&link.channel_id).await?);
    if matches!(now, WebStage::Fulfilled | WebStage::Cancelled) {
        remember(run, link, None, Some(&now)).await?;
        return Ok(leave_alone(status::to_web(&PosStage::Shipped, true, &now)));
    }
    let key = IntentKey {
        account: run.connection().channel_account(),
        kind: IntentKind::Fulfilment,
        natural_key: link.channel_id.clone(),
    };
    let creation = Creation { key: &key, source_id: &link.sapo_id, fingerprint: None, refused: None };
    let look_up = async {
        let fulfilled = WebStage::of(&web.order(&link.channel_id).await?) == WebStage::Fulfilled;
        Ok(fulfilled.then_some(()))
    };
    crash::point("before_status");
    create::once(run, &creation, look_up, web.fulfil_order(&link.channel_id)).await?;
    crash::point("status_set");
    create::record_made(run, &key, &link.channel_id).await?;
    remember(run, link, None, Some(&WebStage::Fulfilled)).await?;
    Ok(Outcome::done("status_set", "marked as shipped on the web"))
}

async fn remember(run: &Run<'_>, link: &Link, sapo: Option<&PosStage>, channel: Option<&WebStage>) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    let (sapo, channel) = (sapo.map(PosStage::as_word), channel.map(WebStage::as_word));
    Ok(run.store().set_order_states(run.name(), &link.sapo_id, sapo.as_deref(), channel.as_deref()).await?)
}
