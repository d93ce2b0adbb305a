//! The program `sapo-sync`: hands its command line to [`cli`].

// The command line names the library's modules as `crate::…`, from wherever it stands.
use sapo_sync::{app, broker, config, domain, observe, sandbox, store, sync, work};

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
