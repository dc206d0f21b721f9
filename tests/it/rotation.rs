//! New credentials that are tried before they replace the old ones.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};

async fn post_next(server: &Server, next: Value) -> Value {
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "next": next}),
        )
        .await
        .ok()
}

async fn status(server: &Server) -> Value {
    server.get("/api/secret/k/status?realm=r").await.ok()
}

/// Waits for a trial that goes on behind the answer.
async fn until(server: &Server, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let status = status(server).await;
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {}", status(server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_credentials_that_work_are_promoted_and_the_old_token_is_retired() {
    let world = World::new().await;
    let (server, other) = (world.serve_realm().await, world.serve().await);
    world.provider.script(Fault::Json(good("old", 7200)));
    assert_eq!(server.token().await.ok()["token"], "old");
    assert_eq!(other.token().await.ok()["token"], "old");

    world
        .provider
        .script(Fault::HoldThenJson(good("new", 7200)));
    let saved = post_next(&server, json!({"key_2": "invented-new-secret"})).await;
    assert_eq!(
        saved["next"],
        json!({"key_2": "******************", "credentials": {}})
    );
    assert_eq!(saved["version"], 1, "nothing is retired yet");
    world.provider.wait_for_calls(2).await;
    for server in [&server, &other] {
        assert_eq!(
            server.token().await.ok()["token"],
            "old",
            "no gap while they are tried"
        );
    }
    world.provider.release();
    until(&server, |status| {
        status["next"].is_null() && status["token_version"] == 2
    })
    .await;
    let sent = world.provider.requests().pop().unwrap().path_and_query;
    assert_eq!(
        sent,
        "/token?appid=invented-appid&secret=invented-new-secret"
    );

    other.look().await;
    for server in [&server, &other] {
        assert_eq!(server.token().await.ok()["token"], "new");
    }
    let secret = server.get("/api/secret/k?realm=r").await.ok();
    assert_eq!(
        (&secret["version"], &secret["next"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(world.provider.calls(), 2);
    world.advance(Duration::from_hours(2), &[&server]).await;
    world.provider.script(Fault::Json(good("newer", 7200)));
    server.token().await.ok();
    let sent = world.provider.requests().pop().unwrap().path_and_query;
    assert_eq!(
        sent, "/token?appid=invented-appid&secret=invented-new-secret",
        "they are the current ones"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn next_credentials_that_do_not_work_change_nothing_and_are_tried_again() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("old", 100_000)));
    server.token().await.ok();
    world.provider.script(Fault::Json(
        json!({"errcode": 40125, "errmsg": "invalid appsecret invented-new"}),
    ));
    post_next(&server, json!({"key_2": "invented-new"})).await;
    let failing = until(&server, |status| status["next"]["failed_attempts"] == 1).await;
    let failure = &failing["next"]["last_failure"];
    assert_eq!(failure["provider_code"], "40125");
    assert!(
        !failing.to_string().contains("invented-new"),
        "masked: {failing}"
    );
    assert_eq!(
        failing["next"]["next_attempt_at"],
        world.now_ms() + 600_000,
        "an operator must mend it"
    );
    assert_eq!(
        (&failing["state"], &failing["failed_attempts"]),
        (&json!("valid"), &json!(0))
    );
    assert_eq!(
        failing["last_failure"],
        Value::Null,
        "the secret's own renewals did not fail"
    );
    let held = server.token().await.ok();
    assert_eq!(
        (&held["token"], &held["stale_since"]),
        (&json!("old"), &Value::Null)
    );

    let sweep = || async { server.post("/api/cron/refresh", &json!({})).await.ok() };
    sweep().await;
    world.advance(Duration::from_mins(11), &[&server]).await;
    world.provider.script(Fault::Json(good("new", 7200)));
    sweep().await;
    until(&server, |status| {
        status["next"].is_null() && status["token_version"] == 2
    })
    .await;
    assert_eq!(server.token().await.ok()["token"], "new");
    assert_eq!(world.provider.calls(), 3, "not tried before its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_during_the_trial_wins() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world
        .provider
        .script(Fault::HoldThenJson(good("tried", 7200)));
    post_next(&server, json!({"key_2": "invented-next"})).await;
    world.provider.wait_for_calls(1).await;
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "edited", "next": null}),
        )
        .await
        .ok();
    world.provider.script(Fault::Json(good("current", 7200)));
    world.provider.release();
    assert_eq!(server.token().await.ok()["token"], "current");
    let sent = world.provider.requests().pop().unwrap().path_and_query;
    assert_eq!(sent, "/token?appid=edited&secret=invented-secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_can_be_posted_back_and_dropped() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Status(503, "{}".to_owned()));
    post_next(
        &server,
        json!({"key_2": "a", "credentials": {"extra": "b"}}),
    )
    .await;
    let read = server.get("/api/secret/k?realm=r").await.ok();
    let posted = server.post("/api/secret", &read).await.ok();
    assert_eq!(posted["next"], read["next"]);
    assert_eq!(posted["next"]["credentials"]["extra"], "******************");
    assert_eq!(post_next(&server, Value::Null).await["next"], Value::Null);
    assert_eq!(
        post_next(&server, json!({"key_2": "invented-secret"})).await["next"],
        Value::Null,
        "nothing changes"
    );
}

#[tokio::test]
async fn wrong_next_credentials_are_told_with_their_places() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    for (next, place) in [
        (json!({}), "/next"),
        (json!([]), "/next"),
        (json!({"key_2": null}), "/next"),
        (json!({"key_2": 5}), "/next/key_2"),
        (json!({"kye_2": "x"}), "/next/kye_2"),
        (json!({"credentials": {"1a": "x"}}), "/next/credentials/1a"),
    ] {
        let reply = server
            .post(
                "/api/secret",
                &json!({"realm": "r", "key": "k", "next": next}),
            )
            .await;
        assert_eq!(reply.problem(), (400, "invalid_request"), "{next}");
        assert!(
            reply.places().contains(&place),
            "{next}: {:?}",
            reply.places()
        );
    }
    server
        .post("/api/realm", &json!({"id": "f", "config": null}))
        .await
        .ok();
    let reply = server
        .post(
            "/api/secret",
            &json!({"realm": "f", "key": "k", "next": {"key_1": "x"}}),
        )
        .await;
    assert_eq!(reply.places(), ["/next"]);
}
