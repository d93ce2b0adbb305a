//! Whether all sides of a demo agree at its end: every order once, and nothing left that nothing accounts for.

mod due;

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use serde_json::{Value, json};

use self::due::{Holds, Pair};
use super::follow::{Progress, until_ended};
use super::{exit, out};
use crate::sandbox::{Sandbox, orders_on_average};
use crate::store::dead_letters::{DeadFilter, DeadLetter};
use crate::store::jobs::JobRow;
use crate::sync::jobs::Summary;
use crate::work::context::Context;

/// Where so many orders are due on average, none at all is no accident.
const NO_ACCIDENT: f64 = 15.0;
/// How many are named of what is wrong.
const NAMED: usize = 10;

/// What was found.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Orders the shop took, and how many of them stand on Abaha.
    to_abaha: Sides,
    /// Orders the Abaha site took, and how many of them stand on Sapo.
    to_sapo: Sides,
    /// The same of each web.
    from_webs: Vec<(String, Sides)>,
    /// The site and the webs where nobody ordered anything, though there was time for it.
    idle: Vec<String>,
    /// What a dry run finds different, and nothing accounts for.
    differences: Vec<JobRow>,
    /// What it finds different, and rightly so, with why.
    explained: Vec<(JobRow, &'static str)>,
    /// Open dead letters, by code.
    dead: HashMap<String, i64>,
    /// Those of them that nothing accounts for.
    unexplained: Vec<DeadLetter>,
    /// Parked rows, by cause.
    parked: HashMap<String, i64>,
    /// What has not come to rest.
    unsettled: Option<String>,
}

/// One way of orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sides {
    /// Taken by the side they come from.
    taken: usize,
    /// Those of them that should stand on the other side by what the sandbox knows.
    due: usize,
    /// Those of them that do stand there, due or not: some were cancelled since.
    there: usize,
    /// Marks that stand there more than once.
    doubled: usize,
    /// The codes of those that are due and not there.
    missing: Vec<String>,
}

/// An order of the side that took it.
struct Taken {
    code: String,
    mark: Option<String>,
    due: bool,
}

/// Something that may not be so at the end of a demo.
#[derive(Debug)]
struct Problem {
    code: &'static str,
    text: String,
}

/// Compares all sides; everything must be settled, or `unsettled` tells what is not. The first connection is that of the
/// Abaha site; `happened` is how many things happened in the shop, on the site and on the webs.
pub async fn compare(
    context: &Context,
    sandbox: &Sandbox,
    connections: &[String],
    happened: u64,
    unsettled: Option<String>,
) -> anyhow::Result<Agreement> {
    let (abaha, webs) = connections.split_first().context("a demo has a connection")?;
    let (with_site, with_web) = orders_on_average(happened, webs.len());
    let (pos, site) = (Holds::of_pos(sandbox), Holds::of_abaha(sandbox));
    let pair = Pair { pos: &pos, channel: &site, tag: tag_of(abaha), of_web: false };
    let mut found = Agreement { to_abaha: to_abaha(&pair), to_sapo: to_sapo(&pair), unsettled, ..Agreement::default() };
    if found.to_sapo.taken == 0 && with_site >= NO_ACCIDENT && pos.sells() {
        found.idle.push("Abaha".to_owned());
    }
    found.look_at(context, abaha, &pair).await?;
    for (connection, alias) in webs.iter().zip(sandbox.web_aliases()) {
        let web = Holds::of_web(sandbox, &alias);
        let pair = Pair { pos: &pos, channel: &web, tag: tag_of(connection), of_web: true };
        let sides = from_web(&pair);
        if sides.taken == 0 && with_web >= NO_ACCIDENT && !sandbox.shared_web_variants(&alias).is_empty() {
            found.idle.push(alias.clone());
        }
        found.from_webs.push((alias, sides));
        found.look_at(context, connection, &pair).await?;
    }
    Ok(found)
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

fn sides(taken: impl Iterator<Item = Taken>, made: impl Iterator<Item = Option<String>>) -> Sides {
    let mut marks: HashMap<String, usize> = HashMap::new();
    made.flatten().for_each(|mark| *marks.entry(mark).or_default() += 1);
    let mut sides = Sides { doubled: marks.values().filter(|number| **number > 1).count(), ..Sides::default() };
    for Taken { code, mark, due } in taken {
        let is_there = mark.is_some_and(|mark| marks.contains_key(&mark));
        sides.taken += 1;
        sides.due += usize::from(due);
        sides.there += usize::from(is_there);
        if due && !is_there {
            sides.missing.push(code);
        }
    }
    sides
}

fn to_abaha(pair: &Pair<'_>) -> Sides {
    let own = pair.pos.orders.iter().filter(|order| !is_ours(order, &pair.tag));
    let made = pair.channel.orders.iter().filter(|order| order["pos_type"] == "sapopos" && !from_site(pair, order));
    sides(
        own.map(|order| Taken {
            code: text(&order["code"]).unwrap_or_default(),
            mark: text(&order["id"]),
            due: pair.due_on_abaha(order),
        }),
        made.map(|order| text(&order["pos_id"])),
    )
}

fn to_sapo(pair: &Pair<'_>) -> Sides {
    let own = pair.channel.orders.iter().filter(|order| order["pos_type"] != "sapopos" || from_site(pair, order));
    on_pos(pair, own)
}

fn from_web(pair: &Pair<'_>) -> Sides {
    on_pos(pair, pair.channel.orders.iter())
}

fn on_pos<'v>(pair: &Pair<'_>, own: impl Iterator<Item = &'v Value>) -> Sides {
    let made = pair.pos.orders.iter().filter(|order| is_ours(order, &pair.tag));
    let taken = own.map(|order| {
        let mark = pair.code(order);
        Taken { code: mark.clone().unwrap_or_default(), mark, due: pair.due_on_pos(order) }
    });
    sides(taken, made.map(|order| text(&order["reference_number"])))
}

