//! Walks the orders of both sides.

use std::collections::HashMap;

use super::{Mode, ORDERS_BACK, Walk, WalkError};
use crate::destination::abaha::client::OrderQuery;
use crate::destination::omni::client::PageQuery;
use crate::domain::clock::{Millis, millis};
use crate::domain::event::{Kind, System};
use crate::domain::order::{ChannelOrder, PosOrder};
use crate::map::abaha::stage::ChannelStage;
use crate::store::links::LinkKind;
use crate::sync::compare::{self, Action, Beside, Finding};

impl Walk<'_> {
    pub(super) async fn channel_orders(&mut self) -> Result<(), WalkError> {
        let now = self.context.clock.now();
        let start = self.connection().start_line();
        let from = if self.mode == Mode::Reconcile { start.max(now - millis(ORDERS_BACK)) } else { start };
        let mut marks: HashMap<String, String> = HashMap::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = OrderQuery { page: self.position.page, created_from: Some(from), ..OrderQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.abaha.orders(query))).await?;
            let more = answer.more();
            for item in self.readable("order", answer) {
                let order: ChannelOrder = item.value;
                let stage = ChannelStage::of(&order, self.connection().settings.returned_code);
                self.beside.insert(order.id.clone(), Beside { stage, paid: order.payment == Some(5) });
                if let Some(other) = order.pos_id.clone().and_then(|mark| marks.insert(mark, order.id.clone())) {
                    self.two_marks(&order.id, &other);
                }
                let link =
                    self.context.store.link_by_channel(&self.connection().name, LinkKind::Order, &order.id).await?;
                let finding = compare::channel_order(self.connection(), &order, link.as_ref(), None);
                if order.pos_id.is_some() && self.is_just_made(order.created_at, &finding) {
                    continue;
                }
                let (acts, force) = (finding.action.acts(), finding.action == Action::Update);
                self.note("order", &finding);
                if acts {
                    self.publish(
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
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    pub(super) async fn pos_orders(&mut self) -> Result<(), WalkError> {
        let start = self.connection().start_line();
        let mut marks: HashMap<String, String> = HashMap::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = match self.since {
                Some(since) => {
                    PageQuery { page: self.position.page, modified_from: Some(since), ..PageQuery::default() }
                }
                None => PageQuery { page: self.position.page, created_from: Some(start), ..PageQuery::default() },
            };
            let answer = self.calling(|| Box::pin(self.run.omni.orders(query))).await?;
            let more = answer.more();
            for item in self.readable("order", answer) {
                let order: PosOrder = item.value;
                let ours = order.tags.contains(&self.connection().tag()) && order.status != "cancelled";
                if let Some(other) =
                    order.reference.clone().filter(|_| ours).and_then(|mark| marks.insert(mark, order.id.clone()))
                {
                    self.two_marks(&order.id, &other);
                }
                let link = self.context.store.link_by_sapo(&self.connection().name, LinkKind::Order, &order.id).await?;
                let beside = link.as_ref().and_then(|link| self.beside.get(&link.channel_id));
                let finding = compare::pos_order(self.connection(), &order, link.is_some(), beside);
                if order.tags.contains(&self.connection().tag()) && self.is_just_made(order.created_at, &finding) {
                    continue;
                }
                let (acts, force) = (finding.action.acts(), finding.action == Action::Update);
                self.note("order", &finding);
                if acts {
                    self.publish(
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
            self.position.page += 1;
            self.keep().await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// An order of our own that was made since this walk began (to the second) is no finding, whether it has been
    /// linked yet or not; a state that differs is one all the same.
    fn is_just_made(&self, created_at: Option<Millis>, finding: &Finding) -> bool {
        created_at.is_some_and(|at| at >= self.job.created_at.div_euclid(1000) * 1000)
            && matches!(finding.action, Action::Equal | Action::Link | Action::Create)
    }

    fn two_marks(&mut self, one: &str, other: &str) {
        let reason = format!("orders {one} and {other} carry one mark; cancel one of them by hand");
        tracing::error!(code = "two_objects_one_mark", connection = %self.connection().name, one, other, "two orders carry one mark");
        self.note(
            "order",
            &Finding {
                action: Action::Error,
                kind: "order",
                object: one.to_owned(),
                code: "two_objects_one_mark",
                reason,
            },
        );
    }
}
