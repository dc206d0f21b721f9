//! `/api/realm`

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{World, secret};

/// As in the documentation, byte for byte.
const WECHAT: &str = r#"{"id": "wxgzh",
 "config": {"url": "https://api.weixin.qq.com/cgi-bin/token", "method": "GET",
   "arguments": [{"name": "appid", "place": "url", "value": "$key_1"},
                 {"name": "secret", "place": "url", "value": "$key_2"},
                 {"name": "grant_type", "place": "url", "value": "$key_3"}],
   "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"}}"#;
const WECOM: &str = r#"{"id": "qywx_qynbkf",
 "config": {"url": "https://qyapi.weixin.qq.com/cgi-bin/gettoken", "method": "GET",
   "arguments": [{"name": "corpid", "place": "url", "value": "$key_1"},
                 {"name": "corpsecret", "place": "url", "value": "$key_2"}],
   "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"}}"#;

#[tokio::test]
async fn the_documented_examples_are_stored_and_answered_as_posted() {
    let world = World::new().await;
    let server = world.serve().await;
    for example in [WECHAT, WECOM] {
        let posted: Value = serde_json::from_str(example).unwrap();
        let answer = server
            .post_text("/api/realm", example.to_owned())
            .await
            .ok();
        let id = posted["id"].as_str().unwrap();
        assert_eq!(answer["id"], posted["id"]);
        assert_eq!(
            answer["config"].to_string(),
            posted["config"].to_string(),
            "members keep their order"
        );
        assert_eq!(
            (&answer["version"], &answer["mode"]),
            (&json!(1), &json!("config"))
        );
        assert_eq!(answer["created_at"], "2026-11-22T10:30:00.000Z");
        let shown = server.get(&format!("/api/realm/{id}")).await.ok();
        assert_eq!(shown, answer);
    }
}

#[tokio::test]
async fn a_realm_with_both_config_and_function_warns_which_is_used() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = world.realm();
    assert_eq!(
        server.post("/api/realm", &realm).await.ok().get("warnings"),
        None
    );
    realm["logic_code"] = "http://127.0.0.1:9000/token".into();
    let saved = server.post("/api/realm", &realm).await.ok();
    assert_eq!(saved["mode"], "config", "as the inherited service does");
    let warnings = saved["warnings"].to_string();
    assert!(
        warnings.contains("logic_code") && warnings.contains("config decides"),
        "{saved}"
    );
    realm["logic_code"] = Value::Null;
    assert_eq!(
        server.post("/api/realm", &realm).await.ok().get("warnings"),
        None
    );
}

