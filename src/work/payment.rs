//! A channel's payment, recorded on the POS.

use rust_decimal::Decimal;

use super::context::{Halt, Run};
use super::create::{self, Creation};
use crate::destination::CallError;
use crate::destination::omni::client::NewPrepayment;
use crate::domain::order::ChannelOrder;
use crate::map::abaha::stage::PosStage;
use crate::observe::crash;
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::Link;

/// Abaha's payment codes for paid and not yet paid (code of others).
const PAID: i64 = 5;
const UNPAID: i64 = 0;

/// Records the channel's payment on Sapo as a prepayment of what is still missing.
pub async fn pay(run: &Run<'_>, order: &ChannelOrder, link: &Link) -> Result<Option<(&'static str, String)>, Halt> {
    let settings = &run.connection().settings;
    match order.payment {
        Some(PAID) if link.paid == 1 => return Ok(None),
        Some(PAID) => {}
        Some(UNPAID) if link.paid == 1 => {
            return Ok(Some((
                "payment_note",
                "paid before, and unpaid on the channel now; payments are only ever added on Sapo, look at it there"
                    .to_owned(),
            )));
        }
        Some(UNPAID) | None => return Ok(None),
        Some(other) => {
            return Ok(Some((
                "payment_note",
                format!(
                    "the channel's payment state is {other}; payments are only ever added on Sapo, look at it there"
                ),
            )));
        }
    }
    if matches!(link.sapo_state.as_deref().and_then(PosStage::from_word), Some(PosStage::Cancelled)) {
        return Ok(Some(("payment_note", "paid on the channel, but cancelled on Sapo".to_owned())));
    }
    let Some(method) = settings.payment_method else {
        return Ok(Some((
            "payment_note",
            "paid on the channel; no payment_method is chosen, so it is not recorded on Sapo".to_owned(),
        )));
    };
    let key = IntentKey {
        account: run.connection().store_account(),
        kind: IntentKind::Prepayment,
        natural_key: link.sapo_id.clone(),
    };
    let creation = Creation { key: &key, source_id: &order.id, fingerprint: None, refused: None };
    let code = link.natural_key.clone();
    let look_up = async { Ok(still_missing(run, &link.sapo_id).await?.is_none().then_some(())) };
    let send = async {
        let Some(amount) = still_missing(run, &link.sapo_id).await? else {
            return Ok(());
        };
        crash::point("before_prepayment");
        run.omni
            .add_prepayment(&link.sapo_id, &NewPrepayment { payment_method: method, amount, reference: &code })
            .await
    };
    create::once(run, &creation, look_up, send).await?;
    if !run.dry {
        crash::point("prepaid");
        let mut tx = run.store().begin().await?;
        run.store().complete_intent(&mut tx, &key.account, key.kind.as_str(), &key.natural_key, &link.sapo_id).await?;
        tx.commit().await?;
        run.store().set_order_paid(run.name(), &link.sapo_id).await?;
    }
    Ok(Some(("paid", "payment recorded on Sapo".to_owned())))
}

/// total − Σ active prepayments, where that is more than nothing.
async fn still_missing(run: &Run<'_>, sapo_id: &str) -> Result<Option<Decimal>, CallError> {
    let order = run.omni.order(sapo_id).await?;
    let missing = order.total.unwrap_or_default() - order.prepayments.iter().sum::<Decimal>();
    Ok((missing > Decimal::ZERO).then_some(missing))
}
