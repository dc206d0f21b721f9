//! The store in this process's memory: for simulations and tests of the service; passes the suite
//! of the SQL store.

mod api_keys;
mod calls;
mod changes;
mod grants;
mod leases;
mod realms;
mod secrets;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{
    ApiKeyRow, CallRow, Listed, Page, RealmRow, SecretRow, StoreClock, StoreError, StoreResult,
    TokenRow,
};
use crate::api_key::ApiKeyId;
use crate::clock::{Clock, Timestamp};
use crate::secret::SecretId;

/// Rows in maps under one lock; each call is atomic.
///
/// A simulation may put a [`Gate`] before the calls of one instance, to order them or to make one
/// fail.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    gate: Option<Gate>,
}

/// Awaited before each call with the call's name; its error is the call's.
pub type Gate = Arc<dyn Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync>;

#[derive(Default)]
struct State {
    unavailable: bool,
    realms: BTreeMap<String, RealmRow>,
    secrets: BTreeMap<SecretId, SecretRow>,
    tokens: BTreeMap<SecretId, TokenEntry>,
    calls: BTreeMap<String, CallRow>,
    api_keys: BTreeMap<ApiKeyId, ApiKeyRow>,
}

/// A token's row, and what only the store knows of it.
struct TokenEntry {
    row: TokenRow,
    lease_owner: Option<String>,
    asked_at: Option<Timestamp>,
    changed_at: Timestamp,
}

impl TokenEntry {
    fn blank(id: &SecretId, now: Timestamp) -> Self {
        Self {
            row: TokenRow::blank(id),
            lease_owner: None,
            asked_at: None,
            changed_at: now,
        }
    }
}

impl MemoryStore {
    /// An empty store whose own clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Arc::default(),
            gate: None,
        }
    }

    /// The same rows, behind a gate.
    #[must_use]
    pub fn behind(&self, gate: Gate) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            state: Arc::clone(&self.state),
            gate: Some(gate),
        }
    }

    /// Makes every call fail as if the database were away, or ends that.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unavailable = unavailable;
    }

    async fn enter(&self, call: &'static str) -> StoreResult<MutexGuard<'_, State>> {
        if let Some(gate) = &self.gate {
            gate(call).await?;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.unavailable {
            Err(StoreError::Unavailable("switched off".to_owned()))
        } else {
            Ok(state)
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

fn page_of<T>(
    mut items: Vec<T>,
    newest_first: impl Fn(&T) -> (i64, String),
    page: Page,
) -> Listed<T> {
    items.sort_by_cached_key(newest_first);
    let total = items.len() as u64;
    let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Listed {
        items: items
            .into_iter()
            .skip(bound(page.offset))
            .take(bound(page.limit))
            .collect(),
        total,
    }
}

#[async_trait]
impl StoreClock for MemoryStore {
    async fn now(&self) -> StoreResult<Timestamp> {
        self.enter("now").await.map(|_| self.clock.now())
    }
}
