//! How credentials and tokens are written: a format byte, then the value.
//!
//! Format 0 is the plain value. Sealing will be another format; rows of both kinds can then be told
//! apart.

use serde::{Deserialize, Serialize};

use super::super::StoreError;
use crate::clock::Timestamp;
use crate::secret::{Credentials, FixedToken, SecretContent};
use crate::store::{Grant, NextCredentials, RecordedFailure};
use crate::token::{Outputs, TokenText};

const PLAIN: u8 = 0;

/// Where a value stands, for errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) key: &'a dyn std::fmt::Display,
}

impl Place<'_> {
    pub(super) fn corrupt(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column: self.column,
            key: self.key.to_string(),
            reason: reason.into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredContent {
    #[serde(default)]
    credentials: std::collections::BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

pub(super) fn write_content(content: &SecretContent) -> Vec<u8> {
    let credentials = content
        .credentials
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stored = StoredContent {
        credentials: credentials.collect(),
        token: content
            .fixed
            .as_ref()
            .map(|fixed| fixed.token.expose().to_owned()),
        expires_at: content.fixed.as_ref().and_then(|fixed| fixed.expires_at),
    };
    write_json(&stored)
}

pub(super) fn read_content(bytes: &[u8], place: Place<'_>) -> Result<SecretContent, StoreError> {
    let stored: StoredContent = read_json(bytes, place)?;
    let fixed = stored.token.map(|token| FixedToken {
        token: TokenText::from(token),
        expires_at: stored.expires_at,
    });
    Ok(SecretContent {
        credentials: stored.credentials.into_iter().collect(),
        fixed,
    })
}

#[derive(Serialize, Deserialize)]
struct StoredNext {
    credentials: std::collections::BTreeMap<String, String>,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<RecordedFailure>,
    #[serde(default)]
    failed_attempts: i64,
}

pub(super) fn write_next(next: &NextCredentials) -> Vec<u8> {
    let credentials = next
        .credentials
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stored = StoredNext {
        credentials: credentials.collect(),
        since: next.since,
        failure: next.failure.clone(),
        failed_attempts: next.failed_attempts,
    };
    write_json(&stored)
}

pub(super) fn read_next(
    bytes: &[u8],
    due_at: Timestamp,
    place: Place<'_>,
) -> Result<NextCredentials, StoreError> {
    let stored: StoredNext = read_json(bytes, place)?;
    Ok(NextCredentials {
        credentials: stored.credentials.into_iter().collect(),
        since: stored.since,
        due_at,
        failure: stored.failure,
        failed_attempts: stored.failed_attempts,
    })
}

/// The values of a grant, and what it began with.
#[derive(Serialize, Deserialize)]
struct StoredGrant {
    values: std::collections::BTreeMap<String, String>,
    seed: String,
}

pub(super) fn write_grant(grant: &Grant) -> Vec<u8> {
    let values = grant
        .values
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    write_json(&StoredGrant {
        values: values.collect(),
        seed: grant.seed.clone(),
    })
}

/// The values and the seed.
pub(super) fn read_grant(
    bytes: &[u8],
    place: Place<'_>,
) -> Result<(Credentials, String), StoreError> {
    let stored: StoredGrant = read_json(bytes, place)?;
    Ok((stored.values.into_iter().collect(), stored.seed))
}

pub(super) fn write_credentials(credentials: &Credentials) -> Vec<u8> {
    let values: std::collections::BTreeMap<&str, &str> = credentials.iter().collect();
    write_json(&values)
}

pub(super) fn read_credentials(bytes: &[u8], place: Place<'_>) -> Result<Credentials, StoreError> {
    let values: std::collections::BTreeMap<String, String> = read_json(bytes, place)?;
    Ok(values.into_iter().collect())
}

pub(super) fn write_outputs(outputs: &Outputs) -> Option<Vec<u8>> {
    outputs.expose().map(write_json)
}

pub(super) fn read_outputs(bytes: &[u8], place: Place<'_>) -> Result<Outputs, StoreError> {
    let outputs: serde_json::Map<String, serde_json::Value> = read_json(bytes, place)?;
    Ok(outputs.into_iter().collect())
}

fn write_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![PLAIN];
    // Strings and numbers always serialise.
    bytes.extend(serde_json::to_vec(value).unwrap_or_default());
    bytes
}

fn read_json<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    place: Place<'_>,
) -> Result<T, StoreError> {
    serde_json::from_slice(plain(bytes, place)?)
        .map_err(|_| place.corrupt("its content is not the JSON that this program writes"))
}

pub(super) fn write_token(token: &TokenText) -> Vec<u8> {
    let mut bytes = vec![PLAIN];
    bytes.extend(token.expose().as_bytes());
    bytes
}

pub(super) fn read_token(bytes: &[u8], place: Place<'_>) -> Result<TokenText, StoreError> {
    let text = std::str::from_utf8(plain(bytes, place)?).map_err(|_| place.corrupt("not UTF-8"))?;
    Ok(TokenText::from(text))
}

fn plain<'a>(bytes: &'a [u8], place: Place<'_>) -> Result<&'a [u8], StoreError> {
    match bytes.split_first() {
        Some((&PLAIN, value)) => Ok(value),
        Some((format, _)) => {
            Err(place.corrupt(format!("format {format} is unknown to this version")))
        }
        None => Err(place.corrupt("empty")),
    }
}
