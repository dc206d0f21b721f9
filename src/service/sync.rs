//! Following what other instances write: a look at the store each `sync_interval`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{ApiKeys, Tokens};
use crate::clock::{Clock, Timestamp};
use crate::store::{Changes, Store, StoreError};

/// Looks at the store and drops what is outdated.
pub struct Sync {
    store: Arc<dyn Store>,
    tokens: Tokens,
    api_keys: ApiKeys,
    clock: Arc<dyn Clock>,
    /// The edits that the last look saw: the next one sees most of them again.
    seen: Mutex<Changes>,
}

/// Rows are stamped when they are written and seen when they are committed: each look goes this far
/// back.
const LOOK_BACK: Duration = Duration::from_secs(10);

/// How many secrets are compared with one call.
const NAMES_AT_ONCE: usize = 1000;

/// How long a deletion stays visible to other instances.
const TOMBSTONES_STAY: Duration = Duration::from_hours(24);

impl Sync {
    /// Follows `store` into `tokens` and `api_keys`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        (tokens, api_keys): (Tokens, ApiKeys),
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            tokens,
            api_keys,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Looks at what changed since `last` and answers when this look began.
    ///
    /// # Errors
    /// When the store cannot be asked; memory is then served with `stale_since`.
    pub async fn look(&self, last: Option<Timestamp>) -> Result<Timestamp, StoreError> {
        let began = self.clock.now();
        let since = last.unwrap_or(began).minus(LOOK_BACK);
        let outcome = self.store.list_changes(since).await;
        let keys = match &outcome {
            Ok(_) => self.api_keys.follow(since).await,
            Err(_) => Ok(()),
        };
        match outcome.and_then(|changes| keys.map(|()| changes)) {
            Ok(changes) => {
                self.tokens.follow(&self.unseen(changes));
                self.tokens.memory().note_look(began, true);
                self.look_at_writes().await;
                Ok(began)
            }
            Err(error) => {
                self.tokens.memory().note_look(began, false);
                Err(error)
            }
        }
    }

    /// Reads show nothing of a store that refuses to write: while it is known to, each look tries.
    async fn look_at_writes(&self) {
        if self.store.write_refusal().is_some()
            && let Err(error) = self.store.try_write().await
        {
            tracing::debug!(%error, "the database still refuses to write");
        }
        let refusal = self.store.write_refusal();
        let refusal = refusal.map(|(since, why)| (self.clock.now().minus(since), why));
        self.tokens.memory().note_refusal(refusal);
    }

    /// Compares everything held with the store by version: finds what a stamp missed, e.g. a row
    /// written by hand, or by an instance whose clock was off.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.api_keys.reload().await?;
        let memory = self.tokens.memory();
        for names in memory.names().chunks(NAMES_AT_ONCE) {
            let current = self.store.list_current(names).await?;
            let missed = memory.differing(current);
            if missed != Changes::default() {
                let (realms, secrets, tokens) = (
                    missed.realms.len(),
                    missed.secrets.len(),
                    missed.tokens.len(),
                );
                tracing::info!(
                    realms,
                    secrets,
                    tokens,
                    "a sweep found changes that no look had seen"
                );
                self.tokens.follow(&missed);
            }
        }
        Ok(())
    }

    /// The changes less the edits that were seen by the last look.
    fn unseen(&self, mut changes: Changes) -> Changes {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = std::mem::replace(
            &mut *seen,
            Changes {
                tokens: Vec::new(),
                ..changes.clone()
            },
        );
        let (realms, secrets): (HashSet<_>, HashSet<_>) = (
            last.realms.into_iter().collect(),
            last.secrets.into_iter().collect(),
        );
        changes.realms.retain(|realm| !realms.contains(realm));
        changes.secrets.retain(|secret| !secrets.contains(secret));
        changes
    }

    /// Removes tombstones that every instance has seen.
    pub async fn tidy(&self) {
        match self
            .store
            .delete_tombstones(self.clock.now().minus(TOMBSTONES_STAY))
            .await
        {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed old tombstones"),
            Err(error) => tracing::warn!(%error, "old tombstones could not be removed"),
        }
    }
}
