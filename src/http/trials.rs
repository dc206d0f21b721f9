//! `POST /api/realm/test`, `POST /api/realm/{id}/test`: a definition is run once and tells what
//! happened.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};

use super::body::JsonBody;
use super::caller::{Allowed, Manage, Observe};
use super::error::ProblemBody;
use super::name::Name;
use super::realms::{demand_bases, demand_seen};
use super::{Api, Caller, Problem};
use crate::api_key::Role;
use crate::json::{Issues, Object};
use crate::realm::{Definition, RehearsalError};
use crate::secret::{Credentials, SecretId};
use crate::service::read_confirmed;
use crate::service::{ServiceError, Shows, Trial, TrialInputs, TrialReport};
use crate::token::TokenText;

/// What is tried, and with which values.
#[derive(utoipa::ToSchema)]
#[schema(title = "Trial")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct TrialBody {
    /// An unsaved definition.
    config: Option<Map<String, Value>>,
    /// The URL of a function, instead.
    logic_code: Option<String>,
    /// Values to try with, by name.
    inputs: Option<BTreeMap<String, String>>,
    /// The grant: values of rotating inputs, which the provider replaces with each use.
    grant: Option<BTreeMap<String, String>>,
    /// Tokens of `depends_on` by alias; those that are not given are taken from the secrets that it
    /// names.
    tokens: Option<BTreeMap<String, String>>,
    /// Take the values of this stored secret instead.
    key: Option<String>,
    /// Its realm.
    realm: Option<String>,
    /// Send what a forced refresh sends.
    forced: Option<bool>,
    /// Hosts that what is stored may go to in this trial; only of `/api/realm/test`.
    confirm_hosts: Option<Vec<String>>,
}

/// With which values a saved definition is tried.
#[derive(utoipa::ToSchema)]
#[schema(title = "SavedTrial")]
#[expect(
    dead_code,
    reason = "describes the body for OpenAPI; it is read member by member"
)]
pub(super) struct SavedTrialBody {
    /// Values to try with, by name.
    inputs: Option<BTreeMap<String, String>>,
    /// The grant: values of rotating inputs, which the provider replaces with each use.
    grant: Option<BTreeMap<String, String>>,
    /// Tokens of `depends_on` by alias; those that are not given are taken from the secrets that it
    /// names.
    tokens: Option<BTreeMap<String, String>>,
    /// Take the values of this stored secret of the realm instead.
    key: Option<String>,
    /// Send what a forced refresh sends.
    forced: Option<bool>,
}

/// What happened; nothing is stored, no token is handed out. Secrets are masked. Where anything stored was used (a stored secret, or
/// a token of `depends_on` that was not given), there is no value at all: URLs as written, names of headers and members, kinds, sizes.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "TrialReport")]
pub(super) struct TrialReportBody {
    /// Whether a token came out.
    success: bool,
    /// Each request with its answer and `duration_ms`.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Value>,
    /// What was looked for, where, and whether it was found.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Value>,
    /// Length, SHA-256, milliseconds to live and names of outputs of the token; only the names where anything stored was used.
    #[schema(value_type = Option<Object>)]
    token: Option<Value>,
    /// `{"class", "code", "message", "detail"}`
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
    /// What the operator should know.
    warnings: Vec<String>,
}

impl From<TrialReport> for TrialReportBody {
    fn from(report: TrialReport) -> Self {
        Self {
            success: report.token.is_some(),
            steps: report.steps,
            findings: report.findings,
            token: report.token,
            error: report.failure.as_ref().map(RehearsalError::json),
            warnings: report.warnings,
        }
    }
}

/// Run an unsaved definition once. It really asks the provider.
#[utoipa::path(post, path = "/api/realm/test", tag = "realm", request_body = TrialBody,
    responses((status = 200, description = "what happened, a failure of the provider too", body = TrialReportBody),
              (status = 400, description = "the definition is wrong", body = ProblemBody),
              (status = 409, description = "what is stored would go to other hosts: `hosts_changed`", body = ProblemBody),
              (status = 404, description = "`unknown_secret`: the secret whose values are to be taken", body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up, or four trials are under way", body = ProblemBody),
              (status = 502, description = "a token that it depends on cannot be had", body = ProblemBody),
              (status = 503, description = "a token that it depends on cannot be had now", body = ProblemBody),
              (status = 504, description = "a token that it depends on did not come in time", body = ProblemBody)))]
pub(super) async fn unsaved(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Manage>,
    body: JsonBody,
) -> Result<Json<TrialReportBody>, Problem> {
    let body = body.required()?;
    let definition = Definition::read(
        body.get("config"),
        body.get("logic_code").and_then(Value::as_str),
    );
    let definition = definition.map_err(Problem::invalid)?;
    let ask = Ask::read(&body, None)?;
    demand_bases(&caller, &definition, |alias| ask.tokens.contains_key(alias))?;
    run(&api, &caller, ask, definition, false).await
}

/// Run a saved definition once, with given values or those of a stored secret. It really asks the
/// provider.
#[utoipa::path(post, path = "/api/realm/{id}/test", tag = "realm", request_body = SavedTrialBody, params(("id" = String, Path)),
    responses((status = 200, description = "what happened, a failure of the provider too", body = TrialReportBody),
              (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
              (status = 429, description = "a quota of the provider is used up, or four trials are under way", body = ProblemBody),
              (status = 502, description = "a token that it depends on cannot be had", body = ProblemBody),
              (status = 503, description = "a token that it depends on cannot be had now", body = ProblemBody),
              (status = 504, description = "a token that it depends on did not come in time", body = ProblemBody)))]
