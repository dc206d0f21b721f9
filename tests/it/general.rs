//! Realms of the general form: outputs, pushed inputs, files, values that are missing.

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World};

/// Realm `g`: signs, and answers more than a token.
fn realm(world: &World) -> Value {
    json!({"id": "g", "config": {
        "inputs": {"app": {"secret": false}, "secret": {}, "ticket": {"from": "pushed", "required": false}},
        "vars": {"base": "{{ app }}{{ secret }}"},
        "requests": [{"url": world.provider.url(), "json": {"app": "{{ app }}", "ticket": "{{ ticket }}", "sign": "{{ base | sha256 | hex }}"}}],
        "success_when": {"path": "$.code", "equals": 0}, "token": "$.data.token",
        "expires": {"path": "$.data.expires_at", "unit": "epoch_milliseconds"},
        "outputs": {"url": "$.data.url", "header": "Bearer {{ token }}"}, "token_use": "X-Token: {token}"}})
}

fn answer(world: &World, token: &str) -> Value {
    json!({"code": 0, "data": {"token": token, "expires_at": world.now_ms() + 7_200_000, "url": "https://shard.example"}})
}

async fn serve(world: &World) -> Server {
    let server = world.serve().await;
    let saved = server.post("/api/realm", &realm(world)).await.ok();
    assert_eq!(
        (&saved["mode"], &saved["warnings"]),
        (&json!("config"), &Value::Null),
        "{saved}"
    );
    let secret = json!({"realm": "g", "key": "k", "credentials": {"app": "a1", "secret": "invented-secret"}});
    server.post("/api/secret", &secret).await.ok();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_and_their_use_are_handed_out_with_the_token_from_every_source() {
    let world = World::new().await;
    let (server, other) = (serve(&world).await, world.serve().await);
    world.provider.script(Fault::Json(answer(&world, "t-1")));
    for (server, source) in [
        (&server, "upstream"),
        (&server, "memory"),
        (&other, "database"),
        (&other, "memory"),
    ] {
        let answer = server.get("/api/token?realm=g&key=k").await.ok();
        assert_eq!(
            (&answer["token"], &answer["source"], &answer["expires_in"]),
            (&json!("t-1"), &json!(source), &json!(7_200_000))
        );
        assert_eq!(
            answer["outputs"],
            json!({"url": "https://shard.example", "header": "Bearer t-1"}),
            "{source}"
        );
        assert_eq!(answer["token_use"], "X-Token: {token}");
    }
    let sent = &world.provider.requests()[0];
    let sign = "408cd257e58e45c3487ee200e07bf6775a38bdcf3277871b3eea57219636f52a";
    assert_eq!(sent.method, "POST");
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        (&body["app"], body.get("ticket")),
        (&json!("a1"), None),
        "an optional input without value is left out"
    );
    assert_eq!(body["sign"], sign);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_code_at_its_place_is_told() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(Fault::Json(
        json!({"code": 7, "msg": "bad sign for invented-secret"}),
    ));
    let reply = server.get("/api/token?realm=g&key=k").await;
    assert_eq!(reply.problem(), (502, "upstream_refused"));
    assert_eq!(
        (
            &reply.body["provider_code"],
            &reply.body["provider_message"]
        ),
        (&json!("7"), &json!("bad sign for ******************"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_ends_a_pause_and_retires_nothing() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = realm(&world);
    realm["config"]["inputs"]["ticket"] = json!({"from": "pushed"});
    server.post("/api/realm", &realm).await.ok();
    let secret = json!({"realm": "g", "key": "k", "credentials": {"app": "a1", "secret": "s"}});
    let saved = server.post("/api/secret", &secret).await.ok();
    assert!(
        saved["warnings"][0]
            .as_str()
            .unwrap()
            .contains("waits for input ticket"),
        "{saved}"
    );
    world.provider.script(Fault::Json(answer(&world, "t-1")));
    let reply = server.get("/api/token?realm=g&key=k").await;
    assert_eq!(reply.problem(), (503, "config"));
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .contains("PUT /api/secret/k/inputs/ticket?realm=g"),
        "{reply:?}"
    );
    let pushed = server
        .put(
            "/api/secret/k/inputs/ticket?realm=g",
            &json!({"value": "first"}),
        )
        .await
        .ok();
    assert_eq!(
        pushed,
        json!({"realm": "g", "key": "k", "name": "ticket", "pushed_version": 1})
    );
    assert_eq!(
        server.get("/api/token?realm=g&key=k").await.ok()["token"],
        "t-1"
    );
    server
        .put(
            "/api/secret/k/inputs/ticket?realm=g",
            &json!({"value": "second"}),
        )
        .await
        .ok();
    assert_eq!(
        server.get("/api/token?realm=g&key=k").await.ok()["source"],
        "memory"
    );
    world.provider.script(Fault::Json(answer(&world, "t-2")));
    server.get("/api/token?realm=g&key=k&flush=true").await.ok();
    assert!(
        world.provider.requests()[1]
            .body
            .contains(r#""ticket":"second""#)
    );
    let shown = server.get("/api/secret/k?realm=g").await.ok().to_string();
    assert!(!shown.contains("second"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_realm_declares_can_be_pushed() {
    let world = World::new().await;
    let server = serve(&world).await;
    for (path, body, status, place) in [
        (
            "/api/secret/k/inputs/app?realm=g",
            json!({"value": "x"}),
            400,
            "name",
        ),
        (
            "/api/secret/k/inputs/ticket?realm=g",
            json!({"value": 1}),
            400,
            "/value",
        ),
        (
            "/api/secret/k/inputs/ticket?realm=g",
            json!({"value": ""}),
            400,
            "/value",
        ),
        (
            "/api/secret/k/inputs/ticket?realm=g",
            json!({"value": "x", "extra": 1}),
            400,
            "/value",
        ),
        (
            "/api/secret/k/inputs/ticket?realm=g",
            json!({"value": "x".repeat(65 * 1024)}),
            400,
            "/value",
        ),
    ] {
        let reply = server.put(path, &body).await;
        assert_eq!(
            (reply.status, reply.places()),
            (status, vec![place]),
            "{path}"
        );
    }
    assert_eq!(
        server
            .put(
                "/api/secret/absent/inputs/ticket?realm=g",
                &json!({"value": "x"})
            )
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_anew_for_each_fetch() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g/token");
    std::fs::create_dir_all(folder.path().join("g")).unwrap();
    std::fs::create_dir_all(folder.path().join("other")).unwrap();
    std::fs::write(folder.path().join("other/token"), "of another realm").unwrap();
    let world = World::new().await;
    let server = world
        .serve_with(&[("inputs.file_root", folder.path().to_str().unwrap())])
        .await;
    let mut realm = realm(&world);
    realm["config"]["inputs"]["secret"] = json!({"from": "file", "secret": true});
    realm["config"]["requests"][0]["json"]["sign"] = json!("{{ secret }}");
    server.post("/api/realm", &realm).await.ok();
    let secret = json!({"realm": "g", "key": "k", "credentials": {"app": "a1", "secret": "token"}});
    server.post("/api/secret", &secret).await.ok();
    for content in ["file-1", "file-2"] {
        std::fs::write(&file, format!("{content}\n")).unwrap();
        world.provider.script(Fault::Json(answer(&world, content)));
        server.get("/api/token?realm=g&key=k&flush=true").await.ok();
        assert!(
            world
                .provider
                .requests()
                .last()
                .unwrap()
                .body
                .contains(content)
        );
    }
    let mut details = std::collections::BTreeSet::new();
    for name in [
        "/etc/hostname",
        "../other/token",
        "../absent/token",
        "absent",
    ] {
        let outside = json!({"realm": "g", "key": "k", "credentials": {"secret": name}});
        server.post("/api/secret", &outside).await.ok();
        let reply = server.get("/api/token?realm=g&key=k").await;
        assert_eq!(reply.problem(), (503, "config"), "{name}");
        details.insert(reply.body["detail"].as_str().unwrap().to_owned());
    }
    assert_eq!(details.len(), 1, "{details:?}");
    assert!(
        details
            .first()
            .unwrap()
            .contains("the realm's folder below inputs.file_root"),
        "{details:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_classes_and_hints_may_change_without_retiring_a_token() {
    let world = World::new().await;
    let server = serve(&world).await;
    world.provider.script(Fault::Json(answer(&world, "t-1")));
    server.get("/api/token?realm=g&key=k").await.ok();
    let mut edited = realm(&world);
    edited["config"]["inputs"]["app"] = json!({"label": {"en": "App", "zh": "应用"}});
    edited["config"]["errors"] = json!({"code": "$.code", "config": [7]});
    edited["config"]["token_use"] = json!("query:token");
    assert_eq!(server.post("/api/realm", &edited).await.ok()["version"], 1);
    assert_eq!(
        server.get("/api/token?realm=g&key=k").await.ok()["token_use"],
        "query:token"
    );
    edited["config"]["vars"]["base"] = json!("{{ app }}-{{ secret }}");
    assert_eq!(server.post("/api/realm", &edited).await.ok()["version"], 2);
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_worked_out_here_calls_nobody() {
    let world = World::new().await;
    let server = world.serve().await;
    let realm = json!({"id": "l", "config": {"inputs": {"key": {}}, "token": "var:signed", "expires": {"lifetime": "10m"},
        "vars": {"signed": {"jwt": {"alg": "HS256", "key": "key", "header": {"typ": "JWT"}, "claims": {"iss": "me"}, "lifetime": "10m"}}}}});
    server.post("/api/realm", &realm).await.ok();
    server
        .post(
            "/api/secret",
            &json!({"realm": "l", "key": "k", "credentials": {"key": "invented-key"}}),
        )
        .await
        .ok();
    let answer = server.get("/api/token?realm=l&key=k").await.ok();
    assert_eq!(
        (
            answer["token"].as_str().unwrap().split('.').count(),
            &answer["expires_in"]
        ),
        (3, &json!(600_000))
    );
    assert_eq!(
        server.get("/api/log?realm=l").await.ok()["data"]["total"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_that_is_read_as_a_duration_is_doubted() {
    let world = World::new().await;
    let server = serve(&world).await;
    let mut wrong = realm(&world);
    wrong["config"]["expires"] = json!({"path": "$.data.at"});
    server.post("/api/realm", &wrong).await.ok();
    world.provider.script(Fault::Json(
        json!({"code": 0, "data": {"token": "t", "at": world.now_ms() / 1000}}),
    ));
    let answer = server.get("/api/token?realm=g&key=k").await.ok();
    assert!(
        answer["warning"]
            .as_str()
            .unwrap()
            .contains("years: is the unit"),
        "{answer}"
    );
}
