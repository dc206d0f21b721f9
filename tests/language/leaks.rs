//! No secret is shown without `--show-secrets`: every preset through the real program, with values
//! that can be told from all others, on standard output and standard error, as JSON and as a table;
//! also where a provider echoes them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use token_server::realm::Origin;
use token_server::realm::catalog::{Preset, presets};

use crate::example::definition;
use crate::keys::filled;
use crate::program::{Check, in_parallel};

/// What is given to a preset, and what of it nobody may see.
struct Marked {
    credentials: Value,
    /// The secret values.
    values: Vec<String>,
    /// What of them is looked for.
    secrets: Vec<String>,
}

impl Marked {
    /// An example's values, the secret ones marked.
    fn of(preset: &Preset, example: &Value) -> Self {
        let definition = definition(preset);
        let recipe = definition.recipe().unwrap();
        let origins = [
            Origin::Stored,
            Origin::Pushed,
            Origin::Rotating,
            Origin::File,
        ];
        let declared: Vec<_> = origins
            .into_iter()
            .flat_map(|from| recipe.inputs_from(from))
            .collect();
        let is_secret = |name: &str| {
            declared
                .iter()
                .all(|input| input.name != name || input.secret)
        };
        let mut marked = Self {
            credentials: json!({}),
            values: Vec::new(),
            secrets: Vec::new(),
        };
        for part in ["inputs", "tokens", "grant"] {
            let values = filled(&example[part]).into_iter().map(|(name, value)| {
                let is_secret = part != "inputs" || is_secret(&name);
                let value = if is_secret {
                    marked.mark(&value)
                } else {
                    value
                };
                (name, value)
            });
            let values: Map<_, _> = values.collect();
            marked.credentials[part] = values.into();
        }
        marked
    }

    /// A secret value in the same form, and noted.
    fn mark(&mut self, value: &Value) -> Value {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let marked = text.replace("example", &format!("S3cr3tM4rk{}", self.secrets.len()));
        // Of a key or a certificate, a line from its middle.
        let noted = marked
            .lines()
            .nth(2)
            .filter(|_| marked.starts_with("-----"))
            .unwrap_or(&marked);
        if noted.len() >= 8 {
            self.secrets.push(noted.to_owned());
            self.values.push(marked.clone());
        }
        marked.into()
    }

    /// The secrets that a text holds in some shape.
    fn seen_in<'a>(&'a self, text: &str) -> Vec<&'a str> {
        let is_seen = |secret: &&String| {
            shapes(secret)
                .iter()
                .any(|shape| text.contains(shape.as_str()))
        };
        self.secrets
            .iter()
            .filter(is_seen)
            .map(String::as_str)
            .collect()
    }
}

/// A value as it may stand in a URL, a form, a header or a JSON body.
fn shapes(secret: &str) -> Vec<String> {
    let hex = secret
        .bytes()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let mut shapes = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        Value::from(secret).to_string().trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
    ];
    // Within something longer that was encoded, it begins in one of three places; its last
    // characters depend on what follows.
    for before in 0..3 {
        let bytes = [&b"\0\0"[..before], secret.as_bytes()].concat();
        for encoded in [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)] {
            let begin = [0, 2, 3][before];
            shapes.push(encoded[begin..encoded.trim_end_matches('=').len() - 2].to_owned());
        }
    }
    shapes
}

/// What an error says, with every secret echoed.
fn echoing(answer: &Value, values: &[String]) -> Value {
    let words = format!("refused: {}", values.join(" and "));
    let mut answer = answer.clone();
    answer["body"] = if answer["body"].is_object() {
        echoed(&answer["body"], &words)
    } else {
        json!({"error": words, "error_description": words, "errcode": words, "errmsg": words})
    };
    answer
}

fn echoed(value: &Value, words: &str) -> Value {
    match value {
        Value::String(_) => words.into(),
        Value::Array(list) => list.iter().map(|value| echoed(value, words)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), echoed(value, words)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// What of a preset is shown that must not be, and whether its examples still do what they did.
fn shown(preset: &Preset) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, example) in preset.examples.iter().enumerate() {
        let mut marked = Marked::of(preset, example);
        let exchange = example["exchange"].as_array().into_iter().flatten();
        let mut answers: Vec<Value> = exchange.map(|step| step["answer"].clone()).collect();
        let fails = !example["error"].is_null();
        if let Some(last) = answers.last_mut().filter(|_| fails) {
            *last = echoing(last, &marked.values);
        }
        let handed_out = ["token", "save"]
            .into_iter()
            .flat_map(|name| texts(&example[name]));
        marked
            .secrets
            .extend(handed_out.filter(|text| text.len() >= 8));
        for output in ["json", "table"] {
            let check = Check {
                config: &preset.config,
                credentials: &marked.credentials,
                answers: &answers,
                facts: example,
                show_secrets: false,
                output,
            };
            let checked = check.run();
            let text = format!("{}\n{}", checked.stdout, checked.stderr);
            let wanted = i32::from(fails);
            if checked.code != wanted {
                wrong.push(format!(
                    "{} {index} {output}: exit code {}: {text}",
                    preset.id, checked.code
                ));
            }
            for secret in marked.seen_in(&text) {
                wrong.push(format!(
                    "{} {index} {output} shows {secret}: {text}",
                    preset.id
                ));
            }
        }
    }
    wrong
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Object(members) => members.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Vec::new(),
    }
}

#[test]
fn no_preset_shows_a_secret_unless_asked() {
    let wrong: Vec<String> = in_parallel(presets(), shown)
        .into_iter()
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_secret_is_seen_in_each_of_its_shapes() {
    let marked = Marked {
        credentials: json!({}),
        values: Vec::new(),
        secrets: vec!["S3cr3tM4rk0/ä+x".to_owned()],
    };
    let secret = &marked.secrets[0];
    for text in [
        format!("a {secret} b"),
        "a=S3cr3tM4rk0%2F%C3%A4%2Bx".to_owned(),
        STANDARD.encode(format!("id:{secret}")),
        STANDARD.encode(format!("a:{secret}:and more")),
        URL_SAFE.encode(format!("{secret}&")),
    ] {
        assert_eq!(marked.seen_in(&text), [secret.as_str()], "{text}");
    }
    assert!(marked.seen_in("S3cr3tM4rk1").is_empty());
}
