//! `/api/secret/{key}/status` and `/api/secret/{key}/retry`: how a secret's renewal stands.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::error::ProblemBody;
use super::name::Name;
use super::query::Query;
use super::tokens::{self, TokenBody};
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::service::SecretStatus;

/// How a secret's renewal stands. Times are epoch milliseconds.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "SecretStatus")]
pub(super) struct StatusBody {
    realm: String,
    key: String,
    /// `none`, `valid`, `stale` (valid, and the last renewal failed) or `expired`.
    state: &'static str,
    /// How many tokens there were so far.
    token_version: i64,
    /// When the current token was fetched.
    last_success_at: Option<i64>,
    /// When it expires; null for one that never does.
    expires_at: Option<i64>,
    /// When it is to be renewed.
    renewal_due_at: Option<i64>,
    /// Until when the token before it works.
    previous_valid_until: Option<i64>,
    /// The last failure since the last success.
    last_failure: Option<FailureBody>,
    /// Failures since the last success.
    failed_attempts: i64,
    /// Not before when the next attempt is made by itself.
    next_attempt_at: Option<i64>,
}

/// A failed fetch.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "FetchFailure")]
pub(super) struct FailureBody {
    at: i64,
    /// As in a problem.
    code: &'static str,
    detail: String,
    provider_code: Option<String>,
    provider_message: Option<String>,
}

impl From<SecretStatus> for StatusBody {
    fn from(status: SecretStatus) -> Self {
        let row = status.row.as_ref();
        let life = row.and_then(|row| row.token.as_ref()).map(|token| token.life);
        let failure = row.and_then(|row| row.failure.as_ref());
        Self {
            state: status.state.as_str(),
            token_version: row.map_or(0, |row| row.version),
            last_success_at: life.map(|life| life.obtained_at.epoch_ms()),
            expires_at: life.and_then(|life| life.expires_at).map(Timestamp::epoch_ms),
            renewal_due_at: row.and_then(|row| row.due_at).map(Timestamp::epoch_ms),
            previous_valid_until: row.and_then(|row| row.previous_valid_until).map(Timestamp::epoch_ms),
            last_failure: failure.map(|recorded| FailureBody {
                at: recorded.at.epoch_ms(),
                code: recorded.failure.kind.code(),
                detail: recorded.failure.detail.clone(),
                provider_code: recorded.failure.provider.code.clone(),
                provider_message: recorded.failure.provider.message.clone(),
            }),
            failed_attempts: row.map_or(0, |row| row.failure_count),
            next_attempt_at: failure.map(|recorded| recorded.next_attempt_at.epoch_ms()),
            realm: status.id.realm,
            key: status.id.key,
        }
    }
}

/// How a secret's renewal stands: last success, last failure, next attempt.
#[utoipa::path(get, path = "/api/secret/{key}/status", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = StatusBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn status(
    State(api): State<Api>,
    Name(key): Name,
    query: Query,
) -> Result<Json<StatusBody>, Problem> {
    let row = api.secrets.show(&key, query.text("realm")).await?;
    Ok(Json(api.tokens.status(&row.id).await?.into()))
}

/// Try again now although the last attempt failed; for when its cause was mended at the provider.
#[utoipa::path(post, path = "/api/secret/{key}/retry", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = TokenBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 502, body = ProblemBody), (status = 503, body = ProblemBody),
              (status = 504, body = ProblemBody)))]
pub(super) async fn retry(
    State(api): State<Api>,
    Name(key): Name,
    query: Query,
) -> Result<Response, Problem> {
    let began = tokio::time::Instant::now();
    let row = api.secrets.show(&key, query.text("realm")).await?;
    let outcome = api.tokens.retry(row.id.borrowed()).await;
    tokens::conclude(&api, outcome, began)
}
