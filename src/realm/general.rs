//! The general form of a realm's `config`, and `oauth2` with general members beside it: read, then
//! checked as a whole.

mod inputs;
mod names;
mod requests;
mod responses;
mod steps;
pub(super) mod values;

use serde_json::Value as Json;

pub(super) use inputs::flag;
pub(super) use requests::read_url;

use super::recipe::{Form, Recipe};
use super::{Policy, hosts, oauth2};
use crate::json::{Issues, Object};

/// Reads `/config`.
pub(super) fn read(config: &Json, issues: &mut Issues) -> Option<Recipe> {
    let mut object = Object::read(config, "/config", issues)?;
    let mut recipe = Recipe::blank(Form::General);
    let oauth2 = object.member("oauth2").filter(|oauth2| !oauth2.is_null());
    if let Some(oauth2) = oauth2 {
        recipe = oauth2::read(oauth2, issues).unwrap_or(recipe);
    }
    read_members(&mut object, &mut recipe, issues);
    object.finish(&[], |_| false, issues);
    names::check(&recipe, issues);
    hosts::check(&recipe, issues);
    Some(recipe)
}

fn read_members(object: &mut Object<'_>, recipe: &mut Recipe, issues: &mut Issues) {
    inputs::read(object.member("inputs"), recipe, issues);
    values::read_vars(object.member("vars"), recipe, issues);
    requests::read_all(object, recipe, issues);
    responses::read(object, recipe, issues);
    inputs::read_bases(object.member("depends_on"), recipe, issues);
    hosts::read(object.member("hosts"), recipe, issues);
    requests::read_tls(object.member("tls"), recipe, issues);
    recipe.token_use = read_token_use(object, issues).or_else(|| recipe.token_use.take());
    recipe.policy = Policy::read(object.member("policy"), issues).unwrap_or_default();
}

/// The longest hint for callers, in bytes.
const LONGEST_TOKEN_USE: usize = 500;

fn read_token_use(object: &mut Object<'_>, issues: &mut Issues) -> Option<String> {
    let text = object.text("token_use", issues)?;
    if text.len() > LONGEST_TOKEN_USE || text.chars().any(char::is_control) {
        issues.add(
            "/config/token_use",
            format!("expected a line of at most {LONGEST_TOKEN_USE} bytes"),
        );
    }
    Some(text.to_owned())
}
