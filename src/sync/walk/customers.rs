//! Walks customers.

use super::{Walk, WalkError};
use crate::destination::omni::client::PageQuery;
use crate::domain::customer::PosCustomer;
use crate::domain::event::{Kind, System};
use crate::domain::phone::Phone;
use crate::store::links::LinkKind;
use crate::sync::compare::{self, CustomerLink};

impl Walk<'_> {
    pub(super) async fn customers(&mut self) -> Result<(), WalkError> {
        self.position.page = self.position.page.max(1);
        loop {
            let query = PageQuery { page: self.position.page, modified_from: self.since, ..PageQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.omni.customers(query))).await?;
            let more = answer.more();
            for item in self.readable("customer", answer) {
                let customer = item.value;
                let link = self.link_of(&customer).await?;
                let finding = compare::customer(customer.phone.as_deref(), &customer.id, link);
                let acts = finding.action.acts();
                self.note("customer", &finding);
                if acts {
                    self.publish(System::Omni, Kind::Customer, &customer.id, customer.version, None, false, item.raw)
                        .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn link_of(&self, customer: &PosCustomer) -> Result<CustomerLink, WalkError> {
        let (store, name) = (&self.context.store, &self.connection().name);
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
