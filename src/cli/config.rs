//! `config show|check`

use clap::{Args, Subcommand};

use super::output::{Output, note, print};
use super::{ConfigFlags, Exit};
use crate::config::Config;

/// The configuration as the server would see it.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Print the effective settings, secrets redacted.
    Show,
    /// Check the settings, and print what is wrong and what should be changed.
    Check,
}

/// Runs the command.
pub(super) fn run(args: &ConfigArgs, output: Output) -> anyhow::Result<()> {
    let config = args.config.load(Vec::new())?;
    match (args.action, output) {
        (Action::Check, _) => {
            for warning in config.warnings() {
                note(&format!("warning: {warning}"));
            }
            Ok(())
        }
        (Action::Show, output) => {
            let shown = config.redacted().map_err(|error| Exit::config(error.0))?;
            match output {
                Output::Json => print(&serde_json::to_string_pretty(&with_nulls(&shown)?)?),
                Output::Table => print(&with_comments(&shown)?),
            }
        }
    }
}

/// TOML; it knows no null, so settings without value are told in comments.
fn with_comments(config: &Config) -> anyhow::Result<String> {
    let told = |(section, name, meaning)| format!("\n# {section}.{name} is not set: {meaning}");
    let comments: String = config.unset().into_iter().map(told).collect();
    Ok(toml::to_string(config)? + &comments)
}

fn with_nulls(config: &Config) -> anyhow::Result<serde_json::Value> {
    let mut document = serde_json::to_value(config)?;
    for (section, name, _) in config.unset() {
        document[section][name] = serde_json::Value::Null;
    }
    Ok(document)
}
