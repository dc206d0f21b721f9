//! One instance: the real renewal, whose calls wait at a gate until the checker lets them pass.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use token_server::clock::{Clock, ManualClock};
use token_server::failure::Failure;
use token_server::realm::{DEFAULT_LIFE, RawResponse, Request};
use token_server::secret::SecretId;
use token_server::service::memory::Memory;
use token_server::service::{
    Cause, InputFiles, Renewal, RenewalParts, RenewalSettings, ServiceError, TokenAnswer,
};
use token_server::store::{MemoryStore, StoreError, StoreResult};
use token_server::tasks::Tasks;
use token_server::telemetry::Metrics;
use token_server::upstream::TokenSource;

pub(crate) const FETCH: Duration = Duration::from_secs(10);
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// The calls whose order matters: what reads or writes the token's row, and the provider.
const GATED: [&str; 6] = [
    "claim_lease",
    "find_token",
    "commit_token",
    "release_lease",
    "send",
    "answer",
];

#[derive(Default)]
pub(crate) struct Gate {
    /// What waits.
    waiting: Option<&'static str>,
    /// What the one that waits is to get.
    pass: Option<StoreResult<()>>,
}

type Shared = Arc<Mutex<Gate>>;

fn wait_at(gate: Shared, call: &'static str) -> impl Future<Output = StoreResult<()>> + Send {
    std::future::poll_fn(move |_| {
        if !GATED.contains(&call) {
            return Poll::Ready(Ok(()));
        }
        let mut gate = gate.lock().unwrap();
        gate.waiting = Some(call);
        gate.pass.take().map_or(Poll::Pending, |pass| {
            gate.waiting = None;
            Poll::Ready(pass)
        })
    })
}

/// A provider that makes a new token for each request: its number, and the credential it was asked
/// with.
struct Provider {
    gate: Shared,
    issued: Arc<Mutex<u32>>,
}

#[async_trait]
impl TokenSource for Provider {
    async fn send(&self, request: &Request, _: Duration) -> Result<RawResponse, Failure> {
        // Only the store's calls are made to fail.
        let _ = wait_at(Arc::clone(&self.gate), "send").await;
        let number = {
            let mut issued = self.issued.lock().unwrap();
            *issued += 1;
            *issued
        };
        let _ = wait_at(Arc::clone(&self.gate), "answer").await;
        let credential = request
            .url
            .query_pairs()
            .find(|(name, _)| name == "appid")
            .unwrap()
            .1
            .into_owned();
        let token = format!("{number}-{credential}");
        Ok(RawResponse::json(
            200,
            &serde_json::json!({"access_token": token, "expires_in": 7200}),
        ))
    }
}

pub(crate) type Outcome = Result<TokenAnswer, ServiceError>;

/// What an instance does now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// A call waits at the gate.
    At(&'static str),
    /// It waits for another's renewal.
    Sleeps,
    /// It has answered: the token's version, or an error's text.
    Done(Result<(i64, String), String>),
    /// It was killed.
    Dead,
}

pub(crate) struct Instance {
    running: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
    gate: Shared,
    phase: Phase,
}

impl Instance {
    /// Begins a renewal.
    pub(crate) fn begin(
        store: &MemoryStore,
        clock: &Arc<ManualClock>,
        issued: &Arc<Mutex<u32>>,
        metrics: &Arc<Metrics>,
        (id, cause): (SecretId, Cause),
    ) -> Self {
        let gate = Shared::default();
        let at_store = Arc::clone(&gate);
        let clock: Arc<dyn Clock> = clock.clone();
        let parts = RenewalParts {
            store: Arc::new(store.behind(Arc::new(move |call| {
                Box::pin(wait_at(Arc::clone(&at_store), call))
            }))),
            upstream: Arc::new(Provider {
                gate: Arc::clone(&gate),
                issued: Arc::clone(issued),
            }),
            clock,
            memory: Arc::new(Memory::new()),
            metrics: Arc::clone(metrics),
            files: InputFiles::default(),
            tasks: Tasks::default(),
            schedule: tokio::sync::mpsc::unbounded_channel().0,
        };
        let settings = RenewalSettings {
            fetch_timeout: FETCH,
            lease_margin: MARGIN,
            wait: Duration::from_secs(25),
            default_life: DEFAULT_LIFE,
            idle_after: Duration::from_hours(24),
            trust_for: Duration::from_secs(2),
            response_bytes: 1 << 20,
        };
        let renewal = Renewal::new(parts, settings);
        let running = Box::pin(async move { renewal.renew(&id, cause).await });
        let mut instance = Self {
            running: Some(running),
            gate,
            phase: Phase::Sleeps,
        };
        instance.poll();
        instance
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Lets the call that waits pass, or fail; time has passed for one that sleeps.
    pub(crate) fn step(&mut self, fails: bool) {
        if matches!(self.phase, Phase::At(_)) {
            let failure = || Err(StoreError::Unavailable("cut off".to_owned()));
            self.gate.lock().unwrap().pass = Some(if fails { failure() } else { Ok(()) });
        }
        self.poll();
    }

    /// Ends it where it stands.
    pub(crate) fn kill(&mut self) {
        self.running = None;
        self.phase = Phase::Dead;
    }

    fn poll(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let mut context = Context::from_waker(std::task::Waker::noop());
        match running.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => {
                let told = |answer: TokenAnswer| (answer.version, answer.token.expose().to_owned());
                self.phase = Phase::Done(outcome.map(told).map_err(|error| error.to_string()));
                self.running = None;
            }
            Poll::Pending => {
                self.phase = self
                    .gate
                    .lock()
                    .unwrap()
                    .waiting
                    .map_or(Phase::Sleeps, Phase::At);
            }
        }
    }
}
