//! `migrate status|up`

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, print};
use super::{ConfigFlags, Exit, open_store};

/// The database's schema. `serve` brings it up to date by itself.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// List the migrations and whether the database has them; changes nothing.
    Status,
    /// Apply what is missing. Several may run at once: one does the work.
    Up,
}

/// Runs the command.
pub(super) async fn run(args: &MigrateArgs, output: Output) -> anyhow::Result<()> {
    let config = args.config.load(Vec::new())?;
    let store = open_store(&config).await?;
    match args.action {
        Action::Status => {
            let states = store.migration_state().await.map_err(Exit::store)?;
            let items: Vec<_> = states.iter().map(|state| json!(state)).collect();
            output.print_items(&json!(states), &items, &["name", "applied"])
        }
        Action::Up => {
            let applied = store.migrate().await.map_err(Exit::store)?.applied;
            match output {
                Output::Json => print(&json!({"applied": applied}).to_string()),
                Output::Table => print(&format!("applied {applied} migration(s); the schema is up to date")),
            }
        }
    }
}
