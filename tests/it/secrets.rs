//! `/api/secret`

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{World, good, secret};

const MASK: &str = "******************";

#[tokio::test]
async fn credentials_are_masked_on_the_way_out() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let posted = json!({"realm": "r", "key": "all", "key_1": "one", "key_7": "seven",
        "credentials": {"private_key": "-----BEGIN"}});
    let answer = server.post("/api/secret", &posted).await.ok();
    for answer in [
        answer,
        server.get("/api/secret/all?realm=r").await.ok(),
        server.get("/api/secret/all").await.ok(),
    ] {
        assert_eq!(
            (&answer["key_1"], &answer["key_2"], &answer["key_7"]),
            (&json!(MASK), &Value::Null, &json!(MASK))
        );
        assert_eq!(answer["credentials"], json!({"private_key": MASK}));
        assert!(!answer.to_string().contains("seven"), "{answer}");
    }
    let listed = server.get("/api/secret?realm=r").await.ok();
    assert_eq!(
        (&listed["data"]["total"], &listed["success"]),
        (&json!(2), &json!("ok"))
    );
    assert!(!listed.to_string().contains("invented"), "{listed}");
}

/// The documented example, all asterisks.
#[tokio::test]
async fn the_documented_example_can_be_pasted() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &world.realm()).await.ok();
    let example = json!({"realm": "r", "key": "k", "key_1": MASK, "key_2": MASK, "key_3": MASK, "key_4": MASK,
        "key_5": MASK});
    let saved = server.post("/api/secret", &example).await.ok();
    assert_eq!(
        saved["key_1"],
        Value::Null,
        "masked with nothing stored counts as absent"
    );
    let reply = server.token().await;
    assert_eq!(reply.problem(), (503, "config"));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("key_1") && detail.contains("key_2"),
        "{detail}"
    );
}

#[tokio::test]
async fn what_was_read_can_be_edited_and_posted_back() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let mut read = server.get("/api/secret/k?realm=r").await.ok();
    assert_eq!(server.post("/api/secret", &read).await.ok()["version"], 1);
    read["key_2"] = "new".into();
    let saved = server.post("/api/secret", &read).await.ok();
    assert_eq!(
        (&saved["version"], &saved["key_1"]),
        (&json!(2), &json!(MASK))
    );
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    let sent = &world.provider.requests()[0].path_and_query;
    assert!(sent.ends_with("?appid=invented-appid&secret=new"), "{sent}");
}

#[tokio::test]
async fn null_and_empty_clear_a_credential() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let edit = json!({"realm": "r", "key": "k", "key_1": null, "key_2": ""});
    let saved = server.post("/api/secret", &edit).await.ok();
    assert_eq!(
        (&saved["key_1"], &saved["key_2"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(saved["warnings"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn null_clears_all_named_credentials_and_no_numbered_one() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let mut posted = secret();
    posted["credentials"] = json!({"one": "a", "two": "b"});
    server.post("/api/secret", &posted).await.ok();
    let kept = server
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await
        .ok();
    assert_eq!(
        kept["credentials"],
        json!({"one": MASK, "two": MASK}),
        "absent keeps"
    );
    let cleared = json!({"realm": "r", "key": "k", "credentials": null});
    let answer = server.post("/api/secret", &cleared).await.ok();
    assert_eq!(
        (&answer["credentials"], &answer["key_1"]),
        (&json!({}), &json!(MASK))
    );
    assert_eq!(
        (
            &answer["version"],
            &server.get("/api/secret/k?realm=r").await.ok()["credentials"]
        ),
        (&json!(3), &json!({}))
    );
}

#[tokio::test]
async fn a_private_key_of_64_kib_fits() {
    let world = World::new().await;
    let server = world.serve().await;
    let realm = json!({"id": "r", "config": {"url": world.provider.url(), "method": "POST", "token_path": "access_token",
        "arguments": [{"name": "key", "place": "body", "value": "$private_key"}]}});
    server.post("/api/realm", &realm).await.ok();
    let key = "k".repeat(64 * 1024);
    let posted = json!({"realm": "r", "key": "k", "credentials": {"private_key": key}});
    server.post("/api/secret", &posted).await.ok();
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    let sent: Value = serde_json::from_str(&world.provider.requests()[0].body).unwrap();
    assert_eq!(sent["key"].as_str().unwrap().len(), 64 * 1024);
}

#[tokio::test]
async fn an_unknown_realm_is_a_bad_request() {
    let world = World::new().await;
    let server = world.serve().await;
    assert_eq!(
        server.post("/api/secret", &secret()).await.problem(),
        (400, "unknown_realm")
    );
}

#[tokio::test]
async fn names_are_compared_byte_for_byte() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let keys = ["App", "app", "a/b c", "键", "?&=%"];
    for key in keys {
        server
            .post(
                "/api/secret",
                &json!({"realm": "r", "key": key, "key_1": key, "key_2": "s"}),
            )
            .await
            .ok();
    }
    for key in keys {
        let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        let path = format!("/api/secret/{}?realm=r", encoded.replace('+', "%20"));
        assert_eq!(server.get(&path).await.ok()["key"], key);
    }
}

#[tokio::test]
async fn one_key_in_two_realms_needs_the_realm_named() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    server.post("/api/realm", &json!({"id": "r2"})).await.ok();
    server
        .post("/api/secret", &json!({"realm": "r2", "key": "k"}))
        .await
        .ok();
    let reply = server.get("/api/secret/k").await;
    assert_eq!(reply.problem(), (400, "invalid_request"));
    assert_eq!(reply.places(), ["realm"]);
    assert_eq!(
        server.get("/api/secret/k?realm=r2").await.ok()["realm"],
        "r2"
    );
    assert_eq!(
        server.get("/api/secret/none").await.problem(),
        (404, "unknown_secret")
    );
}

#[tokio::test]
async fn lists_are_newest_first_and_by_realm() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    server.post("/api/realm", &json!({"id": "r2"})).await.ok();
    for (realm, key) in [("r", "x"), ("r2", "y"), ("r", "z")] {
        world.clock.advance(Duration::from_secs(1));
        server
            .post("/api/secret", &json!({"realm": realm, "key": key}))
            .await
            .ok();
    }
    let keys = |body: Value| -> Vec<String> {
        let list = body["data"]["list"].as_array().unwrap().clone();
        list.iter()
            .map(|secret| secret["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        keys(server.get("/api/secret").await.ok()),
        ["z", "y", "x", "k"]
    );
    assert_eq!(
        keys(server.get("/api/secret?realm=r&pageSize=2").await.ok()),
        ["z", "x"]
    );
    assert_eq!(
        keys(
            server
                .get("/api/secret?realm=r&pageSize=2&page=2")
                .await
                .ok()
        ),
        ["k"]
    );
}

#[tokio::test]
async fn a_deleted_secret_has_no_token_and_versions_go_on() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("first", 7200)));
    assert_eq!(server.token().await.ok()["version"], 1);
    assert_eq!(server.delete("/api/secret/k?realm=r").await.status, 204);
    assert_eq!(server.token().await.problem(), (400, "unknown_secret"));
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(good("second", 7200)));
    let again = server.token().await.ok();
    assert_eq!(
        (&again["token"], &again["version"]),
        (&json!("second"), &json!(2))
    );
}

#[tokio::test]
async fn a_secret_of_a_fetching_realm_takes_no_token() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let reply = server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "token": "t"}),
        )
        .await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["/token"])
    );
}
