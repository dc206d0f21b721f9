//! The log of calls, for operators.

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use crate::clock::Clock;
use crate::store::{CallFilter, CallRow, CallStore, Listed, Page};

/// The calls of providers.
#[derive(Clone)]
pub struct Calls {
    store: Arc<dyn CallStore>,
    clock: Arc<dyn Clock>,
    keep_for: Duration,
}

/// How many rows are removed by one statement.
const BATCH: u64 = 500;

impl Calls {
    /// Over one store; rows older than `keep_for` are removed.
    #[must_use]
    pub fn new(store: Arc<dyn CallStore>, clock: Arc<dyn Clock>, keep_for: Duration) -> Self {
        Self {
            store,
            clock,
            keep_for,
        }
    }

    /// A page of calls, latest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(
        &self,
        filter: &CallFilter,
        page: Page,
    ) -> Result<Listed<CallRow>, ServiceError> {
        Ok(self.store.list_calls(filter, page).await?)
    }

    /// Removes old rows in small batches.
    pub async fn prune(&self) {
        let before = self.clock.now().minus(self.keep_for);
        loop {
            match self.store.delete_calls(before, BATCH).await {
                Ok(count) if count < BATCH => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::warn!(%error, "old calls could not be removed from the log");
                    return;
                }
            }
        }
    }
}
