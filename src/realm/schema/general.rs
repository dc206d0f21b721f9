//! The general form.

#![expect(dead_code, reason = "the types describe; nothing is made of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::policy::Policy;
use super::requests::{Condition, Errors, Expires, Request, Response, Save};
use super::{Duration, Label, OneOrMany, Scalar};

/// The general form. `token` is required unless `oauth2` is there.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct General {
    /// A plain token endpoint of RFC 6749; makes the request, `token`, `expires` and `errors`.
    /// Other members win over it.
    #[schemars(example = json!({"token_endpoint": "https://as.example.com/token", "scope": "read"}))]
    oauth2: Option<OAuth2>,
    /// The named values that a secret of this realm has, by name.
    #[schemars(example = json!({"appid": {"label": {"en": "App id", "zh": "应用编号"}, "secret": false}, "secret": {}, "host": {"default": "api.example.com", "secret": false}}))]
    inputs: Option<BTreeMap<String, Input>>,
    /// Named intermediate values, each worked out at most once per fetch, when it is first needed:
    /// a template, a number, a boolean, `{"json": …}` (the compact JSON text of it) or `{"jwt": …}`
    /// (a signed JWT).
    #[schemars(example = json!({"ts": "{{ now_ms }}", "base": "{{ app_key }}{{ ts }}{{ master_secret }}", "body": {"json": {"shop": "{{ shop_id }}"}}}))]
    vars: Option<BTreeMap<String, Var>>,
    /// What is sent, one after another; none where the token is worked out here. At most 10.
    #[schemars(example = json!([{"url": "https://api.example.com/token", "form": {"id": "{{ appid }}"}}]))]
    requests: Option<Vec<Request>>,
    /// How answers are read.
    #[schemars(example = json!({"format": "xml"}))]
    response: Option<Response>,
    /// The test that the last answer must pass: a condition, or a list of which all must hold.
    /// Without it: status 2xx. A token must be found in any case.
    #[schemars(example = json!({"path": "$.code", "equals": [0]}))]
    success_when: Option<OneOrMany<Condition>>,
    /// Where the token is: a location, or a list of which the first that has a text or a number
    /// counts.
    #[schemars(example = &"$.data.access_token", example = json!(["$.token", "$.access_token"]), example = &"header:X-Subject-Token")]
    token: Option<OneOrMany<String>>,
    /// How long it lives: `{"path", "unit", "default"}`, `{"lifetime"}`, `{"jwt_exp": true}` or
    /// `"never"`. Without it 300 s, with a warning.
    #[schemars(example = json!({"path": "$.expires_at", "unit": "epoch_seconds"}), example = json!({"lifetime": "24h"}), example = &"never")]
    expires: Option<Expires>,
    /// Further values that are handed out with the token: a location, or a template that may use
    /// `token`. What is not found is left out.
    #[schemars(example = json!({"instance_url": "$.instance_url", "header": "Bearer {{ token }}"}))]
    outputs: Option<BTreeMap<String, String>>,
    /// Rotating input → where its new value is in the answer. It is stored as soon as its step
    /// succeeded.
    #[schemars(example = json!({"refresh_token": {"from": "$.refresh_token", "expires": {"path": "$.refresh_expires_in", "unit": "seconds"}}}))]
    save: Option<BTreeMap<String, Save>>,
    /// Alias → another secret, whose cached token is `tokens.ALIAS`. `realm` and `key` are
    /// templates over inputs.
    #[schemars(example = json!({"base": {"realm": "wechat-official-account", "key": "{{ appid }}"}}))]
    depends_on: Option<BTreeMap<String, Base>>,
    /// Used instead of `requests` once a value of `save` is stored. When the provider says that the
    /// grant is gone, `requests` are used again.
    #[schemars(example = json!([{"url": "https://api.example.com/refresh", "json": {"refreshToken": "{{ refresh_token }}"}}]))]
    refresh_requests: Option<Vec<Request>>,
    /// Where the provider's code and message are, and what its codes mean.
    #[schemars(example = json!({"code": "$.errcode", "message": "$.errmsg", "config": [40013, 40125], "busy": [-1], "quota": [45009]}))]
    errors: Option<Errors>,
    /// Where a URL may lead that is made of values out of answers (or of anything else than literals and stored inputs): exact
    /// names, or `*.` and a name of at least two labels; HTTPS on its own port, unless `:PORT` says another, which may be plain
    /// HTTP too. A request that leads elsewhere is not sent.
    #[schemars(example = json!(["login.example.com", "*.my.example.com"]))]
    hosts: Option<Vec<String>>,
    /// How callers send the token; handed out with it.
    #[schemars(example = &"Authorization: Bearer {token}", example = &"query:access_token")]
    token_use: Option<String>,
    /// Client certificate and key, and a further CA: templates giving PEM.
    #[schemars(example = json!({"certificate": "{{ client_certificate }}", "key": "{{ client_key }}"}))]
    tls: Option<Tls>,
    /// What a re-fetch does to the token held, and what the provider allows.
    #[schemars(example = json!({"reissue": "replaces", "overlap": "5m"}))]
    policy: Option<Policy>,
}

