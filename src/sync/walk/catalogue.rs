//! Walks categories and products.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Mode, STAGES, Walk, WalkError};
use crate::destination::CallError;
use crate::destination::omni::client::PageQuery;
use crate::destination::page::{Next, Pages};
use crate::domain::event::{Kind, System};
use crate::domain::product::{PosCategory, PosProduct};
use crate::store::links::LinkKind;
use crate::sync::compare::{self, Action, Compared, Finding};
use crate::work::categories::Names;
use crate::work::context::Halt;
use crate::work::{categories, products};

impl Walk<'_> {
    /// Creates and renames categories, and knows them afterwards.
    pub(super) async fn load_categories(&mut self) -> Result<(), WalkError> {
        STAGES[0].clone_into(&mut self.pace.found.stage);
        let mut there = self.channel_categories().await?;
        // After a restart they are in the report already.
        let report = self.pace.position.stage == 0;
        let (mut page, mut pages) = (1, Pages::default());
        loop {
            let answer = self.pace.calling(|| Box::pin(self.pace.run.omni.categories(page))).await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "category") {
                return Ok(());
            }
            for category in answer.into_values() {
                let finding = self.category(&category, &mut there).await?;
                if report {
                    self.pace.note("category", &finding);
                }
            }
            self.pace.keep().await?;
            if next != Next::More {
                return Ok(());
            }
            page += 1;
        }
    }

    /// The channel's categories by name; the first of several with one name.
    async fn channel_categories(&mut self) -> Result<Names, WalkError> {
        let mut there = Names::new();
        let (mut page, mut pages) = (1, Pages::default());
        loop {
            let answer = self
                .pace
                .calling(|| {
                    let run = &self.pace.run;
                    Box::pin(async move { run.abaha()?.categories(page).await })
                })
                .await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "category") {
                return Ok(there);
            }
            for category in answer.into_values() {
                there.entry(category.name.trim().to_owned()).or_insert(category.id);
            }
            if next != Next::More {
                return Ok(there);
            }
            page += 1;
        }
    }

    /// Links, creates or renames one category.
    async fn category(&mut self, category: &PosCategory, there: &mut Names) -> Result<Finding, WalkError> {
        let name = category.name.trim();
        let found =
            |action: Action, code: &'static str, reason: String| Finding::new(action, "category", name, code, reason);
        let before =
            self.pace.context.store.link_by_sapo(&self.connection().name, LinkKind::Category, &category.id).await?;
        let (action, reason) = match &before {
            Some(link) if link.natural_key == name => (Action::Equal, String::new()),
            Some(link) => (Action::Update, format!("renamed from {:?} to {name:?} on Abaha", link.natural_key)),
            None if name.is_empty() => (Action::Skip, "the category has no name on Sapo".to_owned()),
            None if there.contains_key(name) => {
                (Action::Link, format!("is linked with the category {name:?} on Abaha"))
            }
            None => (Action::Create, format!("category {name:?} is made on Abaha")),
        };
        match categories::ensure_category_among(&self.pace.run, category, there).await {
            Ok(id) => {
                if let Some(id) = id {
                    there.insert(name.to_owned(), id.clone());
                    self.categories.insert(category.id.clone(), id);
                }
                Ok(found(action, action.as_str(), reason))
            }
            Err(Halt::Call(
                error @ (CallError::Throttled { .. } | CallError::Failing { .. } | CallError::Unauthorised { .. }),
            )) => Err(error.into()),
            Err(Halt::Store(error)) => Err(error.into()),
            Err(Halt::Call(error)) => Ok(found(Action::Error, error.code(), error.to_string())),
            Err(Halt::Outcome(outcome)) => Ok(found(Action::Error, outcome.code(), outcome.reason().to_owned())),
        }
    }

    pub(super) async fn load_catalogue(&mut self) -> Result<(), WalkError> {
        STAGES[1].clone_into(&mut self.pace.found.stage);
        let (mut page, mut pages) = (1, Pages::default());
        loop {
            let answer = self
                .pace
                .calling(|| {
                    let run = &self.pace.run;
                    Box::pin(async move { run.abaha()?.products(page, 100).await })
                })
                .await?;
            self.pace.found.total = answer.total;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "channel product") {
                return Ok(());
            }
            for product in answer.into_values() {
                self.catalogue.add(product);
            }
            *self.pace.found.checked.entry("channel product".to_owned()).or_default() = self.catalogue.len() as u64;
            self.pace.keep().await?;
            if next != Next::More {
                return Ok(());
            }
            page += 1;
        }
    }

    pub(super) async fn products(&mut self) -> Result<(), WalkError> {
        let branch = match self.connection().settings.branch {
            Some(branch) => branch.to_string(),
            None => {
                products::default_branch(&self.pace.run).await?.map(|branch| branch.to_string()).ok_or_else(|| {
                    WalkError::Setup(
                        "no branch (Chi nhánh) is chosen and the shop has no default one; set `branch` and apply"
                            .to_owned(),
                    )
                })?
            }
        };
        let mut seen: HashSet<String> = HashSet::new();
        let mut pages = Pages::default();
        self.pace.position.page = self.pace.position.page.max(1);
        loop {
            let query = PageQuery { page: self.pace.position.page, ..PageQuery::default() };
            let answer = self.pace.calling(|| Box::pin(self.pace.run.omni.products(query))).await?;
            let next = pages.next(&answer);
            if self.pace.repeats(next, "product") {
                // Not the whole list: nothing is taken for deleted.
                return Ok(());
            }
            for item in self.pace.readable("product", answer) {
                let product: PosProduct = item.value;
                seen.extend(product.variants.iter().map(|variant| variant.id.clone()));
                let links = self.pace.context.store.links_of_product(&self.connection().name, &product.id).await?;
                let compared =
                    compare::products(self.connection(), &branch, &product, &links, &self.categories, &self.catalogue);
                let (mut acts, mut force) = (false, false);
                for variant in compared {
                    let (finding, differs) = self.join(&product, variant).await?;
                    acts |= finding.action.acts() && differs;
                    force |= finding.action == Action::Update;
                    self.pace.note("product", &finding);
                }
                if acts {
                    self.pace
                        .publish(System::Omni, Kind::Product, &product.id, product.version, None, force, item.raw)
                        .await?;
                }
            }
            self.pace.position.page += 1;
            self.pace.keep().await?;
            if next != Next::More {
                break;
            }
        }
        if self.whole { self.sweep(&seen).await } else { Ok(()) }
    }

    /// Links what the walk has met exactly once on either side, so that no event has to look for it again. Tells the
    /// finding, and whether anything is left to be done about it.
    async fn join(&self, product: &PosProduct, variant: Compared) -> Result<(Finding, bool), WalkError> {
        let Some(join) = variant.join else { return Ok((variant.finding, true)) };
        let name = &self.connection().name;
        let holder = self.pace.context.store.link_by_channel(name, LinkKind::Product, &join.channel_id).await?;
        let holder = holder.filter(|link| !link.is_deleted());
        if holder.as_ref().is_some_and(|link| link.sapo_id == join.variant_id) {
            // An event was faster; its product is compared by another.
            return Ok((variant.finding, true));
        }
        if let Some(other) = holder {
            return Ok((
                Finding {
                    action: Action::Error,
                    code: "ambiguous".into(),
                    reason: format!(
                        "product {} on Abaha is linked to Sapo variant {} already; cut that link first",
                        join.channel_id, other.sapo_id
                    ),
                    ..variant.finding
                },
                false,
            ));
        }
        if self.pace.mode != Mode::Plan {
            let equal = join.equal.as_ref();
            products::join(&self.pace.run, &product.id, &join.variant_id, &join.sku, &join.channel_id, equal).await?;
        }
        Ok((variant.finding, join.equal.is_none()))
    }

    /// A complete walk that did not meet a linked variant may mean that it was deleted: its product is read.
    async fn sweep(&mut self, seen: &HashSet<String>) -> Result<(), WalkError> {
        let mut after = String::new();
        let mut suspects: HashSet<String> = HashSet::new();
        loop {
            let links =
                self.pace.context.store.links_page(&self.connection().name, LinkKind::Product, &after, 500).await?;
            let Some(last) = links.last() else { break };
            after.clone_from(&last.sapo_id);
            for link in links {
                if !seen.contains(&link.sapo_id) && link.code.as_deref() != Some("deleted") {
                    let finding = Finding {
                        action: Action::Update,
                        kind: "product",
                        object: link.natural_key.clone(),
                        code: "not_met".into(),
                        reason: "not met on Sapo: read, and hidden on Abaha where it was deleted".to_owned(),
                    };
                    self.pace.note("product", &finding);
                    suspects.extend(link.sapo_parent);
                }
            }
        }
        for product in suspects {
            self.pace
                .publish(System::Omni, Kind::Product, &product, None, None, true, Bytes::from_static(b"{}"))
                .await?;
        }
        Ok(())
    }
}
