//! A channel's payment, recorded on the POS.

use rust_decimal::Decimal;

use super::chosen::{self, Chosen};
use super::context::{Halt, Run};
use super::create::{self, Creation};
use crate::destination::CallError;
use crate::destination::omni::client::NewPrepayment;
use crate::domain::order::ChannelOrder;
use crate::map::abaha::stage::PosStage;
use crate::observe::crash;
use crate::store::intents::{Intent, IntentKey, IntentKind};
use crate::store::links::Link;

/// Abaha's payment codes for paid and not yet paid (code of others).
const PAID: i64 = 5;
const UNPAID: i64 = 0;

/// Records the channel's payment on Sapo as a prepayment of what is still missing.
pub async fn pay(run: &Run<'_>, order: &ChannelOrder, link: &Link) -> Result<Option<(&'static str, String)>, Halt> {
    match order.payment {
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
    record(run, &order.id, link, Amount::Whole).await
}

/// How much of an order a channel says was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// All of it.
    Whole,
    /// So much so far.
    SoFar(Decimal),
}

impl Amount {
    /// What the intent remembers of it: a part is recorded once, and so is the next.
    fn mark(self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::SoFar(amount) => Some(amount.normalize().to_string()),
        }
    }
}

/// Records an amount on Sapo: as a prepayment of what is missing of it there, once.
pub async fn record(
    run: &Run<'_>,
    source_id: &str,
    link: &Link,
    amount: Amount,
) -> Result<Option<(&'static str, String)>, Halt> {
    if link.paid == 1 {
        return Ok(None);
    }
    if matches!(link.sapo_state.as_deref().and_then(PosStage::from_word), Some(PosStage::Cancelled)) {
        return Ok(Some(("payment_note", "paid on the channel, but cancelled on Sapo".to_owned())));
    }
    let Some(method) = run.connection().settings.payment_method else {
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
    let mark = amount.mark();
    if let Some(Intent { result_id: Some(id), fingerprint, .. }) =
        run.store().intent(&key.account, key.kind, &key.natural_key).await?
    {
        if fingerprint != mark && !run.dry {
            // Another amount than now was recorded before: what is missing since then is a payment of its own.
            run.store().forget_intent(&key, &id).await?;
        } else if mark.is_some() {
            return Ok(None);
        }
    }
    let creation = Creation { key: &key, source_id, fingerprint: mark.as_deref(), refused: None };
    let code = link.natural_key.clone();
    let omni = chosen::at_branch(run).await?;
    let look_up = async { Ok(still_missing(run, link, amount).await?.is_none().then_some(())) };
    let send = async {
        let Some(amount) = still_missing(run, link, amount).await? else {
            return Ok(());
        };
        crash::point("before_prepayment");
        omni.add_prepayment(&link.sapo_id, &NewPrepayment { payment_method: method, amount, reference: &code }).await
    };
    if let Err(halt) = create::once(run, &creation, look_up, send).await {
        return Err(chosen::judge(run, halt, &[Chosen::PaymentMethod(method)]).await);
    }
    if !run.dry {
        crash::point("prepaid");
        create::record_made(run, &key, &link.sapo_id).await?;
        if amount == Amount::Whole {
            run.store().set_order_paid(run.name(), &link.sapo_id).await?;
        }
    }
    let what = if amount == Amount::Whole { "payment recorded on Sapo" } else { "payment so far recorded on Sapo" };
    Ok(Some(("paid", what.to_owned())))
}

/// What was paid − Σ active prepayments, where that is more than nothing. All of an order is no more than the channel
/// asked for it, whatever Sapo made of its total.
async fn still_missing(run: &Run<'_>, link: &Link, amount: Amount) -> Result<Option<Decimal>, CallError> {
    let order = run.omni.order(&link.sapo_id).await?;
    let total = order.total.unwrap_or_default();
    let asked: Option<Decimal> = link.total.as_deref().and_then(|text| text.parse().ok());
    let paid = match amount {
        Amount::Whole => asked.map_or(total, |asked| asked.min(total)),
        Amount::SoFar(amount) => amount.min(total),
    };
    let missing = paid - order.prepayments.iter().sum::<Decimal>();
    Ok((missing > Decimal::ZERO).then_some(missing))
}
