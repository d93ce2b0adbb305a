//! `links list`: variants of a web with their states, orders of a web, or links as such.

use serde_json::{Map, Value, json};

use super::args::ListArgs;
use super::why::why;
use super::{csv, label};
use crate::cli::exit::{Exit, Usage};
use crate::cli::out;
use crate::cli::setup::{Invocation, no_connection};
use crate::domain::event::System;
use crate::domain::linking::{Side, VariantState};
use crate::domain::sku::Sku;
use crate::domain::time;
use crate::store::Store;
use crate::store::channel_orders::{ChannelOrder, ChannelOrderFilter, ChannelOrderState};
use crate::store::connections::Snapshot;
use crate::store::links::{Link, LinkFilter, LinkKind, LinkState};
use crate::store::variants::{Variant, VariantFilter};

const LINKS: [&str; 9] = ["connection", "kind", "key", "Sapo", "channel", "state", "code", "reason", "changed"];
const VARIANTS: [&str; 8] = ["side", "SKU", "name (Tên)", "product", "variant", "state", "code", "reason"];
const ORDERS: [&str; 6] = ["order (Đơn hàng)", "id", "state", "code", "reason", "changed"];
const VARIANTS_CSV: [&str; 10] =
    ["connection", "side", "state", "sku", "name", "product_id", "variant_id", "code", "reason", "updated_at"];
const ORDERS_CSV: [&str; 7] = ["connection", "name", "order_id", "state", "code", "reason", "updated_at"];
/// Rows read at once for a spreadsheet.
const PAGE: i64 = 500;

/// Lists what is asked for.
pub async fn run(invocation: &Invocation, args: ListArgs) -> anyhow::Result<Exit> {
    if args.csv && invocation.json {
        return Err(wrong("--csv and --json are two forms of one answer; give one of them"));
    }
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let name = args.filter.connection.clone().unwrap_or_default();
    let of = known.connections.get(&name);
    if args.filter.connection.is_some() && of.is_none() {
        return Err(no_connection(&name, &known).into());
    }
    let is_web = of.is_some_and(|row| row.connection.channel == System::Web);
    let kind = args.kind.or(args.sku.as_ref().map(|_| LinkKind::Product));
    match kind {
        None | Some(LinkKind::Product) if is_web => variants(invocation, &store, &name, args).await,
        Some(LinkKind::Order) if is_web => orders(invocation, &store, &name, args).await,
        _ => links(invocation, &store, &known, kind, args).await,
    }
}

fn wrong(text: &str) -> anyhow::Error {
    Usage(text.to_owned()).into()
}

/// At most so many rows: every one of a SKU, so that all its candidates are seen, else what --limit says.
fn most(args: &ListArgs) -> i64 {
    if args.sku.as_deref().and_then(Sku::new).is_some() { i64::MAX } else { args.filter.limit }
}

async fn links(
    invocation: &Invocation,
    store: &Store,
    known: &Snapshot,
    kind: Option<LinkKind>,
    args: ListArgs,
) -> anyhow::Result<Exit> {
    let state = match args.state {
        None => None,
        Some(VariantState::Linked) => Some(LinkState::Linked),
        Some(VariantState::Error) => Some(LinkState::Error),
        Some(VariantState::Unlinked) => {
            return Err(wrong(
                "what is not linked is known of webs alone: add --connection with the name of one (`sapo-sync connect list`)",
            ));
        }
    };
    if args.side.is_some() {
        return Err(wrong("--side is for the variants of a web: add --connection with the name of one"));
    }
    let most = most(&args);
    let filter = args.filter;
    let rows = store
        .list_links(&LinkFilter {
            connection: filter.connection,
            kind,
            state,
            key: args.sku,
            search: filter.search,
            code: filter.code,
            since: filter.since.map(|since| since.seen_from(store.clock().now())),
            limit: if args.csv { i64::MAX } else { most.saturating_add(1) },
        })
        .await?;
    if args.csv {
        csv::header(&LINKS);
        for link in &rows {
            let cells = link_cells(link, link.state.clone(), out::or_dash(link.code.as_deref()));
            csv::row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        }
        return Ok(Exit::Fine);
    }
    let cells = |link: &Link| {
        let channel = known.connections.get(&link.connection).map_or(System::Web, |row| row.connection.channel);
        let kind = LinkKind::from_word(&link.kind).unwrap_or(LinkKind::Product);
        link_cells(link, label(&link.state).to_owned(), code_cell(channel, kind, link.code.as_deref()))
    };
    out::list(invocation.json, most, &rows, &LINKS, cells, out::row);
    Ok(Exit::Fine)
}

