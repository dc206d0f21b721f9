//! The database or the machine is slow: what is sent nevertheless, and how long callers wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use token_server::app::Services;
use token_server::config::{Config, Environment};
use token_server::failure::Failure;
use token_server::realm::{RawResponse, Request};
use token_server::secret::SecretId;
use token_server::service::{RealmEdit, Refused, Requester, SecretEdit};
use token_server::store::MemoryStore;
use token_server::upstream::{TokenSource, timed_out};
use tokio::time::Instant;

use crate::world::SimClock;

/// How long a caller waits at most, here.
const PATIENCE: Duration = Duration::from_secs(10);
/// What timers add.
const SLACK: Duration = Duration::from_millis(10);

/// How long each kind of statement takes; `*` is every other.
type Delays = Arc<Mutex<HashMap<&'static str, Duration>>>;

/// A provider that takes its time for each new token.
struct SlowProvider {
    takes: Duration,
    calls: AtomicUsize,
}

#[async_trait]
impl TokenSource for SlowProvider {
    async fn send(&self, _: &Request, timeout: Duration) -> Result<RawResponse, Failure> {
        let number = self.calls.fetch_add(1, Relaxed) + 1;
        tokio::time::sleep(self.takes.min(timeout)).await;
        if self.takes > timeout {
            return Err(timed_out(timeout));
        }
        let answer = json!({"access_token": format!("t-{number}"), "expires_in": 7200});
        Ok(RawResponse::json(200, &answer))
    }
}

/// Secret `k` of realm `r` at an instance, and what it is slowed by.
struct Slowed {
    services: Services,
    delays: Delays,
    provider: Arc<SlowProvider>,
    id: SecretId,
}

impl Slowed {
    async fn with(policy: Value, takes: Duration) -> Self {
        let delays = Delays::default();
        let told = Arc::clone(&delays);
        let clock = SimClock::wrong_by(Instant::now(), 0);
        let store = MemoryStore::new(clock.clone()).behind(Arc::new(move |call| {
            let delays = told.lock().unwrap();
            let delay = delays.get(call).or_else(|| delays.get("*")).copied();
            async move {
                tokio::time::sleep(delay.unwrap_or_default()).await;
                Ok(())
            }
            .boxed()
        }));
        let provider = Arc::new(SlowProvider {
            takes,
            calls: AtomicUsize::new(0),
        });
        let wait = [("renewal.wait_seconds", PATIENCE.as_secs().to_string())];
        let config = Config::load_without_file(&Environment::of(&[]), &wait).unwrap();
        let services = Services::over(&config, Arc::new(store), clock, provider.clone(), None);
        services.sync.look(None).await.unwrap();
        let realm = json!({"id": "r", "config": {"url": "http://provider.invalid/token", "method": "GET",
            "token_path": "access_token", "expires_in_path": "expires_in", "policy": policy}});
        let realm = RealmEdit::read(&realm).unwrap();
        services.realms.save(&realm).await.unwrap();
        let secret = SecretEdit::read(&json!({"realm": "r", "key": "k"})).unwrap();
        services.secrets.save(&secret).await.unwrap();
        Self {
            services,
            delays,
            provider,
            id: SecretId::new("r", "k"),
        }
    }

    fn slow(&self, call: &'static str, delay: Duration) {
        self.delays.lock().unwrap().insert(call, delay);
    }

    fn calls(&self) -> usize {
        self.provider.calls.load(Relaxed)
    }
}

/// Of ten seconds and two more that the lease lasts, four are used up before the provider is asked.
#[tokio::test(start_paused = true)]
async fn an_answer_is_taken_as_long_as_the_lease_holds() {
    let slowed = Slowed::with(Value::Null, Duration::from_secs(7)).await;
    slowed.slow("insert_call", Duration::from_secs(4));
    let patient = slowed.services.tokens.get(slowed.id.borrowed());
    // The caller gives up a second before.
    assert!(patient.await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = slowed.services.tokens.get(slowed.id.borrowed()).await;
    assert_eq!(answer.unwrap().token.expose(), "t-1");
    assert_eq!(slowed.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_may_take_a_moment_only_leaves_the_database_its_time() {
    let policy = json!({"timeout": "100ms"});
    let slowed = Slowed::with(policy, Duration::from_millis(50)).await;
    slowed.slow("*", Duration::from_millis(60));
    let answer = slowed.services.tokens.get(slowed.id.borrowed()).await;
    assert_eq!(answer.unwrap().token.expose(), "t-1");
    assert_eq!(slowed.calls(), 1);
}

/// A report reads the rows, and fetches then; each of the two is in time for itself.
#[tokio::test(start_paused = true)]
async fn all_that_is_done_for_a_caller_is_done_in_its_time() {
    let slowed = Slowed::with(Value::Null, Duration::from_millis(50)).await;
    let tokens = &slowed.services.tokens;
    tokens.get(slowed.id.borrowed()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    slowed.services.sync.look(None).await.unwrap();
    // As at an instance that has not held it.
    tokens.forget(&slowed.id);
    slowed.slow("*", Duration::from_secs(2));
    let began = Instant::now();
    let reported = tokens.report(slowed.id.borrowed(), &Refused::Version(1), by());
    let answer = reported.await.unwrap();
    assert!(began.elapsed() <= PATIENCE + SLACK, "{:?}", began.elapsed());
    assert_eq!((answer.token.expose(), answer.renewed), ("t-1", false));
}

#[tokio::test(start_paused = true)]
async fn a_held_token_is_answered_to_whoever_wants_another_while_the_database_hangs() {
    let slowed = Slowed::with(Value::Null, Duration::from_millis(50)).await;
    let tokens = &slowed.services.tokens;
    tokens.get(slowed.id.borrowed()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    slowed.services.sync.look(None).await.unwrap();
    slowed.slow("*", Duration::from_hours(1));
    let id = || slowed.id.borrowed();
    let began = Instant::now();
    let version = Refused::Version(1);
    let (flushed, reported, longer) = tokio::join!(
        tokens.flush(id(), by()),
        tokens.report(id(), &version, by()),
        tokens.get_living(id(), 7_000_000 + 190_000, by())
    );
    assert!(began.elapsed() <= PATIENCE + SLACK, "{:?}", began.elapsed());
    for answer in [flushed, reported, longer] {
        let answer = answer.unwrap();
        assert_eq!((answer.token.expose(), answer.renewed), ("t-1", false));
        let warning = answer.stale.unwrap().warning;
        assert!(warning.contains("was not done within 10s"), "{warning}");
    }
    assert_eq!(slowed.calls(), 1);
}

fn by() -> Requester {
    Requester::new("test")
}
