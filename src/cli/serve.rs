//! `serve`

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{ConfigFlags, Exit, open_store};
use crate::app::App;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::metrics_router;
use crate::http::server::{Serving, serve};
use crate::service::store_time::{compare, keep_on_store_time};
use crate::store::{Migrated, SqlStore, StoreError};
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
    /// Serve other machines although there is no authentication yet. Only on a closed network.
    #[arg(long)]
    insecure_no_auth: bool,
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
    flags.extend(
        args.insecure_no_auth
            .then(|| ("server.insecure_no_auth", "true".to_owned())),
    );
    let config = args.config.load(flags)?;
    logs::start(&config.log).map_err(Exit::config)?;
    let server = Server::bind(config).await?;
    server.run(|_| async { Ok(()) }).await
}

/// A server that listens, before it serves.
pub(super) struct Server {
    config: Config,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    store: SqlStore,
    clock: Arc<SystemClock>,
    app: App,
}

impl Server {
    /// Takes the ports and wires the parts; does not wait for the database.
    pub(super) async fn bind(config: Config) -> anyhow::Result<Self> {
        let address = config
            .server
            .address()
            .map_err(|error| Exit::config(error.0))?;
        let store = open_store(&config).await?;
        let clock = Arc::new(SystemClock::default());
        let app = App::build(&config, Arc::new(store.clone()), clock.clone())?;
        let listener = bind(address, "server.listen", "--listen gives another").await?;
        let metrics = bind_metrics(&config).await?;
        Ok(Self {
            config,
            listener,
            metrics,
            store,
            clock,
            app,
        })
    }

    /// The address of the API, with the port that the system chose for port 0.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until TERM or Ctrl-C; `when_ready` runs once the store is, before `/readyz` says so.
    pub(super) async fn run<F, R>(self, when_ready: F) -> anyhow::Result<()>
    where
        F: FnOnce(App) -> R + Send + 'static,
        R: Future<Output = anyhow::Result<()>> + Send,
    {
        let Self {
            config,
            listener,
            metrics,
            store,
            clock,
            app,
        } = self;
        tracing::info!(address = %listener.local_addr()?, "listening");
        let (fatal, mut failed) = mpsc::channel(1);
        let start = StartUp {
            app: app.clone(),
            store: store.clone(),
            clock,
            interval: config.renewal.sync_interval(),
            refresh_ahead: config.renewal.background,
        };
        app.tasks.spawn("start-up", async move {
            if let Err(exit) = start.run(when_ready).await {
                // The receiver lives as long as the server.
                let _ = fatal.send(exit).await;
            }
        });
        if let Some(listener) = metrics {
            serve_metrics(listener, &config, &app);
        }
        let mut failure = None;
        let stop = async {
            tokio::select! {
                () = told_to_end(&app, config.server.drain_delay()) => {}
                Some(exit) = failed.recv() => failure = Some(exit),
            }
        };
        let finished = tokio::select! {
            finished = serve_and_drain(listener, &config, &app, stop) => finished,
            () = told_twice() => false,
        };
        store.close().await;
        tracing::info!(finished, "ended");
        failure.map_or(Ok(()), |exit| Err(exit.into()))
    }
}

async fn serve_and_drain(
    listener: TcpListener,
    config: &Config,
    app: &App,
    stop: impl Future<Output = ()>,
) -> bool {
    let serving = Serving {
        router: crate::http::router(app.api.clone()),
        api: Some(app.api.clone()),
        header_timeout: config.server.header_timeout(),
        tasks: app.tasks.clone(),
    };
    let patience = config.server.drain_timeout();
    let all_answered = serve(listener, serving, stop, patience).await;
    app.tasks.stop(patience).await && all_answered
}

fn serve_metrics(listener: TcpListener, config: &Config, app: &App) {
    let serving = Serving {
        router: metrics_router(app.api.metrics.clone()),
        api: None,
        header_timeout: config.server.header_timeout(),
        tasks: app.tasks.clone(),
    };
    let tasks = app.tasks.clone();
    app.tasks.spawn("metrics", async move {
        serve(listener, serving, tasks.stopping(), Duration::ZERO).await;
    });
}

