//! From a checked request to the bytes that are sent, and to what of it may be shown.

use std::fmt;

use quick_xml::escape::escape;
use serde_json::{Map, Value as Json};
use url::Url;

use super::Run;
use crate::realm::encode::{form_component, pairs, rfc3986};
use crate::realm::hosts::ELSEWHERE;
use crate::realm::recipe::templates::request_templates;
use crate::realm::recipe::{BodyTemplate, Jwt, RequestTemplate, Tree};
use crate::realm::template::{Rendered, Template, sign_jwt};
use crate::secret::{MASK, numbered};

/// One HTTP request. Debug shows the method and host only: the rest may hold credentials.
pub struct Request {
    /// Its method.
    pub method: http::Method,
    /// With the query.
    pub url: Url,
    /// In the author's order; names and values are valid.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Body>,
    /// The same as it may be shown.
    pub shown: Shown,
    /// Client certificate and CA.
    pub tls: Option<TlsMaterial>,
    /// Whether a rotating input goes into it: the provider may take it once only.
    pub spends: bool,
    /// Whether it may go over `http://` to a public address: it carries no secret, or its
    /// definition says so.
    pub may_be_plain: bool,
}

/// The body of a request.
#[derive(Clone)]
pub struct Body {
    /// Its text, byte for byte.
    pub text: String,
}

/// A request with its secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// With the query.
    pub url: String,
    /// In the author's order.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<String>,
}

/// What a connection is made with, as PEM. Debug tells which parts there are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsMaterial {
    /// The client's certificate.
    pub certificate: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// A CA beside the public ones.
    pub ca: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.method,
            self.url.host_str().unwrap_or_default()
        )
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("certificate", &self.certificate),
            ("key", &self.key),
            ("ca", &self.ca),
        ];
        f.debug_list()
            .entries(
                parts
                    .iter()
                    .filter(|(_, part)| part.is_some())
                    .map(|(name, _)| name),
            )
            .finish()
    }
}

/// What cannot be rendered, in words without values.
type Wrong = String;

pub(super) fn request(
    run: &Run<'_>,
    template: &RequestTemplate,
    tls: Option<TlsMaterial>,
    spends: bool,
) -> Result<Request, Wrong> {
    let (url, shown_url) = url(run, template)?;
    let (mut headers, mut shown_headers) = headers(run, template)?;
    let body = body(run, template)?;
    let media_type = body.as_ref().map(|(media_type, _)| *media_type);
    let is_named = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(media_type) = media_type.filter(|_| !is_named) {
        let header = ("content-type".to_owned(), media_type.to_owned());
        headers.push(header.clone());
        shown_headers.push(header);
    }
    let (body, shown_body) = body
        .map(|(_, text)| (Body { text: text.real }, text.shown))
        .unzip();
    let shown = Shown {
        url: shown_url,
        headers: shown_headers,
        body: shown_body,
    };
    Ok(Request {
        method: template.method.clone(),
        url,
        headers,
        body,
        shown,
        tls,
        spends,
        may_be_plain: template.insecure_http || !has_secrets(run, template),
    })
}

/// Whether a secret, or what is made of one, goes into a request.
fn has_secrets(run: &Run<'_>, template: &RequestTemplate) -> bool {
    let templates = request_templates(template);
    matches!(template.body, BodyTemplate::Secret)
        || templates.iter().any(|template| template.is_secret(run))
}

fn url(run: &Run<'_>, template: &RequestTemplate) -> Result<(Url, String), Wrong> {
    let at = template.url.pointer();
    let rendered = template
        .url
        .text(run)?
        .ok_or_else(|| format!("{at}: has no value"))?;
    let query = rendered_pairs(run, &template.query)?;
    let with_query = |base: &str, query: &[(String, String)]| -> Option<Url> {
        let mut url = Url::parse(base).ok()?;
        if !query.is_empty() {
            let before = url.query().filter(|before| !before.is_empty());
            let query = pairs(query, rfc3986);
            let whole = before.map_or_else(|| query.clone(), |before| format!("{before}&{query}"));
            url.set_query(Some(&whole));
        }
        Some(url)
    };
    let url = with_query(&rendered.real, &query.real);
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = match url {
        Some(url)
            if template
                .url
                .leads_where_it_says(&rendered.real, &url, run)? =>
        {
            Some(url)
        }
        Some(_) | None => None,
    };
    let url =
        url.ok_or_else(|| format!("{at}: does not make an http or https URL with these values"))?;
    if !run.recipe.may_ask(&template.url, &url) {
        return Err(format!("{at}: {ELSEWHERE}"));
    }
    let shown_query = pairs(&query.shown, |text| {
        if text == MASK {
            text.to_owned()
        } else {
            rfc3986(text)
        }
    });
    let mut shown = if rendered.shown == rendered.real && !query.real.is_empty() {
        with_query(&rendered.shown, &[]).map_or_else(|| rendered.shown.clone(), String::from)
    } else if query.real.is_empty() && rendered.shown == rendered.real {
        url.as_str().to_owned()
    } else {
        rendered.shown
    };
    if !shown_query.is_empty() {
        shown.push(if shown.contains('?') { '&' } else { '?' });
        shown.push_str(&shown_query);
    }
    Ok((url, shown))
}

