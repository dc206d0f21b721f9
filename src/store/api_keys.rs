//! API keys: who may call, as hashes.

use std::net::IpAddr;

use async_trait::async_trait;

use super::error::StoreResult;
use crate::api_key::{ApiKeyId, KeyHash, Rate, Role, Scopes};
use crate::clock::Timestamp;

/// An API key as stored: nothing in it lets anybody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its name.
    pub id: ApiKeyId,
    /// Of its secret digits.
    pub hash: KeyHash,
    /// Of the secret digits before it was rotated, and until when those work.
    pub previous: Option<(KeyHash, Timestamp)>,
    /// The client certificate that stands for it: SHA-256 of its DER.
    pub certificate: Option<KeyHash>,
    /// What its caller is.
    pub role: Role,
    /// Which secrets it reaches.
    pub scopes: Scopes,
    /// The operator's words.
    pub note: Option<String>,
    /// How fast it may call; `None`: as fast as it can.
    pub rate: Option<Rate>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Since when it is switched off.
    pub disabled_at: Option<Timestamp>,
    /// When it was last used, to the hour, and from where.
    pub last_used: Option<LastUse>,
    /// Moves with every write but that of the last use.
    pub revision: i64,
    /// When the row last changed, but for the last use.
    pub changed_at: Timestamp,
    /// When it was revoked.
    pub deleted_at: Option<Timestamp>,
}

/// A use of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// To the hour.
    pub at: Timestamp,
    /// The caller's address; none of a Unix socket.
    pub from: Option<IpAddr>,
}

impl ApiKeyRow {
    /// Whether it lets its caller in at this time.
    #[must_use]
    pub fn works_at(&self, now: Timestamp) -> bool {
        let ended = self.expires_at.is_some_and(|end| end <= now);
        self.disabled_at.is_none() && self.deleted_at.is_none() && !ended
    }
}

/// API keys in a store.
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// A key, also a revoked one.
    async fn find_api_key(&self, id: &ApiKeyId) -> StoreResult<Option<ApiKeyRow>>;
    /// All that are not revoked, oldest first.
    async fn list_api_keys(&self) -> StoreResult<Vec<ApiKeyRow>>;
    /// Those that changed at or after `since`, revoked ones among them.
    async fn list_changed_api_keys(&self, since: Timestamp) -> StoreResult<Vec<ApiKeyRow>>;
    /// Adds a key; `false` if its id is taken.
    async fn insert_api_key(&self, row: &ApiKeyRow) -> StoreResult<bool>;
    /// Writes a key, but for its last use, if its revision still is `expected_revision`; `false` if
    /// somebody else was first.
    async fn update_api_key(&self, row: &ApiKeyRow, expected_revision: i64) -> StoreResult<bool>;
    /// Notes that a key was used, unless a later use is noted.
    async fn note_api_key_use(&self, id: &ApiKeyId, used: LastUse) -> StoreResult<()>;
}
