//! What a realm says, checked: a recipe to fetch by, a function, or a fixed token.

use serde_json::Value as Json;
use url::Url;

use super::recipe::templates::request_templates;
use super::recipe::{Form, Input, Origin, Recipe};
use super::template::Template;
use super::{Policy, general, inherited, plain_http};
use crate::json::Issue;
use crate::json::{Issues, pointer};
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
    /// Any form of `config`.
    Config(Box<Recipe>),
    /// The operator's function.
    Function(Box<Recipe>),
    /// Nothing is fetched.
    Fixed,
}

/// A place in a definition that needs a value of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The value's name.
    pub name: String,
    /// Where the definition refers to it.
    pub pointer: String,
    kind: ReferenceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReferenceKind {
    /// `$name` of the inherited form.
    Dollar,
    Input(Origin),
}

impl Reference {
    /// The words for a secret that lacks it: the same when saved and when fetching fails.
    #[must_use]
    pub fn missing_in(&self, secret: &SecretId) -> String {
        let Self {
            name,
            pointer,
            kind,
        } = self;
        let SecretId { realm, key } = secret;
        match kind {
            ReferenceKind::Dollar => {
                let consequence = if numbered(name).is_some() {
                    ""
                } else {
                    "; it is sent as written"
                };
                format!(
                    "realm {realm} refers to ${name} at {pointer}, but secret {secret} has no credential {name}{consequence}"
                )
            }
            ReferenceKind::Input(Origin::Pushed) => format!(
                "realm {realm} waits for input {name} ({pointer}) to be pushed: PUT /api/secret/{key}/inputs/{name}?realm={realm}"
            ),
            ReferenceKind::Input(Origin::Rotating) => format!(
                "realm {realm} needs input {name} ({pointer}), but secret {secret} has none: store the first one; it is replaced with each use"
            ),
            ReferenceKind::Input(Origin::File) => {
                format!(
                    "realm {realm} needs input {name} ({pointer}), but secret {secret} names no file for it"
                )
            }
            ReferenceKind::Input(Origin::Stored) => {
                format!(
                    "realm {realm} needs input {name} ({pointer}), but secret {secret} has no credential {name}"
                )
            }
        }
    }

    /// Whether nothing can be fetched without it.
    pub(super) fn is_needed(&self) -> bool {
        match self.kind {
            ReferenceKind::Dollar => numbered(&self.name).is_some(),
            ReferenceKind::Input(_) => true,
        }
    }

    /// Whether the secret itself is expected to have it when it is saved.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.kind != ReferenceKind::Input(Origin::Pushed)
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
                let recipe = if is_general(config) {
                    general::read(config, &mut issues)
                } else {
                    inherited::read(config, &mut issues)
                };
                if let Some(code) = logic_code.filter(|code| !code.is_empty()) {
                    http_url(code, "/logic_code", &mut issues);
                }
                recipe.map(|recipe| Self::Config(Box::new(recipe)))
            }
            (_, Some(code)) if !code.is_empty() => {
                let url = http_url(code, "/logic_code", &mut issues);
                url.map(|url| Self::Function(Box::new(Recipe::function(url.as_str()))))
            }
            _ => Some(Self::Fixed),
        };
        issues.into_result(definition)
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

    /// What is fetched by; `None` for a fixed realm.
    #[must_use]
    pub fn recipe(&self) -> Option<&Recipe> {
        match self {
            Self::Config(recipe) | Self::Function(recipe) => Some(recipe),
            Self::Fixed => None,
        }
    }

    /// How its tokens are renewed; a function's as an unknown provider's.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.recipe()
            .map(|recipe| recipe.policy.clone())
            .unwrap_or_default()
    }

    /// Whether both fetch the same tokens: what is equal but for the policy, the classes of errors
    /// and the hints.
    #[must_use]
    pub fn fetches_like(&self, other: &Self) -> bool {
        let fetching = |recipe: &Recipe| {
            let inputs = recipe
                .inputs
                .iter()
                .map(|input| Input {
                    secret: false,
                    ..input.clone()
                })
                .collect();
            let blank = Recipe::blank(recipe.form);
            let (policy, errors) = (blank.policy, blank.errors);
            Recipe {
                policy,
                errors,
                token_use: None,
                inputs,
                ..recipe.clone()
            }
        };
        self.mode() == other.mode() && self.recipe().map(fetching) == other.recipe().map(fetching)
    }

    /// The values that it needs, or may need, and where.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        self.recipe().map(Recipe::references).unwrap_or_default()
    }

    /// The names of all values that a secret may have.
    #[must_use]
    pub fn input_names(&self) -> Vec<&str> {
        let Some(recipe) = self.recipe() else {
            return Vec::new();
        };
        if recipe.form != Form::Inherited {
            return recipe
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .collect();
        }
        let templates = recipe.requests.iter().flat_map(request_templates);
        templates.filter_map(Template::dollar_name).collect()
    }

    /// The names of values that a general form does not declare.
    #[must_use]
    pub fn undeclared<'a>(&self, values: &'a Credentials) -> Vec<&'a str> {
        let recipe = self
            .recipe()
            .filter(|recipe| matches!(recipe.form, Form::General | Form::OAuth2));
        let Some(recipe) = recipe else {
            return Vec::new();
        };
        values
            .names()
            .filter(|name| recipe.input(name).is_none())
            .collect()
    }

    /// What is allowed, but worth a second look.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.recipe().map(plain_http::warnings).unwrap_or_default();
        let Self::Config(recipe) = self else {
            return warnings;
        };
        if recipe.tells_no_expiry() {
            let member = if recipe.form == Form::Inherited {
                "expires_in_path"
            } else {
                "expires"
            };
            warnings.push(format!(
                "/config/{member} is not given: each token is taken to live 300 s"
            ));
        }
        warnings.extend(recipe.carried_secrets());
        for request in recipe.requests.iter().chain(&recipe.refresh_requests) {
            let url = request
                .url
                .as_literal()
                .and_then(Json::as_str)
                .and_then(|text| Url::parse(text).ok());
            if url.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                let at = request.url.pointer();
                warnings.push(format!(
                    "{at}: a user or a password stands in the URL, for all to see who see the realm: store it as a credential and \
                     send it in a header"
                ));
            }
        }
        warnings
    }

    /// The references that are left open by a secret that has these names.
    #[must_use]
    pub fn missing(&self, has: impl Fn(&str) -> bool) -> Vec<Reference> {
        self.references()
            .into_iter()
            .filter(|reference| !has(&reference.name))
            .collect()
    }
}

