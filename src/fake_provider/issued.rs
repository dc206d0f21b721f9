//! A token the fake provider gave out.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;

/// A token and its end.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) text: String,
    pub(super) expires_at: Timestamp,
}

impl Issued {
    /// A token that nobody has yet, about as long as the real ones: `prefix` and 96 hexadecimal
    /// digits.
    pub(super) fn new(prefix: &str, now: Timestamp, life: Duration) -> Self {
        let [a, b, c] = std::array::from_fn(|_| Uuid::now_v7().simple());
        Self {
            text: format!("{prefix}{a}{b}{c}"),
            expires_at: now.plus(life),
        }
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whole seconds left, as `expires_in` says it.
    pub(super) fn expires_in(&self, now: Timestamp) -> u64 {
        self.expires_at.since(now).as_secs()
    }
}
