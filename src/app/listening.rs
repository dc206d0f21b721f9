//! What the server listens on: a port, perhaps in TLS, perhaps a Unix socket, and one for metrics.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Services;
use super::error::{StartError, wrong};
use crate::config::Config;
use crate::http::server::{Crowd, Listener, Serving, Timeouts, serve};
use crate::http::{Door, Tls, TlsFiles};

/// The listeners of a process, before it serves.
pub(super) struct Listeners {
    api: TcpListener,
    tls: Option<Arc<Tls>>,
    socket: Option<Socket>,
    pub(super) metrics: Option<TcpListener>,
}

/// A Unix socket; its file goes with it.
struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Descriptors that are kept for the database, for providers and for files.
const KEPT_DESCRIPTORS: u64 = 200;
/// How often it is looked whether the files of the certificate have changed.
const LOOK_AT_FILES: Duration = Duration::from_secs(2);
/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;
const MS_A_DAY: f64 = 86_400_000.0;

impl Listeners {
    /// Takes the ports and reads the certificate.
    ///
    /// # Errors
    /// When a setting is wrong, or a port is taken.
    pub(super) async fn bind(config: &Config, services: &Services) -> Result<Self, StartError> {
        let address = config.server.address().map_err(wrong)?;
        let tls = load_tls(config, services)?;
        let api = bind(address, "server.listen", "--listen gives another").await?;
        let socket = match &config.server.unix {
            Some(path) => Some(bind_socket(path).await?),
            None => None,
        };
        let metrics = bind_metrics(config).await?;
        for listener in [Some(&api), metrics.as_ref()].into_iter().flatten() {
            services.own_listeners.note(listener.local_addr()?);
        }
        Ok(Self {
            api,
            tls,
            socket,
            metrics,
        })
    }

    /// The address of the API, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(super) fn address(&self) -> Result<SocketAddr, StartError> {
        Ok(self.api.local_addr()?)
    }

    /// Whether the API speaks TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves until `stop` is cancelled, then lets requests finish for up to `patience`; whether
    /// all did.
    pub(super) async fn serve(
        self,
        door: Door,
        (config, services): (&Config, &Services),
        stop: &CancellationToken,
        patience: Duration,
    ) -> bool {
        let serving = Serving {
            answers: door,
            timeouts: timeouts(config),
            crowd: crowd(config),
            metrics: Arc::clone(&services.metrics),
            tasks: services.tasks.clone(),
        };
        watch(&serving.crowd, self.tls.as_ref(), services);
        let port = match self.tls {
            Some(tls) => {
                follow_files(Arc::clone(&tls), services);
                Listener::Tls(self.api, tls)
            }
            None => Listener::Plain(self.api),
        };
        let on_port = serve(port, serving.clone(), stop.cancelled(), patience);
        let on_socket = async {
            let Some(mut socket) = self.socket else {
                return true;
            };
            let Some(listener) = socket.listener.take() else {
                return true;
            };
            serve(
                Listener::Socket(listener),
                serving,
                stop.cancelled(),
                patience,
            )
            .await
        };
        let (port, socket) = tokio::join!(on_port, on_socket);
        port && socket
    }
}

/// How long clients may take.
pub(super) fn timeouts(config: &Config) -> Timeouts {
    let [head, idle, request] = config.server.timeouts();
    Timeouts {
        head,
        idle,
        request,
    }
}

/// As many connections as the configuration and the system allow.
fn crowd(config: &Config) -> Crowd {
    let server = &config.server;
    let descriptors = raise_descriptors().saturating_sub(KEPT_DESCRIPTORS).max(10);
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let all = server.max_connections.min(descriptors);
    if all < server.max_connections {
        tracing::info!(
            all,
            "the system allows fewer connections than server.max_connections: ulimit -n bounds them"
        );
    }
    Crowd::of(all, server.max_connections_per_address)
}

