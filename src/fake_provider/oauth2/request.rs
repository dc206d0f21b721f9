//! A request for a token, read from a form or a JSON body and from the `Authorization` header.

use std::collections::HashMap;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::super::{OAUTH2_CLIENT_ID, OAUTH2_CLIENT_SECRET, basic_auth};
use super::refusal::Refusal;

/// What was asked for, and by whom.
pub(super) struct TokenRequest {
    grant_type: String,
    client: (String, String),
}

impl TokenRequest {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let mut fields = fields(headers, body)?;
        let grant_type = fields
            .remove("grant_type")
            .filter(|value| !value.is_empty());
        let grant_type = grant_type.ok_or(Refusal::InvalidRequest("grant_type is missing"))?;
        Ok(Self {
            grant_type,
            client: client(headers, fields)?,
        })
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        if (self.client.0.as_str(), self.client.1.as_str())
            != (OAUTH2_CLIENT_ID, OAUTH2_CLIENT_SECRET)
        {
            return Err(Refusal::InvalidClient);
        }
        if self.grant_type == "client_credentials" {
            Ok(())
        } else {
            Err(Refusal::UnsupportedGrantType)
        }
    }
}

/// The client's id and secret, given in one of the two ways and not in both.
fn client(
    headers: &HeaderMap,
    mut fields: HashMap<String, String>,
) -> Result<(String, String), Refusal> {
    let in_body = fields.remove("client_secret");
    match (headers.get(AUTHORIZATION), in_body) {
        (Some(_), Some(_)) => Err(Refusal::InvalidRequest(
            "The client is authenticated in two ways",
        )),
        (Some(header), None) => basic_auth::decode(header).ok_or(Refusal::InvalidClient),
        (None, Some(secret)) => Ok((fields.remove("client_id").unwrap_or_default(), secret)),
        (None, None) => Err(Refusal::InvalidClient),
    }
}

fn fields(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, Refusal> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/x-www-form-urlencoded" => form_fields(body),
        "application/json" => json_fields(body),
        _ => Err(Refusal::InvalidRequest(
            "The body is neither a form nor JSON",
        )),
    }
}

fn form_fields(body: &[u8]) -> Result<HashMap<String, String>, Refusal> {
    let mut fields = HashMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if fields
            .insert(name.into_owned(), value.into_owned())
            .is_some()
        {
            return Err(Refusal::InvalidRequest("A parameter is repeated"));
        }
    }
    Ok(fields)
}

fn json_fields(body: &[u8]) -> Result<HashMap<String, String>, Refusal> {
    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| Refusal::InvalidRequest("The body is not a JSON object"))?;
    let texts = object
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    Ok(texts.collect())
}
