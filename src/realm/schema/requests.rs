//! Requests, and how their answers are read and judged.

#![expect(dead_code, reason = "the types describe; nothing is made of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Duration, OneOrMany, Scalar};

/// One HTTP request; at most one of `form`, `json`, `xml` and `text`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Request {
    /// GET, POST, PUT, PATCH, DELETE or HEAD. Default POST with a body, else GET.
    #[schemars(example = &"POST")]
    method: Option<String>,
    /// A template that gives an http or https URL. What it contains of values is not encoded: use
    /// `| urlencode` in a path.
    #[schemars(example = &"https://{{ host }}/v1/{{ app_id | urlencode }}/auth")]
    url: String,
    /// Added to the URL's query, percent-encoded as RFC 3986 says. A list repeats the name, here
    /// and in `headers` and `form`.
    #[schemars(example = json!({"appid": "{{ appid }}", "scope": ["a", "b"]}))]
    query: Option<BTreeMap<String, OneOrMany<Scalar>>>,
    /// In the author's order.
    #[schemars(example = json!({"Authorization": "Basic {{ (client_id ~ ':' ~ client_secret) | base64 }}"}))]
    headers: Option<BTreeMap<String, OneOrMany<Scalar>>>,
    /// Sent as application/x-www-form-urlencoded.
    #[schemars(example = json!({"grant_type": "client_credentials"}))]
    form: Option<BTreeMap<String, OneOrMany<Scalar>>>,
    /// Sent as application/json, compact, members in the author's order. A string that is one
    /// expression keeps its type.
    #[schemars(example = json!({"app_id": "{{ app_id | int }}", "force": true}))]
    json: Option<Json>,
    /// Sent as application/xml: one member, the root; `@name` is an attribute, `#text` text, a list
    /// repeats its element.
    #[schemars(example = json!({"request": {"@version": "1", "user": "{{ user }}"}}))]
    xml: Option<Json>,
    /// Sent byte for byte, as text/plain unless `headers` says otherwise.
    #[schemars(example = &"{{ payload }}")]
    text: Option<String>,
    /// Whether secrets may be sent over `http://` to a public address. Default false: `serve` refuses
    /// to send such a request. Only for providers that have no https.
    #[schemars(example = true)]
    insecure_http: Option<bool>,
    /// How its answer is read; overrides that of the whole.
    #[schemars(example = json!({"format": "text"}))]
    response: Option<Response>,
    /// The test that its answer must pass; overrides that of the whole, which is for the last
    /// answer only.
    #[schemars(example = json!({"status": 201}))]
    success_when: Option<OneOrMany<Condition>>,
}

/// How an answer is read.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Response {
    /// `json` (default; also within a script call, `callback( {…} );`), `xml`, `form` or `text`.
    /// XML becomes JSON: the root is a member, a leaf its text, attributes `@name`, text beside
    /// attributes `#text`, repeated elements an array, which one that occurs once is not; names
    /// keep their prefix: `$['soap:Envelope']['soap:Body']`. Text is one string, `$`. An error may
    /// come as a JSON object all the same: its code and message are read. Bodies are UTF-8 unless
    /// their media type (`charset=GBK`) or the XML declaration says otherwise.
    #[schemars(example = &"xml")]
    format: Option<String>,
    /// Taken off the front if it is there.
    #[schemars(example = &"&&&START&&&")]
    strip_prefix: Option<String>,
}

/// `{"path", and one of equals, not_equals, absent, present}`, or `{"status"}`. Values are compared
/// as text: `0` and `"0"` are one.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Condition {
    /// A location.
    #[schemars(example = &"$.errcode")]
    path: Option<String>,
    /// What must stand there: a value, or a list of which it must be one.
    #[schemars(example = json!([0, "ok"]))]
    equals: Option<OneOrMany<Scalar>>,
    /// With `equals`: whether nothing there will do too. Default false.
    #[schemars(example = true)]
    missing_ok: Option<bool>,
    /// What must not stand there.
    #[schemars(example = &"FAILURE")]
    not_equals: Option<OneOrMany<Scalar>>,
    /// Whether nothing (or `null`) must stand there.
    #[schemars(example = true)]
    absent: Option<bool>,
    /// Whether something must stand there.
    #[schemars(example = true)]
    present: Option<bool>,
    /// The HTTP status, or a list; then other than 2xx may be success.
    #[schemars(example = json!([200, 201]))]
    status: Option<OneOrMany<u16>>,
}

