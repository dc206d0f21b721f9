//! `POST /api/token/report`: a caller's token was refused by the provider's API.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use super::body::JsonBody;
use super::caller::{Allowed, Renew};
use super::error::ProblemBody;
use super::status::after_renewal;
use super::tokens::{self, TokenBody};
use super::{Api, Problem};
use crate::json::{Issues, Object};

use crate::secret::SecretId;
use crate::service::Refused;
use crate::token::TokenText;

/// The refused token, named in one of three ways.
#[derive(utoipa::ToSchema)]
#[schema(title = "Report")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct ReportBody {
    #[schema(example = "wxgzh", min_length = 1)]
    realm: String,
    #[schema(example = "my-app", min_length = 1)]
    key: String,
    /// The token itself, not empty,
    #[schema(min_length = 1)]
    token: Option<String>,
    /// or the version it was handed out with,
    version: Option<i64>,
    /// or its SHA-256, 64 hex digits in either case.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    fingerprint: Option<String>,
    /// The provider's error code, for the log.
    #[schema(example = "40001")]
    code: Option<String>,
}

/// The longest code taken into the log, in characters.
const LONGEST_CODE: usize = 100;

/// A report that was read.
pub(super) struct Report {
    id: SecretId,
    refused: Refused,
    code: Option<String>,
}

/// Report a refused token and get a newer one. Fetches once, and only if the refused token is the
/// current one.
#[utoipa::path(post, path = "/api/token/report", tag = "token", request_body = ReportBody,
    responses((status = 200, description = "the current token; `renewed` is false if it may not be replaced yet",
               body = TokenBody),
              (status = 400, description = "unknown secret, or the token is not named as it must be", body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up", body = ProblemBody),
              (status = 502, body = ProblemBody), (status = 503, description = "no token now; try later", body = ProblemBody),
              (status = 504, body = ProblemBody)))]
pub(super) async fn report(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Renew>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let report = Report::read(&body.required()?)?;
    if !caller.reaches(report.id.borrowed()) {
        return Ok(tokens::unreachable(&api, &caller, &report.id).await);
    }
    let outcome = api
        .tokens
        .report(report.id.borrowed(), &report.refused, caller.requester())
        .await;
    let (realm, key, code) = (&report.id.realm, &report.id.key, report.code.as_deref());
    let renewed = outcome.as_ref().is_ok_and(|answer| answer.renewed);
    // A token that dies is reported by all who use it.
    if api.tokens.is_first_report(&report.id, &report.refused) {
        tracing::info!(realm, key, code, renewed, "a token was reported as refused");
    } else {
        tracing::debug!(
            realm,
            key,
            code,
            renewed,
            "a token was reported as refused again"
        );
    }
    after_renewal(&api, &caller, &report.id, outcome).await
}

impl Report {
    /// Reads a posted report.
    pub(super) fn read(document: &Value) -> Result<Self, Problem> {
        let mut issues = Issues::default();
        let report = Self::read_members(document, &mut issues);
        issues.into_result(report).map_err(Problem::invalid)
    }

    fn read_members(document: &Value, issues: &mut Issues) -> Option<Self> {
        let mut object = Object::read(document, "", issues)?;
        let realm = object.required_text("realm", issues);
        let key = object.required_text("key", issues);
        let ways = ["token", "version", "fingerprint"];
        let given = ways
            .into_iter()
            .filter(|way| object.member(way).is_some_and(|value| !value.is_null()));
        if given.count() != 1 {
            issues.add(
                "/token",
                "required: exactly one of token, version and fingerprint",
            );
        }
        let token = read_token(&mut object, issues);
        let version = read_version(object.member("version"), issues);
        let fingerprint = read_fingerprint(&mut object, issues);
        let code = read_code(object.member("code"), issues);
        object.finish(&[], |_| false, issues);
        let refused = token.or(version).or(fingerprint);
        Some(Self {
            id: SecretId::new(realm?, key?),
            refused: refused?,
            code,
        })
    }
}

fn read_token(object: &mut Object<'_>, issues: &mut Issues) -> Option<Refused> {
    let token = object.text("token", issues)?;
    if token.is_empty() {
        issues.add("/token", "must not be empty: expected the refused token");
        return None;
    }
    Some(Refused::Token(TokenText::from(token)))
}

/// The digits of a SHA-256 in hex.
const FINGERPRINT_DIGITS: usize = 64;

fn read_fingerprint(object: &mut Object<'_>, issues: &mut Issues) -> Option<Refused> {
    let hex = object.text("fingerprint", issues)?;
    if hex.len() != FINGERPRINT_DIGITS || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        issues.add(
            "/fingerprint",
            "expected the SHA-256 of the token, 64 hex digits",
        );
        return None;
    }
    Some(Refused::Fingerprint(hex.to_ascii_lowercase()))
}

fn read_version(value: Option<&Value>, issues: &mut Issues) -> Option<Refused> {
    let value = value.filter(|value| !value.is_null())?;
    let version = value.as_i64();
    if version.is_none() {
        issues.add(
            "/version",
            "expected the version the token was handed out with, a whole number",
        );
    }
    version.map(Refused::Version)
}

fn read_code(value: Option<&Value>, issues: &mut Issues) -> Option<String> {
    let text = match value? {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            issues.add("/code", "expected a string or a number");
            return None;
        }
    };
    Some(
        text.chars()
            .filter(|c| !crate::secret::is_invisible(*c))
            .take(LONGEST_CODE)
            .collect(),
    )
}
