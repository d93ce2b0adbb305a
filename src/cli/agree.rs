//! Whether both sides of a demo agree at its end: every order once, and nothing that a dry run would still change.

use std::collections::HashMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::follow::{Progress, until_ended};
use super::{exit, out};
use crate::sandbox::Sandbox;
use crate::store::dead_letters::DeadFilter;
use crate::store::jobs::JobRow;
use crate::sync::jobs::Summary;
use crate::work::context::Context;

/// What was found.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Orders the shop took, and how many of them stand on Abaha.
    to_abaha: Sides,
    /// Orders the Abaha site took, and how many of them stand on Sapo.
    to_sapo: Sides,
    /// The same of each web.
    from_webs: Vec<(String, Sides)>,
    /// What a dry run finds different, with why.
    differences: Vec<JobRow>,
    /// Open dead letters, by code.
    dead: HashMap<String, i64>,
    /// Parked rows, by cause.
    parked: HashMap<String, i64>,
}

/// One way of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sides {
    taken: usize,
    there: usize,
    doubled: usize,
}

/// Compares all sides; everything must be settled. The first connection is that of the Abaha site.
pub async fn compare(context: &Context, sandbox: &Sandbox, connections: &[String]) -> anyhow::Result<Agreement> {
    let (pos, channel) = (sandbox.omni().orders(), sandbox.abaha().orders());
    let (abaha, webs) = connections.split_first().context("a demo has a connection")?;
    let tag = tag_of(abaha);
    let mut agreement = Agreement {
        to_abaha: to_abaha(&pos, &channel, &tag),
        to_sapo: to_sapo(&pos, &channel, &tag),
        ..Agreement::default()
    };
    for (connection, alias) in webs.iter().zip(sandbox.web_aliases()) {
        let sides = from_web(&pos, &sandbox.web(&alias).orders(), &tag_of(connection));
        agreement.from_webs.push((alias, sides));
    }
    for connection in connections {
        agreement.differences.extend(differences(context, connection).await?);
        let open = DeadFilter { connection: Some(connection.clone()), limit: i64::MAX, ..DeadFilter::default() };
        for letter in context.store.list_letters(&open).await? {
            *agreement.dead.entry(letter.code).or_default() += 1;
        }
        for row in context.store.list_parked(Some(connection), None, None, i64::MAX).await? {
            *agreement.parked.entry(row.cause).or_default() += 1;
        }
    }
    Ok(agreement)
}

/// What a dry run of a connection's import would still do.
async fn differences(context: &Context, connection: &str) -> anyhow::Result<Vec<JobRow>> {
    let plan = context.store.add_job("plan", connection, "{}").await?;
    let ended = until_ended(&context.store, &plan.id, &mut Progress::new(false)).await?;
    if serde_json::from_str::<Summary>(&ended.found).is_err() || ended.state != "done" {
        anyhow::bail!("the sides of {connection} could not be compared: {}", ended.reason.unwrap_or(ended.state));
    }
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let rows = context.store.job_rows(&plan.id, after, 500).await?;
        if rows.is_empty() {
            return Ok(all);
        }
        after += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        all.extend(rows.into_iter().filter(|row| matches!(row.action.as_str(), "create" | "link" | "update")));
    }
}

/// The tag of orders made for a connection.
fn tag_of(connection: &str) -> String {
    format!("sapo-sync:{connection}")
}

fn is_ours(order: &Value, tag: &str) -> bool {
    let tags = &order["tags"];
    tags.as_str().is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag))
        || tags.as_array().is_some_and(|tags| tags.iter().any(|one| one == tag))
}

/// An id or code, whether it is written as a number or as text.
fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(ToOwned::to_owned)
        .or_else(|| value.as_u64().map(|number| number.to_string()))
        .filter(|text| !text.is_empty())
}

fn sides(taken: impl Iterator<Item = Option<String>>, made: impl Iterator<Item = Option<String>>) -> Sides {
    let mut marks: HashMap<String, usize> = HashMap::new();
    made.flatten().for_each(|mark| *marks.entry(mark).or_default() += 1);
    let mut sides = Sides { doubled: marks.values().filter(|number| **number > 1).count(), ..Sides::default() };
    for mark in taken {
        sides.taken += 1;
        sides.there += usize::from(mark.is_some_and(|mark| marks.contains_key(&mark)));
    }
    sides
}

fn to_abaha(pos: &[Value], channel: &[Value], tag: &str) -> Sides {
    let taken = pos.iter().filter(|order| !is_ours(order, tag)).map(|order| text(&order["id"]));
    sides(
        taken,
        channel
            .iter()
            .filter(|order| order["pos_type"] == "sapopos")
            .filter(|order| !from_site(pos, order, tag))
            .map(|order| text(&order["pos_id"])),
    )
}

