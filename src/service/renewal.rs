//! The one path that fetches and stores a token.
//!
//! Look whether somebody has renewed already → is a fetch allowed now? → take the lease → look
//! again → fetch → commit under the lease → memory. The lease makes one holder over all instances;
//! its epoch makes a late holder's commit change nothing. What is good enough, and what is allowed,
//! is decided in `decide`.

mod bases;
mod commit;
mod decide;
mod exchange;
mod fetch;
mod grants;
mod held;
mod inputs;
mod ledger;
mod next;
mod status;
mod trial;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::cause::Cause;
use super::circuits::{Circuits, Refusal};
use super::input_files::InputFiles;
use super::memory::{Mark, Memory};
use super::permits::{Permit, Permits};
use super::requester::Requester;
use super::{ServiceError, Stale, TokenAnswer};
use crate::clock::{Clock, Timestamp};
use crate::failpoint::crash_point;
use crate::failure::Failure;
use crate::realm::{Definition, Policy};
use crate::secret::SecretId;
use crate::store::{DueToken, Lease, RecordedFailure, SecretRow, Store, TokenRow};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream::TokenSource;
use bases::Bases;
use decide::Barrier;
use exchange::Exchange;
use grants::Late;
pub(in crate::service) use inputs::Inputs;
use inputs::settings_fingerprint;
use ledger::UsedUp;
pub use status::{GrantStatus, QuotaUse, SecretStatus, TokenState};
pub use trial::{Shows, Trial, TrialInputs, TrialReport};
use turn::{Turn, Turned};

/// Times of a renewal.
#[derive(Clone, Copy, Debug)]
pub struct RenewalSettings {
    /// How long a fetch may take where the realm's policy does not say.
    pub fetch_timeout: Duration,
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
    /// The bytes that all responses of one fetch may have together.
    pub response_bytes: usize,
}

/// What a renewal works with.
pub struct RenewalParts {
    /// Where tokens and leases are.
    pub store: Arc<dyn Store>,
    /// Who is asked.
    pub upstream: Arc<dyn TokenSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where entries are kept.
    pub memory: Arc<Memory>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where inputs that are files are.
    pub files: InputFiles,
    /// Where what outlives a renewal goes on.
    pub tasks: Tasks,
    /// Tells the refresher of each token that was stored here.
    pub schedule: mpsc::UnboundedSender<DueToken>,
}

/// Fetches and stores tokens.
pub struct Renewal {
    parts: RenewalParts,
    permits: Permits,
    circuits: Circuits,
    used_up: UsedUp,
    exchange: Exchange,
    /// How many trials may still be begun.
    trials: Semaphore,
    settings: RenewalSettings,
    /// This process, in leases.
    owner: String,
}

/// The rows a decision rests on, read together.
#[derive(Clone)]
struct View {
    mark: Mark,
    definition: Definition,
    policy: Policy,
    settings_fingerprint: i64,
    inputs: Inputs,
    realm_version: i64,
    secret: SecretRow,
    row: Option<TokenRow>,
}

/// A lease is for at least so long, however short the fetch may be: the database needs its time too.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
/// First and last wait between looks at another instance's renewal.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);

impl Renewal {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: RenewalParts, settings: RenewalSettings) -> Self {
        let owner = uuid::Uuid::now_v7().to_string();
        let exchange = Exchange {
            store: Arc::clone(&parts.store),
            upstream: Arc::clone(&parts.upstream),
            clock: Arc::clone(&parts.clock),
            tasks: parts.tasks.clone(),
            instance: owner.clone(),
            margin: settings.lease_margin,
            response_bytes: settings.response_bytes,
            late: Late::default(),
        };
        Self {
            parts,
            exchange,
            permits: Permits::default(),
            circuits: Circuits::default(),
            used_up: UsedUp::default(),
            trials: Semaphore::new(trial::MOST_AT_ONCE),
            settings,
            owner,
        }
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
    /// See [`ServiceError`]; a token that is held and usable is answered rather than an
    /// error of the provider.
    pub async fn renew(&self, id: &SecretId, cause: Cause) -> Result<TokenAnswer, ServiceError> {
        self.renew_for(id, cause, None).await
    }

