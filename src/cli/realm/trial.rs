//! `realm test`: one real fetch by a running server; nothing is stored, no token is handed out.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::client::Client;
use crate::cli::output::{Output, print};
use crate::cli::{Exit, document};

#[derive(Debug, Args)]
pub(super) struct TrialArgs {
    /// With --file: a host that stored values may go to in this trial; may be repeated.
    #[arg(long, value_name = "HOST")]
    confirm_host: Vec<String>,
    /// The id of a saved realm, or with --file a definition that is not saved.
    #[arg(
        value_name = "ID",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    id: Option<String>,
    /// A realm, or its config alone; JSON, YAML or TOML. - is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Values to try with: {"name": "value"}, or {"inputs": {…}, "tokens": {…}, "grant": {…}}.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    credentials: Option<String>,
    /// Take the values of this stored secret.
    #[arg(long)]
    key: Option<String>,
    /// Its realm, with --file.
    #[arg(long)]
    realm: Option<String>,
    /// Send what a forced refresh sends.
    #[arg(long)]
    forced: bool,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: &TrialArgs, output: Output) -> anyhow::Result<()> {
    let body = body(args)?;
    let path = match &args.id {
        Some(id) => vec!["api", "realm", id, "test"],
        None => vec!["api", "realm", "test"],
    };
    let report = client.post(&path, &body).await?;
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&report)?)?,
        Output::Table => print(&for_people(&report))?,
    }
    if report["success"] == true {
        return Ok(());
    }
    let error = &report["error"];
    let detail = error["detail"].as_str().unwrap_or("no token came");
    Err(Exit::failed(format!(
        "{}: {detail}",
        error["class"].as_str().unwrap_or_default()
    ))
    .into())
}

fn body(args: &TrialArgs) -> anyhow::Result<Value> {
    let mut body = Map::new();
    if let Some(file) = &args.file {
        let document = document::read(file)?;
        let is_realm = ["id", "config", "logic_code"]
            .iter()
            .any(|name| document.get(name).is_some());
        if is_realm {
            for name in ["config", "logic_code"] {
                body.extend(
                    document
                        .get(name)
                        .map(|value| (name.to_owned(), value.clone())),
                );
            }
        } else {
            body.insert("config".to_owned(), document);
        }
    }
    if let Some(file) = &args.credentials {
        let values = document::read(file)?;
        let is_split = ["inputs", "tokens", "grant"]
            .iter()
            .any(|name| values.get(name).is_some_and(Value::is_object));
        if is_split {
            body.extend(values.as_object().cloned().unwrap_or_default());
        } else {
            body.insert("inputs".to_owned(), values);
        }
    }
    for (name, value) in [("key", &args.key), ("realm", &args.realm)] {
        body.extend(value.clone().map(|value| (name.to_owned(), value.into())));
    }
    body.insert("forced".to_owned(), args.forced.into());
    Ok(super::confirmed(body.into(), &args.confirm_host))
}

fn for_people(report: &Value) -> String {
    let mut lines = Vec::new();
    for step in report["steps"].as_array().into_iter().flatten() {
        let request = &step["request"];
        lines.push(format!(
            "{} {}",
            text(&request["method"]),
            text(&request["url"])
        ));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            lines.push(format!("  {name}: {}", text(value)));
        }
        // Of a trial with anything stored there are names only.
        for (what, names) in [
            ("query", &request["query"]),
            ("headers", &request["headers"]),
            ("body", &request["body"]["members"]),
        ] {
            let names: Vec<_> = names.as_array().into_iter().flatten().map(text).collect();
            if !names.is_empty() {
                lines.push(format!("  {what}: {}", names.join(", ")));
            }
        }
        lines.extend(request["body"].as_str().map(|body| format!("  {body}")));
        let answer = &step["answer"];
        lines.push(format!(
            "→ {} in {} ms: {}",
            answer["status"], step["duration_ms"], answer["body"]
        ));
    }
    for finding in report["findings"].as_array().into_iter().flatten() {
        let mark = if finding["found"] == true {
            "found"
        } else {
            "missing"
        };
        let value = if finding["value"].is_null() {
            String::new()
        } else {
            format!(" = {}", text(&finding["value"]))
        };
        lines.push(format!(
            "{mark}: {} at {}{value}",
            text(&finding["what"]),
            text(&finding["from"])
        ));
    }
    if !report["token"].is_null() {
        lines.push(format!("a token came out: {}", report["token"]));
    }
    lines.extend(
        report["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|warning| format!("warning: {}", text(warning))),
    );
    if lines.is_empty() {
        json!({}).to_string()
    } else {
        lines.join("\n")
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
