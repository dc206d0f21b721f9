//! The life of a server: bind, start, ready, drain, stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{StartError, wrong};
use super::listening::{Listeners, timeouts};
use super::{Services, door};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::server::{Listener, Serving, serve};
use crate::http::{Door, Keyless, metrics_router};
use crate::service::store_time::{compare, keep_on_store_time};
use crate::store::{Migrated, SqlStore, StoreError};

/// Opens the configured store; does not connect yet.
///
/// # Errors
/// When its URL is wrong.
pub async fn open_store(config: &Config) -> Result<SqlStore, StartError> {
    let database = &config.database;
    let url = database.parsed().map_err(wrong)?;
    Ok(SqlStore::open(&url, database.max_connections, database.timeout()).await?)
}

/// A server that listens, before it serves.
pub struct Server {
    config: Config,
    listeners: Listeners,
    store: SqlStore,
    clock: Arc<SystemClock>,
    services: Services,
    keyless: Keyless,
}

impl Server {
    /// Takes the ports and wires the parts; does not wait for the database. `keyless`: what callers
    /// without an API key may do.
    ///
    /// # Errors
    /// When a setting is wrong, or a port is taken.
    pub async fn bind(config: Config, keyless: Keyless) -> Result<Self, StartError> {
        let store = open_store(&config).await?;
        let clock = Arc::new(SystemClock::default());
        let admin = config.auth.admin_key().map_err(wrong)?;
        let services = Services::build(
            &config,
            Arc::new(store.clone()),
            clock.clone(),
            admin.as_ref(),
        )?;
        let listeners = Listeners::bind(&config, &services).await?;
        warn(&config, &services);
        Ok(Self {
            config,
            listeners,
            store,
            clock,
            services,
            keyless,
        })
    }

    /// The address of the API, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> Result<SocketAddr, StartError> {
        self.listeners.address()
    }

    /// Serves until TERM or Ctrl-C; `when_ready` runs once the store is, before `/readyz` says so.
    ///
    /// # Errors
    /// When the database is one that can never be used, or `when_ready` fails.
    pub async fn run<F, R>(self, when_ready: F) -> Result<(), StartError>
    where
        F: FnOnce(Services) -> R + Send + 'static,
        R: Future<Output = anyhow::Result<()>> + Send,
    {
        let Self {
            config,
            mut listeners,
            store,
            clock,
            services,
            keyless,
        } = self;
        let (address, tls) = (listeners.address()?, listeners.has_tls());
        tracing::info!(%address, tls, "listening");
        let needs_keys = !matches!(keyless, Keyless::Everything);
        let door = door(&services, &config, keyless).map_err(wrong)?;
        let (fatal, mut failed) = mpsc::channel(1);
        let start = StartUp {
            services: services.clone(),
            store: store.clone(),
            clock,
            interval: config.renewal.sync_interval(),
            refresh_ahead: config.renewal.background,
            needs_keys,
        };
        services.tasks.spawn("start-up", async move {
            if let Err(error) = start.run(when_ready).await {
                // The receiver lives as long as the server.
                let _ = fatal.send(error).await;
            }
        });
        if let Some(listener) = listeners.metrics.take() {
            serve_metrics(listener, &config, &services);
        }
        let mut failure = None;
        let stop = async {
            tokio::select! {
                () = told_to_end(&services, config.server.drain_delay()) => {}
                Some(error) = failed.recv() => failure = Some(error),
            }
        };
        let finished = tokio::select! {
            finished = serve_and_drain(listeners, (&config, door), &services, stop) => finished,
            () = told_twice() => false,
        };
        store.close().await;
        tracing::info!(finished, "ended");
        failure.map_or(Ok(()), Err)
    }
}

/// Tells of settings that work and should be changed; only the log has the names of files.
fn warn(config: &Config, services: &Services) {
    for warning in config.warnings() {
        tracing::warn!(code = warning.code, "{warning}");
        services.readiness.warn(warning.code, warning.detail);
    }
}

/// Connections first, then background work, within one time: a caller that waits for a renewal
/// would get an error from a loop that was told to end.
async fn serve_and_drain(
    listeners: Listeners,
    (config, door): (&Config, Door),
    services: &Services,
    stop: impl Future<Output = ()>,
) -> bool {
    let patience = config.server.drain_timeout();
    let closing = CancellationToken::new();
    let mut stopped_at = Instant::now();
    let stop = async {
        stop.await;
        stopped_at = Instant::now();
        closing.cancel();
    };
    let serving = listeners.serve(door, (config, services), &closing, patience);
    let (all_answered, ()) = tokio::join!(serving, stop);
    let left = patience.saturating_sub(stopped_at.elapsed());
    services.tasks.stop(left.max(LEAST_FOR_TASKS)).await && all_answered
}

/// Background work has so long to end even if connections took all the time: most only has to be
/// told.
const LEAST_FOR_TASKS: Duration = Duration::from_secs(1);

fn serve_metrics(listener: TcpListener, config: &Config, services: &Services) {
    let router = metrics_router(services.metrics.clone());
    let serving = Serving {
        timeouts: timeouts(config),
        ..Serving::usual(router, services.tasks.clone())
    };
    let tasks = services.tasks.clone();
    services.tasks.spawn("metrics", async move {
        serve(
            Listener::Plain(listener),
            serving,
            tasks.stopping(),
            Duration::ZERO,
        )
        .await;
    });
}

/// What happens between listening and being ready; in the background, so that `/healthz` answers
/// meanwhile.
struct StartUp {
    services: Services,
    store: SqlStore,
    clock: Arc<SystemClock>,
    interval: Duration,
    refresh_ahead: bool,
    needs_keys: bool,
}

/// First and longest pause between attempts to reach the database.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl StartUp {
    async fn run<F, R>(self, when_ready: F) -> Result<(), StartError>
    where
        F: FnOnce(Services) -> R + Send + 'static,
        R: Future<Output = anyhow::Result<()>> + Send,
    {
        let patient = self.migrate_patiently();
        tokio::select! {
            () = self.services.tasks.stopping() => return Ok(()),
            outcome = patient => outcome?,
        }
        if let Err(error) = compare(&self.clock, self.services.store.as_ref()).await {
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
        keep_on_store_time(
            self.clock,
            self.services.store.clone(),
            &self.services.tasks,
        );
        self.services.upkeep.follow(self.interval);
        if self.refresh_ahead {
            self.services.upkeep.refresh_ahead();
        }
        when_ready(self.services.clone())
            .await
            .map_err(|error| StartError::Ready(format!("{error:#}")))?;
        if let Err(error) = self.services.api_keys.reload().await {
            tracing::warn!(%error, "the API keys could not be read; the next look reads them");
        } else if self.needs_keys && !self.services.api_keys.has_admin() {
            tracing::warn!(
                "no API key of role admin works: make the first one with: token-server key create --role admin"
            );
        }
        self.services.readiness.set_serving();
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
                    self.services
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

/// Resolves when the listener should close: at once on Ctrl-C, after the drain delay on TERM.
async fn told_to_end(services: &Services, delay: Duration) {
    let Ok((mut term, mut interrupt)) = signals() else {
        return std::future::pending().await;
    };
    let delay = tokio::select! {
        _ = term.recv() => delay,
        _ = interrupt.recv() => Duration::ZERO,
    };
    tracing::info!(?delay, "told to end: finishing what is under way");
    services.readiness.set_draining();
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
