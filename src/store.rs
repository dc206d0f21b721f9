//! What is kept: realms, secrets and tokens, with the conditional writes that decide who is
//! current.
//!
//! [`SqlStore`] is the one implementation for SQLite, MySQL/MariaDB and PostgreSQL; [`MemoryStore`]
//! passes the same suite and serves simulations. Every write is a single conditional statement
//! judged by affected rows; there is no read lock and no long transaction. Reads answer `Option`,
//! absence is no error.

mod api_keys;
mod calls;
mod changes;
mod clock;
mod error;
mod grants;
mod leases;
mod memory;
mod page;
mod realms;
mod sealing;
mod secrets;
mod sql;
mod tokens;

pub use api_keys::{ApiKeyRow, ApiKeyStore, LastUse};
pub use calls::{CallFilter, CallOutcome, CallRow, CallStore, Usage, UsageOf};
pub use changes::{ChangeStore, Changes};
pub use clock::StoreClock;
pub use error::{StoreError, StoreResult};
pub use grants::{Grant, GrantStore, Intent};
pub use leases::{Commit, Lease, LeaseStore};
pub use memory::{Gate, MemoryStore};
pub use page::{Listed, Page};
pub use realms::{RealmFilter, RealmRow, RealmStore};
pub use secrets::{
    FixedOutline, NextCredentials, SecretFilter, SecretOutline, SecretRow, SecretStore, ValueNames,
};
pub use sql::{
    DatabaseUrl, Import, ImportedToken, Migrated, MigrationState, Present, Replacing, SqlStore,
};
pub use tokens::{
    DueToken, DueWindow, ForeignRefreshes, RecordedFailure, StoredToken, TokenRow, TokenStore,
};

/// What edits of realms and secrets need: the rows, and tokens to retire. No lease can be taken and
/// no grant spent through it.
pub trait EditStore: RealmStore + SecretStore + TokenStore {}

impl<S: RealmStore + SecretStore + TokenStore> EditStore for S {}

/// The whole store, as a renewal needs it.
///
/// Errors: `Unavailable` — try again; `Conflict` — too many writers at once, try again; `Corrupt` —
/// a row cannot be read, an operator must look at it.
pub trait Store:
    EditStore + LeaseStore + GrantStore + CallStore + ChangeStore + ApiKeyStore + StoreClock
{
}

impl<S> Store for S where
    S: EditStore + LeaseStore + GrantStore + CallStore + ChangeStore + ApiKeyStore + StoreClock
{
}
