//! What is kept: realms, secrets and tokens, with the conditional writes that decide who is
//! current.
//!
//! [`SqlStore`] is the one implementation for SQLite, MySQL/MariaDB and PostgreSQL; [`MemoryStore`]
//! passes the same suite and serves simulations. Every write is a single conditional statement
//! judged by affected rows; there is no read lock and no long transaction. Reads answer `Option`,
//! absence is no error.

mod error;
mod memory;
mod rows;
mod sql;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretId};

pub use error::StoreError;
pub use memory::{Gate, MemoryStore};
pub use rows::{
    CallFilter, CallOutcome, CallRow, Changes, Commit, DueToken, DueWindow, ForeignRefreshes,
    Grant, Intent, Lease, Listed, NextCredentials, Page, RealmRow, RecordedFailure, SecretFilter,
    SecretRow, StoredToken, TokenRow, Usage,
};
pub use sql::{
    DatabaseUrl, Import, ImportedToken, Migrated, MigrationState, Present, Replacing, SqlStore,
};

/// What every call of a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// The store as the service sees it.
///
/// Errors: `Unavailable` — try again; `Conflict` — too many writers at once, try again; `Corrupt` —
/// a row cannot be read, an operator must look at it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The store's own clock, which all instances go by.
    async fn now(&self) -> StoreResult<Timestamp>;

    /// A realm, also a deleted one (see [`RealmRow::deleted_at`]).
    async fn find_realm(&self, id: &str) -> StoreResult<Option<RealmRow>>;
    /// Live realms whose comment or id has `keyword` in it, newest `updated_at` first.
    async fn list_realms(&self, keyword: Option<&str>, page: Page)
    -> StoreResult<Listed<RealmRow>>;
    /// Adds a realm; `false` if the id is taken, also by a deleted one.
    async fn insert_realm(&self, row: &RealmRow) -> StoreResult<bool>;
    /// Writes a realm if its revision still is `expected_revision`; `false` if somebody else was
    /// first.
    async fn update_realm(&self, row: &RealmRow, expected_revision: i64) -> StoreResult<bool>;

    /// A secret, also a deleted one.
    async fn find_secret(&self, id: &SecretId) -> StoreResult<Option<SecretRow>>;
    /// Live secrets, newest `updated_at` first.
    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretRow>>;
    /// Adds a secret; `false` if the name is taken, also by a deleted one.
    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool>;
    /// Writes a secret if its revision still is `expected_revision`; `false` if somebody else was
    /// first.
    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool>;

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

    /// The token row of a secret; there is none before the first lease.
    async fn find_token(&self, id: &SecretId) -> StoreResult<Option<TokenRow>>;
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

    /// What changed at or after `since`, deletions included.
    async fn list_changes(&self, since: Timestamp) -> StoreResult<Changes>;
    /// How these secrets and their realms stand, whenever they changed.
    async fn list_current(&self, ids: &[SecretId]) -> StoreResult<Changes>;
    /// Notes that a provider is about to be called.
    async fn insert_call(&self, row: &CallRow) -> StoreResult<()>;
    /// Notes what became of the call.
    async fn finish_call(&self, id: &str, outcome: &CallOutcome) -> StoreResult<()>;
    /// How many calls began after `since`, of a realm or of one of its secrets; those that ask
    /// count from `asking_since` on.
    async fn call_usage(
        &self,
        realm: &str,
        key: Option<&str>,
        since: Timestamp,
        asking_since: Timestamp,
    ) -> StoreResult<Usage>;
    /// Takes back that a call was to be made.
    async fn withdraw_call(&self, id: &str) -> StoreResult<()>;
    /// Calls, latest first.
    async fn list_calls(&self, filter: &CallFilter, page: Page) -> StoreResult<Listed<CallRow>>;
    /// Removes at most `most` calls that began before `before`; answers how many.
    async fn delete_calls(&self, before: Timestamp, most: u64) -> StoreResult<u64>;
    /// Removes what was deleted before `before`; token rows stay, for their counters. Answers how
    /// many.
    async fn delete_tombstones(&self, before: Timestamp) -> StoreResult<u64>;
}
