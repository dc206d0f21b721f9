//! Definitions, templates and answers at random: some as they should be, some nearly, some not at
//! all.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use token_server::realm::RawResponse;
use token_server::realm::catalog::{Preset, presets};

/// Pieces that templates are made of, and some that they are not.
const PIECES: [&str; 56] = [
    "{{",
    "}}",
    "{{ ",
    " }}",
    "{%",
    "{#",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "'",
    "\"",
    "\\",
    ".",
    ",",
    "|",
    "~",
    "+",
    "-",
    "=",
    "==",
    "!=",
    "<",
    ">",
    " ",
    "\n",
    "appid",
    "secret",
    "base",
    "now",
    "uuid",
    "steps",
    "steps[0].body.a",
    "tokens",
    "none",
    "true",
    "not ",
    " and ",
    " or ",
    " if ",
    " else ",
    " in ",
    " is ",
    "0",
    "1",
    "-9223372036854775808",
    "1e400",
    "sha256",
    "hex",
    "base64",
    "split('.', 9)",
    "replace('a', appid)",
    "date('%')",
    "语\u{10FFFD}\u{0}",
];

pub(super) fn template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(PIECES.as_slice()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (select(PIECES.as_slice()), 1..400_usize).prop_map(|(piece, count)| piece.repeat(count)),
    ];
    let pieces = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    prop_oneof![
        pieces.clone(),
        pieces.prop_map(|inside| format!("{{{{ {inside} }}}}"))
    ]
}

/// An expression that is written as it should be, whatever it means, as a template.
pub(super) fn expression() -> impl Strategy<Value = String> {
    let leaf = select(
        [
            "appid",
            "secret",
            "base",
            "now",
            "now_ms",
            "nonce",
            "'語 a.b'",
            "''",
            "none",
            "true",
            "7",
            "-1",
            "2.5",
            "9223372036854775807",
            "steps[0].body.a",
            "steps[0].headers['x']",
            "steps",
            "'%Y-%m-%dT%H:%M:%SZ'",
        ]
        .as_slice(),
    );
    let whole = leaf.prop_map(str::to_owned).prop_recursive(5, 24, 3, |inside| {
        let pair = (inside.clone(), inside.clone());
        let operator = select(["~", "+", "-", "==", "<", "and", "or"].as_slice());
        prop_oneof![
            4 => (inside.clone(), select(FILTERS.as_slice())).prop_map(|(a, filter)| format!("({a}) | {filter}")),
            2 => (pair.clone(), select(KEYED.as_slice())).prop_map(|((a, b), filter)| format!("({a}) | {filter}({b})")),
            1 => (pair.clone(), inside.clone()).prop_map(|((a, b), c)| format!("({a}) | replace({b}, {c})")),
            1 => (pair.clone(), inside.clone()).prop_map(|((a, b), c)| format!("({a}) | split({b}, {c})")),
            1 => (pair.clone(), inside.clone()).prop_map(|((a, b), c)| format!("({a}) | slice({b}, {c})")),
            2 => (pair.clone(), operator).prop_map(|((a, b), operator)| format!("({a}) {operator} ({b})")),
            1 => (pair.clone(), inside.clone()).prop_map(|((a, b), c)| format!("({a}) if ({b}) else ({c})")),
            1 => inside.clone().prop_map(|a| format!("not ({a})")),
            1 => pair.prop_map(|(a, b)| format!("({a})[{b}]")),
        ]
    });
    prop_oneof![
        3 => whole.clone().prop_map(|whole| format!("{{{{ {whole} }}}}")),
        1 => (whole.clone(), whole).prop_map(|(a, b)| format!("x{{{{ {a} }}}}-{{{{ {b} }}}}")),
    ]
}

const FILTERS: [&str; 25] = [
    "base64",
    "base64url",
    "bool",
    "float",
    "form_urlencode",
    "from_base64",
    "from_base64url",
    "from_hex",
    "hex",
    "int",
    "json",
    "lower",
    "md5",
    "sha1",
    "sha256",
    "sha512",
    "spki_sha256",
    "string",
    "trim",
    "upper",
    "urlencode",
    "utf8",
    "zlib",
    "date('%F')",
    "default('x')",
];
const KEYED: [&str; 9] = [
    "hmac_md5",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_sha512",
    "rsa_sha256",
    "rsa_encrypt",
    "add",
    "date",
    "default",
];

pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        template().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(
            [
                "$.a",
                "$..a",
                "header:x",
                "var:base",
                "steps[0].text",
                "5m",
                "never",
                "{{ now }}"
            ]
            .as_slice()
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inside| {
        let names = prop_oneof![
            select(MEMBERS.as_slice()).prop_map(str::to_owned),
            any::<String>()
        ];
        prop_oneof![
            prop::collection::vec(inside.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names, inside), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

const MEMBERS: [&str; 30] = [
    "inputs",
    "vars",
    "requests",
    "refresh_requests",
    "response",
    "success_when",
    "token",
    "expires",
    "outputs",
    "save",
    "depends_on",
    "errors",
    "tls",
    "policy",
    "oauth2",
    "jwt",
    "json",
    "form",
    "xml",
    "text",
    "url",
    "query",
    "headers",
    "path",
    "unit",
    "equals",
    "code",
    "from",
    "default",
    "@a",
];

/// Places of a document that can be changed, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| places(value, &format!("{at}/{}", escaped(name)), found));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A change of a document, at some place.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Replaced(Index, Value),
    Appended(Index, String),
    Removed(Index),
    /// What stands elsewhere in it.
    Copied(Index, Index),
}

pub(super) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = any::<Index>;
    let change = prop_oneof![
        1 => (place(), json()).prop_map(|(place, value)| Change::Replaced(place, value)),
        2 => (place(), expression()).prop_map(|(place, value)| Change::Replaced(place, value.into())),
        2 => (place(), expression()).prop_map(|(place, text)| Change::Appended(place, text)),
        2 => place().prop_map(Change::Removed),
        2 => (place(), place()).prop_map(|(place, from)| Change::Copied(place, from)),
    ];
    prop::collection::vec(change, 1..3)
}

pub(super) fn changed(document: &Value, changes: &[Change]) -> Value {
    let mut document = document.clone();
    for change in changes {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let at = |place: &Index| all[place.index(all.len())].clone();
        match change {
            Change::Replaced(place, value) => put(&mut document, &at(place), value.clone()),
            Change::Copied(place, from) => {
                let value = document.pointer(&at(from)).cloned().unwrap_or_default();
                put(&mut document, &at(place), value);
            }
            Change::Appended(place, text) => {
                if let Some(Value::String(before)) = document.pointer_mut(&at(place)) {
                    before.push_str(text);
                }
            }
            Change::Removed(place) => remove(&mut document, &at(place)),
        }
    }
    document
}

pub(super) fn put(document: &mut Value, at: &str, value: Value) {
    if let Some(found) = document.pointer_mut(at) {
        *found = value;
    }
}

fn remove(document: &mut Value, at: &str) {
    let Some((parent, name)) = at.rsplit_once('/') else {
        return;
    };
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(list)) => {
            list.remove(name.parse().unwrap());
        }
        _ => {}
    }
}

pub(super) fn any_preset() -> impl Strategy<Value = &'static Preset> {
    any::<Index>().prop_map(|index| index.get(presets()))
}

pub(super) fn response() -> impl Strategy<Value = RawResponse> {
    let text = prop_oneof![
        json().prop_map(|json| json.to_string()),
        template(),
        (
            select(
                [
                    "<a>",
                    "</a>",
                    "<a b='",
                    "<![CDATA[",
                    "&x;",
                    "<!DOCTYPE a [",
                    "<?x"
                ]
                .as_slice()
            ),
            1..300_usize
        )
            .prop_map(|(piece, count)| piece.repeat(count)),
        (
            select(["[", "{\"a\":", "a=b&", "%", "&&&START&&&"].as_slice()),
            1..2000_usize
        )
            .prop_map(|(piece, count)| piece.repeat(count)),
    ];
    let body = prop_oneof![3 => text.prop_map(String::into_bytes), 1 => any::<Vec<u8>>()];
    let names = select(
        [
            "set-cookie",
            "x-subject-token",
            "retry-after",
            "content-type",
            "",
        ]
        .as_slice(),
    );
    let headers = prop::collection::vec((names.prop_map(str::to_owned), any::<String>()), 0..4);
    (
        select([200_u16, 201, 204, 302, 400, 401, 429, 500].as_slice()),
        headers,
        body,
    )
        .prop_map(|(status, headers, body)| RawResponse {
            status,
            headers,
            body,
        })
}
