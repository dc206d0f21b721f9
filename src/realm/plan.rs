//! From a definition and a secret to the request that is sent.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};
use url::Url;

use super::definition::{Argument, ConfigForm, ContentType, Definition, FunctionForm, Method, Place, Value};
use super::{Path, Reading};
use crate::failure::{Failure, FailureKind};
use crate::secret::{Credentials, SecretId, numbered};

/// What to send and how to read what comes back.
#[derive(Debug)]
pub struct Plan {
    /// The request.
    pub request: Request,
    /// How its answer is judged.
    pub reading: Reading,
}

/// One HTTP request. Debug shows the method and host only: the rest may hold credentials.
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// With the query.
    pub url: Url,
    /// In the author's order; names are valid.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Body>,
}

/// The body of a request.
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its text, byte for byte.
    pub text: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.url.host_str().unwrap_or_default())
    }
}

impl Definition {
    /// The request for a secret; `None` for a fixed realm.
    ///
    /// `forced`: another token is wanted than the one the provider would repeat; `policy.force` overrides arguments.
    ///
    /// # Errors
    /// `Config`: a credential is missing, or does not fit where it goes. Names both ends.
    pub fn plan(
        &self,
        secret: &SecretId,
        credentials: &Credentials,
        forced: bool,
    ) -> Result<Option<Plan>, Failure> {
        match self {
            Self::Fixed => Ok(None),
            Self::Function(form) => Ok(Some(function_plan(form, secret, credentials))),
            Self::Config(form) => {
                self.demand(secret, credentials)?;
                config_plan(form, secret, credentials, forced).map(Some)
            }
        }
    }

    /// Fails with the words of the saved warnings when a `$key_N` is missing.
    fn demand(&self, secret: &SecretId, credentials: &Credentials) -> Result<(), Failure> {
        let missing = self.missing(credentials);
        let words: Vec<_> = missing
            .iter()
            .filter(|reference| numbered(&reference.name).is_some())
            .map(|reference| reference.missing_in(secret))
            .collect();
        if words.is_empty() { Ok(()) } else { Err(Failure::new(FailureKind::Config, words.join("; "))) }
    }
}

/// The inherited contract of a function: POST the secret, `{"token","expires_in"}` comes back.
fn function_plan(form: &FunctionForm, secret: &SecretId, credentials: &Credentials) -> Plan {
    let mut body = Map::new();
    body.insert("realm".to_owned(), secret.realm.clone().into());
    body.insert("key".to_owned(), secret.key.clone().into());
    let (numbers, names): (Vec<_>, Vec<_>) =
        credentials.iter().partition(|(name, _)| numbered(name).is_some());
    for (name, value) in numbers {
        body.insert(name.to_owned(), value.into());
    }
    let by_name: Map<_, _> =
        names.into_iter().map(|(name, value)| (name.to_owned(), Json::from(value))).collect();
    body.insert("credentials".to_owned(), by_name.into());
    let body = Body { content_type: "application/json", text: Json::Object(body).to_string() };
    Plan {
        request: Request {
            method: Method::Post,
            url: form.url.clone(),
            headers: Vec::new(),
            body: Some(body),
        },
        reading: Reading { token: Path::of_name("token"), expires_in: Some(Path::of_name("expires_in")) },
    }
}

fn config_plan(
    form: &ConfigForm,
    secret: &SecretId,
    credentials: &Credentials,
    forced: bool,
) -> Result<Plan, Failure> {
    let arguments = if forced { forced_arguments(form) } else { Cow::Borrowed(form.arguments.as_slice()) };
    let mut query = Vec::new();
    let mut headers = Vec::new();
    let mut members = Map::new();
    for argument in arguments.iter() {
        let value = argument.value.resolve(credentials);
        match (argument.place, form.method) {
            (Place::Url, _) | (Place::Body, Method::Get) => {
                query.push((argument.name.as_str(), text_of(&value)));
            }
            (Place::Header, _) => headers.push(header(argument, secret, text_of(&value))?),
            (Place::Body, Method::Post) => {
                members.insert(argument.name.clone(), value);
            }
        }
    }
    let body = (form.method == Method::Post).then(|| Body {
        content_type: media_type(form.content_type),
        text: Json::Object(members).to_string(),
    });
    Ok(Plan {
        request: Request { method: form.method, url: with_query(&form.url, &query), headers, body },
        reading: Reading { token: form.token_path.clone(), expires_in: form.expires_in_path.clone() },
    })
}

impl Value {
    fn resolve(&self, credentials: &Credentials) -> Json {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Credential(name) => match credentials.get(name) {
                Some(value) => value.into(),
                None => format!("${name}").into(),
            },
        }
    }
}

