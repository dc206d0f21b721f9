//! The accept loop: bounded head reading, graceful stop, the hit path before the router.

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

use super::{Api, hit};
use crate::tasks::Tasks;

/// A pause after `accept` fails: file descriptors may be used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections are served.
#[derive(Clone)]
pub struct Serving {
    /// The slow path.
    pub router: Router,
    /// The hit path; `None`: everything is routed.
    pub api: Option<Api>,
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
pub async fn serve(
    listener: TcpListener,
    serving: Serving,
    stop: impl Future<Output = ()>,
    patience: Duration,
) -> bool {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_connection(stream, &serving, &graceful),
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

fn serve_connection(stream: TcpStream, serving: &Serving, graceful: &GracefulShutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection closed at once");
        return;
    }
    let (router, api) = (serving.router.clone(), serving.api.clone());
    let service = service_fn(move |request| answer(router.clone(), api.clone(), request));
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

async fn answer(
    router: Router,
    api: Option<Api>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    if let Some(held) = api.as_ref().and_then(|api| hit::answer(api, &request)) {
        return Ok(held);
    }
    router.oneshot(request.map(Body::new)).await
}
