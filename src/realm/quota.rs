//! `policy.quota`: how many fetches a provider allows, and the windows they are counted in.

use std::time::Duration;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde_json::Value;

use super::duration;
use crate::clock::Timestamp;
use crate::json::{Issues, Object};

/// One limit of the provider on fetches.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// How many.
    pub limit: u64,
    /// In which time.
    pub window: Window,
    /// Of each secret, or of all secrets of the realm together.
    pub counted_by: CountedBy,
    /// How many are kept for missing, expired and reported tokens.
    pub reserve: u64,
}

/// Whose fetches a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// Each secret for itself.
    Secret,
    /// All secrets of the realm.
    Realm,
}

impl CountedBy {
    /// The word in policies and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Realm => "realm",
        }
    }
}

/// The time in which fetches are counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// The last so long.
    Rolling(Duration),
    /// The running minute, hour, day or week (from Monday) of a time zone.
    Calendar(Unit, TimeZone),
}

/// What a calendar window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `"per": "1m"`.
    Minute,
    /// `"per": "1h"`.
    Hour,
    /// `"per": "1d"`.
    Day,
    /// `"per": "7d"`.
    Week,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Week];

    fn nominal(self) -> Duration {
        match self {
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
        }
    }

    fn start(self, now: &Zoned) -> Result<Zoned, jiff::Error> {
        let minute = || now.with().second(0).subsec_nanosecond(0);
        match self {
            Self::Minute => minute().build(),
            Self::Hour => minute().minute(0).build(),
            Self::Day => now.start_of_day(),
            Self::Week => {
                let days = now.weekday().since(Weekday::Monday);
                now.checked_sub(i64::from(days).days())?.start_of_day()
            }
        }
    }

    fn end(self, start: &Zoned) -> Result<Zoned, jiff::Error> {
        match self {
            Self::Minute => start.checked_add(1.minute()),
            Self::Hour => start.checked_add(1.hour()),
            Self::Day => start.checked_add(1.day())?.start_of_day(),
            Self::Week => start.checked_add(7.days())?.start_of_day(),
        }
    }
}

impl Window {
    /// Calls after this time count at `now`.
    #[must_use]
    pub fn counts_after(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Rolling(per) => now.minus(*per),
            Self::Calendar(unit, zone) => {
                let start = zoned(now, zone).and_then(|now| unit.start(&now));
                let start =
                    start.map_or_else(|_| now.minus(unit.nominal()), |start| timestamp(&start));
                start.minus(Duration::from_millis(1))
            }
        }
    }

    /// When a window that is used up allows another call: `oldest_at` is the first call that it
    /// counts.
    #[must_use]
    pub fn frees_at(&self, now: Timestamp, oldest_at: Option<Timestamp>) -> Timestamp {
        match self {
            Self::Rolling(per) => oldest_at.unwrap_or(now).plus(*per),
            Self::Calendar(unit, zone) => {
                let end = zoned(now, zone)
                    .and_then(|now| unit.start(&now))
                    .and_then(|start| unit.end(&start));
                let end = end.map(|end| timestamp(&end)).ok();
                // Where clocks are set back by half an hour, an hour's end comes twice.
                end.filter(|end| *end > now)
                    .unwrap_or_else(|| now.plus(unit.nominal()))
            }
        }
    }

    /// Its nominal length.
    #[must_use]
    pub fn per(&self) -> Duration {
        match self {
            Self::Rolling(per) => *per,
            Self::Calendar(unit, _) => unit.nominal(),
        }
    }

    /// The word in policies and answers.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rolling(_) => "rolling",
            Self::Calendar(..) => "calendar",
        }
    }
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Result<Zoned, jiff::Error> {
    Ok(jiff::Timestamp::from_millisecond(at.epoch_ms())?.to_zoned(zone.clone()))
}

fn timestamp(at: &Zoned) -> Timestamp {
    Timestamp::from_epoch_ms(at.timestamp().as_millisecond())
}

/// A quota's window is counted in the log of fetches, which is kept this long at least.
const LONGEST_WINDOW: Duration = Duration::from_hours(7 * 24);
const MOST_QUOTAS: usize = 10;

/// Reads `/config/policy/quota`.
pub(super) fn read_all(value: Option<&Value>, issues: &mut Issues) -> Option<Vec<Quota>> {
    let list = match value {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MOST_QUOTAS => list,
        Some(_) => {
            issues.add(
                "/config/policy/quota",
                format!("expected an array of at most {MOST_QUOTAS} quotas"),
            );
            return None;
        }
    };
    let read: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(index, item)| read(index, item, issues))
        .collect();
    read.into_iter().collect()
}

fn read(index: usize, quota: &Value, issues: &mut Issues) -> Option<Quota> {
    let mut object = Object::read(quota, &format!("/config/policy/quota/{index}"), issues)?;
    let limit = count(&mut object, "limit", 1, issues);
    let reserve = if object.member("reserve").is_none_or(Value::is_null) {
        Some(0)
    } else {
        count(&mut object, "reserve", 0, issues)
    };
    let window = read_window(&mut object, issues);
    let counted_by = match object.text("scope", issues).unwrap_or("secret") {
        "secret" => Some(CountedBy::Secret),
        "realm" => Some(CountedBy::Realm),
        _ => {
            issues.add(object.pointer_of("scope"), "expected one of: secret, realm");
            None
        }
    };
    if limit
        .zip(reserve)
        .is_some_and(|(limit, reserve)| reserve >= limit)
    {
        issues.add(object.pointer_of("reserve"), "must be less than limit");
    }
    object.finish(&[], |_| false, issues);
    Some(Quota {
        limit: limit?,
        window: window?,
        counted_by: counted_by?,
        reserve: reserve?,
    })
}

