//! A token as it is held and handed out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::clock::{Timestamp, millis};

/// The text of a token. Debug prints `***`; memory is wiped when dropped.
#[derive(Clone)]
pub struct TokenText(SecretString);

impl TokenText {
    /// SHA-256 of the text in lower-case hex: names a token without telling it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.expose().as_bytes());
        digest
            .as_ref()
            .iter()
            .fold(String::with_capacity(64), |hex, byte| {
                hex + &format!("{byte:02x}")
            })
    }

    /// The text itself, for an answer or a column; never for a log or an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl From<&str> for TokenText {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

impl PartialEq for TokenText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for TokenText {}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Further values that are handed out with a token. Debug tells their names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outputs(Arc<Map<String, Value>>);

impl Outputs {
    /// By name; `None` when there are none.
    #[must_use]
    pub fn expose(&self) -> Option<&Map<String, Value>> {
        Some(self.0.as_ref()).filter(|outputs| !outputs.is_empty())
    }
}

impl FromIterator<(String, Value)> for Outputs {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(outputs: I) -> Self {
        Self(Arc::new(outputs.into_iter().collect()))
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// When a token was asked for and until when it works.
///
/// The life counts from before the request was sent, so a slow provider shortens it and never
/// lengthens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Just before the request was sent.
    pub obtained_at: Timestamp,
    /// `None`: the token never expires.
    pub expires_at: Option<Timestamp>,
}

/// A token is not handed out in the last 2 s of its life…
const HANDOUT_MARGIN: Duration = Duration::from_secs(2);
/// …or the last hundredth, whichever is less, so that a caller has time to use it.
const HANDOUT_SHARE: i64 = 100;

impl Life {
    /// From when on the token is not handed out any more; `None` for one that never expires.
    ///
    /// The smaller of 2 s and 1 % of its life before its expiry.
    #[must_use]
    pub fn handed_out_until(&self) -> Option<Timestamp> {
        let expires_at = self.expires_at?;
        let share = millis(expires_at.since(self.obtained_at)) / HANDOUT_SHARE;
        let margin = share.min(millis(HANDOUT_MARGIN));
        Some(Timestamp::from_epoch_ms(
            expires_at.epoch_ms().saturating_sub(margin),
        ))
    }

    /// Whether a caller may be given the token now, or, while it is not due, up to its very end:
    /// its provider was asked and has nothing newer, or will not have before then.
    #[must_use]
    pub fn usable_while_not_due(&self, due_at: Option<Timestamp>, now: Timestamp) -> bool {
        let lives = self.expires_at.is_none_or(|expires_at| now < expires_at);
        self.usable_at(now) || (lives && due_at.is_some_and(|due_at| now < due_at))
    }

    /// Whether a caller may be given the token now.
    #[must_use]
    pub fn usable_at(&self, now: Timestamp) -> bool {
        self.handed_out_until().is_none_or(|until| now < until)
    }
}

/// Where an answer came from; the `source` of `GET /api/token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This process held it.
    Memory,
    /// It was read from the store.
    Database,
    /// The provider was asked.
    Upstream,
    /// The operator gave it.
    Fixed,
}

impl Source {
    /// The word in an answer and in a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Database => "database",
            Self::Upstream => "upstream",
            Self::Fixed => "fixed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(seconds: i64) -> Life {
        Life {
            obtained_at: Timestamp::from_epoch_ms(0),
            expires_at: Some(Timestamp::from_epoch_ms(seconds * 1000)),
        }
    }

    #[test]
    fn the_margin_is_the_smaller_of_two_seconds_and_a_hundredth() {
        let until = |seconds| life(seconds).handed_out_until().map(Timestamp::epoch_ms);
        assert_eq!(until(7200), Some(7_198_000));
        assert_eq!(until(100), Some(99_000));
        assert_eq!(until(1), Some(990));
        assert!(!life(100).usable_at(Timestamp::from_epoch_ms(99_000)));
        assert!(life(100).usable_at(Timestamp::from_epoch_ms(98_999)));
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", TokenText::from("very secret")), "***");
    }
}
