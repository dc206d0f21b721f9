//! How a response is read and evaluated: `response`, `success_when`, `token`, `expires`, `outputs`,
//! `save`, `errors`.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::inputs::flag;
use super::values::members;
use crate::json::suggestion;
use crate::json::{Issues, Object, kind, pointer};
use crate::realm::Path;
use crate::realm::duration;
use crate::realm::location::{Location, scalar};
use crate::realm::recipe::{
    Codes, Condition, ErrorRules, Expires, Output, Recipe, ResponseFormat, ResponseRules, Save,
    Unit,
};
use crate::realm::template::Template;

pub(super) fn read(object: &mut Object<'_>, recipe: &mut Recipe, issues: &mut Issues) {
    let given = |value: Option<&'_ Json>| value.filter(|value| !value.is_null()).cloned();
    if let Some(response) = given(object.member("response"))
        && let Some(response) = read_response(&response, "/config/response", issues)
    {
        recipe.response = response;
    }
    let conditions = read_conditions(
        object.member("success_when"),
        "/config/success_when",
        issues,
    );
    if !conditions.is_empty() {
        recipe.success_when = conditions;
    }
    let token = object.member("token").filter(|value| !value.is_null());
    match token {
        Some(token) => recipe.token = locations(token, "/config/token", issues),
        None if recipe.token.is_empty() => {
            issues.add(
                "/config/token",
                "required: where the token is, e.g. $.access_token",
            );
        }
        None => {}
    }
    if let Some(expires) = given(object.member("expires"))
        && let Some(expires) = read_expires(&expires, "/config/expires", issues)
    {
        recipe.expires = expires;
    }
    read_outputs(object.member("outputs"), recipe, issues);
    read_saves(object.member("save"), recipe, issues);
    if let Some(errors) = given(object.member("errors")) {
        read_errors(&errors, &mut recipe.errors, issues);
    }
}

/// The most places that are looked at for one value.
const MOST_PLACES: usize = 10;

/// A location, or a list of them.
pub(super) fn locations(value: &Json, at: &str, issues: &mut Issues) -> Vec<Location> {
    match value {
        Json::Array(list) if (1..=MOST_PLACES).contains(&list.len()) => {
            let list = list.iter().enumerate();
            list.filter_map(|(index, value)| location(value, &format!("{at}/{index}"), issues))
                .collect()
        }
        Json::Array(_) => {
            issues.add(at, format!("expected 1 to {MOST_PLACES} locations"));
            Vec::new()
        }
        value @ (Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Object(_)) => location(value, at, issues).into_iter().collect(),
    }
}

fn location(value: &Json, at: &str, issues: &mut Issues) -> Option<Location> {
    let Json::String(text) = value else {
        issues.add(
            at,
            format!(
                "expected a location like $.data.token, header:X or var:x, found {}",
                kind(value)
            ),
        );
        return None;
    };
    Location::read(text)
        .map_err(|wrong| issues.add(at, wrong))
        .ok()
}

const FORMATS: [(&str, ResponseFormat); 4] = [
    ("json", ResponseFormat::Json),
    ("xml", ResponseFormat::Xml),
    ("form", ResponseFormat::Form),
    ("text", ResponseFormat::Text),
];

/// Reads `{"format", "strip_prefix"}`.
pub(super) fn read_response(value: &Json, at: &str, issues: &mut Issues) -> Option<ResponseRules> {
    let mut object = Object::read(value, at, issues)?;
    let word = object.text("format", issues).unwrap_or("json");
    let strip_prefix = object
        .text("strip_prefix", issues)
        .filter(|prefix| !prefix.is_empty())
        .map(str::to_owned);
    object.finish(&[], |_| false, issues);
    let format = FORMATS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, format)| *format);
    if format.is_none() {
        issues.add(
            format!("{at}/format"),
            "expected one of: json, xml, form, text",
        );
    }
    Some(ResponseRules {
        format: format?,
        strip_prefix,
    })
}

/// Reads a condition or a list of them.
pub(super) fn read_conditions(
    value: Option<&Json>,
    at: &str,
    issues: &mut Issues,
) -> Vec<Condition> {
    match value {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(list)) if list.len() <= MOST_PLACES => {
            let list = list.iter().enumerate();
            list.filter_map(|(index, value)| condition(value, &format!("{at}/{index}"), issues))
                .collect()
        }
        Some(Json::Array(_)) => {
            issues.add(at, format!("at most {MOST_PLACES} conditions"));
            Vec::new()
        }
        Some(value) => condition(value, at, issues).into_iter().collect(),
    }
}

