//! How long before its expiry a token is renewed.

use std::time::Duration;

use serde_json::Value;

use super::duration;

/// `policy.refresh_ahead`: a duration (`300`, `"5m"`) or a share of the token's life (`"10%"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RefreshAhead {
    /// The smaller of 5 minutes and 10 % of the life.
    #[default]
    Default,
    /// A fixed time before expiry.
    Fixed(Duration),
    /// A share of the life, in percent (0–90).
    Share(u8),
}

const DEFAULT_AHEAD: Duration = Duration::from_mins(5);
const DEFAULT_SHARE: u32 = 10;
const LARGEST_SHARE: u8 = 90;

impl RefreshAhead {
    /// Reads the field's value.
    ///
    /// # Errors
    /// What was expected, in words.
    pub fn read(value: &Value) -> Result<Self, String> {
        let expected =
            "expected seconds as a number, a duration like \"5m\" or a share like \"10%\"";
        let read = match value {
            Value::Null => Some(Self::Default),
            Value::Number(_) => duration::read(value).ok().map(Self::Fixed),
            Value::String(text) => text_form(text.trim()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        read.ok_or_else(|| format!("{expected}; at most 90% or 366d"))
    }

    /// How long before the expiry of a token of this life.
    ///
    /// Never more than nine tenths of the life, whatever was asked: a token is used before it is
    /// renewed.
    #[must_use]
    pub fn of(self, life: Duration) -> Duration {
        match self {
            Self::Default => DEFAULT_AHEAD.min(life * DEFAULT_SHARE / 100),
            Self::Fixed(ahead) => ahead.min(life * u32::from(LARGEST_SHARE) / 100),
            Self::Share(percent) => life * u32::from(percent) / 100,
        }
    }
}

fn text_form(text: &str) -> Option<RefreshAhead> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.trim().parse().ok()?;
        return (percent <= LARGEST_SHARE).then_some(RefreshAhead::Share(percent));
    }
    duration::read_text(text).map(RefreshAhead::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_and_shares_are_read() {
        let seconds = |s| Some(RefreshAhead::Fixed(Duration::from_secs(s)));
        for (value, read) in [
            (json!(null), Some(RefreshAhead::Default)),
            (json!(0), seconds(0)),
            (json!(90), seconds(90)),
            (json!("5m"), seconds(300)),
            (json!("1.5h"), seconds(5400)),
            (
                json!("250ms"),
                Some(RefreshAhead::Fixed(Duration::from_millis(250))),
            ),
            (json!("10%"), Some(RefreshAhead::Share(10))),
            (json!("91%"), None),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("NaN"), None),
            (json!("5 parsecs"), None),
            (json!(true), None),
        ] {
            assert_eq!(RefreshAhead::read(&value).ok(), read, "{value}");
        }
    }

    #[test]
    fn the_margin_is_relative_to_the_life() {
        let of = |ahead: RefreshAhead, life| ahead.of(Duration::from_secs(life)).as_secs();
        assert_eq!(of(RefreshAhead::Default, 7200), 300);
        assert_eq!(of(RefreshAhead::Default, 600), 60);
        assert_eq!(of(RefreshAhead::Share(50), 7200), 3600);
        assert_eq!(of(RefreshAhead::Fixed(Duration::from_hours(2)), 100), 90);
    }
}
