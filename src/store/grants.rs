//! Grants: credentials that the provider replaces with each use.

use async_trait::async_trait;

use serde::{Deserialize, Serialize};

use super::error::StoreResult;
use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretId};

/// Credentials that the provider replaces with each use.
///
/// Fenced by its generation, not by a lease: whoever spent the current generation holds the only
/// live grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Moves with each use that brought new values, and with each reset.
    pub generation: i64,
    /// The latest values; empty before the first use.
    pub values: Credentials,
    /// Stands for the stored credentials that it began with: others mean that the operator has
    /// authorised anew.
    pub seed: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// A use whose outcome is not known (yet, or ever: its process died).
    pub intent: Option<Intent>,
}

impl Grant {
    /// Whether it, or a use of it whose outcome is not known, began with other credentials than
    /// these.
    #[must_use]
    pub fn is_of_another(&self, seed: &str) -> bool {
        let is_held = !self.values.is_empty() && self.seed != seed;
        is_held
            || self
                .intent
                .as_ref()
                .is_some_and(|intent| intent.seed != seed)
    }
}

/// A use of a grant, written down before the grant is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Names it.
    pub id: String,
    /// What is spent.
    pub generation: i64,
    /// When.
    pub at: Timestamp,
    /// Stands for the stored credentials that it began with.
    pub seed: String,
    /// Which process.
    pub instance: String,
}

/// Grants in a store, fenced by their generation.
#[async_trait]
pub trait GrantStore: Send + Sync + 'static {
    /// Writes down that a grant is about to be spent, in place of `before`; `false`: it is not the
    /// latest any more, or another use of it is under way.
    async fn begin_spend(
        &self,
        id: &SecretId,
        before: Option<&Intent>,
        intent: &Intent,
    ) -> StoreResult<bool>;
    /// Stores what came of a use: the new values, or with `None` that the grant was not spent.
    /// `false`: it is not the latest any more.
    async fn end_spend(
        &self,
        id: &SecretId,
        intent: &Intent,
        grant: Option<&Grant>,
    ) -> StoreResult<bool>;
}
