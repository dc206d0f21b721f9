//! `PUT /api/secret/{key}/inputs/{name}`: a value that another process pushes, e.g.
//! `component_verify_ticket`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use super::body::JsonBody;
use super::caller::{Allowed, Push};
use super::error::ProblemBody;
use super::name::Names;
use super::query::Query;
use super::{Api, Problem};

/// What is pushed.
#[derive(utoipa::ToSchema)]
#[schema(title = "InputEdit")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct InputEditBody {
    /// The new value, up to 64 KiB; `null` takes it away.
    #[schema(required = true, min_length = 1, max_length = 65_536)]
    value: Option<String>,
}

/// A value that was pushed; it is never shown.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Input")]
pub(super) struct InputBody {
    realm: String,
    key: String,
    name: String,
    /// Moves with every push of this secret.
    pushed_version: i64,
}

/// Push a value of a secret that its realm declares with `"from": "pushed"`. It retires no token; a
/// pause after a failure ends with it.
#[utoipa::path(put, path = "/api/secret/{key}/inputs/{name}", tag = "secret", request_body = InputEditBody,
    params(("key" = String, Path), ("name" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = InputBody), (status = 400, description = "the realm has no such pushed input", body = ProblemBody),
              (status = 404, body = ProblemBody),
              (status = 409, description = "others are writing it", body = ProblemBody), (status = 413, body = ProblemBody)))]
pub(super) async fn push(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Push>,
    Names(key, name): Names,
    query: Query,
    body: JsonBody,
) -> Result<Json<InputBody>, Problem> {
    let value = read(&body.required()?)?;
    let row = api
        .secrets
        .show(&key, query.text("realm"), caller.scopes())
        .await?;
    let pushed_version = api.secrets.push(&row.id, &name, value).await?;
    Ok(Json(InputBody {
        realm: row.id.realm,
        key: row.id.key,
        name,
        pushed_version,
    }))
}

/// Reads what is pushed; `None` takes the value away.
pub(super) fn read(body: &Value) -> Result<Option<String>, Problem> {
    let members = body
        .as_object()
        .filter(|members| members.keys().all(|name| name == "value"));
    match members.and_then(|members| members.get("value")) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Value::Null) => Ok(None),
        _ => Err(Problem::invalid_at(
            "/value",
            "expected {\"value\": a text, or null to take it away}",
        )),
    }
}
