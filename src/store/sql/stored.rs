//! What the bytes of sealed columns mean: mostly JSON. How they are sealed is `sealing`'s.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::sealing::{Place, Sealer};
use super::super::{Grant, NextCredentials, RecordedFailure, StoreResult};
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::secret::{Credentials, FixedToken, SecretContent, SecretId};
use crate::token::{Outputs, TokenText};

/// One row whose columns are sealed.
#[derive(Clone, Copy)]
pub(super) struct SealedRow<'a> {
    sealer: &'a Sealer,
    table: &'static str,
    realm: &'a str,
    key: &'a str,
}

impl<'a> SealedRow<'a> {
    pub(super) fn of_secret(sealer: &'a Sealer, id: &'a SecretId) -> Self {
        Self {
            sealer,
            table: "ts_secret",
            realm: &id.realm,
            key: &id.key,
        }
    }

    pub(super) fn of_token(sealer: &'a Sealer, id: &'a SecretId) -> Self {
        Self {
            sealer,
            table: "ts_token",
            realm: &id.realm,
            key: &id.key,
        }
    }

    /// A call is named by its id alone.
    pub(super) fn of_call(sealer: &'a Sealer, id: &'a str) -> Self {
        Self {
            sealer,
            table: "ts_call",
            realm: "",
            key: id,
        }
    }

    pub(super) fn column(self, column: &'static str) -> SealedColumn<'a> {
        SealedColumn {
            sealer: self.sealer,
            place: Place {
                table: self.table,
                realm: self.realm,
                key: self.key,
                column,
            },
        }
    }
}

/// One column of such a row.
pub(super) struct SealedColumn<'a> {
    sealer: &'a Sealer,
    place: Place<'a>,
}

impl SealedColumn<'_> {
    pub(super) fn write_content(&self, content: &SecretContent) -> Vec<u8> {
        let fixed = content.fixed.as_ref();
        self.write_json(&StoredContent {
            credentials: values_of(&content.credentials),
            token: fixed.map(|fixed| fixed.token.expose().to_owned()),
            expires_at: fixed.and_then(|fixed| fixed.expires_at),
        })
    }

    pub(super) fn read_content(&self, bytes: &[u8]) -> StoreResult<SecretContent> {
        let stored: StoredContent = self.read_json(bytes)?;
        let fixed = stored.token.map(|token| FixedToken {
            token: TokenText::from(token),
            expires_at: stored.expires_at,
        });
        Ok(SecretContent {
            credentials: stored.credentials.into_iter().collect(),
            fixed,
        })
    }

    pub(super) fn write_next(&self, next: &NextCredentials) -> Vec<u8> {
        let failure = next.failure.as_ref();
        self.write_json(&StoredNext {
            credentials: values_of(&next.credentials),
            since: next.since,
            next_attempt_at: failure.map(|failure| failure.next_attempt_at),
            failure: failure.map(StoredFailure::of),
            failed_attempts: next.failed_attempts,
        })
    }

    /// `failed` is the class and the time of the failure, if there was one.
    pub(super) fn read_next(
        &self,
        bytes: &[u8],
        due_at: Timestamp,
        failed: Option<(FailureKind, Timestamp)>,
    ) -> StoreResult<NextCredentials> {
        let stored: StoredNext = self.read_json(bytes)?;
        let next_attempt_at = stored.next_attempt_at.unwrap_or(due_at);
        let failure = failed
            .zip(stored.failure)
            .map(|((kind, at), words)| words.into_failure(kind, at, next_attempt_at));
        Ok(NextCredentials {
            credentials: stored.credentials.into_iter().collect(),
            since: stored.since,
            due_at,
            failure,
            failed_attempts: stored.failed_attempts,
        })
    }

    pub(super) fn write_failure(&self, failure: &RecordedFailure) -> Vec<u8> {
        self.write_json(&StoredFailure::of(failure))
    }

    /// `kind` and the two times have columns of their own.
    pub(super) fn read_failure(
        &self,
        bytes: &[u8],
        kind: FailureKind,
        at: Timestamp,
        next_attempt_at: Timestamp,
    ) -> StoreResult<RecordedFailure> {
        let stored: StoredFailure = self.read_json(bytes)?;
        Ok(stored.into_failure(kind, at, next_attempt_at))
    }

    pub(super) fn write_grant(&self, grant: &Grant) -> Vec<u8> {
        self.write_json(&StoredGrant {
            values: values_of(&grant.values),
            seed: grant.seed.clone(),
        })
    }

    /// The values and the seed.
    pub(super) fn read_grant(&self, bytes: &[u8]) -> StoreResult<(Credentials, String)> {
        let stored: StoredGrant = self.read_json(bytes)?;
        Ok((stored.values.into_iter().collect(), stored.seed))
    }

    pub(super) fn write_credentials(&self, credentials: &Credentials) -> Vec<u8> {
        self.write_json(&values_of(credentials))
    }

    pub(super) fn read_credentials(&self, bytes: &[u8]) -> StoreResult<Credentials> {
        let values: BTreeMap<String, String> = self.read_json(bytes)?;
        Ok(values.into_iter().collect())
    }

    pub(super) fn write_outputs(&self, outputs: &Outputs) -> Option<Vec<u8>> {
        outputs.expose().map(|outputs| self.write_json(outputs))
    }

    pub(super) fn read_outputs(&self, bytes: &[u8]) -> StoreResult<Outputs> {
        let outputs: serde_json::Map<String, serde_json::Value> = self.read_json(bytes)?;
        Ok(outputs.into_iter().collect())
    }

    pub(super) fn write_token(&self, token: &TokenText) -> Vec<u8> {
        self.write_text(token.expose())
    }

    pub(super) fn read_token(&self, bytes: &[u8]) -> StoreResult<TokenText> {
        self.read_text(bytes).map(TokenText::from)
    }

    pub(super) fn write_text(&self, text: &str) -> Vec<u8> {
        self.sealer.seal(&self.place, text.as_bytes())
    }

    pub(super) fn read_text(&self, bytes: &[u8]) -> StoreResult<String> {
        let value = self.sealer.open(&self.place, bytes)?;
        String::from_utf8(value).map_err(|_| self.place.corrupt("not UTF-8"))
    }

    fn write_json(&self, value: &impl Serialize) -> Vec<u8> {
        // Strings and numbers always serialise.
        let json = serde_json::to_vec(value).unwrap_or_default();
        self.sealer.seal(&self.place, &json)
    }

    fn read_json<T: DeserializeOwned>(&self, bytes: &[u8]) -> StoreResult<T> {
        let value = self.sealer.open(&self.place, bytes)?;
        let wrong = "its content is not the JSON that this program writes";
        serde_json::from_slice(&value).map_err(|_| self.place.corrupt(wrong))
    }
}