fn link_cells(link: &Link, state: String, code: String) -> Vec<String> {
    vec![
        link.connection.clone(),
        link.kind.clone(),
        link.natural_key.clone(),
        link.sapo_id.clone(),
        link.channel_id.clone(),
        state,
        code,
        out::or_dash(link.reason.as_deref()),
        out::local(link.updated_at),
    ]
}

async fn variants(invocation: &Invocation, store: &Store, name: &str, args: ListArgs) -> anyhow::Result<Exit> {
    if args.filter.since.is_some() {
        return Err(wrong(
            "--since is for links and orders, for when a variant's state changed is not kept: add --kind order, or leave it out",
        ));
    }
    let most = most(&args);
    let wanted = VariantFilter {
        connection: name.to_owned(),
        side: args.side,
        state: args.state,
        sku: args.sku,
        search: args.filter.search,
        code: args.filter.code,
        after: None,
        limit: most.saturating_add(1),
    };
    if args.csv {
        return variants_csv(store, wanted).await;
    }
    counts(invocation, store, name, args.side).await?;
    let rows = store.list_variants(&wanted).await?;
    out::list(invocation.json, most, &rows, &VARIANTS, variant_cells, variant_object);
    Ok(Exit::Fine)
}

/// The tabs of the products screen: how many variants are in which state, side by side.
async fn counts(invocation: &Invocation, store: &Store, name: &str, side: Option<Side>) -> anyhow::Result<()> {
    for side in Side::ALL.iter().filter(|one| side.is_none_or(|side| side == **one)) {
        let counted = store.count_variants(name, Some(*side)).await?;
        let of = |state: VariantState| counted.iter().find(|row| row.0 == state).map_or(0, |row| row.1);
        let all: i64 = counted.iter().map(|row| row.1).sum();
        if invocation.json {
            let states: Map<String, Value> =
                VariantState::ALL.iter().map(|state| (state.to_string(), json!(of(*state)))).collect();
            out::json(&json!({
                "type": "count", "connection": name, "kind": "product", "side": side_word(side.as_str()), "all": all,
                "states": states,
            }));
            continue;
        }
        let tabs: Vec<String> =
            VariantState::ALL.iter().map(|state| format!("{} {}", label(state.as_str()), of(*state))).collect();
        out::line(format!("{}: Tất cả (all) {all} · {}", side_name(side.as_str()), tabs.join(" · ")));
    }
    Ok(())
}

fn side_name(side: &str) -> &'static str {
    if side == Side::Sapo.as_str() { "POS" } else { "web" }
}

fn side_word(side: &str) -> &'static str {
    if side == Side::Sapo.as_str() { "sapo" } else { "web" }
}

/// A code, with what it means to the owner.
fn code_cell(channel: System, kind: LinkKind, code: Option<&str>) -> String {
    let Some(code) = code.filter(|code| !code.is_empty()) else { return "–".to_owned() };
    match why(channel, kind, code) {
        Some(words) => format!("{words} ({code})"),
        None => code.to_owned(),
    }
}

fn variant_cells(variant: &Variant) -> Vec<String> {
    vec![
        side_name(&variant.side).to_owned(),
        out::or_dash(Some(&variant.sku)),
        variant.name.clone(),
        variant.product_id.clone(),
        variant.variant_id.clone(),
        label(&variant.state).to_owned(),
        code_cell(System::Web, LinkKind::Product, variant.code.as_deref()),
        out::or_dash(variant.reason.as_deref()),
    ]
}

