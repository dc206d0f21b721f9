//! `inputs` and `depends_on`.

use serde_json::Value as Json;

use super::values::{members, template};
use crate::json::suggestion;
use crate::json::{Issues, Object, kind, pointer};
use crate::realm::recipe::{Base, Input, Origin, Recipe};

/// Reads `inputs`; one that `oauth2` brought along is described anew.
pub(super) fn read(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/inputs";
    let Some(inputs) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return;
    };
    for (name, value) in inputs {
        let place = pointer(at, name);
        super::names::check_name(name, &place, issues);
        let before = recipe.input(name).cloned();
        // One that cannot be read is known all the same, so that only the cause is told.
        let from = Origin::Stored;
        let unread = || Input {
            name: name.clone(),
            required: false,
            default: None,
            secret: true,
            from,
        };
        let input = read_input(name, value, before.as_ref(), &place, issues).unwrap_or_else(unread);
        match recipe.inputs.iter_mut().find(|other| other.name == *name) {
            Some(other) => *other = input,
            None => recipe.inputs.push(input),
        }
    }
}

const ORIGINS: [(&str, Origin); 4] = [
    ("stored", Origin::Stored),
    ("pushed", Origin::Pushed),
    ("rotating", Origin::Rotating),
    ("file", Origin::File),
];

fn read_input(
    name: &str,
    value: &Json,
    before: Option<&Input>,
    at: &str,
    issues: &mut Issues,
) -> Option<Input> {
    let mut object = Object::read(value, at, issues)?;
    check_label(object.member("label"), &format!("{at}/label"), issues);
    let default = object.text("default", issues).map(str::to_owned);
    let required = flag(&mut object, "required", issues);
    let secret = flag(&mut object, "secret", issues);
    let from = object.text("from", issues);
    object.finish(&[], |_| false, issues);
    let from = match from {
        None => before.map_or(Origin::Stored, |before| before.from),
        Some(word) => origin(word, at, issues)?,
    };
    if from == Origin::Rotating && default.is_some() {
        issues.add(
            format!("{at}/default"),
            "a rotating input has no default: its first value is stored in the secret",
        );
    }
    // What `oauth2` brought along says itself; a client id is no secret.
    let is_secret = matches!(from, Origin::Pushed | Origin::Rotating)
        || before.is_none_or(|before| before.secret);
    Some(Input {
        name: name.to_owned(),
        required: required
            .unwrap_or(default.is_none() && before.is_none_or(|before| before.required)),
        default,
        secret: secret.unwrap_or(is_secret),
        from,
    })
}

fn origin(word: &str, at: &str, issues: &mut Issues) -> Option<Origin> {
    let found = ORIGINS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, origin)| *origin);
    if found.is_none() {
        let near = suggestion(word, ORIGINS.iter().map(|(name, _)| *name));
        issues.add(
            format!("{at}/from"),
            format!("expected one of: stored, pushed, rotating, file{near}"),
        );
    }
    found
}

/// A text, or one for each language.
fn check_label(label: Option<&Json>, at: &str, issues: &mut Issues) {
    match label {
        None | Some(Json::Null | Json::String(_)) => {}
        Some(Json::Object(languages)) if languages.values().all(Json::is_string) => {}
        Some(other) => {
            issues.add(
                at,
                format!(
                    "expected a text, or {{\"en\": text, \"zh\": text}}, found {}",
                    kind(other)
                ),
            );
        }
    }
}

pub(in crate::realm) fn flag(
    object: &mut Object<'_>,
    name: &'static str,
    issues: &mut Issues,
) -> Option<bool> {
    match object.member(name)? {
        Json::Null => None,
        Json::Bool(value) => Some(*value),
        other @ (Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) => {
            issues.add(
                object.pointer_of(name),
                format!("expected true or false, found {}", kind(other)),
            );
            None
        }
    }
}

/// The most bases of a realm.
const MOST_BASES: usize = 5;

/// Reads `depends_on`.
pub(super) fn read_bases(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/depends_on";
    let Some(bases) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return;
    };
    if bases.len() > MOST_BASES {
        issues.add(at, format!("at most {MOST_BASES} other secrets"));
    }
    for (alias, value) in bases.iter().take(MOST_BASES) {
        let place = pointer(at, alias);
        super::names::check_name(alias, &place, issues);
        if let Some(base) = read_base(alias, value, &place, issues) {
            recipe.depends_on.push(base);
        }
    }
}

fn read_base(alias: &str, value: &Json, at: &str, issues: &mut Issues) -> Option<Base> {
    let mut object = Object::read(value, at, issues)?;
    let mut part = |name: &'static str| match object.member(name) {
        None | Some(Json::Null) => {
            issues.add(format!("{at}/{name}"), "required: a string");
            None
        }
        Some(value) => template(value, &format!("{at}/{name}"), issues),
    };
    let (realm, key) = (part("realm"), part("key"));
    object.finish(&[], |_| false, issues);
    Some(Base {
        alias: alias.to_owned(),
        realm: realm?,
        key: key?,
    })
}