    /// The same for a caller who asked for another token than the one held: what it forces is
    /// counted against it.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub async fn renew_for(
        &self,
        id: &SecretId,
        cause: Cause,
        by: Option<&Requester>,
    ) -> Result<TokenAnswer, ServiceError> {
        let view = self.view(id).await?;
        if view.definition == Definition::Fixed {
            let answer = self.give_fixed(id, &view)?;
            return Ok(TokenAnswer {
                renewed: !cause.wants_another(),
                ..answer
            });
        }
        let seen_version = view.row.as_ref().map_or(0, |row| row.version);
        if let Some(outcome) = self.settle(id, &view, cause, seen_version) {
            return outcome;
        }
        match self.obtain_bases(id, &view).await {
            Ok(bases) => {
                self.renew_under_lease(id, (cause, by), seen_version, (&view, bases))
                    .await
            }
            Err(ServiceError::Fetch(failure)) => self.without_bases(id, &view, cause, failure),
            Err(other) => Err(other),
        }
    }

    /// Queues a renewal in the background.
    fn plan(&self, id: &SecretId, due_at: Timestamp) {
        // Without a refresher (a function) nobody listens.
        let _ = self.parts.schedule.send(DueToken {
            id: id.clone(),
            due_at,
        });
    }

    /// Waits for the leave to fetch; not under a lease, which would be used up.
    async fn permit(&self, id: &SecretId, view: &View) -> Result<Permit, ServiceError> {
        let permit = self.permits.acquire(&id.realm, view.policy.max_concurrency);
        let permit = tokio::time::timeout(self.settings.wait, permit).await;
        permit.map_err(|_| ServiceError::Waited(self.settings.wait))
    }

    /// How long a fetch may take.
    fn timeout(&self, view: &View) -> Duration {
        view.policy.timeout.unwrap_or(self.settings.fetch_timeout)
    }

    async fn view(&self, id: &SecretId) -> Result<View, ServiceError> {
        let mark = self.parts.memory.mark();
        let unknown = || ServiceError::UnknownSecret(id.clone());
        let realm = self
            .parts
            .store
            .find_realm(&id.realm)
            .await?
            .filter(|row| row.deleted_at.is_none());
        let secret = self
            .parts
            .store
            .find_secret(id)
            .await?
            .filter(|row| row.deleted_at.is_none());
        let (realm, secret) = realm.zip(secret).ok_or_else(unknown)?;
        let row = self.parts.store.find_token(id).await?;
        let definition = super::stored::stored_definition(&realm)?;
        let inputs = match definition.recipe() {
            Some(recipe) => self.inputs(recipe, &secret, row.as_ref()).await,
            None => Inputs::default(),
        };
        Ok(View {
            mark,
            policy: definition.policy(),
            settings_fingerprint: settings_fingerprint(&realm, &definition, &secret, &inputs),
            inputs,
            definition,
            realm_version: realm.version,
            secret,
            row,
        })
    }

    /// The answer that needs no fetch, or may have none now; `None`: fetch.
    fn settle(
        &self,
        id: &SecretId,
        view: &View,
        cause: Cause,
        seen_version: i64,
    ) -> Option<Result<TokenAnswer, ServiceError>> {
        let now = self.parts.clock.now();
        let held = view.usable(now);
        if let Some(held) = held.filter(|held| held.is_good_enough(cause, seen_version, now)) {
            return Some(Ok(self.hand_out(id, view, held, held.row.due_at, None)));
        }
        let reason = view.barrier(cause, now)?;
        match (held, reason) {
            (Some(held), Barrier::Floor(until)) if cause == Cause::Due => {
                self.plan(id, until);
                Some(Ok(self.hand_out(
                    id,
                    view,
                    held,
                    Some(until),
                    view.stale(now),
                )))
            }
            (Some(held), Barrier::Floor(until)) => {
                let answer = self.hand_out(id, view, held, held.row.due_at, view.stale(now));
                Some(Ok(TokenAnswer {
                    renewed: false,
                    retry_after: Some(until.since(now)),
                    ..answer
                }))
            }
            (Some(held), Barrier::Failed(failure)) => {
                let until = failure.background_attempt_at(held.token.life.expires_at);
                if cause == Cause::Due {
                    self.plan(id, until);
                }
                let answer = self.hand_out(id, view, held, Some(until), Some(stale_after(failure)));
                Some(Ok(TokenAnswer {
                    renewed: false,
                    retry_after: Some(until.since(now)),
                    ..answer
                }))
            }
            (None, Barrier::Failed(recorded)) => {
                let retry_after = Some(recorded.urgent_attempt_at.since(now));
                Some(Err(ServiceError::Fetch(Failure {
                    retry_after,
                    ..recorded.failure.clone()
                })))
            }
            (None, Barrier::Floor(_)) => None,
        }
    }

    /// The provider is down: what is held, or the last failure of the realm.
    fn on_open_circuit(
        &self,
        id: &SecretId,
        view: &View,
        refusal: Refusal,
    ) -> Result<TokenAnswer, ServiceError> {
        let Refusal { since, until, last } = refusal;
        let now = self.parts.clock.now();
        let retry_after = Some(until.since(now));
        let Some(held) = view.usable(now) else {
            return Err(ServiceError::Fetch(Failure {
                retry_after,
                ..last
            }));
        };
        let stale = Stale {
            since,
            warning: format!("the provider is down: {last}"),
            is_of_base: false,
        };
        let answer = self.hand_out(id, view, held, Some(until), Some(stale));
        Ok(TokenAnswer {
            renewed: false,
            retry_after,
            ..answer
        })
    }

    /// Waits for the lease, or for another instance to do what it would have been for.
    async fn renew_under_lease(
        &self,
        id: &SecretId,
        (cause, by): (Cause, Option<&Requester>),
        seen_version: i64,
        (view, mut bases): (&View, Bases),
    ) -> Result<TokenAnswer, ServiceError> {
        let mut timeout = self.timeout(view);
        let give_up_at = tokio::time::Instant::now() + self.settings.wait;
        let mut pause = FIRST_LOOK;
        let mut permit = None;
        loop {
            let (lease, view) = self.claim_and_look(id, timeout).await?;
            // An edit may have named another.
            timeout = self.timeout(&view);
            if let Some(outcome) = self.settle(id, &view, cause, seen_version) {
                self.release(lease.as_ref()).await;
                return outcome;
            }
            match lease {
                Some(lease) if !self.has_permit(&mut permit, id, &view) => {
                    self.release(Some(&lease)).await;
                    permit = Some(self.permit(id, &view).await?);
                    continue;
                }
                Some(lease) if !bases.fit(&view) => {
                    self.release(Some(&lease)).await;
                    bases = self.obtain_bases(id, &view).await?;
                    continue;
                }
                Some(lease) => {
                    let turn = Turn {
                        lease: &lease,
                        view: &view,
                        bases: &bases,
                        cause,
                        by,
                        seen_version,
                        give_up_at,
                    };
                    match self.fetch(turn).await? {
                        Turned::Answer(answer) => return Ok(answer),
                        Turned::Again => {}
                        Turned::WaitUntil(until) => {
                            // Whoever only waits keeps nobody from fetching.
                            permit = None;
                            self.wait_until(until).await?;
                        }
                    }
                    if bases.have_died() {
                        bases = self.renew_bases(id, bases).await?;
                        continue;
                    }
                    tokio::time::sleep(FIRST_LOOK).await;
                }
                None if cause == Cause::Due => return self.leave_to_holder(id, &view),
                None => {
                    // Whoever only waits for another keeps nobody from fetching.
                    permit = None;
                    tokio::time::sleep(pause).await;
                }
            }
            if tokio::time::Instant::now() >= give_up_at {
                return Err(ServiceError::Waited(self.settings.wait));
            }
            pause = (pause * 3 / 2).min(LAST_LOOK);
        }
    }

    /// Waits, unless the process is asked to stop.
    async fn wait_until(&self, until: Timestamp) -> Result<(), ServiceError> {
        let wait = until.since(self.parts.clock.now());
        tokio::select! {
            () = self.parts.tasks.stopping() => Err(ServiceError::Stopping),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Whether a permit is held, or was free.
    fn has_permit(&self, held: &mut Option<Permit>, id: &SecretId, view: &View) -> bool {
        if held.is_none() {
            *held = self
                .permits
                .try_acquire(&id.realm, view.policy.max_concurrency);
        }
        held.is_some()
    }

    /// Claims first and reads then: an edit, or another instance's renewal, may have come while the
    /// lease was another's.
    async fn claim_and_look(
        &self,
        id: &SecretId,
        timeout: Duration,
    ) -> Result<(Option<Lease>, View), ServiceError> {
        let now = self.parts.clock.now();
        // An edit meanwhile may name a longer timeout: the fetch ends with the lease all the same.
        let until = now.plus(timeout.max(SHORTEST_LEASE) + self.settings.lease_margin);
        let lease = self
            .parts
            .store
            .claim_lease(id, &self.owner, now, until)
            .await?;
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

    async fn release(&self, lease: Option<&Lease>) {
        if let Some(lease) = lease
            && let Err(error) = self.parts.store.release_lease(lease, None).await
        {
            tracing::warn!(%error, "a lease could not be given back; it ends by itself");
        }
    }
}

fn stale_after(failure: &RecordedFailure) -> Stale {
    Stale {
        since: failure.at,
        warning: format!("the last renewal failed: {}", failure.failure),
        is_of_base: false,
    }
}
