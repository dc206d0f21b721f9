//! The HTTP API: extract, call one service method, map.
//!
//! Every request comes by the `door`: gate, then the hit path, else the router.

mod body;
mod caller;
mod catalog;
mod cron;
mod door;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod guard;
mod health;
mod hit;
mod inputs;
mod keys;
mod log;
mod metrics;
mod name;
mod observe;
mod openapi;
mod peer;
mod query;
mod realms;
mod report;
mod secrets;
pub mod server;
mod status;
mod tls;
mod tokens;
mod trials;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::clock::Clock;
use crate::service::{ApiKeys, Calls, Readiness, Realms, Refresher, Secrets, Tokens};
use crate::telemetry::Metrics;

pub use caller::Caller;
pub use door::Door;
pub use error::Problem;
pub use gate::{Gate, Keyless};
pub use metrics::metrics_router;
pub use peer::Peer;
pub use tls::{Tls, TlsFiles};

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Tokens.
    pub tokens: Tokens,
    /// Realms.
    pub realms: Realms,
    /// Secrets.
    pub secrets: Secrets,
    /// Renews ahead of expiry.
    pub refresher: Refresher,
    /// API keys.
    pub api_keys: ApiKeys,
    /// The log of calls.
    pub calls: Calls,
    /// Whether the process can serve.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The largest request body, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// All routes of the API, with its description and the pages that show it; behind a [`Door`].
fn router(api: Api) -> Router {
    let (router, description) = routes_and_description();
    router
        // A realm may be called `test` too.
        .route(
            "/api/realm/test",
            get(trials::show_test).delete(trials::delete_test),
        )
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn(gate::enforce))
        .layer(middleware::from_fn(observe::tell_route))
        .with_state(api)
}

/// The API's description, OpenAPI 3.1.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    routes_and_description().1
}

fn routes_and_description() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let (router, description) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(tokens::show))
        .routes(routes!(report::report))
        .routes(routes!(cron::refresh))
        .routes(routes!(realms::list, realms::save))
        .routes(routes!(realms::show, realms::delete))
        .routes(routes!(secrets::list, secrets::save))
        .routes(routes!(secrets::show, secrets::delete))
        .routes(routes!(inputs::push))
        .routes(routes!(trials::unsaved))
        .routes(routes!(trials::saved))
        .routes(routes!(catalog::list))
        .routes(routes!(catalog::show))
        .routes(routes!(catalog::schema))
        .routes(routes!(log::list))
        .routes(routes!(status::status))
        .routes(routes!(status::retry))
        .routes(routes!(status::renew))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::edit, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts();
    (router, openapi::complete(description))
}
