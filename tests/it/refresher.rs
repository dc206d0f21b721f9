//! Renewal ahead of expiry: in the background, by a cron call, on several instances.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good, secret};

async fn sweep(server: &Server) -> Value {
    server.post("/api/cron/refresh", &json!({})).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_call_renews_what_is_due_and_nothing_else() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    assert_eq!(
        sweep(&server).await,
        json!({"due": 0, "renewed": 0, "unchanged": 0, "failed": 0, "left": 0})
    );
    world.advance(Duration::from_secs(7100), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    // Another instance, which never held the token.
    let other = world.serve().await;
    assert_eq!(
        sweep(&other).await,
        json!({"due": 1, "renewed": 1, "unchanged": 0, "failed": 0, "left": 0})
    );
    server.look().await;
    assert_eq!(server.token().await.ok()["token"], "t-2");
    assert_eq!(sweep(&server).await["due"], 0);
    assert_eq!(world.provider.calls(), 2);
    let reply = server
        .post("/api/cron/refresh?budget_ms=5", &json!({}))
        .await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["budget_ms"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_ends_when_its_time_is_up_and_the_fetch_goes_on() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_secs(7100), &[&server]).await;
    world
        .provider
        .script(Fault::HoldThenJson(good("t-2", 7200)));
    let swept = server
        .post("/api/cron/refresh?budget_ms=300", &json!({}))
        .await
        .ok();
    assert_eq!((&swept["due"], &swept["left"]), (&json!(1), &json!(1)));
    world.provider.release();
    while server.token().await.ok()["token"] != "t-2" {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refresh_is_tried_again_after_its_pause() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.advance(Duration::from_secs(7100), &[&server]).await;
    world.provider.script(Fault::Status(503, "{}".to_owned()));
    assert_eq!(
        sweep(&server).await["unchanged"],
        1,
        "the held token is good yet"
    );
    assert_eq!(sweep(&server).await["unchanged"], 1);
    assert_eq!(world.provider.calls(), 2, "put off");
    world.advance(Duration::from_secs(2), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    assert_eq!(sweep(&server).await["renewed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_is_not_renewed() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 30 * 3600)));
    server.token().await.ok();
    world.advance(Duration::from_hours(20), &[&server]).await;
    server.token().await.ok();
    server.services.refresher.tell_asks().await;
    world
        .advance(Duration::from_secs(10 * 3600 - 30), &[&server])
        .await;
    world.provider.script(Fault::Json(good("t-2", 30 * 3600)));
    assert_eq!(
        sweep(&server).await["renewed"],
        1,
        "asked for 10 hours ago, out of memory"
    );
    world
        .advance(Duration::from_secs(30 * 3600 - 30), &[&server])
        .await;
    assert_eq!(sweep(&server).await["due"], 0, "asked for 40 hours ago");
    assert_eq!(world.provider.calls(), 2);
}

/// With real time: tokens of 3 s are renewed in the background by two instances, once each time.
#[tokio::test(flavor = "multi_thread")]
async fn the_background_renews_in_time_and_once() {
    let world = World::on_real_time().await;
    let settings = [("renewal.sweep_interval_seconds", "0.5")];
    let (server, other) = (
        world.serve_with(&settings).await,
        world.serve_with(&settings).await,
    );
    for instance in [&server, &other] {
        instance.services.upkeep.follow(Duration::from_millis(100));
        instance.services.upkeep.refresh_ahead();
    }
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"refresh_ahead": "50%"});
    server.post("/api/realm", &realm).await.ok();
    server
        .post("/api/secret", &crate::harness::secret())
        .await
        .ok();
    world.provider.script(Fault::Json(good("t", 3)));
    let first = server.token().await.ok();
    assert_eq!(first["version"], 1);
    // Nobody asks; the provider is called all the same, each time before the expiry.
    world.provider.wait_for_calls(3).await;
    let held = server.token().await.ok();
    assert!(
        held["version"].as_i64().unwrap() >= 2 && held["source"] != "upstream",
        "{held}"
    );
    let log = server.get("/api/log?pageSize=100").await.ok();
    let calls = log["data"]["list"].as_array().unwrap();
    for pair in calls.windows(2) {
        let apart_ms = pair[0]["at"].as_i64().unwrap() - pair[1]["at"].as_i64().unwrap();
        assert!(
            apart_ms >= 1000,
            "one renewal for each expiry: {apart_ms} ms apart, {log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_background_a_due_token_is_left_to_the_cron_call_and_renewed_inline_when_overdue() {
    let world = World::new().await;
    let server = world.serve_with(&[("renewal.background", "false")]).await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"refresh_ahead": "300s", "overlap": "5m"});
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let expires_at = server.token().await.ok()["expires_at"].as_i64().unwrap();
    let status = server.get("/api/secret/k/status?realm=r").await.ok();
    let window = expires_at - status["renewal_due_at"].as_i64().unwrap();
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let to = |left_ms: i64| {
        Duration::from_millis(u64::try_from(expires_at - left_ms - world.now_ms()).unwrap())
    };
    world.advance(to(window / 3 + 1000), &[&server]).await;
    assert_eq!(server.token().await.ok()["token"], "t-1");
    server.services.tasks.stop(Duration::from_secs(5)).await;
    assert_eq!(
        world.provider.calls(),
        1,
        "nothing was begun behind the caller's back"
    );

    let server = world.serve_with(&[("renewal.background", "false")]).await;
    assert_eq!(server.token().await.ok()["token"], "t-1");
    world.advance(to(window / 3), &[&server]).await;
    assert_eq!(
        server.token().await.ok()["token"],
        "t-2",
        "it waited for the renewal"
    );
    assert_eq!(world.provider.calls(), 2);
}
