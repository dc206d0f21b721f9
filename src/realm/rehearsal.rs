//! A fetch that is only rehearsed: the requests are made and recorded responses are evaluated,
//! nothing is sent.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::run::{Facts, Request, Run};
use super::{DEFAULT_LIFE, Expiry, Fetched, RawResponse, Recipe, Saved};
use crate::clock::millis;
use crate::failure::{Failure, FailureKind};
use crate::secret::MASK;

/// A request as it would be sent, or as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    /// The method.
    pub method: String,
    /// With the query.
    pub url: String,
    /// By name; a list where one occurs more than once.
    pub headers: Map<String, Json>,
    /// The exact text.
    pub body: Option<String>,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// Each request, as far as there were responses.
    pub requests: Vec<Rehearsed>,
    /// What would be stored of rotating inputs.
    pub saved: Saved,
    /// A token, a failure, or neither: the last request has no response here.
    pub outcome: Result<Option<Fetched>, Failure>,
}

impl Rehearsed {
    /// A request with its secrets, or without.
    #[must_use]
    pub fn of(request: &Request, show_secrets: bool) -> Self {
        let headers = if show_secrets {
            &request.headers
        } else {
            &request.shown.headers
        };
        let body = request.body.as_ref().map(|body| body.text.clone());
        Self {
            method: request.method.to_string(),
            url: if show_secrets {
                request.url.to_string()
            } else {
                request.shown.url.clone()
            },
            headers: by_name(headers),
            body: if show_secrets {
                body
            } else {
                request.shown.body.clone()
            },
        }
    }
}

fn by_name(headers: &[(String, String)]) -> Map<String, Json> {
    let mut members = Map::new();
    for (name, value) in headers {
        match members.get_mut(name) {
            None => {
                members.insert(name.clone(), value.as_str().into());
            }
            Some(Json::Array(list)) => list.push(value.as_str().into()),
            Some(first) => *first = Json::Array(vec![first.take(), value.as_str().into()]),
        }
    }
    members
}

impl Recipe {
    /// Goes through a fetch with recorded responses, one for each request.
    #[must_use]
    pub fn rehearse(
        &self,
        facts: Facts,
        responses: Vec<RawResponse>,
        show_secrets: bool,
    ) -> Rehearsal {
        let mut rehearsal = Rehearsal {
            requests: Vec::new(),
            saved: Saved::default(),
            outcome: Ok(None),
        };
        let mut run = match self.begin(facts) {
            Ok(run) => run,
            Err(failure) => {
                return Rehearsal {
                    outcome: Err(failure),
                    ..rehearsal
                };
            }
        };
        let outcome = rehearsal.go_through(&mut run, responses, show_secrets);
        rehearsal.outcome = outcome.map_err(|failure| {
            if show_secrets {
                failure
            } else {
                run.masked(failure)
            }
        });
        rehearsal
    }
}

impl Rehearsal {
    fn go_through(
        &mut self,
        run: &mut Run<'_>,
        responses: Vec<RawResponse>,
        show_secrets: bool,
    ) -> Result<Option<Fetched>, Failure> {
        let mut responses = responses.into_iter();
        while let Some(request) = run.next_request()? {
            self.requests.push(Rehearsed::of(&request, show_secrets));
            let Some(response) = responses.next() else {
                return Ok(None);
            };
            let saved = run.take(response)?;
            for (name, value) in saved.values.iter() {
                self.saved.values.set(name, value);
            }
            self.saved.expires_at = saved.expires_at.or(self.saved.expires_at);
        }
        run.finish().map(Some)
    }

