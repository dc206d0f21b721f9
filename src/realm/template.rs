//! Templates: text with `{{ expression }}` parts, evaluated by `MiniJinja` over our own filters and
//! nothing else.
//!
//! An expression is bounded before it is parsed (size, nesting, operators), while it runs (fuel)
//! and in what it makes (size), so that no definition can hang the process or fill its memory. What
//! was made from a secret is known: [`Rendered`] carries the text that is sent beside the text that
//! may be shown.

mod authority;
mod bytes;
mod check;
mod crypto;
mod expression;
mod filter_names;
mod filters;
mod keys;

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

use super::budget::Budget;
use crate::secret::MASK;

pub(super) use bytes::Bytes;
pub(super) use check::{Cost, StepUse};
pub(super) use crypto::{JwtAlgorithm, sign_jwt};
pub(crate) use keys::doubt;
pub(super) use keys::pem;

use expression::Expression;

/// The longest template accepted, in bytes.
const LONGEST: usize = 16 << 10;
/// The longest value that a template may make, in bytes.
pub(super) const LARGEST_VALUE: usize = 256 << 10;
/// A checked template, with its place in the definition.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::realm) struct Template {
    pointer: String,
    parts: Parts,
}

#[derive(Clone, Debug, PartialEq)]
enum Parts {
    /// Sent as it is; a number or boolean stays one in JSON.
    Literal(Json),
    /// The inherited form's `$name`: the input, else the text as written.
    Dollar(String),
    /// Text and expressions; a single expression keeps its type.
    Mixed(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Expression(Expression),
}

/// A value as it is sent, and as it may be shown.
#[derive(Clone, Debug)]
pub(super) struct Rendered<T> {
    pub(super) real: T,
    pub(super) shown: T,
}

/// What a template sees.
pub(super) trait Names {
    /// The value of a name.
    fn value(&self, name: &str) -> Option<Value>;
    /// Whether it may not be shown.
    fn is_secret(&self, name: &str) -> bool;
    /// Learns a text that was made of what may not be shown, to mask it where a provider repeats
    /// it.
    fn note_secret(&self, _text: &str) {}
    /// What the filters may cost; `None`: they are not counted.
    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }
}

