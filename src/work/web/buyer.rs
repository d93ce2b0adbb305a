//! For whom a web's order is made on the POS: the customer of its identity, and nobody that it only might be.

use crate::domain::customer::NewPosCustomer;
use crate::domain::web::WebOrder;
use crate::map::web::order::{self, Identified};
use crate::work::buyer::{intent_key, made_before, make, single, walk_in};
use crate::work::context::{Halt, Run};

/// The POS customer of an order: known there and then never overwritten, else made once; khách lẻ where the order
/// tells nobody, or customers are not to be made.
pub async fn customer(run: &Run<'_>, order: &WebOrder) -> Result<Option<String>, Halt> {
    let settings = &run.connection().settings;
    let identified = Identified::of(order, settings.web.customer_identity);
    let Some(identified) = identified.filter(|_| settings.customers) else {
        if settings.customers {
            let identity = settings.web.customer_identity;
            run.step("note", format!("the order has no usable {identity} of a customer: it goes to khách lẻ"));
        }
        return match settings.web.walk_in_customer {
            Some(id) => Ok(Some(id.to_string())),
            None => walk_in(run).await,
        };
    };
    let key = intent_key(run, identified.key());
    if let Some(id) = made_before(run, &key, |customer| identified.is_of(customer)).await? {
        return Ok(Some(id));
    }
    if let Some(id) = known(run, &identified).await? {
        return Ok(Some(id));
    }
    let new = new_customer(run, order, &identified).await?;
    make(run, &key, &order.id, &new, known(run, &identified)).await
}

/// The one POS customer of an identity.
async fn known(run: &Run<'_>, identified: &Identified) -> Result<Option<String>, Halt> {
    let found = match identified {
        Identified::ByPhone(phone) => run.omni.customers_by_phone(phone).await?,
        Identified::ByEmail(email) => run.omni.customers_by_email(email).await?,
    };
    single(found, identified.word())
}

/// A customer with the order's name and identity; its second identity only where it is nobody else's.
async fn new_customer(run: &Run<'_>, order: &WebOrder, identified: &Identified) -> Result<NewPosCustomer, Halt> {
    let (mut phone, mut email) = (order::phone(order), order::email(order));
    let taken = match (identified, &phone, &email) {
        (Identified::ByPhone(_), _, Some(email)) => !run.omni.customers_by_email(email).await?.is_empty(),
        (Identified::ByEmail(_), Some(phone), _) => !run.omni.customers_by_phone(phone).await?.is_empty(),
        _ => false,
    };
    if taken {
        run.step("note", "the customer's second identity belongs to another POS customer; it is left out");
        match identified {
            Identified::ByPhone(_) => email = None,
            Identified::ByEmail(_) => phone = None,
        }
    }
    Ok(NewPosCustomer { name: order::name(order), phone: phone.map(|phone| phone.national()), email })
}
