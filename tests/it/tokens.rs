//! `GET /api/token`: its forms, its sources, the three modes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{START_MS, World, good, secret};

#[tokio::test]
async fn a_token_comes_from_upstream_then_memory_then_the_database() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let first = server.token().await;
    assert_eq!(first.headers["cache-control"], "no-store");
    let expected = json!({"token": "t-1", "expires_in": 7_200_000, "source": "upstream",
        "expires_at": START_MS + 7_200_000, "version": 1});
    assert_eq!(first.ok(), expected);
    world.advance(Duration::from_mins(1), &[&server]).await;
    let held = server.token().await.ok();
    assert_eq!(
        (&held["source"], &held["expires_in"]),
        (&json!("memory"), &json!(7_140_000))
    );
    let other = world.serve().await;
    let stored = other.token().await.ok();
    assert_eq!(
        (&stored["source"], &stored["token"], &stored["version"]),
        (&json!("database"), &json!("t-1"), &json!(1))
    );
    assert_eq!(other.token().await.ok()["source"], "memory");
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test]
async fn the_arguments_may_be_a_json_body() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(
        server
            .get_with_body("/api/token", r#"{"realm":"r","key":"k"}"#)
            .await
            .ok()["token"],
        "t-1"
    );
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let flushed = server
        .get_with_body("/api/token?realm=r", r#"{"key":"k","flush":true}"#)
        .await
        .ok();
    assert_eq!(
        (&flushed["token"], &flushed["source"]),
        (&json!("t-2"), &json!("upstream"))
    );
}

#[tokio::test]
async fn a_flush_fetches_although_the_held_token_is_good() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let flushed = server.flush().await.ok();
    assert_eq!(
        (&flushed["token"], &flushed["version"]),
        (&json!("t-2"), &json!(2))
    );
    assert_eq!(server.token().await.ok()["token"], "t-2");
    assert_eq!(
        server
            .get("/api/token?realm=r&key=k&flush=false")
            .await
            .ok()["source"],
        "memory"
    );
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test]
async fn what_is_sent_is_what_the_realm_says() {
    let world = World::new().await;
    let server = world.serve().await;
    let realm = json!({"id": "r", "config": {"url": format!("{}?fixed=1", world.provider.url()), "method": "POST",
        "arguments": [{"name": "in query", "place": "url", "value": "$key_1"},
                      {"name": "X-Secret", "place": "header", "value": "$key_2"},
                      {"name": "b", "place": "body", "value": "$key_1"},
                      {"name": "a", "place": "body", "value": true}],
        "token_path": "access_token", "content_type": "text", "expires_in_path": "expires_in"}});
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    let sent = world.provider.requests().remove(0);
    assert_eq!(
        (sent.method.as_str(), sent.path_and_query.as_str()),
        ("POST", "/token?fixed=1&in%20query=invented-appid")
    );
    assert_eq!(sent.header("x-secret"), Some("invented-secret"));
    assert_eq!(sent.header("content-type"), Some("text/plain"));
    assert_eq!(sent.body, r#"{"b":"invented-appid","a":true}"#);
}

#[tokio::test]
async fn nested_paths_and_numbers_as_text_are_read() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = world.realm();
    realm["config"]["token_path"] = "data.app-token".into();
    realm["config"]["expires_in_path"] = "$.data.ttl[0]".into();
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(
        json!({"data": {"app-token": "t", "ttl": ["600"]}}),
    ));
    assert_eq!(server.token().await.ok()["expires_in"], 600_000);
}

#[tokio::test]
async fn an_absent_expiry_is_300_s_with_a_warning() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world
        .provider
        .script(Fault::Json(json!({"access_token": "t"})));
    let answer = server.token().await.ok();
    assert_eq!(answer["expires_in"], 300_000);
    assert!(
        answer["warning"].as_str().unwrap().contains("300"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_function_is_posted_the_secret() {
    let world = World::new().await;
    let server = world.serve().await;
    server
        .post(
            "/api/realm",
            &json!({"id": "r", "logic_code": world.provider.url()}),
        )
        .await
        .ok();
    let posted = json!({"realm": "r", "key": "k", "key_1": "one", "credentials": {"corpid": "c"}});
    server.post("/api/secret", &posted).await.ok();
    world.provider.script(Fault::Json(
        json!({"token": "from-function", "expires_in": 60}),
    ));
    let answer = server.token().await.ok();
    assert_eq!(
        (&answer["token"], &answer["expires_in"]),
        (&json!("from-function"), &json!(60_000))
    );
    let sent = world.provider.requests().remove(0);
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        (sent.method.as_str(), body),
        (
            "POST",
            json!({"realm": "r", "key": "k", "key_1": "one", "credentials": {"corpid": "c"}})
        )
    );
}

#[tokio::test]
async fn the_status_of_a_fixed_secret_tells_what_is_handed_out() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &json!({"id": "r"})).await.ok();
    let expires_at = world.now_ms() + 60_000;
    let posted = json!({"realm": "r", "key": "k", "token": "given", "expires_at": expires_at});
    let saved = server.post("/api/secret", &posted).await.ok();
    assert_eq!(saved.get("warnings"), None, "{saved}");
    let again = json!({"realm": "r", "key": "k", "token": "other", "expires_at": expires_at});
    server.post("/api/secret", &again).await.ok();
    let (token, status) = (
        server.token().await.ok(),
        server.get("/api/secret/k/status?realm=r").await.ok(),
    );
    assert_eq!(token["expires_at"], expires_at);
    assert_eq!(
        (&status["token_version"], &status["expires_at"]),
        (&token["version"], &token["expires_at"])
    );
    assert_eq!(
        (&status["token_version"], &status["state"]),
        (&json!(2), &json!("valid"))
    );
}

