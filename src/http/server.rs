//! The accept loop: bounded head reading, graceful stop.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::{Door, Peer};
use crate::tasks::Tasks;

/// A pause after `accept` fails: file descriptors may be used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers the requests of connections.
pub trait Answers: Clone + Send + Sync + 'static {
    /// The answer to a request.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Response> + Send;
}

impl Answers for Door {
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Response> + Send {
        Self::answer(self, request, peer)
    }
}

/// A listener that has no door: whoever reaches it may ask.
impl Answers for Router {
    async fn answer(&self, request: Request<Incoming>, _: &Peer) -> Response {
        let routed: Result<Response, Infallible> =
            self.clone().oneshot(request.map(Body::new)).await;
        let Ok(response) = routed;
        response
    }
}

/// How connections are served.
#[derive(Clone)]
pub struct Serving<A> {
    /// What answers.
    pub answers: A,
    /// Time a client has to send its request's head; hyper counts the idle time of a kept
    /// connection in.
    pub header_timeout: Duration,
    /// Runs the connections.
    pub tasks: Tasks,
}

/// Serves connections until `stop` resolves; then lets the requests under way finish, up to
/// `patience`.
///
/// Returns whether all did.
pub async fn serve<A: Answers>(
    listener: TcpListener,
    serving: Serving<A>,
    stop: impl Future<Output = ()>,
    patience: Duration,
) -> bool {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    serve_connection(stream, Peer::at(address.ip()), &serving, &graceful);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    tokio::time::timeout(patience, graceful.shutdown())
        .await
        .is_ok()
}

fn serve_connection<A: Answers>(
    stream: TcpStream,
    peer: Peer,
    serving: &Serving<A>,
    graceful: &GracefulShutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection closed at once");
        return;
    }
    let answers = serving.answers.clone();
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answers.answer(request, &peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    serving.tasks.spawn("connection", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
