//! The rows as the service sees them: decoded, unsealed.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::secret::{Credentials, SecretContent, SecretId};
use crate::token::{Life, Outputs, TokenText};

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

/// Signs that another system fetches tokens with the same credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForeignRefreshes {
    /// How many tokens died early.
    pub count: i64,
    /// When the last one was reported.
    pub last_at: Option<Timestamp>,
}

/// A failure with its time, shared by all instances through the token's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// When.
    pub at: Timestamp,
    /// Not before when to try again by itself.
    pub next_attempt_at: Timestamp,
    /// The realm version it was tried with.
    pub realm_version: i64,
    /// The secret version it was tried with.
    pub secret_version: i64,
    /// How many there were in a row.
    #[serde(default)]
    pub count: i64,
    /// A number that stands for what else it was tried with: policy, pushed inputs, files.
    #[serde(default)]
    pub settings_fingerprint: i64,
    /// What.
    #[serde(flatten)]
    pub failure: Failure,
}

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

/// Which secrets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFilter {
    /// Only of this realm.
    pub realm: Option<String>,
    /// Only with this key.
    pub key: Option<String>,
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many to pass over.
    pub offset: u64,
    /// How many at most.
    pub limit: u64,
}

/// A page's items and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The page.
    pub items: Vec<T>,
    /// Of all pages.
    pub total: u64,
}

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

/// A token that is to be renewed ahead of its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueToken {
    /// Whose.
    pub id: SecretId,
    /// When.
    pub due_at: Timestamp,
}
