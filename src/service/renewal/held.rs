//! Answering what is held, and keeping it in memory.

use std::sync::Arc;
use std::time::Duration;

use super::decide::Usable;
use super::{Renewal, View};
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::realm::Recipe;
use crate::secret::SecretId;
use crate::service::memory::Entry;
use crate::service::{ServiceError, Stale, TokenAnswer};
use crate::store::StoredToken;
use crate::token::{Life, Outputs, Source};

impl Renewal {
    /// Puts a stored token into memory and answers it.
    pub(super) fn hand_out(
        &self,
        id: &SecretId,
        view: &View,
        held: Usable<'_>,
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
        self.parts.memory.put(view.mark, id, entry);
        answer
    }

    /// The entry of a fetched token, not yet due.
    pub(super) fn entry(&self, view: &View, token: &StoredToken, version: i64) -> Entry {
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
            outputs: token.outputs.clone(),
            token_use: view
                .definition
                .recipe()
                .and_then(Recipe::token_use)
                .map(Arc::from),
            is_fixed: false,
            is_unstored: false,
            overlap: view.policy.overlap(),
            trust_for: self
                .settings
                .trust_for
                .max(view.policy.overlap().unwrap_or_default() / 2),
            dies_when_renewed: view
                .policy
                .overlap()
                .is_some_and(|overlap| overlap.is_zero()),
        }
    }

    /// Another instance renews; what is held is good until its token is seen.
    pub(super) fn leave_to_holder(
        &self,
        id: &SecretId,
        view: &View,
    ) -> Result<TokenAnswer, ServiceError> {
        let now = self.parts.clock.now();
        let held = view
            .usable(now)
            .ok_or(ServiceError::Waited(Duration::ZERO))?;
        Ok(self.hand_out(id, view, held, Some(now.plus(Duration::from_secs(1))), None))
    }

    pub(super) fn give_fixed(
        &self,
        id: &SecretId,
        view: &View,
    ) -> Result<TokenAnswer, ServiceError> {
        let now = self.parts.clock.now();
        let config = |detail: String| {
            Err(ServiceError::Fetch(Failure::new(
                FailureKind::Config,
                detail,
            )))
        };
        let Some(fixed) = &view.secret.content.fixed else {
            return config(format!(
                "realm {} is fixed, and secret {id} has no token: save one",
                id.realm
            ));
        };
        // Its life is the operator's business: no margin is taken off.
        let life = Life {
            obtained_at: fixed.expires_at.unwrap_or(now),
            expires_at: fixed.expires_at,
        };
        if !life.usable_at(now) {
            return config(format!(
                "the token that the operator gave for secret {id} has expired: save a new one"
            ));
        }
        let token = StoredToken {
            text: fixed.token.clone(),
            life,
            realm_version: view.realm_version,
            secret_version: view.secret.version,
            outputs: Outputs::default(),
        };
        let entry = Entry {
            is_fixed: true,
            ..self.entry(view, &token, view.secret.version)
        };
        let answer = entry.answer(Source::Fixed);
        self.parts.memory.put(view.mark, id, entry);
        Ok(answer)
    }
}
