//! What the description says of the whole.

mod bodies;

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey as SchemeKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement,
    SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, Schema};
use utoipa::{OpenApi, ToSchema as _};

use super::error::ProblemBody;

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
        (name = "key", description = "API keys: the credentials of callers"),
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

/// The names of the two ways to show an API key.
const SCHEMES: [&str; 2] = ["bearer", "x_api_key"];

/// What every route answers, also those that are open to everybody.
fn declare_gate(operation: &mut Operation) {
    operation
        .responses
        .responses
        .entry("400".to_owned())
        .or_insert_with(problem);
    declare(
        operation,
        "403",
        "`forbidden`: without an API key, a web page of another origin, or not addressed to this machine",
    );
    declare(
        operation,
        "429",
        "`rate_limited`: the API key made too many requests",
    );
}

/// What every route answers that wants to know its caller.
fn declare_caller(operation: &mut Operation) {
    declare(
        operation,
        "401",
        "`unauthorized`: no API key, or one that does not work",
    );
    declare(
        operation,
        "403",
        "`role_not_allowed`: the role of the API key does not allow this; `beyond_scope`: its scopes do not",
    );
    declare(
        operation,
        "429",
        "`too_many_failures`: too many API keys that do not work came from this address",
    );
    let none = Vec::<String>::new();
    let required = SCHEMES.map(|scheme| SecurityRequirement::new(scheme, none.clone()));
    operation.security = Some(required.into());
}

fn name_schemes(description: &mut utoipa::openapi::OpenApi) {
    let [bearer, header] = SCHEMES;
    let components = description.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("tsk_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}")
        .build();
    components.add_security_scheme(bearer, SecurityScheme::Http(scheme));
    let value = ApiKeyValue::new("X-Api-Key");
    components.add_security_scheme(header, SecurityScheme::ApiKey(SchemeKey::Header(value)));
}

/// Where a body may be left out.
const MAY_HAVE_NO_BODY: [&str; 2] = ["/api/keys/{id}/rotate", "/api/realm/{id}/test"];

/// The media type of a problem.
const PROBLEM: &str = "application/problem+json";

/// Adds the answers that do not come from a handler: of the gate, of the bound on bodies, of the
/// store.
pub(super) fn complete(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut description.paths.paths {
        for operation in operations(item) {
            name_media_type(operation);
            for parameter in operation.parameters.iter_mut().flatten() {
                describe_parameter(path, parameter);
            }
            let reads_body = operation.request_body.is_some() || path == "/api/token";
            let needs_store = path.starts_with("/api/") && !path.starts_with("/api/catalog");
            declare_gate(operation);
            if path.starts_with("/api/") {
                declare_caller(operation);
            }
            if reads_body {
                declare(
                    operation,
                    "413",
                    "`body_too_large`: the body is larger than 1 MiB",
                );
                declare(
                    operation,
                    "408",
                    "`body_timeout`: the body did not come in time",
                );
            }
            if needs_store {
                declare(
                    operation,
                    "503",
                    "`store_unavailable`: the database is not available; try later",
                );
            }
            if MAY_HAVE_NO_BODY.contains(&path.as_str())
                && let Some(RefOr::T(body)) = &mut operation.request_body
            {
                body.required = Some(Required::False);
            }
            describe(operation);
            name(operation);
        }
    }
    name_schemes(&mut description);
    bodies::complete(description.components.get_or_insert_default());
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// Names an operation by its tag and its handler, `realm_list`: handlers alone have one name in
/// several modules.
fn name(operation: &mut Operation) {
    let tag = operation.tags.as_deref().and_then(<[String]>::first);
    if let Some((tag, handler)) = tag.zip(operation.operation_id.as_mut()) {
        *handler = format!("{tag}_{handler}");
    }
}

/// Says of each answer what its handler leaves unsaid: `OpenAPI` wants a word on every one.
fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            usual_meaning(status).clone_into(&mut response.description);
        }
    }
}

fn usual_meaning(status: &str) -> &'static str {
    match status {
        "200" => "done",
        "201" => "made",
        "204" => "done: there is nothing more to say",
        "400" => {
            "`invalid_request`: something in the request is wrong; `errors` has each place, and what was expected"
        }
        "404" => {
            "`unknown_realm`, `unknown_secret`, `unknown_preset` or `unknown_api_key`: there is none of this name"
        }
        "409" => "`realm_in_use`: secrets use the realm; or `conflict`: others write the same row",
        "429" => "`upstream_quota`: a quota is used up, and nothing good is held",
        "502" => {
            "the provider refused, or its answer is not what the realm says; `provider_code` and `provider_message` have its words"
        }
        "503" => "not now: try later, `retry_after` tells when",
        "504" => "`upstream_timeout`: the provider did not answer in time",
        _ => "see `code`",
    }
}

/// Handlers declare a problem as JSON.
fn name_media_type(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        let is_problem = |content: &RefOr<Content>| match content {
            RefOr::T(content) => content.schema == Some(problem_schema()),
            RefOr::Ref(_) => false,
        };
        if response
            .content
            .get("application/json")
            .is_some_and(is_problem)
            && let Some(content) = response.content.swap_remove("application/json")
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
    }
}

fn problem_schema() -> RefOr<utoipa::openapi::Schema> {
    RefOr::Ref(Ref::from_schema_name(ProblemBody::name()))
}

/// Declares an answer; one that the handler declares stays, and is told what it may be too.
fn declare(operation: &mut Operation, status: &str, words: &str) {
    let declared = operation.responses.responses.entry(status.to_owned());
    let response = declared.or_insert_with(problem);
    if let RefOr::T(response) = response {
        let separator = if response.description.is_empty() {
            ""
        } else {
            "; or "
        };
        response.description = format!("{}{separator}{words}", response.description);
    }
}

/// An answer that is a problem, and that nobody has said a word of.
fn problem() -> RefOr<Response> {
    let mut response = Response::new("");
    let content = Content::new(Some(problem_schema()));
    response
        .content
        .insert(PROBLEM.to_owned(), RefOr::T(content));
    RefOr::T(response)
}

/// A query cannot say null. Numbers and flags without a value count as not given, but for
/// `min_ttl`.
fn describe_parameter(path: &str, parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else {
        return;
    };
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
        return;
    };
    if let SchemaType::Array(kinds) = &mut schema.schema_type {
        kinds.retain(|kind| *kind != Type::Null);
        if let [kind] = kinds.as_slice() {
            schema.schema_type = SchemaType::Type(kind.clone());
        }
    }
    schema.example = example_of(path, &parameter.name).map(Into::into);
    let is_text = schema.schema_type == SchemaType::Type(Type::String);
    if parameter.parameter_in == ParameterIn::Query && !is_text && parameter.name != "min_ttl" {
        parameter.extensions = Some(Extensions::from_iter([("allowEmptyValue", true)]));
    }
}

/// The same realm and secret as in the examples of bodies.
fn example_of(path: &str, parameter: &str) -> Option<&'static str> {
    match parameter {
        "realm" => Some("wxgzh"),
        "key" => Some("my-app"),
        "name" => Some("component_verify_ticket"),
        "id" if path.starts_with("/api/realm") => Some("wxgzh"),
        "id" if path.starts_with("/api/catalog") => Some("wechat-official-account"),
        _ => None,
    }
}
