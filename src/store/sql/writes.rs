//! Whether the database takes writes: a replica after a failover answers every read and refuses
//! every write, and a full disk does the same.
//!
//! Connections that were made before the last refusal are closed instead of being used again, so
//! that the next one finds the new writer. Once a write succeeds, so are those that were made before
//! it: some may lead to the server that refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Refusals that come together count as one: connections are replaced at most so often.
const REPLACE_EVERY: Duration = Duration::from_secs(1);

/// What is known of writes; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    refused: Option<Refused>,
    /// Connections that were made before this are not used again.
    replaced_at: Option<Instant>,
}

#[derive(Debug)]
struct Refused {
    since: Instant,
    reason: &'static str,
}

impl Writes {
    /// Notes that a write was refused.
    pub(super) fn note_refusal(&self, reason: &'static str) {
        let now = Instant::now();
        let mut known = self.known();
        let is_first = known.refused.is_none();
        if is_first {
            tracing::error!(reason, "the database refuses to write");
        }
        let since = known.refused.as_ref().map_or(now, |known| known.since);
        known.refused = Some(Refused { since, reason });
        let is_recent = known
            .replaced_at
            .is_some_and(|at| now.duration_since(at) < REPLACE_EVERY);
        if is_first || !is_recent {
            known.replaced_at = Some(now);
        }
    }

    /// Notes that a write succeeded.
    pub(super) fn note_success(&self) {
        let mut known = self.known();
        if known.refused.take().is_some() {
            known.replaced_at = Some(Instant::now());
            tracing::info!("the database takes writes again");
        }
    }

    /// Since how long writes are refused, and why.
    pub(super) fn refusal(&self) -> Option<(Duration, &'static str)> {
        let known = self.known();
        known
            .refused
            .as_ref()
            .map(|refused| (refused.since.elapsed(), refused.reason))
    }

    /// Whether a connection of this age was made before the last refusal, or before the write that
    /// succeeded after it.
    pub(super) fn has_outlived(&self, age: Duration) -> bool {
        let replaced_at = self.known().replaced_at;
        replaced_at.is_some_and(|at| age > at.elapsed())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_that_were_made_while_writes_were_refused_are_replaced_after_the_first_success()
     {
        let (writes, second) = (Writes::default(), Duration::from_secs(1));
        assert!(!writes.has_outlived(second * 3600));
        writes.note_refusal("invented");
        assert!(writes.has_outlived(second));
        tokio::time::advance(second).await;
        let made = Instant::now();
        tokio::time::advance(second).await;
        assert!(
            !writes.has_outlived(made.elapsed()),
            "made after the refusal: it may find the new writer"
        );
        writes.note_success();
        assert_eq!(writes.refusal(), None);
        assert!(
            writes.has_outlived(made.elapsed()),
            "made before anything was written"
        );
        tokio::time::advance(second).await;
        let made = Instant::now();
        tokio::time::advance(second).await;
        assert!(!writes.has_outlived(made.elapsed()));
    }
}
