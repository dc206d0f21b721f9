//! The one path that fetches and stores a token.
//!
//! Look whether somebody has renewed already → take the lease → look again → fetch → commit under the lease → memory.
//! The lease makes one holder over all instances; its epoch makes a late holder's commit change nothing.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use super::flights::Cause;
use super::memory::{Entry, Mark, Memory};
use super::{ServiceError, Stale, TokenAnswer};
use crate::clock::{Clock, Timestamp};
use crate::failure::{Failure, FailureKind};
use crate::realm::Definition;
use crate::secret::{Credentials, FixedToken, SecretId};
use crate::store::{HeldToken, Lease, RecordedFailure, Store, TokenRow};
use crate::telemetry::Metrics;
use crate::token::{Life, Source};
use crate::upstream::Upstream;

/// Times of a renewal.
#[derive(Clone, Copy, Debug)]
pub struct RenewalSettings {
    /// How long a lease holds: a whole fetch and 2 s.
    pub lease: Duration,
    /// How long to wait for another instance's renewal.
    pub wait: Duration,
    /// The life of a token whose provider tells none.
    pub default_life: Duration,
    /// How long a replaced token is taken to work on.
    pub overlap: Duration,
}

/// Fetches and stores tokens.
pub struct Renewal {
    store: Arc<dyn Store>,
    upstream: Upstream,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    settings: RenewalSettings,
    /// This process, in leases.
    owner: String,
}

/// The rows a decision rests on, read together.
struct View {
    mark: Mark,
    definition: Definition,
    realm_version: i64,
    credentials: Credentials,
    fixed: Option<FixedToken>,
    secret_version: i64,
    row: Option<TokenRow>,
}

impl View {
    /// The stored token, if it was made with the current versions.
    fn held(&self) -> Option<(&TokenRow, &HeldToken)> {
        let row = self.row.as_ref()?;
        let token = row.token.as_ref()?;
        let is_current =
            token.realm_version == self.realm_version && token.secret_version == self.secret_version;
        is_current.then_some((row, token))
    }

    fn token_version(&self) -> i64 {
        self.row.as_ref().map_or(0, |row| row.version)
    }
}