/// Why a template made nothing: words for the operator, with its place and without any value.
pub(super) type Wrong = String;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, for its author.
    pub(super) fn read(text: &str, pointer: &str) -> Result<Self, Wrong> {
        if text.len() > LONGEST {
            return Err(format!(
                "a template must not be longer than {LONGEST} bytes"
            ));
        }
        for refused in ["{%", "{#"] {
            if text.contains(refused) {
                return Err(format!(
                    "{refused} is not part of the language: only {{{{ expression }}}} is"
                ));
            }
        }
        let parts = if text.contains("{{") {
            Parts::Mixed(split(text)?)
        } else {
            Parts::Literal(text.into())
        };
        let template = Self {
            pointer: pointer.to_owned(),
            parts,
        };
        // A single expression may be bytes, for another to work on.
        if matches!(&template.parts, Parts::Mixed(parts) if parts.len() > 1) {
            template.demand_text()?;
        }
        Ok(template)
    }

    /// A value that is sent as it is.
    pub(super) fn literal(value: Json, pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            parts: Parts::Literal(value),
        }
    }

    /// The inherited form's `$name`.
    pub(super) fn dollar(name: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            parts: Parts::Dollar(name.into()),
        }
    }

    /// Where it stands.
    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// As the definition writes it, no value in it.
    pub(super) fn written(&self) -> String {
        match &self.parts {
            Parts::Literal(value) => value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
            Parts::Dollar(name) => format!("${name}"),
            Parts::Mixed(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Expression(expression) => format!("{{{{ {} }}}}", expression.source),
                })
                .collect(),
        }
    }

    /// The names whose values can be read off what it makes: those that no digest and no signature
    /// hides.
    pub(super) fn carried(&self) -> BTreeSet<&str> {
        let parts = if let Parts::Mixed(parts) = &self.parts {
            parts.as_slice()
        } else {
            &[]
        };
        let open = parts.iter().filter_map(|part| match part {
            Part::Expression(expression) if expression.cost.digests == 0 => Some(&expression.names),
            Part::Expression(_) | Part::Text(_) => None,
        });
        open.flatten().map(String::as_str).collect()
    }

    /// The name of the inherited form's `$name`.
    pub(super) fn dollar_name(&self) -> Option<&str> {
        match &self.parts {
            Parts::Dollar(name) => Some(name),
            Parts::Literal(_) | Parts::Mixed(_) => None,
        }
    }

    /// The text, where nothing is worked out.
    pub(super) fn as_literal(&self) -> Option<&Json> {
        match &self.parts {
            Parts::Literal(value) => Some(value),
            Parts::Dollar(_) | Parts::Mixed(_) => None,
        }
    }

    /// Whether its text begins so, in upper or lower case, as far as it is not worked out.
    pub(super) fn begins_with(&self, begin: &str) -> bool {
        let text = match &self.parts {
            Parts::Literal(value) => value.as_str(),
            Parts::Mixed(parts) => match parts.first() {
                Some(Part::Text(text)) => Some(text.as_str()),
                Some(Part::Expression(_)) | None => None,
            },
            Parts::Dollar(_) => None,
        };
        let text = text.and_then(|text| text.get(..begin.len()));
        text.is_some_and(|text| text.eq_ignore_ascii_case(begin))
    }

    /// Checks that it does not end in bytes, for a place where text is sent.
    ///
    /// # Errors
    /// What makes them, and what to write.
    pub(super) fn demand_text(&self) -> Result<(), Wrong> {
        let Parts::Mixed(parts) = &self.parts else {
            return Ok(());
        };
        parts.iter().try_for_each(|part| match part {
            Part::Text(_) => Ok(()),
            Part::Expression(expression) => expression.demand_text(),
        })
    }

    /// The names it uses: `appid`, `tokens.base`, `steps`.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        match &self.parts {
            Parts::Literal(_) => BTreeSet::new(),
            Parts::Dollar(name) => BTreeSet::from([name.as_str()]),
            Parts::Mixed(parts) => {
                let names = parts.iter().filter_map(|part| match part {
                    Part::Text(_) => None,
                    Part::Expression(expression) => Some(&expression.names),
                });
                names.flatten().map(String::as_str).collect()
            }
        }
    }

    /// The responses it names.
    pub(super) fn steps(&self) -> impl Iterator<Item = &StepUse> {
        let parts = if let Parts::Mixed(parts) = &self.parts {
            parts.as_slice()
        } else {
            &[]
        };
        parts.iter().flat_map(|part| match part {
            Part::Text(_) => &[],
            Part::Expression(expression) => expression.steps.as_slice(),
        })
    }

    /// What it costs, as far as can be told from how it is written.
    pub(super) fn cost(&self) -> Cost {
        let parts = if let Parts::Mixed(parts) = &self.parts {
            parts.as_slice()
        } else {
            &[]
        };
        let costs = parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(expression) => Some(expression.cost),
        });
        costs.fold(Cost::default(), Cost::plus)
    }

    /// The value: a single expression keeps its type (bytes too), everything else is text.
    pub(super) fn value(&self, names: &dyn Names) -> Result<Value, Wrong> {
        match &self.parts {
            Parts::Literal(value) => Ok(value_of(value)),
            Parts::Dollar(name) => Ok(names
                .value(name)
                .unwrap_or_else(|| Value::from(format!("${name}")))),
            Parts::Mixed(parts) => match parts.as_slice() {
                [Part::Expression(only)] => only.eval(names).map_err(|wrong| self.at(&wrong)),
                parts => Ok(Value::from(self.joined(parts, names)?.real)),
            },
        }
    }

    /// The text; `None` where a single expression has no value.
    pub(super) fn text(&self, names: &dyn Names) -> Result<Option<Rendered<String>>, Wrong> {
        let real = match &self.parts {
            Parts::Mixed(parts) if !matches!(parts.as_slice(), [Part::Expression(_)]) => {
                return self.joined(parts, names).map(Some);
            }
            Parts::Literal(_) | Parts::Dollar(_) | Parts::Mixed(_) => self.value(names)?,
        };
        if real.is_none() {
            return Ok(None);
        }
        let real = text_of(&real).map_err(|wrong| self.at(&wrong))?;
        let shown = if self.is_secret(names) {
            names.note_secret(&real);
            MASK.to_owned()
        } else {
            real.clone()
        };
        Ok(Some(Rendered { real, shown }))
    }

    /// The JSON value; `None` where a single expression has no value.
    pub(super) fn json(&self, names: &dyn Names) -> Result<Option<Rendered<Json>>, Wrong> {
        let typed = match &self.parts {
            Parts::Literal(value) => {
                return Ok(Some(Rendered {
                    real: value.clone(),
                    shown: value.clone(),
                }));
            }
            Parts::Mixed(parts) => matches!(parts.as_slice(), [Part::Expression(_)]),
            Parts::Dollar(_) => true,
        };
        if !typed {
            let text = self.text(names)?;
            return Ok(text.map(|text| Rendered {
                real: text.real.into(),
                shown: text.shown.into(),
            }));
        }
        let value = self.value(names)?;
        if value.is_none() {
            return Ok(None);
        }
        let real = json_of(&value).map_err(|wrong| self.at(&wrong))?;
        let shown = if self.is_secret(names) {
            names.note_secret(real.as_str().unwrap_or_default());
            MASK.into()
        } else {
            real.clone()
        };
        Ok(Some(Rendered { real, shown }))
    }

    /// Whether anything it uses may not be shown.
    pub(super) fn is_secret(&self, names: &dyn Names) -> bool {
        self.names().iter().any(|name| names.is_secret(top(name)))
    }

    fn joined(&self, parts: &[Part], names: &dyn Names) -> Result<Rendered<String>, Wrong> {
        let (mut real, mut shown) = (String::new(), String::new());
        for part in parts {
            match part {
                Part::Text(text) => {
                    real.push_str(text);
                    shown.push_str(text);
                }
                Part::Expression(expression) => {
                    let value = expression.eval(names).and_then(|value| text_of(&value));
                    let value = value.map_err(|wrong| self.at(&wrong))?;
                    let is_secret = expression
                        .names
                        .iter()
                        .any(|name| names.is_secret(top(name)));
                    if is_secret {
                        names.note_secret(&value);
                    }
                    shown.push_str(if is_secret { MASK } else { &value });
                    real.push_str(&value);
                }
            }
            if real.len() > LARGEST_VALUE {
                return Err(self.at(&too_large()));
            }
        }
        Ok(Rendered { real, shown })
    }

    fn at(&self, wrong: &str) -> Wrong {
        format!("{}: {wrong}", self.pointer)
    }
}

