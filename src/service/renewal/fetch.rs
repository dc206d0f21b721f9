//! Asking the provider under a lease, and what becomes of its answer.

use std::sync::Arc;
use std::time::Duration;

use super::bases::Bases;
use super::decide::Held;
use super::exchange::Broken;
use super::ledger::Admission;
use super::{Renewal, View, stale_after};
use crate::clock::Timestamp;
use crate::failpoint::crash_point;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Answer, Expiry, Reissue, Run};
use crate::secret::SecretId;
use crate::service::flights::Cause;
use crate::service::memory::Entry;
use crate::service::schedule::{back_off, due_at, repeat_at};
use crate::service::{ServiceError, Stale, TokenAnswer};
use crate::store::{Commit, DueToken, HeldToken, Lease, RecordedFailure, StoreError};
use crate::token::{Life, Source, TokenText};

/// How often a commit is tried while the lease holds, and the pause between.
const COMMIT_TRIES: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause when it is tried on behind the caller's back.
const LONGEST_COMMIT_PAUSE: Duration = Duration::from_secs(5);

/// A fetch that may be made: under which lease, by which rows, why.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) lease: &'a Lease,
    pub(super) view: &'a View,
    pub(super) bases: &'a Bases,
    pub(super) cause: Cause,
    /// The token's version when it was asked for.
    pub(super) asked_at: i64,
}

impl Renewal {
    /// Asks the provider and stores what it gives. `None`: the lease had passed to another, and there is nothing newer:
    /// the caller goes round again.
    pub(super) async fn fetch(&self, turn: Turn<'_>) -> Result<Option<TokenAnswer>, ServiceError> {
        let Turn { lease, view, cause, .. } = turn;
        let Some(form) = view.definition.form() else {
            return self.note_failure(turn, nothing_to_fetch()).await;
        };
        if let Some(failure) = &view.inputs.failure {
            return self.note_failure(turn, failure.clone()).await;
        }
        // The life counts from before the request.
        let started = self.parts.clock.now();
        let forced = cause.is_forced() && view.held(started).is_some();
        let mut run = match form.begin(view.facts(&lease.id, forced, started, turn.bases.tokens())) {
            Ok(run) => run,
            Err(failure) => return self.note_failure(turn, failure).await,
        };
        if !form.calls() {
            let outcome = run.conclude().map_err(Broken::from);
            return self.conclude_fetch(turn, outcome, started).await;
        }
        let by_hand = cause == Cause::Retry;
        let pass = match self.circuits.enter(&lease.id.realm, view.realm_version, by_hand, started) {
            Ok(pass) => pass,
            Err(refusal) => {
                self.release(Some(lease)).await;
                return self.held_back(&lease.id, view, refusal).map(Some);
            }
        };
        let call = match self.admit(&lease.id, view, cause).await {
            Ok(Admission::Go(call)) => call,
            Ok(Admission::Withheld(until)) => return self.withhold(turn, until).await,
            Err(error) => {
                self.release(Some(lease)).await;
                return Err(error.into());
            }
        };
        crash_point("call_logged");
        let outcome = self.call_upstream(turn, &mut run, &call).await;
        let failure = match &outcome {
            Err(Broken::Failed(failure)) => Some(failure),
            Ok(_) | Err(Broken::Store(_) | Broken::Overtaken) => None,
        };
        pass.conclude(failure, self.parts.clock.now());
        self.conclude_fetch(turn, outcome, started).await
    }

    async fn conclude_fetch(
        &self,
        turn: Turn<'_>,
        outcome: Result<Answer, Broken>,
        started: Timestamp,
    ) -> Result<Option<TokenAnswer>, ServiceError> {
        match outcome {
            Ok(answer) => {
                crash_point("provider_answered");
                let commit = self.commit_of(turn, &answer, started);
                if !commit.token.life.usable_while_not_due(commit.due_at, self.parts.clock.now()) {
                    return self.note_failure(turn, came_too_late()).await;
                }
                self.store_answer(turn, commit, &answer).await
            }
            Err(Broken::Failed(failure))
                if failure.kind == FailureKind::Dependency && turn.bases.note_death() =>
            {
                self.release(Some(turn.lease)).await;
                Ok(None)
            }
            Err(Broken::Failed(failure)) if failure.kind == FailureKind::Reauthorise => {
                self.lost_grant(turn, failure).await
            }
            Err(Broken::Failed(failure)) => self.note_failure(turn, failure).await,
            Err(Broken::Overtaken) => {
                self.release(Some(turn.lease)).await;
                Ok(None)
            }
            Err(Broken::Store(error)) => {
                self.release(Some(turn.lease)).await;
                Err(error.into())
            }
        }
    }

