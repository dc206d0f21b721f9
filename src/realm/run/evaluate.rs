//! Evaluates a provider's responses: a token and its life, or why not.
//!
//! No token found is a failure, always, whatever the status says: most providers answer errors with
//! HTTP 200.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value as Json;

use super::{Run, Saved};
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::realm::location::{Location, scalar};
use crate::realm::outcome::{
    Expiry, Fetched, known_class, provider_says, says_error, status_kind, unreadable, words,
};
use crate::realm::recipe::templates::step_of_var;
use crate::realm::recipe::{Codes, Condition, Expires, Form, Output};
use crate::realm::response::StepResponse;
use crate::realm::template::{Template, is_absence};
use crate::token::TokenText;

impl Run<'_> {
    /// Whether a response lets the fetch go on.
    pub(super) fn evaluate(&self, index: usize) -> Result<(), Failure> {
        let Some(response) = self.steps.get(index) else {
            return Ok(());
        };
        let is_last = index + 1 >= self.requests.len();
        let conditions = self.conditions(index);
        let names_status = conditions
            .iter()
            .any(|condition| matches!(condition, Condition::Status(_)));
        if !names_status && !(200..300).contains(&response.status) {
            let is_redirect = (300..400).contains(&response.status);
            return Err(if is_redirect {
                self.refusal(response)
            } else {
                self.refusal_or_unreadable(response)
            });
        }
        if response.document.is_none() && self.needs_body(is_last, conditions) {
            return Err(self.refusal_or_unreadable(response));
        }
        if let Some(broken) = conditions
            .iter()
            .find(|condition| !self.holds(condition, response))
        {
            return Err(self.broken(broken, response));
        }
        let knows_errors = self.recipe.form.knows_errors();
        if knows_errors && response.document.as_ref().is_some_and(says_error) {
            return Err(self.refusal(response));
        }
        Ok(())
    }

    /// What has to hold for a response.
    fn conditions(&self, index: usize) -> &[Condition] {
        let own = self
            .requests
            .get(index)
            .map(|request| request.success_when.as_slice())
            .unwrap_or_default();
        let is_last = index + 1 >= self.requests.len();
        if own.is_empty() && is_last {
            &self.recipe.success_when
        } else {
            own
        }
    }

    /// Works out the vars by which a response is evaluated, also one that refuses, and those that
    /// are not to be shown with it: what it lacks for them is not there.
    ///
    /// Returns why a var that is tested cannot be worked out, other than for what the response
    /// lacks.
    pub(super) fn work_out_for_evaluation(&mut self, index: usize) -> Option<Failure> {
        let recipe = self.recipe;
        let errors = recipe.errors.code.iter().chain(&recipe.errors.message);
        for name in errors.chain(recipe.taken()).filter_map(Location::var) {
            // One that cannot be worked out is found nowhere.
            let _ = self.work_out(name);
        }
        let tested = self
            .conditions(index)
            .iter()
            .filter_map(Condition::location);
        let tested: Vec<String> = tested
            .filter_map(Location::var)
            .map(str::to_owned)
            .collect();
        let failures = tested.iter().filter_map(|name| self.work_out(name).err());
        failures
            .into_iter()
            .find(|failure| !is_absence(&failure.detail))
    }

    /// Whether a condition holds for a response.
    pub(super) fn holds(&self, condition: &Condition, response: &StepResponse) -> bool {
        let found = |at: &Location| self.find_in(at, response).filter(|value| !value.is_null());
        let is_one =
            |value: &Json, values: &Codes| scalar(value).is_some_and(|text| values.contains(&text));
        match condition {
            Condition::Status(statuses) => statuses.contains(&response.status),
            Condition::Equals {
                at,
                values,
                missing_ok,
            } => found(at).map_or(*missing_ok, |value| is_one(&value, values)),
            Condition::NotEquals { at, values } => {
                !found(at).is_some_and(|value| is_one(&value, values))
            }
            Condition::Absent(at) => found(at).is_none(),
            Condition::Present(at) => found(at).is_some(),
        }
    }

    /// The value at a place, seen from a response.
    pub(super) fn find_in(&self, place: &Location, response: &StepResponse) -> Option<Json> {
        match (place.var(), place.named_step()) {
            (None, None) => response.at(place),
            _ => self.find(place),
        }
    }

    /// Whether the body as read is needed to evaluate it.
    fn needs_body(&self, is_last: bool, conditions: &[Condition]) -> bool {
        let for_token = is_last
            && self.recipe.token.iter().all(|token| {
                token.is_in_body() && token.step(self.requests.len()) + 1 == self.requests.len()
            });
        for_token
            || conditions
                .iter()
                .any(|condition| condition.location().is_some_and(Location::is_in_body))
    }

    /// Where the body is not what the realm says and tells nothing either, that is what there is to
    /// say.
    fn refusal_or_unreadable(&self, response: &StepResponse) -> Failure {
        let says_nothing =
            response.document.is_none() && self.says(response) == ProviderSays::default();
        let failure = if says_nothing {
            unreadable(response)
        } else {
            self.refusal(response)
        };
        Failure {
            retry_after: retry_after(response),
            ..failure
        }
    }

    /// A condition does not hold: the provider refused. Where the response has no code of its own,
    /// what was tested is it.
    fn broken(&self, condition: &Condition, response: &StepResponse) -> Failure {
        let mut failure = self.refusal(response);
        if failure.provider.code.is_none()
            && let Condition::Equals { at, .. } | Condition::NotEquals { at, .. } = condition
            && let Some(code) = self.find_in(at, response).as_ref().and_then(words)
        {
            failure.kind = self.class_of(&code).unwrap_or(failure.kind);
            failure.provider.code = Some(code);
        }
        failure
    }

    /// The provider refused: why, in its words, and of which class.
    fn refusal(&self, response: &StepResponse) -> Failure {
        let says = self.says(response);
        let by_status = status_kind(response.status);
        let by_code = says.code.as_deref().and_then(|code| self.class_of(code));
        let known = || {
            response
                .document
                .as_ref()
                .filter(|_| self.recipe.form == Form::Inherited)
                .and_then(known_class)
        };
        let by_code = by_code.or_else(known);
        let kind = by_code.or(by_status).unwrap_or(FailureKind::Refused);
        let status = response.status;
        let detail = match kind {
            FailureKind::Busy if by_code.is_none() => {
                format!("the provider is overloaded or broken (HTTP {status})")
            }
            FailureKind::Busy => format!("the provider asks to come back later (HTTP {status})"),
            FailureKind::Malformed => {
                format!("the provider redirects (HTTP {status}), which is not followed")
            }
            FailureKind::Quota => {
                format!("the provider says that a quota is used up (HTTP {status})")
            }
            FailureKind::Dependency => {
                format!("the provider refused the token that this one depends on (HTTP {status})")
            }
            FailureKind::Reauthorise => format!(
                "the provider refused the grant (HTTP {status}): authorise again and store the new one"
            ),
            FailureKind::Config
            | FailureKind::Refused
            | FailureKind::Unreachable
            | FailureKind::TimedOut => {
                format!("the provider refused (HTTP {status})")
            }
        };
        let is_throttled = status == 429;
        let retry_after = retry_after(response);
        Failure {
            provider: says,
            is_throttled,
            retry_after,
            is_response: true,
            ..Failure::new(kind, detail)
        }
    }

    /// Code and message where the realm says, else where providers put them.
    fn says(&self, response: &StepResponse) -> ProviderSays {
        let errors = &self.recipe.errors;
        let read = response.as_error();
        // Where the realm says is for the format that it says.
        let is_other = |places: &[Location]| places.is_empty() || matches!(read, Cow::Owned(_));
        let first = |places: &[Location]| {
            let found = |place| {
                self.find_in(place, &read)
                    .as_ref()
                    .and_then(|value| words(&scalar(value)?.into()))
            };
            places.iter().find_map(found)
        };
        let guessed = read
            .document
            .as_ref()
            .map(provider_says)
            .unwrap_or_default();
        let code = first(&errors.code).or_else(|| guessed.code.filter(|_| is_other(&errors.code)));
        let message = first(&errors.message)
            .or_else(|| guessed.message.filter(|_| is_other(&errors.message)));
        ProviderSays { code, message }
    }

    /// The class that the realm gives to a code.
    fn class_of(&self, code: &str) -> Option<FailureKind> {
        let errors = &self.recipe.errors;
        let classes = [
            (&errors.dependency, FailureKind::Dependency),
            (&errors.reauthorise, FailureKind::Reauthorise),
            (&errors.quota, FailureKind::Quota),
            (&errors.busy, FailureKind::Busy),
            (&errors.config, FailureKind::Config),
        ];
        let by = |fits: fn(&str, &str) -> bool| {
            let fit = classes
                .iter()
                .find(|(codes, _)| codes.iter().any(|listed| fits(listed, code)));
            fit.map(|(_, kind)| *kind)
        };
        // One that is written out wins over a pattern.
        let listed = by(|listed, code| listed == code).or_else(|| by(is_like));
        let is_lost_grant =
            self.recipe.rotates() && errors.reauthorise.is_empty() && code == "invalid_grant";
        listed.or_else(|| is_lost_grant.then_some(FailureKind::Reauthorise))
    }

    /// What of a response is to be stored at once. Nothing keeps a new grant from being stored: the
    /// old one is spent.
    pub(super) fn saved(&mut self, index: usize) -> Saved {
        let recipe = self.recipe;
        let mut saved = Saved::default();
        for save in &recipe.save {
            if self.step_of(&save.from) != index {
                continue;
            }
            let places = save
                .expires
                .iter()
                .flat_map(Expires::places)
                .chain([&save.from]);
            for name in places.filter_map(Location::var) {
                // One that cannot be worked out is found nowhere.
                let _ = self.work_out(name);
            }
            let found = self
                .find(&save.from)
                .as_ref()
                .and_then(scalar)
                .filter(|text| !text.trim().is_empty());
            let Some(text) = found else { continue };
            // An expiry that cannot be read is none that is known.
            if let Some(Ok(Expiry::In(life))) = save
                .expires
                .as_ref()
                .map(|expires| self.expiry(expires, &text))
            {
                saved.expires_at = Some(self.facts.now.plus(life));
            }
            saved.values.set(save.input.clone(), text);
        }
        saved
    }

    /// The response that a place is in; a var is known with the last one that it is made from.
    fn step_of(&self, place: &Location) -> usize {
        let last = self.requests.len().saturating_sub(1);
        let var = place.var().and_then(|name| step_of_var(self.recipe, name));
        var.unwrap_or_else(|| place.step(self.requests.len()))
            .min(last)
    }

    /// Works out the vars that token, expiry and outputs are made of.
    pub(super) fn work_out_results(&mut self) -> Result<(), Failure> {
        let recipe = self.recipe;
        let found = recipe
            .outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Found(location) => Some(location),
                Output::Made(_) => None,
            });
        self.work_out_found(
            recipe
                .token
                .iter()
                .chain(recipe.expires.places())
                .chain(found),
        )?;
        let made = recipe
            .outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Made(template) => Some(template),
                Output::Found(_) => None,
            });
        self.work_out_for(&made.collect::<Vec<_>>())
    }

    /// Works out the vars among these places; one that lacks a value of a response is found
    /// nowhere.
    fn work_out_found<'b>(
        &mut self,
        places: impl Iterator<Item = &'b Location>,
    ) -> Result<(), Failure> {
        for name in places.filter_map(Location::var) {
            match self.work_out(name) {
                Err(failure) if !is_absence(&failure.detail) => return Err(failure),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The token with its life and outputs.
    pub(super) fn fetched(&self) -> Result<Fetched, Failure> {
        let token = self
            .recipe
            .token
            .iter()
            .find_map(|place| self.find(place).as_ref().and_then(token_text));
        let token = token.ok_or_else(|| self.no_token())?;
        let expiry = self.expiry(&self.recipe.expires, &token)?;
        let mut outputs = Vec::new();
        for (name, output) in &self.recipe.outputs {
            let value = match output {
                Output::Found(place) => self.find(place).filter(|value| !value.is_null()),
                Output::Made(template) => self.made(template, &token),
            };
            outputs.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(Fetched {
            token: TokenText::from(token),
            expiry,
            outputs,
            grant_expires_at: None,
        })
    }

    /// An output that is made; one that lacks something is left out.
    fn made(&self, template: &Template, token: &str) -> Option<Json> {
        let names = WithToken { run: self, token };
        template.json(&names).ok().flatten().map(|value| value.real)
    }

    pub(super) fn find(&self, place: &Location) -> Option<Json> {
        match place.var() {
            Some(name) => self.var_text(name).map(Json::from),
            None => self.steps.get(place.step(self.requests.len()))?.at(place),
        }
    }

    fn no_token(&self) -> Failure {
        let places: Vec<_> = self.recipe.token.iter().map(Location::as_str).collect();
        let Some(last) = self.steps.last() else {
            return Failure::new(
                FailureKind::Config,
                format!("the token at {} is empty", places.join(", ")),
            );
        };
        let says = self.says(last);
        let has_class = says
            .code
            .as_deref()
            .and_then(|code| self.class_of(code))
            .is_some();
        // Where the realm says what success looks like, and it does, the realm looks for the token
        // in the wrong place.
        let was_tested = self
            .recipe
            .success_when
            .iter()
            .any(|condition| condition.location().is_some());
        if has_class || (says != ProviderSays::default() && !was_tested) {
            return self.refusal(last);
        }
        let status = last.status;
        let detail = format!(
            "the provider's answer (HTTP {status}) has no token at {}",
            places.join(", ")
        );
        Failure {
            provider: says,
            is_response: true,
            ..Failure::new(FailureKind::Malformed, detail)
        }
    }
}

/// Whether a text fits a pattern in which each `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The seconds form of Retry-After (RFC 9110 §10.2.3), at most a day; its date form is left out.
fn retry_after(response: &StepResponse) -> Option<Duration> {
    let seconds: u64 = response.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}

/// What outputs see: all that requests do, and the token.
struct WithToken<'a, 'b> {
    run: &'a Run<'b>,
    token: &'a str,
}

impl crate::realm::template::Names for WithToken<'_, '_> {
    fn value(&self, name: &str) -> Option<minijinja::Value> {
        if name == "token" {
            Some(self.token.into())
        } else {
            self.run.value(name)
        }
    }

    fn is_secret(&self, _: &str) -> bool {
        true
    }
}

fn token_text(value: &Json) -> Option<String> {
    scalar(value).filter(|text| !value.is_boolean() && !text.trim().is_empty())
}
