//! How credentials and tokens are written: a format byte, then the value.
//!
//! Format 0 is the plain value. Sealing will be another format; rows of both kinds can then be told apart.

use serde::{Deserialize, Serialize};

use super::super::StoreError;
use crate::clock::Timestamp;
use crate::secret::{FixedToken, SecretContent};
use crate::store::{NextCredentials, RecordedFailure};
use crate::token::TokenText;

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
    let credentials = content.credentials.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stored = StoredContent {
        credentials: credentials.collect(),
        token: content.fixed.as_ref().map(|fixed| fixed.token.expose().to_owned()),
        expires_at: content.fixed.as_ref().and_then(|fixed| fixed.expires_at),
    };
    let mut bytes = vec![PLAIN];
    // Strings and numbers always serialise.
    bytes.extend(serde_json::to_vec(&stored).unwrap_or_default());
    bytes
}

pub(super) fn read_content(bytes: &[u8], place: Place<'_>) -> Result<SecretContent, StoreError> {
    let stored: StoredContent = serde_json::from_slice(plain(bytes, place)?)
        .map_err(|_| place.corrupt("its content is not the JSON that this program writes"))?;
    let fixed =
        stored.token.map(|token| FixedToken { token: TokenText::from(token), expires_at: stored.expires_at });
    Ok(SecretContent { credentials: stored.credentials.into_iter().collect(), fixed })
}

#[derive(Serialize, Deserialize)]
struct StoredNext {
    credentials: std::collections::BTreeMap<String, String>,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<RecordedFailure>,
    #[serde(default)]
    failure_count: i64,
}

pub(super) fn write_next(next: &NextCredentials) -> Vec<u8> {
    let credentials = next.credentials.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stored = StoredNext {
        credentials: credentials.collect(),
        since: next.since,
        failure: next.failure.clone(),
        failure_count: next.failure_count,
    };
    let mut bytes = vec![PLAIN];
    // Strings and numbers always serialise.
    bytes.extend(serde_json::to_vec(&stored).unwrap_or_default());
    bytes
}

pub(super) fn read_next(
    bytes: &[u8],
    due_at: Timestamp,
    place: Place<'_>,
) -> Result<NextCredentials, StoreError> {
    let stored: StoredNext = serde_json::from_slice(plain(bytes, place)?)
        .map_err(|_| place.corrupt("its content is not the JSON that this program writes"))?;
    Ok(NextCredentials {
        credentials: stored.credentials.into_iter().collect(),
        since: stored.since,
        due_at,
        failure: stored.failure,
        failure_count: stored.failure_count,
    })
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
        Some((format, _)) => Err(place.corrupt(format!("format {format} is unknown to this version"))),
        None => Err(place.corrupt("empty")),
    }
}
