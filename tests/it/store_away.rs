//! What callers get while the database cannot be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use token_server::clock::{ManualClock, Timestamp};
use token_server::store::MemoryStore;

use crate::faulty_provider::Fault;
use crate::harness::{START_MS, Server, World, good};

/// How the store names the rows of calls.
const CALL: &str = "call";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_another_instance_replaced_is_answered_while_its_successor_cannot_be_read() {
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

/// The machine is busy: between the claim of the lease and the call passes more time than the lease
/// has.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_when_its_time_is_used_up_before() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let (moved, is_first) = (clock.clone(), AtomicBool::new(true));
    let store = MemoryStore::new(clock.clone()).behind(Arc::new(move |call| {
        if call.starts_with("insert_") && call.ends_with(CALL) && is_first.swap(false, Relaxed) {
            moved.advance(Duration::from_secs(13));
        }
        async { Ok(()) }.boxed()
    }));
    let mut world = World::on(Arc::new(store)).await;
    world.clock = clock;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(world.provider.calls(), 1);
    let log = server.get("/api/log").await.ok();
    assert_eq!(
        log["data"]["list"].as_array().unwrap().len(),
        1,
        "one that was not sent is not in the log: {log}"
    );
}