fn read_window(object: &mut Object<'_>, issues: &mut Issues) -> Option<Window> {
    let per = object
        .member("per")
        .and_then(|per| duration::read(per).ok());
    let per = per.filter(|per| !per.is_zero() && *per <= LONGEST_WINDOW);
    if per.is_none() {
        issues.add(
            object.pointer_of("per"),
            "required: a duration of at most 7d",
        );
    }
    let word = object.text("window", issues).unwrap_or("rolling");
    let zone = read_zone(object, issues);
    match word {
        "rolling" => {
            if object.member("zone").is_some_and(|zone| !zone.is_null()) {
                issues.add(
                    object.pointer_of("zone"),
                    "is for \"window\": \"calendar\" only",
                );
            }
            per.map(Window::Rolling)
        }
        "calendar" => {
            let unit = Unit::ALL
                .into_iter()
                .find(|unit| Some(unit.nominal()) == per);
            if unit.is_none() && per.is_some() {
                issues.add(
                    object.pointer_of("per"),
                    "a calendar window is one of 1m, 1h, 1d, 7d",
                );
            }
            Some(Window::Calendar(unit?, zone?))
        }
        _ => {
            issues.add(
                object.pointer_of("window"),
                "expected one of: rolling, calendar",
            );
            None
        }
    }
}

fn read_zone(object: &mut Object<'_>, issues: &mut Issues) -> Option<TimeZone> {
    let Some(name) = object.text("zone", issues) else {
        return Some(TimeZone::UTC);
    };
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        issues.add(
            object.pointer_of("zone"),
            "expected an IANA time zone, e.g. Asia/Shanghai",
        );
    }
    zone
}

fn count(
    object: &mut Object<'_>,
    name: &'static str,
    lowest: u64,
    issues: &mut Issues,
) -> Option<u64> {
    let number = object
        .member(name)
        .and_then(Value::as_u64)
        .filter(|number| *number >= lowest);
    if number.is_none() {
        issues.add(
            object.pointer_of(name),
            format!("expected a whole number of at least {lowest}"),
        );
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_epoch_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    /// A unit and a zone; a time, and when the window that it lies in begins and ends.
    const CALENDAR: [(Unit, &str, &str, &str, &str); 8] = [
        (
            Unit::Day,
            "UTC",
            "2026-11-24T23:59:59.9Z",
            "2026-11-24T00:00:00Z",
            "2026-11-25T00:00:00Z",
        ),
        (
            Unit::Day,
            "Asia/Shanghai",
            "2026-11-24T16:00:00Z",
            "2026-11-24T16:00:00Z",
            "2026-11-25T16:00:00Z",
        ),
        (
            Unit::Day,
            "Asia/Shanghai",
            "2026-11-24T15:59:59Z",
            "2026-11-23T16:00:00Z",
            "2026-11-24T16:00:00Z",
        ),
        // The day in which summer time ends has 25 hours.
        (
            Unit::Day,
            "America/New_York",
            "2026-11-01T12:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ),
        // 2026-11-24 is a Tuesday.
        (
            Unit::Week,
            "UTC",
            "2026-11-24T10:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            Unit::Week,
            "UTC",
            "2026-11-23T00:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        // A zone that is half an hour off.
        (
            Unit::Hour,
            "Asia/Kolkata",
            "2026-11-24T10:00:00Z",
            "2026-11-24T09:30:00Z",
            "2026-11-24T10:30:00Z",
        ),
        (
            Unit::Minute,
            "UTC",
            "2026-11-24T10:00:59.999Z",
            "2026-11-24T10:00:00Z",
            "2026-11-24T10:01:00Z",
        ),
    ];

    #[test]
    fn calendar_windows_begin_and_end_with_the_clocks_of_their_zone() {
        for (unit, zone, now, start, end) in CALENDAR {
            let window = Window::Calendar(unit, TimeZone::get(zone).unwrap());
            let first = window.counts_after(at(now)).plus(Duration::from_millis(1));
            assert_eq!(first, at(start), "{unit:?} {zone} {now}");
            assert_eq!(
                window.frees_at(at(now), Some(at(start))),
                at(end),
                "{unit:?} {zone} {now}"
            );
        }
    }

    #[test]
    fn a_rolling_window_frees_when_its_first_call_leaves_it() {
        let window = Window::Rolling(Duration::from_hours(24));
        let (now, oldest) = (at("2026-11-24T10:00:00Z"), at("2026-11-23T11:00:00Z"));
        assert_eq!(window.counts_after(now), at("2026-11-23T10:00:00Z"));
        assert_eq!(
            window.frees_at(now, Some(oldest)),
            at("2026-11-24T11:00:00Z")
        );
    }
}
