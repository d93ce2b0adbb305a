//! Walks the orders of both sides.

use std::collections::HashMap;

use super::{Mode, ORDERS_BACK, Walk, WalkError};
use crate::destination::abaha::client::OrderQuery;
use crate::destination::omni::client::PageQuery;
use crate::destination::page::{Next, Pages};
use crate::domain::clock::{Millis, millis};
use crate::domain::event::{Kind, System};
use crate::domain::order::{ChannelOrder, PosOrder};
use crate::map::abaha::stage::ChannelStage;
use crate::store::links::LinkKind;
use crate::sync::compare::{self, Action, Beside, Finding};

impl Walk<'_> {
    pub(super) async fn channel_orders(&mut self) -> Result<(), WalkError> {
        let now = self.pace.context.clock.now();
        let start = self.connection().start_line();
        let from = if self.pace.mode == Mode::Reconcile { start.max(now - millis(ORDERS_BACK)) } else { start };
        let mut marks: HashMap<String, String> = HashMap::new();
        let mut pages = Pages::default();
        self.pace.position.page = self.pace.position.page.max(1);
        loop {
            let query = OrderQuery { page: self.pace.position.page, created_from: Some(from), ..OrderQuery::default() };
            let answer = self
                .pace
                .calling(|| {
                    let run = &self.pace.run;
                    Box::pin(async move { run.abaha()?.orders(query).await })
                })
                .await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "order") {
                return Ok(());
            }
            for item in self.pace.readable("order", answer) {
                let order: ChannelOrder = item.value;
                let stage = ChannelStage::of(&order, self.connection().settings.returned_code);
                self.beside.insert(order.id.clone(), Beside { stage, paid: order.payment == Some(5) });
                if let Some(other) = order.pos_id.clone().and_then(|mark| another_with(&mut marks, mark, &order.id)) {
                    self.two_marks(&order.id, &other);
                }
                let link = self
                    .pace
                    .context
                    .store
                    .link_by_channel(&self.connection().name, LinkKind::Order, &order.id)
                    .await?;
                let finding = compare::channel_order(self.connection(), &order, link.as_ref(), None);
                if order.pos_id.is_some() && self.is_just_made(order.created_at, &finding) {
                    continue;
                }
                let (acts, force) = (finding.action.acts(), finding.action == Action::Update);
                self.pace.note("order", &finding);
                if acts {
                    self.pace
                        .publish(
                            System::Abaha,
                            Kind::Order,
                            &order.id,
                            order.version,
                            order.code.clone(),
                            force,
                            item.raw,
                        )
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

    pub(super) async fn pos_orders(&mut self) -> Result<(), WalkError> {
        let start = self.connection().start_line();
        let mut marks: HashMap<String, String> = HashMap::new();
        let mut pages = Pages::default();
        self.pace.position.page = self.pace.position.page.max(1);
        loop {
            let query = match self.pace.since {
                Some(since) => {
                    PageQuery { page: self.pace.position.page, modified_from: Some(since), ..PageQuery::default() }
                }
                None => PageQuery { page: self.pace.position.page, created_from: Some(start), ..PageQuery::default() },
            };
            let answer = self.pace.calling(|| Box::pin(self.pace.run.omni.orders(query))).await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "order") {
                return Ok(());
            }
            for item in self.pace.readable("order", answer) {
                let order: PosOrder = item.value;
                let ours = order.tags.contains(&self.connection().tag()) && order.status != "cancelled";
                let mark = order.reference.clone().filter(|_| ours);
                if let Some(other) = mark.and_then(|mark| another_with(&mut marks, mark, &order.id)) {
                    self.two_marks(&order.id, &other);
                }
                let link =
                    self.pace.context.store.link_by_sapo(&self.connection().name, LinkKind::Order, &order.id).await?;
                let beside = link.as_ref().and_then(|link| self.beside.get(&link.channel_id));
                let finding = compare::pos_order(self.connection(), &order, link.is_some(), beside);
                if order.tags.contains(&self.connection().tag()) && self.is_just_made(order.created_at, &finding) {
                    continue;
                }
                // One that is ours and not linked was seen before without being linked: its state being known says
                // nothing.
                let (acts, force) = (finding.action.acts(), matches!(finding.action, Action::Update | Action::Link));
                self.pace.note("order", &finding);
                if acts {
                    self.pace
                        .publish(
                            System::Omni,
                            Kind::Order,
                            &order.id,
                            order.version,
                            Some(order.code.clone()),
                            force,
                            item.raw,
                        )
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

    /// An order of our own that was made since this walk began (to the second) is no finding, whether it has been
    /// linked yet or not; a state that differs is one all the same.
    fn is_just_made(&self, created_at: Option<Millis>, finding: &Finding) -> bool {
        created_at.is_some_and(|at| at >= self.pace.job.created_at.div_euclid(1000) * 1000)
            && matches!(finding.action, Action::Equal | Action::Link | Action::Create)
    }

    fn two_marks(&mut self, one: &str, other: &str) {
        let reason = format!("orders {one} and {other} carry one mark; cancel one of them by hand");
        tracing::error!(code = "two_objects_one_mark", connection = %self.connection().name, one, other, "two orders carry one mark");
        self.pace.note(
            "order",
            &Finding {
                action: Action::Error,
                kind: "order",
                object: one.to_owned(),
                code: "two_objects_one_mark".into(),
                reason,
            },
        );
    }
}

/// Notes who carries a mark; tells whoever else carries it. A page that moves while it is read gives an order twice.
fn another_with(marks: &mut HashMap<String, String>, mark: String, id: &str) -> Option<String> {
    marks.insert(mark, id.to_owned()).filter(|other| other != id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_a_list_gives_twice_is_still_one() {
        let mut marks = HashMap::new();
        let mut met = |mark: &str, id: &str| another_with(&mut marks, mark.to_owned(), id);
        assert_eq!(met("DH1", "900"), None);
        assert_eq!(met("DH1", "900"), None);
        assert_eq!(met("DH2", "901"), None);
        assert_eq!(met("DH1", "902").as_deref(), Some("900"));
    }
}
