//! How many fetches of a realm this instance makes at once (`policy.max_concurrency`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of all realms that bound their fetches.
#[derive(Debug, Default)]
pub(super) struct Permits(Mutex<HashMap<(String, usize), Arc<Semaphore>>>);

impl Permits {
    /// Waits for a permit; `None` where the realm has no bound. A changed bound counts from the next fetch on.
    pub(super) async fn acquire(&self, realm: &str, bound: Option<usize>) -> Option<OwnedSemaphorePermit> {
        let bound = bound?;
        let semaphore = {
            let mut realms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (realm.to_owned(), bound);
            Arc::clone(realms.entry(key).or_insert_with(|| Arc::new(Semaphore::new(bound))))
        };
        // It is never closed.
        semaphore.acquire_owned().await.ok()
    }
}
