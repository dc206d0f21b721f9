//! `requests`, `refresh_requests` and `tls`.

use serde_json::Value as Json;

use super::responses;
use super::values::{members, pairs, template, tree};
use crate::json::{Issues, Object, kind};
use crate::realm::location::MOST_STEPS;
use crate::realm::recipe::{BodyTemplate, Recipe, RequestTemplate, Tls};
use crate::realm::template::Template;
use crate::realm::{check_header_name, flag, http_url};

/// Reads `requests` and `refresh_requests`.
pub(super) fn read_all(object: &mut Object<'_>, recipe: &mut Recipe, issues: &mut Issues) {
    let given = object.member("requests").filter(|value| !value.is_null());
    if given.is_some() && !recipe.requests.is_empty() {
        issues.add(
            "/config/requests",
            "oauth2 makes the request: leave one of the two out",
        );
    }
    if let Some(requests) = list(given, "/config/requests", issues) {
        recipe.requests = requests;
    }
    let refresh = object
        .member("refresh_requests")
        .filter(|value| !value.is_null());
    if let Some(requests) = list(refresh, "/config/refresh_requests", issues) {
        recipe.refresh_requests = requests;
    }
}

fn list(value: Option<&Json>, at: &str, issues: &mut Issues) -> Option<Vec<RequestTemplate>> {
    match value? {
        Json::Array(list) if list.len() <= MOST_STEPS => {
            let requests = list.iter().enumerate();
            let read = |(index, item)| {
                read(item, &format!("{at}/{index}"), issues).unwrap_or_else(|| unread(at))
            };
            Some(requests.map(read).collect())
        }
        Json::Array(_) => {
            issues.add(at, format!("at most {MOST_STEPS} requests"));
            Some(vec![unread(at); MOST_STEPS])
        }
        other @ (Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Object(_)) => {
            issues.add(at, format!("expected an array, found {}", kind(other)));
            Some(vec![unread(at)])
        }
    }
}

/// In place of a request that cannot be read, so that only the cause is told.
fn unread(at: &str) -> RequestTemplate {
    RequestTemplate {
        method: http::Method::GET,
        url: Template::literal("".into(), at),
        query: Vec::new(),
        headers: Vec::new(),
        body: BodyTemplate::None,
        insecure_http: false,
        response: None,
        success_when: Vec::new(),
    }
}

fn read(value: &Json, at: &str, issues: &mut Issues) -> Option<RequestTemplate> {
    let mut object = Object::read(value, at, issues)?;
    let method = object
        .text("method", issues)
        .map(|text| read_method(text, &format!("{at}/method"), issues));
    let url = object
        .required_text("url", issues)
        .and_then(|text| read_url(text, &format!("{at}/url"), issues));
    let query = pairs(object.member("query"), &format!("{at}/query"), issues);
    let headers = pairs(object.member("headers"), &format!("{at}/headers"), issues);
    for (name, value) in &headers {
        check_header_name(name, value.pointer(), issues);
        let text = value.as_literal().and_then(Json::as_str);
        if text.is_some_and(|text| http::HeaderValue::from_str(text).is_err()) {
            issues.add(
                value.pointer(),
                "a header's value has no line ends and no other control characters",
            );
        }
    }
    let body = read_body(&mut object, at, issues);
    let insecure_http = flag(&mut object, "insecure_http", issues);
    let response = object.member("response").filter(|value| !value.is_null());
    let response = response
        .and_then(|value| responses::read_response(value, &format!("{at}/response"), issues));
    let success_when = responses::read_conditions(
        object.member("success_when"),
        &format!("{at}/success_when"),
        issues,
    );
    object.finish(&[], |_| false, issues);
    let default = if matches!(body, BodyTemplate::None) {
        http::Method::GET
    } else {
        http::Method::POST
    };
    let method = match method {
        None => default,
        Some(method) => method?,
    };
    Some(RequestTemplate {
        method,
        url: url?,
        query,
        headers,
        body,
        insecure_http: insecure_http.unwrap_or(false),
        response,
        success_when,
    })
}

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

