//! `/api/secret/{key}/status` and `/api/secret/{key}/retry`: how a secret's renewal stands.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::caller::{Allowed, Renew, Retry, SeeStatus};
use super::error::ProblemBody;
use super::name::Name;
use super::query::Query;
use super::tokens::{self, TokenBody};
use super::{Api, Caller, Problem};
use crate::api_key::Action;
use crate::clock::{Timestamp, whole_seconds};
use crate::secret::SecretId;
use crate::service::{GrantStatus, QuotaUse, SecretStatus, ServiceError, TokenAnswer};
use crate::store::{ForeignRefreshes, NextCredentials, RecordedFailure};

/// How a secret's renewal stands. Times are epoch milliseconds.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "SecretStatus")]
pub(super) struct StatusBody {
    realm: String,
    key: String,
    /// `none`, `valid`, `stale` (valid, and the last renewal failed), `expired` or `reauthorise`
    /// (the grant is gone).
    state: &'static str,
    /// As in the answer with the token: how many there were so far; of a fixed realm, the secret's
    /// version.
    token_version: i64,
    /// When the current token was fetched.
    last_success_at: Option<i64>,
    /// When it expires; null for one that never does.
    expires_at: Option<i64>,
    /// When it is to be renewed.
    renewal_due_at: Option<i64>,
    /// Until when the token before it works.
    previous_valid_until: Option<i64>,
    /// The last renewal that failed, also if another succeeded since. Trials and next credentials
    /// are none.
    last_failure: Option<FailureBody>,
    /// Failures since the last success.
    failed_attempts: i64,
    /// Not before when the next attempt is made by itself.
    next_attempt_at: Option<i64>,
    /// The grant, where the realm has rotating inputs.
    grant: Option<GrantBody>,
    /// How much of each quota of the realm's policy is used.
    quotas: Vec<QuotaBody>,
    /// The provider is down: this instance makes no call before.
    held_back_until: Option<i64>,
    /// Tokens that died early although nobody here replaced them.
    foreign_refreshes: ForeignBody,
    /// The credentials that are to replace the current ones, once they are seen to work.
    next: Option<NextBody>,
    /// Only after a renewal was asked for: whether a newer token came.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<bool>,
    /// Then: seconds after which to ask for another again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// A credential that the provider replaces with each use.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Grant")]
pub(super) struct GrantBody {
    /// `unused`, `held`, `unknown` (a use whose outcome is not known; it is tried once more near
    /// the token's expiry) or `gone` (authorise again and store the new one).
    state: &'static str,
    /// How often it was replaced.
    generation: i64,
    expires_at: Option<i64>,
    /// What to do, if less than a fifth of its life is left.
    warning: Option<&'static str>,
}

impl From<GrantStatus> for GrantBody {
    fn from(grant: GrantStatus) -> Self {
        let warning = "less than a fifth of the grant's life is left; when it ends, somebody must authorise again";
        Self {
            state: grant.state,
            generation: grant.generation,
            expires_at: grant.expires_at.map(Timestamp::epoch_ms),
            warning: grant.ends_soon.then_some(warning),
        }
    }
}

/// A quota and how much of it is used.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "QuotaUse")]
pub(super) struct QuotaBody {
    limit: u64,
    per_seconds: u64,
    /// `rolling` or `calendar`.
    window: &'static str,
    /// `secret` or `realm`.
    scope: &'static str,
    reserve: u64,
    used: u64,
    /// When the first of the counted calls stops counting.
    frees_at: Option<i64>,
}

/// Signs that another system fetches tokens with the same credentials.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "ForeignRefreshes")]
pub(super) struct ForeignBody {
    count: i64,
    last_at: Option<i64>,
    /// What it means, when there were some.
    hint: Option<&'static str>,
}

/// Next credentials that are not promoted yet.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "NextCredentials")]
pub(super) struct NextBody {
    /// The names of those that change.
    names: Vec<String>,
    since: i64,
    last_failure: Option<FailureBody>,
    failed_attempts: i64,
    next_attempt_at: i64,
}

/// A failed fetch.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "FetchFailure")]
pub(super) struct FailureBody {
    at: i64,
    /// As in a problem.
    code: String,
    detail: String,
    provider_code: Option<String>,
    provider_message: Option<String>,
    /// Present and true when it is over: a renewal succeeded since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    succeeded_since: bool,
}

impl From<SecretStatus> for StatusBody {
    fn from(status: SecretStatus) -> Self {
        let row = status.row.as_ref();
        let life = row
            .and_then(|row| row.token.as_ref())
            .map(|token| token.life);
        let (version, expires_at) = (
            row.map_or(0, |row| row.version),
            life.and_then(|life| life.expires_at),
        );
        let failure = row.and_then(|row| row.failure.as_ref());
        let last_failure = status.last_failure.as_ref().map(FailureBody::from);
        let succeeded_since = status.is_failure_over;
        Self {
            state: status.state.as_str(),
            token_version: status.fixed.map_or(version, |(version, _)| version),
            last_success_at: life.map(|life| life.obtained_at.epoch_ms()),
            expires_at: status
                .fixed
                .map_or(expires_at, |(_, at)| at)
                .map(Timestamp::epoch_ms),
            renewal_due_at: row.and_then(|row| row.due_at).map(Timestamp::epoch_ms),
            previous_valid_until: row
                .and_then(|row| row.previous_valid_until)
                .map(Timestamp::epoch_ms),
            last_failure: last_failure.map(|last| FailureBody {
                succeeded_since,
                ..last
            }),
            failed_attempts: failure.map_or(0, |recorded| recorded.count),
            next_attempt_at: failure.map(|recorded| recorded.next_attempt_at.epoch_ms()),
            grant: status.grant.map(GrantBody::from),
            quotas: status.quotas.iter().map(QuotaBody::from).collect(),
            held_back_until: status.held_back_until.map(Timestamp::epoch_ms),
            foreign_refreshes: row
                .map(|row| row.foreign_refreshes)
                .unwrap_or_default()
                .into(),
            renewed: None,
            retry_after: None,
            next: status.next.as_ref().map(NextBody::from),
            realm: status.id.realm,
            key: status.id.key,
        }
    }
}

impl From<&RecordedFailure> for FailureBody {
    fn from(recorded: &RecordedFailure) -> Self {
        Self {
            at: recorded.at.epoch_ms(),
            code: recorded.failure.kind.code().to_owned(),
            detail: recorded.failure.detail.clone(),
            provider_code: recorded.failure.provider.code.clone(),
            provider_message: recorded.failure.provider.message.clone(),
            succeeded_since: false,
        }
    }
}

impl From<&QuotaUse> for QuotaBody {
    fn from(
        QuotaUse {
            quota,
            used,
            frees_at,
        }: &QuotaUse,
    ) -> Self {
        Self {
            limit: quota.limit,
            per_seconds: quota.window.per().as_secs(),
            window: quota.window.as_str(),
            scope: quota.counted_by.as_str(),
            reserve: quota.reserve,
            used: *used,
            frees_at: frees_at.map(Timestamp::epoch_ms),
        }
    }
}

impl From<ForeignRefreshes> for ForeignBody {
    fn from(foreign: ForeignRefreshes) -> Self {
        let hint = "another system fetches tokens with the same credentials";
        Self {
            count: foreign.count,
            last_at: foreign.last_at.map(Timestamp::epoch_ms),
            hint: (foreign.count > 0).then_some(hint),
        }
    }
}

impl From<&NextCredentials> for NextBody {
    fn from(next: &NextCredentials) -> Self {
        Self {
            names: next.credentials.names().map(str::to_owned).collect(),
            since: next.since.epoch_ms(),
            last_failure: next.failure.as_ref().map(FailureBody::from),
            failed_attempts: next.failed_attempts,
            next_attempt_at: next.due_at.epoch_ms(),
        }
    }
}

/// How a secret's renewal stands: last success, last failure, next attempt.
#[utoipa::path(get, path = "/api/secret/{key}/status", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = StatusBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn status(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<SeeStatus>,
    Name(key): Name,
    query: Query,
) -> Result<Json<StatusBody>, Problem> {
    let row = api
        .secrets
        .show(&key, query.text("realm"), caller.scopes())
        .await?;
    Ok(Json(api.tokens.status(&row.id).await?.into()))
}

