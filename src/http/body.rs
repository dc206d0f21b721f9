//! A request body that must be JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde_json::Value;

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

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    return Problem::too_large(LARGEST_BODY);
                }
                Problem::invalid_at("", "the request body could not be read to its end")
            })?;
        Self::read(&bytes)
    }
}