/// Whether an order of the site with a mark is one that the site itself took.
fn from_site(pair: &Pair<'_>, order: &Value) -> bool {
    let code = pair.code(order);
    let mut orders = pair.pos.orders.iter();
    code.is_some() && orders.any(|one| is_ours(one, &pair.tag) && text(&one["reference_number"]) == code)
}

impl Agreement {
    /// Adds what a dry run finds of a connection, and what of it was given up or waits.
    async fn look_at(&mut self, context: &Context, connection: &str, pair: &Pair<'_>) -> anyhow::Result<()> {
        for row in differences(context, connection).await? {
            match pair.why_differs(&row) {
                Some(why) => self.explained.push((row, why)),
                None => self.differences.push(row),
            }
        }
        let open = DeadFilter { connection: Some(connection.to_owned()), limit: i64::MAX, ..DeadFilter::default() };
        for letter in context.store.list_letters(&open).await? {
            *self.dead.entry(letter.code.clone()).or_default() += 1;
            if pair.why_dead(&letter).is_none() {
                self.unexplained.push(letter);
            }
        }
        for row in context.store.list_parked(Some(connection), None, None, i64::MAX).await? {
            *self.parked.entry(row.cause).or_default() += 1;
        }
        Ok(())
    }

    /// Every way of orders, by its name.
    fn ways(&self) -> Vec<(String, &Sides)> {
        let own = [("Sapo → Abaha".to_owned(), &self.to_abaha), ("Abaha → Sapo".to_owned(), &self.to_sapo)];
        let webs = self.from_webs.iter().map(|(alias, sides)| (format!("{alias} → Sapo"), sides));
        own.into_iter().chain(webs).collect()
    }

    /// What may not be so, each with what to look at next; `look` is how the program is called on this state.
    fn problems(&self, look: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |code, text: String| found.push(Problem { code, text });
        if let Some(left) = &self.unsettled {
            add(
                "not_settled",
                format!(
                    "vẫn chưa yên (not everything came to rest): {left}; look at `{look} parked list` and `{look} events list`"
                ),
            );
        }
        for (way, sides) in self.ways() {
            let Sides { due, there, doubled, missing, .. } = sides;
            if *doubled > 0 {
                add(
                    "doubled",
                    format!(
                        "{way}: {doubled} đơn hàng có hai lần ở bên kia (orders stand twice on the other side); that is a \
                         defect: please report it with `{look} events show CODE`"
                    ),
                );
            }
            let Some(first) = missing.first() else { continue };
            let next = format!("`{look} events show '{first}'` tells what became of the first");
            let named = named(missing.iter().cloned());
            if *there == 0 {
                let text = format!(
                    "{way}: không đơn hàng nào tới nơi (none of the {due} orders that are due arrived): {named}; {next}, \
                     `{look} events list` what came at all"
                );
                add("no_orders", text);
            } else {
                let text = format!(
                    "{way}: thiếu {} trong {due} đơn hàng (so many of the orders that are due did not arrive): {named}; \
                     {next}, `{look} parked list` what waits",
                    missing.len()
                );
                add("orders_missing", text);
            }
        }
        for name in &self.idle {
            add(
                "none_placed",
                format!(
                    "{name}: không ai đặt hàng (nobody ordered anything, though there was time for it): nothing that the \
                     shop sells can be bought there; look at `{look} links list --kind product`"
                ),
            );
        }
        if let Some(first) = self.unexplained.first() {
            let letters = self
                .unexplained
                .iter()
                .map(|letter| format!("{} {}", letter.reference.as_deref().unwrap_or(&letter.object_id), letter.code));
            add(
                "dead_letters",
                format!(
                    "{} thông báo phải bỏ dở không rõ lý do (dead letters that nothing in the made-up shop accounts for): {}; \
                     `{look} dead show {}` tells of the first, `{look} dead list` of all",
                    self.unexplained.len(),
                    named(letters),
                    first.event_id
                ),
            );
        }
        if let Some(first) = self.differences.first() {
            let rows = self.differences.iter().map(|row| format!("{} {} {}", row.action, row.kind, row.object_id));
            let next = if first.kind == "order" { "events show" } else { "links list --search" };
            add(
                "differences",
                format!(
                    "{} chỗ lệch không rõ lý do (differences that nothing in the made-up shop accounts for): {}; `{look} {next} \
                     '{}'` tells of the first",
                    self.differences.len(),
                    named(rows),
                    first.object_id
                ),
            );
        }
        found
    }

