//! A checked definition: what all forms of a realm's `config` are read into.

mod carried;
mod cost;
pub(in crate::realm) mod templates;

use std::time::Duration;

use jiff::tz::TimeZone;

use super::host::Host;
use super::location::Location;
use super::template::{JwtAlgorithm, Template};
use super::{Path, Policy};

/// How a realm that is not fixed gets its tokens: by requests, or by working them out itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub(super) form: Form,
    pub(super) inputs: Vec<Input>,
    pub(super) vars: Vec<Var>,
    pub(super) requests: Vec<RequestTemplate>,
    pub(super) refresh_requests: Vec<RequestTemplate>,
    pub(super) response: ResponseRules,
    pub(super) success_when: Vec<Condition>,
    pub(super) token: Vec<Location>,
    pub(super) expires: Expires,
    pub(super) outputs: Vec<(String, Output)>,
    pub(super) save: Vec<Save>,
    pub(super) depends_on: Vec<Base>,
    pub(super) errors: ErrorRules,
    /// Where what comes out of answers may lead.
    pub(super) hosts: Vec<Host>,
    pub(super) token_use: Option<String>,
    pub(super) tls: Option<Tls>,
    pub(super) policy: Policy,
}

/// The form that it was written in; forms differ in what is taken for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The inherited form: names need no declaration, and an error in the response wins over a
    /// token.
    Inherited,
    /// `logic_code`: the secret is POSTed to a function.
    Function,
    /// RFC 6749.
    OAuth2,
    General,
}

impl Form {
    /// Whether an `errcode` other than 0 or an `error` wins over a token without being told.
    pub(super) fn knows_errors(self) -> bool {
        matches!(self, Self::Inherited | Self::Function | Self::OAuth2)
    }
}

