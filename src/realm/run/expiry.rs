//! How long what a provider granted lives.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::Run;
use crate::failure::{Failure, FailureKind};
use crate::realm::location::{Location, scalar};
use crate::realm::outcome::Expiry;
use crate::realm::recipe::{Expires, Unit};
use crate::realm::time::{date_ms, days_hours_minutes, http_date_ms, rfc3339_ms};

impl Run<'_> {
    /// How long a token, or a grant, lives.
    pub(super) fn expiry(&self, expires: &Expires, token: &str) -> Result<Expiry, Failure> {
        match expires {
            Expires::Never => Ok(Expiry::Never),
            Expires::Untold => Ok(Expiry::Untold),
            Expires::Lifetime(lifetime) => Ok(Expiry::In(*lifetime)),
            Expires::JwtExp { default } => match jwt_exp_ms(token) {
                Some(at) => self
                    .until(at)
                    .ok_or_else(|| impossible_at("the exp claim of the token")),
                None => Ok(default.map_or(Expiry::Untold, Expiry::In)),
            },
            Expires::Told {
                at,
                unit,
                zone,
                default,
            } => {
                let told = at
                    .iter()
                    .find_map(|place| Some((place, self.find(place).filter(is_told)?)));
                let Some((place, value)) = told else {
                    return Ok(default.map_or(Expiry::Untold, Expiry::In));
                };
                self.told(&value, *unit, zone)
                    .ok_or_else(|| impossible(place, *unit))
            }
        }
    }

    /// `None`: it is none.
    fn told(&self, value: &Json, unit: Unit, zone: &TimeZone) -> Option<Expiry> {
        let text = scalar(value).filter(|_| !value.is_boolean())?;
        let number = || {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
        };
        match unit {
            Unit::Seconds => in_seconds(number()?),
            Unit::Milliseconds => in_seconds(number()? / 1000.0),
            Unit::Minutes => in_seconds(number()? * 60.0),
            Unit::Hours => in_seconds(number()? * 3600.0),
            Unit::Days => in_seconds(number()? * 86_400.0),
            Unit::EpochSeconds => self.until_number(number()? * 1000.0),
            Unit::EpochMilliseconds => self.until_number(number()?),
            Unit::Rfc3339 => self.until(rfc3339_ms(&text, zone)?),
            Unit::HttpDate => self.until(http_date_ms(&text)?),
            Unit::Date => self.until(date_ms(&text, zone)?),
            Unit::DurationDhm => in_seconds(days_hours_minutes(&text)?.as_secs_f64()),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    fn until_number(&self, at_ms: f64) -> Option<Expiry> {
        if (0.0..LONGEST_SECONDS * 10_000.0).contains(&at_ms) {
            self.until(at_ms as i64)
        } else {
            None
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of at most a few hundred years"
    )]
    fn until(&self, at_ms: i64) -> Option<Expiry> {
        in_seconds(at_ms.saturating_sub(self.facts.now.epoch_ms()) as f64 / 1000.0)
    }
}

/// `null` and an empty text count as not told.
fn is_told(value: &Json) -> bool {
    !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty())
}

/// The longest life believed: a hundred years.
const LONGEST_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

fn in_seconds(seconds: f64) -> Option<Expiry> {
    let is_possible = (1.0..=LONGEST_SECONDS).contains(&seconds);
    is_possible.then(|| Expiry::In(Duration::from_secs_f64((seconds * 1000.0).round() / 1000.0)))
}

fn impossible(place: &Location, unit: Unit) -> Failure {
    impossible_at(&format!("{} (unit {})", place.as_str(), unit.name()))
}

fn impossible_at(told: &str) -> Failure {
    let detail = format!(
        "the provider's expiry at {told} is not a time from 1 second to 100 years from now"
    );
    Failure {
        is_response: true,
        ..Failure::new(FailureKind::Malformed, detail)
    }
}

/// Above this an `exp` is in milliseconds, as some issuers write it: as seconds it would be the
/// year 5138.
const LARGEST_EXP_SECONDS: i64 = 100_000_000_000;

/// The `exp` claim of a JWT (RFC 7519 §4.1.4) in milliseconds; its signature is the provider's
/// business.
fn jwt_exp_ms(token: &str) -> Option<i64> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1)?.trim_end_matches('=');
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .ok()?;
    let claims: Json = serde_json::from_slice(&claims).ok()?;
    let exp = claims.get("exp").and_then(scalar)?.parse::<f64>().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let exp = exp as i64;
    Some(if exp > LARGEST_EXP_SECONDS {
        exp
    } else {
        exp.saturating_mul(1000)
    })
}
