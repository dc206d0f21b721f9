//! Asking the provider under a lease, and what becomes of its responses.

use std::time::Duration;

use super::decide::Usable;
use super::exchange::Exchanged;
use super::ledger::{Admission, Ask};
use super::turn::{Broken, Turn, Turned, nothing_to_fetch};
use super::{Renewal, View, stale_after};
use crate::clock::Timestamp;
use crate::failpoint::crash_point;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Expiry, Facts, Fetched};
use crate::secret::SecretId;
use crate::service::cause::Cause;
use crate::service::schedule::{back_off, urgent_back_off};
use crate::service::{ServiceError, TokenAnswer};
use crate::store::{Commit, RecordedFailure};
use crate::token::Source;

/// How long to wait before it is looked again whether a late response has come.
const LATE_LOOK: Duration = Duration::from_millis(250);

impl Renewal {
    /// Asks the provider and stores what it gives.
    pub(super) async fn fetch(&self, turn: Turn<'_>) -> Result<Turned, ServiceError> {
        let Turn {
            lease, view, cause, ..
        } = turn;
        let Some(recipe) = view.definition.recipe() else {
            return self.note_failure(turn, nothing_to_fetch()).await;
        };
        if recipe.rotates() && cause != Cause::Retry && self.exchange.late.has(&lease.id) {
            self.release(Some(lease)).await;
            let soon = self.parts.clock.now().plus(LATE_LOOK);
            return Ok(Turned::WaitUntil(soon));
        }
        if let Some(failure) = &view.inputs.failure {
            return self.note_failure(turn, failure.clone()).await;
        }
        // The life counts from before the request.
        let started = self.parts.clock.now();
        let forced = cause.is_forced() && view.usable(started).is_some();
        let facts = view.facts(&lease.id, forced, started, turn.bases.tokens());
        let run = match recipe.begin(facts.clone()) {
            Ok(run) => run,
            Err(failure) => return self.note_failure(turn, failure).await,
        };
        if !recipe.calls() {
            let outcome = self.exchange.work_out(run, self.timeout(view)).await;
            return self.end_fetch(turn, outcome, started).await;
        }
        let by_hand = cause == Cause::Retry;
        let pass = match self
            .circuits
            .enter(&lease.id.realm, view.realm_version, by_hand, started)
        {
            Ok(pass) => pass,
            Err(refusal) => {
                self.release(Some(lease)).await;
                return self
                    .on_open_circuit(&lease.id, view, refusal)
                    .map(Turned::Answer);
            }
        };
        let call = match self.admit(Ask::of(turn, started)).await {
            Ok(Admission::Go(call)) => call,
            Ok(Admission::Withheld(until)) => return self.on_used_up_quota(turn, until).await,
            Err(error) => {
                self.release(Some(lease)).await;
                return Err(error.into());
            }
        };
        crash_point("call_logged");
        let outcome = self.call_upstream(turn, facts, &call).await;
        match &outcome {
            Err(Broken::Failed(failure)) => pass.settle(Some(failure), self.parts.clock.now()),
            Ok(_) | Err(Broken::Store(_) | Broken::Overtaken) => {
                pass.settle(None, self.parts.clock.now());
            }
            Err(Broken::OutOfTime) => drop(pass),
        }
        self.end_fetch(turn, outcome, started).await
    }

    async fn end_fetch(
        &self,
        turn: Turn<'_>,
        outcome: Result<Fetched, Broken>,
        started: Timestamp,
    ) -> Result<Turned, ServiceError> {
        match outcome {
            Ok(fetched) => {
                crash_point("provider_answered");
                let commit = self.commit_of(turn, &fetched, started);
                if !commit
                    .token
                    .life
                    .usable_while_not_due(commit.due_at, self.parts.clock.now())
                {
                    return self.note_failure(turn, came_too_late()).await;
                }
                self.store_fetched(turn, commit, &fetched).await
            }
            Err(Broken::Failed(failure))
                if failure.kind == FailureKind::Dependency && turn.bases.note_death() =>
            {
                self.release(Some(turn.lease)).await;
                Ok(Turned::Again)
            }
            Err(Broken::Failed(failure)) if failure.kind == FailureKind::Reauthorise => {
                self.lost_grant(turn, failure).await
            }
            Err(Broken::Failed(failure)) => self.note_failure(turn, failure).await,
            Err(Broken::Overtaken | Broken::OutOfTime) => {
                self.release(Some(turn.lease)).await;
                Ok(Turned::Again)
            }
            Err(Broken::Store(error)) => {
                self.release(Some(turn.lease)).await;
                Err(error.into())
            }
        }
    }

