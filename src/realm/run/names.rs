//! What the templates of a run see.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use super::Run;
use crate::realm::budget::Budget;
use crate::realm::recipe::{Form, Input, Recipe};
use crate::realm::response::StepResponse;
use crate::realm::template::Names;
use crate::secret::Credentials;

/// The value of a declared input; `none` where it has none.
fn input_value(input: &Input, inputs: &Credentials) -> Value {
    let given = inputs.get(&input.name).or(input.default.as_deref());
    given.map_or_else(|| Value::from(()), Value::from)
}

/// What the names of bases see: inputs alone.
pub(super) struct InputNames<'a> {
    recipe: &'a Recipe,
    inputs: &'a Credentials,
    budget: Arc<Budget>,
}

impl<'a> InputNames<'a> {
    pub(super) fn new(recipe: &'a Recipe, inputs: &'a Credentials) -> Self {
        Self {
            recipe,
            inputs,
            budget: Budget::small(),
        }
    }
}

impl Names for InputNames<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        self.recipe
            .input(name)
            .map(|input| input_value(input, self.inputs))
    }

    fn is_secret(&self, _: &str) -> bool {
        true
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(Arc::clone(&self.budget))
    }
}

impl Names for Run<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let facts = &self.facts;
        match name {
            "now" => Some(Value::from(facts.now.epoch_ms().div_euclid(1000))),
            "now_ms" => Some(Value::from(facts.now.epoch_ms())),
            "uuid" => Some(Value::from(facts.uuid.as_str())),
            "nonce" => Some(Value::from(facts.nonce.as_str())),
            "steps" => {
                let mut values = self.step_values.borrow_mut();
                let unseen = self
                    .steps
                    .iter()
                    .skip(values.len())
                    .map(StepResponse::value);
                let unseen: Vec<_> = unseen.collect();
                values.extend(unseen);
                Some(Value::from(values.clone()))
            }
            "tokens" => {
                let tokens = facts
                    .tokens
                    .iter()
                    .map(|(alias, token)| (alias.clone(), token.expose().to_owned()));
                Some(Value::from(tokens.collect::<BTreeMap<_, _>>()))
            }
            name if self.recipe.form == Form::Inherited => facts.inputs.get(name).map(Value::from),
            name => {
                let input = self
                    .recipe
                    .input(name)
                    .map(|input| input_value(input, &facts.inputs));
                input.or_else(|| self.vars.get(name).cloned())
            }
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        match name {
            "now" | "now_ms" | "uuid" | "nonce" => false,
            "steps" | "tokens" | "token" => true,
            name if self.recipe.form == Form::Inherited => self.facts.inputs.get(name).is_some(),
            name => {
                self.secret_vars.contains(name)
                    || self.recipe.input(name).is_some_and(|input| input.secret)
            }
        }
    }

    fn note_secret(&self, text: &str) {
        self.secret_texts.borrow_mut().insert(text.to_owned());
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(Arc::clone(&self.budget))
    }
}
