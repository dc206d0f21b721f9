//! Whether the database takes writes: a replica after a failover answers every read and refuses
//! every write, and a full disk does the same.
//!
//! Connections that were made before the last refusal are closed instead of being used again, so
//! that the next one finds the new writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Refusals that come together count as one: connections are replaced at most so often.
const REPLACE_EVERY: Duration = Duration::from_secs(1);

/// What is known of writes; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<Option<Refused>>>);

#[derive(Clone, Debug)]
struct Refused {
    since: Instant,
    /// Connections older than this are not used again.
    last: Instant,
    reason: &'static str,
}

impl Writes {
    /// Notes that a write was refused.
    pub(super) fn note_refusal(&self, reason: &'static str) {
        let now = Instant::now();
        let mut held = self.locked();
        let known = held.get_or_insert_with(|| {
            tracing::error!(reason, "the database refuses to write");
            Refused {
                since: now,
                last: now,
                reason,
            }
        });
        known.reason = reason;
        if now.duration_since(known.last) >= REPLACE_EVERY {
            known.last = now;
        }
    }

    /// Notes that a write succeeded.
    pub(super) fn note_success(&self) {
        if self.locked().take().is_some() {
            tracing::info!("the database takes writes again");
        }
    }

    /// Since how long writes are refused, and why.
    pub(super) fn refusal(&self) -> Option<(Duration, &'static str)> {
        let held = self.locked();
        held.as_ref()
            .map(|refused| (refused.since.elapsed(), refused.reason))
    }

    /// Whether a connection of this age was made before the last refusal.
    pub(super) fn has_outlived(&self, age: Duration) -> bool {
        let held = self.locked();
        held.as_ref()
            .is_some_and(|refused| age > refused.last.elapsed())
    }

    fn locked(&self) -> MutexGuard<'_, Option<Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