type Pairs = Vec<(String, String)>;

/// Names and values; what has no value is left out.
fn rendered_pairs(run: &Run<'_>, list: &[(String, Template)]) -> Result<Rendered<Pairs>, Wrong> {
    let mut all = Rendered {
        real: Vec::new(),
        shown: Vec::new(),
    };
    for (name, template) in list {
        if let Some(text) = template.text(run)? {
            run.charge(template, text.real.len())?;
            all.real.push((name.clone(), text.real));
            all.shown.push((name.clone(), text.shown));
        }
    }
    Ok(all)
}

fn headers(run: &Run<'_>, template: &RequestTemplate) -> Result<(Pairs, Pairs), Wrong> {
    let Rendered { real, shown } = rendered_pairs(run, &template.headers)?;
    for (name, value) in &real {
        if http::HeaderValue::from_str(value).is_err() {
            return Err(format!(
                "the value that secret {} gives for header {name} is not a valid header value",
                run.facts.secret
            ));
        }
    }
    Ok((real, shown))
}

fn body(
    run: &Run<'_>,
    template: &RequestTemplate,
) -> Result<Option<(&'static str, Rendered<String>)>, Wrong> {
    let json_text = |json: Rendered<Json>| Rendered {
        real: json.real.to_string(),
        shown: json.shown.to_string(),
    };
    let whole_tree = |root: &Tree| {
        let null = || Rendered {
            real: Json::Null,
            shown: Json::Null,
        };
        tree(run, root).map(|json| json_text(json.unwrap_or_else(null)))
    };
    Ok(match &template.body {
        BodyTemplate::None => None,
        BodyTemplate::Form(list) => {
            let list = rendered_pairs(run, list)?;
            let shown = |text: &str| {
                if text == MASK {
                    text.to_owned()
                } else {
                    form_component(text)
                }
            };
            let text = Rendered {
                real: pairs(&list.real, form_component),
                shown: pairs(&list.shown, shown),
            };
            Some(("application/x-www-form-urlencoded", text))
        }
        BodyTemplate::Json(root) => Some(("application/json", whole_tree(root)?)),
        BodyTemplate::JsonAs(root, media_type) => Some((media_type, whole_tree(root)?)),
        BodyTemplate::Xml(name, root) => {
            let inside = tree(run, root)?.unwrap_or_else(|| Rendered {
                real: "".into(),
                shown: "".into(),
            });
            let whole = |inside: &Json| {
                let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned();
                xml(name, inside, &mut out);
                out
            };
            Some((
                "application/xml",
                Rendered {
                    real: whole(&inside.real),
                    shown: whole(&inside.shown),
                },
            ))
        }
        BodyTemplate::Text(template) => {
            let empty = || Rendered {
                real: String::new(),
                shown: String::new(),
            };
            Some(("text/plain", template.text(run)?.unwrap_or_else(empty)))
        }
        BodyTemplate::Secret => Some(("application/json", secret(run))),
    })
}

/// The inherited contract of a function: the secret as JSON.
fn secret(run: &Run<'_>) -> Rendered<String> {
    let facts = &run.facts;
    let whole = |shown: bool| {
        let text = |value: &str| Json::from(if shown { MASK } else { value });
        let (numbers, names): (Vec<_>, Vec<_>) = facts
            .inputs
            .iter()
            .partition(|(name, _)| numbered(name).is_some());
        let mut body = Map::new();
        body.insert("realm".to_owned(), facts.secret.realm.clone().into());
        body.insert("key".to_owned(), facts.secret.key.clone().into());
        body.extend(
            numbers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), text(value))),
        );
        let names: Map<_, _> = names
            .into_iter()
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect();
        body.insert("credentials".to_owned(), names.into());
        Json::Object(body).to_string()
    };
    Rendered {
        real: whole(false),
        shown: whole(true),
    }
}