fn read_method(text: &str, at: &str, issues: &mut Issues) -> Option<http::Method> {
    let upper = text.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) {
        return http::Method::from_bytes(upper.as_bytes()).ok();
    }
    issues.add(at, format!("expected one of: {}", METHODS.join(", ")));
    None
}

/// A URL without expressions is checked whole, another for its scheme.
pub(in crate::realm) fn read_url(text: &str, at: &str, issues: &mut Issues) -> Option<Template> {
    let url = Template::read(text, at)
        .map_err(|wrong| issues.add(at, wrong))
        .ok()?;
    if url.as_literal().is_some() {
        http_url(text, at, issues)?;
    } else if !["http://", "https://", "{{"]
        .iter()
        .any(|begin| text.starts_with(begin))
    {
        issues.add(
            at,
            "expected a URL that begins with http:// or https://, or with an expression that gives one",
        );
    }
    Some(url)
}

fn read_body(object: &mut Object<'_>, at: &str, issues: &mut Issues) -> BodyTemplate {
    let kinds = ["form", "json", "xml", "text"];
    let given: Vec<_> = kinds
        .into_iter()
        .filter_map(|kind| Some((kind, object.member(kind)?)))
        .collect();
    let [(kind, value)] = given.as_slice() else {
        if given.len() > 1 {
            let names: Vec<_> = given.iter().map(|(kind, _)| *kind).collect();
            issues.add(
                at,
                format!(
                    "expected one of form, json, xml and text, found {}",
                    names.join(" and ")
                ),
            );
        }
        return BodyTemplate::None;
    };
    let place = format!("{at}/{kind}");
    let body = match *kind {
        "form" => Some(BodyTemplate::Form(pairs(Some(value), &place, issues))),
        "json" => tree(value, &place, issues).map(BodyTemplate::Json),
        "xml" => read_xml(value, &place, issues),
        _ => template(value, &place, issues).map(BodyTemplate::Text),
    };
    body.unwrap_or(BodyTemplate::None)
}

fn read_xml(value: &Json, at: &str, issues: &mut Issues) -> Option<BodyTemplate> {
    let root = members(value, at, issues)?;
    let Some((name, inside)) = root.iter().next().filter(|_| root.len() == 1) else {
        issues.add(at, "expected one member: the root element");
        return None;
    };
    check_xml_names(value, at, issues);
    Some(BodyTemplate::Xml(
        name.clone(),
        tree(inside, &format!("{at}/{name}"), issues)?,
    ))
}

fn check_xml_names(value: &Json, at: &str, issues: &mut Issues) {
    let is_name = |name: &str| {
        let name = name.strip_prefix('@').unwrap_or(name);
        name == "#text"
            || (name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
    };
    match value {
        Json::Object(members) => {
            for (name, inside) in members {
                if !is_name(name) {
                    issues.add(crate::json::pointer(at, name), "is not a name of XML");
                }
                check_xml_names(inside, &crate::json::pointer(at, name), issues);
            }
        }
        Json::Array(list) => list
            .iter()
            .for_each(|inside| check_xml_names(inside, at, issues)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Reads `tls`.
pub(super) fn read_tls(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/tls";
    let Some(mut object) = value
        .filter(|value| !value.is_null())
        .and_then(|value| Object::read(value, at, issues))
    else {
        return;
    };
    let mut part = |name: &'static str| {
        let value = object.member(name).filter(|value| !value.is_null())?;
        template(value, &format!("{at}/{name}"), issues)
    };
    let mut tls = Tls {
        certificate: part("certificate"),
        key: part("key"),
        ca: part("ca"),
    };
    object.finish(&[], |_| false, issues);
    if tls.certificate.is_some() != tls.key.is_some() {
        issues.add(at, "certificate and key go together");
    }
    // A CA beside `tls_client_auth` does not take its certificate away.
    if let Some(made) = recipe
        .tls
        .take()
        .filter(|_| tls.certificate.is_none() && tls.key.is_none())
    {
        tls = Tls { ca: tls.ca, ..made };
    }
    recipe.tls = Some(tls);
}
