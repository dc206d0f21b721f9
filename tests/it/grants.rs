//! Refresh tokens that work once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use token_server::clock::{Clock as _, ManualClock, Timestamp};
use token_server::secret::SecretId;
use token_server::store::{MemoryStore, StoreError, TokenStore as _};

use crate::faulty_provider::Fault;
use crate::harness::{START_MS, Server, World};

fn realm(world: &World) -> Value {
    json!({"id": "r", "config": {"inputs": {"refresh_token": {"from": "rotating"}},
        "requests": [{"url": world.provider.url(), "form": {"refresh_token": "{{ refresh_token }}"}}],
        "token": "$.access_token", "expires": {"path": "$.expires_in"},
        "save": {"refresh_token": {"from": "$.refresh_token", "expires": {"path": "$.grant_in"}}},
        "policy": {"reissue": "coexists"}}})
}

fn answer(number: u32) -> Fault {
    Fault::Json(
        json!({"access_token": format!("t-{number}"), "expires_in": 7200, "refresh_token": format!("r-{number}"),
        "grant_in": 30 * 86400}),
    )
}

async fn store_grant(server: &Server, grant: &str) {
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "credentials": {"refresh_token": grant}}),
        )
        .await
        .ok();
}

async fn serve(world: &World) -> Server {
    let server = world.serve().await;
    server.post("/api/realm", &realm(world)).await.ok();
    store_grant(&server, "r-0").await;
    server
}

async fn status(server: &Server) -> Value {
    server.get("/api/secret/k/status?realm=r").await.ok()
}

