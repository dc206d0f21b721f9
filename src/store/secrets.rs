//! Secrets: credentials, those that are to replace them, and inputs that other processes push.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StoreResult;
use super::page::{Listed, Page};
use super::tokens::RecordedFailure;
use crate::api_key::Scopes;
use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretContent, SecretId};

/// A secret as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// Its name.
    pub id: SecretId,
    /// Credentials, or the operator's token.
    pub content: SecretContent,
    /// Credentials that are to replace these once they are seen to work.
    pub next: Option<NextCredentials>,
    /// Inputs that another process writes; they retire no token.
    pub pushed: Credentials,
    /// Moves with every push.
    pub pushed_version: i64,
    /// Moves when the content changes; tokens made with another version are not current.
    pub version: i64,
    /// Moves with every write.
    pub revision: i64,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// When the row last changed in any way.
    pub changed_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// What may be told of a secret to anybody who lists secrets: which values there are, and none of
/// them. Stored beside the sealed columns, so that a list opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretOutline {
    /// Its name.
    pub id: SecretId,
    /// Which values there are.
    pub names: ValueNames,
    /// The names of the pushed inputs, sorted.
    pub pushed: Vec<String>,
    /// Moves when the content changes.
    pub version: i64,
    /// Moves with every write.
    pub revision: i64,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
}

/// The names of an operator's values. Stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueNames {
    /// Of the credentials, sorted.
    pub credentials: Vec<String>,
    /// Whether there is a token of a fixed realm, and until when it works, epoch milliseconds.
    pub fixed: Option<FixedOutline>,
    /// Of the credentials that are to replace these, sorted.
    pub next: Option<Vec<String>>,
}

/// A token of a fixed realm without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedOutline {
    /// Epoch milliseconds; `None`: never expires.
    pub expires_at: Option<i64>,
}

impl From<&SecretRow> for SecretOutline {
    fn from(row: &SecretRow) -> Self {
        let fixed = row.content.fixed.as_ref().map(|fixed| FixedOutline {
            expires_at: fixed.expires_at.map(Timestamp::epoch_ms),
        });
        Self {
            id: row.id.clone(),
            names: ValueNames {
                credentials: names_of(&row.content.credentials),
                fixed,
                next: row.next.as_ref().map(|next| names_of(&next.credentials)),
            },
            pushed: names_of(&row.pushed),
            version: row.version,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The names of these values, sorted.
pub(super) fn names_of(values: &Credentials) -> Vec<String> {
    values.names().map(str::to_owned).collect()
}

/// Credentials that are tried before they replace the current ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextCredentials {
    /// What changes; the others stay as they are.
    pub credentials: Credentials,
    /// Since when they wait.
    pub since: Timestamp,
    /// When they are tried.
    pub due_at: Timestamp,
    /// Why they did not work the last time.
    pub failure: Option<RecordedFailure>,
    /// How often they did not work.
    pub failed_attempts: i64,
}

/// Which secrets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFilter {
    /// Only of this realm.
    pub realm: Option<String>,
    /// Only with this key.
    pub key: Option<String>,
    /// Only those in these.
    pub scopes: Scopes,
}

/// Secrets in a store.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// A secret, also a deleted one.
    async fn find_secret(&self, id: &SecretId) -> StoreResult<Option<SecretRow>>;
    /// Live secrets without what is sealed, newest `updated_at` first.
    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretOutline>>;
    /// Adds a secret; `false` if the name is taken, also by a deleted one.
    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool>;
    /// Writes a secret if its revision still is `expected_revision`; `false` if somebody else was
    /// first.
    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool>;
    /// Writes a secret together with its pushed inputs, if its revision still is
    /// `expected_revision` and the version of its pushed inputs still is the one before the row's;
    /// `false` if somebody else was first.
    async fn move_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool>;
    /// Writes the pushed inputs of a live secret if their version still is `expected_version`;
    /// `false` if somebody else was first.
    async fn update_pushed(
        &self,
        id: &SecretId,
        pushed: &Credentials,
        expected_version: i64,
        now: Timestamp,
    ) -> StoreResult<bool>;
    /// Secrets whose next credentials are to be tried by `by`, at most `most`.
    async fn list_next_due(&self, by: Timestamp, most: u64) -> StoreResult<Vec<SecretId>>;
    /// Deletes a live secret, or all of a realm, leaving tombstones without content; answers how
    /// many. Wins over edits.
    async fn delete_secrets(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<u64>;
}
