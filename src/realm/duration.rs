//! Durations as an operator writes them: seconds as a number, or `"5m"`.

use std::time::Duration;

use serde_json::Value;

/// The longest duration accepted.
pub(super) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Reads a duration.
///
/// # Errors
/// What was expected, in words.
pub(super) fn read(value: &Value) -> Result<Duration, String> {
    let read = match value {
        Value::Number(seconds) => seconds.as_f64().and_then(of_seconds),
        Value::String(text) => read_text(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    read.ok_or_else(|| {
        "expected seconds as a number, or a duration like \"5m\" (ms, s, m, h, d); at most 366d"
            .to_owned()
    })
}

/// A number and a unit, as `5m` (ms, s, m, h, d); no unit means seconds. `None`: it is none, or longer than 366 days.
#[must_use]
pub fn read_text(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    of_seconds(digits.trim().parse::<f64>().ok()? * factor)
}

fn of_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)
}
