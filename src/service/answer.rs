//! What callers are answered, and how they name what they were given.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::token::{Life, Outputs, Source, TokenText};

/// Why an answer is older than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words for the caller.
    pub warning: String,
    /// Whether these words are of another secret, whose token this one's is made from.
    pub is_of_base: bool,
}

/// A token as it is handed to a caller.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The token.
    pub token: TokenText,
    /// Until when it works.
    pub life: Life,
    /// Its version: one more with each token of the secret.
    pub version: i64,
    /// Where it came from.
    pub source: Source,
    /// Until when the token before this one works; `None`: there was none, or it is not known.
    pub previous_valid_until: Option<Timestamp>,
    /// What is handed out with it.
    pub outputs: Outputs,
    /// How callers send it, e.g. `Authorization: Bearer {token}`.
    pub token_use: Option<Arc<str>>,
    /// Set when it should have been renewed, or could not be compared with the store.
    pub stale: Option<Stale>,
    /// What the operator should know about this fetch.
    pub warning: Option<String>,
    /// False when another token was asked for, and this is the held one.
    pub renewed: bool,
    /// After how long to ask for another again.
    pub retry_after: Option<Duration>,
}

/// How a caller names the token that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token itself.
    Token(TokenText),
    /// The version it was handed out with.
    Version(i64),
    /// SHA-256 of the token, lower-case hex.
    Fingerprint(String),
}

impl Refused {
    pub(super) fn is(&self, answer: &TokenAnswer) -> bool {
        match self {
            Self::Token(token) => *token == answer.token,
            Self::Version(version) => *version == answer.version,
            Self::Fingerprint(hex) => answer.token.fingerprint() == *hex,
        }
    }

    /// Whether it is another token, and not one that is known to be older.
    pub(super) fn may_be_newer_than(&self, answer: &TokenAnswer) -> bool {
        match self {
            Self::Token(_) | Self::Fingerprint(_) => !self.is(answer),
            Self::Version(version) => *version > answer.version,
        }
    }
}
