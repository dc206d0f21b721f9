//! Where a value is in a provider's response.

use serde_json::Value as Json;

use super::Path;

/// A place in a response, or a value that was worked out here; compares as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    written: String,
    /// Which response, from 0; `None`: the last.
    step: Option<usize>,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Body(Path),
    Header(String),
    Cookie(String),
    Text,
    Status,
    Var(String),
}

/// The most requests of a definition, and so of responses.
pub(super) const MOST_STEPS: usize = 10;

impl Location {
    /// Reads a location: `$.a.b` or `a.b`, `header:X`, `cookie:X`, `text`, `status`, `var:x`; of an
    /// earlier response `steps[0].body.a`, `steps[0].header:X`, `steps[0].text`.
    ///
    /// # Errors
    /// What is wrong with it, for the one who wrote it.
    pub fn read(written: &str) -> Result<Self, String> {
        let (step, rest) = split_step(written)?;
        let place = match step {
            None => place(rest)?,
            Some(_) => step_place(rest)?,
        };
        Ok(Self {
            written: written.to_owned(),
            step,
            place,
        })
    }

    /// A place in the body of the last response.
    #[must_use]
    pub fn of_path(path: Path) -> Self {
        Self {
            written: path.as_str().to_owned(),
            step: None,
            place: Place::Body(path),
        }
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Which response it is in, of so many.
    pub(super) fn step(&self, count: usize) -> usize {
        self.step.unwrap_or(count.saturating_sub(1))
    }

    /// The response it names, if it names one.
    pub(super) fn named_step(&self) -> Option<usize> {
        self.step
    }

    /// The var it is, if it is one.
    pub(super) fn var(&self) -> Option<&str> {
        match &self.place {
            Place::Var(name) => Some(name),
            Place::Body(_) | Place::Header(_) | Place::Cookie(_) | Place::Text | Place::Status => {
                None
            }
        }
    }

    /// Whether it is in the body as read.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Body(_))
    }
}

/// A value as text: text, numbers, booleans, and the text of an XML element that has attributes.
pub(super) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        Json::Object(members) => members.get("#text").and_then(scalar),
        Json::Null | Json::Array(_) => None,
    }
}

fn place(text: &str) -> Result<Place, String> {
    if text.contains("{{") {
        return Err("is no template: make it a var, and name that here as var:NAME".to_owned());
    }
    let named = |name: &str| {
        if name.is_empty() {
            Err("names nothing after the colon".to_owned())
        } else {
            Ok(name.to_owned())
        }
    };
    match text.split_once(':') {
        Some(("header", name)) => named(name).map(Place::Header),
        Some(("cookie", name)) => named(name).map(Place::Cookie),
        Some(("var", name)) => named(name).map(Place::Var),
        Some((word @ ("headers" | "cookies" | "vars"), _)) => {
            Err(format!("did you mean {}:NAME?", word.trim_end_matches('s')))
        }
        _ if text == "text" => Ok(Place::Text),
        _ if text == "status" => Ok(Place::Status),
        _ => Path::read(text).map(Place::Body),
    }
}

/// What follows `steps[0].`
fn step_place(rest: &str) -> Result<Place, String> {
    let member = |text: &str| {
        text.trim_start_matches('.')
            .trim_matches(['[', ']', '\'', '"'])
            .to_owned()
    };
    if let Some(path) = rest.strip_prefix("body") {
        return Path::read(&format!("${path}")).map(Place::Body);
    }
    for (word, place) in [
        ("headers", Place::Header as fn(String) -> Place),
        ("cookies", Place::Cookie),
    ] {
        if let Some(name) = rest
            .strip_prefix(word)
            .map(member)
            .filter(|name| !name.is_empty())
        {
            return Ok(place(name));
        }
    }
    match place(rest)? {
        found @ (Place::Header(_) | Place::Cookie(_) | Place::Text | Place::Status) => Ok(found),
        Place::Body(_) | Place::Var(_) => Err(
            "expected steps[0].body.…, steps[0].header:NAME, steps[0].cookie:NAME or steps[0].text"
                .to_owned(),
        ),
    }
}

/// `steps[0].rest` or `steps.0.rest`.
fn split_step(written: &str) -> Result<(Option<usize>, &str), String> {
    let Some(rest) = written.strip_prefix("steps") else {
        return Ok((None, written));
    };
    let inside = rest
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]."));
    let Some((index, rest)) =
        inside.or_else(|| rest.strip_prefix('.').and_then(|rest| rest.split_once('.')))
    else {
        return if rest.starts_with(['[', '.']) {
            Err("expected steps[0].body.…, steps[0].header:NAME or steps[0].text".to_owned())
        } else {
            Ok((None, written))
        };
    };
    let index = index.parse().ok().filter(|index| *index < MOST_STEPS);
    let index = index.ok_or_else(|| format!("expected a step from 0 to {}", MOST_STEPS - 1))?;
    Ok((Some(index), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_locations_are_refused() {
        for written in [
            "",
            "header:",
            "headers:X",
            "{{ token }}",
            "steps[10].body.x",
            "steps[0]",
            "steps[0].x",
            "$..x",
            "steps[a].text",
        ] {
            assert!(Location::read(written).is_err(), "{written}");
        }
        assert_eq!(Location::read("steps_done").unwrap().named_step(), None);
    }
}
