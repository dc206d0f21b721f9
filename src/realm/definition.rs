//! What a realm says, checked: the inherited config form, a function, or a fixed token.

use serde_json::Value as Json;
use url::Url;

use super::issue::{Issues, Object, kind};
use super::{Issue, Path, Policy};
use crate::secret::{Credentials, SecretId, numbered};

/// How a realm gets its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A provider is asked as `config` describes.
    Config,
    /// A function of the operator's own is asked.
    Function,
    /// The operator gives the token.
    Fixed,
}

impl Mode {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Function => "function",
            Self::Fixed => "fixed",
        }
    }
}

/// A checked definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// The inherited form.
    Config(Box<ConfigForm>),
    /// The URL of the operator's function.
    Function(FunctionForm),
    /// Nothing is fetched.
    Fixed,
}

/// The inherited form of a realm's `config`.
///
/// Source: CONTRACT, "Realm config"; stays valid byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigForm {
    /// The token endpoint, http or https.
    pub url: Url,
    /// GET or POST.
    pub method: Method,
    /// What is sent, in the author's order.
    pub arguments: Vec<Argument>,
    /// Where the token is in the answer.
    pub token_path: Path,
    /// Only changes the Content-Type header of a POST.
    pub content_type: ContentType,
    /// Where the seconds left are in the answer; `None`: never told.
    pub expires_in_path: Option<Path>,
    /// How its tokens are renewed.
    pub policy: Policy,
}

/// A realm that asks a function of the operator's own.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionForm {
    /// Where the secret is POSTed to.
    pub url: Url,
}

/// The request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Body arguments go into the query.
    Get,
    /// Body arguments make a JSON object.
    Post,
}

/// The Content-Type a POST names; its body is JSON either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`
    Json,
    /// `text/plain`
    Text,
}

/// One argument of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name there.
    pub name: String,
    /// Where it goes.
    pub place: Place,
    /// What is sent.
    pub value: Value,
}

/// Where an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The query.
    Url,
    /// A header.
    Header,
    /// The body (of a GET: the query).
    Body,
}

/// An argument's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Sent as it is; a number or boolean stays one in a JSON body.
    Literal(Json),
    /// `$name`: the secret's credential of that name.
    ///
    /// `$key_N` always means the credential. Another `$name` does when the secret has a credential so named, else the
    /// text is sent as written: the inherited form knew only `$key_N`, and a literal may begin with a dollar sign.
    Credential(String),
}

/// A place in a definition that needs a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The credential's name.
    pub name: String,
    /// Where the definition refers to it.
    pub pointer: String,
}

impl Reference {
    /// The words for a secret that lacks it: the same when saved and when fetching fails.
    #[must_use]
    pub fn missing_in(&self, secret: &SecretId) -> String {
        let Self { name, pointer } = self;
        let consequence = if numbered(name).is_some() { "" } else { "; it is sent as written" };
        format!(
            "realm {} refers to ${name} at {pointer}, but secret {secret} has no credential {name}{consequence}",
            secret.realm
        )
    }
}

impl Definition {
    /// Reads and checks the two members of a realm that define it.
    ///
    /// `config` decides if given; else a `logic_code` that is not empty; else the realm is fixed.
    ///
    /// # Errors
    /// Everything that is wrong, with places like `/config/url`.
    pub fn read(config: Option<&Json>, logic_code: Option<&str>) -> Result<Self, Vec<Issue>> {
        let mut issues = Issues::default();
        let definition = match (config, logic_code) {
            (Some(config), _) if !config.is_null() => {
                ConfigForm::read(config, &mut issues).map(|form| Self::Config(Box::new(form)))
            }
            (_, Some(code)) if !code.is_empty() => {
                http_url(code, "/logic_code", &mut issues).map(|url| Self::Function(FunctionForm { url }))
            }
            _ => Some(Self::Fixed),
        };
        issues.conclude(definition)
    }