/// First and last wait between looks at another instance's renewal.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);
impl Renewal {
    /// Over one store, one upstream client and one memory.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        upstream: Upstream,
        clock: Arc<dyn Clock>,
        memory: Arc<Memory>,
        metrics: Arc<Metrics>,
        settings: RenewalSettings,
    ) -> Self {
        let owner = uuid::Uuid::now_v7().to_string();
        Self { store, upstream, clock, memory, metrics, settings, owner }
    }

    /// Where entries are kept.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The time it goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A token good enough for `cause`, fetched if need be.
    ///
    /// # Errors
    /// See [`ServiceError`]; a token that is held and usable is answered rather than an error of the provider.
    pub async fn renew(&self, id: &SecretId, cause: Cause) -> Result<TokenAnswer, ServiceError> {
        let view = self.view(id).await?;
        if view.definition == Definition::Fixed {
            return self.give_fixed(id, &view);
        }
        let asked_at_version = view.token_version();
        if let Some(answer) = self.take(id, &view, cause, asked_at_version) {
            return Ok(answer);
        }
        if cause == Cause::Due
            && let Some(answer) = self.put_off(id, &view)
        {
            return Ok(answer);
        }
        self.renew_under_lease(id, cause, asked_at_version).await
    }

    async fn view(&self, id: &SecretId) -> Result<View, ServiceError> {
        let mark = self.memory.mark();
        let unknown = || ServiceError::UnknownSecret(id.clone());
        let realm = self.store.find_realm(&id.realm).await?.filter(|row| row.deleted_at.is_none());
        let secret = self.store.find_secret(id).await?.filter(|row| row.deleted_at.is_none());
        let (realm, secret) = realm.zip(secret).ok_or_else(unknown)?;
        let row = self.store.find_token(id).await?;
        Ok(View {
            mark,
            definition: super::realms::stored_definition(&realm)?,
            realm_version: realm.version,
            credentials: secret.content.credentials,
            fixed: secret.content.fixed,
            secret_version: secret.version,
            row,
        })
    }

    /// Waits for the lease, or for another instance to do what it would have been for.
    async fn renew_under_lease(
        &self,
        id: &SecretId,
        cause: Cause,
        asked_at: i64,
    ) -> Result<TokenAnswer, ServiceError> {
        let give_up_at = tokio::time::Instant::now() + self.settings.wait;
        let mut pause = FIRST_LOOK;
        loop {
            let now = self.clock.now();
            let until = now.plus(self.settings.lease);
            let lease = self.store.claim_lease(id, &self.owner, now, until).await?;
            // Read again: an edit, or another instance's renewal, may have come while the lease was another's.
            let view = match self.view(id).await {
                Ok(view) => view,
                Err(error) => {
                    self.release(lease.as_ref()).await;
                    return Err(error);
                }
            };
            if let Some(answer) = self.take(id, &view, cause, asked_at) {
                self.release(lease.as_ref()).await;
                return Ok(answer);
            }
            match lease {
                Some(lease) => return self.fetch(&lease, &view, cause, asked_at).await,
                None if cause == Cause::Due => return self.leave_to_holder(id, &view),
                None if tokio::time::Instant::now() >= give_up_at => {
                    return Err(ServiceError::Waited(self.settings.wait));
                }
                None => tokio::time::sleep(pause).await,
            }
            pause = (pause * 3 / 2).min(LAST_LOOK);
        }
    }

    /// The stored token, if it is good enough for the cause; then it is kept in memory too.
    fn take(&self, id: &SecretId, view: &View, cause: Cause, asked_at: i64) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let (row, token) = view.held().filter(|(_, token)| token.life.usable_at(now))?;
        let is_due = row.due_at.is_some_and(|due_at| now >= due_at);
        let good_enough = match cause {
            Cause::Miss => true,
            Cause::Due => !is_due,
            Cause::Flush => row.version > asked_at,
        };
        good_enough.then(|| self.keep(id, view.mark, (row, token), row.due_at, None))
    }

    /// Keeps a stored token in memory and answers it.
    fn keep(
        &self,
        id: &SecretId,
        mark: Mark,
        (row, token): (&TokenRow, &HeldToken),
        due_at: Option<Timestamp>,
        stale: Option<Stale>,
    ) -> TokenAnswer {
        self.memory.keep(mark, id, entry_of(token, row.version, due_at, stale.clone()));
        answer_of(token, row.version, Source::Database, stale)
    }

    /// Another attempt failed a moment ago, here or elsewhere: the held token until the next one may be made.
    fn put_off(&self, id: &SecretId, view: &View) -> Option<TokenAnswer> {
        let (row, token) = view.held()?;
        let failure = row.failure.as_ref().filter(|failure| self.clock.now() < failure.next_attempt_at)?;
        let stale = stale_after(failure);
        Some(self.keep(id, view.mark, (row, token), Some(failure.next_attempt_at), Some(stale)))
    }

    /// Another instance renews; what is held is good until its token is seen.
    fn leave_to_holder(&self, id: &SecretId, view: &View) -> Result<TokenAnswer, ServiceError> {
        let (row, token) = view.held().ok_or(ServiceError::Waited(Duration::ZERO))?;
        let look_again_at = self.clock.now().plus(Duration::from_secs(1));
        Ok(self.keep(id, view.mark, (row, token), Some(look_again_at), None))
    }

    fn give_fixed(&self, id: &SecretId, view: &View) -> Result<TokenAnswer, ServiceError> {
        let now = self.clock.now();
        let config = |detail: String| Err(ServiceError::Fetch(Failure::new(FailureKind::Config, detail)));
        let Some(fixed) = &view.fixed else {
            return config(format!("realm {} is fixed, and secret {id} has no token: save one", id.realm));
        };
        // Its life is the operator's business: no margin is taken off.
        let life = Life { obtained_at: fixed.expires_at.unwrap_or(now), expires_at: fixed.expires_at };
        if !life.usable_at(now) {
            return config(format!(
                "the token that the operator gave for secret {id} has expired: save a new one"
            ));
        }
        let token = HeldToken {
            text: fixed.token.clone(),
            life,
            realm_version: view.realm_version,
            secret_version: view.secret_version,
        };
        let entry = Entry { is_fixed: true, ..entry_of(&token, view.secret_version, None, None) };
        self.memory.keep(view.mark, id, entry);
        Ok(answer_of(&token, view.secret_version, Source::Fixed, None))
    }

    async fn release(&self, lease: Option<&Lease>) {
        if let Some(lease) = lease
            && let Err(error) = self.store.release_lease(lease, None).await
        {
            tracing::warn!(%error, "a lease could not be given back; it ends by itself");
        }
    }
}

fn stale_after(failure: &RecordedFailure) -> Stale {
    Stale { since: failure.at, warning: format!("the last renewal failed: {}", failure.failure) }
}

fn entry_of(token: &HeldToken, version: i64, due_at: Option<Timestamp>, stale: Option<Stale>) -> Entry {
    Entry {
        token: token.text.clone(),
        life: token.life,
        version,
        realm_version: token.realm_version,
        secret_version: token.secret_version,
        due_at,
        stale,
        is_fixed: false,
    }
}

fn answer_of(token: &HeldToken, version: i64, source: Source, stale: Option<Stale>) -> TokenAnswer {
    TokenAnswer { token: token.text.clone(), life: token.life, version, source, stale, warning: None }
}