    /// The grant was refused: unless somebody has moved it on meanwhile, or a login gives another,
    /// it is gone.
    async fn lost_grant(&self, turn: Turn<'_>, failure: Failure) -> Result<Turned, ServiceError> {
        if turn.cause != Cause::Next && self.exchange.is_replaceable(turn.lease, turn.view).await? {
            self.release(Some(turn.lease)).await;
            return Ok(Turned::Again);
        }
        self.note_failure(turn, failure).await
    }

    async fn call_upstream(
        &self,
        turn: Turn<'_>,
        facts: Facts,
        call: &str,
    ) -> Result<Fetched, Broken> {
        let Turn {
            lease, view, cause, ..
        } = turn;
        let began = tokio::time::Instant::now();
        let Some(times) = self.exchange.times(lease, self.timeout(view)) else {
            let SecretId { realm, key } = &lease.id;
            tracing::warn!(
                realm,
                key,
                "too little time was left to ask the provider: the database or this machine is slow"
            );
            self.withdraw(call).await;
            return Err(Broken::OutOfTime);
        };
        let exchanged = self.exchange.make(lease, view, facts, times).await;
        let Exchanged { outcome, steps } = exchanged;
        if steps == 0 && outcome.as_ref().is_err_and(Broken::is_unsent) {
            self.withdraw(call).await;
            return outcome;
        }
        let (took, code) = (began.elapsed(), Self::outcome_code(&outcome));
        let SecretId { realm, key } = &lease.id;
        self.parts.metrics.count_upstream(realm, code, took);
        tracing::info!(
            realm,
            key,
            cause = cause.as_str(),
            outcome = code,
            ?took,
            "asked the provider"
        );
        let held = view.current().map(|held| &held.text);
        self.record_outcome(call, took, &outcome, held).await;
        outcome
    }

    /// A call that was not made.
    async fn withdraw(&self, call: &str) {
        if let Err(error) = self.parts.store.withdraw_call(call).await {
            tracing::warn!(%error, "a call that was not made stays in the log");
        }
    }

    /// A quota is used up: the held token; else the caller waits for its turn, if it can wait so
    /// long; else a failure that lasts until the quota allows another
    /// call.
    async fn on_used_up_quota(
        &self,
        turn: Turn<'_>,
        until: Timestamp,
    ) -> Result<Turned, ServiceError> {
        let Turn { lease, view, .. } = turn;
        let now = self.parts.clock.now();
        let retry_after = Some(until.since(now));
        if let Some(held) = view.usable(now) {
            self.release(Some(lease)).await;
            let answer = self.hand_out(&lease.id, view, held, Some(until), view.stale(now));
            return Ok(Turned::Answer(TokenAnswer {
                renewed: false,
                retry_after,
                ..answer
            }));
        }
        let patience = turn
            .give_up_at
            .saturating_duration_since(tokio::time::Instant::now());
        if until.since(now) < patience {
            self.release(Some(lease)).await;
            return Ok(Turned::WaitUntil(until));
        }
        let detail = "the quota in this realm's policy is exhausted; the provider was not called";
        let failure = Failure {
            retry_after,
            ..Failure::new(FailureKind::Quota, detail)
        };
        self.note_failure(turn, failure).await
    }

    async fn store_fetched(
        &self,
        turn: Turn<'_>,
        commit: Commit,
        fetched: &Fetched,
    ) -> Result<Turned, ServiceError> {
        let Turn {
            lease, view, cause, ..
        } = turn;
        if cause == Cause::Next && !self.promote(turn).await? {
            return Ok(Turned::Again);
        }
        let warning = self.doubts(&lease.id, fetched.expiry);
        let is_repeated = view
            .current()
            .is_some_and(|held| held.text == fetched.token);
        let renewed = !(is_repeated && cause.wants_another());
        match self.commit(lease, &commit).await {
            Ok(true) => {
                crash_point("token_committed");
                let entry = self.entry_of(view, &commit, commit.version, None);
                if commit.was_asked {
                    entry.asked.note(commit.at);
                }
                self.plan_renewal(&lease.id, &commit);
                if commit.is_foreign {
                    self.note_foreign(&lease.id);
                }
                let answer = entry.answer(Source::Upstream);
                self.parts.memory.put(view.mark, &lease.id, entry);
                Ok(Turned::Answer(TokenAnswer {
                    warning,
                    renewed,
                    ..answer
                }))
            }
            Ok(false) => self.fenced(turn).await,
            Err(error) => Ok(Turned::Answer(self.unstored(turn, commit, &error))),
        }
    }

    /// Queues the token's renewal, unless nobody has asked for it for long.
    fn plan_renewal(&self, id: &SecretId, commit: &Commit) {
        let asked = self
            .parts
            .memory
            .find(id.borrowed())
            .map(|entry| entry.asked.at());
        let is_idle = asked.is_none_or(|asked| commit.at.since(asked) > self.settings.idle_after);
        if let Some(due_at) = commit.due_at.filter(|_| commit.was_asked || !is_idle) {
            self.plan(id, due_at);
        }
    }

