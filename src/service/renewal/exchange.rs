//! The requests of one fetch, one after another, and the grants that they spend.
//!
//! A grant that works once is written down before it is sent, which also proves that the store can
//! be written; what came back is stored before anything else happens. Its generation fences it, not
//! the lease: whoever spent the current one holds the only live grant, and may store it however
//! late.

use std::sync::Arc;
use std::time::Duration;

use super::turn::{Broken, Turn};
use super::{Renewal, View};
use crate::clock::Timestamp;
use crate::failpoint::crash_point;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Answer, Run, Saved};
use crate::secret::SecretId;
use crate::store::{Grant, Intent, StoreError};
use crate::upstream::timed_out;

/// How often what came of a grant is tried to be stored while the caller waits, and the pause
/// between.
const SAVE_TRIES: u32 = 10;
const SAVE_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause when it is tried on behind the caller's back; it is tried until it is stored.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(5);

impl Renewal {
    /// Sends the requests of a run until it concludes.
    pub(super) async fn exchange(
        &self,
        turn: Turn<'_>,
        run: &mut Run<'_>,
        timeout: Duration,
    ) -> Result<Answer, Broken> {
        let end = tokio::time::Instant::now() + timeout;
        let mut grant = turn.view.grant();
        while let Some(request) = run.next_request()? {
            let intent = if request.spends {
                Some(self.intend(turn, &mut grant).await?)
            } else {
                None
            };
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let sent = self.parts.upstream.send(&request, left).await;
            let sent = sent.map_err(|failure| {
                if failure.kind == FailureKind::TimedOut {
                    timed_out(timeout)
                } else {
                    failure
                }
            });
            crash_point("step_answered");
            match sent.and_then(|raw| run.take(raw)) {
                Ok(saved) => self.keep_grant(turn, &mut grant, intent, saved).await?,
                Err(failure) => {
                    self.end_vain_spend(turn, intent.as_ref(), &failure).await;
                    return Err(failure.into());
                }
            }
        }
        Ok(Answer {
            grant_expires_at: grant.expires_at,
            ..run.conclude()?
        })
    }

    /// Writes down that the grant is about to be spent.
    async fn intend(&self, turn: Turn<'_>, grant: &mut Grant) -> Result<Intent, Broken> {
        let Turn { lease, view, .. } = turn;
        if grant.is_of_another(&view.inputs.seed) {
            // The operator has authorised anew: whoever still uses the grant before is fenced, lest
            // one of the two be lost.
            let fence = self.new_intent(grant.generation, view);
            match self
                .parts
                .store
                .end_spend(&lease.id, &fence, Some(&Grant::default()))
                .await
            {
                Ok(true) => {
                    *grant = Grant {
                        generation: grant.generation + 1,
                        ..Grant::default()
                    }
                }
                Ok(false) => return Err(Broken::Overtaken),
                Err(error) => return Err(Broken::Store(error)),
            }
        }
        let intent = self.new_intent(grant.generation, view);
        match self
            .parts
            .store
            .begin_spend(&lease.id, grant.intent.as_ref(), &intent)
            .await
        {
            Ok(true) => {}
            Ok(false) => return Err(Broken::Overtaken),
            Err(error) => return Err(Broken::Store(error)),
        }
        crash_point("grant_intended");
        // Whoever takes the lease over may try the same grant.
        if self.parts.clock.now() >= lease.until.minus(self.settings.lease_margin) {
            let detail = "the lease ended before the grant could be sent";
            let failure = Failure {
                is_unsent: true,
                ..Failure::new(FailureKind::Busy, detail)
            };
            self.end_vain_spend(turn, Some(&intent), &failure).await;
            return Err(failure.into());
        }
        Ok(intent)
    }

    fn new_intent(&self, generation: i64, view: &View) -> Intent {
        Intent {
            id: uuid::Uuid::now_v7().to_string(),
            generation,
            at: self.parts.clock.now(),
            seed: view.inputs.seed.clone(),
            instance: self.owner.clone(),
        }
    }

    /// Stores what came back of a step.
    async fn keep_grant(
        &self,
        turn: Turn<'_>,
        grant: &mut Grant,
        intent: Option<Intent>,
        saved: Saved,
    ) -> Result<(), Broken> {
        if intent.is_none() && saved.values.is_empty() {
            return Ok(());
        }
        let Turn { lease, view, .. } = turn;
        let intent = intent.unwrap_or_else(|| self.new_intent(grant.generation, view));
        let next = next_grant(grant, view, &saved);
        match self.store_grant(&lease.id, &intent, &next).await {
            Ok(true) => {
                crash_point("grant_stored");
                *grant = Grant {
                    generation: intent.generation + 1,
                    intent: None,
                    ..next
                };
                Ok(())
            }
            // The secret was deleted, or the grant was spent twice, which nobody here does.
            Ok(false) => Err(Broken::Overtaken),
            Err(error) => {
                self.store_grant_later(&lease.id, intent, next);
                Err(Broken::Store(error))
            }
        }
    }