/// As many descriptors as the system lets this process have.
fn raise_descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() {
        maximum
    } else {
        current
    };
    now.unwrap_or(u64::MAX)
}

fn load_tls(config: &Config, services: &Services) -> Result<Option<Arc<Tls>>, StartError> {
    let files = config.server.tls.files();
    let Some((certificate, key)) = files.map_err(wrong)? else {
        return Ok(None);
    };
    let files = TlsFiles { certificate, key };
    let tls = Tls::load(files, services.api_keys.clone(), services.clock.now());
    tls.map(|tls| Some(Arc::new(tls)))
        .map_err(StartError::Config)
}

fn watch(crowd: &Crowd, tls: Option<&Arc<Tls>>, services: &Services) {
    let (crowd, tls) = (crowd.clone(), tls.cloned());
    let clock = services.clock.clone();
    services.metrics.watch_listener(
        move || crowd.len(),
        move || tls.as_ref().map(|tls| days(tls.ends(), clock.now())),
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a certificate's life are far below 2^52"
)]
fn days(ends: crate::clock::Timestamp, now: crate::clock::Timestamp) -> f64 {
    (ends.epoch_ms().saturating_sub(now.epoch_ms())) as f64 / MS_A_DAY
}

/// What `/readyz` calls a certificate that could not be taken.
const NOT_TAKEN: &str = "certificate_not_reloaded";
/// And one that has expired while it was served.
const EXPIRED: &str = "certificate_expired";

/// Takes a certificate that was replaced, on HUP and when the files change.
fn follow_files(tls: Arc<Tls>, services: &Services) {
    let (services, tasks) = (services.clone(), services.tasks.clone());
    let run = async move {
        let Ok(mut hup) = signal(SignalKind::hangup()) else {
            return;
        };
        let mut last_error = None;
        loop {
            tokio::select! {
                () = services.tasks.stopping() => return,
                _ = hup.recv() => last_error = None,
                () = tokio::time::sleep(LOOK_AT_FILES) => {}
            }
            take_files(&tls, &services, &mut last_error);
        }
    };
    tasks.spawn("certificate", run);
}

fn take_files(tls: &Tls, services: &Services, last_error: &mut Option<String>) {
    let now = services.clock.now();
    match tls.reload(now) {
        Ok(false) => {}
        Ok(true) => {
            *last_error = None;
            services.readiness.settle(NOT_TAKEN);
            tracing::info!(until = tls.ends().rfc3339(), "a new certificate is used");
        }
        Err(error) => {
            // Once, not at each look.
            if last_error.as_ref() != Some(&error) {
                tracing::error!(
                    error,
                    "the certificate was not reloaded: the one before goes on"
                );
                let detail = "the certificate or its key was replaced by files that cannot be used; the one before goes \
                              on. The log says why";
                services.readiness.warn(NOT_TAKEN, detail);
                *last_error = Some(error);
            }
        }
    }
    if tls.ends() <= now {
        services
            .readiness
            .warn(EXPIRED, "the certificate of the listener has expired");
    } else {
        services.readiness.settle(EXPIRED);
    }
}

async fn bind(address: SocketAddr, setting: &str, mend: &str) -> Result<TcpListener, StartError> {
    let failed = |error| {
        StartError::Listen(format!(
            "{setting}: {address} cannot be listened on: {error}; {mend}"
        ))
    };
    TcpListener::bind(address).await.map_err(failed)
}

/// A socket file that nobody listens on is left over from a process that was killed.
async fn bind_socket(path: &Path) -> Result<Socket, StartError> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        StartError::Listen(format!(
            "server.unix: {name} cannot be listened on: {error}"
        ))
    };
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|seen| seen.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let socket = Socket {
        listener: Some(listener),
        path: path.to_owned(),
    };
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    tracing::info!(path = %name, "listening on a Unix socket");
    Ok(socket)
}

async fn bind_metrics(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let address = config.metrics.address().map_err(wrong)?;
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