fn values_of(credentials: &Credentials) -> BTreeMap<String, String> {
    credentials
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[derive(Serialize, Deserialize)]
struct StoredContent {
    #[serde(default)]
    credentials: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredNext {
    credentials: BTreeMap<String, String>,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<StoredFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(default)]
    failed_attempts: i64,
}

/// The values of a grant, and what it began with.
#[derive(Serialize, Deserialize)]
struct StoredGrant {
    values: BTreeMap<String, String>,
    seed: String,
}

/// A failure without what has columns of its own: its class and its times.
#[derive(Serialize, Deserialize)]
struct StoredFailure {
    detail: String,
    #[serde(flatten)]
    provider: ProviderSays,
    #[serde(rename = "is_answer")]
    is_response: bool,
    realm_version: i64,
    secret_version: i64,
    settings_fingerprint: i64,
    count: i64,
    urgent_attempt_at: Timestamp,
}

impl StoredFailure {
    fn of(recorded: &RecordedFailure) -> Self {
        Self {
            detail: recorded.failure.detail.clone(),
            provider: recorded.failure.provider.clone(),
            is_response: recorded.failure.is_response,
            realm_version: recorded.realm_version,
            secret_version: recorded.secret_version,
            settings_fingerprint: recorded.settings_fingerprint,
            count: recorded.count,
            urgent_attempt_at: recorded.urgent_attempt_at,
        }
    }

    fn into_failure(
        self,
        kind: FailureKind,
        at: Timestamp,
        next_attempt_at: Timestamp,
    ) -> RecordedFailure {
        RecordedFailure {
            at,
            next_attempt_at,
            urgent_attempt_at: self.urgent_attempt_at,
            realm_version: self.realm_version,
            secret_version: self.secret_version,
            count: self.count,
            settings_fingerprint: self.settings_fingerprint,
            failure: Failure {
                provider: self.provider,
                is_response: self.is_response,
                ..Failure::new(kind, self.detail)
            },
        }
    }
}
