//! Named points at which a crash test kills the process, as `kill -9` does. Nothing in release builds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static AT: OnceLock<Armed> = OnceLock::new();
static SEEN: AtomicU32 = AtomicU32::new(0);

struct Armed {
    point: String,
    passing: u32,
    panics: bool,
}

/// Arms one point: `intent_written`, `intent_written:2` for its second passing, or `intent_written:1:panic` for a
/// panic there instead of the process's end.
pub fn arm(spec: &str) {
    let mut parts = spec.split(':');
    let point = parts.next().unwrap_or_default().to_owned();
    let passing = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
    let _armed_before = AT.set(Armed { point, passing, panics: parts.next() == Some("panic") });
}

/// Dies here if this point is armed.
pub fn point(name: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(armed) = AT.get() else { return };
    if armed.point == name && SEEN.fetch_add(1, Ordering::Relaxed) + 1 == armed.passing {
        assert!(!armed.panics, "the crash point {name} was passed");
        let pid = std::process::id().to_string();
        let _killed = std::process::Command::new("kill").args(["-9", &pid]).status();
        std::process::abort();
    }
}
