//! The one path that fetches and stores a token.
//!
//! Look whether somebody has renewed already → is a fetch allowed now? → take the lease → look again → fetch → commit
//! under the lease → memory. The lease makes one holder over all instances; its epoch makes a late holder's commit
//! change nothing. What is good enough, and what is allowed, is decided in `decide`.

mod decide;
mod fetch;
mod ledger;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::flights::Cause;
use super::memory::{Entry, Mark, Memory};
use super::permits::Permits;
use super::{ServiceError, Stale, TokenAnswer};
use crate::clock::{Clock, Timestamp};
use crate::failpoint::crash_point;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Definition, Policy};
use crate::secret::{Credentials, FixedToken, SecretId};
use crate::store::{DueToken, HeldToken, Lease, RecordedFailure, Store, TokenRow};
use crate::telemetry::Metrics;
use crate::token::{Life, Source};
use crate::upstream::Upstream;
use decide::{Held, Hold};
pub use status::{SecretStatus, TokenState};

/// Times of a renewal.
#[derive(Clone, Copy, Debug)]
pub struct RenewalSettings {
    /// By how much a lease outlives the fetch it is for.
    pub lease_margin: Duration,
    /// How long to wait for another instance's renewal.
    pub wait: Duration,
    /// The life of a token whose provider tells none.
    pub default_life: Duration,
    /// Secrets nobody asked for in this time are not renewed ahead.
    pub idle_after: Duration,
    /// How long memory is served unasked after the last look at the store, at least.
    pub trust_for: Duration,
}

/// What a renewal works with.
pub struct RenewalParts {
    /// Where tokens and leases are.
    pub store: Arc<dyn Store>,
    /// Who is asked.
    pub upstream: Upstream,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where entries are kept.
    pub memory: Arc<Memory>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells the refresher of each token that was stored here.
    pub schedule: mpsc::UnboundedSender<DueToken>,
}

/// Fetches and stores tokens.
pub struct Renewal {
    parts: RenewalParts,
    permits: Permits,
    settings: RenewalSettings,
    /// This process, in leases.
    owner: String,
}

/// The rows a decision rests on, read together.
struct View {
    mark: Mark,
    definition: Definition,
    policy: Policy,
    realm_version: i64,
    credentials: Credentials,
    fixed: Option<FixedToken>,
    secret_version: i64,
    row: Option<TokenRow>,
}

/// First and last wait between looks at another instance's renewal.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);

