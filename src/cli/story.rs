//! `events show`: an order's whole story, from the first webhook to what stands on both sides now.

use serde_json::{Value, json};

use super::exit::{Exit, NotFound};
use super::setup::Invocation;
use super::{dead, events, links, out};
use crate::domain::money::Vnd;
use crate::store::Store;
use crate::store::dead_letters::DeadLetter;
use crate::store::ledger::{LedgerRow, Step};
use crate::store::links::{Link, LinkFilter, LinkKind};
use crate::store::parked::ParkedRow;

/// All that is known of what was asked for.
struct Story {
    rows: Vec<LedgerRow>,
    links: Vec<Link>,
    parked: Vec<ParkedRow>,
    letters: Vec<DeadLetter>,
}

/// Tells the story of an order code, an object id or the start of an event id.
pub async fn tell(
    invocation: &Invocation,
    store: &Store,
    search: &str,
    connection: Option<&str>,
) -> anyhow::Result<Exit> {
    let story = gather(store, search, connection).await?;
    if story.rows.is_empty() && story.links.is_empty() && story.letters.is_empty() {
        return Err(NotFound(format!("nothing is known of {search:?}: neither an order code, an object id, nor the start of an event id; `sapo-sync events list` shows what came")).into());
    }
    if invocation.json {
        story.tell_as_json();
    } else {
        story.tell();
    }
    Ok(Exit::Fine)
}

async fn gather(store: &Store, search: &str, connection: Option<&str>) -> anyhow::Result<Story> {
    let rows = store.story(search, connection).await?;
    let named = LinkFilter {
        connection: connection.map(ToOwned::to_owned),
        kind: Some(LinkKind::Order),
        search: Some(search.to_owned()),
        limit: 50,
        ..LinkFilter::default()
    };
    let mut links = store.list_links(&named).await?;
    for row in &rows {
        let Some(kind) = kind(&row.kind) else { continue };
        let found = match (row.source.as_str(), kind) {
            // A product's links are those of its variants.
            ("omni", LinkKind::Product) => store.links_of_product(&row.connection, &row.object_id).await?,
            ("omni", kind) => store.link_by_sapo(&row.connection, kind, &row.object_id).await?.into_iter().collect(),
            (_, kind) => store.link_by_channel(&row.connection, kind, &row.object_id).await?.into_iter().collect(),
        };
        links.extend(found);
    }
    links.sort_by(|one, other| {
        (&one.connection, &one.kind, &one.sapo_id).cmp(&(&other.connection, &other.kind, &other.sapo_id))
    });
    links.dedup_by(|one, other| {
        (&one.connection, &one.kind, &one.sapo_id) == (&other.connection, &other.kind, &other.sapo_id)
    });
    let mut parked: Vec<ParkedRow> = Vec::new();
    let mut letters: Vec<DeadLetter> = dead::named(store, search, connection).await?;
    for row in &rows {
        for waiting in store.list_parked(Some(&row.connection), None, Some(&row.object_id), 20).await? {
            let is_its = waiting.kind == row.kind && waiting.object_id == row.object_id;
            if is_its && !parked.iter().any(|known| known.event_id == waiting.event_id) {
                parked.push(waiting);
            }
        }
        for letter in dead::named(store, &row.event_id, Some(&row.connection)).await? {
            if !letters.iter().any(|known| known.event_id == letter.event_id && known.run == letter.run) {
                letters.push(letter);
            }
        }
    }
    letters.retain(|letter| letter.state == "open" || rows.is_empty());
    Ok(Story { rows, links, parked, letters })
}

fn kind(word: &str) -> Option<LinkKind> {
    LinkKind::from_word(word)
}

fn steps(row: &LedgerRow) -> Vec<Step> {
    serde_json::from_str(&row.story).unwrap_or_default()
}

impl Story {
    fn tell_as_json(&self) {
        let typed = |word: &str, row: Value| out::with(row, &[("type", json!(word))]);
        for row in &self.rows {
            let story = out::row(&steps(row));
            out::json(&out::with(typed("event", events::object(row)), &[("story", story)]));
        }
        for link in &self.links {
            out::json(&typed("link", out::row(link)));
        }
        for row in &self.parked {
            out::json(&out::with(typed("parked", out::row(row)), &[("outcome", json!("parked"))]));
        }
        for letter in &self.letters {
            out::json(&typed("dead", dead::object(letter)));
        }
    }

    fn tell(&self) {
        for row in &self.rows {
            tell_event(row);
        }
        for link in &self.links {
            tell_link(link);
        }
        for row in &self.parked {
            out::line(format!(
                "waits      {} {} since {}: {} ({}); looked at again at {}",
                row.kind,
                row.object_id,
                out::local(row.first_parked_at),
                row.reason,
                row.cause,
                out::local(row.due_at)
            ));
            out::line(format!("           at once: sapo-sync parked release --object {}", row.object_id));
        }
        for letter in &self.letters {
            out::line(format!(
                "dead       {} {} ({}), given up {}: {} ({})",
                letter.kind,
                letter.object_id,
                letter.state,
                out::local(letter.filed_at),
                letter.reason,
                letter.code
            ));
            if letter.state == "open" {
                out::line(format!("           when the cause is mended: sapo-sync dead replay {}", letter.event_id));
            }
        }
    }
}

fn tell_event(row: &LedgerRow) {
    let reference = row.reference.as_deref().map(|code| format!("{code} · ")).unwrap_or_default();
    let run = if row.run > 0 { format!(" · replay {}", row.run) } else { String::new() };
    let tries = if row.attempts > 0 { format!(" · failed tries {}", row.attempts) } else { String::new() };
    out::line(format!(
        "{}  {reference}{} {} · {} from {} · {}{run}{tries}",
        out::local(row.received_at),
        row.kind,
        row.object_id,
        row.topic,
        row.source,
        row.connection
    ));
    out::line(format!("    {}: {} ({})", row.outcome, row.reason, row.code));
    let day = out::local(row.received_at);
    for step in steps(row) {
        let at = out::local(step.at);
        // The day is said once, in the heading.
        let shown = if at.get(..10) == day.get(..10) { at.get(11..).unwrap_or(&at) } else { at.as_str() };
        out::line(format!("    {shown}  {:<9} {}", step.step, step.text.replace('\n', " ")));
    }
    out::line(format!("    id {}", row.event_id));
    out::line("");
}

fn tell_link(link: &Link) {
    let total = link
        .total
        .as_ref()
        .and_then(|total| total.parse().ok())
        .map(|total| format!(" · {}", Vnd(total)))
        .unwrap_or_default();
    let stages = match (&link.sapo_state, &link.channel_state) {
        (None, None) => String::new(),
        (sapo, channel) => {
            format!(" · on Sapo {}, on the channel {}", out::or_dash(sapo.as_deref()), out::or_dash(channel.as_deref()))
        }
    };
    let paid = if link.paid == 1 { " · paid" } else { "" };
    out::line(format!(
        "link       {} {}: Sapo {} ⇄ channel {} · {}{stages}{total}{paid}",
        link.kind,
        link.natural_key,
        link.sapo_id,
        link.channel_id,
        links::label(&link.state)
    ));
    if let (Some(code), Some(reason)) = (&link.code, &link.reason) {
        out::line(format!("           {reason} ({code})"));
    }
}
