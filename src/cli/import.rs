//! `import`

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::Exit;
use super::output::ForPeople;
use crate::import::{self, ImportError, LegacyUrl, Report, Settings};
use crate::store::SqlStore;

/// Take over realms, secrets and live tokens of the inherited service's database.
///
/// All or nothing is written, and a second run writes only what changed there since. The report names each realm, secret
/// and token, what became of it and why. Both services may have the same database.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The inherited service's database: mysql://USER:PASSWORD@HOST:PORT/DATABASE (shown to other users of this machine
    /// while the program runs; a password is better given in the environment).
    #[arg(long, value_name = "URL", env = "TOKEN_SERVER_IMPORT_FROM", hide_env_values = true)]
    from: SecretString,
    /// Write nothing; report what an import would do.
    #[arg(long)]
    dry_run: bool,
    /// Replace also what was edited or deleted here.
    #[arg(long)]
    overwrite: bool,
}

/// Imports into a store whose schema is up to date.
pub(super) async fn run(args: &ImportArgs, store: &SqlStore) -> anyhow::Result<Report> {
    let from = LegacyUrl::read(args.from.expose_secret()).map_err(exit)?;
    let settings = Settings { dry_run: args.dry_run, overwrite: args.overwrite };
    Ok(import::run(&from, store, settings).await.map_err(exit)?)
}

fn exit(error: ImportError) -> Exit {
    let message = error.to_string();
    match error {
        ImportError::BadUrl(_) => Exit::config(message),
        ImportError::Unreadable { .. } => Exit::unavailable(message),
        ImportError::Missing { .. } => Exit::failed(message),
        ImportError::Store(error) => Exit::store(error),
    }
}

impl ForPeople for Report {
    fn text(&self) -> String {
        self.to_string()
    }
}
