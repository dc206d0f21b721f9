//! Answering `GET /api/token`: from memory when it can, else through the one renewal path.

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use super::flights::{Cause, Flights};
use super::memory::{Entry, Memory};
use super::renewal::Renewal;
use crate::clock::{Clock, Timestamp};
use crate::secret::{SecretId, SecretRef};
use crate::tasks::Tasks;
use crate::token::{Life, Source, TokenText};

/// Why an answer is older than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words for the caller.
    pub warning: String,
}

/// A token as it is handed to a caller.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The token.
    pub token: TokenText,
    /// Until when it works.
    pub life: Life,
    /// Its version: one more with each token of the secret.
    pub version: i64,
    /// Where it came from.
    pub source: Source,
    /// Set when it should have been renewed, or could not be compared with the store.
    pub stale: Option<Stale>,
    /// What the operator should know about this fetch.
    pub warning: Option<String>,
}

/// The tokens of all secrets.
#[derive(Clone)]
pub struct Tokens {
    memory: Arc<Memory>,
    flights: Flights,
    renewal: Arc<Renewal>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Over one memory and one renewal; a caller waits up to `patience`.
    #[must_use]
    pub fn new(renewal: Arc<Renewal>, tasks: Tasks, patience: Duration) -> Self {
        let (memory, clock) = (Arc::clone(renewal.memory()), Arc::clone(renewal.clock()));
        Self { memory, flights: Flights::new(tasks, patience), renewal, clock }
    }

    /// A working token for a secret.
    ///
    /// # Errors
    /// `UnknownSecret`; `Fetch` when none is held and none came; `Waited` when others take too long; `Store`.
    pub async fn get(&self, id: SecretRef<'_>) -> Result<TokenAnswer, ServiceError> {
        if let Some(answer) = self.get_held(id) {
            return Ok(answer);
        }
        let outcome = self.renew(id.to_owned(), Cause::Miss).await;
        match outcome {
            Err(ServiceError::Store(_)) => self.get_unconfirmed(id).map_or(outcome, Ok),
            Ok(_) | Err(_) => outcome,
        }
    }

    /// A token that came after this ask, although the held one is still good.
    ///
    /// When the provider gives none, the held one is answered while it is good.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub async fn flush(&self, id: SecretRef<'_>) -> Result<TokenAnswer, ServiceError> {
        self.renew(id.to_owned(), Cause::Flush).await
    }

    /// The hit path: memory only, no lock, no wait. `None` when the slow path must decide.
    #[must_use]
    pub fn get_held(&self, id: SecretRef<'_>) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let entry = self.memory.find(id).filter(|entry| entry.life.usable_at(now))?;
        if let Some(since) = self.memory.away_since() {
            return Some(answer(&entry, Some(store_away(since))));
        }
        if !self.memory.is_trusted(now) {
            return None;
        }
        if entry.is_due(now) {
            self.renew_behind(id.to_owned());
        }
        Some(answer(&entry, entry.stale.clone()))
    }

    /// What is held, although the store could not be asked whether it is current.
    fn get_unconfirmed(&self, id: SecretRef<'_>) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let entry = self.memory.find(id).filter(|entry| entry.life.usable_at(now))?;
        Some(answer(&entry, Some(store_away(now))))
    }

    async fn renew(&self, id: SecretId, cause: Cause) -> Result<TokenAnswer, ServiceError> {
        let renewal = Arc::clone(&self.renewal);
        self.flights.join(id.clone(), cause, move || async move { renewal.renew(&id, cause).await }).await
    }

    fn renew_behind(&self, id: SecretId) {
        let renewal = Arc::clone(&self.renewal);
        self.flights.start(
            id.clone(),
            Cause::Due,
            move || async move { renewal.renew(&id, Cause::Due).await },
        );
    }

    /// Drops what is known of a secret after an edit; callers from now on wait for nothing older.
    pub fn forget(&self, id: &SecretId) {
        self.memory.forget(id);
        self.flights.leave_behind(|edited| edited == id);
    }

    /// Drops what is known of a realm's secrets after an edit.
    pub fn forget_realm(&self, realm: &str) {
        self.memory.forget_realm(realm);
        self.flights.leave_behind(|edited| edited.realm == realm);
    }

    /// What is held, for metrics and the look at the store.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

fn answer(entry: &Entry, stale: Option<Stale>) -> TokenAnswer {
    TokenAnswer {
        token: entry.token.clone(),
        life: entry.life,
        version: entry.version,
        source: if entry.is_fixed { Source::Fixed } else { Source::Memory },
        stale,
        warning: None,
    }
}

fn store_away(since: Timestamp) -> Stale {
    let warning = "the database is not available; this token could not be compared with it".to_owned();
    Stale { since, warning }
}
