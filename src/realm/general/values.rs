//! Templates, JSON with templates, and vars.

use serde_json::{Map, Value as Json};

use crate::json::suggestion;
use crate::json::{Issues, Object, kind, pointer};
use crate::realm::recipe::{Jwt, Recipe, Tree, Var, VarValue};
use crate::realm::template::{JwtAlgorithm, Template};
use crate::realm::{duration, key_doubt};

/// The most members of any object of a definition.
pub(super) const MOST_MEMBERS: usize = 100;
/// Values within values.
const DEEPEST: usize = 16;

/// A template where only text makes sense.
pub(in crate::realm) fn template(value: &Json, at: &str, issues: &mut Issues) -> Option<Template> {
    match value {
        Json::String(text) => Template::read(text, at)
            .map_err(|wrong| issues.add(at, wrong))
            .ok(),
        Json::Number(_) | Json::Bool(_) => Some(Template::literal(value.clone(), at)),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            issues.add(
                at,
                format!(
                    "expected a template (a string), a number or a boolean, found {}",
                    kind(value)
                ),
            );
            None
        }
    }
}

/// The members of an object, bounded.
pub(super) fn members<'a>(
    value: &'a Json,
    at: &str,
    issues: &mut Issues,
) -> Option<&'a Map<String, Json>> {
    let Json::Object(members) = value else {
        issues.add(at, format!("expected an object, found {}", kind(value)));
        return None;
    };
    if members.len() > MOST_MEMBERS {
        issues.add(at, format!("at most {MOST_MEMBERS} members"));
        return None;
    }
    Some(members)
}

/// Name → template, in the author's order; a list repeats the name.
pub(in crate::realm) fn pairs(
    value: Option<&Json>,
    at: &str,
    issues: &mut Issues,
) -> Vec<(String, Template)> {
    let Some(members) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (name, value) in members {
        let place = pointer(at, name);
        let list = if let Json::Array(list) = value {
            list.as_slice()
        } else {
            std::slice::from_ref(value)
        };
        if list.len() > MOST_MEMBERS {
            issues.add(&place, format!("at most {MOST_MEMBERS} values"));
            continue;
        }
        pairs.extend(
            list.iter()
                .filter_map(|value| Some((name.clone(), template(value, &place, issues)?))),
        );
    }
    pairs
}

/// JSON with templates in its strings.
pub(in crate::realm) fn tree(value: &Json, at: &str, issues: &mut Issues) -> Option<Tree> {
    tree_within(value, at, 0, issues)
}

fn tree_within(value: &Json, at: &str, depth: usize, issues: &mut Issues) -> Option<Tree> {
    if depth > DEEPEST {
        issues.add(at, format!("more than {DEEPEST} values within values"));
        return None;
    }
    match value {
        Json::Null => Some(Tree::Null),
        Json::String(_) | Json::Number(_) | Json::Bool(_) => {
            template(value, at, issues).map(Tree::Leaf)
        }
        Json::Array(list) if list.len() > MOST_MEMBERS => {
            issues.add(at, format!("at most {MOST_MEMBERS} values"));
            None
        }
        Json::Array(list) => {
            let items = list.iter().enumerate();
            let items = items.map(|(index, item)| {
                tree_within(item, &format!("{at}/{index}"), depth + 1, issues)
            });
            items
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()
                .map(Tree::List)
        }
        Json::Object(_) => {
            let members = members(value, at, issues)?.iter();
            let members = members.map(|(name, value)| {
                Some((
                    name.clone(),
                    tree_within(value, &pointer(at, name), depth + 1, issues)?,
                ))
            });
            members
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()
                .map(Tree::Object)
        }
    }
}

/// Reads `vars`.
pub(super) fn read_vars(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/vars";
    let Some(vars) = value
        .filter(|value| !value.is_null())
        .and_then(|value| members(value, at, issues))
    else {
        return;
    };
    for (name, value) in vars {
        let place = pointer(at, name);
        super::names::check_name(name, &place, issues);
        // One that cannot be read is known all the same, so that only the cause is told.
        let unread = || VarValue::Template(Template::literal("".into(), &place));
        let value = var_value(value, &place, issues).unwrap_or_else(unread);
        recipe.vars.retain(|var| var.name != *name);
        recipe.vars.push(Var {
            name: name.clone(),
            value,
        });
    }
}

