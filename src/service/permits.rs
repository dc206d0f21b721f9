//! How many fetches of a realm this instance makes at once (`policy.max_concurrency`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of all realms that bound their fetches.
#[derive(Debug, Default)]
pub(super) struct Permits(Mutex<HashMap<(String, usize), Arc<Semaphore>>>);

/// The leave to fetch, until it is dropped.
pub(super) struct Permit {
    /// `None` where the realm has no bound.
    _taken: Option<OwnedSemaphorePermit>,
}

impl Permits {
    /// Waits for a permit. A changed bound counts from the next fetch on.
    pub(super) async fn acquire(&self, realm: &str, bound: Option<usize>) -> Permit {
        let Some(bound) = bound else {
            return Permit { _taken: None };
        };
        // It is never closed.
        Permit {
            _taken: self.of(realm, bound).acquire_owned().await.ok(),
        }
    }

    /// A permit, if one is free or none is needed.
    pub(super) fn try_acquire(&self, realm: &str, bound: Option<usize>) -> Option<Permit> {
        let Some(bound) = bound else {
            return Some(Permit { _taken: None });
        };
        Some(Permit {
            _taken: Some(self.of(realm, bound).try_acquire_owned().ok()?),
        })
    }

    fn of(&self, realm: &str, bound: usize) -> Arc<Semaphore> {
        let mut realms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (realm.to_owned(), bound);
        Arc::clone(
            realms
                .entry(key)
                .or_insert_with(|| Arc::new(Semaphore::new(bound))),
        )
    }
}
