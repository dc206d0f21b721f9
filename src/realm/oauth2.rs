//! `oauth2`: a plain token endpoint of RFC 6749, expanded into the general form.

use std::time::Duration;

use serde_json::Value as Json;

use super::general_values::{algorithm, jwt, pairs, template};
use super::location::Location;
use super::recipe::{
    BodyTemplate, ErrorRules, Expires, Form, Input, Jwt, Origin, Recipe, RequestTemplate, Save,
    Tls, Tree, Unit, Var, VarValue,
};
use super::template::{JwtAlgorithm, Template};
use super::{Path, duration, flag, read_url};
use crate::json::suggestion;
use crate::json::{Issues, Object};

/// How the client proves who it is (RFC 6749 §2.3, `OpenID` Connect Core §9, RFC 8705).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Auth {
    Basic,
    Post,
    SecretJwt,
    PrivateKeyJwt,
    Tls,
    None,
}

const METHODS: [(&str, Auth); 6] = [
    ("client_secret_basic", Auth::Basic),
    ("client_secret_post", Auth::Post),
    ("client_secret_jwt", Auth::SecretJwt),
    ("private_key_jwt", Auth::PrivateKeyJwt),
    ("tls_client_auth", Auth::Tls),
    ("none", Auth::None),
];

/// RFC 7523 §2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The vars it brings along.
const CLIENT_ASSERTION: &str = "client_assertion";
const ASSERTION: &str = "oauth2_assertion";
const AT: &str = "/config/oauth2";
const ASSERTION_LIFETIME: Duration = Duration::from_mins(5);

/// Codes of RFC 6749 §5.2 that an operator must mend.
const CONFIG: [&str; 7] = [
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_request",
    "invalid_target",
    "access_denied",
];
const BUSY: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// Reads `/config/oauth2`.
pub(super) fn read(value: &Json, issues: &mut Issues) -> Option<Recipe> {
    let mut object = Object::read(value, AT, issues)?;
    let mut recipe = Recipe::blank(Form::OAuth2);
    let mut body = Vec::new();
    let endpoint = object.required_text("token_endpoint", issues);
    let url = endpoint.and_then(|text| read_url(text, &format!("{AT}/token_endpoint"), issues));
    read_grant(&mut object, &mut recipe, &mut body, issues);
    for name in ["scope", "audience", "resource"] {
        add_list(&mut object, name, &mut body, issues);
    }
    body.extend(pairs(
        object.member("extra"),
        &format!("{AT}/extra"),
        issues,
    ));
    let headers = read_auth(&mut object, endpoint, &mut recipe, &mut body, issues);
    let insecure_http = flag(&mut object, "insecure_http", issues);
    object.finish(&[], |_| false, issues);
    fill_in(&mut recipe);
    let request = RequestTemplate {
        method: http::Method::POST,
        // One that cannot be read is told already.
        url: url.unwrap_or_else(|| literal("")),
        query: Vec::new(),
        headers,
        body: BodyTemplate::Form(body),
        insecure_http: insecure_http.unwrap_or(false),
        response: None,
        success_when: Vec::new(),
    };
    recipe.requests = vec![request];
    Some(recipe)
}

/// What every endpoint of RFC 6749 answers.
fn fill_in(recipe: &mut Recipe) {
    let member = |name: &str| vec![Location::of_path(Path::of_name(name))];
    recipe.token = member("access_token");
    recipe.expires = Expires::Told {
        at: member("expires_in"),
        unit: Unit::Seconds,
        zone: jiff::tz::TimeZone::UTC,
        default: None,
    };
    recipe.token_use = Some("Authorization: Bearer {token}".to_owned());
    let mut config: Vec<String> = CONFIG.iter().map(|code| (*code).to_owned()).collect();
    let grant = "invalid_grant".to_owned();
    let mut reauthorise = Vec::new();
    if recipe.rotates() {
        reauthorise.push(grant);
    } else {
        config.push(grant);
    }
    recipe.errors = ErrorRules {
        code: member("error"),
        message: member("error_description"),
        config,
        busy: BUSY.iter().map(|code| (*code).to_owned()).collect(),
        reauthorise,
        ..ErrorRules::default()
    };
}

type Body = Vec<(String, Template)>;

