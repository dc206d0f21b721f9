//! Names: what may be called what, and that every name used is known and none depends on itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::suggestion;
use crate::json::{Issues, pointer};
use crate::realm::location::Location;
use crate::realm::recipe::templates::{all_templates, templates, texts, var_templates};
use crate::realm::recipe::{Origin, Output, Recipe};
use crate::realm::template::{Template, top};

/// What the engine itself provides.
const PROVIDED: [&str; 4] = ["now", "now_ms", "uuid", "nonce"];
/// Words of the language, and names that mean something already.
const RESERVED: [&str; 20] = [
    "now", "now_ms", "uuid", "nonce", "steps", "tokens", "token", "true", "false", "none", "True",
    "False", "None", "and", "or", "not", "if", "else", "in", "is",
];
const LONGEST_NAME: usize = 100;
/// Values of vars, requests and outputs: bounds what one fetch works out.
const MOST_TEMPLATES: usize = 1000;

/// Whether a text may be a name in a template.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= LONGEST_NAME
}

/// Checks the name of an input, a var or an alias.
pub(super) fn check_name(name: &str, at: &str, issues: &mut Issues) {
    if !is_plain(name) {
        issues.add(
            at,
            "expected a name of letters, digits and _ that does not begin with a digit",
        );
    } else if RESERVED.contains(&name) {
        issues.add(
            at,
            format!("{name} is a word of the language: choose another name"),
        );
    }
}

/// Checks all that only shows in the whole.
pub(super) fn check(recipe: &Recipe, issues: &mut Issues) {
    for var in &recipe.vars {
        if recipe.input(&var.name).is_some() {
            issues.add(
                pointer("/config/vars", &var.name),
                "is an input too: choose another name",
            );
        }
    }
    if all_templates(recipe).count() > MOST_TEMPLATES {
        issues.add("/config", format!("has more than {MOST_TEMPLATES} values"));
        return;
    }
    let known = Known::of(recipe);
    for template in templates(recipe) {
        known.check(template, false, issues);
    }
    for template in texts(recipe) {
        check_text(template, issues);
    }
    for (_, output) in &recipe.outputs {
        if let Output::Made(template) = output {
            known.check(template, true, issues);
            check_text(template, issues);
        }
    }
    for base in &recipe.depends_on {
        check_base(recipe, &base.realm, issues);
        check_base(recipe, &base.key, issues);
    }
    check_cycles(recipe, issues);
    check_locations(recipe, issues);
    check_saves(recipe, issues);
    super::steps::check(recipe, issues);
}

struct Known<'a> {
    names: BTreeSet<&'a str>,
    aliases: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(recipe: &'a Recipe) -> Self {
        let inputs = recipe.inputs.iter().map(|input| input.name.as_str());
        let vars = recipe.vars.iter().map(|var| var.name.as_str());
        let names = inputs
            .chain(vars)
            .chain(PROVIDED)
            .chain(["steps"])
            .collect();
        Self {
            names,
            aliases: recipe
                .depends_on
                .iter()
                .map(|base| base.alias.as_str())
                .collect(),
        }
    }

    fn check(&self, template: &Template, is_output: bool, issues: &mut Issues) {
        for name in template.names() {
            let (first, rest) = name.split_once('.').unwrap_or((name, ""));
            if first == "tokens" {
                self.check_alias(rest, template, issues);
            } else if !(self.names.contains(first) || is_output && first == "token") {
                let near = suggestion(first, self.names.iter().copied());
                let told = format!("{first} is no input and no var of this realm{near}");
                issues.add(template.pointer(), told);
            }
        }
    }

    fn check_alias(&self, rest: &str, template: &Template, issues: &mut Issues) {
        let alias = top(rest);
        if !self.aliases.contains(alias) {
            let near = suggestion(alias, self.aliases.iter().copied());
            issues.add(
                template.pointer(),
                format!("tokens.{alias} is no alias of depends_on{near}"),
            );
        }
    }
}

