//! The bench's own servers, each a process of its own: one process may not have enough files for
//! all ends.
//!
//! The bench starts itself again with a role, and reads the port from its standard output.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use token_server::clock::{Clock as _, MachineClock};
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::program::lines_of;

/// A server of the bench; killed when dropped.
pub(crate) struct Role {
    child: Child,
    /// `HOST:PORT`
    pub(crate) address: String,
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Role {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap(), |_| {});
        let address = lines.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { child, address }
    }
}

/// What the provider counts.
#[derive(Default)]
struct Desk {
    calls: AtomicU64,
    /// When the first call since the last count came, epoch milliseconds; 0: none.
    first_ms: AtomicI64,
}

/// The provider: a new token with each call, after its latency. Tells how many calls came.
pub(crate) async fn provide(latency: Duration) {
    let desk = Arc::new(Desk::default());
    let token = async move |State(desk): State<Arc<Desk>>| {
        let number = desk.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ms = MachineClock.now().epoch_ms();
        // Only the first since the last count finds a 0.
        let _ = desk
            .first_ms
            .compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        tokio::time::sleep(latency).await;
        Json(json!({"access_token": format!("token-{number}"), "expires_in": 7200}))
    };
    let count = async move |State(desk): State<Arc<Desk>>| {
        let first_ms = desk.first_ms.swap(0, Ordering::Relaxed);
        Json(json!({"calls": desk.calls.load(Ordering::Relaxed), "first_ms": first_ms}))
    };
    listen(
        axum::Router::new()
            .route("/token", get(token))
            .route("/calls", get(count))
            .with_state(desk),
    )
    .await;
}

/// What the naive server holds: the same answer, and until when it is good.
struct Naive {
    client: reqwest::Client,
    provider: String,
    held: RwLock<Option<(Answer, Instant)>>,
}

/// What callers are answered.
#[derive(Clone, Serialize)]
struct Answer {
    token: String,
    expires_in: u64,
    source: &'static str,
}

/// What the provider answers.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: u64,
}

/// The reference: looks into its cache, and asks the provider where nothing is there. Who else asks
/// is no matter to it.
pub(crate) async fn be_naive(provider: String) {
    let client = token_server::upstream::client_builder()
        .unwrap()
        .build()
        .unwrap();
    let naive = Arc::new(Naive {
        client,
        provider,
        held: RwLock::default(),
    });
    let show = async move |State(naive): State<Arc<Naive>>, Query(_): Query<Value>| {
        let held = naive.held.read().await.clone();
        if let Some((answer, _)) = held.filter(|(_, until)| Instant::now() < *until) {
            return Json(answer);
        }
        let response = naive.client.get(&naive.provider).send().await.unwrap();
        let given: Given = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let until = Instant::now() + Duration::from_secs(given.expires_in);
        let answer = Answer {
            token: given.access_token,
            expires_in: given.expires_in * 1000,
            source: "memory",
        };
        *naive.held.write().await = Some((answer.clone(), until));
        Json(Answer {
            source: "upstream",
            ..answer
        })
    };
    listen(
        axum::Router::new()
            .route("/api/token", get(show))
            .with_state(naive),
    )
    .await;
}

async fn listen(router: axum::Router) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // All callers may come at once.
    let listener = socket.listen(4096).unwrap();
    #[expect(clippy::print_stdout, reason = "where the bench reads the address")]
    {
        println!("{}", listener.local_addr().unwrap());
    }
    axum::serve(listener, router).await.unwrap();
}