fn var_value(value: &Json, at: &str, issues: &mut Issues) -> Option<VarValue> {
    let Json::Object(_) = value else {
        return template(value, at, issues).map(VarValue::Template);
    };
    let mut object = Object::read(value, at, issues)?;
    let (json, signed) = (object.member("json"), object.member("jwt"));
    object.finish(&[], |_| false, issues);
    match (json, signed) {
        (Some(json), None) => tree(json, &format!("{at}/json"), issues).map(VarValue::Json),
        (None, Some(signed)) => {
            jwt(signed, &format!("{at}/jwt"), issues).map(|jwt| VarValue::Jwt(Box::new(jwt)))
        }
        (Some(_), Some(_)) | (None, None) => {
            issues.add(at, "expected a template, {\"json\": …} or {\"jwt\": …}");
            None
        }
    }
}

/// Reads `{"alg", "key", "header", "claims", "lifetime"}`.
pub(in crate::realm) fn jwt(value: &Json, at: &str, issues: &mut Issues) -> Option<Jwt> {
    let mut object = Object::read(value, at, issues)?;
    let algorithm = object
        .required_text("alg", issues)
        .and_then(|text| algorithm(text, &format!("{at}/alg"), issues));
    let key = object
        .required_text("key", issues)
        .and_then(|text| key(text, &format!("{at}/key"), issues));
    let literal = key.as_ref().and_then(|key| key.as_literal()?.as_str());
    if let Some(doubt) = literal.and_then(key_doubt) {
        issues.add(format!("{at}/key"), doubt);
    }
    let header = named_trees(object.member("header"), &format!("{at}/header"), issues);
    let claims = named_trees(object.member("claims"), &format!("{at}/claims"), issues);
    let lifetime = object
        .member("lifetime")
        .filter(|value| !value.is_null())
        .map(duration::read)
        .transpose();
    let lifetime = lifetime
        .map_err(|wrong| issues.add(format!("{at}/lifetime"), wrong))
        .ok();
    object.finish(&[], |_| false, issues);
    Some(Jwt {
        algorithm: algorithm?,
        key: key?,
        header: header?,
        claims: claims?,
        lifetime: lifetime?,
    })
}

/// A signature algorithm by its name in RFC 7518.
pub(in crate::realm) fn algorithm(
    text: &str,
    at: &str,
    issues: &mut Issues,
) -> Option<JwtAlgorithm> {
    let found = JwtAlgorithm::ALL
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, algorithm)| *algorithm);
    if found.is_none() {
        let names: Vec<_> = JwtAlgorithm::ALL.iter().map(|(name, _)| *name).collect();
        let near = suggestion(text, names.iter().copied());
        issues.add(at, format!("expected one of: {}{near}", names.join(", ")));
    }
    found
}

/// A key is a template; a bare name is the value of that name.
fn key(text: &str, at: &str, issues: &mut Issues) -> Option<Template> {
    let is_name = !text.contains("{{") && super::names::is_plain(text);
    let text = if is_name {
        format!("{{{{ {text} }}}}")
    } else {
        text.to_owned()
    };
    Template::read(&text, at)
        .map_err(|wrong| issues.add(at, wrong))
        .ok()
}

fn named_trees(value: Option<&Json>, at: &str, issues: &mut Issues) -> Option<Vec<(String, Tree)>> {
    match value {
        None | Some(Json::Null) => Some(Vec::new()),
        Some(value) => match tree(value, at, issues)? {
            Tree::Object(members) => Some(members),
            Tree::Leaf(_) | Tree::Null | Tree::List(_) => {
                issues.add(at, format!("expected an object, found {}", kind(value)));
                None
            }
        },
    }
}
