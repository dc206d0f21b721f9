//! A realm id or key in a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::Problem;

/// The one parameter of a path; text that is not UTF-8 is a bad request.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let expected = |_| Problem::invalid_at("path", "expected percent-encoded UTF-8");
        path.map(|Path(name)| Self(name)).map_err(expected)
    }
}
