//! The only place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Tells the time; tests move it forward with [`Clock::advance`] instead of sleeping.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// Makes a clock that follows the machine's.
    pub fn system() -> Self {
        Self::default()
    }

    /// The present moment.
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> Millis {
        jiff::Timestamp::now().as_millisecond() + self.ahead.load(Ordering::Relaxed)
    }

    /// The moment that lies `after` from now.
    pub fn after(&self, after: Duration) -> Millis {
        self.now().saturating_add(millis(after))
    }

    /// Moves every clone of this clock forward.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(millis(by), Ordering::Relaxed);
    }
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The duration from now until a moment; zero when it has passed.
pub fn until(now: Millis, moment: Millis) -> Duration {
    Duration::from_millis(u64::try_from(moment.saturating_sub(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_every_clone() {
        let clock = Clock::system();
        let other = clock.clone();
        let before = other.now();
        clock.advance(Duration::from_hours(1));
        assert!(other.now() >= before + 3_600_000);
        assert_eq!(until(10, 5), Duration::ZERO);
    }
}
