//! `links`: which thing of the shop is which thing of the channel, and what owners do with that.

mod args;
mod change;
mod compare;
mod csv;
mod list;
mod why;

use super::exit::Exit;
use super::setup::{Invocation, no_connection};
use crate::domain::connection::{Connection, State};
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

/// When what is asked for by hand is done.
pub struct When {
    /// Why not now: the connection's state; none where it is done as soon as somebody works.
    pub code: Option<&'static str>,
    /// For people: by whom, or what has to be done first.
    pub text: String,
}

impl When {
    /// What is worked on while a connection is active waits while it is not.
    pub fn of(known: &Snapshot, name: &str) -> Self {
        let row = known.connections.get(name);
        let state = row.map_or(State::Active, |row| row.connection.state);
        let reason = row.and_then(|row| row.state_reason.as_deref()).unwrap_or("no reason is known");
        let text = match state {
            State::Active => "by `sapo-sync up`, where it runs".to_owned(),
            State::Paused => format!(
                "once the connection is resumed, for it is paused (kết nối đang tạm dừng): sapo-sync connect resume {name}"
            ),
            State::NoAccess | State::Stopped => {
                format!("once the connection has access again, for it is {state} (không có quyền truy cập): {reason}")
            }
        };
        Self { code: (state != State::Active).then_some(state.as_str()), text }
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
