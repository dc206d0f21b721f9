//! Secret inputs that a definition hands to its callers: a warning, since nothing else keeps whoever
//! saves realms from reading credentials.

use std::collections::BTreeMap;

use super::templates::var_templates;
use super::{Form, Output, Recipe, VarValue};
use crate::json::pointer;
use crate::realm::template::{Template, top};

impl Recipe {
    /// Where a secret input goes into the token or an output, other than through a digest, a
    /// signature or a JWT: words for whoever saves it.
    pub(in crate::realm) fn carried_secrets(&self) -> Vec<String> {
        if self.form != Form::General && self.form != Form::OAuth2 {
            return Vec::new();
        }
        let vars = self.carrying_vars();
        let of_template = |template: &Template| self.carried_by(template, &vars);
        let tokens = self.token.iter().filter_map(|place| {
            let input = vars.get(place.var()?)?;
            Some(("/config/token".to_owned(), *input))
        });
        let outputs = self.outputs.iter().filter_map(|(name, output)| {
            let input = match output {
                Output::Found(place) => *vars.get(place.var()?)?,
                Output::Made(template) => of_template(template)?,
            };
            Some((pointer("/config/outputs", name), input))
        });
        tokens
            .chain(outputs)
            .map(|(place, input)| {
                format!(
                    "{place}: the secret input {input} goes into it, and so to everybody who gets the token: use a digest, a signature \
                     or a JWT, or leave it out"
                )
            })
            .collect()
    }

    /// The vars that hold a secret input as it is or encoded, and which.
    fn carrying_vars(&self) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        loop {
            let before = found.len();
            for var in &self.vars {
                if matches!(var.value, VarValue::Jwt(_)) {
                    continue;
                }
                let mut templates = var_templates(var).into_iter();
                if let Some(input) =
                    templates.find_map(|template| self.carried_by(template, &found))
                {
                    found.entry(var.name.as_str()).or_insert(input);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    fn carried_by<'a>(
        &'a self,
        template: &Template,
        vars: &BTreeMap<&'a str, &'a str>,
    ) -> Option<&'a str> {
        template.carried().into_iter().map(top).find_map(|name| {
            let input = self.input(name).filter(|input| input.secret);
            let input = input.map(|input| input.name.as_str());
            input.or_else(|| vars.get(name).copied())
        })
    }
}
