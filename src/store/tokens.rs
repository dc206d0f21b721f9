//! Tokens, and how their renewal stands.

use async_trait::async_trait;

use super::error::StoreResult;
use super::grants::Grant;
use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::secret::SecretId;
use crate::token::{Life, Outputs, TokenText};

/// The renewal state of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose.
    pub id: SecretId,
    /// How many tokens were committed so far; never reused.
    pub version: i64,
    /// The latest token.
    pub token: Option<StoredToken>,
    /// When to renew it ahead of its expiry.
    pub due_at: Option<Timestamp>,
    /// Until when the token before it works.
    pub previous_valid_until: Option<Timestamp>,
    /// The epoch of the latest lease.
    pub lease_epoch: i64,
    /// Until when that lease holds.
    pub lease_until: Timestamp,
    /// The last failure; over when `failed_attempts` is 0.
    pub failure: Option<RecordedFailure>,
    /// Failures since the last success.
    pub failed_attempts: i64,
    /// How often the provider has given this token again.
    pub repeat_count: i64,
    /// Tokens that died early although nobody here replaced them.
    pub foreign_refreshes: ForeignRefreshes,
    /// Credentials that the provider replaces with each use.
    pub grant: Grant,
}

impl TokenRow {
    /// The row of a secret before its first lease.
    #[must_use]
    pub fn blank(id: &SecretId) -> Self {
        Self {
            id: id.clone(),
            version: 0,
            token: None,
            due_at: None,
            previous_valid_until: None,
            lease_epoch: 0,
            lease_until: Timestamp::from_epoch_ms(0),
            failure: None,
            failed_attempts: 0,
            repeat_count: 0,
            foreign_refreshes: ForeignRefreshes::default(),
            grant: Grant::default(),
        }
    }
}

/// A token with its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// The token.
    pub text: TokenText,
    /// From when until when.
    pub life: Life,
    /// The realm version it was made with.
    pub realm_version: i64,
    /// The secret version it was made with.
    pub secret_version: i64,
    /// What is handed out with it.
    pub outputs: Outputs,
}

/// Signs that another system fetches tokens with the same credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForeignRefreshes {
    /// How many tokens died early.
    pub count: i64,
    /// When the last one was reported.
    pub last_at: Option<Timestamp>,
}

/// A failure with its time, shared by all instances through the token's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFailure {
    /// When.
    pub at: Timestamp,
    /// Not before when to try again by itself.
    pub next_attempt_at: Timestamp,
    /// From when on an attempt is allowed while no valid token is held.
    pub urgent_attempt_at: Timestamp,
    /// The realm version it was tried with.
    pub realm_version: i64,
    /// The secret version it was tried with.
    pub secret_version: i64,
    /// How many there were in a row.
    pub count: i64,
    /// A number that stands for what else it was tried with: policy, pushed inputs, files.
    pub settings_fingerprint: i64,
    /// What.
    pub failure: Failure,
}

impl RecordedFailure {
    /// Until when no attempt is made by itself, with and without a valid token.
    #[must_use]
    pub fn pause_ends_at(&self, is_token_held: bool) -> Timestamp {
        if is_token_held {
            self.next_attempt_at
        } else {
            self.urgent_attempt_at
        }
    }

    /// When to try again in the background, where the held token ends at `expires_at`: at its end
    /// at the latest.
    #[must_use]
    pub fn background_attempt_at(&self, expires_at: Option<Timestamp>) -> Timestamp {
        match expires_at {
            Some(ends) if self.at < ends => {
                self.next_attempt_at.min(ends.max(self.urgent_attempt_at))
            }
            Some(_) | None => self.next_attempt_at,
        }
    }
}

/// Which tokens are to be renewed ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWindow {
    /// Due by then…
    pub by: Timestamp,
    /// …and asked for since then…
    pub asked_since: Timestamp,
    /// …or with a grant that ends by then, asked for or not.
    pub grants_by: Timestamp,
}

/// A token that is to be renewed ahead of its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueToken {
    /// Whose.
    pub id: SecretId,
    /// When.
    pub due_at: Timestamp,
}

/// Tokens in a store; who may write them is decided by leases.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// The token row of a secret; there is none before the first lease.
    async fn find_token(&self, id: &SecretId) -> StoreResult<Option<TokenRow>>;
    /// Tokens due in a window, soonest first, after the one named, at most `most`.
    async fn list_due(
        &self,
        window: &DueWindow,
        after: Option<&DueToken>,
        most: u64,
    ) -> StoreResult<Vec<DueToken>>;
    /// Notes that somebody asked for a token; kept to the hour by its callers.
    async fn note_asked(&self, id: &SecretId, at: Timestamp) -> StoreResult<()>;
    /// Forgets the token of a secret, or of all of a realm, and fences whoever holds their leases;
    /// the counters stay.
    async fn retire_tokens(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<()>;
}