impl Recipe {
    /// What it needs of a secret, and where.
    fn references(&self) -> Vec<Reference> {
        if self.form == Form::Inherited {
            let templates = self.requests.iter().flat_map(request_templates);
            let dollar = |template: &Template| {
                let (name, pointer) = (
                    template.dollar_name()?.to_owned(),
                    template.pointer().to_owned(),
                );
                Some(Reference {
                    name,
                    pointer,
                    kind: ReferenceKind::Dollar,
                })
            };
            let mut all: Vec<_> = templates.filter_map(dollar).collect();
            all.sort_by_key(|reference| argument_number(&reference.pointer));
            return all;
        }
        let needed = self
            .inputs
            .iter()
            .filter(|input| input.required && input.default.is_none());
        let reference = |input: &Input| Reference {
            name: input.name.clone(),
            pointer: pointer("/config/inputs", &input.name),
            kind: ReferenceKind::Input(input.from),
        };
        needed.map(reference).collect()
    }
}

/// The number in `/config/arguments/7/value`.
fn argument_number(pointer: &str) -> usize {
    pointer
        .split('/')
        .nth(3)
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Members that only the inherited form has.
const INHERITED: [&str; 6] = [
    "url",
    "method",
    "arguments",
    "token_path",
    "content_type",
    "expires_in_path",
];

/// Whether a config is in the general form (or `oauth2`): the inherited one has members of its own.
fn is_general(config: &Json) -> bool {
    let has = |name: &str| config.get(name).is_some();
    let general = ["oauth2", "token", "requests", "inputs", "vars"];
    general.into_iter().any(has) && !INHERITED.into_iter().any(has)
}

/// Whether a text may name a credential: a letter or `_`, then letters, digits, `_`, `-`, `.`; at
/// most 100.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    start && rest && name.len() <= 100
}

/// Headers that frame a message, or say where it goes.
const FRAMING: [&str; 8] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// Refuses what is no header, or is the HTTP client's business.
pub(super) fn check_header_name(name: &str, pointer: &str, issues: &mut Issues) {
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        issues.add(pointer, "is not a valid header name (RFC 9110)");
    }
    if FRAMING
        .iter()
        .any(|framing| framing.eq_ignore_ascii_case(name))
    {
        issues.add(pointer, "is set by the HTTP client itself");
    }
}

/// The longest URL accepted, in bytes.
const LONGEST_URL: usize = 5000;

pub(super) fn http_url(text: &str, pointer: &str, issues: &mut Issues) -> Option<Url> {
    if text.len() > LONGEST_URL {
        issues.add(
            pointer,
            format!("must not be longer than {LONGEST_URL} bytes"),
        );
        return None;
    }
    let has_host = text
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.starts_with(['/', '?', '#']));
    match Url::parse(text) {
        Ok(_) if !has_host => {
            issues.add(
                pointer,
                "expected an http or https URL with a host, e.g. https://api.example.com/token",
            );
            None
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        Ok(url) => {
            issues.add(
                pointer,
                format!(
                    "expected an http or https URL, found the scheme {}:",
                    url.scheme()
                ),
            );
            None
        }
        Err(wrong) => {
            issues.add(pointer, format!("expected an http or https URL: {wrong}"));
            None
        }
    }
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
        let names: Vec<_> = definition
            .references()
            .into_iter()
            .map(|reference| reference.name)
            .collect();
        assert_eq!(names, ["key_1", "key_2", "key_3"]);
        assert_eq!(definition.mode(), Mode::Config);
    }

    #[test]
    fn the_mode_follows_what_is_there() {
        let mode = |config: Json, code| Definition::read(Some(&config), code).unwrap().mode();
        assert_eq!(
            mode(json!(null), Some("https://fn.example.com/token")),
            Mode::Function
        );
        assert_eq!(mode(json!(null), Some("")), Mode::Fixed);
        assert_eq!(
            mode(wechat(), Some("https://fn.example.com/token")),
            Mode::Config
        );
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
