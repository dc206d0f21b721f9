//! `POST /api/cron/refresh`: one sweep, for places with no background time.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::caller::{Allowed, Cron};
use super::error::ProblemBody;
use super::query::Query;
use super::{Api, Problem};
use crate::service::Swept;

/// What a sweep did, as counts of tokens.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Swept")]
pub(super) struct SweptBody {
    /// Were due.
    due: u64,
    /// Fetched.
    renewed: u64,
    /// Renewed by others, or put off.
    unchanged: u64,
    /// Failed; see the log.
    failed: u64,
    /// Not finished, as the time was up; the next sweep takes them.
    left: u64,
}

impl From<Swept> for SweptBody {
    fn from(swept: Swept) -> Self {
        let Swept {
            due,
            renewed,
            unchanged,
            failed,
            left,
        } = swept;
        Self {
            due,
            renewed,
            unchanged,
            failed,
            left,
        }
    }
}

const DEFAULT_BUDGET_MS: u64 = 25_000;
const LARGEST_BUDGET_MS: u64 = 600_000;

/// Renew what is due now, within a time budget.
#[utoipa::path(post, path = "/api/cron/refresh", tag = "token",
    params(("budget_ms" = Option<u64>, Query, minimum = 100, maximum = 600_000, description = "100 to 600000, default 25000")),
    responses((status = 200, body = SweptBody), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn refresh(
    State(api): State<Api>,
    _: Allowed<Cron>,
    query: Query,
) -> Result<Json<SweptBody>, Problem> {
    let budget = match query.text("budget_ms") {
        None | Some("") => Some(DEFAULT_BUDGET_MS),
        Some(text) => text
            .parse()
            .ok()
            .filter(|ms| (100..=LARGEST_BUDGET_MS).contains(ms)),
    };
    let expected = || {
        Problem::invalid_at(
            "budget_ms",
            format!("expected milliseconds, 100 to {LARGEST_BUDGET_MS}"),
        )
    };
    let budget = Duration::from_millis(budget.ok_or_else(expected)?);
    let swept = api.refresher.sweep(budget).await?;
    // In a function nothing else does.
    api.calls.prune().await;
    Ok(Json(swept.into()))
}
