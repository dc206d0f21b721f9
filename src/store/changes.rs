//! What other instances wrote.

use async_trait::async_trait;

use super::error::StoreResult;
use crate::clock::Timestamp;
use crate::secret::SecretId;

/// What changed, as names and versions; the rows are read when they are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Realm id and version; `None`: deleted.
    pub realms: Vec<(String, Option<i64>)>,
    /// Secret and version; `None`: deleted.
    pub secrets: Vec<(SecretId, Option<i64>)>,
    /// Secret and its token's version; `None`: no token.
    pub tokens: Vec<(SecretId, Option<i64>)>,
}

/// What changed in a store, and what is old enough to forget.
#[async_trait]
pub trait ChangeStore: Send + Sync + 'static {
    /// What changed at or after `since`, deletions included.
    async fn list_changes(&self, since: Timestamp) -> StoreResult<Changes>;
    /// How these secrets and their realms stand, whenever they changed.
    async fn list_current(&self, ids: &[SecretId]) -> StoreResult<Changes>;
    /// Removes what was deleted before `before`; token rows stay, for their counters. Answers how
    /// many.
    async fn delete_tombstones(&self, before: Timestamp) -> StoreResult<u64>;
}
