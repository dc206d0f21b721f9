//! The one path that fetches and stores a token.
//!
//! Look whether somebody has renewed already → take the lease → look again → fetch → commit under the lease → memory.
//! The lease makes one holder over all instances; its epoch makes a late holder's commit change nothing.

use std::sync::Arc;
use std::time::Duration;

use super::flights::Cause;
use super::memory::{Entry, Mark, Memory};
use super::schedule::{back_off, due_at, repeat_at};
use super::{ServiceError, Stale, TokenAnswer};
use crate::clock::{Clock, Timestamp};
use crate::failure::{Failure, FailureKind};
use crate::realm::{Answer, Definition};
use crate::secret::{Credentials, FixedToken, SecretId};
use crate::store::{Commit, HeldToken, Lease, RecordedFailure, Store, StoreError, TokenRow};
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
/// How often a commit is tried while the lease holds, and the pause between.
const COMMIT_TRIES: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_millis(200);

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

    async fn fetch(
        &self,
        lease: &Lease,
        view: &View,
        cause: Cause,
        asked_at: i64,
    ) -> Result<TokenAnswer, ServiceError> {
        // The life counts from before the request.
        let started = self.clock.now();
        match self.ask_upstream(lease, view, cause).await {
            Ok(answer) => self.store_answer(lease, view, &answer, started, asked_at).await,
            Err(failure) => self.note_failure(lease, view, failure).await,
        }
    }

    async fn ask_upstream(&self, lease: &Lease, view: &View, cause: Cause) -> Result<Answer, Failure> {
        let id = &lease.id;
        let started = tokio::time::Instant::now();
        let plan = view.definition.plan(id, &view.credentials)?;
        let Some(plan) = plan else {
            return Err(Failure::new(FailureKind::Config, "the realm is fixed: there is nothing to fetch"));
        };
        let outcome = self.upstream.fetch(&plan, &view.credentials).await;
        let code = outcome.as_ref().map_or_else(|failure| failure.kind.code(), |_| "ok");
        let took = started.elapsed();
        self.metrics.count_upstream(&id.realm, code, took);
        let cause = cause.as_str();
        tracing::info!(realm = id.realm, key = id.key, cause, outcome = code, ?took, "asked the provider");
        outcome
    }

    async fn store_answer(
        &self,
        lease: &Lease,
        view: &View,
        answer: &Answer,
        started: Timestamp,
        asked_at: i64,
    ) -> Result<TokenAnswer, ServiceError> {
        let commit = self.commit_of(lease, view, answer, started);
        let warning = answer.expires_in.is_none().then(|| self.untold_life(&lease.id));
        match self.commit(lease, &commit).await {
            Ok(true) => {
                let entry = entry_of(&commit.token, commit.version, commit.due_at, None);
                self.memory.keep(view.mark, &lease.id, entry);
                let answer = answer_of(&commit.token, commit.version, Source::Upstream, None);
                Ok(TokenAnswer { warning, ..answer })
            }
            Ok(false) => self.fenced(lease, asked_at).await,
            Err(error) => Ok(self.unstored(lease, view, &commit, &error)),
        }
    }

    fn untold_life(&self, id: &SecretId) -> String {
        let life = self.settings.default_life;
        let warning = format!("the provider told no expiry; the token is taken to live {life:?}");
        tracing::warn!(realm = id.realm, key = id.key, "{warning}");
        warning
    }

    fn commit_of(&self, lease: &Lease, view: &View, answer: &Answer, started: Timestamp) -> Commit {
        let now = self.clock.now();
        let told = answer.expires_in.unwrap_or(self.settings.default_life);
        let mut life = Life { obtained_at: started, expires_at: Some(started.plus(told)) };
        let mut due = due_at(life, view.definition.refresh_ahead(), &lease.id);
        let held = view.held().map(|(_, token)| token);
        if let Some(held) = held.filter(|held| held.text == answer.token && held.life.usable_at(started)) {
            // The same token came back: its life is not longer than was told before.
            life.expires_at = life.expires_at.min(held.life.expires_at.or(life.expires_at));
            due = repeat_at(now, life).max(due.filter(|due| *due > now));
        }
        let replaced = held.filter(|held| held.text != answer.token);
        let overlap_ends = now.plus(self.settings.overlap);
        Commit {
            previous: replaced.map(|held| {
                let valid_until =
                    held.life.expires_at.map_or(overlap_ends, |expires_at| expires_at.min(overlap_ends));
                (held.text.clone(), Some(valid_until))
            }),
            token: HeldToken {
                text: answer.token.clone(),
                life,
                realm_version: view.realm_version,
                secret_version: view.secret_version,
            },
            version: view.token_version() + 1,
            due_at: due,
            at: now,
        }
    }

    /// Writes the token; the provider has given it, so a store that is away for a moment is asked again.
    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            let outcome = self.store.commit_token(lease, commit).await;
            if outcome.is_ok() || tries == COMMIT_TRIES || self.clock.now() >= lease.until {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(COMMIT_PAUSE).await;
        }
    }

    /// The lease had passed to another: what that one stored counts, what we fetched does not.
    async fn fenced(&self, lease: &Lease, asked_at: i64) -> Result<TokenAnswer, ServiceError> {
        tracing::warn!(
            realm = lease.id.realm,
            key = lease.id.key,
            "a fetch came too late and was not stored"
        );
        let view = self.view(&lease.id).await?;
        let taken = self.take(&lease.id, &view, Cause::Flush, asked_at);
        taken.ok_or(ServiceError::Waited(self.settings.lease))
    }

    /// The token works although it could not be stored: it is handed out, and gives way to any that is stored later.
    fn unstored(&self, lease: &Lease, view: &View, commit: &Commit, error: &StoreError) -> TokenAnswer {
        tracing::error!(realm = lease.id.realm, key = lease.id.key, %error, "a fetched token could not be stored");
        let warning = "the database is not available; this token could not be stored".to_owned();
        let stale = Some(Stale { since: commit.at, warning });
        let version = view.token_version();
        self.memory.keep(
            view.mark,
            &lease.id,
            entry_of(&commit.token, version, commit.due_at, stale.clone()),
        );
        answer_of(&commit.token, version, Source::Upstream, stale)
    }

    /// Notes why for all instances; answers the held token while it is good.
    async fn note_failure(
        &self,
        lease: &Lease,
        view: &View,
        failure: Failure,
    ) -> Result<TokenAnswer, ServiceError> {
        let id = &lease.id;
        tracing::warn!(realm = id.realm, key = id.key, code = failure.kind.code(), %failure, "no token came");
        let at = self.clock.now();
        let count = view.row.as_ref().map_or(0, |row| row.failure_count) + 1;
        let wait = failure.retry_after.unwrap_or_default().max(back_off(failure.kind, count, id));
        let recorded = RecordedFailure { at, next_attempt_at: at.plus(wait), failure };
        if let Err(error) = self.store.release_lease(lease, Some(&recorded)).await {
            tracing::warn!(%error, "a lease could not be given back; it ends by itself");
        }
        let usable = view.held().filter(|(_, token)| token.life.usable_at(at));
        let Some((row, token)) = usable else { return Err(ServiceError::Fetch(recorded.failure)) };
        let stale = stale_after(&recorded);
        Ok(self.keep(id, view.mark, (row, token), Some(recorded.next_attempt_at), Some(stale)))
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