fn to_sapo(pos: &[Value], channel: &[Value], tag: &str) -> Sides {
    let own = channel.iter().filter(|order| order["pos_type"] != "sapopos" || from_site(pos, order, tag));
    sides(
        own.map(|order| text(&order["cart_code"])),
        pos.iter().filter(|order| is_ours(order, tag)).map(|order| text(&order["reference_number"])),
    )
}

fn from_web(pos: &[Value], web: &[Value], tag: &str) -> Sides {
    sides(
        web.iter().map(|order| text(&order["name"])),
        pos.iter().filter(|order| is_ours(order, tag)).map(|order| text(&order["reference_number"])),
    )
}

/// Whether an order of the site with a mark is one that the site itself took.
fn from_site(pos: &[Value], order: &Value, tag: &str) -> bool {
    let code = text(&order["cart_code"]);
    code.is_some() && pos.iter().any(|one| is_ours(one, tag) && text(&one["reference_number"]) == code)
}

impl Agreement {
    /// Whether any order stands twice: that may never be.
    pub fn doubled(&self) -> bool {
        let webs: usize = self.from_webs.iter().map(|(_, sides)| sides.doubled).sum();
        self.to_abaha.doubled + self.to_sapo.doubled + webs > 0
    }

    /// Prints it; says how the command ends.
    pub fn print(&self, as_json: bool) -> exit::Exit {
        let ended = if self.doubled() { exit::Exit::Failed } else { exit::Exit::Fine };
        if as_json {
            let way = |sides: Sides| json!({"taken": sides.taken, "there": sides.there, "doubled": sides.doubled});
            out::json(&json!({
                "type": "agreement", "orders_to_abaha": way(self.to_abaha), "orders_to_sapo": way(self.to_sapo),
                "orders_from_webs": self.from_webs.iter().map(|(alias, sides)| (alias.clone(), way(*sides))).collect::<serde_json::Map<_, _>>(),
                "differences": self.differences, "dead": self.dead, "parked": self.parked,
            }));
            return ended;
        }
        let row = |way: &str, sides: Sides| {
            vec![
                way.to_owned(),
                sides.taken.to_string(),
                sides.there.to_string(),
                (sides.taken - sides.there).to_string(),
                sides.doubled.to_string(),
            ]
        };
        out::table(
            &["orders (Đơn hàng)", "taken", "on the other side", "not there", "twice"],
            [row("Sapo → Abaha", self.to_abaha), row("Abaha → Sapo", self.to_sapo)]
                .into_iter()
                .chain(self.from_webs.iter().map(|(alias, sides)| row(&format!("{alias} → Sapo"), *sides)))
                .collect(),
        );
        out::line(
            "not there, rightly: cancelled before they were seen, no phone number, or waiting for a product that Sapo does not know",
        );
        out::line(format!("parked: {}; dead letters: {}", told(&self.parked), told(&self.dead)));
        if self.differences.is_empty() {
            out::line("a dry run of the import finds nothing left to do: all sides agree");
        } else {
            out::line(format!(
                "a dry run of the import would still look at {} (sapo-sync events show CODE tells why each is as it is):",
                self.differences.len()
            ));
            let rows = self.differences.iter().take(20).map(|row| {
                vec![row.action.clone(), row.kind.clone(), row.object_id.clone(), row.code.clone(), row.reason.clone()]
            });
            out::table(&["action", "kind", "object", "code", "reason"], rows.collect());
            if !self.from_webs.is_empty() {
                out::line(
                    "stock that differs on a web was sold there by orders that are not approved on the POS yet: its next change there, reconcile or `links sync` puts it right (reserve_unapproved holds it back)",
                );
            }
        }
        if self.doubled() {
            out::note(
                "error: an order stands twice on one side; that is a defect: please report it with `sapo-sync events show CODE`",
            );
        }
        ended
    }
}

fn told(counts: &HashMap<String, i64>) -> String {
    let mut rows: Vec<String> = counts.iter().map(|(code, number)| format!("{number} {code}")).collect();
    rows.sort_unstable();
    if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_by_the_side_that_took_them_and_doubles_are_seen() {
        let pos = [
            json!({"id": 1, "tags": ["sapo-sync:d"], "reference_number": "A1"}),
            json!({"id": 2, "tags": ["sapo-sync:d"], "reference_number": "A1"}),
            json!({"id": 3, "tags": []}),
            json!({"id": 4, "tags": []}),
        ];
        let channel = [
            json!({"id": 11, "cart_code": "A1", "pos_id": "1", "pos_type": "sapopos"}),
            json!({"id": 12, "cart_code": "A2", "pos_type": null}),
            json!({"id": 13, "cart_code": "A3", "pos_id": 3, "pos_type": "sapopos"}),
        ];
        assert_eq!(to_sapo(&pos, &channel, "sapo-sync:d"), Sides { taken: 2, there: 1, doubled: 1 });
        assert_eq!(to_abaha(&pos, &channel, "sapo-sync:d"), Sides { taken: 2, there: 1, doubled: 0 });
    }
}
