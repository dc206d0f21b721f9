//! `serve`

use clap::Args;

use super::{ConfigFlags, Exit};
use crate::app::{Server, keyless};
use crate::telemetry::logs;

/// Run the server.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigFlags,
    /// The address and port of the API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address and port of /metrics, or off [default: 127.0.0.1:9464 if it is free].
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<String>,
}

/// Runs the server until it is told to end.
pub(super) async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let mut flags = Vec::new();
    flags.extend(args.listen.clone().map(|listen| ("server.listen", listen)));
    flags.extend(
        args.metrics_listen
            .clone()
            .map(|listen| ("metrics.listen", listen)),
    );
    let config = args.config.load(flags)?;
    logs::start(&config.log).map_err(Exit::config)?;
    let keyless = keyless(&config).map_err(|error| Exit::config(error.0))?;
    let server = Server::bind(config, keyless).await.map_err(Exit::start)?;
    let ended = server.run(|_| async { Ok(()) }).await;
    Ok(ended.map_err(Exit::start)?)
}