fn condition(value: &Json, at: &str, issues: &mut Issues) -> Option<Condition> {
    let mut object = Object::read(value, at, issues)?;
    let path = object
        .member("path")
        .and_then(|path| location(path, &format!("{at}/path"), issues));
    let status = object
        .member("status")
        .map(|status| statuses(status, &format!("{at}/status"), issues));
    let equals = object
        .member("equals")
        .map(|values| codes(values, &format!("{at}/equals"), issues));
    let not_equals = object
        .member("not_equals")
        .map(|values| codes(values, &format!("{at}/not_equals"), issues));
    let missing_ok = flag(&mut object, "missing_ok", issues);
    let (absent, present) = (
        flag(&mut object, "absent", issues),
        flag(&mut object, "present", issues),
    );
    let has_path = object.member("path").is_some();
    object.finish(&[], |_| false, issues);
    let tests = [
        equals.is_some(),
        not_equals.is_some(),
        absent.is_some(),
        present.is_some(),
    ];
    let count = tests.into_iter().filter(|given| *given).count();
    if let (Some(status), false, 0) = (&status, has_path, count) {
        return Some(Condition::Status(status.clone()));
    }
    if status.is_some() || !has_path || count != 1 {
        issues.add(
            at,
            "expected {\"path\", and one of equals, not_equals, absent and present}, or {\"status\"}",
        );
        return None;
    }
    let path = path?;
    if let Some(values) = equals {
        return Some(Condition::Equals {
            at: path,
            values,
            missing_ok: missing_ok.unwrap_or_default(),
        });
    }
    if let Some(values) = not_equals {
        return Some(Condition::NotEquals { at: path, values });
    }
    let is_absent = absent.unwrap_or_else(|| !present.unwrap_or(true));
    Some(if is_absent {
        Condition::Absent(path)
    } else {
        Condition::Present(path)
    })
}

fn statuses(value: &Json, at: &str, issues: &mut Issues) -> Vec<u16> {
    let list = if let Json::Array(list) = value {
        list.as_slice()
    } else {
        std::slice::from_ref(value)
    };
    let one = |value: &Json| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let statuses: Vec<u16> = list
        .iter()
        .filter_map(one)
        .filter(|status| (100..600).contains(status))
        .collect();
    if statuses.is_empty() || statuses.len() != list.len() {
        issues.add(at, "expected an HTTP status, e.g. 200, or a list of them");
    }
    statuses
}

/// Values that are compared as text: one, or a list.
fn codes(value: &Json, at: &str, issues: &mut Issues) -> Codes {
    let list = if let Json::Array(list) = value {
        list.as_slice()
    } else {
        std::slice::from_ref(value)
    };
    let codes: Codes = list
        .iter()
        .filter(|value| !value.is_object())
        .filter_map(scalar)
        .collect();
    if codes.len() != list.len() || codes.is_empty() || codes.len() > 200 {
        issues.add(
            at,
            "expected a text, a number or a boolean, or a list of 1 to 200 of them",
        );
    }
    codes
}

const EXPIRES: &str =
    "expected {\"path\", \"unit\", \"default\"}, {\"lifetime\"}, {\"jwt_exp\": true} or \"never\"";

/// Reads `expires`, of the token or of a grant.
fn read_expires(value: &Json, at: &str, issues: &mut Issues) -> Option<Expires> {
    match value.as_str() {
        Some("never") => return Some(Expires::Never),
        Some("jwt_exp") => return Some(Expires::JwtExp { default: None }),
        Some(_) | None => {}
    }
    if !value.is_object() {
        issues.add(at, format!("{EXPIRES}{}", meant_expires(value)));
        return None;
    }
    let mut object = Object::read(value, at, issues)?;
    let ways = ["path", "lifetime", "jwt_exp", "never"];
    let given: Vec<_> = ways
        .into_iter()
        .filter(|name| object.member(name).is_some())
        .collect();
    let path = object
        .member("path")
        .map(|path| locations(path, &format!("{at}/path"), issues));
    let unit = object
        .text("unit", issues)
        .map(|word| unit(word, at, issues));
    let zone = object
        .text("zone", issues)
        .map(|name| zone(name, at, issues));
    let default = duration(&mut object, "default", issues);
    let lifetime = duration(&mut object, "lifetime", issues);
    let jwt_exp = flag(&mut object, "jwt_exp", issues).unwrap_or_default();
    let never = flag(&mut object, "never", issues).unwrap_or_default();
    object.finish(&[], |_| false, issues);
    if given.len() > 1 {
        issues.add(at, format!("{EXPIRES}, found {}", given.join(" and ")));
        return None;
    }
    match (path, lifetime, jwt_exp, never) {
        (Some(places), ..) => {
            let unit = unit.unwrap_or(Some(Unit::Seconds))?;
            demand_local(unit, zone.is_some(), at, issues)?;
            let zone = zone.unwrap_or(Some(TimeZone::UTC))?;
            Some(Expires::Told {
                at: places,
                unit,
                zone,
                default,
            })
        }
        _ if unit.is_some() || zone.is_some() => {
            let wrong = format!("{EXPIRES}; unit and zone are of what stands at path");
            issues.add(at, wrong);
            None
        }
        (None, Some(lifetime), ..) => Some(Expires::Lifetime(lifetime)),
        (None, None, true, _) => Some(Expires::JwtExp { default }),
        (None, None, false, true) => Some(Expires::Never),
        (None, None, false, false) => {
            // One that cannot be read was told.
            if given != ["lifetime"] {
                issues.add(at, EXPIRES);
            }
            None
        }
    }
}