fn check_text(template: &Template, issues: &mut Issues) {
    if let Err(wrong) = template.demand_text() {
        issues.add(template.pointer(), wrong);
    }
}

/// The realm and key of a base are known before anything is fetched.
fn check_base(recipe: &Recipe, template: &Template, issues: &mut Issues) {
    for name in template.names() {
        let input = recipe.input(top(name));
        if input.is_none_or(|input| input.from == Origin::Rotating) {
            let near = suggestion(name, recipe.inputs.iter().map(|input| input.name.as_str()));
            issues.add(
                template.pointer(),
                format!("only inputs that do not rotate may be used here, not {name}{near}"),
            );
        }
    }
}

fn check_cycles(recipe: &Recipe, issues: &mut Issues) {
    let uses: BTreeMap<&str, BTreeSet<&str>> = recipe
        .vars
        .iter()
        .map(|var| {
            (
                var.name.as_str(),
                var_templates(var)
                    .into_iter()
                    .flat_map(Template::names)
                    .map(top)
                    .collect(),
            )
        })
        .collect();
    for var in &recipe.vars {
        if let Some(way) = way_back(&var.name, &uses) {
            issues.add(
                pointer("/config/vars", &var.name),
                format!("depends on itself: {}", way.join(" → ")),
            );
        }
    }
}

/// From a var over those it uses to itself.
fn way_back<'a>(var: &'a str, uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![vec![var]]);
    while let Some(way) = open.pop() {
        for used in way
            .last()
            .and_then(|last| uses.get(last))
            .into_iter()
            .flatten()
        {
            let longer = || way.iter().copied().chain([*used]).collect();
            if *used == var {
                return Some(longer());
            }
            if uses.contains_key(used) && seen.insert(*used) {
                open.push(longer());
            }
        }
    }
    None
}

fn check_locations(recipe: &Recipe, issues: &mut Issues) {
    let steps = recipe.requests.len().max(recipe.refresh_requests.len());
    let vars: BTreeSet<&str> = recipe.vars.iter().map(|var| var.name.as_str()).collect();
    let mut check = |location: &Location, at: &str| {
        if let Some(name) = location.var().filter(|name| !vars.contains(name)) {
            issues.add(
                at,
                format!(
                    "there is no var {name}{}",
                    suggestion(name, vars.iter().copied())
                ),
            );
        }
        if location.named_step().is_some_and(|step| step >= steps) {
            issues.add(
                at,
                format!("there are only {steps} requests; steps are counted from 0"),
            );
        }
        if steps == 0 && location.var().is_none() {
            issues.add(
                at,
                "nothing is called, so there is no answer: expected var:NAME",
            );
        }
    };
    recipe
        .token
        .iter()
        .for_each(|location| check(location, "/config/token"));
    for (name, output) in &recipe.outputs {
        if let Output::Found(location) = output {
            check(location, &pointer("/config/outputs", name));
        }
    }
    for save in &recipe.save {
        check(&save.from, &pointer("/config/save", &save.input));
    }
}

fn check_saves(recipe: &Recipe, issues: &mut Issues) {
    for save in &recipe.save {
        let at = pointer("/config/save", &save.input);
        match recipe.input(&save.input) {
            Some(input) if input.from == Origin::Rotating => {}
            Some(_) => issues.add(at, "is no rotating input: give it \"from\": \"rotating\""),
            None => {
                let names = recipe.inputs.iter().map(|input| input.name.as_str());
                issues.add(
                    at,
                    format!(
                        "is no input of this realm{}",
                        suggestion(&save.input, names)
                    ),
                );
            }
        }
    }
    for input in recipe
        .inputs
        .iter()
        .filter(|input| input.from == Origin::Rotating)
    {
        if !recipe.save.iter().any(|save| save.input == input.name) {
            issues.add(
                pointer("/config/inputs", &input.name),
                "rotates, so save must say where its new value is in the answer",
            );
        }
    }
    if !recipe.refresh_requests.is_empty() && recipe.save.is_empty() {
        issues.add(
            "/config/refresh_requests",
            "are used once something is saved: save is missing",
        );
    }
}
