//! Documents that commands read: JSON, YAML or TOML, by the file's name.

use std::path::Path;

use serde_json::Value;

use super::Exit;

/// The largest file read, in bytes: YAML is bounded before it is parsed.
const LARGEST: usize = 1 << 20;

/// Reads a file (`-`: standard input, JSON or YAML).
pub(super) fn read(file: &str) -> anyhow::Result<Value> {
    read_unnamed(file).map_err(|why| Exit::failed(format!("{file}: {why}")).into())
}

/// The same; an error does not name the file.
pub(super) fn read_unnamed(file: &str) -> Result<Value, String> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| error.to_string())?;
    if text.len() > LARGEST {
        return Err("larger than 1 MiB".to_owned());
    }
    let ending = Path::new(file)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match ending.to_lowercase().as_str() {
        "toml" => toml::from_str(&text).map_err(|error| error.to_string()),
        "yaml" | "yml" => read_yaml(&text),
        "json" => read_json(&text),
        // Whatever it is called: JSON is tried first, since its errors are the better ones.
        _ if text.trim_start().starts_with(['{', '[']) => read_json(&text),
        _ => read_yaml(&text),
    }
}

fn read_json(text: &str) -> Result<Value, String> {
    crate::json::read(text.as_bytes()).map_err(|error| error.to_string())
}

/// The words of the library without its hints for programmers, and with one for authors.
fn read_yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let told = error.to_string();
        let told = told.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        if text.contains("{{") {
            format!(
                "{}\nIn YAML quote every value that has {{{{, and every path with [.",
                told.trim_end()
            )
        } else {
            told
        }
    })
}

/// The documents of a file: an object, an array of them, or a list as the API answers it.
pub(super) fn read_all(file: &str) -> anyhow::Result<Vec<Value>> {
    Ok(match read(file)? {
        Value::Array(items) => items,
        Value::Object(mut members) => match members
            .get_mut("data")
            .and_then(|data| data.get_mut("list"))
        {
            Some(Value::Array(items)) => std::mem::take(items),
            Some(_) | None => vec![Value::Object(members)],
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(
                Exit::failed(format!("{file}: expected an object or an array of objects")).into(),
            );
        }
    })
}