/// Try again now although the last attempt failed; for when its cause was mended at the provider.
#[utoipa::path(post, path = "/api/secret/{key}/retry", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = TokenBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up", body = ProblemBody),
              (status = 502, body = ProblemBody), (status = 503, description = "no token now; try later", body = ProblemBody),
              (status = 504, body = ProblemBody)))]
pub(super) async fn retry(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Retry>,
    Name(key): Name,
    query: Query,
) -> Result<Response, Problem> {
    let row = api
        .secrets
        .show(&key, query.text("realm"), caller.scopes())
        .await?;
    let outcome = api.tokens.retry(row.id.borrowed()).await;
    after_renewal(&api, &caller, &row.id, outcome).await
}

/// Fetch a new token although the held one is good, as a flush does; the answer is the secret's
/// status, and no token.
#[utoipa::path(post, path = "/api/secret/{key}/renew", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, description = "`renewed` is false if it may not be replaced yet", body = StatusBody),
              (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up", body = ProblemBody),
              (status = 502, body = ProblemBody), (status = 503, description = "no token now; try later", body = ProblemBody),
              (status = 504, body = ProblemBody)))]
pub(super) async fn renew(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Renew>,
    Name(key): Name,
    query: Query,
) -> Result<Response, Problem> {
    let row = api
        .secrets
        .show(&key, query.text("realm"), caller.scopes())
        .await?;
    let answer = api
        .tokens
        .flush(row.id.borrowed(), caller.requester())
        .await
        .map_err(|error| caller.shown(error))?;
    with_status(&api, &row.id, &answer).await
}

/// After a renewal that a caller asked for: its token, or for those who may not read it how it
/// stands.
pub(super) async fn after_renewal(
    api: &Api,
    caller: &Caller,
    id: &SecretId,
    outcome: Result<TokenAnswer, ServiceError>,
) -> Result<Response, Problem> {
    match outcome {
        Ok(answer) if !caller.may(Action::ReadToken) => with_status(api, id, &answer).await,
        Ok(_) | Err(_) => Ok(tokens::answer(api, caller, outcome)),
    }
}

async fn with_status(api: &Api, id: &SecretId, answer: &TokenAnswer) -> Result<Response, Problem> {
    let body = StatusBody {
        renewed: Some(answer.renewed),
        retry_after: answer.retry_after.map(whole_seconds),
        ..StatusBody::from(api.tokens.status(id).await?)
    };
    Ok(Json(body).into_response())
}
