//! Why no token came: the one description of a failed fetch, from the provider's response to the
//! caller's problem.

mod masks;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Credentials;
use masks::Masks;

/// The class of a failure; decides the HTTP status and what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An operator must act, here or at the provider: a value is missing or does not fit, or the
    /// provider refused it.
    Config,
    /// The provider answered, and refused, without a class that we know.
    Refused,
    /// The provider is overloaded or broken (HTTP 5xx, 429); later may help.
    Busy,
    /// A quota of the provider is used up, as the provider says, or as is known here: then no call
    /// was made.
    Quota,
    /// The token that this one is made from is dead.
    Dependency,
    /// The grant is gone: somebody must authorise again.
    Reauthorise,
    /// The provider could not be reached, or hung up before its response was whole.
    Unreachable,
    /// The provider did not answer in time.
    TimedOut,
    /// The provider's response is not what the realm says: no JSON, no token, an impossible expiry,
    /// too large.
    Malformed,
}

impl FailureKind {
    /// Every class.
    const ALL: [Self; 9] = [
        Self::Config,
        Self::Refused,
        Self::Busy,
        Self::Quota,
        Self::Dependency,
        Self::Reauthorise,
        Self::Unreachable,
        Self::TimedOut,
        Self::Malformed,
    ];

    /// The class with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The stable `code` of responses, logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Refused => "upstream_refused",
            Self::Busy => "upstream_busy",
            Self::Quota => "upstream_quota",
            Self::Dependency => "upstream_dependency",
            Self::Reauthorise => "reauthorise",
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something else, and any of them may be true together"
)]
pub struct Failure {
    /// Its class.
    pub kind: FailureKind,
    /// What happened, in our words and those of the definition: never text of the provider's body,
    /// never a value that was rendered.
    pub detail: String,
    /// What the provider said.
    #[serde(flatten)]
    pub provider: ProviderSays,
    /// When the provider said to come back.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Whether it is only that this secret asks too often (HTTP 429): others may be served.
    #[serde(skip)]
    pub is_throttled: bool,
    /// Whether the provider answered, rather than that it could not be asked.
    #[serde(default)]
    pub is_response: bool,
    /// Whether it is certain that the provider has not seen the request.
    #[serde(skip)]
    pub is_unsent: bool,
    /// Whether it is of another secret, whose token this one's is made from.
    #[serde(skip)]
    pub is_of_base: bool,
}

impl Failure {
    /// A failure without words of the provider.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            provider: ProviderSays::default(),
            retry_after: None,
            is_throttled: false,
            is_response: false,
            is_unsent: false,
            is_of_base: false,
        }
    }

    /// The same failure for callers that only reach the secret they asked for: another secret's
    /// name and its provider's words are not theirs to know.
    #[must_use]
    pub fn without_base(self) -> Self {
        if !self.is_of_base {
            return self;
        }
        Self {
            retry_after: self.retry_after,
            ..Self::new(self.kind, BASE_FAILED)
        }
    }

    /// The same failure with every credential masked, in the provider's words and in ours, and the
    /// provider's words cut to 500 characters.
    ///
    /// Providers echo what they refuse (`invalid appid: wx…`), also encoded. Masked before it is cut,
    /// and the longest first, so that no part of one is left. What is short enough to stand in any
    /// text is left. Our words hold no credential; should they ever, it is masked there too.
    #[must_use]
    pub fn masked(mut self, credentials: &Credentials) -> Self {
        let masks = Masks::of(credentials.iter().map(|(_, value)| value));
        self.detail = masks.mask(&self.detail);
        for words in [&mut self.provider.code, &mut self.provider.message]
            .into_iter()
            .flatten()
        {
            *words = masks.mask(words).chars().take(LONGEST_WORDS).collect();
        }
        self
    }
}

/// All that some callers are told of a failure of another secret.
pub(crate) const BASE_FAILED: &str = "a token that this one depends on cannot be had";

