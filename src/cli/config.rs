//! `config show|check`

use clap::{Args, Subcommand};

use super::output::{Output, print};
use super::{ConfigFlags, Exit};

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
    /// Check the settings and print nothing but what is wrong.
    Check,
}

/// Runs the command.
pub(super) fn run(args: &ConfigArgs, output: Output) -> anyhow::Result<()> {
    let config = args.config.load(Vec::new())?;
    match (args.action, output) {
        (Action::Check, _) => Ok(()),
        (Action::Show, output) => {
            let shown = config.redacted().map_err(|error| Exit::config(error.0))?;
            match output {
                Output::Json => print(&serde_json::to_string_pretty(&shown)?),
                Output::Table => print(&toml::to_string(&shown)?),
            }
        }
    }
}
