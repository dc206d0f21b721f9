//! `policy`: what a re-fetch does to the token already handed out, and what the provider allows.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Quota, RefreshAhead, duration, quota};
use crate::json::{Issues, Object, kind};

/// How a realm's tokens are renewed. Every field has a default that is safe for an unknown
/// provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long before expiry to renew.
    pub refresh_ahead: RefreshAhead,
    /// What asking again does to the token held.
    pub reissue: Reissue,
    /// No second fetch before this, whoever asks. Default 0.
    pub min_interval: Duration,
    /// What the provider allows.
    pub quotas: Vec<Quota>,
    /// Fetches at once, in each instance. Default no bound of its own.
    pub max_concurrency: Option<usize>,
    /// For one fetch, up to 5 minutes; `None`: the server's setting.
    pub timeout: Option<Duration>,
    /// The first pause after a failure, at least 100 ms; doubles up to 5 minutes. Default 1 s.
    pub cool_down: Duration,
    /// The pause after a failure that an operator must mend, at least 1 s. Default 10 minutes.
    pub config_retry: Duration,
    /// The pause after the provider said that the grant is gone, at least 1 s. Default 24 hours.
    pub reauthorise_retry: Duration,
    /// Arguments that a forced fetch sends instead or besides, by name, e.g. `force_refresh: true`.
    pub force: Map<String, Value>,
}

/// What the provider does when it is asked again while the token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reissue {
    /// It gives the same token, a new one when less than `until` is left; `extends`: its life grows
    /// with each ask.
    Same {
        /// The window before expiry in which a new token is given; 0: at expiry.
        until: Duration,
        /// Whether asking lengthens the token's life.
        extends: bool,
    },
    /// It gives a new token; the old one works on for `overlap`.
    Replaces {
        /// How long the old token works on.
        overlap: Duration,
    },
    /// It gives a new token; all work until they expire.
    Coexists,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            refresh_ahead: RefreshAhead::Default,
            reissue: Reissue::Replaces {
                overlap: DEFAULT_OVERLAP,
            },
            min_interval: Duration::ZERO,
            quotas: Vec::new(),
            max_concurrency: None,
            timeout: None,
            cool_down: Duration::from_secs(1),
            config_retry: Duration::from_mins(10),
            reauthorise_retry: Duration::from_hours(24),
            force: Map::new(),
        }
    }
}

/// How long a replaced token is taken to work on where the realm does not say.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(5);
/// Where an old token dies at once, the renewal begins at most this long before its expiry.
const AHEAD_WITHOUT_OVERLAP: Duration = Duration::from_secs(30);
impl Policy {
    /// How long before the expiry of a token of this life its renewal may begin.
    #[must_use]
    pub fn ahead(&self, life: Duration) -> Duration {
        let ahead = self.refresh_ahead.of(life);
        match self.reissue {
            Reissue::Same {
                until,
                extends: false,
            } => ahead.min(until * 9 / 10),
            Reissue::Replaces { overlap } if overlap.is_zero() => ahead.min(AHEAD_WITHOUT_OVERLAP),
            Reissue::Replaces { .. } | Reissue::Same { .. } | Reissue::Coexists => ahead,
        }
    }

    /// How long a replaced token works on; `None`: until its own expiry.
    #[must_use]
    pub fn overlap(&self) -> Option<Duration> {
        match self.reissue {
            Reissue::Replaces { overlap } => Some(overlap),
            Reissue::Same { .. } | Reissue::Coexists => None,
        }
    }

    /// Reads `/config/policy`.
    pub(super) fn read(policy: Option<&Value>, issues: &mut Issues) -> Option<Self> {
        let Some(policy) = policy.filter(|policy| !policy.is_null()) else {
            return Some(Self::default());
        };
        let mut object = Object::read(policy, "/config/policy", issues)?;
        let defaults = Self::default();
        let refresh_ahead =
            RefreshAhead::read(object.member("refresh_ahead").unwrap_or(&Value::Null));
        let refresh_ahead = refresh_ahead
            .map_err(|wrong| issues.add("/config/policy/refresh_ahead", wrong))
            .ok();
        let reissue = read_reissue(&mut object, issues);
        let min_interval = optional_duration(&mut object, "min_interval", issues);
        let timeout = read_timeout(&mut object, issues);
        let cool_down = read_pause(&mut object, "cool_down", SHORTEST_COOL_DOWN, issues);
        let config_retry = read_pause(&mut object, "config_retry", SHORTEST_RETRY, issues);
        let reauthorise_retry =
            read_pause(&mut object, "reauthorise_retry", SHORTEST_RETRY, issues);
        let quotas = quota::read_all(object.member("quota"), issues);
        let max_concurrency = read_concurrency(object.member("max_concurrency"), issues);
        let force = read_force(object.member("force"), issues);
        object.finish(&[], |_| false, issues);
        Some(Self {
            refresh_ahead: refresh_ahead?,
            reissue: reissue?,
            min_interval: min_interval.ok()?.unwrap_or(defaults.min_interval),
            quotas: quotas?,
            max_concurrency: max_concurrency.ok()?,
            timeout: timeout.ok()?,
            cool_down: cool_down.ok()?.unwrap_or(defaults.cool_down),
            config_retry: config_retry.ok()?.unwrap_or(defaults.config_retry),
            reauthorise_retry: reauthorise_retry
                .ok()?
                .unwrap_or(defaults.reauthorise_retry),
            force: force?,
        })
    }
}

