//! A request taken apart into its leaves, so that what means the same compares as equal.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Number, Value, json};

/// Place → what stands there: `method`, `query.appid`, `body.assertion.claims.exp`.
pub(crate) type Leaves = BTreeMap<String, Value>;

/// Headers that every client sends in its own way; they count where the preset sets them.
const OF_THE_CLIENT: [&str; 9] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-length",
    "cache-control",
    "sec-fetch-mode",
];

/// The leaves of a request `{"method", "url", "headers", "body"}`; `preset` is what the preset
/// sends.
pub(crate) fn leaves_of(request: &Value, preset: &Value) -> Leaves {
    let url = url::Url::parse(request["url"].as_str().unwrap()).unwrap();
    let mut bare = url.clone();
    bare.set_query(None);
    let headers = lower_case(&request["headers"]);
    let content_type = headers
        .get("content-type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let set = lower_case(&preset["headers"]);
    let headers: Map<_, _> = headers
        .into_iter()
        .filter(|(name, _)| !OF_THE_CLIENT.contains(&name.as_str()) || set.contains_key(name))
        .map(|(name, value)| {
            let value = if name == "content-type" {
                json!(media_type(&content_type))
            } else {
                value
            };
            (name, value)
        })
        .collect();
    let text = request["body"].as_str().unwrap_or_default();
    let body = match media_type(&content_type) {
        "application/x-www-form-urlencoded" => pairs(text),
        // Some send JSON without saying so.
        _ => serde_json::from_str(text)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| text.into()),
    };
    let tree = json!({"method": request["method"], "url": bare.as_str(),
        "query": pairs(url.query().unwrap_or_default()), "header": headers, "body": body});
    let mut leaves = Leaves::new();
    add(&tree, "", &mut leaves);
    leaves
}

/// The leaves of a token that was worked out here.
pub(crate) fn token_leaves(token: &Value) -> Leaves {
    let mut leaves = Leaves::new();
    let opened = token.as_str().and_then(usersig);
    add(opened.as_ref().unwrap_or(token), "token", &mut leaves);
    leaves
}

/// A signature of Tencent Cloud's Chat opened: compressed JSON in a base64 of its own.
fn usersig(text: &str) -> Option<Value> {
    let usual = text.replace('*', "+").replace('-', "/").replace('_', "=");
    let bytes = STANDARD.decode(usual).ok()?;
    serde_json::from_reader(flate2::read::ZlibDecoder::new(bytes.as_slice())).ok()
}

fn lower_case(headers: &Value) -> Map<String, Value> {
    let headers = headers.as_object().into_iter().flatten();
    headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect()
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// By name; a name that comes more than once has a list.
fn pairs(encoded: &str) -> Value {
    let mut all = Map::new();
    for (name, value) in url::form_urlencoded::parse(encoded.as_bytes()) {
        let value = Value::from(value.into_owned());
        match all.get_mut(name.as_ref()) {
            None => _ = all.insert(name.into_owned(), value),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = json!([first, value]),
        }
    }
    all.into()
}

fn add(value: &Value, place: &str, leaves: &mut Leaves) {
    let opened = value.as_str().and_then(jwt);
    match opened.as_ref().unwrap_or(value) {
        Value::Object(members) => {
            for (name, value) in members {
                let inside = if place.is_empty() {
                    name.clone()
                } else {
                    format!("{place}.{name}")
                };
                add(value, &inside, leaves);
            }
        }
        // Nothing stands there.
        Value::Null => {}
        Value::String(text) if text.is_empty() && place == "body" => {}
        Value::Number(number) => _ = leaves.insert(place.to_owned(), Value::Number(whole(number))),
        leaf @ (Value::Bool(_) | Value::String(_) | Value::Array(_)) => {
            _ = leaves.insert(place.to_owned(), leaf.clone());
        }
    }
}

/// 5 for 5.0, which is the same number.
fn whole(number: &Number) -> Number {
    let float = number
        .as_f64()
        .filter(|float| number.is_f64() && float.fract() == 0.0);
    float
        .and_then(|float| format!("{float:.0}").parse().ok())
        .unwrap_or_else(|| number.clone())
}

/// A JWT opened, with the word before it if there is one. Of its signature only the length: it
/// covers the order of members, which says nothing; that ours are good is what oidc-provider tells.
fn jwt(text: &str) -> Option<Value> {
    let (scheme, token) = text
        .rsplit_once(' ')
        .map_or((None, text), |(word, token)| (Some(word), token));
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return None;
    };
    let open =
        |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (header, claims) = (open(header)?, open(claims)?);
    let length = URL_SAFE_NO_PAD.decode(signature).ok()?.len();
    Some(json!({"scheme": scheme, "header": header, "claims": claims, "signature_bytes": length}))
}