    fn note_foreign(&self, SecretId { realm, key }: &SecretId) {
        self.parts.metrics.count_foreign(realm);
        tracing::warn!(
            realm,
            key,
            "a token died early and nobody here replaced it: another system fetches with the same credentials"
        );
    }

    /// What the operator should know of a token's life.
    fn doubts(&self, id: &SecretId, expiry: Expiry) -> Option<String> {
        let warning = match expiry {
            Expiry::Untold => {
                let life = self.settings.default_life;
                format!("the provider told no expiry; the token is taken to live {life:?}")
            }
            Expiry::In(_) | Expiry::Never => expiry.doubt()?,
        };
        tracing::warn!(realm = id.realm, key = id.key, "{warning}");
        Some(warning)
    }

    /// The lease had passed to another: what that one stored counts, what came of our fetch does
    /// not.
    async fn fenced(&self, turn: Turn<'_>) -> Result<Turned, ServiceError> {
        let (id, seen_version) = (&turn.lease.id, turn.seen_version);
        tracing::warn!(
            realm = id.realm,
            key = id.key,
            "a fetch came too late: its outcome was not stored"
        );
        let view = self.view(id).await?;
        let now = self.parts.clock.now();
        let newer = view
            .usable(now)
            .filter(|held| held.row.version > seen_version);
        Ok(newer.map_or(Turned::Again, |newer| {
            Turned::Answer(self.hand_out(id, &view, newer, newer.row.due_at, None))
        }))
    }

    /// Notes why for all instances; answers the held token while it is good. `None` as in
    /// [`Renewal::fetch`].
    async fn note_failure(&self, turn: Turn<'_>, failure: Failure) -> Result<Turned, ServiceError> {
        let Turn {
            lease, view, cause, ..
        } = turn;
        if cause == Cause::Next {
            return self
                .note_next_failure(turn, failure)
                .await
                .map(Turned::Answer);
        }
        let id = &lease.id;
        let at = self.parts.clock.now();
        warn_of(&failure, id, view.grant_ends_soon(at));
        let recorded = recorded(failure, view, id, at);
        match self.parts.store.release_lease(lease, Some(&recorded)).await {
            Ok(true) => {}
            Ok(false) => return self.fenced(turn).await,
            Err(error) => {
                tracing::warn!(%error, "a lease could not be given back; it ends by itself");
            }
        }
        if cause == Cause::Due {
            let ends = view.usable(at).and_then(|held| held.token.life.expires_at);
            self.plan(id, recorded.background_attempt_at(ends));
        }
        // The store may have taken its time.
        let now = self.parts.clock.now();
        let lives = |held: &Usable<'_>| {
            held.token
                .life
                .expires_at
                .is_none_or(|expires_at| now < expires_at)
        };
        let Some(held) = view.usable(at).filter(lives) else {
            return Err(ServiceError::Fetch(Failure {
                retry_after: Some(recorded.urgent_attempt_at.since(at)),
                ..recorded.failure
            }));
        };
        let until = recorded.background_attempt_at(held.token.life.expires_at);
        let stale = Some(stale_after(&recorded));
        let answer = self.hand_out(id, view, held, Some(until), stale);
        Ok(Turned::Answer(TokenAnswer {
            renewed: false,
            retry_after: Some(until.since(at)),
            ..answer
        }))
    }
}

/// A failure as all instances see it, with the time of the next attempt.
fn recorded(failure: Failure, view: &View, id: &SecretId, at: Timestamp) -> RecordedFailure {
    let count = view.failure().map_or(0, |failure| failure.count) + 1;
    let told = failure.retry_after.unwrap_or_default();
    // Our own count of a quota knows to the millisecond when it is free.
    let is_our_count = failure.kind == FailureKind::Quota && !failure.is_response;
    let (wait, urgent) = if is_our_count {
        (Duration::ZERO, Duration::ZERO)
    } else {
        (
            back_off(failure.kind, count, &view.policy, id),
            urgent_back_off(&failure, count, &view.policy, id),
        )
    };
    RecordedFailure {
        at,
        next_attempt_at: at.plus(told.max(wait)),
        urgent_attempt_at: at.plus(told.max(urgent)),
        realm_version: view.realm_version,
        secret_version: view.secret.version,
        settings_fingerprint: view.settings_fingerprint,
        count,
        failure,
    }
}

fn warn_of(failure: &Failure, SecretId { realm, key }: &SecretId, grant_ends_soon: bool) {
    tracing::warn!(realm, key, code = failure.kind.code(), %failure, "no token came");
    if grant_ends_soon {
        tracing::warn!(realm, key, "less than a fifth of the grant's life is left");
    }
}

fn came_too_late() -> Failure {
    let detail = "the provider took longer to answer than its token lives; it was not stored";
    Failure::new(FailureKind::TimedOut, detail)
}