    /// The grant was refused: unless somebody has moved it on meanwhile, or a login gives another, it is gone.
    async fn lost_grant(
        &self,
        turn: Turn<'_>,
        failure: Failure,
    ) -> Result<Option<TokenAnswer>, ServiceError> {
        if turn.cause != Cause::Next && self.is_replaceable(turn).await? {
            self.release(Some(turn.lease)).await;
            return Ok(None);
        }
        self.note_failure(turn, failure).await
    }

    async fn call_upstream(&self, turn: Turn<'_>, run: &mut Run<'_>, call: &str) -> Result<Answer, Broken> {
        let Turn { lease, view, cause, .. } = turn;
        let began = tokio::time::Instant::now();
        let left = lease.until.minus(self.settings.lease_margin).since(self.parts.clock.now());
        let timeout = self.timeout(view).min(left);
        let outcome = self.exchange(turn, run, timeout).await.map_err(|broken| match broken {
            Broken::Failed(failure) => Broken::Failed(run.masked(failure)),
            other @ (Broken::Store(_) | Broken::Overtaken) => other,
        });
        let (took, code) = (began.elapsed(), Self::outcome_code(&outcome));
        let SecretId { realm, key } = &lease.id;
        self.parts.metrics.count_upstream(realm, code, took);
        tracing::info!(realm, key, cause = cause.as_str(), outcome = code, ?took, "asked the provider");
        let held = view.current().map(|held| &held.text);
        self.conclude(call, took, &outcome, held).await;
        outcome
    }

    /// A quota is used up: the held token, or a failure that lasts until the quota allows another call.
    async fn withhold(&self, turn: Turn<'_>, until: Timestamp) -> Result<Option<TokenAnswer>, ServiceError> {
        let Turn { lease, view, .. } = turn;
        let now = self.parts.clock.now();
        let retry_after = Some(until.since(now));
        if let Some(held) = view.held(now) {
            self.release(Some(lease)).await;
            let answer = self.keep(&lease.id, view, held, Some(until), view.stale(now));
            return Ok(Some(TokenAnswer { renewed: false, retry_after, ..answer }));
        }
        let detail = "a quota of the provider, as the realm's policy tells it, is used up; no call was made";
        let failure = Failure { retry_after, ..Failure::new(FailureKind::Quota, detail) };
        self.note_failure(turn, failure).await
    }

