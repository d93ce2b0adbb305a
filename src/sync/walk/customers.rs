//! Walks customers.

use super::{Walk, WalkError};
use crate::destination::omni::client::PageQuery;
use crate::domain::event::{Kind, System};
use crate::store::links::LinkKind;
use crate::sync::compare;

impl Walk<'_> {
    pub(super) async fn customers(&mut self) -> Result<(), WalkError> {
        self.position.page = self.position.page.max(1);
        loop {
            let query = PageQuery { page: self.position.page, modified_from: self.since, ..PageQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.omni.customers(query))).await?;
            let more = answer.more();
            for item in self.readable("customer", answer) {
                let customer = item.value;
                let linked = self
                    .context
                    .store
                    .link_by_sapo(&self.connection().name, LinkKind::Customer, &customer.id)
                    .await?
                    .is_some();
                let finding = compare::customer(customer.phone.as_deref(), &customer.id, linked);
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
}
