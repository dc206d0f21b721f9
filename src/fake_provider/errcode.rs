//! How `WeChat` and `WeCom` refuse: HTTP 200 and a number in the body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal. The real ones append a request number to the text.
#[derive(Debug, Serialize)]
pub(super) struct Errcode {
    errcode: i32,
    errmsg: &'static str,
}

impl Errcode {
    pub(super) const TOKEN_MISSING: Self = Self::new(41001, "access_token missing");
    pub(super) const TOKEN_EXPIRED: Self = Self::new(42001, "access_token expired");

    pub(super) const fn new(errcode: i32, errmsg: &'static str) -> Self {
        Self { errcode, errmsg }
    }
}

impl IntoResponse for Errcode {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