#[tokio::test]
async fn an_unknown_realm_is_404() {
    let world = World::new().await;
    let server = world.serve().await;
    assert_eq!(
        server.get("/api/realm/none").await.problem(),
        (404, "unknown_realm")
    );
    assert_eq!(
        server.delete("/api/realm/none").await.problem(),
        (404, "unknown_realm")
    );
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_searched_by_keyword() {
    let world = World::new().await;
    let server = world.serve().await;
    for (id, comment) in [
        ("a", "公众号 one"),
        ("b", "Two"),
        ("c_c", ""),
        ("d", "100%"),
    ] {
        server
            .post("/api/realm", &json!({"id": id, "comment": comment}))
            .await
            .ok();
        world.clock.advance(Duration::from_secs(1));
    }
    let ids = |body: Value| -> (Vec<String>, u64) {
        assert_eq!(body["success"], "ok");
        let list = body["data"]["list"].as_array().unwrap().clone();
        let ids = list
            .iter()
            .map(|realm| realm["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, body["data"]["total"].as_u64().unwrap())
    };
    for (query, expected, total) in [
        ("", vec!["d", "c_c", "b", "a"], 4),
        ("?page=1&pageSize=3", vec!["d", "c_c", "b"], 4),
        ("?page=2&pageSize=3", vec!["a"], 4),
        ("?page=9", vec![], 4),
        ("?keyword=two", vec!["b"], 1),
        ("?keyword=%E5%85%AC%E4%BC%97", vec!["a"], 1),
        ("?keyword=%25", vec!["d"], 1),
        ("?keyword=c_c", vec!["c_c"], 1),
        ("?keyword=", vec!["d", "c_c", "b", "a"], 4),
    ] {
        let (found, found_total) = ids(server.get(&format!("/api/realm{query}")).await.ok());
        assert_eq!(
            (found, found_total),
            (expected.into_iter().map(str::to_owned).collect(), total),
            "{query}"
        );
    }
    server
        .post("/api/realm", &json!({"id": "a", "comment": "edited"}))
        .await
        .ok();
    assert_eq!(ids(server.get("/api/realm?pageSize=1").await.ok()).0, ["a"]);
}

#[tokio::test]
async fn an_absent_field_keeps_and_null_clears() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = world.realm();
    realm["comment"] = "first".into();
    server.post("/api/realm", &realm).await.ok();
    let kept = server.post("/api/realm", &json!({"id": "r"})).await.ok();
    assert_eq!(
        (&kept["comment"], &kept["config"]),
        (&json!("first"), &realm["config"])
    );
    let cleared = server
        .post(
            "/api/realm",
            &json!({"id": "r", "comment": null, "config": null}),
        )
        .await
        .ok();
    assert_eq!(
        (&cleared["comment"], &cleared["mode"]),
        (&Value::Null, &json!("fixed"))
    );
}

#[tokio::test]
async fn only_a_changed_definition_moves_the_version() {
    let world = World::new().await;
    let server = world.serve().await;
    let first = server.post("/api/realm", &world.realm()).await.ok();
    let again = server.post("/api/realm", &first).await.ok();
    assert_eq!(again["version"], 1, "what was read can be posted back");
    let commented = server
        .post("/api/realm", &json!({"id": "r", "comment": "c"}))
        .await
        .ok();
    assert_eq!(commented["version"], 1);
    let mut changed = world.realm();
    changed["config"]["token_path"] = "token".into();
    assert_eq!(server.post("/api/realm", &changed).await.ok()["version"], 2);
}

#[tokio::test]
async fn deleting_is_refused_while_secrets_use_the_realm() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    assert_eq!(
        server.delete("/api/realm/r").await.problem(),
        (409, "realm_in_use")
    );
    assert_eq!(server.get("/api/realm/r").await.status, 200);
    assert_eq!(server.delete("/api/realm/r?cascade=true").await.status, 204);
    assert_eq!(server.get("/api/realm/r").await.status, 404);
    assert_eq!(server.get("/api/secret/k?realm=r").await.status, 404);
    assert_eq!(server.token().await.problem(), (400, "unknown_secret"));
    assert_eq!(server.get("/api/realm").await.ok()["data"]["total"], 0);
    // Made again, it continues its versions, so that no old token can match.
    let again = server.post("/api/realm", &world.realm()).await.ok();
    assert_eq!(again["version"], 3);
}

#[tokio::test]
async fn a_realm_warns_of_what_its_secrets_lack() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &world.realm()).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    let mut realm = world.realm();
    realm["config"]["arguments"][1]["value"] = "$key_9".into();
    let saved = server.post("/api/realm", &realm).await.ok();
    let warning = saved["warnings"][0].as_str().unwrap().to_owned();
    assert!(
        warning.contains("$key_9 at /config/arguments/1/value"),
        "{warning}"
    );
    assert!(warning.contains("r/k"), "{warning}");
    let reply = server.token().await;
    assert_eq!(reply.problem(), (503, "config"));
    assert_eq!(
        reply.body["detail"], warning,
        "the same words when fetching fails"
    );
    assert_eq!(world.provider.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_leaves_nothing_behind_whoever_writes_meanwhile() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let write = |number: usize| {
        let mut secret = secret();
        secret["key"] = format!("k{}", number % 20).into();
        secret["key_1"] = number.to_string().into();
        let server = &server;
        async move { server.post("/api/secret", &secret).await.status }
    };
    let writers = futures_util::future::join_all((0..200).map(write));
    let (statuses, deleted) = tokio::join!(writers, server.delete("/api/realm/r?cascade=true"));
    assert_eq!(deleted.status, 204);
    assert!(
        statuses.iter().all(|status| [200, 400].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(
        server.get("/api/secret?realm=r").await.ok()["data"]["total"],
        0
    );
    assert_eq!(server.delete("/api/realm/r?cascade=true").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_that_was_cut_off_can_be_repeated() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    // Killed after the realm's tombstone.
    let row = world.store.find_realm("r").await.unwrap().unwrap();
    let deleted = token_server::store::RealmRow {
        deleted_at: Some(row.updated_at),
        revision: row.revision + 1,
        ..row
    };
    assert!(
        world
            .store
            .update_realm(&deleted, deleted.revision - 1)
            .await
            .unwrap()
    );
    assert_eq!(server.delete("/api/realm/r?cascade=true").await.status, 204);
    assert_eq!(server.get("/api/secret").await.ok()["data"]["total"], 0);
}
