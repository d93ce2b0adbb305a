//! Which variants of the POS and of a web are the same: by SKU, judged over all rows that carry one.
//!
//! The SKU only proposes a link, the ids are the link (Sapo's guide "Kết nối nhiều Web", linking of products). What
//! is linked stays linked whatever happens to SKUs later: the newcomer is the error.

use std::fmt;

use super::event::words;

words! {
    /// One of the two catalogues.
    Side {
        /// The POS.
        Sapo = "sapo",
        /// The web.
        Channel = "channel",
    }
}

words! {
    /// The state of a variant that the owner sees.
    VariantState {
        /// Đã liên kết.
        Linked = "linked",
        /// Chưa liên kết.
        Unlinked = "unlinked",
        /// Lỗi liên kết.
        Error = "error",
    }
}

impl Side {
    /// The opposite one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Sapo => Self::Channel,
            Self::Channel => Self::Sapo,
        }
    }

    /// The code of a link whose object on this side is gone.
    pub fn gone_code(self) -> &'static str {
        match self {
            Self::Sapo => DELETED,
            Self::Channel => GONE_ON_CHANNEL,
        }
    }

    /// The code of a variant whose SKU is on this side alone.
    pub fn alone_code(self) -> &'static str {
        match self {
            Self::Sapo => "only_on_sapo",
            Self::Channel => "only_on_web",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sapo => "Sapo",
            Self::Channel => "the web",
        }
    }

    fn variant(self) -> &'static str {
        match self {
            Self::Sapo => "Sapo variant",
            Self::Channel => "web variant",
        }
    }
}

/// The code of a link whose POS variant was deleted.
pub const DELETED: &str = "deleted";
/// The code of a link whose web variant is gone.
pub const GONE_ON_CHANNEL: &str = "gone_on_channel";
/// The code of a variant without a SKU.
pub const NO_SKU: &str = "no_sku";
/// The code of a variant whose link was cut by hand.
pub const CUT_BY_HAND: &str = "cut_by_hand";
/// The code of a variant whose SKU occurs more than once on a side.
pub const AMBIGUOUS: &str = "ambiguous";
/// The code of a variant whose only counterpart is linked to another.
pub const LINKED_ELSEWHERE: &str = "linked_elsewhere";
/// The code of a linked variant whose SKU is not that of its counterpart any more.
pub const RENAMED: &str = "renamed";
/// The code of a linked variant whose stock the web does not count.
pub const UNMANAGED: &str = "unmanaged";
/// The code of a linked variant of which the POS states no stock at a chosen branch.
pub const STOCK_UNKNOWN: &str = "stock_unknown";
/// The code of a linked variant without a price in the chosen list.
pub const NO_PRICE: &str = "no_price";

/// The code of two variants that can be linked and are not yet: whoever looked at them was to link nothing.
pub const TO_BE_LINKED: &str = "to_be_linked";

/// So many candidates of a side are named in a reason; a SKU such as "0" may be on thousands.
const NAMED: usize = 20;

/// Where every candidate is seen, of however many.
const ALL_OF_THEM: &str = " (`sapo-sync links list --connection NAME --sku SKU` shows all)";

/// A row of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its side.
    pub side: Side,
    /// Its product.
    pub product_id: String,
    /// Its id.
    pub variant_id: String,
    /// Its link was cut by hand.
    pub cut: bool,
    /// Its link, in whatever state.
    pub joined: Option<Joined>,
}

/// A row's link, as seen from the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The variant on the other side.
    pub other: String,
    /// That one's SKU now, in compared form; `None` where its row is not known.
    pub other_sku: Option<String>,
    /// Code and reason, where the link is in error or something is not pushed through it ([`is_flag`]).
    pub error: Option<(String, String)>,
}

impl Joined {
    fn code(&self) -> Option<&str> {
        self.error.as_ref().map(|(code, _)| code.as_str())
    }

    /// Whether both sides of it are there: only then it holds them.
    pub fn stands(&self) -> bool {
        !self.code().is_some_and(is_dead)
    }
}

/// Whether a link with this code holds nothing any more.
pub fn is_dead(code: &str) -> bool {
    code == DELETED || code == GONE_ON_CHANNEL
}