/// A named value that a secret has.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Whether nothing can be fetched without it.
    pub required: bool,
    /// Taken where the secret has none.
    pub default: Option<String>,
    /// Whether it must not be shown.
    pub secret: bool,
    /// Where it comes from.
    pub from: Origin,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator stores it.
    Stored,
    /// Another process writes it.
    Pushed,
    /// The provider replaces it with each use; the operator stores the first.
    Rotating,
    /// The operator stores the name of a file that has it.
    File,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Var {
    pub(super) name: String,
    pub(super) value: VarValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum VarValue {
    Template(Template),
    Json(Tree),
    Jwt(Box<Jwt>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Jwt {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key: Template,
    pub(super) header: Vec<(String, Tree)>,
    pub(super) claims: Vec<(String, Tree)>,
    pub(super) lifetime: Option<Duration>,
}

/// JSON with templates in its strings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Leaf(Template),
    Null,
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct RequestTemplate {
    pub(super) method: http::Method,
    pub(super) url: Template,
    pub(super) query: Vec<(String, Template)>,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) body: BodyTemplate,
    /// Whether secrets may go over `http://` to a public address.
    pub(super) insecure_http: bool,
    /// Overrides that of the whole.
    pub(super) response: Option<ResponseRules>,
    pub(super) success_when: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum BodyTemplate {
    None,
    Form(Vec<(String, Template)>),
    Json(Tree),
    /// JSON under another media type (inherited).
    JsonAs(Tree, &'static str),
    Xml(String, Tree),
    Text(Template),
    /// The secret itself, for a function.
    Secret,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ResponseRules {
    pub(super) format: ResponseFormat,
    pub(super) strip_prefix: Option<String>,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    Json,
    Xml,
    Form,
    Text,
}

impl ResponseFormat {
    /// As an operator calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Form => "form-encoded",
            Self::Text => "plain text",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Status(Vec<u16>),
    Equals {
        at: Location,
        values: Vec<String>,
        missing_ok: bool,
    },
    NotEquals {
        at: Location,
        values: Vec<String>,
    },
    Absent(Location),
    Present(Location),
}

impl Condition {
    /// What it tests, if not the status.
    pub(super) fn location(&self) -> Option<&Location> {
        match self {
            Self::Status(_) => None,
            Self::Equals { at, .. }
            | Self::NotEquals { at, .. }
            | Self::Absent(at)
            | Self::Present(at) => Some(at),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expires {
    Told {
        at: Vec<Location>,
        unit: Unit,
        /// Of times that have no offset.
        zone: TimeZone,
        default: Option<Duration>,
    },
    Lifetime(Duration),
    JwtExp {
        default: Option<Duration>,
    },
    Never,
    /// Nothing was said.
    Untold,
}

impl Expires {
    /// Where it is told.
    pub(super) fn places(&self) -> impl Iterator<Item = &Location> {
        let places = if let Self::Told { at, .. } = self {
            at.as_slice()
        } else {
            &[]
        };
        places.iter()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Minutes,
    Hours,
    Days,
    EpochSeconds,
    EpochMilliseconds,
    Rfc3339,
    HttpDate,
    Date,
    DurationDhm,
}

impl Unit {
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("seconds", Self::Seconds),
        ("milliseconds", Self::Milliseconds),
        ("minutes", Self::Minutes),
        ("hours", Self::Hours),
        ("days", Self::Days),
        ("epoch_seconds", Self::EpochSeconds),
        ("epoch_milliseconds", Self::EpochMilliseconds),
        ("rfc3339", Self::Rfc3339),
        ("http_date", Self::HttpDate),
        ("date", Self::Date),
        ("duration_dhm", Self::DurationDhm),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, unit)| *unit == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether its text may lack an offset.
    pub(super) fn has_zone(self) -> bool {
        matches!(self, Self::Rfc3339 | Self::Date)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    Found(Location),
    Made(Template),
}

/// Where the new value of a rotating input is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Save {
    pub(super) input: String,
    pub(super) from: Location,
    pub(super) expires: Option<Expires>,
}

/// Another secret whose token is needed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Base {
    pub(super) alias: String,
    pub(super) realm: Template,
    pub(super) key: Template,
}

/// Codes of a class; `*` stands for any text.
pub(super) type Codes = Vec<String>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ErrorRules {
    pub(super) code: Vec<Location>,
    pub(super) message: Vec<Location>,
    pub(super) config: Codes,
    pub(super) busy: Codes,
    pub(super) quota: Codes,
    pub(super) dependency: Codes,
    pub(super) reauthorise: Codes,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tls {
    pub(super) certificate: Option<Template>,
    pub(super) key: Option<Template>,
    pub(super) ca: Option<Template>,
}

impl Recipe {
    /// An empty recipe, to be filled in.
    pub(super) fn blank(form: Form) -> Self {
        Self {
            form,
            inputs: Vec::new(),
            vars: Vec::new(),
            requests: Vec::new(),
            refresh_requests: Vec::new(),
            response: ResponseRules {
                format: ResponseFormat::Json,
                strip_prefix: None,
            },
            success_when: Vec::new(),
            token: Vec::new(),
            expires: Expires::Untold,
            outputs: Vec::new(),
            save: Vec::new(),
            depends_on: Vec::new(),
            errors: ErrorRules::default(),
            hosts: Vec::new(),
            token_use: None,
            tls: None,
            policy: Policy::default(),
        }
    }

    /// The inherited function: the secret is POSTed, `{"token", "expires_in"}` comes back.
    pub(super) fn function(url: &str) -> Self {
        let request = RequestTemplate {
            method: http::Method::POST,
            url: Template::literal(url.into(), "/logic_code"),
            query: Vec::new(),
            headers: Vec::new(),
            body: BodyTemplate::Secret,
            insecure_http: false,
            response: None,
            success_when: Vec::new(),
        };
        Self {
            requests: vec![request],
            token: vec![Location::of_path(Path::of_name("token"))],
            expires: Expires::Told {
                at: vec![Location::of_path(Path::of_name("expires_in"))],
                unit: Unit::Seconds,
                zone: TimeZone::UTC,
                default: None,
            },
            ..Self::blank(Form::Function)
        }
    }

    /// The places of what is taken out of responses: token, outputs, new values of inputs.
    pub(super) fn taken(&self) -> impl Iterator<Item = &Location> {
        let outputs = self.outputs.iter().filter_map(|(_, output)| match output {
            Output::Found(location) => Some(location),
            Output::Made(_) => None,
        });
        self.granted().chain(outputs)
    }

    /// The places of token and grants.
    pub(super) fn granted(&self) -> impl Iterator<Item = &Location> {
        self.token
            .iter()
            .chain(self.save.iter().map(|save| &save.from))
    }

    /// An input by name.
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Whether nothing is said of how long tokens live.
    #[must_use]
    pub fn tells_no_expiry(&self) -> bool {
        self.expires == Expires::Untold
    }

    /// How its tokens are renewed.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How callers send the token.
    #[must_use]
    pub fn token_use(&self) -> Option<&str> {
        self.token_use.as_deref()
    }

    /// The inputs that come from there.
    pub fn inputs_from(&self, from: Origin) -> impl Iterator<Item = &Input> {
        self.inputs.iter().filter(move |input| input.from == from)
    }

    /// Whether it can begin anew without a grant: it has requests of its own for one that is there.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        !self.refresh_requests.is_empty()
    }

    /// Whether the provider replaces a credential with each use.
    #[must_use]
    pub fn rotates(&self) -> bool {
        !self.save.is_empty()
    }
}
