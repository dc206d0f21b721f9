//! `/api/keys`: the API keys of callers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::body::JsonBody;
use super::caller::{Allowed, Manage};
use super::error::ProblemBody;
use super::name::Name;
use super::query::Query;
use super::realms::ListBody;
use super::{Api, Caller, Problem};
use crate::api_key::{KeyHash, Role, Scopes};
use crate::clock::Timestamp;
use crate::realm::read_duration;
use crate::service::{ApiKeyEdit, MadeApiKey, NewApiKey};
use crate::store::ApiKeyRow;

/// An API key; nothing in it lets anybody in. Times are epoch milliseconds.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "ApiKey")]
pub(super) struct ApiKeyBody {
    /// The 11 digits after `tsk_`.
    #[schema(example = "0a1B2c3D4e5")]
    id: String,
    role: Role,
    /// `realm:key` patterns; `*:*` is every secret, none for role `cron`.
    scopes: Vec<String>,
    note: Option<String>,
    /// How fast it may call, `100/s`.
    rate: Option<String>,
    /// SHA-256 of the client certificate that stands for it.
    certificate: Option<String>,
    created_at: i64,
    /// Null: it does not expire by itself.
    expires_at: Option<i64>,
    /// Until when the key before the last rotation works.
    previous_until: Option<i64>,
    disabled_at: Option<i64>,
    /// To the hour.
    last_used_at: Option<i64>,
    /// The address that it was used from.
    last_used_from: Option<String>,
}

/// A key that was made: it is shown this one time.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "MadeApiKey")]
pub(super) struct MadeApiKeyBody {
    /// For its caller: `Authorization: Bearer …`.
    key: String,
    #[serde(flatten)]
    row: ApiKeyBody,
}

/// Two patterns, `realm:key`.
#[derive(utoipa::ToSchema)]
#[schema(title = "Scope", pattern = "^[^:]+:.+$", max_length = 251)]
#[expect(
    dead_code,
    reason = "describes a member for OpenAPI; it is read by its own reader"
)]
pub(super) struct ScopeText(String);

/// What is posted to make a key.
#[derive(utoipa::ToSchema)]
#[schema(title = "NewApiKey")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct NewApiKeyBody {
    role: Role,
    /// `realm:key` patterns, `*` is any run of characters in one of the two. Required for `app`,
    /// `push` and `edge`; without any, `admin` and `operator` reach everything.
    #[schema(example = json!(["wxgzh:*"]))]
    scopes: Option<Vec<ScopeText>>,
    /// Up to 500 characters.
    #[schema(max_length = 500)]
    note: Option<String>,
    /// When it ends, epoch milliseconds, not in the past; null means never.
    #[schema(minimum = 0, maximum = 253_402_300_799_000_i64)]
    expires_at: Option<i64>,
    /// How fast it may call, `100/s`.
    #[schema(example = "100/s", pattern = "^[1-9][0-9]{0,8}/s$")]
    rate: Option<String>,
    /// SHA-256 of a client certificate that stands for it, 64 hex digits, also with colons between.
    #[schema(pattern = "^(:?[0-9a-fA-F]{2}){32}$")]
    certificate: Option<String>,
}

/// What is changed of a key: an absent member keeps its value, null clears it.
#[derive(utoipa::ToSchema)]
#[schema(title = "ApiKeyEdit")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct ApiKeyEditBody {
    scopes: Option<Vec<ScopeText>>,
    #[schema(max_length = 500)]
    note: Option<String>,
    /// Epoch milliseconds, not in the past; null means never.
    #[schema(minimum = 0, maximum = 253_402_300_799_000_i64)]
    expires_at: Option<i64>,
    #[schema(pattern = "^[1-9][0-9]{0,8}/s$")]
    rate: Option<String>,
    /// Whether it is switched off; it cannot be null.
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// How long the old key works on.
#[derive(utoipa::ToSchema)]
#[schema(title = "Rotation")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct RotationBody {
    /// A duration up to 30 days; `0s` ends the old one at once. Default `1h`.
    #[schema(example = "1h", pattern = r"^[0-9]+(\.[0-9]+)?(ms|[smhd])?$")]
    overlap: Option<String>,
}

impl From<ApiKeyRow> for ApiKeyBody {
    fn from(row: ApiKeyRow) -> Self {
        let ms = |at: Option<Timestamp>| at.map(Timestamp::epoch_ms);
        let used = row.last_used;
        Self {
            scopes: shown_scopes(row.role, &row.scopes),
            role: row.role,
            rate: row.rate.map(|rate| rate.to_string()),
            certificate: row.certificate.map(KeyHash::to_hex),
            created_at: row.created_at.epoch_ms(),
            expires_at: ms(row.expires_at),
            previous_until: ms(row.previous.map(|(_, until)| until)),
            disabled_at: ms(row.disabled_at),
            last_used_at: ms(used.map(|used| used.at)),
            last_used_from: used.and_then(|used| used.from).map(|from| from.to_string()),
            id: row.id.to_string(),
            note: row.note,
        }
    }
}

fn shown_scopes(role: Role, scopes: &Scopes) -> Vec<String> {
    match scopes {
        Scopes::All if role == Role::Cron => Vec::new(),
        Scopes::All => vec!["*:*".to_owned()],
        Scopes::Only(_) => scopes.to_texts(),
    }
}

