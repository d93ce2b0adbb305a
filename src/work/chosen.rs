//! What the settings choose for a channel's orders on the POS, and what becomes of an order where the POS has it no more.

use std::sync::PoisonError;

use super::context::{Halt, Run, SETTINGS, wrong_settings};
use super::products;
use crate::destination::omni::client::Choice;
use crate::destination::{CallError, OmniClient};
use crate::domain::event::System;
use crate::domain::order::NewPosOrder;
use crate::domain::outcome::{Cause, Outcome};

/// The words of a refusal that speaks of a line, which no setting names.
const LINES: [&str; 3] = ["order_line_items", "variant_id", "phiên bản"];

/// Something that the settings choose and that a call to the POS names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The branch that gets the orders; none where neither the settings nor the shop name one.
    Branch(Option<u64>),
    /// The order source.
    Source(u64),
    /// Who is in charge.
    Staff(u64),
    /// How prepayments are paid.
    PaymentMethod(u64),
    /// Whose the orders of nobody known are.
    WalkIn(u64),
}

impl Chosen {
    /// Its key in the connections file.
    fn key(self, channel: System) -> &'static str {
        match self {
            Self::Branch(_) if channel == System::Web => "order_branch",
            Self::Branch(_) => "branch",
            Self::Source(_) => "source",
            Self::Staff(_) => "staff",
            Self::PaymentMethod(_) => "payment_method",
            Self::WalkIn(_) => "walk_in_customer",
        }
    }

    fn id(self) -> Option<u64> {
        match self {
            Self::Branch(id) => id,
            Self::Source(id) | Self::Staff(id) | Self::PaymentMethod(id) | Self::WalkIn(id) => Some(id),
        }
    }

    /// What it is, in words.
    fn what(self) -> &'static str {
        match self {
            Self::Branch(_) => "branch (Chi nhánh)",
            Self::Source(_) => "order source (Nguồn đơn hàng)",
            Self::Staff(_) => "staff member (Nhân viên)",
            Self::PaymentMethod(_) => "payment method (Phương thức thanh toán)",
            Self::WalkIn(_) => "customer (Khách hàng)",
        }
    }

    /// Whether a refusal, in lower case, speaks of it: by the API's field, else by the shop's word.
    fn is_in(self, said: &str) -> bool {
        let words: &[&str] = match self {
            Self::Branch(_) => &["location_id", "chi nhánh"],
            Self::Source(_) => &["source_id", "nguồn"],
            Self::Staff(_) => &["account_id", "assignee_id", "nhân viên"],
            Self::PaymentMethod(_) => &["payment_method", "phương thức thanh toán"],
            Self::WalkIn(_) => &["customer_id", "khách hàng"],
        };
        words.iter().any(|word| said.contains(word))
    }
}

/// The branch that gets the channel's orders: the chosen one, else the shop's default.
pub async fn branch(run: &Run<'_>) -> Result<u64, Halt> {
    match known_branch(run).await? {
        Some(branch) => Ok(branch),
        None => Err(wrong_settings(no_branch(run)).into()),
    }
}

/// The POS's API, naming the branch of the channel's orders in what it writes.
pub async fn at_branch(run: &Run<'_>) -> Result<OmniClient, Halt> {
    Ok(run.omni.branch(known_branch(run).await?))
}

/// The same branch, where there is one.
pub async fn known_branch(run: &Run<'_>) -> Result<Option<u64>, Halt> {
    match run.connection().settings.branch {
        Some(branch) => Ok(Some(branch)),
        None => products::default_branch(run).await,
    }
}

/// What of the settings a new order names.
pub fn of_order(run: &Run<'_>, new: &NewPosOrder) -> Vec<Chosen> {
    let walk_in = run.connection().settings.web.walk_in_customer;
    let walk_in = walk_in.filter(|id| new.customer_id.as_deref() == Some(id.to_string().as_str()));
    let branch = Some(Chosen::Branch(Some(new.branch)));
    let all = [branch, new.source.map(Chosen::Source), new.staff.map(Chosen::Staff), walk_in.map(Chosen::WalkIn)];
    all.into_iter().flatten().collect()
}

/// What a call to the POS that failed means for its order. Where the POS refuses what the settings name, the order waits
/// for other settings; everything else stays what it is. Every such call names the branch, the one in `more` or the one known, and maybe `more`.
pub async fn judge(run: &Run<'_>, halt: Halt, more: &[Chosen]) -> Halt {
    let Halt::Call(CallError::Refused { code: "unknown_reference" | "unknown_payment_method", message, .. }) = &halt
    else {
        return halt;
    };
    match missing(run, &message.to_lowercase(), more).await {
        Ok(gone) if gone.is_empty() => halt,
        Ok(gone) => waiting(run, &gone).await.map_or_else(|halt| halt, Halt::Outcome),
        Err(halt) => halt,
    }
}

/// What the settings name in vain: of what the refusal speaks of, else of everything, what is not in the shop's own
/// lists.
async fn missing(run: &Run<'_>, said: &str, more: &[Chosen]) -> Result<Vec<Chosen>, Halt> {
    let mut all = more.to_vec();
    if !all.iter().any(|chosen| matches!(chosen, Chosen::Branch(_))) {
        all.push(Chosen::Branch(known_branch(run).await?));
    }
    let named: Vec<Chosen> = all.iter().copied().filter(|chosen| chosen.is_in(said)).collect();
    let of_a_line = LINES.iter().any(|word| said.contains(word));
    if named.is_empty() == of_a_line {
        // A line that names nothing of these; or something else, which is named.
        return Ok(named);
    }
    // Nothing is named, or a refused line speaks of its branch: a word proves nothing then.
    let mut gone = Vec::new();
    for chosen in if named.is_empty() { all } else { named } {
        if is_gone(run, chosen).await? {
            gone.push(chosen);
        }
    }
    Ok(gone)
}

