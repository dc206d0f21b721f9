//! Grants: what a use makes of them, whether one was used, and when one of unknown state is left
//! alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::View;
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::realm::Saved;
use crate::secret::SecretId;
use crate::store::Grant;

/// How long nobody here sends the same grant again while its response is waited for.
const LATE_FOR: Duration = Duration::from_mins(1);

/// The secrets whose grant was sent and whose response is late. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<Mutex<HashMap<SecretId, tokio::time::Instant>>>);

impl Late {
    pub(super) fn note(&self, id: &SecretId) {
        let now = tokio::time::Instant::now();
        self.locked().insert(id.clone(), now);
    }

    pub(super) fn end(&self, id: &SecretId) {
        self.locked().remove(id);
    }

    /// Whether the same grant would be sent a second time while its response may still come: many
    /// providers end the whole grant then.
    pub(super) fn has(&self, id: &SecretId) -> bool {
        let since = self.locked().get(id).copied();
        since.is_some_and(|since| since.elapsed() < LATE_FOR)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SecretId, tokio::time::Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The grant after a step: what was saved over what was there.
pub(super) fn next_grant(before: &Grant, view: &View, saved: &Saved) -> Grant {
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
pub(super) fn is_unspent(failure: &Failure) -> bool {
    let refused = match failure.kind {
        FailureKind::Config
        | FailureKind::Refused
        | FailureKind::Quota
        | FailureKind::Dependency
        | FailureKind::Reauthorise => failure.is_response,
        FailureKind::Busy => failure.is_throttled,
        FailureKind::Unreachable | FailureKind::TimedOut | FailureKind::Malformed => false,
    };
    refused || failure.is_unsent
}

impl View {
    /// Until when a grant whose last use has an unknown outcome is left alone: near the end of the
    /// held token it is tried once more.
    pub(super) fn unknown_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        self.definition.recipe().filter(|recipe| recipe.rotates())?;
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
