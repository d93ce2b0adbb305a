//! For whom a channel's order is made on the POS.

use super::context::{Halt, Run};
use super::create::{self, Created, Creation, pending_key};
use crate::destination::CallError;
use crate::domain::customer::NewCustomer;
use crate::domain::order::ChannelOrder;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::map::abaha::customer::GUEST;
use crate::store::intents::{Intent, IntentKey, IntentKind};
use crate::store::links::LinkKind;

/// The POS customer of a phone number, else a minimal one made for this order; the shop's khách lẻ where there is no
/// usable number.
pub async fn customer(run: &Run<'_>, order: &ChannelOrder, phone: Option<&Phone>) -> Result<Option<String>, Halt> {
    let Some(phone) = phone else {
        run.step("note", "khách không có số điện thoại dùng được: the order goes to khách lẻ");
        return Ok(run.omni.walk_in_customer().await?.map(|customer| customer.id));
    };
    let links = run.store().links_by_key(run.name(), LinkKind::Customer, phone.as_e164()).await?;
    if let Some(link) = links.into_iter().find(|link| link.code.is_none()) {
        return Ok(Some(link.sapo_id));
    }
    let key = IntentKey {
        account: run.connection().store_account(),
        kind: IntentKind::Customer,
        natural_key: phone.as_e164().to_owned(),
    };
    if let Some(Intent { result_id: Some(id), .. }) =
        run.store().intent(&key.account, key.kind, &key.natural_key).await?
    {
        match run.omni.customer(&id).await {
            Ok(_) => return Ok(Some(id)),
            Err(CallError::NotFound { .. }) if run.dry => {}
            Err(CallError::NotFound { .. }) => run.store().forget_intent(&key, &id).await?,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(id) = single_customer(run, phone).await? {
        return Ok(Some(id));
    }
    let new = NewCustomer {
        name: order.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| GUEST.to_owned()),
        phone: phone.national(),
    };
    let creation = Creation { key: &key, source_id: &order.id, fingerprint: None, refused: None };
    let created = create::once(run, &creation, single_customer(run, phone), run.omni.create_customer(&new)).await;
    let id = match created {
        Ok(Created::Now(id) | Created::Found(id) | Created::Before(id)) => id,
        Err(Halt::Call(CallError::DryRun { would })) => {
            run.step("planned", would);
            return Ok(None);
        }
        Err(halt) => return Err(halt),
    };
    let mut tx = run.store().begin().await?;
    run.store().complete_intent(&mut tx, &key.account, key.kind.as_str(), &key.natural_key, &id).await?;
    tx.commit().await?;
    run.store().bring_forward(run.name(), &pending_key(&key)).await?;
    Ok(Some(id))
}

async fn single_customer(run: &Run<'_>, phone: &Phone) -> Result<Option<String>, Halt> {
    let mut found = run.omni.customers_by_phone(phone).await?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|customer| customer.id.as_str()).collect();
        let reason = format!("several Sapo customers have this phone number: {}; merge them on Sapo", ids.join(", "));
        return Err(Outcome::parked(Cause::Ambiguous, Some(format!("phone:{}", phone.as_e164())), reason).into());
    }
    Ok(found.pop().map(|customer| customer.id))
}