/// JSON; a member whose value is a single expression without value is left out.
pub(super) fn tree(run: &Run<'_>, root: &Tree) -> Result<Option<Rendered<Json>>, Wrong> {
    match root {
        Tree::Null => Ok(Some(Rendered {
            real: Json::Null,
            shown: Json::Null,
        })),
        Tree::Leaf(template) => {
            let value = template.json(run)?;
            if let Some(text) = value.as_ref().and_then(|value| value.real.as_str()) {
                run.charge(template, text.len())?;
            }
            Ok(value)
        }
        Tree::List(list) => {
            let (mut real, mut shown) = (Vec::new(), Vec::new());
            for item in list {
                if let Some(item) = tree(run, item)? {
                    real.push(item.real);
                    shown.push(item.shown);
                }
            }
            Ok(Some(Rendered {
                real: real.into(),
                shown: shown.into(),
            }))
        }
        Tree::Object(members) => {
            let members = object(run, members)?;
            Ok(Some(Rendered {
                real: members.real.into(),
                shown: members.shown.into(),
            }))
        }
    }
}

fn object(run: &Run<'_>, members: &[(String, Tree)]) -> Result<Rendered<Map<String, Json>>, Wrong> {
    let (mut real, mut shown) = (Map::new(), Map::new());
    for (name, value) in members {
        if let Some(value) = tree(run, value)? {
            real.insert(name.clone(), value.real);
            shown.insert(name.clone(), value.shown);
        }
    }
    Ok(Rendered { real, shown })
}

/// A signed JWT. `iat` and `exp` are added where a lifetime is given and the author gave none.
pub(super) fn jwt(run: &Run<'_>, jwt: &Jwt) -> Result<String, Wrong> {
    let key = run.key_bytes(&jwt.key)?;
    let given = object(run, &jwt.header)?.real;
    let mut header = Map::new();
    header.insert("alg".to_owned(), jwt.algorithm.name().into());
    header.extend(given);
    let mut claims = object(run, &jwt.claims)?.real;
    if let Some(lifetime) = jwt.lifetime {
        let now = run.facts.now.epoch_ms().div_euclid(1000);
        let whole = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        claims.entry("iat").or_insert_with(|| now.into());
        claims
            .entry("exp")
            .or_insert_with(|| now.saturating_add(whole).into());
    }
    if !jwt.algorithm.is_symmetric() {
        run.budget.charge_key_operation()?;
    }
    let signed = sign_jwt(jwt.algorithm, &key, &header, &claims)?;
    run.budget.charge(2 * signed.len())?;
    Ok(signed)
}

/// An element: `@name` are its attributes, `#text` its text, lists repeat it.
fn xml(name: &str, value: &Json, out: &mut String) {
    if let Json::Array(list) = value {
        for item in list {
            xml(name, item, out);
        }
        return;
    }
    let members = value.as_object();
    out.push('<');
    out.push_str(name);
    for (attribute, value) in members.into_iter().flatten() {
        if let Some(attribute) = attribute.strip_prefix('@') {
            for part in [" ", attribute, "=\"", &escape(xml_text(value)), "\""] {
                out.push_str(part);
            }
        }
    }
    out.push('>');
    match members {
        None => out.push_str(&escape(xml_text(value))),
        Some(members) => {
            for (member, value) in members
                .iter()
                .filter(|(member, _)| !member.starts_with('@'))
            {
                if member == "#text" {
                    out.push_str(&escape(xml_text(value)));
                } else {
                    xml(member, value, out);
                }
            }
        }
    }
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

/// Text that XML 1.0 can hold: it has no control characters.
fn xml_text(value: &Json) -> String {
    let text = match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            other.to_string()
        }
    };
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
        .collect()
}

/// The requests with `policy.force` over the first: what it names is replaced where it is, or added
/// to the body, or to the query where there is none.
pub(super) fn forced(
    requests: &[RequestTemplate],
    force: &Map<String, Json>,
) -> Vec<RequestTemplate> {
    let mut requests = requests.to_vec();
    let Some(first) = requests.first_mut() else {
        return requests;
    };
    for (name, value) in force {
        let value = Template::literal(value.clone(), "/config/policy/force");
        force_one(first, name, value);
    }
    requests
}

fn force_one(request: &mut RequestTemplate, name: &str, value: Template) {
    let lists = [&mut request.query, &mut request.headers];
    if let Some((_, found)) = lists.into_iter().flatten().find(|(other, _)| other == name) {
        *found = value;
        return;
    }
    match &mut request.body {
        BodyTemplate::Form(list) => match list.iter_mut().find(|(other, _)| other == name) {
            Some((_, found)) => *found = value,
            None => list.push((name.to_owned(), value)),
        },
        BodyTemplate::Json(Tree::Object(members))
        | BodyTemplate::JsonAs(Tree::Object(members), _) => {
            match members.iter_mut().find(|(other, _)| other == name) {
                Some((_, found)) => *found = Tree::Leaf(value),
                None => members.push((name.to_owned(), Tree::Leaf(value))),
            }
        }
        BodyTemplate::None
        | BodyTemplate::Json(_)
        | BodyTemplate::JsonAs(..)
        | BodyTemplate::Xml(..)
        | BodyTemplate::Text(_)
        | BodyTemplate::Secret => request.query.push((name.to_owned(), value)),
    }
}
