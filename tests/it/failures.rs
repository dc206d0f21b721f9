//! A provider that is down, a token that dies early, a cause that is mended.

use std::time::Duration;

use serde_json::{Value, json};
use token_server::clock::{Clock as _, SystemClock};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good, secret};

async fn add_secrets(server: &Server, count: usize) -> Vec<String> {
    let keys: Vec<_> = (0..count).map(|number| format!("app-{number}")).collect();
    for key in &keys {
        let mut secret = secret();
        secret["key"] = key.as_str().into();
        server.post("/api/secret", &secret).await.ok();
    }
    keys
}

async fn ask(server: &Server, key: &str) -> (u16, String, u64) {
    let reply = server.get(&format!("/api/token?realm=r&key={key}")).await;
    let code = reply.body["code"].as_str().unwrap_or_default().to_owned();
    (
        reply.status,
        code,
        reply.body["retry_after"].as_u64().unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_found_out_once_for_all_secrets() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let keys = add_secrets(&server, 20).await;
    world.provider.script(Fault::CloseEarly);
    for key in &keys {
        assert_eq!(ask(&server, key).await.1, "upstream_unreachable");
    }
    assert_eq!(
        world.provider.calls(),
        5,
        "the circuit is open after five in a row"
    );
    assert_eq!(
        ask(&server, "app-19").await,
        (503, "upstream_unreachable".to_owned(), 5)
    );
    let status = server.get("/api/secret/app-19/status?realm=r").await.ok();
    assert_eq!(status["held_back_until"], world.now_ms() + 5000);
    assert_eq!(status["failed_attempts"], 0, "it was not tried");

    world.advance(Duration::from_secs(5), &[&server]).await;
    let asks = keys[5..].iter().map(|key| ask(&server, key));
    futures_util::future::join_all(asks).await;
    assert_eq!(world.provider.calls(), 6, "half-open: one call");

    world.advance(Duration::from_secs(10), &[&server]).await;
    world.provider.script(Fault::Json(good("t", 7200)));
    assert_eq!(ask(&server, "app-19").await.0, 200);
    for key in &keys[5..] {
        let (status, code, _) = ask(&server, key).await;
        assert!(
            status == 200 || code == "upstream_unreachable",
            "its own pause: {status} {code}"
        );
    }
    assert!(world.provider.calls() > 15, "closed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_is_down_held_tokens_are_served_and_a_hand_may_try() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let keys = add_secrets(&server, 5).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::CloseEarly);
    for key in &keys {
        ask(&server, key).await;
    }
    assert_eq!(world.provider.calls(), 6);
    let held = server.flush().await.ok();
    assert_eq!(
        (&held["token"], &held["renewed"], &held["retry_after"]),
        (&json!("t-1"), &json!(false), &json!(5))
    );
    assert!(
        held["warning"]
            .as_str()
            .unwrap()
            .contains("the provider is down"),
        "{held}"
    );
    assert_eq!(world.provider.calls(), 6);
    world.provider.script(Fault::Json(good("t-2", 7200)));
    assert_eq!(
        server
            .post("/api/secret/k/retry?realm=r", &json!({}))
            .await
            .ok()["token"],
        "t-2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_died_early_and_was_not_replaced_here_tells_of_another_system() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let report = |token: &str| json!({"realm": "r", "key": "k", "token": token, "code": 40001});
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server.flush().await.ok();
    server.post("/api/token/report", &report("t-1")).await.ok();
    let status = || async { server.get("/api/secret/k/status?realm=r").await.ok() };
    assert_eq!(
        status().await["foreign_refreshes"]["count"],
        0,
        "we replaced that one ourselves"
    );
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(good("t-3", 7200)));
    server.post("/api/token/report", &report("t-2")).await.ok();
    let foreign = &status().await["foreign_refreshes"];
    assert_eq!(
        (&foreign["count"], &foreign["last_at"]),
        (&json!(1), &json!(world.now_ms()))
    );
    assert!(
        foreign["hint"].as_str().unwrap().contains("another system"),
        "{foreign}"
    );
    world.advance(Duration::from_mins(1), &[&server]).await;
    server.flush().await.ok();
    assert_eq!(
        status().await["foreign_refreshes"]["count"],
        1,
        "a flush is no sign"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_token_that_the_provider_repeats_is_no_sign_of_another_system() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"reissue": "same"})).await;
    world.provider.script(Fault::Json(good("same", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    server
        .post(
            "/api/token/report",
            &json!({"realm": "r", "key": "k", "token": "same"}),
        )
        .await
        .ok();
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    assert_eq!(
        status["foreign_refreshes"],
        json!({"count": 0, "last_at": null, "hint": null})
    );
    let log = server.get("/api/log?realm=r").await.ok();
    let outcomes: Vec<_> = log["data"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["outcome"])
        .collect();
    assert_eq!(outcomes, ["repeated", "ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_back_is_asked_for_three_times_a_life_at_most() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"reissue": "same", "same_until": "1000s"}))
        .await;
    world.provider.script(Fault::Json(good("same", 7200)));
    server.token().await.ok();
    let due = || async {
        let status = server.get("/api/secret/k/status?realm=r").await.ok();
        status["renewal_due_at"].as_i64().unwrap() - world.now_ms()
    };
    let sweep = || async { server.post("/api/cron/refresh", &json!({})).await.ok() };
    for calls in 2..=4 {
        let wait = u64::try_from(due().await).unwrap();
        world.advance(Duration::from_millis(wait), &[&server]).await;
        sweep().await;
        assert_eq!(world.provider.calls(), calls);
    }
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    assert_eq!(
        status["renewal_due_at"], status["expires_at"],
        "it is left alone to its end"
    );
    world.provider.script(Fault::Json(good("other", 7200)));
    let wait = u64::try_from(due().await).unwrap();
    world.advance(Duration::from_millis(wait), &[&server]).await;
    assert_eq!(server.token().await.ok()["token"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_policy_ends_the_pause() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"quota": [{"limit": 1, "per": "1d"}]}))
        .await;
    world.provider.script(Fault::Json(good("t-1", 100)));
    server.token().await.ok();
    world.advance(Duration::from_secs(200), &[&server]).await;
    assert_eq!(server.token().await.problem(), (429, "upstream_quota"));
    world.provider.script(Fault::Json(good("t-2", 100)));
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"quota": [{"limit": 2, "per": "1d"}]});
    server.post("/api/realm", &realm).await.ok();
    assert_eq!(server.token().await.ok()["token"], "t-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_quota_ends_at_midnight_of_its_zone_and_the_status_tells_its_use() {
    let world = World::new().await;
    // It is 18:30 in Shanghai.
    let quota = json!({"limit": 2, "per": "1d", "window": "calendar", "zone": "Asia/Shanghai", "reserve": 1});
    let server = world.serve_policy(json!({"quota": [quota]})).await;
    world.provider.script(Fault::Json(good("t-1", 3600)));
    server.token().await.ok();
    let midnight = world.now_ms() + (5 * 60 + 30) * 60_000;
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    let expected = json!([{"limit": 2, "per_seconds": 86400, "window": "calendar", "scope": "secret",
        "reserve": 1, "used": 1, "frees_at": midnight}]);
    assert_eq!(status["quotas"], expected);
    world.advance(Duration::from_mins(1), &[&server]).await;
    assert_eq!(server.flush().await.ok()["retry_after"], (5 * 60 + 29) * 60);
    world
        .advance(Duration::from_mins(5 * 60 + 29), &[&server])
        .await;
    world.provider.script(Fault::Json(good("t-2", 3600)));
    assert_eq!(server.token().await.ok()["token"], "t-2");
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    assert_eq!(status["quotas"][0]["used"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_may_allow_a_slow_provider_more_than_the_server_does() {
    let world = World::new().await;
    let server = world
        .serve_with(&[("upstream.timeout_seconds", "0.2")])
        .await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"timeout": "20s"});
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world
        .provider
        .script(Fault::HoldThenJson(good("slow", 7200)));
    let ((), reply) = tokio::join!(
        async {
            world.provider.wait_for_calls(1).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            world.provider.release();
        },
        server.token()
    );
    assert_eq!(reply.ok()["token"], "slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finds_what_the_stamps_missed() {
    let world = World::new().await;
    let (server, other) = (world.serve_realm().await, world.serve().await);
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(server.token().await.ok()["token"], "t-1");
    let before = world.now_ms();
    // An instance whose clock is an hour behind edits: its stamp is older than any look goes back.
    let mut row = world
        .store
        .find_secret(&token_server::secret::SecretId::new("r", "k"))
        .await
        .unwrap()
        .unwrap();
    row.content.credentials.set("key_2", "edited");
    (row.version, row.revision) = (row.version + 1, row.revision + 1);
    row.changed_at = token_server::clock::Timestamp::from_epoch_ms(before - 3_600_000);
    assert!(
        world
            .store
            .update_secret(&row, row.revision - 1)
            .await
            .unwrap()
    );
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server.look().await;
    assert_eq!(server.token().await.ok()["token"], "t-1", "no look sees it");
    server.services.sync.sweep().await.unwrap();
    assert_eq!(server.token().await.ok()["token"], "t-2");
    server.services.sync.sweep().await.unwrap();
    other.services.sync.sweep().await.unwrap();
    assert_eq!(
        server.token().await.ok()["source"],
        "memory",
        "what is current stays"
    );
    let gone: Value = server.delete("/api/secret/k?realm=r").await.body;
    assert_eq!(gone, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_while_its_renewal_hangs_is_not_given() {
    let world = World::on_real_time().await;
    let server = world.serve_with(&[("upstream.timeout_seconds", "4")]).await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"overlap": 0, "refresh_ahead": "2s"});
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(good("t-1", 3)));
    let expires_at = server.token().await.ok()["expires_at"].as_i64().unwrap();
    world.provider.script(Fault::Hang);
    loop {
        let reply = server.token().await;
        let answered_at = SystemClock::default().now().epoch_ms();
        if reply.status != 200 {
            assert_eq!(reply.problem(), (504, "upstream_timeout"));
            break;
        }
        assert!(
            answered_at < expires_at + 300,
            "{} ms late: {reply:?}",
            answered_at - expires_at
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_newer_token_than_this_instance_knows_is_looked_up() {
    let world = World::new().await;
    let (server, other) = (world.serve_realm().await, world.serve().await);
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    other.token().await.ok();
    world.provider.script(Fault::Json(good("t-2", 7200)));
    server.flush().await.ok();
    let report = |named: Value| {
        let mut body = json!({"realm": "r", "key": "k"});
        body.as_object_mut()
            .unwrap()
            .extend(named.as_object().unwrap().clone());
        body
    };
    for named in [json!({"version": 2}), json!({"token": "t-2"})] {
        let answer = other.post("/api/token/report", &report(named)).await.ok();
        assert_eq!(
            (&answer["token"], &answer["renewed"]),
            (&json!("t-2"), &json!(false)),
            "a moment old"
        );
    }
    world
        .advance(Duration::from_mins(1), &[&server, &other])
        .await;
    world.provider.script(Fault::Json(good("t-3", 7200)));
    let answer = other
        .post("/api/token/report", &report(json!({"version": 2})))
        .await
        .ok();
    assert_eq!(
        (&answer["token"], &answer["previous_valid_until"]),
        (&json!("t-3"), &Value::Null)
    );
    let answer = server
        .post("/api/token/report", &report(json!({"version": 99})))
        .await
        .ok();
    assert_eq!(
        (&answer["token"], &answer["renewed"]),
        (&json!("t-3"), &json!(false)),
        "never given out"
    );
    assert_eq!(world.provider.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_an_edit_do_not_lengthen_the_pause_after_it() {
    let world = World::new().await;
    let server = world.serve_policy(json!({"cool_down": "10s"})).await;
    world.provider.script(Fault::Status(500, "{}".to_owned()));
    for _ in 0..3 {
        server.post("/api/secret/k/retry?realm=r", &json!({})).await;
    }
    let attempts =
        async || server.get("/api/secret/k/status?realm=r").await.ok()["failed_attempts"].clone();
    assert_eq!(attempts().await, 3);
    server
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "other"}),
        )
        .await
        .ok();
    assert_eq!(attempts().await, 0);
    server.token().await;
    server.post("/api/secret/k/retry?realm=r", &json!({})).await;
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    let pause_ms = status["next_attempt_at"].as_i64().unwrap() - world.now_ms();
    assert!(
        (15_000..=20_000).contains(&pause_ms),
        "the second in a row: {pause_ms}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_realm_does_not_keep_others_from_being_renewed() {
    let world = World::on_real_time().await;
    let server = world.serve().await;
    let slow = crate::faulty_provider::FaultyProvider::start().await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"refresh_ahead": "90%", "max_concurrency": 1});
    realm["config"]["url"] = slow.url().into();
    server.post("/api/realm", &realm).await.ok();
    let mut fast = world.realm();
    fast["id"] = "fast".into();
    fast["config"]["policy"] = json!({"refresh_ahead": "50%"});
    server.post("/api/realm", &fast).await.ok();
    slow.script(Fault::Json(good("slow", 3)));
    for key in add_secrets(&server, 300).await {
        assert_eq!(ask(&server, &key).await.0, 200);
    }
    slow.script(Fault::Hang);
    world.provider.script(Fault::Json(good("fast-1", 4)));
    let mut fast_secret = secret();
    fast_secret["realm"] = "fast".into();
    server.post("/api/secret", &fast_secret).await.ok();
    server.get("/api/token?realm=fast&key=k").await.ok();
    server.services.upkeep.refresh_ahead();
    world.provider.script(Fault::Json(good("fast-2", 7200)));
    world.provider.wait_for_calls(2).await;
    let status = server.get("/api/secret/k/status?realm=fast").await.ok();
    assert_eq!(status["state"], "valid", "renewed ahead: {status}");
    server.services.tasks.stop_soft();
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_public_are_called_only_where_they_are_allowed() {
    let world = World::new().await;
    let server = world
        .serve_with(&[("upstream.allow_networks", "10.1.0.0/16")])
        .await;
    let port_of = |url: String| url.rsplit(':').next().unwrap().to_owned();
    let rest = port_of(world.provider.url());
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
    ] {
        let mut realm = world.realm();
        realm["confirm_hosts"] = json!(["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"]);
        realm["config"]["url"] = format!("http://{host}:{rest}").into();
        server.post("/api/realm", &realm).await.ok();
        server.post("/api/secret", &secret()).await.ok();
        let reply = server.post("/api/secret/k/retry?realm=r", &json!({})).await;
        assert_eq!(reply.problem(), (503, "config"), "{host}: {reply:?}");
        assert!(
            reply.body["detail"]
                .as_str()
                .unwrap()
                .contains("upstream.allow_networks"),
            "{host}: {reply:?}"
        );
    }
    assert_eq!(world.provider.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_does_not_go_over_http_to_a_public_address() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = world.realm();
    realm["config"]["url"] = "http://1.1.1.1:9/".into();
    let saved = server.post("/api/realm", &realm).await.ok();
    let warnings = saved["warnings"].to_string();
    assert!(warnings.contains("over http://"), "{saved}");
    server.post("/api/secret", &secret()).await.ok();
    let reply = server.token().await;
    assert_eq!(reply.problem(), (503, "config"));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains("insecure_http"), "{reply:?}");
    let mut insecure = realm.clone();
    insecure["config"]["insecure_http"] = true.into();
    let saved = server.post("/api/realm", &insecure).await.ok();
    assert!(
        !saved["warnings"].to_string().contains("over http://"),
        "{saved}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_listeners_are_never_called() {
    let world = World::new().await;
    let server = world.serve().await;
    let own = server.url.rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let mut realm = world.realm();
        realm["config"]["url"] = format!("http://{host}:{own}/api/realm").into();
        realm["confirm_hosts"] = json!([host, "[::ffff:7f00:1]"]);
        server.post("/api/realm", &realm).await.ok();
        server.post("/api/secret", &secret()).await.ok();
        let reply = server.post("/api/secret/k/retry?realm=r", &json!({})).await;
        assert_eq!(reply.problem(), (503, "config"), "{host}: {reply:?}");
        let detail = reply.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("token-server itself") || host == "0.0.0.0",
            "{host}: {reply:?}"
        );
    }
    let mut another = world.realm();
    another["confirm_hosts"] = json!(["127.0.0.1"]);
    server.post("/api/realm", &another).await.ok();
    world
        .provider
        .script(Fault::Json(good("another-port", 7200)));
    assert_eq!(server.token().await.ok()["token"], "another-port");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_out_of_an_answer_is_judged_too() {
    let world = World::new().await;
    let server = world.serve().await;
    let realm = json!({"id": "r", "config": {"token": "$.t", "requests": [
        {"url": world.provider.url()}, {"url": "{{ steps[0].body.next }}"}], "hosts": ["169.254.169.254:80"]}});
    server.post("/api/realm", &realm).await.ok();
    server
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await
        .ok();
    world.provider.script(Fault::Json(
        json!({"next": "http://169.254.169.254/latest/meta-data"}),
    ));
    let reply = server.token().await;
    assert_eq!(reply.problem(), (503, "config"));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("metadata service") && !detail.contains("169.254"),
        "what the answer says is not repeated: {reply:?}"
    );
}
