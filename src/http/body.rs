//! A request body that must be JSON.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use super::server::BodyTimeout;
use super::{LARGEST_BODY, Problem};
use crate::json;

/// The body as JSON, whatever its Content-Type; `None` when it is empty.
pub(super) struct JsonBody(pub(super) Option<Value>);

impl JsonBody {
    /// Reads a body that came whole.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(None));
        }
        let wrong = |error: serde_json::Error| {
            if error.is_data() {
                return Problem::invalid_at("", error.to_string());
            }
            let (line, column) = (error.line(), error.column());
            Problem::invalid_at(
                "",
                format!("not JSON: error at line {line}, column {column}"),
            )
        };
        json::read(bytes)
            .map(|document| Self(Some(document)))
            .map_err(wrong)
    }

    /// The document, which must be there.
    pub(super) fn required(self) -> Result<Value, Problem> {
        self.0.ok_or_else(|| {
            Problem::invalid_at(
                "",
                "expected a JSON object as the request body, found nothing",
            )
        })
    }
}

/// How much of a body that is too large is read and dropped, so that its sender gets the answer and
/// not the end of the connection.
const MOST_DROPPED: u64 = 64 << 20;

/// All of a body, if it is not too large.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let announced = request.body().size_hint().lower();
    if announced > LARGEST_BODY as u64 {
        // Who waits for a word before sending gets it.
        if !request.headers().contains_key(header::EXPECT) && announced <= MOST_DROPPED {
            drop_all(request.into_body()).await;
        }
        return Err(Problem::too_large(LARGEST_BODY));
    }
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY);
    let request = Request::from_parts(parts, Body::new(body));
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(LARGEST_BODY),
        _ if is_late(&rejection) => Problem::body_timeout(),
        _ => Problem::invalid_at("", "the request body could not be read to its end"),
    })
}

async fn drop_all(body: Body) {
    let mut body = std::pin::pin!(body);
    while let Some(Ok(_)) = body.frame().await {}
}

/// Whether the body did not come in time.
fn is_late(rejection: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(rejection);
    while let Some(error) = cause {
        if error.is::<BodyTimeout>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state).await?;
        Self::read(&bytes)
    }
}
