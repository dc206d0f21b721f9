//! How a secret's renewal stands, for its operator.

use super::Renewal;
use crate::clock::Timestamp;
use crate::realm::{Definition, Quota};
use crate::secret::SecretId;
use crate::service::ServiceError;
use crate::store::{NextCredentials, TokenRow};

/// What is known of a secret's token.
#[derive(Clone, Debug)]
pub struct SecretStatus {
    /// Whose.
    pub id: SecretId,
    /// In one word.
    pub state: TokenState,
    /// The stored row; its failure only if it was with the current versions.
    pub row: Option<TokenRow>,
    /// The credentials that are to replace the current ones.
    pub next: Option<NextCredentials>,
    /// How much of the provider's quotas is used.
    pub quotas: Vec<QuotaUse>,
    /// Until when this instance holds calls to the provider back, since it is down.
    pub held_back_until: Option<Timestamp>,
}

/// How much of a quota is used.
#[derive(Clone, Debug)]
pub struct QuotaUse {
    /// Which.
    pub quota: Quota,
    /// Calls that count now.
    pub used: u64,
    /// When the first of them stops counting.
    pub frees_at: Option<Timestamp>,
}

/// A secret's token in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// None is held; the next ask fetches one.
    None,
    /// It works.
    Valid,
    /// It works, and the last renewal failed.
    Stale,
    /// It does not work any more.
    Expired,
}

impl TokenState {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Valid => "valid",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

impl Renewal {
    /// How a secret's renewal stands.
    ///
    /// # Errors
    /// `UnknownSecret`, `Store`.
    pub async fn status(&self, id: &SecretId) -> Result<SecretStatus, ServiceError> {
        let view = self.view(id).await?;
        let now = self.parts.clock.now();
        let failed = view.failure().is_some();
        let state = match (view.held(now), view.current()) {
            (Some(_), _) if failed => TokenState::Stale,
            (Some(_), _) => TokenState::Valid,
            (None, Some(_)) => TokenState::Expired,
            (None, None) => match (&view.definition, &view.secret.content.fixed) {
                (Definition::Fixed, Some(fixed)) if fixed.expires_at.is_none_or(|at| at > now) => {
                    TokenState::Valid
                }
                (Definition::Fixed, Some(_)) => TokenState::Expired,
                _ => TokenState::None,
            },
        };
        let mut row = view.row.clone();
        if let Some(row) = row.as_mut() {
            row.token = view.current().cloned();
            row.failure = view.failure().cloned();
        }
        Ok(SecretStatus {
            id: id.clone(),
            state,
            row,
            quotas: self.quota_use(id, &view).await?,
            held_back_until: self.circuits.open_until(&id.realm, view.realm_version),
            next: view.secret.next,
        })
    }
}
