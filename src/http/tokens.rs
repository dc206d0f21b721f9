//! `GET /api/token`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::body::JsonBody;
use super::caller::{Allowed, ReadToken};
use super::error::ProblemBody;
use super::query::{Query, flag};
use super::{Api, Caller, Problem};
use crate::clock::whole_seconds;
use crate::clock::{Timestamp, millis};
use crate::failure::BASE_FAILED;
use crate::json::{Issues, Object};

use crate::secret::{SecretId, SecretRef};
use crate::service::{ServiceError, TokenAnswer};
use crate::telemetry::Metrics;

/// A working token.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Token")]
pub(super) struct TokenBody<'a> {
    /// The token.
    token: &'a str,
    /// Milliseconds left; 2147483647 for a token that never expires.
    #[schema(example = 7_200_000)]
    expires_in: i64,
    /// `memory`, `database`, `upstream` or `fixed`.
    #[schema(example = "memory")]
    source: &'static str,
    /// When it expires, epoch milliseconds; absent for a token that never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// One more with each token of the secret.
    version: i64,
    /// Present and true for a token that never expires.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    never_expires: bool,
    /// Since when (epoch milliseconds) it could not be renewed, or not be compared with the
    /// database.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<i64>,
    /// Until when (epoch milliseconds) the token before this one works.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_valid_until: Option<i64>,
    /// Present and false when another token was asked for, and this is the held one.
    #[serde(skip_serializing_if = "is_true")]
    renewed: bool,
    /// Seconds after which to ask for another again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Further values that the provider gave with the token, as the realm's `outputs` name them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    outputs: Option<&'a serde_json::Map<String, Value>>,
    /// How to send it, e.g. `Authorization: Bearer {token}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_use: Option<&'a str>,
    /// What the operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_true(value: &bool) -> bool {
    *value
}

/// What `expires_in` says of a token that never expires (inherited).
const NEVER: i64 = 2_147_483_647;

/// The answer for a token; the same for the hit path and the slow path.
pub(super) fn respond(answer: &TokenAnswer, now: Timestamp, caller: &Caller) -> Response {
    let stale = answer.stale.as_ref();
    let expires_at = answer.life.expires_at;
    let body = TokenBody {
        token: answer.token.expose(),
        expires_in: expires_at.map_or(NEVER, |expires_at| millis(expires_at.since(now))),
        source: answer.source.as_str(),
        expires_at: expires_at.map(Timestamp::epoch_ms),
        version: answer.version,
        never_expires: expires_at.is_none(),
        stale_since: stale.map(|stale| stale.since.epoch_ms()),
        previous_valid_until: answer
            .previous_valid_until
            .filter(|until| *until > now)
            .map(Timestamp::epoch_ms),
        renewed: answer.renewed,
        retry_after: answer.retry_after.map(whole_seconds),
        outputs: answer.outputs.expose(),
        token_use: answer.token_use.as_deref(),
        warning: stale
            .map(|stale| {
                if stale.is_of_base && !caller.sees_bases() {
                    BASE_FAILED
                } else {
                    stale.warning.as_str()
                }
            })
            .or(answer.warning.as_deref()),
    };
    // Strings and numbers always serialise.
    let text = serde_json::to_vec(&body).unwrap_or_default();
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}

