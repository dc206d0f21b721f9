//! A request that was made, held against the one a provider wants.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use crate::xml;

/// What differs; nothing where the request is as it must be.
///
/// `wanted`: `{"method", "url", "query", "headers", "format", "body"}`, parsed; `signed` are texts
/// of signed JWTs, which are not in it and were compared by themselves.
pub(crate) fn differences(wanted: &Value, made: &Value, signed: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, wanted: String, made: String| {
        if wanted != made {
            found.push(format!("{what}: wanted {wanted}, made {made}"));
        }
    };
    differ("method", text(&wanted["method"]), text(&made["method"]));
    let (wanted_base, mut wanted_query) = split(&text(&wanted["url"]));
    wanted_query.extend(pairs_of(&wanted["query"]));
    let (made_base, made_query) = split(&text(&made["url"]));
    differ("url", wanted_base, made_base);
    differ(
        "query",
        format!("{wanted_query:?}"),
        format!("{:?}", without_pairs(made_query, signed)),
    );
    differ("headers", headers(wanted, &[]), headers(made, signed));
    differ(
        "body",
        wanted_body(wanted),
        made_body(wanted, &made["body"], signed),
    );
    found
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

type Pairs = Vec<(String, String)>;

/// A URL as any client sends it, and its query's pairs; a plus sign in a query is a plus sign (RFC
/// 3986).
fn split(url: &str) -> (String, Pairs) {
    let mut url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let query = pairs(url.query().unwrap_or_default(), decoded);
    url.set_query(None);
    (url.to_string(), query)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn form_decoded(text: &str) -> String {
    decoded(&text.replace('+', " "))
}

fn pairs(text: &str, decode: fn(&str) -> String) -> Pairs {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

fn pairs_of(object: &Value) -> Pairs {
    object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn holds(text: &str, signed: &[String]) -> bool {
    signed.iter().any(|jwt| text.contains(jwt.as_str()))
}

fn without_pairs(mut pairs: Pairs, signed: &[String]) -> Pairs {
    pairs.retain(|(_, value)| !holds(value, signed));
    pairs
}

/// All headers, sorted, names in lower case, with the media type that its kind of body has.
fn headers(request: &Value, signed: &[String]) -> String {
    let mut all = without_pairs(pairs_of(&request["headers"]), signed);
    for (name, _) in &mut all {
        name.make_ascii_lowercase();
    }
    let media_type = match request["format"].as_str() {
        Some("form") => Some("application/x-www-form-urlencoded"),
        Some("json") => Some("application/json"),
        Some("xml") => Some("application/xml"),
        Some("text") => Some("text/plain"),
        _ => None,
    };
    let names_one = all.iter().any(|(name, _)| name == "content-type");
    all.extend(
        media_type
            .filter(|_| !names_one)
            .map(|kind| ("content-type".to_owned(), kind.to_owned())),
    );
    all.sort();
    format!("{all:?}")
}

fn wanted_body(wanted: &Value) -> String {
    let body = &wanted["body"];
    match wanted["format"].as_str() {
        Some("form") => format!("{:?}", pairs_of(body)),
        Some("xml") => xml::texts(body).to_string(),
        Some("text") if body.is_null() => "a signed JWT".to_owned(),
        Some("text") => text(body),
        _ => body.to_string(),
    }
}

/// The body that was made, read as the provider reads it: the order of its members counts too.
fn made_body(wanted: &Value, made: &Value, signed: &[String]) -> String {
    let body = made.as_str();
    match (wanted["format"].as_str(), body) {
        (Some("form"), Some(body)) => {
            format!("{:?}", without_pairs(pairs(body, form_decoded), signed))
        }
        (Some("json"), Some(body)) => serde_json::from_str::<Value>(body)
            .map_or(format!("no JSON: {body}"), |json| {
                without_members(json, signed).to_string()
            }),
        (Some("xml"), Some(body)) => {
            let declared = body.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
            let tree = declared.and_then(xml::tree);
            tree.map_or(format!("no XML: {body}"), |tree| {
                without_members(tree, signed).to_string()
            })
        }
        (Some("text"), Some(body)) if holds(body, signed) => "a signed JWT".to_owned(),
        (Some("text"), Some(body)) => body.to_owned(),
        _ => made.to_string(),
    }
}

fn without_members(value: Value, signed: &[String]) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .filter(|(_, value)| !value.as_str().is_some_and(|t| holds(t, signed)));
            kept.map(|(name, value)| (name, without_members(value, signed)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(list) => list
            .into_iter()
            .map(|value| without_members(value, signed))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[test]
fn a_difference_of_each_kind_is_told() {
    let wanted = serde_json::json!({"method": "POST", "url": "https://h.example/a?v=1", "query": {"a": "b c", "d": "+"},
        "headers": {"X-Key": "k"}, "format": "form", "body": {"x": "1 2", "y": "3"}});
    let made = |method: &str, url: &str, headers: &str, body: &str| {
        let headers: Value = serde_json::from_str(headers).unwrap();
        let made =
            serde_json::json!({"method": method, "url": url, "headers": headers, "body": body});
        differences(&wanted, &made, &[])
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let url = "https://h.example/a?v=1&a=b%20c&d=%2B";
    let headers = r#"{"x-key": "k", "content-type": "application/x-www-form-urlencoded"}"#;
    let body = "x=1+2&y=3";
    let none: Vec<String> = Vec::new();
    assert_eq!(made("POST", url, headers, body), none);
    for (made, part) in [
        (made("GET", url, headers, body), "method"),
        (
            made(
                "POST",
                "https://h.example/b?v=1&a=b%20c&d=%2B",
                headers,
                body,
            ),
            "url",
        ),
        (
            made("POST", "https://h.example/a?v=1&a=b+c&d=%2B", headers, body),
            "query",
        ),
        (
            made(
                "POST",
                "https://h.example/a?v=1&d=%2B&a=b%20c",
                headers,
                body,
            ),
            "query",
        ),
        (made("POST", url, r#"{"x-key": "k"}"#, body), "headers"),
        (made("POST", url, headers, "y=3&x=1+2"), "body"),
        (made("POST", url, headers, "x=1%2B2&y=3"), "body"),
    ] {
        assert_eq!(made, [part]);
    }
}
