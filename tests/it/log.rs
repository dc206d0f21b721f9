//! The log of fetches, and the quotas counted in it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good, secret};
use crate::log_lines;

async fn logged(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/log?{query}")).await.ok();
    let list = answer["data"]["list"].as_array().unwrap().clone();
    assert_eq!(answer["data"]["total"], list.len());
    list
}

fn members(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter()
        .map(|row| row[name].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_logged_with_cause_and_outcome() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    server.token().await.ok();
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(
        json!({"errcode": 40164, "errmsg": "no: invented-secret"}),
    ));
    server.flush().await.ok();
    let rows = logged(&server, "").await;
    assert_eq!(
        members(&rows, "cause"),
        ["flush", "miss"],
        "latest first; memory hits are no calls"
    );
    assert_eq!(members(&rows, "outcome"), ["config", "ok"]);
    assert_eq!(
        (&rows[0]["provider_code"], &rows[0]["at"]),
        (&json!("40164"), &json!(world.now_ms()))
    );
    assert_eq!(rows[0]["provider_message"], "no: ******************");
    assert!(rows[0]["duration_ms"].is_i64() && rows[0]["instance"].is_string());
    for (query, count) in [
        ("realm=r&key=k", 2),
        ("realm=R", 0),
        ("outcome=ok", 1),
        (&*format!("from={}", world.now_ms()), 1),
        (&*format!("to={}", world.now_ms()), 1),
    ] {
        assert_eq!(logged(&server, query).await.len(), count, "{query}");
    }
    let reply = server.get("/api/log?from=yesterday").await;
    assert_eq!(
        (reply.problem(), reply.places()),
        ((400, "invalid_request"), vec!["from"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_calls_are_pruned() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    server.token().await.ok();
    world.clock.advance(Duration::from_hours(7 * 24));
    server.services.calls.prune().await;
    assert_eq!(logged(&server, "").await.len(), 1);
    world.clock.advance(Duration::from_hours(2 * 24));
    server.services.calls.prune().await;
    assert_eq!(logged(&server, "").await.len(), 0);
}

/// Three a day, one of them kept for need.
fn quota(scope: &str) -> Value {
    json!({"quota": [{"limit": 3, "per": "1d", "scope": scope, "reserve": 1}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_by_all_instances_and_its_reserve_for_need() {
    let world = World::new().await;
    let (server, other) = (
        world.serve_policy(quota("secret")).await,
        world.serve().await,
    );
    world.provider.script(Fault::Json(good("t-1", 100_000)));
    server.token().await.ok();
    world
        .advance(Duration::from_mins(1), &[&server, &other])
        .await;
    world.provider.script(Fault::Json(good("t-2", 3600)));
    assert_eq!(other.flush().await.ok()["token"], "t-2");
    world
        .advance(Duration::from_mins(1), &[&server, &other])
        .await;
    let withheld = server.flush().await.ok();
    assert_eq!(
        (&withheld["token"], &withheld["renewed"]),
        (&json!("t-2"), &json!(false)),
        "the reserve is not for flushes"
    );
    assert_eq!(
        withheld["retry_after"],
        86_400 - 120,
        "until the first leaves the window"
    );
    world
        .advance(Duration::from_hours(1), &[&server, &other])
        .await;
    world.provider.script(Fault::Json(good("t-3", 3600)));
    assert_eq!(
        server.token().await.ok()["token"],
        "t-3",
        "a missing token may use the reserve"
    );
    world
        .advance(Duration::from_hours(1), &[&server, &other])
        .await;
    let reply = other.token().await;
    assert_eq!(reply.problem(), (429, "upstream_quota"));
    assert_eq!(
        reply.headers["retry-after"].to_str().unwrap(),
        reply.body["retry_after"].to_string()
    );
    assert_eq!(world.provider.calls(), 3);
    assert_eq!(logged(&server, "outcome=withheld").await.len(), 2);
    world
        .advance(Duration::from_hours(22), &[&server, &other])
        .await;
    world.provider.script(Fault::Json(good("t-4", 3600)));
    assert_eq!(
        other.token().await.ok()["token"],
        "t-4",
        "the window has moved on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn four_fifths_of_a_quota_are_warned_of_once() {
    log_lines::keep();
    let world = World::new().await;
    let policy = json!({"quota": [{"limit": 5, "per": "1d", "scope": "secret"}]});
    let server = world.serve_policy(policy).await;
    let mut secret = secret();
    secret["key"] = "eighty".into();
    server.post("/api/secret", &secret).await.ok();
    world.provider.script(Fault::Json(good("t", 7200)));
    let warnings = || log_lines::of("r", "eighty", "80 % of a quota is used");
    for (call, warned) in [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)] {
        server
            .get("/api/token?realm=r&key=eighty&flush=true")
            .await
            .ok();
        assert_eq!(warnings().len(), warned, "after call {call}");
    }
    let warning = warnings().remove(0);
    assert_eq!(
        (&warning["level"], &warning["count"], &warning["limit"]),
        (&json!("WARN"), &json!(4), &json!(5)),
        "{warning}"
    );
    assert_eq!(world.provider.calls(), 5);
    world.advance(Duration::from_hours(25), &[&server]).await;
    for _ in 0..4 {
        server
            .get("/api/token?realm=r&key=eighty&flush=true")
            .await
            .ok();
    }
    assert_eq!(
        warnings().len(),
        2,
        "once more when the line is crossed again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_the_realm_counts_all_its_secrets() {
    let world = World::new().await;
    let server = world.serve_policy(quota("realm")).await;
    world.provider.script(Fault::Json(good("t", 7200)));
    for (key, status) in [("k", 200), ("k2", 200), ("k3", 200), ("k4", 429)] {
        let mut secret = secret();
        secret["key"] = key.into();
        server.post("/api/secret", &secret).await.ok();
        assert_eq!(
            server
                .get(&format!("/api/token?realm=r&key={key}"))
                .await
                .status,
            status,
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_bounds_its_fetches_at_once() {
    let world = World::new().await;
    let server = world.serve_with(&[("renewal.wait_seconds", "0.5")]).await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"max_concurrency": 2});
    server.post("/api/realm", &realm).await.ok();
    for key in ["k1", "k2", "k3"] {
        let mut secret = secret();
        secret["key"] = key.into();
        server.post("/api/secret", &secret).await.ok();
    }
    let ask = async |key: &str| server.get(&format!("/api/token?realm=r&key={key}")).await;
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    let (first, second, third) = tokio::join!(ask("k1"), ask("k2"), async {
        world.provider.wait_for_calls(2).await;
        ask("k3").await
    });
    for held_up in [first, second, third] {
        assert_eq!(held_up.problem(), (503, "renewal_pending"));
    }
    assert_eq!(
        world.provider.calls(),
        2,
        "the third waited its turn in vain"
    );
    world.provider.release();
    world.provider.script(Fault::Json(good("t", 7200)));
    for key in ["k1", "k2", "k3"] {
        assert_eq!(ask(key).await.status, 200, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_ask_at_one_moment_use_a_quota_up_exactly() {
    let world = World::on_real_time().await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"quota": [{"limit": 12, "per": "1d", "scope": "realm"}]});
    let (server, other) = (world.serve().await, world.serve().await);
    server.post("/api/realm", &realm).await.ok();
    world.provider.script(Fault::Json(good("t", 7200)));
    for number in 0..30 {
        let mut secret = secret();
        secret["key"] = format!("k{number}").into();
        server.post("/api/secret", &secret).await.ok();
    }
    let asks = (0..30).map(|number| {
        let server = if number % 2 == 0 { &server } else { &other };
        server.get_owned(format!("/api/token?realm=r&key=k{number}"))
    });
    let statuses: Vec<u16> = futures_util::future::join_all(asks)
        .await
        .iter()
        .map(|reply| reply.status)
        .collect();
    let with = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert_eq!(
        (with(200), with(429), world.provider.calls()),
        (12, 18, 12),
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_at_a_quota_that_is_used_up_are_written_down_once() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"quota": [{"limit": 3, "per": "1h", "reserve": 1}]}))
        .await;
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    for _ in 0..10 {
        server.flush().await.ok();
    }
    assert_eq!(world.provider.calls(), 2);
    let rows = server.get("/api/log?realm=r&outcome=withheld").await.ok();
    assert_eq!(rows["data"]["total"], 1, "{rows}");
}
