//! Walks customers.

use super::{Walk, WalkError};
use crate::destination::omni::client::PageQuery;
use crate::destination::page::{Next, Pages};
use crate::domain::customer::PosCustomer;
use crate::domain::event::{Kind, System};
use crate::domain::phone::Phone;
use crate::store::links::LinkKind;
use crate::sync::compare::{self, CustomerLink};

impl Walk<'_> {
    pub(super) async fn customers(&mut self) -> Result<(), WalkError> {
        let mut pages = Pages::default();
        self.pace.position.page = self.pace.position.page.max(1);
        loop {
            let query =
                PageQuery { page: self.pace.position.page, modified_from: self.pace.since, ..PageQuery::default() };
            let answer = self.pace.calling(|| Box::pin(self.pace.run.omni.customers(query))).await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "customer") {
                return Ok(());
            }
            for item in self.pace.readable("customer", answer) {
                let customer = item.value;
                let link = self.link_of(&customer).await?;
                let finding = compare::customer(customer.phone.as_deref(), &customer.id, link);
                let acts = finding.action.acts();
                self.pace.note("customer", &finding);
                if acts {
                    self.pace
                        .publish(System::Omni, Kind::Customer, &customer.id, customer.version, None, false, item.raw)
                        .await?;
                }
            }
            self.pace.position.page += 1;
            self.pace.keep().await?;
            if next != Next::More {
                return Ok(());
            }
        }
    }

    async fn link_of(&self, customer: &PosCustomer) -> Result<CustomerLink, WalkError> {
        let (store, name) = (&self.pace.context.store, &self.connection().name);
        if store.link_by_sapo(name, LinkKind::Customer, &customer.id).await?.is_some() {
            return Ok(CustomerLink::Itself);
        }
        let Ok(phone) = Phone::parse(customer.phone.as_deref().unwrap_or_default()) else {
            return Ok(CustomerLink::None);
        };
        let others = store.links_by_key(name, LinkKind::Customer, phone.as_e164()).await?;
        Ok(if others.is_empty() { CustomerLink::None } else { CustomerLink::SamePhone })
    }
}
