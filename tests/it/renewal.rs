//! Races and faults of the one path that fetches a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use token_server::clock::ManualClock;
use token_server::secret::SecretRef;
use token_server::service::Requester;
use token_server::store::{Gate, MemoryStore, Store, StoreError};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};

/// Asks for the token of `r/k` in `count` tasks at once.
async fn ask_together(servers: &[&Server], count: usize, path: &str) -> Vec<serde_json::Value> {
    let asks = servers
        .iter()
        .flat_map(|server| (0..count).map(move |_| server.get(path)));
    futures_util::future::join_all(asks)
        .await
        .into_iter()
        .map(crate::harness::Reply::ok)
        .collect()
}

const ASK: &str = "/api/token?realm=r&key=k";

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_misses_fetch_once() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    let (answers, ()) = tokio::join!(async { ask_together(&[&server], 300, ASK).await }, async {
        world.provider.wait_for_calls(1).await;
        world.provider.release();
    });
    assert!(answers.iter().all(|answer| answer["token"] == "t"));
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn misses_on_three_instances_fetch_once() {
    let world = World::new().await;
    let (a, b, c) = (
        world.serve_realm().await,
        world.serve().await,
        world.serve().await,
    );
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    let (answers, ()) = tokio::join!(
        async { ask_together(&[&a, &b, &c], 100, ASK).await },
        async {
            world.provider.wait_for_calls(1).await;
            world.provider.release();
        }
    );
    assert!(answers.iter().all(|answer| answer["token"] == "t"));
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_together_fetch_once() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world
        .provider
        .script(Fault::HoldThenJson(good("t-2", 7200)));
    let id = SecretRef {
        realm: "r",
        key: "k",
    };
    // The first poll of each joins the flight, so all have asked before the provider answers.
    let flushes = futures_util::future::join_all(
        (0..100).map(|_| server.services.tokens.flush(id, Requester::new("test"))),
    );
    let (answers, ()) = tokio::join!(flushes, async {
        world.provider.wait_for_calls(2).await;
        world.provider.release();
    });
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().token.expose() == "t-2")
    );
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_neither_cancels_nor_repeats_the_fetch() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    tokio::select! {
        _ = server.token() => panic!("the provider holds the answer back"),
        () = world.provider.wait_for_calls(1) => {}
    }
    world.provider.release();
    assert_eq!(server.token().await.ok()["token"], "t");
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_edit_during_a_fetch_wins() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world
        .provider
        .script(Fault::HoldThenJson(good("old-credential", 7200)));
    let (early, late) = tokio::join!(server.token(), async {
        world.provider.wait_for_calls(1).await;
        let edit = json!({"realm": "r", "key": "k", "key_2": "edited"});
        server.post("/api/secret", &edit).await.ok();
        world.provider.release();
        world
            .provider
            .script(Fault::Json(good("new-credential", 7200)));
        server.token().await
    });
    assert_eq!(
        early.ok()["token"],
        "old-credential",
        "asked before the edit"
    );
    assert_eq!(late.ok()["token"], "new-credential");
    assert_eq!(server.token().await.ok()["token"], "new-credential");
    let last = world.provider.requests().pop().unwrap();
    assert!(last.path_and_query.contains("secret=edited"));
    let stored = world.serve().await;
    assert_eq!(
        stored.token().await.ok()["token"],
        "new-credential",
        "the store agrees"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_holder_replaces_no_newer_token() {
    let world = World::new().await;
    let (slow, quick) = (world.serve_realm().await, world.serve().await);
    world
        .provider
        .script(Fault::HoldThenJson(good("late", 7200)));
    let (late, ()) = tokio::join!(slow.token(), async {
        world.provider.wait_for_calls(1).await;
        // The lease of the slow instance ends; the quick one takes over.
        world
            .advance(Duration::from_secs(13), &[&slow, &quick])
            .await;
        world.provider.script(Fault::Json(good("newer", 7200)));
        assert_eq!(quick.token().await.ok()["token"], "newer");
        world.provider.release();
    });
    assert_eq!(
        late.ok()["token"],
        "newer",
        "the fenced holder answers what is stored"
    );
    assert_eq!(world.serve().await.token().await.ok()["token"], "newer");
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ageing_token_is_served_and_renewed_behind_the_caller() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_secs(6800), &[&server]).await;
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(world.provider.calls(), 1, "with 400 s left nothing is due");
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world.advance(Duration::from_mins(5), &[&server]).await;
    assert_eq!(server.token().await.ok()["token"], "t-1");
    world.provider.wait_for_calls(2).await;
    wait_until(|| async { server.token().await.ok()["token"] == "t-2" }).await;
    assert_eq!(world.provider.calls(), 2);
}

