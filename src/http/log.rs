//! `GET /api/log`

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::caller::{Allowed, Observe};
use super::error::ProblemBody;
use super::query::{Paging, Query};
use super::realms::ListBody;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::store::{CallFilter, CallRow};

/// One call of a provider.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Call")]
pub(super) struct CallBody {
    id: String,
    /// When it began, epoch milliseconds.
    at: i64,
    realm: String,
    key: String,
    /// Why: `miss`, `due`, `flush`, `report`, `min_ttl`, `retry`, `next` or `trial`.
    cause: String,
    /// `ok`, `repeated` (the held token came back), a problem's code, `withheld` (a quota was used
    /// up: no call was made), `pending` (under way, or its process died), `asking` (the quotas are
    /// being looked at) or `overtaken` (another process used the grant meanwhile).
    outcome: String,
    /// The provider's own code.
    provider_code: Option<String>,
    /// The provider's own message, secrets masked.
    provider_message: Option<String>,
    /// How long it took.
    duration_ms: Option<i64>,
    /// Which process asked.
    instance: String,
}

impl From<CallRow> for CallBody {
    fn from(row: CallRow) -> Self {
        Self {
            id: row.id,
            at: row.at.epoch_ms(),
            realm: row.secret.realm,
            key: row.secret.key,
            cause: row.cause,
            outcome: row.outcome,
            provider_code: row.provider_code,
            provider_message: row.provider_message,
            duration_ms: row.duration_ms,
            instance: row.instance,
        }
    }
}

/// List the calls of providers, latest first.
#[utoipa::path(get, path = "/api/log", tag = "log",
    params(("realm" = Option<String>, Query), ("key" = Option<String>, Query),
           ("outcome" = Option<String>, Query, description = "ok, repeated, a problem's code, withheld, pending, asking or overtaken"),
           ("from" = Option<i64>, Query, description = "begun at or after, epoch milliseconds"),
           ("to" = Option<i64>, Query, description = "begun before, epoch milliseconds"),
           Paging),
    responses((status = 200, body = ListBody<CallBody>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, _): Allowed<Observe>,
    query: Query,
) -> Result<Json<ListBody<CallBody>>, Problem> {
    let text = |name: &str| {
        query
            .text(name)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let filter = CallFilter {
        realm: text("realm"),
        key: text("key"),
        outcome: text("outcome"),
        from: instant(&query, "from")?,
        to: instant(&query, "to")?,
        scopes: caller.scopes().clone(),
    };
    let listed = api.calls.list(&filter, query.page()?).await?;
    Ok(Json(ListBody::of(
        listed.items.into_iter().map(CallBody::from).collect(),
        listed.total,
    )))
}

/// A parameter that is a time.
pub(super) fn instant(query: &Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.text(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = text.parse().map(Timestamp::from_epoch_ms);
    parsed
        .map(Some)
        .map_err(|_| Problem::invalid_at(name, "expected milliseconds since 1970-01-01 UTC"))
}
