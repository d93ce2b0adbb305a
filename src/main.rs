//! The program `sapo-sync`: hands its command line to [`sapo_sync::cli`].

fn main() -> std::process::ExitCode {
    sapo_sync::cli::run()
}
