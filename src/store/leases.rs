//! Leases: who may fetch and store a token. Whoever holds the latest one writes.

use async_trait::async_trait;

use super::error::StoreResult;
use super::tokens::{RecordedFailure, StoredToken};
use crate::clock::Timestamp;
use crate::secret::SecretId;
use crate::token::TokenText;

/// The right to fetch and store the token of one secret, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose token.
    pub id: SecretId,
    /// Who holds it.
    pub owner: String,
    /// Its number; a commit under an older one changes nothing.
    pub epoch: i64,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// A token to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The token.
    pub token: StoredToken,
    /// The version it gets: one more than the row's, which only the lease's holder can move.
    pub version: i64,
    /// When to renew it.
    pub due_at: Option<Timestamp>,
    /// Whether a caller waits for it, rather than that it was due.
    pub was_asked: bool,
    /// How often the provider has given this token again.
    pub repeat_count: i64,
    /// Whether the token before it died early although nobody here replaced it.
    pub is_foreign: bool,
    /// The token it replaces, and until when that one works.
    pub previous: Option<(TokenText, Option<Timestamp>)>,
    /// Now.
    pub at: Timestamp,
}

/// Leases in a store, and the writes that they fence.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// Takes the lease of a secret if it is free or ended by `now`; `None` if another holds it.
    ///
    /// Exactly one of any number of contenders gets it; each lease has an epoch higher than all
    /// before.
    async fn claim_lease(
        &self,
        id: &SecretId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<Lease>>;
    /// Writes a token and ends the lease; `false`, and nothing written, if the lease is not the
    /// latest any more.
    async fn commit_token(&self, lease: &Lease, commit: &Commit) -> StoreResult<bool>;
    /// Ends a lease without a token, noting why; `false` if the lease is not the latest any more.
    async fn release_lease(
        &self,
        lease: &Lease,
        failure: Option<&RecordedFailure>,
    ) -> StoreResult<bool>;
}