    /// Prints it; says how the command ends. `look` is how the program is called on this state.
    pub fn print(&self, as_json: bool, look: &str) -> exit::Exit {
        let problems = self.problems(look);
        if as_json {
            out::json(&self.json(&problems));
        } else {
            self.print_tables();
        }
        for problem in &problems {
            out::note(format!("lỗi / error: {}", problem.text));
        }
        if problems.is_empty() { exit::Exit::Fine } else { exit::Exit::Failed }
    }

    fn json(&self, problems: &[Problem]) -> Value {
        let way = |sides: &Sides| {
            let Sides { taken, due, there, doubled, missing } = sides;
            json!({"taken": taken, "due": due, "there": there, "doubled": doubled, "missing": missing})
        };
        let told = problems.iter().map(|problem| json!({"code": problem.code, "text": problem.text}));
        let webs = self.from_webs.iter().map(|(alias, sides)| (alias.clone(), way(sides)));
        let explained = self.explained.iter().map(|(row, why)| out::with(out::row(row), &[("why", json!(why))]));
        json!({
            "type": "agreement", "agrees": problems.is_empty(), "problems": told.collect::<Vec<_>>(),
            "orders_to_abaha": way(&self.to_abaha), "orders_to_sapo": way(&self.to_sapo),
            "orders_from_webs": webs.collect::<serde_json::Map<_, _>>(),
            "differences": self.differences, "explained": explained.collect::<Vec<_>>(),
            "dead": self.dead, "unexplained_dead": self.unexplained.iter().map(out::row).collect::<Vec<_>>(),
            "parked": self.parked,
        })
    }

    fn print_tables(&self) {
        let cells = |(way, sides): (String, &Sides)| {
            let counts = [sides.taken, sides.there, sides.due, sides.missing.len(), sides.doubled];
            std::iter::once(way).chain(counts.iter().map(ToString::to_string)).collect::<Vec<String>>()
        };
        out::table(
            &["orders (Đơn hàng)", "taken", "on the other side", "due there", "missing", "twice"],
            self.ways().into_iter().map(cells).collect(),
        );
        out::line(
            "not due: cancelled or returned, without a phone number, or with a line that the other side does not have",
        );
        out::line(format!("parked: {}; dead letters: {}", told(&self.parked), told(&self.dead)));
        if self.differences.is_empty() && self.explained.is_empty() {
            out::line("a dry run of the import finds nothing left to do: all sides agree");
            return;
        }
        out::line(format!(
            "a dry run of the import would still look at {}:",
            self.differences.len() + self.explained.len()
        ));
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        self.explained.iter().for_each(|(_, why)| *reasons.entry(why).or_default() += 1);
        for (why, number) in reasons {
            out::line(format!("  {number} rightly: {why}"));
        }
        if !self.differences.is_empty() {
            let rows = self.differences.iter().take(20).map(|row| {
                vec![row.action.clone(), row.kind.clone(), row.object_id.clone(), row.code.clone(), row.reason.clone()]
            });
            out::table(&["action", "kind", "object", "code", "reason"], rows.collect());
        }
    }
}

/// The first few of many.
fn named(all: impl Iterator<Item = String>) -> String {
    let mut all = all.peekable();
    let first: Vec<String> = all.by_ref().take(NAMED).collect();
    first.join(", ") + if all.peek().is_some() { ", …" } else { "" }
}