/// The arguments with `policy.force` over them; what it names besides goes where a body argument would.
fn forced_arguments(form: &ConfigForm) -> Cow<'_, [Argument]> {
    let mut arguments = form.arguments.clone();
    for (name, value) in &form.policy.force {
        let value = Value::Literal(value.clone());
        match arguments.iter_mut().find(|argument| argument.name == *name) {
            Some(argument) => argument.value = value,
            None => arguments.push(Argument { name: name.clone(), place: Place::Body, value }),
        }
    }
    Cow::Owned(arguments)
}

fn header(argument: &Argument, secret: &SecretId, value: String) -> Result<(String, String), Failure> {
    if http::HeaderValue::from_str(&value).is_ok() {
        return Ok((argument.name.clone(), value));
    }
    let name = &argument.name;
    let detail =
        format!("the value that secret {secret} gives for header {name} is not a valid header value");
    Err(Failure::new(FailureKind::Config, detail))
}

fn media_type(content_type: ContentType) -> &'static str {
    match content_type {
        ContentType::Json => "application/json",
        ContentType::Text => "text/plain",
    }
}

fn text_of(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// All but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn with_query(url: &Url, arguments: &[(&str, String)]) -> Url {
    let mut url = url.clone();
    if arguments.is_empty() {
        return url;
    }
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let pairs: Vec<_> =
        arguments.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let query = match url.query().filter(|query| !query.is_empty()) {
        Some(query) => format!("{query}&{}", pairs.join("&")),
        None => pairs.join("&"),
    };
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(config: &Json, credentials: &[(&str, &str)]) -> Result<Plan, Failure> {
        let definition = Definition::read(Some(config), None).unwrap();
        let credentials = credentials.iter().copied().collect();
        definition.plan(&SecretId::new("r", "k"), &credentials, false).map(Option::unwrap)
    }

    fn config(method: &str) -> Json {
        json!({"url": "https://idp.example.com/token?v=1", "method": method, "token_path": "t", "arguments": [
            {"name": "q", "place": "url", "value": "$key_1"},
            {"name": "n", "place": "body", "value": 1},
            {"name": "secret", "place": "body", "value": "$corp"},
            {"name": "X-Key", "place": "header", "value": "$key_1"}]})
    }

    #[test]
    fn arguments_go_to_their_places() {
        let plan = plan(&config("POST"), &[("key_1", "a b&c~"), ("corp", "s")]).unwrap();
        assert_eq!(plan.request.url.as_str(), "https://idp.example.com/token?v=1&q=a%20b%26c~");
        assert_eq!(plan.request.headers, [("X-Key".to_owned(), "a b&c~".to_owned())]);
        assert_eq!(plan.request.body.unwrap().text, r#"{"n":1,"secret":"s"}"#);
    }

    #[test]
    fn body_arguments_of_a_get_go_into_the_query() {
        let plan = plan(&config("GET"), &[("key_1", "x"), ("corp", "s")]).unwrap();
        assert_eq!(plan.request.url.query(), Some("v=1&q=x&n=1&secret=s"));
        assert!(plan.request.body.is_none());
    }

    #[test]
    fn a_missing_numbered_credential_fails_and_names_both_ends() {
        let failure = plan(&config("GET"), &[("corp", "s")]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Config);
        assert!(failure.detail.contains("$key_1 at /config/arguments/0/value"), "{failure}");
        assert!(failure.detail.contains("secret r/k has no credential key_1"), "{failure}");
    }

    #[test]
    fn an_unknown_dollar_name_is_a_literal() {
        let plan = plan(&config("GET"), &[("key_1", "x")]).unwrap();
        assert_eq!(plan.request.url.query(), Some("v=1&q=x&n=1&secret=%24corp"));
    }

    #[test]
    fn a_credential_that_is_no_header_value_is_refused() {
        let failure = plan(&config("GET"), &[("key_1", "line\nbreak")]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Config);
        assert!(!failure.detail.contains("break"));
    }

    #[test]
    fn a_function_gets_the_secret_as_json() {
        let definition = Definition::read(None, Some("https://fn.example.com/")).unwrap();
        let credentials = [("key_1", "a"), ("corpid", "b")].into_iter().collect();
        let plan = definition.plan(&SecretId::new("r", "k"), &credentials, false).unwrap().unwrap();
        let body = plan.request.body.unwrap().text;
        assert_eq!(body, r#"{"realm":"r","key":"k","key_1":"a","credentials":{"corpid":"b"}}"#);
    }
}