fn read_grant(object: &mut Object<'_>, recipe: &mut Recipe, body: &mut Body, issues: &mut Issues) {
    let word = object
        .text("grant_type", issues)
        .unwrap_or("client_credentials")
        .to_owned();
    let grant = if word == "jwt_bearer" {
        JWT_BEARER
    } else {
        &word
    };
    if grant == "authorization_code" || grant == "implicit" {
        issues.add(
            format!("{AT}/grant_type"),
            "needs a person at a browser: store the refresh token and use refresh_token",
        );
    }
    body.push(("grant_type".to_owned(), literal(grant)));
    let assertion = object.member("assertion").filter(|value| !value.is_null());
    match grant {
        "refresh_token" => {
            recipe.inputs.push(Input {
                from: Origin::Rotating,
                ..input("refresh_token", true)
            });
            recipe.save.push(Save {
                input: "refresh_token".to_owned(),
                from: Location::of_path(Path::of_name("refresh_token")),
                expires: None,
            });
            body.push(("refresh_token".to_owned(), name("refresh_token")));
        }
        "password" => {
            for (field, secret) in [("username", false), ("password", true)] {
                recipe.inputs.push(input(field, secret));
                body.push((field.to_owned(), name(field)));
            }
        }
        JWT_BEARER if assertion.is_none() => {
            issues.add(
                format!("{AT}/assertion"),
                "required for jwt_bearer: a template, or {\"jwt\": …}",
            );
        }
        _ => {}
    }
    if let Some(assertion) = assertion {
        body.push(("assertion".to_owned(), name(ASSERTION)));
        recipe.vars.extend(read_assertion(assertion, issues));
    }
}

fn read_assertion(value: &Json, issues: &mut Issues) -> Option<Var> {
    let at = format!("{AT}/assertion");
    let value = match value {
        Json::Object(members) if members.len() == 1 && members.contains_key("jwt") => {
            VarValue::Jwt(Box::new(jwt(
                &members["jwt"],
                &format!("{at}/jwt"),
                issues,
            )?))
        }
        value @ (Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_)) => VarValue::Template(template(value, &at, issues)?),
    };
    Some(Var {
        name: ASSERTION.to_owned(),
        value,
    })
}

/// `scope` is one parameter, its words separated by blanks; `audience` and `resource` are repeated
/// (RFC 8707 §2).
fn add_list(object: &mut Object<'_>, field: &'static str, body: &mut Body, issues: &mut Issues) {
    let at = format!("{AT}/{field}");
    let value = object.member(field).filter(|value| !value.is_null());
    match value {
        Some(Json::Array(list)) if field == "scope" && list.iter().all(Json::is_string) => {
            let words: Vec<_> = list.iter().filter_map(Json::as_str).collect();
            body.extend(
                template(&words.join(" ").into(), &at, issues)
                    .map(|scope| (field.to_owned(), scope)),
            );
        }
        Some(Json::Array(list)) => {
            let list = list.iter().enumerate();
            body.extend(list.filter_map(|(index, value)| {
                Some((
                    field.to_owned(),
                    template(value, &format!("{at}/{index}"), issues)?,
                ))
            }));
        }
        Some(Json::String(text)) if text.is_empty() => {}
        Some(value) => {
            body.extend(template(value, &at, issues).map(|value| (field.to_owned(), value)));
        }
        None => {}
    }
}

fn read_auth(
    object: &mut Object<'_>,
    endpoint: Option<&str>,
    recipe: &mut Recipe,
    body: &mut Body,
    issues: &mut Issues,
) -> Vec<(String, Template)> {
    let word = object
        .text("token_endpoint_auth_method", issues)
        .unwrap_or("client_secret_basic");
    let auth = METHODS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, auth)| *auth);
    let Some(auth) = auth else {
        let names: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
        let near = suggestion(word, names.iter().copied());
        issues.add(
            format!("{AT}/token_endpoint_auth_method"),
            format!("expected one of: {}{near}", names.join(", ")),
        );
        return Vec::new();
    };
    let signer = Signer::read(object, auth, endpoint, issues);
    recipe.inputs.insert(
        0,
        Input {
            required: auth != Auth::None,
            ..input("client_id", false)
        },
    );
    if matches!(auth, Auth::Basic | Auth::Post | Auth::SecretJwt) {
        recipe.inputs.insert(1, input("client_secret", true));
    }
    if auth != Auth::Basic {
        body.push(("client_id".to_owned(), name("client_id")));
    }
    match auth {
        Auth::Basic => {
            let pair = "Basic {{ (client_id | form_urlencode ~ ':' ~ client_secret | form_urlencode) | base64 }}";
            return vec![("Authorization".to_owned(), made(pair))];
        }
        Auth::Post => body.push(("client_secret".to_owned(), name("client_secret"))),
        Auth::SecretJwt | Auth::PrivateKeyJwt => {
            recipe.inputs.extend(signer.inputs());
            recipe.vars.push(Var {
                name: CLIENT_ASSERTION.to_owned(),
                value: VarValue::Jwt(Box::new(signer.jwt())),
            });
            body.push(("client_assertion_type".to_owned(), literal(ASSERTION_TYPE)));
            body.push((CLIENT_ASSERTION.to_owned(), name(CLIENT_ASSERTION)));
        }
        Auth::Tls => {
            recipe.inputs.extend([
                input("client_certificate", false),
                input("client_key", true),
            ]);
            let part = |field: &str| Some(name(field));
            recipe.tls = Some(Tls {
                certificate: part("client_certificate"),
                key: part("client_key"),
                ca: None,
            });
        }
        Auth::None => {}
    }
    Vec::new()
}

