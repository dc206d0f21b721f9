//! `policy`: what a re-fetch does to the token held, and what the provider allows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good, secret};

async fn holds(server: &Server, token: &str) -> Value {
    let answer = server.token().await.ok();
    assert_eq!(answer["token"], token, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_repeats_its_token_is_not_asked_before_its_window() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"reissue": "same", "same_until": "100s"}))
        .await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.advance(Duration::from_secs(7100), &[&server]).await;
    holds(&server, "t-1").await;
    assert_eq!(
        world.provider.calls(),
        1,
        "with 100 s left nothing is due: 90 s at most"
    );
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world.advance(Duration::from_mins(1), &[&server]).await;
    holds(&server, "t-1").await;
    world.provider.wait_for_calls(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_window_the_token_is_served_to_its_very_end_and_then_renewed() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"reissue": "same"})).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world
        .advance(Duration::from_millis(7_199_900), &[&server])
        .await;
    assert_eq!(
        holds(&server, "t-1").await["expires_in"],
        100,
        "asking would bring the same"
    );
    assert_eq!(world.provider.calls(), 1);
    world.advance(Duration::from_millis(100), &[&server]).await;
    holds(&server, "t-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_the_same_token_grows_only_where_the_provider_extends_it() {
    for (policy, left) in [
        (json!({"reissue": "same"}), 7000),
        (json!({"reissue": "same", "extends": true}), 7200),
    ] {
        let world = World::new().await;
        let server = world.serve_policy(policy.clone()).await;
        world.provider.script(Fault::Json(good("same", 7200)));
        holds(&server, "same").await;
        world.advance(Duration::from_secs(200), &[&server]).await;
        assert_eq!(
            server.flush().await.ok()["expires_in"],
            left * 1000,
            "{policy}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_fetch_before_the_minimum_interval() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"min_interval": "20m"})).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    world.advance(Duration::from_mins(19), &[&server]).await;
    for answer in [
        server.flush().await.ok(),
        server
            .get("/api/token?realm=r&key=k&min_ttl=7000000")
            .await
            .ok(),
    ] {
        let floored = (&answer["token"], &answer["renewed"], &answer["retry_after"]);
        assert_eq!(
            floored,
            (&json!("t-1"), &json!(false), &json!(60)),
            "{answer}"
        );
    }
    assert_eq!(world.provider.calls(), 1);
    world.advance(Duration::from_mins(1), &[&server]).await;
    let flushed = server.flush().await.ok();
    assert_eq!(
        (&flushed["token"], flushed.get("renewed")),
        (&json!("t-2"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replaced_token_is_told_until_when_it_works() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"reissue": "replaces", "overlap": "5m"}))
        .await;
    let other = world.serve().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert!(
        holds(&server, "t-1")
            .await
            .get("previous_valid_until")
            .is_none()
    );
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let until = json!(world.now_ms() + 300_000);
    assert_eq!(server.flush().await.ok()["previous_valid_until"], until);
    assert_eq!(holds(&server, "t-2").await["previous_valid_until"], until);
    assert_eq!(
        holds(&other, "t-2").await["previous_valid_until"],
        until,
        "the store keeps it"
    );
    world.advance(Duration::from_mins(5), &[&server]).await;
    assert!(
        holds(&server, "t-2")
            .await
            .get("previous_valid_until")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_old_token_dies_at_once_callers_wait_for_the_new_one() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"overlap": 0})).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.advance(Duration::from_secs(7100), &[&server]).await;
    holds(&server, "t-1").await;
    assert_eq!(
        world.provider.calls(),
        1,
        "begins at most 30 s before expiry"
    );
    world.advance(Duration::from_secs(85), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    holds(&server, "t-2").await;
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_hangs_costs_callers_two_seconds_and_then_the_old_token_is_given() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"overlap": 0})).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.advance(Duration::from_secs(7185), &[&server]).await;
    world.provider.script(Fault::Hang);
    holds(&server, "t-1").await;
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_fetch_overrides_arguments_and_a_plain_one_does_not() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"force": {"secret": "x", "force_refresh": true}}))
        .await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    holds(&server, "t-1").await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server.flush().await.ok();
    let sent: Vec<_> = world
        .provider
        .requests()
        .into_iter()
        .map(|request| request.path_and_query)
        .collect();
    assert_eq!(
        sent,
        [
            "/token?appid=invented-appid&secret=invented-secret",
            "/token?appid=invented-appid&secret=x&force_refresh=true",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_remembered_and_shared_by_all_instances() {
    let world = World::new().await;
    let (server, other) = (
        world.serve_policy(json!({"cool_down": "30s"})).await,
        world.serve().await,
    );
    world.provider.script(Fault::Status(503, "{}".to_owned()));
    assert_eq!(server.token().await.problem(), (503, "upstream_busy"));
    for instance in [&server, &other, &server] {
        let reply = instance.token().await;
        assert_eq!(reply.problem(), (503, "upstream_busy"));
        let retry_after = reply.body["retry_after"].as_u64().unwrap();
        assert!((23..=30).contains(&retry_after), "{retry_after}");
    }
    assert_eq!(
        world.provider.calls(),
        1,
        "nobody asks before the pause is over"
    );
    world
        .advance(Duration::from_secs(30), &[&server, &other])
        .await;
    assert_eq!(other.token().await.problem(), (503, "upstream_busy"));
    assert_eq!(world.provider.calls(), 2);
    let retry_after = server.token().await.body["retry_after"].as_u64().unwrap();
    assert!(
        (45..=60).contains(&retry_after),
        "it doubles: {retry_after}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_or_a_manual_retry_ends_the_pause() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"cool_down": "1h"})).await;
    world.provider.script(Fault::Json(
        json!({"errcode": 40164, "errmsg": "invalid ip"}),
    ));
    assert_eq!(server.token().await.problem(), (502, "config"));
    assert_eq!(
        server
            .post("/api/secret/k/retry?realm=r", &json!({}))
            .await
            .problem(),
        (502, "config")
    );
    assert_eq!(world.provider.calls(), 2);
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(
        server.token().await.problem(),
        (502, "config"),
        "still paused"
    );
    assert_eq!(
        server
            .post("/api/secret/k/retry?realm=r", &json!({}))
            .await
            .ok()["token"],
        "t-1"
    );
    world.provider.script(Fault::Status(500, "{}".to_owned()));
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "other"}),
        )
        .await
        .ok();
    assert_eq!(server.token().await.problem(), (503, "upstream_busy"));
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server.post("/api/secret", &secret()).await.ok();
    holds(&server, "t-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_credential_is_tried_again_as_config_retry_says() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"config_retry": "1m"})).await;
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_2": null}),
        )
        .await
        .ok();
    let reply = server.token().await;
    assert_eq!(
        (reply.problem(), &reply.body["retry_after"]),
        ((503, "config"), &json!(60))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_a_renewal_stands() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let status = || async { server.get("/api/secret/k/status?realm=r").await.ok() };
    assert_eq!(status().await["state"], "none");
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    let valid = status().await;
    assert_eq!(
        (
            &valid["state"],
            &valid["token_version"],
            &valid["last_success_at"],
            &valid["last_failure"]
        ),
        (
            &json!("valid"),
            &json!(1),
            &json!(world.now_ms()),
            &Value::Null
        )
    );
    assert!(!valid.to_string().contains("t-1"), "{valid}");
    world.provider.script(Fault::Json(
        json!({"errcode": 45009, "errmsg": "reach max api daily quota limit"}),
    ));
    world.advance(Duration::from_secs(10), &[&server]).await;
    server.flush().await.ok();
    let stale = status().await;
    assert_eq!(
        (&stale["state"], &stale["failed_attempts"]),
        (&json!("stale"), &json!(1))
    );
    assert_eq!(
        (
            &stale["last_failure"]["provider_code"],
            &stale["last_failure"]["at"]
        ),
        (&json!("45009"), &json!(world.now_ms()))
    );
    world.advance(Duration::from_hours(2), &[&server]).await;
    assert_eq!(status().await["state"], "expired");
    assert_eq!(
        server.get("/api/secret/none/status?realm=r").await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_failure_keeps_its_words_when_another_renewal_succeeds() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let status = || async { server.get("/api/secret/k/status?realm=r").await.ok() };
    world.provider.script(Fault::Status(500, String::new()));
    assert_eq!(server.token().await.problem().1, "upstream_busy");
    let failed_at = world.now_ms();
    let failed = status().await["last_failure"].clone();
    assert_eq!(
        (&failed["code"], &failed["at"]),
        (&json!("upstream_busy"), &json!(failed_at))
    );
    assert!(
        failed["detail"].as_str().unwrap().contains("500"),
        "{failed}"
    );
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    let over = status().await;
    let mut expected = failed;
    expected["succeeded_since"] = true.into();
    assert_eq!(
        over["last_failure"], expected,
        "the same words, and that it is over"
    );
    assert_eq!(
        (&over["failed_attempts"], &over["next_attempt_at"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(over["state"], "valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_fails_is_no_failure_of_the_secret() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world
        .provider
        .script(Fault::Json(json!({"errcode": 40125, "errmsg": "no"})));
    let report = server
        .post("/api/realm/r/test", &json!({"key": "k"}))
        .await
        .ok();
    assert_eq!(report["error"]["code"], "40125", "{report}");
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    assert_eq!(
        (&status["last_failure"], &status["state"]),
        (&Value::Null, &json!("valid"))
    );
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn a_wrong_policy_is_told_field_by_field() {
    let world = World::new().await;
    let server = world.serve().await;
    for (policy, places) in [
        (
            json!({"reissue": "sometimes"}),
            vec!["/config/policy/reissue"],
        ),
        (
            json!({"reissue": "same", "overlap": 5}),
            vec!["/config/policy/overlap"],
        ),
        (
            json!({"same_until": 5, "extends": true}),
            vec!["/config/policy/same_until", "/config/policy/extends"],
        ),
        (
            json!({"reissue": "same", "overlap": "1y", "same_until": 300, "extends": true}),
            vec!["/config/policy/overlap", "/config/policy/overlap"],
        ),
        (
            json!({"reissue": "x", "foo": 1, "same_until": "z", "extends": 1}),
            vec![
                "/config/policy/reissue",
                "/config/policy/same_until",
                "/config/policy/extends",
                "/config/policy/foo",
            ],
        ),
        (
            json!({"reissue": 5, "same_until": 300, "overlap": 5}),
            vec!["/config/policy/reissue"],
        ),
        (
            json!({"min_interval": -1}),
            vec!["/config/policy/min_interval"],
        ),
        (
            json!({"timeout": "soon", "cool_down": true}),
            vec!["/config/policy/timeout", "/config/policy/cool_down"],
        ),
        (
            json!({"cool_down": 0, "config_retry": "999ms", "reauthorise_retry": 0}),
            vec![
                "/config/policy/cool_down",
                "/config/policy/config_retry",
                "/config/policy/reauthorise_retry",
            ],
        ),
        (json!({"force": {"a": [1]}}), vec!["/config/policy/force/a"]),
        (
            json!({"max_concurrency": 0}),
            vec!["/config/policy/max_concurrency"],
        ),
        (
            json!({"quota": [{"limit": 0, "per": "1d"}]}),
            vec!["/config/policy/quota/0/limit"],
        ),
        (
            json!({"quota": [{"limit": 5, "per": "60d", "scope": "all"}]}),
            vec!["/config/policy/quota/0/per", "/config/policy/quota/0/scope"],
        ),
        (
            json!({"quota": [{"limit": 5, "per": "1d", "reserve": 5}]}),
            vec!["/config/policy/quota/0/reserve"],
        ),
        (
            json!({"refresh_ahed": 5}),
            vec!["/config/policy/refresh_ahed"],
        ),
    ] {
        let mut realm = world.realm();
        realm["config"]["policy"] = policy.clone();
        let reply = server.post("/api/realm", &realm).await;
        assert_eq!(
            (reply.problem(), reply.places()),
            ((400, "invalid_request"), places),
            "{policy}"
        );
    }
}