    /// How tokens are got.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Config(_) => Mode::Config,
            Self::Function(_) => Mode::Function,
            Self::Fixed => Mode::Fixed,
        }
    }

    /// How its tokens are renewed; a function's as an unknown provider's.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self {
            Self::Config(form) => form.policy.clone(),
            Self::Function(_) | Self::Fixed => Policy::default(),
        }
    }

    /// Whether both fetch the same tokens: all but the policy is equal.
    #[must_use]
    pub fn fetches_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Config(mine), Self::Config(theirs)) => {
                ConfigForm { policy: theirs.policy.clone(), ..(**mine).clone() } == **theirs
            }
            (mine, theirs) => mine == theirs,
        }
    }

    /// The credentials it needs, or may need, and where.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        let Self::Config(form) = self else { return Vec::new() };
        let reference = |(index, argument): (usize, &Argument)| match &argument.value {
            Value::Credential(name) => {
                Some(Reference { name: name.clone(), pointer: format!("/config/arguments/{index}/value") })
            }
            Value::Literal(_) => None,
        };
        form.arguments.iter().enumerate().filter_map(reference).collect()
    }

    /// What is allowed, but worth a second look.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Config(form) if form.expires_in_path.is_none() => {
                vec!["/config/expires_in_path is not given: each token is taken to live 300 s".to_owned()]
            }
            Self::Config(_) | Self::Function(_) | Self::Fixed => Vec::new(),
        }
    }

    /// The references that these credentials leave open.
    #[must_use]
    pub fn missing(&self, credentials: &Credentials) -> Vec<Reference> {
        self.references().into_iter().filter(|reference| credentials.get(&reference.name).is_none()).collect()
    }
}

impl ConfigForm {
    fn read(config: &Json, issues: &mut Issues) -> Option<Self> {
        let mut object = Object::read(config, "/config", issues)?;
        let url = object.required_text("url", issues).and_then(|url| http_url(url, "/config/url", issues));
        let method = one_of(&mut object, "method", &[("GET", Method::Get), ("POST", Method::Post)], issues);
        let arguments = read_arguments(object.member("arguments"), issues);
        let token_path = object.required_text("token_path", issues);
        let token_path = token_path.and_then(|path| read_path(path, "/config/token_path", issues));
        let content_type = content_type(&mut object, issues);
        let expires_in_path = object.text("expires_in_path", issues).filter(|path| !path.is_empty());
        let expires_in_path = expires_in_path.map(|path| read_path(path, "/config/expires_in_path", issues));
        let policy = Policy::read(object.member("policy"), issues);
        object.finish(&[], |_| false, issues);
        Some(Self {
            url: url?,
            method: method?,
            arguments: arguments?,
            token_path: token_path?,
            content_type: content_type?,
            expires_in_path: match expires_in_path {
                Some(path) => Some(path?),
                None => None,
            },
            policy: policy?,
        })
    }
}

fn content_type(object: &mut Object<'_>, issues: &mut Issues) -> Option<ContentType> {
    match object.member("content_type") {
        None | Some(Json::Null) => Some(ContentType::Json),
        Some(_) => one_of(
            object,
            "content_type",
            &[("json", ContentType::Json), ("text", ContentType::Text)],
            issues,
        ),
    }
}

/// The most arguments a realm may have.
const MOST_ARGUMENTS: usize = 100;

fn read_arguments(arguments: Option<&Json>, issues: &mut Issues) -> Option<Vec<Argument>> {
    let list = match arguments {
        None | Some(Json::Null) => return Some(Vec::new()),
        Some(Json::Array(list)) if list.len() <= MOST_ARGUMENTS => list,
        Some(Json::Array(_)) => {
            issues.add("/config/arguments", format!("at most {MOST_ARGUMENTS} arguments"));
            return None;
        }
        Some(other) => {
            issues.add("/config/arguments", format!("expected an array, found {}", kind(other)));
            return None;
        }
    };
    let read: Vec<_> =
        list.iter().enumerate().map(|(index, item)| read_argument(index, item, issues)).collect();
    read.into_iter().collect()
}

fn read_argument(index: usize, argument: &Json, issues: &mut Issues) -> Option<Argument> {
    let mut object = Object::read(argument, &format!("/config/arguments/{index}"), issues)?;
    let name = object.required_text("name", issues);
    let places = [("url", Place::Url), ("header", Place::Header), ("body", Place::Body)];
    let place = one_of(&mut object, "place", &places, issues);
    let value = object.member("value");
    let pointer = object.pointer_of("value");
    let value = if let Some(value) = value {
        read_value(value, &pointer, issues)
    } else {
        issues.add(&pointer, "required: a literal or $key_1, $key_2, …");
        None
    };
    if place == Some(Place::Header) {
        check_header(name, value.as_ref(), &object.pointer_of("name"), issues);
    }
    object.finish(&[], |_| false, issues);
    Some(Argument { name: name?.to_owned(), place: place?, value: value? })
}

fn read_value(value: &Json, pointer: &str, issues: &mut Issues) -> Option<Value> {
    match value {
        Json::String(text) => {
            let name = text.strip_prefix('$').filter(|name| is_name(name));
            Some(
                name.map_or_else(|| Value::Literal(value.clone()), |name| Value::Credential(name.to_owned())),
            )
        }
        Json::Number(_) | Json::Bool(_) => Some(Value::Literal(value.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            issues.add(pointer, format!("expected a string, a number or a boolean, found {}", kind(value)));
            None
        }
    }
}

/// Whether a text may name a credential: a letter or `_`, then letters, digits, `_`, `-`, `.`; at most 100.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    start && rest && name.len() <= 100
}