/// A variant as programs read it.
fn variant_object(variant: &Variant) -> Value {
    let facts: Value = serde_json::from_str(&variant.facts).unwrap_or(Value::Null);
    out::with(
        out::row(variant),
        &[
            ("type", json!("variant")),
            ("side", json!(side_word(&variant.side))),
            ("facts", facts),
            ("cut", json!(variant.cut != 0)),
        ],
    )
}

async fn variants_csv(store: &Store, mut wanted: VariantFilter) -> anyhow::Result<Exit> {
    csv::header(&VARIANTS_CSV);
    wanted.limit = PAGE;
    loop {
        let page = store.list_variants(&wanted).await?;
        let Some(last) = page.last() else { return Ok(Exit::Fine) };
        wanted.after = Some(last.mark());
        for row in &page {
            csv::row(&[
                &row.connection,
                side_word(&row.side),
                &row.state,
                &row.sku,
                &row.name,
                &row.product_id,
                &row.variant_id,
                row.code.as_deref().unwrap_or_default(),
                row.reason.as_deref().unwrap_or_default(),
                &time::format(row.updated_at),
            ]);
        }
    }
}

async fn orders(invocation: &Invocation, store: &Store, name: &str, args: ListArgs) -> anyhow::Result<Exit> {
    if args.side.is_some() || args.sku.is_some() {
        return Err(wrong("--side and --sku are for products; an order is found with --search and its name"));
    }
    let mut wanted = ChannelOrderFilter {
        connection: Some(name.to_owned()),
        state: args.state.and_then(|state| ChannelOrderState::from_word(state.as_str())),
        search: args.filter.search,
        code: args.filter.code,
        since: args.filter.since.map(|since| since.seen_from(store.clock().now())),
        after: None,
        limit: args.filter.limit.saturating_add(1),
    };
    if args.csv {
        csv::header(&ORDERS_CSV);
        wanted.limit = PAGE;
        loop {
            let page = store.list_channel_orders(&wanted).await?;
            let Some(last) = page.last() else { return Ok(Exit::Fine) };
            wanted.after = Some((last.connection.clone(), last.updated_at, last.order_id.clone()));
            for row in &page {
                let changed = time::format(row.updated_at);
                csv::row(&[&row.connection, &row.name, &row.order_id, &row.state, &row.code, &row.reason, &changed]);
            }
        }
    }
    order_counts(invocation, store, name).await?;
    let rows = store.list_channel_orders(&wanted).await?;
    let object = |row: &ChannelOrder| out::with(out::row(row), &[("type", json!("order"))]);
    out::list(invocation.json, args.filter.limit, &rows, &ORDERS, order_cells, object);
    Ok(Exit::Fine)
}

/// The same tabs of the orders screen.
async fn order_counts(invocation: &Invocation, store: &Store, name: &str) -> anyhow::Result<()> {
    let counted = store.count_channel_orders(name).await?;
    let of = |state: &str| counted.iter().find(|row| row.0 == state).map_or(0, |row| row.1);
    let all: i64 = counted.iter().map(|row| row.1).sum();
    let states = ChannelOrderState::ALL.iter().map(|state| state.as_str());
    if invocation.json {
        let states: Map<String, Value> = states.map(|state| (state.to_owned(), json!(of(state)))).collect();
        out::json(&json!({"type": "count", "connection": name, "kind": "order", "all": all, "states": states}));
        return Ok(());
    }
    let tabs: Vec<String> = states.map(|state| format!("{} {}", label(state), of(state))).collect();
    out::line(format!("Đơn hàng đồng bộ: Tất cả (all) {all} · {}", tabs.join(" · ")));
    Ok(())
}

fn order_cells(row: &ChannelOrder) -> Vec<String> {
    vec![
        row.name.clone(),
        row.order_id.clone(),
        label(&row.state).to_owned(),
        code_cell(System::Web, LinkKind::Order, Some(&row.code)),
        row.reason.clone(),
        out::local(row.updated_at),
    ]
}
