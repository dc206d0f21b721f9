//! Numbers and times as providers write them.

use std::borrow::Cow;
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
pub(crate) fn format_date(
    epoch_seconds: i64,
    format: &str,
    zone: Option<&str>,
) -> Result<String, String> {
    if format.len() > LONGEST_FORMAT {
        return Err(format!(
            "a date's format must not be longer than {LONGEST_FORMAT} bytes"
        ));
    }
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => {
            TimeZone::get(name).map_err(|_| "is not a time zone, e.g. Asia/Shanghai".to_owned())?
        }
    };
    let time = jiff::Timestamp::from_second(epoch_seconds).map_err(|_| "is no time".to_owned())?;
    let formatted = jiff::fmt::strtime::format(format, &time.to_zoned(zone));
    formatted.map_err(|_| "is not a format of a date, e.g. %Y-%m-%d".to_owned())
}

/// Milliseconds since 1970 of an RFC 3339 text; one without offset is of the zone. An offset may
/// lack its colon.
pub(crate) fn rfc3339_ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let text = with_colon(text.trim());
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil
        .to_zoned(zone.clone())
        .ok()
        .map(|time| time.timestamp().as_millisecond())
}

/// `+0800`, as Java writes it, is `+08:00`.
fn with_colon(text: &str) -> Cow<'_, str> {
    let digits = text
        .len()
        .checked_sub(4)
        .filter(|at| text.is_char_boundary(*at))
        .map(|at| text.split_at(at));
    match digits {
        Some((before, digits))
            if before.ends_with(['+', '-'])
                && before.contains(':')
                && digits.chars().all(|digit| digit.is_ascii_digit()) =>
        {
            format!("{before}{}:{}", &digits[..2], &digits[2..]).into()
        }
        Some(_) | None => text.into(),
    }
}

/// Milliseconds since 1970 of an HTTP-date (RFC 9110 §5.6.7) or the date of a mail, `Thu, 09 Oct
/// 2025 08:53:20 GMT`.
pub(crate) fn http_date_ms(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(time.timestamp().as_millisecond())
}

/// Milliseconds since 1970 of the beginning of a day in a zone, `2026-01-31`.
pub(crate) fn date_ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let date: jiff::civil::Date = text.trim().parse().ok()?;
    date.to_zoned(zone.clone())
        .ok()
        .map(|time| time.timestamp().as_millisecond())
}

/// `177:05:38`: days, hours, minutes.
pub(crate) fn days_hours_minutes(text: &str) -> Option<Duration> {
    let parts: Vec<u64> = text
        .trim()
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<Vec<_>>>()?;
    let [days, hours, minutes] = parts.as_slice() else {
        return None;
    };
    let total = days
        .checked_mul(1440)?
        .checked_add(hours.checked_mul(60)?)?
        .checked_add(*minutes)?;
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
            (
                "%a, %d %b %Y %H:%M:%S GMT",
                None,
                "Thu, 09 Oct 2025 08:53:20 GMT",
            ),
            (
                "%Y-%m-%d %H:%M:%S",
                Some("Asia/Shanghai"),
                "2025-10-09 16:53:20",
            ),
        ] {
            assert_eq!(
                format_date(1_760_000_000, format, zone).as_deref(),
                Ok(expected)
            );
        }
        assert!(format_date(1, "%Y", Some("Mars/Base")).is_err());
        assert!(format_date(i64::MAX, "%Y", None).is_err());
    }

    #[test]
    fn times_are_read_as_providers_write_them() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        for (text, zone, expected) in [
            (
                "2025-10-09T16:53:20+08:00",
                &TimeZone::UTC,
                Some(1_760_000_000_000),
            ),
            (
                "2025-10-09T16:53:20+0800",
                &TimeZone::UTC,
                Some(1_760_000_000_000),
            ),
            (
                "2025-10-09 16:53:20.017+0800",
                &TimeZone::UTC,
                Some(1_760_000_000_017),
            ),
            (
                "2025-10-09T08:53:20.017Z",
                &shanghai,
                Some(1_760_000_000_017),
            ),
            (
                "2025-10-09T08:53:20.017000",
                &TimeZone::UTC,
                Some(1_760_000_000_017),
            ),
            ("2025-10-09 16:53:20", &shanghai, Some(1_760_000_000_000)),
            ("2025-1009", &TimeZone::UTC, None),
            ("soon", &TimeZone::UTC, None),
            ("年年年", &TimeZone::UTC, None),
        ] {
            assert_eq!(rfc3339_ms(text, zone), expected, "{text}");
        }
        assert_eq!(
            http_date_ms("Thu, 09 Oct 2025 08:53:20 GMT"),
            Some(1_760_000_000_000)
        );
        assert_eq!(
            http_date_ms("Thu, 9 Oct 2025 16:53:20 +0800"),
            Some(1_760_000_000_000)
        );
        assert_eq!(http_date_ms("2025-10-09"), None);
        assert_eq!(
            date_ms("2025-10-10", &TimeZone::UTC),
            Some(1_760_054_400_000)
        );
        assert_eq!(date_ms("2025-10-10", &shanghai), Some(1_760_025_600_000));
        assert_eq!(
            days_hours_minutes("177:05:38"),
            Some(Duration::from_mins((177 * 24 + 5) * 60 + 38))
        );
        assert_eq!(days_hours_minutes("99999999999999999999:0:0"), None);
    }
}