pub(super) async fn saved(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    Name(id): Name,
    body: JsonBody,
) -> Result<Json<TrialReportBody>, Problem> {
    let body = body.0.unwrap_or_else(|| Value::Object(Map::new()));
    demand_seen(&caller, &id)?;
    let definition = api.realms.definition(&id).await?;
    run(
        &api,
        &caller,
        Ask::read(&body, Some(&id))?,
        definition,
        true,
    )
    .await
}

/// A realm may be called `test` too.
pub(super) async fn show_test(
    state: State<Api>,
    caller: Allowed<Observe>,
) -> Result<Json<super::realms::RealmBody>, Problem> {
    super::realms::show(state, caller, Name("test".to_owned())).await
}

/// A realm may be called `test` too.
pub(super) async fn delete_test(
    state: State<Api>,
    caller: Allowed<Manage>,
    query: super::query::Query,
) -> Result<http::StatusCode, Problem> {
    super::realms::delete(state, caller, Name("test".to_owned()), query).await
}

async fn run(
    api: &Api,
    caller: &Caller,
    ask: Ask,
    definition: Definition,
    is_saved: bool,
) -> Result<Json<TrialReportBody>, Problem> {
    if let TrialInputs::Stored(id) = &ask.with
        && !caller.reaches(id.borrowed())
    {
        return Err(ServiceError::UnknownSecret(id.clone()).into());
    }
    // Who may not read tokens gets no value that a definition could make of anything.
    let shows = match caller.role() {
        Role::Admin => Shows::Values,
        Role::Operator | Role::App | Role::Push | Role::Edge | Role::Cron => Shows::Structure,
    };
    let trial = Trial {
        definition,
        with: ask.with,
        tokens: ask.tokens,
        forced: ask.forced,
        is_saved,
        confirm_hosts: ask.confirm_hosts,
    };
    let report = api.tokens.try_definition(trial, shows).await;
    Ok(Json(report.map_err(|error| caller.shown(error))?.into()))
}

/// What is to be tried.
pub(super) struct Ask {
    with: TrialInputs,
    tokens: BTreeMap<String, TokenText>,
    forced: bool,
    confirm_hosts: Vec<String>,
}

impl Ask {
    /// Reads what was posted; `realm`: the one that the path names.
    pub(super) fn read(body: &Value, realm: Option<&str>) -> Result<Self, Problem> {
        let mut issues = Issues::default();
        let Some(mut object) = Object::read(body, "", &mut issues) else {
            return Err(Problem::invalid(issues.into_vec()));
        };
        let inputs = texts(&mut object, "inputs", &mut issues);
        let grant = texts(&mut object, "grant", &mut issues).unwrap_or_default();
        let tokens = texts(&mut object, "tokens", &mut issues).unwrap_or_default();
        let key = object.text("key", &mut issues).map(str::to_owned);
        let named = object
            .text("realm", &mut issues)
            .filter(|_| realm.is_none())
            .or(realm)
            .map(str::to_owned);
        let forced = forced(&mut object, &mut issues);
        let confirm_hosts = read_confirmed(&mut object, &mut issues);
        object.member("config");
        // `Definition::read` takes texts only.
        object.text("logic_code", &mut issues);
        object.finish(&["id", "comment"], |_| false, &mut issues);
        if inputs.is_some() && key.is_some() {
            issues.add(
                "/key",
                "give inputs, or the key of a stored secret, not both",
            );
        }
        let with = match (key, named) {
            (Some(key), Some(realm)) => Some(TrialInputs::Stored(SecretId::new(realm, key))),
            (Some(_), None) => {
                issues.add(
                    "/realm",
                    "required beside key: the realm of the stored secret",
                );
                None
            }
            (None, _) => Some(TrialInputs::Given {
                inputs: inputs
                    .unwrap_or_default()
                    .into_iter()
                    .collect::<Credentials>(),
                grant: grant.into_iter().collect::<Credentials>(),
            }),
        };
        let with = issues.into_result(with).map_err(Problem::invalid)?;
        let tokens = tokens
            .into_iter()
            .map(|(alias, token)| (alias, TokenText::from(token)))
            .collect();
        Ok(Self {
            with,
            tokens,
            forced,
            confirm_hosts,
        })
    }
}

fn forced(object: &mut Object<'_>, issues: &mut Issues) -> bool {
    match object.member("forced") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(forced)) => *forced,
        Some(_) => {
            issues.add("/forced", "expected true or false");
            false
        }
    }
}

/// An object of texts; numbers and booleans are taken as written.
fn texts(
    object: &mut Object<'_>,
    name: &'static str,
    issues: &mut Issues,
) -> Option<BTreeMap<String, String>> {
    let value = object.member(name).filter(|value| !value.is_null())?;
    let inside = Object::read(value, &object.pointer_of(name), issues)?;
    let mut all = BTreeMap::new();
    for (name, value) in inside.others(|_| true) {
        match value {
            Value::String(text) => drop(all.insert(name.to_owned(), text.clone())),
            Value::Number(_) | Value::Bool(_) => {
                drop(all.insert(name.to_owned(), value.to_string()));
            }
            Value::Null => {}
            Value::Array(_) | Value::Object(_) => {
                issues.add(inside.pointer_of(name), "expected a text");
            }
        }
    }
    Some(all)
}
