//! Walks categories and products.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Mode, STAGES, Walk, WalkError};
use crate::destination::CallError;
use crate::destination::omni::client::PageQuery;
use crate::domain::event::{Kind, System};
use crate::domain::product::PosProduct;
use crate::store::links::LinkKind;
use crate::sync::compare::{self, Action, Finding};
use crate::work::context::Halt;
use crate::work::products;

impl Walk<'_> {
    /// Creates and renames categories, and knows them afterwards.
    pub(super) async fn load_categories(&mut self) -> Result<(), WalkError> {
        STAGES[0].clone_into(&mut self.found.stage);
        let mut page = 1;
        loop {
            let answer = self.calling(|| Box::pin(self.run.omni.categories(page))).await?;
            let more = answer.more();
            for category in answer.into_values() {
                let before =
                    self.context.store.link_by_sapo(&self.connection().name, LinkKind::Category, &category.id).await?;
                let ensured = products::ensure_category(&self.run, Some(&category)).await;
                let (action, reason) = match (&before, &ensured) {
                    (Some(link), _) if link.natural_key == category.name.trim() => (Action::Equal, String::new()),
                    (Some(link), _) => {
                        (Action::Update, format!("renamed from {:?} to {:?} on Abaha", link.natural_key, category.name))
                    }
                    (None, Ok(Some(_))) if self.mode == Mode::Plan => {
                        (Action::Link, format!("category {:?} is linked", category.name))
                    }
                    (None, _) => (Action::Create, format!("category {:?} is made or linked on Abaha", category.name)),
                };
                match ensured {
                    Ok(Some(id)) => {
                        self.categories.insert(category.id.clone(), id);
                        self.note(
                            "category",
                            &Finding { action, kind: "category", object: category.name, code: action.as_str(), reason },
                        );
                    }
                    Ok(None) => self.note(
                        "category",
                        &Finding { action, kind: "category", object: category.name, code: action.as_str(), reason },
                    ),
                    Err(Halt::Call(
                        error @ (CallError::Throttled { .. }
                        | CallError::Failing { .. }
                        | CallError::Unauthorised { .. }),
                    )) => return Err(error.into()),
                    Err(Halt::Store(error)) => return Err(error.into()),
                    Err(Halt::Call(error)) => {
                        self.note(
                            "category",
                            &Finding {
                                action: Action::Error,
                                kind: "category",
                                object: category.name,
                                code: error.code(),
                                reason: error.to_string(),
                            },
                        );
                    }
                    Err(Halt::Outcome(outcome)) => {
                        self.note(
                            "category",
                            &Finding {
                                action: Action::Error,
                                kind: "category",
                                object: category.name,
                                code: outcome.code(),
                                reason: outcome.reason().to_owned(),
                            },
                        );
                    }
                }
            }
            self.keep().await?;
            if !more {
                return Ok(());
            }
            page += 1;
        }
    }

    pub(super) async fn load_catalogue(&mut self) -> Result<(), WalkError> {
        STAGES[1].clone_into(&mut self.found.stage);
        let mut page = 1;
        loop {
            let answer = self.calling(|| Box::pin(self.run.abaha.products(page, 100))).await?;
            self.found.total = answer.total;
            let more = answer.more();
            for product in answer.into_values() {
                self.catalogue.add(product);
            }
            *self.found.checked.entry("channel product".to_owned()).or_default() = self.catalogue.len() as u64;
            self.keep().await?;
            if !more {
                return Ok(());
            }
            page += 1;
        }
    }

    pub(super) async fn products(&mut self) -> Result<(), WalkError> {
        let branch = match self.connection().settings.branch {
            Some(branch) => branch.to_string(),
            None => match products::default_branch(&self.run).await {
                Ok(Some(branch)) => branch.to_string(),
                Ok(None) => {
                    return Err(WalkError::Setup(
                        "no branch (Chi nhánh) is chosen and the shop has no default one; set `branch` and apply"
                            .to_owned(),
                    ));
                }
                Err(Halt::Call(error)) => return Err(error.into()),
                Err(Halt::Store(error)) => return Err(error.into()),
                Err(Halt::Outcome(outcome)) => return Err(WalkError::Setup(outcome.reason().to_owned())),
            },
        };
        let mut seen: HashSet<String> = HashSet::new();
        self.position.page = self.position.page.max(1);
        loop {
            let query = PageQuery { page: self.position.page, ..PageQuery::default() };
            let answer = self.calling(|| Box::pin(self.run.omni.products(query))).await?;
            let more = answer.more();
            for item in self.readable("product", answer) {
                let product: PosProduct = item.value;
                seen.extend(product.variants.iter().map(|variant| variant.id.clone()));
                let links = self.context.store.links_of_product(&self.connection().name, &product.id).await?;
                let findings =
                    compare::products(self.connection(), &branch, &product, &links, &self.categories, &self.catalogue);
                let acts = findings.iter().any(|finding| finding.action.acts());
                let force = findings.iter().any(|finding| finding.action == Action::Update);
                for finding in findings {
                    self.note("product", &finding);
                }
                if acts {
                    self.publish(System::Omni, Kind::Product, &product.id, product.version, None, force, item.raw)
                        .await?;
                }
            }
            self.position.page += 1;
            self.keep().await?;
            if !more {
                break;
            }
        }
        if self.whole { self.sweep(&seen).await } else { Ok(()) }
    }

    /// A complete walk that did not meet a linked variant may mean that it was deleted: its product is read.
    async fn sweep(&mut self, seen: &HashSet<String>) -> Result<(), WalkError> {
        let mut after = String::new();
        let mut suspects: HashSet<String> = HashSet::new();
        loop {
            let links = self.context.store.links_page(&self.connection().name, LinkKind::Product, &after, 500).await?;
            let Some(last) = links.last() else { break };
            after.clone_from(&last.sapo_id);
            for link in links {
                if !seen.contains(&link.sapo_id) && link.code.as_deref() != Some("deleted") {
                    let finding = Finding {
                        action: Action::Update,
                        kind: "product",
                        object: link.natural_key.clone(),
                        code: "not_met",
                        reason: "not met on Sapo: read, and hidden on Abaha where it was deleted".to_owned(),
                    };
                    self.note("product", &finding);
                    suspects.extend(link.sapo_parent);
                }
            }
        }
        for product in suspects {
            self.publish(System::Omni, Kind::Product, &product, None, None, true, Bytes::from_static(b"{}")).await?;
        }
        Ok(())
    }
}