/// Whether a link with this code is in good order all the same: the code says what is not pushed through it.
pub fn is_flag(code: &str) -> bool {
    [UNMANAGED, STOCK_UNKNOWN, NO_PRICE].contains(&code)
}

impl Candidate {
    /// Whether a standing link holds it.
    pub fn is_linked(&self) -> bool {
        self.joined.as_ref().is_some_and(Joined::stands)
    }

    /// Whether it is gone itself, and kept only to show its broken link.
    pub fn is_gone(&self) -> bool {
        self.joined.as_ref().and_then(Joined::code) == Some(self.side.gone_code())
    }

    fn described(&self) -> String {
        let link = match self.joined.as_ref().filter(|joined| joined.stands()) {
            Some(joined) => format!(", linked to {} {}", self.side.other().variant(), joined.other),
            None => String::new(),
        };
        format!("{} {} of product {}{link}", self.side.variant(), self.variant_id, self.product_id)
    }
}

/// What a variant's state is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: VariantState,
    /// A stable word for why; none where all is well.
    pub code: Option<String>,
    /// For people.
    pub reason: Option<String>,
}

impl Verdict {
    fn new(state: VariantState, code: &str, reason: impl Into<String>) -> Self {
        Self { state, code: Some(code.to_owned()), reason: Some(reason.into()) }
    }

    fn linked() -> Self {
        Self { state: VariantState::Linked, code: None, reason: None }
    }
}

/// What is to be made of the rows of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// One for each row, in the order of the rows.
    pub rows: Vec<Verdict>,
    /// The rows to be linked now: one of the POS, one of the web.
    pub link: Option<(usize, usize)>,
}

impl Judged {
    /// The rows' states where nothing is linked now: those that would be say so.
    pub fn without_linking(self, sku: &str) -> Vec<Verdict> {
        let waits = |at: usize| self.link.is_some_and(|(sapo, web)| at == sapo || at == web);
        let reason =
            format!("SKU {sku} is the same on both sides; the import, or the next change of either, links the two");
        let told = |(at, verdict)| {
            if waits(at) { Verdict::new(VariantState::Unlinked, TO_BE_LINKED, reason.as_str()) } else { verdict }
        };
        self.rows.into_iter().enumerate().map(told).collect()
    }
}

/// Judges all rows of one SKU (in compared form), both sides. What comes out does not depend on their order.
pub fn judge(sku: &str, rows: &[Candidate]) -> Judged {
    if sku.is_empty() {
        return Judged { rows: rows.iter().map(without_sku).collect(), link: None };
    }
    let group = Group::new(sku, rows);
    let link = group.link();
    let judged = rows.iter().enumerate().map(|(at, row)| match (&row.joined, link) {
        (Some(joined), _) if joined.stands() || row.is_gone() => of_link(row.side, sku, joined),
        (_, Some((one, other))) if at == one || at == other => Verdict::linked(),
        _ => group.free(row),
    });
    Judged { rows: judged.collect(), link }
}

fn without_sku(row: &Candidate) -> Verdict {
    match &row.joined {
        Some(joined) => of_link(row.side, "", joined),
        None => Verdict::new(
            VariantState::Unlinked,
            NO_SKU,
            "it has no SKU; give it the SKU that it has on the other side, or link it by hand",
        ),
    }
}

/// The state of a row that has a link: it follows the link.
pub fn of_link(side: Side, sku: &str, joined: &Joined) -> Verdict {
    let renamed = joined.other_sku.as_deref().filter(|other| *other != sku).map(|other| renamed(side, sku, other));
    match (&joined.error, renamed) {
        (Some((code, reason)), renamed) if is_flag(code) => {
            let reasons: Vec<&str> = std::iter::once(reason.as_str()).chain(renamed.as_deref()).collect();
            Verdict::new(VariantState::Linked, code, reasons.join("; "))
        }
        (Some((code, reason)), _) => Verdict::new(VariantState::Error, code, reason.clone()),
        (None, Some(reason)) => Verdict::new(VariantState::Linked, RENAMED, reason),
        (None, None) => Verdict::linked(),
    }
}