/// Only units whose times are local may have a zone.
fn demand_local(unit: Unit, has_zone: bool, at: &str, issues: &mut Issues) -> Option<()> {
    if has_zone && !unit.has_zone() {
        let wrong = "is only allowed with unit `rfc3339` or `date`";
        issues.add(format!("{at}/zone"), wrong);
        return None;
    }
    Some(())
}

/// What a value that is no object was probably meant to be.
fn meant_expires(value: &Json) -> String {
    match value {
        Json::String(text) => format!(" (did you mean {{\"path\": \"{text}\"}}?)"),
        Json::Number(number) => format!(" (did you mean {{\"lifetime\": {number}}}?)"),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

fn zone(name: &str, at: &str, issues: &mut Issues) -> Option<TimeZone> {
    let zone = TimeZone::get(name);
    zone.map_err(|_| {
        issues.add(
            format!("{at}/zone"),
            "is not a time zone, e.g. Asia/Shanghai",
        );
    })
    .ok()
}

fn unit(word: &str, at: &str, issues: &mut Issues) -> Option<Unit> {
    let found = Unit::ALL
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, unit)| *unit);
    if found.is_none() {
        let names: Vec<_> = Unit::ALL.iter().map(|(name, _)| *name).collect();
        let near = suggestion(word, names.iter().copied());
        issues.add(
            format!("{at}/unit"),
            format!("expected one of: {}{near}", names.join(", ")),
        );
    }
    found
}

fn duration(object: &mut Object<'_>, name: &'static str, issues: &mut Issues) -> Option<Duration> {
    let value = object.member(name).filter(|value| !value.is_null())?;
    let read = duration::read(value).and_then(|duration| {
        if duration < Duration::from_secs(1) {
            Err("must be a second or more".to_owned())
        } else {
            Ok(duration)
        }
    });
    read.map_err(|wrong| issues.add(object.pointer_of(name), wrong))
        .ok()
}

fn read_outputs(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/outputs";
    let Some(outputs) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return;
    };
    for (name, value) in outputs {
        let place = pointer(at, name);
        let output = match value {
            Json::String(text) if text.contains("{{") => Template::read(text, &place)
                .map_err(|wrong| issues.add(&place, wrong))
                .ok()
                .map(Output::Made),
            value @ (Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_)) => location(value, &place, issues).map(Output::Found),
        };
        recipe
            .outputs
            .extend(output.map(|output| (name.clone(), output)));
    }
}

fn read_saves(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/save";
    let Some(saves) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return;
    };
    recipe.save.clear();
    for (input, value) in saves {
        let place = pointer(at, input);
        // One that cannot be read is known all the same, so that only the cause is told.
        let unread = || Save {
            input: input.clone(),
            from: Location::of_path(Path::of_name(input)),
            expires: None,
        };
        recipe
            .save
            .push(read_save(input, value, &place, issues).unwrap_or_else(unread));
    }
}

fn read_save(input: &str, value: &Json, at: &str, issues: &mut Issues) -> Option<Save> {
    if let Json::String(_) = value {
        return Some(Save {
            input: input.to_owned(),
            from: location(value, at, issues)?,
            expires: None,
        });
    }
    let mut object = Object::read(value, at, issues)?;
    let from = object
        .member("from")
        .and_then(|value| location(value, &format!("{at}/from"), issues));
    let expires = object.member("expires").filter(|value| !value.is_null());
    let expires = expires.and_then(|value| read_expires(value, &format!("{at}/expires"), issues));
    if object.member("from").is_none() {
        issues.add(
            format!("{at}/from"),
            "required: where the new value is, e.g. $.refresh_token",
        );
    }
    object.finish(&[], |_| false, issues);
    Some(Save {
        input: input.to_owned(),
        from: from?,
        expires,
    })
}

fn read_errors(value: &Json, errors: &mut ErrorRules, issues: &mut Issues) {
    let at = "/config/errors";
    let Some(mut object) = Object::read(value, at, issues) else {
        return;
    };
    if let Some(code) = object.member("code") {
        errors.code = locations(code, "/config/errors/code", issues);
    }
    if let Some(message) = object.member("message") {
        errors.message = locations(message, "/config/errors/message", issues);
    }
    let mut class = |name: &'static str, list: &mut Codes| {
        if let Some(value) = object
            .member(name)
            .filter(|value| !matches!(value, Json::Array(list) if list.is_empty()))
        {
            *list = codes(value, &format!("{at}/{name}"), issues);
        }
    };
    class("config", &mut errors.config);
    class("busy", &mut errors.busy);
    class("quota", &mut errors.quota);
    class("dependency", &mut errors.dependency);
    class("reauthorise", &mut errors.reauthorise);
    object.finish(&[], |_| false, issues);
}
