//! Why the service did not do what it was asked.

use std::time::Duration;

use crate::failure::Failure;
use crate::json::Issue;
use crate::secret::SecretId;
use crate::store::StoreError;

/// A refused or failed request. Clones are shared among callers that waited for one renewal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request is wrong; each issue has its place.
    #[error("the request is not valid")]
    Invalid(Vec<Issue>),
    /// There is no such realm.
    #[error("there is no realm {0}")]
    UnknownRealm(String),
    /// There is no such secret.
    #[error("there is no secret {} in realm {}", .0.key, .0.realm)]
    UnknownSecret(SecretId),
    /// There is no such API key.
    #[error("there is no API key {0}")]
    UnknownApiKey(String),
    /// Nobody could manage API keys any more.
    #[error(
        "this is the last working API key of role admin: make another first, or force it (on the command line --force)"
    )]
    LastAdminKey,
    /// Credentials would go to hosts that nobody confirmed.
    #[error(
        "requests would go to other hosts than before, and take credentials there: confirm those that are new in confirm_hosts, on the \
         command line with --confirm-host"
    )]
    HostsChanged {
        /// Where they may go now.
        old: Vec<String>,
        /// Where they would go.
        new: Vec<String>,
    },
    /// Secrets use the realm.
    #[error(
        "realm {id} is used by {secrets} secret(s); delete them first, or with it: ?cascade=true, on the command line --cascade"
    )]
    RealmInUse {
        /// Its id.
        id: String,
        /// How many.
        secrets: u64,
    },
    /// As many trials are under way as may be at once.
    #[error(
        "{0} trials are under way, and there may be no more at once: try again when one has ended"
    )]
    TooManyTrials(usize),
    /// No token came, and none is held.
    #[error("no token: {0}")]
    Fetch(Failure),
    /// A renewal, here or in another instance, was not done in time.
    #[error(
        "a renewal of this token is under way, or waits its turn, and was not done within {0:?}"
    )]
    Waited(Duration),
    /// The renewal was cut off: the process is ending, or the renewal failed in a way that its log
    /// tells.
    #[error("the renewal was cut off: the server is shutting down, or its log tells why")]
    Stopping,
    /// The stored definition cannot be read; an operator must save it again.
    #[error("the stored definition of realm {0} is not valid: save it again")]
    StoredRealm(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServiceError {
    /// A request with one thing wrong.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Issue::at(pointer, detail)])
    }
}

impl From<Vec<Issue>> for ServiceError {
    fn from(issues: Vec<Issue>) -> Self {
        Self::Invalid(issues)
    }
}