/// How the client's own JWT is made (RFC 7523 §3).
struct Signer {
    algorithm: JwtAlgorithm,
    audience: Template,
    lifetime: Duration,
    by_secret: bool,
}

impl Signer {
    fn read(
        object: &mut Object<'_>,
        auth: Auth,
        endpoint: Option<&str>,
        issues: &mut Issues,
    ) -> Self {
        let by_secret = auth == Auth::SecretJwt;
        let default = if by_secret {
            JwtAlgorithm::Hs256
        } else {
            JwtAlgorithm::Rs256
        };
        let word = object.text("assertion_alg", issues);
        let algorithm = word
            .and_then(|word| algorithm(word, &format!("{AT}/assertion_alg"), issues))
            .unwrap_or(default);
        if by_secret != algorithm.is_symmetric() {
            issues.add(
                format!("{AT}/assertion_alg"),
                format!("{} does not go with this method", algorithm.name()),
            );
        }
        let at = format!("{AT}/assertion_audience");
        let audience = object
            .text("assertion_audience", issues)
            .or(endpoint)
            .unwrap_or_default();
        let audience = Template::read(audience, &at).map_err(|wrong| issues.add(&at, wrong));
        let lifetime = object
            .member("assertion_lifetime")
            .filter(|value| !value.is_null())
            .map(duration::read);
        let lifetime = lifetime
            .transpose()
            .map_err(|wrong| issues.add(format!("{AT}/assertion_lifetime"), wrong));
        let given = ["assertion_alg", "assertion_audience", "assertion_lifetime"]
            .into_iter()
            .find(|name| object.member(name).is_some_and(|value| !value.is_null()));
        if let Some(given) =
            given.filter(|_| !matches!(auth, Auth::SecretJwt | Auth::PrivateKeyJwt))
        {
            issues.add(
                format!("{AT}/{given}"),
                "is for client_secret_jwt and private_key_jwt only",
            );
        }
        Self {
            algorithm,
            audience: audience.unwrap_or_else(|()| literal("")),
            lifetime: lifetime.ok().flatten().unwrap_or(ASSERTION_LIFETIME),
            by_secret,
        }
    }

    fn inputs(&self) -> Vec<Input> {
        if self.by_secret {
            return Vec::new();
        }
        vec![
            input("private_key", true),
            Input {
                required: false,
                ..input("key_id", false)
            },
        ]
    }

    fn jwt(self) -> Jwt {
        let leaf = |field: &str| Tree::Leaf(name(field));
        let mut header = vec![("typ".to_owned(), Tree::Leaf(literal("JWT")))];
        if !self.by_secret {
            header.push(("kid".to_owned(), leaf("key_id")));
        }
        let claims = vec![
            ("iss".to_owned(), leaf("client_id")),
            ("sub".to_owned(), leaf("client_id")),
            ("aud".to_owned(), Tree::Leaf(self.audience)),
            ("jti".to_owned(), leaf("uuid")),
        ];
        let key = name(if self.by_secret {
            "client_secret"
        } else {
            "private_key"
        });
        Jwt {
            algorithm: self.algorithm,
            key,
            header,
            claims,
            lifetime: Some(self.lifetime),
        }
    }
}

fn input(name: &str, secret: bool) -> Input {
    Input {
        name: name.to_owned(),
        required: true,
        default: None,
        secret,
        from: Origin::Stored,
    }
}

fn literal(text: &str) -> Template {
    Template::literal(text.into(), AT)
}

fn name(name: &str) -> Template {
    made(&format!("{{{{ {name} }}}}"))
}

/// A template of our own, which is right.
fn made(text: &str) -> Template {
    Template::read(text, AT).unwrap_or_else(|_| literal(text))
}
