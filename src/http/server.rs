//! Listeners and their connections: bounded in number and in time, ended gracefully.

mod body;
mod crowd;
mod guard;
mod watch;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::guard::Guarded;
use self::watch::{Watch, Watched};
use super::tls::Tls;
use super::{Door, Peer};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

pub use body::{BodyTimeout, TimedBody};
pub use crowd::Crowd;
pub use guard::Timeouts;

/// A pause after `accept` fails: file descriptors may be used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 64 << 10;
/// The most requests at once on one connection of HTTP/2.
const MOST_STREAMS: u32 = 200;
/// So often at most it is logged that connections are refused.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What answers the requests of connections.
pub trait Answers: Clone + Send + Sync + 'static {
    /// The answer to a request.
    fn answer(
        &self,
        request: Request<TimedBody>,
        peer: &Peer,
    ) -> impl Future<Output = Response> + Send;
}

impl Answers for Door {
    fn answer(
        &self,
        request: Request<TimedBody>,
        peer: &Peer,
    ) -> impl Future<Output = Response> + Send {
        Self::answer(self, request, peer)
    }
}

/// A listener that has no door: whoever reaches it may ask.
impl Answers for Router {
    async fn answer(&self, request: Request<TimedBody>, _: &Peer) -> Response {
        let routed: Result<Response, Infallible> =
            self.clone().oneshot(request.map(Body::new)).await;
        let Ok(response) = routed;
        response
    }
}

/// Where connections come from.
pub enum Listener {
    /// A port, in plain HTTP.
    Plain(TcpListener),
    /// A port, in TLS.
    Tls(TcpListener, Arc<Tls>),
    /// A Unix socket.
    Socket(UnixListener),
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(..) => "Tls",
            Self::Socket(_) => "Socket",
        })
    }
}

/// How connections are served.
#[derive(Clone)]
pub struct Serving<A> {
    /// What answers.
    pub answers: A,
    /// How long a client may take.
    pub timeouts: Timeouts,
    /// How many connections there may be.
    pub crowd: Crowd,
    /// Counts connections that are refused.
    pub metrics: Arc<Metrics>,
    /// Runs the connections.
    pub tasks: Tasks,
}

impl<A> Serving<A> {
    /// With usual bounds: for listeners beside the API's, and for tests.
    #[must_use]
    pub fn usual(answers: A, tasks: Tasks) -> Self {
        Self {
            answers,
            timeouts: Timeouts {
                head: Duration::from_secs(10),
                idle: Duration::from_secs(75),
                request: Duration::from_secs(30),
            },
            crowd: Crowd::of(1000, 1000),
            metrics: Arc::new(Metrics::new()),
            tasks,
        }
    }
}

/// Serves connections until `stop` resolves; then lets the requests under way finish, up to
/// `patience`.
///
/// Returns whether all did.
pub async fn serve<A: Answers>(
    listener: Listener,
    serving: Serving<A>,
    stop: impl Future<Output = ()>,
    patience: Duration,
) -> bool {
    let accepting = Accepting {
        serving,
        ended: TaskTracker::new(),
        stop: CancellationToken::new(),
        began: Instant::now(),
    };
    let mut stop = std::pin::pin!(stop);
    let mut told_at = None;
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = accepting.accept(&listener) => if let Err(error) = accepted {
                accepting.serving.crowd.make_room();
                if told_at.is_none_or(|at: Instant| at.elapsed() >= TELL_EVERY) {
                    told_at = Some(Instant::now());
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            },
        }
    }
    drop(listener);
    accepting.stop.cancel();
    accepting.ended.close();
    tokio::time::timeout(patience, accepting.ended.wait())
        .await
        .is_ok()
}

/// The connections of one listener.
struct Accepting<A> {
    serving: Serving<A>,
    /// Knows when all connections have ended.
    ended: TaskTracker,
    /// Ends those that are free.
    stop: CancellationToken,
    began: Instant,
}

