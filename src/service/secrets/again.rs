//! A value that says where requests go, or whose token is used, is changed together with the
//! values that go there: whoever changes one alone would send the others elsewhere. What was pushed
//! is dropped with such a change, since whoever pushed it meant the host before.

use crate::json::Issues;
use crate::realm::{Definition, Origin};
use crate::secret::{Credentials, numbered};
use crate::service::ServiceError;
use crate::service::edit::{NextValue, Patch, SecretEdit};
use crate::store::SecretRow;

/// Refuses an edit that changes such a value and does not post all secret values with it.
///
/// # Errors
/// `Invalid` with the place of each value that is missing.
pub(super) fn demand_secrets_again(
    edit: &SecretEdit,
    live: Option<&SecretRow>,
    definition: &Definition,
) -> Result<(), ServiceError> {
    let Some((row, recipe)) = live.zip(definition.recipe()) else {
        return Ok(());
    };
    let stored = &row.content.credentials;
    let deciding = recipe.deciding_inputs();
    // Whether the definition calls a value secret does not count: it may have called it so before.
    let secrets: Vec<&str> = recipe
        .inputs_from(Origin::Stored)
        .chain(recipe.inputs_from(Origin::Rotating))
        .filter(|input| input.secret || !deciding.contains(input.name.as_str()))
        .map(|input| input.name.as_str())
        .filter(|name| stored.get(name).is_some())
        .collect();
    let mut issues = Issues::default();
    let changed = deciding.iter().find(|name| is_changed(edit, stored, name));
    if let Some(changed) = changed {
        let is_posted = |name: &str| {
            let mut posted = edit.credentials.iter();
            posted.any(|(other, patch)| other == name && matches!(patch, Patch::Set(_)))
        };
        demand(&secrets, changed, "", is_posted, &mut issues);
    }
    if let Patch::Set(values) = &edit.next {
        let is_next = |name: &str| {
            let mut values = values.iter();
            values.any(|(other, value)| other == name && matches!(value, NextValue::Given(_)))
        };
        let is_moved = |name: &&&str| {
            values.iter().any(|(other, value)| {
                other == **name
                    && matches!(value, NextValue::Given(text) if stored.get(other) != Some(text))
            })
        };
        if let Some(changed) = deciding.iter().find(is_moved) {
            demand(&secrets, changed, "/next", is_next, &mut issues);
            if let Some(pushed) = recipe.inputs_from(Origin::Pushed).next() {
                let told = format!(
                    "{changed} says where requests go or whose token is used, and cannot be tried beside the current value, since {} is \
                     pushed for both: change the credential itself, which drops the pushed value",
                    pushed.name
                );
                issues.add("/next", told);
            }
        }
    }
    Ok(issues.into_result(Some(()))?)
}

/// The pushed values after an edit that changes where requests go, or whose token is used: none,
/// where there were some. `None`: all stay.
pub(crate) fn pushed_that_stay(
    definition: &Definition,
    (before, after): (&Credentials, &Credentials),
    pushed: &Credentials,
) -> Option<Credentials> {
    let recipe = definition.recipe()?;
    let mut deciding = recipe.deciding_inputs().into_iter();
    let is_moved = deciding.any(|name| before.get(name) != after.get(name));
    (is_moved && !pushed.is_empty()).then(Credentials::default)
}

/// Tells which pushed values went with a change of where requests go.
pub(super) fn dropped_warning(before: Option<&SecretRow>, row: &SecretRow) -> Option<String> {
    let dropped = before
        .into_iter()
        .flat_map(|before| before.pushed.names())
        .filter(|name| row.pushed.get(name).is_none());
    let dropped: Vec<&str> = dropped.collect();
    (!dropped.is_empty()).then(|| {
        format!(
            "the pushed values of secret {} were dropped, since they would have gone to another host, or to where another token leads: {}; \
             they have to be pushed again",
            row.id,
            dropped.join(", ")
        )
    })
}

fn is_changed(edit: &SecretEdit, stored: &Credentials, name: &str) -> bool {
    let mut posted = edit.credentials.iter();
    match posted.find(|(other, _)| other == name) {
        Some((_, Patch::Set(value))) => stored.get(name) != Some(value),
        Some((_, Patch::Clear)) => stored.get(name).is_some(),
        Some((_, Patch::Keep)) | None => {
            edit.clears_named && numbered(name).is_none() && stored.get(name).is_some()
        }
    }
}

fn demand(
    secrets: &[&str],
    changed: &str,
    place: &str,
    is_posted: impl Fn(&str) -> bool,
    issues: &mut Issues,
) {
    for name in secrets.iter().filter(|name| !is_posted(name)) {
        let at = if numbered(name).is_some() {
            format!("{place}/{name}")
        } else {
            crate::json::pointer(&format!("{place}/credentials"), name)
        };
        issues.add(
            at,
            format!(
                "required, since {changed} changes, which says where requests go or whose token is used: post this value again; asterisks \
                 are not a value"
            ),
        );
    }
}