/// Whoever makes keys could make one for everything.
fn demand_unbounded(caller: &Caller) -> Result<(), Problem> {
    if caller.scopes().cover_all() {
        return Ok(());
    }
    Err(Problem::beyond_scope(
        "only an API key of role admin without scopes may manage API keys",
    ))
}

fn show_once(made: MadeApiKey, status: StatusCode) -> Response {
    let body = MadeApiKeyBody {
        key: made.key.text().expose_secret().to_owned(),
        row: made.row.into(),
    };
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Json(body)).into_response()
}

/// List the keys that are not revoked, oldest first.
#[utoipa::path(get, path = "/api/keys", tag = "key",
    responses((status = 200, body = ListBody<ApiKeyBody>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
) -> Result<Json<ListBody<ApiKeyBody>>, Problem> {
    demand_unbounded(&caller)?;
    let rows = api.api_keys.list().await?;
    let list: Vec<_> = rows.into_iter().map(ApiKeyBody::from).collect();
    let total = list.len() as u64;
    Ok(Json(ListBody::of(list, total)))
}

/// Make a key. It is shown this one time.
#[utoipa::path(post, path = "/api/keys", tag = "key", request_body = NewApiKeyBody,
    responses((status = 201, body = MadeApiKeyBody), (status = 400, body = ProblemBody),
              (status = 409, description = "try again", body = ProblemBody)))]
pub(super) async fn create(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    body: JsonBody,
) -> Result<Response, Problem> {
    demand_unbounded(&caller)?;
    let new = NewApiKey::read(&body.required()?)?;
    let made = api.api_keys.create(new).await?;
    Ok(show_once(made, StatusCode::CREATED))
}

/// Show one key, not its secret digits.
#[utoipa::path(get, path = "/api/keys/{id}", tag = "key", params(("id" = String, Path)),
    responses((status = 200, body = ApiKeyBody), (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(id): Name,
) -> Result<Json<ApiKeyBody>, Problem> {
    demand_unbounded(&caller)?;
    Ok(Json(api.api_keys.show(&id).await?.into()))
}

/// Change a key: note, scopes, expiry, rate, or switch it off and on.
#[utoipa::path(patch, path = "/api/keys/{id}", tag = "key", request_body = ApiKeyEditBody, params(("id" = String, Path)),
    responses((status = 200, body = ApiKeyBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 409, description = "the last working key of role admin, or others are changing it", body = ProblemBody)))]
pub(super) async fn edit(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(id): Name,
    body: JsonBody,
) -> Result<Json<ApiKeyBody>, Problem> {
    demand_unbounded(&caller)?;
    let edit = ApiKeyEdit::read(&body.required()?)?;
    Ok(Json(api.api_keys.edit(&id, &edit).await?.into()))
}

/// End a key for good. The last working one of role admin only with `force`.
#[utoipa::path(delete, path = "/api/keys/{id}", tag = "key",
    params(("id" = String, Path), ("force" = Option<bool>, Query, description = "also the last working key of role admin")),
    responses((status = 204), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 409, description = "the last working key of role admin, or others are changing it", body = ProblemBody)))]
pub(super) async fn revoke(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(id): Name,
    query: Query,
) -> Result<StatusCode, Problem> {
    demand_unbounded(&caller)?;
    api.api_keys.revoke(&id, query.flag("force")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

const DEFAULT_OVERLAP: Duration = Duration::from_hours(1);
const LONGEST_OVERLAP: Duration = Duration::from_hours(30 * 24);

/// Give a key new digits, shown this one time. The old key works for a while longer.
#[utoipa::path(post, path = "/api/keys/{id}/rotate", tag = "key", request_body = RotationBody, params(("id" = String, Path)),
    responses((status = 200, body = MadeApiKeyBody), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 409, description = "others are changing it", body = ProblemBody)))]
pub(super) async fn rotate(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(id): Name,
    body: JsonBody,
) -> Result<Response, Problem> {
    demand_unbounded(&caller)?;
    let overlap = read_overlap(&body)?;
    let made = api.api_keys.rotate(&id, overlap).await?;
    Ok(show_once(made, StatusCode::OK))
}

/// Reads how long the old key works on.
pub(super) fn read_overlap(body: &JsonBody) -> Result<Duration, Problem> {
    let wrong = || Problem::invalid_at("/overlap", "expected a duration like 1h, 0s to 30d");
    let Some(document) = &body.0 else {
        return Ok(DEFAULT_OVERLAP);
    };
    let members = document
        .as_object()
        .ok_or_else(|| Problem::invalid_at("", "expected a JSON object"))?;
    if let Some(unknown) = members.keys().find(|name| *name != "overlap") {
        return Err(Problem::invalid_at(&format!("/{unknown}"), "unknown"));
    }
    let Some(value) = members.get("overlap").filter(|value| !value.is_null()) else {
        return Ok(DEFAULT_OVERLAP);
    };
    let overlap = value.as_str().and_then(read_duration);
    overlap
        .filter(|overlap| *overlap <= LONGEST_OVERLAP)
        .ok_or_else(wrong)
}
