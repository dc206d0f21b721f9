//! Values that a definition works out, each once and when it is first needed.

use minijinja::Value;

use super::{Run, config, render};
use crate::failure::{Failure, FailureKind};
use crate::realm::budget::is_too_costly;
use crate::realm::hosts::ELSEWHERE;
use crate::realm::recipe::VarValue;
use crate::realm::recipe::templates::var_templates;
use crate::realm::template::{Bytes, Template, text_of, top};

impl Run<'_> {
    /// A value that cannot be worked out: the operator's fault, or the fault of a response that it
    /// was to come from.
    pub(super) fn wrong(&self, templates: &[&Template], wrong: String) -> Failure {
        let comes_from_responses = |template: &Template| {
            template
                .names()
                .into_iter()
                .map(top)
                .any(|name| name == "steps" || self.response_vars.contains(name))
        };
        let is_told = |template: &Template| wrong.starts_with(&format!("{}: ", template.pointer()));
        let (told, others): (Vec<&Template>, Vec<&Template>) =
            templates.iter().partition(|template| is_told(template));
        let suspects = if told.is_empty() { others } else { told };
        let is_ours = is_too_costly(&wrong) || wrong.ends_with(ELSEWHERE);
        if !is_ours && suspects.into_iter().any(comes_from_responses) {
            return Failure::new(
                FailureKind::Malformed,
                format!("an earlier answer lacks what is needed: {wrong}"),
            );
        }
        config(wrong)
    }

    /// Works out the vars that these templates need, each once.
    pub(super) fn work_out_for(&mut self, templates: &[&Template]) -> Result<(), Failure> {
        let names = templates
            .iter()
            .flat_map(|template| template.names())
            .map(top);
        names.into_iter().try_for_each(|name| self.work_out(name))
    }

    /// Works out a var and those it needs. None depends on itself: that was checked when it was
    /// saved.
    pub(super) fn work_out(&mut self, name: &str) -> Result<(), Failure> {
        let recipe = self.recipe;
        let Some(var) = recipe.vars.iter().find(|var| var.name == name) else {
            return Ok(());
        };
        if self.vars.contains_key(name) {
            return Ok(());
        }
        self.demand_time()?;
        let templates = var_templates(var);
        self.work_out_for(&templates)?;
        let value = match &var.value {
            VarValue::Template(template) => template.value(self),
            VarValue::Json(tree) => render::tree(self, tree).map(|json| {
                Value::from(json.map(|json| json.real).unwrap_or_default().to_string())
            }),
            VarValue::Jwt(jwt) => render::jwt(self, jwt).map(Value::from).map_err(|wrong| {
                format!(
                    "{}: {wrong}",
                    crate::json::pointer("/config/vars", &var.name)
                )
            }),
        };
        let value = value.map_err(|wrong| self.wrong(&templates, wrong))?;
        self.vars.insert(&var.name, value);
        Ok(())
    }

    /// A var as text, as a token or an output may be.
    pub(super) fn var_text(&self, name: &str) -> Option<String> {
        let value = self.vars.get(name)?;
        text_of(value).ok()
    }

    /// A key's bytes: text or bytes.
    pub(super) fn key_bytes(&self, template: &Template) -> Result<Vec<u8>, String> {
        let value = template.value(self)?;
        match value.downcast_object_ref::<Bytes>() {
            Some(Bytes(bytes)) => Ok(bytes.clone()),
            None => text_of(&value)
                .map(String::into_bytes)
                .map_err(|wrong| format!("{}: {wrong}", template.pointer())),
        }
    }
}
