//! Numbers and times as providers write them.

use std::time::Duration;

use jiff::tz::TimeZone;

/// The longest format of a date, in bytes.
const LONGEST_FORMAT: usize = 100;

/// A whole number; `7200.0` is one too.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = || text.strip_suffix(".0").unwrap_or(text);
    whole().parse().ok()
}

/// Epoch seconds as text, in UTC or the zone named.
///
/// # Errors
/// When the format or the zone is not known, or the time out of range.
pub(crate) fn format_date(epoch_seconds: i64, format: &str, zone: Option<&str>) -> Result<String, String> {
    if format.len() > LONGEST_FORMAT {
        return Err(format!("a date's format must not be longer than {LONGEST_FORMAT} bytes"));
    }
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| "is not a time zone, e.g. Asia/Shanghai".to_owned())?,
    };
    let time = jiff::Timestamp::from_second(epoch_seconds).map_err(|_| "is no time".to_owned())?;
    let formatted = jiff::fmt::strtime::format(format, &time.to_zoned(zone));
    formatted.map_err(|_| "is not a format of a date, e.g. %Y-%m-%d".to_owned())
}

/// Milliseconds since 1970 of an RFC 3339 text; one without offset is read as UTC.
pub(crate) fn rfc3339_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// Milliseconds since 1970 of the beginning of a day in UTC, `2026-01-31`.
pub(crate) fn date_ms(text: &str) -> Option<i64> {
    let date: jiff::civil::Date = text.trim().parse().ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// `177:05:38`: days, hours, minutes.
pub(crate) fn days_hours_minutes(text: &str) -> Option<Duration> {
    let parts: Vec<u64> = text.trim().split(':').map(|part| part.parse().ok()).collect::<Option<Vec<_>>>()?;
    let [days, hours, minutes] = parts.as_slice() else { return None };
    let total = days.checked_mul(1440)?.checked_add(hours.checked_mul(60)?)?.checked_add(*minutes)?;
    total.checked_mul(60).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_asked() {
        for (format, zone, expected) in [
            ("%Y-%m-%d", None, "2025-10-09"),
            ("%Y%m%dT%H%M%SZ", None, "20251009T085320Z"),
            ("%a, %d %b %Y %H:%M:%S GMT", None, "Thu, 09 Oct 2025 08:53:20 GMT"),
            ("%Y-%m-%d %H:%M:%S", Some("Asia/Shanghai"), "2025-10-09 16:53:20"),
        ] {
            assert_eq!(format_date(1_760_000_000, format, zone).as_deref(), Ok(expected));
        }
        assert!(format_date(1, "%Y", Some("Mars/Base")).is_err());
        assert!(format_date(i64::MAX, "%Y", None).is_err());
    }

    #[test]
    fn times_are_read_as_providers_write_them() {
        assert_eq!(rfc3339_ms("2025-10-09T16:53:20+08:00"), Some(1_760_000_000_000));
        assert_eq!(rfc3339_ms("2025-10-09T08:53:20.017Z"), Some(1_760_000_000_017));
        assert_eq!(rfc3339_ms("2025-10-09T08:53:20.017000"), Some(1_760_000_000_017));
        assert_eq!(rfc3339_ms("soon"), None);
        assert_eq!(date_ms("2025-10-10"), Some(1_760_054_400_000));
        assert_eq!(days_hours_minutes("177:05:38"), Some(Duration::from_mins((177 * 24 + 5) * 60 + 38)));
        assert_eq!(days_hours_minutes("99999999999999999999:0:0"), None);
    }
}