/// A working token for a secret. The arguments may also be a JSON object in the body.
#[utoipa::path(get, path = "/api/token", tag = "token",
    params(("realm" = String, Query, min_length = 1), ("key" = String, Query, min_length = 1),
           ("flush" = Option<bool>, Query, description = "fetch a new token although the held one is good"),
           ("min_ttl" = Option<i64>, Query, minimum = 0, maximum = 31_622_400_000_i64,
            description = "milliseconds that the token must live yet, up to 366 days")),
    responses((status = 200, body = TokenBody), (status = 400, description = "unknown secret", body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up", body = ProblemBody),
              (status = 502, description = "the provider refused", body = ProblemBody),
              (status = 503, description = "no token now; try later", body = ProblemBody),
              (status = 504, description = "the provider did not answer in time", body = ProblemBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<ReadToken>,
    query: Query,
    body: JsonBody,
) -> Result<Response, Problem> {
    let ask = Ask::read(&query, body.0.as_ref())?;
    let id = SecretRef {
        realm: &ask.realm,
        key: &ask.key,
    };
    if !caller.reaches(id) {
        return Ok(unreachable(&api, &caller, &id.to_owned()).await);
    }
    let outcome = match (ask.flush, ask.min_ttl_ms) {
        (true, _) => api.tokens.flush(id, caller.requester()).await,
        (false, Some(ms)) => api.tokens.get_living(id, ms, caller.requester()).await,
        (false, None) => api.tokens.get(id).await,
    };
    Ok(answer(&api, &caller, outcome))
}

/// How an ask for a token ended, for the metrics; goes with its answer.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    outcome: &'static str,
    source: &'static str,
}

impl Asked {
    /// It got this token.
    pub(super) fn answered(answer: &TokenAnswer) -> Self {
        Self {
            outcome: "ok",
            source: answer.source.as_str(),
        }
    }

    /// Counts it.
    pub(super) fn count(self, metrics: &Metrics, began: Instant) {
        metrics.count_ask(self.outcome, self.source, began.elapsed());
    }
}

/// The answer to an ask; unknown names are a bad request (inherited).
pub(super) fn answer(
    api: &Api,
    caller: &Caller,
    outcome: Result<TokenAnswer, ServiceError>,
) -> Response {
    let (mut response, asked) = match outcome {
        Ok(answer) => (
            respond(&answer, api.clock.now(), caller),
            Asked::answered(&answer),
        ),
        Err(error) => {
            let problem = Problem::from(caller.shown(error)).unknown_is_bad_request();
            let (outcome, source) = (problem.code(), "none");
            (problem.into_response(), Asked { outcome, source })
        }
    };
    response.extensions_mut().insert(asked);
    response
}

/// The answer for a secret outside the caller's scopes: that for an unknown one, in text and time.
/// So an unknown one is looked for, wherever the other is.
pub(super) async fn unreachable(api: &Api, caller: &Caller, id: &SecretId) -> Response {
    let nowhere = uuid::Uuid::new_v4().to_string();
    let nobody = SecretId::new(nowhere.clone(), nowhere);
    let outcome = match api.tokens.get(nobody.borrowed()).await {
        Err(ServiceError::UnknownSecret(_)) | Ok(_) => ServiceError::UnknownSecret(id.clone()),
        Err(other) => other,
    };
    answer(api, caller, Err(outcome))
}

/// The arguments; the query counts before the body.
pub(super) struct Ask {
    pub(super) realm: String,
    pub(super) key: String,
    pub(super) flush: bool,
    pub(super) min_ttl_ms: Option<i64>,
}

/// A longer time is no token's: a year.
const LONGEST_MIN_TTL_MS: i64 = 366 * 24 * 3600 * 1000;

/// `min_ttl` as a number of milliseconds, from the query or the body.
fn min_ttl(query: Option<&str>, body: Option<&Value>) -> Result<Option<i64>, Problem> {
    let (pointer, number) = match (query, body) {
        (Some(text), _) => ("min_ttl", text.parse().ok()),
        (None, None | Some(Value::Null)) => return Ok(None),
        // As text too, like `flush`: what may stand in the query may stand in the body.
        (None, Some(Value::String(text))) => ("/min_ttl", text.parse().ok()),
        (None, Some(value)) => ("/min_ttl", value.as_i64()),
    };
    let number = number.filter(|ms| (0..=LONGEST_MIN_TTL_MS).contains(ms));
    let expected = || {
        Problem::invalid_at(
            pointer,
            format!("expected milliseconds, 0 to {LONGEST_MIN_TTL_MS}"),
        )
    };
    number.map(Some).ok_or_else(expected)
}

impl Ask {
    /// Reads them.
    pub(super) fn read(query: &Query, body: Option<&Value>) -> Result<Self, Problem> {
        let mut issues = Issues::default();
        let empty = Value::Object(serde_json::Map::new());
        let object = Object::read(body.unwrap_or(&empty), "", &mut issues);
        let Some(mut object) = object else {
            return Err(Problem::invalid(issues.into_vec()));
        };
        let mut argument = |name: &'static str, query_value: Option<&str>| match query_value {
            Some(value) if !value.is_empty() => Some(value.to_owned()),
            Some(_) | None => object.required_text(name, &mut issues).map(str::to_owned),
        };
        let realm = argument("realm", query.text("realm"));
        let key = argument("key", query.text("key"));
        let flush = match (query.text("flush"), object.member("flush")) {
            (Some(value), _) => flag("flush", value)?,
            (None, None | Some(Value::Null)) => false,
            (None, Some(Value::Bool(flush))) => *flush,
            (None, Some(Value::String(text))) => flag("/flush", text)?,
            (None, Some(_)) => return Err(Problem::invalid_at("/flush", "expected true or false")),
        };
        let min_ttl_ms = min_ttl(query.text("min_ttl"), object.member("min_ttl"))?;
        let (realm, key) = issues
            .into_result(realm.zip(key))
            .map_err(Problem::invalid)?;
        Ok(Self {
            realm,
            key,
            flush,
            min_ttl_ms,
        })
    }
}
