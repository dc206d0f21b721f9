//! What the description says of the whole.

use utoipa::OpenApi;

/// The frame into which the routes are put.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "token-server",
        description = "Hands applications the API tokens of third-party providers. \
                       Errors are problem+json (RFC 9457) with a stable `code`."
    ),
    tags(
        (name = "token", description = "What applications ask"),
        (name = "realm", description = "One kind of token at one provider, and how to fetch it"),
        (name = "secret", description = "One app's credentials in a realm"),
        (name = "catalog", description = "Providers that are described already"),
        (name = "log", description = "Every call of a provider"),
        (name = "health", description = "Whether the process lives and can serve")
    )
)]
struct Base;

/// Title, tags, version; no paths.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}
