//! Every error as problem+json (RFC 9457) with a stable `code`; the one place that chooses a
//! status.

use std::any::Any;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use problem_details::ProblemDetails;
use serde::Serialize;

use crate::api_key::{Rate, Role};
use crate::failure::{Failure, FailureKind};
use crate::json::Issue;
use crate::service::ServiceError;
use crate::store::StoreError;

/// What a problem says beside the members of RFC 9457.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
struct Extra {
    /// Stable; for programs.
    code: &'static str,
    /// What is wrong with the request, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Issue>,
    /// Where requests of the realm may go now.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_hosts: Option<Vec<String>>,
    /// Where they would go; what is new has to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_hosts: Option<Vec<String>>,
    /// The provider's own error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// The provider's own message, cut to 500 characters, secrets masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message: Option<String>,
    /// Seconds after which to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// The body of an error, for the API's description.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(title = "Problem")]
pub(super) struct ProblemBody {
    /// The status again.
    status: u16,
    /// The status in words.
    title: String,
    /// What happened and how to mend it.
    detail: String,
    #[serde(flatten)]
    extra: Extra,
}

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    extra: Box<Extra>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            extra: Box::new(Extra {
                code,
                ..Extra::default()
            }),
        }
    }

    /// A request with these issues.
    pub(super) fn invalid(errors: Vec<Issue>) -> Self {
        let places: Vec<_> = errors.iter().map(Issue::to_string).collect();
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            places.join("; "),
        );
        problem.extra.errors = errors;
        problem
    }

    /// A request with one issue.
    pub(super) fn invalid_at(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Issue::at(pointer, detail)])
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the request body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// Target and fields of the request are too long.
    pub(super) fn head_too_large(limit: usize) -> Self {
        let detail =
            format!("the request's target and header fields are larger than {limit} bytes");
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            detail,
        )
    }

    /// The body did not come in time.
    pub(super) fn body_timeout() -> Self {
        let detail = "the request body did not come within server.request_timeout_seconds";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
    }

    /// A request that must not be answered.
    pub(super) fn forbidden(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    /// No API key, or one that does not work: one answer, whatever is wrong with it.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "an API key that works is required: Authorization: Bearer tsk_\u{2026}, or X-Api-Key",
        )
    }

    /// The API keys of the store are not known yet.
    pub(super) fn keys_not_read() -> Self {
        let detail = "the API keys have not been read from the database yet: try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail)
            .retry_after(Some(Duration::from_secs(1)))
    }

    /// This address showed too many API keys that do not work.
    pub(super) fn too_many_failures(wait: Duration) -> Self {
        let detail =
            "too many API keys that do not work came from this address: wait, and check the key";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail)
            .retry_after(Some(wait))
    }

    /// An API key was used more often than its rate allows.
    pub(super) fn too_fast(rate: Option<Rate>, wait: Duration) -> Self {
        let detail = match rate {
            Some(rate) => format!("this API key may make {rate} requests: slow down"),
            None => "this API key made too many requests: slow down".to_owned(),
        };
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(Some(wait))
    }

    /// The caller is known, and its role does not allow this.
    pub(super) fn role_not_allowed(role: Role) -> Self {
        let detail = format!(
            "an API key of role {} may not do this; docs/reference/roles.md lists what each role may do",
            role.as_str()
        );
        Self::new(StatusCode::FORBIDDEN, "role_not_allowed", detail)
    }

    /// The caller may do this, but not to all that it would change.
    pub(super) fn beyond_scope(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "beyond_scope", detail)
    }

    /// There is no such preset.
    pub(super) fn no_preset(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_preset", detail)
    }

    /// Unknown names in a request's arguments are a bad request (inherited); in its path they are
    /// 404.
    pub(super) fn unknown_is_bad_request(mut self) -> Self {
        if self.status == StatusCode::NOT_FOUND {
            self.status = StatusCode::BAD_REQUEST;
        }
        self
    }

    /// Whether it says what is wrong; of a request that is refused, with its place.
    pub(super) fn has_reasons(&self) -> bool {
        let is_invalid = self.status == StatusCode::BAD_REQUEST;
        !self.detail.is_empty() && (!is_invalid || !self.extra.errors.is_empty())
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.extra.code
    }

    fn retry_after(mut self, delay: Option<Duration>) -> Self {
        self.extra.retry_after = delay.map(|delay| crate::clock::whole_seconds(delay).max(1));
        self
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        let soon = Some(Duration::from_secs(1));
        match error {
            ServiceError::Invalid(issues) => Self::invalid(issues),
            ServiceError::UnknownRealm(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_realm", detail)
            }
            ServiceError::UnknownSecret(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_secret", detail)
            }
            ServiceError::UnknownApiKey(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_api_key", detail)
            }
            ServiceError::LastAdminKey => Self::new(StatusCode::CONFLICT, "last_admin_key", detail),
            ServiceError::RealmInUse { .. } => {
                Self::new(StatusCode::CONFLICT, "realm_in_use", detail)
            }
            ServiceError::TooManyTrials(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_trials", detail)
                    .retry_after(soon)
            }
            ServiceError::HostsChanged { old, new } => {
                let mut problem = Self::new(StatusCode::CONFLICT, "hosts_changed", detail);
                problem.extra.old_hosts = Some(old);
                problem.extra.new_hosts = Some(new);
                problem
            }
            ServiceError::Fetch(failure) => Self::from(failure),
            ServiceError::Waited(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "renewal_pending", detail)
                    .retry_after(soon)
            }
            ServiceError::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", detail)
                    .retry_after(soon)
            }
            ServiceError::StoredRealm(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "config", detail)
            }
            ServiceError::Store(error) => Self::from(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let soon = Some(Duration::from_secs(1));
        match error {
            StoreError::Unavailable(_) => {
                // The driver's words are for the log.
                tracing::error!(error = detail, "the store failed");
                let detail = "the database is not available";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
                    .retry_after(soon)
            }
            // Our own words: they say where to look.
            StoreError::RefusesWrites(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
                    .retry_after(soon)
            }
            StoreError::Conflict(_) => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "others are writing the same row: try again",
            )
            .retry_after(soon),
            StoreError::Corrupt { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "corrupt_row", detail)
            }
            StoreError::NewerSchema(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "newer_schema", detail)
            }
            StoreError::DevelopmentSchema(_) | StoreError::BadUrl(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
            }
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            FailureKind::Refused
            | FailureKind::Malformed
            | FailureKind::Dependency
            | FailureKind::Reauthorise => StatusCode::BAD_GATEWAY,
            FailureKind::Config if failure.is_response => StatusCode::BAD_GATEWAY,
            FailureKind::Config | FailureKind::Busy | FailureKind::Unreachable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            FailureKind::Quota => StatusCode::TOO_MANY_REQUESTS,
            FailureKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        };
        let mut problem = Self::new(status, failure.kind.code(), failure.detail);
        problem.extra.provider_code = failure.provider.code;
        problem.extra.provider_message = failure.provider.message;
        let later = matches!(failure.kind, FailureKind::Busy | FailureKind::Unreachable);
        let delay = failure
            .retry_after
            .or_else(|| later.then_some(Duration::from_secs(1)));
        problem.retry_after(delay)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            let provider_code = self.extra.provider_code.as_deref();
            // The cause was logged where it arose, the answer is logged with its code.
            tracing::debug!(
                code = self.extra.code,
                provider_code,
                detail = self.detail,
                "answered an error"
            );
        }
        let (code, retry_after) = (self.extra.code, self.extra.retry_after);
        let asks_for_key = self.status == StatusCode::UNAUTHORIZED;
        let body = ProblemDetails::from_status_code(self.status)
            .with_detail(self.detail)
            .with_extensions(*self.extra);
        let mut response = body.into_response();
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if asks_for_key {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response.extensions_mut().insert(Code(code));
        response
    }
}

/// The code of an error answer, for the metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) &'static str);

pub(super) async fn no_such_path() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path; see /docs",
    )
}

pub(super) async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has no such method; see /docs",
    )
}

/// A panic in a handler: its text may hold anything, so it is not repeated.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "an error in the server; see its log",
    )
    .into_response()
}
