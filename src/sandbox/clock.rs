//! Times of the stand-ins: whole seconds, as the real systems write them.

use jiff::Timestamp;
use serde_json::Value;

/// Gives the times of creation and change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Whether an object's next change always lies a whole second past its last.
    pub distinct: bool,
}

impl Clock {
    /// The present second.
    #[allow(clippy::unused_self, reason = "asked of a clock, as every other time")]
    #[allow(clippy::disallowed_methods, reason = "the stand-ins are systems of their own, with a clock of their own")]
    pub fn now(self) -> i64 {
        Timestamp::now().as_second()
    }

    /// The time of a change to an object last changed at `last`.
    pub fn after(self, last: i64) -> i64 {
        let now = self.now();
        if self.distinct { now.max(last + 1) } else { now }
    }
}

/// Seconds since 1970 as `2026-03-02T02:01:04Z`.
pub(crate) fn iso(second: i64) -> String {
    Timestamp::from_second(second)
        .map_or_else(|_| String::from("1970-01-01T00:00:00Z"), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A time that may not have come yet, as text or null.
pub(crate) fn iso_or_null(second: Option<i64>) -> Value {
    second.map_or(Value::Null, |second| Value::String(iso(second)))
}

/// Reads an ISO time, or a bare date as its first second in UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse::<Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse::<Timestamp>())
        .ok()
        .map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_times_move_on_even_within_one_second() {
        let clock = Clock { distinct: true };
        let ahead = clock.now() + 100;
        assert_eq!(clock.after(ahead), ahead + 1);
        assert!(Clock { distinct: false }.after(ahead) < ahead);
    }

    #[test]
    fn times_read_back_as_written() {
        assert_eq!(parse("2026-03-02T02:01:04Z").map(iso).as_deref(), Some("2026-03-02T02:01:04Z"));
        assert_eq!(parse("2026-03-02").map(iso).as_deref(), Some("2026-03-02T00:00:00Z"));
        assert_eq!(parse("yesterday"), None);
    }
}
