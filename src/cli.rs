//! The command line: one file per command.

mod catalog;
mod client;
mod config;
mod dev;
mod document;
mod exit;
mod generate;
mod healthcheck;
mod import;
mod key;
mod log;
mod migrate;
mod output;
mod realm;
mod secret;
mod serve;
mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

use crate::config::{Config, Environment, Override};
use crate::store::SqlStore;
use output::Output;

/// Hands applications the API tokens of third-party providers, fetched once per expiry.
#[derive(Debug, Parser)]
#[command(name = "token-server", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a server or database cannot be reached, \
                        78 wrong configuration.\n\nTry it: token-server dev"
)]
pub struct Cli {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Run a server to try things with: loopback only, with a built-in fake provider; no keys
    /// needed.
    Dev(dev::DevArgs),
    /// List, show, apply and delete realms of a running server.
    Realm(realm::RealmArgs),
    /// List, show, apply and delete secrets of a running server.
    Secret(secret::SecretArgs),
    /// Get a token from a running server.
    Token(token::TokenArgs),
    /// Make, list, rotate and end API keys, on the database, whether a server runs or not.
    Key(key::KeyArgs),
    /// List the calls of providers that a running server made, or follow them.
    Log(log::LogArgs),
    /// Look at or bring up to date the database's schema.
    Migrate(migrate::MigrateArgs),
    /// Take over realms, secrets and live tokens of the inherited service's database.
    Import(ImportCommand),
    /// Show or check the configuration.
    Config(config::ConfigArgs),
    /// Ask a running server whether it is ready; for containers and load balancers.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// List and show the providers that are described already.
    Catalog(catalog::CatalogArgs),
    /// Print the API's OpenAPI description.
    #[command(hide = true)]
    Openapi,
    /// Write the files that are made of the code.
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
struct ConfigFlags {
    /// The configuration file (TOML). Default: token-server.toml, if it is there.
    #[arg(long, global = true, value_name = "FILE", env = "TOKEN_SERVER_CONFIG")]
    config: Option<PathBuf>,
    /// The database: sqlite:FILE, mysql://… or postgres://… (shown to other users of this machine
    /// while the program runs; a password is better given in the environment).
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, Args)]
struct ImportCommand {
    #[command(flatten)]
    config: ConfigFlags,
    #[command(flatten)]
    import: import::ImportArgs,
}

impl ConfigFlags {
    fn load(&self, more: Vec<Override>) -> anyhow::Result<Config> {
        let mut flags = more;
        flags.extend(self.database.clone().map(|url| ("database.url", url)));
        let environment = Environment::of_process();
        Config::load(self.config.as_deref(), &environment, &flags)
            .map_err(|error| Exit::config(error.0).into())
    }
}

/// Opens the configured store; does not connect yet.
async fn open_store(config: &Config) -> anyhow::Result<SqlStore> {
    Ok(crate::app::open_store(config).await.map_err(Exit::start)?)
}

/// Opens the configured store after looking whether its server is there.
async fn reach_store(config: &Config) -> anyhow::Result<SqlStore> {
    let store = open_store(config).await?;
    store.reach().await.map_err(Exit::store)?;
    Ok(store)
}

/// Runs the command.
///
/// # Errors
/// [`Exit`] where another exit code than 1 is due.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let output = cli.output;
    match cli.command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Dev(args) => Box::pin(dev::run(&args)).await,
        Command::Realm(args) => realm::run(&args, output).await,
        Command::Secret(args) => secret::run(&args, output).await,
        Command::Token(args) => token::run(&args, output).await,
        Command::Key(args) => key::run(&args, output).await,
        Command::Log(args) => log::run(&args, output).await,
        Command::Migrate(args) => migrate::run(&args, output).await,
        Command::Import(args) => {
            let config = args.config.load(Vec::new())?;
            output.print_report(&import::run(&args.import, &config).await?)
        }
        Command::Config(args) => config::run(&args, output),
        Command::Healthcheck(args) => healthcheck::run(&args, output).await,
        Command::Catalog(args) => catalog::run(&args, output),
        Command::Generate(args) => generate::run(&args).await,
        Command::Openapi => output::print(&crate::http::description().to_pretty_json()?),
    }
}
