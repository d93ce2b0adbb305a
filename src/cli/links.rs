//! `links`: which thing of the shop is which thing of the channel, and what owners do with that.

mod args;
mod change;
mod compare;
mod csv;
mod list;

use super::exit::Exit;
use super::setup::{Invocation, no_connection};
use crate::domain::connection::Connection;
use crate::domain::event::System;
use crate::store::connections::Snapshot;
use crate::sync::web::links::stopped;

pub use args::LinksCommand;

/// Runs one of its commands.
pub async fn run(invocation: Invocation, command: LinksCommand) -> anyhow::Result<Exit> {
    match command {
        LinksCommand::List(args) => list::run(&invocation, args).await,
        LinksCommand::Link(args) => change::link(&invocation, args).await,
        LinksCommand::Unlink(args) => change::unlink(&invocation, args).await,
        LinksCommand::Sync(args) => change::sync(&invocation, args).await,
        LinksCommand::Compare(args) => compare::run(&invocation, args).await,
    }
}

/// The connection of that name, which must be one with a web.
pub fn web_connection(known: &Snapshot, name: &str) -> anyhow::Result<Connection> {
    let row = known.connections.get(name).ok_or_else(|| no_connection(name, known))?;
    if row.connection.channel == System::Web {
        return Ok(row.connection.clone());
    }
    anyhow::bail!(
        "connection {name} is one with Abaha, where links are made by SKU of themselves; this command is for Sapo Web sites"
    )
}

/// The same for what pushes stock, price or orders: where the connection is stopped, nothing of that would be done.
pub fn pushing_connection(known: &Snapshot, name: &str) -> anyhow::Result<Connection> {
    let connection = web_connection(known, name)?;
    match known.connections.get(name).and_then(|row| stopped(row)) {
        Some(cure) => anyhow::bail!("{cure}"),
        None => Ok(connection),
    }
}

/// A link's state in the guide's words.
pub fn label(state: &str) -> &str {
    match state {
        "linked" => "Đã liên kết (linked)",
        "unlinked" => "Chưa liên kết (unlinked)",
        "error" => "Lỗi liên kết (error)",
        other => other,
    }
}

/// Why a thing is not linked, in the owner's language; the codes of what a shop refused stand for themselves.
pub fn why(code: &str) -> &str {
    match code {
        "only_on_sapo" => "mã chỉ có trên POS",
        "only_on_web" => "mã chỉ có trên web",
        "to_be_linked" => "mã hai bên giống nhau, chờ liên kết",
        "no_sku" => "mã trống",
        "cut_by_hand" => "đã hủy liên kết bằng tay",
        "ambiguous" => "mã bị trùng",
        "linked_elsewhere" => "đã liên kết với sản phẩm khác",
        "renamed" => "mã hai bên khác nhau",
        "deleted" => "đã xóa trên POS",
        "gone_on_channel" => "đã xóa trên web",
        "unmanaged" => "web không quản lý tồn kho",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::linking::VariantState;

    #[test]
    fn every_state_has_the_guides_label() {
        for state in VariantState::ALL {
            assert!(label(state.as_str()).ends_with(&format!("liên kết ({state})")), "{state}");
        }
    }
}