fn renamed(side: Side, sku: &str, other: &str) -> String {
    let (sapo, web) = if side == Side::Sapo { (sku, other) } else { (other, sku) };
    format!(
        "it stays linked, but its SKU is {} on Sapo and {} on the web now; give both the same SKU, or cut the link",
        shown(sapo),
        shown(web)
    )
}

fn shown(sku: &str) -> &str {
    if sku.is_empty() { "empty" } else { sku }
}

/// The rows of one SKU that are there, by side.
struct Group<'a> {
    sku: &'a str,
    sapo: Vec<(usize, &'a Candidate)>,
    web: Vec<(usize, &'a Candidate)>,
    /// Why nothing of it can be linked, where a side has the SKU more than once.
    ambiguous: Option<String>,
}

impl<'a> Group<'a> {
    fn new(sku: &'a str, rows: &'a [Candidate]) -> Self {
        let of = |side| rows.iter().enumerate().filter(move |(_, row)| row.side == side && !row.is_gone()).collect();
        let mut group = Self { sku, sapo: of(Side::Sapo), web: of(Side::Channel), ambiguous: None };
        if group.sapo.len() > 1 || group.web.len() > 1 {
            group.ambiguous = Some(candidates(sku, rows));
        }
        group
    }

    fn of(&self, side: Side) -> &[(usize, &'a Candidate)] {
        match side {
            Side::Sapo => &self.sapo,
            Side::Channel => &self.web,
        }
    }

    /// The pair that is free on both sides, where each has the SKU once.
    fn link(&self) -> Option<(usize, usize)> {
        let ([(sapo, one)], [(web, other)]) = (&*self.sapo, &*self.web) else { return None };
        let free = |row: &Candidate| !row.is_linked() && !row.cut;
        (free(one) && free(other)).then_some((*sapo, *web))
    }

    /// The verdict on a row that no standing link holds and that is not linked now.
    fn free(&self, row: &Candidate) -> Verdict {
        if row.cut {
            let reason = "its link was cut by hand, and stays so; link it (Liên kết) to have it synchronised again";
            return Verdict::new(VariantState::Unlinked, CUT_BY_HAND, reason);
        }
        if let Some(reason) = &self.ambiguous {
            return Verdict::new(VariantState::Error, AMBIGUOUS, reason.clone());
        }
        let Some((_, there)) = self.of(row.side.other()).first() else {
            return match &row.joined {
                Some(joined) => of_link(row.side, self.sku, joined),
                None => self.alone(row.side),
            };
        };
        if there.is_linked() {
            let reason = format!("SKU {}: {} already; cut that link first", self.sku, there.described());
            return Verdict::new(VariantState::Error, LINKED_ELSEWHERE, reason);
        }
        let reason = format!(
            "SKU {}: {} has it, and its link was cut by hand; link them (Liên kết) to have them synchronised",
            self.sku,
            there.described()
        );
        Verdict::new(VariantState::Unlinked, CUT_BY_HAND, reason)
    }

    fn alone(&self, side: Side) -> Verdict {
        let reason = format!("SKU {} is not on {}; give it to the same product there", self.sku, side.other().name());
        Verdict::new(VariantState::Unlinked, side.alone_code(), reason)
    }
}

/// Why a SKU cannot be linked that a side has more than once: the candidates of both sides, and of very many the command
/// that lists them all.
pub fn candidates(sku: &str, rows: &[Candidate]) -> String {
    let mut named = Vec::new();
    let mut counts = [0; 2];
    for (side, count) in [Side::Sapo, Side::Channel].into_iter().zip(&mut counts) {
        let mut rows: Vec<&Candidate> = rows.iter().filter(|row| row.side == side && !row.is_gone()).collect();
        *count = rows.len();
        rows.sort_unstable_by_key(|row| (&row.product_id, &row.variant_id));
        named.extend(rows.iter().take(NAMED).map(|row| row.described()));
        if rows.len() > NAMED {
            named.push(format!("and {} more on {}{ALL_OF_THEM}", rows.len() - NAMED, side.name()));
        }
    }
    let [sapo, web] = counts;
    let times = |count| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    format!(
        "SKU {sku} occurs {} on Sapo and {} on the web: {}; leave it on one of each, or link one pair by hand",
        times(sapo),
        times(web),
        named.join("; ")
    )
}

#[cfg(test)]
mod tests;
