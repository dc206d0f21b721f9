//! Reading a JSON document so that everything wrong with it is told at once, each with its place.

use serde_json::{Map, Value};

use crate::json::suggestion;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Issue {
    /// Where: a JSON pointer (RFC 6901), `""` for the whole document, or the name of a query
    /// parameter.
    pub pointer: String,
    /// What was expected.
    pub detail: String,
}

impl Issue {
    /// An issue at a place.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

/// What is wrong with a document so far.
#[derive(Debug, Default)]
pub struct Issues(Vec<Issue>);

impl Issues {
    /// Notes one more.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Issue::at(pointer, detail));
    }

    /// Notes several.
    pub(crate) fn extend(&mut self, more: Vec<Issue>) {
        self.0.extend(more);
    }

    /// All that was noted.
    #[must_use]
    pub(crate) fn into_vec(self) -> Vec<Issue> {
        self.0
    }

    /// The value, if nothing was wrong.
    ///
    /// # Errors
    /// All that was noted; also when `value` is `None` and nothing was.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<Issue>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) | None => Err(self.0),
        }
    }
}

/// A JSON object being read member by member.
///
/// Members that nobody asked for are reported by `Object::finish`, so a misspelt field never
/// passes silently.
#[derive(Debug)]
pub struct Object<'a> {
    members: &'a Map<String, Value>,
    pointer: String,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// The object at `pointer`, or an issue that says what stands there instead.
    pub(crate) fn read(value: &'a Value, pointer: &str, issues: &mut Issues) -> Option<Self> {
        if let Value::Object(members) = value {
            return Some(Self {
                members,
                pointer: pointer.to_owned(),
                known: Vec::new(),
            });
        }
        issues.add(
            pointer,
            format!("expected an object, found {}", kind(value)),
        );
        None
    }

    /// The pointer of a member of this object.
    #[must_use]
    pub(crate) fn pointer_of(&self, name: &str) -> String {
        pointer(&self.pointer, name)
    }

    /// The value of a member; `None` when absent.
    pub(crate) fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.get(name)
    }

    /// A text, `None` when absent or `null`.
    pub(crate) fn text(&mut self, name: &'static str, issues: &mut Issues) -> Option<&'a str> {
        match self.member(name)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                issues.add(
                    self.pointer_of(name),
                    format!("expected a string, found {}", kind(other)),
                );
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn required_text(
        &mut self,
        name: &'static str,
        issues: &mut Issues,
    ) -> Option<&'a str> {
        match self.member(name) {
            None | Some(Value::Null) => {
                issues.add(self.pointer_of(name), "required: a string");
                None
            }
            Some(Value::String(text)) if text.is_empty() => {
                issues.add(self.pointer_of(name), "must not be empty");
                None
            }
            Some(_) => self.text(name, issues),
        }
    }

    /// Members whose names are not fixed, chosen by `belongs`; they count as known.
    pub(crate) fn others(
        &self,
        belongs: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .filter(move |(name, _)| belongs(name))
    }

    /// Notes each member that was not asked for, is not in `ignored` and is not chosen by
    /// `belongs`.
    pub(crate) fn finish(
        self,
        ignored: &[&str],
        belongs: impl Fn(&str) -> bool,
        issues: &mut Issues,
    ) {
        for name in self.members.keys() {
            let name = name.as_str();
            if !self.known.contains(&name) && !ignored.contains(&name) && !belongs(name) {
                let (expected, near) = (
                    self.known.join(", "),
                    suggestion(name, self.known.iter().copied()),
                );
                issues.add(
                    self.pointer_of(name),
                    format!("unknown field{near}; expected one of: {expected}"),
                );
            }
        }
    }
}

/// The pointer of a member of the object at `at` (RFC 6901).
pub(crate) fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What stands in a place, in the words of JSON.
#[must_use]
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_issues_are_told_at_once_with_their_places() {
        let document = json!({"a": 1, "b/c": true});
        let mut issues = Issues::default();
        let mut object = Object::read(&document, "/config", &mut issues).unwrap();
        object.text("a", &mut issues);
        object.required_text("url", &mut issues);
        object.finish(&[], |_| false, &mut issues);
        let told = issues.into_result(Some(())).unwrap_err();
        let places: Vec<_> = told.iter().map(|issue| issue.pointer.as_str()).collect();
        assert_eq!(places, ["/config/a", "/config/url", "/config/b~1c"]);
    }
}
