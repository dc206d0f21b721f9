//! A provider that gives a new token with each call, and knows when each one dies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::program::PATIENCE;

/// The provider; it ends when dropped.
pub(crate) struct Issuer {
    url: String,
    desk: Arc<Desk>,
    task: tokio::task::JoinHandle<()>,
}

struct Desk {
    life: Duration,
    /// When each call came.
    calls: Mutex<Vec<Instant>>,
    /// How many came; to wait for.
    count: watch::Sender<usize>,
    /// The last call that may be answered.
    answered_up_to: watch::Sender<usize>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Issuer {
    /// On a free port; its tokens live for so many whole seconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own task, aborted when dropped"
    )]
    pub(crate) async fn start(life_seconds: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let desk = Arc::new(Desk {
            life: Duration::from_secs(life_seconds),
            calls: Mutex::default(),
            count: watch::Sender::new(0),
            answered_up_to: watch::Sender::new(usize::MAX),
        });
        let router = axum::Router::new()
            .fallback(issue)
            .with_state(Arc::clone(&desk));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, desk, task }
    }

    /// A realm of this provider.
    pub(crate) fn realm(&self, policy: &Value) -> Value {
        json!({"id": "r", "config": {"url": self.url, "method": "GET", "token_path": "access_token",
            "expires_in_path": "expires_in", "policy": policy}})
    }

    /// How many calls came.
    pub(crate) fn calls(&self) -> usize {
        *self.desk.count.borrow()
    }

    /// When each call came.
    pub(crate) fn call_times(&self) -> Vec<Instant> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// Waits until that many calls came.
    pub(crate) async fn wait_for_calls(&self, count: usize) {
        let mut seen = self.desk.count.subscribe();
        let reached = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= count)).await;
        assert!(
            reached.is_ok(),
            "{count} calls awaited, {} came",
            self.calls()
        );
    }

    /// Keeps the answers of all calls after this one back.
    pub(crate) fn hold_after(&self, call: usize) {
        self.desk.answered_up_to.send_replace(call);
    }

    /// Answers all calls.
    pub(crate) fn release(&self) {
        self.desk.answered_up_to.send_replace(usize::MAX);
    }

    /// Whether the token was dead at this time. It lives from the moment its call came.
    pub(crate) fn is_dead_at(&self, token: &str, at: Instant) -> bool {
        let number: usize = token.strip_prefix("token-").unwrap().parse().unwrap();
        at >= self.desk.calls.lock().unwrap()[number - 1] + self.desk.life
    }
}

/// `token-1` for the first call, and so on.
async fn issue(State(desk): State<Arc<Desk>>) -> axum::Json<Value> {
    let number = {
        let mut calls = desk.calls.lock().unwrap();
        calls.push(Instant::now());
        calls.len()
    };
    let mut answered = desk.answered_up_to.subscribe();
    desk.count.send_replace(number);
    // The sender lives as long as this.
    let _ = answered.wait_for(|up_to| number <= *up_to).await;
    axum::Json(
        json!({"access_token": format!("token-{number}"), "expires_in": desk.life.as_secs()}),
    )
}