/// Headers that frame a message, or say where it goes.
const FRAMING: [&str; 8] =
    ["content-length", "transfer-encoding", "connection", "host", "upgrade", "te", "trailer", "expect"];

fn check_header(name: Option<&str>, value: Option<&Value>, pointer: &str, issues: &mut Issues) {
    if name.is_some_and(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err()) {
        issues.add(pointer, "is not a valid header name (RFC 9110)");
    }
    if name.is_some_and(|name| FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name))) {
        issues.add(pointer, "is set by the HTTP client itself");
    }
    if let Some(Value::Literal(Json::String(text))) = value
        && http::HeaderValue::from_str(text).is_err()
    {
        issues.add(pointer.replace("/name", "/value"), "is not a valid header value (RFC 9110)");
    }
}

fn read_path(path: &str, pointer: &str, issues: &mut Issues) -> Option<Path> {
    Path::read(path).map_err(|wrong| issues.add(pointer, wrong)).ok()
}

/// The longest URL accepted, in bytes.
const LONGEST_URL: usize = 5000;

fn http_url(text: &str, pointer: &str, issues: &mut Issues) -> Option<Url> {
    if text.len() > LONGEST_URL {
        issues.add(pointer, format!("must not be longer than {LONGEST_URL} bytes"));
        return None;
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        Ok(url) => {
            issues.add(pointer, format!("expected an http or https URL, found the scheme {}:", url.scheme()));
            None
        }
        Err(wrong) => {
            issues.add(pointer, format!("expected an http or https URL: {wrong}"));
            None
        }
    }
}

fn one_of<T: Copy>(
    object: &mut Object<'_>,
    name: &'static str,
    choices: &[(&str, T)],
    issues: &mut Issues,
) -> Option<T> {
    let text = object.required_text(name, issues)?;
    let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
    if chosen.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        issues.add(object.pointer_of(name), format!("expected one of: {}", words.join(", ")));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The first documented example.
    fn wechat() -> Json {
        json!({"url": "https://api.weixin.qq.com/cgi-bin/token", "method": "GET",
            "arguments": [{"name": "appid", "place": "url", "value": "$key_1"},
                          {"name": "secret", "place": "url", "value": "$key_2"},
                          {"name": "grant_type", "place": "url", "value": "$key_3"}],
            "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"})
    }

    #[test]
    fn the_documented_example_is_read() {
        let definition = Definition::read(Some(&wechat()), None).unwrap();
        let names: Vec<_> = definition.references().into_iter().map(|reference| reference.name).collect();
        assert_eq!(names, ["key_1", "key_2", "key_3"]);
        assert_eq!(definition.mode(), Mode::Config);
    }

    #[test]
    fn the_mode_follows_what_is_there() {
        let mode = |config: Json, code| Definition::read(Some(&config), code).unwrap().mode();
        assert_eq!(mode(json!(null), Some("https://fn.example.com/token")), Mode::Function);
        assert_eq!(mode(json!(null), Some("")), Mode::Fixed);
        assert_eq!(mode(wechat(), Some("https://fn.example.com/token")), Mode::Config);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let config = json!({"url": "ftp://x", "method": "PUT", "surplus": 1, "expires_in_path": "$..x",
            "arguments": [{"name": "", "place": "cookie", "value": null}, 7,
                          {"name": "a b", "place": "header", "value": "x\n"}],
            "policy": {"refresh_ahead": "soon"}});
        let issues = Definition::read(Some(&config), None).unwrap_err();
        let mut places: Vec<_> = issues.iter().map(|issue| issue.pointer.as_str()).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "/config/arguments/0/name",
                "/config/arguments/0/place",
                "/config/arguments/0/value",
                "/config/arguments/1",
                "/config/arguments/2/name",
                "/config/arguments/2/value",
                "/config/expires_in_path",
                "/config/method",
                "/config/policy/refresh_ahead",
                "/config/surplus",
                "/config/token_path",
                "/config/url",
            ]
        );
    }

    #[test]
    fn a_policy_alone_does_not_change_what_is_fetched() {
        let plain = Definition::read(Some(&wechat()), None).unwrap();
        let mut config = wechat();
        config["policy"] = json!({"refresh_ahead": "1m"});
        let with_policy = Definition::read(Some(&config), None).unwrap();
        assert_ne!(plain, with_policy);
        assert!(plain.fetches_like(&with_policy));
        config["token_path"] = json!("other");
        assert!(!plain.fetches_like(&Definition::read(Some(&config), None).unwrap()));
    }
}
