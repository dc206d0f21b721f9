//! `/api/catalog`: providers that are described already. `/schema/realm.json`: the JSON Schema of a
//! realm.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;

use super::Problem;
use super::caller::{Allowed, Observe};
use super::error::ProblemBody;
use super::name::Name;
use super::query::{Paging, Query};
use super::realms::ListBody;
use crate::realm::catalog::{self, Localised, Preset};

/// A preset in the list.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "PresetLine")]
pub(super) struct PresetLine {
    #[schema(example = "wechat-official-account")]
    id: &'static str,
    title: &'static Localised,
    /// The vendor's page.
    documentation: &'static str,
    /// The names of the inputs that a secret needs.
    inputs: Vec<String>,
}

/// A preset: post its `config` as a realm's.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Preset")]
pub(super) struct PresetBody {
    #[serde(flatten)]
    line: PresetLine,
    /// Where its facts were read.
    source: &'static str,
    /// What an operator should know.
    notes: Option<&'static Localised>,
    #[schema(value_type = Object)]
    config: &'static Value,
    /// Recorded exchanges.
    #[schema(value_type = Vec<Object>)]
    examples: &'static [Value],
}

impl From<&'static Preset> for PresetLine {
    fn from(preset: &'static Preset) -> Self {
        Self {
            id: &preset.id,
            title: &preset.title,
            documentation: &preset.documentation,
            inputs: preset.inputs(),
        }
    }
}

/// List presets, by id.
#[utoipa::path(get, path = "/api/catalog", tag = "catalog",
    params(Paging,
           ("keyword" = Option<String>, Query, description = "looked for in id and titles")),
    responses((status = 200, body = ListBody<PresetLine>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    _: Allowed<Observe>,
    query: Query,
) -> Result<Json<ListBody<PresetLine>>, Problem> {
    let found = catalog::search(query.text("keyword").unwrap_or_default());
    let page = query.page()?;
    let total = found.len() as u64;
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let list = found
        .into_iter()
        .skip(skip)
        .take(take)
        .map(PresetLine::from)
        .collect();
    Ok(Json(ListBody::of(list, total)))
}

/// Show one preset.
#[utoipa::path(get, path = "/api/catalog/{id}", tag = "catalog", params(("id" = String, Path)),
    responses((status = 200, body = PresetBody), (status = 404, body = ProblemBody)))]
pub(super) async fn show(_: Allowed<Observe>, Name(id): Name) -> Result<Json<PresetBody>, Problem> {
    let preset = catalog::preset(&id).map_err(Problem::no_preset)?;
    Ok(Json(PresetBody {
        line: preset.into(),
        source: &preset.source,
        notes: preset.notes.as_ref(),
        config: &preset.config,
        examples: &preset.examples,
    }))
}

/// The JSON Schema (2020-12) of a realm, for editors.
#[utoipa::path(get, path = "/schema/realm.json", tag = "catalog",
    responses((status = 200, content_type = "application/schema+json", body = Object)))]
pub(super) async fn schema() -> Response {
    let kind = HeaderValue::from_static("application/schema+json");
    ([(header::CONTENT_TYPE, kind)], crate::realm::schema::text()).into_response()
}
