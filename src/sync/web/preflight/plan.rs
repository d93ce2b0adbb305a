//! What of a proposal can be done, row by row, and doing it: each link by hand, with its audit row, then pushed.

use std::fmt;

use serde::Serialize;

use super::proposal::{Asked, Refused, Wish};
use super::report::Text;
use super::resolve::{Pair, claims, label, resolve};
use crate::domain::connection::Connection;
use crate::domain::event::words;
use crate::domain::linking::is_dead;
use crate::store::links::{Link, LinkKind};
use crate::store::{Store, StoreError};
use crate::sync::web::links;
use crate::work::web::linking::{LinkRefused, Target, link_by_hand};

words! {
    /// What becomes of a row.
    Outcome {
        /// The two are to be linked.
        Link = "link",
        /// They are linked with each other.
        Already = "already",
        /// It cannot be done.
        Refused = "refused",
    }
}

/// What is done with two variants whose SKUs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differing {
    /// They are refused: a spreadsheet of which one half was sorted apart looks just like that.
    Refused,
    /// They are linked, as the spreadsheet says.
    Linked,
}

/// A row of a proposal, with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The row, from 1, as the spreadsheet counts.
    pub row: u32,
    /// What becomes of it.
    pub action: Outcome,
    /// A stable word.
    pub code: String,
    /// Why.
    pub reason: Text,
    /// The POS's variant; empty where it is not known.
    pub sapo_variant: String,
    /// Its SKU as typed there; what the row says where it is not known.
    pub sapo_sku: String,
    /// The web's variant; empty where it is not known.
    pub web_variant: String,
    /// Its SKU as typed there; what the row says where it is not known.
    pub web_sku: String,
    /// Whether both variants are known, and their SKUs differ.
    pub different_skus: bool,
}

impl Step {
    fn of(pair: &Pair, action: Outcome, code: &str, told: Text) -> Self {
        let step = Self {
            row: pair.row,
            action,
            code: String::new(),
            reason: Text::new("", ""),
            sapo_variant: pair.sapo.id.clone(),
            sapo_sku: pair.sapo.sku.clone(),
            web_variant: pair.web.id.clone(),
            web_sku: pair.web.sku.clone(),
            different_skus: pair.differs(),
        };
        step.becomes(action, code, told)
    }

    /// A row that is not clear in itself.
    fn unclear(refused: Refused) -> Self {
        Self {
            row: refused.row,
            action: Outcome::Refused,
            code: refused.code.to_owned(),
            reason: refused.reason,
            sapo_variant: String::new(),
            sapo_sku: String::new(),
            web_variant: String::new(),
            web_sku: String::new(),
            different_skus: false,
        }
    }

    /// A row that names a variant which cannot be told.
    fn unknown(wish: Wish, refused: Refused) -> Self {
        Self {
            sapo_variant: wish.sapo_variant,
            sapo_sku: wish.sapo_sku,
            web_variant: wish.web_variant,
            web_sku: wish.web_sku,
            ..Self::unclear(refused)
        }
    }

    /// The same with another end; both SKUs are told where they differ.
    fn becomes(self, action: Outcome, code: &str, told: Text) -> Self {
        let reason = if self.different_skus {
            let (sapo, web) = (&self.sapo_sku, &self.web_sku);
            Text::new(
                format!("SKU khác nhau: POS \"{sapo}\", web \"{web}\". {}", told.vi),
                format!("the SKUs differ: \"{sapo}\" on the POS, \"{web}\" on the web; {}", told.en),
            )
        } else {
            told
        };
        Self { action, code: code.to_owned(), reason, ..self }
    }
}

/// What becomes of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their rows.
    pub steps: Vec<Step>,
    /// Rows without a mark.
    pub unmarked: u64,
}

impl Plan {
    /// How many rows have this outcome.
    pub fn count(&self, action: Outcome) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// How many of these are of two variants whose SKUs differ.
    pub fn count_different(&self, action: Outcome) -> usize {
        self.steps.iter().filter(|step| step.action == action && step.different_skus).count()
    }
}

/// Looks at every row of a proposal, and changes nothing.
pub async fn plan(store: &Store, connection: &str, asked: Asked, differing: Differing) -> Result<Plan, StoreError> {
    let mut steps: Vec<Step> = asked.refused.into_iter().map(Step::unclear).collect();
    let mut pairs = Vec::with_capacity(asked.wishes.len());
    for wish in asked.wishes {
        match resolve(store, connection, &wish).await? {
            Ok(pair) => pairs.push(pair),
            Err(refused) => steps.push(Step::unknown(wish, refused)),
        }
    }
    for (pair, refused) in claims(pairs) {
        steps.push(match refused {
            Some(refused) => Step::of(&pair, Outcome::Refused, refused.code, refused.reason),
            None => look_at(store, connection, &pair, differing).await?,
        });
    }
    steps.sort_by_key(|step| step.row);
    Ok(Plan { steps, unmarked: asked.unmarked })
}

