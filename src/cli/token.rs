//! `token get`

use clap::{Args, Subcommand};

use super::client::ServerFlags;
use super::output::{Output, print};

/// Tokens of a running server.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    server: ServerFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Get a working token.
    Get {
        /// The realm.
        #[arg(long)]
        realm: String,
        /// The secret's key.
        #[arg(long)]
        key: String,
        /// Fetch a new token although the held one is good.
        #[arg(long)]
        flush: bool,
        /// Print nothing but the token.
        #[arg(long)]
        token_only: bool,
    },
}

/// Runs the command.
pub(super) async fn run(args: &TokenArgs, output: Output) -> anyhow::Result<()> {
    let Action::Get { realm, key, flush, token_only } = &args.action;
    let mut query = vec![("realm", realm.clone()), ("key", key.clone())];
    query.extend(flush.then(|| ("flush", "true".to_owned())));
    let answer = args.server.client()?.get(&["api", "token"], &query).await?;
    if *token_only {
        return print(answer["token"].as_str().unwrap_or_default());
    }
    output.print_one(&answer)
}
