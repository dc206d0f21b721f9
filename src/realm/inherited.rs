//! The inherited form of a realm's `config`: stays valid byte for byte, and is read into the same
//! as all others.
//!
//! Source: CONTRACT, "Realm config".

use serde_json::Value as Json;

use super::location::Location;
use super::recipe::{BodyTemplate, Expires, Form, Recipe, RequestTemplate, Tree, Unit};
use super::template::Template;
use super::{Path, Policy, check_header_name, flag, http_url, is_name};
use crate::json::{Issues, Object, kind};

/// Where an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The query.
    Url,
    Header,
    /// The body (of a GET: the query).
    Body,
}

struct Argument {
    name: String,
    place: Place,
    value: Template,
}

/// Reads `/config`.
pub(super) fn read(config: &Json, issues: &mut Issues) -> Option<Recipe> {
    let mut object = Object::read(config, "/config", issues)?;
    let url = object
        .required_text("url", issues)
        .and_then(|url| http_url(url, "/config/url", issues));
    let methods = [("GET", http::Method::GET), ("POST", http::Method::POST)];
    let method = one_of(&mut object, "method", &methods, issues);
    let arguments = read_arguments(object.member("arguments"), issues);
    let token_path = object.required_text("token_path", issues);
    let token_path = token_path.and_then(|path| read_path(path, "/config/token_path", issues));
    let content_type = content_type(&mut object, issues);
    let expires_in_path = object
        .text("expires_in_path", issues)
        .filter(|path| !path.is_empty());
    let expires_in_path =
        expires_in_path.map(|path| read_path(path, "/config/expires_in_path", issues));
    let policy = Policy::read(object.member("policy"), issues);
    let insecure_http = flag(&mut object, "insecure_http", issues).unwrap_or(false);
    object.finish(&[], |_| false, issues);
    let expires = match expires_in_path {
        Some(path) => Expires::Told {
            at: vec![Location::of_path(path?)],
            unit: Unit::Seconds,
            zone: jiff::tz::TimeZone::UTC,
            default: None,
        },
        None => Expires::Untold,
    };
    let request = request(url?.as_str(), method?, arguments?, content_type?);
    Some(Recipe {
        requests: vec![RequestTemplate {
            insecure_http,
            ..request
        }],
        token: vec![Location::of_path(token_path?)],
        expires,
        policy: policy?,
        ..Recipe::blank(Form::Inherited)
    })
}

fn request(
    url: &str,
    method: http::Method,
    arguments: Vec<Argument>,
    content_type: &'static str,
) -> RequestTemplate {
    let (mut query, mut headers, mut members) = (Vec::new(), Vec::new(), Vec::new());
    let has_body = method == http::Method::POST;
    for Argument { name, place, value } in arguments {
        match place {
            Place::Header => headers.push((name, value)),
            Place::Body if has_body => members.push((name, Tree::Leaf(value))),
            Place::Url | Place::Body => query.push((name, value)),
        }
    }
    RequestTemplate {
        method,
        url: Template::literal(url.into(), "/config/url"),
        query,
        headers,
        body: if has_body {
            BodyTemplate::JsonAs(Tree::Object(members), content_type)
        } else {
            BodyTemplate::None
        },
        insecure_http: false,
        response: None,
        success_when: Vec::new(),
    }
}

/// It only changes the Content-Type header of a POST: the body is JSON either way.
fn content_type(object: &mut Object<'_>, issues: &mut Issues) -> Option<&'static str> {
    match object.member("content_type") {
        None | Some(Json::Null) => Some("application/json"),
        Some(_) => one_of(
            object,
            "content_type",
            &[("json", "application/json"), ("text", "text/plain")],
            issues,
        ),
    }
}

/// The most arguments a realm may have.
const MOST_ARGUMENTS: usize = 100;

fn read_arguments(arguments: Option<&Json>, issues: &mut Issues) -> Option<Vec<Argument>> {
    let list = match arguments {
        None | Some(Json::Null) => return Some(Vec::new()),
        Some(Json::Array(list)) if list.len() <= MOST_ARGUMENTS => list,
        Some(Json::Array(_)) => {
            issues.add(
                "/config/arguments",
                format!("at most {MOST_ARGUMENTS} arguments"),
            );
            return None;
        }
        Some(other) => {
            issues.add(
                "/config/arguments",
                format!("expected an array, found {}", kind(other)),
            );
            return None;
        }
    };
    let read: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(index, item)| read_argument(index, item, issues))
        .collect();
    read.into_iter().collect()
}

fn read_argument(index: usize, argument: &Json, issues: &mut Issues) -> Option<Argument> {
    let mut object = Object::read(argument, &format!("/config/arguments/{index}"), issues)?;
    let name = object.required_text("name", issues);
    let places = [
        ("url", Place::Url),
        ("header", Place::Header),
        ("body", Place::Body),
    ];
    let place = one_of(&mut object, "place", &places, issues);
    let value = object.member("value");
    let pointer = object.pointer_of("value");
    let value = if let Some(value) = value {
        read_value(value, &pointer, issues)
    } else {
        issues.add(&pointer, "required: a literal or $key_1, $key_2, …");
        None
    };
    if place == Some(Place::Header) {
        if let Some(name) = name {
            check_header_name(name, &object.pointer_of("name"), issues);
        }
        check_header_value(value.as_ref(), &pointer, issues);
    }
    object.finish(&[], |_| false, issues);
    Some(Argument {
        name: name?.to_owned(),
        place: place?,
        value: value?,
    })
}

/// `$key_N` always means the credential. Another `$name` does when the secret has a credential so
/// named, else the text is sent as written: the inherited form knew only `$key_N`, and a literal
/// may begin with a dollar sign.
fn read_value(value: &Json, pointer: &str, issues: &mut Issues) -> Option<Template> {
    match value {
        Json::String(text) => {
            let name = text.strip_prefix('$').filter(|name| is_name(name));
            let literal = || Template::literal(value.clone(), pointer);
            Some(name.map_or_else(literal, |name| Template::dollar(name, pointer)))
        }
        Json::Number(_) | Json::Bool(_) => Some(Template::literal(value.clone(), pointer)),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            issues.add(
                pointer,
                format!(
                    "expected a string, a number or a boolean, found {}",
                    kind(value)
                ),
            );
            None
        }
    }
}

fn check_header_value(value: Option<&Template>, pointer: &str, issues: &mut Issues) {
    if let Some(Json::String(text)) = value.and_then(Template::as_literal)
        && http::HeaderValue::from_str(text).is_err()
    {
        issues.add(pointer, "is not a valid header value (RFC 9110)");
    }
}

fn read_path(path: &str, pointer: &str, issues: &mut Issues) -> Option<Path> {
    Path::read(path)
        .map_err(|wrong| issues.add(pointer, wrong))
        .ok()
}

fn one_of<T: Clone>(
    object: &mut Object<'_>,
    name: &'static str,
    choices: &[(&str, T)],
    issues: &mut Issues,
) -> Option<T> {
    let text = object.required_text(name, issues)?;
    let chosen = choices
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, value)| value.clone());
    if chosen.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        issues.add(
            object.pointer_of(name),
            format!("expected one of: {}", words.join(", ")),
        );
    }
    chosen
}
