//! Realms: what is stored of them, unparsed.

use async_trait::async_trait;

use super::error::StoreResult;
use super::page::{Listed, Page};
use crate::api_key::Scopes;
use crate::clock::Timestamp;

/// A realm as stored; its definition is not parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmRow {
    /// Its id.
    pub id: String,
    /// The `config` as JSON text, members in the author's order.
    pub config: Option<String>,
    /// The function's URL.
    pub logic_code: Option<String>,
    /// The operator's comment.
    pub comment: Option<String>,
    /// Moves when what is fetched changes; tokens made with another version are not current.
    pub version: i64,
    /// Moves with every write.
    pub revision: i64,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// When the row last changed in any way; instances look for it.
    pub changed_at: Timestamp,
    /// When it was deleted; the row stays a day so that other instances learn of it.
    pub deleted_at: Option<Timestamp>,
}

/// Which realms to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealmFilter {
    /// In the comment or the id, whatever its case.
    pub keyword: Option<String>,
    /// Only those of which some secret is in these.
    pub scopes: Scopes,
}

/// Realms in a store.
#[async_trait]
pub trait RealmStore: Send + Sync + 'static {
    /// A realm, also a deleted one (see [`RealmRow::deleted_at`]).
    async fn find_realm(&self, id: &str) -> StoreResult<Option<RealmRow>>;
    /// Live realms, newest `updated_at` first.
    async fn list_realms(&self, filter: &RealmFilter, page: Page) -> StoreResult<Listed<RealmRow>>;
    /// Adds a realm; `false` if the id is taken, also by a deleted one.
    async fn insert_realm(&self, row: &RealmRow) -> StoreResult<bool>;
    /// Writes a realm if its revision still is `expected_revision`; `false` if somebody else was
    /// first.
    async fn update_realm(&self, row: &RealmRow, expected_revision: i64) -> StoreResult<bool>;
}
