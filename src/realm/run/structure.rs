//! What a fetch did, without any value: for those who may not see what a secret holds, and for
//! everybody where something stored was used.

use serde_json::{Map, Value as Json, json};

use super::Run;
use crate::realm::location::Location;
use crate::realm::recipe::{BodyTemplate, Condition, Recipe, RequestTemplate, Tree};
use crate::realm::template::Template;
use crate::secret::MASK;

/// Values within values that are shown of a response.
const DEEPEST: usize = 8;
/// Members of an object that are shown.
const MOST_MEMBERS: usize = 100;

impl Run<'_> {
    /// The request that was made last, as the definition writes it.
    ///
    /// Shape: `{"method", "url", "query", "headers", "body"}`; names in the lists, no values.
    #[must_use]
    pub fn request_structure(&self) -> Option<Json> {
        let request = self.requests.get(self.steps.len())?;
        let names = |list: &[(String, Template)]| -> Vec<Json> {
            list.iter().map(|(name, _)| name.as_str().into()).collect()
        };
        Some(
            json!({"method": request.method.as_str(), "url": request.url.written(),
                "query": names(&request.query), "headers": names(&request.headers), "body": body(request)}),
        )
    }

    /// The last response: status, media type, size, names of headers and members.
    #[must_use]
    pub fn response_structure(&self) -> Option<Json> {
        let response = self.refused.as_ref().or(self.steps.last())?;
        // Also what a definition that is only tried calls harmless.
        let inputs = self.facts.inputs.iter().map(|(_, value)| value.to_owned());
        let known: Vec<_> = inputs
            .filter(|text| text.len() >= 4)
            .chain(self.known_secrets(response))
            .collect();
        let headers: Vec<_> = response
            .headers
            .iter()
            .map(|(name, _)| without(name, &known))
            .collect();
        let media_type = response.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let body = response
            .document
            .as_ref()
            .map(|document| shape(document, &known, 0));
        Some(
            json!({"status": response.status, "headers": headers, "media_type": without(media_type, &known),
                "bytes": response.text.len(), "body": body}),
        )
    }
}

/// The name without what is known to be secret, which a provider may have put there.
fn without(name: &str, known: &[String]) -> String {
    if known.iter().any(|secret| name.contains(secret.as_str())) {
        MASK.to_owned()
    } else {
        name.to_owned()
    }
}

/// The kind of a value; of an object those of its members by name, of a list that of its first item.
fn shape(value: &Json, known: &[String], depth: usize) -> Json {
    match value {
        Json::Object(members) if depth < DEEPEST => members
            .iter()
            .take(MOST_MEMBERS)
            .map(|(name, value)| (without(name, known), shape(value, known, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        Json::Array(list) if depth < DEEPEST => list
            .iter()
            .take(1)
            .map(|item| shape(item, known, depth + 1))
            .collect(),
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_) => kind(value).into(),
    }
}

/// The kind of a value in a word.
pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn body(request: &RequestTemplate) -> Json {
    let of = |kind: &str, members: Vec<&str>| json!({"type": kind, "members": members});
    match &request.body {
        BodyTemplate::None => Json::Null,
        BodyTemplate::Form(list) => {
            of("form", list.iter().map(|(name, _)| name.as_str()).collect())
        }
        BodyTemplate::Json(tree) | BodyTemplate::JsonAs(tree, _) => of("json", members(tree)),
        BodyTemplate::Xml(name, _) => of("xml", vec![name]),
        BodyTemplate::Text(_) => of("text", Vec::new()),
        BodyTemplate::Secret => of("json", vec!["realm", "key", "credentials"]),
    }
}

fn members(tree: &Tree) -> Vec<&str> {
    match tree {
        Tree::Object(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
        Tree::Leaf(_) | Tree::Null | Tree::List(_) => Vec::new(),
    }
}

impl Recipe {
    /// Whether a failure's code is the provider's, not one that the definition worked out itself.
    #[must_use]
    pub fn codes_come_from_answers(&self) -> bool {
        let requests = self.requests.iter().chain(&self.refresh_requests);
        let conditions = requests.flat_map(|request| &request.success_when);
        let tested = conditions
            .chain(&self.success_when)
            .filter_map(Condition::location);
        let mut places = self.errors.code.iter().chain(tested);
        places.all(|place: &Location| place.var().is_none())
    }
}