    async fn store_grant(
        &self,
        id: &SecretId,
        intent: &Intent,
        grant: &Grant,
    ) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            let outcome = self.parts.store.end_spend(id, intent, Some(grant)).await;
            if outcome.is_ok() || tries == SAVE_TRIES {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(SAVE_PAUSE).await;
        }
    }

    /// It is the only live grant: it is tried until it is stored, also while the process is asked
    /// to stop.
    fn store_grant_later(&self, id: &SecretId, intent: Intent, grant: Grant) {
        let SecretId { realm, key } = id;
        tracing::error!(
            realm,
            key,
            "a new grant could not be stored yet; its token is not handed out"
        );
        let (store, id) = (Arc::clone(&self.parts.store), id.clone());
        self.parts.tasks.spawn("late grant", async move {
            let mut pause = SAVE_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                match store.end_spend(&id, &intent, Some(&grant)).await {
                    Ok(true) => {
                        return tracing::info!(
                            realm = id.realm,
                            key = id.key,
                            "the new grant is stored"
                        );
                    }
                    Ok(false) => {
                        return tracing::warn!(
                            realm = id.realm,
                            key = id.key,
                            "another grant was stored meanwhile"
                        );
                    }
                    Err(_) => pause = (pause * 2).min(LONGEST_SAVE_PAUSE),
                }
            }
        });
    }

    /// A use that brought nothing: where it is certain that the grant is unspent, nothing more is
    /// unknown.
    async fn end_vain_spend(&self, turn: Turn<'_>, intent: Option<&Intent>, failure: &Failure) {
        let Some(intent) = intent.filter(|_| is_unspent(failure)) else {
            return;
        };
        if let Err(error) = self
            .parts
            .store
            .end_spend(&turn.lease.id, intent, None)
            .await
        {
            tracing::warn!(%error, "that a grant was not spent could not be noted; it is tried again near expiry");
        }
    }

    /// The provider refused the grant. `true`: somebody else has moved it on meanwhile, or it could
    /// be given up for a login: the caller goes round again.
    pub(super) async fn is_replaceable(&self, turn: Turn<'_>) -> Result<bool, StoreError> {
        let (id, before) = (&turn.lease.id, turn.view.grant());
        let now = self
            .parts
            .store
            .find_token(id)
            .await?
            .map(|row| row.grant)
            .unwrap_or_default();
        if now.generation != before.generation {
            return Ok(true);
        }
        let logs_in = turn
            .view
            .definition
            .form()
            .is_some_and(crate::realm::Form::logs_in);
        if !logs_in || !turn.view.inputs.has_saved {
            return Ok(false);
        }
        let intent = self.new_intent(before.generation, turn.view);
        self.parts
            .store
            .end_spend(id, &intent, Some(&Grant::default()))
            .await
    }
}

/// The grant after a step: what was saved over what was there.
fn next_grant(before: &Grant, view: &View, saved: &Saved) -> Grant {
    let is_same = before.seed == view.inputs.seed;
    let mut values = if is_same {
        before.values.clone()
    } else {
        crate::secret::Credentials::default()
    };
    for (name, value) in saved.values.iter() {
        values.set(name, value);
    }
    let kept = before
        .expires_at
        .filter(|_| is_same && saved.values.is_empty());
    Grant {
        generation: before.generation + 1,
        values,
        seed: view.inputs.seed.clone(),
        expires_at: saved.expires_at.or(kept),
        intent: None,
    }
}

/// Whether the provider cannot have taken the grant: it was not reached, or said no.
fn is_unspent(failure: &Failure) -> bool {
    let refused = match failure.kind {
        FailureKind::Config
        | FailureKind::Refused
        | FailureKind::Quota
        | FailureKind::Dependency
        | FailureKind::Reauthorise => failure.is_answer,
        FailureKind::Busy => failure.is_throttled,
        FailureKind::Unreachable | FailureKind::TimedOut | FailureKind::Malformed => false,
    };
    refused || failure.is_unsent
}

impl View {
    /// Until when a grant whose last use has an unknown outcome is left alone: near the end of the
    /// held token it is tried once more.
    pub(super) fn unknown_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        self.definition.form().filter(|form| form.rotates())?;
        let grant = &self.row.as_ref()?.grant;
        let intent = grant.intent.as_ref()?;
        let is_current = intent.generation == grant.generation && intent.seed == self.inputs.seed;
        is_current.then(|| {
            expires_at.map_or(Timestamp::from_epoch_ms(i64::MAX), |at| {
                at.minus(LAST_CHANCE)
            })
        })
    }
}

/// How long before the end of the held token a grant of unknown state is tried once more.
const LAST_CHANCE: Duration = Duration::from_secs(30);