impl Renewal {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: RenewalParts, settings: RenewalSettings) -> Self {
        let owner = uuid::Uuid::now_v7().to_string();
        Self { parts, permits: Permits::default(), settings, owner }
    }

    /// Where entries are kept.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.parts.memory
    }

    /// The time it goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// A token good enough for `cause`, fetched if need be and allowed.
    ///
    /// # Errors
    /// See [`ServiceError`]; a token that is held and usable is answered rather than an error of the provider.
    pub async fn renew(&self, id: &SecretId, cause: Cause) -> Result<TokenAnswer, ServiceError> {
        let view = self.view(id).await?;
        if view.definition == Definition::Fixed {
            return self.give_fixed(id, &view);
        }
        let asked_at_version = view.row.as_ref().map_or(0, |row| row.version);
        if let Some(outcome) = self.settle(id, &view, cause, asked_at_version) {
            return outcome;
        }
        // Before the lease is taken: waiting here must not use it up.
        let permit = self.permits.acquire(&id.realm, view.policy.max_concurrency);
        let permit = tokio::time::timeout(self.settings.wait, permit).await;
        let _permit = permit.map_err(|_| ServiceError::Waited(self.settings.wait))?;
        self.renew_under_lease(id, cause, asked_at_version).await
    }

    async fn view(&self, id: &SecretId) -> Result<View, ServiceError> {
        let mark = self.parts.memory.mark();
        let unknown = || ServiceError::UnknownSecret(id.clone());
        let realm = self.parts.store.find_realm(&id.realm).await?.filter(|row| row.deleted_at.is_none());
        let secret = self.parts.store.find_secret(id).await?.filter(|row| row.deleted_at.is_none());
        let (realm, secret) = realm.zip(secret).ok_or_else(unknown)?;
        let row = self.parts.store.find_token(id).await?;
        let definition = super::realms::stored_definition(&realm)?;
        Ok(View {
            mark,
            policy: definition.policy(),
            definition,
            realm_version: realm.version,
            credentials: secret.content.credentials,
            fixed: secret.content.fixed,
            secret_version: secret.version,
            row,
        })
    }

    /// The answer that needs no fetch, or may have none now; `None`: fetch.
    fn settle(
        &self,
        id: &SecretId,
        view: &View,
        cause: Cause,
        asked_at: i64,
    ) -> Option<Result<TokenAnswer, ServiceError>> {
        let now = self.parts.clock.now();
        let held = view.held(now);
        if let Some(held) = held.filter(|held| held.is_good_enough(cause, asked_at, now)) {
            return Some(Ok(self.keep(id, view, held, held.row.due_at, None)));
        }
        let reason = view.hold(cause, now)?;
        match (held, reason) {
            (Some(held), Hold::Floor(until)) => {
                let answer = self.keep(id, view, held, held.row.due_at, view.stale(now));
                Some(Ok(TokenAnswer { renewed: false, retry_after: Some(until.since(now)), ..answer }))
            }
            (Some(held), Hold::Failed(failure)) => {
                let until = failure.next_attempt_at;
                let answer = self.keep(id, view, held, Some(until), Some(stale_after(failure)));
                Some(Ok(TokenAnswer { renewed: false, retry_after: Some(until.since(now)), ..answer }))
            }
            (None, Hold::Failed(recorded)) => {
                let retry_after = Some(recorded.next_attempt_at.since(now));
                Some(Err(ServiceError::Fetch(Failure { retry_after, ..recorded.failure.clone() })))
            }
            (None, Hold::Floor(_)) => None,
        }
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
            let (lease, view) = self.claim_and_look(id).await?;
            if let Some(outcome) = self.settle(id, &view, cause, asked_at) {
                self.release(lease.as_ref()).await;
                return outcome;
            }
            match lease {
                Some(lease) => {
                    if let Some(answer) = self.fetch(&lease, &view, cause, asked_at).await? {
                        return Ok(answer);
                    }
                }
                None if cause == Cause::Due => return self.leave_to_holder(id, &view),
                None => tokio::time::sleep(pause).await,
            }
            if tokio::time::Instant::now() >= give_up_at {
                return Err(ServiceError::Waited(self.settings.wait));
            }
            pause = (pause * 3 / 2).min(LAST_LOOK);
        }
    }

    /// Claims first and reads then: an edit, or another instance's renewal, may have come while the lease was another's.
    async fn claim_and_look(&self, id: &SecretId) -> Result<(Option<Lease>, View), ServiceError> {
        let now = self.parts.clock.now();
        // The policy's own timeout is at most the lease's; see `fetch`.
        let until = now.plus(self.parts.upstream.longest_fetch() + self.settings.lease_margin);
        let lease = self.parts.store.claim_lease(id, &self.owner, now, until).await?;
        if lease.is_some() {
            crash_point("lease_claimed");
        }
        match self.view(id).await {
            Ok(view) => Ok((lease, view)),
            Err(error) => {
                self.release(lease.as_ref()).await;
                Err(error)
            }
        }
    }

    /// Keeps a stored token in memory and answers it.
    fn keep(
        &self,
        id: &SecretId,
        view: &View,
        held: Held<'_>,
        due_at: Option<Timestamp>,
        stale: Option<Stale>,
    ) -> TokenAnswer {
        let previous = held.row.previous_valid_until;
        let entry = Entry {
            due_at,
            stale,
            previous_valid_until: previous,
            ..self.entry(view, held.token, held.row.version)
        };
        let answer = entry.answer(Source::Database);
        self.parts.memory.keep(view.mark, id, entry);
        answer
    }

    /// The entry of a fetched token, not yet due.
    fn entry(&self, view: &View, token: &HeldToken, version: i64) -> Entry {
        Entry {
            token: token.text.clone(),
            life: token.life,
            version,
            realm_version: token.realm_version,
            secret_version: token.secret_version,
            due_at: None,
            stale: None,
            asked: Arc::default(),
            previous_valid_until: None,
            is_fixed: false,
            trust_for: self.settings.trust_for.max(view.policy.overlap().unwrap_or_default() / 2),
            dies_when_renewed: view.policy.overlap().is_some_and(|overlap| overlap.is_zero()),
        }
    }

    /// Another instance renews; what is held is good until its token is seen.
    fn leave_to_holder(&self, id: &SecretId, view: &View) -> Result<TokenAnswer, ServiceError> {
        let now = self.parts.clock.now();
        let held = view.held(now).ok_or(ServiceError::Waited(Duration::ZERO))?;
        Ok(self.keep(id, view, held, Some(now.plus(Duration::from_secs(1))), None))
    }

    fn give_fixed(&self, id: &SecretId, view: &View) -> Result<TokenAnswer, ServiceError> {
        let now = self.parts.clock.now();
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
        let entry = Entry { is_fixed: true, ..self.entry(view, &token, view.secret_version) };
        let answer = entry.answer(Source::Fixed);
        self.parts.memory.keep(view.mark, id, entry);
        Ok(answer)
    }

    async fn release(&self, lease: Option<&Lease>) {
        if let Some(lease) = lease
            && let Err(error) = self.parts.store.release_lease(lease, None).await
        {
            tracing::warn!(%error, "a lease could not be given back; it ends by itself");
        }
    }
}

fn stale_after(failure: &RecordedFailure) -> Stale {
    Stale { since: failure.at, warning: format!("the last renewal failed: {}", failure.failure) }
}
