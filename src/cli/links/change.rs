//! `links link`, `unlink`, `sync`: one by one at once, or all that match as a stored job.

use serde_json::json;

use super::args::{AllArgs, ChangeArgs, LinkArgs};
use super::{When, pushing_connection, web_connection};
use crate::cli::dead::confirmed;
use crate::cli::exit::{Exit, NotFound};
use crate::cli::jobs::Work;
use crate::cli::setup::{ACTOR, Invocation};
use crate::cli::{out, report};
use crate::domain::connection::Connection;
use crate::domain::linking::Side;
use crate::store::Store;
use crate::store::channel_orders::{ChannelOrderFilter, ChannelOrderState};
use crate::store::jobs::Job;
use crate::store::links::{Link, LinkKind};
use crate::sync::web::links::{self as many, Asked, Deed};
use crate::work::web::linking::{self, LinkRefused, Target};

/// What happened to one thing that was named.
struct Told {
    object: String,
    done: bool,
    code: String,
    text: String,
    exit: Exit,
}

impl Told {
    fn done(object: &str, code: &str, text: impl Into<String>) -> Self {
        Self { object: object.to_owned(), done: true, code: code.to_owned(), text: text.into(), exit: Exit::Fine }
    }

    fn same(object: &str, code: &str, text: impl Into<String>) -> Self {
        Self { done: false, ..Self::done(object, code, text) }
    }

    fn refused(object: &str, code: &str, text: impl Into<String>) -> Self {
        let exit =
            if matches!(code, "unknown_variant" | "not_linked" | "not_found") { Exit::NotFound } else { Exit::Failed };
        Self { exit, ..Self::same(object, code, text) }
    }

    fn print(&self, invocation: &Invocation, deed: Deed) -> Exit {
        if invocation.json {
            out::json(&json!({
                "type": deed.as_str(), "object": self.object, "done": self.done, "code": self.code, "text": self.text,
            }));
        } else if self.exit == Exit::Fine {
            out::line(format!("{}: {}", self.object, self.text));
        }
        if self.exit != Exit::Fine {
            out::note(format!("error: {}: {}", self.object, self.text));
        }
        self.exit
    }
}

/// Links variants, or sends orders that were not synchronised.
pub async fn link(invocation: &Invocation, args: LinkArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let known = store.snapshot().await?;
    let connection = pushing_connection(&known, &args.connection)?;
    if args.all.all {
        return all(invocation, store, &connection, Deed::Link, args.all).await;
    }
    let when = When::of(&known, &connection.name);
    let mut worst = Exit::Fine;
    let skus = args.skus.into_iter().map(|sku| (format!("SKU {sku}"), Target::Sku(sku)));
    let pairs = args.pairs.into_iter().map(|(sapo, web)| (format!("{sapo}:{web}"), Target::Pair { sapo, web }));
    for (object, target) in skus.chain(pairs) {
        let told = link_one(&store, &connection, &object, &target, &when).await?;
        worst = worst.max(told.print(invocation, Deed::Link));
    }
    for order in &args.orders {
        worst = worst.max(send_order(&store, &connection, order, &when).await?.print(invocation, Deed::Link));
    }
    Ok(worst)
}

async fn link_one(
    store: &Store,
    connection: &Connection,
    object: &str,
    target: &Target,
    when: &When,
) -> anyhow::Result<Told> {
    match linking::link_by_hand(store, &connection.name, target, ACTOR).await {
        Ok(linked) => {
            let link = linked.link;
            let ids = format!("POS {} ⇄ web {}", link.sapo_id, link.channel_id);
            if !linked.new {
                return Ok(Told::same(
                    object,
                    "already_linked",
                    format!("đã liên kết từ trước (linked already): {ids}"),
                ));
            }
            push(store, connection, &link).await?;
            Ok(Told::done(
                object,
                "linked",
                format!("đã liên kết (linked): {ids}; stock and price are pushed {}", when.text),
            ))
        }
        Err(LinkRefused::Store(error)) => Err(error.into()),
        Err(refused) => Ok(Told::refused(object, refused.code(), refused.to_string())),
    }
}

async fn push(store: &Store, connection: &Connection, link: &Link) -> anyhow::Result<()> {
    if let Some(product) = &link.sapo_parent {
        many::push(store, connection, product, std::slice::from_ref(&link.sapo_id), ACTOR).await?;
    }
    Ok(())
}

async fn send_order(store: &Store, connection: &Connection, order: &str, when: &When) -> anyhow::Result<Told> {
    let filter = ChannelOrderFilter {
        connection: Some(connection.name.clone()),
        search: Some(order.to_owned()),
        limit: 2,
        ..ChannelOrderFilter::default()
    };
    let found = store.list_channel_orders(&filter).await?;
    let [row] = found.as_slice() else {
        let (code, text) = if found.is_empty() {
            (
                "not_found",
                "it is not known here; `sapo-sync links list --kind order --connection NAME` shows those that are",
            )
        } else {
            ("ambiguous", "several orders bear that name: give the order's id")
        };
        return Ok(Told::refused(order, code, text));
    };
    if row.state == ChannelOrderState::Linked.as_str() {
        return Ok(Told::same(order, "already_linked", "đã có trên POS (on the POS already)"));
    }
    many::send_order(store, connection, &row.order_id, &row.name, ACTOR).await?;
    Ok(Told::done(
        order,
        when.code.unwrap_or("sent"),
        format!("gửi sang POS: it is sent {}; `sapo-sync events show` tells how it ends", when.text),
    ))
}

/// Cuts links.
pub async fn unlink(invocation: &Invocation, args: ChangeArgs) -> anyhow::Result<Exit> {
    change(invocation, Deed::Unlink, args).await
}

