//! Which templates a definition has, and which responses they use.

use std::collections::BTreeSet;

use super::{BodyTemplate, Output, Recipe, RequestTemplate, Tree, Var, VarValue};
use crate::realm::template::{Template, top};

/// All templates.
pub(in crate::realm) fn all_templates(recipe: &Recipe) -> impl Iterator<Item = &Template> {
    let made = recipe
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Made(template) => Some(template),
            Output::Found(_) => None,
        });
    templates(recipe).into_iter().chain(made)
}

/// All templates whose names are checked alike.
pub(in crate::realm) fn templates(recipe: &Recipe) -> Vec<&Template> {
    let mut all: Vec<&Template> = recipe.vars.iter().flat_map(var_templates).collect();
    for request in recipe.requests.iter().chain(&recipe.refresh_requests) {
        all.extend(request_templates(request));
    }
    if let Some(tls) = &recipe.tls {
        all.extend([&tls.certificate, &tls.key, &tls.ca].into_iter().flatten());
    }
    all
}

/// Templates of places that take no bytes; what a var is as a whole may be bytes, and a key.
pub(in crate::realm) fn texts(recipe: &Recipe) -> Vec<&Template> {
    let mut all: Vec<&Template> = recipe
        .requests
        .iter()
        .chain(&recipe.refresh_requests)
        .flat_map(request_templates)
        .collect();
    for var in &recipe.vars {
        match &var.value {
            VarValue::Template(_) => {}
            VarValue::Json(tree) => tree_templates(tree, &mut all),
            VarValue::Jwt(jwt) => {
                jwt.header
                    .iter()
                    .chain(&jwt.claims)
                    .for_each(|(_, tree)| tree_templates(tree, &mut all));
            }
        }
    }
    all
}

/// The templates of a request.
pub(in crate::realm) fn request_templates(request: &RequestTemplate) -> Vec<&Template> {
    let mut all = vec![&request.url];
    all.extend(
        request
            .query
            .iter()
            .chain(&request.headers)
            .map(|(_, template)| template),
    );
    match &request.body {
        BodyTemplate::None | BodyTemplate::Secret => {}
        BodyTemplate::Form(pairs) => all.extend(pairs.iter().map(|(_, template)| template)),
        BodyTemplate::Json(tree) | BodyTemplate::JsonAs(tree, _) | BodyTemplate::Xml(_, tree) => {
            tree_templates(tree, &mut all);
        }
        BodyTemplate::Text(template) => all.push(template),
    }
    all
}

/// The templates of a var.
pub(in crate::realm) fn var_templates(var: &Var) -> Vec<&Template> {
    match &var.value {
        VarValue::Template(template) => vec![template],
        VarValue::Json(tree) => {
            let mut all = Vec::new();
            tree_templates(tree, &mut all);
            all
        }
        VarValue::Jwt(jwt) => {
            let mut all = vec![&jwt.key];
            jwt.header
                .iter()
                .chain(&jwt.claims)
                .for_each(|(_, tree)| tree_templates(tree, &mut all));
            all
        }
    }
}

fn tree_templates<'a>(tree: &'a Tree, all: &mut Vec<&'a Template>) {
    match tree {
        Tree::Leaf(template) => all.push(template),
        Tree::Null => {}
        Tree::List(list) => list.iter().for_each(|tree| tree_templates(tree, all)),
        Tree::Object(members) => members
            .iter()
            .for_each(|(_, tree)| tree_templates(tree, all)),
    }
}

/// The last response that a var is made from, however deep; `None`: it is made from none.
pub(in crate::realm) fn step_of_var(recipe: &Recipe, name: &str) -> Option<usize> {
    let var = recipe.vars.iter().find(|var| var.name == name)?;
    last_used(recipe, var_templates(var))
}

/// The last response that these templates and their vars name.
pub(in crate::realm) fn last_used<'a>(
    recipe: &'a Recipe,
    mut templates: Vec<&'a Template>,
) -> Option<usize> {
    let (mut last, mut seen) = (None, BTreeSet::new());
    while let Some(template) = templates.pop() {
        last = last.max(template.steps().map(|used| used.index).max());
        for name in template.names().into_iter().map(top) {
            if let Some(var) = recipe.vars.iter().find(|var| var.name == name)
                && seen.insert(name)
            {
                templates.extend(var_templates(var));
            }
        }
    }
    last
}
