//! `healthcheck`

use clap::Args;

use super::client::ServerFlags;
use super::output::Output;

/// Asks `/readyz`.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    server: ServerFlags,
    /// Fail also when the server is degraded: its database is away, but tokens in memory are
    /// served.
    #[arg(long)]
    strict: bool,
}

/// Succeeds when the server is ready.
pub(super) async fn run(args: &HealthcheckArgs, output: Output) -> anyhow::Result<()> {
    let query = if args.strict {
        vec![("strict", "1".to_owned())]
    } else {
        Vec::new()
    };
    output.print_one(&args.server.client()?.get(&["readyz"], &query).await?)
}