/// The name before the first dot.
pub(super) fn top(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn too_large() -> Wrong {
    format!("makes more than {LARGEST_VALUE} bytes")
}

/// Text and expressions of a template.
fn split(text: &str) -> Result<Vec<Part>, Wrong> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find("{{") {
        if begin > 0 {
            parts.push(Part::Text(rest[..begin].to_owned()));
        }
        let inside = &rest[begin + 2..];
        let end = check::end_of_expression(inside)?;
        parts.push(Part::Expression(Expression::read(&inside[..end])?));
        rest = &inside[end + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// What is nothing, where text is made.
const NO_VALUE: &str = "has no value; give the input a default, or write | default('')";

/// Whether a template made nothing because a value that it names is not there.
pub(super) fn is_absence(wrong: &str) -> bool {
    [NO_VALUE, filters::NO_SUCH_VALUE]
        .iter()
        .any(|words| wrong.ends_with(words))
}

/// A value as text: text, numbers and booleans.
pub(super) fn text_of(value: &Value) -> Result<String, Wrong> {
    let text = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        // `7200.0` is written `7200`.
        ValueKind::Number => value
            .as_i64()
            .map_or_else(|| value.to_string(), |whole| whole.to_string()),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::None | ValueKind::Undefined => {
            return Err(NO_VALUE.to_owned());
        }
        ValueKind::Bytes | ValueKind::Plain => {
            return Err("is bytes, where text is made: end with | hex or | base64".to_owned());
        }
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Invalid | _ => {
            return Err(
                "is an array or an object, where text is made: name a member of it, or end with | json"
                    .to_owned(),
            );
        }
    };
    bytes::demand_plain(&text)?;
    if text.len() > LARGEST_VALUE {
        Err(too_large())
    } else {
        Ok(text)
    }
}

/// JSON as a value of templates.
pub(super) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Value::from(whole),
            (None, Some(whole), _) => Value::from(whole),
            (None, None, Some(number)) => Value::from(number),
            (None, None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => list.iter().map(value_of).collect::<Vec<_>>().into(),
        Json::Object(members) => Value::from_pairs(
            members
                .iter()
                .map(|(name, value)| (name.as_str(), value_of(value))),
        ),
    }
}

/// A value as JSON, its type kept.
pub(super) fn json_of(value: &Value) -> Result<Json, Wrong> {
    let unwritable = || "cannot be written as JSON".to_owned();
    match value.kind() {
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(value.is_true().into()),
        // `1.0` stays what it is: it may be signed.
        ValueKind::Number => match (value.as_i64(), u64::try_from(value.clone())) {
            (Some(whole), _) if value.is_integer() => Ok(whole.into()),
            (_, Ok(whole)) if value.is_integer() => Ok(whole.into()),
            _ => f64::try_from(value.clone())
                .map(Json::from)
                .map_err(|_| unwritable()),
        },
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()
            .map_err(|_| unwritable())?
            .map(|item| json_of(&item))
            .collect(),
        ValueKind::Map => {
            let names = value.try_iter().map_err(|_| unwritable())?;
            let members = names.map(|name| {
                let inside = value.get_item(&name).map_err(|_| unwritable())?;
                Ok((text_of(&name)?, json_of(&inside)?))
            });
            members
                .collect::<Result<serde_json::Map<_, _>, Wrong>>()
                .map(Json::Object)
        }
        ValueKind::Undefined
        | ValueKind::String
        | ValueKind::Bytes
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => text_of(value).map(Json::from),
    }
}

#[cfg(test)]
mod tests;
