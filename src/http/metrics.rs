//! `/metrics`, on a listener of its own.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::header;

use crate::telemetry::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes of the metrics listener.
pub fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let text = move || {
        let metrics = Arc::clone(&metrics);
        async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text()) }
    };
    Router::new()
        .route("/metrics", get(text))
        .fallback(super::error::no_such_path)
}
