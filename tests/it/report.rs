//! Reports of refused tokens, and asks for long-lived ones.

use std::time::Duration;

use serde_json::{Value, json};
use token_server::secret::SecretRef;
use token_server::service::{Refused, Requester};
use token_server::token::TokenText;

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};
use crate::log_lines;

async fn report(server: &Server, named: Value) -> crate::harness::Reply {
    let mut body = json!({"realm": "r", "key": "k", "code": 40001});
    body.as_object_mut()
        .unwrap()
        .extend(named.as_object().unwrap().clone());
    server.post("/api/token/report", &body).await
}

/// A token fetched a minute ago.
async fn server_holding(world: &World, token: &str) -> Server {
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good(token, 7200)));
    server.token().await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_current_token_is_renewed_however_it_is_named() {
    let fingerprint = TokenText::from("t-1").fingerprint();
    assert_eq!(fingerprint.len(), 64);
    for named in [
        json!({"token": "t-1"}),
        json!({"version": 1}),
        json!({"fingerprint": fingerprint.to_uppercase()}),
    ] {
        let world = World::new().await;
        let server = server_holding(&world, "t-1").await;
        world.provider.script(Fault::Json(good("t-2", 7200)));
        let answer = report(&server, named.clone()).await.ok();
        assert_eq!(
            (&answer["token"], &answer["version"]),
            (&json!("t-2"), &json!(2)),
            "{named}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_of_a_replaced_token_is_answered_the_newer_one() {
    let world = World::new().await;
    let server = server_holding(&world, "t-1").await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    report(&server, json!({"token": "t-1"})).await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    for named in [
        json!({"token": "t-1"}),
        json!({"version": 1}),
        json!({"token": "never seen"}),
    ] {
        assert_eq!(report(&server, named).await.ok()["token"], "t-2");
    }
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_reports_costs_one_fetch() {
    let world = World::new().await;
    let server = server_holding(&world, "t-1").await;
    let other = world.serve().await;
    other.token().await.ok();
    world
        .provider
        .script(Fault::HoldThenJson(good("t-2", 7200)));
    let id = SecretRef {
        realm: "r",
        key: "k",
    };
    let refused = Refused::Version(1);
    let storm = futures_util::future::join_all((0..10_000).map(|count| {
        let instance = if count % 2 == 0 { &server } else { &other };
        instance
            .services
            .tokens
            .report(id, &refused, Requester::new("test"))
    }));
    let (answers, ()) = tokio::join!(storm, async {
        world.provider.wait_for_calls(2).await;
        world.provider.release();
    });
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().version == 2)
    );
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_reports_is_one_line_in_the_log() {
    log_lines::keep();
    let world = World::new().await;
    let server = world.serve_realm().await;
    let secret = json!({"realm": "r", "key": "stormy", "key_1": "invented-appid", "key_2": "invented-secret"});
    server.post("/api/secret", &secret).await.ok();
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.get("/api/token?realm=r&key=stormy").await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let body = |version: i64| json!({"realm": "r", "key": "stormy", "version": version});
    for version in [1, 1, 1, 1, 2, 2] {
        server.post("/api/token/report", &body(version)).await.ok();
    }
    let lines = log_lines::of("r", "stormy", "reported as refused");
    let levels: Vec<_> = lines
        .iter()
        .map(|line| line["level"].as_str().unwrap())
        .collect();
    assert_eq!(
        levels,
        ["INFO", "DEBUG", "DEBUG", "DEBUG", "INFO", "DEBUG"],
        "one for each version"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_fetched_a_moment_ago_is_not_renewed_on_a_report() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_secs(10), &[&server]).await;
    let answer = report(&server, json!({"version": 1})).await.ok();
    assert_eq!(
        (&answer["token"], &answer["renewed"], &answer["retry_after"]),
        (&json!("t-1"), &json!(false), &json!(20))
    );
    assert_eq!(world.provider.calls(), 1);
}

#[tokio::test]
async fn a_report_must_name_one_token() {
    let world = World::new().await;
    let server = server_holding(&world, "t-1").await;
    for named in [
        json!({}),
        json!({"token": "a", "version": 1}),
        json!({"version": null}),
    ] {
        let reply = report(&server, named.clone()).await;
        assert_eq!(
            (reply.problem(), reply.places()),
            ((400, "invalid_request"), vec!["/token"]),
            "{named}"
        );
    }
    let hex = "0123456789abcdefABCDEF".repeat(3);
    for (named, places) in [
        (json!({"version": "one"}), vec!["/version"]),
        (json!({"token": ""}), vec!["/token"]),
        (json!({"token": 5}), vec!["/token"]),
        (json!({"fingerprint": ""}), vec!["/fingerprint"]),
        (json!({"fingerprint": "ab"}), vec!["/fingerprint"]),
        (json!({"fingerprint": &hex[..63]}), vec!["/fingerprint"]),
        (json!({"fingerprint": &hex[..65]}), vec!["/fingerprint"]),
        (
            json!({"fingerprint": format!("{}g", &hex[..63])}),
            vec!["/fingerprint"],
        ),
        (
            json!({"version": "one", "fingerprint": "ab"}),
            vec!["/token", "/version", "/fingerprint"],
        ),
    ] {
        let reply = report(&server, named.clone()).await;
        assert_eq!(
            (reply.problem(), reply.places()),
            ((400, "invalid_request"), places),
            "{named}"
        );
    }
    assert_eq!(
        report(&server, json!({"fingerprint": &hex[..64]}))
            .await
            .ok()["token"],
        "t-1"
    );
    let unknown = server
        .post(
            "/api/token/report",
            &json!({"realm": "r", "key": "none", "version": 1}),
        )
        .await;
    assert_eq!(unknown.problem(), (400, "unknown_secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lives_long_enough_is_given_from_memory() {
    let world = World::new().await;
    let server = server_holding(&world, "t-1").await;
    let ask = |ms: i64| server.get_owned(format!("/api/token?realm=r&key=k&min_ttl={ms}"));
    assert_eq!(ask(7_000_000).await.ok()["source"], "memory");
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let longer = ask(7_190_000).await.ok();
    assert_eq!(
        (&longer["token"], longer.get("renewed")),
        (&json!("t-2"), None)
    );
    let too_long = ask(8_000_000).await.ok();
    assert_eq!(
        (&too_long["token"], &too_long["renewed"]),
        (&json!("t-2"), &json!(false)),
        "none lives so long"
    );
    assert_eq!(world.provider.calls(), 2);
    assert_eq!(
        server
            .get("/api/token?realm=r&key=k&min_ttl=-1")
            .await
            .places(),
        ["min_ttl"]
    );
    for (min_ttl, status) in [
        (json!(60_000), 200),
        (json!("60000"), 200),
        (json!("soon"), 400),
        (json!("-1"), 400),
        (json!(true), 400),
    ] {
        let body = json!({"realm": "r", "key": "k", "min_ttl": min_ttl}).to_string();
        let reply = server.get_with_body("/api/token", &body).await;
        assert_eq!(reply.status, status, "{body}");
        if status == 400 {
            assert_eq!(reply.places(), ["/min_ttl"], "{body}");
        }
    }
}
