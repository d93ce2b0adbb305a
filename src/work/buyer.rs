//! For whom a channel's order is made on the POS.

use super::chosen;
use super::context::{Halt, Run};
use super::create::{self, Created, Creation};
use crate::destination::CallError;
use crate::domain::customer::{NewPosCustomer, PosCustomer};
use crate::domain::envelope::LONGEST;
use crate::domain::order::ChannelOrder;
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::phone::Phone;
use crate::map::abaha::customer::GUEST;
use crate::store::intents::{Intent, IntentKey, IntentKind};
use crate::store::links::LinkKind;

/// How the cause keys of orders begin that wait because several customers could be meant; their ids follow.
const SEVERAL: &str = "customers:";

/// The POS customer of a phone number, else a minimal one made for this order; the shop's khách lẻ where there is no
/// usable number.
pub async fn customer(run: &Run<'_>, order: &ChannelOrder, phone: Option<&Phone>) -> Result<Option<String>, Halt> {
    let Some(phone) = phone else {
        run.step("note", "khách không có số điện thoại dùng được: the order goes to khách lẻ");
        return walk_in(run).await;
    };
    let links = run.store().links_by_key(run.name(), LinkKind::Customer, phone.as_e164()).await?;
    if let Some(link) = links.into_iter().find(|link| link.code.is_none()) {
        return Ok(Some(link.sapo_id));
    }
    let key = intent_key(run, phone.as_e164());
    if let Some(id) = made_before(run, &key, |_| true).await? {
        return Ok(Some(id));
    }
    if let Some(id) = by_phone(run, phone).await? {
        return Ok(Some(id));
    }
    let new = NewPosCustomer {
        name: order.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| GUEST.to_owned()),
        phone: Some(phone.national()),
        email: None,
    };
    make(run, &key, &order.id, &new, by_phone(run, phone)).await
}

/// The shop's own khách lẻ, where it has one.
pub async fn walk_in(run: &Run<'_>) -> Result<Option<String>, Halt> {
    Ok(run.omni.walk_in_customer().await?.map(|customer| customer.id))
}

/// The intent of a customer made on the POS, whichever of its connections an order came from.
pub fn intent_key(run: &Run<'_>, natural_key: &str) -> IntentKey {
    IntentKey {
        account: run.connection().store_account(),
        kind: IntentKind::Customer,
        natural_key: natural_key.to_owned(),
    }
}

/// The customer that an earlier order had made, where it is still there and `fits`.
pub async fn made_before(
    run: &Run<'_>,
    key: &IntentKey,
    fits: impl Fn(&PosCustomer) -> bool,
) -> Result<Option<String>, Halt> {
    let Some(Intent { result_id: Some(id), .. }) = run.store().intent(&key.account, key.kind, &key.natural_key).await?
    else {
        return Ok(None);
    };
    match run.omni.customer(&id).await {
        Ok(customer) if fits(&customer) => return Ok(Some(id)),
        Ok(_) | Err(CallError::NotFound { .. }) if run.dry => {}
        Ok(_) | Err(CallError::NotFound { .. }) => run.store().forget_intent(key, &id).await?,
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// Makes a customer, once; `None` in a dry run. `look_up` finds the one that an earlier attempt made.
pub async fn make(
    run: &Run<'_>,
    key: &IntentKey,
    source_id: &str,
    new: &NewPosCustomer,
    look_up: impl Future<Output = Result<Option<String>, Halt>> + Send,
) -> Result<Option<String>, Halt> {
    let creation = Creation { key, source_id, fingerprint: None, refused: None };
    let omni = chosen::at_branch(run).await?;
    let id = match create::once(run, &creation, look_up, omni.create_customer(new)).await {
        Ok(Created::Now(id) | Created::Found(id) | Created::Before(id)) => id,
        Err(Halt::Call(CallError::DryRun { would })) => {
            run.step("planned", would);
            return Ok(None);
        }
        Err(halt) => return Err(chosen::judge(run, halt, &[]).await),
    };
    create::record_made(run, key, &id).await?;
    Ok(Some(id))
}

/// The one POS customer of a phone number.
pub async fn by_phone(run: &Run<'_>, phone: &Phone) -> Result<Option<String>, Halt> {
    single(run.omni.customers_by_phone(phone).await?, "phone number")
}

/// The one customer of several that have an identity; more than one is nobody's guess.
pub fn single(mut found: Vec<PosCustomer>, identity: &str) -> Result<Option<String>, Halt> {
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|customer| customer.id.as_str()).collect();
        let reason = format!(
            "several Sapo customers have this {identity}: {}; merge them on Sapo, then the order goes by itself",
            ids.join(", ")
        );
        let cause_key = several(&ids);
        return Err(Outcome::parked(Cause::Ambiguous, Some(cause_key), reason).into());
    }
    Ok(found.pop().map(|customer| customer.id))
}

/// The cause key of these customers; of very many the first, for it is looked up by an index.
fn several(ids: &[&str]) -> String {
    let mut key = SEVERAL.to_owned();
    for (n, id) in ids.iter().enumerate() {
        if key.len() + id.len() > LONGEST {
            break;
        }
        key.push_str(if n == 0 { "" } else { "," });
        key.push_str(id);
    }
    key
}

/// Wakes the orders that wait because several customers could be meant, the one of this event among them: it was
/// changed, merged into another, or deleted.
pub async fn wake(run: &Run<'_>) -> Result<(), Halt> {
    if run.dry {
        return Ok(());
    }
    for key in run.store().ambiguous_causes(run.name()).await? {
        if is_among(&key, &run.event.key.object_id) {
            run.store().bring_forward(run.name(), &key).await?;
        }
    }
    Ok(())
}

fn is_among(cause_key: &str, customer: &str) -> bool {
    cause_key.strip_prefix(SEVERAL).is_some_and(|ids| ids.split(',').any(|id| id == customer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_customers_are_no_guess_and_each_of_them_may_end_that() {
        let customers = |ids: &[&str]| -> Vec<PosCustomer> {
            ids.iter().map(|id| PosCustomer { id: (*id).to_owned(), ..PosCustomer::default() }).collect()
        };
        let Err(Halt::Outcome(Outcome::Parked { cause, cause_key: Some(key), reason, .. })) =
            single(customers(&["12", "345"]), "e-mail")
        else {
            panic!()
        };
        assert_eq!(cause, Cause::Ambiguous);
        assert!(reason.contains("12, 345") && reason.contains("e-mail"), "{reason}");
        assert!(is_among(&key, "12") && is_among(&key, "345"));
        assert!(!is_among(&key, "2") && !is_among(&key, "34") && !is_among("sku:12", "12"));
        assert!(matches!(single(customers(&["7"]), "e-mail"), Ok(Some(id)) if id == "7"));
        assert!(matches!(single(Vec::new(), "e-mail"), Ok(None)));
    }
}
