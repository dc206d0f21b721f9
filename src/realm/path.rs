//! Where a value is in a JSON response: a *singular* query of RFC 9535 (names and indexes only).
//!
//! Other queries are refused when saved: they can take unbounded memory, and no provider needs
//! them.

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

/// The longest path accepted, in bytes: bounds the parser.
const LONGEST: usize = 500;

/// A checked path; compares and prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    written: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(i64),
}

impl Path {
    /// Reads a path: `$…` as RFC 9535, anything else split at dots, so that `data.app-token` is
    /// `$['data']['app-token']`.
    ///
    /// # Errors
    /// What is wrong with it, for the one who wrote it.
    pub fn read(written: &str) -> Result<Self, String> {
        if written.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if written.len() > LONGEST {
            return Err(format!("must not be longer than {LONGEST} bytes"));
        }
        let steps = if written.starts_with('$') {
            query_steps(written)?
        } else {
            dotted_steps(written)
        };
        Ok(Self {
            written: written.to_owned(),
            steps,
        })
    }

    /// The path of one top-level member.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self {
            written: name.to_owned(),
            steps: vec![Step::Name(name.to_owned())],
        }
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The value there; a member whose name is the whole text wins over the path (the inherited
    /// form's rule).
    #[must_use]
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let literal = document
            .as_object()
            .and_then(|object| object.get(&self.written));
        literal.or_else(|| {
            self.steps
                .iter()
                .try_fold(document, |place, step| step.take(place))
        })
    }
}

impl Step {
    fn take<'a>(&self, place: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Name(name) => place.as_object()?.get(name),
            Self::Index(index) => {
                let items = place.as_array()?;
                let length = i64::try_from(items.len()).ok()?;
                let position = if *index < 0 { length + index } else { *index };
                items.get(usize::try_from(position).ok()?)
            }
        }
    }
}

fn dotted_steps(written: &str) -> Vec<Step> {
    written
        .split('.')
        .map(|name| Step::Name(name.to_owned()))
        .collect()
}

fn query_steps(written: &str) -> Result<Vec<Step>, String> {
    let query: JpQuery = parse_json_path(written)
        .map_err(|_| "is not a JSONPath of RFC 9535, e.g. $.data.token".to_owned())?;
    query.segments.iter().map(singular).collect()
}

fn singular(segment: &Segment) -> Result<Step, String> {
    let refused = || {
        Err(
            "must be a singular query: names and indexes only, e.g. $.data[0]['app-token']"
                .to_owned(),
        )
    };
    match segment {
        Segment::Selector(Selector::Name(name)) => Ok(Step::Name(unquoted(name))),
        Segment::Selector(Selector::Index(index)) => Ok(Step::Index(*index)),
        Segment::Selector(Selector::Wildcard | Selector::Slice(..) | Selector::Filter(_))
        | Segment::Descendant(_)
        | Segment::Selectors(_) => refused(),
    }
}

/// The parser keeps the quotes of `['name']` in the name.
fn unquoted(name: &str) -> String {
    let inner = |quote: char| {
        name.strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    inner('\'')
        .or_else(|| inner('"'))
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_they_name() {
        let document = json!({
            "access_token": "top", "a.b": "literal", "a": {"b": "nested", "c": [{"d": 1}, {"d": 2}]},
            "data": {"app-token": "dashed", "it's": 1},
        });
        for (path, found) in [
            ("access_token", Some(json!("top"))),
            ("a.b", Some(json!("literal"))),
            ("$.a.b", Some(json!("nested"))),
            ("data.app-token", Some(json!("dashed"))),
            ("$['data']['app-token']", Some(json!("dashed"))),
            ("$[\"data\"][\"app-token\"]", Some(json!("dashed"))),
            ("$.a.c[-1].d", Some(json!(2))),
            ("$.a.c[7].d", None),
            ("absent", None),
            ("$", Some(document.clone())),
        ] {
            assert_eq!(
                Path::read(path).unwrap().find(&document),
                found.as_ref(),
                "{path}"
            );
        }
    }

    #[test]
    fn only_singular_queries_pass() {
        let long = "a".repeat(LONGEST + 1);
        for path in [
            "",
            "$..a",
            "$.*",
            "$[0:2]",
            "$[?@.a]",
            "$['a','b']",
            "$.",
            "$[",
            "$..*..*..*..*..*",
            &long,
        ] {
            assert!(Path::read(path).is_err(), "{path}");
        }
    }
}
