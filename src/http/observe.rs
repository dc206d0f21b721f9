//! One span, one line and one count for each request that the hit path does not answer.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Api;
use super::error::Code;

/// Taken from the request if it is sane, else made; on every answer and log line.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client that is taken over.
const LONGEST_ID: usize = 128;

pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    // The query is left out: it is the caller's, and may hold anything.
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, status) = (began.elapsed(), response.status().as_u16());
    api.metrics
        .count_request(&route, method.as_str(), status, took);
    let code = response.extensions().get::<Code>().map(|code| code.0);
    span.in_scope(|| tracing::info!(%method, route, status, code, ?took, "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's own id, if it is sane.
pub(super) fn given_id(headers: &HeaderMap) -> Option<&HeaderValue> {
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