fn told(counts: &HashMap<String, i64>) -> String {
    let mut rows: Vec<String> = counts.iter().map(|(code, number)| format!("{number} {code}")).collect();
    rows.sort_unstable();
    if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(orders: Vec<Value>) -> Holds {
        Holds::new(orders, vec![json!({"sku": "AT-S", "product_code": "AT-S"})], "sku")
    }

    fn sides_of(there: usize, missing: &[&str]) -> Sides {
        let missing: Vec<String> = missing.iter().map(|code| (*code).to_owned()).collect();
        let due = there + missing.len();
        Sides { taken: due, due, there, doubled: 0, missing }
    }

    fn codes(agreement: &Agreement) -> Vec<&'static str> {
        agreement.problems("sapo-sync --data-dir d").into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn orders_are_counted_by_the_side_that_took_them_and_doubles_are_seen() {
        let (pos, channel) = (
            holds(vec![
                json!({"id": 1, "tags": ["sapo-sync:d"], "reference_number": "A1"}),
                json!({"id": 2, "tags": ["sapo-sync:d"], "reference_number": "A1"}),
                json!({"id": 3, "tags": []}),
                json!({"id": 4, "code": "SON4", "tags": [], "status": "draft", "phone_number": "0912000001",
                    "order_line_items": [{"sku": "AT-S"}]}),
            ]),
            holds(vec![
                json!({"id": 11, "cart_code": "A1", "pos_id": "1", "pos_type": "sapopos"}),
                json!({"id": 12, "cart_code": "A2", "pos_type": null, "status": 5, "product_items": [{"product_code": "AT-S"}]}),
                json!({"id": 13, "cart_code": "A3", "pos_id": 3, "pos_type": "sapopos"}),
            ]),
        );
        let pair = Pair { pos: &pos, channel: &channel, tag: "sapo-sync:d".into(), of_web: false };
        let missing = |code: &str| vec![code.to_owned()];
        assert_eq!(to_sapo(&pair), Sides { taken: 2, due: 1, there: 1, doubled: 1, missing: missing("A2") });
        assert_eq!(to_abaha(&pair), Sides { taken: 2, due: 1, there: 1, doubled: 0, missing: missing("SON4") });
    }

    #[test]
    fn what_nothing_accounts_for_is_a_problem_with_what_to_look_at_and_what_something_does_is_none() {
        let row = |object: &str| JobRow {
            kind: "product".into(),
            object_id: object.into(),
            action: "update".into(),
            code: "differs".into(),
            reason: "price 2, there 1".into(),
        };
        let quiet = Agreement {
            to_abaha: sides_of(3, &[]),
            from_webs: vec![("mau".into(), sides_of(0, &[]))],
            explained: vec![(row("AT-S"), "sold there")],
            dead: HashMap::from([("free_form_line".into(), 1)]),
            parked: HashMap::from([("unlinked_product".into(), 2)]),
            ..Agreement::default()
        };
        assert!(codes(&quiet).is_empty());
        let mut wrong = Agreement {
            to_abaha: sides_of(3, &["SON9"]),
            from_webs: vec![("mau".into(), sides_of(0, &["#1001", "#1002"])), ("hai".into(), sides_of(2, &[]))],
            idle: vec!["Abaha".into()],
            differences: vec![row("AT-M")],
            unsettled: Some("3 events in the queue".into()),
            ..Agreement::default()
        };
        wrong.to_sapo.doubled = 1;
        let expected = ["not_settled", "orders_missing", "doubled", "no_orders", "none_placed", "differences"];
        assert_eq!(codes(&wrong), expected);
        let problems = wrong.problems("sapo-sync --data-dir d");
        for (code, words) in [
            ("no_orders", ["mau → Sapo", "#1001, #1002", "sapo-sync --data-dir d events show '#1001'"]),
            ("orders_missing", ["Sapo → Abaha", "1 trong 4", "events show 'SON9'"]),
            ("differences", ["1 chỗ lệch", "update product AT-M", "links list --search 'AT-M'"]),
        ] {
            let text = &problems.iter().find(|problem| problem.code == code).unwrap().text;
            assert!(words.iter().all(|word| text.contains(word)), "{code}: {text}");
        }
        let told = wrong.json(&problems);
        assert_eq!((&told["agrees"], &told["problems"][0]["code"]), (&json!(false), &json!("not_settled")));
        assert_eq!(told["orders_from_webs"]["mau"]["missing"], json!(["#1001", "#1002"]));
        assert_eq!(quiet.json(&[])["agrees"], true);
    }

    #[test]
    fn of_many_the_first_few_are_named() {
        let many = |number: usize| named((1..=number).map(|one| one.to_string()));
        assert_eq!((many(2).as_str(), many(10).contains('…')), ("1, 2", false));
        assert!(many(11).ends_with("10, …"));
    }
}
