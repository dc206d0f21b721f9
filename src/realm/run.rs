//! One fetch by a definition: makes a request, takes its response, makes the next, finishes.
//!
//! Pure: whoever runs it carries the bytes. Vars are worked out when they are first needed and then
//! stay; time, `uuid` and `nonce` are the same throughout.

mod evaluate;
mod expiry;
mod names;
mod render;
mod structure;
mod trace;
mod vars;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::budget::{Budget, OUT_OF_TIME, RunLimits};
use super::outcome::Fetched;
use super::recipe::templates::{request_templates, var_templates};
use super::recipe::{Form, Origin, Recipe, RequestTemplate};
use super::response::{RawResponse, StepResponse};
use super::template::{Rendered, Template, top};
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::secret::{Credentials, SecretId};
use crate::token::TokenText;

use names::InputNames;
pub use render::{Body, Request, Shown, TlsMaterial};

/// The most that the values of one request may come to, in bytes.
const LARGEST_REQUEST: usize = 1 << 20;

/// Inputs or responses of more bytes may take a while to work on.
const LARGE: usize = 64 << 10;

/// What a fetch starts from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whose token.
    pub secret: SecretId,
    /// The values of the secret: stored, pushed, read from files, or rotated.
    pub inputs: Credentials,
    /// The tokens of `depends_on`, by alias.
    pub tokens: BTreeMap<String, TokenText>,
    /// Whether a rotating input was saved before, so that `refresh_requests` are used.
    pub has_saved: bool,
    /// Whether another token is wanted than the one the provider would repeat.
    pub forced: bool,
    /// The time, just before the first request.
    pub now: Timestamp,
    /// Random.
    pub uuid: String,
    /// 32 random hex digits.
    pub nonce: String,
}

/// New values of rotating inputs, to be stored before anything else happens.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// By input.
    pub values: Credentials,
    /// When the grant ends.
    pub expires_at: Option<Timestamp>,
}

/// A secret whose token is needed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseName {
    /// What templates call its token.
    pub alias: String,
    /// Whose token.
    pub secret: SecretId,
    /// What it is called in messages: its name where the definition writes it out, else the place.
    pub shown: String,
}

/// A fetch under way.
pub struct Run<'a> {
    recipe: &'a Recipe,
    facts: Facts,
    requests: Vec<RequestTemplate>,
    steps: Vec<StepResponse>,
    /// The response that is a failure.
    refused: Option<StepResponse>,
    /// What templates see of the responses, made when a template first asks for it.
    step_values: RefCell<Vec<Value>>,
    budget: Arc<Budget>,
    is_costly: bool,
    vars: BTreeMap<&'a str, Value>,
    secret_vars: BTreeSet<&'a str>,
    /// Texts that were made of secrets and sent.
    secret_texts: RefCell<BTreeSet<String>>,
    /// Bytes of values that were put together for the next request so far.
    rendered: Cell<usize>,
    rotating_vars: BTreeSet<&'a str>,
    /// Those that are made from responses.
    response_vars: BTreeSet<&'a str>,
}

