//! `/api/secret`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Map, Value};

use super::body::JsonBody;
use super::caller::{Allowed, Manage, Observe};
use super::error::ProblemBody;
use super::name::Name;
use super::query::{Paging, Query};
use super::realms::ListBody;
use super::{Api, Problem};
use crate::secret::{MASK, SecretRef, numbered};
use crate::service::{Secret, SecretEdit};
use crate::store::SecretOutline;

/// A secret; credentials are shown as asterisks. Further `key_6`… appear when they are stored.
#[derive(utoipa::ToSchema)]
#[schema(title = "Secret")]
#[expect(
    dead_code,
    reason = "describes the answer for OpenAPI; it is built member by member"
)]
pub(super) struct SecretBody {
    #[schema(example = "wxgzh")]
    realm: String,
    #[schema(example = "my-app")]
    key: String,
    #[schema(example = "******************")]
    key_1: Option<String>,
    key_2: Option<String>,
    key_3: Option<String>,
    key_4: Option<String>,
    key_5: Option<String>,
    /// Credentials with names of their own.
    credentials: std::collections::BTreeMap<String, String>,
    /// Only in a fixed realm.
    token: Option<String>,
    /// Only of that token: epoch milliseconds; absent or null means never.
    expires_at: Option<i64>,
    /// Credentials that replace the others once they are seen to work; asterisks. See its status.
    next: Option<NextValuesBody>,
    /// Moves when a credential changes, which retires the token.
    version: i64,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
    /// What the operator should know; only after saving.
    warnings: Option<Vec<String>>,
}

/// What is posted to create or update a secret: an absent field keeps its value, `null` or `""`
/// clears it, asterisks leave it. Further `key_6`… are accepted.
#[derive(utoipa::ToSchema)]
#[schema(title = "SecretEdit")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct SecretEditBody {
    #[schema(example = "wxgzh", min_length = 1, max_length = 50)]
    realm: String,
    /// 1–200 characters, no control characters, no blanks at the ends.
    #[schema(example = "my-app", min_length = 1, max_length = 200)]
    key: String,
    #[schema(example = "invented-appid")]
    key_1: Option<String>,
    #[schema(example = "invented-secret")]
    key_2: Option<String>,
    key_3: Option<String>,
    key_4: Option<String>,
    key_5: Option<String>,
    /// Credentials with names of their own, up to 64 KiB each; null clears one, or them all.
    credentials: Option<std::collections::BTreeMap<String, Option<String>>>,
    /// The token itself, for a secret of a fixed realm.
    token: Option<String>,
    /// Until when that token works: epoch milliseconds; null means never.
    #[schema(minimum = 0, maximum = 42_949_672_950_000_i64)]
    expires_at: Option<i64>,
    /// Credentials that are tried behind the callers' backs, and replace the others once they bring
    /// a token; null drops them. Only what changes is named.
    next: Option<NextValuesBody>,
}

/// The credentials that change: `key_1`… and names of their own.
#[derive(utoipa::ToSchema)]
#[schema(title = "NextValues")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct NextValuesBody {
    #[schema(example = "invented-new-secret", nullable = false, min_length = 1)]
    key_2: Option<String>,
    credentials: Option<std::collections::BTreeMap<String, String>>,
}

/// How many of `key_1`… are always shown, as the inherited service does.
const ALWAYS_SHOWN: u32 = 5;

fn body(row: &SecretOutline, warnings: Vec<String>) -> Value {
    let mut members = Map::new();
    members.insert("realm".to_owned(), row.id.realm.clone().into());
    members.insert("key".to_owned(), row.id.key.clone().into());
    for number in 1..=ALWAYS_SHOWN {
        members.insert(format!("key_{number}"), Value::Null);
    }
    mask(&row.names.credentials, &mut members);
    if let Some(fixed) = &row.names.fixed {
        members.insert("token".to_owned(), MASK.into());
        members.insert("expires_at".to_owned(), fixed.expires_at.into());
    }
    if let Some(next) = &row.names.next {
        let mut masked = Map::new();
        mask(next, &mut masked);
        members.insert("next".to_owned(), masked.into());
    }
    members.insert("version".to_owned(), row.version.into());
    members.insert("created_at".to_owned(), row.created_at.rfc3339().into());
    members.insert("updated_at".to_owned(), row.updated_at.rfc3339().into());
    if !warnings.is_empty() {
        members.insert("warnings".to_owned(), warnings.into());
    }
    Value::Object(members)
}

fn mask(credentials: &[String], members: &mut Map<String, Value>) {
    let mut named = Map::new();
    for name in credentials {
        let place = if numbered(name).is_some() {
            &mut *members
        } else {
            &mut named
        };
        place.insert(name.clone(), MASK.into());
    }
    members.insert("credentials".to_owned(), named.into());
}

/// List secrets, newest `updated_at` first.
#[utoipa::path(get, path = "/api/secret", tag = "secret",
    params(Paging,
           ("realm" = Option<String>, Query, description = "only of this realm")),
    responses((status = 200, body = ListBody<SecretBody>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    query: Query,
) -> Result<Json<ListBody<Value>>, Problem> {
    let realm = query.text("realm").filter(|realm| !realm.is_empty());
    let listed = api
        .secrets
        .list(realm, caller.scopes(), query.page()?)
        .await?;
    let list = listed
        .items
        .iter()
        .map(|row| body(row, Vec::new()))
        .collect();
    Ok(Json(ListBody::of(list, listed.total)))
}

/// Create or update a secret. A changed credential retires the token.
#[utoipa::path(post, path = "/api/secret", tag = "secret", request_body = SecretEditBody,
    responses((status = 200, description = "the stored secret", body = SecretBody), (status = 400, body = ProblemBody),
              (status = 409, description = "others are writing it", body = ProblemBody)))]
pub(super) async fn save(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    posted: JsonBody,
) -> Result<Json<Value>, Problem> {
    let edit = SecretEdit::read(&posted.required()?)?;
    let id = SecretRef {
        realm: &edit.realm,
        key: &edit.key,
    };
    if !caller.reaches(id) {
        let why = "this secret is outside the scopes of this API key";
        return Err(Problem::beyond_scope(why));
    }
    let saved = api.secrets.save(&edit).await;
    let Secret { row, warnings } =
        saved.map_err(|error| Problem::from(error).unknown_is_bad_request())?;
    Ok(Json(body(&SecretOutline::from(&row), warnings)))
}

/// Show one secret. `realm` may be left out where only one realm has the key.
#[utoipa::path(get, path = "/api/secret/{key}", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 200, body = SecretBody), (status = 400, description = "several realms have the key", body = ProblemBody),
              (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    Name(key): Name,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let row = api
        .secrets
        .show(&key, query.text("realm"), caller.scopes())
        .await?;
    Ok(Json(body(&SecretOutline::from(&row), Vec::new())))
}

/// Delete a secret and its token.
#[utoipa::path(delete, path = "/api/secret/{key}", tag = "secret",
    params(("key" = String, Path), ("realm" = Option<String>, Query)),
    responses((status = 204), (status = 400, description = "several realms have the key", body = ProblemBody),
              (status = 404, body = ProblemBody), (status = 409, description = "others are writing it", body = ProblemBody)))]
pub(super) async fn delete(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(key): Name,
    query: Query,
) -> Result<StatusCode, Problem> {
    api.secrets
        .delete(&key, query.text("realm"), caller.scopes())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