/// Looks again until something that happens in the background has.
async fn wait_until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_cached_and_never_served_past_its_expiry() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 60)));
    server.token().await.ok();
    world.advance(Duration::from_secs(50), &[&server]).await;
    assert_eq!(server.token().await.ok()["source"], "memory");
    world.provider.script(Fault::Status(503, "busy".to_owned()));
    world
        .advance(Duration::from_millis(9_390), &[&server])
        .await;
    assert_eq!(server.token().await.ok()["token"], "t-1", "59.39 s of 60 s");
    wait_until(|| async { server.token().await.ok()["stale_since"].is_i64() }).await;
    world.advance(Duration::from_millis(600), &[&server]).await;
    assert_eq!(
        server.token().await.ok()["expires_in"],
        10,
        "to its very end while there is no other"
    );
    world.advance(Duration::from_millis(10), &[&server]).await;
    assert_eq!(
        server.token().await.problem(),
        (503, "upstream_busy"),
        "never past it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_repeats_its_token_is_not_asked_on_every_read() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("same", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::Json(good("same", 100)));
    world.advance(Duration::from_secs(7100), &[&server]).await;
    for calls in [2, 2, 2] {
        server.token().await.ok();
        world.provider.wait_for_calls(calls).await;
        wait_until(|| async { server.token().await.ok()["version"] == 2 }).await;
    }
    assert_eq!(world.provider.calls(), 2);
    let held = server.token().await.ok();
    assert_eq!(held["expires_in"], 100_000, "its life did not grow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_keeps_the_held_token_and_says_so() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::Json(
        json!({"errcode": 40164, "errmsg": "invalid ip for invented-secret"}),
    ));
    let flushed = server.flush().await.ok();
    assert_eq!(
        (&flushed["token"], &flushed["stale_since"]),
        (&json!("t-1"), &json!(world.now_ms()))
    );
    let warning = flushed["warning"].as_str().unwrap();
    assert!(
        warning.contains("40164") && !warning.contains("invented-secret"),
        "{warning}"
    );
    assert_eq!(server.token().await.ok()["token"], "t-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_renewal_is_not_tried_again_on_every_read() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::Status(500, "{}".to_owned()));
    world.advance(Duration::from_secs(7100), &[&server]).await;
    server.token().await.ok();
    wait_until(|| async { server.token().await.ok()["stale_since"].is_i64() }).await;
    for _ in 0..20 {
        server.token().await.ok();
    }
    assert_eq!(world.provider.calls(), 2);
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world.advance(Duration::from_secs(2), &[&server]).await;
    server.token().await.ok();
    wait_until(|| async { server.token().await.ok()["token"] == "t-2" }).await;
    assert!(server.token().await.ok().get("stale_since").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_served_while_the_store_is_away_and_readyz_tells() {
    let clock = Arc::new(ManualClock::at(
        token_server::clock::Timestamp::from_epoch_ms(0),
    ));
    let store = Arc::new(MemoryStore::new(clock));
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>).await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    store.set_unavailable(true);
    world.clock.advance(Duration::from_mins(1));
    let unconfirmed = server.token().await.ok();
    assert_eq!(
        unconfirmed["token"], "t-1",
        "the row is read first; it cannot be"
    );
    assert!(
        unconfirmed["warning"]
            .as_str()
            .unwrap()
            .contains("database")
    );
    assert!(server.services.sync.look(None).await.is_err());
    let stale = server.token().await.ok();
    assert_eq!(
        (&stale["token"], &stale["stale_since"]),
        (&json!("t-1"), &json!(world.now_ms() - 60_000))
    );
    let ready = server.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(server.get("/readyz?strict=1").await.status, 503);
    assert_eq!(
        server.get("/api/realm").await.problem(),
        (503, "store_unavailable")
    );
    assert_eq!(
        server.get("/api/token?realm=r&key=other").await.problem(),
        (503, "store_unavailable")
    );
    store.set_unavailable(false);
    server.look().await;
    assert_eq!(server.get("/readyz?strict=1").await.ok()["status"], "ok");
    server.services.readiness.warn("some_code", "change it");
    server.services.readiness.warn("some_code", "change it");
    let ready = server.get("/readyz?strict=1").await.ok();
    let warnings = json!([{"code": "some_code", "detail": "change it"}]);
    assert_eq!(
        (&ready["status"], &ready["warnings"]),
        (&json!("ok"), &warnings)
    );
    let reply = server.get("/readyz?strict=x").await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["strict"])
    );
    assert!(server.token().await.ok().get("stale_since").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_handed_out_although_the_store_went_away_during_the_fetch() {
    let clock = Arc::new(ManualClock::at(
        token_server::clock::Timestamp::from_epoch_ms(0),
    ));
    let store = Arc::new(MemoryStore::new(clock));
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>).await;
    let server = world.serve_realm().await;
    world
        .provider
        .script(Fault::HoldThenJson(good("t-1", 7200)));
    let (answer, ()) = tokio::join!(server.token(), async {
        world.provider.wait_for_calls(1).await;
        store.set_unavailable(true);
        world.provider.release();
    });
    let answer = answer.ok();
    assert_eq!(answer["token"], "t-1");
    assert!(
        answer["warning"]
            .as_str()
            .unwrap()
            .contains("could not be stored"),
        "{answer}"
    );
    assert_eq!(server.token().await.ok()["token"], "t-1");
    store.set_unavailable(false);
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_stored_yet_is_not_followed_by_the_one_before_it() {
    let clock = Arc::new(ManualClock::at(
        token_server::clock::Timestamp::from_epoch_ms(0),
    ));
    let refuses = Arc::new(AtomicBool::new(false));
    let gate: Gate = {
        let refuses = Arc::clone(&refuses);
        Arc::new(move |call| {
            let fails = call == "commit_token" && refuses.load(Relaxed);
            let away = || StoreError::Unavailable("invented".to_owned());
            std::future::ready(if fails { Err(away()) } else { Ok(()) }).boxed()
        })
    };
    let store = MemoryStore::new(clock).behind(gate);
    let world = World::on(Arc::new(store)).await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["version"], 1);
    refuses.store(true, Relaxed);
    world.clock.advance(Duration::from_mins(1));
    server.look().await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    assert_eq!(server.flush().await.ok()["version"], 2);
    // No look came meanwhile: the store is asked, and has the one before.
    world.clock.advance(Duration::from_mins(1));
    let answer = server.token().await.ok();
    assert_eq!(
        (&answer["token"], &answer["version"]),
        (&json!("t-2"), &json!(2))
    );
    let report = json!({"realm": "r", "key": "k", "version": 1});
    world.clock.advance(Duration::from_mins(1));
    let answer = server.post("/api/token/report", &report).await.ok();
    assert_eq!(answer["version"], 2, "{answer}");
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_reads_the_row_before_it_answers() {
    let world = World::new().await;
    let (frozen, other) = (world.serve_realm().await, world.serve().await);
    world.provider.script(Fault::Json(good("t-1", 7200)));
    frozen.token().await.ok();
    world.provider.script(Fault::Json(good("t-2", 7200)));
    other.flush().await.ok();
    // No look came meanwhile.
    world.clock.advance(Duration::from_mins(1));
    let answer = frozen.token().await.ok();
    assert_eq!(
        (&answer["token"], &answer["source"]),
        (&json!("t-2"), &json!("database"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_at_another_instance_wins_over_a_running_fetch_for_those_who_ask_later() {
    let world = World::new().await;
    let (server, other) = (world.serve_realm().await, world.serve().await);
    world
        .provider
        .script(Fault::HoldThenJson(good("old-credential", 7200)));
    let (early, late) = tokio::join!(server.token(), async {
        world.provider.wait_for_calls(1).await;
        let edit = json!({"realm": "r", "key": "k", "key_2": "edited"});
        other.post("/api/secret", &edit).await.ok();
        server.look().await;
        let late = server.token();
        let release = async {
            tokio::task::yield_now().await;
            world
                .provider
                .script(Fault::Json(good("new-credential", 7200)));
            world.provider.release();
        };
        tokio::join!(late, release).0
    });
    assert_eq!(
        early.ok()["token"],
        "old-credential",
        "asked before the edit"
    );
    assert_eq!(late.ok()["token"], "new-credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_dead_on_arrival_is_no_token() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::HoldThenJson(good("dead", 2)));
    let (reply, ()) = tokio::join!(server.token(), async {
        world.provider.wait_for_calls(1).await;
        world.clock.advance(Duration::from_secs(3));
        world.provider.release();
    });
    assert_eq!(reply.problem(), (504, "upstream_timeout"));
    let row = world
        .store
        .find_token(
            &SecretRef {
                realm: "r",
                key: "k",
            }
            .to_owned(),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.token, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_made_again_never_gets_the_token_of_the_one_before() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world
        .provider
        .script(Fault::Json(good("old-credential", 7200)));
    server.token().await.ok();
    // The process dies between the tombstone and the retirement of the token, and the tombstone is
    // tidied away.
    let now = token_server::clock::Timestamp::from_epoch_ms(world.now_ms());
    assert_eq!(
        world
            .store
            .delete_secrets("r", Some("k"), now)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        world
            .store
            .delete_tombstones(now.plus(Duration::from_secs(1)))
            .await
            .unwrap(),
        1
    );
    let fresh = world.serve().await;
    fresh
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "other", "key_2": "other"}),
        )
        .await
        .ok();
    world
        .provider
        .script(Fault::Json(good("new-credential", 7200)));
    assert_eq!(fresh.token().await.ok()["token"], "new-credential");
}
