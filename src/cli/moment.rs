//! Moments and durations as people write them: `2026-03-02`, `2h`, `3d`.

use std::time::Duration;

use crate::domain::clock::{Millis, millis};
use crate::domain::time;

/// A moment, given as such or as a duration back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This moment.
    At(Millis),
    /// So long ago.
    Back(Duration),
}

impl Moment {
    /// The moment it means, seen from `now`.
    pub fn seen_from(self, now: Millis) -> Millis {
        match self {
            Self::At(moment) => moment,
            Self::Back(duration) => now.saturating_sub(millis(duration)),
        }
    }

    /// Reads a moment.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(moment) = time::parse(text) {
            return Ok(Self::At(moment));
        }
        duration(text).map(Self::Back).map_err(|_| {
            "is neither a time (2026-03-02, 2026-03-02T10:00:00+07:00) nor a duration back (30m, 2h, 3d)".to_owned()
        })
    }
}

/// Reads a duration: `30s`, `5m`, `1h30m`, `3d`, `2w`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a duration, such as 30s, 5m, 2h or 3d".to_owned();
    let text = text.trim();
    for (unit, seconds) in [('d', 86_400), ('w', 604_800)] {
        if let Some(number) = text.strip_suffix(unit) {
            let number: u64 = number.trim().parse().map_err(|_| wrong())?;
            return number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong);
        }
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// Writes a duration for people: `1h 30m`.
pub fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |span| format!("{span:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_duration_back() {
        let now = 1_772_421_323_000;
        let day = 86_400_000;
        for (text, expected) in [
            ("2026-03-02T03:15:23Z", now),
            ("2026-03-02T10:15:23+07:00", now),
            ("2h", now - 7_200_000),
            ("90m", now - 5_400_000),
            ("1h30m", now - 5_400_000),
            ("3d", now - 3 * day),
            ("2w", now - 14 * day),
            ("2026-03-02", 1_772_384_400_000),
        ] {
            assert_eq!(Moment::parse(text).unwrap().seen_from(now), expected, "{text}");
        }
        for text in ["", "soon", "-2h", "3x", "d", "99999999999999999999d"] {
            assert!(Moment::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        assert_eq!(shown(Duration::from_mins(2)), "2m");
        assert_eq!(duration(&shown(Duration::from_mins(90))).unwrap(), Duration::from_mins(90));
    }
}
