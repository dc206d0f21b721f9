//! `import`

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::output::ForPeople;
use super::{Exit, reach_store};
use crate::config::Config;
use crate::import::{self, ImportError, LegacyUrl, Report, Settings};
use crate::store::{DatabaseUrl, SqlStore};

/// Take over realms, secrets and live tokens of the inherited service's database.
///
/// All or nothing is written, and a second run writes only what changed there since. The report
/// names each realm, secret and token, what became of it and why. Both services may have the same
/// database.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The inherited service's database: mysql://USER:PASSWORD@HOST:PORT/DATABASE (shown to other
    /// users of this machine while the program runs; a password is better given in the
    /// environment).
    #[arg(
        long,
        value_name = "URL",
        env = "TOKEN_SERVER_IMPORT_FROM",
        hide_env_values = true
    )]
    from: SecretString,
    /// Write nothing; report what an import would do.
    #[arg(long)]
    dry_run: bool,
    /// Replace also what was edited or deleted here.
    #[arg(long)]
    overwrite: bool,
    /// Take realms also where credentials of secrets here, or tokens of others, then go to this new
    /// host; may be repeated. Without it such a realm is left, and the report names its hosts.
    #[arg(long, value_name = "HOST")]
    confirm_host: Vec<String>,
    /// Declare that callers now ask this server: the tokens of all secrets of the inherited
    /// service are renewed in the background from now on. Without it, a token is renewed in the
    /// background only once somebody has asked for it here, so that the tokens that the inherited
    /// service still hands out stay valid. Run the import once more with it at the switch.
    #[arg(long)]
    switched: bool,
}

/// Imports into the configured store. A dry run changes nothing there, the schema included.
pub(super) async fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<Report> {
    let from = LegacyUrl::read(args.from.expose_secret()).map_err(exit)?;
    let settings = Settings {
        dry_run: args.dry_run,
        overwrite: args.overwrite,
        switched: args.switched,
        confirm_hosts: args.confirm_host.clone(),
    };
    let store = if args.dry_run {
        store_to_compare(config).await?
    } else {
        reach_store(config).await?
    };
    store.migrate().await.map_err(Exit::store)?;
    Ok(import::run(&from, &store, settings).await.map_err(exit)?)
}

/// The configured store if its schema is up to date; else nothing is in it, and an empty one in
/// memory stands for it.
async fn store_to_compare(config: &Config) -> anyhow::Result<SqlStore> {
    let url = config
        .database
        .parsed()
        .map_err(|error| Exit::config(error.0))?;
    if !url.is_missing_file() {
        let store = reach_store(config).await?;
        let states = store.migration_state().await.map_err(Exit::store)?;
        if states.iter().all(|state| state.applied) {
            return Ok(store);
        }
    }
    let in_memory = DatabaseUrl::read("sqlite::memory:").map_err(Exit::store)?;
    Ok(SqlStore::open(&in_memory, 1, config.database.timeout())
        .await
        .map_err(Exit::store)?)
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
