//! Times as the three APIs write them.

use super::clock::Millis;

/// Reads a time of one of the APIs: RFC 3339, the same without zone or with a blank for the `T` (taken as UTC),
/// or a plain date (its first moment in Vietnam, UTC+7).
///
/// Sapo documents UTC; Abaha's `orders_time` is a bare date (seen in code of others).
pub fn parse(text: &str) -> Option<Millis> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(stamp.as_millisecond());
    }
    if text.len() == 10 {
        let date: jiff::civil::Date = text.parse().ok()?;
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(7));
        return Some(date.to_zoned(zone).ok()?.timestamp().as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.replacen(' ', "T", 1).parse().ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Writes a moment as the APIs do: `2026-03-02T03:15:23Z`, whole seconds.
pub fn format(at: Millis) -> String {
    jiff::Timestamp::from_second(at.div_euclid(1000)).map_or_else(|_| "?".to_owned(), |stamp| stamp.to_string())
}

/// Writes a moment for people, in Vietnam's time (UTC+7): `02/03/2026 10:15:23`.
pub fn local(at: Millis) -> String {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(7));
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| "?".to_owned(), |stamp| stamp.to_zoned(zone).strftime("%d/%m/%Y %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_seen() {
        let expected = Some(1_772_421_323_000);
        for form in ["2026-03-02T03:15:23Z", "2026-03-02T10:15:23+07:00", "2026-03-02T03:15:23", "2026-03-02 03:15:23"]
        {
            assert_eq!(parse(form), expected, "{form}");
        }
        assert_eq!(parse("2026-03-02"), parse("2026-03-01T17:00:00Z"));
        assert_eq!(parse(""), None);
        assert_eq!(parse("hôm qua"), None);
        assert_eq!(format(1_772_421_323_999), "2026-03-02T03:15:23Z");
        assert_eq!(local(1_772_421_323_000), "02/03/2026 10:15:23");
    }
}
