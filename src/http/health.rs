//! `/healthz` and `/readyz`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use super::error::ProblemBody;
use super::query::Query;
use super::{Api, Problem};
use crate::service::StandingWarning;

/// The process's health.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Health")]
pub(super) struct HealthBody {
    /// `ok`, `starting`, `degraded` or `draining`.
    status: &'static str,
    /// Why it is not `ok`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// What should be changed in the configuration; `status` does not depend on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningBody>,
    /// The program's version.
    version: &'static str,
}

/// A setting or a file that should be changed.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "StandingWarning")]
pub(super) struct WarningBody {
    /// Stable, e.g. `database_tls_unverified`.
    code: &'static str,
    /// What is the matter and what to do.
    detail: String,
}

impl HealthBody {
    fn of(status: &'static str, reasons: Vec<String>) -> Json<Self> {
        Self::with(status, reasons, Vec::new())
    }

    fn with(
        status: &'static str,
        reasons: Vec<String>,
        warnings: Vec<StandingWarning>,
    ) -> Json<Self> {
        let warnings = warnings.into_iter();
        let body = |StandingWarning { code, detail }| WarningBody { code, detail };
        Json(Self {
            status,
            reasons,
            warnings: warnings.map(body).collect(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = HealthBody)))]
pub(super) async fn healthz() -> Json<HealthBody> {
    HealthBody::of("ok", Vec::new())
}

/// Whether the process should be sent requests.
///
/// 503 before the first contact with the database, before its migrations, and while draining. Later
/// 200 `degraded` while the database is away or refuses to write, since tokens in memory are still
/// served; `strict=1` makes that 503. `warnings` name settings and files that should be changed.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("strict" = Option<bool>, Query, description = "degraded is 503")),
    responses((status = 200, body = HealthBody), (status = 400, body = ProblemBody),
              (status = 503, body = HealthBody)))]
pub(super) async fn readyz(
    State(api): State<Api>,
    query: Query,
) -> Result<(StatusCode, Json<HealthBody>), Problem> {
    // A wrong one is told in every state, not only when it would count.
    let is_strict = query.flag("strict")?;
    let unready = StatusCode::SERVICE_UNAVAILABLE;
    if api.readiness.is_draining() {
        return Ok((unready, HealthBody::of("draining", Vec::new())));
    }
    let warnings = api.readiness.warnings();
    if let Some(reason) = api.readiness.starting() {
        return Ok((
            unready,
            HealthBody::with("starting", vec![reason], warnings),
        ));
    }
    let reasons = degraded(&api);
    if reasons.is_empty() {
        return Ok((StatusCode::OK, HealthBody::with("ok", reasons, warnings)));
    }
    let status = if is_strict { unready } else { StatusCode::OK };
    Ok((status, HealthBody::with("degraded", reasons, warnings)))
}

/// What does not work, although tokens in memory are served.
fn degraded(api: &Api) -> Vec<String> {
    let memory = api.tokens.memory();
    let away = memory
        .away_since()
        .map(|since| format!("the database has not answered since {}", since.rfc3339()));
    let refusal = memory.refusal().map(|(since, why)| {
        let since = since.rfc3339();
        format!("the database has refused to write since {since}: {why}")
    });
    away.into_iter().chain(refusal).collect()
}