impl Recipe {
    /// Begins a fetch.
    ///
    /// # Errors
    /// `Config`: a value is missing. Names both ends.
    pub fn begin(&self, facts: Facts) -> Result<Run<'_>, Failure> {
        self.demand(&facts)?;
        let chosen = if facts.has_saved && !self.refresh_requests.is_empty() {
            &self.refresh_requests
        } else {
            &self.requests
        };
        let requests = if facts.forced {
            render::forced(chosen, &self.policy.force)
        } else {
            chosen.clone()
        };
        let is_secret = |name: &str| match (name, self.form) {
            ("tokens" | "steps", _) => true,
            (name, Form::Inherited | Form::Function) => !name.is_empty(),
            (name, Form::OAuth2 | Form::General) => {
                self.input(name).is_some_and(|input| input.secret)
            }
        };
        let rotates = |name: &str| {
            self.input(name)
                .is_some_and(|input| input.from == Origin::Rotating)
        };
        let inputs_bytes: usize = facts.inputs.iter().map(|(_, value)| value.len()).sum();
        Ok(Run {
            secret_vars: self.vars_with(is_secret),
            rotating_vars: self.vars_with(rotates),
            response_vars: self.vars_with(|name| name == "steps"),
            secret_texts: RefCell::default(),
            rendered: Cell::default(),
            recipe: self,
            facts,
            requests,
            steps: Vec::new(),
            refused: None,
            step_values: RefCell::default(),
            budget: Budget::of_run(RunLimits::default()),
            is_costly: self.is_costly() || inputs_bytes > LARGE,
            vars: BTreeMap::new(),
        })
    }

    /// The vars into which goes what `is` says, however deep.
    fn vars_with(&self, is: impl Fn(&str) -> bool) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        loop {
            let before = found.len();
            for var in &self.vars {
                let names = var_templates(var).into_iter().flat_map(Template::names);
                if names.map(top).any(|name| is(name) || found.contains(name)) {
                    found.insert(var.name.as_str());
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    fn demand(&self, facts: &Facts) -> Result<(), Failure> {
        let is_missing = |name: &str| facts.inputs.get(name).is_none();
        let missing = super::Definition::Config(Box::new(self.clone())).references();
        let missing = missing
            .iter()
            .filter(|reference| reference.is_needed() && is_missing(&reference.name));
        let words: Vec<_> = missing
            .map(|reference| reference.missing_in(&facts.secret))
            .collect();
        if words.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(FailureKind::Config, words.join("; ")))
        }
    }

    /// The secrets whose tokens are needed first.
    ///
    /// # Errors
    /// `Config`: a name cannot be worked out.
    pub fn bases(&self, inputs: &Credentials) -> Result<Vec<BaseName>, Failure> {
        let names = InputNames::new(self, inputs);
        let text = |template: &Template| {
            let rendered = template.text(&names).map_err(config)?;
            let rendered = rendered
                .map(|text| text.real)
                .filter(|text| !text.is_empty());
            rendered.ok_or_else(|| config(format!("{}: has no value", template.pointer())))
        };
        let bases = self.depends_on.iter().map(|base| {
            let secret = SecretId::new(text(&base.realm)?, text(&base.key)?);
            let is_written = base.realm.as_literal().and(base.key.as_literal()).is_some();
            let named_at = || crate::json::pointer("named at /config/depends_on", &base.alias);
            Ok(BaseName {
                alias: base.alias.clone(),
                shown: if is_written {
                    secret.to_string()
                } else {
                    named_at()
                },
                secret,
            })
        });
        bases.collect()
    }

    /// Whether both use the tokens of the same secrets.
    #[must_use]
    pub fn depends_like(&self, other: &Self) -> bool {
        self.depends_on == other.depends_on
    }

    /// The aliases of the tokens that it is made from.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.depends_on.iter().map(|base| base.alias.as_str())
    }

    /// The realms it depends on, where they are written out.
    #[must_use]
    pub fn literal_bases(&self) -> Vec<&str> {
        let literal = self
            .depends_on
            .iter()
            .filter_map(|base| base.realm.as_literal());
        literal.filter_map(Json::as_str).collect()
    }

    /// The secrets it depends on: alias, realm and key, where these are written out.
    pub fn named_bases(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        self.depends_on.iter().map(|base| {
            let [realm, key] = [&base.realm, &base.key]
                .map(|template| template.as_literal().and_then(Json::as_str));
            (base.alias.as_str(), realm, key)
        })
    }

    /// Whether anything is called.
    #[must_use]
    pub fn calls(&self) -> bool {
        !self.requests.is_empty()
    }
}

fn config(detail: String) -> Failure {
    let kind = if detail.ends_with(OUT_OF_TIME) {
        FailureKind::TimedOut
    } else {
        FailureKind::Config
    };
    Failure::new(kind, detail)
}