#[tokio::test]
async fn a_fixed_token_that_cannot_be_handed_out_is_saved_with_a_warning() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &json!({"id": "r"})).await.ok();
    for (posted, words) in [
        (
            json!({"realm": "r", "key": "k", "expires_at": world.now_ms() + 60_000}),
            "has no token",
        ),
        (
            json!({"realm": "r", "key": "k", "token": "given", "expires_at": world.now_ms() - 1}),
            "has expired",
        ),
        (
            json!({"realm": "r", "key": "k", "key_1": "x"}),
            "has expired",
        ),
    ] {
        let saved = server.post("/api/secret", &posted).await.ok();
        let warnings = saved["warnings"].to_string();
        assert!(
            warnings.contains(words) && warnings.contains("r/k"),
            "{posted}: {saved}"
        );
    }
    assert_eq!(server.token().await.problem(), (503, "config"));
}

#[tokio::test]
async fn a_fixed_token_is_given_until_its_expiry() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &json!({"id": "r"})).await.ok();
    server
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await
        .ok();
    assert_eq!(server.token().await.problem(), (503, "config"));
    let saved = server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "token": "given"}),
        )
        .await
        .ok();
    assert_eq!(saved["token"], "******************");
    for _ in 0..2 {
        let answer = server.token().await.ok();
        let expected = json!({"token": "given", "expires_in": 2_147_483_647_u32, "source": "fixed",
            "version": answer["version"], "never_expires": true});
        assert_eq!(answer, expected);
    }
    let expires_at = world.now_ms() + 60_000;
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "expires_at": expires_at}),
        )
        .await
        .ok();
    assert_eq!(server.token().await.ok()["expires_in"], 60_000);
    let read = server.get("/api/secret/k?realm=r").await.ok();
    assert_eq!(
        (&read["token"], &read["expires_at"]),
        (&json!("******************"), &json!(expires_at))
    );
    server.post("/api/secret", &read).await.ok();
    assert_eq!(
        server.token().await.ok()["expires_at"],
        expires_at,
        "a masked token posted back leaves it"
    );
    world.advance(Duration::from_mins(1), &[&server]).await;
    assert_eq!(
        server.token().await.problem(),
        (503, "config"),
        "never past its expiry"
    );
}

#[tokio::test]
async fn an_unknown_secret_is_a_bad_request() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    assert_eq!(
        server.get("/api/token?realm=r&key=none").await.problem(),
        (400, "unknown_secret")
    );
    assert_eq!(
        server.get("/api/token?realm=none&key=k").await.problem(),
        (400, "unknown_secret")
    );
    let reply = server.get("/api/token?realm=r").await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["/key"])
    );
    let reply = server.get("/api/token?realm=r&key=k&flush=maybe").await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["flush"])
    );
}

#[tokio::test]
async fn a_changed_credential_or_definition_retires_the_token() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let other = world.serve().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    other.token().await.ok();
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_2": "changed"}),
        )
        .await
        .ok();
    assert_eq!(server.token().await.ok()["token"], "t-2");
    other.look().await;
    assert_eq!(
        other.token().await.ok()["token"],
        "t-2",
        "other instances follow"
    );
    world.provider.script(Fault::Json(good("t-3", 7200)));
    let mut realm = world.realm();
    realm["config"]["arguments"][0]["name"] = "app_id".into();
    server.post("/api/realm", &realm).await.ok();
    assert_eq!(server.token().await.ok()["token"], "t-3");
    other.look().await;
    assert_eq!(other.token().await.ok()["token"], "t-3");
    assert_eq!(world.provider.calls(), 3);
}

#[tokio::test]
async fn an_edit_that_changes_nothing_retires_nothing() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    server.post("/api/secret", &secret()).await.ok();
    server
        .post("/api/realm", &json!({"id": "r", "comment": "edited"}))
        .await
        .ok();
    assert_eq!(server.token().await.ok()["token"], "t-1");
    assert_eq!(world.provider.calls(), 1);
}
