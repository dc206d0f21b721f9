//! `catalog list|show`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Exit;
use super::output::{Output, note, print};
use crate::realm::catalog;

/// Providers that are described already; they are in the program, no server is asked.
#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List presets.
    List {
        /// Look for this in id and titles, English and Chinese.
        #[arg(long)]
        keyword: Option<String>,
    },
    /// Show one preset: its realm, ready to be edited and applied.
    Show {
        /// Its id.
        id: String,
    },
}

/// Runs the command.
pub(super) fn run(args: &CatalogArgs, output: Output) -> anyhow::Result<()> {
    match &args.action {
        Action::List { keyword } => {
            let lines: Vec<Value> = catalog::search(keyword.as_deref().unwrap_or_default())
                .into_iter()
                .map(|preset| json!({"id": preset.id, "title": preset.title.en, "title_zh": preset.title.zh, "inputs": preset.inputs().join(", ")}))
                .collect();
            output.print_items(
                &Value::from(lines.clone()),
                &lines,
                &["id", "title", "title_zh", "inputs"],
            )
        }
        Action::Show { id } => {
            let preset = catalog::preset(id).map_err(Exit::failed)?;
            match output {
                Output::Json => print(&serde_json::to_string_pretty(preset)?),
                Output::Table => {
                    print(&serde_json::to_string_pretty(&preset.realm(id))?)?;
                    for line in preset.notes.iter().flat_map(|notes| [&notes.en, &notes.zh]) {
                        note(line);
                    }
                    note(&format!("source: {}", preset.source));
                    Ok(())
                }
            }
        }
    }
}