/// Words without the addresses in them: what a host that was worked out means would tell what it was
/// made of.
fn without_addresses(detail: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let words = detail.split(' ').map(|word| {
        let inside = word
            .trim_matches(|c| !is_part(c))
            .trim_end_matches([',', '.', ':']);
        let is_address = [inside, word.trim_matches(['[', ']', ','])]
            .iter()
            .any(|text| text.parse::<std::net::IpAddr>().is_ok());
        if is_address {
            "(its address is not shown)"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn too_large(status: u16) -> Failure {
    let detail = format!(
        "the provider's answer (HTTP {status}) and those before it are larger together than \
         upstream.max_response_bytes allows"
    );
    Failure {
        is_response: true,
        ..Failure::new(FailureKind::Malformed, detail)
    }
}

impl<'a> Run<'a> {
    /// The same run within these bounds.
    #[must_use]
    pub fn within(mut self, limits: RunLimits) -> Self {
        self.budget = Budget::of_run(limits);
        self
    }

    /// Whether its next part may take more than a few milliseconds: it signs, has much to work on,
    /// or `response` is large.
    #[must_use]
    pub fn is_costly(&self, response: Option<&RawResponse>) -> bool {
        let taken = self.budget.response_bytes();
        self.is_costly || response.map_or(taken, |raw| taken + raw.body.len()) > LARGE
    }

    /// The next request; `None`: there is no more to ask.
    ///
    /// # Errors
    /// `Config`: a value cannot be worked out or does not fit where it goes; `Malformed`:
    /// an earlier response lacks it.
    pub fn next_request(&mut self) -> Result<Option<Request>, Failure> {
        let Some(request) = self.requests.get(self.steps.len()).cloned() else {
            return Ok(None);
        };
        self.budget.set_untimed(false);
        self.demand_time()?;
        self.rendered.set(0);
        let templates = request_templates(&request);
        self.work_out_for(&templates)?;
        let tls = self.tls()?;
        let spends = self.spends(&request);
        render::request(self, &request, tls, spends)
            .map(Some)
            .map_err(|wrong| self.wrong(&templates, wrong))
    }

    /// Whether a rotating input goes into a request.
    fn spends(&self, request: &RequestTemplate) -> bool {
        let names = request_templates(request)
            .into_iter()
            .flat_map(Template::names)
            .map(top);
        let rotates = |name: &str| {
            self.rotating_vars.contains(name)
                || self
                    .recipe
                    .input(name)
                    .is_some_and(|input| input.from == Origin::Rotating)
        };
        names.into_iter().any(rotates)
    }

    /// Evaluates the response of the last request; returns what is to be stored of it.
    ///
    /// # Errors
    /// What the provider refused, or what is wrong with its response.
    pub fn take(&mut self, raw: RawResponse) -> Result<Saved, Failure> {
        let index = self.steps.len();
        let request = self.requests.get(index);
        // What a late response brings must not be lost: a grant, or a token that ended the one
        // before. The time counts again when another request is worked out.
        self.budget.set_untimed(true);
        if !self.budget.charge_response(raw.body.len()) {
            return Err(too_large(raw.status));
        }
        let rules = request
            .and_then(|request| request.response.as_ref())
            .unwrap_or(&self.recipe.response);
        let left = Cell::new(self.budget.values_left());
        self.steps.push(StepResponse::read(raw, rules, &left));
        self.budget.set_values_left(left.get());
        let untestable = self.work_out_for_evaluation(index);
        if let Err(failure) = self.evaluate(index) {
            self.refused = self.steps.pop();
            self.step_values.borrow_mut().truncate(index);
            let is_good = self
                .refused
                .as_ref()
                .is_some_and(|response| (200..300).contains(&response.status));
            // Where the status says success, it is the test that is wrong.
            return Err(untestable.filter(|_| is_good).unwrap_or(failure));
        }
        Ok(self.saved(index))
    }

    fn demand_time(&self) -> Result<(), Failure> {
        let over = |wrong: String| Failure::new(FailureKind::TimedOut, wrong);
        self.budget.demand_time().map_err(over)
    }

    /// The token, once there is no more to ask.
    ///
    /// # Errors
    /// `Malformed`, `Refused`, … when no token is found; `Config` when it cannot be worked out.
    pub fn finish(&mut self) -> Result<Fetched, Failure> {
        self.demand_time()?;
        self.work_out_results()?;
        self.fetched()
    }

    /// The failure with every secret value masked in the provider's words.
    #[must_use]
    pub fn masked(&self, failure: Failure) -> Failure {
        let declared = |name: &str| self.recipe.input(name).is_some_and(|input| !input.secret);
        let mut secrets: Credentials = self
            .facts
            .inputs
            .iter()
            .filter(|(name, _)| !declared(name))
            .collect();
        for (alias, token) in &self.facts.tokens {
            secrets.set(format!("tokens.{alias}"), token.expose());
        }
        for (name, value) in self
            .vars
            .iter()
            .filter(|(name, _)| self.secret_vars.contains(*name))
        {
            if let Some(text) = value.as_str() {
                secrets.set(format!("vars.{name}"), text);
            }
        }
        for (number, response) in self.steps.iter().chain(&self.refused).enumerate() {
            for (place, taken) in self.recipe.granted().enumerate() {
                let found = self
                    .find_in(taken, response)
                    .as_ref()
                    .and_then(super::location::scalar);
                if let Some(text) = found {
                    secrets.set(format!("taken.{number}.{place}"), text);
                }
            }
        }
        for (number, text) in self.secret_texts.borrow().iter().enumerate() {
            secrets.set(format!("sent.{number}"), text.as_str());
        }
        let mut failure = failure.masked(&secrets);
        let asked = self.requests.get(self.steps.len());
        if asked.is_some_and(|request| !request.url.authority().names.is_empty()) {
            failure.detail = without_addresses(&failure.detail);
        }
        failure
    }

    /// Notes the size of a value that goes into a request, or into a var of JSON.
    fn charge(&self, template: &Template, bytes: usize) -> Result<(), String> {
        let whole = self.rendered.get().saturating_add(bytes);
        self.rendered.set(whole);
        if whole > LARGEST_REQUEST {
            return Err(format!(
                "{}: makes a request of more than {LARGEST_REQUEST} bytes",
                template.pointer()
            ));
        }
        Ok(())
    }

    /// How many responses were taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The client certificate and the CA, if the realm has some.
    fn tls(&mut self) -> Result<Option<TlsMaterial>, Failure> {
        let recipe: &'a Recipe = self.recipe;
        let Some(tls) = &recipe.tls else {
            return Ok(None);
        };
        self.work_out_for(
            &[&tls.certificate, &tls.key, &tls.ca]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
        )?;
        let pem = |template: &Option<Template>| -> Result<Option<String>, Failure> {
            let Some(template) = template else {
                return Ok(None);
            };
            let text: Option<Rendered<String>> = template.text(self).map_err(config)?;
            Ok(text
                .map(|text| super::template::pem(&text.real))
                .filter(|text| !text.is_empty()))
        };
        let material = TlsMaterial {
            certificate: pem(&tls.certificate)?,
            key: pem(&tls.key)?,
            ca: pem(&tls.ca)?,
        };
        Ok(Some(material)
            .filter(|material| material.certificate.is_some() || material.ca.is_some()))
    }
}

#[cfg(test)]
mod tests;
