//! Printing results: JSON for programs, tables for people.

use std::io::Write as _;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;

/// The form of a command's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// The server's own JSON, or that of the command's result.
    Json,
    /// For people.
    Table,
}

/// A result with a form for people.
pub(super) trait ForPeople: Serialize {
    /// The text.
    fn text(&self) -> String;
}

impl Output {
    /// Prints a result in this form.
    pub(super) fn print_report(self, report: &impl ForPeople) -> anyhow::Result<()> {
        match self {
            Self::Json => print(&serde_json::to_string_pretty(report)?),
            Self::Table => print(&report.text()),
        }
    }

    /// Prints a document: as it is, or the named members of each item as columns.
    pub(super) fn print_items(
        self,
        document: &Value,
        items: &[Value],
        columns: &[&str],
    ) -> anyhow::Result<()> {
        match self {
            Self::Json => print(&serde_json::to_string_pretty(document)?),
            Self::Table => print(&table(columns, items)),
        }
    }

    /// Prints one document: as it is, or its members as rows.
    pub(super) fn print_one(self, document: &Value) -> anyhow::Result<()> {
        match (self, document) {
            (Self::Table, Value::Object(members)) => {
                let rows = members
                    .iter()
                    .map(|(name, value)| vec![name.clone(), spread(value)]);
                print(&text_of(&bare(rows)))
            }
            (Self::Json | Self::Table, _) => print(&serde_json::to_string_pretty(document)?),
        }
    }
}

/// The same document with its times, which are epoch milliseconds, as RFC 3339 in UTC.
pub(super) fn dated(document: &Value) -> Value {
    let is_time = |name: &str| {
        matches!(name, "at" | "since") || name.ends_with("_at") || name.ends_with("_until")
    };
    match document {
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| match value.as_i64().filter(|_| is_time(name)) {
                    Some(ms) => (name.clone(), Timestamp::from_epoch_ms(ms).rfc3339().into()),
                    None => (name.clone(), dated(value)),
                };
            members
                .iter()
                .map(member)
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(dated).collect::<Vec<_>>().into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

fn table(columns: &[&str], items: &[Value]) -> String {
    let rows = items.iter().map(|item| {
        columns
            .iter()
            .map(|name| cell(&item[*name]))
            .collect::<Vec<_>>()
    });
    let mut table = bare(rows);
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    text_of(&table)
}

/// Lines without the blanks that fill the last column.
fn text_of(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

fn bare(rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).add_rows(rows);
    table
}

/// One value on as many lines as it needs.
fn spread(value: &Value) -> String {
    let is_nested = value.as_object().is_some_and(|members| !members.is_empty());
    let pretty = is_nested
        .then(|| serde_json::to_string_pretty(value).ok())
        .flatten();
    pretty.unwrap_or_else(|| cell(value))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

/// Writes a line to standard output; a reader that has gone away is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Writes a line to standard error, for what is not the result.
pub(super) fn note(text: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
