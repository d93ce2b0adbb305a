//! Structured logs on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging; `filter` is a filter as of tracing, such as `info`. A second start changes nothing.
pub fn start(filter: &str, json: bool) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("log.filter = {filter:?}: {error}; for example: info"))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let _started_before =
        if json { builder.json().finish().try_init() } else { builder.with_target(false).finish().try_init() };
    Ok(())
}
