//! Which responses a definition uses where: none before it is there, and nothing of one that no
//! response has.

use std::collections::BTreeSet;

use crate::json::suggestion;
use crate::json::{Issues, pointer};
use crate::realm::location::Location;
use crate::realm::recipe::templates::{all_templates, last_used, request_templates, step_of_var};
use crate::realm::recipe::{Condition, Recipe};
use crate::realm::template::Template;

/// What templates see of a response.
const MEMBERS: [&str; 5] = ["body", "text", "status", "headers", "cookies"];

pub(super) fn check(recipe: &Recipe, issues: &mut Issues) {
    for requests in [&recipe.requests, &recipe.refresh_requests] {
        for (index, request) in requests.iter().enumerate() {
            for template in request_templates(request) {
                let Some(last) = last_used(recipe, vec![template]).filter(|last| *last >= index)
                else {
                    continue;
                };
                let told = match index {
                    0 => format!(
                        "uses steps[{last}], and before the first request there is no answer"
                    ),
                    1 => format!(
                        "uses steps[{last}], and before this request there is steps[0] only"
                    ),
                    _ => format!(
                        "uses steps[{last}], and before this request there are steps[0] to steps[{}]",
                        index - 1
                    ),
                };
                issues.add(template.pointer(), told);
            }
        }
    }
    check_conditions(recipe, issues);
    check_both_ways(recipe, issues);
    let count = recipe.requests.len().max(recipe.refresh_requests.len());
    // Of requests it was told above.
    let requests: BTreeSet<&str> = recipe
        .requests
        .iter()
        .chain(&recipe.refresh_requests)
        .flat_map(request_templates)
        .map(Template::pointer)
        .collect();
    for template in all_templates(recipe).filter(|template| !requests.contains(template.pointer()))
    {
        if let Some(used) = template.steps().find(|used| used.index >= count) {
            let told = format!(
                "there is no steps[{}]: requests are counted from 0, and there are {count}",
                used.index
            );
            issues.add(template.pointer(), told);
        }
    }
    for template in all_templates(recipe) {
        check_members(template, issues);
    }
}

/// The last response that a place is in or made from, if it names one.
fn last_named(recipe: &Recipe, place: &Location) -> Option<usize> {
    place
        .named_step()
        .or_else(|| step_of_var(recipe, place.var()?))
}

/// A request's own condition is of its response, or of one before it.
fn check_conditions(recipe: &Recipe, issues: &mut Issues) {
    for (list, name) in [
        (&recipe.requests, "requests"),
        (&recipe.refresh_requests, "refresh_requests"),
    ] {
        for (index, request) in list.iter().enumerate() {
            let places = request.success_when.iter().filter_map(Condition::location);
            if let Some(last) = places
                .filter_map(|place| last_named(recipe, place))
                .find(|last| *last > index)
            {
                let told =
                    format!("uses steps[{last}], which comes after the answer that is tested");
                issues.add(format!("/config/{name}/{index}/success_when"), told);
            }
        }
    }
}

/// Token and grants are found whether `requests` ran or `refresh_requests`.
fn check_both_ways(recipe: &Recipe, issues: &mut Issues) {
    if recipe.requests.is_empty() || recipe.refresh_requests.is_empty() {
        return;
    }
    let fewest = recipe.requests.len().min(recipe.refresh_requests.len());
    let beyond = |place: &Location| last_named(recipe, place).filter(|last| *last >= fewest);
    let token = recipe
        .token
        .iter()
        .map(beyond)
        .collect::<Option<Vec<_>>>()
        .and_then(|all| all.into_iter().min());
    let saves = recipe
        .save
        .iter()
        .filter_map(|save| Some((pointer("/config/save", &save.input), beyond(&save.from)?)));
    for (at, last) in token
        .map(|last| ("/config/token".to_owned(), last))
        .into_iter()
        .chain(saves)
    {
        let told = format!(
            "is in steps[{last}], but one of requests and refresh_requests has {fewest} only: leave steps[{last}] out for the \
             last answer"
        );
        issues.add(at, told);
    }
}

fn check_members(template: &Template, issues: &mut Issues) {
    for used in template.steps() {
        if let Some(member) = used
            .member
            .as_deref()
            .filter(|member| !MEMBERS.contains(member))
        {
            let near = suggestion(member, MEMBERS.iter().copied());
            let told = format!(
                "steps[{}] has no {member}, but {}{near}",
                used.index,
                MEMBERS.join(", ")
            );
            issues.add(template.pointer(), told);
        }
    }
}
