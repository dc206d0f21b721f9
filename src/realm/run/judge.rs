//! Judging what a provider answered: a token and its life, or why not.
//!
//! No token found is a failure, always, whatever the status says: most providers answer errors with HTTP 200.

use std::time::Duration;

use serde_json::Value as Json;

use super::{Run, Saved};
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::realm::answer::{
    Answer, Expiry, known_class, provider_says, says_error, status_kind, unreadable, words,
};
use crate::realm::document::StepAnswer;
use crate::realm::form::{Codes, Condition, Expires, Output, Style, Unit};
use crate::realm::location::{Location, scalar};
use crate::realm::template::Template;
use crate::realm::time::{date_ms, days_hours_minutes, rfc3339_ms};
use crate::token::TokenText;

impl Run<'_> {
    /// Whether an answer lets the fetch go on.
    pub(super) fn judge(&self, index: usize, answer: &StepAnswer) -> Result<(), Failure> {
        let is_last = index + 1 >= self.requests.len();
        let own = self.requests.get(index).map(|request| request.success_when.as_slice()).unwrap_or_default();
        let conditions = match own {
            [] if is_last => self.form.success_when.as_slice(),
            own => own,
        };
        let names_status = conditions.iter().any(|condition| matches!(condition, Condition::Status(_)));
        if !names_status && !(200..300).contains(&answer.status) {
            let is_redirect = (300..400).contains(&answer.status);
            return Err(if is_redirect { self.refusal(answer) } else { self.refusal_or_unreadable(answer) });
        }
        if answer.document.is_none() && self.needs_body(is_last, conditions) {
            return Err(self.refusal_or_unreadable(answer));
        }
        if let Some(broken) = conditions.iter().find(|condition| !condition.holds(answer)) {
            return Err(self.broken(broken, answer));
        }
        let knows_errors = self.form.style.knows_errors();
        if knows_errors && answer.document.as_ref().is_some_and(says_error) {
            return Err(self.refusal(answer));
        }
        Ok(())
    }

    /// Whether the body as read is needed to judge.
    fn needs_body(&self, is_last: bool, conditions: &[Condition]) -> bool {
        let for_token = is_last
            && self.form.token.iter().all(|token| {
                token.is_in_body() && token.step(self.requests.len()) + 1 == self.requests.len()
            });
        for_token || conditions.iter().any(|condition| condition.location().is_some_and(Location::is_in_body))
    }

    /// Where the body is not what the realm says and tells nothing either, that is what there is to say.
    fn refusal_or_unreadable(&self, answer: &StepAnswer) -> Failure {
        let says_nothing = answer.document.is_none() && self.says(answer) == ProviderSays::default();
        let failure = if says_nothing { unreadable(answer) } else { self.refusal(answer) };
        Failure { retry_after: retry_after(answer), ..failure }
    }

    /// A condition does not hold: the provider refused. Where the answer has no code of its own, what was tested is it.
    fn broken(&self, condition: &Condition, answer: &StepAnswer) -> Failure {
        let mut failure = self.refusal(answer);
        if failure.provider.code.is_none()
            && let Condition::Equals { at, .. } | Condition::NotEquals { at, .. } = condition
            && let Some(code) = at.find(answer).as_ref().and_then(words)
        {
            failure.kind = self.class_of(&code).unwrap_or(failure.kind);
            failure.provider.code = Some(code);
        }
        failure
    }

    /// The provider refused: why, in its words, and of which class.
    fn refusal(&self, answer: &StepAnswer) -> Failure {
        let says = self.says(answer);
        let by_status = status_kind(answer.status);
        let by_code = says.code.as_deref().and_then(|code| self.class_of(code));
        let known =
            || answer.document.as_ref().filter(|_| self.form.style == Style::Inherited).and_then(known_class);
        let by_code = by_code.or_else(known);
        let kind = by_code.or(by_status).unwrap_or(FailureKind::Refused);
        let status = answer.status;
        let detail = match kind {
            FailureKind::Busy if by_code.is_none() => {
                format!("the provider is overloaded or broken (HTTP {status})")
            }
            FailureKind::Busy => format!("the provider asks to come back later (HTTP {status})"),
            FailureKind::Malformed => {
                format!("the provider redirects (HTTP {status}), which is not followed")
            }
            FailureKind::Quota => format!("the provider says that a quota is used up (HTTP {status})"),
            FailureKind::Dependency => {
                format!("the provider refused the token that this one depends on (HTTP {status})")
            }
            FailureKind::Reauthorise => format!(
                "the provider refused the grant (HTTP {status}): authorise again and store the new one"
            ),
            FailureKind::Config | FailureKind::Refused | FailureKind::Unreachable | FailureKind::TimedOut => {
                format!("the provider refused (HTTP {status})")
            }
        };
        let is_throttled = status == 429;
        let retry_after = retry_after(answer);
        Failure { provider: says, is_throttled, retry_after, is_answer: true, ..Failure::new(kind, detail) }
    }

    /// Code and message where the realm says, else where providers put them.
    fn says(&self, answer: &StepAnswer) -> ProviderSays {
        let errors = &self.form.errors;
        let answer = &*answer.as_error();
        let first = |places: &[Location]| {
            places
                .iter()
                .find_map(|place| place.find(answer).as_ref().and_then(|value| words(&scalar(value)?.into())))
        };
        let guessed = answer.document.as_ref().map(provider_says).unwrap_or_default();
        let code = first(&errors.code).or_else(|| guessed.code.filter(|_| errors.code.is_empty()));
        let message =
            first(&errors.message).or_else(|| guessed.message.filter(|_| errors.message.is_empty()));
        ProviderSays { code, message }
    }

    /// The class that the realm gives to a code.
    fn class_of(&self, code: &str) -> Option<FailureKind> {
        let errors = &self.form.errors;
        let is_in = |codes: &Codes| {
            codes.iter().any(|listed| match listed.strip_suffix('*') {
                Some(beginning) => code.starts_with(beginning),
                None => code == listed,
            })
        };
        let classes = [
            (&errors.dependency, FailureKind::Dependency),
            (&errors.reauthorise, FailureKind::Reauthorise),
            (&errors.quota, FailureKind::Quota),
            (&errors.busy, FailureKind::Busy),
            (&errors.config, FailureKind::Config),
        ];
        let listed = classes.into_iter().find(|(codes, _)| is_in(codes)).map(|(_, kind)| kind);
        let is_lost_grant = self.form.rotates() && errors.reauthorise.is_empty() && code == "invalid_grant";
        listed.or_else(|| is_lost_grant.then_some(FailureKind::Reauthorise))
    }

    /// What of an answer is to be stored at once.
    pub(super) fn saved(&self, index: usize) -> Result<Saved, Failure> {
        let count = self.requests.len();
        let mut saved = Saved::default();
        for save in self.form.save.iter().filter(|save| save.from.step(count) == index) {
            let found =
                self.find(&save.from).as_ref().and_then(scalar).filter(|text| !text.trim().is_empty());
            let Some(text) = found else { continue };
            if let Some(expires) = &save.expires
                && let Expiry::In(life) = self.expiry(expires, &text)?
            {
                saved.expires_at = Some(self.facts.now.plus(life));
            }
            saved.values.set(save.input.clone(), text);
        }
        Ok(saved)
    }

    /// Works out the vars that token, expiry and outputs are made of.
    pub(super) fn work_out_results(&mut self) -> Result<(), Failure> {
        let form = self.form;
        let found = form.outputs.iter().filter_map(|(_, output)| match output {
            Output::Found(location) => Some(location),
            Output::Made(_) => None,
        });
        let locations = form.token.iter().chain(found).filter_map(Location::var);
        let made = form.outputs.iter().filter_map(|(_, output)| match output {
            Output::Made(template) => Some(template),
            Output::Found(_) => None,
        });
        self.work_out_for(made.collect())?;
        locations.into_iter().try_for_each(|name| self.work_out(name))
    }

    /// The token with its life and outputs.
    pub(super) fn answer(&self) -> Result<Answer, Failure> {
        let token = self.form.token.iter().find_map(|place| self.find(place).as_ref().and_then(token_text));
        let token = token.ok_or_else(|| self.no_token())?;
        let expiry = self.expiry(&self.form.expires, &token)?;
        let mut outputs = Vec::new();
        for (name, output) in &self.form.outputs {
            let value = match output {
                Output::Found(place) => self.find(place).filter(|value| !value.is_null()),
                Output::Made(template) => self.made(template, &token),
            };
            outputs.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(Answer { token: TokenText::from(token), expiry, outputs, grant_expires_at: None })
    }

    /// An output that is made; one that lacks something is left out.
    fn made(&self, template: &Template, token: &str) -> Option<Json> {
        let scope = WithToken { run: self, token };
        template.json(&scope).ok().flatten().map(|value| value.real)
    }

    pub(super) fn find(&self, place: &Location) -> Option<Json> {
        match place.var() {
            Some(name) => self.var_text(name).map(Json::from),
            None => place.find(self.steps.get(place.step(self.requests.len()))?),
        }
    }

    fn no_token(&self) -> Failure {
        let places: Vec<_> = self.form.token.iter().map(Location::as_str).collect();
        let Some(last) = self.steps.last() else {
            return Failure::new(FailureKind::Config, format!("the token at {} is empty", places.join(", ")));
        };
        let says = self.says(last);
        let has_class = says.code.as_deref().and_then(|code| self.class_of(code)).is_some();
        // Where the realm says what success looks like, and it does, the realm looks for the token in the wrong place.
        let was_tested = self.form.success_when.iter().any(|condition| condition.location().is_some());
        if has_class || (says != ProviderSays::default() && !was_tested) {
            return self.refusal(last);
        }
        let status = last.status;
        let detail = format!("the provider's answer (HTTP {status}) has no token at {}", places.join(", "));
        Failure { provider: says, is_answer: true, ..Failure::new(FailureKind::Malformed, detail) }
    }

    /// How long a token, or a grant, lives.
    fn expiry(&self, expires: &Expires, token: &str) -> Result<Expiry, Failure> {
        match expires {
            Expires::Never => Ok(Expiry::Never),
            Expires::Untold => Ok(Expiry::Untold),
            Expires::Lifetime(lifetime) => Ok(Expiry::In(*lifetime)),
            Expires::JwtExp { default } => match jwt_exp_ms(token) {
                Some(at) => self.until(at),
                None => Ok(default.map_or(Expiry::Untold, Expiry::In)),
            },
            Expires::Told { at, unit, default } => {
                let value = at.iter().find_map(|place| self.find(place).filter(is_told));
                let Some(value) = value else { return Ok(default.map_or(Expiry::Untold, Expiry::In)) };
                self.told(&value, *unit)
            }
        }
    }

    fn told(&self, value: &Json, unit: Unit) -> Result<Expiry, Failure> {
        let text = scalar(value).filter(|_| !value.is_boolean()).ok_or_else(impossible)?;
        let number =
            || text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(impossible);
        match unit {
            Unit::Seconds => in_seconds(number()?),
            Unit::Milliseconds => in_seconds(number()? / 1000.0),
            Unit::Minutes => in_seconds(number()? * 60.0),
            Unit::EpochSeconds => self.until_number(number()? * 1000.0),
            Unit::EpochMilliseconds => self.until_number(number()?),
            Unit::Rfc3339 => self.until(rfc3339_ms(&text).ok_or_else(impossible)?),
            Unit::Date => self.until(date_ms(&text).ok_or_else(impossible)?),
            Unit::DurationDhm => in_seconds(days_hours_minutes(&text).ok_or_else(impossible)?.as_secs_f64()),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    fn until_number(&self, at_ms: f64) -> Result<Expiry, Failure> {
        if !(0.0..LONGEST_SECONDS * 10_000.0).contains(&at_ms) {
            return Err(impossible());
        }
        self.until(at_ms as i64)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of at most a few hundred years")]
    fn until(&self, at_ms: i64) -> Result<Expiry, Failure> {
        in_seconds(at_ms.saturating_sub(self.facts.now.epoch_ms()) as f64 / 1000.0)
    }
}

/// The seconds form of Retry-After (RFC 9110 §10.2.3), at most a day; its date form is left out.
fn retry_after(answer: &StepAnswer) -> Option<Duration> {
    let seconds: u64 = answer.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}

/// What outputs see: all that requests do, and the token.
struct WithToken<'a, 'b> {
    run: &'a Run<'b>,
    token: &'a str,
}

impl crate::realm::template::Scope for WithToken<'_, '_> {
    fn value(&self, name: &str) -> Option<minijinja::Value> {
        if name == "token" { Some(self.token.into()) } else { self.run.value(name) }
    }

    fn is_secret(&self, _: &str) -> bool {
        true
    }
}

impl Condition {
    pub(super) fn location(&self) -> Option<&Location> {
        match self {
            Self::Status(_) => None,
            Self::Equals { at, .. } | Self::NotEquals { at, .. } | Self::Absent(at) | Self::Present(at) => {
                Some(at)
            }
        }
    }

    pub(super) fn holds(&self, answer: &StepAnswer) -> bool {
        let found = |at: &Location| at.find(answer).filter(|value| !value.is_null());
        let is_one = |value: &Json, values: &Codes| scalar(value).is_some_and(|text| values.contains(&text));
        match self {
            Self::Status(statuses) => statuses.contains(&answer.status),
            Self::Equals { at, values, missing_ok } => {
                found(at).map_or(*missing_ok, |value| is_one(&value, values))
            }
            Self::NotEquals { at, values } => !found(at).is_some_and(|value| is_one(&value, values)),
            Self::Absent(at) => found(at).is_none(),
            Self::Present(at) => found(at).is_some(),
        }
    }
}

fn token_text(value: &Json) -> Option<String> {
    scalar(value).filter(|text| !value.is_boolean() && !text.trim().is_empty())
}

/// `null` and an empty text count as not told.
fn is_told(value: &Json) -> bool {
    !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty())
}

/// The longest life believed: a hundred years.
const LONGEST_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

fn in_seconds(seconds: f64) -> Result<Expiry, Failure> {
    if (1.0..=LONGEST_SECONDS).contains(&seconds) {
        return Ok(Expiry::In(Duration::from_secs_f64((seconds * 1000.0).round() / 1000.0)));
    }
    Err(impossible())
}

fn impossible() -> Failure {
    let detail =
        "the provider's expiry is not a time from 1 second to 100 years from now; nothing was stored";
    Failure { is_answer: true, ..Failure::new(FailureKind::Malformed, detail) }
}

/// Above this an `exp` is in milliseconds, as some issuers write it: as seconds it would be the year 5138.
const LARGEST_EXP_SECONDS: i64 = 100_000_000_000;

/// The `exp` claim of a JWT (RFC 7519 §4.1.4) in milliseconds; its signature is the provider's business.
fn jwt_exp_ms(token: &str) -> Option<i64> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1)?.trim_end_matches('=');
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Json = serde_json::from_slice(&claims).ok()?;
    let exp = claims.get("exp").and_then(scalar)?.parse::<f64>().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let exp = exp as i64;
    Some(if exp > LARGEST_EXP_SECONDS { exp } else { exp.saturating_mul(1000) })
}
