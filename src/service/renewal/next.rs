//! Rotating a secret's credentials without a gap: the next ones are tried beside the current ones,
//! and take their place with the first token they bring.

use super::turn::{Turn, Turned};
use super::{LAST_LOOK, Renewal, View};
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::secret::SecretId;
use crate::service::cause::Cause;
use crate::service::schedule::back_off;
use crate::service::{ServiceError, TokenAnswer};
use crate::store::{NextCredentials, RecordedFailure, SecretRow};

impl Renewal {
    /// Tries a secret's next credentials, if it has some and their time has come.
    ///
    /// What comes of it is noted in the secret; other instances that try at the same time leave it
    /// to the first.
    ///
    /// # Errors
    /// `UnknownSecret`, `Store`; `Fetch` when they do not work.
    pub(in crate::service) async fn try_next(&self, id: &SecretId) -> Result<(), ServiceError> {
        let give_up_at = tokio::time::Instant::now() + self.settings.wait;
        loop {
            let view = self.view(id).await?;
            if view.with_next(self.parts.clock.now()).is_none() {
                return Ok(());
            }
            let bases = self.obtain_bases(id, &view).await?;
            let permit = self.permit(id, &view).await?;
            let (lease, view) = self.claim_and_look(id, self.timeout(&view)).await?;
            if let Some(lease) = lease {
                let Some(next) = view.with_next(self.parts.clock.now()) else {
                    self.release(Some(&lease)).await;
                    return Ok(());
                };
                let seen_version = next.row.as_ref().map_or(0, |row| row.version);
                let turn = Turn {
                    lease: &lease,
                    view: &next,
                    bases: &bases,
                    cause: Cause::Next,
                    by: None,
                    seen_version,
                    // A quota that is used up is noted: nobody waits.
                    give_up_at: tokio::time::Instant::now(),
                };
                // Else the secret was edited meanwhile; what was edited is tried anew.
                if let Turned::Answer(_) = self.fetch(turn).await? {
                    return Ok(());
                }
            }
            drop(permit);
            if tokio::time::Instant::now() >= give_up_at {
                return Ok(());
            }
            tokio::time::sleep(LAST_LOOK).await;
        }
    }

    /// Makes the credentials that brought a token the current ones; `false`: the secret was edited
    /// meanwhile.
    ///
    /// Before the token is stored: a crash between the two costs another fetch, and loses nothing.
    pub(super) async fn promote(&self, turn: Turn<'_>) -> Result<bool, ServiceError> {
        let Turn { lease, view, .. } = turn;
        let SecretId { realm, key } = &lease.id;
        let now = self.parts.clock.now();
        let row = SecretRow {
            updated_at: now,
            changed_at: now,
            ..view.secret.clone()
        };
        let promoted = self.parts.store.update_secret(&row, row.revision - 1).await;
        if promoted.is_err() {
            self.release(Some(lease)).await;
        }
        if promoted? {
            tracing::info!(
                realm,
                key,
                "the next credentials work and are the current ones now"
            );
            return Ok(true);
        }
        tracing::info!(
            realm,
            key,
            "the secret was edited while its next credentials were tried"
        );
        self.release(Some(lease)).await;
        Ok(false)
    }

    /// Notes why the next credentials do not work; the current ones go on.
    pub(super) async fn note_next_failure(
        &self,
        turn: Turn<'_>,
        failure: Failure,
    ) -> Result<TokenAnswer, ServiceError> {
        let Turn { lease, view, .. } = turn;
        let SecretId { realm, key } = &lease.id;
        tracing::warn!(realm, key, code = failure.kind.code(), %failure, "the next credentials do not work yet");
        self.release(Some(lease)).await;
        let stored = self.parts.store.find_secret(&lease.id).await?;
        // An edit meanwhile is tried by itself.
        let stored = stored.filter(|stored| stored.revision == view.secret.revision - 1);
        if let Some((stored, next)) =
            stored.and_then(|row| row.next.clone().map(|next| (row, next)))
        {
            let row = self.after_failure(stored, next, view, &failure);
            self.parts
                .store
                .update_secret(&row, row.revision - 1)
                .await?;
        }
        Err(ServiceError::Fetch(failure))
    }

    fn after_failure(
        &self,
        stored: SecretRow,
        next: NextCredentials,
        view: &View,
        failure: &Failure,
    ) -> SecretRow {
        let at = self.parts.clock.now();
        let failed_attempts = next.failed_attempts + 1;
        // What the provider refuses is mended by an operator, here or there: it is not asked each
        // few minutes.
        let kind = if failure.kind == FailureKind::Refused {
            FailureKind::Config
        } else {
            failure.kind
        };
        let wait = back_off(kind, failed_attempts, &view.policy, &stored.id);
        let due_at = at.plus(failure.retry_after.unwrap_or_default().max(wait));
        let recorded = RecordedFailure {
            at,
            next_attempt_at: due_at,
            urgent_attempt_at: due_at,
            realm_version: view.realm_version,
            secret_version: stored.version,
            settings_fingerprint: view.settings_fingerprint,
            count: failed_attempts,
            failure: failure.clone(),
        };
        let next = NextCredentials {
            due_at,
            failure: Some(recorded),
            failed_attempts,
            ..next
        };
        // No instance need look for it: it is not marked as changed.
        SecretRow {
            revision: stored.revision + 1,
            next: Some(next),
            ..stored
        }
    }
}

impl View {
    /// The same with the next credentials in force; `None`: there are none, or their time has not
    /// come.
    fn with_next(&self, now: Timestamp) -> Option<Self> {
        let next = self
            .secret
            .next
            .as_ref()
            .filter(|next| next.due_at <= now)?;
        let mut secret = SecretRow {
            next: None,
            version: self.secret.version + 1,
            revision: self.secret.revision + 1,
            ..self.secret.clone()
        };
        let mut inputs = self.inputs.clone();
        for (name, value) in next.credentials.iter() {
            secret.content.credentials.set(name, value);
            inputs.values.set(name, value);
        }
        Some(Self {
            inputs,
            secret,
            ..self.clone()
        })
    }
}
