//! The command line: reads what is asked for, does it, and ends with an exit code that means something.
//!
//! `args` is what can be asked for; each other file is one command or what several of them share (`out`, `setup`,
//! `process`, `follow`).

mod agree;
mod args;
mod authorize;
mod check;
mod connect;
mod dead;
mod demo;
mod events;
mod examples;
mod exit;
mod figures;
mod follow;
mod health;
mod job_list;
mod jobs;
mod links;
mod moment;
mod out;
mod parked;
mod preflight;
mod process;
mod replay;
mod report;
mod sandbox;
mod settings;
mod setup;
mod shop;
mod story;
mod up;
mod view;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser as _;

use crate::app::Role;
use args::{Cli, Command};
use exit::Exit;
use setup::Invocation;

/// Reads the arguments, runs the command, tells errors on standard error.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::note(format!("error: the runtime cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let ended = match runtime.block_on(dispatch(cli)) {
        Ok(exit) => exit,
        Err(error) => {
            out::note(format!("error: {}", exit::message(&error)));
            Exit::of(&error)
        }
    };
    if out::failed() { Exit::Failed.into() } else { ended.into() }
}

async fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { global, command } = cli;
    let quiet = || Invocation::quiet(&global);
    match command {
        Command::Up => up::run(Invocation::loud(&global)?, Role::Up).await,
        Command::Receive => up::run(Invocation::loud(&global)?, Role::Receive).await,
        Command::Work { kinds } => up::run(Invocation::loud(&global)?, Role::Work(kinds)).await,
        Command::Keeper => up::run(Invocation::loud(&global)?, Role::Keeper).await,
        Command::Migrate => up::migrate(Invocation::loud(&global)?).await,
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Sandbox(args) => sandbox::run(Invocation::loud(&global)?, args).await,
        Command::Connect(command) => connect::run(quiet()?, command).await,
        Command::Import(args) => jobs::run(quiet()?, "import", &args, None).await,
        Command::Reconcile(args) => jobs::run(quiet()?, "reconcile", &args, None).await,
        Command::Plan(args) => jobs::run(quiet()?, "plan", &args.job, args.limit).await,
        Command::Events(command) => events::run(quiet()?, command).await,
        Command::Links(command) => links::run(quiet()?, command).await,
        Command::Preflight(args) => preflight::run(quiet()?, args).await,
        Command::Dead(command) => dead::run(quiet()?, command).await,
        Command::Parked(command) => parked::run(quiet()?, command).await,
        Command::Jobs(command) => job_list::run(quiet()?, command).await,
        Command::Check => check::run(&global).await,
        Command::Healthcheck { url } => health::run(&global, url).await,
        Command::Config { current } => settings::run(&global, current),
    }
}