    /// The report, a public contract.
    ///
    /// Shape:  `{"requests", "token", "expires_in", "never_expires", "outputs", "save", "error":
    ///         {"class", "code", "message"}}`
    /// Units:  `expires_in` in milliseconds; 2147483647 for a token that never expires.
    #[must_use]
    pub fn report(&self, show_secrets: bool) -> Json {
        let shown = |text: &str| {
            if show_secrets {
                text.to_owned()
            } else {
                MASK.to_owned()
            }
        };
        let fetched = self.outcome.as_ref().ok().and_then(Option::as_ref);
        let expires_in = fetched.map(|fetched| match fetched.expiry {
            Expiry::In(life) => millis(life),
            Expiry::Untold => millis(DEFAULT_LIFE),
            Expiry::Never => NEVER,
        });
        let outputs: Map<_, _> = fetched
            .iter()
            .flat_map(|fetched| &fetched.outputs)
            .map(|(name, value)| {
                (
                    name.clone(),
                    if show_secrets {
                        value.clone()
                    } else {
                        MASK.into()
                    },
                )
            })
            .collect();
        let save: Map<_, _> = self
            .saved
            .values
            .iter()
            .map(|(name, value)| (name.to_owned(), shown(value).into()))
            .collect();
        json!({
            "requests": self.requests,
            "token": fetched.map(|fetched| shown(fetched.token.expose())),
            "expires_in": expires_in,
            "never_expires": fetched.is_some_and(|fetched| fetched.expiry == Expiry::Never),
            "outputs": outputs,
            "save": save,
            "error": self.outcome.as_ref().err().map(RehearsalError::json),
        })
    }
}

/// What `expires_in` says of a token that never expires (inherited).
const NEVER: i64 = 2_147_483_647;

/// A failure in a report.
pub struct RehearsalError;

impl RehearsalError {
    /// `{"class", "code", "message", "detail"}`: the provider's own words where it has some.
    #[must_use]
    pub fn json(failure: &Failure) -> Json {
        let message = failure
            .provider
            .message
            .as_deref()
            .unwrap_or(&failure.detail);
        json!({"class": class(failure.kind), "code": failure.provider.code, "message": message, "detail": failure.detail})
    }
}

/// The word for a class in reports.
fn class(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Config => "config",
        FailureKind::Refused => "refused",
        FailureKind::Busy => "busy",
        FailureKind::Quota => "quota",
        FailureKind::Dependency => "dependency",
        FailureKind::Reauthorise => "reauthorise",
        FailureKind::Unreachable => "unreachable",
        FailureKind::TimedOut => "timeout",
        FailureKind::Malformed => "malformed",
    }
}

impl RawResponse {
    /// Reads a recorded response: `{"status", "headers", "body"}`, the body JSON or a string,
    /// headers by name, repeated ones as a list.
    ///
    /// A body that is a string is the text itself, unless the headers say that it is JSON: then it
    /// is a JSON string.
    ///
    /// # Errors
    /// What was expected.
    pub fn recorded(recorded: &Json) -> Result<Self, String> {
        let members = recorded
            .as_object()
            .ok_or("expected an answer {\"status\", \"headers\", \"body\"}")?;
        if let Some(unknown) = members
            .keys()
            .find(|name| !["status", "headers", "body"].contains(&name.as_str()))
        {
            return Err(format!(
                "unknown field {unknown}; expected status, headers and body"
            ));
        }
        let status = recorded.get("status").map_or(Some(200), |status| {
            status.as_u64().and_then(|s| u16::try_from(s).ok())
        });
        let status = status
            .filter(|status| (100..600).contains(status))
            .ok_or("status: expected an HTTP status")?;
        let mut headers = Vec::new();
        for (name, value) in recorded
            .get("headers")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            let list = if let Json::Array(list) = value {
                list.as_slice()
            } else {
                std::slice::from_ref(value)
            };
            for value in list {
                let mut text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                // What was recorded is Unicode, whatever came over the wire.
                if name.eq_ignore_ascii_case("content-type")
                    && let Some(end) = text.find(';')
                {
                    text.truncate(end);
                }
                headers.push((name.clone(), text));
            }
        }
        let is_json = headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.to_lowercase().contains("json")
        });
        let body = match recorded.get("body") {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) if is_json && serde_json::from_str::<Json>(text).is_err() => {
                Json::from(text.as_str()).to_string()
            }
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Ok(Self {
            status,
            headers,
            body: body.into_bytes(),
        })
    }
}
