//! Named points at which a crash test kills the process, as `kill -9` does. Nothing in release builds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static AT: OnceLock<(String, u32)> = OnceLock::new();
static SEEN: AtomicU32 = AtomicU32::new(0);

/// Arms one point: `intent_written`, or `intent_written:2` for its second passing.
pub fn arm(spec: &str) {
    let (name, nth) = spec.split_once(':').map_or((spec, 1), |(name, nth)| (name, nth.parse().unwrap_or(1)));
    let _armed_before = AT.set((name.to_owned(), nth));
}

/// Dies here if this point is armed.
pub fn point(name: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some((armed, nth)) = AT.get() else { return };
    if armed == name && SEEN.fetch_add(1, Ordering::Relaxed) + 1 == *nth {
        let pid = std::process::id().to_string();
        let _killed = std::process::Command::new("kill").args(["-9", &pid]).status();
        std::process::abort();
    }
}