/// The longest code or message kept, in characters.
const LONGEST_WORDS: usize = 500;

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

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    fn masked(message: &str, credentials: &[(&str, &str)]) -> String {
        let provider = ProviderSays {
            code: None,
            message: Some(message.to_owned()),
        };
        let failure = Failure {
            provider,
            ..Failure::new(FailureKind::Refused, "x")
        };
        failure
            .masked(&credentials.iter().copied().collect())
            .provider
            .message
            .unwrap()
    }

    #[test]
    fn no_part_and_no_shape_of_a_credential_is_left() {
        let mask = crate::secret::MASK;
        let prefix = [("key_1", "wx12345"), ("key_2", "wx12345SECRETTAIL")];
        assert_eq!(
            masked("bad wx12345 wx12345SECRETTAIL", &prefix),
            format!("bad {mask} {mask}")
        );
        let awkward = [("key_1", "a b/c\"d~")];
        for echo in [
            "a b/c\"d~",
            "a%20b%2Fc%22d~",
            "a%20b%2fc%22d~",
            "a+b%2Fc%22d%7E",
            "a+b%2Fc%22d~",
            "a b/c\\\"d~",
        ] {
            assert_eq!(
                masked(&format!("no: {echo}!"), &awkward),
                format!("no: {mask}!"),
                "{echo}"
            );
        }
        assert_eq!(
            masked(
                "no: V\\u00e4luë? V\\u00e4lu\\u00eb!",
                &[("key_1", "Välu\u{eb}")]
            ),
            format!("no: V\\u00e4luë? {mask}!")
        );
        let at_the_cut = format!("{}SUPERSECRETVALUE0123456789", "x".repeat(480));
        let shown = masked(&at_the_cut, &[("key_1", "SUPERSECRETVALUE0123456789")]);
        assert!(
            !shown.contains("SUPER") && shown.chars().count() <= LONGEST_WORDS,
            "{shown}"
        );
        assert_eq!(
            masked(&"长".repeat(2000), &[]).chars().count(),
            LONGEST_WORDS
        );
        assert_eq!(masked("abc", &[("key_1", "abc")]), "abc");
    }

    #[test]
    fn encodings_of_a_credential_are_masked() {
        let mask = crate::secret::MASK;
        let pair = [("id", "my-id"), ("secret", "Väl/ue?>1~"), ("other", "x")];
        for echo in [
            STANDARD.encode("Väl/ue?>1~"),
            URL_SAFE_NO_PAD.encode("Väl/ue?>1~"),
            STANDARD.encode("my-id:Väl/ue?>1~"),
            STANDARD.encode("Väl/ue?>1~:my-id"),
            URL_SAFE_NO_PAD.encode("x:Väl/ue?>1~"),
            "56c3a46c2f75653f3e317e".to_owned(),
            "56C3A46C2F75653F3E317E".to_owned(),
            "VÄL/UE?>1~".to_owned(),
            "väl/ue?>1~".to_owned(),
        ] {
            assert_eq!(
                masked(&format!("no: {echo}!"), &pair),
                format!("no: {mask}!"),
                "{echo}"
            );
        }
        let harmless = "an-ordinary-message deadbeef SGVsbG8gd29ybGQ=";
        assert_eq!(masked(harmless, &pair), harmless);
    }

    #[test]
    fn our_own_words_are_masked_too() {
        let failure = Failure::new(FailureKind::Config, "the address a-secret-value is wrong");
        let masked = failure.masked(&[("key_1", "a-secret-value")].into_iter().collect());
        assert!(!masked.detail.contains("a-secret"), "{masked}");
    }

    #[test]
    fn of_a_long_text_no_part_of_a_credential_is_left_at_its_cut() {
        let secret = "S".repeat(300);
        let text = format!("{}{}", secret.repeat(60), "x".repeat(10));
        let shown = masked(&text, &[("key_1", &secret)]);
        assert!(!shown.contains("SS"), "{shown}");
    }
}
