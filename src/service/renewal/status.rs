//! How a secret's renewal stands, for its operator.

use super::Renewal;
use crate::realm::Definition;
use crate::secret::SecretId;
use crate::service::ServiceError;
use crate::store::TokenRow;

/// What is known of a secret's token.
#[derive(Clone, Debug)]
pub struct SecretStatus {
    /// Whose.
    pub id: SecretId,
    /// In one word.
    pub state: TokenState,
    /// The stored row; its failure only if it was with the current versions.
    pub row: Option<TokenRow>,
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
            (None, None) => match (&view.definition, &view.fixed) {
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
        Ok(SecretStatus { id: id.clone(), state, row })
    }
}
