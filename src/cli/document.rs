//! Documents that commands read: JSON, YAML or TOML, by the file's name.

use std::path::Path;

use serde_json::Value;

use super::Exit;

/// The largest file read, in bytes: YAML is bounded before it is parsed.
const LARGEST: usize = 1 << 20;

/// Reads a file (`-`: standard input, JSON or YAML).
pub(super) fn read(file: &str) -> anyhow::Result<Value> {
    let failed = |error: &dyn std::fmt::Display| Exit::failed(format!("{file}: {error}"));
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| failed(&error))?;
    if text.len() > LARGEST {
        return Err(failed(&"larger than 1 MiB").into());
    }
    let ending = Path::new(file).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_lowercase().as_str() {
        "toml" => toml::from_str(&text).map_err(|error| failed(&error).into()),
        "yaml" | "yml" => serde_saphyr::from_str(&text).map_err(|error| failed(&error).into()),
        "json" => serde_json::from_str(&text).map_err(|error| failed(&error).into()),
        // Whatever it is called: JSON is tried first, since its errors are the better ones.
        _ if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(&text).map_err(|error| failed(&error).into())
        }
        _ => serde_saphyr::from_str(&text).map_err(|error| failed(&error).into()),
    }
}

/// The documents of a file: an object, an array of them, or a list as the API answers it.
pub(super) fn read_all(file: &str) -> anyhow::Result<Vec<Value>> {
    Ok(match read(file)? {
        Value::Array(items) => items,
        Value::Object(mut members) => match members.get_mut("data").and_then(|data| data.get_mut("list")) {
            Some(Value::Array(items)) => std::mem::take(items),
            Some(_) | None => vec![Value::Object(members)],
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Exit::failed(format!("{file}: expected an object or an array of objects")).into());
        }
    })
}
