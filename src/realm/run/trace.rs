//! What a fetch found and why, for the operator who tries a definition: secrets masked.

use serde_json::{Map, Value as Json, json};

use super::Run;
use super::structure::kind;
use crate::realm::Fetched;
use crate::realm::location::{Location, scalar};
use crate::realm::recipe::{Condition, Expires, Output};
use crate::realm::response::StepResponse;
use crate::secret::MASK;

/// Members and headers whose values are never shown, wherever they stand: parts of their names.
const HIDDEN: [&str; 14] = [
    "token",
    "secret",
    "ticket",
    "password",
    "passwd",
    "assertion",
    "signature",
    "session",
    "cookie",
    "credential",
    "key",
    "authorization",
    "jwt",
    "grant",
];
/// Members whose names sound like that and are harmless.
const HARMLESS: [&str; 5] = ["type", "expire", "status", "_at", "url"];
/// A text of so many characters without a blank may be a secret whatever it is called.
const OPAQUE: usize = 40;
/// The longest text shown, in characters.
const LONGEST: usize = 500;

impl Run<'_> {
    /// The last response as it may be shown: `{"status", "headers", "body"}`.
    #[must_use]
    pub fn shown_response(&self) -> Option<Json> {
        self.refused
            .as_ref()
            .or(self.steps.last())
            .map(|response| self.shown(response))
    }

    fn shown(&self, response: &StepResponse) -> Json {
        let known = self.known_secrets(response);
        let headers: Map<_, _> = response
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), hidden_text(name, value, &known).into()))
            .collect();
        let body = match &response.document {
            Some(document) => hidden("", document, &known),
            None => cut(&without(&response.text, &known)).into(),
        };
        json!({"status": response.status, "headers": headers, "body": body})
    }

    /// Values that are secret for sure: what goes in, and what the realm takes out.
    pub(super) fn known_secrets(&self, response: &StepResponse) -> Vec<String> {
        let found = |location| self.find_in(location, response).as_ref().and_then(scalar);
        let taken = self.recipe.taken().filter_map(found);
        let taken = taken.filter(|text| text.len() >= 4);
        self.known_inputs().into_iter().chain(taken).collect()
    }

    /// Those of them that do not depend on a response.
    fn known_inputs(&self) -> Vec<String> {
        let declared = |name: &str| self.recipe.input(name).is_some_and(|input| !input.secret);
        let inputs = self
            .facts
            .inputs
            .iter()
            .filter(|(name, _)| !declared(name))
            .map(|(_, value)| value.to_owned());
        let tokens = self
            .facts
            .tokens
            .values()
            .map(|token| token.expose().to_owned());
        let made = self
            .vars
            .iter()
            .filter(|(name, _)| self.secret_vars.contains(*name))
            .filter_map(|(_, value)| value.as_str().map(str::to_owned));
        let sent: Vec<String> = self.secret_texts.borrow().iter().cloned().collect();
        inputs
            .chain(tokens)
            .chain(made)
            .chain(sent)
            .filter(|text| text.len() >= 4)
            .collect()
    }

    /// What was looked for, where, and whether it was found.
    #[must_use]
    pub fn findings(&self, fetched: Option<&Fetched>) -> Vec<Json> {
        let mut all: Vec<Json> = self
            .recipe
            .success_when
            .iter()
            .filter_map(|condition| self.tested(condition))
            .collect();
        let found = self
            .recipe
            .token
            .iter()
            .find(|place| self.find(place).is_some_and(|value| !value.is_null()));
        let places: Vec<_> = self.recipe.token.iter().map(Location::as_str).collect();
        all.push(json!({"what": "token", "from": found.map_or(places.join(", "), |place| place.as_str().to_owned()),
            "found": fetched.is_some()}));
        all.extend(self.expiry_finding());
        for (name, output) in &self.recipe.outputs {
            let from = match output {
                Output::Found(place) => place.as_str(),
                Output::Made(_) => "a template",
            };
            let found = fetched
                .is_some_and(|fetched| fetched.outputs.iter().any(|(other, _)| other == name));
            all.push(json!({"what": format!("outputs.{name}"), "from": from, "found": found}));
        }
        for save in &self.recipe.save {
            let found = self.find(&save.from).is_some_and(|value| !value.is_null());
            all.push(
                json!({"what": format!("save.{}", save.input), "from": save.from.as_str(), "found": found}),
            );
        }
        all
    }

    fn tested(&self, condition: &Condition) -> Option<Json> {
        let response = self.refused.as_ref().or(self.steps.last())?;
        let (from, wanted) = match condition {
            Condition::Status(statuses) => ("status", format!("one of {statuses:?}")),
            Condition::Equals {
                at,
                values,
                missing_ok,
            } => {
                let or_missing = if *missing_ok { " or nothing" } else { "" };
                (at.as_str(), format!("{}{or_missing}", values.join(", ")))
            }
            Condition::NotEquals { at, values } => {
                (at.as_str(), format!("not {}", values.join(", ")))
            }
            Condition::Absent(at) => (at.as_str(), "nothing".to_owned()),
            Condition::Present(at) => (at.as_str(), "anything".to_owned()),
        };
        let value = condition
            .location()
            .and_then(|at| self.find_in(at, response))
            .map(|value| {
                (
                    kind(&value),
                    hidden("", &value, &self.known_secrets(response)),
                )
            });
        let (kind, value) = value.unzip();
        Some(
            json!({"what": "success_when", "from": from, "wanted": wanted, "value": value, "type": kind,
            "found": self.holds(condition, response)}),
        )
    }

    fn expiry_finding(&self) -> Option<Json> {
        match &self.recipe.expires {
            Expires::Told { at, unit, .. } => {
                let found = at.iter().find_map(|place| {
                    Some((place, self.find(place).filter(|value| !value.is_null())?))
                });
                let from: Vec<_> = at.iter().map(Location::as_str).collect();
                let known = match self.steps.last() {
                    Some(response) => self.known_secrets(response),
                    None => self.known_inputs(),
                };
                let from = found
                    .as_ref()
                    .map_or(from.join(", "), |(place, _)| place.as_str().to_owned());
                let kind = found.as_ref().map(|(_, value)| kind(value));
                let value = found.map(|(_, value)| hidden("", &value, &known));
                Some(
                    json!({"what": "expires", "from": from, "unit": unit.name(), "value": value, "type": kind,
                        "found": value.is_some()}),
                )
            }
            Expires::Lifetime(lifetime) => Some(
                json!({"what": "expires", "from": "lifetime", "value": lifetime.as_secs(), "found": true}),
            ),
            Expires::JwtExp { .. } => Some(
                json!({"what": "expires", "from": "the exp claim of the token", "found": true}),
            ),
            Expires::Never => Some(json!({"what": "expires", "from": "never", "found": true})),
            Expires::Untold => None,
        }
    }
}

fn is_hidden(name: &str) -> bool {
    let name = name.to_lowercase();
    HIDDEN.iter().any(|part| name.contains(part))
        && !HARMLESS.iter().any(|part| name.contains(part))
}

fn hidden(name: &str, value: &Json, known: &[String]) -> Json {
    match value {
        Json::String(text) => hidden_text(name, text, known).into(),
        Json::Array(list) => list.iter().map(|item| hidden(name, item, known)).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), hidden(name, value, known)))
            .collect::<Map<_, _>>()
            .into(),
        Json::Number(_) if known.contains(&value.to_string()) => MASK.into(),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

fn hidden_text(name: &str, text: &str, known: &[String]) -> String {
    let is_opaque = text.chars().count() >= OPAQUE && !text.contains(char::is_whitespace);
    if !text.is_empty() && (is_hidden(name) || is_opaque) {
        return MASK.to_owned();
    }
    cut(&without(text, known))
}

fn without(text: &str, known: &[String]) -> String {
    known.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.as_str(), MASK)
    })
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
