//! The JSON Schema of a realm, for editors, and the source of the reference pages.
//!
//! These types only describe: definitions are read member by member, so that everything wrong is
//! told at once. A test holds the two together.

#![expect(dead_code, reason = "the types describe; nothing is made of them")]

mod general;
mod policy;
mod requests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value as Json, json};

use general::General;
use policy::Policy;

static TEXT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n");

/// The schema, JSON Schema 2020-12.
#[must_use]
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Realm>()
}

/// The schema as text, as it is served and committed.
#[must_use]
pub fn text() -> String {
    TEXT.clone()
}

/// One kind of token at one provider, and how to fetch it.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Realm {
    /// 1–50 characters.
    #[schemars(example = &"oppo-push")]
    id: String,
    /// How to fetch a token. Without it and without `logic_code` the operator gives the token.
    config: Option<Config>,
    /// The URL of a function of the operator's own: it is POSTed the secret and answers `{"token",
    /// "expires_in"}` (seconds).
    #[schemars(example = &"https://functions.example.com/token")]
    logic_code: Option<String>,
    /// Free text.
    comment: Option<String>,
}

/// One of three forms.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum Config {
    /// The inherited form.
    Inherited(Box<Inherited>),
    /// The general form, or `oauth2` with general members beside it.
    General(Box<General>),
}

/// The inherited form: one request, a top-level token. Stays valid as it is.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Inherited {
    /// The token endpoint, http or https.
    #[schemars(example = &"https://api.weixin.qq.com/cgi-bin/token")]
    url: String,
    /// GET or POST. The body of a POST is JSON; body arguments of a GET go into the query.
    #[schemars(example = &"GET")]
    method: String,
    /// What is sent, in the author's order.
    #[schemars(example = json!([{"name": "appid", "place": "url", "value": "$key_1"}]))]
    arguments: Option<Vec<Argument>>,
    /// Where the token is: a member's name, a dotted path or `$…`.
    #[schemars(example = &"access_token")]
    token_path: String,
    /// `json` or `text`: only the Content-Type header of a POST.
    #[schemars(example = &"json")]
    content_type: Option<String>,
    /// Where the seconds left are. Without it each token is taken to live 300 s.
    #[schemars(example = &"expires_in")]
    expires_in_path: Option<String>,
    /// Whether secrets may be sent over `http://` to a public address. Default false: `serve` refuses
    /// to send such a request. Only for providers that have no https.
    #[schemars(example = true)]
    insecure_http: Option<bool>,
    /// What a re-fetch does to the token held, and what the provider allows.
    #[schemars(example = json!({"reissue": "replaces", "overlap": "5m"}))]
    policy: Option<Policy>,
}

/// One argument of the inherited form.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Argument {
    /// Its name there.
    name: String,
    /// `url`, `header` or `body`.
    place: String,
    /// A literal, `$key_N` or `$name` of a named credential.
    value: Json,
}

/// Seconds as a number, or a text like `"250ms"`, `"5m"`, `"2h"`, `"1d"`; at most 366 days.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Duration {
    /// Seconds.
    Seconds(f64),
    /// A number and a unit.
    Text(String),
}

/// A template, a number or a boolean.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    /// A template.
    Text(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// A text, or one for each language.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Label {
    /// For all languages.
    Text(String),
    /// By language: `en`, `zh`.
    Languages(BTreeMap<String, String>),
}

/// One, or a list.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}
