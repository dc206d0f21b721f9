//! Credentials as they are posted: `key_1`… beside the names of the operator's choice under
//! `credentials`.

use serde_json::Value;

use super::patch::{LARGEST_CREDENTIAL, MOST_CREDENTIALS, NextValue, Patch};
use crate::json::{Issues, Object};
use crate::realm::{is_name, key_doubt};
use crate::secret::{is_mask, numbered};

/// All of an object at `place`; a patch is `None` for a masked value, which leaves the stored one.
pub(super) fn read_credentials(
    object: &mut Object<'_>,
    place: &str,
    issues: &mut Issues,
) -> Vec<(String, Option<Patch<String>>)> {
    let mut patches = Vec::new();
    for (name, value) in object.others(|name| numbered(name).is_some()) {
        patches.push((
            name.to_owned(),
            credential_patch(Some(value), &object.pointer_of(name), issues),
        ));
    }
    let named = object
        .member("credentials")
        .filter(|value| !value.is_null());
    let Some(named) =
        named.and_then(|value| Object::read(value, &format!("{place}/credentials"), issues))
    else {
        return patches;
    };
    for (name, value) in named.others(|_| true) {
        let pointer = named.pointer_of(name);
        if !is_name(name) {
            issues.add(
                &pointer,
                "expected a name of letters, digits, _ - and . that does not begin with a digit",
            );
        }
        if patches.iter().any(|(other, _)| other == name) {
            issues.add(&pointer, format!("is given twice: also as {place}/{name}"));
        }
        patches.push((
            name.to_owned(),
            credential_patch(Some(value), &pointer, issues),
        ));
    }
    patches
}

/// `None` for a masked value: it leaves the stored one.
pub(super) fn credential_patch(
    value: Option<&Value>,
    pointer: &str,
    issues: &mut Issues,
) -> Option<Patch<String>> {
    match value {
        None => None,
        Some(Value::Null) => Some(Patch::Clear),
        Some(Value::String(text)) if text.is_empty() => Some(Patch::Clear),
        Some(Value::String(text)) if is_mask(text) => None,
        Some(Value::String(text)) if text.len() <= LARGEST_CREDENTIAL => {
            if let Some(doubt) = key_doubt(text) {
                issues.add(pointer, doubt);
            }
            Some(Patch::Set(text.clone()))
        }
        Some(Value::String(_)) => {
            issues.add(
                pointer,
                format!("must not be larger than {LARGEST_CREDENTIAL} bytes"),
            );
            None
        }
        Some(_) => {
            issues.add(pointer, "expected a string or null");
            None
        }
    }
}

/// The next credentials: only what changes is named.
pub(super) fn read_next(next: &Value, issues: &mut Issues) -> Vec<(String, NextValue)> {
    let Some(mut object) = Object::read(next, "/next", issues) else {
        return Vec::new();
    };
    let credentials = read_credentials(&mut object, "/next", issues);
    object.finish(&[], |name| numbered(name).is_some(), issues);
    if credentials.is_empty() || credentials.len() > MOST_CREDENTIALS {
        let told = format!(
            "name 1 to {MOST_CREDENTIALS} credentials that change, or null to drop the next ones"
        );
        issues.add("/next", told);
    }
    let mut values = Vec::new();
    for (name, patch) in credentials {
        match patch {
            None => values.push((name, NextValue::AsBefore)),
            Some(Patch::Set(value)) => values.push((name, NextValue::Given(value))),
            Some(Patch::Keep | Patch::Clear) => {
                issues.add(
                    "/next",
                    format!("{name} has no value: leave out what stays as it is"),
                );
            }
        }
    }
    values
}