/// A plain token endpoint of RFC 6749: a POST of a form. Its parameters come in this order:
/// `grant_type`, what the grant needs, `scope`, `audience`, `resource`, `extra`, then the client's
/// own (`client_id`, `client_secret` or `client_assertion_type` and `client_assertion`). With
/// `client_secret_basic` id and secret are form-encoded before base64, as RFC 6749 §2.3.1 says; for
/// a provider that does not decode them write the general form. The token is at `$.access_token`,
/// its life at `$.expires_in`, errors at `$.error` and `$.error_description` with the classes of
/// RFC 6749 §5.2; members beside `oauth2` win, in `errors` one by one. A `refresh_token` that the
/// answer does not replace stays as it is.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct OAuth2 {
    /// A template.
    #[schemars(example = &"https://login.microsoftonline.com/{{ tenant }}/oauth2/v2.0/token")]
    token_endpoint: String,
    /// Whether secrets may be sent over `http://` to a public address. Default false: `serve` refuses
    /// to send such a request. Only for providers that have no https.
    #[schemars(example = true)]
    insecure_http: Option<bool>,
    /// `client_credentials` (default), `refresh_token` (the input `refresh_token` rotates),
    /// `password` (inputs `username`, `password`), `jwt_bearer` (with `assertion`), or any URN.
    #[schemars(example = &"client_credentials")]
    grant_type: Option<String>,
    /// `client_secret_basic` (default), `client_secret_post`, `client_secret_jwt`,
    /// `private_key_jwt` (inputs `private_key`, `key_id`), `tls_client_auth` (inputs
    /// `client_certificate`, `client_key`) or `none`. All but `none` need the input `client_id`.
    #[schemars(example = &"client_secret_post")]
    token_endpoint_auth_method: Option<String>,
    /// A template, or a list that is joined with blanks.
    #[schemars(example = &"read write")]
    scope: Option<OneOrMany<String>>,
    /// A template, or a list: the parameter is repeated.
    #[schemars(example = &"https://api.example.com")]
    audience: Option<OneOrMany<String>>,
    /// RFC 8707: a template, or a list: the parameter is repeated.
    #[schemars(example = &"https://api.example.com")]
    resource: Option<OneOrMany<String>>,
    /// The `assertion` parameter: a template or `{"jwt": …}`.
    #[schemars(example = json!({"jwt": {"alg": "RS256", "key": "private_key", "claims": {"iss": "{{ client_id }}"}, "lifetime": "5m"}}))]
    assertion: Option<Var>,
    /// How the client's own JWT is signed: default RS256, with `client_secret_jwt` HS256.
    #[schemars(example = &"ES256")]
    assertion_alg: Option<String>,
    /// Its audience: a template; default the token endpoint.
    #[schemars(example = &"https://as.example.com")]
    assertion_audience: Option<String>,
    /// How long it lives; default 5 minutes.
    #[schemars(example = &"1m")]
    assertion_lifetime: Option<Duration>,
    /// Further parameters, by name: templates.
    #[schemars(example = json!({"account_id": "{{ account_id }}"}))]
    extra: Option<BTreeMap<String, Scalar>>,
}

/// A value that a secret has. All its members are optional.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Input {
    /// What people call it: a text, or one for each language.
    #[schemars(example = json!({"en": "App secret", "zh": "应用密钥"}))]
    label: Option<Label>,
    /// Whether nothing can be fetched without it. Default true; false where there is a `default`.
    #[schemars(example = false)]
    required: Option<bool>,
    /// Taken where the secret has none.
    #[schemars(example = &"https://api.example.com")]
    default: Option<String>,
    /// Whether it is masked wherever it might be shown. Default true; of an input that `oauth2` brings, what that one has.
    #[schemars(example = false)]
    secret: Option<bool>,
    /// `stored` (default): the operator stores it. `pushed`: another process writes it (`PUT
    /// /api/secret/{key}/inputs/{name}`). `rotating`: the provider replaces it with each use; the
    /// operator stores the first. `file`: the operator stores the name of a file in the realm's
    /// folder below `inputs.file_root`, which is read anew for each fetch.
    #[schemars(example = &"pushed")]
    from: Option<String>,
}

/// A template, or JSON or a JWT that is made of templates.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Var {
    /// A template, a number or a boolean.
    Value(Scalar),
    /// Its compact JSON text, members in the author's order.
    Json {
        /// Any JSON; strings in it are templates.
        json: Json,
    },
    /// A signed JWT in compact form.
    Jwt {
        /// How it is made.
        jwt: Jwt,
    },
}

/// A signed JWT (RFC 7519).
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Jwt {
    /// HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or
    /// `EdDSA`.
    #[schemars(example = &"RS256")]
    alg: String,
    /// A template, or the name of an input or var: PEM of a private key (PKCS #8, PKCS #1 or SEC
    /// 1), for HS… text or bytes.
    #[schemars(example = &"{{ private_key }}")]
    key: String,
    /// Members of the header beside `alg`, which stands first; `typ` is there only if it is
    /// written.
    #[schemars(example = json!({"typ": "JWT", "kid": "{{ key_id }}"}))]
    header: Option<BTreeMap<String, Json>>,
    /// The claims, typed as in JSON; strings are templates.
    #[schemars(example = json!({"iss": "{{ client_id }}", "jti": "{{ uuid }}"}))]
    claims: Option<BTreeMap<String, Json>>,
    /// Adds `iat` (now) and `exp` (now + lifetime) where the author gave none. Without it nothing
    /// is added.
    #[schemars(example = &"5m")]
    lifetime: Option<Duration>,
}

/// Another secret.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Base {
    /// A template over inputs that do not rotate.
    #[schemars(example = &"wechat-official-account")]
    realm: String,
    /// A template over inputs that do not rotate.
    #[schemars(example = &"{{ appid }}")]
    key: String,
}

/// What connections are made with: templates giving PEM.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Tls {
    /// The client's certificate; with `key`.
    #[schemars(example = &"{{ client_certificate }}")]
    certificate: Option<String>,
    /// Its private key.
    #[schemars(example = &"{{ client_key }}")]
    key: Option<String>,
    /// A CA that is trusted beside the public ones.
    #[schemars(example = &"{{ ca }}")]
    ca: Option<String>,
}