/// Pushes stock and price of links.
pub async fn sync(invocation: &Invocation, args: ChangeArgs) -> anyhow::Result<Exit> {
    change(invocation, Deed::Sync, args).await
}

async fn change(invocation: &Invocation, deed: Deed, args: ChangeArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    // What is stopped keeps its links, and they may be cut.
    let of = if deed == Deed::Unlink { web_connection } else { pushing_connection };
    let known = store.snapshot().await?;
    let connection = of(&known, &args.connection)?;
    if args.all.all {
        return all(invocation, store, &connection, deed, args.all).await;
    }
    let when = When::of(&known, &connection.name);
    let doing = Doing { invocation, store: &store, connection: &connection, deed, when };
    let mut worst = Exit::Fine;
    for sku in &args.skus {
        let links = links_of_sku(&store, &connection.name, sku).await?;
        worst = worst.max(doing.change(&format!("SKU {sku}"), links).await?);
    }
    for (sapo, web) in &args.pairs {
        let link = store.link_by_sapo(&connection.name, LinkKind::Product, sapo).await?;
        let links: Vec<Link> = link.into_iter().filter(|link| link.channel_id == *web).collect();
        worst = worst.max(doing.change(&format!("{sapo}:{web}"), links).await?);
    }
    Ok(worst)
}

/// Every link of which a side has this SKU.
pub async fn links_of_sku(store: &Store, connection: &str, sku: &str) -> anyhow::Result<Vec<Link>> {
    let mut links: Vec<Link> = Vec::new();
    for variant in store.variants_of_skus(connection, &[sku.to_owned()]).await? {
        let link = if variant.side == Side::Sapo.as_str() {
            store.link_by_sapo(connection, LinkKind::Product, &variant.variant_id).await?
        } else {
            store.link_by_channel(connection, LinkKind::Product, &variant.variant_id).await?
        };
        links.extend(link.filter(|link| !links.iter().any(|known| known.sapo_id == link.sapo_id)));
    }
    Ok(links)
}

/// What is done with the links that are named.
struct Doing<'a> {
    invocation: &'a Invocation,
    store: &'a Store,
    connection: &'a Connection,
    deed: Deed,
    when: When,
}

impl Doing<'_> {
    /// Does it to the links of one thing that was named.
    async fn change(&self, object: &str, links: Vec<Link>) -> anyhow::Result<Exit> {
        if links.is_empty() {
            let text = "there is no such link; `sapo-sync links list --connection NAME` shows what is linked";
            return Ok(Told::refused(object, "not_linked", text).print(self.invocation, self.deed));
        }
        let mut worst = Exit::Fine;
        for link in links {
            worst = worst.max(self.change_one(object, &link).await?.print(self.invocation, self.deed));
        }
        Ok(worst)
    }

    async fn change_one(&self, object: &str, link: &Link) -> anyhow::Result<Told> {
        let ids = format!("POS {} ⇄ web {}", link.sapo_id, link.channel_id);
        Ok(match self.deed {
            Deed::Unlink if linking::unlink(self.store, &self.connection.name, link, ACTOR).await? => Told::done(
                object,
                "unlinked",
                format!("đã hủy liên kết (cut): {ids}; stock and price are pushed no more; undo: sapo-sync links link"),
            ),
            Deed::Unlink => Told::same(object, "unlinked", format!("was cut before: {ids}")),
            Deed::Link | Deed::Sync => {
                push(self.store, self.connection, link).await?;
                let code = self.when.code.unwrap_or("pushed_now");
                Told::done(object, code, format!("đồng bộ ngay: {ids}; stock and price are pushed {}", self.when.text))
            }
        })
    }
}

/// Counted, asked, stored as a job, and followed; a job of the same wish is joined.
async fn all(
    invocation: &Invocation,
    store: Store,
    connection: &Connection,
    deed: Deed,
    args: AllArgs,
) -> anyhow::Result<Exit> {
    let mut asked =
        Asked { deed, state: args.state, search: args.search, code: args.code, counted: 0, actor: ACTOR.to_owned() };
    if let Some(job) = many::open(&store, &connection.name, &asked).await? {
        if !invocation.json {
            out::note("this is asked for already and has not ended; this command follows it");
        }
        return follow(Work::begin(invocation, store).await?, invocation, &job).await;
    }
    asked.counted = many::count(&store, &connection.name, &asked).await?;
    if invocation.json {
        out::json(
            &json!({"type": "count", "connection": connection.name, "deed": deed.as_str(), "variants": asked.counted}),
        );
    } else {
        out::line(format!(
            "{} ({deed}): {} variants of the POS match ({})",
            deed.label(),
            asked.counted,
            asked.filter()
        ));
    }
    if asked.counted == 0 {
        return Ok(Exit::Fine);
    }
    let question = format!("{} ({deed}): {} variants of {}?", deed.label(), asked.counted, connection.name);
    if !confirmed(&question, args.yes)? {
        out::note("nothing was done");
        return Ok(Exit::Failed);
    }
    // Nothing is stored where nobody would do it.
    let work = Work::begin(invocation, store).await?;
    let job = many::ask(&work.store, &connection.name, &asked).await?;
    follow(work, invocation, &job).await
}

async fn follow(mut work: Work, invocation: &Invocation, job: &Job) -> anyhow::Result<Exit> {
    let Some(ended) = work.follow(job).await? else { return Ok(Exit::Failed) };
    let exit = report::print(&work.store, &ended, invocation.json, None).await?;
    work.end().await?;
    Ok(exit)
}

/// Says that a SKU has no link.
pub fn no_link(sku: &str, connection: &str) -> NotFound {
    NotFound(format!(
        "SKU {sku} has no link at {connection}; `sapo-sync links list --connection {connection} --sku {sku}` tells why"
    ))
}