/// How long something lives.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Expires {
    /// `"never"` or `"jwt_exp"`.
    Word(String),
    /// One of `path`, `lifetime`, `jwt_exp` and `never`.
    Rule(ExpiresRule),
}

/// One of `path`, `lifetime`, `jwt_exp` and `never`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct ExpiresRule {
    /// A location, or a list of which the first that is told counts. Numbers may be given as text.
    #[schemars(example = &"$.expires_in")]
    path: Option<OneOrMany<String>>,
    /// `seconds` (default), `milliseconds`, `minutes`, `hours`, `days`: from the request on.
    /// `duration_dhm`: `177:05:38` is days, hours, minutes. `epoch_seconds`, `epoch_milliseconds`,
    /// `rfc3339` (a blank for the `T` and `+0800` will do), `http_date` (`Thu, 09 Oct 2025 08:53:20
    /// GMT`), `date` (`2025-10-09`, its beginning): an instant. What is written otherwise is worked
    /// out in a var: `var:NAME` is a location.
    #[schemars(example = &"epoch_milliseconds")]
    unit: Option<String>,
    /// With `rfc3339` and `date`: the IANA name of the zone of a time that has no offset. Without
    /// it UTC.
    #[schemars(example = &"Asia/Shanghai")]
    zone: Option<String>,
    /// With `path` or `jwt_exp`: where nothing is told. Without it 300 s, with a warning.
    #[schemars(example = &"1h")]
    default: Option<Duration>,
    /// The provider tells nothing: so long from the request on.
    #[schemars(example = &"24h")]
    lifetime: Option<Duration>,
    /// The token is a JWT that says it itself (`exp`, in seconds or milliseconds).
    #[schemars(example = true)]
    jwt_exp: Option<bool>,
    /// It works until it is rejected.
    #[schemars(example = true)]
    never: Option<bool>,
}

/// Where the new value of a rotating input is: a location, or with its expiry.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Save {
    /// A location. Where nothing is found the old value stays.
    Location(String),
    /// With the life of the grant.
    WithExpiry(SaveRule),
}

/// A new value and how long it lives.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct SaveRule {
    /// A location.
    #[schemars(example = &"$.refresh_token")]
    from: String,
    /// When the grant itself ends: it is used before that, asked for or not.
    #[schemars(example = json!({"lifetime": "30d"}))]
    expires: Option<Expires>,
}

/// What the provider's errors mean. In a code `*` stands for any text: `AuthFailure*`, `*locked*`;
/// one that is written out wins over those. Where only the words tell, let `code` be where they
/// are. Without a class the HTTP status decides: 401 and 403 config, 429 and 5xx busy.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Errors {
    /// A location, or a list of which the first that is there counts. Without it the usual places
    /// are looked at.
    #[schemars(example = &"$.errcode")]
    code: Option<OneOrMany<String>>,
    /// The same for the message.
    #[schemars(example = &"$.errmsg")]
    message: Option<OneOrMany<String>>,
    /// An operator must act, here or at the provider: tried again after `policy.config_retry`.
    #[schemars(example = json!([40013, "invalid_client", "AuthFailure*"]))]
    config: Option<OneOrMany<Scalar>>,
    /// Later may help: tried again soon.
    #[schemars(example = json!([-1]))]
    busy: Option<OneOrMany<Scalar>>,
    /// A quota is used up.
    #[schemars(example = json!([45009]))]
    quota: Option<OneOrMany<Scalar>>,
    /// The token of `depends_on` died: it is renewed once, then this one is tried again.
    #[schemars(example = json!([40001, 42001]))]
    dependency: Option<OneOrMany<Scalar>>,
    /// The grant is gone: somebody must authorise again. Where `save` is there and this is not:
    /// `invalid_grant`.
    #[schemars(example = json!(["invalid_grant"]))]
    reauthorise: Option<OneOrMany<Scalar>>,
}
