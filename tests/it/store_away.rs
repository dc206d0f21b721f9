//! What callers get while the database cannot be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use token_server::clock::{ManualClock, Timestamp};
use token_server::secret::SecretId;
use token_server::store::{MemoryStore, SecretRow, SecretStore as _};

use crate::faulty_provider::Fault;
use crate::harness::{START_MS, Server, World, good};

/// How the store names the rows of calls.
const CALL: &str = "call";

/// Two instances: the second has replaced the first's token when it was due, which the first has
/// seen.
async fn replaced_elsewhere() -> (Arc<MemoryStore>, World, Server, Server) {
    let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(
        Timestamp::from_epoch_ms(START_MS),
    ))));
    let world = World::on(store.clone()).await;
    let (server, other) = (
        world
            .serve_policy(json!({"reissue": "replaces", "overlap": "5m"}))
            .await,
        world.serve().await,
    );
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world.clock.advance(Duration::from_mins(118));
    server.look().await;
    other.look().await;
    until_renewed(&other).await;
    server.look().await;
    (store, world, server, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_another_instance_replaced_is_answered_while_its_successor_cannot_be_read() {
    let (store, world, server, _other) = replaced_elsewhere().await;
    store.set_unavailable(true);
    let asked = server.token().await.ok();
    assert_eq!(asked["token"], "t-1", "{asked}");
    assert!(asked["stale_since"].is_i64(), "{asked}");
    let flushed = server.flush().await.ok();
    assert_eq!(
        (&flushed["token"], &flushed["renewed"]),
        (&json!("t-1"), &json!(false))
    );
    let report = json!({"realm": "r", "key": "k", "token": "t-1"});
    let reported = server.post("/api/token/report", &report).await.ok();
    assert_eq!(
        (&reported["token"], &reported["renewed"]),
        (&json!("t-1"), &json!(false))
    );
    store.set_unavailable(false);
    assert_eq!(server.token().await.ok()["token"], "t-2");
    assert_eq!(world.provider.calls(), 2);
}

async fn until_renewed(server: &Server) {
    while server.token().await.ok()["token"] != "t-2" {
        tokio::task::yield_now().await;
    }
}

/// By hand, or by an instance whose clock was off: only a sweep finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_token_of_credentials_that_were_edited_unseen_is_not_answered() {
    let (store, _world, server, _other) = replaced_elsewhere().await;
    let id = SecretId::new("r", "k");
    let row = store.find_secret(&id).await.unwrap().unwrap();
    let edited = SecretRow {
        version: row.version + 1,
        revision: row.revision + 1,
        ..row.clone()
    };
    assert!(store.update_secret(&edited, row.revision).await.unwrap());
    server.look().await;
    server.services.sync.sweep().await.unwrap();
    store.set_unavailable(true);
    assert_eq!(server.token().await.problem(), (503, "store_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_reported_dead_elsewhere_is_not_answered() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let store = Arc::new(MemoryStore::new(clock));
    let world = World::on(store.clone()).await;
    let policy = json!({"reissue": "coexists"});
    let (server, other) = (world.serve_policy(policy).await, world.serve().await);
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(other.token().await.ok()["token"], "t-1");
    world
        .advance(Duration::from_mins(1), &[&server, &other])
        .await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let report = json!({"realm": "r", "key": "k", "token": "t-1"});
    let reported = other.post("/api/token/report", &report).await.ok();
    assert_eq!(reported["token"], "t-2");
    server.look().await;
    store.set_unavailable(true);
    assert_eq!(server.token().await.problem(), (503, "store_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_token_that_died_at_once_is_not_answered() {
    let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(
        Timestamp::from_epoch_ms(START_MS),
    ))));
    let world = World::on(store.clone()).await;
    let (server, other) = (
        world
            .serve_policy(json!({"reissue": "replaces", "overlap": 0}))
            .await,
        world.serve().await,
    );
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    world.provider.script(Fault::Json(good("t-2", 7200)));
    assert_eq!(other.flush().await.ok()["token"], "t-2");
    server.look().await;
    store.set_unavailable(true);
    assert_eq!(server.token().await.problem(), (503, "store_unavailable"));
}

/// The machine is busy: between the claim of the lease and the call passes more than half of the
/// fetch's time, or more time than the lease has.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_when_its_time_is_used_up_before() {
    for seconds in [7, 13] {
        sends_once_after_a_delay(Duration::from_secs(seconds)).await;
    }
}

async fn sends_once_after_a_delay(delay: Duration) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let (moved, is_first) = (clock.clone(), AtomicBool::new(true));
    let claims = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&claims);
    let store = MemoryStore::new(clock.clone()).behind(Arc::new(move |call| {
        if call.starts_with("insert_") && call.ends_with(CALL) && is_first.swap(false, Relaxed) {
            moved.advance(delay);
        }
        counted.fetch_add(usize::from(call == "claim_lease"), Relaxed);
        async { Ok(()) }.boxed()
    }));
    let mut world = World::on(Arc::new(store)).await;
    world.clock = clock;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(world.provider.calls(), 1);
    assert_eq!(claims.load(Relaxed), 2, "{delay:?}: with a new lease");
    let log = server.get("/api/log").await.ok();
    assert_eq!(
        log["data"]["list"].as_array().unwrap().len(),
        1,
        "one that was not sent is not in the log: {log}"
    );
}
