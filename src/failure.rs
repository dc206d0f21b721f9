//! Why no token came: the one description of a failed fetch, from the provider's answer to the caller's problem.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Credentials;

/// The class of a failure; decides the HTTP status and what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An operator must act: a credential is missing, or does not fit where it goes.
    Config,
    /// The provider answered, and refused, without a class that we know.
    Refused,
    /// The provider is overloaded or broken (HTTP 5xx, 429); later may help.
    Busy,
    /// A quota of the provider is used up; the call was not made.
    Quota,
    /// The provider could not be reached, or hung up before its answer was whole.
    Unreachable,
    /// The provider did not answer in time.
    TimedOut,
    /// The provider's answer is not what the realm says: no JSON, no token, an impossible expiry, too large.
    Malformed,
}

impl FailureKind {
    /// The stable `code` of answers, logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Refused => "upstream_refused",
            Self::Busy => "upstream_busy",
            Self::Quota => "upstream_quota",
            Self::Unreachable => "upstream_unreachable",
            Self::TimedOut => "upstream_timeout",
            Self::Malformed => "upstream_malformed",
        }
    }
}

/// The provider's own words for an error, cut to 500 characters, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSays {
    /// Its error code, e.g. `40164` or `invalid_client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A failed fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its class.
    pub kind: FailureKind,
    /// What happened, in our words: never text of the provider's body, never a credential.
    pub detail: String,
    /// What the provider said.
    #[serde(flatten)]
    pub provider: ProviderSays,
    /// When the provider said to come back.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without words of the provider.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), provider: ProviderSays::default(), retry_after: None }
    }

    /// The same failure with every credential in the provider's words masked.
    ///
    /// Providers echo what they refuse (`invalid appid: wx…`); what is short enough to stand in any text is left.
    #[must_use]
    pub fn masked(mut self, credentials: &Credentials) -> Self {
        for words in [&mut self.provider.code, &mut self.provider.message].into_iter().flatten() {
            for (_, value) in credentials.iter().filter(|(_, value)| value.len() >= SHORTEST_MASKED) {
                if words.contains(value) {
                    *words = words.replace(value, crate::secret::MASK);
                }
            }
        }
        self
    }
}

/// Credentials shorter than this many bytes are not searched for in the provider's words.
const SHORTEST_MASKED: usize = 4;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if let Some(code) = &self.provider.code {
            write!(f, "; the provider's code: {code}")?;
        }
        if let Some(message) = &self.provider.message {
            write!(f, "; the provider's message: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