    async fn store_answer(
        &self,
        turn: Turn<'_>,
        commit: Commit,
        answer: &Answer,
    ) -> Result<Option<TokenAnswer>, ServiceError> {
        let Turn { lease, view, cause, .. } = turn;
        if cause == Cause::Next && !self.promote(turn).await? {
            return Ok(None);
        }
        let warning = (answer.expiry == Expiry::Untold).then(|| self.untold_life(&lease.id));
        let is_repeated = view.current().is_some_and(|held| held.text == answer.token);
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
                self.parts.memory.keep(view.mark, &lease.id, entry);
                Ok(Some(TokenAnswer { warning, renewed, ..answer }))
            }
            Ok(false) => self.fenced(turn).await,
            Err(error) => Ok(Some(self.unstored(turn, commit, &error))),
        }
    }

    fn entry_of(&self, view: &View, commit: &Commit, version: i64, stale: Option<Stale>) -> Entry {
        let previous_valid_until = commit.previous.as_ref().and_then(|(_, until)| *until);
        Entry {
            due_at: commit.due_at,
            stale,
            previous_valid_until,
            ..self.entry(view, &commit.token, version)
        }
    }

    /// Queues the token's renewal, unless nobody has asked for it for long.
    fn plan_renewal(&self, id: &SecretId, commit: &Commit) {
        let asked = self.parts.memory.find(id.borrowed()).map(|entry| entry.asked.at());
        let is_idle = asked.is_none_or(|asked| commit.at.since(asked) > self.settings.idle_after);
        if let Some(due_at) = commit.due_at.filter(|_| commit.was_asked || !is_idle) {
            // Without a refresher (a function) nobody listens.
            let _ = self.parts.schedule.send(DueToken { id: id.clone(), due_at });
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

    fn untold_life(&self, id: &SecretId) -> String {
        let life = self.settings.default_life;
        let warning = format!("the provider told no expiry; the token is taken to live {life:?}");
        tracing::warn!(realm = id.realm, key = id.key, "{warning}");
        warning
    }

    fn commit_of(&self, turn: Turn<'_>, answer: &Answer, started: Timestamp) -> Commit {
        let Turn { lease, view, cause, .. } = turn;
        let now = self.parts.clock.now();
        let expires_at = match answer.expiry {
            Expiry::In(told) => Some(started.plus(told)),
            Expiry::Untold => Some(started.plus(self.settings.default_life)),
            Expiry::Never => None,
        };
        let mut life = Life { obtained_at: started, expires_at };
        let mut due = due_at(life, &view.policy, &lease.id);
        let mut repeat_count = 0;
        let held = view.current().filter(|held| held.life.expires_at.is_none_or(|at| at > started));
        let extends = matches!(view.policy.reissue, Reissue::Same { extends: true, .. });
        if let Some(held) = held.filter(|held| held.text == answer.token && !extends) {
            // The same token came back: its life is not longer than was told before.
            life.expires_at = life.expires_at.min(held.life.expires_at.or(life.expires_at));
            let whole = Life { obtained_at: held.life.obtained_at, ..life };
            repeat_count =
                view.row.as_ref().map_or(0, |row| row.repeat_count) + i64::from(cause == Cause::Due);
            let as_ruled = due_at(whole, &view.policy, &lease.id).filter(|due| *due > now);
            due = repeat_at(now, life, repeat_count).max(as_ruled);
        }
        let previous = held.filter(|held| held.text != answer.token);
        Commit {
            // Where tokens coexist, one that dies early was withdrawn, not replaced.
            is_foreign: matches!(cause, Cause::Report { .. })
                && previous.is_some_and(|held| view.was_early(held, started))
                && view.policy.reissue != Reissue::Coexists,
            previous: previous.map(|held| previous_of(view, held, cause, now)),
            token: HeldToken {
                text: answer.token.clone(),
                life,
                realm_version: view.realm_version,
                secret_version: view.secret.version,
                outputs: answer.outputs.iter().cloned().collect(),
            },
            version: view.row.as_ref().map_or(0, |row| row.version) + 1,
            due_at: due,
            was_asked: !cause.is_background(),
            repeat_count,
            at: now,
        }
    }

    /// Writes the token; the provider has given it, so a store that is away for a moment is asked again.
    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            let outcome = self.parts.store.commit_token(lease, commit).await;
            if outcome.is_ok() || tries == COMMIT_TRIES || self.parts.clock.now() >= lease.until {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(COMMIT_PAUSE).await;
        }
    }

    /// The lease had passed to another: what that one stored counts, what came of our fetch does not.
    async fn fenced(&self, turn: Turn<'_>) -> Result<Option<TokenAnswer>, ServiceError> {
        let (id, asked_at) = (&turn.lease.id, turn.asked_at);
        tracing::warn!(realm = id.realm, key = id.key, "a fetch came too late: its outcome was not stored");
        let view = self.view(id).await?;
        let now = self.parts.clock.now();
        let newer = view.held(now).filter(|held| held.row.version > asked_at);
        Ok(newer.map(|newer| self.keep(id, &view, newer, newer.row.due_at, None)))
    }

    /// The token works although it could not be stored: it is handed out, gives way to any that is stored later, and is
    /// stored as soon as the store answers, unless another was.
    fn unstored(&self, turn: Turn<'_>, commit: Commit, error: &StoreError) -> TokenAnswer {
        let Turn { lease: Lease { id, .. }, view, .. } = turn;
        tracing::error!(realm = id.realm, key = id.key, %error, "a fetched token could not be stored");
        let warning = "the database is not available; this token could not be stored".to_owned();
        let stale = Some(Stale { since: commit.at, warning });
        let entry = Entry { is_unstored: true, ..self.entry_of(view, &commit, commit.version, stale) };
        let answer = entry.answer(Source::Upstream);
        self.parts.memory.keep(view.mark, id, entry);
        self.store_later(turn, commit);
        answer
    }

    /// Tries on behind the caller's back. The lease's epoch decides also when its time is over: nobody may have come.
    fn store_later(&self, turn: Turn<'_>, commit: Commit) {
        let (lease, mark) = (turn.lease.clone(), turn.view.mark);
        let stored = self.entry_of(turn.view, &commit, commit.version, None);
        let (store, memory) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.memory));
        let (clock, tasks) = (Arc::clone(&self.parts.clock), self.parts.tasks.clone());
        self.parts.tasks.spawn("late commit", async move {
            let (SecretId { realm, key }, mut pause) = (&lease.id, COMMIT_PAUSE);
            while stored.is_usable(clock.now()) {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                match store.commit_token(&lease, &commit).await {
                    Ok(true) => {
                        tracing::info!(realm, key, "a fetched token is stored after all");
                        return memory.keep(mark, &lease.id, stored);
                    }
                    Ok(false) => {
                        return tracing::warn!(realm, key, "another token was stored meanwhile");
                    }
                    Err(_) => pause = (pause * 2).min(LONGEST_COMMIT_PAUSE),
                }
            }
        });
    }

    /// Notes why for all instances; answers the held token while it is good. `None` as in [`Renewal::fetch`].
    async fn note_failure(
        &self,
        turn: Turn<'_>,
        failure: Failure,
    ) -> Result<Option<TokenAnswer>, ServiceError> {
        let Turn { lease, view, cause, .. } = turn;
        if cause == Cause::Next {
            return self.note_next_failure(turn, failure).await.map(Some);
        }
        let id = &lease.id;
        tracing::warn!(realm = id.realm, key = id.key, code = failure.kind.code(), %failure, "no token came");
        let at = self.parts.clock.now();
        if view.grant_ends_soon(at) {
            tracing::warn!(realm = id.realm, key = id.key, "less than a fifth of the grant's life is left");
        }
        let count = view.failure().map_or(0, |failure| failure.count) + 1;
        let wait = back_off(failure.kind, count, &view.policy, id);
        let next_attempt_at = at.plus(failure.retry_after.unwrap_or_default().max(wait));
        let recorded = RecordedFailure {
            at,
            next_attempt_at,
            realm_version: view.realm_version,
            secret_version: view.secret.version,
            policy_mark: view.settings_mark,
            count,
            failure,
        };
        match self.parts.store.release_lease(lease, Some(&recorded)).await {
            Ok(true) => {}
            Ok(false) => return self.fenced(turn).await,
            Err(error) => tracing::warn!(%error, "a lease could not be given back; it ends by itself"),
        }
        if cause == Cause::Due {
            // Without a refresher (a function) nobody listens.
            let _ = self.parts.schedule.send(DueToken { id: id.clone(), due_at: next_attempt_at });
        }
        let retry_after = Some(next_attempt_at.since(at));
        // The store may have taken its time.
        let now = self.parts.clock.now();
        let lives = |held: &Held<'_>| held.token.life.expires_at.is_none_or(|expires_at| now < expires_at);
        let Some(held) = view.held(at).filter(lives) else {
            return Err(ServiceError::Fetch(Failure { retry_after, ..recorded.failure }));
        };
        let answer = self.keep(id, view, held, Some(next_attempt_at), Some(stale_after(&recorded)));
        Ok(Some(TokenAnswer { renewed: false, retry_after, ..answer }))
    }
}

