//! Customers, Sapo → Abaha.

use super::context::{Halt, Run};
use super::create::{self, Created, Creation};
use super::process::{Current, current};
use crate::destination::CallError;
use crate::destination::omni;
use crate::domain::customer::PosCustomer;
use crate::domain::event::Shape;
use crate::domain::outcome::Outcome;
use crate::domain::phone::Phone;
use crate::map::abaha::customer::new_customer;
use crate::store::intents::{IntentKey, IntentKind};
use crate::store::links::{Link, LinkKind};

/// Makes sure that a customer with a usable phone exists on the channel; never an address, never a name twice.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    if !run.connection().settings.customers {
        return Ok(Outcome::skipped("switch_off", "the switch for customers (Khách hàng) is off for this connection"));
    }
    let id = &run.event.key.object_id;
    let link = run.store().link_by_sapo(run.name(), LinkKind::Customer, id).await?;
    if link.is_some() && !matches!(run.event.shape, Shape::Gone | Shape::Unreadable) {
        return Ok(Outcome::skipped("unchanged", "the customer is linked; its name is given on creation only"));
    }
    match current(run, omni::wire::customer, |customer| customer.version, run.omni.customer(id)).await? {
        Current::Gone => {
            if let Some(link) = link {
                run.store()
                    .set_link_error(&link, Some(("deleted", "deleted on Sapo; the customer on Abaha is untouched")))
                    .await?;
            }
            Ok(Outcome::done("deleted", "deleted on Sapo; the customer on Abaha is untouched"))
        }
        Current::Is(_) if link.is_some() => Ok(Outcome::skipped("unchanged", "the customer is still there and linked")),
        Current::Is(customer) => match Phone::parse(customer.phone.as_deref().unwrap_or_default()) {
            Err(why) => Ok(Outcome::skipped(
                "no_phone",
                format!("khách không có số điện thoại dùng được: {} / {}", why.reason_vi(), why.reason()),
            )),
            Ok(phone) => {
                let (_, how) = ensure(run, &customer, &phone).await?;
                Ok(Outcome::done(
                    how,
                    if how == "created" { "created on Abaha" } else { "was on Abaha already; linked" },
                ))
            }
        },
    }
}

/// The channel's customer of a phone number, where it is known: linked, else found there, and then linked. `sapo_id`
/// is empty for an order that has a phone but no customer.
pub async fn known(run: &Run<'_>, sapo_id: &str, phone: &Phone) -> Result<Option<String>, Halt> {
    if let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Customer, sapo_id).await? {
        return Ok(Some(link.channel_id));
    }
    if let Some(link) =
        run.store().links_by_key(run.name(), LinkKind::Customer, phone.as_e164()).await?.into_iter().next()
    {
        return Ok(Some(link.channel_id));
    }
    let Some(there) = run.abaha()?.customer_by_phone(phone).await? else {
        return Ok(None);
    };
    link(run, sapo_id, &there.id, phone, None).await?;
    Ok(Some(there.id))
}

/// Makes sure that a customer exists on the channel; tells its id there, and how it came to be.
pub async fn ensure(run: &Run<'_>, customer: &PosCustomer, phone: &Phone) -> Result<(String, &'static str), Halt> {
    if let Some(id) = known(run, &customer.id, phone).await? {
        return Ok((id, "linked"));
    }
    let mut named = customer.clone();
    named.phone = Some(phone.national());
    let new = new_customer(&named, run.connection().settings.customer_name)
        .map_err(|why| Outcome::skipped("no_phone", why.reason()))?;
    let key = IntentKey {
        account: run.connection().channel_account(),
        kind: IntentKind::Customer,
        natural_key: phone.as_e164().to_owned(),
    };
    let creation = Creation { key: &key, source_id: &customer.id, fingerprint: None, refused: None };
    let look_up = async { Ok(run.abaha()?.customer_by_phone(phone).await?.map(|there| there.id)) };
    let send = async {
        match run.abaha()?.create_customer(&new).await {
            // Somebody else was faster: what counts is that it is there.
            Err(CallError::Refused { code: "duplicate", message, answer }) => {
                match run.abaha()?.customer_by_phone(phone).await? {
                    Some(there) => Ok(there.id),
                    None => Err(CallError::Refused { code: "duplicate", message, answer }),
                }
            }
            other => other,
        }
    };
    let (Created::Now(id) | Created::Found(id) | Created::Before(id)) =
        create::once(run, &creation, look_up, send).await?;
    link(run, &customer.id, &id, phone, Some(&key)).await?;
    Ok((id, "created"))
}

async fn link(
    run: &Run<'_>,
    sapo_id: &str,
    channel_id: &str,
    phone: &Phone,
    key: Option<&IntentKey>,
) -> Result<(), Halt> {
    let other = run.store().link_by_channel(run.name(), LinkKind::Customer, channel_id).await?;
    let taken = other.is_some_and(|other| other.sapo_id != sapo_id);
    if taken && !sapo_id.is_empty() {
        run.step("note", "two Sapo customers have this phone; the first keeps the link");
    }
    if taken || sapo_id.is_empty() {
        return match key {
            Some(key) => create::record_made(run, key, channel_id).await,
            None => Ok(()),
        };
    }
    let mut link = Link::new(run.name(), LinkKind::Customer, sapo_id, channel_id, phone.as_e164());
    create::record_link(run, &mut link, key, &[]).await
}