async fn look_at(store: &Store, connection: &str, pair: &Pair, differing: Differing) -> Result<Step, StoreError> {
    let link = store.link_by_sapo(connection, LinkKind::Product, &pair.sapo.id).await?;
    let rival = store.link_by_channel(connection, LinkKind::Product, &pair.web.id).await?;
    let stands = |link: &Link| !link.code.as_deref().is_some_and(is_dead);
    let held = [link, rival].into_iter().flatten().find(stands);
    if held.as_ref().is_some_and(|held| held.sapo_id == pair.sapo.id && held.channel_id == pair.web.id) {
        return Ok(Step::of(pair, Outcome::Already, "linked", Text::new("Đã liên kết", "linked already")));
    }
    if pair.differs() && differing == Differing::Refused {
        return Ok(Step::of(pair, Outcome::Refused, "different_skus", why_refused(pair)));
    }
    if let Some(held) = held {
        let told = Text::new(
            format!(
                "Biến thể POS {} đã liên kết với biến thể web {}: hủy liên kết đó trước (sapo-sync links unlink)",
                held.sapo_id, held.channel_id
            ),
            format!(
                "POS variant {} is linked to web variant {} already: cut that link first (sapo-sync links unlink)",
                held.sapo_id, held.channel_id
            ),
        );
        return Ok(Step::of(pair, Outcome::Refused, "linked_elsewhere", told));
    }
    let told = match pair.corrected.map(label) {
        None => Text::new("Sẽ liên kết", "will be linked"),
        Some(side) => Text::new(
            format!("Sẽ liên kết; bảng sửa mã bên {side}, nhưng mã trên {side} không đổi"),
            format!("will be linked; the sheet corrects the SKU of the {side}, on the {side} it stays as it is"),
        ),
    };
    Ok(Step::of(pair, Outcome::Link, "link", told))
}

/// Why two variants whose SKUs differ are not linked, and what to do.
fn why_refused(pair: &Pair) -> Text {
    match pair.corrected.map(label) {
        None => Text::new(
            "Hai nửa của bảng có bị sắp xếp lệch nhau không? Nếu đúng là một sản phẩm, sửa SKU trên POS hoặc web cho giống nhau rồi làm lại báo cáo, hoặc thêm --different-skus",
            "was one half of the sheet sorted apart? If the two are one product, give both the same SKU on the POS or the web and make the report anew, or add --different-skus",
        ),
        Some(side) => Text::new(
            format!(
                "Bảng sửa mã bên {side}, nhưng mã trên {side} vẫn như cũ: sửa mã ngay trên {side} rồi làm lại báo cáo, hoặc thêm --different-skus để liên kết hai biến thể này như hiện có"
            ),
            format!(
                "the sheet corrects the SKU of the {side}, the {side} still has the old one: correct it on the {side} itself and make the report anew, or add --different-skus to link the two as they are"
            ),
        ),
    }
}

/// Makes the links of a plan, each with its audit row, and has them pushed; `keep` is told after each. What became of
/// every row since it was planned is in the plan that is returned.
pub async fn apply(
    store: &Store,
    connection: &Connection,
    plan: Plan,
    actor: &str,
    mut keep: impl FnMut(usize),
) -> Result<Plan, StoreError> {
    let mut done = Plan { steps: Vec::with_capacity(plan.steps.len()), unmarked: plan.unmarked };
    for (number, step) in plan.steps.into_iter().enumerate() {
        let step = if step.action == Outcome::Link { link(store, connection, step, actor).await? } else { step };
        done.steps.push(step);
        keep(number + 1);
    }
    Ok(done)
}

async fn link(store: &Store, connection: &Connection, step: Step, actor: &str) -> Result<Step, StoreError> {
    let pair = Target::Pair { sapo: step.sapo_variant.clone(), web: step.web_variant.clone() };
    match link_by_hand(store, &connection.name, &pair, actor).await {
        Ok(linked) if linked.new => {
            let product = linked.link.sapo_parent.clone().unwrap_or_default();
            links::push(store, connection, &product, std::slice::from_ref(&step.sapo_variant), actor).await?;
            Ok(step.becomes(Outcome::Link, "linked", Text::new("Đã liên kết", "linked")))
        }
        Ok(_) => Ok(step.becomes(Outcome::Already, "linked", Text::new("Đã liên kết", "linked already"))),
        Err(LinkRefused::Store(error)) => Err(error),
        Err(refused) => {
            let told = Text::new(format!("Không liên kết được: {refused}"), refused.to_string());
            Ok(step.becomes(Outcome::Refused, refused.code(), told))
        }
    }
}
