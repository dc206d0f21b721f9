//! One expression of a template: checked when it is read, bounded when it is evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, UndefinedBehavior, Value};

use super::check::{self, Cost, StepUse};
use super::{Names, Wrong, filters, top};
use crate::realm::budget::Budget;

/// Instructions of one expression.
const FUEL: u64 = 1_000_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    filters::add_all(&mut environment);
    environment
});

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    pub(super) source: String,
    /// What is evaluated.
    meant: String,
    /// What it uses: `appid`, `tokens.base`, `steps`.
    pub(super) names: BTreeSet<String>,
    /// The filter at its end, if that makes bytes.
    made_bytes: Option<&'static str>,
    /// The responses that it names.
    pub(super) steps: Vec<StepUse>,
    /// What it costs, as far as can be told from how it is written.
    pub(super) cost: Cost,
}

/// The time at which an expression of nothing but the time is tried when it is read.
struct SampleTime;

impl Names for SampleTime {
    fn value(&self, name: &str) -> Option<Value> {
        match name {
            "now" => Some(Value::from(1_760_000_000_i64)),
            "now_ms" => Some(Value::from(1_760_000_000_123_i64)),
            _ => None,
        }
    }

    fn is_secret(&self, _name: &str) -> bool {
        false
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(Budget::small())
    }
}

impl Expression {
    /// Checks an expression.
    ///
    /// # Errors
    /// What is wrong with it, for its author.
    pub(super) fn read(source: &str) -> Result<Self, Wrong> {
        let source = source.trim();
        let made_bytes = check::check(source)?;
        let meant = check::with_joined_texts(source);
        let compiled = ENVIRONMENT.compile_expression(&meant);
        let compiled =
            compiled.map_err(|error| format!("{{{{ {source} }}}}: {}", syntax(&error)))?;
        let names: BTreeSet<String> = compiled.undeclared_variables(true).into_iter().collect();
        drop(compiled);
        let steps = check::steps_used(source);
        let cost = check::cost(&meant);
        let expression = Self {
            source: source.to_owned(),
            meant,
            names,
            made_bytes,
            steps,
            cost,
        };
        // What hangs on nothing but the time is wrong now or never: a zone, a format.
        if expression
            .names
            .iter()
            .all(|name| SampleTime.value(name).is_some())
            && expression.cost.key_operations == 0
        {
            expression.eval(&SampleTime)?;
        }
        Ok(expression)
    }

    /// Checks that it does not end in bytes.
    pub(super) fn demand_text(&self) -> Result<(), Wrong> {
        let told = |filter| {
            self.told(&format!(
                "{filter} makes bytes, where text is made: end with | hex or | base64"
            ))
        };
        self.made_bytes.map_or(Ok(()), |filter| Err(told(filter)))
    }

    /// Its value.
    ///
    /// # Errors
    /// Why there is none, without any value.
    pub(super) fn eval(&self, names: &dyn Names) -> Result<Value, Wrong> {
        let tops: BTreeSet<&str> = self.names.iter().map(|name| top(name)).collect();
        let mut values = BTreeMap::new();
        for name in tops {
            let value = names
                .value(name)
                .ok_or_else(|| format!("{name} is not known here"))?;
            values.insert(name, value);
        }
        if let Some(budget) = names.budget() {
            let sizes = values.values().map(|value| filters::size(value, &budget));
            let read = sizes.sum::<usize>().saturating_mul(self.cost.operators);
            budget.charge(read).map_err(|wrong| self.told(&wrong))?;
            values.insert(filters::BUDGET, Value::from_dyn_object(budget));
        }
        let context = Value::from(values);
        let evaluated = ENVIRONMENT
            .compile_expression(&self.meant)
            .and_then(|compiled| compiled.eval(context));
        let value = evaluated.map_err(|error| self.told(&filters::words(&error)))?;
        if value.is_undefined() {
            return Err(self.told(filters::NO_SUCH_VALUE));
        }
        Ok(value)
    }

    fn told(&self, wrong: &str) -> Wrong {
        format!("{{{{ {} }}}}: {wrong}", self.source)
    }
}

fn syntax(error: &minijinja::Error) -> String {
    error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned)
}