fn spent(world: &World) -> Vec<String> {
    world
        .provider
        .requests()
        .into_iter()
        .map(|request| request.body.replace("refresh_token=", ""))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_grant_is_spent_once_and_the_next_is_stored() {
    let world = World::new().await;
    let (server, other) = (serve(&world).await, world.serve().await);
    assert_eq!(status(&server).await["grant"]["state"], "unused");
    for number in 1..=4 {
        world.provider.script(answer(number));
        let server = if number % 2 == 0 { &other } else { &server };
        let asks = (0..10).map(|_| server.flush());
        for reply in futures_util::future::join_all(asks).await {
            assert_eq!(reply.ok()["token"], format!("t-{number}"));
        }
        server.look().await;
    }
    assert_eq!(spent(&world), ["r-0", "r-1", "r-2", "r-3"]);
    let status = status(&server).await;
    assert_eq!(
        (&status["grant"]["state"], &status["grant"]["generation"]),
        (&json!("held"), &json!(4))
    );
    assert_eq!(
        status["grant"]["expires_at"],
        world.now_ms() + 30 * 86_400_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_first_grant_replaces_what_was_rotated_and_an_edit_of_others_does_not() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(answer(1));
    server.token().await.ok();
    let other = json!({"realm": "r", "key": "k", "credentials": {"note": "x"}});
    let saved = server.post("/api/secret", &other).await.ok();
    assert!(
        saved["warnings"][0]
            .as_str()
            .unwrap()
            .contains("has no input note"),
        "{saved}"
    );
    world.provider.script(answer(2));
    server.token().await.ok();
    store_grant(&server, "authorised-anew").await;
    world.provider.script(answer(3));
    server.token().await.ok();
    assert_eq!(spent(&world), ["r-0", "r-1", "authorised-anew"]);
    let next = json!({"realm": "r", "key": "k", "next": {"credentials": {"refresh_token": "x"}}});
    assert_eq!(server.post("/api/secret", &next).await.places(), ["/next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_the_grant_before_does_not_cost_the_new_one() {
    let world = World::new().await;
    let (server, other) = (serve(&world).await, world.serve().await);
    world.provider.script(Fault::HoldThenJson(
        json!({"access_token": "late", "expires_in": 7200, "refresh_token": "late"}),
    ));
    let (late, ()) = tokio::join!(server.token(), async {
        world.provider.wait_for_calls(1).await;
        store_grant(&other, "authorised-anew").await;
        // The lease of the one that hangs ends.
        world.advance(Duration::from_secs(13), &[]).await;
        world.provider.script(answer(1));
        assert_eq!(other.token().await.ok()["token"], "t-1");
        world.provider.release();
    });
    assert_eq!(late.body["token"], "t-1", "{late:?}");
    world.provider.script(answer(2));
    assert_eq!(other.flush().await.ok()["token"], "t-2");
    assert_eq!(spent(&world), ["r-0", "authorised-anew", "r-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_of_unknown_outcome_is_left_alone_until_near_expiry_and_then_tried_once() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(answer(1));
    server.token().await.ok();
    world.provider.script(Fault::CloseEarly);
    assert_eq!(server.flush().await.ok()["renewed"], false);
    assert_eq!(status(&server).await["grant"]["state"], "unknown");
    world.advance(Duration::from_mins(30), &[&server]).await;
    for _ in 0..3 {
        assert_eq!(server.flush().await.ok()["token"], "t-1");
    }
    assert_eq!(
        world.provider.calls(),
        2,
        "the grant may be spent: it is left alone"
    );
    world
        .advance(Duration::from_secs(89 * 60 + 35), &[&server])
        .await;
    world.provider.script(answer(2));
    server.flush().await.ok();
    assert_eq!(spent(&world), ["r-0", "r-1", "r-1"]);
    let status = status(&server).await;
    assert_eq!(
        (&status["grant"]["state"], &status["grant"]["generation"]),
        (&json!("held"), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_gone_says_so_until_another_is_stored() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(Fault::Status(
        400,
        r#"{"error":"invalid_grant"}"#.to_owned(),
    ));
    let reply = server.token().await;
    assert_eq!(reply.problem(), (502, "reauthorise"));
    let told = status(&server).await;
    assert_eq!(
        (&told["state"], &told["grant"]["state"]),
        (&json!("reauthorise"), &json!("gone"))
    );
    assert_eq!(server.token().await.problem(), (502, "reauthorise"));
    assert_eq!(world.provider.calls(), 1, "not at the pace of callers");
    world.advance(Duration::from_secs(1), &[&server]).await;
    world.provider.script(Fault::Status(
        400,
        r#"{"error":"invalid_grant"}"#.to_owned(),
    ));
    assert_eq!(server.token().await.problem(), (502, "reauthorise"));
    assert_eq!(server.token().await.problem(), (502, "reauthorise"));
    assert_eq!(
        world.provider.calls(),
        2,
        "nothing is held: once more after `cool_down`"
    );
    store_grant(&server, "authorised-anew").await;
    world.provider.script(answer(1));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(spent(&world), ["r-0", "r-0", "authorised-anew"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_or_unsent_grant_is_not_unknown() {
    let world = World::new().await;
    let server = serve(&world).await;
    for fault in [
        Fault::Status(400, r#"{"error":"invalid_request"}"#.to_owned()),
        Fault::Status(429, "{}".to_owned()),
    ] {
        world.provider.script(fault);
        server.post("/api/secret/k/retry?realm=r", &json!({})).await;
        assert_eq!(status(&server).await["grant"]["state"], "unused");
    }
    world.provider.script(Fault::Status(503, "{}".to_owned()));
    server.post("/api/secret/k/retry?realm=r", &json!({})).await;
    assert_eq!(status(&server).await["grant"]["state"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_that_can_log_in_begins_anew_when_its_grant_is_gone() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = realm(&world);
    realm["config"]["inputs"] = json!({"refresh_token": {"from": "rotating", "required": false}, "password": {"secret": true}});
    realm["config"]["refresh_requests"] = realm["config"]["requests"].clone();
    realm["config"]["requests"] =
        json!([{"url": world.provider.url(), "form": {"password": "{{ password }}"}}]);
    server.post("/api/realm", &realm).await.ok();
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "credentials": {"password": "pw"}}),
        )
        .await
        .ok();
    world.provider.script(answer(1));
    server.token().await.ok();
    world.provider.script(answer(2));
    server.flush().await.ok();
    world.provider.script(Fault::Status(
        400,
        r#"{"error":"invalid_grant"}"#.to_owned(),
    ));
    server.flush().await.ok();
    assert_eq!(spent(&world)[..3], ["password=pw", "r-1", "r-2"]);
    assert_eq!(spent(&world)[3], "password=pw", "it logs in at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_handed_out_before_its_grant_is_stored() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let memory = MemoryStore::new(clock.clone());
    let failing = Arc::new(AtomicUsize::new(0));
    let gate = Arc::clone(&failing);
    let behind = memory.behind(Arc::new(move |call| {
        let fails = call == "end_spend"
            && gate
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
        Box::pin(async move {
            if fails {
                Err(StoreError::Unavailable("away".to_owned()))
            } else {
                Ok(())
            }
        })
    }));
    let world = World::on(Arc::new(behind)).await;
    let server = serve(&world).await;
    world.provider.script(answer(1));
    failing.store(12, Ordering::SeqCst);
    assert_eq!(server.token().await.problem(), (503, "store_unavailable"));
    let id = SecretId::new("r", "k");
    for _ in 0..1000 {
        if memory
            .find_token(&id)
            .await
            .unwrap()
            .unwrap()
            .grant
            .generation
            == 1
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.provider.script(answer(2));
    assert_eq!(server.token().await.ok()["token"], "t-2");
    assert_eq!(
        spent(&world),
        ["r-0", "r-1"],
        "what came back was stored behind the caller's back"
    );
    assert_eq!(clock.now().epoch_ms(), START_MS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ageing_grant_is_used_though_nobody_asks() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(Fault::Json(json!({"access_token": "t-1", "expires_in": 20 * 86400, "refresh_token": "r-1", "grant_in": 22 * 86400})));
    server.token().await.ok();
    world
        .advance(Duration::from_hours(24 * 18), &[&server])
        .await;
    assert!(
        status(&server).await["grant"]["warning"]
            .as_str()
            .unwrap()
            .contains("a fifth")
    );
    world.provider.script(answer(2));
    let swept = server.post("/api/cron/refresh", &json!({})).await.ok();
    assert_eq!(
        (&swept["renewed"], spent(&world)),
        (&json!(1), vec!["r-0".to_owned(), "r-1".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_refused_once_is_tried_again_soon_while_nothing_is_held() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(Fault::Status(
        400,
        r#"{"error":"invalid_grant"}"#.to_owned(),
    ));
    let reply = server.token().await;
    assert_eq!(reply.problem(), (502, "reauthorise"));
    assert_eq!(reply.body["retry_after"], 1);
    world.provider.script(answer(1));
    world.advance(Duration::from_secs(1), &[&server]).await;
    assert_eq!(server.token().await.ok()["token"], "t-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_refused_while_a_token_is_held_is_tried_again_when_the_policy_says() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = realm(&world);
    realm["config"]["policy"] = json!({"reissue": "coexists", "reauthorise_retry": "10m"});
    server.post("/api/realm", &realm).await.ok();
    store_grant(&server, "r-0").await;
    world.provider.script(answer(1));
    server.token().await.ok();
    world.provider.script(Fault::Status(
        400,
        r#"{"error":"invalid_grant"}"#.to_owned(),
    ));
    let kept = server.flush().await.ok();
    assert_eq!(
        (&kept["token"], &kept["retry_after"]),
        (&json!("t-1"), &json!(600))
    );
    world.provider.script(answer(2));
    world.advance(Duration::from_secs(599), &[&server]).await;
    assert_eq!(server.flush().await.ok()["token"], "t-1");
    world.advance(Duration::from_secs(1), &[&server]).await;
    assert_eq!(server.flush().await.ok()["token"], "t-2");
    assert_eq!(spent(&world), ["r-0", "r-1", "r-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_its_time_still_brings_its_grant() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let claims = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&claims);
    let store = MemoryStore::new(clock.clone()).behind(Arc::new(move |call| {
        counted.fetch_add(usize::from(call == "claim_lease"), Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }));
    let mut world = World::on(Arc::new(store)).await;
    world.clock = clock;
    let server = world.serve().await;
    let mut realm = realm(&world);
    realm["config"]["policy"] = json!({"reissue": "coexists", "timeout": "100ms"});
    server.post("/api/realm", &realm).await.ok();
    store_grant(&server, "r-0").await;
    let Fault::Json(late) = answer(1) else {
        unreachable!("it is JSON")
    };
    world.provider.script(Fault::HoldThenJson(late));
    assert_eq!(server.token().await.problem(), (504, "upstream_timeout"));
    assert_eq!(status(&server).await["grant"]["state"], "unknown");
    world.provider.script(answer(2));
    world.advance(Duration::from_secs(2), &[&server]).await;
    let release = async {
        // Nobody sends the same grant again meanwhile: who asks claims the lease, gives it back,
        // and looks again.
        let before = claims.load(Ordering::SeqCst);
        while claims.load(Ordering::SeqCst) < before + 2 && world.provider.calls() == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(spent(&world), ["r-0"]);
        world.provider.release();
        until_stored(&server, 1).await;
    };
    let (asked, ()) = tokio::join!(server.token(), release);
    assert_eq!(asked.ok()["token"], "t-2");
    assert_eq!(status(&server).await["grant"]["state"], "held");
    assert_eq!(spent(&world), ["r-0", "r-1"]);
}

/// The machine is busy: between the claim of the lease and the use of the grant passes more than half
/// of the fetch's time.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_not_spent_when_its_time_is_used_up_before() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
    let (moved, intents) = (clock.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&intents);
    let store = MemoryStore::new(clock.clone()).behind(Arc::new(move |call| {
        if call == "begin_spend" && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            moved.advance(Duration::from_secs(7));
        }
        Box::pin(async { Ok(()) })
    }));
    let mut world = World::on(Arc::new(store)).await;
    world.clock = clock;
    let server = serve(&world).await;
    world.provider.script(answer(1));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(intents.load(Ordering::SeqCst), 2, "under a new lease");
    assert_eq!(spent(&world), ["r-0"]);
    assert_eq!(status(&server).await["grant"]["state"], "held");
}

/// Waits until the store has the grant of this generation.
async fn until_stored(server: &Server, generation: i64) {
    while status(server).await["grant"]["generation"] != generation {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_grant_does_not_follow_a_secret_to_another_host() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut moving = realm(&world);
    moving["config"]["inputs"]["base"] = json!({"secret": false});
    moving["config"]["requests"][0]["url"] = json!("{{ base }}");
    server.post("/api/realm", &moving).await.ok();
    let at = |base: &str| json!({"realm": "r", "key": "k", "credentials": {"base": base, "refresh_token": "r-0"}});
    let here = world.provider.url();
    server.post("/api/secret", &at(&here)).await.ok();
    world.provider.script(answer(1));
    server.token().await.ok();
    let elsewhere = here.replace("127.0.0.1", "localhost");
    server.post("/api/secret", &at(&elsewhere)).await.ok();
    world.provider.script(answer(2));
    server.flush().await.ok();
    assert_eq!(spent(&world), ["r-0", "r-0"], "what was posted, not r-1");
    world.provider.script(answer(3));
    server.flush().await.ok();
    assert_eq!(spent(&world), ["r-0", "r-0", "r-2"]);
}