/// What is wrong was noted among the issues.
#[derive(Clone, Copy, Debug)]
struct Told;

fn optional_duration(
    object: &mut Object<'_>,
    name: &'static str,
    issues: &mut Issues,
) -> Result<Option<Duration>, Told> {
    let value = object.member(name).filter(|value| !value.is_null());
    let read = value.map(duration::read).transpose();
    read.map_err(|wrong| {
        issues.add(object.pointer_of(name), wrong);
        Told
    })
}

/// A pause of nothing would ask the provider as fast as callers ask.
const SHORTEST_COOL_DOWN: Duration = Duration::from_millis(100);
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

fn read_pause(
    object: &mut Object<'_>,
    name: &'static str,
    shortest: Duration,
    issues: &mut Issues,
) -> Result<Option<Duration>, Told> {
    let pause = optional_duration(object, name, issues)?;
    if pause.is_some_and(|pause| pause < shortest) {
        let wrong = format!("expected at least {shortest:?}");
        issues.add(object.pointer_of(name), wrong);
        return Err(Told);
    }
    Ok(pause)
}

/// A lease lasts as long, and whoever waits for a dead holder waits for it.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_mins(5);

fn read_timeout(object: &mut Object<'_>, issues: &mut Issues) -> Result<Option<Duration>, Told> {
    let timeout = optional_duration(object, "timeout", issues)?;
    if timeout.is_some_and(|timeout| !TIMEOUTS.contains(&timeout)) {
        issues.add(object.pointer_of("timeout"), "expected from 100ms to 5m");
        return Err(Told);
    }
    Ok(timeout)
}

/// Reads all its members before it concludes, so that all that is wrong is told and nothing that is
/// known is called unknown.
fn read_reissue(object: &mut Object<'_>, issues: &mut Issues) -> Option<Reissue> {
    let word = read_word(object, issues);
    let overlap = optional_duration(object, "overlap", issues);
    let until = optional_duration(object, "same_until", issues);
    let extends = read_extends(object, issues);
    // What belongs to a word that is wrong itself cannot be said.
    if let Ok(word) = word {
        let mut only = |is_given: bool, name: &str, of: &str| {
            if is_given && word != of {
                issues.add(
                    object.pointer_of(name),
                    format!("is for \"reissue\": \"{of}\" only"),
                );
            }
        };
        only(!matches!(overlap, Ok(None)), "overlap", "replaces");
        only(!matches!(until, Ok(None)), "same_until", "same");
        only(!matches!(extends, Ok(None)), "extends", "same");
    }
    let (overlap, until, extends) = (overlap.ok()?, until.ok()?, extends.ok()?);
    Some(match word.ok()? {
        "same" => Reissue::Same {
            until: until.unwrap_or_default(),
            extends: extends.unwrap_or_default(),
        },
        "coexists" => Reissue::Coexists,
        _ => Reissue::Replaces {
            overlap: overlap.unwrap_or(DEFAULT_OVERLAP),
        },
    })
}

/// The word of `reissue`.
fn read_word<'a>(object: &mut Object<'a>, issues: &mut Issues) -> Result<&'a str, Told> {
    match object.member("reissue") {
        None | Some(Value::Null) => Ok("replaces"),
        Some(Value::String(word)) if ["same", "replaces", "coexists"].contains(&word.as_str()) => {
            Ok(word)
        }
        Some(_) => {
            issues.add(
                object.pointer_of("reissue"),
                "expected one of: same, replaces, coexists",
            );
            Err(Told)
        }
    }
}

fn read_extends(object: &mut Object<'_>, issues: &mut Issues) -> Result<Option<bool>, Told> {
    match object.member("extends") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(extends)) => Ok(Some(*extends)),
        Some(other) => {
            issues.add(
                object.pointer_of("extends"),
                format!("expected true or false, found {}", kind(other)),
            );
            Err(Told)
        }
    }
}

fn read_concurrency(value: Option<&Value>, issues: &mut Issues) -> Result<Option<usize>, Told> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    if let Some(count) = count.filter(|count| (1..=10_000).contains(count)) {
        return Ok(Some(count));
    }
    issues.add(
        "/config/policy/max_concurrency",
        "expected a whole number from 1 to 10000",
    );
    Err(Told)
}

fn read_force(value: Option<&Value>, issues: &mut Issues) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(force)) => {
            for (name, value) in force {
                if value.is_null() || value.is_array() || value.is_object() {
                    let pointer = format!(
                        "/config/policy/force/{}",
                        name.replace('~', "~0").replace('/', "~1")
                    );
                    issues.add(pointer, "expected a string, a number or a boolean");
                }
            }
            Some(force.clone())
        }
        Some(other) => {
            issues.add(
                "/config/policy/force",
                format!("expected an object, found {}", kind(other)),
            );
            None
        }
    }
}
