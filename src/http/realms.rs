//! `/api/realm`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::body::JsonBody;
use super::caller::{Allowed, Manage, Observe};
use super::error::ProblemBody;
use super::name::Name;
use super::query::{Paging, Query};
use super::{Api, Caller, Problem};
use crate::json::pointer;
use crate::realm::Definition;
use crate::secret::SecretRef;
use crate::service::{Patch, Realm, RealmEdit, ServiceError};
use crate::store::{RealmFilter, RealmRow};

/// A realm.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Realm")]
pub(super) struct RealmBody {
    /// 1–50 characters.
    #[schema(example = "wxgzh")]
    id: String,
    /// `config`, `function` or `fixed`.
    mode: &'static str,
    /// How to fetch a token, members in the author's order.
    config: Option<Value>,
    /// The URL of a function of the operator's own.
    logic_code: Option<String>,
    /// Free text.
    comment: Option<String>,
    /// Moves when what is fetched changes; tokens made with another version are retired.
    version: i64,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
    /// What the operator should know; only after saving.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What is posted to create or update a realm: an absent field keeps its value, `null` clears it.
#[derive(utoipa::ToSchema)]
#[schema(title = "RealmEdit")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct RealmEditBody {
    /// 1–50 characters, no control characters, no blanks at the ends.
    #[schema(example = "wxgzh", min_length = 1, max_length = 50)]
    id: String,
    /// How to fetch a token, in one of three forms; its JSON Schema is at `/schema/realm.json`,
    /// presets at `/api/catalog`.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// The URL of a function: it is POSTed the secret and answers `{"token","expires_in"}`
    /// (seconds).
    logic_code: Option<String>,
    /// Up to 5000 characters.
    #[schema(max_length = 5000)]
    comment: Option<String>,
    /// Hosts that credentials may go to from now on; see error `hosts_changed`.
    confirm_hosts: Option<Vec<String>>,
}

/// A page of a list.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "List")]
pub(super) struct ListBody<T> {
    data: ListData<T>,
    /// Always `ok`.
    success: &'static str,
}

/// The items of a page.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "ListData")]
struct ListData<T> {
    list: Vec<T>,
    /// Of all pages.
    total: u64,
}

impl<T> ListBody<T> {
    pub(super) fn of(list: Vec<T>, total: u64) -> Self {
        Self {
            data: ListData { list, total },
            success: "ok",
        }
    }
}

impl From<RealmRow> for RealmBody {
    fn from(row: RealmRow) -> Self {
        let is_given = |text: &String| !text.is_empty();
        let mode = match (
            &row.config,
            row.logic_code.as_ref().filter(|code| is_given(code)),
        ) {
            (Some(_), _) => "config",
            (None, Some(_)) => "function",
            (None, None) => "fixed",
        };
        Self {
            id: row.id,
            mode,
            config: row.config.and_then(|text| serde_json::from_str(&text).ok()),
            logic_code: row.logic_code,
            comment: row.comment,
            version: row.version,
            created_at: row.created_at.rfc3339(),
            updated_at: row.updated_at.rfc3339(),
            warnings: Vec::new(),
        }
    }
}

impl From<Realm> for RealmBody {
    fn from(realm: Realm) -> Self {
        Self {
            warnings: realm.warnings,
            ..Self::from(realm.row)
        }
    }
}

/// A realm that the caller sees; what its scopes do not touch is not there.
pub(super) fn demand_seen(caller: &Caller, id: &str) -> Result<(), Problem> {
    if caller.scopes().touch_realm(id) {
        return Ok(());
    }
    Err(ServiceError::UnknownRealm(id.to_owned()).into())
}

/// Whoever changes a realm changes what is fetched for all its secrets.
fn demand_realm(caller: &Caller, id: &str) -> Result<(), Problem> {
    if caller.scopes().cover_realm(id) {
        return Ok(());
    }
    Err(Problem::beyond_scope(
        "this API key may not change this realm: it needs a scope of all its secrets, as REALM:*",
    ))
}

/// Whoever says whose tokens a realm uses can read these tokens. A base whose key is a template may
/// be any secret of its realm, one whose realm is a template any secret at all.
pub(super) fn demand_bases(
    caller: &Caller,
    definition: &Definition,
    is_given: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let scopes = caller.scopes();
    let Some(recipe) = definition.recipe() else {
        return Ok(());
    };
    let is_beyond = |(realm, key)| match (realm, key) {
        (Some(realm), Some(key)) => !scopes.allow(SecretRef { realm, key }),
        (Some(realm), None) => !scopes.cover_realm(realm),
        (None, _) => !scopes.cover_all(),
    };
    let mut bases = recipe.named_bases();
    match bases.find(|(alias, realm, key)| !is_given(alias) && is_beyond((*realm, *key))) {
        None => Ok(()),
        Some((alias, ..)) => Err(Problem::beyond_scope(&format!(
            "{} names a secret outside the scopes of this API key: its scopes have to allow that secret, all of its realm if the key \
             is a template, and everything if the realm is one",
            pointer("/config/depends_on", alias)
        ))),
    }
}

/// List realms, newest `updated_at` first.
#[utoipa::path(get, path = "/api/realm", tag = "realm",
    params(Paging,
           ("keyword" = Option<String>, Query, description = "looked for in comment and id")),
    responses((status = 200, body = ListBody<RealmBody>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    query: Query,
) -> Result<Json<ListBody<RealmBody>>, Problem> {
    let filter = RealmFilter {
        keyword: query.text("keyword").map(str::to_owned),
        scopes: caller.scopes().clone(),
    };
    let listed = api.realms.list(&filter, query.page()?).await?;
    let list = listed.items.into_iter().map(RealmBody::from).collect();
    Ok(Json(ListBody::of(list, listed.total)))
}

/// Create or update a realm.
#[utoipa::path(post, path = "/api/realm", tag = "realm", request_body = RealmEditBody,
    responses((status = 200, description = "the stored realm", body = RealmBody), (status = 400, body = ProblemBody),
              (status = 409, description = "requests would go to other hosts: `hosts_changed`; or others are writing it",
               body = ProblemBody)))]
pub(super) async fn save(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    body: JsonBody,
) -> Result<Json<RealmBody>, Problem> {
    let edit = RealmEdit::read(&body.required()?)?;
    demand_realm(&caller, &edit.id)?;
    // One that is wrong is told when it is saved.
    if let Patch::Set(config) = &edit.config
        && let Ok(definition) = Definition::read(Some(config), None)
    {
        demand_bases(&caller, &definition, |_| false)?;
    }
    Ok(Json(api.realms.save(&edit).await?.into()))
}

/// Show one realm.
#[utoipa::path(get, path = "/api/realm/{id}", tag = "realm", params(("id" = String, Path)),
    responses((status = 200, body = RealmBody), (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    Name(id): Name,
) -> Result<Json<RealmBody>, Problem> {
    demand_seen(&caller, &id)?;
    Ok(Json(api.realms.show(&id).await?.into()))
}

/// Delete a realm. Refused while secrets use it, unless `cascade`.
#[utoipa::path(delete, path = "/api/realm/{id}", tag = "realm",
    params(("id" = String, Path), ("cascade" = Option<bool>, Query, description = "delete its secrets too")),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn delete(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    Name(id): Name,
    query: Query,
) -> Result<StatusCode, Problem> {
    demand_realm(&caller, &id)?;
    api.realms.delete(&id, query.flag("cascade")?).await?;
    Ok(StatusCode::NO_CONTENT)
}
