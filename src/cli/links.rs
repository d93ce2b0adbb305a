//! `links`: which thing of the shop is which thing of the channel.

use super::args::LinksCommand;
use super::exit::Exit;
use super::out;
use super::setup::Invocation;
use crate::store::links::{Link, LinkFilter, LinkKind};

const HEADER: [&str; 9] = ["connection", "kind", "key", "Sapo", "channel", "state", "code", "reason", "changed"];

/// Lists links.
pub async fn run(invocation: Invocation, command: LinksCommand) -> anyhow::Result<Exit> {
    let LinksCommand::List { filter, state, sku, kind } = command;
    let store = invocation.store().await?;
    let since = filter.since.map(|since| since.seen_from(store.clock().now()));
    let kind = kind.or(sku.as_ref().map(|_| LinkKind::Product));
    let rows = store
        .list_links(&LinkFilter {
            connection: filter.connection,
            kind,
            state,
            key: sku,
            search: filter.search,
            code: filter.code,
            since,
            limit: filter.limit.saturating_add(1),
        })
        .await?;
    out::list(invocation.json, filter.limit, &rows, &HEADER, cells, out::row);
    Ok(Exit::Fine)
}

fn cells(link: &Link) -> Vec<String> {
    vec![
        link.connection.clone(),
        link.kind.clone(),
        link.natural_key.clone(),
        link.sapo_id.clone(),
        link.channel_id.clone(),
        label(&link.state).to_owned(),
        out::or_dash(link.code.as_deref()),
        out::or_dash(link.reason.as_deref()),
        out::local(link.updated_at),
    ]
}

/// A link's state in the guide's words.
pub fn label(state: &str) -> &str {
    match state {
        "linked" => "Đã liên kết (linked)",
        "error" => "Lỗi liên kết (error)",
        other => other,
    }
}
