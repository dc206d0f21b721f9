//! How a secret's renewal stands, for its operator.

use super::{Renewal, View};
use crate::clock::Timestamp;
use crate::failure::FailureKind;
use crate::realm::{Definition, Quota};
use crate::secret::SecretId;
use crate::service::ServiceError;
use crate::store::{NextCredentials, RecordedFailure, TokenRow};

/// What is known of a secret's token.
#[derive(Clone, Debug)]
pub struct SecretStatus {
    /// Whose.
    pub id: SecretId,
    /// In one word.
    pub state: TokenState,
    /// The stored row; its failure only if it was since the last success and with the current
    /// versions.
    pub row: Option<TokenRow>,
    /// The operator's token of a fixed realm: its version, and when it expires.
    pub fixed: Option<(i64, Option<Timestamp>)>,
    /// The credentials that are to replace the current ones.
    pub next: Option<NextCredentials>,
    /// The last renewal that failed, with whichever versions, also if another succeeded since.
    pub last_failure: Option<RecordedFailure>,
    /// Whether a renewal succeeded since the last failure.
    pub is_failure_over: bool,
    /// The grant, where the realm has rotating inputs.
    pub grant: Option<GrantStatus>,
    /// How much of the provider's quotas is used.
    pub quotas: Vec<QuotaUse>,
    /// Until when this instance holds calls to the provider back, since it is down.
    pub held_back_until: Option<Timestamp>,
}

/// How a credential stands that the provider replaces with each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantStatus {
    /// `unused`, `held`, `unknown` (a use whose outcome is not known) or `gone`.
    pub state: &'static str,
    /// How often it was replaced.
    pub generation: i64,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Less than a fifth of its life is left.
    pub ends_soon: bool,
}

impl View {
    fn grant_status(&self, is_gone: bool, now: Timestamp) -> Option<GrantStatus> {
        self.definition.recipe().filter(|recipe| recipe.rotates())?;
        let grant = self.grant();
        let state = match (is_gone, &grant.intent, self.inputs.has_saved) {
            (true, ..) => "gone",
            (false, Some(_), _) => "unknown",
            (false, None, true) => "held",
            (false, None, false) => "unused",
        };
        let expires_at = grant.expires_at.filter(|_| self.inputs.has_saved);
        Some(GrantStatus {
            state,
            generation: grant.generation,
            expires_at,
            ends_soon: self.grant_ends_soon(now),
        })
    }

    /// Whether less than a fifth of the grant's life is left; it began with the token.
    pub(super) fn grant_ends_soon(&self, now: Timestamp) -> bool {
        let obtained_at = self
            .row
            .as_ref()
            .and_then(|row| row.token.as_ref())
            .map(|token| token.life.obtained_at);
        let ends = self.grant().expires_at.zip(obtained_at);
        ends.is_some_and(|(ends, began)| now >= ends.minus(ends.since(began) / 5))
    }
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
    /// There is none, and none will come: the grant is gone, somebody must authorise again.
    Reauthorise,
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
            Self::Reauthorise => "reauthorise",
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
        let is_gone = view
            .failure()
            .is_some_and(|failure| failure.failure.kind == FailureKind::Reauthorise);
        let state = match (view.usable(now), view.current()) {
            (None, _) if is_gone => TokenState::Reauthorise,
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
        let last_failure = view.row.as_ref().and_then(|row| row.failure.clone());
        let is_failure_over = view
            .row
            .as_ref()
            .is_some_and(|row| row.failed_attempts == 0);
        let mut row = view.row.clone();
        if let Some(row) = row.as_mut() {
            row.token = view.current().cloned();
            row.failure = view.failure().cloned();
        }
        let fixed = view
            .secret
            .content
            .fixed
            .as_ref()
            .filter(|_| view.definition == Definition::Fixed);
        Ok(SecretStatus {
            fixed: fixed.map(|fixed| (view.secret.version, fixed.expires_at)),
            id: id.clone(),
            state,
            row,
            last_failure,
            is_failure_over,
            quotas: self.quota_use(id, &view).await?,
            grant: view.grant_status(is_gone, now),
            held_back_until: self.circuits.open_until(&id.realm, view.realm_version),
            next: view.secret.next,
        })
    }
}
