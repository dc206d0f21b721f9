//! Calls of providers: the log that operators read, and what quotas are counted in.

use async_trait::async_trait;

use super::error::StoreResult;
use super::page::{Listed, Page};
use crate::api_key::Scopes;
use crate::clock::Timestamp;
use crate::secret::SecretId;

/// One call of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// A UUID of version 7.
    pub id: String,
    /// When it began.
    pub at: Timestamp,
    /// Whose token.
    pub secret: SecretId,
    /// Why: `miss`, `due`, `flush`, `report`, …
    pub cause: String,
    /// [`CallRow::PENDING`], [`CallRow::WITHHELD`], `ok` or a failure's code.
    pub outcome: String,
    /// The provider's own code.
    pub provider_code: Option<String>,
    /// The provider's own message, masked.
    pub provider_message: Option<String>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// Which process asked.
    pub instance: String,
    /// Who asked for another token than the one held: the id of an API key; `None`: nobody did.
    pub caller: Option<String>,
}

impl CallRow {
    /// It brought another token.
    pub const OK: &str = "ok";
    /// It brought the token that was held.
    pub const REPEATED: &str = "repeated";
    /// Looks whether a quota allows it.
    pub const ASKING: &str = "asking";
    /// Begun; what became of it is not known (yet, or ever: its process died).
    pub const PENDING: &str = "pending";
    /// Not made, since a quota was used up.
    pub const WITHHELD: &str = "withheld";
}

/// What became of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOutcome {
    /// `ok`, a failure's code, or [`CallRow::WITHHELD`].
    pub outcome: String,
    /// The provider's own code.
    pub provider_code: Option<String>,
    /// The provider's own message, masked.
    pub provider_message: Option<String>,
    /// How long it took.
    pub duration_ms: Option<i64>,
}

/// Which calls to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only of this realm.
    pub realm: Option<String>,
    /// Only of this key.
    pub key: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Begun at or after.
    pub from: Option<Timestamp>,
    /// Begun before.
    pub to: Option<Timestamp>,
    /// Only of secrets in these.
    pub scopes: Scopes,
}

/// Which calls to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageOf<'a> {
    /// Of this realm.
    pub realm: &'a str,
    /// Only of this key.
    pub key: Option<&'a str>,
    /// Only those that this caller forced.
    pub caller: Option<&'a str>,
    /// Only those of this cause.
    pub cause: Option<&'a str>,
    /// Begun after this.
    pub since: Timestamp,
    /// Those that are not admitted yet only if begun after this.
    pub asking_since: Timestamp,
}

impl<'a> UsageOf<'a> {
    /// All calls of a realm after `since`.
    #[must_use]
    pub fn realm(realm: &'a str, since: Timestamp, asking_since: Timestamp) -> Self {
        Self {
            realm,
            key: None,
            caller: None,
            cause: None,
            since,
            asking_since,
        }
    }
}

/// How many calls fall into a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many were made, the pending ones included.
    pub made: u64,
    /// The same with those that ask at this moment whether they may be.
    pub count: u64,
    /// When the first of those that were made began.
    pub oldest_at: Option<Timestamp>,
}

/// Calls in a store.
#[async_trait]
pub trait CallStore: Send + Sync + 'static {
    /// Notes that a provider is about to be called.
    async fn insert_call(&self, row: &CallRow) -> StoreResult<()>;
    /// Notes what became of the call.
    async fn finish_call(&self, id: &str, outcome: &CallOutcome) -> StoreResult<()>;
    /// How many calls began after `since`, of a realm or of one of its secrets; those that ask
    /// count from `asking_since` on.
    async fn call_usage(&self, of: UsageOf<'_>) -> StoreResult<Usage>;
    /// Takes back that a call was to be made.
    async fn withdraw_call(&self, id: &str) -> StoreResult<()>;
    /// Calls, latest first.
    async fn list_calls(&self, filter: &CallFilter, page: Page) -> StoreResult<Listed<CallRow>>;
    /// Removes at most `most` calls that began before `before`; answers how many.
    async fn delete_calls(&self, before: Timestamp, most: u64) -> StoreResult<u64>;
}
