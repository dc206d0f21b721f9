//! `migrate status|up`

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{Output, print};
use super::{ConfigFlags, Exit, reach_store};
use crate::config::Config;
use crate::store::MigrationState;

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
    match args.action {
        Action::Status => {
            let states = states(&config).await?;
            let items: Vec<_> = states.iter().map(|state| json!(state)).collect();
            output.print_items(&json!(states), &items, &["name", "applied"])
        }
        Action::Up => {
            let store = reach_store(&config).await?;
            let applied = store.migrate().await.map_err(Exit::store)?.applied;
            match output {
                Output::Json => print(&json!({"applied": applied}).to_string()),
                Output::Table => print(&format!(
                    "applied {applied} migration(s); the schema is up to date"
                )),
            }
        }
    }
}

/// Looks without making a SQLite file that is not there.
async fn states(config: &Config) -> anyhow::Result<Vec<MigrationState>> {
    let url = config
        .database
        .parsed()
        .map_err(|error| Exit::config(error.0))?;
    if url.is_missing_file() {
        return Ok(MigrationState::all_missing());
    }
    Ok(reach_store(config)
        .await?
        .migration_state()
        .await
        .map_err(Exit::store)?)
}
