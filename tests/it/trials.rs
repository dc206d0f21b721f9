//! Trying a definition: what is told, and what is not.

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{World, good};

fn config(world: &World) -> Value {
    json!({"inputs": {"app": {"secret": false}, "secret": {}},
        "requests": [{"url": world.provider.url(), "query": {"app": "{{ app }}"}, "form": {"secret": "{{ secret }}"}}],
        "success_when": {"path": "$.code", "equals": 0, "missing_ok": true}, "token": "$.access_token",
        "expires": {"path": "$.expires_in"}, "outputs": {"absent": "$.absent"}})
}

const GIVEN: &str = "invented-secret";

#[tokio::test(flavor = "multi_thread")]
async fn an_unsaved_definition_is_run_once_and_all_is_told_but_secrets() {
    let world = World::new().await;
    let server = world.serve().await;
    world.provider.script(Fault::Json(
        json!({"code": 0, "access_token": "very-secret-token", "expires_in": 7200, "refresh_token": "other"}),
    ));
    let ask = json!({"config": config(&world), "inputs": {"app": "a1", "secret": GIVEN}});
    let report = server.post("/api/realm/test", &ask).await.ok();
    assert_eq!(
        (&report["success"], &report["error"]),
        (&json!(true), &Value::Null),
        "{report}"
    );
    let step = &report["steps"][0];
    assert!(
        step["request"]["url"]
            .as_str()
            .unwrap()
            .ends_with("?app=a1"),
        "{step}"
    );
    assert_eq!(step["request"]["body"], "secret=******************");
    assert_eq!(step["answer"]["body"]["access_token"], "******************");
    assert_eq!(
        (&report["token"]["length"], &report["token"]["expires_in"]),
        (&json!(17), &json!(7_200_000))
    );
    let found = |what: &str| {
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["what"] == what)
            .unwrap()["found"]
            .clone()
    };
    assert_eq!(
        [
            found("success_when"),
            found("token"),
            found("expires"),
            found("outputs.absent")
        ],
        [true, true, true, false]
    );
    let text = report.to_string();
    for hidden in [GIVEN, "very-secret-token", "\"other\""] {
        assert!(!text.contains(hidden), "{text}");
    }
    assert_eq!(world.provider.calls(), 1);
    assert_eq!(server.get("/api/realm").await.ok()["data"]["total"], 0);
    assert_eq!(
        server.get("/api/log").await.ok()["data"]["total"],
        0,
        "nothing is stored of an unsaved one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_a_report_too() {
    let world = World::new().await;
    let server = world.serve().await;
    world.provider.script(Fault::Json(
        json!({"code": 7, "msg": format!("bad {GIVEN}")}),
    ));
    let ask = json!({"config": config(&world), "inputs": {"app": "a1", "secret": GIVEN}});
    let report = server.post("/api/realm/test", &ask).await.ok();
    assert_eq!(
        (
            &report["success"],
            &report["error"]["class"],
            &report["error"]["code"]
        ),
        (&json!(false), &json!("refused"), &json!("7"))
    );
    assert_eq!(report["steps"][0]["answer"]["body"]["code"], 7);
    assert!(!report.to_string().contains(GIVEN), "{report}");
    let missing = server
        .post("/api/realm/test", &json!({"config": config(&world)}))
        .await
        .ok();
    assert_eq!(missing["error"]["class"], "config");
    assert!(
        missing["error"]["message"]
            .as_str()
            .unwrap()
            .contains("needs input app"),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_realm_is_tried_with_a_stored_secret_and_counted() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let report = server
        .post("/api/realm/r/test", &json!({"key": "k"}))
        .await
        .ok();
    assert_eq!(report["success"], true, "{report}");
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .contains("may have died"),
        "{report}"
    );
    assert!(
        !report.to_string().contains("invented-secret") && !report.to_string().contains("t-1"),
        "{report}"
    );
    let log = server.get("/api/log?realm=r").await.ok();
    assert_eq!(
        (
            &log["data"]["total"],
            &log["data"]["list"][0]["cause"],
            &log["data"]["list"][0]["outcome"]
        ),
        (&json!(1), &json!("trial"), &json!("ok"))
    );
    assert_eq!(
        server.get("/api/secret/k/status?realm=r").await.ok()["state"],
        "none",
        "nothing is handed out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_grant_is_not_spent_by_a_trial() {
    let world = World::new().await;
    let server = world.serve().await;
    let realm = json!({"id": "g", "config": {"inputs": {"refresh_token": {"from": "rotating"}}, "token": "$.access_token",
        "requests": [{"url": world.provider.url(), "form": {"r": "{{ refresh_token }}"}}], "save": {"refresh_token": "$.r"}}});
    server.post("/api/realm", &realm).await.ok();
    server
        .post(
            "/api/secret",
            &json!({"realm": "g", "key": "k", "credentials": {"refresh_token": "r-0"}}),
        )
        .await
        .ok();
    let reply = server.post("/api/realm/g/test", &json!({"key": "k"})).await;
    assert_eq!((reply.status, reply.places()), (400, vec!["/inputs"]));
    assert_eq!(world.provider.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_given_is_spent_as_one_that_was_saved() {
    let world = World::new().await;
    let server = world.serve().await;
    let requests = |login: &str| json!([{"url": world.provider.url(), "query": {"login": login}, "form": {"r": "{{ refresh_token }}"}}]);
    let config = json!({"inputs": {"refresh_token": {"from": "rotating"}}, "token": "$.access_token",
        "requests": requests("yes"), "refresh_requests": requests("no"), "save": {"refresh_token": "$.r"}});
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let body = json!({"config": config, "grant": {"refresh_token": "r-7"}});
    let report = server.post("/api/realm/test", &body).await.ok();
    assert_eq!(report["success"], true, "{report}");
    let request = &report["steps"][0]["request"];
    assert!(
        request["url"].as_str().unwrap().ends_with("?login=no"),
        "{report}"
    );
    assert_eq!(request["body"], "r=******************", "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_asks_are_refused_with_their_places() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    for (path, body, places) in [
        (
            "/api/realm/test",
            json!({"config": {"token": "$.t", "requests": [{"url": "ftp://x"}]}}),
            vec!["/config/requests/0/url"],
        ),
        ("/api/realm/test", json!({}), vec!["/config"]),
        (
            "/api/realm/r/test",
            json!({"key": "k", "inputs": {}}),
            vec!["/key"],
        ),
        (
            "/api/realm/r/test",
            json!({"inputs": {"a": {"secret": false}}}),
            vec!["/inputs/a"],
        ),
        ("/api/realm/r/test", json!({"surplus": 1}), vec!["/surplus"]),
        (
            "/api/realm/r/test",
            json!({"forced": "yes"}),
            vec!["/forced"],
        ),
        (
            "/api/realm/test",
            json!({"config": config(&world), "logic_code": 1}),
            vec!["/logic_code"],
        ),
        (
            "/api/realm/r/test",
            json!({"inputs": {}, "grant": {"a": {}}}),
            vec!["/grant/a"],
        ),
        (
            "/api/realm/test",
            json!({"config": config(&world), "key": "k"}),
            vec!["/realm"],
        ),
    ] {
        assert_eq!(
            server.post(path, &body).await.places(),
            places,
            "{path} {body}"
        );
    }
    assert_eq!(
        server
            .post("/api/realm/absent/test", &json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_may_be_called_test() {
    let world = World::new().await;
    let server = world.serve().await;
    server.post("/api/realm", &json!({"id": "test"})).await.ok();
    assert_eq!(server.get("/api/realm/test").await.ok()["id"], "test");
    assert_eq!(server.delete("/api/realm/test").await.status, 204);
}
