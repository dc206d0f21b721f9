//! Following what other instances write: a look at the store each `sync_interval`.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use crate::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError};

/// Looks at the store and drops from memory what is outdated.
pub struct Sync {
    store: Arc<dyn Store>,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

/// Rows are stamped when they are written and seen when they are committed: each look goes this far back.
const LOOK_BACK: Duration = Duration::from_secs(10);

/// How long a deletion stays visible to other instances.
const TOMBSTONES_STAY: Duration = Duration::from_hours(24);

impl Sync {
    /// Follows `store` into `memory`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Self {
        Self { store, memory, clock }
    }

    /// Looks at what changed since `last` and answers when this look began.
    ///
    /// # Errors
    /// When the store cannot be asked; memory is then served with `stale_since`.
    pub async fn look(&self, last: Option<Timestamp>) -> Result<Timestamp, StoreError> {
        let began = self.clock.now();
        let since = last.unwrap_or(began).minus(LOOK_BACK);
        let outcome = self.store.list_changes(since).await;
        match outcome {
            Ok(changes) => {
                self.memory.apply(&changes);
                self.memory.note_look(began, true);
                Ok(began)
            }
            Err(error) => {
                self.memory.note_look(began, false);
                Err(error)
            }
        }
    }

    /// Removes tombstones that every instance has seen.
    pub async fn tidy(&self) {
        match self.store.delete_tombstones(self.clock.now().minus(TOMBSTONES_STAY)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed old tombstones"),
            Err(error) => tracing::warn!(%error, "old tombstones could not be removed"),
        }
    }
}