/// What happens between listening and being ready; in the background, so that `/healthz` answers
/// meanwhile.
struct StartUp {
    app: App,
    store: SqlStore,
    clock: Arc<SystemClock>,
    interval: Duration,
    refresh_ahead: bool,
}

/// First and longest pause between attempts to reach the database.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl StartUp {
    async fn run<F, R>(self, when_ready: F) -> Result<(), Exit>
    where
        F: FnOnce(App) -> R + Send + 'static,
        R: Future<Output = anyhow::Result<()>> + Send,
    {
        let patient = self.migrate_patiently();
        tokio::select! {
            () = self.app.tasks.stopping() => return Ok(()),
            outcome = patient => outcome.map_err(Exit::store)?,
        }
        if let Err(error) = compare(&self.clock, self.app.store.as_ref()).await {
            tracing::warn!(%error, "the database's clock could not be read");
        }
        if self
            .store
            .has_only_inherited_tables()
            .await
            .unwrap_or(false)
        {
            tracing::info!(
                "the inherited service's tables are in this database: token-server import takes them over"
            );
        }
        keep_on_store_time(self.clock, self.app.store.clone(), &self.app.tasks);
        self.app.follow(self.interval);
        if self.refresh_ahead {
            self.app.refresh_ahead();
        }
        when_ready(self.app.clone())
            .await
            .map_err(|error| Exit::failed(format!("{error:#}")))?;
        self.app.api.readiness.set_serving();
        tracing::info!("ready");
        Ok(())
    }

    async fn reach_and_migrate(&self) -> Result<Migrated, StoreError> {
        self.store.reach().await?;
        self.store.migrate().await
    }

    /// Until the database is there: it may start later than we do.
    async fn migrate_patiently(&self) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.reach_and_migrate().await {
                Ok(migrated) => {
                    tracing::info!(
                        applied = migrated.applied,
                        "the database's schema is up to date"
                    );
                    return Ok(());
                }
                Err(StoreError::Unavailable(reason) | StoreError::RefusesWrites(reason)) => {
                    tracing::warn!(reason, retry_in = ?pause, "the database cannot be used yet");
                    self.app
                        .api
                        .readiness
                        .set_starting("the database cannot be reached yet; see the log");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn bind(address: SocketAddr, setting: &str, mend: &str) -> anyhow::Result<TcpListener> {
    let failed = |error| {
        Exit::unavailable(format!(
            "{setting}: {address} cannot be listened on: {error}; {mend}"
        ))
    };
    Ok(TcpListener::bind(address).await.map_err(failed)?)
}

async fn bind_metrics(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let address = config
        .metrics
        .address()
        .map_err(|error| Exit::config(error.0))?;
    let Some(address) = address else {
        return Ok(None);
    };
    let mend = "--metrics-listen or TOKEN_SERVER__METRICS__LISTEN gives another; off gives none";
    match bind(address, "metrics.listen", mend).await {
        Ok(listener) => {
            tracing::info!(address = %listener.local_addr()?, "metrics");
            Ok(Some(listener))
        }
        Err(error) if config.metrics.is_given() => Err(error),
        Err(_) => {
            tracing::warn!(%address, "the default address of metrics is taken: none are served; set metrics.listen");
            Ok(None)
        }
    }
}

/// Resolves when the listener should close: at once on Ctrl-C, after the drain delay on TERM.
async fn told_to_end(app: &App, delay: Duration) {
    let Ok((mut term, mut interrupt)) = signals() else {
        return std::future::pending().await;
    };
    let delay = tokio::select! {
        _ = term.recv() => delay,
        _ = interrupt.recv() => Duration::ZERO,
    };
    tracing::info!(?delay, "told to end: finishing what is under way");
    app.api.readiness.set_draining();
    tokio::time::sleep(delay).await;
}

/// Resolves at the second signal: end now.
async fn told_twice() {
    let Ok((mut term, mut interrupt)) = signals() else {
        return std::future::pending().await;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}
