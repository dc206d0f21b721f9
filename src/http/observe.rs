//! One span, one line and one count for each request that the hit path does not answer.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::error::Code;
use super::tokens::Asked;
use crate::telemetry::Metrics;

/// Taken from the request if it is sane, else made; on every answer and log line.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client that is taken over.
const LONGEST_ID: usize = 128;

/// The route that a request took, as `/api/realm/{id}`.
#[derive(Clone)]
struct Route(MatchedPath);

/// Routes a request.
pub(super) async fn routed(
    metrics: &Metrics,
    router: &Router,
    request: Request,
    began: Instant,
) -> Response {
    let id = request_id(&request);
    let method = request.method().clone();
    // The query is left out: it is the caller's, and may hold anything.
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
    let answered: Result<Response, Infallible> = router
        .clone()
        .oneshot(request)
        .instrument(span.clone())
        .await;
    let Ok(mut response) = answered;
    let told = response.extensions();
    let route = told.get::<Route>().map_or("none", |route| route.0.as_str());
    let code = told.get::<Code>().map(|code| code.0);
    let route_is_page = !route.starts_with("/api");
    let (took, status) = (began.elapsed(), response.status().as_u16());
    metrics.count_request(route, method.as_str(), status, took);
    if let Some(asked) = told.get::<Asked>() {
        asked.count(metrics, began);
    }
    span.in_scope(|| tracing::info!(%method, route, status, code, ?took, "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    add_security_headers(response.headers_mut(), route_is_page);
    response
}

/// What browsers are told of pages: nothing of another origin, no frames.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// And of everything else.
const DATA_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

fn add_security_headers(headers: &mut HeaderMap, is_page: bool) {
    let policy = if is_page { PAGE_POLICY } else { DATA_POLICY };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ] {
        headers.insert(name, value);
    }
}

/// Around all routes: tells with the answer which route it was.
pub(super) async fn tell_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route));
    }
    response
}

/// The answer of a hit: it has an id only if the client gave one.
pub(super) fn with_given_id(request: &HeaderMap, mut response: Response) -> Response {
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if let Some(id) = given_id(request) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    response
}

/// The client's own id, if it is sane.
fn given_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(REQUEST_ID).filter(|id| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        !id.is_empty() && id.len() <= LONGEST_ID && id.as_bytes().iter().all(is_plain)
    })
}

fn request_id(request: &Request) -> HeaderValue {
    given_id(request.headers()).cloned().unwrap_or_else(|| {
        let made = uuid::Uuid::now_v7().simple().to_string();
        HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static("none"))
    })
}