impl View {
    /// Whether a token died before anybody would have renewed it.
    fn was_early(&self, held: &HeldToken, now: Timestamp) -> bool {
        let due_at = self.row.as_ref().and_then(|row| row.due_at);
        now < due_at.or(held.life.expires_at).unwrap_or(Timestamp::from_epoch_ms(i64::MAX))
    }

    /// The stored token, if it was made with the current versions; usable or not.
    pub(super) fn current(&self) -> Option<&HeldToken> {
        let token = self.row.as_ref()?.token.as_ref()?;
        let is_current =
            token.realm_version == self.realm_version && token.secret_version == self.secret.version;
        is_current.then_some(token)
    }
}

fn came_too_late() -> Failure {
    let detail = "the provider took longer to answer than its token lives; it was not stored";
    Failure::new(FailureKind::TimedOut, detail)
}

fn nothing_to_fetch() -> Failure {
    Failure::new(FailureKind::Config, "the realm is fixed: there is nothing to fetch")
}

/// A replaced token, and until when it works on.
fn previous_of(
    view: &View,
    held: &HeldToken,
    cause: Cause,
    now: Timestamp,
) -> (TokenText, Option<Timestamp>) {
    let own_end = held.life.expires_at;
    // A provider that repeats its token, and was forced to give another, has killed the first.
    let was_killed = cause.is_forced() && matches!(view.policy.reissue, Reissue::Same { .. });
    let is_dead = was_killed || matches!(cause, Cause::Report { .. });
    let overlap = if is_dead { Some(Duration::ZERO) } else { view.policy.overlap() };
    let until = match overlap {
        None => own_end,
        Some(overlap) => Some(own_end.map_or(now.plus(overlap), |end| end.min(now.plus(overlap)))),
    };
    (held.text.clone(), until)
}