impl<A: Answers> Accepting<A> {
    /// Takes the next connection.
    async fn accept(&self, listener: &Listener) -> io::Result<()> {
        match listener {
            Listener::Plain(listener) => {
                let (stream, address) = listener.accept().await?;
                self.welcome(stream, Peer::at(address.ip()), None);
            }
            Listener::Tls(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                self.welcome(stream, Peer::at(address.ip()), Some(Arc::clone(tls)));
            }
            Listener::Socket(listener) => {
                let (stream, _) = listener.accept().await?;
                if let Some((way, _)) = self.admit(&Peer::default()) {
                    self.spawn(way.over_http1(stream, Peer::default()));
                }
            }
        }
        Ok(())
    }

    /// Serves a connection of a port.
    fn welcome(&self, stream: TcpStream, peer: Peer, tls: Option<Arc<Tls>>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection closed at once");
            return;
        }
        let Some((way, stop)) = self.admit(&peer) else {
            return;
        };
        let Some(tls) = tls else {
            self.spawn(way.over_http1(stream, peer));
            return;
        };
        let patience = self.serving.timeouts.head;
        self.spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(patience, tls.accept(stream)) => shaken,
                () = stop.cancelled() => return,
            };
            match shaken {
                Ok(Ok((stream, certificate))) => {
                    let peer = Peer {
                        certificate,
                        ..peer
                    };
                    way.over_tls(stream, peer).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }

    /// What a connection needs; `None`: there are too many.
    fn admit(&self, peer: &Peer) -> Option<(Way<A>, CancellationToken)> {
        let (watch, stop) = (Watch::new(), self.stop.child_token());
        let Some(place) = self.serving.crowd.enter(peer.address, &watch, &stop) else {
            self.serving.metrics.count_refused_connection();
            return None;
        };
        let way = Way {
            answers: self.serving.answers.clone(),
            timeouts: self.serving.timeouts,
            watch,
            stop: stop.clone(),
            began: self.began,
            _place: place,
        };
        Some((way, stop))
    }

    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let tracked = self.ended.track_future(connection);
        self.serving.tasks.spawn("connection", tracked);
    }
}

/// What one connection is served with.
struct Way<A> {
    answers: A,
    timeouts: Timeouts,
    watch: Arc<Watch>,
    stop: CancellationToken,
    began: Instant,
    _place: crowd::Place,
}

impl<A: Answers> Way<A> {
    async fn over_tls<S>(self, stream: tokio_rustls::server::TlsStream<S>, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if stream.get_ref().1.alpn_protocol() == Some(super::tls::HTTP2) {
            self.over_http2(stream, peer).await;
        } else {
            self.over_http1(stream, peer).await;
        }
    }

    async fn over_http1<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let socket = self.socket(stream);
        let service = self.service(peer);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The guard bounds it: hyper counts the idle time in.
            .header_read_timeout(None)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(socket, service_fn(service));
        self.run(connection).await;
    }

    async fn over_http2<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.watch.have_no_heads();
        let socket = self.socket(stream);
        let service = self.service(peer);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(self.timeouts.idle)
            .serve_connection(socket, service_fn(service));
        self.run(connection).await;
    }

    fn socket<S: AsyncRead + AsyncWrite>(&self, socket: S) -> TokioIo<Watched<S>> {
        let watch = Arc::clone(&self.watch);
        TokioIo::new(Watched { socket, watch })
    }

    fn service(&self, peer: Peer) -> impl Fn(Request<Incoming>) -> Answering + Clone + use<A> {
        let (answers, watch) = (self.answers.clone(), Arc::clone(&self.watch));
        let patience = self.timeouts.request;
        move |request: Request<Incoming>| {
            let answers = answers.clone();
            let under_way = watch.begin();
            let request = request.map(|body| TimedBody::new(body, Arc::clone(&watch), patience));
            Box::pin(async move {
                let answer = answers.answer(request, &peer).await;
                drop(under_way);
                Ok(answer)
            })
        }
    }

    async fn run<C: GracefulConnection>(self, connection: C)
    where
        C::Error: fmt::Display,
    {
        let guarded = Guarded::new(
            connection,
            Arc::clone(&self.watch),
            self.timeouts,
            self.stop.clone(),
            self.began,
        );
        if let Err(error) = guarded.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;
