//! How an `OAuth2` server refuses.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refused request for a token, or use of one.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request is not one for a token; why.
    InvalidRequest(&'static str),
    /// The client is unknown, or its secret is wrong or missing.
    InvalidClient,
    /// Not `client_credentials`.
    UnsupportedGrantType,
    /// The token in use is unknown or expired.
    InvalidToken,
    /// No token in use; RFC 6750 §3.1 wants no error named then.
    NoToken,
}

impl Refusal {
    fn error(&self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest(why) => ("invalid_request", why),
            Self::InvalidClient => ("invalid_client", "Client authentication failed"),
            Self::UnsupportedGrantType => (
                "unsupported_grant_type",
                "Only client_credentials is supported",
            ),
            Self::InvalidToken => ("invalid_token", "The access token is unknown or expired"),
            Self::NoToken => ("unauthorized", "A bearer token is needed"),
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest(_) | Self::UnsupportedGrantType => None,
            Self::InvalidClient => Some("Basic realm=\"demo\""),
            Self::InvalidToken => Some("Bearer realm=\"demo\", error=\"invalid_token\""),
            Self::NoToken => Some("Bearer realm=\"demo\""),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (error, description) = self.error();
        let body = Json(json!({"error": error, "error_description": description}));
        match self.challenge() {
            Some(scheme) => {
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, scheme)], body).into_response()
            }
            None => (StatusCode::BAD_REQUEST, body).into_response(),
        }
    }
}