/// Whether the shop has it no more. What was found missing is not looked for again within one recheck.
async fn is_gone(run: &Run<'_>, chosen: Chosen) -> Result<bool, Halt> {
    let (account, key) = (run.connection().store_account(), chosen.key(run.connection().channel));
    let key = format!("{account}/chosen/{key}/{}", chosen.id().unwrap_or_default());
    let known = run.context.branches.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
    if known.is_some_and(|(_, until)| run.context.clock.now() < until) {
        return Ok(true);
    }
    let in_use = |choices: &[Choice], id: u64| choices.iter().any(|choice| choice.id == id && choice.active);
    let there = match chosen {
        Chosen::Branch(None) => false,
        Chosen::Branch(Some(id)) => in_use(&run.omni.locations().await?, id),
        Chosen::Source(id) => in_use(&run.omni.order_sources().await?, id),
        Chosen::Staff(id) => in_use(&run.omni.accounts().await?, id),
        Chosen::PaymentMethod(id) => in_use(&run.omni.payment_methods().await?, id),
        Chosen::WalkIn(id) => match run.omni.customer(&id.to_string()).await {
            Ok(_) => true,
            Err(CallError::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        },
    };
    if !there {
        let until = run.context.clock.after(run.context.recheck);
        run.context.branches.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (0, until));
    }
    Ok(!there)
}

/// Parked until the settings name what is there.
async fn waiting(run: &Run<'_>, gone: &[Chosen]) -> Result<Outcome, Halt> {
    let settings = &run.connection().settings;
    if settings.branch.is_none()
        && let Some(Chosen::Branch(used)) = gone.iter().find(|chosen| matches!(chosen, Chosen::Branch(_)))
    {
        return default_refused(run, *used).await;
    }
    let said = |chosen: &Chosen| {
        let (what, id) = (chosen.what(), chosen.id().unwrap_or_default());
        format!("{what} {id} (`{}`)", chosen.key(run.connection().channel))
    };
    let said: Vec<String> = gone.iter().map(said).collect();
    let reason = format!(
        "the POS does not have {} (any more) and refuses the order; choose others in the connections file and run \
         `sapo-sync connect apply`, then it goes by itself",
        said.join(" and ")
    );
    Ok(wrong_settings(reason))
}

/// No branch is chosen, and the POS refuses the one that was its default: where that is another one now, the order goes
/// there at once.
async fn default_refused(run: &Run<'_>, used: Option<u64>) -> Result<Outcome, Halt> {
    let account = run.connection().store_account();
    run.context.branches.lock().unwrap_or_else(PoisonError::into_inner).remove(&account);
    let Some(now) = products::default_branch(run).await? else {
        return Ok(wrong_settings(no_branch(run)));
    };
    if used == Some(now) {
        let key = Chosen::Branch(used).key(run.connection().channel);
        let reason = format!(
            "the POS refuses its own default branch (Chi nhánh) {now}; set `{key}` to another and run `sapo-sync connect \
             apply`, then the order goes by itself"
        );
        return Ok(wrong_settings(reason));
    }
    let reason = format!("the shop's default branch (Chi nhánh) is {now} now; the order goes there");
    let due = Some(run.context.clock.now());
    Ok(Outcome::Parked { cause: Cause::Setup, cause_key: Some(SETTINGS.to_owned()), reason, due })
}

fn no_branch(run: &Run<'_>) -> String {
    let key = Chosen::Branch(None).key(run.connection().channel);
    format!(
        "no branch (Chi nhánh) is chosen for the channel's orders, and the shop has no default one; set `{key}` and run \
         `sapo-sync connect apply`, then the order goes by itself"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Chosen; 5] = [
        Chosen::Branch(Some(58_002)),
        Chosen::Source(1),
        Chosen::Staff(2),
        Chosen::PaymentMethod(3),
        Chosen::WalkIn(4),
    ];

    #[test]
    fn a_refusal_names_its_setting_by_the_field_or_by_the_shops_own_word() {
        for (said, keys) in [
            ("location_id: Chi nhánh không tồn tại", vec!["order_branch"]),
            ("Chi nhánh không tồn tại", vec!["order_branch"]),
            ("source_id: Nguồn bán hàng không tồn tại", vec!["source"]),
            ("account_id: Nhân viên không tồn tại; source_id: Không tồn tại", vec!["source", "staff"]),
            ("payment_method: Phương thức thanh toán không tồn tại", vec!["payment_method"]),
            ("Khách hàng không tồn tại", vec!["walk_in_customer"]),
            ("order_line_items[0].variant_id: Phiên bản sản phẩm không tồn tại", vec![]),
            ("Dữ liệu không tồn tại", vec![]),
        ] {
            let said_so = said.to_lowercase();
            let named = ALL.into_iter().filter(|chosen| chosen.is_in(&said_so));
            assert_eq!(named.map(|chosen| chosen.key(System::Web)).collect::<Vec<_>>(), keys, "{said}");
        }
        assert_eq!(Chosen::Branch(None).key(System::Abaha), "branch");
    }
}
